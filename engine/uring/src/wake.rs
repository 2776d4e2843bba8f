//! Waking a shard that waits for datagrams.

use rustix::event::{EventfdFlags, eventfd};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering, fence};

const AWAKE: u32 = 0;
const SLEEPING: u32 = 1;
const NOTIFIED: u32 = 2;

/// Wakes one back end out of its `turn`, from any thread. Costs a load while the shard has been told
/// already, a swap once a turn otherwise, and a system call only if it sleeps.
///
/// The promise: who makes work visible (in a queue) and then calls `wake` can rely on the shard
/// looking at the queue after its present or next `turn`, which does not wait before that.
///
/// Why that holds: the sender writes the queue, fences, reads the state; the shard resets the state,
/// fences, reads the queue. Of two such fences one comes first, so either the shard sees what is in the
/// queue, or the sender sees the reset (or a later notification, whose reset is still to come) and swaps;
/// and a swap is seen by the shard's next attempt to sleep, since that is a read-modify-write too.
#[derive(Clone, Debug)]
pub struct Waker {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    state: AtomicU32,
    event: OwnedFd,
}

impl Waker {
    /// A waker for a back end.
    pub(crate) fn new() -> io::Result<Waker> {
        let event = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Waker { shared: Arc::new(Shared { state: AtomicU32::new(AWAKE), event }) })
    }

    /// Makes the present or next `turn` end without (further) waiting.
    pub fn wake(&self) {
        // Pairs with the fence in `take`: either we see that the shard has not taken the last
        // notification, and then it has yet to look at the queue, or it sees ours.
        fence(Ordering::SeqCst);
        if self.shared.state.load(Ordering::Relaxed) == NOTIFIED {
            return;
        }
        if self.shared.state.swap(NOTIFIED, Ordering::SeqCst) == SLEEPING {
            // Fails only if the counter is at its limit, and then the shard is awake for sure.
            let _ = rustix::io::write(&self.shared.event, &1u64.to_ne_bytes());
        }
    }

    /// For the back end: announces a wait. False if it must not wait, since it was notified.
    pub(crate) fn sleep(&self) -> bool {
        let state = &self.shared.state;
        state.compare_exchange(AWAKE, SLEEPING, Ordering::SeqCst, Ordering::SeqCst).is_ok()
    }

    /// For the back end: takes the notification, if there is one, before the queues are looked at.
    pub(crate) fn take(&self) -> bool {
        if self.shared.state.load(Ordering::Relaxed) == AWAKE {
            return false;
        }
        let was_notified = self.shared.state.swap(AWAKE, Ordering::SeqCst) == NOTIFIED;
        fence(Ordering::SeqCst);
        was_notified
    }

    /// For the back end: empties the eventfd after it became readable.
    pub(crate) fn drain(&self) {
        let mut count = [0u8; 8];
        // EAGAIN if it was empty, which is as good.
        let _ = rustix::io::read(&self.shared.event, &mut count);
    }

    pub(crate) fn raw_fd(&self) -> RawFd {
        self.shared.event.as_raw_fd()
    }
}

impl AsFd for Waker {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.shared.event.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_notification_forbids_the_next_wait_once() {
        let waker = Waker::new().unwrap();
        waker.wake();
        waker.wake();
        assert!(!waker.sleep());
        assert!(waker.take());
        assert!(!waker.take());
        assert!(waker.sleep());
        waker.wake();
        let mut count = [0u8; 8];
        rustix::io::read(&waker, &mut count).unwrap();
        assert_eq!(u64::from_ne_bytes(count), 1);
        assert!(waker.take());
    }
}
