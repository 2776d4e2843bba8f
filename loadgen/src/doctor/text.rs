//! A diagnosis for a person.

use std::fmt::Write as _;

use super::{Diagnosis, State};
use crate::explain::wrapped;

/// The columns of the state, and of the thing.
const STATE_WIDTH: usize = 9;
const WHAT_WIDTH: usize = 21;

pub(super) fn render(diagnosis: &Diagnosis) -> String {
    let mut text = format!("this machine, for {}\n\n", diagnosis.profile);
    let indent = " ".repeat(STATE_WIDTH + WHAT_WIDTH);
    for finding in &diagnosis.findings {
        let state = name_of(finding.state);
        let head = format!("{state:<STATE_WIDTH$}{:<WHAT_WIDTH$}", finding.what);
        text.push_str(&wrapped(&finding.found, &head, &indent));
        if !finding.means.is_empty() {
            text.push_str(&wrapped(&finding.means, &format!("{indent}→ "), &format!("{indent}  ")));
        }
        for command in &finding.commands {
            let prompt = if command.needs_root { '#' } else { '$' };
            let _ = writeln!(text, "{indent}  {prompt} {}", command.line);
        }
    }
    let count = |state| diagnosis.findings.iter().filter(|it| it.state == state).count();
    let plural = |count: usize| if count == 1 { "" } else { "s" };
    let (problems, notes) = (count(State::Problem), count(State::Note));
    let verdict = match (diagnosis.can_run, problems) {
        (false, _) => "nothing can run here like this",
        (true, 0) => "the profile can be run here",
        (true, _) => "runs are possible here, and the profile's would go wrong",
    };
    let _ = writeln!(
        text,
        "\n{problems} problem{}, {notes} note{}: {verdict}",
        plural(problems),
        plural(notes)
    );
    text
}

fn name_of(state: State) -> &'static str {
    match state {
        State::Ok => "ok",
        State::Note => "note",
        State::Problem => "PROBLEM",
    }
}
