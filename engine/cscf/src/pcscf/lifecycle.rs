//! The life of transactions, sets and connections at the P-CSCF: what a response does, what a timer does, and when the security
//! associations go.

use imstorm_base::slab::Key;
use imstorm_base::strings::Handle;
use imstorm_base::time::{Time, seconds};
use imstorm_sip::field::name_addr::NameAddr;
use imstorm_sip::header::HeaderName;
use imstorm_sip::transaction::Timings;
use imstorm_sip::transaction::non_invite_client::{Actions, Event};
use imstorm_sip::{Message, Method};

use super::agreement::write_server;
use super::answers::keep_of_answer;
use super::connection::{Basis, OwnState, SecuritySet, Stage};
use super::send::Keep;
use super::transaction::{Machine, Peer, Purpose, Transaction};
use super::{GRACE_S, LOOK_AGAIN_NS, MODE, Pcscf, PcscfAlarm};
use crate::event::{Alarm, Context};
use crate::proxy::{DEFAULT_PORT, respond_upstream};

impl Pcscf {
    /// Begins a transaction. None where the table is full.
    pub(super) fn open_transaction(
        &mut self,
        ctx: &mut Context<'_>,
        transaction: Transaction,
    ) -> Option<Key> {
        let (server_key, connection) = (transaction.server_key, transaction.connection);
        let mut pending = self.connections.get(connection).map(|found| found.pending);
        if let Some(pending) = &mut pending {
            pending.begin(&transaction);
        }
        let Ok(key) = self.transactions.insert(transaction) else {
            ctx.counters.table_full += 1;
            return None;
        };
        if server_key != 0 {
            let indexed = self.servers.insert(server_key, key.index).is_ok();
            assert!(indexed, "the index has room for as many as the slab");
        }
        if let (Some(connection), Some(pending)) = (self.connections.get_mut(connection), pending) {
            connection.pending = pending;
        }
        Some(key)
    }

    /// The request has been sent for the first time: starts the client transaction's timers.
    pub(super) fn start_client(&mut self, ctx: &mut Context<'_>, key: Key, request: Handle) {
        let reliable = {
            let transaction = self.transactions.get(key).expect("a transaction just opened");
            self.is_reliable(ctx, transaction.downstream)
        };
        let timings = self.timings(key);
        let transaction = self.transactions.get_mut(key).expect("a transaction just opened");
        transaction.request = request;
        match &mut transaction.machine {
            Machine::NonInvite(client) => {
                let actions = client.start(&timings, reliable);
                self.arm_client(ctx, key, &actions);
            }
            Machine::Invite(_) => self.start_invite(ctx, key, &timings, reliable),
        }
    }

    /// A final or provisional response to a transaction's request.
    pub(super) fn response(&mut self, ctx: &mut Context<'_>, key: Key, message: &Message<'_>) {
        let is_final = message.status() >= 200;
        let timings = self.timings(key);
        let transaction = self.transactions.get_mut(key).expect("a transaction that was found");
        let Machine::NonInvite(client) = &mut transaction.machine else {
            return self.invite_response(ctx, key, message);
        };
        let actions = client.handle(Event::Response { is_final }, &timings);
        self.arm_client(ctx, key, &actions);
        if !is_final {
            return;
        }
        let transaction = self.close_transaction(ctx, key, message.status());
        match transaction.purpose {
            Purpose::Security => self.security_response(ctx, &transaction, message),
            Purpose::FromUe => self.other_response(ctx, &transaction, message),
            Purpose::ToUe => {
                let upstream = (transaction.connection, transaction.upstream);
                let keep = keep_of_answer(message);
                let answer = self.pass_back_to_core(ctx, upstream, keep, message);
                self.keep_answer(ctx, answer.unwrap_or_default());
            }
            Purpose::Notify { terminates } => {
                self.notify_response(ctx, &transaction, terminates, message);
            }
            Purpose::Own => self.own_response(ctx, transaction.connection, message),
            // What matters is what its INVITE gets (RFC 3261 clause 9.1).
            Purpose::Cancel => {}
        }
        self.settle(ctx, transaction.connection);
    }

    pub(super) fn timer_e(&mut self, ctx: &mut Context<'_>, key: Key) {
        if self.transactions.get(key).is_none() {
            return;
        }
        let timings = self.timings(key);
        let transaction = self.transactions.get_mut(key).expect("a transaction that was found");
        let Machine::NonInvite(client) = &mut transaction.machine else { return };
        let actions = client.handle(Event::TimerE, &timings);
        if actions.retransmit {
            self.send_again(ctx, key);
        }
        self.arm_client(ctx, key, &actions);
    }

    pub(super) fn timer_f(&mut self, ctx: &mut Context<'_>, key: Key) {
        if self.transactions.get(key).is_none() {
            return;
        }
        ctx.counters.transactions_timed_out += 1;
        self.answer_timed_out(ctx, key);
        let transaction = self.close_transaction(ctx, key, 408);
        match transaction.purpose {
            // RFC 4320 clause 4.2: a late 408 helps nobody; the UE's own Timer F tells it.
            Purpose::Security if self.is_open() => self.drop_unmade(ctx, transaction.connection),
            Purpose::Security | Purpose::FromUe | Purpose::ToUe | Purpose::Cancel => {}
            Purpose::Notify { terminates: true } => self.leave_own(ctx, transaction.connection),
            Purpose::Notify { terminates: false } => {}
            Purpose::Own => self.own_failed(ctx, transaction.connection),
        }
        self.settle(ctx, transaction.connection);
    }

    fn timings(&self, key: Key) -> Timings {
        let downstream = self.transactions.get(key).map(|transaction| transaction.downstream);
        downstream.map_or(self.config.core, |peer| self.timings_of(peer))
    }

    /// The timers of the leg that leads to this peer.
    pub(super) fn timings_of(&self, peer: Peer) -> Timings {
        match peer {
            Peer::Protected(_) | Peer::Unprotected(_) => self.config.ue_leg,
            Peer::Mw(_) | Peer::Own => self.config.core,
        }
    }

    fn arm_client(&self, ctx: &mut Context<'_>, key: Key, actions: &Actions) {
        if let Some(after_ns) = actions.arm_e {
            self.arm(ctx, after_ns, PcscfAlarm::TimerE(key));
        }
        if let Some(after_ns) = actions.arm_f {
            let purpose = self.transactions.get(key).map(|transaction| transaction.purpose);
            let after_ns = match purpose {
                // It may be for another UE, on whose slow leg it is repeated for that long.
                Some(Purpose::FromUe) => self.config.ue_leg.timer_f_ns() + self.config.core.t4_ns,
                _ => after_ns,
            };
            self.arm(ctx, after_ns, PcscfAlarm::TimerF(key));
        }
    }

    pub(super) fn arm(&self, ctx: &mut Context<'_>, after_ns: u64, alarm: PcscfAlarm) {
        ctx.timers.arm(ctx.now, after_ns, Alarm::Pcscf(self.config.number, alarm).into());
    }

    /// Gives a transaction up whose request never left.
    pub(super) fn abandon(&mut self, ctx: &mut Context<'_>, key: Key) {
        let Some(transaction) = self.transactions.get_mut(key) else { return };
        let server_key = std::mem::take(&mut transaction.server_key);
        if server_key != 0 {
            self.servers.remove(server_key, |index| index == key.index);
        }
        let connection = self.close_transaction(ctx, key, 0).connection;
        if self.connections.get(connection).is_some_and(|found| {
            found.stage == Stage::SettingUp && found.temporary.is_none() && found.pending.is_none()
        }) {
            self.drop_connection(ctx, connection);
        }
    }

    /// Ends a transaction. Timers I and K need nothing kept: a late response finds no key. Timer J's tombstone stays.
    /// An INVITE leaves none: its server transaction stays itself for as long.
    pub(super) fn close_transaction(
        &mut self,
        ctx: &mut Context<'_>,
        key: Key,
        status: u16,
    ) -> Transaction {
        let mut transaction = self.transactions.remove(key).expect("a transaction that was found");
        transaction.release(&mut self.strings);
        if transaction.is_pending()
            && let Some(connection) = self.connections.get_mut(transaction.connection)
        {
            connection.pending.end(&transaction);
        }
        if transaction.server_key != 0 {
            self.servers.remove(transaction.server_key, |index| index == key.index);
            if transaction.invite().is_none() && !self.is_reliable(ctx, transaction.upstream) {
                self.tombstones.bury(
                    ctx.now,
                    transaction.server_key,
                    transaction.connection,
                    transaction.cseq,
                    status,
                );
            }
        }
        transaction
    }

    /// The core has answered the UE's request about its connection.
    fn security_response(
        &mut self,
        ctx: &mut Context<'_>,
        transaction: &Transaction,
        message: &Message<'_>,
    ) {
        match message.status() {
            401 => self.challenge(ctx, transaction, message),
            200..=299 => self.accepted(ctx, transaction, message),
            _ => {
                ctx.with_edits(|ctx, edits| {
                    edits.pop_first(message, HeaderName::Via);
                    self.send(ctx, transaction.upstream, |out| edits.write(message, out).ok());
                });
                if message.status() == 481 && message.method() == Method::Subscribe {
                    self.lose_notifier(ctx, transaction.connection, message);
                }
                // A set-up that was refused before its challenge leaves nothing.
                let connection = self.connections.get(transaction.connection);
                if connection.is_some_and(|connection| {
                    connection.stage == Stage::SettingUp && connection.temporary.is_none()
                }) {
                    self.drop_connection(ctx, transaction.connection);
                }
            }
        }
    }

    /// The notifier answered 481. Where that is about the UE's security dialog, and not another that the UE made up, the
    /// connection is over, and there is nobody to tell.
    fn lose_notifier(&mut self, ctx: &mut Context<'_>, key: Key, message: &Message<'_>) {
        let to_tag = self.to_tag(message);
        let Some(connection) = self.connections.get_mut(key) else { return };
        if connection.stage == Stage::Live && connection.to_tag == to_tag {
            connection.own.state = OwnState::Over;
            self.begin_end(ctx, key);
        }
    }

    /// 401: keeps the keys to itself, makes the temporary set, and tells the UE its half of it.
    fn challenge(
        &mut self,
        ctx: &mut Context<'_>,
        transaction: &Transaction,
        message: &Message<'_>,
    ) {
        let Some(connection) = self.connections.get(transaction.connection) else { return };
        if matches!(transaction.upstream, Peer::Unprotected(_))
            && connection.stage != Stage::SettingUp
        {
            // The first request came again, and the set-up went on meanwhile: nothing without protection changes what is live.
            ctx.counters.stray_response += 1;
            return;
        }
        let before = connection.temporary;
        let set = match before.filter(|_| transaction.again.is_some()) {
            Some(set) => Some(set),
            None => self.temporary_set(ctx, transaction.connection, message),
        };
        let Some(server) = set.and_then(|set| self.sets.get(set)).map(SecuritySet::server) else {
            // Without keys there is nothing to protect the answer with: the challenge must not reach the UE.
            ctx.counters.keys_missing += 1;
            let upstream = transaction.upstream;
            self.send(ctx, upstream, |out| respond_upstream(message, 500, out));
            let connection = self.connections.get(transaction.connection);
            if connection.is_some_and(|found| found.stage == Stage::SettingUp) {
                self.drop_connection(ctx, transaction.connection);
            }
            return;
        };
        ctx.with_edits(|ctx, edits| {
            edits.pop_first(message, HeaderName::Via);
            edits.remove(HeaderName::RecordRoute);
            edits.remove_auth_params(message, HeaderName::WwwAuthenticate, &["ik", "ck"]);
            ctx.counters.keys_withheld += 1;
            edits.append(HeaderName::SecurityServer, |out| write_server(MODE, Some(&server), out));
            // The challenge goes on what the request came on, which may be the temporary set that it replaces.
            self.send(ctx, transaction.upstream, |out| edits.write(message, out).ok());
        });
        if let Some(before) = before.filter(|before| Some(*before) != set) {
            self.sets.remove(before);
        }
    }

    /// A 2xx: the set that the request came through is the live one, for as long as was granted.
    fn accepted(
        &mut self,
        ctx: &mut Context<'_>,
        transaction: &Transaction,
        message: &Message<'_>,
    ) {
        let key = transaction.connection;
        let Some(basis) = self.connections.get(key).map(|found| found.basis) else { return };
        let set = match transaction.upstream {
            Peer::Protected(set) => Some(set),
            _ => None,
        };
        if set.is_none() && !self.is_open() {
            // Nobody is let in on a request without protection, whatever the core says.
            ctx.counters.unprotected_refused += 1;
            let upstream = transaction.upstream;
            self.send(ctx, upstream, |out| respond_upstream(message, 500, out));
            if self.connections.get(key).is_some_and(|found| found.stage == Stage::SettingUp) {
                self.drop_connection(ctx, key);
            }
            return;
        }
        if transaction.again.is_some_and(|status| status < 300) {
            // The answer to a request that came again: what it granted, it granted then.
            return self.pass_acceptance(ctx, transaction, message);
        }
        let contact = match basis {
            Basis::Subscription => message.contact().ok().flatten(),
            Basis::Registration => None,
        };
        let granted_s = match basis {
            Basis::Subscription => self.follow_subscription(ctx, key, message, contact.as_ref()),
            Basis::Registration => self.follow_registration(ctx, key, set, message),
        };
        let connection = self.connections.get_mut(key).expect("found above");
        connection.granted_s = granted_s;
        if granted_s == 0 {
            if basis == Basis::Registration {
                // TS 24.229 clause 5.2.5.1: the server transaction ends first, in which the 200 may have to be sent again.
                let linger_ns = self.config.ue_leg.timer_j_ns(false);
                connection.answers_until = ctx.now.saturating_add(linger_ns);
                self.arm(ctx, linger_ns, PcscfAlarm::Deregistered(key));
            }
            self.begin_end(ctx, key);
        } else {
            let expires_at = lifetime_end(ctx.now, granted_s);
            connection.expires_at = expires_at;
            let is_new_set = set.is_some() && connection.temporary == set;
            if is_new_set {
                connection.temporary = None;
                let before = std::mem::replace(&mut connection.live, set);
                if let Some(drained) = std::mem::replace(&mut connection.draining, before) {
                    self.sets.remove(drained);
                }
            }
            let connection = self.connections.get_mut(key).expect("found above");
            if connection.stage == Stage::SettingUp {
                connection.stage = Stage::Live;
                self.strings.pack(&mut connection.impi);
                ctx.counters.connections_made += 1;
                self.leave_setups(key);
            }
            let connection = self.connections.get_mut(key).expect("found above");
            if connection.temporary.is_none()
                && let Some(agreed) = connection.agreeing.take()
            {
                self.agreeing.remove(agreed);
            }
            self.look_at_connection(ctx, key);
            if let Some(set) = self.live_set(key).and_then(|set| self.sets.get_mut(set)) {
                set.expires_at = expires_at;
            }
            if is_new_set {
                self.override_sets(ctx, key);
            }
        }
        self.pass_acceptance(ctx, transaction, message);
        if granted_s > 0 {
            match basis {
                Basis::Subscription => {
                    self.ask_own(ctx, key, contact.map(|contact| contact.uri_text));
                }
                // There are no identities to be policed by but the 200's, and no security associations to be ended.
                Basis::Registration if self.is_open() => {}
                Basis::Registration => self.watch_registration(ctx, key),
            }
        }
    }

    /// Follows what the notifier says of the UE's subscription; the lifetime that it grants, in seconds.
    fn follow_subscription(
        &mut self,
        ctx: &mut Context<'_>,
        key: Key,
        message: &Message<'_>,
        contact: Option<&NameAddr<'_>>,
    ) -> u32 {
        let to_tag = self.to_tag(message);
        let connection = self.connections.get_mut(key).expect("a connection that was accepted");
        connection.to_tag = to_tag;
        let notifier = contact.and_then(|contact| contact.uri.socket_addr(DEFAULT_PORT));
        connection.notifier = notifier.map(Into::into);
        let given = message.service_routes().next().and_then(Result::ok);
        let given = given.as_ref().or(contact);
        self.follow_service_route(ctx, key, given.map(|given| given.uri_text));
        message.expires().ok().flatten().unwrap_or(0)
    }

    /// From the 200 on everything goes on the new set, the 200 first of all.
    fn pass_acceptance(
        &mut self,
        ctx: &mut Context<'_>,
        transaction: &Transaction,
        message: &Message<'_>,
    ) {
        let to = self.present(transaction.connection, transaction.upstream);
        _ = self.pass_back_to_ue(ctx, (transaction.connection, to), Keep::Never, message);
    }

    fn to_tag(&self, message: &Message<'_>) -> u64 {
        let tag = message.tag(HeaderName::To).ok().flatten();
        self.hash.hash(tag.unwrap_or_default())
    }

    /// The subscription ends. What is under way may still end, for as long as a transaction can take.
    pub(super) fn begin_end(&mut self, ctx: &mut Context<'_>, key: Key) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        if connection.stage == Stage::Ending {
            return;
        }
        if std::mem::replace(&mut connection.stage, Stage::Ending) == Stage::SettingUp {
            self.leave_setups(key);
        }
        self.arm(ctx, 2 * self.config.ue_leg.timer_f_ns(), PcscfAlarm::Release(key));
    }

    /// Drops what is through once nothing is under way: the set before the last re-authentication, and a connection that has
    /// ended.
    pub(super) fn settle(&mut self, ctx: &mut Context<'_>, key: Key) {
        if let Some(connection) = self.connections.get_mut(key)
            && connection.pending.is_none()
            && let Some(drained) = connection.draining.take()
        {
            self.sets.remove(drained);
        }
        let done = self.connections.get(key).is_some_and(|connection| {
            connection.stage == Stage::Ending
                && connection.pending.is_none()
                && connection.answers_until <= ctx.now
                && matches!(connection.own.state, OwnState::None | OwnState::Over)
        });
        if done {
            self.drop_connection(ctx, key);
        }
    }

    /// Ends a connection at once, with all its sets.
    pub(super) fn drop_connection(&mut self, ctx: &mut Context<'_>, key: Key) {
        if self.connections.get(key).is_some_and(|found| found.stage == Stage::SettingUp) {
            self.leave_setups(key);
        }
        let Some(connection) = self.connections.remove(key) else { return };
        let sets = [connection.live, connection.temporary, connection.draining];
        for set in sets.into_iter().flatten() {
            self.sets.remove(set);
        }
        connection.agreeing.map(|agreeing| self.agreeing.remove(agreeing));
        connection.open.map(|open| self.open.remove(open));
        if connection.stage != Stage::SettingUp {
            ctx.counters.connections_ended += 1;
        }
        self.accesses.remove(connection.access, |index| index == key.index);
        self.drop_held(key, connection.held);
        connection.release(&mut self.strings);
    }

    /// Drops a connection that nothing has come of.
    fn drop_unmade(&mut self, ctx: &mut Context<'_>, key: Key) {
        let found = self.connections.get(key);
        if found.is_some_and(|it| it.stage == Stage::SettingUp && it.pending.is_none()) {
            self.drop_connection(ctx, key);
        }
    }

    /// A set-up is over, one way or the other: it is not found by its first request any more.
    fn leave_setups(&mut self, key: Key) {
        let Some(connection) = self.connections.get(key) else { return };
        if let Some(agreeing) = connection.agreeing.and_then(|key| self.agreeing.get(key)) {
            self.setups.remove(agreeing.setup, |index| index == key.index);
        }
    }

    /// A set-up's time is over: reg-await-auth (TS 24.229 clause 5.2.2).
    pub(super) fn setup_is_late(&mut self, ctx: &mut Context<'_>, key: Key) {
        let Some(connection) = self.connections.get(key) else { return };
        if connection.stage != Stage::SettingUp {
            return;
        }
        if connection.expires_at > ctx.now {
            let remaining_ns = connection.expires_at - ctx.now;
            return self.arm(ctx, remaining_ns.min(LOOK_AGAIN_NS), PcscfAlarm::SetUp(key));
        }
        ctx.counters.setups_expired += 1;
        self.drop_connection(ctx, key);
    }
}

/// When security associations end that were granted `granted_s` seconds now.
pub(super) fn lifetime_end(now: Time, granted_s: u32) -> Time {
    now.saturating_add(seconds(u64::from(granted_s) + GRACE_S))
}
