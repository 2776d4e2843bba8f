//! A step of the load in intervals.jsonl: all that is known of it so far, since procedures that were wanted in a step end later.

use serde::{Deserialize, Serialize};

use super::StepState;
use crate::measure::{Procedure, StepRow, StepTally, Tally, decode, encode};

/// A step, in nanoseconds from the run's start.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct StepLine {
    /// From 0, in order.
    number: usize,
    load: (f64, f64),
    began_ns: u64,
    measured_from_ns: u64,
    ended_ns: Option<u64>,
    late: u64,
    waited: u64,
    rows: Vec<RowLine>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct RowLine {
    procedure: String,
    offered_per_s: f64,
    attempted: u64,
    completed: u64,
    failed: u64,
    abandoned: u64,
    delay_limit_ns: Option<u64>,
    inadequate: u64,
    #[serde(default)]
    inadequate_raw: u64,
    skipped: u64,
    /// A histogram as in latency.hlog.
    latency_us: String,
}

impl StepLine {
    pub fn new(step: &StepState) -> Self {
        let StepState { number, step } = step;
        Self {
            number: *number,
            load: step.load,
            began_ns: step.began_at,
            measured_from_ns: step.measured_from,
            ended_ns: step.ended_at,
            late: step.late,
            waited: step.waited,
            rows: step.rows.iter().map(RowLine::new).collect(),
        }
    }

    /// The step; rows of which nothing is known are passed over. Nothing where a histogram can't be read.
    pub fn step(self) -> Option<StepState> {
        let rows = self.rows.into_iter().filter_map(RowLine::row).collect::<Option<_>>()?;
        let step = StepTally {
            load: self.load,
            began_at: self.began_ns,
            measured_from: self.measured_from_ns,
            ended_at: self.ended_ns,
            late: self.late,
            waited: self.waited,
            rows,
        };
        Some(StepState { number: self.number, step })
    }
}

impl RowLine {
    fn new(row: &StepRow) -> Self {
        let tally = &row.tally;
        Self {
            procedure: row.procedure.name().to_owned(),
            offered_per_s: row.offered_per_s,
            attempted: tally.attempted,
            completed: tally.completed,
            failed: tally.failed,
            abandoned: tally.abandoned,
            delay_limit_ns: row.delay_limit_ns,
            inadequate: row.inadequate,
            inadequate_raw: row.inadequate_raw,
            skipped: row.skipped,
            latency_us: encode(&tally.latency_us),
        }
    }

    /// The row, unless nothing is known of its procedure; within, nothing where its histogram can't be read.
    fn row(self) -> Option<Option<StepRow>> {
        let procedure = Procedure::from_name(&self.procedure)?;
        let Ok(latency_us) = decode(&self.latency_us) else { return Some(None) };
        let tally = Tally {
            attempted: self.attempted,
            completed: self.completed,
            failed: self.failed,
            abandoned: self.abandoned,
            latency_us,
            ..Tally::without_raw()
        };
        Some(Some(StepRow {
            procedure,
            offered_per_s: self.offered_per_s,
            tally,
            delay_limit_ns: self.delay_limit_ns,
            inadequate: self.inadequate,
            inadequate_raw: self.inadequate_raw,
            skipped: self.skipped,
        }))
    }
}
