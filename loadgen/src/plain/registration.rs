//! Plain UEs' registrations (RFC 3261 clause 10): REGISTER, its refreshes, and its end.

use imstorm_base::time::{NS_PER_S, Time, seconds};
use imstorm_sip::header::HeaderName;
use imstorm_sip::{Message, NameAddr};

use super::template::Fields;
use super::texts::Name;
use super::{Around, Plain, Timer, TimerKind, cause_of};
use crate::measure::{Cause, Procedure, Start, Transaction};

/// How far a registration is.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Stage {
    /// It has not begun.
    #[default]
    Idle,
    /// The first REGISTER is under way.
    Registering,
    /// The UE is registered.
    Registered,
    /// A REGISTER that prolongs it is under way.
    Refreshing,
    /// REGISTER with Expires 0 is under way.
    Releasing,
    /// It has ended, or failed.
    Gone,
}

impl Stage {
    /// The procedure that is under way.
    fn procedure(self) -> Option<Procedure> {
        match self {
            Self::Idle | Self::Registered | Self::Gone => None,
            Self::Registering => Some(Procedure::Registration),
            Self::Refreshing => Some(Procedure::Refresh),
            Self::Releasing => Some(Procedure::Release),
        }
    }
}

/// A UE's registration.
#[derive(Copy, Clone, Debug, Default)]
pub(super) struct Registration {
    /// When the procedure under way was to start.
    intended: Time,
    /// When the REGISTER under way was sent first.
    sent_at: Time,
    /// CSeq of the last REGISTER.
    cseq: u32,
    /// Refreshes that the profile has left.
    left: u16,
    pub stage: Stage,
    /// How often the REGISTER was sent again.
    step: u8,
    /// A provisional response has come.
    has_progress: bool,
    /// It has nothing more to do.
    at_rest: bool,
}

const _: () = assert!(size_of::<Registration>() <= 32);

impl Registration {
    /// The start of the procedure under way, whose REGISTER is the first thing that it sends.
    fn start(&self) -> Start {
        Start { intended: self.intended, began: self.sent_at }
    }

    /// Whether the UE is registered, and nothing about that is under way.
    pub(super) fn is_registered(&self) -> bool {
        self.stage == Stage::Registered
    }

    /// The procedure under way.
    pub(super) fn under_way(&self) -> Option<(Procedure, Start)> {
        Some((self.stage.procedure()?, self.start()))
    }
}

/// Half of a registration's time.
pub(super) fn half_ns(expires_s: u32) -> u64 {
    seconds(u64::from(expires_s)) / 2
}

impl Plain {
    /// The first REGISTER of a UE.
    pub(super) fn register(&mut self, around: &mut Around<'_>, ue: u32, intended: Time) {
        self.registrations[ue as usize].left =
            u16::try_from(self.refresh.count).unwrap_or(u16::MAX);
        self.start_register(around, ue, Stage::Registering, intended);
    }

    fn start_register(&mut self, around: &mut Around<'_>, ue: u32, stage: Stage, intended: Time) {
        let it = &mut self.registrations[ue as usize];
        it.stage = stage;
        it.intended = intended;
        it.sent_at = around.now;
        it.cseq += 1;
        it.step = 0;
        it.has_progress = false;
        self.counts.at_rest -= u64::from(std::mem::take(&mut it.at_rest));
        let number = it.cseq;
        if let Some(procedure) = stage.procedure() {
            around.measurements.attempted(procedure, Start { intended, began: around.now });
        }
        around.measurements.transaction_attempted(Transaction::Register);
        self.counts.under_way += 1;
        self.send_register(around, ue);
        let timer = Timer { ue, number, kind: TimerKind::Register };
        self.timers.arm(around.now, self.timings.timer_e_ns(0), timer);
    }

    fn send_register(&self, around: &mut Around<'_>, ue: u32) {
        let it = &self.registrations[ue as usize];
        let ends = it.stage == Stage::Releasing;
        let template = if ends { &self.texts.deregister } else { &self.texts.register };
        self.send_template(around, template, ue, it.cseq);
    }

    /// Timer E, and timer F behind the last of them (RFC 3261 clause 17.1.2.2).
    pub(super) fn register_again(&mut self, around: &mut Around<'_>, ue: u32, number: u32) {
        let Some(it) = self.registrations.get_mut(ue as usize) else { return };
        if it.cseq != number || it.stage.procedure().is_none() {
            return;
        }
        let ends_at = it.sent_at + self.timings.timer_f_ns();
        if around.now >= ends_at {
            around.measurements.transaction_failed(Transaction::Register);
            return self.registration_failed(around, ue, Cause::Timeout);
        }
        it.step = it.step.saturating_add(1);
        let interval_ns =
            if it.has_progress { self.timings.t2_ns } else { self.timings.timer_e_ns(it.step) };
        let after_ns = interval_ns.min(ends_at - around.now);
        self.counts.retransmissions += 1;
        self.send_register(around, ue);
        self.timers.arm(around.now, after_ns, Timer { ue, number, kind: TimerKind::Register });
    }

    pub(super) fn register_response(
        &mut self,
        around: &mut Around<'_>,
        name: Name,
        message: &Message<'_>,
    ) {
        let ue = name.ue;
        let under_way = self
            .registrations
            .get_mut(ue as usize)
            .filter(|it| it.cseq == name.count && it.stage.procedure().is_some());
        let Some(it) = under_way else {
            // A final response that came again.
            self.counts.ignored += 1;
            return;
        };
        let status = message.status();
        if status < 200 {
            it.has_progress = true;
            return;
        }
        let (stage, sent_at) = (it.stage, it.sent_at);
        around.measurements.transaction_completed(Transaction::Register, around.now - sent_at);
        if status >= 300 {
            return self.registration_failed(around, ue, cause_of(status));
        }
        if stage == Stage::Releasing {
            self.end_procedure(around, ue, Stage::Gone);
            self.counts.registered -= 1;
            return self.registration_over(around, ue);
        }
        match self.granted_s(ue, message) {
            Some(granted_s) => self.registered(around, ue, stage, granted_s),
            None => self.registration_failed(around, ue, Cause::NotBound),
        }
    }

    /// For how many seconds a 200 has bound the UE's contact, which it has to list (RFC 3261 clause 10.3).
    fn granted_s(&self, ue: u32, message: &Message<'_>) -> Option<u32> {
        let mut own = [0; 96];
        let fields = Fields { impu: b"", ue, count: 0 };
        let len = self.texts.contact.write(&fields, &mut own)?;
        let own = &own[..len];
        let listed = message.list(HeaderName::Contact).find(|it| it.starts_with(own));
        let expires = match listed {
            Some(listed) if listed.len() == own.len() => None,
            Some(listed) => NameAddr::parse(listed).ok()?.params.value("expires"),
            None => {
                // Whoever writes it otherwise still has to name the same.
                let own = own.strip_prefix(b"<")?.strip_suffix(b">")?;
                let mut listed = message.contacts().flatten();
                listed.find(|it| it.uri_text == own)?.params.value("expires")
            }
        };
        let granted_s = match expires {
            Some(text) => std::str::from_utf8(text).ok()?.parse().ok()?,
            None => message.expires().ok().flatten().unwrap_or(self.refresh.expires_s),
        };
        (granted_s > 0).then_some(granted_s)
    }

    /// The procedure under way has come to its good end.
    fn end_procedure(&mut self, around: &mut Around<'_>, ue: u32, stage: Stage) {
        let it = &mut self.registrations[ue as usize];
        let start = it.start();
        if let Some(procedure) = it.stage.procedure() {
            self.counts.under_way -= 1;
            around.note_completed(ue, procedure, start);
        }
        it.stage = stage;
    }

    fn registered(&mut self, around: &mut Around<'_>, ue: u32, before: Stage, granted_s: u32) {
        self.end_procedure(around, ue, Stage::Registered);
        let is_first = before == Stage::Registering;
        if is_first {
            self.counts.registered += 1;
            self.counts.registered_ever += 1;
            self.counts.registered_max = self.counts.registered_max.max(self.counts.registered);
            if let Some((after_s, jitter)) = self.release {
                let after_ns = self.vary(after_s, jitter);
                let timer = Timer { ue, number: 0, kind: TimerKind::Release };
                self.timers.arm(around.now, after_ns, timer);
            }
            self.begin_calls(around, ue);
        }
        let it = &mut self.registrations[ue as usize];
        let is_over = it.left == 0 && self.release.is_none();
        if is_over && !it.at_rest {
            it.at_rest = true;
            self.counts.at_rest += 1;
        }
        self.refresh_later(around, ue, granted_s);
    }

    /// The registration is refreshed before half of its time is over, as TS 24.229 clause 5.1.1.4.1 has it for short ones.
    fn refresh_later(&mut self, around: &Around<'_>, ue: u32, granted_s: u32) {
        let it = &self.registrations[ue as usize];
        let (number, left) = (it.cseq, it.left);
        let mut after_ns = half_ns(granted_s);
        if left > 0 {
            after_ns = after_ns.min(self.refresh_after_ns());
        }
        let timer = Timer { ue, number, kind: TimerKind::Refresh };
        self.timers.arm(around.now, after_ns, timer);
    }

    fn refresh_after_ns(&mut self) -> u64 {
        self.vary(self.refresh.after_s, self.refresh.jitter)
    }

    pub(super) fn refresh_is_due(
        &mut self,
        around: &mut Around<'_>,
        ue: u32,
        number: u32,
        at: Time,
    ) {
        let it = &mut self.registrations[ue as usize];
        if it.cseq != number || it.stage != Stage::Registered || around.stopped {
            return;
        }
        it.left = it.left.saturating_sub(1);
        self.start_register(around, ue, Stage::Refreshing, at);
    }

    pub(super) fn release_is_due(&mut self, around: &mut Around<'_>, ue: u32, at: Time) {
        if around.stopped {
            return;
        }
        match self.registrations[ue as usize].stage {
            Stage::Registered => {
                self.start_register(around, ue, Stage::Releasing, at);
            }
            Stage::Refreshing => {
                let timer = Timer { ue, number: 0, kind: TimerKind::Release };
                self.timers.arm(around.now, NS_PER_S, timer);
            }
            Stage::Idle | Stage::Registering | Stage::Releasing | Stage::Gone => {}
        }
    }

    /// The registration is refreshed.
    pub(super) fn begin_refresh(&mut self, around: &mut Around<'_>, ue: u32, intended: Time) {
        self.start_register(around, ue, Stage::Refreshing, intended);
    }

    /// The registration is ended.
    pub(super) fn release(&mut self, around: &mut Around<'_>, ue: u32, intended: Time) {
        self.start_register(around, ue, Stage::Releasing, intended);
    }

    /// The UE gives up.
    fn registration_failed(&mut self, around: &mut Around<'_>, ue: u32, cause: Cause) {
        let it = &mut self.registrations[ue as usize];
        let start = it.start();
        let Some(procedure) = it.stage.procedure() else { return };
        self.counts.under_way -= 1;
        if it.stage == Stage::Refreshing && self.traffic_is_offered {
            // The registration lasts as long as it was granted, and a load counts on it.
            it.stage = Stage::Registered;
            around.note_failed(ue, procedure, start, cause);
            return self.refresh_later(around, ue, self.refresh.expires_s);
        }
        self.counts.registered -= u64::from(it.stage != Stage::Registering);
        it.stage = Stage::Gone;
        around.note_failed(ue, procedure, start, cause);
        self.registration_over(around, ue);
    }

    fn registration_over(&mut self, around: &mut Around<'_>, ue: u32) {
        self.counts.gone += 1;
        self.registrations[ue as usize].at_rest = true;
        self.counts.at_rest += 1;
        self.end_calls(ue);
        around.recorder.finished(u64::from(ue));
    }
}
