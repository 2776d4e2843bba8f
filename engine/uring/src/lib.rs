//! Sockets, rings, queues between shards and the clock: all that a shard has of the machine.
//!
//! It knows nothing of SIP, ESP or shards' work, keeps no state of peers, and starts no thread.
//! What goes wrong with one datagram is counted ([`Counters`]); an error means that the set-up is
//! broken.
//!
//! A datagram's way through it: the kernel picks a socket of a reuseport group ([`steer`]); the
//! shard's `turn` brings it into a slot of the inbox, by io_uring ([`Uring`]) straight into that
//! memory as a provided buffer, or by recvmmsg ([`Mmsg`]). If it is another shard's, it is copied
//! once into a mesh queue ([`mesh`]), whose owner is woken if it sleeps ([`Waker`]). The answer is
//! written into a slot of the outbox, and the next `turn` sends it from there, with its source
//! address if it names one.

#[cfg(test)]
mod allocations;
pub mod backend;
mod batch;
mod buf_ring;
pub mod clock;
mod counters;
mod guard;
pub mod mesh;
mod message;
mod mmsg;
pub mod process;
mod ring;
mod runs;
mod sends;
pub mod steer;
pub mod udp;
mod wake;

pub use backend::{AnyIo, Backend, Sizes, probe};
pub use clock::Clock;
pub use counters::Counters;
pub use mesh::{Mesh, MeshPort};
pub use mmsg::Mmsg;
pub use ring::Uring;
pub use udp::{BindError, BoundSocket, SocketSpec};
pub use wake::Waker;
