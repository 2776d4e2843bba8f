//! A distribution of times that is written with its buckets, so that what was written can be added up again.

use std::fmt::{self, Write as _};

use hdrhistogram::Histogram;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::measure::LATENCY_MAX_NS;

/// Ten minutes: a longer time is recorded as this.
const MAX_US: u64 = LATENCY_MAX_NS / 1_000;
/// Up to 255 µs each microsecond has a bucket, beyond that buckets are at most 0.8% wide: 24 KiB in all.
const SIGNIFICANT_DIGITS: u8 = 2;

/// Times in microseconds, exact up to 255 µs, and to 0.8% beyond.
///
/// In JSON it is an object: `count`, `p50`, `p90`, `p99`, `p999` and `max` to be read by people and thresholds, and `buckets`, from which
/// alone it is read back: `value:count` for each bucket that has something, parted by spaces, the value being the least of the bucket.
#[derive(Clone, PartialEq)]
pub struct Distribution(Histogram<u64>);

/// The object in JSON.
#[derive(Debug, Serialize, Deserialize)]
struct Written {
    count: u64,
    p50: u64,
    p90: u64,
    p99: u64,
    p999: u64,
    max: u64,
    buckets: String,
}

impl Distribution {
    /// Nothing recorded.
    #[must_use]
    pub fn new() -> Self {
        let histogram = Histogram::new_with_bounds(1, MAX_US, SIGNIFICANT_DIGITS);
        Self(histogram.expect("the bounds are constants that it takes"))
    }

    /// Records a time, in nanoseconds.
    pub fn record_ns(&mut self, time_ns: u64) {
        self.0.saturating_record((time_ns / 1_000).min(MAX_US));
    }

    /// Adds another distribution.
    pub fn merge(&mut self, other: &Self) {
        self.0.add(&other.0).expect("all have the same bounds");
    }

    /// What was recorded since the last call; the next one starts here.
    pub fn take(&mut self) -> Self {
        let taken = self.clone();
        self.0.reset();
        taken
    }

    /// How many times were recorded.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.len()
    }

    /// How many of them were longer than `limit_us`, as far as buckets tell.
    #[must_use]
    pub fn count_above(&self, limit_us: u64) -> u64 {
        self.buckets().filter(|(value_us, _)| *value_us > limit_us).map(|(_, count)| count).sum()
    }

    /// The time that a share of them does not exceed, from 0 to 1, in microseconds; 0 where there are none. It is the least of its bucket, as
    /// [`max`](Self::max) is.
    #[must_use]
    pub fn at(&self, quantile: f64) -> u64 {
        self.0.lowest_equivalent(self.0.value_at_quantile(quantile))
    }

    /// The longest, in microseconds; 0 where there is none.
    #[must_use]
    pub fn max(&self) -> u64 {
        self.0.lowest_equivalent(self.0.max())
    }

    /// The buckets that have something: the least value of each, in microseconds, and its count.
    fn buckets(&self) -> impl Iterator<Item = (u64, u64)> {
        let least = |value| self.0.lowest_equivalent(value);
        self.0.iter_recorded().map(move |it| (least(it.value_iterated_to()), it.count_at_value()))
    }

    fn read(buckets: &str) -> Result<Self, String> {
        let mut distribution = Self::new();
        for text in buckets.split_ascii_whitespace() {
            let pair = text.split_once(':');
            let pair =
                pair.and_then(|(value, count)| Some((value.parse().ok()?, count.parse().ok()?)));
            let Some((value_us, count)) = pair else {
                return Err(format!("expected `value:count`, got `{text}`"));
            };
            let recorded = distribution.0.record_n(value_us, count);
            recorded.map_err(|_| format!("expected at most {MAX_US} µs, got `{text}`"))?;
        }
        Ok(distribution)
    }
}

impl Default for Distribution {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Distribution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.buckets()).finish()
    }
}

impl Serialize for Distribution {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut buckets = String::new();
        for (value_us, count) in self.buckets() {
            let space = if buckets.is_empty() { "" } else { " " };
            let _ = write!(buckets, "{space}{value_us}:{count}");
        }
        let written = Written {
            count: self.count(),
            p50: self.at(0.5),
            p90: self.at(0.9),
            p99: self.at(0.99),
            p999: self.at(0.999),
            max: self.max(),
            buckets,
        };
        written.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Distribution {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let written = Written::deserialize(deserializer)?;
        let distribution = Self::read(&written.buckets).map_err(D::Error::custom)?;
        if distribution.count() != written.count {
            let (expected, got) = (written.count, distribution.count());
            return Err(D::Error::custom(format!("{expected} values, but {got} in the buckets")));
        }
        Ok(distribution)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(times_ns: &[u64]) -> Distribution {
        let mut distribution = Distribution::new();
        times_ns.iter().for_each(|time_ns| distribution.record_ns(*time_ns));
        distribution
    }

    #[test]
    fn counts_and_percentiles() {
        let times_ns: Vec<u64> = (1..=100).map(|number| number * 1_000).collect();
        let distribution = of(&times_ns);
        assert_eq!(distribution.count(), 100);
        assert_eq!(
            (distribution.at(0.5), distribution.at(0.99), distribution.max()),
            (50, 99, 100)
        );
        assert_eq!(distribution.count_above(90), 10);
        assert_eq!((Distribution::new().at(0.99), Distribution::new().max()), (0, 0));
        // What takes no microsecond is there all the same, and what is too long as the longest.
        let ends = of(&[0, 999, u64::MAX]);
        assert_eq!((ends.count(), ends.at(0.5)), (3, 0));
        assert!(ends.max() <= MAX_US && ends.max() > MAX_US - MAX_US / 100);
    }

    #[test]
    fn what_was_taken_is_gone() {
        let mut distribution = of(&[5_000]);
        assert_eq!(distribution.take(), of(&[5_000]));
        assert_eq!(distribution, Distribution::new());
    }

    #[test]
    fn what_is_no_distribution_is_said() {
        let text = |count: u64, buckets: &str| {
            format!(
                "{{\"count\":{count},\"p50\":0,\"p90\":0,\"p99\":0,\"p999\":0,\"max\":0,\"buckets\":\"{buckets}\"}}"
            )
        };
        let error = |count, buckets| {
            serde_json::from_str::<Distribution>(&text(count, buckets)).unwrap_err().to_string()
        };
        assert!(serde_json::from_str::<Distribution>(&text(3, "7:2 9:1")).is_ok());
        assert!(error(1, "7").contains("`value:count`, got `7`"));
        assert!(error(1, "7:x").contains("got `7:x`"));
        assert!(error(3, "7:2").contains("3 values, but 2"));
        assert!(error(1, "999999999999:1").contains("at most 600000000"));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back_and_adds_up(
            one in proptest::collection::vec(0u64..700_000_000_000, 0..50),
            other in proptest::collection::vec(0u64..10_000_000, 0..50),
        ) {
            let again = |distribution: &Distribution| {
                let text = serde_json::to_string(distribution).unwrap();
                serde_json::from_str::<Distribution>(&text).unwrap()
            };
            let whole: Vec<u64> = one.iter().chain(&other).copied().collect();
            let mut sum = again(&of(&one));
            sum.merge(&again(&of(&other)));
            let whole = of(&whole);
            prop_assert_eq!(sum.buckets().collect::<Vec<_>>(), whole.buckets().collect::<Vec<_>>());
            prop_assert_eq!(
                serde_json::to_string(&sum).unwrap(),
                serde_json::to_string(&whole).unwrap()
            );
        }
    }
}
