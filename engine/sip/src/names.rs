//! Names of parameters that have a meaning: looked up in any case.

use crate::scan::{WORD_BYTES, folded};

const SLOT_BITS: u32 = 5;
const SLOT_COUNT: usize = 1 << SLOT_BITS;

/// Up to some dozen names, each with its place.
pub(crate) struct Names<const N: usize> {
    texts: [&'static str; N],
    /// What they are compared by: see [`word`].
    words: [u64; N],
    /// The place of the name that a slot is of; any where it is of none.
    slots: [u8; SLOT_COUNT],
    factor: u64,
}

impl<const N: usize> Names<N> {
    /// In the order of their places.
    pub(crate) const fn new(texts: [&'static str; N]) -> Names<N> {
        let mut words = [0; N];
        let mut place = 0;
        while place < N {
            words[place] = word(texts[place].as_bytes());
            place += 1;
        }
        let mut factor = 0x9e37_79b9_7f4a_7c15u64;
        let mut tries = 0;
        loop {
            assert!(tries < 10_000, "too many names, or two that begin alike and are as long");
            tries += 1;
            if let Some(slots) = apart(&words, factor) {
                return Names { texts, words, slots, factor };
            }
            factor = factor.wrapping_mul(0xd134_2543_de82_ef95);
        }
    }

    /// The place of `name`, a token.
    #[inline(always)]
    pub(crate) fn place(&self, name: &[u8]) -> Option<usize> {
        let word = word(name);
        let place = usize::from(self.slots[slot_of(word, self.factor)]);
        let is_same = self.words[place] == word
            && (name.len() <= WORD_BYTES || same_long(self.texts[place].as_bytes(), name));
        is_same.then_some(place)
    }
}

/// Whether `name` is `text`, which has letters, digits and hyphens only, in any case.
#[inline(always)]
fn same_long(text: &[u8], name: &[u8]) -> bool {
    let mut words = text.chunks(WORD_BYTES).zip(name.chunks(WORD_BYTES));
    text.len() == name.len() && words.all(|(text, name)| folded(text) == folded(name))
}

/// A short name as a number; of a long one its start and its length.
#[inline(always)]
const fn word(name: &[u8]) -> u64 {
    match name.first_chunk::<WORD_BYTES>() {
        Some(start) if name.len() > WORD_BYTES => folded(start).wrapping_add(name.len() as u64),
        _ => folded(name),
    }
}

/// The slots, if by this factor each word has its own.
const fn apart<const N: usize>(words: &[u64; N], factor: u64) -> Option<[u8; SLOT_COUNT]> {
    let mut slots = [0; SLOT_COUNT];
    let mut taken = 0u32;
    let mut place = 0;
    while place < N {
        let slot = slot_of(words[place], factor);
        if taken >> slot & 1 == 1 {
            return None;
        }
        taken |= 1 << slot;
        slots[slot] = place as u8;
        place += 1;
    }
    Some(slots)
}

#[inline(always)]
const fn slot_of(word: u64, factor: u64) -> usize {
    (word.wrapping_mul(factor) >> (u64::BITS - SLOT_BITS)) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places() {
        let names =
            Names::new(["nc", "username", "algorithm", "integrity-protected", "q", "opaque"]);
        for (place, text) in names.texts.iter().enumerate() {
            assert_eq!(names.place(text.as_bytes()), Some(place));
            assert_eq!(names.place(text.to_ascii_uppercase().as_bytes()), Some(place));
        }
        let others =
            ["n", "ncc", "usernam", "algorithn", "algorith", "integrity-protectee", "xxxxxxxxx"];
        for text in others {
            assert_eq!(names.place(text.as_bytes()), None, "{text}");
        }
        assert_eq!(names.place(b""), None);
    }
}
