//! Which failing UEs are kept, so that each cause of a failure has an example.

use std::collections::HashMap;

use imstorm_base::time::{NS_PER_MS, NS_PER_S, Time};

use super::capture::{Entry, EntryKind, UeCapture};
use super::ring::Ring;
use super::tail::{Heard, Tail};
use crate::measure::{Cause, Procedure};

/// So many UEs are kept for each cause.
const EXAMPLES_MAX: usize = 2;
/// So many UEs are kept altogether.
const UES_MAX: usize = 32;
/// So many bytes are kept of a UE.
const UE_BYTES_MAX: usize = 64 * 1024;
/// So many UEs are listened to that may fail yet.
const SUSPECTS_MAX: usize = 16;
/// A UE that is listened to has failed after so long, or does not fail: Timer F between UE and P-CSCF is 128 s.
const SUSPECT_NS: u64 = 140 * NS_PER_S;
/// No more than one UE in so long becomes a suspect: looking for what it said takes tens of microseconds.
const SUSPECT_GAP_NS: u64 = 100 * NS_PER_MS;

/// The failing UEs that are kept, those that may become one, and the last messages of all.
///
/// Until it fails, or has to send a request again, nothing is known of a UE but what is in the [`Tail`], which costs a copy of each message. Then
/// its messages are picked out, and what follows goes to a ring of its own. The memory is bounded, some 12 MiB: 9 of the tail, and 64 KiB
/// of each of up to 48 UEs.
#[derive(Debug)]
pub(super) struct Failing {
    tail: Tail,
    aside: HashMap<u64, Aside>,
    /// A bit for each UE in `aside` that is listened to, by its number modulo 64: most messages are of none of them.
    mask: u64,
    by_cause: HashMap<Cause, usize>,
    failed: usize,
    suspect_at: Time,
}

/// A UE of which more is known than what is in the tail.
#[derive(Debug)]
struct Aside {
    ring: Ring,
    since: Time,
    has_failed: bool,
    /// There is no room for more.
    is_full: bool,
}

impl Failing {
    pub fn new() -> Self {
        Self {
            tail: Tail::new(),
            aside: HashMap::new(),
            mask: 0,
            by_cause: HashMap::new(),
            failed: 0,
            suspect_at: 0,
        }
    }

    /// Whether anything is kept of messages.
    #[inline]
    pub fn listens(&self) -> bool {
        self.failed < UES_MAX || self.mask != 0
    }

    /// A message of a UE.
    #[inline]
    pub fn note(&mut self, ue: u64, now: Time, heard: &Heard<'_>) {
        if self.failed < UES_MAX {
            self.tail.note(ue, now, heard);
        }
        if self.mask >> (ue % 64) & 1 != 0 {
            self.note_aside(ue, now, heard);
        }
    }

    #[cold]
    fn note_aside(&mut self, ue: u64, now: Time, heard: &Heard<'_>) {
        self.push(ue, heard.entry(now));
    }

    /// Something that happened to a UE, if it is one of which more is known.
    pub fn note_event(&mut self, ue: u64, now: Time, text: &str) {
        if self.aside.contains_key(&ue) {
            let kind = EntryKind::Event { text: text.to_owned() };
            self.push(ue, Entry { at_ns: now, kind });
        }
    }

    fn push(&mut self, ue: u64, entry: Entry) {
        let Some(aside) = self.aside.get_mut(&ue) else { return };
        if !aside.has_failed {
            aside.ring.push(entry, UE_BYTES_MAX);
        } else if !aside.is_full && !aside.ring.push_within(entry, UE_BYTES_MAX) {
            aside.is_full = true;
            self.find_mask();
        }
    }

    /// A UE may be about to fail for this cause: it has to send a request again, or what it waits for is late.
    pub fn suspect(&mut self, ue: u64, now: Time, cause: Cause) {
        let is_known = self.examples(cause) >= EXAMPLES_MAX || self.aside.contains_key(&ue);
        if is_known || self.failed >= UES_MAX || now < self.suspect_at {
            return;
        }
        self.suspect_at = now + SUSPECT_GAP_NS;
        if self.aside.len() - self.failed >= SUSPECTS_MAX {
            let suspects = self.aside.iter().filter(|(_, aside)| !aside.has_failed);
            let oldest = suspects.min_by_key(|(_, aside)| aside.since);
            let Some((oldest, _)) = oldest.filter(|(_, it)| it.since + SUSPECT_NS < now) else {
                return;
            };
            let oldest = *oldest;
            self.aside.remove(&oldest);
        }
        self.listen_to(ue, now);
    }

    /// A procedure of a UE has failed.
    pub fn failed(&mut self, ue: u64, now: Time, procedure: Procedure, cause: Cause) {
        let has_failed = self.aside.get(&ue).is_some_and(|aside| aside.has_failed);
        let is_wanted = self.examples(cause) < EXAMPLES_MAX && self.failed < UES_MAX;
        if !has_failed && !is_wanted {
            return;
        }
        self.count(cause);
        if !self.aside.contains_key(&ue) {
            self.listen_to(ue, now);
        }
        self.push(ue, Entry::failure(now, procedure, cause));
        if let Some(aside) = self.aside.get_mut(&ue)
            && !aside.has_failed
        {
            aside.has_failed = true;
            self.failed += 1;
        }
    }

    /// A UE that is recorded elsewhere has failed: there is one example more.
    pub fn count(&mut self, cause: Cause) {
        *self.by_cause.entry(cause).or_default() += 1;
    }

    /// A UE does not fail after all.
    #[inline]
    pub fn let_go(&mut self, ue: u64) {
        if self.mask >> (ue % 64) & 1 != 0 {
            self.let_go_if_known(ue);
        }
    }

    #[cold]
    fn let_go_if_known(&mut self, ue: u64) {
        if self.aside.get(&ue).is_some_and(|aside| !aside.has_failed) {
            self.aside.remove(&ue);
            self.find_mask();
        }
    }

    /// What is kept of the UEs that failed.
    pub fn captures(&self) -> impl Iterator<Item = UeCapture> {
        let failed = self.aside.iter().filter(|(_, aside)| aside.has_failed);
        failed.map(|(ue, aside)| aside.ring.capture(*ue))
    }

    fn examples(&self, cause: Cause) -> usize {
        self.by_cause.get(&cause).copied().unwrap_or(0)
    }

    fn listen_to(&mut self, ue: u64, now: Time) {
        let mut ring = Ring::default();
        let mut heard = self.tail.of_ue(ue).peekable();
        if self.tail.has_lost() {
            let at_ns = heard.peek().map_or(now, |first| first.at_ns);
            let text = "what came before may not have been kept".to_owned();
            ring.push(Entry { at_ns, kind: EntryKind::Event { text } }, UE_BYTES_MAX);
        }
        heard.for_each(|entry| ring.push(entry, UE_BYTES_MAX));
        self.aside.insert(ue, Aside { ring, since: now, has_failed: false, is_full: false });
        self.find_mask();
    }

    fn find_mask(&mut self) {
        let heard = self.aside.iter().filter(|(_, aside)| !aside.is_full);
        self.mask = heard.fold(0, |mask, (ue, _)| mask | 1 << (ue % 64));
    }
}
