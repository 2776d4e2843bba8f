//! AES-CBC and HMAC of the same packets at the same time.
//!
//! A block is encrypted when the one before is: lanes of AES leave the processor waiting. Lanes of a hash function don't. So while
//! four blocks of each packet are encrypted, the 64 bytes before them are hashed.

use super::Job;
use super::cbc::{BlockCipher, Chain, Encrypting};
use super::hmac::{Hash, Hashing, Words};
use crate::integrity::HASH_BLOCK_LEN;

/// A hash function beside AES.
pub(super) trait Beside<const WORDS: usize, const LANES: usize>: Hash<WORDS, LANES> {
    type Cipher: BlockCipher<LANES>;

    /// Encrypts 4 × `count` blocks of each lane, as [`BlockCipher::encrypt_cbc`] does, and takes `count` blocks of each lane into its state, as
    /// [`Hash::compress`] does. `strides` are for four blocks. None of the one's blocks are the other's.
    ///
    /// # Safety
    /// As for both.
    unsafe fn encrypt_beside(
        cipher: &Self::Cipher,
        chain: &mut Chain<LANES>,
        texts: &mut [*mut u8; LANES],
        strides: &[usize; LANES],
        words: &mut Words<WORDS, LANES>,
        blocks: &[*const u8; LANES],
        count: usize,
    );
}

/// Encrypts at most `LANES` jobs, those of `places`, in `memory`, and computes their ICVs.
///
/// # Safety
/// The processor has the features that `H`'s module asks for.
pub(super) unsafe fn seal<H: Beside<WORDS, LANES>, const WORDS: usize, const LANES: usize>(
    jobs: &mut [Job],
    places: &[u8],
    memory: &mut [u8],
) {
    let (mut bin, mut tails) = ([0; _], [[[0; HASH_BLOCK_LEN]; 2]; LANES]);
    for place in places {
        let _: &[u8] = &memory[jobs[usize::from(*place)].authenticated()];
    }
    // SAFETY: the caller answers for the features; the memory and the bin are borrowed until the end. The jobs' bytes were just found
    // to be in the memory.
    let (mut encrypting, mut hashing) = unsafe {
        let encrypting = Encrypting::<H::Cipher, LANES>::new(jobs, places, memory, &mut bin);
        let memory = memory.as_mut_ptr();
        let encrypting = encrypting.in_memory(jobs, places, memory);
        let memory = memory.cast_const();
        (encrypting, Hashing::<WORDS, LANES>::new(jobs, places, memory, &mut tails))
    };
    // A block of the hash begins 24 bytes before a block of the text: with the first four blocks encrypted, it can always be taken
    // while the next four are.
    // SAFETY: as above.
    unsafe {
        encrypting.encrypt_odd_blocks();
        encrypting.run(4);
    }
    loop {
        // SAFETY: a lane's tail begins behind as many blocks as its encryption is ahead by: then all of it is encrypted.
        unsafe { hashing.settle::<H>() };
        let (Some(blocks), Some(steps)) = (encrypting.steps(), hashing.steps()) else {
            break;
        };
        if hashing.live() <= H::FEW {
            break;
        }
        let count = steps.min(blocks / 4);
        hashing.lead_done();
        let strides = encrypting.strides(HASH_BLOCK_LEN);
        // SAFETY: the features as above. Lanes have as many blocks as are taken, or they work on the bin, or read where others
        // do.
        unsafe {
            H::encrypt_beside(
                &encrypting.cipher,
                &mut encrypting.chain,
                &mut encrypting.texts,
                &strides,
                &mut hashing.words,
                &hashing.next,
                count as usize,
            );
        };
        encrypting.advance(4 * count);
        hashing.advance(count);
    }
    // SAFETY: as above.
    unsafe {
        encrypting.run(u32::MAX);
        hashing.run::<H>();
        hashing.finish::<H>(jobs, places);
    }
}
