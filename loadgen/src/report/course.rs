//! The steps of a comparison, as report.json has them.

use std::collections::BTreeMap;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

use super::Engine;
use crate::course::{Course, CourseStep, StepResult};
use crate::measure::Latency;

/// What an engine's state and the UEs' are between two steps.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Look {
    /// The engine's.
    pub engine: Engine,
    /// Security associations that the UEs hold.
    pub ue_associations: u64,
    /// Sessions between UEs that were lost so far.
    pub sessions_lost: u64,
}

/// The name of a step. As a type of its own, since a field that is written as a reference would be taken for one into what is read.
pub type StepName = &'static str;

/// The course of a comparison's users.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CourseReport {
    /// The first step that failed for somebody.
    #[serde(deserialize_with = "step_or_none")]
    pub broken_step: Option<StepName>,
    /// The algorithms that were agreed on for security associations, and how often.
    pub suites: BTreeMap<String, u64>,
    /// The steps that users went through.
    pub steps: Vec<StepReport>,
}

/// A step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepReport {
    /// Its name.
    #[serde(deserialize_with = "step_name")]
    pub step: StepName,
    /// Users that went through it.
    pub users: u64,
    /// Of these, those that it failed for.
    pub failed: u64,
    /// Why, each user once.
    pub causes: BTreeMap<String, u64>,
    /// How long it took the others, from the intended start.
    pub latency_us: Latency,
    /// Messages at Gm, of all users.
    pub gm_messages: u64,
    /// Bytes at Gm.
    pub gm_bytes: u64,
    /// Messages at Mw, of all users.
    pub mw_messages: u64,
    /// Bytes at Mw.
    pub mw_bytes: u64,
    /// The processor time that the engine used, in microseconds, its idle turns included.
    pub engine_cpu_us: f64,
    /// Security associations at the P-CSCFs at its end.
    pub pcscf_associations: u64,
    /// At the UEs.
    pub ue_associations: u64,
    /// What the P-CSCFs' tables hold at its end, in bytes.
    pub pcscf_bytes: u64,
    /// What the S-CSCF's do.
    pub scscf_bytes: u64,
    /// Sessions that were lost in it.
    pub sessions_lost: u64,
}

impl CourseReport {
    /// Of the steps that are over. `looks` are those before the first step and after each.
    #[must_use]
    pub fn new(course: &Course, looks: &[Look]) -> Self {
        let between = looks.iter().zip(looks.iter().skip(1));
        let steps = course.results().iter().zip(between);
        Self {
            suites: course.suites().clone(),
            broken_step: course.broken().map(CourseStep::name),
            steps: steps.map(|(result, (before, after))| step(result, before, after)).collect(),
        }
    }
}

fn step(result: &StepResult, before: &Look, after: &Look) -> StepReport {
    let (old, new) = (&before.engine, &after.engine);
    StepReport {
        step: result.step.name(),
        users: result.users,
        failed: result.failed,
        causes: result.causes.clone(),
        latency_us: result.latency(),
        gm_messages: new.gm_messages - old.gm_messages,
        gm_bytes: new.gm_bytes - old.gm_bytes,
        mw_messages: new.mw_messages - old.mw_messages,
        mw_bytes: new.mw_bytes - old.mw_bytes,
        engine_cpu_us: (new.cpu_s - old.cpu_s) * 1e6,
        pcscf_associations: new.security_associations,
        ue_associations: after.ue_associations,
        pcscf_bytes: new.pcscf_bytes,
        scscf_bytes: new.scscf_bytes,
        sessions_lost: after.sessions_lost - before.sessions_lost,
    }
}

/// The name of a step that there is.
fn step_name<'de, D: Deserializer<'de>>(deserializer: D) -> Result<&'static str, D::Error> {
    let name = String::deserialize(deserializer)?;
    let step = CourseStep::from_name(&name);
    step.map(CourseStep::name).ok_or_else(|| D::Error::custom(format!("no step `{name}`")))
}

fn step_or_none<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<&'static str>, D::Error> {
    let name = Option::<String>::deserialize(deserializer)?;
    Ok(name.and_then(|name| CourseStep::from_name(&name)).map(CourseStep::name))
}
