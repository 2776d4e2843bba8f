use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use imstorm_base::time::NS_PER_S;
use proptest::prelude::*;

use super::*;
use crate::generator::LinkCounts;
use crate::health::Health;
use crate::measure::{Cause, Measurements, Procedure, Start, StepRow, StepTally, Transaction};
use crate::part::Part;
use crate::profile::Profile;
use crate::report::{Aborted, Action, Intervention, Outcome};

const MS: u64 = 1_000_000;

/// A directory that goes with the test.
struct Directory(PathBuf);

impl Directory {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("imstorm-log-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Procedures of a second, by their latencies in milliseconds; every seventh fails.
fn second(measurements: &mut Measurements, number: u64, latencies_ms: &[u64]) -> Second {
    for latency_ms in latencies_ms {
        measurements.attempted(Procedure::Secure, Start::default());
        measurements.transaction_attempted(Transaction::Subscribe);
        if latency_ms % 7 == 0 {
            measurements.failed(Procedure::Secure, Start::default(), Cause::Timeout);
        } else {
            measurements.completed(Procedure::Secure, Start::default(), latency_ms * MS);
            measurements.transaction_completed(Transaction::Subscribe, latency_ms * MS / 3);
        }
    }
    let state = GeneratorState {
        secured: number,
        secured_max: number,
        secured_ever: number,
        ..GeneratorState::default()
    };
    Second {
        from_ns: number * NS_PER_S,
        until_ns: (number + 1) * NS_PER_S,
        interval: measurements.interval(),
        steps: Vec::new(),
        interventions: Vec::new(),
        state,
        health: Health::default(),
        cpu_ns: number * MS,
        rss_bytes: 1 << 20,
        engine: Some(Engine {
            messages_in: number,
            cpu_s: 0.1 * number as f64,
            ..Engine::default()
        }),
    }
}

fn profile(part: Part) -> Profile {
    Profile { part, ..Profile::load("quickstart", &[]).unwrap() }
}

fn info(part: Part, epoch_ns: u64) -> RunInfo {
    RunInfo::new(&profile(part), 1, None, epoch_ns)
}

/// Writes the logs of a run with these latencies, a list a second; what is known of it. `end` says whether it came to its end.
fn write(directory: &Path, info: &RunInfo, seconds: &[Vec<u64>], end: bool) -> RunLog {
    let mut writer = LogWriter::create(directory, info).unwrap();
    let mut log = RunLog::new(info.clone(), profile(info.part));
    let mut measurements = Measurements::new();
    for (number, latencies_ms) in (0..).zip(seconds) {
        let second = second(&mut measurements, number, latencies_ms);
        writer.write(&second).unwrap();
        log.note(&second);
    }
    if end {
        let outcome = Outcome {
            duration_s: seconds.len() as f64 + 0.125,
            cpu_s: 0.3,
            secured: seconds.len() as u64,
            ..Outcome::default()
        };
        let end = End { outcome, drained: true, captures: 0 };
        writer.end(&end).unwrap();
        log.end(end);
    }
    log
}

fn read_all(directory: &Path) -> RunLog {
    read(directory, |_| ()).unwrap()
}

fn seconds() -> impl Strategy<Value = Vec<Vec<u64>>> {
    prop::collection::vec(prop::collection::vec(1_u64..200_000, 0..20), 0..6)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn what_is_read_is_what_was_written(seconds in seconds(), end in any::<bool>()) {
        let directory = Directory::new();
        let written = write(&directory.0, &info(Part::WHOLE, 5), &seconds, end);
        let read = read_all(&directory.0);
        prop_assert_eq!(read.report().to_json(), written.report().to_json());
    }

    /// Wherever a file ends, what was whole before is there, and nothing is an error.
    #[test]
    fn a_log_that_breaks_off_anywhere_has_all_seconds_before(
        seconds in seconds(),
        at in any::<prop::sample::Index>(),
        of_latencies in any::<bool>(),
    ) {
        let directory = Directory::new();
        write(&directory.0, &info(Part::WHOLE, 5), &seconds, true);
        let path = directory.0.join(if of_latencies { LATENCY_FILE } else { INTERVALS_FILE });
        let bytes = fs::read(&path).unwrap();
        let cut = at.index(bytes.len() + 1);
        fs::write(&path, &bytes[..cut]).unwrap();
        let read = read_all(&directory.0);
        let attempted = read.measurements().procedure(Procedure::Secure).attempted;
        if of_latencies {
            let all: u64 = seconds.iter().map(|it| it.len() as u64).sum();
            prop_assert!(attempted <= all);
        } else {
            let whole = bytes[..cut].iter().filter(|byte| **byte == b'\n').count();
            let whole = seconds.iter().take(whole).map(|it| it.len() as u64).sum::<u64>();
            prop_assert_eq!(attempted, whole);
            prop_assert!(!read.report().invalid_reasons.iter().any(|it| it.contains("could not")));
        }
    }

    /// Whatever parts' seconds are, the sum has all of their values, bucket by bucket.
    #[test]
    fn parts_that_are_merged_are_the_whole(
        parts in prop::collection::vec((seconds(), 0_u64..3_000), 2..4),
    ) {
        let directory = Directory::new();
        let of = u32::try_from(parts.len()).unwrap();
        let mut whole = Measurements::of_nothing();
        let mut directories = Vec::new();
        for (number, (seconds, late_ms)) in (1..).zip(&parts) {
            let path = directory.0.join(number.to_string());
            let info = info(Part { number, of }, 1_000 * NS_PER_S + late_ms * MS);
            let log = write(&path, &info, seconds, true);
            whole.merge(log.measurements());
            directories.push(path);
        }
        let out = directory.0.join("out");
        let merged = merge(&directories, &out, |_, _| ()).unwrap();
        let again = read_all(&out);
        prop_assert_eq!(again.report().to_json(), merged.report().to_json());
        let buckets = |measurements: &Measurements| {
            let tally = measurements.procedure(Procedure::Secure);
            let histograms = [tally.latency_us, tally.raw_us];
            let all = histograms.iter().flat_map(|it| it.iter_recorded());
            all.map(|it| (it.value_iterated_to(), it.count_at_value())).collect::<Vec<_>>()
        };
        prop_assert_eq!(buckets(&whole), buckets(merged.measurements()));
        prop_assert_eq!(whole.failures(), merged.measurements().failures());
        let (sum, got) = (whole.procedure(Procedure::Secure), merged.measurements().procedure(Procedure::Secure));
        prop_assert_eq!((sum.attempted, sum.completed, sum.failed), (got.attempted, got.completed, got.failed));
        let began = |late_ms: &u64| *late_ms as f64 / 1e3;
        let first = parts.iter().map(|(_, late_ms)| began(late_ms)).fold(f64::INFINITY, f64::min);
        let ends = parts.iter().map(|(seconds, late_ms)| began(late_ms) - first + seconds.len() as f64 + 0.125);
        let duration_s = ends.fold(0.0, f64::max);
        prop_assert!((merged.report().duration_s - duration_s).abs() < 0.002);
    }
}

#[test]
fn a_damaged_line_is_counted_and_the_rest_is_read() {
    let directory = Directory::new();
    let seconds = [vec![1, 2, 3], vec![4, 5], vec![6]];
    write(&directory.0, &info(Part::WHOLE, 5), &seconds, true);
    let path = directory.0.join(INTERVALS_FILE);
    let text = fs::read_to_string(&path).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let damaged = [lines[0], &lines[1][1..], lines[2], lines[3]].join("\n") + "\n";
    fs::write(&path, damaged).unwrap();
    let log = read_all(&directory.0);
    let secure = log.measurements().procedure(Procedure::Secure);
    assert_eq!(secure.attempted, 4, "without the two of the second line");
    assert_eq!(log.report().invalid_reasons, ["1 lines of the log could not be read"]);
}

#[test]
fn a_part_that_was_cut_off_or_ran_at_another_time_makes_the_whole_invalid() {
    let directory = Directory::new();
    let paths = [1, 2].map(|number| directory.0.join(number.to_string()));
    let part = |number| Part { number, of: 2 };
    write(&paths[0], &info(part(1), 0), &[vec![1], vec![2]], true);
    write(&paths[1], &info(part(2), 60 * NS_PER_S), &[vec![3]], false);
    let merged = merge(&paths, &directory.0.join("out"), |_, _| ()).unwrap();
    let reasons = merged.report().invalid_reasons;
    assert_eq!(reasons[0], "part 2/2: the run was cut off after 1.0 s");
    assert!(reasons[1].contains("part 2/2 began 60 s after the first one"), "{reasons:?}");
    assert_eq!(merged.report().duration_s, 61.0);
}

#[test]
fn own_engines_are_added_and_a_shared_one_is_taken_once() {
    for (target, expected) in [(None, 5), (Some("127.0.0.1:5060".to_owned()), 3)] {
        let directory = Directory::new();
        let paths = [1, 2].map(|number| directory.0.join(number.to_string()));
        for (number, path) in (1..).zip(&paths) {
            let mut info = info(Part { number, of: 2 }, 0);
            info.target.clone_from(&target);
            let mut writer = LogWriter::create(path, &info).unwrap();
            let engine = Engine { messages_in: 1 + u64::from(number), ..Engine::default() };
            let outcome = Outcome {
                duration_s: f64::from(number),
                engine: Some(engine),
                ..Outcome::default()
            };
            writer.end(&End { outcome, ..End::default() }).unwrap();
        }
        let merged = merge(&paths, &directory.0.join("out"), |_, _| ()).unwrap();
        assert_eq!(merged.report().engine.unwrap().messages_in, expected);
    }
}

#[test]
fn what_was_done_by_hand_and_what_ended_a_run_comes_back_and_adds_up() {
    let directory = Directory::new();
    let paths = [1, 2].map(|number| directory.0.join(number.to_string()));
    let aborted = Aborted {
        at_s: 2.0,
        path: "procedures.secure.failed".to_owned(),
        condition: "== 0".to_owned(),
        value: 1.0,
    };
    let done = |at_s, part, action| Intervention { at_s, part, action };
    for (number, path) in (1..).zip(&paths) {
        // The second part began 300 ms later.
        let info = info(Part { number, of: 2 }, u64::from(number) * 300 * MS);
        let mut writer = LogWriter::create(path, &info).unwrap();
        let mut second = second(&mut Measurements::new(), 0, &[]);
        let action = if number == 1 { Action::Pause } else { Action::Rate { percent: 90 } };
        second.interventions = vec![done(0.1, None, action)];
        writer.write(&second).unwrap();
        let aborted = (number == 2).then(|| aborted.clone());
        let outcome = Outcome { duration_s: 2.0, aborted, ..Outcome::default() };
        writer.end(&End { outcome, drained: true, captures: 0 }).unwrap();
    }
    let one = read_all(&paths[0]).report();
    assert_eq!(
        (&one.interventions[..], &one.aborted),
        (&[done(0.1, None, Action::Pause)][..], &None)
    );
    let merged = merge(&paths, &directory.0.join("out"), |_, _| ()).unwrap().report();
    let rate = Action::Rate { percent: 90 };
    let expected = [done(0.1, Some(1), Action::Pause), done(0.4, Some(2), rate)];
    assert_eq!((&merged.interventions[..], merged.aborted), (&expected[..], Some(aborted)));
    assert_eq!(read_all(&directory.0.join("out")).report().interventions, expected);
}

#[test]
fn what_links_have_lost_and_doubled_comes_back_and_adds_up() {
    let directory = Directory::new();
    let paths = [1, 2].map(|number| directory.0.join(number.to_string()));
    let part = |number| info(Part { number, of: 2 }, 0);
    let links = |lost, doubled| LinkCounts { lost, doubled, no_room: 0 };
    let mut ended = LogWriter::create(&paths[0], &part(1)).unwrap();
    let outcome = Outcome { links: links(5, 7), ..Outcome::default() };
    ended.end(&End { outcome, ..End::default() }).unwrap();
    // Of one that was cut off its last second knows.
    let mut cut_off = LogWriter::create(&paths[1], &part(2)).unwrap();
    for number in 0..2 {
        let mut second = second(&mut Measurements::new(), number, &[]);
        second.state.links = links(10 * number, 100 * number);
        cut_off.write(&second).unwrap();
    }
    let counts = |log: &RunLog| {
        let generator = log.report().generator;
        (generator.links_lost, generator.links_doubled)
    };
    assert_eq!(counts(&read_all(&paths[0])), (5, 7));
    assert_eq!(counts(&read_all(&paths[1])), (10, 100));
    let merged = merge(&paths, &directory.0.join("out"), |_, _| ()).unwrap();
    assert_eq!(counts(&merged), (15, 107));
    assert_eq!(read_all(&directory.0.join("out")).report(), merged.report());
}

/// A step with as many set-ups of these latencies as are given.
fn step(began_at: u64, latencies_ms: &[u64]) -> StepTally {
    let mut row = StepRow::new(Procedure::Secure, 10.0, Some(100 * MS));
    for latency_ms in latencies_ms {
        row.tally.attempted += 1;
        row.tally.completed += 1;
        row.tally.record(latency_ms * MS);
    }
    StepTally {
        load: (1.0, 2.0),
        began_at,
        measured_from: began_at + NS_PER_S,
        ended_at: None,
        late: 1,
        waited: 2,
        rows: vec![row],
    }
}

#[test]
fn steps_of_the_load_come_back_and_add_up() {
    let directory = Directory::new();
    let paths = [1, 2].map(|number| directory.0.join(number.to_string()));
    for (number, path) in (1..).zip(&paths) {
        let info = info(Part { number, of: 2 }, 0);
        let mut writer = LogWriter::create(path, &info).unwrap();
        let (mut changes, mut measurements) = (StepChanges::default(), Measurements::new());
        let mut steps = Vec::new();
        for second_number in 0..3 {
            // The first step gets another value a second; the second one begins in the last.
            let started_at = 7 * NS_PER_S;
            let latencies: Vec<u64> = (0..=second_number).map(|it| 5 + it * 60).collect();
            steps.truncate(0);
            steps.push(step(started_at, &latencies));
            if second_number == 2 {
                steps.push(step(started_at + 2 * NS_PER_S, &[]));
            }
            let mut second = second(&mut measurements, second_number, &[]);
            second.steps = changes.take(&steps, started_at);
            assert_eq!(second.steps.len(), if second_number == 2 { 2 } else { 1 });
            assert!(changes.take(&steps, started_at).is_empty(), "nothing is new");
            writer.write(&second).unwrap();
        }
    }
    let one = read_all(&paths[0]).report().steps;
    let counts = |step: &crate::report::LoadStepReport| {
        let row = &step.procedures.0[0].1;
        (
            step.late_starts,
            row.attempted,
            row.completed,
            row.offered_per_s,
            row.latency_us.max / 1_000,
        )
    };
    assert_eq!(counts(&one[0]), (1, 3, 3, 10.0, 125));
    assert_eq!((one[1].began_s, one[1].ended_s), (2.0, 3.0), "it was cut off");
    let merged = merge(&paths, &directory.0.join("out"), |_, _| ()).unwrap();
    assert_eq!(counts(&merged.report().steps[0]), (2, 6, 6, 20.0, 125));
    assert_eq!(read_all(&directory.0.join("out")).report(), merged.report());
}

#[test]
fn logs_of_a_later_version_are_refused() {
    let directory = Directory::new();
    write(&directory.0, &RunInfo { schema: SCHEMA + 1, ..info(Part::WHOLE, 0) }, &[], true);
    let error = read(&directory.0, |_| ()).unwrap_err().to_string();
    assert!(error.contains("of a later imstorm"), "{error}");
}

#[test]
fn a_part_is_not_written_over_by_whatever_path() {
    let directory = Directory::new();
    let parts = [1, 2].map(|number| directory.0.join(number.to_string()));
    for (number, path) in (1..).zip(&parts) {
        fs::create_dir(path).unwrap();
        write(path, &info(Part { number, of: 2 }, 0), &[vec![5]], true);
    }
    let part = parts[1].clone();
    let before = fs::read(part.join("latency.hlog")).unwrap();
    std::os::unix::fs::symlink(&part, directory.0.join("link")).unwrap();
    for out in [directory.0.join("1/../2"), directory.0.join("link"), part.clone()] {
        let merged = merge(&parts, &out, |_, _| ());
        assert!(matches!(merged, Err(MergeError::InPlace(_))), "{}", out.display());
        assert_eq!(fs::read(part.join("latency.hlog")).unwrap(), before);
    }
}

#[test]
fn steps_that_parts_have_at_other_times_make_the_whole_invalid() {
    // Steps of 20 s behind a transient of 1 s: so much may lie between the parts.
    for (apart_ms, is_apart) in [(0, false), (1_000, false), (1_001, true), (12_000, true)] {
        let directory = Directory::new();
        let paths = [1, 2].map(|number| directory.0.join(number.to_string()));
        for (number, path) in (1..).zip(&paths) {
            let mut writer = LogWriter::create(path, &info(Part { number, of: 2 }, 0)).unwrap();
            let began_at = 5 * NS_PER_S + u64::from(number - 1) * apart_ms * MS;
            let ended_at = Some(began_at + 20 * NS_PER_S);
            let state =
                StepState { number: 0, step: StepTally { ended_at, ..step(began_at, &[7]) } };
            let mut second = second(&mut Measurements::new(), 0, &[]);
            second.steps = vec![state];
            writer.write(&second).unwrap();
            writer.end(&End { drained: true, ..End::default() }).unwrap();
        }
        let merged = merge(&paths, &directory.0.join("out"), |_, _| ()).unwrap().report();
        let expected = format!("step 1 began {:.1} s apart in the parts", apart_ms as f64 / 1e3);
        let said = merged.invalid_reasons.contains(&expected);
        assert_eq!(said, is_apart, "{apart_ms}: {:?}", merged.invalid_reasons);
    }
}
