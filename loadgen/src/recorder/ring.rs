//! What was noted of each UE, bounded.

use std::collections::{BTreeMap, HashMap, VecDeque};

use super::AssociationKeys;
use super::capture::{CaptureFile, Entry};

/// The associations that are kept of a UE: those of six sets. Older ones go.
const ASSOCIATIONS_MAX: usize = 24;

/// The rings of all UEs that are recorded now.
#[derive(Debug)]
pub(super) struct Rings {
    ue_bytes_max: usize,
    bytes_max: usize,
    /// The bytes of all rings that are not kept for good.
    bytes: usize,
    rings: HashMap<u64, Ring>,
    /// The rings that are not kept for good, by age: the sequence number they got when made.
    by_age: BTreeMap<u64, u64>,
    next_age: u64,
    kept: usize,
}

/// What was noted of a UE.
#[derive(Debug)]
pub(super) struct Ring {
    entries: VecDeque<Entry>,
    associations: VecDeque<AssociationKeys>,
    bytes: usize,
    /// Entries that went to make room.
    dropped: u64,
    age: u64,
    kept: bool,
}

impl Rings {
    pub(super) fn new(ue_bytes_max: usize, bytes_max: usize) -> Self {
        Self {
            ue_bytes_max,
            bytes_max,
            bytes: 0,
            rings: HashMap::new(),
            by_age: BTreeMap::new(),
            next_age: 0,
            kept: 0,
        }
    }

    /// How many rings are kept for good.
    pub(super) const fn kept(&self) -> usize {
        self.kept
    }

    pub(super) fn get(&self, ue: u64) -> Option<&Ring> {
        self.rings.get(&ue)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (u64, &Ring)> {
        self.rings.iter().map(|(ue, ring)| (*ue, ring))
    }

    /// Adds an entry; the ring's oldest go if it gets too long, then the oldest rings if all of them
    /// together do.
    pub(super) fn push(&mut self, ue: u64, entry: Entry) {
        let ue_bytes_max = self.ue_bytes_max;
        let ring = self.ring(ue);
        let before = ring.bytes;
        ring.bytes += entry.len();
        ring.entries.push_back(entry);
        while ring.bytes > ue_bytes_max && ring.entries.len() > 1 {
            let oldest = ring.entries.pop_front().expect("there is more than one");
            ring.bytes -= oldest.len();
            ring.dropped += 1;
        }
        let (after, kept) = (ring.bytes, ring.kept);
        if !kept {
            self.bytes = self.bytes + after - before;
            self.shrink();
        }
    }

    pub(super) fn push_association(&mut self, ue: u64, association: AssociationKeys) {
        let ring = self.ring(ue);
        if ring.associations.len() == ASSOCIATIONS_MAX {
            ring.associations.pop_front();
        }
        ring.associations.push_back(association);
    }

    /// Keeps a UE's ring for good.
    pub(super) fn keep(&mut self, ue: u64) {
        let Some(ring) = self.rings.get_mut(&ue) else { return };
        if !ring.kept {
            ring.kept = true;
            self.kept += 1;
            self.bytes -= ring.bytes;
            self.by_age.remove(&ring.age);
        }
    }

    /// Drops a UE's ring, unless it is kept for good.
    pub(super) fn let_go(&mut self, ue: u64) {
        if let Some(ring) = self.rings.get(&ue)
            && !ring.kept
        {
            self.bytes -= ring.bytes;
            self.by_age.remove(&ring.age);
            self.rings.remove(&ue);
        }
    }

    fn ring(&mut self, ue: u64) -> &mut Ring {
        self.rings.entry(ue).or_insert_with(|| {
            let age = self.next_age;
            self.next_age += 1;
            self.by_age.insert(age, ue);
            Ring {
                entries: VecDeque::new(),
                associations: VecDeque::new(),
                bytes: 0,
                dropped: 0,
                age,
                kept: false,
            }
        })
    }

    fn shrink(&mut self) {
        while self.bytes > self.bytes_max && self.by_age.len() > 1 {
            let (_, ue) = self.by_age.pop_first().expect("there is more than one");
            let ring = self.rings.remove(&ue).expect("it is there as long as its age is");
            self.bytes -= ring.bytes;
        }
    }
}

impl Ring {
    pub(super) const fn is_kept(&self) -> bool {
        self.kept
    }

    pub(super) fn capture(&self, ue: u64) -> CaptureFile {
        CaptureFile {
            ue,
            dropped: self.dropped,
            entries: self.entries.iter().cloned().collect(),
            associations: self.associations.iter().cloned().collect(),
        }
    }
}
