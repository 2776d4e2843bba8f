//! The captures of a run that is over.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::{EventKind, UeEvents};
use crate::log::{REPORT_FILE, RUN_FILE};

/// The `captures` folder of a run's results.
#[derive(Debug, Clone)]
pub struct CaptureFolder {
    results: PathBuf,
    ues: Vec<u64>,
}

/// Why a capture can't be had.
#[derive(Debug)]
pub enum CaptureError {
    /// There are no results of a run.
    NoResult(PathBuf),
    /// A file or folder can't be read.
    File(PathBuf, io::Error),
    /// A file is none of ours.
    Format(PathBuf, serde_json::Error),
    /// The UE was not captured.
    NoSuchUe {
        /// Where it was looked for.
        results: PathBuf,
        /// The UE.
        ue: u64,
        /// Those that were captured.
        captured: Vec<u64>,
    },
}

impl fmt::Display for CaptureError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoResult(path) => write!(
                f,
                "{}: expected the directory of a run's results, which has {RUN_FILE} and {REPORT_FILE}; a run says where they are at its end, by default in imstorm-results/",
                path.display()
            ),
            Self::File(path, error) => write!(f, "{}: {error}", path.display()),
            Self::Format(path, error) => write!(
                f,
                "{}: {error}: this is no capture that imstorm has written, or it was changed",
                path.display()
            ),
            Self::NoSuchUe { results, ue, captured } if captured.is_empty() => write!(
                f,
                "{}: UE {ue} was not captured, and nor was another: run again with --capture {ue}",
                results.display()
            ),
            Self::NoSuchUe { results, ue, captured } => {
                let shown: Vec<_> = captured.iter().take(SHOWN_MAX).map(u64::to_string).collect();
                let more = if captured.len() > SHOWN_MAX { ", …" } else { "" };
                write!(
                    f,
                    "{}: UE {ue} was not captured; captured were {}{more}; to have UE {ue}, run again with --capture {ue}",
                    results.display(),
                    shown.join(", ")
                )
            }
        }
    }
}

impl std::error::Error for CaptureError {}

/// So many numbers of UEs are shown in an error.
const SHOWN_MAX: usize = 16;

/// What happened to a captured UE, in short.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CaptureSummary {
    /// The UE's number.
    pub ue: u64,
    /// How many messages and datagrams there are.
    pub messages: usize,
    /// When the first event was, in seconds from the run's start.
    pub from_s: f64,
    /// When the last event was, in seconds from the run's start.
    pub to_s: f64,
    /// The procedures that failed.
    pub failures: Vec<CapturedFailure>,
    /// What else was noted: procedures that were completed.
    pub notes: Vec<String>,
}

/// A procedure of a captured UE that failed.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CapturedFailure {
    /// The procedure.
    pub procedure: String,
    /// The cause.
    pub cause: String,
    /// When, in seconds from the run's start.
    pub at_s: f64,
}

impl CaptureFolder {
    /// The captures among a run's results; there may be none.
    ///
    /// # Errors
    /// Where these are no results, or the folder can't be read.
    #[allow(clippy::disallowed_methods, reason = "this is one of the outermost functions")]
    pub fn open(results: &Path) -> Result<Self, CaptureError> {
        let captures = results.join("captures");
        let is_result = [RUN_FILE, REPORT_FILE].iter().any(|name| results.join(name).exists());
        if !is_result && !captures.exists() {
            return Err(CaptureError::NoResult(results.to_owned()));
        }
        let mut ues = Vec::new();
        match std::fs::read_dir(&captures) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(CaptureError::File(captures, error)),
            Ok(files) => {
                for file in files {
                    let file = file.map_err(|error| CaptureError::File(captures.clone(), error))?;
                    ues.extend(file.file_name().to_str().and_then(number_of));
                }
            }
        }
        ues.sort_unstable();
        Ok(Self { results: results.to_owned(), ues })
    }

    /// The UEs that were captured, in order.
    #[must_use]
    pub fn ues(&self) -> &[u64] {
        &self.ues
    }

    /// What happened to a UE.
    ///
    /// # Errors
    /// Where it was not captured, or its file can't be read.
    #[allow(clippy::disallowed_methods, reason = "this is one of the outermost functions")]
    pub fn read(&self, ue: u64) -> Result<UeEvents, CaptureError> {
        if self.ues.binary_search(&ue).is_err() {
            let (results, captured) = (self.results.clone(), self.ues.clone());
            return Err(CaptureError::NoSuchUe { results, ue, captured });
        }
        let path = self.results.join("captures").join(format!("ue-{ue}.json"));
        match std::fs::read_to_string(&path) {
            Ok(text) => {
                UeEvents::from_json(&text).map_err(|error| CaptureError::Format(path, error))
            }
            Err(error) => Err(CaptureError::File(path, error)),
        }
    }
}

/// The UE that a file is about.
fn number_of(name: &str) -> Option<u64> {
    name.strip_prefix("ue-")?.strip_suffix(".json")?.parse().ok()
}

impl CaptureSummary {
    /// What happened to a UE.
    #[must_use]
    pub fn of(events: &UeEvents) -> Self {
        let mut summary = Self {
            ue: events.ue,
            messages: 0,
            from_s: seconds(events.start_ns()),
            to_s: seconds(events.events.last().map_or(0, |event| event.at_ns)),
            failures: Vec::new(),
            notes: Vec::new(),
        };
        for event in &events.events {
            match &event.kind {
                EventKind::Datagram { .. } => summary.messages += 1,
                EventKind::Event { text } => summary.notes.push(text.clone()),
                EventKind::Failure { procedure, cause } => {
                    let (procedure, cause) = (procedure.clone(), cause.clone());
                    let at_s = seconds(event.at_ns);
                    summary.failures.push(CapturedFailure { procedure, cause, at_s });
                }
            }
        }
        summary
    }

    /// What happened, in a line.
    #[must_use]
    pub fn outcome(&self) -> String {
        let failed =
            self.failures.iter().map(|it| format!("{} failed: {}", it.procedure, it.cause));
        let completed = self.notes.iter().filter_map(|note| note.strip_suffix(" completed"));
        let completed = counted(completed.map(str::to_owned));
        let mut parts = counted(failed);
        if !completed.is_empty() {
            parts.push(format!("completed: {}", completed.join(", ")));
        }
        if parts.is_empty() { "no procedure was over".to_owned() } else { parts.join("; ") }
    }
}

/// Each text once, with how often it is there.
fn counted(texts: impl Iterator<Item = String>) -> Vec<String> {
    let mut counted: Vec<(String, usize)> = Vec::new();
    for text in texts {
        match counted.iter_mut().find(|(known, _)| *known == text) {
            Some((_, count)) => *count += 1,
            None => counted.push((text, 1)),
        }
    }
    let shown = counted.into_iter().map(|(text, count)| match count {
        1 => text,
        count => format!("{text} ({count} times)"),
    });
    shown.collect()
}

/// Seconds with microseconds.
fn seconds(at_ns: u64) -> f64 {
    (at_ns / 1_000) as f64 / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_happened_to_a_ue_is_a_line() {
        let failure = |procedure: &str, cause: &str| CapturedFailure {
            procedure: procedure.to_owned(),
            cause: cause.to_owned(),
            at_s: 1.0,
        };
        let mut summary = CaptureSummary {
            ue: 1,
            messages: 9,
            from_s: 0.0,
            to_s: 1.0,
            failures: Vec::new(),
            notes: Vec::new(),
        };
        assert_eq!(summary.outcome(), "no procedure was over");
        summary.notes =
            ["secure", "refresh", "refresh"].map(|it| format!("{it} completed")).to_vec();
        summary.notes.push("what came before may not have been kept".to_owned());
        assert_eq!(summary.outcome(), "completed: secure, refresh (2 times)");
        summary.failures = vec![failure("release", "timeout"), failure("release", "timeout")];
        assert_eq!(
            summary.outcome(),
            "release failed: timeout (2 times); completed: secure, refresh (2 times)"
        );
    }

    #[test]
    fn only_captures_are_taken_for_captures() {
        assert_eq!(number_of("ue-17.json"), Some(17));
        for other in ["ue-17.sip", "ue-.json", "esp_sa", "ue--1.json", "ue-1.json.bak"] {
            assert_eq!(number_of(other), None, "{other}");
        }
    }
}
