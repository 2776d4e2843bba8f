//! The line that shows how a run goes: one that changes on a terminal, one a second elsewhere.

use std::io::{self, IsTerminal, Write};

use imstorm_base::time::NS_PER_S;

use super::terminal;
use crate::log::Second;
use crate::measure::{Procedure, StepTally};
use crate::profile::Profile;

/// Shows a run's progress in lines on standard error.
#[derive(Debug)]
pub(super) struct Plain {
    /// One line that changes.
    terminal: bool,
    ues: u64,
    failed: u64,
}

impl Plain {
    /// For a run of this profile.
    pub fn new(profile: &Profile) -> Self {
        let terminal = io::stderr().is_terminal() && !terminal::is_dumb();
        Self { terminal, ues: profile.ues(), failed: 0 }
    }

    /// Shows one second.
    pub fn show(&mut self, second: &Second, steps: &[StepTally]) {
        for procedure in Procedure::ALL {
            self.failed += second.interval.procedure(*procedure).failed;
        }
        let line = self.line(second, steps);
        let mut out = io::stderr().lock();
        // A closed standard error is no reason to stop measuring.
        let _ = if self.terminal {
            write!(out, "\r\x1b[K{line}").and_then(|()| out.flush())
        } else {
            writeln!(out, "{line}")
        };
    }

    /// The run is over.
    pub fn end(&self) {
        if self.terminal {
            eprintln!();
        }
    }

    fn line(&self, second: &Second, steps: &[StepTally]) -> String {
        let Second { until_ns, interval, state, .. } = second;
        let started = self.ues - state.not_started;
        let mut line = format!(
            "{:>4} s  started {started}/{}  secured {}  gone {}",
            until_ns / NS_PER_S,
            self.ues,
            state.secured,
            state.gone,
        );
        if let Some(step) = steps.last() {
            let is_over = if step.ended_at.is_some() { " over" } else { "" };
            line.push_str(&format!("  step {} load {}{is_over}", steps.len(), step.load.0));
        }
        if state.sessions.established > 0 {
            line.push_str(&format!("  sessions {}", state.sessions.up()));
        }
        for procedure in Procedure::ALL {
            let tally = interval.procedure(*procedure);
            if tally.attempted == 0 && tally.completed == 0 {
                continue;
            }
            let p99_ms = tally.latency_us.value_at_quantile(0.99) as f64 / 1000.0;
            line.push_str(&format!("  {} {}/s", procedure.name(), tally.completed));
            if tally.completed > 0 {
                line.push_str(&format!(" p99 {p99_ms:.1} ms"));
            }
        }
        line.push_str(&format!("  failed {}", self.failed));
        line
    }
}
