//! `imstorm run`.

use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::time::SystemTime;

use clap::Args;
use imstorm_control::Address;
use imstorm_engine::token::Token;

use super::interrupts::interrupts;
use super::output::OutputArgs;
use super::{Failure, ProfileArgs, fail, load};
use crate::page::live::PageAddress;
use crate::part::Part;
use crate::profile::{Capacity, Profile};
use crate::recorder::Capture;
use crate::run::{self, Ended, RunError, RunOptions};
use crate::start_at::StartAt;

#[derive(Debug, Args)]
pub(super) struct RunArgs {
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
    /// Record UEs: by number from 0 with their datagrams and keys, and beside them a few of those that fail, without keys, so that each cause has an
    /// example (12 MiB at most); `failed`: only these; `none`: no UE.
    #[arg(long, value_name = "N,...|failed|none", value_parser = capture, default_value = "failed")]
    capture: Capture,
    /// Do one part of the run, so that several generators can share it: part K of N has its share of the UEs and of the arrivals.
    #[arg(long, value_name = "K/N", default_value_t = Part::WHOLE, hide_default_value = true)]
    part: Part,
    /// Let the first UE start at this time: RFC 3339, +SECONDS from now, or seconds since 1970.
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    start_at: Option<StartAt>,
    /// Show the run as a page while it goes, e.g. at 127.0.0.1:8080; port 0 takes a free one. Loopback or unix:/PATH, or anywhere with --ui-token-file.
    #[arg(long, value_name = "IP:PORT")]
    ui_http: Option<Address>,
    /// A file with a token of at least 16 characters, which the page asks for: as the password of the user `imstorm`, or after `Authorization: Bearer`.
    #[arg(long, value_name = "FILE", requires = "ui_http")]
    ui_token_file: Option<PathBuf>,
    /// Show nothing but the result.
    #[arg(long)]
    quiet: bool,
    /// Show a line a second, on a terminal too, instead of a screen with keys.
    #[arg(long)]
    plain: bool,
    #[command(flatten)]
    output: OutputArgs,
}

/// What a run takes beside what a search for the capacity does, which goes on where a load is too much.
#[derive(Debug, Args)]
pub(super) struct PlannedRunArgs {
    #[command(flatten)]
    run: RunArgs,
    /// End the run as soon as a threshold is broken for good; the profile's [abort] says from when on.
    #[arg(long)]
    abort_on_threshold: bool,
}

impl RunArgs {
    /// The profile that is meant.
    pub(super) fn load(&self) -> Result<Profile, Failure> {
        load(&self.profile)
    }
}

pub(super) fn run_profile(planned: &PlannedRunArgs) -> Result<u8, Failure> {
    let args = &planned.run;
    let mut profile = args.load()?;
    profile.abort.on_threshold |= planned.abort_on_threshold;
    let traffic = profile.traffic.as_ref();
    if traffic.is_some_and(|traffic| traffic.steps.is_empty() && traffic.trace.is_none()) {
        let name = &args.profile.profile;
        return fail(
            2,
            format!("traffic.steps: the profile has none, and is for: imstorm capacity {name}"),
        );
    }
    let ended = run_with(args, &profile, None)?;
    Ok(ended.exit_code())
}

/// Runs a profile and says what came of it.
pub(super) fn run_with(
    args: &RunArgs,
    profile: &Profile,
    capacity: Option<Capacity>,
) -> Result<Ended, Failure> {
    let now = SystemTime::now();
    let start_at_ns = args.start_at.map(|at| at.epoch_ns(now)).transpose();
    let start_at_ns = start_at_ns.or_else(|error| fail(2, format!("--start-at: {error}")))?;
    args.output.junit.check()?;
    let interrupts = interrupts()?;
    let options = RunOptions {
        target: args.target,
        admin: args.admin.clone(),
        out: args.out.clone().unwrap_or_else(|| run::default_out(&profile.name)),
        seed: args.seed,
        capture: args.capture.clone(),
        quiet: args.quiet,
        plain: args.plain,
        capacity,
        part: args.part,
        start_at_ns,
        page: page_address(args)?,
    };
    let ended = run::run(profile, &options, &interrupts).or_else(|error| {
        let code = code_of(&error);
        fail(code, error)
    })?;
    args.output.put(&ended.report, &options.out)?;
    if !options.quiet && !ended.report.measured.failures.0.is_empty() {
        eprintln!("why procedures failed: imstorm explain {}", options.out.display());
    }
    Ok(ended)
}

/// Where the page is to be served; with a token where others could reach it.
fn page_address(args: &RunArgs) -> Result<Option<PageAddress>, Failure> {
    let Some(address) = &args.ui_http else { return Ok(None) };
    let token = match &args.ui_token_file {
        Some(file) => match Token::read(file) {
            Ok(token) => Some(token),
            Err(error) => return fail(2, format!("--ui-token-file {}: {error}", file.display())),
        },
        None if address.is_local() => None,
        None => {
            return fail(
                2,
                format!(
                    "--ui-http {address} can be reached from elsewhere: expected a loopback address, e.g. 127.0.0.1:8080, or --ui-token-file FILE"
                ),
            );
        }
    };
    Ok(Some(PageAddress { address: address.clone(), token }))
}

/// The exit code of a run that has no report.
pub(super) fn code_of(error: &RunError) -> u8 {
    match error {
        RunError::Subscribers(_) | RunError::Part(_) | RunError::NoOperator => 2,
        RunError::NoAnswer(_) | RunError::NoAdmin(_) => 4,
        RunError::Engine(_) | RunError::Environment(_) => 5,
    }
}

fn address(text: &str) -> Result<SocketAddr, String> {
    let mut found =
        text.to_socket_addrs().map_err(|error| format!("expected HOST:PORT: {error}"))?;
    found.next().ok_or_else(|| "the host has no address".to_owned())
}

fn capture(text: &str) -> Result<Capture, String> {
    match text {
        "failed" => return Ok(Capture::Failed),
        "none" => return Ok(Capture::None),
        _ => {}
    }
    let numbers: Result<Vec<u64>, _> = text.split(',').map(|part| part.trim().parse()).collect();
    numbers.map(Capture::Ues).map_err(|_| {
        "expected numbers of UEs, which count from 0, e.g. 0,17; or `failed`, or `none`".to_owned()
    })
}
