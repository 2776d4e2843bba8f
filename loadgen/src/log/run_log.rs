//! What is known of a run from its log, and the report that this makes.

use imstorm_base::time::NS_PER_S;

use super::{End, RunInfo, Second, StepState};
use crate::generator::GeneratorState;
use crate::health::{Health, Judgement};
use crate::measure::{Measurements, Phases, StepTally};
use crate::page::timeline::Timeline;
use crate::profile::Profile;
use crate::report::{Engine, Intervention, Outcome, Report, Sessions, load_steps};

/// The sum of a run's seconds, and its end.
///
/// A run that goes on and one whose files are read go through the same: so the report of the files is the run's own.
#[derive(Debug, Clone)]
pub struct RunLog {
    /// What was run.
    pub info: RunInfo,
    profile: Profile,
    measurements: Measurements,
    phases: Phases,
    timeline: Timeline,
    health: Health,
    steps: Vec<StepTally>,
    interventions: Vec<Intervention>,
    last: Last,
    end: Option<End>,
    damaged: u64,
}

/// What the last second left behind.
#[derive(Debug, Clone, Copy, Default)]
struct Last {
    until_ns: u64,
    state: GeneratorState,
    cpu_ns: u64,
    rss_bytes: u64,
    engine: Option<Engine>,
}

impl RunLog {
    /// Nothing has happened yet.
    #[must_use]
    pub fn new(info: RunInfo, profile: Profile) -> Self {
        Self {
            info,
            profile,
            measurements: Measurements::of_nothing(),
            phases: Phases::default(),
            timeline: Timeline::default(),
            health: Health::default(),
            steps: Vec::new(),
            interventions: Vec::new(),
            last: Last::default(),
            end: None,
            damaged: 0,
        }
    }

    /// A second has gone by.
    pub fn note(&mut self, second: &Second) {
        self.measurements.add(&second.interval);
        self.phases.note(second.from_ns, second.until_ns, &second.interval);
        self.timeline.note(second);
        self.health.merge(&second.health);
        self.interventions.extend(&second.interventions);
        for StepState { number, step } in &second.steps {
            match self.steps.get_mut(*number) {
                Some(known) => known.clone_from(step),
                // They come in order; one whose predecessors are in a line that could not be read takes the next place.
                None => self.steps.push(step.clone()),
            }
        }
        self.last = Last {
            until_ns: second.until_ns,
            state: second.state,
            cpu_ns: second.cpu_ns,
            rss_bytes: second.rss_bytes,
            engine: second.engine.or(self.last.engine),
        };
    }

    /// The run has ended.
    pub fn end(&mut self, end: End) {
        self.end = Some(end);
    }

    /// So many lines before the last one could not be read.
    pub fn damaged(&mut self, lines: u64) {
        self.damaged = lines;
    }

    /// What only the end knows; nothing where the log breaks off before.
    #[must_use]
    pub fn last_line(&self) -> Option<&End> {
        self.end.as_ref()
    }

    /// The profile that was run.
    #[must_use]
    pub fn profile(&self) -> &Profile {
        &self.profile
    }

    /// What happened over time.
    #[must_use]
    pub fn timeline(&self) -> &Timeline {
        &self.timeline
    }

    /// What was measured.
    #[must_use]
    pub fn measurements(&self) -> &Measurements {
        &self.measurements
    }

    /// The steps of the load, with times from the run's start.
    #[must_use]
    pub fn steps(&self) -> &[StepTally] {
        &self.steps
    }

    /// How the generator did.
    #[must_use]
    pub fn health(&self) -> &Health {
        &self.health
    }

    /// The generator's state at the end of the last second.
    #[must_use]
    pub fn state(&self) -> &GeneratorState {
        &self.last.state
    }

    /// What is known of the end: all of it, or where the log breaks off what the last second says.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        let mut outcome = match &self.end {
            Some(end) => end.outcome.clone(),
            None => self.cut_off(),
        };
        outcome.phases = self.phases.clone();
        outcome.interventions = self.interventions.clone();
        outcome.steps = match self.end {
            Some(_) => load_steps(&self.steps, 0),
            None => load_steps(&self.steps_until(self.last.until_ns), 0),
        };
        if self.damaged > 0 {
            let lines = self.damaged;
            outcome.invalid_reasons.push(format!("{lines} lines of the log could not be read"));
        }
        outcome
    }

    /// The report.
    #[must_use]
    pub fn report(&self) -> Report {
        let mut report = Report::new(&self.profile, &self.measurements, self.outcome());
        report.seed = self.info.seed;
        report.parts = self.info.parts;
        report
    }

    /// The steps, of which the one under way ends then.
    fn steps_until(&self, until_ns: u64) -> Vec<StepTally> {
        let mut steps = self.steps.clone();
        steps.iter_mut().for_each(|step| {
            step.ended_at.get_or_insert(until_ns);
        });
        steps
    }

    fn cut_off(&self) -> Outcome {
        let Last { until_ns, state, cpu_ns, rss_bytes, engine } = self.last;
        let seconds = |ns: u64| ns as f64 / NS_PER_S as f64;
        let duration_s = seconds(until_ns);
        let validity = &self.profile.validity;
        let counts = self.measurements.generator();
        let mut reasons = vec![format!("the run was cut off after {duration_s:.1} s")];
        reasons.extend(Judgement { health: &self.health, counts }.reasons(validity));
        Outcome {
            duration_s,
            cpu_s: seconds(cpu_ns),
            rss_bytes,
            engine,
            invalid_reasons: reasons,
            health: Health { loosened: validity.loosened(), ..self.health.clone() },
            ..Outcome::of(&state)
        }
    }
}

impl Outcome {
    /// What a generator's state says.
    #[must_use]
    pub fn of(state: &GeneratorState) -> Self {
        Self {
            secured: state.secured_max,
            secured_ever: state.secured_ever,
            unprotected_ignored: state.unprotected_ignored,
            notify_unmatched: state.notify_unmatched,
            vanished: state.vanished,
            links: state.links,
            sessions: Sessions {
                established: state.sessions.established,
                moved: state.sessions.moved,
                released: state.sessions.released,
                lost: state.sessions.lost,
            },
            ..Self::default()
        }
    }
}
