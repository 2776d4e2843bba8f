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

#[test]
fn a_secured_ue_takes_at_most_512_bytes() {
    let profile = Profile::parse("rest.toml", PROFILE, &[]).unwrap();
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
    let each: Vec<(&str, f64)> =
        bytes.iter().map(|(what, bytes)| (*what, *bytes as f64 / UES as f64)).collect();
    let sum: f64 = each.iter().map(|(_, bytes)| bytes).sum();
    println!("{each:?} {sum}");
    assert!(sum <= 512.0, "{each:?}: {sum} B");
}
