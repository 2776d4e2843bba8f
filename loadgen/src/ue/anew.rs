//! What a user makes anew at its new access because the network has ended it at the old one: without the extension a registration from
//! elsewhere takes the place of the earlier one, and the S-CSCF ends the sessions of that (the paper's figure 1).

use imstorm_base::slab::Key;
use imstorm_base::time::NS_PER_S;

use super::call::{LegStage, move_ns_max};
use super::handover::{MoveOutcome, Way};
use super::{UeTimer, UeTimerKind};
use crate::generator::{Generator, Step};
use crate::measure::{Cause, Procedure, Start};

/// A call that can't begin is tried again after so long.
const TRY_AGAIN_NS: u64 = NS_PER_S;

impl Generator {
    /// The user's sessions over an access are about to be ended by the network.
    pub(super) fn expect_break(&mut self, ue: u32) {
        self.mark_for_break(ue, true);
    }

    /// They go on after all.
    pub(super) fn expect_no_break(&mut self, ue: u32) {
        self.mark_for_break(ue, false);
    }

    fn mark_for_break(&mut self, ue: u32, is_moving: bool) {
        let legs = self.legs_of(ue).filter(|(_, leg)| leg.ue == ue && leg.stage == LegStage::Up);
        let legs: Vec<Key> = legs.map(|(key, _)| key).collect();
        for key in legs {
            if let Some(leg) = self.legs.get_mut(key) {
                leg.is_moving = is_moving;
            }
        }
    }

    /// Calls again, over the new access, whoever the sessions were with that ran over the old one, each as soon as its BYE has come. False
    /// where there were none.
    pub(super) fn call_anew(&mut self, step: &mut Step<'_>, from: u32, to: u32) -> bool {
        let waiting = self.legs_of(from).filter(|(_, leg)| leg.ue == from && leg.is_moving).count();
        let Some(handover) = self.handovers.get_mut(&self.population.user(to)) else {
            return false;
        };
        handover.moving = handover.broken + waiting;
        let (count, interruption) = (handover.moving, Start::at(handover.began_at()));
        if count == 0 {
            return false;
        }
        self.start_procedure(to, Procedure::HandoverSessions, step.start(step.now));
        for _ in 0..count {
            self.measurements.attempted(Procedure::Interruption, interruption);
        }
        let old = &self.ues[from as usize];
        if old.is_lost || old.set.is_none() {
            // No BYE will come.
            self.drop_calls(step, from);
        }
        self.call_again(step, to);
        let number = self.ues[to as usize].attempt;
        let kind = UeTimerKind::CallAgain;
        self.timers.arm(step.now, TRY_AGAIN_NS, UeTimer { ue: to, kind, number });
        true
    }

    /// A session that the network was expected to end has ended. One that a party has hung up is not made anew.
    pub(super) fn session_broken(&mut self, step: &mut Step<'_>, key: Key) {
        let Some(leg) = self.legs.get_mut(key) else { return };
        let (ue, peer, own) = (leg.ue, leg.peer, leg.hung_up);
        let Some(handover) = self.handovers.get_mut(&self.population.user(ue)) else { return };
        if handover.way != Way::Breaks || handover.from != ue || !std::mem::take(&mut leg.is_moving)
        {
            return;
        }
        let (to, has_begun) = (handover.to, handover.step == Procedure::HandoverSessions);
        let is_wanted =
            own || peer.and_then(|peer| self.legs.get(peer)).is_some_and(|it| it.hung_up);
        if is_wanted {
            if has_begun {
                self.session_moved(step, to, MoveOutcome::Ended);
            }
            return;
        }
        handover.broken += 1;
        if has_begun {
            self.call_again(step, to);
        }
    }

    /// Begins what calls can begin now.
    pub(super) fn call_again(&mut self, step: &mut Step<'_>, to: u32) {
        let callee = self.partner(to);
        while self.is_to_call(to) && self.can_be_called(to, callee) && !self.is_calling_anew(to) {
            if let Some(handover) = self.handovers.get_mut(&self.population.user(to)) {
                handover.broken -= 1;
            }
            match self.place_call(step, to, callee, step.now) {
                Some(key) => {
                    if let Some(leg) = self.legs.get_mut(key) {
                        leg.is_anew = true;
                    }
                }
                None => self.session_moved(step, to, MoveOutcome::Failed(Cause::Transport)),
            }
        }
    }

    /// Whether a session of the user waits for being made anew.
    fn is_to_call(&self, to: u32) -> bool {
        self.handover_of(to).is_some_and(|handover| {
            handover.to == to && handover.step == Procedure::HandoverSessions && handover.broken > 0
        })
    }

    /// Whether a call of the user is on its way that takes room which its callee still seems to have.
    fn is_calling_anew(&self, to: u32) -> bool {
        self.legs_of(to)
            .any(|(_, leg)| leg.is_anew && leg.stage == LegStage::Early && leg.peer.is_none())
    }

    /// Time to try again what could not begin, or, after long enough, to give it up.
    pub(super) fn call_again_in_time(&mut self, step: &mut Step<'_>, to: u32) {
        let Some(handover) = self.handover_of(to).filter(|handover| handover.to == to) else {
            return;
        };
        if handover.step != Procedure::HandoverSessions {
            return;
        }
        if step.now < handover.began_at() + move_ns_max(&self.settings.timings) {
            self.call_again(step, to);
            let (kind, number) = (UeTimerKind::CallAgain, self.ues[to as usize].attempt);
            return self.timers.arm(step.now, TRY_AGAIN_NS, UeTimer { ue: to, kind, number });
        }
        let from = handover.from;
        self.drop_calls(step, from);
        while self.is_to_call(to) {
            if let Some(handover) = self.handovers.get_mut(&self.population.user(to)) {
                handover.broken -= 1;
            }
            self.session_moved(step, to, MoveOutcome::Failed(Cause::NoAnswer));
        }
    }

    /// A call that was to take the place of an ended session is up, or has failed.
    pub(super) fn called_anew(&mut self, step: &mut Step<'_>, key: Key, failed: Option<Cause>) {
        let Some(leg) = self.legs.get_mut(key) else { return };
        if std::mem::take(&mut leg.is_anew) {
            let ue = leg.ue;
            self.session_moved(step, ue, failed.map_or(MoveOutcome::Moved, MoveOutcome::Failed));
        }
    }

    /// Subscribes to the registration state over the new access, as it was over the old one.
    pub(super) fn watch_anew(&mut self, step: &mut Step<'_>, to: u32) -> bool {
        self.start_procedure(to, Procedure::HandoverSubscriptions, step.start(step.now));
        self.watch_registration(step, to);
        true
    }
}
