//! Networks that don't know the extension (the paper's "Backwards Compatibility"): a UE whose SUBSCRIBE is refused registers instead, keeps in
//! mind for some time that it had to, and then tries the extension again beside its registration.
//!
//! ```text
//!  SUBSCRIBE ──▶ 420, 489, 405, 501, 403, a second 494 ──────────────────▶ REGISTER ──▶ registered
//!      ▲   └──▶ 408, 5xx, silence ──▶ the next P-CSCF, if there is one ──────▲            │ a refresh, `fallback_s` later
//!      │                                                                     │            ▼
//!      └── over the other access: sessions are moved, then it deregisters ◀──┴── refused ── try again
//! ```

use imstorm_base::time::Time;
use imstorm_sip::Message;
use imstorm_sip::header::HeaderName;

use super::handover::Way;
use super::procedures::FORGET_NS;
use super::write::Credentials;
use super::{Asking, Basis, Stage, UeTimer, UeTimerKind};
use crate::generator::{Generator, Step};
use crate::measure::Procedure;

/// The option tag of the extension.
const EXTENSION: &str = "secevt";

/// What a UE makes of the final answer to its first SUBSCRIBE.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum Refusal {
    /// The network does not know the extension.
    Unknown,
    /// The agreement on security was not to its liking.
    Agreement,
    /// It can't answer now, or not at all.
    Unavailable,
}

impl Refusal {
    fn of(status: u16, message: &Message<'_>) -> Option<Self> {
        match status {
            420 if message.has_option(HeaderName::Unsupported, EXTENSION) => Some(Self::Unknown),
            405 | 489 | 501 => Some(Self::Unknown),
            // The home network's, about the identity, says so.
            403 if message.list(HeaderName::Warning).next().is_none() => Some(Self::Unknown),
            421 | 494 => Some(Self::Agreement),
            408 | 500..=599 => Some(Self::Unavailable),
            _ => None,
        }
    }
}

impl Generator {
    /// What a set-up that begins now is to rest on.
    pub(super) fn basis_now(&self, now: Time, ue: u32) -> Basis {
        if self.is_legacy(now, ue) { Basis::Registration } else { self.settings.basis }
    }

    /// Whether a user still takes it that none of its networks knows the extension.
    fn is_legacy(&self, now: Time, ue: u32) -> bool {
        let mut accesses = self.population.accesses_of(ue);
        accesses.any(|it| now < self.clock.time(self.ues[it as usize].legacy_until))
    }

    /// The first SUBSCRIBE, sent at `sent_at`, was refused. True where the UE has another way, which has begun.
    pub(super) fn goes_another_way(
        &mut self,
        step: &mut Step<'_>,
        ue: u32,
        sent_at: Time,
        message: &Message<'_>,
    ) -> bool {
        let refusal = Refusal::of(message.status(), message).filter(|_| self.may_fall_back(ue));
        let Some(refusal) = refusal else { return false };
        let is_return = self.is_return(ue);
        match refusal {
            Refusal::Unknown if is_return => self.return_refused(step, ue),
            Refusal::Unknown => self.fall_back(step, ue, sent_at),
            // A first one may be a misunderstanding (RFC 3329 clause 2.3.1).
            Refusal::Agreement if self.ues[ue as usize].agreements == 0 => {
                self.ues[ue as usize].agreements += 1;
                self.set_up(step, ue);
            }
            Refusal::Agreement if is_return => self.return_refused(step, ue),
            Refusal::Agreement => self.fall_back(step, ue, sent_at),
            Refusal::Unavailable => return self.goes_to_next_pcscf(step, ue, sent_at),
        }
        true
    }

    /// The first SUBSCRIBE was not answered at all. True where the UE has another way, which has begun.
    pub(super) fn gets_no_answer(&mut self, step: &mut Step<'_>, ue: u32) -> bool {
        let request = self.request_of(ue);
        let sent_at = request.filter(|it| it.asking == Asking::First).map(|it| it.sent_at);
        let Some(sent_at) = sent_at.filter(|_| self.may_fall_back(ue)) else { return false };
        self.break_request(ue);
        self.goes_to_next_pcscf(step, ue, sent_at)
    }

    /// Whether the UE has a SUBSCRIBE under way that begins a set-up, and its user lets it do without.
    fn may_fall_back(&self, ue: u32) -> bool {
        let state = &self.ues[ue as usize];
        let is_first = state.stage == Stage::Challenging && state.bad_challenges == 0;
        let may_go = self.handover_of(ue).is_none() || self.is_return(ue);
        self.fallback_ns.is_some() && state.basis == Basis::Subscription && is_first && may_go
    }

    fn is_return(&self, ue: u32) -> bool {
        self.handover_of(ue).is_some_and(|handover| handover.way == Way::Returns)
    }

    /// The next P-CSCF is asked, or after the last one the first is registered with. A user who has a registration keeps that.
    fn goes_to_next_pcscf(&mut self, step: &mut Step<'_>, ue: u32, sent_at: Time) -> bool {
        if self.is_return(ue) {
            return false;
        }
        let state = &mut self.ues[ue as usize];
        state.pcscf_turn += 1;
        if u32::from(state.pcscf_turn) < self.population.pcscfs() {
            self.set_up(step, ue);
        } else {
            state.pcscf_turn = 0;
            self.fall_back(step, ue, sent_at);
        }
        true
    }

    fn note_legacy(&mut self, step: &Step<'_>, ue: u32) {
        let until = step.now.saturating_add(self.fallback_ns.unwrap_or(0));
        self.ues[ue as usize].legacy_until = self.clock.moment(until);
    }

    /// The UE registers instead: the set-up by subscription is given up.
    fn fall_back(&mut self, step: &mut Step<'_>, ue: u32, sent_at: Time) {
        self.note_legacy(step, ue);
        self.abandon_procedure(ue);
        self.ues[ue as usize].basis = Basis::Registration;
        self.begin_set_up_as(step, ue, Procedure::Fallback, sent_at);
    }

    /// A refresh is due of a registration that the UE had fallen back to: whether it tries the extension again instead.
    pub(super) fn begin_return(&mut self, step: &mut Step<'_>, ue: u32, intended: Time) -> bool {
        let is_fallen = self.ues[ue as usize].basis != self.settings.basis;
        if !is_fallen || self.is_legacy(step.now, ue) || !self.can_leave(ue) {
            return false;
        }
        self.start_procedure(ue, Procedure::FallbackReturn, step.start(intended));
        self.start_handover(step, ue, Way::Returns);
        true
    }

    /// The network still does not know the extension: the registration goes on, and is refreshed.
    fn return_refused(&mut self, step: &mut Step<'_>, to: u32) {
        self.note_legacy(step, to);
        let Some(handover) = self.handovers.remove(&self.population.user(to)) else { return };
        self.abandon_procedure(to);
        self.abandon_procedure(handover.from);
        let number = self.ues[to as usize].attempt;
        let kind = UeTimerKind::Forget;
        self.timers.arm(step.now, FORGET_NS, UeTimer { ue: to, kind, number });
        self.retire(step, to);
        self.refresh_registration(step, handover.from);
    }

    /// The refresh that was put off for a return.
    pub(super) fn refresh_registration(&mut self, step: &mut Step<'_>, ue: u32) {
        self.start_procedure(ue, Procedure::Refresh, step.start(step.now));
        self.refresh(step, ue, Credentials::Answer);
    }

    /// All has come to the new connection, over which the user goes on: the UE deregisters over the old one, which ends the return.
    pub(super) fn deregister_old(&mut self, step: &mut Step<'_>, from: u32) {
        self.ues[from as usize].stage = Stage::Releasing;
        self.ask(step, from, Asking::Release, Credentials::Answer);
    }

    /// The registration that a UE has returned from has ended.
    pub(super) fn has_left_registration(&mut self, step: &mut Step<'_>, from: u32) {
        self.change_stage(from, Stage::Idle);
        self.drop_calls(step, from);
        self.complete(step, from);
    }
}
