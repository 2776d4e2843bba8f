//! A ladder of what one UE and its P-CSCF said to each other.

use super::CaptureFile;

/// The ladder.
#[must_use]
pub fn ladder(_capture: &CaptureFile) -> String {
    String::new()
}
