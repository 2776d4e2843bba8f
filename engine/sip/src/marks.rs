//! What is not plain in a value: the bytes that may divide it, looked for in many bytes at once.
//!
//! Plain are letters, digits, hyphens and dots. All else is a mark, whether it ends something or not.

use wide::u8x16;

/// Bytes that make a word of bits.
pub(crate) const BLOCK_BYTES: usize = 64;
const VECTOR_BYTES: usize = 16;

/// The marks of `text` from `at`, a bit for each byte; what is behind the end counts as marks.
#[inline(never)]
pub(crate) fn marks(text: &[u8], at: usize) -> u64 {
    let rest = text.get(at..).unwrap_or_default();
    if let Some(block) = rest.first_chunk() {
        return in_block(block);
    }
    let bits = match text.last_chunk::<BLOCK_BYTES>() {
        // The last whole block begins before the rest.
        Some(block) => in_block(block).unbounded_shr((BLOCK_BYTES - rest.len()) as u32),
        None => in_short(rest, text),
    };
    bits | u64::MAX << rest.len()
}

#[inline(always)]
fn in_block(block: &[u8; BLOCK_BYTES]) -> u64 {
    let (vectors, _) = block.as_chunks();
    vectors.iter().rev().fold(0, |bits, vector| bits << VECTOR_BYTES | in_vector(vector))
}

/// As [`in_block`], of fewer bytes, the end of `text`.
#[inline(always)]
fn in_short(rest: &[u8], text: &[u8]) -> u64 {
    let (vectors, tail) = rest.as_chunks();
    let bits =
        vectors.iter().rev().fold(0, |bits, vector| bits << VECTOR_BYTES | in_vector(vector));
    let tail_bits = match text.last_chunk() {
        // The last whole vector begins before the tail.
        Some(vector) => in_vector(vector) >> (VECTOR_BYTES - tail.len()),
        None => tail.iter().rev().fold(0, |bits, byte| bits << 1 | u64::from(!is_plain(*byte))),
    };
    bits | tail_bits << (vectors.len() * VECTOR_BYTES)
}

#[inline(always)]
fn in_vector(vector: &[u8; VECTOR_BYTES]) -> u64 {
    let bytes = u8x16::new(*vector);
    // Above 0 for what lies outside a range.
    let beyond = |bytes: u8x16, first: u8, last: u8| {
        (bytes - u8x16::splat(first)).saturating_sub(u8x16::splat(last - first))
    };
    let letters = beyond(bytes | u8x16::splat(0x20), b'a', b'z');
    // The slash lies between the dot and the digits.
    let slashes = bytes.simd_eq(u8x16::splat(b'/'));
    let others = beyond(bytes, b'-', b'9') | slashes;
    let plain = letters.min(others).simd_eq(u8x16::splat(0));
    u64::from(!plain.to_bitmask() & 0xffff)
}

#[inline(always)]
fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_byte_is_marked_or_plain_wherever_it_is() {
        for byte in 0..=u8::MAX {
            for len in [1, 2, 8, 15, 16, 17, 31, 33, 63, 64, 65, 80, 128, 130] {
                for at in [0, len / 2, len - 1] {
                    let mut text = vec![b'z'; len];
                    text[at] = byte;
                    for base in [0, at / 2, at, at.saturating_sub(3)] {
                        let found = base + marks(&text, base).trailing_zeros() as usize;
                        let expected = if is_plain(byte) { len } else { at };
                        assert_eq!(found, expected.min(base + BLOCK_BYTES), "{byte} {len} {at}");
                    }
                    assert_eq!(marks(&text, len), u64::MAX);
                }
            }
        }
        assert_eq!(marks(b"", 0), u64::MAX);
    }
}
