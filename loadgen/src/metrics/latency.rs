//! A latency as Prometheus takes it: a native histogram, and classic buckets for who reads text.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;
use prometheus_client::encoding::{
    MetricEncoder, NativeHistogram, NativeHistogramBuckets, NoLabelSet,
};

/// Each native bucket ends at 2^(1/8) of the one before: 9% above. Latencies are recorded to 0.1%.
const SCHEMA: i32 = 3;
const BUCKETS_A_DOUBLING: f64 = 8.0;
/// Where classic buckets end, in seconds.
const CLASSIC_S: [f64; 14] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// All latencies of one procedure or transaction since the run's start.
#[derive(Debug, Clone, Default)]
pub(super) struct Latencies {
    count: u64,
    sum_s: f64,
    /// By the number of the native bucket.
    native: BTreeMap<i32, u64>,
    classic: [u64; CLASSIC_S.len() + 1],
}

impl Latencies {
    /// Adds those of an interval, in microseconds.
    pub fn add(&mut self, latency_us: &Histogram<u64>) {
        for value in latency_us.iter_recorded() {
            let count = value.count_since_last_iteration();
            let seconds = latency_us.median_equivalent(value.value_iterated_to()) as f64 / 1e6;
            self.count += count;
            self.sum_s += seconds * count as f64;
            let bucket = (seconds.log2() * BUCKETS_A_DOUBLING).ceil() as i32;
            *self.native.entry(bucket).or_default() += count;
            self.classic[CLASSIC_S.partition_point(|end_s| *end_s < seconds)] += count;
        }
    }

    /// Writes them as a metric's value.
    ///
    /// # Errors
    /// The writer's.
    pub fn encode(&self, metric: &mut MetricEncoder<'_>) -> std::fmt::Result {
        let ends = CLASSIC_S.into_iter().chain([f64::INFINITY]);
        let classic: Vec<_> = ends.zip(self.classic).collect();
        let (spans, deltas) = self.spans();
        let native = NativeHistogram {
            schema: SCHEMA,
            zero_threshold: f64::MIN_POSITIVE,
            zero_count: 0,
            negative: NativeHistogramBuckets { spans: &[], deltas: &[] },
            positive: NativeHistogramBuckets { spans: &spans, deltas: &deltas },
            created: None,
        };
        metric.encode_histogram_with_native::<NoLabelSet>(
            self.sum_s, self.count, &classic, None, native,
        )
    }

    /// Native buckets as they are sent: runs of neighbours, each with the gap before it, and the counts as differences. The first gap counts from
    /// bucket 0, which ends at 1 s.
    fn spans(&self) -> (Vec<(i32, u32)>, Vec<i64>) {
        let (mut spans, mut deltas) = (Vec::<(i32, u32)>::new(), Vec::new());
        let (mut next, mut before) = (0, 0);
        for (bucket, count) in &self.native {
            match spans.last_mut() {
                Some((_, length)) if *bucket == next => *length += 1,
                _ => spans.push((bucket - next, 1)),
            }
            let count = i64::try_from(*count).unwrap_or(i64::MAX);
            deltas.push(count - before);
            (next, before) = (bucket + 1, count);
        }
        (spans, deltas)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn latencies(all_us: &[u64]) -> Latencies {
        let mut histogram = Histogram::new_with_bounds(1, 600_000_000, 3).unwrap();
        for latency_us in all_us {
            histogram.record(*latency_us).unwrap();
        }
        let mut latencies = Latencies::default();
        latencies.add(&histogram);
        latencies
    }

    #[test]
    fn native_buckets_are_runs_of_neighbours() {
        // 1 s ends bucket 0, and 2 s bucket 8.
        let (spans, deltas) = latencies(&[990_000, 990_000, 1_050_000, 1_950_000]).spans();
        assert_eq!(spans, [(0, 2), (6, 1)]);
        assert_eq!(deltas, [2, -1, 0]);
        // 0.9 s is below 2^(-1/8) s, 917 ms: bucket -1.
        let (spans, _) = latencies(&[900_000]).spans();
        assert_eq!(spans, [(-1, 1)]);
        assert_eq!(latencies(&[]).spans(), (vec![], vec![]));
    }

    #[test]
    fn classic_buckets_hold_what_ends_in_them() {
        let all = latencies(&[500, 501, 9_999, 20_000_000]);
        assert_eq!((all.classic[0], all.classic[1], all.classic[4], all.classic[14]), (1, 1, 1, 1));
        assert_eq!(all.count, 4);
        assert!((all.sum_s - 20.011).abs() < 0.02, "{}", all.sum_s);
    }
}
