//! A request that passes through the P-CSCF, or starts there: RFC 3261's server transaction on the one side and client
//! transaction on the other (clause 16), in one record.

use std::net::SocketAddr;

use imstorm_base::slab::Key;
use imstorm_base::strings::Handle;
use imstorm_sip::transaction::non_invite_client::NonInviteClient;

/// What a request is about, which says what its response does.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// The UE's SUBSCRIBE to its own security state, whether the first, the answer to a challenge or a refresh.
    Security,
    /// Another request of the UE, over its secure connection.
    FromUe,
    /// A NOTIFY of the security event package for the UE. True where it ends the subscription.
    Notify { terminates: bool },
    /// Another request for the UE.
    ToUe,
    /// The P-CSCF's own SUBSCRIBE.
    Own,
}

/// One end of a transaction.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Peer {
    /// A UE without security, at this address.
    Unprotected(SocketAddr),
    /// A UE, through this set.
    Protected(Key),
    /// Another CSCF, at this Mw address.
    Mw(SocketAddr),
    /// The P-CSCF itself.
    Own,
}

/// Where a request came from, and the key of the server transaction that it belongs to (RFC 3261 clause 17.2.3).
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    pub peer: Peer,
    pub transaction: u64,
}

/// The status with which a server transaction was completed before, where its request has come again.
pub type Again = Option<u16>;

/// A transaction that is not completed.
#[derive(Debug)]
pub struct Transaction {
    pub purpose: Purpose,
    /// The server transaction's key, and whom its responses go to.
    pub server_key: u64,
    pub upstream: Peer,
    /// The client transaction, and whom its request goes to.
    pub client: NonInviteClient,
    pub downstream: Peer,
    pub connection: Key,
    pub cseq: u32,
    /// Of what a UE's response has to repeat of a request that was passed on to it (RFC 3261 clause 8.2.6.2).
    pub echo: u64,
    /// The request as sent, where it may have to be sent again.
    pub request: Handle,
    /// The server transaction was completed before: this one only makes its final response anew.
    pub again: Again,
}
