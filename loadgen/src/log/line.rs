//! A line of intervals.jsonl.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Second;
use super::step_line::StepLine;
use crate::generator::GeneratorState;
use crate::health::Health;
use crate::measure::{Cause, GeneratorCounts, Interval, Procedure, Tally, Transaction};
use crate::report::{Engine, Intervention, Outcome};

/// What only the end of a run knows.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct End {
    /// What the report says besides what was measured.
    pub outcome: Outcome,
    /// Nothing was going on any more.
    pub drained: bool,
    /// UEs whose datagrams were recorded and written.
    pub captures: usize,
}

/// A line.
#[derive(Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum Line {
    /// Of a second.
    Second(Box<SecondLine>),
    /// The last one.
    End {
        /// What it knows.
        end: Box<End>,
    },
}

/// What a line says of a second: what is not in latency.hlog.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct SecondLine {
    from_ns: u64,
    until_ns: u64,
    /// How long latency.hlog is with this second's latencies.
    pub hlog_bytes: u64,
    /// What was counted of procedures and transactions of which anything was.
    #[serde(default)]
    rows: BTreeMap<String, Counts>,
    /// Failures by cause.
    #[serde(default)]
    failures: BTreeMap<String, u64>,
    #[serde(default)]
    starts: GeneratorCounts,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    steps: Vec<StepLine>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    interventions: Vec<Intervention>,
    state: GeneratorState,
    #[serde(default)]
    health: Health,
    cpu_ns: u64,
    rss_bytes: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    engine: Option<Engine>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct Counts {
    attempted: u64,
    completed: u64,
    failed: u64,
    abandoned: u64,
}

impl Counts {
    fn of(tally: &Tally) -> Self {
        Self {
            attempted: tally.attempted,
            completed: tally.completed,
            failed: tally.failed,
            abandoned: tally.abandoned,
        }
    }

    fn put(self, tally: &mut Tally) {
        tally.attempted = self.attempted;
        tally.completed = self.completed;
        tally.failed = self.failed;
        tally.abandoned = self.abandoned;
    }
}

impl SecondLine {
    /// Of a second with whose latencies latency.hlog has so many bytes.
    pub fn new(second: &Second, hlog_bytes: u64) -> Self {
        let interval = &second.interval;
        let procedures = Procedure::ALL.iter().map(|it| it.name()).zip(&interval.procedures);
        let transactions = Transaction::ALL.iter().map(|it| it.name()).zip(&interval.transactions);
        let rows = procedures.chain(transactions).map(|(name, it)| (name, Counts::of(it)));
        let rows = rows.filter(|(_, counts)| *counts != Counts::default());
        let failures = interval.failures.iter();
        Self {
            from_ns: second.from_ns,
            until_ns: second.until_ns,
            hlog_bytes,
            rows: rows.map(|(name, counts)| (name.to_owned(), counts)).collect(),
            failures: failures.map(|(cause, count)| (cause.name().into_owned(), count)).collect(),
            starts: interval.generator,
            steps: second.steps.iter().map(StepLine::new).collect(),
            interventions: second.interventions.clone(),
            state: second.state,
            health: second.health.clone(),
            cpu_ns: second.cpu_ns,
            rss_bytes: second.rss_bytes,
            engine: second.engine,
        }
    }

    /// The second, with the latencies that `interval` has already. Rows and causes of which nothing is known are passed over. Nothing where
    /// a step can't be read.
    pub fn into_second(self, mut interval: Interval) -> Option<Second> {
        for (name, counts) in self.rows {
            if let Some(procedure) = Procedure::from_name(&name) {
                counts.put(&mut interval.procedures[procedure as usize]);
            } else if let Some(transaction) = Transaction::from_name(&name) {
                counts.put(&mut interval.transactions[transaction as usize]);
            }
        }
        let failures = self.failures.iter();
        interval.failures =
            failures.filter_map(|(name, count)| Some((Cause::from_name(name)?, *count))).collect();
        interval.generator = self.starts;
        Some(Second {
            from_ns: self.from_ns,
            until_ns: self.until_ns,
            interval,
            steps: self.steps.into_iter().map(StepLine::step).collect::<Option<_>>()?,
            interventions: self.interventions,
            state: self.state,
            health: self.health,
            cpu_ns: self.cpu_ns,
            rss_bytes: self.rss_bytes,
            engine: self.engine,
        })
    }
}
