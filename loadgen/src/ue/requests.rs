//! Requests of UEs: written once, sent through the security associations that they belong to, and sent again until answered.

use imstorm_base::slab::Key;
use imstorm_base::time::Time;
use imstorm_sip::transaction::NonInviteClient;
use imstorm_sip::transaction::non_invite_client::{Actions, Event};

use super::names::Call;
use super::write::{Credentials, Writing, about_connection};
use super::{Asking, Basis, CLIENT_PORTS, Request, UeTimer, UeTimerKind};
use crate::generator::{Generator, Step, Way};
use crate::measure::{Cause, Procedure};

impl Generator {
    /// Sends a request about the connection itself, SUBSCRIBE or REGISTER, and starts its client transaction.
    pub(crate) fn ask(
        &mut self,
        step: &mut Step<'_>,
        ue: u32,
        asking: Asking,
        credentials: Credentials,
    ) {
        self.end_request(ue);
        if !matches!(asking, Asking::Answer | Asking::Reanswer) {
            self.next_offer(ue);
        }
        let state = &mut self.ues[ue as usize];
        state.cseq += 1;
        if matches!(credentials, Credentials::Answer | Credentials::OutOfRange(_)) {
            state.authentication.nc += 1;
        }
        state.asked_at = (state.basis == Basis::Subscription).then_some(step.now);
        let number = (Call::Security(state.attempt), state.cseq);
        let replaced = self.replaced_by(ue);
        let writing = Writing {
            population: &self.population,
            settings: &self.settings,
            strings: &self.strings,
            ue,
            state: &self.ues[ue as usize],
            services: None,
            replaced: replaced.map(|from| &self.ues[from as usize].dialog),
        };
        let written = about_connection(&writing, asking, credentials, &mut self.text[..]);
        self.start_request(step, ue, asking, number, written);
    }

    /// The access whose security subscription the one under way is to end.
    fn replaced_by(&self, ue: u32) -> Option<u32> {
        let ends_another = self.ues[ue as usize].current() == Some(Procedure::HandoverRelease);
        self.handover_of(ue).filter(|_| ends_another).map(|handover| handover.from)
    }

    /// Numbers the next offer: one whose SPIs and client port are none of the sets' that the UE has (TS 33.203 clause 7.4).
    fn next_offer(&mut self, ue: u32) {
        let state = &mut self.ues[ue as usize];
        let ports = CLIENT_PORTS as u32;
        loop {
            state.offer = state.offer.wrapping_add(1);
            let sets = [state.set, state.other_set].into_iter().flatten();
            let mut taken = sets.filter_map(|key| self.sets.get(key)).map(|set| set.offer % ports);
            if !taken.any(|place| place == state.offer % ports) {
                return;
            }
        }
    }

    /// Starts the client transaction of a request that was written into `text`.
    pub(super) fn start_request(
        &mut self,
        step: &mut Step<'_>,
        ue: u32,
        asking: Asking,
        (call, cseq): (Call, u32),
        written: Option<usize>,
    ) {
        let kept = written.and_then(|len| self.strings.store(&self.text[..len]).ok());
        let Some(kept) = kept else {
            let is_bare = self.ues[ue as usize].set.is_none() && asking != Asking::First;
            let cause = if is_bare { Cause::NoAssociation } else { Cause::Transport };
            return self.fail(step, ue, cause);
        };
        let mut client = NonInviteClient::new();
        let actions = client.start(&self.settings.timings, false);
        let state = &mut self.ues[ue as usize];
        state.request_number = state.request_number.wrapping_add(1);
        let (method, sent_at, named) = (asking.method(state.basis), step.now, ue);
        let request = Request { asking, method, client, kept, sent_at, call, named, cseq };
        self.measurements.transaction_attempted(request.transaction());
        state.request = Some(request);
        if self.way_of(ue, asking).is_none() {
            self.break_request(ue);
            return self.fail(step, ue, Cause::NoAssociation);
        }
        self.send_request(step, ue);
        self.arm_request(step, ue, &actions);
    }

    /// Where a request goes: the answer to a refresh's challenge on the new set, all else on the one in force.
    fn way_of(&self, ue: u32, asking: Asking) -> Option<Way> {
        if self.settings.is_open {
            return Some(Way::Plain);
        }
        let state = &self.ues[ue as usize];
        match asking {
            Asking::First => Some(Way::Plain),
            Asking::Reanswer => state.other_set.map(Way::Sealed),
            _ => state.set.map(Way::Sealed),
        }
    }

    fn send_request(&mut self, step: &mut Step<'_>, ue: u32) {
        let Some(request) = &self.ues[ue as usize].request else { return };
        let Some(way) = self.way_of(ue, request.asking) else { return };
        let len = request.kept.kept_bytes();
        let mut text = std::mem::take(&mut self.text);
        text[..len].copy_from_slice(self.strings.get(&request.kept));
        self.send(step, ue, way, |out| {
            out.get_mut(..len)?.copy_from_slice(&text[..len]);
            Some(len)
        });
        self.text = text;
    }

    fn arm_request(&mut self, step: &Step<'_>, ue: u32, actions: &Actions) {
        let number = self.ues[ue as usize].request_number;
        if let Some(after_ns) = actions.arm_e {
            self.timers.arm(step.now, after_ns, UeTimer { ue, kind: UeTimerKind::TimerE, number });
        }
        if let Some(after_ns) = actions.arm_f {
            self.timers.arm(step.now, after_ns, UeTimer { ue, kind: UeTimerKind::TimerF, number });
        }
    }

    /// A 2xx has come; its NOTIFY has to follow (RFC 6665 clause 4.1.2.4).
    pub(super) fn arm_timer_n(&mut self, step: &Step<'_>, ue: u32) {
        let number = self.ues[ue as usize].request_number;
        let after_ns = self.settings.timer_n_ns();
        self.timers.arm(step.now, after_ns, UeTimer { ue, kind: UeTimerKind::TimerN, number });
    }

    pub(super) fn timer_e(&mut self, step: &mut Step<'_>, ue: u32) {
        let Some(request) = &mut self.ues[ue as usize].request else { return };
        let actions = request.client.handle(Event::TimerE, &self.settings.timings);
        if actions.retransmit {
            self.retransmissions += 1;
            self.send_request(step, ue);
        }
        self.arm_request(step, ue, &actions);
    }

    /// A response to the request under way: which one it answers and when that was sent, if it is final.
    pub(super) fn take_response(
        &mut self,
        step: &Step<'_>,
        ue: u32,
        status: u16,
    ) -> Option<(Asking, Time)> {
        let request = self.ues[ue as usize].request.as_mut()?;
        let (asking, sent_at) = (request.asking, request.sent_at);
        let transaction = request.transaction();
        // A provisional response slows the retransmissions down; Timer F goes on.
        request.client.handle(Event::Response { is_final: status >= 200 }, &self.settings.timings);
        if status < 200 {
            return None;
        }
        self.measurements.transaction_completed(transaction, step.now - sent_at);
        self.end_request(ue);
        Some((asking, sent_at))
    }

    /// The client transaction is over; a final response that comes again is ignored.
    pub(crate) fn end_request(&mut self, ue: u32) {
        if let Some(request) = self.ues[ue as usize].request.take() {
            self.strings.release(request.kept);
        }
    }

    /// The request under way will not be answered any more.
    pub(super) fn break_request(&mut self, ue: u32) {
        if let Some(transaction) = self.ues[ue as usize].request.as_ref().map(Request::transaction)
        {
            self.measurements.transaction_failed(transaction);
            self.end_request(ue);
        }
    }

    /// The UE's security associations in force go.
    pub(crate) fn drop_set(&mut self, ue: u32) {
        if let Some(set) = self.ues[ue as usize].set.take() {
            self.sets.remove(set);
        }
    }

    /// The UE's other security associations go.
    pub(crate) fn drop_other_set(&mut self, ue: u32) {
        if let Some(set) = self.ues[ue as usize].other_set.take() {
            self.sets.remove(set);
        }
    }

    /// The set of a UE that an SPI of its own is of.
    pub(crate) fn set_of_spi(&self, ue: u32, spi: u32) -> Option<Key> {
        let state = &self.ues[ue as usize];
        [state.set, state.other_set]
            .into_iter()
            .flatten()
            .find(|key| self.sets.get(*key).is_some_and(|set| set.sa.port_of_spi(spi).is_some()))
    }
}
