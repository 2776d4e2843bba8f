//! Requests and responses of UEs: what each port takes, and whom it takes it from.

use std::net::{Ipv6Addr, SocketAddr};

use imstorm_base::slab::Key;
use imstorm_sip::header::HeaderName;
use imstorm_sip::method::Method;
use imstorm_sip::transaction::key::{server_key_as, server_key_of};
use imstorm_sip::{Credentials, FieldError, Message, NameAddr, Via};

use super::connection::{Agreeing, Basis, Stage};
use super::relay::METHODS;
use super::transaction::{Origin, Peer};
use super::{MODE, Pcscf, agreement};
use crate::event::Context;
use crate::proxy::{DEFAULT_PORT, unknown_option};

/// The event package that this is all about.
pub const SECURITY_EVENT: &[u8] = b"security";

/// The extensions that the P-CSCF knows, or that are none of a proxy's business. The first one only where it is switched on.
const EXTENSIONS: [&str; 8] =
    ["secevt", "sec-agree", "replaces", "100rel", "timer", "path", "gruu", "outbound"];
/// What a UE may send over its secure connection, where it is not answered before.
pub(super) const PASSED: [Method; 8] = [
    Method::Subscribe,
    Method::Register,
    Method::Message,
    Method::Invite,
    Method::Bye,
    Method::Prack,
    Method::Update,
    Method::Options,
];

impl Pcscf {
    /// A message on the unprotected port. It may begin a set-up, or say that a challenge could not be answered; it never changes
    /// anything that is live.
    pub fn unprotected(&mut self, ctx: &mut Context<'_>, from: SocketAddr, message: &Message<'_>) {
        ctx.counters.messages_in += 1;
        ctx.counters.count_gm(message.bytes().len());
        if self.is_open() {
            return self.open_message(ctx, from, message);
        }
        if !message.is_request() || message.method() == Method::Ack {
            ctx.counters.unprotected_refused += 1;
            return;
        }
        let peer = Peer::Unprotected(from);
        if message.list(HeaderName::Via).nth(1).is_some() {
            ctx.counters.unprotected_via += 1;
            return self.refuse(ctx, peer, message, 502, |_| ());
        }
        let via = match message.checked_via() {
            Ok(via) => via,
            Err(error) => {
                ctx.counters.bad_request += 1;
                return self.refuse(ctx, peer, message, error.status, |_| ());
            }
        };
        // Before anything else where it is a network of today: a UE learns by it that it has to register.
        let knows = self.config.security_event || self.has_begun(from, message);
        if !knows && self.refuse_extension(ctx, peer, message, knows) {
            return;
        }
        let begins = match message.method() {
            Method::Register => true,
            Method::Subscribe => knows && is_security_event(message),
            _ => false,
        };
        if !begins || has_to_tag(message) {
            ctx.counters.unprotected_refused += 1;
            return self.refuse(ctx, peer, message, 403, |_| ());
        }
        if !asks_for_agreement(message) {
            ctx.counters.sec_agree_missing += 1;
            return self.refuse_agreement(ctx, peer, message, 421, None);
        }
        if self.refuse_extension(ctx, peer, message, knows) {
            return;
        }
        let Ok(Some(credentials)) = message.authorization() else {
            ctx.counters.unprotected_refused += 1;
            return self.refuse(ctx, peer, message, 403, |_| ());
        };
        // The answer to a challenge belongs on the security association that it made; only a failure comes without one.
        let is_failure =
            credentials.auts.is_some() && self.has_challenge(from, message, credentials.username);
        if !credentials.response.is_empty() && !is_failure {
            ctx.counters.unprotected_refused += 1;
            return self.refuse(ctx, peer, message, 403, |_| ());
        }
        let Ok(offer) = agreement::read_client(message, MODE, &self.hash) else {
            ctx.counters.sec_agree_unacceptable += 1;
            return self.refuse_agreement(ctx, peer, message, 494, None);
        };
        let origin = self.origin(peer, message, &via);
        self.begin_setup(ctx, from, origin, message, &credentials, offer);
    }

    /// Whether a SUBSCRIBE belongs to a set-up that was begun before the extension was switched off: that may come to its end.
    fn has_begun(&self, from: SocketAddr, message: &Message<'_>) -> bool {
        let credentials = message.authorization().ok().flatten();
        message.method() == Method::Subscribe
            && credentials.is_some_and(|it| self.has_challenge(from, message, it.username))
    }

    /// A message that came through `set`.
    pub(super) fn protected(&mut self, ctx: &mut Context<'_>, set: Key, message: &Message<'_>) {
        ctx.counters.messages_in += 1;
        if !message.is_request() {
            return self.ue_response(ctx, set, message);
        }
        self.protected_request(ctx, set, message, false);
    }

    /// A request that came through `set`, now or a moment ago.
    pub(super) fn protected_request(
        &mut self,
        ctx: &mut Context<'_>,
        set: Key,
        message: &Message<'_>,
        has_waited: bool,
    ) {
        let peer = Peer::Protected(set);
        let via = match message.checked_via() {
            Ok(via) => via,
            Err(error) => {
                ctx.counters.bad_request += 1;
                // Nobody answers an ACK.
                if message.method() != Method::Ack {
                    self.refuse(ctx, peer, message, error.status, |_| ());
                }
                return;
            }
        };
        match message.method() {
            Method::Ack => {
                let key = self.sets.get(set).expect("a set that opened a packet").connection;
                return self.ack_from_ue(ctx, (peer, key), message, &via);
            }
            Method::Cancel => return self.cancel_request(ctx, peer, message),
            _ => {}
        }
        let connection_key = self.sets.get(set).expect("a set that opened a packet").connection;
        let connection = self.connections.get(connection_key).expect("a set's connection");
        let ending = connection.stage == Stage::Ending;
        let origin = Origin { has_waited, ..self.origin(peer, message, &via) };
        let known = self.is_known(ctx, origin);
        if ending && !known {
            ctx.counters.wrong_dialog += 1;
            return self.refuse_origin(ctx, origin, message, 481);
        }
        if !PASSED.contains(&message.method()) {
            return self.refuse(ctx, peer, message, 405, |out| {
                out.header(HeaderName::Allow).text(METHODS).end();
            });
        }
        if self.refuse_extension(ctx, peer, message, self.knows_extension(connection_key)) {
            return;
        }
        if !self.is_about_connection(connection_key, message) {
            return self.other_request(ctx, Some(set), origin, connection_key, message);
        }
        match self.check_security_request(ctx, set, message, known) {
            Ok(credentials) => {
                let credentials = credentials.as_ref();
                self.security_request(ctx, set, origin, connection_key, message, credentials);
            }
            Err(494) => self.refuse_agreement(ctx, peer, message, 494, Some(set)),
            Err(status) => self.refuse(ctx, peer, message, status, |_| ()),
        }
    }

    /// Whether a request is about the connection itself: what it rests on, or might.
    fn is_about_connection(&self, key: Key, message: &Message<'_>) -> bool {
        let basis = self.connections.get(key).map(|connection| connection.basis);
        match message.method() {
            Method::Register => basis == Some(Basis::Registration),
            Method::Subscribe => self.knows_extension(key) && is_security_event(message),
            _ => false,
        }
    }

    /// Whether the extension is known over a connection: always where it rests on it, so that those which are live when it is switched off
    /// go on.
    fn knows_extension(&self, key: Key) -> bool {
        let basis = self.connections.get(key).map(|connection| connection.basis);
        self.config.security_event || basis == Some(Basis::Subscription)
    }

    /// What a request about the connection itself must show before it goes on to the core; the credentials that it has.
    fn check_security_request<'b>(
        &self,
        ctx: &mut Context<'_>,
        set_key: Key,
        message: &Message<'b>,
        known: bool,
    ) -> Result<Option<Credentials<'b>>, u16> {
        let set = self.sets.get(set_key).expect("a set that opened a packet");
        let connection = self.connections.get(set.connection).expect("a set's connection");
        // The live set carries the dialog; only the answer to the first challenge comes outside it, and may come again. A REGISTER is in no
        // dialog.
        let is_fitting = match connection.basis {
            Basis::Subscription => has_to_tag(message) == (connection.stage != Stage::SettingUp),
            Basis::Registration => !has_to_tag(message),
        };
        if Basis::of(message) != connection.basis || (!known && !is_fitting) {
            ctx.counters.wrong_dialog += 1;
            return Err(403);
        }
        let altered = |ctx: &mut Context<'_>| {
            ctx.counters.sec_agree_altered += 1;
            494
        };
        if !asks_for_agreement(message) || !agreement::verify_matches(message, MODE, &set.server())
        {
            return Err(altered(ctx));
        }
        let agreeing = connection.agreeing.and_then(|key| self.agreeing.get(key));
        let is_repeated = |agreeing: &Agreeing| {
            let (fingerprint, text) = agreeing.client;
            agreement::client_matches(message, &self.hash, fingerprint, text)
        };
        if connection.temporary == Some(set_key) && !agreeing.is_some_and(is_repeated) {
            return Err(altered(ctx));
        }
        self.check_contact(ctx, set_key, message)?;
        let Ok(Some(credentials)) = message.authorization() else {
            // Without credentials the S-CSCF challenges; the security association says who it is.
            return self.check_dialog(ctx, set.connection, message).map(|()| None);
        };
        if !self.strings.is(&connection.impi, credentials.username) {
            ctx.counters.wrong_private_identity += 1;
            return Err(403);
        }
        self.check_dialog(ctx, set.connection, message).map(|()| Some(credentials))
    }

    /// 420 where the UE requires of proxies what is not known here (RFC 3261 clause 16.3): `secevt`, unless it `knows` that. True where it
    /// was.
    pub(super) fn refuse_extension(
        &mut self,
        ctx: &mut Context<'_>,
        peer: Peer,
        message: &Message<'_>,
        knows: bool,
    ) -> bool {
        let known = &EXTENSIONS[usize::from(!knows)..];
        let Some(option) = unknown_option(message, HeaderName::ProxyRequire, known) else {
            return false;
        };
        ctx.counters.bad_extension += 1;
        self.refuse(ctx, peer, message, 420, |out| {
            out.header(HeaderName::Unsupported).put(option).end();
        });
        true
    }

    /// A UE's Contact is where its security associations lead, and nowhere else (TS 33.203 clause 7.1: its protected server port).
    pub(super) fn check_contact(
        &self,
        ctx: &mut Context<'_>,
        set_key: Key,
        message: &Message<'_>,
    ) -> Result<(), u16> {
        if message.is_contact_star() {
            return Ok(());
        }
        let set = self.sets.get(set_key).expect("a set that opened a packet");
        let connection = self.connections.get(set.connection).expect("a set's connection");
        let own = Some(set.ue_contact(connection));
        let is_own = |contact: Result<NameAddr<'_>, FieldError>| {
            contact.is_ok_and(|contact| contact.uri.socket_addr(DEFAULT_PORT) == own)
        };
        if !message.contacts().all(is_own) {
            ctx.counters.contact_refused += 1;
            return Err(403);
        }
        Ok(())
    }

    /// The request must be of the security dialog of the connection that it came through. A registration has none, and once it is made it may
    /// go on under another Call-ID (RFC 3261 clause 10.2.4).
    fn check_dialog(
        &self,
        ctx: &mut Context<'_>,
        connection: Key,
        message: &Message<'_>,
    ) -> Result<(), u16> {
        let connection = self.connections.get(connection).expect("a set's connection");
        if connection.basis == Basis::Registration && connection.stage != Stage::SettingUp {
            return Ok(());
        }
        let call_id = self.hash.hash(message.call_id().map_err(|_| 400_u16)?);
        let is_tag = match message.tag(HeaderName::To).ok().flatten() {
            Some(tag) => self.hash.hash(tag) == connection.to_tag,
            None => true,
        };
        if call_id != connection.call_id || !is_tag {
            ctx.counters.wrong_dialog += 1;
            return Err(403);
        }
        Ok(())
    }

    /// Whether a request belongs to a transaction, under way or completed.
    fn is_known(&mut self, ctx: &Context<'_>, origin: Origin) -> bool {
        let key = origin.transaction;
        self.server_transaction(key).is_some() || self.tombstones.find(ctx.now, key).is_some()
    }

    pub(super) fn origin(&self, peer: Peer, message: &Message<'_>, via: &Via<'_>) -> Origin {
        Origin { peer, transaction: self.server_key(peer, message, via), has_waited: false }
    }

    /// The key of the server transaction that a request with this Via on top belongs to (RFC 3261 clause 17.2.3).
    pub(super) fn server_key(&self, peer: Peer, message: &Message<'_>, via: &Via<'_>) -> u64 {
        let source = self.source(peer);
        // A request whose Via, From or To can't be read has been refused before it comes here.
        server_key_of(message, via, source, self.config.seed).unwrap_or_default()
    }

    /// The key of the server transaction of the INVITE that a CANCEL is about (RFC 3261 clause 9.2).
    pub(super) fn cancelled_key(&self, peer: Peer, cancel: &Message<'_>) -> u64 {
        let source = self.source(peer);
        server_key_as(cancel, Method::Invite, source, self.config.seed).unwrap_or_default()
    }

    /// The transaction with this server transaction's key.
    pub(super) fn server_transaction(&self, server_key: u64) -> Option<Key> {
        let found = self.servers.find(server_key, |index| self.serves(index, server_key));
        found.and_then(|index| self.transactions.key_at(index))
    }

    /// What stands for the source of a peer's requests in the keys of transactions.
    fn source(&self, peer: Peer) -> SocketAddr {
        match peer {
            Peer::Unprotected(from) | Peer::Mw(from) => from,
            Peer::Protected(set) => match self.sets.get(set).map(|set| set.connection) {
                // One source for all of a connection's sets: a request may come again on the new one. It is the connection and
                // not the UE's address, which several UEs may have and whose Vias they choose themselves.
                Some(connection) => {
                    SocketAddr::new(Ipv6Addr::from_bits(connection.to_u64().into()).into(), 0)
                }
                None => self.config.mw,
            },
            Peer::Own => self.config.mw,
        }
    }

    /// Of what a response repeats of its request (RFC 3261 clause 8.2.6.2), the first `ours` Vias left out: a UE's response goes
    /// where the request came from, and nowhere else that the UE may write there.
    pub(super) fn echo(&self, message: &Message<'_>, ours: usize) -> u64 {
        let mut echo = 0_u64;
        for via in message.list(HeaderName::Via).skip(ours) {
            echo = self.hash.hash2(&echo.to_be_bytes(), via);
        }
        for name in [HeaderName::From, HeaderName::CallId, HeaderName::CSeq] {
            let value = message.header(name).unwrap_or_default();
            echo = self.hash.hash2(&echo.to_be_bytes(), value);
        }
        echo
    }

    /// A response of the UE, to what was sent to it.
    fn ue_response(&mut self, ctx: &mut Context<'_>, set: Key, message: &Message<'_>) {
        let found = self.transaction_of(message, &self.via_gm);
        let connection = self.sets.get(set).map(|set| set.connection);
        let Some(key) = found.filter(|key| {
            self.transactions.get(*key).is_some_and(|transaction| {
                Some(transaction.connection) == connection
                    && matches!(transaction.downstream, Peer::Protected(_))
                    && transaction.echo == self.echo(message, 1)
            })
        }) else {
            ctx.counters.stray_response += 1;
            return;
        };
        self.response(ctx, key, message);
    }
}

/// Whether the request is about the security event package.
pub(super) fn is_security_event(message: &Message<'_>) -> bool {
    matches!(message.event(), Ok(Some(event)) if event.package.eq_ignore_ascii_case(SECURITY_EVENT))
}

/// Whether To has a tag: the request is inside a dialog.
pub(super) fn has_to_tag(message: &Message<'_>) -> bool {
    matches!(message.tag(HeaderName::To), Ok(Some(_)))
}

/// Whether sec-agree is required of both the P-CSCF and the next hop (RFC 3329 clause 2.3.1).
pub(super) fn asks_for_agreement(message: &Message<'_>) -> bool {
    message.has_option(HeaderName::Require, "sec-agree")
        && message.has_option(HeaderName::ProxyRequire, "sec-agree")
}
