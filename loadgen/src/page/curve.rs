//! Percentile curves: how long the quickest so many of a hundred took, up to the longest.

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::measure::Tally;

/// Points for each nine: from 90% to 99% of all, from there to 99.9%, and so on.
const POINTS_PER_NINE: u32 = 20;

/// A point: how many nines the percentile has (-log10 of the share above it: 1 for 90%, 2 for 99%), and the latency in microseconds.
pub type Point = (f64, u64);

/// The curves of a procedure.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Curves {
    /// From the intended start.
    pub corrected: Vec<Point>,
    /// From when it began.
    pub raw: Vec<Point>,
}

impl Curves {
    /// Those of a tally.
    #[must_use]
    pub fn of(tally: &Tally) -> Self {
        Self { corrected: points(&tally.latency_us), raw: points(&tally.raw_us) }
    }
}

/// The points of a histogram's curve, in order; the last one is the longest latency. Those between two equal ones are left out.
#[must_use]
pub fn points(histogram: &Histogram<u64>) -> Vec<Point> {
    if histogram.is_empty() {
        return Vec::new();
    }
    let last = (histogram.len() as f64).log10();
    let steps = (last * f64::from(POINTS_PER_NINE)) as u32;
    let grid = (0..=steps).map(|step| f64::from(step) / f64::from(POINTS_PER_NINE));
    let mut nines: Vec<f64> = grid.chain([2f64.log10()]).filter(|at| *at < last).collect();
    nines.sort_by(f64::total_cmp);
    let at = |nines: f64| {
        let value_us = histogram.value_at_quantile(share(nines)).min(histogram.max());
        (rounded(nines), value_us)
    };
    let mut all: Vec<Point> = nines.into_iter().map(at).collect();
    all.push((rounded(last), histogram.max()));
    let mut kept: Vec<Point> = Vec::with_capacity(all.len());
    for (place, point) in all.iter().enumerate() {
        let is_flat = kept.last().is_some_and(|before| before.1 == point.1)
            && all.get(place + 1).is_some_and(|behind| behind.1 == point.1);
        if !is_flat {
            kept.push(*point);
        }
    }
    kept
}

/// The share that a number of nines means: exactly those of a report where it is one of theirs.
fn share(nines: f64) -> f64 {
    const NAMED: [f64; 4] = [0.5, 0.9, 0.99, 0.999];
    let share = 1.0 - 10f64.powf(-nines);
    NAMED.into_iter().find(|named| (named - share).abs() < 1e-9).unwrap_or(share)
}

fn rounded(nines: f64) -> f64 {
    (nines * 1e4).round() / 1e4
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::Latency;

    fn of(values: impl IntoIterator<Item = u64>) -> Histogram<u64> {
        let mut histogram = Histogram::new_with_bounds(1, 600_000_000, 3).unwrap();
        values.into_iter().for_each(|value| histogram.record(value).unwrap());
        histogram
    }

    #[test]
    fn a_curve_goes_through_the_percentiles_of_the_report() {
        let histogram = of((1..=20_000).map(|number| number * 7 % 90_001 + 1));
        let (points, latency) = (points(&histogram), Latency::of(&histogram));
        let at = |nines: f64| points.iter().find(|point| (point.0 - nines).abs() < 1e-4).unwrap().1;
        assert_eq!(at(0.301), latency.p50);
        assert_eq!((at(1.0), at(2.0), at(3.0)), (latency.p90, latency.p99, latency.p999));
        assert_eq!(*points.last().unwrap(), (4.301, latency.max));
        assert!(points.is_sorted_by(|one, other| one.0 < other.0 && one.1 <= other.1));
    }

    #[test]
    fn few_latencies_make_few_points() {
        assert_eq!(points(&of([])), []);
        assert_eq!(points(&of([5])), [(0.0, 5)]);
        assert_eq!(points(&of([5; 1_000])), [(0.0, 5), (3.0, 5)]);
        assert!(points(&of((0..100_000).map(|it| it + 1))).len() <= 102);
    }
}
