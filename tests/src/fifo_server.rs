//! The known target over a socket, on a thread of its own.

use std::collections::{BTreeSet, VecDeque};
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::fifo::{Fate, Fifo, FifoSpec, answer};

/// The longest that the server sleeps: so long may its end take.
const WAIT: Duration = Duration::from_millis(50);
/// The shortest: a socket's timeout of nothing means for ever.
const WAIT_MIN: Duration = Duration::from_micros(100);

/// The server.
#[derive(Debug)]
pub struct FifoServer {
    /// Where it is.
    pub address: SocketAddr,
    ends: Arc<AtomicBool>,
    requests: Arc<AtomicUsize>,
    thread: JoinHandle<Served>,
}

/// What the server has seen.
#[derive(Debug)]
pub struct Served {
    /// The server at its end; its times count from its start, in nanoseconds.
    pub fifo: Fifo,
    /// For each request from when it was had to when its first answer was sent, in nanoseconds, in order of these. Whoever asked saw more.
    pub took_ns: Vec<u64>,
}

struct Waiting {
    at_ns: u64,
    arrived_ns: u64,
    number: usize,
    peer: SocketAddr,
    bytes: Vec<u8>,
}

impl FifoServer {
    /// A server at a free port of 127.0.0.1. OPTIONS, by which a generator asks whether anybody is there, are answered at once and don't count.
    #[must_use]
    pub fn start(spec: FifoSpec) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
        let address = socket.local_addr().expect("an address");
        let (ends, requests) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let (ended, counted) = (Arc::clone(&ends), Arc::clone(&requests));
        let thread = std::thread::spawn(move || serve(&socket, spec, &ended, &counted));
        Self { address, ends, requests, thread }
    }

    /// How many different requests have come so far.
    #[must_use]
    pub fn requests(&self) -> usize {
        self.requests.load(Ordering::Acquire)
    }

    /// Ends it.
    ///
    /// # Panics
    /// If it has.
    #[must_use]
    pub fn end(self) -> Served {
        self.ends.store(true, Ordering::Release);
        self.thread.join().expect("the server has not panicked")
    }
}

fn serve(socket: &UdpSocket, spec: FifoSpec, ends: &AtomicBool, requests: &AtomicUsize) -> Served {
    let mut served = Served { fifo: Fifo::new(spec), took_ns: Vec::new() };
    let (mut waiting, mut answered) = (VecDeque::<Waiting>::new(), BTreeSet::new());
    let (began, mut datagram) = (Instant::now(), [0; 4_096]);
    let now_ns = || u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX);
    while !ends.load(Ordering::Acquire) {
        while let Some(first) = waiting.pop_front_if(|first| first.at_ns <= now_ns()) {
            if answered.insert(first.number) {
                served.took_ns.push(now_ns() - first.arrived_ns);
            }
            let _ = socket.send_to(&first.bytes, first.peer);
        }
        let wait = waiting.front().map_or(WAIT, |first| {
            Duration::from_nanos(first.at_ns.saturating_sub(now_ns())).clamp(WAIT_MIN, WAIT)
        });
        socket.set_read_timeout(Some(wait)).expect("a time");
        // Nothing came in time, or an answer found nobody.
        let Ok((len, peer)) = socket.recv_from(&mut datagram) else { continue };
        let request = &datagram[..len];
        if request.starts_with(b"OPTIONS") {
            let _ = socket.send_to(&answer(request, 200), peer);
            continue;
        }
        let arrived_ns = now_ns();
        let fate = served.fifo.arrive(arrived_ns, request);
        let number = served.fifo.arrivals.last().map_or(0, |it| it.number);
        match fate {
            Fate::Served(at_ns) => {
                let bytes = answer(request, 200);
                waiting.push_back(Waiting { at_ns, arrived_ns, number, peer, bytes });
            }
            Fate::Refused => {
                let _ = socket.send_to(&answer(request, 503), peer);
            }
            Fate::Lost => {}
        }
        requests.store(served.fifo.requests(), Ordering::Release);
    }
    served
}
