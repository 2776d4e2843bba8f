//! `imstorm explain`.

use std::path::PathBuf;

use clap::Args;

use super::{Failure, fail};
use crate::explain::{self, Explanation};
use crate::run::say;

#[derive(Debug, Args)]
pub(super) struct ExplainArgs {
    /// The directory of a run's results.
    #[arg(value_name = "DIR")]
    directory: PathBuf,
    /// One cause, by its name in the result or by a status, e.g. timeout or 503: what it means, an exchange that failed for it, and what to check.
    #[arg(long, value_name = "CAUSE")]
    failure: Option<String>,
    /// As JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn explain(args: &ExplainArgs) -> Result<u8, Failure> {
    let explanation = Explanation::read(&args.directory).or_else(|error| fail(2, error))?;
    let text = match &args.failure {
        None if args.json => explanation.to_json(),
        None => explain::of_all(&explanation, &args.directory),
        Some(name) => {
            let explained = explanation.cause(name).or_else(|error| fail(2, error))?;
            if args.json {
                explained.to_json()
            } else {
                explain::of_cause(&explained, &args.directory)
            }
        }
    };
    say(&text);
    Ok(0)
}
