//! UEs without access security, each at an address of its own, against what a test answers them in virtual time.

use std::net::SocketAddr;
use std::sync::Arc;

use imstorm_base::io::{Datagram, Io, MemoryIo};
use imstorm_base::time::{NS_PER_MS, NS_PER_S, Time};
use imstorm_sip::header::HeaderName;
use imstorm_sip::{Index, Message, Method, parse};

use crate::generator::{Generator, RunSeed, UNPROTECTED};
use crate::measure::{Cause, Procedure};
use crate::population;
use crate::profile::Profile;
use crate::recorder::Capture;

const PCSCF: &str = "127.0.0.1:5060";

/// Two UEs, and a core that lets all pass.
struct Scene {
    generator: Generator,
    io: MemoryIo,
    now: Time,
    /// What UEs have sent, in order.
    sent: Vec<Datagram>,
}

impl Scene {
    fn new(more: &str) -> Self {
        let text = format!(
            "name = \"p\"\n[population]\nsize = 2\n[arrivals]\nprocess = \"constant\"\nrate_per_s = 1000\n\
             [ue]\naccess = \"registration\"\naccess_security = \"none\"\n{more}"
        );
        let profile =
            Profile::parse("p.toml", &text, &[]).unwrap_or_else(|error| panic!("{error}"));
        let directory = Arc::new(population::directory(&profile).unwrap());
        let seed = RunSeed { seed: 1, run: 7 };
        let generator = Generator::new(&profile, directory, seed, Capture::None);
        let io = MemoryIo::new(64, 4_096);
        Self { generator, io, now: 1_000_000_000_000, sent: Vec::new() }
    }

    /// Lets time pass in steps of 1 ms; what UEs send is answered as `core` says, which gives what it sends in turn.
    fn pass(&mut self, ns: u64, core: impl Fn(&Datagram, &Message<'_>) -> Vec<Datagram>) {
        let end = self.now + ns;
        while self.now < end {
            self.now += NS_PER_MS;
            self.generator.tick(self.now, &mut self.io);
            self.io.turn(0).unwrap();
            let departures: Vec<Datagram> = self.io.departures.drain(..).collect();
            for datagram in departures {
                let mut index = Index::default();
                let message = parse(&datagram.bytes, &mut index).expect("SIP");
                self.io.arrivals.extend(core(&datagram, &message));
                self.sent.push(datagram);
            }
            self.io.turn(0).unwrap();
        }
    }

    fn completed(&self, procedure: Procedure) -> u64 {
        self.generator.measurements().procedure(procedure).completed
    }
}

fn to_ue(local: Option<std::net::IpAddr>, bytes: Vec<u8>) -> Datagram {
    let peer: SocketAddr = PCSCF.parse().unwrap();
    Datagram { socket: UNPROTECTED, local, peer, bytes }
}

fn answer(datagram: &Datagram, message: &Message<'_>, status: u16, more: &str) -> Datagram {
    let mut out = [0; 4_096];
    let writer = imstorm_sip::response(message, status, Some(b"t"), &mut out[..]);
    let len = writer.finish().unwrap();
    let text = String::from_utf8_lossy(&out[..len]).into_owned();
    to_ue(datagram.local, text.replace("\r\n\r\n", &format!("\r\n{more}\r\n")).into_bytes())
}

/// A core that registers whoever asks, and brings all else to the other UE and back.
fn core(datagram: &Datagram, message: &Message<'_>) -> Vec<Datagram> {
    let text = String::from_utf8_lossy(&datagram.bytes).into_owned();
    let other = |local: Option<std::net::IpAddr>| {
        let own: std::net::IpAddr = "127.16.0.1".parse().unwrap();
        let next: std::net::IpAddr = "127.16.0.2".parse().unwrap();
        Some(if local == Some(own) { next } else { own })
    };
    if message.is_request() && message.method() == Method::Register {
        let contact = String::from_utf8_lossy(message.header(HeaderName::Contact).unwrap());
        let expires_s = message.expires().unwrap().unwrap_or(600);
        let lines = format!(
            "Contact: {contact};expires={expires_s}\r\nService-Route: <sip:scscf.ims.example;lr>\r\n"
        );
        return vec![answer(datagram, message, 200, &lines)];
    }
    if message.is_request() {
        let routed: String =
            text.split_inclusive("\r\n").filter(|line| !line.starts_with("Route:")).collect();
        let with_route = "Record-Route: <sip:127.0.0.1:5060;lr>\r\nMax-Forwards";
        let routed = routed.replacen("Max-Forwards", with_route, 1);
        return vec![to_ue(other(datagram.local), routed.into_bytes())];
    }
    vec![to_ue(other(datagram.local), text.into_bytes())]
}

const SERVICES: &str = "[procedures.refresh]\nafter_s = 1\ncount = 1\nexpires_s = 600\n\
    [procedures.message]\nafter_s = 2\n[procedures.call]\nafter_s = 3\nshare = 0.5\nring_s = 0.1\nholding_s = 0.5\n\
    [procedures.release]\nafter_s = 60\n";

#[test]
fn all_that_a_registered_ue_does_goes_without_security() {
    let mut scene = Scene::new(SERVICES);
    scene.pass(70 * NS_PER_S, core);
    let failures: Vec<_> = scene.generator.measurements().failures().iter().collect();
    assert_eq!(failures, []);
    for (procedure, count) in [
        (Procedure::Registration, 2),
        (Procedure::Refresh, 2),
        (Procedure::Message, 2),
        (Procedure::CallSetup, 1),
        (Procedure::CallRelease, 1),
        (Procedure::Release, 2),
    ] {
        assert_eq!(scene.completed(procedure), count, "{procedure:?}");
    }
    assert!(scene.generator.is_done());
    let state = scene.generator.state();
    assert_eq!((state.sets, state.messages_received, state.retransmissions), (0, 2, 0));
    for datagram in &scene.sent {
        let text = String::from_utf8_lossy(&datagram.bytes);
        assert_eq!((datagram.socket, datagram.peer), (UNPROTECTED, PCSCF.parse().unwrap()));
        for name in ["Security-", "sec-agree", "Authorization"] {
            assert!(!text.contains(name), "{text}");
        }
        if text.starts_with("MESSAGE") || text.starts_with("INVITE") {
            let routes = "Route: <sip:127.0.0.1:5060;lr>,<sip:scscf.ims.example;lr>\r\n";
            assert!(text.contains(routes), "{text}");
        }
        if let Some(contact) = text.lines().find(|line| line.starts_with("Contact: ")) {
            assert!(contact.contains(":5070>"), "the one port that it has: {contact}");
        }
    }
}

#[test]
fn a_challenge_has_no_answer() {
    for status in [401, 407] {
        let mut scene = Scene::new("");
        scene.pass(NS_PER_S, |datagram, message| {
            let challenge =
                "WWW-Authenticate: Digest realm=\"r\",nonce=\"n\",algorithm=AKAv1-MD5\r\n";
            vec![answer(datagram, message, status, challenge)]
        });
        let failures: Vec<_> = scene.generator.measurements().failures().iter().collect();
        assert_eq!(failures, [(Cause::CredentialsWanted, 2)]);
        assert_eq!(scene.sent.len(), 2);
        assert!(scene.generator.is_done());
    }
}

#[test]
fn a_registrar_that_knows_no_routes_will_do() {
    let more = "[procedures.message]\nafter_s = 0.1\n";
    let mut scene = Scene::new(more);
    scene.pass(2 * NS_PER_S, |datagram, message| {
        let mut answers = core(datagram, message);
        for answer in &mut answers {
            let text = String::from_utf8_lossy(&answer.bytes).into_owned();
            answer.bytes =
                text.replace("Service-Route: <sip:scscf.ims.example;lr>\r\n", "").into_bytes();
        }
        answers
    });
    assert_eq!(scene.completed(Procedure::Message), 2);
    let text = |it: &Datagram| String::from_utf8_lossy(&it.bytes).into_owned();
    let messages: Vec<String> =
        scene.sent.iter().map(text).filter(|text| text.starts_with("MESSAGE")).collect();
    assert_eq!(messages.len(), 2);
    assert!(messages.iter().all(|text| text.contains("Route: <sip:127.0.0.1:5060;lr>\r\n")));
}
