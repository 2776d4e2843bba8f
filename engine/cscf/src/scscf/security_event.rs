//! SUBSCRIBE to the `security` event package (the paper's section 3.1): set-up, refresh and end by the UE, and the P-CSCF's own
//! subscription.

use std::net::SocketAddr;

use imstorm_aka::AuthenticationVector;
use imstorm_base::slab::Key;
use imstorm_base::time::{Time, seconds};
use imstorm_sip::header::HeaderName;
use imstorm_sip::{Credentials, Message, Method};
use smallvec::SmallVec;

use super::challenge::Challenged;
use super::dialog::{dialog_tag, read_tag};
use super::notify::Subject;
use super::subscription::{Authenticated, Reason, Subscription, TokenSecret, Watcher, Whose};
use super::{Scscf, ScscfAlarm, is_in_dialog, write_contact};
use crate::event::Context;
use crate::hss::{Hss, UserId};
use crate::look::Look;
use crate::proxy::DEFAULT_PORT;

/// The lifetime of a SUBSCRIBE that asks for none (TS 24.229 clause 5.1.1.2.1).
const EXPIRES_DEFAULT_S: u32 = 600_000;

impl Scscf {
    pub(super) fn subscribe(
        &mut self,
        ctx: &mut Context<'_>,
        hss: &mut Hss,
        from: SocketAddr,
        message: &Message<'_>,
        knows: bool,
    ) {
        let event = message.event().ok().flatten();
        let is = |package: &[u8]| {
            event.as_ref().is_some_and(|event| event.package.eq_ignore_ascii_case(package))
        };
        let (is_security, is_reg) = (knows && is(b"security"), is(b"reg"));
        if !is_security && !is_reg {
            ctx.counters.event_refused += 1;
            return self.refuse(ctx, from, message, 489, |out| {
                let all = if self.config.security_event { "security, reg" } else { "reg" };
                out.header(HeaderName::AllowEvents).text(all).end();
            });
        }
        let Ok(asked_s) = message.expires() else {
            ctx.counters.bad_request += 1;
            return self.refuse(ctx, from, message, 400, |_| ());
        };
        let asked_s = asked_s.unwrap_or(EXPIRES_DEFAULT_S);
        match message.tag(HeaderName::To).ok().flatten().map(read_tag) {
            Some(Some(Subject::Security(key, whose)))
                if if self.is_registration(key) { is_reg } else { is_security } =>
            {
                self.in_dialog(ctx, hss, from, message, (key, whose), asked_s);
            }
            Some(Some(Subject::Reg(key))) if is_reg => {
                self.reg_in_dialog(ctx, from, message, key, asked_s);
            }
            Some(_) => {
                ctx.counters.dialog_unknown += 1;
                self.refuse(ctx, from, message, 481, |_| ());
            }
            None if is_reg => self.subscribe_reg(ctx, from, message, asked_s),
            // A connection takes another's place when it lives, by a refresh.
            None if self.refuse_replaces(ctx, from, message) => {}
            None => match self.connection_at(ctx.now, message.request_uri()) {
                Some(key) => self.pcscf_subscribes(ctx, from, message, key, asked_s),
                None => self.ue_subscribes(ctx, hss, from, message, asked_s),
            },
        }
    }

    /// Whether a SUBSCRIBE belongs to a connection, or to a set-up that has been challenged: those go on where the package is switched off.
    pub(super) fn has_begun(&self, now: Time, hss: &Hss, message: &Message<'_>) -> bool {
        if message.method() != Method::Subscribe {
            return false;
        }
        // One in a dialog that is over gets its 481, by which its UE begins anew.
        if is_in_dialog(message) {
            return true;
        }
        if let Some(key) = self.connection_at(now, message.request_uri()) {
            return !self.is_registration(key);
        }
        let named = || {
            let credentials = message.authorization().ok()??;
            let to = message.to().ok()?;
            let user = hss.user_authorization(credentials.username, to.uri_text).ok()?;
            let cseq = message.cseq().ok()?.number;
            Some((user, self.request_key(message, &credentials)?, cseq))
        };
        named().is_some_and(|(user, key, cseq)| {
            self.challenge_of(user, key).is_some() || self.made_by(user, key, cseq).is_some()
        })
    }

    /// 423 where less is asked for than the network grants. True where it was.
    pub(super) fn is_too_brief(
        &self,
        ctx: &mut Context<'_>,
        from: SocketAddr,
        message: &Message<'_>,
        asked_s: u32,
    ) -> bool {
        let least_s = self.config.expires_min_s;
        if asked_s >= least_s {
            return false;
        }
        ctx.counters.interval_too_brief += 1;
        self.refuse(ctx, from, message, 423, |out| {
            out.header(HeaderName::MinExpires).decimal(u64::from(least_s)).end();
        });
        true
    }

    /// A SUBSCRIBE of a UE outside a dialog: the first, or the answer to its challenge.
    fn ue_subscribes(
        &mut self,
        ctx: &mut Context<'_>,
        hss: &mut Hss,
        from: SocketAddr,
        message: &Message<'_>,
        asked_s: u32,
    ) {
        let (Ok(Some(credentials)), Ok(to), Ok(cseq)) =
            (message.authorization(), message.to(), message.cseq())
        else {
            ctx.counters.bad_request += 1;
            return self.refuse(ctx, from, message, 403, |_| ());
        };
        let Ok(user) = hss.user_authorization(credentials.username, to.uri_text) else {
            ctx.counters.identity_refused += 1;
            return self.refuse(ctx, from, message, 403, |_| ());
        };
        if self.is_too_brief(ctx, from, message, asked_s) {
            return;
        }
        let Some(key) = self.request_key(message, &credentials) else {
            ctx.counters.bad_request += 1;
            return self.refuse(ctx, from, message, 400, |_| ());
        };
        let protected = is_protected(&credentials);
        if protected && let Some(made) = self.made_by(user, key, cseq.number) {
            return self.accept(ctx, from, message, made, Whose::Ue);
        }
        let modified = match self.use_modified(ctx, user, credentials.username) {
            Ok(modified) => modified,
            Err(refused) => return self.refuse(ctx, from, message, refused.0, |_| ()),
        };
        let cseq = cseq.number;
        let mut whom = Challenged { user, modified, key, cseq, is_live: false, stale: false };
        let authenticated = self.admit(ctx, hss, from, message, (&credentials, &mut whom));
        if let Some(authenticated) = authenticated {
            self.set_up(ctx, from, message, &whom, authenticated, asked_s);
        }
        self.give_back(modified);
    }

    /// Lets a request outside dialogs pass if it answers the challenge that it was given; else answers it.
    pub(super) fn admit(
        &mut self,
        ctx: &mut Context<'_>,
        hss: &mut Hss,
        from: SocketAddr,
        message: &Message<'_>,
        (credentials, whom): (&Credentials<'_>, &mut Challenged),
    ) -> Option<Authenticated> {
        let protected = is_protected(credentials);
        if let Some(challenge) = self.challenge_of(whom.user, whom.key) {
            let is_again =
                self.challenges.get(challenge).is_some_and(|found| found.cseq == whom.cseq);
            if is_again && (whom.is_live || !protected) {
                self.repeat_challenge(ctx, from, message, challenge, false);
                return None;
            }
            // RFC 3310 clause 3.4: neither response nor AUTS where the USIM found the network's MAC wrong.
            let is_mac_failure = !protected
                && credentials.auts.is_none()
                && self.challenge_has_nonce(challenge, credentials);
            ctx.counters.mac_failures += u64::from(is_mac_failure);
            if credentials.auts.is_some() {
                self.resynchronise(ctx, hss, challenge, credentials);
            } else if protected && !credentials.response.is_empty() {
                if !self.challenge_has_nonce(challenge, credentials) {
                    ctx.counters.stale_nonce += 1;
                    whom.stale = true;
                } else if let Some(authenticated) = self.answered(challenge, credentials, message) {
                    self.drop_challenge(challenge);
                    return Some(authenticated);
                } else {
                    // The challenge stays until its timer, and so does whatever was live (TS 24.229 5.4.1.2.3A).
                    ctx.counters.authentication_failed += 1;
                    self.refuse(ctx, from, message, 403, |_| ());
                    return None;
                }
            }
        }
        self.send_challenge(ctx, hss, from, message, whom);
        None
    }

    /// A SUBSCRIBE inside a dialog that was formed here.
    fn in_dialog(
        &mut self,
        ctx: &mut Context<'_>,
        hss: &mut Hss,
        from: SocketAddr,
        message: &Message<'_>,
        (key, whose): (Key, Whose),
        asked_s: u32,
    ) {
        let (true, Ok(cseq)) = (self.is_dialog(key, whose, message), message.cseq()) else {
            ctx.counters.dialog_unknown += 1;
            return self.refuse(ctx, from, message, 481, |_| ());
        };
        if !self.is_entitled(ctx, from, message, (key, whose)) {
            ctx.counters.watcher_refused += 1;
            return self.refuse(ctx, from, message, 403, |_| ());
        }
        let subscription = self.subscriptions.get_mut(key).expect("a dialog that was found");
        let ending = subscription.ending.is_some();
        let watcher = subscription.watcher(whose);
        if cseq.number == watcher.remote_cseq {
            return self.accept(ctx, from, message, key, whose);
        }
        if cseq.number < watcher.remote_cseq {
            return self.refuse(ctx, from, message, 500, |_| ());
        }
        if (ending && whose == Whose::Ue) || watcher.over {
            ctx.counters.dialog_unknown += 1;
            return self.refuse(ctx, from, message, 481, |_| ());
        }
        let replaced = match self.replaced_connection(message, (key, whose), asked_s) {
            Ok(replaced) => replaced,
            Err(status) => {
                ctx.counters.replaces_refused += 1;
                return self.refuse(ctx, from, message, status, |_| ());
            }
        };
        if asked_s == 0 {
            let subscription = self.subscriptions.get_mut(key).expect("a dialog that was found");
            let watcher = subscription.watcher(whose);
            watcher.remote_cseq = cseq.number;
            watcher.granted_s = 0;
            self.accept(ctx, from, message, key, whose);
            return match whose {
                Whose::Ue => self.end(ctx, key, Reason::Timeout),
                Whose::Pcscf => self.leave_pcscf(ctx, key),
            };
        }
        if self.is_too_brief(ctx, from, message, asked_s) {
            return;
        }
        if whose == Whose::Ue {
            if !self.admit_refresh(ctx, hss, from, message, key, cseq.number) {
                return;
            }
            ctx.counters.subscriptions_refreshed += 1;
        }
        self.prolong(ctx, key, whose, cseq.number, asked_s);
        self.arm_end(ctx, key);
        self.accept(ctx, from, message, key, whose);
        self.notify(ctx, key, whose);
        if let Some(replaced) = replaced {
            self.end_replaced(ctx, replaced);
        }
    }

    /// Whether a request in a dialog comes from whom the dialog is with.
    fn is_entitled(
        &self,
        ctx: &Context<'_>,
        from: SocketAddr,
        message: &Message<'_>,
        (key, whose): (Key, Whose),
    ) -> bool {
        let is_way = self.subscriptions.get(key).is_some_and(|found| found.pcscf.get() == from);
        let asserted = message.asserted_identity().next().and_then(Result::ok);
        let asserted = asserted.and_then(|identity| identity.uri.socket_addr(DEFAULT_PORT));
        is_way
            && match whose {
                // A UE names its connection by the token, in the Contact that it was given.
                Whose::Ue => self.connection_at(ctx.now, message.request_uri()) == Some(key),
                Whose::Pcscf => asserted == Some(from),
            }
    }

    /// Another connection of its user has taken a connection's place: what still runs over it ends with it, and what has been moved
    /// does not, since it runs over another one. `noresource`, because `deactivated` would tell the UE to come back (RFC 6665 clause
    /// 4.1.3).
    fn end_replaced(&mut self, ctx: &mut Context<'_>, replaced: Key) {
        if self.subscriptions.get(replaced).is_some_and(|found| found.ending.is_none()) {
            ctx.counters.connections_replaced += 1;
            self.end(ctx, replaced, Reason::NoResource);
        }
    }

    pub(super) fn challenge_has_nonce(
        &self,
        challenge: Key,
        credentials: &Credentials<'_>,
    ) -> bool {
        self.challenges.get(challenge).is_some_and(|found| {
            let AuthenticationVector { rand, autn, .. } = &found.vector;
            imstorm_aka::decode_nonce(credentials.nonce)
                .is_ok_and(|(given_rand, given_autn)| given_rand == *rand && given_autn == *autn)
        })
    }

    /// The user is authenticated: makes the subscription, answers, notifies. An older connection from the same address ends.
    fn set_up(
        &mut self,
        ctx: &mut Context<'_>,
        from: SocketAddr,
        message: &Message<'_>,
        whom: &Challenged,
        authenticated: Authenticated,
        asked_s: u32,
    ) {
        let Some((contact, pcscf)) = addresses(message) else {
            ctx.counters.bad_request += 1;
            return self.refuse(ctx, from, message, 400, |_| ());
        };
        let user = whom.user;
        let made = self.subscriptions.vacant_key().and_then(|_| {
            let blob = self.dialog_blob(message)?;
            self.use_again(whom.modified);
            let subscription = Subscription {
                user,
                modified: whom.modified,
                registration: None,
                key: whom.key,
                secret: TokenSecret(ctx.random.next_u64()),
                earlier_secret: (TokenSecret(0), 0),
                contact: contact.into(),
                pcscf: pcscf.into(),
                authenticated: Some(authenticated),
                ue: Watcher { dialog: blob, ..Watcher::default() },
                watching_pcscf: Watcher {
                    expires_at: ctx.now.saturating_add(self.config.core.timer_f_ns()),
                    ..Watcher::default()
                },
                must_challenge: false,
                bindings: None,
                watching: None,
                sessions: None,
                unbound_until: Time::MAX,
                look: Look::default(),
                ending: None,
                next_of_user: self.by_user.get(user.0 as usize),
            };
            self.subscriptions.insert(subscription).ok()
        });
        let Some(key) = made else {
            ctx.counters.table_full += 1;
            return self.refuse(ctx, from, message, 503, |out| {
                out.header(HeaderName::RetryAfter).decimal(10).end();
            });
        };
        let indexed = self.by_request.insert(whom.key, key.index).is_ok();
        assert!(indexed, "the index has room for as many as the slab");
        let older = self.older_from(whom, contact, pcscf);
        self.by_user.set(user.0 as usize, Some(key));
        ctx.counters.subscriptions_made += 1;
        self.prolong(ctx, key, Whose::Ue, whom.cseq, asked_s);
        self.arm_end(ctx, key);
        self.want_binding(ctx, key);
        self.accept(ctx, from, message, key, Whose::Ue);
        self.notify(ctx, key, Whose::Ue);
        for older in older {
            self.end(ctx, older, Reason::NoResource);
        }
    }

    /// The live connections of the private identity from this address through this P-CSCF: one, unless an end was overtaken. Through another
    /// P-CSCF the same address is another UE's: private addresses overlap between accesses.
    fn older_from(
        &self,
        whom: &Challenged,
        contact: SocketAddr,
        pcscf: SocketAddr,
    ) -> SmallVec<[Key; 2]> {
        let mut found = SmallVec::new();
        let mut next = self.by_user.get(whom.user.0 as usize);
        while let Some(key) = next {
            let subscription = self.subscriptions.get(key).expect("a user's list is whole");
            let is_same = subscription.modified == whom.modified
                && subscription.contact.get().ip() == contact.ip()
                && subscription.pcscf.get() == pcscf;
            // A registration is a thing of its own, which only another one takes the place of.
            if is_same && subscription.ending.is_none() && subscription.registration.is_none() {
                found.push(key);
            }
            next = subscription.next_of_user;
        }
        found
    }

    /// The P-CSCF asks for its own subscription. Nobody else may: it must come from the P-CSCF that the UE's dialog passes, in
    /// that P-CSCF's own name.
    pub(super) fn pcscf_subscribes(
        &mut self,
        ctx: &mut Context<'_>,
        from: SocketAddr,
        message: &Message<'_>,
        key: Key,
        asked_s: u32,
    ) {
        let Ok(cseq) = message.cseq() else { return };
        let asserted = message.asserted_identity().next().and_then(Result::ok);
        let asserted = asserted.and_then(|identity| identity.uri.socket_addr(DEFAULT_PORT));
        let subscription = self.subscriptions.get(key).expect("a connection that was found");
        if subscription.pcscf.get() != from || asserted != Some(from) {
            ctx.counters.watcher_refused += 1;
            return self.refuse(ctx, from, message, 403, |_| ());
        }
        let watcher = &subscription.watching_pcscf;
        if watcher.exists() {
            if self.is_dialog_request(key, message) && watcher.remote_cseq == cseq.number {
                return self.accept(ctx, from, message, key, Whose::Pcscf);
            }
            ctx.counters.watcher_refused += 1;
            return self.refuse(ctx, from, message, 403, |_| ());
        }
        if subscription.ending.is_some() {
            ctx.counters.dialog_unknown += 1;
            return self.refuse(ctx, from, message, 481, |_| ());
        }
        let Some(blob) = self.dialog_blob(message) else {
            ctx.counters.table_full += 1;
            return self.refuse(ctx, from, message, 503, |_| ());
        };
        let subscription = self.subscriptions.get_mut(key).expect("found above");
        subscription.watching_pcscf.dialog = blob;
        self.prolong(ctx, key, Whose::Pcscf, cseq.number, asked_s);
        self.accept(ctx, from, message, key, Whose::Pcscf);
        self.notify(ctx, key, Whose::Pcscf);
    }

    /// Grants what was asked, within what the network allows.
    pub(super) fn prolong(
        &mut self,
        ctx: &mut Context<'_>,
        key: Key,
        whose: Whose,
        cseq: u32,
        asked_s: u32,
    ) {
        // The P-CSCF's outlives the UE's by its margin; otherwise it would lapse first.
        let most_s = match whose {
            Whose::Ue => self.config.expires_max_s,
            Whose::Pcscf => self.config.expires_max_s.saturating_add(3600),
        };
        let granted_s = asked_s.min(most_s);
        let subscription = self.subscriptions.get_mut(key).expect("a dialog that was found");
        if self.config.renew_token && whose == Whose::Ue && subscription.ue.remote_cseq > 0 {
            let until = ctx.now + self.config.core.timer_f_ns();
            subscription.earlier_secret = (subscription.secret, until);
            subscription.secret = TokenSecret(ctx.random.next_u64());
        }
        let watcher = subscription.watcher(whose);
        watcher.remote_cseq = cseq;
        watcher.granted_s = granted_s;
        watcher.expires_at = ctx.now.saturating_add(seconds(u64::from(granted_s)));
    }

    /// 200, with what was granted: the same one for the same request again.
    fn accept(
        &mut self,
        ctx: &mut Context<'_>,
        to: SocketAddr,
        message: &Message<'_>,
        key: Key,
        whose: Whose,
    ) {
        let subscription = self.subscriptions.get_mut(key).expect("a dialog that was found");
        let granted_s = subscription.watcher(whose).granted_s;
        self.accept_in(ctx, to, message, key, Subject::Security(key, whose), granted_s);
    }

    /// 200 to a SUBSCRIBE in a dialog that runs over `connection`.
    pub(super) fn accept_in(
        &self,
        ctx: &mut Context<'_>,
        to: SocketAddr,
        message: &Message<'_>,
        connection: Key,
        subject: Subject,
        granted_s: u32,
    ) {
        let secret = self.subscriptions.get(connection).expect("a dialog's connection").secret;
        let tag = dialog_tag(subject);
        self.send(ctx, to, |out| {
            let mut writer = imstorm_sip::response(message, 200, Some(&tag), out);
            writer.copy(message, HeaderName::RecordRoute);
            writer.header(HeaderName::Contact);
            write_contact(self.config.mw, connection, secret, &mut writer);
            writer.end();
            if let Subject::Security(_, Whose::Ue) = subject {
                self.write_service_route(connection, &mut writer);
            }
            writer.header(HeaderName::Expires).decimal(u64::from(granted_s)).end();
            writer.finish().ok()
        });
    }

    /// The subscription that this very request made.
    fn made_by(&self, user: UserId, request: u64, cseq: u32) -> Option<Key> {
        let place = self.by_request.find(request, |place| {
            self.subscriptions
                .key_at(place)
                .and_then(|key| self.subscriptions.get(key))
                .is_some_and(|found| {
                    found.key == request && found.user == user && found.ue.remote_cseq == cseq
                })
        })?;
        self.subscriptions.key_at(place)
    }

    /// What names a request outside a dialog: the private identity, Call-ID and From tag, and the P-CSCF's Record-Route, which
    /// carries the key of the UE's set-up there. So nobody can disturb a set-up from another address.
    fn request_key(&self, message: &Message<'_>, credentials: &Credentials<'_>) -> Option<u64> {
        let tag = message.tag(HeaderName::From).ok()??;
        let call = self.hash.hash2(message.call_id().ok()?, tag);
        let route = message.list(HeaderName::RecordRoute).next()?;
        let access = self.hash.hash2(&call.to_be_bytes(), route);
        Some(self.hash.hash2(&access.to_be_bytes(), credentials.username))
    }

    /// The subscription's alarm: its lifetime is over, unless it was prolonged meanwhile, or its time to make a
    /// binding is, or its P-CSCF does not watch it.
    pub(super) fn subscription_is_due(&mut self, ctx: &mut Context<'_>, key: Key) {
        let Some(subscription) = self.subscriptions.get(key) else { return };
        if subscription.ending.is_some() || !subscription.look.is_now(ctx.now) {
            return;
        }
        if subscription.ue.expires_at <= ctx.now {
            return self.end(ctx, key, Reason::Timeout);
        }
        if subscription.unbound_until <= ctx.now {
            ctx.counters.unbound_ended += 1;
            return self.end(ctx, key, Reason::Deactivated);
        }
        if subscription.watched_until() <= ctx.now {
            return self.end_unwatched(ctx, key);
        }
        self.arm_end(ctx, key);
    }

    /// Looks after the subscription's end when it is due, and now and then before.
    pub(super) fn arm_end(&mut self, ctx: &mut Context<'_>, key: Key) {
        let Some(subscription) = self.subscriptions.get_mut(key) else { return };
        if let Some(after_ns) = subscription.look.before(ctx.now, subscription.due_at()) {
            self.arm(ctx, after_ns, ScscfAlarm::Subscription(key));
        }
    }

    /// A subscription is over: takes it out of all tables.
    pub(super) fn drop_subscription(&mut self, ctx: &mut Context<'_>, key: Key) {
        let Some(subscription) = self.subscriptions.get(key) else { return };
        match subscription.registration {
            Some(_) => ctx.counters.aka_registrations_ended += 1,
            None => ctx.counters.subscriptions_ended += 1,
        }
        self.forget_subscription(ctx, key);
    }

    /// Takes a subscription out of all tables, without counting it as one that was made.
    pub(super) fn forget_subscription(&mut self, ctx: &mut Context<'_>, key: Key) {
        self.drop_what_ran_over(ctx, key);
        let Some(subscription) = self.subscriptions.remove(key) else { return };
        self.by_request.remove(subscription.key, |place| place == key.index);
        if let Some(challenge) = self.challenge_of(subscription.user, subscription.key) {
            self.drop_challenge(challenge);
        }
        let head = subscription.user.0 as usize;
        if self.by_user.get(head) == Some(key) {
            self.by_user.set(head, subscription.next_of_user);
        } else {
            let mut next = self.by_user.get(head);
            while let Some(other) = next {
                let other = self.subscriptions.get_mut(other).expect("a user's list is whole");
                if other.next_of_user == Some(key) {
                    other.next_of_user = subscription.next_of_user;
                    break;
                }
                next = other.next_of_user;
            }
        }
        self.give_back(subscription.modified);
        if let Some(registration) =
            subscription.registration.and_then(|key| self.registrations.remove(key))
        {
            registration.release(&mut self.strings);
        }
        subscription.release(&mut self.strings);
    }
}

/// The P-CSCF's word on how the request came (TS 33.203 clause 7.2A.2).
pub(super) fn is_protected(credentials: &Credentials<'_>) -> bool {
    credentials.integrity_protected.is_some_and(|word| word.eq_ignore_ascii_case(b"yes"))
}

/// The UE's address, and the P-CSCF's on Mw.
fn addresses(message: &Message<'_>) -> Option<(SocketAddr, SocketAddr)> {
    let contact = message.contact().ok()??.uri.socket_addr(DEFAULT_PORT)?;
    let route = message.record_routes().next()?.ok()?;
    Some((contact, route.uri.socket_addr(DEFAULT_PORT)?))
}
