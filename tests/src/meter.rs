//! What the engine's ticks take of something that a test counts, as allocations.

use std::cell::Cell;

thread_local! {
    static READ: Cell<fn() -> u64> = const { Cell::new(nothing) };
    static TAKEN: Cell<u64> = const { Cell::new(0) };
    static TICKS: Cell<u64> = const { Cell::new(0) };
}

fn nothing() -> u64 {
    0
}

/// Ticks on this thread are measured by this count from now on.
pub fn install(read: fn() -> u64) {
    READ.set(read);
}

/// What ticks on this thread have taken.
#[must_use]
pub fn taken() -> u64 {
    TAKEN.get()
}

/// How many ticks on this thread were measured.
#[must_use]
pub fn ticks() -> u64 {
    TICKS.get()
}

/// Measures a tick.
pub fn around<T>(tick: impl FnOnce() -> T) -> T {
    TICKS.set(TICKS.get() + 1);
    let before = READ.get()();
    let done = tick();
    TAKEN.set(TAKEN.get() + READ.get()() - before);
    done
}
