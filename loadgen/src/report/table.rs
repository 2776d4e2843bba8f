//! A report as a table for a person.

use super::Report;

/// The table.
pub(super) fn render(report: &Report) -> String {
    format!("{}: {}\n", report.profile, report.verdict.name())
}
