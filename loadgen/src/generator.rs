//! The generator: all UEs of a thread, and the tick that moves datagrams through them. No I/O of its own: the same tick runs over
//! sockets and in the simulator.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use imstorm_base::SocketId;
use imstorm_base::io::{Io, Outbox};
use imstorm_base::random::Random;
use imstorm_base::slab::Slab;
use imstorm_base::strings::Strings;
use imstorm_base::time::{NS_PER_MS, Time};
use imstorm_base::timers::Timers;
use imstorm_cscf::Directory;
use imstorm_esp::{Datagram, HEADROOM, Keys, LocalPort, SecurityParameters, TAILROOM, classify};
use imstorm_sip::{Index, parse};

use crate::measure::Measurements;
use crate::population::Population;
use crate::profile::{Profile, Refresh};
use crate::recorder::{AssociationKeys, Capture, Direction, Recorder};
use crate::schedule::Schedule;
use crate::ue::procedures::{FORGET_NS, TIMER_N_NS, TIMINGS};
use crate::ue::write::UeSettings;
use crate::ue::{Ue, UeSet, UeTimer};

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
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct GeneratorState {
    /// Procedures under way.
    pub under_way: u64,
    /// UEs with a secure connection now.
    pub secured: u64,
    /// The most that had one at the same time.
    pub secured_max: u64,
    /// UEs that are through.
    pub gone: u64,
    /// UEs that have not started.
    pub not_started: u64,
    /// SUBSCRIBEs sent again.
    pub retransmissions: u64,
    /// Datagrams that no UE could use.
    pub ignored: u64,
    /// Datagrams for which there was no room to send.
    pub outbox_full: u64,
    /// The longest that a start came after its intended time, in nanoseconds.
    pub late_ns_max: u64,
    /// Security associations that UEs hold.
    pub sets: usize,
}

/// The UEs of a run.
#[derive(Debug)]
pub struct Generator {
    pub(crate) population: Population,
    pub(crate) settings: UeSettings,
    pub(crate) refresh: Refresh,
    /// Seconds after being secured, and jitter.
    pub(crate) release: Option<(f64, f64)>,
    pub(crate) ues: Vec<Ue>,
    pub(crate) sets: Slab<UeSet>,
    pub(crate) strings: Strings,
    pub(crate) timers: Timers<UeTimer>,
    pub(crate) random: Random,
    pub(crate) measurements: Measurements,
    pub(crate) recorder: Recorder,
    pub(crate) under_way: u64,
    pub(crate) secured: u64,
    pub(crate) secured_max: u64,
    pub(crate) gone: u64,
    /// UEs that stay secured and have nothing more to do.
    pub(crate) resting: u64,
    pub(crate) retransmissions: u64,
    pub(crate) ignored: u64,
    outbox_full: u64,
    late_ns_max: u64,
    schedule: Schedule,
    started_at: Option<Time>,
    /// Nothing new is begun.
    pub(crate) stopped: bool,
    /// Taken while a message is looked at.
    headers: Option<Box<Index>>,
    /// Where a message is written that is kept.
    pub(crate) text: Box<[u8]>,
}

/// One step of the generator: the time, and where datagrams go.
pub(crate) struct Step<'a> {
    pub now: Time,
    pub outbox: &'a mut Outbox,
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
        let size = population.size() as usize;
        let random = Random::new(seed.seed);
        let mut ues = Vec::new();
        ues.resize_with(size, Ue::default);
        let refresh = profile.procedures.refresh.clone();
        Self {
            settings: UeSettings {
                domain: profile.population.domain.clone(),
                port: profile.ue.port,
                port_uc: profile.ue.port_uc,
                port_us: profile.ue.port_us,
                esp_port: profile.ue.esp_port,
                pcscf_esp_port: profile.topology.pcscf_esp_port,
                mode: imstorm_esp::Mode::UdpTunnel,
                suites: profile.security.algorithms.iter().map(|pair| pair.suite()).collect(),
                expires_s: refresh.expires_s,
                run: seed.run,
            },
            release: profile.procedures.release.as_ref().map(|it| (it.after_s, it.jitter)),
            refresh,
            ues,
            sets: Slab::with_capacity(size),
            strings: Strings::with_capacity(size * STRINGS_BYTES_PER_UE + STRINGS_BYTES_BASE),
            timers: Timers::new(&timer_durations()),
            schedule: Schedule::new(&profile.arrivals, population.size(), random.fork(1)),
            random: random.fork(2),
            population,
            measurements: Measurements::new(),
            recorder: Recorder::new(capture),
            under_way: 0,
            secured: 0,
            secured_max: 0,
            gone: 0,
            resting: 0,
            retransmissions: 0,
            ignored: 0,
            outbox_full: 0,
            late_ns_max: 0,
            started_at: None,
            stopped: false,
            headers: Some(Box::default()),
            text: vec![0; TEXT_BYTES_MAX].into_boxed_slice(),
        }
    }

    /// One tick: everything that came, the timers that are due, then the starts that are.
    pub fn tick<I: Io>(&mut self, now: Time, io: &mut I) {
        let started_at = *self.started_at.get_or_insert(now);
        let (inbox, outbox) = io.parts();
        let mut step = Step { now, outbox };
        for place in 0..inbox.len() {
            let (received, datagram) = inbox.get_mut(place);
            let (peer, local) = (received.peer, received.local);
            if received.socket == ESP {
                self.esp_datagram(&mut step, peer, local, datagram);
            } else {
                self.plain_datagram(&mut step, peer, local, datagram);
            }
        }
        while let Some(timer) = self.timers.poll(now) {
            self.timer(&mut step, timer);
        }
        while !self.stopped
            && let Some((ue, at)) = self.schedule.due(now - started_at)
        {
            let intended = started_at + at;
            let late_ns = now - intended;
            self.late_ns_max = self.late_ns_max.max(late_ns);
            if late_ns > LATE_NS {
                self.measurements.late_start();
            }
            self.begin(&mut step, ue, intended);
        }
    }

    /// When the next timer or start is due.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Time> {
        let started_at = self.started_at?;
        let start = self.schedule.next_at().filter(|_| !self.stopped).map(|at| started_at + at);
        [self.timers.next_deadline(), start].into_iter().flatten().min()
    }

    /// Begins nothing new: no UE, no refresh, no release.
    pub fn stop(&mut self) {
        self.stopped = true;
    }

    /// Whether every UE has started and is through, or rests secured with nothing more to do, and no procedure is under way.
    #[must_use]
    pub fn is_done(&self) -> bool {
        let started = u64::from(self.population.size() - self.schedule.remaining());
        let all_started = self.stopped || self.schedule.remaining() == 0;
        all_started && self.under_way == 0 && (self.stopped || self.gone + self.resting >= started)
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

    /// The flight recorder.
    #[must_use]
    pub fn recorder(&self) -> &Recorder {
        &self.recorder
    }

    /// How far the run is.
    #[must_use]
    pub fn state(&self) -> GeneratorState {
        GeneratorState {
            under_way: self.under_way,
            secured: self.secured,
            secured_max: self.secured_max,
            gone: self.gone,
            not_started: u64::from(self.schedule.remaining()),
            retransmissions: self.retransmissions,
            ignored: self.ignored,
            outbox_full: self.outbox_full,
            late_ns_max: self.late_ns_max,
            sets: self.sets.len(),
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
        if self.recorder.wants(u64::from(ue)) {
            let to = SocketAddr::new(local, self.settings.port);
            let number = u64::from(ue);
            let sip = Some(datagram);
            self.recorder.note(number, step.now, Direction::In, peer, to, datagram, sip);
        }
        let mut headers = self.headers.take().expect("one message at a time");
        match parse(datagram, &mut headers) {
            Ok(message) if peer == self.population.pcscf(ue) => {
                self.unprotected(step, ue, &message);
            }
            _ => self.ignored += 1,
        }
        self.headers = Some(headers);
    }

    fn esp_datagram(
        &mut self,
        step: &mut Step<'_>,
        peer: SocketAddr,
        local: IpAddr,
        datagram: &mut [u8],
    ) {
        let Datagram::Esp(spi) = classify(datagram) else { return };
        let Some(ue) = self.population.ue_at(local) else { return };
        let recorded = self.recorder.wants(u64::from(ue)).then(|| datagram.to_vec());
        let set = self.ues[ue as usize].set.and_then(|key| self.sets.get_mut(key));
        let opened = set.and_then(|set| {
            let port = set.sa.port_of_spi(spi)?;
            set.sa.open(port, datagram).ok()
        });
        if let Some(wire) = recorded {
            let to = SocketAddr::new(local, self.settings.esp_port);
            let sip = opened.clone().map(|range| &datagram[range]);
            let number = u64::from(ue);
            self.recorder.note(number, step.now, Direction::In, peer, to, &wire, sip);
        }
        let Some(payload) = opened else {
            self.ignored += 1;
            return;
        };
        let mut headers = self.headers.take().expect("one message at a time");
        match parse(&datagram[payload], &mut headers) {
            Ok(message) => self.protected(step, ue, &message),
            Err(_) => self.ignored += 1,
        }
        self.headers = Some(headers);
    }

    /// Sends a UE's message, which `write` writes, sealed or plain.
    pub(crate) fn send(
        &mut self,
        step: &mut Step<'_>,
        ue: u32,
        protected: bool,
        write: impl FnOnce(&mut [u8]) -> Option<usize>,
    ) {
        let source = self.population.address(ue);
        let pcscf = self.population.pcscf(ue);
        let number = u64::from(ue);
        let recorder = self.recorder.wants(number).then_some(&mut self.recorder);
        let now = step.now;
        let sent = if protected {
            let Some(set) = self.ues[ue as usize].set.and_then(|key| self.sets.get_mut(key)) else {
                return;
            };
            let to = SocketAddr::new(pcscf.ip(), self.settings.pcscf_esp_port);
            let from = SocketAddr::new(source, self.settings.esp_port);
            let seed = self.random.next_u64();
            step.outbox.send(ESP, Some(source), to, |slot| {
                let end = slot.len().checked_sub(TAILROOM)?;
                let len = write(slot.get_mut(HEADROOM..end)?)?;
                let plain = recorder.is_some().then(|| slot[HEADROOM..HEADROOM + len].to_vec());
                // Over UDP everything goes from port_uc to port_ps (TS 33.203 clause 7.1, SA 1a).
                let range = set.sa.seal(LocalPort::Client, slot, HEADROOM, len, seed).ok()?;
                if let Some(recorder) = recorder {
                    let wire = &slot[range.clone()];
                    recorder.note(number, now, Direction::Out, from, to, wire, plain.as_deref());
                }
                Some(range)
            })
        } else {
            let from = SocketAddr::new(source, self.settings.port);
            step.outbox.send(UNPROTECTED, Some(source), pcscf, |slot| {
                let len = write(slot)?;
                if let Some(recorder) = recorder {
                    let wire = &slot[..len];
                    recorder.note(number, now, Direction::Out, from, pcscf, wire, Some(wire));
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
        if !self.recorder.wants(u64::from(ue)) {
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
            self.recorder.note_sa(u64::from(ue), association);
        }
    }
}

/// The longest message that a UE writes.
const TEXT_BYTES_MAX: usize = 4096;
/// A dialog's strings and Security-Server of a secured UE.
const STRINGS_BYTES_PER_UE: usize = 1024 + 512;
/// Requests that may have to be sent again.
const STRINGS_BYTES_BASE: usize = 64 << 20;

/// The durations that are armed again and again: each has a queue of its own.
fn timer_durations() -> Vec<u64> {
    let mut durations: Vec<u64> = (0..4).map(|step| TIMINGS.timer_e_ns(step)).collect();
    durations.extend([TIMINGS.timer_f_ns(), TIMER_N_NS, FORGET_NS]);
    durations.sort_unstable();
    durations.dedup();
    durations
}
