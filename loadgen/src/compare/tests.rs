use std::path::PathBuf;

use serde_json::{Value, json};

use super::side::Run;
use super::*;

/// What a report says of 20,000 set-ups.
fn report() -> Value {
    json!({
        "profile": "p", "verdict": "pass", "ues": { "configured": 20_000 },
        "procedures": { "secure": {
            "attempted": 20_000, "completed": 19_990, "failed": 10, "rate_per_s": 500.0,
            "latency_us": { "p50": 1_000, "p99": 5_000, "p999": 9_000, "max": 20_000 },
        } },
        "generator": { "cpu_s": 10.0, "rss_bytes": 100_000_000 },
        "engine": { "cpu_s": 20.0, "rss_bytes": 200_000_000 },
        "invalid_reasons": [],
    })
}

fn run(change: impl Fn(&mut Value)) -> Run {
    let mut report = report();
    change(&mut report);
    Run { path: PathBuf::from("run"), report, info: None }
}

fn side(runs: Vec<Run>) -> Side {
    Side { name: "side".to_owned(), runs }
}

/// Sides of runs whose p99 are these.
fn sides(of_a: &[u64], of_b: &[u64]) -> [Side; 2] {
    [of_a, of_b].map(|p99s| {
        let with =
            |p99: &u64| run(|it| it["procedures"]["secure"]["latency_us"]["p99"] = json!(p99));
        side(p99s.iter().map(with).collect())
    })
}

fn judged_of(sides: &[Side; 2], tolerances: &[&str]) -> (Judged, u8) {
    let tolerances: Vec<Tolerance> = tolerances.iter().map(|it| it.parse().unwrap()).collect();
    let compared = compare([&sides[0], &sides[1]], &tolerances, false).unwrap();
    let p99 = compared.findings.iter().find(|it| it.quantity.path.ends_with("latency_us.p99"));
    (p99.unwrap().judged, compared.exit_code())
}

#[test]
fn single_runs_differ_by_more_than_a_tolerance_or_are_the_same() {
    assert_eq!(judged_of(&sides(&[5_000], &[5_000]), &[]), (Judged::Same, 0));
    assert_eq!(judged_of(&sides(&[5_000], &[7_400]), &[]), (Judged::Same, 0));
    assert_eq!(judged_of(&sides(&[5_000], &[7_600]), &[]), (Judged::Worse, 1));
    assert_eq!(judged_of(&sides(&[5_000], &[3_300]), &[]), (Judged::Better, 0));
    let own = ["latency_us.p99=2"];
    assert_eq!(judged_of(&sides(&[5_000], &[5_200]), &own), (Judged::Worse, 1));
    let later = ["latency_us.p99=2", "procedures.secure.latency_us.p99=10"];
    assert_eq!(judged_of(&sides(&[5_000], &[5_200]), &later), (Judged::Same, 0));
}

#[test]
fn repeats_say_themselves_what_noise_is() {
    // The same difference of the medians, once within what repeats differ by and once beyond.
    let noisy = sides(&[4_000, 5_000, 6_000], &[4_500, 6_500, 7_000]);
    assert_eq!(judged_of(&noisy, &[]), (Judged::Same, 0));
    let quiet = sides(&[4_900, 5_000, 5_100], &[5_900, 6_000, 6_100]);
    assert_eq!(judged_of(&quiet, &[]), (Judged::Worse, 1));
    // Sure, and of no consequence.
    let little = sides(&[5_000, 5_001, 5_002], &[5_010, 5_011, 5_012]);
    assert_eq!(judged_of(&little, &[]), (Judged::Same, 0));
    // Two are too few to say.
    assert_eq!(judged_of(&sides(&[4_990, 5_000], &[5_900, 6_000]), &[]), (Judged::Same, 0));
}

#[test]
fn a_repeat_without_failures_hides_none_of_the_others() {
    let of = |failed: [u64; 3]| {
        side(
            failed
                .map(|failed| run(|it| it["procedures"]["secure"]["failed"] = json!(failed)))
                .into(),
        )
    };
    for after in [[0, 400, 500], [0, 0, 500]] {
        let (before, after) = (of([0, 0, 1]), of(after));
        let compared = compare([&before, &after], &[], false).unwrap();
        assert_eq!(compared.exit_code(), 1);
        assert_eq!(compare([&after, &before], &[], false).unwrap().exit_code(), 0);
    }
    let few = compare([&of([0, 0, 1]), &of([1, 0, 2])], &[], false).unwrap();
    assert_eq!(few.exit_code(), 0, "two more of 30,000 are chance");
}

/// What is other in a report.
type Change = fn(&mut Value);

#[test]
fn what_of_a_run_is_worse_is_said_and_exits_with_1() {
    let changes: [(&str, Change); 7] = [
        ("secure rate", |it| it["procedures"]["secure"]["rate_per_s"] = json!(480.0)),
        ("secure failed", |it| it["procedures"]["secure"]["failed"] = json!(60)),
        ("secure p50", |it| it["procedures"]["secure"]["latency_us"]["p50"] = json!(1_300)),
        ("secure p99.9", |it| it["procedures"]["secure"]["latency_us"]["p999"] = json!(19_000)),
        ("generator CPU", |it| it["generator"]["cpu_s"] = json!(12.0)),
        ("engine CPU", |it| it["engine"]["cpu_s"] = json!(24.0)),
        ("engine memory", |it| it["engine"]["rss_bytes"] = json!(230_000_000)),
    ];
    for (what, change) in changes {
        let (good, bad) = (side(vec![run(|_| ())]), side(vec![run(change)]));
        let compared = compare([&good, &bad], &[], false).unwrap();
        let worse = compared.findings.iter().filter(|it| it.judged == Judged::Worse);
        let worse: Vec<String> =
            worse.map(|it| format!("{} {}", it.quantity.of, it.quantity.rule.name)).collect();
        assert_eq!((worse, compared.exit_code()), (vec![what.to_owned()], 1));
        let other_way = compare([&bad, &good], &[], false).unwrap();
        assert!(other_way.has(Judged::Better), "{what}");
        assert_eq!(other_way.exit_code(), 0, "{what}");
    }
}

#[test]
fn what_is_too_few_values_is_not_judged() {
    let with = |max: u64, completed: u64| {
        side(vec![run(|it| {
            let row = &mut it["procedures"]["secure"];
            row["latency_us"]["max"] = json!(max);
            row["latency_us"]["p999"] = json!(max);
            row["completed"] = json!(completed);
        })])
    };
    let compared = compare([&with(1_000, 900), &with(90_000, 900)], &[], false).unwrap();
    assert_eq!(compared.exit_code(), 0, "the maximum and p99.9 of 900 are chance");
    let compared = compare([&with(1_000, 20_000), &with(90_000, 20_000)], &[], false).unwrap();
    assert_eq!(compared.exit_code(), 1, "p99.9 of 20,000 is not");
}

#[test]
fn latencies_of_a_shared_core_are_not_judged() {
    let mut sides = sides(&[5_000], &[50_000]);
    sides[1].runs[0].report["health"] = json!({ "latency_usable": false });
    assert_eq!(judged_of(&sides, &[]), (Judged::Nothing, 0));
}

#[test]
fn an_invalid_run_is_never_as_good() {
    let invalid = run(|it| {
        it["verdict"] = json!("invalid");
        it["invalid_reasons"] = json!(["17 datagrams were lost"]);
        it["procedures"]["secure"]["latency_us"]["p99"] = json!(100);
    });
    let (good, bad) = (side(vec![run(|_| ())]), side(vec![invalid]));
    for sides in [[&good, &bad], [&bad, &good]] {
        let compared = compare(sides, &[], false).unwrap();
        assert_eq!(compared.exit_code(), 1);
        let said = compared.conclusion();
        assert!(said.contains("INVALID") && said.contains("17 datagrams were lost"), "{said}");
    }
    let fails = side(vec![run(|it| it["verdict"] = json!("fail"))]);
    assert_eq!(compare([&good, &fails], &[], false).unwrap().exit_code(), 1);
    assert_eq!(compare([&fails, &good], &[], false).unwrap().exit_code(), 0);
    assert_eq!(compare([&fails, &fails], &[], false).unwrap().exit_code(), 0);
}

#[test]
fn what_did_something_else_is_not_comparable_unless_forced() {
    let good = side(vec![run(|_| ())]);
    let changes: [Change; 3] = [
        |it| it["profile"] = json!("q"),
        |it| it["ues"]["configured"] = json!(7),
        |it| it["part"] = json!({ "number": 1, "of": 2 }),
    ];
    for change in changes {
        let other = side(vec![run(change)]);
        let error = compare([&good, &other], &[], false).unwrap_err();
        assert!(matches!(error, CompareError::Differ(..)), "{error}");
        let forced = compare([&good, &other], &[], true).unwrap();
        assert_eq!((forced.remarks.len(), forced.exit_code()), (1, 0));
    }
    let tolerance: Tolerance = "no.such=5".parse().unwrap();
    let error = compare([&good, &good], &[tolerance], false).unwrap_err().to_string();
    assert!(error.contains("procedures.secure.rate_per_s"), "{error}");
    for bad in ["", "=5", "p99", "p99=x", "p99=-1", "p99=inf"] {
        assert!(bad.parse::<Tolerance>().is_err(), "{bad}");
    }
    assert!(
        "latency_us.p99=5%"
            .parse::<Tolerance>()
            .unwrap()
            .is_for("procedures.secure.latency_us.p99")
    );
    assert!(!"us.p99=5".parse::<Tolerance>().unwrap().is_for("procedures.secure.latency_us.p99"));
}

#[test]
fn what_was_done_by_hand_is_said() {
    let paused = run(|it| it["interventions"] = json!([{ "at_s": 1.0, "action": "pause" }]));
    let (good, paused) = (side(vec![run(|_| ())]), side(vec![paused]));
    let remarks = compare([&good, &paused], &[], false).unwrap().remarks;
    assert!(remarks.len() == 1 && remarks[0].contains("by hand"), "{remarks:?}");
    assert!(compare([&good, &good], &[], false).unwrap().remarks.is_empty());
}

#[test]
fn of_searches_only_what_they_found_is_compared() {
    let found = |capacity: Value| {
        side(vec![run(|it| {
            it["capacity"] = json!({ "capacity_per_s": capacity });
            it["procedures"]["secure"]["rate_per_s"] = capacity.clone();
        })])
    };
    let code = |a: Value, b: Value| {
        let compared = compare([&found(a), &found(b)], &[], false).unwrap();
        assert_eq!(compared.findings.len(), 1);
        (compared.findings[0].judged, compared.exit_code())
    };
    assert_eq!(code(json!(2_000.0), json!(1_900.0)), (Judged::Same, 0));
    assert_eq!(code(json!(2_000.0), json!(1_500.0)), (Judged::Worse, 1));
    assert_eq!(code(json!(2_000.0), Value::Null), (Judged::Worse, 1));
    assert_eq!(code(json!(1_500.0), json!(2_000.0)), (Judged::Better, 0));
}

#[test]
fn the_tables_are_as_ever() {
    let worse = run(|it| it["procedures"]["secure"]["latency_us"]["p99"] = json!(9_000));
    let sides = [side(vec![run(|_| ())]), side(vec![worse])];
    let compared = compare([&sides[0], &sides[1]], &[], false).unwrap();
    insta::assert_snapshot!("text", compared.to_text());
    insta::assert_snapshot!("markdown", compared.to_markdown());
}
