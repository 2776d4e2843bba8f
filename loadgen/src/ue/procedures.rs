//! What UEs do: the procedures, and the SUBSCRIBEs that they are made of.

use imstorm_base::strings::Handle;
use imstorm_base::time::{Time, seconds};
use imstorm_sip::transaction::non_invite_client::{Actions, Event};
use imstorm_sip::transaction::{NonInviteClient, Timings};

use super::write::{Credentials, subscribe};
use super::{Asking, Request, Stage, UeTimer, UeTimerKind};
use crate::generator::{Generator, Step};
use crate::measure::{Cause, Procedure, Transaction};

/// Timers at the UE (TS 24.229 table 7.8).
pub const TIMINGS: Timings = Timings::UE_LEG;
/// Timer N (RFC 6665 clause 4.1.2.4).
pub const TIMER_N_NS: u64 = 64 * TIMINGS.t1_ns;
/// How long a UE that is through still answers what comes again.
pub const FORGET_NS: u64 = TIMINGS.timer_j_ns(false) + seconds(5);
/// How often a set-up whose NOTIFY does not come is begun anew.
const ATTEMPTS_MAX: u32 = 2;

impl Generator {
    /// A UE's set-up starts, `intended` for this time.
    pub(crate) fn begin(&mut self, step: &mut Step<'_>, ue: u32, intended: Time) {
        self.start_procedure(ue, Procedure::Secure, intended);
        self.ues[ue as usize].refreshes_left = self.refresh.count;
        self.set_up(step, ue);
    }

    fn set_up(&mut self, step: &mut Step<'_>, ue: u32) {
        let state = &mut self.ues[ue as usize];
        state.attempt += 1;
        state.stage = Stage::Challenging;
        state.cseq = 0;
        state.notify_cseq = 0;
        state.has_200 = false;
        state.has_notify = false;
        state.bad_challenges = 0;
        self.ask(step, ue, Asking::First, Credentials::Name);
    }

    fn start_procedure(&mut self, ue: u32, procedure: Procedure, intended: Time) {
        self.measurements.attempted(procedure);
        self.ues[ue as usize].procedure = Some((procedure, intended));
        self.under_way += 1;
    }

    /// The procedure under way has come to its good end.
    pub(crate) fn complete(&mut self, step: &Step<'_>, ue: u32) {
        if let Some((procedure, intended)) = self.ues[ue as usize].procedure.take() {
            self.measurements.completed(procedure, step.now.saturating_sub(intended));
            self.under_way -= 1;
            if self.recorder.wants(u64::from(ue)) {
                let text = format!("{} completed", procedure.name());
                self.recorder.note_event(u64::from(ue), step.now, &text);
            }
            self.recorder.settled(u64::from(ue));
        }
    }

    /// The procedure under way has failed; the UE gives up.
    pub(crate) fn fail(&mut self, step: &Step<'_>, ue: u32, cause: Cause) {
        self.end_request(ue);
        if let Some((procedure, _)) = self.ues[ue as usize].procedure.take() {
            self.measurements.failed(procedure, cause);
            self.under_way -= 1;
            self.recorder.failed(u64::from(ue), step.now, procedure, cause);
        }
        self.leave(step, ue);
    }

    /// The UE is through. It still answers what comes again, for as long as anything can.
    pub(crate) fn leave(&mut self, step: &Step<'_>, ue: u32) {
        let state = &mut self.ues[ue as usize];
        if state.stage == Stage::Gone {
            return;
        }
        if matches!(state.stage, Stage::Secured | Stage::Refreshing | Stage::Releasing) {
            self.secured -= 1;
        }
        state.stage = Stage::Gone;
        let number = state.attempt;
        self.resting -= u64::from(std::mem::take(&mut state.rests));
        self.gone += 1;
        self.timers.arm(step.now, FORGET_NS, UeTimer { ue, kind: UeTimerKind::Forget, number });
        self.recorder.finished(u64::from(ue));
    }

    /// Both the 200 and the first NOTIFY have come: the UE has a secure connection and knows its identities.
    pub(crate) fn secured(&mut self, step: &Step<'_>, ue: u32) {
        let state = &mut self.ues[ue as usize];
        state.stage = Stage::Secured;
        let number = state.attempt;
        self.secured += 1;
        self.secured_max = self.secured_max.max(self.secured);
        self.complete(step, ue);
        if self.refresh.count > 0 {
            self.arm_refresh(step, ue, number);
        }
        if let Some((after_s, jitter)) = self.release {
            let after_ns = self.vary(after_s, jitter);
            let timer = UeTimer { ue, kind: UeTimerKind::Release, number };
            self.timers.arm(step.now, after_ns, timer);
        } else if self.refresh.count == 0 {
            self.rest(ue);
        }
    }

    fn arm_refresh(&mut self, step: &Step<'_>, ue: u32, number: u32) {
        let after_ns = self.vary(self.refresh.after_s, self.refresh.jitter);
        self.timers.arm(step.now, after_ns, UeTimer { ue, kind: UeTimerKind::Refresh, number });
    }

    fn vary(&mut self, after_s: f64, jitter: f64) -> u64 {
        let factor = 1.0 + jitter * (2.0 * self.random.unit() - 1.0);
        (after_s * factor * 1e9) as u64
    }

    fn begin_refresh(&mut self, step: &mut Step<'_>, ue: u32) {
        let state = &mut self.ues[ue as usize];
        if state.stage != Stage::Secured || self.stopped {
            return;
        }
        state.stage = Stage::Refreshing;
        state.refreshes_left -= 1;
        self.start_procedure(ue, Procedure::Refresh, step.now);
        self.ask(step, ue, Asking::Refresh, Credentials::Answer);
    }

    /// The refresh has been granted.
    pub(crate) fn refreshed(&mut self, step: &mut Step<'_>, ue: u32) {
        self.complete(step, ue);
        let state = &mut self.ues[ue as usize];
        state.stage = Stage::Secured;
        let (left, number) = (state.refreshes_left, state.attempt);
        if state.release_is_due {
            self.begin_release(step, ue);
        } else if left > 0 {
            self.arm_refresh(step, ue, number);
        } else if self.release.is_none() {
            self.rest(ue);
        }
    }

    /// The UE stays secured and has nothing more to do.
    fn rest(&mut self, ue: u32) {
        self.ues[ue as usize].rests = true;
        self.resting += 1;
    }

    fn begin_release(&mut self, step: &mut Step<'_>, ue: u32) {
        if self.stopped {
            return;
        }
        let state = &mut self.ues[ue as usize];
        match state.stage {
            Stage::Secured => {}
            Stage::Refreshing => {
                state.release_is_due = true;
                return;
            }
            _ => return,
        }
        state.stage = Stage::Releasing;
        self.start_procedure(ue, Procedure::Release, step.now);
        self.ask(step, ue, Asking::Release, Credentials::Answer);
    }

    /// Sends a SUBSCRIBE and starts its client transaction.
    pub(crate) fn ask(
        &mut self,
        step: &mut Step<'_>,
        ue: u32,
        asking: Asking,
        credentials: Credentials,
    ) {
        self.end_request(ue);
        let state = &mut self.ues[ue as usize];
        state.cseq += 1;
        state.request_number = state.request_number.wrapping_add(1);
        if asking != Asking::Answer {
            state.offer = state.offer.wrapping_add(1);
        }
        if matches!(credentials, Credentials::Answer | Credentials::OutOfRange(_)) {
            state.authentication.nc += 1;
        }
        state.subscribed_at = step.now;
        let written = subscribe(
            &self.population,
            &self.settings,
            &self.strings,
            ue,
            &self.ues[ue as usize],
            asking,
            credentials,
            &mut self.text[..],
        );
        let kept = written.and_then(|len| self.strings.store(&self.text[..len]).ok());
        let Some(kept) = kept else { return self.fail(step, ue, Cause::Transport) };
        let mut client = NonInviteClient::new();
        let actions = client.start(&TIMINGS, false);
        self.measurements.transaction_attempted(Transaction::Subscribe);
        self.ues[ue as usize].request = Some(Request { asking, client, kept, sent_at: step.now });
        self.send_request(step, ue);
        self.arm_request(step, ue, &actions);
    }

    fn send_request(&mut self, step: &mut Step<'_>, ue: u32) {
        let Some(request) = &self.ues[ue as usize].request else { return };
        let protected = request.asking != Asking::First;
        let len = request.kept.len();
        let mut text = std::mem::take(&mut self.text);
        text[..len].copy_from_slice(self.strings.get(&request.kept));
        self.send(step, ue, protected, |out| {
            out.get_mut(..len)?.copy_from_slice(&text[..len]);
            Some(len)
        });
        self.text = text;
    }

    fn arm_request(&mut self, step: &Step<'_>, ue: u32, actions: &Actions) {
        let number = self.ues[ue as usize].request_number;
        if let Some(after_ns) = actions.arm_e {
            self.timers.arm(step.now, after_ns, UeTimer { ue, kind: UeTimerKind::TimerE, number });
        }
        if let Some(after_ns) = actions.arm_f {
            self.timers.arm(step.now, after_ns, UeTimer { ue, kind: UeTimerKind::TimerF, number });
        }
    }

    /// The client transaction is over; a final response that comes again is ignored.
    pub(crate) fn end_request(&mut self, ue: u32) {
        if let Some(request) = self.ues[ue as usize].request.take() {
            self.strings.release(request.kept);
        }
    }

    /// The UE's security associations go.
    pub(crate) fn drop_set(&mut self, ue: u32) {
        if let Some(set) = self.ues[ue as usize].set.take() {
            self.sets.remove(set);
        }
    }

    /// One of a UE's timers fired.
    pub(crate) fn timer(&mut self, step: &mut Step<'_>, timer: UeTimer) {
        let ue = timer.ue;
        let state = &self.ues[ue as usize];
        let is_present = match timer.kind {
            UeTimerKind::TimerE | UeTimerKind::TimerF => {
                timer.number == state.request_number && state.request.is_some()
            }
            UeTimerKind::TimerN => timer.number == state.request_number,
            _ => timer.number == state.attempt,
        };
        if !is_present {
            return;
        }
        match timer.kind {
            UeTimerKind::TimerE => self.timer_e(step, ue),
            UeTimerKind::TimerF => {
                self.measurements.transaction_failed(Transaction::Subscribe);
                self.fail(step, ue, Cause::Timeout);
            }
            UeTimerKind::TimerN => self.timer_n(step, ue),
            UeTimerKind::Refresh => self.begin_refresh(step, ue),
            UeTimerKind::Release => self.begin_release(step, ue),
            UeTimerKind::Forget => self.forget(ue),
        }
    }

    fn timer_e(&mut self, step: &mut Step<'_>, ue: u32) {
        let Some(request) = &mut self.ues[ue as usize].request else { return };
        let actions = request.client.handle(Event::TimerE, &TIMINGS);
        if actions.retransmit {
            self.retransmissions += 1;
            self.send_request(step, ue);
        }
        self.arm_request(step, ue, &actions);
    }

    /// A 200 and no NOTIFY: the subscription is given up, and tried again once (RFC 6665 clause 4.1.2.4).
    fn timer_n(&mut self, step: &mut Step<'_>, ue: u32) {
        let state = &self.ues[ue as usize];
        match state.stage {
            Stage::Answering if !state.has_notify => {}
            Stage::Releasing => return self.fail(step, ue, Cause::NoNotify),
            _ => return,
        }
        if state.attempt >= ATTEMPTS_MAX {
            return self.fail(step, ue, Cause::NoNotify);
        }
        // Its end goes out once and is not waited for: the new set-up ends the old connection anyway.
        self.ask(step, ue, Asking::Release, Credentials::Answer);
        self.end_request(ue);
        self.drop_set(ue);
        self.set_up(step, ue);
    }

    /// Nothing can come any more: the UE's memory goes back.
    fn forget(&mut self, ue: u32) {
        if self.ues[ue as usize].stage != Stage::Gone {
            return;
        }
        self.drop_set(ue);
        let state = &mut self.ues[ue as usize];
        for handle in [&mut state.dialog, &mut state.security_server] {
            self.strings.release(std::mem::replace(handle, Handle::EMPTY));
        }
    }
}
