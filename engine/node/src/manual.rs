//! Completions for shells and manual pages, made from a program's own command line.

use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;

use clap::{Args, Command};
use clap_complete::Shell;

const COMPLETIONS_EXIT_CODES: &str = "\
Exit codes:
    0  done
    2  bad usage";

const MAN_EXIT_CODES: &str = "\
Exit codes:
    0  done
    2  bad usage
    5  the environment: a directory or file that can't be written";

/// What `completions` is told.
#[derive(Debug, Args)]
#[command(after_help = COMPLETIONS_EXIT_CODES)]
pub struct CompletionsArgs {
    /// The shell. Where its completions go, e.g. of bash: imstorm completions bash > ~/.local/share/bash-completion/completions/imstorm
    #[arg(value_enum)]
    shell: Shell,
}

/// What `man` is told.
#[derive(Debug, Args)]
#[command(after_help = MAN_EXIT_CODES)]
pub struct ManArgs {
    /// Write a page for the program and one for each of its commands to this directory, e.g. ~/.local/share/man/man1; without it the program's page
    /// goes to standard output, for `imstorm man | man -l -`.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// Why there are no pages.
#[derive(Debug)]
pub struct ManualError {
    path: PathBuf,
    error: io::Error,
}

impl std::fmt::Display for ManualError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "--out {}: {}", self.path.display(), self.error)?;
        f.write_str(match self.error.kind() {
            io::ErrorKind::PermissionDenied => " (name a directory that you may write to)",
            io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists => {
                " (expected a directory, which is made if it is not there)"
            }
            _ => "",
        })
    }
}

impl std::error::Error for ManualError {}

impl CompletionsArgs {
    /// Writes the completions of a program to standard output.
    pub fn write(&self, mut command: Command) {
        let name = command.get_name().to_owned();
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut command, name, &mut script);
        print(&script);
    }
}

impl ManArgs {
    /// Writes the pages of a program.
    ///
    /// # Errors
    /// Where the directory or a file in it can't be written.
    pub fn write(&self, command: Command) -> Result<(), ManualError> {
        let Some(directory) = &self.out else {
            let mut page = Vec::new();
            // Writing to memory does not fail.
            let _ = clap_mangen::Man::new(command).render(&mut page);
            print(&page);
            return Ok(());
        };
        let pages = || {
            fs::create_dir_all(directory)?;
            clap_mangen::generate_to(command, directory)
        };
        pages().map_err(|error| ManualError { path: directory.clone(), error })?;
        print(format!("{}\n", directory.display()).as_bytes());
        Ok(())
    }
}

/// Writes to standard output. Whoever reads it may have seen enough: then there is nobody to tell.
fn print(text: &[u8]) {
    let mut out = io::stdout().lock();
    let _ = out.write_all(text).and_then(|()| out.flush());
}
