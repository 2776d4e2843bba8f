//! Sessions that go over to another secure connection of their user (the paper's section 3.2): by INVITE with Replaces, and by target
//! refresh.

use imstorm_base::seconds;
use tests::{Call, Layout, ScriptedUe, Text, World};

/// A UE with a call over its first access, and its second access, through another P-CSCF.
struct Scene {
    world: World,
    old: ScriptedUe,
    new: ScriptedUe,
    other: ScriptedUe,
    mine: Call,
    theirs: Call,
}

impl Scene {
    /// `calls`: the user that moves is the caller; else it was called.
    fn new(layout: Layout, calls: bool) -> Self {
        let mut world = World::with_two_pcscfs(layout);
        let mut old = world.ue(1);
        let mut other = world.ue(2);
        for party in [&mut old, &mut other] {
            world.secure(party);
            let impu = party.impu.clone();
            world.bind(party, &impu);
        }
        let (mine, theirs) = match calls {
            true => world.call(&mut old, &mut other),
            false => {
                let (theirs, mine) = world.call(&mut other, &mut old);
                (mine, theirs)
            }
        };
        let mut new = world.ue_through(1, "127.17.0.1".parse().expect("an address"), 1);
        new.new_call();
        world.secure(&mut new);
        Self { world, old, new, other, mine, theirs }
    }

    fn all() -> impl Iterator<Item = Self> {
        [
            (Layout::Together, true),
            (Layout::Together, false),
            (Layout::Apart, true),
            (Layout::Apart, false),
        ]
        .into_iter()
        .map(|(layout, calls)| Self::new(layout, calls))
    }

    /// Moves the call by Replaces. The dialog that it has now.
    fn replace(&mut self) -> Call {
        let invite = self.new.invite_replacing(&self.mine);
        self.world.sealed(&mut self.new, &invite);
        let progress = self.world.messages(&mut self.new);
        assert_eq!(progress.iter().map(Text::status).collect::<Vec<_>>(), [100], "{progress:#?}");
        let came = self.world.take_one(&mut self.other).message;
        assert_eq!(came.method(), "INVITE");
        assert_eq!(came.expect("Call-ID"), self.theirs.call_id, "a re-INVITE of the far dialog");
        assert!(came.header("Replaces").is_none(), "{came}");
        assert!(!came.all("Require").join(",").contains("replaces"), "{came}");
        let ok = self.other.answer_invite(&came, 200);
        self.world.sealed(&mut self.other, &ok);
        let accepted = self.world.messages(&mut self.new).pop().expect("a 200");
        assert_eq!(accepted.status(), 200, "{accepted}");
        let mut call = Call::of_answer(&invite, &accepted);
        let ack = call.request(&mut self.new, "ACK");
        self.world.sealed(&mut self.new, &ack);
        let ack = self.world.take_one(&mut self.other).message;
        assert_eq!((ack.method(), ack.cseq()), ("ACK", came.cseq()));
        call
    }

    /// Requests both ways pass, by the new connection only.
    fn goes_on_the_new_way(&mut self, call: &mut Call) {
        let mark = self.world.sent.len();
        for method in ["UPDATE", "OPTIONS"] {
            let request = call.request(&mut self.new, method);
            self.world.exchange(&mut self.new, &mut self.other, &request);
            let request = self.theirs.request(&mut self.other, method);
            let (came, _) = self.world.exchange(&mut self.other, &mut self.new, &request);
            assert_eq!(came.expect("Call-ID"), call.call_id);
        }
        let again = self.theirs.request(&mut self.other, "INVITE");
        self.world.exchange(&mut self.other, &mut self.new, &again);
        let ack = self.theirs.request(&mut self.other, "ACK");
        self.world.sealed(&mut self.other, &ack);
        assert_eq!(self.world.take_one(&mut self.new).message.method(), "ACK");
        let old = self.old.ip;
        let to_old = self.world.sent[mark..].iter().filter(|wire| wire.to.ip() == old).count();
        assert_eq!(to_old, 0, "nothing for the old access");
    }
}

#[test]
fn an_invite_with_replaces_moves_a_session() {
    for mut scene in Scene::all() {
        let mut call = scene.replace();
        // The old leg is ended over the old connection, and nothing else there.
        let bye = scene.world.take_one(&mut scene.old).message;
        assert_eq!((bye.method(), bye.expect("Call-ID")), ("BYE", scene.mine.call_id.as_str()));
        scene.world.accept(&mut scene.old, &bye);
        assert!(scene.world.messages(&mut scene.other).is_empty(), "the far end has its one call");
        assert_eq!(scene.world.counter("sessions_moved"), 1);
        assert_eq!(scene.world.tables().scscf.sessions, 2);
        scene.goes_on_the_new_way(&mut call);
        // The end of the old connection does not touch what was moved.
        scene.world.leave(&mut scene.old);
        assert!(scene.world.messages(&mut scene.other).is_empty());
        scene.goes_on_the_new_way(&mut call);
        scene.world.hang_up(&mut call, &mut scene.new, &mut scene.other);
        scene.world.advance(seconds(300));
        assert_eq!(scene.world.tables().scscf.sessions, 0);
    }
}

#[test]
fn the_far_end_hangs_up_a_session_that_was_moved() {
    for mut scene in Scene::all() {
        scene.replace();
        scene.world.messages(&mut scene.old);
        let mut theirs = scene.theirs.clone();
        theirs.cseq += 10;
        scene.world.hang_up(&mut theirs, &mut scene.other, &mut scene.new);
        scene.world.advance(seconds(300));
        assert_eq!(scene.world.tables().scscf.sessions, 0);
    }
}

#[test]
fn a_session_is_moved_away_from_a_pcscf_that_is_dead() {
    for mut scene in Scene::all() {
        // Nothing of the old access is heard any more.
        let mut call = scene.replace();
        scene.goes_on_the_new_way(&mut call);
        scene.world.hang_up(&mut call, &mut scene.new, &mut scene.other);
        scene.world.advance(seconds(300));
        assert_eq!(scene.world.tables().scscf.sessions, 0);
        assert_eq!(scene.world.tables().scscf.notifications, 0);
    }
}

#[test]
fn a_target_refresh_moves_a_session() {
    for method in ["INVITE", "UPDATE"] {
        for mut scene in Scene::all() {
            let mut call = scene.mine.clone();
            let request = call.request_over(&mut scene.new, method);
            let (came, _) = scene.world.exchange(&mut scene.new, &mut scene.other, &request);
            assert_eq!(came.expect("Call-ID"), scene.theirs.call_id);
            // From here on the UE has the new connection's way in that dialog.
            call.routes = vec![scene.new.preloaded_route()[0].clone()];
            if method == "INVITE" {
                let ack = call.request(&mut scene.new, "ACK");
                scene.world.sealed(&mut scene.new, &ack);
                assert_eq!(scene.world.take_one(&mut scene.other).message.method(), "ACK");
            }
            assert_eq!(scene.world.counter("sessions_moved"), 1);
            scene.goes_on_the_new_way(&mut call);
            scene.world.leave(&mut scene.old);
            assert!(scene.world.messages(&mut scene.other).is_empty());
            scene.goes_on_the_new_way(&mut call);
            scene.world.hang_up(&mut call, &mut scene.new, &mut scene.other);
            scene.world.advance(seconds(300));
            assert_eq!(scene.world.tables().scscf.sessions, 0);
        }
    }
}

#[test]
fn a_move_that_the_far_end_refuses_leaves_the_session_where_it_is() {
    for mut scene in Scene::all() {
        let invite = scene.new.invite_replacing(&scene.mine);
        scene.world.sealed(&mut scene.new, &invite);
        let came = scene.world.take_one(&mut scene.other).message;
        let refusal = scene.other.answer_invite(&came, 488);
        scene.world.sealed(&mut scene.other, &refusal);
        assert_eq!(scene.world.take_one(&mut scene.other).message.method(), "ACK");
        let refused = scene.world.messages(&mut scene.new).pop().expect("a refusal");
        assert_eq!(refused.status(), 488);
        let ack = scene.new.ack_refusal(&invite, &refused);
        scene.world.sealed(&mut scene.new, &ack);
        assert!(scene.world.messages(&mut scene.old).is_empty(), "the old leg lives");
        let update = scene.mine.request(&mut scene.old, "UPDATE");
        scene.world.exchange(&mut scene.old, &mut scene.other, &update);
        let update = scene.theirs.request(&mut scene.other, "UPDATE");
        scene.world.exchange(&mut scene.other, &mut scene.old, &update);
        // And it may be moved after all.
        let mut call = scene.replace();
        scene.world.messages(&mut scene.old);
        scene.goes_on_the_new_way(&mut call);
    }
}

#[test]
fn a_move_that_is_given_up_leaves_the_session_where_it_is() {
    for mut scene in Scene::all() {
        let invite = scene.new.invite_replacing(&scene.mine);
        scene.world.sealed(&mut scene.new, &invite);
        let came = scene.world.take_one(&mut scene.other).message;
        let ringing = scene.other.answer_invite(&came, 180);
        scene.world.sealed(&mut scene.other, &ringing);
        scene.world.messages(&mut scene.new);
        let cancel = scene.new.cancel(&invite);
        scene.world.sealed(&mut scene.new, &cancel);
        let cancelled = scene.world.take_one(&mut scene.other).message;
        assert_eq!(cancelled.method(), "CANCEL");
        assert_eq!(cancelled.expect("Call-ID"), scene.theirs.call_id);
        scene.world.accept(&mut scene.other, &cancelled);
        let terminated = scene.other.answer_invite(&came, 487);
        scene.world.sealed(&mut scene.other, &terminated);
        scene.world.messages(&mut scene.other);
        let refused = scene.world.messages(&mut scene.new).pop().expect("a refusal");
        assert_eq!(refused.status(), 487);
        let ack = scene.new.ack_refusal(&invite, &refused);
        scene.world.sealed(&mut scene.new, &ack);
        let update = scene.mine.request(&mut scene.old, "UPDATE");
        scene.world.exchange(&mut scene.old, &mut scene.other, &update);
    }
}

#[test]
fn a_session_goes_back_and_forth() {
    for mut scene in Scene::all() {
        for _ in 0..4 {
            let call = scene.replace();
            let bye = scene.world.take_one(&mut scene.old).message;
            assert_eq!(bye.method(), "BYE");
            scene.world.accept(&mut scene.old, &bye);
            scene.mine = call;
            std::mem::swap(&mut scene.old, &mut scene.new);
        }
        let mut call = scene.mine.clone();
        std::mem::swap(&mut scene.old, &mut scene.new);
        scene.goes_on_the_new_way(&mut call);
        assert_eq!(scene.world.counter("sessions_moved"), 4);
    }
}

#[test]
fn both_ends_of_a_session_move_at_once() {
    for layout in [Layout::Together, Layout::Apart] {
        let mut scene = Scene::new(layout, true);
        let mut elsewhere = scene.world.ue_through(2, "127.17.0.2".parse().expect("an address"), 1);
        elsewhere.new_call();
        scene.world.secure(&mut elsewhere);
        let one = scene.new.invite_replacing(&scene.mine);
        scene.world.sealed(&mut scene.new, &one);
        let came = scene.world.take_one(&mut scene.other).message;
        // The other end is under way itself, and offers what does not answer this: its move finds the session busy.
        let mut two = elsewhere.invite_replacing(&scene.theirs);
        two.body.push_str("m=video 49154 RTP/AVP 98\r\n");
        scene.world.sealed(&mut elsewhere, &two);
        let refused = scene.world.messages(&mut elsewhere).pop().expect("a refusal");
        assert_eq!(refused.status(), 491);
        let ack = elsewhere.ack_refusal(&two, &refused);
        scene.world.sealed(&mut elsewhere, &ack);
        let ok = scene.other.answer_invite(&came, 200);
        scene.world.sealed(&mut scene.other, &ok);
        let accepted = scene.world.messages(&mut scene.new).pop().expect("a 200");
        let mut mine = Call::of_answer(&one, &accepted);
        let ack = mine.request(&mut scene.new, "ACK");
        scene.world.sealed(&mut scene.new, &ack);
        scene.world.messages(&mut scene.other);
        // A moment later it goes through.
        let two = elsewhere.invite_replacing(&scene.theirs);
        scene.world.sealed(&mut elsewhere, &two);
        let came = scene.world.take_one(&mut scene.new).message;
        assert_eq!((came.method(), came.expect("Call-ID")), ("INVITE", mine.call_id.as_str()));
        let ok = scene.new.answer_invite(&came, 200);
        scene.world.sealed(&mut scene.new, &ok);
        let accepted = scene.world.messages(&mut elsewhere).pop().expect("a 200");
        let mut theirs = Call::of_answer(&two, &accepted);
        let ack = theirs.request(&mut elsewhere, "ACK");
        scene.world.sealed(&mut elsewhere, &ack);
        assert_eq!(scene.world.take_one(&mut scene.new).message.method(), "ACK");
        for (method, times) in [("UPDATE", 2), ("OPTIONS", 1)] {
            for _ in 0..times {
                let request = mine.request(&mut scene.new, method);
                scene.world.exchange(&mut scene.new, &mut elsewhere, &request);
                let request = theirs.request(&mut elsewhere, method);
                scene.world.exchange(&mut elsewhere, &mut scene.new, &request);
            }
        }
        scene.world.hang_up(&mut theirs, &mut elsewhere, &mut scene.new);
    }
}

#[test]
fn only_a_users_own_sessions_are_replaced() {
    let mut scene = Scene::new(Layout::Apart, true);
    let mut stranger = scene.world.ue(3);
    scene.world.secure(&mut stranger);
    let before = scene.world.tables().scscf.sessions;
    let refused = |scene: &mut Scene, ue: &mut ScriptedUe, invite: &Text| {
        scene.world.sealed(ue, invite);
        let refusal = scene.world.messages(ue).pop().expect("a refusal");
        let ack = ue.ack_refusal(invite, &refusal);
        scene.world.sealed(ue, &ack);
        refusal.status()
    };
    let theft = stranger.invite_replacing(&scene.mine);
    assert_eq!(refused(&mut scene, &mut stranger, &theft), 403);
    assert_eq!(scene.world.counter("replaces_refused"), 1);
    let mut new = scene.world.ue_through(1, "127.18.0.1".parse().expect("an address"), 1);
    new.new_call();
    scene.world.secure(&mut new);
    let mine = scene.mine.clone();
    let unknown = new.invite_replacing(&mine).altered("Replaces", "from-tag=", "from-tag=x");
    assert_eq!(refused(&mut scene, &mut new, &unknown), 481);
    let early = new.invite_replacing(&mine);
    let value = format!("{};early-only", early.expect("Replaces"));
    let early = early.with("Replaces", &value);
    assert_eq!(refused(&mut scene, &mut new, &early), 486);
    let twice = new.invite_replacing(&mine).and("Replaces", &mine.replaces());
    assert_eq!(refused(&mut scene, &mut new, &twice), 400);
    assert_eq!(scene.world.counter("replaces_refused"), 4);
    assert_eq!(scene.world.tables().scscf.sessions, before);
    let update = scene.mine.request(&mut scene.old, "UPDATE");
    scene.world.exchange(&mut scene.old, &mut scene.other, &update);
}

#[test]
fn a_session_that_was_moved_by_target_refresh_is_not_reached_by_the_old_connection() {
    let mut scene = Scene::new(Layout::Apart, true);
    let mut call = scene.mine.clone();
    let update = call.request_over(&mut scene.new, "UPDATE");
    scene.world.exchange(&mut scene.new, &mut scene.other, &update);
    let before = scene.world.counter("session_refused");
    call.routes = scene.mine.routes.clone();
    let bye = call.request(&mut scene.old, "BYE");
    scene.world.sealed(&mut scene.old, &bye);
    assert_eq!(scene.world.take_one(&mut scene.old).message.status(), 403);
    assert_eq!(scene.world.counter("session_refused"), before + 1);
    assert!(scene.world.messages(&mut scene.other).is_empty());
}

/// The far end hangs up while the session is being moved to another connection: the move is refused, or its new leg ends too.
#[test]
fn a_bye_that_crosses_a_move() {
    for agreed in [false, true] {
        for mut scene in Scene::all() {
            let invite = scene.new.invite_replacing(&scene.mine);
            scene.world.sealed(&mut scene.new, &invite);
            let came = scene.world.take_one(&mut scene.other).message;
            let bye = scene.theirs.request(&mut scene.other, "BYE");
            scene.world.sealed(&mut scene.other, &bye);
            let status = if agreed { 200 } else { 487 };
            let answer = scene.other.answer_invite(&came, status);
            scene.world.sealed(&mut scene.other, &answer);
            let at_old = scene.world.messages(&mut scene.old);
            assert!(at_old.iter().any(|it| it.method() == "BYE"), "{at_old:#?}");
            let mut asked: Vec<&Text> = at_old.iter().filter(|it| it.status() == 0).collect();
            if agreed {
                // The S-CSCF's own BYE has overtaken the far end's, which is refused by the leg that is over.
                let overtaken = asked.remove(0);
                assert_eq!(asked.first().map(|own| own.method()), Some("BYE"), "{at_old:#?}");
                let refusal = scene.old.respond(overtaken, 500);
                scene.world.sealed(&mut scene.old, &refusal);
            }
            for request in asked {
                scene.world.accept(&mut scene.old, request);
            }
            let told = scene.world.messages(&mut scene.other);
            let answers: Vec<&Text> = told.iter().filter(|it| it.status() > 0).collect();
            let [answer] = answers[..] else { panic!("{told:#?}") };
            assert_eq!(answer.status(), 200, "it has hung up: {answer}");
            for name in ["Call-ID", "From", "To", "CSeq"] {
                assert_eq!(answer.expect(name), bye.expect(name), "{answer}");
            }
            let told = scene.world.messages(&mut scene.new);
            let answer = told.iter().find(|it| it.status() > 100).expect("a final response");
            assert_eq!(answer.status(), status);
            if agreed {
                let mut call = Call::of_answer(&invite, answer);
                let ack = call.request(&mut scene.new, "ACK");
                scene.world.sealed(&mut scene.new, &ack);
                let bye = told.iter().find(|it| it.method() == "BYE").expect("a BYE");
                assert_eq!(bye.expect("Call-ID"), call.call_id);
                scene.world.accept(&mut scene.new, bye);
            } else {
                let ack = scene.new.ack_refusal(&invite, answer);
                scene.world.sealed(&mut scene.new, &ack);
            }
            scene.world.messages(&mut scene.other);
            scene.world.advance(seconds(300));
            let tables = scene.world.tables();
            assert_eq!((tables.scscf.sessions, tables.scscf.notifications), (0, 0));
        }
    }
}

/// The connection that a session was to go over ends before the far end has answered.
#[test]
fn the_new_connection_ends_during_a_move() {
    for mut scene in Scene::all() {
        let invite = scene.new.invite_replacing(&scene.mine);
        scene.world.sealed(&mut scene.new, &invite);
        let came = scene.world.take_one(&mut scene.other).message;
        scene.world.leave(&mut scene.new);
        let ok = scene.other.answer_invite(&came, 200);
        scene.world.sealed(&mut scene.other, &ok);
        for party in [&mut scene.old, &mut scene.other, &mut scene.new] {
            for request in scene.world.messages(party) {
                if request.status() == 0 && request.method() != "ACK" {
                    scene.world.accept(party, &request);
                }
            }
        }
        scene.world.advance(seconds(300));
        let tables = scene.world.tables();
        assert_eq!((tables.scscf.sessions, tables.scscf.notifications), (0, 0));
    }
}

/// A move that nobody ever answers blocks its session for a while only.
#[test]
fn a_move_without_an_answer_is_given_up() {
    let mut scene = Scene::new(Layout::Apart, true);
    let invite = scene.new.invite_replacing(&scene.mine);
    scene.world.sealed(&mut scene.new, &invite);
    scene.world.take(&mut scene.other);
    scene.world.advance(seconds(140));
    scene.world.take(&mut scene.other);
    let refused = scene.world.messages(&mut scene.new).pop().expect("a refusal");
    assert_eq!(refused.status(), 408, "{refused}");
    let ack = scene.new.ack_refusal(&invite, &refused);
    scene.world.sealed(&mut scene.new, &ack);
    let mut call = scene.replace();
    scene.world.messages(&mut scene.old);
    scene.goes_on_the_new_way(&mut call);
}

/// Provisional responses in a session with mapped names: RAck names the INVITE as the other leg knows it.
#[test]
fn a_provisional_response_over_mapped_legs_is_acknowledged() {
    for mut scene in Scene::all() {
        let mut call = scene.replace();
        scene.world.messages(&mut scene.old);
        for _ in 0..3 {
            let update = call.request(&mut scene.new, "UPDATE");
            scene.world.exchange(&mut scene.new, &mut scene.other, &update);
        }
        let invite = call.request(&mut scene.new, "INVITE").and("Supported", "100rel");
        scene.world.sealed(&mut scene.new, &invite);
        let came = scene.world.take_one(&mut scene.other).message;
        let progress =
            scene.other.answer_invite(&came, 183).and("Require", "100rel").and("RSeq", "5");
        scene.world.sealed(&mut scene.other, &progress);
        scene.world.messages(&mut scene.new);
        let rack = format!("5 {} INVITE", invite.cseq());
        let prack = call.request(&mut scene.new, "PRACK").and("RAck", &rack);
        let (pracked, _) = scene.world.exchange(&mut scene.new, &mut scene.other, &prack);
        assert_eq!(pracked.expect("RAck"), format!("5 {} INVITE", came.cseq()));
        let ok = scene.other.answer_invite(&came, 200);
        scene.world.sealed(&mut scene.other, &ok);
        let ack = call.request(&mut scene.new, "ACK");
        scene.world.sealed(&mut scene.new, &ack);
        let acked = scene.world.messages(&mut scene.other).pop().expect("an ACK");
        assert_eq!((acked.method(), acked.cseq()), ("ACK", came.cseq()));
    }
}

#[test]
fn a_dialog_that_rings_or_ends_is_not_moved() {
    let mut scene = Scene::new(Layout::Apart, true);
    // A session that ends: the far end's answer to the BYE is under way.
    let bye = scene.mine.request(&mut scene.old, "BYE");
    scene.world.sealed(&mut scene.old, &bye);
    let came = scene.world.take_one(&mut scene.other).message;
    let invite = scene.new.invite_replacing(&scene.mine);
    scene.world.sealed(&mut scene.new, &invite);
    let refused = scene.world.messages(&mut scene.new).pop().expect("a refusal");
    assert_eq!(refused.status(), 603);
    let ack = scene.new.ack_refusal(&invite, &refused);
    scene.world.sealed(&mut scene.new, &ack);
    scene.world.accept(&mut scene.other, &came);
    scene.world.messages(&mut scene.old);
    // One that rings.
    let to = scene.other.impu.clone();
    let invite = scene.old.invite(&to);
    scene.world.sealed(&mut scene.old, &invite);
    let came = scene.world.take_one(&mut scene.other).message;
    let ringing = scene.other.answer_invite(&came, 180);
    scene.world.sealed(&mut scene.other, &ringing);
    let rings = scene.world.messages(&mut scene.old).pop().expect("a 180");
    let mut call = Call::of_answer(&invite, &rings);
    let moving = scene.new.invite_replacing(&call);
    scene.world.sealed(&mut scene.new, &moving);
    let refused = scene.world.messages(&mut scene.new).pop().expect("a refusal");
    assert_eq!(refused.status(), 481, "RFC 3891 clause 3");
    let ack = scene.new.ack_refusal(&moving, &refused);
    scene.world.sealed(&mut scene.new, &ack);
    let update = call.request_over(&mut scene.new, "UPDATE");
    scene.world.sealed(&mut scene.new, &update);
    assert_eq!(scene.world.take_one(&mut scene.new).message.status(), 491);
}

/// Both parties have lost their accesses, and each moves the session away from one that the other can't reach any more.
#[test]
fn both_ends_that_have_lost_their_accesses_meet() {
    for mut scene in Scene::all() {
        let mut elsewhere = scene.world.further(&scene.other, [127, 17, 0, 2].into(), 1);
        let lost = [scene.old.ip, scene.other.ip];
        // The one is on its way to an access that is gone ...
        let one = scene.new.invite_replacing(&scene.mine);
        scene.world.sealed(&mut scene.new, &one);
        scene.world.messages(&mut scene.new);
        lost.iter().for_each(|ip| drop(scene.world.take_wires(*ip)));
        // ... when the other comes.
        let two = elsewhere.invite_replacing(&scene.theirs);
        scene.world.sealed(&mut elsewhere, &two);
        let accepted = [
            (scene.world.messages(&mut scene.new), &one),
            (scene.world.messages(&mut elsewhere), &two),
        ]
        .map(|(came, invite)| {
            let ok = came.into_iter().find(|it| it.status() == 200).expect("a 200");
            assert_eq!(ok.body, tests::call::OFFER, "the other's offer");
            Call::of_answer(invite, &ok)
        });
        let [mut mine, mut theirs] = accepted;
        for (call, ue) in [(&mut mine, &mut scene.new), (&mut theirs, &mut elsewhere)] {
            let ack = call.request(ue, "ACK");
            scene.world.sealed(ue, &ack);
        }
        assert!(scene.world.messages(&mut elsewhere).is_empty(), "no ACK of the other's");
        assert_eq!(scene.world.counter("sessions_moved"), 2);
        for _ in 0..2 {
            let request = mine.request(&mut scene.new, "UPDATE");
            scene.world.exchange(&mut scene.new, &mut elsewhere, &request);
            let request = theirs.request(&mut elsewhere, "INVITE");
            scene.world.exchange(&mut elsewhere, &mut scene.new, &request);
            let ack = theirs.request(&mut elsewhere, "ACK");
            scene.world.sealed(&mut elsewhere, &ack);
            assert_eq!(scene.world.take_one(&mut scene.new).message.method(), "ACK");
        }
        scene.world.hang_up(&mut mine, &mut scene.new, &mut elsewhere);
        lost.iter().for_each(|ip| drop(scene.world.take_wires(*ip)));
        scene.world.advance(seconds(200));
        lost.iter().for_each(|ip| drop(scene.world.take_wires(*ip)));
        scene.world.refresh(&mut scene.new);
        scene.world.refresh(&mut elsewhere);
        scene.world.advance(seconds(200));
        let tables = scene.world.tables();
        assert_eq!((tables.scscf.sessions, tables.scscf.notifications), (0, 0));
    }
}

/// The INVITE that has moved a session comes again, since nothing of its answers has arrived: it is not taken for another one.
#[test]
fn an_invite_that_has_moved_a_session_comes_again() {
    for mut scene in Scene::all() {
        let invite = scene.new.invite_replacing(&scene.mine);
        scene.world.sealed(&mut scene.new, &invite);
        let came = scene.world.take_one(&mut scene.other).message;
        let ok = scene.other.answer_invite(&came, 200);
        scene.world.sealed(&mut scene.other, &ok);
        let accepted = scene.world.messages(&mut scene.new).pop().expect("a 200");
        scene.world.sealed(&mut scene.new, &invite);
        for again in scene.world.messages(&mut scene.new) {
            assert!(again.status() <= 200, "{again}");
        }
        let mut call = Call::of_answer(&invite, &accepted);
        let ack = call.request(&mut scene.new, "ACK");
        scene.world.sealed(&mut scene.new, &ack);
        scene.world.messages(&mut scene.other);
        scene.world.messages(&mut scene.old);
        scene.goes_on_the_new_way(&mut call);
        assert_eq!(scene.world.counter("sessions_moved"), 1);
    }
}

/// An UPDATE that was to move a session is lost at the far end; the next one moves it.
#[test]
fn an_update_that_nobody_answers_does_not_keep_a_session_from_moving() {
    for mut scene in Scene::all() {
        let mut call = scene.mine.clone();
        let lost = call.request_over(&mut scene.new, "UPDATE");
        scene.world.sealed(&mut scene.new, &lost);
        scene.world.messages(&mut scene.other);
        scene.world.advance(seconds(140));
        scene.world.messages(&mut scene.other);
        scene.world.messages(&mut scene.new);
        let update = call.request_over(&mut scene.new, "UPDATE");
        scene.world.exchange(&mut scene.new, &mut scene.other, &update);
        assert_eq!(scene.world.counter("sessions_moved"), 1);
        call.routes = vec![scene.new.preloaded_route()[0].clone()];
        scene.goes_on_the_new_way(&mut call);
    }
}

/// The far end sends something over the old way while the session moves: the numbers of the leg go on.
#[test]
fn what_comes_by_the_old_way_during_a_move_counts() {
    for mut scene in Scene::all() {
        let mut call = scene.mine.clone();
        let update = call.request_over(&mut scene.new, "UPDATE");
        scene.world.sealed(&mut scene.new, &update);
        let came = scene.world.take_one(&mut scene.other).message;
        let options = scene.theirs.request(&mut scene.other, "OPTIONS");
        let (at_old, _) = scene.world.exchange(&mut scene.other, &mut scene.old, &options);
        let ok = scene.other.answer_invite(&came, 200);
        scene.world.sealed(&mut scene.other, &ok);
        assert_eq!(scene.world.take_one(&mut scene.new).message.status(), 200);
        let impi = scene.new.impi.clone().into();
        let reason = imstorm_cscf::scscf::Reason::Deactivated;
        let command = imstorm_cscf::operator::Command::Terminate { impi, reason };
        scene.world.operate(&command).expect("live connections");
        let told = scene.world.messages(&mut scene.new);
        let bye = told.iter().find(|it| it.method() == "BYE").expect("a BYE");
        assert!(bye.cseq() > at_old.cseq(), "{bye}");
    }
}

/// The caller has moved before its ACK arrived: what is accepted again is acknowledged in its place.
#[test]
fn an_acceptance_from_before_a_move_is_acknowledged() {
    for layout in [Layout::Together, Layout::Apart] {
        let mut scene = Scene::new(layout, true);
        let to = scene.other.impu.clone();
        let invite = scene.old.invite(&to);
        scene.world.sealed(&mut scene.old, &invite);
        let came = scene.world.take_one(&mut scene.other).message;
        let ok = scene.other.answer_invite(&came, 200);
        scene.world.sealed(&mut scene.other, &ok);
        let accepted = scene.world.messages(&mut scene.old).pop().expect("a 200");
        // The ACK is lost, and the UE moves.
        let first = Call::of_answer(&invite, &accepted);
        let moving = scene.new.invite_replacing(&first);
        scene.world.sealed(&mut scene.new, &moving);
        let again = scene.world.take_one(&mut scene.other).message;
        let agreed = scene.other.answer_invite(&again, 200);
        scene.world.sealed(&mut scene.other, &agreed);
        scene.world.messages(&mut scene.new);
        scene.world.sealed(&mut scene.other, &ok);
        let told = scene.world.messages(&mut scene.other).pop().expect("an ACK");
        assert_eq!((told.method(), told.cseq()), ("ACK", came.cseq()));
        assert_eq!(told.expect("Call-ID"), came.expect("Call-ID"));
        let at_new = scene.world.messages(&mut scene.new);
        assert!(at_new.is_empty(), "{at_new:#?}");
    }
}

#[test]
fn what_the_replaced_leg_refuses_is_to_be_tried_again() {
    for status in [481, 500] {
        for mut scene in Scene::all() {
            let Scene { world, old, new, other, mine, theirs } = &mut scene;
            let invite = new.invite_replacing(mine);
            world.sealed(new, &invite);
            world.messages(new);
            let came = world.take_one(other).message;
            // The far end's request is on its way to the old leg while that is being replaced, and is overtaken by its BYE.
            let update = theirs.request(other, "UPDATE");
            world.sealed(other, &update);
            let late = world.take_one(old).message;
            assert_eq!(late.method(), "UPDATE");
            let ok = other.answer_invite(&came, 200);
            world.sealed(other, &ok);
            let accepted = world.messages(new).pop().expect("a 200");
            let mut call = Call::of_answer(&invite, &accepted);
            let ack = call.request(new, "ACK");
            world.sealed(new, &ack);
            assert_eq!(world.take_one(other).message.method(), "ACK");
            let bye = world.take_one(old).message;
            assert_eq!(bye.method(), "BYE");
            world.accept(old, &bye);
            let refusal = old.respond(&late, status);
            world.sealed(old, &refusal);
            let answer = world.take_one(other).message;
            assert_eq!(answer.status(), 491, "the session is there: {answer}");
            for name in ["Call-ID", "From", "To", "CSeq"] {
                assert_eq!(answer.expect(name), update.expect(name), "{answer}");
            }
            scene.goes_on_the_new_way(&mut call);
        }
    }
}
