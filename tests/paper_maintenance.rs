//! The paper's section 3.1, "Maintenance of subscription": refresh, re-authentication, the end by either side and by time, changed
//! identities, lowered lifetimes; on the wire.

use std::net::SocketAddr;

use imstorm_base::seconds;
use imstorm_cscf::operator::Command;
use imstorm_cscf::scscf::Reason;
use tests::message::parameter;
use tests::ue::{EXPIRES_S, bare_uri};
use tests::{Changes, Layout, Scene, ScriptedUe, Text, World};

const LAYOUTS: [Layout; 3] = [Layout::Together, Layout::Apart, Layout::Each];

fn secured(layout: Layout) -> (World, ScriptedUe) {
    let mut world = World::new(layout);
    let mut ue = world.ue(1);
    world.secure(&mut ue);
    (world, ue)
}

fn on_mw(world: &World, mark: usize) -> Vec<Text> {
    world.mw[mark..].iter().map(|wire| Text::parse(&wire.bytes)).collect()
}

#[test]
fn a_refresh_goes_inside_the_dialog() {
    let (mut world, mut ue) = secured(Layout::Apart);
    let mark = world.mw.len();
    let refresh = ue.refresh(EXPIRES_S);
    world.sealed(&mut ue, &refresh);
    let sent = &on_mw(&world, mark)[0];
    Changes::between(&refresh, sent).assert_are(
        &["Proxy-Require", "Route", "Security-Client", "Security-Verify"],
        &["P-Charging-Vector", "Record-Route", "Via"],
        &["Authorization", "Max-Forwards", "Require"],
    );
    assert_eq!(world.mw[mark].to, world.scscf_mw, "straight to the notifier, not by the I-CSCF");
    assert_eq!(sent.uri(), ue.target);
    assert_eq!(parameter(sent.expect("To"), "tag"), ue.to_tag.as_deref());
    assert_eq!(sent.expect("Call-ID"), ue.call_id);
    assert_eq!(parameter(sent.expect("Authorization"), "integrity-protected"), Some("yes"));
    let arrived = world.take(&mut ue);
    let ok = &arrived.iter().find(|it| it.message.status() == 200).expect("a 200").message;
    assert_eq!(ok.expect("Expires"), EXPIRES_S.to_string());
    assert_eq!(ok.header("Security-Server"), None, "no new security associations");
    let notify = &arrived.iter().find(|it| it.message.status() == 0).expect("a NOTIFY").message;
    assert!(notify.body.contains("version=\"1\""), "{notify}");
    assert_eq!(world.tables().pcscf.sets, 1);
}

#[test]
fn a_refresh_outside_the_dialog_is_none() {
    let mut scene = Scene::new();
    let refresh = scene.ue.refresh(EXPIRES_S);
    let impu = scene.ue.impu.clone();
    let outside = refresh.with("To", &format!("<{impu}>")).without("Route");
    let refused = scene.raises(&["wrong_dialog"], |scene| scene.world.ask(&mut scene.ue, &outside));
    assert_eq!(refused.status(), 403);
    scene.ue.cseq -= 1;
    scene.ue.nc -= 1;
    scene.unharmed();
}

#[test]
fn a_reauthentication_makes_new_associations_and_drains_the_old() {
    for layout in LAYOUTS {
        let mut scene = Scene::with(layout);
        let Scene { world, ue, other } = &mut scene;
        let (impu, to) = (ue.impu.clone(), other.impu.clone());
        world.bind(other, &to);
        let refresh = ue.refresh(EXPIRES_S).without("Authorization");
        world.sealed(ue, &refresh);
        let arrived = world.take_one(ue);
        assert_eq!((arrived.set, arrived.message.status()), (Some(0), 401), "on the old set");
        // Written while the old set is the only one.
        let meanwhile = [ue.message(&to, None), ue.register(&impu, 3600)];
        ue.challenge(&arrived.message).unwrap();
        assert_eq!(
            world.tables().pcscf.sets,
            3,
            "{layout:?}: eight associations of this UE, four of the other"
        );
        let (old, new) = (ue.sets[0].parameters, ue.sets[1].parameters);
        assert_ne!(old.spi_uc, new.spi_uc);
        assert_ne!(old.spi_us, new.spi_us);
        assert_ne!(old.spi_pc, new.spi_pc);
        assert_ne!(old.spi_ps, new.spi_ps);
        assert_ne!((old.port_uc, old.port_pc), (new.port_uc, new.port_pc));
        assert!(old.port_uc != new.port_uc && old.port_pc != new.port_pc);
        assert_eq!((old.port_us, old.port_ps), (new.port_us, new.port_ps));
        assert_ne!(ue.sets[0].keys, ue.sets[1].keys);
        // The old set carries everything else until the 200.
        for request in &meanwhile {
            let packet = ue.seal_with(0, &request.to_bytes());
            world.packet(ue, &packet);
            if request.method() == "MESSAGE" {
                let message = world.take_one(other).message;
                world.accept(other, &message);
            }
            let arrived = world.take_one(ue);
            assert_eq!((arrived.set, arrived.message.status()), (Some(0), 200), "{layout:?}");
        }
        let call = other.message(&impu, None);
        world.sealed(other, &call);
        let called = world.take_one(ue);
        assert_eq!(called.set, Some(0), "{layout:?}: what comes to it, too");
        let ok = ue.respond(&called.message, 200);
        let packet = ue.seal_with(0, &ok.to_bytes());
        world.packet(ue, &packet);
        assert_eq!(world.take_one(other).message.status(), 200);
        // The answer goes on the new one, and from the 200 on everything does.
        let answer = ue.answer_in_dialog();
        world.sealed(ue, &answer);
        let arrived = world.take(ue);
        assert_eq!(arrived.len(), 2);
        for arrived in arrived {
            assert_eq!(arrived.set, Some(1));
            if arrived.message.status() == 0 {
                world.accept(ue, &arrived.message);
            }
        }
        let call = other.message(&impu, None);
        world.sealed(other, &call);
        let called = world.take_one(ue);
        assert_eq!(called.set, Some(1), "{layout:?}");
        world.accept(ue, &called.message);
        assert_eq!(world.take_one(other).message.status(), 200);
        world.advance(seconds(1));
        assert_eq!(world.tables().pcscf.sets, 2, "{layout:?}: four associations of each");
        assert_eq!(world.counter("reauthenticated"), 1);
        scene.raises(&["esp_rejected", "esp_unknown_spi"], |scene| {
            let packet = scene.ue.seal_with(0, b"late");
            scene.world.packet(&scene.ue, &packet);
        });
        assert_eq!(scene.world.tables().scscf.bindings, 2, "the registrations stay");
        scene.unharmed();
    }
}

#[test]
fn what_is_under_way_during_a_reauthentication_ends_on_the_new_associations() {
    for layout in LAYOUTS {
        let mut scene = Scene::with(layout);
        let Scene { world, ue, other } = &mut scene;
        let to = other.impu.clone();
        world.bind(other, &to);
        let message = ue.message(&to, None);
        world.sealed(ue, &message);
        let arrived = world.take_one(other).message;
        let refresh = ue.refresh(EXPIRES_S).without("Authorization");
        let challenge = world.ask(ue, &refresh);
        ue.challenge(&challenge).unwrap();
        let answer = ue.answer_in_dialog();
        world.sealed(ue, &answer);
        assert_eq!(world.notifies(ue, "security").len(), 1);
        world.advance(seconds(1));
        assert_eq!(world.tables().pcscf.sets, 3, "{layout:?}: the old one is not through yet");
        world.accept(other, &arrived);
        let ok = world.take_one(ue);
        assert_eq!((ok.set, ok.message.status()), (Some(1), 200), "{layout:?}");
        assert_eq!(world.tables().pcscf.sets, 2, "{layout:?}");
        scene.unharmed();
    }
}

#[test]
fn a_reauthentication_on_mw() {
    let (mut world, mut ue) = secured(Layout::Apart);
    let mark = world.mw.len();
    let (challenge, ok, notify) = world.reauthenticate(&mut ue);
    assert_eq!(
        world.transcript(mark)[..5],
        ["P>S SUBSCRIBE", "S>P 401 SUBSCRIBE", "P>S SUBSCRIBE", "S>P 200 SUBSCRIBE", "S>P NOTIFY"]
    );
    let mw = on_mw(&world, mark);
    Changes::between(&mw[1], &challenge).assert_are(
        &["Via"],
        &["Security-Server"],
        &["WWW-Authenticate"],
    );
    assert_eq!(mw[0].header("Authorization"), None);
    assert_eq!(parameter(mw[2].expect("Authorization"), "integrity-protected"), Some("yes"));
    assert_eq!(mw[2].expect("To"), mw[0].expect("To"), "still inside the dialog");
    assert_eq!(ok.expect("Expires"), EXPIRES_S.to_string());
    assert!(notify.body.contains("version=\"1\""), "{notify}");
}

#[test]
fn a_reauthentication_that_nobody_answers_leaves_the_connection_as_it_was() {
    for layout in LAYOUTS {
        let (mut world, mut ue) = secured(layout);
        let refresh = ue.refresh(EXPIRES_S).without("Authorization");
        assert_eq!(world.ask(&mut ue, &refresh).status(), 401);
        assert_eq!(world.tables().pcscf.sets, 2);
        world.advance(seconds(241));
        assert_eq!((world.tables().pcscf.sets, world.tables().scscf.challenges), (1, 0));
        world.refresh(&mut ue);
    }
}

#[test]
fn challenges_that_nobody_answers_do_not_pile_up() {
    for layout in LAYOUTS {
        let (mut world, mut ue) = secured(layout);
        for _ in 0..20 {
            let refresh = ue.refresh(EXPIRES_S).without("Authorization");
            let challenge = world.ask(&mut ue, &refresh);
            assert_eq!(challenge.status(), 401);
            world.advance(seconds(1));
            let tables = world.tables();
            assert_eq!((tables.pcscf.sets, tables.scscf.challenges), (2, 1), "{layout:?}");
        }
        // The last one can be answered.
        world.reauthenticate(&mut ue);
        world.advance(seconds(1));
        assert_eq!((world.tables().pcscf.sets, world.tables().scscf.challenges), (1, 0));
        world.refresh(&mut ue);
    }
}

#[test]
fn reauthentication_a_thousand_times() {
    let (mut world, mut ue) = secured(Layout::Together);
    // Once, so that what a re-authentication may leave for good is there already.
    world.reauthenticate(&mut ue);
    world.advance(seconds(200));
    let mut tables = world.tables();
    assert_eq!((tables.pcscf.connections, tables.pcscf.sets), (1, 1));
    let strings = (tables.pcscf.strings_bytes, tables.scscf.strings_bytes);
    for round in 2..=1000 {
        ue.sets.remove(0);
        let (challenge, ..) = world.reauthenticate(&mut ue);
        assert_eq!(challenge.status(), 401);
        // Longer than Timer J on the UE's leg: tombstones go.
        world.advance(seconds(200));
        tables = world.tables();
        assert_eq!((tables.pcscf.sets, ue.sets.len()), (1, 2), "round {round}");
    }
    ue.sets.remove(0);
    assert_eq!(world.counter("reauthenticated"), 1000);
    assert_eq!((tables.pcscf.strings_bytes, tables.scscf.strings_bytes), strings);
    assert_eq!((tables.pcscf.transactions, tables.pcscf.connections), (0, 1));
    assert_eq!((tables.scscf.subscriptions, tables.scscf.challenges), (1, 0));
    assert_eq!(tables.scscf.notifications, 0);
    // As after a first set-up.
    let (fresh, _) = secured(Layout::Together);
    assert_eq!(tables, fresh.tables());
    world.refresh(&mut ue);
    world.release(&mut ue);
    world.advance(seconds(400));
    world.assert_empty();
}

/// Places in `sent` of the messages that went to the UE's ESP port, opened, and of those on Mw: in the order in which they left.
fn left_since(world: &World, ue: &ScriptedUe, mark: usize) -> Vec<String> {
    let esp = SocketAddr::new(ue.ip, ue.esp_port);
    let mut to_ue = ue.received.iter().rev();
    let mut lines = Vec::new();
    for wire in world.sent[mark..].iter().rev() {
        let line = if wire.to == esp {
            let text = to_ue.next().expect("a message that was opened");
            format!("UE {}", what(text))
        } else if wire.from == world.pcscf_mw || wire.to == world.pcscf_mw {
            let from = if wire.from == world.pcscf_mw { "P>S" } else { "S>P" };
            format!("{from} {}", what(&Text::parse(&wire.bytes)))
        } else {
            continue;
        };
        lines.push(line);
    }
    lines.reverse();
    lines
}

/// A message in short, with what tells a last NOTIFY from others.
fn what(text: &Text) -> String {
    let state = text.header("Subscription-State").and_then(|state| state.split(';').next());
    let event = text.header("Event").filter(|_| state.is_some());
    let status = if text.status() > 0 { format!("{} ", text.status()) } else { String::new() };
    let mut line = format!("{status}{}", text.method());
    for part in [event, state].into_iter().flatten() {
        line = format!("{line} {part}");
    }
    if text.status() == 0 && text.header("Expires") == Some("0") && state.is_none() {
        line.push_str(" Expires 0");
    }
    line
}

#[test]
fn the_ue_ends_and_the_associations_go_last() {
    let (mut world, mut ue) = secured(Layout::Apart);
    let impu = ue.impu.clone();
    world.bind(&mut ue, &impu);
    world.watch(&mut ue, &impu);
    let mark = world.sent.len();
    let release = ue.refresh(0);
    world.sealed(&mut ue, &release);
    let arrived = world.take(&mut ue);
    assert_eq!(world.tables().pcscf.sets, 1, "while the UE has NOTIFYs to answer");
    assert_eq!(world.tables().scscf.bindings, 0);
    for arrived in arrived.iter().filter(|arrived| arrived.message.status() == 0) {
        assert_eq!(world.tables().pcscf.sets, 1);
        world.accept(&mut ue, &arrived.message);
    }
    assert_eq!(world.tables().pcscf.sets, 0);
    let mut lines = left_since(&world, &ue, mark);
    lines.retain(|line| !line.contains("200 NOTIFY"));
    assert_eq!(
        lines,
        [
            "P>S SUBSCRIBE Expires 0",
            "S>P 200 SUBSCRIBE",
            "S>P NOTIFY reg terminated",
            "S>P NOTIFY security terminated",
            "UE 200 SUBSCRIBE",
            "UE NOTIFY reg terminated",
            "UE NOTIFY security terminated",
            "P>S SUBSCRIBE Expires 0",
            "S>P 200 SUBSCRIBE",
            "S>P NOTIFY security terminated",
        ]
    );
    world.advance(seconds(400));
    world.assert_empty();
}

#[test]
fn the_network_ends_and_the_associations_go_last() {
    for (reason, text) in [(Reason::Deactivated, "deactivated"), (Reason::Rejected, "rejected")] {
        let (mut world, mut ue) = secured(Layout::Apart);
        let impu = ue.impu.clone();
        world.bind(&mut ue, &impu);
        world.watch(&mut ue, &impu);
        let mark = world.sent.len();
        let impi = ue.impi.clone().into_bytes();
        world.operate(&Command::Terminate { impi, reason }).unwrap();
        let arrived = world.take(&mut ue);
        assert_eq!(world.tables().pcscf.sets, 1);
        for arrived in arrived {
            let state = arrived.message.expect("Subscription-State");
            assert_eq!(state, format!("terminated;reason={text}"));
            world.accept(&mut ue, &arrived.message);
        }
        assert_eq!(world.tables().pcscf.sets, 0);
        let mut lines = left_since(&world, &ue, mark);
        lines.retain(|line| !line.contains("200 NOTIFY"));
        assert_eq!(
            lines,
            [
                "S>P NOTIFY reg terminated",
                "S>P NOTIFY security terminated",
                "UE NOTIFY reg terminated",
                "UE NOTIFY security terminated",
                "P>S SUBSCRIBE Expires 0",
                "S>P 200 SUBSCRIBE",
                "S>P NOTIFY security terminated",
            ]
        );
        world.advance(seconds(400));
        world.assert_empty();
        // The UE may come again with a set-up of its own.
        ue.new_call();
        ue.sets.clear();
        world.secure(&mut ue);
    }
}

#[test]
fn a_ue_out_of_reach_costs_the_pcscf_its_subscription() {
    let (mut world, mut ue) = secured(Layout::Apart);
    let impu = ue.impu.clone();
    world.bind(&mut ue, &impu);
    let mark = world.mw.len();
    let impi = ue.impi.clone().into_bytes();
    world.operate(&Command::Shorten { impi, expires_s: 300 }).unwrap();
    let notify = world.take_one(&mut ue).message;
    let gone = ue.respond(&notify, 481);
    world.sealed(&mut ue, &gone);
    let last = on_mw(&world, mark).into_iter().rfind(|text| text.status() == 0);
    let last = last.expect("a NOTIFY to the P-CSCF");
    assert_eq!(last.expect("Subscription-State"), "terminated;reason=noresource");
    assert_eq!((world.tables().pcscf.sets, world.tables().scscf.bindings), (0, 0));
    world.advance(seconds(400));
    world.assert_empty();
}

#[test]
fn expiry_ends_everything_on_either_side() {
    for layout in LAYOUTS {
        let (mut world, mut ue) = secured(layout);
        let impu = ue.impu.clone();
        world.bind(&mut ue, &impu);
        world.watch(&mut ue, &impu);
        world.advance(seconds(u64::from(EXPIRES_S) - 1));
        assert_eq!((world.tables().pcscf.sets, world.tables().scscf.subscriptions), (1, 1));
        world.advance(seconds(2));
        let told: Vec<(String, String)> = world
            .take(&mut ue)
            .into_iter()
            .map(|arrived| {
                world.accept(&mut ue, &arrived.message);
                let of = |name| arrived.message.expect(name).to_owned();
                (of("Event"), of("Subscription-State"))
            })
            .collect();
        let over = "terminated;reason=timeout".to_owned();
        assert_eq!(told, [("reg".to_owned(), over.clone()), ("security".to_owned(), over)]);
        assert_eq!((world.tables().pcscf.sets, world.tables().scscf.bindings), (0, 0));
        world.advance(seconds(400));
        world.assert_empty();
    }
}

#[test]
fn the_associations_outlive_the_subscription_by_their_grace_only() {
    // The S-CSCF is cut off: the P-CSCF's own clock ends the associations, 30 s after the lifetime.
    let (mut world, _ue) = secured(Layout::Apart);
    world.mw_held = true;
    world.advance(seconds(u64::from(EXPIRES_S) + 29));
    assert_eq!(world.tables().pcscf.sets, 1);
    world.advance(seconds(2));
    assert_eq!(world.tables().pcscf.sets, 0);
    assert_eq!(world.counter("connections_expired"), 1);
}

#[test]
fn a_lowered_lifetime_lowers_the_associations() {
    let (mut world, mut ue) = secured(Layout::Apart);
    let impi = ue.impi.clone().into_bytes();
    world.operate(&Command::Shorten { impi, expires_s: 30 }).unwrap();
    assert_eq!(world.notifies(&mut ue, "security").len(), 1);
    // The S-CSCF is cut off: what the P-CSCF was told is what counts.
    world.mw_held = true;
    world.advance(seconds(30 + 29));
    assert_eq!(world.tables().pcscf.sets, 1);
    world.advance(seconds(2));
    assert_eq!((world.tables().pcscf.sets, world.counter("connections_expired")), (0, 1));
}

#[test]
fn changed_identities_are_told_to_ue_and_pcscf_at_once() {
    let (mut world, mut ue) = secured(Layout::Apart);
    let (impi, impu) = (ue.impi.clone().into_bytes(), b"sip:alice@ims.example".to_vec());
    let mut version = 0;
    let add = Command::AddIdentity { impi: impi.clone(), impu: impu.clone(), barred: false };
    for (command, present) in [(add, true), (Command::RemoveIdentity { impi, impu }, false)] {
        let (mark, now) = (world.mw.len(), world.now);
        world.operate(&command).unwrap();
        version += 1;
        assert_eq!(world.now, now, "at once");
        let told: Vec<Text> = on_mw(&world, mark)
            .into_iter()
            .filter(|text| text.status() == 0 && text.method() == "NOTIFY")
            .collect();
        assert_eq!(told.len(), 2, "{told:#?}");
        assert_ne!(told[0].expect("Call-ID"), told[1].expect("Call-ID"));
        for notify in &told {
            assert!(notify.body.contains(&format!("version=\"{version}\"")), "{notify}");
            assert!(notify.body.contains("state=\"full\""), "{notify}");
            let shown = notify.body.contains("<identity>sip:alice@ims.example</identity>");
            assert_eq!(shown, present, "{notify}");
            assert!(notify.body.contains(&ue.tel()), "{notify}");
        }
        let received = world.notifies(&mut ue, "security");
        assert_eq!(received.len(), 1);
        assert_eq!(received[0].body, told[0].body);
        let state = received[0].expect("Subscription-State");
        assert!(state.starts_with("active;expires="), "{state}");
    }
}

#[test]
fn a_user_without_identities_has_no_connection() {
    for layout in LAYOUTS {
        let (mut world, mut ue) = secured(layout);
        for impu in [ue.tel(), ue.impu.clone()] {
            let (impi, impu) = (ue.impi.clone().into_bytes(), impu.into_bytes());
            world.operate(&Command::RemoveIdentity { impi, impu }).unwrap();
        }
        let mut last = None;
        loop {
            let told = world.notifies(&mut ue, "security");
            let Some(notify) = told.last() else { break };
            last = Some(notify.expect("Subscription-State").to_owned());
        }
        assert_eq!(last.as_deref(), Some("terminated;reason=rejected"), "{layout:?}");
        world.advance(seconds(400));
        world.assert_empty();
    }
}

#[test]
fn a_lowered_lifetime_is_told_challenged_and_restored() {
    let (mut world, mut ue) = secured(Layout::Apart);
    let mark = world.mw.len();
    let impi = ue.impi.clone().into_bytes();
    world.operate(&Command::Shorten { impi, expires_s: 30 }).unwrap();
    let told: Vec<Text> = on_mw(&world, mark)
        .into_iter()
        .filter(|text| text.status() == 0 && text.method() == "NOTIFY")
        .collect();
    assert_eq!(told.len(), 2);
    assert_eq!(told[0].expect("Subscription-State"), "active;expires=30");
    assert_eq!(told[0].expect("Expires"), "30");
    // The P-CSCF's own time is as it was; what it is told of the UE's is in the body.
    assert_eq!(told[1].expect("Subscription-State"), "active;expires=1200");
    for notify in &told {
        assert!(notify.body.contains("lifetime=\"30\""), "{notify}");
    }
    assert_eq!(world.notifies(&mut ue, "security").len(), 1);
    world.advance(seconds(10));
    // Right credentials over the old nonce don't do.
    let refresh = ue.refresh(EXPIRES_S);
    let challenge = world.ask(&mut ue, &refresh);
    assert_eq!(challenge.status(), 401);
    let nonce = parameter(challenge.expect("WWW-Authenticate"), "nonce");
    assert_ne!(nonce, Some(ue.nonce.as_str()), "a fresh vector");
    ue.challenge(&challenge).unwrap();
    let answer = ue.answer_in_dialog();
    world.sealed(&mut ue, &answer);
    let restored = world.notifies(&mut ue, "security");
    assert_eq!(restored[0].expect("Expires"), EXPIRES_S.to_string());
    world.advance(seconds(u64::from(EXPIRES_S) - 1));
    assert_eq!(world.tables().pcscf.sets, 1);
    assert_eq!(world.counter("lifetimes_lowered"), 1);
    let (ok, _) = world.refresh(&mut ue);
    assert_eq!(ok.expect("Expires"), EXPIRES_S.to_string(), "and no more challenges");
}

#[test]
fn a_refresh_and_a_notify_may_cross() {
    for layout in LAYOUTS {
        let (mut world, mut ue) = secured(layout);
        let (impi, impu) = (ue.impi.clone().into_bytes(), b"sip:alice@ims.example".to_vec());
        world.operate(&Command::AddIdentity { impi, impu, barred: false }).unwrap();
        let crossing = world.take_one(&mut ue).message;
        assert!(crossing.body.contains("version=\"1\""), "{crossing}");
        // The UE has sent its refresh before that came.
        let refresh = ue.refresh(EXPIRES_S);
        assert_eq!(world.ask(&mut ue, &refresh).status(), 200);
        world.accept(&mut ue, &crossing);
        let after = world.take_one(&mut ue).message;
        assert!(after.body.contains("version=\"2\""), "{after}");
        assert_eq!(after.cseq(), crossing.cseq() + 1);
        assert_eq!(after.expect("Expires"), EXPIRES_S.to_string());
        world.accept(&mut ue, &after);
        assert_eq!(world.counter("notify_failed"), 0);
        world.refresh(&mut ue);
    }
}

#[test]
fn the_lifetime_is_told_by_every_notify() {
    let (mut world, mut ue) = secured(Layout::Apart);
    world.advance(seconds(100));
    let (impi, impu) = (ue.impi.clone().into_bytes(), b"sip:alice@ims.example".to_vec());
    world.operate(&Command::AddIdentity { impi, impu, barred: false }).unwrap();
    let notify = world.take_one(&mut ue).message;
    let left = (EXPIRES_S - 100).to_string();
    assert_eq!(notify.expect("Expires"), left);
    assert_eq!(notify.expect("Subscription-State"), format!("active;expires={left}"));
    assert_eq!(parameter(&notify.body, "lifetime"), Some(left.as_str()));
    assert_eq!(bare_uri(notify.expect("Contact")), ue.target);
}

#[test]
fn a_user_without_its_default_identity_has_another() {
    for layout in LAYOUTS {
        let mut scene = Scene::with(layout);
        let to = scene.other.impu.clone();
        scene.world.bind(&mut scene.other, &to);
        let (impi, impu) = (scene.ue.impi.clone().into_bytes(), scene.ue.impu.clone().into_bytes());
        scene.world.operate(&Command::RemoveIdentity { impi, impu }).unwrap();
        let told = scene.world.notifies(&mut scene.ue, "security");
        let tel = scene.ue.tel();
        let default = format!("<identity default=\"true\">{tel}</identity>");
        assert!(told[0].body.contains(&default), "{}", told[0]);
        let message = scene.ue.message(&to, None);
        scene.world.sealed(&mut scene.ue, &message);
        let arrived = scene.world.take_one(&mut scene.other).message;
        assert_eq!(arrived.all("P-Asserted-Identity"), [format!("<{tel}>")]);
        scene.world.accept(&mut scene.other, &arrived);
        assert_eq!(scene.world.take_one(&mut scene.ue).message.status(), 200);
        // Its security dialog is what it was.
        scene.unharmed();
    }
}

#[test]
fn an_end_in_the_middle_of_anything_leaves_nothing() {
    type Middle = fn(&mut World, &mut ScriptedUe);
    let middles: [Middle; 4] = [
        // A challenge that is not answered.
        |world, ue| {
            let refresh = ue.refresh(EXPIRES_S).without("Authorization");
            let challenge = world.ask(ue, &refresh);
            assert_eq!(challenge.status(), 401);
        },
        // A NOTIFY that is not answered.
        |world, ue| {
            let impi = ue.impi.clone().into_bytes();
            world.operate(&Command::Shorten { impi, expires_s: 300 }).unwrap();
        },
        // A refresh whose NOTIFY is not answered.
        |world, ue| {
            let refresh = ue.refresh(EXPIRES_S);
            world.sealed(ue, &refresh);
        },
        // A registration that is watched.
        |world, ue| {
            let impu = ue.impu.clone();
            world.bind(ue, &impu);
            let watch = ue.watch(&impu, 3600);
            world.sealed(ue, &watch);
        },
    ];
    for layout in LAYOUTS {
        for (number, middle) in middles.iter().enumerate() {
            for by_ue in [true, false] {
                let (mut world, mut ue) = secured(layout);
                middle(&mut world, &mut ue);
                let pending = world.take(&mut ue);
                if by_ue {
                    let release = ue.refresh(0);
                    world.sealed(&mut ue, &release);
                } else {
                    let (impi, reason) = (ue.impi.clone().into_bytes(), Reason::Deactivated);
                    world.operate(&Command::Terminate { impi, reason }).unwrap();
                }
                for arrived in pending.iter().filter(|arrived| arrived.message.status() == 0) {
                    world.accept(&mut ue, &arrived.message);
                }
                let mut last = String::new();
                for _ in 0..4 {
                    for arrived in world.take(&mut ue) {
                        if arrived.message.status() == 0 {
                            last = arrived.message.expect("Subscription-State").to_owned();
                            world.accept(&mut ue, &arrived.message);
                        }
                    }
                }
                let what = format!("{layout:?}, middle {number}, by the UE: {by_ue}");
                assert!(last.starts_with("terminated;reason="), "{what}: {last}");
                world.advance(seconds(1));
                assert_eq!(world.tables().pcscf.sets, 0, "{what}");
                assert_eq!(world.tables().scscf.subscriptions, 0, "{what}");
                world.advance(seconds(400));
                world.assert_empty();
            }
        }
    }
}

#[test]
fn an_end_before_the_pcscfs_own_subscription_is_there() {
    let mut world = World::new(Layout::Each);
    let mut ue = world.ue(1);
    world.begin(&mut ue);
    let answer = ue.answer();
    world.mw_held = true;
    world.sealed(&mut ue, &answer);
    let is_own = |text: &Text| {
        text.status() == 0 && text.method() == "SUBSCRIBE" && text.header("Authorization").is_none()
    };
    while !world.mw_waiting.front().is_some_and(|wire| is_own(&Text::parse(&wire.bytes))) {
        world.pass_held(0);
    }
    for arrived in world.take(&mut ue) {
        match arrived.message.status() {
            0 => world.accept(&mut ue, &arrived.message),
            _ => ue.accepted(&arrived.message),
        }
    }
    let release = ue.refresh(0);
    world.sealed(&mut ue, &release);
    // The own SUBSCRIBE is the slowest of all.
    while world.mw_waiting.len() > 1 {
        world.pass_held(1);
    }
    for _ in 0..3 {
        for arrived in world.take(&mut ue) {
            if arrived.message.status() == 0 {
                world.accept(&mut ue, &arrived.message);
            }
        }
        while world.mw_waiting.len() > 1 {
            world.pass_held(1);
        }
    }
    world.mw_held = false;
    world.pass_held(0);
    world.advance(seconds(1));
    assert_eq!((world.tables().pcscf.sets, world.tables().scscf.subscriptions), (0, 0));
    world.advance(seconds(400));
    world.assert_empty();
}

#[test]
fn a_shortening_that_comes_late_to_the_pcscf_does_not_undo_a_reauthentication() {
    let mut world = World::new(Layout::Apart);
    let mut ue = world.ue(1);
    world.secure(&mut ue);
    let (from, to) = (world.scscf_mw, world.pcscf_mw);
    let command = Command::Shorten { impi: ue.impi.clone().into_bytes(), expires_s: 60 };
    world.mw_held = true;
    world.operate(&command).expect("a live connection");
    let waiting: Vec<_> = world.mw_waiting.drain(..).collect();
    world.mw_held = false;
    let (late, now): (Vec<_>, Vec<_>) = waiting.into_iter().partition(|wire| {
        wire.from == from
            && wire.to == to
            && !String::from_utf8_lossy(&wire.bytes).contains("Route:")
    });
    assert_eq!((late.len(), now.len()), (1, 1));
    for wire in now {
        world.datagram(wire.from, wire.to, &wire.bytes);
    }
    assert_eq!(world.notifies(&mut ue, "security").len(), 1);
    world.reauthenticate(&mut ue);
    // The first copy was lost; the one that Timer E makes says what it said.
    for wire in late {
        world.datagram(wire.from, wire.to, &wire.bytes);
    }
    world.advance(seconds(200));
    assert_eq!((world.tables().pcscf.connections, world.tables().scscf.subscriptions), (1, 1));
}

#[test]
fn shortening_again_and_again_leaves_no_timers_behind() {
    let (mut world, mut ue) = secured(Layout::Together);
    world.advance(seconds(200));
    let armed = |world: &World| world.debug().matches("Scscf(Subscription(Key").count();
    assert_eq!(armed(&world), 1);
    for expires_s in (0..100).map(|less| 380 - less) {
        let impi = ue.impi.clone().into_bytes();
        world.operate(&Command::Shorten { impi, expires_s }).unwrap();
        world.notifies(&mut ue, "security");
    }
    assert_eq!(armed(&world), 1, "one alarm for each connection");
    world.advance(seconds(140));
    assert_eq!((armed(&world), world.tables().scscf.subscriptions), (1, 1));
}

/// Lets time pass while only the Mw datagrams that `passes` lets through arrive; the UE answers what it is asked.
fn advance_filtered(
    world: &mut World,
    ue: &mut ScriptedUe,
    ns: u64,
    passes: impl Fn(&str) -> bool,
) -> Vec<Text> {
    let mut told = Vec::new();
    let until = world.now + ns;
    world.mw_held = true;
    while world.now < until {
        while let Some(wire) = world.mw_waiting.pop_front() {
            if passes(&String::from_utf8_lossy(&wire.bytes)) {
                world.datagram(wire.from, wire.to, &wire.bytes);
            }
        }
        told.extend(world.notifies(ue, "security"));
        world.advance(seconds(1) / 10);
    }
    world.mw_held = false;
    told
}

#[test]
fn a_connection_without_the_pcscfs_own_subscription_ends_at_both_ends() {
    let mut world = World::new(Layout::Apart);
    let mut ue = world.ue(1);
    world.begin(&mut ue);
    let answer = ue.answer();
    world.mw_held = true;
    world.sealed(&mut ue, &answer);
    let is_own = |text: &str| {
        text.starts_with("SUBSCRIBE") && text.contains("P-Asserted-Identity: <sip:127.0.0.1:6060")
    };
    let told = advance_filtered(&mut world, &mut ue, seconds(60), |text| !is_own(text));
    let states: Vec<&str> = told.iter().map(|text| text.expect("Subscription-State")).collect();
    assert_eq!(states.last(), Some(&"terminated;reason=noresource"), "{states:?}");
    assert_eq!(world.counter("unwatched_ended"), 1);
    assert_eq!(world.tables().scscf.subscriptions, 0);
    world.advance(seconds(400));
    world.assert_empty();
}

#[test]
fn a_pcscf_that_was_deaf_for_timer_f_costs_its_ue_the_connection() {
    let (mut world, mut ue) = secured(Layout::Apart);
    let impu = ue.impu.clone();
    world.bind(&mut ue, &impu);
    let (impi, new) = (ue.impi.clone().into_bytes(), b"sip:new@ims.example".to_vec());
    world.mw_held = true;
    world.operate(&Command::AddIdentity { impi, impu: new, barred: false }).unwrap();
    // What is for the UE passes, what is for the P-CSCF itself does not.
    let is_for_ue = |text: &str| !text.starts_with("NOTIFY") || text.contains("Route:");
    let told = advance_filtered(&mut world, &mut ue, seconds(40), is_for_ue);
    let states: Vec<&str> = told.iter().map(|text| text.expect("Subscription-State")).collect();
    assert_eq!(states.last(), Some(&"terminated;reason=noresource"), "{states:?}");
    assert_eq!(world.counter("unwatched_ended"), 1);
    let tables = world.tables();
    assert_eq!((tables.pcscf.sets, tables.scscf.subscriptions, tables.scscf.bindings), (0, 0, 0));
    world.advance(seconds(400));
    world.assert_empty();
}

#[test]
fn a_ue_that_is_busy_keeps_its_connection_and_is_told_again() {
    for status in [420, 491, 500, 503] {
        let (mut world, mut ue) = secured(Layout::Apart);
        let impu = ue.impu.clone();
        world.bind(&mut ue, &impu);
        let (impi, new) = (ue.impi.clone().into_bytes(), b"sip:new@ims.example".to_vec());
        world.operate(&Command::AddIdentity { impi, impu: new, barred: false }).unwrap();
        // Four times busy: then it hears no more of this change.
        for again in 0..4 {
            let notify = world.take_one(&mut ue).message;
            assert!(notify.body.contains("sip:new@ims.example"), "{notify}");
            let busy = ue.respond(&notify, status);
            world.sealed(&mut ue, &busy);
            world.advance(seconds(4));
            assert!(world.take(&mut ue).is_empty(), "{status} {again}: not at once");
            world.advance(seconds(1));
        }
        assert!(world.take(&mut ue).is_empty(), "{status}: bounded");
        assert_eq!((world.tables().scscf.subscriptions, world.tables().scscf.bindings), (1, 1));
        assert_eq!((world.counter("notify_failed"), world.counter("notify_put_off")), (4, 3));
        let (_, notify) = world.refresh(&mut ue);
        assert!(notify.body.contains("sip:new@ims.example"), "{notify}");
        world.advance(seconds(60));
        assert!(world.take(&mut ue).is_empty(), "it has been told");
    }
}

#[test]
fn a_change_while_a_ue_is_busy_is_told_at_once_and_once() {
    let (mut world, mut ue) = secured(Layout::Together);
    let add = |world: &mut World, ue: &ScriptedUe, impu: &str| {
        let (impi, impu) = (ue.impi.clone().into_bytes(), impu.as_bytes().to_vec());
        world.operate(&Command::AddIdentity { impi, impu, barred: false }).unwrap();
    };
    add(&mut world, &ue, "sip:one@ims.example");
    let notify = world.take_one(&mut ue).message;
    let busy = ue.respond(&notify, 503);
    world.sealed(&mut ue, &busy);
    add(&mut world, &ue, "sip:two@ims.example");
    let told = world.notifies(&mut ue, "security");
    assert!(told.len() == 1 && told[0].body.contains("sip:two@ims.example"), "{told:?}");
    world.advance(seconds(60));
    assert!(world.take(&mut ue).is_empty(), "nothing is left to tell");
}

#[test]
fn a_watcher_that_is_busy_stays_one() {
    let (mut world, mut ue) = secured(Layout::Together);
    let impu = ue.impu.clone();
    world.watch(&mut ue, &impu);
    let register = ue.register(&impu, 3600);
    world.sealed(&mut ue, &register);
    let arrived = world.take(&mut ue);
    let notify = arrived.iter().find(|it| it.message.status() == 0).expect("a NOTIFY");
    let busy = ue.respond(&notify.message, 500);
    world.sealed(&mut ue, &busy);
    assert_eq!(world.tables().scscf.reg_subscriptions, 1);
    world.advance(seconds(5));
    assert_eq!(world.notifies(&mut ue, "reg").len(), 1);
}

#[test]
fn an_answer_that_says_the_ue_is_gone_ends_its_connection() {
    for status in [404, 405, 410, 416, 480, 481, 482, 483, 484, 485, 489, 501, 604] {
        let (mut world, mut ue) = secured(Layout::Together);
        let impi = ue.impi.clone().into_bytes();
        world.operate(&Command::Shorten { impi, expires_s: 300 }).unwrap();
        let notify = world.take_one(&mut ue).message;
        let gone = ue.respond(&notify, status);
        world.sealed(&mut ue, &gone);
        let ended = (world.counter("notify_failed"), world.tables().scscf.subscriptions);
        assert_eq!(ended, (1, 0), "{status}");
    }
}
