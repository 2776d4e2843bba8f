//! Timers: a queue per constant duration (RFC 3261's timers all are constants, so arming and firing
//! cost a push and a pop) and a hierarchical wheel for expiries that peers choose.
//!
//! Cancellation is lazy: nothing is ever taken out. `T` carries a key with a generation, and the
//! owner ignores what fires for an object that is gone or has moved on. What is armed therefore
//! stays in memory until its time: don't arm per retransmission what can be re-armed when it fires.

use crate::fifo::{Chunks, Fifo};
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Timers that give back a `T` each when their time has come. Memory follows what is armed, in all queues together, and is kept. Order: by deadline; at equal deadlines first the queues in the order
/// that they were given, then the wheel, each first in, first out. The same calls give the same
/// order.
pub struct Timers<T: Copy> {
    queues: Vec<Queue>,
    /// What waits in the queues.
    waiting: Chunks<Waiting<T>>,
    wheel: Wheel<T>,
}

impl<T: Copy + std::fmt::Debug> std::fmt::Debug for Timers<T> {
    /// What is armed, in each queue and in the wheel.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut map = f.debug_map();
        for queue in &self.queues {
            let waiting = (0..queue.fifo.len()).filter_map(|at| queue.fifo.get(&self.waiting, at));
            let values = waiting.map(|waiting| waiting.value);
            map.entry(&queue.after_ns, &values.collect::<Vec<_>>());
        }
        map.entry(&"wheel", &self.wheel).finish()
    }
}

/// So many queues are as long as they can get at the same time.
const FULL_QUEUES_MAX: usize = 8;

/// Sorted, since `now` never goes back.
#[derive(Debug)]
struct Queue {
    after_ns: u64,
    fifo: Fifo,
    /// The deadline that was armed last.
    last: u64,
}

#[derive(Clone, Copy, Debug)]
struct Waiting<T> {
    deadline: Deadline,
    value: T,
}

/// A time in nanoseconds that does not have to stand at a multiple of eight bytes.
#[derive(Clone, Copy, Debug)]
struct Deadline([u32; 2]);

impl Deadline {
    fn new(at: u64) -> Deadline {
        Deadline([at as u32, (at >> 32) as u32])
    }

    fn get(self) -> u64 {
        u64::from(self.0[0]) | u64::from(self.0[1]) << 32
    }
}

impl<T: Copy> Timers<T> {
    /// Timers with a queue for each of `durations_ns`.
    #[must_use]
    pub fn new(durations_ns: &[u64]) -> Timers<T> {
        Timers::with_capacity(durations_ns, 0)
    }

    /// As `new`, with room for `capacity` timers of each duration, of all durations together for up to eight times as many, and for as many of
    /// others: their memory is reserved at once, and touched as they are armed.
    #[must_use]
    pub fn with_capacity(durations_ns: &[u64], capacity: usize) -> Timers<T> {
        let all = capacity * durations_ns.len().min(FULL_QUEUES_MAX);
        let queue = |&after_ns| Queue { after_ns, fifo: Fifo::with_capacity(capacity), last: 0 };
        Timers {
            queues: durations_ns.iter().map(queue).collect(),
            waiting: Chunks::with_capacity(all),
            wheel: Wheel::with_capacity(capacity),
        }
    }

    /// As `new`, with room for `capacity` timers of other durations.
    #[must_use]
    pub fn with_wheel(durations_ns: &[u64], capacity: usize) -> Timers<T> {
        Timers { wheel: Wheel::with_capacity(capacity), ..Timers::new(durations_ns) }
    }

    /// Claims the memory of the first `count` timers of each queue now, of all together of eight times as many; `any` is what
    /// they are filled with meanwhile. Only while nothing is armed.
    pub fn prefill(&mut self, count: usize, any: T) {
        assert!(self.is_empty(), "timers are prefilled before they are armed");
        let any = Waiting { deadline: Deadline::new(0), value: any };
        self.waiting.prefill(count * self.queues.len().min(FULL_QUEUES_MAX), any);
    }

    /// Arms a timer that fires `after_ns` from `now`.
    pub fn arm(&mut self, now: u64, after_ns: u64, value: T) {
        let deadline = now.saturating_add(after_ns);
        for queue in &mut self.queues {
            if queue.after_ns == after_ns {
                // A `now` before an earlier one would hide this timer behind the one before it.
                assert!(deadline >= queue.last, "time went back");
                queue.last = deadline;
                let waiting = Waiting { deadline: Deadline::new(deadline), value };
                queue.fifo.push(&mut self.waiting, waiting);
                return;
            }
        }
        self.wheel.insert(deadline, value);
    }

    /// The next timer whose deadline is at or before `now`; call until `None`.
    pub fn poll(&mut self, now: u64) -> Option<T> {
        self.poll_due(now).map(|(_, value)| value)
    }

    /// As [`Timers::poll`], with the deadline: what was to happen then may be looked at late.
    #[inline]
    pub fn poll_due(&mut self, now: u64) -> Option<(u64, T)> {
        self.wheel.advance(now);
        let mut best = u64::MAX;
        let mut from = None;
        for (at, queue) in self.queues.iter().enumerate() {
            if let Some(waiting) = queue.fifo.front(&self.waiting)
                && (waiting.deadline.get() < best || from.is_none())
            {
                (best, from) = (waiting.deadline.get(), Some(at));
            }
        }
        if let Some(deadline) = self.wheel.ripe_deadline()
            && (deadline < best || from.is_none())
        {
            return if deadline <= now { self.wheel.pop().map(|it| (deadline, it)) } else { None };
        }
        if best > now {
            return None;
        }
        let queue = self.queues.get_mut(from?)?;
        queue.fifo.pop(&mut self.waiting).map(|waiting| (waiting.deadline.get(), waiting.value))
    }

    /// When to poll next: never later than the earliest deadline, and earlier only for what is in
    /// the wheel (by less than the slot that holds it); then `poll` gives `None` and this moves on.
    #[must_use]
    pub fn next_deadline(&self) -> Option<u64> {
        let fronts = self.queues.iter().filter_map(|queue| queue.fifo.front(&self.waiting));
        fronts.map(|waiting| waiting.deadline.get()).chain(self.wheel.next_deadline()).min()
    }

    /// How many timers are armed, those that nobody waits for any more included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.queues.iter().map(|queue| queue.fifo.len()).sum::<usize>() + self.wheel.len
    }

    /// Whether no timer is armed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// About a millisecond: finer order comes from the heap of what is ripe.
const TICK_SHIFT: u32 = 20;
const DIGIT_BITS: u32 = 6;
const SLOTS: usize = 1 << DIGIT_BITS;
/// Ticks have 44 bits.
const LEVELS: usize = 8;
const _: () = assert!(LEVELS as u32 * DIGIT_BITS + TICK_SHIFT >= u64::BITS);
const NONE: u32 = u32::MAX;

/// A hierarchical wheel (Varghese and Lauck 1987): level L has 64 slots of 64^L ticks. A timer is
/// on the level of the highest digit in which its tick differs from the present one, so that it is
/// moved at most once a level. What the present tick has reached is ordered exactly by a heap.
///
/// Where a timer is follows from its tick and the present one alone, so that two of the same deadline are always in the same slot: slots
/// that are first in, first out keep the order of arming.
#[derive(Debug)]
struct Wheel<T> {
    /// All timers of ticks up to this one are in `ripe`, the others in the slots.
    present_tick: u64,
    occupied: [u64; LEVELS],
    /// The first timer of each occupied slot, and the last.
    ends: [[(u32, u32); SLOTS]; LEVELS],
    nodes: Vec<Node<T>>,
    free: u32,
    ripe: BinaryHeap<Reverse<Ripe<T>>>,
    /// Numbers the timers in the order in which they became ripe.
    ripened: u64,
    len: usize,
}

#[derive(Debug)]
struct Node<T> {
    deadline: Deadline,
    next: u32,
    value: T,
}

#[derive(Debug)]
struct Ripe<T> {
    deadline: u64,
    order: u64,
    value: T,
}

impl<T> PartialEq for Ripe<T> {
    fn eq(&self, other: &Ripe<T>) -> bool {
        (self.deadline, self.order) == (other.deadline, other.order)
    }
}

impl<T> Eq for Ripe<T> {}

impl<T> PartialOrd for Ripe<T> {
    fn partial_cmp(&self, other: &Ripe<T>) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> Ord for Ripe<T> {
    fn cmp(&self, other: &Ripe<T>) -> std::cmp::Ordering {
        (self.deadline, self.order).cmp(&(other.deadline, other.order))
    }
}

impl<T: Copy> Wheel<T> {
    fn with_capacity(capacity: usize) -> Wheel<T> {
        Wheel {
            present_tick: 0,
            occupied: [0; LEVELS],
            ends: [[(NONE, NONE); SLOTS]; LEVELS],
            nodes: Vec::with_capacity(capacity),
            free: NONE,
            ripe: BinaryHeap::new(),
            ripened: 0,
            len: 0,
        }
    }

    fn insert(&mut self, deadline: u64, value: T) {
        self.len += 1;
        if deadline >> TICK_SHIFT <= self.present_tick {
            return self.ripen(deadline, value);
        }
        let node = Node { deadline: Deadline::new(deadline), next: NONE, value };
        let index = if self.free == NONE {
            assert!(self.nodes.len() < NONE as usize, "node index is 32 bits");
            self.nodes.push(node);
            self.nodes.len() as u32 - 1
        } else {
            let index = self.free;
            let place = &mut self.nodes[index as usize];
            self.free = place.next;
            *place = node;
            index
        };
        self.place(index);
    }

    /// Brings everything up to `now` into `ripe`.
    fn advance(&mut self, now: u64) {
        let now_tick = now >> TICK_SHIFT;
        while let Some((level, slot, tick)) = self.next_slot() {
            if tick > now_tick {
                break;
            }
            self.present_tick = tick;
            self.occupied[level] &= !(1 << slot);
            let (mut index, _) = self.ends[level][slot];
            while index != NONE {
                let next = self.nodes[index as usize].next;
                self.place(index);
                index = next;
            }
        }
        self.present_tick = self.present_tick.max(now_tick);
    }

    /// Puts a node where it belongs seen from the present tick.
    fn place(&mut self, index: u32) {
        let node = &mut self.nodes[index as usize];
        let deadline = node.deadline.get();
        let tick = deadline >> TICK_SHIFT;
        if tick <= self.present_tick {
            node.next = self.free;
            self.free = index;
            let value = node.value;
            return self.ripen(deadline, value);
        }
        let level = (tick ^ self.present_tick).ilog2() / DIGIT_BITS;
        let slot = (tick >> (level * DIGIT_BITS)) as usize % SLOTS;
        let level = level as usize;
        node.next = NONE;
        let (first, last) = &mut self.ends[level][slot];
        if self.occupied[level] & (1 << slot) == 0 {
            self.occupied[level] |= 1 << slot;
            *first = index;
        } else {
            self.nodes[*last as usize].next = index;
        }
        *last = index;
    }

    fn ripen(&mut self, deadline: u64, value: T) {
        let order = self.ripened;
        self.ripened += 1;
        self.ripe.push(Reverse(Ripe { deadline, order, value }));
    }

    /// The earliest occupied slot: all of a lower level lies before any of a higher one.
    fn next_slot(&self) -> Option<(usize, usize, u64)> {
        let level = self.occupied.iter().position(|&slots| slots != 0)?;
        let slot = self.occupied[level].trailing_zeros() as usize;
        let shift = level as u32 * DIGIT_BITS;
        let above = (self.present_tick >> shift) & !(SLOTS as u64 - 1);
        Some((level, slot, (above | slot as u64) << shift))
    }

    fn ripe_deadline(&self) -> Option<u64> {
        self.ripe.peek().map(|Reverse(ripe)| ripe.deadline)
    }

    fn next_deadline(&self) -> Option<u64> {
        self.ripe_deadline().or_else(|| self.next_slot().map(|(_, _, tick)| tick << TICK_SHIFT))
    }

    fn pop(&mut self) -> Option<T> {
        let Reverse(ripe) = self.ripe.pop()?;
        self.len -= 1;
        Some(ripe.value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{NS_PER_MS, NS_PER_S, Random};

    #[test]
    fn constants_and_expiries_come_in_deadline_order() {
        let mut timers = Timers::new(&[500 * NS_PER_MS, 32 * NS_PER_S]);
        timers.arm(0, 32 * NS_PER_S, "F");
        timers.arm(0, 500 * NS_PER_MS, "T1");
        timers.arm(0, 600_000 * NS_PER_S, "expiry");
        timers.arm(0, 3 * NS_PER_S, "soon");
        assert_eq!(timers.len(), 4);
        assert_eq!(timers.next_deadline(), Some(500 * NS_PER_MS));
        assert_eq!(timers.poll(499 * NS_PER_MS), None);
        assert_eq!(timers.poll(500 * NS_PER_MS), Some("T1"));
        let rest: Vec<_> = std::iter::from_fn(|| timers.poll(u64::MAX)).collect();
        assert_eq!(rest, ["soon", "F", "expiry"]);
        assert!(timers.is_empty() && timers.next_deadline().is_none());
    }

    #[test]
    fn prefilled_timers_are_not_armed() {
        let mut timers = Timers::with_capacity(&[5, 7], 1);
        timers.prefill(3, "any");
        assert!(timers.is_empty() && timers.next_deadline().is_none());
        timers.arm(1, 5, "first");
        assert_eq!(timers.poll(5), None);
        assert_eq!(timers.poll(6), Some("first"));
        assert_eq!(timers.poll(u64::MAX), None);
    }

    #[test]
    fn jumping_to_the_next_deadline_always_gets_on() {
        let mut timers: Timers<u64> = Timers::new(&[]);
        let mut random = Random::new(9);
        let mut expected: Vec<u64> =
            (0..2_000).map(|_| random.next_u64() >> random.below(50)).collect();
        for &deadline in &expected {
            timers.arm(0, deadline, deadline);
        }
        expected.sort_unstable();
        let mut got = Vec::new();
        let mut polls = 0;
        while let Some(now) = timers.next_deadline() {
            polls += 1;
            while let Some(deadline) = timers.poll(now) {
                assert_eq!(deadline, now, "fires exactly at its time");
                got.push(deadline);
            }
        }
        assert_eq!(got, expected);
        assert!(polls < 2_000 * (LEVELS + 1), "{polls}");
    }

    #[test]
    fn behaves_as_a_sorted_list_while_time_goes_on() {
        let constants = [NS_PER_MS, 500 * NS_PER_MS];
        let mut timers = Timers::new(&constants);
        let mut random = Random::new(5);
        let (mut model, mut now) = (Vec::new(), 12_345u64);
        for id in 0..20_000u32 {
            let after = match random.below(5) {
                0 => constants[0],
                1 => constants[1],
                shift => random.below(NS_PER_S << (2 * shift + u64::from(id) % 8)),
            };
            timers.arm(now, after, (now + after, id));
            model.push((now + after, id));
            now += random.below(3 * NS_PER_MS);
            model.sort_unstable();
            let due = model.partition_point(|&(deadline, _)| deadline <= now);
            let mut last = 0;
            let mut fired: Vec<_> = std::iter::from_fn(|| timers.poll(now))
                .inspect(|&(deadline, _)| {
                    assert!(deadline >= last);
                    last = deadline;
                })
                .collect();
            fired.sort_unstable();
            assert_eq!(fired, model.drain(..due).collect::<Vec<_>>());
            assert_eq!(timers.len(), model.len());
            let next = timers.next_deadline();
            assert!(next.unwrap_or(u64::MAX) <= model.first().map_or(u64::MAX, |m| m.0));
        }
    }

    #[test]
    fn equal_deadlines_keep_their_order_whenever_they_were_armed() {
        let mut timers = Timers::new(&[]);
        let mut random = Random::new(6);
        let deadlines: Vec<u64> =
            (0..8).map(|_| 100 * NS_PER_S + random.below(200 * NS_PER_S)).collect();
        let (mut now, mut armed) = (0, 0u64);
        let mut last = vec![0; deadlines.len()];
        let mut left = 0;
        while now < 310 * NS_PER_S {
            for (which, &deadline) in deadlines.iter().enumerate() {
                if deadline > now {
                    armed += 1;
                    left += 1;
                    timers.arm(now, deadline - now, (which, armed));
                }
            }
            now += random.below(3 * NS_PER_S);
            while let Some((which, number)) = timers.poll(now) {
                assert!(number > last[which]);
                last[which] = number;
                left -= 1;
            }
        }
        assert!(left == 0 && armed > 500 && timers.is_empty());
    }

    #[test]
    fn equal_deadlines_keep_their_order() {
        let mut timers = Timers::new(&[]);
        for id in 0..100 {
            timers.arm(0, 7 * NS_PER_S, id);
        }
        let got: Vec<i32> = std::iter::from_fn(|| timers.poll(7 * NS_PER_S)).collect();
        assert_eq!(got, (0..100).collect::<Vec<_>>());
    }
}
