//! The engine as a running thing: sockets, a thread for each shard, and the control plane.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Instant;

use imstorm_base::Io;
use imstorm_base::time::NS_PER_MS;
use imstorm_control::{Handler, Request, Response, Server};
use imstorm_cscf::hss::Directory;
use imstorm_uring::backend::Sizes;
use imstorm_uring::{
    Backend, BindError, BoundSocket, Clock, Mesh, MeshPort, Waker, backend, process, steer, udp,
};

use crate::config::{ConfigError, EngineConfig, SHARDS_MAX};
use crate::shard::{Hop, Shard, users_per_shard};
use crate::status::{Published, status};
use crate::topology::{Door, Topology};

/// Datagrams that one shard may have handed to another before that one looks.
const MESH_SLOTS: usize = 1024;
/// How often a shard publishes its numbers.
const PUBLISH_NS: u64 = 20 * NS_PER_MS;
/// The longest that a shard sleeps: so long may a stop take to be seen.
const WAIT_NS_MAX: u64 = 100 * NS_PER_MS;

/// Why the engine can't start.
#[derive(Debug)]
pub enum StartError {
    /// The configuration, or a file that it names, is wrong.
    Config(ConfigError),
    /// A socket can't be had.
    Bind(BindError),
    /// The control plane can't listen.
    Admin(SocketAddr, io::Error),
    /// Something else of the system is missing.
    System(&'static str, io::Error),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config(error) => error.fmt(f),
            Self::Bind(error) => error.fmt(f),
            Self::Admin(address, error) => write!(f, "admin {address}: {error}"),
            Self::System(what, error) => write!(f, "{what}: {error}"),
        }
    }
}

impl std::error::Error for StartError {}

/// A running engine. Dropping it does not stop it; [`Engine::stop`] does.
#[derive(Debug)]
pub struct Engine {
    threads: Vec<JoinHandle<io::Result<()>>>,
    wakers: Vec<Waker>,
    stop: Arc<AtomicBool>,
    server: Server,
    /// The back end that is in use.
    pub io: Backend,
}

/// What a configuration comes to on this machine.
#[derive(Debug)]
pub struct Plan {
    /// The configuration.
    pub config: EngineConfig,
    /// Addresses and sockets.
    pub topology: Arc<Topology>,
    /// The core of each shard.
    pub cores: Vec<usize>,
}

impl Plan {
    /// Works out shards and subscribers. Opens nothing but the subscriber file.
    ///
    /// # Errors
    /// Where the subscriber file is wrong, or the machine does not have the cores.
    pub fn new(config: EngineConfig) -> Result<Self, StartError> {
        let allowed = process::allowed_cores()
            .map_err(|error| StartError::System("the cores that this process may use", error))?;
        let cores = if config.cores.is_empty() { allowed } else { config.cores.clone() };
        let shards = match *config.shards.get_ref() {
            0 => cores.len().clamp(1, SHARDS_MAX),
            shards => shards,
        };
        let cores = (0..shards).map(|shard| cores[shard % cores.len()]).collect();
        let directory = load_directory(&config).map_err(StartError::Config)?.map(Arc::new);
        let topology = Arc::new(Topology::new(&config, shards, directory));
        Ok(Self { config, topology, cores })
    }

    fn open_sockets(&self) -> Result<Vec<Vec<BoundSocket>>, StartError> {
        let shards = self.topology.shards;
        let mut all = Vec::with_capacity(shards);
        for shard in 0..shards {
            let specs = self.topology.sockets(&self.config, shard);
            all.push(udp::open(&specs).map_err(StartError::Bind)?);
        }
        if shards > 1 {
            let program = steer::by_spi(u32::try_from(shards).expect("few shards"));
            for number in 0..self.config.pcscf.len() {
                let number = u8::try_from(number).expect("few P-CSCFs");
                let id = self.topology.socket(Door::Esp(number));
                let member = all[0].iter().find(|socket| socket.id() == id).expect("just opened");
                steer::attach(member, &program)
                    .map_err(|error| StartError::System("steering by SPI", error))?;
            }
        }
        Ok(all)
    }
}

/// Reads the subscribers that a configuration names.
fn load_directory(config: &EngineConfig) -> Result<Option<Directory>, ConfigError> {
    let Some(section) = &config.subscribers else { return Ok(None) };
    let Some(file) = &section.file else {
        return Ok(section.derivation().map(Directory::derived));
    };
    let path = config.directory.join(file);
    let error = |line: u64, problem: String| ConfigError {
        file: path.display().to_string(),
        line: usize::try_from(line).unwrap_or(usize::MAX),
        column: 1,
        problem,
    };
    let text = std::fs::read_to_string(&path)
        .map_err(|cause| error(0, format!("can't be read: {cause}")))?;
    Directory::from_csv(&text, section.derivation())
        .map(Some)
        .map_err(|cause| error(cause.line, format!("{}: {}", cause.field, cause.problem)))
}

impl Engine {
    /// Opens sockets and control plane, and starts the shards.
    ///
    /// # Errors
    /// As [`StartError`] says; nothing runs then.
    pub fn start(plan: &Plan) -> Result<Self, StartError> {
        let io = usable_backend(plan.config.io);
        let shards = plan.topology.shards;
        let sockets = plan.open_sockets()?;
        let published: Arc<Vec<Published>> =
            Arc::new((0..shards).map(|_| Published::default()).collect());
        let server = start_admin(plan.config.admin, Arc::clone(&published), io)?;
        let stop = Arc::new(AtomicBool::new(false));
        let meshes = Mesh::new::<Hop>(shards, MESH_SLOTS, 4096);
        let (waker_sender, waker_receiver) = std::sync::mpsc::channel();
        let mut threads = Vec::with_capacity(shards);
        for (number, (sockets, mesh)) in sockets.into_iter().zip(meshes).enumerate() {
            let worker = Worker {
                number,
                core: plan.cores[number],
                io,
                published: Arc::clone(&published),
                stop: Arc::clone(&stop),
                seed: entropy().map_err(|error| StartError::System("randomness", error))?,
            };
            let (config, topology) = (plan.config.clone(), Arc::clone(&plan.topology));
            let waker_sender = waker_sender.clone();
            let thread = std::thread::Builder::new()
                .name(format!("shard-{number}"))
                .spawn(move || {
                    let result = worker.run(&config, topology, sockets, mesh, |waker| {
                        // Nobody waits for it any more where the start has failed elsewhere.
                        let _ = waker_sender.send(Ok(waker));
                    });
                    if let Err(error) = &result {
                        let error = io::Error::new(error.kind(), error.to_string());
                        let _ = waker_sender.send(Err(error));
                    }
                    result
                })
                .map_err(|error| StartError::System("a thread for a shard", error))?;
            threads.push(thread);
        }
        drop(waker_sender);
        let mut wakers = Vec::with_capacity(shards);
        for _ in 0..shards {
            match waker_receiver.recv() {
                Ok(Ok(waker)) => wakers.push(waker),
                Ok(Err(error)) => return Err(StartError::System("a shard's sockets", error)),
                Err(_) => {
                    let error = io::Error::other("a shard ended before it had begun");
                    return Err(StartError::System("a shard", error));
                }
            }
        }
        Ok(Self { threads, wakers, stop, server, io })
    }

    /// Where the control plane listens.
    #[must_use]
    pub fn admin(&self) -> SocketAddr {
        self.server.local_addr
    }

    /// Stops all shards and waits for them.
    ///
    /// # Errors
    /// The first error with which a shard has ended.
    pub fn stop(self) -> io::Result<()> {
        self.stop.store(true, Ordering::Release);
        for waker in &self.wakers {
            waker.wake();
        }
        for thread in self.threads {
            thread.join().map_err(|_| io::Error::other("a shard panicked"))??;
        }
        Ok(())
    }
}

/// The configured back end, or the other one where io_uring is forbidden.
fn usable_backend(asked: Backend) -> Backend {
    match (asked, imstorm_uring::probe()) {
        (Backend::Uring, Err(why)) => {
            tracing::warn!("io_uring can't be used here ({why}); going on with mmsg");
            Backend::Mmsg
        }
        (asked, _) => asked,
    }
}

fn start_admin(
    address: SocketAddr,
    published: Arc<Vec<Published>>,
    io: Backend,
) -> Result<Server, StartError> {
    let started = Instant::now();
    let handler: Handler =
        Arc::new(move |request: Request| match (request.method.as_str(), request.path.as_str()) {
            ("GET", "/v1/status") => {
                Response::json(200, status(&published, started, io).to_string())
            }
            (_, "/v1/status") => Response::text(405, "only GET\n"),
            _ => Response::text(404, "no such resource; there is GET /v1/status\n"),
        });
    imstorm_control::start(address, handler).map_err(|error| StartError::Admin(address, error))
}

/// Randomness for one shard's tokens and challenges.
fn entropy() -> io::Result<[u8; 32]> {
    use std::io::Read;
    let mut seed = [0; 32];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut seed)?;
    Ok(seed)
}

/// One shard's thread.
struct Worker {
    number: usize,
    core: usize,
    io: Backend,
    published: Arc<Vec<Published>>,
    stop: Arc<AtomicBool>,
    seed: [u8; 32],
}

impl Worker {
    fn run(
        self,
        config: &EngineConfig,
        topology: Arc<Topology>,
        sockets: Vec<BoundSocket>,
        mut mesh: MeshPort<Hop>,
        ready: impl FnOnce(Waker),
    ) -> io::Result<()> {
        if let Err(error) = process::pin_to_core(self.core) {
            tracing::warn!("shard {} is not pinned to core {}: {error}", self.number, self.core);
        }
        let users = users_per_shard(config, &topology);
        let mut shard = Shard::new(config, topology, self.number, self.seed);
        shard.prefill(users);
        let mut io = backend::open(self.io, sockets, &Sizes::default())?;
        mesh.wake_with(io.waker());
        ready(io.waker());
        let clock = Clock::new();
        let mut publish_at = 0;
        while !self.stop.load(Ordering::Acquire) {
            let now = clock.now();
            let due = shard.next_deadline().map_or(WAIT_NS_MAX, |at| at.saturating_sub(now));
            io.turn(due.min(WAIT_NS_MAX))?;
            let now = clock.now();
            shard.tick(now, &mut io, &mut mesh);
            if now >= publish_at {
                self.published[self.number].publish(&shard);
                publish_at = now + PUBLISH_NS;
            }
        }
        self.published[self.number].publish(&shard);
        Ok(())
    }
}
