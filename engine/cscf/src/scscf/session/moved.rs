//! A session goes over another connection of its user (the paper's section 3.2): by an INVITE that replaces the UE's dialog (RFC 3891),
//! or by a target refresh in it (RFC 3261 clause 12.2). The far end sees a re-INVITE or UPDATE of the dialog that it has; from the 2xx on
//! everything for the UE goes the new way.

use std::net::SocketAddr;

use imstorm_base::slab::Key;
use imstorm_base::strings::Handle;
use imstorm_sip::field::replaces::Replaces;
use imstorm_sip::header::HeaderName;
use imstorm_sip::{DialogParts, Edits, Message, dialog};

use super::super::Scscf;
use super::{EARLY_NS, Invite, Leg, Moving, SESSIONS_PER_CONNECTION_MAX, SessionStage, Way};
use crate::event::Context;
use crate::hss::UserId;

impl Scscf {
    /// An INVITE with Replaces, over a connection of this user.
    pub(super) fn replace_leg(
        &mut self,
        ctx: &mut Context<'_>,
        from: SocketAddr,
        message: &Message<'_>,
        (user, connection): (UserId, Key),
    ) {
        if self.is_moved_by(message, user) {
            // Its answer is on the way, and comes again by itself.
            ctx.counters.retransmissions_in += 1;
            return;
        }
        let mut meets = false;
        let replaced = match self.replaced(message, user) {
            Ok(key) if self.meets(key, connection, message) => {
                meets = true;
                Ok(key)
            }
            Ok(key) => self.may_replace(key).map(|()| key),
            Err(status) => Err(status),
        };
        let has_room = self.has_room_for_more(connection);
        let key = match replaced {
            Ok(_) if !has_room => {
                ctx.counters.too_many_pending += 1;
                return self.refuse(ctx, from, message, 503, |_| ());
            }
            Ok(key) => key,
            Err(status) => {
                ctx.counters.replaces_refused += 1;
                return self.refuse(ctx, from, message, status, |_| ());
            }
        };
        let Some((leg, call)) = self.replacing_leg(ctx, message) else {
            ctx.counters.table_full += 1;
            return self.refuse(ctx, from, message, 503, |_| ());
        };
        if meets {
            return self.meet(ctx, from, message, (key, connection), (leg, call));
        }
        let until = ctx.now.saturating_add(EARLY_NS);
        let moving = Moving { leg, connection, call, until, replaces: true };
        self.begin_move(ctx, from, message, key, moving);
    }

    /// Whether it is the INVITE that has moved a session already.
    fn is_moved_by(&self, message: &Message<'_>, user: UserId) -> bool {
        let (Ok(call_id), Ok(tag), Ok(cseq)) =
            (message.call_id(), message.tag(HeaderName::From), message.cseq())
        else {
            return false;
        };
        let via = self.via_of(message);
        let is_it = |session: &super::Session| {
            session.user == user
                && session.ue.via == via
                && session.ue.remote_cseq == cseq.number
                && self.parts(&session.ue).call_id == call_id
        };
        self.session_of_call(call_id, tag.unwrap_or_default(), is_it).is_some()
    }

    /// Whether a connection may take one more session that comes from another one.
    fn has_room_for_more(&self, connection: Key) -> bool {
        self.sessions_over(connection).len() < 2 * SESSIONS_PER_CONNECTION_MAX
    }

    /// The session that Replaces names, if it is this user's.
    fn replaced(&self, message: &Message<'_>, user: UserId) -> Result<Key, u16> {
        // RFC 3891 clause 3: more than one is malformed.
        if message.lines(HeaderName::Replaces).count() != 1 {
            return Err(400);
        }
        let replaces = message.replaces().ok().flatten().ok_or(400_u16)?;
        let own = self.session_of_replaces(&replaces, |session| session.user == user);
        let key = match own {
            Some(key) => key,
            None if self.session_of_replaces(&replaces, |_| true).is_some() => return Err(403),
            None => return Err(481),
        };
        let session = self.sessions.get(key).expect("a session that was found");
        if session.stage == SessionStage::Confirmed && replaces.early_only {
            return Err(486);
        }
        Ok(key)
    }

    /// Its tags are as the UE has them: to-tag ours, from-tag the UE's (RFC 3891 clause 3).
    fn session_of_replaces(
        &self,
        replaces: &Replaces<'_>,
        is_whose: impl Fn(&super::Session) -> bool,
    ) -> Option<Key> {
        let is_it = |session: &super::Session| {
            let parts = self.parts(&session.ue);
            is_whose(session)
                && parts.call_id == replaces.call_id
                && parts.local_tag == replaces.to_tag
                && parts.remote_tag == replaces.from_tag
        };
        self.session_of_call(replaces.call_id, replaces.from_tag, is_it)
            .or_else(|| self.session_of_call(replaces.call_id, replaces.to_tag, is_it))
    }

    /// Whether a session's dialog may be replaced now.
    fn may_replace(&self, key: Key) -> Result<(), u16> {
        match self.sessions.get(key).expect("a session that was found").stage {
            // The S-CSCF has not initiated what the UE has, and what rings at the UE is the caller's (RFC 3891 clause 3).
            SessionStage::Early => Err(481),
            SessionStage::Ending => Err(603),
            SessionStage::Confirmed => self.may_change(key),
        }
    }

    /// 491 while something else changes the session.
    fn may_change(&self, key: Key) -> Result<(), u16> {
        let session = self.sessions.get(key).expect("a session that was found");
        let is_busy = session.invite.is_some() || session.moving.is_some();
        if is_busy && !session.is_refused() { Err(491) } else { Ok(()) }
    }

    /// The dialog that such an INVITE makes, with a tag of our own.
    fn replacing_leg(
        &mut self,
        ctx: &mut Context<'_>,
        message: &Message<'_>,
    ) -> Option<(Leg, u64)> {
        let (from, to) = (message.from().ok()?, message.to().ok()?);
        let (call_id, cseq) = (message.call_id().ok()?, message.cseq().ok()?.number);
        let mut tag = [0; 16];
        let mut writer = imstorm_sip::Writer::new(&mut tag);
        writer.hex_u64(ctx.random.next_u64());
        let mut routes = [0; 1024];
        let len = dialog::route_set(message, false, &mut routes).ok()?;
        let parts = DialogParts {
            call_id,
            local_tag: &tag,
            remote_tag: from.tag()?,
            local_uri: to.uri_text,
            remote_uri: from.uri_text,
            remote_target: message.contact().ok()??.uri_text,
            routes: &routes[..len],
        };
        let call = self.call_hash(call_id, parts.remote_tag);
        let dialog = self.keep_parts(&parts)?;
        let via = self.via_of(message);
        Some((Leg { dialog, remote_cseq: cseq, via, ..Leg::default() }, call))
    }

    /// A target refresh over another connection of the session's user: the same dialog, another way.
    pub(super) fn refresh_target(
        &mut self,
        ctx: &mut Context<'_>,
        from: SocketAddr,
        message: &Message<'_>,
        (key, connection): (Key, Key),
    ) {
        let allowed = match self.sessions.get(key).expect("a session that was found").stage {
            // A dialog that is not made yet stays where it is; 481 would say that it is gone (RFC 5057 clause 5.1).
            SessionStage::Early => Err(491),
            SessionStage::Ending => Err(481),
            SessionStage::Confirmed if !self.has_room_for_more(connection) => Err(503),
            SessionStage::Confirmed => self.may_change(key),
        };
        if let Err(status) = allowed {
            return self.refuse(ctx, from, message, status, |_| ());
        }
        let Ok(Some(contact)) = message.contact() else {
            ctx.counters.bad_request += 1;
            return self.refuse(ctx, from, message, 400, |_| ());
        };
        let session = self.sessions.get(key).expect("a session that was found");
        let cseq = message.cseq().map_or(0, |cseq| cseq.number);
        if cseq <= session.ue.remote_cseq {
            return self.refuse(ctx, from, message, 500, |_| ());
        }
        let parts = self.parts(&session.ue);
        let mut routes = [0; 1024];
        let len = dialog::route_set(message, false, &mut routes).unwrap_or(0);
        let parts =
            DialogParts { remote_target: contact.uri_text, routes: &routes[..len], ..parts };
        let mut blob = [0; 2048];
        let call = session.call;
        let local_cseq = session.ue.local_cseq;
        let offset = session.ue.offset;
        let kept = parts.encode(&mut blob).ok();
        let kept = kept.and_then(|len| self.strings.store(&blob[..len]).ok());
        let Some(dialog) = kept else {
            ctx.counters.table_full += 1;
            return self.refuse(ctx, from, message, 503, |_| ());
        };
        let via = self.via_of(message);
        let leg = Leg { dialog, remote_cseq: cseq, local_cseq, offset, via, ..Leg::default() };
        let until = ctx.now.saturating_add(EARLY_NS);
        let moving = Moving { leg, connection, call, until, replaces: false };
        self.begin_move(ctx, from, message, key, moving);
    }

    /// Sends what moves a session on to the far end.
    fn begin_move(
        &mut self,
        ctx: &mut Context<'_>,
        from: SocketAddr,
        message: &Message<'_>,
        key: Key,
        moving: Moving,
    ) {
        self.abandon_move(key);
        let call = moving.call;
        let session = self.sessions.get_mut(key).expect("a session that was found");
        let came = moving.leg.remote_cseq;
        let next = session.far.local_cseq.wrapping_add(1);
        let sent = match moving.replaces {
            true => next,
            false => came.wrapping_add(session.far.offset).max(next),
        };
        session.far.local_cseq = sent;
        session.moving = Some(moving);
        let leg = &mut session.moving.as_mut().expect("just set").leg;
        leg.invite = (came, sent);
        let indexed = self.by_call.insert(call, key.index).is_ok();
        assert!(indexed, "the index has room for two of each");
        let way = (key, Way::Moving);
        let onward =
            self.send_onward(ctx, way, message, sent, |edits| edit_replacing(edits, message));
        match onward {
            Ok((to, headers)) => self.keep_moving_invite(ctx, key, message, from, to, headers),
            Err(stuck) => {
                self.abandon_move(key);
                self.refuse(ctx, from, message, stuck.status(), |_| ());
            }
        }
    }

    fn keep_moving_invite(
        &mut self,
        ctx: &mut Context<'_>,
        key: Key,
        message: &Message<'_>,
        upstream: SocketAddr,
        downstream: SocketAddr,
        sent: Handle,
    ) {
        let via = self.via_of(message);
        let session = self.sessions.get_mut(key).expect("a session that was found");
        if message.method() != imstorm_sip::Method::Invite {
            self.strings.release(sent);
            self.look_at_session(ctx, key);
            return;
        }
        let cseq = message.cseq().map_or(0, |cseq| cseq.number);
        let invite = Invite {
            way: Way::Moving,
            is_initial: false,
            cseq,
            via,
            until: ctx.now.saturating_add(EARLY_NS),
            upstream,
            downstream,
            sent,
            offer: Handle::EMPTY,
            heard: false,
            progressed: false,
            refused: false,
            cancelled: false,
            cancel: None,
        };
        if let Some(before) = session.invite.replace(invite) {
            self.end_invite(before);
        }
        self.look_at_session(ctx, key);
    }

    /// The far end has agreed: the session runs over the new connection. `offset` is what was added to the request's CSeq.
    pub(super) fn complete_move(
        &mut self,
        ctx: &mut Context<'_>,
        key: Key,
        cseq: u32,
        offset: u32,
    ) {
        let session = self.sessions.get_mut(key).expect("a session that was found");
        // A 2xx that comes again may be of a move before.
        let is_this = |moving: &mut Moving| moving.leg.invite == (cseq, cseq.wrapping_add(offset));
        let Some(moving) = session.moving.take_if(is_this) else { return };
        let (before, before_call) = (session.connection, session.call);
        let is_live = self
            .subscriptions
            .get(moving.connection)
            .is_some_and(|connection| connection.ending.is_none());
        if !is_live {
            // The connection that it was to go over has ended meanwhile.
            self.by_call.remove(moving.call, |place| place == key.index);
            self.release_leg(moving.leg);
            return self.release_session(ctx, key, true);
        }
        let old = std::mem::replace(&mut session.ue, moving.leg);
        if !moving.replaces {
            // The far end may have sent something on the old way meanwhile.
            session.ue.local_cseq = session.ue.local_cseq.max(old.local_cseq);
        }
        session.call = moving.call;
        session.far.offset = offset;
        session.mapped |= moving.replaces;
        let was_orphan = std::mem::take(&mut session.is_orphan);
        self.by_call.remove(before_call, |place| place == key.index);
        self.unlink_session(key);
        self.link_session(moving.connection, key);
        ctx.counters.sessions_moved += 1;
        if moving.replaces && !was_orphan {
            self.send_bye(ctx, &old, Some(before));
        }
        self.release_leg(old);
        self.end_moved_too_late(ctx, key);
    }

    /// The far end has hung up while it agreed: the leg that was just made ends as well.
    fn end_moved_too_late(&mut self, ctx: &mut Context<'_>, key: Key) {
        let Some(session) = self.sessions.get_mut(key) else { return };
        if session.stage != SessionStage::Ending {
            return;
        }
        let connection = session.connection;
        let leg = std::mem::take(&mut session.ue);
        self.send_bye(ctx, &leg, Some(connection));
        self.sessions.get_mut(key).expect("found above").ue = leg;
    }

    /// The connection that a session runs over ends while the session is being moved to another: it follows it at once, and ends if the
    /// far end does not agree.
    pub(super) fn keep_for_move(
        &mut self,
        ctx: &mut Context<'_>,
        key: Key,
        reaches_ue: bool,
    ) -> bool {
        let Some(session) = self.sessions.get(key) else { return false };
        let Some(moving) = session.moving.as_ref() else { return false };
        let (before, after) = (session.connection, moving.connection);
        let is_live = self.subscriptions.get(after).is_some_and(|found| found.ending.is_none());
        if before == after || !is_live {
            return false;
        }
        let ends_leg = moving.replaces && reaches_ue && !session.is_orphan;
        let session = self.sessions.get_mut(key).expect("found above");
        session.is_orphan = true;
        let leg = std::mem::take(&mut session.ue);
        if ends_leg {
            self.send_bye(ctx, &leg, Some(before));
        }
        self.sessions.get_mut(key).expect("found above").ue = leg;
        self.unlink_session(key);
        self.link_session(after, key);
        true
    }

    /// A move has failed: a session whose connection is gone goes as well.
    pub(super) fn end_if_orphaned(&mut self, ctx: &mut Context<'_>, key: Key) {
        if self.sessions.get(key).is_some_and(|session| session.is_orphan) {
            self.release_session(ctx, key, false);
        }
    }

    /// Whether a response is of the move that is under way.
    pub(super) fn is_of_move(&self, key: Key, cseq: u32, offset: u32) -> bool {
        let moving = self.sessions.get(key).and_then(|session| session.moving.as_ref());
        moving.is_some_and(|it| it.leg.invite == (cseq, cseq.wrapping_add(offset)))
    }

    /// The session stays where it is.
    pub(super) fn abandon_move(&mut self, key: Key) {
        let Some(session) = self.sessions.get_mut(key) else { return };
        let Some(moving) = session.moving.take() else { return };
        self.by_call.remove(moving.call, |place| place == key.index);
        self.release_leg(moving.leg);
    }
}

/// What only the S-CSCF had to know of a request that moves a session.
pub(super) fn edit_replacing(edits: &mut Edits, message: &Message<'_>) {
    if message.lines(HeaderName::Replaces).next().is_some() {
        edits.remove(HeaderName::Replaces);
        edits.remove_options(message, HeaderName::Require, &["replaces"]);
    }
}
