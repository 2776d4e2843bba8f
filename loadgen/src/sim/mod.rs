//! The simulator: the engine's tick and the generator's over a virtual clock and a network that loses, doubles and reorders. One
//! thread, one seed, no I/O: the same seed gives the same run, event by event.
//!
//! A datagram passes from one side's outbox through [`network`], which decides by the seed whether and when it arrives, into
//! the other side's inbox; [`shards`] are the engine, [`world`] moves the time to whatever comes next; [`invariants`] says after each event, and [`checks`] at the end, what should not be.

mod buffers;
pub mod checks;
pub mod invariants;
pub mod network;
pub mod shards;
pub mod world;

use std::io::Write;
use std::sync::Arc;

use imstorm_cscf::Directory;
use imstorm_engine::EngineConfig;

use crate::measure::{Cause, Procedure};
use crate::profile::Profile;
use world::World;

/// How one seed went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeedResult {
    /// The seed.
    pub seed: u64,
    /// UEs in the profile.
    pub ues: u64,
    /// UEs that were secured.
    pub secured: u64,
    /// UEs that gave up before they were secured, as the profile wants it, and don't come back.
    pub given_up: u64,
    /// Failures by cause, all procedures together.
    pub failures: Vec<(Cause, u64)>,
    /// Datagrams that were put on the network.
    pub datagrams: u64,
    /// Virtual time that passed, in nanoseconds.
    pub elapsed_ns: u64,
    /// What should not be; empty where all held.
    pub violations: Vec<String>,
}

/// Runs a profile with one seed, over these subscribers. `trace` takes a line for each datagram and its fate.
pub fn run_seed(
    profile: &Profile,
    engine: &EngineConfig,
    directory: &Arc<Directory>,
    seed: u64,
    trace: Option<&mut dyn Write>,
) -> SeedResult {
    let mut world = World::new(profile, engine, Arc::clone(directory), seed, trace);
    let ended = world.run();
    let measurements = world.generator().measurements();
    SeedResult {
        seed,
        ues: profile.population.size,
        secured: world.generator().state().secured_ever,
        given_up: match profile.abandon.back_after_s {
            Some(_) => 0,
            None => {
                let tally = |procedure| measurements.procedure(procedure);
                let set_ups = [Procedure::Secure, Procedure::Registration, Procedure::Fallback];
                let given_up: u64 = set_ups.iter().map(|it| tally(*it).abandoned).sum();
                given_up - tally(Procedure::Fallback).attempted
            }
        },
        failures: measurements.failures().iter().collect(),
        datagrams: world.datagrams(),
        elapsed_ns: world.now() - world::START_NS,
        violations: checks::at_the_end(&world, ended),
    }
}

#[cfg(test)]
mod bytes_tests;
#[cfg(test)]
mod tests;
