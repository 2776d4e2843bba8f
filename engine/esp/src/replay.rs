//! The anti-replay window (RFC 4303 3.4.3).

use core::fmt;

/// How many sequence numbers back the window remembers.
const WINDOW_LEN: u32 = 128;

/// The last 128 sequence numbers received: bit 0 is the highest of them, bit n is n before it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReplayWindow {
    highest: u32,
    // Two words and not a u128: that would align the association to 16 bytes.
    seen: [u64; 2],
}

impl ReplayWindow {
    /// A window that has seen nothing: the first sequence number is 1.
    #[must_use]
    pub const fn new() -> Self {
        Self { highest: 0, seen: [0; 2] }
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
        self.seen = [bits as u64, (bits >> 64) as u64];
        Ok(())
    }

    /// The highest sequence number received, 0 before the first.
    #[must_use]
    pub const fn highest(&self) -> u32 {
        self.highest
    }

    const fn bits(&self) -> u128 {
        self.seen[0] as u128 | (self.seen[1] as u128) << 64
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
