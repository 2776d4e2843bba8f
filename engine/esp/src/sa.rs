//! Security associations, one direction each.

use crate::replay::ReplayWindow;
use core::net::IpAddr;

/// What traffic an association carries, seen from this side (TS 33.203 7.1). The protocol is UDP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Selectors {
    /// This side's address.
    pub local_ip: IpAddr,
    /// The peer's address.
    pub remote_ip: IpAddr,
    /// This side's port.
    pub local_port: u16,
    /// The peer's port.
    pub remote_port: u16,
}

/// An association on which this side receives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inbound {
    spi: u32,
    pub(crate) window: ReplayWindow,
}

impl Inbound {
    /// A new one: `spi` is one that this side has chosen.
    #[must_use]
    pub const fn new(spi: u32) -> Self {
        Self { spi, window: ReplayWindow::new() }
    }

    /// The SPI in received packets.
    #[must_use]
    pub const fn spi(&self) -> u32 {
        self.spi
    }

    /// The highest sequence number of an authentic packet, 0 before the first.
    #[must_use]
    pub const fn highest_sequence(&self) -> u32 {
        self.window.highest()
    }
}

/// An association on which this side sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outbound {
    spi: u32,
    sequence: u32,
}

impl Outbound {
    /// A new one: `spi` is one that the peer has chosen.
    #[must_use]
    pub const fn new(spi: u32) -> Self {
        Self { spi, sequence: 0 }
    }

    /// The SPI in sent packets.
    #[must_use]
    pub const fn spi(&self) -> u32 {
        self.spi
    }

    /// The sequence number of the last packet, 0 before the first.
    #[must_use]
    pub const fn sequence(&self) -> u32 {
        self.sequence
    }

    /// Takes the next sequence number. Nothing after the last: it must not cycle (RFC 4303 3.3.3).
    pub(crate) const fn next_sequence(&mut self) -> Option<u32> {
        match self.sequence.checked_add(1) {
            Some(next) => {
                self.sequence = next;
                Some(next)
            }
            None => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::*;

    #[test]
    fn sequence_numbers_end_and_do_not_cycle() {
        let ip = "127.0.0.1".parse().unwrap();
        let selectors = Selectors { local_ip: ip, remote_ip: ip, local_port: 1, remote_port: 2 };
        let mut sa = Outbound::new(256);
        sa.sequence = u32::MAX - 1;
        let (integrity, encryption) = (IntegrityAlgorithm::HmacMd5_96, EncryptionAlgorithm::Null);
        let keys = Keys::expand(&[0; 16], &[0; 16], integrity, encryption);
        let state = TransformState::new(&keys);
        let mut buffer = [0; HEADROOM + TAILROOM];
        let payload = HEADROOM..HEADROOM;
        let mut seal = || {
            let (mode, payload) = (Mode::Transport, payload.clone());
            seal(&state, &mut sa, &selectors, mode, &mut buffer, payload, 0).map(|_| ())
        };
        assert_eq!(seal(), Ok(()));
        assert_eq!(seal(), Err(SealError::SequenceExhausted));
        assert_eq!(seal(), Err(SealError::SequenceExhausted));
    }
}
