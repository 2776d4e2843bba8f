//! What a run's user gets: report.json, the conditions it was held against, and a table to read.

mod abort;
mod course;
mod intervention;
mod load_table;
mod steps;
mod table;
mod threshold;

use std::io;
use std::path::Path;

use serde::ser::SerializeMap;
use serde::{Deserialize, Serialize, Serializer};

use crate::generator::LinkCounts;
use crate::health::Health;
use crate::measure::{Latency, Measurements, Phase, Phases, Procedure, Tally, Transaction};
use crate::part::Part;
use crate::profile::Profile;
use crate::traffic::{CapacityResult, SearchLimit};

pub use abort::{Aborted, broken_for_good};
pub use course::{CourseReport, Look, StepName, StepReport};
pub use intervention::{Action, Intervention};
pub use steps::{LoadRow, LoadStepReport, Metric, load_steps};
pub(crate) use table::grouped;
pub use threshold::{Operator, Threshold, ThresholdError, ThresholdResult};

/// The version of report.json. It rises when a field is renamed or changes its meaning, which they
/// don't; fields may be added.
pub const SCHEMA: u32 = 1;

/// report.json. The order of the fields is the file's.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// [`SCHEMA`].
    pub schema: u32,
    /// The profile's name.
    pub profile: String,
    /// The population's seed.
    pub seed: u64,
    /// Which part of a run that several generators share this is; nothing for the whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub part: Option<Part>,
    /// Of how many parts this is put together; nothing where one generator did it all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parts: Option<u32>,
    /// From the run's start to its end, in seconds.
    pub duration_s: f64,
    /// How the run is to be judged.
    pub verdict: Verdict,
    /// The user ended the run early.
    pub interrupted: bool,
    /// What ended the run early: a threshold that could not be held any more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub aborted: Option<Aborted>,
    /// What somebody did to the run while it went on; nothing where nobody did anything.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub interventions: Vec<Intervention>,
    /// How many UEs there were.
    pub ues: Ues,
    /// Sessions between UEs.
    pub sessions: Sessions,
    /// What was measured.
    #[serde(flatten)]
    pub measured: Measured,
    /// When each procedure was going on.
    pub phases: Rows<Phase>,
    /// What the generator says of itself.
    pub generator: Generator,
    /// Whether it did what it was to do, when it was to.
    pub health: Health,
    /// The engine's state at the end; nothing if the core under test is another.
    pub engine: Option<Engine>,
    /// The steps of a comparison; nothing where the profile has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub course: Option<CourseReport>,
    /// The steps of the load, where the profile has traffic.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<LoadStepReport>,
    /// What the search for the capacity has found, where there was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub capacity: Option<CapacityResult>,
    /// The profile's conditions, and whether they held.
    pub thresholds: Vec<ThresholdResult>,
    /// Why the run is invalid.
    pub invalid_reasons: Vec<String>,
}

/// How a run is to be judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// All conditions held.
    Pass,
    /// A condition did not hold.
    Fail,
    /// The generator was the limit, or did not run as the profile says: this is no result.
    Invalid,
}

/// How many UEs there were.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Ues {
    /// As the profile says.
    pub configured: u64,
    /// The most that were secured at the same time.
    pub secured: u64,
    /// Secured at some time.
    pub secured_ever: u64,
}

/// Sessions between UEs, each counted once, on its caller's side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Sessions {
    /// The caller had its 2xx.
    pub established: u64,
    /// Moved to another connection of one of its parties.
    pub moved: u64,
    /// Ended by a party, or as the profile wants it.
    pub released: u64,
    /// Ended otherwise.
    pub lost: u64,
}

/// What was measured: four fields of report.json.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Measured {
    /// One row for each [`Procedure`].
    pub procedures: Rows<Row>,
    /// One row for each [`Transaction`].
    pub transactions: Rows<Row>,
    /// The causes that occurred.
    pub failures: Rows<u64>,
    /// Procedures that were given up because the profile wants it so, or for a fallback, all together.
    pub abandoned: u64,
}

/// Named rows, in order: a JSON object.
#[derive(Debug, Clone, PartialEq)]
pub struct Rows<T>(pub Vec<(String, T)>);

/// A procedure or transaction.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Row {
    /// How many started.
    pub attempted: u64,
    /// How many ended well.
    pub completed: u64,
    /// How many failed.
    pub failed: u64,
    /// How many were given up because the profile wants it so, or for a fallback.
    pub abandoned: u64,
    /// How many had done none of these at the end.
    pub pending: u64,
    /// Completed ones per second of the run.
    pub rate_per_s: f64,
    /// How long they took, a procedure from its intended start, a transaction from the first transmission.
    pub latency_us: Latency,
    /// How long procedures took from when they began.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency_raw_us: Option<Latency>,
}

/// What the generator says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct Generator {
    /// Procedures that started later than intended.
    pub late_starts: u64,
    /// Procedures that were intended and never started.
    pub skipped_starts: u64,
    /// Datagrams that the kernel dropped at the generator's own sockets.
    pub socket_drops: u64,
    /// The processor time that the generator used, in seconds.
    pub cpu_s: f64,
    /// Its memory at the end, in bytes.
    pub rss_bytes: u64,
    /// Datagrams that reached a UE unprotected when it takes only protected ones.
    pub unprotected_ignored: u64,
    /// NOTIFYs of no dialog of the UE's, answered 481.
    pub notify_unmatched: u64,
    /// UEs that vanished once secured, as the profile wants it.
    pub vanished: u64,
    /// Datagrams that were lost on the links, as the profile wants it.
    pub links_lost: u64,
    /// Datagrams that the links doubled, as the profile wants it.
    pub links_doubled: u64,
}

/// The engine's state at a run's end.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Engine {
    /// Live security subscriptions.
    pub subscriptions: u64,
    /// Security associations.
    pub security_associations: u64,
    /// Registrations.
    pub registrations: u64,
    /// Sessions.
    pub sessions: u64,
    /// SIP messages received.
    pub messages_in: u64,
    /// SIP messages sent.
    pub messages_out: u64,
    /// ESP packets that were dropped.
    pub esp_rejected: u64,
    /// Messages that were handed from one shard to another.
    pub shard_hops: u64,
    /// SIP messages from and to UEs at its P-CSCFs.
    pub gm_messages: u64,
    /// Their datagrams' payloads, in bytes.
    pub gm_bytes: u64,
    /// SIP messages between its roles.
    pub mw_messages: u64,
    /// Their bytes.
    pub mw_bytes: u64,
    /// What the P-CSCFs' tables hold, in bytes.
    pub pcscf_bytes: u64,
    /// What the S-CSCF's do.
    pub scscf_bytes: u64,
    /// The processor time that the engine used, in seconds.
    pub cpu_s: f64,
    /// Its memory at the end, in bytes.
    pub rss_bytes: u64,
}

impl Engine {
    /// The same with what it has counted since `before` alone; what it holds is as it is.
    #[must_use]
    pub fn since(self, before: &Self) -> Self {
        Self {
            messages_in: self.messages_in.saturating_sub(before.messages_in),
            messages_out: self.messages_out.saturating_sub(before.messages_out),
            esp_rejected: self.esp_rejected.saturating_sub(before.esp_rejected),
            shard_hops: self.shard_hops.saturating_sub(before.shard_hops),
            gm_messages: self.gm_messages.saturating_sub(before.gm_messages),
            gm_bytes: self.gm_bytes.saturating_sub(before.gm_bytes),
            mw_messages: self.mw_messages.saturating_sub(before.mw_messages),
            mw_bytes: self.mw_bytes.saturating_sub(before.mw_bytes),
            cpu_s: (self.cpu_s - before.cpu_s).max(0.0),
            ..self
        }
    }
}

/// What a run knows at its end, besides its measurements. It is the last line of the run's log as well, so that a report can be made
/// from the log alone.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Outcome {
    /// From the run's start to its end, in seconds.
    pub duration_s: f64,
    /// The user ended the run early.
    pub interrupted: bool,
    /// What ended the run early.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub aborted: Option<Aborted>,
    /// The most UEs that were secured at the same time.
    pub secured: u64,
    /// UEs that were secured at some time.
    pub secured_ever: u64,
    /// What the generator knows of itself.
    pub health: Health,
    /// The processor time that the generator used, in seconds.
    pub cpu_s: f64,
    /// The generator's memory at the end, in bytes.
    pub rss_bytes: u64,
    /// Datagrams that reached a UE unprotected when it takes only protected ones.
    pub unprotected_ignored: u64,
    /// NOTIFYs of no dialog of the UE's.
    pub notify_unmatched: u64,
    /// UEs that vanished once secured.
    pub vanished: u64,
    /// What has happened on the links.
    pub links: LinkCounts,
    /// Sessions between UEs.
    pub sessions: Sessions,
    /// The engine's state at the end, if it is ours.
    pub engine: Option<Engine>,
    /// The steps of a comparison.
    pub course: Option<CourseReport>,
    /// When each procedure was going on: the log's intervals say so.
    #[serde(skip)]
    pub phases: Phases,
    /// The steps of the load: the log's intervals say what came of them.
    #[serde(skip)]
    pub steps: Vec<LoadStepReport>,
    /// What somebody did to the run: the log's intervals say so.
    #[serde(skip)]
    pub interventions: Vec<Intervention>,
    /// What the search for the capacity has found.
    pub capacity: Option<CapacityResult>,
    /// Why the run is no result, if it is none.
    pub invalid_reasons: Vec<String>,
}

impl Report {
    /// The report of a run.
    ///
    /// # Panics
    /// If the profile has a condition that can't be read: loading it has checked them.
    #[must_use]
    pub fn new(profile: &Profile, measurements: &Measurements, outcome: Outcome) -> Self {
        let counts = measurements.generator();
        let mut report = Self {
            schema: SCHEMA,
            profile: profile.name.clone(),
            seed: profile.population.seed,
            part: Some(profile.part).filter(|part| !part.is_whole()),
            parts: None,
            duration_s: rounded(outcome.duration_s),
            verdict: Verdict::Pass,
            interrupted: outcome.interrupted,
            aborted: outcome.aborted,
            interventions: outcome.interventions,
            ues: Ues {
                configured: profile.ues(),
                secured: outcome.secured,
                secured_ever: outcome.secured_ever,
            },
            sessions: outcome.sessions,
            measured: Measured::new(measurements, outcome.duration_s),
            phases: Rows::of(&outcome.phases),
            generator: Generator {
                late_starts: counts.late_starts,
                skipped_starts: counts.skipped_starts,
                socket_drops: outcome.health.socket_drops,
                cpu_s: rounded(outcome.cpu_s),
                rss_bytes: outcome.rss_bytes,
                unprotected_ignored: outcome.unprotected_ignored,
                notify_unmatched: outcome.notify_unmatched,
                vanished: outcome.vanished,
                links_lost: outcome.links.lost,
                links_doubled: outcome.links.doubled,
            },
            health: outcome.health,
            engine: outcome.engine,
            course: outcome.course,
            steps: outcome.steps,
            capacity: outcome.capacity,
            thresholds: Vec::new(),
            invalid_reasons: outcome.invalid_reasons,
        };
        report.thresholds = threshold::evaluate(&profile.thresholds, &report);
        report.verdict = if !report.invalid_reasons.is_empty() {
            Verdict::Invalid
        } else if report.aborted.is_some()
            || report.found_nothing()
            || !report.thresholds.iter().all(|it| it.held)
        {
            Verdict::Fail
        } else {
            Verdict::Pass
        };
        report
    }

    /// Whether a capacity was looked for, and even the lowest load that was tried was too much.
    fn found_nothing(&self) -> bool {
        self.capacity.as_ref().is_some_and(|found| found.limit == SearchLimit::LowestLoad)
    }

    /// The file's text.
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut json = serde_json::to_string_pretty(self).expect("it is numbers and names only");
        json.push('\n');
        json
    }

    /// The table for a person: latencies, failures, the engine's state, conditions and verdict.
    #[must_use]
    pub fn to_table(&self) -> String {
        table::render(self)
    }

    /// Why the verdict is what it is, in a sentence.
    #[must_use]
    pub fn reason(&self) -> String {
        table::reason(self)
    }

    /// Writes `directory/report.json`, in the place of one that may be there: whoever reads finds the old one or the new one.
    ///
    /// # Errors
    /// The file can't be made or written.
    #[allow(clippy::disallowed_methods, reason = "this is one of the outermost functions")]
    pub fn write(&self, directory: &Path) -> io::Result<()> {
        let (path, new) = (directory.join("report.json"), directory.join("report.json.new"));
        std::fs::write(&new, self.to_json())?;
        std::fs::rename(&new, &path)
    }
}

impl Verdict {
    /// What a program that ran the load exits with: 0 for pass, 1 for fail, 3 for invalid (2 is an
    /// error in how it was called).
    #[must_use]
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Pass => 0,
            Self::Fail => 1,
            Self::Invalid => 3,
        }
    }

    /// The name in report.json.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::Invalid => "invalid",
        }
    }
}

impl Measured {
    /// What `measurements` say after `duration_s` seconds.
    #[must_use]
    pub fn new(measurements: &Measurements, duration_s: f64) -> Self {
        let procedures = Procedure::ALL.iter().map(|procedure| {
            let tally = measurements.procedure(*procedure);
            let row = Row::new(&tally, duration_s);
            let latency_raw_us = Some(tally.raw_latency());
            (procedure.name().to_owned(), Row { latency_raw_us, ..row })
        });
        let transactions = Transaction::ALL.iter().map(|transaction| {
            let tally = measurements.transaction(*transaction);
            (transaction.name().to_owned(), Row::new(&tally, duration_s))
        });
        let failures =
            measurements.failures().iter().map(|(cause, count)| (cause.name().into_owned(), count));
        let abandoned =
            Procedure::ALL.iter().map(|procedure| measurements.procedure(*procedure).abandoned);
        Self {
            abandoned: abandoned.sum(),
            procedures: Rows(procedures.collect()),
            transactions: Rows(transactions.collect()),
            failures: Rows(failures.collect()),
        }
    }
}

impl Row {
    /// What a tally says after `duration_s` seconds.
    #[must_use]
    pub fn new(tally: &Tally, duration_s: f64) -> Self {
        #[expect(clippy::cast_precision_loss, reason = "a run completes fewer than 2^53")]
        let completed = tally.completed as f64;
        Self {
            attempted: tally.attempted,
            completed: tally.completed,
            failed: tally.failed,
            abandoned: tally.abandoned,
            pending: tally.attempted.saturating_sub(tally.over()),
            rate_per_s: if duration_s > 0.0 { rounded(completed / duration_s) } else { 0.0 },
            latency_us: tally.latency(),
            latency_raw_us: None,
        }
    }
}

impl Rows<Phase> {
    fn of(phases: &Phases) -> Self {
        let rounded = |phase: Phase| Phase {
            began_s: rounded(phase.began_s),
            ended_s: rounded(phase.ended_s),
        };
        let named =
            |(procedure, phase): (Procedure, _)| (procedure.name().to_owned(), rounded(phase));
        Self(phases.iter().map(named).collect())
    }
}

impl<T> Rows<T> {
    /// The row with a name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&T> {
        self.0.iter().find(|(row, _)| row == name).map(|(_, value)| value)
    }
}

impl<T: Serialize> Serialize for Rows<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in &self.0 {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

/// To the thousandth: more is noise in a report.
fn rounded(value: f64) -> f64 {
    (value * 1_000.0).round() / 1_000.0
}

#[cfg(test)]
mod tests;
