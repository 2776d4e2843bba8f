//! What the network begins: the operator is asked, and the UE waits for the NOTIFY that follows.

use imstorm_base::time::Time;
use imstorm_cscf::scscf::Reason;

use super::write::Credentials;
use super::{Stage, UeTimer, UeTimerKind};
use crate::generator::{Generator, Step};
use crate::measure::{Cause, Procedure};
use crate::operator::{OperatorCall, OperatorKind};

/// A NOTIFY that lowers the lifetime is followed at once, whatever else is due.
pub(super) const URGENT: u32 = 1 << 31;

impl Generator {
    pub(super) fn begin_identity_change(&mut self, step: &mut Step<'_>, ue: u32, intended: Time) {
        let state = &mut self.ues[ue as usize];
        state.wants_extra = !state.has_extra;
        let kind = if state.wants_extra {
            OperatorKind::AddIdentity
        } else {
            OperatorKind::RemoveIdentity
        };
        self.call_operator(step, ue, (Procedure::IdentityChange, intended), kind);
    }

    pub(super) fn begin_network_reauthentication(
        &mut self,
        step: &mut Step<'_>,
        ue: u32,
        intended: Time,
    ) {
        let kind = OperatorKind::Shorten { expires_s: self.shorten_s };
        self.call_operator(step, ue, (Procedure::NetworkReauthenticate, intended), kind);
    }

    pub(super) fn begin_network_release(&mut self, step: &mut Step<'_>, ue: u32, intended: Time) {
        if self.is_written_to(ue) || self.is_called(ue) {
            return self.postpone(step, ue, Procedure::NetworkRelease);
        }
        self.expect_end_of_calls(ue);
        let rejects = self.ues[ue as usize].to_reject;
        let reason = if rejects { Reason::Rejected } else { Reason::Deactivated };
        let kind = OperatorKind::Terminate { reason };
        self.call_operator(step, ue, (Procedure::NetworkRelease, intended), kind);
    }

    /// Files a call: the procedure's time counts from here.
    fn call_operator(
        &mut self,
        step: &mut Step<'_>,
        ue: u32,
        (procedure, intended): (Procedure, Time),
        kind: OperatorKind,
    ) {
        self.start_procedure(ue, procedure, step.start(intended));
        let state = &mut self.ues[ue as usize];
        state.request_number = state.request_number.wrapping_add(1);
        let (number, granted_s) = (state.request_number, state.lifetime.granted_s);
        if let Some(progress) = self.progress_mut(ue) {
            progress.asked_at = Some(step.now);
            progress.full_s = granted_s;
        }
        if !self.operator.file(OperatorCall { ue, number, kind }) {
            return self.fail(step, ue, Cause::Operator);
        }
        let kind = UeTimerKind::Operator;
        // One NOTIFY that is under way before it has Timer F, and so has it.
        let after_ns = 2 * self.settings.timer_n_ns();
        self.timers.arm(step.now, after_ns, UeTimer { ue, kind, number });
    }

    /// A call has failed, which may be known only after its UE has given up.
    pub(crate) fn operator_failed(&mut self, step: &mut Step<'_>, call: OperatorCall) {
        if self.awaits_operator(call.ue) && self.ues[call.ue as usize].request_number == call.number
        {
            self.fail(step, call.ue, Cause::Operator);
        }
    }

    pub(super) fn operator_is_late(&mut self, step: &mut Step<'_>, ue: u32) {
        if self.awaits_operator(ue) {
            self.fail(step, ue, Cause::NoNotify);
        }
    }

    /// Whether the procedure under way waits for a NOTIFY that the operator's call brings.
    fn awaits_operator(&self, ue: u32) -> bool {
        let state = &self.ues[ue as usize];
        state.stage == Stage::Secured
            && matches!(
                state.procedure,
                Some(
                    Procedure::IdentityChange
                        | Procedure::NetworkReauthenticate
                        | Procedure::NetworkRelease
                )
            )
    }

    /// A NOTIFY has come to a secured UE: it may be what the operator was asked for.
    pub(super) fn notified_secured(&mut self, step: &mut Step<'_>, ue: u32, is_lower: bool) {
        let state = &mut self.ues[ue as usize];
        let current = if state.stage == Stage::Secured { state.procedure } else { None };
        match current {
            Some(Procedure::IdentityChange) if state.has_extra == state.wants_extra => {
                self.complete(step, ue);
                self.after(step, ue, Procedure::IdentityChange);
            }
            Some(Procedure::NetworkReauthenticate) if is_lower => {
                return self.refresh(step, ue, Credentials::Answer);
            }
            _ => {}
        }
        if is_lower {
            self.ues[ue as usize].due |= URGENT;
            self.go_on(step, ue);
        }
    }

    /// The subscription is over: as the UE asked, as the operator was asked, or by the network alone.
    pub(super) fn terminated(&mut self, step: &mut Step<'_>, ue: u32, reason: &[u8]) {
        let state = &self.ues[ue as usize];
        if state.stage.is_secure() && self.is_left_in_handover(step, ue, Cause::TerminatedByNetwork)
        {
            return;
        }
        let state = &self.ues[ue as usize];
        match (state.stage, state.procedure) {
            (Stage::Gone | Stage::Away | Stage::Idle, _) => return,
            (Stage::Releasing, _) => {
                // It answers the SUBSCRIBE with Expires 0 as well, should the 200 be late.
                self.take_response(step, ue, 200);
                self.complete(step, ue);
                return self.leave(step, ue);
            }
            (_, Some(Procedure::NetworkRelease)) => self.complete(step, ue),
            _ => {
                self.break_request(ue);
                self.fail_procedure(step, ue, Cause::TerminatedByNetwork);
            }
        }
        let may_return = reason.eq_ignore_ascii_case(b"deactivated") && self.network_release.back;
        if may_return && self.ues[ue as usize].stage.is_secure() && !self.stopped {
            self.return_at_once(step, ue);
        } else {
            self.leave(step, ue);
        }
    }

    /// A new set-up from the same address, while what ends the old connection may still come again.
    fn return_at_once(&mut self, step: &mut Step<'_>, ue: u32) {
        self.drop_other_set(ue);
        self.change_stage(ue, Stage::Away);
        self.drop_calls(step, ue);
        let state = &mut self.ues[ue as usize];
        self.resting -= u64::from(std::mem::take(&mut state.rests));
        state.other_set = state.set.take();
        self.begin_set_up(step, ue, step.now);
        let Some(number) = self.offer_of_other_set(ue) else { return };
        let kind = UeTimerKind::Former;
        let after_ns = self.settings.timer_n_ns();
        self.timers.arm(step.now, after_ns, UeTimer { ue, kind, number });
    }
}
