use std::time::Instant;

use imstorm_engine::metrics::Metrics as EngineMetrics;
use imstorm_engine::status::Published;
use imstorm_uring::Backend;

use super::*;
use crate::generator::GeneratorState;
use crate::health::Health;
use crate::measure::{Measurements, Start};

const MS: u64 = 1_000_000;

fn profile() -> Profile {
    Profile::load("quickstart", &[]).unwrap()
}

/// A second in which procedures took so many milliseconds each, and one failed.
fn second(measurements: &mut Measurements, latencies_ms: &[u64]) -> Second {
    let start = Start::default();
    for latency_ms in latencies_ms {
        measurements.attempted(Procedure::Secure, start);
        measurements.completed(Procedure::Secure, start, latency_ms * MS);
    }
    measurements.attempted(Procedure::Secure, start);
    measurements.failed(Procedure::Secure, start, Cause::StatusOther(503));
    Second {
        from_ns: 0,
        until_ns: 2_500 * MS,
        interval: measurements.interval(),
        steps: Vec::new(),
        interventions: Vec::new(),
        state: GeneratorState { secured: 7, retransmissions: 3, ..GeneratorState::default() },
        health: Health { socket_drops: 2, ..Health::default() },
        cpu_ns: 1_500 * MS,
        rss_bytes: 1 << 20,
        engine: None,
    }
}

fn scrape(metrics: &Metrics) -> String {
    let answer = metrics.answer("");
    assert_eq!(answer.status, 200);
    String::from_utf8(answer.body).unwrap()
}

#[test]
fn before_it_begins_a_run_has_its_name_and_no_procedures() {
    let text = scrape(&Metrics::new(&profile()));
    assert!(text.contains("imstorm_info{profile=\"quickstart\",version="), "{text}");
    assert!(text.contains("\nimstorm_ues 10000.0\n"), "{text}");
    assert!(!text.contains("procedure=\"secure\""), "{text}");
    assert!(text.ends_with("# EOF\n"));
}

#[test]
fn seconds_add_up() {
    let metrics = Metrics::new(&profile());
    let mut measurements = Measurements::new();
    metrics.note(&second(&mut measurements, &[4, 40]), &[]);
    metrics.note(&second(&mut measurements, &[400]), &[]);
    let text = scrape(&metrics);
    for line in [
        "imstorm_procedures_attempted_total{procedure=\"secure\"} 5",
        "imstorm_procedures_completed_total{procedure=\"secure\"} 3",
        "imstorm_procedures_failed_total{procedure=\"secure\"} 2",
        "imstorm_procedure_latency_seconds_count{procedure=\"secure\"} 3",
        "imstorm_procedure_latency_seconds_bucket{le=\"0.05\",procedure=\"secure\"} 2",
        "imstorm_procedure_latency_seconds_bucket{le=\"+Inf\",procedure=\"secure\"} 3",
        "imstorm_failures_total{cause=\"status_503\"} 2",
        "imstorm_socket_drops_total 4.0",
        "imstorm_ues_secured 7.0",
        "imstorm_retransmissions_total 3.0",
        "imstorm_elapsed_seconds 2.5",
        "process_cpu_seconds_total 1.5",
    ] {
        assert!(text.lines().any(|it| it == line), "{line}\n{text}");
    }
}

/// The table at the head of the module is what users are told.
#[test]
fn every_metric_is_documented() {
    let metrics = Metrics::new(&profile());
    metrics.note(&second(&mut Measurements::new(), &[1]), &[]);
    let documentation: String =
        include_str!("mod.rs").lines().take_while(|line| line.starts_with("//!")).collect();
    let text = scrape(&metrics);
    for line in text.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
        let (name, kind) = line.split_once(' ').unwrap();
        let series =
            name.strip_prefix("imstorm_transactions_").map_or(name, |_| "imstorm_transactions");
        let of_four = ["attempted", "completed", "failed", "abandoned"];
        let is_of_four = of_four.iter().any(|it| series.ends_with(it));
        let wanted = if is_of_four { "imstorm_procedures_attempted" } else { series };
        let suffix = match kind {
            "counter" if !is_of_four && wanted == name => "_total",
            "info" => "_info",
            _ => "",
        };
        assert!(documentation.contains(&format!("{wanted}{suffix}")), "{name} ({kind})");
    }
}

/// A panel whose metric has another name shows nothing, and nobody is told.
#[test]
fn the_dashboard_asks_for_metrics_that_there_are() {
    let metrics = Metrics::new(&profile());
    metrics.note(&second(&mut Measurements::new(), &[1]), &[]);
    let own = scrape(&metrics);
    let engine = EngineMetrics::registry(
        Arc::new(vec![Published::default()]),
        Instant::now(),
        Backend::Mmsg,
        None,
    );
    let engine = String::from_utf8(exposition(&engine, "").body).unwrap();
    let dashboard = include_str!("../../../profiles/grafana/imstorm.json");
    let dashboard: serde_json::Value = serde_json::from_str(dashboard).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let asked = panels.iter().filter_map(|panel| panel["targets"].as_array()).flatten();
    let mut names = 0;
    for expression in asked.map(|target| target["expr"].as_str().unwrap()) {
        let words = expression.split(|letter: char| !letter.is_ascii_lowercase() && letter != '_');
        for name in words.filter(|it| it.starts_with("imstorm_") || it.starts_with("process_")) {
            let is_there = |text: &str| {
                text.lines().any(|line| {
                    let rest = line.strip_prefix(name).unwrap_or("-");
                    rest.starts_with(['{', ' ']) || rest.starts_with("_count{")
                })
            };
            assert!(is_there(&own) || is_there(&engine), "{name}");
            names += 1;
        }
    }
    assert!(names > 25, "{names}");
}
