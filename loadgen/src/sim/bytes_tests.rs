//! What a UE takes in memory while it rests.

use std::sync::Arc;

use imstorm_base::time::seconds;

use super::world::World;
use crate::generator::Stage;
use crate::profile::Profile;

const UES: usize = 2_000;
const PROFILE: &str = "name = \"rest\"\n[population]\nsize = 2000\naccesses = 2\n\
    [topology]\npcscf = [\"127.0.0.1:5060\", \"127.0.0.2:5060\"]\n\
    [arrivals]\nprocess = \"constant\"\nrate_per_s = 200\n\
    [procedures.refresh]\nafter_s = 230\ncount = 1\nexpires_s = 3600\n\
    [procedures.register_over_connection]\nafter_s = 0.5\ncount = 1\nexpires_s = 3600\n\
    [procedures.handover]\nafter_s = 460\ncount = 1\nshare = 0.1\n\
    [procedures.release]\nafter_s = 690\n";

/// Bytes for each UE, by what they are for, when all are secured, registered and at rest.
fn bytes_at_rest(more: &str) -> Vec<(&'static str, f64)> {
    let profile = Profile::parse("rest.toml", &(PROFILE.to_owned() + more), &[]).unwrap();
    let engine = crate::embedded::config(&profile).unwrap();
    let directory = Arc::new(crate::population::directory(&profile).unwrap());
    let mut world = World::new(&profile, &engine, directory, 1, None);
    world.run_until(super::world::START_NS + seconds(100));
    let generator = world.generator();
    for ue in 0..UES as u32 {
        let view = generator.ue(ue).unwrap();
        assert_eq!((view.stage, view.is_busy), (Stage::Secured, false));
        assert!(view.contact.is_some());
    }
    let bytes = generator.bytes_of_ues();
    bytes.iter().map(|(what, bytes)| (*what, *bytes as f64 / UES as f64)).collect()
}

fn sum(bytes: &[(&str, f64)]) -> f64 {
    bytes.iter().map(|(_, bytes)| bytes).sum()
}

#[test]
fn a_secured_ue_takes_less_than_512_bytes() {
    let bytes = bytes_at_rest("");
    // With some to spare for what a process has beside its tables.
    assert!(sum(&bytes) <= 460.0, "{bytes:?}");
}

#[test]
fn a_ue_that_watches_its_registration_takes_a_dialog_more() {
    let bytes = bytes_at_rest("[procedures.reg_event]\nafter_s = 1\ncount = 1\n");
    assert!(sum(&bytes) <= 550.0, "{bytes:?}");
}
