//! The flight recorder: what chosen UEs, and some that failed, sent and received, as captures, readable SIP and ladders.
//!
//! Of a UE that is chosen by number its datagrams are noted as they are on the wire, with the SIP message that was in them and the keys. Of the others
//! the last messages are in a memory of fixed size (`note_message`); of a UE that fails, or seems about to, they are picked out and what
//! follows is kept, without keys: two UEs for each cause, 32 altogether, 64 KiB each. [`write`](write()) makes files of what is kept: a pcapng for each UE and the keys in Wireshark's
//! format, so that Wireshark decrypts it; the SIP messages as text; and the events as JSON, which [`ladder`](ladder()) and [`svg`](svg()) draw.

mod capture;
mod esp_sa;
mod events;
mod failing;
mod files;
mod folder;
mod ladder;
mod participants;
mod pcapng;
mod ring;
mod selection;
mod svg;
mod tail;

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};

use imstorm_base::time::Time;
use imstorm_esp::{Keys, SecurityParameters, Suite};
use serde::{Deserialize, Serialize};

use crate::measure::{Cause, Procedure};

pub use capture::{Entry, EntryKind, UeCapture};
pub use events::{Event, EventKind, Message, UeEvents};
pub use files::{Written, write};
pub use folder::{CaptureError, CaptureFolder, CaptureSummary, CapturedFailure};
pub(crate) use ladder::printable;
pub use ladder::{full, ladder};
pub use selection::Selection;
pub use svg::{Drawing, STYLE, message_id, svg, text_id};
pub(crate) use tail::Heard;

use failing::Failing;
use ring::Ring;

/// Which UEs are recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Capture {
    /// None. Noting costs a comparison.
    None,
    /// A few of those with a failed procedure, so that each cause has an example: their messages, without keys. Noting costs a copy of
    /// each message; what it takes is bounded by 12 MiB.
    Failed,
    /// The same, and these, by number: their datagrams, what was in them, and the keys; of each 256 KiB.
    Ues(Vec<u64>),
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

/// Notes what UEs send and receive.
#[derive(Debug)]
pub struct Recorder {
    /// By number, in order.
    chosen: Vec<u64>,
    rings: HashMap<u64, Ring>,
    failing: Option<Box<Failing>>,
    /// When the run began: times count from there.
    began: Time,
}

impl Recorder {
    /// A recorder of the UEs that `capture` selects.
    #[must_use]
    pub fn new(capture: Capture) -> Self {
        let has_failing = capture != Capture::None;
        let mut chosen = if let Capture::Ues(ues) = capture { ues } else { Vec::new() };
        chosen.sort_unstable();
        chosen.dedup();
        let failing = has_failing.then(|| Box::new(Failing::new()));
        Self { chosen, rings: HashMap::new(), failing, began: 0 }
    }

    /// The run begins.
    pub fn begin(&mut self, now: Time) {
        self.began = now;
    }

    /// Whether a UE was chosen by number, so that its datagrams are noted as they are on the wire. That is off a message's usual path: it
    /// allocates.
    #[must_use]
    #[inline]
    pub fn wants(&self, ue: u64) -> bool {
        !self.chosen.is_empty() && self.chosen.binary_search(&ue).is_ok()
    }

    /// Notes a datagram of a chosen UE: from `source` to `destination`, outermost; `wire` is what UDP carries; and
    /// `sip` is the message that was inside ESP, nothing if it was not opened or there was no ESP.
    pub fn note(
        &mut self,
        ue: u64,
        now: Time,
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
            self.push(ue, now, kind);
        }
    }

    /// Notes a message of a UE that was not chosen. It costs a copy, and nothing where no failing UEs are to be kept, or there are enough.
    #[inline]
    pub(crate) fn note_message(&mut self, ue: u64, now: Time, heard: &Heard<'_>) {
        if let Some(failing) = &mut self.failing
            && failing.listens()
        {
            failing.note(ue, now.saturating_sub(self.began), heard);
        }
    }

    /// Notes a security association of a chosen UE. It is kept as long as the UE's ring is.
    pub fn note_sa(&mut self, ue: u64, association: AssociationKeys) {
        if self.wants(ue) {
            self.rings.entry(ue).or_default().push_association(association);
        }
    }

    /// Notes something that happened to a UE, for its ladder: `secured`, `timer F fired`, ….
    pub fn note_event(&mut self, ue: u64, now: Time, text: &str) {
        if self.wants(ue) {
            self.push(ue, now, EntryKind::Event { text: text.to_owned() });
        } else if let Some(failing) = &mut self.failing {
            failing.note_event(ue, now.saturating_sub(self.began), text);
        }
    }

    /// A UE that was not chosen may be about to fail for this cause.
    pub fn suspect(&mut self, ue: u64, now: Time, cause: Cause) {
        if self.wants(ue) {
            return;
        }
        if let Some(failing) = &mut self.failing {
            failing.suspect(ue, now.saturating_sub(self.began), cause);
        }
    }

    /// A procedure of a UE has failed: what was noted of it is kept, unless there are enough of the kind.
    pub fn failed(&mut self, ue: u64, now: Time, procedure: Procedure, cause: Cause) {
        let at_ns = now.saturating_sub(self.began);
        if self.wants(ue) {
            self.push(ue, now, Entry::failure(at_ns, procedure, cause).kind);
            self.failing.iter_mut().for_each(|failing| failing.count(cause));
        } else if let Some(failing) = &mut self.failing {
            failing.failed(ue, at_ns, procedure, cause);
        }
    }

    /// A procedure of a UE has ended well: it does not fail after all.
    pub fn settled(&mut self, ue: u64) {
        if let Some(failing) = &mut self.failing {
            failing.let_go(ue);
        }
    }

    /// A UE is through with what it does. Unless it failed or was chosen by number, what was noted
    /// of it is let go.
    pub fn finished(&mut self, ue: u64) {
        self.settled(ue);
    }

    /// What is kept: of each UE chosen by number that did anything, and of each that failed and is kept, in the
    /// order of their numbers.
    #[must_use]
    pub fn captures(&self) -> Vec<UeCapture> {
        let mut captures: Vec<_> = self.rings.iter().map(|(ue, ring)| ring.capture(*ue)).collect();
        captures.extend(self.failing.iter().flat_map(|failing| failing.captures()));
        captures.sort_by_key(|capture| capture.ue);
        captures
    }

    fn push(&mut self, ue: u64, now: Time, kind: EntryKind) {
        let at_ns = now.saturating_sub(self.began);
        self.rings.entry(ue).or_default().push(Entry { at_ns, kind }, UE_BYTES_MAX);
    }
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod ue_tests;
