//! When it pays to wait for several datagrams in place of one.

/// A wait for a batch ends early once so many datagrams have come: what a turn and a wake-up cost
/// hardly shows any more in each of them then.
pub(crate) const BATCH: usize = 16;
/// The average is in parts of a datagram, so that it can be kept in integers.
const PARTS: u32 = 256;
/// A turn weighs an eighth in the average: some turns must have been busy, and some idle ones end
/// it.
const WEIGHT: u32 = 8;
/// The most datagrams of one turn that count: one burst is no load.
const COUNTED_MAX: u32 = 16;
/// From so many datagrams a turn, in parts, the next ones are near and those that wait for them
/// wait behind others anyway.
const BUSY: u32 = 4 * PARTS;

/// Decides from the last turns' datagrams whether the next turn waits for a batch. Where turns find
/// less than four on average, it never does, so that a datagram on its own is answered at once.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct BatchWait {
    most_us: u32,
    average: u32,
}

impl BatchWait {
    /// Waits for at most `most_us` microseconds; 0: never.
    pub(crate) fn new(most_us: u32) -> BatchWait {
        BatchWait { most_us, average: 0 }
    }

    /// A turn has brought so many datagrams.
    pub(crate) fn note(&mut self, datagrams: usize) {
        let counted = u32::try_from(datagrams).map_or(COUNTED_MAX, |count| count.min(COUNTED_MAX));
        self.average = self.average - self.average / WEIGHT + counted * (PARTS / WEIGHT);
    }

    /// How long the next turn, which may wait for `wait_ns`, is to wait for a batch, in
    /// microseconds; 0: for one datagram.
    pub(crate) fn patience_us(&self, wait_ns: u64) -> u32 {
        if self.average < BUSY {
            return 0;
        }
        // The kernel would let it outlast the wait itself.
        u32::try_from(wait_ns / 1_000).map_or(self.most_us, |us| us.min(self.most_us))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG_NS: u64 = 1_000_000_000;

    fn after(turns: &[usize]) -> BatchWait {
        let mut batch = BatchWait::new(50);
        turns.iter().for_each(|&datagrams| batch.note(datagrams));
        batch
    }

    #[test]
    fn only_turns_that_were_busy_are_followed_by_a_wait() {
        assert_eq!(after(&[]).patience_us(LONG_NS), 0);
        assert_eq!(after(&[1; 1_000]).patience_us(LONG_NS), 0);
        assert_eq!(after(&[3; 1_000]).patience_us(LONG_NS), 0);
        assert_eq!(after(&[1_000]).patience_us(LONG_NS), 0, "one burst");
        assert_eq!(
            after(&[1_000, 0, 0, 0, 0, 0].repeat(100)).patience_us(LONG_NS),
            0,
            "bursts, rarely"
        );
        assert_eq!(after(&[5; 30]).patience_us(LONG_NS), 50);
        assert_eq!(after(&[0, 1, 16].repeat(20)).patience_us(LONG_NS), 50);
    }

    #[test]
    fn idle_turns_end_it() {
        let mut batch = after(&[usize::MAX; 100]);
        assert_eq!(batch.patience_us(LONG_NS), 50);
        let turns = (1..100).find(|_| {
            batch.note(0);
            batch.patience_us(LONG_NS) == 0
        });
        assert!(turns.is_some_and(|turns| turns <= 16), "{turns:?}");
    }

    #[test]
    fn it_is_never_longer_than_the_turn() {
        let batch = after(&[8; 100]);
        assert_eq!(batch.patience_us(0), 0);
        assert_eq!(batch.patience_us(999), 0);
        assert_eq!(batch.patience_us(20_000), 20);
        assert_eq!(batch.patience_us(u64::MAX), 50);
        let mut never = BatchWait::new(0);
        (0..100).for_each(|_| never.note(8));
        assert_eq!(never.patience_us(LONG_NS), 0);
    }
}
