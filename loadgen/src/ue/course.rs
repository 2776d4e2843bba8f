//! What a user does in each step of a comparison's [`Course`](crate::course::Course), over one or both of its accesses. What ends is noted
//! ([`Generator::note_ended`]) and looked at once per tick, when no procedure is in the middle of anything.

use imstorm_base::time::Time;

use super::write::Credentials;
use super::{Asking, Stage};
use crate::course::{Course, CourseStep, Ended, SaPolicy};
use crate::generator::{Generator, Step};
use crate::measure::{Cause, Procedure};

impl Generator {
    /// A procedure over an access has ended; without a comparison nobody asks.
    pub(super) fn note_ended(&mut self, ue: u32, procedure: Procedure, failed: Option<Cause>) {
        if let Some(course) = &mut self.course {
            course.ended.push(Ended { ue, procedure, failed });
        }
    }

    /// Follows what has ended, and begins what is to begin.
    pub(crate) fn follow_course(&mut self, step: &mut Step<'_>) {
        if self.course.as_mut().is_some_and(|course| course.goes_on(step.now)) {
            for user in 0..self.population.size() {
                self.keep_one_access(step, user);
            }
        }
        while let Some(course) = &mut self.course {
            if let Some(ended) = course.ended.pop() {
                self.course_goes_on(step, ended);
            } else if let Some((user, intended)) = course.due(step.now).filter(|_| !self.stopped) {
                self.note_lateness(step.now - intended);
                self.begin_course_step(step, user, intended);
            } else {
                return course.look();
            }
        }
    }

    /// Whether all users are through a step of the comparison, so that the engine can be looked at.
    #[must_use]
    pub fn is_at_border(&self) -> bool {
        self.course.as_ref().is_some_and(Course::is_at_border)
    }

    /// Begins the next step of the comparison, at the next tick.
    pub fn go_on_course(&mut self) {
        if let Some(course) = &mut self.course {
            course.let_go();
        }
    }

    /// The comparison's steps.
    #[must_use]
    pub fn course(&self) -> Option<&Course> {
        self.course.as_ref()
    }

    /// A user goes on with its newest access, or where that has failed with the one before.
    fn keep_one_access(&mut self, step: &mut Step<'_>, user: u32) {
        let other = self.population.next_access(user);
        let (kept, left) = match self.ues[other as usize].stage.is_secure() {
            true => (other, user),
            false => (user, other),
        };
        self.abandon_procedure(left);
        self.drop_set(left);
        self.drop_other_set(left);
        self.retire(step, left);
        self.ues[left as usize].is_current = false;
        self.ues[kept as usize].is_current = true;
    }

    fn begin_course_step(&mut self, step: &mut Step<'_>, user: u32, intended: Time) {
        let Some(stage) = self.course.as_ref().map(Course::step) else { return };
        let (here, other) = (self.current_access(user), self.population.next_access(user));
        let count = match stage {
            CourseStep::Check | CourseStep::CheckAgain | CourseStep::Both => 2,
            _ => 1,
        };
        if let Some(course) = &mut self.course {
            course.expect(user, count as u8);
        }
        match stage {
            CourseStep::Attach => self.begin(step, user, intended),
            CourseStep::AddAccess => self.begin_set_up(step, other, intended),
            CourseStep::Check | CourseStep::CheckAgain => {
                self.begin_secured(step, user, Self::check_access);
                self.begin_secured(step, other, Self::check_access);
            }
            CourseStep::Refresh => {
                self.begin_secured(step, here, |it, step, ue| it.begin_refresh(step, ue, step.now));
            }
            CourseStep::Reauthenticate => {
                self.begin_secured(step, here, |it, step, ue| {
                    it.begin_reauthentication(step, ue, step.now);
                });
            }
            CourseStep::Both => {
                self.begin_secured(step, user, |it, step, ue| it.begin_refresh(step, ue, step.now));
                self.begin_secured(step, other, |it, step, ue| {
                    it.begin_reauthentication(step, ue, step.now);
                });
            }
            CourseStep::LeaveOne => {
                self.ues[other as usize].is_current = true;
                self.begin_secured(step, other, |it, step, ue| {
                    it.begin_release(step, ue, step.now);
                });
            }
            CourseStep::Call => {
                if self.place_call(step, here, self.partner(here), step.now).is_none() {
                    self.note_ended(here, Procedure::CallSetup, Some(Cause::Transport));
                }
            }
            CourseStep::Handover => {
                let to = self.population.next_access(here);
                if self.ues[to as usize].stage == Stage::Gone {
                    self.retire(step, to);
                }
                self.begin_secured(step, here, |it, step, ue| {
                    it.begin_handover(step, ue, step.now);
                });
            }
            CourseStep::HangUp => {
                if !self.is_caller(here) || !self.hang_up_all(step, here) {
                    self.note_ended(here, Procedure::CallRelease, Some(Cause::ConnectionLost));
                }
            }
            CourseStep::Leave => {
                self.give_up_left(step, here);
                self.begin_secured(step, here, |it, step, ue| it.begin_release(step, ue, step.now));
            }
        }
    }

    /// Begins something over an access that has to have a connection.
    fn begin_secured(
        &mut self,
        step: &mut Step<'_>,
        ue: u32,
        begin: fn(&mut Self, &mut Step<'_>, u32),
    ) {
        match self.ues[ue as usize].is_free() {
            true => begin(self, step, ue),
            false => self.lack_connection(step, self.population.user(ue)),
        }
    }

    fn lack_connection(&mut self, step: &Step<'_>, user: u32) {
        if let Some(course) = &mut self.course {
            course.met(step.now, user, Some(Cause::ConnectionLost));
        }
    }

    /// A MESSAGE over an access to the partner's other one: what comes back shows that this one carries requests from the UE, and that one
    /// requests to it.
    fn check_access(&mut self, step: &mut Step<'_>, ue: u32) {
        let size = self.population.size();
        let partner = self.partner(ue) + if ue < size { size } else { 0 };
        self.start_procedure(ue, Procedure::Message, step.start(step.now));
        self.write_to(step, ue, partner, true);
    }

    /// The accesses that a user has left, other than this one, are over: where an end has deleted the security associations of one, what
    /// the network tells of its end, and of its sessions', comes to nobody.
    fn give_up_left(&mut self, step: &mut Step<'_>, here: u32) {
        for left in self.population.accesses_of(here).filter(|it| *it != here) {
            if self.ues[left as usize].stage.is_secure() {
                self.retire(step, left);
            }
        }
    }

    /// Something has ended: the next that belongs to the step, or the user is through it.
    fn course_goes_on(&mut self, step: &mut Step<'_>, ended: Ended) {
        let Some(course) = &mut self.course else { return };
        let Ended { ue, procedure, failed } = ended;
        let user = self.population.user(ue);
        let stage = course.step();
        let is_of_step = match stage {
            CourseStep::Attach => ue == user,
            CourseStep::AddAccess => ue != user,
            CourseStep::Check | CourseStep::CheckAgain => procedure == Procedure::Message,
            CourseStep::Refresh => procedure == Procedure::Refresh,
            CourseStep::Reauthenticate => procedure == Procedure::Reauthenticate,
            CourseStep::Both => {
                matches!(procedure, Procedure::Refresh | Procedure::Reauthenticate)
            }
            CourseStep::LeaveOne | CourseStep::Leave => procedure == Procedure::Release,
            CourseStep::Call => procedure == Procedure::CallSetup,
            CourseStep::Handover => procedure == Procedure::Handover,
            CourseStep::HangUp => procedure == Procedure::CallRelease,
        };
        if !is_of_step {
            return;
        }
        let attaches = matches!(stage, CourseStep::Attach | CourseStep::AddAccess);
        if failed.is_none() && attaches && procedure != Procedure::RegEvent {
            if !self.ues[ue as usize].is_free() {
                return self.lack_connection(step, user);
            }
            let is_bound = procedure != Procedure::Secure;
            return match is_bound {
                false => self.begin_registration(step, ue, step.now),
                true => self.begin_reg_event(step, ue, step.now),
            };
        }
        if stage == CourseStep::LeaveOne {
            self.ues[ue as usize].is_current = false;
        }
        course.met(step.now, user, failed);
    }

    /// A set-up has succeeded: today's UE has one set of security associations a private identity, and deletes that of its other access.
    pub(super) fn follow_sa_policy(&mut self, ue: u32) {
        let is_shared = !self.settings.modifies_impi;
        if self.settings.sa_policy != SaPolicy::Impi || !is_shared {
            return;
        }
        for other in self.population.accesses_of(ue).filter(|it| *it != ue) {
            self.drop_set(other);
            self.drop_other_set(other);
        }
    }

    /// The registration that a user goes away from, while the new one stands beside it: it deregisters, if it still can. False where there is
    /// nothing to wait for.
    pub(super) fn deregister_left(&mut self, step: &mut Step<'_>, from: u32, to: u32) -> bool {
        let state = &self.ues[from as usize];
        if state.stage != Stage::Secured || state.set.is_none() || state.request.is_some() {
            self.retire(step, from);
            return false;
        }
        self.start_procedure(to, Procedure::HandoverRelease, step.start(step.now));
        self.ues[from as usize].stage = Stage::Releasing;
        self.ask(step, from, Asking::Release, Credentials::Answer);
        true
    }
}
