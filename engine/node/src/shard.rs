//! One shard: the roles of the users that it owns, and the tick that moves datagrams through them. No I/O of its own: the same
//! tick runs over sockets and in the simulator.

mod show;

use std::net::SocketAddr;
use std::ops::Range;
use std::sync::Arc;

use imstorm_base::io::{Inbox, Io, Outbox, Received};
use imstorm_base::random::SecretRandom;
use imstorm_base::time::{Time, seconds};
use imstorm_base::timers::Timers;
use imstorm_cscf::armed::Armed;
use imstorm_cscf::hss::directory::MODIFIED_IMPI_BYTES_MAX;
use imstorm_cscf::identity::IDENTITY_BYTES_MAX;
use imstorm_cscf::operator::{Command, Done, Refusal};
use imstorm_cscf::pcscf::{LOOK_AGAIN_NS, Opening, PcscfAlarm, PcscfTables, named_identity};
use imstorm_cscf::scscf::ScscfTables;
use imstorm_cscf::{
    AccessSecurity, Alarm, Authentication, Context, Counters, Hss, Icscf, IcscfConfig, MwQueue,
    Pcscf, PcscfConfig, Scscf, ScscfConfig,
};
use imstorm_esp::{BATCH_MAX, Lanes, OpenBatch, SealBatch};
use imstorm_sip::transaction::Timings;
use imstorm_sip::{Edits, Index, Message, parse};
use imstorm_uring::MeshPort;
use imstorm_uring::mesh::MeshSender;

use crate::config::EngineConfig;
use crate::switch::{Switch, Switched};
use crate::topology::{Door, Role, Topology, on_shard};

/// Messages between roles that may be under way on a shard.
const MW_BUFFERS: usize = 1024;

/// What goes with a datagram to another shard.
#[derive(Copy, Clone, Debug)]
pub enum Hop {
    /// A first, unprotected message for the shard that owns its user.
    Unprotected {
        /// The P-CSCF that it came to.
        pcscf: u8,
        /// Where it came from.
        peer: SocketAddr,
    },
    /// A message on Mw.
    Mw {
        /// The role's address that sent it.
        from: SocketAddr,
        /// The role's address that it goes to.
        to: SocketAddr,
    },
}

/// What all roles of a shard share.
#[derive(Debug)]
struct Common {
    mw: MwQueue,
    timers: Timers<Armed>,
    random: SecretRandom,
    counters: Counters,
    edits: Box<Edits>,
    seals: SealBatch,
}

impl Common {
    fn context<'a>(&'a mut self, now: Time, outbox: &'a mut Outbox) -> Context<'a> {
        Context {
            now,
            outbox,
            seals: &mut self.seals,
            mw: &mut self.mw,
            timers: &mut self.timers,
            random: &mut self.random,
            counters: &mut self.counters,
            edits: Some(&mut *self.edits),
        }
    }
}

/// What a shard holds at this moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ShardTables {
    /// All P-CSCFs' tables, added up.
    pub pcscf: PcscfTables,
    /// The S-CSCF's tables.
    pub scscf: ScscfTables,
    /// Timers that are armed, cancelled ones included.
    pub timers: usize,
}

/// One shard of the engine.
#[derive(Debug)]
pub struct Shard {
    number: usize,
    topology: Arc<Topology>,
    pcscfs: Vec<Pcscf>,
    icscf: Option<Icscf>,
    scscf: Option<Scscf>,
    hss: Option<Hss>,
    common: Common,
    headers: Index,
    /// The packets of the datagrams that are looked at now, and each datagram's own.
    opens: OpenBatch,
    openings: [Option<Opening>; BATCH_MAX],
    /// For how many users at most memory is touched at start.
    prefill_max: usize,
}

impl Shard {
    /// Shard `number` of the configured engine, all its memory claimed. `seed` makes its tokens and challenges: from the
    /// system's entropy on sockets, from the run's seed in the simulator.
    #[must_use]
    pub fn new(
        config: &EngineConfig,
        topology: Arc<Topology>,
        number: usize,
        seed: [u8; 32],
    ) -> Self {
        let mut random = SecretRandom::new(seed);
        let users = users_per_shard(config, &topology);
        let ue_leg = config.ue_leg.timings();
        let connections = config.connections_per_user() * users;
        let is_authenticating = config.authentication() == Authentication::Aka;
        let pcscfs = config.pcscf.iter().zip(0..).map(|(section, place)| {
            let users_here = users;
            Pcscf::new(PcscfConfig {
                number: place,
                unprotected: section.address,
                unprotected_socket: topology.socket(Door::Unprotected(place)),
                esp_socket: topology.socket(Door::Esp(place)),
                ue_esp_port: section.ue_esp_port,
                port_ps: section.port_ps,
                port_pc: section.port_pc,
                mw: on_shard(section.mw, number),
                icscf: match (&config.icscf, config.icscf_at) {
                    (Some(icscf), _) => on_shard(icscf.mw, number),
                    (None, elsewhere) => elsewhere.expect("a checked configuration"),
                },
                access_security: section.access_security,
                strict_identities: section.strict_identities,
                security_event: section.security_event && is_authenticating,
                sa_policy: section.sa_policy,
                outbound: section.outbound,
                visited_network: section.visited_network.clone(),
                connections_max: connections,
                tombstones_max: (4 * users_here).max(1 << 16),
                strings_bytes: connections * STRINGS_BYTES_PER_CONNECTION + STRINGS_BYTES_BASE,
                shard: u32::try_from(number).expect("few shards"),
                shards: u32::try_from(topology.shards).expect("few shards"),
                ue_leg,
                core: Timings::CORE,
                seed: random.next_u64(),
                boot: boot_of(random.next_u64(), number),
            })
        });
        let pcscfs = pcscfs.collect();
        let icscf = config.icscf.as_ref().map(|section| {
            let scscf = match &config.scscf {
                Some(scscf) => {
                    (0..topology.shards).map(|shard| on_shard(scscf.mw, shard)).collect()
                }
                None => config.scscf_at.clone(),
            };
            let directory = topology.directory.clone().expect("a checked configuration");
            let mw = on_shard(section.mw, number);
            let authentication = config.authentication();
            let seed = random.next_u64();
            Icscf::new(IcscfConfig { mw, scscf, authentication, seed }, directory)
        });
        let scscf = config.scscf.as_ref().map(|section| {
            let settings = ScscfConfig {
                mw: on_shard(section.mw, number),
                realm: section.realm.clone(),
                icscf: match (&config.icscf, config.icscf_at) {
                    (Some(icscf), _) => Some(on_shard(icscf.mw, number)),
                    (None, elsewhere) => elsewhere,
                },
                shard: u32::try_from(number).expect("few shards"),
                service_route_header: section.service_route_header,
                renew_token: section.renew_token,
                security_event: section.security_event && is_authenticating,
                authentication: section.authentication,
                simultaneous: section.simultaneous,
                flows_max: *section.flows_max.get_ref(),
                modified_impis_max: *config.hss.modified_impis_max.get_ref(),
                binding_required_after_s: section.binding_required_after_s,
                subscriptions_max: connections,
                strings_bytes: connections * STRINGS_BYTES_PER_CONNECTION
                    + users * config.hss.modified_impis_max.get_ref() * MODIFIED_IMPI_BYTES_MAX
                    + STRINGS_BYTES_BASE,
                expires_max_s: section.expires_max_s,
                expires_min_s: section.expires_min_s,
                core: Timings::CORE,
                ue_leg,
                seed: random.next_u64(),
                boot: random.next_u64(),
            };
            let directory = topology.directory.clone().expect("a checked configuration");
            let mut gruu_key = [0; 16];
            random.bytes(&mut gruu_key);
            Scscf::new(settings, directory, gruu_key)
        });
        let hss = topology.directory.clone().map(Hss::new);
        let lanes = Lanes::detect();
        let common = Common {
            mw: MwQueue::new(MW_BUFFERS, topology.mw_addresses()),
            timers: Timers::with_capacity(
                &timer_durations(ue_leg),
                connections * TIMERS_PER_CONNECTION,
            ),
            random,
            counters: Counters::default(),
            edits: Box::default(),
            seals: SealBatch::new(lanes),
        };
        Self {
            number,
            topology,
            pcscfs,
            icscf,
            scscf,
            hss,
            common,
            headers: Index::default(),
            opens: OpenBatch::new(lanes),
            openings: [None; BATCH_MAX],
            prefill_max: config.prefill,
        }
    }

    /// Claims the memory for the first users now: all of a small population, and of a large one as much as costs a fraction of a
    /// second. Only before the first tick.
    pub fn prefill(&mut self, users: usize) {
        let users = users.min(self.prefill_max);
        self.common.timers.prefill(users, Alarm::Pcscf(0, PcscfAlarm::Answers).into());
        for pcscf in &mut self.pcscfs {
            pcscf.prefill(users);
        }
        if let Some(scscf) = &mut self.scscf {
            scscf.prefill(users);
        }
    }

    /// One tick: everything that came, then what other shards handed over, then the timers that are due. The outbox is sent by
    /// the next [`Io::turn`].
    // A name of its own in profiles, and where instructions are counted by it.
    #[inline(never)]
    pub fn tick<I: Io>(&mut self, now: Time, io: &mut I, mesh: &mut MeshPort<Hop>) {
        let (inbox, outbox) = io.parts();
        let MeshPort { sender, receiver, .. } = mesh;
        for first in (0..inbox.len()).step_by(BATCH_MAX) {
            let places = first..inbox.len().min(first + BATCH_MAX);
            self.open_ahead(inbox, places.clone());
            for place in places {
                let (received, datagram) = inbox.get_mut(place);
                let opening = self.openings[place - first];
                let mut step = Step { now, outbox, sender };
                self.datagram(&mut step, &received, datagram, opening);
                self.between_roles(&mut step);
            }
        }
        receiver.receive(|hop, datagram| {
            let mut step = Step { now, outbox, sender };
            self.hop(&mut step, hop, datagram);
            self.between_roles(&mut step);
        });
        while let Some(alarm) = self.common.timers.poll(now) {
            let mut step = Step { now, outbox, sender };
            self.alarm(&mut step, alarm.get());
            self.between_roles(&mut step);
        }
        self.common.context(now, outbox).seal_all();
        self.common.counters.datagrams_out += outbox.len() as u64;
    }

    /// Does what an operator asks for, where this shard owns the user; every other one only notes whose identities they are. The
    /// outbox is sent by the next [`Io::turn`].
    ///
    /// # Errors
    /// As [`Refusal`] says; nothing changes then.
    pub fn operate<I: Io>(
        &mut self,
        now: Time,
        io: &mut I,
        mesh: &mut MeshPort<Hop>,
        command: &Command,
    ) -> Result<Done, Refusal> {
        let (_, outbox) = io.parts();
        let (Some(scscf), Some(hss)) = (&mut self.scscf, &mut self.hss) else {
            return Err(Refusal::UserUnknown);
        };
        let user = hss.directory().find(command.impi()).ok_or(Refusal::UserUnknown)?;
        let is_provisioning =
            matches!(command, Command::AddIdentity { .. } | Command::RemoveIdentity { .. });
        if is_provisioning && hss.directory().is_modified(command.impi()) {
            // What is provisioned is its base's.
            return Err(Refusal::UserUnknown);
        }
        if self.topology.owner(command.impi()) != self.number {
            match command {
                Command::AddIdentity { impu, barred, .. } => {
                    hss.learn_added(user, impu, *barred)?;
                }
                Command::RemoveIdentity { impu, .. } => {
                    hss.learn_removed(user, impu)?;
                }
                Command::Shorten { .. } | Command::Terminate { .. } => {}
            }
            return Ok(Done::default());
        }
        let queued = outbox.len();
        let ctx = &mut self.common.context(now, outbox);
        let done = scscf.operate(ctx, hss, command);
        let sender = &mut mesh.sender;
        self.between_roles(&mut Step { now, outbox, sender });
        self.common.context(now, outbox).seal_all();
        self.common.counters.datagrams_out += (outbox.len() - queued) as u64;
        done
    }

    /// Throws a switch, at this shard's part of the roles that are meant; how many of them there are.
    pub fn switch(&mut self, switch: &Switch) -> usize {
        let mut count = 0;
        for pcscf in &mut self.pcscfs {
            if switch.is_of_pcscf(pcscf.config().unprotected) {
                pcscf.switch_security_event(switch.is_on);
                count += 1;
            }
        }
        if let (Switched::Scscf, Some(scscf)) = (switch.role, &mut self.scscf) {
            scscf.switch_security_event(switch.is_on);
            count += 1;
        }
        count
    }

    /// When the next timer is due.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Time> {
        self.common.timers.next_deadline()
    }

    /// Its counters.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.common.counters
    }

    /// Its P-CSCFs.
    #[must_use]
    pub fn pcscfs(&self) -> &[Pcscf] {
        &self.pcscfs
    }

    /// Its S-CSCF, if it has one.
    #[must_use]
    pub fn scscf(&self) -> Option<&Scscf> {
        self.scscf.as_ref()
    }

    /// Bytes that its tables and buffers take when they are full.
    #[must_use]
    pub fn reserved_bytes(&self) -> usize {
        let pcscfs: usize = self.pcscfs.iter().map(Pcscf::reserved_bytes).sum();
        pcscfs
            + self.scscf.as_ref().map_or(0, Scscf::reserved_bytes)
            + self.hss.as_ref().map_or(0, Hss::reserved_bytes)
            + MW_BUFFERS * imstorm_cscf::mw::MESSAGE_BYTES_MAX
    }

    /// What it holds.
    #[must_use]
    pub fn tables(&self) -> ShardTables {
        let mut tables = ShardTables { timers: self.common.timers.len(), ..ShardTables::default() };
        for pcscf in &self.pcscfs {
            let of = pcscf.tables();
            tables.pcscf.connections += of.connections;
            tables.pcscf.sets += of.sets;
            tables.pcscf.transactions += of.transactions;
            tables.pcscf.tombstones += of.tombstones;
            tables.pcscf.strings_bytes += of.strings_bytes;
            tables.pcscf.bytes += of.bytes;
        }
        tables.scscf = self.scscf.as_ref().map(Scscf::tables).unwrap_or_default();
        tables
    }

    /// Opens the ESP packets among the datagrams at `places` side by side, all under keys of their own. What a packet then does, and
    /// whether it is still in order, is found out when its turn comes.
    fn open_ahead(&mut self, inbox: &mut Inbox, places: Range<usize>) {
        self.opens.clear();
        self.openings = [None; BATCH_MAX];
        for place in places.clone() {
            let (received, datagram) = inbox.get_mut(place);
            if let Door::Esp(pcscf) = self.topology.door(received.socket) {
                self.pcscfs[usize::from(pcscf)].fetch_ahead(datagram);
            }
        }
        for (opening, place) in self.openings.iter_mut().zip(places) {
            let (received, datagram) = inbox.get_mut(place);
            if let Door::Esp(pcscf) = self.topology.door(received.socket) {
                let start = received.range().start;
                let pcscf = &self.pcscfs[usize::from(pcscf)];
                *opening = pcscf.open_ahead(&mut self.opens, datagram, start);
            }
        }
        self.opens.run(inbox.memory_mut());
    }

    fn datagram(
        &mut self,
        step: &mut Step<'_>,
        received: &Received,
        datagram: &mut [u8],
        opening: Option<Opening>,
    ) {
        self.common.counters.datagrams_in += 1;
        let peer = received.peer;
        match self.topology.door(received.socket) {
            Door::Esp(pcscf) => {
                let ctx = &mut self.common.context(step.now, step.outbox);
                let opened = opening.map(|opening| (opening, &self.opens));
                let pcscf = &mut self.pcscfs[usize::from(pcscf)];
                pcscf.esp(ctx, &mut self.headers, peer, datagram, opened);
            }
            Door::Unprotected(pcscf) => self.unprotected(step, pcscf, peer, datagram, true),
            Door::Mw(role) if self.topology.is_peer(peer.ip()) => {
                self.mw(step, role, peer, datagram, None);
            }
            Door::Mw(_) => self.common.counters.mw_untrusted += 1,
        }
    }

    fn hop(&mut self, step: &mut Step<'_>, hop: Hop, datagram: &mut [u8]) {
        match hop {
            Hop::Unprotected { pcscf, peer } => {
                self.unprotected(step, pcscf, peer, datagram, false);
            }
            Hop::Mw { from, to } => {
                if let Some((_, role)) = self.topology.role_at(to) {
                    self.mw(step, role, from, datagram, None);
                }
            }
        }
    }

    /// A datagram on an unprotected port. The shard that it came to by chance hands it once to the one that owns its user.
    fn unprotected(
        &mut self,
        step: &mut Step<'_>,
        pcscf: u8,
        peer: SocketAddr,
        datagram: &mut [u8],
        may_hop: bool,
    ) {
        let Ok(message) = parse(datagram, &mut self.headers) else {
            self.common.counters.malformed += 1;
            return;
        };
        if may_hop && self.topology.shards > 1 {
            let owner = match self.pcscfs[usize::from(pcscf)].config().access_security {
                AccessSecurity::Ipsec3gpp => owner_of(&self.topology, &message),
                AccessSecurity::None => named_owner_of(&self.topology, &message),
            };
            let owner = owner.unwrap_or(self.number);
            if owner != self.number {
                self.common.counters.shard_hops += 1;
                let hop = Hop::Unprotected { pcscf, peer };
                let sent = step.sender.send(owner, hop, message.bytes());
                self.common.counters.queue_full += u64::from(sent.is_err());
                return;
            }
        }
        let ctx = &mut self.common.context(step.now, step.outbox);
        self.pcscfs[usize::from(pcscf)].unprotected(ctx, peer, &message);
    }

    /// A message for a role: its bytes, and itself where its index is known already.
    fn mw(
        &mut self,
        step: &mut Step<'_>,
        role: Role,
        from: SocketAddr,
        bytes: &[u8],
        indexed: Option<Message<'_>>,
    ) {
        let Some(message) = indexed.or_else(|| parse(bytes, &mut self.headers).ok()) else {
            self.common.counters.malformed += 1;
            return;
        };
        let ctx = &mut self.common.context(step.now, step.outbox);
        match role {
            Role::Pcscf(number) => self.pcscfs[usize::from(number)].mw(ctx, from, &message),
            Role::Icscf => {
                let hss = self.hss.as_ref().expect("an I-CSCF has its subscribers");
                self.icscf.as_mut().expect("a role of this process").mw(ctx, hss, from, &message);
            }
            Role::Scscf => {
                let hss = self.hss.as_mut().expect("an S-CSCF has its subscribers");
                self.scscf.as_mut().expect("a role of this process").mw(ctx, hss, from, &message);
            }
        }
    }

    /// Delivers what the roles sent each other, until they are silent.
    fn between_roles(&mut self, step: &mut Step<'_>) {
        while let Some(message) = self.common.mw.take() {
            self.common.counters.count_mw(message.bytes().len());
            match self.topology.role_at(message.to) {
                Some((shard, role)) if shard == self.number => {
                    let indexed = message.message();
                    self.mw(step, role, message.from, message.bytes(), indexed);
                }
                Some((shard, _)) => {
                    self.common.counters.shard_hops += 1;
                    let hop = Hop::Mw { from: message.from, to: message.to };
                    let sent = step.sender.send(shard, hop, message.bytes());
                    self.common.counters.queue_full += u64::from(sent.is_err());
                }
                None => self.leave_process(step, message.from, message.to, message.bytes()),
            }
            self.common.mw.release(message);
        }
    }

    fn leave_process(
        &mut self,
        step: &mut Step<'_>,
        from: SocketAddr,
        to: SocketAddr,
        bytes: &[u8],
    ) {
        let (_, role) = self.topology.role_at(from).expect("a role of ours sent it");
        let socket = self.topology.socket(Door::Mw(role));
        let sent = step.outbox.send(socket, None, to, |slot| {
            slot.get_mut(..bytes.len())?.copy_from_slice(bytes);
            Some(0..bytes.len())
        });
        self.common.counters.outbox_full += u64::from(sent.is_err());
    }

    fn alarm(&mut self, step: &mut Step<'_>, alarm: Alarm) {
        let ctx = &mut self.common.context(step.now, step.outbox);
        match alarm {
            Alarm::Pcscf(number, alarm) => self.pcscfs[usize::from(number)].alarm(ctx, alarm),
            Alarm::Scscf(alarm) => {
                self.scscf.as_mut().expect("a role of this process").alarm(ctx, alarm);
            }
        }
    }
}

/// Where the outputs of one step go.
struct Step<'a> {
    now: Time,
    outbox: &'a mut Outbox,
    sender: &'a mut MeshSender<Hop>,
}

/// The shard that owns the user whom an unprotected request names.
fn owner_of(topology: &Topology, message: &Message<'_>) -> Option<usize> {
    Some(topology.owner(message.username().ok()??))
}

/// The same of a message without protection: the user of the public identity in whose name a request comes, and of a response the shard whose
/// branch it repeats.
fn named_owner_of(topology: &Topology, message: &Message<'_>) -> Option<usize> {
    if !message.is_request() {
        let branch = message.via().ok()?.branch?;
        let shard = branch.get(branch.len().checked_sub(SHARD_DIGITS)?..)?;
        let shard = usize::from_str_radix(std::str::from_utf8(shard).ok()?, 16).ok()?;
        return (shard < topology.shards).then_some(shard);
    }
    let mut text = [0; IDENTITY_BYTES_MAX];
    let identity = named_identity(message, &mut text)?;
    let directory = topology.directory.as_ref()?;
    let user = directory.holders(identity).next()?;
    Some(directory.owner_of(user, topology.shards))
}

/// A P-CSCF's mark of its start, in all its branches: it ends with the shard, which responses lead back to where no SPI does.
fn boot_of(random: u64, shard: usize) -> u64 {
    let shards = 1 << (4 * SHARD_DIGITS);
    random / shards * shards + shard as u64 % shards
}

/// Hex digits of the shard in a branch.
const SHARD_DIGITS: usize = 2;

/// Strings of one connection: a dialog's is about 400 B at the P-CSCF and 600 B at the S-CSCF, with identities and the private identity, and a
/// session's two legs at the S-CSCF about 800 B.
const STRINGS_BYTES_PER_CONNECTION: usize = 1536;
/// Requests that may have to be sent again, while their answers are under way.
const STRINGS_BYTES_BASE: usize = 64 << 20;

/// Timers of one duration that a connection has armed at the same time, cancelled ones included.
const TIMERS_PER_CONNECTION: usize = 2;

/// Users for whom a shard claims memory: its share, and a tenth more, since the share is only even on average.
#[must_use]
pub fn users_per_shard(config: &EngineConfig, topology: &Topology) -> usize {
    let population = match *config.population.get_ref() {
        0 => topology.directory.as_ref().map_or(100_000, |directory| directory.len()),
        population => population,
    };
    let population = usize::try_from(population).unwrap_or(usize::MAX);
    let share = population.div_ceil(topology.shards);
    share + share / 10 + 1024
}

/// The durations that are armed again and again: each has a queue of its own, in which arming costs nothing.
fn timer_durations(ue_leg: Timings) -> Vec<u64> {
    let mut durations = vec![LOOK_AGAIN_NS, seconds(2)];
    for timings in [Timings::CORE, ue_leg] {
        durations.extend((0..4).map(|step| timings.timer_e_ns(step)));
        durations.extend([timings.timer_f_ns(), 2 * timings.timer_f_ns()]);
        durations.extend([timings.timer_i_ns(false), timings.timer_d_ns(false)]);
    }
    durations.push(ue_leg.timer_f_ns() + Timings::CORE.t4_ns);
    durations.sort_unstable();
    durations.dedup();
    durations
}
