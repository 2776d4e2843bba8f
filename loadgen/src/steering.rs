//! What the generator's thread does of what is asked of a run that goes on.

use std::sync::Arc;

use imstorm_base::time::{NS_PER_S, Time};

use crate::controls::{Controls, Wanted};
use crate::ends::Ends;
use crate::generator::Generator;
use crate::report::{Action, Intervention};

impl Generator {
    /// Offers nothing more until [`resume`](Self::resume): the arrivals and the load are put off, not dropped. UEs go on with what they have begun and
    /// with what their own timers want, as refreshes, or their connections would end.
    pub(crate) fn pause(&mut self, now: Time) {
        self.schedule.pause(now - self.clock.started_at);
        if let Some(traffic) = &mut self.traffic {
            traffic.pause(now);
        }
    }

    /// Goes on where it was. What is to come is intended for so much later as the pause has lasted, so that no latency has the pause in it.
    pub(crate) fn resume(&mut self, now: Time) {
        self.schedule.resume(now - self.clock.started_at);
        if let Some(traffic) = &mut self.traffic {
            traffic.resume(now, &mut self.measurements);
        }
    }

    /// Offers so many percent of the profile's rates from now on.
    pub(crate) fn set_rate_percent(&mut self, percent: u32) {
        self.schedule.set_rate_percent(percent);
        if let Some(traffic) = &mut self.traffic {
            traffic.set_rate_percent(percent);
        }
    }
}

/// Follows the controls, and keeps a record of it.
#[derive(Debug)]
pub(crate) struct Steering {
    controls: Arc<Controls>,
    applied: Wanted,
    done: Vec<Intervention>,
}

impl Steering {
    pub fn new(controls: Arc<Controls>) -> Self {
        Self { controls, applied: Wanted::default(), done: Vec::new() }
    }

    /// Behind a tick of that time, so that all that was due by then has begun at the rate that it was intended at.
    pub fn follow(
        &mut self,
        generator: &mut Generator,
        ends: &mut Ends,
        (started_at, now): (Time, Time),
    ) {
        let wanted = self.controls.wanted();
        if wanted == self.applied || generator.stopped {
            return;
        }
        let at_s = ((now - started_at) / (NS_PER_S / 1_000)) as f64 / 1_000.0;
        if wanted.rate_percent != self.applied.rate_percent {
            let percent = wanted.rate_percent;
            generator.set_rate_percent(percent);
            self.done.push(Intervention { at_s, part: None, action: Action::Rate { percent } });
        }
        if wanted.paused != self.applied.paused {
            let action = if wanted.paused {
                generator.pause(now);
                ends.pause(now);
                Action::Pause
            } else {
                generator.resume(now);
                ends.resume(now);
                Action::Resume
            };
            self.done.push(Intervention { at_s, part: None, action });
        }
        self.applied = wanted;
    }

    /// What was done since the last call.
    pub fn take(&mut self) -> Vec<Intervention> {
        std::mem::take(&mut self.done)
    }
}
