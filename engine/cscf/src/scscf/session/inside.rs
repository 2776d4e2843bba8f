//! Requests inside a session: whose they are, and whether they may go on.

use std::net::SocketAddr;

use imstorm_base::slab::Key;
use imstorm_base::strings::Handle;
use imstorm_sip::header::HeaderName;
use imstorm_sip::{DialogParts, Message, Method};

use super::super::Scscf;
use super::call::has_usable_cseq;
use super::{EARLY_NS, Invite, SessionStage, Side, Way};
use crate::event::Context;
use crate::proxy::DEFAULT_PORT;

/// Whom a request inside a session is from.
enum Sender {
    /// A party of the session, by the way that it has.
    Party(Way),
    /// The session's UE, by another connection than the session's.
    Elsewhere(Key),
}

/// What is known of a request once it has gone on.
struct Passed {
    /// Its CSeq, as it came and as it was sent.
    came: u32,
    sent: u32,
    /// It has come before.
    is_again: bool,
    /// Where it came from, and where it went.
    peers: (SocketAddr, SocketAddr),
    /// An INVITE's headers as they were sent.
    headers: Handle,
}

impl Scscf {
    /// A request to a session's URI.
    pub(in super::super) fn in_session(
        &mut self,
        ctx: &mut Context<'_>,
        from: SocketAddr,
        message: &Message<'_>,
        key: Key,
    ) {
        let is_ack = message.method() == Method::Ack;
        if !has_usable_cseq(message) {
            ctx.counters.bad_request += 1;
            if !is_ack {
                self.refuse(ctx, from, message, 400, |_| ());
            }
            return;
        }
        let key = self.session_of_sender(message, key);
        let sender = match self.sender(ctx, from, message, key) {
            Ok(sender) => sender,
            Err(_) if is_ack => return,
            Err(status) => return self.refuse(ctx, from, message, status, |_| ()),
        };
        if message.max_forwards().ok().flatten() == Some(0) && !is_ack {
            ctx.counters.too_many_hops += 1;
            return self.refuse(ctx, from, message, 483, |_| ());
        }
        match sender {
            Sender::Party(way) if is_ack => self.pass_ack(ctx, message, (key, way)),
            Sender::Party(way) => self.pass_inside(ctx, from, message, (key, way)),
            Sender::Elsewhere(connection)
                if matches!(message.method(), Method::Invite | Method::Update) =>
            {
                self.refresh_target(ctx, from, message, (key, connection));
            }
            Sender::Elsewhere(_) if is_ack => {}
            Sender::Elsewhere(_) => {
                ctx.counters.session_refused += 1;
                self.refuse(ctx, from, message, 403, |_| ());
            }
        }
    }

    /// Behind somebody else's fork all who were called know the session by the URI of the INVITE: the tag tells whose it is.
    fn session_of_sender(&self, message: &Message<'_>, key: Key) -> Key {
        let session = self.sessions.get(key).expect("a session that was found");
        let is_far = session.stage == SessionStage::Early
            && session.caller == Side::Ue
            && !self.is_from_connection(message);
        let tag = message.tag(HeaderName::From).ok().flatten().filter(|_| is_far);
        let tag = tag.filter(|tag| *tag != self.parts(&session.far).remote_tag);
        tag.and_then(|tag| self.sibling(key, tag)).unwrap_or(key)
    }

    /// Whom a request is from: a UE's has the service route of its connection on top, which its P-CSCF has put there.
    fn sender(
        &self,
        ctx: &mut Context<'_>,
        from: SocketAddr,
        message: &Message<'_>,
        key: Key,
    ) -> Result<Sender, u16> {
        // Nobody is answered who acknowledges.
        let is_asked = u64::from(message.method() != Method::Ack);
        let session = self.sessions.get(key).expect("a session that was found");
        if !self.is_from_connection(message) {
            let is_it = self.parts(&session.far).matches(message).unwrap_or(false);
            return match is_it {
                true => Ok(Sender::Party(Way::Far)),
                false => Err(unknown(ctx)),
            };
        }
        let route = message.routes().next().and_then(Result::ok);
        let over = route.and_then(|route| self.connection_at(ctx.now, route.uri_text));
        let Some(over) = over.filter(|over| self.is_from_pcscf(*over, from)) else {
            ctx.counters.wrong_route += is_asked;
            return Err(403);
        };
        let user = self.subscriptions.get(over).expect("a connection that was found").user;
        if user != session.user {
            ctx.counters.session_refused += is_asked;
            return Err(403);
        }
        let is_of = |leg| self.parts(leg).matches(message).unwrap_or(false);
        match &session.moving {
            Some(moving) if moving.connection == over && is_of(&moving.leg) => {
                Ok(Sender::Party(Way::Moving))
            }
            _ if !is_of(&session.ue) => Err(unknown(ctx)),
            _ if session.connection == over => Ok(Sender::Party(Way::Ue)),
            _ => Ok(Sender::Elsewhere(over)),
        }
    }

    fn pass_inside(
        &mut self,
        ctx: &mut Context<'_>,
        from: SocketAddr,
        message: &Message<'_>,
        (key, way): (Key, Way),
    ) {
        let Ok(cseq) = message.cseq() else { return };
        let session = self.sessions.get(key).expect("a session that was found");
        let last = session.leg(way).map_or(0, |leg| leg.remote_cseq);
        let via = self.via_of(message);
        let is_again = cseq.number == last && session.leg(way).is_some_and(|leg| leg.via == via);
        if session.stage == SessionStage::Ending && !is_again {
            // Both have hung up: the one BYE ends it (RFC 3261 clause 15.1.2).
            let status = if message.method() == Method::Bye { 200 } else { 481 };
            return self.refuse(ctx, from, message, status, |_| ());
        }
        if cseq.number < last || (cseq.number == last && !is_again) {
            return self.refuse(ctx, from, message, 500, |_| ());
        }
        let under_way = session.invite.as_ref().filter(|invite| !invite.refused);
        if let Some(invite) = under_way.filter(|_| message.method() == Method::Invite && !is_again)
        {
            // RFC 3261 clause 14.2.
            let status = if invite.way == way { 500 } else { 491 };
            ctx.counters.invite_glare += 1;
            return self.refuse(ctx, from, message, status, |out| {
                if status == 500 {
                    out.header(imstorm_sip::HeaderName::RetryAfter).text("2").end();
                }
            });
        }
        let sent = self.onward_cseq((key, way), cseq.number, is_again);
        if way == Way::Far {
            self.follow_target(key, message);
        }
        match self.send_onward(ctx, (key, way), message, sent, |_| ()) {
            Ok((to, headers)) => {
                let peers = (from, to);
                let passed = Passed { came: cseq.number, is_again, sent, peers, headers };
                self.went_onward(ctx, (key, way), message, passed);
            }
            Err(stuck) => self.refuse(ctx, from, message, stuck.status(), |_| ()),
        }
    }

    /// The CSeq that a request has on the other leg. One that comes again has the same one again.
    fn onward_cseq(&mut self, (key, way): (Key, Way), came: u32, is_again: bool) -> u32 {
        let session = self.sessions.get_mut(key).expect("a session that was found");
        // What a move adds is its own until it is complete.
        let moving = session.moving.as_ref().filter(|_| way == Way::Moving);
        let moving = moving.map(|moving| moving.leg.invite.1.wrapping_sub(moving.leg.invite.0));
        let leg = session.side_mut(way.onward());
        let mut sent = came.wrapping_add(moving.unwrap_or(leg.offset));
        if !is_again && sent <= leg.local_cseq {
            // The S-CSCF has sent something of its own there meanwhile.
            sent = leg.local_cseq.wrapping_add(1);
            if moving.is_none() {
                leg.offset = sent.wrapping_sub(came);
            }
        }
        leg.local_cseq = leg.local_cseq.max(sent);
        sent
    }

    /// The target of a leg is the last Contact (RFC 3261 clause 12.2.2). A UE's is its connection's.
    fn follow_target(&mut self, key: Key, message: &Message<'_>) {
        let Ok(Some(contact)) = message.contact() else { return };
        if !matches!(message.method(), Method::Invite | Method::Update)
            || contact.uri.socket_addr(DEFAULT_PORT).is_none()
        {
            return;
        }
        let session = self.sessions.get_mut(key).expect("a session that was found");
        let mut dialog = std::mem::take(&mut session.far.dialog);
        self.change_parts(&mut dialog, |parts, out| {
            DialogParts { remote_target: contact.uri_text, ..*parts }.encode(out).ok()
        });
        self.sessions.get_mut(key).expect("found above").far.dialog = dialog;
    }

    fn went_onward(
        &mut self,
        ctx: &mut Context<'_>,
        (key, way): (Key, Way),
        message: &Message<'_>,
        passed: Passed,
    ) {
        let Passed { came, is_again, sent, peers: (upstream, downstream), headers } = passed;
        let via = self.via_of(message);
        let session = self.sessions.get_mut(key).expect("a session that was found");
        if let Some(leg) = session.leg_mut(way) {
            leg.remote_cseq = came;
            leg.via = via;
        }
        let method = message.method();
        if method == Method::Update && way == Way::Moving && !is_again {
            // It moves the session as the one before would have.
            if let Some(leg) = session.leg_mut(way) {
                leg.note_invite(came, sent);
            }
        }
        if method == Method::Invite && !is_again {
            if let Some(leg) = session.leg_mut(way) {
                leg.note_invite(came, sent);
            }
            let offer = self.keep_offer(way, message);
            let session = self.sessions.get_mut(key).expect("found above");
            let invite = Invite {
                way,
                is_initial: false,
                cseq: came,
                via,
                until: ctx.now.saturating_add(EARLY_NS),
                upstream,
                downstream,
                sent: headers,
                offer,
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
            return;
        }
        self.strings.release(headers);
        if method == Method::Bye && !is_again {
            self.sessions.get_mut(key).expect("found above").stage = SessionStage::Ending;
            let longest_ns = self.config.ue_leg.timer_f_ns() + self.config.core.t4_ns;
            self.extend_session(ctx, key, ctx.now.saturating_add(longest_ns));
        }
    }

    /// ACK of a 2xx, or of a refusal: as the INVITE went.
    fn pass_ack(&mut self, ctx: &mut Context<'_>, message: &Message<'_>, (key, way): (Key, Way)) {
        if self.is_answer_acknowledged(ctx, (key, way), message) {
            return;
        }
        let session = self.sessions.get(key).expect("a session that was found");
        let came = message.cseq().map_or(0, |cseq| cseq.number);
        let sent = session.leg(way).and_then(|leg| leg.acknowledged(came));
        let Some(sent) = sent else { return };
        let is_refused = |it: &Invite| it.refused && it.way == way && it.cseq == came;
        if session.invite.as_ref().is_some_and(is_refused) {
            return self.acknowledged(ctx, key, message);
        }
        if let Ok((_, headers)) = self.send_onward(ctx, (key, way), message, sent, |_| ()) {
            self.strings.release(headers);
        }
    }

    /// ACK of a refusal whose Request-URI is not a session's: that of an INVITE outside dialogs.
    pub(in super::super) fn ack_outside(
        &mut self,
        ctx: &mut Context<'_>,
        from: SocketAddr,
        message: &Message<'_>,
    ) {
        for key in self.invites_like(message, |invite| invite.upstream == from) {
            self.acknowledged(ctx, key, message);
        }
    }

    /// A refusal has been acknowledged: nothing is left of the INVITE, nor of a session that it did not make.
    fn acknowledged(&mut self, ctx: &mut Context<'_>, key: Key, ack: &Message<'_>) {
        if !self.sessions.get(key).is_some_and(super::Session::is_refused) {
            return;
        }
        self.acknowledge_refusal(ctx, key, ack);
        let session = self.sessions.get_mut(key).expect("found above");
        let Some(invite) = session.invite.take_if(|invite| invite.refused) else { return };
        let (is_initial, way, came) = (invite.is_initial, invite.way, invite.cseq);
        if let Some(leg) = session.leg_mut(way) {
            leg.forget_invite(came);
        }
        self.end_invite(invite);
        if is_initial {
            self.drop_other_early(ctx, key);
            self.drop_session(ctx, key);
        } else if self.sessions.get(key).is_some_and(|it| it.stage == SessionStage::Ending) {
            self.drop_session(ctx, key);
        } else if way == Way::Moving {
            self.abandon_move(key);
            self.end_if_orphaned(ctx, key);
        }
    }
}

fn unknown(ctx: &mut Context<'_>) -> u16 {
    ctx.counters.dialog_unknown += 1;
    481
}
