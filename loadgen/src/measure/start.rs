//! When a procedure was to start, and when it did.

use imstorm_base::time::Time;

/// The two starts of a procedure, in nanoseconds of the generator's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Start {
    /// When the arrival process, or the UE's own timer, wanted it.
    pub intended: Time,
    /// When it began.
    pub began: Time,
}

impl Start {
    /// Of what begins as soon as it is wanted.
    #[must_use]
    pub const fn at(now: Time) -> Self {
        Self { intended: now, began: now }
    }

    /// From the intended start to `now`, in nanoseconds.
    #[must_use]
    pub const fn corrected_ns(self, now: Time) -> u64 {
        now.saturating_sub(self.intended)
    }

    /// From the beginning to `now`, in nanoseconds.
    #[must_use]
    pub const fn raw_ns(self, now: Time) -> u64 {
        now.saturating_sub(self.began)
    }
}
