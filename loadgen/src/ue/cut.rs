//! What is still going on, or waits to begin, when a run ends: nobody waits for it any more, and its age is all that is known of it.

use imstorm_base::time::Time;

use crate::generator::Generator;
use crate::measure::{Procedure, Start};

impl Generator {
    /// The run is over: what is under way enters the measurements at its age, and so does what waits for its turn. How many of either there
    /// were.
    pub fn cut(&mut self, now: Time) -> Cut {
        let mut cut = Cut::default();
        let mut under_way: Vec<(Procedure, Start)> = Vec::new();
        for ue in 0..self.ues.len() {
            let start = self.progress_of(ue as u32).map(|progress| progress.start);
            under_way.extend(self.ues[ue].procedure.zip(start));
        }
        under_way.extend(self.legs.iter().filter_map(|(_, leg)| leg.procedure));
        if let Some(plain) = &self.plain {
            under_way.extend(plain.under_way());
        }
        for (procedure, start) in under_way {
            self.measurements.cut(procedure, start, now);
            cut.under_way += 1;
        }
        for ((_, procedure), intended) in std::mem::take(&mut self.due_since) {
            self.measurements.skipped_start(procedure, intended, now);
            cut.waiting += 1;
        }
        for (procedure, intended) in self.take_waiting() {
            self.measurements.skipped_start(procedure, intended, now);
            cut.waiting += 1;
        }
        cut
    }
}

/// What was cut off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Cut {
    /// Procedures that had begun.
    pub under_way: u64,
    /// Procedures that were due and had not begun.
    pub waiting: u64,
}
