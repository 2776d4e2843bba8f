//! A side of a comparison: one run, or several of the same as repeats.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::log::{REPORT_FILE, RUN_FILE, RunInfo, difference_of_profiles};

/// The field of what a search for the capacity has found.
pub(super) const CAPACITY: &str = "capacity";
/// The longest report that is read, in bytes.
const REPORT_BYTES_MAX: u64 = 64 << 20;

/// A side.
#[derive(Debug, Clone)]
pub struct Side {
    /// What it is called.
    pub name: String,
    /// The runs.
    pub runs: Vec<Run>,
}

/// A run.
#[derive(Debug, Clone)]
pub struct Run {
    /// Where it is from.
    pub path: PathBuf,
    /// report.json.
    pub report: Value,
    /// run.json, if it is there.
    pub info: Option<RunInfo>,
}

/// Why a report can't be read.
#[derive(Debug)]
pub enum SideError {
    /// The file can't be read.
    File(PathBuf, io::Error),
    /// It is no report.
    NoReport(PathBuf, String),
}

impl fmt::Display for SideError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path, error) => {
                let shown = path.display();
                write!(f, "{shown}: expected a run's directory or its report.json: {error}")?;
                match path.parent().filter(|directory| directory.join(RUN_FILE).exists()) {
                    Some(directory) => write!(
                        f,
                        " (a run that was killed has none, which makes it: imstorm report {})",
                        directory.display()
                    ),
                    None => Ok(()),
                }
            }
            Self::NoReport(path, problem) => {
                write!(f, "{}: expected a report: {problem}", path.display())
            }
        }
    }
}

impl std::error::Error for SideError {}

impl Side {
    /// Reads the reports in these directories or files.
    ///
    /// # Errors
    /// [`SideError`].
    pub fn read(paths: &[PathBuf]) -> Result<Self, SideError> {
        let names = paths.iter().map(|path| path.display().to_string());
        let name = names.collect::<Vec<_>>().join(", ");
        let runs = paths.iter().map(|path| Run::read(path)).collect::<Result<_, _>>()?;
        Ok(Self { name, runs })
    }

    /// Whether all runs of both sides were to do the same; if not two of them, and in what they differ.
    pub(super) fn all_did_the_same(sides: [&Self; 2]) -> Result<(), (String, String, String)> {
        let mut runs = sides.into_iter().flat_map(|side| &side.runs);
        let Some(first) = runs.next() else { return Ok(()) };
        for run in runs {
            if let Some(what) = first.difference(run) {
                let name = |run: &Run| run.path.display().to_string();
                return Err((name(first), name(run), what));
            }
        }
        Ok(())
    }

    /// Whether all runs looked for the capacity.
    pub(super) fn seeks_capacity(&self) -> bool {
        self.runs.iter().all(|run| run.report[CAPACITY].is_object())
    }

    /// Whether the latencies of all runs are the target's.
    pub(super) fn is_latency_usable(&self) -> bool {
        self.runs.iter().all(|run| run.report["health"]["latency_usable"] != false)
    }
}

impl Run {
    #[allow(clippy::disallowed_methods, reason = "this is one of the outermost functions")]
    fn read(path: &Path) -> Result<Self, SideError> {
        let file = if path.is_dir() { path.join(REPORT_FILE) } else { path.to_owned() };
        let failed = |error| SideError::File(file.clone(), error);
        let length = std::fs::metadata(&file).map_err(failed)?.len();
        let no_report = |problem: String| SideError::NoReport(file.clone(), problem);
        if length > REPORT_BYTES_MAX {
            return Err(no_report(format!("it has {length} bytes")));
        }
        let text = std::fs::read_to_string(&file).map_err(failed)?;
        let report: Value =
            serde_json::from_str(&text).map_err(|error| no_report(error.to_string()))?;
        if !report["procedures"].is_object() || !report["verdict"].is_string() {
            return Err(no_report("it has no procedures or no verdict".to_owned()));
        }
        let directory = file.parent().unwrap_or(Path::new("."));
        Ok(Self { path: path.to_owned(), report, info: RunInfo::read(directory).ok() })
    }

    /// In what another run was to do something else.
    fn difference(&self, other: &Self) -> Option<String> {
        for key in ["profile", "part", "parts"] {
            let (one, other) = (&self.report[key], &other.report[key]);
            if key != "parts" && one != other {
                return Some(format!("{key} ({one} and {other})"));
            }
        }
        if let (Some(one), Some(other)) = (&self.info, &other.info) {
            return difference_of_profiles(one, other);
        }
        // Without run.json the report itself says what little it can.
        let (one, other) = (&self.report["ues"]["configured"], &other.report["ues"]["configured"]);
        (one != other).then(|| format!("UEs ({one} and {other})"))
    }

    fn verdict(&self) -> &str {
        self.report["verdict"].as_str().unwrap_or_default()
    }
}

/// What was done to runs while they went on: whoever compares them should know.
pub(super) fn by_hand(sides: [&Side; 2]) -> impl Iterator<Item = String> {
    let runs = sides.into_iter().flat_map(|side| &side.runs);
    let is_changed =
        |run: &&Run| run.report["interventions"].as_array().is_some_and(|it| !it.is_empty());
    runs.filter(is_changed).map(|run| {
        format!("{} was paused, or its rate changed, by hand while it went on", run.path.display())
    })
}

/// Why the second side is not as good as the first one, whatever its numbers.
pub(super) fn objections(sides: [&Side; 2]) -> Vec<String> {
    let mut objections = Vec::new();
    for side in sides {
        for run in side.runs.iter().filter(|run| run.verdict() == "invalid") {
            let reasons = run.report["invalid_reasons"].as_array();
            let reasons = reasons.into_iter().flatten().filter_map(Value::as_str);
            let reasons: Vec<&str> = reasons.collect();
            objections.push(format!(
                "{} is INVALID, no measurement: {}",
                run.path.display(),
                reasons.join("; ")
            ));
        }
    }
    let fails = |side: &Side| side.runs.iter().any(|run| run.verdict() == "fail");
    if fails(sides[1]) && !fails(sides[0]) {
        objections.push(format!("{} FAILS its thresholds", sides[1].name));
    }
    objections
}
