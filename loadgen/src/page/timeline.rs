//! What a run did over time, in a bounded number of stretches of equal length: a run of a minute has one for each second, and a day's run no more of
//! them, each so much longer.

use std::collections::BTreeMap;

use imstorm_base::time::NS_PER_S;

use super::heat;
use crate::generator::GeneratorState;
use crate::log::Second;
use crate::measure::{Cause, Procedure, Tally};
use crate::report::Engine;

/// The most stretches. When there would be more, two become one.
pub const STRETCHES_MAX: usize = 300;

/// A run's stretches, in order from its start.
#[derive(Debug, Clone)]
pub struct Timeline {
    width_ns: u64,
    stretches: Vec<Stretch>,
    peaks: Peaks,
    /// The engine's state when it was last heard of.
    heard: Option<Engine>,
}

/// The highest values of single seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Peaks {
    /// Procedures under way.
    pub under_way: u64,
    /// Sessions that were up.
    pub sessions: u64,
    /// The generator's memory, in bytes.
    pub generator_bytes: u64,
    /// The engine's, in bytes.
    pub engine_bytes: u64,
    /// Security associations in the engine.
    pub associations: u64,
}

/// What happened in a stretch.
#[derive(Debug, Clone, Default)]
pub struct Stretch {
    /// How much of it was measured, in nanoseconds; 0 where the log has a gap.
    pub covered_ns: u64,
    /// The end of its last second, in nanoseconds from the run's start.
    pub until_ns: u64,
    /// What came of procedures.
    pub procedures: BTreeMap<Procedure, Counts>,
    /// Failures, by cause.
    pub failures: BTreeMap<Cause, u64>,
    /// The generator's state at its end.
    pub state: GeneratorState,
    /// The processor time that the generator had used by its end, in nanoseconds.
    pub cpu_ns: u64,
    /// The generator's memory at its end, in bytes.
    pub rss_bytes: u64,
    /// How the generator did.
    pub health: StretchHealth,
    /// The engine's state as last heard of; nothing where nothing new was heard.
    pub engine: Option<Engine>,
}

/// How the generator did in a stretch. Percentiles are those of its worst second.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct StretchHealth {
    /// How late starts came, 99 of 100, in microseconds.
    pub lateness_p99_us: u64,
    /// How long datagrams waited in its sockets, 99 of 100, in microseconds.
    pub socket_wait_p99_us: u64,
    /// How long a look took, 99 of 100, in microseconds.
    pub tick_p99_us: u64,
    /// How long its thread was there, in seconds.
    pub wall_s: f64,
    /// How long that ran, in seconds.
    pub cpu_s: f64,
    /// Datagrams that the kernel dropped at its sockets.
    pub socket_drops: u64,
    /// Starts that came late.
    pub late_starts: u64,
}

/// What came of a procedure.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Counts {
    /// How many began.
    pub attempted: u64,
    /// How many ended well.
    pub completed: u64,
    /// How many failed.
    pub failed: u64,
    /// How many of its latencies are in each row of the heat map.
    pub heat: BTreeMap<u8, u64>,
}

impl Default for Timeline {
    fn default() -> Self {
        let peaks = Peaks::default();
        Self { width_ns: NS_PER_S, stretches: Vec::new(), peaks, heard: None }
    }
}

impl Timeline {
    /// Takes note of a second. It counts for the stretch that its middle is in.
    pub fn note(&mut self, second: &Second) {
        let middle_ns = second.from_ns / 2 + second.until_ns / 2;
        let mut place = middle_ns / self.width_ns;
        while place >= STRETCHES_MAX as u64 {
            self.halve();
            place = middle_ns / self.width_ns;
        }
        let place = usize::try_from(place).unwrap_or(STRETCHES_MAX - 1);
        if self.stretches.len() <= place {
            self.stretches.resize_with(place + 1, Stretch::default);
        }
        let news = second.engine.filter(|engine| self.heard.as_ref() != Some(engine));
        self.heard = news.or(self.heard);
        self.peaks.note(second);
        self.stretches[place].merge(&Stretch::of(second, news));
    }

    /// The stretches.
    #[must_use]
    pub fn stretches(&self) -> &[Stretch] {
        &self.stretches
    }

    /// How long each of them is, in nanoseconds: a number of whole seconds.
    #[must_use]
    pub const fn width_ns(&self) -> u64 {
        self.width_ns
    }

    /// The highest values of single seconds.
    #[must_use]
    pub const fn peaks(&self) -> &Peaks {
        &self.peaks
    }

    /// Makes one of each two.
    fn halve(&mut self) {
        self.width_ns = self.width_ns.saturating_mul(2);
        let pairs = self.stretches.chunks(2);
        self.stretches = pairs
            .map(|pair| {
                let mut one = pair[0].clone();
                pair[1..].iter().for_each(|other| one.merge(other));
                one
            })
            .collect();
    }
}

impl Peaks {
    fn note(&mut self, second: &Second) {
        let engine = second.engine.unwrap_or_default();
        self.under_way = self.under_way.max(second.state.under_way);
        self.sessions = self.sessions.max(second.state.sessions.up());
        self.generator_bytes = self.generator_bytes.max(second.rss_bytes);
        self.engine_bytes = self.engine_bytes.max(engine.rss_bytes);
        self.associations = self.associations.max(engine.security_associations);
    }
}

impl Stretch {
    fn of(second: &Second, engine: Option<Engine>) -> Self {
        let (interval, health) = (&second.interval, &second.health);
        let rows = Procedure::ALL.iter().zip(&interval.procedures);
        let rows = rows.filter(|(_, tally)| tally.attempted > 0 || tally.over() > 0);
        Self {
            covered_ns: second.until_ns.saturating_sub(second.from_ns),
            until_ns: second.until_ns,
            procedures: rows.map(|(procedure, tally)| (*procedure, Counts::of(tally))).collect(),
            failures: interval.failures.iter().collect(),
            state: second.state,
            cpu_ns: second.cpu_ns,
            rss_bytes: second.rss_bytes,
            health: StretchHealth {
                lateness_p99_us: health.lateness_us.at(0.99),
                socket_wait_p99_us: health.socket_wait_us.at(0.99),
                tick_p99_us: health.tick_us.at(0.99),
                wall_s: health.generator_thread.wall_s,
                cpu_s: health.generator_thread.cpu_s,
                socket_drops: health.socket_drops,
                late_starts: interval.generator.late_starts,
            },
            engine,
        }
    }

    /// Adds what came behind it.
    fn merge(&mut self, later: &Self) {
        if later.covered_ns == 0 {
            return;
        }
        self.covered_ns += later.covered_ns;
        self.until_ns = later.until_ns;
        for (procedure, counts) in &later.procedures {
            self.procedures.entry(*procedure).or_default().merge(counts);
        }
        for (cause, count) in &later.failures {
            *self.failures.entry(*cause).or_default() += count;
        }
        self.state = later.state;
        self.cpu_ns = later.cpu_ns;
        self.rss_bytes = later.rss_bytes;
        self.health.merge(&later.health);
        self.engine = later.engine.or(self.engine);
    }
}

impl StretchHealth {
    fn merge(&mut self, other: &Self) {
        self.lateness_p99_us = self.lateness_p99_us.max(other.lateness_p99_us);
        self.socket_wait_p99_us = self.socket_wait_p99_us.max(other.socket_wait_p99_us);
        self.tick_p99_us = self.tick_p99_us.max(other.tick_p99_us);
        self.wall_s += other.wall_s;
        self.cpu_s += other.cpu_s;
        self.socket_drops += other.socket_drops;
        self.late_starts += other.late_starts;
    }
}

impl Counts {
    fn of(tally: &Tally) -> Self {
        let Tally { attempted, completed, failed, latency_us, .. } = tally;
        Self {
            attempted: *attempted,
            completed: *completed,
            failed: *failed,
            heat: heat::rows(latency_us),
        }
    }

    fn merge(&mut self, other: &Self) {
        self.attempted += other.attempted;
        self.completed += other.completed;
        self.failed += other.failed;
        for (row, count) in &other.heat {
            *self.heat.entry(*row).or_default() += count;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::health::Health;
    use crate::measure::{Measurements, Start};

    fn second(number: u64, completed: u64) -> Second {
        let mut measurements = Measurements::new();
        for _ in 0..completed {
            measurements.attempted(Procedure::Secure, Start::default());
            measurements.completed(Procedure::Secure, Start::default(), 2_000_000);
        }
        Second {
            from_ns: (number - 1) * NS_PER_S,
            until_ns: number * NS_PER_S,
            interval: measurements.interval(),
            steps: Vec::new(),
            interventions: Vec::new(),
            state: GeneratorState { under_way: number, ..GeneratorState::default() },
            health: Health::default(),
            cpu_ns: number,
            rss_bytes: 100 - number.min(100),
            engine: Some(Engine { messages_in: number / 2, ..Engine::default() }),
        }
    }

    fn completed(timeline: &Timeline) -> Vec<u64> {
        let of = |it: &Stretch| it.procedures.get(&Procedure::Secure).map_or(0, |it| it.completed);
        timeline.stretches().iter().map(of).collect()
    }

    #[test]
    fn a_short_run_has_a_stretch_for_each_second() {
        let mut timeline = Timeline::default();
        (1..=3).for_each(|number| timeline.note(&second(number, number)));
        assert_eq!(completed(&timeline), [1, 2, 3]);
        assert_eq!(timeline.width_ns(), NS_PER_S);
        let counts = &timeline.stretches()[2].procedures[&Procedure::Secure];
        assert_eq!(counts.heat, BTreeMap::from([(heat::row_of(2_000), 3)]));
    }

    #[test]
    fn a_long_run_loses_no_count_and_stays_small() {
        let mut timeline = Timeline::default();
        (1..=1_000).for_each(|number| timeline.note(&second(number, 1)));
        assert_eq!(timeline.width_ns(), 4 * NS_PER_S);
        assert_eq!(completed(&timeline), [4; 250]);
        let last = timeline.stretches().last().unwrap();
        assert_eq!(
            (last.covered_ns, last.until_ns, last.cpu_ns),
            (4 * NS_PER_S, 1_000 * NS_PER_S, 1_000)
        );
        assert_eq!(timeline.peaks().under_way, 1_000);
        assert_eq!(timeline.peaks().generator_bytes, 99);
    }

    #[test]
    fn what_the_engine_was_not_asked_again_for_is_no_news() {
        let mut timeline = Timeline::default();
        (1..=4).for_each(|number| timeline.note(&second(number, 0)));
        // Half of it each: 0, 1, 1, 2.
        let news = timeline.stretches().iter().map(|it| it.engine.map(|it| it.messages_in));
        assert_eq!(news.collect::<Vec<_>>(), [Some(0), Some(1), None, Some(2)]);
    }

    #[test]
    fn a_gap_is_kept_and_no_time_is_too_late() {
        let mut timeline = Timeline::default();
        timeline.note(&second(1, 1));
        timeline.note(&second(4, 1));
        assert_eq!(completed(&timeline), [1, 0, 0, 1]);
        assert_eq!(timeline.stretches()[1].covered_ns, 0);
        let last = Second { from_ns: u64::MAX - 1, until_ns: u64::MAX, ..second(1, 1) };
        timeline.note(&last);
        assert!(timeline.stretches().len() <= STRETCHES_MAX);
        assert_eq!(completed(&timeline).iter().sum::<u64>(), 3);
    }
}
