//! The only clock.

use rustix::time::{ClockId, Timespec, clock_gettime};

/// CLOCK_MONOTONIC: nanoseconds that never go back and that no one sets.
#[derive(Clone, Copy, Debug, Default)]
pub struct Clock;

impl Clock {
    /// The clock; all its values are of one origin, the machine's start.
    #[must_use]
    pub fn new() -> Clock {
        Clock
    }

    /// Now, in nanoseconds.
    #[must_use]
    pub fn now(&self) -> u64 {
        nanoseconds(clock_gettime(ClockId::Monotonic))
    }
}

/// What to subtract from a CLOCK_REALTIME time (the kernel's receive timestamps) to have one of
/// `Clock`; changes when the wall clock is set, so it is read anew each turn.
pub(crate) fn wall_minus_monotonic_ns() -> u64 {
    let wall = nanoseconds(clock_gettime(ClockId::Realtime));
    wall.wrapping_sub(nanoseconds(clock_gettime(ClockId::Monotonic)))
}

/// Both clocks are past 0 and below 2^63 seconds; what is negative all the same counts as 0.
pub(crate) fn nanoseconds(time: Timespec) -> u64 {
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let rest = u64::try_from(time.tv_nsec).unwrap_or(0);
    seconds.saturating_mul(1_000_000_000).saturating_add(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn does_not_go_back() {
        let clock = Clock::new();
        let mut last = clock.now();
        assert!(last > 0);
        for _ in 0..10_000 {
            let now = clock.now();
            assert!(now >= last);
            last = now;
        }
    }
}
