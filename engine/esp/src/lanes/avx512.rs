//! Sixteen lanes of 32 bits, and four AES blocks a register: AVX-512 and VAES.

use super::cbc::{BlockCipher, Chain};
use super::fused::Beside;
use super::hmac::{Hash, Words};
use super::rounds::{MD5_K, SHA1_K, md5_rounds, nothing, sha1_rounds};
use crate::transform::IntegrityAlgorithm;
use core::arch::asm;
use core::arch::x86_64::*;

/// Whether the processor has what this module is compiled for.
pub(super) fn is_available() -> bool {
    is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("vaes")
        && is_x86_feature_detected!("aes")
}

const LANES: usize = 16;
/// Registers of four AES blocks.
const GROUPS: usize = LANES / 4;

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
        state = sha1_rounds!(state, transpose(rows), nothing);
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

/// As [`encrypt_cbc`] by four blocks a lane and [`sha1`] by one, `count` times, at the same time: the one waits for its own results
/// most of the time, the other hardly ever.
///
/// # Safety
/// [`is_available`] has said so; `count` × 64 bytes can be read from each of `blocks` on, and written where `texts` move by `strides`.
#[target_feature(enable = "avx512f,avx512bw,vaes")]
unsafe fn encrypt_beside_sha1(
    aes: &Aes,
    chain: &mut Chain<LANES>,
    texts: &mut [*mut u8; LANES],
    strides: &[usize; LANES],
    words: &mut Words<5, LANES>,
    blocks: &[*const u8; LANES],
    count: usize,
) {
    let swap = _mm512_broadcast_i32x4(_mm_set_epi64x(0x0c0d_0e0f_0809_0a0b, 0x0405_0607_0001_0203));
    let mut state = load_words(words);
    let mut x = load_blocks(chain);
    let mut keys = &aes.0;
    // Each 20 rounds of SHA-1 go with one block: the plaintext in the first, AES's rounds in every other, and the rest in the last.
    macro_rules! aes {
        ($t:expr, $made:ident) => {
            let (block, step) = ($t / 20, $t % 20);
            for g in 0..GROUPS {
                if step == 0 {
                    // SAFETY: the caller says that these blocks can be read.
                    let text = unsafe { gather(texts, g, 16 * block) };
                    x[g] = xor3(text, keys[0][g], x[g]);
                } else if step == 19 {
                    x[g] = _mm512_aesenclast_epi128(x[g], keys[10][g]);
                    // SAFETY: the caller says that these blocks can be written.
                    unsafe { scatter(x[g], texts, g, 16 * block) };
                } else if step % 2 == 0 {
                    x[g] = _mm512_aesenc_epi128(x[g], keys[step / 2][g]);
                }
            }
            // SAFETY: there is no instruction. It keeps the compiler from gathering the rounds of either.
            unsafe {
                asm!(
                    "/* {0} {1} {2} {3} {4} */",
                    inout(zmm_reg) x[0], inout(zmm_reg) x[1], inout(zmm_reg) x[2], inout(zmm_reg) x[3],
                    inout(zmm_reg) $made,
                    options(nomem, nostack, preserves_flags)
                );
            }
        };
    }
    for number in 0..count {
        // SAFETY: the caller says that `count` blocks can be read.
        let mut rows = unsafe { load(blocks, number) };
        for row in &mut rows {
            *row = _mm512_shuffle_epi8(*row, swap);
        }
        keys = in_memory(keys);
        state = sha1_rounds!(state, transpose(rows), aes);
        for lane in 0..LANES {
            texts[lane] = texts[lane].wrapping_add(strides[lane]);
        }
    }
    store_words(state, words);
    store_blocks(x, chain);
}

/// Has the round keys read where they are used: the compiler would first copy them all, which takes as long as a few blocks.
#[inline(always)]
fn in_memory<T>(keys: &T) -> &T {
    let mut at = core::ptr::from_ref(keys);
    // SAFETY: there is no instruction, and the pointer stays what it is.
    unsafe {
        asm!("/* {0} */", inout(reg) at, options(readonly, nostack, preserves_flags));
        &*at
    }
}

/// The blocks of group `g` that are `at` bytes behind their pointers.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn gather(texts: &[*mut u8; LANES], g: usize, at: usize) -> __m512i {
    // SAFETY: the caller says that they can be read.
    let block = |lane: usize| unsafe { _mm_loadu_si128(texts[4 * g + lane].add(at).cast()) };
    let text = _mm512_castsi128_si512(block(0));
    let text = _mm512_inserti32x4::<1>(text, block(1));
    let text = _mm512_inserti32x4::<2>(text, block(2));
    _mm512_inserti32x4::<3>(text, block(3))
}

/// Writes the blocks of group `g`, `at` bytes behind their pointers.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn scatter(x: __m512i, texts: &[*mut u8; LANES], g: usize, at: usize) {
    let store = |lane: usize, block| {
        // SAFETY: the caller says that they can be written.
        unsafe { _mm_storeu_si128(texts[4 * g + lane].add(at).cast(), block) };
    };
    store(0, _mm512_castsi512_si128(x));
    store(1, _mm512_extracti32x4_epi32::<1>(x));
    store(2, _mm512_extracti32x4_epi32::<2>(x));
    store(3, _mm512_extracti32x4_epi32::<3>(x));
}

/// SHA-1 in sixteen lanes.
pub(super) struct Sha1;

impl Hash<5, LANES> for Sha1 {
    const ALGORITHM: IntegrityAlgorithm = IntegrityAlgorithm::HmacSha1_96;
    // The processors that have these registers have instructions for SHA-1, too.
    const FEW: usize = 3;

    unsafe fn compress(words: &mut Words<5, LANES>, blocks: &[*const u8; LANES], count: usize) {
        // SAFETY: as the caller says; the features too.
        unsafe { sha1(words, blocks, count) };
    }
}

/// MD5 in sixteen lanes.
pub(super) struct Md5;

impl Hash<4, LANES> for Md5 {
    const ALGORITHM: IntegrityAlgorithm = IntegrityAlgorithm::HmacMd5_96;
    const FEW: usize = 1;

    unsafe fn compress(words: &mut Words<4, LANES>, blocks: &[*const u8; LANES], count: usize) {
        // SAFETY: as the caller says; the features too.
        unsafe { md5(words, blocks, count) };
    }
}

/// AES-128's round keys of all lanes: register `g` has those of lanes 4g to 4g + 3. They are wiped on drop.
pub(super) struct Aes([[__m512i; GROUPS]; 11]);

impl Drop for Aes {
    fn drop(&mut self) {
        wipe(self.0.as_flattened_mut());
    }
}

fn wipe(keys: &mut [__m512i]) {
    for key in keys {
        // SAFETY: any bits are a register's value, and this is one that may be written.
        unsafe { core::ptr::from_mut(key).write_volatile(core::mem::zeroed()) };
    }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn load_blocks(blocks: &Chain<LANES>) -> [__m512i; GROUPS] {
    let mut x = [_mm512_setzero_si512(); GROUPS];
    for (vector, four) in x.iter_mut().zip(blocks.0.as_chunks::<4>().0) {
        // SAFETY: four blocks of 16 bytes are 64 bytes.
        *vector = unsafe { _mm512_loadu_si512(four.as_ptr().cast()) };
    }
    x
}

#[inline]
#[target_feature(enable = "avx512f")]
fn store_blocks(x: [__m512i; GROUPS], blocks: &mut Chain<LANES>) {
    for (vector, four) in x.into_iter().zip(blocks.0.as_chunks_mut::<4>().0) {
        // SAFETY: four blocks of 16 bytes are 64 bytes.
        unsafe { _mm512_storeu_si512(four.as_mut_ptr().cast(), vector) };
    }
}

/// AES's key expansion for 128 bits (FIPS 197 clause 5.2), a key in each lane of 128 bits.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,vaes")]
fn expand<const N: usize>(keys: [__m512i; N]) -> [[__m512i; N]; 11] {
    // The key's last word, rotated, in all four columns: the rows that AESENCLAST would shift are then constant.
    let rotate = _mm512_set1_epi32(0x0c0f_0e0d);
    let mut schedule = [keys; 11];
    let mut constant: u8 = 1;
    for round in 1..11 {
        let constants = splat(constant.into());
        for g in 0..N {
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

#[target_feature(enable = "avx512f,avx512bw,vaes")]
fn expand_keys(keys: &Chain<LANES>) -> Aes {
    Aes(expand(load_blocks(keys)))
}

/// AES's rounds behind the first round's key.
#[inline]
#[target_feature(enable = "avx512f,vaes")]
fn encrypt(aes: &Aes, mut x: [__m512i; GROUPS]) -> [__m512i; GROUPS] {
    let schedule = in_memory(&aes.0);
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

#[target_feature(enable = "avx512f,vaes")]
fn encrypt_blocks(aes: &Aes, blocks: &mut Chain<LANES>) {
    let mut x = load_blocks(blocks);
    for g in 0..GROUPS {
        x[g] = xor(x[g], aes.0[0][g]);
    }
    store_blocks(encrypt(aes, x), blocks);
}

#[target_feature(enable = "avx512f,vaes")]
unsafe fn encrypt_cbc(
    aes: &Aes,
    chain: &mut Chain<LANES>,
    texts: &mut [*mut u8; LANES],
    strides: &[usize; LANES],
    count: usize,
) {
    let mut x = load_blocks(chain);
    for _ in 0..count {
        for g in 0..GROUPS {
            // SAFETY: the caller says that these blocks can be read.
            let text = unsafe { gather(texts, g, 0) };
            // First the plaintext and the key, which are there: then the chain, which is waited for.
            x[g] = xor3(text, aes.0[0][g], x[g]);
        }
        x = encrypt(aes, x);
        for g in 0..GROUPS {
            // SAFETY: the caller says that these blocks can be written.
            unsafe { scatter(x[g], texts, g, 0) };
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

impl Beside<5, LANES> for Sha1 {
    type Cipher = Aes;

    unsafe fn encrypt_beside(
        aes: &Aes,
        chain: &mut Chain<LANES>,
        texts: &mut [*mut u8; LANES],
        strides: &[usize; LANES],
        words: &mut Words<5, LANES>,
        blocks: &[*const u8; LANES],
        count: usize,
    ) {
        // SAFETY: as the caller says; the features too.
        unsafe { encrypt_beside_sha1(aes, chain, texts, strides, words, blocks, count) };
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

/// Each of the sixteen sums is of at most 2,048 words: a datagram has no more than 65,535 bytes.
#[target_feature(enable = "avx512f")]
fn sum_blocks(blocks: &[[u8; 64]]) -> u64 {
    assert!(blocks.len() <= 1024);
    let low = splat(0xffff);
    let mut sum = _mm512_setzero_si512();
    for block in blocks {
        // SAFETY: a block has 64 bytes.
        let words = unsafe { _mm512_loadu_si512(block.as_ptr().cast()) };
        sum = add(sum, add(_mm512_and_si512(words, low), _mm512_srli_epi32::<16>(words)));
    }
    _mm512_reduce_add_epi32(sum).cast_unsigned().into()
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
    let mut keys = expand([_mm512_broadcast_i32x4(load_block(key))]).map(|[key]| key);
    for key in &mut keys[1..10] {
        *key = _mm512_broadcast_i32x4(_mm_aesimc_si128(_mm512_castsi512_si128(*key)));
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
        x = _mm_xor_si128(x, _mm512_castsi512_si128(keys[10]));
        for round in (1..10).rev() {
            x = _mm_aesdec_si128(x, _mm512_castsi512_si128(keys[round]));
        }
        x = _mm_aesdeclast_si128(x, _mm512_castsi512_si128(keys[0]));
        let out = &mut text[end - 1];
        // SAFETY: a block is 16 bytes.
        unsafe { _mm_storeu_si128(out.as_mut_ptr().cast(), _mm_xor_si128(x, earlier)) };
        end -= 1;
    }
    wipe(&mut keys);
}

#[inline]
#[target_feature(enable = "sse2")]
fn load_block(block: &[u8; 16]) -> __m128i {
    // SAFETY: a block is 16 bytes.
    unsafe { _mm_loadu_si128(block.as_ptr().cast()) }
}

/// The last 4 × `N` blocks of `text`, which is one block longer.
#[inline]
#[target_feature(enable = "avx512f,vaes")]
fn decrypt_chunk<const N: usize>(keys: &[__m512i; 11], text: &mut [[u8; 16]]) {
    assert!(text.len() == 4 * N + 1);
    let first = text.as_mut_ptr();
    let at = |block: usize| first.wrapping_add(block);
    // SAFETY: blocks 4g to 4g + 3, and the four that begin one later, are in `text`, whose length was just checked.
    let load = |block: usize| unsafe { _mm512_loadu_si512(at(block).cast_const().cast()) };
    let mut x = [keys[10]; N];
    for (g, vector) in x.iter_mut().enumerate() {
        *vector = xor(*vector, load(4 * g + 1));
    }
    for round in (1..10).rev() {
        for vector in &mut x {
            *vector = _mm512_aesdec_epi128(*vector, keys[round]);
        }
    }
    // All of them are read before the first block is written: a group's first earlier block is the last of the group before.
    let mut earlier = [_mm512_setzero_si512(); N];
    for (g, vector) in earlier.iter_mut().enumerate() {
        *vector = load(4 * g);
    }
    for g in 0..N {
        let plain = xor(_mm512_aesdeclast_epi128(x[g], keys[0]), earlier[g]);
        // SAFETY: as for the loads.
        unsafe { _mm512_storeu_si512(at(4 * g + 1).cast(), plain) };
    }
}
