use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};

use super::*;
use crate::measure::{Cause, Measurements, Procedure, Start};
use crate::profile::Profile;
use crate::report::{Outcome as RunOutcome, Report};

/// Which elements may be in which, and the attributes that they may have: what the schema of Jenkins' xUnit plugin (junit-10.xsd) allows.
const ALLOWED: &[(&str, &[&str], &[&str])] = &[
    ("testsuites", &[""], &["name", "time", "tests", "failures", "disabled", "errors"]),
    (
        "testsuite",
        &["testsuites"],
        &["name", "tests", "failures", "errors", "time", "disabled", "skipped", "timestamp"],
    ),
    ("testcase", &["testsuite"], &["name", "assertions", "time", "classname", "status"]),
    ("failure", &["testcase"], &["message", "type"]),
    ("error", &["testcase"], &["message", "type"]),
    ("skipped", &["testcase"], &["message", "type"]),
    ("system-out", &["testcase", "testsuite"], &[]),
];

#[derive(Debug, Default, PartialEq, Eq, Clone, Copy)]
struct Seen {
    cases: usize,
    failures: usize,
    errors: usize,
    skipped: usize,
}

fn attribute(element: &BytesStart<'_>, name: &str) -> Option<String> {
    let found = element.try_get_attribute(name).unwrap()?;
    Some(quick_xml::escape::unescape(&found.value).unwrap().into_owned())
}

/// Reads it back: what stands in it keeps to the schema, and the counts of suites are those of their cases. All messages, in order.
fn read_back(xml: &str) -> (Seen, Vec<String>) {
    let mut reader = Reader::from_str(xml);
    let (mut open, mut messages) = (vec![String::new()], Vec::new());
    let (mut all, mut suite, mut told) = (Seen::default(), Seen::default(), Vec::new());
    loop {
        let event = reader.read_event().unwrap();
        let (element, is_empty) = match &event {
            Event::Start(element) => (element, false),
            Event::Empty(element) => (element, true),
            Event::End(_) => {
                if open.pop().unwrap() == "testsuite" {
                    assert_eq!(told.pop().unwrap(), suite);
                    all.cases += suite.cases;
                    all.failures += suite.failures;
                    all.errors += suite.errors;
                    all.skipped += suite.skipped;
                }
                continue;
            }
            Event::Eof => break,
            _ => continue,
        };
        let name = element.name().as_ref().to_owned();
        let (_, parents, attributes) =
            ALLOWED.iter().find(|(known, ..)| *known == name).unwrap_or_else(|| panic!("{name}"));
        assert!(parents.contains(&open.last().unwrap().as_str()), "{name} in {open:?}");
        for found in element.attributes() {
            let key = found.unwrap().key.as_ref().to_owned();
            assert!(attributes.contains(&key.as_str()), "{key} of {name}");
        }
        let count = |of: &str| attribute(element, of).unwrap().parse::<usize>().unwrap();
        match name.as_str() {
            "testsuites" => assert!(attribute(element, "name").is_some()),
            "testsuite" => {
                suite = Seen::default();
                let (cases, failures) = (count("tests"), count("failures"));
                let (errors, skipped) = (count("errors"), count("skipped"));
                told.push(Seen { cases, failures, errors, skipped });
            }
            "testcase" => {
                assert!(attribute(element, "name").is_some_and(|name| !name.is_empty()));
                assert!(attribute(element, "classname").is_some_and(|name| name.contains('.')));
                suite.cases += 1;
            }
            "failure" => suite.failures += 1,
            "error" => suite.errors += 1,
            "skipped" => suite.skipped += 1,
            _ => {}
        }
        messages.extend(attribute(element, "message"));
        if !is_empty {
            open.push(name);
        }
    }
    assert_eq!(open, [""], "all that was opened is closed");
    (all, messages)
}

fn report(thresholds: &[(&str, &str)], invalid_reasons: Vec<String>) -> Report {
    let mut text = "name = \"sample\"\n[population]\nsize = 10\n[arrivals]\nrate_per_s = 10\n\
                    [thresholds]\n"
        .to_owned();
    for (path, condition) in thresholds {
        text.push_str(&format!("{path} = \"{condition}\"\n"));
    }
    let profile = Profile::parse("sample.toml", &text, &[]).unwrap();
    let mut measurements = Measurements::new();
    for ue in 0..10 {
        measurements.attempted(Procedure::Secure, Start::default());
        match ue {
            0 => measurements.failed(Procedure::Secure, Start::default(), Cause::Timeout),
            _ => measurements.completed(Procedure::Secure, Start::default(), 3_000_000),
        }
    }
    let outcome = RunOutcome { duration_s: 12.5, invalid_reasons, ..RunOutcome::default() };
    Report::new(&profile, &measurements, outcome)
}

#[test]
fn a_run_is_a_suite_of_thresholds_and_one_of_the_generator() {
    let thresholds = [
        ("procedures.secure.failed", "== 0"),
        ("procedures.secure.completed", ">= 9"),
        ("procedures.refresh.latency_us.p99", "< 50_000"),
    ];
    let junit = of_run(&report(&thresholds, Vec::new()));
    let xml = junit.to_xml();
    insta::assert_snapshot!("run", xml);
    let (seen, messages) = read_back(&xml);
    assert_eq!(seen, Seen { cases: 4, failures: 2, ..Seen::default() });
    assert!(messages.contains(&"procedures.secure.failed is 1, expected == 0".to_owned()));
}

#[test]
fn an_invalid_run_is_an_error() {
    let reasons = vec!["a <reason> & \"another\"\u{1b}[31m".to_owned(), "ü".to_owned()];
    let xml = of_run(&report(&[], reasons)).to_xml();
    let (seen, messages) = read_back(&xml);
    assert_eq!(seen, Seen { cases: 1, errors: 1, ..Seen::default() });
    assert_eq!(messages, ["INVALID: a <reason> & \"another\"\u{fffd}[31m; ü"]);
}

#[test]
fn each_outcome_is_read_back() {
    let case = |outcome| Case { name: "a".to_owned(), outcome, said: "b]]>".to_owned() };
    let why = || "why".to_owned();
    let cases = [
        Outcome::Held,
        Outcome::Failed(why()),
        Outcome::Unknown(why()),
        Outcome::Skipped(why()),
        Outcome::Skipped(why()),
    ];
    let suites = vec![Suite { name: "one", cases: cases.map(case).to_vec() }];
    let junit = Junit { name: "it".to_owned(), duration_s: 1.0, suites };
    let (seen, messages) = read_back(&junit.to_xml());
    assert_eq!(seen, Seen { cases: 5, failures: 1, errors: 1, skipped: 2 });
    assert_eq!(messages, ["why"; 4]);
}
