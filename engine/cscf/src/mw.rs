//! The Mw reference point between the roles: always a SIP message, handed over in memory where both ends stand on one shard.
//!
//! A role writes its message into a buffer of this queue and names the address it goes to. Whoever drives the roles takes the
//! messages out one by one and gives each to the role with that address, to another shard, or to a socket.

use std::collections::VecDeque;
use std::net::SocketAddr;

use imstorm_sip::{CheckError, Index, Message, Room};

/// The longest message on Mw, in bytes: what fits one buffer of a shard's sockets.
pub const MESSAGE_BYTES_MAX: usize = 4096;

/// A message under way between two roles.
#[derive(Debug)]
pub struct MwMessage {
    /// The Mw address of the role that sent it.
    pub from: SocketAddr,
    /// The Mw address that it goes to.
    pub to: SocketAddr,
    buffer: Box<Buffer>,
    len: usize,
}

/// Room for one message.
#[derive(Debug)]
struct Buffer {
    index: Index,
    bytes: [u8; MESSAGE_BYTES_MAX],
}

impl MwMessage {
    /// The SIP message as it goes to another shard or process.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.buffer.bytes[..self.len]
    }

    /// The message, where its writer has left its index: a role of this shard need not parse what another one wrote.
    #[must_use]
    pub fn message(&self) -> Option<Message<'_>> {
        self.buffer.index.message(self.bytes())
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
    spare: Vec<Box<Buffer>>,
    waiting: VecDeque<MwMessage>,
    /// Sent since the last [`MwQueue::take`].
    fresh: VecDeque<MwMessage>,
    /// Addresses of all roles of this process: to these, Mw is memory, and so a reliable transport.
    nearby: Vec<SocketAddr>,
}

impl MwQueue {
    /// A queue of `buffers` messages. `nearby` lists the Mw addresses of all roles in this process.
    #[must_use]
    pub fn new(buffers: usize, nearby: Vec<SocketAddr>) -> Self {
        let buffer =
            |_| Box::new(Buffer { index: Index::default(), bytes: [0; MESSAGE_BYTES_MAX] });
        let spare = (0..buffers).map(buffer).collect();
        let [waiting, fresh] = [(); 2].map(|()| VecDeque::with_capacity(buffers));
        Self { spare, waiting, fresh, nearby }
    }

    /// Whether Mw to this address is a reliable transport, for which RFC 3261's timers D, I, J and K are zero and nothing is
    /// sent twice.
    #[must_use]
    pub fn is_reliable(&self, to: SocketAddr) -> bool {
        self.nearby.contains(&to)
    }

    /// Checks a request that came from there (RFC 3261 clause 8.1.1). What a role of this process sent was checked when it came in
    /// from outside, and is what our own writer made of it.
    ///
    /// # Errors
    /// As [`Message::check`].
    pub fn check(&self, from: SocketAddr, request: &Message<'_>) -> Result<(), CheckError> {
        if self.is_reliable(from) { Ok(()) } else { request.check() }
    }

    /// Queues a message: `write` writes it into the room that it is given and returns its length.
    ///
    /// # Errors
    /// As [`MwError`] says; nothing is queued then.
    pub fn send(
        &mut self,
        from: SocketAddr,
        to: SocketAddr,
        write: impl FnOnce(Room<'_>) -> Option<usize>,
    ) -> Result<(), MwError> {
        let mut buffer = self.spare.pop().ok_or(MwError::Full)?;
        match write(Room::indexed(&mut buffer.bytes, &mut buffer.index)) {
            Some(len) => {
                assert!(len <= MESSAGE_BYTES_MAX, "a message of {len} bytes in a smaller buffer");
                self.fresh.push_back(MwMessage { from, to, buffer, len });
                Ok(())
            }
            None => {
                self.spare.push(buffer);
                Err(MwError::NotWritten)
            }
        }
    }

    /// What was sent last, for who keeps a copy: its bytes, none where it has been taken.
    #[must_use]
    pub fn newest(&self) -> &[u8] {
        self.fresh.back().map_or(b"", MwMessage::bytes)
    }

    /// The next message; give it back to [`MwQueue::release`] when it is done with.
    ///
    /// What a message causes comes before what was waiting beside it: a 200 that goes through the I-CSCF is not overtaken by
    /// the NOTIFY that was sent after it straight to the P-CSCF.
    pub fn take(&mut self) -> Option<MwMessage> {
        while let Some(message) = self.fresh.pop_back() {
            self.waiting.push_front(message);
        }
        self.waiting.pop_front()
    }

    /// Takes a message's buffer back.
    pub fn release(&mut self, message: MwMessage) {
        self.spare.push(message.buffer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn send(queue: &mut MwQueue, what: u8) -> Result<(), MwError> {
        let address = SocketAddr::from(([127, 0, 0, 1], 6060));
        queue.send(address, address, |out| out.copy(&[what]))
    }

    fn take(queue: &mut MwQueue) -> Option<u8> {
        let message = queue.take()?;
        let what = message.bytes()[0];
        queue.release(message);
        Some(what)
    }

    #[test]
    fn what_a_message_causes_comes_before_its_siblings() {
        let mut queue = MwQueue::new(8, Vec::new());
        send(&mut queue, 1).unwrap();
        send(&mut queue, 2).unwrap();
        assert_eq!(take(&mut queue), Some(1));
        send(&mut queue, 11).unwrap();
        send(&mut queue, 12).unwrap();
        let rest: Vec<u8> = std::iter::from_fn(|| take(&mut queue)).collect();
        assert_eq!(rest, [11, 12, 2]);
    }

    #[test]
    fn a_full_queue_says_so_and_recovers() {
        let mut queue = MwQueue::new(2, Vec::new());
        send(&mut queue, 1).unwrap();
        send(&mut queue, 2).unwrap();
        assert_eq!(send(&mut queue, 3), Err(MwError::Full));
        assert_eq!(take(&mut queue), Some(1));
        send(&mut queue, 3).unwrap();
    }

    #[test]
    fn a_message_that_was_not_written_costs_no_buffer() {
        let mut queue = MwQueue::new(1, Vec::new());
        let address = SocketAddr::from(([127, 0, 0, 1], 6060));
        assert_eq!(queue.send(address, address, |_| None), Err(MwError::NotWritten));
        send(&mut queue, 1).unwrap();
    }
}
