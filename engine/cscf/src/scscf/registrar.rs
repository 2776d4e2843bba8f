//! The registrar (RFC 3261 clause 10.3), for REGISTERs without credentials over a secure connection (the paper's section 3.2): the
//! connection says who it is, and which contact it may bind. A REGISTER never touches another connection's bindings. One with credentials
//! makes a connection itself: `registration.rs`.

use std::net::SocketAddr;

use imstorm_base::TextRoom;
use imstorm_base::slab::Key;
use imstorm_base::time::{NS_PER_S, Time, seconds};
use imstorm_sip::body::reginfo::ContactEvent;
use imstorm_sip::header::HeaderName;
use imstorm_sip::{Message, NameAddr, Writer};
use smallvec::SmallVec;

use super::binding::{Binding, BindingParts, escaped_bytes};
use super::flow::instance_of;
use super::gruu::TemporaryGruu;
use super::subscription::Reason;
use super::{Scscf, ScscfAlarm, write_contact};
use crate::event::Context;
use crate::hss::directory::BODY_BYTES_MAX;
use crate::hss::{Hss, IdentitiesRoom, UserId};
use crate::identity::IdentityList;
use crate::look::Look;
use crate::mw::MESSAGE_BYTES_MAX;
use crate::proxy::DEFAULT_PORT;

/// Bindings of one identity: what fits a 200 beside the other headers.
pub const BINDINGS_PER_IDENTITY_MAX: usize = 6;
/// The longest contact, instance, other parameters of a Contact and Call-ID of a binding, in bytes. What a binding may take beside others is
/// up to [`Scscf::can_be_told`].
const CONTACT_BYTES_MAX: usize = 256;
const INSTANCE_BYTES_MAX: usize = 128;
const PARAMS_BYTES_MAX: usize = 400;
const CALL_ID_BYTES_MAX: usize = 256;
/// The longest Path, in bytes.
const PATH_BYTES_MAX: usize = 1024;
/// The longest 200 to a REGISTER, in bytes: less than a message on Mw, for the status line and for the seal towards the UE.
const ANSWER_BYTES_MAX: usize = MESSAGE_BYTES_MAX - 256;
/// What a header's line takes beside its text: P-Associated-URI has the most, and Contact has its expiry.
const LINE_BYTES: usize = 34;
/// What the two GRUUs take in a Contact beside identity, instance and realm.
const GRUU_FRAME_BYTES: usize = 104;
/// What Service-Route takes, our address and a token, and Require.
const SERVICE_ROUTE_BYTES: usize = 160;
/// What the body has beside its contacts and the identity.
const BODY_FRAME_BYTES: usize = 320;
/// The lifetime of a binding that asks for none (TS 24.229 clause 5.1.1.2.1).
const EXPIRES_DEFAULT_S: u32 = 600_000;

/// Keys of an identity's bindings.
/// One more while a registration overrides another.
pub(super) type Bindings = SmallVec<[Key; BINDINGS_PER_IDENTITY_MAX + 1]>;

/// Why a REGISTER is refused.
pub(super) struct Refused(pub u16);

/// A REGISTER that has been admitted.
pub(super) struct Request<'a> {
    pub message: &'a Message<'a>,
    pub connection: Key,
    pub user: UserId,
    /// All identities of the user.
    pub identities: IdentityList<'a>,
    /// The identity as it is provisioned.
    pub impu: &'a [u8],
    pub aor: u64,
    pub cseq: u32,
}

/// What a REGISTER asks to have bound: the same for all identities, and so read once.
pub(super) struct Asked<'a> {
    /// A binding's strings, the identity left out.
    parts: BindingParts<'a>,
    q_millis: u16,
    /// The 200 asks for GRUUs.
    with_gruus: bool,
    /// Bytes of the 200 without its contacts.
    answer_bytes: usize,
}

/// What is bound to an identity, as a REGISTER finds it.
pub(super) struct Known {
    /// The binding over the request's connection, and whether this very request has made it so.
    own: Option<(Key, bool)>,
    /// Those over other connections, without those that the request's own overrides: a registration has those end of which it takes the place.
    beside: Bindings,
}

impl Known {
    /// Whether the request is the first one of its connection for this identity.
    pub fn is_new(&self) -> bool {
        self.own.is_none()
    }
}

/// Room for what a binding keeps of a REGISTER's headers.
#[derive(Default)]
pub(super) struct BindingRoom {
    /// Only where the contact has parameters to keep.
    params: Option<[u8; PARAMS_BYTES_MAX]>,
    /// Only where Path has several entries, which are one string then.
    path: PathRoom,
}

/// Room for a Path of several entries.
pub(super) type PathRoom = Option<[u8; PATH_BYTES_MAX]>;

/// The address that Path begins with: the P-CSCF's.
pub(super) fn first_of_path(message: &Message<'_>) -> Option<SocketAddr> {
    message.paths().next()?.ok()?.uri.socket_addr(DEFAULT_PORT)
}

/// Path as one string. `None` where it is too long.
pub(super) fn path_of<'b>(message: &Message<'b>, room: &'b mut PathRoom) -> Option<&'b [u8]> {
    let mut entries = message.list(HeaderName::Path);
    let first = entries.next().unwrap_or_default();
    if entries.next().is_none() {
        return (first.len() <= PATH_BYTES_MAX).then_some(first);
    }
    let room = room.insert([0; PATH_BYTES_MAX]);
    let mut path = Writer::new(&mut *room);
    for (number, entry) in message.list(HeaderName::Path).enumerate() {
        path.put(if number > 0 { b", " } else { b"" }).put(entry);
    }
    let len = path.done().ok()?;
    Some(&room[..len])
}

impl Scscf {
    pub(super) fn register(
        &mut self,
        ctx: &mut Context<'_>,
        hss: &mut Hss,
        from: SocketAddr,
        message: &Message<'_>,
    ) {
        if self.refuse_replaces(ctx, from, message) {
            return;
        }
        if self.is_open() {
            return self.register_openly(ctx, hss, from, message);
        }
        let has_credentials = message.header(HeaderName::Authorization).is_some();
        if has_credentials && !self.is_from_connection(message) {
            return self.register_with_aka(ctx, hss, from, message);
        }
        let Some(key) = self.routed_over(ctx, from, message) else { return };
        let user = self.subscriptions.get(key).expect("a connection that was found").user;
        let mut packed = IdentitiesRoom::default();
        let identities = IdentityList::new(self.profile(user, &mut packed));
        let (Ok(to), Ok(cseq)) = (message.to(), message.cseq()) else {
            ctx.counters.bad_request += 1;
            return self.refuse(ctx, from, message, 400, |_| ());
        };
        let usable = |uri: &[u8]| identities.find(uri).filter(|identity| !identity.barred);
        let asserted = message.asserted_identity().next().and_then(Result::ok);
        let asserted = asserted.and_then(|asserted| usable(asserted.uri_text));
        let (Some(identity), Some(_)) = (usable(to.uri_text), asserted) else {
            ctx.counters.identity_refused += 1;
            return self.refuse(ctx, from, message, 403, |_| ());
        };
        let aor = self.aor(identity.uri);
        let (impu, cseq) = (identity.uri, cseq.number);
        let request = Request { message, connection: key, user, identities, impu, aor, cseq };
        match self.bind_all(ctx, &request) {
            Ok(changed) => {
                self.answer_register(ctx, from, &request);
                if changed {
                    self.registration_changed(ctx, aor);
                    self.drop_ended(ctx, aor);
                }
            }
            Err(refused) => self.refuse_register(ctx, from, message, &refused),
        }
    }

    pub(super) fn refuse_register(
        &self,
        ctx: &mut Context<'_>,
        from: SocketAddr,
        message: &Message<'_>,
        refused: &Refused,
    ) {
        let is_brief = refused.0 == 423;
        ctx.counters.interval_too_brief += u64::from(is_brief);
        let least_s = self.config.expires_min_s;
        self.refuse(ctx, from, message, refused.0, |out| {
            if is_brief {
                out.header(HeaderName::MinExpires).decimal(u64::from(least_s)).end();
            }
        });
    }

    /// Of an identity as it is provisioned: what its bindings are found by.
    pub(super) fn aor(&self, impu: &[u8]) -> u64 {
        self.hash.hash(impu)
    }

    /// Does what the REGISTER asks for. Whether anything changed; nothing has where it is refused.
    fn bind_all(&mut self, ctx: &mut Context<'_>, request: &Request<'_>) -> Result<bool, Refused> {
        let message = request.message;
        let default_s = message.expires().map_err(|_| bad_request(ctx))?;
        if message.is_contact_star() {
            if default_s != Some(0) || message.list(HeaderName::Contact).count() != 1 {
                return Err(bad_request(ctx));
            }
            return self.unbind(ctx, request);
        }
        let contact_of_ue =
            self.subscriptions.get(request.connection).expect("an admitted request").contact.get();
        match self.wanted(ctx, message, Some(contact_of_ue))? {
            None => Ok(false),
            Some((_, 0)) => self.unbind(ctx, request),
            Some((contact, granted_s)) => {
                let known = self.known(ctx, request)?;
                let mut room = BindingRoom::default();
                let asked = (&contact, first_of_path(message));
                let asked = self.read_asked(ctx, request, asked, &mut room)?;
                self.bind(ctx, request, (&asked, &known), granted_s)
            }
        }
    }

    /// The contact that a REGISTER is about, which has to be the UE's where that is known, and the lifetime that it gets, in seconds. A REGISTER
    /// with none only asks what is bound.
    pub(super) fn wanted<'m>(
        &self,
        ctx: &mut Context<'_>,
        message: &Message<'m>,
        contact_of_ue: Option<SocketAddr>,
    ) -> Result<Option<(NameAddr<'m>, u32)>, Refused> {
        let default_s = message.expires().map_err(|_| bad_request(ctx))?;
        let mut address = contact_of_ue;
        let mut wanted = None;
        for contact in message.contacts() {
            let contact = contact.map_err(|_| bad_request(ctx))?;
            let here = contact.uri.socket_addr(DEFAULT_PORT);
            address = address.or(here);
            if here.is_none() || here != address {
                ctx.counters.contact_refused += 1;
                return Err(Refused(403));
            }
            let asked_s = match contact.params.value("expires") {
                Some(text) => std::str::from_utf8(text).ok().and_then(|text| text.parse().ok()),
                None => default_s,
            };
            let asked_s = asked_s.unwrap_or(EXPIRES_DEFAULT_S);
            if asked_s > 0 && asked_s < self.config.expires_min_s {
                return Err(Refused(423));
            }
            // All of them are one contact: the last word counts.
            wanted = Some((contact, asked_s.min(self.config.expires_max_s)));
        }
        Ok(wanted)
    }

    /// What is bound to the request's identity; an error where the request is older than its own binding (RFC 3261 clause 10.3, step 7).
    fn known(&self, ctx: &mut Context<'_>, request: &Request<'_>) -> Result<Known, Refused> {
        let mut known = Known { own: None, beside: Bindings::new() };
        let Some(own) = self.subscriptions.get(request.connection) else { return Ok(known) };
        for key in self.bindings_of(request.aor) {
            let binding = self.bindings.get(key).expect("an indexed binding");
            if binding.connection != request.connection {
                let other = self.subscriptions.get(binding.connection);
                if other.is_none_or(|other| !self.excludes(own, other)) {
                    known.beside.push(key);
                }
                continue;
            }
            let mut room = TextRoom::default();
            let parts = BindingParts::read(self.strings.read(&binding.strings, &mut room));
            let same_call = Ok(parts.call_id) == request.message.call_id();
            if same_call && request.cseq < binding.cseq {
                ctx.counters.bad_request += 1;
                return Err(Refused(500));
            }
            known.own = Some((key, same_call && request.cseq == binding.cseq));
        }
        Ok(known)
    }

    fn unbind(&mut self, ctx: &mut Context<'_>, request: &Request<'_>) -> Result<bool, Refused> {
        match self.known(ctx, request)?.own {
            Some((key, false)) => {
                self.end_binding(ctx, key, ContactEvent::Unregistered);
                Ok(true)
            }
            Some((_, true)) | None => Ok(false),
        }
    }

    /// Whether a request may be bound, as far as that can be said beforehand, where as many new bindings are to be made before it; what is bound
    /// already.
    pub(super) fn can_bind(
        &self,
        ctx: &mut Context<'_>,
        request: &Request<'_>,
        asked: &Asked<'_>,
        made_before: usize,
    ) -> Result<Known, Refused> {
        let known = self.known(ctx, request)?;
        if !self.can_be_told(request, asked, &known.beside) {
            ctx.counters.message_too_large += 1;
            return Err(Refused(513));
        }
        let has_room = self.bindings.len() + made_before < self.bindings.capacity()
            && known.beside.len() < BINDINGS_PER_IDENTITY_MAX;
        if known.is_new() && !has_room {
            ctx.counters.table_full += 1;
            return Err(Refused(503));
        }
        Ok(known)
    }

    /// Whether other users who share an identity have bindings of it.
    pub(super) fn is_bound_by_others(&self, request: &Request<'_>) -> bool {
        self.bindings_of(request.aor).iter().any(|key| {
            let over = self.bindings.get(*key).map(|binding| binding.connection);
            let over = over.and_then(|over| self.subscriptions.get(over));
            over.is_some_and(|over| over.user != request.user)
        })
    }

    /// What a REGISTER whose Path begins with `first` binds, and what its 200 takes beside the contacts.
    pub(super) fn read_asked<'b>(
        &self,
        ctx: &mut Context<'_>,
        request: &Request<'b>,
        (contact, first): (&NameAddr<'b>, Option<SocketAddr>),
        room: &'b mut BindingRoom,
    ) -> Result<Asked<'b>, Refused> {
        let message = request.message;
        let params = match contact.params.spelled().any(|(name, _)| is_kept_param(name)) {
            true => {
                let room = room.params.insert([0; PARAMS_BYTES_MAX]);
                let mut params = Writer::new(&mut *room);
                write_kept_params(contact, &mut params);
                params.done().ok().map(|len| &room[..len])
            }
            false => Some(&b""[..]),
        };
        let path = path_of(message, &mut room.path);
        let pcscf = self.subscriptions.get(request.connection).map(|found| found.pcscf.get());
        // The way back must be the way that it came (RFC 3327 clause 5.3).
        let is_own_path = first.is_some() && first == pcscf;
        if !is_own_path {
            return Err(bad_request(ctx));
        }
        let instance = instance_of(contact).unwrap_or_default();
        let call_id = message.call_id().map_err(|_| bad_request(ctx))?;
        let is_short = contact.uri_text.len() <= CONTACT_BYTES_MAX
            && instance.len() <= INSTANCE_BYTES_MAX
            && call_id.len() <= CALL_ID_BYTES_MAX;
        let (Some(params), Some(path), true) = (params, path, is_short) else {
            ctx.counters.message_too_large += 1;
            return Err(Refused(513));
        };
        let parts =
            BindingParts { impu: b"", contact: contact.uri_text, params, path, instance, call_id };
        Ok(Asked {
            parts,
            q_millis: q_millis(contact),
            with_gruus: message.has_option(HeaderName::Supported, "gruu"),
            answer_bytes: self.answer_bytes(request),
        })
    }

    pub(super) fn bind(
        &mut self,
        ctx: &mut Context<'_>,
        request: &Request<'_>,
        (asked, known): (&Asked<'_>, &Known),
        granted_s: u32,
    ) -> Result<bool, Refused> {
        if matches!(known.own, Some((_, true))) {
            // The same request again: the same answer.
            return Ok(false);
        }
        if !self.can_be_told(request, asked, &known.beside) {
            ctx.counters.message_too_large += 1;
            return Err(Refused(513));
        }
        self.bind_told(ctx, request, (asked, known), granted_s)
    }

    /// As [`Scscf::bind`], where [`Scscf::can_bind`] has said that it fits.
    pub(super) fn bind_told(
        &mut self,
        ctx: &mut Context<'_>,
        request: &Request<'_>,
        (asked, known): (&Asked<'_>, &Known),
        granted_s: u32,
    ) -> Result<bool, Refused> {
        if matches!(known.own, Some((_, true))) {
            return Ok(false);
        }
        let parts = BindingParts { impu: request.impu, ..asked.parts };
        let expires_at = ctx.now.saturating_add(seconds(u64::from(granted_s)));
        let key = match known.own {
            Some((key, _)) => self.rebind(key, &parts).then_some(key),
            None if known.beside.len() >= BINDINGS_PER_IDENTITY_MAX => None,
            None => self.make_binding(request, &parts),
        };
        let Some(key) = key else {
            ctx.counters.table_full += 1;
            return Err(Refused(503));
        };
        self.bindings_made += 1;
        let binding = self.bindings.get_mut(key).expect("just bound");
        binding.cseq = request.cseq;
        binding.expires_at = expires_at;
        binding.q_millis = asked.q_millis;
        binding.order = self.bindings_made;
        match known.own {
            Some(_) => ctx.counters.registrations_refreshed += 1,
            None => ctx.counters.registrations_made += 1,
        }
        self.arm_binding(ctx, key);
        Ok(true)
    }

    /// Gives a binding new strings, and so another temporary GRUU. False where there is no room; nothing changes then.
    fn rebind(&mut self, key: Key, parts: &BindingParts<'_>) -> bool {
        let Some(strings) = parts.store(&mut self.strings) else { return false };
        let binding = self.bindings.get_mut(key).expect("a binding that was found");
        let mut room = TextRoom::default();
        let before = BindingParts::read(self.strings.read(&binding.strings, &mut room));
        if before.call_id != parts.call_id || before.instance != parts.instance {
            binding.gruu_epoch += 1;
        }
        self.strings.release(std::mem::replace(&mut binding.strings, strings));
        binding.gruu_count += 1;
        binding.event = ContactEvent::Refreshed;
        true
    }

    /// Puts a new binding into all tables. `None` where there is no room; nothing changes then.
    fn make_binding(&mut self, request: &Request<'_>, parts: &BindingParts<'_>) -> Option<Key> {
        if self.bindings.len() == self.bindings.capacity() {
            return None;
        }
        let strings = parts.store(&mut self.strings)?;
        let subscription = self.subscriptions.get_mut(request.connection);
        let subscription = subscription.expect("an admitted request");
        let binding = Binding {
            connection: request.connection,
            aor: request.aor,
            strings,
            cseq: request.cseq,
            expires_at: 0,
            look: Look::default(),
            q_millis: 0,
            order: 0,
            gruu_epoch: 0,
            gruu_count: 0,
            event: ContactEvent::Registered,
            next_of_connection: subscription.bindings,
        };
        let key = self.bindings.insert(binding).expect("room, as just seen");
        subscription.bindings = Some(key);
        subscription.unbound_until = Time::MAX;
        let indexed = self.by_aor.insert(request.aor, key.index).is_ok();
        assert!(indexed, "the index has room for as many as the slab");
        Some(key)
    }

    /// What a 200 to a REGISTER takes beside its contacts.
    fn answer_bytes(&self, request: &Request<'_>) -> usize {
        let message = request.message;
        let copied = [
            HeaderName::Via,
            HeaderName::From,
            HeaderName::To,
            HeaderName::CallId,
            HeaderName::CSeq,
            HeaderName::Path,
        ];
        let lines = message.headers().iter().filter(|line| copied.contains(&line.name));
        let head: usize = lines.map(|line| line.value.len() + LINE_BYTES).sum();
        let usable = request.identities.iter().filter(|identity| !identity.barred);
        let told: usize = usable.map(|identity| identity.uri.len() + LINE_BYTES).sum();
        let route = match self.is_registration(request.connection) {
            true => SERVICE_ROUTE_BYTES,
            false => 0,
        };
        head + told + route
    }

    /// Whether a binding leaves the 200 to a REGISTER, which lists all bindings and identities, and the body for those who watch the
    /// identity, at a size that can be sent.
    fn can_be_told(&self, request: &Request<'_>, asked: &Asked<'_>, beside: &Bindings) -> bool {
        let new = BindingParts { impu: request.impu, ..asked.parts };
        let gruus = match asked.with_gruus {
            true => {
                new.impu.len() + new.instance.len() + self.config.realm.len() + GRUU_FRAME_BYTES
            }
            false => 0,
        };
        let (mut answer, mut body) = (asked.answer_bytes + gruus, new.told_bytes());
        answer += new.contact.len() + new.params.len() + LINE_BYTES;
        for key in beside {
            let binding = self.bindings.get(*key).expect("an indexed binding");
            let mut room = TextRoom::default();
            let parts = BindingParts::read(self.strings.read(&binding.strings, &mut room));
            answer += parts.contact.len() + parts.params.len() + LINE_BYTES;
            body += parts.told_bytes();
        }
        let body_bytes_max = BODY_BYTES_MAX - BODY_FRAME_BYTES - escaped_bytes(new.impu);
        answer <= ANSWER_BYTES_MAX && body <= body_bytes_max
    }

    /// What a 200 lists: the connection's own binding first, then those beside it.
    fn told_bindings(&self, request: &Request<'_>) -> Bindings {
        let mut told = Bindings::new();
        let Some(own) = self.subscriptions.get(request.connection) else { return told };
        for key in self.bindings_of(request.aor) {
            let over = self.bindings.get(key).expect("an indexed binding").connection;
            if over == request.connection {
                told.insert(0, key);
            } else if self.subscriptions.get(over).is_none_or(|other| !self.excludes(own, other)) {
                told.push(key);
            }
        }
        told
    }

    /// 200 with all of the identity's bindings (RFC 3261 clause 10.3, step 8) and, to whoever understands them, GRUUs. The connection's own
    /// comes first: another one may have the same address. To whoever deregisters no contact with its address is told.
    pub(super) fn answer_register(
        &self,
        ctx: &mut Context<'_>,
        to: SocketAddr,
        request: &Request<'_>,
    ) {
        let message = request.message;
        let gruus = message.has_option(HeaderName::Supported, "gruu");
        let bindings = self.told_bindings(request);
        let now = ctx.now;
        let connection = self.subscriptions.get(request.connection);
        let registered = connection.filter(|found| found.registration.is_some());
        let leaves = registered.is_some_and(|found| found.ue.granted_s == 0);
        let identities = request.identities;
        self.refuse(ctx, to, message, 200, |out| {
            out.copy(message, HeaderName::Path);
            for key in &bindings {
                let binding = self.bindings.get(*key).expect("an indexed binding");
                let of_this = binding.connection == request.connection;
                let over = self.subscriptions.get(binding.connection);
                let is_here = over.map(|over| over.contact) == connection.map(|it| it.contact);
                let is_gone = binding.event.is_end() || (leaves && is_here);
                if !is_gone {
                    self.write_binding(*key, binding, now, of_this && gruus, out);
                }
            }
            if let Some(registered) = registered.filter(|_| !leaves) {
                // RFC 3608 clause 6.3: by which way its requests reach us.
                out.header(HeaderName::ServiceRoute);
                write_contact(self.config.mw, request.connection, registered.secret, out);
                out.end();
                let is_flow = self.registration_of(registered).is_some_and(|it| it.flow.is_some());
                if is_flow && message.has_option(HeaderName::Supported, "outbound") {
                    // RFC 5626 clause 6: the flow is accepted as such.
                    out.header(HeaderName::Require).text("outbound").end();
                }
            }
            // The default identity first, barred ones not at all (TS 24.229 clause 5.4.1.2.2F).
            let usable = || identities.iter().filter(|identity| !identity.barred);
            let default = usable().filter(|identity| identity.is_default);
            for identity in default.chain(usable().filter(|identity| !identity.is_default)) {
                out.header(HeaderName::PAssociatedUri).put(b"<").put(identity.uri).put(b">").end();
            }
        });
    }

    pub(super) fn write_binding(
        &self,
        key: Key,
        binding: &Binding,
        now: Time,
        with_gruus: bool,
        out: &mut Writer<'_>,
    ) {
        let mut room = TextRoom::default();
        let parts = BindingParts::read(self.strings.read(&binding.strings, &mut room));
        out.header(HeaderName::Contact).put(b"<").put(parts.contact).put(b">").put(parts.params);
        out.put(b";expires=").decimal(seconds_until(now, binding.expires_at));
        if with_gruus && !parts.instance.is_empty() && parts.impu.starts_with(b"sip:") {
            out.put(b";pub-gruu=\"");
            parts.write_pub_gruu(out);
            out.put(b"\";temp-gruu=\"");
            let (epoch, count) = (binding.gruu_epoch, binding.gruu_count);
            let gruu = TemporaryGruu { binding: key, epoch, count };
            self.gruus.write(gruu, self.config.shard, &self.config.realm, out);
            out.put(b"\"");
        }
        out.end();
    }

    /// The bindings of an identity, those that just ended included.
    pub(super) fn bindings_of(&self, aor: u64) -> Bindings {
        let mut found = Bindings::new();
        self.by_aor.find(aor, |place| {
            if let Some(key) = self.bindings.key_at(place)
                && self.bindings.get(key).is_some_and(|binding| binding.aor == aor)
            {
                found.push(key);
            }
            false
        });
        found
    }

    /// Marks a binding as ended. It goes once its watchers are told.
    pub(super) fn end_binding(&mut self, ctx: &mut Context<'_>, key: Key, event: ContactEvent) {
        let Some(binding) = self.bindings.get_mut(key) else { return };
        if !binding.event.is_end() {
            binding.event = event;
            ctx.counters.registrations_ended += 1;
            ctx.counters.registrations_expired += u64::from(event == ContactEvent::Expired);
        }
    }

    /// Takes the bindings of an identity that have ended out of all tables.
    pub(super) fn drop_ended(&mut self, ctx: &mut Context<'_>, aor: u64) {
        for key in self.bindings_of(aor) {
            if self.bindings.get(key).is_some_and(|binding| binding.event.is_end()) {
                self.drop_binding(ctx, key);
            }
        }
    }

    pub(super) fn drop_binding(&mut self, ctx: &mut Context<'_>, key: Key) {
        let Some(binding) = self.bindings.remove(key) else { return };
        self.by_aor.remove(binding.aor, |place| place == key.index);
        self.strings.release(binding.strings);
        let Some(subscription) = self.subscriptions.get_mut(binding.connection) else { return };
        if subscription.bindings == Some(key) {
            subscription.bindings = binding.next_of_connection;
        } else {
            let mut next = subscription.bindings;
            while let Some(other) = next {
                let other = self.bindings.get_mut(other).expect("a connection's list is whole");
                if other.next_of_connection == Some(key) {
                    other.next_of_connection = binding.next_of_connection;
                    break;
                }
                next = other.next_of_connection;
            }
        }
        let subscription = self.subscriptions.get(binding.connection);
        if subscription.is_some_and(|it| it.bindings.is_none() && it.ending.is_none()) {
            if !self.is_registration(binding.connection) {
                return self.want_binding(ctx, binding.connection);
            }
            let reason = match binding.event {
                ContactEvent::Rejected => Reason::Rejected,
                _ => Reason::Deactivated,
            };
            self.end(ctx, binding.connection, reason);
        }
    }

    /// A connection's bindings.
    pub(super) fn bindings_over(&self, connection: Key) -> SmallVec<[Key; 4]> {
        let mut found = SmallVec::new();
        let mut next = self.subscriptions.get(connection).and_then(|it| it.bindings);
        while let Some(key) = next {
            found.push(key);
            next = self.bindings.get(key).and_then(|binding| binding.next_of_connection);
        }
        found
    }

    /// A binding's alarm: its lifetime is over, unless it was prolonged meanwhile. The connection lives on.
    pub(super) fn binding_is_due(&mut self, ctx: &mut Context<'_>, key: Key) {
        let Some(binding) = self.bindings.get(key).filter(|it| it.look.is_now(ctx.now)) else {
            return;
        };
        let (aor, connection, expires_at) = (binding.aor, binding.connection, binding.expires_at);
        if expires_at > ctx.now {
            return self.arm_binding(ctx, key);
        }
        if self.is_registration(connection) {
            // What the connection rests on is over.
            return self.end(ctx, connection, Reason::Timeout);
        }
        self.end_binding(ctx, key, ContactEvent::Expired);
        self.registration_changed(ctx, aor);
        self.drop_ended(ctx, aor);
    }

    /// Looks after a binding's end when it is due, and now and then before.
    pub(super) fn arm_binding(&mut self, ctx: &mut Context<'_>, key: Key) {
        let Some(binding) = self.bindings.get_mut(key) else { return };
        if let Some(after_ns) = binding.look.before(ctx.now, binding.expires_at) {
            self.arm(ctx, after_ns, ScscfAlarm::Binding(key));
        }
    }

    /// Where the network wants a binding over each connection: one that has none has so long to make one.
    pub(super) fn want_binding(&mut self, ctx: &mut Context<'_>, connection: Key) {
        let after_s = self.config.binding_required_after_s;
        let Some(subscription) = self.subscriptions.get_mut(connection) else { return };
        if after_s > 0 {
            subscription.unbound_until = ctx.now.saturating_add(seconds(u64::from(after_s)));
            self.arm_end(ctx, connection);
        }
    }

    /// The connection's service route as a 200's header.
    pub(super) fn write_service_route(&self, key: Key, out: &mut Writer<'_>) {
        let subscription = self.subscriptions.get(key).expect("a dialog that was found");
        if self.config.service_route_header {
            out.header(HeaderName::ServiceRoute);
            write_contact(self.config.mw, key, subscription.secret, out);
            out.end();
        }
    }
}

pub(super) fn bad_request(ctx: &mut Context<'_>) -> Refused {
    ctx.counters.bad_request += 1;
    Refused(400)
}

/// The parameters of Contact that stay with the binding, as they are spelled: all but those that a 200 writes itself.
fn write_kept_params(contact: &NameAddr<'_>, out: &mut Writer<'_>) {
    for (name, text) in contact.params.spelled() {
        if !is_kept_param(name) {
            continue;
        }
        out.put(b";");
        // A line that was folded is one line again (RFC 3261 clause 7.3.1).
        for piece in text.split(|byte| matches!(byte, b'\r' | b'\n')) {
            out.put(piece);
        }
    }
}

/// Whether a parameter stays with the binding.
fn is_kept_param(name: &[u8]) -> bool {
    ![&b"expires"[..], b"pub-gruu", b"temp-gruu"].iter().any(|own| name.eq_ignore_ascii_case(own))
}

/// The contact's preference in thousandths; without one it is 1 (RFC 3261 clause 20.10).
fn q_millis(contact: &NameAddr<'_>) -> u16 {
    let q = contact.params.value("q").and_then(|text| std::str::from_utf8(text).ok());
    let q: f32 = q.and_then(|text| text.parse().ok()).unwrap_or(1.0);
    (q.clamp(0.0, 1.0) * 1000.0) as u16
}

/// Whole seconds until `at`, rounded up.
pub(super) fn seconds_until(now: Time, at: Time) -> u64 {
    at.saturating_sub(now).div_ceil(NS_PER_S)
}
