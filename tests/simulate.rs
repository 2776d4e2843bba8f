//! The simulator: what must hold holds for many seeds, and a seed is a run.

use std::sync::Arc;

use imstorm::embedded;
use imstorm::measure::Procedure;
use imstorm::population::directory;
use imstorm::profile::Profile;
use imstorm::sim::world::World;
use imstorm::sim::{SeedResult, checks, run_seed};
use imstorm_cscf::Directory;
use imstorm_engine::EngineConfig;

/// UEs of a simulated run.
const UES: u64 = 100;

fn quickstart(more: &[(&str, &str)]) -> (Profile, EngineConfig, Arc<Directory>) {
    small("quickstart", more)
}

/// A built-in profile with fewer UEs.
fn small(name: &str, more: &[(&str, &str)]) -> (Profile, EngineConfig, Arc<Directory>) {
    let size = UES.to_string();
    let set = [("population.size", size.as_str())].into_iter().chain(more.iter().copied());
    let set: Vec<_> = set.map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
    let profile = Profile::load(name, &set).expect("a profile");
    let engine = embedded::config(&profile).expect("an engine's configuration");
    let directory = Arc::new(directory(&profile).expect("subscribers"));
    (profile, engine, directory)
}

fn traced(seed: u64) -> (SeedResult, String) {
    let (profile, engine, directory) = quickstart(&[]);
    let mut trace = Vec::new();
    let result = run_seed(&profile, &engine, &directory, seed, Some(&mut trace));
    (result, String::from_utf8(trace).expect("a trace of UTF-8"))
}

#[test]
fn twenty_seeds_hold() {
    let (profile, engine, directory) = quickstart(&[]);
    for seed in 1..=20 {
        let result = run_seed(&profile, &engine, &directory, seed, None);
        assert_eq!(result.violations, Vec::<String>::new(), "seed {seed}");
        assert_eq!((result.ues, result.secured), (UES, UES), "seed {seed}: {:?}", result.failures);
        // At least set-up, refresh and release of each: fourteen datagrams.
        assert!(result.datagrams >= 14 * UES, "seed {seed}: {}", result.datagrams);
    }
}

#[test]
fn all_procedures_mixed_hold() {
    let (profile, engine, directory) = small("mixed", &[]);
    for seed in 1..=20 {
        let result = run_seed(&profile, &engine, &directory, seed, None);
        assert_eq!(result.violations, Vec::<String>::new(), "seed {seed}: {:?}", result.failures);
        assert_eq!(result.secured, UES, "seed {seed}: {:?}", result.failures);
    }
}

#[test]
fn networks_without_the_extension_hold() {
    for name in ["fallback", "fallback-return", "figure-1", "legacy-pcscf", "legacy-scscf"] {
        let (profile, engine, directory) = small(name, &[]);
        for seed in 1..=5 {
            let result = run_seed(&profile, &engine, &directory, seed, None);
            let failures = &result.failures;
            assert_eq!(result.violations, Vec::<String>::new(), "{name}, {seed}: {failures:?}");
            assert_eq!(result.secured, UES, "{name}, {seed}: {failures:?}");
        }
    }
}

/// How a profile went with a seed: sessions lost, and how long the one was interrupted, in microseconds.
fn interrupted(name: &str, seed: u64) -> (u64, u64) {
    let profile = Profile::load(name, &[]).expect("a profile");
    let engine = embedded::config(&profile).expect("an engine's configuration");
    let directory = Arc::new(directory(&profile).expect("subscribers"));
    let mut world = World::new(&profile, &engine, directory, seed, None);
    let ended = world.run();
    assert_eq!(checks::at_the_end(&world, ended), Vec::<String>::new(), "{name}, seed {seed}");
    let measurements = world.generator().measurements();
    assert_eq!(measurements.failures().total(), 0, "{name}, seed {seed}");
    let interruption = measurements.procedure(Procedure::Interruption);
    assert_eq!(interruption.completed, 1, "{name}, seed {seed}");
    (world.generator().state().sessions.lost, interruption.latency_us.max())
}

#[test]
fn figure_2_keeps_the_session_that_figure_1_loses() {
    for seed in 1..=20 {
        let ((lost_1, took_1_us), (lost_2, took_2_us)) =
            (interrupted("figure-1", seed), interrupted("figure-2", seed));
        assert_eq!((lost_1, lost_2), (1, 0), "seed {seed}");
        // With registration the user calls again, and somebody has to answer; with the extension nobody notices.
        assert!(4 * took_2_us < took_1_us, "seed {seed}: {took_2_us} us, {took_1_us} us");
    }
}

#[test]
fn a_worse_network_holds_too() {
    let (profile, engine, directory) = quickstart(&[
        ("network.loss", "0.2"),
        ("network.duplication", "0.2"),
        ("network.reordering", "0.3"),
    ]);
    for seed in 1..=5 {
        let result = run_seed(&profile, &engine, &directory, seed, None);
        assert_eq!(result.violations, Vec::<String>::new(), "seed {seed}: {:?}", result.failures);
    }
}

#[test]
fn the_same_seed_is_the_same_run() {
    let (first, second) = (traced(7), traced(7));
    assert_eq!(first.0, second.0);
    assert_eq!(first.1.lines().count() as u64, first.0.datagrams);
    let differs = first.1.lines().zip(second.1.lines()).position(|(one, other)| one != other);
    assert_eq!(differs, None, "the first line of the trace that differs");
    assert!(first.1 == second.1, "the traces have different lengths");
}

#[test]
fn a_trace_changes_nothing() {
    let (profile, engine, directory) = quickstart(&[]);
    assert_eq!(traced(7).0, run_seed(&profile, &engine, &directory, 7, None));
}

#[test]
fn another_seed_is_another_run() {
    assert!(traced(7).1 != traced(8).1);
}
