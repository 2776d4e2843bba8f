//! What nobody may see: SIP and identities on the secured path, and keys anywhere.

use tests::{Credentials, Layout, ScriptedUe, World};

/// A whole life, and what the engine sent in it.
fn life(layout: Layout) -> (World, ScriptedUe) {
    let mut world = World::new(layout);
    let mut ue = world.ue(1);
    world.secure(&mut ue);
    world.refresh(&mut ue);
    world.release(&mut ue);
    (world, ue)
}

#[test]
fn nothing_of_sip_is_in_clear_on_the_esp_port() {
    let (world, ue) = life(Layout::Together);
    let sealed: Vec<_> =
        world.all_to_ues.iter().filter(|wire| wire.from == world.pcscf_esp).collect();
    assert_eq!(sealed.len(), 6, "a 200 and a NOTIFY each");
    let (impu, tel, impi) = (ue.impu.as_str(), ue.tel(), ue.impi.as_str());
    for wire in sealed {
        let text = String::from_utf8_lossy(&wire.bytes).to_lowercase();
        for clear in ["sip:", "sip/2.0", "subscribe", "notify", "secinfo", impu, &tel, impi] {
            assert!(!text.contains(&clear.to_lowercase()), "{clear} in clear");
        }
    }
}

#[test]
fn with_the_null_cipher_it_would_be_seen() {
    // The search above finds what is there to be found.
    let mut world = World::new(Layout::Together);
    let mut ue = world.ue(1);
    ue.suites.retain(|suite| suite.encryption == imstorm_esp::EncryptionAlgorithm::Null);
    world.secure(&mut ue);
    let seen = world.all_to_ues.iter().any(|wire| {
        wire.from == world.pcscf_esp && String::from_utf8_lossy(&wire.bytes).contains(&ue.impu)
    });
    assert!(seen);
}

#[test]
fn the_same_message_is_never_sealed_to_the_same_bytes() {
    let mut world = World::new(Layout::Together);
    let mut ue = world.ue(1);
    world.begin(&mut ue);
    let answer = ue.answer();
    world.sealed(&mut ue, &answer);
    // The NOTIFY is repeated.
    world.advance(imstorm_base::seconds(60));
    let wires = world.take_wires(ue.ip);
    assert!(wires.len() > 3);
    for (place, wire) in wires.iter().enumerate() {
        let tail = |bytes: &[u8]| bytes[24..].to_vec();
        let twin = wires[..place].iter().find(|other| tail(&other.bytes) == tail(&wire.bytes));
        assert!(twin.is_none(), "the same ciphertext twice");
    }
}

#[test]
fn keys_never_reach_a_ue() {
    for layout in [Layout::Together, Layout::Apart] {
        let (world, ue) = life(layout);
        for wire in &world.all_to_ues {
            for key in secrets(&ue) {
                let found = wire.bytes.windows(key.len()).any(|window| window == key);
                assert!(!found, "a key in a datagram to a UE");
                let text = String::from_utf8_lossy(&wire.bytes).to_lowercase();
                assert!(!text.contains(&hex(&key)), "a key in hex");
            }
        }
    }
}

#[test]
fn keys_are_in_no_debug_output_and_no_status() {
    let mut world = World::new(Layout::Together);
    let mut live = world.ue(1);
    world.secure(&mut live);
    let mut pending = world.ue(2);
    world.begin(&mut pending);
    pending.first(Credentials::Name);
    // The tables' unused memory is most of what is shown: eight zeros in a row are in no key.
    let debug = world.debug().replace("0, 0, 0, 0, 0, 0, 0, 0, ", "");
    let status = world.status();
    for ue in [&live, &pending] {
        for key in secrets(ue) {
            for shown in spellings(&key) {
                assert!(!debug.contains(&shown), "a key in Debug: {shown}");
                assert!(!status.contains(&shown), "a key in the status: {shown}");
            }
        }
    }
    assert!(status.contains("security_associations"), "it is the status");
}

/// K, OPc, CK, IK and RES.
fn secrets(ue: &ScriptedUe) -> Vec<Vec<u8>> {
    let mut secrets = vec![ue.keys.0.to_vec(), ue.keys.1.to_vec(), ue.res.to_vec()];
    for set in &ue.sets {
        secrets.extend([set.keys.0.to_vec(), set.keys.1.to_vec()]);
    }
    secrets
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// How Debug could show bytes.
fn spellings(bytes: &[u8]) -> Vec<String> {
    let inner = |text: String| text.trim_matches(['[', ']']).to_owned();
    vec![
        hex(bytes),
        hex(bytes).to_uppercase(),
        inner(format!("{bytes:?}")),
        inner(format!("{bytes:02x?}")),
        inner(format!("{bytes:x?}")),
        u64::from_be_bytes(*bytes.first_chunk().expect("8 bytes or more")).to_string(),
    ]
}
