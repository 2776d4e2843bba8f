//! Where in a slab that is which a single UE has: in four bytes, where a key takes eight.

use imstorm_base::slab::{Key, Slab};

/// The place of a value in a slab, if there is one. Only its owner keeps it, and gives it up before the value is removed: unlike a key
/// it does not go stale.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Place(u32);

impl Place {
    /// There is no value. No slab has a place with this number.
    pub const NONE: Self = Self(u32::MAX);

    /// Whether there is a value.
    pub fn is_some(self) -> bool {
        self != Self::NONE
    }

    /// Whether there is none.
    pub fn is_none(self) -> bool {
        self == Self::NONE
    }

    /// The place, and none is left behind.
    pub fn take(&mut self) -> Self {
        std::mem::replace(self, Self::NONE)
    }

    /// The key of the value at the place.
    pub fn key<T>(self, slab: &Slab<T>) -> Option<Key> {
        slab.key_at(self.0)
    }

    /// The place's number, for what is fetched ahead.
    pub fn number(self) -> u32 {
        self.0
    }
}

impl Default for Place {
    fn default() -> Self {
        Self::NONE
    }
}

impl From<Key> for Place {
    fn from(key: Key) -> Self {
        Self(key.index)
    }
}

const _: () = assert!(size_of::<Place>() == 4);
