//! What was noted of one UE.

use std::net::SocketAddr;

use super::{AssociationKeys, Direction};
use crate::measure::{Cause, Procedure};

/// What was noted of one UE.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UeCapture {
    /// The UE's number.
    pub ue: u64,
    /// How many entries went before these to make room.
    pub dropped: u64,
    /// In the order of time.
    pub entries: Vec<Entry>,
    /// The associations and their keys.
    pub associations: Vec<AssociationKeys>,
}

/// Something that was noted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// When, in nanoseconds from the run's start.
    pub at_ns: u64,
    /// What.
    pub kind: EntryKind,
}

/// What was noted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EntryKind {
    /// A datagram.
    Datagram {
        /// Which way it went.
        direction: Direction,
        /// Where from: the outer address.
        source: SocketAddr,
        /// Where to: the outer address.
        destination: SocketAddr,
        /// What UDP carries.
        wire: Vec<u8>,
        /// The SIP message that was inside ESP.
        sip: Option<Vec<u8>>,
    },
    /// A SIP message of which the datagram was not kept.
    Message {
        /// Which way it went.
        direction: Direction,
        /// Where from: the outer address.
        source: SocketAddr,
        /// Where to: the outer address.
        destination: SocketAddr,
        /// The SPI of the packet that it was in, if it was in one.
        spi: Option<u32>,
        /// The message.
        sip: Vec<u8>,
    },
    /// Something that happened to the UE.
    Event {
        /// What.
        text: String,
    },
    /// A procedure failed.
    Failure {
        /// Its name.
        procedure: String,
        /// The cause's name.
        cause: String,
    },
}

impl Entry {
    /// A procedure failed.
    pub(super) fn failure(at_ns: u64, procedure: Procedure, cause: Cause) -> Self {
        let kind = EntryKind::Failure {
            procedure: procedure.name().to_owned(),
            cause: cause.name().into_owned(),
        };
        Self { at_ns, kind }
    }

    /// The bytes that it costs in a ring, roughly.
    pub(super) fn len(&self) -> usize {
        size_of::<Self>()
            + match &self.kind {
                EntryKind::Datagram { wire, sip, .. } => {
                    wire.len() + sip.as_ref().map_or(0, Vec::len)
                }
                EntryKind::Message { sip, .. } => sip.len(),
                EntryKind::Event { text } => text.len(),
                EntryKind::Failure { procedure, cause } => procedure.len() + cause.len(),
            }
    }
}

/// The SPI and the SIP message of a datagram: a message that came unprotected has no SPI, an ESP
/// packet that was not opened has no message, and what is neither has neither.
pub(super) fn contents<'a>(
    wire: &'a [u8],
    sip: Option<&'a [u8]>,
) -> (Option<u32>, Option<&'a [u8]>) {
    if is_sip(wire) {
        return (None, Some(wire));
    }
    let spi = match imstorm_esp::classify(wire) {
        imstorm_esp::Datagram::Esp(spi) => Some(spi),
        _ => None,
    };
    (spi, sip)
}

/// Whether it starts with a start line: an SPI may look like a method, but not go on like one.
fn is_sip(wire: &[u8]) -> bool {
    let line = wire.split(|byte| *byte == b'\r' || *byte == b'\n').next().unwrap_or_default();
    line.starts_with(b"SIP/2.0 ") || line.ends_with(b" SIP/2.0")
}
