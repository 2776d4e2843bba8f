//! Plain UEs that begin what a load offers.

use imstorm_base::random::Random;
use imstorm_base::time::Time;

use super::{Around, Plain};
use crate::generator::LATE_NS;
use crate::health::Distribution;
use crate::measure::{Measurements, Procedure};
use crate::traffic::{Starter, pick};

/// Plain UEs, as whoever offers a load sees them.
pub(crate) struct PlainStarter<'a, 'b> {
    pub plain: &'a mut Plain,
    pub around: &'a mut Around<'b>,
    pub random: &'a mut Random,
    pub lateness: &'a mut Distribution,
    pub late_ns_max: &'a mut u64,
    /// How many UEs were brought up, or are about to be.
    pub brought_up: u32,
    /// The next one of the others.
    pub fresh: &'a mut u32,
    pub all_started: bool,
}

impl Starter for PlainStarter<'_, '_> {
    fn all_started(&self) -> bool {
        self.all_started
    }

    fn is_quiet(&self) -> bool {
        self.all_started && self.plain.counts.under_way == 0
    }

    fn strays(&self) -> u64 {
        self.plain.counts.ignored
    }

    fn start(&mut self, procedure: Procedure, intended: Time) -> bool {
        let is_set_up = procedure == Procedure::Registration;
        if is_set_up && *self.fresh < self.around.population.size() {
            self.plain.begin(self.around, *self.fresh, intended);
            *self.fresh += 1;
            return true;
        }
        let picked = match is_set_up {
            true => None,
            false => pick(
                self.brought_up,
                || self.random.next_u32(),
                |ue| self.plain.can_begin(ue, procedure),
            ),
        };
        if let Some(ue) = picked {
            self.plain.begin_procedure(self.around, ue, procedure, intended);
        }
        picked.is_some()
    }

    fn note_lateness(&mut self, late_ns: u64) {
        *self.late_ns_max = late_ns.max(*self.late_ns_max);
        self.lateness.record_ns(late_ns);
        if late_ns > LATE_NS {
            self.around.measurements.late_start();
        }
    }

    fn measurements(&mut self) -> &mut Measurements {
        self.around.measurements
    }
}
