//! The dialogs that one INVITE makes before it is accepted: one, or behind somebody else's fork several (RFC 3261 clause 12.1).

use imstorm_base::slab::Key;
use imstorm_base::strings::Handle;
use imstorm_base::time::Time;
use imstorm_sip::header::HeaderName;
use imstorm_sip::{DialogParts, Message, dialog};

use super::super::Scscf;
use super::onward::Branch;
use super::{Leg, SESSIONS_PER_CONNECTION_MAX, Session, SessionStage, Side};
use crate::event::Context;
use crate::look::Look;

impl Scscf {
    /// The early dialog that a provisional response is of: behind somebody else's fork there may be several, each of which has a session.
    pub(super) fn early_dialog(
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
    pub(super) fn sibling(&self, first: Key, tag: &[u8]) -> Option<Key> {
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
    pub(super) fn adopt_dialog(&mut self, ctx: &mut Context<'_>, key: Key, message: &Message<'_>) {
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
            let mut blob = [0; 2048];
            let bytes = self.strings.get(&session.side(side).dialog);
            blob[..bytes.len()].copy_from_slice(bytes);
            (blob, bytes.len())
        });
        let (came, sent) = session.ue.invite;
        let (user, connection, caller) = (session.user, session.connection, session.caller);
        let (call, mapped) = (session.call, session.mapped);
        // Each dialog numbers its requests for itself, from the INVITE on.
        let mut copies = [
            Leg { remote_cseq: came, invite: (came, sent), ..Leg::default() },
            Leg { local_cseq: sent, ..Leg::default() },
        ];
        for (copy, (blob, len)) in copies.iter_mut().zip(legs) {
            copy.dialog = self.strings.store(&blob[..len]).unwrap_or(Handle::EMPTY);
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
            attempt: None,
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
}
