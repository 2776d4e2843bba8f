//! A bounded hash index from a 64-bit hash to a `u32` (a slab's index). It keeps no keys: the
//! caller says whether a candidate is the one. Eight bytes a slot, linear probing, backward-shift
//! deletion, so no tombstones and never a rehash.

use crate::Full;

/// See the module. A slot is 32 bits of the hash and the value plus one; 0 is empty.
#[derive(Debug)]
pub struct Index {
    slots: Box<[u64]>,
    /// 32 minus the logarithm of the number of slots: shifts a tag to its home slot.
    shift: u32,
    len: usize,
    capacity: usize,
}

/// The biggest capacity: with a quarter of slack its slots number 2^31.
const CAPACITY_MAX: usize = 1 << 30;

impl Index {
    /// An index for `capacity` entries (at most 2^30, asserted). At most 80% of its slots fill. The
    /// memory is zeroed pages that are touched as entries come.
    #[must_use]
    pub fn with_capacity(capacity: usize) -> Index {
        assert!(capacity <= CAPACITY_MAX, "an index of {capacity} entries");
        let slots = (capacity + capacity / 4).next_power_of_two().max(8);
        Index {
            slots: vec![0; slots].into_boxed_slice(),
            shift: 32 - slots.trailing_zeros(),
            len: 0,
            capacity,
        }
    }

    /// Claims all its memory now, so that no page fault falls on whoever is added first: entries are spread over all of
    /// it. Only for an index in which nothing was yet.
    pub fn prefill(&mut self) {
        assert!(self.is_empty(), "an index is prefilled before it is used");
        self.slots.fill(0);
    }

    /// Adds `value` (below 2^32 - 1, asserted) under `hash`. Equal hashes and equal values may be
    /// there several times; the caller looks first if it wants one. `Full` at `capacity` entries.
    pub fn insert(&mut self, hash: u64, value: u32) -> Result<(), Full> {
        assert!(value != u32::MAX, "the value that marks an empty slot");
        if self.len >= self.capacity {
            return Err(Full);
        }
        let tag = tag_of(hash);
        let mut at = self.home(tag);
        while self.slots[at] != 0 {
            at = self.after(at);
        }
        self.slots[at] = (u64::from(tag) << 32) | u64::from(value + 1);
        self.len += 1;
        Ok(())
    }

    /// The first value under `hash` for which `is_it` holds. `is_it` may be asked about values of
    /// other hashes (whose 32-bit tags agree), so it compares the real key.
    pub fn find(&self, hash: u64, is_it: impl FnMut(u32) -> bool) -> Option<u32> {
        self.position(hash, is_it).map(|at| value_of(self.slots[at]))
    }

    /// Removes the first value under `hash` for which `is_it` holds, and returns it.
    pub fn remove(&mut self, hash: u64, is_it: impl FnMut(u32) -> bool) -> Option<u32> {
        let at = self.position(hash, is_it)?;
        let value = value_of(self.slots[at]);
        self.close_gap(at);
        self.len -= 1;
        Some(value)
    }

    /// How many entries are there.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no entry.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// How many entries there is room for.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Bytes of address space: for the sum at start.
    #[must_use]
    pub fn reserved_bytes(&self) -> usize {
        self.slots.len() * size_of::<u64>()
    }

    fn position(&self, hash: u64, mut is_it: impl FnMut(u32) -> bool) -> Option<usize> {
        let tag = tag_of(hash);
        let mut at = self.home(tag);
        // Ends: at least a fifth of the slots are empty.
        loop {
            let slot = self.slots[at];
            if slot == 0 {
                return None;
            }
            if (slot >> 32) as u32 == tag && is_it(value_of(slot)) {
                return Some(at);
            }
            at = self.after(at);
        }
    }

    /// Moves later entries of the run back into the gap, as long as that brings none before its
    /// home.
    fn close_gap(&mut self, mut gap: usize) {
        let mask = self.slots.len() - 1;
        let mut at = gap;
        loop {
            at = self.after(at);
            let slot = self.slots[at];
            if slot == 0 {
                break;
            }
            let distance_from_home = at.wrapping_sub(self.home((slot >> 32) as u32)) & mask;
            let distance_from_gap = at.wrapping_sub(gap) & mask;
            if distance_from_home >= distance_from_gap {
                self.slots[gap] = slot;
                gap = at;
            }
        }
        self.slots[gap] = 0;
    }

    fn home(&self, tag: u32) -> usize {
        (tag >> self.shift) as usize
    }

    fn after(&self, at: usize) -> usize {
        (at + 1) & (self.slots.len() - 1)
    }
}

/// The upper bits of a multiplication: good also for hashes that are mere numbers.
fn tag_of(hash: u64) -> u32 {
    (((hash ^ (hash >> 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15)) >> 32) as u32
}

/// The value of an occupied slot.
fn value_of(slot: u64) -> u32 {
    (slot as u32).wrapping_sub(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Random;
    use std::collections::HashMap;

    #[test]
    fn a_prefilled_index_is_empty_and_holds_as_many() {
        let mut index = Index::with_capacity(3);
        index.prefill();
        assert!(index.is_empty());
        for value in 0..3 {
            index.insert(7, value).unwrap();
        }
        assert_eq!(index.insert(7, 3), Err(Full));
        assert_eq!(index.find(7, |value| value == 2), Some(2));
    }

    #[test]
    fn full_is_an_error_and_nothing_moves() {
        let mut index = Index::with_capacity(3);
        for i in 0..3 {
            index.insert(7, i).unwrap();
        }
        assert_eq!(index.insert(7, 3), Err(Full));
        assert_eq!(index.find(7, |v| v == 2), Some(2));
        assert_eq!(index.find(8, |_| true), None);
        assert_eq!(index.remove(7, |v| v == 1), Some(1));
        assert_eq!(index.find(7, |v| v == 2), Some(2));
        assert_eq!(index.remove(7, |v| v == 1), None);
    }

    #[test]
    fn behaves_as_a_map_under_churn() {
        let mut random = Random::new(11);
        let mut model: HashMap<u64, u32> = HashMap::new();
        let mut index = Index::with_capacity(500);
        let mut keys = vec![0u64; 1_000];
        for round in 0..200_000u32 {
            // Few distinct keys and clustered hashes, so that runs are long and wrap round the end.
            let key = random.below(1_000);
            let hash = key / 4;
            let value = key as u32;
            keys[value as usize] = key;
            if model.remove(&key).is_some() {
                assert_eq!(index.remove(hash, |v| keys[v as usize] == key), Some(value));
            } else if index.insert(hash, value).is_ok() {
                model.insert(key, round);
            } else {
                assert_eq!(model.len(), 500);
            }
            assert_eq!(index.len(), model.len());
            let probe = random.below(1_000);
            let found = index.find(probe / 4, |v| keys[v as usize] == probe);
            assert_eq!(found.is_some(), model.contains_key(&probe));
        }
    }
}
