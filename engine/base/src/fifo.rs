//! First in, first out, in chunks: queues that share one pool of memory, so that what one no longer holds serves the next. A
//! ring would go round through all the memory that it may ever need, and touch it; here memory follows what waits.

use std::collections::VecDeque;

/// Values of a chunk: few enough that a half-filled one for each queue is nothing.
const CHUNK: usize = 64;

/// The memory of queues: values in chunks. It is reserved for `capacity` values, touched as they come, kept, and grows (with a copy)
/// only beyond that.
pub struct Chunks<T> {
    values: Vec<T>,
    /// Chunks that no queue has, the last one used next.
    free: Vec<u32>,
}

impl<T> std::fmt::Debug for Chunks<T> {
    /// How much there is. What is in it depends on whose it is: most may be of the past.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Chunks")
            .field("len", &(self.values.len() / CHUNK))
            .field("free", &self.free.len())
            .finish_non_exhaustive()
    }
}

/// A queue whose values are in [`Chunks`], always the same ones.
#[derive(Debug, Default)]
pub struct Fifo {
    /// Its chunks, oldest first.
    chunks: VecDeque<u32>,
    /// Values of the first chunk that are gone.
    gone: usize,
    len: usize,
}

impl<T: Copy> Chunks<T> {
    /// Memory for `capacity` values.
    #[must_use]
    pub fn with_capacity(capacity: usize) -> Chunks<T> {
        let chunks = capacity.div_ceil(CHUNK);
        Chunks { values: Vec::with_capacity(chunks * CHUNK), free: Vec::with_capacity(chunks) }
    }

    /// Claims the memory for `count` values now; `any` is what it is filled with. Only while there is none.
    pub fn prefill(&mut self, count: usize, any: T) {
        assert!(self.values.is_empty(), "chunks are prefilled before they are used");
        let chunks = count.div_ceil(CHUNK);
        self.values.resize(chunks * CHUNK, any);
        self.free.extend((0..chunks as u32).rev());
    }

    /// Bytes of address space that are reserved.
    #[must_use]
    pub fn reserved_bytes(&self) -> usize {
        self.values.capacity() * size_of::<T>() + self.free.capacity() * size_of::<u32>()
    }

    /// A chunk, filled with anything.
    fn take(&mut self, any: T) -> u32 {
        if let Some(chunk) = self.free.pop() {
            return chunk;
        }
        let chunk = self.values.len() / CHUNK;
        self.values.resize((chunk + 1) * CHUNK, any);
        chunk as u32
    }
}

impl Fifo {
    /// Room for the places of `capacity` values.
    #[must_use]
    pub fn with_capacity(capacity: usize) -> Fifo {
        let chunks = capacity.div_ceil(CHUNK) + 1;
        Fifo { chunks: VecDeque::with_capacity(chunks), ..Fifo::default() }
    }

    /// How many values wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether none waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The value with `ahead` others before it.
    #[must_use]
    pub fn get<'a, T>(&self, chunks: &'a Chunks<T>, ahead: usize) -> Option<&'a T> {
        if ahead >= self.len {
            return None;
        }
        let place = self.gone + ahead;
        chunks.values.get(self.chunks[place / CHUNK] as usize * CHUNK + place % CHUNK)
    }

    /// The oldest value.
    #[must_use]
    pub fn front<'a, T>(&self, chunks: &'a Chunks<T>) -> Option<&'a T> {
        self.get(chunks, 0)
    }

    /// Adds a value as the newest.
    pub fn push<T: Copy>(&mut self, chunks: &mut Chunks<T>, value: T) {
        let place = self.gone + self.len;
        if place / CHUNK == self.chunks.len() {
            self.chunks.push_back(chunks.take(value));
        }
        chunks.values[self.chunks[place / CHUNK] as usize * CHUNK + place % CHUNK] = value;
        self.len += 1;
    }

    /// Takes the oldest value.
    pub fn pop<T: Copy>(&mut self, chunks: &mut Chunks<T>) -> Option<T> {
        let value = *self.front(chunks)?;
        (self.gone, self.len) = (self.gone + 1, self.len - 1);
        if self.gone == CHUNK || self.len == 0 {
            self.gone = 0;
            chunks.free.extend(self.chunks.pop_front());
        }
        Some(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Random;

    #[test]
    fn behave_as_queues_do() {
        let mut random = Random::new(2);
        let mut chunks = Chunks::with_capacity(100);
        let mut queues: Vec<(Fifo, VecDeque<u64>)> = Vec::new();
        queues.resize_with(3, || (Fifo::default(), VecDeque::new()));
        for round in 0..20_000u64 {
            let (queue, model) = &mut queues[random.below(3) as usize];
            // Grows for a while, then shrinks for a while.
            if random.below(10) < 4 + 2 * (round / 1_000 % 2) {
                queue.push(&mut chunks, round);
                model.push_back(round);
            } else {
                assert_eq!(queue.pop(&mut chunks), model.pop_front());
            }
            assert_eq!((queue.len(), queue.is_empty()), (model.len(), model.is_empty()));
            assert_eq!(queue.front(&chunks), model.front());
            let ahead = random.below(200) as usize;
            assert_eq!(queue.get(&chunks, ahead), model.get(ahead));
        }
    }

    #[test]
    fn what_one_has_left_serves_another() {
        let mut chunks = Chunks::with_capacity(4 * CHUNK);
        chunks.prefill(2 * CHUNK, 0);
        let reserved_bytes = chunks.reserved_bytes();
        let mut queues = [Fifo::default(), Fifo::with_capacity(1)];
        for round in 0..1_000 {
            for queue in &mut queues {
                queue.push(&mut chunks, round);
                queue.push(&mut chunks, round + 1);
            }
            for queue in &mut queues {
                assert_eq!(queue.pop(&mut chunks), Some(round));
                assert_eq!(queue.pop(&mut chunks), Some(round + 1));
                assert_eq!(queue.pop(&mut chunks), None);
            }
        }
        // A queue that goes on and on without ever being empty has two chunks at most.
        for round in 0..1_000 {
            queues[0].push(&mut chunks, round);
            if round > 0 {
                queues[0].pop(&mut chunks);
            }
        }
        assert_eq!(chunks.values.len(), 2 * CHUNK);
        assert_eq!(chunks.reserved_bytes(), reserved_bytes);
    }
}
