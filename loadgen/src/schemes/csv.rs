//! The matrix as a table for spreadsheets: a line for each row and procedure.

use super::comparison::Comparison;
use super::matrix::{Cell, Row};

const HEADER: &str = "scheme,pcscfs,ue_sa_policy,pcscf_sa_policy,works,broken_step,sessions_lost,sas_lost,\
pcscf_sas_per_ue,pcscf_bytes_per_ue,scscf_bytes_per_ue,procedure,users,failed,messages_gm,messages_mw,bytes_gm,bytes_mw,\
engine_cpu_us,latency_p50_us,latency_p99_us,interruption_p50_us,interruption_p99_us\n";

/// The file's text.
pub fn render(comparison: &Comparison) -> String {
    let mut text = HEADER.to_owned();
    for row in &comparison.rows {
        for (procedure, cell) in &row.procedures {
            text.push_str(&line(row, procedure, cell));
        }
    }
    text
}

fn line(row: &Row, procedure: &str, cell: &Cell) -> String {
    let of_row = [
        row.scheme.to_owned(),
        row.pcscfs.to_string(),
        row.ue_sa_policy.to_owned(),
        row.pcscf_sa_policy.to_owned(),
        row.works.to_string(),
        row.broken_step.unwrap_or_default().to_owned(),
        row.sessions_lost.to_string(),
        row.sas_lost.to_string(),
        rounded(row.pcscf_sas_per_ue),
        rounded(row.pcscf_bytes_per_ue),
        rounded(row.scscf_bytes_per_ue),
        procedure.to_owned(),
        cell.users.to_string(),
        cell.failed.to_string(),
    ];
    let figures =
        [cell.messages_gm, cell.messages_mw, cell.bytes_gm, cell.bytes_mw, cell.engine_cpu_us];
    let latencies = ["p50", "p99"].map(|name| cell.latency_us.get(name).copied());
    let interruption = ["p50", "p99"]
        .map(|name| cell.interruption_us.as_ref().and_then(|it| it.get(name)).copied());
    let all = of_row.into_iter().chain(figures.map(rounded)).chain(
        latencies.into_iter().chain(interruption).map(|it| it.map_or(String::new(), rounded)),
    );
    let mut line = all.collect::<Vec<_>>().join(",");
    line.push('\n');
    line
}

fn rounded(value: f64) -> String {
    format!("{:.2}", value)
}
