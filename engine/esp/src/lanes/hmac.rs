//! HMAC-96 of many packets at once, each with a key of its own: one packet a lane.

use super::Job;
use crate::integrity::{HASH_BLOCK_LEN, HashBlock, compress, icv_of, pad, put_digest};
use crate::transform::IntegrityAlgorithm;
use zeroize::Zeroize;

/// The lanes' states: word w of lane n at `[w][n]`.
#[repr(align(64))]
pub(super) struct Words<const WORDS: usize, const LANES: usize>(pub [[u32; LANES]; WORDS]);

impl<const WORDS: usize, const LANES: usize> Words<WORDS, LANES> {
    fn lane(&self, lane: usize) -> [u32; 5] {
        let mut state = [0; 5];
        for (value, word) in state.iter_mut().zip(&self.0) {
            *value = word[lane];
        }
        state
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

    /// So few packets are quicker one after the other.
    const FEW: usize;

    /// Takes `count` blocks of each lane into its state.
    ///
    /// # Safety
    /// The processor has the features that the implementation's module asks for, and from each of `blocks` on
    /// `count` × 64 bytes can be read.
    unsafe fn compress(words: &mut Words<WORDS, LANES>, blocks: &[*const u8; LANES], count: usize);
}

/// A lane that has nothing left to take.
pub(super) const DONE: u32 = u32::MAX;

/// Computes the ICVs of at most `LANES` jobs, those of `places`, over their bytes in `memory`.
///
/// # Safety
/// The processor has the features that `H`'s module asks for.
pub(super) unsafe fn icvs<H: Hash<WORDS, LANES>, const WORDS: usize, const LANES: usize>(
    jobs: &mut [Job],
    places: &[u8],
    memory: &[u8],
) {
    for place in places {
        let _: &[u8] = &memory[jobs[usize::from(*place)].authenticated()];
    }
    let mut tails = [[[0; HASH_BLOCK_LEN]; 2]; LANES];
    // SAFETY: the jobs' bytes were just found to be in `memory`.
    let mut hashing =
        unsafe { Hashing::<WORDS, LANES>::new(jobs, places, memory.as_ptr(), &mut tails) };
    // SAFETY: the caller answers for the features; the memory is borrowed until the end.
    unsafe {
        hashing.run::<H>();
        hashing.finish::<H>(jobs, places);
    }
}

/// The inner hashes of some packets, under way.
pub(super) struct Hashing<'a, const WORDS: usize, const LANES: usize> {
    pub words: Words<WORDS, LANES>,
    /// Where each lane's next block is: in its packet or in its tail. That of a lane that is done is wherever blocks can be read.
    pub next: [*const u8; LANES],
    /// How many blocks it has there.
    pub left: [u32; LANES],
    /// Bytes behind the last whole block, and of all, until the lane begins its tail.
    ends: [Option<(usize, usize)>; LANES],
    /// What is behind a lane's last whole block, with its padding.
    tails: &'a mut [[HashBlock; 2]; LANES],
    /// The outer hashes' blocks.
    outer: [HashBlock; LANES],
}

impl<'a, const WORDS: usize, const LANES: usize> Hashing<'a, WORDS, LANES> {
    /// Of at most `LANES` jobs, those of `places`. `tails` is zero.
    ///
    /// # Safety
    /// The jobs' authenticated bytes are in the memory that begins at `memory`; it is there, and may be read at the times of the calls below,
    /// as long as this value is used.
    pub unsafe fn new(
        jobs: &[Job],
        places: &[u8],
        memory: *const u8,
        tails: &'a mut [[HashBlock; 2]; LANES],
    ) -> Self {
        assert!(!places.is_empty() && places.len() <= LANES);
        let mut this = Self {
            words: Words([[0; LANES]; WORDS]),
            next: [memory; LANES],
            left: [DONE; LANES],
            ends: [None; LANES],
            tails,
            outer: [[0; HASH_BLOCK_LEN]; LANES],
        };
        for (lane, place) in places.iter().enumerate() {
            let job = &jobs[usize::from(*place)];
            this.words.set_lane(lane, &job.transform.integrity().inner);
            let bytes = job.authenticated();
            this.next[lane] = memory.wrapping_add(bytes.start);
            this.left[lane] = (bytes.len() / HASH_BLOCK_LEN) as u32;
            this.ends[lane] = Some((bytes.len() % HASH_BLOCK_LEN, bytes.len()));
        }
        this
    }

    /// How many lanes are not done.
    pub fn live(&self) -> usize {
        self.left.iter().filter(|left| **left != DONE).count()
    }

    /// Has lanes that are through their packets go on with the tail, and those that are through the tail be done.
    ///
    /// # Safety
    /// As for `new`.
    pub unsafe fn settle<H: Hash<WORDS, LANES>>(&mut self) {
        for lane in 0..LANES {
            // SAFETY: as the caller says.
            if self.left[lane] == 0 && !unsafe { self.begin_tail::<H>(lane) } {
                self.end(H::ALGORITHM, lane, &self.words.lane(lane));
            }
        }
    }

    /// Goes on with what is behind the last whole block; false if the lane has had that.
    unsafe fn begin_tail<H: Hash<WORDS, LANES>>(&mut self, lane: usize) -> bool {
        let Some((rest_len, len)) = self.ends[lane].take() else {
            return false;
        };
        // SAFETY: the lane has taken the packet's whole blocks, and these bytes are left of it.
        let rest = unsafe { core::slice::from_raw_parts(self.next[lane], rest_len) };
        let tail = &mut self.tails[lane];
        self.left[lane] = pad(H::ALGORITHM, tail, rest, HASH_BLOCK_LEN + len) as u32;
        self.next[lane] = tail.as_ptr().cast();
        true
    }

    fn end(&mut self, algorithm: IntegrityAlgorithm, lane: usize, state: &[u32; 5]) {
        self.left[lane] = DONE;
        put_digest(algorithm, &mut self.outer[lane], state);
    }

    /// How many blocks all lanes have that are not done; nothing if all are.
    pub fn steps(&self) -> Option<u32> {
        self.left.iter().copied().min().filter(|count| *count != DONE)
    }

    /// Has lanes that are done read where one reads that is not.
    pub fn lead_done(&mut self) {
        let Some(live) = self.left.iter().position(|left| *left != DONE) else {
            return;
        };
        let live = self.next[live];
        for (next, left) in self.next.iter_mut().zip(&self.left) {
            *next = if *left == DONE { live } else { *next };
        }
    }

    /// The lanes have taken so many blocks.
    pub fn advance(&mut self, count: u32) {
        for (next, left) in self.next.iter_mut().zip(&mut self.left) {
            *next = next.wrapping_add(HASH_BLOCK_LEN * count as usize);
            *left = if *left == DONE { DONE } else { *left - count };
        }
    }

    /// Goes on until all lanes are done.
    ///
    /// # Safety
    /// As for `new`, and the processor has the features that `H`'s module asks for.
    pub unsafe fn run<H: Hash<WORDS, LANES>>(&mut self) {
        loop {
            // SAFETY: as the caller says.
            unsafe { self.settle::<H>() };
            if self.live() <= H::FEW {
                // SAFETY: as the caller says.
                return unsafe { self.run_singly::<H>() };
            }
            let count = self.steps().expect("some lanes are live");
            self.lead_done();
            // SAFETY: lanes that are not done have `count` blocks at least where they are, in the memory or in their tail; the
            // others read where one of these does.
            unsafe { H::compress(&mut self.words, &self.next, count as usize) };
            self.advance(count);
        }
    }

    /// The same, one lane after the other.
    unsafe fn run_singly<H: Hash<WORDS, LANES>>(&mut self) {
        for lane in 0..LANES {
            if self.left[lane] == DONE {
                continue;
            }
            let mut state = self.words.lane(lane);
            loop {
                let (next, left) = (self.next[lane].cast::<HashBlock>(), self.left[lane] as usize);
                // SAFETY: the lane has so many blocks there.
                let blocks = unsafe { core::slice::from_raw_parts(next, left) };
                compress(H::ALGORITHM, &mut state, blocks);
                self.next[lane] = next.wrapping_add(left).cast();
                // SAFETY: as the caller says.
                if !unsafe { self.begin_tail::<H>(lane) } {
                    break;
                }
            }
            self.end(H::ALGORITHM, lane, &state);
        }
    }

    /// The outer hashes: the jobs have their ICVs.
    ///
    /// # Safety
    /// The processor has the features that `H`'s module asks for.
    pub unsafe fn finish<H: Hash<WORDS, LANES>>(&mut self, jobs: &mut [Job], places: &[u8]) {
        for (lane, place) in places.iter().enumerate() {
            assert!(self.left[lane] == DONE, "an inner hash is under way");
            self.words.set_lane(lane, &jobs[usize::from(*place)].transform.integrity().outer);
        }
        let blocks = self.outer.each_ref().map(|block| block.as_ptr());
        // SAFETY: the caller answers for the features; `outer` has one block for each lane.
        unsafe { H::compress(&mut self.words, &blocks, 1) };
        for (lane, place) in places.iter().enumerate() {
            jobs[usize::from(*place)].icv = icv_of(H::ALGORITHM, &self.words.lane(lane));
        }
    }
}
