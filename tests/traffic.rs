//! The load that a population offers once it is brought up, against a target that is known, in virtual time.

use imstorm::measure::{Procedure, StepTally};
use imstorm::part::Part;
use imstorm::profile::{Capacity, Profile};
use imstorm::traffic::{CapacityResult, Search, SearchLimit, StepVerdict};
use imstorm_base::time::{NS_PER_MS, NS_PER_S};
use tests::fifo::FifoSpec;
use tests::virtual_run::{START, Ticks, VirtualRun};

/// A target that takes half a millisecond for a request.
const HALF_MS: FifoSpec =
    FifoSpec { service_ns: NS_PER_MS / 2, limit: None, refuses: false, stall: None, loss: None };

/// Plain UEs that are brought up within a fifth of a second, and `traffic`.
fn profile(ues: u64, traffic: &str) -> Profile {
    let text = format!(
        "name = \"load\"\n[population]\nsize = {ues}\n[arrivals]\nprocess = \"constant\"\nrate_per_s = {}\n\
         [ue]\naccess = \"registration\"\naccess_security = \"none\"\nshared_address = true\nt1_ms = 2000\n\
         [traffic]\n{traffic}\n",
        5 * ues
    );
    Profile::parse("load.toml", &text, &[]).unwrap_or_else(|error| panic!("{error}"))
}

fn steps(run: &VirtualRun) -> &[StepTally] {
    run.generator.measurements().steps().all()
}

#[test]
fn each_step_has_its_own_starts_behind_its_transient() {
    let traffic = "process = \"constant\"\nsettle_s = 0.5\nmix.refresh.rate_per_s = 100\n\
                   steps = [{ for_s = 2, transient_s = 0.5 }, { load = 3, for_s = 1 }, { load = 0, load_to = 2, for_s = 10 }]";
    let run = VirtualRun::of(profile(50, traffic), HALF_MS, Ticks::OnTime);
    let counts: Vec<_> = steps(&run)
        .iter()
        .map(|step| {
            (step.rows[0].tally.attempted, step.rows[0].tally.completed, step.rows[0].offered_per_s)
        })
        .collect();
    // Of 200 in the first two seconds those of the first half don't count; a ramp from 0 to 200 a second has 1,000 in ten seconds.
    assert_eq!(counts, [(150, 150, 100.0), (300, 300, 300.0), (1_000, 1_000, 100.0)]);
    let refreshes = run.generator.measurements().procedure(Procedure::Refresh);
    assert_eq!((refreshes.attempted, refreshes.completed), (1_500, 1_500), "all are in the whole");
    let began = steps(&run)[0].began_at - START;
    // The last of 50 UEs is registered after 200.5 ms.
    assert_eq!(began, 700 * NS_PER_MS + NS_PER_MS / 2, "half a second after the bring-up was over");
}

#[test]
fn the_parts_of_a_load_are_together_the_whole() {
    let traffic = "process = \"constant\"\nsettle_s = 0.5\nmix.refresh.rate_per_s = 100\n\
                   steps = [{ for_s = 2, transient_s = 0.5 }, { load = 3, for_s = 1 }, { load = 0, load_to = 2, for_s = 10 }]";
    let run_of = |part: Part| {
        let profile = Profile { part, ..profile(60, traffic) };
        VirtualRun::of(profile, HALF_MS, Ticks::OnTime)
    };
    let counts = |run: &VirtualRun| {
        let each = steps(run).iter().map(|step| (&step.rows[0].tally, step.rows[0].offered_per_s));
        each.map(|(tally, offered)| (tally.attempted, tally.completed, offered)).collect::<Vec<_>>()
    };
    let whole = counts(&run_of(Part::WHOLE));
    assert_eq!(whole, [(150, 150, 100.0), (300, 300, 300.0), (1_000, 1_000, 100.0)]);
    let mut sum = vec![(0, 0, 0.0); 3];
    for number in 1..=2 {
        for (sum, of_part) in sum.iter_mut().zip(counts(&run_of(Part { number, of: 2 }))) {
            *sum = (sum.0 + of_part.0, sum.1 + of_part.1, sum.2 + of_part.2);
        }
    }
    assert_eq!(sum, whole);
}

#[test]
fn a_start_without_a_free_ue_waits_and_is_measured_from_when_it_was_intended() {
    // One UE, one refresh every 5 ms for a second, 10 ms for each: each waits 5 ms longer than the one before.
    let traffic = "process = \"constant\"\nmix.refresh = { rate_per_s = 200, delay_limit_ms = 500 }\nsteps = [{ for_s = 1 }]";
    let ten_ms = FifoSpec { service_ns: 10 * NS_PER_MS, ..HALF_MS };
    let run = VirtualRun::of(profile(1, traffic), ten_ms, Ticks::OnTime);
    let step = &steps(&run)[0];
    let (row, tally) = (&step.rows[0], &step.rows[0].tally);
    assert_eq!((tally.attempted, tally.completed, row.skipped), (200, 200, 0));
    assert_eq!(step.waited, 199);
    // The k-th is intended at (5 k - 2.5) ms and ends at (10 k + 2.5) ms.
    assert_eq!(tally.latency_us.max() / 1_000, 200 * 5 + 5);
    assert_eq!(tally.latency_us.value_at_quantile(0.5) / 1_000, 100 * 5 + 5);
    assert_eq!(row.inadequate, 101, "those behind the 99th took more than half a second");
    let all = run.generator.measurements().procedure(Procedure::Refresh);
    assert_eq!(all.raw_us.max() / 1_000, 10, "once it had begun each took its ten milliseconds");
    assert_eq!(all.latency_us.max() / 1_000, 1_005);
}

#[test]
fn what_a_slow_tick_delays_counts_from_when_it_was_intended() {
    // It looks at its clock once in 9 ms only, for starts every 10 ms.
    let traffic = "process = \"constant\"\nmix.refresh.rate_per_s = 100\nsteps = [{ for_s = 9 }]";
    let run = VirtualRun::of(profile(50, traffic), HALF_MS, Ticks::Every(9 * NS_PER_MS));
    let refreshes = run.generator.measurements().procedure(Procedure::Refresh);
    assert_eq!((refreshes.attempted, refreshes.completed), (900, 900));
    assert_eq!(refreshes.raw_us.max() / 1_000, 9, "an answer is seen at the next look");
    // On average a start comes half of 9 ms late.
    let late_us = refreshes.latency_us.mean() - refreshes.raw_us.mean();
    assert!((3_500.0..5_500.0).contains(&late_us), "{late_us}");
}

#[test]
fn what_never_began_is_in_at_its_age_when_the_run_is_cut() {
    let traffic = "process = \"constant\"\nmix.refresh.rate_per_s = 10\nsteps = [{ for_s = 2 }]";
    // The only UE's first refresh is never answered: 64 T1 of 2 s.
    let deaf = FifoSpec { loss: Some((2, usize::MAX)), ..HALF_MS };
    let mut only = profile(1, traffic);
    // Nothing begins later than that, and the refresh fails long after.
    only.limits.drain_s = 60.0;
    let mut run = VirtualRun::of(only, deaf, Ticks::OnTime);
    let cut = run.generator.cut(steps(&run)[0].began_at + 150 * NS_PER_S);
    assert_eq!((cut.under_way, cut.waiting), (0, 19), "one has failed, and 19 waited for its end");
    // Its registration lasts, and is refreshed once more by its own timer.
    let step = &steps(&run)[0];
    let all = &step.rows[0].tally;
    assert_eq!(
        (step.rows[0].tally.failed, step.rows[0].skipped, step.rows[0].inadequate),
        (1, 19, 20)
    );
    assert_eq!(
        (all.latency_us.len(), run.generator.measurements().generator().skipped_starts),
        (19, 19)
    );
    // Intended 50 to 1,950 ms after the step's beginning, the first of them the one that failed.
    let is_near = |us: u64, ms: u64| us.abs_diff(ms * 1_000) <= ms;
    assert!(is_near(all.latency_us.max(), 149_850), "{}", all.latency_us.max());
    assert!(is_near(all.latency_us.min(), 148_050), "{}", all.latency_us.min());
}

fn seek(profile: Profile, spec: FifoSpec, ticks: Ticks) -> CapacityResult {
    let plan = profile.traffic.as_ref().and_then(|traffic| traffic.capacity).unwrap_or_default();
    let seeks =
        |generator: &mut imstorm::generator::Generator| generator.seek_capacity(Search::new(plan));
    let run = VirtualRun::prepared(profile, spec, ticks, seeks);
    run.generator.capacity().expect("it was looked for")
}

const CAPACITY: &str = "mix.refresh = { rate_per_s = 100, delay_limit_ms = 100 }\n\
     capacity = { from = 10, step = 5, to = 60, resolution = 0.01, step_s = 6, transient_s = 2, tries = 1, appeals = 0, drain_s = 140 }";

#[test]
fn the_capacity_of_a_known_target_is_found() {
    let found = seek(profile(4_000, CAPACITY), HALF_MS, Ticks::OnTime);
    assert_eq!(found.limit, SearchLimit::Target, "{found:?}");
    let per_s = found.capacity_per_s.expect("some load is handled");
    // 2,000 a second are served; of Poisson arrivals a thousandth waits 100 ms from about 98% of that on.
    assert!((1_900.0..=2_000.0).contains(&per_s), "{found:?}");
    let refused = FifoSpec { limit: Some(20), refuses: true, ..HALF_MS };
    let found = seek(profile(4_000, CAPACITY), refused, Ticks::OnTime);
    let per_s = found.capacity_per_s.expect("some load is handled");
    assert!((1_000.0..1_950.0).contains(&per_s), "a short queue refuses bursts: {found:?}");
}

#[test]
fn appeals_do_not_lead_far_above_it() {
    let plan = CAPACITY.replace("tries = 1, appeals = 0", "tries = 2, appeals = 2");
    let found = seek(profile(4_000, &plan), HALF_MS, Ticks::OnTime);
    let per_s = found.capacity_per_s.expect("some load is handled");
    assert!((1_900.0..=2_100.0).contains(&per_s), "within 5%: {found:?}");
}

#[test]
fn a_generator_that_is_late_is_told_apart_from_its_target() {
    // It looks at its clock once in 30 ms: most starts come more than 10 ms late, at any load.
    let found = seek(profile(4_000, CAPACITY), HALF_MS, Ticks::Every(30 * NS_PER_MS));
    assert_eq!((found.limit, found.load), (SearchLimit::Generator, None), "{found:?}");
    assert_eq!(found.steps[0].verdict, StepVerdict::GeneratorLimit);
    // A profile that calls less than 100 ms no lateness finds what the target does.
    let mut lax = profile(4_000, CAPACITY);
    lax.validity.late_ms = 100.0;
    let found = seek(lax, HALF_MS, Ticks::Every(30 * NS_PER_MS));
    assert_eq!(found.limit, SearchLimit::Target, "{found:?}");
}

#[test]
fn a_target_that_takes_all_is_not_said_to_be_at_its_limit() {
    let quick = FifoSpec { service_ns: 1, ..HALF_MS };
    let plan = CAPACITY.replace("to = 60", "to = 21");
    let found = seek(profile(4_000, &plan), quick, Ticks::OnTime);
    assert_eq!((found.limit, found.load), (SearchLimit::HighestLoad, Some(21.0)), "{found:?}");
    assert!(Capacity::default().confidence > 0.9);
}
