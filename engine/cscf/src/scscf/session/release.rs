//! The network ends sessions: with their connection (the paper's section 3.1, "The release of all sessions using same contact address as
//! the subscription dialog"; TS 24.229 clause 5.4.5.1.2), or because nothing is heard of them.

use imstorm_base::slab::Key;
use imstorm_sip::header::HeaderName;
use imstorm_sip::{DialogParts, Method, Uri, dialog, parse};

use super::super::Scscf;
use super::{Leg, SessionStage, Way};
use crate::event::Context;
use crate::proxy::{self, DEFAULT_PORT};

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
        let Some(session) = self.sessions.get(key) else { return };
        match session.stage {
            SessionStage::Ending => {}
            SessionStage::Early => {
                ctx.counters.sessions_released += 1;
                self.refuse_caller(ctx, key, 480, reaches_ue);
                self.send_cancel(ctx, key);
                self.keep_cancelling(key);
            }
            SessionStage::Confirmed => {
                ctx.counters.sessions_released += 1;
                self.refuse_caller(ctx, key, 480, reaches_ue);
                self.bye_both(ctx, key, reaches_ue);
            }
        }
        self.drop_session(ctx, key);
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
        let is_from_ue = invite.way != Way::Far;
        if (is_from_ue && !reaches_ue) || session.mapped || invite.way == Way::Moving {
            return;
        }
        let mut index = imstorm_sip::Index::default();
        let Ok(sent) = parse(self.strings.get(&invite.sent), &mut index) else { return };
        self.send(ctx, invite.upstream, |out| proxy::respond_upstream(&sent, status, out));
    }

    /// The session goes, and its CANCEL stays until it is answered or has been repeated long enough.
    fn keep_cancelling(&mut self, key: Key) {
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
                let route = self.route_to(connection);
                let Some(room) = routes.get_mut(..route.len()) else { return };
                room.copy_from_slice(route);
                parts.routes = room;
                self.subscriptions.get(connection).map(|found| found.pcscf)
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

    /// A session's alarm: nothing was heard of it in time, unless something was meanwhile.
    pub(in super::super) fn session_is_due(&mut self, ctx: &mut Context<'_>, key: Key) {
        let Some(session) = self.sessions.get(key).filter(|it| it.look.is_now(ctx.now)) else {
            return;
        };
        if session.expires_at > ctx.now {
            let until = session.expires_at;
            return self.extend_session(ctx, key, until);
        }
        let waits_for_ack = session.invite.as_ref().is_some_and(|invite| invite.refused);
        match session.stage {
            SessionStage::Ending => self.drop_session(ctx, key),
            SessionStage::Early if waits_for_ack => self.drop_session(ctx, key),
            SessionStage::Early | SessionStage::Confirmed => {
                ctx.counters.sessions_expired += 1;
                self.release_session(ctx, key, true);
            }
        }
    }
}
