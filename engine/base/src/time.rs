//! Time as every crate sees it: nanoseconds in a `u64`, handed in by the caller, never read here.

/// Nanoseconds since an arbitrary origin, from a clock that never goes back (`uring`'s, or the
/// simulator's). 2^64 ns are 584 years, so that sums of a `Time` and a SIP timer don't overflow.
pub type Time = u64;

/// Nanoseconds in a microsecond.
pub const NS_PER_US: u64 = 1_000;
/// Nanoseconds in a millisecond.
pub const NS_PER_MS: u64 = 1_000_000;
/// Nanoseconds in a second.
pub const NS_PER_S: u64 = 1_000_000_000;

/// `s` seconds in nanoseconds; saturates, since a peer may say `Expires: 4294967295` and a caller
/// may multiply further.
#[must_use]
pub const fn seconds(s: u64) -> u64 {
    s.saturating_mul(NS_PER_S)
}

/// `ms` milliseconds in nanoseconds; saturates.
#[must_use]
pub const fn milliseconds(ms: u64) -> u64 {
    ms.saturating_mul(NS_PER_MS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_saturate() {
        assert_eq!(seconds(3), 3_000_000_000);
        assert_eq!(milliseconds(500), 500_000_000);
        assert_eq!(seconds(u64::MAX), u64::MAX);
    }
}
