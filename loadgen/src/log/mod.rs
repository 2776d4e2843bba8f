//! What a run leaves on the disk as it goes, so that nothing that was measured is lost: its report can be made from these files alone, by the
//! same function that makes it at the run's end.
//!
//! | file | what |
//! |---|---|
//! | `run.json` | what was run: profile, seed, part, start, target ([`RunInfo`]) |
//! | `latency.hlog` | latencies of each second, as an HDR interval log |
//! | `intervals.jsonl` | a line a second: counts and states ([`Second`]); the last one is what only the end knows ([`End`]) |
//!
//! Each second's bytes are handed to the kernel before the next second's are: a generator that is killed loses what came after its last
//! second. A machine that loses its power may lose some 30 s more, as nothing waits for the disk itself. Of a second the latencies are written first, and
//! its line in `intervals.jsonl` says how long `latency.hlog` is then: without that line they do not count, so that a second is there or is not.

mod difference;
mod line;
mod merge;
mod reader;
mod run_info;
mod run_log;
mod step_line;
mod steps;
mod writer;

use crate::generator::GeneratorState;
use crate::health::Health;
use crate::measure::Interval;
use crate::report::{Engine, Intervention};

pub use difference::difference_of_profiles;
pub use line::End;
pub use merge::{MergeError, merge};
pub use reader::{Entry, LogError, LogReader, read};
pub use run_info::{Environment, RunInfo, SCHEMA};
pub use run_log::RunLog;
pub use steps::{StepChanges, StepState};
pub use writer::LogWriter;

/// The file with what was run.
pub const RUN_FILE: &str = "run.json";
/// The file with latencies.
pub const LATENCY_FILE: &str = "latency.hlog";
/// The file with counts and states.
pub const INTERVALS_FILE: &str = "intervals.jsonl";
/// The file with the report.
pub const REPORT_FILE: &str = "report.json";

/// What happened in a second of a run, or in what there was of it at the end.
#[derive(Debug, Clone)]
pub struct Second {
    /// When it began, in nanoseconds from the run's start.
    pub from_ns: u64,
    /// When it ended, in nanoseconds from the run's start.
    pub until_ns: u64,
    /// What was measured in it.
    pub interval: Interval,
    /// The steps of the load of which there is something new.
    pub steps: Vec<StepState>,
    /// What somebody did to the run in it.
    pub interventions: Vec<Intervention>,
    /// The generator's state at its end.
    pub state: GeneratorState,
    /// How the generator did in it.
    pub health: Health,
    /// The processor time that the generator had used by its end, in nanoseconds.
    pub cpu_ns: u64,
    /// The generator's memory at its end, in bytes.
    pub rss_bytes: u64,
    /// The engine's state as last heard of; nothing where it was not asked.
    pub engine: Option<Engine>,
}

#[cfg(test)]
mod tests;
