//! A timeline as the page's charts take it: a list of values for each line, one for each stretch.

use std::collections::BTreeMap;

use serde::Serialize;

use super::heat;
use super::offered;
use super::timeline::{Stretch, Timeline};
use crate::measure::Procedure;
use crate::profile::Profile;
use crate::report::{Engine, Report, Rows};

/// A line's values; nothing where nothing is known.
pub type Line = Vec<Option<f64>>;
/// A heat map: for each stretch `[row, count, row, count, …]`.
pub type HeatMap = Vec<Vec<u64>>;

/// Causes of failure that have lines of their own, the most frequent ones; all others are one line.
const CAUSES_MAX: usize = 12;

/// All lines.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Series {
    /// How long a stretch is, in seconds.
    pub width_s: f64,
    /// The ends of the stretches, in seconds from the run's start.
    pub ends_s: Vec<f64>,
    /// Of each procedure that began.
    pub procedures: Rows<Rates>,
    /// Rows of the heat maps for each power of ten.
    pub rows_per_decade: u32,
    /// Latencies from the intended start.
    pub heat: Rows<HeatMap>,
    /// Failures in each stretch, by cause.
    pub failures: Rows<Line>,
    /// The engine's state.
    pub engine: Rows<Line>,
    /// The generator's.
    pub generator: Rows<Line>,
}

/// A procedure's rates, each a second.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Rates {
    /// What was offered; nothing of what UEs do by timers of their own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offered: Option<Line>,
    /// Begun.
    pub started: Line,
    /// Ended well.
    pub completed: Line,
    /// Failed.
    pub failed: Line,
}

impl Series {
    /// Those of a run.
    #[must_use]
    pub fn new(timeline: &Timeline, profile: &Profile, report: &Report) -> Self {
        let stretches = timeline.stretches();
        let width_s = timeline.width_ns() as f64 / 1e9;
        let ends_s: Vec<f64> =
            (1..=stretches.len()).map(|number| number as f64 * width_s).collect();
        // Where a person has paused the load, or changed its rate, the profile no longer says what was offered.
        let mut offered = match report.interventions.is_empty() {
            true => offered::rates(profile, &report.steps, &seen_until_s(timeline, &ends_s)),
            false => BTreeMap::new(),
        };
        let is_seen = |it: &Procedure| stretches.iter().any(|at| at.procedures.contains_key(it));
        let seen: Vec<Procedure> = Procedure::ALL.iter().copied().filter(is_seen).collect();
        let rates =
            |it: &Procedure| (it.name().to_owned(), Rates::of(*it, stretches, offered.remove(it)));
        Self {
            width_s,
            ends_s,
            procedures: Rows(seen.iter().map(rates).collect()),
            rows_per_decade: heat::ROWS_PER_DECADE,
            heat: Rows(
                seen.iter().map(|it| (it.name().to_owned(), heat_map(*it, stretches))).collect(),
            ),
            failures: failures(stretches),
            engine: engine(stretches),
            generator: generator(stretches),
        }
    }
}

/// The ends of the stretches, of which the last one may have ended early with the run.
fn seen_until_s(timeline: &Timeline, ends_s: &[f64]) -> Vec<f64> {
    let mut ends_s = ends_s.to_vec();
    if let (Some(end_s), Some(last)) = (ends_s.last_mut(), timeline.stretches().last()) {
        let began_s = *end_s - timeline.width_ns() as f64 / 1e9;
        let until_s = last.until_ns as f64 / 1e9;
        if until_s > began_s {
            *end_s = end_s.min(until_s);
        }
    }
    ends_s
}

impl Rates {
    fn of(procedure: Procedure, stretches: &[Stretch], offered: Option<offered::Rates>) -> Self {
        let line = |of: fn(&super::timeline::Counts) -> u64| {
            let count = |it: &Stretch| it.procedures.get(&procedure).map_or(0, of);
            stretches.iter().map(|it| per_s(it, count(it))).collect()
        };
        let offered = offered.filter(|rates| rates.iter().any(Option::is_some));
        Self {
            offered: offered.map(|rates| rates.into_iter().map(|it| it.map(tidy)).collect()),
            started: line(|it| it.attempted),
            completed: line(|it| it.completed),
            failed: line(|it| it.failed),
        }
    }
}

fn heat_map(procedure: Procedure, stretches: &[Stretch]) -> HeatMap {
    let cells = |it: &Stretch| {
        let heat = it.procedures.get(&procedure).map(|counts| &counts.heat);
        let cells = heat.into_iter().flatten();
        cells.flat_map(|(row, count)| [u64::from(*row), *count]).collect()
    };
    stretches.iter().map(cells).collect()
}

/// Counts for each stretch; the causes that are rare beside many others are put together.
fn failures(stretches: &[Stretch]) -> Rows<Line> {
    let mut totals = BTreeMap::new();
    for (cause, count) in stretches.iter().flat_map(|it| &it.failures) {
        *totals.entry(*cause).or_insert(0) += count;
    }
    let mut causes: Vec<_> = totals.into_iter().collect();
    causes.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let (own, others) = causes.split_at(causes.len().min(CAUSES_MAX));
    let line = |of: &dyn Fn(&Stretch) -> u64| -> Line {
        stretches.iter().map(|it| (it.covered_ns > 0).then(|| of(it) as f64)).collect()
    };
    let of_cause = |(cause, _): &(crate::measure::Cause, u64)| {
        let count = |it: &Stretch| it.failures.get(cause).copied().unwrap_or(0);
        (cause.name().into_owned(), line(&count))
    };
    let mut rows: Vec<_> = own.iter().map(of_cause).collect();
    if !others.is_empty() {
        let count = |it: &Stretch| {
            others.iter().filter_map(|(cause, _)| it.failures.get(cause)).sum::<u64>()
        };
        rows.push((format!("{} others", others.len()), line(&count)));
    }
    Rows(rows)
}

fn engine(stretches: &[Stretch]) -> Rows<Line> {
    if stretches.iter().all(|it| it.engine.is_none()) {
        return Rows(Vec::new());
    }
    let gauge = |name: &str, of: fn(&Engine) -> u64| {
        let line = stretches.iter().map(|it| it.engine.as_ref().map(|engine| of(engine) as f64));
        (name.to_owned(), line.collect::<Line>())
    };
    let rate = |name: &str, of: fn(&Engine) -> f64| {
        (name.to_owned(), rises(stretches, |it| it.engine.as_ref().map(of)))
    };
    Rows(vec![
        gauge("subscriptions", |it| it.subscriptions),
        gauge("security_associations", |it| it.security_associations),
        gauge("registrations", |it| it.registrations),
        gauge("sessions", |it| it.sessions),
        gauge("rss_bytes", |it| it.rss_bytes),
        gauge("table_bytes", |it| it.pcscf_bytes + it.scscf_bytes),
        rate("cpu", |it| it.cpu_s),
        rate("messages_in_per_s", |it| it.messages_in as f64),
        rate("messages_out_per_s", |it| it.messages_out as f64),
        rate("gm_messages_per_s", |it| it.gm_messages as f64),
        rate("mw_messages_per_s", |it| it.mw_messages as f64),
        rate("shard_hops_per_s", |it| it.shard_hops as f64),
        rate("esp_rejected_per_s", |it| it.esp_rejected as f64),
    ])
}

fn generator(stretches: &[Stretch]) -> Rows<Line> {
    let gauge = |name: &str, of: fn(&Stretch) -> f64| {
        let line = stretches.iter().map(|it| (it.covered_ns > 0).then(|| tidy(of(it))));
        (name.to_owned(), line.collect::<Line>())
    };
    let seen =
        |of: fn(&Stretch) -> f64| rises(stretches, move |it| (it.covered_ns > 0).then(|| of(it)));
    Rows(vec![
        gauge("secured", |it| it.state.secured as f64),
        gauge("sessions", |it| it.state.sessions.up() as f64),
        gauge("under_way", |it| it.state.under_way as f64),
        gauge("lateness_p99_us", |it| it.health.lateness_p99_us as f64),
        gauge("socket_wait_p99_us", |it| it.health.socket_wait_p99_us as f64),
        gauge("tick_p99_us", |it| it.health.tick_p99_us as f64),
        gauge("thread_share", |it| {
            if it.health.wall_s > 0.0 { it.health.cpu_s / it.health.wall_s } else { 0.0 }
        }),
        ("cpu".to_owned(), seen(|it| it.cpu_ns as f64 / 1e9)),
        gauge("rss_bytes", |it| it.rss_bytes as f64),
        gauge("late_starts", |it| it.health.late_starts as f64),
        gauge("socket_drops", |it| it.health.socket_drops as f64),
        ("retransmissions_per_s".to_owned(), seen(|it| it.state.retransmissions as f64)),
    ])
}

/// By how much a sum rises a second from one stretch in which it is known to the next.
fn rises(stretches: &[Stretch], of: impl Fn(&Stretch) -> Option<f64>) -> Line {
    let mut before: Option<(f64, u64)> = None;
    let mut rise = |it: &Stretch| {
        let now = (of(it)?, it.until_ns);
        let (then, then_ns) = before.replace(now)?;
        let took_s = now.1.saturating_sub(then_ns) as f64 / 1e9;
        // A sum that falls is of an engine that was started anew.
        (took_s > 0.0 && now.0 >= then).then(|| tidy((now.0 - then) / took_s))
    };
    stretches.iter().map(&mut rise).collect()
}

fn per_s(stretch: &Stretch, count: u64) -> Option<f64> {
    let covered_s = stretch.covered_ns as f64 / 1e9;
    (covered_s > 0.0).then(|| tidy(count as f64 / covered_s))
}

/// Finer than a chart can show is only length.
fn tidy(value: f64) -> f64 {
    (value * 1e3).round() / 1e3
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::Cause;

    fn stretch(until_s: u64, engine: Option<u64>) -> Stretch {
        Stretch {
            covered_ns: 1_000_000_000,
            until_ns: until_s * 1_000_000_000,
            engine: engine.map(|messages_in| Engine { messages_in, ..Engine::default() }),
            ..Stretch::default()
        }
    }

    #[test]
    fn a_rate_is_spread_over_the_time_in_which_nothing_was_heard() {
        let stretches =
            [stretch(1, Some(100)), stretch(2, None), stretch(3, Some(300)), stretch(4, Some(50))];
        let engine = engine(&stretches);
        assert_eq!(*engine.get("messages_in_per_s").unwrap(), [None, None, Some(100.0), None]);
        assert_eq!(super::engine(&[stretch(1, None)]), Rows(Vec::new()));
    }

    #[test]
    fn rare_causes_share_a_line() {
        let mut one = stretch(1, None);
        for code in 400..420 {
            one.failures.insert(Cause::StatusOther(code), u64::from(code));
        }
        let rows = failures(&[one]);
        assert_eq!(rows.0.len(), CAUSES_MAX + 1);
        assert_eq!(rows.0[0], ("status_419".to_owned(), vec![Some(419.0)]));
        let others: u16 = (400..408).sum();
        assert_eq!(rows.0[CAUSES_MAX], ("8 others".to_owned(), vec![Some(f64::from(others))]));
    }
}
