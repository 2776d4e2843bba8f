//! The paper's section 3.2: one identity is registered over several secure connections, and what the contacts say they can do (RFC 3840)
//! decides together with what the caller asks for (RFC 3841) which of them a request goes to.

use std::net::IpAddr;

use tests::message::parameter;
use tests::ue::bare_uri;
use tests::{Layout, ScriptedUe, Text, World};

const LAYOUTS: [Layout; 3] = [Layout::Together, Layout::Apart, Layout::Each];

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

/// A caller, and somebody with a phone and a desk, each with a connection of its own through a P-CSCF of its own, and with one identity
/// that is registered over both. The desk is the newest.
struct Scene {
    world: World,
    caller: ScriptedUe,
    phone: ScriptedUe,
    desk: ScriptedUe,
}

impl Scene {
    fn new(layout: Layout, phone_can: &str, desk_can: &str) -> Self {
        let mut world = World::with_two_pcscfs(layout);
        let (mut caller, mut phone) = (world.ue(1), world.ue(2));
        world.secure(&mut caller);
        world.secure(&mut phone);
        let mut desk = world.further(&phone, ip("127.16.1.2"), 1);
        bind(&mut world, &mut phone, phone_can);
        bind(&mut world, &mut desk, desk_can);
        assert_eq!(world.tables().scscf.bindings, 2);
        Self { world, caller, phone, desk }
    }

    /// A MESSAGE to the identity, or to `uri`, with these header lines.
    fn message(&mut self, uri: Option<&str>, lines: &[(&str, &str)]) -> Text {
        let to = self.phone.impu.clone();
        let message = self.caller.message(uri.unwrap_or(&to), None);
        lines.iter().fold(message, |message, (name, value)| message.and(name, value))
    }

    /// Whether it is the desk that a MESSAGE with these header lines comes to. It comes to one of the two, and is answered.
    fn goes_to_desk(&mut self, uri: Option<&str>, lines: &[(&str, &str)]) -> bool {
        let message = self.message(uri, lines);
        self.world.sealed(&mut self.caller, &message);
        let at_phone = self.world.take(&mut self.phone);
        let at_desk = self.world.take(&mut self.desk);
        assert_eq!(at_phone.len() + at_desk.len(), 1, "{at_phone:?} {at_desk:?}");
        let is_desk = !at_desk.is_empty();
        let callee = if is_desk { &mut self.desk } else { &mut self.phone };
        let arrived = &at_phone.first().or(at_desk.first()).expect("one").message;
        assert_eq!(arrived.uri(), bare_uri(&callee.contact()));
        for (name, value) in lines {
            assert!(arrived.all(name).contains(value), "no proxy alters it (RFC 3841 clause 7)");
        }
        self.world.accept(callee, arrived);
        let answer = self.world.take_one(&mut self.caller).message;
        assert_eq!((answer.status(), answer.method()), (200, "MESSAGE"));
        is_desk
    }

    /// The status that a MESSAGE with these header lines gets, and which counters rise by it. It comes to nobody.
    fn refused(&mut self, lines: &[(&str, &str)]) -> (u16, Vec<(&'static str, u64)>) {
        let before = self.world.counters();
        let message = self.message(None, lines);
        let status = self.world.ask(&mut self.caller, &message).status();
        assert!(self.world.to_ues.is_empty(), "{:?}", self.world.to_ues);
        (status, self.world.risen(&before))
    }
}

/// Registers the UE's identity with what its contact can do. The 200.
fn bind(world: &mut World, ue: &mut ScriptedUe, can: &str) -> Text {
    let impu = ue.impu.clone();
    let contact = format!("{}{can}", ue.contact());
    let register = ue.register(&impu, 3600).with("Contact", &contact);
    let ok = world.ask(ue, &register);
    assert_eq!(ok.status(), 200, "{ok}");
    ok
}

#[test]
fn the_callers_preference_chooses_among_equals() {
    for layout in LAYOUTS {
        let mut scene = Scene::new(layout, ";audio;video", ";audio;class=\"business\"");
        assert!(scene.goes_to_desk(None, &[]), "the newest of equals");
        assert!(!scene.goes_to_desk(None, &[("Accept-Contact", "*;video")]));
        assert!(!scene.goes_to_desk(None, &[("Accept-Contact", "*;video;require;explicit")]));
        assert!(!scene.goes_to_desk(None, &[("Reject-Contact", "*;class=\"business\"")]));
        assert!(scene.goes_to_desk(None, &[("Accept-Contact", "*;class=\"Business\"")]));
        assert!(scene.goes_to_desk(None, &[("Reject-Contact", "*;video")]));
        assert!(scene.goes_to_desk(None, &[("a", "*;audio")]), "both say so");
        let lines = [("Accept-Contact", "*;video"), ("Accept-Contact", "*;class=\"business\"")];
        assert!(scene.goes_to_desk(None, &lines), "each is half of what is asked for");
    }
}

#[test]
fn the_callees_preference_goes_before_the_callers() {
    for layout in LAYOUTS {
        let mut scene = Scene::new(layout, ";audio;q=0.9", ";audio;video;q=0.5");
        assert!(!scene.goes_to_desk(None, &[]));
        assert!(!scene.goes_to_desk(None, &[("Accept-Contact", "*;video")]));
        let lines = [("Accept-Contact", "*;video;require;explicit")];
        assert!(scene.goes_to_desk(None, &lines), "but for what the caller requires");
    }
}

#[test]
fn a_contact_that_can_not_take_the_method_is_passed_over() {
    for layout in LAYOUTS {
        let mut scene = Scene::new(layout, ";methods=\"MESSAGE,INVITE\"", ";methods=\"INVITE\"");
        assert!(!scene.goes_to_desk(None, &[]), "the request itself implies it");
        // Where that leaves nobody, they say so themselves.
        let mut scene = Scene::new(layout, ";methods=\"BYE\"", ";methods=\"INVITE\"");
        assert!(scene.goes_to_desk(None, &[]));
    }
}

#[test]
fn a_range_and_a_string_are_compared_as_such() {
    let mut scene = Scene::new(
        Layout::Together,
        ";+sip.width=\"#<=640\";description=\"<Home>\"",
        ";+sip.width=\"#800:1920\";description=\"<home>\"",
    );
    assert!(!scene.goes_to_desk(None, &[("Accept-Contact", "*;+sip.width=\"#=320\";require")]));
    assert!(scene.goes_to_desk(None, &[("Accept-Contact", "*;+sip.width=\"#>=1024\";require")]));
    assert!(!scene.goes_to_desk(None, &[("Accept-Contact", "*;description=\"<Home>\";require")]));
    assert!(scene.goes_to_desk(None, &[("Accept-Contact", "*;description=\"<home>\";require")]));
    assert!(!scene.goes_to_desk(None, &[("Reject-Contact", "*;+sip.width=\"!#<=700\"")]));
}

#[test]
fn a_gruu_leads_to_its_newest_contact_and_preferences_may_refuse_it() {
    for layout in LAYOUTS {
        let mut scene = Scene::new(layout, ";audio;q=0.9", ";video;q=0.1");
        let ok = bind(&mut scene.world, &mut scene.phone, ";audio;q=0.9");
        let own = bare_uri(&scene.phone.contact()).to_owned();
        let contacts = ok.all("Contact");
        let contact = contacts.iter().find(|contact| contact.contains(&own)).expect("its own");
        let gruu = |name: &str| parameter(contact, name).expect("a GRUU").to_owned();
        let (public, temporary) = (gruu("pub-gruu"), gruu("temp-gruu"));
        // Both are one instance in this harness, and the phone registered last.
        assert!(!scene.goes_to_desk(Some(&public), &[]));
        bind(&mut scene.world, &mut scene.desk, ";video;q=0.1");
        assert!(scene.goes_to_desk(Some(&public), &[]), "whatever it prefers");
        assert!(!scene.goes_to_desk(Some(&temporary), &[]), "of one binding");
        let lines = [("Accept-Contact", "*;video;require;explicit")];
        let message = scene.message(Some(&temporary), &lines);
        assert_eq!(scene.world.ask(&mut scene.caller, &message).status(), 480);
    }
}

#[test]
fn what_nobody_can_is_refused() {
    for layout in LAYOUTS {
        let mut scene = Scene::new(layout, ";audio", ";audio;video");
        let passed = ("standalone_passed", 1);
        let lines = [("Accept-Contact", "*;automata;require;explicit")];
        let (status, risen) = scene.refused(&lines);
        assert_eq!((status, risen), (480, vec![passed, ("not_registered", 1)]));
        let lines = [("Reject-Contact", "*;audio")];
        let (status, risen) = scene.refused(&lines);
        assert_eq!((status, risen), (480, vec![passed, ("not_registered", 1)]));
    }
}

#[test]
fn a_preference_that_can_not_be_read_is_refused() {
    for layout in LAYOUTS {
        let mut scene = Scene::new(layout, ";audio", ";video");
        for line in [
            ("Accept-Contact", "audio"),
            ("Accept-Contact", "*;audio, *;+sip.width=\"#640\""),
            ("Reject-Contact", "*;class=\"\""),
        ] {
            let (status, risen) = scene.refused(&[line]);
            assert_eq!(status, 400, "{line:?}");
            assert_eq!(risen, [("bad_request", 1), ("standalone_passed", 1)]);
        }
    }
}
