//! What a procedure costs in messages: found by having a few UEs do it in the simulator, with and without.

use std::collections::BTreeMap;
use std::sync::Arc;

use imstorm_base::time::{NS_PER_S, Time};
use imstorm_cscf::Counters;
use serde::Serialize;

use crate::embedded;
use crate::measure::Procedure;
use crate::population;
use crate::profile::{
    Abandon, ArrivalProcess, Arrivals, Limits, Network, Profile, Registration, Traffic,
    TrafficRate, is_set_up,
};
use crate::sim::world::{START_NS, World};

/// UEs of a trial, an even number: some procedures need a partner.
const UES: u64 = 10;
/// So long after the trial's start the bring-up is over,
const OFFERED_FROM: Time = 8 * NS_PER_S;
/// and so long after that everything that was offered has ended.
const LASTS: Time = 60 * NS_PER_S;

/// Messages and bytes of one procedure: Gm is between UEs and P-CSCFs, Mw between the roles of the core.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct Cost {
    /// SIP messages at Gm.
    pub gm_messages: f64,
    /// Bytes of UDP payload at Gm: ESP, where there is one, included.
    pub gm_bytes: f64,
    /// SIP messages at Mw.
    pub mw_messages: f64,
    /// Their bytes.
    pub mw_bytes: f64,
}

impl Cost {
    /// This, so many times.
    #[must_use]
    pub fn times(self, count: f64) -> Self {
        Self {
            gm_messages: self.gm_messages * count,
            gm_bytes: self.gm_bytes * count,
            mw_messages: self.mw_messages * count,
            mw_bytes: self.mw_bytes * count,
        }
    }

    /// Both.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            gm_messages: self.gm_messages + other.gm_messages,
            gm_bytes: self.gm_bytes + other.gm_bytes,
            mw_messages: self.mw_messages + other.mw_messages,
            mw_bytes: self.mw_bytes + other.mw_bytes,
        }
    }

    fn minus(self, other: Self) -> Self {
        self.plus(other.times(-1.0))
    }
}

/// What a procedure of the profile's UEs costs at an engine as the profile wants it; `None` where that can't be tried: UEs that share an address
/// are for any server.
#[must_use]
pub fn cost_of(profile: &Profile, procedure: Procedure) -> Option<Cost> {
    if profile.ue.shared_address {
        return None;
    }
    let is_first = is_set_up(procedure);
    let (nothing, _) = try_out(profile, procedure, is_first, false)?;
    let (all, count) = try_out(profile, procedure, is_first, true)?;
    (count > 0).then(|| all.minus(nothing).times(1.0 / count as f64))
}

/// What came and went in a trial, with or without the procedure, and how often it came to its good end.
fn try_out(
    profile: &Profile,
    procedure: Procedure,
    is_first: bool,
    is_offered: bool,
) -> Option<(Cost, u64)> {
    if is_first && !is_offered {
        return Some((Cost::default(), 0));
    }
    let mut profile = trial(profile, procedure);
    if is_offered && !is_first {
        let starts = (0..UES).map(|number| number * NS_PER_S).collect();
        let mix = BTreeMap::from([(procedure.name().to_owned(), TrafficRate::default())]);
        let recorded = BTreeMap::from([(procedure, starts)]);
        profile.traffic = Some(Traffic { settle_s: 3.0, mix, recorded, ..Traffic::default() });
    }
    let engine = embedded::config(&profile).ok()?;
    let directory = Arc::new(population::directory(&profile).ok()?);
    let mut world = World::new(&profile, &engine, directory, 1, None);
    world.run_until(START_NS + OFFERED_FROM + LASTS);
    let of = |count: fn(&Counters) -> u64| world.engine().counter(count) as f64;
    let cost = Cost {
        gm_messages: of(|it| it.gm_messages),
        gm_bytes: of(|it| it.gm_bytes),
        mw_messages: of(|it| it.mw_messages),
        mw_bytes: of(|it| it.mw_bytes),
    };
    Some((cost, world.generator().measurements().procedure(procedure).completed))
}

/// A few UEs of the profile's kind, who do nothing by themselves.
fn trial(profile: &Profile, procedure: Procedure) -> Profile {
    let mut trial = profile.clone();
    trial.population.size = profile.population.size.min(UES);
    trial.population.devices = 1;
    trial.part = crate::part::Part::WHOLE;
    let rate_per_s = Some(10.0);
    trial.arrivals =
        Arrivals { process: ArrivalProcess::Constant, rate_per_s, ..Arrivals::default() };
    (trial.traffic, trial.schemes) = (None, None);
    (trial.network, trial.limits) = (Network::default(), Limits::default());
    trial.abandon = Abandon::default();
    trial.operator.clear();
    let needs_partner = matches!(procedure, Procedure::Message | Procedure::CallSetup);
    let of_subscription = profile.ue.access == crate::profile::Access::Subscription;
    let it = &mut trial.procedures;
    it.refresh.count = 0;
    it.refresh.at_s = None;
    (it.release, it.reauthenticate, it.identity_change) = (None, None, None);
    (it.message, it.reg_event) = (None, None);
    let expires_s = it.register_over_connection.as_ref().map_or(3_600, |it| it.expires_s);
    let registers = needs_partner && of_subscription;
    it.register_over_connection =
        registers.then_some(Registration { after_s: 0.5, jitter: 0.0, count: 1, expires_s });
    if let Some(call) = &mut it.call {
        call.count = 0;
        call.holding_s = Some(1.0);
        call.abandoned_share = 0.0;
        call.ring_s = 0.5;
    }
    if let Some(handover) = &mut it.handover {
        handover.count = 0;
    }
    if let Some(lowered) = &mut it.network_reauthenticate {
        lowered.count = 0;
    }
    if let Some(release) = &mut it.network_release {
        (release.deactivated_share, release.rejected_share) = (0.0, 0.0);
    }
    trial
}
