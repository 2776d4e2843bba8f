//! The flight recorder: what chosen UEs sent and received, as captures, readable SIP and ladders.
//!
//! A UE's datagrams are noted as they are on the wire, with the SIP message that was in them, into
//! a bounded ring. [`write`](write()) makes files of what is kept: a pcapng for each UE and the keys in
//! Wireshark's format, so that Wireshark decrypts it; the SIP messages as text; and the events as
//! JSON, which [`ladder`](ladder()) draws.

mod capture;
mod esp_sa;
mod events;
mod files;
mod ladder;
mod pcapng;
mod ring;

use std::net::{IpAddr, SocketAddr};

use imstorm_esp::{Keys, SecurityParameters, Suite};
use serde::{Deserialize, Serialize};

use crate::measure::{Cause, Procedure};

pub use capture::{Entry, EntryKind, UeCapture};
pub use events::{Event, EventKind, Message, UeEvents};
pub use files::{Written, write};
pub use ladder::ladder;

use ring::{Ring, Rings};

/// Which UEs are recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Capture {
    /// None. Noting costs a comparison.
    None,
    /// These, by number.
    Ues(Vec<u64>),
    /// Those with a failed procedure.
    Failed {
        /// At most so many, the first ones.
        limit: usize,
    },
}

/// Which way a datagram went, as the UE sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// To the UE.
    In,
    /// From the UE.
    Out,
}

/// A security association, with its keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AssociationKeys {
    /// The SPI.
    pub spi: u32,
    /// Where its packets come from: the outer address.
    pub source: IpAddr,
    /// Where its packets go to: the outer address.
    pub destination: IpAddr,
    /// The algorithms.
    pub suite: Suite,
    /// CK_ESP; empty for the null algorithm.
    pub encryption_key: Vec<u8>,
    /// IK_ESP.
    pub integrity_key: Vec<u8>,
}

impl AssociationKeys {
    /// The four associations of a set, between the outer addresses of the UE and its P-CSCF.
    #[must_use]
    pub fn of_set(
        parameters: &SecurityParameters,
        ck: &[u8; 16],
        ik: &[u8; 16],
        ue: IpAddr,
        pcscf: IpAddr,
    ) -> [Self; 4] {
        let suite = parameters.suite;
        let keys = Keys::expand(ck, ik, suite.integrity, suite.encryption);
        [
            (parameters.spi_ps, ue, pcscf),
            (parameters.spi_uc, pcscf, ue),
            (parameters.spi_us, pcscf, ue),
            (parameters.spi_pc, ue, pcscf),
        ]
        .map(|(spi, source, destination)| Self {
            spi,
            source,
            destination,
            suite,
            encryption_key: keys.encryption().to_vec(),
            integrity_key: keys.integrity().to_vec(),
        })
    }
}

/// The bytes that are kept of a UE chosen by number.
const UE_BYTES_MAX: usize = 256 * 1024;
/// The bytes that are kept of a UE that may fail yet: a set-up's datagrams with both NOTIFYs, and
/// some retransmissions.
const ACTIVE_UE_BYTES_MAX: usize = 16 * 1024;
/// The bytes that are kept of all UEs that may fail yet. With more, a UE is dropped: one that is
/// settled before one that is in a procedure, and of these the one that is recorded longest.
const ACTIVE_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Notes what the chosen UEs send and receive.
///
/// Noting is off a message's usual path: it allocates. Ask [`Recorder::wants`] first.
#[derive(Debug)]
pub struct Recorder {
    capture: Capture,
    rings: Rings,
}

impl Recorder {
    /// A recorder of the UEs that `capture` selects.
    #[must_use]
    pub fn new(mut capture: Capture) -> Self {
        if let Capture::Ues(ues) = &mut capture {
            ues.sort_unstable();
            ues.dedup();
        }
        let rings = match &capture {
            Capture::None => Rings::new(0, 0),
            Capture::Ues(ues) => {
                Rings::new(UE_BYTES_MAX, UE_BYTES_MAX.saturating_mul(ues.len().max(1)))
            }
            Capture::Failed { .. } => Rings::new(ACTIVE_UE_BYTES_MAX, ACTIVE_BYTES_MAX),
        };
        Self { capture, rings }
    }

    /// Whether anything noted of a UE is kept, for now at least.
    #[must_use]
    pub fn wants(&self, ue: u64) -> bool {
        match &self.capture {
            Capture::None => false,
            Capture::Ues(ues) => ues.binary_search(&ue).is_ok(),
            Capture::Failed { limit } => {
                self.rings.kept() < *limit || self.rings.get(ue).is_some_and(Ring::is_kept)
            }
        }
    }

    /// Notes a datagram: from `source` to `destination`, outermost; `wire` is what UDP carries; and
    /// `sip` is the message that was inside ESP, nothing if it was not opened or there was no ESP.
    pub fn note(
        &mut self,
        ue: u64,
        now_ns: u64,
        direction: Direction,
        source: SocketAddr,
        destination: SocketAddr,
        wire: &[u8],
        sip: Option<&[u8]>,
    ) {
        if self.wants(ue) {
            let kind = EntryKind::Datagram {
                direction,
                source,
                destination,
                wire: wire.to_vec(),
                // Without ESP the wire has it already.
                sip: sip.filter(|sip| *sip != wire).map(<[u8]>::to_vec),
            };
            self.rings.push(ue, Entry { at_ns: now_ns, kind });
        }
    }

    /// Notes a security association of a UE. It is kept as long as the UE's ring is.
    pub fn note_sa(&mut self, ue: u64, association: AssociationKeys) {
        if self.wants(ue) {
            self.rings.push_association(ue, association);
        }
    }

    /// Notes something that happened to a UE, for its ladder: `secured`, `timer F fired`, ….
    pub fn note_event(&mut self, ue: u64, now_ns: u64, text: &str) {
        if self.wants(ue) {
            let kind = EntryKind::Event { text: text.to_owned() };
            self.rings.push(ue, Entry { at_ns: now_ns, kind });
        }
    }

    /// A procedure of a UE has failed: what was noted of it is kept.
    pub fn failed(&mut self, ue: u64, now_ns: u64, procedure: Procedure, cause: Cause) {
        if self.wants(ue) {
            let kind = EntryKind::Failure {
                procedure: procedure.name().to_owned(),
                cause: cause.name().into_owned(),
            };
            self.rings.push(ue, Entry { at_ns: now_ns, kind });
            self.rings.keep(ue);
        }
    }

    /// A procedure of a UE has ended well. What was noted of the UE goes first if room is needed.
    pub fn settled(&mut self, ue: u64) {
        self.rings.settle(ue);
    }

    /// A UE is through with what it does. Unless it failed or was chosen by number, what was noted
    /// of it is let go.
    pub fn finished(&mut self, ue: u64) {
        if matches!(self.capture, Capture::Failed { .. }) {
            self.rings.let_go(ue);
        }
    }

    /// What is kept: of each UE chosen by number that did anything, or of each that failed, in the
    /// order of their numbers.
    #[must_use]
    pub fn captures(&self) -> Vec<UeCapture> {
        let all = !matches!(self.capture, Capture::Failed { .. });
        let rings = self.rings.iter().filter(|(_, ring)| all || ring.is_kept());
        let mut captures: Vec<_> = rings.map(|(ue, ring)| ring.capture(ue)).collect();
        captures.sort_by_key(|capture| capture.ue);
        captures
    }
}

#[cfg(test)]
mod tests;
