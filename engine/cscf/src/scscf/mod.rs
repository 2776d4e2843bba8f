//! The S-CSCF (TS 24.229 clause 5.4): authenticates the user, and is the notifier of the `security` event package, by which it
//! tells UE and P-CSCF how long the secure connection lives and which identities may use it.
//!
//! A SUBSCRIBE without a To tag is challenged with a vector from the HSS; its answer makes a `Subscription`. In-dialog ones
//! refresh or end it. Each change goes to the UE and to its P-CSCF, which has a subscription of its own, as a NOTIFY.

mod audit;
mod binding;
mod challenge;
mod connectivity;
mod dialog;
mod flow;
pub mod gruu;
mod modified;
mod next_flow;
mod notify;
mod open_registration;
mod operate;
mod put_off;
mod refresh;
mod reg_event;
mod registrar;
mod registration;
mod replaces;
mod security_event;
mod session;
mod show;
mod simultaneous;
mod standalone;
mod subscription;
mod targets;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

use imstorm_base::hash::HashSeed;
use imstorm_base::index::Index;
use imstorm_base::slab::{Key, KeyTable, Slab};
use imstorm_base::strings::Strings;
use imstorm_base::time::seconds;
use imstorm_sip::header::HeaderName;
use imstorm_sip::transaction::Timings;
use imstorm_sip::{Message, Method, Room, Writer, response};

pub use audit::{SessionState, SubscriptionState};
/// The most flows that a user can be allowed: an identity has no more bindings.
pub const FLOWS_MAX: usize = registrar::BINDINGS_PER_IDENTITY_MAX;
pub use simultaneous::Simultaneous;

use crate::access::Authentication;
use crate::event::{Alarm, Context};
use crate::hss::{Directory, Hss, UserId};
use crate::mw::MwError;
use crate::proxy;
use crate::via::OurVia;
use binding::Binding;
use gruu::GruuCipher;
use modified::ModifiedImpi;
use next_flow::Attempt;
use notify::Notification;
pub(crate) use notify::Subject;
use reg_event::RegSubscription;
use session::{Fork, Session};
pub use subscription::Reason;
pub(crate) use subscription::Whose;
use subscription::{Challenge, Registration, Subscription, TokenSecret};

/// How long a challenge may stay unanswered: request-await-auth (TS 24.229 clause 7.8).
const AWAIT_AUTH_NS: u64 = seconds(4 * 60);

/// What may come inside a session.
const SESSION_METHODS: [Method; 7] = [
    Method::Invite,
    Method::Bye,
    Method::Prack,
    Method::Update,
    Method::Options,
    Method::Info,
    Method::Message,
];
/// What an S-CSCF takes.
const ALLOWED: &str =
    "INVITE, ACK, CANCEL, BYE, PRACK, UPDATE, OPTIONS, INFO, SUBSCRIBE, REGISTER, MESSAGE";

/// Sessions that there is room for.
const SESSIONS_PER_USER: usize = 2;
/// The option tags that a request may require. The first one only where it is configured.
const OPTIONS: [&str; 8] =
    ["secevt", "sec-agree", "path", "replaces", "100rel", "timer", "gruu", "outbound"];

/// Strings of one user's subscription as they are packed: the UE's dialog and its P-CSCF's, and a binding.
const STRINGS_BYTES_PER_USER: usize = 256;

/// An S-CSCF's settings.
#[derive(Clone, Debug)]
pub struct ScscfConfig {
    /// Its address on Mw, a different one on each shard.
    pub mw: SocketAddr,
    /// The home network's entry point, for requests to its users; without one they can't be reached.
    pub icscf: Option<SocketAddr>,
    /// This shard's number: temporary GRUUs lead to it.
    pub shard: u32,
    /// A 200 to the security SUBSCRIBE has Service-Route beside Contact.
    pub service_route_header: bool,
    /// Each 200 to the security SUBSCRIBE gives the connection a new token.
    pub renew_token: bool,
    /// It is a notifier of the `security` event package at first; else it is the S-CSCF of a home network of today.
    pub security_event: bool,
    /// What a registration does to the earlier ones of its user.
    pub simultaneous: Simultaneous,
    /// How many modified private identities a user may have in use at most; 0: there are none.
    pub modified_impis_max: usize,
    /// How many flows a user may have at most.
    pub flows_max: usize,
    /// A connection that has no binding for so many seconds is ended; 0: it needs none.
    pub binding_required_after_s: u32,
    /// How it makes sure of who registers.
    pub authentication: Authentication,
    /// The authentication realm: the home domain.
    pub realm: String,
    /// How many subscriptions it holds at most; also how many challenges.
    pub subscriptions_max: usize,
    /// Bytes for the strings of dialogs.
    pub strings_bytes: usize,
    /// The longest lifetime that is granted, in seconds.
    pub expires_max_s: u32,
    /// The shortest lifetime that may be asked for, in seconds.
    pub expires_min_s: u32,
    /// Timers towards the core (RFC 3261 table 4).
    pub core: Timings,
    /// Timers at the UE, behind the P-CSCF: how long the answer to a NOTIFY may take.
    pub ue_leg: Timings,
    /// Seeds the tables' hashes. Secret: whoever knows it can make keys collide.
    pub seed: u64,
    /// Makes this start's branches its own. Everybody sees it.
    pub boot: u64,
}

/// A timer of the S-CSCF.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum ScscfAlarm {
    /// A challenge's time is over.
    Challenge(Key),
    /// A subscription's lifetime may be over, or its time to make a binding or to be watched by its P-CSCF.
    Subscription(Key),
    /// Timer E of a NOTIFY.
    TimerE(Key),
    /// Timer F of a NOTIFY.
    TimerF(Key),
    /// Time to tell a subscriber again.
    TellAgain(Subject),
    /// A subscription that ends has had its time.
    Release(Key),
    /// A binding's lifetime may be over.
    Binding(Key),
    /// The lifetime of a subscription to a registration may be over.
    Reg(Key),
    /// Nothing may have been heard of a session for too long.
    Session(Key),
    /// A request that may go by several flows has had its time.
    Attempt(Key),
}

/// What is held at this moment.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct ScscfTables {
    /// Subscriptions of UEs.
    pub subscriptions: usize,
    /// Bindings of public identities.
    pub bindings: usize,
    /// Subscriptions to registrations.
    pub reg_subscriptions: usize,
    /// Challenges that wait for their answers.
    pub challenges: usize,
    /// Sessions, each once for each of its parties that is served here.
    pub sessions: usize,
    /// Requests of its own that are under way: NOTIFYs, and what ends sessions.
    pub notifications: usize,
    /// Bytes of strings.
    pub strings_bytes: usize,
    /// Bytes that all of these take, with their strings.
    pub bytes: usize,
}

/// An S-CSCF on one shard.
#[derive(Debug)]
pub struct Scscf {
    config: ScscfConfig,
    via: OurVia,
    /// Where a NOTIFY's body is written before its length is known.
    body: Box<[u8]>,
    hash: HashSeed,
    /// For what everybody sees: it tells nothing of the tables' hashes.
    visible: HashSeed,
    directory: Arc<Directory>,
    challenges: Slab<Challenge>,
    subscriptions: Slab<Subscription>,
    /// Of those subscriptions that rest on one.
    registrations: Slab<Registration>,
    notifications: Slab<Notification>,
    bindings: Slab<Binding>,
    /// Bindings that were ever made or refreshed: their order.
    bindings_made: u64,
    /// Bindings, by the hash of their identity.
    by_aor: Index,
    reg_subscriptions: Slab<RegSubscription>,
    /// Subscriptions to registrations, by the hash of their identity.
    by_watched: Index,
    sessions: Slab<Session>,
    /// Sessions, by the names of the request that made the UE's leg.
    by_call: Index,
    forks: Slab<Fork>,
    attempts: Slab<Attempt>,
    /// Those of standalone requests, by what names these.
    by_attempt: Index,
    gruus: GruuCipher,
    strings: Strings,
    /// Challenges, by what names their request.
    by_challenge: Index,
    /// Subscriptions, by the same of the request that made them.
    by_request: Index,
    /// By user: its newest subscription.
    by_user: KeyTable,
    modified: Slab<ModifiedImpi>,
    /// By user: its modified private identities; nothing where there are none.
    modified_of: Vec<Option<Key>>,
    /// Identities of the users for whom the HSS has pushed other ones than it has in its directory, as packed lists.
    pushed: HashMap<UserId, Box<[u8]>>,
}

impl Scscf {
    /// An S-CSCF with empty tables. `gruu_key` is secret: whoever knows it can tell whose a temporary GRUU is.
    #[must_use]
    pub fn new(config: ScscfConfig, directory: Arc<Directory>, gruu_key: [u8; 16]) -> Self {
        let capacity = config.subscriptions_max;
        let users = usize::try_from(directory.len()).unwrap_or(usize::MAX);
        Self {
            via: OurVia::new(config.mw),
            body: vec![0; notify::BODY_BYTES_MAX].into_boxed_slice(),
            hash: HashSeed::new(config.seed),
            visible: HashSeed::new(config.boot),
            directory,
            // As many again, for the re-authentication of live connections: first requests can't take that room.
            challenges: Slab::with_capacity(2 * capacity),
            subscriptions: Slab::with_capacity(capacity),
            registrations: Slab::with_capacity(capacity),
            notifications: Slab::with_capacity(2 * capacity),
            bindings: Slab::with_capacity(2 * capacity),
            bindings_made: 0,
            by_aor: Index::with_capacity(2 * capacity),
            reg_subscriptions: Slab::with_capacity(capacity),
            by_watched: Index::with_capacity(capacity),
            sessions: Slab::with_capacity(SESSIONS_PER_USER * capacity),
            // Twice: a leg that is to replace another is found as well.
            by_call: Index::with_capacity(2 * SESSIONS_PER_USER * capacity),
            forks: Slab::with_capacity(capacity),
            attempts: Slab::with_capacity(capacity),
            by_attempt: Index::with_capacity(capacity),
            gruus: GruuCipher::new(gruu_key),
            strings: Strings::with_capacity(config.strings_bytes),
            by_challenge: Index::with_capacity(2 * capacity),
            by_request: Index::with_capacity(capacity),
            by_user: KeyTable::new(users),
            // Each is in use by a challenge or a connection, or by the request that has just come.
            modified: Slab::with_capacity(match config.modified_impis_max {
                0 => 0,
                _ => 3 * capacity + 1,
            }),
            modified_of: match config.modified_impis_max {
                0 => Vec::new(),
                _ => vec![None; users],
            },
            pushed: HashMap::new(),
            config,
        }
    }

    /// Its settings.
    #[must_use]
    pub fn config(&self) -> &ScscfConfig {
        &self.config
    }

    /// Switches the `security` event package on or off. Off, only what would begin a connection is refused: those that are live, and set-ups
    /// that have been challenged, go on and end as ever.
    pub fn switch_security_event(&mut self, is_on: bool) {
        self.config.security_event = is_on && !self.is_open();
    }

    /// What it holds.
    #[must_use]
    pub fn tables(&self) -> ScscfTables {
        ScscfTables {
            subscriptions: self.subscriptions.len(),
            bindings: self.bindings.len(),
            reg_subscriptions: self.reg_subscriptions.len(),
            challenges: self.challenges.len(),
            sessions: self.sessions.len(),
            notifications: self.notifications.len(),
            strings_bytes: self.strings.used_bytes(),
            bytes: self.subscriptions.len() * size_of::<Subscription>()
                + self.registrations.len() * size_of::<Registration>()
                + self.bindings.len() * size_of::<Binding>()
                + self.reg_subscriptions.len() * size_of::<RegSubscription>()
                + self.challenges.len() * size_of::<Challenge>()
                + self.sessions.len() * size_of::<Session>()
                + self.forks.len() * size_of::<Fork>()
                + self.attempts.len() * size_of::<Attempt>()
                + self.modified.len() * size_of::<ModifiedImpi>()
                + self.notifications.len() * size_of::<Notification>()
                + self.strings.used_bytes(),
        }
    }

    /// Bytes that its tables take when they are full.
    #[must_use]
    pub fn reserved_bytes(&self) -> usize {
        self.challenges.reserved_bytes()
            + self.subscriptions.reserved_bytes()
            + self.registrations.reserved_bytes()
            + self.notifications.reserved_bytes()
            + self.bindings.reserved_bytes()
            + self.by_aor.reserved_bytes()
            + self.reg_subscriptions.reserved_bytes()
            + self.by_watched.reserved_bytes()
            + self.sessions.reserved_bytes()
            + self.by_call.reserved_bytes()
            + self.forks.reserved_bytes()
            + self.attempts.reserved_bytes()
            + self.by_attempt.reserved_bytes()
            + self.strings.capacity_bytes()
            + self.by_challenge.reserved_bytes()
            + self.by_request.reserved_bytes()
            + self.by_user.reserved_bytes()
            + self.modified.reserved_bytes()
            + size_of_val(self.modified_of.as_slice())
    }

    /// Claims the memory for so many users' subscriptions now. Only before the first one.
    pub fn prefill(&mut self, users: usize) {
        self.subscriptions.prefill(users);
        self.challenges.prefill(users / 8);
        self.notifications.prefill(users / 8);
        if self.is_open() {
            // Each connection is a registration there, and has bindings from its start.
            self.registrations.prefill(users);
            self.bindings.prefill(users);
            self.reg_subscriptions.prefill(users);
            self.by_aor.prefill(users);
            self.by_watched.prefill(users);
        }
        self.by_challenge.prefill(users / 8);
        self.by_request.prefill(users);
        self.strings.prefill(users * STRINGS_BYTES_PER_USER);
    }

    /// A message on Mw.
    pub fn mw(
        &mut self,
        ctx: &mut Context<'_>,
        hss: &mut Hss,
        from: SocketAddr,
        message: &Message<'_>,
    ) {
        ctx.counters.messages_in += 1;
        if !message.is_request() {
            return self.response(ctx, from, message);
        }
        if message.method() == Method::Ack {
            return self.ack(ctx, from, message);
        }
        if let Err(error) = ctx.mw.check(from, message) {
            ctx.counters.bad_request += 1;
            return self.refuse(ctx, from, message, error.status, |_| ());
        }
        // What a session's or a standalone request requires is for its parties.
        let is_for_us = matches!(message.method(), Method::Subscribe | Method::Register);
        let knows = self.config.security_event
            || (!self.is_open() && self.has_begun(ctx.now, hss, message));
        let known = &OPTIONS[usize::from(!knows)..];
        let unknown = proxy::unknown_option(message, HeaderName::Require, known);
        if let Some(option) = unknown.filter(|_| is_for_us) {
            ctx.counters.bad_extension += 1;
            return self.refuse(ctx, from, message, 420, |out| {
                out.header(HeaderName::Unsupported).put(option).end();
            });
        }
        match message.method() {
            Method::Subscribe => self.subscribe(ctx, hss, from, message, knows),
            Method::Register => self.register(ctx, hss, from, message),
            Method::Cancel => self.cancel(ctx, from, message),
            Method::Message | Method::Options if !is_in_dialog(message) => {
                self.standalone(ctx, hss, from, message);
            }
            Method::Invite if !is_in_dialog(message) => self.call(ctx, hss, from, message),
            method if SESSION_METHODS.contains(&method) => {
                self.dialog_request(ctx, from, message);
            }
            _ => self.refuse(ctx, from, message, 405, |out| {
                out.header(HeaderName::Allow).text(ALLOWED).end();
            }),
        }
    }

    /// A request inside a dialog, which must be a session's.
    fn dialog_request(&mut self, ctx: &mut Context<'_>, from: SocketAddr, message: &Message<'_>) {
        match self.session_at(message.request_uri()) {
            Some(key) => self.in_session(ctx, from, message, key),
            None => {
                ctx.counters.dialog_unknown += 1;
                self.refuse(ctx, from, message, 481, |_| ());
            }
        }
    }

    fn ack(&mut self, ctx: &mut Context<'_>, from: SocketAddr, message: &Message<'_>) {
        match self.session_at(message.request_uri()) {
            Some(key) => self.in_session(ctx, from, message, key),
            None => self.ack_outside(ctx, from, message),
        }
    }

    /// One of its timers fired.
    pub fn alarm(&mut self, ctx: &mut Context<'_>, alarm: ScscfAlarm) {
        match alarm {
            ScscfAlarm::Challenge(key) => self.challenge_is_due(ctx, key),
            ScscfAlarm::Subscription(key) => self.subscription_is_due(ctx, key),
            ScscfAlarm::TimerE(key) => self.timer_e(ctx, key),
            ScscfAlarm::TimerF(key) => self.timer_f(ctx, key),
            ScscfAlarm::TellAgain(subject) => self.tell_again(ctx, subject),
            ScscfAlarm::Release(key) => self.release_is_due(ctx, key),
            ScscfAlarm::Binding(key) => self.binding_is_due(ctx, key),
            ScscfAlarm::Reg(key) => self.reg_is_due(ctx, key),
            ScscfAlarm::Session(key) => self.session_is_due(ctx, key),
            ScscfAlarm::Attempt(key) => self.drop_attempt(key),
        }
    }

    fn arm(&self, ctx: &mut Context<'_>, after_ns: u64, alarm: ScscfAlarm) {
        ctx.timers.arm(ctx.now, after_ns, Alarm::Scscf(alarm).into());
    }

    /// Answers a request without a dialog.
    fn refuse(
        &self,
        ctx: &mut Context<'_>,
        to: SocketAddr,
        message: &Message<'_>,
        status: u16,
        more: impl FnOnce(&mut Writer<'_>),
    ) {
        let tag = self.visible.hash(message.header(HeaderName::CallId).unwrap_or_default());
        self.respond(ctx, to, message, status, tag, more);
    }

    fn respond(
        &self,
        ctx: &mut Context<'_>,
        to: SocketAddr,
        message: &Message<'_>,
        status: u16,
        tag: u64,
        more: impl FnOnce(&mut Writer<'_>),
    ) {
        let mut text = [0; 16];
        let mut writer = Writer::new(&mut text);
        writer.hex_u64(tag);
        let tag = writer.as_written();
        self.send(ctx, to, |out| {
            let mut writer = response(message, status, Some(tag), out);
            more(&mut writer);
            writer.finish().ok()
        });
    }

    fn send(
        &self,
        ctx: &mut Context<'_>,
        to: SocketAddr,
        write: impl FnOnce(Room<'_>) -> Option<usize>,
    ) {
        let sent = ctx.mw.send(self.config.mw, to, write);
        ctx.counters.messages_out += u64::from(sent.is_ok());
        ctx.counters.queue_full += u64::from(sent == Err(MwError::Full));
    }
}

fn is_in_dialog(message: &Message<'_>) -> bool {
    matches!(message.tag(HeaderName::To), Ok(Some(_)))
}

/// The connection's service route: `<sip:S-CSCF;sess=TOKEN;lr>`. Without `lr` it would be a strict route.
fn write_contact(mw: SocketAddr, key: Key, secret: TokenSecret, out: &mut Writer<'_>) {
    out.put(b"<sip:").socket(mw).put(b";sess=").hex_u64(key.to_u64());
    out.hex_u64(secret.0).put(b";lr>");
}
