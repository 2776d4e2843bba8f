//! The world of one simulated run: both sides, what is under way between them, and the time.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io::Write;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use imstorm_base::SocketId;
use imstorm_base::random::Random;
use imstorm_base::time::{Time, seconds};
use imstorm_cscf::Directory;
use imstorm_cscf::operator::Command;
use imstorm_engine::EngineConfig;
use imstorm_engine::shard::ShardTables;

use super::buffers::Buffers;
use super::invariants::Invariants;
use super::network::Links;
use super::shards::Shards;
use crate::generator::{ESP, Generator, RunSeed, UNPROTECTED};
use crate::operator::{Order, order};
use crate::profile::Profile;
use crate::recorder::Capture;

/// The clock at the run's start: not zero, so that a forgotten time shows.
pub const START_NS: Time = seconds(1000);
/// What is under way after so long will not end any more.
const RUN_NS_MAX: u64 = seconds(4 * 3600);

/// How a run ended.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// All UEs are through, and the engine holds nothing.
    Quiet,
    /// The time ran out before.
    TimedOut,
}

/// One side of a datagram's way.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Side {
    Engine,
    Ues,
}

/// A datagram under way.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct UnderWay {
    at: Time,
    /// Datagrams that arrive at one time do so in the order of their sending.
    number: u64,
    to: Side,
    socket: SocketId,
    peer: SocketAddr,
    local: IpAddr,
    bytes: Vec<u8>,
}

/// The world of one run.
pub struct World<'a> {
    now: Time,
    engine: Shards,
    generator: Generator,
    generator_io: Buffers,
    ue_port: u16,
    ue_esp_port: u16,
    links: Links,
    invariants: Invariants,
    under_way: BinaryHeap<Reverse<UnderWay>>,
    sent: u64,
    operator_refuses: bool,
    trace: Option<&'a mut dyn Write>,
}

impl<'a> World<'a> {
    /// A world at its start.
    #[must_use]
    pub fn new(
        profile: &Profile,
        config: &EngineConfig,
        directory: Arc<Directory>,
        seed: u64,
        trace: Option<&'a mut dyn Write>,
    ) -> Self {
        let random = Random::new(seed);
        let engine = Shards::new(config, &directory, &random);
        let run_seed = RunSeed { seed: random.fork(2).next_u64(), run: random.fork(3).next_u32() };
        let generator = Generator::new(profile, directory, run_seed, Capture::None);
        let invariants = Invariants::new(profile, generator.population.accesses() as usize);
        Self {
            now: START_NS,
            engine,
            generator,
            generator_io: Buffers::new(),
            ue_port: profile.ue.port,
            ue_esp_port: profile.ue.esp_port,
            invariants,
            links: Links::new(&profile.network, random.fork(4)),
            under_way: BinaryHeap::new(),
            sent: 0,
            operator_refuses: false,
            trace,
        }
    }

    /// Runs until nothing is left to happen.
    pub fn run(&mut self) -> Ended {
        if self.run_until(START_NS + RUN_NS_MAX) { Ended::TimedOut } else { Ended::Quiet }
    }

    /// Runs until this time; false where nothing is left to happen.
    pub fn run_until(&mut self, until: Time) -> bool {
        self.tick_generator();
        while !self.is_quiet() {
            let Some(next) = self.next_at() else { return false };
            if next > until {
                self.now = self.now.max(until);
                return true;
            }
            self.now = self.now.max(next);
            self.deliver();
            self.tick_engine();
            self.tick_generator();
            while self.generator.has_operator_work() {
                self.operate();
                self.tick_generator();
            }
            self.check();
        }
        false
    }

    /// An operator's command that no UE's procedure has asked for; the connections that it reached.
    pub fn command(&mut self, command: &Command) -> usize {
        let connections = self.engine.operate(self.now, command);
        self.send_of_engine();
        connections
    }

    /// From now on the operator refuses what UEs' procedures ask for.
    pub fn refuse_operator(&mut self) {
        self.operator_refuses = true;
    }

    fn check(&mut self) {
        let since_start_ns = self.now - START_NS;
        self.invariants.check(self.now, since_start_ns, &self.engine, &self.generator);
    }

    /// What was found of each event.
    #[must_use]
    pub fn invariants(&self) -> &Invariants {
        &self.invariants
    }

    /// The time.
    #[must_use]
    pub fn now(&self) -> Time {
        self.now
    }

    /// The engine.
    #[must_use]
    pub fn engine(&self) -> &Shards {
        &self.engine
    }

    /// The UEs.
    #[must_use]
    pub fn generator(&self) -> &Generator {
        &self.generator
    }

    /// The UEs, for a test that changes one under way.
    #[cfg(test)]
    pub(crate) fn generator_mut(&mut self) -> &mut Generator {
        &mut self.generator
    }

    /// Datagrams that were put on the network.
    #[must_use]
    pub fn datagrams(&self) -> u64 {
        self.sent
    }

    fn is_quiet(&self) -> bool {
        let holds_nothing = |tables: ShardTables| {
            tables.pcscf.connections == 0
                && tables.pcscf.transactions == 0
                && tables.pcscf.strings_bytes == 0
                && tables.scscf.subscriptions == 0
                && tables.scscf.sessions == 0
                && tables.scscf.challenges == 0
                && tables.scscf.notifications == 0
        };
        self.generator.is_done()
            && self.under_way.is_empty()
            && self.engine.iter().all(|shard| holds_nothing(shard.tables()))
    }

    fn next_at(&self) -> Option<Time> {
        let arrival = self.under_way.peek().map(|Reverse(next)| next.at);
        [arrival, self.engine.next_deadline(), self.generator.next_deadline()]
            .into_iter()
            .flatten()
            .min()
    }

    /// Puts what arrives now into the inboxes.
    fn deliver(&mut self) {
        self.engine.clear_inboxes();
        self.generator_io.clear();
        while self.under_way.peek().is_some_and(|Reverse(next)| next.at <= self.now) {
            let Some(Reverse(next)) = self.under_way.pop() else { break };
            let (ue, has_room) = match next.to {
                Side::Engine => {
                    let has_room =
                        self.engine.deliver(next.socket, next.peer, next.local, &next.bytes);
                    (next.peer.ip(), has_room)
                }
                Side::Ues => {
                    let UnderWay { socket, peer, local, bytes, .. } = &next;
                    (next.local, self.generator_io.push(*socket, *peer, *local, bytes))
                }
            };
            if !has_room {
                // It waits in the socket's buffer for the next tick.
                self.under_way.push(Reverse(next));
                break;
            }
            if let Some(ue) = self.generator.population.ue_at(ue) {
                self.invariants.arrived(ue);
            }
        }
    }

    fn tick_engine(&mut self) {
        self.engine.tick(self.now);
        self.send_of_engine();
    }

    /// Puts on the network what the engine has to send.
    fn send_of_engine(&mut self) {
        let mut sent = Vec::new();
        self.engine.drain(|socket, peer, bytes| sent.push((socket, None, peer, bytes.to_vec())));
        for (socket, source, peer, bytes) in sent {
            self.put(Side::Engine, socket, source, peer, bytes);
        }
    }

    /// Does at once what UEs' procedures and the profile ask the operator for.
    fn operate(&mut self) {
        while let Some(call) = self.generator.next_operator_call() {
            // A command that meets no connection has come too late.
            let is_done = !self.operator_refuses
                && match order(call.kind, self.generator.impi(call.ue)) {
                    Order::Command(command) => self.command(&command) > 0,
                    Order::Switch(switch) => self.engine.switch(&switch) > 0,
                };
            self.generator.operator_call_over(call, is_done);
        }
    }

    fn tick_generator(&mut self) {
        self.generator.tick(self.now, &mut self.generator_io);
        self.generator_io.clear();
        while self.generator.is_at_border() {
            // Nobody wants to look at the engine.
            self.generator.go_on_course();
            self.generator.tick(self.now, &mut self.generator_io);
        }
        self.generator_io.clear();
        let mut sent = Vec::new();
        self.generator_io.drain(|queued, bytes| {
            sent.push((queued.socket, queued.source, queued.peer, bytes.to_vec()));
        });
        for (socket, source, peer, bytes) in sent {
            self.put(Side::Ues, socket, source, peer, bytes);
        }
    }

    /// Puts a datagram on the network.
    fn put(
        &mut self,
        from: Side,
        socket: SocketId,
        source: Option<IpAddr>,
        to: SocketAddr,
        bytes: Vec<u8>,
    ) {
        let number = self.sent;
        self.sent += 1;
        let (side, source, there) = match from {
            Side::Engine => {
                let source = self.engine.address_of(socket);
                let there = if to.port() == self.ue_esp_port { ESP } else { UNPROTECTED };
                let known = to.port() == self.ue_esp_port || to.port() == self.ue_port;
                (Side::Ues, source, known.then_some(there))
            }
            Side::Ues => {
                let port = if socket == ESP { self.ue_esp_port } else { self.ue_port };
                let source = SocketAddr::new(source.expect("a UE's address"), port);
                (Side::Engine, source, self.engine.socket_at(to))
            }
        };
        let fate = self.links.fate();
        if let Some(trace) = &mut self.trace {
            let line = super::checks::trace_line(self.now, number, source, to, fate, &bytes);
            // A trace that can't be written is noticed when it is closed; the run goes on.
            let _ = trace.write_all(line.as_bytes());
        }
        let Some(socket) = there else { return };
        let ue = match side {
            Side::Engine => source.ip(),
            Side::Ues => to.ip(),
        };
        let ue = self.generator.population.ue_at(ue);
        let mut arrive = |delay_ns: u64, bytes: Vec<u8>| {
            if let Some(ue) = ue {
                self.invariants.sent(ue);
            }
            self.under_way.push(Reverse(UnderWay {
                at: self.now + delay_ns,
                number,
                to: side,
                socket,
                peer: source,
                local: to.ip(),
                bytes,
            }));
        };
        if let Some(delay_ns) = fate.duplicate_ns {
            arrive(delay_ns, bytes.clone());
        }
        if let Some(delay_ns) = fate.arrival_ns {
            arrive(delay_ns, bytes);
        }
    }
}
