//! The generator's health as lines for a person.

use std::fmt::Write as _;

use super::cores::list;
use super::{Distribution, Health};

/// The lines, each with room for a title before it.
pub(crate) fn render(health: &Health) -> String {
    let mut text = String::new();
    let mut line = |words: String| {
        let _ = writeln!(text, "           {words}");
    };
    if health.lateness_us.count() > 0 {
        line(format!("starts late by {}", percentiles(&health.lateness_us)));
    }
    if health.socket_wait_us.count() > 0 {
        line(format!("datagrams waited {}", percentiles(&health.socket_wait_us)));
    }
    if health.tick_us.count() > 0 {
        line(format!("each look took {}", percentiles(&health.tick_us)));
    }
    let thread = &health.generator_thread;
    if thread.wall_s > 0.0 {
        line(format!(
            "its thread ran {:.0}% of the time, {:.0}% of its busiest second, and was interrupted {} times; softnet drops {}",
            100.0 * thread.cpu_share,
            100.0 * thread.cpu_share_max.max(thread.cpu_share),
            thread.involuntary_switches,
            health.softnet.dropped
        ));
    }
    if !health.cores.generator.is_empty() {
        let engine = health.cores.engine.as_ref();
        let engine = engine.map_or_else(|| "are not known".to_owned(), list);
        let generator = list(&health.cores.generator);
        line(format!(
            "cores {generator}, the engine's {engine}; timer slack {} ns",
            health.timer_slack_ns
        ));
    }
    if !health.latency_usable {
        line(format!(
            "LATENCIES ARE NOT USABLE: engine and generator share core {}",
            list(&health.cores.shared)
        ));
    }
    if !health.loosened.is_empty() {
        line(format!("rules laxer than the default: {}", health.loosened.join(", ")));
    }
    text
}

fn percentiles(distribution: &Distribution) -> String {
    let [p50, p99, max] =
        [distribution.at(0.5), distribution.at(0.99), distribution.max()].map(duration);
    format!("p50 {p50}, p99 {p99}, at most {max}")
}

/// Microseconds in a unit that fits, as fine as buckets are.
pub(super) fn duration(us: u64) -> String {
    let ms = us as f64 / 1_000.0;
    match us {
        0..1_000 => format!("{us} µs"),
        1_000..10_000 => format!("{ms:.1} ms"),
        _ => format!("{ms:.0} ms"),
    }
}
