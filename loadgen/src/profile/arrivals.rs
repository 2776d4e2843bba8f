//! When UEs start to set up security: how many, and how they are spaced.

use std::path::PathBuf;
use std::sync::Arc;

use imstorm_base::time::Time;
use schemars::JsonSchema;
use serde::Deserialize;

use super::validate::{Fault, require, seconds};
use crate::schedule::{Piece, RateCurve};

/// The highest rate that is taken, in starts a second: above it nanoseconds no longer part them.
const RATE_MAX_PER_S: f64 = 1e8;

/// When UEs start to set up security: `process` within one of `rate_per_s`, `ramp` and `steps`, or else `burst` or `trace`.
#[derive(Debug, Clone, PartialEq, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Arrivals {
    /// How the starts are spaced within a rate.
    #[serde(default)]
    pub process: ArrivalProcess,
    /// The mean number of starts a second, above 0.
    pub rate_per_s: Option<f64>,
    /// A rate that rises, or falls, in a straight line.
    pub ramp: Option<Ramp>,
    /// Rates one behind the other; the last one goes on.
    #[serde(default)]
    pub steps: Vec<RateStep>,
    /// So many at once, again and again.
    pub burst: Option<Burst>,
    /// A file of recorded starts: seconds from the run's start, one a line, in order. UEs for which there is no line don't start.
    pub trace: Option<PathBuf>,
    /// What the file says, in nanoseconds.
    #[serde(skip)]
    pub trace_ns: Option<Arc<[Time]>>,
    /// Starts and timers come at multiples of so many milliseconds only, those in between at the next one, and as long may what has come wait for
    /// more: less CPU time for each, latencies that are so much coarser. 0: each at its own time.
    #[serde(default)]
    pub grain_ms: f64,
}

/// How the starts are spaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ArrivalProcess {
    /// Exponentially distributed gaps: users who don't know of each other.
    #[default]
    Poisson,
    /// Equal gaps.
    Constant,
}

/// A rate that changes in a straight line, and stays where it has come to.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Ramp {
    /// At the run's start, in starts a second, from 0.
    pub from_per_s: f64,
    /// At the end, and from there on, above 0.
    pub to_per_s: f64,
    /// How long it takes, in seconds, above 0.
    pub for_s: f64,
}

/// A rate for some time.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RateStep {
    /// In starts a second, from 0; the last one's is above 0.
    pub rate_per_s: f64,
    /// How long, in seconds, above 0.
    pub for_s: f64,
}

/// Starts at once.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Burst {
    /// How many, at least 1.
    pub size: u64,
    /// From one burst to the next, in seconds, above 0. The first is at the run's start.
    pub every_s: f64,
}

impl Arrivals {
    /// The rate over time, where the starts follow one.
    pub(crate) fn curve(&self) -> RateCurve {
        if let Some(Ramp { from_per_s, to_per_s, for_s }) = self.ramp {
            return RateCurve::new(vec![Piece { from_per_s, to_per_s, for_s }], to_per_s);
        }
        let piece = |step: &RateStep| Piece {
            from_per_s: step.rate_per_s,
            to_per_s: step.rate_per_s,
            for_s: step.for_s,
        };
        let last = self.steps.last().map(|step| step.rate_per_s);
        RateCurve::new(
            self.steps.iter().map(piece).collect(),
            last.or(self.rate_per_s).unwrap_or(0.0),
        )
    }

    /// The rate at which UEs start in the end, in starts a second: of a trace the mean.
    #[must_use]
    pub fn last_rate_per_s(&self) -> f64 {
        if let Some(Burst { size, every_s }) = self.burst {
            return size as f64 / every_s;
        }
        if let Some(trace) = &self.trace_ns {
            let last_s = trace.last().map_or(0.0, |at| *at as f64 / 1e9);
            return if last_s > 0.0 { trace.len() as f64 / last_s } else { 0.0 };
        }
        let last = self.steps.last().map(|step| step.rate_per_s);
        self.ramp.map(|ramp| ramp.to_per_s).or(last).or(self.rate_per_s).unwrap_or(0.0)
    }

    pub(super) fn validate(&self) -> Result<(), Fault> {
        let shapes = [
            ("rate_per_s", self.rate_per_s.is_some()),
            ("ramp", self.ramp.is_some()),
            ("steps", !self.steps.is_empty()),
            ("burst", self.burst.is_some()),
            ("trace", self.trace.is_some()),
        ];
        let given: Vec<_> = shapes.iter().filter(|(_, is_there)| *is_there).collect();
        let [(first, _)] = given[..] else {
            let field = match given.get(1) {
                Some((second, _)) => format!("arrivals.{second}"),
                None => "arrivals".to_owned(),
            };
            let got = given.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(" and ");
            let got = if got.is_empty() { "none".to_owned() } else { got };
            let expected = "one of rate_per_s, ramp, steps, burst and trace";
            return require(false, &field, expected, got);
        };
        let field = format!("arrivals.{first}");
        if let Some(rate) = self.rate_per_s {
            require_rate(&field, rate)?;
        }
        if let Some(ramp) = self.ramp {
            require_rate("arrivals.ramp.to_per_s", ramp.to_per_s)?;
            let possible = (0.0..=RATE_MAX_PER_S).contains(&ramp.from_per_s);
            let name = "arrivals.ramp.from_per_s";
            require(possible, name, "a number from 0 to 1e8", ramp.from_per_s)?;
            require_time("arrivals.ramp.for_s", ramp.for_s)?;
        }
        for (place, step) in self.steps.iter().enumerate() {
            let name = format!("arrivals.steps.{place}.rate_per_s");
            let possible = (0.0..=RATE_MAX_PER_S).contains(&step.rate_per_s);
            require(possible, &name, "a number from 0 to 1e8", step.rate_per_s)?;
            if place + 1 == self.steps.len() {
                require_rate(&name, step.rate_per_s)?;
            }
            require_time(&format!("arrivals.steps.{place}.for_s"), step.for_s)?;
        }
        if let Some(burst) = self.burst {
            require(burst.size >= 1, "arrivals.burst.size", "at least 1", burst.size)?;
            require_time("arrivals.burst.every_s", burst.every_s)?;
        }
        let possible = (0.0..=100.0).contains(&self.grain_ms);
        require(possible, "arrivals.grain_ms", "milliseconds, from 0 to 100", self.grain_ms)
    }
}

pub(super) fn require_rate(field: &str, rate: f64) -> Result<(), Fault> {
    let possible = rate > 0.0 && rate <= RATE_MAX_PER_S;
    require(possible, field, "a number above 0, up to 1e8", rate)
}

/// A time that is not nothing.
pub(super) fn require_time(field: &str, time_s: f64) -> Result<(), Fault> {
    require(time_s > 0.0, field, "seconds, above 0", time_s)?;
    seconds(field, time_s)
}
