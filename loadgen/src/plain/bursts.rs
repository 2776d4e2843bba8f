//! Sends what plain UEs have queued in bursts: messages of one kind and length to one server leave by a single system call, as segments
//! of one datagram that the kernel takes apart (`UDP_SEGMENT`, Linux 4.18). What comes is received as by any other back end.

use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::time::Duration;

use imstorm_base::io::{Inbox, Io, Outbox, Queued};
use imstorm_uring::AnyIo;
use socket2::{MsgHdr, SockAddr, Socket};

/// Segments of a datagram at most: UDP_MAX_SEGMENTS of kernels before 6.9.
const SEGMENTS_MAX: usize = 64;
/// Their bytes at most: what a UDP datagram over IPv6 without jumbograms carries, and less than over IPv4.
const SEGMENTS_BYTES_MAX: usize = 65_000;
/// Slots of the queue, and what one holds: more than starts in a burst, and an INVITE with its description. Not a power of two, so that
/// the messages of a burst don't fall into the same lines of the cache.
const SLOTS: usize = 16_384;
const SLOT_BYTES: usize = 2_112;
/// So many datagrams make a batch of the back end that may have more.
const FULL_BATCH: usize = 64;
/// How long to wait at most while the kernel has no memory for our datagrams.
const BLOCKED_WAIT_NS: u64 = 1_000_000;
/// How often one datagram is sent again because of errors that were about others.
const REPEATS_MAX: u8 = 8;

/// linux/socket.h, linux/udp.h
const SOL_UDP: i32 = 17;
const UDP_SEGMENT: i32 = 103;
/// A control message with 16 bits: its header of two words, and the rest of a third.
const CONTROL_BYTES: usize = 24;
const CONTROL_LEN: usize = 18;

/// asm-generic/errno-base.h, errno.h
const EINTR: i32 = 4;
const EIO: i32 = 5;
const EAGAIN: i32 = 11;
const ENOMEM: i32 = 12;
const EINVAL: i32 = 22;
const ENOBUFS: i32 = 105;
const ECONNREFUSED: i32 = 111;

/// A back end of one socket, with bursts for sending.
pub(crate) struct Bursts {
    inner: AnyIo,
    socket: Socket,
    outbox: Outbox,
    /// Taken from the outbox and not sent yet, and the order in which they are to leave.
    waiting: Vec<Queued>,
    order: Vec<u64>,
    /// The kernel takes segments.
    segments: bool,
    /// Starts are so far apart: a turn that ends sooner sleeps through, and takes then whatever has come.
    grain_ns: u64,
    batch: usize,
    blocked: bool,
}

/// What has become of a run of datagrams.
enum Sent {
    /// The kernel has taken them, or they are lost.
    Over,
    /// The kernel has no room now.
    Later,
    /// It does not take segments: one by one.
    Singly,
}

impl Bursts {
    /// Over a back end with one socket.
    ///
    /// # Errors
    /// Where the process may have no further descriptor.
    pub fn new(inner: AnyIo, grain_ns: u64) -> io::Result<Self> {
        let socket = inner.sockets().first().ok_or(io::ErrorKind::InvalidInput)?;
        let socket = Socket::from(socket.as_fd().try_clone_to_owned()?);
        Ok(Self {
            inner,
            socket,
            outbox: Outbox::new(SLOTS, SLOT_BYTES),
            waiting: Vec::with_capacity(SLOTS),
            order: Vec::with_capacity(SLOTS),
            segments: true,
            grain_ns,
            batch: 0,
            blocked: false,
        })
    }

    /// The back end.
    pub fn inner(&self) -> &AnyIo {
        &self.inner
    }

    fn flush(&mut self) {
        while let Some(queued) = self.outbox.take() {
            self.waiting.push(queued);
        }
        self.blocked = false;
        if self.waiting.is_empty() {
            return;
        }
        self.order.clear();
        for (place, queued) in self.waiting.iter().enumerate() {
            let bytes = self.outbox.bytes(queued);
            self.order.push(rank(bytes) << 48 | (bytes.len() as u64) << 32 | place as u64);
        }
        self.order.sort_unstable();
        let mut sent = 0;
        while sent < self.order.len() {
            let count = self.run_at(sent);
            match self.send(sent, count) {
                Sent::Over => {
                    for key in &self.order[sent..sent + count] {
                        self.outbox.complete(self.waiting[place_of(*key)].slot);
                    }
                    sent += count;
                }
                Sent::Singly => self.segments = false,
                Sent::Later => {
                    self.blocked = true;
                    break;
                }
            }
        }
        if sent == self.order.len() {
            return self.waiting.clear();
        }
        let rest: Vec<Queued> =
            self.order[sent..].iter().map(|key| self.waiting[place_of(*key)]).collect();
        self.waiting.clear();
        self.waiting.extend(rest);
    }

    /// How many datagrams from this place on can leave together.
    fn run_at(&self, first: usize) -> usize {
        let Queued { peer, .. } = self.waiting[place_of(self.order[first])];
        let len = len_of(self.order[first]).max(1);
        if !self.segments {
            return 1;
        }
        let most = SEGMENTS_MAX.min(SEGMENTS_BYTES_MAX / len).max(1);
        let same = |key: &&u64| {
            **key >> 32 == self.order[first] >> 32 && self.waiting[place_of(**key)].peer == peer
        };
        self.order[first..].iter().take(most).take_while(same).count()
    }

    fn send(&self, first: usize, count: usize) -> Sent {
        let peer: SocketAddr = self.waiting[place_of(self.order[first])].peer;
        let to = SockAddr::from(peer);
        let mut slices = [IoSlice::new(&[]); SEGMENTS_MAX];
        for (slice, key) in slices.iter_mut().zip(&self.order[first..first + count]) {
            *slice = IoSlice::new(self.outbox.bytes(&self.waiting[place_of(*key)]));
        }
        let control = segment_control(len_of(self.order[first]));
        let message = MsgHdr::new().with_addr(&to).with_buffers(&slices[..count]);
        let message = if count > 1 { message.with_control(&control) } else { message };
        for _ in 0..REPEATS_MAX {
            let Err(error) = self.socket.sendmsg(&message, 0) else { return Sent::Over };
            match error.raw_os_error().unwrap_or(0) {
                // The answer to an earlier datagram.
                EINTR | ECONNREFUSED => {}
                EAGAIN | ENOBUFS | ENOMEM => return Sent::Later,
                EINVAL | EIO if count > 1 => return Sent::Singly,
                _ => break,
            }
        }
        Sent::Over
    }
}

/// Kinds of messages in the order in which they leave: ACK before what follows it in its dialog, BYE behind it.
fn rank(bytes: &[u8]) -> u64 {
    match bytes.first() {
        Some(b'A') => 0,
        Some(b'B') => 2,
        _ => 1,
    }
}

/// The parts of a key: rank, length, place.
fn len_of(key: u64) -> usize {
    usize::from((key >> 32) as u16)
}

fn place_of(key: u64) -> usize {
    key as u32 as usize
}

/// The control message that says how long each segment is.
fn segment_control(len: usize) -> [u8; CONTROL_BYTES] {
    let mut control = [0; CONTROL_BYTES];
    control[..8].copy_from_slice(&CONTROL_LEN.to_ne_bytes());
    control[8..12].copy_from_slice(&SOL_UDP.to_ne_bytes());
    control[12..16].copy_from_slice(&UDP_SEGMENT.to_ne_bytes());
    control[16..18].copy_from_slice(&u16::try_from(len).unwrap_or(u16::MAX).to_ne_bytes());
    control
}

const _: () = assert!(size_of::<usize>() == 8, "a control message's header begins with 64 bits");

impl Io for Bursts {
    fn turn(&mut self, wait_ns: u64) -> io::Result<()> {
        self.flush();
        let wait_ns = if self.blocked { wait_ns.min(BLOCKED_WAIT_NS) } else { wait_ns };
        let wait_ns = if self.batch >= FULL_BATCH {
            0
        } else if wait_ns <= self.grain_ns {
            std::thread::sleep(Duration::from_nanos(wait_ns));
            0
        } else {
            wait_ns
        };
        self.inner.turn(wait_ns)?;
        self.batch = self.inner.parts().0.len();
        Ok(())
    }

    fn parts(&mut self) -> (&mut Inbox, &mut Outbox) {
        (self.inner.parts().0, &mut self.outbox)
    }
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use imstorm_base::SocketId;
    use imstorm_uring::backend::{self, Sizes};
    use imstorm_uring::{Backend, SocketSpec, udp};

    use super::*;

    fn bursts() -> Bursts {
        let spec = SocketSpec {
            id: SocketId(0),
            bind: SocketAddr::from(([127, 0, 0, 1], 0)),
            reuse_port: false,
            receive_buffer_bytes: 0,
            packet_info: false,
        };
        let sockets = udp::open(&[spec]).unwrap();
        let inner = backend::open(Backend::Mmsg, sockets, &Sizes::default()).unwrap();
        Bursts::new(inner, 0).unwrap()
    }

    /// Sends `texts`, and gives what arrives at a socket, in order.
    fn through(bursts: &mut Bursts, texts: &[Vec<u8>]) -> Vec<Vec<u8>> {
        let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
        peer.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        for text in texts {
            let sent =
                bursts.parts().1.send(SocketId(0), None, peer.local_addr().unwrap(), |slot| {
                    slot[..text.len()].copy_from_slice(text);
                    Some(0..text.len())
                });
            assert_eq!(sent, Ok(text.len()));
        }
        bursts.turn(0).unwrap();
        let mut datagram = [0; 4_096];
        let got = texts.iter().map(|_| {
            let len = peer.recv(&mut datagram).unwrap();
            datagram[..len].to_vec()
        });
        got.collect()
    }

    #[test]
    fn each_message_is_a_datagram_and_an_ack_goes_first() {
        let text = |start: &str, len: usize, number: usize| {
            format!("{start} {number:03}{}", "x".repeat(len)).into_bytes()
        };
        let mut texts = Vec::new();
        for number in 0..20 {
            texts.push(text("BYE", 300 + number % 2, number));
            texts.push(text("ACK", 301 - number % 2, number));
            texts.push(text("INVITE", 900, number));
        }
        for segments in [true, false] {
            let mut bursts = bursts();
            bursts.segments = segments;
            let got = through(&mut bursts, &texts);
            let mut sorted = (texts.clone(), got.clone());
            sorted.0.sort();
            sorted.1.sort();
            assert_eq!(sorted.0, sorted.1);
            let first = |start: &[u8]| got.iter().position(|it| it.starts_with(start)).unwrap();
            let last = got.iter().rposition(|it| it.starts_with(b"ACK")).unwrap();
            assert!(last < first(b"INVITE") && last < first(b"BYE"));
            assert!(bursts.outbox.free_slots() == SLOTS && bursts.waiting.is_empty());
        }
    }
}
