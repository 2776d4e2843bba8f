//! The same as `known_target.rs` over real sockets and through the program: what is asserted follows from what the target itself has recorded, or
//! from what was done to the generator. How long anything takes on this machine has no upper bound.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use imstorm_base::time::NS_PER_MS;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tests::fifo::{Fate, FifoSpec};
use tests::fifo_server::FifoServer;
use tests::program::{Folder, INVALID, alone, free_port_anywhere, fresh_ip};

const IMSTORM: &str = env!("CARGO_BIN_EXE_imstorm-under-test");
const SERVICE_NS: u64 = NS_PER_MS / 2;
const FIFO: FifoSpec =
    FifoSpec { service_ns: SERVICE_NS, limit: None, refuses: false, stall: None, loss: None };
/// The longest that anything here may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// `imstorm run` against a target.
struct Run {
    child: Child,
    out: Folder,
}

impl Run {
    /// REGISTERs of so many plain UEs, at a constant rate, never sent again while the target may stall.
    fn start(target: &FifoServer, ues: u64, rate_per_s: u64, set: &[&str]) -> Self {
        let out = Folder::new(&format!("known-{}", target.address.port()));
        let port = free_port_anywhere();
        let mut command = Command::new(IMSTORM);
        command.args(["run", "register-plain", "--quiet", "--target", &target.address.to_string()]);
        command.arg("--out").arg(&out.0);
        for setting in [
            format!("ue.port={port}"),
            "ue.t1_ms=2000".to_owned(),
            "arrivals.grain_ms=0".to_owned(),
            format!("population.size={ues}"),
            format!("arrivals.rate_per_s={rate_per_s}"),
        ] {
            command.args(["--set", &setting]);
        }
        for setting in set {
            command.args(["--set", setting]);
        }
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Self { child: command.spawn().expect("it starts"), out }
    }

    /// Its exit code and its report.
    fn end(mut self) -> (i32, Value) {
        let code = self.child.wait().expect("it ends").code().expect("by itself");
        let text = std::fs::read_to_string(self.out.0.join("report.json")).expect("report.json");
        (code, serde_json::from_str(&text).expect("JSON"))
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("a signal");
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The value of sorted ones that a share of them does not exceed, as histograms have it.
fn quantile(sorted: &[u64], share: f64) -> u64 {
    let rank = (share * sorted.len() as f64).ceil() as usize;
    sorted[rank.clamp(1, sorted.len()) - 1]
}

fn reasons(report: &Value) -> String {
    let reasons = report["invalid_reasons"].as_array().expect("a list");
    reasons.iter().filter_map(Value::as_str).collect::<Vec<_>>().join("; ")
}

/// Nothing that a run without fault needs is wrong but the machine's own slowness.
fn completes(code: i32, report: &Value, ues: u64) {
    assert!(code == 0 || code == INVALID, "{report:#}");
    assert_eq!(report["procedures"]["registration"]["completed"], ues, "{report:#}");
}

#[test]
fn no_percentile_is_better_than_what_the_target_has_recorded() {
    const UES: u64 = 3_000;
    let _alone = alone();
    let stall = Some((1_000, 500 * NS_PER_MS));
    let server = FifoServer::start(FifoSpec { stall, ..FIFO });
    let (code, report) = Run::start(&server, UES, 1_000, &[]).end();
    let mut served = server.end();
    completes(code, &report, UES);
    assert_eq!(served.fifo.requests() as u64, UES);
    let row = &report["procedures"]["registration"]["latency_us"];
    let of = |name: &str| row[name].as_u64().expect("a number");
    assert_eq!(served.took_ns.len() as u64, UES);
    served.took_ns.sort_unstable();
    let shares = [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p999", 0.999), ("max", 1.0)];
    for (name, share) in shares {
        let target_us = quantile(&served.took_ns, share) / 1_000;
        assert!(of(name) >= target_us, "{name}: {} µs, at the target {target_us} µs", of(name));
    }
    // Whoever was intended in the first 400 ms of the stall has waited for 100 ms and more: 400 of 3,000, which is more than a tenth.
    assert!(of("p90") >= 100_000, "{row}");
    assert!(of("max") >= 500_000, "{row}");
    let health = &report["health"];
    assert_eq!(health["lateness_us"]["count"], UES, "{health:#}");
    assert!(health["socket_wait_us"]["count"].as_u64() >= Some(UES), "{health:#}");
    assert_eq!(health["timer_slack_ns"], 1);
    assert!(health["generator_thread"]["cpu_s"].as_f64() > Some(0.0));
    assert!(health["sockets"][0]["receive_buffer_bytes"].as_u64() > Some(0));
}

#[test]
fn losses_show_as_retransmissions_and_never_as_failures() {
    const UES: u64 = 300;
    let _alone = alone();
    let server = FifoServer::start(FifoSpec { service_ns: 0, loss: Some((10, 1)), ..FIFO });
    let (code, report) = Run::start(&server, UES, 300, &["ue.t1_ms=500"]).end();
    let served = server.end();
    completes(code, &report, UES);
    let of =
        |fate: fn(&Fate) -> bool| served.fifo.arrivals.iter().filter(|it| fate(&it.fate)).count();
    assert_eq!(of(|fate| *fate == Fate::Lost) as u64, UES / 10);
    assert!(of(|fate| *fate != Fate::Lost) as u64 >= UES, "each lost one came again");
    let row = &report["procedures"]["registration"]["latency_us"];
    // One in ten took T1 and more.
    assert!(row["p99"].as_u64() >= Some(500_000), "{row}");
}

#[test]
fn a_generator_that_was_stopped_for_a_while_calls_its_run_invalid() {
    // Not so many in half a second that the target's socket could not hold them.
    const UES: u64 = 400;
    let _alone = alone();
    let server = FifoServer::start(FifoSpec { service_ns: 0, ..FIFO });
    let run = Run::start(&server, UES, 200, &[]);
    let since = Instant::now();
    while server.requests() < 50 {
        assert!(since.elapsed() < PATIENCE, "{} requests have come", server.requests());
        std::thread::yield_now();
    }
    run.signal(Signal::STOP);
    // For as long as a quarter of the starts takes: what comes of it does not depend on how exactly.
    std::thread::sleep(Duration::from_millis(500));
    run.signal(Signal::CONT);
    let (code, report) = run.end();
    drop(server.end());
    assert_eq!(code, INVALID, "{report:#}");
    assert_eq!(report["verdict"], "invalid");
    let said = reasons(&report);
    assert!(said.contains("starts came more than 10 ms late"), "{said}");
    assert!(said.contains("the generator was the limit"), "{said}");
    // The target has not stalled, but whoever was to start then has waited all the same: those of the first 400 ms for 100 ms, 80 of 400.
    let row = &report["procedures"]["registration"]["latency_us"];
    assert!(row["p90"].as_u64() >= Some(100_000), "{row}");
}

#[test]
fn a_generator_that_cannot_reach_its_rate_calls_its_run_invalid() {
    const UES: u64 = 400_000;
    let _alone = alone();
    // In a tenth of a second nobody writes so many REGISTERs.
    let server = FifoServer::start(FifoSpec { service_ns: 0, ..FIFO });
    let set = ["limits.duration_s=1", "limits.drain_s=1"];
    let (code, report) = Run::start(&server, UES, 4_000_000, &set).end();
    drop(server.end());
    assert_eq!(code, INVALID, "{report:#}");
    // Starts came late, or what they had to send found no room.
    let said = reasons(&report);
    assert!(said.contains("the generator was the limit"), "{said}");
}

/// `imstorm run quickstart`, small, with an engine of its own on the generator's core.
fn on_one_core(rule: &str) -> (i32, Value) {
    let core = imstorm_uring::process::allowed_cores().expect("there are some").pop();
    let core = format!("engine.cores=[{}]", core.expect("one at least"));
    let out = Folder::new("one-core");
    let pcscf = format!("topology.pcscf=[\"{}:5060\"]", fresh_ip());
    let mut command = Command::new(IMSTORM);
    command.args(["run", "quickstart", "--quiet", "--out"]).arg(&out.0);
    for setting in [
        "population.size=50",
        "arrivals.rate_per_s=100",
        "procedures.refresh.after_s=0.2",
        "procedures.release.after_s=0.5",
        "engine.shards=1",
        &core,
        &pcscf,
        rule,
    ] {
        command.args(["--set", setting]);
    }
    let output = command.stdin(Stdio::null()).output().expect("it starts");
    let text = std::fs::read_to_string(out.0.join("report.json"));
    let text = text.unwrap_or_else(|_| panic!("{output:?}"));
    let report = serde_json::from_str(&text).expect("JSON");
    (output.status.code().expect("it ends by itself"), report)
}

#[test]
fn latencies_of_an_engine_on_the_generators_core_are_marked_and_can_be_made_invalid() {
    let _alone = alone();
    let (code, report) = on_one_core("validity.shared_core=\"warn\"");
    assert!(code == 0 || code == INVALID, "{report:#}");
    assert_eq!(report["health"]["latency_usable"], false, "{report:#}");
    assert!(!reasons(&report).contains("share core"), "{report:#}");
    let (code, report) = on_one_core("validity.shared_core=\"invalid\"");
    assert_eq!(code, INVALID, "{report:#}");
    assert!(reasons(&report).contains("engine and generator share core"), "{report:#}");
}
