//! A bounded table of values addressed by keys that go stale: the home of every long-lived object.

use crate::Full;
use std::num::NonZeroU32;

/// Names one value for its life. After the value is removed the key finds nothing, also when the
/// place is used again (until its generation has wrapped, after 2^32 - 1 uses of one place).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub struct Key {
    /// The place in the slab.
    pub index: u32,
    /// Which use of the place it is, from 1: none is 0, so that an optional key takes no more than a key.
    using: NonZeroU32,
}

const _: () = assert!(size_of::<Option<Key>>() == 8);

impl Key {
    /// The key of the value at `index` after the place had been vacated `generation` times.
    #[must_use]
    pub const fn new(index: u32, generation: u32) -> Key {
        Key { index, using: NonZeroU32::MIN.saturating_add(generation) }
    }

    /// How often the place had been vacated when the value came.
    #[must_use]
    pub const fn generation(self) -> u32 {
        self.using.get() - 1
    }

    /// The key as one word: generation in the upper half, index in the lower.
    #[must_use]
    pub const fn to_u64(self) -> u64 {
        ((self.generation() as u64) << 32) | self.index as u64
    }

    /// The inverse of `to_u64`. Of any other word a key that finds nothing, or what anybody could have guessed.
    #[must_use]
    pub const fn from_u64(word: u64) -> Key {
        Key::new(word as u32, (word >> 32) as u32)
    }

    /// The key of the place's next value.
    fn next(self) -> Key {
        Key { using: self.using.checked_add(1).unwrap_or(NonZeroU32::MIN), ..self }
    }
}

/// A key or none for each of many numbers, such as users. Memory of numbers that never had one is never written.
#[derive(Debug)]
pub struct KeyTable(Vec<u64>);

impl KeyTable {
    /// None for each number below `len`.
    #[must_use]
    pub fn new(len: usize) -> KeyTable {
        KeyTable(vec![0; len])
    }

    /// The key of a number; none where there is no such number.
    #[must_use]
    pub fn get(&self, number: usize) -> Option<Key> {
        let word = *self.0.get(number)?;
        Some(Key { index: word as u32, using: NonZeroU32::new((word >> 32) as u32)? })
    }

    /// Gives a number a key, or none.
    pub fn set(&mut self, number: usize, key: Option<Key>) {
        let word = key.map_or(0, |key| u64::from(key.using.get()) << 32 | u64::from(key.index));
        self.0[number] = word;
    }

    /// Bytes of address space.
    #[must_use]
    pub fn reserved_bytes(&self) -> usize {
        size_of_val(self.0.as_slice())
    }
}

/// At most `capacity` values of one type. The memory is reserved at once and touched place by place
/// as the population grows; the place vacated last is used first, since it is still in the cache.
#[derive(Debug)]
pub struct Slab<T> {
    places: Vec<Place<T>>,
    capacity: usize,
    /// Head of the list of vacated places; `NONE` when there are none below `places.len()`.
    free: u32,
    len: usize,
}

#[derive(Debug)]
struct Place<T> {
    /// Which use of it the present or the next value is.
    using: NonZeroU32,
    state: State<T>,
}

/// Of a type in which some bit pattern is no value, this takes no more than the value.
#[derive(Debug)]
enum State<T> {
    Used(T),
    /// With the place that is vacant after this one.
    Vacant(u32),
}

impl<T> Place<T> {
    fn vacant(next: u32) -> Place<T> {
        Place { using: NonZeroU32::MIN, state: State::Vacant(next) }
    }

    fn value(&self) -> Option<&T> {
        match &self.state {
            State::Used(value) => Some(value),
            State::Vacant(_) => None,
        }
    }

    fn value_mut(&mut self) -> Option<&mut T> {
        match &mut self.state {
            State::Used(value) => Some(value),
            State::Vacant(_) => None,
        }
    }
}

const NONE: u32 = u32::MAX;

impl<T> Slab<T> {
    /// A slab for `capacity` values (below 2^32 - 1, asserted), all its address space reserved.
    #[must_use]
    pub fn with_capacity(capacity: usize) -> Slab<T> {
        assert!(capacity < NONE as usize, "slab index is 32 bits");
        Slab { places: Vec::with_capacity(capacity), capacity, free: NONE, len: 0 }
    }

    /// Bytes of a place, that is of a value with its key.
    pub const PLACE_BYTES: usize = size_of::<Place<T>>();

    /// The key that the next `insert` will give; `None` when it would be `Full`. For values that
    /// must know their own key.
    #[must_use]
    pub fn vacant_key(&self) -> Option<Key> {
        if self.free != NONE {
            let index = self.free;
            return Some(Key { index, using: self.places[index as usize].using });
        }
        (self.places.len() < self.capacity).then_some(Key::new(self.places.len() as u32, 0))
    }

    /// Claims the memory of the first `count` places now (of all, if there are fewer), so that no page fault
    /// falls on whoever is inserted first. Only for a slab in which nothing was yet.
    pub fn prefill(&mut self, count: usize) {
        assert!(self.places.is_empty(), "a slab is prefilled before it is used");
        let count = count.min(self.capacity) as u32;
        for index in 0..count {
            self.places.push(Place::vacant(if index + 1 < count { index + 1 } else { NONE }));
        }
        self.free = if count > 0 { 0 } else { NONE };
    }

    /// Uses up the key that the next `insert` would have given: the one after it has another generation. Nothing
    /// when the slab is full.
    pub fn skip_vacant(&mut self) {
        if self.free == NONE {
            if self.places.len() >= self.capacity {
                return;
            }
            self.free = self.places.len() as u32;
            self.places.push(Place::vacant(NONE));
        }
        let index = self.free;
        let place = &mut self.places[index as usize];
        place.using = Key { index, using: place.using }.next().using;
    }

    /// Puts `value` in; `Full` when `capacity` values are there (the value is dropped).
    pub fn insert(&mut self, value: T) -> Result<Key, Full> {
        if self.free != NONE {
            let index = self.free;
            let place = &mut self.places[index as usize];
            let State::Vacant(next) = place.state else {
                panic!("a place on the free list is vacant");
            };
            self.free = next;
            place.state = State::Used(value);
            self.len += 1;
            return Ok(Key { index, using: place.using });
        }
        if self.places.len() >= self.capacity {
            return Err(Full);
        }
        let index = self.places.len() as u32;
        // Never reallocates: len < capacity, and the vector was made with capacity.
        self.places.push(Place { using: NonZeroU32::MIN, state: State::Used(value) });
        self.len += 1;
        Ok(Key::new(index, 0))
    }

    /// The value that `key` names, if it is still there.
    #[must_use]
    pub fn get(&self, key: Key) -> Option<&T> {
        let place = self.places.get(key.index as usize)?;
        if place.using == key.using { place.value() } else { None }
    }

    /// The value that `key` names, if it is still there.
    #[must_use]
    pub fn get_mut(&mut self, key: Key) -> Option<&mut T> {
        let place = self.places.get_mut(key.index as usize)?;
        if place.using == key.using { place.value_mut() } else { None }
    }

    /// Takes the value out; its key and all copies of it are stale from now on.
    pub fn remove(&mut self, key: Key) -> Option<T> {
        let place = self.places.get_mut(key.index as usize)?;
        if place.using != key.using || matches!(place.state, State::Vacant(_)) {
            return None;
        }
        place.using = key.next().using;
        let State::Used(value) = std::mem::replace(&mut place.state, State::Vacant(self.free))
        else {
            return None;
        };
        self.free = key.index;
        self.len -= 1;
        Some(value)
    }

    /// The key of whatever value is at `index` now: for tables that keep 32 bits.
    #[must_use]
    pub fn key_at(&self, index: u32) -> Option<Key> {
        let place = self.places.get(index as usize)?;
        place.value().map(|_| Key { index, using: place.using })
    }

    /// The memory of the place at `index`, to be fetched ahead of its use: nothing can be read there.
    #[must_use]
    pub fn place(&self, index: u32) -> Option<&impl Sized> {
        self.places.get(index as usize)
    }

    /// How many places have been used or prefilled: all values are below this index.
    #[must_use]
    pub fn places(&self) -> usize {
        self.places.len()
    }

    /// How many values are there.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether no value is there.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// How many values there is room for.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Bytes of address space that `capacity` values of this type take: for the sum at start.
    #[must_use]
    pub fn reserved_bytes(&self) -> usize {
        self.capacity * size_of::<Place<T>>()
    }

    /// All values with their keys, by place.
    pub fn iter(&self) -> impl Iterator<Item = (Key, &T)> {
        self.places.iter().enumerate().filter_map(|(index, place)| {
            let key = Key { index: index as u32, using: place.using };
            place.value().map(|value| (key, value))
        })
    }

    /// All values with their keys, by place.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (Key, &mut T)> {
        self.places.iter_mut().enumerate().filter_map(|(index, place)| {
            let key = Key { index: index as u32, using: place.using };
            place.value_mut().map(|value| (key, value))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefilled_slab_is_empty_and_holds_as_many() {
        let mut slab = Slab::with_capacity(3);
        slab.prefill(2);
        assert_eq!((slab.len(), slab.iter().count(), slab.places()), (0, 0, 2));
        let keys: Vec<Key> = (0..3).map(|value| slab.insert(value).unwrap()).collect();
        assert_eq!(slab.insert(3), Err(Full));
        assert_eq!(keys.iter().map(|key| *slab.get(*key).unwrap()).collect::<Vec<_>>(), [0, 1, 2]);
    }

    #[test]
    fn a_key_that_was_skipped_is_never_given() {
        let mut slab = Slab::with_capacity(2);
        for _ in 0..3 {
            let skipped = slab.vacant_key().unwrap();
            slab.skip_vacant();
            assert_ne!(slab.vacant_key(), Some(skipped));
        }
        let keys = [slab.insert("a").unwrap(), slab.insert("b").unwrap()];
        assert_eq!(slab.get(keys[0]), Some(&"a"));
        slab.skip_vacant();
        assert_eq!((slab.len(), slab.vacant_key()), (2, None));
        slab.remove(keys[0]);
        let next = slab.vacant_key().unwrap();
        assert_ne!(next, keys[0]);
        assert_eq!(slab.insert("c"), Ok(next));
    }

    #[test]
    fn stale_keys_find_nothing() {
        let mut slab = Slab::with_capacity(2);
        let a = slab.insert("a").unwrap();
        let b = slab.insert("b").unwrap();
        assert_eq!(slab.insert("c"), Err(Full));
        assert_eq!(slab.remove(a), Some("a"));
        assert_eq!((slab.remove(a), slab.get(a)), (None, None));
        let c = slab.insert("c").unwrap();
        assert_eq!((c.index, c.generation()), (a.index, 1));
        assert_eq!((slab.get(a), slab.get(b), slab.get(c)), (None, Some(&"b"), Some(&"c")));
        assert_eq!(slab.key_at(0), Some(c));
        assert_eq!(slab.get_mut(Key::new(9, 0)), None);
        assert_eq!(Key::from_u64(c.to_u64()), c);
        assert_eq!(slab.iter().map(|(_, v)| *v).collect::<Vec<_>>(), ["c", "b"]);
    }

    #[test]
    fn a_place_takes_little_more_than_its_value() {
        assert_eq!(Slab::<(u32, bool)>::PLACE_BYTES, 12);
        assert_eq!(Slab::<(u64, bool)>::PLACE_BYTES, 24);
        let word = u64::from(u32::MAX) << 32 | 5;
        assert_eq!(Slab::<u8>::with_capacity(9).get(Key::from_u64(word)), None);
        assert_eq!(Key::new(7, u32::MAX).next(), Key::new(7, 0));
    }

    #[test]
    fn a_table_of_keys_gives_back_what_it_was_given() {
        let mut table = KeyTable::new(3);
        for key in [Key::new(0, 0), Key::new(u32::MAX, u32::MAX), Key::new(7, 1)] {
            table.set(1, Some(key));
            assert_eq!((table.get(0), table.get(1), table.get(3)), (None, Some(key), None));
        }
        table.set(1, None);
        assert_eq!((table.get(1), table.reserved_bytes()), (None, 24));
    }

    #[test]
    fn the_vacant_key_is_the_next_one() {
        let mut slab = Slab::with_capacity(2);
        for _ in 0..3 {
            while let Some(key) = slab.vacant_key() {
                assert_eq!(slab.insert(key), Ok(key));
            }
            assert_eq!(slab.insert(Key::from_u64(0)), Err(Full));
            let first = slab.key_at(0).unwrap();
            assert_eq!(slab.remove(first), Some(first));
        }
    }

    #[test]
    fn the_place_vacated_last_is_used_first() {
        let mut slab = Slab::with_capacity(8);
        let keys: Vec<Key> = (0..8).map(|i| slab.insert(i).unwrap()).collect();
        slab.remove(keys[3]);
        slab.remove(keys[5]);
        assert_eq!(slab.insert(9).unwrap().index, 5);
        assert_eq!(slab.insert(9).unwrap().index, 3);
        assert_eq!((slab.len(), slab.capacity()), (8, 8));
    }
}
