//! What links have done.

use serde::{Deserialize, Serialize};

/// Datagrams to which something happened on the links between UEs and P-CSCFs, both ways together.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LinkCounts {
    /// Lost, as the profile wants it.
    pub lost: u64,
    /// Set out twice, as the profile wants it.
    pub doubled: u64,
    /// Lost because too many were on their way: the generator was the limit.
    pub no_room: u64,
}

impl LinkCounts {
    /// Both.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            lost: self.lost + other.lost,
            doubled: self.doubled + other.doubled,
            no_room: self.no_room + other.no_room,
        }
    }
}
