//! The course that all users of a comparison go through together, step by step: who is how far, and what came of each step. A step begins
//! only when the one before is over for everybody and whoever watches has looked at the engine, so that what is counted between
//! two looks is of one step.

mod scheme;

use std::collections::BTreeMap;

use imstorm_base::time::{NS_PER_S, Time};
use imstorm_esp::Suite;

use crate::measure::{Cause, Latency, Procedure, Tally};

pub use scheme::{SaPolicy, Scheme};

/// A step of the course.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CourseStep {
    /// Each user sets up security over its first access and registers.
    Attach,
    /// The same over its second access, while the first one stays.
    AddAccess,
    /// Each user writes over either access to its partner's other one: both carry requests both ways, or they don't.
    Check,
    /// The first access's registration or subscription is refreshed.
    Refresh,
    /// It is authenticated again.
    Reauthenticate,
    /// Both accesses once more.
    CheckAgain,
    /// The first is refreshed while the second is authenticated again.
    Both,
    /// The second access is left.
    LeaveOne,
    /// Every second user calls its partner.
    Call,
    /// The callers go to their other access, with the call.
    Handover,
    /// The calls end.
    HangUp,
    /// All leave.
    Leave,
}

impl CourseStep {
    /// All of them, in order.
    pub const ALL: [Self; 12] = [
        Self::Attach,
        Self::AddAccess,
        Self::Check,
        Self::Refresh,
        Self::Reauthenticate,
        Self::CheckAgain,
        Self::Both,
        Self::LeaveOne,
        Self::Call,
        Self::Handover,
        Self::HangUp,
        Self::Leave,
    ];

    /// Its name in results.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Attach => "attach",
            Self::AddAccess => "add_access",
            Self::Check => "check",
            Self::Refresh => "refresh",
            Self::Reauthenticate => "reauthentication",
            Self::CheckAgain => "check_again",
            Self::Both => "refresh_and_reauthentication",
            Self::LeaveOne => "leave_one",
            Self::Call => "call",
            Self::Handover => "handover",
            Self::HangUp => "hang_up",
            Self::Leave => "leave",
        }
    }

    /// The one with a name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|step| step.name() == name)
    }

    /// Whether it is left out for users that have one access only.
    const fn needs_both(self) -> bool {
        matches!(
            self,
            Self::AddAccess | Self::Check | Self::CheckAgain | Self::Both | Self::LeaveOne
        )
    }

    /// Whether every second user goes through it.
    pub(crate) const fn is_of_callers(self) -> bool {
        matches!(self, Self::Call | Self::Handover | Self::HangUp)
    }
}

/// What came of a step.
#[derive(Debug, Clone)]
pub struct StepResult {
    /// The step.
    pub step: CourseStep,
    /// Users that went through it.
    pub users: u64,
    /// Of these, those that it failed for.
    pub failed: u64,
    /// Why: each user counts once.
    pub causes: BTreeMap<String, u64>,
    /// How long it took those that it did not fail for, in microseconds.
    latency_us: Tally,
}

impl StepResult {
    /// How long it took those that it did not fail for, from the intended start.
    #[must_use]
    pub fn latency(&self) -> Latency {
        self.latency_us.latency()
    }
}

/// How far a user is in the present step.
#[derive(Debug, Clone, Copy, Default)]
struct Progress {
    began_at: Time,
    /// What is under way, over one or both accesses.
    waits: u8,
    cause: Option<Cause>,
}

/// A procedure that has ended, over an access.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ended {
    pub ue: u32,
    pub procedure: Procedure,
    pub failed: Option<Cause>,
}

/// The course of all users.
#[derive(Debug)]
pub struct Course {
    step: CourseStep,
    gap_ns: u64,
    /// By user.
    progress: Vec<Progress>,
    /// The next user that begins the step.
    next_user: u32,
    next_at: Option<Time>,
    under_way: u64,
    at_border: bool,
    is_let_go: bool,
    over: bool,
    /// The first step that failed for somebody.
    broken: Option<CourseStep>,
    /// The second access failed somebody: all go on with one.
    has_one_access: bool,
    suites: BTreeMap<String, u64>,
    result: StepResult,
    results: Vec<StepResult>,
    pub(crate) ended: Vec<Ended>,
}

fn fresh(step: CourseStep) -> StepResult {
    StepResult { step, users: 0, failed: 0, causes: BTreeMap::new(), latency_us: Tally::new() }
}

impl Course {
    /// The course of so many users, of whom so many a second begin each step.
    #[must_use]
    pub fn new(users: u32, rate_per_s: f64) -> Self {
        Self {
            step: CourseStep::Attach,
            gap_ns: (NS_PER_S as f64 / rate_per_s) as u64,
            progress: vec![Progress::default(); users as usize],
            next_user: 0,
            next_at: None,
            under_way: 0,
            at_border: false,
            is_let_go: false,
            over: false,
            broken: None,
            has_one_access: false,
            suites: BTreeMap::new(),
            result: fresh(CourseStep::Attach),
            results: Vec::new(),
            ended: Vec::new(),
        }
    }

    /// The present step.
    #[must_use]
    pub fn step(&self) -> CourseStep {
        self.step
    }

    /// Whether the present step is over for everybody, and the next one has not begun.
    #[must_use]
    pub fn is_at_border(&self) -> bool {
        self.at_border
    }

    /// Whether all steps are over.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.over
    }

    /// Users that have not begun.
    pub(crate) fn not_started(&self) -> u64 {
        match self.step {
            CourseStep::Attach => self.progress.len() as u64 - u64::from(self.next_user),
            _ => 0,
        }
    }

    /// The first step that failed for somebody.
    #[must_use]
    pub fn broken(&self) -> Option<CourseStep> {
        self.broken
    }

    /// What came of the steps that are over.
    #[must_use]
    pub fn results(&self) -> &[StepResult] {
        &self.results
    }

    /// The algorithms that were agreed on for security associations, and how often.
    #[must_use]
    pub fn suites(&self) -> &BTreeMap<String, u64> {
        &self.suites
    }

    pub(crate) fn agreed(&mut self, suite: Suite) {
        let name = format!("{}/{}", suite.integrity.as_str(), suite.encryption.as_str());
        *self.suites.entry(name).or_default() += 1;
    }

    /// When the next user begins the step.
    pub(crate) fn next_at(&self) -> Option<Time> {
        self.next_at.filter(|_| !self.at_border && !self.over)
    }

    /// The next user whose turn has come, with its intended time.
    pub(crate) fn due(&mut self, now: Time) -> Option<(u32, Time)> {
        if self.at_border || self.over {
            return None;
        }
        let user = self.next_user;
        if user as usize >= self.progress.len() {
            return None;
        }
        let at = *self.next_at.get_or_insert(now);
        if at > now {
            return None;
        }
        self.next_user += if self.step.is_of_callers() { 2 } else { 1 };
        self.next_at =
            ((self.next_user as usize) < self.progress.len()).then_some(at + self.gap_ns);
        self.progress[user as usize] = Progress { began_at: at, waits: 0, cause: None };
        self.result.users += 1;
        self.under_way += 1;
        Some((user, at))
    }

    /// A user waits for so many more procedures.
    pub(crate) fn expect(&mut self, user: u32, more: u8) {
        self.progress[user as usize].waits += more;
    }

    /// One of those that a user waits for is over.
    pub(crate) fn met(&mut self, now: Time, user: u32, failed: Option<Cause>) {
        let progress = &mut self.progress[user as usize];
        if progress.waits == 0 {
            return;
        }
        progress.waits -= 1;
        progress.cause = progress.cause.or(failed);
        if progress.waits > 0 {
            return;
        }
        self.under_way -= 1;
        match progress.cause {
            None => {
                self.result.latency_us.record(now.saturating_sub(progress.began_at));
            }
            Some(cause) => {
                self.result.failed += 1;
                *self.result.causes.entry(cause.name().into_owned()).or_default() += 1;
            }
        }
    }

    /// Notes whether the step is over.
    pub(crate) fn look(&mut self) {
        let all_begun = self.next_user as usize >= self.progress.len();
        if self.at_border || self.over || !all_begun || self.under_way > 0 {
            return;
        }
        self.at_border = true;
        if self.result.failed > 0 {
            self.broken = self.broken.or(Some(self.step));
            self.has_one_access |= self.step.needs_both();
        }
    }

    /// Whoever watches has looked at the engine: the next step begins.
    pub(crate) fn let_go(&mut self) {
        self.is_let_go = self.at_border;
    }

    /// Begins the next step that there is something to do for, once it may. Whether the second access has just been given up.
    pub(crate) fn goes_on(&mut self, now: Time) -> bool {
        if !std::mem::take(&mut self.is_let_go) {
            return false;
        }
        let had_one = self.results.iter().any(|it| it.step.needs_both() && it.failed > 0);
        let place = CourseStep::ALL.iter().position(|it| *it == self.step).unwrap_or(0);
        let mut rest = CourseStep::ALL[place + 1..].iter();
        let next = rest.find(|it| !(self.has_one_access && it.needs_both()));
        let result = fresh(next.copied().unwrap_or(self.step));
        self.results.push(std::mem::replace(&mut self.result, result));
        self.at_border = false;
        match next {
            Some(next) => {
                self.step = *next;
                self.next_user = 0;
                self.next_at = Some(now);
            }
            None => self.over = true,
        }
        self.has_one_access && !had_one
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn go_through(course: &mut Course, failing: Option<CourseStep>) -> Vec<CourseStep> {
        let mut steps = Vec::new();
        let mut now = 1;
        while !course.is_over() {
            while let Some((user, _)) = course.due(now) {
                course.expect(user, 1);
                let failed = failing == Some(course.step()) && user == 0;
                course.met(now + 5, user, failed.then_some(Cause::Timeout));
            }
            course.look();
            if course.is_at_border() {
                steps.push(course.step());
                course.let_go();
                course.goes_on(now);
            }
            now += NS_PER_S;
        }
        steps
    }

    #[test]
    fn all_users_go_through_each_step_before_the_next_one_begins() {
        let mut course = Course::new(4, 1_000.0);
        assert_eq!(go_through(&mut course, None), CourseStep::ALL);
        let users = |step: CourseStep| {
            course.results().iter().find(|it| it.step == step).map(|it| (it.users, it.failed))
        };
        assert_eq!(users(CourseStep::Attach), Some((4, 0)));
        assert_eq!(users(CourseStep::Handover), Some((2, 0)), "the callers");
        assert_eq!(course.broken(), None);
    }

    #[test]
    fn where_the_second_access_fails_all_go_on_with_one() {
        let mut course = Course::new(4, 1_000.0);
        let steps = go_through(&mut course, Some(CourseStep::Check));
        assert_eq!(course.broken(), Some(CourseStep::Check));
        assert!(!steps.contains(&CourseStep::CheckAgain) && !steps.contains(&CourseStep::LeaveOne));
        assert!(steps.ends_with(&[CourseStep::Handover, CourseStep::HangUp, CourseStep::Leave]));
        assert_eq!(course.results()[2].causes, BTreeMap::from([("timeout".to_owned(), 1)]));
    }
}
