//! The four associations of a set, for whoever knows from elsewhere what traffic they carry.

use crate::agreement::{LocalPort, SecurityParameters};
use crate::packet::{Mode, OpenError, SealError, open, seal};
use crate::sa::{Inbound, Outbound, Selectors};
use crate::transform::{Keys, Suite, TransformState};
use core::ops::Range;

/// The four associations that one AKA run makes, as one side has them.
///
/// Each association belongs to one of this side's own ports, so that both sides look the same:
///
/// | side   | in, client | in, server | out, client | out, server |
/// |--------|------------|------------|-------------|-------------|
/// | P-CSCF | 2b         | 1a         | 2a          | 1b          |
/// | UE     | 1b         | 2a         | 1a          | 2b          |
#[derive(Debug)]
pub struct Associations {
    /// The keys of all four.
    pub(crate) transform: TransformState,
    inbound: [Inbound; 2],
    outbound: [Outbound; 2],
}

// Every secured UE has them on either side: the shared transform 60 (HMAC's two states 40, AES's key 16, tags), two inbound at 24
// (SPI 4, window 4 + 16), two outbound at 8 (SPI, sequence number).
const _: () = assert!(size_of::<Associations>() <= 124);

/// The traffic of a packet's association.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Traffic {
    /// The own port that the association belongs to.
    pub port: LocalPort,
    /// Addresses and ports.
    pub selectors: Selectors,
    /// The encapsulation.
    pub mode: Mode,
}

impl Associations {
    /// The P-CSCF's. `parameters` have been validated.
    #[must_use]
    pub fn for_pcscf(parameters: &SecurityParameters, ck: &[u8; 16], ik: &[u8; 16]) -> Self {
        let p = parameters;
        Self {
            transform: transform(p, ck, ik),
            inbound: [Inbound::new(p.spi_pc), Inbound::new(p.spi_ps)],
            outbound: [Outbound::new(p.spi_us), Outbound::new(p.spi_uc)],
        }
    }

    /// The UE's. `parameters` have been validated.
    #[must_use]
    pub fn for_ue(parameters: &SecurityParameters, ck: &[u8; 16], ik: &[u8; 16]) -> Self {
        let p = parameters;
        Self {
            transform: transform(p, ck, ik),
            inbound: [Inbound::new(p.spi_uc), Inbound::new(p.spi_us)],
            outbound: [Outbound::new(p.spi_ps), Outbound::new(p.spi_pc)],
        }
    }

    /// The algorithms of all four.
    #[must_use]
    pub const fn suite(&self) -> Suite {
        self.transform.suite()
    }

    /// The association that receives at `port`.
    #[must_use]
    pub const fn inbound(&self, port: LocalPort) -> &Inbound {
        &self.inbound[port as usize]
    }

    /// The association that sends from `port`.
    #[must_use]
    pub const fn outbound(&self, port: LocalPort) -> &Outbound {
        &self.outbound[port as usize]
    }

    /// The own port of the association that receives packets with `spi`, if it is one of these.
    #[must_use]
    pub fn port_of_spi(&self, spi: u32) -> Option<LocalPort> {
        [LocalPort::Server, LocalPort::Client].into_iter().find(|&p| self.inbound(p).spi() == spi)
    }

    pub(crate) fn inbound_mut(&mut self, port: LocalPort) -> (&TransformState, &mut Inbound) {
        (&self.transform, &mut self.inbound[port as usize])
    }

    pub(crate) fn outbound_mut(&mut self, port: LocalPort) -> (&TransformState, &mut Outbound) {
        (&self.transform, &mut self.outbound[port as usize])
    }

    /// Seals a payload into a packet, as [`seal`] does.
    ///
    /// # Errors
    /// As [`seal`].
    ///
    /// # Panics
    /// As [`seal`].
    pub fn seal(
        &mut self,
        traffic: &Traffic,
        buffer: &mut [u8],
        payload: Range<usize>,
        iv_seed: u64,
    ) -> Result<Range<usize>, SealError> {
        let (transform, sa) = self.outbound_mut(traffic.port);
        seal(transform, sa, &traffic.selectors, traffic.mode, buffer, payload, iv_seed)
    }

    /// Opens a packet, as [`open`] does.
    ///
    /// # Errors
    /// As [`open`].
    pub fn open(
        &mut self,
        traffic: &Traffic,
        packet: &mut [u8],
    ) -> Result<Range<usize>, OpenError> {
        let (transform, sa) = self.inbound_mut(traffic.port);
        open(transform, sa, &traffic.selectors, traffic.mode, packet)
    }
}

fn transform(p: &SecurityParameters, ck: &[u8; 16], ik: &[u8; 16]) -> TransformState {
    TransformState::new(&Keys::expand(ck, ik, p.suite.integrity, p.suite.encryption))
}
