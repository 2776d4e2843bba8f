//! What a way to be reachable over several accesses costs: messages and bytes at Gm and Mw, memory, and how long what is lost is waited for.

use std::net::IpAddr;

use imstorm_base::time::{milliseconds, seconds};
use imstorm_cscf::operator::Command;
use tests::{Layout, Text, World};

fn here() -> IpAddr {
    "127.0.0.1".parse().expect("an address")
}

#[test]
fn messages_and_bytes_are_counted_once_at_gm_and_at_mw() {
    let mut per_layout = Vec::new();
    for layout in [Layout::Together, Layout::Apart, Layout::Each] {
        let mut world = World::new(layout);
        let mut ue = world.ue(1);
        world.register(&mut ue);
        // Two REGISTERs and their answers.
        assert_eq!(world.counter("gm_messages"), 4);
        let to_ue: usize = world.all_to_ues.iter().map(|wire| wire.bytes.len()).sum();
        let again = ue.register_again(600);
        let packet = ue.seal(&again.to_bytes());
        let before = world.counter("gm_bytes");
        world.packet(&ue, &packet);
        let answer = world.all_to_ues.last().expect("a 200").bytes.len();
        assert_eq!(world.counter("gm_bytes") - before, (packet.len() + answer) as u64);
        assert!(before as usize > to_ue);
        let on_wire: usize = world.mw.iter().map(|wire| wire.bytes.len()).sum();
        if layout == Layout::Each {
            assert_eq!(world.counter("mw_messages"), world.mw.len() as u64);
            assert_eq!(world.counter("mw_bytes"), on_wire as u64);
        }
        per_layout.push((world.counter("gm_messages"), world.counter("mw_messages")));
    }
    assert_eq!(per_layout[0], per_layout[1]);
    assert_eq!(per_layout[1], per_layout[2], "memory counts as the wire does");
}

#[test]
fn what_opens_no_set_is_no_message_at_gm() {
    let mut world = World::new(Layout::Together);
    let mut ue = world.ue(1);
    world.register(&mut ue);
    let before = world.counter("gm_messages");
    let again = ue.register_again(600);
    let mut packet = ue.seal(&again.to_bytes());
    *packet.last_mut().expect("a packet") ^= 1;
    world.packet(&ue, &packet);
    assert_eq!(world.counter("gm_messages"), before);
}

#[test]
fn tables_say_how_many_bytes_they_take() {
    for layout in [Layout::Together, Layout::Apart] {
        let mut world = World::new(layout);
        assert_eq!((world.tables().pcscf.bytes, world.tables().scscf.bytes), (0, 0));
        let mut ue = world.ue(1);
        world.register(&mut ue);
        let tables = world.tables();
        assert!(tables.pcscf.bytes > tables.pcscf.strings_bytes);
        assert!(tables.scscf.bytes > tables.scscf.strings_bytes);
        let status = world.status();
        for name in ["pcscf_bytes", "scscf_bytes", "gm_bytes", "mw_bytes"] {
            let name = format!("\"{name}\":");
            let rest = status.split(&name).nth(1).expect("a field");
            assert!(!rest.starts_with('0'), "{name}");
        }
    }
}

/// After how long the NOTIFY that a UE does not answer is given up.
fn given_up_after_ns(t1_ms: u64) -> u64 {
    let more = format!("ue_leg = {{ t1_ms = {t1_ms} }}\n");
    let mut world = World::with(Layout::Apart, here(), &more);
    let mut ue = world.ue(1);
    world.secure(&mut ue);
    let impi = ue.impi.clone().into_bytes();
    world.operate(&Command::Shorten { impi, expires_s: 500 }).expect("a user who is there");
    let mut after_ns = 0;
    while world.counter("transactions_timed_out") == 0 {
        world.advance(milliseconds(100));
        after_ns += milliseconds(100);
        assert!(after_ns < seconds(400), "never given up");
    }
    let notifies = world.take(&mut ue).into_iter().map(|arrived| arrived.message);
    assert!(notifies.filter(|text: &Text| text.method() == "NOTIFY").count() > 5);
    after_ns
}

#[test]
fn timers_at_the_ue_follow_t1() {
    assert_eq!(given_up_after_ns(2000), seconds(128));
    assert_eq!(given_up_after_ns(500), seconds(32));
    assert_eq!(given_up_after_ns(200), milliseconds(12_800));
}
