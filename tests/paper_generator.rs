//! The paper as the generator's UE keeps to it, on the wire: what its SUBSCRIBEs carry, which set each goes through, and what it
//! answers. The engine is the other side, on the tests' clock.

use std::net::SocketAddr;
use std::sync::Arc;

use imstorm::generator::{ESP, Generator, RunSeed, UNPROTECTED};
use imstorm::population::directory;
use imstorm::profile::Profile;
use imstorm::recorder::{Capture, Direction, EntryKind};
use imstorm_base::io::{Datagram, Io, MemoryIo};
use imstorm_base::{SocketId, seconds};
use tests::message::parameter;
use tests::ue::bare_uri;
use tests::{Layout, Text, World};

/// A message that the UE sent or got; whether it was in ESP.
struct Seen {
    out: bool,
    protected: bool,
    text: Text,
}

/// One of the generator's UEs lives through set-up, refresh and release. What it sent and got, in order.
fn life(layout: Layout) -> (World, Vec<Seen>) {
    life_by(layout, "subscription")
}

/// The same of a UE whose access is a subscription or a registration.
fn life_by(layout: Layout, access: &str) -> (World, Vec<Seen>) {
    let set: Vec<(String, String)> =
        [("population.size", "1"), ("arrivals.process", "\"constant\""), ("ue.access", access)]
            .into_iter()
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect();
    let profile = Profile::load("quickstart", &set).expect("a profile");
    let subscribers = Arc::new(directory(&profile).expect("subscribers"));
    let seed = RunSeed { seed: 7, run: 7 };
    let mut generator = Generator::new(&profile, subscribers, seed, Capture::Ues(vec![0, 1]));
    let mut io = MemoryIo::new(64, 4096);
    let mut world = World::new(layout);
    for _ in 0..4000 {
        if generator.is_done() {
            break;
        }
        generator.tick(world.now, &mut io);
        io.turn(0).expect("memory does not fail");
        let departures: Vec<Datagram> = io.departures.drain(..).collect();
        let quiet = departures.is_empty();
        for Datagram { socket, local, peer, bytes } in departures {
            let port = if socket == ESP { profile.ue.esp_port } else { profile.ue.port };
            let from = SocketAddr::new(local.expect("a UE's address"), port);
            world.datagram(from, peer, &bytes);
        }
        if quiet {
            world.advance(seconds(1) / 10);
        }
        for wire in world.to_ues.drain(..) {
            let socket: SocketId =
                if wire.to.port() == profile.ue.esp_port { ESP } else { UNPROTECTED };
            let (local, peer, bytes) = (Some(wire.to.ip()), wire.from, wire.bytes);
            io.arrivals.push_back(Datagram { socket, local, peer, bytes });
        }
        io.turn(0).expect("memory does not fail");
    }
    assert!(generator.is_done(), "{:?}", generator.state());
    let captures = generator.recorder().captures();
    assert_eq!(captures.len(), 1);
    let seen = captures[0].entries.iter().filter_map(|entry| match &entry.kind {
        EntryKind::Datagram { direction, wire, sip, .. } => {
            let text = Text::parse(sip.as_ref().unwrap_or(wire));
            Some(Seen { out: *direction == Direction::Out, protected: sip.is_some(), text })
        }
        EntryKind::Message { .. } | EntryKind::Event { .. } | EntryKind::Failure { .. } => None,
    });
    let seen = seen.collect();
    (world, seen)
}

/// A line for each message: which way, how, and what.
fn lines(seen: &[Seen]) -> Vec<String> {
    let line = |seen: &Seen| {
        let way = if seen.out { ">" } else { "<" };
        let how = if seen.protected { "esp" } else { "udp" };
        let status = seen.text.status();
        let status = if status > 0 { format!("{status} ") } else { String::new() };
        format!("{way} {how} {status}{}", seen.text.method())
    };
    seen.iter().map(line).collect()
}

/// The SUBSCRIBEs that it sent: the first, the answer, the refresh, the release.
fn subscribes(seen: &[Seen]) -> [&Seen; 4] {
    let sent = seen.iter().filter(|seen| seen.out && seen.text.method() == "SUBSCRIBE");
    let sent: Vec<&Seen> = sent.collect();
    sent.try_into().unwrap_or_else(|sent: Vec<&Seen>| panic!("{} SUBSCRIBEs", sent.len()))
}

#[test]
fn its_life_message_by_message() {
    for layout in [Layout::Together, Layout::Each] {
        let (world, seen) = life(layout);
        let lines = lines(&seen);
        // The 200 and its NOTIFY may come in either order.
        let sorted = |range: std::ops::Range<usize>| {
            let mut lines = lines[range].to_vec();
            lines.sort();
            lines
        };
        let granted = ["< esp 200 SUBSCRIBE", "< esp NOTIFY", "> esp 200 NOTIFY"];
        assert_eq!(lines.len(), 14, "{lines:#?}");
        assert_eq!(lines[..3], ["> udp SUBSCRIBE", "< udp 401 SUBSCRIBE", "> esp SUBSCRIBE"]);
        assert_eq!(sorted(3..6), granted, "{layout:?}");
        assert_eq!(lines[6], "> esp SUBSCRIBE");
        assert_eq!(sorted(7..10), granted, "{layout:?}");
        assert_eq!(lines[10], "> esp SUBSCRIBE");
        assert_eq!(sorted(11..14), granted, "{layout:?}");
        world.assert_empty();
    }
}

#[test]
fn its_subscribes_carry_what_a_register_would() {
    let (_, seen) = life(Layout::Each);
    let [first, answer, refresh, release] = subscribes(&seen);
    let client = first.text.expect("Security-Client");
    for sent in [first, answer, refresh, release] {
        // TS 24.229 clause 5.1.1.2.2, of REGISTER.
        let credentials = sent.text.expect("Authorization");
        assert!(credentials.starts_with("Digest "), "{credentials}");
        assert_eq!(parameter(credentials, "realm"), Some("ims.example"));
        assert!(parameter(credentials, "username").expect("a user").ends_with("@ims.example"));
        assert_eq!(parameter(credentials, "uri"), Some(sent.text.uri()));
        assert_eq!(parameter(credentials, "integrity-protected"), None);
        for option in ["Require", "Proxy-Require"] {
            assert_eq!(sent.text.all(option), ["sec-agree, secevt"], "{}", sent.text);
        }
        assert_eq!(sent.text.all("Supported"), ["path"]);
        assert!(sent.text.expect("Security-Client").starts_with("ipsec-3gpp"));
        assert_eq!(sent.text.expect("Event"), "security");
    }
    let of_first = first.text.expect("Authorization");
    assert_eq!(parameter(of_first, "nonce"), Some(""));
    assert_eq!(parameter(of_first, "response"), Some(""));
    assert!(!first.protected && first.text.header("Security-Verify").is_none());
    assert_eq!(answer.text.expect("Security-Client"), client, "the same again");
    let challenge = seen.iter().find(|seen| seen.text.status() == 401).expect("a challenge");
    let server = challenge.text.all("Security-Server").join(", ");
    for sent in [answer, refresh, release] {
        assert!(sent.protected);
        assert_eq!(sent.text.all("Security-Verify").join(", "), server);
        let credentials = sent.text.expect("Authorization");
        assert_eq!(parameter(credentials, "response").map(str::len), Some(32), "{credentials}");
    }
    // A refresh offers new associations, in case that it is challenged.
    assert_ne!(refresh.text.expect("Security-Client"), client);
}

#[test]
fn its_refresh_and_release_go_inside_the_dialog() {
    let (world, seen) = life(Layout::Each);
    let [first, answer, refresh, release] = subscribes(&seen);
    let ok = seen.iter().find(|seen| seen.text.status() == 200 && !seen.out).expect("a 200");
    for outside in [first, answer] {
        assert_eq!(parameter(outside.text.expect("To"), "tag"), None);
        assert_eq!(outside.text.header("Route"), None, "a new security subscription has none");
    }
    for inside in [refresh, release] {
        assert_eq!(inside.text.uri(), bare_uri(ok.text.expect("Contact")));
        assert_eq!(inside.text.expect("To"), ok.text.expect("To"));
        assert_eq!(inside.text.expect("Call-ID"), first.text.expect("Call-ID"));
        assert_eq!(inside.text.all("Route"), [format!("<sip:{}:5063;lr>", world.pcscf.ip())]);
    }
    let cseqs = [first, answer, refresh, release].map(|sent| sent.text.cseq());
    assert!(cseqs.windows(2).all(|two| two[1] > two[0]), "{cseqs:?}");
    assert_eq!(refresh.text.expect("Expires"), "600");
    assert_eq!(release.text.expect("Expires"), "0");
}

#[test]
fn one_that_registers_lives_the_same_life_with_register() {
    for layout in [Layout::Together, Layout::Each] {
        let (mut world, seen) = life_by(layout, "registration");
        let set_up = ["> udp REGISTER", "< udp 401 REGISTER"];
        let granted = ["> esp REGISTER", "< esp 200 REGISTER"];
        assert_eq!(lines(&seen), [set_up, granted, granted, granted].concat(), "{layout:?}");
        let client = seen[0].text.expect("Security-Client");
        let server = seen[1].text.all("Security-Server").join(", ");
        let sent: Vec<&Seen> = seen.iter().filter(|seen| seen.out).collect();
        for seen in &sent {
            // TS 24.229 clause 5.1.1.2.
            assert_eq!(seen.text.uri(), "sip:ims.example");
            assert_eq!(seen.text.expect("Call-ID"), sent[0].text.expect("Call-ID"));
            assert_eq!(parameter(seen.text.expect("To"), "tag"), None);
            assert_eq!(seen.text.header("Event"), None);
            for option in ["Require", "Proxy-Require"] {
                assert_eq!(seen.text.all(option), ["sec-agree"], "{}", seen.text);
            }
            let credentials = seen.text.expect("Authorization");
            assert_eq!(parameter(credentials, "uri"), Some("sip:ims.example"));
        }
        assert_eq!(sent[1].text.expect("Security-Client"), client, "the same again");
        assert_ne!(sent[2].text.expect("Security-Client"), client);
        for seen in &sent[1..] {
            assert_eq!(seen.text.all("Security-Verify").join(", "), server);
        }
        let expires: Vec<&str> = sent.iter().map(|seen| seen.text.expect("Expires")).collect();
        assert_eq!(expires, ["600", "600", "600", "0"]);
        let cseqs: Vec<u32> = sent.iter().map(|seen| seen.text.cseq()).collect();
        assert_eq!(cseqs, [1, 2, 3, 4]);
        world.advance(seconds(400));
        world.assert_empty();
    }
}
