//! What is shown and written of a run while it goes on, and its report.

use std::io;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use imstorm_base::time::NS_PER_S;
use imstorm_uring::process;

use crate::controls::Controls;
use crate::generator::{Cut, GeneratorState};
use crate::health::{Judgement, Machine};
use crate::live::{self, Live, Seen};
use crate::log::{End, LogWriter, RunInfo, RunLog, Second};
use crate::measure::StepTally;
use crate::page::{self, live::LivePage};
use crate::profile::Profile;
use crate::recorder;
use crate::report::{Aborted, Engine, Outcome, Report, broken_for_good};
use crate::run::{Beat, Done, RunError, RunOptions, epoch_ns};
use crate::target::{self, ShardState, Status};
use crate::traffic::SearchLimit;

/// How long the engine has after the last UE to come to rest: the P-CSCF lets a connection go at once, the control plane
/// publishes every 20 ms.
const REST_MAX: Duration = Duration::from_secs(3);
const REST_WAIT: Duration = Duration::from_millis(50);
/// So long after the time to start at a run may begin: what stands before it, as opening the sockets and filling the tables, has to fit.
const START_LATE_NS_MAX: u64 = NS_PER_S;
/// How often the engine is asked how it is.
const ASK_WAIT: Duration = Duration::from_secs(1);

/// Watches a run from its start to its report.
pub(crate) struct Watcher<'a> {
    /// As it is run.
    pub profile: &'a Profile,
    pub options: &'a RunOptions,
    /// The engine's control plane.
    pub admin: Option<&'a str>,
    /// What the engine had counted before.
    pub before: Engine,
    /// The page that shows it meanwhile.
    pub page: Option<&'a LivePage>,
    /// What is asked of the run while it goes on.
    pub controls: &'a Arc<Controls>,
}

/// What was seen of a run while it went on.
pub(crate) struct Watched {
    log: RunLog,
    /// Nothing where the files could not be written any more.
    writer: Option<LogWriter>,
    /// Why that was.
    lost: Vec<String>,
    /// What ended it early.
    aborted: Option<Aborted>,
}

impl Watched {
    /// Writes to the files. Where that fails the run goes on without them: what is in memory makes a report yet, which says so.
    fn write(&mut self, write: impl FnOnce(&mut LogWriter) -> io::Result<()>) {
        let Some(writer) = &mut self.writer else { return };
        if let Err(error) = write(writer) {
            let problem = format!("the log could not be written any more: {error}");
            live::note(&format!("warning: {problem}"));
            self.lost.push(problem);
            self.writer = None;
        }
    }
}

impl Watcher<'_> {
    /// Shows and writes what the generator tells, until it is through; nothing where it did not even begin.
    pub fn watch(
        &self,
        began: &Receiver<u64>,
        beats: &Receiver<Beat>,
    ) -> Result<Option<Watched>, RunError> {
        let failed = |path: PathBuf, error: io::Error| {
            RunError::Environment(format!("{}: {error}", path.display()))
        };
        let mut live = Live::new(self.profile, self.options, self.controls);
        if let Some(page) = self.page.filter(|_| !self.options.quiet) {
            live::note(&format!("live page: {}", page.url()));
        }
        let Some(epoch_ns) = self.await_start(began, &mut live) else { return Ok(None) };
        let target = self.options.target.map(|target| target.to_string());
        let info = RunInfo::new(self.profile, self.options.seed, target, epoch_ns);
        let writer = LogWriter::create(&self.options.out, &info)
            .map_err(|(path, error)| failed(path, error))?;
        let log = RunLog::new(info, self.profile.clone());
        let mut watched = Watched { log, writer: Some(writer), lost: Vec::new(), aborted: None };
        let mut machine = Machine::new();
        // The looks between the steps of a comparison are to be the only ones.
        let admin = self.admin.filter(|_| self.profile.schemes.is_none());
        let engine = admin.map(EngineWatch::start);
        let mut from_ns = 0;
        while let Ok(mut beat) = beats.recv() {
            machine.add_to(&mut beat.health);
            let second = Second {
                from_ns,
                until_ns: beat.elapsed_ns,
                interval: beat.interval,
                steps: beat.steps,
                interventions: beat.interventions,
                state: beat.state,
                health: beat.health,
                cpu_ns: process::process_cpu_ns(),
                rss_bytes: process::memory().unwrap_or_default().resident_bytes,
                engine: engine
                    .as_ref()
                    .and_then(EngineWatch::last)
                    .map(|engine| engine.since(&self.before)),
            };
            from_ns = second.until_ns;
            watched.write(|writer| writer.write(&second));
            watched.log.note(&second);
            self.judge(&mut watched);
            let shards = engine.as_ref().map(EngineWatch::shards).unwrap_or_default();
            let (log, search) = (&watched.log, beat.search.as_ref());
            live.show(&Seen { second: &second, log, shards: &shards, search });
            if let Some(page) = self.page {
                page.show(&second, &watched.log);
            }
        }
        live.end();
        Ok(Some(watched))
    }

    /// Ends the run where it can't hold a threshold any more, if it is to end then. A search for the capacity goes where thresholds break.
    fn judge(&self, watched: &mut Watched) {
        let is_wanted = self.profile.abort.on_threshold && self.options.capacity.is_none();
        if !is_wanted || watched.aborted.is_some() {
            return;
        }
        watched.aborted = broken_for_good(&watched.log.report(), &self.profile.abort);
        if let Some(aborted) = &watched.aborted {
            live::note(&aborted.to_string());
            self.controls.give_up();
        }
    }

    /// Waits until the generator begins: when that was. Tells each second how long it is until then.
    fn await_start(&self, began: &Receiver<u64>, live: &mut Live) -> Option<u64> {
        loop {
            match began.recv_timeout(Duration::from_secs(1)) {
                Ok(epoch_ns) => return Some(epoch_ns),
                Err(RecvTimeoutError::Disconnected) => return None,
                Err(RecvTimeoutError::Timeout) => {}
            }
            let left_ns = self.options.start_at_ns.map_or(0, |at| at.saturating_sub(epoch_ns()));
            if left_ns > 0 {
                live.starts_in(left_ns.div_ceil(NS_PER_S));
            }
        }
    }

    /// Waits for the engine to come to rest, and writes the report.
    pub fn conclude(&self, done: &Done, mut watched: Watched) -> Result<Report, RunError> {
        let out = &self.options.out;
        let failed =
            |error: io::Error| RunError::Environment(format!("{}: {error}", out.display()));
        let state = GeneratorState { links: done.links, ..done.generator.state() };
        let engine = self.admin.and_then(|admin| rested(admin, &state, rest_max(self.profile)));
        let engine = engine.map(|engine| engine.since(&self.before));
        let written = recorder::write(done.generator.recorder(), out, watched.log.info.epoch_ns)
            .map_err(failed)?;
        let mut health = watched.log.health().clone();
        health.loosened = self.profile.validity.loosened();
        let mut reasons = invalid_reasons(self.profile, done, &state, &watched.log);
        reasons.append(&mut watched.lost);
        let began_ns = watched.log.info.epoch_ns;
        reasons.extend(self.options.start_at_ns.and_then(|at_ns| missed_start(at_ns, began_ns)));
        let end = End {
            outcome: Outcome {
                duration_s: done.elapsed_ns as f64 / NS_PER_S as f64,
                interrupted: done.interrupted,
                aborted: watched.aborted.take(),
                cpu_s: process::process_cpu_ns() as f64 / NS_PER_S as f64,
                rss_bytes: process::memory().unwrap_or_default().resident_bytes,
                engine,
                course: done.course.clone(),
                capacity: done.generator.capacity(),
                invalid_reasons: reasons,
                health,
                ..Outcome::of(&state)
            },
            drained: done.drained,
            captures: written.ues,
        };
        watched.write(|writer| writer.end(&end));
        watched.log.end(end);
        let report = watched.log.report();
        report.write(out).map_err(failed)?;
        page::write(&watched.log, &report, out).map_err(failed)?;
        if let Some(page) = self.page {
            page.end(&watched.log, &report);
        }
        Ok(report)
    }
}

/// Asks the engine once a second how it is, on a thread of its own: one that does not answer keeps nothing from being written.
struct EngineWatch {
    last: Arc<Mutex<Option<Status>>>,
    /// The thread ends with it.
    _ends: Sender<()>,
}

impl EngineWatch {
    fn start(admin: &str) -> Self {
        let (ends, ended) = channel();
        let last = Arc::new(Mutex::new(None));
        let (admin, told) = (admin.to_owned(), Arc::clone(&last));
        let asking = std::thread::Builder::new().name("engine-watch".to_owned()).spawn(move || {
            while let Err(RecvTimeoutError::Timeout) = ended.recv_timeout(ASK_WAIT) {
                let status = target::status_of_shards(&admin);
                *told.lock().unwrap_or_else(PoisonError::into_inner) = status;
            }
        });
        // Without it the log lacks the engine's state; the report asks for it again.
        drop(asking);
        Self { last, _ends: ends }
    }

    fn last(&self) -> Option<Engine> {
        self.status().map(|status| status.engine)
    }

    fn shards(&self) -> Vec<ShardState> {
        self.status().map(|status| status.shards).unwrap_or_default()
    }

    fn status(&self) -> Option<Status> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The engine's state once it holds nothing of UEs that are through.
fn rested(admin: &str, state: &GeneratorState, longest: Duration) -> Option<Engine> {
    let mut engine = target::status(admin)?;
    for _ in 0..longest.as_millis() / REST_WAIT.as_millis() {
        if engine.subscriptions <= state.connections
            && engine.security_associations <= 4 * state.connections
            && (engine.sessions == 0 || state.connections > 0)
        {
            break;
        }
        // Not park_timeout: the HTTP client leaves wake-ups behind, on which it would return at once.
        std::thread::sleep(REST_WAIT);
        engine = target::status(admin)?;
    }
    Some(engine)
}

/// How long the engine has to come to rest: a connection whose access was lost goes when the engine's timers say so.
fn rest_max(profile: &Profile) -> Duration {
    let handover = profile.procedures.handover.as_ref();
    match handover.is_some_and(|handover| handover.old_access.is_lost()) {
        true => Duration::from_secs_f64(profile.limits.drain_s).max(REST_MAX),
        false => REST_MAX,
    }
}

/// Whether a run began so long after the time to start at that others did not wait for it.
fn missed_start(start_at_ns: u64, began_ns: u64) -> Option<String> {
    let late_ns = began_ns.saturating_sub(start_at_ns);
    let late_s = late_ns as f64 / NS_PER_S as f64;
    (late_ns > START_LATE_NS_MAX)
        .then(|| format!("the run began {late_s:.1} s after the time to start at"))
}

/// Why the run is no measurement of the target, if it is none.
fn invalid_reasons(
    profile: &Profile,
    done: &Done,
    state: &GeneratorState,
    log: &RunLog,
) -> Vec<String> {
    let counts = log.measurements().generator();
    let mut reasons = Judgement { health: log.health(), counts }.reasons(&profile.validity);
    if done.missed_looks > 0 {
        reasons.push(format!(
            "the engine's state was not to be had {} times between steps: their counts are not their own",
            done.missed_looks
        ));
    }
    if state.outbox_full > 0 {
        reasons.push(format!(
            "{} datagrams found no room to be sent: the generator was the limit",
            state.outbox_full
        ));
    }
    if state.links.no_room > 0 {
        reasons.push(format!(
            "{} datagrams found no room on the links: the generator was the limit",
            state.links.no_room
        ));
    }
    if done.generator.is_choked() {
        reasons
            .push("too many starts waited for a UE that is free: no more were offered".to_owned());
    }
    let limit = done.generator.capacity().map(|found| found.limit);
    let unknown = limit.and_then(|limit| match limit {
        SearchLimit::Generator => Some(
            "the generator could not keep to its own times: the capacity is at least what was found",
        ),
        SearchLimit::Population => Some(
            "no UE was free for what was offered: the capacity is at least what was found with so many UEs",
        ),
        SearchLimit::Interrupted => Some("the search for the capacity was ended before it was through"),
        SearchLimit::Target | SearchLimit::HighestLoad | SearchLimit::LowestLoad => None,
    });
    reasons.extend(unknown.map(str::to_owned));
    reasons.extend(late_steps(profile, log.steps()));
    let Cut { under_way, waiting } = done.cut;
    if (!done.drained || waiting > 0) && !done.is_cut_short {
        reasons.push(format!(
            "{under_way} procedures were cut off at the end of the drain, and {waiting} had not begun"
        ));
    }
    reasons
}

/// The steps in which too many starts came late: among all of a long bring-up they would not show. In a search such steps count for nothing
/// anyway.
fn late_steps(profile: &Profile, steps: &[StepTally]) -> Vec<String> {
    let rules = &profile.validity;
    let is_search = profile.traffic.as_ref().is_none_or(|traffic| traffic.steps.is_empty());
    let late = (1..).zip(steps).filter(|_| !is_search).filter_map(|(number, step)| {
        let (late, starts) = (step.late, step.handled().0 + step.pending());
        (late as f64 > rules.late_share_max * starts as f64).then(|| {
            format!(
                "in step {number} {late} of {starts} starts came more than {} ms late: the generator was the limit",
                rules.late_ms
            )
        })
    });
    late.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::{Procedure, StepRow};

    #[test]
    fn a_late_step_shows_beside_a_long_bring_up() {
        let profile = Profile::load("steps", &[]).unwrap();
        let step = |late| {
            let mut row = StepRow::new(Procedure::Refresh, 100.0, None);
            (row.tally.attempted, row.tally.completed) = (1_000, 1_000);
            let (load, rows) = ((1.0, 1.0), vec![row]);
            StepTally {
                load,
                began_at: 0,
                measured_from: 0,
                ended_at: Some(1),
                late,
                waited: 0,
                rows,
            }
        };
        assert!(late_steps(&profile, &[step(0), step(50)]).is_empty());
        let said = late_steps(&profile, &[step(0), step(51)]);
        assert!(said.len() == 1 && said[0].starts_with("in step 2 51 of 1000 starts"), "{said:?}");
        let mut lax = profile;
        lax.validity.late_share_max = 0.1;
        assert!(late_steps(&lax, &[step(51)]).is_empty());
    }

    #[test]
    fn whoever_begins_much_later_than_told_did_not_run_with_the_others() {
        let at_s = |seconds: u64| seconds * NS_PER_S;
        assert_eq!(missed_start(at_s(10), at_s(9)), None);
        assert_eq!(missed_start(at_s(10), at_s(11)), None);
        let said = missed_start(at_s(10), at_s(13));
        assert_eq!(said.as_deref(), Some("the run began 3.0 s after the time to start at"));
    }
}
