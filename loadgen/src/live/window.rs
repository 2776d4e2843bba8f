//! What the last seconds of a run had, and the view that it makes.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use hdrhistogram::Histogram;
use imstorm_base::time::NS_PER_S;

use super::Seen;
use super::view::{
    CauseRow, EngineView, GeneratorView, ProcedureRow, Rate, StepRow, StepState, Ues, View,
};
use crate::controls::Controls;
use crate::health::Judgement;
use crate::log::Second;
use crate::measure::{Cause, Latency, Procedure, StepTally, Tally};
use crate::profile::Profile;
use crate::report::Engine;
use crate::run::RunOptions;
use crate::target::ShardState;
use crate::traffic::{CapacityResult, StepVerdict};

/// What is shown as of the last seconds is of so many.
pub(super) const RECENT_S: usize = 10;
/// Rates are shown of so many seconds.
pub(super) const HISTORY_S: usize = 60;

/// See the module.
#[derive(Debug)]
pub(super) struct Window {
    profile: Profile,
    target: String,
    seeks_capacity: bool,
    controls: Arc<Controls>,
    recent: VecDeque<Recent>,
    /// Offered, started, completed, failed, of each second.
    history: VecDeque<[u64; 4]>,
    waiting: u64,
    causes: BTreeMap<Cause, u64>,
    /// The procedures that were.
    seen: [bool; Procedure::COUNT],
}

/// What is kept of a second.
#[derive(Debug)]
struct Recent {
    until_ns: u64,
    for_ns: u64,
    latencies: Vec<(Procedure, Ended)>,
    failures: Vec<(Cause, u64)>,
    engine: Option<Engine>,
    shards: Vec<ShardState>,
}

/// What of a procedure ended in a second.
#[derive(Debug)]
struct Ended {
    completed: u64,
    latency_us: Histogram<u64>,
}

impl Window {
    pub fn new(profile: &Profile, options: &RunOptions, controls: Arc<Controls>) -> Self {
        let target = match options.target {
            Some(target) => target.to_string(),
            None => "an engine of its own".to_owned(),
        };
        Self {
            profile: profile.clone(),
            target,
            seeks_capacity: options.capacity.is_some(),
            controls,
            recent: VecDeque::with_capacity(RECENT_S + 1),
            history: VecDeque::with_capacity(HISTORY_S + 1),
            waiting: 0,
            causes: BTreeMap::new(),
            seen: [false; Procedure::COUNT],
        }
    }

    /// Nothing has begun.
    pub fn first(&self) -> View {
        View {
            profile: self.profile.name.clone(),
            target: self.target.clone(),
            elapsed_s: 0,
            limit_s: self.profile.limits.duration_s.map(|limit_s| limit_s as u64),
            stage: "the UEs are made ready".to_owned(),
            wanted: self.controls.wanted(),
            steerable: self.controls.steerable(),
            ues: Ues { all: self.profile.ues(), ..Ues::default() },
            rates: self.rates(),
            procedures: Vec::new(),
            causes: Vec::new(),
            steps: Vec::new(),
            engine: None,
            generator: GeneratorView::default(),
        }
    }

    /// The run begins in so many seconds.
    pub fn starts_in(&self, seconds: u64) -> View {
        View { stage: format!("the run starts in {seconds} s"), ..self.first() }
    }

    /// A second has gone by.
    pub fn note(&mut self, seen: &Seen<'_>) -> View {
        let Second { until_ns, state, .. } = seen.second;
        self.count(seen);
        let last = self.recent.back();
        let shown = last.and_then(|last| self.engine(last));
        View {
            elapsed_s: until_ns / NS_PER_S,
            stage: self.stage(seen),
            ues: Ues {
                all: self.profile.ues(),
                started: self.profile.ues().saturating_sub(state.not_started),
                secured: state.secured,
                gone: state.gone,
                sessions: state.sessions.up(),
                waiting: state.waiting,
            },
            rates: self.rates(),
            procedures: self.procedures(),
            causes: self.causes(),
            steps: steps(seen.log.steps(), seen.search),
            engine: shown,
            generator: self.generator(seen),
            ..self.first()
        }
    }

    fn count(&mut self, seen: &Seen<'_>) {
        let Second { from_ns, until_ns, interval, state, engine, .. } = seen.second;
        let rows = Procedure::ALL.iter().zip(&interval.procedures);
        let rows = rows.filter(|(_, it)| it.attempted + it.over() + it.latency_us.len() > 0);
        let tallies: Vec<_> = rows.map(|(procedure, tally)| (*procedure, tally)).collect();
        let sum = |of: fn(&Tally) -> u64| tallies.iter().map(|(_, it)| of(it)).sum();
        let (started, waited): (u64, u64) = (sum(|it| it.attempted), self.waiting);
        self.waiting = state.waiting;
        // What was due has begun, waits, or was left out; some of what begins has waited before.
        let due = started + interval.generator.skipped_starts + state.waiting;
        let offered = due.saturating_sub(waited);
        self.history.push_back([offered, started, sum(|it| it.completed), sum(|it| it.failed)]);
        if self.history.len() > HISTORY_S {
            self.history.pop_front();
        }
        for (procedure, _) in &tallies {
            self.seen[*procedure as usize] = true;
        }
        let failures: Vec<_> = interval.failures.iter().collect();
        for (cause, count) in &failures {
            *self.causes.entry(*cause).or_default() += count;
        }
        self.recent.push_back(Recent {
            until_ns: *until_ns,
            for_ns: until_ns - from_ns,
            latencies: tallies
                .into_iter()
                .map(|(procedure, it)| (procedure, Ended::of(it)))
                .collect(),
            failures,
            engine: *engine,
            shards: seen.shards.to_vec(),
        });
        if self.recent.len() > RECENT_S {
            self.recent.pop_front();
        }
    }

    fn rates(&self) -> Vec<Rate> {
        let names = ["offered", "started", "completed", "failed"];
        let rate = |(place, name): (usize, &'static str)| Rate {
            name,
            history: self.history.iter().map(|counts| counts[place]).collect(),
            is_bad: name == "failed",
        };
        names.into_iter().enumerate().map(rate).collect()
    }

    fn procedures(&self) -> Vec<ProcedureRow> {
        let for_s = self.recent.iter().map(|it| it.for_ns).sum::<u64>() as f64 / NS_PER_S as f64;
        let seen = Procedure::ALL.iter().filter(|it| self.seen[**it as usize]);
        let row = |procedure: &Procedure| {
            let of_seconds = self.recent.iter().flat_map(|second| &second.latencies);
            let ended = of_seconds.filter(|(it, _)| it == procedure).map(|(_, ended)| ended);
            let (mut completed, mut sum) = (0, None::<Histogram<u64>>);
            for ended in ended {
                completed += ended.completed;
                match &mut sum {
                    _ if ended.latency_us.is_empty() => {}
                    Some(sum) => sum.add(&ended.latency_us).expect("all have the same bounds"),
                    None => sum = Some(ended.latency_us.clone()),
                }
            }
            ProcedureRow {
                name: procedure.name(),
                per_s: if for_s > 0.0 { completed as f64 / for_s } else { 0.0 },
                latency: sum.as_ref().map(Latency::of),
            }
        };
        seen.map(row).collect()
    }

    /// Those of the last seconds first, each group with the most frequent one first.
    fn causes(&self) -> Vec<CauseRow> {
        let row = |(cause, total): (&Cause, &u64)| {
            let recent = self.recent.iter().flat_map(|second| &second.failures);
            let recent = recent.filter(|(it, _)| it == cause).map(|(_, count)| count).sum();
            CauseRow { name: cause.name().into_owned(), recent, total: *total }
        };
        let mut rows: Vec<_> = self.causes.iter().map(row).collect();
        rows.sort_by_key(|row| std::cmp::Reverse((row.recent, row.total)));
        rows
    }

    fn engine(&self, last: &Recent) -> Option<EngineView> {
        let engine = last.engine?;
        // The engine is asked once a second, at times of its own: over several seconds that hardly matters.
        let before =
            self.recent.iter().find(|it| it.engine.is_some() && it.until_ns < last.until_ns);
        let wall_s = |before: &Recent| (last.until_ns - before.until_ns) as f64 / NS_PER_S as f64;
        let cpu_share = before.and_then(|before| {
            Some((engine.cpu_s - before.engine?.cpu_s).max(0.0) / wall_s(before))
        });
        let shards = before.filter(|it| it.shards.len() == last.shards.len());
        let shard_shares = shards.map_or_else(Vec::new, |before| {
            let pairs = last.shards.iter().zip(&before.shards);
            let used_s = |(now, then): (&ShardState, &ShardState)| {
                now.cpu_ns.saturating_sub(then.cpu_ns) as f64 / NS_PER_S as f64
            };
            pairs.map(|pair| used_s(pair) / wall_s(before)).collect()
        });
        Some(EngineView {
            subscriptions: engine.subscriptions,
            security_associations: engine.security_associations,
            registrations: engine.registrations,
            sessions: engine.sessions,
            shard_hops: engine.shard_hops,
            esp_rejected: engine.esp_rejected,
            rss_bytes: engine.rss_bytes,
            cpu_share,
            shard_shares,
        })
    }

    fn generator(&self, seen: &Seen<'_>) -> GeneratorView {
        let (health, counts) = (seen.log.health(), seen.log.measurements().generator());
        GeneratorView {
            late_starts: counts.late_starts,
            lateness_p99_us: health.lateness_us.at(0.99),
            lateness_max_us: health.lateness_us.max(),
            socket_wait_p99_us: health.socket_wait_us.at(0.99),
            socket_drops: health.socket_drops,
            cpu_share: seen.second.health.generator_thread.cpu_share,
            cpu_share_max: health.generator_thread.cpu_share_max,
            rss_bytes: seen.second.rss_bytes,
            reasons: Judgement { health, counts }.reasons(&self.profile.validity),
        }
    }

    fn stage(&self, seen: &Seen<'_>) -> String {
        let state = &seen.second.state;
        if self.controls.interrupts() > 0 || self.controls.is_given_up() {
            let (under_way, drain_s) = (state.under_way, self.profile.limits.drain_s);
            return format!(
                "ending: {under_way} procedures are under way, for {drain_s} s at most"
            );
        }
        let steps = seen.log.steps();
        if let Some(step) = steps.last() {
            let number = steps.len();
            return match (step.ended_at, self.seeks_capacity) {
                (None, true) => format!("step {number} of the search, load {}", load(step.load)),
                (None, false) => {
                    let all = self.profile.traffic.as_ref().map_or(0, |it| it.steps.len()).max(1);
                    format!("step {number} of {all}, load {}", load(step.load))
                }
                (Some(_), true) => format!("step {number} is over: the target comes to rest"),
                (Some(_), false) => {
                    format!("the load is over: {} procedures are under way", state.under_way)
                }
            };
        }
        match (self.profile.traffic.is_some(), state.not_started) {
            (true, 0) => "all UEs are up: the load begins when nothing is under way".to_owned(),
            (true, _) => "the UEs are brought up".to_owned(),
            (false, 0) => "all UEs have started".to_owned(),
            (false, _) => "UEs arrive".to_owned(),
        }
    }
}

impl Ended {
    fn of(tally: &Tally) -> Self {
        Self { completed: tally.completed, latency_us: tally.latency_us.clone() }
    }
}

/// How many times the mix is offered.
pub(super) fn load((from, to): (f64, f64)) -> String {
    let rounded = |load: f64| (load * 1_000.0).round() / 1_000.0;
    match from == to {
        true => rounded(from).to_string(),
        false => format!("{} to {}", rounded(from), rounded(to)),
    }
}

fn steps(steps: &[StepTally], search: Option<&CapacityResult>) -> Vec<StepRow> {
    let row = |(place, step): (usize, &StepTally)| {
        let (attempts, inadequate) = step.handled();
        let tried = search.and_then(|found| found.steps.get(place));
        let state = match tried.map(|tried| tried.verdict) {
            Some(StepVerdict::Adequate) => StepState::Good,
            Some(StepVerdict::Inadequate) => StepState::Bad,
            Some(
                StepVerdict::Undecided | StepVerdict::GeneratorLimit | StepVerdict::PopulationLimit,
            ) => StepState::Unknown,
            None if step.ended_at.is_none() => StepState::Running,
            None => StepState::Over,
        };
        StepRow { number: place + 1, load: step.load, attempts, inadequate, state }
    };
    steps.iter().enumerate().map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::controls::Steerable;
    use crate::generator::GeneratorState;
    use crate::health::Health;
    use crate::log::{RunInfo, RunLog};
    use crate::measure::{Measurements, Start};
    use crate::part::Part;
    use crate::recorder::Capture;

    struct Scene {
        window: Window,
        log: RunLog,
        measurements: Measurements,
        seconds: u64,
    }

    impl Scene {
        fn new() -> Self {
            let profile = Profile::load("quickstart", &[]).unwrap();
            let options = RunOptions {
                target: None,
                admin: None,
                out: "nowhere".into(),
                seed: 1,
                capture: Capture::None,
                quiet: false,
                plain: false,
                capacity: None,
                part: Part::WHOLE,
                start_at_ns: None,
                page: None,
            };
            let controls = Arc::new(Controls::new(Arc::default(), Steerable::Rate));
            Self {
                window: Window::new(&profile, &options, controls),
                log: RunLog::new(RunInfo::new(&profile, 1, None, 0), profile),
                measurements: Measurements::new(),
                seconds: 0,
            }
        }

        /// The next second, in which so many starts came to wait; the engine has used half a core.
        fn second(&mut self, waiting: u64) -> View {
            let from_ns = self.seconds * NS_PER_S;
            self.seconds += 1;
            let second = Second {
                from_ns,
                until_ns: from_ns + NS_PER_S,
                interval: self.measurements.interval(),
                steps: Vec::new(),
                interventions: Vec::new(),
                state: GeneratorState { waiting, not_started: 100, ..GeneratorState::default() },
                health: Health::default(),
                cpu_ns: 0,
                rss_bytes: 0,
                engine: Some(Engine { cpu_s: self.seconds as f64 / 2.0, ..Engine::default() }),
            };
            self.log.note(&second);
            let cpu_ns = self.seconds * NS_PER_S / 4;
            let shards = [ShardState { cpu_ns }, ShardState { cpu_ns: 2 * cpu_ns }];
            let seen = Seen { second: &second, log: &self.log, shards: &shards, search: None };
            self.window.note(&seen)
        }
    }

    #[test]
    fn what_is_recent_is_of_ten_seconds() {
        let mut scene = Scene::new();
        for _ in 0..3 {
            scene.measurements.attempted(Procedure::Secure, Start::default());
        }
        scene.measurements.failed(Procedure::Secure, Start::default(), Cause::Timeout);
        scene.measurements.completed(Procedure::Secure, Start::default(), 9_000_000_000);
        let view = scene.second(0);
        assert_eq!((view.causes[0].recent, view.causes[0].total), (1, 1));
        assert_eq!(view.procedures[0].name, "secure");
        assert_eq!(view.procedures[0].latency.unwrap().p50 / 100_000, 90);
        for _ in 0..9 {
            scene.measurements.attempted(Procedure::Secure, Start::default());
            scene.measurements.completed(Procedure::Secure, Start::default(), 1_000_000);
            let view = scene.second(0);
            assert_eq!(view.causes[0].recent, 1);
            assert!(view.procedures[0].latency.unwrap().p999 >= 9_000_000);
        }
        let view = scene.second(0);
        assert_eq!((view.causes[0].recent, view.causes[0].total), (0, 1));
        assert!(view.procedures[0].latency.unwrap().max < 1_100, "the slow one is long ago");
        assert!((view.procedures[0].per_s - 0.9).abs() < 1e-9);
        let engine = view.engine.unwrap();
        assert!((engine.cpu_share.unwrap() - 0.5).abs() < 1e-9);
        assert_eq!(engine.shard_shares, [0.25, 0.5]);
    }

    #[test]
    fn what_waits_was_offered_and_is_not_offered_again_when_it_begins() {
        let mut scene = Scene::new();
        scene.measurements.attempted(Procedure::Message, Start::default());
        let offered = |view: &View| *view.rates[0].history.last().unwrap();
        let started = |view: &View| *view.rates[1].history.last().unwrap();
        let view = scene.second(2);
        assert_eq!((offered(&view), started(&view), view.ues.waiting), (3, 1, 2));
        for _ in 0..2 {
            scene.measurements.attempted(Procedure::Message, Start::default());
        }
        let view = scene.second(0);
        assert_eq!((offered(&view), started(&view)), (0, 2));
        // What was left out was offered as well.
        scene.measurements.skipped_start(Procedure::Message, 0, NS_PER_S);
        assert_eq!(offered(&scene.second(0)), 1);
    }
}
