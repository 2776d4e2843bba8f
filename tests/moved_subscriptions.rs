//! The paper's section 3.2, "Impact of security event package on IMS Mobility": a UE moves its subscriptions from one of its secure
//! connections to another, by target refresh or by a SUBSCRIBE with Replaces, and ends the old subscription to the security event package
//! by a re-SUBSCRIBE with Replaces.

use std::net::{IpAddr, SocketAddr};

use imstorm_base::seconds;
use imstorm_cscf::Counters;
use tests::ue::{EXPIRES_S, replaces, replacing};
use tests::{Layout, ScriptedUe, Text, World};

const LAYOUTS: [Layout; 3] = [Layout::Together, Layout::Apart, Layout::Each];
/// Longer than a NOTIFY to a UE that is silent is tried, and than its connection hangs thereafter.
const GIVEN_UP_NS: u64 = seconds(400);

/// A user with two connections through a P-CSCF each, and somebody else.
struct Scene {
    world: World,
    old: ScriptedUe,
    new: ScriptedUe,
    other: ScriptedUe,
    before: [u64; Counters::COUNT],
}

impl Scene {
    fn new(layout: Layout) -> Self {
        let mut world = World::with_two_pcscfs(layout);
        let (mut old, mut other) = (world.ue(1), world.ue(2));
        world.secure(&mut old);
        world.secure(&mut other);
        let address: IpAddr = "127.16.1.1".parse().expect("an address");
        let new = world.further(&old, address, 1);
        let before = world.counters();
        Self { world, old, new, other, before }
    }

    /// The old connection watches the user's default identity. The request and the 200.
    fn watch(&mut self) -> (Text, Text) {
        let impu = self.old.impu.clone();
        let (watch, ok, _) = self.world.watch(&mut self.old, &impu);
        self.before = self.world.counters();
        (watch, ok)
    }

    /// A request over the new connection gets a 200 and a NOTIFY over it, which is answered.
    fn granted(&mut self, request: &Text) -> (Text, Text) {
        self.world.sealed(&mut self.new, request);
        let mut arrived = self.world.take(&mut self.new).into_iter().map(|it| it.message);
        let (ok, notify) = (arrived.next().expect("a 200"), arrived.next().expect("a NOTIFY"));
        assert_eq!((ok.status(), notify.method()), (200, "NOTIFY"), "{ok}{notify}");
        assert!(arrived.next().is_none());
        self.world.accept(&mut self.new, &notify);
        (ok, notify)
    }

    /// A request over the new connection is refused with this status; the counter rises by one, and others do not.
    fn refused(&mut self, request: &Text, status: u16, counter: &str) {
        let before = self.world.counters();
        let answer = self.world.ask(&mut self.new, request);
        assert_eq!(answer.status(), status, "{request}{answer}");
        assert_eq!(self.world.risen(&before), [(counter, 1)], "{request}");
        assert!(self.world.to_ues.is_empty(), "{:?}", self.world.to_ues);
    }

    fn risen(&self, counter: &str) -> u64 {
        let risen = self.world.risen(&self.before);
        risen.iter().find(|(name, _)| *name == counter).map_or(0, |(_, count)| *count)
    }

    /// A refresh of the new connection that replaces what is named.
    fn replacing_refresh(&mut self, named: &str) -> Text {
        replacing(self.new.refresh(EXPIRES_S), named)
    }

    /// Registers the user's default identity over the new connection, and takes the NOTIFY of that.
    fn bind_new(&mut self) -> Text {
        let impu = self.new.impu.clone();
        let register = self.new.register(&impu, 3600);
        self.world.sealed(&mut self.new, &register);
        let texts = self.world.take(&mut self.new).into_iter().map(|it| it.message);
        let (answers, notifies): (Vec<_>, Vec<_>) = texts.partition(|text| text.status() > 0);
        assert_eq!(answers[0].status(), 200, "{}", answers[0]);
        assert_eq!(notifies.len(), 1, "{notifies:?}");
        self.world.accept(&mut self.new, &notifies[0]);
        notifies[0].clone()
    }
}

/// Subscription-State of the NOTIFYs of an event package among what came.
fn states<'a>(texts: &'a [Text], event: &str) -> Vec<&'a str> {
    let is_asked = |text: &&Text| text.method() == "NOTIFY" && text.header("Event") == Some(event);
    texts.iter().filter(is_asked).map(|text| text.expect("Subscription-State")).collect()
}

fn texts(world: &mut World, ue: &mut ScriptedUe) -> Vec<Text> {
    world.take(ue).into_iter().map(|arrived| arrived.message).collect()
}

fn accept_all(world: &mut World, ue: &mut ScriptedUe, texts: &[Text]) {
    for notify in texts.iter().filter(|text| text.status() == 0) {
        world.accept(ue, notify);
    }
}

#[test]
fn a_subscription_moves_by_target_refresh() {
    for layout in LAYOUTS {
        let mut scene = Scene::new(layout);
        let (watch, ok) = scene.watch();
        let moving = scene.new.refresh_target(&watch, &ok);
        let (moved, notify) = scene.granted(&moving);
        assert_eq!(moved.expect("To"), ok.expect("To"), "the same dialog");
        assert!(moved.expect("Contact").contains(&scene.new.target), "{moved}");
        assert_eq!(notify.expect("Call-ID"), watch.expect("Call-ID"));
        assert_eq!(notify.uri(), format!("sip:{}", scene.new.at(scene.new.port_us())));
        assert_eq!(notify.cseq(), 2, "the NOTIFY after the first");
        assert!(notify.body.contains("state=\"full\""), "{notify}");
        assert!(notify.expect("Subscription-State").starts_with("active"), "{notify}");
        assert_eq!(scene.risen("subscriptions_moved"), 1);
        // From now on everything goes by the new way, in both directions.
        let mark = scene.world.mw.len();
        let notify = scene.bind_new();
        assert!(notify.body.contains("event=\"registered\""), "{notify}");
        let refresh = scene.new.next_in_dialog(&moving, &moved);
        scene.granted(&refresh);
        let old = scene.world.pcscf_mw;
        let at_old = scene.world.mw[mark..].iter().filter(|wire| wire.to == old);
        assert_eq!(at_old.count(), 0, "something reaches the old P-CSCF");
        // The old connection ends without it.
        let left = scene.world.leave(&mut scene.old);
        assert_eq!(states(&left, "reg"), [""; 0], "{layout:?}");
        assert_eq!(states(&left, "security"), ["terminated;reason=timeout"]);
        scene.world.advance(seconds(1));
        assert_eq!(scene.world.tables().scscf.reg_subscriptions, 1);
        let stop = scene.new.next_in_dialog(&refresh, &moved).with("Expires", "0");
        let (_, notify) = scene.granted(&stop);
        assert_eq!(notify.expect("Subscription-State"), "terminated;reason=timeout");
        assert_eq!(scene.world.tables().scscf.reg_subscriptions, 0);
    }
}

#[test]
fn a_moved_subscription_ends_with_the_connection_that_it_runs_over_now() {
    for layout in LAYOUTS {
        let mut scene = Scene::new(layout);
        let (watch, ok) = scene.watch();
        // A second one stays behind, in front of the other in the connection's list.
        let tel = scene.old.tel();
        scene.world.watch(&mut scene.old, &tel);
        let moving = scene.new.refresh_target(&watch, &ok);
        let (moved, _) = scene.granted(&moving);
        // There and back again.
        let back = scene.old.refresh_target(&moving, &moved);
        scene.world.sealed(&mut scene.old, &back);
        let arrived = texts(&mut scene.world, &mut scene.old);
        accept_all(&mut scene.world, &mut scene.old, &arrived);
        assert_eq!(states(&arrived, "reg"), ["active;expires=3600"]);
        let again = scene.new.refresh_target(&back, &arrived[0]);
        scene.granted(&again);
        assert_eq!(scene.risen("subscriptions_moved"), 3);
        let left = scene.world.leave(&mut scene.new);
        assert_eq!(states(&left, "reg"), ["terminated;reason=timeout"]);
        scene.world.advance(seconds(1));
        assert_eq!(scene.world.tables().scscf.reg_subscriptions, 1);
        let left = scene.world.leave(&mut scene.old);
        assert_eq!(states(&left, "reg"), ["terminated;reason=timeout"]);
        scene.world.leave(&mut scene.other);
        scene.world.advance(GIVEN_UP_NS);
        scene.world.assert_empty();
    }
}

#[test]
fn a_notify_on_the_way_that_was_left_is_given_up() {
    for layout in [Layout::Apart, Layout::Each] {
        let mut scene = Scene::new(layout);
        let (watch, ok) = scene.watch();
        // The old access is gone: nobody answers there.
        scene.world.bind(&mut scene.new, watch.uri());
        assert_eq!(states(&texts(&mut scene.world, &mut scene.old), "reg").len(), 1);
        let moving = scene.new.refresh_target(&watch, &ok);
        let (_, notify) = scene.granted(&moving);
        assert!(notify.body.contains("event=\"registered\""), "what was under way: {notify}");
        let (scscf, old) = (scene.world.scscf_mw, scene.world.pcscf_mw);
        let sent = scene.world.mw_between(scscf, old).len();
        scene.world.advance(seconds(200));
        let again = scene.world.mw_between(scscf, old).len() - sent;
        assert_eq!(again, 0, "the NOTIFY is repeated on the way that was left");
        assert_eq!(scene.world.tables().scscf.reg_subscriptions, 1, "it outlives the 408");
        assert_eq!(scene.world.tables().scscf.notifications, 0);
        assert!(scene.world.take(&mut scene.new).is_empty());
    }
}

#[test]
fn a_subscription_moves_by_a_subscribe_with_replaces() {
    for layout in LAYOUTS {
        let mut scene = Scene::new(layout);
        let (watch, ok) = scene.watch();
        let impu = scene.new.impu.clone();
        let moving = replacing(scene.new.watch(&impu, 3600), &replaces(&ok));
        let (moved, notify) = scene.granted(&moving);
        assert_ne!(moved.expect("Call-ID"), watch.expect("Call-ID"), "another dialog");
        assert!(notify.body.contains("state=\"full\""), "{notify}");
        assert!(notify.expect("Subscription-State").starts_with("active"), "{notify}");
        let ended = texts(&mut scene.world, &mut scene.old);
        assert_eq!(states(&ended, "reg"), ["terminated;reason=noresource"], "{layout:?}");
        assert_eq!(ended[0].expect("Call-ID"), watch.expect("Call-ID"));
        // The request comes again before the old one's end is answered: the same answer, and nothing ends twice.
        let again = scene.new.via(scene.new.port_us());
        let again = moving.clone().with("Via", &again);
        let answer = scene.world.ask(&mut scene.new, &again);
        assert_eq!((answer.status(), answer.expect("To")), (200, moved.expect("To")));
        accept_all(&mut scene.world, &mut scene.old, &ended);
        assert_eq!(scene.world.tables().scscf.reg_subscriptions, 1);
        assert_eq!(scene.risen("subscriptions_moved"), 1);
        scene.bind_new();
        assert!(scene.world.take(&mut scene.old).is_empty());
        // The old connection goes on without it.
        scene.world.refresh(&mut scene.old);
        let left = scene.world.leave(&mut scene.old);
        assert_eq!(states(&left, "reg"), [""; 0]);
        let refresh = scene.new.next_in_dialog(&moving, &moved).without("Replaces");
        scene.granted(&refresh);
    }
}

#[test]
fn a_replaced_subscription_whose_ue_is_silent_ends_all_the_same() {
    for layout in LAYOUTS {
        let mut scene = Scene::new(layout);
        let (_, ok) = scene.watch();
        let impu = scene.new.impu.clone();
        let moving = replacing(scene.new.watch(&impu, 3600), &replaces(&ok));
        scene.granted(&moving);
        assert_eq!(scene.world.tables().scscf.reg_subscriptions, 2);
        scene.world.advance(seconds(200));
        assert_eq!(scene.world.tables().scscf.reg_subscriptions, 1, "{layout:?}");
        scene.bind_new();
    }
}

#[test]
fn a_replaced_connection_ends_without_what_was_moved() {
    for layout in LAYOUTS {
        let mut scene = Scene::new(layout);
        let (watch, ok) = scene.watch();
        let (impu, tel) = (scene.old.impu.clone(), scene.old.tel());
        let register = scene.old.register(&impu, 3600);
        scene.world.sealed(&mut scene.old, &register);
        let arrived = texts(&mut scene.world, &mut scene.old);
        accept_all(&mut scene.world, &mut scene.old, &arrived);
        scene.world.watch(&mut scene.old, &tel);
        let moving = scene.new.refresh_target(&watch, &ok);
        scene.granted(&moving);
        scene.bind_new();
        let before = scene.world.counters();
        let refresh = scene.replacing_refresh(&scene.old.replaces());
        scene.world.sealed(&mut scene.new, &refresh);
        let at_new = texts(&mut scene.world, &mut scene.new);
        accept_all(&mut scene.world, &mut scene.new, &at_new);
        assert_eq!(at_new[0].status(), 200, "{}", at_new[0]);
        assert_eq!(states(&at_new, "security"), [format!("active;expires={EXPIRES_S}")]);
        // What was moved tells of what ends.
        let told = at_new.iter().find(|text| text.header("Event") == Some("reg")).expect("told");
        assert!(told.body.contains("event=\"deactivated\""), "{told}");
        let at_old = texts(&mut scene.world, &mut scene.old);
        assert_eq!(states(&at_old, "reg"), ["terminated;reason=noresource"], "the one left behind");
        assert_eq!(states(&at_old, "security"), ["terminated;reason=noresource"], "{layout:?}");
        assert_eq!(at_old.last().expect("two").header("Event"), Some("security"), "the last");
        accept_all(&mut scene.world, &mut scene.old, &at_old);
        scene.world.advance(seconds(1));
        let risen = scene.world.risen(&before);
        for counter in ["connections_replaced", "connections_ended", "subscriptions_refreshed"] {
            assert!(risen.contains(&(counter, 1)), "{counter}: {risen:?}");
        }
        let tables = scene.world.tables();
        assert_eq!((tables.pcscf.connections, tables.pcscf.sets), (2, 2), "with somebody else's");
        assert_eq!((tables.scscf.bindings, tables.scscf.reg_subscriptions), (1, 1));
        // The same refresh again changes nothing.
        scene.world.sealed(&mut scene.new, &refresh);
        scene.world.take(&mut scene.new);
        assert_eq!(scene.risen("connections_replaced"), 1);
        scene.world.refresh(&mut scene.new);
        scene.world.refresh(&mut scene.other);
    }
}

#[test]
fn a_replaced_connection_whose_ue_is_silent_ends_all_the_same() {
    for layout in LAYOUTS {
        let mut scene = Scene::new(layout);
        let (watch, ok) = scene.watch();
        let impu = scene.old.impu.clone();
        let register = scene.old.register(&impu, 3600);
        scene.world.sealed(&mut scene.old, &register);
        // From here on the old access is dead.
        scene.world.take(&mut scene.old);
        let moving = scene.new.refresh_target(&watch, &ok);
        scene.granted(&moving);
        scene.bind_new();
        let refresh = scene.replacing_refresh(&scene.old.replaces());
        scene.world.sealed(&mut scene.new, &refresh);
        let at_new = texts(&mut scene.world, &mut scene.new);
        accept_all(&mut scene.world, &mut scene.new, &at_new);
        scene.world.advance(GIVEN_UP_NS);
        let tables = scene.world.tables();
        assert_eq!((tables.pcscf.connections, tables.pcscf.sets), (2, 2), "{layout:?}");
        assert_eq!((tables.scscf.subscriptions, tables.scscf.notifications), (2, 0));
        assert_eq!((tables.scscf.bindings, tables.scscf.reg_subscriptions), (1, 1));
        scene.world.take(&mut scene.new);
        scene.world.refresh(&mut scene.new);
    }
}

#[test]
fn a_replaced_connection_whose_pcscf_is_cut_off_ends_at_the_scscf() {
    for layout in [Layout::Apart, Layout::Each] {
        let mut scene = Scene::new(layout);
        let (watch, ok) = scene.watch();
        scene.world.leave(&mut scene.other);
        scene.world.advance(seconds(1));
        scene.world.cut_off = Some(scene.world.pcscf.ip());
        let moving = scene.new.refresh_target(&watch, &ok);
        scene.granted(&moving);
        let refresh = scene.replacing_refresh(&scene.old.replaces());
        scene.granted(&refresh);
        scene.world.advance(GIVEN_UP_NS);
        let tables = scene.world.tables().scscf;
        assert_eq!((tables.subscriptions, tables.notifications), (1, 0), "{layout:?}");
        assert_eq!(tables.reg_subscriptions, 1);
        scene.world.take(&mut scene.new);
        scene.world.refresh(&mut scene.new);
        scene.bind_new();
    }
}

#[test]
fn a_connection_that_ends_already_may_be_replaced() {
    for layout in LAYOUTS {
        let mut scene = Scene::new(layout);
        let named = scene.old.replaces();
        let release = scene.old.refresh(0);
        scene.world.sealed(&mut scene.old, &release);
        let refresh = scene.replacing_refresh(&named);
        scene.granted(&refresh);
        assert_eq!(scene.risen("connections_replaced"), 0);
        let at_old = texts(&mut scene.world, &mut scene.old);
        assert_eq!(states(&at_old, "security"), ["terminated;reason=timeout"], "its own end");
        accept_all(&mut scene.world, &mut scene.old, &at_old);
        scene.world.advance(seconds(1));
        assert_eq!(scene.world.tables().scscf.subscriptions, 2);
    }
}

#[test]
fn a_refresh_that_is_challenged_replaces_when_it_is_answered() {
    let mut scene = Scene::new(Layout::Apart);
    let named = scene.old.replaces();
    let refresh = scene.replacing_refresh(&named).without("Authorization");
    let challenge = scene.world.ask(&mut scene.new, &refresh);
    assert_eq!(challenge.status(), 401);
    assert_eq!(scene.risen("connections_replaced"), 0);
    scene.new.challenge(&challenge).expect("a challenge that the USIM accepts");
    let answer = replacing(scene.new.answer_in_dialog(), &named);
    scene.granted(&answer);
    assert_eq!(scene.risen("connections_replaced"), 1);
    let at_old = texts(&mut scene.world, &mut scene.old);
    assert_eq!(states(&at_old, "security"), ["terminated;reason=noresource"]);
}

#[test]
fn what_a_subscribe_to_reg_may_not_replace() {
    for layout in LAYOUTS {
        let mut scene = Scene::new(layout);
        let (_, ok) = scene.watch();
        let other = scene.other.impu.clone();
        let (_, others, _) = scene.world.watch(&mut scene.other, &other);
        let (impu, tel) = (scene.new.impu.clone(), scene.new.tel());
        let named = replaces(&ok);
        let unknown = named.replace("to-tag=0", "to-tag=1");
        let another_call = format!("x{named}");
        let early = format!("{named};early-only");
        let security = scene.old.replaces();
        for (named, identity, status) in [
            (replaces(&others), &impu, 403),
            (unknown, &impu, 481),
            (another_call, &impu, 481),
            (security, &impu, 481),
            (named.clone(), &tel, 481),
            (early, &impu, 486),
            ("a;to-tag=b".to_owned(), &impu, 400),
        ] {
            let request = replacing(scene.new.watch(identity, 3600), &named);
            scene.refused(&request, status, "replaces_refused");
        }
        let twice = replacing(scene.new.watch(&impu, 3600), &named).and("Replaces", &named);
        scene.refused(&twice, 400, "replaces_refused");
        assert_eq!(scene.world.tables().scscf.reg_subscriptions, 2, "nothing was moved or made");
        assert_eq!(scene.risen("subscriptions_moved"), 0);
    }
}

#[test]
fn what_a_refresh_may_not_replace() {
    for layout in LAYOUTS {
        let mut scene = Scene::new(layout);
        let (_, ok) = scene.watch();
        let named = scene.old.replaces();
        let until = scene.world.now + seconds(EXPIRES_S.into());
        scene.world.advance(seconds(100));
        for (named, status) in [
            (scene.other.replaces(), 403),
            (scene.new.replaces(), 400),
            (format!("x{named}"), 603),
            (named.replace("to-tag=0", "to-tag=1"), 603),
            (replaces(&ok), 603),
            (format!("{named};early-only"), 486),
            ("a;to-tag=b".to_owned(), 400),
        ] {
            let request = scene.replacing_refresh(&named);
            scene.refused(&request, status, "replaces_refused");
        }
        let request = scene.replacing_refresh(&named).and("Replaces", &named);
        scene.refused(&request, 400, "replaces_refused");
        let request = replacing(scene.new.refresh(0), &named);
        scene.refused(&request, 400, "replaces_refused");
        // Nothing was refreshed, and both live.
        assert_eq!(scene.risen("subscriptions_refreshed"), 0);
        let rows = scene.world.show(imstorm_engine::tables::Table::Subscriptions, None);
        let left = (until - scene.world.now) / seconds(1);
        assert!(rows.iter().all(|row| row["expires_s"] == left), "{rows:?}");
        scene.world.refresh(&mut scene.old);
        scene.world.refresh(&mut scene.new);
    }
}

#[test]
fn a_first_security_subscribe_replaces_nothing() {
    for layout in LAYOUTS {
        let mut scene = Scene::new(layout);
        let mut third = scene.world.ue_through(1, "127.16.1.3".parse().expect("an address"), 1);
        third.new_call();
        let first = third.first(tests::ue::Credentials::Name);
        let first = replacing(first, &scene.old.replaces());
        let before = scene.world.counters();
        assert_eq!(scene.world.ask_plain(&mut third, &first).status(), 400);
        let risen = scene.world.risen(&before);
        assert!(risen.contains(&("replaces_refused", 1)), "{risen:?}");
        assert!(risen.iter().all(|(name, _)| *name != "challenges"), "no vector is spent");
        assert_eq!(scene.world.tables().pcscf.connections, 3);
        scene.world.refresh(&mut scene.old);
    }
}

#[test]
fn replaces_means_nothing_in_register_and_message() {
    for layout in LAYOUTS {
        let mut scene = Scene::new(layout);
        let (_, ok) = scene.watch();
        let (impu, named) = (scene.new.impu.clone(), replaces(&ok));
        let register = replacing(scene.new.register(&impu, 3600), &named);
        scene.refused(&register, 400, "replaces_refused");
        let message = replacing(scene.new.message(&impu, None), &named);
        scene.refused(&message, 400, "replaces_refused");
        let moving = scene.new.refresh_target(&scene.old.watch(&impu, 3600), &ok);
        let moving = replacing(moving.with("Call-ID", ok.expect("Call-ID")), &named);
        let moving = moving.with("From", ok.expect("From"));
        scene.refused(&moving, 400, "replaces_refused");
        assert_eq!(scene.world.tables().scscf.bindings, 0);
    }
}

#[test]
fn a_subscription_of_another_user_does_not_move() {
    for layout in LAYOUTS {
        let mut scene = Scene::new(layout);
        let other = scene.other.impu.clone();
        let (watch, ok, _) = scene.world.watch(&mut scene.other, &other);
        let stolen = scene.new.refresh_target(&watch, &ok);
        scene.refused(&stolen, 403, "wrong_route");
        let ended = scene.new.refresh_target(&watch, &ok).with("Expires", "0");
        scene.refused(&ended, 403, "wrong_route");
        let refresh = scene.other.next_in_dialog(&watch, &ok);
        scene.world.sealed(&mut scene.other, &refresh);
        let arrived = texts(&mut scene.world, &mut scene.other);
        assert_eq!(states(&arrived, "reg"), ["active;expires=3600"], "{layout:?}");
    }
}

#[test]
fn a_move_over_the_old_connections_route_is_none() {
    for layout in LAYOUTS {
        let mut scene = Scene::new(layout);
        let (watch, ok) = scene.watch();
        let moving = scene.new.refresh_target(&watch, &ok);
        let pcscf = moving.all("Route")[0].to_owned();
        let old_route = format!("<{}>", scene.old.target);
        let by_old = moving.clone().without("Route").and("Route", &pcscf).and("Route", &old_route);
        scene.refused(&by_old, 403, "wrong_route");
        // Without a service route it is a request over the old connection, which this one is not.
        let bare = moving.clone().without("Route").and("Route", &pcscf);
        scene.refused(&bare, 403, "wrong_route");
        let old_contact = format!("<sip:{}>", SocketAddr::new(scene.old.ip, scene.old.port_us()));
        scene.refused(&moving.clone().with("Contact", &old_contact), 403, "contact_refused");
        scene.refused(&moving.clone().without("Contact"), 400, "bad_request");
        let too_late = moving.clone().with("CSeq", "0 SUBSCRIBE");
        assert_eq!(scene.world.ask(&mut scene.new, &too_late).status(), 500);
        assert_eq!(scene.risen("subscriptions_moved"), 0);
        scene.granted(&moving);
    }
}

#[test]
fn a_connection_takes_only_so_many_subscriptions() {
    let mut scene = Scene::new(Layout::Together);
    let (watch, ok) = scene.watch();
    let impu = scene.new.impu.clone();
    for _ in 0..8 {
        scene.world.watch(&mut scene.new, &impu);
    }
    let moving = scene.new.refresh_target(&watch, &ok);
    scene.refused(&moving, 503, "table_full");
    let refresh = scene.old.next_in_dialog(&watch, &ok);
    scene.world.sealed(&mut scene.old, &refresh);
    let arrived = texts(&mut scene.world, &mut scene.old);
    assert_eq!(states(&arrived, "reg"), ["active;expires=3600"], "it stays where it was");
}

#[test]
fn a_security_subscription_does_not_move_by_target_refresh() {
    for layout in LAYOUTS {
        let mut scene = Scene::new(layout);
        // In the old dialog, with the new connection's agreement, contact and route.
        let mut moving = scene.new.refresh(EXPIRES_S);
        moving.start = format!("SUBSCRIBE {} SIP/2.0", scene.old.target);
        let tag = scene.old.to_tag.clone().expect("a dialog");
        let moving = moving
            .with("From", &format!("<{}>;tag={}", scene.old.impu, scene.old.tag))
            .with("To", &format!("<{}>;tag={tag}", scene.old.impu))
            .with("Call-ID", &scene.old.call_id)
            .with("CSeq", &format!("{} SUBSCRIBE", scene.old.cseq + 1))
            .and("Route", &format!("<{}>", scene.new.target));
        scene.refused(&moving, 403, "wrong_dialog");
        scene.world.refresh(&mut scene.old);
        scene.world.refresh(&mut scene.new);
    }
}
