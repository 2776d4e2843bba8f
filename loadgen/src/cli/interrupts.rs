//! Ctrl-C.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::{Failure, fail};
use crate::live;

/// Counts Ctrl-C; the third one ends the program without a report.
pub(super) fn interrupts() -> Result<Arc<AtomicUsize>, Failure> {
    let count = Arc::new(AtomicUsize::new(0));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        let counted = Arc::clone(&count);
        watch_signal(signal, move || {
            if counted.fetch_add(1, Ordering::AcqRel) >= 2 {
                live::leave();
                signal_hook::low_level::exit(130);
            }
        })?;
    }
    Ok(count)
}

/// Calls `then` on a thread of its own each time a signal comes.
fn watch_signal(signal: std::ffi::c_int, then: impl Fn() + Send + 'static) -> Result<(), Failure> {
    let mut signals =
        signal_hook::iterator::Signals::new([signal]).or_else(|error| fail(5, error))?;
    std::thread::Builder::new()
        .name("signals".to_owned())
        .spawn(move || signals.forever().for_each(|_| then()))
        .map(|_| ())
        .or_else(|error| fail(5, error))
}
