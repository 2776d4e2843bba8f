//! How sessions are kept and found.

use imstorm_base::slab::Key;
use imstorm_base::strings::Handle;
use imstorm_base::time::Time;
use imstorm_sip::header::HeaderName;
use imstorm_sip::{DialogParts, Message, Uri};
use smallvec::SmallVec;

use super::super::{Scscf, ScscfAlarm};
use super::{Invite, Leg, SESSIONS_PER_CONNECTION_MAX, Session};
use crate::event::Context;
use crate::proxy::{DEFAULT_PORT, read_hex_u64};

/// Room for a leg's strings.
const LEG_BYTES_MAX: usize = 2048;

impl Scscf {
    /// Puts a session into all tables. `None` where there is no room, and then the legs' strings are given back.
    pub(super) fn insert_session(&mut self, session: Session) -> Option<Key> {
        let (call, connection) = (session.call, session.connection);
        if self.sessions.len() == self.sessions.capacity() {
            self.release_leg(session.ue);
            self.release_leg(session.far);
            return None;
        }
        let key = self.sessions.insert(session).expect("room, as just seen");
        let indexed = self.by_call.insert(call, key.index).is_ok();
        assert!(indexed, "the index has room for as many as the slab");
        self.link_session(connection, key);
        Some(key)
    }

    /// Takes a session out of all tables.
    pub(in super::super) fn drop_session(&mut self, ctx: &mut Context<'_>, key: Key) {
        self.unlink_session(key);
        let Some(mut session) = self.sessions.remove(key) else { return };
        self.by_call.remove(session.call, |place| place == key.index);
        if let Some(moving) = session.moving.take() {
            self.by_call.remove(moving.call, |place| place == key.index);
            self.release_leg(moving.leg);
        }
        if let Some(invite) = session.invite.take() {
            self.end_invite(invite);
        }
        for (_, answer) in session.answers.into_iter().flatten() {
            self.close_own(answer);
        }
        if let Some(fork) = session.fork {
            self.leave_fork(fork, key);
        }
        if let Some(attempt) = session.attempt {
            self.drop_attempt(attempt);
        }
        ctx.counters.sessions_ended += u64::from(session.was_made);
        self.release_leg(session.ue);
        self.release_leg(session.far);
    }

    /// Lets go of what was kept of an INVITE.
    pub(super) fn end_invite(&mut self, invite: Invite) {
        self.strings.release(invite.sent);
        self.strings.release(invite.offer);
        if let Some(cancel) = invite.cancel {
            self.close_own(cancel);
        }
    }

    pub(super) fn release_leg(&mut self, leg: Leg) {
        self.strings.release(leg.dialog);
    }

    /// Puts a session first in its connection's list.
    pub(super) fn link_session(&mut self, connection: Key, key: Key) {
        let Some(subscription) = self.subscriptions.get_mut(connection) else { return };
        let next = subscription.sessions.replace(key);
        if let Some(session) = self.sessions.get_mut(key) {
            session.connection = connection;
            session.next_of_connection = next;
        }
    }

    /// Takes a session out of its connection's list.
    pub(super) fn unlink_session(&mut self, key: Key) {
        let Some(session) = self.sessions.get_mut(key) else { return };
        let (connection, after) = (session.connection, session.next_of_connection.take());
        let Some(subscription) = self.subscriptions.get_mut(connection) else { return };
        if subscription.sessions == Some(key) {
            subscription.sessions = after;
            return;
        }
        let mut next = subscription.sessions;
        while let Some(other) = next {
            let other = self.sessions.get_mut(other).expect("a connection's list is whole");
            if other.next_of_connection == Some(key) {
                other.next_of_connection = after;
                return;
            }
            next = other.next_of_connection;
        }
    }

    /// The sessions over a connection.
    pub(in super::super) fn sessions_over(
        &self,
        connection: Key,
    ) -> SmallVec<[Key; SESSIONS_PER_CONNECTION_MAX]> {
        let mut found = SmallVec::new();
        let mut next = self.subscriptions.get(connection).and_then(|it| it.sessions);
        while let Some(key) = next {
            found.push(key);
            next = self.sessions.get(key).and_then(|session| session.next_of_connection);
        }
        found
    }

    /// The session that a URI of ours names.
    pub(in super::super) fn session_at(&self, uri: &[u8]) -> Option<Key> {
        let uri = Uri::parse(uri).ok()?;
        (uri.socket_addr(DEFAULT_PORT)? == self.config.mw).then_some(())?;
        let key = Key::from_u64(read_hex_u64(uri.user?.strip_prefix(b"S")?)?);
        self.sessions.get(key).map(|_| key)
    }

    /// What a leg is found by.
    pub(super) fn call_hash(&self, call_id: &[u8], tag: &[u8]) -> u64 {
        self.hash.hash2(call_id, tag)
    }

    /// A session that was made, or is to be moved, by a request with these names.
    pub(super) fn session_of_call(
        &self,
        call_id: &[u8],
        tag: &[u8],
        mut is_it: impl FnMut(&Session) -> bool,
    ) -> Option<Key> {
        let place = self.by_call.find(self.call_hash(call_id, tag), |place| {
            let key = self.sessions.key_at(place);
            key.and_then(|key| self.sessions.get(key)).is_some_and(&mut is_it)
        })?;
        self.sessions.key_at(place)
    }

    /// A leg's strings.
    pub(super) fn parts(&self, leg: &Leg) -> DialogParts<'_> {
        DialogParts::decode(self.strings.get(&leg.dialog))
    }

    /// Keeps a leg's strings. `None` where there is no room.
    pub(super) fn keep_parts(&mut self, parts: &DialogParts<'_>) -> Option<Handle> {
        let mut blob = [0; LEG_BYTES_MAX];
        let len = parts.encode(&mut blob).ok()?;
        self.strings.store(&blob[..len]).ok()
    }

    /// Changes what is kept of a leg. False where there is no room; nothing changes then.
    pub(super) fn change_parts(
        &mut self,
        dialog: &mut Handle,
        change: impl for<'p> FnOnce(&DialogParts<'p>, &mut [u8]) -> Option<usize>,
    ) -> bool {
        let mut blob = [0; LEG_BYTES_MAX];
        let parts = DialogParts::decode(self.strings.get(dialog));
        let Some(len) = change(&parts, &mut blob) else { return false };
        self.strings.replace(dialog, &blob[..len]).is_ok()
    }

    /// Something was heard of a session: it has until then.
    pub(super) fn extend_session(&mut self, ctx: &mut Context<'_>, key: Key, until: Time) {
        let Some(session) = self.sessions.get_mut(key) else { return };
        session.expires_at = until;
        self.look_at_session(ctx, key);
    }

    /// Has a session looked after when something is due about it.
    pub(super) fn look_at_session(&mut self, ctx: &mut Context<'_>, key: Key) {
        let Some(session) = self.sessions.get_mut(key) else { return };
        let due_at = session.due_at();
        if due_at == Time::MAX {
            return;
        }
        if let Some(after_ns) = session.look.before(ctx.now, due_at) {
            self.arm(ctx, after_ns, ScscfAlarm::Session(key));
        }
    }

    /// Of the topmost Via of a request.
    pub(super) fn via_of(&self, message: &Message<'_>) -> u64 {
        self.hash.hash(message.list(HeaderName::Via).next().unwrap_or_default())
    }
}
