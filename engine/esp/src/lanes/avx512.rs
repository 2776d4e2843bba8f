//! Sixteen lanes of 32 bits, and four AES blocks a register: AVX-512 and VAES.

use super::cbc::{BlockCipher, Chain};
use super::hmac::{Hash, Words};
use super::rounds::{MD5_K, SHA1_K, md5_rounds, sha1_rounds};
use crate::transform::IntegrityAlgorithm;
use core::arch::x86_64::*;

/// Whether the processor has what this module is compiled for.
pub(super) fn is_available() -> bool {
    is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("vaes")
        && is_x86_feature_detected!("aes")
}

const LANES: usize = 16;

#[inline]
#[target_feature(enable = "avx512f")]
fn splat(word: u32) -> __m512i {
    _mm512_set1_epi32(word.cast_signed())
}

#[inline]
#[target_feature(enable = "avx512f")]
fn add(a: __m512i, b: __m512i) -> __m512i {
    _mm512_add_epi32(a, b)
}

#[inline]
#[target_feature(enable = "avx512f")]
fn xor(a: __m512i, b: __m512i) -> __m512i {
    _mm512_xor_si512(a, b)
}

#[inline]
#[target_feature(enable = "avx512f")]
fn xor3(a: __m512i, b: __m512i, c: __m512i) -> __m512i {
    _mm512_ternarylogic_epi32::<0x96>(a, b, c)
}

#[inline]
#[target_feature(enable = "avx512f")]
fn rol<const LEFT: i32, const RIGHT: i32>(a: __m512i) -> __m512i {
    const { assert!(LEFT + RIGHT == 32) };
    _mm512_rol_epi32::<LEFT>(a)
}

/// b ? c : d.
#[inline]
#[target_feature(enable = "avx512f")]
fn ch(b: __m512i, c: __m512i, d: __m512i) -> __m512i {
    _mm512_ternarylogic_epi32::<0xca>(b, c, d)
}

#[inline]
#[target_feature(enable = "avx512f")]
fn parity(b: __m512i, c: __m512i, d: __m512i) -> __m512i {
    xor3(b, c, d)
}

#[inline]
#[target_feature(enable = "avx512f")]
fn maj(b: __m512i, c: __m512i, d: __m512i) -> __m512i {
    _mm512_ternarylogic_epi32::<0xe8>(b, c, d)
}

/// d ? b : c.
#[inline]
#[target_feature(enable = "avx512f")]
fn md5_g(b: __m512i, c: __m512i, d: __m512i) -> __m512i {
    ch(d, b, c)
}

/// c ⊕ (b ∨ ¬d).
#[inline]
#[target_feature(enable = "avx512f")]
fn md5_i(b: __m512i, c: __m512i, d: __m512i) -> __m512i {
    _mm512_ternarylogic_epi32::<0x39>(b, c, d)
}

/// Word t of all lanes' blocks in the t-th vector, from lane n's block in the n-th.
#[inline]
#[target_feature(enable = "avx512f")]
fn transpose(r: [__m512i; 16]) -> [__m512i; 16] {
    let mut t = r;
    for i in 0..8 {
        t[2 * i] = _mm512_unpacklo_epi32(r[2 * i], r[2 * i + 1]);
        t[2 * i + 1] = _mm512_unpackhi_epi32(r[2 * i], r[2 * i + 1]);
    }
    let mut q = r;
    for i in 0..4 {
        q[4 * i] = _mm512_unpacklo_epi64(t[4 * i], t[4 * i + 2]);
        q[4 * i + 1] = _mm512_unpackhi_epi64(t[4 * i], t[4 * i + 2]);
        q[4 * i + 2] = _mm512_unpacklo_epi64(t[4 * i + 1], t[4 * i + 3]);
        q[4 * i + 3] = _mm512_unpackhi_epi64(t[4 * i + 1], t[4 * i + 3]);
    }
    let mut out = r;
    for j in 0..4 {
        let low_even = _mm512_shuffle_i32x4::<0x88>(q[j], q[4 + j]);
        let low_odd = _mm512_shuffle_i32x4::<0xdd>(q[j], q[4 + j]);
        let high_even = _mm512_shuffle_i32x4::<0x88>(q[8 + j], q[12 + j]);
        let high_odd = _mm512_shuffle_i32x4::<0xdd>(q[8 + j], q[12 + j]);
        out[j] = _mm512_shuffle_i32x4::<0x88>(low_even, high_even);
        out[4 + j] = _mm512_shuffle_i32x4::<0x88>(low_odd, high_odd);
        out[8 + j] = _mm512_shuffle_i32x4::<0xdd>(low_even, high_even);
        out[12 + j] = _mm512_shuffle_i32x4::<0xdd>(low_odd, high_odd);
    }
    out
}

/// The lanes' blocks number `number`.
///
/// # Safety
/// From each of `blocks` on, 64 × (`number` + 1) bytes can be read.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn load(blocks: &[*const u8; LANES], number: usize) -> [__m512i; 16] {
    let mut rows = [_mm512_setzero_si512(); LANES];
    for (row, lane) in rows.iter_mut().zip(blocks) {
        // SAFETY: the caller says that these 64 bytes can be read.
        *row = unsafe { _mm512_loadu_si512(lane.add(64 * number).cast()) };
    }
    rows
}

#[inline]
#[target_feature(enable = "avx512f")]
fn load_words<const WORDS: usize>(words: &Words<WORDS, LANES>) -> [__m512i; WORDS] {
    let mut state = [_mm512_setzero_si512(); WORDS];
    for (vector, word) in state.iter_mut().zip(&words.0) {
        // SAFETY: sixteen words of 32 bits are 64 bytes.
        *vector = unsafe { _mm512_loadu_si512(word.as_ptr().cast()) };
    }
    state
}

#[inline]
#[target_feature(enable = "avx512f")]
fn store_words<const WORDS: usize>(state: [__m512i; WORDS], words: &mut Words<WORDS, LANES>) {
    for (word, vector) in words.0.iter_mut().zip(state) {
        // SAFETY: sixteen words of 32 bits are 64 bytes.
        unsafe { _mm512_storeu_si512(word.as_mut_ptr().cast(), vector) };
    }
}

#[target_feature(enable = "avx512f,avx512bw")]
unsafe fn sha1(words: &mut Words<5, LANES>, blocks: &[*const u8; LANES], count: usize) {
    let swap = _mm512_broadcast_i32x4(_mm_set_epi64x(0x0c0d_0e0f_0809_0a0b, 0x0405_0607_0001_0203));
    let mut state = load_words(words);
    for number in 0..count {
        // SAFETY: the caller says that `count` blocks can be read.
        let mut rows = unsafe { load(blocks, number) };
        for row in &mut rows {
            *row = _mm512_shuffle_epi8(*row, swap);
        }
        state = sha1_rounds!(state, transpose(rows));
    }
    store_words(state, words);
}

#[target_feature(enable = "avx512f")]
unsafe fn md5(words: &mut Words<4, LANES>, blocks: &[*const u8; LANES], count: usize) {
    let mut state = load_words(words);
    for number in 0..count {
        // SAFETY: the caller says that `count` blocks can be read.
        let rows = unsafe { load(blocks, number) };
        state = md5_rounds!(state, transpose(rows));
    }
    store_words(state, words);
}

/// SHA-1 in sixteen lanes.
pub(super) struct Sha1;

impl Hash<5, LANES> for Sha1 {
    const ALGORITHM: IntegrityAlgorithm = IntegrityAlgorithm::HmacSha1_96;

    unsafe fn compress(words: &mut Words<5, LANES>, blocks: &[*const u8; LANES], count: usize) {
        // SAFETY: as the caller says; the features too.
        unsafe { sha1(words, blocks, count) };
    }
}

/// MD5 in sixteen lanes.
pub(super) struct Md5;

impl Hash<4, LANES> for Md5 {
    const ALGORITHM: IntegrityAlgorithm = IntegrityAlgorithm::HmacMd5_96;

    unsafe fn compress(words: &mut Words<4, LANES>, blocks: &[*const u8; LANES], count: usize) {
        // SAFETY: as the caller says; the features too.
        unsafe { md5(words, blocks, count) };
    }
}

/// AES-128's round keys of 4 × `GROUPS` lanes: register `g` has those of lanes 4g to 4g + 3. They are wiped on drop.
pub(super) struct Aes<const GROUPS: usize>([[__m512i; GROUPS]; 11]);

impl<const GROUPS: usize> Drop for Aes<GROUPS> {
    fn drop(&mut self) {
        let words = self.0.as_mut_ptr().cast::<__m512i>();
        for place in 0..11 * GROUPS {
            // SAFETY: so many registers are there; any bits are a register's value.
            unsafe { words.add(place).write_volatile(core::mem::zeroed()) };
        }
    }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn load_blocks<const GROUPS: usize, const L: usize>(blocks: &Chain<L>) -> [__m512i; GROUPS] {
    const { assert!(L == 4 * GROUPS) };
    let mut x = [_mm512_setzero_si512(); GROUPS];
    for (g, vector) in x.iter_mut().enumerate() {
        // SAFETY: four blocks of 16 bytes are 64 bytes, and group g's are those from 4g on.
        *vector = unsafe { _mm512_loadu_si512(blocks.0.as_ptr().add(4 * g).cast()) };
    }
    x
}

#[inline]
#[target_feature(enable = "avx512f")]
fn store_blocks<const GROUPS: usize, const L: usize>(x: [__m512i; GROUPS], blocks: &mut Chain<L>) {
    const { assert!(L == 4 * GROUPS) };
    for (g, vector) in x.into_iter().enumerate() {
        // SAFETY: four blocks of 16 bytes are 64 bytes, and group g's are those from 4g on.
        unsafe { _mm512_storeu_si512(blocks.0.as_mut_ptr().add(4 * g).cast(), vector) };
    }
}

/// AES's key expansion for 128 bits (FIPS 197 clause 5.2), a key in each lane of 128 bits.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,vaes")]
fn expand<const GROUPS: usize>(keys: [__m512i; GROUPS]) -> [[__m512i; GROUPS]; 11] {
    // The key's last word, rotated, in all four columns: the rows that AESENCLAST would shift are then constant.
    let rotate = _mm512_set1_epi32(0x0c0f_0e0d);
    let mut schedule = [keys; 11];
    let mut constant: u8 = 1;
    for round in 1..11 {
        let constants = splat(constant.into());
        for g in 0..GROUPS {
            let key = schedule[round - 1][g];
            let word = _mm512_shuffle_epi8(key, rotate);
            let word = _mm512_aesenclast_epi128(word, constants);
            let key = xor(key, _mm512_bslli_epi128::<4>(key));
            let key = xor(key, _mm512_bslli_epi128::<8>(key));
            schedule[round][g] = xor(key, word);
        }
        constant = constant << 1 ^ if constant & 0x80 != 0 { 0x1b } else { 0 };
    }
    schedule
}

#[inline]
#[target_feature(enable = "avx512f,vaes")]
fn encrypt<const GROUPS: usize>(
    schedule: &[[__m512i; GROUPS]; 11],
    mut x: [__m512i; GROUPS],
) -> [__m512i; GROUPS] {
    for g in 0..GROUPS {
        x[g] = xor(x[g], schedule[0][g]);
    }
    for keys in &schedule[1..10] {
        for g in 0..GROUPS {
            x[g] = _mm512_aesenc_epi128(x[g], keys[g]);
        }
    }
    for g in 0..GROUPS {
        x[g] = _mm512_aesenclast_epi128(x[g], schedule[10][g]);
    }
    x
}

#[target_feature(enable = "avx512f,avx512bw,vaes")]
fn expand_keys<const GROUPS: usize, const L: usize>(keys: &Chain<L>) -> Aes<GROUPS> {
    Aes(expand(load_blocks(keys)))
}

#[target_feature(enable = "avx512f,vaes")]
fn encrypt_blocks<const GROUPS: usize, const L: usize>(aes: &Aes<GROUPS>, blocks: &mut Chain<L>) {
    store_blocks(encrypt(&aes.0, load_blocks(blocks)), blocks);
}

#[target_feature(enable = "avx512f,avx512bw,vaes")]
unsafe fn encrypt_cbc<const GROUPS: usize, const L: usize>(
    aes: &Aes<GROUPS>,
    chain: &mut Chain<L>,
    sources: &mut [*const u8; L],
    targets: &mut [*mut u8; L],
    strides: &[usize; L],
    count: usize,
) {
    let mut x: [__m512i; GROUPS] = load_blocks(chain);
    for _ in 0..count {
        for g in 0..GROUPS {
            // SAFETY: the caller says that a block can be read at each source.
            let block = |lane: usize| unsafe { _mm_loadu_si128(sources[4 * g + lane].cast()) };
            let text = _mm512_castsi128_si512(block(0));
            let text = _mm512_inserti32x4::<1>(text, block(1));
            let text = _mm512_inserti32x4::<2>(text, block(2));
            let text = _mm512_inserti32x4::<3>(text, block(3));
            // First the plaintext and the key, which are there: then the chain, which is waited for.
            x[g] = xor3(text, aes.0[0][g], x[g]);
        }
        for keys in &aes.0[1..10] {
            for g in 0..GROUPS {
                x[g] = _mm512_aesenc_epi128(x[g], keys[g]);
            }
        }
        for g in 0..GROUPS {
            x[g] = _mm512_aesenclast_epi128(x[g], aes.0[10][g]);
            let store = |lane: usize, block| {
                // SAFETY: the caller says that a block can be written at each target.
                unsafe { _mm_storeu_si128(targets[4 * g + lane].cast(), block) };
            };
            store(0, _mm512_castsi512_si128(x[g]));
            store(1, _mm512_extracti32x4_epi32::<1>(x[g]));
            store(2, _mm512_extracti32x4_epi32::<2>(x[g]));
            store(3, _mm512_extracti32x4_epi32::<3>(x[g]));
        }
        for lane in 0..L {
            sources[lane] = sources[lane].wrapping_add(strides[lane]);
            targets[lane] = targets[lane].wrapping_add(strides[lane]);
        }
    }
    store_blocks(x, chain);
}

impl<const GROUPS: usize, const L: usize> BlockCipher<L> for Aes<GROUPS> {
    unsafe fn new(keys: &Chain<L>) -> Self {
        // SAFETY: the caller says that the processor has the features.
        unsafe { expand_keys(keys) }
    }

    unsafe fn encrypt_blocks(&self, blocks: &mut Chain<L>) {
        // SAFETY: the caller says that the processor has the features.
        unsafe { encrypt_blocks(self, blocks) };
    }

    unsafe fn encrypt_cbc(
        &self,
        chain: &mut Chain<L>,
        sources: &mut [*const u8; L],
        targets: &mut [*mut u8; L],
        strides: &[usize; L],
        count: usize,
    ) {
        // SAFETY: as the caller says; the features too.
        unsafe { encrypt_cbc(self, chain, sources, targets, strides, count) };
    }
}

/// Decrypts AES-CBC in place: `text` is the IV, which stays, and the ciphertext behind it.
///
/// # Safety
/// [`is_available`] has said so.
pub(super) unsafe fn decrypt_cbc(key: &[u8; 16], text: &mut [[u8; 16]]) {
    // SAFETY: the caller says that the processor has the features.
    unsafe { decrypt(key, text) };
}

/// From the end to the front, so that the ciphertext that a block is combined with is still there.
#[target_feature(enable = "avx512f,avx512bw,vaes,aes")]
fn decrypt(key: &[u8; 16], text: &mut [[u8; 16]]) {
    let encryption = Aes(expand([_mm512_broadcast_i32x4(load_block(key))]));
    let mut keys = Aes(encryption.0);
    for round in 1..10 {
        let key = _mm_aesimc_si128(_mm512_castsi512_si128(keys.0[round][0]));
        keys.0[round][0] = _mm512_broadcast_i32x4(key);
    }
    let mut end = text.len();
    while end > 16 {
        decrypt_chunk::<4>(&keys, &mut text[end - 17..end]);
        end -= 16;
    }
    while end > 4 {
        decrypt_chunk::<1>(&keys, &mut text[end - 5..end]);
        end -= 4;
    }
    while end > 1 {
        let earlier = load_block(&text[end - 2]);
        let mut x = load_block(&text[end - 1]);
        x = _mm_xor_si128(x, _mm512_castsi512_si128(keys.0[10][0]));
        for round in (1..10).rev() {
            x = _mm_aesdec_si128(x, _mm512_castsi512_si128(keys.0[round][0]));
        }
        x = _mm_aesdeclast_si128(x, _mm512_castsi512_si128(keys.0[0][0]));
        let out = &mut text[end - 1];
        // SAFETY: a block is 16 bytes.
        unsafe { _mm_storeu_si128(out.as_mut_ptr().cast(), _mm_xor_si128(x, earlier)) };
        end -= 1;
    }
}

#[inline]
#[target_feature(enable = "sse2")]
fn load_block(block: &[u8; 16]) -> __m128i {
    // SAFETY: a block is 16 bytes.
    unsafe { _mm_loadu_si128(block.as_ptr().cast()) }
}

/// The last 4 × `GROUPS` blocks of `text`, which is one block longer.
#[inline]
#[target_feature(enable = "avx512f,vaes")]
fn decrypt_chunk<const GROUPS: usize>(keys: &Aes<1>, text: &mut [[u8; 16]]) {
    assert!(text.len() == 4 * GROUPS + 1);
    let first = text.as_mut_ptr();
    let at = |block: usize| first.wrapping_add(block);
    // SAFETY: blocks 4g to 4g + 3, and the four that begin one later, are in `text`, whose length was just checked.
    let load = |block: usize| unsafe { _mm512_loadu_si512(at(block).cast_const().cast()) };
    let mut x = [keys.0[10][0]; GROUPS];
    for (g, vector) in x.iter_mut().enumerate() {
        *vector = xor(*vector, load(4 * g + 1));
    }
    for round in (1..10).rev() {
        for vector in &mut x {
            *vector = _mm512_aesdec_epi128(*vector, keys.0[round][0]);
        }
    }
    // All of them are read before the first block is written: a group's first earlier block is the last of the group before.
    let mut earlier = [_mm512_setzero_si512(); GROUPS];
    for (g, vector) in earlier.iter_mut().enumerate() {
        *vector = load(4 * g);
    }
    for g in 0..GROUPS {
        let plain = xor(_mm512_aesdeclast_epi128(x[g], keys.0[0][0]), earlier[g]);
        // SAFETY: as for the loads.
        unsafe { _mm512_storeu_si512(at(4 * g + 1).cast(), plain) };
    }
}
