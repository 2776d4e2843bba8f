//! Eight lanes of 32 bits, and one AES block a register: AVX2 and AES-NI.

use super::cbc::{BlockCipher, Chain};
use super::hmac::{Hash, Words};
use super::rounds::{MD5_K, SHA1_K, md5_rounds, nothing, sha1_rounds};
use crate::transform::IntegrityAlgorithm;
use core::arch::x86_64::*;

/// Whether the processor has what this module is compiled for.
pub(super) fn is_available() -> bool {
    is_x86_feature_detected!("avx2") && is_x86_feature_detected!("aes")
}

const LANES: usize = 8;

#[inline]
#[target_feature(enable = "avx2")]
fn splat(word: u32) -> __m256i {
    _mm256_set1_epi32(word.cast_signed())
}

#[inline]
#[target_feature(enable = "avx2")]
fn add(a: __m256i, b: __m256i) -> __m256i {
    _mm256_add_epi32(a, b)
}

#[inline]
#[target_feature(enable = "avx2")]
fn xor(a: __m256i, b: __m256i) -> __m256i {
    _mm256_xor_si256(a, b)
}

#[inline]
#[target_feature(enable = "avx2")]
fn xor3(a: __m256i, b: __m256i, c: __m256i) -> __m256i {
    xor(xor(a, b), c)
}

#[inline]
#[target_feature(enable = "avx2")]
fn rol<const LEFT: i32, const RIGHT: i32>(a: __m256i) -> __m256i {
    const { assert!(LEFT + RIGHT == 32) };
    _mm256_or_si256(_mm256_slli_epi32::<LEFT>(a), _mm256_srli_epi32::<RIGHT>(a))
}

/// b ? c : d.
#[inline]
#[target_feature(enable = "avx2")]
fn ch(b: __m256i, c: __m256i, d: __m256i) -> __m256i {
    xor(d, _mm256_and_si256(b, xor(c, d)))
}

#[inline]
#[target_feature(enable = "avx2")]
fn parity(b: __m256i, c: __m256i, d: __m256i) -> __m256i {
    xor3(b, c, d)
}

#[inline]
#[target_feature(enable = "avx2")]
fn maj(b: __m256i, c: __m256i, d: __m256i) -> __m256i {
    _mm256_or_si256(_mm256_and_si256(b, c), _mm256_and_si256(d, _mm256_or_si256(b, c)))
}

/// d ? b : c.
#[inline]
#[target_feature(enable = "avx2")]
fn md5_g(b: __m256i, c: __m256i, d: __m256i) -> __m256i {
    ch(d, b, c)
}

/// c ⊕ (b ∨ ¬d).
#[inline]
#[target_feature(enable = "avx2")]
fn md5_i(b: __m256i, c: __m256i, d: __m256i) -> __m256i {
    xor(c, _mm256_or_si256(b, xor(d, splat(u32::MAX))))
}

/// Word t of all lanes in the t-th vector, from eight words of lane n in the n-th.
#[inline]
#[target_feature(enable = "avx2")]
fn transpose(r: [__m256i; 8]) -> [__m256i; 8] {
    let mut t = r;
    for i in 0..4 {
        t[2 * i] = _mm256_unpacklo_epi32(r[2 * i], r[2 * i + 1]);
        t[2 * i + 1] = _mm256_unpackhi_epi32(r[2 * i], r[2 * i + 1]);
    }
    let mut q = r;
    for i in 0..2 {
        q[4 * i] = _mm256_unpacklo_epi64(t[4 * i], t[4 * i + 2]);
        q[4 * i + 1] = _mm256_unpackhi_epi64(t[4 * i], t[4 * i + 2]);
        q[4 * i + 2] = _mm256_unpacklo_epi64(t[4 * i + 1], t[4 * i + 3]);
        q[4 * i + 3] = _mm256_unpackhi_epi64(t[4 * i + 1], t[4 * i + 3]);
    }
    let mut out = r;
    for j in 0..4 {
        out[j] = _mm256_permute2x128_si256::<0x20>(q[j], q[4 + j]);
        out[4 + j] = _mm256_permute2x128_si256::<0x31>(q[j], q[4 + j]);
    }
    out
}

/// The sixteen words of the lanes' blocks number `number`, of big-endian bytes if `SWAPS`.
///
/// # Safety
/// From each of `blocks` on, 64 × (`number` + 1) bytes can be read.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn load<const SWAPS: bool>(blocks: &[*const u8; LANES], number: usize) -> [__m256i; 16] {
    let swap = _mm256_set_epi64x(
        0x0c0d_0e0f_0809_0a0b,
        0x0405_0607_0001_0203,
        0x0c0d_0e0f_0809_0a0b,
        0x0405_0607_0001_0203,
    );
    let mut words = [_mm256_setzero_si256(); 16];
    for (number_of_half, half) in words.chunks_exact_mut(LANES).enumerate() {
        let at = 64 * number + 32 * number_of_half;
        let mut rows = [_mm256_setzero_si256(); LANES];
        for (row, lane) in rows.iter_mut().zip(blocks) {
            // SAFETY: the caller says that these 32 bytes can be read.
            let bytes = unsafe { _mm256_loadu_si256(lane.add(at).cast()) };
            *row = if SWAPS { _mm256_shuffle_epi8(bytes, swap) } else { bytes };
        }
        half.copy_from_slice(&transpose(rows));
    }
    words
}

#[inline]
#[target_feature(enable = "avx2")]
fn load_words<const WORDS: usize>(words: &Words<WORDS, LANES>) -> [__m256i; WORDS] {
    let mut state = [_mm256_setzero_si256(); WORDS];
    for (vector, word) in state.iter_mut().zip(&words.0) {
        // SAFETY: eight words of 32 bits are 32 bytes.
        *vector = unsafe { _mm256_loadu_si256(word.as_ptr().cast()) };
    }
    state
}

#[inline]
#[target_feature(enable = "avx2")]
fn store_words<const WORDS: usize>(state: [__m256i; WORDS], words: &mut Words<WORDS, LANES>) {
    for (word, vector) in words.0.iter_mut().zip(state) {
        // SAFETY: eight words of 32 bits are 32 bytes.
        unsafe { _mm256_storeu_si256(word.as_mut_ptr().cast(), vector) };
    }
}

#[target_feature(enable = "avx2")]
unsafe fn sha1(words: &mut Words<5, LANES>, blocks: &[*const u8; LANES], count: usize) {
    let mut state = load_words(words);
    for number in 0..count {
        // SAFETY: the caller says that `count` blocks can be read.
        let block = unsafe { load::<true>(blocks, number) };
        state = sha1_rounds!(state, block, nothing);
    }
    store_words(state, words);
}

#[target_feature(enable = "avx2")]
unsafe fn md5(words: &mut Words<4, LANES>, blocks: &[*const u8; LANES], count: usize) {
    let mut state = load_words(words);
    for number in 0..count {
        // SAFETY: the caller says that `count` blocks can be read.
        let block = unsafe { load::<false>(blocks, number) };
        state = md5_rounds!(state, block);
    }
    store_words(state, words);
}

/// SHA-1 in eight lanes.
pub(super) struct Sha1;

impl Hash<5, LANES> for Sha1 {
    const ALGORITHM: IntegrityAlgorithm = IntegrityAlgorithm::HmacSha1_96;
    // The processors that have these registers have instructions for SHA-1, too.
    const FEW: usize = 4;

    unsafe fn compress(words: &mut Words<5, LANES>, blocks: &[*const u8; LANES], count: usize) {
        // SAFETY: as the caller says; the features too.
        unsafe { sha1(words, blocks, count) };
    }
}

/// MD5 in eight lanes.
pub(super) struct Md5;

impl Hash<4, LANES> for Md5 {
    const ALGORITHM: IntegrityAlgorithm = IntegrityAlgorithm::HmacMd5_96;
    const FEW: usize = 1;

    unsafe fn compress(words: &mut Words<4, LANES>, blocks: &[*const u8; LANES], count: usize) {
        // SAFETY: as the caller says; the features too.
        unsafe { md5(words, blocks, count) };
    }
}

/// AES-128's round keys of eight lanes. They are wiped on drop.
pub(super) struct Aes([[__m128i; LANES]; 11]);

impl Drop for Aes {
    fn drop(&mut self) {
        let words = self.0.as_mut_ptr().cast::<__m128i>();
        for place in 0..11 * LANES {
            // SAFETY: so many registers are there; any bits are a register's value.
            unsafe { words.add(place).write_volatile(core::mem::zeroed()) };
        }
    }
}

#[inline]
#[target_feature(enable = "sse2")]
fn load_blocks(blocks: &Chain<LANES>) -> [__m128i; LANES] {
    let mut x = [_mm_setzero_si128(); LANES];
    for (vector, block) in x.iter_mut().zip(&blocks.0) {
        // SAFETY: a block is 16 bytes.
        *vector = unsafe { _mm_loadu_si128(block.as_ptr().cast()) };
    }
    x
}

#[inline]
#[target_feature(enable = "sse2")]
fn store_blocks(x: [__m128i; LANES], blocks: &mut Chain<LANES>) {
    for (block, vector) in blocks.0.iter_mut().zip(x) {
        // SAFETY: a block is 16 bytes.
        unsafe { _mm_storeu_si128(block.as_mut_ptr().cast(), vector) };
    }
}

/// AES's key expansion for 128 bits (FIPS 197 clause 5.2), of all lanes side by side.
#[target_feature(enable = "avx2,aes")]
fn expand_keys(keys: &Chain<LANES>) -> Aes {
    // The key's last word, rotated, in all four columns: the rows that AESENCLAST would shift are then constant.
    let rotate = _mm_set1_epi32(0x0c0f_0e0d);
    let mut aes = Aes([load_blocks(keys); 11]);
    let schedule = &mut aes.0;
    let mut constant: u8 = 1;
    for round in 1..11 {
        let constants = _mm_set1_epi32(constant.into());
        for lane in 0..LANES {
            let key = schedule[round - 1][lane];
            let word = _mm_aesenclast_si128(_mm_shuffle_epi8(key, rotate), constants);
            let key = _mm_xor_si128(key, _mm_slli_si128::<4>(key));
            let key = _mm_xor_si128(key, _mm_slli_si128::<8>(key));
            schedule[round][lane] = _mm_xor_si128(key, word);
        }
        constant = constant << 1 ^ if constant & 0x80 != 0 { 0x1b } else { 0 };
    }
    aes
}

/// Encrypts blocks that have been combined with the first round's keys.
#[inline]
#[target_feature(enable = "avx2,aes")]
fn encrypt(aes: &Aes, mut x: [__m128i; LANES]) -> [__m128i; LANES] {
    for keys in &aes.0[1..10] {
        for lane in 0..LANES {
            x[lane] = _mm_aesenc_si128(x[lane], keys[lane]);
        }
    }
    for lane in 0..LANES {
        x[lane] = _mm_aesenclast_si128(x[lane], aes.0[10][lane]);
    }
    x
}

#[target_feature(enable = "avx2,aes")]
fn encrypt_blocks(aes: &Aes, blocks: &mut Chain<LANES>) {
    let mut x = load_blocks(blocks);
    for lane in 0..LANES {
        x[lane] = _mm_xor_si128(x[lane], aes.0[0][lane]);
    }
    store_blocks(encrypt(aes, x), blocks);
}

#[target_feature(enable = "avx2,aes")]
unsafe fn encrypt_cbc(
    aes: &Aes,
    chain: &mut Chain<LANES>,
    texts: &mut [*mut u8; LANES],
    strides: &[usize; LANES],
    count: usize,
) {
    let mut x = load_blocks(chain);
    for _ in 0..count {
        for lane in 0..LANES {
            // SAFETY: the caller says that a block can be read at each of `texts`.
            let text = unsafe { _mm_loadu_si128(texts[lane].cast()) };
            // First the plaintext and the key, which are there: then the chain, which is waited for.
            x[lane] = _mm_xor_si128(_mm_xor_si128(text, aes.0[0][lane]), x[lane]);
        }
        x = encrypt(aes, x);
        for lane in 0..LANES {
            // SAFETY: the caller says that a block can be written there.
            unsafe { _mm_storeu_si128(texts[lane].cast(), x[lane]) };
        }
        for lane in 0..LANES {
            texts[lane] = texts[lane].wrapping_add(strides[lane]);
        }
    }
    store_blocks(x, chain);
}

impl BlockCipher<LANES> for Aes {
    unsafe fn new(keys: &Chain<LANES>) -> Self {
        // SAFETY: the caller says that the processor has the features.
        unsafe { expand_keys(keys) }
    }

    unsafe fn encrypt_blocks(&self, blocks: &mut Chain<LANES>) {
        // SAFETY: the caller says that the processor has the features.
        unsafe { encrypt_blocks(self, blocks) };
    }

    unsafe fn encrypt_cbc(
        &self,
        chain: &mut Chain<LANES>,
        texts: &mut [*mut u8; LANES],
        strides: &[usize; LANES],
        count: usize,
    ) {
        // SAFETY: as the caller says; the features too.
        unsafe { encrypt_cbc(self, chain, texts, strides, count) };
    }
}

/// The sum of the 16-bit words of `bytes`, in the machine's byte order, the odd last ones left to `sum_of_rest`.
///
/// # Safety
/// [`is_available`] has said so.
pub(super) unsafe fn sum(bytes: &[u8], sum_of_rest: impl Fn(&[u8]) -> u64) -> u64 {
    let (blocks, rest) = bytes.as_chunks();
    // SAFETY: the caller says that the processor has the features.
    unsafe { sum_blocks(blocks) + sum_of_rest(rest) }
}

/// Each of the eight sums is of at most 4,096 words: a datagram has no more than 65,535 bytes.
#[target_feature(enable = "avx2")]
fn sum_blocks(blocks: &[[u8; 32]]) -> u64 {
    assert!(blocks.len() <= 2048);
    let low = splat(0xffff);
    let mut sum = _mm256_setzero_si256();
    for block in blocks {
        // SAFETY: a block has 32 bytes.
        let words = unsafe { _mm256_loadu_si256(block.as_ptr().cast()) };
        sum = add(sum, add(_mm256_and_si256(words, low), _mm256_srli_epi32::<16>(words)));
    }
    let mut sums = [0_u32; LANES];
    // SAFETY: eight words of 32 bits are 32 bytes.
    unsafe { _mm256_storeu_si256(sums.as_mut_ptr().cast(), sum) };
    sums.into_iter().map(u64::from).sum()
}
