//! The engine as a running thing: sockets, a thread for each shard, and the control plane.

use std::fmt;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Instant;

use imstorm_base::Io;
use imstorm_base::time::{NS_PER_MS, Time};
use imstorm_control::{Address, Handler, Request, Server};
use imstorm_cscf::hss::Directory;
use imstorm_uring::backend::Sizes;
use imstorm_uring::{
    Backend, BindError, BoundSocket, Clock, Mesh, MeshPort, Waker, backend, process, steer, udp,
};

use crate::api::Api;
use crate::config::{ConfigError, EngineConfig, SHARDS_MAX};
use crate::inquiry::{self, Desk, Inquiries, Inquiry};
use crate::metrics::Metrics;
use crate::shard::{Hop, Shard, users_per_shard};
use crate::status::Published;
use crate::switch::SecurityEvent;
use crate::token::Token;
use crate::topology::{Door, Topology};

/// Datagrams that one shard may have handed to another before that one looks.
const MESH_SLOTS: usize = 1024;
/// How often a shard publishes its numbers.
const PUBLISH_NS: u64 = 20 * NS_PER_MS;
/// The longest that a shard sleeps: so long may a stop take to be seen.
const WAIT_NS_MAX: u64 = 100 * NS_PER_MS;
/// How late a timer may be: those of a millisecond come together. A transaction's timers are hundreds of milliseconds long (RFC 3261
/// clause 17.1.1.1 calls T1 an estimate), and thousands may run at once.
const TIMER_SLACK_NS: u64 = NS_PER_MS;

/// Why the engine can't start.
#[derive(Debug)]
pub enum StartError {
    /// The configuration, or a file that it names, is wrong.
    Config(ConfigError),
    /// A socket can't be had.
    Bind(BindError),
    /// The control plane can't listen.
    Admin(Address, io::Error),
    /// Something else of the system is missing.
    System(&'static str, io::Error),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config(error) => error.fmt(f),
            Self::Bind(error) => error.fmt(f),
            Self::Admin(address, error) => {
                write!(f, "admin {address}: {error}{}", admin_hint(error))
            }
            Self::System(what, error) => write!(f, "{what}: {error}"),
        }
    }
}

impl std::error::Error for StartError {}

/// What to do where the control plane can't listen.
fn admin_hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            " (is another engine running? `ss -ltnp` shows who has it; `admin` in the configuration may name another address, or port 0 for a free one)"
        }
        io::ErrorKind::AddrNotAvailable => " (no interface of this machine has that address)",
        io::ErrorKind::NotFound => " (the folder of the socket is not there)",
        io::ErrorKind::PermissionDenied => {
            " (ports below 1024 need CAP_NET_BIND_SERVICE, a socket a folder that you may write to)"
        }
        _ => "",
    }
}

/// A running engine. Dropping it does not stop it; [`Engine::stop`] does.
#[derive(Debug)]
pub struct Engine {
    running: Running,
    server: Server,
    /// The back end that is in use.
    pub io: Backend,
    /// Bytes that the tables and buffers of one shard take when they are full.
    pub reserved_bytes: usize,
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
    /// What the control plane's clients must know, if anything.
    pub token: Option<Token>,
}

impl Plan {
    /// Works out shards and subscribers. Opens nothing but the files that the configuration names.
    ///
    /// # Errors
    /// Where the subscriber or token file is wrong, or the machine does not have the cores.
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
        let token = load_token(&config)?;
        let topology = Arc::new(Topology::new(&config, shards, directory));
        Ok(Self { config, topology, cores, token })
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
        let directory = section.derivation().map(Directory::derived);
        return Ok(directory.map(|it| it.taking_modified(config.hss.takes_modified_impis())));
    };
    let path = config.directory.join(file);
    let error = |line: u64, problem: String| ConfigError {
        file: path.display().to_string(),
        line: usize::try_from(line).unwrap_or(usize::MAX),
        column: 1,
        problem,
    };
    let text = std::fs::read_to_string(&path)
        .map_err(|cause| error(0, format!("can't be read: {cause} (subscribers.file names it)")))?;
    Directory::from_csv(&text, section.derivation())
        .map(|it| it.taking_modified(config.hss.takes_modified_impis()))
        .map(Some)
        .map_err(|cause| error(cause.line, format!("{}: {}", cause.field, cause.problem)))
}

/// Reads the control plane's token, if there is to be one.
fn load_token(config: &EngineConfig) -> Result<Option<Token>, StartError> {
    let Some(file) = &config.admin_token_file else { return Ok(None) };
    let path = config.directory.join(file);
    Token::read(&path).map(Some).map_err(|error| {
        let file = path.display().to_string();
        match error.kind() {
            io::ErrorKind::InvalidData => {
                let problem = error.to_string();
                StartError::Config(ConfigError { file, line: 0, column: 0, problem })
            }
            kind => {
                let hint = match kind {
                    io::ErrorKind::NotFound => {
                        format!(" (one is made by: head -c 24 /dev/urandom | base64 > {file})")
                    }
                    _ => String::new(),
                };
                let error = io::Error::new(kind, format!("{file}: {error}{hint}"));
                StartError::System("admin_token_file", error)
            }
        }
    })
}

impl Engine {
    /// Opens the sockets, starts the shards, and once all of them serve, the control plane: whoever it answers can be sure that
    /// no user waits for memory to be claimed.
    ///
    /// # Errors
    /// As [`StartError`] says; nothing runs then.
    pub fn start(plan: &Plan) -> Result<Self, StartError> {
        let started = Instant::now();
        if let Some(trust) = plan.config.trust() {
            tracing::warn!("{trust}");
        }
        let io = usable_backend(plan.config.io);
        let shards = plan.topology.shards;
        let sockets = plan.open_sockets()?;
        let published: Arc<Vec<Published>> =
            Arc::new((0..shards).map(|_| Published::default()).collect());
        let (askers, inquiries): (Vec<_>, Vec<_>) = (0..shards).map(|_| inquiry::queue()).unzip();
        let mut running = Running::start(plan, io, sockets, inquiries, &published)?;
        let deviation = plan.config.deviation();
        let api = Api {
            metrics: Metrics::registry(Arc::clone(&published), started, io, deviation.as_deref()),
            desk: Desk::new(askers.into_iter().zip(running.wakers.iter().cloned()).collect()),
            topology: Arc::clone(&plan.topology),
            published,
            started,
            io,
            deviation,
            security_event: Mutex::new(SecurityEvent::new(&plan.config)),
            expires_max_s: plan.config.scscf.as_ref().map(|scscf| scscf.expires_max_s),
        };
        match start_admin(plan, api) {
            Ok(server) => {
                let reserved_bytes = running.reserved_bytes + Sizes::default().reserved_bytes();
                Ok(Self { running, server, io, reserved_bytes })
            }
            Err(error) => {
                // What the shards end with is of no interest beside the reason.
                let _ = running.stop();
                Err(error)
            }
        }
    }

    /// Where the control plane listens.
    #[must_use]
    pub fn admin(&self) -> &Address {
        &self.server.address
    }

    /// Stops the control plane and all shards, and waits for them.
    ///
    /// # Errors
    /// The first error with which a shard has ended.
    pub fn stop(self) -> io::Result<()> {
        let Self { mut running, server, .. } = self;
        drop(server);
        running.stop()
    }
}

/// The shards' threads.
#[derive(Debug)]
struct Running {
    threads: Vec<JoinHandle<io::Result<()>>>,
    /// Of the shards that serve; all of them, in their order, once it has started.
    wakers: Vec<Waker>,
    /// Of one shard's tables: they are all alike.
    reserved_bytes: usize,
    stop: Arc<AtomicBool>,
}

/// A shard serves.
struct Ready {
    waker: Waker,
    reserved_bytes: usize,
}

impl Running {
    /// Starts the shards and waits until all of them serve.
    fn start(
        plan: &Plan,
        io: Backend,
        sockets: Vec<Vec<BoundSocket>>,
        inquiries: Vec<Inquiries>,
        published: &Arc<Vec<Published>>,
    ) -> Result<Self, StartError> {
        let shards = plan.topology.shards;
        let stop = Arc::new(AtomicBool::new(false));
        let (threads, wakers) = (Vec::with_capacity(shards), Vec::with_capacity(shards));
        let mut running = Self { threads, wakers, reserved_bytes: 0, stop };
        let meshes = Mesh::new::<Hop>(shards, MESH_SLOTS, 4096);
        let mut starts = Vec::with_capacity(shards);
        let ends = sockets.into_iter().zip(meshes).zip(inquiries);
        for (number, ((sockets, mesh), inquiries)) in ends.enumerate() {
            let worker = Worker {
                number,
                core: plan.cores[number],
                io,
                batch_wait_us: *plan.config.io_batch_wait_us.get_ref(),
                published: Arc::clone(published),
                stop: Arc::clone(&running.stop),
            };
            let (ready, is_ready) = mpsc::channel();
            match worker.start(plan, sockets, mesh, inquiries, ready) {
                Ok(thread) => running.threads.push(thread),
                Err(error) => return Err(running.abandon(error)),
            }
            starts.push(is_ready);
        }
        for is_ready in starts {
            // Nothing comes from a shard that ended before it served.
            match is_ready.recv() {
                Ok(ready) => {
                    running.wakers.push(ready.waker);
                    running.reserved_bytes = ready.reserved_bytes;
                }
                Err(_) => {
                    let ended = io::Error::other("a shard ended before it had begun");
                    return Err(running.abandon(StartError::System("a shard", ended)));
                }
            }
        }
        Ok(running)
    }

    /// Ends what has been started. What a shard ended with tells more than that it did not begin.
    fn abandon(mut self, error: StartError) -> StartError {
        match self.stop() {
            Ok(()) => error,
            Err(cause) => StartError::System("a shard", cause),
        }
    }

    fn stop(&mut self) -> io::Result<()> {
        self.stop.store(true, Ordering::Release);
        for waker in &self.wakers {
            waker.wake();
        }
        let mut result = Ok(());
        for thread in self.threads.drain(..) {
            let ended = thread.join().unwrap_or_else(|_| Err(io::Error::other("a shard panicked")));
            result = result.and(ended);
        }
        result
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

fn start_admin(plan: &Plan, api: Api) -> Result<Server, StartError> {
    let address = plan.config.admin.get_ref();
    let handler: Handler = Arc::new(move |request: Request| api.answer(&request));
    imstorm_control::start(address, handler, plan.token.as_ref().map(Token::as_str))
        .map_err(|error| StartError::Admin(address.clone(), error))
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
    batch_wait_us: u32,
    published: Arc<Vec<Published>>,
    stop: Arc<AtomicBool>,
}

impl Worker {
    /// Starts it. `ready` is told once it serves.
    fn start(
        self,
        plan: &Plan,
        sockets: Vec<BoundSocket>,
        mesh: MeshPort<Hop>,
        inquiries: Inquiries,
        ready: mpsc::Sender<Ready>,
    ) -> Result<JoinHandle<io::Result<()>>, StartError> {
        let seed = entropy().map_err(|error| StartError::System("randomness", error))?;
        let (config, topology) = (plan.config.clone(), Arc::clone(&plan.topology));
        std::thread::Builder::new()
            .name(format!("shard-{}", self.number))
            .spawn(move || {
                if let Err(error) = process::pin_to_core(self.core) {
                    let (number, core) = (self.number, self.core);
                    tracing::warn!("shard {number} is not pinned to core {core}: {error}");
                }
                let users = users_per_shard(&config, &topology);
                let mut shard = Shard::new(&config, topology, self.number, seed);
                shard.prefill(users);
                self.run(shard, sockets, mesh, &inquiries, &ready)
            })
            .map_err(|error| StartError::System("a thread for a shard", error))
    }

    fn run(
        &self,
        mut shard: Shard,
        sockets: Vec<BoundSocket>,
        mut mesh: MeshPort<Hop>,
        inquiries: &Inquiries,
        ready: &mpsc::Sender<Ready>,
    ) -> io::Result<()> {
        let mut io = backend::open(self.io, sockets, &Sizes::default())?;
        io.set_batch_wait(self.batch_wait_us);
        mesh.wake_with(io.waker());
        self.published[self.number].publish(&shard);
        let reserved_bytes = shard.reserved_bytes();
        // Nobody waits for it any more where the start has failed elsewhere.
        let _ = ready.send(Ready { waker: io.waker(), reserved_bytes });
        let clock = Clock::new();
        let mut publish_at = 0;
        while !self.stop.load(Ordering::Acquire) {
            let now = clock.now();
            let due = shard.next_deadline().map_or(WAIT_NS_MAX, |at| match at > now {
                true => at - now + TIMER_SLACK_NS,
                false => 0,
            });
            io.turn(due.min(WAIT_NS_MAX))?;
            let now = clock.now();
            shard.tick(now, &mut io, &mut mesh);
            for inquiry in inquiries.waiting() {
                answer(&mut shard, now, &mut io, &mut mesh, inquiry);
            }
            if now >= publish_at {
                self.published[self.number].publish(&shard);
                publish_at = now + PUBLISH_NS;
            }
        }
        self.published[self.number].publish(&shard);
        Ok(())
    }
}

/// Answers the control plane, which may have given up waiting: then nobody takes the answer.
fn answer<I: Io>(
    shard: &mut Shard,
    now: Time,
    io: &mut I,
    mesh: &mut MeshPort<Hop>,
    inquiry: Inquiry,
) {
    match inquiry {
        Inquiry::Operate(command, reply) => {
            let _ = reply.try_send(shard.operate(now, io, mesh, &command));
        }
        Inquiry::Switch(switch, reply) => {
            let _ = reply.try_send(shard.switch(&switch));
        }
        Inquiry::Show(query, reply) => {
            let _ = reply.try_send(shard.show(now, &query));
        }
    }
}
