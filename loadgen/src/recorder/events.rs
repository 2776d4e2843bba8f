//! ue-N.json: what happened to a UE, without the bytes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Direction;
use super::capture::{self, EntryKind, UeCapture};

/// What happened to one UE.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UeEvents {
    /// The UE's number.
    pub ue: u64,
    /// How many events went before these to make room.
    pub dropped: u64,
    /// In the order of time.
    pub events: Vec<Event>,
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// When, in nanoseconds from the run's start.
    pub at_ns: u64,
    /// What.
    #[serde(flatten)]
    pub kind: EventKind,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum EventKind {
    /// A datagram was sent or received.
    Datagram {
        /// Which way it went.
        direction: Direction,
        /// Where from: the outer address.
        source: String,
        /// Where to: the outer address.
        destination: String,
        /// How long it is, without the outer headers.
        bytes: usize,
        /// The SPI, `0x` and eight digits, if it is ESP.
        spi: Option<String>,
        /// The SIP message in it, if it is one or was opened.
        message: Option<Message>,
    },
    /// Something else.
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

/// A SIP message, in short.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// The request or status line.
    pub start_line: String,
    /// CSeq, Event, Expires, Retry-After and Subscription-State, those that it has: name and value.
    pub headers: BTreeMap<String, String>,
}

/// The headers that a ladder shows, with their compact forms.
const HEADERS: [(&str, Option<&str>); 5] = [
    ("CSeq", None),
    ("Event", Some("o")),
    ("Expires", None),
    ("Subscription-State", None),
    ("Retry-After", None),
];

impl UeEvents {
    /// The events of a capture.
    #[must_use]
    pub fn of(capture: &UeCapture) -> Self {
        let events = capture.entries.iter().map(|entry| Event {
            at_ns: entry.at_ns,
            kind: match &entry.kind {
                EntryKind::Datagram { direction, source, destination, wire, sip } => {
                    let (spi, message) = capture::contents(wire, sip.as_deref());
                    EventKind::Datagram {
                        direction: *direction,
                        source: source.to_string(),
                        destination: destination.to_string(),
                        bytes: wire.len(),
                        spi: spi.map(|spi| format!("0x{spi:08x}")),
                        message: message.map(Message::read),
                    }
                }
                EntryKind::Event { text } => EventKind::Event { text: text.clone() },
                EntryKind::Failure { procedure, cause } => {
                    EventKind::Failure { procedure: procedure.clone(), cause: cause.clone() }
                }
            },
        });
        Self { ue: capture.ue, dropped: capture.dropped, events: events.collect() }
    }

    /// The file's text.
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut json = serde_json::to_string_pretty(self).expect("it is numbers and texts only");
        json.push('\n');
        json
    }

    /// Reads what [`UeEvents::to_json`] wrote.
    ///
    /// # Errors
    /// serde's, with line and column.
    pub fn from_json(text: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(text)
    }
}

impl Message {
    /// Reads a message. Whatever it is, this gives something to show: it is for what goes wrong.
    fn read(message: &[u8]) -> Self {
        let text = String::from_utf8_lossy(message);
        let mut lines = text.lines();
        let start_line = lines.next().unwrap_or_default().to_owned();
        let lines: Vec<_> = lines.take_while(|line| !line.is_empty()).collect();
        let headers = HEADERS.iter().filter_map(|(name, compact)| {
            let is_name = |text: &str| {
                text.eq_ignore_ascii_case(name)
                    || compact.is_some_and(|compact| text.eq_ignore_ascii_case(compact))
            };
            let (_, value) = lines
                .iter()
                .filter_map(|line| line.split_once(':'))
                .find(|(header, _)| is_name(header.trim_end()))?;
            Some(((*name).to_owned(), value.trim().to_owned()))
        });
        Self { start_line, headers: headers.collect() }
    }

    /// The headers in one line.
    pub(super) fn summary(&self) -> String {
        let texts = self.headers.iter().map(|(name, value)| format!("{name}: {value}"));
        texts.collect::<Vec<_>>().join("; ")
    }
}
