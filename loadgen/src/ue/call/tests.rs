//! Sessions between UEs over a core that does nothing but pass messages on, and over a network that loses and doubles them.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;

use imstorm_base::io::{Datagram, Io, MemoryIo};
use imstorm_base::random::Random;
use imstorm_base::time::{NS_PER_MS, Time, seconds};
use imstorm_esp::{
    Associations, HEADROOM, LocalPort, Mode, SaSet, SecurityParameters, Suite, TAILROOM, classify,
};

use super::super::{Stage, UeSet};
use crate::generator::{ESP, Generator, RunSeed};
use crate::measure::{Cause, Procedure, Tally, Transaction};
use crate::population::Population;
use crate::profile::Profile;
use crate::recorder::Capture;
use crate::ue::remote::Remote;

const START: Time = seconds(1000);
const PORT_PS: u16 = 5063;

/// Two UEs, the other ends of their security associations, and the network in between.
struct Scene {
    generator: Generator,
    population: Population,
    sets: Vec<SaSet>,
    io: MemoryIo,
    now: Time,
    random: Random,
    loss: f64,
    under_way: VecDeque<(Time, Datagram)>,
    /// First lines of what UEs sent, with the sender's number.
    sent: Vec<(u32, String)>,
    /// What the core does not pass on, by how the text begins.
    drops: Option<&'static str>,
}

impl Scene {
    fn new(call: &str, loss: f64, seed: u64) -> Self {
        let text = format!(
            "name = \"calls\"\n[population]\nsize = 2\n[arrivals]\nprocess = \"constant\"\nrate_per_s = 0.0001\n\
             [procedures.register_over_connection]\nafter_s = 1\ncount = 1\n\
             [procedures.call]\nafter_s = 1\njitter = 0.5\n{call}\n"
        );
        let profile = Profile::parse("calls.toml", &text, &[]).unwrap();
        let directory = Arc::new(crate::population::directory(&profile).unwrap());
        let mut generator =
            Generator::new(&profile, directory, RunSeed { seed, run: 1 }, Capture::None);
        let mut io = MemoryIo::new(64, 4096);
        generator.tick(START, &mut io);
        let population = generator.population.clone();
        let sets = (0..2).map(|ue| secure(&mut generator, ue)).collect();
        Self {
            generator,
            population,
            sets,
            io,
            now: START,
            random: Random::new(seed),
            loss,
            under_way: VecDeque::new(),
            sent: Vec::new(),
            drops: None,
        }
    }

    /// The first UE calls, the second is called.
    fn with_one_call(call: &str, loss: f64, seed: u64) -> Self {
        let mut scene = Self::new(call, loss, seed);
        for ue in 0..2 {
            let count = u16::from(ue == 0);
            scene.generator.left.set(ue as u32, Procedure::CallSetup, count);
        }
        let mut io = imstorm_base::io::Outbox::new(4, 4096);
        let mut step = crate::generator::Step { now: START, outbox: &mut io };
        scene.generator.arm_procedure(&step, 0, Procedure::CallSetup);
        scene.generator.go_on(&mut step, 1);
        scene
    }

    fn run_until(&mut self, end: Time) {
        while self.now < end {
            let arrival = self.under_way.iter().map(|(at, _)| *at).min();
            let timer = self.generator.timers.next_deadline();
            let Some(next) = [arrival, timer].into_iter().flatten().min() else { break };
            self.now = next.clamp(self.now, end);
            let now = self.now;
            let (due, later) = self.under_way.drain(..).partition(|(at, _)| *at <= now);
            self.under_way = later;
            let due: VecDeque<(Time, Datagram)> = due;
            self.io.arrivals.extend(due.into_iter().map(|(_, datagram)| datagram));
            self.io.turn(0).unwrap();
            self.generator.tick(self.now, &mut self.io);
            self.io.turn(0).unwrap();
            let departures: Vec<Datagram> = self.io.departures.drain(..).collect();
            for departure in departures {
                self.pass_on(departure);
            }
        }
    }

    fn run(&mut self) {
        self.run_until(START + seconds(3000));
    }

    /// From a UE to the core, through it, and to the other UE.
    fn pass_on(&mut self, departure: Datagram) {
        let ue = self.population.ue_at(departure.local.unwrap()).unwrap();
        let mut bytes = departure.bytes;
        let imstorm_esp::Datagram::Esp(_) = classify(&bytes) else { panic!("not in ESP") };
        let range = self.sets[ue as usize].open(LocalPort::Server, &mut bytes).unwrap();
        let text = String::from_utf8(bytes[range].to_vec()).unwrap();
        self.sent.push((ue, text.lines().next().unwrap().to_owned()));
        if self.drops.is_some_and(|start| text.starts_with(start)) {
            return;
        }
        let text = proxied(&text, self.population.pcscf(1 - ue));
        for _ in 0..2 {
            if self.random.unit() < self.loss {
                continue;
            }
            let delay_ns = (5 + self.random.below(35)) * NS_PER_MS;
            let datagram = self.sealed(1 - ue, text.as_bytes());
            self.under_way.push_back((self.now + delay_ns, datagram));
            // A second copy where the network doubles.
            if self.random.unit() >= self.loss {
                break;
            }
        }
    }

    fn sealed(&mut self, ue: u32, text: &[u8]) -> Datagram {
        let mut slot = vec![0; HEADROOM + text.len() + TAILROOM];
        slot[HEADROOM..HEADROOM + text.len()].copy_from_slice(text);
        let set = &mut self.sets[ue as usize];
        let range = set.seal(LocalPort::Client, &mut slot, HEADROOM, text.len(), 1).unwrap();
        let peer = SocketAddr::new(self.population.pcscf(ue).ip(), 4500);
        let local = Some(self.population.address(ue));
        Datagram { socket: ESP, local, peer, bytes: slot[range].to_vec() }
    }

    fn tally(&self, procedure: Procedure) -> Tally {
        self.generator.measurements().procedure(procedure)
    }

    /// How often a UE sent what begins so.
    fn sent(&self, ue: u32, start: &str) -> usize {
        self.sent.iter().filter(|(from, line)| *from == ue && line.starts_with(start)).count()
    }

    /// Nothing is left of sessions but what the UEs had before.
    fn assert_over(&self, established: u64) {
        let sessions = self.generator.state().sessions;
        assert_eq!((sessions.established, sessions.released), (established, established));
        assert_eq!(sessions.lost, 0);
        assert_eq!(self.generator.legs.len(), 0);
        // Of each UE its service route.
        assert_eq!(self.generator.strings.len(), 2);
        assert_eq!(self.generator.state().under_way, 0);
        let failures: Vec<_> = self.generator.measurements().failures().iter().collect();
        assert_eq!(failures, []);
    }
}

/// A UE that has been secured and registered; the other ends of its security associations.
fn secure(generator: &mut Generator, ue: u32) -> SaSet {
    let place = ue as usize;
    generator.ues[place].offer = 1;
    let settings = &generator.settings;
    let side = generator.ues[place].client_side(ue, &settings.ports_uc, settings.port_us);
    let parameters = SecurityParameters {
        spi_uc: side.spi_uc,
        spi_us: side.spi_us,
        port_uc: side.port_uc,
        port_us: side.port_us,
        spi_pc: 2 * ue + 1000,
        spi_ps: 2 * ue + 1001,
        port_pc: 5062,
        port_ps: PORT_PS,
        ue_ip: generator.population.address(ue),
        pcscf_ip: generator.population.pcscf(ue).ip(),
        suite: Suite::ALL[0],
        mode: Mode::UdpTunnel,
    };
    let (ck, ik) = ([1; 16], [2; 16]);
    let sa = Associations::for_ue(&parameters, &ck, &ik);
    let (port_pc, port_ps) = (parameters.port_pc, parameters.port_ps);
    let (servers, strings) = (&mut generator.servers, &mut generator.strings);
    let server = servers.keep(b"ipsec-3gpp;q=0.5", &sa, (port_pc, port_ps), strings).unwrap();
    let set = UeSet { sa, port_pc, port_ps, offer: 1, pcscf_turn: 0, server };
    let set = generator.sets.insert(set).unwrap();
    let service_route = b"<sip:s@127.0.0.1:6260;lr>";
    let mut text = [0; 64];
    let len = Remote { service_route, ..Remote::default() }.encode(&mut text).unwrap();
    let remote = generator.strings.store(&text[..len]).unwrap();
    let state = &mut generator.ues[place];
    state.set = set.into();
    state.remote = remote;
    state.attempt = 1;
    state.is_current = true;
    state.is_bound = true;
    generator.change_stage(ue, Stage::Secured);
    SaSet::for_pcscf(&parameters, &ck, &ik)
}

/// A message as the core passes it on towards the UE of this P-CSCF: a Via more or less, no Route, a Record-Route in INVITEs.
fn proxied(text: &str, pcscf: SocketAddr) -> String {
    let mut lines: Vec<&str> = text.split("\r\n").collect();
    let is_response = text.starts_with("SIP/2.0");
    let own = format!("Record-Route: <sip:{}:{PORT_PS};lr>", pcscf.ip());
    let via = lines.iter().find_map(|line| line.split_once("branch=")).unwrap().1.to_owned();
    let via = format!("Via: SIP/2.0/UDP {}:{PORT_PS};branch={via}", pcscf.ip());
    if is_response {
        let first = lines.iter().position(|line| line.starts_with("Via:")).unwrap();
        lines.remove(first);
    } else {
        lines.retain(|line| !line.starts_with("Route:"));
        lines.insert(1, &via);
        if text.starts_with("INVITE") {
            lines.insert(1, &own);
        }
    }
    lines.join("\r\n")
}

const SEEDS: std::ops::RangeInclusive<u64> = 1..=10;

#[test]
fn a_call_message_by_message() {
    let mut scene = Scene::with_one_call("holding_s = 20\ncallee_hangs_up_share = 0", 0.0, 1);
    scene.run();
    scene.assert_over(1);
    let lines: Vec<String> = scene.sent.iter().map(|(ue, line)| format!("{ue} {line}")).collect();
    let short: Vec<String> = lines
        .iter()
        .map(|line| {
            let mut words = line.split(' ');
            let (ue, first) = (words.next().unwrap(), words.next().unwrap());
            let what = if first == "SIP/2.0" { words.next().unwrap() } else { first };
            format!("{ue} {what}")
        })
        .collect();
    let expected =
        ["0 INVITE", "1 183", "0 PRACK", "1 200", "1 180", "1 200", "0 ACK", "0 BYE", "1 200"];
    assert_eq!(short, expected);
    assert_eq!(scene.tally(Procedure::CallSetup).completed, 1);
    assert_eq!(scene.tally(Procedure::CallRelease).completed, 1);
}

#[test]
fn calls_come_through_a_network_that_loses_and_doubles() {
    for seed in SEEDS {
        let mut scene = Scene::with_one_call("holding_s = 60", 0.15, seed);
        scene.run();
        scene.assert_over(1);
    }
}

#[test]
fn either_party_hangs_up() {
    for (share, party) in [("0", 0), ("1", 1)] {
        let call = format!("holding_s = 20\ncallee_hangs_up_share = {share}");
        let mut scene = Scene::with_one_call(&call, 0.0, 1);
        scene.run();
        scene.assert_over(1);
        assert_eq!((scene.sent(party, "BYE"), scene.sent(1 - party, "BYE")), (1, 0));
    }
}

#[test]
fn without_reliable_provisional_responses_the_answer_is_in_the_200() {
    let mut scene = Scene::with_one_call("holding_s = 20\nreliable_provisional = false", 0.0, 1);
    scene.run();
    scene.assert_over(1);
    assert_eq!((scene.sent(0, "PRACK"), scene.sent(1, "SIP/2.0 183")), (0, 0));
}

#[test]
fn a_call_that_is_given_up_is_no_failure() {
    for seed in SEEDS {
        let mut scene = Scene::with_one_call("ring_s = 20\nabandoned_share = 1", 0.1, seed);
        scene.run();
        scene.assert_over(0);
        assert_eq!(scene.tally(Procedure::CallSetup).abandoned, 1);
        assert!(scene.sent(0, "CANCEL") > 0 && scene.sent(1, "SIP/2.0 487") > 0);
    }
}

#[test]
fn sessions_are_refreshed_at_half_their_interval() {
    for (by, method) in [("update", "UPDATE"), ("invite", "INVITE")] {
        for seed in SEEDS {
            let call = format!("session_expires_s = 300\nrefresh_by = \"{by}\"");
            let mut scene = Scene::with_one_call(&call, if seed > 1 { 0.1 } else { 0.0 }, seed);
            scene.run_until(START + seconds(1000));
            let refreshes = scene.tally(Procedure::SessionRefresh);
            assert!((5..=6).contains(&refreshes.completed), "{}", refreshes.completed);
            assert_eq!((refreshes.failed, scene.generator.state().sessions.up()), (0, 1));
            if seed == 1 {
                let first = usize::from(method == "INVITE");
                assert_eq!(scene.sent(0, method), 6 + first);
            }
        }
    }
}

#[test]
fn a_session_that_is_not_refreshed_is_lost() {
    let mut scene = Scene::with_one_call("session_expires_s = 300", 0.0, 1);
    scene.drops = Some("UPDATE");
    scene.run();
    let sessions = scene.generator.state().sessions;
    assert_eq!((sessions.established, sessions.released, sessions.lost), (1, 0, 1));
    assert!(scene.sent(1, "BYE") > 0, "the callee does not wait for its end");
    assert_eq!(scene.tally(Procedure::SessionRefresh).failed, 0, "a BYE ends it");
}

#[test]
fn a_callee_whose_2xx_is_not_acknowledged_ends_the_session() {
    let mut scene = Scene::with_one_call("", 0.0, 1);
    scene.drops = Some("ACK");
    scene.run();
    let sessions = scene.generator.state().sessions;
    assert_eq!((sessions.established, sessions.released, sessions.lost), (1, 0, 1));
    // T1 doubled up to T2, until 64 T1 have passed.
    assert_eq!(scene.generator.legs.len(), 0);
    let ok = scene.generator.measurements().transaction(Transaction::Bye);
    assert_eq!((ok.attempted, ok.completed), (1, 1));
}

#[test]
fn an_invite_that_nobody_answers_times_out() {
    let mut scene = Scene::with_one_call("", 0.0, 1);
    scene.drops = Some("INVITE");
    scene.run();
    assert_eq!(scene.generator.measurements().failures().of(Cause::Timeout), 1);
    // At once, and 2, 6, 14, 30, 62 and 126 s later.
    assert_eq!(scene.sent(0, "INVITE"), 7);
    assert_eq!((scene.generator.legs.len(), scene.generator.state().under_way), (0, 0));
}

#[test]
fn both_call_each_other_and_no_more_than_they_can() {
    for seed in SEEDS {
        let mut scene = Scene::new("count = 5\nholding_s = 10", 0.05, seed);
        let mut io = imstorm_base::io::Outbox::new(4, 4096);
        for ue in 0..2 {
            scene.generator.left.set(ue, Procedure::CallSetup, 5);
            let step = crate::generator::Step { now: START, outbox: &mut io };
            scene.generator.arm_procedure(&step, ue, Procedure::CallSetup);
        }
        scene.run();
        scene.assert_over(10);
        let state = scene.generator.state();
        assert_eq!(scene.generator.resting, 2, "{state:?}");
    }
}

impl Scene {
    /// Runs until a UE has sent what begins so.
    fn run_until_sent(&mut self, ue: u32, start: &str) {
        for second in 1..3000 {
            if self.sent(ue, start) > 0 {
                return;
            }
            self.run_until(START + seconds(second));
        }
        panic!("{ue} never sent {start}");
    }

    fn leg(&mut self, ue: u32) -> &mut super::Leg {
        let (key, _) = self.generator.legs_of(ue).next().unwrap();
        self.generator.legs.get_mut(key).unwrap()
    }
}

#[test]
fn a_session_whose_move_is_under_way_does_not_expire() {
    let mut scene = Scene::with_one_call("session_expires_s = 300", 0.0, 1);
    scene.run_until_sent(0, "ACK");
    scene.drops = Some("UPDATE");
    scene.leg(1).is_moving = true;
    scene.run_until(START + seconds(400));
    assert_eq!((scene.sent(0, "BYE"), scene.sent(1, "BYE")), (1, 0), "the caller's refresh fails");
}

#[test]
fn a_leg_that_was_replaced_refreshes_nothing_and_does_not_expire() {
    let mut scene = Scene::with_one_call("session_expires_s = 300", 0.0, 1);
    scene.run_until_sent(0, "ACK");
    for ue in 0..2 {
        scene.leg(ue).is_replaced = true;
    }
    scene.run_until(START + seconds(1000));
    for (ue, method) in [(0, "UPDATE"), (0, "BYE"), (1, "BYE")] {
        assert_eq!(scene.sent(ue, method), 0, "{method}");
    }
}

#[test]
fn who_is_about_to_leave_takes_the_call_that_it_waits_for() {
    let mut scene = Scene::with_one_call("holding_s = 20", 0.0, 1);
    scene.drops = Some("INVITE");
    scene.run_until_sent(0, "INVITE");
    scene.drops = None;
    scene.generator.ues[1].is_leaving = true;
    scene.run();
    scene.assert_over(1);
}

#[test]
fn a_bye_that_the_wanted_end_of_the_connection_overtakes_is_no_failure() {
    let mut scene = Scene::with_one_call("holding_s = 20\ncallee_hangs_up_share = 0", 0.0, 1);
    scene.drops = Some("BYE");
    scene.run_until_sent(0, "BYE");
    scene.generator.expect_end_of_calls(0);
    let mut io = imstorm_base::io::Outbox::new(4, 4096);
    let mut step = crate::generator::Step { now: scene.now, outbox: &mut io };
    scene.generator.drop_calls(&mut step, 0);
    let release = scene.tally(Procedure::CallRelease);
    assert_eq!((release.attempted, release.abandoned, release.failed), (1, 1, 0));
}
