//! The control plane: admin HTTP, a client for it, and files that are written beside the data path.
//!
//! It is generic: routes, metrics and file formats are the caller's. It knows nothing of SIP, holds
//! no state but connections, and never runs on a shard's thread: it brings its own, on tokio-uring
//! where io_uring works and on plain tokio elsewhere ([`Runtime`]).
//!
//! No datagram passes through it. A request does: accepted on the control thread, read whole (at
//! most [`BODY_BYTES_MAX`]), given to the [`Handler`], whose [`Response`] is written back; what the
//! handler wants of shards it asks over queues of its own.

#![forbid(unsafe_code)]

mod address;
mod client;
mod file;
mod listener;
mod metrics;
mod runtime;
mod server;
mod text;

pub use address::{Address, AddressError};
pub use client::{Error, get, post, request};
pub use file::FileWriter;
pub use metrics::exposition;
pub use runtime::Runtime;
pub use server::{
    BASIC_USER, BODY_BYTES_MAX, CONNECTIONS_MAX, HEADER_TIMEOUT, Handler, NotLoopback, Request,
    Response, Server, TOKEN_BYTES_MIN, start,
};
pub use text::{percent_decode, percent_encode};
