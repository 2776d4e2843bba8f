//! What all UEs together do once they are secured: a mix of procedures, each started at a rate of its own whatever the core makes of those
//! before, in steps of more and less of it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use imstorm_base::time::Time;
use schemars::JsonSchema;
use serde::Deserialize;

use super::arrivals::{ArrivalProcess, require_rate, require_time};
use super::validate::{Fault, part, require, seconds};
use super::{AccessSecurity, Profile};
use crate::measure::Procedure;

/// The most times that a mix is offered.
const LOAD_MAX: f64 = 1e6;
/// The least attempts on which a capacity is found.
const ATTEMPTS_MIN: u64 = 100;

/// What all UEs together do once they are secured.
#[derive(Debug, Clone, PartialEq, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Traffic {
    /// How starts are spaced within a rate.
    #[serde(default)]
    pub process: ArrivalProcess,
    /// How many UEs are brought up by `arrivals`; the others are there for the set-ups of the mix. Nothing: all of them.
    pub bring_up: Option<u64>,
    /// How long nothing is under way, and nothing stray comes from the target, before the first step begins, and before each of a search, in seconds.
    #[serde(default = "default_settle_s")]
    pub settle_s: f64,
    /// What is started, by the procedure's name in reports, at a load of 1.
    pub mix: BTreeMap<String, TrafficRate>,
    /// How many times that, and for how long. Not with a trace, and not for `imstorm capacity`, which has steps of its own.
    #[serde(default)]
    pub steps: Vec<LoadStep>,
    /// A file of recorded starts instead: `SECONDS,PROCEDURE` a line, counted from the end of the bring-up.
    pub trace: Option<PathBuf>,
    /// What the file says: starts in nanoseconds.
    #[serde(skip)]
    pub recorded: BTreeMap<Procedure, Vec<Time>>,
    /// How `imstorm capacity` looks for the highest load.
    pub capacity: Option<Capacity>,
}

/// How often a procedure is started.
#[derive(Debug, Clone, Copy, PartialEq, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TrafficRate {
    /// By all UEs together, in starts a second.
    pub rate_per_s: Option<f64>,
    /// By each UE on average, in starts an hour.
    pub per_ue_per_h: Option<f64>,
    /// How long it may take from its intended start, in milliseconds: what takes longer is handled inadequately. The limits in the profiles that
    /// come with imstorm are its own, not a standard's.
    pub delay_limit_ms: Option<f64>,
}

/// A step of the load.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LoadStep {
    /// How many times the mix is offered.
    #[serde(default = "once")]
    pub load: f64,
    /// How many times at its end, where it changes in a straight line.
    pub load_to: Option<f64>,
    /// How long, in seconds, the transient included.
    pub for_s: f64,
    /// For how long of it nothing is counted for the step, from its start, in seconds.
    #[serde(default)]
    pub transient_s: f64,
}

/// How the highest load is looked for that is handled adequately, in the manner of ETSI TS 186 008-1: steps of the same height, and halving
/// between the last good and the first bad one.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Capacity {
    /// The first load.
    pub from: f64,
    /// How much is added from step to step.
    pub step: f64,
    /// The highest load that is tried.
    pub to: f64,
    /// Up to which part of the load a capacity is found, from 0.001 to 0.5.
    pub resolution: f64,
    /// The part of all that may be handled inadequately: ETSI's design objective is 0.001.
    pub inadequate_share_max: f64,
    /// How sure a step has to be to count as good, or as bad, from 0.5 to below 1.
    pub confidence: f64,
    /// How long a step is measured at least, in seconds.
    pub step_s: f64,
    /// For how long each step runs before it is measured, in seconds.
    pub transient_s: f64,
    /// After so many attempts a step that is still undecided counts as bad.
    pub attempts_max: u64,
    /// How often a bad step is tried: one that was bad by a hiccup of the machine gets another chance.
    pub tries: u32,
    /// How often the lowest bad load is tried once more when the search has come to it: what disturbed the machine for seconds may be over by
    /// then. A load that turns out good has the search go on above it.
    pub appeals: u32,
    /// How long is waited between steps for what is under way, in seconds.
    pub drain_s: f64,
}

impl Default for Capacity {
    fn default() -> Self {
        Self {
            from: 1.0,
            step: 1.0,
            to: 100.0,
            resolution: 0.02,
            inadequate_share_max: 0.001,
            confidence: 0.95,
            step_s: 10.0,
            transient_s: 3.0,
            attempts_max: 100_000,
            tries: 2,
            appeals: 1,
            drain_s: 40.0,
        }
    }
}

impl TrafficRate {
    /// Of a population of `ues`, in starts a second.
    #[must_use]
    pub fn all_per_s(&self, ues: u64) -> f64 {
        let each = self.per_ue_per_h.unwrap_or(0.0) / 3_600.0;
        self.rate_per_s.unwrap_or(0.0) + each * ues as f64
    }

    /// The delay limit in nanoseconds.
    #[must_use]
    pub fn delay_limit_ns(&self) -> Option<u64> {
        self.delay_limit_ms.map(|limit_ms| (limit_ms * 1e6) as u64)
    }
}

impl Traffic {
    /// The procedures of the mix, with their rates.
    pub fn flows(&self) -> impl Iterator<Item = (Procedure, &TrafficRate)> {
        self.mix.iter().filter_map(|(name, rate)| Some((Procedure::from_name(name)?, rate)))
    }

    /// The procedures of the mix.
    pub fn procedures(&self) -> impl Iterator<Item = Procedure> {
        self.flows().map(|(procedure, _)| procedure)
    }

    pub(super) fn validate(&self, profile: &Profile) -> Result<(), Fault> {
        let possible = profile.schemes.is_none();
        require(possible, "traffic", "none, as the comparison has its own steps", "one")?;
        require(!self.mix.is_empty(), "traffic.mix", "at least one procedure", "none")?;
        for (name, rate) in &self.mix {
            let field = format!("traffic.mix.{name}");
            let known = Procedure::from_name(name);
            let names: Vec<_> = startable(profile).iter().map(|it| it.name()).collect();
            let is_known = known.is_some_and(|it| startable(profile).contains(&it));
            let expected = format!("one of {}", names.join(", "));
            require(is_known, &field, &expected, format!("`{name}`"))?;
            rate.validate(&field, self.trace.is_some())?;
        }
        self.validate_population(profile)?;
        seconds("traffic.settle_s", self.settle_s)?;
        let given = usize::from(!self.steps.is_empty()) + usize::from(self.trace.is_some());
        let is_given = given == 1 || (given == 0 && self.capacity.is_some());
        let expected = "either steps or a trace";
        require(
            is_given,
            "traffic.steps",
            expected,
            if self.trace.is_some() { "both" } else { "none" },
        )?;
        for (place, step) in self.steps.iter().enumerate() {
            step.validate(&format!("traffic.steps.{place}"))?;
        }
        self.capacity.map_or(Ok(()), |it| it.validate())
    }

    /// Whether there is who does it.
    fn validate_population(&self, profile: &Profile) -> Result<(), Fault> {
        let size = profile.population.size;
        if let Some(bring_up) = self.bring_up {
            let expected = format!("at most {size}, as many as there are UEs");
            require(bring_up <= size, "traffic.bring_up", &expected, bring_up)?;
        }
        let sets_up = self.procedures().any(is_set_up);
        let rest = size - self.bring_up.unwrap_or(size);
        let expected = "fewer UEs than population.size, as the mix sets up others";
        require(!sets_up || rest > 0, "traffic.bring_up", expected, size - rest)?;
        let of = |procedure: Procedure| self.procedures().any(|it| it == procedure);
        let holds = profile.procedures.call.as_ref().is_some_and(|call| call.holding_s.is_some());
        let expected = "procedures.call.holding_s, as calls of the mix have to end";
        require(!of(Procedure::CallSetup) || holds, "traffic.mix.call_setup", expected, "none")?;
        let shortens = profile.procedures.network_reauthenticate.is_some();
        let expected =
            "procedures.network_reauthenticate, which says to how much the lifetime is lowered";
        let field = "traffic.mix.network_reauthenticate";
        require(!of(Procedure::NetworkReauthenticate) || shortens, field, expected, "none")?;
        let moves = profile.population.accesses > 1;
        let expected = "population.accesses = 2, as UEs need another access to go to";
        require(!of(Procedure::Handover) || moves, "traffic.mix.handover", expected, 1)
    }
}

impl TrafficRate {
    fn validate(&self, field: &str, is_recorded: bool) -> Result<(), Fault> {
        let name = |part: &str| format!("{field}.{part}");
        if let Some(rate) = self.rate_per_s {
            require_rate(&name("rate_per_s"), rate)?;
        }
        if let Some(rate) = self.per_ue_per_h {
            require_rate(&name("per_ue_per_h"), rate)?;
        }
        let given = u32::from(self.rate_per_s.is_some()) + u32::from(self.per_ue_per_h.is_some());
        let wanted = u32::from(!is_recorded);
        let expected = match is_recorded {
            true => "no rate, as the trace has the starts",
            false => "either rate_per_s or per_ue_per_h",
        };
        let got = if given == 0 { "neither" } else { "too many" };
        require(given == wanted, field, expected, got)?;
        self.delay_limit_ms.map_or(Ok(()), |limit| require_time(&name("delay_limit_ms"), limit))
    }
}

impl LoadStep {
    fn validate(&self, field: &str) -> Result<(), Fault> {
        let load = |name: &str, load: f64| {
            let possible = (0.0..=LOAD_MAX).contains(&load);
            require(possible, &format!("{field}.{name}"), "a number from 0 to 1e6", load)
        };
        load("load", self.load)?;
        self.load_to.map_or(Ok(()), |to| load("load_to", to))?;
        require_time(&format!("{field}.for_s"), self.for_s)?;
        let name = format!("{field}.transient_s");
        let expected = format!("seconds, from 0 to for_s, {}", self.for_s);
        require((0.0..=self.for_s).contains(&self.transient_s), &name, &expected, self.transient_s)
    }
}

impl Capacity {
    fn validate(&self) -> Result<(), Fault> {
        let name = |part: &str| format!("traffic.capacity.{part}");
        for (field, load) in [("from", self.from), ("step", self.step)] {
            let possible = load > 0.0 && load <= LOAD_MAX;
            require(possible, &name(field), "a number above 0, up to 1e6", load)?;
        }
        let possible = (self.from..=LOAD_MAX).contains(&self.to);
        require(possible, &name("to"), &format!("at least from, {}", self.from), self.to)?;
        let possible = (0.001..=0.5).contains(&self.resolution);
        require(possible, &name("resolution"), "from 0.001 to 0.5", self.resolution)?;
        part(&name("inadequate_share_max"), self.inadequate_share_max)?;
        let possible = self.inadequate_share_max > 0.0 && self.inadequate_share_max < 1.0;
        let expected = "above 0 and below 1";
        require(possible, &name("inadequate_share_max"), expected, self.inadequate_share_max)?;
        let possible = (0.5..1.0).contains(&self.confidence);
        require(possible, &name("confidence"), "from 0.5 to below 1", self.confidence)?;
        require_time(&name("step_s"), self.step_s)?;
        seconds(&name("transient_s"), self.transient_s)?;
        seconds(&name("drain_s"), self.drain_s)?;
        let expected = format!("at least {ATTEMPTS_MIN}");
        let field = name("attempts_max");
        require(self.attempts_max >= ATTEMPTS_MIN, &field, &expected, self.attempts_max)?;
        let possible = (1..=10).contains(&self.tries);
        require(possible, &name("tries"), "from 1 to 10", self.tries)?;
        require(self.appeals <= 10, &name("appeals"), "at most 10", self.appeals)
    }
}

/// Whether a procedure makes a connection where there is none.
pub(crate) fn is_set_up(procedure: Procedure) -> bool {
    matches!(procedure, Procedure::Secure | Procedure::Registration)
}

/// What can be started at will.
fn startable(profile: &Profile) -> &'static [Procedure] {
    use Procedure::{
        CallSetup, Handover, IdentityChange, Message, NetworkReauthenticate, NetworkRelease,
        Reauthenticate, Refresh, RegEvent, RegisterOverConnection, Registration, Release, Secure,
    };
    if profile.ue.shared_address {
        return match profile.ue.register {
            true => &[Registration, Refresh, Release, CallSetup],
            false => &[CallSetup],
        };
    }
    match (profile.ue.access, profile.ue.access_security) {
        (super::Access::Registration, AccessSecurity::None) => {
            &[Registration, Refresh, Release, RegEvent, Message, CallSetup]
        }
        (super::Access::Registration, AccessSecurity::Ipsec) => {
            &[Registration, Refresh, Release, RegEvent, Message, CallSetup, Handover]
        }
        (super::Access::Subscription, _) => &[
            Secure,
            Refresh,
            Release,
            Reauthenticate,
            IdentityChange,
            NetworkReauthenticate,
            NetworkRelease,
            RegisterOverConnection,
            RegEvent,
            Message,
            CallSetup,
            Handover,
        ],
    }
}

fn default_settle_s() -> f64 {
    1.0
}

fn once() -> f64 {
    1.0
}
