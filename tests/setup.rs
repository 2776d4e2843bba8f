//! The set-up of a secure connection, header by header: what the UE gets, and what leaves the P-CSCF on Mw.

use std::net::IpAddr;

use tests::message::parameter;
use tests::ue::{EXPIRES_S, bare_uri};
use tests::{Credentials, Layout, ScriptedUe, Text, Wire, World};

/// 600 s, which the UE asks for, and the margin by which the P-CSCF's own subscription outlives the UE's.
const OWN_EXPIRES: &str = "1200";

fn secured(layout: Layout) -> (World, ScriptedUe, Text, Text) {
    let mut world = World::new(layout);
    let mut ue = world.ue(1);
    let (ok, notify) = world.secure(&mut ue);
    (world, ue, ok, notify)
}

/// Messages from the P-CSCF to the core, by start line's method.
fn to_core(world: &World, method: &str) -> Vec<Text> {
    let sent = world.mw.iter().filter(|wire| wire.from == world.pcscf_mw);
    let texts = sent.map(|wire| Text::parse(&wire.bytes));
    texts.filter(|text| text.status() == 0 && text.method() == method).collect()
}

fn core_subscribes(world: &World) -> (Text, Text, Text) {
    let mut sent = to_core(world, "SUBSCRIBE").into_iter();
    let three = (sent.next(), sent.next(), sent.next());
    assert!(sent.next().is_none(), "a fourth SUBSCRIBE");
    (three.0.expect("the first"), three.1.expect("the answer"), three.2.expect("the P-CSCF's own"))
}

#[test]
fn the_401_has_no_keys_and_all_mechanisms() {
    let mut world = World::new(Layout::Together);
    let mut ue = world.ue(1);
    let first = ue.first(Credentials::Name);
    let challenge = world.ask_plain(&mut ue, &first);
    assert_eq!(challenge.status(), 401);
    let header = challenge.expect("WWW-Authenticate");
    assert_eq!(challenge.all("WWW-Authenticate").len(), 1);
    assert!(header.starts_with("Digest "), "{header}");
    for key in ["ik", "ck"] {
        assert_eq!(parameter(header, key), None, "{header}");
    }
    assert_eq!(parameter(header, "realm"), Some("ims.example"));
    assert_eq!(parameter(header, "algorithm"), Some("AKAv1-MD5"));
    assert_eq!(parameter(header, "qop"), Some("auth"));
    assert_eq!(challenge.expect("From"), first.expect("From"));
    assert_eq!(challenge.expect("Call-ID"), first.expect("Call-ID"));
    assert_eq!(challenge.expect("CSeq"), first.expect("CSeq"));
    assert!(parameter(challenge.expect("To"), "tag").is_some());
    assert_eq!(challenge.header("Record-Route"), None);
    let vias = challenge.all("Via");
    assert_eq!(vias.len(), 1, "{vias:?}");
    assert!(
        vias[0].contains("rport=5070") && vias[0].contains("received=127.16.0.1"),
        "{}",
        vias[0]
    );

    let server = challenge.all("Security-Server").join(",");
    let mechanisms: Vec<&str> = server.split(',').map(str::trim).collect();
    let mut pairs = Vec::new();
    let mut qs = Vec::new();
    for mechanism in &mechanisms {
        assert!(mechanism.starts_with("ipsec-3gpp"), "{mechanism}");
        let of = |name: &str| parameter(mechanism, name).expect(name).to_owned();
        pairs.push((of("alg"), of("ealg")));
        qs.push(of("q"));
        assert_eq!((of("prot"), of("mod")), ("esp".to_owned(), "UDP-enc-tun".to_owned()));
        for name in ["spi-c", "spi-s", "port-c", "port-s"] {
            assert_eq!(Some(of(name).as_str()), parameter(mechanisms[0], name), "the same in all");
        }
        assert_ne!(of("spi-c"), of("spi-s"));
        assert_eq!(of("port-s"), "5063");
    }
    for alg in ["hmac-sha-1-96", "hmac-md5-96"] {
        for ealg in ["aes-cbc", "null"] {
            assert!(pairs.contains(&(alg.to_owned(), ealg.to_owned())), "{alg} {ealg}: {server}");
        }
    }
    qs.sort_unstable();
    qs.dedup();
    assert_eq!(qs.len(), mechanisms.len(), "distinct q: {server}");
}

#[test]
fn the_200_grants_what_was_asked_and_leads_back_through_the_pcscf() {
    let (world, ue, ok, _) = secured(Layout::Together);
    assert_eq!(ok.expect("Expires"), EXPIRES_S.to_string());
    let contact = ok.expect("Contact");
    let uri = bare_uri(contact);
    let host = format!("sip:{};", world.scscf_mw);
    assert!(uri.starts_with(&host) && uri.contains(";lr"), "{contact}");
    let token = parameter(uri, "sess").expect("a token");
    assert!(token.len() >= 16, "at least 64 bits: {token}");
    assert_eq!(ok.all("Record-Route"), [format!("<sip:{}:5063;lr>", world.pcscf.ip())]);
    assert_eq!(ok.all("Via").len(), 1);
    assert_eq!(ue.to_tag.as_deref(), parameter(ok.expect("To"), "tag"));
    for header in ["Security-Server", "WWW-Authenticate", "Authentication-Info"] {
        let shown = ok.header(header).unwrap_or_default();
        assert!(!shown.contains("ik=") && !shown.contains("ck="), "{shown}");
    }
}

#[test]
fn the_notify_lists_the_identities() {
    let (world, ue, ok, notify) = secured(Layout::Together);
    assert_eq!(notify.uri(), format!("sip:{}", ue.at(ue.port_us())));
    assert_eq!(notify.expect("Event"), "security");
    assert_eq!(notify.expect("Subscription-State"), format!("active;expires={EXPIRES_S}"));
    assert_eq!(notify.expect("Expires"), EXPIRES_S.to_string());
    assert_eq!(notify.expect("Content-Type"), "application/secinfo+xml");
    assert_eq!(notify.expect("Call-ID"), ue.call_id);
    assert_eq!(parameter(notify.expect("To"), "tag"), Some(ue.tag.as_str()));
    assert_eq!(parameter(notify.expect("From"), "tag"), ue.to_tag.as_deref());
    assert_eq!(bare_uri(notify.expect("Contact")), bare_uri(ok.expect("Contact")));
    assert_eq!(notify.all("Record-Route"), [format!("<sip:{}:5063;lr>", world.pcscf.ip())]);
    let via = notify.all("Via")[0];
    assert!(via.starts_with(&format!("SIP/2.0/UDP {}:5063;", world.pcscf.ip())), "{via}");
    assert_eq!(notify.header("Route"), None);
    let body = &notify.body;
    for part in [
        "xmlns=\"urn:imstorm:params:xml:ns:secinfo\"",
        "version=\"0\"",
        "state=\"full\"",
        &format!("lifetime=\"{EXPIRES_S}\""),
        &format!("<identity default=\"true\">{}</identity>", ue.impu),
        &format!("<identity>{}</identity>", ue.tel()),
    ] {
        assert!(body.contains(part), "no {part} in {body}");
    }
    assert_eq!(body.matches("<identity").count(), 2, "{body}");
    let session = parameter(body, "session").expect("a session");
    let token = parameter(bare_uri(ok.expect("Contact")), "sess").expect("a token");
    assert_ne!(session, token, "an identifier to show, not the token");
}

#[test]
fn the_sets_are_permanent_after_the_200() {
    let (mut world, mut ue, ..) = secured(Layout::Together);
    let tables = world.tables();
    assert_eq!((tables.pcscf.connections, tables.pcscf.sets), (1, 1));
    assert_eq!((tables.scscf.subscriptions, tables.scscf.challenges), (1, 0));
    // Longer than a temporary set lives.
    world.advance(imstorm_base::seconds(5 * 60));
    world.refresh(&mut ue);
    assert_eq!(world.counter("connections_made"), 1);
}

#[test]
fn the_first_subscribe_on_mw() {
    let (world, ue, ..) = secured(Layout::Apart);
    let (first, ..) = core_subscribes(&world);
    assert_eq!(world.mw[0].to, world.icscf_mw);
    for header in ["Security-Client", "Security-Verify", "Security-Server", "Proxy-Require"] {
        assert_eq!(first.header(header), None, "{header}");
    }
    assert_eq!(first.all("Require"), ["secevt"]);
    assert!(!first.to_string().contains("sec-agree"), "{first}");
    let credentials = first.expect("Authorization");
    assert_eq!(parameter(credentials, "integrity-protected"), Some("no"));
    assert_eq!(parameter(credentials, "username"), Some(ue.impi.as_str()));
    let host = format!("@{};lr>", world.pcscf_mw);
    for header in ["Path", "Record-Route"] {
        let all = first.all(header);
        assert!(
            all.len() == 1 && all[0].starts_with("<sip:") && all[0].ends_with(&host),
            "{all:?}"
        );
    }
    assert!(parameter(first.expect("P-Charging-Vector"), "icid-value").is_some());
    assert!(parameter(first.expect("P-Charging-Vector"), "orig-ioi").is_some());
    assert_eq!(first.expect("P-Visited-Network-ID"), "\"ims.example\"");
    assert_eq!(first.expect("Max-Forwards"), "69");
    assert_eq!(first.expect("Event"), "security");
    let vias = first.all("Via");
    assert_eq!(vias.len(), 2, "{vias:?}");
    assert!(vias[0].starts_with(&format!("SIP/2.0/UDP {};", world.pcscf_mw)), "{}", vias[0]);
    assert!(vias[1].contains("received=127.16.0.1"), "{}", vias[1]);
}

#[test]
fn the_answer_on_mw_is_integrity_protected() {
    let (world, ue, ..) = secured(Layout::Apart);
    let (first, answer, _) = core_subscribes(&world);
    let credentials = answer.expect("Authorization");
    assert_eq!(parameter(credentials, "integrity-protected"), Some("yes"));
    assert!(!answer.to_string().contains("Security-") && !answer.to_string().contains("sec-agree"));
    assert_eq!(answer.all("Require"), ["secevt"]);
    assert_eq!(answer.expect("Call-ID"), first.expect("Call-ID"));
    assert_eq!(answer.cseq(), 2);
    assert_eq!(parameter(answer.expect("To"), "tag"), None);
    assert_eq!(bare_uri(answer.expect("Contact")), format!("sip:{}", ue.at(ue.port_us())));
    assert_eq!(answer.expect("Record-Route"), first.expect("Record-Route"));
}

#[test]
fn the_keys_stay_at_the_pcscf() {
    let (world, ue, ..) = secured(Layout::Apart);
    let challenges = world.mw_between(world.icscf_mw, world.pcscf_mw);
    let challenge = challenges.iter().find(|message| message.status() == 401).expect("a 401");
    let header = challenge.expect("WWW-Authenticate");
    let hex = |key: [u8; 16]| key.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let (ck, ik) = ue.sets[0].keys;
    assert_eq!(parameter(header, "ck"), Some(hex(ck).as_str()));
    assert_eq!(parameter(header, "ik"), Some(hex(ik).as_str()));
    for wire in &world.all_to_ues {
        let text = String::from_utf8_lossy(&wire.bytes).to_lowercase();
        assert!(!text.contains(&hex(ck)) && !text.contains(&hex(ik)), "{text}");
    }
}

#[test]
fn what_the_ue_claims_of_integrity_is_overwritten() {
    for claim in
        ["integrity-protected=\"yes\"", "integrity-protected=yes", "integrity-protection=\"yes\""]
    {
        let mut world = World::new(Layout::Apart);
        let mut ue = world.ue(1);
        let first = ue.first(Credentials::Name);
        let credentials = format!("{}, {claim}", first.expect("Authorization"));
        let first = first.with("Authorization", &credentials);
        world.plain(&ue, &first);
        let on_mw = to_core(&world, "SUBSCRIBE").remove(0);
        let shown = on_mw.expect("Authorization");
        assert_eq!(parameter(shown, "integrity-protected"), Some("no"), "{shown}");
        assert_eq!(parameter(shown, "integrity-protection"), None, "{shown}");
        assert!(!shown.contains("yes"), "{shown}");
        let arrived = world.take_one(&mut ue);
        assert_eq!(arrived.message.status(), 401);
    }
}

#[test]
fn a_claim_of_no_integrity_on_a_security_association_is_overwritten() {
    let mut world = World::new(Layout::Apart);
    let mut ue = world.ue(1);
    world.begin(&mut ue);
    let answer = ue.answer();
    let credentials = format!("{}, integrity-protected=\"no\"", answer.expect("Authorization"));
    let answer = answer.with("Authorization", &credentials);
    world.sealed(&mut ue, &answer);
    let (_, on_mw, _) = core_subscribes(&world);
    let shown = on_mw.expect("Authorization");
    assert_eq!(parameter(shown, "integrity-protected"), Some("yes"), "{shown}");
    assert!(!shown.contains("\"no\""), "{shown}");
}

#[test]
fn identities_that_the_ue_asserts_itself_do_not_pass() {
    let mut world = World::new(Layout::Apart);
    let ue = &mut world.ue(1);
    let first = ue.first(Credentials::Name).and("P-Asserted-Identity", "<sip:root@ims.example>");
    world.plain(ue, &first);
    assert_eq!(to_core(&world, "SUBSCRIBE")[0].header("P-Asserted-Identity"), None);
}

#[test]
fn the_pcscf_subscribes_itself() {
    let (world, ue, ok, _) = secured(Layout::Apart);
    let (.., own) = core_subscribes(&world);
    assert_eq!(own.uri(), bare_uri(ok.expect("Contact")));
    let name = format!("sip:{}", world.pcscf_mw);
    assert!(own.expect("From").contains(&name), "{own}");
    assert_eq!(bare_uri(own.expect("P-Asserted-Identity")), name);
    assert_eq!(own.expect("Event"), "security");
    assert_eq!(own.expect("Expires"), OWN_EXPIRES);
    assert_eq!(own.expect("Accept"), "application/secinfo+xml");
    assert_eq!(own.header("Authorization"), None);
    assert_ne!(own.expect("Call-ID"), ue.call_id);
    assert!(own.expect("Contact").contains(&format!("@{}", world.pcscf_mw)), "{own}");
    let from_core = world.mw_between(world.scscf_mw, world.pcscf_mw);
    let notify = from_core
        .iter()
        .find(|message| {
            message.method() == "NOTIFY" && message.expect("Call-ID") == own.expect("Call-ID")
        })
        .expect("a NOTIFY for the P-CSCF");
    assert!(notify.expect("Subscription-State").starts_with("active;expires="), "{notify}");
    assert!(notify.body.contains(&ue.impu) && notify.body.contains(&ue.tel()), "{notify}");
    assert!(notify.body.contains("version=\"0\""), "{notify}");
}

#[test]
fn an_empty_path_between_the_roles_changes_nothing_for_the_ue() {
    let (_, _, together_ok, together_notify) = secured(Layout::Together);
    let (_, _, apart_ok, apart_notify) = secured(Layout::Apart);
    let names = |message: &Text| -> Vec<String> {
        message.headers.iter().map(|(name, _)| name.clone()).collect()
    };
    assert_eq!(names(&together_ok), names(&apart_ok));
    assert_eq!(names(&together_notify), names(&apart_notify));
    assert_eq!(together_notify.expect("Max-Forwards"), apart_notify.expect("Max-Forwards"));
}

#[test]
fn every_pair_of_algorithms_alone() {
    for suite in imstorm_esp::Suite::ALL {
        let mut world = World::new(Layout::Together);
        let mut ue = world.ue(1);
        ue.suites = vec![suite];
        world.secure(&mut ue);
        assert_eq!(ue.sets[0].parameters.suite, suite);
        world.refresh(&mut ue);
    }
}

#[test]
fn both_sides_choose_the_same_whatever_the_order_of_the_offer() {
    for rotation in 0..4 {
        let mut world = World::new(Layout::Together);
        let mut ue = world.ue(1);
        ue.suites.rotate_left(rotation);
        ue.suites.pop();
        world.secure(&mut ue);
    }
}

#[test]
fn ipv6() {
    for layout in [Layout::Together, Layout::Apart] {
        let ip: IpAddr = "::1".parse().unwrap();
        let mut world = World::with(layout, ip, "");
        let mut ue = world.ue(1);
        let (ok, notify) = world.secure(&mut ue);
        assert_eq!(ok.all("Record-Route"), ["<sip:[::1]:5063;lr>"]);
        assert_eq!(notify.uri(), format!("sip:[{}]:6101", ue.ip));
        world.refresh(&mut ue);
        world.release(&mut ue);
        world.advance(imstorm_base::seconds(400));
        world.assert_empty();
    }
}

#[test]
fn a_second_access_of_one_user_stands_beside_the_first() {
    let mut world = World::new(Layout::Together);
    let mut first = world.ue(1);
    let mut second = world.ue_at(1, "127.16.1.1".parse().unwrap());
    second.new_call();
    world.secure(&mut first);
    // One USIM: the second access goes on with its numbers.
    second.freshness = first.freshness.clone();
    world.secure(&mut second);
    world.refresh(&mut first);
    world.refresh(&mut second);
    assert_eq!(world.tables().scscf.subscriptions, 2);
    assert_eq!(world.tables().pcscf.connections, 2);
}

#[test]
fn a_new_set_up_from_the_same_address_ends_the_old_connection() {
    let mut world = World::new(Layout::Together);
    let mut ue = world.ue(1);
    world.secure(&mut ue);
    ue.new_call();
    world.begin(&mut ue);
    // Not before it is authenticated.
    assert_eq!(world.tables().scscf.subscriptions, 1);
    let answer = ue.answer();
    world.sealed(&mut ue, &answer);
    let mut states = Vec::new();
    for arrived in world.take(&mut ue) {
        if arrived.message.method() == "NOTIFY" {
            let state = arrived.message.expect("Subscription-State").to_owned();
            states.push((arrived.set, state));
            let set = arrived.set.expect("a set");
            let ok = ue.respond(&arrived.message, 200);
            let packet = ue.seal_with(set, &ok.to_bytes());
            world.packet(&ue, &packet);
        } else {
            ue.accepted(&arrived.message);
        }
    }
    states.sort();
    let (ended, made) = (&states[0], &states[1]);
    assert_eq!(*ended, (Some(0), "terminated;reason=noresource".to_owned()), "on the old set");
    assert_eq!(made.0, Some(1));
    assert!(made.1.starts_with("active"), "{made:?}");
    world.advance(imstorm_base::seconds(2));
    assert_eq!(world.tables().pcscf.connections, 1);
    assert_eq!(world.tables().pcscf.sets, 1);
    assert_eq!(world.tables().scscf.subscriptions, 1);
    world.refresh(&mut ue);
}

#[test]
fn esp_goes_where_the_last_good_packet_came_from() {
    let mut world = World::new(Layout::Together);
    let mut ue = world.ue(1);
    world.secure(&mut ue);
    // A NAT gives the UE another port.
    ue.esp_port = 31_000;
    world.refresh(&mut ue);
    // A packet that fails its check moves nothing.
    let mut packet = ue.seal(b"x");
    packet[20] ^= 1;
    let elsewhere: std::net::SocketAddr = "127.99.0.1:4500".parse().unwrap();
    world.datagram(elsewhere, world.pcscf_esp, &packet);
    world.refresh(&mut ue);
    assert_eq!(world.to_ues, Vec::<Wire>::new());
}
