//! The boundary between ticks and sockets: concrete buffers that io_uring, recvmmsg, the mesh and
//! the simulator share. A tick calls `turn`, works through the inbox in place, writes into the
//! outbox, and calls `turn` again.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::ops::Range;

/// A socket of this shard, by the number that its opener gave it.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Hash, PartialOrd, Ord)]
pub struct SocketId(pub u8);

/// One datagram of the present batch: everything but its bytes.
#[derive(Copy, Clone, Debug)]
pub struct Received {
    /// The socket that it came on.
    pub socket: SocketId,
    /// Its source.
    pub peer: SocketAddr,
    /// Its destination address (`IP_PKTINFO`); the socket's own where that isn't asked for.
    pub local: IpAddr,
    /// When the kernel had it, in nanoseconds of the same clock as `now`; 0 if unknown.
    pub arrival_ns: u64,
    start: u32,
    len: u32,
}

impl Received {
    /// Where in `Inbox::memory` its bytes are.
    #[must_use]
    pub fn range(&self) -> Range<usize> {
        self.start as usize..self.start as usize + self.len as usize
    }

    /// Bytes of the datagram.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len as usize
    }

    /// Whether the datagram is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

/// The datagrams of one batch, in slots that the back end filled. They stand until the next `turn`.
#[derive(Debug)]
pub struct Inbox {
    memory: Box<[u8]>,
    slots: usize,
    slot_bytes: usize,
    batch: Vec<Received>,
    truncated: u64,
}

impl Inbox {
    /// Memory for `slots` datagrams; a back end may keep a header in a slot, so that somewhat less
    /// than `slot_bytes` is left. Asserts that the whole is below 4 GiB.
    #[must_use]
    pub fn new(slots: usize, slot_bytes: usize) -> Inbox {
        assert!(slots > 0 && slot_bytes > 0, "an inbox without room");
        assert!(slots.saturating_mul(slot_bytes) <= u32::MAX as usize, "inbox offsets are 32 bits");
        Inbox {
            memory: vec![0; slots * slot_bytes].into_boxed_slice(),
            slots,
            slot_bytes,
            batch: Vec::with_capacity(slots),
            truncated: 0,
        }
    }

    /// Claims all memory now, so that no page fault falls on the first datagrams. Only while the batch is empty.
    pub fn prefill(&mut self) {
        assert!(self.is_empty(), "an inbox is prefilled before it is used");
        self.memory.fill(0);
    }

    /// Datagrams in the batch.
    #[must_use]
    pub fn len(&self) -> usize {
        self.batch.len()
    }

    /// Whether the batch is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.batch.is_empty()
    }

    /// Slots: the longest possible batch.
    #[must_use]
    pub fn slots(&self) -> usize {
        self.slots
    }

    /// Bytes of a slot.
    #[must_use]
    pub fn slot_bytes(&self) -> usize {
        self.slot_bytes
    }

    /// Datagram `i` of the batch (asserted to be below `len`), to be worked on in place.
    pub fn get_mut(&mut self, i: usize) -> (Received, &mut [u8]) {
        let received = self.batch[i];
        let start = received.start as usize;
        (received, &mut self.memory[start..start + received.len as usize])
    }

    /// Adds a copy of a datagram, for back ends without sockets. False if there is no slot. One
    /// that is longer than a slot is cut off and counted, as a socket would do.
    pub fn push(
        &mut self,
        socket: SocketId,
        peer: SocketAddr,
        local: IpAddr,
        bytes: &[u8],
    ) -> bool {
        let slot = self.batch.len();
        if slot >= self.slots {
            return false;
        }
        let start = slot * self.slot_bytes;
        let len = bytes.len().min(self.slot_bytes);
        if len < bytes.len() {
            self.truncated += 1;
        }
        self.memory[start..start + len].copy_from_slice(&bytes[..len]);
        self.push_filled(socket, peer, local, 0, start..start + len);
        true
    }

    /// Ends the batch.
    pub fn clear(&mut self) {
        self.batch.clear();
    }

    /// Datagrams that were longer than their slot, since the start. A truncated datagram is useless
    /// (SIP over UDP and ESP both fail on it); `push` passes it on, socket back ends drop it.
    #[must_use]
    pub fn truncated(&self) -> u64 {
        self.truncated
    }

    /// For back ends: all memory, slot after slot.
    #[must_use]
    pub fn memory(&self) -> &[u8] {
        &self.memory
    }

    /// For back ends: all memory, slot after slot.
    pub fn memory_mut(&mut self) -> &mut [u8] {
        &mut self.memory
    }

    /// For back ends: adds to the batch a datagram that stands at `range` of `memory`. Asserts that
    /// it does, and that the batch is not longer than there are slots.
    pub fn push_filled(
        &mut self,
        socket: SocketId,
        peer: SocketAddr,
        local: IpAddr,
        arrival_ns: u64,
        range: Range<usize>,
    ) {
        assert!(self.batch.len() < self.slots, "more datagrams than slots");
        assert!(range.start <= range.end && range.end <= self.memory.len(), "outside the memory");
        let (start, len) = (range.start as u32, (range.end - range.start) as u32);
        self.batch.push(Received { socket, peer, local, arrival_ns, start, len });
    }

    /// For back ends: counts a datagram that was cut off.
    pub fn count_truncated(&mut self) {
        self.truncated += 1;
    }
}

/// Why a datagram was not queued.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum OutboxError {
    /// All slots are queued or in flight.
    Full,
    /// The writer gave up (`None`): what it wanted to write doesn't fit.
    NotWritten,
}

impl std::fmt::Display for OutboxError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            OutboxError::Full => "no free slot in the outbox",
            OutboxError::NotWritten => "the datagram does not fit a slot",
        })
    }
}

impl std::error::Error for OutboxError {}

/// A queued datagram: everything but its bytes.
#[derive(Copy, Clone, Debug)]
pub struct Queued {
    /// Names it to `Outbox::bytes` and `Outbox::complete`.
    pub slot: u32,
    /// The socket that it leaves by.
    pub socket: SocketId,
    /// The source address to set, or `None` for the socket's own.
    pub source: Option<IpAddr>,
    /// Its destination.
    pub peer: SocketAddr,
    start: u32,
    len: u32,
}

impl Queued {
    /// Where in `Outbox::memory` its bytes are.
    #[must_use]
    pub fn range(&self) -> Range<usize> {
        self.start as usize..self.start as usize + self.len as usize
    }
}

/// Bytes that are left free behind an outbox's slot: three cache lines, so that the same places of slots of 4 KiB are not the same places of
/// the cache. Many datagrams are worked on side by side (ESP), at the same distance from their starts.
pub const SLOT_SHIFT: usize = 192;

/// Datagrams to send, each in a slot of its own that is free again when the back end is done with
/// it.
///
/// A datagram may be queued unfinished ([`Outbox::send_unfinished`]): no datagram leaves until
/// [`Outbox::finish`] has been told that all such are complete.
#[derive(Debug)]
pub struct Outbox {
    memory: Box<[u8]>,
    slot_bytes: usize,
    /// From one slot's start to the next one's.
    stride: usize,
    /// Queued datagrams that lack something.
    unfinished: usize,
    slots: usize,
    queue: VecDeque<Queued>,
    free: Vec<u32>,
    /// Which slots are taken: a slot completed twice is a bug that would send one message's bytes
    /// as another's.
    taken: Box<[bool]>,
    full: u64,
    not_written: u64,
}

impl Outbox {
    /// Memory for `slots` datagrams of at most `slot_bytes`, queued and in flight together. Asserts
    /// that the whole is below 4 GiB.
    #[must_use]
    pub fn new(slots: usize, slot_bytes: usize) -> Outbox {
        assert!(slots > 0 && slot_bytes > 0, "an outbox without room");
        let stride = slot_bytes + SLOT_SHIFT;
        assert!(slots.saturating_mul(stride) <= u32::MAX as usize, "outbox offsets: 32 bits");
        Outbox {
            memory: vec![0; slots * stride].into_boxed_slice(),
            slot_bytes,
            stride,
            unfinished: 0,
            slots,
            queue: VecDeque::with_capacity(slots),
            free: (0..slots as u32).rev().collect(),
            taken: vec![false; slots].into_boxed_slice(),
            full: 0,
            not_written: 0,
        }
    }

    /// Claims all memory now, so that no page fault falls on the first datagrams. Only while nothing is queued or in flight.
    pub fn prefill(&mut self) {
        assert!(self.free.len() == self.slots, "an outbox is prefilled before it is used");
        self.memory.fill(0);
    }

    /// Queues a datagram that `write` makes: it gets a whole slot (with what was there before) and
    /// says which part of it is the datagram, or `None` to give up. Gives the datagram's length.
    /// Asserts that the part lies in the slot.
    pub fn send(
        &mut self,
        socket: SocketId,
        source: Option<IpAddr>,
        peer: SocketAddr,
        write: impl FnOnce(&mut [u8]) -> Option<Range<usize>>,
    ) -> Result<usize, OutboxError> {
        self.queue(socket, source, peer, |slot, _| write(slot))
    }

    /// As `send`, except that the datagram lacks something until `finish`. `write` is also told where in the memory its slot begins.
    pub fn send_unfinished(
        &mut self,
        socket: SocketId,
        source: Option<IpAddr>,
        peer: SocketAddr,
        write: impl FnOnce(&mut [u8], usize) -> Option<Range<usize>>,
    ) -> Result<usize, OutboxError> {
        let len = self.queue(socket, source, peer, write)?;
        self.unfinished += 1;
        Ok(len)
    }

    /// Has `complete` do what unfinished datagrams lack, in the memory of all slots; it says how many it has done. Asserts that these
    /// were all.
    pub fn finish(&mut self, complete: impl FnOnce(&mut [u8]) -> usize) {
        let done = complete(&mut self.memory);
        assert!(done == self.unfinished, "{done} of {} datagrams are finished", self.unfinished);
        self.unfinished = 0;
    }

    fn queue(
        &mut self,
        socket: SocketId,
        source: Option<IpAddr>,
        peer: SocketAddr,
        write: impl FnOnce(&mut [u8], usize) -> Option<Range<usize>>,
    ) -> Result<usize, OutboxError> {
        let Some(&slot) = self.free.last() else {
            self.full += 1;
            return Err(OutboxError::Full);
        };
        let base = slot as usize * self.stride;
        let Some(range) = write(&mut self.memory[base..base + self.slot_bytes], base) else {
            self.not_written += 1;
            return Err(OutboxError::NotWritten);
        };
        assert!(range.start <= range.end && range.end <= self.slot_bytes, "outside the slot");
        self.free.pop();
        self.taken[slot as usize] = true;
        let (start, len) = ((base + range.start) as u32, (range.end - range.start) as u32);
        self.queue.push_back(Queued { slot, socket, source, peer, start, len });
        Ok(len as usize)
    }

    /// Datagrams queued and not yet taken by the back end.
    #[must_use]
    pub fn len(&self) -> usize {
        self.queue.len()
    }

    /// Whether nothing is queued.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Slots that can be written to now.
    #[must_use]
    pub fn free_slots(&self) -> usize {
        self.free.len()
    }

    /// Slots in all.
    #[must_use]
    pub fn slots(&self) -> usize {
        self.slots
    }

    /// Bytes of a slot: the longest datagram.
    #[must_use]
    pub fn slot_bytes(&self) -> usize {
        self.slot_bytes
    }

    /// How often `Full` was the answer, since the start.
    #[must_use]
    pub fn full(&self) -> u64 {
        self.full
    }

    /// How often `NotWritten` was the answer, since the start.
    #[must_use]
    pub fn not_written(&self) -> u64 {
        self.not_written
    }

    /// For back ends: takes the datagram queued first. Its slot stays taken until `complete`. Asserts that no datagram is
    /// unfinished.
    pub fn take(&mut self) -> Option<Queued> {
        assert!(self.unfinished == 0, "a datagram would leave unfinished");
        self.queue.pop_front()
    }

    /// For back ends: the datagram queued first. Asserts that no datagram is unfinished.
    #[must_use]
    pub fn peek(&self, ahead: usize) -> Option<&Queued> {
        assert!(self.unfinished == 0, "a datagram would leave unfinished");
        self.queue.get(ahead)
    }

    /// For back ends: the bytes of a datagram taken and not completed.
    #[must_use]
    pub fn bytes(&self, queued: &Queued) -> &[u8] {
        &self.memory[queued.range()]
    }

    /// For back ends: all memory, slot after slot.
    #[must_use]
    pub fn memory(&self) -> &[u8] {
        &self.memory
    }

    /// For back ends: the slot of a datagram that was taken is free again. Asserts that it was
    /// taken.
    pub fn complete(&mut self, slot: u32) {
        let taken = &mut self.taken[slot as usize];
        assert!(*taken, "slot {slot} completed twice");
        *taken = false;
        self.free.push(slot);
    }

    /// Takes and completes everything queued, for the simulator and for tests.
    pub fn drain(&mut self, mut each: impl FnMut(&Queued, &[u8])) {
        while let Some(queued) = self.take() {
            each(&queued, self.bytes(&queued));
            self.complete(queued.slot);
        }
    }
}

/// A back end: something that moves datagrams.
pub trait Io {
    /// Ends the previous batch, sends what the outbox queued, waits at most `wait_ns` for datagrams
    /// or a wake-up (0: doesn't wait), and fills the inbox with the next batch, which may be empty.
    /// What goes wrong with one datagram or peer is counted; an error means that the back end is
    /// broken.
    fn turn(&mut self, wait_ns: u64) -> std::io::Result<()>;

    /// The batch, and where answers go.
    fn parts(&mut self) -> (&mut Inbox, &mut Outbox);
}

/// A datagram in memory.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Datagram {
    /// The socket that it came on or leaves by.
    pub socket: SocketId,
    /// The address of this side; `None` for one sent without.
    pub local: Option<IpAddr>,
    /// The address of the other side.
    pub peer: SocketAddr,
    /// The bytes.
    pub bytes: Vec<u8>,
}

/// An `Io` without sockets: a test puts `arrivals` in and takes `departures` out. It allocates.
#[derive(Debug)]
pub struct MemoryIo {
    inbox: Inbox,
    outbox: Outbox,
    /// Come into the inbox, in this order, in the next turns.
    pub arrivals: VecDeque<Datagram>,
    /// What left the outbox.
    pub departures: VecDeque<Datagram>,
}

impl MemoryIo {
    /// A back end with `slots` slots of `slot_bytes` in either direction.
    #[must_use]
    pub fn new(slots: usize, slot_bytes: usize) -> MemoryIo {
        MemoryIo {
            inbox: Inbox::new(slots, slot_bytes),
            outbox: Outbox::new(slots, slot_bytes),
            arrivals: VecDeque::new(),
            departures: VecDeque::new(),
        }
    }
}

impl Io for MemoryIo {
    fn turn(&mut self, _wait_ns: u64) -> std::io::Result<()> {
        self.inbox.clear();
        let departures = &mut self.departures;
        self.outbox.drain(|queued, bytes| {
            departures.push_back(Datagram {
                socket: queued.socket,
                local: queued.source,
                peer: queued.peer,
                bytes: bytes.to_vec(),
            });
        });
        while self.inbox.len() < self.inbox.slots() {
            let Some(datagram) = self.arrivals.pop_front() else { break };
            let local = datagram.local.unwrap_or(IpAddr::V4(std::net::Ipv4Addr::LOCALHOST));
            self.inbox.push(datagram.socket, datagram.peer, local, &datagram.bytes);
        }
        Ok(())
    }

    fn parts(&mut self) -> (&mut Inbox, &mut Outbox) {
        (&mut self.inbox, &mut self.outbox)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEER: SocketAddr =
        SocketAddr::new(IpAddr::V4(std::net::Ipv4Addr::new(127, 0, 0, 2)), 5060);
    const LOCAL: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    #[test]
    fn inbox_holds_a_batch_and_counts_what_is_cut_off() {
        let mut inbox = Inbox::new(2, 4);
        assert!(inbox.push(SocketId(1), PEER, LOCAL, b"abc"));
        assert!(inbox.push(SocketId(2), PEER, LOCAL, b"defgh"));
        assert!(!inbox.push(SocketId(3), PEER, LOCAL, b"i"));
        let (received, bytes) = inbox.get_mut(1);
        assert_eq!((received.socket, received.len()), (SocketId(2), 4));
        bytes[0] = b'D';
        assert_eq!(inbox.get_mut(1).1, b"Defg");
        assert_eq!(inbox.get_mut(0).1, b"abc");
        assert_eq!(inbox.truncated(), 1);
        inbox.clear();
        assert!(inbox.is_empty());
    }

    #[test]
    fn outbox_slots_are_free_after_completion() {
        let mut outbox = Outbox::new(2, 8);
        let write = |slot: &mut [u8]| {
            slot[5..8].copy_from_slice(b"end");
            Some(5..8)
        };
        assert_eq!(outbox.send(SocketId(0), None, PEER, |_| None), Err(OutboxError::NotWritten));
        assert_eq!(outbox.send(SocketId(0), Some(LOCAL), PEER, write), Ok(3));
        assert_eq!(outbox.send(SocketId(0), None, PEER, write), Ok(3));
        assert_eq!(outbox.send(SocketId(0), None, PEER, write), Err(OutboxError::Full));
        assert_eq!((outbox.full(), outbox.not_written(), outbox.len()), (1, 1, 2));
        let first = outbox.take().unwrap();
        assert_eq!((outbox.bytes(&first), first.source), (&b"end"[..], Some(LOCAL)));
        assert_eq!(outbox.free_slots(), 0);
        outbox.complete(first.slot);
        assert_eq!(outbox.send(SocketId(0), None, PEER, |_| Some(0..0)), Ok(0));
    }

    #[test]
    #[should_panic(expected = "completed twice")]
    fn completing_twice_is_our_bug() {
        let mut outbox = Outbox::new(1, 8);
        outbox.send(SocketId(0), None, PEER, |_| Some(0..1)).unwrap();
        let queued = outbox.take().unwrap();
        outbox.complete(queued.slot);
        outbox.complete(queued.slot);
    }

    #[test]
    fn an_unfinished_datagram_is_finished_in_its_slot() {
        let mut outbox = Outbox::new(2, 8);
        outbox.send(SocketId(0), None, PEER, |_| Some(0..1)).unwrap();
        let mut at = 0;
        let sent = outbox.send_unfinished(SocketId(0), None, PEER, |slot, start| {
            slot[..4].copy_from_slice(b"end?");
            at = start;
            Some(0..4)
        });
        assert_eq!(sent, Ok(4));
        outbox.finish(|memory| {
            assert_eq!(memory[at..at + 4], *b"end?");
            memory[at + 3] = b'.';
            1
        });
        outbox.take().unwrap();
        let second = outbox.take().unwrap();
        assert_eq!(outbox.bytes(&second), b"end.");
    }

    #[test]
    #[should_panic(expected = "would leave unfinished")]
    fn no_datagram_leaves_unfinished() {
        let mut outbox = Outbox::new(2, 8);
        outbox.send(SocketId(0), None, PEER, |_| Some(0..1)).unwrap();
        outbox.send_unfinished(SocketId(0), None, PEER, |_, _| Some(0..1)).unwrap();
        let _ = outbox.take();
    }

    #[test]
    #[should_panic(expected = "1 of 2 datagrams")]
    fn each_unfinished_datagram_is_finished() {
        let mut outbox = Outbox::new(2, 8);
        for _ in 0..2 {
            outbox.send_unfinished(SocketId(0), None, PEER, |_, _| Some(0..1)).unwrap();
        }
        outbox.finish(|_| 1);
    }

    #[test]
    fn memory_io_carries_both_ways() {
        let mut io = MemoryIo::new(4, 16);
        let hello = Datagram {
            socket: SocketId(7),
            local: Some(LOCAL),
            peer: PEER,
            bytes: b"hello".to_vec(),
        };
        io.arrivals.push_back(hello.clone());
        io.turn(0).unwrap();
        let (inbox, outbox) = io.parts();
        let (received, bytes) = inbox.get_mut(0);
        outbox
            .send(received.socket, Some(received.local), received.peer, |slot| {
                slot[..bytes.len()].copy_from_slice(bytes);
                Some(0..bytes.len())
            })
            .unwrap();
        io.turn(0).unwrap();
        assert!(io.parts().0.is_empty());
        assert_eq!(io.departures, [hello]);
    }
}
