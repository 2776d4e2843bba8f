//! HMAC-96 (RFC 2104, RFC 2403, RFC 2404), from the states that the key's blocks leave.
//!
//! The states are kept as plain words, so that one packet after the other and many packets at once start from the same.

use crate::transform::{ICV_LEN, IntegrityAlgorithm};
use core::fmt;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// The blocks of both hash functions, in bytes.
pub(crate) const HASH_BLOCK_LEN: usize = 64;

/// A block of either hash function.
pub(crate) type HashBlock = [u8; HASH_BLOCK_LEN];

/// HMAC's inner and outer state after the key's blocks; MD5's are four words. They are wiped on drop.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub(crate) struct HmacKey {
    pub inner: [u32; 5],
    pub outer: [u32; 5],
}

impl HmacKey {
    /// Of a key of at most a block.
    pub fn new(algorithm: IntegrityAlgorithm, key: &[u8]) -> Self {
        let state_of = |pad: u8| {
            let mut block = [pad; HASH_BLOCK_LEN];
            for (byte, key) in block.iter_mut().zip(key) {
                *byte ^= key;
            }
            let mut state = START;
            compress(algorithm, &mut state, &[block]);
            block.zeroize();
            state
        };
        assert!(key.len() <= HASH_BLOCK_LEN, "a longer key would have to be hashed");
        Self { inner: state_of(0x36), outer: state_of(0x5c) }
    }

    /// HMAC-96 of `message`.
    pub fn icv(&self, algorithm: IntegrityAlgorithm, message: &[u8]) -> [u8; ICV_LEN] {
        let (blocks, rest) = message.as_chunks();
        let mut tail = [[0; HASH_BLOCK_LEN]; 2];
        let len = HASH_BLOCK_LEN + message.len();
        let tail_blocks = pad(algorithm, &mut tail, rest, len);
        let mut state = self.inner;
        compress(algorithm, &mut state, blocks);
        compress(algorithm, &mut state, &tail[..tail_blocks]);
        let mut outer = [0; HASH_BLOCK_LEN];
        put_digest(algorithm, &mut outer, &state);
        let mut state = self.outer;
        compress(algorithm, &mut state, &[outer]);
        icv_of(algorithm, &state)
    }
}

impl fmt::Debug for HmacKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HmacKey").finish_non_exhaustive()
    }
}

/// The state before the first block: MD5's (RFC 1321 clause 3.3) is SHA-1's (RFC 3174 clause 6.1) without the last word.
const START: [u32; 5] = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476, 0xc3d2_e1f0];

/// Takes blocks into a state.
pub(crate) fn compress(algorithm: IntegrityAlgorithm, state: &mut [u32; 5], blocks: &[HashBlock]) {
    match algorithm {
        IntegrityAlgorithm::HmacSha1_96 => sha1::block_api::compress(state, blocks),
        IntegrityAlgorithm::HmacMd5_96 => {
            let [a, b, c, d, _] = state;
            let mut words = [*a, *b, *c, *d];
            md5::block_api::compress(&mut words, blocks);
            [*a, *b, *c, *d] = words;
        }
    }
}

const fn is_big_endian(algorithm: IntegrityAlgorithm) -> bool {
    matches!(algorithm, IntegrityAlgorithm::HmacSha1_96)
}

const fn digest_words(algorithm: IntegrityAlgorithm) -> usize {
    match algorithm {
        IntegrityAlgorithm::HmacMd5_96 => 4,
        IntegrityAlgorithm::HmacSha1_96 => 5,
    }
}

/// Pads the end of a message of `len` bytes, whose last ones, less than a block, are `rest` (RFC 3174 clause 4, RFC 1321 clause
/// 3.1). `tail` is zero. How many blocks that makes.
pub(crate) fn pad(
    algorithm: IntegrityAlgorithm,
    tail: &mut [HashBlock; 2],
    rest: &[u8],
    len: usize,
) -> usize {
    let blocks = 1 + usize::from(rest.len() + 9 > HASH_BLOCK_LEN);
    let tail = tail[..blocks].as_flattened_mut();
    tail[..rest.len()].copy_from_slice(rest);
    end(algorithm, tail, rest.len(), len);
    blocks
}

/// Makes the outer hash's last block of the inner one's state. The block is zero.
pub(crate) fn put_digest(algorithm: IntegrityAlgorithm, block: &mut HashBlock, state: &[u32]) {
    let len = 4 * digest_words(algorithm);
    for (bytes, word) in block[..len].chunks_exact_mut(4).zip(state) {
        bytes.copy_from_slice(&word_bytes(algorithm, *word));
    }
    end(algorithm, block, len, HASH_BLOCK_LEN + len);
}

/// The mark at `at` behind a message of `len` bytes, and its length in bits at the end.
fn end(algorithm: IntegrityAlgorithm, blocks: &mut [u8], at: usize, len: usize) {
    blocks[at] = 0x80;
    let bits = 8 * len as u64;
    let bits = if is_big_endian(algorithm) { bits.to_be_bytes() } else { bits.to_le_bytes() };
    let bits_start = blocks.len() - bits.len();
    blocks[bits_start..].copy_from_slice(&bits);
}

/// The first 96 bits of a digest.
pub(crate) fn icv_of(algorithm: IntegrityAlgorithm, state: &[u32]) -> [u8; ICV_LEN] {
    let mut icv = [0; ICV_LEN];
    for (bytes, word) in icv.chunks_exact_mut(4).zip(state) {
        bytes.copy_from_slice(&word_bytes(algorithm, *word));
    }
    icv
}

fn word_bytes(algorithm: IntegrityAlgorithm, word: u32) -> [u8; 4] {
    if is_big_endian(algorithm) { word.to_be_bytes() } else { word.to_le_bytes() }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::test_data::{esp_vectors, hex};
    use hmac::{Hmac, KeyInit, Mac};
    use proptest::prelude::*;

    /// RFC 2202's keys longer than a block are hashed first; IMS has none.
    pub(crate) fn key_of(algorithm: IntegrityAlgorithm, key: &[u8]) -> HmacKey {
        use sha1::Digest;
        if key.len() <= HASH_BLOCK_LEN {
            return HmacKey::new(algorithm, key);
        }
        match algorithm {
            IntegrityAlgorithm::HmacMd5_96 => HmacKey::new(algorithm, &md5::Md5::digest(key)),
            IntegrityAlgorithm::HmacSha1_96 => HmacKey::new(algorithm, &sha1::Sha1::digest(key)),
        }
    }

    #[test]
    fn hmac_is_that_of_rfc_2202() {
        let mut tested = 0;
        for v in esp_vectors()["hmac"].as_array().unwrap() {
            let algorithm = match v["alg"].as_str().unwrap() {
                "md5" => IntegrityAlgorithm::HmacMd5_96,
                "sha1" => IntegrityAlgorithm::HmacSha1_96,
                _ => continue,
            };
            let icv = key_of(algorithm, &hex(&v["key"])).icv(algorithm, &hex(&v["data"]));
            assert_eq!(icv, *hex(&v["digest96"]), "{}", v["src"]);
            tested += 1;
        }
        assert!(tested >= 14, "RFC 2202 has seven cases for each");
    }

    proptest! {
        #[test]
        fn it_agrees_with_the_crate_hmac(key: [u8; 20], message: Vec<u8>) {
            let mut sha1 = Hmac::<sha1::Sha1>::new_from_slice(&key).unwrap();
            sha1.update(&message);
            let ours = HmacKey::new(IntegrityAlgorithm::HmacSha1_96, &key);
            let icv = ours.icv(IntegrityAlgorithm::HmacSha1_96, &message);
            prop_assert_eq!(&icv[..], &sha1.finalize().into_bytes()[..ICV_LEN]);

            let mut md5 = Hmac::<md5::Md5>::new_from_slice(&key[..16]).unwrap();
            md5.update(&message);
            let ours = HmacKey::new(IntegrityAlgorithm::HmacMd5_96, &key[..16]);
            let icv = ours.icv(IntegrityAlgorithm::HmacMd5_96, &message);
            prop_assert_eq!(&icv[..], &md5.finalize().into_bytes()[..ICV_LEN]);
        }
    }
}
