//! The steps of a load, in report.json.

use imstorm_base::time::Time;
use serde::{Deserialize, Serialize};

use super::{Rows, rounded};
use crate::measure::{Latency, Procedure, StepRow, StepTally};

/// A step of the load. Procedures count for the step in which they were wanted.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LoadStepReport {
    /// How many times the profile's mix was offered at its start.
    pub load: f64,
    /// The same at its end.
    pub load_to: f64,
    /// What was offered on average, all procedures together, in starts a second.
    pub offered_per_s: f64,
    /// When it began, in seconds from the run's start.
    pub began_s: f64,
    /// When its transient was over: only what was wanted later counts.
    pub measured_from_s: f64,
    /// When it ended.
    pub ended_s: f64,
    /// Starts that the generator itself was late with.
    pub late_starts: u64,
    /// Starts that waited for a UE that was free.
    pub waited_starts: u64,
    /// The procedures of the mix.
    pub procedures: Rows<LoadRow>,
}

/// A delay that RFC 6076 defines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Metric {
    /// Registration Request Delay: REGISTER to its 200.
    Rrd,
    /// Session Disconnect Delay: BYE to its answer.
    Sdd,
}

impl Metric {
    /// The one that a procedure takes.
    const fn of(procedure: Procedure) -> Option<Self> {
        match procedure {
            Procedure::Registration | Procedure::RegisterOverConnection => Some(Self::Rrd),
            Procedure::CallRelease => Some(Self::Sdd),
            _ => None,
        }
    }
}

/// What came of a procedure in a step.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct LoadRow {
    /// The name that RFC 6076 has for how long it takes, where it has one: `RRD` (4.1), `SDD` (4.4).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rfc6076: Option<Metric>,
    /// Starts a second, on average.
    pub offered_per_s: f64,
    /// How many began.
    pub attempted: u64,
    /// How many ended well.
    pub completed: u64,
    /// How many failed.
    pub failed: u64,
    /// How many were given up because the profile wants it so.
    pub abandoned: u64,
    /// How many never began, as no UE was free.
    pub skipped: u64,
    /// How many had begun and not ended when the run did.
    pub pending: u64,
    /// The delay limit, in milliseconds.
    pub delay_limit_ms: Option<f64>,
    /// How many failed, never began, or took longer than the delay limit.
    pub inadequate: u64,
    /// How long they took from their intended start.
    pub latency_us: Latency,
}

/// The steps of a run that began then. The last one has ended.
#[must_use]
pub fn load_steps(steps: &[StepTally], began_at: Time) -> Vec<LoadStepReport> {
    let seconds = |at: Time| rounded(at.saturating_sub(began_at) as f64 / 1e9);
    let step = |step: &StepTally| LoadStepReport {
        load: rounded(step.load.0),
        load_to: rounded(step.load.1),
        offered_per_s: rounded(step.rows.iter().map(|row| row.offered_per_s).sum()),
        began_s: seconds(step.began_at),
        measured_from_s: seconds(step.measured_from),
        ended_s: seconds(step.ended_at.unwrap_or(step.measured_from)),
        late_starts: step.late,
        waited_starts: step.waited,
        procedures: Rows(step.rows.iter().map(row).collect()),
    };
    steps.iter().map(step).collect()
}

fn row(row: &StepRow) -> (String, LoadRow) {
    let tally = &row.tally;
    let counts = LoadRow {
        rfc6076: Metric::of(row.procedure),
        offered_per_s: rounded(row.offered_per_s),
        attempted: tally.attempted,
        completed: tally.completed,
        failed: tally.failed,
        abandoned: tally.abandoned,
        skipped: row.skipped,
        pending: tally.attempted.saturating_sub(tally.over()),
        delay_limit_ms: row.delay_limit_ns.map(|limit_ns| limit_ns as f64 / 1e6),
        inadequate: row.inadequate,
        latency_us: tally.latency(),
    };
    (row.procedure.name().to_owned(), counts)
}
