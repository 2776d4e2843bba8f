//! Where lines end: what is looked for in many bytes at once.

use wide::u8x16;

/// Bytes that make a word of bits.
pub(crate) const BLOCK_BYTES: usize = 64;
const VECTOR_BYTES: usize = 16;

/// The control characters up to CR in each block: line ends, what is wrong, and tabs, a bit for each byte.
pub(crate) struct Controls<'b> {
    blocks: std::slice::Iter<'b, [u8; BLOCK_BYTES]>,
    /// Those behind the last whole block, if there is something.
    tail: Option<u64>,
}

impl<'b> Controls<'b> {
    #[inline]
    pub(crate) fn new(bytes: &'b [u8]) -> Controls<'b> {
        let (blocks, tail) = bytes.as_chunks();
        let tail = (!tail.is_empty()).then(|| last_controls(bytes, tail));
        Controls { blocks: blocks.iter(), tail }
    }
}

impl Iterator for Controls<'_> {
    type Item = u64;

    #[inline(always)]
    fn next(&mut self) -> Option<u64> {
        match self.blocks.next() {
            Some(block) => Some(controls(block)),
            None => self.tail.take(),
        }
    }
}

/// The control characters of the `tail` of `bytes`, which is no whole block.
fn last_controls(bytes: &[u8], tail: &[u8]) -> u64 {
    match bytes.last_chunk() {
        Some(block) => controls(block) >> (BLOCK_BYTES - tail.len()),
        None => {
            let mut block = [u8::MAX; BLOCK_BYTES];
            block[..tail.len()].copy_from_slice(tail);
            controls(&block)
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn all(text: &[u8]) -> Vec<usize> {
        let is_set = |bits: u64, bit: &usize| bits >> bit & 1 == 1;
        Controls::new(text)
            .enumerate()
            .flat_map(|(block, bits)| {
                (0..BLOCK_BYTES)
                    .filter(move |bit| is_set(bits, bit))
                    .map(move |bit| block * BLOCK_BYTES + bit)
            })
            .collect()
    }

    #[test]
    fn each_is_found_where_it_is() {
        for len in [1, 15, 16, 17, 31, 32, 33, 63, 64, 65, 127, 128, 129, 200] {
            for at in 0..len {
                for (there, other) in [(b'\r', 0x8d), (0, 0x80), (b'\n', b'\r' + 1)] {
                    let mut text = vec![other; len];
                    text[at] = there;
                    assert_eq!(all(&text), [at]);
                }
            }
        }
    }

    #[test]
    fn all_are_found_in_order() {
        for len in [0, 1, 63, 64, 65, 1_000, 1_024] {
            let text: Vec<u8> = (0..len).map(|at: u32| (at * 37 % 251) as u8).collect();
            let expected: Vec<usize> = (0..text.len()).filter(|&at| text[at] <= b'\r').collect();
            assert_eq!(all(&text), expected);
        }
    }
}
