//! The paper's section 3.1, "Initial SUBSCRIBE request", "NOTIFY request" and "Impact … on P-CSCF": message by message and, hop by hop,
//! header by header.

use std::net::SocketAddr;

use imstorm_base::seconds;
use tests::message::parameter;
use tests::ue::{EXPIRES_S, bare_uri};
use tests::{Changes, Credentials, Layout, Scene, ScriptedUe, Text, World};

const LAYOUTS: [Layout; 3] = [Layout::Together, Layout::Apart, Layout::Each];

/// Messages of a set-up on Mw. NOTIFY goes by the P-CSCF's Record-Route, the 200 by the I-CSCF's Via: so the NOTIFY is the faster one.
const SET_UP: [&str; 14] = [
    "P>I SUBSCRIBE",
    "I>S SUBSCRIBE",
    "S>I 401 SUBSCRIBE",
    "I>P 401 SUBSCRIBE",
    "P>I SUBSCRIBE",
    "I>S SUBSCRIBE",
    "S>I 200 SUBSCRIBE",
    "S>P NOTIFY",
    "I>P 200 SUBSCRIBE",
    "P>S SUBSCRIBE",
    "S>P 200 SUBSCRIBE",
    "S>P NOTIFY",
    "P>S 200 NOTIFY",
    "P>S 200 NOTIFY",
];

/// What passed Mw, as texts.
fn on_mw(world: &World) -> Vec<Text> {
    world.mw.iter().map(|wire| Text::parse(&wire.bytes)).collect()
}

/// A set-up with each role by itself: the UE's two requests, and what it got.
struct SetUp {
    world: World,
    ue: ScriptedUe,
    first: Text,
    challenge: Text,
    answer: Text,
    ok: Text,
    notify: Text,
    notify_ok: Text,
    mw: Vec<Text>,
}

impl SetUp {
    fn new() -> Self {
        let mut world = World::new(Layout::Each);
        let mut ue = world.ue(1);
        let first = ue.first(Credentials::Name);
        let challenge = world.ask_plain(&mut ue, &first);
        ue.challenge(&challenge).expect("a challenge that the USIM accepts");
        let answer = ue.answer();
        world.sealed(&mut ue, &answer);
        let mut arrived = world.take(&mut ue);
        assert_eq!(arrived.len(), 2, "{arrived:#?}");
        arrived.sort_by_key(|arrived| arrived.message.status());
        let ok = arrived.pop().expect("a 200").message;
        let notify = arrived.pop().expect("a NOTIFY").message;
        ue.accepted(&ok);
        let notify_ok = ue.respond(&notify, 200);
        world.sealed(&mut ue, &notify_ok);
        let mw = on_mw(&world);
        Self { world, ue, first, challenge, answer, ok, notify, notify_ok, mw }
    }
}

#[test]
fn message_by_message() {
    let set_up = SetUp::new();
    assert_eq!(set_up.world.transcript(0), SET_UP);
    assert_eq!(set_up.ue.received.len(), 3, "401, NOTIFY, 200");
}

#[test]
fn the_first_request_is_unprotected_and_the_second_is_not() {
    let mut world = World::new(Layout::Together);
    let mut ue = world.ue(1);
    let first = ue.first(Credentials::Name);
    world.plain(&ue, &first);
    let wires = world.take_wires(ue.ip);
    let plain = SocketAddr::new(ue.ip, ue.port);
    assert_eq!((wires.len(), wires[0].from, wires[0].to), (1, world.pcscf, plain));
    ue.challenge(&Text::parse(&wires[0].bytes)).unwrap();
    let answer = ue.answer();
    world.sealed(&mut ue, &answer);
    let wires = world.take_wires(ue.ip);
    assert_eq!(wires.len(), 2);
    for wire in wires {
        assert_eq!((wire.from, wire.to), (world.pcscf_esp, SocketAddr::new(ue.ip, ue.esp_port)));
    }
}

#[test]
fn the_pcscf_takes_out_of_the_first_what_is_between_it_and_the_ue() {
    let SetUp { world, first, mw, .. } = SetUp::new();
    let sent = &mw[0];
    Changes::between(&first, sent).assert_are(
        &["Proxy-Require", "Security-Client"],
        &["P-Charging-Vector", "P-Visited-Network-ID", "Path", "Record-Route", "Via"],
        &["Authorization", "Max-Forwards", "Require"],
    );
    assert_eq!(sent.start, first.start);
    assert_eq!(first.all("Require"), ["sec-agree, secevt"]);
    assert_eq!(sent.all("Require"), ["secevt"]);
    let credentials = first.expect("Authorization");
    let expected = format!("{credentials},integrity-protected=\"no\"");
    assert_eq!(sent.expect("Authorization"), expected);
    assert_eq!(
        sent.expect("Record-Route"),
        sent.expect("Path"),
        "the same way, for dialog and binding"
    );
    assert!(sent.expect("Path").ends_with(&format!("@{};lr>", world.pcscf_mw)), "{sent}");
    assert_eq!(sent.header("Route"), None, "a new security subscription has none");
}

#[test]
fn the_icscf_adds_its_via_only() {
    let SetUp { world, mw, .. } = SetUp::new();
    for (from_pcscf, to_scscf) in [(0, 1), (4, 5)] {
        let (before, after) = (&mw[from_pcscf], &mw[to_scscf]);
        Changes::between(before, after).assert_are(&[], &["Via"], &["Max-Forwards"]);
        assert!(after.all("Via")[0].contains(&world.icscf_mw.to_string()), "{after}");
        assert_eq!(after.start, before.start);
    }
    for (from_scscf, to_pcscf) in [(2, 3), (6, 8)] {
        Changes::between(&mw[from_scscf], &mw[to_pcscf]).assert_are(&["Via"], &[], &[]);
    }
}

#[test]
fn the_challenge_loses_its_keys_and_gets_security_server() {
    let SetUp { world, challenge, mw, ue, .. } = SetUp::new();
    let before = &mw[3];
    Changes::between(before, &challenge).assert_are(
        &["Via"],
        &["Security-Server"],
        &["WWW-Authenticate"],
    );
    let (with, without) = (before.expect("WWW-Authenticate"), challenge.expect("WWW-Authenticate"));
    for key in ["ik", "ck"] {
        assert_eq!(parameter(with, key).map(str::len), Some(32), "{with}");
        assert_eq!(parameter(without, key), None, "{without}");
    }
    for kept in ["realm", "nonce", "algorithm", "qop"] {
        assert_eq!(parameter(with, kept), parameter(without, kept), "{kept}");
    }
    assert_eq!(parameter(without, "algorithm"), Some("AKAv1-MD5"));
    assert_eq!(world.tables().pcscf.sets, 1);
    let agreed = ue.sets[0].parameters;
    let spis = [agreed.spi_uc, agreed.spi_us, agreed.spi_pc, agreed.spi_ps];
    for (place, spi) in spis.iter().enumerate() {
        assert!(!spis[..place].contains(spi), "four associations with four SPIs: {spis:?}");
    }
}

#[test]
fn the_answer_goes_on_as_integrity_protected() {
    let SetUp { first, answer, mw, ue, .. } = SetUp::new();
    let sent = &mw[4];
    Changes::between(&answer, sent).assert_are(
        &["Proxy-Require", "Security-Client", "Security-Verify"],
        &["P-Charging-Vector", "P-Visited-Network-ID", "Path", "Record-Route", "Via"],
        &["Authorization", "Max-Forwards", "Require"],
    );
    let expected = format!("{},integrity-protected=\"yes\"", answer.expect("Authorization"));
    assert_eq!(sent.expect("Authorization"), expected);
    // It is a new request of the same call, from the protected port.
    assert_eq!((answer.cseq(), first.cseq()), (2, 1));
    for same in ["Call-ID", "From", "Record-Route", "Path"] {
        assert_eq!(sent.expect(same), mw[0].expect(same), "{same}");
    }
    let port = ue.sets[0].parameters.port_us;
    assert_eq!(bare_uri(sent.expect("Contact")), format!("sip:{}", ue.at(port)));
    assert!(sent.all("Via")[1].contains(&ue.at(port).to_string()), "{sent}");
    assert_ne!(sent.expect("P-Charging-Vector"), mw[0].expect("P-Charging-Vector"));
}

#[test]
fn the_200_leads_back_through_the_protected_port() {
    let SetUp { world, ok, mw, .. } = SetUp::new();
    let before = &mw[8];
    Changes::between(before, &ok).assert_are(&["Via"], &[], &["Record-Route"]);
    let names: Vec<&str> = ok.headers.iter().map(|(name, _)| name.as_str()).collect();
    let mut sorted = names.clone();
    sorted.sort_unstable();
    assert_eq!(
        sorted,
        [
            "CSeq",
            "Call-ID",
            "Contact",
            "Content-Length",
            "Expires",
            "From",
            "Record-Route",
            "To",
            "Via"
        ]
    );
    assert_eq!(before.all("Record-Route"), [mw[4].expect("Record-Route")]);
    assert_eq!(ok.all("Record-Route"), [format!("<sip:{}:5063;lr>", world.pcscf.ip())]);
    let contact = ok.expect("Contact");
    let secret = parameter(contact, "sess").expect("a token");
    assert_eq!(contact, format!("<sip:{};sess={secret};lr>", world.scscf_mw));
    assert!(secret.len() >= 16 && secret.bytes().all(|byte| byte.is_ascii_hexdigit()), "{secret}");
    assert_eq!(ok.expect("Expires"), EXPIRES_S.to_string());
}

#[test]
fn the_notify_is_passed_on_with_the_way_back() {
    let SetUp { world, ue, ok, notify, notify_ok, mw, .. } = SetUp::new();
    let sent = &mw[7];
    Changes::between(sent, &notify).assert_are(
        &["Route"],
        &["Record-Route", "Via"],
        &["Max-Forwards"],
    );
    assert_eq!(sent.all("Route"), [mw[4].expect("Record-Route")], "the UE's dialog's route set");
    assert_eq!(notify.start, format!("NOTIFY sip:{} SIP/2.0", ue.at(6101)));
    assert_eq!((sent.start.as_str(), &sent.body), (notify.start.as_str(), &notify.body));
    assert_eq!(notify.expect("Contact"), ok.expect("Contact"));
    // And the UE's answer to it.
    let back = mw.last().expect("the UE's 200");
    Changes::between(&notify_ok, back).assert_are(&["Via"], &[], &["Record-Route"]);
    assert_eq!(back.all("Record-Route"), [mw[4].expect("Record-Route")]);
    assert_eq!(world.counter("notify_failed"), 0);
}

#[test]
fn the_notify_has_lifetime_and_identities_and_nothing_else() {
    let SetUp { ue, notify, .. } = SetUp::new();
    let mut names: Vec<&str> = notify.headers.iter().map(|(name, _)| name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(
        names,
        [
            "CSeq",
            "Call-ID",
            "Contact",
            "Content-Length",
            "Content-Type",
            "Event",
            "Expires",
            "From",
            "Max-Forwards",
            "Record-Route",
            "Subscription-State",
            "To",
            "Via",
            "Via"
        ]
    );
    assert_eq!(notify.expect("Event"), "security");
    assert_eq!(notify.expect("Subscription-State"), format!("active;expires={EXPIRES_S}"));
    assert_eq!(notify.expect("Expires"), EXPIRES_S.to_string());
    assert_eq!(notify.expect("Content-Type"), "application/secinfo+xml");
    let session = parameter(&notify.body, "session").expect("a session");
    let body: String = notify.body.lines().map(str::trim).collect();
    let body = body.split_once("?>").map_or(body.as_str(), |(_, rest)| rest);
    let expected = format!(
        "<secinfo xmlns=\"urn:imstorm:params:xml:ns:secinfo\" version=\"0\" state=\"full\" session=\"{session}\" \
         lifetime=\"{EXPIRES_S}\"><identity default=\"true\">{}</identity><identity>{}</identity></secinfo>",
        ue.impu,
        ue.tel()
    );
    assert_eq!(body, expected);
}

#[test]
fn any_of_the_users_identities_may_be_addressed() {
    for layout in LAYOUTS {
        let mut world = World::new(layout);
        let mut ue = world.ue(1);
        let (sip, tel) = (ue.impu.clone(), ue.tel());
        for impu in [tel.clone(), sip.clone()] {
            ue.new_call();
            ue.impu = impu.clone();
            let (ok, notify) = world.secure(&mut ue);
            assert!(ok.expect("To").contains(&impu), "{ok}");
            let default = format!("<identity default=\"true\">{sip}</identity>");
            assert!(
                notify.body.contains(&default),
                "the same list whoever was addressed: {notify}"
            );
            assert!(notify.body.contains(&tel), "{notify}");
            world.refresh(&mut ue);
            world.release(&mut ue);
            world.advance(seconds(1));
        }
    }
}

#[test]
fn an_identity_that_was_added_may_be_addressed() {
    let mut world = World::new(Layout::Together);
    let mut ue = world.ue(1);
    let command = imstorm_cscf::operator::Command::AddIdentity {
        impi: ue.impi.clone().into_bytes(),
        impu: b"sip:alice@ims.example".to_vec(),
        barred: false,
    };
    world.operate(&command).unwrap();
    ue.impu = "sip:alice@ims.example".to_owned();
    let (_, notify) = world.secure(&mut ue);
    assert_eq!(notify.body.matches("<identity").count(), 3, "{notify}");
}

#[test]
fn the_pcscfs_own_subscription_message_by_message() {
    let SetUp { mut world, mut ue, ok, notify, mw, .. } = SetUp::new();
    let (asks, granted, told, taken) = (&mw[9], &mw[10], &mw[11], &mw[12]);
    let name = format!("sip:{}", world.pcscf_mw);
    assert_eq!(asks.start, format!("SUBSCRIBE {} SIP/2.0", bare_uri(ok.expect("Contact"))));
    assert_eq!(bare_uri(asks.expect("From")), name);
    assert_eq!(bare_uri(asks.expect("To")), bare_uri(ok.expect("Contact")));
    assert_eq!(asks.all("P-Asserted-Identity"), [format!("<{name}>")]);
    assert_eq!(
        (asks.expect("Event"), asks.expect("Accept")),
        ("security", "application/secinfo+xml")
    );
    assert_eq!(asks.expect("Expires"), (EXPIRES_S + 600).to_string());
    for none in ["Authorization", "Route", "Record-Route", "Security-Client", "Path"] {
        assert_eq!(asks.header(none), None, "{none}");
    }
    assert_eq!((granted.expect("Call-ID"), granted.cseq()), (asks.expect("Call-ID"), 1));
    assert_eq!(granted.expect("Expires"), (EXPIRES_S + 600).to_string());
    assert_eq!(told.uri(), bare_uri(asks.expect("Contact")));
    assert_eq!(told.expect("Subscription-State"), format!("active;expires={}", EXPIRES_S + 600));
    assert_eq!(told.expect("To"), asks.expect("From"));
    assert_eq!(told.body, notify.body, "the UE's identities and lifetime");
    assert_eq!((taken.status(), taken.expect("CSeq")), (200, told.expect("CSeq")));

    // With the UE's refresh comes its own, in its dialog.
    world.advance(seconds(300));
    let mark = world.mw.len();
    world.refresh(&mut ue);
    let refreshed = world.transcript(mark);
    assert_eq!(
        refreshed,
        [
            "P>S SUBSCRIBE",
            "S>P 200 SUBSCRIBE",
            "S>P NOTIFY",
            "P>S SUBSCRIBE",
            "S>P 200 SUBSCRIBE",
            "S>P NOTIFY",
            "P>S 200 NOTIFY",
            "P>S 200 NOTIFY"
        ]
    );
    let again = &on_mw(&world)[mark + 3];
    assert_eq!(again.expect("Call-ID"), asks.expect("Call-ID"));
    assert_eq!(again.expect("To"), granted.expect("To"));
    assert_eq!((again.cseq(), again.expect("Expires")), (2, "1200"));
    assert_eq!(again.uri(), bare_uri(granted.expect("Contact")));

    // And when the UE's is over, the P-CSCF ends its own, after the UE's last NOTIFY.
    let mark = world.mw.len();
    world.release(&mut ue);
    let released = world.transcript(mark);
    assert_eq!(
        released,
        [
            "P>S SUBSCRIBE",
            "S>P 200 SUBSCRIBE",
            "S>P NOTIFY",
            "P>S 200 NOTIFY",
            "P>S SUBSCRIBE",
            "S>P 200 SUBSCRIBE",
            "S>P NOTIFY",
            "P>S 200 NOTIFY"
        ]
    );
    let (leaves, last) = (&on_mw(&world)[mark + 4], &on_mw(&world)[mark + 6]);
    assert_eq!((leaves.expect("Call-ID"), leaves.cseq()), (asks.expect("Call-ID"), 3));
    assert_eq!(leaves.expect("Expires"), "0");
    assert_eq!(last.expect("Subscription-State"), "terminated;reason=timeout");
    assert_eq!(world.tables().pcscf.sets, 0);
    assert_eq!(world.tables().scscf.subscriptions, 0);
}

/// Passes everything on Mw but what is lost, until nothing waits.
fn pass_but(world: &mut World, is_lost: impl Fn(&Text) -> bool) -> usize {
    let mut lost = 0;
    while let Some(wire) = world.mw_waiting.front() {
        if is_lost(&Text::parse(&wire.bytes)) {
            world.mw_waiting.pop_front();
            lost += 1;
        } else {
            world.pass_held(0);
        }
    }
    lost
}

/// The P-CSCF's own SUBSCRIBE.
fn is_own(text: &Text) -> bool {
    text.status() == 0 && text.method() == "SUBSCRIBE" && text.header("Authorization").is_none()
}

/// A connection whose UE has its 200, while the P-CSCF's own SUBSCRIBEs are lost.
fn without_identities() -> (World, ScriptedUe) {
    let mut world = World::new(Layout::Apart);
    let mut ue = world.ue(1);
    world.begin(&mut ue);
    world.mw_held = true;
    let answer = ue.answer();
    world.sealed(&mut ue, &answer);
    assert_eq!(pass_but(&mut world, is_own), 1);
    for arrived in world.take(&mut ue) {
        match arrived.message.status() {
            0 => world.accept(&mut ue, &arrived.message),
            _ => ue.accepted(&arrived.message),
        }
    }
    pass_but(&mut world, is_own);
    (world, ue)
}

#[test]
fn an_own_subscription_that_is_lost_is_tried_thrice_and_then_the_connection_ends() {
    let (mut world, _) = without_identities();
    // Nor does the S-CSCF get through, which ends the connection after the first attempt's time.
    let is_notify = |text: &Text| text.status() == 0 && text.method() == "NOTIFY";
    for _ in 0..110 {
        world.advance(seconds(1));
        pass_but(&mut world, |text| is_own(text) || is_notify(text));
    }
    assert_eq!(world.counter("own_subscription_failed"), 3);
    let asked = world.mw_between(world.pcscf_mw, world.scscf_mw);
    let asked = asked.iter().filter(|text| is_own(text)).count();
    assert!((4..40).contains(&asked), "bounded: {asked}");
    assert_eq!((world.tables().pcscf.sets, world.tables().pcscf.connections), (0, 0));
    // The S-CSCF hears of it with its NOTIFY's next copy: 430, and the connection ends there too.
    world.mw_held = false;
    world.advance(seconds(5));
    let answers = world.mw_between(world.pcscf_mw, world.scscf_mw);
    assert_eq!(answers.last().map(Text::status), Some(430));
    assert_eq!(world.tables().scscf.subscriptions, 0);
    world.advance(seconds(400));
    world.assert_empty();
}

#[test]
fn an_own_subscription_that_is_refused_is_tried_thrice_and_then_the_connection_ends() {
    let mut world = World::new(Layout::Apart);
    let mut ue = world.ue(1);
    world.begin(&mut ue);
    world.mw_held = true;
    let answer = ue.answer();
    world.sealed(&mut ue, &answer);
    let mut refused = 0;
    for _ in 0..10 {
        while let Some(wire) = world.mw_waiting.front().cloned() {
            let text = Text::parse(&wire.bytes);
            if is_own(&text) {
                world.mw_waiting.pop_front();
                refused += 1;
                let answer = ue.respond(&text, 403).to_bytes();
                world.datagram(wire.to, wire.from, &answer);
            } else {
                world.pass_held(0);
            }
        }
        let received = world.take(&mut ue);
        for notify in received.iter().filter(|arrived| arrived.message.status() == 0) {
            world.accept(&mut ue, &notify.message);
        }
        world.advance(seconds(1));
    }
    assert_eq!((refused, world.counter("own_subscription_failed")), (3, 3));
    assert_eq!((world.tables().pcscf.sets, world.tables().pcscf.connections), (0, 0));
}

#[test]
fn requests_wait_for_the_identities() {
    let mut world = World::new(Layout::Apart);
    let mut ue = world.ue(1);
    world.begin(&mut ue);
    world.mw_held = true;
    let answer = ue.answer();
    world.sealed(&mut ue, &answer);
    // Until the P-CSCF's own SUBSCRIBE waits.
    while !world.mw_waiting.front().is_some_and(|wire| is_own(&Text::parse(&wire.bytes))) {
        world.pass_held(0);
    }
    for arrived in world.take(&mut ue) {
        match arrived.message.status() {
            0 => world.accept(&mut ue, &arrived.message),
            _ => ue.accepted(&arrived.message),
        }
    }
    let impu = ue.impu.clone();
    let register = ue.register(&impu, 3600);
    let mark = world.mw.len();
    world.sealed(&mut ue, &register);
    assert_eq!(world.counter("requests_held"), 1);
    assert_eq!(world.mw.len(), mark, "nothing goes on");
    // The same again waits once.
    world.sealed(&mut ue, &register);
    assert_eq!(world.counter("requests_held"), 1);
    world.mw_held = false;
    world.pass_held(0);
    let arrived = world.take_one(&mut ue).message;
    assert_eq!((arrived.status(), arrived.method()), (200, "REGISTER"));
    assert_eq!(world.counter("identities_unknown"), 0);
}

#[test]
fn requests_do_not_wait_for_ever() {
    let (mut world, mut ue) = without_identities();
    let impu = ue.impu.clone();
    for number in 1..=5 {
        let register = ue.register(&impu, 3600);
        world.sealed(&mut ue, &register);
        let refused = world.take(&mut ue);
        assert_eq!(refused.len(), usize::from(number == 5), "four wait, a fifth does not");
        assert!(refused.iter().all(|arrived| arrived.message.status() == 503));
    }
    for _ in 0..4 {
        assert!(world.take(&mut ue).is_empty());
        world.advance(seconds(1));
        pass_but(&mut world, is_own);
    }
    let refused = world.take(&mut ue);
    assert_eq!(refused.len(), 4);
    for arrived in refused {
        assert_eq!((arrived.message.status(), arrived.message.method()), (503, "REGISTER"));
        assert!(arrived.message.expect("Retry-After").parse::<u32>().unwrap() > 0);
    }
    assert_eq!((world.counter("requests_held"), world.counter("identities_unknown")), (4, 5));
    assert_eq!(world.tables().scscf.bindings, 0);
}

#[test]
fn without_what_a_register_carries_there_is_no_challenge() {
    // The headers of IMS AKA and of the security agreement are those of REGISTER (TS 24.229 clause 5.1.1.2.2).
    let mut scene = Scene::new();
    let refusals: [(&str, u16); 4] = [
        ("Authorization", 403),
        ("Security-Client", 494),
        ("Require", 421),
        ("Proxy-Require", 421),
    ];
    for (header, status) in refusals {
        let mut ue = scene.world.ue(3);
        let first = ue.first(Credentials::Name).without(header);
        assert_eq!(scene.world.ask_plain(&mut ue, &first).status(), status, "{header}");
        assert_eq!(scene.world.counter("challenges"), 2, "{header}");
    }
    scene.unharmed();
}
