//! What the simulated network does to a datagram.

use imstorm_base::random::Random;

use crate::profile::Network;

/// The links between UEs and P-CSCFs, all alike.
#[derive(Clone, Debug)]
pub struct Links {
    loss: f64,
    duplication: f64,
    reordering: f64,
    delay_min_ns: f64,
    delay_max_ns: f64,
    random: Random,
}

/// When the copies of a datagram arrive, after it was sent.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Fate {
    /// The first copy's delay in nanoseconds; `None`: it is lost.
    pub arrival_ns: Option<u64>,
    /// The second copy's.
    pub duplicate_ns: Option<u64>,
}

impl Links {
    /// Links as the profile has them.
    #[must_use]
    pub fn new(network: &Network, random: Random) -> Self {
        Self {
            loss: network.loss,
            duplication: network.duplication,
            reordering: network.reordering,
            delay_min_ns: network.delay_ms.min * 1e6,
            delay_max_ns: network.delay_ms.max * 1e6,
            random,
        }
    }

    /// The fate of the next datagram. It takes the same draws whatever they give, so that one link's settings don't shift
    /// another's chances.
    pub fn fate(&mut self) -> Fate {
        let lost = self.random.unit() < self.loss;
        let doubled = self.random.unit() < self.duplication;
        let held_back = self.random.unit() < self.reordering;
        let (first, second) = (self.delay_ns(), self.delay_ns());
        // Held back for longer than any other takes, it is overtaken by what is sent next.
        let extra = if held_back { self.delay_max_ns } else { 0.0 };
        Fate {
            arrival_ns: (!lost).then_some((first + extra) as u64),
            duplicate_ns: doubled.then_some(second as u64),
        }
    }

    fn delay_ns(&mut self) -> f64 {
        self.delay_min_ns + self.random.unit() * (self.delay_max_ns - self.delay_min_ns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::Delay;

    #[test]
    fn fates_come_as_often_as_the_profile_says() {
        let delay_ms = Delay { min: 5.0, max: 40.0 };
        let network = Network { loss: 0.05, duplication: 0.1, reordering: 0.2, delay_ms };
        let mut links = Links::new(&network, Random::new(1));
        let fates: Vec<Fate> = (0..100_000).map(|_| links.fate()).collect();
        let share = |is: &dyn Fn(&Fate) -> bool| {
            fates.iter().filter(|fate| is(fate)).count() as f64 / fates.len() as f64
        };
        // The standard error of a share over 100,000 draws is below 0.0013.
        assert!((share(&|fate| fate.arrival_ns.is_none()) - 0.05).abs() < 0.005);
        assert!((share(&|fate| fate.duplicate_ns.is_some()) - 0.1).abs() < 0.005);
        let held_back = |fate: &Fate| fate.arrival_ns.is_some_and(|at| at > 40_000_000);
        assert!((share(&held_back) - 0.2 * 0.95).abs() < 0.03);
        assert!(fates.iter().flat_map(|fate| fate.arrival_ns).all(|at| at >= 5_000_000));
    }
}
