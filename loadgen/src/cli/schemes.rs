//! `imstorm schemes`.

use std::path::PathBuf;

use clap::Args;

use super::interrupts::interrupts;
use super::run::code_of;
use super::{Failure, ProfileArgs, fail, load};
use crate::run::{self, say};
use crate::schemes::{self, Comparison, ComparisonError, ComparisonOptions};

#[derive(Debug, Args)]
pub(super) struct SchemesArgs {
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
    /// Print schemes.json instead of the table, and nothing else, on standard output.
    #[arg(long)]
    json: bool,
}

pub(super) fn compare_schemes(args: &SchemesArgs) -> Result<u8, Failure> {
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
    match args.json {
        true => {
            eprintln!("{}", options.out.display());
            say(&comparison.to_json());
        }
        false => say(&format!("{}{}\n", schemes::text(&comparison), options.out.display())),
    }
    Ok(u8::from(!comparison.all_hold()))
}
