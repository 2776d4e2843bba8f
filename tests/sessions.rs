//! Sessions between UEs over their secure connections: what each party sees of a call, from its INVITE to its end.

use imstorm_base::seconds;
use imstorm_cscf::operator::Command;
use imstorm_cscf::scscf::Reason;
use tests::call::{ANSWER, OFFER};
use tests::ue::EXPIRES_S;
use tests::{Call, Layout, ScriptedUe, Text, World};

const LAYOUTS: [Layout; 3] = [Layout::Together, Layout::Apart, Layout::Each];

/// Two UEs with secure connections, both registered.
fn registered(layout: Layout) -> (World, ScriptedUe, ScriptedUe) {
    registered_in(World::new(layout))
}

fn registered_in(mut world: World) -> (World, ScriptedUe, ScriptedUe) {
    let (mut ue, mut other) = (world.ue(1), world.ue(2));
    for party in [&mut ue, &mut other] {
        world.secure(party);
        let impu = party.impu.clone();
        world.bind(party, &impu);
    }
    (world, ue, other)
}

/// Nothing of a session is left, and both connections still work.
fn nothing_is_left(world: &mut World, parties: &mut [&mut ScriptedUe]) {
    world.advance(seconds(300));
    for ue in parties.iter_mut() {
        let came = world.messages(ue);
        assert!(came.is_empty(), "{came:#?}");
        world.refresh(ue);
    }
    let tables = world.tables();
    assert_eq!((tables.scscf.sessions, tables.scscf.notifications), (0, 0));
    assert_eq!(tables.pcscf.transactions, 0);
    assert!(world.astray.is_empty(), "{:?}", world.astray);
}

#[test]
fn a_call_from_beginning_to_end() {
    for layout in LAYOUTS {
        let (mut world, mut ue, mut other) = registered(layout);
        let to = other.impu.clone();
        let invite = ue.invite(&to);
        world.sealed(&mut ue, &invite);
        assert_eq!(world.take_one(&mut ue).message.status(), 100);

        let came = world.take_one(&mut other).message;
        assert_eq!((came.method(), came.body.as_str()), ("INVITE", OFFER));
        assert_eq!(came.uri(), tests::ue::bare_uri(&other.contact()), "its own contact");
        assert_eq!(came.expect("Call-ID"), invite.expect("Call-ID"));
        assert_eq!(came.expect("From"), invite.expect("From"));
        assert_eq!(came.all("P-Asserted-Identity"), [format!("<{}>", ue.impu)]);
        assert_eq!(came.all("P-Called-Party-ID"), [format!("<{to}>")]);
        assert_eq!(came.all("Record-Route"), [other.preloaded_route()[0].clone()]);
        let session = came.expect("Contact");
        assert!(session.contains(&format!("@{}", world.scscf_mw)), "the S-CSCF's: {session}");
        for name in ["Security-Verify", "Route", "P-Preferred-Identity"] {
            assert!(came.header(name).is_none(), "{name}: {came}");
        }

        let ringing = other.answer_invite(&came, 180);
        world.sealed(&mut other, &ringing);
        let rings = world.take_one(&mut ue).message;
        assert_eq!((rings.status(), rings.all("Via").len()), (180, 1), "{rings}");
        assert_eq!(rings.all("Record-Route"), [ue.preloaded_route()[0].clone()]);
        assert!(rings.expect("Contact").contains(&format!("@{}", world.scscf_mw)), "{rings}");
        let ok = other.answer_invite(&came, 200);
        world.sealed(&mut other, &ok);
        let accepted = world.take_one(&mut ue).message;
        assert_eq!((accepted.status(), accepted.body.as_str()), (200, ANSWER));

        let mut mine = Call::of_answer(&invite, &accepted);
        let mut theirs = Call::of_invite(&came, &ok);
        let ack = mine.request(&mut ue, "ACK");
        world.sealed(&mut ue, &ack);
        let acked = world.take_one(&mut other).message;
        assert_eq!((acked.method(), acked.cseq()), ("ACK", invite.cseq()));
        assert_eq!(world.tables().scscf.sessions, 2, "one for each party");

        let bye = theirs.request(&mut other, "BYE");
        world.sealed(&mut other, &bye);
        let ends = world.take_one(&mut ue).message;
        assert_eq!(ends.method(), "BYE");
        assert_eq!(ends.uri(), tests::ue::bare_uri(&ue.contact()));
        world.accept(&mut ue, &ends);
        assert_eq!(world.take_one(&mut other).message.status(), 200);
        assert_eq!((world.counter("sessions_made"), world.counter("sessions_ended")), (2, 2));
        nothing_is_left(&mut world, &mut [&mut ue, &mut other]);
    }
}

#[test]
fn a_session_goes_on_by_requests_of_both() {
    for layout in LAYOUTS {
        let (mut world, mut ue, mut other) = registered(layout);
        let (mut mine, mut theirs) = world.call(&mut ue, &mut other);
        for _ in 0..2 {
            for method in ["UPDATE", "OPTIONS"] {
                let request = mine.request(&mut ue, method);
                let (came, _) = world.exchange(&mut ue, &mut other, &request);
                assert_eq!(came.cseq(), request.cseq());
                let request = theirs.request(&mut other, method);
                world.exchange(&mut other, &mut ue, &request);
            }
            let again = theirs.request(&mut other, "INVITE");
            world.exchange(&mut other, &mut ue, &again);
            let ack = theirs.request(&mut other, "ACK");
            world.sealed(&mut other, &ack);
            assert_eq!(world.take_one(&mut ue).message.method(), "ACK");
        }
        world.hang_up(&mut mine, &mut ue, &mut other);
        nothing_is_left(&mut world, &mut [&mut ue, &mut other]);
    }
}

#[test]
fn provisional_responses_are_acknowledged() {
    let (mut world, mut ue, mut other) = registered(Layout::Each);
    let to = other.impu.clone();
    let invite = ue.invite(&to);
    world.sealed(&mut ue, &invite);
    let came = world.take_one(&mut other).message;
    let progress = other.answer_invite(&came, 183).and("Require", "100rel").and("RSeq", "17");
    world.sealed(&mut other, &progress);
    let progress = world.messages(&mut ue).pop().expect("a 183");
    assert_eq!((progress.status(), progress.expect("RSeq")), (183, "17"));
    let mut mine = Call::of_answer(&invite, &progress);
    let prack = mine.request(&mut ue, "PRACK").and("RAck", "17 1 INVITE");
    world.sealed(&mut ue, &prack);
    let pracked = world.take_one(&mut other).message;
    assert_eq!((pracked.method(), pracked.expect("RAck")), ("PRACK", "17 1 INVITE"));
    world.accept(&mut other, &pracked);
    assert_eq!(world.take_one(&mut ue).message.status(), 200);
    let ok = other.answer_invite(&came, 200);
    world.sealed(&mut other, &ok);
    assert_eq!(world.take_one(&mut ue).message.status(), 200);
    let ack = mine.request(&mut ue, "ACK");
    world.sealed(&mut ue, &ack);
    assert_eq!(world.take_one(&mut other).message.method(), "ACK");
    world.hang_up(&mut mine, &mut ue, &mut other);
    nothing_is_left(&mut world, &mut [&mut ue, &mut other]);
}

#[test]
fn a_caller_gives_up() {
    for layout in LAYOUTS {
        let (mut world, mut ue, mut other) = registered(layout);
        let to = other.impu.clone();
        let invite = ue.invite(&to);
        world.sealed(&mut ue, &invite);
        let came = world.take_one(&mut other).message;
        let ringing = other.answer_invite(&came, 180);
        world.sealed(&mut other, &ringing);
        world.messages(&mut ue);
        let cancel = ue.cancel(&invite);
        world.sealed(&mut ue, &cancel);
        let cancelled = world.take_one(&mut other).message;
        assert_eq!((cancelled.method(), cancelled.cseq()), ("CANCEL", invite.cseq()));
        assert_eq!(cancelled.all("Via"), [came.all("Via")[0]], "the INVITE's branch");
        world.accept(&mut other, &cancelled);
        let terminated = other.answer_invite(&came, 487);
        world.sealed(&mut other, &terminated);
        assert_eq!(world.take_one(&mut other).message.method(), "ACK", "of the next hop");
        let answers = world.messages(&mut ue);
        let statuses: Vec<(u16, &str)> =
            answers.iter().map(|answer| (answer.status(), answer.method())).collect();
        assert_eq!(statuses, [(200, "CANCEL"), (487, "INVITE")]);
        let ack = ue.ack_refusal(&invite, &answers[1]);
        world.sealed(&mut ue, &ack);
        nothing_is_left(&mut world, &mut [&mut ue, &mut other]);
    }
}

#[test]
fn a_called_party_refuses() {
    for layout in LAYOUTS {
        let (mut world, mut ue, mut other) = registered(layout);
        let to = other.impu.clone();
        let invite = ue.invite(&to);
        world.sealed(&mut ue, &invite);
        let came = world.take_one(&mut other).message;
        let busy = other.answer_invite(&came, 486);
        world.sealed(&mut other, &busy);
        assert_eq!(world.take_one(&mut other).message.method(), "ACK");
        let refused = world.messages(&mut ue).pop().expect("a refusal");
        assert_eq!(refused.status(), 486);
        let ack = ue.ack_refusal(&invite, &refused);
        world.sealed(&mut ue, &ack);
        assert_eq!(world.counter("sessions_made"), 0);
        nothing_is_left(&mut world, &mut [&mut ue, &mut other]);
    }
}

#[test]
fn a_call_to_nobody_is_refused() {
    let (mut world, mut ue, _) = registered(Layout::Each);
    for (to, status) in [
        ("sip:ue00000003@ims.example", 480),
        ("sip:nobody@ims.example", 404),
        ("sip:somebody@elsewhere.example", 404),
    ] {
        let invite = ue.invite(to);
        world.sealed(&mut ue, &invite);
        let refused = world.messages(&mut ue).pop().expect("a refusal");
        assert_eq!(refused.status(), status, "{to}");
        let ack = ue.ack_refusal(&invite, &refused);
        world.sealed(&mut ue, &ack);
    }
    nothing_is_left(&mut world, &mut [&mut ue]);
}

#[test]
fn no_registration_is_needed_to_call() {
    let mut world = World::new(Layout::Apart);
    let (mut ue, mut other) = (world.ue(1), world.ue(2));
    world.secure(&mut ue);
    world.secure(&mut other);
    let called = other.impu.clone();
    world.bind(&mut other, &called);
    let tel = ue.tel();
    let invite = ue.invite(&called).and("P-Preferred-Identity", &format!("<{tel}>"));
    world.sealed(&mut ue, &invite);
    let came = world.take_one(&mut other).message;
    assert_eq!(came.all("P-Asserted-Identity"), [format!("<{tel}>")]);
}

#[test]
fn what_is_lost_is_sent_again_and_delivered_once() {
    let (mut world, mut ue, mut other) = registered(Layout::Each);
    let to = other.impu.clone();
    let invite = ue.invite(&to);
    for _ in 0..3 {
        world.sealed(&mut ue, &invite);
    }
    let came = world.messages(&mut other);
    assert_eq!(came.len(), 1, "{came:#?}");
    // The called UE is slow: the P-CSCF repeats the INVITE on its leg.
    world.advance(seconds(3));
    assert_eq!(world.messages(&mut other).len(), 1);
    let ok = other.answer_invite(&came[0], 200);
    world.sealed(&mut other, &ok);
    world.sealed(&mut other, &ok);
    let answers = world.messages(&mut ue);
    let accepted: Vec<&Text> = answers.iter().filter(|answer| answer.status() == 200).collect();
    assert_eq!(accepted.len(), 2, "each 2xx passes: {answers:#?}");
    let mut mine = Call::of_answer(&invite, accepted[0]);
    for _ in 0..2 {
        let ack = mine.request(&mut ue, "ACK");
        world.sealed(&mut ue, &ack);
        assert_eq!(world.take_one(&mut other).message.method(), "ACK");
    }
    assert_eq!(world.tables().scscf.sessions, 2);
    world.hang_up(&mut mine, &mut ue, &mut other);
    nothing_is_left(&mut world, &mut [&mut ue, &mut other]);
}

#[test]
fn a_ue_that_does_not_answer_gives_the_caller_408() {
    let (mut world, mut ue, mut other) = registered(Layout::Apart);
    let to = other.impu.clone();
    let invite = ue.invite(&to);
    world.sealed(&mut ue, &invite);
    world.advance(seconds(140));
    world.take(&mut other);
    let refused = world.messages(&mut ue).pop().expect("a refusal");
    assert_eq!(refused.status(), 408, "{refused}");
    let ack = ue.ack_refusal(&invite, &refused);
    world.sealed(&mut ue, &ack);
    nothing_is_left(&mut world, &mut [&mut ue, &mut other]);
}

/// Both ends of a session are told when its connection ends, before the security associations go.
#[test]
fn sessions_end_with_their_connection() {
    for layout in LAYOUTS {
        for by_network in [false, true] {
            let (mut world, mut ue, mut other) = registered(layout);
            world.call(&mut ue, &mut other);
            if by_network {
                let impi = ue.impi.clone();
                world
                    .operate(&Command::Terminate { impi: impi.into(), reason: Reason::Deactivated })
                    .expect("a live connection");
            } else {
                let release = ue.refresh(0);
                world.sealed(&mut ue, &release);
            }
            let came = world.messages(&mut ue);
            let order: Vec<&str> =
                came.iter().filter(|it| it.status() == 0).map(Text::method).collect();
            assert_eq!(order.first(), Some(&"BYE"), "the session first: {order:?}");
            assert_eq!(order.last(), Some(&"NOTIFY"));
            let byes = world.messages(&mut other);
            assert_eq!(byes.iter().map(Text::method).collect::<Vec<_>>(), ["BYE"]);
            world.accept(&mut other, &byes[0]);
            for request in came.iter().filter(|it| it.status() == 0) {
                world.accept(&mut ue, request);
            }
            assert_eq!(world.counter("sessions_released"), 1, "the other is ended by the BYE");
            world.advance(seconds(300));
            let tables = world.tables();
            assert_eq!((tables.scscf.sessions, tables.scscf.subscriptions), (0, 1));
            world.refresh(&mut other);
        }
    }
}

#[test]
fn a_call_that_rings_ends_with_either_connection() {
    for caller_ends in [true, false] {
        let (mut world, mut ue, mut other) = registered(Layout::Apart);
        let to = other.impu.clone();
        let invite = ue.invite(&to);
        world.sealed(&mut ue, &invite);
        let came = world.take_one(&mut other).message;
        let ringing = other.answer_invite(&came, 180);
        world.sealed(&mut other, &ringing);
        world.messages(&mut ue);
        let impi = if caller_ends { ue.impi.clone() } else { other.impi.clone() };
        let command = Command::Terminate { impi: impi.into(), reason: Reason::Deactivated };
        world.operate(&command).expect("a live connection");
        let told = world.messages(&mut ue);
        assert!(told.iter().any(|it| it.status() == 480 && it.method() == "INVITE"), "{told:#?}");
        let cancelled = world.messages(&mut other);
        assert!(cancelled.iter().any(|it| it.method() == "CANCEL"), "{cancelled:#?}");
        for request in cancelled.iter().filter(|it| it.status() == 0) {
            world.accept(&mut other, request);
        }
        let terminated = other.answer_invite(&came, 487);
        world.sealed(&mut other, &terminated);
        world.advance(seconds(300));
        assert_eq!(world.tables().scscf.sessions, 0);
        assert_eq!(world.tables().scscf.notifications, 0);
    }
}

#[test]
fn a_session_of_which_nothing_is_heard_is_ended() {
    let (mut world, mut ue, mut other) = registered(Layout::Each);
    let to = other.impu.clone();
    let invite = ue.invite(&to).and("Session-Expires", "90;refresher=uac");
    world.sealed(&mut ue, &invite);
    let came = world.take_one(&mut other).message;
    let ok = other
        .answer_invite(&came, 200)
        .and("Require", "timer")
        .and("Session-Expires", "90;refresher=uac");
    world.sealed(&mut other, &ok);
    let accepted = world.messages(&mut ue).pop().expect("a 200");
    let mut mine = Call::of_answer(&invite, &accepted);
    let ack = mine.request(&mut ue, "ACK");
    world.sealed(&mut ue, &ack);
    world.messages(&mut other);
    world.advance(seconds(60));
    let update = mine.request(&mut ue, "UPDATE").and("Session-Expires", "90;refresher=uac");
    world.sealed(&mut ue, &update);
    let came = world.take_one(&mut other).message;
    let ok = other.answer_invite(&came, 200).and("Session-Expires", "90;refresher=uac");
    world.sealed(&mut other, &ok);
    assert_eq!(world.take_one(&mut ue).message.status(), 200);
    world.advance(seconds(80));
    assert_eq!(world.tables().scscf.sessions, 2, "it was refreshed");
    world.advance(seconds(20));
    for party in [&mut ue, &mut other] {
        let ends = world.messages(party);
        assert!(ends.iter().all(|it| it.method() == "BYE") && !ends.is_empty(), "{ends:#?}");
        world.accept(party, &ends[0]);
    }
    assert_eq!(world.counter("sessions_expired"), 1, "the other is ended by the BYE");
    nothing_is_left(&mut world, &mut [&mut ue, &mut other]);
}

/// One identity at two accesses, both of which ring.
fn at_two_accesses(layout: Layout) -> (World, ScriptedUe, [ScriptedUe; 2]) {
    let mut world = World::with_two_pcscfs(layout);
    let mut ue = world.ue(1);
    world.secure(&mut ue);
    let mut accesses = [
        world.ue_through(2, "127.16.0.2".parse().expect("an address"), 0),
        world.ue_through(2, "127.17.0.2".parse().expect("an address"), 1),
    ];
    for access in &mut accesses {
        access.new_call();
        world.secure(access);
        let impu = access.impu.clone();
        world.bind(access, &impu);
    }
    (world, ue, accesses)
}

#[test]
fn a_call_rings_at_all_accesses_and_the_first_that_answers_has_it() {
    for layout in [Layout::Together, Layout::Apart] {
        let (mut world, mut ue, mut accesses) = at_two_accesses(layout);
        let invite = ue.invite(&accesses[0].impu.clone());
        world.sealed(&mut ue, &invite);
        let [first, second] = &mut accesses;
        let (at_first, at_second) = (world.take_one(first).message, world.take_one(second).message);
        let tagged = |answer: Text, tag: &str| {
            let to = format!("{};tag={tag}", invite.expect("To"));
            answer.with("To", &to)
        };
        for (access, came, tag) in
            [(&mut *first, &at_first, "one"), (&mut *second, &at_second, "two")]
        {
            let ringing = tagged(access.answer_invite(came, 180), tag);
            world.sealed(access, &ringing);
        }
        let rings = world.messages(&mut ue);
        let rings: Vec<&Text> = rings.iter().filter(|it| it.status() == 180).collect();
        assert_eq!(rings.len(), 2, "two early dialogs");
        assert_ne!(rings[0].expect("Contact"), rings[1].expect("Contact"));
        let ok = tagged(second.answer_invite(&at_second, 200), "two");
        world.sealed(second, &ok);
        let cancelled = world.take_one(first).message;
        assert_eq!(cancelled.method(), "CANCEL");
        world.accept(first, &cancelled);
        let terminated = tagged(first.answer_invite(&at_first, 487), "one");
        world.sealed(first, &terminated);
        assert_eq!(world.take_one(first).message.method(), "ACK");
        let accepted = world.messages(&mut ue);
        assert_eq!(accepted.iter().map(Text::status).collect::<Vec<_>>(), [200]);
        let mut mine = Call::of_answer(&invite, &accepted[0]);
        let ack = mine.request(&mut ue, "ACK");
        world.sealed(&mut ue, &ack);
        assert_eq!(world.take_one(second).message.method(), "ACK");
        assert_eq!(world.tables().scscf.sessions, 2);
        assert_eq!(world.counter("calls_forked"), 1);
        world.hang_up(&mut mine, &mut ue, second);
        nothing_is_left(&mut world, &mut [&mut ue, first, second]);
    }
}

#[test]
fn of_several_refusals_the_best_goes_back() {
    for layout in [Layout::Together, Layout::Apart] {
        for order in [[486, 603], [603, 486], [480, 486]] {
            let (mut world, mut ue, mut accesses) = at_two_accesses(layout);
            let invite = ue.invite(&accesses[0].impu.clone());
            world.sealed(&mut ue, &invite);
            for (access, status) in accesses.iter_mut().zip(order) {
                let arrived = world.messages(access);
                let Some(came) = arrived.iter().find(|it| it.method() == "INVITE") else {
                    continue;
                };
                let refusal = access.answer_invite(came, status);
                world.sealed(access, &refusal);
                world.messages(access);
            }
            let refused = world.messages(&mut ue).pop().expect("a refusal");
            let best = if order.contains(&603) { 603 } else { 480 };
            assert_eq!(refused.status(), best, "{order:?}");
            let ack = ue.ack_refusal(&invite, &refused);
            world.sealed(&mut ue, &ack);
            let [first, second] = &mut accesses;
            world.advance(seconds(300));
            world.messages(first);
            world.messages(second);
            assert_eq!(world.tables().scscf.sessions, 0);
            assert_eq!(world.tables().scscf.notifications, 0);
        }
    }
}

#[test]
fn a_caller_that_gives_up_stops_all_accesses() {
    let (mut world, mut ue, mut accesses) = at_two_accesses(Layout::Apart);
    let invite = ue.invite(&accesses[0].impu.clone());
    world.sealed(&mut ue, &invite);
    let invites: Vec<Text> = accesses
        .iter_mut()
        .map(|access| {
            let came = world.take_one(access).message;
            let ringing = access.answer_invite(&came, 180);
            world.sealed(access, &ringing);
            came
        })
        .collect();
    let cancel = ue.cancel(&invite);
    world.sealed(&mut ue, &cancel);
    for (access, came) in accesses.iter_mut().zip(&invites) {
        let cancelled = world.take_one(access).message;
        assert_eq!(cancelled.method(), "CANCEL");
        world.accept(access, &cancelled);
        let terminated = access.answer_invite(came, 487);
        world.sealed(access, &terminated);
        world.messages(access);
    }
    let refused = world.messages(&mut ue).pop().expect("a refusal");
    assert_eq!(refused.status(), 487);
    let ack = ue.ack_refusal(&invite, &refused);
    world.sealed(&mut ue, &ack);
    let [first, second] = &mut accesses;
    nothing_is_left(&mut world, &mut [&mut ue, first, second]);
}

#[test]
fn a_session_is_reached_by_its_own_parties_only() {
    let (mut world, mut ue, mut other) = registered(Layout::Apart);
    let (mine, _) = world.call(&mut ue, &mut other);
    let mut stranger = world.ue(3);
    world.secure(&mut stranger);
    let mut stolen = mine.clone();
    for method in ["BYE", "UPDATE", "INVITE"] {
        let before = world.counter("session_refused");
        let request = stolen.request_over(&mut stranger, method);
        world.sealed(&mut stranger, &request);
        let refused = world.messages(&mut stranger).pop().expect("a refusal");
        assert_eq!(refused.status(), 403, "{method}");
        assert_eq!(world.counter("session_refused"), before + 1, "{method}");
    }
    let mut guessed = mine.clone();
    guessed.remote = guessed.remote.replace("tag=", "tag=x");
    let bye = guessed.request(&mut ue, "BYE");
    world.sealed(&mut ue, &bye);
    assert_eq!(world.take_one(&mut ue).message.status(), 481);
    assert_eq!(world.counter("dialog_unknown"), 1);
    assert!(world.messages(&mut other).is_empty());
    assert_eq!(world.tables().scscf.sessions, 2);
}

#[test]
fn both_parties_change_the_session_at_once() {
    let (mut world, mut ue, mut other) = registered(Layout::Apart);
    let (mut mine, mut theirs) = world.call(&mut ue, &mut other);
    let one = mine.request(&mut ue, "INVITE");
    world.sealed(&mut ue, &one);
    let came = world.take_one(&mut other).message;
    let two = theirs.request(&mut other, "INVITE");
    world.sealed(&mut other, &two);
    let refused = world.messages(&mut other).pop().expect("a refusal");
    assert_eq!(refused.status(), 491, "{refused}");
    let ack = other.ack_refusal(&two, &refused);
    world.sealed(&mut other, &ack);
    assert_eq!(world.counter("invite_glare"), 1);
    let ok = other.answer_invite(&came, 200);
    world.sealed(&mut other, &ok);
    assert_eq!(world.messages(&mut ue).pop().expect("a 200").status(), 200);
    let ack = mine.request(&mut ue, "ACK");
    world.sealed(&mut ue, &ack);
    assert_eq!(world.take_one(&mut other).message.method(), "ACK");
    world.hang_up(&mut mine, &mut ue, &mut other);
    nothing_is_left(&mut world, &mut [&mut ue, &mut other]);
}

#[test]
fn both_parties_hang_up_at_once() {
    let (mut world, mut ue, mut other) = registered(Layout::Each);
    let (mut mine, mut theirs) = world.call(&mut ue, &mut other);
    let one = mine.request(&mut ue, "BYE");
    world.sealed(&mut ue, &one);
    let two = theirs.request(&mut other, "BYE");
    world.sealed(&mut other, &two);
    for party in [&mut ue, &mut other] {
        for came in world.messages(party) {
            match came.status() {
                0 => world.accept(party, &came),
                status => assert_eq!(status, 200),
            }
        }
    }
    for party in [&mut ue, &mut other] {
        world.messages(party);
    }
    nothing_is_left(&mut world, &mut [&mut ue, &mut other]);
}

#[test]
fn a_connection_is_refreshed_and_authenticated_again_while_a_session_runs() {
    let (mut world, mut ue, mut other) = registered(Layout::Apart);
    let (mut mine, mut theirs) = world.call(&mut ue, &mut other);
    world.refresh(&mut ue);
    world.reauthenticate(&mut ue);
    let update = theirs.request(&mut other, "UPDATE");
    world.exchange(&mut other, &mut ue, &update);
    world.advance(seconds(u64::from(EXPIRES_S) / 2));
    world.refresh(&mut ue);
    world.refresh(&mut other);
    world.hang_up(&mut mine, &mut ue, &mut other);
    nothing_is_left(&mut world, &mut [&mut ue, &mut other]);
}

#[test]
fn a_connection_has_only_so_many_sessions() {
    let (mut world, mut ue, mut other) = registered(Layout::Apart);
    let mut calls = Vec::new();
    for _ in 0..16 {
        calls.push(world.call(&mut ue, &mut other).0);
    }
    let to = other.impu.clone();
    let invite = ue.invite(&to);
    world.sealed(&mut ue, &invite);
    let refused = world.messages(&mut ue).pop().expect("a refusal");
    assert_eq!(refused.status(), 486);
    let ack = ue.ack_refusal(&invite, &refused);
    world.sealed(&mut ue, &ack);
    assert_eq!(world.counter("too_many_pending"), 1);
    let mut mine = calls.pop().expect("a call");
    world.hang_up(&mut mine, &mut ue, &mut other);
    world.call(&mut ue, &mut other);
}

/// What names another's INVITE is known to whom it came to, and its session's URI can be guessed: neither is of any use.
#[test]
fn nobody_cancels_or_takes_over_anothers_call() {
    let (mut world, mut ue, mut other) = registered(Layout::Apart);
    let mut thief = world.ue(3);
    world.secure(&mut thief);
    let to = other.impu.clone();
    let invite = ue.invite(&to);
    world.sealed(&mut ue, &invite);
    let came = world.take_one(&mut other).message;
    let ringing = other.answer_invite(&came, 180);
    world.sealed(&mut other, &ringing);
    world.messages(&mut ue);
    // The same names, by another user: it is another call.
    let mut taken = thief
        .invite(&to)
        .with("Call-ID", invite.expect("Call-ID"))
        .with("From", invite.expect("From"))
        .with("CSeq", invite.expect("CSeq"));
    taken.body = "v=0\r\n".to_owned();
    world.sealed(&mut thief, &taken);
    let second = world.take_one(&mut other).message;
    assert_ne!(second.expect("Contact"), came.expect("Contact"), "a session of its own");
    let cancel = thief.cancel(&taken);
    let ringing = other.answer_invite(&second, 180);
    world.sealed(&mut other, &ringing);
    world.messages(&mut thief);
    world.sealed(&mut thief, &cancel);
    let cancelled = world.take_one(&mut other).message;
    assert_eq!(cancelled.all("Via")[0], second.all("Via")[0], "its own call");
    world.accept(&mut other, &cancelled);
    let terminated = other.answer_invite(&second, 487);
    world.sealed(&mut other, &terminated);
    world.messages(&mut other);
    let refused = world.messages(&mut thief).pop().expect("a refusal");
    let ack = thief.ack_refusal(&taken, &refused);
    world.sealed(&mut thief, &ack);
    assert!(world.messages(&mut ue).is_empty(), "the first call rings on");
    let ok = other.answer_invite(&came, 200);
    world.sealed(&mut other, &ok);
    let accepted = world.messages(&mut ue).pop().expect("a 200");
    let mut mine = Call::of_answer(&invite, &accepted);
    let ack = mine.request(&mut ue, "ACK");
    world.sealed(&mut ue, &ack);
    assert_eq!(world.take_one(&mut other).message.method(), "ACK");
    world.hang_up(&mut mine, &mut ue, &mut other);
    nothing_is_left(&mut world, &mut [&mut ue, &mut other, &mut thief]);
}

#[test]
fn one_access_of_a_call_that_rings_ends_and_the_other_has_it() {
    for layout in [Layout::Together, Layout::Apart] {
        let (mut world, mut ue, mut accesses) = at_two_accesses(layout);
        let invite = ue.invite(&accesses[0].impu.clone());
        world.sealed(&mut ue, &invite);
        let [first, second] = &mut accesses;
        let (at_first, at_second) = (world.take_one(first).message, world.take_one(second).message);
        let to = |tag: &str| format!("{};tag={tag}", invite.expect("To"));
        for (access, came, tag) in
            [(&mut *first, &at_first, "one"), (&mut *second, &at_second, "two")]
        {
            let ringing = access.answer_invite(came, 180).with("To", &to(tag));
            world.sealed(access, &ringing);
        }
        world.messages(&mut ue);
        let release = first.refresh(0);
        world.sealed(first, &release);
        for request in world.messages(first) {
            if request.status() == 0 {
                world.accept(first, &request);
            }
        }
        let terminated = first.answer_invite(&at_first, 487).with("To", &to("one"));
        world.sealed(first, &terminated);
        world.messages(first);
        assert!(world.messages(&mut ue).is_empty(), "the other access rings on");
        let ok = second.answer_invite(&at_second, 200).with("To", &to("two"));
        world.sealed(second, &ok);
        let accepted = world.messages(&mut ue).pop().expect("a 200");
        assert_eq!(accepted.status(), 200);
        let mut mine = Call::of_answer(&invite, &accepted);
        let ack = mine.request(&mut ue, "ACK");
        world.sealed(&mut ue, &ack);
        assert_eq!(world.take_one(second).message.method(), "ACK");
        world.hang_up(&mut mine, &mut ue, second);
        nothing_is_left(&mut world, &mut [&mut ue, second]);
    }
}

#[test]
fn of_two_accesses_that_answer_at_once_one_has_the_call() {
    for layout in [Layout::Together, Layout::Apart] {
        let (mut world, mut ue, mut accesses) = at_two_accesses(layout);
        let invite = ue.invite(&accesses[0].impu.clone());
        world.sealed(&mut ue, &invite);
        let [first, second] = &mut accesses;
        let (at_first, at_second) = (world.take_one(first).message, world.take_one(second).message);
        let to = |tag: &str| format!("{};tag={tag}", invite.expect("To"));
        let one = first.answer_invite(&at_first, 200).with("To", &to("one"));
        let two = second.answer_invite(&at_second, 200).with("To", &to("two"));
        world.sealed(first, &one);
        world.messages(second);
        world.sealed(second, &two);
        let told: Vec<String> =
            world.messages(second).iter().map(|it| it.method().to_owned()).collect();
        assert_eq!(told, ["ACK", "BYE"], "it is told that it is over");
        assert_eq!(world.counter("acceptances_refused"), 1);
        let accepted = world.messages(&mut ue);
        let accepted: Vec<&Text> = accepted.iter().filter(|it| it.status() == 200).collect();
        assert_eq!(accepted.len(), 1);
        let mut mine = Call::of_answer(&invite, accepted[0]);
        let ack = mine.request(&mut ue, "ACK");
        world.sealed(&mut ue, &ack);
        world.messages(first);
        world.hang_up(&mut mine, &mut ue, first);
    }
}

/// What comes again after another of several dialogs was accepted still has the names and the way of the session.
#[test]
fn an_acceptance_that_comes_again_is_the_same() {
    let (mut world, mut ue, mut accesses) = at_two_accesses(Layout::Apart);
    let invite = ue.invite(&accesses[0].impu.clone());
    world.sealed(&mut ue, &invite);
    let [first, second] = &mut accesses;
    let (at_first, at_second) = (world.take_one(first).message, world.take_one(second).message);
    let to = |tag: &str| format!("{};tag={tag}", invite.expect("To"));
    for (access, came, tag) in [(&mut *first, &at_first, "one"), (&mut *second, &at_second, "two")]
    {
        let ringing = access.answer_invite(came, 180).with("To", &to(tag));
        world.sealed(access, &ringing);
    }
    let ok = second.answer_invite(&at_second, 200).with("To", &to("two"));
    world.sealed(second, &ok);
    world.sealed(second, &ok);
    let answers = world.messages(&mut ue);
    let accepted: Vec<&Text> = answers.iter().filter(|it| it.status() == 200).collect();
    assert_eq!(accepted.len(), 2);
    for name in ["Contact", "Record-Route", "To"] {
        assert_eq!(accepted[0].expect(name), accepted[1].expect(name));
    }
    let mut mine = Call::of_answer(&invite, accepted[1]);
    let ack = mine.request(&mut ue, "ACK");
    world.sealed(&mut ue, &ack);
    world.messages(second);
    let update = mine.request(&mut ue, "UPDATE");
    world.exchange(&mut ue, second, &update);
}

#[test]
fn a_ue_makes_no_dialogs_without_end() {
    let (mut world, mut ue, mut other) = registered(Layout::Apart);
    let to = other.impu.clone();
    let invite = ue.invite(&to);
    world.sealed(&mut ue, &invite);
    let came = world.take_one(&mut other).message;
    for number in 0..50 {
        let tagged = format!("{};tag=t{number}", came.expect("To"));
        let ringing = other.answer_invite(&came, 180).with("To", &tagged);
        world.sealed(&mut other, &ringing);
    }
    assert_eq!(world.tables().scscf.sessions, 2);
    let rings = world.messages(&mut ue);
    assert_eq!(rings.iter().filter(|it| it.status() == 180).count(), 1);
}

/// An UPDATE in the early dialog changes nothing of how long a call may ring, and nothing of it is left.
#[test]
fn an_update_before_the_answer_leaves_nothing() {
    let (mut world, mut ue, mut other) = registered(Layout::Apart);
    let to = other.impu.clone();
    let invite = ue.invite(&to);
    world.sealed(&mut ue, &invite);
    let came = world.take_one(&mut other).message;
    let progress = other.answer_invite(&came, 183).and("Require", "100rel").and("RSeq", "1");
    world.sealed(&mut other, &progress);
    let progress = world.messages(&mut ue).pop().expect("a 183");
    let mut mine = Call::of_answer(&invite, &progress);
    for (method, header) in [("PRACK", Some(("RAck", "1 1 INVITE"))), ("UPDATE", None)] {
        let mut request = mine.request(&mut ue, method);
        if let Some((name, value)) = header {
            request = request.and(name, value);
        }
        world.exchange(&mut ue, &mut other, &request);
    }
    world.advance(seconds(330));
    for party in [&mut ue, &mut other] {
        for came in world.messages(party) {
            if came.method() == "CANCEL" && came.status() == 0 {
                world.accept(party, &came);
            }
        }
    }
    world.advance(seconds(150));
    let tables = world.tables();
    assert_eq!((tables.scscf.sessions, tables.scscf.notifications), (0, 0));
}

/// Calls that strangers let ring keep a UE neither from refreshing its connection nor from calling, and a call that it has goes on.
#[test]
fn calls_of_strangers_do_not_block_a_ue() {
    let (mut world, mut ue, mut other) = registered(Layout::Apart);
    let (mut mine, mut theirs) = world.call(&mut ue, &mut other);
    let mut stranger = world.ue(3);
    world.secure(&mut stranger);
    let to = ue.impu.clone();
    let mut statuses = Vec::new();
    for _ in 0..12 {
        let invite = stranger.invite(&to);
        world.sealed(&mut stranger, &invite);
        for refused in world.messages(&mut stranger).iter().filter(|it| it.status() > 100) {
            statuses.push(refused.status());
            let ack = stranger.ack_refusal(&invite, refused);
            world.sealed(&mut stranger, &ack);
        }
    }
    assert_eq!(statuses, [486; 8], "four may ring");
    world.messages(&mut ue);
    world.refresh(&mut ue);
    let update = mine.request(&mut ue, "UPDATE");
    world.exchange(&mut ue, &mut other, &update);
    let update = theirs.request(&mut other, "UPDATE");
    world.exchange(&mut other, &mut ue, &update);
    world.hang_up(&mut mine, &mut ue, &mut other);
    world.call(&mut ue, &mut other);
}

#[test]
fn an_answer_that_was_lost_comes_again_whole() {
    for layout in LAYOUTS {
        let (mut world, mut ue, mut other) = registered(layout);
        let (mut mine, mut theirs) = world.call(&mut ue, &mut other);
        let update = mine.request(&mut ue, "UPDATE").and("Session-Expires", "90;refresher=uac");
        world.sealed(&mut ue, &update);
        let came = world.take_one(&mut other).message;
        let ok = other.answer_invite(&came, 200).and("Session-Expires", "90;refresher=uac");
        world.sealed(&mut other, &ok);
        let first = world.take_one(&mut ue).message;
        assert_eq!((first.body.as_str(), first.status()), (ANSWER, 200));
        world.sealed(&mut ue, &update);
        assert_eq!(world.take_one(&mut ue).message, first, "the same again");
        assert!(world.messages(&mut other).is_empty(), "delivered once");
        let back = theirs.request(&mut other, "UPDATE");
        world.exchange(&mut other, &mut ue, &back);
        world.hang_up(&mut mine, &mut ue, &mut other);
        nothing_is_left(&mut world, &mut [&mut ue, &mut other]);
    }
}

/// Who is called beside others changes the session in its own early dialog.
#[test]
fn each_of_those_called_has_its_early_dialog() {
    for layout in [Layout::Together, Layout::Apart] {
        let (mut world, mut ue, mut accesses) = at_two_accesses(layout);
        let invite = ue.invite(&accesses[0].impu.clone());
        world.sealed(&mut ue, &invite);
        for (access, tag) in accesses.iter_mut().zip(["one", "two"]) {
            let came = world.take_one(access).message;
            let to = format!("{};tag={tag}", invite.expect("To"));
            let progress = access.answer_invite(&came, 183).with("To", &to);
            world.sealed(access, &progress);
            let shown = world.messages(&mut ue).pop().expect("a 183");
            assert_eq!(shown.status(), 183);
            let mut theirs = Call::of_invite(&came, &progress);
            let update = theirs.request(access, "UPDATE");
            let (came, _) = world.exchange(access, &mut ue, &update);
            assert!(came.expect("From").contains(tag), "{came}");
        }
    }
}
