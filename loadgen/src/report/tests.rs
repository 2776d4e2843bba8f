use super::*;
use crate::measure::{Cause, Start};

fn profile(thresholds: &[(&str, &str)]) -> Profile {
    let mut text = "name = \"sample\"\n[population]\nsize = 1_200\nseed = 7\n[arrivals]\n\
                    rate_per_s = 100\n[thresholds]\n"
        .to_owned();
    for (path, condition) in thresholds {
        text.push_str(&format!("{path} = \"{condition}\"\n"));
    }
    Profile::parse("sample.toml", &text, &[]).unwrap()
}

/// A run of 1,200 UEs of which two fail, measured over 12 seconds.
fn measurements() -> Measurements {
    let mut measurements = Measurements::new();
    for ue in 0..1_200_u64 {
        measurements.attempted(Procedure::Secure, Start::default());
        measurements.transaction_attempted(Transaction::Subscribe);
        match ue {
            600 => measurements.failed(Procedure::Secure, Start::default(), Cause::Timeout),
            601 => {
                measurements.failed(Procedure::Secure, Start::default(), Cause::StatusOther(503));
            }
            1_199 => {}
            _ => {
                measurements.completed(
                    Procedure::Secure,
                    Start::default(),
                    2_000_000 + ue * 10_000,
                );
                measurements.transaction_completed(Transaction::Subscribe, 900_000 + ue * 100);
            }
        }
    }
    measurements.attempted(Procedure::Refresh, Start::default());
    measurements.completed(Procedure::Refresh, Start::default(), 1_500_000_000);
    measurements.late_start();
    measurements
}

fn outcome() -> Outcome {
    let mut phases = Phases::default();
    phases.note(0, 12_000_400_000, &measurements().interval());
    Outcome {
        phases,
        duration_s: 12.000_4,
        secured: 1_197,
        secured_ever: 1_199,
        cpu_s: 1.234_567,
        rss_bytes: 20 << 20,
        engine: Some(Engine {
            subscriptions: 1_197,
            security_associations: 4_788,
            messages_in: 3_000,
            messages_out: 3_001,
            cpu_s: 2.5,
            rss_bytes: 64 << 20,
            ..Engine::default()
        }),
        ..Outcome::default()
    }
}

const THRESHOLDS: &[(&str, &str)] = &[
    ("procedures.secure.latency_us.p99", "< 50_000"),
    ("procedures.release.latency_us.p99", "< 50000"),
    ("procedures.secure.failed", "== 0"),
    ("failures.no_notify", "==0"),
    ("engine.subscriptions", ">= 1"),
];

#[test]
fn a_search_that_finds_no_load_has_failed() {
    let profile = profile(&[]);
    let of = |limit| {
        let capacity = Some(CapacityResult { limit, ..CapacityResult::NONE_YET });
        let outcome = Outcome { capacity, ..outcome() };
        Report::new(&profile, &Measurements::new(), outcome)
    };
    let nothing = of(SearchLimit::LowestLoad);
    assert_eq!(nothing.verdict, Verdict::Fail);
    assert!(nothing.to_table().contains("FAIL: no load that was tried was handled adequately"));
    assert_eq!(of(SearchLimit::Target).verdict, Verdict::Pass);
}

#[test]
fn the_file_and_the_table_are_as_ever() {
    let report = Report::new(&profile(THRESHOLDS), &measurements(), outcome());
    assert_eq!(report.verdict, Verdict::Fail);
    insta::assert_snapshot!("report_json", report.to_json());
    insta::assert_snapshot!("report_table", report.to_table());
}

#[test]
fn a_run_without_an_engine_of_ours_has_null_for_it() {
    let profile = profile(&[("engine.subscriptions", ">= 0")]);
    let report = Report::new(&profile, &measurements(), Outcome { engine: None, ..outcome() });
    let json: serde_json::Value = serde_json::from_str(&report.to_json()).unwrap();
    assert!(json["engine"].is_null());
    assert_eq!((report.thresholds[0].value, report.thresholds[0].held), (None, false));
}

#[test]
fn what_never_was_is_no_short_latency() {
    let all = [
        ("procedures.refresh.latency_us.p99", "< 50000"),
        ("procedures.refresh.latency_raw_us.p99", "< 50000"),
    ];
    let report = Report::new(&profile(&all), &Measurements::new(), outcome());
    assert!(report.thresholds.iter().all(|it| it.value.is_none() && !it.held), "{report:?}");
}

#[test]
fn verdicts() {
    let held = [("procedures.secure.completed", "> 1000"), ("duration_s", "<= 12")];
    let pass = Report::new(&profile(&held), &measurements(), outcome());
    assert_eq!((pass.verdict, pass.verdict.exit_code()), (Verdict::Pass, 0));
    assert!(pass.to_table().ends_with("PASS: all 2 thresholds held\n"));
    let none = Report::new(&profile(&[]), &measurements(), outcome());
    assert!(none.to_table().ends_with("PASS: there were no thresholds\n"));
    let reasons = vec!["17 datagrams were lost at the generator's sockets".to_owned()];
    let outcome = Outcome { invalid_reasons: reasons, interrupted: true, ..outcome() };
    let invalid = Report::new(&profile(&held), &measurements(), outcome);
    assert_eq!((invalid.verdict, invalid.verdict.exit_code()), (Verdict::Invalid, 3));
    assert!(invalid.thresholds.iter().all(|threshold| threshold.held));
    let table = invalid.to_table();
    assert!(table.ends_with("INVALID: 17 datagrams were lost at the generator's sockets\n"));
    assert!(table.lines().next().unwrap().ends_with("in 12.0 s, interrupted"));
}

#[test]
fn operators() {
    let held = |condition: &str| {
        let threshold = Threshold::parse("ues.secured", condition).unwrap();
        [4.0, 5.0, 6.0].map(|value| threshold.holds(value))
    };
    assert_eq!(held("< 5"), [true, false, false]);
    assert_eq!(held("<= 5"), [true, true, false]);
    assert_eq!(held("> 5"), [false, false, true]);
    assert_eq!(held(">= 5.0"), [false, true, true]);
    assert_eq!(held(" ==5 "), [false, true, false]);
    assert_eq!(held("< 5_0"), [true, true, true]);
}

#[test]
fn every_number_of_a_report_can_be_a_threshold_and_nothing_else() {
    fn numbers(path: &str, json: &serde_json::Value, found: &mut Vec<(String, bool)>) {
        match json {
            serde_json::Value::Object(object) => {
                for (key, inner) in object {
                    let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                    numbers(&path, inner, found);
                }
            }
            other => found.push((path.to_owned(), other.is_number())),
        }
    }
    let report = Report::new(&profile(THRESHOLDS), &measurements(), outcome());
    let mut found = Vec::new();
    numbers("", &serde_json::to_value(&report).unwrap(), &mut found);
    assert!(found.len() > 60, "{}", found.len());
    for (path, is_number) in found {
        assert_eq!(Threshold::parse(&path, "> 0").is_ok(), is_number, "{path}");
    }
    for path in ["", ".", "procedures", "procedures..failed", "failures", "thresholds.0.value"] {
        let error = Threshold::parse(path, "> 0").unwrap_err();
        assert!(matches!(error, ThresholdError::Path { .. }), "{path}: {error}");
    }
    for condition in ["", "5", "= 5", "!= 5", "=> 5"] {
        let error = Threshold::parse("ues.secured", condition).unwrap_err();
        assert_eq!(error, ThresholdError::Operator(condition.to_owned()));
    }
    for condition in [">", "> x", "> 5 us", ">> 5", "< nan", "< inf"] {
        let error = Threshold::parse("ues.secured", condition).unwrap_err();
        assert_eq!(error, ThresholdError::Bound(condition.to_owned()));
    }
}
