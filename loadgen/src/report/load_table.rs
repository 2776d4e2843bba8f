//! The steps of a load, and the capacity that was looked for, as tables for a person.

use std::fmt::Write as _;

use super::LoadStepReport;
use super::table::{duration, grouped};
use crate::traffic::{CapacityResult, SearchLimit, StepVerdict};

/// The steps, a line for each procedure of the mix.
pub(super) fn steps(text: &mut String, steps: &[LoadStepReport]) {
    if steps.is_empty() {
        return;
    }
    let _ = writeln!(
        text,
        "{:<5} {:>9} {:<24} {:>10} {:>10} {:>10} {:>8} {:>8} {:>11} {:>9} {:>9}",
        "step",
        "load",
        "procedure",
        "offered/s",
        "attempted",
        "completed",
        "failed",
        "skipped",
        "inadequate",
        "p50",
        "p99"
    );
    for (number, step) in (1..).zip(steps) {
        for (name, row) in &step.procedures.0 {
            let latency = &row.latency_us;
            let _ = writeln!(
                text,
                "{number:<5} {:>9} {name:<24} {:>10.1} {:>10} {:>10} {:>8} {:>8} {:>11} {:>9} {:>9}",
                load(step),
                row.offered_per_s,
                grouped(row.attempted),
                grouped(row.completed),
                grouped(row.failed),
                grouped(row.skipped),
                grouped(row.inadequate),
                duration(latency.p50, latency.max),
                duration(latency.p99, latency.max),
            );
        }
    }
    text.push('\n');
}

fn load(step: &LoadStepReport) -> String {
    match step.load == step.load_to {
        true => format!("{}", step.load),
        false => format!("{}-{}", step.load, step.load_to),
    }
}

/// What a search has found, in a sentence, and how its steps were judged.
pub(super) fn capacity(text: &mut String, found: &CapacityResult) {
    for (number, step) in (1..).zip(&found.steps) {
        let _ = writeln!(
            text,
            "step {number:<3} load {:<9} {:>9} attempts, {:>7} inadequate ({:.3}%): {}",
            step.load,
            grouped(step.attempts),
            grouped(step.inadequate),
            100.0 * step.inadequate as f64 / step.attempts.max(1) as f64,
            verdict(step.verdict)
        );
    }
    let objective = format!(
        "at most {}% handled inadequately, with {}% confidence in each try",
        found.inadequate_share_max * 100.0,
        found.confidence * 100.0
    );
    let _ = match (found.capacity_per_s, found.load) {
        (Some(per_s), Some(load)) => {
            writeln!(text, "\ncapacity   {per_s:.1} starts a second (load {load}): {objective}")
        }
        _ => writeln!(text, "\ncapacity   none found: {objective}"),
    };
    let _ = writeln!(text, "limit      {}\n", limit(found.limit));
}

fn verdict(verdict: StepVerdict) -> &'static str {
    match verdict {
        StepVerdict::Adequate => "adequate",
        StepVerdict::Inadequate => "inadequate",
        StepVerdict::Undecided => "undecided",
        StepVerdict::GeneratorLimit => "the generator was late",
        StepVerdict::PopulationLimit => "no UE was free",
    }
}

fn limit(limit: SearchLimit) -> &'static str {
    match limit {
        SearchLimit::Target => "the target: a little more was handled inadequately",
        SearchLimit::Generator => {
            "the generator could not keep to its own times: the target's capacity is at least that"
        }
        SearchLimit::Population => {
            "the UEs: more were needed at a time than there are (population.size): the target's capacity is at least that"
        }
        SearchLimit::HighestLoad => {
            "the highest load that the profile has was handled adequately: the capacity is at least that"
        }
        SearchLimit::LowestLoad => "even the lowest load that was tried was handled inadequately",
        SearchLimit::Interrupted => "it was ended before",
    }
}
