use imstorm_base::time::NS_PER_S;
use serde_json::Value;

use super::data::{PageData, report_so_far};
use super::*;
use crate::generator::GeneratorState;
use crate::health::Health;
use crate::log::{End, RunInfo, Second};
use crate::measure::{Cause, Measurements, Procedure, Start};
use crate::profile::Profile;
use crate::report::{Engine, Outcome, Verdict};

/// Three seconds with ten set-ups each, of which the first fails.
fn log(name: &str) -> RunLog {
    let set =
        [("name".to_owned(), format!("'{name}'")), ("population.size".to_owned(), "30".to_owned())];
    let profile = Profile::load("quickstart", &set).unwrap();
    let mut log = RunLog::new(RunInfo::new(&profile, 1, None, 1_795_000_000 * NS_PER_S), profile);
    let mut measurements = Measurements::new();
    for second in 0..3 {
        for number in 0..10 {
            let intended = second * NS_PER_S + number;
            let start = Start { intended, began: intended + 40_000 };
            measurements.attempted(Procedure::Secure, start);
            match number {
                0 => measurements.failed(Procedure::Secure, start, Cause::Timeout),
                _ => measurements.completed(
                    Procedure::Secure,
                    start,
                    intended + 1_000_000 * (number + 1),
                ),
            }
        }
        log.note(&Second {
            from_ns: second * NS_PER_S,
            until_ns: (second + 1) * NS_PER_S,
            interval: measurements.interval(),
            steps: Vec::new(),
            interventions: Vec::new(),
            state: GeneratorState { secured: 10 * (second + 1), ..GeneratorState::default() },
            health: Health::default(),
            cpu_ns: second * 100_000_000,
            rss_bytes: 50 << 20,
            engine: Some(Engine { messages_in: 100 * second, ..Engine::default() }),
        });
    }
    log
}

fn ended(name: &str) -> RunLog {
    let mut log = log(name);
    let outcome = Outcome { duration_s: 3.0, secured: 27, ..Outcome::default() };
    log.end(End { outcome, drained: true, captures: 0 });
    log
}

/// The data as they stand in a page.
fn data_in(page: &str) -> Value {
    let (_, rest) = page.split_once("<script type=\"application/json\" id=\"data\">").unwrap();
    serde_json::from_str(rest.split_once("</script>").unwrap().0).unwrap()
}

#[test]
fn the_page_has_the_report_as_it_is_in_its_file() {
    let log = ended("p");
    let report = log.report();
    let page = render(&log, &report, Path::new("nowhere"));
    let data = data_in(&page);
    let file: Value = serde_json::from_str(&report.to_json()).unwrap();
    assert_eq!(data["report"], file);
    assert_eq!(data["run"], serde_json::from_str::<Value>(&log.info.to_json()).unwrap());
    assert_eq!(data["reason"], "1 of 3 thresholds not held");
    assert!(page.contains("<strong id=\"verdict-name\">FAIL</strong> <span id=\"verdict-reason\">1 of 3 thresholds not held</span>"));
}

#[test]
fn what_happened_over_time() {
    let log = ended("p");
    let report = log.report();
    let json = serde_json::from_str::<Value>(&PageData::new(&log, &report).to_json()).unwrap();
    insta::assert_snapshot!(serde_json::to_string_pretty(&json["series"]["procedures"]).unwrap());
    insta::assert_snapshot!(serde_json::to_string_pretty(&json["plan"]["rows"]).unwrap());
    assert_eq!(json["series"]["failures"]["timeout"], serde_json::json!([1.0, 1.0, 1.0]));
    assert_eq!(
        json["series"]["engine"]["messages_in_per_s"],
        serde_json::json!([null, 100.0, 100.0])
    );
    let curve = &json["curves"]["secure"]["corrected"];
    assert_eq!(
        curve.as_array().unwrap().last().unwrap()[1],
        report.measured.procedures.get("secure").unwrap().latency_us.max
    );
}

#[test]
fn what_is_offered_in_a_last_second_that_is_cut_short_is_no_less_a_second() {
    let info = log("p").info;
    let set = [
        ("arrivals.rate_per_s".to_owned(), "5".to_owned()),
        ("population.size".to_owned(), "30".to_owned()),
    ];
    let profile = Profile::load("quickstart", &set).unwrap();
    let mut log = RunLog::new(info, profile);
    let mut measurements = Measurements::new();
    for (from_ns, until_ns) in [(0, NS_PER_S), (NS_PER_S, NS_PER_S + NS_PER_S / 10)] {
        measurements.attempted(Procedure::Secure, Start::default());
        log.note(&Second {
            from_ns,
            until_ns,
            interval: measurements.interval(),
            steps: Vec::new(),
            state: GeneratorState::default(),
            health: Health::default(),
            cpu_ns: 0,
            rss_bytes: 0,
            engine: None,
            interventions: Vec::new(),
        });
    }
    let report = report_so_far(&log);
    let json = PageData::so_far(&log, &report, true).to_json();
    let data: Value = serde_json::from_str(&json).unwrap();
    let secure = &data["series"]["procedures"]["secure"];
    assert_eq!(secure["offered"], serde_json::json!([5.0, 5.0]));
    assert_eq!(secure["started"], serde_json::json!([1.0, 10.0]));
}

#[test]
fn a_name_of_a_profile_is_text() {
    let log = ended("</script><script>alert(1)</script>");
    let page = render(&log, &log.report(), Path::new("nowhere"));
    assert!(!page.contains("alert(1)</script>"));
    assert_eq!(data_in(&page)["report"]["profile"], "</script><script>alert(1)</script>");
}

#[test]
fn that_a_run_is_not_over_is_no_fault_of_it() {
    let log = log("p");
    assert_eq!(log.report().verdict, Verdict::Invalid);
    let report = report_so_far(&log);
    assert_eq!((report.verdict, report.invalid_reasons.len()), (Verdict::Fail, 0));
    let json = PageData::so_far(&log, &report, true).to_json();
    let data: Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&data["running"], &data["plan"]), (&Value::Bool(true), &Value::Null));
}
