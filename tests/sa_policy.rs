//! What the sets of security associations at a P-CSCF belong to: a private identity at an address, or the private identity alone, for which
//! the second paper says that the first two solutions would not work with the P-CSCFs of its time (TS 33.203 clause 7.4).

use std::net::IpAddr;

use imstorm_base::time::seconds;
use tests::{Credentials, Layout, ScriptedUe, Text, World};

const IMPI: &str = "sa_policy = \"impi\",";
const LAYOUTS: [Layout; 3] = [Layout::Together, Layout::Apart, Layout::Each];

fn elsewhere() -> IpAddr {
    "127.16.1.1".parse().expect("an address")
}

/// A user with a connection by subscription, and another one from elsewhere through the same P-CSCF.
fn two_accesses(layout: Layout, pcscf: &str) -> (World, ScriptedUe, ScriptedUe) {
    let mut world = World::configured(layout, pcscf, "");
    let mut first = world.ue(1);
    world.secure(&mut first);
    let second = world.further(&first, elsewhere(), 0);
    (world, first, second)
}

#[test]
fn by_address_two_accesses_stand_side_by_side() {
    for layout in LAYOUTS {
        let (mut world, mut first, mut second) = two_accesses(layout, "");
        assert_eq!((world.tables().pcscf.sets, world.counter("sa_sets_overridden")), (2, 0));
        world.refresh(&mut first);
        world.refresh(&mut second);
    }
}

#[test]
fn by_identity_a_set_up_from_elsewhere_deletes_the_sets_before() {
    for layout in LAYOUTS {
        let (mut world, mut first, mut second) = two_accesses(layout, IMPI);
        assert_eq!(world.counter("sa_sets_overridden"), 1);
        let tables = world.tables();
        assert_eq!((tables.pcscf.connections, tables.pcscf.sets), (1, 1));
        // The S-CSCF is not told by that.
        assert_eq!(tables.scscf.subscriptions, 2);
        assert!(world.take(&mut first).is_empty(), "nor is the UE");
        let unknown = world.counter("esp_unknown_spi");
        let refresh = first.refresh(600);
        world.sealed(&mut first, &refresh);
        assert_eq!(world.counter("esp_unknown_spi"), unknown + 1);
        world.refresh(&mut second);
        // Its lifetime ends it there, or the next NOTIFY.
        world.advance(seconds(590));
        world.refresh(&mut second);
        world.advance(seconds(200));
        assert_eq!(world.tables().scscf.subscriptions, 1);
        world.leave(&mut second);
        world.advance(seconds(400));
        world.assert_empty();
    }
}

#[test]
fn what_is_for_a_ue_whose_set_is_gone_gets_430() {
    let mut world = World::configured(Layout::Apart, IMPI, "");
    let (mut first, mut other) = (world.ue(1), world.ue(2));
    world.secure(&mut first);
    let impu = first.impu.clone();
    world.bind(&mut first, &impu);
    world.secure(&mut other);
    world.further(&first, elsewhere(), 0);
    let message = other.message(&impu, None);
    assert_eq!(world.ask(&mut other, &message).status(), 480);
    let told = world.mw_between(world.pcscf_mw, world.scscf_mw);
    assert!(told.iter().any(|text| text.status() == 430), "{told:#?}");
    assert_eq!(world.counter("dialog_unknown"), 1);
}

#[test]
fn a_request_that_is_under_way_is_given_back() {
    let mut world = World::configured(Layout::Apart, IMPI, "");
    let (mut first, mut other) = (world.ue(1), world.ue(2));
    world.secure(&mut first);
    let impu = first.impu.clone();
    world.bind(&mut first, &impu);
    world.secure(&mut other);
    let message = other.message(&impu, None);
    world.sealed(&mut other, &message);
    assert_eq!(world.take_one(&mut first).message.method(), "MESSAGE");
    let mut second = world.further(&first, elsewhere(), 0);
    assert!(world.tables().pcscf.transactions > 0);
    world.advance(seconds(140));
    assert_eq!(world.tables().pcscf.transactions, 0);
    world.leave(&mut second);
    world.leave(&mut other);
    world.advance(seconds(700));
    world.assert_empty();
}

#[test]
fn a_set_up_that_fails_deletes_nothing() {
    let mut world = World::configured(Layout::Apart, IMPI, "");
    let mut first = world.ue(1);
    world.secure(&mut first);
    let mut thief = world.ue_at(1, elsewhere());
    thief.new_call();
    thief.freshness = first.freshness.clone();
    world.begin(&mut thief);
    thief.res = [7; 8];
    let answer = thief.answer();
    assert_eq!(world.ask(&mut thief, &answer).status(), 403);
    assert_eq!((world.tables().pcscf.sets, world.counter("sa_sets_overridden")), (2, 0));
    world.refresh(&mut first);
}

#[test]
fn a_set_up_that_anybody_may_have_begun_elsewhere_deletes_nothing() {
    for layout in LAYOUTS {
        let mut world = World::configured(layout, IMPI, "");
        let mut first = world.ue(1);
        world.secure(&mut first);
        let mut registered = world.register_from(&first, first.ip, 0);
        // For a challenge nobody needs a key.
        let mut stranger = world.ue_at(1, elsewhere());
        stranger.new_call();
        let begun = stranger.register_first(Credentials::Name);
        assert_eq!(world.ask_plain(&mut stranger, &begun).status(), 401);
        let connections = world.tables().pcscf.connections;
        first.freshness = registered.freshness.clone();
        world.reauthenticate(&mut first);
        assert_eq!(world.counter("sa_sets_overridden"), 0);
        assert_eq!(world.tables().pcscf.connections, connections);
        let again = registered.register_again(600);
        assert_eq!(world.ask(&mut registered, &again).status(), 200);
        world.refresh(&mut first);
    }
}

/// A user whose UE rings, and loses its set to another access; whoever has called it.
fn called_and_lost(cancels: bool) -> Vec<u16> {
    let mut world = World::configured(Layout::Apart, IMPI, "");
    let (mut first, mut other) = (world.ue(1), world.ue(2));
    world.register(&mut first);
    world.register(&mut other);
    let invite = other.invite(&first.impu);
    world.sealed(&mut other, &invite);
    let came = world.take_one(&mut first).message;
    let ringing = first.answer_invite(&came, 180);
    world.sealed(&mut first, &ringing);
    if cancels {
        let cancel = other.cancel(&invite);
        world.sealed(&mut other, &cancel);
    }
    world.further(&first, elsewhere(), 0);
    world.advance(seconds(70));
    let answers = world.messages(&mut other);
    let finals = answers.iter().filter(|it| it.header("CSeq") == invite.header("CSeq"));
    finals.map(Text::status).filter(|status| *status >= 200).collect()
}

#[test]
fn an_invite_that_is_under_way_is_answered_by_whoever_has_lost_its_ue() {
    assert_eq!(called_and_lost(false)[..1], [480]);
    assert_eq!(called_and_lost(true)[..1], [487]);
}

#[test]
fn registration_and_subscription_alike_delete_and_are_deleted() {
    for (first_registers, second_registers) in [(true, false), (false, true), (true, true)] {
        let mut world = World::configured(Layout::Apart, IMPI, "");
        let mut first = world.ue(1);
        match first_registers {
            true => _ = world.register(&mut first),
            false => _ = world.secure(&mut first),
        }
        match second_registers {
            true => _ = world.register_from(&first, elsewhere(), 0),
            false => _ = world.further(&first, elsewhere(), 0),
        }
        assert_eq!(world.counter("sa_sets_overridden"), 1);
        assert_eq!(world.tables().pcscf.sets, 1);
    }
}

#[test]
fn at_one_address_both_kinds_stand_side_by_side_until_another_comes() {
    let mut world = World::configured(Layout::Apart, IMPI, "");
    let mut first = world.ue(1);
    world.secure(&mut first);
    let registered = world.register_from(&first, first.ip, 0);
    assert_eq!((world.tables().pcscf.sets, world.counter("sa_sets_overridden")), (2, 0));
    world.further(&registered, elsewhere(), 0);
    assert_eq!((world.tables().pcscf.sets, world.counter("sa_sets_overridden")), (1, 2));
}

#[test]
fn another_pcscf_and_another_identity_are_not_concerned() {
    let mut world = World::configured_twice(Layout::Apart, IMPI, "", "");
    let (mut first, mut other) = (world.ue(1), world.ue(2));
    world.secure(&mut first);
    world.secure(&mut other);
    world.further(&first, elsewhere(), 1);
    assert_eq!((world.tables().pcscf.sets, world.counter("sa_sets_overridden")), (3, 0));
    world.refresh(&mut first);
    world.refresh(&mut other);
}

#[test]
fn six_set_ups_are_the_most_of_an_identity_wherever_they_come_from() {
    let mut world = World::configured(Layout::Apart, IMPI, "");
    for place in 1..=8 {
        let mut ue = world.ue_at(1, IpAddr::from([127, 16, 1, place]));
        let first = ue.first(Credentials::Name);
        assert_eq!(world.ask_plain(&mut ue, &first).status(), 401);
    }
    assert_eq!((world.tables().pcscf.connections, world.counter("setups_evicted")), (6, 2));
    let mut world = World::new(Layout::Apart);
    for place in 1..=8 {
        let mut ue = world.ue_at(1, IpAddr::from([127, 16, 1, place]));
        let first = ue.first(Credentials::Name);
        assert_eq!(world.ask_plain(&mut ue, &first).status(), 401);
    }
    assert_eq!((world.tables().pcscf.connections, world.counter("setups_evicted")), (8, 0));
}
