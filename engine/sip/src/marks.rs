//! What is not plain in a value: the bytes that may divide it, looked for in many bytes at once.
//!
//! Plain are letters, digits, hyphens and dots. All else is a mark, whether it ends something or not.

use wide::u8x16;

/// Bytes that make a word of bits.
pub(crate) const BLOCK_BYTES: usize = 64;
const VECTOR_BYTES: usize = 16;

/// The marks of `text` from `at`, a bit for each byte; what is behind the end counts as marks. The last bit is always set: who gets there has
/// to look at the byte, and then here again.
#[inline(never)]
pub(crate) fn marks(text: &[u8], at: usize) -> u64 {
    let rest = text.get(at..).unwrap_or_default();
    if let Some(block) = rest.first_chunk::<BLOCK_BYTES>() {
        return in_block(block) | 1 << (BLOCK_BYTES - 1);
    }
    let len = rest.len();
    let bits = if len <= VECTOR_BYTES {
        match text.last_chunk() {
            Some(vector) => in_vector(vector) >> (VECTOR_BYTES - len),
            None => in_vector(&padded(rest)),
        }
    } else if len <= 2 * VECTOR_BYTES
        && let Some(block) = text.last_chunk::<{ 2 * VECTOR_BYTES }>()
    {
        in_block(block) >> (2 * VECTOR_BYTES - len)
    } else if let Some(block) = text.last_chunk::<BLOCK_BYTES>() {
        in_block(block) >> (BLOCK_BYTES - len)
    } else {
        in_vectors(rest)
    };
    bits | u64::MAX << len
}

#[inline(always)]
fn in_block<const N: usize>(block: &[u8; N]) -> u64 {
    let (vectors, _) = block.as_chunks();
    vectors.iter().rev().fold(0, |bits, vector| bits << VECTOR_BYTES | in_vector(vector))
}

/// As [`in_block`], of more bytes than a vector has and fewer than a block.
#[inline(always)]
fn in_vectors(text: &[u8]) -> u64 {
    let (vectors, tail) = text.as_chunks();
    let whole =
        vectors.iter().rev().fold(0, |bits, vector| bits << VECTOR_BYTES | in_vector(vector));
    // The last whole vector begins before the tail.
    let last = text.last_chunk().map_or(0, in_vector) >> (VECTOR_BYTES - tail.len());
    whole | last << (text.len() - tail.len())
}

/// Fewer bytes than a vector has, and something behind them.
#[inline(always)]
fn padded(text: &[u8]) -> [u8; VECTOR_BYTES] {
    let len = text.len();
    // Where the two overlap they agree.
    let word = if let (Some(first), Some(last)) = (text.first_chunk(), text.last_chunk()) {
        u128::from(u64::from_le_bytes(*first))
            | u128::from(u64::from_le_bytes(*last)) << (len * 8 - 64)
    } else if let (Some(first), Some(last)) = (text.first_chunk(), text.last_chunk()) {
        u128::from(
            u64::from(u32::from_le_bytes(*first))
                | u64::from(u32::from_le_bytes(*last)) << (len * 8 - 32),
        )
    } else {
        text.iter().rev().fold(0, |word, byte| word << 8 | u128::from(*byte))
    };
    word.to_le_bytes()
}

#[inline(always)]
fn in_vector(vector: &[u8; VECTOR_BYTES]) -> u64 {
    let bytes = u8x16::new(*vector);
    let within = |bytes: u8x16, first: u8, last: u8| {
        (bytes - u8x16::splat(first)).simd_lt(u8x16::splat(last - first + 1))
    };
    let letters = within(bytes | u8x16::splat(0x20), b'a', b'z');
    // The slash lies between the dot and the digits.
    let slashes = bytes.simd_eq(u8x16::splat(b'/'));
    let plain = (letters | within(bytes, b'-', b'9')) & !slashes;
    u64::from(!plain.to_bitmask() as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_plain(byte: u8) -> bool {
        byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.')
    }

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
                        let last = base + BLOCK_BYTES - 1;
                        assert_eq!(found, expected.min(last), "{byte} {len} {at}");
                    }
                    assert_eq!(marks(&text, len), u64::MAX);
                }
            }
        }
        assert_eq!(marks(b"", 0), u64::MAX);
    }
}
