//! One UE of a run: those that fail are captured, listed, drawn and explained. The programs themselves, over real sockets on 127.0.0.0/8.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tests::program::{Folder, alone, own_addresses, set as words, shown};

const IMSTORM: &str = env!("CARGO_BIN_EXE_imstorm-under-test");

/// `imstorm run quickstart` of a few UEs, with what is set beside.
fn run(out: &Path, set: &[&str], more: &[&str]) -> Output {
    let mut command = Command::new(IMSTORM);
    command.args(["run", "quickstart", "--quiet", "--out"]).arg(out).args(more);
    command.args(words([
        ("population.size", "20".to_owned()),
        ("arrivals.rate_per_s", "100".to_owned()),
        ("procedures.refresh.after_s", "0.2".to_owned()),
        ("procedures.release.after_s", "0.5".to_owned()),
    ]));
    command.args(own_addresses());
    set.iter().for_each(|set| {
        command.args(["--set", set]);
    });
    command.stdin(Stdio::null()).output().expect("it starts")
}

fn imstorm(args: &[&str]) -> Output {
    Command::new(IMSTORM).args(args).stdin(Stdio::null()).output().expect("it starts")
}

/// What a command says that has to succeed.
fn said(args: &[&str]) -> String {
    let output = imstorm(args);
    assert_eq!(output.status.code(), Some(0), "{}", shown(&output));
    String::from_utf8(output.stdout).expect("text")
}

fn json(args: &[&str]) -> Value {
    serde_json::from_str(&said(args)).expect("JSON and nothing else")
}

/// The core derives other keys than the UEs have.
const OTHER_KEYS: &str = "engine.subscribers.seed=2";

#[test]
fn ues_that_fail_are_captured_without_being_asked_for_and_explained() {
    let _alone = alone();
    let folder = Folder::new("one-ue-failed");
    let out = folder.at("run");
    let output = run(&out, &[OTHER_KEYS], &[]);
    assert_eq!(output.status.code(), Some(1), "{}", shown(&output));
    let directory = out.to_str().expect("a path");

    let listed = json(&["ladder", directory, "--json"]);
    let ues = listed.as_array().expect("a list");
    assert_eq!(ues.len(), 2, "two for each cause: {listed:#}");
    assert_eq!(ues[0]["failures"][0]["cause"], "mac_failure", "{listed:#}");
    assert!(ues[0]["messages"].as_u64() >= Some(2), "{listed:#}");
    let table = said(&["ladder", directory]);
    assert!(table.contains("secure failed: mac_failure"), "{table}");

    let ue = ues[0]["ue"].to_string();
    let drawn = said(&["ladder", directory, "--ue", &ue]);
    assert!(drawn.contains("401 Unauthorized") && drawn.contains("FAILED: mac_failure"), "{drawn}");
    let whole = said(&["ladder", directory, "--ue", &ue, "--full"]);
    assert!(whole.contains("\nWWW-Authenticate: Digest "), "{whole}");
    let of_refresh = imstorm(&["ladder", directory, "--ue", &ue, "--procedure", "refresh"]);
    assert_eq!(of_refresh.status.code(), Some(2), "{}", shown(&of_refresh));
    let svg = folder.at("ladder.svg");
    let svg = svg.to_str().expect("a path");
    said(&["ladder", directory, "--ue", &ue, "--procedure", "secure", "--svg", svg]);
    let svg = folder.text("ladder.svg");
    assert!(svg.starts_with("<svg xmlns=") && svg.contains("mac_failure"), "{svg}");
    // No key of any UE is left behind unasked.
    assert!(!out.join("captures/esp_sa").exists());

    let explained = said(&["explain", directory]);
    assert!(
        explained.contains("mac_failure") && explained.contains(&format!("UE {ue}")),
        "{explained}"
    );
    let explained = said(&["explain", directory, "--failure", "mac_failure"]);
    for part in ["AUTN", "401 Unauthorized", "What to check", "population.seed", "TS 33.102"] {
        assert!(explained.contains(part), "{part}: {explained}");
    }
    let explained = json(&["explain", directory, "--json"]);
    let report = folder_report(&out);
    assert_eq!(explained["causes"][0]["failed"], report["failures"]["mac_failure"]);
}

fn folder_report(out: &Path) -> Value {
    let text = std::fs::read_to_string(out.join("report.json")).expect("report.json");
    serde_json::from_str(&text).expect("JSON")
}

#[test]
fn nothing_is_captured_where_none_fails_or_none_is_wanted() {
    let _alone = alone();
    let folder = Folder::new("one-ue-none");
    for (name, set, more) in
        [("well", &[][..], &[][..]), ("none", &[OTHER_KEYS][..], &["--capture", "none"][..])]
    {
        let out = folder.at(name);
        run(&out, set, more);
        let directory = out.to_str().expect("a path");
        let listed = said(&["ladder", directory]);
        assert!(listed.starts_with("no UE was captured"), "{listed}");
        assert!(!out.join("captures").exists(), "{name}");
    }
    let well = folder.at("well");
    let explained = said(&["explain", well.to_str().expect("a path")]);
    assert!(explained.ends_with("no procedure failed\n"), "{explained}");
}

#[test]
fn a_ue_that_was_chosen_is_captured_with_its_keys_whatever_becomes_of_it() {
    let _alone = alone();
    let folder = Folder::new("one-ue-chosen");
    let out = folder.at("run");
    run(&out, &[], &["--capture", "3"]);
    let directory = out.to_str().expect("a path");
    let listed = json(&["ladder", directory, "--json"]);
    assert_eq!((listed[0]["ue"].as_u64(), listed.as_array().map(Vec::len)), (Some(3), Some(1)));
    let keys = std::fs::read_to_string(out.join("captures/esp_sa")).expect("keys");
    assert!(keys.lines().count() >= 4, "{keys}");
    let missing = imstorm(&["ladder", directory, "--ue", "4"]);
    assert_eq!(missing.status.code(), Some(2));
    let text = String::from_utf8_lossy(&missing.stderr).into_owned();
    assert!(text.contains("captured were 3") && text.contains("--capture 4"), "{text}");
    // A part of a procedure, and of the time.
    let all = json(&["ladder", directory, "--ue", "3", "--json"]);
    let count = |events: &Value| events["events"].as_array().map_or(0, Vec::len);
    let release = json(&["ladder", directory, "--ue", "3", "--procedure", "release", "--json"]);
    assert!(count(&release) > 0 && count(&release) < count(&all), "{release:#}");
    let later = json(&["ladder", directory, "--ue", "3", "--from", "100", "--json"]);
    assert_eq!(count(&later), 0);
}
