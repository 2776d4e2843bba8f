//! What a profile offers: how often each procedure begins, phase by phase.

use serde::Serialize;

use crate::measure::Procedure;
use crate::profile::{Access, LoadStep, Profile, Traffic};

/// A procedure in a phase of a run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Offer {
    /// The phase: `bring-up`, the step, or a load of a search for the capacity.
    pub phase: String,
    /// The procedure.
    pub procedure: String,
    /// How many begin a second, at most in the bring-up, on average in a step.
    pub rate_per_s: f64,
    /// How many begin in the whole phase on average.
    pub starts: f64,
    /// Of these, how many are measured.
    pub measured: f64,
    /// The delay limit, in milliseconds.
    pub delay_limit_ms: Option<f64>,
    /// How many go on at one time, by Little's law, if each takes as long as its limit, or as is assumed where it has none.
    pub in_flight: f64,
}

/// How long the bring-up takes, in seconds: from the first start to the last.
#[must_use]
pub fn bring_up_s(profile: &Profile, ues: u64) -> f64 {
    let arrivals = &profile.arrivals;
    if let Some(trace) = &arrivals.trace_ns {
        return trace.last().map_or(0.0, |at| *at as f64 / 1e9);
    }
    // Up to the last step or the ramp's end, and then at the last rate.
    let mut left = ues as f64;
    let mut took_s = 0.0;
    let ramp = arrivals.ramp.iter().map(|it| ((it.from_per_s + it.to_per_s) / 2.0, it.for_s));
    let steps = arrivals.steps.iter().map(|it| (it.rate_per_s, it.for_s));
    for (mean_per_s, for_s) in ramp.chain(steps) {
        let starts = mean_per_s * for_s;
        if starts >= left {
            return took_s + for_s * left / starts;
        }
        left -= starts;
        took_s += for_s;
    }
    let rate = arrivals.last_rate_per_s();
    if rate > 0.0 { took_s + left / rate } else { took_s }
}

/// The procedure with which UEs start.
#[must_use]
pub const fn set_up(profile: &Profile) -> Procedure {
    match profile.ue.access {
        _ if !profile.ue.register => Procedure::CallSetup,
        Access::Subscription => Procedure::Secure,
        Access::Registration => Procedure::Registration,
    }
}

/// The highest rate at which UEs start, in starts a second.
fn highest_per_s(profile: &Profile) -> f64 {
    let arrivals = &profile.arrivals;
    let ramp = arrivals.ramp.iter().map(|it| it.from_per_s.max(it.to_per_s));
    let steps = arrivals.steps.iter().map(|it| it.rate_per_s);
    ramp.chain(steps).fold(arrivals.last_rate_per_s(), f64::max)
}

/// All that is offered. What has no delay limit is taken to last `assumed_s`.
#[must_use]
pub fn offers(profile: &Profile, assumed_s: f64) -> Vec<Offer> {
    let mut offers = of_procedures(profile, profile.brought_up(), assumed_s);
    let Some(traffic) = &profile.traffic else { return offers };
    for (phase, step) in steps(traffic) {
        let (from, to) = (step.load, step.load_to.unwrap_or(step.load));
        for (procedure, rate) in traffic.flows() {
            let all_per_s = profile.part.share_of_rate(rate.all_per_s(profile.population.size));
            let rate_per_s = all_per_s * (from + to) / 2.0;
            let limit_s = rate.delay_limit_ms.map(|limit_ms| limit_ms / 1e3);
            offers.push(Offer {
                phase: phase.clone(),
                procedure: procedure.name().to_owned(),
                rate_per_s,
                starts: rate_per_s * step.for_s,
                measured: rate_per_s * (step.for_s - step.transient_s),
                delay_limit_ms: rate.delay_limit_ms,
                in_flight: all_per_s
                    * from.max(to)
                    * limit_s.unwrap_or(lasts_s(profile, procedure, assumed_s)),
            });
        }
    }
    for (procedure, starts) in &traffic.recorded {
        let last_s = starts.last().map_or(0.0, |at| *at as f64 / 1e9).max(1e-9);
        let count = profile.part.share_of_rate(starts.len() as f64);
        offers.push(Offer {
            phase: "trace".to_owned(),
            procedure: procedure.name().to_owned(),
            rate_per_s: count / last_s,
            starts: count,
            measured: count,
            delay_limit_ms: None,
            in_flight: count / last_s * lasts_s(profile, *procedure, assumed_s),
        });
    }
    offers
}

/// The steps with their names; of a search for the capacity the lowest and the highest load that may come.
fn steps(traffic: &Traffic) -> Vec<(String, LoadStep)> {
    let steps = (1..).zip(&traffic.steps).map(|(number, step)| (format!("step {number}"), *step));
    let sought = traffic.capacity.into_iter().flat_map(|it| {
        let highest = (it.to > it.from).then_some(it.to);
        [it.from].into_iter().chain(highest).map(move |load| {
            let for_s = it.transient_s + it.step_s;
            let step = LoadStep { load, load_to: None, for_s, transient_s: it.transient_s };
            (format!("load {load}"), step)
        })
    });
    steps.chain(sought).collect()
}

/// The set-ups, and what UEs do by their own timers: at most so often as UEs come, or as all of them do it in turn.
fn of_procedures(profile: &Profile, ues: u64, assumed_s: f64) -> Vec<Offer> {
    let highest = profile.part.share_of_rate(highest_per_s(profile));
    let offer = |procedure: Procedure, rate_per_s: f64, starts: f64| Offer {
        phase: "bring-up".to_owned(),
        procedure: procedure.name().to_owned(),
        rate_per_s,
        starts,
        measured: starts,
        delay_limit_ms: None,
        in_flight: rate_per_s * lasts_s(profile, procedure, assumed_s),
    };
    let all = ues as f64;
    let set_up = set_up(profile);
    let mut offers = vec![offer(set_up, highest, all)];
    for procedure in Procedure::ALL {
        let plan = profile.procedures.plan(*procedure);
        if plan.count == 0 || *procedure == set_up {
            continue;
        }
        let count = f64::from(plan.count);
        let in_turn = if plan.after_s > 0.0 { all / plan.after_s } else { f64::INFINITY };
        offers.push(offer(*procedure, in_turn.min(highest * count), all * count));
    }
    if let Some(release) = &profile.procedures.release {
        let spread_s = 2.0 * release.jitter * release.after_s;
        let spread = if spread_s > 0.0 { all / spread_s } else { f64::INFINITY };
        offers.push(offer(Procedure::Release, spread.min(highest), all));
    }
    offers
}

/// How long a procedure is taken to last, in seconds.
fn lasts_s(profile: &Profile, procedure: Procedure, assumed_s: f64) -> f64 {
    let call = profile.procedures.call.as_ref();
    match procedure {
        Procedure::CallSetup => assumed_s + call.map_or(0.0, |call| call.ring_s),
        _ => assumed_s,
    }
}
