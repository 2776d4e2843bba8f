//! What the machine's own receive queues lose, before a datagram has reached any socket.

use std::fs;
use std::io;

use serde::{Deserialize, Serialize};

/// Of all processors of this machine, and of all that it receives: `/proc/net/softnet_stat`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Softnet {
    /// Packets that found a processor's backlog full (`net.core.netdev_max_backlog`).
    pub dropped: u64,
    /// How often a processor ran out of its budget or time with packets left (`net.core.netdev_budget`): they came later.
    pub time_squeezes: u64,
}

impl Softnet {
    /// As it stands now, since the machine's start.
    pub fn now() -> io::Result<Self> {
        Ok(Self::read(&fs::read_to_string("/proc/net/softnet_stat")?))
    }

    /// What came since `before`. Counters of 32 bits start anew at times, and a processor may be taken away.
    #[must_use]
    pub fn since(&self, before: &Self) -> Self {
        Self {
            dropped: self.dropped.saturating_sub(before.dropped),
            time_squeezes: self.time_squeezes.saturating_sub(before.time_squeezes),
        }
    }

    /// Adds another's.
    pub fn merge(&mut self, other: &Self) {
        self.dropped += other.dropped;
        self.time_squeezes += other.time_squeezes;
    }

    /// A line for each processor: processed, dropped, time_squeeze and more, in hexadecimal (net/core/net-procfs.c).
    fn read(text: &str) -> Self {
        let mut sum = Self::default();
        for line in text.lines() {
            let mut words = line.split_ascii_whitespace().skip(1);
            let mut number = || words.next().and_then(|word| u64::from_str_radix(word, 16).ok());
            sum.dropped += number().unwrap_or(0);
            sum.time_squeezes += number().unwrap_or(0);
        }
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_processors_are_added_up() {
        let text = "000003e8 0000000a 00000001 00000000 00000000\n0000ffff 00000100 00000010 0\n";
        assert_eq!(Softnet::read(text), Softnet { dropped: 266, time_squeezes: 17 });
        assert_eq!(Softnet::read("x\n\n1 2\n"), Softnet { dropped: 2, time_squeezes: 0 });
        let now = Softnet { dropped: 5, time_squeezes: 1 };
        let mut sum = now.since(&Softnet { dropped: 2, time_squeezes: 3 });
        assert_eq!(sum, Softnet { dropped: 3, time_squeezes: 0 });
        sum.merge(&now);
        assert_eq!(sum, Softnet { dropped: 8, time_squeezes: 1 });
    }

    #[test]
    fn this_machine_has_it() {
        assert!(Softnet::now().is_ok());
    }
}
