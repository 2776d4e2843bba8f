//! The paper's section 3.1, "Service route for subsequent requests using secure IMS connection".

use imstorm_base::seconds;
use tests::message::parameter;
use tests::ue::{EXPIRES_S, bare_uri};
use tests::{Layout, Scene, ScriptedUe, Text, World};

const LAYOUTS: [Layout; 3] = [Layout::Together, Layout::Apart, Layout::Each];

/// One of each kind of request outside the security dialog.
fn kinds(scene: &mut Scene) -> [Text; 3] {
    let (impu, to) = (scene.ue.impu.clone(), scene.other.impu.clone());
    let ue = &mut scene.ue;
    [ue.register(&impu, 3600), ue.watch(&impu, 3600), ue.message(&to, None)]
}

/// The request with these routes instead of its own.
fn routed(request: &Text, routes: &[&str]) -> Text {
    let bare = request.clone().without("Route");
    routes.iter().fold(bare, |text, route| text.and("Route", &format!("<{route}>")))
}

#[test]
fn it_is_the_contact_of_the_200_at_the_scscf() {
    for layout in LAYOUTS {
        let mut world = World::new(layout);
        let mut ue = world.ue(1);
        let (ok, notify) = world.secure(&mut ue);
        let contact = bare_uri(ok.expect("Contact"));
        assert!(contact.starts_with(&format!("sip:{};", world.scscf_mw)), "{contact}");
        assert!(contact.ends_with(";lr"), "a loose route: {contact}");
        assert_eq!(bare_uri(notify.expect("Contact")), contact);
        assert_eq!(ok.header("Service-Route"), None);
    }
}

#[test]
fn requests_by_it_reach_the_core_on_it() {
    let mut scene = Scene::with(Layout::Each);
    let to = scene.other.impu.clone();
    scene.world.bind(&mut scene.other, &to);
    for request in kinds(&mut scene) {
        assert_eq!(
            request.all("Route"),
            [format!("<sip:{}:5063;lr>", scene.world.pcscf.ip()), format!("<{}>", scene.ue.target)],
            "the P-CSCF's protected port, then the Contact"
        );
        let mark = scene.world.mw.len();
        scene.world.sealed(&mut scene.ue, &request);
        let sent = &scene.world.mw[mark];
        assert_eq!((sent.from, sent.to), (scene.world.pcscf_mw, scene.world.scscf_mw));
        assert_eq!(Text::parse(&sent.bytes).all("Route"), [format!("<{}>", scene.ue.target)]);
        if request.method() == "MESSAGE" {
            let message = scene.world.take_one(&mut scene.other).message;
            scene.world.accept(&mut scene.other, &message);
        }
        let arrived = scene.world.take(&mut scene.ue);
        assert_eq!(arrived[0].message.status(), 200, "{}", arrived[0].message);
        for notify in arrived.iter().filter(|arrived| arrived.message.status() == 0) {
            scene.world.accept(&mut scene.ue, &notify.message);
        }
    }
}

#[test]
fn one_line_says_the_same_as_two() {
    let mut scene = Scene::with(Layout::Apart);
    let to = scene.other.impu.clone();
    scene.world.bind(&mut scene.other, &to);
    for request in kinds(&mut scene) {
        // RFC 3261 clause 7.3.1.
        let request = request.clone().with("Route", &request.all("Route").join(", "));
        let mark = scene.world.mw.len();
        scene.world.sealed(&mut scene.ue, &request);
        let sent = Text::parse(&scene.world.mw[mark].bytes);
        assert_eq!(sent.all("Route"), [format!("<{}>", scene.ue.target)], "{sent}");
        for arrived in scene.world.take(&mut scene.other) {
            scene.world.accept(&mut scene.other, &arrived.message);
        }
        let arrived = scene.world.take(&mut scene.ue);
        assert_eq!(arrived[0].message.status(), 200, "{}", arrived[0].message);
        for notify in arrived.iter().filter(|arrived| arrived.message.status() == 0) {
            scene.world.accept(&mut scene.ue, &notify.message);
        }
    }
}

#[test]
fn any_other_route_is_refused() {
    let mut scene = Scene::new();
    let (pcscf, own) = (format!("sip:{}:5063;lr", scene.world.pcscf.ip()), scene.ue.target.clone());
    let theirs = scene.other.target.clone();
    let scscf = format!("sip:{};lr", scene.world.scscf_mw);
    // The place of the connection is no secret; the other half of its token is.
    let secret = &parameter(&own, "sess").unwrap()[16..];
    let guessed = own.replace(secret, &"0".repeat(secret.len()));
    assert_ne!(guessed, own);
    let elsewhere = own.replace(&scene.world.scscf_mw.to_string(), "192.0.2.1:5060");
    let unprotected = format!("sip:{};lr", scene.world.pcscf);
    let routes: [&[&str]; 10] = [
        &[],
        &[&pcscf],
        &[&own],
        &[&own, &pcscf],
        &[&pcscf, &scscf],
        &[&pcscf, &theirs],
        &[&pcscf, &guessed],
        &[&pcscf, &elsewhere],
        &[&pcscf, &own, &scscf],
        &[&unprotected, &own],
    ];
    for routes in routes {
        for request in kinds(&mut scene) {
            let request = routed(&request, routes);
            let refused =
                scene.raises(&["wrong_route"], |scene| scene.world.ask(&mut scene.ue, &request));
            assert_eq!(refused.status(), 403, "{request}");
        }
    }
    assert_eq!(scene.world.tables().scscf.bindings, 0);
    assert_eq!(scene.world.tables().scscf.reg_subscriptions, 0);
    scene.unharmed();
}

/// Where each 200 gives the connection a new token.
fn renewing(layout: Layout) -> (World, ScriptedUe) {
    let mut world = World::configured(layout, "", "renew_token = true,");
    let mut ue = world.ue(1);
    world.secure(&mut ue);
    (world, ue)
}

#[test]
fn a_changed_contact_is_followed() {
    for layout in LAYOUTS {
        let (mut world, mut ue) = renewing(layout);
        let (first, impu) = (ue.target.clone(), ue.impu.clone());
        let (ok, notify) = world.refresh(&mut ue);
        let second = bare_uri(ok.expect("Contact")).to_owned();
        assert_ne!(first, second, "{layout:?}");
        assert_eq!(bare_uri(notify.expect("Contact")), second);
        // What was written with the one before is still taken, for Timer F.
        let late = ue.register(&impu, 3600);
        assert_eq!(world.ask(&mut ue, &late).status(), 200, "{layout:?}");
        ue.accepted(&ok);
        world.bind(&mut ue, &impu);
        let later = {
            let mut before = ue.register(&impu, 3600).without("Route");
            for route in [format!("sip:{}:5063;lr", world.pcscf.ip()), first.clone()] {
                before = before.and("Route", &format!("<{route}>"));
            }
            before
        };
        world.advance(seconds(33));
        let (wrong, mark) = (world.counter("wrong_route"), world.mw.len());
        assert_eq!(world.ask(&mut ue, &later).status(), 403, "{layout:?}");
        assert_eq!(world.counter("wrong_route"), wrong + 1);
        assert_eq!(world.mw.len(), mark, "refused by the P-CSCF itself");
        world.bind(&mut ue, &impu);
        world.watch(&mut ue, &impu);
        // The security dialog itself follows it, too.
        let (ok, _) = world.refresh(&mut ue);
        ue.accepted(&ok);
        world.leave(&mut ue);
        world.advance(seconds(400));
        world.assert_empty();
    }
}

#[test]
fn it_is_the_last_200s_after_a_reauthentication() {
    let (mut world, mut ue) = renewing(Layout::Apart);
    let first = ue.target.clone();
    let (_, ok, _) = world.reauthenticate(&mut ue);
    ue.accepted(&ok);
    assert_ne!(first, ue.target);
    world.advance(seconds(33));
    let impu = ue.impu.clone();
    world.bind(&mut ue, &impu);
}

#[test]
fn without_renewal_it_stays_for_life() {
    let mut world = World::new(Layout::Apart);
    let mut ue = world.ue(1);
    world.secure(&mut ue);
    for _ in 0..3 {
        let (ok, _) = world.refresh(&mut ue);
        assert_eq!(bare_uri(ok.expect("Contact")), ue.target);
        let (_, ok, _) = world.reauthenticate(&mut ue);
        assert_eq!(bare_uri(ok.expect("Contact")), ue.target);
    }
}

#[test]
fn service_route_may_say_it_instead() {
    for layout in LAYOUTS {
        let settings = "service_route_header = true, renew_token = true,";
        let mut world = World::configured(layout, "", settings);
        let mut ue = world.ue(1);
        let (ok, _) = world.secure(&mut ue);
        let route = ok.all("Service-Route");
        assert_eq!(route.len(), 1, "{ok}");
        assert_eq!(bare_uri(route[0]), bare_uri(ok.expect("Contact")));
        let impu = ue.impu.clone();
        ue.target = bare_uri(route[0]).to_owned();
        world.bind(&mut ue, &impu);
        let (ok, _) = world.refresh(&mut ue);
        assert_eq!(bare_uri(ok.expect("Service-Route")), bare_uri(ok.expect("Contact")));
        ue.target = bare_uri(ok.expect("Service-Route")).to_owned();
        world.advance(seconds(33));
        world.bind(&mut ue, &impu);
    }
}

#[test]
fn a_new_security_subscription_has_no_route_and_needs_none() {
    let mut world = World::new(Layout::Each);
    let mut ue = world.ue(1);
    world.secure(&mut ue);
    // From another contact, beside the first.
    let mut second = world.ue_at(1, "127.16.1.1".parse().unwrap());
    second.new_call();
    second.freshness = ue.freshness.clone();
    let mark = world.mw.len();
    world.secure(&mut second);
    for wire in &world.mw[mark..] {
        let text = Text::parse(&wire.bytes);
        let outside = text.status() == 0 && parameter(text.expect("To"), "tag").is_none();
        assert!(!outside || text.header("Route").is_none(), "{text}");
    }
    assert_eq!(world.mw[mark].to, world.icscf_mw, "by the home network's entry point");
}

#[test]
fn a_request_inside_a_dialog_goes_to_it_as_its_target() {
    let mut scene = Scene::with(Layout::Apart);
    let impu = scene.ue.impu.clone();
    let (first, ok, _) = scene.world.watch(&mut scene.ue, &impu);
    assert_eq!(bare_uri(ok.expect("Contact")), scene.ue.target);
    assert_eq!(ok.all("Record-Route"), [format!("<sip:{}:5063;lr>", scene.world.pcscf.ip())]);
    let next = scene.ue.next_in_dialog(&first, &ok);
    let mark = scene.world.mw.len();
    scene.world.sealed(&mut scene.ue, &next);
    let sent = Text::parse(&scene.world.mw[mark].bytes);
    assert_eq!((sent.uri(), sent.header("Route")), (scene.ue.target.as_str(), None));
    assert_eq!(scene.world.notifies(&mut scene.ue, "reg").len(), 1);
    assert_eq!(next.expect("Expires"), "3600");
    let refresh = scene.ue.refresh(EXPIRES_S);
    assert_eq!(refresh.uri(), scene.ue.target);
}
