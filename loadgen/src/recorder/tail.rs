//! The last messages of all UEs, in a memory that was claimed at the start: what a UE has said is found here once it has failed.

use std::net::SocketAddr;

use super::Direction;
use super::capture::{Entry, EntryKind};

/// How many messages are kept at most.
const NOTES: usize = 1 << 13;
/// How many bytes of them are.
const TEXT_BYTES: usize = 8 << 20;

/// A message between a UE and its P-CSCF, as it was before it was sealed or once it was opened.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Heard<'a> {
    /// Which way it went.
    pub direction: Direction,
    /// The outer address of the UE.
    pub local: SocketAddr,
    /// The outer address of the other end.
    pub peer: SocketAddr,
    /// The SPI of the packet that it was in; 0 where it was in none.
    pub spi: u32,
    /// The message.
    pub sip: &'a [u8],
}

/// A message that is kept.
#[derive(Debug, Clone, Copy)]
struct Note {
    ue: u64,
    at_ns: u64,
    /// How many bytes had been written before it.
    start: u64,
    len: u32,
    spi: u32,
    local: SocketAddr,
    peer: SocketAddr,
    direction: Direction,
}

/// The last messages of all UEs.
#[derive(Debug)]
pub(super) struct Tail {
    notes: Box<[Note]>,
    text: Box<[u8]>,
    /// How many were noted.
    count: u64,
    /// How many bytes were written, with those that were left out at the end.
    written: u64,
}

impl Tail {
    /// An empty one, with all the memory that it will have.
    pub fn new() -> Self {
        let nowhere = SocketAddr::from(([0, 0, 0, 0], 0));
        let nothing = Note {
            ue: 0,
            at_ns: 0,
            start: 0,
            len: 0,
            spi: 0,
            local: nowhere,
            peer: nowhere,
            direction: Direction::In,
        };
        Self {
            notes: vec![nothing; NOTES].into_boxed_slice(),
            text: vec![0; TEXT_BYTES].into_boxed_slice(),
            count: 0,
            written: 0,
        }
    }

    /// Keeps a message. The oldest ones go.
    #[inline]
    pub fn note(&mut self, ue: u64, at_ns: u64, heard: &Heard<'_>) {
        let len = heard.sip.len();
        let mut at = self.written as usize % TEXT_BYTES;
        if at + len > TEXT_BYTES {
            self.written += (TEXT_BYTES - at) as u64;
            at = 0;
        }
        // What is longer than all the room is no datagram.
        let Some(room) = self.text.get_mut(at..at + len) else { return };
        room.copy_from_slice(heard.sip);
        self.notes[self.count as usize % NOTES] = Note {
            ue,
            at_ns,
            start: self.written,
            len: len as u32,
            spi: heard.spi,
            local: heard.local,
            peer: heard.peer,
            direction: heard.direction,
        };
        self.written += len as u64;
        self.count += 1;
    }

    /// Whether there were messages that are not kept any more.
    pub fn has_lost(&self) -> bool {
        self.count > NOTES as u64 || self.written > TEXT_BYTES as u64
    }

    /// What is kept of a UE, in the order of time.
    pub fn of_ue(&self, ue: u64) -> impl Iterator<Item = Entry> {
        let first = self.count.saturating_sub(NOTES as u64);
        (first..self.count).filter_map(move |number| {
            let note = &self.notes[number as usize % NOTES];
            let is_kept = note.start + TEXT_BYTES as u64 >= self.written;
            (note.ue == ue && is_kept).then(|| self.entry(note))
        })
    }

    fn entry(&self, note: &Note) -> Entry {
        let at = note.start as usize % TEXT_BYTES;
        let heard = Heard {
            direction: note.direction,
            local: note.local,
            peer: note.peer,
            spi: note.spi,
            sip: &self.text[at..at + note.len as usize],
        };
        heard.entry(note.at_ns)
    }
}

impl Heard<'_> {
    /// What is kept of it for good.
    pub fn entry(&self, at_ns: u64) -> Entry {
        let (source, destination) = match self.direction {
            Direction::Out => (self.local, self.peer),
            Direction::In => (self.peer, self.local),
        };
        let kind = EntryKind::Message {
            direction: self.direction,
            source,
            destination,
            spi: (self.spi != 0).then_some(self.spi),
            sip: self.sip.to_vec(),
        };
        Entry { at_ns, kind }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(sip: &[u8]) -> Heard<'_> {
        let address = SocketAddr::from(([127, 0, 0, 1], 5060));
        Heard { direction: Direction::Out, local: address, peer: address, spi: 7, sip }
    }

    fn texts(tail: &Tail, ue: u64) -> Vec<(u64, Vec<u8>)> {
        let text = |entry: Entry| match entry.kind {
            EntryKind::Message { sip, .. } => (entry.at_ns, sip),
            other => panic!("{other:?}"),
        };
        tail.of_ue(ue).map(text).collect()
    }

    #[test]
    fn what_a_ue_said_is_found_among_what_all_said() {
        let mut tail = Tail::new();
        for at_ns in 0..1_000 {
            tail.note(at_ns % 10, at_ns, &heard(format!("message {at_ns}").as_bytes()));
        }
        let found = texts(&tail, 3);
        assert_eq!(found.len(), 100);
        assert_eq!(found[1], (13, b"message 13".to_vec()));
        assert!(!tail.has_lost());
        assert!(texts(&tail, 11).is_empty());
    }

    #[test]
    fn the_oldest_go_when_there_are_too_many() {
        let mut tail = Tail::new();
        for at_ns in 0..NOTES as u64 + 5 {
            tail.note(1, at_ns, &heard(&at_ns.to_be_bytes()));
        }
        let found = texts(&tail, 1);
        assert!(tail.has_lost());
        assert_eq!((found.len(), found[0].0), (NOTES, 5));
        assert!(found.iter().all(|(at_ns, text)| text[..] == at_ns.to_be_bytes()));
    }

    #[test]
    fn the_oldest_go_when_they_are_too_long() {
        let mut tail = Tail::new();
        // No divisor of the room, so that one message would lie across its end.
        let (len, count) = (3_001, 2 * TEXT_BYTES as u64 / 3_000);
        for at_ns in 0..count {
            tail.note(1, at_ns, &heard(&vec![at_ns as u8; len]));
        }
        let found = texts(&tail, 1);
        assert!(tail.has_lost());
        assert!(found.len() >= TEXT_BYTES / len - 1 && found.len() <= TEXT_BYTES / len);
        assert_eq!(found.last().map(|it| it.0), Some(count - 1));
        assert!(found.iter().all(|(at_ns, text)| *text == vec![*at_ns as u8; len]));
        // What is longer than the room changes nothing.
        tail.note(2, 0, &heard(&vec![1; TEXT_BYTES + 1]));
        assert!(texts(&tail, 2).is_empty());
    }
}
