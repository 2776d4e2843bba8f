//! The simulator: what must hold holds for many seeds, and a seed is a run.

use std::sync::Arc;

use imstorm::embedded;
use imstorm::population::directory;
use imstorm::profile::Profile;
use imstorm::sim::{SeedResult, run_seed};
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
    for name in ["fallback", "fallback-return", "figure-1"] {
        let (profile, engine, directory) = small(name, &[]);
        for seed in 1..=5 {
            let result = run_seed(&profile, &engine, &directory, seed, None);
            let failures = &result.failures;
            assert_eq!(result.violations, Vec::<String>::new(), "{name}, {seed}: {failures:?}");
            assert_eq!(result.secured, UES, "{name}, {seed}: {failures:?}");
        }
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
