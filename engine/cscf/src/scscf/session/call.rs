//! The INVITE that makes a session (TS 24.229 clauses 5.4.3.2 and 5.4.3.3): from a UE over its secure connection, or for the contacts
//! that are bound to an identity.

use std::net::SocketAddr;

use imstorm_base::TextRoom;
use imstorm_base::slab::Key;
use imstorm_base::strings::Handle;
use imstorm_base::time::Time;
use imstorm_sip::header::HeaderName;
use imstorm_sip::{DialogParts, Message, Uri, dialog, parse};
use smallvec::SmallVec;

use super::super::Scscf;
use super::super::binding::BindingParts;
use super::super::registrar::BINDINGS_PER_IDENTITY_MAX;
use super::super::targets::Target;
use super::onward::Stuck;
use super::{EARLY_NS, Invite, Leg, SESSIONS_PER_CONNECTION_MAX, Session, SessionStage, Side, Way};
use crate::event::Context;
use crate::hss::{Hss, UserId};
use crate::look::Look;
use crate::mw::MESSAGE_BYTES_MAX;

/// Keys of the sessions that one INVITE makes.
pub(super) type Branches = SmallVec<[Key; BINDINGS_PER_IDENTITY_MAX]>;

/// The two parties of a new session as one of the legs shows them.
struct Parties<'a> {
    connection: Key,
    user: UserId,
    caller: Side,
    /// The called party's URI: where the INVITE goes.
    target: &'a [u8],
}

impl Scscf {
    /// An INVITE outside dialogs.
    pub(in super::super) fn call(
        &mut self,
        ctx: &mut Context<'_>,
        hss: &Hss,
        from: SocketAddr,
        message: &Message<'_>,
    ) {
        if !has_usable_cseq(message) {
            ctx.counters.bad_request += 1;
            return self.refuse(ctx, from, message, 400, |_| ());
        }
        if message.max_forwards().ok().flatten() == Some(0) {
            ctx.counters.too_many_hops += 1;
            return self.refuse(ctx, from, message, 483, |_| ());
        }
        if !matches!(message.contact(), Ok(Some(_))) {
            ctx.counters.bad_request += 1;
            return self.refuse(ctx, from, message, 400, |_| ());
        }
        if self.is_from_connection(message) {
            self.call_from_ue(ctx, from, message);
        } else {
            self.call_for_ue(ctx, hss, from, message);
        }
    }

    /// Whether a request came over a secure connection: the P-CSCF has put its service route on top.
    pub(in super::super) fn is_from_connection(&self, message: &Message<'_>) -> bool {
        let route = message.routes().next().and_then(Result::ok);
        route.is_some_and(|route| route.uri.param("sess").is_some())
    }

    fn call_from_ue(&mut self, ctx: &mut Context<'_>, from: SocketAddr, message: &Message<'_>) {
        let Some(connection) = self.routed_over(ctx, from, message) else { return };
        let user = self.subscriptions.get(connection).expect("a connection that was found").user;
        if !self.is_asserted(user, message) {
            ctx.counters.identity_refused += 1;
            return self.refuse(ctx, from, message, 403, |_| ());
        }
        if self.pass_again(ctx, message, |invite| invite.way != Way::Far && invite.upstream == from)
        {
            return;
        }
        if message.lines(HeaderName::Replaces).next().is_some() {
            return self.replace_leg(ctx, from, message, (user, connection));
        }
        let target = Uri::parse(message.request_uri()).ok();
        if !target.is_some_and(|target| self.is_home(&target)) || self.config.icscf.is_none() {
            ctx.counters.not_found += 1;
            return self.refuse(ctx, from, message, 404, |_| ());
        }
        let parties = Parties { connection, user, caller: Side::Ue, target: message.request_uri() };
        let made = self.begin_session(ctx, from, message, &parties);
        let sent = made.and_then(|key| self.send_invite(ctx, key, message, &[]));
        if let Err(stuck) = sent {
            self.refuse(ctx, from, message, stuck.status(), |_| ());
        }
    }

    /// Whether the P-CSCF asserts an identity that the user has and may use, which may be news to it that has changed.
    fn is_asserted(&self, user: UserId, message: &Message<'_>) -> bool {
        let asserted = message.asserted_identity().next().and_then(Result::ok);
        asserted.is_some_and(|asserted| self.may_use(user, asserted.uri_text))
    }

    fn call_for_ue(
        &mut self,
        ctx: &mut Context<'_>,
        hss: &Hss,
        from: SocketAddr,
        message: &Message<'_>,
    ) {
        if self.pass_again(ctx, message, |invite| invite.way == Way::Far && invite.upstream == from)
        {
            return;
        }
        if message.lines(HeaderName::Replaces).next().is_some() {
            // Only the user moves a session, over a connection of its own.
            ctx.counters.replaces_refused += 1;
            return self.refuse(ctx, from, message, 403, |_| ());
        }
        let Some(mut targets) = self.targets_or_refuse(ctx, hss, from, message) else { return };
        let mut branches = Branches::new();
        let mut worst = Stuck::Full;
        for target in &mut targets {
            match self.call_target(ctx, from, message, target) {
                Ok(key) => {
                    branches.push(key);
                    if !target.others.is_empty() {
                        let attempt = self.keep_attempt(ctx, from, message, (0, target));
                        self.sessions.get_mut(key).expect("a session just made").attempt = attempt;
                    }
                }
                Err(stuck) => worst = stuck,
            }
        }
        match branches.len() {
            0 => self.refuse(ctx, from, message, worst.status(), |_| ()),
            1 => {}
            _ => self.begin_fork(ctx, branches),
        }
    }

    /// Sends an INVITE on to a target's newest flow, or to the next one where that has no room or no way.
    fn call_target(
        &mut self,
        ctx: &mut Context<'_>,
        from: SocketAddr,
        message: &Message<'_>,
        target: &mut Target,
    ) -> Result<Key, Stuck> {
        loop {
            match self.call_contact(ctx, from, message, target.binding) {
                Err(Stuck::Busy | Stuck::NoWay) if !target.others.is_empty() => {
                    ctx.counters.flows_failed_over += 1;
                    target.binding = target.others.remove(0);
                }
                called => return called,
            }
        }
    }

    /// Sends an INVITE on to a contact, in a session of its own.
    fn call_contact(
        &mut self,
        ctx: &mut Context<'_>,
        from: SocketAddr,
        message: &Message<'_>,
        binding: Key,
    ) -> Result<Key, Stuck> {
        let binding = self.bindings.get(binding).expect("a binding that was found");
        let connection = binding.connection;
        let user = self.subscriptions.get(connection).ok_or(Stuck::NoWay)?.user;
        let mut room = TextRoom::default();
        let parts = BindingParts::read(self.strings.read(&binding.strings, &mut room));
        let mut contact = [0; 256];
        let target = contact.get_mut(..parts.contact.len()).ok_or(Stuck::TooLarge)?;
        target.copy_from_slice(parts.contact);
        let mut impu = [0; 256];
        let called = impu.get_mut(..parts.impu.len()).ok_or(Stuck::TooLarge)?;
        called.copy_from_slice(parts.impu);
        let parties = Parties { connection, user, caller: Side::Far, target };
        let key = self.begin_session(ctx, from, message, &parties)?;
        self.send_invite(ctx, key, message, called).map(|()| key)
    }

    /// A contact's flow has failed before its INVITE was answered. True where the INVITE went by the next flow of the same instance.
    pub(super) fn call_next_flow(
        &mut self,
        ctx: &mut Context<'_>,
        key: Key,
        message: &Message<'_>,
    ) -> bool {
        let invite = self.sessions.get(key).and_then(|session| session.invite.as_ref());
        // A flow on which it rang until somebody had enough of it has not failed.
        let has_rung = invite.is_some_and(|it| it.progressed && message.status() == 408);
        if has_rung || !self.go_by_next_flow(ctx, key) {
            return false;
        }
        self.acknowledge_refusal(ctx, key, message);
        self.drop_session(ctx, key);
        true
    }

    /// A call that is neither answered nor cancelled goes by the next flow of its instance: another session takes its place, towards the caller and in
    /// its fork. False where there is none.
    pub(super) fn go_by_next_flow(&mut self, ctx: &mut Context<'_>, key: Key) -> bool {
        let is_early = |session: &&Session| session.stage == SessionStage::Early;
        let Some(session) = self.sessions.get(key).filter(is_early) else { return false };
        let invite = session.invite.as_ref();
        let is_waiting = invite.is_some_and(|it| !it.refused && !it.cancelled);
        let Some(attempt) = session.attempt.filter(|_| is_waiting) else { return false };
        if self.fork_is_answered(key) {
            return false;
        }
        let mut text = [0; MESSAGE_BYTES_MAX];
        while let Some((binding, len)) = self.next_attempt(ctx, attempt, &mut text) {
            let Some(from) = self.attempts.get(attempt).map(|attempt| attempt.from) else { break };
            let mut headers = imstorm_sip::Index::default();
            let Ok(request) = parse(&text[..len], &mut headers) else { break };
            if let Ok(next) = self.call_contact(ctx, from, &request, binding) {
                let session = self.sessions.get_mut(key).expect("found above");
                let fork = session.fork.take();
                session.attempt = None;
                let made = self.sessions.get_mut(next).expect("a session just made");
                made.attempt = Some(attempt);
                made.fork = fork;
                self.replace_in_fork(fork, key, next);
                return true;
            }
        }
        false
    }

    /// Makes a session in its early state.
    fn begin_session(
        &mut self,
        ctx: &mut Context<'_>,
        from: SocketAddr,
        message: &Message<'_>,
        parties: &Parties<'_>,
    ) -> Result<Key, Stuck> {
        let over = self.sessions_over(parties.connection);
        let of_kind = over.iter().filter_map(|key| self.sessions.get(*key));
        let count = of_kind.filter(|session| session.caller == parties.caller).count();
        if count >= SESSIONS_PER_CONNECTION_MAX {
            ctx.counters.too_many_pending += 1;
            return Err(Stuck::Busy);
        }
        let call_id = message.call_id().map_err(|_| Stuck::NoWay)?;
        let (caller, called) = (message.from(), message.to());
        let (Ok(caller), Ok(called), Ok(cseq)) = (caller, called, message.cseq()) else {
            return Err(Stuck::NoWay);
        };
        let tag = caller.tag().unwrap_or_default();
        let contact = message.contact().ok().flatten().ok_or(Stuck::NoWay)?;
        let mut routes = [0; 1024];
        let len = dialog::route_set(message, false, &mut routes).map_err(|_| Stuck::TooLarge)?;
        let with_caller = DialogParts {
            call_id,
            local_tag: b"",
            remote_tag: tag,
            local_uri: called.uri_text,
            remote_uri: caller.uri_text,
            remote_target: contact.uri_text,
            routes: &routes[..len],
        };
        let with_called = DialogParts {
            call_id,
            local_tag: tag,
            remote_tag: b"",
            local_uri: caller.uri_text,
            remote_uri: called.uri_text,
            remote_target: parties.target,
            routes: b"",
        };
        let number = cseq.number;
        let from_caller = Leg {
            dialog: self.keep_parts(&with_caller).ok_or(Stuck::Full)?,
            remote_cseq: number,
            invite: (number, number),
            via: self.via_of(message),
            ..Leg::default()
        };
        let Some(dialog) = self.keep_parts(&with_called) else {
            self.release_leg(from_caller);
            return Err(Stuck::Full);
        };
        let to_called = Leg { dialog, local_cseq: number, ..Leg::default() };
        let (way, ue, far) = match parties.caller {
            Side::Ue => (Way::Ue, from_caller, to_called),
            Side::Far => (Way::Far, to_called, from_caller),
        };
        let invite = Invite {
            way,
            is_initial: true,
            cseq: number,
            via: self.via_of(message),
            until: Time::MAX,
            upstream: from,
            downstream: from,
            sent: Handle::EMPTY,
            offer: Handle::EMPTY,
            heard: false,
            progressed: false,
            refused: false,
            cancelled: false,
            cancel: None,
        };
        let session = Session {
            user: parties.user,
            connection: parties.connection,
            stage: SessionStage::Early,
            was_made: false,
            caller: parties.caller,
            call: self.call_hash(call_id, tag),
            ue,
            far,
            mapped: false,
            invite: Some(invite),
            moving: None,
            answers: [None; 2],
            is_orphan: false,
            fork: None,
            attempt: None,
            expires_at: Time::MAX,
            look: Look::default(),
            next_of_connection: None,
        };
        let Some(key) = self.insert_session(session) else {
            ctx.counters.table_full += 1;
            return Err(Stuck::Full);
        };
        ctx.counters.calls_begun += 1;
        self.extend_session(ctx, key, ctx.now.saturating_add(EARLY_NS));
        Ok(key)
    }

    /// Sends a new session's INVITE. Where that can't be, the session goes.
    fn send_invite(
        &mut self,
        ctx: &mut Context<'_>,
        key: Key,
        message: &Message<'_>,
        called: &[u8],
    ) -> Result<(), Stuck> {
        let cseq = message.cseq().map_or(0, |cseq| cseq.number);
        let session = self.sessions.get(key).expect("a session just made");
        let way = session.invite.as_ref().expect("a session just made").way;
        let sent = self.send_onward(ctx, (key, way), message, cseq, |edits| {
            if !called.is_empty() {
                // Which of its identities was called (RFC 7315 clause 4.2).
                edits.set(message, HeaderName::PCalledPartyId, |out| {
                    out.put(b"<").put(called).put(b">");
                });
            }
        });
        match sent {
            Ok((to, headers)) => {
                self.keep_sent(key, to, headers);
                Ok(())
            }
            Err(stuck) => {
                self.drop_session(ctx, key);
                Err(stuck)
            }
        }
    }

    /// An INVITE that comes again takes the same way again. False where it is new.
    fn pass_again(
        &mut self,
        ctx: &mut Context<'_>,
        message: &Message<'_>,
        is_it: impl Fn(&Invite) -> bool,
    ) -> bool {
        let branches = self.invites_like(message, is_it);
        for key in &branches {
            ctx.counters.retransmissions_in += 1;
            let session = self.sessions.get(*key).expect("a session that was found");
            let Some(invite) = session.invite.as_ref().filter(|it| !it.refused && !it.heard) else {
                continue;
            };
            let way = invite.way;
            let cseq = session.leg(way).map_or(invite.cseq, |leg| leg.invite.1);
            let sent = self.send_onward(ctx, (*key, way), message, cseq, |edits| {
                if way == Way::Moving {
                    super::moved::edit_replacing(edits, message);
                }
            });
            if let Ok((_, headers)) = sent {
                self.strings.release(headers);
            }
        }
        !branches.is_empty()
    }

    /// The sessions whose INVITE is under way, or refused, that a request with these names is, cancels or acknowledges.
    pub(super) fn invites_like(
        &self,
        message: &Message<'_>,
        is_it: impl Fn(&Invite) -> bool,
    ) -> Branches {
        let mut found = Branches::new();
        let (Ok(call_id), Ok(tag), Ok(cseq)) =
            (message.call_id(), message.tag(HeaderName::From), message.cseq())
        else {
            return found;
        };
        let (tag, via) = (tag.unwrap_or_default(), self.via_of(message));
        self.by_call.find(self.call_hash(call_id, tag), |place| {
            let Some(key) = self.sessions.key_at(place) else { return false };
            let Some(session) = self.sessions.get(key) else { return false };
            let Some(invite) = session.invite.as_ref() else { return false };
            let Some(leg) = session.leg(invite.way) else { return false };
            let parts = self.parts(leg);
            let is_one = is_it(invite)
                && invite.cseq == cseq.number
                && invite.via == via
                && parts.call_id == call_id
                && parts.remote_tag == tag;
            if is_one && found.len() < BINDINGS_PER_IDENTITY_MAX {
                found.push(key);
            }
            false
        });
        found
    }

    /// Keeps what an INVITE became.
    pub(super) fn keep_sent(&mut self, key: Key, to: SocketAddr, headers: Handle) {
        let session = self.sessions.get_mut(key).expect("a session that was found");
        let invite = session.invite.as_mut().expect("an INVITE under way");
        invite.downstream = to;
        invite.sent = headers;
    }
}

/// RFC 3261 clause 8.1.1.5: below 2^31.
pub(super) fn has_usable_cseq(message: &Message<'_>) -> bool {
    message.cseq().is_ok_and(|cseq| cseq.number < 1 << 31)
}
