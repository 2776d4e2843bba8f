//! Timers of legs. Each names the leg's place and generation, and the transaction that it is of: a timer of a past one fires in vain.

use imstorm_base::slab::Key;
use imstorm_base::time::Time;
use imstorm_sip::transaction::{invite_client, invite_server, non_invite_client};

use super::super::{UeTimer, UeTimerKind};
use super::LegStage;
use crate::generator::{Generator, Step};

/// What a leg's timer is about.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum LegTimer {
    /// Send the INVITE again (RFC 3261 clause 17.1.1.2).
    TimerA,
    /// The INVITE was not answered at all.
    TimerB,
    /// No more failures come.
    TimerD,
    /// No more 2xx come.
    TimerM,
    /// Nobody has answered for so long that no proxy waits any more.
    NoAnswer,
    /// Send the failure again (RFC 3261 clause 17.2.1).
    TimerG,
    /// The failure was not acknowledged.
    TimerH,
    /// No more ACKs come.
    TimerI,
    /// No more of the INVITEs that were accepted come.
    TimerL,
    /// Send the reliable provisional answer again (RFC 3262 clause 3).
    Provisional,
    /// Send the 2xx again (RFC 3261 clause 13.3.1.4).
    Success,
    /// Send the other request again (RFC 3261 clause 17.1.2.2).
    TimerE,
    /// The other request has failed.
    TimerF,
    /// The callee answers.
    Answer,
    /// The caller gives up before the answer.
    GiveUp,
    /// This side hangs up.
    HangUp,
    /// Half of the session interval is over, or a refresh is to be tried again.
    Refresh,
    /// The session was not refreshed (RFC 4028 clause 10).
    Expired,
    /// The move of the session is tried again.
    Move,
    /// Nothing can come any more.
    Forget,
}

impl Generator {
    /// Arms a leg's timer of the transaction with this number, 0 for the leg's own.
    pub(super) fn arm_leg(
        &mut self,
        step: &Step<'_>,
        key: Key,
        after_ns: u64,
        kind: LegTimer,
        number: u16,
    ) {
        let number = u32::from(key.generation() as u16) << 16 | u32::from(number);
        let timer = UeTimer { ue: key.index, kind: UeTimerKind::Leg(kind), number };
        self.timers.arm(step.now, after_ns, timer);
    }

    /// A timer of the leg at this place fired.
    pub(in crate::ue) fn leg_timer(
        &mut self,
        step: &mut Step<'_>,
        at: Time,
        place: u32,
        number: u32,
        kind: LegTimer,
    ) {
        let Some(key) = self.legs.key_at(place) else { return };
        let (generation, number) = ((number >> 16) as u16, number as u16);
        let Some(leg) = self.legs.get(key).filter(|_| key.generation() as u16 == generation) else {
            return;
        };
        let is_present = match kind {
            LegTimer::TimerA
            | LegTimer::TimerB
            | LegTimer::TimerD
            | LegTimer::TimerM
            | LegTimer::NoAnswer => leg.invite.as_ref().is_some_and(|it| it.number == number),
            LegTimer::TimerG
            | LegTimer::TimerH
            | LegTimer::TimerI
            | LegTimer::TimerL
            | LegTimer::Provisional
            | LegTimer::Success => leg.incoming.as_ref().is_some_and(|it| it.number == number),
            LegTimer::TimerE | LegTimer::TimerF => {
                leg.request.as_ref().is_some_and(|it| it.number == number)
            }
            LegTimer::Refresh | LegTimer::Expired => {
                leg.refresh == number && leg.stage == LegStage::Up
            }
            LegTimer::Answer
            | LegTimer::GiveUp
            | LegTimer::HangUp
            | LegTimer::Move
            | LegTimer::Forget => true,
        };
        if is_present {
            self.leg_timer_fired(step, at, key, kind);
        }
    }

    fn leg_timer_fired(&mut self, step: &mut Step<'_>, at: Time, key: Key, kind: LegTimer) {
        use invite_client::Event as Client;
        use invite_server::Event as Server;
        match kind {
            LegTimer::TimerA => self.invite_timer(step, key, Client::TimerA),
            LegTimer::TimerB => self.invite_timer(step, key, Client::TimerB),
            LegTimer::TimerD => self.invite_timer(step, key, Client::TimerD),
            LegTimer::TimerM => self.invite_timer(step, key, Client::TimerM),
            LegTimer::NoAnswer => self.nobody_answered(step, key),
            LegTimer::TimerG => self.incoming_timer(step, key, Server::TimerG),
            LegTimer::TimerH => self.incoming_timer(step, key, Server::TimerH),
            LegTimer::TimerI => self.incoming_timer(step, key, Server::TimerI),
            LegTimer::TimerL => self.incoming_timer(step, key, Server::TimerL),
            LegTimer::Provisional => self.repeat_provisional(step, key),
            LegTimer::Success => self.repeat_success(step, key),
            LegTimer::TimerE => self.leg_request_again(step, key),
            LegTimer::TimerF => self.leg_request_failed(step, key),
            LegTimer::Answer => self.rung(step, key),
            LegTimer::GiveUp => self.give_up(step, key),
            LegTimer::HangUp => self.hang_up(step, key),
            LegTimer::Refresh => self.refresh_session(step, key, at),
            LegTimer::Expired => self.session_expired(step, key),
            LegTimer::Move => self.move_again(step, key),
            LegTimer::Forget => self.forget_leg(key),
        }
    }

    /// The other request under way was not answered yet.
    fn leg_request_again(&mut self, step: &mut Step<'_>, key: Key) {
        let request = self.legs.get_mut(key).and_then(|leg| leg.request.as_mut());
        let Some(request) = request else { return };
        let actions =
            request.client.handle(non_invite_client::Event::TimerE, &self.settings.timings);
        let (ue, number) = (request.ue, request.number);
        if actions.retransmit {
            let text = self.strings.get(&request.kept).to_vec();
            self.retransmissions += 1;
            self.send_in_call(step, ue, &text);
        }
        if let Some(after_ns) = actions.arm_e {
            self.arm_leg(step, key, after_ns, LegTimer::TimerE, number);
        }
    }
}
