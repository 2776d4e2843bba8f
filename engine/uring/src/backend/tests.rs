//! Both back ends under the same tests. Where io_uring is forbidden its half says so and passes.

use super::*;
use crate::batch::BATCH;
use crate::clock::Clock;
use imstorm_base::NS_PER_MS;
use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr, UdpSocket};

const SIZES: Sizes = Sizes {
    inbox_slots: 256,
    inbox_datagram_bytes: 2_048,
    outbox_slots: 256,
    outbox_datagram_bytes: 2_048,
};

fn kinds() -> Vec<Backend> {
    match probe() {
        Ok(()) => vec![Backend::Mmsg, Backend::Uring],
        Err(why) => {
            eprintln!("io_uring is not tested: {why}");
            vec![Backend::Mmsg]
        }
    }
}

fn spec(id: u8, bind: &str) -> SocketSpec {
    SocketSpec {
        id: SocketId(id),
        bind: bind.parse().unwrap(),
        reuse_port: false,
        receive_buffer_bytes: 4 << 20,
        packet_info: true,
    }
}

fn open_on(kind: Backend, binds: &[&str], sizes: &Sizes) -> AnyIo {
    let specs: Vec<_> = binds.iter().enumerate().map(|(id, bind)| spec(id as u8, bind)).collect();
    open(kind, udp::open(&specs).unwrap(), sizes).unwrap()
}

/// A plain socket to talk to a back end, which never blocks a test for ever.
fn plain(bind: &str) -> UdpSocket {
    let socket = UdpSocket::bind(bind).unwrap();
    socket.set_read_timeout(Some(std::time::Duration::from_secs(5))).unwrap();
    socket
}

/// Turns until `want` datagrams have come, at most for some seconds; gives what they said.
fn collect(io: &mut AnyIo, want: usize) -> Vec<(imstorm_base::Received, Vec<u8>)> {
    let mut got = Vec::new();
    let clock = Clock::new();
    let end = clock.now() + 5 * NS_PER_S;
    while got.len() < want && clock.now() < end {
        io.turn(100 * NS_PER_MS).unwrap();
        let (inbox, _) = io.parts();
        for i in 0..inbox.len() {
            let (received, bytes) = inbox.get_mut(i);
            got.push((received, bytes.to_vec()));
        }
    }
    got
}

fn queue(io: &mut AnyIo, source: Option<IpAddr>, peer: SocketAddr, bytes: &[u8]) {
    let sent = io.parts().1.send(SocketId(0), source, peer, |slot| {
        // Not at the slot's start, as with ESP, whose headers grow downwards.
        slot[100..100 + bytes.len()].copy_from_slice(bytes);
        Some(100..100 + bytes.len())
    });
    assert_eq!(sent, Ok(bytes.len()));
}

#[test]
fn echo_in_place() {
    for kind in kinds() {
        let mut io = open_on(kind, &["127.0.0.1:0", "[::1]:0"], &SIZES);
        let binds = ["127.0.0.1:0", "[::1]:0"];
        for (id, bind) in binds.into_iter().enumerate() {
            let peer = plain(bind);
            let to = io.sockets()[id].local();
            peer.send_to(b"hello", to).unwrap();
            let got = collect(&mut io, 1);
            let (received, bytes) = &got[0];
            assert_eq!((received.socket, &bytes[..]), (SocketId(id as u8), &b"hello"[..]));
            assert_eq!((received.peer, received.local), (peer.local_addr().unwrap(), to.ip()));
            assert_eq!(received.arrival_ns, 0);
            io.parts()
                .1
                .send(received.socket, Some(received.local), received.peer, |slot| {
                    slot[..4].copy_from_slice(b"back");
                    Some(0..4)
                })
                .unwrap();
            io.turn(0).unwrap();
            let mut buffer = [0; 64];
            let (n, from) = peer.recv_from(&mut buffer).unwrap();
            assert_eq!((&buffer[..n], from), (&b"back"[..], to), "{kind}");
        }
        assert_eq!((io.counters().received, io.counters().sent), (2, 2));
        assert_eq!(io.parts().1.free_slots(), SIZES.outbox_slots);
    }
}

#[test]
fn a_burst_of_a_thousand_arrives_whole() {
    for kind in kinds() {
        // Fewer slots than datagrams: the buffers of io_uring run out, and its receive ends.
        let sizes = Sizes { inbox_slots: 64, ..SIZES };
        let mut io = open_on(kind, &["127.0.0.1:0"], &sizes);
        let to = io.sockets()[0].local();
        io.turn(0).unwrap();
        let peer = plain("127.0.0.1:0");
        for i in 0..1_000u32 {
            peer.send_to(&i.to_be_bytes().repeat(64), to).unwrap();
        }
        let got = collect(&mut io, 1_000);
        assert_eq!(io.sockets()[0].drops().unwrap(), 0, "{kind}");
        let seen: Vec<u32> = got
            .iter()
            .map(|(_, bytes)| {
                assert_eq!(bytes.len(), 256);
                assert!(bytes.chunks(4).all(|word| word == &bytes[..4]));
                u32::from_be_bytes(bytes[..4].try_into().unwrap())
            })
            .collect();
        assert_eq!(seen, (0..1_000).collect::<Vec<_>>(), "{kind}");
        if kind == Backend::Uring {
            assert!(io.counters().buffers_exhausted > 0, "{:?}", io.counters());
            assert!(io.counters().rearmed >= io.counters().buffers_exhausted);
        }
    }
}

#[test]
fn a_burst_out_arrives_whole() {
    for kind in kinds() {
        let mut io = open_on(kind, &["127.0.0.1:0"], &SIZES);
        let specs = [SocketSpec { reuse_port: false, ..spec(0, "127.0.0.1:0") }];
        let mut sink = open(Backend::Mmsg, udp::open(&specs).unwrap(), &SIZES).unwrap();
        let to = sink.sockets()[0].local();
        let mut sent = 0u32;
        while sent < 1_000 {
            while sent < 1_000 && io.parts().1.free_slots() > 0 {
                queue(&mut io, None, to, &sent.to_be_bytes());
                sent += 1;
            }
            io.turn(0).unwrap();
        }
        io.turn(0).unwrap();
        assert_eq!(io.counters().sent, 1_000);
        let seen: BTreeSet<Vec<u8>> =
            collect(&mut sink, 1_000).into_iter().map(|(_, bytes)| bytes).collect();
        assert_eq!(seen.len(), 1_000, "{kind}");
    }
}

#[test]
fn a_wildcard_socket_speaks_for_every_address() {
    for kind in kinds() {
        let mut io = open_on(kind, &["0.0.0.0:0"], &SIZES);
        let port = io.sockets()[0].local().port();
        let peer = plain("127.0.0.1:0");
        let source: IpAddr = "127.9.8.7".parse().unwrap();
        queue(&mut io, Some(source), peer.local_addr().unwrap(), b"from afar");
        io.turn(0).unwrap();
        let mut buffer = [0; 64];
        let (n, from) = peer.recv_from(&mut buffer).unwrap();
        assert_eq!((&buffer[..n], from), (&b"from afar"[..], (source, port).into()), "{kind}");
        peer.send_to(b"answer", from).unwrap();
        assert_eq!(collect(&mut io, 1)[0].0.local, source);
    }
}

#[test]
fn too_long_is_counted_and_dropped() {
    for kind in kinds() {
        let sizes = Sizes { inbox_datagram_bytes: 100, ..SIZES };
        let mut io = open_on(kind, &["127.0.0.1:0"], &sizes);
        let to = io.sockets()[0].local();
        let peer = plain("127.0.0.1:0");
        for len in [101, 100, 1_500, 0, 1] {
            peer.send_to(&vec![7; len], to).unwrap();
        }
        let lengths: Vec<usize> = collect(&mut io, 3).iter().map(|(r, _)| r.len()).collect();
        assert_eq!(lengths, [100, 0, 1], "{kind}");
        assert_eq!(io.parts().0.truncated(), 2);
    }
}

#[test]
fn errors_of_sends_are_counted_by_kind() {
    for kind in kinds() {
        let sizes = Sizes { outbox_datagram_bytes: 66_000, outbox_slots: 8, ..SIZES };
        let mut io = open_on(kind, &["127.0.0.1:0"], &sizes);
        let peer = plain("127.0.0.1:0");
        let to = peer.local_addr().unwrap();
        // Longer than UDP allows; a source that isn't ours; nobody there; a v6 peer of a v4 socket.
        queue(&mut io, None, to, &vec![0; 65_800]);
        queue(&mut io, Some("192.0.2.9".parse().unwrap()), to, b"x");
        queue(&mut io, None, "127.0.0.1:1".parse().unwrap(), b"x");
        queue(&mut io, None, "[::1]:5060".parse().unwrap(), b"x");
        queue(&mut io, None, to, b"good");
        for _ in 0..3 {
            io.turn(0).unwrap();
        }
        let mut buffer = [0; 64];
        assert_eq!(peer.recv_from(&mut buffer).unwrap().0, 4);
        let counters = io.counters();
        assert_eq!((counters.send_too_long, counters.sent), (1, 2), "{kind} {counters:?}");
        assert_eq!(counters.send_other + counters.send_unreachable, 2, "{kind} {counters:?}");
        assert_eq!(io.parts().1.free_slots(), 8);
    }
}

#[test]
fn another_thread_ends_a_wait() {
    for kind in kinds() {
        let mut io = open_on(kind, &["127.0.0.1:0"], &SIZES);
        let clock = Clock::new();
        for round in 1..=20 {
            let waker = io.waker();
            let thread = std::thread::spawn(move || waker.wake());
            let start = clock.now();
            // Woken during the wait or before it: in both cases it is short.
            while io.counters().woken < round {
                io.turn(20 * NS_PER_S).unwrap();
                assert!(clock.now() - start < 10 * NS_PER_S, "{kind}: not woken");
            }
            thread.join().unwrap();
        }
    }
}

#[test]
fn a_mesh_wakes_its_receiver() {
    for kind in kinds() {
        let mut ports = crate::Mesh::new::<u32>(2, 8, 64);
        let mut other = ports.pop().unwrap();
        let mut own = ports.pop().unwrap();
        let mut io = open_on(kind, &["127.0.0.1:0"], &SIZES);
        own.wake_with(io.waker());
        let thread = std::thread::spawn(move || {
            for i in 0..1_000u32 {
                while other.send(0, i, b"over").is_err() {
                    std::thread::yield_now();
                }
            }
        });
        let clock = Clock::new();
        let start = clock.now();
        let mut next = 0;
        while next < 1_000 {
            io.turn(20 * NS_PER_S).unwrap();
            own.receive(|i, bytes| {
                assert_eq!((i, &bytes[..]), (next, &b"over"[..]));
                next += 1;
            });
            assert!(clock.now() - start < 10 * NS_PER_S, "{kind}: not woken");
        }
        thread.join().unwrap();
    }
}

#[test]
fn a_wait_is_as_long_as_asked() {
    for kind in kinds() {
        let mut io = open_on(kind, &["127.0.0.1:0"], &SIZES);
        let clock = Clock::new();
        io.turn(0).unwrap();
        for wait_ns in [0, 300_000, 20 * NS_PER_MS] {
            let start = clock.now();
            io.turn(wait_ns).unwrap();
            let took = clock.now() - start;
            assert!(took >= wait_ns, "{kind}: {took} of {wait_ns}, {:?}", io.counters());
            assert!(took < wait_ns + 2 * NS_PER_S, "{kind}: {took} of {wait_ns}");
            assert!(io.parts().0.is_empty());
        }
    }
}

/// Both back ends with a wait for batches, which one of them may have.
fn patient(wait_us: u32) -> Vec<AnyIo> {
    let open_one = |kind| {
        let mut io = open_on(kind, &["127.0.0.1:0"], &SIZES);
        io.set_batch_wait(wait_us);
        io
    };
    kinds().into_iter().map(open_one).collect()
}

/// Turns with so many datagrams each that any wait for a batch ends at once.
fn make_busy(io: &mut AnyIo, peer: &UdpSocket) {
    let to = io.sockets()[0].local();
    for _ in 0..20 {
        for _ in 0..BATCH {
            peer.send_to(b"busy", to).unwrap();
        }
        collect(io, BATCH);
    }
}

#[test]
fn who_answers_one_at_a_time_is_not_waited_for_again() {
    let wait_us = 500_000;
    for mut io in patient(wait_us) {
        let (to, peer) = (io.sockets()[0].local(), plain("127.0.0.1:0"));
        let clock = Clock::new();
        let mut waits = 0;
        for _ in 0..20 {
            let start = clock.now();
            peer.send_to(b"alone", to).unwrap();
            while io.parts().0.is_empty() {
                io.turn(20 * NS_PER_S).unwrap();
                assert!(clock.now() - start < 10 * NS_PER_S, "{}: nothing came", io.kind());
            }
            waits += u32::from(clock.now() - start >= u64::from(wait_us) * 1_000);
            io.parts().0.clear();
        }
        assert!(waits <= 1, "{}: {waits}", io.kind());
    }
}

#[test]
fn a_wait_for_a_batch_ends_at_its_bound() {
    for mut io in patient(20_000) {
        let (to, peer) = (io.sockets()[0].local(), plain("127.0.0.1:0"));
        make_busy(&mut io, &peer);
        let clock = Clock::new();
        let start = clock.now();
        peer.send_to(b"one", to).unwrap();
        io.turn(20 * NS_PER_S).unwrap();
        let took = clock.now() - start;
        assert_eq!(io.parts().0.len(), 1, "{}", io.kind());
        assert!(took < 10 * NS_PER_S, "{}: {took} ns", io.kind());
    }
}

#[test]
fn a_whole_batch_ends_the_wait_for_it() {
    for mut io in patient(20_000_000) {
        let peer = plain("127.0.0.1:0");
        let clock = Clock::new();
        let start = clock.now();
        make_busy(&mut io, &peer);
        // Sends of its own are none of the batch, and don't hold it up.
        let to = io.sockets()[0].local();
        queue(&mut io, None, peer.local_addr().unwrap(), b"answer");
        for _ in 0..BATCH {
            peer.send_to(b"busy", to).unwrap();
        }
        io.turn(20 * NS_PER_S).unwrap();
        assert_eq!(io.parts().0.len(), BATCH, "{}", io.kind());
        assert!(clock.now() - start < 10 * NS_PER_S, "{}: waits for more", io.kind());
        assert_eq!(io.counters().sent, 1);
    }
}

#[test]
fn another_thread_ends_a_wait_for_a_batch() {
    for mut io in patient(1_000) {
        let peer = plain("127.0.0.1:0");
        let clock = Clock::new();
        for round in 1..=20 {
            make_busy(&mut io, &peer);
            let waker = io.waker();
            let start = clock.now();
            let thread = std::thread::spawn(move || waker.wake());
            while io.counters().woken < round {
                io.turn(20 * NS_PER_S).unwrap();
                assert!(clock.now() - start < 10 * NS_PER_S, "{}: not woken", io.kind());
            }
            thread.join().unwrap();
        }
    }
}

#[test]
fn datagrams_of_one_length_arrive_one_by_one_and_in_order() {
    for kind in kinds() {
        let mut io = open_on(kind, &["127.0.0.1:0"], &SIZES);
        let peer = plain("127.0.0.1:0");
        let to = peer.local_addr().unwrap();
        let texts: Vec<String> = (0..8).map(|at| format!("number {at}")).collect();
        for text in &texts {
            queue(&mut io, None, to, text.as_bytes());
        }
        io.turn(0).unwrap();
        for text in &texts {
            let mut bytes = [0; 64];
            let len = peer.recv(&mut bytes).unwrap();
            assert_eq!(&bytes[..len], text.as_bytes(), "{kind}");
        }
        assert_eq!(io.counters().sent, 8, "{kind}");
    }
}

#[test]
fn arrival_times_are_of_the_clock() {
    for kind in kinds() {
        let mut sockets = udp::open(&[spec(0, "127.0.0.1:0")]).unwrap();
        sockets[0].enable_timestamps().unwrap();
        let to = sockets[0].local();
        let mut io = open(kind, sockets, &SIZES).unwrap();
        let clock = Clock::new();
        // Once, so that the kernel's timestamps are on for sure.
        plain("127.0.0.1:0").send_to(b"x", to).unwrap();
        collect(&mut io, 1);
        let before = clock.now();
        plain("127.0.0.1:0").send_to(b"x", to).unwrap();
        let between = clock.now();
        let arrival_ns = collect(&mut io, 1)[0].0.arrival_ns;
        let slack = NS_PER_MS;
        assert!((before - slack..between + slack).contains(&arrival_ns), "{kind}: {arrival_ns}");
    }
}

#[test]
fn busy_sockets_leave_room_for_others() {
    for kind in kinds() {
        let sizes = Sizes { inbox_slots: 64, ..SIZES };
        let mut io = open_on(kind, &["127.0.0.1:0", "127.0.0.2:0"], &sizes);
        let (busy, quiet) = (io.sockets()[0].local(), io.sockets()[1].local());
        io.turn(0).unwrap();
        let peer = plain("127.0.0.1:0");
        for _ in 0..640 {
            peer.send_to(b"busy", busy).unwrap();
        }
        peer.send_to(b"quiet", quiet).unwrap();
        let mut turns = 0;
        let came = loop {
            turns += 1;
            io.turn(NS_PER_MS).unwrap();
            let (inbox, _) = io.parts();
            if (0..inbox.len()).any(|i| inbox.get_mut(i).0.socket == SocketId(1)) {
                break true;
            }
            if turns == 9 {
                break false;
            }
        };
        assert!(came, "{kind}: still not after {turns} turns");
    }
}

#[test]
fn a_back_end_goes_with_datagrams_on_the_way() {
    for kind in kinds() {
        for _ in 0..20 {
            let mut io = open_on(kind, &["127.0.0.1:0"], &SIZES);
            let to = io.sockets()[0].local();
            io.turn(0).unwrap();
            for _ in 0..100 {
                queue(&mut io, None, to, b"to itself");
            }
            io.turn(0).unwrap();
            drop(io);
            // Its address is free again.
            drop(udp::open(&[spec(0, &to.to_string())]).unwrap());
        }
    }
}

#[test]
fn turns_do_not_allocate() {
    for kind in kinds() {
        let mut io = open_on(kind, &["127.0.0.1:0", "[::1]:0"], &SIZES);
        let to = io.sockets()[0].local();
        let mut exchange = || {
            for _ in 0..200 {
                queue(&mut io, Some(to.ip()), to, b"to itself");
            }
            let mut came = 0;
            while came < 200 {
                io.turn(NS_PER_S).unwrap();
                came += io.parts().0.len();
            }
        };
        exchange();
        let before = crate::allocations::of_this_thread();
        for _ in 0..20 {
            exchange();
        }
        assert_eq!(crate::allocations::of_this_thread() - before, 0, "{kind}");
        let boxed = std::hint::black_box(Box::new(kind));
        assert_eq!(crate::allocations::of_this_thread() - before, 1, "{boxed} was not counted");
    }
}

#[test]
fn names_of_back_ends_round_trip() {
    for kind in [Backend::Uring, Backend::Mmsg] {
        assert_eq!(kind.to_string().parse(), Ok(kind));
    }
    assert!("io_uring".parse::<Backend>().is_err());
}
