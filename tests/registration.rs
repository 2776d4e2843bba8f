//! Registration with AKA: today's way to a secure connection (TS 24.229 clauses 5.1.1, 5.2.2 and 5.4.1), and what it does to sessions when
//! a UE registers anew from elsewhere (the paper's section 2, Figure 1).

use std::net::{IpAddr, SocketAddr};

use imstorm_base::time::seconds;
use imstorm_cscf::operator::Command;
use imstorm_engine::tables::Table;
use imstorm_esp::Suite;
use tests::message::{Changes, parameter};
use tests::ue::{EXPIRES_S, bare_uri};
use tests::{Credentials, Layout, ScriptedUe, Text, World};

const LAYOUTS: [Layout; 3] = [Layout::Together, Layout::Apart, Layout::Each];

/// Where the user's second access is.
fn elsewhere() -> IpAddr {
    "127.16.1.1".parse().expect("an address")
}

fn registered(layout: Layout) -> (World, ScriptedUe, Text) {
    let mut world = World::new(layout);
    let mut ue = world.ue(1);
    let ok = world.register(&mut ue);
    (world, ue, ok)
}

/// A connection that rests on a registration still works, in all tables.
fn works(world: &mut World, ue: &mut ScriptedUe) {
    let again = ue.register_again(EXPIRES_S);
    let ok = world.ask(ue, &again);
    assert_eq!(ok.status(), 200, "{ok}");
    ue.registered(&ok);
}

fn send_to_self(world: &mut World, ue: &mut ScriptedUe) {
    let to = ue.tel();
    let message = ue.message(&to, None);
    world.sealed(ue, &message);
    let came = world.take_one(ue).message;
    assert_eq!(came.method(), "MESSAGE", "{came}");
    world.accept(ue, &came);
    assert_eq!(world.take_one(ue).message.status(), 200);
}

/// Whether the body of a reg event's NOTIFY says this of a contact at `at`.
fn says(notify: &Text, at: SocketAddr, event: &str) -> bool {
    let contact = format!("event=\"{event}\"");
    notify.body.contains(&contact) && notify.body.contains(&format!("<uri>sip:{at}</uri>"))
}

#[test]
fn a_registration_sets_up_security_hop_by_hop() {
    for layout in [Layout::Apart, Layout::Each] {
        let mut world = World::new(layout);
        let mut ue = world.ue(1);
        let first = ue.register_first(Credentials::Name);
        let challenge = world.ask_plain(&mut ue, &first);
        let sent = world.mw_between(world.pcscf_mw, world.icscf_mw).remove(0);
        Changes::between(&first, &sent).assert_are(
            &["Proxy-Require", "Security-Client"],
            &["P-Charging-Vector", "P-Visited-Network-ID", "Path", "Via"],
            &["Authorization", "Max-Forwards", "Require"],
        );
        assert_eq!(sent.all("Require"), ["path"]);
        assert!(sent.expect("Authorization").ends_with("integrity-protected=\"no\""), "{sent}");
        assert!(sent.expect("Path").ends_with(&format!("@{};lr>", world.pcscf_mw)), "{sent}");
        // The keys go as far as the P-CSCF.
        let told = world.mw_between(world.icscf_mw, world.pcscf_mw).remove(0);
        for key in ["ik", "ck"] {
            assert!(parameter(told.expect("WWW-Authenticate"), key).is_some(), "{told}");
            assert_eq!(parameter(challenge.expect("WWW-Authenticate"), key), None, "{challenge}");
        }
        assert_eq!(told.header("Security-Server"), None);
        assert!(challenge.header("Security-Server").is_some());
        ue.challenge(&challenge).expect("a challenge that the USIM accepts");

        let answer = ue.register_answer();
        let ok = world.ask(&mut ue, &answer);
        let sent = world.mw_between(world.pcscf_mw, world.icscf_mw).remove(1);
        Changes::between(&answer, &sent).assert_are(
            &["Proxy-Require", "Security-Client", "Security-Verify"],
            &["P-Charging-Vector", "P-Visited-Network-ID", "Path", "Via"],
            &["Authorization", "Max-Forwards", "Require"],
        );
        assert!(sent.expect("Authorization").ends_with("integrity-protected=\"yes\""), "{sent}");
        assert_eq!(ok.status(), 200, "{ok}");
        let identities = [format!("<{}>", ue.impu), format!("<{}>", ue.tel())];
        assert_eq!(ok.all("P-Associated-URI"), identities, "the default one first");
        let route = ok.expect("Service-Route");
        let at = format!("<sip:{};sess=", world.scscf_mw);
        assert!(route.starts_with(&at) && route.ends_with(";lr>"), "{route}");
        assert_eq!(parameter(ok.expect("Contact"), "expires"), Some("600"));
        assert_eq!(ok.all("Path"), sent.all("Path"));
        ue.registered(&ok);
        send_to_self(&mut world, &mut ue);
    }
}

#[test]
fn the_pcscf_watches_the_registration() {
    let (world, ue, ok) = registered(Layout::Apart);
    let sent = world.mw_between(world.pcscf_mw, world.scscf_mw);
    let subscribe = sent.iter().find(|text| text.method() == "SUBSCRIBE" && text.status() == 0);
    let subscribe = subscribe.expect("a SUBSCRIBE");
    assert_eq!(subscribe.uri(), ue.impu);
    assert_eq!(subscribe.all("Event"), ["reg"]);
    assert_eq!(subscribe.all("Accept"), ["application/reginfo+xml"]);
    assert_eq!(subscribe.all("Route"), ok.all("Service-Route"));
    assert_eq!(subscribe.all("Expires"), ["1200"]);
    let own = format!("<sip:{}>", world.pcscf_mw);
    assert_eq!(subscribe.all("P-Asserted-Identity"), [own.as_str()]);
    assert_eq!(subscribe.header("Authorization"), None);
    let told = world.mw_between(world.scscf_mw, world.pcscf_mw);
    let notify = told.iter().find(|text| text.method() == "NOTIFY" && text.status() == 0);
    let notify = notify.expect("a NOTIFY");
    assert!(says(notify, ue.at(ue.port_us()), "registered"), "{notify}");
    assert!(notify.expect("Subscription-State").starts_with("active;expires="), "{notify}");
}

#[test]
fn all_identities_are_bound_and_the_tables_say_so() {
    for layout in LAYOUTS {
        let (mut world, mut ue, _) = registered(layout);
        let tables = world.tables();
        assert_eq!((tables.pcscf.connections, tables.pcscf.sets), (1, 1));
        assert_eq!((tables.scscf.bindings, tables.scscf.challenges), (2, 0));
        assert_eq!(world.counter("aka_registrations_made"), 1);
        assert_eq!(world.counter("subscriptions_made"), 0);
        // By each of them it is reached.
        let (mut other, first) = (world.ue(2), ue.impu.clone());
        world.register(&mut other);
        for to in [first, ue.tel()] {
            let message = other.message(&to, None);
            world.sealed(&mut other, &message);
            let came = world.take_one(&mut ue).message;
            assert_eq!(came.expect("P-Called-Party-ID"), format!("<{to}>"));
            world.accept(&mut ue, &came);
            assert_eq!(world.take_one(&mut other).message.status(), 200);
        }
        works(&mut world, &mut ue);
    }
}

#[test]
fn calls_go_over_it_both_ways() {
    for layout in LAYOUTS {
        let (mut world, mut ue, _) = registered(layout);
        let mut other = world.ue(2);
        world.register(&mut other);
        let (mut mine, _) = world.call(&mut ue, &mut other);
        world.hang_up(&mut mine, &mut ue, &mut other);
        let (_, mut mine) = world.call(&mut other, &mut ue);
        world.hang_up(&mut mine, &mut ue, &mut other);
        world.advance(seconds(300));
        assert_eq!(world.tables().scscf.sessions, 0);
        assert_eq!(world.tables().pcscf.transactions, 0);
    }
}

#[test]
fn a_registration_from_elsewhere_ends_the_earlier_one_with_its_sessions() {
    for layout in [Layout::Together, Layout::Apart] {
        let mut world = World::with_two_pcscfs(layout);
        let (mut ue, mut other) = (world.ue(1), world.ue(2));
        world.register(&mut ue);
        world.secure(&mut other);
        let theirs = other.impu.clone();
        world.bind(&mut other, &theirs);
        let impu = ue.impu.clone();
        world.watch(&mut ue, &impu);
        world.call(&mut ue, &mut other);

        let mut second = world.register_from(&ue, elsewhere(), 1);
        // Both ends of the call are told, and the old connection's watcher, over the old security associations.
        let at_other = world.messages(&mut other);
        assert_eq!(at_other.iter().map(Text::method).collect::<Vec<_>>(), ["BYE"]);
        world.accept(&mut other, &at_other[0]);
        let at_old = world.messages(&mut ue);
        let methods: Vec<&str> = at_old.iter().map(Text::method).collect();
        assert_eq!(methods, ["BYE", "NOTIFY"]);
        let (old, new) = (ue.at(ue.port_us()), second.at(second.port_us()));
        assert!(says(&at_old[1], old, "deactivated"), "{}", at_old[1]);
        assert!(says(&at_old[1], new, "registered"), "{}", at_old[1]);
        assert_eq!(at_old[1].expect("Subscription-State"), "terminated;reason=deactivated");
        assert_eq!(world.tables().pcscf.sets, 3, "until it has answered");
        for request in &at_old {
            world.accept(&mut ue, request);
        }
        assert_eq!(world.counter("aka_registrations_overridden"), 1);
        assert_eq!(world.counter("sessions_released"), 1);
        // The old security associations are gone: of two connections one is the other user's.
        assert_eq!(world.tables().pcscf.connections, 2);
        assert_eq!(world.tables().pcscf.sets, 2);
        let late = ue.message(&theirs, None);
        let unknown = world.counter("esp_unknown_spi");
        world.sealed(&mut ue, &late);
        assert_eq!(world.counter("esp_unknown_spi"), unknown + 1);
        // The new one works.
        assert_eq!(world.tables().scscf.bindings, 3);
        send_to_self(&mut world, &mut second);
        world.call(&mut second, &mut other);
    }
}

#[test]
fn a_registration_anew_from_the_same_address_takes_the_place_of_the_earlier_one() {
    for layout in LAYOUTS {
        let (mut world, mut ue, _) = registered(layout);
        ue.new_call();
        world.register(&mut ue);
        assert_eq!(world.counter("aka_registrations_overridden"), 1);
        let tables = world.tables();
        assert_eq!((tables.pcscf.connections, tables.scscf.bindings), (1, 2));
        send_to_self(&mut world, &mut ue);
    }
}

#[test]
fn it_is_prolonged_without_a_challenge() {
    for layout in LAYOUTS {
        let (mut world, mut ue, _) = registered(layout);
        for _ in 0..3 {
            world.advance(seconds(500));
            works(&mut world, &mut ue);
        }
        assert_eq!(world.counter("challenges"), 1);
        assert_eq!(world.counter("aka_registrations_refreshed"), 3);
        assert_eq!(world.tables().pcscf.sets, 1);
        send_to_self(&mut world, &mut ue);
        // The security associations live for as long as the contact, and their grace.
        world.advance(seconds(599));
        assert_eq!(world.tables().pcscf.sets, 1);
    }
}

#[test]
fn another_call_id_prolongs_it_too() {
    let (mut world, mut ue, _) = registered(Layout::Apart);
    ue.new_call();
    works(&mut world, &mut ue);
    assert_eq!(world.counter("aka_registrations_made"), 1);
    assert_eq!(world.counter("aka_registrations_refreshed"), 1);
}

#[test]
fn the_network_has_it_authenticated_again() {
    for layout in LAYOUTS {
        let (mut world, mut ue, _) = registered(layout);
        let impu = ue.impu.clone();
        world.watch(&mut ue, &impu);
        let impi = ue.impi.clone().into_bytes();
        world.operate(&Command::Shorten { impi, expires_s: 60 }).expect("a user who is there");
        let told = world.notifies(&mut ue, "reg").pop().expect("a NOTIFY");
        assert!(says(&told, ue.at(ue.port_us()), "shortened"), "{told}");
        assert!(told.body.contains("expires=\"60\""), "{told}");

        let again = ue.register_again(EXPIRES_S);
        let challenge = world.ask(&mut ue, &again);
        assert_eq!(challenge.status(), 401, "{challenge}");
        assert_eq!(world.tables().pcscf.sets, 2, "the live set, and the temporary one");
        ue.challenge(&challenge).expect("a challenge that the USIM accepts");
        let answer = ue.register_answer();
        world.sealed(&mut ue, &answer);
        let mut arrived = world.take(&mut ue);
        // Where the I-CSCF stands apart, the 200 has one hop more than the NOTIFY.
        arrived.sort_by_key(|arrived| arrived.message.status() == 0);
        assert_eq!(arrived[0].set, Some(1), "on the new set");
        let ok = &arrived[0].message;
        assert_eq!(ok.status(), 200, "{ok}");
        assert_eq!(parameter(ok.expect("Contact"), "expires"), Some("600"));
        ue.registered(ok);
        let notify = &arrived[1].message;
        assert!(says(notify, ue.at(ue.port_us()), "refreshed"), "{notify}");
        world.accept(&mut ue, notify);
        assert_eq!(world.counter("reauthenticated"), 1);
        // The full lifetime again, at both.
        world.advance(seconds(590));
        send_to_self(&mut world, &mut ue);
        assert_eq!(world.tables().pcscf.sets, 1, "the old one is gone");
        // Once authenticated, it is not challenged again.
        let again = ue.register_again(EXPIRES_S);
        world.sealed(&mut ue, &again);
        assert!(world.messages(&mut ue).iter().any(|text| text.status() == 200));
        assert_eq!(world.counter("challenges"), 2);
    }
}

#[test]
fn who_answers_no_challenge_is_given_one_and_has_to_answer_it() {
    let (mut world, mut ue, _) = registered(Layout::Apart);
    let home = "sip:ims.example";
    let name = ue.authorization_for("REGISTER", home, Credentials::Name);
    let bare = ue.register_again(EXPIRES_S).with("Authorization", &name);
    let challenge = world.ask(&mut ue, &bare);
    assert_eq!(challenge.status(), 401, "{challenge}");
    assert_eq!(world.tables().pcscf.sets, 2, "the live set, and the temporary one");
    // Until it is answered rightly nothing is prolonged, and nothing else is taken for an answer.
    let again = ue.register_again(EXPIRES_S);
    let challenge = world.ask(&mut ue, &again);
    assert_eq!(challenge.status(), 401, "{challenge}");
    assert_eq!(world.counter("aka_registrations_refreshed"), 0);
    ue.challenge(&challenge).expect("a challenge that the USIM accepts");
    let answer = ue.register_answer();
    world.sealed(&mut ue, &answer);
    let ok = world.messages(&mut ue).into_iter().find(|text| text.status() == 200);
    ue.registered(&ok.expect("a 200"));
    assert_eq!(world.counter("reauthenticated"), 1);
    assert_eq!(world.counter("aka_registrations_made"), 1);
    works(&mut world, &mut ue);
    assert_eq!(world.counter("aka_registrations_refreshed"), 2);
}

#[test]
fn a_lifetime_that_was_lowered_ends_it_unless_it_authenticates() {
    let (mut world, ue, _) = registered(Layout::Apart);
    let impi = ue.impi.into_bytes();
    world.operate(&Command::Shorten { impi, expires_s: 60 }).expect("a user who is there");
    world.advance(seconds(61));
    assert_eq!(world.tables().scscf.bindings, 0);
    world.advance(seconds(300));
    world.assert_empty();
}

#[test]
fn a_ue_deregisters() {
    for layout in LAYOUTS {
        for star in [false, true] {
            let (mut world, mut ue, _) = registered(layout);
            let impu = ue.impu.clone();
            world.watch(&mut ue, &impu);
            let mut other = world.ue(2);
            world.register(&mut other);
            world.call(&mut ue, &mut other);
            let mut leave = ue.register_again(0);
            if star {
                leave = leave.with("Contact", "*");
            }
            world.sealed(&mut ue, &leave);
            let mut came = world.messages(&mut ue);
            // Where the I-CSCF stands apart, the 200 has one hop more.
            came.sort_by_key(|text| text.status() == 0);
            assert_eq!(came[0].status(), 200, "{came:#?}");
            assert_eq!(came[0].header("Contact"), None, "{}", came[0]);
            let methods: Vec<&str> = came[1..].iter().map(Text::method).collect();
            assert_eq!(methods, ["BYE", "NOTIFY"]);
            assert!(says(&came[2], ue.at(ue.port_us()), "unregistered"), "{}", came[2]);
            assert_eq!(world.tables().pcscf.sets, 2, "until it has answered");
            for request in &came[1..] {
                world.accept(&mut ue, request);
            }
            assert_eq!(world.tables().scscf.bindings, 2, "the other user's");
            assert_eq!(world.tables().pcscf.sets, 2, "until Timer J is over");
            let bye = world.take_one(&mut other).message;
            assert_eq!(bye.method(), "BYE", "{bye}");
            world.accept(&mut other, &bye);
            let leave = other.register_again(0);
            assert_eq!(world.ask(&mut other, &leave).status(), 200);
            world.advance(seconds(400));
            world.assert_empty();
            assert_eq!(world.counter("aka_registrations_ended"), 2);
        }
    }
}

#[test]
fn it_expires_with_all_that_ran_over_it() {
    for layout in LAYOUTS {
        let (mut world, mut ue, _) = registered(layout);
        let mut other = world.ue(2);
        world.secure(&mut other);
        let theirs = other.impu.clone();
        world.bind(&mut other, &theirs);
        let impu = ue.impu.clone();
        world.watch(&mut ue, &impu);
        world.call(&mut ue, &mut other);
        world.advance(seconds(300));
        world.refresh(&mut other);
        world.advance(seconds(300));
        let came = world.messages(&mut ue);
        let methods: Vec<&str> = came.iter().map(Text::method).collect();
        assert_eq!(methods, ["BYE", "NOTIFY"], "{came:#?}");
        assert!(says(&came[1], ue.at(ue.port_us()), "expired"), "{}", came[1]);
        for request in &came {
            world.accept(&mut ue, request);
        }
        let bye = world.take_one(&mut other).message;
        assert_eq!(bye.method(), "BYE", "{bye}");
        world.accept(&mut other, &bye);
        assert_eq!((world.tables().pcscf.sets, world.tables().scscf.bindings), (1, 1));
    }
}

#[test]
fn an_operator_ends_it() {
    let (mut world, mut ue, _) = registered(Layout::Apart);
    let (impi, reason) = (ue.impi.clone().into_bytes(), imstorm_cscf::scscf::Reason::Rejected);
    world.operate(&Command::Terminate { impi, reason }).expect("a user who is there");
    assert!(world.take(&mut ue).is_empty(), "nothing that it had asked to be told of");
    world.assert_empty();
}

#[test]
fn registration_and_subscription_of_one_user_live_side_by_side() {
    for layout in [Layout::Together, Layout::Apart] {
        let mut world = World::with_two_pcscfs(layout);
        let mut ue = world.ue(1);
        world.secure(&mut ue);
        let impu = ue.impu.clone();
        world.bind(&mut ue, &impu);
        let mut second = world.register_from(&ue, elsewhere(), 1);
        assert!(world.take(&mut ue).is_empty(), "nothing of it is overridden");
        assert_eq!(world.tables().scscf.bindings, 3);
        // Another registration overrides the first one, and not what rests on a subscription.
        let third: IpAddr = "127.16.1.2".parse().expect("an address");
        let mut third = world.register_from(&second, third, 1);
        assert_eq!(world.counter("aka_registrations_overridden"), 1);
        assert_eq!(world.tables().scscf.bindings, 3);
        assert!(world.take(&mut second).is_empty());
        world.refresh(&mut ue);
        works(&mut world, &mut third);
        // The end of the one leaves the other.
        for notify in world.leave(&mut ue) {
            assert!(notify.status() == 200 || notify.method() == "NOTIFY", "{notify}");
        }
        assert_eq!(world.tables().scscf.bindings, 2);
        send_to_self(&mut world, &mut third);
    }
}

#[test]
fn a_wrong_response_is_refused_and_changes_nothing() {
    for layout in LAYOUTS {
        let mut world = World::new(layout);
        let mut ue = world.ue(1);
        world.begin_registration(&mut ue);
        let right = ue.res;
        ue.res = [7; 8];
        let answer = ue.register_answer();
        assert_eq!(world.ask(&mut ue, &answer).status(), 403);
        assert_eq!(world.counter("authentication_failed"), 1);
        assert_eq!(world.tables().scscf.bindings, 0);
        // The challenge still stands.
        ue.res = right;
        let answer = ue.register_answer();
        let ok = world.ask(&mut ue, &answer);
        assert_eq!(ok.status(), 200, "{ok}");
    }
}

#[test]
fn sequence_numbers_are_resynchronised() {
    for layout in LAYOUTS {
        let (mut world, mut ue, _) = registered(layout);
        // A USIM that is ahead of the network.
        let mut again = world.ue(1);
        again.new_call();
        again.freshness = ue.freshness.clone();
        let first = again.register_first(Credentials::Name);
        let challenge = world.ask_plain(&mut again, &first);
        again.challenge(&challenge).expect("a challenge that the USIM accepts");
        again.sets.clear();
        // The same challenge once more is out of range.
        let refusal = again.challenge(&challenge).expect_err("a number that was used");
        let imstorm_aka::Refusal::SqnOutOfRange { auts } = refusal else { panic!("{refusal:?}") };
        let first = again.register_first(Credentials::OutOfRange(auts));
        let challenge = world.ask_plain(&mut again, &first);
        assert_eq!(challenge.status(), 401, "{challenge}");
        assert_eq!(world.counter("resynchronised"), 1);
        again.challenge(&challenge).expect("a challenge that the USIM accepts");
        let answer = again.register_answer();
        assert_eq!(world.ask(&mut again, &answer).status(), 200);
        assert!(world.take(&mut ue).is_empty());
    }
}

#[test]
fn who_is_unknown_is_refused_before_any_challenge() {
    for layout in LAYOUTS {
        let mut world = World::new(layout);
        let mut ue = world.ue(1);
        let stranger = ue.register_first(Credentials::Name).with("To", "<sip:nobody@ims.example>");
        assert_eq!(world.ask_plain(&mut ue, &stranger).status(), 403);
        let nobody = ue.register_first(Credentials::Name);
        let nobody = nobody.altered("Authorization", "ue00000001@", "ue99999999@");
        assert_eq!(world.ask_plain(&mut ue, &nobody).status(), 403);
        assert_eq!((world.counter("identity_refused"), world.counter("challenges")), (2, 0));
        world.assert_empty();
    }
}

#[test]
fn too_short_a_registration_is_refused() {
    let mut world = World::new(Layout::Apart);
    let mut ue = world.ue(1);
    let first = ue.register_first(Credentials::Name).with("Expires", "59");
    let answer = world.ask_plain(&mut ue, &first);
    assert_eq!((answer.status(), answer.header("Min-Expires")), (423, Some("60")));
    world.assert_empty();
}

#[test]
fn without_an_agreement_there_is_no_registration() {
    let mut world = World::new(Layout::Apart);
    let mut ue = world.ue(1);
    let first = ue.register_first(Credentials::Name).without("Require");
    assert_eq!(world.ask_plain(&mut ue, &first).status(), 421);
    let first = ue.register_first(Credentials::Name).without("Security-Client");
    assert_eq!(world.ask_plain(&mut ue, &first).status(), 494);
    ue.suites = vec![Suite::ALL[0]];
    world.begin_registration(&mut ue);
    let altered = ue.register_answer().altered("Security-Verify", "q=0.9", "q=0.8");
    let sent = world.mw.len();
    assert_eq!(world.ask(&mut ue, &altered).status(), 494);
    assert_eq!(world.mw.len(), sent, "it goes no further");
    let answer = ue.register_answer();
    assert_eq!(world.ask(&mut ue, &answer).status(), 200);
}

#[test]
fn only_its_own_contact_and_way_are_taken() {
    let (mut world, mut ue, _) = registered(Layout::Apart);
    let theirs = ue.register_again(EXPIRES_S).with("Contact", "<sip:127.16.0.9:6101>");
    assert_eq!(world.ask(&mut ue, &theirs).status(), 403);
    assert_eq!(world.counter("contact_refused"), 1);
    let from = world.mw_between(world.pcscf_mw, world.icscf_mw).len();
    let lured = ue
        .register_again(EXPIRES_S)
        .and("Path", "<sip:127.16.0.9;lr>")
        .and("Route", "<sip:127.16.0.9;lr>")
        .and("Route", "<sip:127.16.0.10;lr>");
    assert_eq!(world.ask(&mut ue, &lured).status(), 200);
    let sent = world.mw_between(world.pcscf_mw, world.icscf_mw).remove(from);
    assert_eq!((sent.all("Path").len(), sent.all("Route").len()), (1, 0), "{sent}");
    // A SUBSCRIBE to the security state does not belong on it.
    let uri = ue.target.clone();
    let subscribe = ue.first(Credentials::Name).and("Security-Verify", "x");
    let subscribe = Text { start: format!("SUBSCRIBE {uri} SIP/2.0"), ..subscribe };
    assert_eq!(world.ask(&mut ue, &subscribe).status(), 403);
    works(&mut world, &mut ue);
    send_to_self(&mut world, &mut ue);
}

#[test]
fn a_register_that_comes_again_is_answered_again_and_done_once() {
    for layout in LAYOUTS {
        let mut world = World::new(layout);
        let mut ue = world.ue(1);
        let first = ue.register_first(Credentials::Name);
        let challenge = world.ask_plain(&mut ue, &first);
        let again = world.ask_plain(&mut ue, &first);
        assert_eq!(challenge.expect("WWW-Authenticate"), again.expect("WWW-Authenticate"));
        assert_eq!(challenge.expect("Security-Server"), again.expect("Security-Server"));
        ue.challenge(&challenge).expect("a challenge that the USIM accepts");
        let answer = ue.register_answer();
        let ok = world.ask(&mut ue, &answer);
        let again = world.ask(&mut ue, &answer);
        assert_eq!(ok.status(), 200, "{ok}");
        assert_eq!(ok.expect("Service-Route"), again.expect("Service-Route"));
        assert_eq!(bare_uri(ok.expect("Contact")), bare_uri(again.expect("Contact")));
        assert_eq!(world.counter("aka_registrations_made"), 1);
        assert_eq!(world.counter("registrations_made"), 2);
        assert_eq!(world.counter("challenges"), 1);
        assert_eq!((world.tables().pcscf.sets, world.tables().scscf.bindings), (1, 2));
    }
}

#[test]
fn a_pcscf_that_watches_no_more_costs_the_registration() {
    let (mut world, ue, _) = registered(Layout::Apart);
    world.cut_off = Some(world.pcscf_mw.ip());
    let impi = ue.impi.clone().into_bytes();
    world.operate(&Command::Shorten { impi, expires_s: 500 }).expect("a user who is there");
    world.advance(seconds(400));
    assert_eq!(world.tables().scscf.bindings, 0);
    assert_eq!(world.counter("unwatched_ended"), 1);
}

#[test]
fn identities_that_are_taken_away_end_it_with_the_last_one() {
    for layout in LAYOUTS {
        let (mut world, mut ue, _) = registered(layout);
        let mut other = world.ue(2);
        world.register(&mut other);
        let to = other.impu.clone();
        let remove = |ue: &ScriptedUe, impu: &str| Command::RemoveIdentity {
            impi: ue.impi.clone().into_bytes(),
            impu: impu.as_bytes().to_vec(),
        };
        let (default, tel) = (ue.impu.clone(), ue.tel());
        world.operate(&remove(&ue, &default)).expect("an identity that is there");
        assert_eq!(world.tables().scscf.bindings, 3);
        // The P-CSCF asserts what the last 200 has told it; the S-CSCF knows better.
        let message = ue.message(&to, Some(&default));
        assert_eq!(world.ask(&mut ue, &message).status(), 403);
        let message = ue.message(&to, Some(&tel));
        world.sealed(&mut ue, &message);
        let came = world.take_one(&mut other).message;
        world.accept(&mut other, &came);
        assert_eq!(world.take_one(&mut ue).message.status(), 200);
        world.operate(&remove(&ue, &tel)).expect("an identity that is there");
        assert_eq!((world.tables().scscf.bindings, world.tables().pcscf.connections), (2, 1));
        assert_eq!(world.counter("aka_registrations_ended"), 1);
    }
}

#[test]
fn a_refresh_binds_all_identities_or_changes_none() {
    let mut world =
        World::configured_twice(Layout::Apart, "", "simultaneous = \"connectivity-check\",", "");
    let mut ues = vec![world.ue(1)];
    world.register(&mut ues[0]);
    for place in 1..4 {
        let from = ues.last().expect("one");
        let ue = world.register_from(from, std::net::IpAddr::from([127, 16, 1, place]), 1);
        ues.push(ue);
    }
    // In XML each of these is a reference: the body for those who watch it has room for three bindings.
    let impu = format!("sip:{}@ims.example", "'".repeat(70));
    let impi = ues[0].impi.clone().into_bytes();
    let command = Command::AddIdentity { impi, impu: impu.into_bytes(), barred: false };
    world.operate(&command).expect("a user who is there");
    world.advance(seconds(100));
    let (last, before) = ues.split_last_mut().expect("four");
    let again = |world: &mut World, ue: &mut ScriptedUe| {
        let again = ue.register_again(600);
        world.sealed(ue, &again);
        let answers = world.messages(ue);
        answers.iter().map(Text::status).find(|status| *status > 0).expect("an answer")
    };
    for ue in before {
        assert_eq!(again(&mut world, ue), 200);
    }
    assert_eq!(world.tables().scscf.bindings, 4 * 2 + 3);
    let rows = world.show(Table::Bindings, None);
    assert_eq!(again(&mut world, last), 513);
    assert_eq!(world.show(Table::Bindings, None), rows);
}

#[test]
fn a_barred_identity_is_good_enough_to_register_by() {
    let barred = "sip:barred@ims.example";
    let mut world = World::new(Layout::Apart);
    let mut ue = world.ue(1);
    let command = Command::AddIdentity {
        impi: ue.impi.clone().into_bytes(),
        impu: barred.as_bytes().to_vec(),
        barred: true,
    };
    world.operate(&command).expect("a user who is there");
    let impu = std::mem::replace(&mut ue.impu, barred.to_owned());
    let ok = world.register(&mut ue);
    let identities = [format!("<{impu}>"), format!("<{}>", ue.tel())];
    assert_eq!(ok.all("P-Associated-URI"), identities);
    assert_eq!(parameter(ok.expect("Contact"), "expires"), Some("600"));
    assert_eq!(world.tables().scscf.bindings, 2, "none of the barred one");
    ue.impu = impu;
    send_to_self(&mut world, &mut ue);
}

#[test]
fn it_works_over_ipv6_and_where_tokens_change() {
    let mut world = World::with(Layout::Apart, "::1".parse().expect("an address"), "");
    let mut ue = world.ue(1);
    world.register(&mut ue);
    send_to_self(&mut world, &mut ue);
    let mut world = World::configured(Layout::Apart, "", "renew_token = true,");
    let mut ue = world.ue(1);
    let ok = world.register(&mut ue);
    works(&mut world, &mut ue);
    assert!(!ok.expect("Service-Route").contains(&ue.target), "another token");
    send_to_self(&mut world, &mut ue);
}

#[test]
fn an_operator_sees_what_connections_rest_on() {
    let (mut world, ue, _) = registered(Layout::Apart);
    let mut other = world.ue(2);
    world.secure(&mut other);
    let of = |ue: &ScriptedUe| world.show(Table::Subscriptions, Some(&ue.impi)).remove(0);
    assert_eq!(of(&ue)["made_by"], "registration");
    assert_eq!(of(&ue)["impu"], ue.impu.as_str());
    assert_eq!(of(&ue)["pcscf_expires_s"], 1200);
    assert_eq!(of(&other)["made_by"], "subscription");
}

#[test]
fn a_register_without_contact_asks_what_is_bound() {
    for layout in LAYOUTS {
        let (mut world, mut ue, _) = registered(layout);
        world.advance(seconds(100));
        let ask = ue.register_again(EXPIRES_S).without("Contact").without("Expires");
        let ok = world.ask(&mut ue, &ask);
        assert_eq!(parameter(ok.expect("Contact"), "expires"), Some("500"));
        assert_eq!(world.counter("aka_registrations_refreshed"), 0);
        send_to_self(&mut world, &mut ue);
        world.advance(seconds(501));
        assert_eq!((world.tables().scscf.bindings, world.tables().pcscf.sets), (0, 0));
    }
}

/// What a core other than ours may send: the P-CSCF's last NOTIFY, altered.
fn notify_pcscf(world: &mut World, cseq: u32, alter: impl FnOnce(Text) -> Text) {
    let told = world.mw_between(world.scscf_mw, world.pcscf_mw).into_iter();
    let mut notifies = told.filter(|text| text.method() == "NOTIFY" && text.status() == 0);
    let last = notifies.next_back().expect("a NOTIFY");
    let via = format!("{}x{cseq}", last.expect("Via"));
    let next = last.with("CSeq", &format!("{cseq} NOTIFY")).with("Via", &via);
    let next = alter(next.without("Content-Length"));
    world.datagram(world.scscf_mw, world.pcscf_mw, &next.to_bytes());
}

fn replaced(mut text: Text, from: &str, to: &str) -> Text {
    assert!(text.body.contains(from), "{text}");
    text.body = text.body.replacen(from, to, 2);
    text
}

#[test]
fn the_pcscf_ends_it_when_the_contact_is_bound_no_more() {
    let (mut world, mut ue, _) = registered(Layout::Apart);
    // About somebody else it need not care, nor about what it can't read.
    notify_pcscf(&mut world, 2, |text| replaced(text, "127.16.0.1:", "127.16.0.7:"));
    notify_pcscf(&mut world, 3, |text| replaced(text, "<reginfo", "<info"));
    assert_eq!((world.tables().pcscf.sets, world.counter("malformed")), (1, 1));
    // The subscription goes on, and says that the contact does not.
    let sent = world.mw_between(world.pcscf_mw, world.scscf_mw).len();
    let (bound, gone) =
        ("state=\"active\" event=\"registered\"", "state=\"terminated\" event=\"deactivated\"");
    notify_pcscf(&mut world, 4, |text| replaced(text, bound, gone));
    let own: Vec<Text> = world.mw_between(world.pcscf_mw, world.scscf_mw).split_off(sent);
    let leaves = own.iter().find(|text| text.method() == "SUBSCRIBE").expect("its end");
    assert_eq!(leaves.expect("Expires"), "0");
    assert_eq!(world.tables().scscf.bindings, 0, "nobody watches it any more");
    let again = ue.register_again(EXPIRES_S);
    assert_eq!(world.ask(&mut ue, &again).status(), 481);
    // The NOTIFYs that the S-CSCF never sent keep the P-CSCF from taking its last one.
    world.advance(seconds(260));
    world.assert_empty();
}

#[test]
fn the_pcscf_follows_the_contacts_lifetime() {
    let (mut world, _ue, _) = registered(Layout::Apart);
    notify_pcscf(&mut world, 2, |text| replaced(text, "expires=\"600\"", "expires=\"60\""));
    world.advance(seconds(89));
    assert_eq!(world.tables().pcscf.sets, 1);
    world.advance(seconds(2));
    assert_eq!(world.tables().pcscf.sets, 0, "60 s and the grace");
}

#[test]
fn nobody_disturbs_a_registration_in_its_users_name() {
    for layout in LAYOUTS {
        let (mut world, mut ue, _) = registered(layout);
        let mut third = world.ue(1);
        third.new_call();
        third.freshness = ue.freshness.clone();
        world.begin_registration(&mut third);
        // From elsewhere, and from its own address, in its own call.
        let mut thief = world.ue_at(1, elsewhere());
        for copied in [true, false] {
            if copied {
                (thief.call_id, thief.tag) = (third.call_id.clone(), third.tag.clone());
            } else {
                (thief.call_id, thief.tag) = (ue.call_id.clone(), ue.tag.clone());
            }
            thief.cseq = 100;
            let first = thief.register_first(Credentials::Name);
            assert_eq!(world.ask_plain(&mut thief, &first).status(), 401);
            let leave = thief.register_first(Credentials::Name).with("Expires", "0");
            assert_eq!(world.ask_plain(&mut thief, &leave).status(), 401);
        }
        works(&mut world, &mut ue);
        let answer = third.register_answer();
        world.sealed(&mut third, &answer);
        let ok = world.take(&mut third).remove(0).message;
        assert_eq!(ok.status(), 200, "{ok}");
    }
}

#[test]
fn any_datagram_on_mw_may_be_lost_or_come_twice() {
    let datagrams = registered(Layout::Each).0.mw.len();
    assert_eq!(datagrams, 12);
    for number in 0..datagrams {
        for is_lost in [true, false] {
            let mut world = World::new(Layout::Each);
            let fault = Some(number);
            if is_lost {
                world.mw_lost = fault;
            } else {
                world.mw_doubled = fault;
            }
            let mut ue = world.ue(1);
            let first = ue.register_first(Credentials::Name);
            world.plain(&ue, &first);
            let challenge = answer_to(&mut world, &mut ue);
            ue.challenge(&challenge).expect("a challenge that the USIM accepts");
            let answer = ue.register_answer();
            world.sealed(&mut ue, &answer);
            let ok = answer_to(&mut world, &mut ue);
            assert_eq!(ok.status(), 200, "{number} {is_lost}: {ok}");
            ue.registered(&ok);
            world.advance(seconds(32));
            send_to_self(&mut world, &mut ue);
            let leave = ue.register_again(0);
            assert_eq!(world.ask(&mut ue, &leave).status(), 200);
            for (counter, times) in [
                ("challenges", 1),
                ("setups_begun", 1),
                ("aka_registrations_made", 1),
                ("aka_registrations_ended", 1),
                ("connections_made", 1),
                ("registrations_made", 2),
                ("own_subscription_failed", 0),
                ("unwatched_ended", 0),
            ] {
                assert_eq!(world.counter(counter), times, "{number} {is_lost}: {counter}");
            }
            world.advance(seconds(600));
            world.assert_empty();
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
fn a_way_that_is_used_again_is_no_answer_to_a_challenge() {
    for layout in [Layout::Apart, Layout::Each] {
        let (mut world, mut ue, _) = registered(layout);
        let way = world.mw_between(world.pcscf_mw, world.icscf_mw)[0].expect("Path").to_owned();
        world.restart_pcscf();
        ue.sets.clear();
        ue.new_call();
        world.begin_registration(&mut ue);
        let right = std::mem::replace(&mut ue.res, [7; 8]);
        let wrong = ue.register_answer();
        assert_eq!(world.ask(&mut ue, &wrong).status(), 403);
        assert_eq!(world.counter("authentication_failed"), 1);
        ue.res = right;
        let answer = ue.register_answer();
        let ok = world.ask(&mut ue, &answer);
        assert_eq!(ok.status(), 200, "{ok}");
        assert_eq!(ok.expect("Path"), way, "the S-CSCF knows this way from before");
        ue.registered(&ok);
        assert_eq!(world.counter("aka_registrations_made"), 2);
        assert_eq!(world.counter("aka_registrations_overridden"), 1);
        send_to_self(&mut world, &mut ue);
        works(&mut world, &mut ue);
        // The one before is forgotten when its P-CSCF does not answer for it.
        world.advance(seconds(300));
        assert_eq!(world.counter("aka_registrations_ended"), 1);
        works(&mut world, &mut ue);
    }
}

#[test]
fn an_access_that_is_gone_is_cleared_when_its_user_registers_elsewhere() {
    for layout in [Layout::Together, Layout::Apart] {
        let mut world = World::with_two_pcscfs(layout);
        let (mut ue, mut other) = (world.ue(1), world.ue(2));
        world.register(&mut ue);
        world.register(&mut other);
        let impu = ue.impu.clone();
        world.watch(&mut ue, &impu);
        world.call(&mut ue, &mut other);
        world.cut_off = Some(ue.ip);
        let mut second = world.register_from(&ue, elsewhere(), 1);
        let bye = world.take_one(&mut other).message;
        assert_eq!(bye.method(), "BYE", "{bye}");
        world.accept(&mut other, &bye);
        // The P-CSCF says the NOTIFY and the BYE again for as long as it may.
        assert_eq!(world.tables().pcscf.sets, 3);
        world.advance(seconds(160));
        assert_eq!(world.tables().pcscf.sets, 2);
        assert_eq!(world.tables().scscf.reg_subscriptions, 0);
        send_to_self(&mut world, &mut second);
        works(&mut world, &mut other);
    }
}

#[test]
fn a_registration_anew_lives_for_as_long_as_it_is_granted() {
    for layout in LAYOUTS {
        let (mut world, mut ue, _) = registered(layout);
        world.advance(seconds(500));
        ue.new_call();
        let ok = world.register(&mut ue);
        assert_eq!(ok.all("Contact").len(), 1, "{ok}");
        assert_eq!(parameter(ok.expect("Contact"), "expires"), Some("600"));
        world.advance(seconds(590));
        assert_eq!(world.counter("unwatched_ended"), 0);
        send_to_self(&mut world, &mut ue);
    }
}

/// How often the last NOTIFY to a P-CSCF tells of a contact.
fn contacts_told(world: &World) -> usize {
    let notifies = world.mw.iter().map(|wire| Text::parse(&wire.bytes));
    let mut notifies = notifies.filter(|text| {
        text.method() == "NOTIFY" && text.status() == 0 && text.header("Event") == Some("reg")
    });
    notifies.next_back().expect("a NOTIFY").body.matches("<uri>").count()
}

#[test]
fn another_access_with_the_same_address_misleads_no_pcscf() {
    let mut world = World::with_two_pcscfs(Layout::Apart);
    let mut first = world.ue(1);
    world.secure(&mut first);
    let impu = first.impu.clone();
    world.bind(&mut first, &impu);
    world.advance(seconds(300));
    let mut ue = world.register_from(&first, first.ip, 1);
    let again = ue.register_again(EXPIRES_S);
    let ok = world.ask(&mut ue, &again);
    let lifetimes: Vec<_> = ok.all("Contact").iter().map(|it| parameter(it, "expires")).collect();
    assert_eq!(lifetimes, [Some("600"), Some("3300")], "its own first: {ok}");
    assert_eq!(contacts_told(&world), 1, "of its own");
    let leave = ue.register_again(0);
    let ok = world.ask(&mut ue, &leave);
    assert_eq!((ok.status(), ok.header("Contact")), (200, None), "{ok}");
    world.advance(seconds(200));
    assert_eq!((world.tables().pcscf.sets, world.tables().scscf.bindings), (1, 1));
}

#[test]
fn a_deregistration_whose_200_was_lost_is_answered_again() {
    for layout in LAYOUTS {
        let (mut world, mut ue, _) = registered(layout);
        let leave = ue.register_again(0);
        world.sealed(&mut ue, &leave);
        assert_eq!(world.take_wires(ue.ip).len(), 1, "which gets lost");
        let sent = world.mw.len();
        for _ in 0..2 {
            world.advance(seconds(60));
            let ok = world.ask(&mut ue, &leave);
            assert_eq!((ok.status(), ok.header("Contact")), (200, None), "{ok}");
            assert_eq!(ok.expect("CSeq"), leave.expect("CSeq"));
        }
        assert_eq!(world.mw.len(), sent, "the core has answered once");
        let another = ue.register_again(EXPIRES_S);
        assert_eq!(world.ask(&mut ue, &another).status(), 481);
        let message = ue.message(&ue.tel(), None);
        assert_eq!(world.ask(&mut ue, &message).status(), 481);
        world.advance(seconds(9));
        assert_eq!(world.tables().pcscf.sets, 0, "Timer J is over");
        world.advance(seconds(300));
        world.assert_empty();
    }
}

#[test]
fn who_leaves_and_comes_back_finds_room() {
    let mut world = World::new(Layout::Apart);
    let mut ue = world.ue(1);
    for _ in 0..20 {
        world.register(&mut ue);
        let leave = ue.register_again(0);
        assert_eq!(world.ask(&mut ue, &leave).status(), 200);
        ue.sets.clear();
        ue.new_call();
    }
    world.register(&mut ue);
    send_to_self(&mut world, &mut ue);
    world.advance(seconds(200));
    assert_eq!(world.tables().pcscf.sets, 1);
}

/// The user's connections by subscription at other addresses, over each of which `impu` is bound to a contact with such a name.
fn bound_elsewhere(world: &mut World, ue: &ScriptedUe, impu: &str, names: &[&str]) -> ScriptedUe {
    let mut last = ue.freshness.clone();
    for (at, name) in (10..).zip(names) {
        let mut other = world.ue_at(1, IpAddr::from([127, 16, 1, at]));
        other.freshness = last;
        world.secure(&mut other);
        let contact = format!("<sip:{name}@{}>;x={name}", other.at(other.port_us()));
        let bind = other.register(impu, EXPIRES_S).with("Contact", &contact);
        let ok = world.ask(&mut other, &bind);
        assert_eq!(ok.status(), 200, "{ok}");
        last = other.freshness;
    }
    let mut ue = world.ue_at(1, ue.ip);
    ue.freshness = last;
    ue
}

#[test]
fn a_registration_is_not_refused_for_what_it_overrides() {
    for layout in LAYOUTS {
        let mut world = World::new(layout);
        let ue = world.ue(1);
        let impu = ue.impu.clone();
        let mut ue = bound_elsewhere(&mut world, &ue, &impu, &["a", "b", "c", "d", "e"]);
        world.register(&mut ue);
        assert_eq!(world.tables().scscf.bindings, 7);
        let mut second = world.register_from(&ue, elsewhere(), 0);
        assert_eq!(world.counter("aka_registrations_overridden"), 1);
        assert_eq!(world.tables().scscf.bindings, 7);
        works(&mut world, &mut second);
    }
}

#[test]
fn a_pcscf_goes_on_hearing_when_the_identity_that_it_watched_is_taken_away() {
    let (mut world, ue, _) = registered(Layout::Apart);
    let impi = ue.impi.clone().into_bytes();
    let remove = Command::RemoveIdentity { impi: impi.clone(), impu: ue.impu.clone().into_bytes() };
    world.operate(&remove).expect("an identity that is there");
    let sent = world.mw_between(world.scscf_mw, world.pcscf_mw).len();
    world.operate(&Command::Shorten { impi, expires_s: 60 }).expect("a user who is there");
    let told = world.mw_between(world.scscf_mw, world.pcscf_mw).split_off(sent);
    let notify = told.iter().find(|text| text.method() == "NOTIFY").expect("a NOTIFY");
    assert!(notify.body.contains("expires=\"60\""), "{notify}");
}

/// Lets held Mw datagrams pass until the P-CSCF's own SUBSCRIBE comes, which is taken out. The S-CSCF's NOTIFYs are lost: the test is the
/// notifier.
fn own_subscribe(world: &mut World) -> Text {
    while let Some(wire) = world.mw_waiting.front() {
        let text = Text::parse(&wire.bytes);
        if text.method() == "SUBSCRIBE" && text.status() == 0 {
            world.mw_waiting.pop_front();
            return text;
        }
        if text.method() == "NOTIFY" {
            world.mw_waiting.pop_front();
            continue;
        }
        world.pass_held(0);
    }
    panic!("no SUBSCRIBE");
}

/// Another core's answer to the P-CSCF's own SUBSCRIBE.
fn answer_own(world: &mut World, subscribe: &Text, status: u16) {
    let mut answer = Text { start: format!("SIP/2.0 {status} Whatever"), ..subscribe.clone() };
    answer.body.clear();
    let mut answer = ["Route", "Max-Forwards", "P-Asserted-Identity", "Accept", "Event"]
        .iter()
        .fold(answer, |answer, name| answer.without(name));
    if parameter(subscribe.expect("To"), "tag").is_none() {
        answer = answer.with("To", &format!("{};tag=another", subscribe.expect("To")));
    }
    let answer = answer.with("Contact", &format!("<sip:another@{}>", world.scscf_mw));
    world.datagram(world.scscf_mw, world.pcscf_mw, &answer.to_bytes());
}

#[test]
fn a_pcscf_whose_dialog_is_forgotten_begins_another() {
    for is_there in [true, false] {
        let (mut world, mut ue, _) = registered(Layout::Apart);
        world.mw_held = true;
        let again = ue.register_again(EXPIRES_S);
        world.sealed(&mut ue, &again);
        let refresh = own_subscribe(&mut world);
        assert!(parameter(refresh.expect("To"), "tag").is_some(), "{refresh}");
        answer_own(&mut world, &refresh, 481);
        let anew = own_subscribe(&mut world);
        assert_eq!(parameter(anew.expect("To"), "tag"), None, "{anew}");
        assert_ne!(anew.expect("Call-ID"), refresh.expect("Call-ID"));
        assert_eq!((anew.uri(), anew.expect("Expires")), (ue.impu.as_str(), "1200"));
        assert_eq!(anew.all("Route").len(), 1, "the service route: {anew}");
        assert_eq!(world.messages(&mut ue)[0].status(), 200);
        if !is_there {
            answer_own(&mut world, &anew, 481);
            assert!(world.mw_waiting.is_empty());
            assert_eq!(world.tables().pcscf.sets, 0);
            continue;
        }
        answer_own(&mut world, &anew, 200);
        assert_eq!(world.tables().pcscf.sets, 1);
        // From now on it has this dialog, and another chance.
        for status in [200, 481] {
            let again = ue.register_again(EXPIRES_S);
            world.sealed(&mut ue, &again);
            let refresh = own_subscribe(&mut world);
            assert_eq!(parameter(refresh.expect("To"), "tag"), Some("another"), "{refresh}");
            answer_own(&mut world, &refresh, status);
            assert_eq!(world.messages(&mut ue)[0].status(), 200);
        }
        let anew = own_subscribe(&mut world);
        assert_eq!(parameter(anew.expect("To"), "tag"), None, "{anew}");
    }
}

#[test]
fn a_pcscf_whose_own_subscription_is_under_way_asks_again_for_what_was_prolonged() {
    let mut world = World::new(Layout::Apart);
    let mut ue = world.ue(1);
    world.begin_registration(&mut ue);
    let answer = ue.register_answer();
    world.mw_held = true;
    world.sealed(&mut ue, &answer);
    let first = own_subscribe(&mut world);
    assert_eq!(first.expect("Expires"), "1200");
    let ok = world.take_one(&mut ue).message;
    ue.registered(&ok);
    let longer = ue.register_again(3 * EXPIRES_S);
    world.sealed(&mut ue, &longer);
    while !world.mw_waiting.is_empty() {
        world.pass_held(0);
    }
    assert_eq!(world.take_one(&mut ue).message.status(), 200);
    answer_own(&mut world, &first, 200);
    let second = own_subscribe(&mut world);
    assert_eq!(
        (parameter(second.expect("To"), "tag"), second.expect("Expires")),
        (Some("another"), "2400")
    );
    answer_own(&mut world, &second, 200);
    assert!(world.mw_waiting.is_empty(), "once is enough");
}

#[test]
fn a_late_answer_to_an_unprotected_request_changes_nothing_that_is_live() {
    for status in [401, 200] {
        let mut world = World::new(Layout::Apart);
        let mut ue = world.ue(1);
        let first = ue.register_first(Credentials::Name);
        let challenge = world.ask_plain(&mut ue, &first);
        let told = world.mw_between(world.icscf_mw, world.pcscf_mw).remove(0);
        ue.challenge(&challenge).expect("a challenge that the USIM accepts");
        world.mw_held = true;
        world.plain(&ue, &first);
        let again = Text::parse(&world.mw_waiting.pop_front().expect("a REGISTER").bytes);
        world.mw_held = false;
        let answer = ue.register_answer();
        let ok = world.ask(&mut ue, &answer);
        assert_eq!(ok.status(), 200, "{ok}");
        ue.registered(&ok);
        let vias = again.all("Via").join(", ");
        let mut late = told.with("Via", &vias);
        if status == 200 {
            late = Text { start: "SIP/2.0 200 OK".to_owned(), ..late };
        }
        world.datagram(world.icscf_mw, world.pcscf_mw, &late.to_bytes());
        world.take(&mut ue);
        assert_eq!(world.tables().pcscf.sets, 1);
        works(&mut world, &mut ue);
        send_to_self(&mut world, &mut ue);
    }
}
