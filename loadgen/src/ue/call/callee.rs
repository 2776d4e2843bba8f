//! The callee: it rings, answers, and repeats its answer until that is acknowledged.

use imstorm_base::slab::Key;
use imstorm_base::strings::Handle;
use imstorm_sip::header::HeaderName;
use imstorm_sip::transaction::invite_server::{Actions, Event, InviteServer, State};
use imstorm_sip::{DialogParts, Message, Writer};

use super::super::Stage;
use super::{Incoming, LegStage, LegTimer, SESSIONS_PER_USER, Side};
use crate::generator::{Generator, Step, Way};

/// RSeq of the only reliable response that a callee gives.
const RSEQ: u32 = 1;

impl Generator {
    /// An INVITE has come: the first one of a session, one that comes again, or one in a session.
    pub(in crate::ue) fn call_offered(
        &mut self,
        step: &mut Step<'_>,
        ue: u32,
        way: Way,
        message: &Message<'_>,
    ) {
        let Ok(cseq) = message.cseq() else { return };
        let in_dialog = message.tag(HeaderName::To).is_ok_and(|tag| tag.is_some());
        let known = if in_dialog {
            self.leg_of_request(ue, message)
        } else {
            self.leg_that_took(ue, message)
        };
        match known {
            Some(key) => {
                if !in_dialog && self.legs.get(key).is_some_and(|leg| leg.ue != ue) {
                    // It has come by another way already (RFC 3261 clause 8.2.2.2). In a dialog that is being moved it may.
                    return self.respond(step, ue, way, message, 482);
                }
                let leg = self.legs.get(key);
                let incoming = leg.and_then(|leg| leg.incoming.as_ref());
                if incoming.is_some_and(|it| it.cseq == cseq.number) {
                    return self.offered_again(step, key);
                }
                self.offered_in_session(step, ue, way, key, message);
            }
            None if in_dialog => self.respond(step, ue, way, message, 481),
            None => self.offered_first(step, ue, way, message),
        }
    }

    /// The leg that an INVITE outside any dialog has made: it has the caller's Call-ID and tag.
    fn leg_that_took(&self, ue: u32, message: &Message<'_>) -> Option<Key> {
        let (call_id, tag) = (message.call_id().ok()?, message.tag(HeaderName::From).ok()??);
        let found = self.legs_of(ue).find(|(_, leg)| {
            let parts = DialogParts::decode(self.strings.get(&leg.dialog));
            leg.side == Side::Callee && parts.call_id == call_id && parts.remote_tag == tag
        });
        found.map(|(key, _)| key)
    }

    /// The first INVITE. Where it is refused nothing is kept: no provisional answer stops it from coming again.
    fn offered_first(&mut self, step: &mut Step<'_>, ue: u32, way: Way, message: &Message<'_>) {
        let state = &self.ues[ue as usize];
        // Who is about to leave waits for the partner's call that has begun before.
        let leaves = state.is_leaving && !self.is_called(ue);
        if !state.stage.is_secure() || state.stage == Stage::Releasing || leaves {
            return self.respond(step, ue, way, message, 480);
        }
        if self.sessions_of(ue) >= SESSIONS_PER_USER {
            return self.respond(step, ue, way, message, 486);
        }
        let number = self.next_call(ue);
        let key = self.new_leg(ue, Side::Callee, number, message.bytes());
        let Some(key) = key else { return self.respond(step, ue, way, message, 503) };
        let caller = self.calling_leg(message);
        if let Some(leg) = self.legs.get_mut(key) {
            leg.peer = caller;
        }
        if let Some(leg) = caller.and_then(|caller| self.legs.get_mut(caller)) {
            leg.peer = Some(key);
        }
        self.unrest(ue);
        if !self.take_invite(step, key, ue, message) {
            self.drop_leg(key);
            return self.respond(step, ue, way, message, 503);
        }
        let supports = message.has_option(HeaderName::Supported, "100rel");
        let ring_ns = (self.call.ring_s * 1e9) as u64;
        self.arm_leg(step, key, ring_ns, LegTimer::Answer, 0);
        if self.call.reliable_provisional && supports {
            self.answer_reliably(step, key);
        } else {
            self.answer_invite(step, key, 180, |_| {}, false);
        }
    }

    /// The leg of ours that sent this INVITE: its number, and its UE's, are in the Call-ID.
    fn calling_leg(&self, message: &Message<'_>) -> Option<Key> {
        let call_id = message.call_id().ok()?;
        let ue = std::str::from_utf8(call_id).ok()?.split('-').nth(1)?;
        let ue = u32::from_str_radix(ue, 16).ok().filter(|ue| *ue < self.population.accesses())?;
        let found = self.legs_of(ue).find(|(_, leg)| {
            let parts = DialogParts::decode(self.strings.get(&leg.dialog));
            leg.side == Side::Caller && parts.call_id == call_id
        });
        found.map(|(key, _)| key)
    }

    /// Keeps an INVITE that is to be answered, and starts its server transaction. False where there is no room.
    pub(super) fn take_invite(
        &mut self,
        step: &Step<'_>,
        key: Key,
        ue: u32,
        message: &Message<'_>,
    ) -> bool {
        let (Ok(cseq), Ok(request)) = (message.cseq(), self.strings.store(message.bytes())) else {
            return false;
        };
        let mut server = InviteServer::new(false);
        let actions = server.handle(Event::Request, &self.settings.timings);
        let Some(leg) = self.legs.get_mut(key) else { return false };
        let number = leg.next_transaction();
        leg.remote_cseq = cseq.number;
        let incoming = Incoming {
            server,
            ue,
            number,
            cseq: cseq.number,
            request,
            response: Handle::EMPTY,
            sent: 0,
            awaits_prack: false,
            has_rung: false,
            is_acknowledged: false,
            is_described: false,
        };
        if let Some(before) = leg.incoming.replace(incoming) {
            self.strings.release(before.request);
            self.strings.release(before.response);
        }
        self.arm_incoming(step, key, number, &actions);
        true
    }

    fn arm_incoming(&mut self, step: &Step<'_>, key: Key, number: u16, actions: &Actions) {
        for (after_ns, kind) in [
            (actions.arm_g, LegTimer::TimerG),
            (actions.arm_h, LegTimer::TimerH),
            (actions.arm_i, LegTimer::TimerI),
            (actions.arm_l, LegTimer::TimerL),
        ] {
            if let Some(after_ns) = after_ns {
                self.arm_leg(step, key, after_ns, kind, number);
            }
        }
    }

    /// The INVITE comes again: so does the last provisional answer, or the failure.
    fn offered_again(&mut self, step: &mut Step<'_>, key: Key) {
        let incoming = self.legs.get_mut(key).and_then(|leg| leg.incoming.as_mut());
        let Some(incoming) = incoming else { return };
        if incoming.server.handle(Event::Request, &self.settings.timings).respond_again {
            self.send_answer_again(step, key);
        }
    }

    fn send_answer_again(&mut self, step: &mut Step<'_>, key: Key) {
        let Some(leg) = self.legs.get(key) else { return };
        let Some(incoming) = leg.incoming.as_ref() else { return };
        let (ue, text) = (incoming.ue, self.strings.get(&incoming.response).to_vec());
        self.retransmissions += 1;
        self.send_in_call(step, ue, &text);
    }

    /// Answers the INVITE that a leg took, and keeps the answer.
    pub(super) fn answer_invite(
        &mut self,
        step: &mut Step<'_>,
        key: Key,
        status: u16,
        more: impl FnOnce(&mut Writer<'_>),
        has_body: bool,
    ) {
        let Some(leg) = self.legs.get(key) else { return };
        let Some(incoming) = leg.incoming.as_ref() else { return };
        let ue = incoming.ue;
        let request = self.strings.get(&incoming.request).to_vec();
        let tag = DialogParts::decode(self.strings.get(&leg.dialog)).local_tag.to_vec();
        let body = if has_body { self.describe(key, ue, false) } else { None };
        let text = self.with_kept(&request, |generator, message| {
            generator.write_answer(ue, message, status, &tag, more, body.as_deref())
        });
        let Some(Some(text)) = text else { return };
        let incoming = self.legs.get_mut(key).and_then(|leg| leg.incoming.as_mut());
        let Some(incoming) = incoming else { return };
        let actions = incoming.server.handle(Event::response(status), &self.settings.timings);
        let number = incoming.number;
        // What is not kept for want of room is not repeated.
        let _ = self.strings.replace(&mut incoming.response, &text);
        if actions.respond {
            self.send_in_call(step, ue, &text);
        }
        self.arm_incoming(step, key, number, &actions);
    }

    /// 183 with the answer, repeated until its PRACK comes (RFC 3262 clause 3).
    fn answer_reliably(&mut self, step: &mut Step<'_>, key: Key) {
        let more = |writer: &mut Writer<'_>| {
            writer.header(HeaderName::Require).text("100rel").end();
            writer.header(HeaderName::RSeq).decimal(u64::from(RSEQ)).end();
        };
        self.answer_invite(step, key, 183, more, true);
        let incoming = self.legs.get_mut(key).and_then(|leg| leg.incoming.as_mut());
        let Some(incoming) = incoming else { return };
        incoming.awaits_prack = true;
        incoming.is_described = true;
        let number = incoming.number;
        self.arm_leg(step, key, self.settings.timings.timer_a_ns(0), LegTimer::Provisional, number);
    }

    /// The PRACK has not come: the 183 goes again, and after 64 T1 the call is refused (RFC 3262 clause 3).
    pub(super) fn repeat_provisional(&mut self, step: &mut Step<'_>, key: Key) {
        let Some(leg) = self.legs.get_mut(key).filter(|leg| leg.stage == LegStage::Early) else {
            return;
        };
        let Some(incoming) = leg.incoming.as_mut().filter(|it| it.awaits_prack) else { return };
        incoming.sent += 1;
        let (step_number, number) = (incoming.sent, incoming.number);
        if (1_u64 << step_number) > 64 {
            self.answer_invite(step, key, 504, |_| {}, false);
            return self.end_leg(step, key);
        }
        self.send_answer_again(step, key);
        let after_ns = self.settings.timings.timer_a_ns(step_number);
        self.arm_leg(step, key, after_ns, LegTimer::Provisional, number);
    }

    /// The PRACK has come: now it rings.
    pub(super) fn provisional_acknowledged(&mut self, step: &mut Step<'_>, key: Key) {
        let incoming = self.legs.get_mut(key).and_then(|leg| leg.incoming.as_mut());
        let Some(incoming) = incoming.filter(|it| it.awaits_prack) else { return };
        incoming.awaits_prack = false;
        if incoming.has_rung {
            self.answer_call(step, key);
        } else if incoming.server.state() == State::Proceeding {
            self.answer_invite(step, key, 180, |_| {}, false);
        }
    }

    /// The callee has rung long enough. A 2xx does not overtake a description that was not acknowledged (RFC 3262 clause 3).
    pub(super) fn rung(&mut self, step: &mut Step<'_>, key: Key) {
        let Some(leg) = self.legs.get_mut(key).filter(|leg| leg.stage == LegStage::Early) else {
            return;
        };
        let Some(incoming) = leg.incoming.as_mut() else { return };
        incoming.has_rung = true;
        if !incoming.awaits_prack {
            self.answer_call(step, key);
        }
    }

    fn answer_call(&mut self, step: &mut Step<'_>, key: Key) {
        let Some(leg) = self.legs.get_mut(key).filter(|leg| leg.stage == LegStage::Early) else {
            return;
        };
        leg.stage = LegStage::Answered;
        let is_described = leg.incoming.as_ref().is_some_and(|it| it.is_described);
        self.accept_invite(step, key, !is_described);
    }

    /// 200 to an INVITE, repeated until its ACK comes (RFC 3261 clause 13.3.1.4).
    pub(super) fn accept_invite(&mut self, step: &mut Step<'_>, key: Key, has_body: bool) {
        let interval_s = self.agree_on_interval(key);
        // An offer that was answered in an acknowledged 183 is not answered again (RFC 3261 clause 13.2.1).
        self.answer_invite(step, key, 200, refreshed_by_uac(interval_s), has_body);
        let incoming = self.legs.get_mut(key).and_then(|leg| leg.incoming.as_mut());
        let Some(incoming) = incoming else { return };
        incoming.sent = 0;
        let number = incoming.number;
        self.arm_leg(step, key, self.settings.timings.timer_g_ns(0), LegTimer::Success, number);
    }

    /// The ACK has not come: the 2xx goes again, and after 64 T1 the session is ended.
    pub(super) fn repeat_success(&mut self, step: &mut Step<'_>, key: Key) {
        let Some(leg) = self.legs.get_mut(key) else { return };
        let is_over = matches!(leg.stage, LegStage::Ending | LegStage::Ended);
        let Some(incoming) = leg.incoming.as_mut() else { return };
        if incoming.is_acknowledged || is_over {
            return;
        }
        incoming.sent += 1;
        let (step_number, number) = (incoming.sent, incoming.number);
        let timings = self.settings.timings;
        let passed_ns: u64 = (0..step_number).map(|step| timings.timer_g_ns(step)).sum();
        if passed_ns >= timings.timer_h_ns() {
            return self.release_leg(step, key, None);
        }
        self.send_answer_again(step, key);
        self.arm_leg(
            step,
            key,
            self.settings.timings.timer_g_ns(step_number),
            LegTimer::Success,
            number,
        );
    }

    /// ACK: of a 2xx, which makes the session, or of a failure.
    pub(in crate::ue) fn call_acknowledged(
        &mut self,
        step: &mut Step<'_>,
        ue: u32,
        message: &Message<'_>,
    ) {
        let (Some(key), Ok(cseq)) = (self.leg_of_request(ue, message), message.cseq()) else {
            return;
        };
        let Some(leg) = self.legs.get_mut(key) else { return };
        let Some(incoming) = leg.incoming.as_mut().filter(|it| it.cseq == cseq.number) else {
            return;
        };
        incoming.is_acknowledged = true;
        self.strings.release(std::mem::take(&mut incoming.request));
        self.strings.release(std::mem::take(&mut incoming.response));
        let actions = incoming.server.handle(Event::Ack, &self.settings.timings);
        let number = incoming.number;
        let is_first = leg.stage == LegStage::Answered;
        if is_first {
            leg.stage = LegStage::Up;
        }
        self.arm_incoming(step, key, number, &actions);
        if is_first {
            self.plan_hang_up(step, key);
            self.watch_session(step, key, step.now);
        }
    }

    /// A timer of the INVITE that a leg took.
    pub(super) fn incoming_timer(&mut self, step: &mut Step<'_>, key: Key, event: Event) {
        let incoming = self.legs.get_mut(key).and_then(|leg| leg.incoming.as_mut());
        let Some(incoming) = incoming else { return };
        let actions = incoming.server.handle(event, &self.settings.timings);
        let number = incoming.number;
        if actions.respond_again {
            self.send_answer_again(step, key);
        }
        self.arm_incoming(step, key, number, &actions);
    }

    /// CANCEL: answered in any case, and the INVITE with 487 if it has no final answer (RFC 3261 clause 9.2).
    pub(in crate::ue) fn call_cancelled(
        &mut self,
        step: &mut Step<'_>,
        ue: u32,
        way: Way,
        message: &Message<'_>,
    ) {
        let Some(key) = self.leg_that_took(ue, message) else {
            return self.respond(step, ue, way, message, 481);
        };
        self.respond(step, ue, way, message, 200);
        if self.legs.get(key).is_some_and(|leg| leg.stage == LegStage::Early) {
            self.answer_invite(step, key, 487, |_| {}, false);
            self.end_leg(step, key);
        }
    }

    /// OPTIONS: what the UE can do (RFC 3261 clause 11.2).
    pub(in crate::ue) fn show_abilities(
        &mut self,
        step: &mut Step<'_>,
        ue: u32,
        way: Way,
        message: &Message<'_>,
    ) {
        let in_dialog = message.tag(HeaderName::To).is_ok_and(|tag| tag.is_some());
        if in_dialog && self.leg_of_request(ue, message).is_none() {
            return self.respond(step, ue, way, message, 481);
        }
        let status = if self.sessions_of(ue) < SESSIONS_PER_USER { 200 } else { 486 };
        let tag = format!("{}o{ue:08x}", self.settings.run);
        let text = self.write_answer(ue, message, status, tag.as_bytes(), |_| {}, None);
        self.send_in_call(step, ue, &text.unwrap_or_default());
    }
}

/// What a 2xx says of the session interval: the UAC refreshes (RFC 4028 clause 9).
pub(super) fn refreshed_by_uac(interval_s: u32) -> impl FnOnce(&mut Writer<'_>) {
    move |writer| {
        if interval_s > 0 {
            writer.header(HeaderName::Require).text("timer").end();
            writer.header(HeaderName::SessionExpires).decimal(u64::from(interval_s));
            writer.text(";refresher=uac").end();
        }
    }
}
