//! What a build server gets of a run: JUnit XML, one document of JSON on standard output, and an end as soon as a threshold is broken for good.

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tests::program::{Folder, INVALID, alone, shown, small_run};

const IMSTORM: &str = env!("CARGO_BIN_EXE_imstorm-under-test");
const ENGINE: &str = env!("CARGO_BIN_EXE_engine-under-test");

fn run(out: &Path, more: &[&str]) -> Output {
    let mut command = Command::new(IMSTORM);
    command.arg("run").args(small_run(out)).arg("--quiet").args(more);
    command.stdin(Stdio::null()).output().expect("it starts")
}

fn imstorm(words: &[&str]) -> Output {
    Command::new(IMSTORM).args(words).stdin(Stdio::null()).output().expect("it starts")
}

/// Standard output, which is one document and nothing else.
fn document(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", shown(output)))
}

#[test]
fn a_run_and_its_report_give_one_document_and_junit() {
    let _alone = alone();
    let directory = Folder::new("document");
    let (out, junit) = (directory.at("run"), directory.at("junit.xml"));
    let junit_path = junit.display().to_string();
    let output = run(&out, &["--json", "--junit", &junit_path]);
    let report: Value =
        serde_json::from_slice(&fs::read(out.join("report.json")).expect("a report"))
            .expect("JSON");
    assert_eq!(document(&output), report);
    assert!(String::from_utf8_lossy(&output.stderr).contains(&out.display().to_string()));
    let xml = fs::read_to_string(&junit).expect("a file");
    assert_eq!(xml.matches("<testcase ").count(), 4, "three thresholds and the generator: {xml}");
    let is_invalid = output.status.code() == Some(INVALID);
    assert_eq!(xml.contains("<error "), is_invalid, "{xml}");

    fs::remove_file(&junit).expect("it is there");
    let words = ["report", &out.display().to_string(), "--json", "--junit", &junit_path];
    let again = imstorm(&words);
    assert_eq!((document(&again), again.status.code()), (report, output.status.code()));
    assert_eq!(fs::read_to_string(&junit).expect("a file"), xml);

    let out = out.display().to_string();
    let compared = imstorm(&["compare", &out, &out, "--json", "--junit", &junit_path]);
    let found = document(&compared);
    assert_eq!(found["is_worse"], is_invalid, "{found:#}");
    assert!(found["findings"].as_array().is_some_and(|it| !it.is_empty()), "{found:#}");
    let xml = fs::read_to_string(&junit).expect("a file");
    let numbers = found["findings"].as_array().expect("a list").len();
    assert_eq!(xml.matches("<testcase ").count(), 1 + numbers, "{xml}");
}

#[test]
fn a_broken_threshold_ends_a_run_early() {
    let _alone = alone();
    let directory = Folder::new("abort");
    let out = directory.at("run");
    let junit = directory.at("junit.xml").display().to_string();
    // Those who have been secured can't be fewer again.
    let broken = "thresholds.procedures.secure.completed=\"< 10\"";
    let set = ["population.size=20000", "arrivals.rate_per_s=100", broken, "limits.drain_s=1"];
    let mut more = vec!["--abort-on-threshold", "--junit", &junit];
    set.iter().for_each(|set| more.extend(["--set", set]));
    more.extend(["--set", "validity.late_share_max=1", "--set", "validity.late_ms=60000"]);
    let output = run(&out, &more);
    let said = shown(&output);
    let report: Value =
        serde_json::from_slice(&fs::read(out.join("report.json")).expect("a report"))
            .expect("JSON");
    let aborted = &report["aborted"];
    assert_eq!(aborted["path"], "procedures.secure.completed", "{report:#}");
    assert_eq!(aborted["condition"], "< 10");
    assert!(aborted["value"].as_f64() >= Some(10.0), "{aborted}");
    assert_eq!(report["interrupted"], false);
    // Two hundred seconds of arrivals were not waited for.
    let attempted = report["procedures"]["secure"]["attempted"].as_u64().expect("a number");
    assert!(attempted < 10_000, "{attempted}");
    assert_eq!(
        (report["verdict"].as_str(), output.status.code()),
        (Some("fail"), Some(1)),
        "{said}"
    );
    assert!(said.contains("FAIL: aborted after"), "{said}");
    let xml = fs::read_to_string(&junit).expect("a file");
    assert!(xml.contains("<failure message=\"aborted after"), "{xml}");
    // The report of the logs says the same.
    let again = imstorm(&["report", &out.display().to_string(), "--json"]);
    assert_eq!(&document(&again)["aborted"], aborted);
}

#[test]
fn whatever_a_person_reads_as_a_table_is_to_be_had_as_json() {
    let directory = Folder::new("tables");
    let profiles = document(&imstorm(&["profiles", "--json"]));
    assert!(profiles.as_array().expect("a list").iter().any(|it| it["name"] == "quickstart"));
    let plan = document(&imstorm(&["plan", "quickstart", "--json"]));
    assert!(plan.is_object());
    let small = ["--set", "population.size=20", "--seeds", "1..2", "--json"];
    let simulated = imstorm(&[&["simulate", "quickstart"][..], &small].concat());
    let result = document(&simulated);
    assert_eq!(result["held"], simulated.status.success(), "{result:#}");
    assert_eq!(result["seeds"].as_array().map(Vec::len), Some(2), "{result:#}");
    assert!(document(&imstorm(&["schema"])).is_object());
    let config = directory.file(
        "engine.toml",
        "pcscf = [{ address = \"127.0.0.1:5060\", esp_port = 4500, mw = \"127.0.0.1:6060\" }]\n\
         icscf = { mw = \"127.0.0.1:6160\" }\nscscf = { mw = \"127.0.0.1:6260\" }\n\
         subscribers = { size = 10 }\nshards = 1\n",
    );
    let checked = Command::new(ENGINE).arg("check").arg(config).arg("--json").output();
    let checked = document(&checked.expect("it starts"));
    assert_eq!(checked["pcscf"][0]["address"], "127.0.0.1:5060", "{checked:#}");
    assert_eq!((&checked["shards"], &checked["subscribers"]), (&Value::from(1), &Value::from(10)));
}
