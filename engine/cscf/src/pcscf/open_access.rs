//! Access without protection (`access_security = "none"`): a REGISTER makes a connection without security associations, and what its UE sends
//! later is known by where it comes from and in whose name. The same registration, relay and session machinery follows; only what says who a
//! request is from is another.

use std::net::SocketAddr;

use imstorm_base::slab::Key;
use imstorm_sip::header::HeaderName;
use imstorm_sip::{Message, Method, NameAddr, Uri, Via, Writer};

use super::connection::{Basis, Connection, OpenAccess, Stage};
use super::from_ue::{PASSED, has_to_tag};
use super::relay::METHODS;
use super::security::{Begun, ip_bytes};
use super::transaction::Peer;
use super::{Pcscf, PcscfAlarm};
use crate::access::AccessSecurity;
use crate::event::Context;
use crate::identity::IDENTITY_BYTES_MAX;
use crate::look::Look;
use crate::proxy::{DEFAULT_PORT, read_hex_u64};

impl Pcscf {
    /// Whether its UEs have no security associations.
    pub(super) fn is_open(&self) -> bool {
        self.config.access_security == AccessSecurity::None
    }

    /// A message on the unprotected port, which is the only one.
    pub(super) fn open_message(
        &mut self,
        ctx: &mut Context<'_>,
        from: SocketAddr,
        message: &Message<'_>,
    ) {
        if !message.is_request() {
            return self.open_response(ctx, from, message);
        }
        let peer = Peer::Unprotected(from);
        let is_ack = message.method() == Method::Ack;
        let via = match message.checked_via() {
            Ok(via) => via,
            // Nobody answers an ACK.
            Err(_) if is_ack => {
                ctx.counters.bad_request += 1;
                return;
            }
            Err(error) => {
                ctx.counters.bad_request += 1;
                return self.refuse(ctx, peer, message, error.status, |_| ());
            }
        };
        if message.list(HeaderName::Via).nth(1).is_some() {
            ctx.counters.unprotected_via += 1;
            if !is_ack {
                self.refuse(ctx, peer, message, 502, |_| ());
            }
            return;
        }
        if !is_ack && self.refuse_extension(ctx, peer, message, false) {
            return;
        }
        match message.method() {
            Method::Ack => match self.connection_of(from, message) {
                Some(key) => self.ack_from_ue(ctx, (peer, key), message, &via),
                None => ctx.counters.acks_astray += 1,
            },
            Method::Cancel => self.cancel_request(ctx, peer, message),
            Method::Register if has_to_tag(message) => {
                ctx.counters.wrong_dialog += 1;
                self.refuse(ctx, peer, message, 403, |_| ());
            }
            Method::Register => self.register_openly(ctx, from, message, &via),
            method if !PASSED.contains(&method) => {
                self.refuse(ctx, peer, message, 405, |out| {
                    out.header(HeaderName::Allow).text(METHODS).end();
                });
            }
            _ => match self.connection_of(from, message) {
                Some(key) => {
                    let origin = self.origin(peer, message, &via);
                    self.other_request(ctx, None, origin, key, message);
                }
                None => {
                    ctx.counters.unregistered_refused += 1;
                    self.refuse(ctx, peer, message, 403, |_| ());
                }
            },
        }
    }

    /// A REGISTER: the first one of a UE, or one that prolongs or ends its registration.
    fn register_openly(
        &mut self,
        ctx: &mut Context<'_>,
        from: SocketAddr,
        message: &Message<'_>,
        via: &Via<'_>,
    ) {
        let origin = self.origin(Peer::Unprotected(from), message, via);
        let Some(again) = self.pass_retransmission(ctx, origin) else { return };
        let mut text = [0; IDENTITY_BYTES_MAX];
        let identity = message.to().ok().and_then(|to| write_identity(&to, &mut text));
        let (Some(identity), Ok(cseq), Ok(call_id)) = (identity, message.cseq(), message.call_id())
        else {
            ctx.counters.bad_request += 1;
            return self.refuse(ctx, origin.peer, message, 400, |_| ());
        };
        let call_id = self.hash.hash(call_id);
        let lives = |found: &Connection| found.stage != Stage::Ending;
        let key = match self.connection_from(from, identity, lives) {
            Some(key) => {
                let connection = self.connections.get_mut(key).expect("a connection just found");
                if again.is_none()
                    && connection.call_id == call_id
                    && cseq.number <= connection.cseq
                {
                    // RFC 3261 clause 10.3, step 7.
                    return self.refuse(ctx, origin.peer, message, 500, |_| ());
                }
                if again.is_some() && connection.call_id != call_id {
                    // The UE has begun anew since, and had the answer to this one.
                    return;
                }
                connection.call_id = call_id;
                connection.cseq = cseq.number;
                key
            }
            None if again.is_some() => {
                // The core has forgotten the registration that this one has ended.
                let has_left = |found: &Connection| found.answers_until > 0;
                if self.connection_from(from, identity, has_left).is_some() {
                    self.refuse(ctx, origin.peer, message, 200, |_| ());
                }
                return;
            }
            None => {
                let access = self.open_access_key(from, identity);
                let (basis, ue_ip, cseq) = (Basis::Registration, from.ip(), cseq.number);
                let begun = Begun { basis, ue_ip, access, setup: 0, call_id, cseq };
                let Some(key) = self.open_connection(ctx, identity, None, &begun) else {
                    ctx.counters.table_full += 1;
                    return self.refuse(ctx, origin.peer, message, 503, |out| {
                        out.header(HeaderName::RetryAfter).decimal(10).end();
                    });
                };
                let connection = self.connections.get_mut(key).expect("a connection just made");
                let look = Look::default();
                let open = OpenAccess { source: from, contact: from, look };
                connection.open = self.open.insert(open).ok();
                key
            }
        };
        let contact = message.contacts().next().and_then(Result::ok);
        let address = contact.and_then(|contact| contact.uri.socket_addr(DEFAULT_PORT));
        let open = self.connections.get(key).and_then(|connection| connection.open);
        if let (Some(address), Some(open)) = (address, open.and_then(|it| self.open.get_mut(it))) {
            open.contact = address;
        }
        self.forward_security(ctx, key, origin, message, None, again);
    }

    /// The connection that a request which is no REGISTER belongs to: the one that our URI in its Route names, or else the one with its From or
    /// preferred identity, from the same address.
    fn connection_of(&self, from: SocketAddr, message: &Message<'_>) -> Option<Key> {
        let route = message.routes().next().and_then(Result::ok);
        if let Some(key) = route.and_then(|route| self.key_in_uri_for_ue(&route.uri)) {
            let found = self.connections.get(key)?;
            return self.is_open_at(found, from).then_some(key);
        }
        let mut text = [0; IDENTITY_BYTES_MAX];
        let mut named = |entry: &NameAddr<'_>| {
            let identity = write_identity(entry, &mut text)?;
            self.connection_from(from, identity, |found| found.stage != Stage::Ending)
        };
        let by_from = message.from().ok().and_then(|from| named(&from));
        by_from.or_else(|| message.preferred_identity().flatten().find_map(|it| named(&it)))
    }

    /// The connection that a URI of [`Pcscf::write_uri_for_ue`] names.
    fn key_in_uri_for_ue(&self, uri: &Uri<'_>) -> Option<Key> {
        let key = read_hex_u64(uri.user?)?;
        (uri.socket_addr(DEFAULT_PORT)? == self.config.unprotected).then(|| Key::from_u64(key))
    }

    /// The connection of a public identity whose UE is at this address.
    fn connection_from(
        &self,
        from: SocketAddr,
        identity: &[u8],
        is_it: impl Fn(&Connection) -> bool,
    ) -> Option<Key> {
        let access = self.open_access_key(from, identity);
        let place = self.accesses.find(access, |index| {
            let found = self.connections.key_at(index).and_then(|key| self.connections.get(key));
            found.is_some_and(|found| {
                found.access == access
                    && self.is_open_at(found, from)
                    && is_it(found)
                    && self.strings.is(&found.impi, identity)
            })
        })?;
        self.connections.key_at(place)
    }

    /// Where a connection's UE is reached without security associations.
    fn open_of(&self, connection: &Connection) -> Option<&OpenAccess> {
        self.open.get(connection.open?)
    }

    fn is_open_at(&self, connection: &Connection, from: SocketAddr) -> bool {
        self.open_of(connection).is_some_and(|open| open.is_at(from))
    }

    /// The way to the UE, of a request with this Request-URI.
    pub(super) fn way_to_ue(&self, connection: &Connection, request_uri: &[u8]) -> Option<Peer> {
        match self.open_of(connection) {
            Some(open) => Some(Peer::Unprotected(open.address_for(request_uri))),
            None => connection.sending_set().map(Peer::Protected),
        }
    }

    /// The key of what is bounded: (public identity, UE address).
    fn open_access_key(&self, from: SocketAddr, identity: &[u8]) -> u64 {
        self.hash.hash2(identity, ip_bytes(from, &mut [0; 16]))
    }

    /// A response of a UE, to what was sent to it: by the transaction, and from where that was sent to.
    fn open_response(&mut self, ctx: &mut Context<'_>, from: SocketAddr, message: &Message<'_>) {
        let found = self.transaction_of(message, &self.via_gm);
        let Some(key) = found.filter(|key| {
            self.transactions.get(*key).is_some_and(|transaction| {
                transaction.downstream == Peer::Unprotected(from)
                    && transaction.echo == self.echo(message, 1)
            })
        }) else {
            ctx.counters.stray_response += 1;
            return;
        };
        self.response(ctx, key, message);
    }

    /// A connection without security associations was granted a lifetime: has it looked after when that ends.
    pub(super) fn look_at_connection(&mut self, ctx: &mut Context<'_>, key: Key) {
        let Some(connection) = self.connections.get(key) else { return };
        let expires_at = connection.expires_at;
        let open = connection.open.and_then(|open| self.open.get_mut(open));
        let Some(open) = open else { return };
        if let Some(after_ns) = open.look.before(ctx.now, expires_at) {
            self.arm(ctx, after_ns, PcscfAlarm::Connection(key));
        }
    }

    /// Its alarm: its lifetime is over, unless it was prolonged since the alarm was set.
    pub(super) fn connection_is_due(&mut self, ctx: &mut Context<'_>, key: Key) {
        let Some(connection) = self.connections.get(key) else { return };
        let open = self.open_of(connection);
        let is_now = open.is_some_and(|open| open.look.is_now(ctx.now));
        if connection.stage != Stage::Live || !is_now {
            return;
        }
        if connection.expires_at > ctx.now {
            return self.look_at_connection(ctx, key);
        }
        ctx.counters.connections_expired += 1;
        self.drop_connection(ctx, key);
    }

    /// What a Contact of a UE without security associations must be: where it registered, or where it sent that from.
    pub(super) fn check_open_contact(
        &self,
        ctx: &mut Context<'_>,
        key: Key,
        message: &Message<'_>,
    ) -> Result<(), u16> {
        let open = self.connections.get(key).and_then(|connection| self.open_of(connection));
        let is_own = |contact: SocketAddr| open.is_some_and(|open| open.is_at(contact));
        let mut contacts = message.contacts();
        if contacts.all(|contact| {
            contact.is_ok_and(|contact| contact.uri.socket_addr(DEFAULT_PORT).is_some_and(is_own))
        }) {
            return Ok(());
        }
        ctx.counters.contact_refused += 1;
        Err(403)
    }
}

impl OpenAccess {
    /// Whether the UE is at this address.
    fn is_at(&self, address: SocketAddr) -> bool {
        address == self.source || address == self.contact
    }

    /// Where a request with this Request-URI goes: to its address where that is the UE's. A contact elsewhere is one behind a NAT, and is reached
    /// where the REGISTER came from (TS 24.229 annex F).
    pub(super) fn address_for(&self, request_uri: &[u8]) -> SocketAddr {
        if self.contact == self.source || self.contact.ip() != self.source.ip() {
            return self.source;
        }
        let target = Uri::parse(request_uri).ok().and_then(|uri| uri.socket_addr(DEFAULT_PORT));
        if target == Some(self.source) { self.source } else { self.contact }
    }
}

/// The public identity that a request without protection is about, or in whose name it comes, as it is kept: To of a REGISTER, else From. Which
/// shard owns its user follows from it.
pub fn named_identity<'a>(
    message: &Message<'_>,
    out: &'a mut [u8; IDENTITY_BYTES_MAX],
) -> Option<&'a [u8]> {
    let named = match message.method() {
        Method::Register => message.to(),
        _ => message.from(),
    };
    write_identity(&named.ok()?, out)
}

/// The same text for all spellings of an identity.
fn write_identity<'a>(
    entry: &NameAddr<'_>,
    out: &'a mut [u8; IDENTITY_BYTES_MAX],
) -> Option<&'a [u8]> {
    let mut writer = Writer::new(&mut *out);
    entry.uri.write_identity(&mut writer);
    let len = writer.done().ok()?;
    Some(&out[..len])
}
