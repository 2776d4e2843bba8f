//! Where lines end and names do: what is looked for in many bytes at once.

use wide::u8x16;

/// Bytes that make a word of bits.
const BLOCK_BYTES: usize = 64;
const VECTOR_BYTES: usize = 16;
/// Bytes in which a colon is looked for at once: more than any name of the table has.
const NAME_BYTES: usize = 2 * VECTOR_BYTES;

/// The control characters of the block that was looked at last, a bit each: a header section is walked once from its start to its end.
pub(crate) struct Lines<'b> {
    bytes: &'b [u8],
    /// Offset of the block.
    base: usize,
    /// Bytes up to CR: line ends, what is wrong, and tabs.
    controls: u64,
}

impl<'b> Lines<'b> {
    /// Begins at an offset in `bytes`.
    #[inline]
    pub(crate) fn new(bytes: &'b [u8], at: usize) -> Lines<'b> {
        Lines { bytes, base: at, controls: controls_at(bytes, at) }
    }

    /// The offset, `from` or behind it, of the first byte up to CR.
    #[inline]
    pub(crate) fn control(&mut self, from: usize) -> Option<usize> {
        if from.wrapping_sub(self.base) >= BLOCK_BYTES {
            *self = Lines::new(self.bytes, from);
        }
        let mut found = self.controls & u64::MAX << (from - self.base);
        while found == 0 {
            let next = self.base + BLOCK_BYTES;
            if next >= self.bytes.len() {
                return None;
            }
            *self = Lines::new(self.bytes, next);
            found = self.controls;
        }
        Some(self.base + found.trailing_zeros() as usize)
    }
}

/// The offset, `from` or behind it, of the first colon; `None` where none is as near as a name is long.
#[inline]
pub(crate) fn near_colon(bytes: &[u8], from: usize) -> Option<usize> {
    let found = match bytes.get(from..from + NAME_BYTES).and_then(<[u8]>::as_array) {
        Some(name) => colons(name),
        None => colons(&padded(bytes, from)),
    };
    (found != 0).then(|| from + found.trailing_zeros() as usize)
}

#[inline]
fn colons(name: &[u8; NAME_BYTES]) -> u32 {
    let (vectors, _) = name.as_chunks::<VECTOR_BYTES>();
    vectors.iter().rev().fold(0, |bits, vector| {
        bits << VECTOR_BYTES | u8x16::new(*vector).simd_eq(u8x16::splat(b':')).to_bitmask()
    })
}

#[inline]
fn controls_at(bytes: &[u8], at: usize) -> u64 {
    match bytes.get(at..at + BLOCK_BYTES).and_then(<[u8]>::as_array) {
        Some(block) => controls(block),
        None => controls(&padded(bytes, at)),
    }
}

/// The bytes up to CR.
#[inline]
fn controls(block: &[u8; BLOCK_BYTES]) -> u64 {
    let (vectors, _) = block.as_chunks::<VECTOR_BYTES>();
    vectors.iter().rev().fold(0, |bits, vector| {
        let vector = u8x16::new(*vector);
        let found = vector.min(u8x16::splat(b'\r')).simd_eq(vector);
        bits << VECTOR_BYTES | u64::from(found.to_bitmask())
    })
}

/// What there is from `at`, and behind it nothing that is looked for.
#[cold]
fn padded<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut block = [u8::MAX; N];
    let rest = bytes.get(at..).unwrap_or_default();
    block[..rest.len()].copy_from_slice(rest);
    block
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_found_where_it_is() {
        for len in [1, 15, 16, 17, 31, 32, 33, 63, 64, 65, 127, 128, 129, 200] {
            for at in 0..len {
                for (there, other) in [(b':', b';'), (b':', b'9'), (b'\r', 0x8d), (0, 0x80)] {
                    let mut text = vec![other; len];
                    text[at] = there;
                    let is_control = there != b':';
                    for from in [0, at / 2, at] {
                        let is_near = at - from < NAME_BYTES;
                        let mut lines = Lines::new(&text, from);
                        assert_eq!(lines.control(from), is_control.then_some(at));
                        assert_eq!(lines.control(at), is_control.then_some(at));
                        assert_eq!(lines.control(at + 1), None);
                        let colon = (is_near && !is_control).then_some(at);
                        assert_eq!(near_colon(&text, from), colon);
                        assert_eq!(near_colon(&text, at + 1), None);
                    }
                }
            }
        }
    }

    #[test]
    fn all_are_found_in_order() {
        let text: Vec<u8> = (0..1_000u32).map(|at| (at * 37 % 251) as u8).collect();
        let (mut lines, mut at) = (Lines::new(&text, 0), 0);
        let mut found = Vec::new();
        while let Some(place) = lines.control(at) {
            found.push(place);
            at = place + 1;
        }
        let expected: Vec<usize> = (0..text.len()).filter(|&at| text[at] <= b'\r').collect();
        assert_eq!(found, expected);
    }
}
