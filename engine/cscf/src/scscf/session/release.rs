//! The network ends sessions: with their connection (the paper's section 3.1, "The release of all sessions using same contact address as
//! the subscription dialog"; TS 24.229 clause 5.4.5.1.2), or because nothing is heard of them.

use imstorm_base::TextRoom;
use imstorm_base::slab::Key;
use imstorm_sip::header::HeaderName;
use imstorm_sip::{DialogParts, Method, Uri, Writer, dialog, parse};

use super::super::Scscf;
use super::onward::write_party;
use super::{Invite, Leg, SessionStage, Way};
use crate::event::Context;
use crate::proxy::DEFAULT_PORT;

impl Scscf {
    /// Ends all sessions over a connection, both parties being told; its UE only if it can be.
    pub(in super::super) fn release_sessions_over(
        &mut self,
        ctx: &mut Context<'_>,
        connection: Key,
        reaches_ue: bool,
    ) {
        for key in self.sessions_over(connection) {
            if self.keep_for_move(ctx, key, reaches_ue) {
                continue;
            }
            self.release_session(ctx, key, reaches_ue);
        }
    }

    /// Ends a session: BYE to both parties, or what ends an INVITE that is under way.
    pub(super) fn release_session(&mut self, ctx: &mut Context<'_>, key: Key, reaches_ue: bool) {
        let Some(stage) = self.sessions.get(key).map(|session| session.stage) else { return };
        match stage {
            SessionStage::Ending => {}
            SessionStage::Early if self.go_by_next_flow(ctx, key) => {
                self.send_cancel(ctx, key);
                self.keep_cancelling(key);
            }
            SessionStage::Early => {
                ctx.counters.sessions_released += 1;
                self.give_up_call(ctx, key, 480, reaches_ue);
            }
            SessionStage::Confirmed => {
                ctx.counters.sessions_released += 1;
                self.refuse_caller(ctx, key, 480, reaches_ue);
                self.bye_both(ctx, key, reaches_ue);
            }
        }
        self.drop_session(ctx, key);
    }

    /// An INVITE that is to make a session is answered in the place of whom it went to, unless others may still accept it, and cancelled.
    fn give_up_call(&mut self, ctx: &mut Context<'_>, key: Key, status: u16, reaches_ue: bool) {
        if let Some(status) = self.fork_lost(key, status) {
            self.refuse_caller(ctx, key, status, reaches_ue);
        }
        self.send_cancel(ctx, key);
        self.keep_cancelling(key);
    }

    fn bye_both(&mut self, ctx: &mut Context<'_>, key: Key, reaches_ue: bool) {
        let Some(session) = self.sessions.get_mut(key) else { return };
        let connection = session.connection;
        let (ue, far) = (std::mem::take(&mut session.ue), std::mem::take(&mut session.far));
        if reaches_ue {
            self.send_bye(ctx, &ue, Some(connection));
        }
        self.send_bye(ctx, &far, None);
        let session = self.sessions.get_mut(key).expect("found above");
        session.ue = ue;
        session.far = far;
    }

    /// An INVITE that is under way is answered in the place of whom it went to.
    fn refuse_caller(&mut self, ctx: &mut Context<'_>, key: Key, status: u16, reaches_ue: bool) {
        let Some(session) = self.sessions.get(key) else { return };
        let Some(invite) = session.invite.as_ref().filter(|invite| !invite.refused) else { return };
        if invite.way != Way::Far && !reaches_ue {
            return;
        }
        let Some(parts) = session.leg(invite.way).map(|leg| self.parts(leg)) else { return };
        let mut index = imstorm_sip::Index::default();
        let Ok(sent) = parse(self.strings.get(&invite.sent), &mut index) else { return };
        let own_tag = self.visible.hash(parts.call_id).to_be_bytes();
        self.send(ctx, invite.upstream, |out| {
            let mut writer = Writer::new(out);
            writer.status(status);
            for via in sent.list(HeaderName::Via).skip(1) {
                writer.header(HeaderName::Via).put(via).end();
            }
            // As the leg has it that the INVITE came on.
            write_party(parts.remote_uri, parts.remote_tag, writer.header(HeaderName::From));
            write_party(parts.local_uri, parts.local_tag, writer.end().header(HeaderName::To));
            if parts.local_tag.is_empty() {
                writer.put(b";tag=").hex(&own_tag);
            }
            writer.end().header(HeaderName::CallId).put(parts.call_id).end();
            writer.header(HeaderName::CSeq).decimal(u64::from(invite.cseq)).text(" INVITE").end();
            writer.finish().ok()
        });
    }

    /// The session goes, and its CANCEL stays until it is answered or has been repeated long enough.
    pub(super) fn keep_cancelling(&mut self, key: Key) {
        if let Some(invite) = self.sessions.get_mut(key).and_then(|it| it.invite.as_mut()) {
            invite.cancel = None;
        }
    }

    /// BYE on a leg: to a UE over this connection, else to the far end.
    pub(super) fn send_bye(&mut self, ctx: &mut Context<'_>, leg: &Leg, over: Option<Key>) {
        let mut blob = [0; 2048];
        let kept = self.strings.get(&leg.dialog);
        let Some(blob) = blob.get_mut(..kept.len()) else { return };
        blob.copy_from_slice(kept);
        if blob.is_empty() {
            return;
        }
        let mut routes = [0; 1024];
        let mut parts = DialogParts::decode(blob);
        let to = match over {
            Some(connection) => {
                let mut room = TextRoom::default();
                let route = self.route_to(connection, &mut room);
                let Some(room) = routes.get_mut(..route.len()) else { return };
                room.copy_from_slice(route);
                parts.routes = room;
                self.subscriptions.get(connection).map(|found| found.pcscf.get())
            }
            None => {
                let hop = dialog::next_hop(&parts).ok().and_then(|hop| Uri::parse(hop).ok());
                hop.and_then(|uri| uri.socket_addr(DEFAULT_PORT))
            }
        };
        let Some(to) = to else { return };
        let via = self.via.clone();
        let (boot, cseq) = (self.config.boot, leg.local_cseq.wrapping_add(1));
        self.ask_own(ctx, to, |own, out| {
            let mut writer = dialog::request(&parts, Method::Bye, cseq, out);
            via.write_head(writer.header(HeaderName::Via));
            writer.hex_u64(own.to_u64()).hex_u64(boot).end();
            writer.finish().ok()
        });
    }

    /// A session's alarm: nothing was heard of it, or of an INVITE in it, in time, unless something was meanwhile.
    pub(in super::super) fn session_is_due(&mut self, ctx: &mut Context<'_>, key: Key) {
        let now = ctx.now;
        let Some(session) = self.sessions.get_mut(key).filter(|it| it.look.is_now(now)) else {
            return;
        };
        let is_lost = |it: &mut Invite| !it.is_initial && !it.refused && it.until <= now;
        if let Some(invite) = session.invite.take_if(is_lost) {
            let is_move = invite.way == Way::Moving;
            self.end_invite(invite);
            if is_move {
                self.abandon_move(key);
                self.end_if_orphaned(ctx, key);
            }
        }
        let is_stuck = self.sessions.get(key).and_then(|session| session.moving.as_ref());
        if is_stuck.is_some_and(|moving| moving.until <= now) {
            self.abandon_move(key);
            self.end_if_orphaned(ctx, key);
        }
        let Some(session) = self.sessions.get(key) else { return };
        if session.expires_at > now {
            return self.look_at_session(ctx, key);
        }
        match session.stage {
            SessionStage::Ending => self.drop_session(ctx, key),
            SessionStage::Early if session.is_refused() => self.drop_session(ctx, key),
            SessionStage::Early => {
                ctx.counters.sessions_expired += 1;
                self.give_up_call(ctx, key, 408, true);
                self.drop_session(ctx, key);
            }
            SessionStage::Confirmed => {
                ctx.counters.sessions_expired += 1;
                self.release_session(ctx, key, true);
            }
        }
    }
}
