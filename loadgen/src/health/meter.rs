//! What the generator's thread notes of itself.

use std::io;

use imstorm_base::io::{Inbox, Io};
use imstorm_base::time::{NS_PER_MS, Time};
use imstorm_uring::{AnyIo, BoundSocket, process};

use super::threads::{Taken, own_waited_ns};
use super::{Cores, Distribution, GeneratorThread, Health, SocketHealth};
use crate::link::Links;
use crate::plain::bursts::Bursts;

/// Less than this is no whole second: the rest of a run, whose share says little.
const SECOND_NS_MIN: u64 = 900 * NS_PER_MS;

/// A back end whose sockets can be looked at.
pub trait Watched {
    /// Its sockets.
    fn sockets(&self) -> &[BoundSocket];
    /// What the last turn has brought from them.
    fn batch(&mut self) -> &mut Inbox;
}

impl Watched for Bursts {
    fn sockets(&self) -> &[BoundSocket] {
        self.inner().sockets()
    }

    fn batch(&mut self) -> &mut Inbox {
        self.parts().0
    }
}

impl Watched for AnyIo {
    fn sockets(&self) -> &[BoundSocket] {
        AnyIo::sockets(self)
    }

    fn batch(&mut self) -> &mut Inbox {
        self.parts().0
    }
}

impl<I: Io + Watched> Watched for Links<I> {
    fn sockets(&self) -> &[BoundSocket] {
        self.inner().sockets()
    }

    fn batch(&mut self) -> &mut Inbox {
        self.inner_mut().batch()
    }
}

/// See the module. It is made and used on the generator's thread; what it notes for each datagram is one value in a histogram.
#[derive(Debug)]
pub struct Meter {
    socket_wait: Distribution,
    tick: Distribution,
    /// As they were opened: nothing is dropped yet.
    sockets: Vec<SocketHealth>,
    /// What each of them had dropped at the last look.
    dropped: Vec<u64>,
    cores: Cores,
    timer_slack_ns: u64,
    looked_at: Time,
    taken: Taken,
}

impl Meter {
    /// From now on.
    ///
    /// # Errors
    /// Where the kernel does not say how much room a socket has, or how late it may wake this thread.
    pub fn new(now: Time, sockets: &[BoundSocket], cores: Cores) -> io::Result<Self> {
        Ok(Self {
            socket_wait: Distribution::new(),
            tick: Distribution::new(),
            sockets: sockets.iter().map(SocketHealth::new).collect::<io::Result<_>>()?,
            dropped: vec![0; sockets.len()],
            cores,
            timer_slack_ns: process::timer_slack_ns()?,
            looked_at: now,
            taken: taken(),
        })
    }

    /// Notes how long each datagram of a batch that was brought `now` has waited.
    pub fn note_batch(&mut self, now: Time, batch: &mut Inbox) {
        for place in 0..batch.len() {
            let arrival_ns = batch.get_mut(place).0.arrival_ns;
            if arrival_ns > 0 {
                // The two clocks are read one after the other, so that what has just come may seem to come later.
                self.socket_wait.record_ns(now.saturating_sub(arrival_ns));
            }
        }
    }

    /// Notes how long the generator took for what was due and had come.
    pub fn note_tick(&mut self, took_ns: u64) {
        self.tick.record_ns(took_ns);
    }

    /// What was noted since the last call; `lateness` is that of the starts since then.
    pub fn take(&mut self, now: Time, lateness: Distribution, sockets: &[BoundSocket]) -> Health {
        let mut looked_at = self.sockets.clone();
        for ((health, before), socket) in looked_at.iter_mut().zip(&mut self.dropped).zip(sockets) {
            let dropped = socket.drops().unwrap_or(*before);
            health.drops = dropped.saturating_sub(*before);
            *before = dropped;
        }
        Health {
            latency_usable: self.cores.shared.is_empty(),
            lateness_us: lateness,
            socket_wait_us: self.socket_wait.take(),
            tick_us: self.tick.take(),
            socket_drops: looked_at.iter().map(|socket| socket.drops).sum(),
            sockets: looked_at,
            generator_thread: self.thread(now),
            timer_slack_ns: self.timer_slack_ns,
            cores: self.cores.clone(),
            ..Health::default()
        }
    }

    fn thread(&mut self, now: Time) -> GeneratorThread {
        let wall_ns = now.saturating_sub(std::mem::replace(&mut self.looked_at, now));
        let before = std::mem::replace(&mut self.taken, taken());
        let used = self.taken.since(&before);
        let wall_s = wall_ns as f64 / 1e9;
        // Time and processor time are not read at once.
        let cpu_share = if wall_ns > 0 { (used.cpu_s / wall_s).min(1.0) } else { 0.0 };
        GeneratorThread {
            wall_s,
            cpu_s: used.cpu_s,
            cpu_share,
            cpu_share_max: if wall_ns >= SECOND_NS_MIN { cpu_share } else { 0.0 },
            waited_s: used.waited_s,
            involuntary_switches: used.involuntary_switches,
        }
    }
}

/// What the calling thread has taken since it began.
fn taken() -> Taken {
    Taken {
        cpu_ns: process::thread_cpu_ns(),
        waited_ns: own_waited_ns(),
        involuntary_switches: process::involuntary_switches().unwrap_or(0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use imstorm_base::SocketId;
    use imstorm_uring::backend::{self, Sizes};
    use imstorm_uring::{Backend, Clock, SocketSpec, udp};
    use std::net::{SocketAddr, UdpSocket};

    const SIZES: Sizes = Sizes {
        inbox_slots: 64,
        inbox_datagram_bytes: 1_024,
        outbox_slots: 4,
        outbox_datagram_bytes: 64,
    };

    fn opened(kind: Backend, receive_buffer_bytes: usize) -> AnyIo {
        let spec = SocketSpec {
            id: SocketId(0),
            bind: SocketAddr::from(([127, 0, 0, 1], 0)),
            reuse_port: false,
            receive_buffer_bytes,
            packet_info: false,
        };
        let mut sockets = udp::open(&[spec]).unwrap();
        sockets.iter_mut().for_each(|socket| socket.enable_timestamps().unwrap());
        backend::open(kind, sockets, &SIZES).unwrap()
    }

    fn kinds() -> Vec<Backend> {
        let mut kinds = vec![Backend::Mmsg];
        kinds.extend(backend::probe().is_ok().then_some(Backend::Uring));
        kinds
    }

    /// Meter and sender of a back end that has received once, so that all is in place.
    fn metered(io: &mut AnyIo) -> (Meter, UdpSocket) {
        let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
        sender.connect(io.sockets()[0].local()).unwrap();
        sender.send(b"first").unwrap();
        io.turn(1_000_000_000).unwrap();
        let now = Clock::new().now();
        (Meter::new(now, io.sockets(), Cores::default()).unwrap(), sender)
    }

    /// What ten datagrams have waited that lie there for 30 ms at least, and the longest that they can have.
    fn waited(io: &mut AnyIo, meter: &mut Meter, sender: &UdpSocket) -> (Distribution, u64) {
        let clock = Clock::new();
        let before = clock.now();
        for _ in 0..10 {
            sender.send(b"waits").unwrap();
        }
        let sent_at = clock.now();
        while clock.now() < sent_at + 30 * NS_PER_MS {}
        let mut seen = 0;
        while seen < 10 {
            io.turn(1_000_000_000).unwrap();
            meter.note_batch(clock.now(), io.parts().0);
            seen += io.parts().0.len();
        }
        let longest_ns = clock.now() - before;
        let health = meter.take(clock.now(), Distribution::new(), io.sockets());
        (health.socket_wait_us, longest_ns / 1_000)
    }

    #[test]
    fn datagrams_wait_as_long_as_nobody_looks() {
        for kind in kinds() {
            let mut io = opened(kind, 1 << 20);
            let (mut meter, sender) = metered(&mut io);
            // All of them came before the time that was let pass; that the kernel notes when takes it a moment.
            let is_noted = |wait: &Distribution| wait.count_above(29_000) == 10;
            let (mut wait, mut longest_us) = waited(&mut io, &mut meter, &sender);
            for _ in 0..100 {
                if is_noted(&wait) {
                    break;
                }
                (wait, longest_us) = waited(&mut io, &mut meter, &sender);
            }
            assert!(is_noted(&wait), "{kind}: {wait:?}");
            assert_eq!(wait.count(), 10, "{kind}");
            // The two clocks are read one after the other, and a bucket is as wide as it is.
            assert!(wait.max() <= longest_us + longest_us / 100 + 1_000, "{kind}: {wait:?}");
            let none = meter.take(Clock::new().now(), Distribution::new(), io.sockets());
            assert_eq!(none.socket_wait_us.count(), 0, "{kind}");
        }
    }

    #[test]
    fn what_a_full_socket_loses_is_counted_once() {
        for kind in kinds() {
            let mut io = opened(kind, 4_096);
            let (mut meter, sender) = metered(&mut io);
            let lose = |meter: &mut Meter| {
                for _ in 0..200 {
                    sender.send(&[0; 1_000]).unwrap();
                }
                meter.take(Clock::new().now(), Distribution::new(), io.sockets())
            };
            let first = lose(&mut meter);
            assert!((100..=200).contains(&first.socket_drops), "{kind}: {}", first.socket_drops);
            assert_eq!(first.sockets[0].drops, first.socket_drops);
            let mut sum = first.clone();
            let second = lose(&mut meter);
            sum.merge(&second);
            assert_eq!(second.socket_drops, 200, "{kind}: it is full");
            assert_eq!(sum.socket_drops, io.sockets()[0].drops().unwrap(), "{kind}");
            assert_eq!((sum.sockets.len(), sum.sockets[0].drops), (1, sum.socket_drops));
            assert!(sum.sockets[0].receive_buffer_bytes < 1 << 20);
        }
    }

    #[test]
    fn the_thread_is_seen_to_run_and_to_sleep() {
        let mut io = opened(Backend::Mmsg, 0);
        let (mut meter, _sender) = metered(&mut io);
        let cpu_ns = process::thread_cpu_ns();
        while process::thread_cpu_ns() < cpu_ns + 20 * NS_PER_MS {}
        let ran = meter.take(Clock::new().now(), Distribution::new(), io.sockets());
        assert!(ran.generator_thread.cpu_s >= 0.02, "{:?}", ran.generator_thread);
        assert_eq!(ran.generator_thread.cpu_share_max, 0.0, "no whole second");
        io.turn(NS_PER_MS * 950).unwrap();
        let slept = meter.take(Clock::new().now(), Distribution::new(), io.sockets());
        let thread = slept.generator_thread;
        assert!(thread.cpu_share < 0.5 && thread.cpu_share_max == thread.cpu_share, "{thread:?}");
        assert!(slept.timer_slack_ns > 0);
    }
}
