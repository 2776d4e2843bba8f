//! Why procedures of a run have failed: each cause with what it means, an exchange as an example, and what to check.

mod advice;
mod example;
mod text;

use std::fmt;
use std::path::{Path, PathBuf};

use imstorm_engine::suggest;
use serde::Serialize;

use crate::log::REPORT_FILE;
use crate::measure::{CAUSES, Cause};
use crate::recorder::{CaptureError, CaptureFolder, UeEvents};

pub use advice::Advice;
pub use example::Example;
pub(crate) use text::wrapped;
pub use text::{of_all, of_cause};

/// The failures of a run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Explanation {
    /// The profile's name.
    pub profile: String,
    /// How many procedures failed.
    pub failed: u64,
    /// Of how many parts the results were put together, whose captures stay with the parts; nothing where one generator did it all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parts: Option<u64>,
    /// The causes, the most frequent first.
    pub causes: Vec<Explained>,
}

/// A cause of failures.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Explained {
    /// Its name.
    pub cause: String,
    /// How many procedures failed for it.
    pub failed: u64,
    /// What it is, in a few words.
    pub title: String,
    /// What it means.
    pub meaning: String,
    /// Where the rule stands.
    pub clause: String,
    /// What to check, the most likely first.
    pub checks: Vec<String>,
    /// The UEs that were captured as they failed for it.
    pub examples: Vec<Example>,
}

/// Why nothing can be explained.
#[derive(Debug)]
pub enum ExplainError {
    /// The captures can't be read.
    Capture(CaptureError),
    /// There is no report, or it can't be read.
    Report(PathBuf, String),
    /// No cause has this name.
    NoSuchCause {
        /// The name.
        name: String,
        /// Those that the run has.
        there: Vec<String>,
    },
}

impl fmt::Display for ExplainError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Capture(error) => error.fmt(f),
            Self::Report(path, problem) => {
                let directory = path.parent().unwrap_or(path);
                write!(
                    f,
                    "{}: {problem}; it can be made again from the run's log: imstorm report {}",
                    path.display(),
                    directory.display()
                )
            }
            Self::NoSuchCause { name, there } => {
                let known = CAUSES.iter().map(|(_, name)| *name);
                let known: Vec<_> = there.iter().map(String::as_str).chain(known).collect();
                let meant = suggest::did_you_mean(name, &known);
                write!(f, "--failure {name}: there is no such cause of a failure{meant}; ")?;
                match there.is_empty() {
                    true => f.write_str("this run has no failures"),
                    false => write!(f, "this run has {}", there.join(", ")),
                }
            }
        }
    }
}

impl std::error::Error for ExplainError {}

impl From<CaptureError> for ExplainError {
    fn from(error: CaptureError) -> Self {
        Self::Capture(error)
    }
}

impl Explanation {
    /// Reads what is left of a run.
    ///
    /// # Errors
    /// Where this is no run's directory, or a file in it can't be read.
    #[allow(clippy::disallowed_methods, reason = "this is one of the outermost functions")]
    pub fn read(directory: &Path) -> Result<Self, ExplainError> {
        let folder = CaptureFolder::open(directory)?;
        let path = directory.join(REPORT_FILE);
        let refuse = |problem: String| ExplainError::Report(path.clone(), problem);
        let text = std::fs::read_to_string(&path).map_err(|error| refuse(error.to_string()))?;
        let report: serde_json::Value =
            serde_json::from_str(&text).map_err(|error| refuse(error.to_string()))?;
        let captured = folder.ues().iter().map(|ue| folder.read(*ue));
        Ok(Self::of(&report, &captured.collect::<Result<Vec<_>, _>>()?))
    }

    /// What a report and the captured UEs say.
    fn of(report: &serde_json::Value, captured: &[UeEvents]) -> Self {
        let failures = report["failures"].as_object();
        let counts = failures.into_iter().flatten();
        let counts =
            counts.filter_map(|(name, count)| Some((Cause::from_name(name)?, count.as_u64()?)));
        let mut causes: Vec<_> =
            counts.map(|(cause, failed)| Explained::of(cause, failed, captured)).collect();
        causes.sort_by_key(|explained| std::cmp::Reverse(explained.failed));
        Self {
            profile: report["profile"].as_str().unwrap_or_default().to_owned(),
            failed: causes.iter().map(|explained| explained.failed).sum(),
            parts: report["parts"].as_u64(),
            causes,
        }
    }

    /// One cause, by its name, or by the status that stands behind it.
    ///
    /// # Errors
    /// Where there is no such cause.
    pub fn cause(&self, name: &str) -> Result<Explained, ExplainError> {
        let cause = Cause::from_name(name).or_else(|| status(name));
        let cause = cause.ok_or_else(|| ExplainError::NoSuchCause {
            name: name.to_owned(),
            there: self.causes.iter().map(|explained| explained.cause.clone()).collect(),
        })?;
        let found = self.causes.iter().find(|explained| explained.cause == cause.name());
        Ok(found.cloned().unwrap_or_else(|| Explained::of(cause, 0, &[])))
    }

    /// As JSON.
    #[must_use]
    pub fn to_json(&self) -> String {
        to_json(self)
    }
}

impl Explained {
    fn of(cause: Cause, failed: u64, captured: &[UeEvents]) -> Self {
        let name = cause.name().into_owned();
        let advice = Advice::on(cause);
        let examples = captured.iter().filter_map(|events| Example::find(events, &name));
        Self {
            failed,
            title: advice.title,
            meaning: advice.meaning,
            clause: advice.clause.to_owned(),
            checks: advice.checks.into_iter().map(str::to_owned).collect(),
            examples: examples.collect(),
            cause: name,
        }
    }

    /// As JSON.
    #[must_use]
    pub fn to_json(&self) -> String {
        to_json(self)
    }
}

fn to_json(value: &impl Serialize) -> String {
    serde_json::to_string_pretty(value).expect("it is numbers and texts only") + "\n"
}

/// The cause that a status is counted as, e.g. of `503`.
fn status(name: &str) -> Option<Cause> {
    let status: u16 = name.parse().ok()?;
    match status {
        403 => Some(Cause::Forbidden403),
        408 => Some(Cause::Timeout),
        421 | 494 => Some(Cause::Security494),
        480 => Some(Cause::NoAnswer),
        486 | 600 => Some(Cause::Busy),
        _ => Cause::from_name(&format!("status_{status}")),
    }
}

#[cfg(test)]
mod tests;
