//! Handover: a user's sessions, subscriptions and registration go from one access to another, in the order of the paper's section 3.2.
//!
//! ```text
//!  secure the new access ─▶ move sessions ─▶ move subscriptions ─▶ register anew ─▶ end the old connection
//!        │ failure              │ failure          │ failure            │ failure           │ failure
//!        ▼                      └──────────────────┴────────────────────┴─── goes on, and has failed at the end
//!  all stays as it was
//! ```
//!
//! Where connections rest on registrations there is nothing to move: the network ends what ran over the old one as soon as the new one
//! is made (the paper's figure 1), and the user makes it anew ([`anew`](super::anew)). Where a registration may stand beside another one
//! sessions are moved, the registration state is watched anew, and the old registration ends in the last step.
//!
//! The old access is Idle again once its connection is over, and may be moved to. Where it is lost nothing passes it from the moment of
//! the loss until nothing can come any more.

use imstorm_base::slab::Key;
use imstorm_base::time::{NS_PER_S, Time};

use super::call::LegStage;
use super::network::URGENT;
use super::procedures::FORGET_NS;
use super::write::Credentials;
use super::{Abandons, Basis, Stage, UeTimer, UeTimerKind};
use crate::generator::{Generator, Step};
use crate::measure::{Cause, Procedure, Start};

/// A handover that can't begin is tried again after so long.
const TRY_AGAIN_NS: u64 = NS_PER_S;

/// What becomes of what a user has at the old access.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Way {
    /// It is moved (the paper's figure 2).
    Moves,
    /// The network ends it, and the user makes it anew (the paper's figure 1).
    Breaks,
    /// It is moved from a registration that the UE had fallen back to, to a subscription.
    Returns,
    /// It is moved from one registration to another that stands beside it.
    Adds,
}

/// A handover under way.
#[derive(Debug)]
pub struct Handover {
    pub(super) way: Way,
    /// The access that is left.
    pub from: u32,
    /// The access that all is moved to.
    pub to: u32,
    /// When it was decided, or the old access was lost: interruptions count from here.
    decided_at: Time,
    /// The step under way.
    pub(super) step: Procedure,
    /// When it began.
    step_at: Time,
    /// Sessions of which the move is under way, or that are being made anew.
    pub(super) moving: usize,
    /// Sessions that the network has ended, and of which the new one has not begun.
    pub(super) broken: usize,
    /// There was a subscription to the registration state.
    had_reg_event: bool,
    /// Why a step has failed: the first one's.
    cause: Option<Cause>,
}

/// What became of the move of a session.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum MoveOutcome {
    /// It runs over the new connection.
    Moved,
    /// Its parties have ended it meanwhile.
    Ended,
    /// It could not be moved.
    Failed(Cause),
}

impl Handover {
    /// When it was decided.
    pub fn began_at(&self) -> Time {
        self.decided_at
    }
}

/// The steps after the first one, in order.
const STEPS: [Procedure; 4] = [
    Procedure::HandoverSessions,
    Procedure::HandoverSubscriptions,
    Procedure::HandoverBindings,
    Procedure::HandoverRelease,
];

impl Generator {
    /// The handover under way of an access's user.
    pub(super) fn handover_of(&self, ue: u32) -> Option<&Handover> {
        self.handovers.get(&self.population.user(ue))
    }

    /// The access over which a user does what is due.
    pub(crate) fn current_access(&self, ue: u32) -> u32 {
        let mut accesses = self.population.accesses_of(ue);
        accesses.find(|it| self.ues[*it as usize].is_current).unwrap_or(ue)
    }

    pub(super) fn begin_handover(&mut self, step: &mut Step<'_>, ue: u32, intended: Time) {
        if !self.can_leave(ue) {
            self.left.put_back(ue, Procedure::Handover);
            let number = self.ues[ue as usize].attempt;
            let kind = UeTimerKind::Due(Procedure::Handover);
            return self.timers.arm(step.now, TRY_AGAIN_NS, UeTimer { ue, kind, number });
        }
        self.start_procedure(ue, Procedure::Handover, step.start(intended));
        self.ues[ue as usize].is_lost = self.handover.old_access.is_lost();
        let is_registration = self.ues[ue as usize].basis == Basis::Registration;
        let way = match is_registration {
            true if self.settings.keeps_earlier => Way::Adds,
            true => Way::Breaks,
            false => Way::Moves,
        };
        self.start_handover(step, ue, way);
    }

    /// Whether a user can go from this access to its other one now.
    pub(super) fn can_leave(&self, ue: u32) -> bool {
        let to = self.population.next_access(ue);
        let target = &self.ues[to as usize];
        let is_vacant = target.stage == Stage::Idle && !target.is_lost && to != ue;
        is_vacant && !self.is_written_to(ue) && !self.is_called(ue) && self.calls_rest(ue)
    }

    /// The first step, of a procedure that has begun.
    pub(super) fn start_handover(&mut self, step: &mut Step<'_>, ue: u32, way: Way) {
        let to = self.population.next_access(ue);
        self.ues[to as usize].basis = match way {
            Way::Breaks | Way::Adds => Basis::Registration,
            Way::Moves | Way::Returns => Basis::Subscription,
        };
        if way == Way::Breaks {
            self.expect_break(ue);
        }
        let handover = Handover {
            way,
            from: ue,
            to,
            decided_at: step.now,
            step: Procedure::HandoverSecure,
            step_at: step.now,
            moving: 0,
            broken: 0,
            had_reg_event: self.has_watch(ue),
            cause: None,
        };
        self.handovers.insert(self.population.user(ue), handover);
        self.keep_former_set(step, to);
        self.begin_set_up_as(step, to, Procedure::HandoverSecure, step.now);
    }

    /// What came through an access's set before may come again while the next one is made.
    fn keep_former_set(&mut self, step: &Step<'_>, ue: u32) {
        self.drop_other_set(ue);
        let state = &mut self.ues[ue as usize];
        state.other_set = state.set.take();
        let Some(number) = self.offer_of_other_set(ue) else { return };
        let kind = UeTimerKind::Former;
        let after_ns = self.settings.timer_n_ns();
        self.timers.arm(step.now, after_ns, UeTimer { ue, kind, number });
    }

    /// A step is over, well or badly (which is noted): the next one that there is something to do for.
    pub(super) fn handover_goes_on(&mut self, step: &mut Step<'_>, ue: u32) {
        let user = self.population.user(ue);
        let Some(handover) = self.handovers.get(&user) else { return };
        let done = STEPS.iter().position(|it| *it == handover.step).map_or(0, |place| place + 1);
        for procedure in &STEPS[done..] {
            let Some(handover) = self.handovers.get_mut(&user) else { return };
            handover.step = *procedure;
            handover.step_at = step.now;
            let (from, to) = (handover.from, handover.to);
            let begun = match (handover.way, procedure) {
                (Way::Moves | Way::Returns | Way::Adds, Procedure::HandoverSessions) => {
                    self.move_sessions(step, from, to)
                }
                (Way::Moves | Way::Returns, Procedure::HandoverSubscriptions) => {
                    self.move_subscription(step, from, to)
                }
                (Way::Moves | Way::Returns, Procedure::HandoverBindings) => {
                    self.move_binding(step, from, to)
                }
                // The registration's end belongs to no step: the user does not wait for it.
                (Way::Returns, _) => false,
                (Way::Moves, _) => {
                    self.start_procedure(to, *procedure, step.start(step.now));
                    self.refresh(step, to, Credentials::Answer);
                    true
                }
                (Way::Breaks, Procedure::HandoverSessions) => self.call_anew(step, from, to),
                (Way::Breaks | Way::Adds, Procedure::HandoverSubscriptions) => {
                    handover.had_reg_event && self.watch_anew(step, to)
                }
                // All identities are bound by the registration itself.
                (Way::Breaks | Way::Adds, Procedure::HandoverBindings) => false,
                (Way::Adds, _) => self.deregister_left(step, from, to),
                (Way::Breaks, _) => {
                    // The network has ended it, and what is left of that is still answered.
                    self.change_stage(from, Stage::Idle);
                    self.drop_calls(step, from);
                    false
                }
            };
            if begun {
                return;
            }
        }
        self.end_handover(step, user);
    }

    fn move_sessions(&mut self, step: &mut Step<'_>, from: u32, to: u32) -> bool {
        let legs: Vec<Key> = self
            .legs_of(from)
            .filter(|(_, leg)| leg.ue == from && leg.stage == LegStage::Up)
            .map(|(key, _)| key)
            .collect();
        if legs.is_empty() {
            return false;
        }
        self.start_procedure(to, Procedure::HandoverSessions, step.start(step.now));
        let Some(handover) = self.handovers.get_mut(&self.population.user(to)) else { return true };
        handover.moving = legs.len();
        let interruption = Start::at(handover.decided_at);
        for key in legs {
            self.measurements.attempted(Procedure::Interruption, interruption);
            self.move_leg(step, key, to);
        }
        true
    }

    /// One of the sessions has come to its new connection, or will not.
    pub(super) fn session_moved(&mut self, step: &mut Step<'_>, ue: u32, outcome: MoveOutcome) {
        let user = self.population.user(ue);
        let Some(handover) = self.handovers.get_mut(&user) else { return };
        if let MoveOutcome::Failed(cause) = outcome {
            handover.cause = handover.cause.or(Some(cause));
        }
        handover.moving = handover.moving.saturating_sub(1);
        let (to, is_last, cause) = (handover.to, handover.moving == 0, handover.cause);
        let (procedure, start) = (Procedure::Interruption, Start::at(handover.decided_at));
        match outcome {
            MoveOutcome::Moved => self.measurements.completed(procedure, start, step.now),
            MoveOutcome::Ended => self.measurements.abandoned(procedure, start),
            MoveOutcome::Failed(cause) => self.measurements.failed(procedure, start, cause),
        }
        if is_last {
            match cause {
                None => self.complete(step, to),
                Some(cause) => {
                    self.fail_procedure(step, to, cause);
                }
            }
            self.handover_goes_on(step, to);
        }
    }

    fn move_subscription(&mut self, step: &mut Step<'_>, from: u32, to: u32) -> bool {
        if !self.has_watch(from) {
            return false;
        }
        self.start_procedure(to, Procedure::HandoverSubscriptions, step.start(step.now));
        self.measurements.attempted(Procedure::SubscriptionMove, Start::at(step.now));
        let by_refresh = self.handover.mode.refreshes_target(self.population.user(to));
        self.subscribe_anew(step, from, to, by_refresh);
        true
    }

    fn move_binding(&mut self, step: &mut Step<'_>, from: u32, to: u32) -> bool {
        if !self.ues[from as usize].is_bound {
            return false;
        }
        self.start_procedure(to, Procedure::HandoverBindings, step.start(step.now));
        self.register(step, to);
        true
    }

    /// The procedure of a step over the new access is over; false where that is none.
    pub(super) fn handover_step_over(
        &mut self,
        step: &mut Step<'_>,
        ue: u32,
        procedure: Procedure,
        failed: Option<Cause>,
    ) -> bool {
        let Some(handover) = self.handovers.get_mut(&self.population.user(ue)) else {
            return false;
        };
        if handover.to != ue || handover.step != procedure {
            return false;
        }
        handover.cause = handover.cause.or(failed);
        let start = Start::at(handover.step_at);
        if procedure == Procedure::HandoverSubscriptions
            && !matches!(handover.way, Way::Breaks | Way::Adds)
        {
            match failed {
                None => {
                    self.measurements.completed(Procedure::SubscriptionMove, start, step.now);
                }
                Some(cause) => {
                    self.measurements.failed(Procedure::SubscriptionMove, start, cause);
                }
            }
        }
        self.handover_goes_on(step, ue);
        true
    }

    /// All is moved: from now on the user does over the new access what is due.
    fn end_handover(&mut self, step: &mut Step<'_>, user: u32) {
        let Some(handover) = self.handovers.remove(&user) else { return };
        let Handover { from, to, cause, way, .. } = handover;
        match cause {
            None if way == Way::Returns => {}
            None => self.complete(step, from),
            Some(cause) => {
                self.fail_procedure(step, from, cause);
            }
        }
        let old = &mut self.ues[from as usize];
        old.is_current = false;
        old.is_extra = false;
        let due = std::mem::take(&mut old.due) & !URGENT;
        let release_at = old.release_at;
        let (abandons, is_lost) = (std::mem::take(&mut old.abandons), old.is_lost);
        let number = old.attempt;
        let (ue, kind) = (from, UeTimerKind::Forget);
        self.timers.arm(step.now, FORGET_NS, UeTimer { ue, kind, number });
        if is_lost {
            self.retire(step, from);
        }
        self.left.copy(from, to);
        let new = &mut self.ues[to as usize];
        new.is_current = true;
        new.due |= due;
        new.release_at = release_at;
        // Whoever was to vanish has stayed for a handover, and stays.
        new.abandons = if abandons == Abandons::Connection { Abandons::Nothing } else { abandons };
        if way == Way::Returns && self.ues[from as usize].stage.is_secure() {
            self.deregister_old(step, from);
        }
        self.resume_agenda(step, to);
    }

    /// An access's connection is over, and the user is elsewhere: it is Idle, and answers what comes again.
    pub(super) fn retire(&mut self, step: &mut Step<'_>, ue: u32) {
        self.break_request(ue);
        self.change_stage(ue, Stage::Idle);
        self.drop_calls(step, ue);
        self.drop_services(ue);
    }

    /// The connection of an access in a handover is over. True where that is all there is to do about it.
    pub(super) fn is_left_in_handover(
        &mut self,
        step: &mut Step<'_>,
        ue: u32,
        cause: Cause,
    ) -> bool {
        let user = self.population.user(ue);
        let Some(handover) = self.handovers.get_mut(&user) else {
            if self.ues[ue as usize].is_current {
                return false;
            }
            self.retire(step, ue);
            return true;
        };
        if handover.from == ue {
            let (is_leaving, to) = (handover.step == Procedure::HandoverRelease, handover.to);
            let waits = is_leaving && handover.way == Way::Adds;
            if !is_leaving || waits {
                handover.cause = handover.cause.or(Some(cause));
            }
            self.retire(step, ue);
            if waits {
                self.fail_procedure(step, to, cause);
                self.handover_goes_on(step, to);
            }
            return true;
        }
        self.break_handover(step, user, cause);
        true
    }

    /// There is no new connection, or no more: the old one goes on, if it can.
    fn break_handover(&mut self, step: &mut Step<'_>, user: u32, cause: Cause) {
        let Some(handover) = self.handovers.remove(&user) else { return };
        let Handover { from, to, .. } = handover;
        self.fail_procedure(step, to, cause);
        self.fail_procedure(step, from, cause);
        for _ in 0..handover.moving {
            let start = Start::at(handover.decided_at);
            self.measurements.failed(Procedure::Interruption, start, cause);
        }
        let number = self.ues[to as usize].attempt;
        let (ue, kind) = (to, UeTimerKind::Forget);
        self.timers.arm(step.now, FORGET_NS, UeTimer { ue, kind, number });
        self.retire(step, to);
        let is_broken = handover.way == Way::Breaks && handover.step != Procedure::HandoverSecure;
        self.expect_no_break(from);
        let old = &self.ues[from as usize];
        if old.is_lost || !old.stage.is_secure() || is_broken {
            self.leave(step, from);
        } else if handover.way == Way::Returns {
            self.refresh_registration(step, from);
        } else {
            self.after(step, from, Procedure::Handover);
        }
    }
}
