//! The engine's numbers as Prometheus takes them: `GET /metrics`.
//!
//! Every counter of [`Counters`] is `imstorm_engine_NAME_total`, every gauge of a shard `imstorm_engine_NAME`, both with the label `shard`, from 0.
//! Times are in seconds. Of the whole process there are the usual `process_…`, and `imstorm_engine_info` has version and back end as labels.

use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use imstorm_cscf::Counters;
use imstorm_uring::{Backend, process};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, NoLabelSet};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::metrics::{MetricType, TypedMetric};
use prometheus_client::registry::Registry;

use crate::status::{GAUGE_MEANINGS, GAUGE_NAMES, Gauge, Published};

/// What an engine tells Prometheus.
#[derive(Debug)]
pub struct Metrics {
    shards: Arc<Vec<Published>>,
    /// When the engine was started, in seconds since 1970.
    started_s: f64,
    version: Info<Vec<(&'static str, String)>>,
}

impl Metrics {
    /// A registry of what these shards publish. `deviation` says what is configured other than the specifications have it.
    #[must_use]
    pub fn registry(
        shards: Arc<Vec<Published>>,
        started: Instant,
        io: Backend,
        deviation: Option<&str>,
    ) -> Registry {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let started_s = (now.saturating_sub(started.elapsed())).as_secs_f64();
        let version = Info::new(vec![
            ("version", env!("CARGO_PKG_VERSION").to_owned()),
            ("io", io.to_string()),
            ("deviation", deviation.unwrap_or_default().to_owned()),
        ]);
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Self { shards, started_s, version }));
        registry
    }

    /// One metric with a value for each shard.
    fn per_shard(
        &self,
        encoder: &mut DescriptorEncoder<'_>,
        (name, help): (&str, &str),
        kind: MetricType,
        value: impl Fn(&Published) -> f64,
    ) -> std::fmt::Result {
        let name = format!("imstorm_engine_{name}");
        let mut metric = encoder.encode_descriptor(&name, help_of(help), None, kind)?;
        for (number, shard) in self.shards.iter().enumerate() {
            let labels = [("shard", number.to_string())];
            let mut metric = metric.encode_family(&labels)?;
            match kind {
                MetricType::Counter => {
                    metric.encode_counter::<NoLabelSet, _, u64>(&value(shard), None)?;
                }
                _ => metric.encode_gauge(&value(shard))?,
            }
        }
        Ok(())
    }
}

impl Collector for Metrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> std::fmt::Result {
        let encoder = &mut encoder;
        for (place, named) in Counters::NAMES.into_iter().zip(Counters::MEANINGS).enumerate() {
            let count = |shard: &Published| shard.counter(place) as f64;
            self.per_shard(encoder, named, MetricType::Counter, count)?;
        }
        for (place, (name, help)) in GAUGE_NAMES.iter().zip(GAUGE_MEANINGS).enumerate() {
            if place == Gauge::cpu_ns as usize {
                let named = ("cpu_seconds", "What the shard's thread has used of a core");
                let seconds = |shard: &Published| shard.gauge(place) as f64 / 1e9;
                self.per_shard(encoder, named, MetricType::Counter, seconds)?;
                continue;
            }
            let level = |shard: &Published| shard.gauge(place) as f64;
            self.per_shard(encoder, (name, help), MetricType::Gauge, level)?;
        }
        let memory = process::memory().unwrap_or_default();
        let cpu = ConstCounter::new(process::process_cpu_ns() as f64 / 1e9);
        one(encoder, "process_cpu_seconds", "CPU time of all threads", &cpu)?;
        let resident = ConstGauge::new(memory.resident_bytes as f64);
        one(encoder, "process_resident_memory_bytes", "Memory in use", &resident)?;
        let started = ConstGauge::new(self.started_s);
        one(encoder, "process_start_time_seconds", "When it was started, since 1970", &started)?;
        one(encoder, "imstorm_engine", "What runs", &self.version)
    }
}

/// One metric with one value.
fn one<M: EncodeMetric + TypedMetric>(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    metric: &M,
) -> std::fmt::Result {
    metric.encode(encoder.encode_descriptor(name, help, None, M::TYPE)?)
}

/// A sentence of the documentation as a help text, which the format ends with a full stop itself.
fn help_of(sentence: &str) -> &str {
    sentence.trim().trim_end_matches('.')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scrape_has_every_counter_and_gauge_of_every_shard() {
        let shards = Arc::new(vec![Published::default(), Published::default()]);
        let registry = Metrics::registry(
            Arc::clone(&shards),
            Instant::now(),
            Backend::Mmsg,
            Some("T1 is 500"),
        );
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        for name in Counters::NAMES {
            for shard in 0..2 {
                let line = format!("\nimstorm_engine_{name}_total{{shard=\"{shard}\"}} 0");
                assert!(text.contains(&line), "{line}\n{text}");
            }
        }
        for name in GAUGE_NAMES.iter().filter(|name| **name != "cpu_ns") {
            assert!(text.contains(&format!("\nimstorm_engine_{name}{{shard=\"1\"}} 0")), "{name}");
        }
        assert!(text.contains("imstorm_engine_info{version=\""), "{text}");
        assert!(text.contains("deviation=\"T1 is 500\"} 1"), "{text}");
        let undocumented =
            text.lines().filter(|line| line.starts_with("# HELP") && line.ends_with(" ."));
        assert_eq!(undocumented.collect::<Vec<_>>(), Vec::<&str>::new());
    }
}
