//! What the kernel is told of datagrams that leave: a message header for each run of them, kept until the kernel has let go of it.

use crate::counters::{Counters, SendFailure};
use crate::message::{self, CONTROL_BYTES, NAME_BYTES};
use crate::mmsg::{NO_SOCKET, REPEATS_MAX};
use crate::runs::Runs;
use imstorm_base::{Outbox, Queued};
use std::collections::VecDeque;
use std::ptr::null_mut;

const NONE: u32 = u32::MAX;

/// The sends of a back end, by the outbox slots of their first datagrams.
pub(crate) struct Sends {
    slots: Box<[Send]>,
    /// The pieces of runs; the kernel has read those of the entries that it has taken (IORING_FEAT_SUBMIT_STABLE).
    vectors: Vec<libc::iovec>,
    runs: Runs,
    /// Slots whose send is to be submitted: runs that begin there.
    ready: VecDeque<u32>,
    /// Slots whose send is to be submitted again in the next turn.
    retry: Vec<u32>,
    in_flight: usize,
    blocked: bool,
    /// Datagrams up to this length go together; 0: none do.
    segment_bytes_max: usize,
}

/// One datagram's way out, or a run's: what `sendmsg` points to.
struct Send {
    header: libc::msghdr,
    vector: libc::iovec,
    name: [u8; NAME_BYTES],
    control: Control,
    /// Bytes of `control` that say the source.
    source_bytes: usize,
    /// The slot of the next datagram of the run.
    next: u32,
    socket: u8,
    repeats: u8,
}

#[derive(Clone, Copy)]
#[repr(align(8))]
struct Control([u8; CONTROL_BYTES]);

impl Sends {
    /// For an outbox of so many slots. `segments`: datagrams may go together.
    pub(crate) fn new(slots: usize, segments: bool) -> Sends {
        Sends {
            slots: (0..slots).map(|_| Send::new()).collect(),
            vectors: Vec::with_capacity(slots),
            runs: Runs::default(),
            ready: VecDeque::with_capacity(slots),
            retry: Vec::with_capacity(slots),
            in_flight: 0,
            blocked: false,
            segment_bytes_max: if segments { usize::MAX } else { 0 },
        }
    }

    /// How many are with the kernel.
    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// Whether some are to be submitted again.
    pub(crate) fn has_retries(&self) -> bool {
        !self.retry.is_empty()
    }

    /// Whether the kernel had no memory for one.
    pub(crate) fn are_blocked(&self) -> bool {
        self.blocked
    }

    /// Takes all that is queued. `none_pending`: the kernel has taken all entries that were made before.
    pub(crate) fn take(&mut self, outbox: &mut Outbox, by_id: &[u8; 256], none_pending: bool) {
        self.blocked = false;
        if none_pending {
            self.vectors.clear();
        }
        self.ready.extend(self.retry.drain(..));
        self.runs.clear();
        while let Some(queued) = outbox.take() {
            let at = by_id[usize::from(queued.socket.0)];
            assert!(at != NO_SOCKET, "no socket {}", queued.socket.0);
            let bytes = outbox.bytes(&queued);
            let send = &mut self.slots[queued.slot as usize];
            (send.socket, send.repeats, send.next) = (at, 0, NONE);
            let base = bytes.as_ptr().cast_mut().cast();
            send.vector = libc::iovec { iov_base: base, iov_len: bytes.len() };
            let may_join = (1..=self.segment_bytes_max).contains(&bytes.len());
            match may_join.then(|| self.runs.join(&queued)).flatten() {
                Some(last) => self.slots[last as usize].next = queued.slot,
                None => {
                    self.slots[queued.slot as usize].address(&queued);
                    self.ready.push_back(queued.slot);
                }
            }
        }
    }

    /// The next send that is ready: its slot, the place of its socket, and its header, which stays where it is, as does what it
    /// points to, until `complete` is told of it (the header's vectors until the kernel has taken the entry).
    pub(crate) fn next(&mut self) -> Option<(u32, u8, *const libc::msghdr)> {
        let slot = self.ready.pop_front()?;
        self.in_flight += 1;
        let count = self.run(slot).count();
        let has_room = self.vectors.capacity() - self.vectors.len() >= count;
        if count > 1 && !has_room {
            self.break_up(slot);
        }
        let start = self.vectors.len();
        let is_run = self.slots[slot as usize].next != NONE;
        if is_run {
            let mut at = slot;
            while at != NONE {
                let send = &self.slots[at as usize];
                self.vectors.push(send.vector);
                at = send.next;
            }
        }
        let pieces = self.vectors[start..].as_mut_ptr();
        let send = &mut self.slots[slot as usize];
        let mut control_bytes = send.source_bytes;
        (send.header.msg_iov, send.header.msg_iovlen) = match is_run {
            true => {
                let segment_bytes = send.vector.iov_len;
                control_bytes +=
                    message::write_segment(segment_bytes, &mut send.control.0[control_bytes..]);
                (pieces, count)
            }
            false => (&raw mut send.vector, 1),
        };
        send.header.msg_name = send.name.as_mut_ptr().cast();
        send.header.msg_control = match control_bytes {
            0 => null_mut(),
            _ => send.control.0.as_mut_ptr().cast(),
        };
        send.header.msg_controllen = control_bytes;
        Some((slot, send.socket, &raw const send.header))
    }

    /// The kernel has done a send, or hasn't.
    pub(crate) fn complete(
        &mut self,
        slot: u32,
        result: i32,
        outbox: &mut Outbox,
        counters: &mut Counters,
    ) {
        self.in_flight -= 1;
        let is_run = self.slots[slot as usize].next != NONE;
        if is_run && self.is_against_segments(slot, -result) {
            self.break_up(slot);
            self.retry.push(slot);
            self.retry.extend(self.ready.drain(..));
            return;
        }
        let send = &mut self.slots[slot as usize];
        let failure = (result < 0).then(|| counters.send_failed(-result));
        match failure {
            Some(SendFailure::Repeat) if send.repeats < REPEATS_MAX => {
                send.repeats += 1;
                return self.retry.push(slot);
            }
            Some(SendFailure::Later) => {
                self.blocked = true;
                return self.retry.push(slot);
            }
            Some(SendFailure::Repeat | SendFailure::Drop) | None => {}
        }
        let mut at = slot;
        while at != NONE {
            counters.sent += u64::from(failure.is_none());
            outbox.complete(at);
            at = self.slots[at as usize].next;
        }
    }

    /// Whether a run was refused for being one, and remembers it: an interface that can't, or a path for shorter datagrams.
    fn is_against_segments(&mut self, slot: u32, errno: i32) -> bool {
        let segment_bytes = self.slots[slot as usize].vector.iov_len;
        self.segment_bytes_max = match errno {
            libc::EINVAL | libc::EMSGSIZE => self.segment_bytes_max.min(segment_bytes - 1),
            libc::EIO | libc::EOPNOTSUPP => 0,
            _ => return false,
        };
        true
    }

    /// Makes each datagram of a run but the first a send of its own, which is ready.
    fn break_up(&mut self, first: u32) {
        let mut at = std::mem::replace(&mut self.slots[first as usize].next, NONE);
        while at != NONE {
            let Send { header, name, control, source_bytes, .. } = self.slots[first as usize];
            let send = &mut self.slots[at as usize];
            (send.header, send.name) = (header, name);
            (send.control, send.source_bytes) = (control, source_bytes);
            self.ready.push_back(at);
            at = std::mem::replace(&mut send.next, NONE);
        }
    }

    /// The slots of the run that begins here.
    fn run(&self, first: u32) -> impl Iterator<Item = u32> {
        let next = |&at: &u32| Some(self.slots[at as usize].next).filter(|&next| next != NONE);
        std::iter::successors(Some(first), next)
    }
}

impl Send {
    fn new() -> Send {
        // SAFETY: null pointers, zero lengths and zero bytes are valid values of all its fields.
        let send: Send = unsafe { std::mem::zeroed() };
        Send { next: NONE, ..send }
    }

    /// Writes where it goes and comes from.
    fn address(&mut self, queued: &Queued) {
        self.header.msg_namelen = message::write_name(queued.peer, &mut self.name) as u32;
        self.source_bytes =
            queued.source.map_or(0, |source| message::write_source(source, &mut self.control.0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use imstorm_base::SocketId;

    fn queued(lengths: &[usize]) -> Outbox {
        let mut outbox = Outbox::new(16, 2_000);
        let peer = "127.0.0.1:5060".parse().unwrap();
        for &len in lengths {
            outbox.send(SocketId(0), None, peer, |_| Some(0..len)).unwrap();
        }
        outbox
    }

    /// The lengths of the pieces of each send, and its slot.
    fn submitted(sends: &mut Sends) -> Vec<(u32, Vec<usize>)> {
        let mut all = Vec::new();
        while let Some((slot, _, header)) = sends.next() {
            // SAFETY: the header and its vectors stay until the next `take`.
            let pieces = unsafe {
                let header = &*header;
                std::slice::from_raw_parts(header.msg_iov, header.msg_iovlen)
            };
            all.push((slot, pieces.iter().map(|piece| piece.iov_len).collect()));
        }
        all
    }

    fn taken(outbox: &mut Outbox, segments: bool) -> Sends {
        let mut sends = Sends::new(16, segments);
        sends.take(outbox, &[0; 256], true);
        sends
    }

    #[test]
    fn runs_are_sent_at_once_and_done_at_once() {
        let mut outbox = queued(&[100, 300, 100, 200, 100]);
        let mut sends = taken(&mut outbox, true);
        let all = submitted(&mut sends);
        let pieces: Vec<_> = all.iter().map(|(_, pieces)| pieces.clone()).collect();
        assert_eq!(pieces, [vec![100; 3], vec![300], vec![200]]);
        assert_eq!((sends.in_flight(), outbox.free_slots()), (3, 11));
        let mut counters = Counters::default();
        for (slot, _) in all {
            sends.complete(slot, 1, &mut outbox, &mut counters);
        }
        assert_eq!((sends.in_flight(), outbox.free_slots(), counters.sent), (0, 16, 5));
    }

    #[test]
    fn without_segments_each_is_sent_alone() {
        let mut outbox = queued(&[100; 3]);
        let all = submitted(&mut taken(&mut outbox, false));
        assert_eq!(all.iter().map(|(_, pieces)| pieces.len()).collect::<Vec<_>>(), [1; 3]);
    }

    #[test]
    fn a_run_that_is_refused_for_being_one_is_sent_one_by_one() {
        for (errno, longest_run) in [(libc::EINVAL, 99), (libc::EMSGSIZE, 99), (libc::EIO, 0)] {
            let mut outbox = queued(&[100; 3]);
            let mut sends = taken(&mut outbox, true);
            let mut counters = Counters::default();
            let all = submitted(&mut sends);
            assert_eq!(all.len(), 1);
            sends.complete(all[0].0, -errno, &mut outbox, &mut counters);
            assert!(sends.has_retries() && outbox.free_slots() == 13);
            sends.take(&mut outbox, &[0; 256], true);
            let again = submitted(&mut sends);
            assert_eq!(again.iter().map(|(_, it)| it.clone()).collect::<Vec<_>>(), [[100]; 3]);
            for (slot, _) in again {
                sends.complete(slot, 1, &mut outbox, &mut counters);
            }
            assert_eq!((counters.sent, counters.send_other, outbox.free_slots()), (3, 0, 16));
            assert_eq!(sends.segment_bytes_max, longest_run);
        }
    }

    #[test]
    fn a_run_that_finds_no_memory_is_sent_again_whole() {
        let mut outbox = queued(&[100; 3]);
        let mut sends = taken(&mut outbox, true);
        let mut counters = Counters::default();
        let slot = submitted(&mut sends)[0].0;
        sends.complete(slot, -libc::ENOBUFS, &mut outbox, &mut counters);
        assert!(sends.are_blocked() && sends.has_retries());
        sends.take(&mut outbox, &[0; 256], true);
        assert_eq!(submitted(&mut sends), [(slot, vec![100; 3])]);
        // What can't be sent at all is lost, and its slots are free.
        sends.complete(slot, -libc::EPERM, &mut outbox, &mut counters);
        assert_eq!((counters.sent, counters.send_forbidden, outbox.free_slots()), (0, 1, 16));
    }

    #[test]
    fn without_room_for_its_pieces_a_run_is_sent_one_by_one() {
        let mut outbox = queued(&[100; 3]);
        let mut sends = taken(&mut outbox, true);
        let room = sends.vectors.capacity() - 2;
        sends.vectors.resize(room, sends.slots[0].vector);
        let all = submitted(&mut sends);
        assert_eq!(all.iter().map(|(_, pieces)| pieces.len()).collect::<Vec<_>>(), [1; 3]);
        assert_eq!(sends.in_flight(), 3);
    }
}
