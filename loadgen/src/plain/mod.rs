//! Plain UEs: they register without security and call a fixed target, all of them from one address and port, so that any SIP server
//! in a lab can be put under load, and the generator be measured against others of its kind.
//!
//! They are apart from the UEs with connections of their own ([`crate::ue`]) because they need next to nothing of what those keep: a
//! record is 40 bytes, a message is put together from a template and written again where it has to be sent again, and whose a
//! response is stands in its branch. No credentials, no security agreement: a challenge is a failure.
//!
//! ```text
//!              REGISTER                200              due                        200
//!  Idle ─────────────────▶ Registering ─────▶ Registered ───▶ Refreshing, Releasing ─────▶ Registered, Gone
//!
//!              INVITE            1xx                2xx: ACK       BYE            2xx
//!  Idle ─────────────────▶ Calling ───▶ Proceeding ─────────▶ Up ────▶ Ending ────────▶ Idle
//! ```

pub(crate) mod bursts;
mod call;
mod registration;
pub(crate) mod starter;
mod template;
mod texts;
mod tick;

use std::net::SocketAddr;

use imstorm_base::io::{Inbox, Outbox};
use imstorm_base::random::Random;
use imstorm_base::strings::Strings;
use imstorm_base::time::Time;
use imstorm_base::timers::Timers;
use imstorm_sip::header::HeaderName;
use imstorm_sip::transaction::Timings;
use imstorm_sip::{Index, Message, Method, Writer, parse};

use crate::generator::UNPROTECTED;
use crate::measure::{Cause, Measurements, Procedure, Start};
use crate::population::{NAME_BYTES_MAX, Population};
use crate::profile::{Call as CallPlan, Profile, Refresh};
use crate::recorder::{Direction, Heard, Recorder};
use crate::ue::call::Sessions;
use call::Call;
use registration::Registration;
use template::{Fields, Template};
use texts::{ALLOW, Kind, Texts};

/// Room for the strings of calls that are up: what an ACK or BYE is written from.
const STRINGS_BYTES: usize = 256 << 20;

/// What a plain UE's timer is about.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum TimerKind {
    /// The REGISTER has no answer yet.
    Register,
    /// Time to refresh the registration.
    Refresh,
    /// Time to end it.
    Release,
    /// Time for a call.
    Call,
    /// The INVITE or BYE has no answer yet.
    CallRequest,
    /// Time to hang up.
    HangUp,
}

/// A timer. One whose number is not the present one fires in vain.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
struct Timer {
    ue: u32,
    /// Of the request, or of the call.
    number: u32,
    kind: TimerKind,
}

/// What is counted beside procedures.
#[derive(Copy, Clone, Debug, Default)]
pub(crate) struct Counts {
    /// Procedures under way.
    pub under_way: u64,
    pub registered: u64,
    pub registered_max: u64,
    pub registered_ever: u64,
    /// UEs whose registration is over, or where there is none their calls.
    pub gone: u64,
    /// Registrations, and rows of calls, with nothing more to do.
    pub at_rest: u64,
    pub retransmissions: u64,
    pub ignored: u64,
    pub sessions: Sessions,
}

/// What a tick of plain UEs works with.
pub(crate) struct Around<'a> {
    pub now: Time,
    pub outbox: &'a mut Outbox,
    pub population: &'a Population,
    pub measurements: &'a mut Measurements,
    pub recorder: &'a mut Recorder,
    /// Nothing new is begun.
    pub stopped: bool,
    /// Datagrams for which there was no room to send.
    pub outbox_full: u64,
}

/// All plain UEs of a run.
#[derive(Debug)]
pub(crate) struct Plain {
    texts: Texts,
    local: SocketAddr,
    timings: Timings,
    /// Whether the population offers a load.
    traffic_is_offered: bool,
    refresh: Refresh,
    /// Seconds after being registered, and jitter.
    release: Option<(f64, f64)>,
    call: CallPlan,
    /// By number of the UE; empty where UEs don't register.
    registrations: Vec<Registration>,
    /// By number of the UE; empty where UEs don't call.
    calls: Vec<Call>,
    strings: Strings,
    timers: Timers<Timer>,
    random: Random,
    /// As the arrivals'.
    grain_ns: u64,
    /// Where the requests of the dialog with this next hop go, as most have the same.
    next_hop: (Vec<u8>, Option<SocketAddr>),
    headers: Option<Box<Index>>,
    other_headers: Option<Box<Index>>,
    pub counts: Counts,
}

impl Plain {
    /// The UEs of a profile, idle, where it wants them plain.
    pub fn new(
        profile: &Profile,
        population: &Population,
        run: u32,
        random: Random,
    ) -> Option<Self> {
        profile.ue.shared_address.then_some(())?;
        let local = SocketAddr::new(population.shared_address(), profile.ue.port);
        let call = profile.procedures.call.clone().unwrap_or_default();
        let target = call.target.clone().unwrap_or_default();
        let refresh = profile.procedures.refresh.clone();
        let timings = profile.timings();
        let size = population.size() as usize;
        let of = |wanted: bool| if wanted { size } else { 0 };
        let mut calls = vec![];
        let is_offered = |procedure| {
            let traffic = profile.traffic.as_ref();
            traffic.is_some_and(|traffic| traffic.procedures().any(|it| it == procedure))
        };
        let has_calls = call.count > 0 || is_offered(Procedure::CallSetup);
        calls.resize_with(of(has_calls), Call::default);
        Some(Self {
            texts: Texts::new(run, local, &profile.population.domain, refresh.expires_s, &target),
            local,
            release: profile.procedures.release.as_ref().map(|it| (it.after_s, it.jitter)),
            registrations: vec![Registration::default(); of(profile.ue.register)],
            calls,
            strings: Strings::with_capacity(STRINGS_BYTES),
            timers: Timers::new(&durations(&timings, refresh.expires_s)),
            timings,
            traffic_is_offered: profile.traffic.is_some(),
            refresh,
            call,
            random,
            grain_ns: (profile.arrivals.grain_ms * 1e6) as u64,
            next_hop: (Vec::new(), None),
            headers: Some(Box::default()),
            other_headers: Some(Box::default()),
            counts: Counts::default(),
        })
    }

    /// Everything that came, and the timers that are due.
    pub fn tick(&mut self, around: &mut Around<'_>, inbox: &mut Inbox) {
        for place in 0..inbox.len() {
            let (received, datagram) = inbox.get_mut(place);
            if received.socket == UNPROTECTED {
                self.datagram(around, received.peer, datagram);
            }
        }
        while let Some((at, timer)) = self.timers.poll_due(around.now) {
            self.timer(around, at, timer);
        }
    }

    /// A UE starts, `intended` for this time.
    pub fn begin(&mut self, around: &mut Around<'_>, ue: u32, intended: Time) {
        self.plan_calls(ue);
        if self.registrations.is_empty() {
            self.call(around, ue, intended);
        } else {
            self.register(around, ue, intended);
        }
    }

    /// Whether a UE is free to begin a procedure.
    pub fn can_begin(&self, ue: u32, procedure: Procedure) -> bool {
        let ue = ue as usize;
        let is_registered = self.registrations.get(ue).is_none_or(Registration::is_registered);
        match procedure {
            Procedure::CallSetup => is_registered && self.calls.get(ue).is_some_and(Call::is_free),
            _ => is_registered && !self.registrations.is_empty(),
        }
    }

    /// Begins a procedure of a UE that is free.
    pub fn begin_procedure(
        &mut self,
        around: &mut Around<'_>,
        ue: u32,
        procedure: Procedure,
        intended: Time,
    ) {
        match procedure {
            Procedure::CallSetup => self.begin_call(around, ue, intended),
            Procedure::Release => self.release(around, ue, intended),
            _ => self.begin_refresh(around, ue, intended),
        }
    }

    /// When the next timer is due, counted in whole grains from the run's start: it comes along with the starts of that time.
    pub fn next_deadline(&self, started_at: Time) -> Option<Time> {
        let at = self.timers.next_deadline()?;
        if self.grain_ns == 0 {
            return Some(at);
        }
        Some(started_at + at.saturating_sub(started_at).next_multiple_of(self.grain_ns))
    }

    /// Whether nothing is under way, and of so many UEs nothing more to come.
    pub fn is_done(&self, started: u64, stopped: bool) -> bool {
        let rows = u64::from(!self.registrations.is_empty()) + u64::from(!self.calls.is_empty());
        self.counts.under_way == 0 && (stopped || self.counts.at_rest >= rows * started)
    }

    /// The procedures under way, with their starts.
    pub fn under_way(&self) -> impl Iterator<Item = (Procedure, Start)> {
        let registrations = self.registrations.iter().filter_map(Registration::under_way);
        registrations.chain(self.calls.iter().filter_map(Call::under_way))
    }

    fn datagram(&mut self, around: &mut Around<'_>, peer: SocketAddr, datagram: &[u8]) {
        let mut headers = self.headers.take().expect("one message at a time");
        match parse(datagram, &mut headers) {
            Ok(message) if message.is_request() => self.request(around, peer, &message),
            Ok(message) => self.response(around, peer, &message),
            Err(_) => self.counts.ignored += 1,
        }
        self.headers = Some(headers);
    }

    fn response(&mut self, around: &mut Around<'_>, peer: SocketAddr, message: &Message<'_>) {
        let branch = message.via().ok().and_then(|via| via.branch);
        let found = branch.and_then(|branch| self.texts.of_branch(branch));
        let (Some((name, kind)), Ok(cseq)) = (found, message.cseq()) else {
            self.counts.ignored += 1;
            return;
        };
        if name.ue >= around.population.size() {
            self.counts.ignored += 1;
            return;
        }
        self.note_received(around, name.ue, peer, message);
        // RFC 3261 clause 17.1.3; the answer to a CANCEL has the branch of its INVITE, and changes nothing.
        if cseq.method != kind.method() {
            self.counts.ignored += u64::from(cseq.method != Method::Cancel);
            return;
        }
        match kind {
            Kind::Register => self.register_response(around, name, message),
            Kind::Invite => self.invite_response(around, name, message),
            Kind::Bye => self.bye_response(around, name, message.status()),
            Kind::Ack => self.counts.ignored += 1,
        }
    }

    /// A request of the peer: the end of a call, or a question whether the UE is there.
    fn request(&mut self, around: &mut Around<'_>, peer: SocketAddr, message: &Message<'_>) {
        if message.check().is_err() || message.method() == Method::Ack {
            self.counts.ignored += u64::from(message.method() != Method::Ack);
            return;
        }
        let tag = message.tag(HeaderName::To).ok().flatten();
        let name = tag.and_then(|tag| self.texts.of_tag(tag));
        if let Some(name) = name.filter(|name| name.ue < around.population.size()) {
            self.note_received(around, name.ue, peer, message);
        }
        let status = match message.method() {
            Method::Options => 200,
            Method::Bye => self.ended_by_peer(around, name, message),
            Method::Cancel => 481,
            _ => 405,
        };
        let ue = name.map_or(0, |name| name.ue);
        around.send(self.local, ue, peer, |out| {
            let mut writer = imstorm_sip::response(message, status, Some(b"plain"), out);
            writer.copy(message, HeaderName::RecordRoute);
            if matches!(status, 200 | 405) {
                writer.header(HeaderName::Allow).text(ALLOW).end();
            }
            writer.finish().ok()
        });
    }

    fn note_received(
        &self,
        around: &mut Around<'_>,
        ue: u32,
        peer: SocketAddr,
        message: &Message<'_>,
    ) {
        let ends = (self.local, peer);
        note_message(around.recorder, ue, around.now, Direction::In, ends, message.bytes());
    }

    /// Sends a message that has only a UE's fields to put in, to the UE's server.
    fn send_template(&self, around: &mut Around<'_>, template: &Template, ue: u32, count: u32) {
        let to = around.population.pcscf(ue);
        let mut impu = [0; NAME_BYTES_MAX];
        let len = write_impu(around.population, ue, &mut impu);
        let fields = Fields { impu: &impu[..len], ue, count };
        around.send(self.local, ue, to, |out| template.write(&fields, out));
    }

    fn timer(&mut self, around: &mut Around<'_>, at: Time, timer: Timer) {
        let Timer { ue, number, kind } = timer;
        let retransmissions = self.counts.retransmissions;
        match kind {
            TimerKind::Register => self.register_again(around, ue, number),
            TimerKind::Refresh => self.refresh_is_due(around, ue, number, at),
            TimerKind::Release => self.release_is_due(around, ue, at),
            TimerKind::Call => self.call(around, ue, at),
            TimerKind::CallRequest => self.call_request_again(around, ue, number),
            TimerKind::HangUp => self.hang_up(around, ue, number, at),
        }
        if self.counts.retransmissions != retransmissions {
            around.recorder.suspect(u64::from(ue), around.now, Cause::Timeout);
        }
    }

    fn vary(&mut self, after_s: f64, jitter: f64) -> u64 {
        let factor = 1.0 + jitter * (2.0 * self.random.unit() - 1.0);
        (after_s * factor * 1e9) as u64
    }
}

impl Around<'_> {
    /// Sends a UE's message, which `write` writes.
    fn send(
        &mut self,
        from: SocketAddr,
        ue: u32,
        to: SocketAddr,
        write: impl FnOnce(&mut [u8]) -> Option<usize>,
    ) {
        let now = self.now;
        let recorder = &mut *self.recorder;
        let sent = self.outbox.send(UNPROTECTED, None, to, |slot| {
            let len = write(slot)?;
            note_message(recorder, ue, now, Direction::Out, (from, to), &slot[..len]);
            Some(0..len)
        });
        self.outbox_full += u64::from(sent.is_err());
    }

    fn note_completed(&mut self, ue: u32, procedure: Procedure, start: Start) {
        self.measurements.completed(procedure, start, self.now);
        if self.recorder.wants(u64::from(ue)) {
            let text = format!("{} completed", procedure.name());
            self.recorder.note_event(u64::from(ue), self.now, &text);
        }
        self.recorder.settled(u64::from(ue));
    }

    fn note_failed(&mut self, ue: u32, procedure: Procedure, start: Start, cause: Cause) {
        self.measurements.failed(procedure, start, cause);
        self.recorder.failed(u64::from(ue), self.now, procedure, cause);
    }
}

/// Notes a message of a UE, between its end and the other one.
#[inline]
fn note_message(
    recorder: &mut Recorder,
    ue: u32,
    now: Time,
    direction: Direction,
    (local, peer): (SocketAddr, SocketAddr),
    sip: &[u8],
) {
    let number = u64::from(ue);
    if !recorder.wants(number) {
        return recorder.note_message(number, now, &Heard { direction, local, peer, spi: 0, sip });
    }
    let (source, destination) = match direction {
        Direction::Out => (local, peer),
        Direction::In => (peer, local),
    };
    recorder.note(number, now, direction, source, destination, sip, Some(sip));
}

/// Why a request has failed that was answered with this status.
fn cause_of(status: u16) -> Cause {
    match status {
        401 | 407 => Cause::CredentialsWanted,
        403 => Cause::Forbidden403,
        421 | 494 => Cause::Security494,
        480 => Cause::NoAnswer,
        486 | 600 => Cause::Busy,
        _ => Cause::StatusOther(status),
    }
}

/// A user's public identity; its length.
fn write_impu(population: &Population, ue: u32, out: &mut [u8; NAME_BYTES_MAX]) -> usize {
    let mut writer = Writer::new(&mut out[..]);
    population.write_impu(ue, &mut writer);
    writer.len()
}

/// The durations that are armed again and again: each has a queue of its own.
fn durations(timings: &Timings, expires_s: u32) -> Vec<u64> {
    let mut durations: Vec<u64> = (0..4).map(|step| timings.timer_e_ns(step)).collect();
    durations.push(registration::half_ns(expires_s));
    durations.sort_unstable();
    durations.dedup();
    durations
}

#[cfg(test)]
mod tests;
