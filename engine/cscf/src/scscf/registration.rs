//! Registration with AKA (TS 24.229 clauses 5.4.1.2 and 5.4.1.4): a REGISTER that makes a secure connection, as in today's IMS, and binds all
//! identities of the user that are not barred. The connection lives as long as these bindings. A user has one such connection: another
//! one ends it with all its sessions (the paper's Figure 1), and leaves alone what rests on subscriptions.

use std::net::SocketAddr;

use imstorm_base::TextRoom;
use imstorm_base::slab::Key;
use imstorm_base::strings::Handle;
use imstorm_base::time::Time;
use imstorm_sip::body::reginfo::ContactEvent;
use imstorm_sip::header::HeaderName;
use imstorm_sip::{Credentials, Message, NameAddr, Writer};
use smallvec::SmallVec;

use super::Scscf;
use super::binding::BindingParts;
use super::challenge::Challenged;
use super::connectivity::Check;
use super::flow::Flow;
use super::registrar::{
    BindingRoom, Known, PathRoom, Refused, Request, bad_request, first_of_path, path_of,
};
use super::security_event::is_protected;
use super::subscription::{
    Authenticated, Reason, Registration, Subscription, TokenSecret, Watcher, Whose,
};
use crate::event::Context;
use crate::hss::{Hss, IdentitiesRoom, UserId};
use crate::identity::IdentityList;
use crate::look::Look;
use crate::proxy::DEFAULT_PORT;

/// Room for a Path.
const PATH_BYTES_MAX: usize = 1024;

/// Of identities, as they are provisioned.
pub(super) type Aors = SmallVec<[u64; 8]>;

/// A REGISTER that makes, prolongs or ends a connection, and can be read.
pub(super) struct Register<'a> {
    pub message: &'a Message<'a>,
    pub user: UserId,
    /// The user's identities.
    pub identities: IdentityList<'a>,
    /// Of (private identity, P-CSCF's Path).
    pub key: u64,
    cseq: u32,
    /// The P-CSCF, which Path begins with.
    pcscf: Option<SocketAddr>,
    /// The flow that its contact is of.
    flow: Option<Flow>,
    pub wanted: Wanted<'a>,
}

/// What a REGISTER asks for.
#[derive(Copy, Clone)]
pub(super) enum Wanted<'a> {
    /// To be told what is bound (RFC 3261 clause 10.2.3).
    List,
    /// That all contacts go (`*`).
    RemoveAll,
    /// That this contact is bound, for so many seconds; 0: that it goes.
    Bind(NameAddr<'a>, u32),
}

impl Register<'_> {
    pub fn granted_s(&self) -> u32 {
        match self.wanted {
            Wanted::List | Wanted::RemoveAll => 0,
            Wanted::Bind(_, granted_s) => granted_s,
        }
    }

    pub fn address(&self) -> Option<SocketAddr> {
        match self.wanted {
            Wanted::List | Wanted::RemoveAll => None,
            Wanted::Bind(contact, _) => contact.uri.socket_addr(DEFAULT_PORT),
        }
    }
}

/// What was looked at before.
const ROOM: &str = "room, as just seen";

impl Scscf {
    /// What is kept of the registration that a connection rests on.
    pub(super) fn registration_of(&self, connection: &Subscription) -> Option<&Registration> {
        self.registrations.get(connection.registration?)
    }

    pub(super) fn registration_mut(&mut self, connection: Key) -> Option<&mut Registration> {
        let key = self.subscriptions.get(connection)?.registration?;
        self.registrations.get_mut(key)
    }

    /// Whether a connection rests on a registration.
    pub(super) fn is_registration(&self, connection: Key) -> bool {
        self.subscriptions.get(connection).is_some_and(|found| found.registration.is_some())
    }

    pub(super) fn register_with_aka(
        &mut self,
        ctx: &mut Context<'_>,
        hss: &mut Hss,
        from: SocketAddr,
        message: &Message<'_>,
    ) {
        let (Ok(Some(credentials)), Ok(to)) = (message.authorization(), message.to()) else {
            ctx.counters.bad_request += 1;
            return self.refuse(ctx, from, message, 403, |_| ());
        };
        let Ok(user) = hss.user_authorization(credentials.username, to.uri_text) else {
            ctx.counters.identity_refused += 1;
            return self.refuse(ctx, from, message, 403, |_| ());
        };
        let mut packed = IdentitiesRoom::default();
        let whom = (user, IdentityList::new(self.profile(user, &mut packed)));
        let register = match self.read_register(ctx, message, whom, credentials.username) {
            Ok(register) => register,
            Err(refused) => return self.refuse_register(ctx, from, message, &refused),
        };
        let known = self.registered_by(user, register.key);
        match known.filter(|known| self.is_again(*known, &register, &credentials)) {
            Some(connection) => {
                let credentials = Some(&credentials);
                self.register_again(ctx, Some(hss), from, (&register, credentials), connection);
            }
            None => self.register_anew(ctx, hss, from, &register, &credentials),
        }
    }

    /// A REGISTER of no connection that is known here.
    fn register_anew(
        &mut self,
        ctx: &mut Context<'_>,
        hss: &mut Hss,
        from: SocketAddr,
        register: &Register<'_>,
        credentials: &Credentials<'_>,
    ) {
        let Register { message, user, key, cseq, .. } = *register;
        let modified = match self.use_modified(ctx, user, credentials.username) {
            Ok(modified) => modified,
            Err(refused) => return self.refuse_register(ctx, from, message, &refused),
        };
        let mut whom = Challenged { user, modified, key, cseq, is_live: false, stale: false };
        let admitted = self.admit(ctx, hss, from, message, (credentials, &mut whom));
        if let Some(authenticated) = admitted {
            self.set_up_registration(ctx, from, register, (modified, Some(authenticated)));
        }
        self.give_back(modified);
    }

    pub(super) fn read_register<'a>(
        &self,
        ctx: &mut Context<'_>,
        message: &'a Message<'a>,
        (user, identities): (UserId, IdentityList<'a>),
        impi: &[u8],
    ) -> Result<Register<'a>, Refused> {
        let cseq = message.cseq().map_err(|_| bad_request(ctx))?.number;
        let path = message.list(HeaderName::Path).next();
        let wanted = match message.is_contact_star() {
            true if message.expires().ok().flatten() == Some(0) => Wanted::RemoveAll,
            true => return Err(bad_request(ctx)),
            false => self
                .wanted(ctx, message, None)?
                .map_or(Wanted::List, |(contact, granted_s)| Wanted::Bind(contact, granted_s)),
        };
        let flow = match wanted {
            Wanted::Bind(contact, _) => self.flow_of(ctx, message, &contact)?,
            Wanted::List | Wanted::RemoveAll => None,
        };
        // Without a Path nobody would find the way back to the UE (TS 24.229 clause 5.4.1.2.1).
        let path = path.ok_or_else(|| bad_request(ctx))?;
        let key = self.registration_key(path, impi);
        let pcscf = first_of_path(message);
        Ok(Register { message, user, identities, key, cseq, pcscf, flow, wanted })
    }

    /// What names a registration: the private identity, and the way to the UE, whether the P-CSCF says in it that it keeps a flow, which depends on
    /// what the REGISTER is about, or not.
    fn registration_key(&self, path: &[u8], impi: &[u8]) -> u64 {
        let at = path.windows(4).position(|text| matches!(text, b";ob;" | b";ob>"));
        let Some(at) = at else { return self.hash.hash2(path, impi) };
        let (before, behind) = (&path[..at], &path[at + 3..]);
        let mut way = [0; PATH_BYTES_MAX];
        let mut way = Writer::new(&mut way);
        way.put(before).put(behind);
        self.hash.hash2(way.as_written(), impi)
    }

    /// The connection that a REGISTER by this way is about; one that is ending only where there is no other.
    pub(super) fn registered_by(&self, user: UserId, key: u64) -> Option<Key> {
        let mut last = None;
        let place = self.by_request.find(key, |place| {
            let found = self.subscriptions.key_at(place).and_then(|at| self.subscriptions.get(at));
            let found = found.filter(|found| {
                found.key == key && found.user == user && found.registration.is_some()
            });
            if found.is_some() {
                last = Some(place);
            }
            found.is_some_and(|found| found.ending.is_none())
        });
        self.subscriptions.key_at(place.or(last)?)
    }

    /// Whether a REGISTER is of the connection that this way leads to. It came through security associations then, and does not answer the
    /// challenge of a set-up: a P-CSCF that has forgotten everything may give the same way to another one.
    fn is_again(
        &self,
        connection: Key,
        register: &Register<'_>,
        credentials: &Credentials<'_>,
    ) -> bool {
        let found = self.subscriptions.get(connection).expect("a connection that was found");
        let challenge = self.challenge_of(register.user, register.key);
        let answers = challenge.is_some_and(|key| self.challenge_has_nonce(key, credentials));
        is_protected(credentials) && (found.must_challenge || !answers)
    }

    /// A REGISTER over the connection that an earlier one made. The security association says who it is, so that it is only challenged
    /// where the network wants that, or the UE answers no challenge (TS 24.229 clause 5.4.1.2.2).
    pub(super) fn register_again(
        &mut self,
        ctx: &mut Context<'_>,
        hss: Option<&mut Hss>,
        from: SocketAddr,
        (register, credentials): (&Register<'_>, Option<&Credentials<'_>>),
        connection: Key,
    ) {
        let (message, cseq) = (register.message, register.cseq);
        let call = self.hash.hash(message.call_id().unwrap_or_default());
        let found = self.subscriptions.get(connection).expect("a connection that was found");
        let last = self.registration_of(found).map(|registration| registration.call);
        if last == Some(call) {
            if cseq == found.ue.remote_cseq {
                return self.answer_registration(ctx, from, register, connection);
            }
            if cseq < found.ue.remote_cseq {
                // RFC 3261 clause 10.3, step 7.
                ctx.counters.bad_request += 1;
                return self.refuse(ctx, from, message, 500, |_| ());
            }
        }
        if found.ending.is_some() {
            ctx.counters.dialog_unknown += 1;
            return self.refuse(ctx, from, message, 403, |_| ());
        }
        if register.address().is_some_and(|address| address != found.contact.get()) {
            ctx.counters.contact_refused += 1;
            return self.refuse(ctx, from, message, 403, |_| ());
        }
        let flow = self.registration_of(found).and_then(|registration| registration.flow);
        if let Wanted::Bind(_, granted_s) = register.wanted
            && flow != register.flow
            && (granted_s > 0 || register.flow.is_some())
        {
            // The connection is that of one flow as long as it lives. Who leaves need not say which it was.
            ctx.counters.flow_changed += 1;
            return self.refuse(ctx, from, message, 403, |_| ());
        }
        if let Wanted::List = register.wanted {
            let found = self.subscriptions.get_mut(connection).expect("found above");
            found.ue.remote_cseq = cseq;
            self.registration_mut(connection).expect("it rests on one").call = call;
            return self.answer_registration(ctx, from, register, connection);
        }
        let granted_s = register.granted_s();
        let found = self.subscriptions.get_mut(connection).expect("found above");
        // A UE that answers no challenge has left it to the network to make one (TS 24.229 clause 5.1.1.5.1).
        found.must_challenge |= credentials.is_some_and(|given| given.response.is_empty());
        if let (Some(hss), Some(credentials)) = (hss, credentials)
            && found.must_challenge
            && granted_s > 0
        {
            let Register { user, key, .. } = *register;
            let modified = found.modified;
            let mut whom = Challenged { user, modified, key, cseq, is_live: true, stale: false };
            let admitted = self.admit(ctx, hss, from, message, (credentials, &mut whom));
            let Some(authenticated) = admitted else { return };
            let found = self.subscriptions.get_mut(connection).expect("found above");
            found.authenticated = Some(authenticated);
            found.must_challenge = false;
            ctx.counters.reauthenticated += 1;
        }
        let bound = match granted_s {
            0 => Ok(Aors::new()),
            _ => self.bind_all_identities(ctx, register, connection),
        };
        let aors = match bound {
            Ok(aors) => aors,
            Err(refused) => return self.refuse_register(ctx, from, message, &refused),
        };
        self.registers_again(ctx, connection);
        self.prolong(ctx, connection, Whose::Ue, cseq, granted_s);
        self.registration_mut(connection).expect("it rests on one").call = call;
        self.answer_registration(ctx, from, register, connection);
        if granted_s == 0 {
            return self.end(ctx, connection, Reason::Timeout);
        }
        ctx.counters.aka_registrations_refreshed += 1;
        self.arm_end(ctx, connection);
        for aor in aors {
            self.registration_changed(ctx, aor);
        }
    }

    /// The user is authenticated, or need not be: makes the connection and its bindings, answers, and ends what this registration overrides.
    pub(super) fn set_up_registration(
        &mut self,
        ctx: &mut Context<'_>,
        from: SocketAddr,
        register: &Register<'_>,
        authenticated: (Option<Key>, Option<Authenticated>),
    ) {
        let message = register.message;
        let (Some(contact), Some(pcscf), true) =
            (register.address(), register.pcscf, register.granted_s() > 0)
        else {
            // There is nothing yet that could be removed.
            let refused = bad_request(ctx);
            return self.refuse_register(ctx, from, message, &refused);
        };
        let made = self.open_registration(ctx, register, authenticated, contact, pcscf);
        let Some(key) = made else {
            ctx.counters.table_full += 1;
            return self.refuse(ctx, from, message, 503, |out| {
                out.header(HeaderName::RetryAfter).decimal(10).end();
            });
        };
        let made = self.subscriptions.get(key).expect("a connection that was just made");
        let bound = match self.has_too_many_flows(made) {
            true => {
                ctx.counters.flows_refused += 1;
                Err(Refused(403))
            }
            false => self.bind_all_identities(ctx, register, key),
        };
        let aors = match bound {
            Ok(aors) => aors,
            Err(refused) => {
                self.undo_registration(ctx, key);
                return self.refuse_register(ctx, from, message, &refused);
            }
        };
        ctx.counters.aka_registrations_made += 1;
        self.prolong(ctx, key, Whose::Ue, register.cseq, register.granted_s());
        self.arm_end(ctx, key);
        self.answer_registration(ctx, from, register, key);
        let told = self.supersede(ctx, register.user, key);
        for aor in aors.into_iter().filter(|aor| !told.contains(aor)) {
            self.registration_changed(ctx, aor);
        }
        self.check_earlier(ctx, register.user, key);
    }

    fn open_registration(
        &mut self,
        ctx: &mut Context<'_>,
        register: &Register<'_>,
        (modified, authenticated): (Option<Key>, Option<Authenticated>),
        contact: SocketAddr,
        pcscf: SocketAddr,
    ) -> Option<Key> {
        self.subscriptions.vacant_key()?;
        let user = register.user;
        let mut room = PathRoom::default();
        let path = self.strings.store_packed(&[path_of(register.message, &mut room)?]).ok()?;
        let call = self.hash.hash(register.message.call_id().unwrap_or_default());
        self.use_again(modified);
        let registration = Registration {
            path,
            call,
            flow: register.flow,
            check: Check::None,
            watched: Handle::EMPTY,
        };
        let watched_until = match self.is_open() {
            // Its P-CSCF has no security associations that it would have to end in time.
            true => Time::MAX,
            false => ctx.now.saturating_add(self.config.core.timer_f_ns()),
        };
        let subscription = Subscription {
            user,
            modified,
            registration: Some(self.registrations.insert(registration).expect(ROOM)),
            key: register.key,
            secret: TokenSecret(ctx.random.next_u64()),
            earlier_secret: (TokenSecret(0), 0),
            contact: contact.into(),
            pcscf: pcscf.into(),
            authenticated,
            ue: Watcher::default(),
            watching_pcscf: Watcher { expires_at: watched_until, ..Watcher::default() },
            must_challenge: false,
            bindings: None,
            watching: None,
            sessions: None,
            unbound_until: Time::MAX,
            look: Look::default(),
            ending: None,
            next_of_user: self.by_user.get(user.0 as usize),
        };
        let key = self.subscriptions.insert(subscription).expect(ROOM);
        let indexed = self.by_request.insert(register.key, key.index).is_ok();
        assert!(indexed, "the index has room for as many as the slab");
        self.by_user.set(user.0 as usize, Some(key));
        Some(key)
    }

    /// Some identity could not be bound: the connection has not been made.
    fn undo_registration(&mut self, ctx: &mut Context<'_>, key: Key) {
        let made = self.subscriptions.get_mut(key).expect("a connection that was just made");
        made.ending = Some(Reason::NoResource);
        for binding in self.bindings_over(key) {
            self.end_binding(ctx, binding, ContactEvent::Deactivated);
            self.drop_binding(ctx, binding);
        }
        self.forget_subscription(ctx, key);
    }

    /// Binds the implicit registration set: all identities of the user that are not barred (TS 23.228 clause 5.2.1a.1), or, where one of them can't
    /// be bound, none (RFC 3261 clause 10.3, step 7). One that others share, and have left no room for, is left out.
    fn bind_all_identities(
        &mut self,
        ctx: &mut Context<'_>,
        register: &Register<'_>,
        connection: Key,
    ) -> Result<Aors, Refused> {
        let Wanted::Bind(contact, granted_s) = register.wanted else { return Ok(Aors::new()) };
        let identities = register.identities;
        let usable = || identities.iter().filter(|identity| !identity.barred);
        if usable().next().is_none() {
            ctx.counters.identity_refused += 1;
            return Err(Refused(403));
        }
        let mut room = BindingRoom::default();
        let first = self.request_for(register, connection, b"");
        let asked = self.read_asked(ctx, &first, (&contact, register.pcscf), &mut room)?;
        let (mut bindable, mut made) = (Aors::new(), 0);
        let mut all = SmallVec::<[Option<Known>; 4]>::new();
        let mut lacking = None;
        for identity in usable() {
            let request = self.request_for(register, connection, identity.uri);
            match self.can_bind(ctx, &request, &asked, made) {
                Ok(known) => {
                    made += usize::from(known.is_new());
                    bindable.push(request.aor);
                    all.push(Some(known));
                }
                Err(refused) if self.may_leave_out(&request, &refused) => {
                    lacking = Some(refused);
                    all.push(None);
                }
                Err(refused) => return Err(refused),
            }
        }
        if let Some(refused) = lacking.filter(|_| bindable.is_empty()) {
            return Err(refused);
        }
        for (identity, known) in usable().zip(&all) {
            let request = self.request_for(register, connection, identity.uri);
            if let Some(known) = known {
                self.bind_told(ctx, &request, (&asked, known), granted_s)?;
            }
        }
        Ok(bindable)
    }

    /// Whether an identity that can't be bound is one that other users share, who have left no room. What is bound already is never left to expire,
    /// with which the connection would end.
    fn may_leave_out(&self, request: &Request<'_>, refused: &Refused) -> bool {
        matches!(refused.0, 503 | 513)
            && !self.is_bound_over(request.connection, request.aor)
            && self.is_bound_by_others(request)
    }

    fn request_for<'a>(
        &self,
        register: &Register<'a>,
        connection: Key,
        impu: &'a [u8],
    ) -> Request<'a> {
        let Register { message, user, identities, cseq, .. } = *register;
        Request { message, connection, user, identities, impu, aor: self.aor(impu), cseq }
    }

    /// 200 (TS 24.229 clause 5.4.1.2.2F), about the identity in To, or the default one where that is barred: a user may register by an
    /// identity that is good for nothing else.
    fn answer_registration(
        &self,
        ctx: &mut Context<'_>,
        to: SocketAddr,
        register: &Register<'_>,
        connection: Key,
    ) {
        let identities = register.identities;
        let named = register.message.to().ok().and_then(|to| identities.find(to.uri_text));
        let named = named.filter(|identity| !identity.barred).map(|identity| identity.uri);
        let impu = named.or(identities.default_identity()).unwrap_or_default();
        let request = self.request_for(register, connection, impu);
        self.answer_register(ctx, to, &request);
    }

    /// The P-CSCF asks for its own subscription to the registration (TS 24.229 clause 5.2.3).
    pub(super) fn pcscf_watches(
        &mut self,
        ctx: &mut Context<'_>,
        from: SocketAddr,
        message: &Message<'_>,
        (connection, impu): (Key, &[u8]),
        asked_s: u32,
    ) {
        let Ok(watched) = self.strings.store_packed(&[impu]) else {
            ctx.counters.table_full += 1;
            return self.refuse(ctx, from, message, 503, |_| ());
        };
        let kept = &mut self.registration_mut(connection).expect("it rests on one").watched;
        let rest = if kept.is_empty() { std::mem::replace(kept, watched) } else { watched };
        self.strings.release(rest);
        self.pcscf_subscribes(ctx, from, message, connection, asked_s);
    }

    /// What is bound to an identity has changed: the P-CSCFs of the registrations that it is a part of are told. Those that end are told
    /// behind their UEs.
    pub(super) fn tell_pcscfs(&mut self, ctx: &mut Context<'_>, aor: u64) {
        for binding in self.bindings_of(aor) {
            let connection = self.bindings.get(binding).map(|binding| binding.connection);
            let Some(connection) = connection else { continue };
            let is_live = |found: &Subscription| found.ending.is_none();
            let found = self.subscriptions.get(connection).filter(|found| is_live(found));
            let registration = found.and_then(|found| self.registration_of(found));
            let is_watching = found.is_some_and(|found| found.watching_pcscf.exists());
            let is_watched = is_watching
                && registration.is_some_and(|registration| {
                    let mut room = TextRoom::default();
                    let watched = self.aor(self.strings.read(&registration.watched, &mut room));
                    watched == aor || !self.is_bound_over(connection, watched)
                });
            if is_watched {
                self.notify(ctx, connection, Whose::Pcscf);
            }
        }
    }

    /// Whether a live binding of an identity runs over this connection.
    fn is_bound_over(&self, connection: Key, aor: u64) -> bool {
        let bindings = self.bindings_over(connection);
        let mut bindings = bindings.iter().filter_map(|key| self.bindings.get(*key));
        bindings.any(|binding| binding.aor == aor && !binding.event.is_end())
    }

    /// Tells the P-CSCF that a registration is over, once its UE has been told all that it had asked for: with this the security associations
    /// go.
    pub(super) fn tell_pcscf_of_end(&mut self, ctx: &mut Context<'_>, connection: Key) {
        let found = self.subscriptions.get(connection);
        if found.is_some_and(|found| {
            found.registration.is_some() && found.ending.is_some() && found.watching.is_none()
        }) {
            self.notify(ctx, connection, Whose::Pcscf);
        }
    }

    /// The body for a P-CSCF: what this connection binds of the identity that it watches, or of another one where that is the user's no more
    /// and others are. Of what others bind, maybe with the same address, it need not know.
    pub(super) fn write_registration(
        &self,
        now: Time,
        connection: Key,
        version: u32,
        out: &mut [u8],
    ) -> Option<usize> {
        let registration = self.registration_of(self.subscriptions.get(connection)?)?;
        let (mut room, mut other_room) = (TextRoom::default(), TextRoom::default());
        let watched = self.strings.read(&registration.watched, &mut room);
        let aor = self.aor(watched);
        let bindings = self.bindings_over(connection);
        let mut live = bindings
            .iter()
            .filter_map(|key| self.bindings.get(*key))
            .filter(|binding| !binding.event.is_end());
        let other = match live.clone().any(|binding| binding.aor == aor) {
            true => None,
            false => live.next(),
        };
        let about = other.map_or((aor, watched), |binding| {
            let kept = self.strings.read(&binding.strings, &mut other_room);
            (binding.aor, BindingParts::read(kept).impu)
        });
        let mut bound = self.bindings_of(about.0);
        bound.retain(|key| {
            self.bindings.get(*key).is_some_and(|found| found.connection == connection)
        });
        self.write_bound(now, (about.1, &bound), version, out)
    }

    /// Network-initiated re-authentication of a registration (TS 24.229 clause 5.4.1.6): its bindings end sooner, and whoever watches them is
    /// told so.
    pub(super) fn shorten_bindings(
        &mut self,
        ctx: &mut Context<'_>,
        connection: Key,
        expires_at: Time,
    ) {
        let mut aors = Aors::new();
        for key in self.bindings_over(connection) {
            let binding = self.bindings.get_mut(key).expect("a listed one");
            binding.expires_at = binding.expires_at.min(expires_at);
            binding.event = ContactEvent::Shortened;
            aors.push(binding.aor);
            self.arm_binding(ctx, key);
        }
        for aor in aors {
            self.registration_changed(ctx, aor);
        }
    }
}
