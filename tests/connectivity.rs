//! The second paper's second solution: when a user registers from elsewhere, the S-CSCF checks by the reg event package, through the
//! previous P-CSCF, whether the UE of the earlier registration is still there.

use std::net::IpAddr;

use imstorm_base::time::seconds;
use tests::{Layout, ScriptedUe, Text, World};

const CHECKS: &str = "simultaneous = \"connectivity-check\",";
const LAYOUTS: [Layout; 3] = [Layout::Together, Layout::Apart, Layout::Each];

fn at(place: u8) -> IpAddr {
    IpAddr::from([127, 16, 1, place])
}

fn world(layout: Layout) -> World {
    World::configured_twice(layout, "", CHECKS, "ue_leg = { t1_ms = 200 }\n")
}

/// A registered user who watches the own registration, or does not.
fn registered(layout: Layout, watches: bool) -> (World, ScriptedUe) {
    let mut world = world(layout);
    let mut ue = world.ue(1);
    world.register(&mut ue);
    if watches {
        let impu = ue.impu.clone();
        world.watch(&mut ue, &impu);
    }
    (world, ue)
}

/// Checks begun, and how they ended: alive, dead, answered by somebody else.
fn checks(world: &World) -> [u64; 4] {
    ["checks", "alive", "dead", "astray"].map(|name| world.counter(&format!("connectivity_{name}")))
}

/// A connection that rests on a registration still works, in all tables.
fn works(world: &mut World, ue: &mut ScriptedUe) {
    let again = ue.register_again(600);
    world.sealed(ue, &again);
    let answers = world.messages(ue);
    for request in answers.iter().filter(|text| text.status() == 0) {
        world.accept(ue, request);
    }
    assert!(answers.iter().any(|text| text.status() == 200), "{answers:#?}");
}

#[test]
fn a_ue_that_answers_the_notify_keeps_its_registration() {
    for layout in LAYOUTS {
        let (mut world, mut first) = registered(layout, true);
        let before = world.all_to_ues.len();
        let mut second = world.register_from(&first, at(1), 1);
        let told = world.messages(&mut first);
        assert_eq!(told.len(), 1, "the NOTIFY of the change is the check: {told:#?}");
        assert_eq!(told[0].method(), "NOTIFY");
        assert!(told[0].body.contains("state=\"full\""), "{}", told[0]);
        assert_eq!(told[0].body.matches("<uri>").count(), 2, "{}", told[0]);
        assert!(world.all_to_ues.len() > before);
        // The 200 did not wait for the verdict.
        assert_eq!(checks(&world), [1, 0, 0, 0]);
        assert_eq!(world.tables().scscf.bindings, 4);
        world.accept(&mut first, &told[0]);
        assert_eq!(checks(&world), [1, 1, 0, 0]);
        assert!(world.take(&mut first).is_empty());
        assert_eq!((world.tables().pcscf.sets, world.tables().scscf.bindings), (2, 4));
        works(&mut world, &mut first);
        works(&mut world, &mut second);
        assert_eq!(world.counter("aka_registrations_overridden"), 0);
    }
}

#[test]
fn a_ue_that_is_silent_loses_its_registration() {
    for layout in LAYOUTS {
        for watches in [true, false] {
            let (mut world, first) = registered(layout, watches);
            world.cut_off = Some(first.ip);
            let mut second = world.register_from(&first, at(1), 1);
            assert_eq!(world.tables().scscf.bindings, 4, "both, until it is known");
            world.advance(seconds(60));
            assert_eq!(checks(&world), [1, 0, 1, 0]);
            assert_eq!((world.tables().pcscf.sets, world.tables().scscf.bindings), (1, 2));
            assert_eq!(world.tables().scscf.reg_subscriptions, 0);
            works(&mut world, &mut second);
            let leave = second.register_again(0);
            assert_eq!(world.ask(&mut second, &leave).status(), 200);
            world.advance(seconds(400));
            world.assert_empty();
        }
    }
}

#[test]
fn the_end_of_one_that_is_silent_reaches_its_sessions() {
    let (mut world, mut first) = registered(Layout::Apart, true);
    let mut other = world.ue(2);
    world.register(&mut other);
    world.call(&mut first, &mut other);
    world.cut_off = Some(first.ip);
    world.register_from(&first, at(1), 1);
    assert!(world.take(&mut other).is_empty());
    world.advance(seconds(20));
    assert_eq!(world.messages(&mut other)[0].method(), "BYE");
    assert_eq!(world.counter("sessions_released"), 1);
}

#[test]
fn what_an_answer_to_the_notify_means() {
    for (status, is_alive) in [
        (200, true),
        (500, true),
        (486, true),
        (489, true),
        (503, true),
        // Of the UE itself: it knows no such user, or its user wants no calls (RFC 3261 clauses 21.4.5 and 21.4.18).
        (404, true),
        (480, true),
        (408, false),
        (430, false),
        (481, false),
    ] {
        let (mut world, mut first) = registered(Layout::Apart, true);
        world.register_from(&first, at(1), 1);
        let notify = world.take_one(&mut first).message;
        let answer = first.respond(&notify, status);
        world.sealed(&mut first, &answer);
        let expected = [1, u64::from(is_alive), u64::from(!is_alive), 0];
        assert_eq!(checks(&world), expected, "{status}");
        let bindings = if is_alive { 4 } else { 2 };
        assert_eq!(world.tables().scscf.bindings, bindings, "{status}");
    }
}

#[test]
fn a_ue_without_a_subscription_is_sent_options() {
    for layout in LAYOUTS {
        for (status, is_alive) in [(200, true), (405, true), (486, true), (480, true), (481, false)]
        {
            let (mut world, mut first) = registered(layout, false);
            let mut second = world.register_from(&first, at(1), 1);
            let options = world.take_one(&mut first).message;
            assert_eq!(options.method(), "OPTIONS", "{options}");
            assert_eq!(options.uri(), format!("sip:{}", first.at(first.port_us())));
            let answer = first.respond(&options, status);
            let to = format!("{};tag=x", options.expect("To"));
            world.sealed(&mut first, &answer.with("To", &to));
            let expected = [1, u64::from(is_alive), u64::from(!is_alive), 0];
            assert_eq!(checks(&world), expected, "{status}");
            if is_alive {
                works(&mut world, &mut first);
            }
            works(&mut world, &mut second);
            assert_eq!(world.tables().scscf.notifications, 0);
        }
    }
}

#[test]
fn requests_of_others_that_a_ue_has_not_answered_yet_are_not_its_silence() {
    for layout in LAYOUTS {
        for watches in [true, false] {
            let (mut world, mut first) = registered(layout, watches);
            let (mut other, mut third) = (world.ue(2), world.ue(3));
            world.register(&mut other);
            world.register(&mut third);
            for _ in 0..16 {
                let message = other.message(&first.impu, None);
                world.sealed(&mut other, &message);
            }
            let arrived = world.messages(&mut first);
            assert_eq!(arrived.len(), 16, "as many as may wait");
            let message = third.message(&first.impu, None);
            let refused = world.ask(&mut third, &message);
            assert_eq!(refused.status(), 503, "{refused}");
            assert!(refused.header("Retry-After").is_some(), "{refused}");
            let mut second = world.register_from(&first, at(1), 1);
            assert_eq!(checks(&world)[2], 0, "{layout:?} {watches}");
            assert_eq!(world.tables().scscf.bindings, 8);
            for message in &arrived {
                world.accept(&mut first, message);
            }
            for request in world.messages(&mut first) {
                world.accept(&mut first, &request);
            }
            works(&mut world, &mut first);
            works(&mut world, &mut second);
            assert_eq!(checks(&world), [1, 1, 0, 0]);
        }
    }
}

#[test]
fn from_the_same_place_it_is_overridden_and_nothing_is_checked() {
    for layout in LAYOUTS {
        let (mut world, mut first) = registered(layout, true);
        works(&mut world, &mut first);
        first.new_call();
        world.begin_registration(&mut first);
        let answer = first.register_answer();
        world.sealed(&mut first, &answer);
        assert_eq!(checks(&world), [0; 4]);
        assert_eq!(world.counter("aka_registrations_overridden"), 1);
        assert_eq!(world.tables().scscf.bindings, 2);
    }
}

#[test]
fn the_same_address_through_another_pcscf_is_another_ue() {
    let (mut world, mut first) = registered(Layout::Apart, true);
    let mut second = world.register_from(&first, first.ip, 1);
    let notify = world.take_one(&mut first).message;
    world.accept(&mut first, &notify);
    assert_eq!(checks(&world), [1, 1, 0, 0]);
    works(&mut world, &mut second);
}

#[test]
fn of_each_registration_one_check_is_under_way_at_a_time() {
    let (mut world, mut first) = registered(Layout::Apart, false);
    let mut second = world.register_from(&first, at(1), 1);
    assert_eq!(checks(&world), [1, 0, 0, 0]);
    let third = world.register_from(&second, at(2), 1);
    assert_eq!(checks(&world), [2, 0, 0, 0], "of the second, the first being checked already");
    let at_first = world.messages(&mut first);
    assert_eq!(at_first.len(), 1);
    world.accept(&mut first, &at_first[0]);
    let at_second = world.take_one(&mut second).message;
    world.accept(&mut second, &at_second);
    assert_eq!(checks(&world), [2, 2, 0, 0]);
    world.register_from(&third, at(3), 1);
    assert_eq!(checks(&world), [5, 2, 0, 0]);
    assert_eq!(world.tables().scscf.bindings, 8);
}

#[test]
fn who_goes_on_registering_is_checked_again_only_by_another_registration() {
    let (mut world, mut first) = registered(Layout::Apart, false);
    let mut second = world.register_from(&first, at(1), 1);
    let options = world.take_one(&mut first).message;
    world.accept(&mut first, &options);
    for _ in 0..3 {
        world.advance(seconds(100));
        works(&mut world, &mut first);
        works(&mut world, &mut second);
    }
    assert_eq!(checks(&world), [1, 1, 0, 0]);
}

#[test]
fn a_subscription_that_was_refused_is_followed_by_options_at_the_next_check() {
    let (mut world, mut first) = registered(Layout::Apart, true);
    let second = world.register_from(&first, at(1), 1);
    let notify = world.take_one(&mut first).message;
    let refused = first.respond(&notify, 405);
    world.sealed(&mut first, &refused);
    assert_eq!(checks(&world), [1, 1, 0, 0], "that was an answer of the UE");
    assert_eq!(world.tables().scscf.reg_subscriptions, 0);
    // From now on it is asked by OPTIONS.
    world.register_from(&second, at(2), 1);
    assert_eq!(world.take_one(&mut first).message.method(), "OPTIONS");
}

/// A registered user who watches the own registration, has not answered the NOTIFY of a refresh yet, and registers from elsewhere. With the
/// SUBSCRIBE, its 200 and that NOTIFY.
fn told_before() -> (World, ScriptedUe, [Text; 3]) {
    let mut world = world(Layout::Apart);
    let mut first = world.ue(1);
    world.register(&mut first);
    let impu = first.impu.clone();
    let (watch, ok, _) = world.watch(&mut first, &impu);
    let again = first.register_again(600);
    world.sealed(&mut first, &again);
    let came = world.messages(&mut first);
    let before = came.iter().find(|text| text.method() == "NOTIFY" && text.status() == 0);
    let before = before.expect("a NOTIFY of the refresh").clone();
    world.register_from(&first, at(1), 1);
    assert!(world.take(&mut first).is_empty(), "one NOTIFY at a time");
    assert_eq!(checks(&world), [1, 0, 0, 0]);
    (world, first, [watch, ok, before])
}

#[test]
fn the_answer_to_a_notify_from_before_is_no_answer_to_the_check() {
    for status in [200, 500, 486] {
        let (mut world, mut first, [_, _, before]) = told_before();
        let answer = first.respond(&before, status);
        world.sealed(&mut first, &answer);
        assert_eq!(checks(&world), [1, 0, 0, 0], "{status}");
        world.advance(seconds(6));
        let told = world.messages(&mut first).remove(0);
        assert!(told.cseq() > before.cseq());
        world.accept(&mut first, &told);
        assert_eq!(checks(&world), [1, 1, 0, 0], "{status}");
        assert_eq!(world.tables().scscf.bindings, 4);
    }
}

#[test]
fn a_subscription_that_its_ue_ends_while_it_is_the_check_is_followed_by_options() {
    for (status, is_alive) in [(200, true), (408, false)] {
        let (mut world, mut first, [watch, ok, before]) = told_before();
        let leave = first.next_in_dialog(&watch, &ok).with("Expires", "0");
        assert_eq!(world.ask(&mut first, &leave).status(), 200);
        world.accept(&mut first, &before);
        let last = world.take_one(&mut first).message;
        assert!(last.expect("Subscription-State").starts_with("terminated"), "{last}");
        // It has forgotten its dialog already, which says nothing against its access.
        let unknown = first.respond(&last, 481);
        world.sealed(&mut first, &unknown);
        assert_eq!(checks(&world), [1, 0, 0, 0]);
        assert_eq!(world.tables().scscf.reg_subscriptions, 0);
        let options = world.take_one(&mut first).message;
        assert_eq!(options.method(), "OPTIONS", "{options}");
        let answer = first.respond(&options, status);
        world.sealed(&mut first, &answer);
        assert_eq!(checks(&world), [1, u64::from(is_alive), u64::from(!is_alive), 0]);
    }
}

#[test]
fn who_registers_over_the_earlier_access_needs_no_further_check() {
    for watches in [true, false] {
        let (mut world, mut first) = registered(Layout::Apart, watches);
        world.register_from(&first, at(1), 1);
        let request = world.take_one(&mut first).message;
        let again = first.register_again(600);
        world.sealed(&mut first, &again);
        assert_eq!(checks(&world), [1, 1, 0, 0]);
        // What the check finds is no news any more.
        let answer = first.respond(&request, 408);
        world.sealed(&mut first, &answer);
        world.advance(seconds(60));
        assert_eq!(checks(&world), [1, 1, 0, 0]);
        assert_eq!(world.tables().scscf.bindings, 4, "{watches}");
    }
}

/// Takes the request of this method for the first P-CSCF out of what waits on Mw.
fn take_for_pcscf(world: &mut World, method: &str) -> Text {
    while let Some(wire) = world.mw_waiting.front() {
        let text = Text::parse(&wire.bytes);
        let is_it = text.status() == 0
            && text.method() == method
            && wire.to == world.pcscf_mw
            && text.uri().contains(":6101");
        if is_it {
            world.mw_waiting.pop_front();
            return text;
        }
        world.pass_held(0);
    }
    panic!("no {method} for the first P-CSCF");
}

#[test]
fn an_answer_of_another_pcscf_is_ignored() {
    for (watches, method) in [(true, "NOTIFY"), (false, "OPTIONS")] {
        let (mut world, mut first) = registered(Layout::Each, watches);
        let mut second = world.access_of(&first, at(1), 1);
        world.begin_registration(&mut second);
        let answer = second.register_answer();
        world.mw_held = true;
        world.sealed(&mut second, &answer);
        let request = take_for_pcscf(&mut world, method);
        world.mw_held = false;
        while !world.mw_waiting.is_empty() {
            world.pass_held(0);
        }
        let (before, tables) = (world.counters(), world.tables());
        for status in [200, 481] {
            let forged = first.respond(&request, status);
            let elsewhere = "127.0.0.3:6060".parse().expect("an address");
            let scscf = world.scscf_mw;
            world.datagram(elsewhere, scscf, &forged.to_bytes());
        }
        assert_eq!(world.risen(&before), [("connectivity_astray", 2)]);
        assert_eq!(world.tables(), tables);
        assert_eq!(checks(&world), [1, 0, 0, 2]);
        // The S-CSCF says it again, and the UE answers.
        world.advance(seconds(1));
        let came = world.messages(&mut first).remove(0);
        assert_eq!(came.method(), method, "{came}");
        world.accept(&mut first, &came);
        assert_eq!(checks(&world), [1, 1, 0, 2]);
        assert_eq!(world.tables().scscf.bindings, 4);
    }
}

#[test]
fn where_sets_are_by_private_identity_the_check_finds_the_earlier_one_dead() {
    for layout in LAYOUTS {
        for watches in [true, false] {
            let mut world = World::configured_twice(layout, "sa_policy = \"impi\",", CHECKS, "");
            let mut first = world.ue(1);
            world.register(&mut first);
            if watches {
                let impu = first.impu.clone();
                world.watch(&mut first, &impu);
            }
            let mut second = world.register_from(&first, at(1), 0);
            // Over a hop less the NOTIFY may come before the 200 that deletes the set: its answer can't come any more.
            world.advance(seconds(140));
            for request in world.messages(&mut first) {
                world.accept(&mut first, &request);
            }
            assert_eq!(checks(&world)[..3], [1, 0, 1], "{layout:?} {watches}");
            assert_eq!((world.tables().pcscf.sets, world.tables().scscf.bindings), (1, 2));
            works(&mut world, &mut second);
        }
    }
}

#[test]
fn there_are_as_many_side_by_side_as_an_identity_has_room_for() {
    for layout in LAYOUTS {
        let mut world = world(layout);
        let mut ues = vec![world.ue(1)];
        world.register(&mut ues[0]);
        for place in 1..6 {
            let ue = world.register_from(ues.last().expect("one"), at(place), 1);
            ues.push(ue);
        }
        for ue in &mut ues {
            for options in world.messages(ue) {
                world.accept(ue, &options);
            }
        }
        assert_eq!(world.tables().scscf.bindings, 12);
        let mut more = world.access_of(ues.last().expect("one"), at(9), 1);
        world.begin_registration(&mut more);
        let answer = more.register_answer();
        let (before, held) = (world.counters(), world.tables().scscf);
        assert_eq!(world.ask(&mut more, &answer).status(), 503);
        assert!(world.risen(&before).contains(&("table_full", 1)));
        let after = world.tables().scscf;
        assert_eq!((after.subscriptions, after.bindings), (held.subscriptions, held.bindings));
        assert_eq!(checks(&world)[2], 0);
        for ue in &mut ues {
            works(&mut world, ue);
        }
    }
}

#[test]
fn what_rests_on_subscriptions_is_neither_checked_nor_ended() {
    for layout in LAYOUTS {
        let mut world = world(layout);
        let mut first = world.ue(1);
        world.secure(&mut first);
        let mut second = world.register_from(&first, at(1), 1);
        assert_eq!(checks(&world), [0; 4]);
        assert!(world.take(&mut first).is_empty());
        world.refresh(&mut first);
        works(&mut world, &mut second);
    }
}

#[test]
fn a_registration_that_leaves_while_it_is_checked_is_just_over() {
    for watches in [true, false] {
        let (mut world, mut first) = registered(Layout::Apart, watches);
        world.register_from(&first, at(1), 1);
        let request = world.take_one(&mut first).message;
        let leave = first.register_again(0);
        world.sealed(&mut first, &leave);
        assert_eq!(world.messages(&mut first)[0].status(), 200);
        world.accept(&mut first, &request);
        let rest = world.messages(&mut first);
        for notify in &rest {
            world.accept(&mut first, notify);
        }
        assert_eq!(checks(&world), [1, 1, 0, 0], "who deregisters is there");
        assert_eq!(world.tables().scscf.bindings, 2);
        assert_eq!(world.tables().scscf.notifications, 0);
    }
}
