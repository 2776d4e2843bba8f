//! How sessions end, and what is counted of them.

use imstorm_base::hash::HashSeed;
use imstorm_base::slab::Key;
use imstorm_base::time::{NS_PER_S, Time};
use imstorm_sip::{DialogParts, Method};

use super::super::procedures::FORGET_NS;
use super::caller::cause_of;
use super::{Leg, LegStage, LegTimer, Side};
use crate::generator::{Generator, Step};
use crate::measure::{Cause, Procedure, Start};

/// What is under way when it is time to hang up ends first; it is tried again after so long.
const TRY_AGAIN_NS: u64 = NS_PER_S;

impl Generator {
    pub(super) fn start_leg_procedure(&mut self, key: Key, procedure: Procedure, start: Start) {
        let Some(leg) = self.legs.get_mut(key) else { return };
        leg.procedure = Some((procedure, start));
        let ue = leg.ue;
        self.measurements.attempted(procedure, start);
        self.under_way += 1;
        self.unrest(ue);
    }

    /// The user has something to do, or is about to.
    pub(super) fn unrest(&mut self, ue: u32) {
        for access in self.population.accesses_of(ue) {
            let state = &mut self.ues[access as usize];
            self.resting -= u64::from(std::mem::take(&mut state.rests));
        }
    }

    pub(super) fn complete_leg_procedure(&mut self, step: &Step<'_>, key: Key) {
        let Some((ue, procedure, start)) = self.take_leg_procedure(key) else { return };
        self.measurements.completed(procedure, start, step.now);
        self.note_ended(ue, procedure, None);
        let number = self.recorded_as(ue);
        if self.recorder.wants(number) {
            let text = format!("{} completed", procedure.name());
            self.recorder.note_event(number, step.now, &text);
        }
    }

    pub(super) fn fail_leg_procedure(&mut self, step: &Step<'_>, key: Key, cause: Cause) {
        let Some((ue, procedure, start)) = self.take_leg_procedure(key) else { return };
        self.measurements.failed(procedure, start, cause);
        self.note_ended(ue, procedure, Some(cause));
        self.recorder.failed(self.recorded_as(ue), step.now, procedure, cause);
    }

    /// It was given up, as the profile or the protocol wants it.
    pub(super) fn abandon_leg_procedure(&mut self, key: Key) {
        if let Some((ue, procedure, start)) = self.take_leg_procedure(key) {
            self.measurements.abandoned(procedure, start);
            self.note_ended(ue, procedure, Some(Cause::ConnectionLost));
        }
    }

    fn take_leg_procedure(&mut self, key: Key) -> Option<(u32, Procedure, Start)> {
        let leg = self.legs.get_mut(key)?;
        let (procedure, start) = leg.procedure.take()?;
        self.under_way -= 1;
        Some((leg.ue, procedure, start))
    }

    /// The session is established: one of its sides hangs up after a while. Both know which, by the Call-ID.
    pub(super) fn plan_hang_up(&mut self, step: &Step<'_>, key: Key) {
        let Some(holding_s) = self.call.holding_s else { return };
        let Some(leg) = self.legs.get_mut(key) else { return };
        let parts = DialogParts::decode(self.strings.get(&leg.dialog));
        // 53 bits are a number from 0 to 1.
        let drawn = (HashSeed::new(0).hash(parts.call_id) >> 11) as f64 / (1_u64 << 53) as f64;
        let by_callee = drawn < self.call.callee_hangs_up_share;
        if by_callee != (leg.side == Side::Callee) {
            return;
        }
        let after_ns = self.call.holding.draw_ns(holding_s, &mut self.random);
        leg.hang_up_at = Some(step.now + after_ns);
        self.arm_leg(step, key, after_ns, LegTimer::HangUp, 0);
    }

    /// This side's user hangs up.
    pub(super) fn hang_up(&mut self, step: &mut Step<'_>, key: Key) {
        let is_inviting = self.is_inviting(key);
        let Some(leg) = self.legs.get(key) else { return };
        if self.stopped || !leg.is_up() {
            return;
        }
        let is_busy = leg.request.is_some() || leg.stage == LegStage::Answered || is_inviting;
        if leg.is_replaced {
            return;
        }
        if is_busy || self.handover_of(leg.ue).is_some() {
            return self.arm_leg(step, key, TRY_AGAIN_NS, LegTimer::HangUp, 0);
        }
        let intended = leg.hang_up_at.unwrap_or(step.now);
        self.release_leg(step, key, Some(intended));
    }

    /// Sends BYE: because the user hangs up, as a procedure `intended` for then, or because the session can't go on.
    pub(super) fn release_leg(&mut self, step: &mut Step<'_>, key: Key, intended: Option<Time>) {
        self.abandon_leg_procedure(key);
        self.break_leg_request(key);
        let Some(leg) = self.legs.get_mut(key) else { return };
        if matches!(leg.stage, LegStage::Ending | LegStage::Ended) {
            return;
        }
        leg.stage = LegStage::Ending;
        leg.hung_up |= intended.is_some();
        if let Some(intended) = intended {
            self.start_leg_procedure(key, Procedure::CallRelease, step.start(intended));
        }
        if !self.start_leg_request(step, key, Method::Bye, |_, _| {}) {
            self.fail_leg(step, key);
        }
    }

    /// BYE was answered, or not (408): the session is over either way (RFC 3261 clause 15.1.1).
    pub(super) fn released_leg(&mut self, step: &mut Step<'_>, key: Key, status: u16) {
        // 481: the other side has hung up at the same time.
        if status < 300 || status == 481 {
            self.complete_leg_procedure(step, key);
        } else {
            self.fail_leg_procedure(step, key, cause_of(status));
        }
        self.end_leg(step, key);
    }

    /// BYE has come. What this side had under way ends with it; an INVITE that was not answered is (RFC 3261 clause 15.1.2).
    pub(super) fn ended_by_peer(&mut self, step: &mut Step<'_>, key: Key) {
        let Some(leg) = self.legs.get(key) else { return };
        let ue = leg.ue;
        match leg.stage {
            LegStage::Ended => return,
            LegStage::Early if leg.side == Side::Callee => {
                self.answer_invite(step, key, 487, |_| {}, false);
            }
            // Both hang up at once: the own BYE is answered as well.
            LegStage::Ending => self.complete_leg_procedure(step, key),
            _ => self.abandon_leg_procedure(key),
        }
        self.break_leg_request(key);
        let is_replaced = self.legs_of(ue).any(|(_, leg)| leg.replaces == Some(key));
        if let Some(leg) = self.legs.get_mut(key) {
            // The BYE has overtaken the 2xx to what replaces it.
            leg.is_replaced |= is_replaced;
        }
        self.end_leg(step, key);
    }

    /// The leg is over. It answers what comes again for as long as anything can.
    pub(super) fn end_leg(&mut self, step: &mut Step<'_>, key: Key) {
        let Some(leg) = self.legs.get_mut(key) else { return };
        if leg.stage == LegStage::Ended {
            return;
        }
        leg.stage = LegStage::Ended;
        let (ue, side, is_replaced) = (leg.ue, leg.side, leg.is_replaced);
        if !is_replaced {
            self.count_end(key);
        }
        self.fail_leg_procedure(step, key, Cause::ConnectionLost);
        self.break_leg_request(key);
        self.arm_leg(step, key, FORGET_NS, LegTimer::Forget, 0);
        self.end_move(step, key);
        self.called_anew(step, key, Some(Cause::ConnectionLost));
        self.session_broken(step, key);
        if !is_replaced {
            self.call_over(step, ue, side);
        }
    }

    /// A session is over: its caller's next one gets its time.
    pub(super) fn call_over(&mut self, step: &mut Step<'_>, ue: u32, side: Side) {
        let ue = self.current_access(ue);
        if side == Side::Caller && self.ues[ue as usize].stage.is_secure() {
            self.arm_procedure(step, ue, Procedure::CallSetup);
        }
        self.go_on(step, ue);
    }

    /// A session is counted once, on its caller's side.
    pub(super) fn count_end(&mut self, key: Key) {
        let Some(leg) = self.legs.get_mut(key) else { return };
        if !std::mem::take(&mut leg.is_counted) {
            return;
        }
        let (own, peer) = (leg.hung_up, leg.peer);
        // A party that is no UE of this generator has its reasons.
        let is_wanted =
            own || peer.and_then(|peer| self.legs.get(peer)).is_none_or(|it| it.hung_up);
        if is_wanted {
            self.sessions.released += 1;
        } else {
            self.sessions.lost += 1;
        }
    }

    /// A leg that never came to anything goes.
    pub(super) fn drop_leg(&mut self, key: Key) {
        if let Some(leg) = self.legs.get_mut(key) {
            leg.stage = LegStage::Ended;
        }
        self.forget_leg(key);
    }

    /// The user is about to leave: it hangs up, and takes no more calls. True while there is something to wait for.
    pub(in crate::ue) fn hang_up_all(&mut self, step: &mut Step<'_>, ue: u32) -> bool {
        let open: Vec<Key> = self
            .legs_of(ue)
            .filter(|(_, leg)| leg.stage != LegStage::Ended)
            .map(|(key, _)| key)
            .collect();
        for key in &open {
            if self.legs.get(*key).is_some_and(|leg| leg.is_replaced && leg.stage == LegStage::Up) {
                // Its BYE is the network's, which may find no way to the UE any more; one that does is still answered.
                self.end_leg(step, *key);
                continue;
            }
            match self.legs.get(*key).map(|leg| (leg.stage, leg.side)) {
                Some((LegStage::Early, Side::Caller)) => self.give_up(step, *key),
                Some((LegStage::Early, Side::Callee)) => {
                    self.answer_invite(step, *key, 480, |_| {}, false);
                    self.end_leg(step, *key);
                }
                Some((LegStage::Up, _)) => {
                    if let Some(leg) = self.legs.get_mut(*key) {
                        leg.hang_up_at = Some(step.now);
                    }
                    self.hang_up(step, *key);
                }
                _ => {}
            }
        }
        !open.is_empty()
    }

    /// The network is asked to end the connection, or the UE is to vanish: its sessions end as the profile wants it.
    pub(in crate::ue) fn expect_end_of_calls(&mut self, ue: u32) {
        let legs: Vec<Key> = self.legs_of(ue).map(|(key, _)| key).collect();
        for key in legs {
            if let Some(leg) = self.legs.get_mut(key) {
                leg.hung_up = true;
                leg.ends_with_connection = true;
            }
        }
    }

    /// The access's connection is gone, and what ran over it.
    pub(in crate::ue) fn drop_calls(&mut self, step: &mut Step<'_>, ue: u32) {
        let legs: Vec<Key> =
            self.legs_of(ue).filter(|(_, leg)| leg.ue == ue).map(|(key, _)| key).collect();
        for key in legs {
            // A BYE that the connection's end has overtaken has nobody to answer it.
            let is_wanted = |leg: &Leg| match leg.stage {
                LegStage::Early => leg.hung_up,
                _ => leg.ends_with_connection,
            };
            if self.legs.get(key).is_some_and(is_wanted) {
                self.abandon_leg_procedure(key);
            }
            self.end_leg(step, key);
        }
    }
}
