//! The early end of a run: which threshold is broken for good.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Operator, Report, Row, Threshold, ThresholdResult};
use crate::profile::Abort;

/// What ended a run early.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Aborted {
    /// When, in seconds from the run's start.
    pub at_s: f64,
    /// The threshold's path.
    pub path: String,
    /// Its condition.
    pub condition: String,
    /// What was there at that time.
    pub value: f64,
}

impl fmt::Display for Aborted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { at_s, path, condition, value } = self;
        write!(f, "aborted after {at_s:.1} s, as {path} was {value}, expected {condition}")
    }
}

/// Counts that never fall while a run goes on: the last parts of their paths.
const COUNTS: &[&str] = &[
    "attempted",
    "completed",
    "failed",
    "abandoned",
    "late_starts",
    "skipped_starts",
    "socket_drops",
    "unprotected_ignored",
    "notify_unmatched",
    "vanished",
    "links_lost",
    "links_doubled",
    "established",
    "moved",
    "released",
    "lost",
    "secured",
    "secured_ever",
    "max",
];

/// The first threshold that the report of a run under way shows to be broken for good, by these rules.
#[must_use]
pub fn broken_for_good(report: &Report, rules: &Abort) -> Option<Aborted> {
    if !rules.on_threshold || report.duration_s < rules.after_s {
        return None;
    }
    report.thresholds.iter().find_map(|result| {
        let value = result.value.filter(|value| is_broken(report, rules, result, *value))?;
        Some(Aborted {
            at_s: report.duration_s,
            path: result.path.clone(),
            condition: result.condition.clone(),
            value,
        })
    })
}

fn is_broken(report: &Report, rules: &Abort, result: &ThresholdResult, value: f64) -> bool {
    let Ok(threshold) = Threshold::parse(&result.path, &result.condition) else { return false };
    let is_count = result.path.starts_with("failures.")
        || result.path.rsplit('.').next().is_some_and(|last| COUNTS.contains(&last));
    let has_enough = || {
        let row = latency_row(report, &result.path);
        row.is_some_and(|row| row.attempted >= rules.attempts_min)
    };
    match threshold.operator {
        Operator::Greater | Operator::GreaterOrEqual => false,
        Operator::Equal => is_count && value > threshold.bound,
        Operator::Less | Operator::LessOrEqual => {
            !threshold.holds(value) && (is_count || has_enough())
        }
    }
}

/// The procedure or transaction whose latency stands at a path.
fn latency_row<'a>(report: &'a Report, path: &str) -> Option<&'a Row> {
    let mut parts = path.split('.');
    let rows = match parts.next()? {
        "procedures" => &report.measured.procedures,
        "transactions" => &report.measured.transactions,
        _ => return None,
    };
    let row = rows.get(parts.next()?)?;
    parts.next().filter(|part| part.starts_with("latency"))?;
    Some(row)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::{Cause, Measurements, Procedure, Start};
    use crate::profile::Profile;
    use crate::report::{Outcome, Verdict};

    /// After ten seconds: 100 set-ups begun, of which three failed and 90 took a second.
    fn report(path: &str, condition: &str) -> Report {
        let text = format!(
            "name = \"p\"\n[population]\nsize = 100\n[arrivals]\nrate_per_s = 10\n[thresholds]\n{path} = \"{condition}\"\n"
        );
        let profile = Profile::parse("p.toml", &text, &[]).unwrap();
        let mut measurements = Measurements::new();
        for ue in 0..100 {
            measurements.attempted(Procedure::Secure, Start::default());
            match ue {
                0..3 => measurements.failed(Procedure::Secure, Start::default(), Cause::Timeout),
                3..93 => {
                    measurements.completed(Procedure::Secure, Start::default(), 1_000_000_000);
                }
                _ => {}
            }
        }
        let outcome = Outcome { duration_s: 10.0, ..Outcome::default() };
        Report::new(&profile, &measurements, outcome)
    }

    fn is_aborted(path: &str, condition: &str, rules: Abort) -> bool {
        broken_for_good(&report(path, condition), &rules).is_some()
    }

    #[test]
    fn only_what_can_not_come_right_any_more_ends_a_run() {
        let rules = Abort { on_threshold: true, attempts_min: 100, ..Abort::default() };
        for (path, condition, expected) in [
            ("procedures.secure.failed", "== 0", true),
            ("procedures.secure.failed", "<= 2", true),
            ("procedures.secure.failed", "< 4", false),
            ("procedures.secure.failed", "== 7", false),
            ("procedures.secure.failed", ">= 4", false),
            ("failures.timeout", "== 0", true),
            ("failures.no_notify", "== 0", false),
            ("procedures.secure.completed", ">= 100", false),
            ("procedures.secure.pending", "== 0", false),
            ("procedures.secure.rate_per_s", "< 1", false),
            ("procedures.secure.latency_us.p99", "< 50_000", true),
            ("procedures.secure.latency_us.p99", "< 5_000_000", false),
            ("procedures.secure.latency_us.max", "< 50_000", true),
            ("procedures.refresh.latency_us.p99", "< 50_000", false),
            ("duration_s", "< 5", false),
        ] {
            assert_eq!(is_aborted(path, condition, rules), expected, "{path} {condition}");
        }
    }

    #[test]
    fn nothing_is_looked_at_too_early() {
        let rules = Abort { on_threshold: true, attempts_min: 101, ..Abort::default() };
        assert!(!is_aborted("procedures.secure.latency_us.p99", "< 50_000", rules));
        assert!(
            is_aborted("procedures.secure.latency_us.max", "< 50_000", rules),
            "it never falls"
        );
        let late = Abort { after_s: 10.5, ..rules };
        assert!(!is_aborted("procedures.secure.failed", "== 0", late));
        let off = Abort { on_threshold: false, ..rules };
        assert!(!is_aborted("procedures.secure.failed", "== 0", off));
    }

    #[test]
    fn an_aborted_run_has_failed_and_says_why() {
        let rules = Abort { on_threshold: true, ..Abort::default() };
        let aborted = broken_for_good(&report("procedures.secure.failed", "== 0"), &rules).unwrap();
        assert_eq!(
            aborted.to_string(),
            "aborted after 10.0 s, as procedures.secure.failed was 3, expected == 0"
        );
        let text = "name = \"p\"\n[population]\nsize = 1\n[arrivals]\nrate_per_s = 10\n";
        let profile = Profile::parse("p.toml", text, &[]).unwrap();
        let outcome = Outcome { aborted: Some(aborted), ..Outcome::default() };
        let report = Report::new(&profile, &Measurements::new(), outcome);
        assert_eq!(report.verdict, Verdict::Fail, "whatever the end says");
        assert!(report.to_table().contains("FAIL: aborted after 10.0 s, as procedures"));
    }
}
