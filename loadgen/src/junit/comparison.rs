//! The suites of a comparison.

use super::{Case, Junit, Outcome, Suite};
use crate::compare::{Compared, Finding, Judged};

/// A comparison: a case for each number that both sides have, and one for whether the runs count at all.
#[must_use]
pub fn of_comparison(compared: &Compared) -> Junit {
    let runs = match compared.objections.is_empty() {
        true => Outcome::Held,
        false => Outcome::Unknown(compared.objections.join("; ")),
    };
    let [a, b] = &compared.names;
    let runs = Case {
        name: "the runs can be held against each other".to_owned(),
        outcome: runs,
        said: compared.remarks.join("\n"),
    };
    let suites = vec![
        Suite { name: "runs", cases: vec![runs] },
        Suite { name: "numbers", cases: compared.findings.iter().map(number).collect() },
    ];
    let suites = suites.into_iter().filter(|suite| !suite.cases.is_empty()).collect();
    Junit { name: format!("{b} against {a}"), duration_s: 0.0, suites }
}

fn number(finding: &Finding) -> Case {
    let [what, a, b, change, noise, _] = finding.cells();
    let said = format!("A {a}, B {b}, change {change}, noise {noise}");
    let outcome = match finding.judged {
        Judged::Worse => Outcome::Failed(format!("{what} is worse: {said}")),
        Judged::Nothing => {
            Outcome::Skipped("not judged: too little, or nothing, was measured".to_owned())
        }
        Judged::Better | Judged::Same => Outcome::Held,
    };
    Case { name: what, outcome, said }
}
