//! AES-128-CBC of many packets at once, each with a key of its own: one packet a lane.
//!
//! Within a packet each block needs the one before (RFC 3602): only packets can be encrypted side by side.

use super::Job;
use crate::transform::{BLOCK_LEN, IV_KEY_LABEL};
use zeroize::Zeroize;

/// A block of each lane.
#[repr(align(64))]
pub(super) struct Chain<const LANES: usize>(pub [[u8; BLOCK_LEN]; LANES]);

impl<const LANES: usize> Chain<LANES> {
    /// Wipes what was a key.
    fn wipe(&mut self) {
        self.0.zeroize();
    }
}

/// AES-128 in `LANES` lanes.
pub(super) trait BlockCipher<const LANES: usize>: Sized {
    /// Expands a key for each lane.
    ///
    /// # Safety
    /// The processor has the features that the implementation's module asks for.
    unsafe fn new(keys: &Chain<LANES>) -> Self;

    /// Encrypts a block of each lane.
    ///
    /// # Safety
    /// As for `new`.
    unsafe fn encrypt_blocks(&self, blocks: &mut Chain<LANES>);

    /// Encrypts `count` blocks of each lane: from `sources` to `targets`, which move on by `strides`. `chain` is each lane's
    /// last ciphertext block.
    ///
    /// # Safety
    /// As for `new`; and a block can be read at each source, and written at each target, that is so reached.
    unsafe fn encrypt_cbc(
        &self,
        chain: &mut Chain<LANES>,
        sources: &mut [*const u8; LANES],
        targets: &mut [*mut u8; LANES],
        strides: &[usize; LANES],
        count: usize,
    );
}

/// Writes the IVs of at most `LANES` jobs, those of `places`, and encrypts what is behind them, in `memory`.
///
/// # Safety
/// The processor has the features that `C`'s module asks for.
pub(super) unsafe fn encrypt<C: BlockCipher<LANES>, const LANES: usize>(
    jobs: &[Job],
    places: &[u8],
    memory: &mut [u8],
) {
    assert!(!places.is_empty() && places.len() <= LANES);
    let mut keys = Chain([[0; BLOCK_LEN]; LANES]);
    let mut chain = Chain([[0; BLOCK_LEN]; LANES]);
    for (lane, place) in places.iter().enumerate() {
        let job = &jobs[usize::from(*place)];
        keys.0[lane] = *job.transform.encryption_key();
        chain.0[lane] = job.iv_block;
    }
    // SAFETY: the caller answers for the features, here and below.
    let cipher = unsafe { C::new(&keys) };
    keys.0 = [IV_KEY_LABEL; LANES];
    // SAFETY: as above.
    unsafe { cipher.encrypt_blocks(&mut keys) };
    // SAFETY: as above.
    unsafe { C::new(&keys).encrypt_blocks(&mut chain) };
    keys.wipe();

    // A lane without blocks reads here, and writes there.
    let (nothing, mut bin) = ([0; BLOCK_LEN], [[0; BLOCK_LEN]; LANES]);
    let mut sources = [nothing.as_ptr(); LANES];
    let mut targets = bin.each_mut().map(|block| block.as_mut_ptr());
    let bins = targets;
    let mut strides = [0; LANES];
    let mut left = [u32::MAX; LANES];
    for (lane, place) in places.iter().enumerate() {
        let (iv, blocks) = memory[jobs[usize::from(*place)].text()].split_at_mut(BLOCK_LEN);
        assert!(!blocks.is_empty() && blocks.len().is_multiple_of(BLOCK_LEN));
        iv.copy_from_slice(&chain.0[lane]);
        left[lane] = (blocks.len() / BLOCK_LEN) as u32;
    }
    let memory_start = memory.as_mut_ptr();
    for (lane, place) in places.iter().enumerate() {
        let text = jobs[usize::from(*place)].text();
        targets[lane] = memory_start.wrapping_add(text.start + BLOCK_LEN);
        sources[lane] = targets[lane];
        strides[lane] = BLOCK_LEN;
    }
    while let Some(count) = left.iter().copied().min().filter(|count| *count != u32::MAX) {
        // SAFETY: the features as above. Each lane has `count` blocks left in its job's text, which was found to lie in
        // `memory`; or it stays with the one of `nothing` and its own of `bin`. `memory` is borrowed alone.
        unsafe {
            cipher.encrypt_cbc(&mut chain, &mut sources, &mut targets, &strides, count as usize);
        };
        for lane in 0..LANES {
            if left[lane] == u32::MAX {
                continue;
            }
            left[lane] -= count;
            if left[lane] == 0 {
                left[lane] = u32::MAX;
                (sources[lane], targets[lane], strides[lane]) = (nothing.as_ptr(), bins[lane], 0);
            }
        }
    }
}
