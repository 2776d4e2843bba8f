//! The Mw reference point between the roles: always a SIP message, handed over in memory where both ends stand on one shard.
//!
//! A role writes its message into a buffer of this queue and names the address it goes to. Whoever drives the roles takes the
//! messages out one by one and gives each to the role with that address, to another shard, or to a socket.

use std::collections::VecDeque;
use std::net::SocketAddr;

/// The longest message on Mw, in bytes: what fits one buffer of a shard's sockets.
pub const MESSAGE_BYTES_MAX: usize = 4096;

/// A message under way between two roles.
#[derive(Debug)]
pub struct MwMessage {
    /// The Mw address of the role that sent it.
    pub from: SocketAddr,
    /// The Mw address that it goes to.
    pub to: SocketAddr,
    bytes: Box<[u8]>,
    len: usize,
}

impl MwMessage {
    /// The SIP message.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

/// Why a message was not queued.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum MwError {
    /// All buffers are under way.
    Full,
    /// The writer could not write the message into a buffer.
    NotWritten,
}

/// The messages that are under way between the roles of one shard.
#[derive(Debug)]
pub struct MwQueue {
    spare: Vec<Box<[u8]>>,
    waiting: VecDeque<MwMessage>,
    /// Addresses of all roles of this process: to these, Mw is memory, and so a reliable transport.
    nearby: Vec<SocketAddr>,
}

impl MwQueue {
    /// A queue of `buffers` messages. `nearby` lists the Mw addresses of all roles in this process.
    #[must_use]
    pub fn new(buffers: usize, nearby: Vec<SocketAddr>) -> Self {
        let spare = (0..buffers).map(|_| vec![0; MESSAGE_BYTES_MAX].into_boxed_slice()).collect();
        Self { spare, waiting: VecDeque::with_capacity(buffers), nearby }
    }

    /// Whether Mw to this address is a reliable transport, for which RFC 3261's timers D, I, J and K are zero and nothing is
    /// sent twice.
    #[must_use]
    pub fn is_reliable(&self, to: SocketAddr) -> bool {
        self.nearby.contains(&to)
    }

    /// Queues a message: `write` writes it into the buffer and returns its length.
    ///
    /// # Errors
    /// As [`MwError`] says; nothing is queued then.
    pub fn send(
        &mut self,
        from: SocketAddr,
        to: SocketAddr,
        write: impl FnOnce(&mut [u8]) -> Option<usize>,
    ) -> Result<(), MwError> {
        let mut bytes = self.spare.pop().ok_or(MwError::Full)?;
        match write(&mut bytes) {
            Some(len) => {
                assert!(len <= bytes.len(), "a message of {len} bytes in a smaller buffer");
                self.waiting.push_back(MwMessage { from, to, bytes, len });
                Ok(())
            }
            None => {
                self.spare.push(bytes);
                Err(MwError::NotWritten)
            }
        }
    }

    /// The next message; give it back to [`MwQueue::release`] when it is done with.
    pub fn take(&mut self) -> Option<MwMessage> {
        self.waiting.pop_front()
    }

    /// Takes a message's buffer back.
    pub fn release(&mut self, message: MwMessage) {
        self.spare.push(message.bytes);
    }
}
