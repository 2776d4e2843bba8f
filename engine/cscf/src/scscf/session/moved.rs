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
use super::{Invite, Leg, Moving, SessionStage, Way};
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
        let replaced = match self.replaced(message, user) {
            Ok(key) => self.may_move(key).map(|()| key),
            Err(status) => Err(status),
        };
        let key = match replaced {
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
        self.begin_move(ctx, from, message, key, Moving { leg, connection, call, replaces: true });
    }

    /// The session that Replaces names, if it is this user's.
    fn replaced(&self, message: &Message<'_>, user: UserId) -> Result<Key, u16> {
        // RFC 3891 clause 3: more than one is malformed.
        if message.lines(HeaderName::Replaces).count() != 1 {
            return Err(400);
        }
        let replaces = message.replaces().ok().flatten().ok_or(400_u16)?;
        let key = self.session_of_replaces(&replaces).ok_or(481_u16)?;
        let session = self.sessions.get(key).expect("a session that was found");
        if session.user != user {
            return Err(403);
        }
        if session.stage == SessionStage::Confirmed && replaces.early_only {
            return Err(486);
        }
        Ok(key)
    }

    /// Its tags are as the UE has them: to-tag ours, from-tag the UE's (RFC 3891 clause 3).
    fn session_of_replaces(&self, replaces: &Replaces<'_>) -> Option<Key> {
        let is_it = |session: &super::Session| {
            let parts = self.parts(&session.ue);
            parts.call_id == replaces.call_id
                && parts.local_tag == replaces.to_tag
                && parts.remote_tag == replaces.from_tag
        };
        self.session_of_call(replaces.call_id, replaces.from_tag, is_it)
            .or_else(|| self.session_of_call(replaces.call_id, replaces.to_tag, is_it))
    }

    /// Whether a session may be moved now.
    fn may_move(&self, key: Key) -> Result<(), u16> {
        let session = self.sessions.get(key).expect("a session that was found");
        match session.stage {
            // The S-CSCF has not initiated what the UE has, and what rings at the UE is the caller's (RFC 3891 clause 3).
            SessionStage::Early => Err(481),
            SessionStage::Ending => Err(603),
            SessionStage::Confirmed if session.invite.as_ref().is_some_and(|it| !it.refused) => {
                Err(491)
            }
            SessionStage::Confirmed => Ok(()),
        }
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
        Some((Leg { dialog, remote_cseq: cseq, ..Leg::default() }, call))
    }

    /// A target refresh over another connection of the session's user: the same dialog, another way.
    pub(super) fn refresh_target(
        &mut self,
        ctx: &mut Context<'_>,
        from: SocketAddr,
        message: &Message<'_>,
        (key, connection): (Key, Key),
    ) {
        if let Err(status) = self.may_move(key) {
            return self.refuse(ctx, from, message, status, |_| ());
        }
        let Ok(Some(contact)) = message.contact() else {
            ctx.counters.bad_request += 1;
            return self.refuse(ctx, from, message, 400, |_| ());
        };
        let session = self.sessions.get(key).expect("a session that was found");
        let cseq = message.cseq().map_or(0, |cseq| cseq.number);
        if session.moving.is_some() || cseq <= session.ue.remote_cseq {
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
        let leg = Leg { dialog, remote_cseq: cseq, local_cseq, offset, invite: (0, 0) };
        self.begin_move(ctx, from, message, key, Moving { leg, connection, call, replaces: false });
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
        let sent = match moving.replaces {
            true => session.far.local_cseq.wrapping_add(1),
            false => came.wrapping_add(session.far.offset).max(session.far.local_cseq + 1),
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
            Ok((to, headers)) => self.keep_moving_invite(key, message, from, to, headers),
            Err(stuck) => {
                self.abandon_move(key);
                self.refuse(ctx, from, message, stuck.status(), |_| ());
            }
        }
    }

    fn keep_moving_invite(
        &mut self,
        key: Key,
        message: &Message<'_>,
        upstream: SocketAddr,
        downstream: SocketAddr,
        sent: Handle,
    ) {
        let session = self.sessions.get_mut(key).expect("a session that was found");
        if message.method() != imstorm_sip::Method::Invite {
            self.strings.release(sent);
            return;
        }
        let cseq = message.cseq().map_or(0, |cseq| cseq.number);
        let invite = Invite {
            way: Way::Moving,
            is_initial: false,
            cseq,
            upstream,
            downstream,
            sent,
            refused: false,
            cancel: None,
        };
        if let Some(before) = session.invite.replace(invite) {
            self.end_invite(before);
        }
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
        let is_this = |moving: &mut Moving| moving.leg.remote_cseq == cseq;
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
