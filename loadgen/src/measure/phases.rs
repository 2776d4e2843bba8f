//! When each procedure was going on: the phases of a run.

use serde::Serialize;

use super::{Interval, Procedure};
use imstorm_base::time::NS_PER_S;

/// From when to when a procedure was going on.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Phase {
    /// The start of the first interval in which one began or ended, in seconds from the run's start.
    pub began_s: f64,
    /// The end of the last such interval, in seconds from the run's start.
    pub ended_s: f64,
}

/// The phases of all procedures, as fine as the intervals are.
#[derive(Debug, Clone, Default)]
pub struct Phases {
    rows: [Option<Phase>; Procedure::COUNT],
}

impl Phases {
    /// Takes note of an interval, from when to when in nanoseconds from the run's start.
    pub fn note(&mut self, from_ns: u64, until_ns: u64, interval: &Interval) {
        let seconds = |ns: u64| ns as f64 / NS_PER_S as f64;
        let (began_s, ended_s) = (seconds(from_ns), seconds(until_ns));
        for (row, tally) in self.rows.iter_mut().zip(&interval.procedures) {
            if tally.attempted > 0 || tally.over() > 0 {
                row.get_or_insert(Phase { began_s, ended_s }).ended_s = ended_s;
            }
        }
    }

    /// The procedures that were, in the order of reports.
    pub fn iter(&self) -> impl Iterator<Item = (Procedure, Phase)> {
        let rows = Procedure::ALL.iter().zip(&self.rows);
        rows.filter_map(|(procedure, phase)| Some((*procedure, (*phase)?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::{Measurements, Start};

    #[test]
    fn a_phase_is_from_the_first_interval_with_it_to_the_last() {
        let (mut measurements, mut phases) = (Measurements::new(), Phases::default());
        let mut second = |number: u64, step: fn(&mut Measurements)| {
            step(&mut measurements);
            let until_ns = number * NS_PER_S;
            phases.note(until_ns - NS_PER_S, until_ns, &measurements.interval());
        };
        second(1, |_| ());
        second(2, |it| it.attempted(Procedure::Secure, Start::default()));
        second(3, |_| ());
        second(4, |it| it.completed(Procedure::Secure, Start::default(), 1));
        second(5, |_| ());
        let phases: Vec<_> = phases.iter().collect();
        assert_eq!(phases, [(Procedure::Secure, Phase { began_s: 1.0, ended_s: 4.0 })]);
    }
}
