//! Where engine and generator run.

use std::collections::BTreeSet;
use std::io;

use imstorm_engine::EngineConfig;
use imstorm_uring::process;
use serde::{Deserialize, Serialize};

/// The cores of the engine's shards and of the generator's thread, as the kernel numbers them.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Cores {
    /// The engine's; nothing where the core under test is not ours, and not known to run on this machine at all.
    pub engine: Option<BTreeSet<usize>>,
    /// The generator's.
    pub generator: BTreeSet<usize>,
    /// Those that both use: where there is one, each of the two waits for the other, and latencies say nothing of the engine.
    pub shared: BTreeSet<usize>,
}

impl Cores {
    /// Of a generator with a core of its own, or on all that this process may use.
    pub fn of_generator(own: Option<usize>) -> io::Result<Self> {
        let generator = match own {
            Some(core) => BTreeSet::from([core]),
            None => process::allowed_cores()?.into_iter().collect(),
        };
        Ok(Self { generator, ..Self::default() })
    }

    /// With an engine that is started with this configuration; `allowed` are the cores that it uses if none are named.
    #[must_use]
    pub fn with_engine(mut self, config: &EngineConfig, allowed: &[usize]) -> Self {
        let cores = if config.cores.is_empty() { allowed } else { &config.cores };
        let shards = match *config.shards.get_ref() {
            0 => cores.len(),
            shards => shards,
        };
        let engine: BTreeSet<usize> = cores.iter().take(shards).copied().collect();
        self.shared = engine.intersection(&self.generator).copied().collect();
        self.engine = Some(engine);
        self
    }

    /// Adds those of another part of the run. Where parts ran on several machines, a number stands for a core of each.
    pub fn merge(&mut self, other: &Self) {
        if let Some(engine) = &other.engine {
            self.engine.get_or_insert_default().extend(engine);
        }
        self.generator.extend(&other.generator);
        self.shared.extend(&other.shared);
    }
}

/// `0, 2` for people.
pub(super) fn list(cores: &BTreeSet<usize>) -> String {
    cores.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cores(config: &str, allowed: &[usize], own: Option<usize>) -> Cores {
        let required = "pcscf = [{ address = \"127.0.0.1:5060\", mw = \"127.0.0.1:6060\" }]
icscf = { mw = \"127.0.0.1:6070\" }
\
                        scscf = { mw = \"127.0.0.1:6080\" }
subscribers = { size = 1 }
";
        let config = EngineConfig::parse("e.toml", &format!("{config}{required}"));
        let config = config.unwrap_or_else(|error| panic!("{error}"));
        Cores::of_generator(own).unwrap().with_engine(&config, allowed)
    }

    #[test]
    fn each_has_its_own_or_they_share() {
        let apart = cores("cores = [0, 1]\n", &[0, 1, 2], Some(2));
        assert_eq!(apart.engine, Some(BTreeSet::from([0, 1])));
        assert!(apart.shared.is_empty());
        let shared = cores("cores = [0, 1]\nshards = 2\n", &[0], Some(1));
        assert_eq!(shared.shared, BTreeSet::from([1]));
        assert_eq!(list(&shared.engine.clone().unwrap()), "0, 1");
        // The second core has no shard.
        assert!(cores("cores = [0, 1]\nshards = 1\n", &[0], Some(1)).shared.is_empty());
        assert_eq!(cores("", &[3], Some(3)).shared, BTreeSet::from([3]));
        // A generator without a core of its own may run on any.
        let own = process::allowed_cores().unwrap()[0];
        assert!(cores("", &[own], None).shared.contains(&own));
    }

    #[test]
    fn parts_add_up() {
        let mut sum = Cores::of_generator(Some(1)).unwrap();
        assert_eq!(sum.engine, None);
        sum.merge(&cores("", &[0, 1], Some(1)));
        assert_eq!(sum.engine, Some(BTreeSet::from([0, 1])));
        assert_eq!(sum.shared, BTreeSet::from([1]));
        assert_eq!(sum.generator, BTreeSet::from([1]));
    }
}
