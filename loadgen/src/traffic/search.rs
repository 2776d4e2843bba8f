//! The search for the highest load that is handled adequately, in the manner of ETSI TS 186 008-1: steps of the same height until one is bad, and
//! halving between the last good and the first bad one. No time and no load of its own: it is told what came of a step, and says which is
//! next.

use serde::{Deserialize, Serialize};

use crate::profile::Capacity;

/// How often halving goes below the first step, at most: where a sixteenth of it is too much, more would take hours to say the same.
const HALVINGS_MAX: u32 = 4;
/// A step that would be as bad by chance only once in so many times needs no more attempts, however short it was.
const HOPELESS: f64 = 1e-9;
/// So many attempts are the least that a hopeless step is judged on.
const HOPELESS_ATTEMPTS_MIN: u64 = 50;
/// Above this mean a binomial distribution is taken for the normal one.
const NORMAL_FROM: f64 = 500.0;

/// What a step was found to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepVerdict {
    /// At most the share that may be is handled inadequately, with the confidence asked for.
    Adequate,
    /// More than that is.
    Inadequate,
    /// The attempts did not suffice to say: it counts as inadequate.
    Undecided,
    /// The generator could not keep to its own times: nothing is known of the target.
    GeneratorLimit,
    /// No UE was free for too many starts, and those that began were handled adequately: nothing is known of the target.
    PopulationLimit,
}

/// A step that was tried.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Tried {
    /// How many times the mix was offered.
    pub load: f64,
    /// Attempts that were measured.
    pub attempts: u64,
    /// Of these, handled inadequately.
    pub inadequate: u64,
    /// What that makes it.
    pub verdict: StepVerdict,
}

/// What ended a search.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SearchLimit {
    /// The target: a little more was handled inadequately.
    Target,
    /// The generator: the target's capacity is at least what was found.
    Generator,
    /// The UEs: more of them were needed at a time than there are. The target's capacity is at least what was found.
    Population,
    /// The profile's highest load was handled adequately: the capacity is at least that.
    HighestLoad,
    /// Even the lowest load that was tried was not.
    LowestLoad,
    /// It was ended before.
    Interrupted,
}

/// A search under way.
#[derive(Debug, Clone)]
pub struct Search {
    plan: Capacity,
    tried: Vec<Tried>,
}

impl Search {
    /// Nothing tried.
    #[must_use]
    pub const fn new(plan: Capacity) -> Self {
        Self { plan, tried: Vec::new() }
    }

    /// What was asked for.
    #[must_use]
    pub const fn plan(&self) -> &Capacity {
        &self.plan
    }

    /// What was tried, in order.
    #[must_use]
    pub fn tried(&self) -> &[Tried] {
        &self.tried
    }

    /// What so many attempts, of which so many were handled inadequately, make of a step; nothing while more are needed. `look` counts from 0 how
    /// often this was asked of the step: each time takes half of the doubt that is left, so that all together are wrong no more often than the
    /// confidence allows.
    #[must_use]
    pub fn judge(&self, attempts: u64, inadequate: u64, look: u32) -> Option<StepVerdict> {
        let share = self.plan.inadequate_share_max;
        let doubt = (1.0 - self.plan.confidence) * 0.5_f64.powi(look.cast_signed() + 1);
        if at_most(inadequate, attempts, share) <= doubt {
            return Some(StepVerdict::Adequate);
        }
        if at_least(inadequate, attempts, share) <= doubt {
            return Some(StepVerdict::Inadequate);
        }
        (attempts >= self.plan.attempts_max).then_some(StepVerdict::Undecided)
    }

    /// After how many attempts a step is good of which this share is handled inadequately.
    #[must_use]
    pub fn least_attempts(&self, share: f64) -> u64 {
        let is_good = |attempts: u64| {
            let inadequate = (attempts as f64 * share) as u64;
            self.judge(attempts, inadequate, 0) == Some(StepVerdict::Adequate)
        };
        // Twice as many until it is, then by halving.
        let mut most = 1;
        while !is_good(most) && most < 1 << 40 {
            most *= 2;
        }
        let mut least = most / 2;
        while most - least > 1 {
            let middle = (least + most) / 2;
            if is_good(middle) { most = middle } else { least = middle }
        }
        most
    }

    /// Whether a step under way is so bad that it need not go on.
    #[must_use]
    pub fn is_hopeless(&self, attempts: u64, inadequate: u64) -> bool {
        attempts >= HOPELESS_ATTEMPTS_MIN
            && at_least(inadequate, attempts, self.plan.inadequate_share_max) <= HOPELESS
    }

    /// Takes note of a step.
    pub fn note(&mut self, tried: Tried) {
        self.tried.push(tried);
    }

    /// The highest load that was handled adequately.
    #[must_use]
    pub fn capacity(&self) -> Option<f64> {
        let bad = self.lowest_bad().unwrap_or(f64::INFINITY);
        let good = self.tried.iter().filter(|it| it.verdict == StepVerdict::Adequate);
        good.map(|it| it.load).filter(|load| *load < bad).max_by(f64::total_cmp)
    }

    /// The lowest load that was bad as often as it may be tried.
    fn lowest_bad(&self) -> Option<f64> {
        let bad = self.tried.iter().map(|it| it.load).filter(|load| self.is_bad(*load));
        bad.min_by(f64::total_cmp)
    }

    fn is_bad(&self, load: f64) -> bool {
        let is_good = self.of(load).any(|it| it.verdict == StepVerdict::Adequate);
        !is_good && self.of(load).count() >= self.plan.tries as usize
    }

    fn of(&self, load: f64) -> impl Iterator<Item = &Tried> {
        self.tried.iter().filter(move |it| same(it.load, load))
    }

    /// What lies behind a bad load: the target, unless it never was.
    fn limit_at(&self, load: f64) -> SearchLimit {
        let is_target =
            |it: &Tried| matches!(it.verdict, StepVerdict::Inadequate | StepVerdict::Undecided);
        let is_generator = |it: &Tried| it.verdict == StepVerdict::GeneratorLimit;
        if self.of(load).any(is_target) {
            SearchLimit::Target
        } else if self.of(load).any(is_generator) {
            SearchLimit::Generator
        } else {
            SearchLimit::Population
        }
    }

    /// The load to try next, or what ended the search.
    ///
    /// # Errors
    /// The end of the search, which is none of its failures.
    pub fn next(&self) -> Result<f64, SearchLimit> {
        let plan = &self.plan;
        let Some(last) = self.tried.last() else { return Ok(plan.from) };
        if last.verdict != StepVerdict::Adequate && !self.is_bad(last.load) {
            return Ok(last.load);
        }
        let tries_max = (plan.tries + plan.appeals) as usize;
        match (self.capacity(), self.lowest_bad()) {
            (Some(good), Some(bad)) if bad - good <= plan.resolution * good => {
                if self.of(bad).count() < tries_max { Ok(bad) } else { Err(self.limit_at(bad)) }
            }
            (Some(good), Some(bad)) => Ok((good + bad) / 2.0),
            (Some(good), None) if good >= plan.to => Err(SearchLimit::HighestLoad),
            (Some(good), None) => Ok((good + plan.step).min(plan.to)),
            (None, Some(bad)) if bad < plan.from / f64::from(1_u32 << HALVINGS_MAX) => {
                Err(match self.limit_at(bad) {
                    SearchLimit::Target => SearchLimit::LowestLoad,
                    limit => limit,
                })
            }
            (None, bad) => Ok(bad.unwrap_or(plan.from) / 2.0),
        }
    }
}

fn same(one: f64, other: f64) -> bool {
    (one - other).abs() <= 1e-9 * one.abs().max(other.abs())
}

/// How probable at most so many hits of so many attempts are, where each is one with this probability.
fn at_most(hits: u64, attempts: u64, probability: f64) -> f64 {
    let (n, p) = (attempts as f64, probability);
    let mean = n * p;
    if hits >= attempts {
        return 1.0;
    }
    if mean > NORMAL_FROM {
        let deviation = (mean * (1.0 - p)).sqrt();
        return normal_below((hits as f64 + 0.5 - mean) / deviation);
    }
    // Each term of the binomial distribution from the one before; e^-500 is far from 0 yet.
    let mut term = ((1.0 - p).ln() * n).exp();
    let mut sum = term;
    for hit in 0..hits {
        let hit = hit as f64;
        term *= (n - hit) / (hit + 1.0) * p / (1.0 - p);
        sum += term;
        if hit > mean && term < sum * 1e-17 {
            break;
        }
    }
    sum.min(1.0)
}

/// How probable at least so many are.
fn at_least(hits: u64, attempts: u64, probability: f64) -> f64 {
    match hits.checked_sub(1) {
        None => 1.0,
        Some(fewer) => (1.0 - at_most(fewer, attempts, probability)).max(0.0),
    }
}

/// The normal distribution's probability of a value below `z` (Abramowitz and Stegun 26.2.17: wrong by less than 7.5e-8).
fn normal_below(z: f64) -> f64 {
    let t = 1.0 / (1.0 + 0.231_641_9 * z.abs());
    let polynomial = [1.330_274_429, -1.821_255_978, 1.781_477_937, -0.356_563_782, 0.319_381_53]
        .iter()
        .fold(0.0, |sum, factor| (sum + factor) * t);
    let tail = (-z * z / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt() * polynomial;
    if z > 0.0 { 1.0 - tail } else { tail }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn search(plan: Capacity) -> Search {
        Search::new(Capacity { tries: 1, appeals: 0, ..plan })
    }

    /// Goes on until the search ends, where a load is good up to `holds`.
    fn find(
        mut search: Search,
        holds: impl Fn(f64, usize) -> StepVerdict,
    ) -> (Search, SearchLimit) {
        for step in 0..200 {
            match search.next() {
                Err(limit) => return (search, limit),
                Ok(load) => {
                    let verdict = holds(load, step);
                    search.note(Tried { load, attempts: 3_000, inadequate: 0, verdict });
                }
            }
        }
        panic!("no end: {:?}", search.tried());
    }

    fn up_to(most: f64) -> impl Fn(f64, usize) -> StepVerdict {
        move |load, _| if load <= most { StepVerdict::Adequate } else { StepVerdict::Inadequate }
    }

    #[test]
    fn a_capacity_is_found_up_to_the_resolution() {
        for most in [0.3, 1.0, 7.77, 42.0, 99.9] {
            let (search, limit) = find(search(Capacity::default()), up_to(most));
            let found = search.capacity().unwrap();
            assert_eq!(limit, SearchLimit::Target, "{most}");
            assert!(found <= most && found >= most * 0.98, "{found} of {most}");
        }
    }

    #[test]
    fn the_ends_of_the_range_are_said() {
        let plan = Capacity { to: 5.5, ..Capacity::default() };
        let (search_, limit) = find(search(plan), up_to(1e9));
        assert_eq!((search_.capacity(), limit), (Some(5.5), SearchLimit::HighestLoad));
        let (search_, limit) = find(search(plan), up_to(0.0));
        assert_eq!((search_.capacity(), limit), (None, SearchLimit::LowestLoad));
        let (search_, limit) = find(search(plan), |load, _| {
            if load > 3.5 { StepVerdict::GeneratorLimit } else { StepVerdict::Adequate }
        });
        assert_eq!(limit, SearchLimit::Generator);
        assert!((3.43..=3.5).contains(&search_.capacity().unwrap()), "{:?}", search_.tried());
        let (search_, limit) = find(search(plan), |_, _| StepVerdict::GeneratorLimit);
        assert_eq!((search_.capacity(), limit), (None, SearchLimit::Generator));
    }

    #[test]
    fn a_step_that_is_bad_once_gets_another_chance() {
        let hiccup = |load: f64, step: usize| match step {
            2 => StepVerdict::Inadequate,
            6 => StepVerdict::GeneratorLimit,
            4 => StepVerdict::Undecided,
            _ => up_to(10.5)(load, step),
        };
        let (found, limit) = find(Search::new(Capacity::default()), hiccup);
        assert_eq!(limit, SearchLimit::Target);
        assert!(found.capacity().unwrap() > 10.3, "{:?}", found.tried());
        let (found, _) = find(search(Capacity::default()), hiccup);
        assert!(found.capacity().unwrap() < 3.0, "with one try it is the end");
    }

    #[test]
    fn what_disturbs_for_long_is_over_when_the_lowest_bad_load_is_tried_again() {
        // For steps 3 to 9 nothing above 3.5 is handled, by whatever else the machine does.
        let disturbed = |load: f64, step: usize| match (3..=9).contains(&step) {
            true => up_to(3.5)(load, step),
            false => up_to(10.5)(load, step),
        };
        let plan = Capacity { resolution: 0.05, ..Capacity::default() };
        let (found, limit) = find(Search::new(plan), disturbed);
        assert_eq!(limit, SearchLimit::Target);
        assert!(found.capacity().unwrap() > 9.9, "{:?}", found.tried());
        let (found, _) = find(Search::new(Capacity { appeals: 0, ..plan }), disturbed);
        assert!(found.capacity().unwrap() < 3.6, "{:?}", found.tried());
    }

    #[test]
    fn a_step_is_judged_as_the_confidence_wants_it() {
        let search = search(Capacity::default());
        // 0.999^3,688 is 2.5%, half of the doubt.
        assert_eq!(search.judge(3_687, 0, 0), None);
        assert_eq!(search.judge(3_688, 0, 0), Some(StepVerdict::Adequate));
        assert_eq!(search.judge(3_688, 0, 1), None, "the next look takes a quarter");
        assert_eq!(search.least_attempts(0.0), 3_688);
        // Poisson with a mean of 30: at most 20 in 3.5% of all cases, at most 19 in 2.2%; at least 41 in 3.2%, 42 in 2.2%.
        assert_eq!(search.judge(30_000, 20, 0), None);
        assert_eq!(search.judge(30_000, 19, 0), Some(StepVerdict::Adequate));
        assert_eq!(search.judge(30_000, 41, 0), None);
        assert_eq!(search.judge(30_000, 42, 0), Some(StepVerdict::Inadequate));
        assert_eq!(search.judge(100_000, 100, 0), Some(StepVerdict::Undecided));
        assert_eq!(search.judge(0, 0, 0), None);
        assert!(search.is_hopeless(50, 10) && !search.is_hopeless(50, 1));
        assert!(!search.is_hopeless(20, 20), "a few are no evidence");
    }

    /// At the very share that is allowed a try may be found good as often as the doubt says, however often it is looked at.
    #[test]
    fn looking_again_makes_nobody_surer() {
        let search = search(Capacity { attempts_max: 200_000, ..Capacity::default() });
        let mut random = imstorm_base::random::Random::new(7);
        let mut good = 0;
        for _ in 0..2_000 {
            let (mut attempts, mut inadequate, mut wanted) = (0_u64, 0, 3_000);
            for look in 0.. {
                // Gaps between hits of a rare thing are exponential.
                let mut next = attempts + random.exponential(1_000.0) as u64;
                while next < wanted {
                    inadequate += 1;
                    next += random.exponential(1_000.0) as u64;
                }
                attempts = wanted;
                wanted *= 2;
                match search.judge(attempts, inadequate, look) {
                    None => {}
                    Some(verdict) => {
                        good += u32::from(verdict == StepVerdict::Adequate);
                        break;
                    }
                }
            }
        }
        // 5% of 2,000, and three standard deviations.
        assert!((20..130).contains(&good), "{good}");
    }

    #[test]
    fn where_nobody_was_free_nothing_is_said_of_the_target() {
        let (search_, limit) = find(search(Capacity::default()), |load, _| {
            if load > 7.3 { StepVerdict::PopulationLimit } else { StepVerdict::Adequate }
        });
        assert_eq!(limit, SearchLimit::Population);
        assert!((7.1..=7.3).contains(&search_.capacity().unwrap()), "{:?}", search_.tried());
    }

    #[test]
    fn the_tails_are_those_of_the_tables() {
        for (hits, attempts, probability, expected) in [
            (0, 10, 0.1, 0.348_678_440_1),
            (2, 10, 0.1, 0.929_809_173_6),
            (10, 10, 0.1, 1.0),
            (30, 30_000, 0.001, 0.548_40),
            (980, 1_000_000, 0.001, 0.2686),
        ] {
            let found = at_most(hits, attempts, probability);
            assert!((found - expected).abs() < 2e-3, "{hits} of {attempts}: {found}");
        }
        assert!((normal_below(1.644_853_627) - 0.95).abs() < 1e-6);
        assert!((at_least(1, 10, 0.1) - 0.651_321_559_9).abs() < 1e-9);
    }
}
