//! `imstorm report`.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::Args;

use super::output::OutputArgs;
use super::{Failure, fail};
use crate::log::{self, LogError, LogReader, RunLog};
use crate::page;

/// How often progress is told.
const PROGRESS_WAIT: Duration = Duration::from_secs(1);

#[derive(Debug, Args)]
pub(super) struct ReportArgs {
    /// The directory of a run's results, or those of all parts of one.
    #[arg(required = true, value_name = "DIR")]
    directories: Vec<PathBuf>,
    /// Where the parts' results go once they are put together.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Show nothing but the result.
    #[arg(long)]
    quiet: bool,
    #[command(flatten)]
    output: OutputArgs,
}

pub(super) fn report(args: &ReportArgs) -> Result<u8, Failure> {
    args.output.junit.check()?;
    let mut progress = Progress { quiet: args.quiet, told_at: Instant::now() };
    let (log, directory) = match (&args.directories[..], &args.out) {
        ([directory], None) => {
            let look = |reader: &LogReader| {
                let (read, all) = reader.progress();
                progress.tell(read, all);
            };
            (log::read(directory, look).or_else(refuse)?, directory)
        }
        (_, None) => return fail(2, "several directories need --out DIR for the result"),
        (directories, Some(out)) => {
            let merged = log::merge(directories, out, |read, all| progress.tell(read, all));
            (merged.or_else(|error| fail(error.exit_code(), error))?, out)
        }
    };
    conclude(&log, directory, &args.output)
}

fn refuse(error: LogError) -> Result<RunLog, Failure> {
    fail(2, error)
}

fn conclude(log: &RunLog, directory: &Path, output: &OutputArgs) -> Result<u8, Failure> {
    let report = log.report();
    report
        .write(directory)
        .and_then(|()| page::write(log, &report, directory))
        .or_else(|error| fail(5, format!("{}: {error}", directory.display())))?;
    output.put(&report, directory)?;
    Ok(report.verdict.exit_code())
}

/// Tells on standard error how far the reading is.
struct Progress {
    quiet: bool,
    told_at: Instant,
}

impl Progress {
    fn tell(&mut self, read: u64, all: u64) {
        if self.quiet || self.told_at.elapsed() < PROGRESS_WAIT {
            return;
        }
        self.told_at = Instant::now();
        let mib = |bytes: u64| bytes >> 20;
        eprintln!("{:>3}%  {} of {} MiB", 100 * read / all.max(1), mib(read), mib(all));
    }
}
