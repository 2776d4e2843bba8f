//! The second paper's first solution: a UE asks for simultaneous registrations by SIP outbound (RFC 5626, TS 24.229 clause 5.4.1.2.2F).

use std::net::IpAddr;

use imstorm_base::time::seconds;
use imstorm_engine::tables::Table;
use tests::message::parameter;
use tests::ue::bare_uri;
use tests::world::FAMILY;
use tests::{Credentials, Layout, ScriptedUe, Text, Wire, World};

const OUTBOUND: &str = "simultaneous = \"outbound\",";
const LAYOUTS: [Layout; 3] = [Layout::Together, Layout::Apart, Layout::Each];

fn at(place: u8) -> IpAddr {
    IpAddr::from([127, 16, 1, place])
}

fn world(layout: Layout) -> World {
    World::configured_twice(layout, "", OUTBOUND, "")
}

/// Has a UE ask for a flow over an access of this kind.
fn as_flow(ue: &mut ScriptedUe, reg_id: u32, access: &str) {
    ue.contact_more = format!(";reg-id={reg_id};+g.3gpp.accesstype=\"{access}\"");
    ue.supported = "path, gruu, outbound".to_owned();
}

/// A further flow of a user's instance.
fn flow_of(world: &World, ue: &ScriptedUe, place: u8, reg_id: u32) -> ScriptedUe {
    let mut second = world.access_of(ue, at(place), 1);
    as_flow(&mut second, reg_id, "wlan1");
    second
}

/// A user with two flows, each through a P-CSCF of its own, and somebody else. The one over `wlan1` is the newest.
struct Scene {
    world: World,
    cellular: ScriptedUe,
    wlan: ScriptedUe,
    other: ScriptedUe,
}

impl Scene {
    fn new(layout: Layout) -> Self {
        Self::of(world(layout))
    }

    fn of(mut world: World) -> Self {
        let (mut cellular, mut other) = (world.ue(1), world.ue(2));
        as_flow(&mut cellular, 1, "cellular1");
        world.register(&mut cellular);
        let mut wlan = flow_of(&world, &cellular, 1, 2);
        world.register(&mut wlan);
        world.register(&mut other);
        Self { world, cellular, wlan, other }
    }

    fn message(&mut self, line: Option<(&str, &str)>) -> Text {
        let to = self.cellular.impu.clone();
        let message = self.other.message(&to, None);
        line.into_iter().fold(message, |message, (name, value)| message.and(name, value))
    }

    /// Whether it is the flow over `wlan1` that a MESSAGE comes to, which is answered.
    fn goes_to_wlan(&mut self, line: Option<(&str, &str)>) -> bool {
        let message = self.message(line);
        self.world.sealed(&mut self.other, &message);
        let at_cellular = self.world.messages(&mut self.cellular);
        let at_wlan = self.world.messages(&mut self.wlan);
        assert_eq!(at_cellular.len() + at_wlan.len(), 1, "{at_cellular:?} {at_wlan:?}");
        let ue = if at_wlan.is_empty() { &mut self.cellular } else { &mut self.wlan };
        let came = at_wlan.first().or(at_cellular.first()).expect("one");
        assert_eq!(came.uri(), bare_uri(&ue.contact()));
        self.world.accept(ue, came);
        assert_eq!(self.world.take_one(&mut self.other).message.status(), 200);
        !at_wlan.is_empty()
    }
}

fn accept_contact(access: &str) -> String {
    format!("*;+g.3gpp.accesstype=\"{access}\";require;explicit")
}

/// What is held, without what stays for the answer of a set-up that was refused.
fn held(world: &World) -> [usize; 4] {
    let tables = world.tables();
    [
        tables.scscf.subscriptions,
        tables.scscf.bindings,
        tables.scscf.challenges,
        tables.scscf.strings_bytes,
    ]
}

#[test]
fn two_flows_of_an_instance_stand_side_by_side() {
    for layout in LAYOUTS {
        let mut world = world(layout);
        let mut first = world.ue(1);
        as_flow(&mut first, 1, "cellular1");
        let ok = world.register(&mut first);
        assert_eq!(ok.all("Require"), ["outbound"], "{ok}");
        assert!(ok.expect("Path").ends_with(";lr;ob>"), "{ok}");
        assert_eq!(ok.header("Flow-Timer"), None, "{ok}");
        let mut second = flow_of(&world, &first, 1, 2);
        let ok = world.register(&mut second);
        assert_eq!(ok.all("Require"), ["outbound"], "{ok}");
        let contacts = ok.all("Contact");
        assert_eq!(contacts.len(), 2, "{ok}");
        assert!(contacts[0].contains(";reg-id=2;"), "its own first: {ok}");
        assert!(contacts[1].contains(";reg-id=1;"), "{ok}");
        assert!(world.take(&mut first).is_empty(), "nothing of it has ended");
        assert_eq!(world.counter("aka_registrations_overridden"), 0);
        assert_eq!((world.tables().pcscf.sets, world.tables().scscf.bindings), (2, 4));
        // Each goes on alone, and leaves alone.
        world.advance(seconds(300));
        for ue in [&mut first, &mut second] {
            let again = ue.register_again(600);
            assert_eq!(world.ask(ue, &again).status(), 200);
        }
        let leave = first.register_again(0);
        let ok = world.ask(&mut first, &leave);
        assert_eq!(ok.status(), 200, "{ok}");
        assert_eq!(world.tables().scscf.bindings, 2);
        let again = second.register_again(600);
        assert_eq!(world.ask(&mut second, &again).status(), 200);
        let leave = second.register_again(0);
        assert_eq!(world.ask(&mut second, &leave).status(), 200);
        world.advance(seconds(400));
        world.assert_empty();
    }
}

#[test]
fn without_a_preference_the_newest_flow_is_called_alone_and_with_one_each_can_be() {
    for layout in LAYOUTS {
        let mut scene = Scene::new(layout);
        assert!(scene.goes_to_wlan(None));
        let wlan = accept_contact("wlan1");
        let cellular = accept_contact("cellular1");
        assert!(scene.goes_to_wlan(Some(("Accept-Contact", &wlan))));
        assert!(!scene.goes_to_wlan(Some(("Accept-Contact", &cellular))));
        assert!(!scene.goes_to_wlan(Some(("Reject-Contact", "*;+g.3gpp.accesstype=\"wlan1\""))));
        let nobody = accept_contact("wlan2");
        let message = scene.message(Some(("Accept-Contact", &nobody)));
        assert_eq!(scene.world.ask(&mut scene.other, &message).status(), 480);
        assert!(scene.world.to_ues.is_empty());
        // The flow that was refreshed last is the newest.
        let again = scene.cellular.register_again(600);
        assert_eq!(scene.world.ask(&mut scene.cellular, &again).status(), 200);
        assert!(!scene.goes_to_wlan(None));
    }
}

#[test]
fn a_call_rings_at_one_flow_of_an_instance() {
    for layout in LAYOUTS {
        let mut scene = Scene::new(layout);
        let Scene { world, cellular, wlan, other } = &mut scene;
        let (mut call, _) = world.call(other, wlan);
        assert!(world.take(cellular).is_empty());
        world.hang_up(&mut call, other, wlan);
        let to = cellular.impu.clone();
        let invite = other.invite(&to).and("Accept-Contact", &accept_contact("cellular1"));
        let (mut call, _) = world.call_by(other, cellular, &invite);
        assert!(world.take(wlan).is_empty());
        world.hang_up(&mut call, other, cellular);
        let invite = other.invite(&to).and("Accept-Contact", &accept_contact("wlan2"));
        world.sealed(other, &invite);
        assert_eq!(world.messages(other).last().expect("an answer").status(), 480);
    }
}

#[test]
fn the_same_flow_from_elsewhere_takes_the_place_of_the_one_before() {
    for layout in LAYOUTS {
        let mut scene = Scene::new(layout);
        let mut moved = flow_of(&scene.world, &scene.wlan, 2, 2);
        scene.world.register(&mut moved);
        assert_eq!(scene.world.counter("aka_registrations_overridden"), 1);
        // Its P-CSCF was told by its own subscription.
        assert_eq!(scene.world.tables().pcscf.sets, 3, "cellular, wlan, and the other user's");
        assert_eq!(scene.world.tables().scscf.bindings, 6);
        let unknown = scene.world.counter("esp_unknown_spi");
        let late = scene.wlan.register_again(600);
        scene.world.sealed(&mut scene.wlan, &late);
        assert_eq!(scene.world.counter("esp_unknown_spi"), unknown + 1);
        assert!(scene.world.take(&mut scene.cellular).is_empty());
        scene.wlan = moved;
        assert!(scene.goes_to_wlan(None));
        let cellular = accept_contact("cellular1");
        assert!(!scene.goes_to_wlan(Some(("Accept-Contact", &cellular))));
    }
}

#[test]
fn a_reg_id_of_another_instance_is_another_flow() {
    for layout in LAYOUTS {
        let mut scene = Scene::new(layout);
        let before = held(&scene.world);
        let mut device = flow_of(&scene.world, &scene.wlan, 2, 2);
        device.uuid = "00000000-0000-4000-8000-00000000ffff".to_owned();
        scene.world.register(&mut device);
        assert_eq!(scene.world.counter("aka_registrations_overridden"), 0);
        assert_eq!(held(&scene.world)[..2], [before[0] + 1, before[1] + 2]);
        assert!(scene.world.take(&mut scene.wlan).is_empty());
        // Both instances are called, of each one flow.
        let to = scene.cellular.impu.clone();
        let Scene { world, cellular, wlan, other } = &mut scene;
        let invite = other.invite(&to);
        world.sealed(other, &invite);
        assert_eq!(world.take_one(&mut device).message.method(), "INVITE");
        assert_eq!(world.take_one(wlan).message.method(), "INVITE");
        assert!(world.take(cellular).is_empty());
    }
}

#[test]
fn without_reg_id_a_registration_overrides_those_without_and_leaves_flows() {
    for layout in LAYOUTS {
        let mut scene = Scene::new(layout);
        let mut plain = scene.world.access_of(&scene.wlan, at(2), 0);
        let ok = scene.world.register(&mut plain);
        assert_eq!(ok.header("Require"), None, "{ok}");
        assert!(ok.expect("Path").ends_with(";lr>"), "{ok}");
        assert_eq!(scene.world.counter("aka_registrations_overridden"), 0);
        let mut another = scene.world.access_of(&plain, at(3), 0);
        scene.world.register(&mut another);
        assert_eq!(scene.world.counter("aka_registrations_overridden"), 1);
        assert_eq!(scene.world.tables().pcscf.sets, 4);
        // The UE that ceases to ask for a flow has one registration as before.
        let mut same = scene.world.access_of(&another, scene.wlan.ip, 1);
        scene.world.register(&mut same);
        assert_eq!(scene.world.counter("aka_registrations_overridden"), 3);
        assert_eq!(scene.world.tables().pcscf.sets, 3, "cellular, this one, the other user's");
    }
}

#[test]
fn a_ue_that_does_not_say_that_it_supports_outbound_has_its_flow_without_being_told() {
    let mut world = world(Layout::Apart);
    let mut ue = world.ue(1);
    as_flow(&mut ue, 1, "cellular1");
    ue.supported = "path".to_owned();
    let ok = world.register(&mut ue);
    assert_eq!(ok.header("Require"), None, "{ok}");
    let mut second = flow_of(&world, &ue, 1, 2);
    world.register(&mut second);
    assert_eq!(world.counter("aka_registrations_overridden"), 0);
}

#[test]
fn where_the_policy_is_another_reg_id_means_nothing() {
    let mut world = World::configured_twice(Layout::Apart, "", "", "");
    let mut ue = world.ue(1);
    as_flow(&mut ue, 1, "cellular1");
    let ok = world.register(&mut ue);
    assert_eq!(ok.header("Require"), None, "{ok}");
    let mut second = flow_of(&world, &ue, 1, 2);
    world.register(&mut second);
    assert_eq!(world.counter("aka_registrations_overridden"), 1);
}

/// A first REGISTER of another access is refused, and nothing of the two flows has changed.
fn refused_at_once(scene: &mut Scene, ue: &mut ScriptedUe, status: u16, counter: &str) {
    let (before, tables) = (scene.world.counters(), scene.world.tables());
    let first = ue.register_first(Credentials::Name);
    assert_eq!(scene.world.ask_plain(ue, &first).status(), status, "{first}");
    let mut expected = vec![("setups_begun", 1), (counter, 1)];
    let mut risen = scene.world.risen(&before);
    risen.sort_unstable();
    expected.sort_unstable();
    assert_eq!(risen, expected);
    let after = scene.world.tables();
    assert_eq!(after.scscf, tables.scscf);
    assert!(scene.goes_to_wlan(None));
    let cellular = accept_contact("cellular1");
    assert!(!scene.goes_to_wlan(Some(("Accept-Contact", &cellular))));
}

#[test]
fn a_first_hop_that_keeps_no_flows_gets_439() {
    for layout in LAYOUTS {
        let world = World::configured_twice(layout, "outbound = false,", OUTBOUND, "");
        let mut scene = Scene::without_flows(world);
        let mut third = flow_of(&scene.world, &scene.wlan, 2, 3);
        let (before, tables) = (scene.world.counters(), scene.world.tables());
        let first = third.register_first(Credentials::Name);
        assert_eq!(scene.world.ask_plain(&mut third, &first).status(), 439);
        assert_eq!(scene.world.tables().scscf, tables.scscf);
        let mut risen = scene.world.risen(&before);
        risen.sort_unstable();
        assert_eq!(risen, [("outbound_lacking", 1), ("setups_begun", 1)]);
        // Who does not know outbound has its reg-id ignored.
        third.supported = "path".to_owned();
        third.new_call();
        let ok = scene.world.register(&mut third);
        assert_eq!(ok.header("Require"), None, "{ok}");
    }
}

impl Scene {
    /// As [`Scene::of`], the user's UEs knowing nothing of flows: only the last one is registered.
    fn without_flows(mut world: World) -> Self {
        let (mut cellular, mut other) = (world.ue(1), world.ue(2));
        world.register(&mut cellular);
        let mut wlan = world.access_of(&cellular, at(1), 1);
        world.register(&mut wlan);
        world.register(&mut other);
        Self { world, cellular, wlan, other }
    }
}

#[test]
fn a_reg_id_without_instance_is_refused() {
    for layout in LAYOUTS {
        let mut scene = Scene::new(layout);
        let mut third = flow_of(&scene.world, &scene.wlan, 2, 3);
        let (before, tables) = (scene.world.counters(), scene.world.tables());
        let first = third.register_first(Credentials::Name);
        let instance = format!("+sip.instance=\"<urn:uuid:{}>\"", third.uuid);
        let first = first.altered("Contact", &format!(";{instance}"), "");
        assert_eq!(scene.world.ask_plain(&mut third, &first).status(), 400);
        let mut risen = scene.world.risen(&before);
        risen.sort_unstable();
        assert_eq!(risen, [("bad_request", 1), ("setups_begun", 1)]);
        assert_eq!(scene.world.tables().scscf, tables.scscf);
        assert!(scene.goes_to_wlan(None));
    }
}

#[test]
fn a_reg_id_that_is_none_is_refused() {
    for reg_id in ["0", "2147483648", "+3", "x", "\"\""] {
        let mut scene = Scene::new(Layout::Apart);
        let mut third = flow_of(&scene.world, &scene.wlan, 2, 3);
        third.contact_more = format!(";reg-id={reg_id}");
        refused_at_once(&mut scene, &mut third, 400, "bad_request");
    }
}

#[test]
fn a_register_without_path_is_refused_and_one_that_wants_a_flow_gets_439() {
    let mut scene = Scene::new(Layout::Each);
    let mut third = flow_of(&scene.world, &scene.wlan, 2, 3);
    let first = third.register_first(Credentials::Name);
    scene.world.ask_plain(&mut third, &first);
    let (from, to) = (scene.world.icscf_mw, scene.world.scscf_mw);
    let sent = scene.world.mw_between(from, to).pop().expect("a REGISTER");
    let tables = scene.world.tables();
    for (supported, status) in [("path, outbound", 439), ("path", 400)] {
        let pathless = sent.clone().without("Path").with("Supported", supported);
        let pathless = pathless.altered("Via", "branch=z9hG4bK", "branch=z9hG4bKx");
        scene.world.datagram(from, to, &pathless.to_bytes());
        let answer = scene.world.mw_between(to, from).pop().expect("an answer");
        assert_eq!(answer.status(), status, "{answer}");
    }
    assert_eq!(scene.world.tables(), tables);
    assert_eq!(scene.world.counter("outbound_lacking"), 1);
}

#[test]
fn a_flow_more_than_is_allowed_is_refused() {
    for layout in LAYOUTS {
        let scscf = format!("{OUTBOUND} flows_max = 2,");
        let mut scene = Scene::of(World::configured_twice(layout, "", &scscf, ""));
        let before = held(&scene.world);
        let mut third = flow_of(&scene.world, &scene.wlan, 2, 3);
        scene.world.begin_registration(&mut third);
        let answer = third.register_answer();
        assert_eq!(scene.world.ask(&mut third, &answer).status(), 403);
        assert_eq!(scene.world.counter("flows_refused"), 1);
        assert_eq!(held(&scene.world), before);
        assert_eq!(scene.world.counter("aka_registrations_made"), 3);
        assert_eq!(scene.world.counter("aka_registrations_ended"), 0, "it was never made");
        assert!(scene.goes_to_wlan(None));
        // One that takes the place of another is none more.
        let mut moved = flow_of(&scene.world, &third, 3, 2);
        scene.world.register(&mut moved);
        assert_eq!(scene.world.counter("flows_refused"), 1);
        // Nor is a registration that is no flow.
        let mut plain = scene.world.access_of(&moved, at(4), 0);
        scene.world.register(&mut plain);
    }
}

#[test]
fn a_connection_is_of_one_flow_as_long_as_it_lives() {
    for layout in LAYOUTS {
        let mut scene = Scene::new(layout);
        let before = held(&scene.world);
        let uuid = scene.wlan.uuid.clone();
        for (more, instance) in [
            (";reg-id=1", uuid.as_str()),
            (";reg-id=3", uuid.as_str()),
            ("", uuid.as_str()),
            (";reg-id=2", "00000000-0000-4000-8000-00000000ffff"),
        ] {
            let kept = std::mem::replace(&mut scene.wlan.contact_more, more.to_owned());
            scene.wlan.uuid = instance.to_owned();
            let again = scene.wlan.register_again(600);
            assert_eq!(scene.world.ask(&mut scene.wlan, &again).status(), 403, "{again}");
            scene.wlan.contact_more = kept;
            scene.wlan.uuid = uuid.clone();
        }
        assert_eq!(scene.world.counter("flow_changed"), 4);
        assert_eq!(held(&scene.world), before);
        assert!(scene.goes_to_wlan(None));
        let again = scene.wlan.register_again(600);
        assert_eq!(scene.world.ask(&mut scene.wlan, &again).status(), 200);
        // One that is no flow does not become one.
        let mut plain = scene.world.access_of(&scene.wlan, at(2), 0);
        scene.world.register(&mut plain);
        as_flow(&mut plain, 1, "cellular1");
        let again = plain.register_again(600);
        assert_eq!(scene.world.ask(&mut plain, &again).status(), 403);
        // Who leaves need not say which flow it was, nor who asks what is bound.
        scene.wlan.contact_more.clear();
        let ask = scene.wlan.register_again(600).without("Contact").without("Expires");
        assert_eq!(scene.world.ask(&mut scene.wlan, &ask).status(), 200);
        let leave = scene.wlan.register_again(0);
        assert_eq!(scene.world.ask(&mut scene.wlan, &leave).status(), 200);
    }
}

#[test]
fn two_contacts_in_a_register_for_a_flow_are_refused() {
    let mut scene = Scene::new(Layout::Apart);
    let again = scene.wlan.register_again(600);
    let contact = again.expect("Contact").to_owned();
    let again = again.with("Contact", &format!("{contact}, {contact}"));
    assert_eq!(scene.world.ask(&mut scene.wlan, &again).status(), 400);
    assert!(scene.goes_to_wlan(None));
    // One that is to go is none that is bound (RFC 5626 clause 6).
    let again = scene.wlan.register_again(600);
    let again = again.with("Contact", &format!("{contact};expires=0, {contact}"));
    assert_eq!(scene.world.ask(&mut scene.wlan, &again).status(), 200);
}

#[test]
fn a_flow_that_is_silent_is_followed_by_the_next_one() {
    for layout in LAYOUTS {
        let more = "ue_leg = { t1_ms = 200 }\n";
        let mut scene = Scene::of(World::configured_twice(layout, "", OUTBOUND, more));
        scene.world.cut_off = Some(scene.wlan.ip);
        let message = scene.message(None);
        scene.world.sealed(&mut scene.other, &message);
        assert!(scene.world.take(&mut scene.cellular).is_empty());
        scene.world.advance(seconds(13));
        let came = scene.world.messages(&mut scene.cellular).remove(0);
        assert_eq!(came.method(), "MESSAGE", "{came}");
        assert_eq!(scene.world.counter("flows_failed_over"), 1);
        scene.world.accept(&mut scene.cellular, &came);
        assert_eq!(scene.world.take_one(&mut scene.other).message.status(), 200);
        // A call as well.
        let Scene { world, cellular, other, .. } = &mut scene;
        let to = cellular.impu.clone();
        let invite = other.invite(&to);
        world.sealed(other, &invite);
        assert!(world.take(cellular).is_empty());
        world.advance(seconds(13));
        let came = world.messages(cellular).remove(0);
        assert_eq!(came.method(), "INVITE", "{came}");
        let ok = cellular.answer_invite(&came, 200);
        world.sealed(cellular, &ok);
        let answers = world.messages(other);
        assert_eq!(answers.last().expect("an answer").status(), 200, "{answers:#?}");
        assert_eq!(world.counter("flows_failed_over"), 2);
        world.advance(seconds(200));
        assert_eq!(world.tables().scscf.sessions, 2, "each party's, and none of the failed flow");
    }
}

/// Mw is held until a request of this method comes from the S-CSCF for a P-CSCF, which is taken out and answered in the P-CSCF's place.
fn answer_as_pcscf(world: &mut World, method: &str, status: u16) -> Text {
    let wire = take_for_pcscf(world, method);
    say_as_pcscf(world, &wire, status);
    Text::parse(&wire.bytes)
}

/// The request of this method that the S-CSCF sends a P-CSCF, which never sees it.
fn take_for_pcscf(world: &mut World, method: &str) -> Wire {
    while let Some(wire) = world.mw_waiting.front() {
        let text = Text::parse(&wire.bytes);
        let is_it = text.status() == 0 && text.method() == method && text.uri().contains(":6101");
        if !is_it {
            world.pass_held(0);
            continue;
        }
        return world.mw_waiting.pop_front().expect("just seen");
    }
    panic!("no {method} for a P-CSCF");
}

fn say_as_pcscf(world: &mut World, wire: &Wire, status: u16) {
    let text = Text::parse(&wire.bytes);
    let mut answer = Text { start: format!("SIP/2.0 {status} Whatever"), ..text };
    answer.body.clear();
    let keep = ["Via", "From", "To", "Call-ID", "CSeq"];
    answer.headers.retain(|(name, _)| keep.contains(&name.as_str()));
    let to = format!("{};tag=pcscf", answer.expect("To"));
    let answer = answer.with("To", &to);
    world.datagram(wire.to, wire.from, &answer.to_bytes());
}

fn pass_all(world: &mut World) {
    world.mw_held = false;
    while !world.mw_waiting.is_empty() {
        world.pass_held(0);
    }
}

#[test]
fn a_flow_that_its_pcscf_has_lost_is_followed_by_the_next_one() {
    for method in ["MESSAGE", "INVITE"] {
        let mut scene = Scene::new(Layout::Each);
        let Scene { world, cellular, wlan, other } = &mut scene;
        let strings = world.tables().scscf.strings_bytes;
        let to = cellular.impu.clone();
        let request = match method {
            "INVITE" => other.invite(&to),
            _ => other.message(&to, None),
        };
        world.mw_held = true;
        world.sealed(other, &request);
        let first = answer_as_pcscf(world, method, 430);
        assert!(first.uri().contains("127.16.1.1"), "the newest: {first}");
        pass_all(world);
        let came = world.take_one(cellular).message;
        assert_eq!(came.method(), method, "{came}");
        assert!(world.messages(wlan).iter().all(|text| text.method() == "ACK"));
        assert_ne!(first.expect("Via"), came.all("Via")[1], "another branch");
        let ok = cellular.answer_invite(&came, 200);
        world.sealed(cellular, &ok);
        assert_eq!(world.messages(other).last().expect("an answer").status(), 200);
        assert_eq!(world.counter("flows_failed_over"), 1);
        world.advance(seconds(150));
        if method == "MESSAGE" {
            assert_eq!(world.tables().scscf.strings_bytes, strings, "nothing was kept");
        }
    }
}

#[test]
fn what_the_ue_itself_refuses_goes_to_no_other_flow_and_the_last_failure_is_480() {
    for method in ["MESSAGE", "INVITE"] {
        for (statuses, expected) in
            [(vec![486], 486), (vec![430, 430], 480), (vec![430, 486], 486), (vec![408, 408], 408)]
        {
            let mut scene = Scene::new(Layout::Each);
            let strings = scene.world.tables().scscf.strings_bytes;
            let Scene { world, cellular, wlan, other } = &mut scene;
            let to = cellular.impu.clone();
            let request = match method {
                "INVITE" => other.invite(&to),
                _ => other.message(&to, None),
            };
            world.mw_held = true;
            world.sealed(other, &request);
            for status in &statuses {
                answer_as_pcscf(world, method, *status);
            }
            pass_all(world);
            // The P-CSCF, which has not answered itself, passes the ACK on.
            let at_ues = [world.messages(cellular), world.messages(wlan)].concat();
            assert!(at_ues.iter().all(|text| text.method() == "ACK"), "{at_ues:#?}");
            let answer = world.messages(other).pop().expect("an answer");
            assert_eq!(answer.status(), expected, "{method} {statuses:?}: {answer}");
            assert_eq!(world.counter("flows_failed_over"), statuses.len() as u64 - 1);
            if method == "INVITE" {
                let ack = other.ack_refusal(&request, &answer);
                world.sealed(other, &ack);
            }
            world.advance(seconds(400));
            assert_eq!(world.tables().scscf.sessions, 0);
            assert_eq!(world.tables().scscf.strings_bytes, strings);
        }
    }
}

/// What an INVITE for the newest flow has heard and caused, before that flow fails.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum Course {
    /// It rings.
    Rings,
    /// Only its P-CSCF has answered.
    Tries,
    /// The caller has cancelled it.
    Cancelled { rings: bool },
    /// Another instance of the user has accepted it.
    AcceptedElsewhere,
}

/// Whether the INVITE rings at the next flow when the newest one's fails with this status.
fn rings_at_the_next(course: Course, status: u16) -> bool {
    let mut scene = Scene::new(Layout::Each);
    let mut device = flow_of(&scene.world, &scene.wlan, 2, 2);
    device.uuid = "00000000-0000-4000-8000-00000000ffff".to_owned();
    if course == Course::AcceptedElsewhere {
        scene.world.register(&mut device);
        let again = scene.wlan.register_again(600);
        assert_eq!(scene.world.ask(&mut scene.wlan, &again).status(), 200);
    }
    let Scene { world, cellular, other, .. } = &mut scene;
    let invite = other.invite(&cellular.impu);
    world.mw_held = true;
    world.sealed(other, &invite);
    let wire = take_for_pcscf(world, "INVITE");
    assert!(Text::parse(&wire.bytes).uri().contains("127.16.1.1"), "the newest");
    pass_all(world);
    say_as_pcscf(world, &wire, 100);
    if course != Course::Tries && course != (Course::Cancelled { rings: false }) {
        say_as_pcscf(world, &wire, 180);
    }
    match course {
        Course::Rings | Course::Tries => {}
        Course::Cancelled { .. } => {
            let cancel = other.cancel(&invite);
            world.sealed(other, &cancel);
        }
        Course::AcceptedElsewhere => {
            let came = world.take_one(&mut device).message;
            let ok = device.answer_invite(&came, 200);
            world.sealed(&mut device, &ok);
        }
    }
    let cancels = world.mw.iter().filter(|it| it.to == wire.to && it.bytes.starts_with(b"CANCEL"));
    let is_cancelled = !matches!(course, Course::Rings | Course::Tries);
    assert_eq!(cancels.count(), usize::from(is_cancelled), "and the P-CSCF has answered it");
    say_as_pcscf(world, &wire, status);
    let came = world.messages(cellular);
    assert_eq!(world.counter("flows_failed_over"), came.len() as u64);
    came.iter().any(|text| text.method() == "INVITE")
}

#[test]
fn a_call_that_is_over_rings_at_no_other_flow() {
    for status in [408, 430] {
        assert!(rings_at_the_next(Course::Tries, status), "{status}");
        for course in [
            Course::Cancelled { rings: true },
            Course::Cancelled { rings: false },
            Course::AcceptedElsewhere,
        ] {
            assert!(!rings_at_the_next(course, status), "{course:?} {status}");
        }
    }
}

#[test]
fn a_flow_that_rang_until_timer_c_has_not_failed_and_one_that_was_lost_has() {
    assert!(!rings_at_the_next(Course::Rings, 408));
    assert!(rings_at_the_next(Course::Rings, 430));
}

#[test]
fn a_call_that_was_cancelled_where_the_ue_is_lost_rings_at_no_other_flow() {
    let pcscf = "sa_policy = \"impi\",";
    let world = World::configured_twice(Layout::Apart, pcscf, OUTBOUND, "");
    let Scene { mut world, mut cellular, mut wlan, mut other } = Scene::of(world);
    let invite = other.invite(&cellular.impu);
    world.sealed(&mut other, &invite);
    let came = world.take_one(&mut wlan).message;
    let ringing = wlan.answer_invite(&came, 180);
    world.sealed(&mut wlan, &ringing);
    let cancel = other.cancel(&invite);
    world.sealed(&mut other, &cancel);
    // The UE, which has not answered the CANCEL, is elsewhere, through the same P-CSCF.
    world.further(&wlan, at(7), 1);
    world.advance(seconds(70));
    assert!(world.take(&mut cellular).is_empty());
    let answers = world.messages(&mut other);
    let of_invite = answers.iter().filter(|it| it.header("CSeq") == invite.header("CSeq"));
    assert!(of_invite.clone().any(|it| it.status() == 487), "{answers:#?}");
    assert_eq!(world.counter("flows_failed_over"), 0);
}

#[test]
fn a_message_that_comes_again_takes_the_way_that_it_has_now() {
    let mut scene = Scene::new(Layout::Each);
    let Scene { world, cellular, other, .. } = &mut scene;
    let message = other.message(&cellular.impu, None);
    world.mw_held = true;
    world.sealed(other, &message);
    answer_as_pcscf(world, "MESSAGE", 430);
    pass_all(world);
    let came = world.take_one(cellular).message;
    let again = world.mw_between(world.icscf_mw, world.scscf_mw);
    let again = again.iter().rfind(|text| text.method() == "MESSAGE" && text.status() == 0);
    let again = again.expect("the MESSAGE, as it came to the S-CSCF").clone();
    let before = world.mw.len();
    world.datagram(world.icscf_mw, world.scscf_mw, &again.to_bytes());
    let next = Text::parse(&world.mw[before].bytes);
    assert_eq!(next.all("Via")[0], came.all("Via")[1], "the branch of the second attempt");
    assert_eq!(world.mw[before].to, world.pcscf_mw);
}

/// Two users of one identity, the second of whom has the first one's instance in its flow, and somebody else.
fn family(layout: Layout) -> (World, [ScriptedUe; 2], ScriptedUe) {
    let mut world = World::with_a_family(layout, OUTBOUND);
    let (mut one, mut two, mut other) = (world.ue(41), world.ue(42), world.ue(2));
    as_flow(&mut one, 1, "cellular1");
    as_flow(&mut two, 1, "cellular1");
    two.uuid = one.uuid.clone();
    world.register(&mut one);
    world.register(&mut two);
    world.register(&mut other);
    (world, [one, two], other)
}

#[test]
fn an_instance_is_its_users_alone_where_users_share_an_identity() {
    for layout in LAYOUTS {
        let gruu = format!("{FAMILY};gr=urn:uuid:00000000-0000-4000-8000-000000000041");
        for to in [FAMILY, gruu.as_str()] {
            let (mut world, mut both, mut other) = family(layout);
            let invite = other.invite(to);
            world.sealed(&mut other, &invite);
            for ue in &mut both {
                let came = world.messages(ue);
                assert_eq!(came.len(), 1, "{to}: {came:#?}");
                assert_eq!(came[0].method(), "INVITE");
            }
            assert_eq!(world.counter("calls_forked"), 1);
        }
    }
}

#[test]
fn who_fills_a_shared_identity_keeps_nobody_from_registering() {
    let more = format!("{OUTBOUND} flows_max = 6,");
    let mut world = World::with_a_family(Layout::Apart, &more);
    let mut two = world.ue(42);
    as_flow(&mut two, 1, "wlan1");
    world.register(&mut two);
    for place in 2..=6 {
        let mut more = flow_of(&world, &two, place, u32::from(place));
        world.register(&mut more);
        two.freshness = more.freshness;
    }
    assert_eq!(world.tables().scscf.bindings, 12);
    let mut one = world.ue(41);
    world.register(&mut one);
    assert_eq!(world.tables().scscf.bindings, 13, "its own identity, without the shared one");
    let mut other = world.ue(2);
    world.register(&mut other);
    let message = other.message(&one.impu, None);
    world.sealed(&mut other, &message);
    assert_eq!(world.take_one(&mut one).message.method(), "MESSAGE");
    // Once there is room, the next REGISTER binds it.
    let leave = two.register_again(0);
    assert_eq!(world.ask(&mut two, &leave).status(), 200);
    assert_eq!(world.tables().scscf.bindings, 13);
    let again = one.register_again(600);
    world.sealed(&mut one, &again);
    assert_eq!(world.tables().scscf.bindings, 14);
}

#[test]
fn two_contacts_of_an_instance_are_not_called_at_once_though_one_is_no_flow() {
    for layout in LAYOUTS {
        for subscribes in [false, true] {
            let mut world = world(layout);
            let (mut first, mut other) = (world.ue(1), world.ue(2));
            as_flow(&mut first, 1, "cellular1");
            world.register(&mut first);
            let mut plain = match subscribes {
                true => world.further(&first, at(2), 1),
                false => world.register_from(&first, at(2), 1),
            };
            if subscribes {
                world.bind(&mut plain, &first.impu);
            }
            world.register(&mut other);
            let invite = other.invite(&first.impu);
            world.sealed(&mut other, &invite);
            assert_eq!(world.take_one(&mut plain).message.method(), "INVITE");
            assert!(world.take(&mut first).is_empty());
            assert_eq!(world.counter("calls_forked"), 0);
        }
    }
}

#[test]
fn a_pcscf_that_was_started_anew_may_give_two_registrations_one_name() {
    let mut world = World::configured_twice(Layout::Apart, "", OUTBOUND, "");
    let mut first = world.ue(1);
    as_flow(&mut first, 1, "cellular1");
    let ok = world.register(&mut first);
    world.restart_pcscf();
    let mut second = world.access_of(&first, at(1), 0);
    as_flow(&mut second, 2, "wlan1");
    let again = world.register(&mut second);
    assert_eq!(ok.all("Path"), again.all("Path"), "the name");
    assert_eq!(world.counter("aka_registrations_overridden"), 1);
    world.advance(seconds(100));
    assert_eq!(world.tables().scscf.bindings, 2);
    let again = second.register_again(600);
    assert_eq!(world.ask(&mut second, &again).status(), 200);
}

#[test]
fn a_ue_behind_another_proxy_has_no_flow_at_the_pcscf() {
    let mut scene = Scene::new(Layout::Apart);
    let again = scene.cellular.register_again(600);
    let again = again.and("Via", "SIP/2.0/UDP 192.0.2.9:5060;branch=z9hG4bK-behind");
    scene.world.sealed(&mut scene.cellular, &again);
    let sent = scene.world.mw_between(scene.world.pcscf_mw, scene.world.icscf_mw);
    let sent = sent.iter().rfind(|text| text.method() == "REGISTER").expect("a REGISTER");
    assert!(sent.expect("Path").ends_with(";lr>"), "{sent}");
    assert_eq!(scene.world.counter("outbound_lacking"), 1);
}

#[test]
fn a_call_for_whose_newest_flow_there_is_no_room_goes_by_the_next() {
    let mut scene = Scene::new(Layout::Apart);
    let Scene { world, cellular, wlan, other } = &mut scene;
    let mut third = world.ue(3);
    world.register(&mut third);
    for _ in 0..16 {
        world.call(other, wlan);
    }
    let invite = third.invite(&cellular.impu);
    world.sealed(&mut third, &invite);
    assert_eq!(world.take_one(cellular).message.method(), "INVITE");
    assert!(world.take(wlan).is_empty());
    assert_eq!(world.counter("flows_failed_over"), 1);
}

#[test]
fn a_call_whose_flow_ends_goes_by_the_next() {
    let mut scene = Scene::new(Layout::Each);
    let Scene { world, cellular, wlan, other } = &mut scene;
    let invite = other.invite(&cellular.impu);
    world.sealed(other, &invite);
    let came = world.take_one(wlan).message;
    let ringing = wlan.answer_invite(&came, 180);
    world.sealed(wlan, &ringing);
    let leave = wlan.register_again(0);
    world.sealed(wlan, &leave);
    assert!(world.messages(wlan).iter().any(|text| text.method() == "CANCEL"));
    let came = world.take_one(cellular).message;
    assert_eq!(came.method(), "INVITE", "{came}");
    assert_eq!(world.counter("flows_failed_over"), 1);
    let ok = cellular.answer_invite(&came, 200);
    world.sealed(cellular, &ok);
    let answers = world.messages(other);
    let statuses: Vec<u16> = answers.iter().map(Text::status).collect();
    assert_eq!(statuses, [100, 180, 200], "{answers:#?}");
}

#[test]
fn a_gruu_leads_to_the_newest_flow_of_its_instance_and_then_to_the_next() {
    let mut scene = Scene::new(Layout::Each);
    let again = scene.wlan.register_again(600);
    let ok = scene.world.ask(&mut scene.wlan, &again);
    let gruu = parameter(ok.all("Contact")[0], "pub-gruu").expect("a GRUU").to_owned();
    let Scene { world, cellular, wlan, other } = &mut scene;
    let message = other.message(&gruu, None);
    world.sealed(other, &message);
    let came = world.take_one(wlan).message;
    world.accept(wlan, &came);
    assert_eq!(world.take_one(other).message.status(), 200);
    let message = other.message(&gruu, None);
    world.mw_held = true;
    world.sealed(other, &message);
    answer_as_pcscf(world, "MESSAGE", 430);
    pass_all(world);
    assert_eq!(world.take_one(cellular).message.method(), "MESSAGE");
}

#[test]
fn what_keeps_a_nat_open_is_taken_and_ignored() {
    let mut scene = Scene::new(Layout::Apart);
    let (before, sent) = (scene.world.counters(), scene.world.sent.len());
    // RFC 3948 clause 2.3.
    let wlan = scene.wlan.ip;
    let pcscf = scene.wlan.pcscf.ip();
    scene.world.datagram((wlan, 4500).into(), (pcscf, 4500).into(), &[0xff]);
    assert_eq!(scene.world.risen(&before), []);
    assert_eq!(scene.world.sent.len(), sent);
    assert!(scene.goes_to_wlan(None));
}

#[test]
fn an_invite_that_was_accepted_is_not_kept_for_other_flows() {
    let bytes = |flows: bool| {
        let mut scene = Scene::new(Layout::Each);
        if !flows {
            let leave = scene.cellular.register_again(0);
            assert_eq!(scene.world.ask(&mut scene.cellular, &leave).status(), 200);
        }
        let before = scene.world.tables().scscf.strings_bytes;
        scene.world.call(&mut scene.other, &mut scene.wlan);
        scene.world.tables().scscf.strings_bytes - before
    };
    assert_eq!(bytes(true), bytes(false));
}

#[test]
fn any_datagram_on_mw_may_be_lost_or_come_twice_while_a_flow_is_replaced() {
    let datagrams = |world: &mut World| {
        let mut first = world.ue(1);
        as_flow(&mut first, 1, "cellular1");
        world.register(&mut first);
        (first, world.mw.len())
    };
    let mut clean = world(Layout::Each);
    let (first, from) = datagrams(&mut clean);
    let mut moved = flow_of(&clean, &first, 1, 1);
    clean.register(&mut moved);
    clean.advance(seconds(1));
    let until = clean.mw.len();
    assert!(until > from + 12, "the set-up, and the end of the one before");
    for number in from..until {
        for is_lost in [true, false] {
            let mut world = world(Layout::Each);
            let (first, _) = datagrams(&mut world);
            let fault = Some(number);
            if is_lost {
                world.mw_lost = fault;
            } else {
                world.mw_doubled = fault;
            }
            let mut moved = flow_of(&world, &first, 1, 1);
            let begin = moved.register_first(Credentials::Name);
            world.plain(&moved, &begin);
            let challenge = answer_to(&mut world, &mut moved);
            moved.challenge(&challenge).expect("a challenge that the USIM accepts");
            let answer = moved.register_answer();
            world.sealed(&mut moved, &answer);
            let ok = answer_to(&mut world, &mut moved);
            assert_eq!(ok.status(), 200, "{number} {is_lost}: {ok}");
            assert_eq!(ok.all("Require"), ["outbound"]);
            moved.registered(&ok);
            world.advance(seconds(200));
            assert_eq!(world.counter("aka_registrations_overridden"), 1, "{number} {is_lost}");
            assert_eq!(world.counter("aka_registrations_made"), 2, "{number} {is_lost}");
            assert_eq!((world.tables().pcscf.sets, world.tables().scscf.bindings), (1, 2));
            let again = moved.register_again(600);
            assert_eq!(world.ask(&mut moved, &again).status(), 200);
        }
    }
}

/// The answer that comes at once, or after a datagram was sent again.
fn answer_to(world: &mut World, ue: &mut ScriptedUe) -> Text {
    let mut came = world.messages(ue);
    if came.is_empty() {
        world.advance(seconds(2));
        came = world.messages(ue);
    }
    came.pop().expect("an answer")
}

#[test]
fn each_flow_has_its_row() {
    let scene = Scene::new(Layout::Apart);
    let rows = scene.world.show(Table::Subscriptions, Some(&scene.wlan.impi));
    assert_eq!(rows.len(), 2);
    let rows = scene.world.show(Table::Bindings, Some(&scene.wlan.impi));
    assert_eq!(rows.len(), 4);
}
