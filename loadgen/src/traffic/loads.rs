//! Which step of a load is next: those of the profile one behind the other, or those of a search.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::search::{Search, SearchLimit, Tried};
use crate::profile::{LoadStep, Traffic};

/// The steps that are to come.
#[derive(Debug)]
pub enum Loads {
    /// The profile's.
    List(VecDeque<LoadStep>),
    /// As the search wants them.
    Search {
        /// The search.
        search: Search,
        /// What has ended it.
        limit: Option<SearchLimit>,
    },
}

/// What a search for the capacity has found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CapacityResult {
    /// The highest load that was handled adequately, times the mix; nothing if none was.
    pub load: Option<f64>,
    /// The design objective capacity: the same in starts a second, all procedures of the mix together.
    pub capacity_per_s: Option<f64>,
    /// What ended the search.
    pub limit: SearchLimit,
    /// The part of all that may be handled inadequately.
    pub inadequate_share_max: f64,
    /// How sure each step had to be.
    pub confidence: f64,
    /// The steps, in order.
    pub steps: Vec<Tried>,
}

impl CapacityResult {
    /// With a number wherever there may be one.
    pub(crate) const NONE_YET: Self = Self {
        load: Some(0.0),
        capacity_per_s: Some(0.0),
        limit: SearchLimit::Interrupted,
        inadequate_share_max: 0.0,
        confidence: 0.0,
        steps: Vec::new(),
    };
}

impl Loads {
    /// Those of a profile. A trace is one step, as long as it is.
    pub(super) fn of(traffic: &Traffic) -> Self {
        let last = traffic.recorded.values().filter_map(|starts| starts.last()).max();
        let recorded = last.map(|last| LoadStep {
            load: 1.0,
            load_to: None,
            // The last start is at its end.
            for_s: *last as f64 / 1e9 + 1e-3,
            transient_s: 0.0,
        });
        Self::List(traffic.steps.iter().copied().chain(recorded).collect())
    }

    /// Whether a search says what is next.
    pub(super) const fn is_search(&self) -> bool {
        matches!(self, Self::Search { .. })
    }

    pub(super) fn next(&mut self) -> Option<LoadStep> {
        match self {
            Self::List(steps) => steps.pop_front(),
            Self::Search { search, limit } => match search.next() {
                Ok(load) => {
                    let plan = search.plan();
                    Some(LoadStep {
                        load,
                        load_to: None,
                        for_s: plan.transient_s + plan.step_s,
                        transient_s: plan.transient_s,
                    })
                }
                Err(ended_by) => {
                    *limit = Some(ended_by);
                    None
                }
            },
        }
    }

    /// There are no more.
    pub(super) fn interrupt(&mut self) {
        match self {
            Self::List(steps) => steps.clear(),
            Self::Search { limit, .. } => {
                limit.get_or_insert(SearchLimit::Interrupted);
            }
        }
    }

    /// What a search has found of a mix that has so many starts a second at a load of 1.
    pub(super) fn capacity(&self, mix_per_s: f64) -> Option<CapacityResult> {
        let Self::Search { search, limit } = self else { return None };
        let load = search.capacity();
        let plan = search.plan();
        Some(CapacityResult {
            load,
            capacity_per_s: load.map(|load| load * mix_per_s),
            limit: limit.unwrap_or(SearchLimit::Interrupted),
            inadequate_share_max: plan.inadequate_share_max,
            confidence: plan.confidence,
            steps: search.tried().to_vec(),
        })
    }
}
