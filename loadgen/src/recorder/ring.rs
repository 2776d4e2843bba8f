//! What was noted of each UE, bounded.

use std::collections::{BTreeMap, HashMap, VecDeque};

use super::AssociationKeys;
use super::capture::{Entry, UeCapture};

/// The associations that are kept of a UE: those of six sets. Older ones go.
const ASSOCIATIONS_MAX: usize = 24;

/// What an association costs in a ring, with the heap's share of its keys.
const ASSOCIATION_BYTES: usize = 160;

/// The rings of all UEs that are recorded now.
#[derive(Debug)]
pub(super) struct Rings {
    ue_bytes_max: usize,
    bytes_max: usize,
    /// The bytes of all rings that are not kept for good.
    bytes: usize,
    rings: HashMap<u64, Ring>,
    /// The UEs whose rings are not kept for good, in the order in which they go if room is needed.
    by_rank: BTreeMap<Rank, u64>,
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
    rank: Rank,
    kept: bool,
}

/// Which ring goes first: settled ones, then the oldest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    in_procedure: bool,
    age: u64,
}

impl Rings {
    pub(super) fn new(ue_bytes_max: usize, bytes_max: usize) -> Self {
        Self {
            ue_bytes_max,
            bytes_max,
            bytes: 0,
            rings: HashMap::new(),
            by_rank: BTreeMap::new(),
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

    /// Adds an entry; the ring's oldest go if it gets too long, then other rings if all of them
    /// together do.
    pub(super) fn push(&mut self, ue: u64, entry: Entry) {
        let ue_bytes_max = self.ue_bytes_max;
        self.change(ue, |ring| {
            ring.bytes += entry.len();
            ring.entries.push_back(entry);
            while ring.bytes > ue_bytes_max && ring.entries.len() > 1 {
                let oldest = ring.entries.pop_front().expect("there is more than one");
                ring.bytes -= oldest.len();
                ring.dropped += 1;
            }
        });
    }

    /// Adds an association; the oldest goes if there are too many.
    pub(super) fn push_association(&mut self, ue: u64, association: AssociationKeys) {
        self.change(ue, |ring| {
            if ring.associations.len() == ASSOCIATIONS_MAX {
                ring.associations.pop_front();
                ring.bytes -= ASSOCIATION_BYTES;
            }
            ring.associations.push_back(association);
            ring.bytes += ASSOCIATION_BYTES;
        });
    }

    /// Lets a UE's ring go before those of UEs that are in a procedure.
    pub(super) fn settle(&mut self, ue: u64) {
        if let Some(ring) = self.rings.get_mut(&ue)
            && !ring.kept
        {
            self.by_rank.remove(&ring.rank);
            ring.rank.in_procedure = false;
            self.by_rank.insert(ring.rank, ue);
        }
    }

    /// Keeps a UE's ring for good.
    pub(super) fn keep(&mut self, ue: u64) {
        let Some(ring) = self.rings.get_mut(&ue) else { return };
        if !ring.kept {
            ring.kept = true;
            self.kept += 1;
            self.bytes -= ring.bytes;
            self.by_rank.remove(&ring.rank);
        }
    }

    /// Drops a UE's ring, unless it is kept for good.
    pub(super) fn let_go(&mut self, ue: u64) {
        if let Some(ring) = self.rings.get(&ue)
            && !ring.kept
        {
            self.bytes -= ring.bytes;
            self.by_rank.remove(&ring.rank);
            self.rings.remove(&ue);
        }
    }

    /// Changes a UE's ring, and keeps the books on it.
    fn change(&mut self, ue: u64, change: impl FnOnce(&mut Ring)) {
        let ring = self.rings.entry(ue).or_insert_with(|| {
            let rank = Rank { in_procedure: false, age: self.next_age };
            self.next_age += 1;
            Ring::new(rank)
        });
        let before = ring.bytes;
        change(ring);
        if ring.kept {
            return;
        }
        self.bytes = self.bytes + ring.bytes - before;
        if !ring.rank.in_procedure {
            self.by_rank.remove(&ring.rank);
            ring.rank.in_procedure = true;
            self.by_rank.insert(ring.rank, ue);
        }
        while self.bytes > self.bytes_max && self.by_rank.len() > 1 {
            let (_, ue) = self.by_rank.pop_first().expect("there is more than one");
            let ring = self.rings.remove(&ue).expect("it is there as long as its rank is");
            self.bytes -= ring.bytes;
        }
    }
}

impl Ring {
    const fn new(rank: Rank) -> Self {
        Self {
            entries: VecDeque::new(),
            associations: VecDeque::new(),
            bytes: 0,
            dropped: 0,
            rank,
            kept: false,
        }
    }

    pub(super) const fn is_kept(&self) -> bool {
        self.kept
    }

    pub(super) fn capture(&self, ue: u64) -> UeCapture {
        UeCapture {
            ue,
            dropped: self.dropped,
            entries: self.entries.iter().cloned().collect(),
            associations: self.associations.iter().cloned().collect(),
        }
    }
}
