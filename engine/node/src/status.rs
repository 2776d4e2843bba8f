//! What the control plane shows of the shards. Each shard publishes its numbers into memory that only it writes; readers take
//! what is there.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use imstorm_cscf::Counters;
use imstorm_uring::{Backend, process};
use serde_json::{Map, Value, json};

use crate::shard::Shard;

macro_rules! gauges {
    ($($(#[doc = $doc:literal])* $name:ident),* $(,)?) => {
        /// A shard's gauges, by place.
        #[derive(Copy, Clone)]
        #[allow(non_camel_case_types)]
        pub(crate) enum Gauge { $($name),* }
        pub(crate) const GAUGE_NAMES: &[&str] = &[$(stringify!($name)),*];
        /// What each is, in the same order.
        pub(crate) const GAUGE_MEANINGS: &[&str] = &[$(concat!($($doc),*)),*];
    };
}

gauges! {
    /// UEs' connections at the P-CSCF.
    connections,
    /// Security associations at the P-CSCF: four for each set.
    security_associations,
    /// Transactions that the P-CSCF has open.
    pcscf_transactions,
    /// What the P-CSCF keeps of transactions that are over, to answer what comes again.
    pcscf_tombstones,
    /// Bytes of strings that the P-CSCF holds.
    pcscf_strings_bytes,
    /// Security subscriptions at the S-CSCF.
    subscriptions,
    /// Bindings at the S-CSCF.
    registrations,
    /// Sessions at the S-CSCF.
    sessions,
    /// Subscriptions to the reg event package at the S-CSCF.
    reg_subscriptions,
    /// Challenges that wait for their answer.
    challenges,
    /// NOTIFYs that wait for theirs.
    notifications,
    /// Bytes of strings that the S-CSCF holds.
    scscf_strings_bytes,
    /// Timers that run.
    timers,
    /// What the shard's thread has used of a core, in nanoseconds.
    cpu_ns,
    /// Bytes of the P-CSCF's tables in use.
    pcscf_bytes,
    /// Bytes of the S-CSCF's tables in use.
    scscf_bytes,
}

/// One shard's published numbers.
#[derive(Debug)]
pub struct Published {
    counters: [AtomicU64; Counters::COUNT],
    gauges: [AtomicU64; GAUGE_NAMES.len()],
}

impl Default for Published {
    fn default() -> Self {
        Self {
            counters: std::array::from_fn(|_| AtomicU64::new(0)),
            gauges: std::array::from_fn(|_| AtomicU64::new(0)),
        }
    }
}

impl Published {
    /// Publishes a shard's numbers; called on its own thread alone.
    pub fn publish(&self, shard: &Shard) {
        for (place, value) in shard.counters().values().into_iter().enumerate() {
            self.counters[place].store(value, Ordering::Relaxed);
        }
        let tables = shard.tables();
        let set = |gauge: Gauge, value: usize| {
            self.gauges[gauge as usize].store(value as u64, Ordering::Relaxed);
        };
        set(Gauge::connections, tables.pcscf.connections);
        set(Gauge::security_associations, 4 * tables.pcscf.sets);
        set(Gauge::pcscf_transactions, tables.pcscf.transactions);
        set(Gauge::pcscf_tombstones, tables.pcscf.tombstones);
        set(Gauge::pcscf_strings_bytes, tables.pcscf.strings_bytes);
        set(Gauge::subscriptions, tables.scscf.subscriptions);
        set(Gauge::registrations, tables.scscf.bindings);
        set(Gauge::sessions, tables.scscf.sessions);
        set(Gauge::reg_subscriptions, tables.scscf.reg_subscriptions);
        set(Gauge::challenges, tables.scscf.challenges);
        set(Gauge::notifications, tables.scscf.notifications);
        set(Gauge::scscf_strings_bytes, tables.scscf.strings_bytes);
        set(Gauge::timers, tables.timers);
        set(Gauge::pcscf_bytes, tables.pcscf.bytes);
        set(Gauge::scscf_bytes, tables.scscf.bytes);
        self.gauges[Gauge::cpu_ns as usize].store(process::thread_cpu_ns(), Ordering::Relaxed);
    }

    pub(crate) fn counter(&self, place: usize) -> u64 {
        self.counters[place].load(Ordering::Relaxed)
    }

    pub(crate) fn gauge(&self, place: usize) -> u64 {
        self.gauges[place].load(Ordering::Relaxed)
    }
}

/// The engine's state, as `GET /v1/status` gives it. `deviation` says what is configured other than the specifications have it.
#[must_use]
pub fn status(
    shards: &[Published],
    started: Instant,
    io: Backend,
    deviation: Option<&str>,
) -> Value {
    let counter = |place: usize| shards.iter().map(|shard| shard.counter(place)).sum::<u64>();
    let gauge = |place: Gauge| shards.iter().map(|shard| shard.gauge(place as usize)).sum::<u64>();
    let counters: Map<String, Value> = Counters::NAMES
        .iter()
        .enumerate()
        .map(|(place, name)| ((*name).to_owned(), counter(place).into()))
        .collect();
    let per_shard: Vec<Value> = shards.iter().map(shard_status).collect();
    let memory = process::memory().unwrap_or_default();
    json!({
        "subscriptions": gauge(Gauge::subscriptions),
        "security_associations": gauge(Gauge::security_associations),
        "registrations": gauge(Gauge::registrations),
        "sessions": gauge(Gauge::sessions),
        "messages_in": counters["messages_in"],
        "messages_out": counters["messages_out"],
        "gm_messages": counters["gm_messages"],
        "gm_bytes": counters["gm_bytes"],
        "mw_messages": counters["mw_messages"],
        "mw_bytes": counters["mw_bytes"],
        "pcscf_bytes": gauge(Gauge::pcscf_bytes),
        "scscf_bytes": gauge(Gauge::scscf_bytes),
        "esp_rejected": counters["esp_rejected"],
        "shard_hops": counters["shard_hops"],
        "cpu_s": process::process_cpu_ns() as f64 / 1e9,
        "rss_bytes": memory.resident_bytes,
        "rss_bytes_max": memory.resident_bytes_max,
        "uptime_s": started.elapsed().as_secs_f64(),
        "version": env!("CARGO_PKG_VERSION"),
        "io": io.to_string(),
        "deviation": deviation,
        "counters": counters,
        "shards": per_shard,
    })
}

fn shard_status(shard: &Published) -> Value {
    let gauges = GAUGE_NAMES.iter().enumerate();
    let fields: Map<String, Value> =
        gauges.map(|(place, name)| ((*name).to_owned(), shard.gauge(place).into())).collect();
    Value::Object(fields)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Prometheus' rule for names of metrics, without the colon and upper case.
    #[test]
    fn names_are_fit_for_any_collector_and_unique() {
        for names in [&Counters::NAMES[..], GAUGE_NAMES] {
            for (place, name) in names.iter().enumerate() {
                let letter = |byte: u8| byte.is_ascii_lowercase() || byte == b'_';
                assert!(letter(name.as_bytes()[0]), "{name}");
                assert!(name.bytes().all(|byte| letter(byte) || byte.is_ascii_digit()), "{name}");
                assert!(!names[..place].contains(name), "{name} twice");
            }
        }
    }

    #[test]
    fn the_status_has_all_counters_and_each_shards_gauges() {
        let shards = [Published::default(), Published::default()];
        let status = status(&shards, Instant::now(), Backend::Mmsg, Some("T1"));
        assert_eq!(status["deviation"], "T1");
        assert_eq!(status["counters"].as_object().unwrap().len(), Counters::COUNT);
        assert_eq!(status["shards"].as_array().unwrap().len(), 2);
        assert_eq!(status["registrations"], 0);
    }

    #[test]
    fn what_the_shards_hold_is_what_the_status_says() {
        let shards = [Published::default(), Published::default()];
        let held = [Gauge::subscriptions, Gauge::registrations, Gauge::sessions];
        for shard in &shards {
            for (count, gauge) in (1..).zip(held) {
                shard.gauges[gauge as usize].store(count, Ordering::Relaxed);
            }
        }
        let status = status(&shards, Instant::now(), Backend::Mmsg, None);
        let says = ["subscriptions", "registrations", "sessions"].map(|key| status[key].clone());
        assert_eq!(says, [2, 4, 6]);
    }
}
