//! What a UE sends over its secure connection beside the security event package (TS 24.229 clause 5.2.6.3): REGISTER without
//! credentials, subscriptions to other event packages, standalone requests, and all that makes and changes sessions. The security
//! association says who it is, the service route where it goes, and the identities that the S-CSCF has notified in whose name.

use std::net::SocketAddr;

use imstorm_base::slab::Key;
use imstorm_base::strings::Handle;
use imstorm_base::{PackedAddress, TextRoom};
use imstorm_sip::header::HeaderName;
use imstorm_sip::{Edits, Message, Method};

use super::answers::keep_of_answer;
use super::connection::Stage;
use super::from_ue::asks_for_agreement;
use super::in_session::is_in_session;
use super::invite::keep_of;
use super::transaction::{Again, Machine, Origin, Peer, Purpose, Transaction};
use super::{MODE, PENDING_MAX, Pcscf, agreement};
use crate::event::Context;
use crate::identity::IdentityList;

/// What a UE may send over its secure connection.
pub const METHODS: &str =
    "INVITE, ACK, CANCEL, BYE, PRACK, UPDATE, OPTIONS, SUBSCRIBE, NOTIFY, REGISTER, MESSAGE";

/// Where a request that comes in is known from.
enum Known {
    /// It is new.
    No,
    /// It is under way, in this transaction.
    UnderWay(Key),
    /// It was answered with this status.
    Answered(u16),
}

impl Pcscf {
    /// A request of the UE that is not about its security state, which came through `set` where there are security associations.
    pub(super) fn other_request(
        &mut self,
        ctx: &mut Context<'_>,
        set: Option<Key>,
        origin: Origin,
        key: Key,
        message: &Message<'_>,
    ) {
        let peer = origin.peer;
        let again = match self.known(ctx, origin) {
            Known::No => None,
            Known::UnderWay(key) => return self.invite_again(ctx, key, peer, message),
            Known::Answered(408) => return,
            // Delivered once is enough; what these two did can be asked for again.
            Known::Answered(status)
                if !matches!(message.method(), Method::Register | Method::Subscribe) =>
            {
                if !self.answer_again(ctx, peer, origin.transaction) {
                    self.refuse(ctx, peer, message, status, |_| ());
                }
                return;
            }
            Known::Answered(status) => Some(status),
        };
        if let Err(status) = self.check_other(ctx, set, key, message) {
            return match status {
                494 => self.refuse_agreement(ctx, peer, message, 494, set),
                _ => self.refuse_origin(ctx, origin, message, status),
            };
        }
        let connection = self.connections.get(key).expect("a set's connection");
        if let (false, Some(set)) = (connection.knows_identities, set) {
            return self.hold(ctx, key, set, origin, message);
        }
        if connection.pending.asked >= PENDING_MAX {
            ctx.counters.too_many_pending += 1;
            return self.refuse_origin(ctx, origin, message, 503);
        }
        let Some(notifier) = connection.notifier.map(PackedAddress::get) else {
            return self.refuse_origin(ctx, origin, message, 403);
        };
        self.forward_other(ctx, key, origin, notifier, message, again);
    }

    fn known(&mut self, ctx: &mut Context<'_>, origin: Origin) -> Known {
        let key = origin.transaction;
        let known = match self.server_transaction(key) {
            Some(under_way) => Known::UnderWay(under_way),
            None => {
                let tombstone = self.tombstones.find(ctx.now, key);
                tombstone.map_or(Known::No, |tombstone| Known::Answered(tombstone.status))
            }
        };
        ctx.counters.retransmissions_in += u64::from(!matches!(known, Known::No));
        known
    }

    /// What such a request must show before it goes on to the core.
    fn check_other(
        &self,
        ctx: &mut Context<'_>,
        set: Option<Key>,
        key: Key,
        message: &Message<'_>,
    ) -> Result<(), u16> {
        match set {
            Some(set) => self.check_association(ctx, set, key, message)?,
            None => self.check_open_contact(ctx, key, message)?,
        }
        if !self.goes_our_way(ctx.now, key, message) {
            ctx.counters.wrong_route += 1;
            return Err(403);
        }
        if message.max_forwards().ok().flatten() == Some(0) {
            ctx.counters.too_many_hops += 1;
            return Err(483);
        }
        Ok(())
    }

    /// What it must show of the security associations that it came through.
    fn check_association(
        &self,
        ctx: &mut Context<'_>,
        set_key: Key,
        key: Key,
        message: &Message<'_>,
    ) -> Result<(), u16> {
        let set = self.sets.get(set_key).expect("a set that opened a packet");
        let connection = self.connections.get(key).expect("a set's connection");
        // The set of a challenge carries nothing but its answer.
        if connection.temporary == Some(set_key) || connection.stage == Stage::SettingUp {
            ctx.counters.wrong_association += 1;
            return Err(403);
        }
        if !asks_for_agreement(message) || !agreement::verify_matches(message, MODE, &set.server())
        {
            ctx.counters.sec_agree_altered += 1;
            return Err(494);
        }
        if let Ok(Some(credentials)) = message.authorization()
            && !self.strings.is(&connection.impi, credentials.username)
        {
            ctx.counters.wrong_private_identity += 1;
            return Err(403);
        }
        self.check_contact(ctx, set_key, message)
    }

    /// The identity in whose name a request goes: the preferred one where it is authorised, else the default one (TS 24.229 clause
    /// 5.2.6.3). `None` where there is none; and whether it is another than the UE prefers.
    fn asserted_identity<'a>(
        &'a self,
        key: Key,
        message: &Message<'_>,
        room: &'a mut TextRoom,
    ) -> (Option<&'a [u8]>, bool) {
        let connection = self.connections.get(key).expect("a set's connection");
        let identities = IdentityList::new(self.strings.read(&connection.identities, room));
        let mut is_asked = false;
        for preferred in message.preferred_identity() {
            is_asked = true;
            let found = preferred.ok().and_then(|preferred| identities.find(preferred.uri_text));
            if let Some(found) = found.filter(|found| !found.barred) {
                return (Some(found.uri), false);
            }
        }
        (identities.default_identity(), is_asked)
    }

    fn forward_other(
        &mut self,
        ctx: &mut Context<'_>,
        connection: Key,
        origin: Origin,
        notifier: SocketAddr,
        message: &Message<'_>,
        again: Again,
    ) {
        let upstream = origin.peer;
        let mut room = TextRoom::default();
        let (asserted, is_another) = self.asserted_identity(connection, message, &mut room);
        // In whose name a session runs was settled when it began; who may begin none may still end it.
        if !is_in_session(message) {
            if asserted.is_none() || (is_another && self.config.strict_identities) {
                ctx.counters.identity_refused += 1;
                return self.refuse_origin(ctx, origin, message, 403);
            }
            ctx.counters.identity_substituted += u64::from(is_another);
        }
        let downstream = Peer::Mw(notifier);
        let transaction = Transaction {
            purpose: Purpose::FromUe,
            server_key: origin.transaction,
            upstream,
            machine: Machine::new(message.method(), self.is_reliable(ctx, upstream)),
            downstream,
            connection,
            cseq: message.cseq().map_or(0, |cseq| cseq.number),
            echo: 0,
            request: Handle::EMPTY,
            again,
        };
        let Some(key) = self.open_transaction(ctx, transaction) else {
            return self.refuse_origin(ctx, origin, message, 503);
        };
        let hops = message.max_forwards().ok().flatten().unwrap_or(70);
        let sent = ctx.with_edits(|ctx, edits| {
            self.edit_for_core(ctx, edits, message, upstream, Some(key), hops);
            self.edit_other(edits, message, connection);
            let keep = keep_of(message);
            self.send_kept(ctx, downstream, keep, |out| edits.write(message, out).ok())
        });
        match sent {
            Ok(request) => {
                self.start_client(ctx, key, request);
                if !origin.has_waited {
                    self.trying(ctx, upstream, message);
                }
            }
            Err(status) => {
                self.abandon(ctx, key);
                self.refuse_origin(ctx, origin, message, status);
            }
        }
    }

    /// What the P-CSCF changes beside what it changes in every request.
    fn edit_other(&self, edits: &mut Edits, message: &Message<'_>, connection: Key) {
        // The security association has authenticated the UE; credentials mean nothing here.
        edits.remove(HeaderName::Authorization);
        edits.remove(HeaderName::PPreferredIdentity);
        let is_in_session = is_in_session(message);
        // Its parties know each other by the names that the session began with. What need not name the service route goes by it all the same.
        if is_in_session || self.is_open() {
            self.route_over(edits, message, connection);
        }
        let mut room = TextRoom::default();
        let asserted = match is_in_session {
            true => None,
            false => self.asserted_identity(connection, message, &mut room).0,
        };
        if let Some(asserted) = asserted {
            edits.append(HeaderName::PAssertedIdentity, |out| {
                out.put(b"<").put(asserted).put(b">");
            });
        }
        match message.method() {
            Method::Register => {
                self.edit_path(edits, message, connection);
            }
            Method::Subscribe | Method::Invite => {
                edits
                    .insert_first(HeaderName::RecordRoute, |out| self.write_route(connection, out));
            }
            _ => {}
        }
    }

    /// The core has answered such a request.
    pub(super) fn other_response(
        &mut self,
        ctx: &mut Context<'_>,
        transaction: &Transaction,
        message: &Message<'_>,
    ) {
        let to = self.present(transaction.connection, transaction.upstream);
        let to = (transaction.connection, to);
        let answer = self.pass_back_to_ue(ctx, to, keep_of_answer(message), message);
        self.keep_answer(ctx, answer.unwrap_or_default());
    }
}
