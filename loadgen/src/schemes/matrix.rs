//! The rows of a comparison: what was seen of each scheme, over one and two P-CSCFs, with each handling of security associations.

use std::collections::BTreeMap;

use serde::Serialize;

use super::estimate::Estimate;
use crate::course::{CourseStep, SaPolicy, Scheme};
use crate::measure::Latency;
use crate::report::{CourseReport, Report, StepReport};

/// Security associations that a user has over two accesses, four for each.
const ASSOCIATIONS_OVER_BOTH: u64 = 8;

/// What is varied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Variant {
    /// The way to be reachable over two accesses.
    pub scheme: Scheme,
    /// Over how many P-CSCFs.
    pub pcscfs: u32,
    /// How UEs handle security associations.
    pub ue_sa_policy: SaPolicy,
    /// How P-CSCFs do.
    pub pcscf_sa_policy: SaPolicy,
}

impl Variant {
    /// All that are compared: 7 schemes, over 1 and 2 P-CSCFs, with 3 handlings at UE and P-CSCF.
    pub fn all() -> impl Iterator<Item = Self> {
        use SaPolicy::{Impi, ImpiContact};
        let policies = [(Impi, Impi), (ImpiContact, Impi), (ImpiContact, ImpiContact)];
        Scheme::ALL.into_iter().flat_map(move |scheme| {
            [1, 2].into_iter().flat_map(move |pcscfs| {
                policies.into_iter().map(move |(ue_sa_policy, pcscf_sa_policy)| Self {
                    scheme,
                    pcscfs,
                    ue_sa_policy,
                    pcscf_sa_policy,
                })
            })
        })
    }

    /// In a line, for people and file names.
    #[must_use]
    pub fn name(&self) -> String {
        let (ue, pcscf) = (self.ue_sa_policy.name(), self.pcscf_sa_policy.name());
        format!("{}-{}-{ue}-{pcscf}", self.scheme.name(), self.pcscfs)
    }

    /// As overrides of a profile.
    #[must_use]
    pub fn overrides(&self) -> Vec<(String, String)> {
        let set = |key: &str, value: &str| (format!("schemes.{key}"), value.to_owned());
        vec![
            set("scheme", &format!("\"{}\"", self.scheme.name())),
            set("pcscfs", &self.pcscfs.to_string()),
            set("ue_sa_policy", &format!("\"{}\"", self.ue_sa_policy.name())),
            set("pcscf_sa_policy", &format!("\"{}\"", self.pcscf_sa_policy.name())),
        ]
    }
}

/// A row of the matrix.
#[derive(Debug, Clone, Serialize)]
pub struct Row {
    /// The scheme's name.
    pub scheme: &'static str,
    /// Over how many P-CSCFs.
    pub pcscfs: u32,
    /// How UEs handle security associations.
    pub ue_sa_policy: &'static str,
    /// How P-CSCFs do.
    pub pcscf_sa_policy: &'static str,
    /// All users were reachable over both accesses, and every step succeeded for all of them.
    pub works: bool,
    /// The first procedure that did not succeed for all.
    pub broken_step: Option<&'static str>,
    /// Why, and for how many users.
    pub causes: BTreeMap<String, u64>,
    /// Sessions that ended unwanted, all users and repeats together.
    pub sessions_lost: u64,
    /// Security associations that one end or both had no more once the second access was added, all users and repeats together.
    pub sas_lost: u64,
    /// Users of a run.
    pub users: u64,
    /// Security associations at the P-CSCFs for a user with two accesses.
    pub pcscf_sas_per_ue: f64,
    /// Bytes of state at the P-CSCFs for a user with two accesses.
    pub pcscf_bytes_per_ue: f64,
    /// The same at the S-CSCF.
    pub scscf_bytes_per_ue: f64,
    /// What each procedure took, by name. Whatever broke before is left out.
    pub procedures: BTreeMap<&'static str, Cell>,
    /// What was agreed on for the security associations, and how often.
    pub suites: BTreeMap<String, u64>,
    /// Why a run of it is no measurement: its latencies are to be taken with caution.
    pub doubts: Vec<String>,
}

/// A procedure in a row, for each user that went through it: means over the repeats.
#[derive(Debug, Clone, Serialize)]
pub struct Cell {
    /// Users that went through it in each run.
    pub users: u64,
    /// Those that it failed for, all repeats together.
    pub failed: u64,
    /// SIP messages at Gm.
    pub messages_gm: f64,
    /// SIP messages at Mw.
    pub messages_mw: f64,
    /// Bytes at Gm.
    pub bytes_gm: f64,
    /// Bytes at Mw.
    pub bytes_mw: f64,
    /// The engine's processor time, in microseconds, idle turns included.
    pub engine_cpu_us: f64,
    /// How long it took those that it did not fail for, in microseconds: percentiles, and their means over the repeats. Empty where it
    /// failed for all.
    pub latency_us: BTreeMap<&'static str, f64>,
    /// For a handover: from the decision to the ACK of the session over the new access.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interruption_us: Option<BTreeMap<&'static str, f64>>,
    /// The 95 % confidence intervals of the above over the repeats, low and high; empty where there was one run.
    pub confidence: BTreeMap<String, [f64; 2]>,
}

/// One of a latency's figures, by its name.
type Percentile = (&'static str, fn(&Latency) -> f64);

/// Those that a cell has.
const PERCENTILES: [Percentile; 4] = [
    ("p50", |it| it.p50 as f64),
    ("p90", |it| it.p90 as f64),
    ("p99", |it| it.p99 as f64),
    ("max", |it| it.max as f64),
];

/// The steps that a reader asks for, and those whose failure is theirs.
const PROCEDURES: [(CourseStep, &[CourseStep]); 6] = [
    (CourseStep::Attach, &[]),
    (CourseStep::AddAccess, &[CourseStep::Check]),
    (CourseStep::Refresh, &[]),
    (CourseStep::Reauthenticate, &[CourseStep::CheckAgain, CourseStep::Both]),
    (CourseStep::Handover, &[CourseStep::Call, CourseStep::HangUp]),
    (CourseStep::Leave, &[CourseStep::LeaveOne]),
];

/// The procedure that a step belongs to.
fn procedure_of(step: &str) -> Option<&'static str> {
    let found = PROCEDURES.iter().find(|(procedure, others)| {
        procedure.name() == step || others.iter().any(|other| other.name() == step)
    });
    found.map(|(procedure, _)| procedure.name())
}

impl Row {
    /// From the reports of all its runs, of which there is at least one.
    #[must_use]
    pub fn new(variant: &Variant, reports: &[Report]) -> Self {
        let courses: Vec<&CourseReport> =
            reports.iter().filter_map(|it| it.course.as_ref()).collect();
        let lost: u64 = courses.iter().map(|course| associations_lost(course)).sum();
        let broken = courses.iter().find_map(|course| broken_of(course));
        let short = (lost > 0).then(|| CourseStep::AddAccess.name());
        let failed = broken.map(|step| procedure_of(step.step).unwrap_or(step.step));
        // What was deleted without a failure at first comes before what fails later for want of it.
        let is_first = failed == Some(CourseStep::Attach.name());
        let broken_step = if is_first { failed } else { short.or(failed) };
        let both = courses.first().and_then(|course| after_both(course));
        let per_user = |of: fn(&StepReport) -> u64| {
            both.map_or(0.0, |step| of(step) as f64 / step.users.max(1) as f64)
        };
        let is_complete = courses.iter().all(|course| {
            CourseStep::ALL.iter().all(|it| course.steps.iter().any(|step| step.step == it.name()))
        });
        let mut suites = BTreeMap::new();
        for (suite, count) in courses.iter().flat_map(|course| &course.suites) {
            *suites.entry(suite.clone()).or_default() += count;
        }
        Self {
            scheme: variant.scheme.name(),
            pcscfs: variant.pcscfs,
            ue_sa_policy: variant.ue_sa_policy.name(),
            pcscf_sa_policy: variant.pcscf_sa_policy.name(),
            works: broken_step.is_none() && is_complete && courses.len() == reports.len(),
            broken_step,
            causes: broken.map(|step| step.causes.clone()).unwrap_or_default(),
            sessions_lost: reports.iter().map(|report| report.sessions.lost).sum(),
            sas_lost: lost,
            users: reports.first().map_or(0, |report| report.ues.configured),
            pcscf_sas_per_ue: per_user(|step| step.pcscf_associations),
            pcscf_bytes_per_ue: per_user(|step| step.pcscf_bytes),
            scscf_bytes_per_ue: per_user(|step| step.scscf_bytes),
            procedures: PROCEDURES
                .iter()
                .filter_map(|(step, _)| Some((step.name(), Cell::new(step.name(), reports)?)))
                .collect(),
            suites,
            doubts: reports.iter().flat_map(|report| report.invalid_reasons.clone()).collect(),
        }
    }
}

/// The first step that failed for somebody.
fn broken_of(course: &CourseReport) -> Option<&StepReport> {
    let name = course.broken_step?;
    course.steps.iter().find(|step| step.step == name)
}

/// The state once both accesses are there.
fn after_both(course: &CourseReport) -> Option<&StepReport> {
    course.steps.iter().find(|step| step.step == CourseStep::AddAccess.name())
}

/// Looked at once requests have gone over both accesses: what either end has deleted by then.
fn associations_lost(course: &CourseReport) -> u64 {
    let check = course.steps.iter().find(|step| step.step == CourseStep::Check.name());
    let Some(step) = check.or(after_both(course)) else { return 0 };
    let held = step.pcscf_associations.min(step.ue_associations);
    (ASSOCIATIONS_OVER_BOTH * step.users).saturating_sub(held)
}

impl Cell {
    fn new(name: &'static str, reports: &[Report]) -> Option<Self> {
        let courses = reports.iter().filter_map(|report| report.course.as_ref());
        let steps = courses.flat_map(|it| it.steps.iter().find(|step| step.step == name));
        let steps: Vec<&StepReport> = steps.collect();
        let users = steps.first()?.users;
        let mut confidence = BTreeMap::new();
        let mut mean = |key: &str, values: Vec<f64>| {
            let estimate = Estimate::of(&values);
            if let Some(interval) = estimate.interval {
                confidence.insert(key.to_owned(), interval);
            }
            estimate.mean
        };
        let per_user = |of: fn(&StepReport) -> f64| {
            steps.iter().map(|step| of(step) / step.users.max(1) as f64).collect::<Vec<f64>>()
        };
        let messages_gm = mean("messages_gm", per_user(|step| step.gm_messages as f64));
        let messages_mw = mean("messages_mw", per_user(|step| step.mw_messages as f64));
        let bytes_gm = mean("bytes_gm", per_user(|step| step.gm_bytes as f64));
        let bytes_mw = mean("bytes_mw", per_user(|step| step.mw_bytes as f64));
        let engine_cpu_us = mean("engine_cpu_us", per_user(|step| step.engine_cpu_us));
        // What failed for all has none.
        let timed = steps.iter().filter(|step| step.failed < step.users);
        let latencies: Vec<Latency> = timed.map(|step| step.latency_us).collect();
        let mut percentiles = |what: &str, of: &[Latency]| {
            let named = PERCENTILES.map(|(name, get)| {
                (name, mean(&format!("{what}.{name}"), of.iter().map(get).collect()))
            });
            BTreeMap::from(named)
        };
        let latency_us = match latencies.is_empty() {
            false => percentiles("latency_us", &latencies),
            true => BTreeMap::new(),
        };
        let interruptions: Vec<_> = reports
            .iter()
            .filter_map(|report| report.measured.procedures.get("interruption"))
            .filter(|row| row.completed > 0)
            .map(|row| row.latency_us)
            .collect();
        let moves = name == CourseStep::Handover.name() && !interruptions.is_empty();
        let interruption_us = moves.then(|| percentiles("interruption_us", &interruptions));
        Some(Self {
            users,
            failed: steps.iter().map(|step| step.failed).sum(),
            messages_gm,
            messages_mw,
            bytes_gm,
            bytes_mw,
            engine_cpu_us,
            latency_us,
            interruption_us,
            confidence,
        })
    }
}
