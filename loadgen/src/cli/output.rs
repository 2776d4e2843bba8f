//! How a result is given: a table for a person, or JSON and JUnit XML for a program.

use std::path::{Path, PathBuf};

use clap::Args;

use super::{Failure, fail};
use crate::junit::{self, Junit};
use crate::report::Report;
use crate::run::say;

#[derive(Debug, Args)]
pub(super) struct OutputArgs {
    /// Print report.json instead of the table, and nothing else, on standard output.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    pub junit: JunitArgs,
}

#[derive(Debug, Args)]
pub(super) struct JunitArgs {
    /// Write the result as JUnit XML as well, for a build server: a test case for each threshold, or for each number that is compared, and one for
    /// whether the measurement counts.
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
}

impl OutputArgs {
    /// Gives the report of a run whose files are in this directory.
    pub fn put(&self, report: &Report, directory: &Path) -> Result<(), Failure> {
        match self.json {
            true => {
                eprintln!("{}", directory.display());
                say(&report.to_json());
            }
            false => say(&format!("{}{}\n", report.to_table(), directory.display())),
        }
        self.junit.write(|| junit::of_run(report))
    }
}

impl JunitArgs {
    /// Fails where the file will not be to be written, before there is a result that would be lost.
    pub fn check(&self) -> Result<(), Failure> {
        let Some(path) = &self.junit else { return Ok(()) };
        let parent = path.parent().filter(|it| !it.as_os_str().is_empty());
        match parent.is_none_or(Path::is_dir) {
            true if !path.is_dir() => Ok(()),
            true => fail(5, format!("--junit {}: it is a directory", path.display())),
            false => fail(5, format!("--junit {}: there is no such directory", path.display())),
        }
    }

    /// Writes the file, where one is wanted.
    pub fn write(&self, junit: impl FnOnce() -> Junit) -> Result<(), Failure> {
        let Some(path) = &self.junit else { return Ok(()) };
        let written = junit().write(path);
        written.or_else(|error| fail(5, format!("--junit {}: {error}", path.display())))
    }
}
