//! When procedures are intended to start: an open loop, which does not wait for the target.

mod rate;

use std::sync::Arc;

use imstorm_base::random::Random;
use imstorm_base::time::Time;

use crate::part::Part;
use crate::profile::{ArrivalProcess, Arrivals, Burst};

pub use rate::{Piece, RateCurve, RateWalk};

/// The intended starts of a part of a run, in order, numbered from 0.
#[derive(Clone, Debug)]
pub struct Schedule {
    starts: Starts,
    /// Starts come at multiples of it only, in nanoseconds; 0: each at its own time.
    grain_ns: u64,
    part: Part,
    next_at: Option<Time>,
    /// How many have been.
    number: u32,
    /// How many there are at most.
    count: u32,
    /// The rate, in times that of its curve.
    rate_factor: f64,
    /// Since when nothing starts, counted as starts are.
    paused_at: Option<Time>,
    /// How long pauses have lasted: every start comes so much later.
    put_off_ns: Time,
}

/// What fixes them.
#[derive(Clone, Debug)]
enum Starts {
    /// A rate, and how starts are spaced within it.
    Rate { walk: RateWalk, process: ArrivalProcess, random: Random },
    /// So many at once, again and again.
    Burst { size: u64, every_ns: u64 },
    /// Recorded ones, in nanoseconds from the first tick.
    Trace(Arc<[Time]>),
}

impl Schedule {
    /// A part's starts of `count` UEs, in the order of their numbers. Together the parts' starts have the profile's rate, and where that is not
    /// left to chance they are the same as those of the whole.
    #[must_use]
    pub fn new(arrivals: &Arrivals, part: Part, count: u32, random: Random) -> Self {
        let starts = match (&arrivals.burst, &arrivals.trace_ns) {
            (Some(Burst { size, every_s }), _) => {
                Starts::Burst { size: *size, every_ns: (every_s * 1e9) as u64 }
            }
            (None, Some(trace)) => Starts::Trace(Arc::clone(trace)),
            (None, None) => {
                let walk = RateWalk::new(arrivals.curve());
                Starts::Rate { walk, process: arrivals.process, random }
            }
        };
        let grain_ns = (arrivals.grain_ms * 1e6) as u64;
        Self { grain_ns, count, ..Self::of(starts, part, f64::from(part.number)) }
    }

    /// Starts along a curve for as long as it lasts. At equal gaps the first comes after half of one, so that all are within it.
    #[must_use]
    pub fn along(curve: RateCurve, process: ArrivalProcess, part: Part, random: Random) -> Self {
        let starts = Starts::Rate { walk: RateWalk::new(curve), process, random };
        Self::of(starts, part, f64::from(part.number) - 0.5)
    }

    /// Recorded starts, in nanoseconds from the beginning.
    #[must_use]
    pub fn recorded(trace: Arc<[Time]>, part: Part) -> Self {
        Self::of(Starts::Trace(trace), part, f64::from(part.number))
    }

    /// As many as there are, each at its own time; the first one comes when so many of all parts' have.
    fn of(starts: Starts, part: Part, first: f64) -> Self {
        let (grain_ns, count) = (0, u32::MAX);
        let mut schedule = Self {
            starts,
            grain_ns,
            part,
            next_at: None,
            number: 0,
            count,
            rate_factor: 1.0,
            paused_at: None,
            put_off_ns: 0,
        };
        schedule.next_at = schedule.draw(first);
        schedule
    }

    /// When the next start is to be, counted from the run's start; `None` when all have been, and during a pause.
    #[must_use]
    pub fn next_at(&self) -> Option<Time> {
        let is_left = self.number < self.count && self.paused_at.is_none();
        let at = self.next_at.filter(|_| is_left)?;
        Some(self.in_grains(at + self.put_off_ns))
    }

    /// Nothing starts from then on, counted as starts are, until [`resume`](Self::resume).
    pub fn pause(&mut self, elapsed_ns: Time) {
        self.paused_at.get_or_insert(elapsed_ns);
    }

    /// The pause is over: all starts that are to come are intended for so much later as it has lasted. So it is in no latency.
    pub fn resume(&mut self, elapsed_ns: Time) {
        if let Some(since) = self.paused_at.take() {
            self.put_off_ns += elapsed_ns.saturating_sub(since);
        }
    }

    /// From the start behind the next one on, the rate is so many percent of its curve's. Bursts and recorded starts have no rate: they stay
    /// as they are.
    pub fn set_rate_percent(&mut self, percent: u32) {
        self.rate_factor = f64::from(percent) / 100.0;
    }

    /// A time since the run's start, counted in whole grains: when what is due then comes along with the starts.
    #[must_use]
    pub fn in_grains(&self, at: Time) -> Time {
        if self.grain_ns > 0 { at.next_multiple_of(self.grain_ns) } else { at }
    }

    /// The number of the next start that is due `elapsed_ns` after the run's start, with its intended time.
    pub fn due(&mut self, elapsed_ns: Time) -> Option<(u32, Time)> {
        let at = self.next_at().filter(|at| *at <= elapsed_ns)?;
        let number = self.number;
        self.number += 1;
        self.next_at = self.draw(f64::from(self.part.of));
        Some((number, at))
    }

    /// How many have not been.
    #[must_use]
    pub fn remaining(&self) -> u32 {
        match self.next_at {
            Some(_) => self.count - self.number,
            None => 0,
        }
    }

    /// When the part's next start is to be, so many starts of all parts behind its last one.
    fn draw(&mut self, starts: f64) -> Option<Time> {
        // Of all parts' starts this one has every `of`-th, from its own number on.
        let place =
            u64::from(self.number) * u64::from(self.part.of) + u64::from(self.part.number) - 1;
        match &mut self.starts {
            Starts::Rate { walk, process, random } => {
                let starts = match process {
                    ArrivalProcess::Constant => starts,
                    ArrivalProcess::Poisson => random.exponential(f64::from(self.part.of)),
                };
                walk.after(starts / self.rate_factor).map(|at_ns| at_ns as Time)
            }
            Starts::Burst { size, every_ns } => Some(place / *size * *every_ns),
            Starts::Trace(trace) => trace.get(usize::try_from(place).ok()?).copied(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use imstorm_base::time::NS_PER_S;

    use crate::profile::Ramp;

    fn at_rate(process: ArrivalProcess, rate_per_s: f64, grain_ms: f64) -> Arrivals {
        Arrivals { process, rate_per_s: Some(rate_per_s), grain_ms, ..Arrivals::default() }
    }

    fn starts(process: ArrivalProcess) -> Vec<Time> {
        let arrivals = at_rate(process, 1000.0, 0.0);
        let mut schedule = Schedule::new(&arrivals, Part::WHOLE, 10_000, Random::new(1));
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
        let arrivals = at_rate(ArrivalProcess::Constant, 10.0, 0.0);
        let mut schedule = Schedule::new(&arrivals, Part::WHOLE, 3, Random::new(1));
        assert_eq!(schedule.due(99_999_999), None);
        assert_eq!(schedule.due(100_000_000), Some((0, 100_000_000)));
        assert_eq!(schedule.due(100_000_000), None);
    }

    #[test]
    fn starts_of_a_grain_come_together_at_its_end() {
        let arrivals = at_rate(ArrivalProcess::Constant, 1000.0, 2.5);
        let mut schedule = Schedule::new(&arrivals, Part::WHOLE, 6, Random::new(1));
        assert_eq!(schedule.due(2_499_999), None);
        let starts: Vec<_> = std::iter::from_fn(|| schedule.due(u64::MAX)).collect();
        let at = [2_500_000, 2_500_000, 5_000_000, 5_000_000, 5_000_000, 7_500_000];
        assert_eq!(starts, (0..).zip(at).collect::<Vec<_>>());
    }

    /// All starts of all parts, in order of time.
    fn of_parts(arrivals: &Arrivals, parts: u32, each: u32) -> Vec<Time> {
        let mut starts: Vec<Time> = (1..=parts)
            .flat_map(|number| {
                let part = Part { number, of: parts };
                let mut schedule = Schedule::new(arrivals, part, each, Random::new(number.into()));
                std::iter::from_fn(move || schedule.due(u64::MAX)).map(|(_, at)| at)
            })
            .collect();
        starts.sort_unstable();
        starts
    }

    #[test]
    fn bursts_come_at_once_and_again() {
        let burst = Some(Burst { size: 3, every_s: 2.0 });
        let arrivals = Arrivals { burst, ..Arrivals::default() };
        let at: Vec<_> = of_parts(&arrivals, 1, 7).iter().map(|at| at / NS_PER_S).collect();
        assert_eq!(at, [0, 0, 0, 2, 2, 2, 4]);
    }

    #[test]
    fn parts_together_have_the_starts_of_the_whole() {
        let ramp = Arrivals {
            process: ArrivalProcess::Constant,
            ramp: Some(Ramp { from_per_s: 10.0, to_per_s: 1_000.0, for_s: 3.0 }),
            ..Arrivals::default()
        };
        let burst = Some(Burst { size: 5, every_s: 0.5 });
        let burst = Arrivals { burst, ..Arrivals::default() };
        let trace: Vec<Time> = (0..30).map(|number| number * number * 1_000).collect();
        let trace = Arrivals { trace_ns: Some(trace.into()), ..Arrivals::default() };
        for arrivals in [at_rate(ArrivalProcess::Constant, 77.0, 0.0), ramp, burst, trace] {
            let whole = of_parts(&arrivals, 1, 30);
            assert_eq!(whole.len(), 30);
            let parts = of_parts(&arrivals, 3, 10);
            let apart = whole.iter().zip(&parts).map(|(one, other)| one.abs_diff(*other)).max();
            assert!(apart <= Some(1), "{whole:?} {parts:?}");
        }
    }

    #[test]
    fn parts_of_poisson_arrivals_have_their_share_of_the_rate() {
        let arrivals = at_rate(ArrivalProcess::Poisson, 1_000.0, 0.0);
        let mut schedule =
            Schedule::new(&arrivals, Part { number: 2, of: 4 }, 10_000, Random::new(3));
        let last = std::iter::from_fn(|| schedule.due(u64::MAX)).last().unwrap().1;
        // 10,000 gaps of 4 ms: the standard error of their sum is 1%.
        assert!((last as f64 / 40e9 - 1.0).abs() < 0.05, "{last}");
    }

    #[test]
    fn a_pause_puts_off_every_start_that_is_to_come() {
        let arrivals = at_rate(ArrivalProcess::Constant, 10.0, 0.0);
        let mut schedule = Schedule::new(&arrivals, Part::WHOLE, 3, Random::new(1));
        assert_eq!(schedule.due(100_000_000), Some((0, 100_000_000)));
        schedule.pause(150_000_000);
        schedule.pause(160_000_000);
        assert_eq!((schedule.due(NS_PER_S), schedule.next_at()), (None, None));
        assert_eq!(schedule.remaining(), 2, "put off, not dropped");
        schedule.resume(NS_PER_S + 150_000_000);
        schedule.resume(9 * NS_PER_S);
        assert_eq!(schedule.due(9 * NS_PER_S), Some((1, 1_200_000_000)));
        assert_eq!(schedule.due(9 * NS_PER_S), Some((2, 1_300_000_000)));
    }

    #[test]
    fn a_rate_is_stepped_from_the_start_behind_the_next_one() {
        let arrivals = at_rate(ArrivalProcess::Constant, 10.0, 0.0);
        let mut schedule = Schedule::new(&arrivals, Part::WHOLE, 5, Random::new(1));
        let at = |schedule: &mut Schedule| schedule.due(u64::MAX).unwrap().1 / 1_000_000;
        assert_eq!(at(&mut schedule), 100);
        schedule.set_rate_percent(200);
        assert_eq!([at(&mut schedule), at(&mut schedule)], [200, 250]);
        schedule.set_rate_percent(50);
        assert_eq!([at(&mut schedule), at(&mut schedule)], [300, 500]);
    }

    #[test]
    fn recorded_starts_have_no_rate() {
        let mut schedule = Schedule::recorded(Arc::from([5, 6, 9]), Part::WHOLE);
        schedule.set_rate_percent(1_000);
        let at: Vec<_> = std::iter::from_fn(|| schedule.due(u64::MAX)).map(|(_, at)| at).collect();
        assert_eq!(at, [5, 6, 9]);
    }

    #[test]
    fn a_trace_that_ends_leaves_nothing() {
        let trace_ns = Some(Arc::from([5, 6, 9]));
        let arrivals = Arrivals { trace_ns, ..Arrivals::default() };
        let mut schedule = Schedule::new(&arrivals, Part::WHOLE, 10, Random::new(1));
        assert_eq!(schedule.due(6), Some((0, 5)));
        assert_eq!((schedule.due(6), schedule.due(6)), (Some((1, 6)), None));
        assert_eq!((schedule.due(9), schedule.remaining()), (Some((2, 9)), 0));
    }
}
