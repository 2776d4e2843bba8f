//! A run over real sockets: the engine (as a child, unless there is a target), the generator's thread, and what is shown and
//! written meanwhile.

use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use imstorm_base::Io;
use imstorm_base::time::{NS_PER_MS, NS_PER_S, Time};
use imstorm_cscf::Directory;
use imstorm_engine::EngineConfig;
use imstorm_uring::backend::{self, Sizes};
use imstorm_uring::{Backend, Clock, SocketSpec, process, udp};

use crate::child::{ChildError, EngineChild};
use crate::controls::{Controls, Steerable};
use crate::embedded;
use crate::ends::Ends;
use crate::generator::{Cut, ESP, Generator, GeneratorState, RunSeed, UNPROTECTED};
use crate::health::{self, Cores, Health, Meter, RECEIVE_BUFFER_BYTES, SocketHealth, Watched};
use crate::link::{LinkCounts, Links};
use crate::live;
use crate::log::{StepChanges, StepState};
use crate::measure::Interval;
use crate::operator::HttpOperator;
use crate::page::live::{LivePage, PageAddress};
use crate::part::Part;
use crate::plain::bursts::Bursts;
use crate::population::{self, Population};
use crate::profile::{Capacity, Profile};
use crate::recorder::Capture;
use crate::report::{CourseReport, Engine, Intervention, Look, Report};
use crate::steering::Steering;
use crate::target;
use crate::traffic::{CapacityResult, Search};
use crate::watch::Watcher;

/// The longest that the generator sleeps: so long may Ctrl-C take to be seen.
const WAIT_NS_MAX: u64 = 20 * NS_PER_MS;
/// What a step of a comparison leaves behind, an answer to the last NOTIFY, is over after so long, and the control plane has published it.
const SETTLE_NS: u64 = 150 * NS_PER_MS;

/// Of UEs that share an address: few slots, so that each is used again while it is in the cache, and short ones, as they take no long messages.
const PLAIN_SIZES: Sizes = Sizes {
    inbox_slots: 256,
    inbox_datagram_bytes: 4_096,
    outbox_slots: 1,
    outbox_datagram_bytes: 64,
};

/// What a run is asked to do.
#[derive(Clone, Debug)]
pub struct RunOptions {
    /// A core that runs already, by its unprotected address; without one an engine is started.
    pub target: Option<SocketAddr>,
    /// The target's control plane, as `http://host:port`.
    pub admin: Option<String>,
    /// Where results go.
    pub out: PathBuf,
    /// Arrivals, jitter.
    pub seed: u64,
    /// Which UEs are recorded.
    pub capture: Capture,
    /// Nothing is shown but the end.
    pub quiet: bool,
    /// A line a second is shown, on a terminal too.
    pub plain: bool,
    /// Looks for the highest load that is handled adequately, instead of offering the profile's steps.
    pub capacity: Option<Capacity>,
    /// What of the population and of the arrivals this generator has.
    pub part: Part,
    /// When the first UE may start, in nanoseconds since 1970; nothing: at once.
    pub start_at_ns: Option<u64>,
    /// Where the run is shown as a page while it goes.
    pub page: Option<PageAddress>,
}

/// Why there is no report.
#[derive(Debug)]
pub enum RunError {
    /// The target does not answer.
    NoAnswer(SocketAddr),
    /// The embedded engine did not start.
    Engine(ChildError),
    /// The subscriber file is wrong.
    Subscribers(String),
    /// The profile has no such part.
    Part(String),
    /// The profile needs an operator, and the target has no control plane to act on.
    NoOperator,
    /// The profile needs an operator, and the target's control plane does not answer.
    NoAdmin(String),
    /// Sockets, threads or files.
    Environment(String),
}

impl std::fmt::Display for RunError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NoAnswer(target) => write!(
                f,
                "{target} does not answer SIP over UDP: nothing came back for OPTIONS in 3 s. Is the core running there \
                 (ss -lunp on its machine), and does a firewall let UDP through? Without --target an engine is started"
            ),
            Self::NoAdmin(admin) => write!(
                f,
                "--admin {admin}: no engine's control plane answers there, and the profile has what an operator does; \
                 `imstorm-engine serve` says at its start where it is, e.g. http://127.0.0.1:9060"
            ),
            Self::Engine(error) => error.fmt(f),
            Self::NoOperator => f.write_str(
                "the profile has what an operator does (identity_change, network_reauthenticate, \
                 network_release, [[operator]]): name the target's control plane with \
                 --admin http://HOST:PORT",
            ),
            Self::Subscribers(problem) | Self::Part(problem) | Self::Environment(problem) => {
                f.write_str(problem)
            }
        }
    }
}

impl std::error::Error for RunError {}

/// How a run ended.
#[derive(Debug)]
pub struct Ended {
    /// What report.json says.
    pub report: Report,
    /// Stopped at once by a second interrupt.
    pub aborted: bool,
}

impl Ended {
    /// What a program that ran it exits with.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        if self.aborted { 130 } else { self.report.verdict.exit_code() }
    }
}

/// Runs a profile.
///
/// # Errors
/// As [`RunError`] says; where there is one, nothing was measured.
pub fn run(
    profile: &Profile,
    options: &RunOptions,
    interrupts: &Arc<AtomicUsize>,
) -> Result<Ended, RunError> {
    if profile.needs_operator() && options.target.is_some() && options.admin.is_none() {
        return Err(RunError::NoOperator);
    }
    let mut profile = profile.clone();
    profile.part = options.part;
    population::check_part(&profile).map_err(RunError::Part)?;
    if options.capacity.is_some() && !options.part.is_whole() {
        let problem = "each part would look for the capacity by itself: --part is for imstorm run";
        return Err(RunError::Part(problem.to_owned()));
    }
    let directory = Arc::new(population::directory(&profile).map_err(RunError::Subscribers)?);
    let (engine_cores, own_core) = share_cores()?;
    let mut cores = Cores::of_generator(own_core)
        .map_err(|error| RunError::Environment(format!("the cores to use: {error}")))?;
    let mut io_sockets = open_sockets(&mut profile, options)?;
    announce(&profile, options, &io_sockets)?;
    let page = show_page(&profile, options, own_core)?;
    let mut child = None;
    let mut before = Engine::default();
    // Where there is a screen, nobody else may write to the terminal.
    let engine_log = live::has_screen(options).then_some(live::note as fn(&str));
    let admin = match options.target {
        Some(target) => {
            // A server that only takes calls need not know OPTIONS, and may count it as a call gone wrong.
            let answers = !profile.ue.register
                || target::answers(target)
                    .map_err(|error| RunError::Environment(format!("a socket: {error}")))?;
            if !answers {
                return Err(RunError::NoAnswer(target));
            }
            profile.topology.pcscf = vec![target];
            check_admin(&profile, options)?;
            before = options.admin.as_deref().and_then(target::status).unwrap_or_default();
            options.admin.clone()
        }
        None => {
            free_address(&mut profile);
            let config = embedded::config_text(&profile, "127.0.0.1:0", &engine_cores);
            // What is no configuration is refused by the engine itself.
            if let Ok(config) = EngineConfig::parse("[engine]", &config) {
                cores = cores.with_engine(&config, &engine_cores);
            }
            let engine = EngineChild::start(&config, engine_log).map_err(RunError::Engine)?;
            let admin = format!("http://{}", engine.admin);
            child = Some(engine);
            Some(admin)
        }
    };
    let operator = match admin.as_deref().filter(|_| profile.needs_operator()) {
        Some(admin) => Some(
            HttpOperator::start(admin)
                .map_err(|error| RunError::Environment(format!("the operator: {error}")))?,
        ),
        None => None,
    };
    create_out(&options.out)?;
    let part = options.part;
    let steerable = Steerable::of(&profile, options.capacity.is_some());
    let controls = Arc::new(Controls::new(Arc::clone(interrupts), steerable));
    let run_seed = RunSeed { seed: part.seed(options.seed), run: part.run_number(run_number()) };
    let (sender, beats) = channel();
    let (begins, began) = channel();
    let worker = Worker {
        profile: profile.clone(),
        directory,
        seed: run_seed,
        capture: options.capture.clone(),
        capacity: options.capacity,
        core: own_core,
        cores,
        operator,
        controls: Arc::clone(&controls),
        sender,
        begins,
        start_at_ns: options.start_at_ns,
        admin: admin.clone(),
    };
    let thread = std::thread::Builder::new()
        .name("generator".to_owned())
        .spawn(move || worker.run(std::mem::take(&mut io_sockets)))
        .map_err(|error| RunError::Environment(format!("a thread: {error}")))?;
    let (admin, page, controls) = (admin.as_deref(), page.as_ref(), &controls);
    let watcher = Watcher { profile: &profile, options, admin, before, page, controls };
    let watched = watcher.watch(&began, &beats)?;
    let done = thread
        .join()
        .map_err(|_| RunError::Environment("the generator panicked".to_owned()))?
        .map_err(|error| RunError::Environment(format!("the generator's sockets: {error}")))?;
    let never = || RunError::Environment("the generator has not begun".to_owned());
    let report = watcher.conclude(&done, watched.ok_or_else(never)?)?;
    if let Some(child) = &mut child {
        child.stop();
    }
    Ok(Ended { report, aborted: interrupts.load(Ordering::Acquire) > 1 })
}

/// Whether the target's control plane is where it is said to be. Where nothing is done through it the run goes on without.
fn check_admin(profile: &Profile, options: &RunOptions) -> Result<(), RunError> {
    let silent = options.admin.as_ref().filter(|admin| target::status(admin).is_none());
    match silent {
        Some(admin) if profile.needs_operator() => Err(RunError::NoAdmin(admin.clone())),
        Some(admin) => {
            eprintln!(
                "warning: --admin {admin}: no engine's control plane answers there; the report will lack the core's state"
            );
            Ok(())
        }
        None => Ok(()),
    }
}

/// Engine and generator each get cores of their own, where there are any.
fn share_cores() -> Result<(Vec<usize>, Option<usize>), RunError> {
    let mut cores = process::allowed_cores()
        .map_err(|error| RunError::Environment(format!("the cores to use: {error}")))?;
    let own = if cores.len() > 1 { cores.pop() } else { None };
    Ok((cores, own))
}

/// Opens the UEs' two sockets, or the one of UEs that share an address; where their ports are taken and an engine of our own is told, free ones will do.
fn open_sockets(
    profile: &mut Profile,
    options: &RunOptions,
) -> Result<Vec<udp::BoundSocket>, RunError> {
    let is_shared = profile.ue.shared_address;
    let any = match profile.population.addresses.network {
        _ if is_shared => {
            let address = profile.population.addresses.address(u64::from(profile.part.number - 1));
            address.unwrap_or(IpAddr::from([0; 4]))
        }
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    };
    let open = |port: u16, esp_port: u16| {
        let spec = |id, port| SocketSpec {
            id,
            bind: SocketAddr::new(any, port),
            reuse_port: false,
            receive_buffer_bytes: RECEIVE_BUFFER_BYTES,
            packet_info: !is_shared,
        };
        let specs = [spec(UNPROTECTED, port), spec(ESP, esp_port)];
        udp::open(if is_shared { &specs[..1] } else { &specs })
    };
    let sockets = match open(profile.ue.port, profile.ue.esp_port) {
        Err(error)
            if error.error.kind() == io::ErrorKind::AddrInUse && options.target.is_none() =>
        {
            open(0, 0)
        }
        opened => opened,
    };
    let mut sockets = sockets.map_err(|error| {
        let others = match error.error.kind() {
            io::ErrorKind::AddrInUse => {
                "; other ports for the UEs: --set ue.port=PORT --set ue.esp_port=PORT"
            }
            _ => "",
        };
        RunError::Environment(format!("{error}{others}"))
    })?;
    for socket in &mut sockets {
        socket
            .enable_timestamps()
            .map_err(|error| RunError::Environment(format!("a socket: {error}")))?;
    }
    for (own, socket) in [&mut profile.ue.port, &mut profile.ue.esp_port].into_iter().zip(&sockets)
    {
        *own = socket.local().port();
    }
    Ok(sockets)
}

/// Says what room the sockets have, and which rules are laxer than usual.
fn announce(
    profile: &Profile,
    options: &RunOptions,
    sockets: &[udp::BoundSocket],
) -> Result<(), RunError> {
    if options.quiet {
        return Ok(());
    }
    let sockets: io::Result<Vec<_>> = sockets.iter().map(SocketHealth::new).collect();
    let sockets = sockets.map_err(|error| RunError::Environment(format!("a socket: {error}")))?;
    eprint!("{}", health::announce(&sockets));
    for rule in profile.validity.loosened() {
        eprintln!("warning: a rule is laxer than usual: {rule}");
    }
    Ok(())
}

/// Serves the page of the run, if it is asked for.
fn show_page(
    profile: &Profile,
    options: &RunOptions,
    own_core: Option<usize>,
) -> Result<Option<LivePage>, RunError> {
    let Some(at) = &options.page else { return Ok(None) };
    let page = LivePage::start(at, profile, own_core)
        .map_err(|error| RunError::Environment(format!("--ui-http {}: {error}", at.address)))?;
    Ok(Some(page))
}

/// Moves the embedded engine to the next loopback address where another program has the profile's.
fn free_address(profile: &mut Profile) {
    let is_free = |profile: &Profile| {
        let specs: Vec<SocketSpec> = profile
            .topology
            .pcscf
            .iter()
            .flat_map(|pcscf| {
                [*pcscf, SocketAddr::new(pcscf.ip(), profile.topology.pcscf_esp_port)]
            })
            .chain(embedded::mw_addresses(profile))
            .map(|bind| SocketSpec {
                id: UNPROTECTED,
                bind,
                reuse_port: false,
                receive_buffer_bytes: 0,
                packet_info: false,
            })
            .collect();
        udp::open(&specs).is_ok()
    };
    for _ in 0..16 {
        if is_free(profile) {
            return;
        }
        for address in &mut profile.topology.pcscf {
            if let IpAddr::V4(ip) = address.ip()
                && ip.is_loopback()
            {
                let next = Ipv4Addr::from_bits(ip.to_bits() + 1);
                address.set_ip(IpAddr::V4(next));
            }
        }
    }
}

fn create_out(out: &Path) -> Result<(), RunError> {
    std::fs::create_dir_all(out).map_err(|error| {
        let out = out.display();
        RunError::Environment(format!(
            "{out}: no directory for the results can be made: {error} (name another one with --out)"
        ))
    })
}

/// Tells this run's Call-IDs and branches from those of another against the same engine.
fn run_number() -> u32 {
    let time = epoch_ns();
    let mixed = imstorm_base::random::mix(time, u64::from(std::process::id()));
    (mixed >> 32) as u32
}

pub(crate) fn epoch_ns() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// What the generator's thread tells once a second.
pub(crate) struct Beat {
    pub elapsed_ns: u64,
    pub interval: Interval,
    pub steps: Vec<StepState>,
    pub interventions: Vec<Intervention>,
    /// How far a search for the capacity is.
    pub search: Option<CapacityResult>,
    pub state: GeneratorState,
    pub health: Health,
}

/// What is left of the generator's thread.
pub(crate) struct Done {
    pub generator: Box<Generator>,
    pub elapsed_ns: u64,
    pub interrupted: bool,
    /// It was ended before its time.
    pub is_cut_short: bool,
    pub drained: bool,
    pub cut: Cut,
    pub course: Option<CourseReport>,
    pub missed_looks: u64,
    /// What has happened on the links.
    pub links: LinkCounts,
}

/// The generator's thread.
struct Worker {
    profile: Profile,
    directory: Arc<Directory>,
    seed: RunSeed,
    capture: Capture,
    core: Option<usize>,
    cores: Cores,
    /// What is looked for, if it is the capacity.
    capacity: Option<Capacity>,
    /// Who makes the operator's calls, if the profile has any.
    operator: Option<HttpOperator>,
    controls: Arc<Controls>,
    sender: Sender<Beat>,
    /// Where it tells when the first UE might start, in nanoseconds since 1970.
    begins: Sender<u64>,
    start_at_ns: Option<u64>,
    /// The control plane, for looks at the engine between the steps of a comparison.
    admin: Option<String>,
}

impl Worker {
    fn run(self, sockets: Vec<udp::BoundSocket>) -> io::Result<Done> {
        if let Some(core) = self.core {
            process::pin_to_core(core)?;
        }
        process::set_timer_slack(1)?;
        let clock = Clock::new();
        let grain_ms = self.profile.arrivals.grain_ms;
        let (links, seed) = (self.profile.links(), self.seed.seed);
        let population = Population::new(&self.profile, Arc::clone(&self.directory));
        if self.profile.ue.shared_address {
            let io = backend::open(Backend::Mmsg, sockets, &PLAIN_SIZES)?;
            let grain_ns = (grain_ms * 1e6) as u64;
            let io = Bursts::new(io, grain_ns)?;
            return self.drive(Links::new(io, clock, &population, links, seed), clock);
        }
        let mut io = backend::open(Backend::best(), sockets, &Sizes::default())?;
        io.set_batch_wait((grain_ms * 1e3) as u32);
        self.drive(Links::new(io, clock, &population, links, seed), clock)
    }

    fn drive<I: Io + Watched>(self, mut io: Links<I>, clock: Clock) -> io::Result<Done> {
        let mut generator = Box::new(Generator::new(
            &self.profile,
            Arc::clone(&self.directory),
            self.seed,
            self.capture.clone(),
        ));
        if let Some(capacity) = self.capacity {
            generator.seek_capacity(Search::new(capacity));
        }
        self.await_start();
        let _ = self.begins.send(epoch_ns());
        let started_at = clock.now();
        let mut meter = Meter::new(started_at, io.sockets(), self.cores.clone())?;
        let mut beat_at = started_at + NS_PER_S;
        let mut step_changes = StepChanges::default();
        let mut ends = Ends::new(&self.profile, started_at);
        let mut steering = Steering::new(Arc::clone(&self.controls));
        let mut looks = Looks::new(self.admin.clone(), generator.course().is_some());
        generator.tick(started_at, &mut io);
        let mut looked_at = started_at;
        loop {
            let now = clock.now();
            meter.note_tick(now.saturating_sub(looked_at));
            let due = generator.next_deadline().map_or(WAIT_NS_MAX, |at| at.saturating_sub(now));
            io.turn(due.min(WAIT_NS_MAX))?;
            let now = clock.now();
            looked_at = now;
            meter.note_batch(now, io.batch());
            self.hear_operator(&mut generator);
            generator.tick(now, &mut io);
            steering.follow(&mut generator, &mut ends, (started_at, now));
            self.call_operator(&mut generator);
            looks.look(&mut generator, now);
            if now >= beat_at {
                beat_at += NS_PER_S;
                let health = meter.take(now, generator.take_lateness(), io.sockets());
                let (times, links) = ((started_at, now), io.counts());
                let done = steering.take();
                self.beat(&mut generator, &mut step_changes, times, health, links, done);
            }
            if ends.is_over(&mut generator, now, &self.controls) {
                break;
            }
        }
        // What is queued still leaves: the last 200s.
        io.turn(0)?;
        let now = clock.now();
        let drained = generator.is_done();
        let cut = generator.cut(now);
        let health = meter.take(now, generator.take_lateness(), io.sockets());
        let links = io.counts();
        let times = (started_at, now);
        self.beat(&mut generator, &mut step_changes, times, health, links, steering.take());
        // What UEs have sent is let to its end: a link holds it for as long as it takes.
        while io.is_leaving() && self.controls.interrupts() <= 1 {
            io.turn(WAIT_NS_MAX)?;
        }
        Ok(Done {
            links,
            drained,
            cut,
            missed_looks: looks.missed,
            course: generator.course().map(|course| CourseReport::new(course, &looks.taken)),
            generator,
            elapsed_ns: now - started_at,
            interrupted: ends.interrupted,
            is_cut_short: ends.is_cut_short,
        })
    }

    /// Waits for the time to start at, unless it is interrupted.
    fn await_start(&self) {
        let Some(start_at_ns) = self.start_at_ns else { return };
        loop {
            let left_ns = start_at_ns.saturating_sub(epoch_ns());
            if left_ns == 0 || self.controls.interrupts() > 0 {
                return;
            }
            std::thread::sleep(Duration::from_nanos(left_ns.min(WAIT_NS_MAX)));
        }
    }

    /// Hands on what UEs' procedures ask of the operator.
    fn call_operator(&self, generator: &mut Generator) {
        while let Some(call) = generator.next_operator_call() {
            let impi = generator.impi(call.ue);
            if !self.operator.as_ref().is_some_and(|operator| operator.make(call, impi)) {
                generator.operator_call_over(call, false);
            }
        }
    }

    /// Tells the generator what has become of the operator's calls.
    fn hear_operator(&self, generator: &mut Generator) {
        while let Some((call, is_done)) = self.operator.as_ref().and_then(HttpOperator::next_over) {
            generator.operator_call_over(call, is_done);
        }
    }

    fn beat(
        &self,
        generator: &mut Generator,
        step_changes: &mut StepChanges,
        (started_at, now): (Time, Time),
        health: Health,
        links: LinkCounts,
        interventions: Vec<Intervention>,
    ) {
        let interval = generator.measurements_mut().interval();
        let steps = step_changes.take(generator.measurements().steps().all(), started_at);
        let (elapsed_ns, state) = (now - started_at, GeneratorState { links, ..generator.state() });
        // Nobody listens any more where the watcher has failed; the run goes on.
        let search = generator.capacity();
        let beat = Beat { elapsed_ns, interval, steps, interventions, search, state, health };
        let _ = self.sender.send(beat);
    }
}

/// Looks at the engine between the steps of a comparison.
struct Looks {
    admin: Option<String>,
    taken: Vec<Look>,
    /// When the step under way was found to be over.
    over_at: Option<Time>,
    /// Looks at which the engine did not answer: the counts of their steps are of the steps behind them.
    missed: u64,
}

impl Looks {
    fn new(admin: Option<String>, compares: bool) -> Self {
        let mut looks = Self { admin, taken: Vec::new(), over_at: None, missed: 0 };
        if compares {
            looks.take(0, 0);
        }
        looks
    }

    /// Once a step is over, and what it has left behind is, takes a look and lets the next step begin.
    fn look(&mut self, generator: &mut Generator, now: Time) {
        if !generator.is_at_border() {
            return;
        }
        let over_at = *self.over_at.get_or_insert(now);
        if now < over_at + SETTLE_NS {
            return;
        }
        self.over_at = None;
        let state = generator.state();
        self.take(4 * state.sets as u64, state.sessions.lost);
        generator.go_on_course();
    }

    fn take(&mut self, ue_associations: u64, sessions_lost: u64) {
        let asked = self.admin.as_deref().and_then(target::status);
        self.missed += u64::from(asked.is_none());
        let before = self.taken.last().map(|look| look.engine).unwrap_or_default();
        let engine = asked.unwrap_or(before);
        self.taken.push(Look { engine, ue_associations, sessions_lost });
    }
}

/// Where results go by default.
#[must_use]
pub fn default_out(profile: &str) -> PathBuf {
    let seconds = epoch_ns() / NS_PER_S;
    Path::new("imstorm-results").join(format!("{profile}-{}", utc(seconds)))
}

/// Seconds since 1970 as `20261122T053000Z`.
fn utc(seconds: u64) -> String {
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    // The civil-from-days algorithm over eras of 400 years, which begin in March.
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (rest / 3600, rest / 60 % 60, rest % 60);
    format!("{year:04}{month:02}{day:02}T{hour:02}{minute:02}{second:02}Z")
}

/// Flushes what was printed; where nobody reads it, that is no failure of the run.
pub fn say(text: &str) {
    let mut out = io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_operator_begins_needs_a_control_plane() {
        let options = RunOptions {
            target: Some(SocketAddr::from(([127, 0, 0, 1], 1))),
            admin: None,
            out: PathBuf::from("nowhere"),
            seed: 1,
            capture: Capture::None,
            quiet: true,
            plain: false,
            capacity: None,
            part: Part::WHOLE,
            start_at_ns: None,
            page: None,
        };
        let profile = Profile::load("identity-push", &[]).unwrap();
        let error = run(&profile, &options, &Arc::new(AtomicUsize::new(0))).unwrap_err();
        assert!(matches!(error, RunError::NoOperator));
        assert!(error.to_string().contains("--admin"));
        assert!(!options.out.exists());
    }

    #[test]
    fn times_are_written_in_utc() {
        assert_eq!(utc(0), "19700101T000000Z");
        assert_eq!(utc(951_782_399), "20000228T235959Z");
        assert_eq!(utc(951_782_400), "20000229T000000Z");
        assert_eq!(utc(1_795_325_869), "20261122T053749Z");
    }
}
