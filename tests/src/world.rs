//! The engine on a virtual clock, with every datagram in the test's hands.

use std::cell::Cell;
use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use imstorm_base::io::{Datagram, Io, MemoryIo};
use imstorm_base::time::{Time, seconds};
use imstorm_cscf::hss::derived::Derivation;
use imstorm_cscf::operator::{Command, Done, Refusal};
use imstorm_cscf::{Counters, Directory};
use imstorm_engine::config::SubscribersSection;
use imstorm_engine::status::{Published, status};
use imstorm_engine::switch::{Switch, Switched};
use imstorm_engine::tables::{Query, Table};
use imstorm_engine::topology::{Door, Role, Topology};
use imstorm_engine::{EngineConfig, Hop, Shard, shard::ShardTables};
use imstorm_uring::{Backend, Mesh, MeshPort};

use crate::message::Text;
use crate::meter;
use crate::ue::ScriptedUe;

/// The time at a world's start: not zero, so that a forgotten time shows.
pub const START_NS: Time = seconds(1000);
/// Counters of mere traffic, which rise with every message.
const TRAFFIC: [&str; 10] = [
    "gm_messages",
    "gm_bytes",
    "mw_messages",
    "mw_bytes",
    "messages_in",
    "messages_out",
    "datagrams_in",
    "datagrams_out",
    "keys_withheld",
    "agreement_withheld",
];

/// The identity that two subscribers share.
pub const FAMILY: &str = "sip:family@ims.example";

/// Which roles stand together.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Layout {
    /// All in one process: Mw is memory.
    Together,
    /// The P-CSCF in one, I-CSCF, S-CSCF and HSS in another: Mw is datagrams, which the test sees.
    Apart,
    /// P-CSCF, I-CSCF and S-CSCF in a process each: every hop is datagrams. The last two read the same subscribers.
    Each,
}

/// A datagram on the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wire {
    /// Its source.
    pub from: SocketAddr,
    /// Its destination.
    pub to: SocketAddr,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// A message that came to a UE.
#[derive(Clone, Debug)]
pub struct Arrived {
    /// The number of the UE's set of security associations that it came through; `None`: unprotected.
    pub set: Option<usize>,
    /// The message.
    pub message: Text,
}

/// One process with its sockets.
struct Node {
    shard: Shard,
    mesh: MeshPort<Hop>,
    io: MemoryIo,
    topology: Arc<Topology>,
    /// Addresses of its sockets, by socket number.
    addresses: Vec<SocketAddr>,
}

/// The engine, and what is under way around it.
pub struct World {
    /// The time.
    pub now: Time,
    /// The P-CSCF's unprotected address.
    pub pcscf: SocketAddr,
    /// The P-CSCF's port for ESP in UDP.
    pub pcscf_esp: SocketAddr,
    /// The P-CSCF's address on Mw.
    pub pcscf_mw: SocketAddr,
    /// The I-CSCF's address on Mw.
    pub icscf_mw: SocketAddr,
    /// The S-CSCF's address on Mw.
    pub scscf_mw: SocketAddr,
    /// Datagrams to UEs that no UE has taken yet.
    pub to_ues: VecDeque<Wire>,
    /// Each datagram that the engine has sent to UEs.
    pub all_to_ues: Vec<Wire>,
    /// Each datagram that has passed Mw, in order, lost ones included.
    pub mw: Vec<Wire>,
    /// Datagrams on Mw that wait while `mw_held`.
    pub mw_waiting: VecDeque<Wire>,
    /// Mw datagrams wait for the test to pass them on.
    pub mw_held: bool,
    /// The number in `mw` of a datagram that is lost.
    pub mw_lost: Option<usize>,
    /// The number in `mw` of a datagram that comes twice.
    pub mw_doubled: Option<usize>,
    /// Nothing comes to or from this address: it is cut off.
    pub cut_off: Option<IpAddr>,
    /// Datagrams that left for nobody's address.
    pub astray: Vec<Wire>,
    /// Each datagram that left any socket, in order.
    pub sent: Vec<Wire>,
    /// Unprotected addresses of all P-CSCFs; the first is `pcscf`.
    pub pcscfs: Vec<SocketAddr>,
    derivation: Derivation,
    instances: Cell<u32>,
    /// The configurations of the nodes.
    texts: Vec<String>,
    /// The file of subscribers beside those that are derived; empty: none.
    subscribers: String,
    nodes: Vec<Node>,
}

impl World {
    /// An engine on 127.0.0.1.
    #[must_use]
    pub fn new(layout: Layout) -> Self {
        Self::with(layout, "127.0.0.1".parse().expect("an address"), "")
    }

    /// An engine at this address, with further lines in its configuration.
    ///
    /// # Panics
    /// Where the lines make no configuration.
    #[must_use]
    pub fn with(layout: Layout, ip: IpAddr, more: &str) -> Self {
        Self::altered(layout, ip, more, &[])
    }

    /// An engine on 127.0.0.1 whose S-CSCF and P-CSCF have further settings: `pcscf` and `scscf` are keys with values, each with a
    /// comma behind it.
    ///
    /// # Panics
    /// Where they make no configuration.
    #[must_use]
    pub fn configured(layout: Layout, pcscf: &str, scscf: &str) -> Self {
        let ip = "127.0.0.1".parse().expect("an address");
        let edits = [
            ("{ address =", format!("{{ {pcscf} address =")),
            (", realm", format!(", {scscf} realm")),
        ];
        Self::altered(layout, ip, "", &edits)
    }

    /// An engine on 127.0.0.1 with a second P-CSCF on 127.0.0.3.
    #[must_use]
    pub fn with_two_pcscfs(layout: Layout) -> Self {
        Self::configured_twice(layout, "", "", "")
    }

    /// As [`World::configured`], with a second P-CSCF on 127.0.0.3 that has the settings of the first, and with further lines.
    ///
    /// # Panics
    /// Where they make no configuration.
    #[must_use]
    pub fn configured_twice(layout: Layout, pcscf: &str, scscf: &str, more: &str) -> Self {
        let ip = "127.0.0.1".parse().expect("an address");
        let second =
            format!("}}, {{ {pcscf} address = \"127.0.0.3:5060\", mw = \"127.0.0.3:6060\" }}]");
        let edits = [
            ("}]", second),
            ("{ address =", format!("{{ {pcscf} address =")),
            (", realm", format!(", {scscf} realm")),
            ("peers = [\"127.0.0.1\"", "peers = [\"127.0.0.3\", \"127.0.0.1\"".to_owned()),
        ];
        let mut world = Self::altered(layout, ip, more, &edits);
        world.pcscfs.push("127.0.0.3:5060".parse().expect("an address"));
        world
    }

    /// As [`World::configured_twice`], where subscribers 41 and 42, who are in a file, share [`FAMILY`] beside their own identities.
    ///
    /// # Panics
    /// As [`World::configured`].
    #[must_use]
    pub fn with_a_family(layout: Layout, scscf: &str) -> Self {
        let mut world = Self::configured_twice(layout, "", scscf, "");
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        world.subscribers = "impi,impus,k,opc,op,amf,sqn\n".to_owned();
        for number in 41..=42 {
            let (ue, amf) = (world.ue(number), world.derivation.keys(number).amf);
            let (k, opc) = (hex(&ue.keys.0), hex(&ue.keys.1));
            let row =
                format!("{},{};{FAMILY},{k},{opc},,{},000000000000\n", ue.impi, ue.impu, hex(&amf));
            world.subscribers.push_str(&row);
        }
        let nodes = world.texts.iter().zip(1..);
        world.nodes = nodes.map(|(text, seed)| Node::new(text, seed, &world.subscribers)).collect();
        world
    }

    /// As [`World::with`], where the configurations' texts are edited: each edit replaces its first text by its second, once.
    ///
    /// # Panics
    /// Where that makes no configuration.
    #[must_use]
    pub fn altered(layout: Layout, ip: IpAddr, more: &str, edits: &[(&str, String)]) -> Self {
        let at = |port: u16| SocketAddr::new(ip, port);
        let pcscf = format!("pcscf = [{{ address = \"{}\", mw = \"{}\" }}]\n", at(5060), at(6060));
        let core_ip: IpAddr = match ip {
            IpAddr::V4(_) => "127.0.0.2".parse().expect("an address"),
            IpAddr::V6(_) => "::2".parse().expect("an address"),
        };
        let core_ip = if layout == Layout::Together { ip } else { core_ip };
        let (icscf, scscf) = (SocketAddr::new(core_ip, 6160), SocketAddr::new(core_ip, 6260));
        let the_icscf = format!("icscf = {{ mw = \"{icscf}\" }}\n");
        let the_scscf = format!("scscf = {{ mw = \"{scscf}\", realm = \"ims.example\" }}\n");
        let subscribers = "subscribers = { size = 40, seed = 1 }\n";
        let core = format!("{the_icscf}{the_scscf}{subscribers}");
        let of_pcscf = format!("{pcscf}icscf_at = \"{icscf}\"\npeers = [\"{core_ip}\"]\n{more}");
        let texts = match layout {
            Layout::Together => vec![format!("{pcscf}{core}{more}")],
            Layout::Apart => vec![of_pcscf, format!("{core}peers = [\"{ip}\"]\n{more}")],
            Layout::Each => {
                let peers = format!("peers = [\"{ip}\", \"{core_ip}\"]\n");
                vec![
                    of_pcscf,
                    format!("{the_icscf}scscf_at = [\"{scscf}\"]\n{subscribers}{peers}{more}"),
                    format!("{the_scscf}icscf_at = \"{icscf}\"\n{subscribers}{peers}{more}"),
                ]
            }
        };
        let edit = |text: &String| {
            edits.iter().fold(text.clone(), |text, (from, to)| text.replacen(from, to, 1))
        };
        let texts: Vec<String> = texts.iter().map(edit).collect();
        let nodes = texts.iter().zip(1..).map(|(text, seed)| Node::new(text, seed, "")).collect();
        Self {
            now: START_NS,
            pcscf: at(5060),
            pcscf_esp: at(4500),
            pcscf_mw: at(6060),
            icscf_mw: icscf,
            scscf_mw: scscf,
            to_ues: VecDeque::new(),
            all_to_ues: Vec::new(),
            mw: Vec::new(),
            mw_waiting: VecDeque::new(),
            mw_held: false,
            mw_lost: None,
            mw_doubled: None,
            cut_off: None,
            astray: Vec::new(),
            sent: Vec::new(),
            pcscfs: vec![at(5060)],
            derivation: Derivation::new(1, 40, "ims.example"),
            instances: Cell::new(0),
            texts,
            subscribers: String::new(),
            nodes,
        }
    }

    /// The process with the P-CSCF is started anew: it knows nothing of what was before.
    pub fn restart_pcscf(&mut self) {
        self.nodes[0] = Node::new(&self.texts[0], 99, &self.subscribers);
    }

    /// The UE of a subscriber, by number from 1, at an address of its own.
    #[must_use]
    pub fn ue(&self, number: u64) -> ScriptedUe {
        let last = u8::try_from(number).expect("few UEs");
        let ip = match self.pcscf.ip() {
            IpAddr::V4(_) => IpAddr::from([127, 16, 0, last]),
            IpAddr::V6(_) => IpAddr::from([0xfd00, 0, 0, 0, 0, 0, 0, u16::from(last)]),
        };
        self.ue_at(number, ip)
    }

    /// The UE of a subscriber, at this address.
    #[must_use]
    pub fn ue_at(&self, number: u64, ip: IpAddr) -> ScriptedUe {
        self.instances.set(self.instances.get() + 1);
        ScriptedUe::new(&self.derivation, number, self.instances.get(), ip, self.pcscf)
    }

    /// A datagram comes to a socket of the engine; everything that follows from it at this moment happens.
    pub fn datagram(&mut self, from: SocketAddr, to: SocketAddr, bytes: &[u8]) {
        self.deliver(&Wire { from, to, bytes: bytes.to_vec() });
        self.pass_mw();
    }

    /// Datagrams come to the engine in one batch.
    pub fn batch(&mut self, wires: &[Wire]) {
        for wire in wires {
            self.arrive(wire);
        }
        while self.nodes.iter().any(|node| !node.io.arrivals.is_empty()) {
            self.tick_all();
        }
    }

    /// A UE's message comes to the P-CSCF's unprotected port.
    pub fn plain(&mut self, ue: &ScriptedUe, message: &Text) {
        self.datagram(SocketAddr::new(ue.ip, ue.port), ue.pcscf, &message.to_bytes());
    }

    /// A UE's message comes to the P-CSCF's ESP port, sealed with the UE's newest set.
    pub fn sealed(&mut self, ue: &mut ScriptedUe, message: &Text) {
        let packet = ue.seal(&message.to_bytes());
        self.packet(ue, &packet);
    }

    /// A sealed packet of a UE comes to the P-CSCF.
    pub fn packet(&mut self, ue: &ScriptedUe, packet: &[u8]) {
        let to = SocketAddr::new(ue.pcscf.ip(), self.pcscf_esp.port());
        self.datagram(SocketAddr::new(ue.ip, ue.esp_port), to, packet);
    }

    /// What came to a UE's address since the last time, opened.
    ///
    /// # Panics
    /// Where a packet is none that the UE can open, or came from or to a wrong port.
    pub fn take(&mut self, ue: &mut ScriptedUe) -> Vec<Arrived> {
        let pcscf = ue.pcscf.ip();
        let is_his = |wire: &Wire| wire.to.ip() == ue.ip && wire.from.ip() == pcscf;
        let (his, others) = self.to_ues.drain(..).partition(is_his);
        self.to_ues = others;
        Vec::from_iter::<VecDeque<Wire>>(his).iter().map(|wire| self.open(ue, wire)).collect()
    }

    /// As [`World::take`], for one message.
    ///
    /// # Panics
    /// Where it is not exactly one.
    pub fn take_one(&mut self, ue: &mut ScriptedUe) -> Arrived {
        let mut arrived = self.take(ue);
        assert_eq!(arrived.len(), 1, "one message expected: {arrived:#?}");
        arrived.remove(0)
    }

    /// The datagrams that came to an address since the last time.
    pub fn take_wires(&mut self, ip: IpAddr) -> Vec<Wire> {
        let (ours, others) = self.to_ues.drain(..).partition(|wire| wire.to.ip() == ip);
        self.to_ues = others;
        Vec::from_iter::<VecDeque<Wire>>(ours)
    }

    /// Opens a datagram as the UE does.
    ///
    /// # Panics
    /// As [`World::take`].
    pub fn open(&self, ue: &mut ScriptedUe, wire: &Wire) -> Arrived {
        if wire.from == ue.pcscf {
            assert_eq!(wire.to, SocketAddr::new(ue.ip, ue.port), "the UE's unprotected port");
            ue.received.push(Text::parse(&wire.bytes));
            return Arrived { set: None, message: Text::parse(&wire.bytes) };
        }
        let esp = SocketAddr::new(ue.pcscf.ip(), self.pcscf_esp.port());
        assert_eq!(wire.from, esp, "a datagram from a port of the P-CSCF");
        assert_eq!(wire.to, SocketAddr::new(ue.ip, ue.esp_port), "the UE's ESP port");
        let (set, payload) = ue.open(&wire.bytes).expect("a packet that the UE can open");
        ue.received.push(Text::parse(&payload));
        Arrived { set: Some(set), message: Text::parse(&payload) }
    }

    /// The UE of a subscriber, at this address, through the P-CSCF with this place in `pcscfs`.
    #[must_use]
    pub fn ue_through(&self, number: u64, ip: IpAddr, place: usize) -> ScriptedUe {
        let mut ue = self.ue_at(number, ip);
        ue.pcscf = self.pcscfs[place];
        ue
    }

    /// Does what an operator asks for; how many connections it concerned.
    ///
    /// # Errors
    /// As the node says that has the subscribers.
    pub fn operate(&mut self, command: &Command) -> Result<Done, Refusal> {
        let mut done = Err(Refusal::UserUnknown);
        for place in 0..self.nodes.len() {
            let (answer, departures) = self.nodes[place].operate(self.now, command);
            if answer.is_ok() || answer != Err(Refusal::UserUnknown) {
                done = answer;
            }
            self.depart(departures);
        }
        self.pass_mw();
        done
    }

    /// Switches the extension on or off, as an operator would.
    ///
    /// # Panics
    /// Where no such role is there.
    pub fn switch(&mut self, role: Switched, is_on: bool) {
        let switch = Switch { role, is_on };
        let thrown: usize = self.nodes.iter_mut().map(|node| node.shard.switch(&switch)).sum();
        assert!(thrown > 0, "nobody to switch: {role:?}");
    }

    /// The rows of a table, of all users or of one, as an operator would get them.
    ///
    /// # Panics
    /// Where a table's end is never reached.
    #[must_use]
    pub fn show(&self, table: Table, impi: Option<&str>) -> Vec<serde_json::Value> {
        let mut rows = Vec::new();
        for node in &self.nodes {
            let impi = impi.map(|impi| impi.as_bytes().to_vec());
            let mut query = Query { table, impi, from: 0 };
            loop {
                let shown = node.shard.show(self.now, &query);
                rows.extend(shown.rows.to_json());
                let Some(next) = shown.next else { break };
                assert!(next > query.from, "a list goes on");
                query.from = next;
            }
        }
        rows
    }

    /// Lets time pass, with everything that is due in it.
    pub fn advance(&mut self, ns: u64) {
        let until = self.now + ns;
        while let Some(at) = self.nodes.iter().filter_map(|node| node.shard.next_deadline()).min() {
            if at > until {
                break;
            }
            self.now = self.now.max(at);
            self.tick_all();
        }
        self.now = until;
        self.tick_all();
    }

    /// All nodes' counters, added up.
    #[must_use]
    pub fn counters(&self) -> [u64; Counters::COUNT] {
        let mut sum = [0; Counters::COUNT];
        for node in &self.nodes {
            for (sum, value) in sum.iter_mut().zip(node.shard.counters().values()) {
                *sum += value;
            }
        }
        sum
    }

    /// One counter, by name.
    ///
    /// # Panics
    /// Where there is none.
    #[must_use]
    pub fn counter(&self, name: &str) -> u64 {
        let place = Counters::NAMES.iter().position(|other| *other == name);
        self.counters()[place.unwrap_or_else(|| panic!("no counter {name}"))]
    }

    /// Which counters have risen since `before`, and by how much; those of mere traffic left out.
    #[must_use]
    pub fn risen(&self, before: &[u64; Counters::COUNT]) -> Vec<(&'static str, u64)> {
        let now = self.counters();
        let changes = Counters::NAMES.iter().zip(before.iter().zip(now));
        changes
            .filter(|(name, (before, now))| **before != *now && !TRAFFIC.contains(name))
            .map(|(name, (before, now))| (*name, now - before))
            .collect()
    }

    /// What the nodes hold, added up.
    #[must_use]
    pub fn tables(&self) -> ShardTables {
        let mut sum = ShardTables::default();
        for tables in self.nodes.iter().map(|node| node.shard.tables()) {
            sum.pcscf.connections += tables.pcscf.connections;
            sum.pcscf.sets += tables.pcscf.sets;
            sum.pcscf.transactions += tables.pcscf.transactions;
            sum.pcscf.strings_bytes += tables.pcscf.strings_bytes;
            sum.pcscf.bytes += tables.pcscf.bytes;
            sum.scscf.subscriptions += tables.scscf.subscriptions;
            sum.scscf.bindings += tables.scscf.bindings;
            sum.scscf.reg_subscriptions += tables.scscf.reg_subscriptions;
            sum.scscf.challenges += tables.scscf.challenges;
            sum.scscf.notifications += tables.scscf.notifications;
            sum.scscf.sessions += tables.scscf.sessions;
            sum.scscf.strings_bytes += tables.scscf.strings_bytes;
            sum.scscf.bytes += tables.scscf.bytes;
        }
        sum
    }

    /// Asserts that nothing is held for any UE.
    ///
    /// # Panics
    /// Where something is.
    pub fn assert_empty(&self) {
        assert_eq!(self.tables(), ShardTables::default(), "something is left over");
    }

    /// The shards' states as Debug shows them.
    #[must_use]
    pub fn debug(&self) -> String {
        self.nodes.iter().map(|node| format!("{:?}\n", node.shard)).collect()
    }

    /// What `GET /v1/status` would show of the nodes.
    #[must_use]
    pub fn status(&self) -> String {
        let published = self.nodes.iter().map(|node| {
            let published = Published::default();
            published.publish(&node.shard);
            published
        });
        let published: Vec<Published> = published.collect();
        status(&published, std::time::Instant::now(), Backend::Mmsg, None).to_string()
    }

    /// Passes on the held Mw datagram with this number among those that wait.
    ///
    /// # Panics
    /// Where there is none.
    pub fn pass_held(&mut self, place: usize) {
        let wire = self.mw_waiting.remove(place).expect("a Mw datagram that waits");
        self.deliver(&wire);
        self.pass_mw();
    }

    /// Messages that have passed Mw from `from` to `to`.
    #[must_use]
    pub fn mw_between(&self, from: SocketAddr, to: SocketAddr) -> Vec<Text> {
        let passed = self.mw.iter().filter(|wire| wire.from == from && wire.to == to);
        passed.map(|wire| Text::parse(&wire.bytes)).collect()
    }

    /// What has passed Mw since `mark` (a length of `mw`), as who sent what to whom: `P>I SUBSCRIBE`, `S>I 401 SUBSCRIBE`.
    #[must_use]
    pub fn transcript(&self, mark: usize) -> Vec<String> {
        let names = [(self.pcscf_mw, 'P'), (self.icscf_mw, 'I'), (self.scscf_mw, 'S')];
        let name = |of: SocketAddr| {
            names.iter().find(|(address, _)| *address == of).map_or('?', |(_, name)| *name)
        };
        let lines = self.mw[mark..].iter().map(|wire| {
            let text = Text::parse(&wire.bytes);
            let status =
                if text.status() > 0 { format!("{} ", text.status()) } else { String::new() };
            format!("{}>{} {status}{}", name(wire.from), name(wire.to), text.method())
        });
        lines.collect()
    }

    fn pass_mw(&mut self) {
        while !self.mw_held
            && let Some(wire) = self.mw_waiting.pop_front()
        {
            self.deliver(&wire);
        }
    }

    fn deliver(&mut self, wire: &Wire) {
        let Some(place) = self.arrive(wire) else { return };
        let departures = self.nodes[place].tick(self.now);
        self.depart(departures);
    }

    /// Puts a datagram before the process that it is for: which one, if it can be reached.
    fn arrive(&mut self, wire: &Wire) -> Option<usize> {
        if self.cut_off == Some(wire.to.ip()) {
            return None;
        }
        let place = self.nodes.iter().position(|node| node.addresses.contains(&wire.to));
        let place = place.unwrap_or_else(|| panic!("{} is no address of the engine", wire.to));
        let node = &mut self.nodes[place];
        let socket = node.addresses.iter().position(|address| *address == wire.to);
        let socket = imstorm_base::SocketId(u8::try_from(socket.unwrap_or(0)).unwrap_or(0));
        let (peer, bytes) = (wire.from, wire.bytes.clone());
        node.io.arrivals.push_back(Datagram { socket, local: None, peer, bytes });
        Some(place)
    }

    fn tick_all(&mut self) {
        for place in 0..self.nodes.len() {
            let departures = self.nodes[place].tick(self.now);
            self.depart(departures);
        }
        self.pass_mw();
    }

    fn depart(&mut self, departures: Vec<Wire>) {
        for wire in departures {
            self.sent.push(wire.clone());
            if self.cut_off == Some(wire.from.ip()) {
                continue;
            }
            let esp = SocketAddr::new(wire.from.ip(), self.pcscf_esp.port());
            let is_pcscf = |pcscf: &SocketAddr| {
                wire.from == *pcscf || (wire.from == esp && pcscf.ip() == esp.ip())
            };
            if self.nodes.iter().any(|node| node.addresses.contains(&wire.to)) {
                let number = self.mw.len();
                self.mw.push(wire.clone());
                if self.mw_lost == Some(number) {
                    continue;
                }
                if self.mw_doubled == Some(number) {
                    self.mw_waiting.push_back(wire.clone());
                }
                self.mw_waiting.push_back(wire);
            } else if self.pcscfs.iter().any(is_pcscf) {
                self.all_to_ues.push(wire.clone());
                self.to_ues.push_back(wire);
            } else {
                self.astray.push(wire);
            }
        }
    }
}

impl Node {
    fn new(text: &str, seed: u8, subscribers: &str) -> Self {
        let config = EngineConfig::parse("the test's configuration", text).expect("it is right");
        let derivation = config.subscribers.as_ref().and_then(SubscribersSection::derivation);
        let takes_modified = config.hss.takes_modified_impis();
        let directory = match subscribers {
            "" => derivation.map(Directory::derived),
            csv => derivation.map(|it| Directory::from_csv(csv, Some(it)).expect("a right file")),
        };
        let directory = directory.map(|it| Arc::new(it.taking_modified(takes_modified)));
        let topology = Arc::new(Topology::new(&config, 1, directory));
        let mut addresses = Vec::new();
        for pcscf in &config.pcscf {
            let esp = SocketAddr::new(pcscf.address.ip(), pcscf.esp_port);
            addresses.extend([pcscf.address, esp, pcscf.mw]);
        }
        addresses.extend(config.icscf.iter().map(|role| role.mw));
        addresses.extend(config.scscf.iter().map(|role| role.mw));
        let doors = [Door::Mw(Role::Scscf), Door::Mw(Role::Icscf)];
        if config.scscf.is_some() && config.icscf.is_some() {
            for (door, back) in doors.into_iter().zip(1..) {
                assert_eq!(usize::from(topology.socket(door).0), addresses.len() - back);
            }
        }
        Self {
            shard: Shard::new(&config, Arc::clone(&topology), 0, [seed; 32]),
            mesh: Mesh::new(1, 1, 4096).pop().expect("a port for the one shard"),
            io: MemoryIo::new(256, 4096),
            topology,
            addresses,
        }
    }

    /// An operator's command; its answer, and what left.
    fn operate(&mut self, now: Time, command: &Command) -> (Result<Done, Refusal>, Vec<Wire>) {
        let done = self.shard.operate(now, &mut self.io, &mut self.mesh, command);
        (done, self.departures())
    }

    /// One tick; what left.
    fn tick(&mut self, now: Time) -> Vec<Wire> {
        self.io.turn(0).expect("memory does not fail");
        meter::around(|| self.shard.tick(now, &mut self.io, &mut self.mesh));
        self.departures()
    }

    fn departures(&mut self) -> Vec<Wire> {
        self.io.turn(0).expect("memory does not fail");
        let departures = self.io.departures.drain(..).map(|datagram| Wire {
            from: self.addresses[usize::from(datagram.socket.0)],
            to: datagram.peer,
            bytes: datagram.bytes,
        });
        departures.collect()
    }
}

impl std::fmt::Debug for World {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let shards: Vec<usize> = self.nodes.iter().map(|node| node.topology.shards).collect();
        f.debug_struct("World").field("now", &self.now).field("shards", &shards).finish()
    }
}
