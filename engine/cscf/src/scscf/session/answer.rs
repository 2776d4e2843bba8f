//! Responses to what went on: what they change, and the way back.

use std::net::SocketAddr;

use imstorm_base::slab::Key;
use imstorm_base::strings::Handle;
use imstorm_base::time::{Time, seconds};
use imstorm_sip::header::HeaderName;
use imstorm_sip::{DialogParts, Message, Method, dialog};

use super::super::Scscf;
use super::onward::{Branch, write_cseq, write_party};
use super::{EARLY_NS, Invite, Leg, SESSIONS_PER_CONNECTION_MAX, Session, SessionStage, Side, Way};
use crate::event::Context;
use crate::look::Look;
use crate::proxy;

impl Scscf {
    /// A response to a request of a session.
    pub(in super::super) fn session_response(
        &mut self,
        ctx: &mut Context<'_>,
        from: SocketAddr,
        message: &Message<'_>,
        branch: Branch,
    ) {
        let key = branch.session;
        let Ok(cseq) = message.cseq() else { return };
        let Some(session) = self.sessions.get_mut(key) else {
            return self.answer_to_nobody(ctx, from, message);
        };
        let (status, number) = (message.status(), cseq.number.wrapping_sub(branch.offset));
        match cseq.method {
            Method::Cancel => {
                let cancel = session.invite.as_mut().and_then(|invite| invite.cancel.take());
                if let Some(cancel) = cancel {
                    self.close_own(cancel);
                }
            }
            Method::Invite => self.invite_answered(ctx, from, message, branch),
            Method::Bye if status >= 200 => {
                let waits = session.invite.as_ref().is_some_and(|invite| !invite.refused);
                self.pass_answer(ctx, message, branch, key);
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
        let is_it = |it: &&mut Invite| it.cseq == number && it.way == branch.way;
        let pending = session.invite.as_mut().filter(is_it).map(|invite| {
            invite.heard = true;
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
                if self.is_known_tag(key, branch, message) {
                    self.pass_answer(ctx, message, branch, key);
                } else {
                    // A second one has accepted, behind somebody else's fork.
                    self.refuse_acceptance(ctx, message);
                }
            }
            (_, Some(_)) => self.invite_refused(ctx, message, branch),
            (_, None) => self.acknowledge_late(ctx, from, message),
        }
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

    /// The early dialog that a provisional response is of: behind somebody else's fork there may be several, each of which has a session.
    fn early_dialog(
        &mut self,
        ctx: &mut Context<'_>,
        message: &Message<'_>,
        branch: Branch,
    ) -> Option<Key> {
        let first = branch.session;
        let Ok(Some(tag)) = message.tag(HeaderName::To) else { return Some(first) };
        let session = self.sessions.get(first).expect("a session that was found");
        let known = self.parts(session.side(session.caller.other())).remote_tag;
        if known.is_empty() || known == tag {
            self.learn_called(first, message, tag);
            return Some(first);
        }
        // A UE has one tag.
        (session.caller == Side::Ue).then_some(())?;
        let key = match self.sibling(first, tag) {
            Some(key) => key,
            None => self.another_dialog(ctx, first, tag)?,
        };
        self.learn_called(key, message, tag);
        Some(key)
    }

    /// The session of another early dialog of the same INVITE, by its tag.
    fn sibling(&self, first: Key, tag: &[u8]) -> Option<Key> {
        let session = self.sessions.get(first)?;
        let with_caller = self.parts(&session.ue);
        self.session_of_call(with_caller.call_id, with_caller.remote_tag, |other| {
            other.caller == Side::Ue
                && other.connection == session.connection
                && other.invite.is_none()
                && other.stage == SessionStage::Early
                && self.parts(&other.far).remote_tag == tag
        })
    }

    /// The session of an INVITE takes over the dialog that was accepted: its branch, by which what comes again is found, stays.
    fn adopt_dialog(&mut self, ctx: &mut Context<'_>, key: Key, message: &Message<'_>) {
        let Ok(Some(tag)) = message.tag(HeaderName::To) else { return };
        let session = self.sessions.get(key).expect("a session that was found");
        let is_ues = session.caller == Side::Ue;
        let is_known = self.parts(session.side(session.caller.other())).remote_tag == tag;
        if let Some(sibling) = self.sibling(key, tag).filter(|_| is_ues && !is_known)
            && let Some(accepted) = self.sessions.get_mut(sibling)
        {
            let (ue, far) = (std::mem::take(&mut accepted.ue), std::mem::take(&mut accepted.far));
            let session = self.sessions.get_mut(key).expect("found above");
            let before =
                [std::mem::replace(&mut session.ue, ue), std::mem::replace(&mut session.far, far)];
            before.into_iter().for_each(|leg| self.release_leg(leg));
            self.drop_session(ctx, sibling);
        }
        self.learn_called(key, message, tag);
    }

    /// One more dialog that the same INVITE has made.
    fn another_dialog(&mut self, ctx: &mut Context<'_>, first: Key, tag: &[u8]) -> Option<Key> {
        let session = self.sessions.get(first)?;
        if self.sessions_over(session.connection).len() >= 2 * SESSIONS_PER_CONNECTION_MAX {
            ctx.counters.too_many_pending += 1;
            return None;
        }
        let legs = [Side::Ue, Side::Far].map(|side| {
            let leg = session.side(side);
            let mut blob = [0; 2048];
            let bytes = self.strings.get(&leg.dialog);
            blob[..bytes.len()].copy_from_slice(bytes);
            (blob, bytes.len(), leg.remote_cseq, leg.local_cseq, leg.offset, leg.invite, leg.via)
        });
        let (user, connection, caller) = (session.user, session.connection, session.caller);
        let (call, mapped) = (session.call, session.mapped);
        let mut copies = [Leg::default(), Leg::default()];
        for (copy, (blob, len, remote_cseq, local_cseq, offset, invite, via)) in
            copies.iter_mut().zip(legs)
        {
            let dialog = self.strings.store(&blob[..len]).unwrap_or(Handle::EMPTY);
            *copy = Leg { dialog, remote_cseq, local_cseq, offset, invite, via };
        }
        let [ue, far] = copies;
        if ue.dialog.is_empty() || far.dialog.is_empty() || tag.is_empty() {
            self.release_leg(ue);
            self.release_leg(far);
            ctx.counters.table_full += 1;
            return None;
        }
        let key = self.insert_session(Session {
            user,
            connection,
            stage: SessionStage::Early,
            was_made: false,
            caller,
            call,
            ue,
            far,
            mapped,
            invite: None,
            moving: None,
            answers: [None; 2],
            is_orphan: false,
            fork: None,
            expires_at: Time::MAX,
            look: Look::default(),
            next_of_connection: None,
        })?;
        Some(key)
    }

    /// The called party has shown its tag, its Contact and its route.
    fn learn_called(&mut self, key: Key, message: &Message<'_>, tag: &[u8]) {
        let mut routes = [0; 1024];
        let len = dialog::route_set(message, true, &mut routes).unwrap_or(0);
        let contact = message.contact().ok().flatten();
        let session = self.sessions.get_mut(key).expect("a session that was found");
        let caller = session.caller;
        let mut called = std::mem::take(&mut session.side_mut(caller.other()).dialog);
        let mut calling = std::mem::take(&mut session.side_mut(caller).dialog);
        self.change_parts(&mut called, |parts, out| {
            let remote_target = match (&contact, caller) {
                // A UE's target is where it was called, which is where its connection leads.
                (Some(contact), Side::Ue) => contact.uri_text,
                _ => parts.remote_target,
            };
            let routes = if len > 0 { &routes[..len] } else { parts.routes };
            DialogParts { remote_tag: tag, remote_target, routes, ..*parts }.encode(out).ok()
        });
        self.change_parts(&mut calling, |parts, out| {
            DialogParts { local_tag: tag, ..*parts }.encode(out).ok()
        });
        let session = self.sessions.get_mut(key).expect("found above");
        session.side_mut(caller.other()).dialog = called;
        session.side_mut(caller).dialog = calling;
    }

    /// An INVITE was accepted in one of its dialogs, or refused: the others are over (RFC 3261 clause 13.2.2.4).
    pub(super) fn drop_other_early(&mut self, ctx: &mut Context<'_>, key: Key) {
        let session = self.sessions.get(key).expect("a session that was found");
        if session.caller == Side::Far {
            // Each contact's is ended by its own final response.
            return;
        }
        let (connection, call) = (session.connection, session.call);
        for other in self.sessions_over(connection) {
            let is_other = self.sessions.get(other).is_some_and(|found| {
                other != key
                    && found.call == call
                    && found.caller == Side::Ue
                    && found.stage == SessionStage::Early
            });
            if is_other {
                self.drop_session(ctx, other);
            }
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
        let asked_to_make =
            branch.way == Way::Moving || branch.way.onward() == session.caller.other();
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
