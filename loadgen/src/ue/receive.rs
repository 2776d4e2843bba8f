//! What comes to a UE: responses to its requests, NOTIFYs, MESSAGEs.

use imstorm_base::time::Time;
use imstorm_sip::header::HeaderName;
use imstorm_sip::{Message, Method, dialog};

use super::lifetime::notified_s;
use super::names::{Call, DialogNames};
use super::remote::Remote;
use super::{Asking, Basis, Stage};
use crate::generator::{Generator, Step, Way};
use crate::measure::{Cause, Measurements, Procedure, Transaction};

/// Room for what is kept of a dialog.
pub(super) const DIALOG_BYTES_MAX: usize = 2048;

/// Measures a NOTIFY from what it follows. One that follows nothing that the generator asked for has no beginning to measure from.
pub(super) fn measure_notify(measurements: &mut Measurements, now: Time, asked_at: Option<Time>) {
    if let Some(asked_at) = asked_at {
        measurements.transaction_attempted(Transaction::Notify);
        measurements.transaction_completed(Transaction::Notify, now.saturating_sub(asked_at));
    }
}

/// Service-Route (RFC 3608), entry by entry in one list; empty where there is none.
fn write_service_route<'a>(message: &Message<'_>, out: &'a mut [u8]) -> Option<&'a [u8]> {
    let mut writer = imstorm_sip::Writer::new(&mut *out);
    for (place, route) in message.list(HeaderName::ServiceRoute).enumerate() {
        if place > 0 {
            writer.put(b",");
        }
        writer.put(route);
    }
    let len = writer.done().ok()?;
    Some(&out[..len])
}

impl Generator {
    /// A message without protection: only answers to the first request are looked at. Whoever has answered a challenge takes
    /// nothing unprotected any more.
    pub(crate) fn unprotected(&mut self, step: &mut Step<'_>, ue: u32, message: &Message<'_>) {
        if self.settings.is_open {
            return self.received(step, ue, Way::Plain, message);
        }
        let state = &self.ues[ue as usize];
        if state.stage != Stage::Challenging {
            let has_answered = !matches!(state.stage, Stage::Idle | Stage::Away);
            self.unprotected_ignored += u64::from(has_answered);
            self.ignored += 1;
            return;
        }
        let waits = self.request_of(ue).is_some_and(|it| it.asking == Asking::First);
        if !waits || message.is_request() || !self.is_answer(ue, message) {
            self.ignored += 1;
            return;
        }
        self.response(step, ue, message);
    }

    /// A message that came through a set of the UE's security associations, or to a UE that has none.
    pub(crate) fn received(
        &mut self,
        step: &mut Step<'_>,
        ue: u32,
        way: Way,
        message: &Message<'_>,
    ) {
        if message.is_request() {
            return self.request(step, ue, way, message);
        }
        if self.call_response(step, ue, message) {
            return;
        }
        // The answer to a refresh's challenge is answered on the new set, all else on the one in force.
        let is_expected = self.request_of(ue).is_some_and(|request| match request.asking {
            _ if way == Way::Plain => true,
            Asking::First => false,
            Asking::Reanswer => self.other_set_of(ue).map(Way::Sealed) == Some(way),
            _ => self.set_of(ue).map(Way::Sealed) == Some(way),
        });
        if !is_expected || !self.is_answer(ue, message) {
            self.ignored += 1;
            return;
        }
        self.response(step, ue, message);
    }

    /// Whether a response answers the request under way (RFC 3261 clause 17.1.3; the branch is a function of Call-ID and CSeq).
    fn is_answer(&self, ue: u32, message: &Message<'_>) -> bool {
        let Some(request) = self.request_of(ue) else { return false };
        let names = DialogNames::new(&self.population, &self.settings, request.named, request.call);
        let is_same =
            |cseq: imstorm_sip::CSeq| cseq.number == request.cseq && cseq.method == request.method;
        message.call_id() == Ok(names.call_id())
            && message.cseq().is_ok_and(is_same)
            && message.tag(HeaderName::From) == Ok(Some(names.tag()))
    }

    fn response(&mut self, step: &mut Step<'_>, ue: u32, message: &Message<'_>) {
        let status = message.status();
        let Some((asking, sent_at)) = self.take_response(step, ue, status) else { return };
        let is_registration = self.ues[ue as usize].basis == Basis::Registration;
        let is_open = self.settings.is_open;
        match (asking, status) {
            (_, 401 | 407) if is_open => self.fail(step, ue, Cause::CredentialsWanted),
            (Asking::First, 200..=299) if is_open => {
                self.accepted(step, ue, asking, sent_at, message);
            }
            (Asking::First, 401) => self.challenged(step, ue, message),
            (Asking::First, _) if self.goes_another_way(step, ue, sent_at, message) => {}
            (Asking::Refresh, 401) => self.rechallenged(step, ue, message),
            (Asking::Answer | Asking::Refresh | Asking::Reanswer, 200..=299) => {
                self.accepted(step, ue, asking, sent_at, message);
            }
            (Asking::Release, 200..=299) if is_registration => self.deregistered(step, ue),
            // The last NOTIFY ends it, even if it came before.
            (Asking::Release, 200..=299 | 481) => self.released_if_notified(step, ue, status),
            (Asking::Register, 200..=299) => self.registered(step, ue, sent_at, message),
            (Asking::RegEvent, 200..=299) => self.reg_accepted(step, ue, message),
            (Asking::Message, 200..=299) => self.message_delivered(step, ue),
            (Asking::RegEvent, 481) => {
                self.lose_reg_dialog(ue);
                self.fail(step, ue, Cause::StatusOther(status));
            }
            (_, 403) => self.fail(step, ue, Cause::Forbidden403),
            (_, 421 | 494) => self.fail(step, ue, Cause::Security494),
            (_, 401) => self.fail(step, ue, Cause::BadChallenge),
            (_, status) => self.fail(step, ue, Cause::StatusOther(status)),
        }
    }

    /// 200 to a request about the connection itself: the target and the route of the next request are those of the last 200.
    fn accepted(
        &mut self,
        step: &mut Step<'_>,
        ue: u32,
        asking: Asking,
        sent_at: Time,
        message: &Message<'_>,
    ) {
        let granted = match self.ues[ue as usize].basis {
            Basis::Subscription => self.keep_dialog(ue, message).ok_or(Cause::Parse),
            Basis::Registration => self.keep_registration(step, ue, sent_at, message),
        };
        let granted_s = match granted {
            Ok(granted_s) => granted_s,
            Err(cause) => return self.fail(step, ue, cause),
        };
        if asking == Asking::Reanswer {
            self.switch_sets(ue);
        }
        let state = &mut self.ues[ue as usize];
        state.lifetime.grant(self.clock, sent_at, granted_s);
        state.has_200 = true;
        // No NOTIFY follows the 200 to a REGISTER.
        state.has_notify |= state.basis == Basis::Registration;
        if asking == Asking::Answer {
            self.follow_sa_policy(ue);
        }
        match asking {
            Asking::First | Asking::Answer if self.ues[ue as usize].has_notify => {
                self.secured(step, ue);
            }
            Asking::Refresh => self.refreshed(step, ue),
            Asking::Reanswer if self.is_refreshed(ue) => self.refreshed(step, ue),
            _ => self.arm_timer_n(step, ue),
        }
    }

    /// The dialog that a 200 makes or goes on with, and for how many seconds.
    fn keep_dialog(&mut self, ue: u32, message: &Message<'_>) -> Option<u32> {
        let mut routes = [0; DIALOG_BYTES_MAX];
        let service_route = write_service_route(message, &mut routes)?;
        let mut text = [0; DIALOG_BYTES_MAX];
        let len = self.write_dialog(ue, service_route, message, &mut text)?;
        let state = &mut self.ues[ue as usize];
        self.strings.replace_packed(&mut state.remote, &text[..len]).ok()?;
        Some(message.expires().ok().flatten().unwrap_or(self.settings.expires_s))
    }

    /// Keeps the Service-Route of a 200 that makes no dialog; false where it can't be.
    pub(super) fn keep_service_route(&mut self, ue: u32, message: &Message<'_>) -> bool {
        let (mut routes, mut text) = ([0; DIALOG_BYTES_MAX], [0; DIALOG_BYTES_MAX]);
        let service_route = write_service_route(message, &mut routes);
        let remote =
            service_route.map(|route| Remote { service_route: route, ..Remote::default() });
        let Some(len) = remote.and_then(|remote| remote.encode(&mut text)) else { return false };
        let state = &mut self.ues[ue as usize];
        self.strings.replace_packed(&mut state.remote, &text[..len]).is_ok()
    }

    /// The network's part of the dialog of an access that a 2xx makes, with this Service-Route: its length.
    pub(super) fn write_dialog(
        &self,
        ue: u32,
        service_route: &[u8],
        message: &Message<'_>,
        out: &mut [u8],
    ) -> Option<usize> {
        let mut routes = [0; 1024];
        let mut len = dialog::route_set(message, true, &mut routes).ok()?;
        if len == 0 {
            // A request in the dialog that is moved is not record-routed again: it goes by the new connection's P-CSCF.
            len = self.write_first_hop(ue, &mut routes)?;
        }
        let remote = Remote {
            tag: message.tag(HeaderName::To).ok()??,
            target: message.contact().ok()??.uri_text,
            routes: &routes[..len],
            service_route,
        };
        remote.encode(out)
    }

    /// A request to the UE.
    fn request(&mut self, step: &mut Step<'_>, ue: u32, way: Way, message: &Message<'_>) {
        if message.check().is_err() {
            self.ignored += 1;
            return;
        }
        match message.method() {
            Method::Ack => self.call_acknowledged(step, ue, message),
            Method::Invite => self.call_offered(step, ue, way, message),
            Method::Cancel => self.call_cancelled(step, ue, way, message),
            Method::Prack | Method::Update | Method::Bye => {
                self.call_request(step, ue, way, message);
            }
            Method::Options => self.show_abilities(step, ue, way, message),
            Method::Notify => self.notify(step, ue, way, message),
            // It is shown to nobody; that it came is all that its sender is told.
            Method::Message => {
                self.messages_received += 1;
                let status = if self.is_wanted_access(ue, message) { 200 } else { 480 };
                self.respond(step, ue, way, message, status);
            }
            _ => self.respond(step, ue, way, message, 405),
        }
    }

    fn notify(&mut self, step: &mut Step<'_>, ue: u32, way: Way, message: &Message<'_>) {
        let (Some(call), Ok(cseq), Ok(Some(subscription))) =
            (self.call_of(ue, message), message.cseq(), message.subscription_state())
        else {
            self.notify_unmatched += 1;
            return self.respond(step, ue, way, message, 481);
        };
        self.respond(step, ue, way, message, 200);
        match call {
            Call::RegEvent(_) => return self.reg_notified(step, ue, cseq.number, &subscription),
            // The end of the connection before this one, again.
            Call::Security(attempt) if attempt != self.ues[ue as usize].attempt => return,
            _ => {}
        }
        let state = &mut self.ues[ue as usize];
        if cseq.number <= state.notify_cseq {
            // One that comes again, or late: the newer one counts.
            return;
        }
        state.notify_cseq = cseq.number;
        let asked_at = self.take_asked_at(ue);
        measure_notify(&mut self.measurements, step.now, asked_at);
        if subscription.is_terminated() {
            return self.terminated(step, ue, subscription.reason.unwrap_or_default());
        }
        let (clock, lifetime) = (self.clock, &mut self.ues[ue as usize].lifetime);
        let is_lower = notified_s(message, &subscription)
            .is_some_and(|expires_s| lifetime.notify(clock, step.now, expires_s));
        if !self.keep_identities(ue, message.body()) {
            return self.bad_body(step, ue);
        }
        self.notified(step, ue, way, is_lower);
    }

    /// Which of the UE's subscriptions a NOTIFY is of: that of its connection, of its registration, or of the connection before,
    /// whose end comes again.
    fn call_of(&self, ue: u32, message: &Message<'_>) -> Option<Call> {
        let state = &self.ues[ue as usize];
        let reg = self.watch_of(ue).map(|it| (it.owner, Call::RegEvent(it.call)));
        let former = state.attempt.checked_sub(1).map(|it| (ue, Call::Security(it)));
        let own =
            (state.basis == Basis::Subscription).then_some((ue, Call::Security(state.attempt)));
        let calls = [own, reg, former];
        let (call_id, tag) = (message.call_id().ok()?, message.tag(HeaderName::To).ok()??);
        let found = calls.into_iter().flatten().find(|(owner, call)| {
            let names = DialogNames::new(&self.population, &self.settings, *owner, *call);
            names.call_id() == call_id && names.tag() == tag
        });
        found.map(|(_, call)| call)
    }

    fn notified(&mut self, step: &mut Step<'_>, ue: u32, way: Way, is_lower: bool) {
        let is_of_other = self.other_set_of(ue).map(Way::Sealed) == Some(way);
        let state = &mut self.ues[ue as usize];
        match state.stage {
            Stage::Answering => {
                state.has_notify = true;
                if state.has_200 {
                    self.secured(step, ue);
                }
            }
            Stage::Reanswering => {
                // One that comes through the set before is older than the 200 that makes the new one the set in force.
                state.has_notify |= state.has_200 || is_of_other;
                if self.is_refreshed(ue) {
                    self.refreshed(step, ue);
                }
            }
            _ => self.notified_secured(step, ue, is_lower),
        }
    }

    /// A NOTIFY without a body that can be read: whoever waits for what it says has failed.
    fn bad_body(&mut self, step: &mut Step<'_>, ue: u32) {
        self.ignored += 1;
        let state = &self.ues[ue as usize];
        let waits = matches!(state.stage, Stage::Answering | Stage::Reanswering)
            || state.procedure == Some(Procedure::IdentityChange);
        if waits {
            self.fail(step, ue, Cause::Parse);
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

    /// Answers on what the request came through.
    pub(super) fn respond(
        &mut self,
        step: &mut Step<'_>,
        ue: u32,
        way: Way,
        message: &Message<'_>,
        status: u16,
    ) {
        let call = Call::Security(self.ues[ue as usize].attempt);
        let names = DialogNames::new(&self.population, &self.settings, ue, call);
        self.send(step, ue, way, |out| {
            let mut writer = imstorm_sip::response(message, status, Some(names.tag()), out);
            writer.copy(message, HeaderName::RecordRoute);
            writer.finish().ok()
        });
    }
}
