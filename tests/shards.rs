//! The engine's shards, all of them simulated: any number of them is one engine, and who belongs to a shard seldom leaves it.

use std::sync::Arc;

use imstorm::embedded;
use imstorm::measure::Procedure;
use imstorm::population::directory;
use imstorm::profile::Profile;
use imstorm::sim::checks;
use imstorm::sim::world::World;
use imstorm_cscf::hss::directory::UserId;

const SHARDS: [usize; 4] = [2, 4, 8, 16];

/// Runs a profile to its end over so many shards; what should not be is an error. `look` sees the world at the end.
fn simulate<T>(
    profile: &str,
    shards: usize,
    seed: u64,
    more: &[(&str, &str)],
    look: impl Fn(&World<'_>) -> T,
) -> T {
    let mut set = vec![("engine.shards".to_owned(), shards.to_string())];
    set.extend(more.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())));
    let profile = Profile::load(profile, &set).expect("a profile");
    let engine = embedded::config(&profile).expect("an engine's configuration");
    let directory = Arc::new(directory(&profile).expect("subscribers"));
    let mut world = World::new(&profile, &engine, directory, seed, None);
    let ended = world.run();
    let violations = checks::at_the_end(&world, ended);
    assert_eq!(violations, Vec::<String>::new(), "{shards} shards, seed {seed}");
    assert_eq!(world.engine().iter().count(), shards);
    look(&world)
}

/// A network without faults.
const FAULTLESS: [(&str, &str); 3] =
    [("network.loss", "0"), ("network.duplication", "0"), ("network.reordering", "0")];

#[test]
fn all_procedures_with_faults_over_any_number_of_shards() {
    for shards in SHARDS {
        let hops = simulate("mixed", shards, 1, &[("population.size", "40")], |world| {
            world.engine().counter(|it| it.shard_hops)
        });
        assert!(hops > 0, "users of different shards call each other");
    }
}

#[test]
fn a_set_up_has_at_most_one_hop_and_a_refresh_none() {
    const UES: u64 = 200;
    for shards in SHARDS {
        let hops = |refreshes: u64| {
            let count = refreshes.to_string();
            let mut more = vec![
                ("population.size", "200"),
                ("procedures.refresh.count", &*count),
                ("procedures.release.after_s", "60"),
            ];
            more.extend(FAULTLESS);
            simulate("quickstart", shards, 1, &more, |world| {
                let measurements = world.generator().measurements();
                let completed = |procedure| measurements.procedure(procedure).completed;
                assert_eq!(completed(Procedure::Secure), UES);
                assert_eq!(completed(Procedure::Refresh), UES * refreshes);
                world.engine().counter(|it| it.shard_hops)
            })
        };
        let of_set_ups = hops(0);
        // A first SUBSCRIBE comes to the right shard by chance only.
        assert!((UES / 4..=UES).contains(&of_set_ups), "{of_set_ups} hops of {shards} shards");
        assert_eq!(hops(3), of_set_ups, "refreshes and releases stay where they are");
    }
}

#[test]
fn users_are_spread_evenly() {
    const USERS: u64 = 200_000;
    let set = [("population.size".to_owned(), USERS.to_string())];
    let profile = Profile::load("quickstart", &set).expect("a profile");
    let directory = directory(&profile).expect("subscribers");
    for shards in SHARDS {
        let mut owned = vec![0_u64; shards];
        for user in (0..USERS as u32).map(UserId) {
            owned[directory.owner_of(user, shards)] += 1;
        }
        let even = USERS as f64 / shards as f64;
        for (shard, users) in owned.into_iter().enumerate() {
            let share = users as f64 / even;
            assert!(
                (0.95..=1.05).contains(&share),
                "{share:.3} of its share at {shard} of {shards}"
            );
        }
    }
}
