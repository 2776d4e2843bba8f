//! What the second paper concludes, held against what was seen.

use serde::Serialize;

use super::matrix::Row;

/// A conclusion of the paper, and whether the matrix bears it out.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Conclusion {
    /// What the paper says.
    pub statement: &'static str,
    /// By which observation it is judged.
    pub judged_by: &'static str,
    /// It is what was seen.
    pub holds: bool,
    /// The rows that speak against it.
    pub against: Vec<String>,
}

/// The three solutions.
const SOLUTIONS: [&str; 3] = ["outbound", "connectivity-check", "modified-impi"];
/// The third one with each of the others.
const COMBINATIONS: [&str; 2] = ["modified-impi+outbound", "modified-impi+connectivity-check"];
/// Those that use one private identity for all registrations.
const SHARING: [&str; 2] = ["outbound", "connectivity-check"];

/// What a row is expected to show.
struct Expectation {
    of: fn(&Row) -> bool,
    shows: fn(&Row) -> bool,
}

/// Holds all conclusions against the rows.
#[must_use]
pub fn conclusions(rows: &[Row]) -> Vec<Conclusion> {
    vec![
        judge(
            rows,
            "Today a registration from another address overrides the first one (section 2).",
            "A user registered over a second access is not reachable over both, whatever the handling of security associations.",
            &Expectation { of: |row| row.scheme == "registration", shows: is_broken_by_adding },
        ),
        same_strength(rows),
        judge(
            rows,
            "With all three solutions each registration can be re-authenticated independently of the others (section 3).",
            "Where both ends keep a set of security associations for each registration: after one was authenticated again, and while the other was refreshed, both still carried requests both ways.",
            &Expectation {
                of: |row| SOLUTIONS.contains(&row.scheme) && is_by_contact(row),
                shows: |row| row.works && has_all(row, "reauthentication"),
            },
        ),
        judge(
            rows,
            "Solutions 1 and 2 would not work with current P-CSCFs, absent changes to the handling of security associations (section 3).",
            "Over one P-CSCF that keeps one set a private identity, a user is not reachable over both accesses.",
            &Expectation {
                of: |row| {
                    SHARING.contains(&row.scheme)
                        && row.pcscfs == 1
                        && row.pcscf_sa_policy == "impi"
                },
                shows: is_broken_by_adding,
            },
        ),
        judge(
            rows,
            "They would require the change in the mobile as well (section 3).",
            "With UEs that keep one set a private identity, a user is not reachable over both accesses, even over two P-CSCFs.",
            &Expectation {
                of: |row| SHARING.contains(&row.scheme) && row.ue_sa_policy == "impi",
                shows: is_broken_by_adding,
            },
        ),
        judge(
            rows,
            "With the change, solutions 1 and 2 work (section 3).",
            "Where both ends keep a set for each registration, everything succeeded; over two P-CSCFs the change at the UE is enough.",
            &Expectation {
                of: |row| {
                    SHARING.contains(&row.scheme)
                        && row.ue_sa_policy == "impi-contact"
                        && (row.pcscf_sa_policy == "impi-contact" || row.pcscfs == 2)
                },
                shows: |row| row.works,
            },
        ),
        judge(
            rows,
            "Solution 3 avoids the backward-compatibility problem (section 3).",
            "With a private identity for each registration everything succeeded, with today's handling at either end and at both.",
            &Expectation { of: |row| row.scheme == "modified-impi", shows: |row| row.works },
        ),
        judge(
            rows,
            "Solution 3 can be combined with solution 1 or 2 to avoid the problem (section 3).",
            "Each combination succeeded in everything, with today's handling at either end and at both.",
            &Expectation { of: |row| COMBINATIONS.contains(&row.scheme), shows: |row| row.works },
        ),
    ]
}

fn judge(
    rows: &[Row],
    statement: &'static str,
    judged_by: &'static str,
    expectation: &Expectation,
) -> Conclusion {
    let mut concerned = rows.iter().filter(|row| (expectation.of)(row)).peekable();
    let is_seen = concerned.peek().is_some();
    let against: Vec<String> =
        concerned.filter(|row| !(expectation.shows)(row)).map(name).collect();
    Conclusion { statement, judged_by, holds: is_seen && against.is_empty(), against }
}

/// All solutions authenticate with the vectors of the same subscriber, and agree on the same algorithms.
fn same_strength(rows: &[Row]) -> Conclusion {
    let concerned: Vec<&Row> =
        rows.iter().filter(|row| SOLUTIONS.contains(&row.scheme) && is_by_contact(row)).collect();
    let first = concerned.first().map(|row| row.suites.keys().collect::<Vec<_>>());
    let is_same = |row: &Row| {
        let suites = row.suites.keys().collect::<Vec<_>>();
        !suites.is_empty() && Some(suites) == first && has_all(row, "attach")
    };
    let against: Vec<String> =
        concerned.iter().filter(|row| !is_same(row)).map(|row| name(row)).collect();
    Conclusion {
        statement: "All three solutions provide the same level of security: an authentication vector of the original private identity, and \
                    security associations made from it (section 3).",
        judged_by: "Each UE has the keys of its original private identity only, and all were authenticated with them; the algorithms agreed on \
                    were the same.",
        holds: !concerned.is_empty() && against.is_empty(),
        against,
    }
}

fn is_by_contact(row: &Row) -> bool {
    row.ue_sa_policy == "impi-contact" && row.pcscf_sa_policy == "impi-contact"
}

fn is_broken_by_adding(row: &Row) -> bool {
    !row.works && row.broken_step == Some("add_access")
}

fn has_all(row: &Row, procedure: &str) -> bool {
    row.procedures.get(procedure).is_some_and(|cell| cell.users > 0 && cell.failed == 0)
}

fn name(row: &Row) -> String {
    let Row { scheme, pcscfs, ue_sa_policy, pcscf_sa_policy, .. } = row;
    format!("{scheme}, {pcscfs} P-CSCF, {ue_sa_policy}/{pcscf_sa_policy}")
}
