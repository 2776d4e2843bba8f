//! How a session is kept: session timers (RFC 4028), and INVITEs in its dialog.

use imstorm_base::slab::Key;
use imstorm_base::time::{NS_PER_MS, NS_PER_S, Time, seconds};
use imstorm_sip::field::session_expires::Refresher;
use imstorm_sip::header::HeaderName;
use imstorm_sip::{DialogParts, Message, Method, Writer};

use super::super::receive::DIALOG_BYTES_MAX;
use super::callee::refreshed_by_uac;
use super::caller::cause_of;
use super::{LegStage, LegTimer, Side};
use crate::generator::{Generator, Step, Way};
use crate::measure::{Cause, Procedure};
use crate::profile::RefreshBy;

/// What could not begin is tried again after so long.
const TRY_AGAIN_NS: u64 = NS_PER_S;

impl Generator {
    /// What a 2xx says of the session interval: who sent the request refreshes, unless it says otherwise.
    pub(super) fn agree_on_refresh(
        &mut self,
        step: &Step<'_>,
        key: Key,
        message: &Message<'_>,
        sent_at: Time,
    ) {
        let agreed = message.session_expires().ok().flatten();
        let Some(leg) = self.legs.get_mut(key) else { return };
        // Without one who asked may go on to refresh as before (RFC 4028 clause 7.2).
        if let Some(agreed) = agreed {
            leg.interval_s = agreed.interval_s;
            leg.refreshes = agreed.refresher != Some(Refresher::Uas);
        }
        self.watch_session(step, key, sent_at);
    }

    /// The session interval that the INVITE which is being answered asks for, in seconds; 0 where it can't be refreshed.
    pub(super) fn agree_on_interval(&mut self, key: Key) -> u32 {
        let incoming = self.legs.get(key).and_then(|leg| leg.incoming.as_ref());
        let text = incoming.map(|it| self.strings.get(&it.request).to_vec()).unwrap_or_default();
        let asked_s = self.with_kept(&text, |_, message| interval_of(message)).unwrap_or(0);
        if let Some(leg) = self.legs.get_mut(key) {
            leg.interval_s = asked_s;
            leg.refreshes = false;
        }
        asked_s
    }

    /// The session is good for its interval: it is refreshed at the half (RFC 4028 clause 7.2), or by the other side. Who refreshes
    /// counts from when it asked, so that it is never late: the other side may have taken the request long before its answer came.
    pub(super) fn watch_session(&mut self, step: &Step<'_>, key: Key, since: Time) {
        let Some(leg) = self.legs.get_mut(key) else { return };
        leg.refresh = leg.next_transaction();
        let (interval_s, number) = (leg.interval_s, leg.refresh);
        if interval_s == 0 {
            return;
        }
        let interval_ns = seconds(u64::from(interval_s));
        if leg.refreshes {
            let after_ns = (since + interval_ns / 2).saturating_sub(step.now);
            self.arm_leg(step, key, after_ns, LegTimer::Refresh, number);
        } else {
            // RFC 4028 clause 10: the smaller of 32 s and a third before its end.
            let early_ns = seconds(32).min(interval_ns / 3);
            self.arm_leg(step, key, interval_ns - early_ns, LegTimer::Expired, number);
        }
    }

    /// Half of the interval was over at that time.
    pub(super) fn refresh_session(&mut self, step: &mut Step<'_>, key: Key, at: Time) {
        let is_inviting = self.is_inviting(key);
        let Some(leg) = self.legs.get(key).filter(|leg| !leg.is_replaced) else { return };
        let is_answering = leg.incoming.as_ref().is_some_and(|it| !it.is_acknowledged);
        let is_moving = self.handover_of(leg.ue).is_some();
        let is_busy = leg.request.is_some() || leg.procedure.is_some() || is_inviting;
        if is_busy || is_answering || is_moving {
            let number = leg.refresh;
            return self.arm_leg(step, key, TRY_AGAIN_NS, LegTimer::Refresh, number);
        }
        self.start_leg_procedure(key, Procedure::SessionRefresh, step.start(at));
        self.send_refresh(step, key);
    }

    fn send_refresh(&mut self, step: &mut Step<'_>, key: Key) {
        let Some(leg) = self.legs.get_mut(key) else { return };
        let (ue, interval_s) = (leg.ue, leg.interval_s);
        let ask = move |writer: &mut Writer<'_>| {
            writer.header(HeaderName::Supported).text("timer").end();
            writer.header(HeaderName::SessionExpires).decimal(u64::from(interval_s));
            writer.text(";refresher=uac").end();
            writer.header(HeaderName::MinSe).decimal(u64::from(super::MIN_SE_S)).end();
        };
        let sent = match self.call.refresh_by {
            RefreshBy::Update => {
                self.start_leg_request(step, key, Method::Update, |_, writer| ask(writer))
            }
            RefreshBy::Invite => {
                let cseq = leg.next_cseq();
                let body = self.describe(key, ue, true);
                let more = |writer: &mut Writer<'_>| ask(writer);
                let text = self.write_in_dialog(
                    key,
                    ue,
                    Method::Invite,
                    cseq,
                    |_, writer| more(writer),
                    body.as_deref(),
                );
                match text {
                    Some(text) => {
                        self.start_invite(step, key, ue, cseq, &text);
                        true
                    }
                    None => false,
                }
            }
        };
        if !sent {
            self.fail_leg(step, key);
        }
    }

    /// 2xx to an UPDATE that was sent at `sent_at`.
    pub(super) fn refreshed_session(
        &mut self,
        step: &mut Step<'_>,
        key: Key,
        message: &Message<'_>,
        sent_at: Time,
    ) {
        if self.legs.get(key).is_none_or(|leg| leg.stage != LegStage::Up) {
            return;
        }
        self.keep_target(key, message);
        self.agree_on_refresh(step, key, message, sent_at);
        self.complete_leg_procedure(step, key);
    }

    /// A request in the session was refused. Two that crossed are tried again (RFC 3261 clause 14.1); where the dialog is gone or
    /// the other side silent the session ends (RFC 4028 clause 10); else it goes on until its interval is over.
    pub(super) fn refresh_refused(&mut self, step: &mut Step<'_>, key: Key, status: u16) {
        let Some(leg) = self.legs.get(key).filter(|leg| leg.stage == LegStage::Up) else { return };
        if status == 491 {
            // The one who made the Call-ID waits for 2.1 to 4 s, the other for up to 2 s, in steps of 10 ms.
            let (least_ms, most_ms) =
                if leg.side == Side::Caller { (2100, 4000) } else { (0, 2000) };
            let wait_ms = least_ms + 10 * self.random.below((most_ms - least_ms) / 10 + 1);
            let number = leg.refresh;
            self.abandon_leg_procedure(key);
            return self.arm_leg(step, key, wait_ms * NS_PER_MS, LegTimer::Refresh, number);
        }
        let peer = leg.peer.and_then(|peer| self.legs.get(peer));
        if status == 481 && peer.is_some_and(|peer| peer.hung_up) {
            // The other party's BYE is on its way.
            self.abandon_leg_procedure(key);
            return self.end_leg(step, key);
        }
        self.fail_leg_procedure(step, key, cause_of(status));
        match status {
            481 => self.end_leg(step, key),
            408 => self.release_leg(step, key, None),
            _ => {}
        }
    }

    /// The other side has not refreshed the session. What moves it does as well (RFC 4028 clause 7.4), and once that has been accepted,
    /// of which the UE may not know yet, a BYE by the old way would be refused.
    pub(super) fn session_expired(&mut self, step: &mut Step<'_>, key: Key) {
        let Some(leg) = self.legs.get(key).filter(|leg| !leg.is_replaced) else { return };
        if leg.is_moving {
            return self.arm_leg(step, key, TRY_AGAIN_NS, LegTimer::Expired, leg.refresh);
        }
        self.release_leg(step, key, None);
    }

    /// An INVITE in the session.
    pub(super) fn offered_in_session(
        &mut self,
        step: &mut Step<'_>,
        ue: u32,
        way: Way,
        key: Key,
        message: &Message<'_>,
    ) {
        let Some(leg) = self.legs.get(key) else { return };
        let is_old = message.cseq().is_ok_and(|cseq| cseq.number < leg.remote_cseq);
        let is_answering = leg.stage != LegStage::Up
            || leg.incoming.as_ref().is_some_and(|it| !it.is_acknowledged);
        if leg.stage == LegStage::Ended || leg.stage == LegStage::Ending {
            return self.respond(step, ue, way, message, 481);
        }
        if self.is_inviting(key) {
            // RFC 3261 clause 14.2.
            return self.respond(step, ue, way, message, 491);
        }
        if is_old || is_answering {
            return self.respond(step, ue, way, message, 500);
        }
        self.keep_target(key, message);
        if !self.take_invite(step, key, ue, message) {
            return self.respond(step, ue, way, message, 503);
        }
        self.accept_invite(step, key, true);
        self.watch_session(step, key, step.now);
    }

    /// UPDATE: it refreshes the session and its target (RFC 3311 clause 5.2).
    pub(super) fn take_update(
        &mut self,
        step: &mut Step<'_>,
        ue: u32,
        key: Key,
        message: &Message<'_>,
        is_new: bool,
    ) {
        let asked_s = interval_of(message);
        if is_new {
            self.keep_target(key, message);
            if let Some(leg) = self.legs.get_mut(key) {
                leg.interval_s = asked_s;
                leg.refreshes = false;
            }
            self.watch_session(step, key, step.now);
        }
        let text = self.write_answer(
            ue,
            message,
            200,
            b"",
            |writer| refreshed_by_uac(asked_s)(writer),
            None,
        );
        match text {
            Some(text) => self.send_in_call(step, ue, &text),
            None => self.ignored += 1,
        }
    }

    /// The other side's Contact is the dialog's target from now on (RFC 3261 clause 12.2).
    fn keep_target(&mut self, key: Key, message: &Message<'_>) {
        let Ok(Some(contact)) = message.contact() else { return };
        let Some(leg) = self.legs.get_mut(key) else { return };
        let mut blob = [0; DIALOG_BYTES_MAX];
        let parts = DialogParts::decode(self.strings.get(&leg.dialog));
        if parts.remote_target == contact.uri_text {
            return;
        }
        let parts = DialogParts { remote_target: contact.uri_text, ..parts };
        if let Ok(len) = parts.encode(&mut blob) {
            // Where there is no room the old target stays.
            let _ = self.strings.replace(&mut leg.dialog, &blob[..len]);
        }
    }

    /// A session procedure can't go on for want of room.
    pub(super) fn call_failed(&mut self, step: &mut Step<'_>, key: Key, cause: Cause) {
        self.fail_leg_procedure(step, key, cause);
        self.called_anew(step, key, Some(cause));
        self.end_leg(step, key);
    }
}

/// The session interval that a request asks for, in seconds; 0 where it asks for none, or its sender can't refresh.
fn interval_of(message: &Message<'_>) -> u32 {
    let supports = message.has_option(HeaderName::Supported, "timer");
    let asked = message.session_expires().ok().flatten().filter(|_| supports);
    asked.map_or(0, |asked| asked.interval_s)
}
