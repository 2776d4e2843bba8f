//! When it pays to wait for several datagrams in place of one.

/// A wait for a batch is as long as so many datagrams take to come: what a turn and a wake-up cost hardly shows any more in each of
/// them then.
pub(crate) const BATCH: usize = 32;
/// Whoever finds so many datagrams without waiting is busy enough: waiting would only make a queue.
pub(crate) const ENOUGH: usize = 8;
/// A wait is worth its time if it is expected to bring so many datagrams, and was if it did.
const WORTH: u64 = 4;
/// A turn's share in what is known of the rate fades by an eighth with each later turn.
const FADING: u64 = 8;
/// Parts of a datagram, so that single ones fade too.
const SIXTEENTHS: u64 = 16;
/// The most datagrams of one turn that count: one burst is no load.
const COUNTED_MAX: usize = 64;
/// How many turns don't wait after a wait that was in vain: at first, and at most. Whoever answers one datagram at a time sends
/// the next one only when it has the answer, however fast it was before.
const PAUSE_TURNS: u32 = 64;
const PAUSE_TURNS_MAX: u32 = 4096;

/// Decides from the rate of the last turns' datagrams whether the next turn waits for a batch. Where fewer than four are
/// expected in the time that it may take, it doesn't, so that a datagram on its own is answered at once.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct BatchWait {
    most_us: u32,
    /// What the last turns brought, in sixteenths, and how long they took; recent ones weigh more.
    datagrams: u64,
    spent_ns: u64,
    /// When the last turn ended; 0: there was none.
    last_ns: u64,
    /// Turns that don't wait any more, and how many they will be after the next wait in vain.
    paused: u32,
    next_pause: u32,
}

impl BatchWait {
    /// Waits for at most `most_us` microseconds; 0: never.
    pub(crate) fn new(most_us: u32) -> BatchWait {
        BatchWait { most_us, next_pause: PAUSE_TURNS, ..BatchWait::default() }
    }

    /// Whether it never waits, and need not be told of turns.
    pub(crate) fn is_off(&self) -> bool {
        self.most_us == 0
    }

    /// A turn has ended at `now` with so many datagrams; `waited` is whether it was to wait for a batch.
    pub(crate) fn note(&mut self, now: u64, datagrams: usize, waited: bool) {
        let counted = datagrams.min(COUNTED_MAX) as u64;
        if self.last_ns > 0 {
            self.datagrams = self.datagrams - self.datagrams / FADING + SIXTEENTHS * counted;
            let spent_ns = now.saturating_sub(self.last_ns);
            self.spent_ns = self.spent_ns - self.spent_ns / FADING + spent_ns;
        }
        self.last_ns = now;
        if !waited {
            self.paused = self.paused.saturating_sub(1);
        } else if counted < WORTH {
            self.paused = self.next_pause;
            self.next_pause = (2 * self.next_pause).min(PAUSE_TURNS_MAX);
        } else {
            self.next_pause = PAUSE_TURNS;
        }
    }

    /// How long the next turn, which may wait for `wait_ns`, is to wait for a batch, in
    /// microseconds; 0: for one datagram.
    pub(crate) fn patience_us(&self, wait_ns: u64) -> u32 {
        if self.paused > 0 || self.datagrams == 0 {
            return 0;
        }
        let each_ns = SIXTEENTHS * self.spent_ns / self.datagrams;
        let most_ns = u64::from(self.most_us) * 1_000;
        if each_ns * WORTH > most_ns {
            return 0;
        }
        // The kernel would let it outlast the wait itself.
        let us = most_ns.min(each_ns * BATCH as u64).min(wait_ns) / 1_000;
        u32::try_from(us).unwrap_or(self.most_us)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG_NS: u64 = 1_000_000_000;
    const MOST_US: u32 = 500;

    /// Goes through turns of so many datagrams in so many microseconds each; the waits were worth it.
    fn follow(batch: &mut BatchWait, turns: &[(usize, u64)]) {
        let mut now = batch.last_ns.max(1);
        for &(datagrams, us) in turns {
            now += us * 1_000;
            batch.note(now, datagrams, false);
        }
    }

    fn after(turns: &[(usize, u64)]) -> BatchWait {
        let mut batch = BatchWait::new(MOST_US);
        batch.note(1, 0, false);
        follow(&mut batch, turns);
        batch
    }

    #[test]
    fn the_rate_decides() {
        assert_eq!(after(&[]).patience_us(LONG_NS), 0);
        assert_eq!(after(&[(0, 10); 100]).patience_us(LONG_NS), 0);
        assert_eq!(after(&[(1, 1_000); 100]).patience_us(LONG_NS), 0);
        assert_eq!(after(&[(1, 130); 100]).patience_us(LONG_NS), 0);
        assert_eq!(after(&[(1, 120); 100]).patience_us(LONG_NS), MOST_US);
        assert_eq!(after(&[(8, 500); 100]).patience_us(LONG_NS), MOST_US);
        assert_eq!(after(&[(0, 90_000), (1_000, 10)].repeat(100)).patience_us(LONG_NS), 0);
        // As long as a batch takes.
        assert!((310..=330).contains(&after(&[(8, 80); 100]).patience_us(LONG_NS)));
        assert!((60..=70).contains(&after(&[(8, 16); 100]).patience_us(LONG_NS)));
    }

    #[test]
    fn idle_turns_end_it() {
        let mut batch = after(&[(16, 1_000); 100]);
        assert_eq!(batch.patience_us(LONG_NS), MOST_US);
        follow(&mut batch, &[(0, 100_000)]);
        assert_eq!(batch.patience_us(LONG_NS), 0);
    }

    #[test]
    fn waits_in_vain_become_rare() {
        let mut batch = after(&[]);
        let (mut now, mut waits) = (1, 0);
        // Somebody who sends the next one when it has the answer.
        for _ in 0..20_000 {
            let waited = batch.patience_us(LONG_NS) > 0;
            waits += u32::from(waited);
            now += if waited { u64::from(MOST_US) * 1_000 } else { 50_000 };
            batch.note(now, 1, waited);
        }
        assert!((1..=12).contains(&waits), "{waits}");
        // A load that comes then is waited for again, and each wait is worth it.
        for _ in 0..2 * PAUSE_TURNS_MAX {
            now += 500_000;
            batch.note(now, 8, batch.patience_us(LONG_NS) > 0);
        }
        assert_eq!((batch.paused, batch.next_pause), (0, PAUSE_TURNS));
    }

    #[test]
    fn it_is_never_longer_than_the_turn() {
        let batch = after(&[(8, 500); 100]);
        assert_eq!(batch.patience_us(0), 0);
        assert_eq!(batch.patience_us(999), 0);
        assert_eq!(batch.patience_us(20_000), 20);
        assert_eq!(batch.patience_us(u64::MAX), MOST_US);
        let mut never = BatchWait::new(0);
        (0..100).for_each(|turn| never.note(1 + turn, 8, false));
        assert_eq!(never.patience_us(LONG_NS), 0);
        assert!(never.is_off() && !batch.is_off());
    }
}
