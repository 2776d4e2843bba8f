//! Datagrams that come together are opened together. What they then do is what they would have done one after the other.

use std::net::{IpAddr, SocketAddr};

use tests::ue::EXPIRES_S;
use tests::{Layout, ScriptedUe, Wire, World};

/// What a batch has done: the counters that rose, and how many datagrams went to UEs.
type Effects = (Vec<(&'static str, u64)>, usize);

/// Makes the same world twice, in which the same datagrams come one after the other, and together.
fn apart_and_together(scene: impl Fn() -> (World, Vec<Wire>)) -> (Effects, Effects) {
    let effects = |come: fn(&mut World, &[Wire])| {
        let (mut world, wires) = scene();
        let (before, sent) = (world.counters(), world.all_to_ues.len());
        come(&mut world, &wires);
        (world.risen(&before), world.all_to_ues.len() - sent)
    };
    let apart = effects(|world, wires| {
        for wire in wires {
            world.batch(std::slice::from_ref(wire));
        }
    });
    (apart, effects(World::batch))
}

fn packet(world: &World, ue: &ScriptedUe, bytes: &[u8]) -> Wire {
    let from = SocketAddr::new(ue.ip, ue.esp_port);
    Wire { from, to: world.pcscf_esp, bytes: bytes.to_vec() }
}

fn risen(effects: &Effects, name: &str) -> u64 {
    effects.0.iter().find(|(counter, _)| *counter == name).map_or(0, |(_, by)| *by)
}

#[test]
fn a_packet_that_comes_twice_in_a_batch_is_taken_once() {
    let (apart, together) = apart_and_together(|| {
        let mut world = World::new(Layout::Together);
        let mut ue = world.ue(1);
        world.secure(&mut ue);
        let refresh = ue.refresh(EXPIRES_S);
        let good = ue.seal(&refresh.to_bytes());
        let mut forged = good.clone();
        *forged.last_mut().expect("a packet") ^= 1;
        let short = &good[..good.len() - 5];
        let wires = [&forged, &good, &good, &forged, short, &good[..6]];
        let wires = wires.map(|bytes| packet(&world, &ue, bytes)).to_vec();
        (world, wires)
    });
    assert_eq!(apart, together);
    // A forged one says nothing of the good one behind it; behind that, its number has come before.
    assert_eq!(risen(&together, "esp_integrity_failed"), 1);
    assert_eq!(risen(&together, "esp_replayed"), 2);
    assert_eq!(risen(&together, "esp_rejected"), 5);
    assert!(together.1 >= 1, "the refresh is answered");
}

#[test]
fn more_datagrams_than_are_opened_together_are_all_taken() {
    let (apart, together) = apart_and_together(|| {
        let mut world = World::new(Layout::Together);
        let mut ues: Vec<ScriptedUe> = (1..=8).map(|number| world.ue(number)).collect();
        let mut wires = Vec::new();
        for ue in &mut ues {
            world.secure(ue);
        }
        for round in 0..20_usize {
            for ue in &mut ues {
                let text = vec![b'x'; 7 * round];
                let bytes = ue.seal(&text);
                wires.push(packet(&world, ue, &bytes));
            }
        }
        for ue in &mut ues {
            let refresh = ue.refresh(EXPIRES_S);
            let bytes = ue.seal(&refresh.to_bytes());
            wires.push(packet(&world, ue, &bytes));
        }
        (world, wires)
    });
    assert_eq!(apart, together);
    assert_eq!(risen(&together, "malformed"), 8 * 20);
    assert!(together.1 >= 8, "each refresh is answered");
}

#[test]
fn a_set_that_goes_with_an_earlier_datagram_opens_nothing_more() {
    let elsewhere: IpAddr = "127.16.1.1".parse().expect("an address");
    let (apart, together) = apart_and_together(|| {
        let mut world = World::configured(Layout::Together, "sa_policy = \"impi\",", "");
        let mut first = world.ue(1);
        world.secure(&mut first);
        let mut second = world.ue_at(1, elsewhere);
        second.new_call();
        second.call_id = format!("second-{}", second.call_id);
        // One USIM: the other access goes on with its numbers.
        second.freshness = first.freshness.clone();
        world.begin(&mut second);
        let answer = second.answer();
        let answer = second.seal(&answer.to_bytes());
        let refresh = first.refresh(EXPIRES_S);
        let refresh = first.seal(&refresh.to_bytes());
        let wires = vec![packet(&world, &second, &answer), packet(&world, &first, &refresh)];
        (world, wires)
    });
    assert_eq!(apart, together);
    assert_eq!(risen(&together, "sa_sets_overridden"), 1);
    assert_eq!(risen(&together, "esp_unknown_spi"), 1);
}
