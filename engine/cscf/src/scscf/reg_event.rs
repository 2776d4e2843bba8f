//! The `reg` event package (RFC 3680): tells a UE what is bound to one of its identities. Optional for UEs (the paper's section 3.2).
//! A subscription runs over the secure connection on which it was asked for, and ends with it, unless the UE moves it to another of its
//! connections: by a request inside its dialog over that one (target refresh, RFC 6665 clause 4.1.2.2), or by a new subscription that
//! replaces it (draft-jentz-subscribe-with-replaces).

use std::net::SocketAddr;

use imstorm_base::TextRoom;
use imstorm_base::slab::Key;
use imstorm_base::strings::Handle;
use imstorm_base::time::{Time, seconds};
use imstorm_sip::body::reginfo::{self, ContactEvent};
use imstorm_sip::header::HeaderName;
use imstorm_sip::{DialogParts, Message, Writer};
use smallvec::SmallVec;

use super::binding::BindingParts;
use super::notify::Subject;
use super::registrar::{BINDINGS_PER_IDENTITY_MAX, seconds_until};
use super::subscription::{Reason, Watcher};
use super::{Scscf, ScscfAlarm};
use crate::event::Context;
use crate::hss::IdentitiesRoom;
use crate::hss::directory::BODY_BYTES_MAX;
use crate::identity::IdentityList;
use crate::look::Look;
use crate::proxy::DEFAULT_PORT;

/// Subscriptions to registrations over one connection.
const PER_CONNECTION_MAX: usize = 8;
/// Room for the GRUUs of one body, and for its contacts.
const TEXTS_BYTES_MAX: usize = 2048 + BODY_BYTES_MAX;

/// A subscription to what is bound to an identity.
#[derive(Debug)]
pub struct RegSubscription {
    /// The connection that it runs over.
    pub connection: Key,
    /// Of the identity as it is provisioned.
    pub aor: u64,
    /// The identity as it is provisioned.
    pub impu: Handle,
    pub watcher: Watcher,
    /// When it is looked after next.
    pub look: Look,
    /// Why it ends, once its connection or its identity does.
    pub ending: Option<Reason>,
    /// The next of the same connection.
    pub next_of_connection: Option<Key>,
}

/// A connection's subscriptions to registrations.
type Watching = SmallVec<[Key; PER_CONNECTION_MAX]>;

impl Scscf {
    /// A SUBSCRIBE to the reg event package outside a dialog.
    pub(super) fn subscribe_reg(
        &mut self,
        ctx: &mut Context<'_>,
        from: SocketAddr,
        message: &Message<'_>,
        asked_s: u32,
    ) {
        let Some(connection) = self.routed_over(ctx, from, message) else { return };
        let user = self.subscriptions.get(connection).expect("found above").user;
        let mut packed = IdentitiesRoom::default();
        let identities = IdentityList::new(self.profile(user, &mut packed));
        let authorised = |uri: &[u8]| identities.find(uri).filter(|identity| !identity.barred);
        if self.is_registration(connection) && is_from_pcscf(message, from) {
            let Some(identity) = authorised(message.request_uri()) else {
                ctx.counters.not_found += 1;
                return self.refuse(ctx, from, message, 404, |_| ());
            };
            return self.pcscf_watches(ctx, from, message, (connection, identity.uri), asked_s);
        }
        let (Ok(to), Ok(cseq)) = (message.to(), message.cseq()) else {
            ctx.counters.bad_request += 1;
            return self.refuse(ctx, from, message, 400, |_| ());
        };
        let asserted = message.asserted_identity().next().and_then(Result::ok);
        let asserted = asserted.and_then(|asserted| authorised(asserted.uri_text));
        let (Some(identity), Some(_)) = (authorised(to.uri_text), asserted) else {
            ctx.counters.identity_refused += 1;
            return self.refuse(ctx, from, message, 403, |_| ());
        };
        // Request-URI and To name the one identity whose registration it is about (TS 24.229 clause 5.1.1.3).
        if authorised(message.request_uri()).map(|named| named.uri) != Some(identity.uri) {
            ctx.counters.not_found += 1;
            return self.refuse(ctx, from, message, 404, |_| ());
        }
        let watching = self.watching_over(connection);
        let again = watching.iter().find(|key| self.is_reg_dialog(**key, message));
        if let Some(key) = again.copied() {
            return self.accept_reg(ctx, from, message, key);
        }
        if self.is_too_brief(ctx, from, message, asked_s) {
            return;
        }
        let replaced = match self.replaced_reg(message, connection, self.aor(identity.uri)) {
            Ok(replaced) => replaced,
            Err(status) => {
                ctx.counters.replaces_refused += 1;
                return self.refuse(ctx, from, message, status, |_| ());
            }
        };
        let key = match watching.len() < PER_CONNECTION_MAX {
            true => self.open_reg(connection, identity.uri, message),
            false => None,
        };
        let Some(key) = key else {
            ctx.counters.table_full += 1;
            return self.refuse(ctx, from, message, 503, |_| ());
        };
        ctx.counters.reg_subscriptions_made += 1;
        self.grant_reg(ctx, key, cseq.number, asked_s);
        self.arm_reg_end(ctx, key);
        self.accept_reg(ctx, from, message, key);
        self.notify_subject(ctx, Subject::Reg(key));
        if let Some(replaced) = replaced {
            self.end_replaced_reg(ctx, replaced);
        }
    }

    /// Another subscription has taken this one's place.
    fn end_replaced_reg(&mut self, ctx: &mut Context<'_>, key: Key) {
        ctx.counters.subscriptions_moved += 1;
        let found = self.reg_subscriptions.get_mut(key).expect("a dialog that was found");
        found.ending = found.ending.or(Some(Reason::NoResource));
        self.notify_subject(ctx, Subject::Reg(key));
    }

    /// A SUBSCRIBE inside the dialog of such a subscription: its refresh, or its end. Over another connection of the same user it moves the
    /// subscription there.
    pub(super) fn reg_in_dialog(
        &mut self,
        ctx: &mut Context<'_>,
        from: SocketAddr,
        message: &Message<'_>,
        key: Key,
        asked_s: u32,
    ) {
        let (true, Ok(cseq)) = (self.is_reg_dialog(key, message), message.cseq()) else {
            ctx.counters.dialog_unknown += 1;
            return self.refuse(ctx, from, message, 481, |_| ());
        };
        let found = self.reg_subscriptions.get(key).expect("a dialog that was found");
        let (connection, over) = (found.connection, found.watcher.over || found.ending.is_some());
        let came_over = self.came_over(ctx.now, from, message);
        let Some(over_which) = came_over.filter(|key| self.is_same_user(*key, connection)) else {
            ctx.counters.wrong_route += 1;
            return self.refuse(ctx, from, message, 403, |_| ());
        };
        if self.refuse_replaces(ctx, from, message) {
            return;
        }
        let last = found.watcher.remote_cseq;
        if cseq.number == last {
            return self.accept_reg(ctx, from, message, key);
        }
        if cseq.number < last {
            return self.refuse(ctx, from, message, 500, |_| ());
        }
        if over {
            ctx.counters.dialog_unknown += 1;
            return self.refuse(ctx, from, message, 481, |_| ());
        }
        if asked_s > 0 && self.is_too_brief(ctx, from, message, asked_s) {
            return;
        }
        if over_which != connection
            && let Err(status) = self.move_reg(ctx, key, over_which, message)
        {
            return self.refuse(ctx, from, message, status, |_| ());
        }
        self.grant_reg(ctx, key, cseq.number, asked_s);
        if asked_s > 0 {
            self.arm_reg_end(ctx, key);
        }
        self.accept_reg(ctx, from, message, key);
        self.notify_subject(ctx, Subject::Reg(key));
    }

    /// The connection that a request inside a dialog came over. It has a Route where it goes another way than the dialog did (target
    /// refresh); else its Request-URI is the connection's service route, which the dialog's other end has as its target.
    fn came_over(&self, now: Time, from: SocketAddr, message: &Message<'_>) -> Option<Key> {
        let route = message.routes().next().and_then(Result::ok);
        let way = route.map_or(message.request_uri(), |route| route.uri_text);
        self.connection_at(now, way).filter(|key| self.is_from_pcscf(*key, from))
    }

    /// Lets a subscription run over another connection of its user. RFC 3261 changes no route set by a target refresh, which would pin
    /// the dialog to the P-CSCF that may be out of reach: here the UE's side of its dialog belongs to the notifier, which follows.
    fn move_reg(
        &mut self,
        ctx: &mut Context<'_>,
        key: Key,
        connection: Key,
        message: &Message<'_>,
    ) -> Result<(), u16> {
        if !matches!(message.contact(), Ok(Some(_))) {
            ctx.counters.bad_request += 1;
            return Err(400);
        }
        let has_room = self.watching_over(connection).len() < PER_CONNECTION_MAX;
        let dialog = match has_room {
            true => self.moved_dialog(Subject::Reg(key), message),
            false => None,
        };
        let Some(dialog) = dialog else {
            ctx.counters.table_full += 1;
            return Err(503);
        };
        let before = self.reg_subscriptions.get(key).expect("found above").connection;
        self.unlink_reg(key);
        let next = self.subscriptions.get_mut(connection).expect("a connection that was found");
        let next_of_connection = next.watching.replace(key);
        let found = self.reg_subscriptions.get_mut(key).expect("found above");
        found.connection = connection;
        found.next_of_connection = next_of_connection;
        self.strings.release(std::mem::replace(&mut found.watcher.dialog, dialog));
        self.abandon_notify(Subject::Reg(key));
        ctx.counters.subscriptions_moved += 1;
        self.check_otherwise(ctx, before, key);
        Ok(())
    }

    fn open_reg(&mut self, connection: Key, impu: &[u8], message: &Message<'_>) -> Option<Key> {
        self.reg_subscriptions.vacant_key()?;
        let dialog = self.dialog_blob(message)?;
        let Ok(impu_kept) = self.strings.store_packed(&[impu]) else {
            self.strings.release(dialog);
            return None;
        };
        let aor = self.aor(impu);
        let subscription = self.subscriptions.get_mut(connection)?;
        let watcher = Watcher { dialog, ..Watcher::default() };
        let next_of_connection = subscription.watching;
        let made = RegSubscription {
            connection,
            aor,
            impu: impu_kept,
            watcher,
            look: Look::default(),
            ending: None,
            next_of_connection,
        };
        let key = self.reg_subscriptions.insert(made).expect("room, as just seen");
        subscription.watching = Some(key);
        let indexed = self.by_watched.insert(aor, key.index).is_ok();
        assert!(indexed, "the index has room for as many as the slab");
        Some(key)
    }

    fn grant_reg(&mut self, ctx: &Context<'_>, key: Key, cseq: u32, asked_s: u32) {
        let granted_s = asked_s.min(self.config.expires_max_s);
        let watcher = &mut self.reg_subscriptions.get_mut(key).expect("found above").watcher;
        watcher.remote_cseq = cseq;
        watcher.granted_s = granted_s;
        watcher.expires_at = ctx.now.saturating_add(seconds(u64::from(granted_s)));
    }

    fn accept_reg(&self, ctx: &mut Context<'_>, to: SocketAddr, message: &Message<'_>, key: Key) {
        let found = self.reg_subscriptions.get(key).expect("a dialog that was found");
        let granted_s = found.watcher.granted_s;
        self.accept_in(ctx, to, message, found.connection, Subject::Reg(key), granted_s);
    }

    fn is_reg_dialog(&self, key: Key, message: &Message<'_>) -> bool {
        let Some(found) = self.reg_subscriptions.get(key) else { return false };
        let mut room = TextRoom::default();
        let parts = DialogParts::decode(self.strings.read(&found.watcher.dialog, &mut room));
        message.call_id() == Ok(parts.call_id)
            && message.tag(HeaderName::From).is_ok_and(|tag| tag == Some(parts.remote_tag))
    }

    pub(super) fn watching_over(&self, connection: Key) -> Watching {
        let mut found = Watching::new();
        let mut next = self.subscriptions.get(connection).and_then(|it| it.watching);
        while let Some(key) = next {
            found.push(key);
            next = self.reg_subscriptions.get(key).and_then(|it| it.next_of_connection);
        }
        found
    }

    /// What is bound to an identity has changed: everybody who watches it is told.
    pub(super) fn registration_changed(&mut self, ctx: &mut Context<'_>, aor: u64) {
        for key in self.watchers_of(aor) {
            self.notify_subject(ctx, Subject::Reg(key));
        }
        self.tell_pcscfs(ctx, aor);
    }

    /// The subscriptions to what is bound to an identity.
    fn watchers_of(&self, aor: u64) -> Watching {
        let mut watching = Watching::new();
        if self.reg_subscriptions.is_empty() {
            return watching;
        }
        self.by_watched.find(aor, |place| {
            if let Some(key) = self.reg_subscriptions.key_at(place)
                && self.reg_subscriptions.get(key).is_some_and(|found| found.aor == aor)
            {
                watching.push(key);
            }
            false
        });
        watching
    }

    /// Everything that runs over a connection ends with it: sessions, bindings, and subscriptions to registrations (the paper's section 3.1;
    /// matched by the connection, never by a contact's text).
    pub(super) fn end_what_runs_over(
        &mut self,
        ctx: &mut Context<'_>,
        connection: Key,
        reason: Reason,
        event: ContactEvent,
    ) {
        let watching = self.watching_over(connection);
        for key in &watching {
            self.reg_subscriptions.get_mut(*key).expect("a listed one").ending = Some(reason);
        }
        let mut aors = SmallVec::<[u64; 8]>::new();
        for key in self.bindings_over(connection) {
            self.end_binding(ctx, key, event);
            aors.extend(self.bindings.get(key).map(|binding| binding.aor));
        }
        for aor in &aors {
            self.registration_changed(ctx, *aor);
        }
        for key in watching {
            self.notify_subject(ctx, Subject::Reg(key));
        }
        self.tell_pcscf_of_end(ctx, connection);
        for aor in aors {
            self.drop_ended(ctx, aor);
        }
    }

    /// A user lost an identity: its bindings and the subscriptions to it end, on all connections.
    pub(super) fn end_identity(&mut self, ctx: &mut Context<'_>, connections: &[Key], impu: &[u8]) {
        let aor = self.aor(impu);
        for connection in connections {
            for key in self.bindings_over(*connection) {
                if self.bindings.get(key).is_some_and(|binding| binding.aor == aor) {
                    self.end_binding(ctx, key, ContactEvent::Rejected);
                }
            }
            for key in self.watching_over(*connection) {
                let found = self.reg_subscriptions.get_mut(key).expect("a listed one");
                if found.aor == aor {
                    found.ending = Some(Reason::Rejected);
                }
            }
        }
        self.registration_changed(ctx, aor);
        self.drop_ended(ctx, aor);
    }

    /// Takes a subscription out of all tables.
    pub(super) fn drop_reg(&mut self, ctx: &mut Context<'_>, key: Key) {
        self.unlink_reg(key);
        let Some(gone) = self.reg_subscriptions.remove(key) else { return };
        ctx.counters.reg_subscriptions_ended += 1;
        self.by_watched.remove(gone.aor, |place| place == key.index);
        self.strings.release(gone.impu);
        self.strings.release(gone.watcher.dialog);
        self.tell_pcscf_of_end(ctx, gone.connection);
        self.check_otherwise(ctx, gone.connection, key);
    }

    /// Takes a subscription out of its connection's list.
    fn unlink_reg(&mut self, key: Key) {
        let Some(found) = self.reg_subscriptions.get(key) else { return };
        let behind = found.next_of_connection;
        let Some(subscription) = self.subscriptions.get_mut(found.connection) else { return };
        if subscription.watching == Some(key) {
            subscription.watching = behind;
            return;
        }
        let mut next = subscription.watching;
        while let Some(other) = next {
            let other =
                self.reg_subscriptions.get_mut(other).expect("a connection's list is whole");
            if other.next_of_connection == Some(key) {
                other.next_of_connection = behind;
                return;
            }
            next = other.next_of_connection;
        }
    }

    /// Drops what is left of a connection that is gone.
    pub(super) fn drop_what_ran_over(&mut self, ctx: &mut Context<'_>, connection: Key) {
        for key in self.watching_over(connection) {
            self.drop_reg(ctx, key);
        }
        for key in self.sessions_over(connection) {
            self.drop_session(ctx, key);
        }
    }

    /// The alarm of a subscription: its lifetime is over, unless it was prolonged meanwhile.
    pub(super) fn reg_is_due(&mut self, ctx: &mut Context<'_>, key: Key) {
        let Some(found) = self.reg_subscriptions.get_mut(key) else { return };
        if found.watcher.over || !found.look.is_now(ctx.now) {
            return;
        }
        if found.watcher.expires_at > ctx.now {
            return self.arm_reg_end(ctx, key);
        }
        found.ending = Some(Reason::Timeout);
        self.notify_subject(ctx, Subject::Reg(key));
    }

    fn arm_reg_end(&mut self, ctx: &mut Context<'_>, key: Key) {
        let Some(found) = self.reg_subscriptions.get_mut(key) else { return };
        if let Some(after_ns) = found.look.before(ctx.now, found.watcher.expires_at) {
            self.arm(ctx, after_ns, ScscfAlarm::Reg(key));
        }
    }

    /// Writes the body of a NOTIFY; its length.
    pub(super) fn write_reginfo(&self, now: Time, key: Key, out: &mut [u8]) -> Option<usize> {
        let found = self.reg_subscriptions.get(key)?;
        let mut room = TextRoom::default();
        let impu = self.strings.read(&found.impu, &mut room);
        let bindings = self.bindings_of(found.aor);
        let whole = self.write_bound(now, (impu, &bindings), found.watcher.version, out);
        // The last word on those that were overridden is told where there is room for it.
        whole.or_else(|| {
            let mut live = bindings;
            live.retain(|key| self.bindings.get(*key).is_some_and(|it| !it.event.is_end()));
            self.write_bound(now, (impu, &live), found.watcher.version, out)
        })
    }

    /// Writes a body about an identity and these of its bindings; its length.
    pub(super) fn write_bound(
        &self,
        now: Time,
        (impu, bindings): (&[u8], &[Key]),
        version: u32,
        out: &mut [u8],
    ) -> Option<usize> {
        let mut bytes = [0; TEXTS_BYTES_MAX];
        let mut texts = Writer::new(&mut bytes);
        let mut bounds = SmallVec::<[[usize; 3]; BINDINGS_PER_IDENTITY_MAX + 1]>::new();
        for key in bindings {
            let binding = self.bindings.get(*key).expect("an indexed binding");
            let mut room = TextRoom::default();
            let parts = BindingParts::read(self.strings.read(&binding.strings, &mut room));
            let start = texts.len();
            let middle = texts.put(parts.contact).len();
            parts.write_pub_gruu(&mut texts);
            bounds.push([start, middle, texts.len()]);
        }
        if texts.has_overflowed() {
            return None;
        }
        let texts = texts.as_written();
        let contacts = bindings.iter().zip(&bounds).map(|(key, [start, middle, end])| {
            let binding = self.bindings.get(*key).expect("an indexed binding");
            reginfo::Contact {
                id: key.to_u64(),
                event: binding.event,
                expires_s: seconds_until(now, binding.expires_at),
                uri: &texts[*start..*middle],
                pub_gruu: &texts[*middle..*end],
            }
        });
        let mut body = Writer::new(out);
        let id = self.visible.hash(impu);
        reginfo::write(&mut body, version, impu, id, contacts);
        body.done().ok()
    }
}

/// Whether a request comes from a P-CSCF in its own name.
fn is_from_pcscf(message: &Message<'_>, from: SocketAddr) -> bool {
    let asserted = message.asserted_identity().next().and_then(Result::ok);
    asserted.and_then(|asserted| asserted.uri.socket_addr(DEFAULT_PORT)) == Some(from)
}
