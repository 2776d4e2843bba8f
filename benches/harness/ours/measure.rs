//! CPU time of something done over and over.

use imstorm_uring::process::process_cpu_ns;

use crate::allocations;

/// Repetitions between two looks at the clock.
const CHUNK: u64 = 1_000;
/// Repetitions before the clock starts: caches and branch predictors are then as they stay.
const WARM_UP: u64 = 10 * CHUNK;

/// Reads a length of time: more than 0, at most 60 s.
pub fn seconds(text: &str) -> Result<f64, String> {
    text.parse()
        .ok()
        .filter(|seconds| (0.0..=60.0).contains(seconds) && *seconds > 0.0)
        .ok_or_else(|| format!("seconds: expected more than 0 and at most 60, got {text}"))
}

/// Does `each`, which is `things` things at once, for so many seconds of CPU time; what one thing took, as JSON.
pub fn repeat(seconds: f64, things: u64, mut each: impl FnMut()) -> String {
    for _ in 0..WARM_UP / things {
        each();
    }
    let (allocated, start) = (allocations::so_far(), process_cpu_ns());
    let (mut count, mut spent) = (0, 0);
    while (spent as f64) < seconds * 1e9 {
        for _ in 0..CHUNK / things {
            each();
        }
        count += CHUNK / things * things;
        spent = process_cpu_ns() - start;
    }
    let allocations = allocations::so_far() - allocated;
    let ns = spent as f64 / count as f64;
    format!("{{\"count\":{count},\"ns\":{ns:.3},\"allocations\":{allocations}}}")
}
