//! The P-CSCF (TS 24.229 clause 5.2): where the UE's security ends.
//!
//! A datagram on the unprotected port may only begin a set-up (`security.rs`). One on the ESP port is opened with the security
//! association that its SPI names; from there on *that* says who the UE is, not a header. Requests of the UE go on to the core
//! without the headers of the security agreement, with the P-CSCF's own word on how they came; what the core sends for a UE
//! goes to it through its live set. Each UE's connection is one `Connection`, each run of AKA one `SecuritySet`.

mod agreement;
mod answers;
mod audit;
mod cancel;
mod connection;
mod from_ue;
mod held;
mod in_session;
mod invite;
mod invite_timer;
mod lifecycle;
mod open_access;
mod own_subscription;
mod registration;
mod relay;
mod sa_policy;
mod security;
mod send;
mod service_route;
mod sets;
mod show;
mod to_ue;
mod transaction;

use std::net::SocketAddr;

use imstorm_base::hash::HashSeed;
use imstorm_base::index::Index;
use imstorm_base::io::SocketId;
use imstorm_base::slab::{Key, Slab};
use imstorm_base::strings::Strings;
use imstorm_base::time::seconds;
use imstorm_esp::{Datagram, Mode, OpenBatch, OpenError, classify};
use imstorm_sip::Message;
use imstorm_sip::parse::parse;
use imstorm_sip::transaction::Timings;

pub use audit::ConnectionState;

use crate::access::AccessSecurity;
use crate::event::Context;
use crate::tombstones::Tombstones;
use crate::via::OurVia;
use connection::{Agreeing, Connection, OpenAccess, SecuritySet};
use held::{HELD_MAX, Held};
pub use open_access::named_identity;
pub use sa_policy::SaPolicy;
pub use sets::Opening;
pub use transaction::InviteTimer;
use transaction::Transaction;

/// Sets of security associations for one private identity at one address (TS 33.203 clause 7.4 allows six SAs a direction).
pub const SETS_MAX: usize = 6;
/// How long a challenge may stay unanswered: reg-await-auth (TS 24.229 clause 7.8).
pub const AWAIT_AUTH_NS: u64 = seconds(4 * 60);
/// The longest that a timer waits for the end of a lifetime before it looks again: a lifetime may have been shortened, and the
/// timer of a connection that is gone must not stay for a week. Nor that of a challenge for minutes, most of which are answered at once.
pub const LOOK_AGAIN_NS: u64 = seconds(60);
/// Requests of one connection that may be under way at the same time.
pub const PENDING_MAX: u16 = 16;
/// INVITEs for one UE that may be under way at the same time.
pub const CALLS_MAX: u16 = 4;
/// Requests for one UE, those inside dialogs included.
pub const TOLD_MAX: u16 = 64;
/// How much longer than the subscription its security associations live (TS 24.229 clause 5.1.1.5.1).
pub const GRACE_S: u64 = 30;
/// How much longer than the UE's the P-CSCF's own subscription is asked for.
const OWN_MARGIN_S: u32 = 600;
/// Strings of one user's connection as they are packed: the private identity, the identities, the service route, and the P-CSCF's own dialog.
const STRINGS_BYTES_PER_USER: usize = 160;
/// Tombstones of a user's set-up: two requests of the UE and a NOTIFY to it.
const TOMBSTONES_PER_USER: usize = 3;
/// Room for transactions where there are fewer connections: those of an INVITE linger for 64 T1 of the UE leg, at both ends of a call and
/// of each re-INVITE. This is 4,000 INVITEs a second; what is not used is never touched.
const TRANSACTIONS_MIN: usize = 1 << 20;
/// SPIs below are reserved (RFC 4303 clause 2.1).
const SPI_MIN: u32 = 256;
/// How many generations of a set's place an SPI tells apart: a late packet of a set that is gone meets an unknown SPI, not
/// its successor's.
const SPI_GENERATIONS: u32 = 16;

/// A P-CSCF's settings.
#[derive(Clone, Debug)]
pub struct PcscfConfig {
    /// Its number on the shard, for its alarms.
    pub number: u8,
    /// Where UEs send what is not protected.
    pub unprotected: SocketAddr,
    /// The socket bound there.
    pub unprotected_socket: SocketId,
    /// The socket for ESP in UDP (TS 33.203 annex M).
    pub esp_socket: SocketId,
    /// The port at which a UE takes ESP until its first packet shows another.
    pub ue_esp_port: u16,
    /// The protected server port, the same for all UEs.
    pub port_ps: u16,
    /// The first of two protected client ports, taken in turn, so that a re-authentication's sets share no selectors.
    pub port_pc: u16,
    /// Its address on Mw, a different one on each shard.
    pub mw: SocketAddr,
    /// The I-CSCF that is the home network's entry point.
    pub icscf: SocketAddr,
    /// What protects its UEs' requests.
    pub access_security: AccessSecurity,
    /// A preferred identity that is not authorised is refused (403), where it would else be replaced by the default one.
    pub strict_identities: bool,
    /// It knows the extension (`secevt`) at first; else it is the P-CSCF of a network of today.
    pub security_event: bool,
    /// What the sets of security associations belong to.
    pub sa_policy: SaPolicy,
    /// It keeps flows (RFC 5626), and says so where a UE asks for one.
    pub outbound: bool,
    /// P-Visited-Network-ID (RFC 7315 clause 4.3).
    pub visited_network: String,
    /// How many connections it holds at most, half-open ones included.
    pub connections_max: usize,
    /// How many completed transactions are remembered at most.
    pub tombstones_max: usize,
    /// Bytes for the strings of connections, and for requests that may have to be sent again.
    pub strings_bytes: usize,
    /// This shard's number, and how many there are: SPIs lead to their shard.
    pub shard: u32,
    /// See [`PcscfConfig::shard`].
    pub shards: u32,
    /// Timers towards the UE (TS 24.229 table 7.8).
    pub ue_leg: Timings,
    /// Timers towards the core (RFC 3261 table 4).
    pub core: Timings,
    /// Seeds the tables' hashes. Secret: whoever knows it can make keys collide.
    pub seed: u64,
    /// Makes this start's branches, Call-IDs and charging identifiers its own. Everybody sees it.
    pub boot: u64,
}

/// A timer of the P-CSCF.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum PcscfAlarm {
    /// Timer E of a client transaction.
    TimerE(Key),
    /// Timer F of a client transaction.
    TimerF(Key),
    /// A set-up's time is over.
    SetUp(Key),
    /// A set's lifetime may be over.
    Set(Key),
    /// A kept answer may have had its time.
    Answers,
    /// A connection that ends has had its time.
    Release(Key),
    /// A deregistration needs no answer any more.
    Deregistered(Key),
    /// Try the P-CSCF's own subscription again.
    Own(Key),
    /// A request has waited long enough for the UE's identities.
    Held(Key),
    /// The lifetime of a connection without security associations may be over.
    Connection(Key),
    /// One of an INVITE's timers.
    Invite(Key, InviteTimer),
}

/// What is held at this moment.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct PcscfTables {
    /// Connections, half-open ones included.
    pub connections: usize,
    /// Sets of four security associations.
    pub sets: usize,
    /// Transactions that are not completed, and those of INVITEs while they linger.
    pub transactions: usize,
    /// Completed transactions that are remembered.
    pub tombstones: usize,
    /// Bytes of strings.
    pub strings_bytes: usize,
    /// Bytes that connections, sets and transactions take, with their strings.
    pub bytes: usize,
}

/// A P-CSCF on one shard.
#[derive(Debug)]
pub struct Pcscf {
    config: PcscfConfig,
    /// Its Via towards the core.
    via_mw: OurVia,
    /// Its Via towards UEs.
    via_gm: OurVia,
    hash: HashSeed,
    /// For what everybody sees: it tells nothing of the tables' hashes.
    visible: HashSeed,
    connections: Slab<Connection>,
    agreeing: Slab<Agreeing>,
    open: Slab<OpenAccess>,
    sets: Slab<SecuritySet>,
    transactions: Slab<Transaction>,
    tombstones: Tombstones,
    strings: Strings,
    held: Slab<Held>,
    /// Set-ups under way, by (private identity, UE address, Call-ID).
    setups: Index,
    /// All connections, by (private identity, UE address), or by private identity as the policy has it.
    accesses: Index,
    /// Server transactions that are not completed.
    servers: Index,
}

impl Pcscf {
    /// A P-CSCF with empty tables.
    #[must_use]
    pub fn new(config: PcscfConfig) -> Self {
        let connections = config.connections_max;
        let (sets, without) = match config.access_security {
            AccessSecurity::Ipsec3gpp => (2 * connections, 0),
            AccessSecurity::None => (0, connections),
        };
        let spis = 2 * sets as u64 * u64::from(SPI_GENERATIONS) * u64::from(config.shards);
        assert!(
            spis < u64::from(u32::MAX) - 2 * u64::from(SPI_MIN),
            "too many connections for SPIs"
        );
        let transactions = connections.max(TRANSACTIONS_MIN);
        Self {
            via_mw: OurVia::new(config.mw),
            via_gm: OurVia::new(address_for_ues(&config)),
            hash: HashSeed::new(config.seed),
            visible: HashSeed::new(config.boot),
            connections: Slab::with_capacity(connections),
            agreeing: Slab::with_capacity(connections - without),
            open: Slab::with_capacity(without),
            sets: Slab::with_capacity(sets),
            transactions: Slab::with_capacity(transactions),
            tombstones: Tombstones::new(config.tombstones_max, config.ue_leg.timer_j_ns(false)),
            strings: Strings::with_capacity(config.strings_bytes),
            held: Slab::with_capacity(HELD_MAX),
            setups: Index::with_capacity(connections),
            accesses: Index::with_capacity(connections),
            servers: Index::with_capacity(transactions),
            config,
        }
    }

    /// Its settings.
    #[must_use]
    pub fn config(&self) -> &PcscfConfig {
        &self.config
    }

    /// Switches the extension on or off. Off, only what would begin a connection is refused: those that are live, and set-ups that have been
    /// challenged, go on and end as ever.
    pub fn switch_security_event(&mut self, is_on: bool) {
        self.config.security_event = is_on && !self.is_open();
    }

    /// What it holds.
    #[must_use]
    pub fn tables(&self) -> PcscfTables {
        PcscfTables {
            connections: self.connections.len(),
            sets: self.sets.len(),
            transactions: self.transactions.len(),
            tombstones: self.tombstones.len(),
            strings_bytes: self.strings.used_bytes(),
            bytes: self.connections.len() * size_of::<Connection>()
                + self.agreeing.len() * size_of::<Agreeing>()
                + self.open.len() * size_of::<OpenAccess>()
                + self.sets.len() * size_of::<SecuritySet>()
                + self.transactions.len() * size_of::<Transaction>()
                + self.held.len() * size_of::<Held>()
                + self.strings.used_bytes(),
        }
    }

    /// Bytes that its tables take when they are full.
    #[must_use]
    pub fn reserved_bytes(&self) -> usize {
        self.connections.reserved_bytes()
            + self.agreeing.reserved_bytes()
            + self.open.reserved_bytes()
            + self.sets.reserved_bytes()
            + self.transactions.reserved_bytes()
            + self.tombstones.reserved_bytes()
            + self.strings.capacity_bytes()
            + self.setups.reserved_bytes()
            + self.accesses.reserved_bytes()
            + self.servers.reserved_bytes()
    }

    /// Claims the memory for so many users' connections now. Only before the first one.
    pub fn prefill(&mut self, users: usize) {
        self.connections.prefill(users);
        self.agreeing.prefill(users / 8);
        self.open.prefill(users);
        self.sets.prefill(users);
        self.transactions.prefill(users / 8);
        self.tombstones.prefill(users * TOMBSTONES_PER_USER);
        self.accesses.prefill(users);
        for index in [&mut self.setups, &mut self.servers] {
            index.prefill(users / 8);
        }
        self.strings.prefill(users * STRINGS_BYTES_PER_USER);
    }

    /// A datagram on the ESP port, from `peer`; `opened` if it was opened ahead of its turn, and with which others.
    pub fn esp(
        &mut self,
        ctx: &mut Context<'_>,
        headers: &mut imstorm_sip::Index,
        peer: SocketAddr,
        datagram: &mut [u8],
        opened: Option<(Opening, &OpenBatch)>,
    ) {
        let Datagram::Esp(spi) = classify(datagram) else { return };
        // What was opened with the keys of a set that is gone has come too late for it.
        let is_of = |key: Key| opened.is_none_or(|(opening, _)| opening.set == key);
        let Some((key, port)) = self.set_of_spi(spi).filter(|(key, _)| is_of(*key)) else {
            ctx.counters.esp_rejected += 1;
            ctx.counters.esp_unknown_spi += 1;
            return;
        };
        let set = self.sets.get_mut(key).expect("a set that was just found");
        let payload = match opened {
            Some((opening, batch)) => set.sa.open_now(port, batch, opening.ticket, datagram),
            None => set.sa.open(port, datagram),
        };
        let payload = match payload {
            Ok(payload) => payload,
            Err(error) => return count_open_error(ctx, &error),
        };
        set.outer = peer.into();
        let bytes = datagram.len();
        let Ok(message) = parse(&datagram[payload], headers) else {
            ctx.counters.malformed += 1;
            return;
        };
        ctx.counters.count_gm(bytes);
        self.protected(ctx, key, &message);
    }

    /// A message on Mw, from a role or a configured peer.
    pub fn mw(&mut self, ctx: &mut Context<'_>, from: SocketAddr, message: &Message<'_>) {
        ctx.counters.messages_in += 1;
        if message.is_request() {
            self.mw_request(ctx, from, message);
        } else {
            self.mw_response(ctx, message);
        }
    }

    /// One of its timers fired.
    pub fn alarm(&mut self, ctx: &mut Context<'_>, alarm: PcscfAlarm) {
        match alarm {
            PcscfAlarm::TimerE(key) => self.timer_e(ctx, key),
            PcscfAlarm::TimerF(key) => self.timer_f(ctx, key),
            PcscfAlarm::SetUp(key) => self.setup_is_late(ctx, key),
            PcscfAlarm::Set(key) => self.set_is_due(ctx, key),
            PcscfAlarm::Answers => self.drop_answers(ctx),
            PcscfAlarm::Release(key) => self.drop_connection(ctx, key),
            PcscfAlarm::Deregistered(key) => self.settle(ctx, key),
            PcscfAlarm::Own(key) => self.ask_again(ctx, key),
            PcscfAlarm::Held(key) => self.held_is_due(ctx, key),
            PcscfAlarm::Connection(key) => self.connection_is_due(ctx, key),
            PcscfAlarm::Invite(key, timer) => self.invite_timer(ctx, key, timer),
        }
    }
}

/// Where UEs send what does not begin a set-up: the protected server port, or, without security associations, the one port that there is.
fn address_for_ues(config: &PcscfConfig) -> SocketAddr {
    match config.access_security {
        AccessSecurity::Ipsec3gpp => SocketAddr::new(config.unprotected.ip(), config.port_ps),
        AccessSecurity::None => config.unprotected,
    }
}

/// Each reason has its own counter; all of them together are `esp_rejected`.
fn count_open_error(ctx: &mut Context<'_>, error: &OpenError) {
    let counters = &mut *ctx.counters;
    counters.esp_rejected += 1;
    match error {
        OpenError::ReplayDuplicate { .. } | OpenError::ReplayTooOld { .. } => {
            counters.esp_replayed += 1;
        }
        OpenError::IntegrityFailed => counters.esp_integrity_failed += 1,
        OpenError::SelectorMismatch { .. } => counters.esp_selector_mismatch += 1,
        _ => counters.esp_malformed += 1,
    }
}

/// The encapsulation that this P-CSCF speaks: ESP in UDP, which needs no privilege.
const MODE: Mode = Mode::UdpTunnel;
