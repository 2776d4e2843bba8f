//! When procedures are intended to start: an open loop, which does not wait for the target.

use imstorm_base::random::Random;
use imstorm_base::time::{NS_PER_S, Time};

use crate::profile::{ArrivalProcess, Arrivals};

/// The intended starts of the UEs, in order.
#[derive(Clone, Debug)]
pub struct Schedule {
    process: ArrivalProcess,
    rate_per_s: f64,
    /// Starts come at multiples of it only, in nanoseconds; 0: each at its own time.
    grain_ns: u64,
    random: Random,
    /// The next start, since the first tick, in nanoseconds; kept as a sum of exact parts so that a constant rate stays one.
    next_ns: f64,
    next_ue: u32,
    ues: u32,
}

impl Schedule {
    /// Starts for `ues` UEs, in the order of their numbers.
    #[must_use]
    pub fn new(arrivals: &Arrivals, ues: u32, random: Random) -> Self {
        let mut schedule = Self {
            process: arrivals.process,
            rate_per_s: arrivals.rate_per_s,
            grain_ns: (arrivals.grain_ms * 1e6) as u64,
            random,
            next_ns: 0.0,
            next_ue: 0,
            ues,
        };
        schedule.next_ns = schedule.gap_ns();
        schedule
    }

    /// When the next UE is to start, counted from the run's start; `None` when all have.
    #[must_use]
    pub fn next_at(&self) -> Option<Time> {
        (self.next_ue < self.ues).then_some(self.in_grains(self.next_ns as Time))
    }

    /// A time since the run's start, counted in whole grains: when what is due then comes along with the starts.
    #[must_use]
    pub fn in_grains(&self, at: Time) -> Time {
        if self.grain_ns > 0 { at.next_multiple_of(self.grain_ns) } else { at }
    }

    /// The next UE whose start is due `elapsed_ns` after the run's start, with its intended time.
    pub fn due(&mut self, elapsed_ns: Time) -> Option<(u32, Time)> {
        let at = self.next_at().filter(|at| *at <= elapsed_ns)?;
        let ue = self.next_ue;
        self.next_ue += 1;
        self.next_ns += self.gap_ns();
        Some((ue, at))
    }

    /// How many UEs have not been started.
    #[must_use]
    pub fn remaining(&self) -> u32 {
        self.ues - self.next_ue
    }

    fn gap_ns(&mut self) -> f64 {
        let mean_ns = NS_PER_S as f64 / self.rate_per_s;
        match self.process {
            ArrivalProcess::Constant => mean_ns,
            ArrivalProcess::Poisson => self.random.exponential(mean_ns),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn starts(process: ArrivalProcess) -> Vec<Time> {
        let arrivals = Arrivals { process, rate_per_s: 1000.0, grain_ms: 0.0 };
        let mut schedule = Schedule::new(&arrivals, 10_000, Random::new(1));
        let starts = std::iter::from_fn(|| schedule.due(u64::MAX)).map(|(_, at)| at).collect();
        assert_eq!(schedule.remaining(), 0);
        starts
    }

    #[test]
    fn a_constant_rate_is_constant() {
        let starts = starts(ArrivalProcess::Constant);
        assert!(starts.windows(2).all(|pair| pair[1] - pair[0] == 1_000_000));
    }

    #[test]
    fn poisson_arrivals_have_the_rate_and_the_spread() {
        let starts = starts(ArrivalProcess::Poisson);
        let gaps: Vec<f64> = starts.windows(2).map(|pair| (pair[1] - pair[0]) as f64).collect();
        let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
        let variance = gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / gaps.len() as f64;
        // 10,000 exponential gaps: the mean's standard error is 1%, the deviation's about 1.4%.
        assert!((mean / 1e6 - 1.0).abs() < 0.05, "mean {mean}");
        assert!((variance.sqrt() / mean - 1.0).abs() < 0.07, "deviation {}", variance.sqrt());
    }

    #[test]
    fn nothing_starts_before_its_time() {
        let process = ArrivalProcess::Constant;
        let arrivals = Arrivals { process, rate_per_s: 10.0, grain_ms: 0.0 };
        let mut schedule = Schedule::new(&arrivals, 3, Random::new(1));
        assert_eq!(schedule.due(99_999_999), None);
        assert_eq!(schedule.due(100_000_000), Some((0, 100_000_000)));
        assert_eq!(schedule.due(100_000_000), None);
    }

    #[test]
    fn starts_of_a_grain_come_together_at_its_end() {
        let process = ArrivalProcess::Constant;
        let arrivals = Arrivals { process, rate_per_s: 1000.0, grain_ms: 2.5 };
        let mut schedule = Schedule::new(&arrivals, 6, Random::new(1));
        assert_eq!(schedule.due(2_499_999), None);
        let starts: Vec<_> = std::iter::from_fn(|| schedule.due(u64::MAX)).collect();
        let at = [2_500_000, 2_500_000, 5_000_000, 5_000_000, 5_000_000, 7_500_000];
        assert_eq!(starts, (0..).zip(at).collect::<Vec<_>>());
    }
}
