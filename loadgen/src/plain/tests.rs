//! Plain UEs against what a test puts on the wire, in virtual time.
#![allow(
    clippy::redundant_closure_for_method_calls,
    reason = "a method's name alone is not general enough for `with`"
)]

use std::net::SocketAddr;
use std::sync::Arc;

use imstorm_base::io::{Datagram, Io, MemoryIo};
use imstorm_base::time::{NS_PER_MS, Time, seconds};
use imstorm_sip::header::HeaderName;
use imstorm_sip::{Index, Message, Method, parse};

use crate::generator::{Generator, RunSeed, UNPROTECTED};
use crate::measure::{Cause, Procedure, Tally};
use crate::population;
use crate::profile::Profile;
use crate::recorder::Capture;

const START: Time = 1_000_000_000_000;
const T1_NS: u64 = 500 * NS_PER_MS;
const SERVER: &str = "127.0.0.1:5060";
const OTHER: &str = "127.0.0.9:5099";

/// UEs in virtual time, and what they have sent.
struct Scene {
    generator: Generator,
    io: MemoryIo,
    now: Time,
    sent: Vec<(SocketAddr, Vec<u8>)>,
}

impl Scene {
    fn new(more: &str) -> Self {
        let text = format!(
            "name = \"p\"\n[population]\nsize = 1\n[arrivals]\nprocess = \"constant\"\nrate_per_s = 1000\n\
             [ue]\naccess = \"registration\"\naccess_security = \"none\"\nshared_address = true\nt1_ms = 500\n{more}"
        );
        let profile =
            Profile::parse("p.toml", &text, &[]).unwrap_or_else(|error| panic!("{error}"));
        let directory = Arc::new(population::directory(&profile).unwrap());
        let seed = RunSeed { seed: 1, run: 7 };
        let generator = Generator::new(&profile, directory, seed, Capture::None);
        let io = MemoryIo::new(64, 2_112);
        let mut scene = Self { generator, io, now: START, sent: Vec::new() };
        scene.tick();
        scene.pass(NS_PER_MS);
        scene
    }

    fn calling(more: &str) -> Self {
        Self::new(&format!(
            "register = false\n[procedures.call]\nafter_s = 0\ntarget = \"sip:service@127.0.0.1:5060\"\n{more}"
        ))
    }

    fn tick(&mut self) {
        self.generator.tick(self.now, &mut self.io);
        self.io.turn(0).unwrap();
        let sent = self.io.departures.drain(..).map(|it| (it.peer, it.bytes));
        self.sent.extend(sent);
    }

    fn pass(&mut self, ns: u64) {
        self.now += ns;
        self.tick();
    }

    /// Lets time go on from timer to timer.
    fn pass_by_timers(&mut self, ns: u64) {
        let end = self.now + ns;
        while let Some(at) = self.generator.next_deadline().filter(|at| *at <= end) {
            self.pass(at.saturating_sub(self.now));
        }
        self.pass(end - self.now);
    }

    /// What was sent since the last time, each with where it went.
    fn take(&mut self) -> Vec<(SocketAddr, Vec<u8>)> {
        std::mem::take(&mut self.sent)
    }

    fn take_one(&mut self) -> Vec<u8> {
        let mut sent = self.take();
        assert_eq!(sent.len(), 1, "{}", shown(&sent));
        sent.remove(0).1
    }

    fn receive(&mut self, bytes: &[u8]) {
        let peer = SERVER.parse().unwrap();
        let bytes = bytes.to_vec();
        self.io.arrivals.push_back(Datagram { socket: UNPROTECTED, local: None, peer, bytes });
        self.io.turn(0).unwrap();
        self.tick();
    }

    /// The answer to a request, with these lines besides.
    fn answer(&mut self, request: &[u8], status: u16, more: &str) {
        let text = with(request, |message| {
            let mut out = [0; 2_048];
            let tag = Some(&b"theirs"[..]).filter(|_| status > 100);
            let writer = imstorm_sip::response(message, status, tag, &mut out[..]);
            let len = writer.finish().unwrap();
            out[..len].to_vec()
        });
        let text = String::from_utf8(text).unwrap();
        self.receive(text.replace("\r\n\r\n", &format!("\r\n{more}\r\n")).as_bytes());
    }

    /// 200 that lists the contact.
    fn bind(&mut self, register: &[u8], more: &str) {
        let contact = with(register, |it| it.header(HeaderName::Contact).unwrap().to_vec());
        let contact = String::from_utf8(contact).unwrap();
        self.answer(register, 200, &format!("Contact: {contact}{more}\r\n"));
    }

    fn tally(&self, procedure: Procedure) -> Tally {
        self.generator.measurements().procedure(procedure)
    }

    fn failures(&self) -> Vec<(Cause, u64)> {
        self.generator.measurements().failures().iter().collect()
    }
}

fn with<R>(text: &[u8], read: impl FnOnce(&Message<'_>) -> R) -> R {
    let mut index = Index::default();
    let message = parse(text, &mut index).unwrap_or_else(|error| panic!("{error:?}"));
    read(&message)
}

fn method(text: &[u8]) -> Method {
    with(text, |message| message.method())
}

fn shown(sent: &[(SocketAddr, Vec<u8>)]) -> String {
    sent.iter().map(|(_, text)| String::from_utf8_lossy(text).into_owned()).collect()
}

const CONTACT: &str = "Contact: <sip:uas@127.0.0.9:5099>\r\n";

#[test]
fn a_registration_has_nothing_of_security_and_is_refreshed_and_ended() {
    let mut scene = Scene::new(
        "[procedures.refresh]\nafter_s = 10\ncount = 1\nexpires_s = 600\n[procedures.release]\nafter_s = 30\n",
    );
    let first = scene.take_one();
    with(&first, |register| {
        assert_eq!(register.check(), Ok(()));
        assert_eq!(register.method(), Method::Register);
        for name in [
            HeaderName::Authorization,
            HeaderName::SecurityClient,
            HeaderName::SecurityVerify,
            HeaderName::Require,
            HeaderName::ProxyRequire,
        ] {
            assert_eq!(register.header(name), None, "{name:?}");
        }
        assert_eq!(register.expires(), Ok(Some(600)));
        assert_eq!(register.cseq().unwrap().number, 1);
    });
    scene.pass(7 * NS_PER_MS);
    scene.bind(&first, "");
    assert_eq!(scene.generator.state().secured, 1);
    let latency_us = scene.tally(Procedure::Registration).latency_us.max();
    assert!((7_000..7_010).contains(&latency_us), "{latency_us}");
    // Its 200 comes again.
    scene.bind(&first, "");
    assert_eq!(scene.generator.state().ignored, 1);
    scene.pass_by_timers(seconds(10) + T1_NS / 2);
    let refresh = scene.take_one();
    assert_eq!(with(&refresh, |it| it.cseq().unwrap().number), 2);
    assert_eq!(
        with(&refresh, |it| it.call_id().unwrap().to_vec()),
        with(&first, |it| it.call_id().unwrap().to_vec())
    );
    scene.bind(&refresh, ";expires=600");
    scene.pass_by_timers(seconds(20));
    let release = scene.take_one();
    assert_eq!(with(&release, |it| it.expires()), Ok(Some(0)));
    scene.answer(&release, 200, "");
    assert!(scene.generator.is_done());
    for procedure in [Procedure::Registration, Procedure::Refresh, Procedure::Release] {
        assert_eq!(scene.tally(procedure).completed, 1, "{procedure:?}");
    }
    let state = scene.generator.state();
    assert_eq!((state.secured, state.gone, state.under_way, state.retransmissions), (0, 1, 0, 0));
}

#[test]
fn a_registration_that_is_granted_for_less_is_refreshed_at_half_of_it() {
    let mut scene = Scene::new("[procedures.refresh]\nexpires_s = 600\n");
    let first = scene.take_one();
    scene.bind(&first, ";expires=60");
    assert!(scene.generator.is_done(), "it has nothing more to do");
    scene.pass_by_timers(seconds(29));
    assert!(scene.take().is_empty());
    scene.pass_by_timers(seconds(1) + T1_NS / 2);
    let refresh = scene.take_one();
    assert_eq!(with(&refresh, |it| it.cseq().unwrap().number), 2);
    assert!(!scene.generator.is_done());
}

#[test]
fn a_register_is_sent_again_until_timer_f() {
    let mut scene = Scene::new("");
    let first = scene.take_one();
    let mut times = Vec::new();
    let began = scene.now;
    while scene.generator.state().gone == 0 {
        let at = scene.generator.next_deadline().expect("it is not over");
        scene.pass(at - scene.now);
        for (to, text) in scene.take() {
            assert_eq!((to, &text), (SERVER.parse().unwrap(), &first));
            times.push((scene.now - began) / T1_NS);
        }
    }
    assert_eq!(times, [1, 3, 7, 15, 23, 31, 39, 47, 55, 63]);
    assert_eq!((scene.now - began) / T1_NS, 64);
    assert_eq!(scene.failures(), [(Cause::Timeout, 1)]);
    assert_eq!(scene.generator.state().retransmissions, 10);
    assert!(scene.generator.is_done());
}

#[test]
fn what_refuses_a_registration_is_counted_by_its_cause() {
    for (status, more, cause) in [
        (401, "WWW-Authenticate: Digest realm=\"r\",nonce=\"n\"\r\n", Cause::CredentialsWanted),
        (407, "", Cause::CredentialsWanted),
        (403, "", Cause::Forbidden403),
        (494, "", Cause::Security494),
        (500, "", Cause::StatusOther(500)),
        (423, "Min-Expires: 7\r\n", Cause::StatusOther(423)),
        (200, "", Cause::NotBound),
        (200, "Contact: <sip:other@127.16.0.1:5070>;expires=60\r\n", Cause::NotBound),
        (200, "Contact: <sip:00000000@127.16.0.1:5070>;expires=0\r\n", Cause::NotBound),
    ] {
        let mut scene = Scene::new("");
        let first = scene.take_one();
        scene.answer(&first, 100, "");
        scene.answer(&first, status, more);
        assert_eq!(scene.failures(), [(cause, 1)], "{status}");
        scene.pass_by_timers(seconds(60));
        assert!(scene.take().is_empty(), "no further try");
        assert!(scene.generator.is_done());
        assert_eq!(scene.generator.state().secured, 0);
    }
}

#[test]
fn a_contact_counts_however_it_is_written() {
    for contact in [
        "<sip:00000000@127.16.0.1:5070>;expires=60",
        "<sip:00000001@127.16.0.1:5070>, <sip:00000000@127.16.0.1:5070>",
        "\"A\" <sip:00000000@127.16.0.1:5070>;q=1;expires=60",
    ] {
        let mut scene = Scene::new("");
        let first = scene.take_one();
        scene.answer(&first, 200, &format!("Contact: {contact}\r\n"));
        assert_eq!(scene.generator.state().secured, 1, "{contact}");
    }
}

#[test]
fn what_answers_nothing_is_ignored() {
    let mut scene = Scene::new("");
    let first = String::from_utf8(scene.take_one()).unwrap();
    for (from, to) in [
        ("CSeq: 1 REGISTER", "CSeq: 1 OPTIONS"),
        (";branch=z9hG4bK00000007", ";branch=z9hG4bK00000008"),
        ("0000000000000001r", "0000000100000001r"),
        ("0000000000000001r", "0000000000000002r"),
        ("0000000000000001r", "0000000000000001a"),
    ] {
        let other = first.replace(from, to);
        assert_ne!(other, first);
        scene.bind(other.as_bytes(), "");
    }
    scene.receive(b"nonsense");
    assert_eq!(scene.generator.state().ignored, 6);
    assert_eq!(scene.generator.state().under_way, 1);
    scene.bind(first.as_bytes(), "");
    assert_eq!(scene.generator.state().secured, 1);
}

#[test]
fn a_call_goes_its_way_and_its_end_to_the_contact() {
    let mut scene = Scene::calling("holding_s = 0\n");
    let invite = scene.take_one();
    with(&invite, |invite| {
        assert_eq!(invite.check(), Ok(()));
        assert_eq!(invite.method(), Method::Invite);
        assert_eq!(invite.request_uri(), b"sip:service@127.0.0.1:5060");
        assert!(invite.header(HeaderName::Require).is_none());
        assert!(invite.body().starts_with(b"v=0\r\n"));
    });
    scene.answer(&invite, 100, "");
    scene.answer(&invite, 180, CONTACT);
    scene.pass(3 * NS_PER_MS);
    assert!(scene.take().is_empty());
    scene.answer(&invite, 200, CONTACT);
    let sent = scene.take();
    let methods: Vec<Method> = sent.iter().map(|(_, text)| method(text)).collect();
    assert_eq!(methods, [Method::Ack, Method::Bye]);
    let invited = with(&invite, |it| {
        (it.call_id().unwrap().to_vec(), it.from().unwrap().tag().unwrap().to_vec())
    });
    for ((to, text), cseq) in sent.iter().zip([1, 2]) {
        assert_eq!(*to, OTHER.parse().unwrap(), "no Record-Route: straight to the Contact");
        with(text, |message| {
            assert_eq!(message.check(), Ok(()));
            assert_eq!(message.request_uri(), b"sip:uas@127.0.0.9:5099");
            assert_eq!(message.cseq().unwrap().number, cseq);
            assert_eq!(message.tag(HeaderName::To), Ok(Some(&b"theirs"[..])));
            let own = (
                message.call_id().unwrap().to_vec(),
                message.from().unwrap().tag().unwrap().to_vec(),
            );
            assert_eq!(own, invited);
            assert_eq!(message.header(HeaderName::Route), None);
        });
    }
    // The ACK was lost.
    scene.answer(&invite, 200, CONTACT);
    assert_eq!(method(&scene.take_one()), Method::Ack);
    scene.answer(&sent[1].1, 200, "");
    assert!(scene.generator.is_done());
    let sessions = scene.generator.state().sessions;
    assert_eq!((sessions.established, sessions.released, sessions.lost), (1, 1, 0));
    assert_eq!(scene.tally(Procedure::CallSetup).completed, 1);
    assert_eq!(scene.tally(Procedure::CallRelease).completed, 1);
    assert_eq!(scene.generator.state().gone, 1);
}

#[test]
fn a_call_by_proxies_has_their_routes() {
    let mut scene = Scene::calling("holding_s = 0\n");
    let invite = scene.take_one();
    let routes =
        "Record-Route: <sip:127.0.0.8:5088;lr>\r\nRecord-Route: <sip:127.0.0.7:5077;lr>\r\n";
    scene.answer(&invite, 200, &format!("{CONTACT}{routes}"));
    let sent = scene.take();
    assert_eq!(sent.len(), 2);
    for (to, text) in sent {
        assert_eq!(to, "127.0.0.7:5077".parse().unwrap());
        let routes =
            with(&text, |it| it.list(HeaderName::Route).map(<[u8]>::to_vec).collect::<Vec<_>>());
        assert_eq!(routes, [&b"<sip:127.0.0.7:5077;lr>"[..], b"<sip:127.0.0.8:5088;lr>"]);
    }
}

#[test]
fn calls_follow_one_another_and_are_held() {
    let mut scene = Scene::calling("count = 2\nholding_s = 5\n");
    for call in 1..=2 {
        let invite = scene.take_one();
        scene.answer(&invite, 200, CONTACT);
        assert_eq!(method(&scene.take_one()), Method::Ack);
        assert!(!scene.generator.is_done());
        while scene.sent.is_empty() {
            let at = scene.generator.next_deadline().expect("it hangs up");
            scene.pass(at.saturating_sub(scene.now));
        }
        let bye = scene.take_one();
        assert_eq!(method(&bye), Method::Bye);
        // It is lost, and sent again.
        scene.pass_by_timers(T1_NS);
        assert_eq!(scene.take_one(), bye);
        scene.answer(&bye, 200, "");
        assert_eq!(scene.tally(Procedure::CallRelease).completed, call);
    }
    assert!(scene.generator.is_done());
}

#[test]
fn a_call_that_is_refused_is_acknowledged_each_time() {
    for (status, cause) in [
        (486, Cause::Busy),
        (480, Cause::NoAnswer),
        (407, Cause::CredentialsWanted),
        (503, Cause::StatusOther(503)),
    ] {
        let mut scene = Scene::calling("holding_s = 0\n");
        let invite = scene.take_one();
        for _ in 0..2 {
            scene.answer(&invite, status, "");
            let ack = scene.take_one();
            assert_eq!(method(&ack), Method::Ack);
            let branch = |text: &[u8]| with(text, |it| it.via().unwrap().branch.unwrap().to_vec());
            assert_eq!(branch(&ack), branch(&invite), "RFC 3261 clause 17.1.1.3");
        }
        assert_eq!(scene.failures(), [(cause, 1)]);
        assert!(scene.generator.is_done());
        assert_eq!(scene.generator.state().sessions.established, 0);
    }
}

#[test]
fn an_invite_is_sent_again_until_something_comes_and_cancelled_when_nobody_answers() {
    let mut scene = Scene::calling("holding_s = 0\n");
    let invite = scene.take_one();
    scene.pass_by_timers(T1_NS);
    assert_eq!(scene.take_one(), invite);
    scene.answer(&invite, 180, CONTACT);
    scene.pass_by_timers(seconds(170));
    assert!(scene.take().is_empty());
    scene.pass_by_timers(seconds(20));
    let cancel = scene.take_one();
    assert_eq!(method(&cancel), Method::Cancel);
    assert_eq!(scene.failures(), [(Cause::NoAnswer, 1)]);
    scene.answer(&cancel, 200, "");
    scene.answer(&invite, 487, "");
    assert_eq!(method(&scene.take_one()), Method::Ack);
    // A 2xx that was faster than the CANCEL is ended at once.
    scene.answer(&invite, 200, CONTACT);
    let methods: Vec<Method> = scene.take().iter().map(|(_, text)| method(text)).collect();
    assert_eq!(methods, [Method::Ack, Method::Bye]);
    assert!(scene.generator.is_done());
    assert_eq!(scene.generator.state().sessions.established, 0);
}

#[test]
fn an_invite_that_nothing_answers_fails_after_64_t1() {
    let mut scene = Scene::calling("holding_s = 0\n");
    scene.take_one();
    scene.pass_by_timers(64 * T1_NS);
    assert_eq!(scene.take().len(), 6, "at 1, 3, 7, 15, 31 and 63 T1");
    assert_eq!(scene.failures(), [(Cause::Timeout, 1)]);
    assert!(scene.generator.is_done());
}

#[test]
fn the_other_side_may_hang_up() {
    let mut scene = Scene::calling("");
    let invite = scene.take_one();
    scene.answer(&invite, 200, CONTACT);
    scene.take_one();
    let (call_id, tag) = with(&invite, |it| {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        (text(it.call_id().unwrap()), text(it.from().unwrap().tag().unwrap()))
    });
    let bye = |theirs: &str| {
        format!(
            "BYE sip:00000000@127.16.0.1:5070 SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:5060;branch=z9hG4bKx{theirs}\r\n\
             Max-Forwards: 70\r\nFrom: <sip:service@127.0.0.1>;tag={theirs}\r\nTo: <sip:a@b>;tag={tag}\r\n\
             Call-ID: {call_id}\r\nCSeq: 9 BYE\r\nContent-Length: 0\r\n\r\n"
        )
    };
    for (theirs, status) in [("others", 481), ("theirs", 200), ("theirs", 481)] {
        scene.receive(bye(theirs).as_bytes());
        assert_eq!(with(&scene.take_one(), |it| it.status()), status);
    }
    let sessions = scene.generator.state().sessions;
    assert_eq!((sessions.established, sessions.released, sessions.lost), (1, 1, 0));
    assert!(scene.generator.is_done());
    let options = bye("x").replace("BYE", "OPTIONS");
    scene.receive(options.as_bytes());
    assert_eq!(with(&scene.take_one(), |it| it.status()), 200);
}

#[test]
fn who_registers_calls_behind_it() {
    let more =
        "[procedures.call]\nafter_s = 2\ntarget = \"sip:service@127.0.0.1:5060\"\nholding_s = 0\n";
    let mut scene = Scene::new(more);
    let register = scene.take_one();
    scene.bind(&register, "");
    assert!(!scene.generator.is_done());
    scene.pass_by_timers(seconds(2));
    let invite = scene.take_one();
    assert_eq!(method(&invite), Method::Invite);
    scene.answer(&invite, 486, "");
    assert!(scene.generator.is_done());
    let mut scene = Scene::new(more);
    let register = scene.take_one();
    scene.answer(&register, 403, "");
    scene.pass_by_timers(seconds(5));
    assert!(scene.take().is_empty());
    assert!(scene.generator.is_done());
}
