//! What a run has come to so far, as Prometheus takes it. Counters and histograms only rise, from the run's start.
//!
//! | Metric | Labels | |
//! |---|---|---|
//! | `imstorm_procedures_attempted_total`, `…_completed_total`, `…_failed_total`, `…_abandoned_total` | `procedure` | procedures of UEs |
//! | `imstorm_procedure_latency_seconds` | `procedure` | from the intended start: native histogram, classic buckets in text |
//! | `imstorm_transactions_…_total`, `imstorm_transaction_latency_seconds` | `method` | requests of UEs |
//! | `imstorm_failures_total` | `cause` | as in report.json |
//! | `imstorm_ues`, `imstorm_ues_secured`, `imstorm_ues_gone` | | UEs of the profile, with a connection, and through |
//! | `imstorm_sessions`, `imstorm_sessions_lost_total` | | sessions between UEs |
//! | `imstorm_retransmissions_total`, `imstorm_ignored_total` | | requests sent again; datagrams that no UE could use |
//! | `imstorm_load`, `imstorm_step` | | the step of the load that is on, and its number |
//! | `imstorm_start_lateness_seconds_max`, `imstorm_socket_wait_seconds_max` | | of the last second |
//! | `imstorm_socket_drops_total`, `imstorm_late_starts_total`, `imstorm_skipped_starts_total` | | what makes a run invalid |
//! | `imstorm_elapsed_seconds`, `imstorm_info` | `profile`, `version` | |
//! | `process_cpu_seconds_total`, `process_resident_memory_bytes` | | the generator's |

mod latency;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use imstorm_control::{Response, exposition};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

use crate::log::Second;
use crate::measure::{Cause, Procedure, StepTally, Tally, Transaction};
use crate::profile::Profile;
use latency::Latencies;

/// The numbers of one run, told once a second and asked for at any time.
#[derive(Debug)]
pub struct Metrics {
    totals: Arc<Mutex<Totals>>,
    registry: Registry,
}

/// Since the run's start.
#[derive(Debug)]
struct Totals {
    info: Info<Vec<(&'static str, String)>>,
    ues: u64,
    procedures: Vec<Counted>,
    transactions: Vec<Counted>,
    failures: BTreeMap<Cause, u64>,
    socket_drops: u64,
    late_starts: u64,
    skipped_starts: u64,
    /// The number of the step that is on, from 1, and its load; 0 where there is none.
    step: (usize, f64),
    last: Option<Last>,
}

/// What the last second ended with.
#[derive(Debug)]
struct Last {
    state: crate::generator::GeneratorState,
    elapsed_s: f64,
    cpu_s: f64,
    rss_bytes: u64,
    lateness_s: f64,
    socket_wait_s: f64,
}

/// Of one procedure or transaction.
#[derive(Debug, Clone, Default)]
struct Counted {
    attempted: u64,
    completed: u64,
    failed: u64,
    abandoned: u64,
    latencies: Latencies,
}

impl Counted {
    fn add(&mut self, tally: &Tally) {
        self.attempted += tally.attempted;
        self.completed += tally.completed;
        self.failed += tally.failed;
        self.abandoned += tally.abandoned;
        self.latencies.add(&tally.latency_us);
    }

    const fn is_idle(&self) -> bool {
        self.attempted == 0
    }
}

impl Metrics {
    /// Of a run of this profile that has not begun.
    #[must_use]
    pub fn new(profile: &Profile) -> Self {
        let info = vec![
            ("profile", profile.name.clone()),
            ("version", env!("CARGO_PKG_VERSION").to_owned()),
        ];
        let totals = Arc::new(Mutex::new(Totals {
            info: Info::new(info),
            ues: profile.ues(),
            procedures: vec![Counted::default(); Procedure::ALL.len()],
            transactions: vec![Counted::default(); Transaction::ALL.len()],
            failures: BTreeMap::new(),
            socket_drops: 0,
            late_starts: 0,
            skipped_starts: 0,
            step: (0, 0.0),
            last: None,
        }));
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Shared(Arc::clone(&totals))));
        Self { totals, registry }
    }

    /// Adds a second, and says which steps there have been.
    pub fn note(&self, second: &Second, steps: &[StepTally]) {
        let mut totals = lock(&self.totals);
        let of = |into: &mut Vec<Counted>, from: &[Tally]| {
            into.iter_mut().zip(from).for_each(|(into, from)| into.add(from));
        };
        of(&mut totals.procedures, &second.interval.procedures);
        of(&mut totals.transactions, &second.interval.transactions);
        for (cause, count) in second.interval.failures.iter() {
            *totals.failures.entry(cause).or_default() += count;
        }
        totals.socket_drops += second.health.socket_drops;
        totals.late_starts += second.interval.generator.late_starts;
        totals.skipped_starts += second.interval.generator.skipped_starts;
        totals.step = (steps.len(), steps.last().map_or(0.0, |step| step.load.0));
        totals.last = Some(Last {
            state: second.state,
            elapsed_s: second.until_ns as f64 / 1e9,
            cpu_s: second.cpu_ns as f64 / 1e9,
            rss_bytes: second.rss_bytes,
            lateness_s: second.health.lateness_us.max() as f64 / 1e6,
            socket_wait_s: second.health.socket_wait_us.max() as f64 / 1e6,
        });
    }

    /// The answer to a scrape. `accept` is the request's Accept.
    #[must_use]
    pub fn answer(&self, accept: &str) -> Response {
        exposition(&self.registry, accept)
    }
}

fn lock(totals: &Mutex<Totals>) -> MutexGuard<'_, Totals> {
    totals.lock().unwrap_or_else(PoisonError::into_inner)
}

#[derive(Debug)]
struct Shared(Arc<Mutex<Totals>>);

impl Collector for Shared {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> std::fmt::Result {
        lock(&self.0).encode(&mut Out(encoder))
    }
}

impl Totals {
    fn encode(&self, out: &mut Out<'_>) -> std::fmt::Result {
        let procedures = Procedure::ALL.iter().map(|it| it.name()).zip(&self.procedures);
        PROCEDURES.encode(out, procedures)?;
        let transactions = Transaction::ALL.iter().map(|it| it.name()).zip(&self.transactions);
        TRANSACTIONS.encode(out, transactions)?;
        out.labelled(
            "imstorm_failures",
            "Failures of procedures",
            MetricType::Counter,
            |family| {
                self.failures.iter().try_for_each(|(cause, failed)| {
                    labelled(family, ("cause", &cause.name()), |metric| count(metric, *failed))
                })
            },
        )?;
        out.gauge("imstorm_ues", "UEs of the profile", self.ues as f64)?;
        let (step, load) = self.step;
        out.gauge(
            "imstorm_step",
            "The step of the load that is on, from 1; 0 without steps",
            step as f64,
        )?;
        out.gauge("imstorm_load", "How many times the mix is offered in it", load)?;
        out.counter(
            "imstorm_socket_drops",
            "Datagrams that the generator's sockets dropped",
            self.socket_drops as f64,
        )?;
        out.counter(
            "imstorm_late_starts",
            "Starts that came later than the tolerance",
            self.late_starts as f64,
        )?;
        out.counter(
            "imstorm_skipped_starts",
            "Starts that never came",
            self.skipped_starts as f64,
        )?;
        if let Some(last) = &self.last {
            last.encode(out)?;
        }
        let info = out.0.encode_descriptor("imstorm", "What runs", None, MetricType::Info)?;
        self.info.encode(info)
    }
}

/// What metrics of procedures, or of transactions, are called.
struct Names {
    one: &'static str,
    label: &'static str,
    what: &'static str,
    latency: &'static str,
}

const PROCEDURES: Names = Names {
    one: "imstorm_procedure",
    label: "procedure",
    what: "Procedures",
    latency: "How long procedures took from their intended start",
};
const TRANSACTIONS: Names = Names {
    one: "imstorm_transaction",
    label: "method",
    what: "Requests",
    latency: "How long requests took to their final response",
};

impl Names {
    /// Writes those of which there have been any.
    fn encode<'a>(
        &self,
        out: &mut Out<'_>,
        all: impl Iterator<Item = (&'static str, &'a Counted)>,
    ) -> std::fmt::Result {
        let rows: Vec<_> = all.filter(|(_, counted)| !counted.is_idle()).collect();
        for (name, help, value) in COUNTS {
            let (name, help) = (format!("{}s_{name}", self.one), format!("{} {help}", self.what));
            out.labelled(&name, &help, MetricType::Counter, |family| {
                rows.iter().try_for_each(|(name, it)| {
                    labelled(family, (self.label, name), |metric| count(metric, value(it)))
                })
            })?;
        }
        let name = format!("{}_latency_seconds", self.one);
        out.labelled(&name, self.latency, MetricType::Histogram, |family| {
            rows.iter().try_for_each(|(name, it)| {
                labelled(family, (self.label, name), |metric| it.latencies.encode(metric))
            })
        })
    }
}

/// What is counted of each: the name's end, what it means, and where it is.
type Count = (&'static str, &'static str, fn(&Counted) -> u64);
const COUNTS: [Count; 4] = [
    ("attempted", "that were begun", |it| it.attempted),
    ("completed", "that ended well", |it| it.completed),
    ("failed", "that failed", |it| it.failed),
    ("abandoned", "that were given up, as the profile wants it", |it| it.abandoned),
];

impl Last {
    fn encode(&self, out: &mut Out<'_>) -> std::fmt::Result {
        let state = &self.state;
        out.gauge("imstorm_ues_secured", "UEs with a secure connection", state.secured as f64)?;
        out.gauge("imstorm_ues_gone", "UEs that are through", state.gone as f64)?;
        out.gauge("imstorm_sessions", "Sessions that are up", state.sessions.up() as f64)?;
        out.counter(
            "imstorm_sessions_lost",
            "Sessions that were lost",
            state.sessions.lost as f64,
        )?;
        out.counter(
            "imstorm_retransmissions",
            "Requests sent again",
            state.retransmissions as f64,
        )?;
        out.counter("imstorm_ignored", "Datagrams that no UE could use", state.ignored as f64)?;
        let help = "The longest that a start came after its intended time in the last second";
        out.gauge("imstorm_start_lateness_seconds_max", help, self.lateness_s)?;
        let help =
            "The longest that a datagram waited in the generator's sockets in the last second";
        out.gauge("imstorm_socket_wait_seconds_max", help, self.socket_wait_s)?;
        out.gauge("imstorm_elapsed_seconds", "From the run's start", self.elapsed_s)?;
        out.counter("process_cpu_seconds", "CPU time of all threads", self.cpu_s)?;
        out.gauge("process_resident_memory_bytes", "Memory in use", self.rss_bytes as f64)
    }
}

/// Writes one metric of a family.
fn labelled(
    family: &mut MetricEncoder<'_>,
    label: (&str, &str),
    write: impl FnOnce(&mut MetricEncoder<'_>) -> std::fmt::Result,
) -> std::fmt::Result {
    write(&mut family.encode_family(&[label])?)
}

fn count(metric: &mut MetricEncoder<'_>, value: u64) -> std::fmt::Result {
    metric.encode_counter::<NoLabelSet, _, u64>(&value, None)
}

/// Where metrics are written.
struct Out<'a>(DescriptorEncoder<'a>);

impl Out<'_> {
    fn labelled(
        &mut self,
        name: &str,
        help: &str,
        kind: MetricType,
        write: impl FnOnce(&mut MetricEncoder<'_>) -> std::fmt::Result,
    ) -> std::fmt::Result {
        write(&mut self.0.encode_descriptor(name, help, None, kind)?)
    }

    fn gauge(&mut self, name: &str, help: &str, value: f64) -> std::fmt::Result {
        self.labelled(name, help, MetricType::Gauge, |metric| metric.encode_gauge(&value))
    }

    fn counter(&mut self, name: &str, help: &str, value: f64) -> std::fmt::Result {
        self.labelled(name, help, MetricType::Counter, |metric| {
            metric.encode_counter::<NoLabelSet, _, u64>(&value, None)
        })
    }
}

#[cfg(test)]
mod tests;
