//! What the program exits with: each subcommand's help has the codes that it can give, the program's own all of them.

/// A code, and what it says.
type Row = (u8, &'static str);

const DONE: Row = (0, "done");
const HELD: Row = (0, "all thresholds held");
const USAGE: Row = (2, "bad usage or profile");
const INVALID: Row = (3, "the run is INVALID: the generator was the limit");
const NO_ANSWER: Row = (4, "the target does not answer");
const ENVIRONMENT: Row = (5, "the environment: an address in use, a permission, a file");
const INTERRUPTED: Row = (130, "interrupted twice");

/// All of them.
pub(super) fn all() -> String {
    let held = (0, "all thresholds held, or what was asked for is done");
    let crossed = (
        1,
        "a threshold was crossed, a seed did not hold, a conclusion of the comparison did not, a part is missing, a run is worse than the other,\n       \
         a plan does not fit, or no load was handled adequately",
    );
    let usage = (2, "bad usage or profile, or runs that are not comparable");
    text(&[held, crossed, usage, INVALID, NO_ANSWER, ENVIRONMENT, INTERRUPTED])
}

pub(super) fn of_run() -> String {
    let crossed = (1, "a threshold was crossed");
    text(&[HELD, crossed, USAGE, INVALID, NO_ANSWER, ENVIRONMENT, INTERRUPTED])
}

pub(super) fn of_capacity() -> String {
    let held = (0, "a capacity was found, and all thresholds held");
    let crossed = (1, "no load was handled adequately, or a threshold was crossed");
    text(&[held, crossed, USAGE, INVALID, NO_ANSWER, ENVIRONMENT, INTERRUPTED])
}

pub(super) fn of_plan() -> String {
    let fits = (0, "the plan fits");
    text(&[fits, (1, "something will not fit"), USAGE, ENVIRONMENT])
}

pub(super) fn of_simulate() -> String {
    let held = (0, "all seeds held");
    text(&[held, (1, "a seed did not hold"), USAGE, ENVIRONMENT])
}

pub(super) fn of_schemes() -> String {
    let held = (0, "all conclusions held");
    text(&[held, (1, "a conclusion did not hold"), USAGE, ENVIRONMENT, INTERRUPTED])
}

pub(super) fn of_report() -> String {
    let crossed = (1, "a threshold was crossed, or a part is missing");
    let usage = (2, "bad usage, no results of a run, or parts that are not of one run");
    let invalid = (3, "the run is INVALID: the generator was the limit, or it was cut off");
    text(&[HELD, crossed, usage, invalid, ENVIRONMENT])
}

pub(super) fn of_compare() -> String {
    let good = (0, "the second side is as good or better");
    let worse = (1, "it is worse, or no measurement");
    text(&[good, worse, (2, "bad usage, or runs that are not comparable"), ENVIRONMENT])
}

/// Of what only shows something.
pub(super) fn of_show() -> String {
    text(&[DONE, USAGE])
}

/// Of what only writes something.
pub(super) fn of_write() -> String {
    text(&[DONE, USAGE, ENVIRONMENT])
}

fn text(rows: &[Row]) -> String {
    let line = |(code, what): &Row| format!("\n  {code:>3}  {what}");
    format!("Exit codes:{}", rows.iter().map(line).collect::<String>())
}
