//! What the S-CSCF keeps: a challenge until it is answered, and a subscription for each secure connection.

use imstorm_aka::AuthenticationVector;
use imstorm_base::PackedAddress;
use imstorm_base::slab::{Key, Slab};
use imstorm_base::strings::{Handle, Strings};
use imstorm_base::time::Time;

use super::connectivity::Check;
use super::flow::Flow;
use crate::hss::UserId;
use crate::look::Look;
use zeroize::Zeroize;

/// A challenge that waits for its answer.
#[derive(Debug)]
pub struct Challenge {
    pub user: UserId,
    /// The modified private identity that it is for, a use of it.
    pub modified: Option<Key>,
    /// Of (private identity, Call-ID, From tag).
    pub key: u64,
    pub vector: AuthenticationVector,
    /// CSeq of the request that was challenged: the same one again gets the same challenge.
    pub cseq: u32,
    pub expires_at: Time,
}

/// What authenticated a connection: a refresh shows that it still knows the key (RFC 2617 clause 3.2.2).
pub struct Authenticated {
    pub rand: [u8; 16],
    pub autn: [u8; 16],
    pub xres: [u8; 8],
    /// The highest nonce count that was used.
    pub nc: u32,
}

impl std::fmt::Debug for Authenticated {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authenticated").field("nc", &self.nc).finish_non_exhaustive()
    }
}

impl Drop for Authenticated {
    fn drop(&mut self) {
        self.xres.zeroize();
    }
}

/// The unpredictable half of a connection's token. Not shown in debug output.
#[derive(Copy, Clone, PartialEq, Eq)]
pub struct TokenSecret(pub u64);

impl std::fmt::Debug for TokenSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TokenSecret")
    }
}

/// One subscriber's side of a subscription: the UE's, or its P-CSCF's.
#[derive(Debug, Default)]
pub struct Watcher {
    /// The dialog's strings. Empty: there is no such subscriber.
    pub dialog: Handle,
    /// CSeq of the last SUBSCRIBE.
    pub remote_cseq: u32,
    /// CSeq of the last NOTIFY.
    pub local_cseq: u32,
    /// The version of the next body.
    pub version: u32,
    /// When the subscription ends if it is not refreshed.
    pub expires_at: Time,
    /// The last 2xx's Expires, for a SUBSCRIBE that comes again.
    pub granted_s: u32,
    /// A NOTIFY is under way; another one has to wait.
    pub notifying: bool,
    /// The last NOTIFY's transaction, which may be over.
    pub notification: Option<Key>,
    /// Something changed meanwhile: notify again.
    pub notify_again: bool,
    /// The last NOTIFY has been sent.
    pub over: bool,
    /// How often the NOTIFY of the state as it is was put off.
    pub put_off: u8,
    /// It is to be told again when the alarm for that comes.
    pub must_tell: bool,
    /// The alarm to tell it again is armed.
    pub tell_armed: bool,
}

impl Watcher {
    /// Whether there is such a subscriber.
    pub fn exists(&self) -> bool {
        !self.dialog.is_empty()
    }

    /// Whether it has not been told of the state as it is.
    pub fn is_behind(&self) -> bool {
        self.notifying || self.must_tell
    }

    /// Whether nothing more is to come from this one.
    pub fn is_done(&self) -> bool {
        !self.exists() || (self.over && !self.notifying)
    }
}

/// Why a subscription ends (RFC 6665 clause 4.2.2).
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// It was not refreshed, or its subscriber ended it.
    Timeout,
    /// What it was about is gone.
    NoResource,
    /// The network ended it; the subscriber may come back at once.
    Deactivated,
    /// The network ended it; the subscriber may not come back.
    Rejected,
}

impl Reason {
    /// The value of `reason`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::NoResource => "noresource",
            Self::Deactivated => "deactivated",
            Self::Rejected => "rejected",
        }
    }
}

/// What is kept where a connection rests on a registration with AKA, and not on a subscription of the UE.
#[derive(Debug)]
pub struct Registration {
    /// Path of the REGISTER that made it: the route to the UE (RFC 3327 clause 5.3).
    pub path: Handle,
    /// Of the Call-ID of the last REGISTER.
    pub call: u64,
    /// The flow that it is.
    pub flow: Option<Flow>,
    /// Whether its UE is being asked for.
    pub check: Check,
    /// The identity whose registration the P-CSCF watches, empty until it does.
    pub watched: Handle,
}

impl Registration {
    /// Gives the strings back.
    pub fn release(self, strings: &mut Strings) {
        strings.release(self.path);
        strings.release(self.watched);
    }
}

// One for each UE: 96 of the two subscribers, 48 of what authenticated it, 48 of links, 40 of addresses, 32 of what it is found by.
const _: () = assert!(Slab::<Subscription>::PLACE_BYTES <= 296);

/// A secure connection of a user, as its notifier sees it.
#[derive(Debug)]
pub struct Subscription {
    pub user: UserId,
    /// The modified private identity that made it, a use of it; `None` where it was the user's own.
    pub modified: Option<Key>,
    /// A [`Registration`], where it was made by one. Its `ue` is then nobody who is told anything: it has the lifetime, and the last CSeq.
    pub registration: Option<Key>,
    /// Of (private identity, Call-ID, From tag, P-CSCF's Record-Route), or of (private identity, P-CSCF's Path): finds it when the request that
    /// made it comes again.
    pub key: u64,
    /// The unpredictable half of the connection's token; the other half is its place.
    pub secret: TokenSecret,
    /// The half before, and how long it is still taken, where each 200 renews it.
    pub earlier_secret: (TokenSecret, Time),
    /// The UE's address: a new connection from it replaces this one.
    pub contact: PackedAddress,
    /// The P-CSCF, by the topmost Record-Route of the UE's dialog, or the first Path.
    pub pcscf: PackedAddress,
    /// Nothing where it was made without authentication.
    pub authenticated: Option<Authenticated>,
    pub ue: Watcher,
    pub watching_pcscf: Watcher,
    /// The next refresh is challenged whatever it shows: the network has lowered the lifetime for it.
    pub must_challenge: bool,
    /// The first of the bindings that run over it.
    pub bindings: Option<Key>,
    /// The first of the subscriptions to registrations that run over it.
    pub watching: Option<Key>,
    /// The first of the sessions that run over it.
    pub sessions: Option<Key>,
    /// When it ends unless it makes a binding, where it has none and needs one; else never.
    pub unbound_until: Time,
    /// When it is looked after next.
    pub look: Look,
    /// Set once it ends.
    pub ending: Option<Reason>,
    /// The next connection of the same user.
    pub next_of_user: Option<Key>,
}

impl Subscription {
    pub fn watcher(&mut self, whose: Whose) -> &mut Watcher {
        match whose {
            Whose::Ue => &mut self.ue,
            Whose::Pcscf => &mut self.watching_pcscf,
        }
    }

    /// When it ends, as it is now.
    pub fn due_at(&self) -> Time {
        self.ue.expires_at.min(self.unbound_until).min(self.watched_until())
    }

    /// How long its P-CSCF is told what becomes of it, or may be without being told: before it makes a subscription of its own, this is
    /// that one's lifetime.
    pub fn watched_until(&self) -> Time {
        self.watching_pcscf.expires_at
    }

    /// Gives the strings back.
    pub fn release(self, strings: &mut Strings) {
        strings.release(self.ue.dialog);
        strings.release(self.watching_pcscf.dialog);
    }
}

/// Which of a connection's two subscribers.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Whose {
    /// The UE.
    Ue,
    /// Its P-CSCF.
    Pcscf,
}
