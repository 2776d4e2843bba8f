//! What is refused of those who are secured, or hold something that is right in itself: each answer or drop, its own counter and no
//! other, and nobody harmed. Bad input of everybody else is in `bad_input.rs`.

use std::net::{IpAddr, SocketAddr};

use imstorm_aka::Refusal;
use imstorm_base::seconds;
use imstorm_cscf::operator::Command;
use imstorm_esp::{HEADROOM, LocalPort, SaSet, SecurityParameters, TAILROOM};
use tests::message::parameter;
use tests::ue::{EXPIRES_S, bare_uri};
use tests::{Credentials, Layout, Scene, ScriptedUe, Text, World};

/// A public identity that a test gives to a user.
const ALICE: &str = "sip:alice@ims.example";

/// One of each kind of request outside the security dialog, of the scene's UE.
fn kinds(scene: &mut Scene) -> [Text; 3] {
    let (impu, to) = (scene.ue.impu.clone(), scene.other.impu.clone());
    let ue = &mut scene.ue;
    [ue.register(&impu, 3600), ue.watch(&impu, 3600), ue.message(&to, None)]
}

/// A request of the scene's UE is refused with this status, and raises this counter.
fn refused(scene: &mut Scene, counter: &str, status: u16, request: &Text) -> Text {
    let answer = scene.raises(&[counter], |scene| scene.world.ask(&mut scene.ue, request));
    assert_eq!(answer.status(), status, "{request}{answer}");
    answer
}

/// Nothing was made by what was refused.
fn unchanged(scene: &mut Scene) {
    assert_eq!(scene.world.tables().scscf.bindings, 0);
    assert_eq!(scene.world.tables().scscf.reg_subscriptions, 0);
    scene.unharmed();
}

fn give(scene: &mut Scene, barred: bool) {
    let (impi, impu) = (scene.ue.impi.clone().into_bytes(), ALICE.as_bytes().to_vec());
    scene.world.operate(&Command::AddIdentity { impi, impu, barred }).expect("it is done");
    assert_eq!(scene.world.notifies(&mut scene.ue, "security").len(), 1);
}

#[test]
fn anothers_identity_is_not_registered_or_watched() {
    for layout in [Layout::Together, Layout::Apart] {
        let mut scene = Scene::with(layout);
        for impu in [scene.other.impu.clone(), scene.other.tel(), "sip:x@ims.example".to_owned()] {
            let register = scene.ue.register(&impu, 3600);
            refused(&mut scene, "identity_refused", 403, &register);
            let watch = scene.ue.watch(&impu, 3600);
            refused(&mut scene, "identity_refused", 403, &watch);
        }
        unchanged(&mut scene);
    }
}

#[test]
fn a_barred_identity_is_not_used() {
    let mut scene = Scene::with(Layout::Apart);
    give(&mut scene, true);
    let register = scene.ue.register(ALICE, 3600);
    refused(&mut scene, "identity_refused", 403, &register);
    let watch = scene.ue.watch(ALICE, 3600);
    refused(&mut scene, "identity_refused", 403, &watch);
    let to = scene.other.impu.clone();
    scene.world.bind(&mut scene.other, &to);
    let message = scene.ue.message(&to, Some(ALICE));
    let before = scene.world.counters();
    scene.world.sealed(&mut scene.ue, &message);
    let arrived = scene.world.take_one(&mut scene.other).message;
    assert_eq!(arrived.all("P-Asserted-Identity"), [format!("<{}>", scene.ue.impu)]);
    scene.world.accept(&mut scene.other, &arrived);
    assert_eq!(scene.world.take_one(&mut scene.ue).message.status(), 200);
    let risen = scene.world.risen(&before);
    assert!(risen.contains(&("identity_substituted", 1)), "{risen:?}");
    scene.unharmed();
}

#[test]
fn where_the_network_is_strict_an_identity_is_not_substituted() {
    for layout in [Layout::Together, Layout::Apart] {
        let mut scene = Scene::of(World::configured(layout, "strict_identities = true,", ""));
        let (to, theirs) = (scene.other.impu.clone(), scene.other.tel());
        scene.world.bind(&mut scene.other, &to);
        for preferred in [theirs.as_str(), "sip:nobody@ims.example"] {
            let message = scene.ue.message(&to, Some(preferred));
            refused(&mut scene, "identity_refused", 403, &message);
        }
        assert!(scene.world.take(&mut scene.other).is_empty());
        // Its own is good, and so is none.
        let own = scene.ue.tel();
        for preferred in [None, Some(own.as_str())] {
            let message = scene.ue.message(&to, preferred);
            scene.world.sealed(&mut scene.ue, &message);
            let arrived = scene.world.take_one(&mut scene.other).message;
            scene.world.accept(&mut scene.other, &arrived);
            assert_eq!(scene.world.take_one(&mut scene.ue).message.status(), 200);
        }
        scene.unharmed();
    }
}

#[test]
fn what_a_ue_asserts_of_itself_is_removed() {
    let mut scene = Scene::with(Layout::Apart);
    let to = scene.other.impu.clone();
    scene.world.bind(&mut scene.other, &to);
    let theirs = format!("<{to}>");
    let message = scene.ue.message(&to, None).and("P-Asserted-Identity", &theirs);
    scene.world.sealed(&mut scene.ue, &message);
    assert_eq!(scene.world.counter("asserted_identity_removed"), 1);
    let arrived = scene.world.take_one(&mut scene.other).message;
    assert_eq!(arrived.all("P-Asserted-Identity"), [format!("<{}>", scene.ue.impu)]);
    scene.world.accept(&mut scene.other, &arrived);
    assert_eq!(scene.world.take_one(&mut scene.ue).message.status(), 200);
    let refresh = scene.ue.refresh(EXPIRES_S).and("P-Asserted-Identity", &theirs);
    let mark = scene.world.mw.len();
    scene.raises(&["asserted_identity_removed", "subscriptions_refreshed"], |scene| {
        scene.world.sealed(&mut scene.ue, &refresh);
    });
    let sent = Text::parse(&scene.world.mw[mark].bytes);
    assert_eq!(sent.header("P-Asserted-Identity"), None);
    assert_eq!(scene.world.notifies(&mut scene.ue, "security").len(), 1);
    scene.unharmed();
}

#[test]
fn the_scscf_checks_whom_a_pcscf_asserts() {
    let mut scene = Scene::with(Layout::Apart);
    let to = scene.other.impu.clone();
    scene.world.bind(&mut scene.other, &to);
    let message = scene.ue.message(&to, None);
    let mark = scene.world.mw.len();
    scene.world.sealed(&mut scene.ue, &message);
    let sent = Text::parse(&scene.world.mw[mark].bytes);
    let arrived = scene.world.take_one(&mut scene.other).message;
    scene.world.accept(&mut scene.other, &arrived);
    assert_eq!(scene.world.take_one(&mut scene.ue).message.status(), 200);
    // The same P-CSCF, mistaken. Nobody waits for the answer.
    let forged = sent.with("P-Asserted-Identity", &format!("<{to}>"));
    let forged = forged.altered("Via", "branch=z9hG4bK", "branch=z9hG4bK-other");
    let (from, to) = (scene.world.pcscf_mw, scene.world.scscf_mw);
    scene.raises(&["identity_refused", "stray_response"], |scene| {
        scene.world.datagram(from, to, &forged.to_bytes());
    });
    let answers = scene.world.mw_between(to, from);
    assert_eq!(answers.last().map(Text::status), Some(403));
    // Nor does it watch in another's name.
    let impu = scene.ue.impu.clone();
    let watch = scene.ue.watch(&impu, 3600);
    let mark = scene.world.mw.len();
    scene.world.sealed(&mut scene.ue, &watch);
    let sent = Text::parse(&scene.world.mw[mark].bytes);
    assert_eq!(scene.world.notifies(&mut scene.ue, "reg").len(), 1);
    let theirs = format!("<{}>", scene.other.impu);
    let forged = sent.with("P-Asserted-Identity", &theirs).with("Call-ID", "another-call");
    let forged = forged.altered("Via", "branch=z9hG4bK", "branch=z9hG4bK-other");
    let at = scene.world.scscf_mw;
    scene.raises(&["identity_refused", "stray_response"], |scene| {
        scene.world.datagram(from, at, &forged.to_bytes());
    });
    assert_eq!(scene.world.tables().scscf.reg_subscriptions, 1);
    scene.unharmed();
}

#[test]
fn the_reg_dialog_of_another_connection_is_refused() {
    let mut scene = Scene::new();
    let impu = scene.ue.impu.clone();
    let (first, ok, _) = scene.world.watch(&mut scene.ue, &impu);
    let own = scene.other.target.clone();
    for expires in ["0", "3600"] {
        // Everything of that dialog, by the other UE's own way and agreement.
        let theirs = scene.ue.next_in_dialog(&first, &ok).with("Expires", expires);
        let via = scene.other.via(6101);
        let server = scene.other.sets[0].security_server.clone();
        let contact = scene.other.contact();
        let forged = theirs.with("Via", &via).with("Security-Verify", &server);
        let mut forged = forged.with("Contact", &contact);
        forged.start = format!("SUBSCRIBE {own} SIP/2.0");
        let answer =
            scene.raises(&["wrong_route"], |scene| scene.world.ask(&mut scene.other, &forged));
        assert_eq!(answer.status(), 403);
        assert_eq!(scene.world.tables().scscf.reg_subscriptions, 1);
    }
    let next = scene.ue.next_in_dialog(&first, &ok);
    scene.world.sealed(&mut scene.ue, &next);
    assert_eq!(scene.world.notifies(&mut scene.ue, "reg").len(), 1);
    scene.unharmed();
}

#[test]
fn an_altered_agreement_is_seen_in_every_request() {
    let mut scene = Scene::new();
    let alterations: [fn(Text) -> Text; 5] = [
        |text| text.without("Security-Verify"),
        |text| text.altered("Security-Verify", "hmac-sha-1-96", "hmac-md5-96"),
        |text| text.altered("Security-Verify", "port-s=5063", "port-s=5065"),
        |text| text.without("Require"),
        |text| text.without("Proxy-Require"),
    ];
    for alter in alterations {
        for request in kinds(&mut scene) {
            let answer = refused(&mut scene, "sec_agree_altered", 494, &alter(request));
            let sent = &scene.ue.sets[0].security_server;
            assert_eq!(&answer.all("Security-Server").join(", "), sent, "the list as it was");
        }
    }
    unchanged(&mut scene);
}

#[test]
fn the_set_of_a_challenge_carries_its_answer_only() {
    // Of a first set-up.
    let mut scene = Scene::new();
    let mut ue = scene.world.ue(3);
    scene.world.begin(&mut ue);
    ue.target = scene.ue.target.clone();
    let (impu, to) = (ue.impu.clone(), scene.other.impu.clone());
    for request in [ue.register(&impu, 3600), ue.watch(&impu, 3600), ue.message(&to, None)] {
        let answer =
            scene.raises(&["wrong_association"], |scene| scene.world.ask(&mut ue, &request));
        assert_eq!(answer.status(), 403, "{request}");
    }
    scene.world.finish(&mut ue);
    scene.world.release(&mut ue);
    scene.world.advance(seconds(1));
    unchanged(&mut scene);

    // Of a re-authentication.
    let refresh = scene.ue.refresh(EXPIRES_S).without("Authorization");
    let challenge = scene.world.ask(&mut scene.ue, &refresh);
    scene.ue.challenge(&challenge).unwrap();
    for request in kinds(&mut scene) {
        refused(&mut scene, "wrong_association", 403, &request);
    }
    let answer = scene.ue.answer_in_dialog();
    scene.world.sealed(&mut scene.ue, &answer);
    assert_eq!(scene.world.notifies(&mut scene.ue, "security").len(), 1);
    scene.world.advance(seconds(1));
    unchanged(&mut scene);
}

/// A packet under the keys and SPIs of the UE's set, from other addresses or ports than it is for.
fn sealed_otherwise(ue: &ScriptedUe, alter: fn(&mut SecurityParameters)) -> Vec<u8> {
    let set = &ue.sets[0];
    let mut parameters = set.parameters;
    alter(&mut parameters);
    let mut sa = SaSet::for_ue(&parameters, &set.keys.0, &set.keys.1);
    let message = b"REGISTER sip:ims.example SIP/2.0\r\n\r\n";
    let mut packet = Vec::new();
    // Past the sequence numbers that were used.
    for seed in 0..20 {
        let mut buffer = vec![0; HEADROOM + message.len() + TAILROOM];
        buffer[HEADROOM..HEADROOM + message.len()].copy_from_slice(message);
        let range = sa.seal(LocalPort::Client, &mut buffer, HEADROOM, message.len(), 1000 + seed);
        packet = buffer[range.expect("a message that fits")].to_vec();
    }
    packet
}

#[test]
fn a_packet_that_is_not_for_its_association_is_dropped() {
    let alterations: [fn(&mut SecurityParameters); 3] = [
        |parameters| parameters.port_uc += 2,
        |parameters| parameters.port_ps += 2,
        |parameters| parameters.ue_ip = IpAddr::from([127, 16, 0, 99]),
    ];
    for alter in alterations {
        let mut scene = Scene::new();
        let packet = sealed_otherwise(&scene.ue, alter);
        scene.raises(&["esp_rejected", "esp_selector_mismatch"], |scene| {
            scene.world.packet(&scene.ue, &packet);
        });
        assert!(scene.world.take(&mut scene.ue).is_empty());
    }
}

#[test]
fn a_request_through_anothers_association_is_refused() {
    let mut scene = Scene::new();
    // Everything of the UE, sealed by the other: Security-Verify is not that of the other's set.
    for request in kinds(&mut scene) {
        let other = &mut scene.other;
        let before = scene.world.counters();
        let answer = scene.world.ask(other, &request);
        assert_eq!(answer.status(), 494, "{request}");
        assert_eq!(scene.world.risen(&before), [("sec_agree_altered", 1)]);
    }
    // With its own agreement, the contact and the way are not its own.
    let server = scene.other.sets[0].security_server.clone();
    for request in kinds(&mut scene) {
        let mut request = request.with("Security-Verify", &server);
        if request.header("Contact").is_some() {
            let before = scene.world.counters();
            assert_eq!(scene.world.ask(&mut scene.other, &request).status(), 403, "{request}");
            assert_eq!(scene.world.risen(&before), [("contact_refused", 1)]);
            let via = scene.other.via(6101);
            request = request.with("Contact", &scene.other.contact()).with("Via", &via);
        }
        let before = scene.world.counters();
        let answer = scene.world.ask(&mut scene.other, &request);
        assert_eq!(answer.status(), 403, "{request}");
        assert_eq!(scene.world.risen(&before), [("wrong_route", 1)]);
    }
    unchanged(&mut scene);
}

#[test]
fn a_refresh_of_anothers_dialog_is_refused_with_any_expires() {
    for expires_s in [0, EXPIRES_S] {
        let mut scene = Scene::new();
        let server = scene.other.sets[0].security_server.clone();
        let theirs = scene.ue.refresh(expires_s);
        // As it is.
        scene.raises(&["sec_agree_altered"], |scene| {
            assert_eq!(scene.world.ask(&mut scene.other, &theirs).status(), 494);
        });
        // With the agreement of the association that it comes through.
        let agreed = theirs.clone().with("Security-Verify", &server);
        scene.raises(&["contact_refused"], |scene| {
            assert_eq!(scene.world.ask(&mut scene.other, &agreed).status(), 403);
        });
        let via = scene.other.via(6101);
        let agreed = agreed.with("Contact", &scene.other.contact()).with("Via", &via);
        scene.raises(&["wrong_private_identity"], |scene| {
            assert_eq!(scene.world.ask(&mut scene.other, &agreed).status(), 403);
        });
        let bare = agreed.without("Authorization");
        let via = scene.other.via(6101);
        scene.raises(&["wrong_dialog"], |scene| {
            let bare = bare.clone().with("Via", &via);
            assert_eq!(scene.world.ask(&mut scene.other, &bare).status(), 403);
        });
        scene.ue.cseq -= 1;
        scene.ue.nc -= 1;
        scene.unharmed();
    }
}

#[test]
fn another_user_in_authorization_is_refused_everywhere() {
    let mut scene = Scene::new();
    let theirs = scene.other.impi.clone();
    for request in kinds(&mut scene) {
        let uri = request.uri().to_owned();
        let credentials = scene.ue.authorization(&uri, Credentials::Answer);
        let credentials = credentials.replace(&scene.ue.impi.clone(), &theirs);
        scene.ue.nc -= 1;
        let request = request.and("Authorization", &credentials);
        refused(&mut scene, "wrong_private_identity", 403, &request);
    }
    unchanged(&mut scene);
}

#[test]
fn an_answer_through_the_set_of_another_challenge_is_refused() {
    let mut scene = Scene::new();
    let (mut one, mut two) = (scene.world.ue(3), scene.world.ue(3));
    two.call_id = "another-call".to_owned();
    scene.world.begin(&mut one);
    two.freshness = one.freshness.clone();
    scene.world.begin(&mut two);
    let answer = one.answer();
    scene.raises(&["sec_agree_altered"], |scene| {
        assert_eq!(scene.world.ask(&mut two, &answer).status(), 494);
    });
    // With the agreement of that set, it is still another call.
    let set = &two.sets[0];
    let (client, server) = (set.security_client.clone(), set.security_server.clone());
    let via = two.via(6101);
    let answer = answer.with("Security-Client", &client).with("Security-Verify", &server);
    let answer = answer.with("Via", &via);
    scene.raises(&["wrong_dialog"], |scene| {
        assert_eq!(scene.world.ask(&mut two, &answer).status(), 403);
    });
    // With that call, it is a wrong response to a nonce that is not the one.
    let call = two.call_id.clone();
    let via = two.via(6101);
    let answer = answer.with("Call-ID", &call).with("Via", &via);
    let before = scene.world.counter("stale_nonce");
    assert_eq!(scene.world.ask(&mut two, &answer).status(), 401);
    assert_eq!(scene.world.counter("stale_nonce"), before + 1);
    // The first can still be finished.
    scene.world.finish(&mut one);
    scene.world.release(&mut one);
    scene.world.advance(seconds(240));
    scene.unharmed();
}

#[test]
fn the_token_of_another_connection_opens_nothing() {
    let mut scene = Scene::new();
    let (own, theirs) = (scene.ue.target.clone(), scene.other.target.clone());
    for request in kinds(&mut scene) {
        let route = format!("<sip:{}:5063;lr>", scene.world.pcscf.ip());
        let request = request.without("Route").and("Route", &route);
        let request = request.and("Route", &format!("<{theirs}>"));
        refused(&mut scene, "wrong_route", 403, &request);
    }
    // Inside the dialogs of both event packages.
    let impu = scene.ue.impu.clone();
    let (first, ok, _) = scene.world.watch(&mut scene.ue, &impu);
    let mut next = scene.ue.next_in_dialog(&first, &ok);
    assert_eq!(next.uri(), own);
    next.start = format!("SUBSCRIBE {theirs} SIP/2.0");
    refused(&mut scene, "wrong_route", 403, &next);
    let mut refresh = scene.ue.refresh(0);
    refresh.start = format!("SUBSCRIBE {theirs} SIP/2.0");
    refused(&mut scene, "wrong_route", 403, &refresh);
    scene.ue.nc -= 1;
    assert_eq!(scene.world.tables().scscf.reg_subscriptions, 1);
    scene.unharmed();
}

#[test]
fn a_token_is_good_through_its_own_pcscf_only() {
    let mut scene = Scene::with(Layout::Apart);
    let (impu, to) = (scene.ue.impu.clone(), scene.other.impu.clone());
    scene.world.bind(&mut scene.other, &to);
    // One of each kind, as the P-CSCF sends it on, and one inside a dialog.
    let (first, ok, _) = scene.world.watch(&mut scene.ue, &impu);
    let inside = scene.ue.next_in_dialog(&first, &ok);
    let [register, watch, message] = kinds(&mut scene);
    let mut sent = Vec::new();
    for request in [register, watch, message, inside] {
        let mark = scene.world.mw.len();
        scene.world.sealed(&mut scene.ue, &request);
        sent.push(Text::parse(&scene.world.mw[mark].bytes));
        for arrived in scene.world.take(&mut scene.other) {
            scene.world.accept(&mut scene.other, &arrived.message);
        }
        scene.world.notifies(&mut scene.ue, "reg");
        scene.world.notifies(&mut scene.ue, "reg");
    }
    let before = scene.world.tables();
    let peer = SocketAddr::new(scene.world.pcscf_mw.ip(), 7777);
    let at = scene.world.scscf_mw;
    for (number, text) in sent.into_iter().enumerate() {
        let via = format!("SIP/2.0/UDP {peer};branch=z9hG4bK-peer-{number}");
        let cseq = format!("70 {}", text.method());
        let text = text.with("Via", &via).with("CSeq", &cseq);
        scene.raises(&["wrong_route"], |scene| scene.world.datagram(peer, at, &text.to_bytes()));
        let answer = scene.world.astray.pop().expect("an answer for the peer");
        assert_eq!((answer.to, Text::parse(&answer.bytes).status()), (peer, 403), "{text}");
    }
    assert_eq!(scene.world.tables(), before);
    scene.unharmed();
}

/// The P-CSCF's own SUBSCRIBE for the scene's UE, as it was.
fn own_subscribe(scene: &Scene) -> Text {
    let sent = scene.world.mw_between(scene.world.pcscf_mw, scene.world.scscf_mw);
    let own = sent.into_iter().find(|text| {
        text.status() == 0
            && text.header("Authorization").is_none()
            && text.uri() == scene.ue.target
    });
    own.expect("the P-CSCF's own SUBSCRIBE")
}

#[test]
fn nobody_but_the_ues_own_pcscf_watches_it() {
    let mut scene = Scene::with(Layout::Apart);
    let own = own_subscribe(&scene);
    let at = scene.world.scscf_mw;
    let peer = SocketAddr::new(scene.world.pcscf_mw.ip(), 7777);
    let via = format!("SIP/2.0/UDP {peer};branch=z9hG4bK-peer");
    // A trusted peer with the right token, in its own name and in the P-CSCF's.
    for name in [peer, scene.world.pcscf_mw] {
        let asked = own.clone().with("Via", &via).with("Call-ID", "a-peers");
        let asked = asked.with("P-Asserted-Identity", &format!("<sip:{name}>"));
        scene.raises(&["watcher_refused"], |scene| {
            scene.world.datagram(peer, at, &asked.to_bytes());
        });
        let answer = Text::parse(&scene.world.astray.pop().expect("an answer").bytes);
        assert_eq!(answer.status(), 403);
        assert!(!answer.to_string().contains(&scene.ue.tel()), "{answer}");
    }
    // In the P-CSCF's dialog.
    let told = scene.world.mw_between(at, scene.world.pcscf_mw);
    let ok = told
        .iter()
        .find(|text| text.status() == 200 && text.expect("Call-ID") == own.expect("Call-ID"));
    let inside = own.clone().with("Via", &via).with("To", ok.expect("its 200").expect("To"));
    for expires in ["0", "1200"] {
        let inside = inside.clone().with("CSeq", "7 SUBSCRIBE").with("Expires", expires);
        scene.raises(&["watcher_refused"], |scene| {
            scene.world.datagram(peer, at, &inside.to_bytes());
        });
        assert_eq!(Text::parse(&scene.world.astray.pop().expect("an answer").bytes).status(), 403);
    }
    // From whom nothing is taken.
    let stranger = SocketAddr::from(([127, 66, 0, 1], 6060));
    scene.raises(&["mw_untrusted"], |scene| scene.world.datagram(stranger, at, &own.to_bytes()));
    scene.unharmed();
}

#[test]
fn a_pcscf_watches_in_its_own_name_only() {
    let mut world = World::new(Layout::Apart);
    let mut ue = world.ue(1);
    world.begin(&mut ue);
    world.mw_held = true;
    let answer = ue.answer();
    world.sealed(&mut ue, &answer);
    let is_own = |text: &Text| text.status() == 0 && text.header("Authorization").is_none();
    let own = loop {
        let wire = world.mw_waiting.front().expect("its own SUBSCRIBE").clone();
        let text = Text::parse(&wire.bytes);
        if text.method() == "SUBSCRIBE" && is_own(&text) {
            break wire;
        }
        world.pass_held(0);
    };
    let asked = Text::parse(&own.bytes).altered("Via", "branch=z9hG4bK", "branch=z9hG4bK-other");
    for name in ["sip:127.0.0.2:6260", "sip:ue00000001@ims.example", "sip:127.0.0.1:6061"] {
        let asked = asked.clone().with("P-Asserted-Identity", &format!("<{name}>"));
        let refused = world.counter("watcher_refused");
        world.datagram(own.from, own.to, &asked.to_bytes());
        assert_eq!(world.counter("watcher_refused"), refused + 1, "{name}");
    }
    world.datagram(own.from, own.to, &asked.without("P-Asserted-Identity").to_bytes());
    assert_eq!(world.counter("watcher_refused"), 4);
    // Its real one is still taken.
    world.mw_held = false;
    world.pass_held(0);
    assert_eq!(world.counter("own_subscription_failed"), 0);
    let told = world.mw_between(world.scscf_mw, world.pcscf_mw);
    let is_told = |text: &Text| text.method() == "NOTIFY" && text.header("Route").is_none();
    assert!(told.iter().any(is_told), "{told:#?}");
}

#[test]
fn the_pcscf_has_one_subscription_for_each_ue() {
    let mut scene = Scene::with(Layout::Apart);
    let (from, at) = (scene.world.pcscf_mw, scene.world.scscf_mw);
    let second = own_subscribe(&scene).with("Call-ID", "a-second");
    let second = second.altered("Via", "branch=z9hG4bK", "branch=z9hG4bK-second");
    scene.raises(&["watcher_refused", "stray_response"], |scene| {
        scene.world.datagram(from, at, &second.to_bytes());
    });
    scene.unharmed();
}

#[test]
fn a_ue_does_not_reach_the_core_by_itself() {
    let mut scene = Scene::with(Layout::Apart);
    let sockets = [scene.world.pcscf_mw, scene.world.icscf_mw, scene.world.scscf_mw];
    for request in kinds(&mut scene) {
        // It names its own connection, and asserts itself.
        let request = request.and("P-Asserted-Identity", &format!("<{}>", scene.ue.impu));
        for port in [scene.ue.port, 6101] {
            for to in sockets {
                let from = scene.ue.at(port);
                scene.raises(&["mw_untrusted"], |scene| {
                    scene.world.datagram(from, to, &request.to_bytes());
                });
            }
        }
    }
    unchanged(&mut scene);
}

/// A NOTIFY that the S-CSCF has sent, to the P-CSCF itself or by it.
fn notify_on_mw(scene: &Scene, is_own: bool) -> Text {
    let told = scene.world.mw_between(scene.world.scscf_mw, scene.world.pcscf_mw);
    let mut notifies = told.into_iter().filter(|text| text.status() == 0);
    notifies.find(|text| text.header("Route").is_none() == is_own).expect("a NOTIFY")
}

#[test]
fn a_notify_that_matches_no_dialog_gets_481() {
    let mut scene = Scene::with(Layout::Apart);
    let notify = notify_on_mw(&scene, true);
    let (from, at) = (scene.world.scscf_mw, scene.world.pcscf_mw);
    let gone = notify.uri().replacen("sip:0000000", "sip:7000000", 1);
    assert_ne!(gone, notify.uri());
    let mut nowhere = notify.clone();
    nowhere.start = format!("NOTIFY {gone} SIP/2.0");
    let to = notify.expect("To").to_owned();
    let tag = parameter(&to, "tag").expect("a tag").to_owned();
    let forged = [
        notify.clone().with("Call-ID", "another-call"),
        notify.clone().altered("To", &tag, "another-tag"),
        nowhere,
    ];
    for (number, forged) in forged.into_iter().enumerate() {
        let forged = forged.with("CSeq", "70 NOTIFY").with("Subscription-State", "terminated");
        let branch = format!("branch=z9hG4bK-forged-{number}");
        let forged = forged.altered("Via", "branch=z9hG4bK", &branch);
        scene.raises(&["dialog_unknown", "stray_response"], |scene| {
            scene.world.datagram(from, at, &forged.to_bytes());
        });
        let answers = scene.world.mw_between(at, from);
        assert_eq!(answers.last().map(Text::status), Some(481), "{forged}");
    }
    scene.unharmed();
}

#[test]
fn a_notify_for_a_ue_that_is_gone_gets_430() {
    let mut scene = Scene::with(Layout::Apart);
    let mut ue = scene.world.ue(3);
    scene.world.secure(&mut ue);
    let told = scene.world.mw_between(scene.world.scscf_mw, scene.world.pcscf_mw);
    let notify = told.into_iter().rfind(|text| {
        text.status() == 0 && text.header("Route").is_some() && text.expect("Call-ID") == ue.call_id
    });
    let notify =
        notify.expect("his NOTIFY").altered("Via", "branch=z9hG4bK", "branch=z9hG4bK-late");
    scene.world.release(&mut ue);
    scene.world.advance(seconds(1));
    let (from, at) = (scene.world.scscf_mw, scene.world.pcscf_mw);
    scene.raises(&["dialog_unknown", "stray_response"], |scene| {
        scene.world.datagram(from, at, &notify.to_bytes());
    });
    let answers = scene.world.mw_between(at, from);
    assert_eq!(answers.last().map(Text::status), Some(430));
    assert!(scene.world.take(&mut ue).is_empty());
    scene.unharmed();
}

#[test]
fn a_mac_failure_is_counted_and_answered_anew() {
    let mut scene = Scene::new();
    let mut ue = scene.world.ue(3);
    // Another network's key: the USIM can't find the MAC right.
    let keys = ue.keys;
    ue.keys.0[0] ^= 1;
    let first = ue.first(Credentials::Name);
    let challenge = scene.world.ask_plain(&mut ue, &first);
    assert_eq!(ue.challenge(&challenge), Err(Refusal::MacFailure));
    let told = ue.first(Credentials::MacFailure);
    let again = scene
        .raises(&["mac_failures", "challenges"], |scene| scene.world.ask_plain(&mut ue, &told));
    assert_eq!(again.status(), 401);
    let nonce = |text: &Text| {
        parameter(text.expect("WWW-Authenticate"), "nonce").expect("a nonce").to_owned()
    };
    assert_ne!(nonce(&again), nonce(&challenge), "another vector");
    ue.keys = keys;
    ue.challenge(&again).unwrap();
    scene.world.finish(&mut ue);
    scene.world.release(&mut ue);
    scene.world.advance(seconds(1));
    scene.unharmed();
}

#[test]
fn a_ues_word_on_integrity_is_overwritten_and_counted() {
    let mut scene = Scene::with(Layout::Apart);
    let claim = |text: Text, word: &str| {
        let credentials = text.expect("Authorization").to_owned();
        text.with("Authorization", &format!("{credentials}, integrity-protected=\"{word}\""))
    };
    let on_mw = |scene: &Scene, mark: usize| {
        let sent = Text::parse(&scene.world.mw[mark].bytes);
        let credentials = sent.expect("Authorization").to_owned();
        assert_eq!(credentials.matches("integrity-protected").count(), 1, "{credentials}");
        parameter(&credentials, "integrity-protected").expect("a word").to_owned()
    };
    let mut ue = scene.world.ue(3);
    let first = claim(ue.first(Credentials::Name), "yes");
    let mark = scene.world.mw.len();
    let counters = ["integrity_protected_overwritten", "setups_begun", "challenges"];
    let challenge = scene.raises(&counters, |scene| scene.world.ask_plain(&mut ue, &first));
    assert_eq!((challenge.status(), on_mw(&scene, mark).as_str()), (401, "no"));
    ue.challenge(&challenge).unwrap();
    scene.world.finish(&mut ue);
    let refresh = claim(ue.refresh(EXPIRES_S), "no");
    let mark = scene.world.mw.len();
    let counters = ["integrity_protected_overwritten", "subscriptions_refreshed"];
    scene.raises(&counters, |scene| scene.world.sealed(&mut ue, &refresh));
    assert_eq!(on_mw(&scene, mark), "yes");
    assert_eq!(scene.world.notifies(&mut ue, "security").len(), 1);
    scene.world.release(&mut ue);
    scene.world.advance(seconds(1));
    scene.unharmed();
}

/// Everything that a UE does over its connection, of two UEs, with what the engine sent meanwhile.
fn life(layout: Layout) -> (World, [ScriptedUe; 2]) {
    let mut scene = Scene::with(layout);
    let Scene { world, ue, other } = &mut scene;
    let (impu, to) = (ue.impu.clone(), other.impu.clone());
    world.bind(ue, &impu);
    world.bind(other, &to);
    let (first, ok, _) = world.watch(ue, &impu);
    let next = ue.next_in_dialog(&first, &ok);
    world.sealed(ue, &next);
    assert_eq!(world.notifies(ue, "reg").len(), 1);
    let message = ue.message(&to, None);
    world.sealed(ue, &message);
    let arrived = world.take_one(other).message;
    world.accept(other, &arrived);
    assert_eq!(world.take_one(ue).message.status(), 200);
    world.refresh(ue);
    world.reauthenticate(ue);
    world.leave(ue);
    world.leave(other);
    let Scene { world, ue, other } = scene;
    (world, [ue, other])
}

#[test]
fn the_agreement_stays_between_ue_and_pcscf() {
    for layout in [Layout::Apart, Layout::Each] {
        let (world, _) = life(layout);
        assert!(world.counter("agreement_withheld") > 10);
        assert!(world.mw.len() > 40, "{}", world.mw.len());
        for wire in &world.mw {
            let text = Text::parse(&wire.bytes);
            for header in ["Security-Client", "Security-Verify", "Security-Server", "Proxy-Require"]
            {
                assert_eq!(text.header(header), None, "{text}");
            }
            assert!(!text.to_string().contains("sec-agree"), "{text}");
        }
        let methods: Vec<String> =
            world.mw.iter().map(|wire| Text::parse(&wire.bytes).method().to_owned()).collect();
        for method in ["SUBSCRIBE", "NOTIFY", "REGISTER", "MESSAGE"] {
            assert!(methods.iter().any(|other| other == method), "{method} was seen");
        }
    }
}

#[test]
fn no_key_reaches_a_ue_opened_or_sealed() {
    for layout in [Layout::Together, Layout::Each] {
        let (world, ues) = life(layout);
        assert_eq!(world.counter("keys_withheld"), world.counter("challenges"));
        let keys: Vec<[u8; 16]> =
            ues.iter().flat_map(|ue| &ue.sets).flat_map(|set| [set.keys.0, set.keys.1]).collect();
        assert_eq!(keys.len(), 6, "three runs of AKA");
        let received: usize = ues.iter().map(|ue| ue.received.len()).sum();
        assert_eq!(received, world.all_to_ues.len(), "everything was opened");
        let opened = ues.iter().flat_map(|ue| &ue.received).map(Text::to_bytes);
        let sealed = world.all_to_ues.iter().map(|wire| wire.bytes.clone());
        for bytes in opened.chain(sealed) {
            let text = String::from_utf8_lossy(&bytes).to_lowercase();
            for key in &keys {
                let hex: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
                assert!(!text.contains(&hex), "{text}");
                assert!(!bytes.windows(16).any(|window| window == key), "{text}");
            }
        }
        for text in ues.iter().flat_map(|ue| &ue.received) {
            for key in ["ik", "ck"] {
                let shown = text.header("WWW-Authenticate").and_then(|it| parameter(it, key));
                assert_eq!(shown, None, "{text}");
            }
        }
    }
}

#[test]
fn an_older_first_request_changes_nothing_that_is_pending() {
    let mut scene = Scene::new();
    let mut victim = scene.world.ue(3);
    victim.cseq = 10;
    scene.world.begin(&mut victim);
    // From the same address, as whoever can write it there may.
    let mut attacker = scene.world.ue(3);
    (attacker.call_id, attacker.tag) = (victim.call_id.clone(), victim.tag.clone());
    for cseq in [5, 10] {
        attacker.cseq = cseq;
        let older = attacker.first(Credentials::Name);
        let older = older.with("CSeq", &format!("{cseq} SUBSCRIBE"));
        scene.raises(&["setups_stale"], |scene| scene.world.plain(&attacker, &older));
        assert!(scene.world.take_wires(victim.ip).is_empty(), "nothing answers it");
    }
    scene.world.finish(&mut victim);
    scene.world.release(&mut victim);
    scene.world.advance(seconds(1));
    scene.unharmed();
}

#[test]
fn an_unprotected_message_disturbs_no_pending_challenge() {
    let mut scene = Scene::new();
    let mut victim = scene.world.ue(3);
    victim.freshness = imstorm_aka::Freshness::after(imstorm_aka::Sqn::from_parts(1000, 3));
    let first = victim.first(Credentials::Name);
    let challenge = scene.world.ask_plain(&mut victim, &first);
    let Err(Refusal::SqnOutOfRange { auts }) = victim.challenge(&challenge) else {
        panic!("an SQN out of range expected");
    };
    // All that was overheard, from elsewhere: the dialog's names, the nonce, and the victim's own AUTS.
    for (place, credentials, status) in [
        (1, Credentials::Name, 401),
        (2, Credentials::MacFailure, 401),
        (3, Credentials::OutOfRange(auts), 403),
    ] {
        for cseq in 0..3 {
            let elsewhere = IpAddr::from([127, 66, 0, place]);
            let mut attacker = scene.world.ue_at(3, elsewhere);
            attacker.call_id = victim.call_id.clone();
            attacker.tag = victim.tag.clone();
            attacker.nonce = victim.nonce.clone();
            attacker.cseq = cseq;
            let forged = attacker.first(credentials);
            let refused = scene.world.counter("unprotected_refused");
            let answer = scene.world.ask_plain(&mut attacker, &forged);
            assert_eq!(answer.status(), status, "{answer}");
            let refused = scene.world.counter("unprotected_refused") - refused;
            assert_eq!(refused, u64::from(status == 403));
            let header = answer.header("WWW-Authenticate").unwrap_or_default();
            assert_ne!(parameter(header, "nonce"), Some(victim.nonce.as_str()), "{answer}");
            assert!(scene.world.take(&mut victim).is_empty());
        }
    }
    assert_eq!(scene.world.counter("resynchronised"), 0);
    assert_eq!(scene.world.counter("resynchronisation_refused"), 0);
    // The victim's own goes on where it was.
    let told = victim.first(Credentials::OutOfRange(auts));
    let challenge = scene.world.ask_plain(&mut victim, &told);
    assert_eq!(scene.world.counter("resynchronised"), 1);
    victim.challenge(&challenge).expect("both agree now");
    scene.world.finish(&mut victim);
    // And the next vector is accepted, too.
    scene.world.reauthenticate(&mut victim);
    scene.world.release(&mut victim);
    scene.world.advance(seconds(240));
    scene.unharmed();
}

#[test]
fn a_set_up_in_anothers_name_costs_the_live_connection_nothing() {
    for layout in [Layout::Together, Layout::Apart] {
        let mut scene = Scene::with(layout);
        let impu = scene.ue.impu.clone();
        scene.world.bind(&mut scene.ue, &impu);
        let ip = scene.ue.ip;
        for (address, call_id) in
            [(ip, "mine"), (ip, "another"), (IpAddr::from([127, 66, 0, 1]), "third")]
        {
            let mut attacker = scene.world.ue_at(1, address);
            attacker.call_id = call_id.to_owned();
            // He hasn't the key.
            attacker.keys.0[0] ^= 1;
            let first = attacker.first(Credentials::Name);
            let challenge = scene.world.ask_plain(&mut attacker, &first);
            assert_eq!(challenge.status(), 401);
            assert_eq!(attacker.challenge(&challenge), Err(Refusal::MacFailure));
        }
        scene.world.refresh(&mut scene.ue);
        let ok = scene.world.bind(&mut scene.ue, &impu);
        assert_eq!(bare_uri(ok.expect("Contact")), bare_uri(&scene.ue.contact()));
        scene.world.advance(seconds(240));
        scene.unharmed();
    }
}

#[test]
fn a_list_of_identities_that_can_not_be_read_lets_the_ue_originate_nothing() {
    let mut world = World::new(Layout::Apart);
    let mut ue = world.ue(1);
    world.secure(&mut ue);
    let (impi, impu) = (ue.impi.clone().into_bytes(), ALICE.as_bytes().to_vec());
    world.mw_held = true;
    world.operate(&Command::AddIdentity { impi, impu, barred: false }).expect("it is done");
    let waiting: Vec<_> = world.mw_waiting.drain(..).collect();
    world.mw_held = false;
    for wire in waiting {
        let text = String::from_utf8(wire.bytes.clone()).expect("a NOTIFY");
        // To the UE it goes by a Route; to the P-CSCF itself it goes broken.
        let broken =
            if text.contains("Route:") { text } else { text.replace("<secinfo", "<secinfx") };
        world.datagram(wire.from, wire.to, broken.as_bytes());
    }
    world.notifies(&mut ue, "security");
    assert_eq!(world.counter("malformed"), 1);
    let message = ue.message("sip:ue00000002@ims.example", None);
    assert_eq!(world.ask(&mut ue, &message).status(), 403);
}
