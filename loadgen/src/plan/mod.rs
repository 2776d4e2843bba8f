//! What a profile comes to before it is run: offered rates, what goes on at one time, messages and bits, memory, addresses, whether steps have
//! enough attempts, and what will not fit. Nothing is sent: what a procedure costs in messages is found in the simulator ([`cost`]).

pub mod cost;
pub mod offer;
mod text;

use imstorm_base::time::NS_PER_S;
use serde::Serialize;

use crate::measure::Procedure;
use crate::profile::{Profile, is_set_up};
use crate::traffic::Search;
pub use cost::Cost;
pub use offer::Offer;

/// What a secured UE takes in the embedded engine, in bytes, as measured of a million: two subscriptions, four security associations and a registration.
const ENGINE_BYTES_PER_UE: u64 = 1_382;
/// What it takes in the generator, by the same measurement.
const GENERATOR_BYTES_PER_UE: u64 = 416;
/// What a session takes on both its sides: estimated by its records and strings, not measured.
const ENGINE_BYTES_PER_SESSION: u64 = 4_096;
const GENERATOR_BYTES_PER_SESSION: u64 = 4_096;
/// What either takes of a hundred UEs and none of their sessions, as measured, in bytes: buffers, histograms, code.
const ENGINE_BYTES: u64 = 105 << 20;
const GENERATOR_BYTES: u64 = 90 << 20;
/// Security associations of a connection, each with an SPI of its own.
const ASSOCIATIONS_PER_UE: u64 = 4;
/// Bytes of IPv4 and UDP headers around a datagram at Gm.
const HEADER_BYTES: f64 = 28.0;

/// What a plan takes for given.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Assumptions {
    /// How long a procedure lasts that has no delay limit, in seconds.
    pub procedure_s: f64,
    /// Memory that is free on this machine, in bytes.
    pub memory_bytes: u64,
    /// Whether the engine runs on this machine, too.
    pub engine_here: bool,
}

/// What a profile comes to.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Plan {
    /// The profile's name.
    pub profile: String,
    /// What was taken for given.
    pub assumptions: Assumptions,
    /// UEs of this generator.
    pub ues: u64,
    /// Of them, brought up by the arrivals.
    pub brought_up: u64,
    /// From the first UE's start to the last one's, in seconds.
    pub bring_up_s: f64,
    /// The steps, or the trace, in seconds.
    pub steps_s: f64,
    /// What is offered.
    pub offers: Vec<Offer>,
    /// What each procedure costs, by its name; nothing of UEs that share an address.
    pub costs: Vec<(String, Cost)>,
    /// Each phase together.
    pub phases: Vec<PhaseLoad>,
    /// Sessions that are up at one time, at most, by Little's law.
    pub sessions: f64,
    /// What engine and generator take, in bytes.
    pub engine_bytes: u64,
    /// The generator's memory, in bytes.
    pub generator_bytes: u64,
    /// Addresses of UEs that are needed, and that there are.
    pub addresses: (u64, u64),
    /// Security associations, each with an SPI of its own at the P-CSCF.
    pub associations: u64,
    /// What a step needs to be judged; nothing where no capacity is looked for.
    pub attempts: Option<Attempts>,
    /// What will not fit.
    pub misfits: Vec<String>,
    /// What should be known, and hinders nothing.
    pub remarks: Vec<String>,
}

/// All procedures of a phase together.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PhaseLoad {
    /// The phase.
    pub phase: String,
    /// Procedures that begin a second.
    pub rate_per_s: f64,
    /// Procedures that go on at one time.
    pub in_flight: f64,
    /// Messages and bytes a second.
    pub per_s: Cost,
    /// Bits a second at Gm, with the headers of IP and UDP.
    pub gm_bits_per_s: f64,
    /// Bits a second at Mw.
    pub mw_bits_per_s: f64,
}

/// Attempts that judging a step takes.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Attempts {
    /// The part of all that may be handled inadequately.
    pub share_max: f64,
    /// How sure a step has to be.
    pub confidence: f64,
    /// With none handled inadequately, a step is good after so many.
    pub least: u64,
    /// With half of what may be, after so many.
    pub at_half: u64,
    /// How long the first step takes until then, in seconds.
    pub first_step_s: f64,
}

impl Plan {
    /// What a profile comes to.
    #[must_use]
    pub fn new(profile: &Profile, assumptions: Assumptions) -> Self {
        let offers = offer::offers(profile, assumptions.procedure_s);
        let mut costs: Vec<(String, Cost)> = Vec::new();
        for name in offers.iter().map(|offer| &offer.procedure) {
            let procedure = Procedure::from_name(name);
            if costs.iter().all(|(known, _)| known != name)
                && let Some(cost) = procedure.and_then(|it| cost::cost_of(profile, it))
            {
                costs.push((name.clone(), cost));
            }
        }
        let ues = profile.ues();
        let traffic = profile.traffic.as_ref();
        let brought_up = profile.brought_up();
        let sessions = sessions(profile, &offers);
        let secured = ues.min(
            brought_up
                + offers.iter().filter(|it| is_fresh(it)).map(|it| it.starts as u64).sum::<u64>(),
        );
        let is_plain = profile.ue.shared_address;
        let accesses = u64::from(profile.population.accesses);
        let mut plan = Self {
            profile: profile.name.clone(),
            assumptions,
            ues,
            brought_up,
            bring_up_s: offer::bring_up_s(profile, brought_up * u64::from(profile.part.of)),
            steps_s: traffic.map_or(0.0, steps_s),
            phases: phases(&offers, &costs),
            costs,
            sessions,
            engine_bytes: ENGINE_BYTES
                + secured * ENGINE_BYTES_PER_UE
                + sessions as u64 * ENGINE_BYTES_PER_SESSION,
            generator_bytes: GENERATOR_BYTES
                + ues * if is_plain { 80 } else { GENERATOR_BYTES_PER_UE }
                + sessions as u64 * GENERATOR_BYTES_PER_SESSION,
            addresses: match is_plain {
                true => (1, 1),
                false => (ues * accesses, profile.population.addresses.capacity()),
            },
            associations: if is_plain { 0 } else { secured * ASSOCIATIONS_PER_UE },
            attempts: traffic.and_then(|it| attempts(profile, it)),
            offers,
            misfits: Vec::new(),
            remarks: Vec::new(),
        };
        plan.find_misfits(profile);
        plan.find_remarks(profile);
        plan
    }

    fn find_misfits(&mut self, profile: &Profile) {
        let mut misfits = Vec::new();
        let engine_bytes = if self.assumptions.engine_here { self.engine_bytes } else { 0 };
        let needed = self.generator_bytes + engine_bytes;
        if needed > self.assumptions.memory_bytes {
            misfits.push(format!(
                "memory: {} are needed, {} are free",
                text::bytes(needed),
                text::bytes(self.assumptions.memory_bytes)
            ));
        }
        let (sought, steps): (Vec<_>, Vec<_>) =
            self.crowded().partition(|phase| phase.phase.starts_with("load "));
        misfits.extend(steps.into_iter().map(|phase| self.crowd(phase)));
        // A search need not come to its highest load.
        if let Some(lowest) = sought.iter().find(|it| Some(&it.phase) == self.lowest_sought()) {
            misfits.push(self.crowd(lowest));
        }
        let fresh: f64 = self.offers.iter().filter(|it| is_fresh(it)).map(|it| it.starts).sum();
        let others = self.ues - self.brought_up;
        if fresh > others as f64 {
            misfits.push(format!(
                "UEs: the mix sets up {fresh:.0}, and beside traffic.bring_up there are {others}"
            ));
        }
        let least_s = self.bring_up_s + self.steps_s;
        if let Some(limit_s) = profile.limits.duration_s
            && limit_s < least_s
        {
            misfits.push(format!(
                "time: bring-up and steps take {least_s:.0} s, and limits.duration_s is {limit_s} s"
            ));
        }
        if let Some(trace) = &profile.arrivals.trace_ns
            && (trace.len() as u64) < self.brought_up
        {
            misfits.push(format!(
                "arrivals: the trace has {} starts for {} UEs",
                trace.len(),
                self.brought_up
            ));
        }
        let capacity = profile.traffic.as_ref().and_then(|it| it.capacity);
        if let (Some(attempts), Some(capacity)) = (&self.attempts, capacity)
            && capacity.attempts_max < attempts.least
        {
            misfits.push(format!(
                "attempts: no step can be good before {}, and traffic.capacity.attempts_max is {}",
                attempts.least, capacity.attempts_max
            ));
        }
        self.misfits = misfits;
    }

    fn find_remarks(&mut self, profile: &Profile) {
        let mut remarks = Vec::new();
        let network = profile.population.addresses.network;
        if !network.is_loopback() && !profile.ue.shared_address {
            remarks.push(format!(
                "addresses: {} are not this machine's by themselves: ip route add local {} dev lo",
                profile.population.addresses, profile.population.addresses
            ));
        }
        let last_s = profile.timings().timer_f_ns() as f64 / NS_PER_S as f64;
        if profile.limits.drain_s < last_s {
            remarks.push(format!(
                "limits.drain_s = {} is less than the {last_s:.0} s after which a request without an answer fails: some may be cut off",
                profile.limits.drain_s
            ));
        }
        let share = profile.traffic.as_ref().and_then(|it| it.capacity).unwrap_or_default();
        let least = Search::new(share).least_attempts(0.0);
        for offer in self.offers.iter().filter(|it| it.phase.starts_with("step")) {
            if offer.delay_limit_ms.is_some() && offer.measured < least as f64 {
                remarks.push(format!(
                    "{}: {} has {:.0} attempts; {least} with none handled inadequately show at most {}% with {}% confidence",
                    offer.phase, offer.procedure, offer.measured,
                    share.inadequate_share_max * 100.0, share.confidence * 100.0
                ));
            }
        }
        let highest = self.crowded().filter(|phase| Some(&phase.phase) != self.lowest_sought());
        for phase in highest.filter(|phase| phase.phase.starts_with("load ")) {
            remarks.push(format!("{}, if the search comes to it", self.crowd(phase)));
        }
        self.remarks = remarks;
    }

    /// The phases that want more UEs at a time than there are, if each procedure takes as long as it may.
    fn crowded(&self) -> impl Iterator<Item = &PhaseLoad> {
        let phases = self.phases.iter().filter(|phase| phase.phase != "bring-up");
        phases.filter(|phase| phase.in_flight > self.brought_up as f64)
    }

    fn crowd(&self, phase: &PhaseLoad) -> String {
        format!(
            "{}: {:.0} procedures go on at one time, and there are {} UEs: starts will wait for a UE that is free",
            phase.phase, phase.in_flight, self.brought_up
        )
    }

    /// The first load of a search.
    fn lowest_sought(&self) -> Option<&String> {
        self.phases.iter().map(|it| &it.phase).find(|phase| phase.starts_with("load "))
    }

    /// The plan as JSON.
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut json = serde_json::to_string_pretty(self).expect("it is numbers and names only");
        json.push('\n');
        json
    }

    /// The plan for a person.
    #[must_use]
    pub fn to_text(&self) -> String {
        text::render(self)
    }
}

/// Whether it takes UEs that have not begun.
fn is_fresh(offer: &Offer) -> bool {
    let procedure = Procedure::from_name(&offer.procedure);
    offer.phase != "bring-up" && procedure.is_some_and(is_set_up)
}

fn steps_s(traffic: &crate::profile::Traffic) -> f64 {
    let recorded = traffic.recorded.values().filter_map(|starts| starts.last()).max();
    let recorded_s = recorded.map_or(0.0, |at| *at as f64 / 1e9);
    traffic.settle_s + traffic.steps.iter().map(|step| step.for_s).sum::<f64>() + recorded_s
}

/// Sessions that are up at one time: those that are begun a second, for as long as they last.
fn sessions(profile: &Profile, offers: &[Offer]) -> f64 {
    let Some(call) = &profile.procedures.call else { return 0.0 };
    let calls = offers.iter().filter(|it| it.procedure == Procedure::CallSetup.name());
    let each = calls.map(|it| match call.holding_s {
        Some(holding_s) => it.rate_per_s * holding_s.min(it.starts / it.rate_per_s.max(1e-9)),
        None => it.starts,
    });
    each.fold(0.0, f64::max)
}

fn phases(offers: &[Offer], costs: &[(String, Cost)]) -> Vec<PhaseLoad> {
    let mut phases: Vec<PhaseLoad> = Vec::new();
    for offer in offers {
        let cost = costs.iter().find(|(name, _)| *name == offer.procedure).map(|(_, cost)| *cost);
        let per_s = cost.unwrap_or_default().times(offer.rate_per_s);
        if phases.last().is_none_or(|phase| phase.phase != offer.phase) {
            phases.push(PhaseLoad {
                phase: offer.phase.clone(),
                rate_per_s: 0.0,
                in_flight: 0.0,
                per_s: Cost::default(),
                gm_bits_per_s: 0.0,
                mw_bits_per_s: 0.0,
            });
        }
        let Some(phase) = phases.last_mut() else { continue };
        phase.rate_per_s += offer.rate_per_s;
        phase.in_flight += offer.in_flight;
        phase.per_s = phase.per_s.plus(per_s);
        phase.gm_bits_per_s += 8.0 * (per_s.gm_bytes + HEADER_BYTES * per_s.gm_messages);
        phase.mw_bits_per_s += 8.0 * (per_s.mw_bytes + HEADER_BYTES * per_s.mw_messages);
    }
    phases
}

fn attempts(profile: &Profile, traffic: &crate::profile::Traffic) -> Option<Attempts> {
    let capacity = traffic.capacity?;
    let search = Search::new(capacity);
    let mix_per_s: f64 =
        traffic.flows().map(|(_, rate)| rate.all_per_s(profile.population.size)).sum();
    let least = search.least_attempts(0.0);
    Some(Attempts {
        share_max: capacity.inadequate_share_max,
        confidence: capacity.confidence,
        least,
        at_half: search.least_attempts(capacity.inadequate_share_max / 2.0),
        first_step_s: (least as f64 / (mix_per_s * capacity.from)).max(capacity.step_s)
            + capacity.transient_s,
    })
}

#[cfg(test)]
mod tests;
