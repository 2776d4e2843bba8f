//! What UEs take in memory.

use imstorm_base::slab::Slab;

use super::{Ue, UeTimer};
use crate::generator::Generator;

/// What a timer takes beside what it is about: its deadline and the next timer's place.
const TIMER_BYTES: usize = 12;

/// Bytes of a slab's places that were ever used.
fn used_bytes<T>(slab: &Slab<T>) -> usize {
    slab.places() * (slab.reserved_bytes() / slab.capacity().max(1))
}

impl Generator {
    /// Bytes that UEs have come to take, by what they are for. What a table takes it keeps.
    #[must_use]
    pub fn bytes_of_ues(&self) -> Vec<(&'static str, usize)> {
        vec![
            ("records", self.ues.records() * size_of::<Ue>()),
            ("procedures left", self.left.bytes()),
            ("USIMs", self.usims.bytes()),
            ("security associations", used_bytes(&self.sets)),
            ("dialogs about registrations", used_bytes(&self.watches)),
            (
                "requests and procedures under way",
                used_bytes(&self.requests) + used_bytes(&self.progress),
            ),
            ("strings", self.strings.held_bytes()),
            ("timers", self.timers.len() * (TIMER_BYTES + size_of::<UeTimer>())),
        ]
    }
}
