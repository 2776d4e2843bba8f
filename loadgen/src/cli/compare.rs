//! `imstorm compare`.

use std::path::PathBuf;

use clap::Args;

use super::output::JunitArgs;
use super::{Failure, fail};
use crate::compare::{self, Side, Tolerance};
use crate::junit;
use crate::run::say;

#[derive(Debug, Args)]
pub(super) struct CompareArgs {
    /// The run that the other is held against: its directory or report.json, or several runs of the same, parted by commas.
    #[arg(value_name = "A[,A...]", value_delimiter = ',', num_args = 1, required = true)]
    a: Vec<PathBuf>,
    /// The run that may be better or worse; several are repeats.
    #[arg(value_name = "B[,B...]", value_delimiter = ',', num_args = 1, required = true)]
    b: Vec<PathBuf>,
    /// Write the table as Markdown.
    #[arg(long)]
    markdown: bool,
    /// By how much a number may differ: its path in report.json, or how the path ends, and percent, e.g. latency_us.p99=10.
    #[arg(long = "tolerance", value_name = "PATH=PERCENT")]
    tolerances: Vec<Tolerance>,
    /// Compare runs of different profiles all the same.
    #[arg(long)]
    force: bool,
    /// Print the comparison as JSON, and nothing else, on standard output.
    #[arg(long, conflicts_with = "markdown")]
    json: bool,
    #[command(flatten)]
    junit: JunitArgs,
}

pub(super) fn compare(args: &CompareArgs) -> Result<u8, Failure> {
    args.junit.check()?;
    let read = |paths: &[PathBuf]| Side::read(paths).or_else(|error| fail(2, error));
    let (a, b) = (read(&args.a)?, read(&args.b)?);
    let compared = compare::compare([&a, &b], &args.tolerances, args.force);
    let compared = compared.or_else(|error| fail(2, error))?;
    say(&match (args.json, args.markdown) {
        (true, _) => compared.to_json(),
        (_, true) => compared.to_markdown(),
        _ => compared.to_text(),
    });
    args.junit.write(|| junit::of_comparison(&compared))?;
    Ok(compared.exit_code())
}
