//! What comes to a UE: responses to its SUBSCRIBEs, and NOTIFYs.

use imstorm_sip::header::HeaderName;
use imstorm_sip::transaction::non_invite_client::Event;
use imstorm_sip::{DialogParts, Message, Method, dialog};

use super::procedures::{TIMER_N_NS, TIMINGS};
use super::write::{DialogNames, Names};
use super::{Asking, Stage, UeTimer, UeTimerKind};
use crate::generator::{Generator, Step};
use crate::measure::{Cause, Transaction};

/// Room for a dialog's strings.
const DIALOG_BYTES_MAX: usize = 2048;

impl Generator {
    /// A message without protection: only answers to the first SUBSCRIBE are looked at. Whoever has answered a challenge takes
    /// nothing unprotected any more.
    pub(crate) fn unprotected(&mut self, step: &mut Step<'_>, ue: u32, message: &Message<'_>) {
        let state = &self.ues[ue as usize];
        let waits = state.stage == Stage::Challenging
            && state.request.as_ref().is_some_and(|request| request.asking == Asking::First);
        if !waits || message.is_request() || !self.is_answer(ue, message) {
            self.ignored += 1;
            return;
        }
        self.response(step, ue, message);
    }

    /// A message that came through the UE's security associations.
    pub(crate) fn protected(&mut self, step: &mut Step<'_>, ue: u32, message: &Message<'_>) {
        if message.is_request() {
            return self.request(step, ue, message);
        }
        let protected = self.ues[ue as usize]
            .request
            .as_ref()
            .is_some_and(|request| request.asking != Asking::First);
        if !protected || !self.is_answer(ue, message) {
            self.ignored += 1;
            return;
        }
        self.response(step, ue, message);
    }

    /// Whether a response answers the request under way (RFC 3261 clause 17.1.3; the branch is a function of Call-ID and CSeq).
    fn is_answer(&self, ue: u32, message: &Message<'_>) -> bool {
        let state = &self.ues[ue as usize];
        let names = DialogNames::new(&self.population, &self.settings, ue, state);
        message.call_id() == Ok(names.call_id())
            && message
                .cseq()
                .is_ok_and(|cseq| cseq.number == state.cseq && cseq.method == Method::Subscribe)
            && message.tag(HeaderName::From) == Ok(Some(names.tag()))
    }

    fn response(&mut self, step: &mut Step<'_>, ue: u32, message: &Message<'_>) {
        let status = message.status();
        let Some(request) = &mut self.ues[ue as usize].request else { return };
        let (asking, sent_at) = (request.asking, request.sent_at);
        // A provisional response slows the retransmissions down; Timer F goes on.
        request.client.handle(Event::Response { is_final: status >= 200 }, &TIMINGS);
        if status < 200 {
            return;
        }
        self.measurements.transaction_completed(Transaction::Subscribe, step.now - sent_at);
        self.end_request(ue);
        match (asking, status) {
            (Asking::First, 401) => self.challenged(step, ue, message),
            (Asking::Answer, 200..=299) => self.accepted(step, ue, message),
            (Asking::Refresh, 200..=299) => {
                // The target and the route of the next request are those of the last 200.
                if self.keep_dialog(ue, message).is_none() {
                    return self.fail(step, ue, Cause::Parse);
                }
                self.refreshed(step, ue);
            }
            // The last NOTIFY ends it, even if it came before.
            (Asking::Release, 200..=299 | 481) => self.released_if_notified(step, ue, status),
            (_, 403) => self.fail(step, ue, Cause::Forbidden403),
            (_, 421 | 494) => self.fail(step, ue, Cause::Security494),
            (_, 401) => self.fail(step, ue, Cause::BadChallenge),
            (_, status) => self.fail(step, ue, Cause::StatusOther(status)),
        }
    }

    /// 200 to the answer: the dialog is made.
    fn accepted(&mut self, step: &mut Step<'_>, ue: u32, message: &Message<'_>) {
        if self.keep_dialog(ue, message).is_none() {
            return self.fail(step, ue, Cause::Parse);
        }
        let state = &mut self.ues[ue as usize];
        state.has_200 = true;
        if state.has_notify {
            self.secured(step, ue);
        } else {
            self.arm_timer_n(step, ue);
        }
    }

    /// A 2xx has come; its NOTIFY has to follow (RFC 6665 clause 4.1.2.4).
    fn arm_timer_n(&mut self, step: &Step<'_>, ue: u32) {
        let number = self.ues[ue as usize].request_number;
        self.timers.arm(step.now, TIMER_N_NS, UeTimer { ue, kind: UeTimerKind::TimerN, number });
    }

    fn keep_dialog(&mut self, ue: u32, message: &Message<'_>) -> Option<()> {
        let names = Names::new(&self.population, &self.settings, ue, &self.ues[ue as usize]);
        let mut routes = [0; 1024];
        let len = dialog::route_set(message, true, &mut routes).ok()?;
        let parts = DialogParts {
            call_id: names.call_id(),
            local_tag: names.tag(),
            remote_tag: message.tag(HeaderName::To).ok()??,
            local_uri: names.impu(),
            remote_uri: names.impu(),
            remote_target: message.contact().ok()??.uri_text,
            routes: &routes[..len],
        };
        let mut blob = [0; DIALOG_BYTES_MAX];
        let len = parts.encode(&mut blob).ok()?;
        self.strings.replace(&mut self.ues[ue as usize].dialog, &blob[..len]).ok()
    }

    /// A request to the UE. Only NOTIFYs of its security dialog come so far.
    fn request(&mut self, step: &mut Step<'_>, ue: u32, message: &Message<'_>) {
        if message.check().is_err() {
            self.ignored += 1;
            return;
        }
        if message.method() == Method::Ack {
            return;
        }
        if message.method() != Method::Notify {
            return self.respond(step, ue, message, 405);
        }
        let names = DialogNames::new(&self.population, &self.settings, ue, &self.ues[ue as usize]);
        let is_ours = message.call_id() == Ok(names.call_id())
            && message.tag(HeaderName::To) == Ok(Some(names.tag()));
        let (true, Ok(cseq), Ok(Some(subscription))) =
            (is_ours, message.cseq(), message.subscription_state())
        else {
            return self.respond(step, ue, message, 481);
        };
        self.respond(step, ue, message, 200);
        let state = &mut self.ues[ue as usize];
        if cseq.number <= state.notify_cseq {
            // One that comes again, or late: the newer one counts.
            return;
        }
        state.notify_cseq = cseq.number;
        let waited_ns = step.now - state.subscribed_at;
        self.measurements.transaction_attempted(Transaction::Notify);
        self.measurements.transaction_completed(Transaction::Notify, waited_ns);
        if subscription.state.eq_ignore_ascii_case(b"terminated") {
            self.terminated(step, ue);
        } else {
            self.notified(step, ue);
        }
    }

    fn notified(&mut self, step: &mut Step<'_>, ue: u32) {
        let state = &mut self.ues[ue as usize];
        state.has_notify = true;
        if state.stage == Stage::Answering && state.has_200 {
            self.secured(step, ue);
        }
    }

    /// The subscription is over: as the UE asked, or by the network.
    fn terminated(&mut self, step: &mut Step<'_>, ue: u32) {
        match self.ues[ue as usize].stage {
            Stage::Releasing => {
                // It answers the SUBSCRIBE with Expires 0 as well, should the 200 be late.
                self.end_request(ue);
                self.complete(step, ue);
                self.leave(step, ue);
            }
            Stage::Gone => {}
            _ if self.ues[ue as usize].procedure.is_some() => {
                self.fail(step, ue, Cause::TerminatedByNetwork);
            }
            _ => self.leave(step, ue),
        }
    }

    fn released_if_notified(&mut self, step: &mut Step<'_>, ue: u32, status: u16) {
        if self.ues[ue as usize].stage != Stage::Releasing {
            return;
        }
        if status == 481 {
            // The dialog is gone already, which is what was asked for.
            self.complete(step, ue);
            return self.leave(step, ue);
        }
        self.arm_timer_n(step, ue);
    }

    fn respond(&mut self, step: &mut Step<'_>, ue: u32, message: &Message<'_>, status: u16) {
        self.send(step, ue, true, |out| {
            let mut writer = imstorm_sip::response(message, status, None, out);
            writer.copy(message, HeaderName::RecordRoute);
            writer.finish().ok()
        });
    }
}
