//! One direction of the links: datagrams on their way, and what happens to them there.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::net::{IpAddr, SocketAddr};

use imstorm_base::SocketId;
use imstorm_base::random::Random;
use imstorm_base::time::Time;

use super::LinkCounts;
use crate::profile::Link;

/// The ends of a datagram's way.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) struct Ends {
    pub socket: SocketId,
    /// The UE's address, which is the source of what it sends and the destination of what it gets.
    pub ue: Option<IpAddr>,
    pub peer: SocketAddr,
}

/// A datagram on its way.
#[derive(Debug)]
pub(super) struct Datagram {
    pub ends: Ends,
    pub bytes: Vec<u8>,
}

/// One access in one direction.
#[derive(Debug)]
struct Lane {
    link: Link,
    random: Random,
}

/// What happens to a datagram: how long it takes in nanoseconds, and its copy; `None`: there is none.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
struct Fate {
    first_ns: Option<u64>,
    copy_ns: Option<u64>,
}

impl Lane {
    /// The fate of the next datagram. It takes the same draws whatever they give, so that no setting shifts what others draw.
    fn fate(&mut self) -> Fate {
        let lost = self.random.unit() < self.link.loss;
        let doubled = self.random.unit() < self.link.duplication;
        let (first_ns, copy_ns) = (self.delay_ns(), self.delay_ns());
        Fate {
            first_ns: (!lost).then_some(first_ns),
            copy_ns: (doubled && !lost).then_some(copy_ns),
        }
    }

    fn delay_ns(&mut self) -> u64 {
        let to_either_side = 2.0 * self.random.unit() - 1.0;
        ((self.link.delay_ms + self.link.jitter_ms * to_either_side) * 1e6) as u64
    }
}

/// Datagrams on their way in one direction, over whichever access. Those that arrive at the same time arrive as they set out.
#[derive(Debug)]
pub(super) struct Way {
    lanes: [Lane; 2],
    /// When what arrives, the number of its setting out, and its place.
    under_way: BinaryHeap<Reverse<(Time, u64, usize)>>,
    /// Their places. The bytes' memory stays for the next one in the same place.
    datagrams: Vec<Datagram>,
    free: Vec<usize>,
    room: usize,
    set_out: u64,
    counts: LinkCounts,
}

impl Way {
    /// Over the links of both accesses, for at most `room` datagrams at a time.
    pub fn new(links: [Link; 2], random: &Random, room: usize) -> Self {
        let [first, second] = links;
        let lane = |link, stream| Lane { link, random: random.fork(stream) };
        Self {
            lanes: [lane(first, 0), lane(second, 1)],
            under_way: BinaryHeap::new(),
            datagrams: Vec::new(),
            free: Vec::new(),
            room,
            set_out: 0,
            counts: LinkCounts::default(),
        }
    }

    /// A datagram sets out over an access, 0 or 1; nothing of it may arrive.
    pub fn set_out(&mut self, now: Time, access: usize, ends: Ends, bytes: &[u8]) {
        let Fate { first_ns, copy_ns } = self.lanes[access].fate();
        self.counts.lost += u64::from(first_ns.is_none());
        self.counts.doubled += u64::from(copy_ns.is_some());
        for delay_ns in [first_ns, copy_ns].into_iter().flatten() {
            self.put(now + delay_ns, ends, bytes);
        }
    }

    fn put(&mut self, at: Time, ends: Ends, bytes: &[u8]) {
        let place = match self.free.pop() {
            Some(place) => place,
            None if self.datagrams.len() < self.room => {
                self.datagrams.push(Datagram { ends, bytes: Vec::new() });
                self.datagrams.len() - 1
            }
            None => return self.counts.no_room += 1,
        };
        let datagram = &mut self.datagrams[place];
        datagram.ends = ends;
        datagram.bytes.clear();
        datagram.bytes.extend_from_slice(bytes);
        self.under_way.push(Reverse((at, self.set_out, place)));
        self.set_out += 1;
    }

    /// When the next one arrives.
    pub fn next_at(&self) -> Option<Time> {
        self.under_way.peek().map(|Reverse((at, ..))| *at)
    }

    /// Takes the next one that has arrived.
    pub fn arrived(&mut self, now: Time) -> Option<&Datagram> {
        self.next_at().filter(|at| *at <= now)?;
        let Reverse((.., place)) = self.under_way.pop()?;
        self.free.push(place);
        Some(&self.datagrams[place])
    }

    /// Whether nothing is on its way.
    pub fn is_empty(&self) -> bool {
        self.under_way.is_empty()
    }

    /// What has happened on it so far.
    pub fn counts(&self) -> LinkCounts {
        self.counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    fn ends() -> Ends {
        Ends { socket: SocketId(0), ue: None, peer: SocketAddr::from(([127, 0, 0, 1], 5060)) }
    }

    fn way(link: Link, seed: u64) -> Way {
        Way::new([link; 2], &Random::new(seed), 1 << 20)
    }

    /// The numbers of the datagrams that have arrived by `now`.
    fn arrived(way: &mut Way, now: Time) -> Vec<u32> {
        let mut numbers = Vec::new();
        while let Some(datagram) = way.arrived(now) {
            numbers.push(u32::from_be_bytes(datagram.bytes[..].try_into().unwrap()));
        }
        numbers
    }

    #[test]
    fn losses_and_copies_are_those_that_the_seed_draws() {
        const SENT: u32 = 100_000;
        let link = Link { delay_ms: 1.0, jitter_ms: 1.0, loss: 0.05, duplication: 0.1 };
        let mut way = way(link, 7);
        let mut drawn = Lane { link, random: Random::new(7).fork(0) };
        let mut expected = Vec::new();
        for number in 0..SENT {
            let fate = drawn.fate();
            expected.extend([fate.first_ns, fate.copy_ns].iter().flatten().map(|_| number));
            way.set_out(0, 0, ends(), &number.to_be_bytes());
        }
        let mut got = arrived(&mut way, 2 * MS);
        got.sort_unstable();
        assert!(got == expected, "{} arrived, {} were drawn", got.len(), expected.len());
        let LinkCounts { lost, doubled, no_room } = way.counts();
        assert_eq!((u64::from(SENT) + doubled - lost, no_room), (got.len() as u64, 0));
        // The standard error of a share over 100,000 draws is below 0.001.
        let share = |count: u64| count as f64 / f64::from(SENT);
        assert!((share(lost) - 0.05).abs() < 0.005, "{lost}");
        assert!((share(doubled) - 0.1 * 0.95).abs() < 0.005, "{doubled}");
    }

    #[test]
    fn another_seed_loses_others_and_one_setting_shifts_no_other() {
        let lost_of = |link: Link, seed| {
            let mut lane = Lane { link, random: Random::new(seed) };
            (0..1_000).map(|_| lane.fate().first_ns.is_none()).collect::<Vec<_>>()
        };
        let link = Link { loss: 0.5, ..Link::default() };
        let all = Link { delay_ms: 9.0, jitter_ms: 3.0, duplication: 0.5, ..link };
        assert_eq!(lost_of(link, 1), lost_of(all, 1));
        assert_ne!(lost_of(link, 1), lost_of(link, 2));
    }

    #[test]
    fn all_are_lost_or_doubled_where_the_probability_is_1() {
        let mut nothing = way(Link { loss: 1.0, duplication: 1.0, ..Link::default() }, 1);
        let mut twice = way(Link { duplication: 1.0, ..Link::default() }, 1);
        for way in [&mut nothing, &mut twice] {
            (0..50_u32).for_each(|number| way.set_out(0, 1, ends(), &number.to_be_bytes()));
        }
        assert!(nothing.is_empty() && nothing.next_at().is_none());
        assert_eq!(nothing.counts(), LinkCounts { lost: 50, ..LinkCounts::default() });
        assert_eq!(arrived(&mut twice, 0), (0..50).flat_map(|it| [it; 2]).collect::<Vec<_>>());
        assert_eq!(twice.counts(), LinkCounts { doubled: 50, ..LinkCounts::default() });
    }

    #[test]
    fn without_jitter_nothing_overtakes_and_with_it_something_does() {
        let even = Link { delay_ms: 20.0, ..Link::default() };
        let uneven = Link { jitter_ms: 5.0, ..even };
        let send = |way: &mut Way| {
            for number in 0..1_000_u32 {
                way.set_out(u64::from(number) * MS / 100, 0, ends(), &number.to_be_bytes());
            }
        };
        let mut way_of_even = way(even, 3);
        send(&mut way_of_even);
        assert_eq!(way_of_even.next_at(), Some(20 * MS));
        assert!(arrived(&mut way_of_even, 20 * MS - 1).is_empty());
        // One set out each 10 µs.
        assert_eq!(arrived(&mut way_of_even, 20 * MS + MS / 10), (0..=10).collect::<Vec<_>>());
        assert_eq!(arrived(&mut way_of_even, 40 * MS), (11..1_000).collect::<Vec<_>>());
        let mut way_of_uneven = way(uneven, 3);
        send(&mut way_of_uneven);
        assert!(arrived(&mut way_of_uneven, 15 * MS - 1).is_empty());
        let mut all = arrived(&mut way_of_uneven, 35 * MS);
        assert!(!all.is_sorted() && way_of_uneven.is_empty());
        all.sort_unstable();
        assert_eq!(all, (0..1_000).collect::<Vec<_>>());
    }

    #[test]
    fn what_finds_no_room_is_counted_and_room_comes_back() {
        let link = Link { delay_ms: 1.0, ..Link::default() };
        let mut way = Way::new([link; 2], &Random::new(1), 4);
        (0..6_u32).for_each(|number| way.set_out(0, 0, ends(), &number.to_be_bytes()));
        assert_eq!(way.counts(), LinkCounts { no_room: 2, ..LinkCounts::default() });
        assert_eq!(arrived(&mut way, MS), [0, 1, 2, 3]);
        (6..10_u32).for_each(|number| way.set_out(MS, 0, ends(), &number.to_be_bytes()));
        assert_eq!(arrived(&mut way, 2 * MS), [6, 7, 8, 9]);
        assert_eq!(way.counts().no_room, 2);
    }
}
