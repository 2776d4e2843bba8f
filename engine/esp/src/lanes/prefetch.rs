//! Asking for memory before it is needed.

const CACHE_LINE: usize = 64;

/// Has the cache lines of `value` fetched, without waiting for them and without reading them: for tables of millions, where the
/// next packets' associations are in no cache.
#[inline]
pub fn prefetch<T>(value: &T) {
    let start = core::ptr::from_ref(value).cast::<i8>();
    let mut at = 0;
    while at < size_of::<T>() {
        fetch(start.wrapping_add(at));
        at += CACHE_LINE;
    }
}

#[cfg(target_arch = "x86_64")]
#[inline]
fn fetch(at: *const i8) {
    use core::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
    // SAFETY: every x86-64 processor has the instruction, and no address makes it fail.
    unsafe { _mm_prefetch::<_MM_HINT_T0>(at) };
}

#[cfg(not(target_arch = "x86_64"))]
#[inline]
fn fetch(_: *const i8) {}
