//! What was measured of each step of a load, by the intended start: a procedure counts for the step in which it was wanted, whenever it
//! began and ended.

use imstorm_base::time::Time;

use super::{Procedure, Start, Tally};

/// What came of one procedure in one step.
#[derive(Debug, Clone)]
pub struct StepRow {
    /// The procedure.
    pub procedure: Procedure,
    /// How many a second were offered on average.
    pub offered_per_s: f64,
    /// Counts and latencies, of those that were wanted behind the transient.
    pub tally: Tally,
    /// Above this latency one that was completed is handled inadequately, in nanoseconds; nothing: it never is.
    pub delay_limit_ns: Option<u64>,
    /// Of those that were wanted behind the transient: failed, above the limit, never begun, or at the end under way beyond the limit.
    pub inadequate: u64,
    /// The same by the latency from when they began, without those that never did: what a free UE for each would have left of them.
    pub inadequate_raw: u64,
    /// Never begun, as no UE was free.
    pub skipped: u64,
}

/// A step of a load.
#[derive(Debug, Clone)]
pub struct StepTally {
    /// How many times the profile's mix is offered, at its start and at its end.
    pub load: (f64, f64),
    /// When it began.
    pub began_at: Time,
    /// The end of its transient: what is wanted before is not counted.
    pub measured_from: Time,
    /// When it ended; nothing while it goes on.
    pub ended_at: Option<Time>,
    /// Starts that the generator itself was late with, by more than is tolerated.
    pub late: u64,
    /// Starts that waited for a UE that was free.
    pub waited: u64,
    /// What was offered.
    pub rows: Vec<StepRow>,
}

/// All steps of a run, in order.
#[derive(Debug, Clone, Default)]
pub struct Steps(Vec<StepTally>);

impl StepRow {
    /// Nothing yet.
    #[must_use]
    pub fn new(procedure: Procedure, offered_per_s: f64, delay_limit_ns: Option<u64>) -> Self {
        let tally = Tally::without_raw();
        Self {
            procedure,
            offered_per_s,
            tally,
            delay_limit_ns,
            inadequate: 0,
            inadequate_raw: 0,
            skipped: 0,
        }
    }

    fn is_beyond(&self, latency_ns: u64) -> bool {
        self.delay_limit_ns.is_some_and(|limit_ns| latency_ns > limit_ns)
    }
}

impl StepTally {
    /// How many were wanted behind the transient, and how many of them were handled inadequately; those that go on are in neither.
    #[must_use]
    pub fn handled(&self) -> (u64, u64) {
        let each =
            |row: &StepRow| (row.tally.over() - row.tally.abandoned + row.skipped, row.inadequate);
        self.rows.iter().map(each).fold((0, 0), |sum, row| (sum.0 + row.0, sum.1 + row.1))
    }

    /// How many never began, as no UE was free.
    #[must_use]
    pub fn skipped(&self) -> u64 {
        self.rows.iter().map(|row| row.skipped).sum()
    }

    /// How many were handled inadequately once they had begun.
    #[must_use]
    pub fn inadequate_raw(&self) -> u64 {
        self.rows.iter().map(|row| row.inadequate_raw).sum()
    }

    /// How many of those that were wanted behind the transient go on.
    #[must_use]
    pub fn pending(&self) -> u64 {
        self.rows.iter().map(|row| row.tally.attempted.saturating_sub(row.tally.over())).sum()
    }
}

impl Steps {
    /// The steps so far.
    #[must_use]
    pub fn all(&self) -> &[StepTally] {
        &self.0
    }

    /// A step begins, where the one before ends.
    pub fn begin(&mut self, step: StepTally) {
        self.end(step.began_at);
        self.0.push(step);
    }

    /// The present step ends.
    pub fn end(&mut self, now: Time) {
        if let Some(step) = self.0.last_mut() {
            step.ended_at.get_or_insert(now);
        }
    }

    /// The step under way, or the last one.
    pub fn last_mut(&mut self) -> Option<&mut StepTally> {
        self.0.last_mut()
    }

    pub(super) fn attempted(&mut self, procedure: Procedure, start: Start) {
        self.of(procedure, start.intended, |row| row.tally.attempted += 1);
    }

    pub(super) fn completed(&mut self, procedure: Procedure, start: Start, now: Time) {
        self.of(procedure, start.intended, |row| {
            let latency_ns = start.corrected_ns(now);
            row.tally.completed += 1;
            row.tally.record(latency_ns);
            row.inadequate += u64::from(row.is_beyond(latency_ns));
            row.inadequate_raw += u64::from(row.is_beyond(start.raw_ns(now)));
        });
    }

    pub(super) fn failed(&mut self, procedure: Procedure, start: Start) {
        self.of(procedure, start.intended, |row| {
            row.tally.failed += 1;
            row.inadequate += 1;
            row.inadequate_raw += 1;
        });
    }

    pub(super) fn abandoned(&mut self, procedure: Procedure, start: Start) {
        self.of(procedure, start.intended, |row| row.tally.abandoned += 1);
    }

    pub(super) fn cut(&mut self, procedure: Procedure, start: Start, now: Time) {
        self.of(procedure, start.intended, |row| {
            let age_ns = start.corrected_ns(now);
            row.tally.record(age_ns);
            row.inadequate += u64::from(row.is_beyond(age_ns));
            row.inadequate_raw += u64::from(row.is_beyond(start.raw_ns(now)));
        });
    }

    pub(super) fn skipped(&mut self, procedure: Procedure, intended: Time, now: Time) {
        self.of(procedure, intended, |row| {
            row.tally.record(now.saturating_sub(intended));
            row.skipped += 1;
            row.inadequate += 1;
        });
    }

    /// The row that counts what was wanted then, if it does.
    fn of(&mut self, procedure: Procedure, intended: Time, count: impl FnOnce(&mut StepRow)) {
        let step = self.0.iter_mut().rev().find(|step| step.began_at <= intended);
        let step = step.filter(|step| {
            step.measured_from <= intended && step.ended_at.is_none_or(|end| intended < end)
        });
        let Some(step) = step else { return };
        if let Some(row) = step.rows.iter_mut().find(|row| row.procedure == procedure) {
            count(row);
        }
    }
}

#[cfg(test)]
mod tests {
    use imstorm_base::time::NS_PER_S;

    use super::*;

    fn step(began_s: u64, measured_from_s: u64) -> StepTally {
        StepTally {
            load: (1.0, 1.0),
            began_at: began_s * NS_PER_S,
            measured_from: measured_from_s * NS_PER_S,
            ended_at: None,
            late: 0,
            waited: 0,
            rows: vec![StepRow::new(Procedure::Refresh, 1.0, Some(NS_PER_S))],
        }
    }

    fn at(intended_s: u64, began_s: u64) -> Start {
        Start { intended: intended_s * NS_PER_S, began: began_s * NS_PER_S }
    }

    #[test]
    fn a_procedure_counts_where_it_was_wanted() {
        let mut steps = Steps::default();
        steps.begin(step(10, 12));
        // In the transient, behind it, of another procedure, and before all steps.
        for (procedure, intended_s) in [
            (Procedure::Refresh, 11),
            (Procedure::Refresh, 12),
            (Procedure::Message, 13),
            (Procedure::Refresh, 9),
        ] {
            steps.attempted(procedure, at(intended_s, intended_s));
        }
        steps.begin(step(20, 20));
        // Wanted in the first, it begins and ends in the second.
        steps.attempted(Procedure::Refresh, at(19, 21));
        steps.completed(Procedure::Refresh, at(19, 21), 22 * NS_PER_S);
        steps.end(30 * NS_PER_S);
        steps.attempted(Procedure::Refresh, at(30, 30));
        let counts = steps.all().iter().map(|step| {
            let row = &step.rows[0];
            (row.tally.attempted, row.tally.completed, row.inadequate, step.pending())
        });
        assert_eq!(counts.collect::<Vec<_>>(), [(2, 1, 1, 1), (0, 0, 0, 0)]);
        assert_eq!(
            steps.all()[0].rows[0].tally.latency_us.max() / 1_000_000,
            3,
            "from when it was wanted"
        );
    }

    #[test]
    fn what_fails_comes_late_or_never_begins_is_inadequate() {
        let mut steps = Steps::default();
        steps.begin(step(0, 0));
        let now = 10 * NS_PER_S;
        for intended_s in 1..=7 {
            steps.attempted(Procedure::Refresh, at(intended_s, intended_s));
        }
        steps.failed(Procedure::Refresh, at(1, 1));
        steps.completed(Procedure::Refresh, at(2, 2), 3 * NS_PER_S);
        steps.completed(Procedure::Refresh, at(3, 3), 4 * NS_PER_S + 1);
        steps.abandoned(Procedure::Refresh, at(4, 4));
        steps.cut(Procedure::Refresh, at(5, 5), now);
        steps.cut(Procedure::Refresh, at(7, 7), 7 * NS_PER_S + 1);
        steps.skipped(Procedure::Refresh, 6 * NS_PER_S, now);
        let step = &steps.all()[0];
        assert_eq!(
            step.handled(),
            (4, 4),
            "failed, late and never begun of 4 that are over; one was cut off"
        );
        assert_eq!(step.inadequate_raw(), 3, "what never began had no chance");
        steps.completed(Procedure::Refresh, at(1, 5), 6 * NS_PER_S);
        let step = &steps.all()[0];
        assert_eq!((step.handled().1, step.inadequate_raw()), (5, 3), "late by its waiting alone");
        assert_eq!(step.pending(), 2);
    }
}
