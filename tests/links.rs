//! What a profile's links do to the datagrams of a run over real sockets: the program itself, on 127.0.0.0/8, at a target that is
//! known and at the engine.

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tests::fifo::FifoSpec;
use tests::fifo_server::FifoServer;
use tests::program::{Folder, INVALID, alone, free_port, fresh_ip};

const IMSTORM: &str = env!("CARGO_BIN_EXE_imstorm-under-test");

/// How many requests were sent again, as the log's last second says.
fn retransmissions(out: &Folder) -> u64 {
    let lines = out.text("intervals.jsonl");
    let mut states = lines.lines().filter_map(|line| {
        let line: Value = serde_json::from_str(line).ok()?;
        line["state"]["retransmissions"].as_u64()
    });
    states.next_back().expect("a second")
}

fn run(profile: &str, out: &Path, set: &[String]) -> Command {
    let any = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
    let mut command = Command::new(IMSTORM);
    command.args(["run", profile, "--quiet", "--out"]).arg(out);
    for port in ["ue.port", "ue.esp_port"] {
        command.args(["--set", &format!("{port}={}", free_port(any))]);
    }
    for set in set {
        command.args(["--set", set]);
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Asserts that the run came to its end, and that nothing can be wrong with it but the machine's slowness.
fn ended(output: &Output) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let said = format!("{}{}", text(&output.stdout), text(&output.stderr));
    assert!(matches!(output.status.code(), Some(0 | INVALID)), "{}\n{said}", output.status);
    assert!(!said.contains("no room on the links"), "{said}");
}

fn count(value: &Value) -> u64 {
    value.as_u64().expect("a count")
}

#[test]
fn what_a_link_loses_is_sent_again_and_nothing_fails() {
    const UES: u64 = 300;
    let _alone = alone();
    let server = FifoServer::start(FifoSpec::default());
    let out = Folder::new("links-loss");
    let set = [
        format!("population.size={UES}"),
        "arrivals.rate_per_s=300".to_owned(),
        "links=[{ delay_ms = 5, loss = 0.1 }]".to_owned(),
    ];
    let mut command = run("register-plain", &out.0, &set);
    let output = command.args(["--target", &server.address.to_string()]).output();
    ended(&output.expect("it starts"));
    let served = server.end();
    let report = out.report();
    let row = &report["procedures"]["registration"];
    assert_eq!((&row["completed"], &row["failed"]), (&UES.into(), &0.into()), "{report:#}");
    // Five milliseconds there, and five back.
    assert!(count(&row["latency_us"]["p50"]) >= 10_000, "{row:#}");
    let lost = count(&report["generator"]["links_lost"]);
    let sent = UES + retransmissions(&out);
    let arrived = served.fifo.arrivals.len() as u64;
    assert!((UES..sent).contains(&arrived), "of {sent} requests {arrived} came");
    // Each transaction has one request that came and whose answer came; of every other one something may be lost.
    assert!(sent - UES >= lost && lost > 0, "{sent} sent, {lost} lost");
    // One in ten is lost each way: among 600 it is none, or more than a third, once in more than 10^27.
    assert!((1..200).contains(&lost), "{lost}");
    assert_eq!(report["generator"]["links_doubled"], 0);
}

/// `imstorm run quickstart`, small and short, with an engine of its own.
fn quickstart(out: &Folder, ip: Ipv4Addr, links: &str) -> Value {
    let set = [
        "population.size=100".to_owned(),
        "arrivals.rate_per_s=100".to_owned(),
        "procedures.refresh.after_s=0.5".to_owned(),
        "procedures.release.after_s=1".to_owned(),
        format!("topology.pcscf=[\"{ip}:5060\"]"),
        format!("topology.pcscf_esp_port={}", free_port(ip.into())),
        format!("links={links}"),
    ];
    ended(&run("quickstart", &out.0, &set).output().expect("it starts"));
    out.report()
}

#[test]
fn what_comes_twice_or_out_of_order_over_secured_links_is_taken_once() {
    let _alone = alone();
    let out = Folder::new("links-doubled");
    let links = "[{ delay_ms = 2, jitter_ms = 2, duplication = 0.5 }]";
    let report = quickstart(&out, fresh_ip(), links);
    for procedure in ["secure", "refresh", "release"] {
        let row = &report["procedures"][procedure];
        assert_eq!((&row["completed"], &row["failed"]), (&100.into(), &0.into()), "{report:#}");
    }
    let generator = &report["generator"];
    // Six datagrams each set security up alone.
    assert!(count(&generator["links_doubled"]) > 100, "{generator:#}");
    assert_eq!(generator["links_lost"], 0);
    // The copies of ESP packets are replays (RFC 4303 3.4.3).
    assert!(count(&report["engine"]["esp_rejected"]) > 0, "{report:#}");
    assert_eq!(report["engine"]["subscriptions"], 0, "the last answers arrived");
}

#[test]
fn without_links_nothing_is_lost_or_doubled() {
    let _alone = alone();
    let out = Folder::new("links-none");
    let report = quickstart(&out, fresh_ip(), "[]");
    let generator = &report["generator"];
    assert_eq!((&generator["links_lost"], &generator["links_doubled"]), (&0.into(), &0.into()));
    assert_eq!(report["engine"]["esp_rejected"], 0);
}
