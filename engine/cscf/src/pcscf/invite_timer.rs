//! The timers of INVITEs at the P-CSCF (RFC 3261 table 4, RFC 6026 clause 8.11): armed, and fired.

use imstorm_base::slab::Key;
use imstorm_sip::transaction::{Timings, invite_client, invite_server};

use super::transaction::{InviteTimer, Purpose};
use super::{LOOK_AGAIN_NS, Pcscf, PcscfAlarm};
use crate::event::Context;

impl Pcscf {
    /// One of an INVITE's timers.
    pub(super) fn invite_timer(&mut self, ctx: &mut Context<'_>, key: Key, timer: InviteTimer) {
        let Some(transaction) = self.transactions.get(key) else { return };
        match timer {
            InviteTimer::A | InviteTimer::B | InviteTimer::ClientDone => {
                let timings = self.timings_of(transaction.downstream);
                self.client_timer(ctx, key, timer, &timings);
            }
            InviteTimer::G | InviteTimer::H | InviteTimer::I | InviteTimer::L => {
                let timings = self.timings_of(transaction.upstream);
                self.server_timer(ctx, key, timer, &timings);
            }
            InviteTimer::Look => self.look_at_invite(ctx, key),
            InviteTimer::Cancelled => self.cancel_is_due(ctx, key),
        }
    }

    fn client_timer(
        &mut self,
        ctx: &mut Context<'_>,
        key: Key,
        timer: InviteTimer,
        timings: &Timings,
    ) {
        let Some(invite) = self.invite_mut(key) else { return };
        let instead = invite.cancelled.unwrap_or(408);
        let Some(client) = invite.client.as_mut() else { return };
        let event = match (timer, client.state()) {
            (InviteTimer::A, _) => invite_client::Event::TimerA,
            (InviteTimer::B, _) => invite_client::Event::TimerB,
            (_, invite_client::State::Accepted) => invite_client::Event::TimerM,
            _ => invite_client::Event::TimerD,
        };
        let actions = client.handle(event, timings);
        if actions.retransmit {
            self.send_again(ctx, key);
        }
        if actions.timed_out {
            ctx.counters.transactions_timed_out += 1;
            self.answer_upstream(ctx, key, instead);
        }
        self.arm_invite_client(ctx, key, &actions);
        self.end_client(ctx, key, actions.terminated);
    }

    fn server_timer(
        &mut self,
        ctx: &mut Context<'_>,
        key: Key,
        timer: InviteTimer,
        timings: &Timings,
    ) {
        let event = match timer {
            InviteTimer::G => invite_server::Event::TimerG,
            InviteTimer::H => invite_server::Event::TimerH,
            InviteTimer::I => invite_server::Event::TimerI,
            _ => invite_server::Event::TimerL,
        };
        let Some(invite) = self.invite_mut(key) else { return };
        let actions = invite.server.handle(event, timings);
        if actions.respond_again {
            self.respond_again(ctx, key);
        }
        ctx.counters.acks_missing += u64::from(actions.timed_out);
        self.arm_invite_server(ctx, key, &actions);
        self.end_if_over(ctx, key);
    }

    /// Whether Timer C has fired (RFC 3261 clause 16.8), or the connection of a ringing INVITE has gone.
    fn look_at_invite(&mut self, ctx: &mut Context<'_>, key: Key) {
        let Some(transaction) = self.transactions.get(key) else { return };
        let is_gone = self.connections.get(transaction.connection).is_none();
        let is_from_ue = transaction.purpose == Purpose::FromUe;
        let Some(invite) = transaction.invite().filter(|invite| invite.awaits_final()) else {
            return;
        };
        let c_at = invite.c_at;
        // RFC 5626 clause 5.3.1: what the route named is gone. Who has cancelled does not ask which way it went.
        let instead = invite.cancelled.unwrap_or(430);
        if is_gone && is_from_ue {
            self.cancel_invite(ctx, key, 487);
        } else if is_gone {
            self.answer_upstream(ctx, key, instead);
            self.end_client(ctx, key, true);
        } else if c_at <= ctx.now {
            ctx.counters.transactions_timed_out += 1;
            self.cancel_invite(ctx, key, 408);
        } else {
            let after_ns = LOOK_AGAIN_NS.min(c_at - ctx.now);
            self.arm(ctx, after_ns, PcscfAlarm::Invite(key, InviteTimer::Look));
        }
    }

    pub(super) fn arm_invite_client(
        &self,
        ctx: &mut Context<'_>,
        key: Key,
        actions: &invite_client::Actions,
    ) {
        // As the server transaction: the 2xx may come from another UE.
        let arm_m = actions.arm_m.map(|_| self.config.ue_leg.timer_m_ns());
        for (after_ns, timer) in [
            (actions.arm_a, InviteTimer::A),
            (actions.arm_b, InviteTimer::B),
            (actions.arm_d, InviteTimer::ClientDone),
            (arm_m, InviteTimer::ClientDone),
        ] {
            if let Some(after_ns) = after_ns {
                self.arm(ctx, after_ns, PcscfAlarm::Invite(key, timer));
            }
        }
    }

    pub(super) fn arm_invite_server(
        &self,
        ctx: &mut Context<'_>,
        key: Key,
        actions: &invite_server::Actions,
    ) {
        // A UE says its 2xx again for as long as its slow leg lets it.
        let arm_l = actions.arm_l.map(|_| self.config.ue_leg.timer_l_ns());
        for (after_ns, timer) in [
            (actions.arm_g, InviteTimer::G),
            (actions.arm_h, InviteTimer::H),
            (actions.arm_i, InviteTimer::I),
            (arm_l, InviteTimer::L),
        ] {
            if let Some(after_ns) = after_ns {
                self.arm(ctx, after_ns, PcscfAlarm::Invite(key, timer));
            }
        }
    }
}
