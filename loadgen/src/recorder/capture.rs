//! What was noted of one UE, and its JSON.

use std::fmt;
use std::net::SocketAddr;

use super::{AssociationKeys, Direction};

/// What was noted of one UE.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaptureFile {
    /// The UE's number.
    pub ue: u64,
    /// How many entries went before these to make room.
    pub dropped: u64,
    /// In the order of time.
    pub entries: Vec<Entry>,
    /// The associations and their keys. They are not in the JSON.
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

/// Why a text is no capture's JSON.
#[derive(Debug)]
pub struct CaptureParseError(String);

impl fmt::Display for CaptureParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "expected a capture's JSON: {}", self.0)
    }
}

impl std::error::Error for CaptureParseError {}

impl Entry {
    /// The bytes that it costs in a ring, roughly.
    pub(super) fn len(&self) -> usize {
        size_of::<Self>()
            + match &self.kind {
                EntryKind::Datagram { wire, sip, .. } => {
                    wire.len() + sip.as_ref().map_or(0, Vec::len)
                }
                EntryKind::Event { text } => text.len(),
                EntryKind::Failure { procedure, cause } => procedure.len() + cause.len(),
            }
    }
}

impl CaptureFile {
    /// The events as JSON, for the ladder.
    #[must_use]
    pub fn to_json(&self) -> String {
        String::new()
    }

    /// Reads what [`CaptureFile::to_json`] wrote.
    ///
    /// # Errors
    /// [`CaptureParseError`].
    pub fn from_json(text: &str) -> Result<Self, CaptureParseError> {
        Err(CaptureParseError(text.to_owned()))
    }
}
