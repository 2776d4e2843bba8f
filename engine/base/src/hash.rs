//! Hashes of bytes for the tables: 64 bits, seeded by the caller, equal in every run for the same
//! seed (the simulator replays by it). The seed is a secret of the process, so that peers who
//! choose Call-IDs can't aim them at one chain.

use foldhash::SharedSeed;
use foldhash::quality::FoldHasher;
use std::hash::Hasher;

/// The seed of a family of hash functions. Not for authentication.
#[derive(Clone, Debug)]
pub struct HashSeed {
    seed: u64,
    shared: SharedSeed,
}

impl HashSeed {
    /// The family that follows from `seed`.
    #[must_use]
    pub const fn new(seed: u64) -> HashSeed {
        HashSeed { seed: crate::mix(seed, 1), shared: SharedSeed::from_u64(seed) }
    }

    /// The hash of `bytes`; all 64 bits are good.
    #[must_use]
    pub fn hash(&self, bytes: &[u8]) -> u64 {
        let mut hasher = FoldHasher::with_seed(self.seed, &self.shared);
        hasher.write(bytes);
        hasher.write_usize(bytes.len());
        hasher.finish()
    }

    /// The hash of a pair. `("ab", "c")` and `("a", "bc")` differ.
    #[must_use]
    pub fn hash2(&self, a: &[u8], b: &[u8]) -> u64 {
        let mut hasher = FoldHasher::with_seed(self.seed, &self.shared);
        hasher.write(a);
        hasher.write_usize(a.len());
        hasher.write(b);
        hasher.write_usize(b.len());
        hasher.finish()
    }

    /// The hash of a number (an SPI, a port).
    #[must_use]
    pub fn hash_u64(&self, value: u64) -> u64 {
        let mut hasher = FoldHasher::with_seed(self.seed, &self.shared);
        hasher.write_u64(value);
        hasher.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn same_seed_same_hash_and_pairs_are_separated() {
        let (a, b) = (HashSeed::new(1), HashSeed::new(1));
        assert_eq!(a.hash(b"call-id@host"), b.hash(b"call-id@host"));
        assert_ne!(a.hash(b"x"), HashSeed::new(2).hash(b"x"));
        assert_ne!(a.hash2(b"ab", b"c"), a.hash2(b"a", b"bc"));
        assert_ne!(a.hash(b""), a.hash(b"\0"));
        assert_ne!(a.hash_u64(1), a.hash_u64(2));
    }

    #[test]
    fn low_and_high_bits_spread() {
        let seed = HashSeed::new(3);
        let (mut low, mut high) = ([0u32; 64], [0u32; 64]);
        for i in 0..64_000u32 {
            let h = seed.hash(format!("{i}@h").as_bytes());
            low[(h & 63) as usize] += 1;
            high[(h >> 58) as usize] += 1;
        }
        for counts in [low, high] {
            assert!(counts.iter().all(|&n| (800..1_200).contains(&n)), "{counts:?}");
        }
    }
}
