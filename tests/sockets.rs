//! The programs themselves, as processes over real sockets on 127.0.0.0/8.

use std::io::{BufRead, BufReader, Read};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tests::program::{Folder, INVALID, Running, alone, free_port, fresh_ip, shown};

const IMSTORM: &str = env!("CARGO_BIN_EXE_imstorm-under-test");
const ENGINE: &str = env!("CARGO_BIN_EXE_engine-under-test");
/// A run whose generator was the limit says nothing about the programs, but about the machine: it is tried again.
const TRIES: u32 = 3;
/// The longest that anything here may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// `imstorm run quickstart`, small and short, at addresses of its own.
fn run(out: &Folder, set: &[&str]) -> Command {
    let any = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
    let (port, esp_port) = (free_port(any), free_port(any));
    let mut command = Command::new(IMSTORM);
    command.args(["run", "quickstart", "--quiet", "--out"]).arg(&out.0);
    for (key, value) in [
        ("population.size", "200".to_owned()),
        ("arrivals.rate_per_s", "400".to_owned()),
        ("procedures.refresh.after_s", "0.5".to_owned()),
        ("procedures.release.after_s", "1".to_owned()),
        ("ue.port", port.to_string()),
        ("ue.esp_port", esp_port.to_string()),
    ] {
        command.args(["--set", &format!("{key}={value}")]);
    }
    for set in set {
        command.args(["--set", set]);
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Runs it to its end, again where the machine was too slow for it.
fn finish(mut command: Command) -> Output {
    for _ in 1..TRIES {
        let output = command.output().expect("it starts");
        if output.status.code() != Some(INVALID) {
            return output;
        }
    }
    command.output().expect("it starts")
}

fn passes(report: &Value, ues: u64) {
    assert_eq!(report["verdict"], "pass", "{report:#}");
    assert_eq!(report["interrupted"], false);
    assert_eq!(report["ues"]["secured"], ues);
    for procedure in ["secure", "refresh", "release"] {
        let row = &report["procedures"][procedure];
        assert_eq!(row["completed"], ues, "{procedure}: {row}");
        assert_eq!(row["failed"], 0, "{procedure}: {row}");
    }
    let engine = &report["engine"];
    assert_eq!(engine["subscriptions"], 0, "{engine}");
    assert_eq!(engine["security_associations"], 0, "{engine}");
    assert_eq!(engine["esp_rejected"], 0, "{engine}");
}

fn embedded(name: &str, more: &[&str]) -> Value {
    let _alone = alone();
    let out = Folder::new(name);
    let pcscf = format!("topology.pcscf=[\"{}:5060\"]", fresh_ip());
    let esp = format!("topology.pcscf_esp_port={}", free_port(fresh_ip().into()));
    let mut set = vec![pcscf.as_str(), esp.as_str()];
    set.extend(more);
    let output = finish(run(&out, &set));
    assert_eq!(output.status.code(), Some(0), "{}", shown(&output));
    let report = out.report();
    passes(&report, 200);
    report
}

#[test]
fn an_embedded_engine_on_io_uring() {
    embedded("uring", &["engine.io=\"uring\""]);
}

#[test]
fn an_embedded_engine_on_mmsg() {
    let report = embedded("mmsg", &["engine.io=\"mmsg\""]);
    assert_eq!(report["engine"]["shard_hops"], 0, "one shard");
}

#[test]
fn an_embedded_engine_of_two_shards() {
    let report = embedded("shards", &["engine.shards=2", "engine.cores=[0, 1]"]);
    assert!(report["engine"]["shard_hops"].as_u64() > Some(0), "{report:#}");
}

#[test]
fn two_shards_on_mmsg() {
    embedded("shards-mmsg", &["engine.shards=2", "engine.cores=[0, 1]", "engine.io=\"mmsg\""]);
}

/// A separate engine that serves.
struct Engine {
    process: Running,
    pcscf: SocketAddr,
    esp_port: u16,
    admin: String,
}

impl Engine {
    fn config(pcscf: SocketAddr, esp_port: u16) -> String {
        let ip = pcscf.ip();
        let admin = TcpListener::bind((ip, 0)).expect("a free port");
        let admin = admin.local_addr().expect("an address");
        format!(
            "pcscf = [{{ address = \"{pcscf}\", esp_port = {esp_port}, mw = \"{ip}:6060\" }}]\n\
             icscf = {{ mw = \"{ip}:6160\" }}\nscscf = {{ mw = \"{ip}:6260\" }}\n\
             subscribers = {{ size = 5000 }}\nadmin = \"{admin}\"\nshards = 1\n"
        )
    }

    fn serve(directory: &Folder) -> Self {
        let ip = IpAddr::V4(fresh_ip());
        let pcscf = SocketAddr::new(ip, free_port(ip));
        let esp_port = free_port(ip);
        let path = directory.0.join("engine.toml");
        std::fs::write(&path, Self::config(pcscf, esp_port)).expect("a file");
        let mut child = Command::new(ENGINE)
            .arg("serve")
            .arg(&path)
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("it starts");
        let mut lines = BufReader::new(child.stderr.take().expect("it is piped"));
        let process = Running(child);
        // It says where its control plane is once it serves.
        let mut said = String::new();
        let admin = loop {
            let from = said.len();
            let count = lines.read_line(&mut said).expect("its standard error");
            assert!(count > 0, "it ended: {said}");
            if let Some((_, rest)) = said[from..].split_once("admin ") {
                break rest.trim().trim_end_matches("/v1/status").to_owned();
            }
        };
        Self { process, pcscf, esp_port, admin }
    }

    fn status(&self) -> Value {
        let url = format!("{}/v1/status", self.admin);
        let (status, body) = imstorm_control::get(&url, PATIENCE).expect("an answer");
        assert_eq!(status, 200);
        serde_json::from_slice(&body).expect("JSON")
    }

    /// A run against this engine.
    fn run(&self, out: &Folder, set: &[&str]) -> Command {
        let mut command = run(out, set);
        command.args(["--set", &format!("topology.pcscf_esp_port={}", self.esp_port)]);
        command.args(["--target", &self.pcscf.to_string(), "--admin", &self.admin]);
        command
    }
}

#[test]
fn a_separate_engine() {
    let _alone = alone();
    let out = Folder::new("separate");
    let mut engine = Engine::serve(&out);
    let output = finish(engine.run(&out, &[]));
    assert_eq!(output.status.code(), Some(0), "{}", shown(&output));
    passes(&out.report(), 200);
    // A second run against the same engine: its users are known already.
    let output = finish(engine.run(&out, &[]));
    assert_eq!(output.status.code(), Some(0), "{}", shown(&output));
    let status = engine.status();
    assert_eq!(status["counters"]["esp_rejected"], 0);
    assert!(status["counters"]["connections_made"].as_u64() >= Some(400), "{status:#}");
    engine.process.interrupt();
    let ended = engine.process.0.wait().expect("it ends");
    assert_eq!(ended.code(), Some(0), "told to stop, it stops well");
}

#[test]
fn an_interrupted_run_still_reports() {
    let _alone = alone();
    let out = Folder::new("interrupted");
    let engine = Engine::serve(&out);
    let set = ["population.size=5000", "arrivals.rate_per_s=50", "procedures.release.after_s=600"];
    let mut running = Running(engine.run(&out, &set).spawn().expect("it starts"));
    let since = Instant::now();
    while engine.status()["subscriptions"].as_u64() < Some(5) {
        assert!(since.elapsed() < PATIENCE, "no UE was secured");
    }
    running.interrupt();
    let status = running.0.wait().expect("it ends");
    assert!(since.elapsed() < PATIENCE, "it ended at once");
    let report = out.report();
    assert_eq!(report["interrupted"], true, "{report:#}");
    assert!(report["ues"]["secured"].as_u64() >= Some(5));
    assert!(report["ues"]["secured"].as_u64() < Some(5000));
    let expected = match report["verdict"].as_str() {
        Some("pass") => 0,
        Some("invalid") => INVALID,
        other => panic!("{other:?}: {report:#}"),
    };
    assert_eq!(status.code(), Some(expected));
}

#[test]
fn a_crossed_threshold_exits_with_1() {
    let _alone = alone();
    let out = Folder::new("threshold");
    let pcscf = format!("topology.pcscf=[\"{}:5060\"]", fresh_ip());
    let set = [pcscf.as_str(), "thresholds.procedures.secure.completed=\"< 10\""];
    let output = finish(run(&out, &set));
    assert_eq!(output.status.code(), Some(1), "{}", shown(&output));
    assert_eq!(out.report()["verdict"], "fail");
}

#[test]
fn a_bad_profile_exits_with_2_and_says_where() {
    let directory = Folder::new("bad");
    let path = directory.0.join("bad.toml");
    let text = "name = \"bad\"\n[population]\nsize = 10\ndomains = \"ims.example\"\n";
    std::fs::write(&path, text).expect("a file");
    let output = Command::new(IMSTORM).arg("run").arg(&path).output().expect("it starts");
    assert_eq!(output.status.code(), Some(2), "{}", shown(&output));
    let place = format!("{}:4:1", path.display());
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains(&place), "{place} in: {said}");
    assert!(said.contains("domains"), "{said}");
}

#[test]
fn a_bad_engine_configuration_exits_with_2_and_says_where() {
    let directory = Folder::new("bad-engine");
    let path = directory.0.join("bad.toml");
    std::fs::write(&path, "shards = \"two\"\n").expect("a file");
    for command in ["serve", "check"] {
        let output = Command::new(ENGINE).arg(command).arg(&path).output().expect("it starts");
        assert_eq!(output.status.code(), Some(2), "{}", shown(&output));
        let place = format!("{}:1:10", path.display());
        assert!(shown(&output).contains(&place), "{}", shown(&output));
    }
}

#[test]
fn bad_usage_exits_with_2() {
    for args in [&["run"][..], &["run", "no-such-profile"], &["run", "quickstart", "--set", "x"]] {
        let output = Command::new(IMSTORM).args(args).output().expect("it starts");
        assert_eq!(output.status.code(), Some(2), "{args:?}: {}", shown(&output));
    }
}

#[test]
fn a_comparison_of_nothing_exits_with_2_and_says_what_to_do() {
    let output = Command::new(IMSTORM).args(["schemes", "quickstart"]).output().expect("it starts");
    assert_eq!(output.status.code(), Some(2), "{}", shown(&output));
    assert!(output.stdout.is_empty(), "{}", shown(&output));
    let expected = "quickstart has no [schemes] table, so there is nothing to compare; start from `imstorm init schemes`";
    assert!(shown(&output).contains(expected), "{}", shown(&output));
    for (args, expected) in [
        (&["--repeat", "0"][..], "'--repeat <N>'"),
        (&["--repeat", "101"], "'--repeat <N>'"),
        (&["--set", "schemes.scheme=none"], "schemes.scheme"),
        (&["--set", "schemes.pcscfs=3"], "schemes.pcscfs"),
    ] {
        let mut command = Command::new(IMSTORM);
        let output = command.args(["schemes", "schemes"]).args(args).output().expect("it starts");
        assert_eq!(output.status.code(), Some(2), "{args:?}: {}", shown(&output));
        assert!(shown(&output).contains(expected), "{args:?}: {}", shown(&output));
    }
}

#[test]
fn nobody_at_the_target_exits_with_4() {
    let out = Folder::new("nobody");
    let ip = IpAddr::V4(fresh_ip());
    let target = SocketAddr::new(ip, free_port(ip));
    let output = run(&out, &[]).args(["--target", &target.to_string()]).output();
    let output = output.expect("it starts");
    assert_eq!(output.status.code(), Some(4), "{}", shown(&output));
    assert!(shown(&output).contains(&target.to_string()), "{}", shown(&output));
}

#[test]
fn a_port_in_use_exits_with_5() {
    let directory = Folder::new("in-use");
    let ip = IpAddr::V4(fresh_ip());
    let taken = UdpSocket::bind(SocketAddr::new(ip, 0)).expect("a port");
    let pcscf = taken.local_addr().expect("an address");
    let path = directory.0.join("engine.toml");
    std::fs::write(&path, Engine::config(pcscf, free_port(ip))).expect("a file");
    let mut child = Command::new(ENGINE)
        .arg("serve")
        .arg(&path)
        .stderr(Stdio::piped())
        .spawn()
        .map(Running)
        .expect("it starts");
    let mut said = String::new();
    let mut pipe = child.0.stderr.take().expect("it is piped");
    pipe.read_to_string(&mut said).expect("its standard error");
    let status = child.0.wait().expect("it ends");
    assert_eq!(status.code(), Some(5), "{said}");
    assert!(said.contains(&pcscf.to_string()), "{said}");
}

#[test]
fn a_port_of_the_ues_in_use_exits_with_5() {
    let out = Folder::new("ue-in-use");
    let taken = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).expect("a port");
    let port = taken.local_addr().expect("an address").port();
    let target = SocketAddr::new(fresh_ip().into(), 5060).to_string();
    let output = run(&out, &[&format!("ue.port={port}")]).args(["--target", &target]).output();
    let output = output.expect("it starts");
    assert_eq!(output.status.code(), Some(5), "{}", shown(&output));
}
