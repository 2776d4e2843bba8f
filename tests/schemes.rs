//! The second paper's schemes for simultaneous registrations in the simulator: what works is what the paper says, seen and not computed.

use std::collections::BTreeMap;
use std::sync::Arc;

use imstorm::course::CourseStep;
use imstorm::embedded;
use imstorm::measure::{Cause, Procedure, Tally};
use imstorm::population::directory;
use imstorm::profile::Profile;
use imstorm::schemes::Variant;
use imstorm::sim::checks;
use imstorm::sim::world::World;

/// Users of a run.
const USERS: u64 = 4;

/// What was seen of a variant with a seed. That all held, and that every user went through the course, is checked before.
struct Seen {
    /// The first step that failed for somebody.
    broken: Option<CourseStep>,
    /// By step: users that went through it, and of these those that it failed for.
    steps: BTreeMap<CourseStep, (u64, u64)>,
    /// Why the first one failed, and for how many users.
    causes: BTreeMap<String, u64>,
    failures: Vec<(Cause, u64)>,
    sessions_lost: u64,
    /// The algorithms that were agreed on, and how often.
    suites: BTreeMap<String, u64>,
    reauthentications: Tally,
    releases: Tally,
    /// Authentications of those that had one already, as the S-CSCF counts them.
    reauthenticated: u64,
    messages: Tally,
}

fn see(variant: &Variant, users: u64, seed: u64, more: &[(&str, &str)]) -> Seen {
    let place = format!("{}, seed {seed}", variant.name());
    let mut set = variant.overrides();
    set.push(("population.size".to_owned(), users.to_string()));
    set.extend(more.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())));
    let profile = Profile::load("schemes", &set).expect("a profile");
    let engine = embedded::config(&profile).expect("an engine's configuration");
    let directory = Arc::new(directory(&profile).expect("subscribers"));
    let mut world = World::new(&profile, &engine, directory, seed, None);
    let ended = world.run();
    assert_eq!(checks::at_the_end(&world, ended), Vec::<String>::new(), "{place}");
    let generator = world.generator();
    let course = generator.course().expect("a course");
    assert!(course.is_over(), "{place}: it ends at {:?}", course.step());
    let results = course.results();
    let broken = results.iter().find(|it| Some(it.step) == course.broken());
    let measurements = generator.measurements();
    Seen {
        broken: course.broken(),
        steps: results.iter().map(|it| (it.step, (it.users, it.failed))).collect(),
        causes: broken.map(|it| it.causes.clone()).unwrap_or_default(),
        failures: measurements.failures().iter().collect(),
        sessions_lost: generator.state().sessions.lost,
        suites: course.suites().clone(),
        reauthentications: measurements.procedure(Procedure::Reauthenticate),
        releases: measurements.procedure(Procedure::Release),
        reauthenticated: world.engine().counter(|it| it.reauthenticated),
        messages: measurements.procedure(Procedure::Message),
    }
}

/// Those variants of a scheme, as `P-CSCFs, UE / P-CSCF`.
fn variants(scheme: &str) -> impl Iterator<Item = (String, Variant)> {
    let of_scheme = Variant::all().filter(move |it| it.scheme.name() == scheme);
    of_scheme.map(|it| {
        let (ue, pcscf) = (it.ue_sa_policy.name(), it.pcscf_sa_policy.name());
        (format!("{}, {ue} / {pcscf}", it.pcscfs), it)
    })
}

/// Those variants of a scheme that break where the second access is added, and why for each user; and those that work in everything.
fn sorted(scheme: &str) -> (BTreeMap<String, String>, Vec<String>) {
    let (mut broken, mut working) = (BTreeMap::new(), Vec::new());
    for (name, variant) in variants(scheme) {
        let seen = see(&variant, USERS, 1, &[]);
        let Some(step) = seen.broken else {
            assert_eq!(seen.failures, [], "{scheme}, {name}");
            assert_eq!(seen.sessions_lost, 0, "{scheme}, {name}");
            assert_eq!(seen.steps.len(), CourseStep::ALL.len(), "{scheme}, {name}");
            assert!(seen.steps.values().all(|(users, _)| *users > 0), "{scheme}, {name}");
            working.push(name);
            continue;
        };
        // Each user had its second access, and could not be reached over both.
        assert_eq!(step, CourseStep::Check, "{scheme}, {name}");
        assert_eq!(seen.steps[&CourseStep::AddAccess], (USERS, 0), "{scheme}, {name}");
        let causes: Vec<&String> = seen.causes.keys().collect();
        assert_eq!(seen.causes.values().sum::<u64>(), USERS, "{scheme}, {name}: {causes:?}");
        broken.insert(name, causes.into_iter().cloned().collect::<Vec<_>>().join(" "));
    }
    (broken, working)
}

fn assert_sorted(scheme: &str, broken: &[(&str, &str)], working: &[&str]) {
    let (seen_broken, seen_working) = sorted(scheme);
    let expected: BTreeMap<String, String> =
        broken.iter().map(|(name, why)| ((*name).to_owned(), (*why).to_owned())).collect();
    assert_eq!(seen_broken, expected, "{scheme}");
    assert_eq!(seen_working, working, "{scheme}");
}

/// All handlings of security associations, over one P-CSCF and two.
const ALL: [&str; 6] = [
    "1, impi / impi",
    "1, impi-contact / impi",
    "1, impi-contact / impi-contact",
    "2, impi / impi",
    "2, impi-contact / impi",
    "2, impi-contact / impi-contact",
];

/// Where a set is kept for each registration at both ends, or at the UE with a P-CSCF for each access.
const WITH_THE_CHANGE: [&str; 3] =
    ["1, impi-contact / impi-contact", "2, impi-contact / impi", "2, impi-contact / impi-contact"];

/// Where one end has one set for a private identity, and both accesses come to it: the UE has no association for the first access any more, or
/// its P-CSCF has none, and the partner's message does not arrive (430 at that P-CSCF, 480 to the sender).
const TODAY: [(&str, &str); 3] = [
    ("1, impi / impi", "no_association"),
    ("1, impi-contact / impi", "status_480"),
    ("2, impi / impi", "no_association"),
];

#[test]
fn all_42_are_compared() {
    let all: Vec<Variant> = Variant::all().collect();
    assert_eq!(all.len(), 42);
    let mut names: Vec<String> = all.iter().map(Variant::name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), 42);
}

/// The S-CSCF ends the first one, and the UE is told (`connection_lost`): unless an end has deleted its security associations by then.
#[test]
fn today_a_second_registration_overrides_the_first() {
    let broken = [
        ("1, impi / impi", "no_association"),
        ("1, impi-contact / impi", "status_480"),
        ("1, impi-contact / impi-contact", "connection_lost"),
        // Some hear it from the first P-CSCF before the second one's 200.
        ("2, impi / impi", "connection_lost no_association"),
        ("2, impi-contact / impi", "connection_lost"),
        ("2, impi-contact / impi-contact", "connection_lost"),
    ];
    assert_sorted("registration", &broken, &[]);
}

#[test]
fn flows_need_a_set_for_each_registration() {
    assert_sorted("outbound", &TODAY, &WITH_THE_CHANGE);
}

#[test]
fn connectivity_checks_need_a_set_for_each_registration() {
    assert_sorted("connectivity-check", &TODAY, &WITH_THE_CHANGE);
}

#[test]
fn modified_private_identities_need_nothing_of_the_sort() {
    assert_sorted("modified-impi", &[], &ALL);
}

#[test]
fn with_flows_or_checks_modified_private_identities_need_nothing_of_the_sort_either() {
    assert_sorted("modified-impi+outbound", &[], &ALL);
    assert_sorted("modified-impi+connectivity-check", &[], &ALL);
}

/// Subscriptions stand side by side at the S-CSCF by themselves: a dialog each. Their sets of security associations do not where an end
/// keeps one for a private identity, so that this proposal needs the same change as the first two solutions.
#[test]
fn security_subscriptions_need_a_set_for_each_as_well() {
    assert_sorted("security-subscription", &TODAY, &WITH_THE_CHANGE);
}

const SOLUTIONS: [&str; 3] = ["outbound", "connectivity-check", "modified-impi"];

/// A set for each registration at both ends, over one P-CSCF and two.
fn by_contact(scheme: &str) -> impl Iterator<Item = (String, Variant)> {
    variants(scheme).filter(|(name, _)| name.ends_with("impi-contact / impi-contact"))
}

#[test]
fn each_registration_is_authenticated_again_without_the_others() {
    for scheme in SOLUTIONS {
        for (name, variant) in by_contact(scheme) {
            let place = format!("{scheme}, {name}");
            let seen = see(&variant, USERS, 1, &[]);
            // The first access while the second one rests, then the second one while the first one is refreshed.
            for step in [CourseStep::Reauthenticate, CourseStep::Both] {
                assert_eq!(seen.steps[&step], (USERS, 0), "{place}, {step:?}");
            }
            let again = seen.reauthentications;
            assert_eq!((again.attempted, again.completed), (2 * USERS, 2 * USERS), "{place}");
            assert_eq!(seen.reauthenticated, 2 * USERS, "{place}");
            // Before and after, over both accesses.
            assert_eq!(seen.steps[&CourseStep::CheckAgain], (USERS, 0), "{place}");
            assert_eq!(seen.messages.completed, 4 * USERS, "{place}");
            assert_eq!(seen.steps[&CourseStep::LeaveOne], (USERS, 0), "{place}");
            assert_eq!(seen.releases.completed, 2 * USERS, "{place}");
        }
    }
}

#[test]
fn all_three_agree_on_the_same_security() {
    let agreed = |scheme: &str| {
        by_contact(scheme)
            .map(|(_, variant)| see(&variant, USERS, 1, &[]).suites)
            .collect::<Vec<_>>()
    };
    let expected = agreed("outbound");
    // Attach, second access, two re-authentications, and the callers' handover.
    let sets: Vec<u64> = expected.iter().map(|suites| suites.values().sum()).collect();
    assert_eq!(sets, [4 * USERS + USERS / 2; 2]);
    for scheme in SOLUTIONS {
        assert_eq!(agreed(scheme), expected, "{scheme}");
    }
}

/// Where a call is moved, it stays, by each scheme that has both accesses at once. Today's registration loses it.
#[test]
fn a_call_outlives_the_handover_unless_registrations_override_each_other() {
    for (scheme, lost) in [
        ("registration", USERS / 2),
        ("outbound", 0),
        ("connectivity-check", 0),
        ("modified-impi", 0),
        ("modified-impi+outbound", 0),
        ("modified-impi+connectivity-check", 0),
        ("security-subscription", 0),
    ] {
        for (name, variant) in by_contact(scheme) {
            let seen = see(&variant, USERS, 1, &[]);
            assert_eq!(seen.sessions_lost, lost, "{scheme}, {name}");
            assert_eq!(seen.steps[&CourseStep::Handover], (USERS / 2, 0), "{scheme}, {name}");
        }
    }
}

const BAD_NETWORK: [(&str, &str); 3] =
    [("network.loss", "0.05"), ("network.duplication", "0.05"), ("network.reordering", "0.05")];

#[test]
fn over_a_bad_network_the_same_works() {
    for (name, variant) in Variant::all().map(|it| (it.name(), it)) {
        if !name.ends_with("-impi-contact-impi-contact") || name.starts_with("registration") {
            continue;
        }
        for seed in 1..=5 {
            let seen = see(&variant, 10, seed, &BAD_NETWORK);
            assert_eq!(seen.failures, [], "{name}, seed {seed}");
            assert_eq!(seen.broken, None, "{name}, seed {seed}");
        }
    }
}

/// So are the failures of today's: each user's message to the access that its partner has no more, and one by the user's own that
/// the network has ended, of which the user has not heard yet because the NOTIFY was lost (403).
#[test]
fn over_a_bad_network_a_second_registration_overrides_the_first_too() {
    for (name, variant) in by_contact("registration") {
        for seed in [1, 2, 19, 26] {
            let seen = see(&variant, 10, seed, &BAD_NETWORK);
            let place = format!("{name}, seed {seed}");
            assert_eq!(seen.broken, Some(CourseStep::Check), "{place}");
            let failed: u64 = seen.failures.iter().map(|(_, count)| count).sum();
            assert_eq!(seen.messages.failed, failed, "{place}");
            let causes: Vec<(String, u64)> =
                seen.failures.iter().map(|(it, count)| (it.name().into_owned(), *count)).collect();
            let (to_the_first, by_it) = (("status_480".to_owned(), 10), "forbidden_403".to_owned());
            match seed {
                1 | 2 => assert_eq!(causes, [to_the_first], "{place}"),
                _ => assert_eq!(causes, [(by_it, 1), to_the_first], "{place}"),
            }
        }
    }
}

/// Ends that delete security associations without a word leave connections, subscriptions and registrations behind, which end in time.
#[test]
fn over_a_bad_network_what_is_left_behind_ends() {
    for variant in Variant::all().filter(|it| it.pcscf_sa_policy.name() == "impi") {
        for seed in 1..=2 {
            let seen = see(&variant, 10, seed, &BAD_NETWORK);
            assert_eq!(seen.steps[&CourseStep::Leave], (10, 0), "{}, seed {seed}", variant.name());
        }
    }
}
