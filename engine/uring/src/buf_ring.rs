//! A ring of provided buffers: where the kernel finds a place for each datagram that arrives.

use io_uring::types::BufRingEntry;
use io_uring::{Submitter, types};
use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::io;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU16, Ordering};

/// Entries that are shared with the kernel. Who provides a buffer vouches for its memory.
#[derive(Debug)]
pub(crate) struct BufRing {
    entries: NonNull<BufRingEntry>,
    /// Power of two.
    count: u16,
    tail: u16,
    layout: Layout,
    is_leaked: bool,
}

const PAGE_BYTES: usize = 4096;
const _: () = assert!(size_of::<types::BufRingEntry>() == 16);

/// The most buffers a ring can have.
pub(crate) const BUFFERS_MAX: usize = 1 << 15;

impl BufRing {
    /// An empty ring for `buffers` buffers (1 to 32,768, asserted), registered as `group`.
    pub(crate) fn register(
        submitter: &Submitter<'_>,
        buffers: usize,
        group: u16,
    ) -> io::Result<BufRing> {
        assert!((1..=BUFFERS_MAX).contains(&buffers), "{buffers} buffers in a ring");
        let count = buffers.next_power_of_two();
        let layout = Layout::from_size_align(count * size_of::<BufRingEntry>(), PAGE_BYTES)
            .map_err(|_| io::ErrorKind::InvalidInput)?;
        // SAFETY: the layout is not empty, since count is at least 1.
        let memory = unsafe { alloc_zeroed(layout) };
        let Some(entries) = NonNull::new(memory.cast::<BufRingEntry>()) else {
            handle_alloc_error(layout)
        };
        let ring = BufRing { entries, count: count as u16, tail: 0, layout, is_leaked: false };
        let address = entries.as_ptr() as u64;
        // SAFETY: the memory is `count` zeroed entries on a page boundary. It is freed in `drop`,
        // which the owner lets happen only after the io_uring is closed or the group unregistered.
        unsafe { submitter.register_buf_ring_with_flags(address, ring.count, group, 0)? };
        Ok(ring)
    }

    /// Provides a buffer; the kernel sees it after `publish`.
    ///
    /// # Safety
    ///
    /// `address` must be `len` bytes that nobody else uses until the kernel gives `id` back in a
    /// completion, and that stay allocated until the io_uring is done with the group. There must be
    /// fewer buffers provided than the ring has entries.
    pub(crate) unsafe fn provide(&mut self, address: *mut u8, len: u32, id: u16) {
        let at = self.tail & (self.count - 1);
        // SAFETY: `at` is below `count`, the number of entries allocated. The kernel reads entries
        // only below the published tail, and this one is at or beyond it.
        let entry = unsafe { &mut *self.entries.as_ptr().add(usize::from(at)) };
        entry.set_addr(address as u64);
        entry.set_len(len);
        entry.set_bid(id);
        self.tail = self.tail.wrapping_add(1);
    }

    /// Shows the kernel the buffers provided so far.
    pub(crate) fn publish(&mut self) {
        // SAFETY: the tail lies in the first entry's reserved field, which is allocated, aligned
        // for u16 and written by us alone; the kernel reads it concurrently, hence the atomic.
        // Release makes the entries visible before it.
        let tail =
            unsafe { AtomicU16::from_ptr(BufRingEntry::tail(self.entries.as_ptr()).cast_mut()) };
        tail.store(self.tail, Ordering::Release);
    }
}

impl BufRing {
    /// Keeps the entries allocated for ever: for a kernel that may still look at them.
    pub(crate) fn leak(&mut self) {
        self.is_leaked = true;
    }
}

impl Drop for BufRing {
    fn drop(&mut self) {
        if self.is_leaked {
            return;
        }
        // SAFETY: allocated in `register` with this layout, and freed only here.
        unsafe { dealloc(self.entries.as_ptr().cast(), self.layout) };
    }
}
