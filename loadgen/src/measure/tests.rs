use std::collections::HashSet;

use super::*;

const MS: u64 = 1_000_000;

#[test]
fn latencies_are_in_microseconds_to_three_digits() {
    let mut measurements = Measurements::new();
    for ms in 1..=1_000 {
        measurements.attempted(Procedure::Secure, Start::default());
        measurements.completed(Procedure::Secure, Start::default(), ms * MS);
    }
    let tally = measurements.procedure(Procedure::Secure);
    assert_eq!((tally.attempted, tally.completed, tally.failed), (1_000, 1_000, 0));
    let latency = tally.latency();
    let near = |got: u64, us: u64| assert!(got.abs_diff(us) * 1_000 <= us, "{got} for {us}");
    near(latency.p50, 500_000);
    near(latency.p90, 900_000);
    near(latency.p99, 990_000);
    near(latency.p999, 999_000);
    near(latency.max, 1_000_000);
    assert!((latency.mean - 500_500.0).abs() < 500.5, "{}", latency.mean);
    assert_eq!(measurements.procedure(Procedure::Refresh).latency(), Latency::default());
}

#[test]
fn latencies_beyond_the_range_are_recorded_at_its_ends() {
    let mut measurements = Measurements::new();
    measurements.completed(Procedure::Release, Start::default(), 0);
    measurements.completed(Procedure::Release, Start::default(), u64::MAX);
    let tally = measurements.procedure(Procedure::Release);
    assert_eq!(tally.latency_us.len(), 2);
    assert_eq!(tally.latency_us.min(), 1);
    assert!(tally.latency().max.abs_diff(600_000_000) < 600_000);
}

#[test]
fn a_skipped_start_is_in_the_histogram_at_its_age_and_nowhere_else() {
    let mut measurements = Measurements::new();
    measurements.skipped_start(Procedure::Secure, 0, 7_000 * MS);
    let tally = measurements.procedure(Procedure::Secure);
    assert_eq!((tally.attempted, tally.completed, tally.failed), (0, 0, 0));
    assert!(tally.latency().p50 >= 6_990_000);
    assert_eq!(measurements.generator(), GeneratorCounts { late_starts: 0, skipped_starts: 1 });
    assert_eq!(measurements.pending(), 0);
}

#[test]
fn intervals_part_what_happened_and_lose_nothing() {
    let mut measurements = Measurements::new();
    measurements.attempted(Procedure::Secure, Start::default());
    measurements.attempted(Procedure::Secure, Start::default());
    measurements.completed(Procedure::Secure, Start::default(), 10 * MS);
    let first = measurements.interval();
    assert_eq!(first.procedure(Procedure::Secure).attempted, 2);
    assert_eq!(measurements.pending(), 1);
    measurements.completed(Procedure::Secure, Start::default(), 500 * MS);
    measurements.transaction_attempted(Transaction::Notify);
    measurements.transaction_completed(Transaction::Notify, MS);
    let second = measurements.interval();
    let tally = second.procedure(Procedure::Secure);
    assert_eq!((tally.attempted, tally.completed, tally.latency_us.len()), (0, 1, 1));
    assert!(tally.latency_us.min() > 400_000, "the first interval's is not in the second");
    assert_eq!(second.transaction(Transaction::Notify).completed, 1);
    assert_eq!(measurements.interval().procedure(Procedure::Secure).latency_us.len(), 0);
    let total = measurements.procedure(Procedure::Secure);
    assert_eq!((total.attempted, total.completed, total.latency_us.len()), (2, 2, 2));
    assert_eq!(measurements.pending(), 0);
}

#[test]
fn what_is_abandoned_is_over_and_no_failure() {
    let mut measurements = Measurements::new();
    measurements.attempted(Procedure::Secure, Start::default());
    measurements.abandoned(Procedure::Secure, Start::default());
    let tally = measurements.procedure(Procedure::Secure);
    assert_eq!((tally.attempted, tally.completed, tally.failed, tally.abandoned), (1, 0, 0, 1));
    assert_eq!(measurements.failures().total(), 0);
    assert_eq!(measurements.pending(), 0);
}

#[test]
fn threads_are_merged() {
    let mut one = Measurements::new();
    one.attempted(Procedure::Refresh, Start::default());
    one.failed(Procedure::Refresh, Start::default(), Cause::Timeout);
    one.interval();
    let mut other = Measurements::new();
    other.attempted(Procedure::Refresh, Start::default());
    other.completed(Procedure::Refresh, Start::default(), 3 * MS);
    other.late_start();
    other.attempted(Procedure::Refresh, Start::default());
    other.failed(Procedure::Refresh, Start::default(), Cause::StatusOther(503));
    other.transaction_attempted(Transaction::Subscribe);
    other.transaction_failed(Transaction::Subscribe);
    one.merge(&other);
    let tally = one.procedure(Procedure::Refresh);
    assert_eq!((tally.attempted, tally.completed, tally.failed), (3, 1, 2));
    assert_eq!(one.failures().of(Cause::Timeout), 1);
    assert_eq!(one.failures().of(Cause::StatusOther(503)), 1);
    assert_eq!(one.failures().total(), 2);
    assert_eq!(one.generator().late_starts, 1);
    assert_eq!(one.transaction(Transaction::Subscribe).failed, 1);
    let mut merged = Measurements::new().interval();
    merged.merge(&other.interval());
    assert_eq!(merged.procedure(Procedure::Refresh).attempted, 2);
}

#[test]
fn causes_have_names_of_their_own_that_lead_back() {
    let mut names = HashSet::new();
    for (cause, name) in CAUSES {
        assert_eq!(cause.name(), *name);
        assert_eq!(Cause::from_name(name), Some(*cause));
        assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_'));
        assert!(names.insert(*name), "{name}");
    }
    assert_eq!(Cause::StatusOther(503).name(), "status_503");
    assert_eq!(Cause::from_name("status_503"), Some(Cause::StatusOther(503)));
    for bad in ["status_", "status_99", "status_200", "status_700", "status_x", "", "timeouts"] {
        assert_eq!(Cause::from_name(bad), None, "{bad}");
    }
}

#[test]
fn each_cause_is_counted_by_itself() {
    let mut measurements = Measurements::new();
    let all = CAUSES.iter().map(|(cause, _)| *cause).chain((300..700).map(Cause::StatusOther));
    for cause in all.clone() {
        measurements.failed(Procedure::Secure, Start::default(), cause);
    }
    let counted: Vec<_> = measurements.failures().iter().collect();
    assert_eq!(counted, all.map(|cause| (cause, 1)).collect::<Vec<_>>());
    // A code that no status line can have is counted, too.
    measurements.failed(Procedure::Secure, Start::default(), Cause::StatusOther(u16::MAX));
    assert_eq!(measurements.failures().of(Cause::StatusOther(699)), 2);
}

#[test]
fn vocabularies_lead_back() {
    for procedure in Procedure::ALL {
        assert_eq!(Procedure::from_name(procedure.name()), Some(*procedure));
    }
    for transaction in Transaction::ALL {
        assert_eq!(Transaction::from_name(transaction.name()), Some(*transaction));
    }
    assert_eq!(Procedure::from_name("Secure"), None);
}

#[test]
fn intervals_have_their_own_failures_and_add_up() {
    let (mut measurements, mut sum) = (Measurements::new(), Measurements::of_nothing());
    measurements.failed(Procedure::Secure, Start::default(), Cause::Timeout);
    measurements.late_start();
    let first = measurements.interval();
    assert_eq!(first.failures.iter().collect::<Vec<_>>(), [(Cause::Timeout, 1)]);
    measurements.failed(Procedure::Secure, Start::default(), Cause::StatusOther(503));
    let second = measurements.interval();
    assert_eq!(second.failures.iter().collect::<Vec<_>>(), [(Cause::StatusOther(503), 1)]);
    assert_eq!((first.generator.late_starts, second.generator.late_starts), (1, 0));
    sum.add(&first);
    sum.add(&second);
    assert_eq!(sum.failures(), measurements.failures());
    assert_eq!(sum.generator(), measurements.generator());
    assert_eq!(sum.procedure(Procedure::Secure).failed, 2);
    assert_eq!(sum.interval().failures.total(), 0, "it was told already");
}
