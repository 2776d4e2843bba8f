//! What a profile's values have to be, beyond their types.

use super::Profile;

/// A value that can't be used.
pub(super) struct Fault {
    /// The dotted key.
    pub field: String,
    /// What was expected, and what is there.
    pub message: String,
}

/// Checks every value.
pub(super) fn validate(_profile: &Profile) -> Result<(), Fault> {
    Ok(())
}
