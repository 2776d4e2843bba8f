//! The suites of a run.

use super::{Case, Junit, Outcome, Suite};
use crate::report::{Report, ThresholdResult};
use crate::traffic::SearchLimit;

/// A run: its thresholds, a case each; what a search for the capacity has found; and whether the generator did what it was to do.
#[must_use]
pub fn of_run(report: &Report) -> Junit {
    let thresholds: Vec<_> = report.thresholds.iter().map(|it| threshold(report, it)).collect();
    let mut suites = vec![Suite { name: "thresholds", cases: thresholds }];
    if let Some(found) = &report.capacity {
        let outcome = match (found.capacity_per_s, found.limit) {
            (Some(_), _) => Outcome::Held,
            (None, SearchLimit::LowestLoad) => {
                Outcome::Failed("no load that was tried was handled adequately".to_owned())
            }
            (None, _) => Outcome::Unknown("the search was ended before any load was".to_owned()),
        };
        let said = found.capacity_per_s.map(|per_s| format!("{per_s:.1} starts a second"));
        let name = "a load is handled adequately".to_owned();
        let case = Case { name, outcome, said: said.unwrap_or_default() };
        suites.push(Suite { name: "capacity", cases: vec![case] });
    }
    suites.push(Suite { name: "generator", cases: vec![validity(report)] });
    suites.retain(|suite| !suite.cases.is_empty());
    Junit { name: report.profile.clone(), duration_s: report.duration_s, suites }
}

fn threshold(report: &Report, result: &ThresholdResult) -> Case {
    let ThresholdResult { path, condition, value, held } = result;
    let aborted = report.aborted.as_ref().filter(|aborted| aborted.path == *path);
    let outcome = match (aborted, value) {
        (Some(aborted), _) => Outcome::Failed(aborted.to_string()),
        (None, Some(value)) if !held => {
            Outcome::Failed(format!("{path} is {value}, expected {condition}"))
        }
        (None, None) => Outcome::Failed(format!("{path} was not measured, expected {condition}")),
        _ => Outcome::Held,
    };
    let said = value.map(|value| format!("{path} is {value}"));
    Case { name: format!("{path} {condition}"), outcome, said: said.unwrap_or_default() }
}

/// One case for all rules: that one of them was broken says that none of the numbers counts.
fn validity(report: &Report) -> Case {
    let outcome = match report.invalid_reasons.is_empty() {
        true => Outcome::Held,
        false => Outcome::Unknown(format!("INVALID: {}", report.invalid_reasons.join("; "))),
    };
    let name = "the generator was not the limit".to_owned();
    Case { name, outcome, said: crate::health::render(&report.health) }
}
