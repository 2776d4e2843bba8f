//! Waking a shard that waits for datagrams.

use rustix::event::{EventfdFlags, eventfd};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::Arc;

#[cfg(loom)]
use loom::sync::atomic::{AtomicU32, Ordering, fence};
#[cfg(not(loom))]
use std::sync::atomic::{AtomicU32, Ordering, fence};

/// Wakes one back end out of its `turn`, from any thread. Costs a load while the shard has been
/// told already, a swap once a turn otherwise, and a system call only if it sleeps.
///
/// The promise: who makes work visible (in a queue) and then calls `wake` can rely on the shard
/// looking at the queue after its present or next `turn`, which does not wait before that.
///
/// Why that holds: the sender writes the queue, fences, reads the state; the shard resets the
/// state, fences, reads the queue. Of two such fences one comes first, so either the shard sees
/// what is in the queue, or the sender sees the reset (or a later notification, whose reset is
/// still to come) and swaps; and a swap is seen by the shard's next attempt to sleep, since that is
/// a read-modify-write too.
#[derive(Clone, Debug)]
pub struct Waker {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    state: State,
    event: OwnedFd,
}

impl Waker {
    /// A waker for a back end.
    pub(crate) fn new() -> io::Result<Waker> {
        let event = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Waker { shared: Arc::new(Shared { state: State::new(), event }) })
    }

    /// Makes the present or next `turn` end without (further) waiting.
    pub fn wake(&self) {
        if self.shared.state.notify() {
            // Fails only if the counter is at its limit, and then the shard is awake for sure.
            let _ = rustix::io::write(&self.shared.event, &1u64.to_ne_bytes());
        }
    }

    /// For the back end: announces a wait. False if it must not wait, since it was notified.
    pub(crate) fn sleep(&self) -> bool {
        self.shared.state.sleep()
    }

    /// For the back end: takes the notification, if there is one, before the queues are looked at.
    pub(crate) fn take(&self) -> bool {
        self.shared.state.take()
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

const AWAKE: u32 = 0;
const SLEEPING: u32 = 1;
const NOTIFIED: u32 = 2;

/// Whether the shard sleeps, and whether somebody wants it.
#[derive(Debug)]
struct State(AtomicU32);

impl State {
    fn new() -> State {
        State(AtomicU32::new(AWAKE))
    }

    /// Notifies; true if the shard sleeps, so that the event must be raised.
    fn notify(&self) -> bool {
        // Pairs with the fence in `take`: see the promise.
        fence(Ordering::SeqCst);
        self.0.load(Ordering::Relaxed) != NOTIFIED
            && self.0.swap(NOTIFIED, Ordering::SeqCst) == SLEEPING
    }

    fn sleep(&self) -> bool {
        let (success, failure) = (Ordering::SeqCst, Ordering::SeqCst);
        self.0.compare_exchange(AWAKE, SLEEPING, success, failure).is_ok()
    }

    fn take(&self) -> bool {
        if self.0.load(Ordering::Relaxed) == AWAKE {
            return false;
        }
        let was_notified = self.0.swap(AWAKE, Ordering::SeqCst) == NOTIFIED;
        fence(Ordering::SeqCst);
        was_notified
    }
}

#[cfg(all(test, loom))]
mod loom_tests {
    use super::*;
    use loom::sync::atomic::AtomicUsize;
    use loom::sync::{Condvar, Mutex};
    use loom::thread;

    /// A sender makes two pieces of work visible and wakes after each; a shard sleeps whenever it
    /// sees nothing new. A wake-up that is lost is a shard that sleeps for ever, which loom
    /// reports.
    #[test]
    fn no_wake_up_is_lost() {
        loom::model(|| {
            let shared =
                Arc::new((State::new(), AtomicUsize::new(0), Mutex::new(false), Condvar::new()));
            let theirs = Arc::clone(&shared);
            let sender = thread::spawn(move || {
                let (state, queue, raised, event) = &*theirs;
                for work in 1..=2 {
                    queue.store(work, Ordering::Release);
                    if state.notify() {
                        *raised.lock().unwrap() = true;
                        event.notify_one();
                    }
                }
            });
            let (state, queue, raised, event) = &*shared;
            while queue.load(Ordering::Acquire) < 2 {
                if state.sleep() {
                    let mut raised = raised.lock().unwrap();
                    while !*raised {
                        raised = event.wait(raised).unwrap();
                    }
                    *raised = false;
                }
                state.take();
            }
            sender.join().unwrap();
        });
    }
}

#[cfg(all(test, not(loom)))]
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
