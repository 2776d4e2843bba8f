//! Requests of UEs: written once, sent through the security associations that they belong to, and sent again until answered.

use imstorm_base::TextRoom;
use imstorm_base::time::Time;
use imstorm_sip::transaction::NonInviteClient;
use imstorm_sip::transaction::non_invite_client::{Actions, Event};

use super::names::{Call, Names};
use super::remote::Remote;
use super::server::SERVER_BYTES_MAX;
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
        let asked_at = (state.basis == Basis::Subscription).then_some(step.now);
        let number = (Call::Security(state.attempt), state.cseq);
        // The answer to a refresh's challenge goes on the new set, and verifies that set's Security-Server.
        let set = if asking == Asking::Reanswer { state.other_set } else { state.set };
        self.set_asked_at(ue, asked_at);
        let mut verify = [0; SERVER_BYTES_MAX];
        let verify = self.write_server(set, &mut verify);
        // Only requests in a dialog are written from what is kept of it.
        let mut room = TextRoom::default();
        let mut other_room = TextRoom::default();
        let is_first = matches!(asking, Asking::First | Asking::Answer);
        let remote = match is_first {
            true => Remote::default(),
            false => Remote::read(&self.strings, &self.ues[ue as usize].remote, &mut room),
        };
        let other = self.replaced_by(ue);
        let other_names = other.map(|from| {
            let call = Call::Security(self.ues[from as usize].attempt);
            Names::new(&self.population, &self.settings, from, call)
        });
        let replaced = other.zip(other_names.as_ref()).map(|(from, names)| {
            let kept = &self.ues[from as usize].remote;
            Remote::read(&self.strings, kept, &mut other_room).dialog(names)
        });
        let writing = Writing {
            population: &self.population,
            settings: &self.settings,
            strings: &self.strings,
            ue,
            state: &self.ues[ue as usize],
            watch: None,
            verify,
            remote,
            replaced: replaced.as_ref(),
        };
        let written = about_connection(&writing, asking, credentials, &mut self.text[..]);
        self.start_request(step, ue, asking, number, written);
    }

    /// The access whose security subscription the one under way is to end.
    fn replaced_by(&self, ue: u32) -> Option<u32> {
        let ends_another = self.ues[ue as usize].procedure == Some(Procedure::HandoverRelease);
        self.handover_of(ue).filter(|_| ends_another).map(|handover| handover.from)
    }

    /// Numbers the next offer: one whose SPIs and client port are none of the sets' that the UE has (TS 33.203 clause 7.4).
    fn next_offer(&mut self, ue: u32) {
        let state = &mut self.ues[ue as usize];
        let ports = CLIENT_PORTS as u8;
        loop {
            state.offer = state.offer.wrapping_add(1);
            let sets = [state.set, state.other_set].into_iter();
            let keys = sets.filter_map(|set| set.key(&self.sets));
            let mut taken = keys.filter_map(|key| self.sets.get(key)).map(|set| set.offer % ports);
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
        let transaction = request.transaction();
        let Ok(place) = self.requests.insert(request) else {
            return self.fail(step, ue, Cause::Transport);
        };
        state.request = place.into();
        self.measurements.transaction_attempted(transaction);
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
        match asking {
            Asking::First => Some(Way::Plain),
            Asking::Reanswer => self.other_set_of(ue).map(Way::Sealed),
            _ => self.set_of(ue).map(Way::Sealed),
        }
    }

    fn send_request(&mut self, step: &mut Step<'_>, ue: u32) {
        let mut text = std::mem::take(&mut self.text);
        self.send_kept(step, ue, &mut text);
        self.text = text;
    }

    fn send_kept(&mut self, step: &mut Step<'_>, ue: u32, text: &mut [u8]) {
        let Some(request) = self.request_of(ue) else { return };
        let Some(way) = self.way_of(ue, request.asking) else { return };
        let len = request.kept.kept_bytes();
        text[..len].copy_from_slice(self.strings.get(&request.kept));
        self.send(step, ue, way, |out| {
            out.get_mut(..len)?.copy_from_slice(&text[..len]);
            Some(len)
        });
    }

    /// Arms the next timer of a request: E, or F where that comes first. One at a time, so that the timers of requests that were
    /// answered are soon gone.
    fn arm_request(&mut self, step: &Step<'_>, ue: u32, actions: &Actions) {
        let Some(request) = self.request_of(ue) else { return };
        let waited_ns = step.now - request.sent_at;
        let left_ns = self.settings.timings.timer_f_ns().saturating_sub(waited_ns);
        let (kind, after_ns) = match actions.arm_e {
            Some(after_ns) if after_ns < left_ns => (UeTimerKind::TimerE, after_ns),
            _ => (UeTimerKind::TimerF, left_ns),
        };
        let number = self.ues[ue as usize].request_number;
        self.timers.arm(step.now, after_ns, UeTimer { ue, kind, number });
    }

    /// A 2xx has come; its NOTIFY has to follow (RFC 6665 clause 4.1.2.4).
    pub(super) fn arm_timer_n(&mut self, step: &Step<'_>, ue: u32) {
        let until = step.now + self.settings.timer_n_ns();
        if let Some(progress) = self.progress_mut(ue) {
            progress.notify_until = until;
        }
        self.wait_for_notify(step, ue);
    }

    /// The NOTIFY is waited for in parts, so that the timers of those that have come are soon gone. True where it was for long enough.
    pub(super) fn wait_for_notify(&mut self, step: &Step<'_>, ue: u32) -> bool {
        let until = self.progress_of(ue).map_or(0, |it| it.notify_until);
        if until > step.now {
            let number = self.ues[ue as usize].request_number;
            let after_ns = (until - step.now).min(self.settings.timings.t1_ns);
            let kind = UeTimerKind::TimerN;
            self.timers.arm(step.now, after_ns, UeTimer { ue, kind, number });
        }
        (1..=step.now).contains(&until)
    }

    pub(super) fn timer_e(&mut self, step: &mut Step<'_>, ue: u32) {
        let Some(key) = self.ues[ue as usize].request.key(&self.requests) else { return };
        let Some(request) = self.requests.get_mut(key) else { return };
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
        let key = self.ues[ue as usize].request.key(&self.requests)?;
        let request = self.requests.get_mut(key)?;
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

    pub(super) fn request_of(&self, ue: u32) -> Option<&Request> {
        self.requests.get(self.ues[ue as usize].request.key(&self.requests)?)
    }

    pub(super) fn request_mut(&mut self, ue: u32) -> Option<&mut Request> {
        let key = self.ues[ue as usize].request.key(&self.requests)?;
        self.requests.get_mut(key)
    }

    /// The client transaction is over; a final response that comes again is ignored.
    pub(crate) fn end_request(&mut self, ue: u32) {
        let key = self.ues[ue as usize].request.take().key(&self.requests);
        if let Some(request) = key.and_then(|key| self.requests.remove(key)) {
            self.strings.release(request.kept);
        }
    }

    /// The request under way will not be answered any more.
    pub(super) fn break_request(&mut self, ue: u32) {
        if let Some(transaction) = self.request_of(ue).map(Request::transaction) {
            self.measurements.transaction_failed(transaction);
            self.end_request(ue);
        }
    }
}
