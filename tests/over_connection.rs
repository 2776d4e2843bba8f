//! What a UE does over its secure connection: registers without credentials, watches its registrations, sends and takes messages.

use imstorm_base::seconds;
use imstorm_cscf::operator::Command;
use imstorm_cscf::scscf::Reason;
use tests::message::parameter;
use tests::ue::{DOMAIN, EXPIRES_S, bare_uri};
use tests::{Arrived, Layout, ScriptedUe, Text, World};

const LAYOUTS: [Layout; 2] = [Layout::Together, Layout::Apart];

fn secured(layout: Layout) -> (World, ScriptedUe, ScriptedUe) {
    let mut world = World::new(layout);
    let (mut ue, mut other) = (world.ue(1), world.ue(2));
    world.secure(&mut ue);
    world.secure(&mut other);
    (world, ue, other)
}

fn register(world: &mut World, ue: &mut ScriptedUe, impu: &str) -> Text {
    let register = ue.register(impu, 3600);
    let ok = world.ask(ue, &register);
    assert_eq!(ok.status(), 200, "{ok}");
    ok
}

/// Subscribes to the registration of an identity. The request, the 200 and the NOTIFY.
fn watch(world: &mut World, ue: &mut ScriptedUe, impu: &str) -> (Text, Text, Text) {
    let watch = ue.watch(impu, 3600);
    world.sealed(ue, &watch);
    let mut arrived = world.take(ue);
    assert_eq!(arrived.len(), 2, "{arrived:#?}");
    let notify = arrived.pop().expect("two").message;
    let ok = arrived.pop().expect("two").message;
    assert_eq!((ok.status(), notify.method()), (200, "NOTIFY"), "{ok}{notify}");
    answer(world, ue, &notify);
    (watch, ok, notify)
}

fn answer(world: &mut World, ue: &mut ScriptedUe, request: &Text) {
    let ok = ue.respond(request, 200);
    world.sealed(ue, &ok);
}

fn notifies(world: &mut World, ue: &mut ScriptedUe, event: &str) -> Vec<Text> {
    let arrived = world.take(ue).into_iter();
    let found: Vec<Text> = arrived
        .map(|arrived: Arrived| arrived.message)
        .filter(|text| {
            text.method() == "NOTIFY" && text.status() == 0 && text.header("Event") == Some(event)
        })
        .collect();
    for notify in &found {
        answer(world, ue, notify);
    }
    found
}

#[test]
fn an_identity_is_registered_without_credentials() {
    for layout in LAYOUTS {
        let (mut world, mut ue, _) = secured(layout);
        let impu = ue.impu.clone();
        let ok = register(&mut world, &mut ue, &impu);
        let contact = ok.expect("Contact");
        assert_eq!(bare_uri(contact), bare_uri(&ue.contact()));
        assert_eq!(parameter(contact, "expires"), Some("3600"));
        let pub_gruu = parameter(contact, "pub-gruu").expect("a public GRUU");
        assert!(pub_gruu.starts_with(&format!("{impu};gr=urn:uuid:")), "{pub_gruu}");
        let temp_gruu = parameter(contact, "temp-gruu").expect("a temporary GRUU");
        assert!(temp_gruu.ends_with(&format!("@{DOMAIN};gr")), "{temp_gruu}");
        assert_eq!(ok.all("P-Associated-URI"), [format!("<{impu}>"), format!("<{}>", ue.tel())]);
        assert_eq!(world.tables().scscf.bindings, 1);
        assert_eq!(world.counter("registrations_made"), 1);
    }
}

#[test]
fn what_leaves_the_pcscf_is_what_the_core_may_trust() {
    let (mut world, mut ue, _) = secured(Layout::Apart);
    let (impu, mw) = (ue.impu.clone(), world.mw.len());
    let register = ue.register(&impu, 3600).and("P-Asserted-Identity", "<sip:boss@ims.example>");
    let ok = world.ask(&mut ue, &register);
    assert_eq!(ok.status(), 200);
    let sent = Text::parse(&world.mw[mw].bytes);
    assert_eq!(sent.method(), "REGISTER");
    for name in ["Security-Verify", "Security-Client", "Proxy-Require", "Authorization"] {
        assert!(sent.header(name).is_none(), "{name} left the P-CSCF:\n{sent}");
    }
    assert_eq!(sent.all("P-Asserted-Identity"), [format!("<{impu}>")]);
    assert_eq!(sent.all("Require"), ["path"]);
    assert!(sent.expect("Path").contains(&format!("@{};lr", world.pcscf_mw)), "{sent}");
    assert_eq!(sent.all("Route"), [format!("<{}>", ue.target)]);
    assert_eq!(world.counter("asserted_identity_removed"), 1);
}

#[test]
fn a_message_goes_from_any_authorised_identity_to_a_registered_contact() {
    for layout in LAYOUTS {
        let (mut world, mut ue, mut other) = secured(layout);
        let to = other.impu.clone();
        let unregistered = ue.message(&to, None);
        assert_eq!(world.ask(&mut ue, &unregistered).status(), 480);
        register(&mut world, &mut other, &to);
        for (preferred, asserted) in [
            (None, ue.impu.clone()),
            (Some(ue.tel()), ue.tel()),
            (Some("sip:ue00000002@ims.example".to_owned()), ue.impu.clone()),
        ] {
            let message = ue.message(&to, preferred.as_deref());
            world.sealed(&mut ue, &message);
            let arrived = world.take_one(&mut other).message;
            assert_eq!((arrived.method(), arrived.body.as_str()), ("MESSAGE", "hello"));
            assert_eq!(arrived.uri(), bare_uri(&other.contact()));
            assert_eq!(arrived.all("P-Asserted-Identity"), [format!("<{asserted}>")]);
            assert_eq!(arrived.expect("P-Called-Party-ID"), format!("<{to}>"));
            assert!(arrived.header("P-Preferred-Identity").is_none());
            answer(&mut world, &mut other, &arrived);
            assert_eq!(world.take_one(&mut ue).message.status(), 200);
        }
        assert_eq!(world.counter("identity_substituted"), 1);
    }
}

#[test]
fn a_gruu_leads_to_its_contact() {
    for layout in LAYOUTS {
        let (mut world, mut ue, mut other) = secured(layout);
        let impu = other.impu.clone();
        let ok = register(&mut world, &mut other, &impu);
        for gruu in ["pub-gruu", "temp-gruu"] {
            let gruu = parameter(ok.expect("Contact"), gruu).expect("a GRUU").to_owned();
            let message = ue.message(&gruu, None);
            world.sealed(&mut ue, &message);
            let arrived = world.take_one(&mut other).message;
            answer(&mut world, &mut other, &arrived);
            assert_eq!(world.take_one(&mut ue).message.status(), 200, "{gruu}");
        }
    }
}

#[test]
fn a_registration_is_watched_until_its_connection_ends() {
    for layout in LAYOUTS {
        let (mut world, mut ue, _) = secured(layout);
        let impu = ue.impu.clone();
        let (first, ok, notify) = watch(&mut world, &mut ue, &impu);
        assert!(notify.body.contains("state=\"init\""), "{notify}");
        assert_eq!(notify.expect("Content-Type"), "application/reginfo+xml");
        let register = ue.register(&impu, 3600);
        world.sealed(&mut ue, &register);
        let arrived = world.take(&mut ue);
        let notify = arrived.iter().find(|it| it.message.method() == "NOTIFY").expect("a NOTIFY");
        assert!(notify.message.body.contains("event=\"registered\""), "{}", notify.message);
        answer(&mut world, &mut ue, &notify.message.clone());
        let refresh = ue.next_in_dialog(&first, &ok);
        world.sealed(&mut ue, &refresh);
        assert_eq!(notifies(&mut world, &mut ue, "reg").len(), 1);
        let release = ue.refresh(0);
        world.sealed(&mut ue, &release);
        let texts: Vec<Text> = world.take(&mut ue).into_iter().map(|it| it.message).collect();
        let order: Vec<&str> =
            texts.iter().map(|text| text.header("Event").unwrap_or("200")).collect();
        assert_eq!(order, ["200", "reg", "security"], "{layout:?}");
        assert!(texts[1].body.contains("event=\"unregistered\""), "{}", texts[1]);
        assert_eq!(texts[1].expect("Subscription-State"), "terminated;reason=timeout");
        for text in &texts[1..] {
            answer(&mut world, &mut ue, text);
        }
        world.advance(seconds(1));
        let tables = world.tables();
        assert_eq!((tables.scscf.bindings, tables.scscf.reg_subscriptions), (0, 0));
        assert_eq!(tables.pcscf.sets, 1, "the other UE's");
    }
}

#[test]
fn an_identity_that_comes_and_goes_is_told_at_once_and_works_at_once() {
    for layout in LAYOUTS {
        let (mut world, mut ue, mut other) = secured(layout);
        let (impi, impu) = (ue.impi.clone().into_bytes(), b"sip:alice@ims.example".to_vec());
        let to = other.impu.clone();
        register(&mut world, &mut other, &to);
        let command =
            Command::AddIdentity { impi: impi.clone(), impu: impu.clone(), barred: false };
        assert_eq!(world.operate(&command).expect("it is done").connections, 1);
        let told = notifies(&mut world, &mut ue, "security");
        assert!(told[0].body.contains("sip:alice@ims.example"), "{}", told[0]);
        let message = ue.message(&to, Some("sip:alice@ims.example"));
        world.sealed(&mut ue, &message);
        let arrived = world.take_one(&mut other).message;
        assert_eq!(arrived.expect("P-Asserted-Identity"), "<sip:alice@ims.example>");
        answer(&mut world, &mut other, &arrived);
        assert_eq!(world.take_one(&mut ue).message.status(), 200);
        register(&mut world, &mut ue, "sip:alice@ims.example");
        world.operate(&Command::RemoveIdentity { impi: impi.clone(), impu }).expect("it is done");
        let told = notifies(&mut world, &mut ue, "security");
        assert!(!told[0].body.contains("alice"), "{}", told[0]);
        assert_eq!(world.tables().scscf.bindings, 1, "the other UE's");
        let message = ue.message(&to, Some("sip:alice@ims.example"));
        world.sealed(&mut ue, &message);
        let arrived = world.take_one(&mut other).message;
        assert_eq!(arrived.expect("P-Asserted-Identity"), format!("<{}>", ue.impu));
    }
}

#[test]
fn a_lowered_lifetime_is_restored_by_a_challenge_only() {
    for layout in LAYOUTS {
        let (mut world, mut ue, _) = secured(layout);
        let impi = ue.impi.clone().into_bytes();
        world.operate(&Command::Shorten { impi, expires_s: 30 }).expect("it is done");
        let told = notifies(&mut world, &mut ue, "security");
        assert_eq!(told[0].expect("Subscription-State"), "active;expires=30");
        let refresh = ue.refresh(EXPIRES_S);
        let challenge = world.ask(&mut ue, &refresh);
        assert_eq!(challenge.status(), 401);
        ue.challenge(&challenge).expect("a challenge that the USIM accepts");
        let answer_text = ue.answer_in_dialog();
        world.sealed(&mut ue, &answer_text);
        let told = notifies(&mut world, &mut ue, "security");
        assert_eq!(told[0].expect("Subscription-State"), format!("active;expires={EXPIRES_S}"));
        world.advance(seconds(500));
        world.refresh(&mut ue);
    }
}

#[test]
fn a_lowered_lifetime_that_is_not_answered_ends_the_connection() {
    for layout in LAYOUTS {
        let mut world = World::new(layout);
        let mut ue = world.ue(1);
        world.secure(&mut ue);
        let impi = ue.impi.clone().into_bytes();
        world.operate(&Command::Shorten { impi, expires_s: 10 }).expect("it is done");
        notifies(&mut world, &mut ue, "security");
        world.advance(seconds(11));
        let ended = notifies(&mut world, &mut ue, "security");
        assert_eq!(ended[0].expect("Subscription-State"), "terminated;reason=timeout");
        world.advance(seconds(400));
        world.assert_empty();
    }
}

#[test]
fn the_network_ends_a_connection() {
    for (layout, reason, text) in [
        (Layout::Together, Reason::Deactivated, "deactivated"),
        (Layout::Apart, Reason::Rejected, "rejected"),
    ] {
        let mut world = World::new(layout);
        let mut ue = world.ue(1);
        world.secure(&mut ue);
        let impu = ue.impu.clone();
        register(&mut world, &mut ue, &impu);
        let impi = ue.impi.clone().into_bytes();
        world.operate(&Command::Terminate { impi, reason }).expect("it is done");
        let ended = notifies(&mut world, &mut ue, "security");
        assert_eq!(ended[0].expect("Subscription-State"), format!("terminated;reason={text}"));
        world.advance(seconds(1));
        assert_eq!((world.tables().pcscf.sets, world.tables().scscf.bindings), (0, 0));
        world.advance(seconds(400));
        world.assert_empty();
    }
}

#[test]
fn privacy_among_other_values_is_kept() {
    for privacy in ["id", "header;id", "id;critical"] {
        let mut world = World::new(Layout::Together);
        let (mut ue, mut other) = (world.ue(1), world.ue(2));
        world.secure(&mut ue);
        world.secure(&mut other);
        let to = other.impu.clone();
        world.bind(&mut other, &to);
        let message = ue.message(&to, None).and("Privacy", privacy);
        world.sealed(&mut ue, &message);
        let arrived = world.take_one(&mut other).message;
        assert!(arrived.header("P-Asserted-Identity").is_none(), "Privacy: {privacy}");
    }
}

#[test]
fn two_users_behind_one_address_do_not_share_transactions() {
    let mut world = World::new(Layout::Together);
    let mut one = world.ue_at(1, "127.77.0.1".parse().unwrap());
    let mut two = world.ue_at(2, "127.77.0.1".parse().unwrap());
    let mut called = world.ue(3);
    (one.esp_port, two.esp_port) = (4501, 4502);
    world.secure(&mut one);
    two.offer = 40;
    world.secure(&mut two);
    world.secure(&mut called);
    let to = called.impu.clone();
    world.bind(&mut called, &to);
    let first = one.message(&to, None);
    world.sealed(&mut one, &first);
    let arrived = world.take_one(&mut called).message;
    world.accept(&mut called, &arrived);
    // A Via that another user of the address has used as well: both chose the branch by themselves.
    let second = two.message(&to, None).with("Via", first.expect("Via"));
    world.sealed(&mut two, &second);
    assert_eq!(
        world.take(&mut called).len(),
        1,
        "the second user's MESSAGE was taken for the first's"
    );
}

#[test]
fn parameters_of_a_contact_come_back_as_they_were() {
    let mut world = World::new(Layout::Together);
    let mut ue = world.ue(1);
    world.secure(&mut ue);
    let impu = ue.impu.clone();
    let contact = format!("{};reg-id=1", ue.contact());
    let register = ue.register(&impu, 3600).with("Contact", &contact);
    let ok = world.ask(&mut ue, &register);
    assert!(ok.expect("Contact").contains(";reg-id=1"), "{}", ok.expect("Contact"));
}

#[test]
fn a_register_with_long_texts_is_answered() {
    let mut world = World::new(Layout::Together);
    let mut ue = world.ue(1);
    world.secure(&mut ue);
    let impu = ue.impu.clone();
    let contact = format!(
        "<sip:{}@{}>;+sip.instance=\"<urn:x:{}>\"",
        "u".repeat(1400),
        ue.at(ue.port_us()),
        "i".repeat(900)
    );
    let register = ue.register(&impu, 3600).with("Contact", &contact);
    world.sealed(&mut ue, &register);
    assert_eq!(world.take_one(&mut ue).message.status(), 513);
    assert_eq!((world.counter("message_too_large"), world.tables().scscf.bindings), (1, 0));
}

#[test]
fn a_register_is_answered_and_watched_however_much_is_bound() {
    let mut world = World::new(Layout::Together);
    let mut ue = world.ue(1);
    world.secure(&mut ue);
    let impu = ue.impu.clone();
    world.watch(&mut ue, &impu);
    let (mut freshness, mut bound) = (ue.freshness.clone(), 0);
    for number in 1..=6 {
        let mut other = world.ue_at(1, format!("127.77.0.{number}").parse().unwrap());
        other.freshness = freshness;
        (0..number).for_each(|_| other.new_call());
        world.secure(&mut other);
        freshness = other.freshness.clone();
        let contact = format!(
            "<sip:{}@{}>;+sip.instance=\"<urn:x:{}>\";x=\"{}\"",
            "'".repeat(220),
            other.at(other.port_us()),
            "i".repeat(120),
            "x".repeat(220)
        );
        let register = other.register(&impu, 3600).with("Contact", &contact);
        world.sealed(&mut other, &register);
        let statuses: Vec<u16> =
            world.take(&mut other).iter().map(|arrived| arrived.message.status()).collect();
        match statuses[..] {
            [200] => bound += 1,
            [513] => {}
            _ => panic!("{statuses:?}"),
        }
        let told = world.notifies(&mut ue, "reg");
        assert_eq!(told.len(), usize::from(statuses == [200]), "of the binding {number}");
    }
    assert!((1..6).contains(&bound), "{bound} were bound");
    assert_eq!(world.counter("message_too_large"), 6 - bound);
    assert_eq!(world.tables().scscf.reg_subscriptions, 1);
}

#[test]
fn whoever_watches_an_identity_names_it_as_the_target_too() {
    let (mut world, mut ue, other) = secured(Layout::Together);
    let impu = ue.impu.clone();
    for target in [ue.tel(), other.impu] {
        let mut watch = ue.watch(&impu, 600);
        watch.start = format!("SUBSCRIBE {target} SIP/2.0");
        world.sealed(&mut ue, &watch);
        assert_eq!(world.take_one(&mut ue).message.status(), 404, "{target}");
    }
    assert_eq!(world.tables().scscf.reg_subscriptions, 0);
}

#[test]
fn identities_that_the_pcscf_can_not_keep_let_nobody_originate() {
    let (mut world, mut ue, other) = secured(Layout::Apart);
    let (from, to, added) = (world.scscf_mw, world.pcscf_mw, "sip:new@ims.example");
    let command = Command::AddIdentity {
        impi: ue.impi.clone().into_bytes(),
        impu: added.as_bytes().to_vec(),
        barred: false,
    };
    world.mw_held = true;
    world.operate(&command).expect("a subscriber");
    let waiting: Vec<_> = world.mw_waiting.drain(..).collect();
    world.mw_held = false;
    let mut altered = 0;
    for wire in waiting {
        let mut text = Text::parse(&wire.bytes).without("Content-Length");
        if wire.from == from && wire.to == to && text.all("Route").is_empty() {
            // Another S-CSCF may know longer ones.
            text.body = text.body.replace(added, &format!("sip:{}@ims.example", "n".repeat(600)));
            altered += 1;
        }
        world.datagram(wire.from, wire.to, &text.to_bytes());
    }
    assert_eq!((altered, world.counter("table_full")), (1, 1));
    world.notifies(&mut ue, "security");
    let message = ue.message(&other.impu, None);
    world.sealed(&mut ue, &message);
    assert_eq!(world.take_one(&mut ue).message.status(), 403);
}
