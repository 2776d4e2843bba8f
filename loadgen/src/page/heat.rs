//! The rows of a heat map: latencies in classes that grow by the same factor, eight to each power of ten.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;

/// Rows for each power of ten: a class is a third wider than the one below.
pub const ROWS_PER_DECADE: u32 = 8;

/// The row of a latency in microseconds: 0 from 1 µs on, 70 at ten minutes.
#[must_use]
pub fn row_of(latency_us: u64) -> u8 {
    let row = (latency_us.max(1) as f64).log10() * f64::from(ROWS_PER_DECADE);
    // A class begins at its border, whatever the logarithm makes of it.
    (row + 1e-9) as u8
}

/// How many of the latencies are in each row that has any.
#[must_use]
pub fn rows(latency_us: &Histogram<u64>) -> BTreeMap<u8, u64> {
    let mut rows = BTreeMap::new();
    for bucket in latency_us.iter_recorded() {
        *rows.entry(row_of(bucket.value_iterated_to())).or_default() += bucket.count_at_value();
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn powers_of_ten_begin_every_eighth_row() {
        let of = [0, 1, 2, 9, 10, 999, 1_000, 1_333, 1_334, 600_000_000].map(row_of);
        assert_eq!(of, [0, 0, 2, 7, 8, 23, 24, 24, 25, 70]);
    }

    #[test]
    fn every_latency_is_in_a_row() {
        let mut histogram = Histogram::new_with_bounds(1, 600_000_000, 3).unwrap();
        for latency_us in [1, 5, 5, 70_000, 600_000_000] {
            histogram.record(latency_us).unwrap();
        }
        let rows = rows(&histogram);
        assert_eq!(rows.values().sum::<u64>(), 5);
        assert_eq!(rows[&row_of(5)], 2);
        assert_eq!(rows.len(), 4);
    }
}
