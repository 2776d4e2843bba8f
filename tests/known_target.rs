//! The generator as an instrument, held against a target that is known: what it reports has to be what follows on paper from the target's
//! service time, its stall and its losses, and where the generator itself was the limit it has to say so.

use imstorm::health::{Health, Judgement};
use imstorm::measure::{Cause, Tally};
use imstorm::profile::Profile;
use imstorm_base::time::{NS_PER_MS, NS_PER_S, Time};
use tests::fifo::{Fate, FifoSpec};
use tests::virtual_run::{Ticks, VirtualRun, tally_of};

/// What a request takes at the target.
const SERVICE_NS: u64 = NS_PER_MS / 2;
const FIFO: FifoSpec =
    FifoSpec { service_ns: SERVICE_NS, limit: None, refuses: false, stall: None, loss: None };
/// Twice as long as the target takes for a request.
const CONSTANT: &str = "process = \"constant\"\nrate_per_s = 1000";

/// Both have the same buckets, each with the same count.
#[track_caller]
fn same(measured: &Tally, expected: &Tally) {
    assert_eq!(measured.attempted, expected.attempted);
    assert_eq!(measured.completed, expected.completed);
    let buckets = |tally: &Tally| -> Vec<(u64, u64)> {
        let recorded = tally.latency_us.iter_recorded();
        recorded.map(|it| (it.value_iterated_to(), it.count_at_value())).collect()
    };
    assert_eq!(buckets(measured), buckets(expected));
}

/// p50, p99, p99.9 and the longest are those on paper, in microseconds.
#[track_caller]
fn percentiles(measured: &Tally, on_paper_us: [u64; 4]) {
    let latency = measured.latency();
    for (got, expected) in
        [latency.p50, latency.p99, latency.p999, latency.max].into_iter().zip(on_paper_us)
    {
        let is_same = measured.latency_us.equivalent(got, expected);
        assert!(is_same, "{got} µs, and {expected} µs on paper: {latency:?}");
    }
}

/// Lindley's recursion: how long each request is there, from when they come. The wait of one is that of the one before and its service, less
/// the time between the two.
fn lindley(arrivals: &[Time]) -> Vec<u64> {
    let mut wait_ns = 0;
    let gaps = arrivals.windows(2).map(|pair| pair[1] - pair[0]);
    let rest = gaps.map(|gap_ns| {
        wait_ns = (wait_ns + SERVICE_NS).saturating_sub(gap_ns);
        wait_ns + SERVICE_NS
    });
    std::iter::once(SERVICE_NS).chain(rest).collect()
}

/// Why the run would be invalid.
fn reasons(run: &mut VirtualRun) -> Vec<String> {
    let lateness_us = run.generator.take_lateness();
    let health = Health { lateness_us, ..Health::default() };
    let counts = run.generator.measurements().generator();
    Judgement { health: &health, counts }.reasons(&run.profile.validity)
}

#[test]
fn at_a_constant_rate_below_the_targets_every_latency_is_its_service_time() {
    let mut run = VirtualRun::new(20_000, CONSTANT, "", FIFO, Ticks::OnTime);
    same(&run.registrations(), &tally_of([SERVICE_NS; 20_000]));
    percentiles(&run.registrations(), [500; 4]);
    assert_eq!(run.generator.state().retransmissions, 0);
    assert_eq!(reasons(&mut run), Vec::<String>::new());
}

/// Nothing is worked on for 500 ms from the 5,000th arrival on. The one that brings it waits those, and each that follows half a millisecond
/// less than the one before, as a request comes each millisecond and takes half of one: after 1,000 of them the queue is empty.
#[test]
fn a_stall_is_a_ramp_that_falls_to_the_service_time() {
    const UES: u64 = 20_000;
    let spec = FifoSpec { stall: Some((4_999, 500 * NS_PER_MS)), ..FIFO };
    let run = VirtualRun::new(UES, CONSTANT, "", spec, Ticks::OnTime);
    let ramp = (0..1_000).map(|number| 500 * NS_PER_MS + SERVICE_NS - number * SERVICE_NS);
    let rest = std::iter::repeat_n(SERVICE_NS, UES as usize - 1_000);
    same(&run.registrations(), &tally_of(ramp.chain(rest)));
    // Of 20,000 the 200 longest are above p99, and the 20 longest above p99.9.
    percentiles(&run.registrations(), [500, 400_500, 490_500, 500_500]);
}

#[test]
fn poisson_arrivals_wait_as_lindley_says() {
    let arrivals = "process = \"poisson\"\nrate_per_s = 1000";
    let mut run = VirtualRun::new(50_000, arrivals, "", FIFO, Ticks::OnTime);
    let on_paper = lindley(&run.first_arrivals());
    same(&run.registrations(), &tally_of(on_paper.iter().copied()));
    // Pollaczek and Khinchine, half loaded: half a service time of waiting on average.
    let mean_ns = on_paper.iter().sum::<u64>() as f64 / on_paper.len() as f64;
    assert!((mean_ns / (1.5 * SERVICE_NS as f64) - 1.0).abs() < 0.04, "{mean_ns}");
    assert_eq!(reasons(&mut run), Vec::<String>::new());
}

/// A generator that has its ticks late sends late and hears late, but what it reports counts from the intended starts, which are those of the same
/// run on time.
#[test]
fn latencies_count_from_the_intended_start_however_late_it_came() {
    let arrivals = "process = \"poisson\"\nrate_per_s = 1000";
    let on_time = VirtualRun::new(5_000, arrivals, "", FIFO, Ticks::OnTime);
    let gap_ns = 7 * NS_PER_MS;
    let late = VirtualRun::new(5_000, arrivals, "", FIFO, Ticks::Every(gap_ns));
    let intended = on_time.first_arrivals();
    let sent = late.first_arrivals();
    assert_eq!(sent, intended.iter().map(|at| at.next_multiple_of(gap_ns)).collect::<Vec<_>>());
    let heard = sent
        .iter()
        .zip(lindley(&sent))
        .map(|(at, took_ns)| (at + took_ns).next_multiple_of(gap_ns));
    same(
        &late.registrations(),
        &tally_of(heard.zip(&intended).map(|(at, intended)| at - intended)),
    );
}

#[test]
fn beyond_the_targets_rate_the_queue_is_as_long_as_its_limit() {
    let spec = FifoSpec { limit: Some(100), refuses: true, ..FIFO };
    let arrivals = "process = \"constant\"\nrate_per_s = 4000";
    let run = VirtualRun::new(20_000, arrivals, "", spec, Ticks::OnTime);
    let measured = run.registrations();
    // Two come for each that is served: the queue grows with every other arrival until it is full, and then every other one is refused.
    percentiles(&measured, [50_000; 4]);
    let refused = run.fifo.arrivals.iter().filter(|it| it.fate == Fate::Refused).count() as u64;
    assert_eq!((measured.failed, measured.completed), (refused, 20_000 - refused));
    assert_eq!(run.generator.measurements().failures().of(Cause::StatusOther(503)), refused);
    // The first leaves three quarters of a millisecond after the start, and one more each half until the last comes at 5 s, when 100 are there.
    assert_eq!(measured.completed, 9_999 + 100);
}

#[test]
fn a_starved_generator_calls_itself_invalid() {
    let gap_ns = 200 * NS_PER_MS;
    let mut run = VirtualRun::new(5_000, CONSTANT, "", FIFO, Ticks::Every(gap_ns));
    // Of each 200 starts a tick has those of its own time and of the 10 ms before in time; the answers to all are heard a tick later.
    let latencies =
        (1..=5_000).map(|ms| (ms * NS_PER_MS).next_multiple_of(gap_ns) + gap_ns - ms * NS_PER_MS);
    same(&run.registrations(), &tally_of(latencies));
    let reasons = reasons(&mut run);
    assert_eq!(
        reasons,
        [
            "4725 of 5000 starts came more than 10 ms late, where 5% may, the latest by 199 ms: the generator was the limit"
        ]
    );
    assert_eq!(run.generator.measurements().generator().late_starts, 4_725);
}

#[test]
fn a_profile_can_ask_for_less_lateness() {
    let gap_ns = 5 * NS_PER_MS;
    let strict = "[validity]\nlateness_p99_ms_max = 1";
    let mut run = VirtualRun::new(1_000, CONSTANT, "", FIFO, Ticks::Every(gap_ns));
    assert_eq!(reasons(&mut run), Vec::<String>::new(), "10 ms are usual");
    let mut run = VirtualRun::new(1_000, CONSTANT, strict, FIFO, Ticks::Every(gap_ns));
    assert_eq!(
        reasons(&mut run),
        [
            "99 of 100 starts came up to 4.0 ms late, where 1 ms are allowed: the generator was the limit"
        ]
    );
    let mut run = VirtualRun::new(1_000, CONSTANT, strict, FIFO, Ticks::OnTime);
    assert_eq!(reasons(&mut run), Vec::<String>::new());
}

/// RFC 3261 clause 17.1.2.2 with T1 of 500 ms and T2 of 4 s: when a request is sent again, from its first transmission.
const SENT_AGAIN_MS: [u64; 10] =
    [500, 1_500, 3_500, 7_500, 11_500, 15_500, 19_500, 23_500, 27_500, 31_500];

/// A profile of requests that come so far apart, by no divisor of T1, that each has the target for itself.
fn lossy(ues: u64) -> Profile {
    let text = format!(
        "name = \"lossy\"\n[population]\nsize = {ues}\n[arrivals]\nprocess = \"constant\"\nrate_per_s = 37.7\n\
         [ue]\naccess = \"registration\"\naccess_security = \"none\"\nshared_address = true\nt1_ms = 500\n"
    );
    Profile::parse("lossy.toml", &text, &[]).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn what_is_lost_is_sent_again_as_timer_e_says_and_takes_as_long() {
    const UES: u64 = 90;
    for times in 1..=SENT_AGAIN_MS.len() {
        let spec = FifoSpec { loss: Some((3, times)), ..FIFO };
        let run = VirtualRun::of(lossy(UES), spec, Ticks::OnTime);
        let lost_ns = SENT_AGAIN_MS[times - 1] * NS_PER_MS + SERVICE_NS;
        let latencies = (0..UES).map(|ue| if ue % 3 == 2 { lost_ns } else { SERVICE_NS });
        same(&run.registrations(), &tally_of(latencies));
        let state = run.generator.state();
        assert_eq!(state.retransmissions, UES / 3 * times as u64, "lost {times} times");
        let first = run.first_arrivals();
        let again = run.fifo.arrivals.iter().map(|it| (it.number, it.at - first[it.number]));
        let again: Vec<_> = again.filter(|(number, _)| number % 3 == 2).collect();
        for number in (0..UES as usize).filter(|number| number % 3 == 2) {
            let of = again.iter().filter(|it| it.0 == number).map(|it| it.1 / NS_PER_MS);
            let expected = std::iter::once(0).chain(SENT_AGAIN_MS[..times].iter().copied());
            assert!(of.eq(expected), "request {number}, lost {times} times");
        }
    }
}

#[test]
fn what_is_never_answered_fails_after_64_t1_and_is_in_no_latency() {
    const UES: u64 = 90;
    let spec = FifoSpec { loss: Some((3, usize::MAX)), ..FIFO };
    let run = VirtualRun::of(lossy(UES), spec, Ticks::OnTime);
    let measured = run.registrations();
    assert_eq!(
        (measured.attempted, measured.completed, measured.failed),
        (UES, UES * 2 / 3, UES / 3)
    );
    percentiles(&measured, [500; 4]);
    assert_eq!(run.generator.measurements().failures().of(Cause::Timeout), UES / 3);
    let retransmissions = UES / 3 * SENT_AGAIN_MS.len() as u64;
    assert_eq!(run.generator.state().retransmissions, retransmissions);
    assert_eq!(run.fifo.arrivals.len() as u64, UES + retransmissions);
    // The last of them gives up 32 s after it began.
    let last = run.first_arrivals()[UES as usize - 1];
    assert!(run.fifo.arrivals.iter().all(|it| it.at < last + 32 * NS_PER_S));
}
