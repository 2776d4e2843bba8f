//! The load that a secured population offers together: procedures that start at rates of their own, whatever became of those before, step by
//! step ([`Loads`]); for `imstorm capacity` the next step follows from what came of the last one ([`Search`]).
//!
//! ```text
//!  BringUp ──all are up, nothing under way──▶ Running ──the step is over──▶ Running, Draining or Over
//!                                                 ▲                              │
//!                                                 └───nothing under way: judged──┘
//! ```
//!
//! It is no UE and sends nothing: at each tick it hands the starts that are due to a `Starter`, which finds a UE that is free. Where none is,
//! the start waits with its intended time, from which it is measured.

mod flow;
mod loads;
mod of_generator;
mod pick;
mod search;

use imstorm_base::random::Random;
use imstorm_base::time::Time;

use crate::measure::{Measurements, Procedure, StepRow, StepTally};
use crate::part::Part;
use crate::profile::{ArrivalProcess, LoadStep, Profile};
use crate::schedule::{Piece, RateCurve, Schedule};
use flow::Flow;
pub use loads::{CapacityResult, Loads};
pub(crate) use pick::{UeStarter, pick};
pub use search::{Search, SearchLimit, StepVerdict, Tried};

/// Who begins what is offered.
pub(crate) trait Starter {
    /// Whether all UEs that are to be brought up have begun.
    fn all_started(&self) -> bool;
    /// Whether they have, and nothing is under way.
    fn is_quiet(&self) -> bool;
    /// How many datagrams have come that nobody waited for any more: while there are such the target has not done with the step before.
    fn strays(&self) -> u64;
    /// Begins a procedure that was intended for that time, with a UE that is free; false where none is.
    fn start(&mut self, procedure: Procedure, intended: Time) -> bool;
    /// A start has come so long after it was intended, by the generator's own doing.
    fn note_lateness(&mut self, late_ns: u64);
    /// What is measured.
    fn measurements(&mut self) -> &mut Measurements;
}

/// How far it is.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Stage {
    /// UEs are brought up.
    BringUp,
    /// A step goes on, until then at least.
    Running {
        began_at: Time,
        until: Time,
    },
    /// A step of a search, or the last one, is over; what it has begun ends, and what waits begins, until then at most.
    Draining {
        until: Time,
    },
    Over,
}

/// The load of a run.
#[derive(Debug)]
pub(crate) struct Traffic {
    flows: Vec<Flow>,
    loads: Loads,
    stage: Stage,
    process: ArrivalProcess,
    part: Part,
    settle_ns: u64,
    /// How long what waits may still begin behind the last step.
    drain_ns: u64,
    /// So long after its intended time a start is late, and for what share of a step's attempts that may be, before the generator was the limit.
    late_ns: u64,
    late_share_max: f64,
    /// When all UEs that are to be brought up had begun.
    brought_up_at: Option<Time>,
    /// Since when nothing is under way, before a step.
    quiet_since: Option<Time>,
    /// How many strays there were when that was looked at last.
    strays: u64,
    /// Too many starts wait: nothing more is offered.
    is_choked: bool,
    /// How often the present step of a search was judged and left undecided.
    looks: u32,
    /// Since when nothing is offered, as somebody wants it so.
    paused_at: Option<Time>,
    /// In percent of the profile's rates.
    rate_percent: u32,
    random: Random,
}

impl Traffic {
    /// The load of a profile, before anything is offered; `None` where it has none.
    pub fn new(profile: &Profile, random: Random) -> Option<Self> {
        let traffic = profile.traffic.as_ref()?;
        let part = profile.part;
        let flows = traffic.flows().map(|(procedure, rate)| Flow {
            procedure,
            rate_per_s: part.share_of_rate(rate.all_per_s(profile.population.size)),
            delay_limit_ns: rate.delay_limit_ns(),
            recorded: traffic.recorded.get(&procedure).map(|starts| starts.as_slice().into()),
            schedule: None,
            waiting: std::collections::VecDeque::new(),
            blocked_at: None,
        });
        Some(Self {
            flows: flows.collect(),
            loads: Loads::of(traffic),
            stage: Stage::BringUp,
            process: traffic.process,
            part,
            settle_ns: (traffic.settle_s * 1e9) as u64,
            drain_ns: (profile.limits.drain_s * 1e9) as u64,
            late_ns: (profile.validity.late_ms * 1e6) as u64,
            late_share_max: profile.validity.late_share_max,
            brought_up_at: None,
            quiet_since: None,
            strays: 0,
            is_choked: false,
            looks: 0,
            paused_at: None,
            rate_percent: 100,
            random,
        })
    }

    /// Nothing more becomes due, and no step ends, until [`resume`](Self::resume). What is due already still begins.
    pub fn pause(&mut self, now: Time) {
        self.paused_at.get_or_insert(now);
        if let Stage::Running { began_at, .. } = self.stage {
            for schedule in self.flows.iter_mut().filter_map(|flow| flow.schedule.as_mut()) {
                schedule.pause(now - began_at);
            }
        }
    }

    /// The pause is over: the step under way goes on where it was, and ends so much later.
    pub fn resume(&mut self, now: Time, measurements: &mut Measurements) {
        let Some(since) = self.paused_at.take() else { return };
        let Stage::Running { began_at, until } = &mut self.stage else { return };
        *until += now - since;
        for schedule in self.flows.iter_mut().filter_map(|flow| flow.schedule.as_mut()) {
            schedule.resume(now - *began_at);
        }
        if let Some(step) = measurements.steps_mut().last_mut()
            && step.measured_from > since
        {
            step.measured_from += now - since;
        }
    }

    /// Offers so many percent of the profile's rates from now on, in the steps to come too.
    pub fn set_rate_percent(&mut self, percent: u32) {
        self.rate_percent = percent;
        for schedule in self.flows.iter_mut().filter_map(|flow| flow.schedule.as_mut()) {
            schedule.set_rate_percent(percent);
        }
    }

    /// Starts that are due and wait for a UE that is free.
    pub fn waiting(&self) -> u64 {
        self.flows.iter().map(|flow| flow.waiting.len() as u64).sum()
    }

    /// Looks for the capacity, instead of the profile's steps.
    pub fn seek_capacity(&mut self, search: Search) {
        self.loads = Loads::Search { search, limit: None };
    }

    /// Whether nothing more is offered. What waits then waits in vain.
    pub fn is_over(&self) -> bool {
        self.stage == Stage::Over
    }

    /// What the search has found, where there was one.
    pub fn capacity(&self) -> Option<CapacityResult> {
        self.loads.capacity(self.flows.iter().map(|flow| flow.rate_per_s).sum())
    }

    /// Nothing more is offered.
    pub fn stop(&mut self, now: Time, measurements: &mut Measurements) {
        if self.stage != Stage::Over {
            measurements.steps_mut().end(now);
            self.end_flows();
            self.loads.interrupt();
            self.stage = Stage::Over;
        }
    }

    /// Whether more starts had to wait than may.
    pub fn is_choked(&self) -> bool {
        self.is_choked
    }

    /// What waits is given up: each start with its intended time.
    pub fn take_waiting(&mut self) -> Vec<(Procedure, Time)> {
        let each = |flow: &mut Flow| {
            let procedure = flow.procedure;
            flow.waiting.drain(..).map(move |at| (procedure, at)).collect::<Vec<_>>()
        };
        self.flows.iter_mut().flat_map(each).collect()
    }

    /// When something is due, by the clock alone.
    pub fn next_deadline(&self) -> Option<Time> {
        match self.stage {
            Stage::BringUp | Stage::Running { .. } if self.paused_at.is_some() => None,
            Stage::BringUp => {
                let at_last = self.brought_up_at.map(|at| at + self.drain_ns);
                self.settled_at().into_iter().chain(at_last).min()
            }
            Stage::Running { began_at, until } => {
                let starts = self.flows.iter().filter_map(|flow| flow.next_at(began_at));
                starts.chain([until]).min()
            }
            Stage::Draining { until } => self.settled_at().into_iter().chain([until]).min(),
            Stage::Over => None,
        }
    }

    /// When nothing was under way for long enough, if that goes on.
    fn settled_at(&self) -> Option<Time> {
        self.quiet_since.map(|since| since + self.settle_ns)
    }

    /// Whether nothing was under way for long enough, and nothing stray has come.
    fn has_settled(&mut self, now: Time, starter: &impl Starter) -> bool {
        let strays = std::mem::replace(&mut self.strays, starter.strays());
        if !starter.is_quiet() || strays != self.strays {
            self.quiet_since = None;
        }
        if !starter.is_quiet() {
            return false;
        }
        let since = *self.quiet_since.get_or_insert(now);
        now >= since + self.settle_ns
    }

    /// One tick: what is due is offered, and what is over is followed by what comes next.
    pub fn tick(&mut self, now: Time, starter: &mut impl Starter) {
        match self.stage {
            Stage::BringUp if self.paused_at.is_some() => {}
            Stage::Running { .. } if self.paused_at.is_some() => self.serve(starter),
            Stage::BringUp => {
                // UEs with timers of their own, and a target that never comes to rest, are not waited for without end.
                let at = starter.all_started().then(|| *self.brought_up_at.get_or_insert(now));
                let is_at_last = at.is_some_and(|at| now >= at + self.drain_ns);
                if self.has_settled(now, starter) || is_at_last {
                    self.go_on(now, starter);
                }
            }
            Stage::Running { began_at, until } => {
                self.offer(began_at, now, starter);
                self.serve(starter);
                if now >= until || self.is_hopeless(starter) {
                    self.step_is_due(now, starter);
                }
            }
            Stage::Draining { until } if self.loads.is_search() => {
                if self.has_settled(now, starter) || now >= until {
                    self.judge(starter);
                    self.go_on(now, starter);
                }
            }
            Stage::Draining { until } => {
                self.serve(starter);
                if now >= until || self.flows.iter().all(|flow| flow.waiting.is_empty()) {
                    self.stage = Stage::Over;
                }
            }
            Stage::Over => {}
        }
    }

    fn offer(&mut self, began_at: Time, now: Time, starter: &mut impl Starter) {
        for flow in &mut self.flows {
            while let Some(intended) = flow.due(began_at, now) {
                starter.note_lateness(now - intended);
                let is_late = now - intended > self.late_ns;
                let measurements = starter.measurements();
                if let Some(step) = measurements.steps_mut().last_mut() {
                    step.late += u64::from(is_late && intended >= step.measured_from);
                }
                if !flow.wait(intended) {
                    measurements.skipped_start(flow.procedure, intended, now);
                    self.is_choked = true;
                    flow.schedule = None;
                }
            }
        }
    }

    /// Begins what waits, as far as there are UEs.
    fn serve(&mut self, starter: &mut impl Starter) {
        for flow in &mut self.flows {
            let over = starter.measurements().over();
            if flow.waiting.is_empty() || flow.blocked_at == Some(over) {
                continue;
            }
            let was_blocked = flow.blocked_at.take().is_some();
            let mut begun = 0;
            while let Some(intended) = flow.waiting.front().copied() {
                if !starter.start(flow.procedure, intended) {
                    flow.blocked_at = Some(over);
                    break;
                }
                flow.waiting.pop_front();
                begun += u64::from(was_blocked);
            }
            if let Some(step) = starter.measurements().steps_mut().last_mut() {
                step.waited += begun;
            }
        }
    }

    fn is_hopeless(&self, starter: &mut impl Starter) -> bool {
        let Loads::Search { search, .. } = &self.loads else { return self.is_choked };
        let Some(step) = starter.measurements().steps().all().last() else { return false };
        let (attempts, inadequate) = step.handled();
        self.is_choked || search.is_hopeless(attempts, inadequate)
    }

    /// The present step has had its time.
    fn step_is_due(&mut self, now: Time, starter: &mut impl Starter) {
        let Loads::Search { search, .. } = &self.loads else { return self.go_on(now, starter) };
        let steps = starter.measurements().steps();
        let Some(step) = steps.all().last() else { return };
        let (attempts, inadequate) = step.handled();
        let is_decided = search.judge(attempts, inadequate, self.looks).is_some();
        let was_late = self.was_late(step, attempts);
        let drain_ns = (search.plan().drain_s * 1e9) as u64;
        let oldest = self.flows.iter().filter_map(|flow| flow.waiting.front()).min();
        self.is_choked |= oldest.is_some_and(|intended| now - intended > drain_ns);
        if !is_decided && !self.is_choked && !was_late {
            // As many attempts again are needed.
            let more_ns = now - step.measured_from;
            self.looks += 1;
            if let Stage::Running { until, .. } = &mut self.stage {
                *until = now + more_ns;
            }
            return;
        }
        starter.measurements().steps_mut().end(now);
        self.end_flows();
        for (procedure, intended) in self.take_waiting() {
            starter.measurements().skipped_start(procedure, intended, now);
        }
        self.quiet_since = None;
        self.stage = Stage::Draining { until: now + drain_ns };
    }

    /// What came of the step whose procedures have ended.
    fn judge(&mut self, starter: &mut impl Starter) {
        let Some(step) = starter.measurements().steps().all().last() else { return };
        let pending = step.pending();
        let (attempts, inadequate) = step.handled();
        let (attempts, inadequate) = (attempts + pending, inadequate + pending);
        let once_begun = step.inadequate_raw() + pending;
        // What made those late that were handled well once they had begun: there was no free UE for as many.
        let starved = step.waited + step.skipped() >= inadequate.saturating_sub(once_begun);
        let was_late = self.was_late(step, attempts);
        let (load, looks) = (step.load.0, self.looks);
        let Loads::Search { search, .. } = &mut self.loads else { return };
        let judged = |inadequate| {
            search.judge(attempts, inadequate, looks).unwrap_or(StepVerdict::Undecided)
        };
        let verdict = match judged(inadequate) {
            _ if was_late => StepVerdict::GeneratorLimit,
            StepVerdict::Adequate => StepVerdict::Adequate,
            _ if starved && judged(once_begun) != StepVerdict::Inadequate => {
                StepVerdict::PopulationLimit
            }
            verdict => verdict,
        };
        search.note(Tried { load, attempts, inadequate, verdict });
        self.is_choked = false;
        self.looks = 0;
    }

    /// Whether the generator was the limit of a step with so many attempts.
    fn was_late(&self, step: &StepTally, attempts: u64) -> bool {
        step.late as f64 > self.late_share_max * attempts as f64
    }

    fn end_flows(&mut self) {
        for flow in &mut self.flows {
            flow.schedule = None;
        }
    }

    /// The next step begins, where there is one.
    fn go_on(&mut self, now: Time, starter: &mut impl Starter) {
        self.quiet_since = None;
        let next = if self.is_choked { None } else { self.loads.next() };
        let Some(step) = next else {
            starter.measurements().steps_mut().end(now);
            self.end_flows();
            self.stage = match self.loads.is_search() {
                true => Stage::Over,
                false => Stage::Draining { until: now + self.drain_ns },
            };
            return;
        };
        let LoadStep { load, load_to, for_s, transient_s } = step;
        let to = load_to.unwrap_or(load);
        let rows = self.flows.iter_mut().map(|flow| {
            let rate = flow.rate_per_s;
            // A schedule takes its part of what all parts offer.
            let of_all = rate * f64::from(self.part.of);
            flow.blocked_at = None;
            let mut schedule = match &flow.recorded {
                Some(starts) => Schedule::recorded(starts.clone(), self.part),
                None => {
                    // What a search measures goes on for as long as it takes.
                    let then_per_s = if self.loads.is_search() { of_all * load } else { 0.0 };
                    let piece = Piece { from_per_s: of_all * load, to_per_s: of_all * to, for_s };
                    let curve = RateCurve::new(vec![piece], then_per_s);
                    let random = self.random.fork(flow.procedure as u64);
                    Schedule::along(curve, self.process, self.part, random)
                }
            };
            schedule.set_rate_percent(self.rate_percent);
            flow.schedule = Some(schedule);
            StepRow::new(flow.procedure, rate * (load + to) / 2.0, flow.delay_limit_ns)
        });
        let rows = rows.collect();
        self.random = self.random.fork(u64::MAX);
        starter.measurements().steps_mut().begin(StepTally {
            load: (load, to),
            began_at: now,
            measured_from: now + (transient_s * 1e9) as u64,
            ended_at: None,
            late: 0,
            waited: 0,
            rows,
        });
        self.stage = Stage::Running { began_at: now, until: now + (for_s * 1e9) as u64 };
    }
}

#[cfg(test)]
mod pause_tests;
#[cfg(test)]
mod tests;
