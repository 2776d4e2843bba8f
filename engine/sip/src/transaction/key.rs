//! Which transaction a message belongs to (RFC 3261 17.1.3, 17.2.3).
#![allow(clippy::todo, unused_variables)]
use crate::error::FieldError;
use crate::message::Message;
use crate::write::Writer;
use std::net::SocketAddr;

/// The key of the server transaction that `request` belongs to: a hash of the topmost Via's branch
/// and sent-by, the method (an ACK's is its INVITE's), and the source address.
///
/// # Errors
/// If the topmost Via (or what RFC 2543 matches instead) can't be read.
pub fn server_key(request: &Message<'_>, source: SocketAddr, seed: u64) -> Result<u64, FieldError> {
    todo!()
}

/// Writes the branch of a client transaction: the cookie and 16 hexadecimal digits of `key`.
pub fn client_branch(writer: &mut Writer<'_>, key: u64) {
    todo!()
}

/// The key in a branch that [`client_branch`] wrote; `None` in any other.
pub fn read_client_branch(branch: &[u8]) -> Option<u64> {
    todo!()
}
