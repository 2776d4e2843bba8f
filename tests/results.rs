//! What a run leaves behind: logs that its report can be made from again, also of a run that was killed, parts that are put together, and
//! reports that are compared. The programs themselves, over real sockets on 127.0.0.0/8.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tests::program::{Folder, INVALID, Running, alone, free_port, fresh_ip, shown, small_run};

const IMSTORM: &str = env!("CARGO_BIN_EXE_imstorm-under-test");
const ENGINE: &str = env!("CARGO_BIN_EXE_engine-under-test");
/// The longest that anything here may take.
const PATIENCE: Duration = Duration::from_secs(60);

fn report_of(directory: &Path) -> Value {
    let text = fs::read_to_string(directory.join("report.json")).expect("report.json");
    serde_json::from_str(&text).expect("JSON")
}

/// `imstorm run quickstart`, small and short, with an engine of its own at addresses of its own.
fn run(out: &Path, set: &[&str]) -> Command {
    let mut command = Command::new(IMSTORM);
    command.arg("run").args(small_run(out)).arg("--quiet");
    for set in set {
        command.args(["--set", set]);
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn imstorm(args: &[&str], paths: &[&Path]) -> Output {
    let mut command = Command::new(IMSTORM);
    command.args(args).args(paths).stdin(Stdio::null());
    command.output().expect("it starts")
}

/// The exit code that the verdict in a report asks for.
fn code_of(report: &Value) -> i32 {
    match report["verdict"].as_str() {
        Some("pass") => 0,
        Some("fail") => 1,
        Some("invalid") => INVALID,
        other => panic!("{other:?}"),
    }
}

/// Asserts that it ended as its report says; the report.
fn finished(output: &Output, out: &Path) -> Value {
    let code = output.status.code();
    assert!(matches!(code, Some(0 | 1 | INVALID)), "{}", shown(output));
    let report = report_of(out);
    assert_eq!(code, Some(code_of(&report)), "{}", shown(output));
    report
}

/// The whole lines of a run's intervals so far.
fn lines(out: &Path) -> Vec<Value> {
    let text = fs::read_to_string(out.join("intervals.jsonl")).unwrap_or_default();
    let whole = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
    whole.map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
}

#[test]
fn the_report_of_a_runs_logs_is_its_own_byte_for_byte() {
    let _alone = alone();
    let directory = Folder::new("again");
    let out = directory.at("run");
    let output = run(&out, &[]).output().expect("it starts");
    let report = finished(&output, &out);
    assert_eq!(report["procedures"]["release"]["completed"], 200, "{report:#}");
    let its_own = fs::read(out.join("report.json")).expect("a file");
    fs::remove_file(out.join("report.json")).expect("it is there");
    let again = imstorm(&["report", "--quiet"], &[&out]);
    assert_eq!(again.status.code(), output.status.code(), "{}", shown(&again));
    let made_again = fs::read(out.join("report.json")).expect("a file");
    assert_eq!(String::from_utf8_lossy(&made_again), String::from_utf8_lossy(&its_own));
    // The table is the same as well, above the directory's name.
    let table = |output: &Output| {
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        text.rsplit_once("\n\n").map(|(table, _)| table.to_owned())
    };
    assert_eq!(table(&again), table(&output));
}

#[test]
fn a_generator_killed_with_9_leaves_all_but_its_last_two_seconds() {
    let _alone = alone();
    let directory = Folder::new("killed");
    let out = directory.at("run");
    let set = ["population.size=2000", "arrivals.rate_per_s=50", "procedures.release.after_s=600"];
    let mut running = Running(run(&out, &set).spawn().expect("it starts"));
    let since = Instant::now();
    while lines(&out).len() < 4 {
        assert!(since.elapsed() < PATIENCE, "no interval was written");
        assert!(running.0.try_wait().expect("a process").is_none(), "it ended");
    }
    // What it had written when it was killed, and how long it had run by then.
    let seen = lines(&out);
    running.0.kill().expect("a signal");
    running.0.wait().expect("it ends");
    let start_ns =
        serde_json::from_slice::<Value>(&fs::read(out.join("run.json")).expect("a file"))
            .expect("JSON")["epoch_ns"]
            .as_u64()
            .expect("a time");
    let killed_ns = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .expect("after 1970")
        .as_nanos();
    let ran_s = (killed_ns - u128::from(start_ns)) as f64 / 1e9;
    assert!(!out.join("report.json").exists());

    let output = imstorm(&["report", "--quiet"], &[&out]);
    assert_eq!(output.status.code(), Some(INVALID), "{}", shown(&output));
    let report = report_of(&out);
    let duration_s = report["duration_s"].as_f64().expect("a number");
    assert!(duration_s <= ran_s && duration_s + 2.0 >= ran_s, "{duration_s} of {ran_s} s");
    let reason = format!("the run was cut off after {duration_s:.1} s");
    assert_eq!(report["invalid_reasons"][0], reason, "{report:#}");
    // Nothing that had been written is missing, and what was going on is pending.
    let sum = |of: &str| -> u64 {
        seen.iter().filter_map(|line| line["rows"]["secure"][of].as_u64()).sum()
    };
    let secure = &report["procedures"]["secure"];
    assert!(sum("completed") > 50, "{seen:?}");
    assert!(secure["attempted"].as_u64() >= Some(sum("attempted")), "{secure}");
    assert!(secure["completed"].as_u64() >= Some(sum("completed")), "{secure}");
    let number = |of: &str| secure[of].as_u64().expect("a number");
    assert_eq!(number("pending"), number("attempted") - number("completed") - number("failed"));
    assert!(secure["latency_us"]["p99"].as_u64() > Some(0), "{secure}");
    assert!(report["engine"]["subscriptions"].as_u64() > Some(0), "as last heard of: {report:#}");
}

#[test]
fn a_torn_last_line_is_skipped() {
    let _alone = alone();
    let directory = Folder::new("torn");
    let out = directory.at("run");
    let output = run(&out, &[]).output().expect("it starts");
    finished(&output, &out);
    let path = out.join("intervals.jsonl");
    let text = fs::read_to_string(&path).expect("a file");
    let ends: Vec<usize> = text.match_indices('\n').map(|(at, _)| at + 1).collect();
    let [.., before_second, before_end, _] = ends[..] else { panic!("few lines: {text}") };
    // Every cut within the last second's line gives the report up to the second before.
    for cut in [before_second + 1, before_second + 20, before_end - 1] {
        fs::write(&path, &text[..cut]).expect("a file");
        let output = imstorm(&["report", "--quiet"], &[&out]);
        assert_eq!(output.status.code(), Some(INVALID), "{}", shown(&output));
        let reasons = report_of(&out)["invalid_reasons"].clone();
        let reasons = reasons.as_array().expect("a list");
        assert!(reasons[0].as_str().expect("text").starts_with("the run was cut off after"));
        assert!(!reasons.iter().any(|it| it.to_string().contains("could not be read")));
    }
    // One that is damaged in the middle is another matter.
    let damaged = text.replacen("{\"from_ns\"", "{\"from", 1);
    fs::write(&path, damaged).expect("a file");
    let output = imstorm(&["report", "--quiet"], &[&out]);
    assert_eq!(output.status.code(), Some(INVALID), "{}", shown(&output));
    let reasons = report_of(&out)["invalid_reasons"].to_string();
    assert!(reasons.contains("1 lines of the log could not be read"), "{reasons}");
}

#[test]
fn a_full_disk_costs_the_log_and_not_the_run() {
    let _alone = alone();
    let directory = Folder::new("full");
    let out = directory.at("run");
    fs::create_dir_all(&out).expect("a directory");
    std::os::unix::fs::symlink("/dev/full", out.join("intervals.jsonl")).expect("a link");
    let output = run(&out, &["population.size=20"]).output().expect("it starts");
    assert_eq!(output.status.code(), Some(INVALID), "{}", shown(&output));
    let report = report_of(&out);
    assert_eq!(report["procedures"]["release"]["completed"], 20, "{report:#}");
    let reasons = report["invalid_reasons"].to_string();
    assert!(reasons.contains("the log could not be written any more"), "{reasons}");
}

#[test]
fn what_is_no_run_exits_with_2() {
    let directory = Folder::new("no-run");
    let output = imstorm(&["report"], &[&directory.0]);
    assert_eq!(output.status.code(), Some(2), "{}", shown(&output));
    assert!(shown(&output).contains("run.json: expected the directory of a run's results"));
    fs::write(directory.at("run.json"), "{\"schema\": 1}").expect("a file");
    let output = imstorm(&["report"], &[&directory.0]);
    assert_eq!(output.status.code(), Some(2), "{}", shown(&output));
    assert!(shown(&output).contains("expected a run's log"), "{}", shown(&output));
    let output = imstorm(&["report"], &[&directory.0, &directory.0]);
    assert_eq!(output.status.code(), Some(2), "{}", shown(&output));
    assert!(shown(&output).contains("--out"), "{}", shown(&output));
}

/// An engine that serves, for several generators.
struct Engine {
    _process: Running,
    pcscf: SocketAddr,
    esp_port: u16,
    admin: String,
}

impl Engine {
    fn serve(directory: &Folder) -> Self {
        let ip = IpAddr::V4(fresh_ip());
        let pcscf = SocketAddr::new(ip, free_port(ip));
        let esp_port = free_port(ip);
        let listener = TcpListener::bind((ip, 0)).expect("a free port");
        let admin = listener.local_addr().expect("an address");
        drop(listener);
        let config = format!(
            "pcscf = [{{ address = \"{pcscf}\", esp_port = {esp_port}, mw = \"{ip}:6060\" }}]\n\
             icscf = {{ mw = \"{ip}:6160\" }}\nscscf = {{ mw = \"{ip}:6260\" }}\n\
             subscribers = {{ size = 5000 }}\nadmin = \"{admin}\"\nshards = 1\n"
        );
        let path = directory.at("engine.toml");
        fs::write(&path, config).expect("a file");
        let child = Command::new(ENGINE)
            .arg("serve")
            .arg(&path)
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("it starts");
        let engine =
            Self { _process: Running(child), pcscf, esp_port, admin: format!("http://{admin}") };
        let since = Instant::now();
        while imstorm_control::get(&format!("{}/v1/status", engine.admin), PATIENCE).is_err() {
            assert!(since.elapsed() < PATIENCE, "it does not serve");
        }
        engine
    }

    /// A run of 240 UEs against this engine, or a part of it.
    fn run(&self, out: &Path, more: &[&str]) -> Command {
        let mut command = Command::new(IMSTORM);
        command.args(["run", "quickstart", "--quiet", "--out"]).arg(out);
        let any = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        for (key, value) in [
            ("population.size", "240".to_owned()),
            ("arrivals.rate_per_s", "200".to_owned()),
            ("procedures.refresh.after_s", "0.5".to_owned()),
            ("procedures.release.after_s", "1".to_owned()),
            ("procedures.message.after_s", "0.2".to_owned()),
            ("procedures.message.count", "1".to_owned()),
            ("procedures.register_over_connection.after_s", "0".to_owned()),
            ("topology.pcscf_esp_port", self.esp_port.to_string()),
            ("ue.port", free_port(any).to_string()),
            ("ue.esp_port", free_port(any).to_string()),
        ] {
            command.args(["--set", &format!("{key}={value}")]);
        }
        command.args(["--target", &self.pcscf.to_string(), "--admin", &self.admin]).args(more);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }
}

/// What a report says of counts: of each procedure and transaction, attempted and completed.
fn counts(report: &Value) -> Vec<(String, u64, u64)> {
    let mut counts = Vec::new();
    for rows in ["procedures", "transactions"] {
        for (name, row) in report[rows].as_object().expect("rows") {
            let number = |of: &str| row[of].as_u64().expect("a number");
            if number("attempted") > 0 {
                counts.push((name.clone(), number("attempted"), number("completed")));
            }
        }
    }
    counts
}

#[test]
fn two_halves_put_together_are_the_whole() {
    let _alone = alone();
    let directory = Folder::new("halves");
    let engine = Engine::serve(&directory);
    let whole = directory.at("whole");
    let output = engine.run(&whole, &[]).output().expect("it starts");
    let of_whole = finished(&output, &whole);
    assert!(of_whole.get("part").is_none(), "{of_whole:#}");

    let halves = ["1/2", "2/2"].map(|part| {
        let out = directory.at(&part.replace('/', "-of-"));
        let more = ["--part", part, "--start-at", "+1"];
        (part, engine.run(&out, &more).spawn().expect("it starts"), out)
    });
    let halves = halves.map(|(part, child, out)| {
        let report = finished(&child.wait_with_output().expect("it ends"), &out);
        let number = part[..1].parse::<u64>().expect("a number");
        assert_eq!(report["part"], serde_json::json!({ "number": number, "of": 2 }));
        assert_eq!(report["ues"]["configured"], 120);
        out
    });
    let merged = directory.at("merged");
    let out = merged.to_str().expect("UTF-8");
    let arguments = ["report", "--quiet", "--out", out];
    let output = imstorm(&arguments, &[&halves[1], &halves[0]]);
    let of_merged = finished(&output, &merged);
    assert_eq!(counts(&of_merged), counts(&of_whole));
    let completed = &of_merged["procedures"]["message"]["completed"];
    assert_eq!(*completed, 240, "partners are in the same half: {of_merged:#}");
    assert_eq!(of_merged["ues"]["configured"], 240);
    assert_eq!((&of_merged["parts"], of_merged.get("part")), (&Value::from(2), None));
    // The result is a run's directory like any other.
    let its_own = fs::read(merged.join("report.json")).expect("a file");
    let again = imstorm(&["report", "--quiet"], &[&merged]);
    assert_eq!(again.status.code(), output.status.code(), "{}", shown(&again));
    let made_again = fs::read(merged.join("report.json")).expect("a file");
    assert_eq!(String::from_utf8_lossy(&made_again), String::from_utf8_lossy(&its_own));
    assert!(fs::metadata(merged.join("latency.hlog")).expect("a file").len() > 1_000);

    // What can't be put together.
    let refused = |paths: &[&Path], code: i32, expected: &str| {
        let other = directory.at("refused");
        let output = imstorm(&["report", "--out", other.to_str().expect("UTF-8")], paths);
        assert_eq!(output.status.code(), Some(code), "{}", shown(&output));
        assert!(shown(&output).contains(expected), "{expected}: {}", shown(&output));
        assert!(!other.exists());
    };
    refused(&[&halves[0]], 1, "missing: part 2/2");
    refused(&[&halves[0], &halves[0]], 2, "part 1/2 is there twice");
    refused(&[&halves[0], &whole], 2, "expected a part of a run, got a whole one");
    let edit = |name: &str, from: &str, to: &str| {
        let other = directory.at(name);
        fs::create_dir_all(&other).expect("a directory");
        for file in ["latency.hlog", "intervals.jsonl"] {
            fs::copy(halves[1].join(file), other.join(file)).expect("a file");
        }
        let text = fs::read_to_string(halves[1].join("run.json")).expect("a file");
        assert!(text.contains(from), "{text}");
        fs::write(other.join("run.json"), text.replace(from, to)).expect("a file");
        other
    };
    let seed = edit("seed", "\"seed\": 1", "\"seed\": 2");
    refused(&[&halves[0], &seed], 2, "their seeds are 1 and 2");
    let profile = edit("profile", "size = 240", "size = 242");
    refused(&[&halves[0], &profile], 2, "population.size (240 and 242)");
    let split = edit("split", "\"of\": 2", "\"of\": 3");
    refused(&[&halves[0], &split], 2, "one is part 1/2 and the other part 2/3");
}

#[test]
fn a_part_that_there_is_not_exits_with_2() {
    let directory = Folder::new("no-part");
    for (more, expected) in [
        (&["--part", "3/2"][..], "expected K/N"),
        (&["--part", "2/300"], "expected at most a part for each two of 200 UEs"),
        (&["--start-at", "soon"], "expected a time such as"),
        (&["--start-at", "2001-01-01T00:00:00Z"], "the time to start at was"),
    ] {
        let output = run(&directory.0, &[]).args(more).output().expect("it starts");
        assert_eq!(output.status.code(), Some(2), "{more:?}: {}", shown(&output));
        assert!(shown(&output).contains(expected), "{more:?}: {}", shown(&output));
    }
}

#[test]
fn a_run_starts_when_it_is_told_to() {
    let _alone = alone();
    let directory = Folder::new("start-at");
    let out = directory.at("run");
    let now = std::time::SystemTime::now();
    let now_s = now.duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_secs();
    let start_at_s = now_s + 2;
    let mut command = run(&out, &["population.size=20"]);
    let output = command.args(["--start-at", &start_at_s.to_string()]).output();
    finished(&output.expect("it starts"), &out);
    let text = fs::read(out.join("run.json")).expect("a file");
    let info: Value = serde_json::from_slice(&text).expect("JSON");
    assert!(info["epoch_ns"].as_u64() >= Some(start_at_s * 1_000_000_000), "{info:#}");
}

#[test]
fn runs_are_compared_and_the_exit_code_says_how() {
    let _alone = alone();
    let directory = Folder::new("compare");
    let a = directory.at("a");
    let output = run(&a, &[]).output().expect("it starts");
    finished(&output, &a);
    let mut report = report_of(&a);
    // Whether this machine was quiet is not what is looked at.
    report["verdict"] = "pass".into();
    report["invalid_reasons"] = Value::Array(Vec::new());
    fs::write(a.join("report.json"), report.to_string()).expect("a file");
    let other = |name: &str, change: &dyn Fn(&mut Value), size: &str| {
        let other = directory.at(name);
        fs::create_dir_all(&other).expect("a directory");
        let mut report = report.clone();
        change(&mut report);
        fs::write(other.join("report.json"), report.to_string()).expect("a file");
        let text = fs::read_to_string(a.join("run.json")).expect("a file");
        let size = format!("size = {size}");
        fs::write(other.join("run.json"), text.replace("size = 200", &size)).expect("a file");
        other
    };
    let same = other("same", &|_| (), "200");
    let slower = |it: &mut Value| it["procedures"]["secure"]["rate_per_s"] = 1.into();
    let worse = other("worse", &slower, "200");
    let invalid = other("invalid", &|it| it["verdict"] = "invalid".into(), "200");
    let bigger = other("bigger", &|_| (), "400");
    let compared = |args: &[&str], b: &Path, code: i32, expected: &str| {
        let mut args = args.to_vec();
        args.insert(0, "compare");
        let output = imstorm(&args, &[&a, b]);
        assert_eq!(output.status.code(), Some(code), "{}", shown(&output));
        assert!(shown(&output).contains(expected), "{expected}: {}", shown(&output));
    };
    compared(&[], &same, 0, "SAME within noise");
    compared(&[], &same.join("report.json"), 0, "SAME within noise");
    compared(&["--markdown"], &worse, 1, "| WORSE |");
    compared(&["--tolerance", "secure.rate_per_s=100000"], &worse, 0, "SAME within noise");
    compared(&["--tolerance", "secure.rate=5"], &worse, 2, "procedures.secure.rate_per_s");
    compared(&[], &invalid, 1, "INVALID");
    compared(&[], &bigger, 2, "population.size (200 and 400)");
    compared(&["--force"], &bigger, 0, "did not do the same");
    compared(&[], &directory.at("nowhere"), 2, "expected a run's directory or its report.json");
    let three = [&same, &same, &same].map(|it| it.display().to_string()).join(",");
    compared(&[], Path::new(&three), 0, "(3 runs)");
}
