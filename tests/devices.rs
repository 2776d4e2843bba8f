//! A user with several devices: each has a private identity and a USIM of its own, and they share the user's public identities.

use tests::{Layout, ScriptedUe, World};

const LAYOUTS: [Layout; 3] = [Layout::Together, Layout::Apart, Layout::Each];
/// The fourth identity of user 1.
const SHARED: &str = "sip:ue00000001.4@ims.example";

/// Twenty users with two devices each and four identities: the devices of the first one, and one of the second's.
fn users(layout: Layout) -> (World, [ScriptedUe; 2], ScriptedUe) {
    let size = "size = 40, seed = 1";
    let edits = [(size, format!("{size}, identities = 4, devices = 2"))];
    let world = World::altered(layout, "127.0.0.1".parse().expect("an address"), "", &edits);
    let (devices, other) = ([world.ue(1), world.ue(21)], world.ue(2));
    (world, devices, other)
}

/// Its own identity and those of its user.
fn identities(device: &ScriptedUe) -> [String; 4] {
    let further = |place: u32| format!("sip:ue00000001.{place}@ims.example");
    [device.impu.clone(), "tel:+9997000000001".to_owned(), further(3), SHARED.to_owned()]
}

#[test]
fn each_is_notified_of_its_own_identity_and_of_the_users() {
    for layout in LAYOUTS {
        let (mut world, mut devices, _) = users(layout);
        for device in &mut devices {
            let (_, notify) = world.secure(device);
            for identity in identities(device) {
                assert!(
                    notify.body.contains(&format!(">{identity}</identity>")),
                    "{}",
                    notify.body
                );
            }
            assert_eq!(notify.body.matches("<identity").count(), 4, "{}", notify.body);
        }
    }
}

#[test]
fn a_registration_binds_them_and_a_call_to_a_shared_one_reaches_both() {
    for layout in LAYOUTS {
        let (mut world, mut devices, mut other) = users(layout);
        for device in &mut devices {
            let ok = world.register(device);
            assert_eq!(ok.all("P-Associated-URI"), identities(device).map(|it| format!("<{it}>")));
        }
        assert_eq!(world.tables().scscf.bindings, 8);
        world.register(&mut other);
        for (to, reached) in
            [(SHARED, 2), ("tel:+9997000000001", 2), (&*devices[1].impu.clone(), 1)]
        {
            let invite = other.invite(to);
            world.sealed(&mut other, &invite);
            let came = devices.iter_mut().map(|device| world.messages(device).len());
            assert_eq!(came.sum::<usize>(), reached, "{to}");
            other.new_call();
        }
        assert_eq!(world.counter("calls_forked"), 2);
    }
}

#[test]
fn one_that_leaves_takes_nothing_from_the_other() {
    let (mut world, mut devices, mut other) = users(Layout::Apart);
    for device in &mut devices {
        world.register(device);
    }
    world.register(&mut other);
    let leave = devices[0].register_again(0);
    assert_eq!(world.ask(&mut devices[0], &leave).status(), 200);
    assert_eq!(
        world.tables().scscf.bindings,
        8,
        "four of the other device, four of the other user"
    );
    let message = other.message(SHARED, None);
    world.sealed(&mut other, &message);
    assert_eq!(world.take_one(&mut devices[1]).message.method(), "MESSAGE");
}
