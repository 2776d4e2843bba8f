//! What the screen shows at one moment: numbers and names, nothing that moves.

use crate::controls::{Steerable, Wanted};
use crate::measure::Latency;

/// See the module.
#[derive(Debug, Clone)]
pub(super) struct View {
    /// The profile's name.
    pub profile: String,
    /// Against what.
    pub target: String,
    /// From the run's start, in seconds.
    pub elapsed_s: u64,
    /// When the profile has the last start, in seconds from the run's start.
    pub limit_s: Option<u64>,
    /// How far the run is, in words.
    pub stage: String,
    pub wanted: Wanted,
    pub steerable: Steerable,
    pub ues: Ues,
    /// Offered, started, completed, failed.
    pub rates: Vec<Rate>,
    /// The procedures that were.
    pub procedures: Vec<ProcedureRow>,
    pub causes: Vec<CauseRow>,
    /// The steps of the load.
    pub steps: Vec<StepRow>,
    pub engine: Option<EngineView>,
    pub generator: GeneratorView,
}

/// The UEs, and what they have.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Ues {
    pub all: u64,
    pub started: u64,
    pub secured: u64,
    pub gone: u64,
    pub sessions: u64,
    /// Starts that wait for a UE that is free.
    pub waiting: u64,
}

/// How many a second.
#[derive(Debug, Clone)]
pub(super) struct Rate {
    pub name: &'static str,
    /// In each of the last seconds, the latest one last.
    pub history: Vec<u64>,
    /// That there is any is bad.
    pub is_bad: bool,
}

/// A procedure over the last seconds.
#[derive(Debug, Clone)]
pub(super) struct ProcedureRow {
    pub name: &'static str,
    /// Completed ones, a second.
    pub per_s: f64,
    /// From the intended start; nothing where none ended.
    pub latency: Option<Latency>,
}

/// Why procedures have failed.
#[derive(Debug, Clone)]
pub(super) struct CauseRow {
    pub name: String,
    /// In the last seconds.
    pub recent: u64,
    pub total: u64,
}

/// A step of the load.
#[derive(Debug, Clone)]
pub(super) struct StepRow {
    /// From 1.
    pub number: usize,
    pub load: (f64, f64),
    pub attempts: u64,
    pub inadequate: u64,
    /// What came of it.
    pub state: StepState,
}

/// What came of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StepState {
    Running,
    Over,
    Good,
    Bad,
    Unknown,
}

/// The engine.
#[derive(Debug, Clone)]
pub(super) struct EngineView {
    pub subscriptions: u64,
    pub security_associations: u64,
    pub registrations: u64,
    pub sessions: u64,
    pub shard_hops: u64,
    pub esp_rejected: u64,
    pub rss_bytes: u64,
    /// The processor time of the last seconds, of one core's: 1 is all of it.
    pub cpu_share: Option<f64>,
    /// The same of each shard.
    pub shard_shares: Vec<f64>,
}

/// The generator itself.
#[derive(Debug, Clone, Default)]
pub(super) struct GeneratorView {
    pub late_starts: u64,
    pub lateness_p99_us: u64,
    pub lateness_max_us: u64,
    pub socket_wait_p99_us: u64,
    pub socket_drops: u64,
    /// Of its thread, in the last second and in its busiest one.
    pub cpu_share: f64,
    pub cpu_share_max: f64,
    pub rss_bytes: u64,
    /// Why the run would be invalid if it ended now.
    pub reasons: Vec<String>,
}
