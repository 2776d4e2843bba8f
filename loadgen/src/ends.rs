//! When a run is over.

use imstorm_base::time::Time;

use crate::controls::Controls;
use crate::generator::Generator;
use crate::profile::Profile;

/// When a run is over.
#[derive(Debug)]
pub(crate) struct Ends {
    /// No start after this time.
    stop_at: Option<Time>,
    drain_ns: u64,
    /// What is pending at this time is cut.
    cut_at: Option<Time>,
    /// Since when the run is paused: that time it does not count as its own.
    paused_at: Option<Time>,
    /// It was asked to end early.
    pub is_cut_short: bool,
    /// Somebody asked for it.
    pub interrupted: bool,
}

impl Ends {
    /// Of a run that starts then.
    pub fn new(profile: &Profile, started_at: Time) -> Self {
        let nanoseconds = |seconds: f64| (seconds * 1e9) as u64;
        Self {
            stop_at: profile.limits.duration_s.map(|limit_s| started_at + nanoseconds(limit_s)),
            drain_ns: nanoseconds(profile.limits.drain_s),
            cut_at: None,
            paused_at: None,
            is_cut_short: false,
            interrupted: false,
        }
    }

    /// The run is paused.
    pub fn pause(&mut self, now: Time) {
        self.paused_at.get_or_insert(now);
    }

    /// It goes on: it has as much time left as before.
    pub fn resume(&mut self, now: Time) {
        if let Some(since) = self.paused_at.take() {
            self.stop_at = self.stop_at.map(|at| at + (now - since));
        }
    }

    /// Whether it is over; where it is to end, nothing more is begun, and what is pending has so long as the profile says.
    pub fn is_over(&mut self, generator: &mut Generator, now: Time, controls: &Controls) -> bool {
        let interrupts = controls.interrupts();
        self.interrupted |= interrupts > 0;
        if (interrupts > 0 || controls.is_given_up()) && !self.is_cut_short {
            self.is_cut_short = true;
            self.stop_at = Some(now);
            self.paused_at = None;
        }
        let is_due = self.paused_at.is_none() && self.stop_at.is_some_and(|at| at <= now);
        if self.cut_at.is_none() && is_due {
            generator.stop(now);
            self.cut_at = Some(now + self.drain_ns);
        }
        interrupts > 1 || generator.is_done() || self.cut_at.is_some_and(|at| at <= now)
    }
}
