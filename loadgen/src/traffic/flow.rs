//! One procedure of the mix: when it is wanted, and what waits for a UE that is free.

use std::collections::VecDeque;
use std::sync::Arc;

use imstorm_base::time::Time;

use crate::measure::Procedure;
use crate::schedule::Schedule;

/// The most starts of a procedure that may wait for a UE: where more would, nothing more is offered.
const WAITING_MAX: usize = 1 << 20;

/// A procedure of the mix.
#[derive(Debug)]
pub(super) struct Flow {
    pub procedure: Procedure,
    /// At a load of 1, of this generator's part, in starts a second.
    pub rate_per_s: f64,
    pub delay_limit_ns: Option<u64>,
    /// Recorded starts, where there are any.
    pub recorded: Option<Arc<[Time]>>,
    /// The starts of the present step, counted from its beginning.
    pub schedule: Option<Schedule>,
    /// The intended starts that wait for a UE, in order.
    pub waiting: VecDeque<Time>,
    /// How many procedures had ended when no UE was found that is free: until more have, none is looked for.
    pub blocked_at: Option<u64>,
}

impl Flow {
    /// The next start that is due, with its intended time, of a step that began then.
    pub fn due(&mut self, began_at: Time, now: Time) -> Option<Time> {
        let (_, at) = self.schedule.as_mut()?.due(now.saturating_sub(began_at))?;
        Some(began_at + at)
    }

    /// When the next one is due.
    pub fn next_at(&self, began_at: Time) -> Option<Time> {
        Some(began_at + self.schedule.as_ref()?.next_at()?)
    }

    /// Has a start wait; false where too many do.
    pub fn wait(&mut self, intended: Time) -> bool {
        let has_room = self.waiting.len() < WAITING_MAX;
        if has_room {
            self.waiting.push_back(intended);
        }
        has_room
    }
}
