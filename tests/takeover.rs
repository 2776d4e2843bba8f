//! What a subscriber tries against another one: to end, use or learn of a connection that is not its own, by the names that it can see or
//! guess. Each attack leaves the victim as it was.

use imstorm_base::seconds;
use tests::message::parameter;
use tests::ue::bare_uri;
use tests::{Layout, ScriptedUe, World};

/// What a UE can see of the engine's names in its own messages, and guess of its neighbour's.
struct Names {
    boot: String,
    /// Of the victim's connection at the P-CSCF, and of its subscription at the S-CSCF.
    pcscf_key: String,
    scscf_key: String,
}

/// A victim, then a spy who set up right after it and looks at its own messages only.
fn scene(layout: Layout) -> (World, ScriptedUe, ScriptedUe, Names) {
    let mut world = World::new(layout);
    let (mut victim, mut spy) = (world.ue(1), world.ue(3));
    world.secure(&mut victim);
    let (_, notify) = world.secure(&mut spy);
    let via = notify.expect("Via");
    let branch = parameter(via, "branch").expect("a branch");
    let boot = branch[branch.len() - 16..].to_owned();
    let impu = spy.impu.clone();
    let ok = world.bind(&mut spy, &impu);
    let path = ok.expect("Path");
    let own = &path[path.find("sip:").expect("a URI") + 4..][..16];
    let own = u64::from_str_radix(own, 16).expect("a key");
    let session = notify.body.split("session=\"").nth(1).expect("a session");
    let session = u64::from_str_radix(&session[..16], 16).expect("a key");
    let names = Names {
        boot,
        pcscf_key: format!("{:016x}", own - 1),
        scscf_key: format!("{:016x}", session - 1),
    };
    (world, victim, spy, names)
}

fn impostor(world: &World, names: &Names) -> ScriptedUe {
    let mut attacker = world.ue(2);
    attacker.call_id = format!("{}-{}", names.pcscf_key, names.boot);
    attacker.tag = names.pcscf_key.clone();
    attacker
}

fn unharmed(world: &mut World, victim: &mut ScriptedUe) {
    world.take(victim);
    let refresh = victim.refresh(600);
    world.sealed(victim, &refresh);
    let arrived = world.take(victim);
    assert!(
        arrived.iter().any(|it| it.message.status() == 200),
        "the victim's connection is gone: {arrived:?}"
    );
}

#[test]
fn a_ue_does_not_end_the_pcscfs_own_subscription_for_another() {
    for layout in [Layout::Apart, Layout::Together] {
        let (mut world, mut victim, _, names) = scene(layout);
        let mut attacker = impostor(&world, &names);
        world.secure(&mut attacker);
        let to = format!("<{}>;tag={}p", attacker.impu, names.scscf_key);
        let attack = attacker.refresh(0).with("To", &to);
        world.sealed(&mut attacker, &attack);
        world.take(&mut attacker);
        world.advance(seconds(1));
        unharmed(&mut world, &mut victim);
    }
}

#[test]
fn a_ue_does_not_learn_anothers_token_nor_take_its_calls() {
    for layout in [Layout::Apart, Layout::Together] {
        let (mut world, victim, mut spy, names) = scene(layout);
        let mut attacker = impostor(&world, &names);
        world.secure(&mut attacker);
        let to = format!("<{}>;tag={}p", attacker.impu, names.scscf_key);
        let attack = attacker.refresh(600).with("To", &to);
        world.sealed(&mut attacker, &attack);
        let arrived = world.take(&mut attacker);
        let ok = arrived.iter().find(|it| it.message.status() == 200);
        let leaked = ok.map(|ok| bare_uri(ok.message.expect("Contact")).to_owned());
        let Some(leaked) = leaked else { continue };
        attacker.target = leaked;
        let register = attacker.register(&victim.impu, 3600).with("Contact", &victim.contact());
        world.ask(&mut attacker, &register);
        let message = spy.message(&victim.impu, None);
        world.sealed(&mut spy, &message);
        let at_attacker = world.take(&mut attacker);
        let got = at_attacker.iter().any(|it| it.message.method() == "MESSAGE");
        assert!(!got, "{layout:?}: a MESSAGE to the victim's identity came to the attacker");
        assert!(attacker.target != victim.target, "{layout:?}: the token of another connection");
    }
}

#[test]
fn a_dialog_of_another_ue_is_not_ended_by_one_with_the_same_call_id() {
    let (mut world, mut victim, _, _) = scene(Layout::Together);
    // Both went over the air without protection.
    let mut attacker = world.ue(2);
    attacker.call_id = victim.call_id.clone();
    attacker.tag = victim.tag.clone();
    world.secure(&mut attacker);
    let to = format!("<{}>;tag={}", attacker.impu, victim.to_tag.clone().expect("a tag"));
    let attack = attacker.refresh(0).with("To", &to);
    world.sealed(&mut attacker, &attack);
    unharmed(&mut world, &mut victim);
}

#[test]
fn a_contact_that_names_the_pcscf_ends_nobody() {
    let (mut world, mut victim, _, names) = scene(Layout::Together);
    let mut attacker = world.ue(2);
    world.secure(&mut attacker);
    let impu = attacker.impu.clone();
    let contact = format!("<sip:{}@{}>", names.pcscf_key, world.pcscf_mw);
    let call = format!("{}-{}", names.pcscf_key, names.boot);
    let watch = attacker
        .watch(&impu, 3600)
        .with("Contact", &contact)
        .with("Call-ID", &call)
        .with("From", &format!("<{impu}>;tag={}", names.pcscf_key));
    world.sealed(&mut attacker, &watch);
    let ok = world.take(&mut attacker).remove(0).message;
    if ok.status() == 200 {
        let end = attacker.next_in_dialog(&watch, &ok).with("Expires", "0");
        world.sealed(&mut attacker, &end);
    }
    world.advance(seconds(1));
    unharmed(&mut world, &mut victim);
}

#[test]
fn a_contact_that_names_the_pcscf_changes_nobodys_identities() {
    let (mut world, mut victim, spy, names) = scene(Layout::Together);
    let mut attacker = impostor(&world, &names);
    world.begin(&mut attacker);
    let contact = format!("<sip:{}@{}>", names.pcscf_key, world.pcscf_mw);
    let answer = attacker.answer().with("Contact", &contact);
    world.sealed(&mut attacker, &answer);
    for arrived in world.take(&mut attacker) {
        if arrived.message.status() == 200 {
            attacker.accepted(&arrived.message);
        }
    }
    let refresh = attacker.refresh(600).with("Contact", &contact);
    world.sealed(&mut attacker, &refresh);
    let message = victim.message(&spy.impu, None);
    world.sealed(&mut victim, &message);
    world.take(&mut victim).iter().for_each(|it| {
        assert_ne!(it.message.status(), 403, "the victim's identities are the attacker's now");
    });
}

#[test]
fn a_path_of_the_ues_own_is_not_followed() {
    let (mut world, mut victim, mut spy, names) = scene(Layout::Together);
    let mut attacker = world.ue(2);
    world.secure(&mut attacker);
    let impu = attacker.impu.clone();
    let path = format!("<sip:{}@{};lr>", names.pcscf_key, world.pcscf_mw);
    let register = attacker.register(&impu, 3600).and("Path", &path);
    world.ask(&mut attacker, &register);
    let message = spy.message(&impu, None);
    world.sealed(&mut spy, &message);
    let at_victim = world.take(&mut victim);
    assert!(at_victim.is_empty(), "over the victim's security associations: {at_victim:?}");
}

#[test]
fn a_path_of_the_ues_own_leads_to_no_address_outside() {
    let (mut world, _, mut spy, _) = scene(Layout::Apart);
    let mut attacker = world.ue(2);
    world.secure(&mut attacker);
    let impu = attacker.impu.clone();
    let register = attacker.register(&impu, 3600).and("Path", "<sip:203.0.113.9:9999;lr>");
    world.ask(&mut attacker, &register);
    let message = spy.message(&impu, None);
    world.sealed(&mut spy, &message);
    let outside = |wire: &&tests::world::Wire| wire.to.to_string() == "203.0.113.9:9999";
    let all = [world.sent.iter(), world.astray.iter(), world.mw.iter()];
    let out: usize = all.into_iter().map(|it| it.filter(outside).count()).sum();
    assert_eq!(out, 0, "the S-CSCF sends where a UE says");
}

#[test]
fn a_ue_prolongs_nothing_without_credentials() {
    // Its own P-CSCF's dialog, whose names it can foresee: the next connection's key.
    let (mut world, _, mut spy, names) = scene(Layout::Together);
    let place = u64::from_str_radix(&names.pcscf_key, 16).expect("a key") + 2;
    let session = u64::from_str_radix(&names.scscf_key, 16).expect("a key") + 2;
    let mut ue = world.ue(2);
    ue.call_id = format!("{place:016x}-{}", names.boot);
    ue.tag = format!("{place:016x}");
    world.secure(&mut ue);
    world.advance(seconds(500));
    let to = format!("<{}>;tag={session:016x}p", ue.impu);
    let refresh = ue.refresh(600_000).with("To", &to).without("Authorization");
    world.sealed(&mut ue, &refresh);
    let statuses: Vec<u16> =
        world.take(&mut ue).iter().map(|arrived| arrived.message.status()).collect();
    world.take(&mut spy);
    assert!(!statuses.contains(&200), "{statuses:?}");
}

#[test]
fn a_ues_response_goes_where_the_request_came_from_and_nowhere_else() {
    let mut world = World::new(Layout::Apart);
    let (mut ue, mut other) = (world.ue(1), world.ue(2));
    world.secure(&mut ue);
    world.secure(&mut other);
    let to = other.impu.clone();
    world.bind(&mut other, &to);
    let message = ue.message(&to, None);
    world.sealed(&mut ue, &message);
    let arrived = world.take_one(&mut other).message;
    let vias: Vec<String> = arrived.all("Via").iter().map(|via| (*via).to_owned()).collect();
    let mut ok = other.respond(&arrived, 200).without("Via");
    for via in [&vias[0], &vias[1], "SIP/2.0/UDP 203.0.113.9:9999;branch=z9hG4bKx"] {
        ok = ok.and("Via", via);
    }
    world.sealed(&mut other, &ok);
    let outside = |wire: &&tests::world::Wire| wire.to.to_string() == "203.0.113.9:9999";
    let out = world.sent.iter().filter(outside).count();
    assert_eq!(out, 0, "the S-CSCF sends where a UE's response says");
}

#[test]
fn a_ue_asserts_no_identity_in_a_response() {
    let mut world = World::new(Layout::Together);
    let (mut ue, mut other) = (world.ue(1), world.ue(2));
    world.secure(&mut ue);
    world.secure(&mut other);
    let to = other.impu.clone();
    world.bind(&mut other, &to);
    let message = ue.message(&to, None);
    world.sealed(&mut ue, &message);
    let arrived = world.take_one(&mut other).message;
    let ok = other.respond(&arrived, 200).and("P-Asserted-Identity", "<sip:boss@ims.example>");
    world.sealed(&mut other, &ok);
    let answer = world.take_one(&mut ue).message;
    assert!(!answer.to_string().contains("boss"), "{answer}");
}
