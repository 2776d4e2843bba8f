//! `imstorm simulate`.

use std::io::Write;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use clap::Args;

use super::{Failure, ProfileArgs, fail, load};
use crate::run::say;
use crate::sim::{self, SeedResult};
use crate::{embedded, population};

#[derive(Debug, Args)]
pub(super) struct SimulateArgs {
    #[command(flatten)]
    profile: ProfileArgs,
    /// The seeds, first and last.
    #[arg(long, value_name = "A..B", value_parser = seeds, default_value = "1..1")]
    seeds: (u64, u64),
    /// Write a line for each datagram and its fate; needs a single seed.
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,
    /// Print the result as JSON, and nothing else, on standard output.
    #[arg(long)]
    json: bool,
}

/// The least share of UEs that must be secured, over all seeds.
const SECURED_SHARE_MIN: f64 = 0.9999;

pub(super) fn simulate(args: &SimulateArgs) -> Result<u8, Failure> {
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
                    if !result.violations.is_empty() && !args.json {
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
    if args.json {
        return conclude_in_json(args, results);
    }
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
    let enough = is_enough(ues, secured, given_up);
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

/// Each seed with what should not be, and all together.
fn conclude_in_json(args: &SimulateArgs, results: &[SeedResult]) -> u8 {
    let sum = |of: fn(&SeedResult) -> u64| results.iter().map(of).sum::<u64>();
    let (ues, secured, given_up) = (sum(|it| it.ues), sum(|it| it.secured), sum(|it| it.given_up));
    let broken = results.iter().any(|result| !result.violations.is_empty());
    let held = !broken && is_enough(ues, secured, given_up);
    let seed = |result: &SeedResult| {
        let failures = result.failures.iter();
        let failures = failures.map(|(cause, count)| (cause.name().into_owned(), (*count).into()));
        serde_json::json!({
            "seed": result.seed,
            "ues": result.ues,
            "secured": result.secured,
            "given_up": result.given_up,
            "datagrams": result.datagrams,
            "simulated_s": result.elapsed_ns as f64 / 1e9,
            "failures": failures.collect::<serde_json::Map<String, serde_json::Value>>(),
            "violations": result.violations,
        })
    };
    let value = serde_json::json!({
        "profile": args.profile.profile,
        "held": held,
        "ues": ues,
        "secured": secured,
        "given_up": given_up,
        "seeds": results.iter().map(seed).collect::<Vec<_>>(),
    });
    say(&format!("{value:#}\n"));
    u8::from(!held)
}

/// Whether so many were secured as must be.
fn is_enough(ues: u64, secured: u64, given_up: u64) -> bool {
    secured as f64 >= SECURED_SHARE_MIN * (ues - given_up) as f64
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

fn seeds(text: &str) -> Result<(u64, u64), String> {
    let expected = || "expected two numbers A..B, A not above B".to_owned();
    let (first, last) = text.split_once("..").ok_or_else(expected)?;
    let first = first.parse().map_err(|_| expected())?;
    let last = last.trim_start_matches('=').parse().map_err(|_| expected())?;
    if first <= last { Ok((first, last)) } else { Err(expected()) }
}
