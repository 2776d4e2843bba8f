//! The command line of `imstorm-engine`.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use clap::{CommandFactory, Parser, Subcommand};
use imstorm_uring::backend::Sizes;

use crate::config::EngineConfig;
use crate::ctl::{self, CtlArgs};
use crate::engine::{Engine, Plan, StartError};
use crate::manual::{CompletionsArgs, ManArgs};
use crate::shard::{Shard, users_per_shard};

/// P-CSCF, I-CSCF, S-CSCF and HSS for subscription-based IMS security.
#[derive(Debug, Parser)]
#[command(name = "imstorm-engine", version, after_help = EXIT_CODES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXIT_CODES: &str = "\
Exit codes:
    0  done
    1  refused by the engine (ctl)
    2  bad usage or configuration
    4  the engine does not answer (ctl)
    5  the environment: an address in use, a permission, a file
  130  interrupted twice (serve)";

const SERVE_EXIT_CODES: &str = "\
Exit codes:
    0  it was told to stop
    2  bad usage or configuration
    5  the environment: an address in use, a permission, a file
  130  interrupted twice";

const CHECK_EXIT_CODES: &str = "\
Exit codes:
    0  the configuration is good
    2  bad usage or configuration
    5  the environment: a permission, a file";

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the engine that a configuration file describes, until it is told to stop (Ctrl-C or SIGTERM).
    #[command(after_help = SERVE_EXIT_CODES)]
    Serve {
        /// The configuration file, for instance profiles/engine.toml.
        config: PathBuf,
    },
    /// Check a configuration file, and show what it comes to on this machine.
    #[command(after_help = CHECK_EXIT_CODES)]
    Check {
        /// The configuration file.
        config: PathBuf,
        /// Print it as JSON, and nothing else, on standard output.
        #[arg(long)]
        json: bool,
    },
    /// Look at a running engine and command it, over its control plane.
    Ctl(CtlArgs),
    /// Print completions for a shell.
    Completions(CompletionsArgs),
    /// Write the manual pages.
    Man(ManArgs),
}

/// What the program does; its exit code.
#[must_use]
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    start_log();
    let done = match &cli.command {
        Command::Ctl(args) => return ctl::main(args),
        Command::Completions(args) => return completions(args),
        Command::Man(args) => return man(args),
        Command::Serve { config } => load(config).and_then(|plan| serve(&plan)),
        Command::Check { config, json } => {
            load(config).map(|plan| print!("{}", checked(&plan, *json)))
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("imstorm-engine: {error}");
            exit_code(&error)
        }
    }
}

fn completions(args: &CompletionsArgs) -> ExitCode {
    args.write(Cli::command());
    ExitCode::SUCCESS
}

fn man(args: &ManArgs) -> ExitCode {
    match args.write(Cli::command()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("imstorm-engine man: {error}");
            ExitCode::from(5)
        }
    }
}

/// Log lines go to standard error; `RUST_LOG` chooses them.
pub fn start_log() {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    // A second start in one process (tests) keeps the first log.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_target(false)
        .try_init();
}

fn exit_code(error: &StartError) -> ExitCode {
    match error {
        StartError::Config(_) => ExitCode::from(2),
        StartError::Bind(_) | StartError::Admin(..) | StartError::System(..) => ExitCode::from(5),
    }
}

fn load(config: &std::path::Path) -> Result<Plan, StartError> {
    EngineConfig::load(config).map_err(StartError::Config).and_then(Plan::new)
}

fn serve(plan: &Plan) -> Result<(), StartError> {
    let stop = stop_flag()?;
    let engine = Engine::start(plan)?;
    eprint!("{}", describe(plan, engine.reserved_bytes));
    eprintln!("io {}, admin {}", engine.io, engine.admin().url("/v1/status"));
    wait_for(&stop, || true);
    engine.stop().map_err(|error| StartError::System("a shard", error))
}

/// Runs the engine for a parent process: the configuration comes as text, `ready` is written to standard output as one line of
/// JSON, and the end of standard input stops it, so that it never outlives its parent.
///
/// # Errors
/// As [`StartError`] says.
pub fn serve_child(config: &str) -> Result<(), StartError> {
    let config = EngineConfig::parse("the embedded engine's configuration", config);
    let plan = config.map_err(StartError::Config).and_then(Plan::new)?;
    // The parent ends this process by closing its input; a Ctrl-C in the terminal is the parent's to handle.
    let interrupted = Arc::new(AtomicBool::new(false));
    signal_hook::flag::register(signal_hook::consts::SIGINT, Arc::clone(&interrupted))
        .map_err(|error| StartError::System("signals", error))?;
    let engine = Engine::start(&plan)?;
    let ready = serde_json::json!({
        "ready": true,
        "admin": engine.admin().to_string(),
        "pcscf": plan.config.pcscf.iter().map(|pcscf| pcscf.address.to_string()).collect::<Vec<_>>(),
        "io": engine.io.to_string(),
        "cores": plan.cores,
    });
    let mut out = std::io::stdout();
    let told = writeln!(out, "{ready}").and_then(|()| out.flush());
    told.map_err(|error| StartError::System("standard output", error))?;
    // Whatever ends the reading ends the engine.
    let _ = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
    engine.stop().map_err(|error| StartError::System("a shard", error))
}

fn stop_flag() -> Result<Arc<AtomicBool>, StartError> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        // The second one ends the process at once.
        signal_hook::flag::register_conditional_shutdown(signal, 130, Arc::clone(&stop))
            .and_then(|_| signal_hook::flag::register(signal, Arc::clone(&stop)))
            .map_err(|error| StartError::System("signals", error))?;
    }
    Ok(stop)
}

fn wait_for(stop: &AtomicBool, go_on: impl Fn() -> bool) {
    while !stop.load(Ordering::Acquire) && go_on() {
        std::thread::park_timeout(Duration::from_millis(100));
    }
}

/// Bytes that the tables and buffers of one shard would take when they are full.
fn reserved_bytes(plan: &Plan) -> usize {
    let shard = Shard::new(&plan.config, Arc::clone(&plan.topology), 0, [0; 32]);
    shard.reserved_bytes() + Sizes::default().reserved_bytes()
}

/// What a configuration comes to, for a person or as JSON.
fn checked(plan: &Plan, as_json: bool) -> String {
    let reserved_bytes = reserved_bytes(plan);
    if !as_json {
        return describe(plan, reserved_bytes);
    }
    let config = &plan.config;
    let pcscf = config.pcscf.iter().map(|pcscf| {
        serde_json::json!({
            "address": pcscf.address.to_string(),
            "esp_port": pcscf.esp_port,
            "mw": pcscf.mw.to_string(),
        })
    });
    let value = serde_json::json!({
        "pcscf": pcscf.collect::<Vec<_>>(),
        "icscf": config.icscf.as_ref().map(|icscf| serde_json::json!({ "mw": icscf.mw.to_string() })),
        "scscf": config.scscf.as_ref().map(|scscf| {
            serde_json::json!({ "mw": scscf.mw.to_string(), "realm": scscf.realm.to_string() })
        }),
        "subscribers": plan.topology.directory.as_ref().map(|directory| directory.len()),
        "deviation": config.deviation(),
        "shards": plan.topology.shards,
        "cores": plan.cores,
        "users_per_shard": users_per_shard(config, &plan.topology),
        "reserved_bytes_per_shard": reserved_bytes,
    });
    format!("{value:#}\n")
}

/// What a configuration comes to.
fn describe(plan: &Plan, reserved_bytes: usize) -> String {
    use std::fmt::Write as _;
    let mut text = String::new();
    let users = users_per_shard(&plan.config, &plan.topology);
    for pcscf in &plan.config.pcscf {
        let _ = writeln!(
            text,
            "P-CSCF {} (ESP in UDP port {}, Mw {})",
            pcscf.address, pcscf.esp_port, pcscf.mw
        );
    }
    if let Some(icscf) = &plan.config.icscf {
        let _ = writeln!(text, "I-CSCF Mw {}", icscf.mw);
    }
    if let Some(scscf) = &plan.config.scscf {
        let _ = writeln!(text, "S-CSCF Mw {}, realm {}", scscf.mw, scscf.realm);
    }
    if let Some(directory) = &plan.topology.directory {
        let _ = writeln!(text, "{} subscribers", directory.len());
    }
    if let Some(deviation) = plan.config.deviation() {
        let _ = writeln!(text, "deviation: {deviation}");
    }
    let _ = writeln!(
        text,
        "{} shard(s) on core(s) {:?}, room for {users} users each, at most {} MiB of tables and buffers each",
        plan.topology.shards,
        plan.cores,
        reserved_bytes >> 20
    );
    text
}
