//! The load over UEs that are a number only: what each takes, and whether it ends well, is the test's.

use imstorm_base::time::{NS_PER_MS, NS_PER_S};

use super::*;
use crate::measure::{Cause, Start};

/// UEs that each procedure keeps busy for so long.
struct Busy {
    now: Time,
    ues: usize,
    lasts_ns: u64,
    fails: bool,
    /// Whether who fails is lost, as where nobody brings it back.
    loses: bool,
    under_way: Vec<(Time, Procedure, Start)>,
    measurements: Measurements,
}

impl Busy {
    fn new(ues: usize, lasts_ns: u64) -> Self {
        let measurements = Measurements::new();
        let under_way = Vec::new();
        Self { now: 0, ues, lasts_ns, fails: false, loses: false, under_way, measurements }
    }

    fn advance(&mut self, now: Time) {
        self.now = now;
        let (over, under_way) = self.under_way.drain(..).partition(|(end, ..)| *end <= now);
        self.under_way = under_way;
        let over: Vec<(Time, Procedure, Start)> = over;
        for (end, procedure, start) in over {
            if self.fails {
                self.measurements.failed(procedure, start, Cause::Timeout);
                self.ues -= usize::from(self.loses);
            } else {
                self.measurements.completed(procedure, start, end);
            }
        }
    }
}

impl Starter for Busy {
    fn all_started(&self) -> bool {
        true
    }
    fn is_quiet(&self) -> bool {
        self.under_way.is_empty()
    }
    fn strays(&self) -> u64 {
        0
    }
    fn start(&mut self, procedure: Procedure, intended: Time) -> bool {
        let is_free = self.under_way.len() < self.ues;
        if is_free {
            let start = Start { intended, began: self.now };
            self.measurements.attempted(procedure, start);
            self.under_way.push((self.now + self.lasts_ns, procedure, start));
        }
        is_free
    }
    fn note_lateness(&mut self, _late_ns: u64) {}
    fn measurements(&mut self) -> &mut Measurements {
        &mut self.measurements
    }
}

/// Refreshes at 100/s and a load of 1, each of which may take 200 ms.
fn seek(mut ues: Busy) -> CapacityResult {
    let text = "name = \"p\"\n[population]\nsize = 1000\n[arrivals]\nrate_per_s = 100\n\
        [traffic]\nprocess = \"constant\"\nmix.refresh = { rate_per_s = 100, delay_limit_ms = 200 }\n\
        capacity = { from = 1, step = 1, to = 50, step_s = 40, transient_s = 1, drain_s = 5, tries = 1, appeals = 0 }\n";
    let profile = Profile::parse("p.toml", text, &[]).unwrap();
    let mut traffic = Traffic::new(&profile, Random::new(1)).unwrap();
    traffic.seek_capacity(Search::new(profile.traffic.as_ref().unwrap().capacity.unwrap()));
    let mut now = 0;
    while !traffic.is_over() {
        now += NS_PER_MS;
        assert!(now < 8 * 3_600 * NS_PER_S, "no end: {:?}", traffic.capacity());
        ues.advance(now);
        traffic.tick(now, &mut ues);
    }
    traffic.capacity().unwrap()
}

#[test]
fn too_few_ues_are_no_limit_of_the_target() {
    // 50 UEs, busy for 100 ms each: 500 a second, of any target.
    let found = seek(Busy::new(50, 100 * NS_PER_MS));
    assert_eq!(found.limit, SearchLimit::Population, "{found:?}");
    assert!((490.0..=501.0).contains(&found.capacity_per_s.unwrap()), "{found:?}");
    assert!(found.steps.iter().any(|step| step.verdict == StepVerdict::PopulationLimit));
}

#[test]
fn a_slow_target_is_at_its_limit_though_it_keeps_ues_busy() {
    let found = seek(Busy::new(50, 300 * NS_PER_MS));
    assert_eq!(found.limit, SearchLimit::LowestLoad, "{found:?}");
}

#[test]
fn a_search_whose_ues_are_all_lost_has_an_end() {
    let lost = Busy { fails: true, loses: true, ..Busy::new(120, NS_PER_MS) };
    let found = seek(lost);
    assert_eq!(found.steps[0].verdict, StepVerdict::Inadequate, "{found:?}");
    let last = found.steps.last().unwrap();
    assert_eq!(last.verdict, StepVerdict::PopulationLimit, "nobody was left: {found:?}");
}
