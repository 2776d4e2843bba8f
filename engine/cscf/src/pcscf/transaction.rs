//! A request that passes through the P-CSCF, or starts there: RFC 3261's server transaction on the one side and client
//! transaction on the other (clause 16), in one record.

use std::net::SocketAddr;

use imstorm_base::slab::Key;
use imstorm_base::strings::{Handle, Strings};
use imstorm_base::time::Time;
use imstorm_sip::Method;
use imstorm_sip::transaction::invite_client::{self, InviteClient};
use imstorm_sip::transaction::{InviteServer, NonInviteClient, invite_server};

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
    /// The P-CSCF's CANCEL of an INVITE.
    Cancel,
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
    /// It is an INVITE that has waited for the identities, and got a 100 (RFC 3261 clause 17.2.1): it won't come again, and so has to be
    /// answered by a transaction.
    pub has_waited: bool,
}

/// The status with which a server transaction was completed before, where its request has come again.
pub type Again = Option<u16>;

/// RFC 3261's machines for a request.
#[derive(Debug)]
pub enum Machine {
    /// The client transaction. A server transaction that is not completed needs no machine, and a completed one is a tombstone.
    NonInvite(NonInviteClient),
    /// Both transactions: they outlive the final response.
    Invite(Invite),
}

impl Machine {
    /// The machine of a request that comes over a `reliable` transport or not, and has not been sent on.
    pub fn new(method: Method, reliable: bool) -> Self {
        match method {
            Method::Invite => Self::Invite(Invite::new(reliable)),
            _ => Self::NonInvite(NonInviteClient::new()),
        }
    }
}

/// An INVITE's transactions.
#[derive(Debug)]
pub struct Invite {
    /// `None` when it is over: terminated, given up, or never begun.
    pub client: Option<InviteClient>,
    pub server: InviteServer,
    /// The last response but a 100 or a 2xx as it went upstream, where it may have to be sent again.
    pub response: Handle,
    /// When Timer C fires.
    pub c_at: Time,
    /// It is to be cancelled. The status that it gets upstream if nobody downstream gives it one.
    pub cancelled: Option<u16>,
    /// The transaction of the CANCEL that has been sent.
    pub cancel: Option<Key>,
    /// Its final response has gone upstream. What is left absorbs and repeats, and is not pending any more.
    pub lingers: bool,
}

impl Invite {
    fn new(reliable: bool) -> Self {
        Self {
            client: Some(InviteClient::new()),
            server: InviteServer::new(reliable),
            response: Handle::EMPTY,
            c_at: 0,
            cancelled: None,
            cancel: None,
            lingers: false,
        }
    }

    /// Whether a provisional response has come and no final one.
    pub fn is_proceeding(&self) -> bool {
        self.client.is_some_and(|client| client.state() == invite_client::State::Proceeding)
    }

    /// Whether a final response is still awaited.
    pub fn awaits_final(&self) -> bool {
        let calling = |client: InviteClient| client.state() == invite_client::State::Calling;
        self.client.is_some_and(calling) || self.is_proceeding()
    }

    /// Whether both transactions are over.
    pub fn is_over(&self) -> bool {
        self.client.is_none() && self.server.state() == invite_server::State::Terminated
    }
}

/// A timer of an INVITE's transactions (RFC 3261 table 4, RFC 6026 clause 8.11).
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum InviteTimer {
    /// The INVITE is sent again.
    A,
    /// No response has come.
    B,
    /// The client transaction has waited for failures or successes that come again: Timer D or M.
    ClientDone,
    /// Whether Timer C has fired, or the connection is gone.
    Look,
    /// Nobody has answered the INVITE after its CANCEL (RFC 3261 clause 9.1).
    Cancelled,
    /// The failure is sent again.
    G,
    /// No ACK has come.
    H,
    /// The server transaction has waited for ACKs: Timer I.
    I,
    /// The server transaction has waited for INVITEs that come again: Timer L.
    L,
}

/// A transaction that is not completed, or lingers as an INVITE's does.
#[derive(Debug)]
pub struct Transaction {
    pub purpose: Purpose,
    /// The server transaction's key, and whom its responses go to.
    pub server_key: u64,
    pub upstream: Peer,
    /// The client transaction, and whom its request goes to.
    pub machine: Machine,
    pub downstream: Peer,
    pub connection: Key,
    pub cseq: u32,
    /// Of what a UE's response has to repeat of a request that was passed on to it (RFC 3261 clause 8.2.6.2).
    pub echo: u64,
    /// The request as sent, where it may have to be sent again; an INVITE's until its final response, and behind a failure the ACK.
    pub request: Handle,
    /// The server transaction was completed before: this one only makes its final response anew.
    pub again: Again,
}

impl Transaction {
    /// The machines of an INVITE.
    pub fn invite(&self) -> Option<&Invite> {
        match &self.machine {
            Machine::Invite(invite) => Some(invite),
            Machine::NonInvite(_) => None,
        }
    }

    /// As [`Transaction::invite`].
    pub fn invite_mut(&mut self) -> Option<&mut Invite> {
        match &mut self.machine {
            Machine::Invite(invite) => Some(invite),
            Machine::NonInvite(_) => None,
        }
    }

    /// Whether its connection counts it among those that are under way.
    pub fn is_pending(&self) -> bool {
        self.invite().is_none_or(|invite| !invite.lingers)
    }

    /// Gives the strings back.
    pub fn release(&mut self, strings: &mut Strings) {
        strings.release(std::mem::take(&mut self.request));
        if let Some(invite) = self.invite_mut() {
            let response = std::mem::take(&mut invite.response);
            strings.release(response);
        }
    }
}
