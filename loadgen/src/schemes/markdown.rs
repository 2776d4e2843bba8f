//! The comparison for a terminal, and for a page of notes: the same text, in Markdown.

use std::fmt::Write;

use super::comparison::Comparison;
use super::matrix::{Cell, Row};

/// The text: conclusions first, then what works, then what it costs.
pub fn render(comparison: &Comparison) -> String {
    let mut text = String::new();
    // Writing into a string does not fail.
    let _ = write_all(comparison, &mut text);
    text
}

fn write_all(it: &Comparison, out: &mut String) -> std::fmt::Result {
    writeln!(out, "# Simultaneous registrations, compared\n")?;
    let repeats = if it.repeats == 1 { "run" } else { "runs" };
    writeln!(
        out,
        "{} users with two accesses each, {} {repeats} for each row, seed {}.",
        it.users, it.repeats, it.seed
    )?;
    match it.delay_ms {
        None => writeln!(out, "No link delays: latencies are the loopback's.")?,
        Some([first, second]) => {
            writeln!(
                out,
                "One-way delay {first} ms over the first access, {second} ms over the second."
            )?;
        }
    }
    for deviation in &it.deviations {
        writeln!(out, "Deviation: {deviation}.")?;
    }
    writeln!(out, "\n## The paper's conclusions\n")?;
    for conclusion in &it.conclusions {
        let verdict = if conclusion.holds { "holds" } else { "DOES NOT HOLD" };
        writeln!(out, "- **{verdict}**: {} {}", conclusion.statement, conclusion.judged_by)?;
        for row in &conclusion.against {
            writeln!(out, "  - against it: {row}")?;
        }
    }
    writeln!(out, "\n## What works\n")?;
    writeln!(out, "UE / P-CSCF: how each end handles sets of security associations.\n")?;
    writeln!(out, "| scheme | P-CSCFs | UE / P-CSCF | works | SAs lost | sessions lost | why |")?;
    writeln!(out, "|---|---|---|---|---|---|---|")?;
    for row in &it.rows {
        let works = match row.broken_step {
            None if row.works => "yes".to_owned(),
            None => "not all steps were gone through".to_owned(),
            Some(step) => format!("no: {step}"),
        };
        let causes: Vec<String> =
            row.causes.iter().map(|(cause, count)| format!("{cause} ({count})")).collect();
        let Row { scheme, pcscfs, ue_sa_policy, pcscf_sa_policy, sas_lost, sessions_lost, .. } =
            row;
        let causes = causes.join(", ");
        writeln!(
            out,
            "| {scheme} | {pcscfs} | {ue_sa_policy} / {pcscf_sa_policy} | {works} | {sas_lost} | {sessions_lost} | {causes} |"
        )?;
    }
    writeln!(out, "\n## What it costs\n")?;
    writeln!(
        out,
        "For each user, over two P-CSCFs where both ends keep a set for each registration.\n"
    )?;
    writeln!(
        out,
        "| scheme | procedure | messages Gm | Mw | bytes Gm | Mw | engine CPU µs | p50 ms | p99 ms | interruption p50 ms |"
    )?;
    writeln!(out, "|---|---|---|---|---|---|---|---|---|---|")?;
    for row in it.rows.iter().filter(|row| is_plain(row)) {
        for name in ["attach", "add_access", "refresh", "reauthentication", "handover", "leave"] {
            if let Some(cell) = row.procedures.get(name) {
                write_cell(row, name, cell, out)?;
            }
        }
    }
    Ok(())
}

/// The rows that differ by nothing but the scheme.
pub(super) fn is_plain(row: &Row) -> bool {
    row.pcscfs == 2 && row.ue_sa_policy == "impi-contact" && row.pcscf_sa_policy == "impi-contact"
}

fn write_cell(row: &Row, name: &str, cell: &Cell, out: &mut String) -> std::fmt::Result {
    let ms = |value: Option<&f64>| value.map_or("–".to_owned(), |us| format!("{:.2}", us / 1e3));
    let (p50, p99) = (ms(cell.latency_us.get("p50")), ms(cell.latency_us.get("p99")));
    let interruption = ms(cell.interruption_us.as_ref().and_then(|it| it.get("p50")));
    let Cell { messages_gm, messages_mw, bytes_gm, bytes_mw, engine_cpu_us, .. } = cell;
    let scheme = row.scheme;
    writeln!(
        out,
        "| {scheme} | {name} | {messages_gm:.1} | {messages_mw:.1} | {bytes_gm:.0} | {bytes_mw:.0} | {engine_cpu_us:.0} | {p50} | {p99} | {interruption} |"
    )
}
