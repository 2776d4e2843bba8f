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
        /// How long it is, without the outer headers; of a message whose datagram was not kept, how long that is.
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
    /// Its Call-ID, if it has one.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub call_id: String,
    /// The whole message, with line feeds only; nothing in files of earlier versions.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub text: String,
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
                EntryKind::Message { direction, source, destination, spi, sip } => {
                    EventKind::Datagram {
                        direction: *direction,
                        source: source.to_string(),
                        destination: destination.to_string(),
                        bytes: sip.len(),
                        spi: spi.map(|spi| format!("0x{spi:08x}")),
                        message: Some(Message::read(sip)),
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

    /// When the first event was, in nanoseconds from the run's start; 0 where there is none.
    #[must_use]
    pub fn start_ns(&self) -> u64 {
        self.events.first().map_or(0, |event| event.at_ns)
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
        let text = String::from_utf8_lossy(message).replace("\r\n", "\n");
        let mut lines = text.lines();
        let start_line = lines.next().unwrap_or_default().to_owned();
        let lines: Vec<_> = lines.take_while(|line| !line.is_empty()).collect();
        let value_of = |name: &str, compact: Option<&str>| {
            let is_name = |text: &str| {
                text.eq_ignore_ascii_case(name)
                    || compact.is_some_and(|compact| text.eq_ignore_ascii_case(compact))
            };
            let headers = lines.iter().filter_map(|line| line.split_once(':'));
            let mut values = headers.filter(|(header, _)| is_name(header.trim_end()));
            values.next().map(|(_, value)| value.trim().to_owned())
        };
        let headers = HEADERS
            .iter()
            .filter_map(|(name, compact)| Some(((*name).to_owned(), value_of(name, *compact)?)));
        let headers = headers.collect();
        let call_id = value_of("Call-ID", Some("i")).unwrap_or_default();
        Self { start_line, headers, call_id, text }
    }

    /// The status of a response.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        self.start_line.strip_prefix("SIP/2.0 ")?.get(..3)?.parse().ok()
    }

    /// The method, of a response that of its CSeq; nothing where it has none.
    #[must_use]
    pub fn method(&self) -> &str {
        let of_response = || self.header("CSeq").split_whitespace().nth(1);
        let method = match self.status() {
            None => self.start_line.split(' ').next(),
            Some(_) => of_response(),
        };
        method.unwrap_or_default()
    }

    /// The value of one of the headers that a ladder shows; nothing where it has none.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    /// Whether To has a tag, so that the request is one in a dialog.
    #[must_use]
    pub fn is_in_dialog(&self) -> bool {
        let headers = self.text.lines().take_while(|line| !line.is_empty());
        let mut to = headers.filter_map(|line| line.split_once(':')).filter(|(name, _)| {
            let name = name.trim_end();
            name.eq_ignore_ascii_case("To") || name.eq_ignore_ascii_case("t")
        });
        to.next().is_some_and(|(_, value)| value.contains(";tag="))
    }

    /// Whether it is a response that refuses what was asked for. A challenge does not.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        self.status().is_some_and(|status| status >= 300 && !matches!(status, 401 | 407))
    }

    /// The headers in one line.
    pub(super) fn summary(&self) -> String {
        let texts = self.headers.iter().map(|(name, value)| format!("{name}: {value}"));
        texts.collect::<Vec<_>>().join("; ")
    }
}
