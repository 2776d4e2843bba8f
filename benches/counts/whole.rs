//! The whole: UEs and engine in the simulator's world, over a network without faults. Making the world does not count.

use std::sync::Arc;

use benches::SETUP_PROFILE;
use gungraun::{
    Callgrind, EntryPoint, LibraryBenchmarkConfig, library_benchmark, library_benchmark_group,
};
use imstorm::profile::Profile;
use imstorm::sim::world::World;
use imstorm::{embedded, population};

const UES: u64 = 20;
/// As many for each number of shards that there are always some for each.
const UES_OF_SHARDS: u64 = 64;

fn world(refreshes: u32) -> World<'static> {
    world_with(&[
        ("population.size", UES.to_string()),
        ("procedures.refresh.count", refreshes.to_string()),
    ])
}

fn world_of_shards(shards: u32) -> World<'static> {
    world_with(&[
        ("population.size", UES_OF_SHARDS.to_string()),
        ("procedures.refresh.count", "1".to_owned()),
        ("engine.shards", shards.to_string()),
    ])
}

fn world_with(overrides: &[(&str, String)]) -> World<'static> {
    let overrides: Vec<(String, String)> =
        overrides.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect();
    let profile = Profile::parse("setup.toml", SETUP_PROFILE, &overrides).expect("a profile");
    let profile = Box::leak(Box::new(profile));
    let engine = Box::leak(Box::new(embedded::config(profile).expect("an engine's configuration")));
    let directory = Arc::new(population::directory(profile).expect("subscribers"));
    World::new(profile, engine, directory, 1, None)
}

#[library_benchmark(setup = world)]
#[bench::and_release(0)]
#[bench::refresh_and_release(1)]
fn set_up(mut world: World<'static>) -> World<'static> {
    world.run();
    assert_eq!(world.generator().state().secured_ever, UES);
    world
}

// What the engine's shards alone do for the same UEs, one shard or several.
#[library_benchmark(
    setup = world_of_shards,
    config = LibraryBenchmarkConfig::default().tool(
        Callgrind::with_args(["--cache-sim=no"])
            .entry_point(EntryPoint::Custom("imstorm_engine::shard::Shard::tick*".to_owned()))
    )
)]
#[bench::of_1(1)]
#[bench::of_2(2)]
#[bench::of_4(4)]
#[bench::of_8(8)]
#[bench::of_16(16)]
fn shards(mut world: World<'static>) -> World<'static> {
    world.run();
    assert_eq!(world.generator().state().secured_ever, UES_OF_SHARDS);
    world
}

library_benchmark_group!(name = whole, benchmarks = [set_up, shards]);
