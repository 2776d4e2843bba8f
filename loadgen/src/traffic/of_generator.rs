//! The generator's part in a load: which UEs there are for it, and what came of it.

use imstorm_base::time::Time;

use super::{CapacityResult, Search};
use crate::generator::Generator;
use crate::measure::Procedure;

impl Generator {
    /// Looks for the highest load that is handled adequately, instead of offering the profile's steps.
    pub fn seek_capacity(&mut self, search: Search) {
        if let Some(traffic) = &mut self.traffic {
            traffic.seek_capacity(search);
        }
    }

    /// What the search for the capacity has found, where there was one.
    #[must_use]
    pub fn capacity(&self) -> Option<CapacityResult> {
        self.traffic.as_ref()?.capacity()
    }

    /// Whether more starts of the load had to wait for a UE than may, so that nothing more was offered.
    #[must_use]
    pub fn is_choked(&self) -> bool {
        self.traffic.as_ref().is_some_and(|traffic| traffic.is_choked())
    }

    /// Whether a load that there was is over. While the load itself acts it is not.
    pub(crate) fn is_offered_no_more(&self) -> bool {
        self.traffic.as_ref().is_some_and(|traffic| traffic.is_over())
    }

    /// Starts of the load that are due and wait for a UE that is free.
    pub(crate) fn waiting(&self) -> u64 {
        self.traffic.as_ref().map_or(0, |traffic| traffic.waiting())
    }

    /// Whether all UEs that are to be brought up have begun.
    pub(crate) fn all_started(&self) -> bool {
        self.stopped || self.schedule.remaining() == 0
    }

    /// How many UEs the arrivals bring up.
    pub(crate) fn brought_up(&self) -> u32 {
        self.brought_up
    }

    /// The next UE that has not begun and is none of these.
    pub(crate) fn next_fresh(&mut self) -> Option<u32> {
        let ue = self.fresh;
        (ue < self.population.size()).then(|| {
            self.fresh += 1;
            ue
        })
    }

    /// What waits for a UE that is free, given up.
    pub(crate) fn take_waiting(&mut self) -> Vec<(Procedure, Time)> {
        self.traffic.as_mut().map(|traffic| traffic.take_waiting()).unwrap_or_default()
    }
}
