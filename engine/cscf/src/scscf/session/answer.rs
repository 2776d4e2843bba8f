//! Responses to what went on: what they change, and the way back.

use imstorm_base::slab::Key;
use imstorm_base::strings::Handle;
use imstorm_base::time::{Time, seconds};
use imstorm_sip::header::HeaderName;
use imstorm_sip::{DialogParts, Message, Method, dialog};

use super::super::Scscf;
use super::onward::{Branch, write_cseq, write_party};
use super::{EARLY_NS, Leg, Session, SessionStage, Side, Way};
use crate::event::Context;
use crate::look::Look;
use crate::proxy;

impl Scscf {
    /// A response to a request of a session.
    pub(in super::super) fn session_response(
        &mut self,
        ctx: &mut Context<'_>,
        message: &Message<'_>,
        branch: Branch,
    ) {
        let key = branch.session;
        let Ok(cseq) = message.cseq() else { return };
        let Some(session) = self.sessions.get_mut(key) else {
            return match cseq.method {
                // Answered for us alone.
                Method::Cancel => ctx.counters.stray_response += 1,
                _ => self.pass_back(ctx, message),
            };
        };
        let status = message.status();
        match cseq.method {
            Method::Cancel => {
                let cancel = session.invite.as_mut().and_then(|invite| invite.cancel.take());
                if let Some(cancel) = cancel {
                    self.close_own(cancel);
                }
            }
            Method::Invite => self.invite_answered(ctx, message, branch),
            Method::Bye if status >= 200 => {
                self.pass_answer(ctx, message, branch, key);
                self.drop_session(ctx, key);
            }
            Method::Update if status >= 200 => {
                if (200..300).contains(&status) {
                    self.session_goes_on(ctx, message, key);
                    self.pass_answer(ctx, message, branch, key);
                    if branch.way == Way::Moving {
                        let number = cseq.number.wrapping_sub(branch.offset);
                        self.complete_move(ctx, key, number, branch.offset);
                    }
                } else {
                    self.pass_answer(ctx, message, branch, key);
                    if branch.way == Way::Moving {
                        self.abandon_move(key);
                        self.end_if_orphaned(ctx, key);
                    }
                }
            }
            _ => self.pass_answer(ctx, message, branch, key),
        }
    }

    fn invite_answered(&mut self, ctx: &mut Context<'_>, message: &Message<'_>, branch: Branch) {
        let status = message.status();
        let session = self.sessions.get(branch.session).expect("a session that was found");
        let number = message.cseq().map_or(0, |cseq| cseq.number).wrapping_sub(branch.offset);
        let is_it = |it: &&super::Invite| it.cseq == number && it.way == branch.way;
        let pending = session.invite.as_ref().filter(is_it);
        let is_pending = pending.is_some();
        let is_initial = match pending {
            Some(invite) => invite.is_initial,
            // A final response that comes again, or another contact's acceptance behind a fork of somebody else's.
            None => session.stage == SessionStage::Early,
        };
        if status == 100 {
            return self.pass_answer(ctx, message, branch, branch.session);
        }
        if status >= 300 {
            return self.invite_refused(ctx, message, branch, is_pending);
        }
        let key = match is_initial {
            true => self.dialog_of_answer(ctx, message, branch),
            false => branch.session,
        };
        if status < 200 {
            if is_initial {
                self.extend_session(ctx, key, ctx.now.saturating_add(EARLY_NS));
            }
            return self.pass_answer(ctx, message, branch, key);
        }
        self.invite_accepted(ctx, message, branch, (key, is_pending));
    }

    fn invite_accepted(
        &mut self,
        ctx: &mut Context<'_>,
        message: &Message<'_>,
        branch: Branch,
        (key, is_pending): (Key, bool),
    ) {
        let session = self.sessions.get_mut(key).expect("a session that was found");
        let was_early = session.stage == SessionStage::Early;
        if was_early {
            session.stage = SessionStage::Confirmed;
            ctx.counters.sessions_made += 1;
        }
        if let Some(invite) = session.invite.take_if(|_| is_pending) {
            self.end_invite(invite);
        }
        if was_early {
            self.extend_session(ctx, key, Time::MAX);
            self.fork_accepted(ctx, key);
            self.drop_other_early(ctx, key);
        }
        if is_pending || was_early {
            self.session_goes_on(ctx, message, key);
        }
        self.pass_answer(ctx, message, branch, key);
        if branch.way == Way::Moving {
            let cseq = message.cseq().map_or(0, |cseq| cseq.number);
            self.complete_move(ctx, key, cseq.wrapping_sub(branch.offset), branch.offset);
        }
    }

    fn invite_refused(
        &mut self,
        ctx: &mut Context<'_>,
        message: &Message<'_>,
        branch: Branch,
        is_pending: bool,
    ) {
        let key = branch.session;
        if !is_pending {
            return self.pass_answer(ctx, message, branch, key);
        }
        if self.fork_refused(ctx, key, message) {
            return self.wait_for_ack(ctx, key);
        }
        let session = self.sessions.get(key).expect("a session that was found");
        let is_early = session.stage == SessionStage::Early;
        if is_early && message.status() == 430 {
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

    /// The early or confirmed dialog that a response to a first INVITE is of: behind somebody else's fork there may be several.
    fn dialog_of_answer(
        &mut self,
        ctx: &mut Context<'_>,
        message: &Message<'_>,
        branch: Branch,
    ) -> Key {
        let first = branch.session;
        let Ok(Some(tag)) = message.tag(HeaderName::To) else { return first };
        let session = self.sessions.get(first).expect("a session that was found");
        let caller = session.caller;
        let known = self.parts(session.side(caller.other())).remote_tag;
        if known.is_empty() || known == tag {
            self.learn_called(first, message, tag);
            return first;
        }
        let with_caller = self.parts(session.side(caller));
        let sibling = self.session_of_call(with_caller.call_id, with_caller.remote_tag, |other| {
            other.caller == caller
                && other.connection == session.connection
                && self.parts(other.side(caller.other())).remote_tag == tag
        });
        let Some(key) = sibling.or_else(|| self.another_dialog(ctx, first, tag)) else {
            return first;
        };
        self.learn_called(key, message, tag);
        key
    }

    /// One more dialog that the same INVITE has made.
    fn another_dialog(&mut self, ctx: &mut Context<'_>, first: Key, tag: &[u8]) -> Option<Key> {
        let session = self.sessions.get(first)?;
        let legs = [Side::Ue, Side::Far].map(|side| {
            let leg = session.side(side);
            let mut blob = [0; 2048];
            let bytes = self.strings.get(&leg.dialog);
            blob[..bytes.len()].copy_from_slice(bytes);
            (blob, bytes.len(), leg.remote_cseq, leg.local_cseq, leg.offset, leg.invite)
        });
        let (user, connection, caller) = (session.user, session.connection, session.caller);
        let (call, mapped) = (session.call, session.mapped);
        let mut copies = [Leg::default(), Leg::default()];
        for (copy, (blob, len, remote_cseq, local_cseq, offset, invite)) in
            copies.iter_mut().zip(legs)
        {
            let dialog = self.strings.store(&blob[..len]).unwrap_or(Handle::EMPTY);
            *copy = Leg { dialog, remote_cseq, local_cseq, offset, invite };
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
            caller,
            call,
            ue,
            far,
            mapped,
            invite: None,
            moving: None,
            is_orphan: false,
            fork: None,
            expires_at: Time::MAX,
            look: Look::default(),
            next_of_connection: None,
        })?;
        self.extend_session(ctx, key, ctx.now.saturating_add(EARLY_NS));
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

    /// One of several dialogs of an INVITE was accepted: the others are over (RFC 3261 clause 13.2.2.4).
    fn drop_other_early(&mut self, ctx: &mut Context<'_>, key: Key) {
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
