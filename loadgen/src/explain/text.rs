//! Explanations for a person.

use std::fmt::Write as _;
use std::path::Path;

use super::{Example, Explained, Explanation};
use crate::recorder::{self, printable};

/// The columns that prose is wrapped at.
const WIDTH: usize = 100;

/// All causes of a run's failures, as a table.
#[must_use]
pub fn of_all(explanation: &Explanation, directory: &Path) -> String {
    let Explanation { profile, failed, causes, parts } = explanation;
    let Some(first) = causes.first() else {
        return format!("{profile}: no procedure failed\n");
    };
    let mut text = format!(
        "{profile}: {} failed, for {}\n\n",
        counted(*failed, "procedure"),
        counted(causes.len() as u64, "cause")
    );
    let width = causes.iter().map(|it| it.cause.len()).max().unwrap_or(0).max(5);
    let _ = writeln!(text, "{:>9}  {:<width$}  {:<14}  what it is", "failed", "cause", "captured");
    for it in causes {
        let ues: Vec<_> = it.examples.iter().map(|example| format!("UE {}", example.ue)).collect();
        let ues = if ues.is_empty() { "none".to_owned() } else { ues.join(", ") };
        let _ = writeln!(
            text,
            "{:>9}  {:<width$}  {ues:<14}  {}",
            grouped(it.failed),
            it.cause,
            it.title
        );
    }
    text.push('\n');
    if causes.iter().all(|it| it.examples.is_empty()) {
        text.push_str(match parts {
            Some(_) => "the captures are in the directories of the parts\n",
            None => "no UE was captured as it failed: was the run made with --capture none?\n",
        });
    }
    let _ = writeln!(
        text,
        "an example of each, and what to check: imstorm explain {} --failure {}",
        directory.display(),
        first.cause
    );
    text
}

/// One cause: what it means, an example, what to check, where to go on.
#[must_use]
pub fn of_cause(explained: &Explained, directory: &Path) -> String {
    let mut text = match explained.failed {
        0 => format!("{}: no procedure of this run failed for it\n\n", explained.cause),
        failed => format!("{}: {} failed\n\n", explained.cause, counted(failed, "procedure")),
    };
    text.push_str(&wrapped(&explained.meaning, "", ""));
    let _ = writeln!(text, "({})\n", explained.clause);
    let directory = directory.display();
    match &explained.examples[..] {
        [] if explained.failed > 0 => {
            text.push_str("No UE was captured as it failed for this. A run captures two for each cause, unless it was made with --capture none, and 32 altogether.\n\n");
        }
        [] => {}
        [first, others @ ..] => example(&mut text, first, others),
    }
    text.push_str("What to check\n");
    for (number, check) in explained.checks.iter().enumerate() {
        text.push_str(&wrapped(check, &format!("  {}. ", number + 1), "     "));
    }
    if let Some(Example { ue, .. }) = explained.examples.first() {
        let _ = writeln!(
            text,
            "\nall that UE {ue} said:  imstorm ladder {directory} --ue {ue} --full\n\
             for Wireshark:{:>width$}  {directory}/captures/ue-{ue}.pcapng",
            "",
            width = 3 + ue.to_string().len()
        );
    }
    text
}

fn example(text: &mut String, first: &Example, others: &[Example]) {
    let others: Vec<_> = others.iter().map(|other| format!("UE {}", other.ue)).collect();
    let others = match &others[..] {
        [] => String::new(),
        others => format!("; another: {}", others.join(", ")),
    };
    let _ = writeln!(
        text,
        "Example: {} of UE {}, failed {:.3} s after the run's start{others}\n",
        first.procedure, first.ue, first.at_s
    );
    text.push_str(&recorder::ladder(&first.exchange));
    text.push('\n');
    if let Some(message) = &first.message {
        let mut what = first.deciding.chars();
        let what: String =
            what.next().into_iter().flat_map(char::to_uppercase).chain(what).collect();
        let _ = writeln!(text, "{what}\n");
        for line in printable(message.trim_end()).lines() {
            let _ = writeln!(text, "{}", format!("    {line}").trim_end());
        }
        text.push('\n');
    }
}

/// Prose in lines, the first one with another beginning than the others.
pub(crate) fn wrapped(prose: &str, first: &str, others: &str) -> String {
    let mut text = String::new();
    let mut line = first.to_owned();
    let mut is_fresh = true;
    for word in prose.split(' ') {
        let is_too_long = line.chars().count() + 1 + word.chars().count() > WIDTH;
        if is_too_long && !is_fresh {
            let _ = writeln!(text, "{line}");
            line = others.to_owned();
            is_fresh = true;
        }
        if !is_fresh {
            line.push(' ');
        }
        line.push_str(word);
        is_fresh = false;
    }
    let _ = writeln!(text, "{line}");
    text
}

fn counted(count: u64, what: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{} {what}{plural}", grouped(count))
}

/// The digits in groups of three.
fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
