//! The anti-replay window (RFC 4303 3.4.3).

use core::fmt;

/// How many sequence numbers back the window remembers.
const WINDOW_LEN: u32 = 128;

/// The last 128 sequence numbers received: bit 0 is the highest of them, bit n is n before it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReplayWindow {
    highest: u32,
    // Bytes and not a u128, which would align the association to 16 bytes.
    seen: [u8; 16],
}

impl ReplayWindow {
    /// A window that has seen nothing: the first sequence number is 1.
    #[must_use]
    pub const fn new() -> Self {
        Self { highest: 0, seen: [0; 16] }
    }

    /// Whether `sequence` may still be received. To be asked before the ICV is computed; nothing is
    /// remembered.
    ///
    /// # Errors
    /// [`ReplayError`] if it is 0, was received before, or is too old to tell.
    pub const fn check(&self, sequence: u32) -> Result<(), ReplayError> {
        // A sender starts at 1 and never comes back to 0 (RFC 4303 2.2).
        if sequence == 0 {
            return Err(ReplayError::TooOld { highest: self.highest, got: sequence });
        }
        if sequence > self.highest {
            return Ok(());
        }
        let back = self.highest - sequence;
        if back >= WINDOW_LEN {
            return Err(ReplayError::TooOld { highest: self.highest, got: sequence });
        }
        if self.bits() >> back & 1 == 1 {
            return Err(ReplayError::Duplicate { got: sequence });
        }
        Ok(())
    }

    /// Remembers `sequence`. To be told after the ICV was found right, and nothing else was.
    ///
    /// # Errors
    /// As [`ReplayWindow::check`].
    pub const fn update(&mut self, sequence: u32) -> Result<(), ReplayError> {
        if let Err(error) = self.check(sequence) {
            return Err(error);
        }
        let mut bits = self.bits();
        if sequence > self.highest {
            let ahead = sequence - self.highest;
            bits = if ahead < WINDOW_LEN { bits << ahead } else { 0 };
            bits |= 1;
            self.highest = sequence;
        } else {
            bits |= 1 << (self.highest - sequence);
        }
        self.seen = bits.to_ne_bytes();
        Ok(())
    }

    /// The highest sequence number received, 0 before the first.
    #[must_use]
    pub const fn highest(&self) -> u32 {
        self.highest
    }

    const fn bits(&self) -> u128 {
        u128::from_ne_bytes(self.seen)
    }
}

/// Why a sequence number is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplayError {
    /// It was received before.
    Duplicate {
        /// The sequence number.
        got: u32,
    },
    /// It is left of the window, or 0.
    TooOld {
        /// The highest that was received.
        highest: u32,
        /// The sequence number.
        got: u32,
    },
}

impl fmt::Display for ReplayError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Duplicate { got } => write!(f, "sequence number {got} came before"),
            Self::TooOld { highest, got } => {
                write!(f, "sequence number {got} is too old: {highest} came before")
            }
        }
    }
}

impl core::error::Error for ReplayError {}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashSet;

    #[test]
    fn zero_is_refused_and_the_last_number_is_the_end() {
        let mut window = ReplayWindow::new();
        assert_eq!(window.update(0), Err(ReplayError::TooOld { highest: 0, got: 0 }));
        assert_eq!(window.update(u32::MAX), Ok(()));
        assert_eq!(window.update(u32::MAX), Err(ReplayError::Duplicate { got: u32::MAX }));
        // It does not wrap: 1 is not ahead of the last one.
        assert_eq!(window.update(1), Err(ReplayError::TooOld { highest: u32::MAX, got: 1 }));
        assert_eq!(window.update(u32::MAX - 127), Ok(()));
    }

    #[test]
    fn the_window_is_128_wide() {
        let mut window = ReplayWindow::new();
        window.update(200).unwrap();
        assert_eq!(window.check(73), Ok(()));
        assert_eq!(window.check(72), Err(ReplayError::TooOld { highest: 200, got: 72 }));
        window.update(73).unwrap();
        window.update(201).unwrap();
        assert_eq!(window.check(73), Err(ReplayError::TooOld { highest: 201, got: 73 }));
        assert_eq!(window.check(200), Err(ReplayError::Duplicate { got: 200 }));
        window.update(201 + 128).unwrap();
        assert_eq!(window.check(202), Ok(()), "a jump over the whole window forgets it");
    }

    proptest! {
        #[test]
        fn it_agrees_with_a_set(sequences in proptest::collection::vec(0u32..400, 0..600)) {
            let (mut window, mut seen, mut highest) = (ReplayWindow::new(), HashSet::new(), 0);
            for got in sequences {
                let expected = if got == 0 || got + WINDOW_LEN <= highest {
                    Err(ReplayError::TooOld { highest, got })
                } else if seen.insert(got) {
                    Ok(())
                } else {
                    Err(ReplayError::Duplicate { got })
                };
                prop_assert_eq!(window.check(got), expected);
                prop_assert_eq!(window.update(got), expected);
                highest = highest.max(if expected.is_ok() { got } else { 0 });
                prop_assert_eq!(window.highest(), highest);
            }
        }
    }
}
