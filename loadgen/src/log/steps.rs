//! The steps of a load as they are known so far.

use crate::measure::StepTally;

/// What is known of a step, with times from the run's start.
#[derive(Debug, Clone)]
pub struct StepState {
    /// From 0, in order.
    pub number: usize,
    /// All of it, from its beginning.
    pub step: StepTally,
}

/// Tells which steps have changed since they were last looked at.
#[derive(Debug, Clone, Default)]
pub struct StepChanges {
    seen: Vec<[u64; 4]>,
}

impl StepChanges {
    /// Those of `steps` that have changed, with their times counted from `started_at`.
    pub fn take(&mut self, steps: &[StepTally], started_at: u64) -> Vec<StepState> {
        let mut changed = Vec::new();
        for (number, step) in steps.iter().enumerate() {
            let print = fingerprint(step);
            if self.seen.len() <= number {
                self.seen.push(print);
            } else if self.seen[number] == print {
                continue;
            }
            self.seen[number] = print;
            let since = |at: u64| at.saturating_sub(started_at);
            let step = StepTally {
                began_at: since(step.began_at),
                measured_from: since(step.measured_from),
                ended_at: step.ended_at.map(since),
                ..step.clone()
            };
            changed.push(StepState { number, step });
        }
        changed
    }
}

/// Counts that only rise, and one of which does with whatever happens.
fn fingerprint(step: &StepTally) -> [u64; 4] {
    let sum = |of: fn(&crate::measure::StepRow) -> u64| step.rows.iter().map(of).sum::<u64>();
    let counted = sum(|row| row.tally.attempted + row.tally.over() + row.inadequate + row.skipped);
    let recorded = sum(|row| row.tally.latency_us.len());
    [step.ended_at.unwrap_or(0), counted, recorded, step.late + step.waited]
}

/// Adds a step of another part of the run. Where steps are of different length, as where each part seeks, this is the time of all of them.
pub(super) fn add(into: &mut StepTally, other: &StepTally) {
    into.began_at = into.began_at.min(other.began_at);
    into.measured_from = into.measured_from.min(other.measured_from);
    into.ended_at = into.ended_at.max(other.ended_at);
    into.late += other.late;
    into.waited += other.waited;
    for row in &other.rows {
        match into.rows.iter_mut().find(|mine| mine.procedure == row.procedure) {
            Some(mine) => {
                mine.offered_per_s += row.offered_per_s;
                mine.tally.merge(&row.tally);
                mine.inadequate += row.inadequate;
                mine.inadequate_raw += row.inadequate_raw;
                mine.skipped += row.skipped;
            }
            None => into.rows.push(row.clone()),
        }
    }
}
