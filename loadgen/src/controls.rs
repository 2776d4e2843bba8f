//! What is asked of a run that goes on: to pause, to offer more or less, to end.
//!
//! Whoever asks is on another thread. The generator's own looks once a tick, at three words of memory that are seldom written. What it then did
//! is an [`Intervention`](crate::report::Intervention), which the log and the report have.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};

use crate::profile::Profile;

/// By how much the rate goes up or down at a time, in percent of the profile's.
pub const RATE_STEP_PERCENT: u32 = 10;
/// What the rate can be, in percent of the profile's.
pub const RATES_PERCENT: RangeInclusive<u32> = 10..=1_000;

/// See the module.
#[derive(Debug)]
pub struct Controls {
    interrupts: Arc<AtomicUsize>,
    paused: AtomicBool,
    rate_percent: AtomicU32,
    /// Nothing more is to be offered, as the run has failed already.
    hopeless: AtomicBool,
    steerable: Steerable,
}

/// What of a run can be steered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Steerable {
    /// It can be paused, and its rate be stepped.
    Rate,
    /// It can be paused. There is no rate to be stepped: its starts come in bursts or are recorded ones.
    Pause,
    /// Neither, as that would be another measurement: a search for the capacity sets its own load, and a comparison of schemes has its course.
    Nothing,
}

/// How the run is to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted {
    /// Nothing more is offered for now.
    pub paused: bool,
    /// The rate, in percent of the profile's.
    pub rate_percent: u32,
}

impl Default for Wanted {
    /// As the profile has it.
    fn default() -> Self {
        Self { paused: false, rate_percent: 100 }
    }
}

impl Steerable {
    /// Of a run of this profile, or of a search for its capacity.
    #[must_use]
    pub fn of(profile: &Profile, seeks_capacity: bool) -> Self {
        if seeks_capacity || profile.schemes.is_some() {
            return Self::Nothing;
        }
        let arrivals = &profile.arrivals;
        let arrive_at_rate = arrivals.burst.is_none() && arrivals.trace_ns.is_none();
        let traffic = profile.traffic.as_ref();
        let offered_at_rate = traffic.is_some_and(|traffic| traffic.recorded.is_empty());
        if arrive_at_rate || offered_at_rate { Self::Rate } else { Self::Pause }
    }
}

impl Controls {
    /// Of a run of which so much can be steered; `interrupts` counts how often it was asked to end, by signals too.
    #[must_use]
    pub fn new(interrupts: Arc<AtomicUsize>, steerable: Steerable) -> Self {
        let Wanted { paused, rate_percent } = Wanted::default();
        Self {
            interrupts,
            paused: AtomicBool::new(paused),
            rate_percent: AtomicU32::new(rate_percent),
            hopeless: AtomicBool::new(false),
            steerable,
        }
    }

    /// What of it can be steered.
    #[must_use]
    pub const fn steerable(&self) -> Steerable {
        self.steerable
    }

    /// How the run is to be.
    #[must_use]
    pub fn wanted(&self) -> Wanted {
        Wanted {
            paused: self.paused.load(Ordering::Relaxed),
            rate_percent: self.rate_percent.load(Ordering::Relaxed),
        }
    }

    /// Pauses, or goes on; false where this run can't be paused.
    pub fn toggle_pause(&self) -> bool {
        if self.steerable == Steerable::Nothing {
            return false;
        }
        self.paused.fetch_xor(true, Ordering::Relaxed);
        true
    }

    /// Steps the rate up or down; false where it has no rate to be stepped, or none that is higher or lower yet.
    pub fn step_rate(&self, up: bool) -> bool {
        if self.steerable != Steerable::Rate {
            return false;
        }
        let step = |percent: u32| {
            let next = match up {
                true => percent + RATE_STEP_PERCENT,
                false => percent.saturating_sub(RATE_STEP_PERCENT),
            };
            RATES_PERCENT.contains(&next).then_some(next)
        };
        self.rate_percent.fetch_update(Ordering::Relaxed, Ordering::Relaxed, step).is_ok()
    }

    /// Asks for the end, as Ctrl-C does; how often it was asked for before.
    pub fn interrupt(&self) -> usize {
        self.interrupts.fetch_add(1, Ordering::AcqRel)
    }

    /// How often the end was asked for.
    #[must_use]
    pub fn interrupts(&self) -> usize {
        self.interrupts.load(Ordering::Acquire)
    }

    /// Ends the run in good order, as it can't succeed any more.
    pub fn give_up(&self) {
        self.hopeless.store(true, Ordering::Release);
    }

    /// Whether that was asked for.
    #[must_use]
    pub fn is_given_up(&self) -> bool {
        self.hopeless.load(Ordering::Acquire)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn controls(steerable: Steerable) -> Controls {
        Controls::new(Arc::default(), steerable)
    }

    #[test]
    fn the_rate_goes_in_steps_within_its_bounds() {
        let controls = controls(Steerable::Rate);
        assert!(controls.step_rate(true));
        assert_eq!(controls.wanted().rate_percent, 110);
        while controls.step_rate(false) {}
        assert_eq!(controls.wanted().rate_percent, 10);
        while controls.step_rate(true) {}
        assert_eq!(controls.wanted().rate_percent, 1_000);
    }

    #[test]
    fn what_can_not_be_steered_stays() {
        let nothing = controls(Steerable::Nothing);
        assert!(!nothing.toggle_pause() && !nothing.step_rate(true));
        assert_eq!(nothing.wanted(), Wanted::default());
        let pause = controls(Steerable::Pause);
        assert!(pause.toggle_pause() && !pause.step_rate(true));
        assert!(pause.wanted().paused);
        assert!(pause.toggle_pause() && !pause.wanted().paused);
    }

    #[test]
    fn a_search_and_a_comparison_are_left_alone() {
        let profile = |name: &str| Profile::load(name, &[]).unwrap();
        for (name, seeks, expected) in [
            ("quickstart", false, Steerable::Rate),
            ("steps", false, Steerable::Rate),
            ("capacity", true, Steerable::Nothing),
            ("schemes", false, Steerable::Nothing),
        ] {
            assert_eq!(Steerable::of(&profile(name), seeks), expected, "{name}");
        }
        let text =
            "name = \"p\"\n[population]\nsize = 2\n[arrivals]\nburst = { size = 2, every_s = 1 }\n";
        let burst = Profile::parse("p.toml", text, &[]).unwrap();
        assert_eq!(Steerable::of(&burst, false), Steerable::Pause);
    }
}
