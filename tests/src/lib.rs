//! The harness of the tests: an engine on a virtual clock, and a UE of its own.
//!
//! [`World`] drives the engine's shards by hand: a test puts datagrams in and sees every one that comes out, towards UEs and,
//! where the roles stand apart, on Mw too. [`ScriptedUe`] is a second implementation of the UE's side, which shares nothing with
//! the load generator's but the protocol crates, so that a mistake made there is not made here again. A message is [`Text`],
//! which a test can alter at will before it is sent.
#![forbid(unsafe_code)]

pub mod browser;
pub mod call;
pub mod fifo;
pub mod fifo_server;
pub mod flows;
pub mod message;
pub mod meter;
pub mod open;
pub mod program;
pub mod registration;
pub mod scene;
pub mod ue;
pub mod virtual_run;
pub mod world;

pub use call::Call;
pub use message::{Changes, Text};
pub use scene::Scene;
pub use ue::{Credentials, ScriptedUe};
pub use world::{Arrived, Layout, Wire, World};
