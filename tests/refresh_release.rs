//! Refresh and release, and what every message does that is lost, comes twice, late or out of order: one effect, the same answer
//! again, and nothing left at the end.

use imstorm_base::seconds;
use tests::message::parameter;
use tests::ue::EXPIRES_S;
use tests::{Arrived, Credentials, Layout, ScriptedUe, Text, World};

/// Longer than Timer J on the UE's leg, and than whatever else may still be remembered.
const LONG_NS: u64 = seconds(400);
/// T1 on the UE's leg.
const T1_NS: u64 = seconds(2);
/// Datagrams of a good life: six in the set-up, four in the refresh, four in the release.
const DATAGRAMS: usize = 14;

#[test]
fn a_refresh_prolongs_and_keeps_the_sets() {
    let mut world = World::new(Layout::Together);
    let mut ue = world.ue(1);
    world.secure(&mut ue);
    world.advance(seconds(500));
    let before = world.counters();
    let (ok, notify) = world.refresh(&mut ue);
    assert_eq!(world.risen(&before), [("subscriptions_refreshed", 1)]);
    assert_eq!(ok.expect("Expires"), EXPIRES_S.to_string());
    assert_eq!(parameter(ok.expect("To"), "tag"), ue.to_tag.as_deref());
    assert!(ok.header("Security-Server").is_none());
    assert_eq!(notify.expect("Subscription-State"), format!("active;expires={EXPIRES_S}"));
    assert!(notify.body.contains("version=\"1\""), "{notify}");
    let tables = world.tables();
    assert_eq!((tables.pcscf.sets, tables.scscf.subscriptions), (1, 1));
    // Beyond what the set-up was granted.
    world.advance(seconds(590));
    world.refresh(&mut ue);
}

#[test]
fn the_token_is_the_connections_for_life() {
    let mut world = World::new(Layout::Together);
    let mut ue = world.ue(1);
    let (made, _) = world.secure(&mut ue);
    let (refreshed, _) = world.refresh(&mut ue);
    assert_eq!(made.expect("Contact"), refreshed.expect("Contact"));
}

#[test]
fn the_pcscf_refreshes_its_own_subscription_with_the_ues() {
    let mut world = World::new(Layout::Apart);
    let mut ue = world.ue(1);
    world.secure(&mut ue);
    let own = |world: &World| {
        let sent = world.mw_between(world.pcscf_mw, world.scscf_mw).into_iter();
        let own = sent.filter(|text| {
            text.status() == 0
                && text.method() == "SUBSCRIBE"
                && text.header("P-Asserted-Identity").is_some()
        });
        own.map(|text| text.expect("Expires").to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(own(&world), ["1200"]);
    world.advance(seconds(300));
    world.refresh(&mut ue);
    assert_eq!(own(&world), ["1200", "1200"]);
    world.release(&mut ue);
    assert_eq!(own(&world), ["1200", "1200", "0"]);
}

#[test]
fn a_connection_that_is_not_refreshed_ends() {
    for layout in [Layout::Together, Layout::Apart] {
        let mut world = World::new(layout);
        let mut ue = world.ue(1);
        world.secure(&mut ue);
        world.advance(seconds(u64::from(EXPIRES_S) + 1));
        let ended = world.take_one(&mut ue).message;
        assert_eq!(ended.expect("Subscription-State"), "terminated;reason=timeout");
        assert_eq!(ended.expect("Expires"), "0");
        let answer = ue.respond(&ended, 200);
        world.sealed(&mut ue, &answer);
        world.advance(seconds(1));
        assert_eq!(world.tables().pcscf.sets, 0, "{layout:?}");
        world.advance(LONG_NS);
        world.assert_empty();
    }
}

#[test]
fn a_ue_that_is_gone_leaves_nothing() {
    for layout in [Layout::Together, Layout::Apart] {
        let mut world = World::new(layout);
        let mut ue = world.ue(1);
        world.secure(&mut ue);
        world.advance(seconds(u64::from(EXPIRES_S) + 30 + 130) + LONG_NS);
        world.assert_empty();
    }
}

#[test]
fn a_release_ends_everything_within_a_second() {
    for layout in [Layout::Together, Layout::Apart] {
        let mut world = World::new(layout);
        let mut ue = world.ue(1);
        world.secure(&mut ue);
        let (ok, notify) = world.release(&mut ue);
        assert_eq!(ok.expect("Expires"), "0");
        assert_eq!(notify.expect("Subscription-State"), "terminated;reason=timeout");
        assert_eq!(notify.expect("Expires"), "0");
        assert_eq!(notify.body, "");
        world.advance(seconds(1));
        let tables = world.tables();
        assert_eq!((tables.pcscf.sets, tables.pcscf.connections), (0, 0), "{layout:?}");
        assert_eq!(world.counter("challenges"), 1, "Expires: 0 is never challenged");
        assert_eq!(world.counter("connections_ended"), 1);
        assert_eq!(world.counter("subscriptions_ended"), 1);
        world.advance(LONG_NS);
        world.assert_empty();
    }
}

#[test]
fn a_new_request_during_the_release_gets_481() {
    let mut world = World::new(Layout::Together);
    let mut ue = world.ue(1);
    world.secure(&mut ue);
    let release = ue.refresh(0);
    world.sealed(&mut ue, &release);
    let arrived = world.take(&mut ue);
    // The final NOTIFY isn't answered yet.
    let late = ue.refresh(EXPIRES_S);
    let refused = world.ask(&mut ue, &late);
    assert_eq!(refused.status(), 481);
    for arrived in arrived {
        if arrived.message.method() == "NOTIFY" {
            let answer = ue.respond(&arrived.message, 200);
            world.sealed(&mut ue, &answer);
        }
    }
    world.advance(seconds(1));
    assert_eq!(world.tables().pcscf.sets, 0, "it prolonged nothing");
}

#[test]
fn each_subscribe_again_gets_the_same_answer_and_has_no_second_effect() {
    for layout in [Layout::Together, Layout::Apart] {
        let mut world = World::new(layout);
        let mut ue = world.ue(1);
        let first = ue.first(Credentials::Name);
        let challenge = world.ask_plain(&mut ue, &first);
        for _ in 0..3 {
            world.advance(T1_NS);
            assert_eq!(world.ask_plain(&mut ue, &first), challenge);
        }
        assert_eq!(world.counter("challenges"), 1);
        assert_eq!(world.tables().pcscf.sets, 1);
        ue.challenge(&challenge).unwrap();
        let answer = ue.answer();
        let ok = ask_again(&mut world, &mut ue, &answer);
        ue.accepted(&ok);
        assert_eq!(world.counter("connections_made"), 1);
        assert_eq!(world.counter("subscriptions_made"), 1);
        let refresh = ue.refresh(EXPIRES_S);
        ask_again(&mut world, &mut ue, &refresh);
        assert_eq!(world.counter("subscriptions_refreshed"), 1);
        // Its own ones aren't doubled by the UE's retransmissions either.
        assert_eq!(world.counter("challenges"), 1);
        world.release(&mut ue);
        world.advance(LONG_NS);
        world.assert_empty();
    }
}

/// Asks, takes 200 and NOTIFY, and asks the same twice more.
fn ask_again(world: &mut World, ue: &mut ScriptedUe, message: &Text) -> Text {
    world.sealed(ue, message);
    let mut answer = None;
    for arrived in world.take(ue) {
        if arrived.message.method() == "NOTIFY" {
            let ok = ue.respond(&arrived.message, 200);
            world.sealed(ue, &ok);
        } else {
            answer = Some(arrived.message);
        }
    }
    let answer = answer.expect("an answer");
    assert_eq!(answer.status(), 200, "{answer}");
    for _ in 0..2 {
        world.advance(T1_NS);
        assert_eq!(world.ask(ue, message), answer);
    }
    answer
}

#[test]
fn the_first_subscribe_that_comes_late_is_not_answered_any_more() {
    let mut world = World::new(Layout::Together);
    let mut ue = world.ue(1);
    let first = ue.first(Credentials::Name);
    let challenge = world.ask_plain(&mut ue, &first);
    ue.challenge(&challenge).unwrap();
    world.finish(&mut ue);
    world.plain(&ue, &first);
    assert!(world.take(&mut ue).iter().all(|arrived| arrived.message.status() != 200));
    assert_eq!(world.counter("connections_made"), 1);
    world.refresh(&mut ue);
}

#[test]
fn a_notify_is_repeated_until_it_is_answered() {
    for layout in [Layout::Together, Layout::Apart] {
        let mut world = World::new(layout);
        let mut ue = world.ue(1);
        world.begin(&mut ue);
        let answer = ue.answer();
        world.sealed(&mut ue, &answer);
        let first = notify_of(world.take(&mut ue));
        for _ in 0..3 {
            world.advance(seconds(16));
            for again in world.take(&mut ue) {
                assert_eq!(again.message, first, "the same NOTIFY, sealed anew");
            }
        }
        assert!(world.counter("retransmissions_out") >= 3);
        let ok = ue.respond(&first, 200);
        world.sealed(&mut ue, &ok);
        world.advance(seconds(64));
        assert!(world.take(&mut ue).is_empty(), "{layout:?}: still repeated");
    }
}

#[test]
fn a_notify_that_nobody_answers_ends_the_connection() {
    for layout in [Layout::Together, Layout::Apart] {
        let mut world = World::new(layout);
        let mut ue = world.ue(1);
        world.begin(&mut ue);
        let answer = ue.answer();
        world.sealed(&mut ue, &answer);
        world.advance(seconds(128 + 64 + 17) + LONG_NS);
        assert_eq!(world.counter("subscriptions_ended"), 1, "{layout:?}");
        world.assert_empty();
    }
}

#[test]
fn a_481_to_a_notify_ends_the_connection() {
    for (layout, status) in [
        (Layout::Together, 481),
        (Layout::Apart, 481),
        (Layout::Together, 408),
        (Layout::Apart, 430),
    ] {
        let mut world = World::new(layout);
        let mut ue = world.ue(1);
        world.begin(&mut ue);
        let answer = ue.answer();
        world.sealed(&mut ue, &answer);
        let notify = notify_of(world.take(&mut ue));
        let refused = ue.respond(&notify, status);
        world.sealed(&mut ue, &refused);
        world.advance(seconds(2));
        assert_eq!(world.tables().pcscf.sets, 0, "{layout:?} {status}");
        assert_eq!(world.tables().scscf.subscriptions, 0, "{layout:?} {status}");
        world.advance(LONG_NS);
        world.assert_empty();
    }
}

fn notify_of(arrived: Vec<Arrived>) -> Text {
    let mut messages = arrived.into_iter().map(|arrived| arrived.message);
    messages.find(|message| message.method() == "NOTIFY").expect("a NOTIFY")
}

#[test]
fn the_notify_may_overtake_the_200_on_mw() {
    let mut world = World::new(Layout::Apart);
    let mut ue = world.ue(1);
    world.begin(&mut ue);
    let answer = ue.answer();
    world.mw_held = true;
    world.sealed(&mut ue, &answer);
    // The SUBSCRIBE goes on; 200 and NOTIFY wait.
    world.pass_held(0);
    let waiting: Vec<Text> = world.mw_waiting.iter().map(|wire| Text::parse(&wire.bytes)).collect();
    let notify = waiting.iter().position(|text| text.status() == 0).expect("a NOTIFY");
    world.pass_held(notify);
    let arrived = world.take_one(&mut ue);
    assert_eq!((arrived.set, arrived.message.method()), (Some(0), "NOTIFY"));
    let ok = ue.respond(&arrived.message, 200);
    world.sealed(&mut ue, &ok);
    world.mw_held = false;
    world.pass_held(0);
    let late = world.take_one(&mut ue);
    assert_eq!((late.set, late.message.status()), (Some(0), 200));
    ue.accepted(&late.message);
    world.refresh(&mut ue);
    assert_eq!(world.counter("connections_made"), 1);
    assert_eq!(world.counter("notify_failed"), 0);
}

/// What the network does to one datagram of a life.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum Fault {
    None,
    Lost(usize),
    Doubled(usize),
}

/// A UE that repeats its requests, over a link with a fault.
struct Life {
    world: World,
    ue: ScriptedUe,
    fault: Fault,
    sent: usize,
    /// CSeqs of the NOTIFYs that it got.
    notified: Vec<u32>,
}

impl Life {
    fn new(layout: Layout, fault: Fault) -> Self {
        let world = World::new(layout);
        let ue = world.ue(1);
        Self { world, ue, fault, sent: 0, notified: Vec::new() }
    }

    /// How often the next datagram arrives.
    fn copies(&mut self) -> usize {
        self.sent += 1;
        match self.fault {
            Fault::Lost(number) if number + 1 == self.sent => 0,
            Fault::Doubled(number) if number + 1 == self.sent => 2,
            _ => 1,
        }
    }

    fn up(&mut self, message: &Text, protected: bool) {
        let packet = if protected { self.ue.seal(&message.to_bytes()) } else { Vec::new() };
        for _ in 0..self.copies() {
            match protected {
                true => self.world.packet(&self.ue, &packet),
                false => self.world.plain(&self.ue, message),
            }
        }
    }

    /// Takes what came; the final responses.
    fn down(&mut self) -> Vec<Text> {
        let mut finals = Vec::new();
        loop {
            let wires = self.world.take_wires(self.ue.ip);
            if wires.is_empty() {
                return finals;
            }
            for wire in wires {
                for copy in 0..self.copies() {
                    if copy > 0 && wire.from == self.world.pcscf_esp {
                        assert!(self.ue.open(&wire.bytes).is_none(), "a replay must not open");
                        continue;
                    }
                    let arrived = self.world.open(&mut self.ue, &wire).message;
                    if arrived.method() == "NOTIFY" && arrived.status() == 0 {
                        if !self.notified.contains(&arrived.cseq()) {
                            self.notified.push(arrived.cseq());
                        }
                        let ok = self.ue.respond(&arrived, 200);
                        self.up(&ok, true);
                    } else {
                        finals.push(arrived);
                    }
                }
            }
        }
    }

    /// Repeats a request until it is answered.
    fn ask(&mut self, message: &Text, protected: bool) -> Text {
        for _ in 0..5 {
            self.up(message, protected);
            let answers = self.down();
            if let Some(answer) = answers.into_iter().find(|it| it.cseq() == message.cseq()) {
                return answer;
            }
            self.world.advance(T1_NS);
            if let Some(answer) = self.down().into_iter().find(|it| it.cseq() == message.cseq()) {
                return answer;
            }
        }
        panic!("{:?}: no answer to\n{message}", self.fault);
    }

    /// Set-up, refresh, release, with time in between for what is repeated.
    fn run(&mut self) {
        let first = self.ue.first(Credentials::Name);
        let challenge = self.ask(&first, false);
        self.ue.challenge(&challenge).expect("a good challenge");
        let answer = self.ue.answer();
        let ok = self.ask(&answer, true);
        assert_eq!(ok.status(), 200, "{:?}: {ok}", self.fault);
        self.ue.accepted(&ok);
        self.rest();
        let refresh = self.ue.refresh(EXPIRES_S);
        let ok = self.ask(&refresh, true);
        assert_eq!(ok.status(), 200, "{:?}: {ok}", self.fault);
        self.rest();
        let release = self.ue.refresh(0);
        self.release(&release);
        self.rest();
    }

    /// A terminated NOTIFY answers the SUBSCRIBE with Expires 0 as well as its 200.
    fn release(&mut self, message: &Text) {
        for _ in 0..5 {
            self.up(message, true);
            if !self.down().is_empty() || self.notified.len() == 3 {
                return;
            }
            self.world.advance(T1_NS);
        }
        panic!("{:?}: no answer to the release", self.fault);
    }

    fn rest(&mut self) {
        for _ in 0..4 {
            self.world.advance(T1_NS);
            self.down();
        }
    }

    /// One effect each, and nothing left.
    fn check(&mut self, what: &str) {
        for (counter, times) in [
            ("challenges", 1),
            ("setups_begun", 1),
            ("connections_made", 1),
            ("connections_ended", 1),
            ("connections_expired", 0),
            ("subscriptions_made", 1),
            ("subscriptions_refreshed", 1),
            ("subscriptions_ended", 1),
            ("notify_failed", 0),
            ("own_subscription_failed", 0),
            ("transactions_timed_out", 0),
        ] {
            assert_eq!(self.world.counter(counter), times, "{what}: {counter}");
        }
        assert_eq!(self.notified.len(), 3, "{what}: {:?}", self.notified);
        self.world.advance(LONG_NS);
        self.world.assert_empty();
    }
}

#[test]
fn a_good_life_has_so_many_datagrams() {
    for layout in [Layout::Together, Layout::Apart] {
        let mut life = Life::new(layout, Fault::None);
        life.run();
        assert_eq!(life.sent, DATAGRAMS);
        life.check("no fault");
    }
}

#[test]
fn any_datagram_may_be_lost_once() {
    for layout in [Layout::Together, Layout::Apart] {
        for number in 0..DATAGRAMS {
            let mut life = Life::new(layout, Fault::Lost(number));
            life.run();
            life.check(&format!("{layout:?}, datagram {number} lost"));
        }
    }
}

#[test]
fn any_datagram_may_come_twice() {
    for layout in [Layout::Together, Layout::Apart] {
        for number in 0..DATAGRAMS {
            let mut life = Life::new(layout, Fault::Doubled(number));
            life.run();
            life.check(&format!("{layout:?}, datagram {number} twice"));
        }
    }
}

fn mw_datagrams() -> usize {
    let mut life = Life::new(Layout::Apart, Fault::None);
    life.run();
    life.world.mw.len()
}

#[test]
fn any_datagram_on_mw_may_be_lost_once() {
    for number in 0..mw_datagrams() {
        let mut life = Life::new(Layout::Apart, Fault::None);
        life.world.mw_lost = Some(number);
        life.run();
        life.check(&format!("datagram {number} on Mw lost"));
    }
}

#[test]
fn any_datagram_on_mw_may_come_twice() {
    for number in 0..mw_datagrams() {
        let mut life = Life::new(Layout::Apart, Fault::None);
        life.world.mw_doubled = Some(number);
        life.run();
        life.check(&format!("datagram {number} on Mw twice"));
    }
}
