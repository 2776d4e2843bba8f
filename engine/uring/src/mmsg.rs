//! The back end on epoll, recvmmsg and sendmmsg: of equal rank with io_uring's, and the one where
//! that is forbidden.

use crate::backend::Sizes;
use crate::clock::{Clock, wall_minus_monotonic_ns};
use crate::counters::{Counters, SendFailure};
use crate::message::{self, CONTROL_BYTES, NAME_BYTES};
use crate::udp::BoundSocket;
use crate::wake::Waker;
use imstorm_base::{Inbox, Io, Outbox, SocketId};
use rustix::event::{Timespec, epoll};
use std::io;
use std::net::IpAddr;
use std::os::fd::OwnedFd;

/// Datagrams a system call: beyond some tens the call's own cost no longer shows, and one busy
/// socket should not fill the inbox before the others had their turn.
const BATCH: usize = 64;

/// See the module. Made and used on one thread.
pub struct Mmsg {
    inbox: Inbox,
    outbox: Outbox,
    sockets: Vec<BoundSocket>,
    /// Position in `sockets` by id, for sending.
    by_id: [u8; 256],
    epoll: OwnedFd,
    events: Vec<epoll::Event>,
    /// Where the round over the sockets starts: moves on by one each turn.
    first: usize,
    waker: Waker,
    calls: Box<Calls>,
    counters: Counters,
    /// A send was blocked in this turn: the next wait is short.
    blocked: bool,
}

/// How long to wait at most while the kernel has no memory for our datagrams.
const BLOCKED_WAIT_NS: u64 = 1_000_000;
/// How often one datagram is sent again because of errors that were about others.
pub(crate) const REPEATS_MAX: u8 = 8;
const WAKE: u64 = u64::MAX;
pub(crate) const NO_SOCKET: u8 = u8::MAX;

impl Mmsg {
    /// A back end over `sockets`. Asserts that there are fewer than 255 of them, of distinct ids.
    pub fn new(sockets: Vec<BoundSocket>, sizes: &Sizes) -> io::Result<Mmsg> {
        let by_id = index_by_id(&sockets);
        let waker = Waker::new()?;
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let wake = epoll::EventData::new_u64(WAKE);
        epoll::add(&epoll, &waker, wake, epoll::EventFlags::IN)?;
        for (at, socket) in sockets.iter().enumerate() {
            let data = epoll::EventData::new_u64(at as u64);
            epoll::add(&epoll, socket, data, epoll::EventFlags::IN)?;
        }
        let mut inbox = Inbox::new(sizes.inbox_slots, sizes.inbox_datagram_bytes);
        let mut outbox = Outbox::new(sizes.outbox_slots, sizes.outbox_datagram_bytes);
        inbox.prefill();
        outbox.prefill();
        Ok(Mmsg {
            inbox,
            outbox,
            events: Vec::with_capacity(sockets.len() + 1),
            sockets,
            by_id,
            epoll,
            first: 0,
            waker,
            calls: Calls::new(),
            counters: Counters::default(),
            blocked: false,
        })
    }

    /// Wakes this back end from other threads.
    #[must_use]
    pub fn waker(&self) -> Waker {
        self.waker.clone()
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

    /// Sends the queue, in runs of datagrams for the same socket.
    fn flush(&mut self) {
        self.blocked = false;
        let mut repeats = 0;
        while let Some(first) = self.outbox.peek(0) {
            let id = first.socket;
            let at = usize::from(self.by_id[usize::from(id.0)]);
            let socket = self.sockets.get(at).unwrap_or_else(|| panic!("no socket {}", id.0));
            let count = self.calls.prepare_send(&self.outbox, id);
            self.counters.system_calls += 1;
            match self.calls.send(socket, count) {
                Ok(sent) => {
                    self.counters.sent += sent as u64;
                    for _ in 0..sent {
                        complete_first(&mut self.outbox);
                    }
                }
                Err(error) => {
                    // Of a run, the error is the first datagram's; sendmmsg hides later ones.
                    match self.counters.send_failed(error.raw_os_error().unwrap_or(0)) {
                        SendFailure::Repeat if repeats < REPEATS_MAX => repeats += 1,
                        SendFailure::Repeat | SendFailure::Drop => {
                            repeats = 0;
                            complete_first(&mut self.outbox);
                        }
                        SendFailure::Later => {
                            self.blocked = true;
                            return;
                        }
                    }
                }
            }
        }
    }

    /// Waits for at most `wait_ns`; afterwards `events` are the readable sockets.
    fn wait(&mut self, wait_ns: u64) -> io::Result<()> {
        let may_wait = wait_ns > 0 && self.waker.sleep();
        let wait_ns = match (may_wait, self.blocked) {
            (false, _) => 0,
            (true, true) => wait_ns.min(BLOCKED_WAIT_NS),
            (true, false) => wait_ns,
        };
        self.events.clear();
        let result = self.wait_for_events(wait_ns);
        if self.waker.take() {
            self.counters.woken += 1;
        }
        result
    }

    fn wait_for_events(&mut self, wait_ns: u64) -> io::Result<()> {
        let clock = Clock::new();
        let end = if wait_ns > 0 { clock.now().saturating_add(wait_ns) } else { 0 };
        let mut left = wait_ns;
        loop {
            let timeout = Timespec {
                tv_sec: (left / 1_000_000_000) as i64,
                tv_nsec: (left % 1_000_000_000) as i64,
            };
            self.counters.system_calls += 1;
            let buffer = rustix::buffer::spare_capacity(&mut self.events);
            match epoll::wait(&self.epoll, buffer, Some(&timeout)) {
                Ok(_) => return Ok(()),
                // Signals are not what was waited for, and the kernel's own end a wait too.
                Err(rustix::io::Errno::INTR) if end > clock.now() => {
                    left = end.saturating_sub(clock.now());
                }
                Err(rustix::io::Errno::INTR) => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// One batch from each readable socket, as far as the inbox has room.
    fn receive(&mut self) {
        let offset_ns = if self.sockets.iter().any(BoundSocket::timestamps) {
            wall_minus_monotonic_ns()
        } else {
            0
        };
        let ready = self.events.len();
        self.first = if ready == 0 { 0 } else { (self.first + 1) % ready };
        for step in 0..ready {
            let data = self.events[(self.first + step) % ready].data.u64();
            if data == WAKE {
                self.waker.drain();
                continue;
            }
            let Some(socket) = self.sockets.get(data as usize) else { continue };
            let room = (self.inbox.slots() - self.inbox.len()).min(BATCH);
            if room == 0 {
                break;
            }
            self.counters.system_calls += 1;
            match self.calls.receive(socket, &mut self.inbox, room) {
                Ok(count) => {
                    let taken = self.calls.deliver(count, socket, &mut self.inbox, offset_ns);
                    self.counters.received += taken;
                }
                // The socket stays readable if there is more, so the next turn gets it.
                Err(error) => match error.raw_os_error() {
                    Some(libc::EAGAIN | libc::EINTR) => {}
                    Some(libc::ECONNREFUSED) => self.counters.refused += 1,
                    _ => self.counters.receive_other += 1,
                },
            }
        }
    }
}

impl Io for Mmsg {
    fn turn(&mut self, wait_ns: u64) -> io::Result<()> {
        self.counters.turns += 1;
        self.inbox.clear();
        self.flush();
        self.wait(wait_ns)?;
        self.receive();
        Ok(())
    }

    fn parts(&mut self) -> (&mut Inbox, &mut Outbox) {
        (&mut self.inbox, &mut self.outbox)
    }
}

impl std::fmt::Debug for Mmsg {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mmsg")
            .field("sockets", &self.sockets)
            .field("counters", &self.counters)
            .finish_non_exhaustive()
    }
}

/// Positions of sockets by id.
pub(crate) fn index_by_id(sockets: &[BoundSocket]) -> [u8; 256] {
    assert!(sockets.len() < usize::from(NO_SOCKET), "too many sockets for a back end");
    let mut by_id = [NO_SOCKET; 256];
    for (at, socket) in sockets.iter().enumerate() {
        let SocketId(id) = socket.id();
        assert_eq!(by_id[usize::from(id)], NO_SOCKET, "two sockets with id {id}");
        by_id[usize::from(id)] = at as u8;
    }
    by_id
}

fn complete_first(outbox: &mut Outbox) {
    if let Some(queued) = outbox.take() {
        outbox.complete(queued.slot);
    }
}

/// The arguments of recvmmsg and sendmmsg. The pointers in `headers` and `vectors` are set anew
/// before each call, so none is stale when it is used.
struct Calls {
    headers: [libc::mmsghdr; BATCH],
    vectors: [libc::iovec; BATCH],
    names: [[u8; NAME_BYTES]; BATCH],
    controls: [Control; BATCH],
    /// Where each received datagram was put in the inbox's memory.
    starts: [usize; BATCH],
}

#[derive(Clone, Copy)]
#[repr(align(8))]
struct Control([u8; CONTROL_BYTES]);

impl Calls {
    fn new() -> Box<Calls> {
        // SAFETY: null pointers, zero lengths and zero bytes are valid values of all these types.
        Box::new(unsafe { std::mem::zeroed() })
    }

    /// Describes the run of datagrams at the head of the queue that leave by `id`; gives its
    /// length.
    fn prepare_send(&mut self, outbox: &Outbox, id: SocketId) -> usize {
        let mut count = 0;
        while count < BATCH {
            let Some(queued) = outbox.peek(count).filter(|queued| queued.socket == id) else {
                break;
            };
            let bytes = outbox.bytes(queued);
            let name_bytes = message::write_name(queued.peer, &mut self.names[count]);
            let control_bytes = queued
                .source
                .map_or(0, |source| message::write_source(source, &mut self.controls[count].0));
            // sendmsg only reads through it.
            let base = bytes.as_ptr().cast_mut().cast();
            self.vectors[count] = libc::iovec { iov_base: base, iov_len: bytes.len() };
            self.describe(count, name_bytes, control_bytes);
            count += 1;
        }
        count
    }

    /// Sends what `prepare_send` described just before; gives how many datagrams the kernel took.
    fn send(&mut self, socket: &BoundSocket, count: usize) -> io::Result<usize> {
        assert!(count > 0 && count <= BATCH);
        // SAFETY: the first `count` headers were described by `prepare_send` since the outbox last
        // changed: names, controls and vectors are in `self`, the bytes in the outbox, which
        // outlives this call, and the kernel only reads them (and writes `msg_len` in the headers).
        let result =
            unsafe { libc::sendmmsg(socket.raw_fd(), self.headers.as_mut_ptr(), count as u32, 0) };
        usize::try_from(result).map_err(|_| io::Error::last_os_error())
    }

    /// Receives up to `room` datagrams into the slots after those in use.
    fn receive(
        &mut self,
        socket: &BoundSocket,
        inbox: &mut Inbox,
        room: usize,
    ) -> io::Result<usize> {
        assert!(room > 0 && room <= BATCH && inbox.len() + room <= inbox.slots());
        let (used, slot_bytes) = (inbox.len(), inbox.slot_bytes());
        let slots = inbox.memory_mut()[used * slot_bytes..].chunks_exact_mut(slot_bytes);
        for (i, slot) in slots.take(room).enumerate() {
            let base = slot.as_mut_ptr().cast();
            self.vectors[i] = libc::iovec { iov_base: base, iov_len: slot_bytes };
            self.starts[i] = (used + i) * slot_bytes;
            self.describe(i, NAME_BYTES, CONTROL_BYTES);
        }
        // SAFETY: the first `room` headers describe names, controls and vectors in `self` and
        // distinct slots of the inbox, which is borrowed for the call; lengths are those of what is
        // pointed to.
        let result = unsafe {
            libc::recvmmsg(
                socket.raw_fd(),
                self.headers.as_mut_ptr(),
                room as u32,
                libc::MSG_DONTWAIT,
                std::ptr::null_mut(),
            )
        };
        usize::try_from(result).map_err(|_| io::Error::last_os_error())
    }

    /// Adds the received datagrams to the batch; gives how many were good.
    fn deliver(
        &self,
        count: usize,
        socket: &BoundSocket,
        inbox: &mut Inbox,
        offset_ns: u64,
    ) -> u64 {
        let mut taken = 0;
        for i in 0..count.min(BATCH) {
            let header = &self.headers[i].msg_hdr;
            if header.msg_flags & libc::MSG_TRUNC != 0 {
                inbox.count_truncated();
                continue;
            }
            let Some(peer) =
                self.names[i].get(..header.msg_namelen as usize).and_then(message::read_name)
            else {
                continue;
            };
            let control = self.controls[i].0.get(..header.msg_controllen).unwrap_or(&[]);
            let control = message::read_control(control);
            let local: IpAddr = control.local.unwrap_or(socket.local().ip());
            let arrival_ns = control.wall_ns.map_or(0, |wall| wall.wrapping_sub(offset_ns));
            let start = self.starts[i];
            let len = (self.headers[i].msg_len as usize).min(inbox.slot_bytes());
            inbox.push_filled(socket.id(), peer, local, arrival_ns, start..start + len);
            taken += 1;
        }
        taken
    }

    /// Points header `i` at the parts that belong to it.
    fn describe(&mut self, i: usize, name_bytes: usize, control_bytes: usize) {
        assert!(name_bytes <= NAME_BYTES && control_bytes <= CONTROL_BYTES);
        let header = &mut self.headers[i].msg_hdr;
        header.msg_name = self.names[i].as_mut_ptr().cast();
        header.msg_namelen = name_bytes as u32;
        header.msg_iov = &raw mut self.vectors[i];
        header.msg_iovlen = 1;
        header.msg_control = self.controls[i].0.as_mut_ptr().cast();
        header.msg_controllen = control_bytes;
        header.msg_flags = 0;
    }
}
