//! What was noted of a UE, bounded.

use std::collections::VecDeque;

use super::AssociationKeys;
use super::capture::{Entry, UeCapture};

/// The associations that are kept of a UE: those of six sets. Older ones go.
const ASSOCIATIONS_MAX: usize = 24;

/// What was noted of a UE.
#[derive(Debug, Default)]
pub(super) struct Ring {
    entries: VecDeque<Entry>,
    associations: VecDeque<AssociationKeys>,
    bytes: usize,
    /// Entries that went to make room.
    dropped: u64,
}

impl Ring {
    /// Adds an entry; the oldest go where there are more than `bytes_max` bytes then.
    pub fn push(&mut self, entry: Entry, bytes_max: usize) {
        self.bytes += entry.len();
        self.entries.push_back(entry);
        while self.bytes > bytes_max && self.entries.len() > 1 {
            let oldest = self.entries.pop_front().expect("there is more than one");
            self.bytes -= oldest.len();
            self.dropped += 1;
        }
    }

    /// Adds an entry if there is room for it; whether there was.
    pub fn push_within(&mut self, entry: Entry, bytes_max: usize) -> bool {
        let is_room = self.bytes + entry.len() <= bytes_max;
        if is_room {
            self.push(entry, bytes_max);
        }
        is_room
    }

    /// Adds an association; the oldest goes if there are too many.
    pub fn push_association(&mut self, association: AssociationKeys) {
        if self.associations.len() == ASSOCIATIONS_MAX {
            self.associations.pop_front();
        }
        self.associations.push_back(association);
    }

    pub fn capture(&self, ue: u64) -> UeCapture {
        UeCapture {
            ue,
            dropped: self.dropped,
            entries: self.entries.iter().cloned().collect(),
            associations: self.associations.iter().cloned().collect(),
        }
    }
}
