//! What comes from the core: requests for UEs, and responses to what went into the core.

use std::net::SocketAddr;

use imstorm_base::slab::Key;
use imstorm_base::strings::Handle;
use imstorm_sip::header::HeaderName;
use imstorm_sip::{Edits, Message, Method, Uri};

use super::connection::{Connection, Pending};
use super::from_ue::{has_to_tag, is_security_event};
use super::invite::keep_of;
use super::send::Keep;
use super::transaction::{Machine, Peer, Purpose, Transaction};
use super::{CALLS_MAX, PENDING_MAX, Pcscf, TOLD_MAX};
use crate::event::Context;
use crate::proxy::{DEFAULT_PORT, read_hex_u64, respond_upstream};

/// What the core may send to a UE.
const PASSED: [Method; 9] = [
    Method::Invite,
    Method::Ack,
    Method::Cancel,
    Method::Bye,
    Method::Prack,
    Method::Update,
    Method::Options,
    Method::Notify,
    Method::Message,
];
/// The same, as Allow has it.
const METHODS_TO_UE: &str = "INVITE, ACK, CANCEL, BYE, PRACK, UPDATE, OPTIONS, NOTIFY, MESSAGE";
/// How long whoever asks too much of a UE is told to wait, in seconds.
const RETRY_AFTER_S: u64 = 5;

impl Pcscf {
    pub(super) fn mw_response(&mut self, ctx: &mut Context<'_>, message: &Message<'_>) {
        match self.transaction_of(message, &self.via_mw) {
            Some(key) => self.response(ctx, key, message),
            None => ctx.counters.stray_response += 1,
        }
    }

    pub(super) fn mw_request(
        &mut self,
        ctx: &mut Context<'_>,
        from: SocketAddr,
        message: &Message<'_>,
    ) {
        let peer = Peer::Mw(from);
        if let Err(error) = ctx.mw.check(from, message) {
            ctx.counters.bad_request += 1;
            // Nobody answers an ACK.
            if message.method() != Method::Ack {
                self.refuse(ctx, peer, message, error.status, |_| ());
            }
            return;
        }
        if !PASSED.contains(&message.method()) {
            return self.refuse(ctx, peer, message, 405, |out| {
                out.header(HeaderName::Allow).text(METHODS_TO_UE).end();
            });
        }
        match message.method() {
            Method::Ack => return self.ack_to_ue(ctx, peer, message),
            Method::Cancel => return self.cancel_request(ctx, peer, message),
            _ => {}
        }
        // Before anything else: a connection whose last NOTIFY comes again may be gone.
        let server_key = message.via().map_or(0, |via| self.server_key(peer, message, &via));
        if let Some(key) = self.server_transaction(server_key) {
            ctx.counters.retransmissions_in += 1;
            return self.invite_again(ctx, key, peer, message);
        }
        if let Some(tombstone) = self.tombstones.find(ctx.now, server_key) {
            ctx.counters.retransmissions_in += 1;
            if !self.answer_again(ctx, peer, server_key) {
                self.refuse(ctx, peer, message, tombstone.status, |_| ());
            }
            return;
        }
        let target = Uri::parse(message.request_uri()).ok();
        let may_be_own = message.method() == Method::Notify && message.routes().next().is_none();
        let target = target.filter(|_| may_be_own);
        if let Some(key) = target.and_then(|target| self.key_of_uri(&target)) {
            return self.own_notify(ctx, peer, server_key, key, message);
        }
        let Some((key, connection)) = self.routed_to(message) else {
            // RFC 5626 clause 5.3.1: what the route named is gone.
            ctx.counters.dialog_unknown += 1;
            return self.refuse(ctx, peer, message, 430, |_| ());
        };
        let way = self.way_to_ue(connection, message.request_uri());
        let purpose = match message.method() {
            Method::Notify if is_security_event(message) => {
                let state = message.subscription_state().ok().flatten();
                let is_over = |state: &[u8]| state.eq_ignore_ascii_case(b"terminated");
                Purpose::Notify { terminates: state.is_some_and(|state| is_over(state.state)) }
            }
            _ => Purpose::ToUe,
        };
        if purpose == Purpose::ToUe
            && let Some(status) = refusal_of_more(connection.pending, message)
        {
            ctx.counters.too_many_pending += 1;
            return self.refuse(ctx, peer, message, status, |out| {
                if status == 503 {
                    out.header(HeaderName::RetryAfter).decimal(RETRY_AFTER_S).end();
                }
            });
        }
        self.relay_to_ue(ctx, peer, server_key, (key, way), purpose, message);
    }

    /// The connection that the topmost Route leads to.
    pub(super) fn routed_to(&self, message: &Message<'_>) -> Option<(Key, &Connection)> {
        let route = message.routes().next()?.ok()?;
        let key = self.key_of_uri(&route.uri)?;
        Some((key, self.connections.get(key)?))
    }

    /// The connection that a URI of ours names: `sip:KEY@our-address`.
    fn key_of_uri(&self, uri: &Uri<'_>) -> Option<Key> {
        (uri.socket_addr(DEFAULT_PORT)? == self.config.mw).then_some(())?;
        Some(Key::from_u64(read_hex_u64(uri.user?)?))
    }

    /// Sends a request on to the UE, through its live set where it has one.
    fn relay_to_ue(
        &mut self,
        ctx: &mut Context<'_>,
        upstream: Peer,
        server_key: u64,
        (connection, way): (Key, Option<Peer>),
        purpose: Purpose,
        message: &Message<'_>,
    ) {
        let hops = message.max_forwards().ok().flatten().unwrap_or(70);
        if hops == 0 {
            ctx.counters.too_many_hops += 1;
            return self.refuse(ctx, upstream, message, 483, |_| ());
        }
        let Some(downstream) = way else {
            return self.refuse(ctx, upstream, message, 430, |_| ());
        };
        let transaction = Transaction {
            purpose,
            server_key,
            upstream,
            machine: Machine::new(message.method(), self.is_reliable(ctx, upstream)),
            downstream,
            connection,
            cseq: message.cseq().map_or(0, |cseq| cseq.number),
            echo: self.echo(message, 0),
            request: Handle::EMPTY,
            again: None,
        };
        let Some(key) = self.open_transaction(ctx, transaction) else {
            return self.refuse(ctx, upstream, message, 503, |_| ());
        };
        if purpose == (Purpose::Notify { terminates: true }) {
            self.begin_end(ctx, connection);
        }
        let sent = ctx.with_edits(|ctx, edits| {
            self.edit_for_ue(edits, message, (connection, Some(key)), hops);
            let keep = keep_of(message);
            self.send_kept(ctx, downstream, keep, |out| edits.write(message, out).ok())
        });
        match sent {
            Ok(request) => {
                self.start_client(ctx, key, request);
                self.trying(ctx, upstream, message);
            }
            Err(status) => {
                self.abandon(ctx, key);
                self.refuse(ctx, upstream, message, status, |_| ());
            }
        }
    }

    /// What the P-CSCF changes in a request for a UE, which has a transaction unless it is an ACK.
    pub(super) fn edit_for_ue(
        &self,
        edits: &mut Edits,
        message: &Message<'_>,
        (connection, transaction): (Key, Option<Key>),
        hops: u32,
    ) {
        match transaction {
            Some(key) => self.push_via(edits, &self.via_gm, key),
            None => self.push_stateless_via(edits, &self.via_gm, message),
        }
        edits.set(message, HeaderName::MaxForwards, |out| {
            out.decimal(u64::from(hops - 1));
        });
        edits.pop_first(message, HeaderName::Route);
        // Only the network has a use for it (TS 24.229 clause 5.2.6.4).
        edits.remove(HeaderName::PChargingVector);
        if matches!(message.method(), Method::Notify | Method::Invite) {
            // The dialog may be formed by this NOTIFY (RFC 6665 clause 4.4.1) or INVITE: it always says how to come back.
            edits.insert_first(HeaderName::RecordRoute, |out| {
                self.write_uri_for_ue(connection, out);
            });
        }
        if asks_for_privacy_of_id(message) {
            // RFC 3325 clause 9.3: the UE is outside the trust domain.
            edits.remove(HeaderName::PAssertedIdentity);
        }
    }

    /// The UE has answered a NOTIFY.
    pub(super) fn notify_response(
        &mut self,
        ctx: &mut Context<'_>,
        transaction: &Transaction,
        terminates: bool,
        message: &Message<'_>,
    ) {
        let upstream = (transaction.connection, transaction.upstream);
        _ = self.pass_back_to_core(ctx, upstream, Keep::Never, message);
        if terminates {
            self.leave_own(ctx, transaction.connection);
        }
    }

    /// Timer F of a NOTIFY for the UE: the notifier is told, before the transaction goes.
    pub(super) fn answer_timed_out(&mut self, ctx: &mut Context<'_>, key: Key) {
        let Some(transaction) = self.transactions.get(key) else { return };
        let upstream = transaction.upstream;
        let mut headers = imstorm_sip::Index::default();
        let bytes = self.strings.get(&transaction.request);
        if let Ok(request) = imstorm_sip::parse(bytes, &mut headers) {
            let mw = self.config.mw;
            if let Peer::Mw(to) = upstream {
                let sent = ctx.mw.send(mw, to, |out| respond_upstream(&request, 408, out));
                ctx.counters.queue_full += u64::from(sent.is_err());
            }
        }
    }
}

/// The status for a request that is one too many for its UE. Calls have a low bound, since they may ring for long, and what belongs to
/// a dialog a high one. 480 would say that the UE is not there (RFC 3261 clause 21.4.18), by which a subscription ends.
fn refusal_of_more(pending: Pending, message: &Message<'_>) -> Option<u16> {
    if has_to_tag(message) {
        return (pending.told >= TOLD_MAX).then_some(503);
    }
    if message.method() == Method::Invite && pending.calls >= CALLS_MAX {
        return Some(486);
    }
    (pending.told - pending.calls >= PENDING_MAX).then_some(503)
}

/// Whether Privacy has the value `id` (RFC 3325 clause 9.3). Values are separated by `;` (RFC 3323 clause 4.2), and a comma between
/// them is taken for one: who withholds too much does no harm.
pub(super) fn asks_for_privacy_of_id(message: &Message<'_>) -> bool {
    let mut values =
        message.list(HeaderName::Privacy).flat_map(|entry| entry.split(|byte| *byte == b';'));
    values.any(|value| value.trim_ascii().eq_ignore_ascii_case(b"id"))
}
