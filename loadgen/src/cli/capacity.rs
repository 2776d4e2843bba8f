//! `imstorm capacity`.

use super::run::{RunArgs, run_with};
use super::{Failure, fail};
use crate::traffic::SearchLimit;

/// Looks for the highest load that is handled adequately.
pub(super) fn find_capacity(args: &RunArgs) -> Result<u8, Failure> {
    let profile = args.load()?;
    let Some(traffic) = &profile.traffic else {
        return fail(
            2,
            format!("{}: there is no [traffic] of which there could be more", profile.name),
        );
    };
    if traffic.trace.is_some() {
        return fail(
            2,
            "traffic.trace: recorded starts come once, and can't be offered several times",
        );
    }
    let plan = traffic.capacity.unwrap_or_default();
    let ended = run_with(args, &profile, Some(plan))?;
    let found = ended.report.capacity.as_ref();
    Ok(match found.map(|found| found.limit) {
        _ if ended.aborted => 130,
        Some(SearchLimit::Generator) => 3,
        Some(SearchLimit::LowestLoad) | None => ended.report.verdict.exit_code().max(1),
        Some(_) => ended.report.verdict.exit_code(),
    })
}
