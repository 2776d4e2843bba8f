//! The engine of a simulated run: its shards, a thread's work each, one after the other. What the kernel would do between network and
//! shards is done here: ESP goes to the shard that its SPI names, other datagrams to one that their source decides.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use imstorm_base::random::Random;
use imstorm_base::time::Time;
use imstorm_base::{HashSeed, SocketId};
use imstorm_cscf::Directory;
use imstorm_cscf::operator::Command;
use imstorm_engine::shard::ShardTables;
use imstorm_engine::switch::Switch;
use imstorm_engine::topology::{Door, Topology};
use imstorm_engine::{EngineConfig, Hop, Shard};
use imstorm_uring::{Mesh, MeshPort, steer};

use super::buffers::{Buffers, SLOT_BYTES};

/// Messages that one shard may have under way to another.
const MESH_SLOTS: usize = 256;

/// All shards of an engine.
#[derive(Debug)]
pub struct Shards {
    topology: Arc<Topology>,
    /// The sockets, by address; the same on each shard.
    sockets: HashMap<SocketAddr, SocketId>,
    places: Vec<Place>,
    /// Spreads what is not protected, as the kernel's hash does.
    spread: HashSeed,
}

#[derive(Debug)]
struct Place {
    shard: Shard,
    mesh: MeshPort<Hop>,
    io: Buffers,
}

impl Place {
    /// Whether a datagram has come, or a timer is due.
    fn is_due(&self, now: Time) -> bool {
        !self.io.is_empty() || self.shard.next_deadline().is_some_and(|at| at <= now)
    }
}

impl Shards {
    /// The shards of the configured engine; `random` seeds them.
    #[must_use]
    pub fn new(config: &EngineConfig, directory: &Arc<Directory>, random: &Random) -> Self {
        let count = (*config.shards.get_ref()).max(1);
        let topology = Arc::new(Topology::new(config, count, Some(Arc::clone(directory))));
        let mut sockets = HashMap::new();
        for (number, pcscf) in (0_u8..).zip(&config.pcscf) {
            let esp = SocketAddr::new(pcscf.address.ip(), pcscf.esp_port);
            sockets.insert(pcscf.address, topology.socket(Door::Unprotected(number)));
            sockets.insert(esp, topology.socket(Door::Esp(number)));
        }
        let ports = Mesh::new(count, MESH_SLOTS, SLOT_BYTES);
        let places = (0..).zip(ports).map(|(number, mesh)| {
            let mut seed = [0; 32];
            random.fork(FIRST_SEED + (number as u64) * SEED_STEP).bytes(&mut seed);
            let shard = Shard::new(config, Arc::clone(&topology), number, seed);
            Place { shard, mesh, io: Buffers::new() }
        });
        let places = places.collect();
        Self {
            topology,
            sockets,
            places,
            spread: HashSeed::new(random.fork(FIRST_SEED).next_u64()),
        }
    }

    /// The socket that is bound to an address.
    #[must_use]
    pub fn socket_at(&self, address: SocketAddr) -> Option<SocketId> {
        self.sockets.get(&address).copied()
    }

    /// The address that a socket is bound to.
    ///
    /// # Panics
    /// If it is none of the engine's.
    #[must_use]
    pub fn address_of(&self, socket: SocketId) -> SocketAddr {
        let mut own = self.sockets.iter().filter(|(_, id)| **id == socket);
        *own.next().expect("a socket of the engine").0
    }

    /// Puts a datagram into the inbox of the shard to which the kernel would steer it. False where there is no room.
    pub fn deliver(
        &mut self,
        socket: SocketId,
        peer: SocketAddr,
        to: IpAddr,
        bytes: &[u8],
    ) -> bool {
        let place = self.place_for(socket, peer, bytes);
        self.places[place].io.push(socket, peer, to, bytes)
    }

    fn place_for(&self, socket: SocketId, peer: SocketAddr, bytes: &[u8]) -> usize {
        let count = self.places.len();
        let spi = imstorm_esp::spi(bytes);
        match (self.topology.door(socket), spi) {
            (Door::Esp(_), Some(spi)) => steer::shard_of_spi(spi, count as u32) as usize,
            _ => {
                let port = peer.port().to_be_bytes();
                let hash = self.spread.hash2(peer.ip().to_string().as_bytes(), &port);
                (hash % count as u64) as usize
            }
        }
    }

    /// Forgets what is in the inboxes.
    pub fn clear_inboxes(&mut self) {
        for place in &mut self.places {
            place.io.clear();
        }
    }

    /// A tick of each shard that has something to do, and of all of them while one has something for another.
    pub fn tick(&mut self, now: Time) {
        let mut all = self.is_between_shards();
        loop {
            for place in self.places.iter_mut().filter(|place| all || place.is_due(now)) {
                place.shard.tick(now, &mut place.io, &mut place.mesh);
                place.io.clear();
            }
            all = self.is_between_shards();
            if !all {
                return;
            }
        }
    }

    fn is_between_shards(&self) -> bool {
        let sent: u64 = self.places.iter().map(|place| place.mesh.sender.sent()).sum();
        let received: u64 = self.places.iter().map(|place| place.mesh.receiver.received()).sum();
        sent > received
    }

    /// Takes all that is to be sent.
    pub fn drain(&mut self, mut each: impl FnMut(SocketId, SocketAddr, &[u8])) {
        for place in &mut self.places {
            place.io.drain(|queued, bytes| each(queued.socket, queued.peer, bytes));
        }
    }

    /// An operator's command, to the user's shard first and then to the others; the connections that it reached.
    pub fn operate(&mut self, now: Time, command: &Command) -> usize {
        let owner = self.topology.owner(command.impi());
        let others = (0..self.places.len()).filter(|number| *number != owner);
        let mut connections = 0;
        for number in std::iter::once(owner).chain(others) {
            let Place { shard, mesh, io } = &mut self.places[number];
            let done = shard.operate(now, io, mesh, command);
            connections += done.map_or(0, |done| done.connections);
        }
        if self.is_between_shards() {
            self.tick(now);
        }
        connections
    }

    /// Throws a switch at all shards; how many parts of roles were meant.
    pub fn switch(&mut self, switch: &Switch) -> usize {
        self.places.iter_mut().map(|place| place.shard.switch(switch)).sum()
    }

    /// When the next timer is due.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Time> {
        self.iter().filter_map(Shard::next_deadline).min()
    }

    /// The shards, in the order of their numbers.
    pub fn iter(&self) -> impl Iterator<Item = &Shard> {
        self.places.iter().map(|place| &place.shard)
    }

    /// A count of all shards' tables.
    #[must_use]
    pub fn sum(&self, count: impl Fn(&ShardTables) -> usize) -> usize {
        self.iter().map(|shard| count(&shard.tables())).sum()
    }

    /// A counter of all shards.
    #[must_use]
    pub fn counter(&self, count: impl Fn(&imstorm_cscf::Counters) -> u64) -> u64 {
        self.iter().map(|shard| count(shard.counters())).sum()
    }
}

/// Which of the run's seeds the first shard has, and how far the next one's is from it.
const FIRST_SEED: u64 = 1;
const SEED_STEP: u64 = 1000;
