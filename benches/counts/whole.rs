//! The whole: UEs and engine in the simulator's world, over a network without faults. Making the world does not count.

use std::sync::Arc;

use benches::SETUP_PROFILE;
use gungraun::{library_benchmark, library_benchmark_group};
use imstorm::profile::Profile;
use imstorm::sim::world::World;
use imstorm::{embedded, population};

const UES: u64 = 20;

fn world(refreshes: u32) -> World<'static> {
    let overrides = [
        ("population.size".to_owned(), UES.to_string()),
        ("procedures.refresh.count".to_owned(), refreshes.to_string()),
    ];
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

library_benchmark_group!(name = whole, benchmarks = [set_up]);
