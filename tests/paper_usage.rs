//! The paper's section 3 ("several subscriptions") and 3.2: what a secure connection is for, that each stands by itself, and what ends
//! with it.

use std::net::IpAddr;

use imstorm_base::seconds;
use imstorm_cscf::operator::Command;
use imstorm_cscf::scscf::Reason;
use tests::message::parameter;
use tests::ue::{EXPIRES_S, bare_uri};
use tests::{Layout, Scene, ScriptedUe, Text, World};

const LAYOUTS: [Layout; 3] = [Layout::Together, Layout::Apart, Layout::Each];

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

/// A further access of a user, secured.
fn further(world: &mut World, ue: &ScriptedUe, address: IpAddr, pcscf: usize) -> ScriptedUe {
    let number = ue.impi[2..10].parse().expect("a number");
    let mut second = world.ue_through(number, address, pcscf);
    second.new_call();
    second.call_id = format!("{address}-{pcscf}-{}", second.call_id);
    // One USIM: the other access goes on with its numbers.
    second.freshness = ue.freshness.clone();
    world.secure(&mut second);
    second
}

/// A message from one to another arrives, and its answer comes back. What arrived.
fn message(world: &mut World, from: &mut ScriptedUe, to: &mut ScriptedUe, uri: &str) -> Text {
    let message = from.message(uri, None);
    world.sealed(from, &message);
    let arrived = world.take_one(to).message;
    assert_eq!(arrived.method(), "MESSAGE");
    world.accept(to, &arrived);
    let answer = world.take_one(from).message;
    assert_eq!((answer.status(), answer.method()), (200, "MESSAGE"));
    arrived
}

fn status_of(world: &mut World, ue: &mut ScriptedUe, uri: &str) -> u16 {
    let message = ue.message(uri, None);
    world.ask(ue, &message).status()
}

#[test]
fn several_contacts_and_several_pcscfs() {
    for layout in LAYOUTS {
        let mut world = World::with_two_pcscfs(layout);
        let mut first = world.ue(1);
        world.secure(&mut first);
        let mut second = further(&mut world, &first, ip("127.16.1.1"), 0);
        let mut third = further(&mut world, &second, ip("127.16.1.2"), 1);
        // Private addresses overlap: the first one's address, through the other P-CSCF.
        let mut fourth = further(&mut world, &third, first.ip, 1);
        let tables = world.tables();
        assert_eq!((tables.pcscf.connections, tables.pcscf.sets), (4, 4), "{layout:?}");
        assert_eq!(tables.scscf.subscriptions, 4);
        let targets = [&first.target, &second.target, &third.target, &fourth.target];
        for (place, target) in targets.iter().enumerate() {
            assert!(!targets[..place].contains(target), "a token of its own each");
        }
        for ue in [&mut first, &mut second, &mut third, &mut fourth] {
            world.refresh(ue);
        }
        world.reauthenticate(&mut third);
        world.release(&mut second);
        world.advance(seconds(1));
        for ue in [&mut first, &mut third, &mut fourth] {
            world.refresh(ue);
        }
        assert_eq!(world.tables().scscf.subscriptions, 3);
        assert!(world.to_ues.is_empty(), "{:?}", world.to_ues);
    }
}

#[test]
fn a_new_subscription_replaces_the_one_at_its_address_and_pcscf_only() {
    for layout in LAYOUTS {
        let mut world = World::with_two_pcscfs(layout);
        let mut first = world.ue(1);
        world.secure(&mut first);
        let mut far = further(&mut world, &first, first.ip, 1);
        let impu = first.impu.clone();
        world.bind(&mut first, &impu);
        world.bind(&mut far, &impu);
        assert_eq!(world.tables().scscf.bindings, 2);
        first.freshness = far.freshness.clone();
        first.new_call();
        world.begin(&mut first);
        assert_eq!(world.tables().scscf.subscriptions, 2, "not before it is authenticated");
        let answer = first.answer();
        world.sealed(&mut first, &answer);
        let mut ended = 0;
        for arrived in world.take(&mut first) {
            let text = &arrived.message;
            if text.status() == 200 {
                first.accepted(text);
                continue;
            }
            let set = arrived.set.expect("a set");
            ended +=
                usize::from(text.expect("Subscription-State") == "terminated;reason=noresource");
            let ok = first.respond(text, 200);
            let packet = first.seal_with(set, &ok.to_bytes());
            world.packet(&first, &packet);
        }
        assert_eq!(ended, 1, "{layout:?}");
        world.advance(seconds(2));
        let tables = world.tables();
        assert_eq!((tables.scscf.subscriptions, tables.pcscf.sets), (2, 2), "{layout:?}");
        assert_eq!(tables.scscf.bindings, 1, "the old one's went with it: full reach");
        world.refresh(&mut first);
        world.refresh(&mut far);
        assert!(world.to_ues.is_empty());
    }
}

#[test]
fn an_identity_is_registered_over_several_connections() {
    for layout in LAYOUTS {
        let mut world = World::with_two_pcscfs(layout);
        let (mut first, mut caller) = (world.ue(1), world.ue(2));
        world.secure(&mut first);
        world.secure(&mut caller);
        let mut second = further(&mut world, &first, ip("127.16.1.1"), 1);
        let impu = first.impu.clone();
        world.bind(&mut first, &impu);
        let ok = world.bind(&mut second, &impu);
        let contacts: Vec<&str> = ok.all("Contact").into_iter().map(bare_uri).collect();
        for ue in [&first, &second] {
            assert!(contacts.contains(&format!("sip:{}", ue.at(6101)).as_str()), "{contacts:?}");
        }
        assert_eq!(contacts.len(), 2);
        // Of equal preference, the newest is called; through its own P-CSCF.
        let arrived = message(&mut world, &mut caller, &mut second, &impu);
        assert_eq!(arrived.uri(), bare_uri(&second.contact()));
        world.bind(&mut first, &impu);
        message(&mut world, &mut caller, &mut first, &impu);
        // Any other identity, over either.
        let tel = first.tel();
        world.bind(&mut second, &tel);
        message(&mut world, &mut caller, &mut second, &tel);
        assert_eq!(world.tables().scscf.bindings, 3);
    }
}

#[test]
fn an_ending_touches_nothing_of_another_connection() {
    for layout in LAYOUTS {
        let mut world = World::with_two_pcscfs(layout);
        let (mut leaving, mut caller) = (world.ue(1), world.ue(2));
        world.secure(&mut leaving);
        world.secure(&mut caller);
        let mut staying = further(&mut world, &leaving, ip("127.16.1.1"), 1);
        let (impu, tel) = (leaving.impu.clone(), leaving.tel());
        let gone = world.bind(&mut leaving, &impu);
        world.bind(&mut leaving, &tel);
        let kept = world.bind(&mut staying, &impu);
        world.watch(&mut leaving, &impu);
        world.watch(&mut staying, &impu);
        let gruu = |ok: &Text, ue: &ScriptedUe, name: &str| {
            let own = ue.at(6101).to_string();
            let contacts = ok.all("Contact").into_iter();
            let mut his = contacts.filter(|contact| contact.contains(&own));
            let found = parameter(his.next().expect("his contact"), name);
            found.expect("a GRUU").to_owned()
        };
        let public = gruu(&kept, &staying, "pub-gruu");
        assert_eq!(public, gruu(&gone, &leaving, "pub-gruu"), "one instance, one public GRUU");
        let (temporary, lasting) =
            (gruu(&gone, &leaving, "temp-gruu"), gruu(&kept, &staying, "temp-gruu"));
        message(&mut world, &mut caller, &mut leaving, &temporary);
        let before = world.tables();
        assert_eq!((before.scscf.bindings, before.scscf.reg_subscriptions), (3, 2));

        let told = world.leave(&mut leaving);
        let told: Vec<&str> =
            told.iter().map(|text| text.header("Event").unwrap_or("200")).collect();
        assert_eq!(told, ["200", "reg", "security"], "{layout:?}");
        let seen = world.notifies(&mut staying, "reg");
        assert_eq!(seen.len(), 1, "{layout:?}");
        let body = &seen[0].body;
        assert!(
            body.contains("event=\"unregistered\"") && body.contains("state=\"active\""),
            "{body}"
        );
        assert!(seen[0].expect("Subscription-State").starts_with("active"));
        world.advance(seconds(1));
        let tables = world.tables();
        assert_eq!((tables.scscf.bindings, tables.scscf.reg_subscriptions), (1, 1), "{layout:?}");
        assert_eq!((tables.pcscf.sets, tables.scscf.subscriptions), (2, 2));
        // His temporary GRUU is gone, and what is the other's is not.
        assert_eq!(status_of(&mut world, &mut caller, &temporary), 480);
        assert_eq!(status_of(&mut world, &mut caller, &tel), 480);
        for uri in [&public, &lasting, &impu] {
            message(&mut world, &mut caller, &mut staying, uri);
        }
        world.refresh(&mut staying);
        world.leave(&mut staying);
        for uri in [&public, &lasting, &impu] {
            assert_eq!(status_of(&mut world, &mut caller, uri), 480, "{uri}");
        }
    }
}

#[test]
fn a_gruu_leads_to_its_own_instance() {
    for layout in LAYOUTS {
        let mut world = World::with_two_pcscfs(layout);
        let (mut first, mut caller) = (world.ue(1), world.ue(2));
        world.secure(&mut first);
        world.secure(&mut caller);
        let mut second = further(&mut world, &first, ip("127.16.1.1"), 1);
        let impu = first.impu.clone();
        let ok = world.bind(&mut first, &impu);
        let phone = parameter(ok.expect("Contact"), "pub-gruu").expect("a GRUU").to_owned();
        // Another device of the same user.
        let register = second.register(&impu, 3600).altered("Contact", "00000000-", "99999999-");
        let ok = world.ask(&mut second, &register);
        let contacts = ok.all("Contact").into_iter();
        let mut gruus = contacts.filter_map(|contact| parameter(contact, "pub-gruu"));
        let tablet = gruus.next_back().expect("a GRUU").to_owned();
        assert!(tablet.contains("99999999-") && phone.contains("00000000-"), "{phone} {tablet}");
        message(&mut world, &mut caller, &mut first, &phone);
        message(&mut world, &mut caller, &mut second, &tablet);
        let nobody = phone.replace("00000000-", "11111111-");
        assert_eq!(status_of(&mut world, &mut caller, &nobody), 480);
        world.leave(&mut second);
        assert_eq!(status_of(&mut world, &mut caller, &tablet), 480, "{layout:?}");
        message(&mut world, &mut caller, &mut first, &phone);
    }
}

#[test]
fn a_temporary_gruu_lives_as_long_as_its_registrations_call() {
    let mut scene = Scene::with(Layout::Apart);
    let Scene { world, ue, other } = &mut scene;
    let impu = ue.impu.clone();
    let gruu = |ok: &Text| {
        assert_eq!(ok.status(), 200, "{ok}");
        parameter(ok.expect("Contact"), "temp-gruu").expect("a GRUU").to_owned()
    };
    let register = ue.register(&impu, 3600);
    let first = gruu(&world.ask(ue, &register));
    // RFC 5627 clause 4.2: a refresh gives another, and keeps the one before.
    let via = ue.via(6101);
    let refresh = register.with("CSeq", "2 REGISTER").with("Via", &via);
    let second = gruu(&world.ask(ue, &refresh));
    assert_ne!(first, second);
    for uri in [&first, &second] {
        message(world, other, ue, uri);
    }
    // Another Call-ID voids both.
    let third = gruu(&world.bind(ue, &impu));
    for uri in [&first, &second] {
        assert_eq!(status_of(world, other, uri), 480, "{uri}");
    }
    message(world, other, ue, &third);
    scene.unharmed();
}

#[test]
fn ending_by_the_network_has_the_same_reach() {
    for reason in [Reason::Deactivated, Reason::Rejected] {
        let mut scene = Scene::with(Layout::Apart);
        let (impu, to) = (scene.ue.impu.clone(), scene.other.impu.clone());
        scene.world.bind(&mut scene.ue, &impu);
        scene.world.bind(&mut scene.other, &to);
        scene.world.watch(&mut scene.other, &to);
        let impi = scene.ue.impi.clone().into_bytes();
        scene.world.operate(&Command::Terminate { impi, reason }).unwrap();
        scene.world.notifies(&mut scene.ue, "security");
        scene.world.advance(seconds(1));
        let tables = scene.world.tables();
        assert_eq!((tables.scscf.bindings, tables.scscf.reg_subscriptions), (1, 1));
        assert_eq!((tables.pcscf.sets, tables.scscf.subscriptions), (1, 1));
        assert!(scene.world.take(&mut scene.other).is_empty());
        scene.world.refresh(&mut scene.other);
        assert_eq!(status_of(&mut scene.world, &mut scene.other, &impu), 480);
    }
}

#[test]
fn a_ue_out_of_reach_loses_everything_that_ran_over_its_connection() {
    for status in [408, 430, 481] {
        let mut scene = Scene::new();
        let (impu, to) = (scene.ue.impu.clone(), scene.other.impu.clone());
        scene.world.bind(&mut scene.ue, &impu);
        scene.world.bind(&mut scene.other, &to);
        let impi = scene.ue.impi.clone().into_bytes();
        scene.world.operate(&Command::Shorten { impi, expires_s: 300 }).unwrap();
        let notify = scene.world.take_one(&mut scene.ue).message;
        let refused = scene.ue.respond(&notify, status);
        scene.world.sealed(&mut scene.ue, &refused);
        let tables = scene.world.tables();
        assert_eq!((tables.scscf.bindings, tables.pcscf.sets), (1, 1), "{status}");
        assert_eq!(tables.scscf.subscriptions, 1);
        assert_eq!(status_of(&mut scene.world, &mut scene.other, &impu), 480);
        scene.world.refresh(&mut scene.other);
    }
}

#[test]
fn over_ipv6_too() {
    for layout in LAYOUTS {
        let mut scene = Scene::of(World::with(layout, ip("::1"), ""));
        let Scene { world, ue, other } = &mut scene;
        let (impu, to) = (ue.impu.clone(), other.impu.clone());
        world.bind(ue, &impu);
        let ok = world.bind(other, &to);
        let gruu = parameter(ok.expect("Contact"), "temp-gruu").expect("a GRUU").to_owned();
        world.watch(ue, &impu);
        for uri in [&to, &gruu] {
            message(world, ue, other, uri);
        }
        message(world, other, ue, &impu);
        world.reauthenticate(ue);
        message(world, other, ue, &impu);
        world.leave(ue);
        world.leave(other);
        world.advance(seconds(400));
        world.assert_empty();
    }
}

#[test]
fn no_registration_is_needed() {
    for layout in LAYOUTS {
        let mut scene = Scene::with(layout);
        let to = scene.other.impu.clone();
        scene.world.bind(&mut scene.other, &to);
        for preferred in [scene.ue.impu.clone(), scene.ue.tel()] {
            let message = scene.ue.message(&to, Some(&preferred));
            scene.world.sealed(&mut scene.ue, &message);
            let arrived = scene.world.take_one(&mut scene.other).message;
            assert_eq!(arrived.all("P-Asserted-Identity"), [format!("<{preferred}>")]);
            scene.world.accept(&mut scene.other, &arrived);
            assert_eq!(scene.world.take_one(&mut scene.ue).message.status(), 200);
        }
        // But to be called one must be registered.
        let (impu, tel) = (scene.ue.impu.clone(), scene.ue.tel());
        for uri in [&impu, &tel] {
            assert_eq!(status_of(&mut scene.world, &mut scene.other, uri), 480, "{uri}");
        }
        for _ in 0..20 {
            scene.world.advance(seconds(500));
            scene.world.refresh(&mut scene.ue);
            scene.world.refresh(&mut scene.other);
        }
        assert_eq!(scene.world.counter("unbound_ended"), 0);
        assert_eq!(scene.world.tables().scscf.reg_subscriptions, 0, "nor one to the reg event");
    }
}

#[test]
fn where_policy_forbids_a_path_without_registration_it_ends() {
    for layout in LAYOUTS {
        let mut world = World::configured(layout, "", "binding_required_after_s = 30,");
        let (mut unbound, mut bound) = (world.ue(1), world.ue(2));
        world.secure(&mut unbound);
        world.secure(&mut bound);
        let impu = bound.impu.clone();
        world.bind(&mut bound, &impu);
        world.advance(seconds(29));
        assert_eq!(world.counter("unbound_ended"), 0);
        world.advance(seconds(1));
        assert_eq!(world.counter("unbound_ended"), 1, "{layout:?}");
        let ended = world.notifies(&mut unbound, "security");
        assert_eq!(ended[0].expect("Subscription-State"), "terminated;reason=deactivated");
        world.advance(seconds(60));
        world.refresh(&mut bound);
        assert_eq!((world.tables().pcscf.sets, world.tables().scscf.subscriptions), (1, 1));
        // Once the binding goes, the time begins anew.
        let deregister = bound.register(&impu, 0);
        assert_eq!(world.ask(&mut bound, &deregister).status(), 200);
        world.advance(seconds(29));
        assert_eq!(world.tables().scscf.subscriptions, 1);
        world.advance(seconds(1));
        assert_eq!(world.notifies(&mut bound, "security").len(), 1);
        world.advance(seconds(400));
        world.assert_empty();
    }
}

#[test]
fn a_binding_that_expires_does_not_end_the_connection() {
    for layout in LAYOUTS {
        let mut world = World::new(layout);
        let mut ue = world.ue(1);
        world.secure(&mut ue);
        let impu = ue.impu.clone();
        let register = ue.register(&impu, 60);
        assert_eq!(world.ask(&mut ue, &register).status(), 200);
        world.advance(seconds(59));
        assert_eq!(world.tables().scscf.bindings, 1);
        world.advance(seconds(2));
        assert_eq!((world.tables().scscf.bindings, world.counter("registrations_expired")), (0, 1));
        assert!(world.take(&mut ue).is_empty());
        world.refresh(&mut ue);
        assert_eq!(world.tables().pcscf.sets, 1);
    }
}

#[test]
fn a_registration_does_not_prolong_the_associations() {
    for layout in LAYOUTS {
        let mut world = World::new(layout);
        let mut ue = world.ue(1);
        world.secure(&mut ue);
        let impu = ue.impu.clone();
        world.advance(seconds(500));
        let ok = world.bind(&mut ue, &impu);
        assert_eq!(parameter(ok.expect("Contact"), "expires"), Some("3600"));
        world.advance(seconds(u64::from(EXPIRES_S) - 500 + 1));
        let ended = world.notifies(&mut ue, "security");
        assert_eq!(ended[0].expect("Subscription-State"), "terminated;reason=timeout");
        world.advance(seconds(1));
        assert_eq!(
            (world.tables().pcscf.sets, world.tables().scscf.bindings),
            (0, 0),
            "{layout:?}"
        );
    }
}

#[test]
fn a_star_removes_only_its_own_connections_binding() {
    for layout in LAYOUTS {
        let mut world = World::with_two_pcscfs(layout);
        let mut first = world.ue(1);
        world.secure(&mut first);
        let mut second = further(&mut world, &first, ip("127.16.1.1"), 1);
        let (impu, tel) = (first.impu.clone(), first.tel());
        for impu in [&impu, &tel] {
            world.bind(&mut first, impu);
            world.bind(&mut second, impu);
        }
        let star = first.register(&impu, 0).with("Contact", "*");
        let ok = world.ask(&mut first, &star);
        assert_eq!(ok.status(), 200, "{ok}");
        let left: Vec<&str> = ok.all("Contact").into_iter().map(bare_uri).collect();
        assert_eq!(left, [bare_uri(&second.contact())], "{layout:?}");
        assert_eq!(world.tables().scscf.bindings, 3, "of that identity, over that connection");
        world.refresh(&mut first);
    }
}

#[test]
fn a_contact_that_is_not_the_connections_is_refused() {
    let mut scene = Scene::new();
    let impu = scene.ue.impu.clone();
    let theirs = scene.other.contact();
    let port = format!("<sip:{}>", scene.ue.at(6102));
    for contact in [theirs.as_str(), &port, "<sip:192.0.2.1:6101>", "<sip:ue1@ims.example>"] {
        let register = scene.ue.register(&impu, 3600).with("Contact", contact);
        let refused =
            scene.raises(&["contact_refused"], |scene| scene.world.ask(&mut scene.ue, &register));
        assert_eq!(refused.status(), 403, "{contact}");
        // Beside its own it is no better.
        let both = format!("{}, {contact}", scene.ue.contact());
        let register = scene.ue.register(&impu, 3600).with("Contact", &both);
        let refused =
            scene.raises(&["contact_refused"], |scene| scene.world.ask(&mut scene.ue, &register));
        assert_eq!(refused.status(), 403, "{contact}");
    }
    assert_eq!(scene.world.tables().scscf.bindings, 0);
    scene.unharmed();
}

#[test]
fn a_registration_goes_as_it_should_hop_by_hop() {
    let mut scene = Scene::with(Layout::Each);
    let impu = scene.ue.impu.clone();
    let register = scene.ue.register(&impu, 3600);
    assert_eq!(register.header("Authorization"), None);
    let mark = scene.world.mw.len();
    let ok = scene.world.ask(&mut scene.ue, &register);
    assert_eq!(scene.world.transcript(mark), ["P>S REGISTER", "S>P 200 REGISTER"]);
    let sent = Text::parse(&scene.world.mw[mark].bytes);
    tests::Changes::between(&register, &sent).assert_are(
        &["Proxy-Require", "Route", "Security-Verify"],
        &["P-Asserted-Identity", "P-Charging-Vector", "P-Visited-Network-ID", "Path", "Via"],
        &["Max-Forwards", "Require"],
    );
    assert_eq!(sent.all("P-Asserted-Identity"), [format!("<{impu}>")]);
    let answered = Text::parse(&scene.world.mw[mark + 1].bytes);
    tests::Changes::between(&answered, &ok).assert_are(&["Via"], &[], &[]);
    assert_eq!(scene.world.counter("challenges"), 2, "the two set-ups'");
}

#[test]
fn the_reg_event_shows_what_is_bound_and_nothing_depends_on_it() {
    let mut scene = Scene::with(Layout::Apart);
    let (impu, tel) = (scene.ue.impu.clone(), scene.ue.tel());
    let (watch, ok, notify) = scene.world.watch(&mut scene.ue, &tel);
    assert_eq!(ok.expect("Expires"), "3600");
    assert_eq!(notify.expect("Event"), "reg");
    assert!(notify.body.contains(&format!("aor=\"{tel}\"")), "{notify}");
    // Of one identity: another one's registration is not told.
    scene.world.bind(&mut scene.ue, &impu);
    assert!(scene.world.take(&mut scene.ue).is_empty());
    let register = scene.ue.register(&tel, 3600);
    scene.world.sealed(&mut scene.ue, &register);
    let told = scene.world.notifies(&mut scene.ue, "reg");
    assert!(told[0].body.contains("event=\"registered\""), "{}", told[0]);
    // It ends by itself, and the bindings stay.
    let leave = scene.ue.next_in_dialog(&watch, &ok).with("Expires", "0");
    scene.world.sealed(&mut scene.ue, &leave);
    let told = scene.world.notifies(&mut scene.ue, "reg");
    assert_eq!(told[0].expect("Subscription-State"), "terminated;reason=timeout");
    assert_eq!(scene.world.tables().scscf.reg_subscriptions, 0);
    assert_eq!(scene.world.tables().scscf.bindings, 2);
    scene.unharmed();
}

#[test]
fn what_a_refresh_shortens_ends_in_time() {
    for layout in LAYOUTS {
        let mut world = World::configured(layout, "", "expires_min_s = 10,");
        let mut ue = world.ue(1);
        world.secure(&mut ue);
        let impu = ue.impu.clone();
        world.bind(&mut ue, &impu);
        let register = ue.register(&impu, 20);
        assert_eq!(world.ask(&mut ue, &register).status(), 200);
        world.advance(seconds(19));
        assert_eq!(world.tables().scscf.bindings, 1);
        world.advance(seconds(1));
        assert_eq!(world.tables().scscf.bindings, 0, "{layout:?}: the binding");
        let (watch, ok, _) = world.watch(&mut ue, &impu);
        let shorter = ue.next_in_dialog(&watch, &ok).with("Expires", "20");
        world.sealed(&mut ue, &shorter);
        assert_eq!(world.notifies(&mut ue, "reg").len(), 1);
        world.advance(seconds(20));
        let ended = world.notifies(&mut ue, "reg");
        assert_eq!(ended.len(), 1, "{layout:?}: the subscription to the registration");
        assert_eq!(ended[0].expect("Subscription-State"), "terminated;reason=timeout");
        let shorter = ue.refresh(20);
        world.sealed(&mut ue, &shorter);
        assert_eq!(world.notifies(&mut ue, "security").len(), 1);
        world.advance(seconds(20));
        let ended = world.notifies(&mut ue, "security");
        assert_eq!(ended.len(), 1, "{layout:?}: the connection");
        assert_eq!(ended[0].expect("Subscription-State"), "terminated;reason=timeout");
        world.advance(seconds(400));
        world.assert_empty();
    }
}

#[test]
fn a_connection_has_its_whole_time_to_bind_again() {
    for layout in LAYOUTS {
        let mut world = World::configured(layout, "", "binding_required_after_s = 60,");
        let mut ue = world.ue(1);
        world.secure(&mut ue);
        world.advance(seconds(10));
        let impu = ue.impu.clone();
        world.bind(&mut ue, &impu);
        world.advance(seconds(40));
        let register = ue.register(&impu, 0);
        assert_eq!(world.ask(&mut ue, &register).status(), 200);
        world.advance(seconds(59));
        assert_eq!(world.counter("unbound_ended"), 0, "{layout:?}");
        world.advance(seconds(1));
        assert_eq!(world.counter("unbound_ended"), 1, "{layout:?}");
    }
}
