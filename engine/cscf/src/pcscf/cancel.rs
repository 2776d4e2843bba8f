//! CANCEL (RFC 3261 clauses 9 and 16.10): answered here, and sent on by itself on the branch of the INVITE, as soon as a
//! provisional response has shown that the INVITE has arrived.

use imstorm_base::slab::Key;
use imstorm_base::strings::Handle;
use imstorm_sip::transaction::{NonInviteClient, cancel};
use imstorm_sip::{Index, Message, parse};

use super::Pcscf;
use super::PcscfAlarm;
use super::send::Keep;
use super::transaction::{InviteTimer, Machine, Peer, Purpose, Transaction};
use crate::event::Context;
use crate::mw::MESSAGE_BYTES_MAX;

impl Pcscf {
    /// A CANCEL, from a UE or the core. It is about the INVITE with its branch, from the same peer.
    pub(super) fn cancel_request(
        &mut self,
        ctx: &mut Context<'_>,
        peer: Peer,
        message: &Message<'_>,
    ) {
        let server_key = self.cancelled_key(peer, message);
        if let Some(key) = self.server_transaction(server_key) {
            self.refuse(ctx, peer, message, 200, |_| ());
            return self.cancel_invite(ctx, key, 487);
        }
        if self.cancel_held(ctx, peer, server_key, message) {
            return;
        }
        ctx.counters.cancels_unknown += 1;
        self.refuse(ctx, peer, message, 481, |_| ());
    }

    /// Cancels an INVITE, now or when its first provisional response comes. Where a final one has come it does nothing. `status` is what
    /// goes upstream if downstream stays silent.
    pub(super) fn cancel_invite(&mut self, ctx: &mut Context<'_>, key: Key, status: u16) {
        let Some(invite) = self.invite_mut(key).filter(|invite| invite.awaits_final()) else {
            return;
        };
        invite.cancelled.get_or_insert(status);
        if invite.is_proceeding() && invite.cancel.is_none() {
            self.send_cancel(ctx, key);
        }
    }

    /// Sends the CANCEL of an INVITE that has had a provisional response.
    pub(super) fn send_cancel(&mut self, ctx: &mut Context<'_>, key: Key) {
        let Some(transaction) = self.transactions.get(key) else { return };
        let connection = transaction.connection;
        let downstream = self.present(connection, transaction.downstream);
        let mut text = [0; MESSAGE_BYTES_MAX];
        let mut headers = Index::default();
        let invite = parse(self.strings.get(&transaction.request), &mut headers);
        let len = invite.ok().and_then(|invite| cancel(&invite, &mut text).ok());
        let after_ns = self.timings_of(downstream).timer_f_ns();
        self.arm(ctx, after_ns, PcscfAlarm::Invite(key, InviteTimer::Cancelled));
        let Some(len) = len else { return };
        let mut headers = Index::default();
        let Ok(message) = parse(&text[..len], &mut headers) else { return };
        let transaction = Transaction {
            purpose: Purpose::Cancel,
            server_key: 0,
            upstream: Peer::Own,
            machine: Machine::NonInvite(NonInviteClient::new()),
            downstream,
            connection,
            cseq: message.cseq().map_or(0, |cseq| cseq.number),
            echo: self.echo(&message, 1),
            request: Handle::EMPTY,
            again: None,
        };
        // Without room for a transaction it is not sent, and the INVITE is given up in time all the same.
        let Some(cancel) = self.open_transaction(ctx, transaction) else { return };
        ctx.counters.invites_cancelled += 1;
        if let Some(invite) = self.invite_mut(key) {
            invite.cancel = Some(cancel);
        }
        let request =
            self.send_kept(ctx, downstream, Keep::WhereLossy, |out| out.copy(&text[..len]));
        self.start_client(ctx, cancel, request.unwrap_or_default());
    }

    /// Nobody has answered the INVITE since its CANCEL: it is given up (RFC 3261 clause 9.1).
    pub(super) fn cancel_is_due(&mut self, ctx: &mut Context<'_>, key: Key) {
        let Some(invite) = self.invite_mut(key).filter(|invite| invite.awaits_final()) else {
            return;
        };
        let status = invite.cancelled.unwrap_or(408);
        ctx.counters.transactions_timed_out += 1;
        self.answer_upstream(ctx, key, status);
        self.end_client(ctx, key, true);
    }
}
