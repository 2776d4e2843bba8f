//! The links between UEs and their P-CSCFs: over sockets of one machine a datagram takes no time, so a profile may give each access a delay,
//! which is laid over the back end here. It is the same each way and for each datagram, so that nothing is reordered.

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, SocketAddr};

use imstorm_base::SocketId;
use imstorm_base::io::{Inbox, Io, Outbox};
use imstorm_base::time::Time;
use imstorm_uring::Clock;

use crate::population::Population;

/// Datagrams that arrive in one tick, and that may wait to be sent in one.
const SLOTS: usize = 4096;
const SLOT_BYTES: usize = 4096;

/// A datagram on its way.
struct UnderWay {
    at: Time,
    socket: SocketId,
    /// The UE's address, which is the source of what it sends and the destination of what it gets.
    ue: Option<IpAddr>,
    peer: SocketAddr,
    bytes: Vec<u8>,
}

/// Datagrams on their way over one access in one direction: first in, first out.
#[derive(Default)]
struct Lane {
    delay_ns: u64,
    under_way: VecDeque<UnderWay>,
}

impl Lane {
    fn next_at(&self) -> Option<Time> {
        self.under_way.front().map(|datagram| datagram.at)
    }

    fn due(&mut self, now: Time) -> Option<UnderWay> {
        self.next_at().filter(|at| *at <= now)?;
        self.under_way.pop_front()
    }
}

/// What it takes to delay datagrams.
struct Delays {
    population: Population,
    inbox: Inbox,
    outbox: Outbox,
    /// From UEs and to UEs, by access.
    from_ues: [Lane; 2],
    to_ues: [Lane; 2],
}

/// A back end with the accesses' delays laid over it.
pub(crate) struct Links<I> {
    inner: I,
    clock: Clock,
    delays: Option<Delays>,
}

impl<I: Io> Links<I> {
    /// Over a back end; `delay_ms` is the one-way delay over each access, in milliseconds.
    pub fn new(
        inner: I,
        clock: Clock,
        population: &Population,
        delay_ms: Option<[f64; 2]>,
    ) -> Self {
        let lane = |delay_ms: f64| Lane { delay_ns: (delay_ms * 1e6) as u64, ..Lane::default() };
        let delays = delay_ms.map(|delay_ms| Delays {
            population: population.clone(),
            inbox: Inbox::new(SLOTS, SLOT_BYTES),
            outbox: Outbox::new(SLOTS, SLOT_BYTES),
            from_ues: delay_ms.map(lane),
            to_ues: delay_ms.map(lane),
        });
        Self { inner, clock, delays }
    }

    /// The back end.
    pub fn inner(&self) -> &I {
        &self.inner
    }

    /// The back end: what it has brought may not have arrived yet.
    pub fn inner_mut(&mut self) -> &mut I {
        &mut self.inner
    }
}

impl Delays {
    /// The lane of an access, by the UE's address over it.
    fn lane<'a>(
        population: &Population,
        lanes: &'a mut [Lane; 2],
        ue: Option<IpAddr>,
    ) -> &'a mut Lane {
        let access = ue.and_then(|address| population.ue_at(address)).unwrap_or(0);
        &mut lanes[usize::from(access >= population.size())]
    }

    /// What the UEs have queued sets out; what has arrived leaves by the back end.
    fn send(&mut self, now: Time, inner: &mut impl Io) {
        let Self { population, outbox, from_ues, .. } = self;
        outbox.drain(|queued, bytes| {
            let (socket, ue, peer) = (queued.socket, queued.source, queued.peer);
            let lane = Self::lane(population, from_ues, ue);
            let at = now + lane.delay_ns;
            lane.under_way.push_back(UnderWay { at, socket, ue, peer, bytes: bytes.to_vec() });
        });
        let (_, out) = inner.parts();
        for lane in from_ues {
            while out.free_slots() > 0
                && let Some(UnderWay { socket, ue, peer, bytes, .. }) = lane.due(now)
            {
                let written = out.send(socket, ue, peer, |slot| {
                    slot.get_mut(..bytes.len())?.copy_from_slice(&bytes);
                    Some(0..bytes.len())
                });
                assert!(written.is_ok(), "there is a slot, and all slots are alike");
            }
        }
    }

    /// What the back end has brought sets out for the UEs; what has arrived is their batch.
    fn receive(&mut self, now: Time, inner: &mut impl Io) {
        let (batch, _) = inner.parts();
        for place in 0..batch.len() {
            let (received, bytes) = batch.get_mut(place);
            let (socket, peer, ue) = (received.socket, received.peer, Some(received.local));
            let lane = Self::lane(&self.population, &mut self.to_ues, ue);
            let at = now + lane.delay_ns;
            lane.under_way.push_back(UnderWay { at, socket, ue, peer, bytes: bytes.to_vec() });
        }
        for lane in &mut self.to_ues {
            while self.inbox.len() < self.inbox.slots()
                && let Some(UnderWay { socket, ue: Some(ue), peer, bytes, .. }) = lane.due(now)
            {
                self.inbox.push(socket, peer, ue, &bytes);
            }
        }
    }

    fn next_at(&self) -> Option<Time> {
        self.from_ues.iter().chain(&self.to_ues).filter_map(Lane::next_at).min()
    }
}

impl<I: Io> Io for Links<I> {
    fn turn(&mut self, wait_ns: u64) -> io::Result<()> {
        let Some(delays) = &mut self.delays else { return self.inner.turn(wait_ns) };
        delays.inbox.clear();
        let now = self.clock.now();
        delays.send(now, &mut self.inner);
        let due_ns = delays.next_at().map_or(wait_ns, |at| at.saturating_sub(now));
        self.inner.turn(wait_ns.min(due_ns))?;
        let now = self.clock.now();
        delays.receive(now, &mut self.inner);
        Ok(())
    }

    fn parts(&mut self) -> (&mut Inbox, &mut Outbox) {
        match &mut self.delays {
            Some(delays) => (&mut delays.inbox, &mut delays.outbox),
            None => self.inner.parts(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::population;
    use crate::profile::Profile;

    /// What is sent comes back at once.
    struct Echo(Inbox, Outbox);

    impl Io for Echo {
        fn turn(&mut self, _wait_ns: u64) -> io::Result<()> {
            let Self(inbox, outbox) = self;
            inbox.clear();
            outbox.drain(|queued, bytes| {
                let local = queued.source.expect("a UE's address");
                assert!(inbox.push(queued.socket, queued.peer, local, bytes));
            });
            Ok(())
        }

        fn parts(&mut self) -> (&mut Inbox, &mut Outbox) {
            (&mut self.0, &mut self.1)
        }
    }

    #[test]
    fn each_access_has_its_own_delay_there_and_back() {
        let profile = Profile::load("schemes", &[]).unwrap();
        let directory = Arc::new(population::directory(&profile).unwrap());
        let population = Population::new(&profile, directory);
        let clock = Clock::new();
        let echo = Echo(Inbox::new(8, 64), Outbox::new(8, 64));
        let mut links = Links::new(echo, clock, &population, Some([20.0, 5.0]));
        let peer = SocketAddr::from(([127, 0, 0, 1], 5060));
        let accesses = [0, population.size()].map(|ue| population.address(ue));
        let began = clock.now();
        for (place, access) in accesses.into_iter().enumerate() {
            let sent = links.parts().1.send(SocketId(0), Some(access), peer, |slot| {
                slot[0] = place as u8;
                Some(0..1)
            });
            assert_eq!(sent, Ok(1));
        }
        let mut came = Vec::new();
        // Bounded: the longest way takes 40 ms.
        for _ in 0..10_000_000 {
            links.turn(0).unwrap();
            let (inbox, _) = links.parts();
            for place in 0..inbox.len() {
                let (received, bytes) = inbox.get_mut(place);
                came.push((bytes[0], received.local, clock.now() - began));
            }
            if came.len() == 2 {
                break;
            }
        }
        let order: Vec<_> = came.iter().map(|(place, local, _)| (*place, *local)).collect();
        assert_eq!(order, [(1, accesses[1]), (0, accesses[0])], "the quicker access first");
        // No earlier than the links let it; how much later is the machine's.
        assert!(came[0].2 >= 10_000_000 && came[1].2 >= 40_000_000, "{came:?}");
    }
}
