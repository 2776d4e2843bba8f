//! What makes, prolongs and ends a secure connection as it passes through the P-CSCF: first set-up, answer to a challenge, refresh, end.
//! It is the UE's subscription to its own security state (the paper's section 3.1), or its registration (TS 24.229 clause 5.2.2).

use std::net::{IpAddr, SocketAddr};

use imstorm_base::PackedAddress;
use imstorm_base::slab::Key;
use imstorm_base::strings::Handle;
use imstorm_base::time::Time;
use imstorm_sip::Message;
use imstorm_sip::edit::Edits;
use imstorm_sip::field::auth::Credentials;
use imstorm_sip::header::HeaderName;
use imstorm_sip::transaction::non_invite_client::NonInviteClient;
use imstorm_sip::write::Writer;

use super::agreement::{self, ClientOffer};
use super::connection::{Agreeing, Basis, Connection, Own, Pending, Stage};
use super::from_ue::has_to_tag;
use super::send::Keep;
use super::transaction::{Again, Machine, Origin, Peer, Purpose, Transaction};
use super::{
    AWAIT_AUTH_NS, LOOK_AGAIN_NS, MODE, PENDING_MAX, Pcscf, PcscfAlarm, SETS_MAX, SaPolicy,
};
use crate::event::Context;
use crate::proxy;

impl Pcscf {
    /// A first request without protection, or one that says that a challenge could not be answered.
    pub(super) fn begin_setup(
        &mut self,
        ctx: &mut Context<'_>,
        from: SocketAddr,
        origin: Origin,
        message: &Message<'_>,
        credentials: &Credentials<'_>,
        offer: ClientOffer,
    ) {
        let (peer, impi) = (origin.peer, credentials.username);
        let Some(again) = self.pass_retransmission(ctx, origin) else { return };
        let (Ok(cseq), Ok(call_id)) = (message.cseq(), message.call_id()) else { return };
        let basis = Basis::of(message);
        let (access, setup) = self.setup_keys(from, impi, call_id);
        let found = self.setups.find(setup, |index| self.is_setup(index, setup, basis, impi));
        let key = match found.and_then(|index| self.connections.key_at(index)) {
            Some(key) => {
                let connection = self.connections.get_mut(key).expect("a key that was just made");
                // An older request that comes late changes nothing.
                if cseq.number < connection.cseq
                    || (cseq.number == connection.cseq && again.is_none())
                {
                    ctx.counters.setups_stale += 1;
                    return;
                }
                connection.cseq = cseq.number;
                self.offer(key, Some(offer));
                key
            }
            None if again.is_some() => return,
            None => {
                let call_id = self.hash.hash(call_id);
                let cseq = cseq.number;
                let begun = Begun { basis, ue_ip: from.ip(), access, setup, call_id, cseq };
                match self.open_connection(ctx, impi, Some(offer), &begun) {
                    Some(key) => key,
                    None => {
                        ctx.counters.table_full += 1;
                        return self.refuse(ctx, peer, message, 503, |out| {
                            out.header(HeaderName::RetryAfter).decimal(10).end();
                        });
                    }
                }
            }
        };
        self.forward_security(ctx, key, origin, message, Some(credentials), again);
    }

    /// Whether a challenge is under way for the set-up that this request is of.
    pub(super) fn has_challenge(
        &self,
        from: SocketAddr,
        message: &Message<'_>,
        impi: &[u8],
    ) -> bool {
        let Ok(call_id) = message.call_id() else { return false };
        let (_, setup) = self.setup_keys(from, impi, call_id);
        let basis = Basis::of(message);
        let found = self.setups.find(setup, |index| self.is_setup(index, setup, basis, impi));
        found
            .and_then(|index| self.connections.key_at(index))
            .and_then(|key| self.connections.get(key))
            .is_some_and(|connection| connection.temporary.is_some())
    }

    /// The keys of what is bounded, (private identity, UE address) or what else sets belong to, and of a set-up: (private identity, UE address,
    /// Call-ID), so that nobody elsewhere disturbs it.
    fn setup_keys(&self, from: SocketAddr, impi: &[u8], call_id: &[u8]) -> (u64, u64) {
        let mut address = [0; 16];
        let here = self.hash.hash2(impi, ip_bytes(from, &mut address));
        let access = match self.config.sa_policy {
            SaPolicy::Impi => self.hash.hash(impi),
            SaPolicy::ImpiContact => here,
        };
        (access, self.hash.hash2(&here.to_be_bytes(), call_id))
    }

    /// A request about the connection itself through a security association, checked.
    pub(super) fn security_request(
        &mut self,
        ctx: &mut Context<'_>,
        set: Key,
        origin: Origin,
        key: Key,
        message: &Message<'_>,
        credentials: Option<&Credentials<'_>>,
    ) {
        let peer = origin.peer;
        let Some(again) = self.pass_retransmission(ctx, origin) else { return };
        let (Ok(cseq), Ok(call_id)) = (message.cseq(), message.call_id()) else { return };
        let call_id = self.hash.hash(call_id);
        let connection = self.connections.get_mut(key).expect("a set's connection");
        if again.is_some_and(|status| status < 300) && connection.answers_until > 0 {
            // The core may have forgotten the registration already, and would challenge.
            return self.refuse(ctx, peer, message, 200, |_| ());
        }
        if again.is_none() {
            if std::mem::replace(&mut connection.call_id, call_id) != call_id {
                // Only a registration goes on under another name.
                connection.cseq = 0;
            }
            if cseq.number <= connection.cseq {
                // RFC 3261 clause 12.2.2: out of order.
                return self.refuse(ctx, peer, message, 500, |_| ());
            }
            connection.cseq = cseq.number;
            // On the temporary set Security-Client repeats the first one; on the live one it offers a new set.
            if connection.live == Some(set) {
                let offer = agreement::read_client(message, MODE, &self.hash).ok();
                self.offer(key, offer);
            }
        }
        self.forward_security(ctx, key, origin, message, credentials, again);
    }

    /// Absorbs a request whose transaction is under way, and lets one through whose transaction is completed (its answer is to be
    /// made anew) or that is new.
    pub(super) fn pass_retransmission(
        &mut self,
        ctx: &mut Context<'_>,
        origin: Origin,
    ) -> Option<Again> {
        let key = origin.transaction;
        if self.servers.find(key, |index| self.serves(index, key)).is_some() {
            ctx.counters.retransmissions_in += 1;
            return None;
        }
        let Some(tombstone) = self.tombstones.find(ctx.now, key) else { return Some(None) };
        ctx.counters.retransmissions_in += 1;
        match self.connections.get(tombstone.connection) {
            // The UE that has moved on to its next request has had the answer to this one.
            Some(connection) if connection.cseq != tombstone.cseq => None,
            // A request that timed out towards the core has had no answer that could be made anew.
            Some(_) => Some(Some(tombstone.status).filter(|status| *status != 408)),
            // What was refused left nothing behind: it is refused anew.
            None => matches!(origin.peer, Peer::Unprotected(_)).then_some(None),
        }
    }

    pub(super) fn serves(&self, index: u32, server_key: u64) -> bool {
        self.transactions
            .key_at(index)
            .and_then(|key| self.transactions.get(key))
            .is_some_and(|transaction| transaction.server_key == server_key)
    }

    fn is_setup(&self, index: u32, setup: u64, basis: Basis, impi: &[u8]) -> bool {
        self.connections.key_at(index).and_then(|key| self.connections.get(key)).is_some_and(
            |connection| {
                let agreeing = connection.agreeing.and_then(|key| self.agreeing.get(key));
                agreeing.is_some_and(|agreeing| agreeing.setup == setup)
                    && connection.basis == basis
                    && connection.stage == Stage::SettingUp
                    && self.strings.is(&connection.impi, impi)
            },
        )
    }

    /// The UE offers this for its next set.
    fn offer(&mut self, key: Key, offer: Option<ClientOffer>) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        match connection.agreeing.and_then(|key| self.agreeing.get_mut(key)) {
            Some(agreeing) => agreeing.offer = offer,
            None => {
                let agreeing = Agreeing { setup: 0, offer, client: (0, 0) };
                connection.agreeing = self.agreeing.insert(agreeing).ok();
            }
        }
    }

    pub(super) fn open_connection(
        &mut self,
        ctx: &mut Context<'_>,
        impi: &[u8],
        offer: Option<ClientOffer>,
        begun: &Begun,
    ) -> Option<Key> {
        if !self.make_room(ctx, begun.access) {
            return None;
        }
        if self.connections.len() == self.connections.capacity() {
            return None;
        }
        let impi = self.strings.store_if_known(&[impi]).ok()?;
        let agreeing = offer.map(|offer| {
            let agreeing = Agreeing { setup: begun.setup, offer: Some(offer), client: (0, 0) };
            self.agreeing.insert(agreeing).expect("there is one for each connection at most")
        });
        let connection = Connection {
            basis: begun.basis,
            stage: Stage::SettingUp,
            impi,
            access: begun.access,
            call_id: begun.call_id,
            ue_ip: begun.ue_ip,
            open: None,
            cseq: begun.cseq,
            pending: Pending::default(),
            agreeing,
            live: None,
            temporary: None,
            draining: None,
            to_tag: 0,
            notifier: None,
            service_route: Handle::EMPTY,
            earlier_route: Handle::EMPTY,
            earlier_until: 0,
            held: 0,
            expires_at: ctx.now + AWAIT_AUTH_NS,
            granted_s: 0,
            answers_until: 0,
            own: Own::default(),
            identities: Handle::EMPTY,
            knows_identities: false,
        };
        let key = self.connections.insert(connection).expect("room, as just seen");
        let mut indexed = self.accesses.insert(begun.access, key.index).is_ok();
        if !self.is_open() {
            indexed &= self.setups.insert(begun.setup, key.index).is_ok();
            self.arm(ctx, LOOK_AGAIN_NS, PcscfAlarm::SetUp(key));
        }
        assert!(indexed, "the indexes have room for as many as the slab");
        ctx.counters.setups_begun += 1;
        Some(key)
    }

    /// Six sets at most for one private identity at one address, or for it alone, as sets belong: the oldest set-up makes room, a live connection never.
    fn make_room(&mut self, ctx: &mut Context<'_>, access: u64) -> bool {
        let mut count = 0;
        let mut oldest: Option<(u64, Key)> = None;
        self.accesses.find(access, |index| {
            if let Some(key) = self.connections.key_at(index)
                && let Some(connection) = self.connections.get(key)
                && connection.access == access
            {
                count += 1;
                // Whoever has deregistered, and comes again, most likely has its answer.
                let has_left = connection.answers_until > 0;
                let begun = if has_left { 0 } else { connection.expires_at };
                // Without security associations nobody can be kept from taking another's place.
                if (has_left || connection.stage == Stage::SettingUp || connection.open.is_some())
                    && oldest.is_none_or(|(other, _)| begun < other)
                {
                    oldest = Some((begun, key));
                }
            }
            false
        });
        if count < SETS_MAX {
            return true;
        }
        let Some((_, key)) = oldest else { return false };
        let stage = self.connections.get(key).map(|found| found.stage);
        ctx.counters.setups_evicted += u64::from(stage == Some(Stage::SettingUp));
        self.drop_connection(ctx, key);
        true
    }

    /// Sends such a request on into the core: to the home network's entry point, or in the UE's dialog straight to the notifier.
    pub(super) fn forward_security(
        &mut self,
        ctx: &mut Context<'_>,
        connection: Key,
        origin: Origin,
        message: &Message<'_>,
        credentials: Option<&Credentials<'_>>,
        again: Again,
    ) {
        let upstream = origin.peer;
        let in_dialog = has_to_tag(message);
        let Ok(max_forwards) = message.max_forwards() else { return };
        let hops = max_forwards.unwrap_or(70);
        if hops == 0 {
            ctx.counters.too_many_hops += 1;
            return self.refuse(ctx, upstream, message, 483, |_| ());
        }
        let Some(target) = self.next_hop(ctx.now, connection, message, in_dialog) else {
            ctx.counters.wrong_route += 1;
            return self.refuse(ctx, upstream, message, 403, |_| ());
        };
        if self.connections.get(connection).is_none_or(|found| found.pending.asked >= PENDING_MAX) {
            ctx.counters.too_many_pending += 1;
            return self.refuse(ctx, upstream, message, 503, |_| ());
        }
        let downstream = Peer::Mw(target);
        let cseq = message.cseq().map_or(0, |cseq| cseq.number);
        let Some(key) = self.open_transaction(
            ctx,
            Transaction {
                purpose: Purpose::Security,
                server_key: origin.transaction,
                upstream,
                machine: Machine::NonInvite(NonInviteClient::new()),
                downstream,
                connection,
                cseq,
                echo: 0,
                request: Handle::EMPTY,
                again,
            },
        ) else {
            return self.refuse(ctx, upstream, message, 503, |_| ());
        };

        let sent = ctx.with_edits(|ctx, edits| {
            self.edit_for_core(ctx, edits, message, upstream, Some(key), hops);
            self.edit_security(ctx, edits, message, (upstream, connection), credentials);
            self.send_kept(ctx, downstream, Keep::WhereLossy, |out| edits.write(message, out).ok())
        });
        match sent {
            Ok(request) => self.start_client(ctx, key, request),
            Err(status) => {
                self.abandon(ctx, key);
                self.refuse(ctx, upstream, message, status, |_| ());
            }
        }
    }

    /// What the P-CSCF changes in every request of a UE, which has a transaction unless it is an ACK: out goes what is between UE and P-CSCF only (RFC 3329) and what only the
    /// network may say, in comes the way back (TS 24.229 clauses 5.2.2 and 5.2.6.3).
    pub(super) fn edit_for_core(
        &self,
        ctx: &mut Context<'_>,
        edits: &mut Edits,
        message: &Message<'_>,
        upstream: Peer,
        transaction: Option<Key>,
        hops: u32,
    ) {
        self.note_source(edits, message, upstream);
        match transaction {
            Some(key) => {
                self.push_via(edits, &self.via_mw, key);
                edits.set(message, HeaderName::PChargingVector, |out| {
                    out.put(b"icid-value=\"").hex_u64(self.config.boot).hex_u64(key.to_u64());
                    out.put(b"\";orig-ioi=\"").text(&self.config.visited_network).put(b"\"");
                });
            }
            None => self.push_stateless_via(edits, &self.via_mw, message),
        }
        edits.set(message, HeaderName::MaxForwards, |out| {
            out.decimal(u64::from(hops - 1));
        });
        if message.list(HeaderName::Route).next().is_some() {
            edits.pop_first(message, HeaderName::Route);
        }
        ctx.counters.agreement_withheld += 1;
        for header in
            [HeaderName::SecurityClient, HeaderName::SecurityVerify, HeaderName::SecurityServer]
        {
            edits.remove(header);
        }
        edits.remove_options(message, HeaderName::Require, &["sec-agree"]);
        edits.remove_options(message, HeaderName::ProxyRequire, &["sec-agree", "secevt"]);
        // A UE is no proxy: nobody has to go through what it names.
        edits.remove(HeaderName::RecordRoute);
        if message.header(HeaderName::PAssertedIdentity).is_some() {
            ctx.counters.asserted_identity_removed += 1;
            edits.remove(HeaderName::PAssertedIdentity);
        }
    }

    /// What else it changes in a request about the connection itself: its own word on how the request came (TS 33.203 clause 7.2A.2),
    /// and itself as the way to the UE.
    fn edit_security(
        &self,
        ctx: &mut Context<'_>,
        edits: &mut Edits,
        message: &Message<'_>,
        (upstream, connection): (Peer, Key),
        credentials: Option<&Credentials<'_>>,
    ) {
        let protected = matches!(upstream, Peer::Protected(_));
        if let Some(credentials) = credentials {
            ctx.counters.integrity_protected_overwritten +=
                u64::from(credentials.integrity_protected.is_some());
            edits.set(message, HeaderName::Authorization, |out| {
                write_credentials(message, credentials, protected, out);
            });
        }
        if Basis::of(message) == Basis::Registration {
            // It goes to the entry point of the home network, whatever route it names.
            edits.remove(HeaderName::Route);
            if self.is_open() {
                // Nobody asks for them.
                edits.remove(HeaderName::Authorization);
            }
            return self.edit_path(edits, message, connection);
        }
        edits.insert_first(HeaderName::RecordRoute, |out| self.write_route(connection, out));
        if !has_to_tag(message) {
            edits.append(HeaderName::Path, |out| self.write_route(connection, out));
            edits.set(message, HeaderName::PVisitedNetworkId, |out| {
                out.put(b"\"").text(&self.config.visited_network).put(b"\"");
            });
        }
    }

    /// Where such a request goes: to the home network's entry point, or in its dialog to its notifier, which its Request-URI names.
    fn next_hop(
        &self,
        now: Time,
        connection: Key,
        message: &Message<'_>,
        in_dialog: bool,
    ) -> Option<SocketAddr> {
        if !in_dialog {
            return Some(self.config.icscf);
        }
        let is_ours = self.is_service_route(now, connection, message.request_uri());
        self.connections.get(connection)?.notifier.filter(|_| is_ours).map(PackedAddress::get)
    }

    /// Via as the request really came (RFC 3261 clause 18.2.1, RFC 3581 clause 4).
    fn note_source(&self, edits: &mut Edits, message: &Message<'_>, upstream: Peer) {
        let Peer::Unprotected(from) = upstream else { return };
        if let Some((line, value)) = message.lines(HeaderName::Via).next() {
            edits.replace(line, |out| proxy::write_via_with_source(value, from, out));
        }
    }
}

/// How a set-up began.
pub(super) struct Begun {
    pub basis: Basis,
    pub ue_ip: IpAddr,
    pub access: u64,
    pub setup: u64,
    pub call_id: u64,
    pub cseq: u32,
}

/// Authorization with the P-CSCF's own word on how the request came (TS 33.203 clause 7.2A.2): whatever the UE itself says there
/// is dropped.
fn write_credentials(
    message: &Message<'_>,
    credentials: &Credentials<'_>,
    protected: bool,
    out: &mut Writer<'_>,
) {
    let word: &[u8] = if protected { b"yes" } else { b"no" };
    let is_alone = message.lines(HeaderName::Authorization).count() == 1;
    if is_alone && credentials.integrity_protected.is_none() {
        out.put(message.header(HeaderName::Authorization).unwrap_or_default());
    } else {
        write_known_params(credentials, out);
    }
    out.put(b",integrity-protected=\"").put(word).put(b"\"");
}

/// The parameters of Authorization that RFC 2617 and RFC 3310 define.
fn write_known_params(credentials: &Credentials<'_>, out: &mut Writer<'_>) {
    out.put(b"Digest username=\"").put(credentials.username);
    for (name, value) in [
        ("realm", credentials.realm),
        ("nonce", credentials.nonce),
        ("uri", credentials.uri),
        ("response", credentials.response),
    ] {
        out.put(b"\",").text(name).put(b"=\"").put(value);
    }
    out.put(b"\"");
    for (name, value) in
        [("algorithm", credentials.algorithm), ("qop", credentials.qop), ("nc", credentials.nc)]
    {
        if let Some(value) = value {
            out.put(b",").text(name).put(b"=").put(value);
        }
    }
    for (name, value) in
        [("cnonce", credentials.cnonce), ("opaque", credentials.opaque), ("auts", credentials.auts)]
    {
        if let Some(value) = value {
            out.put(b",").text(name).put(b"=\"").put(value).put(b"\"");
        }
    }
}

pub(super) fn ip_bytes(address: SocketAddr, out: &mut [u8; 16]) -> &[u8] {
    match address {
        SocketAddr::V4(v4) => {
            out[..4].copy_from_slice(&v4.ip().octets());
            &out[..4]
        }
        SocketAddr::V6(v6) => {
            out.copy_from_slice(&v6.ip().octets());
            &out[..]
        }
    }
}
