//! Requests that wait until the P-CSCF knows which identities the UE may use: for a moment after the set-up, while its own
//! subscription is on its way.

use imstorm_base::slab::Key;
use imstorm_base::strings::Handle;
use imstorm_base::time::seconds;
use imstorm_sip::{Index, Message, Method, parse};

use super::transaction::{Origin, Peer};
use super::{Pcscf, PcscfAlarm};
use crate::event::Context;
use crate::mw::MESSAGE_BYTES_MAX;

/// Requests that wait at one time, of all connections.
pub const HELD_MAX: usize = 4096;
/// Requests that wait of one connection.
const HELD_PER_CONNECTION_MAX: u8 = 4;
/// How long a request waits: two attempts of the P-CSCF's own SUBSCRIBE.
pub const HOLD_NS: u64 = seconds(4);

/// A request that waits.
#[derive(Debug)]
pub struct Held {
    connection: Key,
    set: Key,
    transaction: u64,
    text: Handle,
}

impl Pcscf {
    /// Lets a request wait for the identities, or refuses it where too many do already.
    pub(super) fn hold(
        &mut self,
        ctx: &mut Context<'_>,
        connection: Key,
        set: Key,
        origin: Origin,
        message: &Message<'_>,
    ) {
        let transaction = origin.transaction;
        let waits = |held: &Held| held.connection == connection && held.transaction == transaction;
        let held_here = self.connections.get(connection).map_or(0, |found| found.held);
        if held_here > 0 && self.held.iter().any(|(_, held)| waits(held)) {
            ctx.counters.retransmissions_in += 1;
            return self.trying(ctx, origin.peer, message);
        }
        let text = match held_here < HELD_PER_CONNECTION_MAX {
            true => self.strings.store(message.bytes()).ok(),
            false => None,
        };
        let Some(text) = text else { return self.refuse_unknown(ctx, origin.peer, message) };
        match self.held.insert(Held { connection, set, transaction, text }) {
            Ok(key) => {
                self.connections.get_mut(connection).expect("a set's connection").held += 1;
                ctx.counters.requests_held += 1;
                self.trying(ctx, origin.peer, message);
                self.arm(ctx, HOLD_NS, PcscfAlarm::Held(key));
            }
            Err(_) => self.refuse_unknown(ctx, origin.peer, message),
        }
    }

    /// The identities are known: what waited for them goes on.
    pub(super) fn pass_held(&mut self, ctx: &mut Context<'_>, connection: Key) {
        while let Some(key) = self.next_held(connection) {
            self.take_held(ctx, key, |pcscf, ctx, set, message| {
                let has_waited = message.method() == Method::Invite;
                pcscf.protected_request(ctx, set, message, has_waited);
            });
        }
    }

    pub(super) fn held_is_due(&mut self, ctx: &mut Context<'_>, key: Key) {
        let transaction = self.held.get(key).map_or(0, |held| held.transaction);
        self.take_held(ctx, key, |pcscf, ctx, set, message| {
            if message.method() != Method::Invite {
                return pcscf.refuse_unknown(ctx, Peer::Protected(set), message);
            }
            ctx.counters.identities_unknown += 1;
            let origin = Origin { peer: Peer::Protected(set), transaction, has_waited: true };
            pcscf.refuse_origin(ctx, origin, message, 503);
        });
    }

    /// A CANCEL of an INVITE that waits. True where there is one: both are answered.
    pub(super) fn cancel_held(
        &mut self,
        ctx: &mut Context<'_>,
        peer: Peer,
        transaction: u64,
        cancel: &Message<'_>,
    ) -> bool {
        let is_it = |(_, held): &(Key, &Held)| held.transaction == transaction;
        let Some(key) = self.held.iter().find(is_it).map(|(key, _)| key) else { return false };
        self.refuse(ctx, peer, cancel, 200, |_| ());
        self.take_held(ctx, key, |pcscf, ctx, set, message| {
            let origin = Origin { peer: Peer::Protected(set), transaction, has_waited: true };
            pcscf.refuse_origin(ctx, origin, message, 487);
        });
        true
    }

    /// A connection goes, and what waited of it.
    pub(super) fn drop_held(&mut self, connection: Key, count: u8) {
        for _ in 0..count {
            let Some(key) = self.next_held(connection) else { return };
            if let Some(held) = self.held.remove(key) {
                self.strings.release(held.text);
            }
        }
    }

    fn next_held(&self, connection: Key) -> Option<Key> {
        self.held.iter().find(|(_, held)| held.connection == connection).map(|(key, _)| key)
    }

    /// Takes a request out of the waiting ones and does something with it.
    fn take_held(
        &mut self,
        ctx: &mut Context<'_>,
        key: Key,
        then: impl FnOnce(&mut Self, &mut Context<'_>, Key, &Message<'_>),
    ) {
        let Some(held) = self.held.remove(key) else { return };
        if let Some(connection) = self.connections.get_mut(held.connection) {
            connection.held -= 1;
        }
        let mut buffer = [0; MESSAGE_BYTES_MAX];
        let len = held.text.kept_bytes();
        buffer[..len].copy_from_slice(self.strings.get(&held.text));
        self.strings.release(held.text);
        let mut headers = Index::default();
        if self.sets.get(held.set).is_some()
            && let Ok(message) = parse(&buffer[..len], &mut headers)
        {
            then(self, ctx, held.set, &message);
        }
    }

    fn refuse_unknown(&mut self, ctx: &mut Context<'_>, peer: Peer, message: &Message<'_>) {
        ctx.counters.identities_unknown += 1;
        self.refuse(ctx, peer, message, 503, |out| {
            out.header(imstorm_sip::HeaderName::RetryAfter).decimal(5).end();
        });
    }
}
