//! The counts and latencies of one procedure or transaction.

use hdrhistogram::Histogram;
use imstorm_base::time::Time;
use serde::{Deserialize, Serialize};

use super::Start;

/// The longest latency that is told from longer ones, in nanoseconds: ten minutes, far beyond every
/// timer of a UE. A longer one is recorded as this.
pub const LATENCY_MAX_NS: u64 = 600 * 1_000_000_000;

pub(super) const LATENCY_MAX_US: u64 = LATENCY_MAX_NS / 1_000;
pub(super) const SIGNIFICANT_DIGITS: u8 = 3;

/// Counts and latencies over some time.
#[derive(Debug, Clone)]
pub struct Tally {
    /// How many have started.
    pub attempted: u64,
    /// How many have ended well.
    pub completed: u64,
    /// How many have failed.
    pub failed: u64,
    /// How many were given up because the profile wants it so.
    pub abandoned: u64,
    /// The latencies in microseconds from the intended start, of those completed, and at their age of those never started or cut off.
    pub latency_us: Histogram<u64>,
    /// The latencies in microseconds from when they began, of procedures that were completed.
    pub raw_us: Histogram<u64>,
}

/// What a report says of latencies, in microseconds. All 0 if there are none.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Latency {
    /// The median.
    pub p50: u64,
    /// 90 of 100 took at most this.
    pub p90: u64,
    /// 99 of 100 took at most this.
    pub p99: u64,
    /// 999 of 1,000 took at most this.
    pub p999: u64,
    /// The longest.
    pub max: u64,
    /// The mean.
    pub mean: f64,
}

/// A tally since the start and one since the last interval.
///
/// What happens goes into the interval's alone, and from there into the other when an interval
/// ends: so a latency is recorded once.
#[derive(Debug, Clone)]
pub struct Series {
    ended: Tally,
    current: Tally,
}

impl Tally {
    /// Nothing counted.
    #[must_use]
    pub fn new() -> Self {
        Self::with_room(LATENCY_MAX_US)
    }

    fn with_room(longest_us: u64) -> Self {
        let latency_us = Histogram::new_with_bounds(1, longest_us, SIGNIFICANT_DIGITS)
            .expect("the bounds are constants that it takes");
        let raw_us = latency_us.clone();
        Self { attempted: 0, completed: 0, failed: 0, abandoned: 0, latency_us, raw_us }
    }

    /// Nothing counted, of what has one latency only.
    pub(crate) fn without_raw() -> Self {
        Self { raw_us: Self::idle().raw_us, ..Self::new() }
    }

    /// Nothing counted, to be read: little memory, as most series of an interval are such.
    fn idle() -> Self {
        Self::with_room(2)
    }

    fn is_idle(&self) -> bool {
        self.attempted == 0 && self.over() == 0 && self.latency_us.is_empty()
    }

    /// Adds another tally.
    pub fn merge(&mut self, other: &Self) {
        self.attempted += other.attempted;
        self.completed += other.completed;
        self.failed += other.failed;
        self.abandoned += other.abandoned;
        add(&mut self.latency_us, &other.latency_us);
        add(&mut self.raw_us, &other.raw_us);
    }

    /// How many are over, in whichever way.
    #[must_use]
    pub fn over(&self) -> u64 {
        self.completed + self.failed + self.abandoned
    }

    /// What a report says of the latencies from the intended start.
    #[must_use]
    pub fn latency(&self) -> Latency {
        Latency::of(&self.latency_us)
    }

    /// What it says of those from the beginning.
    #[must_use]
    pub fn raw_latency(&self) -> Latency {
        Latency::of(&self.raw_us)
    }

    /// Records a latency from the intended start.
    pub(crate) fn record(&mut self, latency_ns: u64) {
        self.latency_us.saturating_record(in_us(latency_ns));
    }

    fn clear(&mut self) {
        self.attempted = 0;
        self.completed = 0;
        self.failed = 0;
        self.abandoned = 0;
        self.latency_us.reset();
        self.raw_us.reset();
    }
}

/// Adds one histogram to another; either may be one without room where nothing is in it.
fn add(into: &mut Histogram<u64>, other: &Histogram<u64>) {
    if other.is_empty() {
    } else if into.is_empty() {
        into.clone_from(other);
    } else {
        into.add(other).expect("all histograms have the same bounds");
    }
}

fn in_us(latency_ns: u64) -> u64 {
    (latency_ns / 1_000).clamp(1, LATENCY_MAX_US)
}

impl Latency {
    /// What a report says of these.
    #[must_use]
    pub fn of(histogram: &Histogram<u64>) -> Self {
        if histogram.is_empty() {
            return Self::default();
        }
        // The bucket that holds the maximum may end above it.
        let at = |quantile| histogram.value_at_quantile(quantile).min(histogram.max());
        Self {
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p999: at(0.999),
            max: histogram.max(),
            mean: (histogram.mean() * 10.0).round() / 10.0,
        }
    }
}

impl Default for Tally {
    fn default() -> Self {
        Self::new()
    }
}

impl Series {
    pub(super) fn new() -> Self {
        Self { ended: Tally::idle(), current: Tally::new() }
    }

    /// Of transactions, which have no other latency than that from their beginning.
    pub(super) fn of_transactions() -> Self {
        Self { ended: Tally::idle(), current: Tally::without_raw() }
    }

    /// One that nothing is recorded in.
    pub(super) fn idle() -> Self {
        Self { ended: Tally::idle(), current: Tally::idle() }
    }

    pub(super) fn attempted(&mut self) {
        self.current.attempted += 1;
    }

    pub(super) fn completed(&mut self, start: Start, now: Time) {
        self.current.raw_us.saturating_record(in_us(start.raw_ns(now)));
        self.took(start.corrected_ns(now));
    }

    /// What begins when it is intended has ended well: there is no other latency.
    pub(super) fn took(&mut self, latency_ns: u64) {
        self.current.completed += 1;
        self.current.record(latency_ns);
    }

    pub(super) fn cut(&mut self, start: Start, now: Time) {
        self.current.record(start.corrected_ns(now));
    }

    pub(super) fn failed(&mut self) {
        self.current.failed += 1;
    }

    pub(super) fn abandoned(&mut self) {
        self.current.abandoned += 1;
    }

    pub(super) fn skipped(&mut self, age_ns: u64) {
        self.current.record(age_ns);
    }

    /// Those that have started and not ended, over both: an interval may end more than it starts.
    pub(super) fn pending(&self) -> u64 {
        (self.ended.attempted + self.current.attempted)
            .saturating_sub(self.ended.over() + self.current.over())
    }

    pub(super) fn total(&self) -> Tally {
        let mut total = self.ended.clone();
        total.merge(&self.current);
        total
    }

    pub(super) fn merge(&mut self, other: &Self) {
        self.ended.merge(&other.ended);
        self.current.merge(&other.current);
    }

    /// Adds an interval of another series.
    pub(super) fn add(&mut self, interval: &Tally) {
        self.ended.merge(interval);
    }

    pub(super) fn interval(&mut self) -> Tally {
        if self.current.is_idle() {
            return Tally::idle();
        }
        let interval = self.current.clone();
        self.ended.merge(&interval);
        self.current.clear();
        interval
    }
}
