//! Which queued datagrams leave as one: those of equal length to one peer are segments of one send, which the kernel takes apart
//! (`UDP_SEGMENT`, Linux 4.18). UDP keeps no order anyway; within a run it is kept.

use imstorm_base::Queued;

/// Segments at most: UDP_MAX_SEGMENTS of kernels before 6.9.
const SEGMENTS_MAX: u32 = 64;
/// Their bytes at most: what a UDP datagram over IPv6 without jumbograms carries, and less than over IPv4.
const BYTES_MAX: usize = 65_000;
/// How many runs are looked at. Peers with which a shard has much to do come again soon, and a look must cost nothing where each
/// datagram has a peer of its own.
const OPEN_MAX: usize = 4;

/// The runs that a datagram may still join, the one that was begun last in `next - 1`.
#[derive(Debug, Default)]
pub(crate) struct Runs {
    open: [Option<Run>; OPEN_MAX],
    next: usize,
}

#[derive(Clone, Copy, Debug)]
struct Run {
    first: Queued,
    last: u32,
    count: u32,
}

impl Runs {
    /// Forgets all: what comes now joins none that was begun before.
    pub(crate) fn clear(&mut self) {
        *self = Runs::default();
    }

    /// The slot behind which a datagram goes in a run; `None` where it begins one.
    pub(crate) fn join(&mut self, queued: &Queued) -> Option<u32> {
        let len = queued.range().len();
        let fits = |run: &&mut Run| {
            run.first.range().len() == len
                && run.first.peer == queued.peer
                && run.first.socket == queued.socket
                && run.first.source == queued.source
                && run.count < SEGMENTS_MAX
                && (run.count as usize + 1) * len <= BYTES_MAX
        };
        if let Some(run) = self.open.iter_mut().flatten().find(fits) {
            run.count += 1;
            return Some(std::mem::replace(&mut run.last, queued.slot));
        }
        self.open[self.next] = Some(Run { first: *queued, last: queued.slot, count: 1 });
        self.next = (self.next + 1) % OPEN_MAX;
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use imstorm_base::{Outbox, SocketId};
    use std::net::{IpAddr, SocketAddr};

    fn runs_of(datagrams: &[(u8, Option<&str>, &str, usize)]) -> Vec<Option<u32>> {
        let (mut outbox, mut runs) = (Outbox::new(256, 65_535), Runs::default());
        for &(socket, source, peer, len) in datagrams {
            let source = source.map(|text| text.parse::<IpAddr>().unwrap());
            let peer: SocketAddr = peer.parse().unwrap();
            outbox.send(SocketId(socket), source, peer, |_| Some(0..len)).unwrap();
        }
        std::iter::from_fn(|| outbox.take().map(|queued| runs.join(&queued))).collect()
    }

    const A: &str = "127.0.0.1:5060";

    #[test]
    fn those_of_one_length_to_one_peer_are_a_run() {
        assert_eq!(runs_of(&[(0, None, A, 9); 4]), [None, Some(0), Some(1), Some(2)]);
        let two = [(0, None, A, 9), (0, None, A, 8)].repeat(3);
        assert_eq!(runs_of(&two), [None, None, Some(0), Some(1), Some(2), Some(3)]);
    }

    #[test]
    fn what_differs_is_another_run() {
        let source = Some("127.0.0.2");
        let different =
            [(0, None, A, 9), (1, None, A, 9), (0, source, A, 9), (0, None, "127.0.0.1:5061", 9)];
        assert_eq!(runs_of(&different), [None; 4]);
        assert_eq!(runs_of(&different.repeat(2))[4..], [Some(0), Some(1), Some(2), Some(3)]);
        // A fifth peer takes the place of the first.
        let five = [different.as_slice(), &[(0, None, A, 7), (0, None, A, 9)]].concat();
        assert_eq!(runs_of(&five)[4..], [None, None]);
    }

    #[test]
    fn a_run_is_no_longer_than_the_kernel_takes() {
        let begun = |datagrams: &[_]| runs_of(datagrams).iter().filter(|it| it.is_none()).count();
        assert_eq!(begun(&[(0, None, A, 9); 64]), 1);
        assert_eq!(begun(&[(0, None, A, 9); 65]), 2);
        assert_eq!(begun(&[(0, None, A, 32_500); 2]), 1);
        assert_eq!(begun(&[(0, None, A, 32_501); 2]), 2);
        assert_eq!(begun(&[(0, None, A, 65_507); 2]), 2);
    }
}
