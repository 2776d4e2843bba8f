//! Puts the parts of a run together, without loss: counts are added and latencies bucket by bucket, second by second of the wall clock.

use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use imstorm_base::time::{NS_PER_MS, NS_PER_S};

use super::steps::add;
use super::{End, Entry, LogError, LogReader, LogWriter, RunInfo, RunLog, Second, StepState};
use crate::generator::{GeneratorState, Sessions as UeSessions};
use crate::health::Health;
use crate::measure::{Interval, StepTally};
use crate::part::Part;
use crate::report::{Engine, Intervention, Outcome, Sessions};

/// Why parts can't be put together.
#[derive(Debug)]
pub enum MergeError {
    /// Logs can't be read.
    Log(LogError),
    /// It is no part: the whole of a run.
    NoPart(PathBuf),
    /// Two directories are not of the same run: in what they differ.
    Differ(PathBuf, PathBuf, String),
    /// A part is there twice.
    Twice(Part, PathBuf, PathBuf),
    /// Parts are not there.
    Missing(Vec<Part>),
    /// A file of the result can't be written.
    Write(PathBuf, io::Error),
    /// The result would take the place of a part.
    InPlace(PathBuf),
}

impl MergeError {
    /// What the program exits with.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Missing(_) => 1,
            Self::Write(..) => 5,
            _ => 2,
        }
    }
}

impl fmt::Display for MergeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Log(error) => error.fmt(f),
            Self::NoPart(path) => {
                let path = path.display();
                write!(
                    f,
                    "{path}: expected a part of a run, got a whole one (by itself: imstorm report {path})"
                )
            }
            Self::Differ(one, other, what) => {
                let (one, other) = (one.display(), other.display());
                write!(f, "{one} and {other} are not parts of the same run: {what}")
            }
            Self::Twice(part, one, other) => {
                let (one, other) = (one.display(), other.display());
                write!(f, "part {part} is there twice: {one} and {other}; leave one of them out")
            }
            Self::Missing(parts) => {
                let names: Vec<String> = parts.iter().map(Part::to_string).collect();
                let noun = if names.len() == 1 { "part" } else { "parts" };
                write!(
                    f,
                    "missing: {noun} {}; the directories of all parts have to be named",
                    names.join(", ")
                )
            }
            Self::Write(path, error) => write!(f, "{}: {error}", path.display()),
            Self::InPlace(path) => {
                write!(f, "--out {}: expected another directory than the parts'", path.display())
            }
        }
    }
}

impl std::error::Error for MergeError {}

/// A part that is being read.
struct Source {
    directory: PathBuf,
    reader: LogReader,
    /// Its start after the first one's, in nanoseconds.
    offset_ns: u64,
    next: Option<Box<Second>>,
    log: RunLog,
    cpu_ns: u64,
    rss_bytes: u64,
    engine: Option<Engine>,
    until_ns: u64,
}

/// Merges the parts in these directories into logs in `out`. `look` is called after each second, with the bytes that are read and those that
/// there are.
///
/// # Errors
/// [`MergeError`]; before anything is written unless it is of writing itself.
pub fn merge(
    directories: &[PathBuf],
    out: &Path,
    mut look: impl FnMut(u64, u64),
) -> Result<RunLog, MergeError> {
    let mut sources = open(directories)?;
    // What is not there yet is none of them.
    let is_out = |path: &PathBuf| match (path.canonicalize(), out.canonicalize()) {
        (Ok(path), Ok(out)) => path == out,
        _ => false,
    };
    if directories.iter().any(is_out) {
        return Err(MergeError::InPlace(out.to_owned()));
    }
    let epoch_ns = sources.iter().map(|it| it.reader.info.epoch_ns).min().unwrap_or(0);
    for source in &mut sources {
        source.offset_ns = source.reader.info.epoch_ns - epoch_ns;
        source.advance()?;
    }
    let first = &sources[0];
    let info = RunInfo {
        part: Part::WHOLE,
        parts: Some(first.reader.info.part.of),
        epoch_ns,
        ..first.reader.info.clone()
    };
    let profile = info.profile();
    let profile = profile.map_err(|error| {
        MergeError::Log(LogError::Profile(first.directory.clone(), Box::new(error)))
    })?;
    let mut writer = LogWriter::create(out, &info).map_err(|(at, it)| MergeError::Write(at, it))?;
    let mut log = RunLog::new(info, profile);
    let failed = |error| MergeError::Write(out.to_owned(), error);
    while let Some(second) = next_second(&mut sources)? {
        writer.write(&second).map_err(failed)?;
        log.note(&second);
        let (read, all) = sources
            .iter()
            .map(|it| it.reader.progress())
            .fold((0, 0), |sum, it| (sum.0 + it.0, sum.1 + it.1));
        look(read, all);
    }
    let end = end(&mut sources);
    writer.end(&end).map_err(failed)?;
    log.end(end);
    Ok(log)
}

/// Opens all parts, which are those of one run, each once.
fn open(directories: &[PathBuf]) -> Result<Vec<Source>, MergeError> {
    let mut sources: Vec<Source> = Vec::new();
    for directory in directories {
        let reader = LogReader::open(directory).map_err(MergeError::Log)?;
        let info = &reader.info;
        if info.part.is_whole() {
            return Err(MergeError::NoPart(directory.clone()));
        }
        if let Some(first) = sources.first()
            && let Some(what) = difference(&first.reader.info, info)
        {
            return Err(MergeError::Differ(first.directory.clone(), directory.clone(), what));
        }
        if let Some(same) = sources.iter().find(|it| it.reader.info.part == info.part) {
            let (one, other) = (same.directory.clone(), directory.clone());
            return Err(MergeError::Twice(info.part, one, other));
        }
        let profile = info.profile();
        let profile = profile.map_err(|error| {
            MergeError::Log(LogError::Profile(directory.clone(), Box::new(error)))
        })?;
        sources.push(Source {
            directory: directory.clone(),
            log: RunLog::new(info.clone(), profile),
            reader,
            offset_ns: 0,
            next: None,
            cpu_ns: 0,
            rss_bytes: 0,
            engine: None,
            until_ns: 0,
        });
    }
    sources.sort_by_key(|it| it.reader.info.part.number);
    let of = sources.first().map_or(0, |it| it.reader.info.part.of);
    let is_there = |number: u32| sources.iter().any(|it| it.reader.info.part.number == number);
    let missing = (1..=of).filter(|number| !is_there(*number));
    let missing: Vec<Part> = missing.map(|number| Part { number, of }).collect();
    if missing.is_empty() { Ok(sources) } else { Err(MergeError::Missing(missing)) }
}

/// In what two parts are not of the same run.
fn difference(one: &RunInfo, other: &RunInfo) -> Option<String> {
    if one.part.of != other.part.of {
        return Some(format!("one is part {} and the other part {}", one.part, other.part));
    }
    if one.seed != other.seed {
        return Some(format!("their seeds are {} and {}", one.seed, other.seed));
    }
    super::difference_of_profiles(one, other).map(|what| format!("their profiles differ in {what}"))
}

/// What happened in the next second of the wall clock in which anything did.
fn next_second(sources: &mut [Source]) -> Result<Option<Second>, MergeError> {
    let earliest = sources.iter().filter_map(Source::next_until_ns).min();
    let Some(earliest) = earliest else { return Ok(None) };
    let border = earliest.next_multiple_of(NS_PER_S);
    let mut interval = Interval::of_nothing();
    let mut health = Health::default();
    let (mut changed, mut interventions) = (BTreeSet::new(), Vec::new());
    let (mut from_ns, mut until_ns) = (u64::MAX, 0);
    for source in sources.iter_mut() {
        while source.next_until_ns().is_some_and(|at| at <= border) {
            let Some(second) = source.next.take() else { break };
            interval.merge(&second.interval);
            changed.extend(second.steps.iter().map(|it| it.number));
            health.merge(&second.health);
            interventions.extend(second.interventions.iter().map(|it| source.shifted(it)));
            from_ns = from_ns.min(source.offset_ns + second.from_ns);
            until_ns = until_ns.max(source.offset_ns + second.until_ns);
            source.take(&second);
            source.advance()?;
        }
    }
    Ok(Some(Second {
        from_ns,
        until_ns,
        interval,
        steps: changed_steps(sources, &changed),
        interventions,
        health,
        state: sources
            .iter()
            .fold(GeneratorState::default(), |sum, it| add_state(sum, it.log.state())),
        cpu_ns: sources.iter().map(|it| it.cpu_ns).sum(),
        rss_bytes: sources.iter().map(|it| it.rss_bytes).sum(),
        engine: engine(
            sources
                .iter()
                .map(|it| (it.reader.info.target.is_none(), it.offset_ns + it.until_ns, it.engine)),
        ),
    }))
}

/// The steps that the parts did not have at the same time, where more than a twentieth of a step, and than its transient, lay between them: what all
/// parts offer together was never offered then.
fn steps_apart(sources: &[Source]) -> Vec<String> {
    let most = sources.iter().map(|source| source.log.steps().len()).max().unwrap_or(0);
    let apart = (0..most).filter_map(|number| {
        let steps = || {
            let each = sources.iter().map(|it| (it.offset_ns, it.log.steps().get(number)));
            each.filter_map(|(offset_ns, step)| Some((offset_ns, step?)))
        };
        let began = || steps().map(|(offset_ns, step)| offset_ns + step.began_at);
        let apart_ns = began().max()? - began().min()?;
        let allowed = steps().map(|(_, step)| {
            let length_ns = step.ended_at.unwrap_or(step.began_at) - step.began_at;
            (step.measured_from - step.began_at).max(length_ns / 20)
        });
        (apart_ns > allowed.min()?).then(|| {
            let apart_s = apart_ns as f64 / NS_PER_S as f64;
            format!("step {} began {apart_s:.1} s apart in the parts", number + 1)
        })
    });
    apart.collect()
}

/// The sums over all parts of the steps in which something has changed.
fn changed_steps(sources: &[Source], changed: &BTreeSet<usize>) -> Vec<StepState> {
    let sum = |number: &usize| {
        let each = sources.iter().filter_map(|source| {
            let step = source.log.steps().get(*number)?;
            Some(StepTally {
                began_at: step.began_at + source.offset_ns,
                measured_from: step.measured_from + source.offset_ns,
                ended_at: step.ended_at.map(|at| at + source.offset_ns),
                ..step.clone()
            })
        });
        let step = each.reduce(|mut sum, step| {
            add(&mut sum, &step);
            sum
        })?;
        Some(StepState { number: *number, step })
    };
    changed.iter().filter_map(sum).collect()
}

impl Source {
    /// When the next second ends, in nanoseconds from the first part's start.
    fn next_until_ns(&self) -> Option<u64> {
        self.next.as_ref().map(|second| self.offset_ns + second.until_ns)
    }

    /// What was done to this part, counted from the first part's start.
    fn shifted(&self, intervention: &Intervention) -> Intervention {
        let at_ms = intervention.at_s * 1e3 + (self.offset_ns / NS_PER_MS) as f64;
        let at_s = at_ms.round() / 1e3;
        Intervention { at_s, part: Some(self.reader.info.part.number), ..*intervention }
    }

    /// Reads the next second.
    fn advance(&mut self) -> Result<(), MergeError> {
        loop {
            let entry = self.reader.next_entry();
            let failed = |error| MergeError::Log(LogError::File(self.directory.clone(), error));
            match entry.map_err(failed)? {
                Some(Entry::Second(second)) => self.next = Some(second),
                Some(Entry::End(end)) => {
                    self.log.end(*end);
                    continue;
                }
                None => self.log.damaged(self.reader.damaged()),
            }
            return Ok(());
        }
    }

    /// A second has gone by.
    fn take(&mut self, second: &Second) {
        self.log.note(second);
        self.cpu_ns = second.cpu_ns;
        self.rss_bytes = second.rss_bytes;
        self.engine = second.engine.or(self.engine);
        self.until_ns = second.until_ns;
    }
}

/// What is known at the end of all parts.
fn end(sources: &mut [Source]) -> End {
    let mut sum = End { drained: true, ..End::default() };
    let mut engines = Vec::new();
    let mut earliest_end_s = f64::INFINITY;
    for source in sources.iter() {
        let offset_s = source.offset_ns as f64 / NS_PER_S as f64;
        let outcome = source.log.outcome();
        let ended = source.log.last_line();
        sum.drained &= ended.is_some_and(|end| end.drained);
        sum.captures += ended.map_or(0, |end| end.captures);
        let ended_ns = source.offset_ns + (outcome.duration_s * 1e9) as u64;
        engines.push((source.reader.info.target.is_none(), ended_ns, outcome.engine));
        earliest_end_s = earliest_end_s.min(offset_s + outcome.duration_s);
        add_outcome(&mut sum.outcome, source.reader.info.part, offset_s, outcome);
    }
    for source in sources.iter() {
        let offset_s = source.offset_ns as f64 / NS_PER_S as f64;
        if offset_s > earliest_end_s {
            let part = source.reader.info.part;
            sum.outcome.invalid_reasons.push(format!(
                "part {part} began {offset_s:.0} s after the first one, when another was over already"
            ));
        }
    }
    sum.outcome.invalid_reasons.extend(steps_apart(sources));
    sum.outcome.engine = engine(engines.into_iter());
    sum
}

/// Adds a part's outcome. Its engine is looked at elsewhere; its phases and steps are the log's. A part neither compares nor seeks the capacity.
fn add_outcome(sum: &mut Outcome, part: Part, offset_s: f64, outcome: Outcome) {
    let Outcome {
        duration_s,
        interrupted,
        aborted,
        secured,
        secured_ever,
        health,
        cpu_s,
        rss_bytes,
        unprotected_ignored,
        notify_unmatched,
        vanished,
        links,
        sessions,
        engine: _,
        course: _,
        phases: _,
        steps: _,
        interventions: _,
        capacity: _,
        invalid_reasons,
    } = outcome;
    sum.duration_s = sum.duration_s.max(offset_s + duration_s);
    sum.interrupted |= interrupted;
    sum.aborted = sum.aborted.take().or(aborted);
    // Each part's most: all together had at most so many at the same time.
    sum.secured += secured;
    sum.secured_ever += secured_ever;
    sum.health.merge(&health);
    sum.cpu_s += cpu_s;
    sum.rss_bytes += rss_bytes;
    sum.unprotected_ignored += unprotected_ignored;
    sum.notify_unmatched += notify_unmatched;
    sum.vanished += vanished;
    sum.links = sum.links.plus(links);
    let Sessions { established, moved, released, lost } = sessions;
    sum.sessions.established += established;
    sum.sessions.moved += moved;
    sum.sessions.released += released;
    sum.sessions.lost += lost;
    let reasons = invalid_reasons.iter().map(|reason| format!("part {part}: {reason}"));
    sum.invalid_reasons.extend(reasons);
}

/// The engines of all parts: whether it is the part's own, when it was heard of, and what was heard. Own ones are added; one that all parts share was seen
/// best by who saw it last.
fn engine(seen: impl Iterator<Item = (bool, u64, Option<Engine>)>) -> Option<Engine> {
    let seen = seen.filter_map(|(is_own, at_ns, engine)| Some((is_own, at_ns, engine?)));
    let seen: Vec<_> = seen.collect();
    let own = seen.iter().filter(|(is_own, ..)| *is_own).map(|(.., engine)| *engine);
    let shared = seen.iter().filter(|(is_own, ..)| !is_own).max_by_key(|(_, at_ns, _)| *at_ns);
    own.chain(shared.map(|(.., engine)| *engine)).reduce(add_engine)
}

fn add_engine(one: Engine, other: Engine) -> Engine {
    Engine {
        subscriptions: one.subscriptions + other.subscriptions,
        security_associations: one.security_associations + other.security_associations,
        registrations: one.registrations + other.registrations,
        sessions: one.sessions + other.sessions,
        messages_in: one.messages_in + other.messages_in,
        messages_out: one.messages_out + other.messages_out,
        esp_rejected: one.esp_rejected + other.esp_rejected,
        shard_hops: one.shard_hops + other.shard_hops,
        gm_messages: one.gm_messages + other.gm_messages,
        gm_bytes: one.gm_bytes + other.gm_bytes,
        mw_messages: one.mw_messages + other.mw_messages,
        mw_bytes: one.mw_bytes + other.mw_bytes,
        pcscf_bytes: one.pcscf_bytes + other.pcscf_bytes,
        scscf_bytes: one.scscf_bytes + other.scscf_bytes,
        cpu_s: one.cpu_s + other.cpu_s,
        rss_bytes: one.rss_bytes + other.rss_bytes,
    }
}

fn add_state(one: GeneratorState, other: &GeneratorState) -> GeneratorState {
    let sessions = |of: fn(&UeSessions) -> u64| of(&one.sessions) + of(&other.sessions);
    GeneratorState {
        under_way: one.under_way + other.under_way,
        secured: one.secured + other.secured,
        connections: one.connections + other.connections,
        secured_max: one.secured_max + other.secured_max,
        secured_ever: one.secured_ever + other.secured_ever,
        gone: one.gone + other.gone,
        not_started: one.not_started + other.not_started,
        retransmissions: one.retransmissions + other.retransmissions,
        ignored: one.ignored + other.ignored,
        unprotected_ignored: one.unprotected_ignored + other.unprotected_ignored,
        notify_unmatched: one.notify_unmatched + other.notify_unmatched,
        vanished: one.vanished + other.vanished,
        messages_received: one.messages_received + other.messages_received,
        outbox_full: one.outbox_full + other.outbox_full,
        late_ns_max: one.late_ns_max.max(other.late_ns_max),
        waiting: one.waiting + other.waiting,
        sets: one.sets + other.sets,
        sessions: UeSessions {
            established: sessions(|it| it.established),
            moved: sessions(|it| it.moved),
            released: sessions(|it| it.released),
            lost: sessions(|it| it.lost),
        },
        links: one.links.plus(other.links),
    }
}
