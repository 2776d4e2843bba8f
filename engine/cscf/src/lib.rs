//! P-CSCF, I-CSCF, S-CSCF and HSS as state machines.
//!
//! This crate is the IMS core's behaviour and nothing else: it reads no clock, opens no socket, starts no thread, and takes its
//! randomness from its caller. The same code runs on io_uring, in the simulator and under a fuzzer. What a role is given, and
//! where its outputs go, is in [`event`].
//!
//! How a datagram passes: [`Pcscf::unprotected`] or [`Pcscf::esp`] takes it, the latter after opening it with the security
//! association that its SPI names. The P-CSCF writes it, edited, into [`mw::MwQueue`]; [`Icscf::mw`] finds the S-CSCF, and
//! [`Scscf::mw`] is authenticator and notifier. Answers and NOTIFYs come back the same way, and leave through the
//! [`Outbox`](imstorm_base::io::Outbox), sealed in place. Whoever drives the roles moves messages between them: see the engine's
//! tick.
//!
//! What comes over a secure connection beside the security event package takes the same way: the P-CSCF checks route and identity, the
//! S-CSCF is registrar, notifier of registrations and proxy. What an operator asks for goes to [`Scscf::operate`].
#![forbid(unsafe_code)]

pub mod access;
pub mod armed;
pub mod counters;
pub mod event;
pub mod hss;
pub mod icscf;
pub mod identity;
pub mod look;
pub mod mw;
pub mod operator;
pub mod pcscf;
pub mod proxy;
pub mod scscf;
pub mod show;
pub mod tombstones;
pub mod via;

pub use access::{AccessSecurity, Authentication};
pub use counters::Counters;
pub use event::{Alarm, Context};
pub use hss::{Directory, Hss};
pub use icscf::{Icscf, IcscfConfig};
pub use mw::MwQueue;
pub use pcscf::{Pcscf, PcscfConfig};
pub use scscf::{Scscf, ScscfConfig};
