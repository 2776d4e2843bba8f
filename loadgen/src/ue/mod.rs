//! One UE: a small record that lives through set-up, refreshes and release, and answers what comes to it at any moment.
//!
//! ```text
//!            start                401                 200 and NOTIFY            due
//!  Idle ───────────▶ Challenging ─────▶ Answering ───────────────────▶ Secured ─────▶ Refreshing
//!                     │  ▲  │ failure        │ failure              ▲  │  ▲  │  200          │ │
//!                     │  │  ▼                ▼                      │  │  │  └───────────────┘ │ 401
//!             profile │  │ Gone ◀─────────  Gone                    │  │  │                    ▼
//!                     ▼  │  ▲               200 and NOTIFY          │  │  └───────────── Reanswering
//!                    Away  └── terminated ── Releasing ◀────────────┼──┘
//!                      ▲                                            │
//!                      └───────────────── profile ──────────────────┘
//! ```
//!
//! Where the connection rests on a registration ([`Basis`]) it is the same with REGISTER for SUBSCRIBE, and no NOTIFY. Without access
//! security the first 200 ends Challenging, and a challenge ends all.
//!
//! A UE has one procedure and one request under way at a time; what becomes due meanwhile waits for its end ([`agenda`]).

mod agenda;
pub mod agreement;
mod anew;
mod bytes;
pub(crate) mod call;
mod course;
pub(crate) mod cut;
mod fallback;
pub(crate) mod handover;
pub(crate) mod left;
pub mod lifetime;
pub(crate) mod names;
mod network;
mod over_connection;
pub(crate) mod place;
pub(crate) mod procedures;
pub(crate) mod progress;
mod readiness;
mod receive;
mod registration;
mod remote;
mod requests;
mod security;
pub(crate) mod server;
mod sets;
mod ues;
mod view;
mod watch;
pub(crate) mod write;

use imstorm_base::strings::Handle;
use imstorm_base::time::Time;
use imstorm_esp::Associations;
use imstorm_sip::Method;
use imstorm_sip::transaction::NonInviteClient;

use crate::measure::{Procedure, Transaction};
use agreement::ClientSide;
pub(crate) use call::Leg;
use call::LegTimer;
use lifetime::Lifetime;
use lifetime::Moment;
use names::Call;
use place::Place;
pub(crate) use progress::Progress;
use server::Server;
pub(crate) use ues::Ues;
pub use view::UeView;
pub(crate) use watch::Watch;

/// How far a UE is.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub enum Stage {
    /// It has not begun.
    #[default]
    Idle,
    /// Its first SUBSCRIBE or REGISTER is under way.
    Challenging,
    /// Its answer to the challenge is under way, on the new security associations.
    Answering,
    /// It has a secure connection, and nothing about it is under way.
    Secured,
    /// A refresh is under way.
    Refreshing,
    /// Its answer to the challenge of a refresh is under way on the new security associations, or the NOTIFY behind it is.
    Reanswering,
    /// Its SUBSCRIBE or REGISTER with Expires 0 is under way.
    Releasing,
    /// It has given up as the profile wants it, and comes back if the profile says so.
    Away,
    /// It is through: released or failed. It still answers what comes again.
    Gone,
}

impl Stage {
    /// Whether there is a secure connection.
    pub fn is_secure(self) -> bool {
        matches!(self, Self::Secured | Self::Refreshing | Self::Reanswering | Self::Releasing)
    }
}

/// What a connection rests on: the kind of request that makes it, prolongs it and ends it.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub enum Basis {
    /// A subscription to the `security` event package.
    #[default]
    Subscription,
    /// A registration with AKA, as in today's IMS (TS 24.229 clause 5.1.1).
    Registration,
}

impl Basis {
    /// The method of that request.
    pub fn method(self) -> Method {
        match self {
            Self::Subscription => Method::Subscribe,
            Self::Registration => Method::Register,
        }
    }

    /// The set-up of such a connection.
    pub fn set_up(self) -> Procedure {
        match self {
            Self::Subscription => Procedure::Secure,
            Self::Registration => Procedure::Registration,
        }
    }

    /// Whether a UE goes through a procedure over such a connection. A registration binds all identities by itself, and what the
    /// network has to say about it does not come to a UE that has not asked for it.
    pub fn has(self, procedure: Procedure) -> bool {
        let of_subscriptions = matches!(
            procedure,
            Procedure::Reauthenticate
                | Procedure::IdentityChange
                | Procedure::NetworkReauthenticate
                | Procedure::NetworkRelease
                | Procedure::RegisterOverConnection
        );
        self == Self::Subscription || !of_subscriptions
    }
}

/// Which request a UE has under way.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Asking {
    /// The first one, or one that says that a challenge can't be answered.
    First,
    /// The answer to a challenge.
    Answer,
    /// A refresh.
    Refresh,
    /// The answer to the challenge of a refresh.
    Reanswer,
    /// The end.
    Release,
    /// REGISTER over the connection.
    Register,
    /// SUBSCRIBE to the registration state.
    RegEvent,
    /// MESSAGE to the partner.
    Message,
}

impl Asking {
    /// Its method, over a connection that rests on this.
    pub fn method(self, basis: Basis) -> Method {
        match self {
            Self::Register => Method::Register,
            Self::Message => Method::Message,
            Self::RegEvent => Method::Subscribe,
            _ => basis.method(),
        }
    }
}

/// A client transaction of a UE.
#[derive(Debug)]
pub struct Request {
    pub asking: Asking,
    pub method: Method,
    pub client: NonInviteClient,
    /// The SIP message, to be sent again.
    pub kept: Handle,
    pub sent_at: Time,
    pub call: Call,
    /// The access in whose name the call is.
    pub named: u32,
    pub cseq: u32,
}

const _: () = assert!(size_of::<Request>() <= 48);

impl Request {
    /// The row that it is counted in.
    pub fn transaction(&self) -> Transaction {
        match self.method {
            Method::Register => Transaction::Register,
            Method::Message => Transaction::Message,
            _ => Transaction::Subscribe,
        }
    }
}

/// A timer of a UE. One whose number is not the present one fires in vain.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct UeTimer {
    pub ue: u32,
    pub kind: UeTimerKind,
    /// Of the request for E, F and N, of the operator's call for `Operator` (which is counted with them), of the set's offer for
    /// `Former`, of the set-up for the others.
    pub number: u32,
}

/// What a UE's timer is about.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum UeTimerKind {
    /// Send the request again (RFC 3261 clause 17.1.2.2).
    TimerE,
    /// The request has failed.
    TimerF,
    /// No NOTIFY came (RFC 6665 clause 4.1.2.4).
    TimerN,
    /// No NOTIFY came of what the operator was asked for.
    Operator,
    /// Time for the operator's switch with this number, which is no UE's.
    Switch,
    /// Time for a procedure.
    Due(Procedure),
    /// Half of the registration's time is over.
    Reregister,
    /// Time to try again to call whom the network has parted the user from.
    CallAgain,
    /// Time to vanish, as the profile wants it.
    Vanish,
    /// Time to come back.
    Back,
    /// Nothing can come any more through the former connection's security associations.
    Former,
    /// Nothing can come any more: the security associations go.
    Forget,
    /// About a session: `ue` is the place of the UE's side of it.
    Leg(LegTimer),
}

/// A UE's set of four security associations. Its own ports follow from the offer, and the addresses from who it is and which P-CSCF it has
/// gone on to.
#[derive(Debug)]
pub struct UeSet {
    pub sa: Associations,
    /// The P-CSCF's protected ports.
    pub port_pc: u16,
    pub port_ps: u16,
    /// The number of the UE's offer that it was made from.
    pub offer: u8,
    /// How many P-CSCFs the UE had gone past.
    pub pcscf_turn: u8,
    /// Security-Server as it was received, for Security-Verify.
    pub server: Server,
}

// A secured UE has one: the associations 124, ports 4, 2 of where it is from, where its Security-Server is 8.
const _: () = assert!(size_of::<UeSet>() <= 140);

/// What a UE keeps of its authentication.
#[derive(Copy, Clone, Default)]
pub struct Authentication {
    pub rand: [u8; 16],
    pub autn: [u8; 16],
    pub res: [u8; 8],
    /// How often the nonce was used.
    pub nc: u32,
}

impl std::fmt::Debug for Authentication {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authentication").field("nc", &self.nc).finish_non_exhaustive()
    }
}

/// What a UE leaves undone, once.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub enum Abandons {
    /// Nothing.
    #[default]
    Nothing,
    /// It never answers its first challenge.
    Challenge,
    /// It vanishes once secured.
    Connection,
}

/// One access of a UE: most have one only. What it has only while it is about something is elsewhere, at the places that it names.
#[derive(Debug, Default)]
pub struct Ue {
    /// 44 bytes: the last challenge and its answer.
    pub authentication: Authentication,
    /// The request under way.
    pub request: Place,
    /// From when the procedure under way, and the NOTIFY that is to come, are measured.
    pub progress: Place,
    /// The security associations in force.
    pub set: Place,
    /// Those of a re-authentication that is under way, or of the connection before this one, whose last NOTIFY may come again.
    pub other_set: Place,
    /// The subscription to the registration state.
    pub watch: Place,
    /// The newest of the user's sides of sessions, on the user's first access: each names the next.
    pub legs: Place,
    /// What the last 200 said ([`remote::Remote`]).
    pub remote: Handle,
    /// 16 bytes.
    pub lifetime: Lifetime,
    /// Until when it takes it that its P-CSCF, or the home network behind it, does not know the extension.
    pub legacy_until: Moment,
    /// When the profile has the user end the connection, if it does.
    pub release_at: Moment,
    pub cseq: u32,
    pub notify_cseq: u32,
    /// CSeq of the last REGISTER over the connection.
    pub register_cseq: u32,
    /// Counts requests and the operator's calls, so that the timers of past ones fire in vain.
    pub request_number: u32,
    /// Counts set-ups, which are in Call-ID and tag.
    pub attempt: u32,
    /// The identities as last notified, as a hash.
    pub identities: u32,
    /// Counts the calls that the user begins over its connections, on its first access.
    pub calls: u32,
    /// Which procedures are due, by their numbers; and [`network::URGENT`].
    pub due: u32,
    /// Counts the offers of SPIs.
    pub offer: u8,
    /// The procedure under way.
    pub procedure: Option<Procedure>,
    pub stage: Stage,
    pub basis: Basis,
    pub abandons: Abandons,
    /// Set-ups in a row whose NOTIFY did not come.
    pub tries: u8,
    /// Refusals of the agreement on security in this set-up.
    pub agreements: u8,
    /// How many P-CSCFs it has gone past.
    pub pcscf_turn: u8,
    /// Consecutive challenges that could not be answered (TS 24.229 clause 5.1.1.5.3).
    pub bad_challenges: u8,
    /// The other set is that of a re-authentication.
    pub is_next: bool,
    /// Its default identity is registered over the connection.
    pub is_bound: bool,
    pub has_200: bool,
    pub has_notify: bool,
    /// The refresh under way was challenged.
    pub was_challenged: bool,
    /// Its user does over it what is due.
    pub is_current: bool,
    /// Nothing passes it, to or from the UE.
    pub is_lost: bool,
    /// Its user is about to leave, and takes no more calls.
    pub is_leaving: bool,
    /// The user has the identity that the operator adds and removes.
    pub has_extra: bool,
    /// The user is to have it, or not, by the operator's last call.
    pub wants_extra: bool,
    /// The procedure under way is on top of those of the profile.
    pub is_extra: bool,
    /// The operator is to end the connection for good.
    pub to_reject: bool,
    /// It had a secure connection at some time.
    pub was_secured: bool,
    /// It stays secured and has nothing more to do.
    pub rests: bool,
}

const _: () = assert!(1_u32 << Procedure::COUNT <= network::URGENT, "as many as `due` has bits");

// There are a million of them in a big run: 44 of the last challenge, 24 of places, 8 where the last 200 is, 24 of times, 32 of
// counters, 20 of flags and small counters.
const _: () = assert!(size_of::<Ue>() <= 156);

/// UEs' SPIs begin here, far from where a P-CSCF begins: the four of a set must differ (TS 33.203 clause 7.2).
const SPI_FIRST: u32 = 1 << 31;

/// How many protected client ports a UE takes in turn.
pub const CLIENT_PORTS: usize = 4;

/// The protected client port of an offer.
fn client_port(ports_uc: &[u16; CLIENT_PORTS], offer: u8) -> u16 {
    // The first offer is number 1.
    ports_uc[(usize::from(offer) + CLIENT_PORTS - 1) % CLIENT_PORTS]
}

impl Ue {
    /// SPIs and ports of an offer: new SPIs and another client port each time, the same server port (TS 33.203 clause 7.4). Each
    /// UE has an address of its own, so the SPIs need only differ within the UE; they differ between UEs as well, for the sake
    /// of whoever reads a capture.
    pub fn client_side(&self, ue: u32, ports_uc: &[u16; CLIENT_PORTS], port_us: u16) -> ClientSide {
        let first = SPI_FIRST + (ue % (1 << 24)) * 128 + u32::from(self.offer % 64) * 2;
        let port_uc = client_port(ports_uc, self.offer);
        ClientSide { spi_uc: first, spi_us: first + 1, port_uc, port_us }
    }

    /// Whether nothing is under way.
    pub fn is_free(&self) -> bool {
        self.stage == Stage::Secured && self.procedure.is_none() && self.request.is_none()
    }
}

#[cfg(test)]
mod open_tests;
#[cfg(test)]
mod tests;
