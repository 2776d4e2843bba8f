//! One UE: a small record that lives through set-up, refreshes and release, and answers what comes to it at any moment.
//!
//! ```text
//!            start                401                 200 and NOTIFY            timer
//!  Idle ───────────▶ Challenging ─────▶ Answering ───────────────────▶ Secured ───────▶ Refreshing
//!                        │                  │                          ▲   │  200            │
//!                        │ failure          │ failure                  └───┼─────────────────┘
//!                        ▼                  ▼                              │ timer
//!                      Gone ◀───────────── Gone ◀─── terminated ─── Releasing
//! ```

pub mod agreement;
pub(crate) mod procedures;
mod receive;
mod security;
pub(crate) mod write;

use imstorm_aka::Freshness;
use imstorm_base::slab::Key;
use imstorm_base::strings::Handle;
use imstorm_base::time::Time;
use imstorm_esp::SaSet;
use imstorm_sip::transaction::NonInviteClient;

use crate::measure::Procedure;
use agreement::ClientSide;

/// How far a UE is.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub enum Stage {
    /// It has not begun.
    #[default]
    Idle,
    /// Its first SUBSCRIBE is under way.
    Challenging,
    /// Its answer to the challenge is under way, on the new security associations.
    Answering,
    /// It has a secure connection.
    Secured,
    /// A refresh is under way.
    Refreshing,
    /// Its SUBSCRIBE with Expires 0 is under way.
    Releasing,
    /// It is through: released or failed. It still answers what comes again.
    Gone,
}

/// Which SUBSCRIBE a UE has under way.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Asking {
    /// The first one, or one that says that a challenge can't be answered.
    First,
    /// The answer to a challenge.
    Answer,
    /// A refresh.
    Refresh,
    /// The end.
    Release,
}

/// A client transaction of a UE.
#[derive(Debug)]
pub struct Request {
    pub asking: Asking,
    pub client: NonInviteClient,
    /// The SIP message, to be sent again.
    pub kept: Handle,
    pub sent_at: Time,
}

/// A timer of a UE. One whose number is not the present one fires in vain.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct UeTimer {
    pub ue: u32,
    pub kind: UeTimerKind,
    /// Of the request for E, F and N, of the set-up for the others.
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
    /// Time for a refresh.
    Refresh,
    /// Time to leave.
    Release,
    /// Nothing can come any more: the security associations go.
    Forget,
}

/// A UE's set of four security associations.
#[derive(Debug)]
pub struct UeSet {
    pub sa: SaSet,
}

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

/// One UE.
#[derive(Debug, Default)]
pub struct Ue {
    pub freshness: Freshness,
    pub authentication: Authentication,
    /// The request under way.
    pub request: Option<Request>,
    /// The procedure under way, and its intended start.
    pub procedure: Option<(Procedure, Time)>,
    /// When the last SUBSCRIBE was first sent.
    pub subscribed_at: Time,
    pub set: Option<Key>,
    /// The dialog's strings, from the 200.
    pub dialog: Handle,
    /// Security-Server as it was received, for Security-Verify.
    pub security_server: Handle,
    pub cseq: u32,
    pub notify_cseq: u32,
    /// Counts requests, so that the timers of past ones fire in vain.
    pub request_number: u32,
    /// Counts set-ups, which are in Call-ID and tag.
    pub attempt: u32,
    /// Counts the offers of SPIs.
    pub offer: u32,
    pub refreshes_left: u32,
    pub stage: Stage,
    /// Consecutive challenges that could not be answered (TS 24.229 clause 5.1.1.5.3).
    pub bad_challenges: u8,
    pub has_200: bool,
    pub has_notify: bool,
    /// It stays secured and has nothing more to do.
    pub rests: bool,
    /// Release as soon as the refresh under way is done.
    pub release_is_due: bool,
}

/// UEs' SPIs begin here, far from where a P-CSCF begins: the four of a set must differ (TS 33.203 clause 7.2).
const SPI_FIRST: u32 = 1 << 31;

impl Ue {
    /// The SPIs of an offer. Each UE has an address of its own, so they need only differ within the UE; they differ between UEs
    /// as well, for the sake of whoever reads a capture.
    pub fn client_side(&self, ue: u32, port_uc: u16, port_us: u16) -> ClientSide {
        let first = SPI_FIRST + (ue % (1 << 24)) * 128 + (self.offer % 64) * 2;
        ClientSide { spi_uc: first, spi_us: first + 1, port_uc, port_us }
    }
}
