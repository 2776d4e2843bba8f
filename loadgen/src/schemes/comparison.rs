//! A comparison: a run of the profile for each variant and repeat, over real sockets and against an engine of its own, and what they
//! show together.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use imstorm_control::FileWriter;
use serde::Serialize;

use super::conclusion::{Conclusion, conclusions};
use super::matrix::{Row, Variant};
use super::{csv, html, markdown};
use crate::part::Part;
use crate::profile::{Profile, ProfileError};
use crate::recorder::Capture;
use crate::run::{self, RunError, RunOptions};

/// What is compared, and where the results go.
#[derive(Debug, Clone)]
pub struct ComparisonOptions {
    /// A profile's file or name, with a `[schemes]` table.
    pub profile: String,
    /// Keys of it that are replaced.
    pub set: Vec<(String, String)>,
    /// Runs of each variant, at least 1.
    pub repeats: u32,
    /// Where results go.
    pub out: PathBuf,
    /// The seed of the first repeat; each of the others has the next one.
    pub seed: u64,
    /// Nothing is shown but the result.
    pub quiet: bool,
}

/// Why there is no comparison.
#[derive(Debug)]
pub enum ComparisonError {
    /// The profile is wrong.
    Profile(ProfileError),
    /// The profile has no `[schemes]` table.
    NoSchemes(String),
    /// A run could not be made.
    Run(String, RunError),
    /// It was interrupted before the matrix was complete.
    Interrupted,
    /// A result could not be written.
    File(PathBuf, std::io::Error),
}

impl std::fmt::Display for ComparisonError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Profile(error) => error.fmt(f),
            Self::NoSchemes(profile) => write!(
                f,
                "{profile} has no [schemes] table, so there is nothing to compare; start from `imstorm init schemes`"
            ),
            Self::Run(variant, error) => write!(f, "{variant}: {error}"),
            Self::Interrupted => f.write_str("interrupted before the matrix was complete"),
            Self::File(path, error) => write!(f, "{}: {error}", path.display()),
        }
    }
}

impl std::error::Error for ComparisonError {}

/// The whole result: schemes.json.
#[derive(Debug, Clone, Serialize)]
pub struct Comparison {
    /// The profile's name.
    pub profile: String,
    /// Users of each run.
    pub users: u64,
    /// The seed of the first repeat.
    pub seed: u64,
    /// Runs of each variant.
    pub repeats: u32,
    /// What is other than the specifications have it.
    pub deviations: Vec<String>,
    /// The one-way delay over each access, in milliseconds; nothing: latencies are the loopback's.
    pub delay_ms: Option<[f64; 2]>,
    /// The paper's conclusions.
    pub conclusions: Vec<Conclusion>,
    /// What was seen.
    pub rows: Vec<Row>,
}

impl Comparison {
    /// Runs all variants.
    ///
    /// # Errors
    /// As [`ComparisonError`] says; no result is written then.
    pub fn run(
        options: &ComparisonOptions,
        interrupts: &Arc<AtomicUsize>,
    ) -> Result<Self, ComparisonError> {
        let base =
            Profile::load(&options.profile, &options.set).map_err(ComparisonError::Profile)?;
        let Some(schemes) = base.schemes.clone() else {
            return Err(ComparisonError::NoSchemes(options.profile.clone()));
        };
        let variants: Vec<Variant> = Variant::all().collect();
        let mut rows = Vec::with_capacity(variants.len());
        for (place, variant) in variants.iter().enumerate() {
            let mut reports = Vec::new();
            for repeat in 0..options.repeats {
                if interrupts.load(Ordering::Acquire) > 0 {
                    return Err(ComparisonError::Interrupted);
                }
                reports.push(run_one(options, variant, repeat, interrupts)?);
            }
            let row = Row::new(variant, &reports);
            if !options.quiet {
                tell(place + 1, variants.len(), variant, &row);
            }
            rows.push(row);
        }
        let comparison = Self {
            profile: base.name.clone(),
            users: base.population.size,
            seed: options.seed,
            repeats: options.repeats,
            deviations: deviations(schemes.t1_ms),
            delay_ms: schemes.delay_ms,
            conclusions: conclusions(&rows),
            rows,
        };
        comparison.write(&options.out)?;
        Ok(comparison)
    }

    /// Whether all of the paper's conclusions are what was seen.
    #[must_use]
    pub fn all_hold(&self) -> bool {
        self.conclusions.iter().all(|conclusion| conclusion.holds)
    }

    /// The file's text.
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut json = serde_json::to_string_pretty(self).expect("it is numbers and names only");
        json.push('\n');
        json
    }

    fn write(&self, out: &Path) -> Result<(), ComparisonError> {
        let files = [
            ("schemes.json", self.to_json()),
            ("schemes.csv", csv::render(self)),
            ("schemes.md", markdown::render(self)),
            ("schemes.html", html::render(self)),
        ];
        for (name, text) in files {
            let path = out.join(name);
            let written = FileWriter::create(path.clone()).and_then(|file| {
                file.append(text.into_bytes())?;
                file.close()
            });
            written.map_err(|error| ComparisonError::File(path, error))?;
        }
        Ok(())
    }
}

fn deviations(t1_ms: u32) -> Vec<String> {
    match t1_ms {
        2_000 => Vec::new(),
        _ => vec![format!(
            "T1 between UE and P-CSCF is {t1_ms} ms, where TS 24.229 table 7.8 has 2,000: what gets no answer is given up after {:.1} s instead of 128",
            f64::from(t1_ms) * 0.064
        )],
    }
}

fn run_one(
    options: &ComparisonOptions,
    variant: &Variant,
    repeat: u32,
    interrupts: &Arc<AtomicUsize>,
) -> Result<crate::report::Report, ComparisonError> {
    let set: Vec<(String, String)> =
        options.set.iter().cloned().chain(variant.overrides()).collect();
    let profile = Profile::load(&options.profile, &set).map_err(ComparisonError::Profile)?;
    let name = variant.name();
    let run_options = RunOptions {
        target: None,
        admin: None,
        out: options.out.join("runs").join(format!("{name}-{}", repeat + 1)),
        seed: options.seed.wrapping_add(u64::from(repeat)),
        capture: Capture::None,
        quiet: true,
        plain: false,
        capacity: None,
        part: Part::WHOLE,
        start_at_ns: None,
        page: None,
    };
    let ended = run::run(&profile, &run_options, interrupts)
        .map_err(|error| ComparisonError::Run(name, error))?;
    if ended.report.interrupted {
        return Err(ComparisonError::Interrupted);
    }
    Ok(ended.report)
}

/// A line for each row as it comes, on standard error.
fn tell(number: usize, of: usize, variant: &Variant, row: &Row) {
    let result = match row.broken_step {
        None if row.works => "works".to_owned(),
        step => format!("breaks at {}", step.unwrap_or("an unfinished course")),
    };
    // A closed standard error is no reason to stop.
    let _ = writeln!(std::io::stderr().lock(), "{number:>2}/{of}  {:<56} {result}", variant.name());
}
