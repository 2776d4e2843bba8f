//! A bounded hash index from a 64-bit hash to a `u32` (a slab's index). It keeps no keys: the
//! caller says whether a candidate is the one.
//!
//! Linear hashing (Litwin 1980): buckets of a cache line, eight entries of eight bytes, of which there are as many as the entries
//! need; one more insertion than they should hold splits one bucket in two, and nothing else moves. So memory follows the
//! most entries that ever were there, and no insertion waits for a rehash. A bucket that is full goes on in another one.

use crate::Full;

/// See the module. An entry is 32 bits of the hash and the value plus one; 0 is none.
#[derive(Debug)]
pub struct Index {
    buckets: Vec<Bucket>,
    /// Where full buckets go on.
    overflow: Vec<Bucket>,
    /// Head of the list of buckets in `overflow` that nobody needs, plus one; their first entry is the next one's.
    free: u32,
    /// See [`mask_of`].
    mask: u32,
    len: usize,
    capacity: usize,
}

/// Up to eight entries, without gaps. The last one of a bucket that goes on elsewhere is a link instead: the number of the
/// next bucket in the upper half, plus one, and 0 in the lower, which no entry has.
#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
struct Bucket([u64; ENTRIES]);

const ENTRIES: usize = 8;
const EMPTY: Bucket = Bucket([0; ENTRIES]);
const _: () = assert!(size_of::<Bucket>() == 64);

/// The biggest capacity: its buckets are numbered with room in 32 bits.
const CAPACITY_MAX: usize = 1 << 30;
/// Entries for each bucket on average, before there is one more. About a sixth of the buckets go on elsewhere then, and an entry
/// takes 13 B.
const LOAD: usize = 6;

/// A place of an entry: the bucket, and where in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    bucket: Where,
    at: usize,
}

/// A bucket: of its own hashes, or where one goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Where {
    Home(usize),
    Overflow(usize),
}

impl Index {
    /// An index for `capacity` entries (at most 2^30, asserted). Its address space is reserved, and touched as entries come.
    #[must_use]
    pub fn with_capacity(capacity: usize) -> Index {
        assert!(capacity <= CAPACITY_MAX, "an index of {capacity} entries");
        let mut buckets = Vec::with_capacity(buckets_for(capacity));
        buckets.push(EMPTY);
        Index {
            buckets,
            // If all hashes are the same; a link takes an entry's room.
            overflow: Vec::with_capacity(capacity / (ENTRIES - 1) + 1),
            free: 0,
            mask: mask_of(1),
            len: 0,
            capacity,
        }
    }

    /// Claims the memory for `entries` now (for all, if there can be fewer), so that no page fault falls on whoever is added
    /// first: they are spread over all of it. Only for an index in which nothing was yet.
    pub fn prefill(&mut self, entries: usize) {
        assert!(self.is_empty(), "an index is prefilled before it is used");
        let count = buckets_for(entries.min(self.capacity));
        self.buckets.resize(count, EMPTY);
        self.mask = mask_of(count);
    }

    /// Adds `value` (below 2^32 - 1, asserted) under `hash`. Equal hashes and equal values may be
    /// there several times; the caller looks first if it wants one. `Full` at `capacity` entries.
    pub fn insert(&mut self, hash: u64, value: u32) -> Result<(), Full> {
        assert!(value != u32::MAX, "the value that marks that there is no entry");
        if self.len >= self.capacity {
            return Err(Full);
        }
        if self.len >= self.buckets.len() * LOAD {
            self.split();
        }
        let tag = tag_of(hash);
        self.append(self.home(tag), (u64::from(tag) << 32) | u64::from(value + 1));
        self.len += 1;
        Ok(())
    }

    /// The first value under `hash` for which `is_it` holds, in the order in which they were inserted. `is_it` may be asked about values of
    /// other hashes (whose 32-bit tags agree), so it compares the real key.
    pub fn find(&self, hash: u64, is_it: impl FnMut(u32) -> bool) -> Option<u32> {
        self.position(hash, is_it).map(|place| value_of(self.entry(place)))
    }

    /// Removes the first value under `hash` for which `is_it` holds, and returns it.
    pub fn remove(&mut self, hash: u64, is_it: impl FnMut(u32) -> bool) -> Option<u32> {
        let place = self.position(hash, is_it)?;
        let value = value_of(self.entry(place));
        self.close_gap(self.home(tag_of(hash)), place);
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
        (self.buckets.capacity() + self.overflow.capacity()) * size_of::<Bucket>()
    }

    fn position(&self, hash: u64, mut is_it: impl FnMut(u32) -> bool) -> Option<Place> {
        let tag = tag_of(hash);
        let mut bucket = self.home(tag);
        loop {
            let entries = &self.bucket(bucket).0;
            for (at, &entry) in entries.iter().enumerate() {
                if entry as u32 == 0 {
                    break;
                }
                if (entry >> 32) as u32 == tag && is_it(value_of(entry)) {
                    return Some(Place { bucket, at });
                }
            }
            bucket = next_of(entries)?;
        }
    }

    /// Adds an entry behind the others of a bucket.
    fn append(&mut self, home: Where, entry: u64) {
        let mut bucket = home;
        while let Some(next) = next_of(&self.bucket(bucket).0) {
            bucket = next;
        }
        if let Some(place) = self.bucket_mut(bucket).0.iter_mut().find(|there| **there == 0) {
            *place = entry;
            return;
        }
        let number = self.take();
        let last = &mut self.bucket_mut(bucket).0[ENTRIES - 1];
        let moved = std::mem::replace(last, (number as u64 + 1) << 32);
        self.overflow[number].0[..2].copy_from_slice(&[moved, entry]);
    }

    /// Moves the entries behind a place up by one. A bucket that nothing is left in, or one thing that has room in the one before, goes.
    fn close_gap(&mut self, home: Where, gap: Place) {
        let Place { mut bucket, mut at } = gap;
        loop {
            let next = next_of(&self.bucket(bucket).0);
            let count = if next.is_some() { ENTRIES - 1 } else { ENTRIES };
            let entries = &mut self.bucket_mut(bucket).0;
            entries.copy_within(at + 1..count, at);
            let Some(next) = next else {
                entries[count - 1] = 0;
                break;
            };
            // There is always something in a bucket that another one goes on in.
            self.bucket_mut(bucket).0[count - 1] = self.bucket(next).0[0];
            (bucket, at) = (next, 0);
        }
        self.give_back(home);
    }

    /// Has the last bucket of a chain go if what it holds has room before it.
    fn give_back(&mut self, home: Where) {
        let mut bucket = home;
        while let Some(next @ Where::Overflow(number)) = next_of(&self.bucket(bucket).0) {
            let [first, second, ..] = self.bucket(next).0;
            if second == 0 {
                self.bucket_mut(bucket).0[ENTRIES - 1] = first;
                return self.release(number);
            }
            bucket = next;
        }
    }

    /// One more bucket, if there is room: the entries of another one are divided between the two.
    fn split(&mut self) {
        let new = self.buckets.len();
        if new == self.buckets.capacity() {
            return;
        }
        self.buckets.push(EMPTY);
        self.mask = mask_of(new + 1);
        let old = new - (1 << new.ilog2());
        let mut bucket = std::mem::replace(&mut self.buckets[old], EMPTY);
        loop {
            let next = next_of(&bucket.0);
            for entry in bucket.0.into_iter().take_while(|entry| *entry as u32 != 0) {
                self.append(self.home((entry >> 32) as u32), entry);
            }
            let Some(Where::Overflow(number)) = next else { break };
            bucket = self.overflow[number];
            self.release(number);
        }
    }

    /// A bucket of `overflow` that nobody has, empty.
    fn take(&mut self) -> usize {
        let Some(number) = self.free.checked_sub(1) else {
            self.overflow.push(EMPTY);
            return self.overflow.len() - 1;
        };
        let bucket = std::mem::replace(&mut self.overflow[number as usize], EMPTY);
        self.free = bucket.0[0] as u32;
        number as usize
    }

    fn release(&mut self, number: usize) {
        self.overflow[number].0[0] = u64::from(self.free);
        self.free = number as u32 + 1;
    }

    fn home(&self, tag: u32) -> Where {
        let bucket = (tag & self.mask) as usize;
        // Those that there are not yet are still part of others.
        Where::Home(match bucket < self.buckets.len() {
            true => bucket,
            false => (tag & (self.mask >> 1)) as usize,
        })
    }

    fn bucket(&self, bucket: Where) -> &Bucket {
        match bucket {
            Where::Home(number) => &self.buckets[number],
            Where::Overflow(number) => &self.overflow[number],
        }
    }

    fn bucket_mut(&mut self, bucket: Where) -> &mut Bucket {
        match bucket {
            Where::Home(number) => &mut self.buckets[number],
            Where::Overflow(number) => &mut self.overflow[number],
        }
    }

    fn entry(&self, place: Place) -> u64 {
        self.bucket(place.bucket).0[place.at]
    }
}

/// How many buckets so many entries need.
fn buckets_for(entries: usize) -> usize {
    entries.div_ceil(LOAD).max(1)
}

/// Of so many buckets: the bits of a hash by which they are numbered, where there are those of the next power of two already.
fn mask_of(buckets: usize) -> u32 {
    (2u32 << buckets.ilog2()) - 1
}

/// Where a bucket with these entries goes on.
fn next_of(entries: &[u64; ENTRIES]) -> Option<Where> {
    let last = entries[ENTRIES - 1];
    let is_link = last as u32 == 0 && last != 0;
    is_link.then(|| Where::Overflow((last >> 32) as usize - 1))
}

/// The upper bits of a multiplication: good also for hashes that are mere numbers.
fn tag_of(hash: u64) -> u32 {
    (((hash ^ (hash >> 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15)) >> 32) as u32
}

/// The value of an entry.
fn value_of(entry: u64) -> u32 {
    (entry as u32).wrapping_sub(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Random;
    use std::collections::HashMap;

    #[test]
    fn a_prefilled_index_is_empty_and_holds_as_many() {
        let mut index = Index::with_capacity(3);
        index.prefill(2);
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
    fn equal_hashes_keep_the_order_in_which_they_came() {
        let mut random = Random::new(12);
        let mut index = Index::with_capacity(600);
        let mut model: Vec<(u64, u32)> = Vec::new();
        for value in 0..40_000u32 {
            let hash = random.below(9) * u64::from(value % 2);
            // Full of few hashes, then nearly empty, and so on.
            let is_growing = value / 1_000 % 2 == 0;
            if is_growing && index.insert(hash, value).is_ok() {
                model.push((hash, value));
            } else if let Some(at) = model.iter().position(|(of, v)| *of == hash && v % 3 > 0) {
                let (_, removed) = model.remove(at);
                assert_eq!(index.remove(hash, |v| v % 3 > 0), Some(removed));
            } else if let Some(at) = model.iter().position(|(of, _)| *of == hash) {
                assert_eq!(index.remove(hash, |_| true), Some(model.remove(at).1));
            }
            let probe = random.below(9);
            let mut found = Vec::new();
            index.find(probe, |v| {
                found.push(v);
                false
            });
            let of_probe = model.iter().filter(|(hash, _)| *hash == probe);
            assert!(of_probe.map(|(_, value)| *value).eq(found));
            assert_eq!(index.len(), model.len());
        }
        let chained = index.overflow.len();
        assert!(chained > 20 && chained <= 600 / (ENTRIES - 1) + 1, "{chained}");
    }

    #[test]
    fn memory_follows_what_is_there() {
        let mut random = Random::new(13);
        let mut index = Index::with_capacity(1 << 20);
        let hashes: Vec<u64> = (0..100_000).map(|_| random.next_u64()).collect();
        for (value, &hash) in hashes.iter().enumerate() {
            index.insert(hash, value as u32).unwrap();
            let touched = (index.buckets.len() + index.overflow.len()) * size_of::<Bucket>();
            assert!(touched <= 14 * index.len() + 1024, "{touched} B for {}", index.len());
        }
        for (value, &hash) in hashes.iter().enumerate() {
            assert_eq!(index.find(hash, |v| v == value as u32), Some(value as u32));
        }
        let reserved_bytes = index.reserved_bytes();
        assert!((10 << 20..24 << 20).contains(&reserved_bytes), "{reserved_bytes}");
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
