//! Which role has which address, and which socket is whose: worked out once from the configuration, the same for all shards.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use imstorm_base::SocketId;
use imstorm_cscf::Directory;
use imstorm_uring::SocketSpec;

use crate::config::EngineConfig;

/// A role on a shard.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Role {
    /// The P-CSCF with this number.
    Pcscf(u8),
    /// The I-CSCF.
    Icscf,
    /// The S-CSCF.
    Scscf,
}

/// What a socket is for.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Door {
    /// Unprotected SIP, at this P-CSCF.
    Unprotected(u8),
    /// ESP in UDP, at this P-CSCF.
    Esp(u8),
    /// Mw, at this role.
    Mw(Role),
}

/// Where everything is.
#[derive(Debug)]
pub struct Topology {
    /// How many shards there are.
    pub shards: usize,
    /// The subscribers, where this process knows them.
    pub directory: Option<Arc<Directory>>,
    /// This process's roles and their Mw addresses on the first shard.
    roles: Vec<(Role, SocketAddr)>,
    /// Who may speak on Mw.
    peers: Vec<IpAddr>,
    /// By [`SocketId`], the same on each shard.
    doors: Vec<Door>,
}

impl Topology {
    /// The topology of a configuration.
    #[must_use]
    pub fn new(config: &EngineConfig, shards: usize, directory: Option<Arc<Directory>>) -> Self {
        let mut doors = Vec::new();
        let roles = mw_bases(config);
        for (role, _) in &roles {
            if let Role::Pcscf(number) = *role {
                doors.extend([Door::Unprotected(number), Door::Esp(number)]);
            }
            doors.push(Door::Mw(*role));
        }
        Self { shards, directory, roles, peers: config.peers.clone(), doors }
    }

    /// The role at a Mw address, and its shard: a role's ports follow each other, a shard each.
    #[must_use]
    pub fn role_at(&self, address: SocketAddr) -> Option<(usize, Role)> {
        self.roles.iter().find_map(|(role, base)| {
            let shard = usize::from(address.port().checked_sub(base.port())?);
            (shard < self.shards && address.ip() == base.ip()).then_some((shard, *role))
        })
    }

    /// All Mw addresses of this process.
    #[must_use]
    pub fn mw_addresses(&self) -> Vec<SocketAddr> {
        let bases = self.roles.iter().map(|(_, base)| *base);
        bases.flat_map(|base| (0..self.shards).map(move |shard| on_shard(base, shard))).collect()
    }

    /// Whether Mw takes datagrams from there.
    #[must_use]
    pub fn is_peer(&self, address: IpAddr) -> bool {
        self.peers.contains(&address)
    }

    /// What a socket is for.
    #[must_use]
    pub fn door(&self, socket: SocketId) -> Door {
        self.doors[usize::from(socket.0)]
    }

    /// The socket for a door.
    ///
    /// # Panics
    /// Where this process has no such role.
    #[must_use]
    pub fn socket(&self, door: Door) -> SocketId {
        let place = self.doors.iter().position(|other| *other == door);
        SocketId(place.and_then(|place| u8::try_from(place).ok()).expect("a door of this process"))
    }

    /// The sockets of one shard.
    #[must_use]
    pub fn sockets(&self, config: &EngineConfig, shard: usize) -> Vec<SocketSpec> {
        let spec = |door: Door, bind: SocketAddr, shared: bool| SocketSpec {
            id: self.socket(door),
            bind,
            reuse_port: shared && self.shards > 1,
            receive_buffer_bytes: config.receive_buffer_bytes,
            packet_info: false,
        };
        let mut sockets = Vec::new();
        for (role, base) in mw_bases(config) {
            if let Role::Pcscf(number) = role {
                let pcscf = &config.pcscf[usize::from(number)];
                let esp = SocketAddr::new(pcscf.address.ip(), pcscf.esp_port);
                sockets.push(spec(Door::Unprotected(number), pcscf.address, true));
                sockets.push(spec(Door::Esp(number), esp, true));
            }
            sockets.push(spec(Door::Mw(role), on_shard(base, shard), false));
        }
        sockets
    }

    /// The shard that owns the user with this private identity.
    #[must_use]
    pub fn owner(&self, impi: &[u8]) -> usize {
        match &self.directory {
            Some(directory) => directory.owner(impi, self.shards),
            None => Directory::default().owner(impi, self.shards),
        }
    }
}

/// A role's address on a shard: the configured one, its port moved by the shard's number.
#[must_use]
pub fn on_shard(base: SocketAddr, shard: usize) -> SocketAddr {
    let offset = u16::try_from(shard).unwrap_or(u16::MAX);
    SocketAddr::new(base.ip(), base.port().saturating_add(offset))
}

fn mw_bases(config: &EngineConfig) -> Vec<(Role, SocketAddr)> {
    let pcscfs =
        config.pcscf.iter().zip(0..).map(|(pcscf, number)| (Role::Pcscf(number), pcscf.mw));
    let icscf = config.icscf.iter().map(|icscf| (Role::Icscf, icscf.mw));
    let scscf = config.scscf.iter().map(|scscf| (Role::Scscf, scscf.mw));
    pcscfs.chain(icscf).chain(scscf).collect()
}
