//! `imstorm capacity`.

use super::run::{RunArgs, run_with};
use super::{Failure, fail};

/// Looks for the highest load that is handled adequately.
pub(super) fn find_capacity(args: &RunArgs) -> Result<u8, Failure> {
    let profile = args.load()?;
    let Some(traffic) = &profile.traffic else {
        return fail(
            2,
            format!(
                "{}: there is no [traffic] of which there could be more; a profile that has it: imstorm init capacity",
                profile.name
            ),
        );
    };
    if traffic.trace.is_some() {
        return fail(
            2,
            "traffic.trace: recorded starts come once, and can't be offered several times; give a mix in its place, as profile capacity does",
        );
    }
    let plan = traffic.capacity.unwrap_or_default();
    let ended = run_with(args, &profile, Some(plan))?;
    Ok(ended.exit_code())
}
