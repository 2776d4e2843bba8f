//! A comparison as JSON.

use serde_json::{Value, json};

use super::{Compared, Finding, Judged};

/// The text, with a line end.
pub(super) fn text(compared: &Compared) -> String {
    let value = json!({
        "conclusion": compared.conclusion(),
        "is_worse": compared.exit_code() != 0,
        "a": { "name": compared.names[0], "runs": compared.runs[0] },
        "b": { "name": compared.names[1], "runs": compared.runs[1] },
        "findings": compared.findings.iter().map(finding).collect::<Vec<_>>(),
        "objections": compared.objections,
        "remarks": compared.remarks,
    });
    format!("{value:#}\n")
}

/// A number, in the unit that its path in report.json has; of repeats the median.
fn finding(finding: &Finding) -> Value {
    let judged = match finding.judged {
        Judged::Better => "better",
        Judged::Worse => "worse",
        Judged::Same => "same",
        Judged::Nothing => "not_judged",
    };
    let quantity = &finding.quantity;
    json!({
        "path": quantity.path,
        "of": quantity.of,
        "what": quantity.rule.name,
        "a": finding.medians[0],
        "b": finding.medians[1],
        "noise": finding.noise,
        "judged": judged,
    })
}
