//! What UEs take in memory. For each UE that is secured, registered and at rest, in bytes:
//!
//! | what                                                                                | bytes |
//! |-------------------------------------------------------------------------------------|-------|
//! | its record ([`Ue`])                                                                 |   156 |
//! | its set of security associations ([`UeSet`](super::UeSet) and its place)            |   144 |
//! | what its USIM keeps ([`Usims`](imstorm_aka::Usims))                                 |    16 |
//! | for each of its accesses and each procedure of the profile, how many are left       |     2 |
//! | what the network has said of its dialog and of its route, packed                    |    48 |
//! | for each timer that is armed (a refresh, the end, half of its registration): itself |    24 |
//! | a subscription to the registration state, if it has one, and what was said of that  |    80 |
//!
//! What it has only while it is about something is there as often as UEs were about something at one time: a request 52 and its text,
//! what it is measured by 60. A user's further access has a record once something was done over it. Identities, Call-IDs, tags, branches,
//! Contacts, SPIs, ports and addresses follow from the UE's number and its counters; Security-Server is kept once for all.

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
