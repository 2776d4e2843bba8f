//! The generator: all UEs of a thread, and the tick that moves datagrams through them. No I/O of its own: the same tick runs over
//! sockets and in the simulator.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::ops::Range;
use std::sync::Arc;

use imstorm_aka::Usims;
use imstorm_base::SocketId;
use imstorm_base::io::{Inbox, Io, Outbox, Received};
use imstorm_base::random::Random;
use imstorm_base::slab::{Key, Slab};
use imstorm_base::strings::Strings;
use imstorm_base::time::{NS_PER_MS, Time};
use imstorm_base::timers::Timers;
use imstorm_cscf::Directory;
use imstorm_esp::{
    BATCH_MAX, Datagram, HEADROOM, Keys, Lanes, LocalPort, OpenBatch, OpenTicket, SealBatch,
    SecurityParameters, TAILROOM, classify, prefetch,
};
use imstorm_sip::transaction::Timings;
use imstorm_sip::{Index, parse};
use serde::{Deserialize, Serialize};

use crate::course::Course;
use crate::health::Distribution;
use crate::measure::{Cause, Measurements, Procedure, Start};
use crate::operator::{OperatorCall, OperatorDesk, OperatorKind, Switching};
use crate::plain::Plain;
use crate::population::{NAME_BYTES_MAX, Population};
use crate::profile::{
    Abandon, AccessSecurity, Call as CallPlan, Handover as HandoverPlan, NetworkRelease, Plan,
    Procedures, Profile, Refresh, Registration,
};
use crate::recorder::{AssociationKeys, Capture, Direction, Heard, Recorder};
use crate::schedule::Schedule;
use crate::traffic::{Traffic, UeStarter};
use crate::ue::call::{LEG_STRINGS_BYTES, LEGS_PER_USER, leg_timers_ns};
use crate::ue::handover::Handover;
use crate::ue::left::Left;
use crate::ue::lifetime::RunClock;
use crate::ue::procedures::FORGET_NS;
use crate::ue::server::Servers;
use crate::ue::write::UeSettings;
use crate::ue::{CLIENT_PORTS, Leg, Progress, Request, UeSet, UeTimer, UeTimerKind, Ues, Watch};

pub use crate::link::LinkCounts;
pub use crate::ue::call::{LegView, Sessions};
pub use crate::ue::cut::Cut;
pub use crate::ue::lifetime::identities_hash;
pub use crate::ue::{Stage, UeView};

/// The UEs' unprotected port.
pub const UNPROTECTED: SocketId = SocketId(0);
/// The UEs' port for ESP in UDP.
pub const ESP: SocketId = SocketId(1);
/// A start is late when it comes so long after it was intended.
pub const LATE_NS: u64 = 10 * NS_PER_MS;

/// What makes a run this one and no other.
#[derive(Copy, Clone, Debug)]
pub struct RunSeed {
    /// Arrivals, jitter: the same seed gives the same run.
    pub seed: u64,
    /// In Call-IDs and branches: differs between runs against the same engine.
    pub run: u32,
}

/// What is counted beside procedures.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct GeneratorState {
    /// Procedures under way.
    pub under_way: u64,
    /// UEs with a secure connection now, over whichever access.
    pub secured: u64,
    /// Secure connections now, all accesses together.
    pub connections: u64,
    /// The most that had one at the same time.
    pub secured_max: u64,
    /// UEs that had one at some time.
    pub secured_ever: u64,
    /// UEs that are through.
    pub gone: u64,
    /// UEs that have not started.
    pub not_started: u64,
    /// Requests sent again.
    pub retransmissions: u64,
    /// Datagrams that no UE could use.
    pub ignored: u64,
    /// Datagrams that came unprotected when the UE took only protected ones.
    pub unprotected_ignored: u64,
    /// NOTIFYs of no dialog of the UE's, answered 481.
    pub notify_unmatched: u64,
    /// UEs that vanished once secured, as the profile wants it.
    pub vanished: u64,
    /// MESSAGEs that UEs received, those that came again included.
    pub messages_received: u64,
    /// Datagrams for which there was no room to send.
    pub outbox_full: u64,
    /// The longest that a start came after its intended time, in nanoseconds.
    pub late_ns_max: u64,
    /// Starts of the load that are due and wait for a UE that is free.
    pub waiting: u64,
    /// Sets of four security associations that UEs hold.
    pub sets: usize,
    /// Sessions between UEs.
    pub sessions: Sessions,
    /// What has happened on the links, which are laid over the back end.
    pub links: LinkCounts,
}

/// The UEs of a run.
#[derive(Debug)]
pub struct Generator {
    pub(crate) population: Population,
    pub(crate) settings: UeSettings,
    pub(crate) refresh: Refresh,
    /// By the procedures' numbers.
    pub(crate) plans: [Plan; Procedure::COUNT],
    pub(crate) network_release: NetworkRelease,
    /// What a network-initiated re-authentication leaves of the lifetime, in seconds.
    pub(crate) shorten_s: u32,
    pub(crate) abandon: Abandon,
    /// For how long a UE keeps in mind that a network does not know the extension; `None`: it does not fall back.
    pub(crate) fallback_ns: Option<u64>,
    /// Seconds after being secured, and jitter.
    pub(crate) release: Option<(f64, f64)>,
    /// By number of the access.
    pub(crate) ues: Ues,
    /// How many of each procedure each access has left.
    pub(crate) left: Left,
    /// What each user's USIM keeps of sequence numbers.
    pub(crate) usims: Usims,
    pub(crate) sets: Slab<UeSet>,
    /// The Security-Servers of the sets.
    pub(crate) servers: Servers,
    /// Subscriptions to the registration state.
    pub(crate) watches: Slab<Watch>,
    /// Requests under way.
    pub(crate) requests: Slab<Request>,
    /// What is under way, and from when it is measured.
    pub(crate) progress: Slab<Progress>,
    pub(crate) legs: Slab<Leg>,
    pub(crate) call: CallPlan,
    pub(crate) sessions: Sessions,
    pub(crate) handover: HandoverPlan,
    /// By user.
    pub(crate) handovers: HashMap<u32, Handover>,
    pub(crate) operator: OperatorDesk,
    /// The steps that all users go through together, if the profile compares.
    pub(crate) course: Option<Course>,
    pub(crate) switches: Vec<Switching>,
    /// Since when procedures are due that have not begun, as their UE is about another one.
    pub(crate) due_since: HashMap<(u32, Procedure), Time>,
    pub(crate) strings: Strings,
    pub(crate) timers: Timers<UeTimer>,
    pub(crate) random: Random,
    pub(crate) measurements: Measurements,
    pub(crate) recorder: Recorder,
    pub(crate) under_way: u64,
    pub(crate) secured: u64,
    pub(crate) connections: u64,
    pub(crate) secured_max: u64,
    pub(crate) secured_ever: u64,
    pub(crate) gone: u64,
    /// UEs that stay secured and have nothing more to do.
    pub(crate) resting: u64,
    pub(crate) retransmissions: u64,
    pub(crate) ignored: u64,
    pub(crate) unprotected_ignored: u64,
    pub(crate) notify_unmatched: u64,
    pub(crate) vanished: u64,
    pub(crate) messages_received: u64,
    pub(crate) outbox_full: u64,
    pub(crate) late_ns_max: u64,
    /// Of each start since it was last taken.
    pub(crate) lateness: Distribution,
    /// Packets that lie in the outbox and are yet to be sealed.
    seals: SealBatch,
    /// The packets of the datagrams that are looked at now, and each datagram's own: its set and its number there.
    opens: OpenBatch,
    openings: [Option<(Key, OpenTicket)>; BATCH_MAX],
    pub(crate) schedule: Schedule,
    /// What the population offers once it is brought up.
    pub(crate) traffic: Option<Box<Traffic>>,
    /// Whether there is such a load. It counts on UEs, which therefore come back where they lose their connections.
    pub(crate) traffic_is_offered: bool,
    /// How long the arrivals take, in nanoseconds.
    pub(crate) arrivals_ns: u64,
    /// UEs that are to come back.
    pub(crate) away: u64,
    /// How many UEs the arrivals bring up; the others are for the load.
    pub(crate) brought_up: u32,
    /// The next one of the others.
    pub(crate) fresh: u32,
    /// The UEs where the profile wants them plain: then there are no others.
    pub(crate) plain: Option<Box<Plain>>,
    pub(crate) started_at: Option<Time>,
    /// Counts from there.
    pub(crate) clock: RunClock,
    /// Nothing new is begun.
    pub(crate) stopped: bool,
    /// Taken while a message is looked at.
    headers: Option<Box<Index>>,
    /// Taken while a message that was kept is looked at.
    pub(crate) kept_headers: Option<Box<Index>>,
    /// Where a message is written that is kept.
    pub(crate) text: Box<[u8]>,
}

/// How a message leaves.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// Unprotected.
    Plain,
    /// Through this set of security associations.
    Sealed(Key),
}

/// One step of the generator: the time, and where datagrams go.
pub(crate) struct Step<'a> {
    pub now: Time,
    pub outbox: &'a mut Outbox,
}

impl Step<'_> {
    /// Of what begins now and was intended for that time.
    pub fn start(&self, intended: Time) -> Start {
        Start { intended, began: self.now }
    }
}

impl Generator {
    /// All UEs of a profile, idle.
    #[must_use]
    pub fn new(
        profile: &Profile,
        directory: Arc<Directory>,
        seed: RunSeed,
        capture: Capture,
    ) -> Self {
        let population = Population::new(profile, directory);
        let random = Random::new(seed.seed);
        let brought_up = u32::try_from(profile.brought_up()).unwrap_or(population.size());
        let plain = Plain::new(profile, &population, seed.run, random.fork(3)).map(Box::new);
        let users = if plain.is_some() { 0 } else { population.size() as usize };
        let size = if plain.is_some() { 0 } else { population.accesses() as usize };
        let procedures = &profile.procedures;
        let plans = std::array::from_fn(|place| procedures.plan(Procedure::ALL[place]));
        let refresh = procedures.refresh.clone();
        let lowered = procedures.network_reauthenticate.as_ref();
        let timings = profile.timings();
        let is_open = profile.ue.access_security == AccessSecurity::None;
        Self {
            settings: UeSettings {
                domain: profile.population.domain.clone(),
                port: profile.ue.port,
                ports_uc: client_ports(profile.ue.port_uc, profile.ue.port_us),
                // Where nothing is protected everything passes the one port.
                port_us: if is_open { profile.ue.port } else { profile.ue.port_us },
                is_open,
                esp_port: profile.ue.esp_port,
                pcscf_esp_port: profile.topology.pcscf_esp_port,
                mode: imstorm_esp::Mode::UdpTunnel,
                suites: profile.security.algorithms.iter().map(|pair| pair.suite()).collect(),
                basis: profile.basis(),
                expires_s: refresh.expires_s,
                registration_expires_s: expires_of(&procedures.register_over_connection)
                    .unwrap_or(refresh.expires_s),
                reg_event_expires_s: expires_of(&procedures.reg_event).unwrap_or(refresh.expires_s),
                timings,
                flows: profile.schemes.as_ref().is_some_and(|it| it.scheme.names_flows()),
                modifies_impi: profile.schemes.as_ref().is_some_and(|it| it.scheme.modifies_impi()),
                keeps_earlier: profile.schemes.as_ref().is_some_and(|it| it.scheme.keeps_earlier()),
                names_accesses: profile.schemes.is_some(),
                sa_policy: profile.schemes.as_ref().map(|it| it.ue_sa_policy).unwrap_or_default(),
                run: seed.run,
            },
            left: Left::new(&plans, size),
            plans,
            network_release: procedures.network_release.clone().unwrap_or(NO_RELEASE),
            shorten_s: lowered.map_or(0, |it| it.expires_s),
            abandon: profile.abandon.clone(),
            fallback_ns: profile.ue.fallback_s.map(|after_s| (after_s * 1e9) as u64),
            release: profile.procedures.release.as_ref().map(|it| (it.after_s, it.jitter)),
            refresh,
            ues: Ues::new(users, size),
            usims: Usims::new(users),
            sets: Slab::with_capacity(size * SETS_PER_UE),
            servers: Servers::default(),
            watches: Slab::with_capacity(size),
            requests: Slab::with_capacity(size),
            progress: Slab::with_capacity(size),
            legs: Slab::with_capacity(users * legs_per_user(profile)),
            call: procedures.call.clone().unwrap_or_default(),
            sessions: Sessions::default(),
            handover: procedures.handover.clone().unwrap_or_default(),
            handovers: HashMap::new(),
            operator: OperatorDesk::default(),
            course: profile
                .schemes
                .as_ref()
                .map(|_| Course::new(population.size(), profile.arrivals.last_rate_per_s())),
            switches: Switching::all(profile),
            due_since: HashMap::new(),
            strings: Strings::with_capacity(strings_bytes(profile, users, size)),
            timers: Timers::with_wheel(&timer_durations(&timings), size * long_timers(procedures)),
            schedule: Schedule::new(&profile.arrivals, profile.part, brought_up, random.fork(1)),
            traffic: Traffic::new(profile, random.fork(4)).map(Box::new),
            traffic_is_offered: profile.traffic.is_some(),
            arrivals_ns: (f64::from(brought_up) * 1e9 / profile.arrivals.last_rate_per_s().max(1.0))
                as u64,
            away: 0,
            brought_up,
            fresh: brought_up,
            random: random.fork(2),
            plain,
            population,
            measurements: Measurements::new(),
            recorder: Recorder::new(capture),
            under_way: 0,
            secured: 0,
            connections: 0,
            secured_max: 0,
            secured_ever: 0,
            gone: 0,
            resting: 0,
            retransmissions: 0,
            ignored: 0,
            unprotected_ignored: 0,
            notify_unmatched: 0,
            vanished: 0,
            messages_received: 0,
            outbox_full: 0,
            late_ns_max: 0,
            lateness: Distribution::new(),
            seals: SealBatch::new(Lanes::detect()),
            opens: OpenBatch::new(Lanes::detect()),
            openings: [None; BATCH_MAX],
            started_at: None,
            clock: RunClock::default(),
            stopped: false,
            headers: Some(Box::default()),
            kept_headers: Some(Box::default()),
            text: vec![0; TEXT_BYTES_MAX].into_boxed_slice(),
        }
    }

    /// One tick: everything that came, the timers that are due, then the starts that are.
    pub fn tick<I: Io>(&mut self, now: Time, io: &mut I) {
        if self.started_at.is_none() {
            self.clock.started_at = now;
            self.recorder.begin(now);
            self.arm_switches(now);
        }
        let started_at = *self.started_at.get_or_insert(now);
        let (inbox, outbox) = io.parts();
        if let Some(mut plain) = self.plain.take() {
            self.plain_tick(&mut plain, now, inbox, outbox);
            self.plain = Some(plain);
            return;
        }
        let mut step = Step { now, outbox };
        for first in (0..inbox.len()).step_by(BATCH_MAX) {
            let places = first..inbox.len().min(first + BATCH_MAX);
            self.open_ahead(inbox, places.clone());
            for place in places {
                let (received, datagram) = inbox.get_mut(place);
                if received.socket == ESP {
                    let opening = self.openings[place - first];
                    self.esp_datagram(&mut step, &received, datagram, opening);
                } else {
                    self.plain_datagram(&mut step, received.peer, received.local, datagram);
                }
            }
        }
        while let Some((call, is_done)) = self.operator.next_over() {
            match call.kind {
                OperatorKind::Switch(_) => self.switch_over(&step, call.number, is_done),
                _ if is_done => {}
                _ => self.operator_failed(&mut step, call),
            }
        }
        while let Some((at, timer)) = self.timers.poll_due(now) {
            let at = started_at + self.schedule.in_grains(at.saturating_sub(started_at));
            let retransmissions = self.retransmissions;
            self.timer(&mut step, at.min(now), timer);
            if self.retransmissions != retransmissions {
                self.suspect(now, timer, Cause::Timeout);
            } else if timer.kind == UeTimerKind::TimerN && self.awaits_notify(timer.ue) {
                self.suspect(now, timer, Cause::NoNotify);
            }
        }
        self.follow_course(&mut step);
        while !self.stopped
            && self.course.is_none()
            && let Some((ue, at)) = self.schedule.due(now - started_at)
        {
            let intended = started_at + at;
            self.note_lateness(now - intended);
            self.begin(&mut step, ue, intended);
        }
        if let Some(mut traffic) = self.traffic.take() {
            traffic.tick(now, &mut UeStarter { generator: self, step: &mut step });
            self.traffic = Some(traffic);
        }
        self.seal_all(outbox);
    }

    /// Seals what lies in the outbox unfinished.
    fn seal_all(&mut self, outbox: &mut Outbox) {
        outbox.finish(|memory| self.seals.seal_all(memory));
    }

    /// What this timer was about has waited for long: its UE may be about to fail.
    #[cold]
    fn suspect(&mut self, now: Time, timer: UeTimer, cause: Cause) {
        let ue = match timer.kind {
            UeTimerKind::Leg(_) => {
                let leg = self.legs.key_at(timer.ue).and_then(|key| self.legs.get(key));
                leg.map(|leg| leg.ue)
            }
            _ => Some(timer.ue),
        };
        if let Some(ue) = ue {
            self.recorder.suspect(self.recorded_as(ue), now, cause);
        }
    }

    /// Whether a UE's procedure is not over as its NOTIFY has not come.
    fn awaits_notify(&self, ue: u32) -> bool {
        let state = &self.ues[ue as usize];
        state.procedure.is_some() && !state.has_notify
    }

    /// Something has started so long after it was intended.
    pub(crate) fn note_lateness(&mut self, late_ns: u64) {
        self.late_ns_max = self.late_ns_max.max(late_ns);
        self.lateness.record_ns(late_ns);
        if late_ns > LATE_NS {
            self.measurements.late_start();
        }
    }

    /// The next call for the operator, to be made by whoever moves the datagrams.
    pub fn next_operator_call(&mut self) -> Option<OperatorCall> {
        self.operator.next_call()
    }

    /// Whether a call for the operator waits to be made, or what has become of one to be told.
    #[must_use]
    pub fn has_operator_work(&self) -> bool {
        self.operator.has_work()
    }

    /// The private identity of a UE.
    #[must_use]
    pub fn impi(&self, ue: u32) -> Vec<u8> {
        let mut text = [0; NAME_BYTES_MAX];
        let mut writer = imstorm_sip::Writer::new(&mut text);
        self.settings.write_impi(&self.population, ue, &mut writer);
        writer.as_written().to_vec()
    }

    /// A call was followed, or it was refused or not answered: whoever asked for it learns of it at the next tick.
    pub fn operator_call_over(&mut self, call: OperatorCall, is_done: bool) {
        self.operator.note(call, is_done);
    }

    /// When the next timer or start is due.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Time> {
        let started_at = self.started_at?;
        let start = match &self.course {
            Some(course) => course.next_at(),
            None => self.schedule.next_at().map(|at| started_at + at),
        };
        let timer = match &self.plain {
            Some(plain) => plain.next_deadline(started_at),
            None => {
                let at = self.timers.next_deadline();
                at.map(|at| started_at + self.schedule.in_grains(at.saturating_sub(started_at)))
            }
        };
        let load = self.traffic.as_ref().and_then(|traffic| traffic.next_deadline());
        [timer, start.filter(|_| !self.stopped), load].into_iter().flatten().min()
    }

    /// Begins nothing new: no UE, no refresh, no release.
    pub fn stop(&mut self, now: Time) {
        self.stopped = true;
        if let Some(traffic) = &mut self.traffic {
            traffic.stop(now, &mut self.measurements);
        }
    }

    /// Whether every UE has started and is through, or rests secured with nothing more to do, and no procedure is under way.
    #[must_use]
    pub fn is_done(&self) -> bool {
        if let Some(course) = &self.course {
            return self.under_way == 0 && (self.stopped || course.is_over());
        }
        let all_started = self.all_started();
        let is_offered = self.traffic.as_ref().is_some_and(|traffic| !traffic.is_over());
        if is_offered && !self.stopped {
            return false;
        }
        let brought_up = self.brought_up - self.schedule.remaining();
        let started = u64::from(brought_up + self.fresh - self.brought_up);
        if let Some(plain) = &self.plain {
            return all_started && plain.is_done(started, self.stopped);
        }
        all_started && self.under_way == 0 && (self.stopped || self.gone + self.resting >= started)
    }

    /// Under which number an access is recorded: that of its user, whose accesses have one ladder.
    pub(crate) fn recorded_as(&self, ue: u32) -> u64 {
        u64::from(self.population.number(ue))
    }

    /// The P-CSCF that an access uses.
    pub(crate) fn pcscf(&self, ue: u32) -> SocketAddr {
        self.population.pcscf_past(ue, self.ues[ue as usize].pcscf_turn)
    }

    /// How many UEs there are.
    #[must_use]
    pub fn size(&self) -> u64 {
        u64::from(self.population.size())
    }

    /// What was measured.
    #[must_use]
    pub fn measurements(&self) -> &Measurements {
        &self.measurements
    }

    /// What was measured, to take an interval from.
    pub fn measurements_mut(&mut self) -> &mut Measurements {
        &mut self.measurements
    }

    /// How long after its intended time each start came since the last call.
    pub fn take_lateness(&mut self) -> Distribution {
        self.lateness.take()
    }

    /// The flight recorder.
    #[must_use]
    pub fn recorder(&self) -> &Recorder {
        &self.recorder
    }

    /// How far the run is.
    #[must_use]
    pub fn state(&self) -> GeneratorState {
        if let Some(plain) = &self.plain {
            return self.plain_state(plain.counts);
        }
        GeneratorState {
            under_way: self.under_way,
            secured: self.secured,
            connections: self.connections,
            secured_max: self.secured_max,
            secured_ever: self.secured_ever,
            gone: self.gone,
            not_started: match &self.course {
                Some(course) => course.not_started(),
                None => u64::from(self.schedule.remaining()),
            },
            retransmissions: self.retransmissions,
            ignored: self.ignored,
            unprotected_ignored: self.unprotected_ignored,
            notify_unmatched: self.notify_unmatched,
            vanished: self.vanished,
            messages_received: self.messages_received,
            outbox_full: self.outbox_full,
            late_ns_max: self.late_ns_max,
            waiting: self.waiting(),
            sets: self.sets.len(),
            sessions: self.sessions,
            links: LinkCounts::default(),
        }
    }

    fn plain_datagram(
        &mut self,
        step: &mut Step<'_>,
        peer: SocketAddr,
        local: IpAddr,
        datagram: &[u8],
    ) {
        let Some(ue) = self.population.ue_at(local) else { return };
        if self.ues[ue as usize].is_lost {
            return;
        }
        let number = self.recorded_as(ue);
        let to = SocketAddr::new(local, self.settings.port);
        if self.recorder.wants(number) {
            let sip = Some(datagram);
            self.recorder.note(number, step.now, Direction::In, peer, to, datagram, sip);
        } else {
            let heard = Heard { direction: Direction::In, local: to, peer, spi: 0, sip: datagram };
            self.recorder.note_message(number, step.now, &heard);
        }
        let mut headers = self.headers.take().expect("one message at a time");
        match parse(datagram, &mut headers) {
            Ok(message) if peer == self.pcscf(ue) => {
                self.unprotected(step, ue, &message);
            }
            _ => self.ignored += 1,
        }
        self.headers = Some(headers);
    }

    /// Opens the ESP packets among the datagrams at `places` side by side, all under keys of their own. Whether a packet is still in
    /// order is found out when its turn comes.
    fn open_ahead(&mut self, inbox: &mut Inbox, places: Range<usize>) {
        self.opens.clear();
        self.openings = [None; BATCH_MAX];
        let ue_of = |inbox: &mut Inbox, place| {
            let (received, _) = inbox.get_mut(place);
            let ue = self.population.ue_at(received.local)?;
            (received.socket == ESP).then_some(ue)
        };
        for place in places.clone() {
            if let Some(ue) = ue_of(inbox, place) {
                prefetch(&self.ues[ue as usize]);
            }
        }
        for place in places.clone() {
            let Some(ue) = ue_of(inbox, place) else { continue };
            let ue = &self.ues[ue as usize];
            for set in [ue.set, ue.other_set] {
                if let Some(place) = self.sets.place(set.number()) {
                    prefetch(place);
                }
            }
        }
        for (number, place) in places.enumerate() {
            let Some(ue) = ue_of(inbox, place) else { continue };
            let (received, datagram) = inbox.get_mut(place);
            // Who is recorded is recorded as it came.
            if self.ues[ue as usize].is_lost || self.recorder.wants(self.recorded_as(ue)) {
                continue;
            }
            let Datagram::Esp(spi) = classify(datagram) else { continue };
            let Some(key) = self.set_of_spi(ue, spi) else { continue };
            let Some(set) = self.sets.get(key) else { continue };
            let Some(port) = set.sa.port_of_spi(spi) else { continue };
            let start = received.range().start;
            let ticket = set.sa.open_later(port, &mut self.opens, datagram, start);
            self.openings[number] = ticket.map(|ticket| (key, ticket));
        }
        self.opens.run(inbox.memory_mut());
    }

    fn esp_datagram(
        &mut self,
        step: &mut Step<'_>,
        received: &Received,
        datagram: &mut [u8],
        opening: Option<(Key, OpenTicket)>,
    ) {
        let (peer, local) = (received.peer, received.local);
        let Datagram::Esp(spi) = classify(datagram) else { return };
        let Some(ue) = self.population.ue_at(local) else { return };
        if self.ues[ue as usize].is_lost {
            return;
        }
        let number = self.recorded_as(ue);
        let recorded = self.recorder.wants(number).then(|| datagram.to_vec());
        // What was opened with the keys of a set that is gone has come too late for it.
        let is_of = |key: &Key| opening.is_none_or(|(set, _)| set == *key);
        let key = self.set_of_spi(ue, spi).filter(is_of);
        let opened = key.and_then(|key| {
            let set = self.sets.get(key)?;
            let traffic = self.traffic(ue, set, set.sa.port_of_spi(spi)?);
            let sa = &mut self.sets.get_mut(key)?.sa;
            match opening {
                Some((_, ticket)) => sa.open_now(&traffic, &self.opens, ticket, datagram).ok(),
                None => sa.open(&traffic, datagram).ok(),
            }
        });
        let to = SocketAddr::new(local, self.settings.esp_port);
        if let Some(wire) = recorded {
            let sip = opened.clone().map(|range| &datagram[range]);
            self.recorder.note(number, step.now, Direction::In, peer, to, &wire, sip);
        } else if let Some(payload) = &opened {
            let sip = &datagram[payload.clone()];
            let heard = Heard { direction: Direction::In, local: to, peer, spi, sip };
            self.recorder.note_message(number, step.now, &heard);
        }
        let (Some(key), Some(payload)) = (key, opened) else {
            self.ignored += 1;
            return;
        };
        let mut headers = self.headers.take().expect("one message at a time");
        match parse(&datagram[payload], &mut headers) {
            Ok(message) => self.received(step, ue, Way::Sealed(key), &message),
            Err(_) => self.ignored += 1,
        }
        self.headers = Some(headers);
    }

    /// Sends a UE's message, which `write` writes, sealed or plain.
    pub(crate) fn send(
        &mut self,
        step: &mut Step<'_>,
        ue: u32,
        way: Way,
        write: impl FnOnce(&mut [u8]) -> Option<usize>,
    ) {
        if self.ues[ue as usize].is_lost {
            return;
        }
        let source = self.population.address(ue);
        let pcscf = self.pcscf(ue);
        let number = self.recorded_as(ue);
        let now = step.now;
        let sent = if let Way::Sealed(key) = way {
            let Some(set) = self.sets.get(key) else { return };
            // Over UDP everything goes from port_uc to port_ps (TS 33.203 clause 7.1, SA 1a).
            let traffic = self.traffic(ue, set, LocalPort::Client);
            let Some(set) = self.sets.get_mut(key) else { return };
            let is_chosen = self.recorder.wants(number);
            let recorder = &mut self.recorder;
            let to = SocketAddr::new(pcscf.ip(), self.settings.pcscf_esp_port);
            let from = SocketAddr::new(source, self.settings.esp_port);
            let seed = self.random.next_u64();
            if is_chosen {
                // As it leaves, which must be known at once.
                step.outbox.send(ESP, Some(source), to, |slot| {
                    let end = slot.len().checked_sub(TAILROOM)?;
                    let len = write(slot.get_mut(HEADROOM..end)?)?;
                    let payload = HEADROOM..HEADROOM + len;
                    let plain = slot[payload.clone()].to_vec();
                    let range = set.sa.seal(&traffic, slot, payload, seed).ok()?;
                    let wire = &slot[range.clone()];
                    recorder.note(number, now, Direction::Out, from, to, wire, Some(&plain));
                    Some(range)
                })
            } else {
                let seals = &mut self.seals;
                if seals.is_full() {
                    step.outbox.finish(|memory| seals.seal_all(memory));
                }
                step.outbox.send_unfinished(ESP, Some(source), to, |slot, start| {
                    let end = slot.len().checked_sub(TAILROOM)?;
                    let len = write(slot.get_mut(HEADROOM..end)?)?;
                    let payload = HEADROOM..HEADROOM + len;
                    let sip = &slot[payload.clone()];
                    let spi = set.sa.outbound(LocalPort::Client).spi();
                    let heard =
                        Heard { direction: Direction::Out, local: from, peer: to, spi, sip };
                    recorder.note_message(number, now, &heard);
                    set.sa.seal_later(&traffic, seals, slot, start, payload, seed).ok()
                })
            }
        } else {
            let from = SocketAddr::new(source, self.settings.port);
            let is_chosen = self.recorder.wants(number);
            let recorder = &mut self.recorder;
            step.outbox.send(UNPROTECTED, Some(source), pcscf, |slot| {
                let len = write(slot)?;
                let sip = &slot[..len];
                if is_chosen {
                    recorder.note(number, now, Direction::Out, from, pcscf, sip, Some(sip));
                } else {
                    let heard =
                        Heard { direction: Direction::Out, local: from, peer: pcscf, spi: 0, sip };
                    recorder.note_message(number, now, &heard);
                }
                Some(0..len)
            })
        };
        self.outbox_full += u64::from(sent.is_err());
    }

    /// Notes the keys of a UE's new security associations, if it is recorded.
    pub(crate) fn record_keys(
        &mut self,
        ue: u32,
        parameters: &SecurityParameters,
        ck: &[u8; 16],
        ik: &[u8; 16],
    ) {
        let number = self.recorded_as(ue);
        if !self.recorder.wants(number) {
            return;
        }
        let p = parameters;
        let keys = Keys::expand(ck, ik, p.suite.integrity, p.suite.encryption);
        for (spi, source, destination) in [
            (p.spi_ps, p.ue_ip, p.pcscf_ip),
            (p.spi_uc, p.pcscf_ip, p.ue_ip),
            (p.spi_us, p.pcscf_ip, p.ue_ip),
            (p.spi_pc, p.ue_ip, p.pcscf_ip),
        ] {
            let association = AssociationKeys {
                spi,
                source,
                destination,
                suite: p.suite,
                encryption_key: keys.encryption().to_vec(),
                integrity_key: keys.integrity().to_vec(),
            };
            self.recorder.note_sa(number, association);
        }
    }
}

/// The longest message that a UE writes.
pub(crate) const TEXT_BYTES_MAX: usize = 4096;
/// What the network has said of a secured UE's dialog and its Service-Route, the same of a second dialog, and two Security-Servers; all
/// where nothing can be packed. A UE of a network as usual takes 50 bytes of it.
const STRINGS_BYTES_PER_UE: usize = 768 + 512 + 2 * 512;
/// The most that a pool of strings may have: users with calls, each of which has room for eight, take far less.
const STRINGS_BYTES_MAX: usize = 31 << 30;
/// A UE's set in force, and that of a re-authentication or of the connection before.
const SETS_PER_UE: usize = 2;
/// No UE's connection is ended by the operator.
const NO_RELEASE: NetworkRelease = NetworkRelease {
    after_s: 0.0,
    jitter: 0.0,
    deactivated_share: 0.0,
    rejected_share: 0.0,
    back: false,
};
/// Requests that may have to be sent again.
const STRINGS_BYTES_BASE: usize = 64 << 20;

/// The protected client ports that a UE takes in turn: the profile's and those that follow, except the server port and those
/// that are never protected (TS 33.203 clause 7.1).
fn client_ports(first: u16, port_us: u16) -> [u16; CLIENT_PORTS] {
    let mut ports = (first..=u16::MAX).chain(1..first);
    let mut next = || ports.by_ref().find(|port| *port != port_us && ![5060, 5061].contains(port));
    std::array::from_fn(|_| next().unwrap_or(first))
}

/// Sides of sessions that a user may have, ended ones that still answer included; none where the profile has no sessions.
fn legs_per_user(profile: &Profile) -> usize {
    let has_calls = profile.procedures.call.is_some() || profile.schemes.is_some();
    if has_calls { LEGS_PER_USER } else { 0 }
}

/// Room for all strings of a run.
fn strings_bytes(profile: &Profile, users: usize, accesses: usize) -> usize {
    let of_accesses = accesses * STRINGS_BYTES_PER_UE;
    let of_legs = users * legs_per_user(profile) * LEG_STRINGS_BYTES;
    (of_accesses + of_legs + STRINGS_BYTES_BASE).min(STRINGS_BYTES_MAX)
}

/// The lifetime that is asked for, in seconds.
fn expires_of(registration: &Option<Registration>) -> Option<u32> {
    registration.as_ref().map(|it| it.expires_s)
}

/// Timers that a UE may have armed for long: one for each procedure that is to come, and for its end, and that of half of its
/// registration's time.
fn long_timers(procedures: &Procedures) -> usize {
    let of_plans = |procedure: &&Procedure| procedures.plan(**procedure).count > 0;
    Procedure::ALL.iter().filter(of_plans).count() + 2
}

/// The durations that are armed again and again: each has a queue of its own.
fn timer_durations(timings: &Timings) -> Vec<u64> {
    let mut durations: Vec<u64> = (0..4).map(|step| timings.timer_e_ns(step)).collect();
    durations.extend([timings.timer_f_ns(), FORGET_NS]);
    durations.extend(leg_timers_ns(timings));
    durations.sort_unstable();
    durations.dedup();
    durations
}
