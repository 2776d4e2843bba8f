//! Sessions: each party's side of one is a leg, a small record of its own. A leg has transactions of its own, so that calls come,
//! go on and end whatever else its UE is about.
//!
//! ```text
//!            INVITE               2xx, ACK              BYE                 2xx
//!  (none) ──────────▶ Early ─────────────────▶ Up ──────────▶ Ending ──────────────▶ Ended ──▶ (none)
//!                       │                       │  BYE comes                          ▲  ▲
//!                       │ failure, CANCEL       └─────────────────────────────────────┘  │
//!                       └────────────────────────────────────────────────────────────────┘
//! ```
//!
//! The callee's leg is Answered between its 2xx and the ACK. An ended leg still answers what comes again.

mod callee;
mod caller;
mod end;
mod moving;
mod refresh;
mod request;
mod sdp;
mod timer;
mod write;

use imstorm_base::slab::Key;
use imstorm_base::strings::Handle;
use imstorm_base::time::{Time, seconds};
use imstorm_sip::transaction::{InviteClient, InviteServer, NonInviteClient, Timings};
use imstorm_sip::{DialogParts, Message, Method};
use serde::{Deserialize, Serialize};

use super::place::Place;
use super::procedures::{FORGET_NS, TIMINGS};
use crate::generator::Generator;
use crate::measure::{Procedure, Start};
pub(super) use moving::move_ns_max;
pub use timer::LegTimer;

/// The sessions that a user takes part in at the same time; a call beyond them is answered 486.
pub const SESSIONS_PER_USER: usize = 2;
/// The legs that a user may have: those, twice over while they are moved, and as many that have ended and still answer.
pub const LEGS_PER_USER: usize = 4 * SESSIONS_PER_USER;
/// A leg's strings: the INVITE that it sent or took, the answer to that, a request, the dialog's.
pub const LEG_STRINGS_BYTES: usize = 2048 + 2048 + 1536 + 512;
/// The least session interval (RFC 4028 clause 5), in seconds.
pub const MIN_SE_S: u32 = 90;
/// How long a caller waits for an answer before it gives up: longer than any proxy does (RFC 3261 clause 16.6, timer C).
const NO_ANSWER_NS: u64 = seconds(240);

/// The durations that legs arm again and again, beside those of other requests.
pub fn leg_timers_ns(timings: &Timings) -> [u64; 3] {
    [NO_ANSWER_NS, timings.timer_d_ns(false), timings.timer_i_ns(false)]
}

/// How many requests of the other party a leg has in mind: as many as may be sent again at one time.
const GRANTED: usize = 4;

/// Which party a leg is of.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Side {
    /// The one who called.
    Caller,
    /// The one who was called.
    Callee,
}

/// How far a leg is.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum LegStage {
    /// Its first INVITE has no final answer.
    Early,
    /// The callee has answered, and waits for the ACK.
    Answered,
    /// The session is established.
    Up,
    /// This side is ending it.
    Ending,
    /// It is over, and answers what comes again.
    Ended,
}

/// One party's side of a session.
#[derive(Debug)]
pub struct Leg {
    /// The access that it runs over.
    pub ue: u32,
    /// The user's next older leg.
    pub next: Option<Key>,
    /// The other party's leg, where that is a UE of this generator. What runs over the wire takes no notice of it.
    pub peer: Option<Key>,
    pub side: Side,
    pub stage: LegStage,
    /// Its number among the calls of its access: it is in branches and tag, and the caller's in the Call-ID.
    pub number: u32,
    /// The dialog's strings; the remote tag is empty where the caller has no dialog yet.
    pub dialog: Handle,
    /// CSeq of the last request that this side sent.
    pub cseq: u32,
    /// CSeq of the last request that it took.
    pub remote_cseq: u32,
    /// CSeqs of the last requests that it has granted, INVITE aside: one of them that comes again is answered again.
    pub granted: [u32; GRANTED],
    /// RSeq of the last reliable response that it took (RFC 3262 clause 4); 0: none yet.
    pub rseq: u32,
    /// The INVITE that it sent last.
    pub invite: Option<Outgoing>,
    /// The INVITE that it took last.
    pub incoming: Option<Incoming>,
    /// The other request that it has under way.
    pub request: Option<LegRequest>,
    /// The procedure under way, and its intended start.
    pub procedure: Option<(Procedure, Start)>,
    /// When this side hangs up, if it is the one that does.
    pub hang_up_at: Option<Time>,
    /// The session interval that was agreed, in seconds; 0: none.
    pub interval_s: u32,
    /// Counts transactions and refreshes, so that the timers of past ones fire in vain.
    pub transactions: u16,
    /// Which of them the next refresh is.
    pub refresh: u16,
    /// This side refreshes the session.
    pub refreshes: bool,
    /// This side's user, or the profile, wants the session to end, or the call not to be answered.
    pub hung_up: bool,
    /// The profile has its user's connection ended, and the session with it.
    pub ends_with_connection: bool,
    /// It is counted among the sessions that were established.
    pub is_counted: bool,
    /// The leg that it is to take the place of.
    pub replaces: Option<Key>,
    /// The access that its INVITE under way moves it to.
    pub moves_to: Option<u32>,
    /// Another leg has taken its place, or it has come to nothing: its end is nobody's.
    pub is_replaced: bool,
    /// Its move is under way, or the network is about to end it because its user has registered elsewhere.
    pub is_moving: bool,
    /// It is to take the place of a session that the network has ended.
    pub is_anew: bool,
}

/// An INVITE that was sent.
#[derive(Debug)]
pub struct Outgoing {
    pub client: InviteClient,
    /// The access that it was sent over.
    pub ue: u32,
    pub number: u16,
    pub cseq: u32,
    /// The message, to be sent again, cancelled, and acknowledged where it is refused.
    pub kept: Handle,
    pub sent_at: Time,
}

/// An INVITE that was taken.
#[derive(Debug)]
pub struct Incoming {
    pub server: InviteServer,
    /// The access that it came over, which its answers go back by.
    pub ue: u32,
    pub number: u16,
    pub cseq: u32,
    /// The message, to be answered.
    pub request: Handle,
    /// The answer that was sent last.
    pub response: Handle,
    /// How often the 2xx, or the reliable provisional answer, was sent.
    pub sent: u8,
    /// A reliable provisional answer waits for its PRACK.
    pub awaits_prack: bool,
    /// The callee has rung long enough.
    pub has_rung: bool,
    /// The offer was answered before the 2xx.
    pub is_described: bool,
    /// The 2xx has its ACK.
    pub is_acknowledged: bool,
}

/// A request in a session that is no INVITE.
#[derive(Debug)]
pub struct LegRequest {
    pub method: Method,
    pub client: NonInviteClient,
    pub ue: u32,
    pub number: u16,
    pub cseq: u32,
    pub kept: Handle,
    pub sent_at: Time,
}

/// Sessions, each counted once, on its caller's side.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Sessions {
    /// The caller had its 2xx.
    pub established: u64,
    /// Moved to another connection.
    pub moved: u64,
    /// Ended by a party, or as the profile wants it.
    pub released: u64,
    /// Ended otherwise.
    pub lost: u64,
}

impl Sessions {
    /// Sessions that are up.
    #[must_use]
    pub fn up(&self) -> u64 {
        self.established - self.released - self.lost
    }
}

/// A party's side of a session as seen from outside, for checks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LegView {
    /// The number of the access that it runs over.
    pub ue: u32,
    /// The dialog's Call-ID.
    pub call_id: Vec<u8>,
    /// The UE's tag.
    pub local_tag: Vec<u8>,
    /// The session is established, and nothing about it is under way.
    pub is_at_rest: bool,
    /// It is over.
    pub is_over: bool,
}

impl Leg {
    /// Whether the session is established, or about to end.
    fn is_up(&self) -> bool {
        matches!(self.stage, LegStage::Up | LegStage::Answered)
    }
}

impl Generator {
    /// The legs of an access's user, the newest first.
    pub(super) fn legs_of(&self, ue: u32) -> impl Iterator<Item = (Key, &Leg)> {
        let first = self.ues[self.population.user(ue) as usize].legs.key(&self.legs);
        let with = |key: Key| self.legs.get(key).map(|leg| (key, leg));
        std::iter::successors(first.and_then(with), move |(_, leg)| leg.next.and_then(with))
    }

    /// The leg whose dialog has this Call-ID and this tag of ours.
    fn find_leg(&self, ue: u32, call_id: &[u8], local_tag: &[u8]) -> Option<Key> {
        let found = self.legs_of(ue).find(|(_, leg)| {
            let parts = DialogParts::decode(self.strings.get(&leg.dialog));
            parts.call_id == call_id && parts.local_tag == local_tag
        });
        found.map(|(key, _)| key)
    }

    /// The leg that a request in a dialog is of.
    fn leg_of_request(&self, ue: u32, message: &Message<'_>) -> Option<Key> {
        let tag = message.tag(imstorm_sip::header::HeaderName::To).ok()??;
        self.find_leg(ue, message.call_id().ok()?, tag)
    }

    /// A leg takes its place among its user's, where need be that of the one that has ended longest. `None` where there is no room.
    fn add_leg(&mut self, leg: Leg) -> Option<Key> {
        if self.legs_of(leg.ue).count() >= LEGS_PER_USER {
            let may_go = |it: &Leg| it.stage == LegStage::Ended && !it.is_moving;
            let ended = self.legs_of(leg.ue).filter(|(_, it)| may_go(it));
            if let Some(oldest) = ended.last().map(|(key, _)| key) {
                self.forget_leg(oldest);
            }
        }
        if self.legs.vacant_key().is_none() {
            self.strings.release(leg.dialog);
            return None;
        }
        let user = self.population.user(leg.ue) as usize;
        let next = self.ues[user].legs.key(&self.legs);
        let key = self.legs.insert(Leg { next, ..leg }).ok()?;
        self.ues[user].legs = key.into();
        Some(key)
    }

    /// Nothing can come of an ended leg any more.
    fn forget_leg(&mut self, key: Key) {
        let Some(leg) = self.legs.get(key) else { return };
        let user = self.population.user(leg.ue) as usize;
        let is_newest = self.ues[user].legs.key(&self.legs) == Some(key);
        let Some(leg) = self.legs.remove(key) else { return };
        assert!(leg.stage == LegStage::Ended, "a leg is forgotten once it has ended");
        if is_newest {
            self.ues[user].legs = leg.next.map(Place::from).unwrap_or_default();
        } else {
            let mut others = self.legs_of(leg.ue).map(|(other, _)| other);
            let before =
                others.find(|it| self.legs.get(*it).is_some_and(|it| it.next == Some(key)));
            drop(others);
            let before = before.and_then(|before| self.legs.get_mut(before));
            before.expect("a leg is in its user's list").next = leg.next;
        }
        self.strings.release(leg.dialog);
        self.strings.release(leg.invite.map(|it| it.kept).unwrap_or_default());
        self.strings.release(leg.request.map(|it| it.kept).unwrap_or_default());
        if let Some(incoming) = leg.incoming {
            self.strings.release(incoming.request);
            self.strings.release(incoming.response);
        }
    }

    /// How many sessions a user takes part in, or is about to.
    fn sessions_of(&self, ue: u32) -> usize {
        self.legs_of(ue).filter(|(_, leg)| leg.stage != LegStage::Ended).count()
    }

    /// Whether a session of the user has something to come that the profile wants: an answer, or its end.
    pub(super) fn has_open_calls(&self, ue: u32) -> bool {
        self.legs_of(ue).any(|(_, leg)| match leg.stage {
            LegStage::Early | LegStage::Answered | LegStage::Ending => true,
            LegStage::Up => self.call.holding_s.is_some() || leg.procedure.is_some(),
            LegStage::Ended => false,
        })
    }

    /// Whether a session that a user has begun goes on.
    pub(super) fn is_caller(&self, ue: u32) -> bool {
        let mut legs = self.legs_of(ue);
        legs.any(|(_, leg)| {
            leg.side == Side::Caller && leg.stage != LegStage::Ended && !leg.is_replaced
        })
    }

    /// Whether a user's partner is calling it.
    pub(super) fn is_called(&self, ue: u32) -> bool {
        let partner = self.partner(ue);
        let mut legs = self.legs_of(partner);
        legs.any(|(_, leg)| leg.side == Side::Caller && leg.stage == LegStage::Early)
    }

    /// The sides of sessions that a user has, as seen from outside.
    #[must_use]
    pub fn legs(&self, ue: u32) -> Vec<LegView> {
        let view = |(key, leg): (Key, &Leg)| {
            let parts = DialogParts::decode(self.strings.get(&leg.dialog));
            LegView {
                ue: leg.ue,
                call_id: parts.call_id.to_vec(),
                local_tag: parts.local_tag.to_vec(),
                is_at_rest: leg.stage == LegStage::Up
                    && leg.procedure.is_none()
                    && leg.request.is_none()
                    && !self.is_inviting(key)
                    && !leg.is_replaced
                    && !leg.is_moving,
                is_over: leg.stage == LegStage::Ended,
            }
        };
        self.legs_of(ue).map(view).collect()
    }
}

const _: () = assert!(FORGET_NS > TIMINGS.timer_l_ns(), "an ended leg outlives its transactions");

#[cfg(test)]
mod tests;
