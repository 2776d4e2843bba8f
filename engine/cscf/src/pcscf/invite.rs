//! An INVITE's transactions at the P-CSCF (RFC 3261 clauses 16 and 17, RFC 6026): a server transaction on the one side, a client
//! transaction on the other. What an INVITE does beside other requests: it may ring for minutes, so that Timer C bounds it;
//! its failures are acknowledged hop by hop, and repeated until they are; its 2xx come again until their ACK has gone all the
//! way, so that both transactions linger.

use imstorm_base::slab::Key;
use imstorm_base::strings::Handle;
use imstorm_sip::header::HeaderName;
use imstorm_sip::transaction::invite_client;
use imstorm_sip::transaction::{Timings, ack_to_failure, invite_server};
use imstorm_sip::{Index, Message, Method, Room, Writer, parse, response};

use super::from_ue::has_to_tag;
use super::send::Keep;
use super::transaction::{Invite, InviteTimer, Machine, Origin, Peer, Purpose, Transaction};
use super::{LOOK_AGAIN_NS, Pcscf, PcscfAlarm};
use crate::event::Context;
use crate::mw::MESSAGE_BYTES_MAX;
use crate::proxy::{respond_upstream, response_to_source};

impl Pcscf {
    /// 100, at once: nobody can say how long the rest takes (RFC 3261 clause 17.2.1). Other requests get none (RFC 4320 clause 4.1).
    pub(super) fn trying(&mut self, ctx: &mut Context<'_>, to: Peer, message: &Message<'_>) {
        if message.method() == Method::Invite {
            self.send(ctx, to, |out| {
                let writer = match to {
                    Peer::Unprotected(source) => {
                        response_to_source(message, 100, None, source, out)
                    }
                    _ => response(message, 100, None, out),
                };
                writer.finish().ok()
            });
        }
    }

    /// The INVITE has been sent for the first time.
    pub(super) fn start_invite(
        &mut self,
        ctx: &mut Context<'_>,
        key: Key,
        timings: &Timings,
        reliable: bool,
    ) {
        let now = ctx.now;
        let Some(invite) = self.invite_mut(key) else { return };
        invite.server.handle(invite_server::Event::Request, timings);
        invite.c_at = now + Timings::TIMER_C_NS;
        let actions = invite.client.get_or_insert_default().start(timings, reliable);
        self.arm_invite_client(ctx, key, &actions);
        self.arm(ctx, LOOK_AGAIN_NS, PcscfAlarm::Invite(key, InviteTimer::Look));
    }

    /// A request came whose transaction is under way, or lingers.
    pub(super) fn invite_again(
        &mut self,
        ctx: &mut Context<'_>,
        key: Key,
        peer: Peer,
        message: &Message<'_>,
    ) {
        let timings = self.timings_of(peer);
        let Some(invite) = self.invite_mut(key) else { return };
        let has_response = !invite.response.is_empty();
        let actions = invite.server.handle(invite_server::Event::Request, &timings);
        match (actions.respond_again, has_response) {
            (true, true) => self.respond_again(ctx, key),
            (true, false) => self.trying(ctx, peer, message),
            (false, _) => {}
        }
    }

    /// A response to an INVITE.
    pub(super) fn invite_response(
        &mut self,
        ctx: &mut Context<'_>,
        key: Key,
        message: &Message<'_>,
    ) {
        let Some(timings) =
            self.transactions.get(key).map(|found| self.timings_of(found.downstream))
        else {
            return;
        };
        let status = message.status();
        let client = self.invite_mut(key).and_then(|invite| invite.client.as_mut());
        let Some(client) = client else {
            ctx.counters.stray_response += 1;
            return;
        };
        let actions = client.handle(invite_client::Event::response(status), &timings);
        self.arm_invite_client(ctx, key, &actions);
        match (actions.ack, actions.pass_up) {
            (true, true) => self.acknowledge(ctx, key, message),
            (true, false) => self.send_again(ctx, key),
            (false, _) => {}
        }
        if actions.pass_up {
            match status {
                100..=199 => self.provisional(ctx, key, message),
                _ => self.final_response(ctx, key, message),
            }
        }
        self.end_client(ctx, key, actions.terminated);
    }

    /// An ACK on the branch of an INVITE. Whether it is for whom the INVITE was for (RFC 6026 clause 6).
    pub(super) fn acknowledged(&mut self, ctx: &mut Context<'_>, key: Key) -> bool {
        let Some(upstream) = self.transactions.get(key).map(|found| found.upstream) else {
            return false;
        };
        let timings = self.timings_of(upstream);
        let Some(invite) = self.invite_mut(key) else { return false };
        let actions = invite.server.handle(invite_server::Event::Ack, &timings);
        if actions.arm_i.is_some() || actions.terminated {
            let response = std::mem::take(&mut invite.response);
            self.strings.release(response);
        }
        self.arm_invite_server(ctx, key, &actions);
        self.end_if_over(ctx, key);
        actions.pass_up
    }

    /// Answers an INVITE by ourselves, in the place of those downstream, who have not: its transaction as it was sent is at hand.
    pub(super) fn answer_upstream(&mut self, ctx: &mut Context<'_>, key: Key, status: u16) {
        let Some(transaction) = self.transactions.get(key) else { return };
        let mut headers = Index::default();
        let mut text = [0; MESSAGE_BYTES_MAX];
        let request = parse(self.strings.get(&transaction.request), &mut headers);
        let Some(len) = request
            .ok()
            .and_then(|request| self.write_answer(&request, status, (&mut text).into()))
        else {
            return;
        };
        let upstream = self.present(transaction.connection, transaction.upstream);
        let sent = self.send_kept(ctx, upstream, Keep::WhereLossy, |out| out.copy(&text[..len]));
        self.finish_server(ctx, key, status);
        self.keep_response(key, sent.unwrap_or_default());
    }

    /// As [`Pcscf::refuse`], of a request of a UE that may have got a 100 already.
    pub(super) fn refuse_origin(
        &mut self,
        ctx: &mut Context<'_>,
        origin: Origin,
        message: &Message<'_>,
        status: u16,
    ) {
        let Some(key) =
            origin.has_waited.then(|| self.open_refused(ctx, origin, message)).flatten()
        else {
            return self.refuse(ctx, origin.peer, message, status, |_| ());
        };
        self.answer_upstream(ctx, key, status);
        self.end_client(ctx, key, true);
    }

    /// The transaction of an INVITE that will not be sent on.
    fn open_refused(
        &mut self,
        ctx: &mut Context<'_>,
        origin: Origin,
        message: &Message<'_>,
    ) -> Option<Key> {
        let Peer::Protected(set) = origin.peer else { return None };
        let connection = self.sets.get(set)?.connection;
        // As if it had been sent on: with a Via of ours on top.
        let mut text = [0; MESSAGE_BYTES_MAX];
        let len = ctx.with_edits(|_, edits| {
            self.push_stateless_via(edits, &self.via_mw, message);
            edits.write(message, &mut text).ok()
        })?;
        let request = self.strings.store(&text[..len]).ok()?;
        let transaction = Transaction {
            purpose: Purpose::FromUe,
            server_key: origin.transaction,
            upstream: origin.peer,
            machine: Machine::new(Method::Invite, false),
            downstream: Peer::Own,
            connection,
            cseq: 0,
            echo: 0,
            request: Handle::EMPTY,
            again: None,
        };
        let Some(key) = self.open_transaction(ctx, transaction) else {
            self.strings.release(request);
            return None;
        };
        self.transactions.get_mut(key).expect("a transaction just opened").request = request;
        Some(key)
    }

    /// A provisional response but 100, which is for this hop only (RFC 3261 clause 16.7, step 5), goes upstream.
    fn provisional(&mut self, ctx: &mut Context<'_>, key: Key, message: &Message<'_>) {
        let now = ctx.now;
        let Some(invite) = self.invite_mut(key) else { return };
        let is_cancelled = invite.cancelled.is_some() && invite.cancel.is_none();
        if message.status() > 100 {
            invite.c_at = now + Timings::TIMER_C_NS;
            let event = invite_server::Event::Provisional;
            // The timings of a provisional response don't matter: it starts no timer.
            let actions = invite.server.handle(event, &Timings::CORE);
            if actions.respond {
                let sent = self.pass_upstream(ctx, key, message, Keep::WhereLossy);
                self.keep_response(key, sent.unwrap_or_default());
            }
        }
        if is_cancelled {
            self.send_cancel(ctx, key);
        }
    }

    /// A final response goes upstream: the first one, and each 2xx behind a 2xx.
    fn final_response(&mut self, ctx: &mut Context<'_>, key: Key, message: &Message<'_>) {
        let status = message.status();
        let Some(invite) = self.invite_mut(key) else { return };
        let is_success = status < 300;
        match invite.server.state() {
            invite_server::State::Fresh | invite_server::State::Proceeding => {}
            invite_server::State::Accepted if is_success => {
                _ = self.pass_upstream(ctx, key, message, Keep::Never);
                return;
            }
            _ => return,
        }
        // It was we who cancelled it; 487 would say that it was the caller.
        if let Some(instead) = invite.cancelled.filter(|instead| status == 487 && *instead != 487) {
            return self.answer_in_place(ctx, key, message, instead);
        }
        let keep = if is_success { Keep::Never } else { Keep::WhereLossy };
        match self.pass_upstream(ctx, key, message, keep) {
            Ok(kept) => {
                self.finish_server(ctx, key, status);
                self.keep_response(key, kept);
            }
            // What is too long to pass on is told in short.
            Err(_) => {
                let status = if is_success { 500 } else { status };
                self.answer_in_place(ctx, key, message, status);
            }
        }
    }

    /// Answers upstream in the place of a final response.
    fn answer_in_place(
        &mut self,
        ctx: &mut Context<'_>,
        key: Key,
        message: &Message<'_>,
        status: u16,
    ) {
        let Some(transaction) = self.transactions.get(key) else { return };
        let upstream = self.present(transaction.connection, transaction.upstream);
        let sent = self.send_kept(ctx, upstream, Keep::WhereLossy, |out| {
            respond_upstream(message, status, out)
        });
        self.finish_server(ctx, key, status);
        self.keep_response(key, sent.unwrap_or_default());
    }

    fn pass_upstream(
        &mut self,
        ctx: &mut Context<'_>,
        key: Key,
        message: &Message<'_>,
        keep: Keep,
    ) -> Result<Handle, u16> {
        let Some(transaction) = self.transactions.get(key) else { return Err(503) };
        let (connection, upstream) = (transaction.connection, transaction.upstream);
        match transaction.purpose {
            Purpose::FromUe => {
                let to = self.present(connection, upstream);
                self.pass_back_to_ue(ctx, (connection, to), keep, message)
            }
            _ => self.pass_back_to_core(ctx, (connection, upstream), keep, message),
        }
    }

    /// A response of our own to an INVITE that was sent on: it has our Via on top.
    fn write_answer(&self, request: &Message<'_>, status: u16, out: Room<'_>) -> Option<usize> {
        let mut writer = Writer::new(out);
        writer.status(status);
        for via in request.list(HeaderName::Via).skip(1) {
            writer.header(HeaderName::Via).put(via).end();
        }
        writer.copy(request, HeaderName::From);
        writer.header(HeaderName::To).put(request.header(HeaderName::To)?);
        if !has_to_tag(request) {
            let tag = self.visible.hash(request.header(HeaderName::CallId)?);
            writer.put(b";tag=").hex_u64(tag);
        }
        writer.end();
        writer.copy(request, HeaderName::CallId).copy(request, HeaderName::CSeq);
        if status == 503 {
            writer.header(HeaderName::RetryAfter).decimal(5).end();
        }
        writer.finish().ok()
    }

    /// The final response has been given upstream: the server transaction goes on by itself, and the connection does not wait for it.
    fn finish_server(&mut self, ctx: &mut Context<'_>, key: Key, status: u16) {
        let Some(transaction) = self.transactions.get_mut(key) else { return };
        let connection = transaction.connection;
        let upstream = transaction.upstream;
        // What has been acknowledged may be acknowledged again; a request that was accepted is not needed any more.
        let is_failure = status >= 300;
        let request = match is_failure {
            true => Handle::EMPTY,
            false => std::mem::take(&mut transaction.request),
        };
        let timings = self.timings_of(upstream);
        self.strings.release(request);
        let Some(invite) = self.invite_mut(key) else { return };
        let actions = invite.server.handle(invite_server::Event::response(status), &timings);
        let began_to_linger = !std::mem::replace(&mut invite.lingers, true);
        if began_to_linger
            && let Some(connection) = self.connections.get_mut(connection)
            && let Some(transaction) = self.transactions.get(key)
        {
            connection.pending.end(transaction);
        }
        self.arm_invite_server(ctx, key, &actions);
        self.settle(ctx, connection);
    }

    /// Keeps the last response in the place of the one before.
    fn keep_response(&mut self, key: Key, response: Handle) {
        let before = match self.invite_mut(key) {
            Some(invite) => std::mem::replace(&mut invite.response, response),
            None => response,
        };
        self.strings.release(before);
    }

    /// The ACK to a failure, which takes the place of its INVITE: it is sent again for each failure that comes again.
    fn acknowledge(&mut self, ctx: &mut Context<'_>, key: Key, failure: &Message<'_>) {
        let Some(transaction) = self.transactions.get_mut(key) else { return };
        let downstream = transaction.downstream;
        let connection = transaction.connection;
        let request = std::mem::take(&mut transaction.request);
        let mut text = [0; MESSAGE_BYTES_MAX];
        let mut headers = Index::default();
        let invite = parse(self.strings.get(&request), &mut headers);
        let len = invite.ok().and_then(|invite| ack_to_failure(&invite, failure, &mut text).ok());
        self.strings.release(request);
        let Some(len) = len else { return };
        let to = self.present(connection, downstream);
        let kept = self.send_kept(ctx, to, Keep::WhereLossy, |out| out.copy(&text[..len]));
        let kept = kept.unwrap_or_default();
        match self.transactions.get_mut(key) {
            Some(transaction) => transaction.request = kept,
            None => self.strings.release(kept),
        }
    }

    /// Lets go of a client transaction that is over, and of all if both are.
    pub(super) fn end_client(&mut self, ctx: &mut Context<'_>, key: Key, is_over: bool) {
        if is_over && let Some(invite) = self.invite_mut(key) {
            invite.client = None;
        }
        self.end_if_over(ctx, key);
    }

    pub(super) fn end_if_over(&mut self, ctx: &mut Context<'_>, key: Key) {
        let invite = self.transactions.get(key).and_then(Transaction::invite);
        let Some(invite) = invite.filter(|invite| invite.is_over()) else { return };
        // Its answer could not be told from a stray one any more.
        let cancel = invite.cancel.filter(|cancel| self.transactions.get(*cancel).is_some());
        let connection = self.close_transaction(ctx, key, 0).connection;
        if let Some(cancel) = cancel {
            self.close_transaction(ctx, cancel, 0);
            self.settle(ctx, connection);
        }
    }

    pub(super) fn invite_mut(&mut self, key: Key) -> Option<&mut Invite> {
        self.transactions.get_mut(key).and_then(Transaction::invite_mut)
    }
}

/// An INVITE is kept in any case: its ACK and its CANCEL are made from it.
pub(super) fn keep_of(request: &Message<'_>) -> Keep {
    match request.method() {
        Method::Invite => Keep::Always,
        _ => Keep::WhereLossy,
    }
}
