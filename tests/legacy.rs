//! Networks that don't know the extension (the paper's "Backwards Compatibility"): what they answer, and what they leave behind.

use imstorm_base::time::seconds;
use imstorm_engine::switch::Switched;
use tests::ue::EXPIRES_S;
use tests::{Credentials, Layout, Text, World};

const LAYOUTS: [Layout; 3] = [Layout::Together, Layout::Apart, Layout::Each];

fn legacy_pcscf(layout: Layout) -> World {
    World::configured(layout, "security_event = false,", "")
}

fn legacy_scscf(layout: Layout) -> World {
    World::configured(layout, "", "security_event = false,")
}

/// The first SUBSCRIBE of subscriber 1, as `alter` makes it, and the one answer.
fn ask(world: &mut World, alter: impl FnOnce(Text) -> Text) -> Text {
    let mut ue = world.ue(1);
    let first = ue.first(Credentials::Name);
    world.ask_plain(&mut ue, &alter(first))
}

#[test]
fn a_pcscf_that_does_not_know_the_extension_answers_420() {
    for layout in LAYOUTS {
        let mut world = legacy_pcscf(layout);
        let answer = ask(&mut world, |first| first);
        assert_eq!(answer.status(), 420, "{answer}");
        assert_eq!(answer.all("Unsupported"), ["secevt"]);
        assert_eq!(world.counter("bad_extension"), 1);
        assert!(world.mw.is_empty(), "nothing of it reaches the core");
        world.assert_empty();
    }
}

#[test]
fn such_a_pcscf_takes_register_only_without_protection() {
    let mut world = legacy_pcscf(Layout::Apart);
    let answer = ask(&mut world, |first| first.with("Proxy-Require", "sec-agree"));
    assert_eq!(answer.status(), 403, "{answer}");
    assert_eq!(world.counter("unprotected_refused"), 1);
    assert!(world.mw.is_empty(), "nothing of it reaches the core");
    world.assert_empty();
}

#[test]
fn an_scscf_that_does_not_know_the_extension_answers_420() {
    for layout in LAYOUTS {
        let mut world = legacy_scscf(layout);
        let answer = ask(&mut world, |first| first);
        assert_eq!(answer.status(), 420, "{answer}");
        assert_eq!(answer.all("Unsupported"), ["secevt"]);
        assert_eq!(world.counter("challenges"), 0, "no vector is spent");
        world.assert_empty();
    }
}

#[test]
fn such_an_scscf_does_not_know_the_event_package_either() {
    for layout in LAYOUTS {
        let mut world = legacy_scscf(layout);
        let answer = ask(&mut world, |first| first.with("Require", "sec-agree"));
        assert_eq!(answer.status(), 489, "{answer}");
        assert_eq!(answer.all("Allow-Events"), ["reg"]);
        assert_eq!((world.counter("event_refused"), world.counter("challenges")), (1, 0));
        world.assert_empty();
    }
}

#[test]
fn a_ue_that_is_refused_registers_instead() {
    for layout in LAYOUTS {
        for (mut world, refusal) in [(legacy_pcscf(layout), 420), (legacy_scscf(layout), 420)] {
            let (mut ue, mut other) = (world.ue(1), world.ue(2));
            for ue in [&mut ue, &mut other] {
                let first = ue.first(Credentials::Name);
                assert_eq!(world.ask_plain(ue, &first).status(), refusal);
                // The same Call-ID, as a UE may that only sends another request.
                world.register(ue);
            }
            let (mut mine, _) = world.call(&mut ue, &mut other);
            world.hang_up(&mut mine, &mut ue, &mut other);
            for ue in [&mut ue, &mut other] {
                let leave = ue.register_again(0);
                assert_eq!(world.ask(ue, &leave).status(), 200);
            }
            world.advance(seconds(400));
            world.assert_empty();
        }
    }
}

#[test]
fn the_extension_is_not_there_over_a_registration_either() {
    for layout in LAYOUTS {
        let mut world = legacy_pcscf(layout);
        let mut ue = world.ue(1);
        world.register(&mut ue);
        let first = ue.first(Credentials::Name);
        let uri = first.uri().to_owned();
        let subscribe = ue.over("SUBSCRIBE", &uri, &uri).and("Event", "security");
        let tagged = subscribe.clone().with("Proxy-Require", "sec-agree, secevt");
        let answer = world.ask(&mut ue, &tagged);
        assert_eq!((answer.status(), answer.header("Unsupported")), (420, Some("secevt")));
        // Without the tag it is a SUBSCRIBE like any other to this P-CSCF, and has no credentials for the notifier.
        assert_eq!(world.ask(&mut ue, &subscribe).status(), 403);

        let mut world = legacy_scscf(layout);
        let mut ue = world.ue(1);
        world.register(&mut ue);
        let subscribe = ue.over("SUBSCRIBE", &uri, &uri).and("Event", "presence");
        let answer = world.ask(&mut ue, &subscribe);
        assert_eq!((answer.status(), answer.header("Allow-Events")), (489, Some("reg")));
        let again = ue.register_again(EXPIRES_S);
        assert_eq!(world.ask(&mut ue, &again).status(), 200);
    }
}

/// The roles that can be switched, and where.
const ROLES: [Switched; 2] = [Switched::Pcscfs, Switched::Scscf];

#[test]
fn the_extension_can_be_switched_on_while_the_engine_runs() {
    for layout in LAYOUTS {
        for (mut world, role) in
            [(legacy_pcscf(layout), Switched::Pcscfs), (legacy_scscf(layout), Switched::Scscf)]
        {
            assert_eq!(ask(&mut world, |first| first).status(), 420);
            world.switch(role, true);
            let mut ue = world.ue(1);
            world.secure(&mut ue);
            let impu = ue.impu.clone();
            world.bind(&mut ue, &impu);
            assert_eq!(world.counter("bad_extension"), 1);
            world.leave(&mut ue);
            world.advance(seconds(400));
            world.assert_empty();
        }
    }
}

#[test]
fn switched_off_it_is_refused_as_if_it_had_never_been_there() {
    for layout in LAYOUTS {
        for role in ROLES {
            let mut world = World::new(layout);
            world.switch(role, false);
            let answer = ask(&mut world, |first| first);
            assert_eq!((answer.status(), answer.header("Unsupported")), (420, Some("secevt")));
            let answer = ask(&mut world, |first| {
                first.with("Require", "sec-agree").with("Proxy-Require", "sec-agree")
            });
            assert_eq!(answer.status(), if role == Switched::Scscf { 489 } else { 403 });
            assert_eq!(world.counter("challenges"), 0, "no vector is spent");
            let mut ue = world.ue(1);
            world.register(&mut ue);
            let leave = ue.register_again(0);
            assert_eq!(world.ask(&mut ue, &leave).status(), 200);
            world.advance(seconds(400));
            world.assert_empty();
        }
    }
}

#[test]
fn connections_that_live_when_it_is_switched_off_go_on_and_end_on_their_own() {
    for layout in LAYOUTS {
        for role in ROLES {
            let mut world = World::new(layout);
            let mut ue = world.ue(1);
            world.secure(&mut ue);
            world.switch(role, false);
            world.refresh(&mut ue);
            world.reauthenticate(&mut ue);
            let impu = ue.impu.clone();
            world.bind(&mut ue, &impu);
            world.watch(&mut ue, &impu);
            // New ones are refused meanwhile, of the same user too.
            let mut other = world.ue_through(1, [127, 16, 9, 9].into(), 0);
            other.new_call();
            let first = other.first(Credentials::Name);
            assert_eq!(world.ask_plain(&mut other, &first).status(), 420);
            world.refresh(&mut ue);
            assert_eq!(world.counter("own_subscription_failed"), 0);
            world.leave(&mut ue);
            world.advance(seconds(400));
            world.assert_empty();
        }
    }
}

#[test]
fn a_set_up_that_was_challenged_before_it_was_switched_off_comes_to_its_end() {
    for layout in LAYOUTS {
        for role in ROLES {
            let mut world = World::new(layout);
            let mut ue = world.ue(1);
            let first = ue.first(Credentials::Name);
            let challenge = world.ask_plain(&mut ue, &first);
            world.switch(role, false);
            // The first request again, should its answer have been lost.
            assert_eq!(world.ask_plain(&mut ue, &first).status(), 401);
            ue.challenge(&challenge).expect("a challenge that the USIM accepts");
            world.finish(&mut ue);
            world.refresh(&mut ue);
            world.leave(&mut ue);
            world.advance(seconds(400));
            world.assert_empty();
        }
    }
}

#[test]
fn one_of_two_pcscfs_is_switched() {
    for layout in LAYOUTS {
        let mut world = World::with_two_pcscfs(layout);
        world.switch(Switched::Pcscf(world.pcscfs[1]), false);
        let mut ues =
            [0, 1].map(|place| world.ue_through(1, [127, 16, 7, place].into(), place.into()));
        let statuses = ues.each_mut().map(|ue| {
            let first = ue.first(Credentials::Name);
            world.ask_plain(ue, &first).status()
        });
        assert_eq!(statuses, [401, 420]);
    }
}
