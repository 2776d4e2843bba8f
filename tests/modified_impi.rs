//! The second paper's third solution: for each registration the UE modifies its private identity, so that P-CSCF and S-CSCF have nothing to
//! override; alone, and together with the first and the second solution.

use std::net::IpAddr;

use imstorm_base::time::seconds;
use imstorm_cscf::operator::{Command, Refusal};
use imstorm_engine::tables::Table;
use tests::message::parameter;
use tests::{Credentials, Layout, ScriptedUe, Text, World};

const LAYOUTS: [Layout; 3] = [Layout::Together, Layout::Apart, Layout::Each];
const TWO: &str = "hss = { modified_impis_max = 2 }\n";
const FOUR: &str = "hss = { modified_impis_max = 4 }\n";
/// The P-CSCFs for which the scheme was made.
const IMPI: &str = "sa_policy = \"impi\",";
const OUTBOUND: &str = "simultaneous = \"outbound\",";
const CHECKS: &str = "simultaneous = \"connectivity-check\",";

fn at(place: u8) -> IpAddr {
    IpAddr::from([127, 16, 1, place])
}

/// A further access of a user, by its private identity with this suffix.
fn access(world: &World, ue: &ScriptedUe, place: u8, suffix: &str) -> ScriptedUe {
    let mut access = world.access_of(ue, at(place), 0);
    access.impi = modified(ue, suffix);
    access
}

fn modified(ue: &ScriptedUe, suffix: &str) -> String {
    format!("{}{suffix}@ims.example", &ue.impi[..10])
}

/// A user with two registrations, as itself and as `+1`, whose P-CSCF has sets by private identity.
fn two(layout: Layout) -> (World, ScriptedUe, ScriptedUe) {
    let mut world = World::configured_twice(layout, IMPI, "", TWO);
    let mut base = world.ue(1);
    world.register(&mut base);
    let mut first = access(&world, &base, 1, "+1");
    world.register(&mut first);
    (world, base, first)
}

fn works(world: &mut World, ue: &mut ScriptedUe) {
    let again = ue.register_again(600);
    let ok = world.ask(ue, &again);
    assert_eq!(ok.status(), 200, "{ok}");
}

#[test]
fn each_private_identity_has_its_registration_at_p_cscfs_that_know_no_other() {
    for layout in LAYOUTS {
        let (mut world, mut base, mut first) = two(layout);
        let mut second = access(&world, &first, 2, "+2");
        world.register(&mut second);
        assert_eq!(world.counter("sa_sets_overridden"), 0);
        assert_eq!(world.counter("aka_registrations_overridden"), 0);
        assert_eq!((world.tables().pcscf.sets, world.tables().scscf.bindings), (3, 6));
        for ue in [&mut base, &mut first, &mut second] {
            works(&mut world, ue);
        }
        // Each is reached.
        let mut other = world.ue(2);
        world.register(&mut other);
        let impu = base.impu.clone();
        let message = other.message(&impu, None);
        world.sealed(&mut other, &message);
        let came = world.take_one(&mut second).message;
        world.accept(&mut second, &came);
        assert_eq!(world.take_one(&mut other).message.status(), 200);
        // Each leaves alone, and nothing is left.
        for (place, ue) in [&mut first, &mut base, &mut second].into_iter().enumerate() {
            let leave = ue.register_again(0);
            assert_eq!(world.ask(ue, &leave).status(), 200);
            assert_eq!(world.tables().scscf.bindings, 2 * (3 - place));
        }
        let leave = other.register_again(0);
        assert_eq!(world.ask(&mut other, &leave).status(), 200);
        world.advance(seconds(400));
        world.assert_empty();
    }
}

#[test]
fn the_same_private_identity_from_elsewhere_overrides_its_own_and_no_other() {
    for layout in LAYOUTS {
        let (mut world, mut base, first) = two(layout);
        let mut second = access(&world, &first, 2, "+2");
        world.register(&mut second);
        let mut moved = access(&world, &second, 3, "+1");
        world.register(&mut moved);
        // Its sets go by the policy of the P-CSCF, or by the S-CSCF's NOTIFY, whichever comes first.
        assert_eq!(world.counter("aka_registrations_overridden"), 1);
        assert_eq!(world.tables().pcscf.sets, 3);
        for ue in [&mut base, &mut second, &mut moved] {
            works(&mut world, ue);
        }
    }
}

#[test]
fn the_vectors_and_identities_are_the_bases_and_the_digest_is_over_the_whole_string() {
    let (world, base, first) = two(Layout::Each);
    let sent = world.mw_between(world.icscf_mw, world.scscf_mw);
    let of = |text: &&Text| text.header("Authorization").is_some_and(|it| it.contains("+1@"));
    let answer = sent.iter().rfind(of).expect("a REGISTER");
    assert_eq!(parameter(answer.expect("Authorization"), "username"), Some(first.impi.as_str()));
    let told = world.mw_between(world.scscf_mw, world.icscf_mw);
    let ok = told.iter().rfind(|text| text.status() == 200).expect("a 200");
    let identities = [format!("<{}>", base.impu), format!("<{}>", base.tel())];
    assert_eq!(ok.all("P-Associated-URI"), identities);
    let rows = world.show(Table::Associations, Some(&first.impi));
    assert_eq!(rows.len(), 1);
}

#[test]
fn a_suffix_has_a_length() {
    for layout in LAYOUTS {
        let mut world = World::configured_twice(layout, "", "", TWO);
        let base = world.ue(1);
        let mut long = access(&world, &base, 1, &format!("+{}", "x".repeat(33)));
        let (before, tables) = (world.counters(), world.tables());
        let first = long.register_first(Credentials::Name);
        assert_eq!(world.ask_plain(&mut long, &first).status(), 403);
        assert_eq!(world.tables().scscf, tables.scscf);
        assert!(world.risen(&before).iter().all(|(name, _)| *name != "modified_impis_refused"));
        let mut longest = access(&world, &base, 2, &format!("+{}", "x".repeat(32)));
        world.register(&mut longest);
    }
}

/// What the S-CSCF holds.
fn held(world: &World) -> [usize; 5] {
    let tables = world.tables();
    let scscf = tables.scscf;
    [scscf.subscriptions, scscf.bindings, scscf.challenges, scscf.strings_bytes, scscf.bytes]
}

/// The first REGISTER, or SUBSCRIBE, of this UE is refused, and changes nothing at the S-CSCF.
fn refused(world: &mut World, ue: &mut ScriptedUe, status: u16, counter: &str) {
    for subscribes in [false, true] {
        let (before, tables) = (world.counters(), held(world));
        let first = match subscribes {
            true => ue.first(Credentials::Name),
            false => ue.register_first(Credentials::Name),
        };
        assert_eq!(world.ask_plain(ue, &first).status(), status, "{first}");
        let mut risen = world.risen(&before);
        risen.sort_unstable();
        let mut expected = [("setups_begun", 1), (counter, 1)];
        expected.sort_unstable();
        assert_eq!(risen, expected);
        assert_eq!(held(world), tables);
        ue.new_call();
    }
}

#[test]
fn where_they_are_off_there_are_none() {
    for layout in LAYOUTS {
        let mut world = World::new(layout);
        let mut base = world.ue(1);
        world.register(&mut base);
        let mut first = access(&world, &base, 1, "+1");
        refused(&mut world, &mut first, 403, "identity_refused");
        works(&mut world, &mut base);
    }
}

#[test]
fn an_unknown_base_and_what_is_no_modification_are_refused() {
    for layout in LAYOUTS {
        let (mut world, mut base, mut first) = two(layout);
        for impi in [
            "ue00000099+1@ims.example",
            "ue00000001+@ims.example",
            "ue00000001+1.2@ims.example",
            "ue00000001+1+2@ims.example",
            "ue00000001+1@elsewhere.example",
        ] {
            let mut stranger = access(&world, &first, 7, "+1");
            stranger.impi = impi.to_owned();
            refused(&mut world, &mut stranger, 403, "identity_refused");
        }
        works(&mut world, &mut base);
        works(&mut world, &mut first);
    }
}

#[test]
fn more_than_allowed_are_refused_pending_ones_included() {
    for layout in LAYOUTS {
        let (mut world, mut base, mut first) = two(layout);
        let mut second = access(&world, &first, 2, "+2");
        world.begin_registration(&mut second);
        let mut third = access(&world, &second, 3, "+3");
        refused(&mut world, &mut third, 403, "modified_impis_refused");
        // The same one again is none more, from wherever it comes.
        let mut again = access(&world, &second, 4, "+1");
        world.begin_registration(&mut again);
        let answer = second.register_answer();
        let ok = world.ask(&mut second, &answer);
        assert_eq!(ok.status(), 200, "{ok}");
        second.registered(&ok);
        refused(&mut world, &mut third, 403, "modified_impis_refused");
        for ue in [&mut base, &mut first, &mut second] {
            works(&mut world, ue);
        }
        // There is room again when one has left, and its challenges are over.
        let leave = second.register_again(0);
        assert_eq!(world.ask(&mut second, &leave).status(), 200);
        world.advance(seconds(300));
        third.freshness = again.freshness.clone();
        world.register(&mut third);
        // Of another user there are as many.
        let mut other = world.ue(2);
        other.impi = modified(&other, "+1");
        world.register(&mut other);
    }
}

#[test]
fn a_challenge_that_nobody_answers_gives_its_place_back() {
    let mut world = World::configured_twice(Layout::Apart, "", "", TWO);
    for round in 0..3 {
        let base = world.ue(1);
        for suffix in ["+1", "+2"] {
            let mut ue = access(&world, &base, round, &format!("{suffix}x{round}"));
            let first = ue.register_first(Credentials::Name);
            assert_eq!(world.ask_plain(&mut ue, &first).status(), 401);
        }
        let mut third = access(&world, &base, round, "+3");
        let first = third.register_first(Credentials::Name);
        assert_eq!(world.ask_plain(&mut third, &first).status(), 403);
        world.advance(seconds(250));
        world.assert_empty();
    }
}

#[test]
fn a_wrong_answer_changes_nothing() {
    let (mut world, mut base, mut first) = two(Layout::Apart);
    let before = held(&world);
    let mut thief = access(&world, &first, 5, "+2");
    world.begin_registration(&mut thief);
    thief.res = [7; 8];
    let answer = thief.register_answer();
    assert_eq!(world.ask(&mut thief, &answer).status(), 403);
    world.advance(seconds(250));
    assert_eq!(held(&world), before);
    works(&mut world, &mut base);
    works(&mut world, &mut first);
}

#[test]
fn a_derivation_of_somebody_elses_identity_is_refused() {
    for layout in LAYOUTS {
        let (mut world, mut base, mut first) = two(layout);
        // To is not of the base's set.
        let mut thief = access(&world, &first, 5, "+2");
        thief.impu = "sip:ue00000002@ims.example".to_owned();
        refused(&mut world, &mut thief, 403, "identity_refused");
        // A UE that is authenticated as another, be that its own base.
        let before = held(&world);
        let impi = std::mem::replace(&mut base.impi, first.impi.clone());
        let again = base.register_again(600);
        assert_eq!(world.ask(&mut base, &again).status(), 403);
        base.impi = "ue00000002+1@ims.example".to_owned();
        let again = base.register_again(600);
        assert_eq!(world.ask(&mut base, &again).status(), 403);
        assert_eq!(world.counter("wrong_private_identity"), 2);
        assert_eq!(held(&world), before);
        base.impi = impi;
        works(&mut world, &mut base);
        works(&mut world, &mut first);
    }
}

#[test]
fn an_operator_has_one_authenticated_again_or_all_and_ends_one() {
    let (mut world, mut base, mut first) = two(Layout::Apart);
    let shorten = |impi: &str| Command::Shorten { impi: impi.as_bytes().to_vec(), expires_s: 60 };
    let done = world.operate(&shorten(&first.impi)).expect("a user who is there");
    assert_eq!(done.connections, 1);
    let again = base.register_again(600);
    assert_eq!(world.ask(&mut base, &again).status(), 200, "the other one is left alone");
    reauthenticate(&mut world, &mut first);
    works(&mut world, &mut first);
    let done = world.operate(&shorten(&base.impi)).expect("a user who is there");
    assert_eq!(done.connections, 2);
    base.freshness = first.freshness.clone();
    reauthenticate(&mut world, &mut base);
    let done = world.operate(&shorten(&modified(&base, "+9"))).expect("a user who is there");
    assert_eq!(done.connections, 0);
    let unknown = world.operate(&shorten("ue00000099+1@ims.example"));
    assert_eq!(unknown, Err(Refusal::UserUnknown));
    // Tables are asked alike.
    let rows = |impi: &str, table: Table| world.show(table, Some(impi)).len();
    assert_eq!([&base.impi, &first.impi].map(|impi| rows(impi, Table::Subscriptions)), [2, 1]);
    assert_eq!([&base.impi, &first.impi].map(|impi| rows(impi, Table::Bindings)), [4, 2]);
    let row = world.show(Table::Subscriptions, Some(&first.impi)).remove(0);
    assert_eq!(row["impi"], first.impi.as_str());
    // Identities are the base's.
    let impu = b"sip:more@ims.example".to_vec();
    let impi = first.impi.clone().into_bytes();
    let add = Command::AddIdentity { impi: impi.clone(), impu, barred: false };
    assert_eq!(world.operate(&add), Err(Refusal::UserUnknown));
    let reason = imstorm_cscf::scscf::Reason::Deactivated;
    let done = world.operate(&Command::Terminate { impi, reason }).expect("a user who is there");
    assert_eq!(done.connections, 1);
    assert_eq!((world.tables().pcscf.sets, world.tables().scscf.bindings), (1, 2));
    works(&mut world, &mut base);
}

/// A re-REGISTER is challenged, and answered on the new set.
fn reauthenticate(world: &mut World, ue: &mut ScriptedUe) {
    let again = ue.register_again(600);
    let challenge = world.ask(ue, &again);
    assert_eq!(challenge.status(), 401, "{challenge}");
    ue.challenge(&challenge).expect("a challenge that the USIM accepts");
    let answer = ue.register_answer();
    let ok = world.ask(ue, &answer);
    assert_eq!(ok.status(), 200, "{ok}");
    ue.registered(&ok);
}

/// All orders of four.
fn orders() -> Vec<[usize; 4]> {
    let mut found = Vec::new();
    for number in 0..256_usize {
        let order = [number & 3, number >> 2 & 3, number >> 4 & 3, number >> 6];
        let mut sorted = order;
        sorted.sort_unstable();
        if sorted == [0, 1, 2, 3] {
            found.push(order);
        }
    }
    found
}

#[test]
fn four_registrations_authenticate_again_in_any_order_and_resynchronise_never() {
    let mut world = World::configured_twice(Layout::Together, IMPI, "", FOUR);
    let base = world.ue(1);
    let mut usim = base.freshness.clone();
    let mut ues: Vec<ScriptedUe> =
        (1..=4).map(|place| access(&world, &base, place, &format!("+{place}"))).collect();
    // All begin, and answer in the reverse order.
    let mut challenges = Vec::new();
    for ue in &mut ues {
        let first = ue.register_first(Credentials::Name);
        challenges.push(world.ask_plain(ue, &first));
    }
    for (ue, challenge) in ues.iter_mut().zip(&challenges).rev() {
        ue.freshness = usim.clone();
        ue.challenge(challenge).expect("a challenge that the USIM accepts");
        usim = ue.freshness.clone();
        let answer = ue.register_answer();
        let ok = world.ask(ue, &answer);
        assert_eq!(ok.status(), 200, "{ok}");
        ue.registered(&ok);
    }
    let orders = orders();
    assert_eq!(orders.len(), 24);
    for order in orders {
        let impi = base.impi.clone().into_bytes();
        world.operate(&Command::Shorten { impi, expires_s: 300 }).expect("a user who is there");
        let mut challenges = Vec::new();
        for ue in &mut ues {
            let again = ue.register_again(600);
            let challenge = world.ask(ue, &again);
            assert_eq!(challenge.status(), 401, "{challenge}");
            challenges.push(challenge);
        }
        for place in order {
            let ue = &mut ues[place];
            ue.freshness = usim.clone();
            ue.challenge(&challenges[place]).expect("a challenge that the USIM accepts");
            usim = ue.freshness.clone();
            let answer = ue.register_answer();
            let ok = world.ask(ue, &answer);
            assert_eq!(ok.status(), 200, "{order:?}: {ok}");
            ue.registered(&ok);
        }
        world.advance(seconds(130));
    }
    assert_eq!(world.counter("resynchronised"), 0);
    assert_eq!(world.counter("reauthenticated"), 4 * 24);
    assert_eq!(world.tables().pcscf.sets, 4);
}

#[test]
fn with_flows_they_are_one_users() {
    for layout in LAYOUTS {
        let mut world = World::configured_twice(layout, IMPI, OUTBOUND, TWO);
        let flow = |ue: &mut ScriptedUe, reg_id: u32| {
            ue.contact_more = format!(";reg-id={reg_id}");
            ue.supported = "path, gruu, outbound".to_owned();
        };
        let mut base = world.ue(1);
        flow(&mut base, 1);
        world.register(&mut base);
        let mut first = access(&world, &base, 1, "+1");
        flow(&mut first, 2);
        let ok = world.register(&mut first);
        assert_eq!(ok.all("Require"), ["outbound"], "{ok}");
        assert_eq!(world.counter("sa_sets_overridden"), 0);
        assert_eq!((world.tables().pcscf.sets, world.tables().scscf.bindings), (2, 4));
        works(&mut world, &mut base);
        works(&mut world, &mut first);
        // The flow is the same by whichever of them it is registered.
        let mut moved = access(&world, &first, 2, "+2");
        flow(&mut moved, 1);
        world.register(&mut moved);
        assert_eq!(world.counter("aka_registrations_overridden"), 1);
        assert_eq!((world.tables().pcscf.sets, world.tables().scscf.bindings), (2, 4));
        let unknown = world.counter("esp_unknown_spi");
        let late = base.register_again(600);
        world.sealed(&mut base, &late);
        assert_eq!(world.counter("esp_unknown_spi"), unknown + 1);
        works(&mut world, &mut first);
        works(&mut world, &mut moved);
    }
}

#[test]
fn with_connectivity_checks_those_of_one_base_are_checked() {
    for layout in LAYOUTS {
        let more = format!("{TWO}ue_leg = {{ t1_ms = 200 }}\n");
        let mut world = World::configured_twice(layout, IMPI, CHECKS, &more);
        let mut base = world.ue(1);
        world.register(&mut base);
        let mut first = access(&world, &base, 1, "+1");
        world.register(&mut first);
        let options = world.take_one(&mut base).message;
        assert_eq!(options.method(), "OPTIONS", "{options}");
        world.accept(&mut base, &options);
        assert_eq!(world.counter("connectivity_alive"), 1);
        works(&mut world, &mut base);
        works(&mut world, &mut first);
        // At one address by two private identities: no reason to end either unasked.
        let mut second = world.access_of(&first, base.ip, 1);
        second.impi = modified(&base, "+2");
        world.register(&mut second);
        assert_eq!(world.counter("aka_registrations_overridden"), 0);
        assert_eq!(world.counter("connectivity_checks"), 3);
    }
}

#[test]
fn where_sets_are_by_private_identity_the_first_two_solutions_need_the_third() {
    for scscf in [OUTBOUND, CHECKS] {
        for is_modified in [false, true] {
            let mut world = World::configured_twice(Layout::Apart, IMPI, scscf, TWO);
            let mut base = world.ue(1);
            base.contact_more = ";reg-id=1".to_owned();
            world.register(&mut base);
            let mut second = access(&world, &base, 1, if is_modified { "+1" } else { "" });
            second.contact_more = ";reg-id=2".to_owned();
            world.register(&mut second);
            let expected = if is_modified { (0, 2) } else { (1, 1) };
            let found = (world.counter("sa_sets_overridden"), world.tables().pcscf.sets);
            assert_eq!(found, expected, "{scscf} {is_modified}");
        }
    }
}

#[test]
fn security_subscriptions_may_have_them_too() {
    for layout in LAYOUTS {
        let mut world = World::configured_twice(layout, IMPI, "", TWO);
        let mut base = world.ue(1);
        world.secure(&mut base);
        let mut first = access(&world, &base, 1, "+1");
        world.secure(&mut first);
        // At the same address as well: what takes a connection's place is one of the same private identity.
        let mut second = world.access_of(&first, base.ip, 0);
        second.impi = modified(&base, "+2");
        world.secure(&mut second);
        assert_eq!((world.tables().pcscf.sets, world.tables().scscf.subscriptions), (3, 3));
        for ue in [&mut base, &mut first, &mut second] {
            world.refresh(ue);
        }
        first.freshness = second.freshness.clone();
        world.reauthenticate(&mut first);
        let mut third = access(&world, &first, 3, "+3");
        refused(&mut world, &mut third, 403, "modified_impis_refused");
        for ue in [&mut first, &mut base, &mut second] {
            world.leave(ue);
        }
        world.advance(seconds(400));
        world.assert_empty();
    }
}
