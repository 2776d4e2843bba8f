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

    /// Encrypts `count` blocks of each lane in place, where `texts` are, which move on by `strides`. `chain` is each lane's last
    /// ciphertext block.
    ///
    /// # Safety
    /// As for `new`; and a block can be read and written at each place that is so reached.
    unsafe fn encrypt_cbc(
        &self,
        chain: &mut Chain<LANES>,
        texts: &mut [*mut u8; LANES],
        strides: &[usize; LANES],
        count: usize,
    );
}

/// Where lanes without blocks read and write.
pub(super) type Bin = [u8; 4 * BLOCK_LEN];

/// The encryption of some packets, under way.
pub(super) struct Encrypting<C, const LANES: usize> {
    pub cipher: C,
    pub chain: Chain<LANES>,
    /// Where each lane's next block is, or that of the bin.
    pub texts: [*mut u8; LANES],
    /// How many blocks it has.
    pub left: [u32; LANES],
    bin: *mut u8,
}

impl<C: BlockCipher<LANES>, const LANES: usize> Encrypting<C, LANES> {
    /// Of at most `LANES` jobs, those of `places`, whose IVs it writes.
    ///
    /// # Safety
    /// The processor has the features that `C`'s module asks for.
    pub unsafe fn new(jobs: &[Job], places: &[u8], memory: &mut [u8], bin: &mut Bin) -> Self {
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
        let mut left = [0; LANES];
        for (lane, place) in places.iter().enumerate() {
            let (iv, blocks) = memory[jobs[usize::from(*place)].text()].split_at_mut(BLOCK_LEN);
            assert!(!blocks.is_empty() && blocks.len().is_multiple_of(BLOCK_LEN));
            iv.copy_from_slice(&chain.0[lane]);
            left[lane] = (blocks.len() / BLOCK_LEN) as u32;
        }
        let bin = bin.as_mut_ptr();
        Self { cipher, chain, texts: [bin; LANES], left, bin }
    }

    /// Says where the memory is that `new` has seen.
    pub fn in_memory(mut self, jobs: &[Job], places: &[u8], memory: *mut u8) -> Self {
        for (text, place) in self.texts.iter_mut().zip(places) {
            let start = jobs[usize::from(*place)].text().start;
            *text = memory.wrapping_add(start + BLOCK_LEN);
        }
        self
    }

    /// Encrypts the first one to three blocks of lanes that have not a multiple of four.
    ///
    /// # Safety
    /// The processor has the features that `C`'s module asks for, and the memory and the bin of `new` may be written.
    pub unsafe fn encrypt_odd_blocks(&mut self) {
        let odd = self.left.map(|left| left % 4);
        for step in 0..odd.into_iter().max().unwrap_or(0) {
            let (texts, chain) = (self.texts, self.chain.0);
            let mut strides = [BLOCK_LEN; LANES];
            for lane in 0..LANES {
                if odd[lane] <= step {
                    (self.texts[lane], strides[lane]) = (self.bin, 0);
                } else {
                    self.left[lane] -= 1;
                }
            }
            // SAFETY: the features as above. Each lane has a block where its pointer is, or its pointer is the bin.
            unsafe { self.cipher.encrypt_cbc(&mut self.chain, &mut self.texts, &strides, 1) };
            for lane in 0..LANES {
                if odd[lane] <= step {
                    (self.texts[lane], self.chain.0[lane]) = (texts[lane], chain[lane]);
                }
            }
        }
    }

    /// Has lanes without blocks work on the bin: how far each moves when it moves by `step`.
    pub fn strides(&mut self, step: usize) -> [usize; LANES] {
        let mut strides = [step; LANES];
        for lane in 0..LANES {
            if self.left[lane] == 0 {
                (self.texts[lane], strides[lane]) = (self.bin, 0);
            }
        }
        strides
    }

    /// How many blocks all lanes have that have any.
    pub fn steps(&self) -> Option<u32> {
        self.left.iter().copied().filter(|left| *left > 0).min()
    }

    /// The lanes have encrypted so many blocks.
    pub fn advance(&mut self, count: u32) {
        for left in &mut self.left {
            *left = left.saturating_sub(count);
        }
    }

    /// Goes on for `count` blocks, as far as there are any.
    ///
    /// # Safety
    /// As for `encrypt_odd_blocks`.
    pub unsafe fn run(&mut self, mut count: u32) {
        while count > 0
            && let Some(steps) = self.steps()
        {
            let steps = steps.min(count);
            count -= steps;
            let strides = self.strides(BLOCK_LEN);
            let (chain, texts) = (&mut self.chain, &mut self.texts);
            // SAFETY: the features as above. Each lane has `steps` blocks left where its pointer is, or stays with the bin.
            unsafe { self.cipher.encrypt_cbc(chain, texts, &strides, steps as usize) };
            self.advance(steps);
        }
    }
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
    let mut bin = [0; _];
    // SAFETY: the caller answers for the features; the memory and the bin are borrowed until the end.
    unsafe {
        let encrypting = Encrypting::<C, LANES>::new(jobs, places, memory, &mut bin);
        encrypting.in_memory(jobs, places, memory.as_mut_ptr()).run(u32::MAX);
    }
}
