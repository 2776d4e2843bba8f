//! `PAPER.md` names tests and counters that exist.

use imstorm_cscf::Counters;

const PAPER: &str = include_str!("PAPER.md");

/// The files that it may name.
const FILES: [(&str, &str); 26] = [
    ("bad_input", include_str!("bad_input.rs")),
    ("calls_at_pcscf", include_str!("calls_at_pcscf.rs")),
    ("caller_preferences", include_str!("caller_preferences.rs")),
    ("connectivity", include_str!("connectivity.rs")),
    ("handover", include_str!("handover.rs")),
    ("legacy", include_str!("legacy.rs")),
    ("modified_impi", include_str!("modified_impi.rs")),
    ("moved_sessions", include_str!("moved_sessions.rs")),
    ("moved_subscriptions", include_str!("moved_subscriptions.rs")),
    ("outbound", include_str!("outbound.rs")),
    ("over_connection", include_str!("over_connection.rs")),
    ("paper_generator", include_str!("paper_generator.rs")),
    ("paper_maintenance", include_str!("paper_maintenance.rs")),
    ("paper_service_route", include_str!("paper_service_route.rs")),
    ("paper_setup", include_str!("paper_setup.rs")),
    ("paper_usage", include_str!("paper_usage.rs")),
    ("refresh_release", include_str!("refresh_release.rs")),
    ("refused", include_str!("refused.rs")),
    ("registration", include_str!("registration.rs")),
    ("sa_policy", include_str!("sa_policy.rs")),
    ("schemes", include_str!("schemes.rs")),
    ("secrecy", include_str!("secrecy.rs")),
    ("sessions", include_str!("sessions.rs")),
    ("setup", include_str!("setup.rs")),
    ("simulate", include_str!("simulate.rs")),
    ("takeover", include_str!("takeover.rs")),
];

/// What stands between backticks in a cell.
fn quoted(cell: &str) -> impl Iterator<Item = &str> {
    cell.split('`').skip(1).step_by(2)
}

/// The rows of the tables, as cells, without heads and rules.
fn rows() -> impl Iterator<Item = Vec<&'static str>> {
    let lines = PAPER.lines().filter(|line| line.starts_with("| "));
    let rows = lines.map(|line| line.trim_matches('|').split(" | ").map(str::trim).collect());
    rows.filter(|row: &Vec<&str>| row.last() != Some(&"Shown by"))
}

fn source(file: &str) -> Option<&'static str> {
    FILES.iter().find(|(other, _)| *other == file).map(|(_, source)| *source)
}

/// Why a `file::test` is none; `None` where it is one.
fn fault(name: &str) -> Option<&'static str> {
    let Some((file, test)) = name.split_once("::") else { return Some("no file::test") };
    let Some(source) = source(file) else { return Some("no such file") };
    let is_there = source.contains(&format!("\n#[test]\nfn {test}() {{"));
    (!is_there).then_some("no such test")
}

#[test]
fn every_row_names_tests_that_exist_or_why_there_are_none() {
    let mut named = 0;
    for row in rows() {
        let shown_by = row.last().expect("cells");
        let tests: Vec<&str> = quoted(shown_by).collect();
        for test in &tests {
            assert_eq!(fault(test), None, "{test}");
        }
        named += tests.len();
        let says_why = ["*motive*", "*procedure*"].iter().any(|mark| shown_by.contains(mark));
        assert!(!tests.is_empty() || says_why, "{row:?}");
        assert!((2..=3).contains(&row.len()), "{row:?}");
    }
    assert!(named > 300, "{named}");
}

#[test]
fn every_counter_is_one_and_rises_in_a_test() {
    let mut named = 0;
    for row in rows().filter(|row| row.len() == 3) {
        for counter in quoted(row[1]) {
            assert!(Counters::NAMES.contains(&counter), "{counter} is no counter");
            let shown = quoted(row[2]).any(|test| {
                let (file, test) = test.split_once("::").expect("a file::test");
                let source = source(file).expect("a file");
                let body = source.split(&format!("fn {test}() {{")).nth(1).expect("a test");
                let body = body.split("\n#[test]").next().expect("a body");
                body.contains(&format!("\"{counter}\""))
            });
            assert!(shown, "{counter} is in none of the tests that {row:?} names");
            named += 1;
        }
    }
    assert!(named > 60, "{named}");
}

#[test]
fn a_name_that_is_none_is_seen() {
    assert_eq!(fault("setup::ipv6"), None);
    assert_eq!(fault("setup::ipv7"), Some("no such test"));
    assert_eq!(fault("nowhere::ipv6"), Some("no such file"));
    assert_eq!(fault("ipv6"), Some("no file::test"));
}
