//! How a session gets to another connection: INVITE with Replaces (RFC 3891), or a target refresh (RFC 3261 clause 12.2).

use imstorm_base::slab::Key;
use imstorm_base::time::{NS_PER_MS, NS_PER_S};
use imstorm_sip::header::HeaderName;
use imstorm_sip::transaction::Timings;
use imstorm_sip::{DialogParts, Method, Writer, dialog};

use super::super::handover::{Handover, MoveOutcome};
use super::super::names::Call;
use super::super::write::Writing;
use super::caller::cause_of;
use super::{LegStage, LegTimer, Side, sdp};
use crate::generator::{Generator, Step};
use crate::measure::Cause;

/// For how long a move is tried again that has crossed another request, or met the other party while that was moving itself: twice as
/// long as a request to an access that is lost takes to fail.
pub const fn move_ns_max(timings: &Timings) -> u64 {
    2 * timings.timer_b_ns()
}

impl Generator {
    /// Whether nothing is under way in any session of a user.
    pub(in crate::ue) fn calls_rest(&self, ue: u32) -> bool {
        self.legs_of(ue).all(|(key, leg)| match leg.stage {
            LegStage::Up => {
                let answers = leg.incoming.as_ref().is_some_and(|it| !it.is_acknowledged);
                leg.request.is_none() && !answers && !self.is_inviting(key)
            }
            LegStage::Ended => true,
            _ => false,
        })
    }

    /// Moves a session to an access of the same user.
    pub(in crate::ue) fn move_leg(&mut self, step: &mut Step<'_>, key: Key, to: u32) {
        let Some(leg) = self.legs.get_mut(key) else { return };
        if leg.stage != LegStage::Up {
            // Its parties have ended it.
            leg.is_moving = false;
            return self.session_moved(step, to, MoveOutcome::Ended);
        }
        leg.is_moving = true;
        if leg.incoming.as_ref().is_some_and(|it| !it.is_acknowledged) {
            // The other party's INVITE is done first.
            return self.arm_leg(step, key, NS_PER_S, LegTimer::Move, 0);
        }
        let begun = match self.handover.mode.refreshes_target(self.population.user(to)) {
            false => self.invite_in_its_place(step, key, to),
            true => self.invite_over(step, key, to),
        };
        if begun.is_none() {
            self.session_moved(step, to, MoveOutcome::Failed(Cause::Transport));
        }
    }

    /// INVITE with Replaces: a new leg, in place of the old one once it is accepted.
    fn invite_in_its_place(&mut self, step: &mut Step<'_>, old: Key, to: u32) -> Option<()> {
        let number = self.next_call(to);
        let text = self.write_replacing_invite(old, to, number)?;
        let key = self.new_leg(to, Side::Caller, number, &text)?;
        let side = self.legs.get(old)?.side;
        let leg = self.legs.get_mut(key)?;
        leg.side = side;
        leg.cseq = 1;
        leg.replaces = Some(old);
        self.start_invite(step, key, to, 1, &text);
        Some(())
    }

    fn write_replacing_invite(&mut self, old: Key, to: u32, number: u32) -> Option<Vec<u8>> {
        let blob = self.strings.get(&self.legs.get(old)?.dialog).to_vec();
        let parts = DialogParts::decode(&blob);
        let interval_s = self.call.session_expires_s;
        let body = sdp::write(self.population.address(to), number, 1, true);
        let call = Call::Session(number);
        let len = self.write_over_connection(to, call, |writing, names, route, out| {
            let initial = DialogParts {
                call_id: names.call_id(),
                local_tag: names.tag(),
                remote_tag: b"",
                routes: route,
                ..parts
            };
            let mut writer = dialog::request(&initial, Method::Invite, 1, out);
            writing.via(writing.settings.port_us, call, 1, &mut writer);
            writer.end();
            writing.contact(writing.settings.port_us, &mut writer);
            writing.preferred(names, &mut writer);
            writing.replace(&parts, &mut writer);
            writing.offer_session(interval_s, &mut writer);
            writing.require(&mut writer);
            writer.finish_with_body(sdp::CONTENT_TYPE, body.as_bytes()).ok()
        })?;
        Some(self.text[..len].to_vec())
    }

    /// INVITE in the dialog, by the way of the new connection.
    fn invite_over(&mut self, step: &mut Step<'_>, key: Key, to: u32) -> Option<()> {
        let leg = self.legs.get_mut(key)?;
        let (cseq, number, interval_s) = (leg.next_cseq(), leg.number, leg.interval_s);
        let blob = self.strings.get(&self.legs.get(key)?.dialog).to_vec();
        let parts = DialogParts::decode(&blob);
        let body = sdp::write(self.population.address(to), number, 2, true);
        let call = Call::Session(number);
        let len = self.write_over_connection(to, call, |writing, _, route, out| {
            let moved = DialogParts { routes: route, ..parts };
            let mut writer = dialog::request(&moved, Method::Invite, cseq, out);
            writing.via(writing.settings.port_us, call, cseq, &mut writer);
            writer.end();
            writing.contact(writing.settings.port_us, &mut writer);
            writing.offer_session(interval_s.max(super::MIN_SE_S), &mut writer);
            writing.require(&mut writer);
            writer.finish_with_body(sdp::CONTENT_TYPE, body.as_bytes()).ok()
        })?;
        let text = self.text[..len].to_vec();
        self.legs.get_mut(key)?.moves_to = Some(to);
        self.start_invite(step, key, to, cseq, &text);
        Some(())
    }

    /// The INVITE that moves a session was accepted, and is acknowledged.
    pub(super) fn leg_moved(&mut self, step: &mut Step<'_>, key: Key) {
        let Some(leg) = self.legs.get_mut(key) else { return };
        let to = match (leg.replaces.take(), leg.moves_to.take()) {
            (Some(old), _) => {
                leg.stage = LegStage::Up;
                leg.is_moving = false;
                let to = leg.ue;
                self.take_place(step, old, key);
                to
            }
            (None, Some(to)) => {
                leg.ue = to;
                leg.is_moving = false;
                to
            }
            (None, None) => return,
        };
        self.sessions.moved += 1;
        self.session_moved(step, to, MoveOutcome::Moved);
    }

    /// The new leg is the session from now on. The old one ends with the BYE that comes for it, or at once if none can.
    fn take_place(&mut self, step: &mut Step<'_>, old: Key, new: Key) {
        let Some(leg) = self.legs.get_mut(old) else { return };
        let (peer, hang_up_at) = (leg.peer.take(), leg.hang_up_at.take());
        let (is_counted, from) = (std::mem::take(&mut leg.is_counted), leg.ue);
        leg.is_replaced = true;
        leg.is_moving = false;
        if let Some(leg) = peer.and_then(|peer| self.legs.get_mut(peer)) {
            leg.peer = Some(new);
        }
        if let Some(leg) = self.legs.get_mut(new) {
            (leg.peer, leg.hang_up_at, leg.is_counted) = (peer, hang_up_at, is_counted);
        }
        if let Some(at) = hang_up_at {
            self.arm_leg(step, new, at.saturating_sub(step.now), LegTimer::HangUp, 0);
        }
        if self.ues[from as usize].is_lost {
            self.end_leg(step, old);
        }
    }

    /// The INVITE that moves a session was refused. One that has crossed another is tried again (RFC 3261 clause 14.1), and so is one
    /// that did not reach the other party, which may be moving as well.
    pub(super) fn move_refused(&mut self, step: &mut Step<'_>, key: Key, status: u16) {
        let Some(leg) = self.legs.get_mut(key) else { return };
        let to = leg.moves_to.take();
        let replaced = leg.replaces.take();
        let Some(to) = to.or_else(|| replaced.map(|_| leg.ue)) else { return };
        if replaced.is_some() {
            // It was no session of its own.
            leg.is_replaced = true;
            self.end_leg(step, key);
        }
        let moving = replaced.unwrap_or(key);
        let Some(leg) = self.legs.get(moving) else {
            // It has ended so long ago that it is forgotten.
            return self.session_moved(step, to, MoveOutcome::Ended);
        };
        let is_over = leg.stage != LegStage::Up;
        let (ue, side) = (leg.ue, leg.side);
        if is_over && leg.is_replaced {
            self.count_end(moving);
            self.call_over(step, ue, side);
        }
        let Some(leg) = self.legs.get(moving) else { return };
        let may_pass = matches!(status, 408 | 480 | 491 | 500 | 503 | 504);
        let began_at = self.handover_of(to).map_or(0, Handover::began_at);
        if may_pass && step.now < began_at + move_ns_max(&self.settings.timings) && !is_over {
            let (least_ms, most_ms) =
                if leg.side == Side::Caller { (2100, 4000) } else { (0, 2000) };
            let wait_ms = least_ms + 10 * self.random.below((most_ms - least_ms) / 10 + 1);
            return self.arm_leg(step, moving, wait_ms * NS_PER_MS, LegTimer::Move, 0);
        }
        if let Some(leg) = self.legs.get_mut(moving) {
            leg.is_moving = false;
        }
        // 481 and 603 say that the session is over: the other party's BYE is still on its way, or ends with the old connection.
        let is_gone = matches!(status, 481 | 603);
        let outcome = match is_over || is_gone {
            true => MoveOutcome::Ended,
            false => MoveOutcome::Failed(cause_of(status)),
        };
        self.session_moved(step, to, outcome);
    }

    /// A leg has ended, and with it the session that its INVITE under way was to move.
    pub(super) fn end_move(&mut self, step: &mut Step<'_>, key: Key) {
        let Some(leg) = self.legs.get_mut(key) else { return };
        let (replaced, to, ue) = (leg.replaces.take(), leg.moves_to.take(), leg.ue);
        if let Some(old) = replaced {
            self.end_replaced(step, old, ue);
        }
        if let Some(to) = to.or_else(|| replaced.map(|_| ue)) {
            self.session_moved(step, to, MoveOutcome::Ended);
        }
    }

    /// The leg that was to be replaced ends instead, if it has not yet.
    fn end_replaced(&mut self, step: &mut Step<'_>, old: Key, ue: u32) {
        let Some(leg) = self.legs.get_mut(old) else { return };
        leg.is_replaced = false;
        leg.is_moving = false;
        let (is_over, side) = (leg.stage == LegStage::Ended, leg.side);
        if is_over {
            self.count_end(old);
            self.call_over(step, ue, side);
        } else {
            self.end_leg(step, old);
        }
    }

    /// The move of a session is tried again.
    pub(super) fn move_again(&mut self, step: &mut Step<'_>, key: Key) {
        let Some(ue) = self.legs.get(key).map(|leg| leg.ue) else { return };
        if let Some(to) = self.handover_of(ue).map(|handover| handover.to) {
            self.move_leg(step, key, to);
        }
    }
}

impl Writing<'_> {
    /// Names the dialog of ours that is to be replaced: its To tag is the one of who receives this (RFC 3891 clause 6.1).
    pub(in crate::ue) fn replace(&self, old: &DialogParts<'_>, out: &mut Writer<'_>) {
        out.header(HeaderName::Require).text("replaces").end();
        out.header(HeaderName::Replaces).put(old.call_id);
        out.put(b";to-tag=").put(old.remote_tag).put(b";from-tag=").put(old.local_tag).end();
    }
}
