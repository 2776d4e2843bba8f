//! Responses to what went on: what they change, and the way back.

use std::net::SocketAddr;

use imstorm_base::slab::Key;
use imstorm_base::time::{Time, seconds};
use imstorm_sip::header::HeaderName;
use imstorm_sip::{Message, Method, Writer};

use super::super::Scscf;
use super::super::next_flow::has_failed;
use super::onward::{Branch, write_cseq, write_party};
use super::{EARLY_NS, Invite, SessionStage, Side, Way};
use crate::event::Context;
use crate::proxy;

impl Scscf {
    /// A response to a request of a session.
    pub(in super::super) fn session_response(
        &mut self,
        ctx: &mut Context<'_>,
        from: SocketAddr,
        message: &Message<'_>,
        mut branch: Branch,
    ) {
        let key = branch.session;
        let Ok(cseq) = message.cseq() else { return };
        if self.sessions.get(key).is_none() {
            return self.answer_to_nobody(ctx, from, message);
        }
        let (status, number) = (message.status(), cseq.number.wrapping_sub(branch.offset));
        let may_move = matches!(cseq.method, Method::Invite | Method::Update);
        if branch.way == Way::Moving && may_move && !self.is_of_move(key, number, branch.offset) {
            // The move is complete, or was given up: it is of the leg that the UE has now, or of one that it had.
            branch.way = Way::Ue;
        }
        let is_plain = !matches!(cseq.method, Method::Invite | Method::Cancel | Method::Bye);
        let is_refused_there = status >= 300 && self.is_of_former_leg(key, branch, message);
        if is_plain && is_refused_there {
            return self.answer_for_former_leg(ctx, message, branch, 491);
        }
        match cseq.method {
            Method::Cancel => {
                let session = self.sessions.get_mut(key).expect("found above");
                let cancel = session.invite.as_mut().and_then(|invite| invite.cancel.take());
                if let Some(cancel) = cancel {
                    self.close_own(cancel);
                }
            }
            Method::Invite => self.invite_answered(ctx, from, message, branch),
            Method::Bye if status >= 200 => {
                let session = self.sessions.get(key).expect("found above");
                let waits = session.invite.as_ref().is_some_and(|invite| !invite.refused);
                match is_refused_there {
                    true => self.answer_for_former_leg(ctx, message, branch, 200),
                    false => self.pass_answer(ctx, message, branch, key),
                }
                if !waits {
                    self.drop_session(ctx, key);
                }
            }
            Method::Update if (200..300).contains(&status) => {
                self.session_goes_on(ctx, message, key);
                self.pass_answer(ctx, message, branch, key);
                if branch.way == Way::Moving {
                    self.complete_move(ctx, key, number, branch.offset);
                }
            }
            Method::Update if status >= 300 => {
                let is_of_move =
                    branch.way == Way::Moving && self.is_of_move(key, number, branch.offset);
                self.pass_answer(ctx, message, branch, key);
                if is_of_move {
                    self.abandon_move(key);
                    self.end_if_orphaned(ctx, key);
                }
            }
            _ => self.pass_answer(ctx, message, branch, key),
        }
    }

    /// Whether a response is of a leg that the UE has replaced since the request went there.
    fn is_of_former_leg(&self, key: Key, branch: Branch, message: &Message<'_>) -> bool {
        let session = self.sessions.get(key).expect("a session that was found");
        let call_id = self.parts(&session.ue).call_id;
        branch.way == Way::Far && session.mapped && message.call_id().is_ok_and(|it| it != call_id)
    }

    /// A request went to a leg that was replaced meanwhile, and was refused there because that is over. The session goes on: whoever asked
    /// is to ask again (491, RFC 3261 clause 14.1), and would take 481 for the session's end (RFC 5057 clause 5.1). A BYE has ended it (200).
    fn answer_for_former_leg(
        &self,
        ctx: &mut Context<'_>,
        message: &Message<'_>,
        branch: Branch,
        status: u16,
    ) {
        let Some(next) = proxy::next_response_hop(message) else {
            ctx.counters.stray_response += 1;
            return;
        };
        let session = self.sessions.get(branch.session).expect("a session that was found");
        let parts = self.parts(&session.far);
        let came = message.cseq().map_or(0, |cseq| cseq.number);
        self.send(ctx, next, |out| {
            let mut writer = Writer::new(out);
            writer.status(status);
            for via in message.list(HeaderName::Via).skip(1) {
                writer.header(HeaderName::Via).put(via).end();
            }
            write_party(parts.remote_uri, parts.remote_tag, writer.header(HeaderName::From));
            writer.end();
            write_party(parts.local_uri, parts.local_tag, writer.header(HeaderName::To));
            writer.end();
            writer.header(HeaderName::CallId).put(parts.call_id).end();
            write_cseq(came.wrapping_sub(branch.offset), message, writer.header(HeaderName::CSeq));
            writer.end();
            writer.finish().ok()
        });
    }

    fn invite_answered(
        &mut self,
        ctx: &mut Context<'_>,
        from: SocketAddr,
        message: &Message<'_>,
        branch: Branch,
    ) {
        let key = branch.session;
        let number = message.cseq().map_or(0, |cseq| cseq.number).wrapping_sub(branch.offset);
        let session = self.sessions.get_mut(key).expect("a session that was found");
        let pair = (number, number.wrapping_add(branch.offset));
        let is_last = session.leg(branch.way).is_some_and(|leg| leg.invite == pair);
        let is_it = |it: &&mut Invite| is_last && it.cseq == number && it.way == branch.way;
        let pending = session.invite.as_mut().filter(is_it).map(|invite| {
            invite.heard = true;
            invite.progressed |= (101..=199).contains(&message.status());
            (invite.is_initial, invite.refused)
        });
        match (message.status(), pending) {
            (..=100, _) => {
                if self.fork_is_heard(key) {
                    self.pass_answer(ctx, message, branch, key);
                }
            }
            (101..=199, Some((is_initial, false))) => {
                self.invite_progresses(ctx, message, branch, is_initial);
            }
            (101..=199, _) => ctx.counters.stray_response += 1,
            (200..=299, Some((is_initial, false))) if !self.fork_is_answered(key) => {
                self.invite_accepted(ctx, message, branch, is_initial);
            }
            (200..=299, Some(_)) => {
                // It was refused meanwhile, or another contact has the call.
                self.refuse_acceptance(ctx, message);
                if self.fork_is_answered(key) {
                    self.drop_session(ctx, key);
                }
            }
            (200..=299, None) => {
                if !self.is_known_tag(key, branch, message) {
                    // A second one has accepted, behind somebody else's fork.
                    self.refuse_acceptance(ctx, message);
                } else if self.is_of_replaced_leg(key, branch, number) {
                    self.acknowledge_for_ue(ctx, key, message);
                } else {
                    self.pass_answer(ctx, message, branch, key);
                }
            }
            (_, Some(_)) => self.invite_refused(ctx, message, branch),
            (_, None) => self.acknowledge_late(ctx, from, message),
        }
    }

    /// Whether a 2xx that comes again answers an INVITE of a leg that the UE has replaced since: nobody there acknowledges it any more.
    fn is_of_replaced_leg(&self, key: Key, branch: Branch, number: u32) -> bool {
        let session = self.sessions.get(key).expect("a session that was found");
        let last = (number, number.wrapping_add(branch.offset));
        branch.way != Way::Far && session.mapped && session.ue.invite != last
    }

    /// Whether a response is of the dialog that its session has.
    fn is_known_tag(&self, key: Key, branch: Branch, message: &Message<'_>) -> bool {
        let session = self.sessions.get(key).expect("a session that was found");
        let known = self.parts(session.side(branch.way.onward())).remote_tag;
        matches!(message.tag(HeaderName::To), Ok(tag) if tag.unwrap_or_default() == known)
    }

    fn invite_progresses(
        &mut self,
        ctx: &mut Context<'_>,
        message: &Message<'_>,
        branch: Branch,
        is_initial: bool,
    ) {
        if !is_initial {
            return self.pass_answer(ctx, message, branch, branch.session);
        }
        self.extend_session(ctx, branch.session, ctx.now.saturating_add(EARLY_NS));
        match self.early_dialog(ctx, message, branch) {
            Some(key) => {
                if key != branch.session {
                    self.extend_session(ctx, key, ctx.now.saturating_add(EARLY_NS));
                }
                self.pass_answer(ctx, message, branch, key);
            }
            None => ctx.counters.stray_response += 1,
        }
    }

    fn invite_accepted(
        &mut self,
        ctx: &mut Context<'_>,
        message: &Message<'_>,
        branch: Branch,
        is_initial: bool,
    ) {
        let key = branch.session;
        let session = self.sessions.get_mut(key).expect("a session that was found");
        if let Some(invite) = session.invite.take() {
            self.end_invite(invite);
        }
        if is_initial {
            self.adopt_dialog(ctx, key, message);
            let session = self.sessions.get_mut(key).expect("found above");
            // Whoever accepts has not heard of a BYE that is under way; the session ends by that.
            if session.stage == SessionStage::Early {
                session.stage = SessionStage::Confirmed;
            }
            session.was_made = true;
            if let Some(attempt) = session.attempt.take() {
                self.drop_attempt(attempt);
            }
            ctx.counters.sessions_made += 1;
            self.fork_accepted(ctx, key);
            self.drop_other_early(ctx, key);
        }
        self.session_goes_on(ctx, message, key);
        self.pass_answer(ctx, message, branch, key);
        if branch.way == Way::Moving {
            let cseq = message.cseq().map_or(0, |cseq| cseq.number);
            self.complete_move(ctx, key, cseq.wrapping_sub(branch.offset), branch.offset);
        }
    }

    fn invite_refused(&mut self, ctx: &mut Context<'_>, message: &Message<'_>, branch: Branch) {
        let key = branch.session;
        if has_failed(message.status()) && self.call_next_flow(ctx, key, message) {
            return;
        }
        if self.fork_refused(ctx, key, message) {
            return self.wait_for_ack(ctx, key);
        }
        let session = self.sessions.get(key).expect("a session that was found");
        if session.stage == SessionStage::Early && message.status() == 430 {
            // RFC 5626 clause 11.6: 430 is for whoever chose the flow; to the caller the user is not there.
            if let Some(next) = proxy::next_response_hop(message) {
                self.send(ctx, next, |out| proxy::respond_upstream(message, 480, out));
            }
        } else {
            self.pass_answer(ctx, message, branch, key);
        }
        self.wait_for_ack(ctx, key);
    }

    /// A refusal has gone back: its ACK goes the INVITE's way, and then nothing is left.
    fn wait_for_ack(&mut self, ctx: &mut Context<'_>, key: Key) {
        let Some(session) = self.sessions.get_mut(key) else { return };
        let Some(invite) = session.invite.as_mut() else { return };
        invite.refused = true;
        if invite.is_initial {
            let until = ctx.now.saturating_add(self.config.core.timer_h_ns());
            self.extend_session(ctx, key, until);
        }
    }

    /// A 2xx says how long the session lasts unless it is refreshed (RFC 4028 clause 9).
    fn session_goes_on(&mut self, ctx: &mut Context<'_>, message: &Message<'_>, key: Key) {
        if self.sessions.get(key).is_none_or(|it| it.stage != SessionStage::Confirmed) {
            return;
        }
        let interval = message.session_expires().ok().flatten();
        let until = match interval {
            Some(interval) => ctx.now.saturating_add(seconds(u64::from(interval.interval_s))),
            None => Time::MAX,
        };
        self.extend_session(ctx, key, until);
    }

    /// Passes a response back to whoever asked; `key` is the session that it is of now.
    fn pass_answer(
        &mut self,
        ctx: &mut Context<'_>,
        message: &Message<'_>,
        branch: Branch,
        key: Key,
    ) {
        let Some(next) = proxy::next_response_hop(message) else {
            ctx.counters.stray_response += 1;
            return;
        };
        let session = self.sessions.get(key).expect("a session that was found");
        let leg = session.leg(branch.way).unwrap_or(&session.ue);
        let parts = self.parts(leg);
        let is_mapped = session.mapped || branch.way == Way::Moving;
        let makes_dialog = message.cseq().is_ok_and(|cseq| cseq.method == Method::Invite)
            && (101..300).contains(&message.status());
        // A P-CSCF records its route in each INVITE of its UE.
        let asked_to_make = branch.way != Way::Far || session.caller == Side::Far;
        ctx.with_edits(|ctx, edits| {
            edits.pop_first(message, HeaderName::Via);
            edits.remove(HeaderName::RecordRoute);
            if makes_dialog && asked_to_make && !parts.routes.is_empty() {
                // The route that the request recorded (RFC 3261 clause 12.1.1), as it came.
                edits.insert_first(HeaderName::RecordRoute, |out| {
                    out.put(parts.routes);
                });
            }
            if (101..300).contains(&message.status()) {
                self.edit_contact(edits, key, message);
            }
            if is_mapped {
                edits.set(message, HeaderName::CallId, |out| {
                    out.put(parts.call_id);
                });
                edits.set(message, HeaderName::From, |out| {
                    write_party(parts.remote_uri, parts.remote_tag, out);
                });
                edits.set(message, HeaderName::To, |out| {
                    write_party(parts.local_uri, parts.local_tag, out);
                });
            }
            if branch.offset != 0 {
                let came = message.cseq().map_or(0, |cseq| cseq.number);
                edits.set(message, HeaderName::CSeq, |out| {
                    write_cseq(came.wrapping_sub(branch.offset), message, out);
                });
            }
            self.send(ctx, next, |out| edits.write(message, out).ok());
        });
    }
}
