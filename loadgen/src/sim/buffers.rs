//! Inbox and outbox without anything behind them.

use std::net::{IpAddr, SocketAddr};

use imstorm_base::SocketId;
use imstorm_base::io::{Inbox, Io, Outbox, Queued};

/// Datagrams that a side takes in one tick.
const SLOTS: usize = 1024;
/// Room for a datagram, in bytes.
pub(super) const SLOT_BYTES: usize = 4096;

/// Inbox and outbox of a side.
#[derive(Debug)]
pub(super) struct Buffers {
    inbox: Inbox,
    outbox: Outbox,
}

impl Buffers {
    pub(super) fn new() -> Self {
        Self { inbox: Inbox::new(SLOTS, SLOT_BYTES), outbox: Outbox::new(SLOTS * 4, SLOT_BYTES) }
    }

    /// Puts a datagram into the inbox. False where there is no room.
    pub(super) fn push(
        &mut self,
        socket: SocketId,
        peer: SocketAddr,
        to: IpAddr,
        bytes: &[u8],
    ) -> bool {
        self.inbox.push(socket, peer, to, bytes)
    }

    /// Whether nothing has come.
    pub(super) fn is_empty(&self) -> bool {
        self.inbox.is_empty()
    }

    /// Forgets what is in the inbox.
    pub(super) fn clear(&mut self) {
        self.inbox.clear();
    }

    /// Takes all that is to be sent.
    pub(super) fn drain(&mut self, each: impl FnMut(&Queued, &[u8])) {
        self.outbox.drain(each);
    }
}

impl Io for Buffers {
    fn turn(&mut self, _wait_ns: u64) -> std::io::Result<()> {
        self.inbox.clear();
        Ok(())
    }

    fn parts(&mut self) -> (&mut Inbox, &mut Outbox) {
        (&mut self.inbox, &mut self.outbox)
    }
}
