//! What UEs do about their connection, from its set-up to its end.

use imstorm_base::time::{NS_PER_S, Time, seconds};
use imstorm_sip::transaction::Timings;

use super::write::Credentials;
use super::{Abandons, Asking, Stage, UeTimer, UeTimerKind};
use crate::generator::{Generator, Step};
use crate::measure::{Cause, Procedure, Start};

/// How long a UE is away at least that has lost its connection.
const BACK_NS: u64 = NS_PER_S / 2;

/// Timers at the UE (TS 24.229 table 7.8).
pub const TIMINGS: Timings = Timings::UE_LEG;
/// How long a UE that is through still answers what comes again.
pub const FORGET_NS: u64 = TIMINGS.timer_j_ns(false) + seconds(5);
/// How often a set-up whose NOTIFY does not come is begun anew.
const TRIES_MAX: u8 = 2;

impl Generator {
    /// A UE's set-up starts, `intended` for this time.
    pub(crate) fn begin(&mut self, step: &mut Step<'_>, ue: u32, intended: Time) {
        self.plan_life(ue);
        self.begin_set_up(step, ue, intended);
    }

    /// A set-up as a procedure: the first one, or that of a UE that comes back.
    pub(super) fn begin_set_up(&mut self, step: &mut Step<'_>, ue: u32, intended: Time) {
        let basis = self.basis_now(step.now, ue);
        self.ues[ue as usize].basis = basis;
        self.begin_set_up_as(step, ue, basis.set_up(), intended);
    }

    pub(super) fn begin_set_up_as(
        &mut self,
        step: &mut Step<'_>,
        ue: u32,
        procedure: Procedure,
        intended: Time,
    ) {
        self.start_procedure(ue, procedure, step.start(intended));
        let state = &mut self.ues[ue as usize];
        state.tries = 0;
        state.agreements = 0;
        self.set_up(step, ue);
    }

    pub(super) fn set_up(&mut self, step: &mut Step<'_>, ue: u32) {
        self.drop_services(ue);
        self.change_stage(ue, Stage::Challenging);
        let state = &mut self.ues[ue as usize];
        state.attempt += 1;
        state.tries += 1;
        state.cseq = 0;
        state.notify_cseq = 0;
        state.due = 0;
        state.has_200 = false;
        state.has_notify = false;
        state.bad_challenges = 0;
        state.is_leaving = false;
        self.ask(step, ue, Asking::First, Credentials::Name);
    }

    pub(super) fn start_procedure(&mut self, ue: u32, procedure: Procedure, start: Start) {
        self.measurements.attempted(procedure, start);
        if let Some(progress) = self.progress_mut(ue) {
            progress.start = start;
        }
        let state = &mut self.ues[ue as usize];
        state.procedure = Some(procedure);
        self.resting -= u64::from(std::mem::take(&mut state.rests));
        self.under_way += 1;
    }

    /// The procedure under way has come to its good end.
    pub(crate) fn complete(&mut self, step: &Step<'_>, ue: u32) {
        if let Some((procedure, start)) = self.take_procedure(ue) {
            self.measurements.completed(procedure, start, step.now);
            self.under_way -= 1;
            self.note_ended(ue, procedure, None);
            let number = self.recorded_as(ue);
            if self.recorder.wants(number) {
                let text = format!("{} completed", procedure.name());
                self.recorder.note_event(number, step.now, &text);
            }
            self.recorder.settled(number);
        }
    }

    /// The procedure under way has failed. Where it was about the connection itself, the UE gives up; else it goes on.
    pub(crate) fn fail(&mut self, step: &mut Step<'_>, ue: u32, cause: Cause) {
        self.end_request(ue);
        let procedure = self.fail_procedure(step, ue, cause);
        let stage = self.ues[ue as usize].stage;
        if stage != Stage::Secured {
            let was_secured = self.ues[ue as usize].was_secured;
            if self.is_left_in_handover(step, ue, cause) {
            } else if self.traffic_is_offered && was_secured && stage != Stage::Releasing {
                self.lose_connection(step, ue);
            } else {
                self.leave(step, ue);
            }
        } else if procedure.is_some_and(|it| self.handover_step_over(step, ue, it, Some(cause))) {
            // Its next step has begun.
        } else if let Some(procedure) = procedure {
            self.after(step, ue, procedure);
        }
    }

    /// The procedure under way has failed; which one it was.
    pub(super) fn fail_procedure(
        &mut self,
        step: &Step<'_>,
        ue: u32,
        cause: Cause,
    ) -> Option<Procedure> {
        let (procedure, start) = self.take_procedure(ue)?;
        self.measurements.failed(procedure, start, cause);
        self.under_way -= 1;
        self.note_ended(ue, procedure, Some(cause));
        self.recorder.failed(self.recorded_as(ue), step.now, procedure, cause);
        Some(procedure)
    }

    /// The UE gives up as the profile wants it: what is under way is neither completed nor failed.
    pub(super) fn abandon(&mut self, step: &mut Step<'_>, ue: u32) {
        self.break_request(ue);
        self.abandon_procedure(ue);
        self.ues[ue as usize].abandons = Abandons::Nothing;
        let Some(after_s) = self.abandon.back_after_s else {
            return self.leave(step, ue);
        };
        self.go_away(step, ue, (after_s * 1e9) as u64);
    }

    /// A UE that a load counts on has lost its connection: it sets up another. Those that lose it together come back as they first came, spread
    /// over the time that the arrivals took, so that they are no wave.
    fn lose_connection(&mut self, step: &mut Step<'_>, ue: u32) {
        self.drop_set(ue);
        self.drop_other_set(ue);
        self.drop_services(ue);
        self.drop_calls(step, ue);
        let after_ns = BACK_NS + (self.arrivals_ns as f64 * self.random.unit()) as u64;
        self.go_away(step, ue, after_ns);
    }

    /// The UE is away for so long.
    fn go_away(&mut self, step: &mut Step<'_>, ue: u32, after_ns: u64) {
        self.change_stage(ue, Stage::Away);
        let state = &mut self.ues[ue as usize];
        let number = state.attempt;
        self.resting -= u64::from(std::mem::take(&mut state.rests));
        self.away += 1;
        self.timers.arm(step.now, after_ns, UeTimer { ue, kind: UeTimerKind::Back, number });
    }

    /// The procedure under way is given up: it is neither completed nor failed.
    pub(super) fn abandon_procedure(&mut self, ue: u32) {
        if let Some((procedure, start)) = self.take_procedure(ue) {
            self.measurements.abandoned(procedure, start);
            self.under_way -= 1;
        }
    }

    /// The UE vanishes: its security associations with it, so that it can answer nothing.
    pub(super) fn vanish(&mut self, step: &mut Step<'_>, ue: u32) {
        if !self.ues[ue as usize].stage.is_secure() {
            return;
        }
        self.vanished += 1;
        self.expect_end_of_calls(ue);
        self.abandon(step, ue);
        self.drop_set(ue);
        self.drop_other_set(ue);
        self.drop_services(ue);
        self.drop_calls(step, ue);
    }

    /// The UE that had given up comes back from the same address.
    pub(super) fn come_back(&mut self, step: &mut Step<'_>, ue: u32, at: Time) {
        if self.ues[ue as usize].stage != Stage::Away {
            return;
        }
        self.away -= 1;
        if self.ues[ue as usize].was_secured && self.traffic_is_offered && self.is_offered_no_more()
        {
            self.leave(step, ue);
        } else if !self.stopped {
            self.begin_set_up(step, ue, at);
        }
    }

    /// The UE is through. It still answers what comes again, for as long as anything can.
    pub(crate) fn leave(&mut self, step: &mut Step<'_>, ue: u32) {
        if self.ues[ue as usize].stage == Stage::Gone {
            return;
        }
        self.change_stage(ue, Stage::Gone);
        self.drop_calls(step, ue);
        let state = &mut self.ues[ue as usize];
        let number = state.attempt;
        self.resting -= u64::from(std::mem::take(&mut state.rests));
        self.gone += 1;
        self.timers.arm(step.now, FORGET_NS, UeTimer { ue, kind: UeTimerKind::Forget, number });
        self.recorder.finished(self.recorded_as(ue));
    }

    /// An access is elsewhere than before; whether it, and whether its user, has a secure connection, is counted.
    pub(super) fn change_stage(&mut self, ue: u32, stage: Stage) {
        let was_secure = std::mem::replace(&mut self.ues[ue as usize].stage, stage).is_secure();
        if was_secure == stage.is_secure() {
            return;
        }
        let mut others = self.population.accesses_of(ue).filter(|it| *it != ue);
        let is_other = others.any(|it| self.ues[it as usize].stage.is_secure());
        if was_secure {
            self.connections -= 1;
            self.secured -= u64::from(!is_other);
        } else {
            self.connections += 1;
            self.secured += u64::from(!is_other);
            self.secured_max = self.secured_max.max(self.secured);
        }
    }

    /// Both the 200 and the first NOTIFY have come, or the 200 to the REGISTER: the UE has a secure connection and knows its identities.
    pub(crate) fn secured(&mut self, step: &mut Step<'_>, ue: u32) {
        self.change_stage(ue, Stage::Secured);
        let mut accesses = self.population.accesses_of(ue);
        let was_secured = accesses.any(|it| self.ues[it as usize].was_secured);
        self.secured_ever += u64::from(!was_secured);
        self.ues[ue as usize].was_secured = true;
        let procedure = self.ues[ue as usize].procedure;
        self.complete(step, ue);
        if procedure == Some(Procedure::HandoverSecure) {
            return self.handover_goes_on(step, ue);
        }
        self.begin_agenda(step, ue);
    }

    pub(super) fn begin_refresh(&mut self, step: &mut Step<'_>, ue: u32, intended: Time) {
        if !self.begin_return(step, ue, intended) {
            self.start_procedure(ue, Procedure::Refresh, step.start(intended));
            self.refresh(step, ue, Credentials::Answer);
        }
    }

    /// A refresh without credentials: the network has to challenge it.
    pub(super) fn begin_reauthentication(&mut self, step: &mut Step<'_>, ue: u32, intended: Time) {
        self.start_procedure(ue, Procedure::Reauthenticate, step.start(intended));
        self.refresh(step, ue, Credentials::Name);
    }

    /// Sends the re-SUBSCRIBE or re-REGISTER of the procedure under way.
    pub(super) fn refresh(&mut self, step: &mut Step<'_>, ue: u32, credentials: Credentials) {
        let state = &mut self.ues[ue as usize];
        state.stage = Stage::Refreshing;
        state.bad_challenges = 0;
        state.was_challenged = false;
        self.ask(step, ue, Asking::Refresh, credentials);
    }

    /// Whether the 200 and the NOTIFY that end a challenged refresh have come. Where the network had lowered the lifetime, a
    /// NOTIFY that was written before the refresh is not the one.
    pub(super) fn is_refreshed(&self, ue: u32) -> bool {
        let state = &self.ues[ue as usize];
        let has_both = state.has_200 && state.has_notify;
        let full_s = self.full_s(ue);
        has_both
            && (state.procedure != Some(Procedure::NetworkReauthenticate)
                || state.lifetime.is_restored(full_s)
                || state.lifetime.granted_s < full_s)
    }

    /// The lifetime that the operator has lowered, in seconds.
    fn full_s(&self, ue: u32) -> u32 {
        self.progress_of(ue).map_or(0, |it| it.full_s)
    }

    /// The refresh has been granted; where it was challenged, its NOTIFY has come, too.
    pub(crate) fn refreshed(&mut self, step: &mut Step<'_>, ue: u32) {
        let full_s = self.full_s(ue);
        let state = &mut self.ues[ue as usize];
        state.stage = Stage::Secured;
        let Some(procedure) = state.procedure else { return };
        let must_challenge =
            matches!(procedure, Procedure::Reauthenticate | Procedure::NetworkReauthenticate);
        if must_challenge && !state.was_challenged {
            return self.fail(step, ue, Cause::NotChallenged);
        }
        if procedure == Procedure::NetworkReauthenticate && !state.lifetime.is_restored(full_s) {
            return self.fail(step, ue, Cause::Lifetime);
        }
        self.complete(step, ue);
        self.after(step, ue, procedure);
    }

    pub(super) fn begin_release(&mut self, step: &mut Step<'_>, ue: u32, intended: Time) {
        self.ues[ue as usize].is_leaving = true;
        if self.is_written_to(ue) || self.is_called(ue) || self.hang_up_all(step, ue) {
            return self.postpone(step, ue, Procedure::Release);
        }
        self.ues[ue as usize].stage = Stage::Releasing;
        self.start_procedure(ue, Procedure::Release, step.start(intended));
        self.ask(step, ue, Asking::Release, Credentials::Answer);
    }

    /// One of a UE's timers, which was to fire at that time, fired.
    pub(crate) fn timer(&mut self, step: &mut Step<'_>, at: Time, timer: UeTimer) {
        if let UeTimerKind::Leg(kind) = timer.kind {
            return self.leg_timer(step, at, timer.ue, timer.number, kind);
        }
        if timer.kind == UeTimerKind::Switch {
            return self.switch_is_due(step, timer.number);
        }
        let ue = timer.ue;
        let state = &self.ues[ue as usize];
        let is_present = match timer.kind {
            UeTimerKind::TimerE | UeTimerKind::TimerF => {
                timer.number == state.request_number && state.request.is_some()
            }
            UeTimerKind::TimerN | UeTimerKind::Operator => timer.number == state.request_number,
            UeTimerKind::Former => true,
            _ => timer.number == state.attempt,
        };
        if !is_present {
            return;
        }
        match timer.kind {
            UeTimerKind::TimerE => self.timer_e(step, ue),
            UeTimerKind::TimerF => self.timer_f(step, ue),
            UeTimerKind::TimerN => self.timer_n(step, ue),
            UeTimerKind::Operator => self.operator_is_late(step, ue),
            UeTimerKind::Due(procedure) => self.is_due(step, ue, procedure, at),
            UeTimerKind::Reregister => self.reregister(step, ue, at),
            UeTimerKind::CallAgain => self.call_again_in_time(step, ue),
            UeTimerKind::Vanish => self.vanish(step, ue),
            UeTimerKind::Back => self.come_back(step, ue, at),
            UeTimerKind::Former => self.forget_former(ue, timer.number),
            UeTimerKind::Forget => self.forget(step, ue),
            UeTimerKind::Leg(_) | UeTimerKind::Switch => {}
        }
    }

    fn timer_f(&mut self, step: &mut Step<'_>, ue: u32) {
        if !self.gets_no_answer(step, ue) {
            self.break_request(ue);
            self.fail(step, ue, Cause::Timeout);
        }
    }

    /// A 200 and no NOTIFY: a set-up's subscription is given up, and tried again once (RFC 6665 clause 4.1.2.4).
    fn timer_n(&mut self, step: &mut Step<'_>, ue: u32) {
        if !self.wait_for_notify(step, ue) {
            return;
        }
        let state = &self.ues[ue as usize];
        match state.stage {
            Stage::Answering if !state.has_notify => {}
            Stage::Reanswering => {
                let cause = if state.has_notify { Cause::Lifetime } else { Cause::NoNotify };
                return self.fail(step, ue, cause);
            }
            Stage::Releasing => return self.fail(step, ue, Cause::NoNotify),
            Stage::Secured if self.is_subscribing(ue) => {
                return self.fail(step, ue, Cause::NoNotify);
            }
            _ => return,
        }
        if state.tries >= TRIES_MAX {
            return self.fail(step, ue, Cause::NoNotify);
        }
        // Its end goes out once and is not waited for: the new set-up ends the old connection anyway.
        self.ask(step, ue, Asking::Release, Credentials::Answer);
        self.end_request(ue);
        self.drop_set(ue);
        self.set_up(step, ue);
    }

    /// Nothing can come any more: the UE's memory goes back.
    fn forget(&mut self, step: &mut Step<'_>, ue: u32) {
        let state = &mut self.ues[ue as usize];
        if state.stage != Stage::Gone {
            if state.is_current || self.handover_of(ue).is_some_and(|it| it.to == ue) {
                return;
            }
            // The user has gone to another access long since.
            self.retire(step, ue);
            self.ues[ue as usize].is_lost = false;
        }
        self.drop_set(ue);
        self.drop_other_set(ue);
        self.drop_services(ue);
        self.strings.release(std::mem::take(&mut self.ues[ue as usize].remote));
    }

    /// The set of the former connection, made from this offer, goes, unless it has made room before.
    fn forget_former(&mut self, ue: u32, offer: u32) {
        if self.offer_of_other_set(ue) == Some(offer) {
            self.drop_other_set(ue);
        }
    }
}
