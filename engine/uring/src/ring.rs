//! The back end on io_uring: multishot receives into provided buffers that are the inbox's slots, a
//! `sendmsg` for each run of the outbox's datagrams, one submit a turn.
//!
//! Notes, measured on Linux 6.18: a multishot receive ends with ENOBUFS when the buffers run out,
//! and is armed again in the next turn, when they are back; an enter may give only some of the
//! completions, so it is repeated while the kernel says that there is more; zero-copy sends on a
//! ring that receives starve the receives, so there are none.

use crate::backend::Sizes;
use crate::batch::{BATCH, BatchWait, ENOUGH};
use crate::buf_ring::{BUFFERS_MAX, BufRing};
use crate::clock::{Clock, wall_minus_monotonic_ns};
use crate::counters::Counters;
use crate::message::{self, CONTROL_BYTES, NAME_BYTES};
use crate::mmsg::index_by_id;
use crate::sends::Sends;
use crate::udp::BoundSocket;
use crate::wake::Waker;
use imstorm_base::{Inbox, Io, Outbox};
use io_uring::types::{Fd, SubmitArgs, Timespec};
use io_uring::{IoUring, cqueue, opcode, squeue};
use std::io;

/// What the kernel writes before a datagram in its buffer: a header of 16 bytes, its source and its
/// control messages. A multiple of 16, so that payloads are aligned for ciphers.
pub(crate) const HEADER_BYTES: usize = 16 + NAME_BYTES + CONTROL_BYTES;
const _: () = assert!(HEADER_BYTES.is_multiple_of(16));

const GROUP: u16 = 0;
const SUBMISSIONS: u32 = 1024;
/// The most completions that a ring can have room for.
const COMPLETIONS_MAX: usize = 1 << 16;
const SENDS_MAX: usize = 1 << 14;
const _: () = assert!(BUFFERS_MAX + SENDS_MAX + 256 + 2 < COMPLETIONS_MAX);
/// Enters a turn while the kernel says that there is more: enough for a batch of hundreds, and an
/// end when datagrams come faster than they are reaped.
const ENTERS_MAX: usize = 16;
/// How long to wait at most while the kernel has no memory for our datagrams.
const BLOCKED_WAIT_NS: u64 = 1_000_000;
/// How long to wait for the kernel to let go of our memory at the end.
const DROP_WAIT_S: u64 = 2;

/// See the module. Made and used on one thread.
pub struct Uring {
    // Dropped first: closing the ring ends the registration of `buffers`.
    ring: IoUring,
    buffers: BufRing,
    inbox: Inbox,
    outbox: Outbox,
    sockets: Vec<BoundSocket>,
    by_id: [u8; 256],
    /// Per socket whether its multishot receive is armed.
    armed: Vec<bool>,
    wake_armed: bool,
    /// Buffers that the kernel has given us: they hold the batch, and go back in the next turn.
    given: Vec<u16>,
    /// The shape of received messages; the kernel copies it when a receive is armed.
    receive_shape: Box<libc::msghdr>,
    sends: Sends,
    woken: bool,
    batch: BatchWait,
    /// The wall clock's lead, once a turn in which a datagram has a timestamp.
    offset_ns: Option<u64>,
    waker: Waker,
    counters: Counters,
}

/// What a completion is about: the upper half says what, the lower which.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Token {
    Receive(u32),
    Send(u32),
    Wake,
    Cancel,
}

impl Token {
    fn to_u64(self) -> u64 {
        let (kind, which) = match self {
            Token::Receive(which) => (1u64, which),
            Token::Send(which) => (2, which),
            Token::Wake => (3, 0),
            Token::Cancel => (4, 0),
        };
        (kind << 32) | u64::from(which)
    }

    fn from_u64(word: u64) -> Token {
        match word >> 32 {
            1 => Token::Receive(word as u32),
            2 => Token::Send(word as u32),
            3 => Token::Wake,
            4 => Token::Cancel,
            _ => panic!("a completion of nothing that was submitted: {word:#x}"),
        }
    }
}

impl Uring {
    /// A back end over `sockets`. Errors where io_uring is forbidden or too old. Asserts that there
    /// are fewer than 255 sockets, of distinct ids, and the limits that `Sizes` names.
    pub fn new(sockets: Vec<BoundSocket>, sizes: &Sizes) -> io::Result<Uring> {
        assert!(sizes.inbox_slots <= BUFFERS_MAX, "io_uring has at most {BUFFERS_MAX} buffers");
        assert!(sizes.outbox_slots <= SENDS_MAX, "io_uring sends at most {SENDS_MAX} at a time");
        let by_id = index_by_id(&sockets);
        let waker = Waker::new()?;
        let completions = sizes.inbox_slots + sizes.outbox_slots + sockets.len() + 2;
        let ring = build(completions.next_power_of_two() as u32)?;
        let features = ring.params();
        if !(features.is_feature_ext_arg() && features.is_feature_nodrop()) {
            return Err(io::Error::new(io::ErrorKind::Unsupported, "this kernel is before 5.11"));
        }
        let segments = features.is_feature_submit_stable();
        let buffers = BufRing::register(&ring.submitter(), sizes.inbox_slots, GROUP)?;
        // SAFETY: null pointers and zero lengths are valid values of a msghdr.
        let mut receive_shape: Box<libc::msghdr> = Box::new(unsafe { std::mem::zeroed() });
        receive_shape.msg_namelen = NAME_BYTES as u32;
        receive_shape.msg_controllen = CONTROL_BYTES;
        let mut io = Uring {
            ring,
            buffers,
            inbox: Inbox::new(sizes.inbox_slots, sizes.inbox_datagram_bytes + HEADER_BYTES),
            outbox: Outbox::new(sizes.outbox_slots, sizes.outbox_datagram_bytes),
            armed: vec![false; sockets.len()],
            sockets,
            by_id,
            wake_armed: false,
            given: (0..sizes.inbox_slots).map(|id| id as u16).collect(),
            receive_shape,
            sends: Sends::new(sizes.outbox_slots, segments),
            woken: false,
            batch: BatchWait::default(),
            offset_ns: None,
            waker,
            counters: Counters::default(),
        };
        io.inbox.prefill();
        io.outbox.prefill();
        // Datagrams that come before the first turn wait in the sockets' buffers.
        io.give_back();
        Ok(io)
    }

    /// Wakes this back end from other threads.
    #[must_use]
    pub fn waker(&self) -> Waker {
        self.waker.clone()
    }

    /// Lets turns wait for several datagrams while these come at a rate of four or more in `most_us` microseconds, and so much
    /// longer than for the first at most; 0, as at the start: never. Nothing comes of it before Linux 6.12.
    pub fn set_batch_wait(&mut self, most_us: u32) {
        self.batch = BatchWait::new(if self.can_wait_for_batches() { most_us } else { 0 });
    }

    /// Whether the kernel has IORING_FEAT_MIN_TIMEOUT.
    pub(crate) fn can_wait_for_batches(&self) -> bool {
        self.ring.params().is_feature_min_timeout()
    }

    /// What it counted.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Its sockets, in the order given.
    #[must_use]
    pub fn sockets(&self) -> &[BoundSocket] {
        &self.sockets
    }

    /// Returns the batch's buffers to the kernel.
    fn give_back(&mut self) {
        let slot_bytes = self.inbox.slot_bytes();
        let memory = self.inbox.memory_mut();
        for &id in &self.given {
            let slot = &mut memory[usize::from(id) * slot_bytes..][..slot_bytes];
            // SAFETY: the slot is `slot_bytes` of the inbox's memory, which is never moved nor
            // freed while the ring lives (see `drop`). Each id is provided once: it was given to us
            // by a completion (or never provided), and `given` is emptied below. The batch that
            // pointed to the slot was cleared, so nobody reads it until its next completion; what
            // the inbox lends out in between are slots of the batch only, which the kernel doesn't
            // have.
            unsafe { self.buffers.provide(slot.as_mut_ptr(), slot_bytes as u32, id) };
        }
        self.given.clear();
        self.buffers.publish();
    }

    /// Arms what isn't armed: receives, and the wake-up.
    fn arm(&mut self) -> io::Result<()> {
        for at in 0..self.sockets.len() {
            if self.armed[at] {
                continue;
            }
            let fd = Fd(self.sockets[at].raw_fd());
            let shape: *const libc::msghdr = &raw const *self.receive_shape;
            let entry = opcode::RecvMsgMulti::new(fd, shape, GROUP)
                .build()
                .user_data(Token::Receive(at as u32).to_u64());
            // SAFETY: the shape is boxed and lives as long as the ring; its pointers are null,
            // which multishot receives don't use; the buffers are the group's.
            unsafe { self.push(&entry)? };
            self.armed[at] = true;
        }
        if !self.wake_armed {
            let entry = opcode::PollAdd::new(Fd(self.waker.raw_fd()), libc::POLLIN as u32)
                .multi(true)
                .build()
                .user_data(Token::Wake.to_u64());
            // SAFETY: a poll touches no memory of ours, and the waker keeps its descriptor open.
            unsafe { self.push(&entry)? };
            self.wake_armed = true;
        }
        Ok(())
    }

    /// Submits a send for each run of datagrams that is queued or to be repeated.
    fn queue_sends(&mut self) -> io::Result<()> {
        let none_pending = self.ring.submission().is_empty();
        self.sends.take(&mut self.outbox, &self.by_id, none_pending);
        while let Some((slot, socket, header)) = self.sends.next() {
            let fd = Fd(self.sockets[usize::from(socket)].raw_fd());
            let entry =
                opcode::SendMsg::new(fd, header).build().user_data(Token::Send(slot).to_u64());
            // SAFETY: header, vector, name and control are in `sends`, in a boxed slice that is
            // never moved; a run's vectors are in a vector that never grows, and is cleared only
            // when the kernel has taken all entries; the datagrams are in the outbox's memory, which
            // isn't moved either. All stay unchanged until the completion: the slots are taken until
            // `complete`, and what `sends` has of them is written only when they are newly taken, or
            // submitted again. `drop` waits for what is in flight.
            unsafe { self.push(&entry)? };
        }
        Ok(())
    }

    /// Adds an entry to the submission queue, submitting when that is full.
    ///
    /// # Safety
    ///
    /// What the entry points to must stay valid until its completion.
    unsafe fn push(&mut self, entry: &squeue::Entry) -> io::Result<()> {
        loop {
            // SAFETY: what the entry points to stays valid, as the caller promises.
            if unsafe { self.ring.submission().push(entry) }.is_ok() {
                return Ok(());
            }
            self.counters.system_calls += 1;
            match self.ring.submit() {
                Ok(_) => {}
                Err(error) if is_transient(&error) => self.reap(),
                Err(error) => return Err(error),
            }
        }
    }

    /// Submits what is queued, and takes what is complete, without waiting.
    fn enter(&mut self) -> io::Result<()> {
        for _ in 0..ENTERS_MAX {
            let queue = self.ring.submission();
            if queue.is_empty() && !queue.taskrun() && !queue.cq_overflow() {
                break;
            }
            drop(queue);
            self.counters.system_calls += 1;
            match self.ring.submit() {
                Ok(_) => {}
                Err(error) if is_transient(&error) => {}
                Err(error) => return Err(error),
            }
            self.reap();
        }
        self.reap();
        Ok(())
    }

    /// Submits what is queued, and waits for a datagram or a wake-up, at most `wait_ns`: in its
    /// first `patience_us` for a batch of datagrams, and then for the first one if none has come. A
    /// wake-up counts as one datagram, so that it may take as long.
    fn wait(&mut self, wait_ns: u64, mut patience_us: u32) -> io::Result<()> {
        if !self.waker.sleep() {
            return self.enter();
        }
        let wait_ns = if self.sends.are_blocked() || self.sends.has_retries() {
            wait_ns.min(BLOCKED_WAIT_NS)
        } else {
            wait_ns
        };
        let clock = Clock::new();
        let end = clock.now().saturating_add(wait_ns);
        let mut left = wait_ns;
        // Completions of sends end a wait too; then it goes on.
        while left > 0 && (patience_us > 0 || self.inbox.is_empty()) && !self.woken {
            // What is there already can't be waited for.
            let most = if self.inbox.is_empty() { left } else { u64::from(patience_us) * 1_000 };
            let time = timespec(left.min(most));
            let arguments = SubmitArgs::new().timespec(&time).min_wait_usec(patience_us);
            let want = match patience_us {
                0 => 1,
                // Sends complete as they are submitted, and are none of the batch. The kernel looks at what a socket has only
                // when the time is over, so that this many end a wait only if they were there before, or are of many sockets.
                _ => BATCH.saturating_sub(self.inbox.len()) + self.sends.in_flight(),
            };
            patience_us = 0;
            self.counters.system_calls += 1;
            match self.ring.submitter().submit_with_args(want, &arguments) {
                Ok(_) => {}
                Err(error) if error.raw_os_error() == Some(libc::ETIME) => {}
                Err(error) if is_transient(&error) => {}
                Err(error) => return Err(error),
            }
            self.reap();
            self.enter()?;
            // What ended must be armed again or nothing would end the wait; and what was not sent is
            // to be tried again soon.
            if self.armed.contains(&false) || !self.wake_armed || self.sends.has_retries() {
                break;
            }
            left = end.saturating_sub(clock.now());
        }
        Ok(())
    }

    /// Takes all completions that are there.
    fn reap(&mut self) {
        loop {
            // A copy of each, so that the ring isn't borrowed while it is worked on.
            let Some(completion) = self.ring.completion().next() else { return };
            let (result, flags) = (completion.result(), completion.flags());
            match Token::from_u64(completion.user_data()) {
                Token::Receive(at) => self.received(at as usize, result, flags),
                Token::Send(slot) => {
                    self.sends.complete(slot, result, &mut self.outbox, &mut self.counters);
                }
                Token::Wake => {
                    self.woken = true;
                    self.waker.drain();
                    self.wake_armed = cqueue::more(flags);
                }
                Token::Cancel => {}
            }
        }
    }

    fn received(&mut self, at: usize, result: i32, flags: u32) {
        if !cqueue::more(flags) {
            self.armed[at] = false;
            self.counters.rearmed += 1;
        }
        let id = cqueue::buffer_select(flags);
        if let Some(id) = id {
            self.given.push(id);
        }
        match (result, id) {
            (0.., Some(id)) => self.deliver(at, usize::from(id), result as usize),
            (0.., None) => {}
            (error, _) => match -error {
                libc::ENOBUFS => self.counters.buffers_exhausted += 1,
                libc::ECONNREFUSED => self.counters.refused += 1,
                libc::ECANCELED | libc::EINTR | libc::EAGAIN => {}
                _ => self.counters.receive_other += 1,
            },
        }
    }

    /// Adds to the batch the datagram that the kernel put into buffer `id`, `len` bytes with
    /// headers.
    fn deliver(&mut self, at: usize, id: usize, len: usize) {
        let slot_bytes = self.inbox.slot_bytes();
        let start = id * slot_bytes;
        let slot = &self.inbox.memory()[start..start + len.min(slot_bytes)];
        let word = |at: usize| {
            slot.get(at..)?.first_chunk().map(|&bytes| u32::from_ne_bytes(bytes) as usize)
        };
        // struct io_uring_recvmsg_out: namelen, controllen, payloadlen, flags.
        let (Some(name_bytes), Some(control_bytes), Some(flags)) = (word(0), word(4), word(12))
        else {
            self.counters.receive_other += 1;
            return;
        };
        if flags & libc::MSG_TRUNC as usize != 0 {
            self.inbox.count_truncated();
            return;
        }
        let name = slot.get(16..16 + name_bytes.min(NAME_BYTES)).unwrap_or(&[]);
        let control_at = 16 + NAME_BYTES;
        let control = slot.get(control_at..control_at + control_bytes.min(CONTROL_BYTES));
        let control = message::read_control(control.unwrap_or(&[]));
        let Some(peer) = message::read_name(name).filter(|_| slot.len() >= HEADER_BYTES) else {
            self.counters.receive_other += 1;
            return;
        };
        let end = start + slot.len();
        let socket = &self.sockets[at];
        let local = control.local.unwrap_or(socket.local().ip());
        let arrival_ns = control.wall_ns.map_or(0, |wall| {
            wall.wrapping_sub(*self.offset_ns.get_or_insert_with(wall_minus_monotonic_ns))
        });
        let payload = start + HEADER_BYTES..end;
        self.inbox.push_filled(socket.id(), peer, local, arrival_ns, payload);
        self.counters.received += 1;
    }

    /// Ends everything in flight, so that the kernel no longer knows our memory. False if it didn't
    /// end in time.
    fn end_all(&mut self) -> bool {
        let entry = opcode::AsyncCancel2::new(io_uring::types::CancelBuilder::any())
            .build()
            .user_data(Token::Cancel.to_u64());
        // SAFETY: a cancellation points to nothing.
        if unsafe { self.push(&entry) }.is_err() {
            return false;
        }
        let clock = Clock::new();
        let end = clock.now().saturating_add(DROP_WAIT_S * 1_000_000_000);
        let time = Timespec::new().nsec(10_000_000);
        while self.armed.contains(&true) || self.sends.in_flight() > 0 {
            // The batch may be full: what comes now is nobody's.
            self.inbox.clear();
            let _ = self.ring.submitter().submit_with_args(1, &SubmitArgs::new().timespec(&time));
            self.reap();
            if clock.now() > end {
                return false;
            }
        }
        true
    }
}

impl Io for Uring {
    fn turn(&mut self, wait_ns: u64) -> io::Result<()> {
        self.counters.turns += 1;
        self.inbox.clear();
        self.woken = false;
        self.offset_ns = None;
        if !self.given.is_empty() {
            self.give_back();
        }
        self.arm()?;
        self.queue_sends()?;
        self.reap();
        let is_idle = self.ring.submission().is_empty() && self.sends.in_flight() == 0;
        let patience_us = self.batch.patience_us(wait_ns);
        // With nothing to submit the wait itself is the one enter. Who has enough to do doesn't wait for more.
        if patience_us > 0 || wait_ns == 0 || !is_idle || !self.inbox.is_empty() {
            self.enter()?;
        }
        let is_patient = patience_us > 0 && self.inbox.len() < ENOUGH;
        if wait_ns > 0 && (is_patient || self.inbox.is_empty()) {
            self.wait(wait_ns, patience_us)?;
        }
        if !self.batch.is_off() {
            self.batch.note(Clock::new().now(), self.inbox.len(), is_patient);
        }
        if self.waker.take() {
            self.counters.woken += 1;
        }
        Ok(())
    }

    fn parts(&mut self) -> (&mut Inbox, &mut Outbox) {
        (&mut self.inbox, &mut self.outbox)
    }
}

impl Drop for Uring {
    fn drop(&mut self) {
        if !self.end_all() {
            // Never seen; leaking is better than a kernel that writes into freed memory.
            self.buffers.leak();
            std::mem::forget(std::mem::replace(&mut self.inbox, Inbox::new(1, 1)));
            std::mem::forget(std::mem::replace(&mut self.outbox, Outbox::new(1, 1)));
            std::mem::forget(std::mem::replace(&mut self.sends, Sends::new(0, false)));
            return;
        }
        // The kernel holds no request of ours, and now no buffer either.
        let _ = self.ring.submitter().unregister_buf_ring(GROUP);
    }
}

impl std::fmt::Debug for Uring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Uring")
            .field("sockets", &self.sockets)
            .field("sends_in_flight", &self.sends.in_flight())
            .field("counters", &self.counters)
            .finish_non_exhaustive()
    }
}

fn timespec(ns: u64) -> Timespec {
    Timespec::new().sec(ns / 1_000_000_000).nsec((ns % 1_000_000_000) as u32)
}

/// The cheapest set-up that the kernel knows: completions run in our own enters only, if possible.
fn build(completions: u32) -> io::Result<IoUring> {
    let mut first_error = None;
    for attempt in 0..3 {
        let mut builder = IoUring::builder();
        builder.setup_cqsize(completions.max(SUBMISSIONS * 2)).setup_clamp().dontfork();
        match attempt {
            0 => {
                builder.setup_single_issuer().setup_defer_taskrun().setup_taskrun_flag();
            }
            1 => {
                builder.setup_coop_taskrun().setup_taskrun_flag();
            }
            _ => {}
        }
        match builder.build(SUBMISSIONS) {
            Ok(ring) => return Ok(ring),
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {
                first_error.get_or_insert(error);
            }
            Err(error) => return Err(error),
        }
    }
    Err(first_error.unwrap_or_else(|| io::ErrorKind::Unsupported.into()))
}

/// Errors of an enter that go away when completions are taken, or by themselves.
fn is_transient(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EINTR | libc::EBUSY | libc::EAGAIN))
}
