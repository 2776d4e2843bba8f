//! The whole handover of the paper's section 3.2, in its order: a new secure connection over another access and P-CSCF, the sessions, the
//! subscriptions, the registrations, and the end of the old connection; with the old access alive, and gone.

use imstorm_base::seconds;
use imstorm_cscf::operator::Command;
use tests::ue::{EXPIRES_S, replaces, replacing};
use tests::{Call, Layout, ScriptedUe, Text, World};

const LAYOUTS: [Layout; 2] = [Layout::Together, Layout::Apart];

/// A user with a call, a subscription and two registered identities, and the other end of the call.
struct Scene {
    world: World,
    old: ScriptedUe,
    other: ScriptedUe,
    mine: Call,
    theirs: Call,
    /// The SUBSCRIBE to the user's registration, and its 200.
    watch: (Text, Text),
    /// The accesses that were used so far.
    accesses: u8,
    /// Calls that rang, and that the network had to end.
    released: u64,
}

impl Scene {
    fn new(layout: Layout) -> Self {
        let mut world = World::with_two_pcscfs(layout);
        let (mut old, mut other) = (world.ue(1), world.ue(2));
        for party in [&mut old, &mut other] {
            world.secure(party);
            let impu = party.impu.clone();
            world.bind(party, &impu);
        }
        let tel = old.tel();
        world.bind(&mut old, &tel);
        let impu = old.impu.clone();
        let (watch, ok, _) = world.watch(&mut old, &impu);
        let (mine, theirs) = world.call(&mut old, &mut other);
        Self { world, old, other, mine, theirs, watch: (watch, ok), accesses: 0, released: 0 }
    }

    /// Everything that came to a UE; requests are answered by 200.
    fn answered(&mut self, ue: &mut ScriptedUe) -> Vec<Text> {
        let came = self.world.messages(ue);
        for request in came.iter().filter(|it| it.status() == 0 && it.method() != "ACK") {
            self.world.accept(ue, request);
            if request.method() == "CANCEL" {
                let call_id = request.expect("Call-ID");
                let is_it =
                    |it: &&Text| it.method() == "INVITE" && it.header("Call-ID") == Some(call_id);
                let invite = ue.received.iter().find(is_it).expect("what is cancelled").clone();
                let terminated = ue.answer_invite(&invite, 487);
                self.world.sealed(ue, &terminated);
            }
        }
        came
    }

    /// A connection over another access, through the other P-CSCF.
    fn secure(&mut self) -> ScriptedUe {
        self.accesses += 1;
        let address = [127, 17, self.accesses, 1].into();
        let place = usize::from(self.old.pcscf == self.world.pcscfs[0]);
        self.world.further(&self.old, address, place)
    }

    fn move_session(&mut self, new: &mut ScriptedUe) {
        let invite = new.invite_replacing(&self.mine);
        self.world.sealed(new, &invite);
        let came = self.world.take_one(&mut self.other).message;
        assert_eq!(came.method(), "INVITE");
        let ok = self.other.answer_invite(&came, 200);
        self.world.sealed(&mut self.other, &ok);
        let accepted = self.world.messages(new).pop().expect("a 200");
        assert_eq!(accepted.status(), 200, "{accepted}");
        self.mine = Call::of_answer(&invite, &accepted);
        let ack = self.mine.request(new, "ACK");
        self.world.sealed(new, &ack);
        assert_eq!(self.world.take_one(&mut self.other).message.method(), "ACK");
    }

    fn move_subscription(&mut self, new: &mut ScriptedUe) {
        let impu = new.impu.clone();
        let subscribe = replacing(new.watch(&impu, 3600), &replaces(&self.watch.1));
        self.world.sealed(new, &subscribe);
        let came = self.answered(new);
        let ok = came.iter().find(|it| it.status() == 200).expect("a 200");
        assert!(came.iter().any(|it| it.method() == "NOTIFY"), "{came:#?}");
        self.watch = (subscribe, ok.clone());
    }

    fn move_bindings(&mut self, new: &mut ScriptedUe) {
        for impu in [new.impu.clone(), new.tel()] {
            let register = new.register(&impu, 3600);
            self.world.sealed(new, &register);
            let came = self.answered(new);
            let ok = came.iter().find(|it| it.status() > 0).expect("an answer");
            assert_eq!(ok.status(), 200, "{ok}");
        }
    }

    /// Ends the old connection from the new one.
    fn end_old(&mut self, new: &mut ScriptedUe) {
        let refresh = replacing(new.refresh(EXPIRES_S), &self.old.replaces());
        self.world.sealed(new, &refresh);
        let came = self.answered(new);
        assert!(
            came.iter().any(|it| it.status() == 200 && it.method() == "SUBSCRIBE"),
            "{came:#?}"
        );
    }

    /// The whole handover. What came over the old access, where that is alive.
    fn hand_over(&mut self, is_lost: bool) -> Vec<Text> {
        let mut new = self.secure();
        self.goes_on(&mut new, false);
        self.move_session(&mut new);
        self.goes_on(&mut new, true);
        self.move_subscription(&mut new);
        self.move_bindings(&mut new);
        self.goes_on(&mut new, true);
        self.end_old(&mut new);
        let mut old = std::mem::replace(&mut self.old, new);
        if is_lost {
            self.world.take_wires(old.ip);
            return Vec::new();
        }
        let mut came = Vec::new();
        // What was answered may cause more.
        for _ in 0..3 {
            came.extend(self.answered(&mut old));
        }
        came
    }

    /// The call goes on both ways, over the old access or the new.
    fn goes_on(&mut self, new: &mut ScriptedUe, is_moved: bool) {
        let ue = if is_moved { new } else { &mut self.old };
        let request = self.mine.request(ue, "UPDATE");
        self.world.exchange(ue, &mut self.other, &request);
        let request = self.theirs.request(&mut self.other, "UPDATE");
        self.world.exchange(&mut self.other, ue, &request);
    }

    /// After a handover: one connection, with everything that ran over the old.
    fn stands(&mut self) {
        let tables = self.world.tables();
        assert_eq!(tables.scscf.subscriptions, 2, "the user's and the other's");
        assert_eq!(tables.pcscf.connections, 2);
        assert_eq!(tables.scscf.bindings, 3);
        assert_eq!(tables.scscf.reg_subscriptions, 1);
        assert_eq!(tables.scscf.sessions, 2);
        assert_eq!(self.world.counter("sessions_released"), self.released);
        let request = self.mine.request(&mut self.old, "UPDATE");
        self.world.exchange(&mut self.old, &mut self.other, &request);
        let request = self.theirs.request(&mut self.other, "UPDATE");
        self.world.exchange(&mut self.other, &mut self.old, &request);
        // The user is reached at the new access by both identities.
        for impu in [self.old.impu.clone(), self.old.tel()] {
            let message = self.other.message(&impu, None);
            self.world.sealed(&mut self.other, &message);
            let came = self.answered_old();
            assert!(came.iter().any(|it| it.method() == "MESSAGE"), "{impu}: {came:#?}");
            assert_eq!(self.world.messages(&mut self.other).len(), 1);
        }
    }

    fn answered_old(&mut self) -> Vec<Text> {
        let came = self.world.messages(&mut self.old);
        for request in came.iter().filter(|it| it.status() == 0 && it.method() != "ACK") {
            self.world.accept(&mut self.old, request);
        }
        came
    }

    /// Both leave, and nothing is left.
    fn all_leave(mut self) {
        let mut mine = self.mine.clone();
        self.world.hang_up(&mut mine, &mut self.old, &mut self.other);
        self.world.leave(&mut self.old);
        self.answered_old();
        self.world.leave(&mut self.other);
        self.world.advance(seconds(400));
        let tables = self.world.tables();
        assert_eq!((tables.scscf.subscriptions, tables.pcscf.sets), (0, 0));
        assert_eq!((tables.scscf.sessions, tables.scscf.notifications), (0, 0));
        assert_eq!((tables.scscf.strings_bytes, tables.pcscf.strings_bytes), (0, 0));
    }
}

#[test]
fn a_handover_with_the_old_access_alive() {
    for layout in LAYOUTS {
        let mut scene = Scene::new(layout);
        let came = scene.hand_over(false);
        let order: Vec<&str> =
            came.iter().map(|it| it.header("Event").unwrap_or(it.method())).collect();
        assert_eq!(order.first(), Some(&"BYE"), "the replaced leg: {order:?}");
        assert_eq!(order.last(), Some(&"security"), "the connection last: {order:?}");
        let last = came.last().expect("the last NOTIFY");
        assert_eq!(last.expect("Subscription-State"), "terminated;reason=noresource");
        scene.world.advance(seconds(5));
        scene.stands();
        scene.all_leave();
    }
}

#[test]
fn a_handover_from_an_access_that_is_gone() {
    for layout in LAYOUTS {
        let mut scene = Scene::new(layout);
        scene.hand_over(true);
        let lost = scene.world.to_ues.len();
        assert_eq!(lost, 0);
        // The old connection is ended from the new side; what can't be told to its UE ends by the timers.
        scene.world.advance(seconds(200));
        scene.world.refresh(&mut scene.other);
        let mut ue = std::mem::replace(&mut scene.old, scene.world.ue(9));
        scene.world.refresh(&mut ue);
        scene.old = ue;
        scene.world.advance(seconds(300));
        scene.world.take_wires([127, 16, 0, 1].into());
        scene.stands();
        scene.all_leave();
    }
}

/// Nothing tells the network that the old access is gone, and the UE does not end it: it lapses.
#[test]
fn an_old_connection_that_nobody_ends_ends_by_itself() {
    let mut scene = Scene::new(Layout::Apart);
    let mut new = scene.secure();
    scene.move_session(&mut new);
    scene.move_subscription(&mut new);
    scene.move_bindings(&mut new);
    scene.old = new;
    for _ in 0..12 {
        scene.world.advance(seconds(95));
        scene.world.take_wires([127, 16, 0, 1].into());
        let mut ue = std::mem::replace(&mut scene.old, scene.world.ue(9));
        let came = scene.answered(&mut ue);
        assert!(came.iter().all(|it| it.header("Event") == Some("reg")), "{came:#?}");
        scene.world.refresh(&mut ue);
        scene.old = ue;
        scene.world.refresh(&mut scene.other);
    }
    scene.stands();
    scene.all_leave();
}

#[test]
fn ping_pong() {
    for layout in LAYOUTS {
        let mut scene = Scene::new(layout);
        for _ in 0..4 {
            scene.hand_over(false);
            scene.world.advance(seconds(5));
            scene.stands();
        }
        assert_eq!(scene.world.counter("sessions_moved"), 4);
        scene.all_leave();
    }
}

#[test]
fn a_handover_while_the_old_connection_is_authenticated_again() {
    let mut scene = Scene::new(Layout::Apart);
    let refresh = scene.old.refresh(EXPIRES_S).without("Authorization");
    let challenge = scene.world.ask(&mut scene.old, &refresh);
    assert_eq!(challenge.status(), 401);
    // The answer is never sent: the access is gone, or the UE has other things to do.
    scene.hand_over(false);
    scene.world.advance(seconds(250));
    scene.world.refresh(&mut scene.other);
    let mut ue = std::mem::replace(&mut scene.old, scene.world.ue(9));
    scene.world.refresh(&mut ue);
    scene.old = ue;
    scene.stands();
    scene.all_leave();
}

#[test]
fn a_handover_while_the_network_lowers_the_lifetime() {
    let mut scene = Scene::new(Layout::Apart);
    let impi = scene.old.impi.clone().into();
    scene.world.operate(&Command::Shorten { impi, expires_s: 60 }).expect("a live connection");
    scene.answered_old();
    scene.hand_over(false);
    scene.world.advance(seconds(100));
    scene.stands();
    scene.all_leave();
}

#[test]
fn a_handover_while_the_users_identities_change() {
    let mut scene = Scene::new(Layout::Apart);
    let mut new = scene.secure();
    let impi: Vec<u8> = scene.old.impi.clone().into();
    let impu = b"sip:extra@ims.example".to_vec();
    scene
        .world
        .operate(&Command::AddIdentity { impi, impu, barred: false })
        .expect("a live connection");
    let told = scene.answered(&mut new);
    assert!(told.iter().any(|it| it.body.contains("sip:extra@ims.example")), "{told:#?}");
    scene.answered_old();
    scene.move_session(&mut new);
    scene.move_subscription(&mut new);
    scene.move_bindings(&mut new);
    scene.end_old(&mut new);
    let mut old = std::mem::replace(&mut scene.old, new);
    for _ in 0..3 {
        scene.answered(&mut old);
    }
    scene.world.advance(seconds(5));
    scene.stands();
}

/// A call that rings at the old access while the user moves away ends there; a call to the new access reaches it.
#[test]
fn a_handover_while_a_call_comes_in() {
    let mut scene = Scene::new(Layout::Apart);
    let mut third = scene.world.ue(3);
    scene.world.secure(&mut third);
    let to = scene.old.impu.clone();
    let invite = third.invite(&to);
    scene.world.sealed(&mut third, &invite);
    let came = scene.world.take_one(&mut scene.old).message;
    let ringing = scene.old.answer_invite(&came, 180);
    scene.world.sealed(&mut scene.old, &ringing);
    scene.world.messages(&mut third);
    scene.hand_over(false);
    let told = scene.world.messages(&mut third);
    assert!(told.iter().any(|it| it.status() == 480 && it.method() == "INVITE"), "{told:#?}");
    let ack = third.ack_refusal(&invite, &told[0]);
    scene.world.sealed(&mut third, &ack);
    let again = third.invite(&to);
    scene.world.sealed(&mut third, &again);
    let came = scene.world.take_one(&mut scene.old).message;
    assert_eq!(came.method(), "INVITE");
    let ok = scene.old.answer_invite(&came, 200);
    scene.world.sealed(&mut scene.old, &ok);
    let accepted = scene.world.messages(&mut third).pop().expect("a 200");
    let mut second = Call::of_answer(&again, &accepted);
    let ack = second.request(&mut third, "ACK");
    scene.world.sealed(&mut third, &ack);
    assert_eq!(scene.world.take_one(&mut scene.old).message.method(), "ACK");
    let mut ue = std::mem::replace(&mut scene.old, scene.world.ue(9));
    scene.world.hang_up(&mut second, &mut third, &mut ue);
    scene.old = ue;
    scene.world.release(&mut third);
    scene.world.advance(seconds(5));
    scene.released = 1;
    scene.stands();
}

/// No registration is needed to move a session, neither before nor after.
#[test]
fn a_session_of_an_unregistered_user_is_moved() {
    for layout in LAYOUTS {
        let mut world = World::with_two_pcscfs(layout);
        let (mut old, mut other) = (world.ue(1), world.ue(2));
        world.secure(&mut old);
        world.secure(&mut other);
        let called = other.impu.clone();
        world.bind(&mut other, &called);
        let tel = old.tel();
        let invite = old.invite(&called).and("P-Preferred-Identity", &format!("<{tel}>"));
        let (mine, _) = world.call_by(&mut old, &mut other, &invite);
        let mut new = world.further(&old, [127, 17, 0, 1].into(), 1);
        let moving = new.invite_replacing(&mine).and("P-Preferred-Identity", &format!("<{tel}>"));
        world.sealed(&mut new, &moving);
        let came = world.take_one(&mut other).message;
        assert_eq!(came.all("P-Asserted-Identity"), [format!("<{tel}>")]);
        let ok = other.answer_invite(&came, 200);
        world.sealed(&mut other, &ok);
        assert_eq!(world.messages(&mut new).pop().expect("a 200").status(), 200);
        assert_eq!(world.counter("sessions_moved"), 1);
        assert_eq!(world.tables().scscf.bindings, 1, "the other's");
    }
}

/// The old connection ends while its session is being moved: the session is kept, and lives over the new one.
#[test]
fn a_session_that_is_being_moved_outlives_its_old_connection() {
    for layout in LAYOUTS {
        for agrees in [true, false] {
            let mut scene = Scene::new(layout);
            let mut new = scene.secure();
            let invite = new.invite_replacing(&scene.mine);
            scene.world.sealed(&mut new, &invite);
            let came = scene.world.take_one(&mut scene.other).message;
            let mut old = std::mem::replace(&mut scene.old, scene.world.ue(9));
            let release = old.refresh(0);
            scene.world.sealed(&mut old, &release);
            for _ in 0..3 {
                scene.answered(&mut old);
            }
            assert!(scene.world.messages(&mut scene.other).is_empty(), "no BYE");
            if agrees {
                let ok = scene.other.answer_invite(&came, 200);
                scene.world.sealed(&mut scene.other, &ok);
                let accepted = scene.world.messages(&mut new).pop().expect("a 200");
                scene.mine = Call::of_answer(&invite, &accepted);
                let ack = scene.mine.request(&mut new, "ACK");
                scene.world.sealed(&mut new, &ack);
                scene.world.messages(&mut scene.other);
                scene.goes_on(&mut new, true);
                assert_eq!(scene.world.tables().scscf.sessions, 2);
            } else {
                let refusal = scene.other.answer_invite(&came, 488);
                scene.world.sealed(&mut scene.other, &refusal);
                let refused = scene.world.messages(&mut new).pop().expect("a refusal");
                let ack = new.ack_refusal(&invite, &refused);
                scene.world.sealed(&mut new, &ack);
                let ends = scene.world.messages(&mut scene.other);
                assert!(ends.iter().any(|it| it.method() == "BYE"), "{ends:#?}");
                for bye in ends.iter().filter(|it| it.method() == "BYE") {
                    scene.world.accept(&mut scene.other, bye);
                }
                assert_eq!(scene.world.tables().scscf.sessions, 0);
            }
        }
    }
}
