//! Names of parameters that have a meaning: looked up in any case.

use crate::scan::{WORD_BYTES, folded};

/// Some names, each with its place.
pub(crate) struct Names<const N: usize> {
    texts: [&'static str; N],
    /// The names as numbers without case; 0 for long ones.
    words: [u64; N],
}

impl<const N: usize> Names<N> {
    /// In the order of their places.
    pub(crate) const fn new(texts: [&'static str; N]) -> Names<N> {
        let mut words = [0; N];
        let mut place = 0;
        while place < N {
            words[place] = folded(texts[place].as_bytes());
            place += 1;
        }
        Names { texts, words }
    }

    /// The place of `name`, a token.
    #[inline(always)]
    pub(crate) fn place(&self, name: &[u8]) -> Option<usize> {
        if name.len() <= WORD_BYTES {
            let word = folded(name);
            self.words.iter().position(|found| *found == word)
        } else {
            self.texts.iter().position(|text| text.as_bytes().eq_ignore_ascii_case(name))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places() {
        let names = Names::new(["nc", "username", "algorithm", "integrity-protected"]);
        for (place, text) in names.texts.iter().enumerate() {
            assert_eq!(names.place(text.as_bytes()), Some(place));
            assert_eq!(names.place(text.to_ascii_uppercase().as_bytes()), Some(place));
        }
        for text in ["n", "ncc", "usernam", "algorithms", "algorithn", "xxxxxxxxx"] {
            assert_eq!(names.place(text.as_bytes()), None, "{text}");
        }
    }
}
