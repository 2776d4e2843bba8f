//! The links between UEs and their P-CSCFs: over sockets of one machine a datagram takes no time and none is lost, so a profile may
//! give each access a delay and faults, which are laid over the back end here. They are drawn from the run's seed.

mod counts;
mod way;

use std::io;
use std::net::IpAddr;

use imstorm_base::io::{Inbox, Io, Outbox};
use imstorm_base::random::Random;
use imstorm_base::time::Time;
use imstorm_uring::Clock;

use crate::population::Population;
use crate::profile::Link;
use way::{Datagram, Ends, Way};

pub use counts::LinkCounts;

/// The most datagrams on their way in one direction: what 65,000 a second are over the longest delay with its jitter, 2 s. Their memory
/// is claimed as they come.
const UNDER_WAY_MAX: usize = 1 << 17;

/// What of a seed is for the links: a stream that nothing else draws from.
const LINKS: u64 = u64::from_be_bytes(*b"  links ");

/// What it takes to hold datagrams back.
struct Layer {
    population: Population,
    inbox: Inbox,
    outbox: Outbox,
    from_ues: Way,
    to_ues: Way,
}

/// A back end with the accesses' links laid over it.
pub(crate) struct Links<I> {
    inner: I,
    clock: Clock,
    layer: Option<Layer>,
}

impl<I: Io> Links<I> {
    /// Over a back end; `links` is that of each access, with what `seed` draws.
    pub fn new(
        mut inner: I,
        clock: Clock,
        population: &Population,
        links: Option<[Link; 2]>,
        seed: u64,
    ) -> Self {
        let random = Random::new(seed).fork(LINKS);
        let layer = links.map(|links| {
            let way = |stream| Way::new(links, &random.fork(stream), UNDER_WAY_MAX);
            let (inbox, outbox) = inner.parts();
            Layer {
                population: population.clone(),
                inbox: Inbox::new(inbox.slots(), inbox.slot_bytes()),
                outbox: Outbox::new(outbox.slots(), outbox.slot_bytes()),
                from_ues: way(0),
                to_ues: way(1),
            }
        });
        Self { inner, clock, layer }
    }

    /// The back end.
    pub fn inner(&self) -> &I {
        &self.inner
    }

    /// The back end: what it has brought may not have arrived yet.
    pub fn inner_mut(&mut self) -> &mut I {
        &mut self.inner
    }

    /// What has happened to datagrams so far.
    pub fn counts(&self) -> LinkCounts {
        let counts = self.layer.as_ref().map(Layer::counts);
        counts.unwrap_or_default()
    }

    /// Whether something that UEs have sent is on its way yet.
    pub fn is_leaving(&self) -> bool {
        self.layer.as_ref().is_some_and(|layer| !layer.from_ues.is_empty())
    }
}

/// The access, 0 or 1, that has a UE's address.
fn access_of(population: &Population, ue: Option<IpAddr>) -> usize {
    let access = ue.and_then(|address| population.ue_at(address)).unwrap_or(0);
    usize::from(access >= population.size())
}

impl Layer {
    /// What the UEs have queued sets out; what has arrived leaves by the back end.
    fn send(&mut self, now: Time, inner: &mut impl Io) {
        let Self { population, outbox, from_ues, .. } = self;
        outbox.drain(|queued, bytes| {
            let ends = Ends { socket: queued.socket, ue: queued.source, peer: queued.peer };
            from_ues.set_out(now, access_of(population, ends.ue), ends, bytes);
        });
        let (_, out) = inner.parts();
        while out.free_slots() > 0
            && let Some(Datagram { ends, bytes }) = from_ues.arrived(now)
        {
            let written = out.send(ends.socket, ends.ue, ends.peer, |slot| {
                slot.get_mut(..bytes.len())?.copy_from_slice(bytes);
                Some(0..bytes.len())
            });
            assert!(
                written.is_ok(),
                "there is a slot, and it is as long as the one that this came from"
            );
        }
    }

    /// What the back end has brought sets out for the UEs; what has arrived is their batch.
    fn receive(&mut self, now: Time, inner: &mut impl Io) {
        let Self { population, inbox, to_ues, .. } = self;
        let (batch, _) = inner.parts();
        for place in 0..batch.len() {
            let (received, bytes) = batch.get_mut(place);
            let ue = Some(received.local);
            let ends = Ends { socket: received.socket, ue, peer: received.peer };
            to_ues.set_out(now, access_of(population, ue), ends, bytes);
        }
        while inbox.len() < inbox.slots()
            && let Some(Datagram { ends: Ends { socket, ue: Some(ue), peer }, bytes }) =
                to_ues.arrived(now)
        {
            inbox.push(*socket, *peer, *ue, bytes);
        }
    }

    fn next_at(&self) -> Option<Time> {
        [&self.from_ues, &self.to_ues].into_iter().filter_map(Way::next_at).min()
    }

    fn counts(&self) -> LinkCounts {
        self.from_ues.counts().plus(self.to_ues.counts())
    }
}

impl<I: Io> Io for Links<I> {
    fn turn(&mut self, wait_ns: u64) -> io::Result<()> {
        let Some(layer) = &mut self.layer else { return self.inner.turn(wait_ns) };
        layer.inbox.clear();
        let now = self.clock.now();
        layer.send(now, &mut self.inner);
        let due_ns = layer.next_at().map_or(wait_ns, |at| at.saturating_sub(now));
        self.inner.turn(wait_ns.min(due_ns))?;
        let now = self.clock.now();
        layer.receive(now, &mut self.inner);
        Ok(())
    }

    fn parts(&mut self) -> (&mut Inbox, &mut Outbox) {
        match &mut self.layer {
            Some(layer) => (&mut layer.inbox, &mut layer.outbox),
            None => self.inner.parts(),
        }
    }
}

#[cfg(test)]
mod tests;
