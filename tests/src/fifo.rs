//! A target that is known: one server, first in, first out, that takes the same time for each request. What a generator must measure at it
//! follows on paper.

use std::collections::{BTreeMap, VecDeque};

use imstorm_base::time::Time;
use imstorm_sip::header::HeaderName;
use imstorm_sip::{Index, Message, Method, parse};

/// What the server is like.
#[derive(Copy, Clone, Debug, Default)]
pub struct FifoSpec {
    /// What a request takes, in nanoseconds.
    pub service_ns: u64,
    /// Requests that may be there at a time, the one that is served included; `None`: any number.
    pub limit: Option<usize>,
    /// What comes beyond the limit is answered 503 at once; else it is lost.
    pub refuses: bool,
    /// Begins with the request of this number, counted from 0, as it comes, and lasts for so many nanoseconds: nothing is worked on.
    pub stall: Option<(usize, u64)>,
    /// Of every so many different requests the last is lost, as often as the second number says; later transmissions of it are served.
    pub loss: Option<(usize, usize)>,
}

/// What has become of a request.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is answered 200 at this time.
    Served(Time),
    /// It is answered 503 at once.
    Refused,
    /// It is not answered.
    Lost,
}

/// A request as the server had it.
#[derive(Copy, Clone, Debug)]
pub struct Arrival {
    /// When it came.
    pub at: Time,
    /// Which of the different requests it was, from 0 in the order of their first arrival.
    pub number: usize,
    /// What has become of it.
    pub fate: Fate,
}

/// The server: it only says when answers leave. Who drives it sends them, in virtual time or over sockets.
#[derive(Debug, Default)]
pub struct Fifo {
    spec: FifoSpec,
    /// When the last one that was taken will have been served.
    free_at: Time,
    /// From when to when nothing is worked on.
    stalled: Option<(Time, Time)>,
    /// When those that are there will leave.
    leave_at: VecDeque<Time>,
    /// By their bytes: their numbers, and how often they came.
    requests: BTreeMap<Vec<u8>, (usize, usize)>,
    /// All that came, in order.
    pub arrivals: Vec<Arrival>,
}

impl Fifo {
    /// A server that is idle.
    #[must_use]
    pub fn new(spec: FifoSpec) -> Self {
        Self { spec, ..Self::default() }
    }

    /// How many different requests have come.
    #[must_use]
    pub fn requests(&self) -> usize {
        self.requests.len()
    }

    /// A request comes; a transmission that came again has the same bytes.
    pub fn arrive(&mut self, now: Time, request: &[u8]) -> Fate {
        let next = self.requests.len();
        let (number, count) = self.requests.entry(request.to_vec()).or_insert((next, 0));
        *count += 1;
        let (number, count) = (*number, *count);
        let fate = self.decide(now, number, count);
        self.arrivals.push(Arrival { at: now, number, fate });
        fate
    }

    fn decide(&mut self, now: Time, number: usize, count: usize) -> Fate {
        let spec = self.spec;
        if spec.loss.is_some_and(|(every, times)| number % every == every - 1 && count <= times) {
            return Fate::Lost;
        }
        if let Some((first, stall_ns)) = spec.stall
            && number == first
            && count == 1
        {
            self.stalled = Some((now, now + stall_ns));
        }
        while self.leave_at.front().is_some_and(|at| *at <= now) {
            self.leave_at.pop_front();
        }
        if spec.limit.is_some_and(|limit| self.leave_at.len() >= limit) {
            return if spec.refuses { Fate::Refused } else { Fate::Lost };
        }
        self.free_at = self.worked_until(self.free_at.max(now));
        self.leave_at.push_back(self.free_at);
        Fate::Served(self.free_at)
    }

    /// When a request is through that is begun at `begin`.
    fn worked_until(&self, begin: Time) -> Time {
        let end = begin + self.spec.service_ns;
        match self.stalled {
            Some((from, until)) if begin < until && end > from => end + (until - begin.max(from)),
            _ => end,
        }
    }
}

/// The answer to a request: 200 to REGISTER lists what it binds.
#[must_use]
pub fn answer(request: &[u8], status: u16) -> Vec<u8> {
    let mut index = Index::default();
    let message = parse(request, &mut index).expect("a generator writes SIP");
    let mut out = [0; 4_096];
    let writer = imstorm_sip::response(&message, status, Some(b"known"), &mut out[..]);
    let len = writer.finish().expect("there is room");
    let text = String::from_utf8_lossy(&out[..len]).into_owned();
    text.replace("\r\n\r\n", &format!("\r\n{}\r\n", binding(&message, status))).into_bytes()
}

fn binding(message: &Message<'_>, status: u16) -> String {
    match message.header(HeaderName::Contact) {
        Some(contact) if status == 200 && message.method() == Method::Register => {
            format!("Contact: {}\r\n", String::from_utf8_lossy(contact))
        }
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn served(fates: &[Fate]) -> Vec<Time> {
        let of = |fate: &Fate| match fate {
            Fate::Served(at) => *at,
            other => panic!("{other:?}"),
        };
        fates.iter().map(of).collect()
    }

    #[test]
    fn requests_are_served_one_after_the_other() {
        let mut fifo = Fifo::new(FifoSpec { service_ns: 10, ..FifoSpec::default() });
        let fates =
            [(5, "a"), (6, "b"), (40, "c")].map(|(at, text)| fifo.arrive(at, text.as_bytes()));
        assert_eq!(served(&fates), [15, 25, 50]);
    }

    #[test]
    fn in_a_stall_nothing_is_worked_on() {
        let spec = FifoSpec { service_ns: 10, stall: Some((1, 100)), ..FifoSpec::default() };
        let mut fifo = Fifo::new(spec);
        // The first has 6 of 10 left when the second brings the stall, from 4 to 104.
        assert_eq!(fifo.arrive(0, b"a"), Fate::Served(10));
        let fates =
            [(4, "b"), (103, "c"), (200, "d")].map(|(at, text)| fifo.arrive(at, text.as_bytes()));
        // What was promised is kept: the stall is for what begins after it was promised.
        assert_eq!(served(&fates), [114, 124, 210]);
    }

    #[test]
    fn what_comes_beyond_the_limit_is_refused_or_lost() {
        for (refuses, fate) in [(true, Fate::Refused), (false, Fate::Lost)] {
            let spec = FifoSpec { service_ns: 10, limit: Some(2), refuses, ..FifoSpec::default() };
            let mut fifo = Fifo::new(spec);
            let fates = [0, 1, 2, 10].map(|at| fifo.arrive(at, &[at as u8]));
            assert_eq!(fates, [Fate::Served(10), Fate::Served(20), fate, Fate::Served(30)]);
        }
    }

    #[test]
    fn every_third_is_lost_twice() {
        let mut fifo = Fifo::new(FifoSpec { loss: Some((3, 2)), ..FifoSpec::default() });
        let fates = ["a", "b", "c", "c", "c", "d"].map(|text| fifo.arrive(1, text.as_bytes()));
        assert_eq!(fates[2..4], [Fate::Lost; 2]);
        assert_eq!([fates[0], fates[1], fates[4], fates[5]], [Fate::Served(1); 4]);
        assert_eq!(fifo.requests(), 4);
    }
}
