//! HMAC-96 of many packets at once, each with a key of its own: one packet a lane.

use super::Job;
use crate::integrity::{HASH_BLOCK_LEN, icv_of, pad, put_digest};
use crate::transform::IntegrityAlgorithm;
use zeroize::Zeroize;

/// The lanes' states: word w of lane n at `[w][n]`.
#[repr(align(64))]
pub(super) struct Words<const WORDS: usize, const LANES: usize>(pub [[u32; LANES]; WORDS]);

impl<const WORDS: usize, const LANES: usize> Words<WORDS, LANES> {
    fn lane(&self, lane: usize) -> [u32; WORDS] {
        self.0.each_ref().map(|word| word[lane])
    }

    fn set_lane(&mut self, lane: usize, state: &[u32; 5]) {
        for (word, value) in self.0.iter_mut().zip(state) {
            word[lane] = *value;
        }
    }
}

impl<const WORDS: usize, const LANES: usize> Drop for Words<WORDS, LANES> {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

/// A hash function's compression in `LANES` lanes.
pub(super) trait Hash<const WORDS: usize, const LANES: usize> {
    /// The algorithm that has it.
    const ALGORITHM: IntegrityAlgorithm;

    /// Takes `count` blocks of each lane into its state.
    ///
    /// # Safety
    /// The processor has the features that the implementation's module asks for, and from each of `blocks` on
    /// `count` × 64 bytes can be read.
    unsafe fn compress(words: &mut Words<WORDS, LANES>, blocks: &[*const u8; LANES], count: usize);
}

/// A lane that has nothing left to take.
const DONE: u32 = u32::MAX;

/// Computes the ICVs of at most `LANES` jobs, those of `places`, over their bytes in `memory`.
///
/// # Safety
/// The processor has the features that `H`'s module asks for.
pub(super) unsafe fn icvs<H: Hash<WORDS, LANES>, const WORDS: usize, const LANES: usize>(
    jobs: &mut [Job],
    places: &[u8],
    memory: &[u8],
) {
    assert!(!places.is_empty() && places.len() <= LANES);
    let mut words = Words([[0; LANES]; WORDS]);
    // What is behind a lane's last whole block, with its padding; and the one block of the outer hash.
    let mut tails = [[[0; HASH_BLOCK_LEN]; 2]; LANES];
    let mut outer = [[0; HASH_BLOCK_LEN]; LANES];
    let mut next = [memory.as_ptr(); LANES];
    // Blocks left where `next` is, and behind that in the tail.
    let mut left = [DONE; LANES];
    let mut left_in_tail = [0; LANES];
    for (lane, place) in places.iter().enumerate() {
        let job = &jobs[usize::from(*place)];
        words.set_lane(lane, &job.transform.integrity().inner);
        let (blocks, rest) = memory[job.authenticated()].as_chunks::<HASH_BLOCK_LEN>();
        let len = HASH_BLOCK_LEN * (1 + blocks.len()) + rest.len();
        left_in_tail[lane] = pad(H::ALGORITHM, &mut tails[lane], rest, len) as u32;
        next[lane] = blocks.as_ptr().cast();
        left[lane] = blocks.len() as u32;
    }
    let tails = tails.each_ref().map(|tail| tail.as_ptr().cast::<u8>());
    let mut lanes = Lanes { next, left, left_in_tail };
    loop {
        for lane in 0..places.len() {
            if lanes.left[lane] == 0 && !lanes.begin_tail(lane, tails[lane]) {
                lanes.left[lane] = DONE;
                let digest = words.lane(lane);
                put_digest(H::ALGORITHM, &mut outer[lane], &digest);
            }
        }
        let Some(count) = lanes.steps() else { break };
        // SAFETY: the caller answers for the features. Lanes that are not done have `count` blocks at least where they
        // are, in `memory` or in their tail; the others were made to read where one of these does.
        unsafe { H::compress(&mut words, &lanes.next, count as usize) };
        lanes.advance(count);
    }
    for (lane, place) in places.iter().enumerate() {
        words.set_lane(lane, &jobs[usize::from(*place)].transform.integrity().outer);
    }
    // SAFETY: the caller answers for the features; `outer` has one block for each lane.
    unsafe { H::compress(&mut words, &outer.each_ref().map(|block| block.as_ptr()), 1) };
    for (lane, place) in places.iter().enumerate() {
        jobs[usize::from(*place)].icv = icv_of(H::ALGORITHM, &words.lane(lane));
    }
}

/// Where the lanes are in their packets.
struct Lanes<const LANES: usize> {
    next: [*const u8; LANES],
    left: [u32; LANES],
    left_in_tail: [u32; LANES],
}

impl<const LANES: usize> Lanes<LANES> {
    /// Goes on with the blocks behind the last whole one; false if the lane has had them.
    fn begin_tail(&mut self, lane: usize, tail: *const u8) -> bool {
        self.next[lane] = tail;
        self.left[lane] = core::mem::take(&mut self.left_in_tail[lane]);
        self.left[lane] > 0
    }

    /// How many blocks all lanes have that are not done, which the others read, too; nothing if all are done.
    fn steps(&mut self) -> Option<u32> {
        let count = self.left.iter().copied().min().filter(|count| *count != DONE)?;
        let live = self.left.iter().position(|left| *left == count)?;
        let live = self.next[live];
        for (next, left) in self.next.iter_mut().zip(&self.left) {
            *next = if *left == DONE { live } else { *next };
        }
        Some(count)
    }

    fn advance(&mut self, count: u32) {
        for (next, left) in self.next.iter_mut().zip(&mut self.left) {
            *next = next.wrapping_add(HASH_BLOCK_LEN * count as usize);
            *left = if *left == DONE { DONE } else { *left - count };
        }
    }
}
