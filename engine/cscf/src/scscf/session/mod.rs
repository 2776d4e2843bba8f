//! Sessions: the S-CSCF as a B2BUA of its users' dialogs (the paper's section 3.2, "Impact of Security Event Package on IMS
//! Mobility"; RFC 7092 clause 3.1.1).
//!
//! A dialog of one of our UEs has two legs here: one to the UE, over one of its secure connections, and one to the far end. On both
//! the S-CSCF is the remote target, so that it can take the UE's leg to another connection, end the session on both sides, and send
//! whatever comes for the UE the way that the UE has now: RFC 3261 clause 12.2 would leave the route set as it was made. Call-ID,
//! tags and CSeq pass as they are until another dialog replaces the UE's leg (RFC 3891); from then on they are mapped.
//!
//! Transactions are the P-CSCFs': the S-CSCF keeps none. Its branch says which session a response is of and which way it goes, so
//! that what is sent again takes the same way again (RFC 3261 clause 16.11). Only CANCEL and the BYEs that the network sends are
//! its own.

mod answer;
mod call;
mod cancel;
mod early;
mod fork;
mod inside;
mod late;
mod meet;
mod moved;
mod onward;
mod release;
mod table;

use std::net::SocketAddr;

use imstorm_base::slab::Key;
use imstorm_base::strings::Handle;
use imstorm_base::time::{Time, seconds};

use crate::hss::UserId;
use crate::look::Look;

pub use fork::Fork;
pub(super) use onward::Branch;

/// How long an INVITE may go without another response: Timer C of the P-CSCFs (RFC 3261 clause 16.6, step 11) and what a CANCEL
/// takes after it.
const EARLY_NS: u64 = seconds(180 + 128);

/// Sessions of one connection, so that no user takes the room of all.
pub(super) const SESSIONS_PER_CONNECTION_MAX: usize = 16;

/// One of a session's two legs.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Side {
    /// To the UE whose session it is.
    Ue,
    /// To whoever it talks to.
    Far,
}

impl Side {
    fn other(self) -> Self {
        match self {
            Self::Ue => Self::Far,
            Self::Far => Self::Ue,
        }
    }
}

/// By which leg a request came.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum Way {
    /// The UE's.
    Ue,
    /// The one that is to take the place of the UE's.
    Moving,
    /// The far one.
    Far,
}

impl Way {
    /// The leg that such a request goes on.
    fn onward(self) -> Side {
        match self {
            Self::Ue | Self::Moving => Side::Far,
            Self::Far => Side::Ue,
        }
    }

    fn mark(self) -> u8 {
        match self {
            Self::Ue => b'u',
            Self::Moving => b'm',
            Self::Far => b'f',
        }
    }

    fn of_mark(mark: u8) -> Option<Self> {
        [Self::Ue, Self::Moving, Self::Far].into_iter().find(|way| way.mark() == mark)
    }
}

/// How far a session is.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum SessionStage {
    /// Its INVITE has no 2xx yet.
    Early,
    /// Its INVITE has been accepted.
    Confirmed,
    /// A party's BYE is under way.
    Ending,
}

/// One leg: the dialog with one party.
#[derive(Debug, Default)]
pub struct Leg {
    /// Its strings; the S-CSCF's tag is the other party's, or its own once the leg has replaced another.
    pub dialog: Handle,
    /// The highest CSeq that the party has used.
    pub remote_cseq: u32,
    /// The highest CSeq that the party was sent.
    pub local_cseq: u32,
    /// What is added, modulo 2^32, to the CSeq of the other leg's requests when they go on here.
    pub offset: u32,
    /// CSeq of the party's last INVITE, and what it was on the other leg: its ACK has the same.
    pub invite: (u32, u32),
    /// The same of the INVITE before, whose ACK may still come.
    pub earlier_invite: (u32, u32),
    /// Of the topmost Via of the party's last request: it tells one that comes again from another with the same CSeq.
    pub via: u64,
}

impl Leg {
    /// The party has sent an INVITE, which has gone on with this CSeq.
    fn note_invite(&mut self, came: u32, sent: u32) {
        self.earlier_invite = std::mem::replace(&mut self.invite, (came, sent));
    }

    /// An INVITE was refused, and the ACK of that has passed: the one before may still wait for its own.
    fn forget_invite(&mut self, came: u32) {
        if self.invite.0 == came && self.earlier_invite.0 > 0 {
            self.invite = self.earlier_invite;
        }
    }

    /// The CSeq on the other leg of the INVITE that an ACK with this one is of.
    fn acknowledged(&self, came: u32) -> Option<u32> {
        let known = [self.invite, self.earlier_invite];
        known.into_iter().find(|(number, _)| *number == came).map(|(_, sent)| sent)
    }
}

/// An INVITE that is under way, in the dialog or for it.
#[derive(Debug)]
pub struct Invite {
    way: Way,
    /// It is to make the session.
    is_initial: bool,
    /// Its CSeq as it came.
    cseq: u32,
    /// Of its topmost Via as it came: one that comes again, its CANCEL and the ACK of its refusal have the same, and nobody else's
    /// request has (RFC 3261 clause 17.2.3).
    via: u64,
    /// When it is given up. An INVITE that is to make a session goes with the session.
    until: Time,
    /// Where it came from, and where it was sent.
    upstream: SocketAddr,
    downstream: SocketAddr,
    /// Its headers as they were sent: for the CANCEL, the ACK of a refusal, and a final response of our own.
    sent: Handle,
    /// The far end's offer in it.
    offer: Handle,
    /// There was a response.
    heard: bool,
    /// There was a provisional response above 100.
    progressed: bool,
    /// It was refused, and waits for the ACK.
    refused: bool,
    /// It was to be cancelled, whatever became of the CANCEL.
    cancelled: bool,
    /// Its CANCEL, among the S-CSCF's own requests.
    cancel: Option<Key>,
}

/// The leg that takes the place of the UE's once the far end agrees.
#[derive(Debug)]
pub struct Moving {
    leg: Leg,
    connection: Key,
    /// As [`Session::call`].
    call: u64,
    /// When it is given up.
    until: Time,
    /// It is a dialog of its own, and the one that it replaces is ended (RFC 3891); else the same dialog goes another way.
    replaces: bool,
}

/// A dialog of one of our UEs, on both sides of the S-CSCF.
#[derive(Debug)]
pub struct Session {
    pub user: UserId,
    /// The secure connection that it runs over now.
    pub connection: Key,
    pub stage: SessionStage,
    /// It was accepted at some time.
    was_made: bool,
    /// Who has called.
    pub caller: Side,
    /// Of Call-ID and the tag of the request that made the UE's leg: what the leg is found by.
    pub call: u64,
    pub ue: Leg,
    pub far: Leg,
    /// The legs' names differ.
    mapped: bool,
    invite: Option<Invite>,
    moving: Option<Moving>,
    /// Acceptances of our own that wait for their ACKs, to the UE and to the far end: their CSeq, and the request that repeats them.
    answers: [Option<(u32, Key)>; 2],
    /// The connection that the UE's leg ran over has ended while it was being moved: without the move it is lost.
    is_orphan: bool,
    /// The other contacts that the same INVITE went to.
    fork: Option<Key>,
    /// The other flows of the contact that it may go to if this one fails.
    attempt: Option<Key>,
    /// When it ends unless something is heard of it: the session timer's end (RFC 4028), the INVITE's, or the BYE's.
    expires_at: Time,
    look: Look,
    /// The next session over the same connection.
    next_of_connection: Option<Key>,
}

impl Session {
    /// Whether a request that changes it is under way.
    pub fn is_changing(&self) -> bool {
        self.invite.is_some() || self.moving.is_some() || self.stage != SessionStage::Confirmed
    }

    /// When something is to be done about it, as it is now.
    fn due_at(&self) -> Time {
        let invite = self.invite.as_ref().filter(|invite| !invite.is_initial && !invite.refused);
        let moving = self.moving.as_ref().map_or(Time::MAX, |moving| moving.until);
        self.expires_at.min(invite.map_or(Time::MAX, |invite| invite.until)).min(moving)
    }

    /// Whether its INVITE was refused and waits for the ACK.
    fn is_refused(&self) -> bool {
        self.invite.as_ref().is_some_and(|invite| invite.refused)
    }

    fn leg(&self, way: Way) -> Option<&Leg> {
        match way {
            Way::Ue => Some(&self.ue),
            Way::Far => Some(&self.far),
            Way::Moving => self.moving.as_ref().map(|moving| &moving.leg),
        }
    }

    fn leg_mut(&mut self, way: Way) -> Option<&mut Leg> {
        match way {
            Way::Ue => Some(&mut self.ue),
            Way::Far => Some(&mut self.far),
            Way::Moving => self.moving.as_mut().map(|moving| &mut moving.leg),
        }
    }

    fn side(&self, side: Side) -> &Leg {
        match side {
            Side::Ue => &self.ue,
            Side::Far => &self.far,
        }
    }

    fn side_mut(&mut self, side: Side) -> &mut Leg {
        match side {
            Side::Ue => &mut self.ue,
            Side::Far => &mut self.far,
        }
    }
}
