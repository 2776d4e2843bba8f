//! The engine: P-CSCF, I-CSCF, S-CSCF and HSS on sockets, a shard per core.
//!
//! This crate brings the roles of `imstorm-cscf` to life: it reads the configuration, opens the sockets, pins a thread to each
//! core, and runs the tick. It knows nothing of what the messages mean.
//!
//! How a datagram passes: the kernel gives it to a shard's socket, for ESP by its SPI; the back end's `turn` puts it into the
//! inbox; [`Shard::tick`](shard::Shard::tick) hands it to the P-CSCF and carries what the roles send each other, until they are
//! silent; what was written into the outbox leaves with the next `turn`. A first message that came to another shard than its
//! user's crosses the mesh once.

pub mod api;
pub mod cli;
pub mod config;
mod ctl;
pub mod engine;
pub mod inquiry;
pub mod manual;
pub mod metrics;
pub mod shard;
pub mod status;
pub mod suggest;
pub mod switch;
pub mod tables;
pub mod token;
pub mod topology;

pub use config::EngineConfig;
pub use engine::{Engine, Plan, StartError};
pub use shard::{Hop, Shard};
