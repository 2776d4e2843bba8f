//! The whole: UEs and engine in the simulator's world, over a network without faults.

use std::sync::Arc;

use benches::SETUP_PROFILE;
use criterion::{Criterion, Throughput};
use imstorm::profile::Profile;
use imstorm::{embedded, population, sim};

pub fn benchmarks(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("setup/secure and release");
    group.sample_size(10);
    for ues in [100, 1_000] {
        let overrides = [("population.size".to_owned(), ues.to_string())];
        let profile = Profile::parse("setup.toml", SETUP_PROFILE, &overrides).expect("a profile");
        let engine = embedded::config(&profile).expect("an engine's configuration");
        let directory = Arc::new(population::directory(&profile).expect("subscribers"));
        group.throughput(Throughput::Elements(ues));
        group.bench_function(format!("{ues} UEs"), |bencher| {
            bencher.iter(|| {
                let result = sim::run_seed(&profile, &engine, &directory, 1, None);
                assert_eq!(result.secured, ues, "{:?}", result.violations);
            });
        });
    }
    group.finish();
}
