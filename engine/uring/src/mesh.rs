//! Queues between shards, for whole datagrams: the one place where a shard writes what another
//! reads.
//!
//! Each ordered pair of shards has a bounded ring of slots with one producer and one consumer, so
//! that there is no read-modify-write in it: bytes are copied in once and worked on in place by the
//! receiver.

use crate::wake::Waker;
use crossbeam::utils::CachePadded;
use imstorm_base::Full;
use std::cell::UnsafeCell;
use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

/// Makes the queues between all shards.
#[derive(Debug)]
pub struct Mesh;

impl Mesh {
    /// A port for each of `shards`, in their order; each goes to its shard's thread. A queue holds
    /// `capacity` datagrams of at most `slot_bytes`; there are `shards` squared, their memory
    /// touched as it is used. `M` goes with each datagram: whatever the receiver needs to know.
    /// Asserts that the three are above 0.
    #[expect(clippy::new_ret_no_self, reason = "there is nothing but the ports")]
    #[must_use]
    pub fn new<M: Copy + Send>(
        shards: usize,
        capacity: usize,
        slot_bytes: usize,
    ) -> Vec<MeshPort<M>> {
        assert!(shards > 0 && capacity > 0 && slot_bytes > 0, "a mesh of nothing");
        let wakers: Arc<[OnceLock<Waker>]> = (0..shards).map(|_| OnceLock::new()).collect();
        let mut receivers: Vec<Vec<Consumer<M>>> = (0..shards).map(|_| Vec::new()).collect();
        let mut senders = Vec::with_capacity(shards);
        for _ in 0..shards {
            let mut outgoing = Vec::with_capacity(shards);
            for receiver in &mut receivers {
                let (producer, consumer) = queue(capacity, slot_bytes);
                outgoing.push(producer);
                receiver.push(consumer);
            }
            senders.push(outgoing);
        }
        let ports = senders.into_iter().zip(receivers).enumerate();
        ports
            .map(|(shard, (outgoing, incoming))| MeshPort {
                sender: MeshSender { outgoing, wakers: Arc::clone(&wakers), sent: 0, full: 0 },
                receiver: MeshReceiver { incoming, first: 0, received: 0 },
                shard,
            })
            .collect()
    }
}

/// One shard's end of the mesh. Sender and receiver are apart, so that what is received can be
/// answered while it is looked at.
#[derive(Debug)]
pub struct MeshPort<M> {
    /// Sends to all shards.
    pub sender: MeshSender<M>,
    /// Receives from all shards.
    pub receiver: MeshReceiver<M>,
    shard: usize,
}

/// See `MeshPort`.
#[derive(Debug)]
pub struct MeshSender<M> {
    outgoing: Vec<Producer<M>>,
    wakers: Arc<[OnceLock<Waker>]>,
    sent: u64,
    full: u64,
}

/// See `MeshPort`.
#[derive(Debug)]
pub struct MeshReceiver<M> {
    incoming: Vec<Consumer<M>>,
    first: usize,
    received: u64,
}

impl<M: Copy + Send> MeshPort<M> {
    /// Which shard's port this is.
    #[must_use]
    pub fn shard(&self) -> usize {
        self.shard
    }

    /// Tells the other shards how to wake this one; once, before it first sleeps.
    pub fn wake_with(&self, waker: Waker) {
        assert!(self.sender.wakers[self.shard].set(waker).is_ok(), "a shard has one back end");
    }

    /// As `MeshSender::send`.
    pub fn send(&mut self, to_shard: usize, meta: M, bytes: &[u8]) -> Result<(), Full> {
        self.sender.send(to_shard, meta, bytes)
    }

    /// As `MeshReceiver::receive`.
    pub fn receive(&mut self, each: impl FnMut(M, &mut [u8])) -> usize {
        self.receiver.receive(each)
    }
}

impl<M: Copy + Send> MeshSender<M> {
    /// Queues a copy of `bytes` for `to_shard` (asserted to exist; may be the own) and wakes that
    /// shard if it sleeps. `Full` if the queue is, or if `bytes` are longer than a slot; counted.
    pub fn send(&mut self, to_shard: usize, meta: M, bytes: &[u8]) -> Result<(), Full> {
        self.send_with(to_shard, meta, |slot| {
            slot.get_mut(..bytes.len())?.copy_from_slice(bytes);
            Some(bytes.len())
        })
    }

    /// As `send`, but `write` puts the datagram into the slot (from its start) and says how long it
    /// is (asserted to fit), or `None` to give up, which is `Full` too.
    pub fn send_with(
        &mut self,
        to_shard: usize,
        meta: M,
        write: impl FnOnce(&mut [u8]) -> Option<usize>,
    ) -> Result<(), Full> {
        let result = self.outgoing[to_shard].push(meta, write);
        match result {
            Ok(()) => self.sent += 1,
            Err(Full) => self.full += 1,
        }
        // When the queue is full, too: its owner should come and empty it.
        if let Some(waker) = self.wakers[to_shard].get() {
            waker.wake();
        }
        result
    }

    /// Datagrams sent since the start: each is a hop.
    #[must_use]
    pub fn sent(&self) -> u64 {
        self.sent
    }

    /// How often `Full` was the answer.
    #[must_use]
    pub fn full(&self) -> u64 {
        self.full
    }
}

impl<M: Copy + Send> MeshReceiver<M> {
    /// Hands over all datagrams that were there when it began, from each shard in the order sent,
    /// starting with another shard each time; gives their number. To be called after each `turn`:
    /// a wake-up says no more than that it is worthwhile.
    pub fn receive(&mut self, mut each: impl FnMut(M, &mut [u8])) -> usize {
        let shards = self.incoming.len();
        self.first = (self.first + 1) % shards;
        let mut count = 0;
        for step in 0..shards {
            let consumer = &mut self.incoming[(self.first + step) % shards];
            for _ in 0..consumer.waiting() {
                assert!(consumer.pop(&mut each), "only the receiver takes out");
                count += 1;
            }
        }
        self.received += count as u64;
        count
    }

    /// Datagrams received since the start.
    #[must_use]
    pub fn received(&self) -> u64 {
        self.received
    }
}

/// A ring of slots with one producer and one consumer. Slots `head..tail` (modulo the capacity) are
/// the consumer's, the others the producer's.
struct Queue<M> {
    /// Next to be taken: written by the consumer.
    head: CachePadded<AtomicUsize>,
    /// Next to be filled: written by the producer.
    tail: CachePadded<AtomicUsize>,
    /// Per slot what goes with the datagram, and its length.
    metas: Box<[Meta<M>]>,
    memory: Box<[UnsafeCell<u8>]>,
    slot_bytes: usize,
}

/// What goes with the datagram of a slot, and its length.
type Meta<M> = UnsafeCell<MaybeUninit<(M, usize)>>;

// SAFETY: of all that is behind `UnsafeCell`, each slot is touched by one side at a time, as head
// and tail say; they are handed over with release and acquire. `M` is sent from thread to thread.
unsafe impl<M: Send> Sync for Queue<M> {}
// SAFETY: it owns its memory; `M` may be sent.
unsafe impl<M: Send> Send for Queue<M> {}

struct Producer<M> {
    queue: Arc<Queue<M>>,
    tail: usize,
    /// The consumer's head as last seen: looked at again only when the queue seems full.
    head_seen: usize,
}

struct Consumer<M> {
    queue: Arc<Queue<M>>,
    head: usize,
}

/// Head and tail count on for ever (wrapping); the slot is their remainder.
fn queue<M: Copy + Send>(capacity: usize, slot_bytes: usize) -> (Producer<M>, Consumer<M>) {
    // A power of two, so that the remainder stays right when the counts wrap.
    let capacity = capacity.next_power_of_two();
    let memory = vec![0u8; capacity * slot_bytes].into_boxed_slice();
    // SAFETY: UnsafeCell<u8> has the representation of u8, and the box is given up here.
    let memory = unsafe { Box::from_raw(Box::into_raw(memory) as *mut [UnsafeCell<u8>]) };
    let queue = Arc::new(Queue {
        head: CachePadded::new(AtomicUsize::new(0)),
        tail: CachePadded::new(AtomicUsize::new(0)),
        metas: (0..capacity).map(|_| UnsafeCell::new(MaybeUninit::uninit())).collect(),
        memory,
        slot_bytes,
    });
    (Producer { queue: Arc::clone(&queue), tail: 0, head_seen: 0 }, Consumer { queue, head: 0 })
}

impl<M> Queue<M> {
    /// The bytes of slot `count % capacity`.
    ///
    /// # Safety
    ///
    /// The slot must be the caller's by head and tail, and not borrowed already.
    #[expect(clippy::mut_from_ref, reason = "the contract above")]
    unsafe fn slot(&self, count: usize) -> &mut [u8] {
        let at = (count & (self.metas.len() - 1)) * self.slot_bytes;
        let cells = &self.memory[at..at + self.slot_bytes];
        // SAFETY: the cells are `slot_bytes` long, and nobody else uses them, as the caller
        // promises.
        unsafe { std::slice::from_raw_parts_mut(UnsafeCell::raw_get(cells.as_ptr()), cells.len()) }
    }

    fn meta(&self, count: usize) -> *mut MaybeUninit<(M, usize)> {
        self.metas[count & (self.metas.len() - 1)].get()
    }
}

impl<M: Copy> Producer<M> {
    fn push(
        &mut self,
        meta: M,
        write: impl FnOnce(&mut [u8]) -> Option<usize>,
    ) -> Result<(), Full> {
        let queue = &*self.queue;
        if self.tail.wrapping_sub(self.head_seen) >= queue.metas.len() {
            // Acquire: the consumer is done with the slots before its head.
            self.head_seen = queue.head.load(Ordering::Acquire);
            if self.tail.wrapping_sub(self.head_seen) >= queue.metas.len() {
                return Err(Full);
            }
        }
        // SAFETY: tail - head < capacity, so slot `tail` is not among `head..tail`: it is ours.
        let len = write(unsafe { queue.slot(self.tail) }).ok_or(Full)?;
        assert!(len <= queue.slot_bytes, "{len} bytes in a slot of {}", queue.slot_bytes);
        // SAFETY: slot `tail` is still ours, and so is its meta: the tail moves on below.
        unsafe { queue.meta(self.tail).write(MaybeUninit::new((meta, len))) };
        self.tail = self.tail.wrapping_add(1);
        // Release: the slot's bytes are visible to who sees the new tail.
        queue.tail.store(self.tail, Ordering::Release);
        Ok(())
    }
}

impl<M: Copy> Consumer<M> {
    /// How many are there to be taken.
    fn waiting(&self) -> usize {
        self.queue.tail.load(Ordering::Acquire).wrapping_sub(self.head)
    }

    /// Takes one; false if there is none.
    fn pop(&mut self, each: &mut impl FnMut(M, &mut [u8])) -> bool {
        if self.waiting() == 0 {
            return false;
        }
        let queue = &*self.queue;
        // SAFETY: head < tail (acquired in `waiting`), so slot `head` is ours, and the producer has
        // written its meta before it moved the tail over it.
        let (meta, len) = unsafe { (*queue.meta(self.head)).assume_init() };
        // SAFETY: slot `head` is ours until the head moves on below, and the borrow ends before that.
        let slot = unsafe { queue.slot(self.head) };
        each(meta, &mut slot[..len]);
        self.head = self.head.wrapping_add(1);
        // Release: we are done with the slot before the producer sees the new head.
        queue.head.store(self.head, Ordering::Release);
        true
    }
}

impl<M> std::fmt::Debug for Producer<M> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Producer").field("tail", &self.tail).finish_non_exhaustive()
    }
}

impl<M> std::fmt::Debug for Consumer<M> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Consumer").field("head", &self.head).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn full_is_an_error_and_order_holds() {
        let mut ports = Mesh::new::<u64>(2, 4, 8);
        let mut other = ports.pop().unwrap();
        let mut own = ports.pop().unwrap();
        assert_eq!((own.shard(), other.shard()), (0, 1));
        for round in 0..5u64 {
            for i in 0..4 {
                own.send(1, round * 4 + i, &[i as u8; 3]).unwrap();
            }
            assert_eq!(own.send(1, 0, b"x"), Err(Full));
            let mut got = Vec::new();
            assert_eq!(other.receive(|meta, bytes| got.push((meta, bytes.to_vec()))), 4);
            let expected = (0..4).map(|i| (round * 4 + i, vec![i as u8; 3]));
            assert!(got.into_iter().eq(expected));
        }
        assert_eq!(own.send(1, 0, &[0; 9]), Err(Full), "longer than a slot");
        own.send(0, 7, b"own").unwrap();
        assert_eq!(own.receive(|meta, bytes| assert_eq!((meta, &bytes[..]), (7, &b"own"[..]))), 1);
        assert_eq!((own.sender.sent(), own.sender.full(), other.receiver.received()), (21, 6, 20));
    }

    #[test]
    fn what_is_received_can_be_answered_at_once() {
        let mut ports = Mesh::new::<u8>(1, 2, 8);
        let port = &mut ports[0];
        port.send(0, 1, b"ping").unwrap();
        let (sender, receiver) = (&mut port.sender, &mut port.receiver);
        // The answer is not part of what was there when it began.
        assert_eq!(receiver.receive(|meta, bytes| sender.send(0, meta + 1, bytes).unwrap()), 1);
        assert_eq!(receiver.receive(|meta, _| assert_eq!(meta, 2)), 1);
    }

    #[test]
    fn nothing_is_lost_or_torn_between_threads() {
        const COUNT: u64 = 100_000;
        let mut ports = Mesh::new::<u64>(2, 64, 32);
        let mut receiver = ports.pop().unwrap();
        let mut sender = ports.pop().unwrap();
        let sending = std::thread::spawn(move || {
            for i in 0..COUNT {
                while sender.send(1, i, &i.to_le_bytes().repeat(1 + i as usize % 4)).is_err() {
                    std::thread::yield_now();
                }
            }
        });
        let mut next = 0;
        while next < COUNT {
            let count = receiver.receive(|meta, bytes| {
                assert_eq!(meta, next);
                assert_eq!(bytes.len(), 8 * (1 + next as usize % 4));
                assert!(bytes.chunks(8).all(|word| word == next.to_le_bytes()));
                next += 1;
            });
            if count == 0 {
                std::thread::yield_now();
            }
        }
        sending.join().unwrap();
    }
}
