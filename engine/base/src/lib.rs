//! What every other crate stands on: time, timers, tables, buffers, seeded randomness, the I/O
//! boundary.
//!
//! It is no runtime: there is no clock, socket, thread or entropy in it (`clippy.toml` forbids
//! them), and no protocol. Everything is bounded, with its address space claimed when it is made
//! and touched when it is used; full is an answer ([`Full`]), never an abort. After that nothing on
//! a message's path allocates, except that [`Timers`] grow, amortised, to the most that was ever
//! armed, where that is more than they were made for.
//!
//! A datagram's way through it: a back end fills a slot of the [`Inbox`]; the tick works on it in
//! place ([`Inbox::get_mut`]); a hash of what names its owner ([`HashSeed`]) leads through an
//! [`Index`] to a [`Key`], and that through a [`Slab`] to the owner's record, which keeps its
//! strings in [`Strings`] and its deadlines in [`Timers`]; the answer is written into a slot of the
//! [`Outbox`], where it stands until the back end has sent it.

#![forbid(unsafe_code)]

pub mod address;
pub mod fifo;
pub mod hash;
pub mod index;
pub mod io;
pub mod random;
mod shapes;
pub mod slab;
pub mod strings;
pub mod time;
pub mod timers;

pub use address::PackedAddress;
pub use fifo::{Chunks, Fifo};
pub use hash::HashSeed;
pub use index::Index;
pub use io::{Datagram, Inbox, Io, MemoryIo, Outbox, OutboxError, Queued, Received, SocketId};
pub use random::{Random, SecretRandom, mix};
pub use shapes::TextRoom;
pub use slab::{Key, KeyTable, Slab};
pub use strings::{Handle, SIZE_CLASSES, STRING_BYTES_MAX, Strings};
pub use time::{NS_PER_MS, NS_PER_S, NS_PER_US, Time, milliseconds, seconds};
pub use timers::Timers;

/// A bounded table or pool has no room: the answer is 503 with Retry-After, and a counter.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Full;

impl std::fmt::Display for Full {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("no room left")
    }
}

impl std::error::Error for Full {}
