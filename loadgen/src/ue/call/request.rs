//! The other requests of a session: PRACK, UPDATE, CANCEL and BYE, sent and taken.

use imstorm_base::slab::Key;
use imstorm_base::time::Time;
use imstorm_sip::header::HeaderName;
use imstorm_sip::transaction::non_invite_client::{Event, NonInviteClient};
use imstorm_sip::{Message, Method, Writer};

use super::super::write::Writing;
use super::{LegRequest, LegStage, LegTimer};
use crate::generator::{Generator, Step, Way};
use crate::measure::{Cause, Transaction};

impl Generator {
    /// Sends a request in a leg's dialog, over the access that it runs over. False where it can't be written or kept.
    pub(super) fn start_leg_request(
        &mut self,
        step: &mut Step<'_>,
        key: Key,
        method: Method,
        more: impl FnOnce(&Writing<'_>, &mut Writer<'_>),
    ) -> bool {
        let Some(leg) = self.legs.get_mut(key) else { return false };
        let (ue, cseq) = (leg.ue, leg.next_cseq());
        let text = self.write_in_dialog(key, ue, method, cseq, more, None);
        text.is_some_and(|text| self.send_leg_request(step, key, ue, method, cseq, &text))
    }

    /// Sends a request that is written, and starts its client transaction: the leg's only one of the kind.
    pub(super) fn send_leg_request(
        &mut self,
        step: &mut Step<'_>,
        key: Key,
        ue: u32,
        method: Method,
        cseq: u32,
        text: &[u8],
    ) -> bool {
        let Ok(kept) = self.strings.store(text) else { return false };
        let mut client = NonInviteClient::new();
        let actions = client.start(&self.settings.timings, false);
        let Some(leg) = self.legs.get_mut(key) else { return false };
        let number = leg.next_transaction();
        let sent_at = step.now;
        let request = LegRequest { method, client, ue, number, cseq, kept, sent_at };
        if let Some(before) = leg.request.replace(request) {
            self.measurements.transaction_failed(transaction_of(before.method));
            self.strings.release(before.kept);
        }
        self.measurements.transaction_attempted(transaction_of(method));
        self.send_in_call(step, ue, text);
        for (after_ns, kind) in
            [(actions.arm_e, LegTimer::TimerE), (actions.arm_f, LegTimer::TimerF)]
        {
            if let Some(after_ns) = after_ns {
                self.arm_leg(step, key, after_ns, kind, number);
            }
        }
        true
    }

    /// A response that came to an access: whether it answers something of a session.
    pub(in crate::ue) fn call_response(
        &mut self,
        step: &mut Step<'_>,
        ue: u32,
        message: &Message<'_>,
    ) -> bool {
        let (Ok(call_id), Ok(Some(tag)), Ok(cseq)) =
            (message.call_id(), message.tag(HeaderName::From), message.cseq())
        else {
            return false;
        };
        let Some(key) = self.find_leg(ue, call_id, tag) else { return false };
        let Some(leg) = self.legs.get_mut(key) else { return false };
        if cseq.method == Method::Invite {
            if leg.invite.as_ref().is_some_and(|it| it.cseq == cseq.number) {
                self.invite_response(step, key, message);
            }
            return true;
        }
        let answered =
            leg.request.as_mut().filter(|it| it.method == cseq.method && it.cseq == cseq.number);
        let Some(request) = answered else { return true };
        let status = message.status();
        request.client.handle(Event::Response { is_final: status >= 200 }, &self.settings.timings);
        if status < 200 {
            return true;
        }
        let (method, sent_at) = (request.method, request.sent_at);
        self.measurements.transaction_completed(transaction_of(method), step.now - sent_at);
        self.end_leg_request(key);
        self.leg_answered(step, key, (method, sent_at), message);
        true
    }

    fn end_leg_request(&mut self, key: Key) {
        let request = self.legs.get_mut(key).and_then(|leg| leg.request.take());
        self.strings.release(request.map(|it| it.kept).unwrap_or_default());
    }

    /// The request under way will not be answered any more.
    pub(super) fn break_leg_request(&mut self, key: Key) {
        let method = self.legs.get(key).and_then(|leg| leg.request.as_ref()).map(|it| it.method);
        if let Some(method) = method {
            self.measurements.transaction_failed(transaction_of(method));
            self.end_leg_request(key);
        }
    }

    /// The final response to a request in a session.
    fn leg_answered(
        &mut self,
        step: &mut Step<'_>,
        key: Key,
        (method, sent_at): (Method, Time),
        message: &Message<'_>,
    ) {
        let status = message.status();
        match method {
            Method::Bye => self.released_leg(step, key, status),
            Method::Update if status < 300 => {
                self.refreshed_session(step, key, message, sent_at);
            }
            Method::Update => self.refresh_refused(step, key, status),
            Method::Cancel => self.cancelled(step, key),
            // A PRACK that was refused changes nothing about the INVITE, which has an answer coming.
            _ => self.provisional_settled(step, key),
        }
    }

    /// The other request was not answered at all.
    pub(super) fn leg_request_failed(&mut self, step: &mut Step<'_>, key: Key) {
        let method = self.legs.get(key).and_then(|leg| leg.request.as_ref()).map(|it| it.method);
        self.break_leg_request(key);
        match method {
            Some(Method::Bye) => self.released_leg(step, key, 408),
            Some(Method::Update) => self.refresh_refused(step, key, 408),
            Some(Method::Cancel) => self.cancelled(step, key),
            _ => self.provisional_settled(step, key),
        }
    }

    /// The CANCEL is answered: the INVITE is to be, within 64 T1 (RFC 3261 clause 9.1).
    fn cancelled(&mut self, step: &Step<'_>, key: Key) {
        let invite = self.legs.get(key).and_then(|leg| leg.invite.as_ref());
        if let Some(number) = invite.map(|it| it.number).filter(|_| self.is_inviting(key)) {
            self.arm_leg(step, key, self.settings.timings.timer_b_ns(), LegTimer::NoAnswer, number);
        }
    }

    /// The PRACK is answered: what waited for that goes on.
    fn provisional_settled(&mut self, step: &mut Step<'_>, key: Key) {
        let leg = self.legs.get(key);
        if leg.is_some_and(|leg| leg.hung_up && leg.stage == LegStage::Early) {
            self.cancel_invite(step, key);
        }
    }

    /// PRACK, UPDATE or BYE has come.
    pub(in crate::ue) fn call_request(
        &mut self,
        step: &mut Step<'_>,
        ue: u32,
        way: Way,
        message: &Message<'_>,
    ) {
        let (Some(key), Ok(cseq)) = (self.leg_of_request(ue, message), message.cseq()) else {
            return self.respond(step, ue, way, message, 481);
        };
        let Some(leg) = self.legs.get_mut(key) else { return };
        // It may come again when others have come since, or the session is over (RFC 3261 clause 17.2.2).
        let is_again = leg.granted.contains(&cseq.number);
        if cseq.number < leg.remote_cseq && !is_again {
            // RFC 3261 clause 12.2.2.
            return self.respond(step, ue, way, message, 500);
        }
        let is_new = cseq.number > leg.remote_cseq;
        leg.remote_cseq = leg.remote_cseq.max(cseq.number);
        let is_over = leg.stage == LegStage::Ended;
        if is_new && !is_over {
            leg.granted.rotate_right(1);
            leg.granted[0] = cseq.number;
        }
        match message.method() {
            Method::Bye => {
                self.respond(step, ue, way, message, 200);
                if is_new {
                    self.ended_by_peer(step, key);
                }
            }
            // It is no use to a session that is over.
            _ if is_over && !is_again => self.respond(step, ue, way, message, 481),
            Method::Update => self.take_update(step, ue, key, message, is_new),
            _ => {
                self.respond(step, ue, way, message, 200);
                self.provisional_acknowledged(step, key);
            }
        }
    }

    /// A request of a leg could not be sent at all.
    pub(super) fn fail_leg(&mut self, step: &mut Step<'_>, key: Key) {
        self.fail_leg_procedure(step, key, Cause::Transport);
        self.end_leg(step, key);
    }
}

/// The row that a request is counted in.
fn transaction_of(method: Method) -> Transaction {
    match method {
        Method::Bye => Transaction::Bye,
        Method::Update => Transaction::Update,
        Method::Cancel => Transaction::Cancel,
        _ => Transaction::Prack,
    }
}
