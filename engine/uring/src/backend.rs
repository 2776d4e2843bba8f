//! Which back end moves the datagrams.

use crate::counters::Counters;
use crate::mmsg::Mmsg;
use crate::ring::Uring;
use crate::udp::{self, BoundSocket, SocketSpec};
use crate::wake::Waker;
use imstorm_base::io::SLOT_SHIFT;
use imstorm_base::{Inbox, Io, NS_PER_S, Outbox, SocketId};
use std::io;

/// The kinds of back end. They behave alike: whoever uses an `Io` can't tell which it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum Backend {
    /// io_uring.
    Uring,
    /// epoll, recvmmsg and sendmmsg.
    Mmsg,
}

impl Backend {
    /// io_uring where it works (`probe`), else the other.
    #[must_use]
    pub fn best() -> Backend {
        if probe().is_ok() { Backend::Uring } else { Backend::Mmsg }
    }
}

impl std::fmt::Display for Backend {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Backend::Uring => "uring",
            Backend::Mmsg => "mmsg",
        })
    }
}

impl std::str::FromStr for Backend {
    type Err = String;

    fn from_str(text: &str) -> Result<Backend, String> {
        match text {
            "uring" => Ok(Backend::Uring),
            "mmsg" => Ok(Backend::Mmsg),
            _ => Err(format!("back end: expected `uring` or `mmsg`, got `{text}`")),
        }
    }
}

/// How much memory a back end has for datagrams.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Sizes {
    /// Datagrams in a batch at most; io_uring takes at most 32,768.
    pub inbox_slots: usize,
    /// The longest datagram that can be received, in bytes.
    pub inbox_datagram_bytes: usize,
    /// Datagrams queued or in flight at most; io_uring takes at most 16,384.
    pub outbox_slots: usize,
    /// The longest datagram that can be sent, in bytes.
    pub outbox_datagram_bytes: usize,
}

impl Default for Sizes {
    /// 4,096 slots of 4 KiB either way: 32 MiB, claimed at the start.
    fn default() -> Sizes {
        Sizes {
            inbox_slots: 4_096,
            inbox_datagram_bytes: 4_096,
            outbox_slots: 4_096,
            outbox_datagram_bytes: 4_096,
        }
    }
}

impl Sizes {
    /// Bytes of address space that either back end takes for them: for the sum at start.
    #[must_use]
    pub fn reserved_bytes(&self) -> usize {
        self.inbox_slots * (self.inbox_datagram_bytes + crate::ring::HEADER_BYTES)
            + self.outbox_slots * (self.outbox_datagram_bytes + SLOT_SHIFT + 256)
    }
}

/// Either back end.
#[derive(Debug)]
pub enum AnyIo {
    /// io_uring.
    Uring(Box<Uring>),
    /// epoll, recvmmsg and sendmmsg.
    Mmsg(Box<Mmsg>),
}

/// Opens a back end over `sockets` (of distinct ids, asserted), on the thread that is to use it.
pub fn open(kind: Backend, sockets: Vec<BoundSocket>, sizes: &Sizes) -> io::Result<AnyIo> {
    match kind {
        Backend::Uring => Uring::new(sockets, sizes).map(|io| AnyIo::Uring(Box::new(io))),
        Backend::Mmsg => Mmsg::new(sockets, sizes).map(|io| AnyIo::Mmsg(Box::new(io))),
    }
}

/// Whether io_uring works here, found out by sending a datagram through it; if not, why not: a
/// kernel before 6.0, `kernel.io_uring_disabled`, a container's seccomp profile, or too little
/// locked memory.
pub fn probe() -> Result<(), String> {
    let specs = [SocketSpec {
        id: SocketId(0),
        bind: ([127, 0, 0, 1], 0).into(),
        reuse_port: false,
        receive_buffer_bytes: 0,
        packet_info: true,
    }];
    let sockets = udp::open(&specs).map_err(|error| error.to_string())?;
    let to = sockets[0].local();
    let sizes = Sizes {
        inbox_slots: 2,
        inbox_datagram_bytes: 64,
        outbox_slots: 2,
        outbox_datagram_bytes: 64,
    };
    let mut ring = Uring::new(sockets, &sizes).map_err(|error| format!("io_uring: {error}"))?;
    let _ = ring.parts().1.send(SocketId(0), None, to, |slot| {
        slot[..5].copy_from_slice(b"probe");
        Some(0..5)
    });
    for _ in 0..4 {
        ring.turn(NS_PER_S / 4).map_err(|error| format!("io_uring: {error}"))?;
        if !ring.parts().0.is_empty() {
            return Ok(());
        }
    }
    Err("io_uring: multishot recvmsg gives nothing (it needs Linux 6.0)".into())
}

impl AnyIo {
    /// Which it is.
    #[must_use]
    pub fn kind(&self) -> Backend {
        match self {
            AnyIo::Uring(_) => Backend::Uring,
            AnyIo::Mmsg(_) => Backend::Mmsg,
        }
    }

    /// Wakes it from other threads: for mesh queues and for stopping.
    #[must_use]
    pub fn waker(&self) -> Waker {
        match self {
            AnyIo::Uring(io) => io.waker(),
            AnyIo::Mmsg(io) => io.waker(),
        }
    }

    /// Lets turns wait for several datagrams while these come at a rate of four or more in `most_us` microseconds, and so much
    /// longer than for the first at most; 0, as at the start: never. Only io_uring can, since Linux 6.12; elsewhere nothing comes of it.
    pub fn set_batch_wait(&mut self, most_us: u32) {
        match self {
            AnyIo::Uring(io) => io.set_batch_wait(most_us),
            AnyIo::Mmsg(_) => {}
        }
    }

    /// What it counted.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        match self {
            AnyIo::Uring(io) => io.counters(),
            AnyIo::Mmsg(io) => io.counters(),
        }
    }

    /// Its sockets, in the order given.
    #[must_use]
    pub fn sockets(&self) -> &[BoundSocket] {
        match self {
            AnyIo::Uring(io) => io.sockets(),
            AnyIo::Mmsg(io) => io.sockets(),
        }
    }
}

impl Io for AnyIo {
    fn turn(&mut self, wait_ns: u64) -> io::Result<()> {
        match self {
            AnyIo::Uring(io) => io.turn(wait_ns),
            AnyIo::Mmsg(io) => io.turn(wait_ns),
        }
    }

    fn parts(&mut self) -> (&mut Inbox, &mut Outbox) {
        match self {
            AnyIo::Uring(io) => io.parts(),
            AnyIo::Mmsg(io) => io.parts(),
        }
    }
}

#[cfg(test)]
mod tests;
