//! The whole: UEs and engine in the simulator's world, over a network without faults.

use std::sync::Arc;

use benches::SETUP_PROFILE;
use criterion::{Criterion, Throughput};
use imstorm::profile::Profile;
use imstorm::{embedded, population, sim};

/// Users of a run.
const SIZES: [u64; 2] = [100, 1_000];

pub fn benchmarks(criterion: &mut Criterion) {
    let setup = |overrides: &[(String, String)]| {
        Profile::parse("setup.toml", SETUP_PROFILE, overrides).expect("a profile")
    };
    run(criterion, "setup/secure and release", &[], setup);
    run(
        criterion,
        "setup/secure, refresh and release",
        &[("procedures.refresh.count", "1")],
        setup,
    );
    let wave = |overrides: &[(String, String)]| {
        Profile::load("handover-wave", overrides).expect("a built-in profile")
    };
    run(criterion, "setup/secure, call, handover and release", &[], wave);
}

fn run(
    criterion: &mut Criterion,
    name: &str,
    overrides: &[(&str, &str)],
    profile: impl Fn(&[(String, String)]) -> Profile,
) {
    let mut group = criterion.benchmark_group(name);
    group.sample_size(10);
    for users in SIZES {
        let mut overrides: Vec<(String, String)> =
            overrides.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        overrides.push(("population.size".to_owned(), users.to_string()));
        let profile = profile(&overrides);
        let engine = embedded::config(&profile).expect("an engine's configuration");
        let directory = Arc::new(population::directory(&profile).expect("subscribers"));
        group.throughput(Throughput::Elements(users));
        group.bench_function(format!("{users} UEs"), |bencher| {
            bencher.iter(|| {
                let result = sim::run_seed(&profile, &engine, &directory, 1, None);
                assert!(result.secured >= users && result.violations.is_empty(), "{result:?}");
            });
        });
    }
    group.finish();
}
