//! The command line of `imstorm`.

use std::io::Write;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use clap::{Args, Parser, Subcommand};

use crate::population;
use crate::profile::{self, Profile};
use crate::recorder::{self, Capture, UeEvents};
use crate::run::{self, RunError, RunOptions, say};
use crate::schemes::{self, Comparison, ComparisonError, ComparisonOptions};
use crate::sim::{self, SeedResult};
use crate::{child, embedded};

/// The load generator for subscription-based IMS security: emulated UEs that set up secure connections, refresh and leave.
#[derive(Debug, Parser)]
#[command(name = "imstorm", version, after_help = EXIT_CODES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXIT_CODES: &str = "\
Exit codes:
    0  all thresholds held
    1  a threshold was crossed, a seed did not hold, or a conclusion of the comparison did not
    2  bad usage or profile
    3  the run is INVALID: the generator was the limit
    4  the target does not answer
    5  the environment: an address in use, a permission, a file
  130  interrupted twice";

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a load profile over real sockets, against an engine of its own or a target.
    Run(RunArgs),
    /// Run a load profile over a simulated network, for many seeds.
    Simulate(SimulateArgs),
    /// Compare the schemes for simultaneous registrations over real sockets, with today's registration and with security subscriptions.
    Schemes(SchemesArgs),
    /// Draw the message flow of a captured UE.
    Ladder {
        /// The directory of a run's results.
        directory: PathBuf,
        /// The UE's number.
        #[arg(long)]
        ue: u64,
    },
    /// List the profiles that are built in.
    Profiles,
    /// Write a built-in profile to a file NAME.toml, to start one's own from.
    Init {
        /// The profile's name.
        name: String,
    },
    /// Be the engine of a run: its configuration comes on standard input.
    #[command(name = child::SUBCOMMAND, hide = true)]
    EmbeddedEngine,
}

#[derive(Debug, Args)]
struct ProfileArgs {
    /// A profile's file, or the name of a built-in one.
    profile: String,
    /// Replace a value of the profile: a dotted key and a value, e.g. population.size=300.
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = key_value)]
    set: Vec<(String, String)>,
}

#[derive(Debug, Args)]
struct RunArgs {
    #[command(flatten)]
    profile: ProfileArgs,
    /// The unprotected address of a P-CSCF that runs already; without it an engine is started.
    #[arg(long, value_name = "HOST:PORT", value_parser = address)]
    target: Option<SocketAddr>,
    /// The control plane of the target, for its state in the report and for what an operator does, e.g. http://127.0.0.1:9060.
    #[arg(long, value_name = "URL", requires = "target")]
    admin: Option<String>,
    /// Where the results go [default: imstorm-results/PROFILE-UTC/].
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// The seed of arrivals and jitter.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Record UEs, by number from 0, or those that fail: datagrams, decrypted SIP, keys.
    #[arg(long, value_name = "N,...|failed", value_parser = capture)]
    capture: Option<Capture>,
    /// Show nothing but the result.
    #[arg(long)]
    quiet: bool,
}

#[derive(Debug, Args)]
struct SimulateArgs {
    #[command(flatten)]
    profile: ProfileArgs,
    /// The seeds, first and last.
    #[arg(long, value_name = "A..B", value_parser = seeds, default_value = "1..1")]
    seeds: (u64, u64),
    /// Write a line for each datagram and its fate; needs a single seed.
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct SchemesArgs {
    #[command(flatten)]
    profile: ProfileArgs,
    /// Run each row so many times, each with the next seed; from two on the results have confidence intervals.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100))]
    repeat: u32,
    /// Where the results go [default: imstorm-results/PROFILE-UTC/].
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// The seed of arrivals and jitter.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Show nothing but the result.
    #[arg(long)]
    quiet: bool,
}

/// How many failed UEs are kept by `--capture failed`.
const CAPTURE_FAILED_MAX: usize = 16;
/// The least share of UEs that must be secured, over all seeds.
const SECURED_SHARE_MIN: f64 = 0.9999;

/// What the program does; its exit code.
#[must_use]
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    imstorm_engine::cli::start_log();
    let code = match &cli.command {
        Command::Run(args) => run_profile(args),
        Command::Simulate(args) => simulate(args),
        Command::Schemes(args) => compare_schemes(args),
        Command::Ladder { directory, ue } => ladder(directory, *ue),
        Command::Profiles => list_profiles(),
        Command::Init { name } => init(name),
        Command::EmbeddedEngine => be_engine(),
    };
    ExitCode::from(code.unwrap_or_else(|failure| {
        eprintln!("imstorm: {}", failure.message);
        failure.code
    }))
}

/// Why the program ends, and with which code.
struct Failure {
    code: u8,
    message: String,
}

fn fail<T>(code: u8, message: impl std::fmt::Display) -> Result<T, Failure> {
    Err(Failure { code, message: format!("{message}") })
}

fn load(args: &ProfileArgs) -> Result<Profile, Failure> {
    Profile::load(&args.profile, &args.set).or_else(|error| fail(2, error))
}

fn run_profile(args: &RunArgs) -> Result<u8, Failure> {
    let profile = load(&args.profile)?;
    let interrupts = interrupts()?;
    let options = RunOptions {
        target: args.target,
        admin: args.admin.clone(),
        out: args.out.clone().unwrap_or_else(|| run::default_out(&profile.name)),
        seed: args.seed,
        capture: args.capture.clone().unwrap_or(Capture::None),
        quiet: args.quiet,
    };
    let ended = run::run(&profile, &options, &interrupts).or_else(|error| {
        let code = code_of(&error);
        fail(code, error)
    })?;
    say(&ended.report.to_table());
    say(&format!("{}\n", options.out.display()));
    Ok(if ended.aborted { 130 } else { ended.report.verdict.exit_code() })
}

fn compare_schemes(args: &SchemesArgs) -> Result<u8, Failure> {
    let profile = load(&args.profile)?;
    let options = ComparisonOptions {
        profile: args.profile.profile.clone(),
        set: args.profile.set.clone(),
        repeats: args.repeat,
        out: args.out.clone().unwrap_or_else(|| run::default_out(&profile.name)),
        seed: args.seed,
        quiet: args.quiet,
    };
    let comparison = Comparison::run(&options, &interrupts()?).or_else(|error| {
        let code = match &error {
            ComparisonError::Profile(_) | ComparisonError::NoSchemes(_) => 2,
            ComparisonError::Interrupted => 130,
            ComparisonError::Run(_, error) => code_of(error),
            ComparisonError::File(..) => 5,
        };
        fail(code, error)
    })?;
    say(&schemes::text(&comparison));
    say(&format!("{}\n", options.out.display()));
    Ok(u8::from(!comparison.all_hold()))
}

fn code_of(error: &RunError) -> u8 {
    match error {
        RunError::Subscribers(_) | RunError::NoOperator => 2,
        RunError::NoAnswer(_) => 4,
        RunError::Engine(_) | RunError::Environment(_) => 5,
    }
}

/// Counts Ctrl-C; the third one ends the program without a report.
fn interrupts() -> Result<Arc<AtomicUsize>, Failure> {
    let count = Arc::new(AtomicUsize::new(0));
    let twice = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        let counted = Arc::clone(&count);
        let ended = Arc::clone(&twice);
        signal_hook::flag::register_conditional_shutdown(signal, 130, ended)
            .or_else(|error| fail(5, error))?;
        let ended = Arc::clone(&twice);
        watch_signal(signal, move || {
            if counted.fetch_add(1, Ordering::AcqRel) >= 1 {
                ended.store(true, Ordering::Release);
            }
        })?;
    }
    Ok(count)
}

/// Calls `then` on a thread of its own each time a signal comes.
fn watch_signal(signal: std::ffi::c_int, then: impl Fn() + Send + 'static) -> Result<(), Failure> {
    let mut signals =
        signal_hook::iterator::Signals::new([signal]).or_else(|error| fail(5, error))?;
    std::thread::Builder::new()
        .name("signals".to_owned())
        .spawn(move || signals.forever().for_each(|_| then()))
        .map(|_| ())
        .or_else(|error| fail(5, error))
}

fn simulate(args: &SimulateArgs) -> Result<u8, Failure> {
    let profile = load(&args.profile)?;
    if profile.ue.shared_address {
        return fail(2, "UEs that share an address are not simulated: their servers are no engine");
    }
    let engine = embedded::config(&profile).or_else(|error| fail(2, error))?;
    let directory = Arc::new(population::directory(&profile).or_else(|error| fail(2, error))?);
    let (first, last) = args.seeds;
    if args.trace.is_some() && first != last {
        return fail(2, "--trace needs a single seed, e.g. --seeds 7..7");
    }
    if let Some(path) = &args.trace {
        let failed = |error| Failure { code: 5, message: format!("{}: {error}", path.display()) };
        let mut file = std::io::BufWriter::new(std::fs::File::create(path).map_err(failed)?);
        let result = sim::run_seed(&profile, &engine, &directory, first, Some(&mut file));
        file.flush().map_err(failed)?;
        return Ok(conclude(args, &[result]));
    }
    let next = AtomicU64::new(first);
    let results = Mutex::new(Vec::new());
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed > last {
                        return;
                    }
                    let result = sim::run_seed(&profile, &engine, &directory, seed, None);
                    if !result.violations.is_empty() {
                        say(&describe(args, &result));
                    }
                    results.lock().expect("no thread panics with it").push(result);
                }
            });
        }
    });
    let mut results = results.into_inner().expect("no thread panics with it");
    results.sort_by_key(|result| result.seed);
    Ok(conclude(args, &results))
}

/// Of the seeds in which something failed for one cause, as many are named.
const SEEDS_SHOWN: usize = 8;

fn conclude(args: &SimulateArgs, results: &[SeedResult]) -> u8 {
    let ues: u64 = results.iter().map(|result| result.ues).sum();
    let given_up: u64 = results.iter().map(|result| result.given_up).sum();
    let secured: u64 = results.iter().map(|result| result.secured).sum();
    let datagrams: u64 = results.iter().map(|result| result.datagrams).sum();
    let broken = results.iter().filter(|result| !result.violations.is_empty()).count();
    let hours = results.iter().map(|result| result.elapsed_ns).sum::<u64>() as f64 / 3.6e12;
    say(&format!(
        "{} seeds of {}: {secured} of {ues} UEs secured ({:.4}%), {datagrams} datagrams, {hours:.2} h simulated\n",
        results.len(),
        args.profile.profile,
        100.0 * secured as f64 / ues.max(1) as f64,
    ));
    let mut causes = std::collections::BTreeMap::<_, (u64, Vec<u64>)>::new();
    for result in results {
        for (cause, count) in &result.failures {
            let (total, seeds) = causes.entry(cause.name()).or_default();
            *total += count;
            seeds.push(result.seed);
        }
    }
    for (cause, (count, seeds)) in &causes {
        let shown: Vec<String> = seeds.iter().take(SEEDS_SHOWN).map(u64::to_string).collect();
        let more = if seeds.len() > SEEDS_SHOWN { ", …" } else { "" };
        say(&format!("  {count} failed: {cause} (seeds {}{more})\n", shown.join(", ")));
    }
    if results.len() == 1 {
        say(&results
            .iter()
            .flat_map(|result| result.violations.iter())
            .fold(String::new(), |text, violation| text + "  " + violation + "\n"));
    }
    let enough = secured as f64 >= SECURED_SHARE_MIN * (ues - given_up) as f64;
    if broken == 0 && enough {
        say("all held\n");
        return 0;
    }
    say(&format!(
        "{broken} seed(s) did not hold{}\n",
        if enough { "" } else { "; too few UEs were secured" }
    ));
    1
}

fn describe(args: &SimulateArgs, result: &SeedResult) -> String {
    let set: String =
        args.profile.set.iter().map(|(key, value)| format!(" --set {key}={value}")).collect();
    let seed = result.seed;
    let profile = &args.profile.profile;
    let mut text = format!(
        "seed {seed} did not hold; again with: imstorm simulate {profile} --seeds {seed}..{seed}{set} --trace seed-{seed}.txt\n"
    );
    for violation in &result.violations {
        text.push_str(&format!("  {violation}\n"));
    }
    text
}

fn ladder(directory: &Path, ue: u64) -> Result<u8, Failure> {
    let path = directory.join("captures").join(format!("ue-{ue}.json"));
    let text = std::fs::read_to_string(&path).or_else(|error| {
        fail(2, format!("{}: {error} (was the run made with --capture {ue}?)", path.display()))
    })?;
    let events = UeEvents::from_json(&text)
        .or_else(|error| fail(2, format!("{}: {error}", path.display())))?;
    say(&recorder::ladder(&events));
    Ok(0)
}

fn list_profiles() -> Result<u8, Failure> {
    for (name, text) in profile::builtin() {
        let profile = Profile::parse(name, text, &[]).or_else(|error| fail(2, error))?;
        say(&format!("{name:<16} {}\n", profile.description));
    }
    Ok(0)
}

fn init(name: &str) -> Result<u8, Failure> {
    let Some((_, text)) = profile::builtin().iter().find(|(other, _)| *other == name) else {
        return fail(2, format!("there is no built-in profile {name}; see: imstorm profiles"));
    };
    let path = PathBuf::from(format!("{name}.toml"));
    let file = std::fs::File::options().write(true).create_new(true).open(&path);
    file.and_then(|mut file| file.write_all(text.as_bytes()))
        .or_else(|error| fail(5, format!("{}: {error}", path.display())))?;
    say(&format!("{}\n", path.display()));
    Ok(0)
}

fn be_engine() -> Result<u8, Failure> {
    let config = child::read_config().or_else(|error| fail(5, error))?;
    imstorm_engine::cli::serve_child(&config)
        .map(|()| 0)
        .or_else(|error| fail(5, format!("embedded engine: {error}")))
}

fn key_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("expected KEY=VALUE".to_owned()),
    }
}

fn address(text: &str) -> Result<SocketAddr, String> {
    let mut found =
        text.to_socket_addrs().map_err(|error| format!("expected HOST:PORT: {error}"))?;
    found.next().ok_or_else(|| "the host has no address".to_owned())
}

fn capture(text: &str) -> Result<Capture, String> {
    if text == "failed" {
        return Ok(Capture::Failed { limit: CAPTURE_FAILED_MAX });
    }
    let numbers: Result<Vec<u64>, _> = text.split(',').map(|part| part.trim().parse()).collect();
    numbers
        .map(Capture::Ues)
        .map_err(|_| "expected UEs' numbers, e.g. 0,17, or `failed`".to_owned())
}

fn seeds(text: &str) -> Result<(u64, u64), String> {
    let expected = || "expected two numbers A..B, A not above B".to_owned();
    let (first, last) = text.split_once("..").ok_or_else(expected)?;
    let first = first.parse().map_err(|_| expected())?;
    let last = last.trim_start_matches('=').parse().map_err(|_| expected())?;
    if first <= last { Ok((first, last)) } else { Err(expected()) }
}
