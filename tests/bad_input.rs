//! Bad input, line by line: each is answered or dropped as it should be, raises its own counter and no other, and harms neither
//! another UE's live connection nor the same UE's.

use std::net::{IpAddr, SocketAddr};

use imstorm_aka::Refusal;
use imstorm_base::seconds;
use tests::message::parameter;
use tests::ue::EXPIRES_S;
use tests::{Credentials, Layout, Scene, ScriptedUe, Text, World};

/// reg-await-auth and request-await-auth.
const AWAIT_AUTH_NS: u64 = seconds(240);
/// Longer than anything may be remembered.
const LONG_NS: u64 = seconds(400);

/// What somebody on the way does to a message.
type Alteration = fn(Text) -> Text;

/// A first SUBSCRIBE of a third user, who has nothing yet.
fn stranger(scene: &Scene) -> ScriptedUe {
    scene.world.ue(3)
}

#[test]
fn malformed_datagrams_are_dropped() {
    let mut scene = Scene::new();
    let from = scene.ue.at(5070);
    for bytes in [
        &b"hello"[..],
        b"SUBSCRIBE\r\n\r\n",
        b"SUBSCRIBE sip:a@ims.example SIP/2.0\r\nVia",
        b"\x00\xff\x01\x02",
        &[0xff; 4000],
    ] {
        scene.raises(&["malformed"], |scene| {
            scene.world.datagram(from, scene.world.pcscf, bytes);
        });
        // Inside a security association, too.
        scene.raises(&["malformed"], |scene| {
            let packet = scene.ue.seal(bytes);
            scene.world.packet(&scene.ue, &packet);
        });
        assert!(scene.world.take(&mut scene.ue).is_empty());
    }
    scene.unharmed();
}

#[test]
fn requests_without_what_rfc_3261_demands_get_400() {
    let mut scene = Scene::new();
    for name in ["Call-ID", "CSeq", "From", "To"] {
        let mut ue = stranger(&scene);
        let bad = ue.first(Credentials::Name).without(name);
        scene.raises(&["bad_request"], |scene| {
            scene.world.plain(&ue, &bad);
        });
        let wires = scene.world.take_wires(ue.ip);
        assert!(wires.len() <= 1);
        assert!(wires.iter().all(|wire| wire.bytes.starts_with(b"SIP/2.0 400 ")), "{name}");
    }
    scene.unharmed();
}

#[test]
fn keep_alives_are_ignored() {
    let mut scene = Scene::new();
    for bytes in [&[0xff][..], &[0, 0, 0, 0, 1, 2, 3], b"", &[0, 0]] {
        scene.raises(&[], |scene| {
            let from = scene.ue.at(4500);
            scene.world.datagram(from, scene.world.pcscf_esp, bytes);
        });
    }
    scene.unharmed();
}

#[test]
fn an_unknown_spi_is_dropped() {
    let mut scene = Scene::new();
    let mut packet = scene.ue.seal(b"x");
    for spi in [1_u32, 255, 0x00ff_ffff, 0xffff_ffff, 0x7000_0000] {
        packet[..4].copy_from_slice(&spi.to_be_bytes());
        scene.raises(&["esp_rejected", "esp_unknown_spi"], |scene| {
            scene.world.packet(&scene.ue, &packet);
        });
    }
    scene.unharmed();
}

#[test]
fn a_flipped_bit_anywhere_in_a_packet_is_seen() {
    let mut scene = Scene::new();
    let refresh = scene.ue.refresh(EXPIRES_S);
    let packet = scene.ue.seal(&refresh.to_bytes());
    let before = scene.world.counters();
    let reasons = ["esp_unknown_spi", "esp_integrity_failed", "esp_replayed", "esp_malformed"];
    let mut ignored = 0;
    for bit in 0..8 * packet.len() {
        let mut flipped = packet.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        // An SPI of zero is the mark of what is no ESP.
        ignored += u64::from(flipped[..4] == [0; 4]);
        scene.world.packet(&scene.ue, &flipped);
    }
    let risen = scene.world.risen(&before);
    let count =
        |name: &str| risen.iter().find(|(other, _)| *other == name).map_or(0, |(_, count)| *count);
    assert_eq!(count("esp_rejected"), 8 * packet.len() as u64 - ignored, "{risen:?}");
    assert_eq!(reasons.iter().map(|name| count(name)).sum::<u64>(), count("esp_rejected"));
    assert_eq!(risen.iter().filter(|(name, _)| !reasons.contains(name)).count(), 1, "{risen:?}");
    assert!(scene.world.take(&mut scene.ue).is_empty());
    // The packet itself is good all the same.
    scene.world.packet(&scene.ue, &packet);
    assert_eq!(scene.world.take(&mut scene.ue).len(), 2);
}

#[test]
fn a_truncated_packet_is_dropped() {
    let mut scene = Scene::new();
    let refresh = scene.ue.refresh(EXPIRES_S);
    let packet = scene.ue.seal(&refresh.to_bytes());
    let before = scene.world.counter("esp_rejected");
    let mut lengths = 0;
    for length in (4..packet.len()).step_by(7) {
        scene.world.packet(&scene.ue, &packet[..length]);
        lengths += 1;
    }
    assert_eq!(scene.world.counter("esp_rejected") - before, lengths);
    scene.ue.cseq -= 1;
    scene.ue.nc -= 1;
    scene.unharmed();
}

#[test]
fn a_replayed_packet_is_dropped() {
    let mut scene = Scene::new();
    let refresh = scene.ue.refresh(EXPIRES_S);
    let packet = scene.ue.seal(&refresh.to_bytes());
    scene.world.packet(&scene.ue, &packet);
    for arrived in scene.world.take(&mut scene.ue) {
        if arrived.message.method() == "NOTIFY" {
            let ok = scene.ue.respond(&arrived.message, 200);
            scene.world.sealed(&mut scene.ue, &ok);
        }
    }
    for _ in 0..3 {
        scene.raises(&["esp_rejected", "esp_replayed"], |scene| {
            scene.world.packet(&scene.ue, &packet);
        });
    }
    // From elsewhere it is no better, and draws nothing there.
    scene.raises(&["esp_rejected", "esp_replayed"], |scene| {
        let elsewhere = SocketAddr::from(([127, 66, 0, 1], 4500));
        scene.world.datagram(elsewhere, scene.world.pcscf_esp, &packet);
    });
    scene.unharmed();
}

#[test]
fn a_wrong_response_is_refused_and_the_right_one_still_works() {
    let mut scene = Scene::new();
    let mut ue = stranger(&scene);
    scene.world.begin(&mut ue);
    let right = ue.res;
    ue.res = [7; 8];
    let wrong = ue.answer();
    let refused =
        scene.raises(&["authentication_failed"], |scene| scene.world.ask(&mut ue, &wrong));
    assert_eq!(refused.status(), 403);
    ue.res = right;
    scene.world.finish(&mut ue);
    scene.world.release(&mut ue);
    scene.world.advance(seconds(1));
    scene.unharmed();
}

#[test]
fn the_unprotected_port_takes_nothing_but_first_requests() {
    let mut scene = Scene::new();
    // In-dialog requests, of the live connection itself.
    let in_dialog = scene.ue.refresh(EXPIRES_S);
    let mut ue = stranger(&scene);
    let invite = {
        let cseq = "1 INVITE";
        let first = ue.first(Credentials::Name).with("CSeq", cseq);
        Text { start: first.start.replace("SUBSCRIBE", "INVITE"), ..first }
    };
    let options = Text { start: invite.start.replace("INVITE", "OPTIONS"), ..invite.clone() }
        .with("CSeq", "1 OPTIONS");
    let notify = Text { start: invite.start.replace("INVITE", "NOTIFY"), ..invite.clone() }
        .with("CSeq", "1 NOTIFY");
    let presence = ue.first(Credentials::Name).with("Event", "presence");
    for bad in [in_dialog.clone(), invite, options, notify, presence] {
        let from = if bad == in_dialog { &mut scene.ue } else { &mut ue };
        let from = std::mem::replace(from, scene.world.ue(9));
        scene.raises(&["unprotected_refused"], |scene| scene.world.plain(&from, &bad));
        let wires = scene.world.take_wires(from.ip);
        assert_eq!(wires.len(), 1);
        let port_us = SocketAddr::new(from.ip, from.port);
        assert_eq!((wires[0].from, wires[0].to), (scene.world.pcscf, port_us));
        assert_eq!(Text::parse(&wires[0].bytes).status(), 403, "{bad}");
        *(if bad == in_dialog { &mut scene.ue } else { &mut ue }) = from;
    }
    scene.unharmed();
}

#[test]
fn an_answer_on_the_unprotected_port_is_refused() {
    let mut scene = Scene::new();
    let mut ue = stranger(&scene);
    scene.world.begin(&mut ue);
    let answer = ue.answer();
    scene.raises(&["unprotected_refused"], |scene| scene.world.plain(&ue, &answer));
    let refused = Text::parse(&scene.world.take_wires(ue.ip)[0].bytes);
    assert_eq!(refused.status(), 403);
    // Where it belongs, it works.
    scene.world.finish(&mut ue);
    scene.world.release(&mut ue);
    scene.world.advance(seconds(1));
    scene.unharmed();
}

#[test]
fn acks_and_responses_on_the_unprotected_port_are_dropped() {
    let mut scene = Scene::new();
    let mut ue = stranger(&scene);
    let first = ue.first(Credentials::Name);
    let ack = Text { start: first.start.replace("SUBSCRIBE", "ACK"), ..first.clone() }
        .with("CSeq", "1 ACK");
    let response = ue.respond(&first, 200);
    for dropped in [ack, response] {
        scene.raises(&["unprotected_refused"], |scene| scene.world.plain(&ue, &dropped));
        assert!(scene.world.take(&mut ue).is_empty());
    }
    scene.unharmed();
}

#[test]
fn two_vias_on_the_unprotected_port_get_502() {
    let mut scene = Scene::new();
    let mut ue = stranger(&scene);
    let via = "SIP/2.0/UDP 127.9.9.9:5060;branch=z9hG4bK-behind";
    let first = ue.first(Credentials::Name);
    let listed = first.clone().with("Via", &format!("{}, {via}", first.expect("Via")));
    for two in [first.and("Via", via), listed] {
        let refused =
            scene.raises(&["unprotected_via"], |scene| scene.world.ask_plain(&mut ue, &two));
        assert_eq!(refused.status(), 502);
    }
    scene.unharmed();
}

#[test]
fn no_agreement_asked_for_gets_421() {
    let mut scene = Scene::new();
    let mut ue = stranger(&scene);
    let without = ue
        .first(Credentials::Name)
        .with("Require", "secevt")
        .with("Proxy-Require", "secevt")
        .without("Security-Client");
    let refused =
        scene.raises(&["sec_agree_missing"], |scene| scene.world.ask_plain(&mut ue, &without));
    assert_eq!(refused.status(), 421);
    says_what_is_needed(&refused);
    scene.unharmed();
}

/// Require and Security-Server without SPIs and ports, since there is no set.
fn says_what_is_needed(refused: &Text) {
    assert_eq!(refused.expect("Require"), "sec-agree");
    let server = refused.expect("Security-Server");
    assert!(server.contains("ipsec-3gpp") && server.contains("alg=hmac-sha-1-96"), "{server}");
    for name in ["spi-c", "spi-s", "port-c", "port-s"] {
        assert_eq!(parameter(server, name), None, "{server}");
    }
}

#[test]
fn no_acceptable_offer_gets_494() {
    let mut scene = Scene::new();
    let mut ue = stranger(&scene);
    let good = ue.security_client();
    let (alg, mode) = ("alg=hmac-sha-1-96", "mod=UDP-enc-tun");
    let one = good.split(", ").next().unwrap().to_owned();
    for bad in [
        one.replace(alg, "alg=hmac-sha-256-128"),
        one.replace("ealg=aes-cbc", "ealg=des-ede3-cbc"),
        one.replace(mode, "mod=trans"),
        one.replace("prot=esp", "prot=ah"),
        one.replace("ipsec-3gpp", "tls"),
        one.replace("spi-c=", "spi-x="),
        one.replace("spi-c=", "spi-c=-"),
        one.replace("port-s=6101", "port-s=99999"),
        one.replace("port-s=", "port-x="),
        String::new(),
    ] {
        let mut first = ue.first(Credentials::Name).without("Security-Client");
        if !bad.is_empty() {
            first = first.and("Security-Client", &bad);
        }
        let refused = scene
            .raises(&["sec_agree_unacceptable"], |scene| scene.world.ask_plain(&mut ue, &first));
        assert_eq!(refused.status(), 494, "{bad}");
        says_what_is_needed(&refused);
    }
    scene.unharmed();
}

#[test]
fn spis_and_ports_that_no_set_can_have_make_none() {
    let mut scene = Scene::new();
    let mut ue = stranger(&scene);
    let (spi_c, spi_s) = (ue.spis().0 + 2, ue.spis().1 + 2);
    for (from, to) in [
        (format!("spi-c={spi_c}"), "spi-c=255".to_owned()),
        (format!("spi-c={spi_c}"), "spi-c=0".to_owned()),
        (format!("spi-c={spi_c}"), format!("spi-c={spi_s}")),
        ("port-s=6101".to_owned(), "port-s=5060".to_owned()),
        ("port-s=6101".to_owned(), "port-s=0".to_owned()),
        ("port-s=6101".to_owned(), "port-s=6102".to_owned()),
    ] {
        ue.offer = 0;
        let first = ue.first(Credentials::Name);
        let client = first.expect("Security-Client").replace(&from, &to);
        assert_ne!(client, first.expect("Security-Client"), "{from}");
        let first = first.with("Security-Client", &client);
        let challenges = scene.world.counter("challenges");
        let refused = scene.world.ask_plain(&mut ue, &first);
        assert_eq!(refused.status(), 494, "{to}");
        assert_eq!(scene.world.counter("challenges"), challenges, "{to}: a vector was spent");
        assert_eq!(scene.world.tables().pcscf.sets, 2, "{to}");
    }
    scene.world.advance(AWAIT_AUTH_NS);
    scene.unharmed();
}

#[test]
fn the_pcscfs_spis_are_none_of_the_ues() {
    let mut world = World::new(Layout::Together);
    let mut ue = world.ue(1);
    world.begin(&mut ue);
    let taken = ue.sets[0].parameters;
    world.advance(AWAIT_AUTH_NS);
    // Another UE happens to offer what the P-CSCF gives out next, or again.
    let width = taken.spi_pc.abs_diff(taken.spi_ps) + 1;
    for base in (0..3).flat_map(|step| [taken.spi_ps + step * width, taken.spi_pc + step * width]) {
        let mut world = World::new(Layout::Together);
        let mut other = world.ue(2);
        let first = other.first(Credentials::Name);
        let (spi_c, spi_s) = other.spis();
        let client = first.expect("Security-Client");
        let client = client.replace(&format!("spi-c={spi_c}"), &format!("spi-c={base}"));
        let client = client.replace(&format!("spi-s={spi_s}"), &format!("spi-s={}", base ^ 1));
        let first = first.with("Security-Client", &client);
        let challenge = world.ask_plain(&mut other, &first);
        assert_eq!(challenge.status(), 401, "SPIs {base} and {}", base ^ 1);
        let server = challenge.expect("Security-Server");
        for name in ["spi-c", "spi-s"] {
            let spi: u32 = parameter(server, name).unwrap().parse().unwrap();
            assert!(spi != base && spi != base ^ 1, "{server}");
        }
    }
}

#[test]
fn an_altered_security_verify_gets_494() {
    let alterations: [(&str, Alteration); 6] = [
        ("an algorithm", |text| text.altered("Security-Verify", "hmac-sha-1-96", "hmac-md5-96")),
        ("a q", |text| text.altered("Security-Verify", "q=0.", "q=0.0")),
        ("a port", |text| text.altered("Security-Verify", "port-s=5063", "port-s=5065")),
        ("one mechanism less", |text| {
            let value = text.expect("Security-Verify").split_once(',').unwrap().1.to_owned();
            text.with("Security-Verify", &value)
        }),
        ("another order", |text| {
            let mut all: Vec<&str> = text.expect("Security-Verify").split(',').collect();
            all.reverse();
            let value = all.join(",");
            text.with("Security-Verify", &value)
        }),
        ("none", |text| text.without("Security-Verify")),
    ];
    for (what, alter) in alterations {
        let mut scene = Scene::new();
        let mut ue = stranger(&scene);
        scene.world.begin(&mut ue);
        let altered = alter(ue.answer());
        altered_is_refused(&mut scene, &mut ue, &altered, what);
        scene.world.finish(&mut ue);
        // On a live connection as well.
        let altered = alter(ue.refresh(EXPIRES_S));
        altered_is_refused(&mut scene, &mut ue, &altered, what);
        scene.world.refresh(&mut ue);
        scene.world.release(&mut ue);
        scene.world.advance(seconds(1));
        scene.unharmed();
    }
}

/// 494 with the unmodified list, and the nonce stays unused.
fn altered_is_refused(scene: &mut Scene, ue: &mut ScriptedUe, altered: &Text, what: &str) {
    let refused = scene.raises(&["sec_agree_altered"], |scene| scene.world.ask(ue, altered));
    assert_eq!(refused.status(), 494, "{what}");
    let sent = ue.sets.last().expect("a set").security_server.clone();
    assert_eq!(refused.all("Security-Server").join(", "), sent, "{what}");
    assert_eq!(refused.expect("Require"), "sec-agree");
}

#[test]
fn security_verify_may_be_spaced_otherwise() {
    let mut scene = Scene::new();
    let mut refresh = scene.ue.refresh(EXPIRES_S);
    let value = refresh.expect("Security-Verify").replace(';', " ; ");
    refresh = refresh.with("Security-Verify", &value);
    scene.world.sealed(&mut scene.ue, &refresh);
    let arrived = scene.world.take(&mut scene.ue);
    assert_eq!(arrived[0].message.status(), 200, "{}", arrived[0].message);
}

#[test]
fn an_altered_security_client_in_the_answer_gets_494() {
    let alterations: [Alteration; 4] = [
        |text| text.altered("Security-Client", "ealg=aes-cbc", "ealg=null"),
        |text| text.altered("Security-Client", "port-s=6101", "port-s=6199"),
        |text| {
            let value = text.expect("Security-Client").split_once(',').unwrap().1.to_owned();
            text.with("Security-Client", &value)
        },
        |text| text.without("Security-Client"),
    ];
    for alter in alterations {
        let mut scene = Scene::new();
        let mut ue = stranger(&scene);
        scene.world.begin(&mut ue);
        let altered = alter(ue.answer());
        altered_is_refused(&mut scene, &mut ue, &altered, "Security-Client");
        scene.world.finish(&mut ue);
    }
}

#[test]
fn an_agreement_that_is_not_required_any_more_gets_494() {
    for header in ["Require", "Proxy-Require"] {
        let mut scene = Scene::new();
        let altered = scene.ue.refresh(EXPIRES_S).with(header, "secevt");
        let refused =
            scene.raises(&["sec_agree_altered"], |scene| scene.world.ask(&mut scene.ue, &altered));
        assert_eq!(refused.status(), 494);
        scene.unharmed();
    }
}

#[test]
fn anothers_identity_is_refused_before_a_vector_is_spent() {
    let mut scene = Scene::new();
    let mut ue = stranger(&scene);
    ue.impu = scene.ue.impu.clone();
    let first = ue.first(Credentials::Name);
    let refused = scene.raises(&["identity_refused", "setups_begun"], |scene| {
        scene.world.ask_plain(&mut ue, &first)
    });
    assert_eq!(refused.status(), 403);
    assert!(refused.expect("Warning").starts_with("399 "), "{refused}");
    scene.unharmed();
}

#[test]
fn an_unknown_user_is_refused() {
    let mut scene = Scene::new();
    let mut ue = stranger(&scene);
    ue.impi = "nobody@ims.example".to_owned();
    let first = Text::request("SUBSCRIBE", &ue.impu);
    let from_known = {
        let uri = ue.impu.clone();
        let authorization = ue.authorization(&uri, Credentials::Name);
        scene.world.ue(3).first(Credentials::Name).with("Authorization", &authorization)
    };
    assert_eq!(first.start, from_known.start);
    let refused = scene.raises(&["identity_refused", "setups_begun"], |scene| {
        let mut ue = scene.world.ue(3);
        scene.world.ask_plain(&mut ue, &from_known)
    });
    assert_eq!(refused.status(), 403);
    assert!(refused.expect("Warning").starts_with("399 "), "{refused}");
    scene.unharmed();
}

#[test]
fn a_request_without_credentials_is_refused() {
    let mut scene = Scene::new();
    let mut ue = stranger(&scene);
    let first = ue.first(Credentials::Name).without("Authorization");
    let refused =
        scene.raises(&["unprotected_refused"], |scene| scene.world.ask_plain(&mut ue, &first));
    assert_eq!(refused.status(), 403);
    scene.unharmed();
}

#[test]
fn another_private_identity_on_a_security_association_is_refused() {
    let mut scene = Scene::new();
    let refresh = scene.ue.refresh(EXPIRES_S);
    let mine = scene.ue.impi.clone();
    let altered = refresh.altered("Authorization", &mine, &scene.other.impi.clone());
    let refused =
        scene.raises(&["wrong_private_identity"], |scene| scene.world.ask(&mut scene.ue, &altered));
    assert_eq!(refused.status(), 403);
    scene.ue.cseq -= 1;
    scene.ue.nc -= 1;
    scene.unharmed();
}

#[test]
fn the_dialog_of_another_connection_is_refused() {
    let mut scene = Scene::new();
    // The other UE's whole dialog, under its own private identity.
    let theirs = scene.other.refresh(0);
    let uri = scene.other.target.clone();
    let mut forged = scene.ue.refresh(0);
    forged.start = format!("SUBSCRIBE {uri} SIP/2.0");
    let authorization = scene.ue.authorization(&uri, Credentials::Answer);
    for name in ["Call-ID", "From", "To"] {
        let value = theirs.expect(name).to_owned();
        forged = forged.with(name, &value);
    }
    let forged = forged.with("Authorization", &authorization);
    let refused = scene.raises(&["wrong_dialog"], |scene| scene.world.ask(&mut scene.ue, &forged));
    assert!(matches!(refused.status(), 403 | 481), "{refused}");
    // With the Call-ID that the P-CSCF knows, the way is still the other's.
    let own_call = scene.ue.call_id.clone();
    let forged = forged.with("Call-ID", &own_call);
    let via = scene.ue.via(6101);
    let own_to = scene.ue.refresh(0).expect("To").to_owned();
    let their_to = forged.expect("To").to_owned();
    let mut forged = forged.with("Via", &via).with("CSeq", "39 SUBSCRIBE").with("To", &own_to);
    let refused = scene.raises(&["wrong_route"], |scene| scene.world.ask(&mut scene.ue, &forged));
    assert_eq!(refused.status(), 403);
    // Only the tag, on the own way.
    forged.start = format!("SUBSCRIBE {} SIP/2.0", scene.ue.target);
    let via = scene.ue.via(6101);
    let forged = forged.with("Via", &via).with("CSeq", "40 SUBSCRIBE").with("To", &their_to);
    let refused = scene.raises(&["wrong_dialog"], |scene| scene.world.ask(&mut scene.ue, &forged));
    assert_eq!(refused.status(), 403);
    scene.ue.cseq = 40;
    scene.unharmed();
}

#[test]
fn another_access_of_the_same_user_does_not_reach_the_dialog_either() {
    let mut scene = Scene::new();
    let mut second = scene.world.ue_at(1, IpAddr::from([127, 16, 7, 7]));
    second.new_call();
    second.freshness = scene.ue.freshness.clone();
    scene.world.secure(&mut second);
    let uri = scene.ue.target.clone();
    let theirs = scene.ue.refresh(0);
    let mut forged = second.refresh(0);
    forged.start = format!("SUBSCRIBE {uri} SIP/2.0");
    for name in ["Call-ID", "From", "To", "CSeq", "Authorization"] {
        let value = theirs.expect(name).to_owned();
        forged = forged.with(name, &value);
    }
    let refused = scene.raises(&["wrong_dialog"], |scene| scene.world.ask(&mut second, &forged));
    assert_eq!(refused.status(), 403);
    scene.world.release(&mut second);
    scene.world.advance(seconds(1));
    scene.unharmed();
}

#[test]
fn an_in_dialog_request_goes_to_the_notifier_and_nowhere_else() {
    for uri in ["sip:192.0.2.1:5060", "sip:127.0.0.1:6160", "sip:127.0.0.1:6060", "sip:x.example"] {
        let mut scene = Scene::new();
        let mut forged = scene.ue.refresh(EXPIRES_S);
        forged.start = format!("SUBSCRIBE {uri} SIP/2.0");
        let refused = scene.world.ask(&mut scene.ue, &forged);
        assert!((400..500).contains(&refused.status()), "{uri}: {refused}");
        assert!(scene.world.astray.is_empty(), "{uri}: {:?}", scene.world.astray);
        scene.ue.nc -= 1;
        scene.unharmed();
    }
}

#[test]
fn too_brief_a_lifetime_gets_423() {
    let mut scene = Scene::new();
    let mut ue = stranger(&scene);
    let first = ue.first(Credentials::Name).with("Expires", "59");
    let refused = scene.raises(&["interval_too_brief", "setups_begun"], |scene| {
        scene.world.ask_plain(&mut ue, &first)
    });
    assert_eq!((refused.status(), refused.expect("Min-Expires")), (423, "60"));
    let refresh = scene.ue.refresh(59);
    let refused =
        scene.raises(&["interval_too_brief"], |scene| scene.world.ask(&mut scene.ue, &refresh));
    assert_eq!((refused.status(), refused.expect("Min-Expires")), (423, "60"));
    scene.unharmed();
}

#[test]
fn more_than_the_network_allows_is_cut_down() {
    let mut scene = Scene::new();
    let refresh = scene.ue.refresh(4_000_000);
    scene.world.sealed(&mut scene.ue, &refresh);
    let ok = scene.world.take(&mut scene.ue).remove(0).message;
    assert_eq!((ok.status(), ok.expect("Expires")), (200, "600000"));
}

#[test]
fn an_unknown_event_gets_489() {
    let mut scene = Scene::new();
    let other = scene.ue.refresh(EXPIRES_S).with("Event", "winfo");
    let refused = scene.raises(&["event_refused"], |scene| scene.world.ask(&mut scene.ue, &other));
    assert_eq!((refused.status(), refused.expect("Allow-Events")), (489, "security, reg"));
    scene.unharmed();
}

#[test]
fn a_stale_nonce_in_a_refresh_is_challenged_anew() {
    let mut scene = Scene::new();
    let nonce = scene.ue.nonce.clone();
    scene.ue.nonce = format!("{}{}", &nonce[1..43], "A=");
    let refresh = scene.ue.refresh(EXPIRES_S);
    let challenge = scene
        .raises(&["stale_nonce", "challenges"], |scene| scene.world.ask(&mut scene.ue, &refresh));
    assert_eq!(challenge.status(), 401);
    assert_eq!(parameter(challenge.expect("WWW-Authenticate"), "stale"), Some("true"));
    answers_in_dialog(&mut scene, &challenge);
}

#[test]
fn a_wrong_response_in_a_refresh_is_challenged_anew() {
    let mut scene = Scene::new();
    scene.ue.res = [9; 8];
    let refresh = scene.ue.refresh(EXPIRES_S);
    let challenge = scene.raises(&["authentication_failed", "challenges"], |scene| {
        scene.world.ask(&mut scene.ue, &refresh)
    });
    assert_eq!(challenge.status(), 401);
    assert_eq!(parameter(challenge.expect("WWW-Authenticate"), "stale"), None);
    answers_in_dialog(&mut scene, &challenge);
}

#[test]
fn a_refresh_without_credentials_is_challenged() {
    let mut scene = Scene::new();
    let refresh = scene.ue.refresh(EXPIRES_S).without("Authorization");
    let challenge = scene.world.ask(&mut scene.ue, &refresh);
    assert_eq!(challenge.status(), 401);
    answers_in_dialog(&mut scene, &challenge);
}

/// The challenge leads to a new set, on which all goes on; the old one goes.
fn answers_in_dialog(scene: &mut Scene, challenge: &Text) {
    for key in ["ik", "ck"] {
        assert_eq!(parameter(challenge.expect("WWW-Authenticate"), key), None, "{challenge}");
    }
    scene.ue.challenge(challenge).expect("a good challenge");
    let (old, new) = (&scene.ue.sets[0].parameters, &scene.ue.sets[1].parameters);
    assert_ne!((old.spi_pc, old.spi_ps, old.port_pc), (new.spi_pc, new.spi_ps, new.port_pc));
    assert_ne!(old.port_pc, new.port_pc, "the eight SAs share no selectors");
    assert_eq!(old.port_ps, new.port_ps);
    let answer = scene.ue.answer_in_dialog();
    scene.world.sealed(&mut scene.ue, &answer);
    for arrived in scene.world.take(&mut scene.ue) {
        assert_eq!(arrived.set, Some(1), "from the 200 on all goes on the new set");
        if arrived.message.method() == "NOTIFY" {
            let ok = scene.ue.respond(&arrived.message, 200);
            scene.world.sealed(&mut scene.ue, &ok);
        } else {
            assert_eq!(arrived.message.status(), 200, "{}", arrived.message);
        }
    }
    scene.world.advance(seconds(1));
    assert_eq!(scene.world.tables().pcscf.sets, 2, "the old set is drained");
    scene.unharmed();
}

#[test]
fn a_stale_nonce_in_the_answer_is_challenged_anew() {
    let mut scene = Scene::new();
    let mut ue = stranger(&scene);
    scene.world.begin(&mut ue);
    let nonce = ue.nonce.clone();
    ue.nonce = format!("{}{}", &nonce[1..43], "A=");
    let stale = ue.answer();
    let before = scene.world.counter("stale_nonce");
    let challenge = scene.world.ask(&mut ue, &stale);
    assert_eq!(scene.world.counter("stale_nonce"), before + 1);
    assert_eq!(challenge.status(), 401);
    assert_eq!(parameter(challenge.expect("WWW-Authenticate"), "stale"), Some("true"));
    ue.challenge(&challenge).unwrap();
    scene.world.finish(&mut ue);
}

#[test]
fn a_used_nonce_count_is_not_taken_again() {
    let mut scene = Scene::new();
    scene.ue.nc -= 1;
    let refresh = scene.ue.refresh(EXPIRES_S);
    let challenge = scene.raises(&["authentication_failed", "challenges"], |scene| {
        scene.world.ask(&mut scene.ue, &refresh)
    });
    assert_eq!(challenge.status(), 401);
    answers_in_dialog(&mut scene, &challenge);
}

#[test]
fn a_sequence_number_out_of_range_is_resynchronised() {
    let mut scene = Scene::new();
    let mut ue = stranger(&scene);
    // A USIM that has seen more than the HSS remembers.
    ue.freshness = imstorm_aka::Freshness::after(imstorm_aka::Sqn::from_parts(1000, 3));
    let first = ue.first(Credentials::Name);
    let challenge = scene.world.ask_plain(&mut ue, &first);
    let Err(Refusal::SqnOutOfRange { auts }) = ue.challenge(&challenge) else {
        panic!("an SQN out of range expected");
    };
    let resynchronise = ue.first(Credentials::OutOfRange(auts));
    let challenge = scene.raises(&["resynchronised", "challenges"], |scene| {
        scene.world.ask_plain(&mut ue, &resynchronise)
    });
    assert_eq!(challenge.status(), 401);
    ue.challenge(&challenge).expect("both agree now");
    scene.world.finish(&mut ue);
    scene.world.release(&mut ue);
    scene.world.advance(seconds(1));
    // And from now on.
    ue.new_call();
    scene.world.secure(&mut ue);
    scene.world.release(&mut ue);
    scene.world.advance(seconds(1));
    scene.unharmed();
}

#[test]
fn a_forged_auts_changes_nothing() {
    let mut scene = Scene::new();
    let mut ue = stranger(&scene);
    ue.freshness = imstorm_aka::Freshness::after(imstorm_aka::Sqn::from_parts(1000, 3));
    let first = ue.first(Credentials::Name);
    let challenge = scene.world.ask_plain(&mut ue, &first);
    let Err(Refusal::SqnOutOfRange { mut auts }) = ue.challenge(&challenge) else {
        panic!("an SQN out of range expected");
    };
    auts[13] ^= 1;
    let forged = ue.first(Credentials::OutOfRange(auts));
    let before = scene.world.counters();
    let answer = scene.world.ask_plain(&mut ue, &forged);
    assert!(matches!(answer.status(), 401 | 403), "{answer}");
    let risen = scene.world.risen(&before);
    assert!(risen.contains(&("resynchronisation_refused", 1)), "{risen:?}");
    assert!(!risen.iter().any(|(name, _)| *name == "resynchronised"), "{risen:?}");
    if answer.status() == 401 {
        let refusal = ue.challenge(&answer);
        assert!(matches!(refusal, Err(Refusal::SqnOutOfRange { .. })), "the HSS went on as before");
    }
    scene.world.advance(AWAIT_AUTH_NS);
    scene.unharmed();
}

#[test]
fn a_mac_failure_gets_another_challenge() {
    let mut scene = Scene::new();
    let mut ue = stranger(&scene);
    let first = ue.first(Credentials::Name);
    let challenge = scene.world.ask_plain(&mut ue, &first);
    // Somebody on the way has altered AUTN.
    let nonce = parameter(challenge.expect("WWW-Authenticate"), "nonce").unwrap().to_owned();
    let last = if nonce.as_bytes()[40] == b'A' { "B" } else { "A" };
    let bad = format!("{}{last}{}", &nonce[..40], &nonce[41..]);
    let forged = challenge.clone().altered("WWW-Authenticate", &nonce, &bad);
    assert_eq!(ue.challenge(&forged), Err(Refusal::MacFailure));
    let told = ue.first(Credentials::MacFailure);
    let again = scene.raises(&["challenges"], |scene| scene.world.ask_plain(&mut ue, &told));
    assert_eq!(again.status(), 401);
    ue.challenge(&again).unwrap();
    scene.world.finish(&mut ue);
    scene.world.release(&mut ue);
    scene.world.advance(seconds(1));
    scene.unharmed();
}

#[test]
fn mw_takes_configured_peers_only() {
    let mut scene = Scene::with(Layout::Apart);
    let from = SocketAddr::from(([127, 66, 0, 1], 6060));
    let known = SocketAddr::new(scene.world.pcscf_mw.ip(), 6060);
    let own = scene.world.mw_between(known, scene.world.scscf_mw);
    let message = own.first().expect("a message on Mw").to_bytes();
    let ports = [scene.world.pcscf_mw, scene.world.icscf_mw, scene.world.scscf_mw];
    for to in ports {
        for bytes in [&message[..], b"nonsense"] {
            scene.raises(&["mw_untrusted"], |scene| scene.world.datagram(from, to, bytes));
        }
    }
    assert!(scene.world.astray.is_empty(), "no answer");
    scene.unharmed();
}

#[test]
fn mw_together_takes_no_datagrams_at_all() {
    let mut scene = Scene::new();
    let ue = stranger(&scene).first(Credentials::Name).to_bytes();
    let from = scene.ue.at(5070);
    for to in [scene.world.pcscf_mw, scene.world.icscf_mw, scene.world.scscf_mw] {
        scene.raises(&["mw_untrusted"], |scene| scene.world.datagram(from, to, &ue));
    }
    scene.unharmed();
}

#[test]
fn six_set_ups_at_most_and_the_live_one_stays() {
    let mut scene = Scene::new();
    // The same user at the same address.
    let mut attempts: Vec<ScriptedUe> = (0..9).map(|_| scene.world.ue(1)).collect();
    for (number, attempt) in attempts.iter_mut().enumerate() {
        attempt.call_id = format!("attempt-{number}");
        let first = attempt.first(Credentials::Name);
        assert_eq!(scene.world.ask_plain(attempt, &first).status(), 401);
        scene.world.advance(seconds(1));
        let connections = scene.world.tables().pcscf.connections;
        assert_eq!(connections, (number + 1).min(5) + 2, "one live of either UE");
    }
    assert_eq!(scene.world.counter("setups_evicted"), 4);
    // Another address has six of its own.
    let mut elsewhere = scene.world.ue_at(1, IpAddr::from([127, 16, 9, 9]));
    elsewhere.call_id = "elsewhere".to_owned();
    let first = elsewhere.first(Credentials::Name);
    assert_eq!(scene.world.ask_plain(&mut elsewhere, &first).status(), 401);
    assert_eq!(scene.world.counter("setups_evicted"), 4);
    scene.world.advance(AWAIT_AUTH_NS);
    scene.unharmed();
}

#[test]
fn the_newest_of_many_set_ups_can_be_finished() {
    let mut world = World::new(Layout::Together);
    let mut last = world.ue(1);
    for number in 0..8 {
        let freshness = last.freshness.clone();
        last = world.ue(1);
        last.freshness = freshness;
        last.call_id = format!("attempt-{number}");
        world.begin(&mut last);
        world.advance(seconds(1));
    }
    world.finish(&mut last);
    world.refresh(&mut last);
}

/// A small engine's room: two connections for one user, a tenth more, and 1,024 (`users_per_shard`).
const SMALL: usize = 2 * 1025;

#[test]
fn a_flood_of_set_ups_is_refused_and_costs_nobody_anything() {
    let mut world = World::with(Layout::Together, IpAddr::from([127, 0, 0, 1]), "population = 1\n");
    let mut live = world.ue(1);
    world.secure(&mut live);
    let mut begun = world.ue(3);
    world.begin(&mut begun);
    let mut refused = 0;
    for number in 0..2 * u32::try_from(SMALL).unwrap() {
        let [_, _, high, low] = u32::to_be_bytes(number);
        let mut ue = world.ue_at(2, IpAddr::from([127, 20, high, low]));
        ue.call_id = format!("crowd-{number}");
        let first = ue.first(Credentials::Name);
        match world.ask_plain(&mut ue, &first).status() {
            401 => assert_eq!(refused, 0, "number {number}"),
            503 => refused += 1,
            status => panic!("number {number}: {status}"),
        }
    }
    assert_eq!((refused, world.counter("table_full")), (SMALL + 2, SMALL as u64 + 2));
    assert_eq!(world.counter("setups_evicted"), 0);
    // Who had begun goes on, and who is there authenticates again.
    world.finish(&mut begun);
    let refresh = live.refresh(EXPIRES_S).without("Authorization");
    let challenge = world.ask(&mut live, &refresh);
    assert_eq!(challenge.status(), 401, "{challenge}");
    world.advance(AWAIT_AUTH_NS);
    assert_eq!(world.tables().pcscf.connections, 2, "only the live ones");
    let mut ue = world.ue(4);
    world.secure(&mut ue);
}

#[test]
fn a_table_full_of_live_connections_answers_503_and_recovers() {
    let mut world = World::with(Layout::Together, IpAddr::from([127, 0, 0, 1]), "population = 1\n");
    let mut live: Vec<_> = (0..SMALL)
        .map(|number| {
            let mut ue = world.ue(1 + number as u64 % 4);
            ue.ip = IpAddr::from([127, 20, (number >> 8) as u8, number as u8]);
            ue.call_id = format!("connection-{number}");
            ue
        })
        .collect();
    let mut freshness: Vec<_> = (0..4).map(|user| live[user].freshness.clone()).collect();
    for (number, ue) in live.iter_mut().enumerate() {
        ue.freshness = freshness[number % 4].clone();
        world.secure(ue);
        freshness[number % 4] = ue.freshness.clone();
    }
    let mut late = world.ue(5);
    let first = late.first(Credentials::Name);
    let refused = world.ask_plain(&mut late, &first);
    assert_eq!(refused.status(), 503);
    assert!(refused.expect("Retry-After").parse::<u32>().unwrap() > 0);
    assert_eq!(world.counter("table_full"), 1);
    world.refresh(&mut live[7]);
    let mut leaving = live.pop().unwrap();
    world.release(&mut leaving);
    let mut ue = world.ue(6);
    world.secure(&mut ue);
}

#[test]
fn a_challenge_that_nobody_answers_leaves_nothing() {
    for layout in [Layout::Together, Layout::Apart] {
        let mut world = World::new(layout);
        let mut ue = world.ue(1);
        world.begin(&mut ue);
        world.advance(AWAIT_AUTH_NS - seconds(1));
        assert_eq!(world.tables().pcscf.sets, 1);
        world.advance(seconds(1));
        assert_eq!(world.counter("setups_expired"), 1);
        assert_eq!(world.counter("challenges_expired"), 1);
        world.assert_empty();
        let answer = ue.answer();
        world.sealed(&mut ue, &answer);
        assert!(world.take(&mut ue).is_empty(), "too late");
        assert_eq!(world.counter("esp_unknown_spi"), 1);
    }
}

#[test]
fn an_unprotected_request_changes_nothing_live() {
    for same_address in [true, false] {
        let mut scene = Scene::new();
        let (call_id, tag) = (scene.ue.call_id.clone(), scene.ue.tag.clone());
        let ip = if same_address { scene.ue.ip } else { IpAddr::from([127, 66, 0, 1]) };
        // All that could be overheard of the first, unprotected SUBSCRIBE; and any CSeq.
        for cseq in 1..6 {
            let mut attacker = scene.world.ue_at(1, ip);
            (attacker.call_id, attacker.tag) = (call_id.clone(), tag.clone());
            attacker.cseq = cseq - 1;
            let forged = attacker.first(Credentials::Name);
            let made = scene.world.counter("connections_made");
            scene.world.plain(&attacker, &forged);
            for wire in scene.world.take_wires(ip) {
                assert_eq!(wire.from, scene.world.pcscf, "nothing through a set");
                let answer = Text::parse(&wire.bytes);
                assert!(answer.status() >= 400, "CSeq {cseq}, {same_address}:\n{answer}");
                assert!(!answer.to_string().contains("sess="), "the token, in clear");
            }
            assert_eq!(scene.world.counter("connections_made"), made);
        }
        scene.world.refresh(&mut scene.ue);
        scene.world.refresh(&mut scene.other);
        assert_eq!(scene.world.tables().scscf.subscriptions, 2);
        scene.world.advance(AWAIT_AUTH_NS);
        scene.unharmed();
    }
}

#[test]
fn a_set_up_can_not_be_cancelled_from_another_address() {
    let mut scene = Scene::new();
    let mut ue = stranger(&scene);
    scene.world.begin(&mut ue);
    for cseq in 1..6 {
        let mut attacker = scene.world.ue_at(3, IpAddr::from([127, 66, 0, 1]));
        (attacker.call_id, attacker.tag) = (ue.call_id.clone(), ue.tag.clone());
        attacker.cseq = cseq - 1;
        let forged = attacker.first(Credentials::Name);
        scene.world.plain(&attacker, &forged);
        assert!(scene.world.take(&mut ue).is_empty());
        scene.world.take_wires(attacker.ip);
    }
    scene.world.finish(&mut ue);
    scene.world.release(&mut ue);
    scene.world.advance(AWAIT_AUTH_NS);
    scene.unharmed();
}

#[test]
fn hops_that_run_out_get_483() {
    let mut scene = Scene::new();
    let refresh = scene.ue.refresh(EXPIRES_S).with("Max-Forwards", "0");
    let refused =
        scene.raises(&["too_many_hops"], |scene| scene.world.ask(&mut scene.ue, &refresh));
    assert_eq!(refused.status(), 483);
    scene.unharmed();
}

#[test]
fn a_response_that_answers_nothing_is_dropped() {
    let mut scene = Scene::new();
    let via = format!("SIP/2.0/UDP {}:5063;branch=z9hG4bK0123456789abcdef0123456789abcdef", {
        scene.world.pcscf.ip()
    });
    let refresh = scene.ue.refresh(EXPIRES_S).with("Via", &via);
    let stray = scene.ue.respond(&refresh, 200);
    scene.raises(&["stray_response"], |scene| scene.world.sealed(&mut scene.ue, &stray));
    assert!(scene.world.take(&mut scene.ue).is_empty());
    scene.unharmed();
}

#[test]
fn another_ues_answer_to_a_notify_is_dropped() {
    let mut world = World::new(Layout::Together);
    let (mut ue, mut other) = (world.ue(1), world.ue(2));
    world.secure(&mut other);
    world.begin(&mut ue);
    let answer = ue.answer();
    world.sealed(&mut ue, &answer);
    let arrived = world.take(&mut ue);
    let notify = arrived.iter().find(|it| it.message.method() == "NOTIFY").unwrap();
    let forged = other.respond(&notify.message, 481);
    let before = world.counters();
    world.sealed(&mut other, &forged);
    assert_eq!(world.risen(&before), [("stray_response", 1)]);
    let ok = ue.respond(&notify.message, 200);
    world.sealed(&mut ue, &ok);
    assert_eq!(world.counter("notify_failed"), 0);
    ue.accepted(&arrived.iter().find(|it| it.message.status() == 200).unwrap().message);
    world.refresh(&mut ue);
    world.advance(LONG_NS);
    world.refresh(&mut ue);
}
