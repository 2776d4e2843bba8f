//! By how much two runs may differ before it is more than noise.

use std::fmt;
use std::str::FromStr;

/// Which way is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Better {
    /// More of it.
    More,
    /// Less of it.
    Less,
}

/// What a number is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// So many a second.
    PerSecond,
    /// A part of all, from 0 to 1.
    Share,
    /// Microseconds.
    Us,
    /// Seconds.
    Seconds,
    /// Bytes.
    Bytes,
}

/// How a kind of number is judged.
#[derive(Debug, Clone, Copy)]
pub struct Rule {
    /// The end of its path in report.json.
    pub path: &'static str,
    /// What it is called.
    pub name: &'static str,
    /// What it is.
    pub unit: Unit,
    /// Which way is better.
    pub better: Better,
    /// As a share of the smaller one: so much may single runs differ. Nothing: single runs are not judged by it.
    pub tolerance: Option<f64>,
    /// As a share of the smaller one: what is less than that matters to nobody, however sure it is.
    pub least: f64,
    /// In the number's own unit: so much may any two differ.
    pub floor: f64,
    /// So many must have completed on either side for a single run's number to mean anything.
    pub completed_min: u64,
}

/// Fewer repeats than these are judged as single runs are.
pub const REPEATS_MIN: usize = 3;
/// Standard errors by which two shares of failures may differ.
pub const FAILURES_ERRORS: f64 = 3.0;

/// The rules of a procedure's row, then those of what a search for the capacity has found (the design objective capacity), and of the two programs.
///
/// The tolerances of single runs are ours, and no standard's. They are wide, as one run does not tell how much it would differ from the next:
/// a load that is fixed gives its rate, while latencies, their tails above all, are what a machine does besides. Whoever looks for less
/// takes repeats. A quantile counts where at least ten values lie beyond it. A maximum is one value: of single runs it is shown and not judged.
pub const RULES: [Rule; 11] = [
    rule("rate_per_s", "rate", Unit::PerSecond, Better::More, Some(0.02), 0.005, 0.05, 0),
    // Judged by the error of the two shares: `tolerance` and `floor` are not asked.
    rule("failed", "failed", Unit::Share, Better::Less, Some(0.0), 0.0, 0.0, 0),
    rule("latency_us.p50", "p50", Unit::Us, Better::Less, Some(0.25), 0.02, 20.0, 20),
    rule("latency_us.p99", "p99", Unit::Us, Better::Less, Some(0.50), 0.05, 50.0, 1_000),
    rule("latency_us.p999", "p99.9", Unit::Us, Better::Less, Some(1.0), 0.10, 100.0, 10_000),
    rule("latency_us.max", "max", Unit::Us, Better::Less, None, 0.20, 200.0, 0),
    rule("capacity.capacity_per_s", "DOC", Unit::PerSecond, Better::More, Some(0.10), 0.03, 0.0, 0),
    rule("generator.cpu_s", "CPU", Unit::Seconds, Better::Less, Some(0.15), 0.02, 0.05, 0),
    rule("generator.rss_bytes", "memory", Unit::Bytes, Better::Less, Some(0.10), 0.02, 4e6, 0),
    rule("engine.cpu_s", "CPU", Unit::Seconds, Better::Less, Some(0.15), 0.02, 0.05, 0),
    rule("engine.rss_bytes", "memory", Unit::Bytes, Better::Less, Some(0.10), 0.02, 4e6, 0),
];

/// How many of [`RULES`] are of a procedure's row.
pub const ROW_RULES: usize = 6;

const fn rule(
    path: &'static str,
    name: &'static str,
    unit: Unit,
    better: Better,
    tolerance: Option<f64>,
    least: f64,
    floor: f64,
    completed_min: u64,
) -> Rule {
    Rule { path, name, unit, better, tolerance, least, floor, completed_min }
}

/// By how much the numbers at a path may differ, as the user wants it.
#[derive(Debug, Clone, PartialEq)]
pub struct Tolerance {
    /// The path in report.json, or how it ends: `latency_us.p99` is that of every procedure.
    pub path: String,
    /// As a share of the smaller of the two; of failures as a share of the attempts.
    pub share: f64,
}

/// Why a text is no tolerance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ToleranceError {
    /// It is not PATH=PERCENT.
    Form(String),
    /// Nothing that is compared has such a path; what there is.
    NoSuchPath(String, Vec<String>),
}

impl fmt::Display for ToleranceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Form(got) => {
                write!(f, "expected PATH=PERCENT such as latency_us.p99=10, got {got}")
            }
            Self::NoSuchPath(path, known) => {
                write!(
                    f,
                    "expected the path of what is compared, got {path}; there is {}",
                    known.join(", ")
                )
            }
        }
    }
}

impl std::error::Error for ToleranceError {}

impl Tolerance {
    /// Whether it is for what is at a path.
    #[must_use]
    pub fn is_for(&self, path: &str) -> bool {
        let start = path.strip_suffix(&self.path);
        start.is_some_and(|start| start.is_empty() || start.ends_with('.'))
    }
}

impl FromStr for Tolerance {
    type Err = ToleranceError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || ToleranceError::Form(text.to_owned());
        let (path, percent) = text.split_once('=').ok_or_else(error)?;
        let percent = percent.trim_end_matches('%').parse::<f64>().ok();
        let percent = percent.filter(|percent| percent.is_finite() && *percent >= 0.0);
        if path.is_empty() {
            return Err(error());
        }
        Ok(Self { path: path.to_owned(), share: percent.ok_or_else(error)? / 100.0 })
    }
}
