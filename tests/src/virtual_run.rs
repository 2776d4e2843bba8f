//! A generator of plain UEs against a known target, in virtual time: nothing takes time but what the target takes.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use imstorm::generator::{Generator, RunSeed, UNPROTECTED};
use imstorm::measure::{Measurements, Procedure, Start, Tally};
use imstorm::population;
use imstorm::profile::Profile;
use imstorm::recorder::Capture;
use imstorm_base::Io;
use imstorm_base::io::{Datagram, MemoryIo};
use imstorm_base::time::Time;

use crate::fifo::{Fate, Fifo, FifoSpec, answer};

/// When the runs begin: times below are counted from here.
pub const START: Time = 1_000_000_000_000;
/// More datagrams than any tick here has.
const SLOTS: usize = 4_096;
const SLOT_BYTES: usize = 2_112;

/// A run that is over.
#[derive(Debug)]
pub struct VirtualRun {
    /// The generator at its end.
    pub generator: Generator,
    /// The target at its end; its times are counted from [`START`].
    pub fifo: Fifo,
    /// The profile.
    pub profile: Profile,
}

/// When the generator has its ticks.
#[derive(Copy, Clone, Debug)]
pub enum Ticks {
    /// Whenever something is due or has come.
    OnTime,
    /// Once in so many nanoseconds only: what is due or comes in between waits.
    Every(u64),
}

impl VirtualRun {
    /// Runs REGISTERs of `ues` plain UEs, with what `more` adds to the profile, until nothing is under way.
    #[must_use]
    pub fn new(ues: u64, arrivals: &str, more: &str, spec: FifoSpec, ticks: Ticks) -> Self {
        let text = format!(
            "name = \"known\"\n[population]\nsize = {ues}\n[arrivals]\n{arrivals}\n{more}\n\
             [ue]\naccess = \"registration\"\naccess_security = \"none\"\nshared_address = true\nt1_ms = 2000\n"
        );
        let profile = Profile::parse("known.toml", &text, &[]);
        Self::of(profile.unwrap_or_else(|error| panic!("{error}")), spec, ticks)
    }

    /// Runs a profile of plain UEs.
    #[must_use]
    pub fn of(profile: Profile, spec: FifoSpec, ticks: Ticks) -> Self {
        Self::prepared(profile, spec, ticks, |_| ())
    }

    /// The same with a generator that was told something before.
    #[must_use]
    pub fn prepared(
        profile: Profile,
        spec: FifoSpec,
        ticks: Ticks,
        prepare: impl FnOnce(&mut Generator),
    ) -> Self {
        let directory = Arc::new(population::directory(&profile).expect("it is derived"));
        let seed = RunSeed { seed: 1, run: 7 };
        let mut generator = Generator::new(&profile, directory, seed, Capture::None);
        prepare(&mut generator);
        let mut io = MemoryIo::new(SLOTS, SLOT_BYTES);
        let mut fifo = Fifo::new(spec);
        // Answers on their way, by when they leave and their number.
        let mut answers = BTreeMap::<(Time, usize), (SocketAddr, Vec<u8>)>::new();
        let (mut now, mut sent) = (START, 0);
        while !generator.is_done() {
            io.arrivals.clear();
            while let Some(first) = answers.first_entry()
                && first.key().0 <= now
            {
                let (peer, bytes) = first.remove();
                io.arrivals.push_back(Datagram { socket: UNPROTECTED, local: None, peer, bytes });
            }
            assert!(io.arrivals.len() <= SLOTS, "a tick takes all that has come");
            io.turn(0).expect("it is memory");
            generator.tick(now, &mut io);
            io.turn(0).expect("it is memory");
            for Datagram { peer, bytes, .. } in io.departures.drain(..) {
                let (at, status) = match fifo.arrive(now - START, &bytes) {
                    Fate::Served(at) => (START + at, 200),
                    Fate::Refused => (now, 503),
                    Fate::Lost => continue,
                };
                sent += 1;
                answers.insert((at, sent), (peer, answer(&bytes, status)));
            }
            let next_answer = answers.keys().next().map(|(at, _)| *at);
            let due = [generator.next_deadline(), next_answer].into_iter().flatten().min();
            now = match (ticks, due) {
                (_, None) => break,
                (Ticks::OnTime, Some(due)) => due.max(now),
                (Ticks::Every(gap_ns), Some(_)) => now + gap_ns,
            };
        }
        assert!(generator.is_done(), "nothing is to come, but it is not over");
        assert_eq!(generator.state().outbox_full, 0);
        Self { generator, fifo, profile }
    }

    /// What was measured of registrations.
    #[must_use]
    pub fn registrations(&self) -> Tally {
        self.generator.measurements().procedure(Procedure::Registration)
    }

    /// When each of the requests came first, in order.
    #[must_use]
    pub fn first_arrivals(&self) -> Vec<Time> {
        let mut first = vec![Time::MAX; self.fifo.requests()];
        for arrival in &self.fifo.arrivals {
            first[arrival.number] = first[arrival.number].min(arrival.at);
        }
        first
    }
}

/// The tally of registrations that took these times, in nanoseconds.
#[must_use]
pub fn tally_of(latencies_ns: impl IntoIterator<Item = u64>) -> Tally {
    let mut expected = Measurements::new();
    for latency_ns in latencies_ns {
        expected.attempted(Procedure::Registration, Start::default());
        expected.completed(Procedure::Registration, Start::default(), latency_ns);
    }
    expected.procedure(Procedure::Registration)
}
