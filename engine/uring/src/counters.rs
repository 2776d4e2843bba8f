//! What a back end counts.

/// Since the back end was opened. What a peer or the network did wrong shows here, never as an
/// error of `turn`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counters {
    /// Datagrams given to the inbox.
    pub received: u64,
    /// Datagrams that the kernel took.
    pub sent: u64,
    /// ECONNREFUSED on a send or receive: the answer to an earlier datagram, which the kernel
    /// reports on the next call; that call is repeated, so nothing is lost.
    pub refused: u64,
    /// EAGAIN, ENOBUFS or ENOMEM on a send: it is tried again in the next turn.
    pub send_blocked: u64,
    /// EHOSTUNREACH, ENETUNREACH or EHOSTDOWN: dropped.
    pub send_unreachable: u64,
    /// EMSGSIZE: longer than UDP or the path allows; dropped.
    pub send_too_long: u64,
    /// EPERM or EACCES: a firewall or a broadcast address; dropped.
    pub send_forbidden: u64,
    /// EINVAL, EADDRNOTAVAIL and all others: a source that this machine doesn't have, mostly;
    /// dropped.
    pub send_other: u64,
    /// Errors of receives other than the above.
    pub receive_other: u64,
    /// io_uring: a multishot receive ran out of provided buffers.
    pub buffers_exhausted: u64,
    /// io_uring: multishot receives that were armed again, for that reason or another.
    pub rearmed: u64,
    /// Turns that another thread woke or kept from waiting.
    pub woken: u64,
    /// Turns.
    pub turns: u64,
    /// System calls for all of it.
    pub system_calls: u64,
}

/// What to do about a datagram that was not sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum SendFailure {
    /// The same call again: the error was about another datagram.
    Repeat,
    /// In the next turn.
    Later,
    /// Lost.
    Drop,
}

impl Counters {
    /// Counts a failed send by its errno.
    pub(crate) fn send_failed(&mut self, errno: i32) -> SendFailure {
        match errno {
            libc::EINTR => return SendFailure::Repeat,
            libc::ECONNREFUSED => {
                self.refused += 1;
                return SendFailure::Repeat;
            }
            libc::EAGAIN | libc::ENOBUFS | libc::ENOMEM => {
                self.send_blocked += 1;
                return SendFailure::Later;
            }
            libc::EHOSTUNREACH | libc::ENETUNREACH | libc::EHOSTDOWN => self.send_unreachable += 1,
            libc::EMSGSIZE => self.send_too_long += 1,
            libc::EPERM | libc::EACCES => self.send_forbidden += 1,
            _ => self.send_other += 1,
        }
        SendFailure::Drop
    }
}
