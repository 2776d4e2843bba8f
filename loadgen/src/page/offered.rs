//! What was offered over time, whatever the core made of it: the arrivals, and the mix in its steps. What UEs do by timers of their own is not offered:
//! it is due when it begins.

use std::collections::BTreeMap;

use crate::measure::Procedure;
use crate::plan::offer;
use crate::profile::Profile;
use crate::report::LoadStepReport;

/// Starts a second on average in each stretch; nothing where none were offered.
pub type Rates = Vec<Option<f64>>;

/// The rates of the procedures that are offered, in stretches with these ends, in seconds from the run's start.
#[must_use]
pub fn rates(
    profile: &Profile,
    steps: &[LoadStepReport],
    ends_s: &[f64],
) -> BTreeMap<Procedure, Rates> {
    let mut rates = BTreeMap::new();
    let stretches: Vec<(f64, f64)> =
        ends_s.iter().enumerate().map(|(at, end_s)| (before(ends_s, at), *end_s)).collect();
    // The users of a comparison go from step to step together.
    if profile.schemes.is_none() {
        let arrivals = Arrivals::of(profile);
        let each = stretches.iter().map(|(from_s, to_s)| arrivals.per_s(*from_s, *to_s));
        rates.insert(offer::set_up(profile), each.collect::<Rates>());
    }
    for step in steps {
        for (name, row) in &step.procedures.0 {
            let Some(procedure) = Procedure::from_name(name) else { continue };
            let row_rates = rates.entry(procedure).or_insert_with(|| vec![None; ends_s.len()]);
            for (rate, (from_s, to_s)) in row_rates.iter_mut().zip(&stretches) {
                if let Some(more) = in_step(step, row.offered_per_s, *from_s, *to_s) {
                    *rate = Some(rate.unwrap_or(0.0) + more);
                }
            }
        }
    }
    rates
}

fn before(ends_s: &[f64], at: usize) -> f64 {
    at.checked_sub(1).map_or(0.0, |before| ends_s[before])
}

/// The starts of the UEs.
struct Arrivals<'a> {
    profile: &'a Profile,
    /// What this generator has of all starts.
    share: f64,
    /// How many there are at most.
    count: f64,
}

impl<'a> Arrivals<'a> {
    fn of(profile: &'a Profile) -> Self {
        let (share, count) = (profile.part.share_of_rate(1.0), profile.brought_up() as f64);
        Self { profile, share, count }
    }

    /// How many have come by then.
    fn by(&self, at_s: f64) -> f64 {
        let arrivals = &self.profile.arrivals;
        let all = match (&arrivals.burst, &arrivals.trace_ns) {
            (Some(burst), _) => ((at_s / burst.every_s).floor() + 1.0) * burst.size as f64,
            (None, Some(trace)) => {
                trace.partition_point(|start_ns| *start_ns as f64 <= at_s * 1e9) as f64
            }
            (None, None) => arrivals.curve().starts_by(at_s),
        };
        (all * self.share).min(self.count)
    }

    fn per_s(&self, from_s: f64, to_s: f64) -> Option<f64> {
        // The first burst is at 0.
        let came = if from_s > 0.0 { self.by(from_s) } else { 0.0 };
        let is_over = came >= self.count;
        (to_s > from_s && !is_over).then(|| (self.by(to_s) - came) / (to_s - from_s))
    }
}

/// What a step whose average is `mean_per_s` offers between two times; nothing where they are not in it.
fn in_step(step: &LoadStepReport, mean_per_s: f64, from_s: f64, to_s: f64) -> Option<f64> {
    let (began_s, ended_s) = (step.began_s, step.ended_s);
    let (first_s, last_s) = (from_s.max(began_s), to_s.min(ended_s));
    let loads = step.load + step.load_to;
    if last_s <= first_s || loads <= 0.0 {
        return None;
    }
    // The load goes in a straight line, so that the mean of a time is the one in its middle.
    let gone = ((first_s + last_s) / 2.0 - began_s) / (ended_s - began_s);
    let load = step.load + (step.load_to - step.load) * gone;
    let per_s = mean_per_s * load / (loads / 2.0);
    Some(per_s * (last_s - first_s) / (to_s - from_s))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::{StepRow, StepTally};
    use crate::report::load_steps;

    fn profile(name: &str, set: &[(&str, &str)]) -> Profile {
        let set: Vec<_> =
            set.iter().map(|(key, to)| ((*key).to_owned(), (*to).to_owned())).collect();
        Profile::load(name, &set).unwrap()
    }

    fn whole(rates: &Rates) -> Vec<Option<i64>> {
        rates.iter().map(|rate| rate.map(|rate| (rate * 10.0).round() as i64)).collect()
    }

    #[test]
    fn arrivals_are_offered_until_all_have_come() {
        let set = [("population.size", "250"), ("arrivals.rate_per_s", "100")];
        let rates = rates(&profile("quickstart", &set), &[], &[1.0, 2.0, 3.0, 4.0]);
        assert_eq!(rates.keys().collect::<Vec<_>>(), [&Procedure::Secure]);
        assert_eq!(whole(&rates[&Procedure::Secure]), [Some(1000), Some(1000), Some(500), None]);
    }

    #[test]
    fn a_ramp_of_the_mix_is_offered_as_it_rises() {
        const S: u64 = 1_000_000_000;
        let row = |procedure| StepRow::new(procedure, 30.0, None);
        let step = StepTally {
            load: (1.0, 2.0),
            began_at: 2 * S,
            measured_from: 2 * S,
            ended_at: Some(4 * S),
            late: 0,
            waited: 0,
            rows: vec![row(Procedure::Refresh)],
        };
        let steps = load_steps(&[step], 0);
        let ends_s = [1.0, 2.0, 3.0, 4.0, 5.0];
        let rates = rates(&profile("steps", &[]), &steps, &ends_s);
        // 20 to 40 a second.
        let expected = [None, None, Some(250), Some(350), None];
        assert_eq!(whole(&rates[&Procedure::Refresh]), expected);
    }
}
