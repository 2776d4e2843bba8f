//! The plan of a profile beside what happened.

use serde::Serialize;

use super::timeline::Peaks;
use crate::log::RunLog;
use crate::measure::Procedure;
use crate::plan::{Assumptions, Cost, Offer, Plan, offer};
use crate::profile::Profile;
use crate::report::Report;

/// How long a procedure is taken to last that has no delay limit, in seconds: as `imstorm plan` has it.
const PROCEDURE_S: f64 = 0.05;

/// A plan, and what became of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Planned {
    /// The quantities.
    pub rows: Vec<PlanRow>,
    /// How long a procedure without a delay limit was taken to last, in seconds.
    pub procedure_s: f64,
    /// What was not expected to fit.
    pub misfits: Vec<String>,
}

/// A quantity.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PlanRow {
    /// What it is, in words.
    pub what: String,
    /// How it is written.
    pub unit: Unit,
    /// What the profile came to.
    pub planned: f64,
    /// What was seen; nothing where it was not.
    pub happened: Option<f64>,
}

/// How a quantity is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Unit {
    /// A number of things.
    Count,
    /// Seconds.
    Seconds,
    /// Bytes of memory.
    Bytes,
}

impl Planned {
    /// Of a run that is over; nothing of a comparison, whose users go from step to step together.
    #[must_use]
    pub fn new(log: &RunLog, report: &Report) -> Option<Self> {
        let profile = log.profile();
        if profile.schemes.is_some() {
            return None;
        }
        let assumptions = Assumptions {
            procedure_s: PROCEDURE_S,
            memory_bytes: log.info.environment.memory_bytes,
            engine_here: log.info.target.is_none(),
        };
        let plan = Plan::new(profile, assumptions);
        let mut rows = ues(profile, &plan, report);
        rows.extend(starts(&plan, report));
        rows.extend(at_one_time(&plan, log.timeline().peaks(), assumptions.engine_here));
        if assumptions.engine_here {
            rows.extend(messages(&plan, report));
        }
        Some(Self { rows, procedure_s: PROCEDURE_S, misfits: plan.misfits })
    }
}

impl PlanRow {
    fn new(what: impl Into<String>, unit: Unit, planned: f64, happened: Option<f64>) -> Self {
        Self { what: what.into(), unit, planned: planned.round(), happened }
    }

    fn count(what: impl Into<String>, planned: f64, happened: u64) -> Self {
        Self::new(what, Unit::Count, planned, Some(happened as f64))
    }
}

fn ues(profile: &Profile, plan: &Plan, report: &Report) -> Vec<PlanRow> {
    let brought_up = plan.brought_up as f64;
    let mut rows = Vec::new();
    if profile.ue.register {
        rows.push(PlanRow::count("UEs secured at one time", brought_up, report.ues.secured));
    }
    let set_up = offer::set_up(profile);
    let is_mixed = plan.offers.iter().any(|it| is_of(it, set_up) && it.phase != "bring-up");
    let phase = report.phases.get(set_up.name()).filter(|_| !is_mixed);
    if let Some(phase) = phase {
        let took_s = phase.ended_s - phase.began_s;
        let planned_s = (plan.bring_up_s * 10.0).round() / 10.0;
        let row = PlanRow::new("bring-up", Unit::Seconds, planned_s, Some(took_s));
        rows.push(PlanRow { planned: planned_s, ..row });
    }
    rows
}

fn is_of(offer: &Offer, procedure: Procedure) -> bool {
    offer.procedure == procedure.name()
}

/// Loads of a search are those that may come, and not those that did.
fn is_sought(plan: &Plan) -> bool {
    plan.attempts.is_some()
}

fn starts(plan: &Plan, report: &Report) -> Vec<PlanRow> {
    let mut rows = Vec::new();
    for procedure in Procedure::ALL {
        let offers = || plan.offers.iter().filter(|it| is_of(it, *procedure));
        let is_known = offers().all(|it| it.phase == "bring-up") || !is_sought(plan);
        let planned: f64 = offers().map(|it| it.starts).sum();
        let row = report.measured.procedures.get(procedure.name());
        if let Some(row) = row.filter(|_| planned > 0.0 && is_known) {
            let what = format!("{} started", procedure.name());
            rows.push(PlanRow::count(what, planned, row.attempted));
        }
    }
    rows
}

fn at_one_time(plan: &Plan, peaks: &Peaks, engine_here: bool) -> Vec<PlanRow> {
    let in_flight = plan.phases.iter().map(|phase| phase.in_flight).fold(0.0, f64::max);
    let mut rows = Vec::new();
    if !is_sought(plan) {
        rows.push(PlanRow::count(
            "procedures under way at one time (looked at once a second)",
            in_flight,
            peaks.under_way,
        ));
    }
    if plan.sessions > 0.0 {
        rows.push(PlanRow::count("sessions at one time", plan.sessions, peaks.sessions));
    }
    let bytes = |what, planned: u64, seen: u64| {
        PlanRow::new(what, Unit::Bytes, planned as f64, (seen > 0).then_some(seen as f64))
    };
    if engine_here {
        if plan.associations > 0 && peaks.associations > 0 {
            let planned = plan.associations as f64;
            rows.push(PlanRow::count("security associations", planned, peaks.associations));
        }
        rows.push(bytes("memory of the engine", plan.engine_bytes, peaks.engine_bytes));
    }
    rows.push(bytes("memory of the generator", plan.generator_bytes, peaks.generator_bytes));
    rows
}

/// Messages of all procedures, where it is known what each costs.
fn messages(plan: &Plan, report: &Report) -> Vec<PlanRow> {
    let Some(engine) = report.engine.as_ref().filter(|_| !is_sought(plan)) else {
        return Vec::new();
    };
    let cost = |offer: &Offer| {
        let found = plan.costs.iter().find(|(name, _)| *name == offer.procedure);
        found.map(|(_, cost)| cost.times(offer.starts))
    };
    let costs: Option<Vec<_>> = plan.offers.iter().map(cost).collect();
    let Some(all) = costs.and_then(|costs| costs.into_iter().reduce(Cost::plus)) else {
        return Vec::new();
    };
    vec![
        PlanRow::count(
            "messages at Gm, UE to P-CSCF and back",
            all.gm_messages,
            engine.gm_messages,
        ),
        PlanRow::count(
            "messages at Mw, between the core's roles",
            all.mw_messages,
            engine.mw_messages,
        ),
    ]
}
