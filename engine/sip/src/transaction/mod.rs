//! Transactions (RFC 3261 17) as pure machines: event in, actions out.

pub mod hop;
pub mod invite_client;
pub mod invite_server;
pub mod key;
pub mod non_invite_client;
pub mod non_invite_server;
pub mod timings;

pub use hop::{ack_to_failure, cancel};
pub use invite_client::InviteClient;
pub use invite_server::InviteServer;
pub use key::{client_branch, read_client_branch, server_key, server_key_as};
pub use non_invite_client::NonInviteClient;
pub use non_invite_server::NonInviteServer;
pub use timings::Timings;
