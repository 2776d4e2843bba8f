//! The verdict on the generator: why a run is no measurement of its target.

use super::Health;
use super::cores::list;
use super::table::duration;
use crate::measure::GeneratorCounts;
use crate::profile::{SharedCore, Validity};

/// What is held against the rules.
#[derive(Debug, Clone, Copy)]
pub struct Judgement<'a> {
    /// What the generator knows of itself.
    pub health: &'a Health,
    /// What it has counted beside procedures.
    pub counts: GeneratorCounts,
}

impl Judgement<'_> {
    /// Each rule that was broken, in words and numbers.
    #[must_use]
    pub fn reasons(&self, rules: &Validity) -> Vec<String> {
        let reasons = [
            self.late_starts(rules),
            self.lateness(rules),
            self.socket_wait(rules),
            self.socket_drops(rules),
            self.softnet_drops(rules),
            self.cpu_share(rules),
            self.shared_core(rules),
            self.skipped_starts(rules),
        ];
        reasons.into_iter().flatten().collect()
    }

    fn late_starts(&self, rules: &Validity) -> Option<String> {
        let lateness = &self.health.lateness_us;
        // Beyond the usual limit they were counted one by one; beyond others the histogram tells, as fine as its buckets are.
        let late = if rules.late_ms == Validity::default().late_ms {
            self.counts.late_starts
        } else {
            lateness.count_above((rules.late_ms * 1_000.0) as u64)
        };
        let starts = lateness.count();
        (late as f64 > rules.late_share_max * starts as f64).then(|| {
            format!(
                "{late} of {starts} starts came more than {} ms late, where {}% may, the latest by {}: the generator was the limit",
                rules.late_ms,
                100.0 * rules.late_share_max,
                duration(lateness.max())
            )
        })
    }

    fn lateness(&self, rules: &Validity) -> Option<String> {
        let p99_us = self.health.lateness_us.at(0.99);
        above(p99_us as f64 / 1_000.0, rules.lateness_p99_ms_max).map(|most| {
            let p99 = duration(p99_us);
            format!(
                "99 of 100 starts came up to {p99} late, where {most} ms are allowed: the generator was the limit"
            )
        })
    }

    fn socket_wait(&self, rules: &Validity) -> Option<String> {
        let p99_us = self.health.socket_wait_us.at(0.99);
        above(p99_us as f64 / 1_000.0, rules.socket_wait_p99_ms_max).map(|most| {
            let p99 = duration(p99_us);
            format!(
                "99 of 100 datagrams waited up to {p99} in the generator's own sockets, where {most} ms are allowed"
            )
        })
    }

    fn socket_drops(&self, rules: &Validity) -> Option<String> {
        let (drops, most) = (self.health.socket_drops, rules.socket_drops_max);
        let allowed = if most > 0 { format!(", where {most} are allowed") } else { String::new() };
        (drops > most).then(|| {
            format!(
                "the kernel dropped {drops} datagrams at the generator's own sockets{allowed} (net.core.rmem_max)"
            )
        })
    }

    fn softnet_drops(&self, rules: &Validity) -> Option<String> {
        let drops = self.health.softnet.dropped;
        let most = rules.softnet_drops_max.filter(|most| drops > *most)?;
        Some(format!(
            "the machine dropped {drops} packets before any socket, where {most} are allowed (net.core.netdev_max_backlog)"
        ))
    }

    fn cpu_share(&self, rules: &Validity) -> Option<String> {
        let thread = &self.health.generator_thread;
        // A run of less than a second has no busiest one.
        let share = thread.cpu_share_max.max(thread.cpu_share);
        above(share, rules.generator_cpu_share_max).map(|most| {
            format!(
                "the generator's thread ran {:.1}% of its busiest second, where {:.1}% are allowed",
                100.0 * share,
                100.0 * most
            )
        })
    }

    fn shared_core(&self, rules: &Validity) -> Option<String> {
        let shared = &self.health.cores.shared;
        let is_broken = rules.shared_core == SharedCore::Invalid && !self.health.latency_usable;
        is_broken.then(|| format!("engine and generator share core {}", list(shared)))
    }

    fn skipped_starts(&self, rules: &Validity) -> Option<String> {
        let skipped = self.counts.skipped_starts;
        let most = rules.skipped_starts_max.filter(|most| skipped > *most)?;
        Some(format!("{skipped} starts were skipped, where {most} are allowed"))
    }
}

/// The limit, where there is one and the value is above it.
fn above(value: f64, most: Option<f64>) -> Option<f64> {
    most.filter(|most| value > *most)
}
