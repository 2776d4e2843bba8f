//! The conditions that a report is held against.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::LazyLock;

use serde::Serialize;

use super::{Engine, Generator, Measured, Report, Rows, SCHEMA, Sessions, Ues, Verdict};
use crate::health::Health;
use crate::measure::{Cause, Measurements, Phase, Procedure};
use crate::traffic::CapacityResult;

/// A condition: a path into report.json, an operator and a number.
#[derive(Debug, Clone, PartialEq)]
pub struct Threshold {
    /// The path, dotted.
    pub path: String,
    /// How the value there is compared.
    pub operator: Operator,
    /// With what.
    pub bound: f64,
}

/// How a value is compared with the bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operator {
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
    /// `==`
    Equal,
}

/// The one place where the operators stand. The longer ones first, for the reader.
const OPERATORS: [(&str, Operator); 5] = [
    ("<=", Operator::LessOrEqual),
    (">=", Operator::GreaterOrEqual),
    ("==", Operator::Equal),
    ("<", Operator::Less),
    (">", Operator::Greater),
];

/// A condition, and whether it held.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ThresholdResult {
    /// The path into report.json.
    pub path: String,
    /// Operator and bound, as in the profile.
    pub condition: String,
    /// What is there; nothing if nothing was measured, and then the condition did not hold.
    pub value: Option<f64>,
    /// Whether it held.
    pub held: bool,
}

/// Why a text is no condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ThresholdError {
    /// report.json has no number there.
    Path {
        /// The path.
        path: String,
        /// What it may go on with behind its longest good part.
        known: Vec<String>,
    },
    /// It does not start with an operator.
    Operator(String),
    /// There is no number behind the operator.
    Bound(String),
}

impl Threshold {
    /// Reads a condition such as `< 50000` on a path such as `procedures.secure.latency_us.p99`.
    ///
    /// # Errors
    /// [`ThresholdError`].
    pub fn parse(path: &str, condition: &str) -> Result<Self, ThresholdError> {
        check_path(path)?;
        let text = condition.trim();
        let (sign, operator) = OPERATORS
            .iter()
            .find(|(sign, _)| text.starts_with(sign))
            .ok_or_else(|| ThresholdError::Operator(condition.to_owned()))?;
        let bound = text[sign.len()..].trim().replace('_', "");
        let bound = bound.parse::<f64>().ok().filter(|bound| bound.is_finite());
        let bound = bound.ok_or_else(|| ThresholdError::Bound(condition.to_owned()))?;
        Ok(Self { path: path.to_owned(), operator: *operator, bound })
    }

    /// Whether a value fulfils it.
    #[must_use]
    pub fn holds(&self, value: f64) -> bool {
        match self.operator {
            Operator::Less => value < self.bound,
            Operator::LessOrEqual => value <= self.bound,
            Operator::Greater => value > self.bound,
            Operator::GreaterOrEqual => value >= self.bound,
            #[expect(clippy::float_cmp, reason = "counts are whole numbers")]
            Operator::Equal => value == self.bound,
        }
    }
}

impl fmt::Display for ThresholdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path { path, known } => write!(
                f,
                "expected the path of a number in report.json, got `{path}`; there is {}",
                known.join(", ")
            ),
            Self::Operator(got) => {
                write!(f, "expected one of < <= > >= == and a number, got `{got}`")
            }
            Self::Bound(got) => write!(f, "expected a number behind the operator, got `{got}`"),
        }
    }
}

impl std::error::Error for ThresholdError {}

/// Holds a report against the conditions, all of which are readable.
pub(super) fn evaluate(
    conditions: &BTreeMap<String, String>,
    report: &Report,
) -> Vec<ThresholdResult> {
    let json = serde_json::to_value(report).expect("it is numbers and names only");
    let result = |(path, condition): (&String, &String)| {
        let threshold = Threshold::parse(path, condition).expect("loading the profile checked it");
        let value = value_at(&json, path);
        let held = value.is_some_and(|value| threshold.holds(value));
        ThresholdResult { path: path.clone(), condition: condition.clone(), value, held }
    };
    conditions.iter().map(result).collect()
}

/// The number at a path of a report; nothing if the engine was not ours, or if it is a latency of
/// what never completed.
fn value_at(report: &serde_json::Value, path: &str) -> Option<f64> {
    if let Some(cause) = path.strip_prefix("failures.") {
        return Some(
            report["failures"].get(cause).and_then(serde_json::Value::as_f64).unwrap_or(0.0),
        );
    }
    for latency in ["latency_us", "latency_raw_us"] {
        let rows = path.split_once(&format!(".{latency}."));
        if let Some((row, _)) = rows
            && at(report, row)?[latency]["max"] == 0
        {
            return None;
        }
    }
    at(report, path)?.as_f64()
}

fn at<'a>(json: &'a serde_json::Value, path: &str) -> Option<&'a serde_json::Value> {
    path.split('.').try_fold(json, |json, key| json.as_object()?.get(key))
}

/// Whether a report has a number there, whatever the run. The report of no run says what there is.
fn check_path(path: &str) -> Result<(), ThresholdError> {
    if let Some(cause) = path.strip_prefix("failures.") {
        return if Cause::from_name(cause).is_some() {
            Ok(())
        } else {
            let known = crate::measure::CAUSES.iter().map(|(_, name)| (*name).to_owned());
            let known = known.chain(["status_CODE".to_owned()]).collect();
            Err(ThresholdError::Path { path: path.to_owned(), known })
        };
    }
    static EMPTY: LazyLock<serde_json::Value> = LazyLock::new(|| {
        serde_json::to_value(empty_report()).expect("it is numbers and names only")
    });
    let mut json = &*EMPTY;
    for key in path.split('.') {
        match json.get(key) {
            Some(inner) => json = inner,
            None => return Err(ThresholdError::Path { path: path.to_owned(), known: keys(json) }),
        }
    }
    if json.is_number() {
        return Ok(());
    }
    Err(ThresholdError::Path { path: path.to_owned(), known: keys(json) })
}

/// What a path may go on with.
fn keys(json: &serde_json::Value) -> Vec<String> {
    let Some(object) = json.as_object() else { return vec!["nothing behind it".to_owned()] };
    let usable = |value: &serde_json::Value| value.is_number() || value.is_object();
    object.iter().filter(|(_, value)| usable(value)).map(|(key, _)| key.clone()).collect()
}

fn empty_report() -> Report {
    let no_phase = Phase { began_s: 0.0, ended_s: 0.0 };
    Report {
        course: None,
        schema: SCHEMA,
        profile: String::new(),
        seed: 0,
        part: None,
        parts: None,
        duration_s: 0.0,
        verdict: Verdict::Pass,
        interrupted: false,
        aborted: None,
        interventions: Vec::new(),
        ues: Ues::default(),
        sessions: Sessions::default(),
        measured: Measured::new(&Measurements::of_nothing(), 0.0),
        phases: Rows(Procedure::ALL.iter().map(|it| (it.name().to_owned(), no_phase)).collect()),
        generator: Generator::default(),
        health: Health::default(),
        engine: Some(Engine::default()),
        steps: Vec::new(),
        capacity: Some(CapacityResult::NONE_YET),
        thresholds: Vec::new(),
        invalid_reasons: Vec::new(),
    }
}
