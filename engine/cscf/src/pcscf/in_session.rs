//! The way of a UE's requests into the core, inside and outside sessions, and the ACKs to 2xx, which are requests without a
//! transaction (RFC 3261 clauses 13.2.2.4 and 17.1.1.3).
//!
//! Whatever a UE sends over a connection reaches the S-CSCF with one Route, the connection's service route: that is how the S-CSCF
//! knows over which connection it came. In a session the UE knows nothing of it (its route set is this P-CSCF), and the P-CSCF puts
//! it there.

use imstorm_base::slab::Key;
use imstorm_base::time::Time;
use imstorm_base::{PackedAddress, TextRoom};
use imstorm_sip::header::HeaderName;
use imstorm_sip::{Edits, Message, Method, Uri, Via};

use super::Pcscf;
use super::connection::Stage;
use super::from_ue::has_to_tag;
use super::transaction::Peer;
use crate::event::Context;
use crate::proxy::DEFAULT_PORT;

impl Pcscf {
    /// Whether a request of a UE goes by this P-CSCF and then where it may:
    ///
    /// - outside dialogs by the service route;
    /// - in a subscription's dialog to the service route itself, which the S-CSCF gave as its Contact, or by the service route where the
    ///   dialog moves here from another connection;
    /// - in a session to the S-CSCF of the connection, or, where it moves here, by the service route.
    ///
    /// Without security associations Route decides nothing: it is replaced by the service route, as TS 24.229 clause 5.2.6.3 allows.
    pub(super) fn goes_our_way(&self, now: Time, key: Key, message: &Message<'_>) -> bool {
        if self.is_open() {
            return !is_in_session(message) || self.is_for_notifier(key, message);
        }
        let mut routes = message.routes();
        let first = routes.next().and_then(Result::ok);
        let to_us = first.and_then(|route| route.uri.socket_addr(DEFAULT_PORT))
            == Some(self.address_for_ues());
        let second = routes.next();
        let rest_is_empty = routes.next().is_none();
        let ours = |uri: &[u8]| self.is_service_route(now, key, uri);
        to_us
            && rest_is_empty
            && match second {
                Some(Ok(route)) => ours(route.uri_text) && may_move(message),
                Some(Err(_)) => false,
                None if is_in_session(message) => self.is_for_notifier(key, message),
                None => has_to_tag(message) && ours(message.request_uri()),
            }
    }

    /// Whether the Request-URI is at the S-CSCF of the connection.
    fn is_for_notifier(&self, key: Key, message: &Message<'_>) -> bool {
        let target = Uri::parse(message.request_uri()).ok();
        let address = target.and_then(|target| target.socket_addr(DEFAULT_PORT));
        let notifier = self.connections.get(key).and_then(|connection| connection.notifier);
        address.is_some() && address == notifier.map(PackedAddress::get)
    }

    /// The service route as it is now, and no other Route.
    pub(super) fn route_over(&self, edits: &mut Edits, message: &Message<'_>, key: Key) {
        let Some(connection) = self.connections.get(key) else { return };
        edits.set(message, HeaderName::Route, |out| {
            let mut room = TextRoom::default();
            out.put(b"<").put(self.strings.read(&connection.service_route, &mut room)).put(b">");
        });
    }

    /// An ACK of a UE: to a failure, for the transaction of its INVITE, or to a 2xx, which goes on. Nobody answers an ACK: what is wrong
    /// with it only shows in a counter.
    pub(super) fn ack_from_ue(
        &mut self,
        ctx: &mut Context<'_>,
        (peer, key): (Peer, Key),
        message: &Message<'_>,
        via: &Via<'_>,
    ) {
        let invite = self.server_transaction(self.server_key(peer, message, via));
        if invite.is_some_and(|invite| !self.acknowledged(ctx, invite)) {
            return;
        }
        let connection = self.connections.get(key).expect("a connection that was found");
        let is_temporary = connection.temporary.map(Peer::Protected) == Some(peer);
        let is_live = connection.stage == Stage::Live && !is_temporary;
        let hops = message.max_forwards().ok().flatten().unwrap_or(70);
        let notifier = connection.notifier.filter(|_| is_live && hops > 0);
        let notifier = notifier.map(PackedAddress::get);
        let may_pass = is_in_session(message) && self.goes_our_way(ctx.now, key, message);
        let Some(notifier) = notifier.filter(|_| may_pass) else {
            ctx.counters.acks_astray += 1;
            return;
        };
        ctx.with_edits(|ctx, edits| {
            self.edit_for_core(ctx, edits, message, peer, None, hops);
            edits.remove(HeaderName::PPreferredIdentity);
            self.route_over(edits, message, key);
            self.send(ctx, Peer::Mw(notifier), |out| edits.write(message, out).ok());
        });
    }

    /// As [`Pcscf::ack_from_ue`], from the core.
    pub(super) fn ack_to_ue(&mut self, ctx: &mut Context<'_>, peer: Peer, message: &Message<'_>) {
        let key = message.via().map_or(0, |via| self.server_key(peer, message, &via));
        let invite = self.server_transaction(key);
        if invite.is_some_and(|invite| !self.acknowledged(ctx, invite)) {
            return;
        }
        let way = self.routed_to(message);
        let target = message.request_uri();
        let way =
            way.and_then(|(key, connection)| Some((key, self.way_to_ue(connection, target)?)));
        let hops = message.max_forwards().ok().flatten().unwrap_or(70);
        let Some((key, to)) = way.filter(|_| hops > 0) else {
            ctx.counters.acks_astray += 1;
            return;
        };
        ctx.with_edits(|ctx, edits| {
            self.edit_for_ue(edits, message, (key, None), hops);
            self.send(ctx, to, |out| edits.write(message, out).ok());
        });
    }
}

/// Whether a request is one in a dialog that is no subscription's.
pub(super) fn is_in_session(message: &Message<'_>) -> bool {
    !matches!(message.method(), Method::Subscribe | Method::Register) && has_to_tag(message)
}

/// Whether a request may go by the service route: one that begins something, or that moves its dialog here. A REGISTER is in no dialog.
fn may_move(message: &Message<'_>) -> bool {
    message.method() != Method::Register || !has_to_tag(message)
}
