use std::collections::BTreeSet;

use super::*;
use crate::measure::GeneratorCounts;
use crate::profile::{SharedCore, Validity};

/// Times in milliseconds.
fn times(times_ms: impl IntoIterator<Item = u64>) -> Distribution {
    let mut distribution = Distribution::new();
    times_ms.into_iter().for_each(|time_ms| distribution.record_ns(time_ms * 1_000_000));
    distribution
}

/// 100 starts of which ten came 20 ms late.
fn health() -> Health {
    Health {
        lateness_us: times((0..100).map(|number| if number % 10 == 0 { 20 } else { 0 })),
        socket_wait_us: times((0..100).map(|number| number % 5)),
        ..Health::default()
    }
}

fn reasons_of(health: &Health, rules: &Validity) -> Vec<String> {
    let counts = GeneratorCounts { late_starts: 10, skipped_starts: 4 };
    Judgement { health, counts }.reasons(rules)
}

/// Rules of which none is broken by [`health`].
fn kept() -> Validity {
    Validity {
        late_share_max: 0.1,
        lateness_p99_ms_max: Some(20.5),
        socket_wait_p99_ms_max: Some(4.1),
        softnet_drops_max: Some(0),
        generator_cpu_share_max: Some(0.0),
        shared_core: SharedCore::Invalid,
        skipped_starts_max: Some(4),
        ..Validity::default()
    }
}

#[test]
fn what_keeps_the_rules_is_valid() {
    assert_eq!(reasons_of(&health(), &kept()), Vec::<String>::new());
    let nothing = Judgement { health: &Health::default(), counts: GeneratorCounts::default() };
    assert_eq!(nothing.reasons(&kept()), Vec::<String>::new());
    assert_eq!(nothing.reasons(&Validity::default()), Vec::<String>::new());
}

/// The only reason, with one rule or one value made worse.
fn broken(change: impl FnOnce(&mut Health, &mut Validity)) -> String {
    let (mut health, mut rules) = (health(), kept());
    change(&mut health, &mut rules);
    let mut reasons = reasons_of(&health, &rules);
    assert_eq!(reasons.len(), 1, "{reasons:?}");
    reasons.remove(0)
}

#[test]
fn each_rule_has_its_reason() {
    let usual = Validity::default().late_share_max;
    let reason = broken(|_, rules| rules.late_share_max = usual);
    assert_eq!(
        reason,
        "10 of 100 starts came more than 10 ms late, where 5% may, the latest by 20 ms: the generator was the limit"
    );
    let reason = broken(|_, rules| (rules.late_ms, rules.late_share_max) = (15.0, 0.09));
    assert!(reason.starts_with("10 of 100 starts came more than 15 ms late, where 9% may"));
    let reason = broken(|health, _| health.lateness_us.merge(&times([30, 30])));
    assert!(reason.starts_with("99 of 100 starts came up to 30 ms late, where 20.5"), "{reason}");
    let reason = broken(|health, _| health.socket_wait_us.merge(&times([7, 7])));
    assert!(reason.starts_with("99 of 100 datagrams waited up to 7.0 ms in"), "{reason}");
    let reason = broken(|health, _| health.socket_drops = 1);
    assert_eq!(
        reason,
        "the kernel dropped 1 datagrams at the generator's own sockets (net.core.rmem_max)"
    );
    let reason = broken(|health, rules| (health.socket_drops, rules.socket_drops_max) = (9, 8));
    assert!(
        reason.contains("dropped 9 datagrams at the generator's own sockets, where 8 are allowed")
    );
    let reason = broken(|health, _| health.softnet.dropped = 3);
    assert!(reason.starts_with("the machine dropped 3 packets before any socket, where 0"));
    let reason = broken(|health, rules| {
        health.generator_thread = GeneratorThread { cpu_share_max: 0.93, ..Default::default() };
        rules.generator_cpu_share_max = Some(0.9);
    });
    assert_eq!(
        reason,
        "the generator's thread ran 93.0% of its busiest second, where 90.0% are allowed"
    );
    let reason = broken(|health, _| {
        health.latency_usable = false;
        health.cores.shared = BTreeSet::from([0, 3]);
    });
    assert_eq!(reason, "engine and generator share core 0, 3");
    let reason = broken(|_, rules| rules.skipped_starts_max = Some(3));
    assert_eq!(reason, "4 starts were skipped, where 3 are allowed");
}

#[test]
fn what_is_at_the_limit_is_kept_and_what_has_no_limit_is_never_broken() {
    let (mut worse, mut rules) = (health(), kept());
    worse.socket_drops = 8;
    rules.socket_drops_max = 8;
    assert!(reasons_of(&worse, &rules).is_empty());
    worse.generator_thread.cpu_share_max = 1.0;
    worse.softnet.dropped = 1_000;
    worse.latency_usable = false;
    worse.lateness_us.merge(&times([60_000; 3]));
    let free = Validity { late_share_max: 1.0, socket_drops_max: 8, ..Validity::default() };
    assert_eq!(reasons_of(&worse, &free), Vec::<String>::new());
}

/// Two seconds that differ in everything.
fn seconds() -> [Health; 2] {
    let first = Health {
        lateness_us: times([1, 2]),
        socket_wait_us: times([3]),
        tick_us: times([4]),
        socket_drops: 2,
        sockets: vec![SocketHealth {
            address: "127.0.0.1:5070".to_owned(),
            receive_buffer_bytes: 8 << 20,
            drops: 2,
        }],
        softnet: Softnet { dropped: 1, time_squeezes: 2 },
        generator_thread: GeneratorThread {
            wall_s: 1.0,
            cpu_s: 0.75,
            cpu_share: 0.75,
            cpu_share_max: 0.75,
            waited_s: 0.125,
            involuntary_switches: 5,
        },
        threads: [("generator".to_owned(), ThreadUse { cpu_s: 0.75, ..Default::default() })].into(),
        timer_slack_ns: 1,
        loosened: vec!["late_ms = 20 (default 10)".to_owned()],
        ..Health::default()
    };
    let mut second = first.clone();
    second.latency_usable = false;
    second.lateness_us = times([5]);
    second.generator_thread.cpu_s = 0.25;
    second.generator_thread.cpu_share_max = 0.25;
    second.threads.insert("imstorm".to_owned(), ThreadUse { cpu_s: 0.5, ..Default::default() });
    [first, second]
}

#[test]
fn seconds_and_parts_add_up() {
    let [first, second] = seconds();
    let mut sum = Health::default();
    sum.merge(&first);
    assert_eq!(sum, first, "nothing and something is something");
    sum.merge(&second);
    assert!(!sum.latency_usable);
    assert_eq!((sum.lateness_us.count(), sum.lateness_us.max()), (3, times([5]).max()));
    assert_eq!((sum.socket_wait_us.count(), sum.tick_us.count()), (2, 2));
    assert_eq!((sum.socket_drops, sum.sockets[0].drops), (4, 4));
    assert_eq!(sum.softnet, Softnet { dropped: 2, time_squeezes: 4 });
    let thread = sum.generator_thread;
    assert_eq!((thread.wall_s, thread.cpu_s, thread.cpu_share), (2.0, 1.0, 0.5));
    assert_eq!((thread.cpu_share_max, thread.involuntary_switches), (0.75, 10));
    assert_eq!((sum.threads["generator"].cpu_s, sum.threads["imstorm"].cpu_s), (1.5, 0.5));
    assert_eq!(sum.loosened.len(), 1);
}

#[test]
fn the_table_says_what_is_to_be_known() {
    let [first, mut second] = seconds();
    let text = render(&first);
    assert!(text.contains("starts late by p50 1.0 ms, p99 2.0 ms, at most 2.0 ms"), "{text}");
    assert!(text.contains("datagrams waited p50 3.0 ms"), "{text}");
    assert!(text.contains("ran 75% of the time, 75% of its busiest second"), "{text}");
    assert!(!text.contains("NOT USABLE"), "{text}");
    assert!(text.contains("rules laxer than the default: late_ms = 20 (default 10)"), "{text}");
    second.cores.shared = BTreeSet::from([1]);
    second.cores.generator = BTreeSet::from([1]);
    let text = render(&second);
    assert!(text.contains("LATENCIES ARE NOT USABLE: engine and generator share core 1"), "{text}");
    assert!(text.contains("cores 1, the engine's are not known; timer slack 1 ns"), "{text}");
    assert_eq!(render(&Health::default()), "");
}
