//! Seeded randomness: `Random` for behaviour (arrivals, jitter, choices), `SecretRandom` for what a
//! peer must not guess (RAND, tokens, tags). Neither touches the system's entropy.

use chacha20::ChaCha20;
use chacha20::cipher::{KeyIvInit, StreamCipher};

/// xoshiro256++ (Blackman and Vigna 2019), seeded through splitmix64. 32 bytes, `Copy`, so that a
/// simulator can snapshot it. Predictable from its outputs: never for tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Random {
    state: [u64; 4],
}

impl Random {
    /// A generator whose whole sequence follows from `seed`; any seed is good, 0 too.
    #[must_use]
    pub const fn new(seed: u64) -> Random {
        Random { state: [mix(seed, 0), mix(seed, 1), mix(seed, 2), mix(seed, 3) | 1] }
    }

    /// The next 64 bits.
    pub const fn next_u64(&mut self) -> u64 {
        let s = &mut self.state;
        let result = s[0].wrapping_add(s[3]).rotate_left(23).wrapping_add(s[0]);
        let t = s[1] << 17;
        s[2] ^= s[0];
        s[3] ^= s[1];
        s[1] ^= s[2];
        s[0] ^= s[3];
        s[2] ^= t;
        s[3] = s[3].rotate_left(45);
        result
    }

    /// The next 32 bits (the upper half of `next_u64`).
    pub const fn next_u32(&mut self) -> u32 {
        (self.next_u64() >> 32) as u32
    }

    /// An even choice from `0..n` (Lemire 2019, with the rejection that makes it exact).
    /// Asserts that `n > 0`.
    pub const fn below(&mut self, n: u64) -> u64 {
        assert!(n > 0, "a choice from nothing");
        let threshold = n.wrapping_neg() % n;
        loop {
            let product = (self.next_u64() as u128) * (n as u128);
            if product as u64 >= threshold {
                return (product >> 64) as u64;
            }
        }
    }

    /// Fills `out`.
    pub fn bytes(&mut self, out: &mut [u8]) {
        for chunk in out.chunks_mut(8) {
            let word = self.next_u64().to_le_bytes();
            chunk.copy_from_slice(&word[..chunk.len()]);
        }
    }

    /// An even choice from `[0, 1)` with 53 bits.
    pub fn unit(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
    }

    /// An exponentially distributed value of the given mean: the gaps of a Poisson process.
    pub fn exponential(&mut self, mean: f64) -> f64 {
        // 1 - unit() lies in (0, 1], so the logarithm is finite.
        -mean * (1.0 - self.unit()).ln()
    }

    /// An independent generator for the numbered stream. Does not advance `self`, so the streams
    /// that exist do not change what each other gives.
    #[must_use]
    pub const fn fork(&self, stream: u64) -> Random {
        let s = &self.state;
        let digest = mix(s[0] ^ s[2].rotate_left(17), s[1] ^ s[3].rotate_left(31));
        Random::new(mix(digest, stream))
    }
}

/// A well-mixed function of `seed` and `index` (splitmix64's output for that position): random
/// access to a random sequence, for values that belong to a numbered UE or call.
#[must_use]
pub const fn mix(seed: u64, index: u64) -> u64 {
    const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;
    finalise(finalise(seed.wrapping_add(GOLDEN)) ^ index.wrapping_add(1).wrapping_mul(GOLDEN))
}

/// splitmix64's finaliser (Stafford's mix 13).
const fn finalise(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// ChaCha20's key stream: nobody who has seen some of its output can tell the rest. The seed comes
/// from the system (in `node`) or is a test's. It re-keys itself from its own output every 480
/// bytes (fast key erasure), so that what it gave can't be found in memory later, and there is no
/// limit to what one generator may give.
pub struct SecretRandom {
    buffer: [u8; BUFFER_BYTES],
    used: usize,
}

/// A block of output: the first `KEY_BYTES` become the next key and are never given out.
const BUFFER_BYTES: usize = 512;
const KEY_BYTES: usize = 32;
const _: () = assert!(BUFFER_BYTES.is_multiple_of(64) && BUFFER_BYTES > KEY_BYTES);

impl SecretRandom {
    /// A generator whose whole sequence follows from `seed`.
    #[must_use]
    pub fn new(seed: [u8; 32]) -> SecretRandom {
        let mut random = SecretRandom { buffer: [0; BUFFER_BYTES], used: BUFFER_BYTES };
        random.buffer[..KEY_BYTES].copy_from_slice(&seed);
        random
    }

    /// The next 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        let mut word = [0; 8];
        self.bytes(&mut word);
        u64::from_le_bytes(word)
    }

    /// Fills `out`.
    pub fn bytes(&mut self, out: &mut [u8]) {
        let mut filled = 0;
        while filled < out.len() {
            if self.used == BUFFER_BYTES {
                self.refill();
            }
            let n = (out.len() - filled).min(BUFFER_BYTES - self.used);
            let from = &mut self.buffer[self.used..self.used + n];
            out[filled..filled + n].copy_from_slice(from);
            // What was given out is erased: a later look at this memory does not reveal it.
            from.fill(0);
            self.used += n;
            filled += n;
        }
    }

    /// Fast key erasure: the old key makes a block whose head is the new key.
    fn refill(&mut self) {
        let mut key = [0u8; KEY_BYTES];
        key.copy_from_slice(&self.buffer[..KEY_BYTES]);
        self.buffer.fill(0);
        ChaCha20::new(&key.into(), &[0u8; 12].into()).apply_keystream(&mut self.buffer);
        self.used = KEY_BYTES;
    }
}

impl std::fmt::Debug for SecretRandom {
    /// Shows nothing of the state, which is a secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SecretRandom")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn xoshiro_matches_the_reference() {
        // The first outputs of xoshiro256plusplus.c from the state {1, 2, 3, 4}.
        let mut random = Random { state: [1, 2, 3, 4] };
        let got: Vec<u64> = (0..4).map(|_| random.next_u64()).collect();
        assert_eq!(got, [41943041, 58720359, 3588806011781223, 3591011842654386]);
    }

    #[test]
    fn below_is_even_and_in_range() {
        let mut random = Random::new(7);
        let mut counts = [0u32; 6];
        for _ in 0..60_000 {
            counts[random.below(6) as usize] += 1;
        }
        assert!(counts.iter().all(|&n| (9_500..10_500).contains(&n)), "{counts:?}");
        assert_eq!(random.below(1), 0);
    }

    #[test]
    fn exponential_has_its_mean() {
        let mut random = Random::new(1);
        let mean = (0..100_000).map(|_| random.exponential(250.0)).sum::<f64>() / 100_000.0;
        assert!((245.0..255.0).contains(&mean), "{mean}");
    }

    #[test]
    fn forks_differ_and_repeat() {
        let root = Random::new(42);
        let (mut a, mut b) = (root.fork(1), root.fork(2));
        assert_ne!(a.next_u64(), b.next_u64());
        assert_eq!(root.fork(1), root.fork(1));
        assert_ne!(root.fork(1), Random::new(43).fork(1));
        assert_ne!(mix(1, 2), mix(2, 1));
    }

    #[test]
    fn bytes_of_any_length() {
        for n in [0, 1, 7, 8, 9, 1000] {
            let (mut a, mut b) = (vec![0u8; n], vec![0u8; n]);
            Random::new(5).bytes(&mut a);
            Random::new(5).bytes(&mut b);
            assert_eq!(a, b);
        }
    }

    #[test]
    fn secret_starts_as_chacha20_with_the_seed_as_key() {
        // RFC 8439 A.1, test vector 1: key 0, nonce 0, block 0; its first 32 bytes are the next
        // key, so output starts with its second half.
        let mut out = [0u8; 32];
        SecretRandom::new([0; 32]).bytes(&mut out);
        assert_eq!(
            out,
            [
                0xda, 0x41, 0x59, 0x7c, 0x51, 0x57, 0x48, 0x8d, 0x77, 0x24, 0xe0, 0x3f, 0xb8, 0xd8,
                0x4a, 0x37, 0x6a, 0x43, 0xb8, 0xf4, 0x15, 0x18, 0xa1, 0x1c, 0xc3, 0x87, 0xb6, 0x69,
                0xb2, 0xee, 0x65, 0x86
            ]
        );
    }

    #[test]
    fn secret_does_not_depend_on_how_it_is_read() {
        let mut whole = vec![0u8; 3_000];
        SecretRandom::new([9; 32]).bytes(&mut whole);
        let mut pieces = SecretRandom::new([9; 32]);
        let mut joined = Vec::new();
        for n in (0..).map(|i| i % 37).take_while({
            let mut sum = 0;
            move |n| {
                sum += n;
                sum <= 3_000
            }
        }) {
            let mut piece = vec![0u8; n];
            pieces.bytes(&mut piece);
            joined.extend(piece);
        }
        assert_eq!(joined, whole[..joined.len()]);
        assert!(!whole.chunks(480).any(|c| c.iter().all(|&b| b == 0)));
    }
}
