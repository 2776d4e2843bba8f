//! The caller: INVITE, what comes back, ACK, CANCEL.

use imstorm_base::slab::Key;
use imstorm_base::time::Time;
use imstorm_sip::header::HeaderName;
use imstorm_sip::transaction::hop;
use imstorm_sip::transaction::invite_client::{Actions, Event, InviteClient, State};
use imstorm_sip::{DialogParts, Message, Method};

use super::super::receive::DIALOG_BYTES_MAX;
use super::{Leg, LegStage, LegTimer, NO_ANSWER_NS, Outgoing, SESSIONS_PER_USER, Side};
use crate::generator::{Generator, Step};
use crate::measure::{Cause, Procedure, Transaction};

impl Generator {
    /// The UE calls its partner. Where that can't be called now, the call's turn comes later, unless it never can.
    pub(in crate::ue) fn begin_call(&mut self, step: &mut Step<'_>, ue: u32, intended: Time) {
        let callee = self.partner(ue);
        if !self.can_be_called(ue, callee) {
            return if self.may_register(callee) || self.can_be_reached(callee) {
                self.postpone(step, ue, Procedure::CallSetup);
            } else {
                self.arm_procedure(step, ue, Procedure::CallSetup);
            };
        }
        let gives_up = self.random.unit() < self.call.abandoned_share;
        let Some(key) = self.place_call(step, ue, callee, intended) else {
            return self.arm_procedure(step, ue, Procedure::CallSetup);
        };
        if gives_up {
            // Somewhere before the answer, with time for the callee to ring.
            let after_ns = self.call.ring_s * (0.25 + 0.5 * self.random.unit()) * 1e9;
            self.arm_leg(step, key, after_ns as u64, LegTimer::GiveUp, 0);
        }
    }

    /// Whether a UE can be called now, and another one has room for that.
    pub(in crate::ue) fn can_be_called(&self, ue: u32, callee: u32) -> bool {
        let has_room = |it: u32| self.sessions_of(it) < SESSIONS_PER_USER;
        self.can_be_reached(callee) && has_room(callee) && has_room(ue)
    }

    /// Calls a UE. `None` where there was no room for that, and the call has failed.
    pub(in crate::ue) fn place_call(
        &mut self,
        step: &mut Step<'_>,
        ue: u32,
        callee: u32,
        intended: Time,
    ) -> Option<Key> {
        let start = step.start(intended);
        let number = self.next_call(ue);
        let text = self.write_invite(ue, callee, number);
        let key = text.as_ref().and_then(|text| self.new_leg(ue, Side::Caller, number, text));
        let (Some(text), Some(key)) = (text, key) else {
            self.measurements.attempted(Procedure::CallSetup, start);
            self.measurements.failed(Procedure::CallSetup, start, Cause::Transport);
            return None;
        };
        if let Some(leg) = self.legs.get_mut(key) {
            leg.cseq = 1;
        }
        self.start_leg_procedure(key, Procedure::CallSetup, start);
        self.start_invite(step, key, ue, 1, &text);
        Some(key)
    }

    /// A leg as the first INVITE makes it.
    pub(super) fn new_leg(
        &mut self,
        ue: u32,
        side: Side,
        number: u32,
        invite: &[u8],
    ) -> Option<Key> {
        let mut blob = [0; DIALOG_BYTES_MAX];
        let len = self.with_kept(invite, |generator, message| {
            generator.write_first_dialog((ue, number), side, message, &mut blob)
        })??;
        let dialog = self.strings.store(&blob[..len]).ok()?;
        let leg = Leg {
            ue,
            next: None,
            peer: None,
            side,
            stage: LegStage::Early,
            number,
            dialog,
            cseq: 0,
            remote_cseq: 0,
            granted: [0; super::GRANTED],
            rseq: 0,
            invite: None,
            incoming: None,
            request: None,
            procedure: None,
            hang_up_at: None,
            interval_s: 0,
            transactions: 0,
            refresh: 0,
            refreshes: false,
            hung_up: false,
            ends_with_connection: false,
            is_counted: false,
            replaces: None,
            moves_to: None,
            is_replaced: false,
            is_moving: false,
            is_anew: false,
        };
        self.add_leg(leg)
    }

    /// Sends an INVITE over an access, and starts its client transaction.
    pub(super) fn start_invite(
        &mut self,
        step: &mut Step<'_>,
        key: Key,
        ue: u32,
        cseq: u32,
        text: &[u8],
    ) {
        let Ok(kept) = self.strings.store(text) else {
            return self.call_failed(step, key, Cause::Transport);
        };
        let mut client = InviteClient::new();
        let actions = client.start(&self.settings.timings, false);
        self.measurements.transaction_attempted(Transaction::Invite);
        let Some(leg) = self.legs.get_mut(key) else { return };
        let number = leg.next_transaction();
        let outgoing = Outgoing { client, ue, number, cseq, kept, sent_at: step.now };
        if let Some(before) = leg.invite.replace(outgoing) {
            self.strings.release(before.kept);
        }
        self.send_in_call(step, ue, text);
        self.arm_invite(step, key, number, &actions);
        self.arm_leg(step, key, NO_ANSWER_NS, LegTimer::NoAnswer, number);
    }

    fn arm_invite(&mut self, step: &Step<'_>, key: Key, number: u16, actions: &Actions) {
        for (after_ns, kind) in [
            (actions.arm_a, LegTimer::TimerA),
            (actions.arm_b, LegTimer::TimerB),
            (actions.arm_d, LegTimer::TimerD),
            (actions.arm_m, LegTimer::TimerM),
        ] {
            if let Some(after_ns) = after_ns {
                self.arm_leg(step, key, after_ns, kind, number);
            }
        }
    }

    /// A timer of the INVITE that a leg sent.
    pub(super) fn invite_timer(&mut self, step: &mut Step<'_>, key: Key, event: Event) {
        let invite = self.legs.get_mut(key).and_then(|leg| leg.invite.as_mut());
        let Some(invite) = invite else { return };
        let actions = invite.client.handle(event, &self.settings.timings);
        let (ue, number) = (invite.ue, invite.number);
        if actions.retransmit {
            let text = self.strings.get(&invite.kept).to_vec();
            self.retransmissions += 1;
            self.send_in_call(step, ue, &text);
        }
        self.arm_invite(step, key, number, &actions);
        if actions.timed_out {
            self.measurements.transaction_failed(Transaction::Invite);
            self.end_invite(key);
            self.invite_refused(step, key, 408);
        } else if actions.terminated {
            self.end_invite(key);
        }
    }

    /// The INVITE that a leg sent is over.
    pub(super) fn end_invite(&mut self, key: Key) {
        let invite = self.legs.get_mut(key).and_then(|leg| leg.invite.take());
        self.strings.release(invite.map(|it| it.kept).unwrap_or_default());
    }

    /// Whether an INVITE of the leg has no final answer.
    pub(super) fn is_inviting(&self, key: Key) -> bool {
        let invite = self.legs.get(key).and_then(|leg| leg.invite.as_ref());
        invite.is_some_and(|it| matches!(it.client.state(), State::Calling | State::Proceeding))
    }

    /// A response to the INVITE that a leg sent.
    pub(super) fn invite_response(&mut self, step: &mut Step<'_>, key: Key, message: &Message<'_>) {
        let status = message.status();
        let was_open = self.is_inviting(key);
        let invite = self.legs.get_mut(key).and_then(|leg| leg.invite.as_mut());
        let Some(invite) = invite else { return };
        let actions = invite.client.handle(Event::response(status), &self.settings.timings);
        let (ue, number, sent_at) = (invite.ue, invite.number, invite.sent_at);
        if was_open && status >= 200 {
            self.measurements.transaction_completed(Transaction::Invite, step.now - sent_at);
        }
        if actions.ack {
            let kept = self.legs.get(key).and_then(|leg| leg.invite.as_ref());
            let text = kept.map(|it| self.strings.get(&it.kept).to_vec()).unwrap_or_default();
            let mut out = [0; 2048];
            let len = self
                .with_kept(&text, |_, invite| hop::ack_to_failure(invite, message, &mut out).ok());
            if let Some(Some(len)) = len {
                self.send_in_call(step, ue, &out[..len]);
            }
        }
        self.arm_invite(step, key, number, &actions);
        if !actions.pass_up {
            return;
        }
        match status {
            0..=199 => self.progress(step, key, message),
            200..=299 if was_open => self.invite_accepted(step, key, message, sent_at),
            200..=299 => self.accepted_again(step, key, message),
            _ => self.invite_refused(step, key, status),
        }
    }

    /// 1xx: a reliable one makes an early dialog, and is acknowledged in it (RFC 3262 clause 4).
    fn progress(&mut self, step: &mut Step<'_>, key: Key, message: &Message<'_>) {
        let tag = message.tag(HeaderName::To).ok().flatten();
        let rseq = message.rseq().ok().flatten().filter(|_| {
            message.status() > 100 && message.has_option(HeaderName::Require, "100rel")
        });
        let Some(leg) = self.legs.get(key) else { return };
        let gives_up = leg.hung_up && leg.stage == LegStage::Early;
        if let (Some(tag), Some(rseq)) = (tag, rseq) {
            let parts = DialogParts::decode(self.strings.get(&leg.dialog));
            let is_same = parts.remote_tag == tag;
            // One that comes again has had its PRACK, which is sent again until it is answered.
            let is_next = !is_same || leg.rseq == 0 || rseq == leg.rseq.wrapping_add(1);
            if is_next && leg.request.is_none() && self.keep_leg_dialog(key, message) {
                if let Some(leg) = self.legs.get_mut(key) {
                    leg.rseq = rseq;
                }
                self.acknowledge_provisional(step, key, rseq);
            }
        }
        if gives_up {
            self.cancel_invite(step, key);
        }
    }

    fn acknowledge_provisional(&mut self, step: &mut Step<'_>, key: Key, rseq: u32) {
        let Some(invited) = self.legs.get(key).and_then(|leg| leg.invite.as_ref()) else { return };
        let invited = invited.cseq;
        self.start_leg_request(step, key, Method::Prack, |_, writer| {
            writer.header(HeaderName::RAck).decimal(u64::from(rseq)).put(b" ");
            writer.decimal(u64::from(invited)).text(" INVITE").end();
        });
    }

    /// The dialog's strings are those of this response; false where they can't be read or kept.
    pub(super) fn keep_leg_dialog(&mut self, key: Key, message: &Message<'_>) -> bool {
        let mut blob = [0; DIALOG_BYTES_MAX];
        let Some(len) = self.write_answered_dialog(key, message, &mut blob) else { return false };
        let Some(leg) = self.legs.get_mut(key) else { return false };
        self.strings.replace(&mut leg.dialog, &blob[..len]).is_ok()
    }

    /// The first 2xx to the INVITE.
    fn invite_accepted(
        &mut self,
        step: &mut Step<'_>,
        key: Key,
        message: &Message<'_>,
        sent_at: Time,
    ) {
        if !self.keep_leg_dialog(key, message) {
            return self.call_failed(step, key, Cause::Parse);
        }
        self.acknowledge(step, key);
        self.agree_on_refresh(step, key, message, sent_at);
        let Some(leg) = self.legs.get_mut(key) else { return };
        if let Some(invite) = leg.invite.as_mut() {
            // It is neither sent nor cancelled any more.
            self.strings.release(std::mem::take(&mut invite.kept));
        }
        if leg.replaces.is_some() || leg.moves_to.is_some() {
            return self.leg_moved(step, key);
        }
        match leg.stage {
            LegStage::Early if leg.hung_up => {
                // The CANCEL came too late: what was given up is ended (RFC 3261 clause 9.1).
                leg.stage = LegStage::Up;
                self.abandon_leg_procedure(key);
                self.release_leg(step, key, None);
            }
            LegStage::Early => {
                leg.stage = LegStage::Up;
                leg.is_counted = true;
                self.sessions.established += 1;
                self.complete_leg_procedure(step, key);
                self.plan_hang_up(step, key);
                self.called_anew(step, key, None);
            }
            _ => self.complete_leg_procedure(step, key),
        }
    }

    /// A 2xx that comes again gets its ACK again. One of another dialog, from a callee that the call was forked to, is ended at
    /// once (RFC 3261 clause 13.2.2.4).
    fn accepted_again(&mut self, step: &mut Step<'_>, key: Key, message: &Message<'_>) {
        let Some(leg) = self.legs.get(key) else { return };
        let own = DialogParts::decode(self.strings.get(&leg.dialog));
        if message.tag(HeaderName::To) == Ok(Some(own.remote_tag)) {
            return self.acknowledge(step, key);
        }
        let Some((cseq, ue)) = leg.invite.as_ref().map(|it| (it.cseq, it.ue)) else { return };
        let mut blob = [0; DIALOG_BYTES_MAX];
        let number = leg.number;
        let Some(len) = self.write_answered_dialog(key, message, &mut blob) else { return };
        let parts = DialogParts::decode(&blob[..len]);
        for (method, cseq) in [(Method::Ack, cseq), (Method::Bye, cseq + 1)] {
            let text = self.write_of_dialog(&parts, (ue, number), method, cseq, |_, _| {}, None);
            self.send_in_call(step, ue, &text.unwrap_or_default());
        }
    }

    /// ACK of the 2xx (RFC 3261 clause 13.2.2.4).
    fn acknowledge(&mut self, step: &mut Step<'_>, key: Key) {
        let Some(leg) = self.legs.get(key) else { return };
        let Some((cseq, ue)) = leg.invite.as_ref().map(|it| (it.cseq, it.ue)) else { return };
        if let Some(text) = self.write_in_dialog(key, ue, Method::Ack, cseq, |_, _| {}, None) {
            self.send_in_call(step, ue, &text);
        }
    }

    /// The INVITE was refused, or not answered (408).
    fn invite_refused(&mut self, step: &mut Step<'_>, key: Key, status: u16) {
        let Some(leg) = self.legs.get(key) else { return };
        if leg.replaces.is_some() || leg.moves_to.is_some() {
            return self.move_refused(step, key, status);
        }
        match leg.stage {
            LegStage::Early if leg.hung_up => {
                self.abandon_leg_procedure(key);
                self.end_leg(step, key);
            }
            LegStage::Early => self.call_failed(step, key, cause_of(status)),
            _ => self.refresh_refused(step, key, status),
        }
    }

    /// The caller gives up: CANCEL, as soon as a provisional response has come (RFC 3261 clause 9.1).
    pub(super) fn give_up(&mut self, step: &mut Step<'_>, key: Key) {
        let Some(leg) = self.legs.get_mut(key) else { return };
        if leg.stage != LegStage::Early || !self.is_inviting(key) {
            return;
        }
        if let Some(leg) = self.legs.get_mut(key) {
            leg.hung_up = true;
        }
        self.cancel_invite(step, key);
    }

    /// Sends CANCEL of the INVITE under way, if the time for it has come and it was not sent yet.
    pub(super) fn cancel_invite(&mut self, step: &mut Step<'_>, key: Key) {
        let Some(leg) = self.legs.get(key) else { return };
        let Some(invite) = leg.invite.as_ref() else { return };
        // A PRACK under way is answered first.
        if invite.client.state() != State::Proceeding || leg.request.is_some() {
            return;
        }
        let text = self.strings.get(&invite.kept).to_vec();
        let (ue, cseq) = (invite.ue, invite.cseq);
        let mut out = [0; 2048];
        let len = self.with_kept(&text, |_, invite| hop::cancel(invite, &mut out).ok());
        if let Some(Some(len)) = len {
            self.send_leg_request(step, key, ue, Method::Cancel, cseq, &out[..len]);
        }
    }

    /// No final answer, for longer than any proxy waits.
    pub(super) fn nobody_answered(&mut self, step: &mut Step<'_>, key: Key) {
        if !self.is_inviting(key) {
            return;
        }
        self.cancel_invite(step, key);
        self.measurements.transaction_failed(Transaction::Invite);
        self.end_invite(key);
        self.invite_refused(step, key, 480);
    }
}

/// Why a call has failed that was answered with this status.
pub(super) fn cause_of(status: u16) -> Cause {
    match status {
        408 => Cause::Timeout,
        403 => Cause::Forbidden403,
        421 | 494 => Cause::Security494,
        480 => Cause::NoAnswer,
        486 | 600 => Cause::Busy,
        _ => Cause::StatusOther(status),
    }
}

impl Leg {
    /// The number of the next transaction.
    pub(super) fn next_transaction(&mut self) -> u16 {
        self.transactions = self.transactions.wrapping_add(1);
        self.transactions
    }

    /// CSeq of the next request.
    pub(super) fn next_cseq(&mut self) -> u32 {
        self.cseq += 1;
        self.cseq
    }
}
