//! A report as a table for a person.

use std::fmt::Write as _;

use super::{CourseReport, Engine, Report, Row, Rows, Verdict, intervention, load_table};

/// The table.
pub(super) fn render(report: &Report) -> String {
    let mut text = String::new();
    let part = match (report.part, report.parts) {
        (Some(part), _) => format!(", part {part}"),
        (None, Some(parts)) => format!(", {parts} parts put together"),
        (None, None) => String::new(),
    };
    let interrupted = if report.interrupted { ", interrupted" } else { "" };
    let _ = writeln!(
        text,
        "{}{part}: {} of {} UEs secured in {:.1} s{interrupted}\n",
        report.profile,
        grouped(report.ues.secured),
        grouped(report.ues.configured),
        report.duration_s
    );
    rows(&mut text, "procedure", &report.measured.procedures);
    rows(&mut text, "transaction", &report.measured.transactions);
    phases(&mut text, report);
    if let Some(report) = &report.course {
        course(&mut text, report);
    }
    load_table::steps(&mut text, &report.steps);
    if let Some(found) = &report.capacity {
        load_table::capacity(&mut text, found);
    }
    sessions(&mut text, report);
    failures(&mut text, report);
    let generator = &report.generator;
    let _ = writeln!(
        text,
        "generator  late starts {}, skipped starts {}, socket drops {}, CPU {:.1} s, memory {}",
        grouped(generator.late_starts),
        grouped(generator.skipped_starts),
        grouped(generator.socket_drops),
        generator.cpu_s,
        memory(generator.rss_bytes)
    );
    text.push_str(&crate::health::render(&report.health));
    if generator.links_lost > 0 || generator.links_doubled > 0 {
        let _ = writeln!(
            text,
            "links      lost {} datagrams and doubled {}, as the profile wants",
            grouped(generator.links_lost),
            grouped(generator.links_doubled)
        );
    }
    if let Some(state) = &report.engine {
        engine(&mut text, state);
    }
    verdict(&mut text, report);
    text
}

/// The rows of what was attempted at all.
fn rows(text: &mut String, title: &str, rows: &Rows<Row>) {
    let shown = || rows.0.iter().filter(|(_, row)| row.attempted > 0);
    let width = shown().map(|(name, _)| name.len()).max().unwrap_or(0).max(11);
    let _ = writeln!(
        text,
        "{title:<width$} {:>11} {:>11} {:>9} {:>9} {:>9}  {:>9} {:>9} {:>9} {:>9} {:>9} {:>9}",
        "attempted",
        "completed",
        "failed",
        "pending",
        "per s",
        "p50",
        "p90",
        "p99",
        "p99.9",
        "max",
        "mean"
    );
    for (name, row) in shown() {
        let _ = write!(
            text,
            "{name:<width$} {:>11} {:>11} {:>9} {:>9} {:>9.1} ",
            grouped(row.attempted),
            grouped(row.completed),
            grouped(row.failed),
            grouped(row.pending),
            row.rate_per_s
        );
        let latency = &row.latency_us;
        for value in [latency.p50, latency.p90, latency.p99, latency.p999, latency.max] {
            let _ = write!(text, " {:>9}", duration(value, latency.max));
        }
        let _ = writeln!(text, " {:>9}", duration(latency.mean.round() as u64, latency.max));
    }
    text.push('\n');
}

/// From when to when each procedure was going on.
fn phases(text: &mut String, report: &Report) {
    if report.phases.0.is_empty() {
        return;
    }
    let shown = report.phases.0.iter().map(|(name, phase)| {
        format!("{name} {:.0} to {:.0} s", phase.began_s.floor(), phase.ended_s.ceil())
    });
    let _ = writeln!(text, "phases     {}\n", shown.collect::<Vec<_>>().join(", "));
}

/// The steps that all users went through together; what they cost is for each of them.
fn course(text: &mut String, report: &CourseReport) {
    let _ = writeln!(
        text,
        "{:<29} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9}",
        "step", "users", "failed", "Gm each", "Mw each", "CPU each", "p50", "p99"
    );
    for step in &report.steps {
        let each = |total: u64| total as f64 / step.users.max(1) as f64;
        let latency = &step.latency_us;
        let _ = writeln!(
            text,
            "{:<29} {:>9} {:>9} {:>9.1} {:>9.1} {:>6.0} µs {:>9} {:>9}",
            step.step,
            grouped(step.users),
            grouped(step.failed),
            each(step.gm_messages),
            each(step.mw_messages),
            step.engine_cpu_us / step.users.max(1) as f64,
            duration(latency.p50, latency.max),
            duration(latency.p99, latency.max)
        );
    }
    text.push('\n');
}

fn sessions(text: &mut String, report: &Report) {
    let sessions = &report.sessions;
    if sessions.established == 0 {
        return;
    }
    let _ = writeln!(
        text,
        "sessions   established {}, moved {}, released {}, lost {}",
        grouped(sessions.established),
        grouped(sessions.moved),
        grouped(sessions.released),
        grouped(sessions.lost)
    );
}

fn failures(text: &mut String, report: &Report) {
    if report.measured.abandoned > 0 || report.generator.vanished > 0 {
        let _ = writeln!(
            text,
            "given up   {} procedures, and {} UEs vanished, as the profile wants",
            grouped(report.measured.abandoned),
            grouped(report.generator.vanished)
        );
    }
    let failures = &report.measured.failures.0;
    if failures.is_empty() {
        text.push_str("failures   none\n");
        return;
    }
    text.push_str("failures\n");
    let width = failures.iter().map(|(cause, _)| cause.len()).max().unwrap_or(0);
    for (cause, count) in failures {
        let _ = writeln!(text, "  {cause:<width$}  {:>9}", grouped(*count));
    }
}

fn engine(text: &mut String, engine: &Engine) {
    let _ = writeln!(
        text,
        "engine     subscriptions {}, security associations {}, registrations {}, sessions {}",
        grouped(engine.subscriptions),
        grouped(engine.security_associations),
        grouped(engine.registrations),
        grouped(engine.sessions)
    );
    let _ = writeln!(
        text,
        "           messages in {}, out {}, ESP rejected {}, shard hops {}, CPU {:.1} s, memory {}",
        grouped(engine.messages_in),
        grouped(engine.messages_out),
        grouped(engine.esp_rejected),
        grouped(engine.shard_hops),
        engine.cpu_s,
        memory(engine.rss_bytes)
    );
}

fn verdict(text: &mut String, report: &Report) {
    if !report.thresholds.is_empty() {
        text.push_str("\nthresholds\n");
    }
    let width = report.thresholds.iter().map(|result| result.path.len()).max().unwrap_or(0);
    for result in &report.thresholds {
        let value = result.value.map_or("not measured".to_owned(), |value| value.to_string());
        let held = if result.held { "held" } else { "NOT HELD" };
        let condition = &result.condition;
        let _ = writeln!(text, "  {:<width$}  {condition:<10} {value:>12}  {held}", result.path);
    }
    let _ = writeln!(text, "\n{}: {}", report.verdict.name().to_uppercase(), reason(report));
}

/// The verdict's reason, in a sentence.
pub(super) fn reason(report: &Report) -> String {
    let broken = report.thresholds.iter().filter(|result| !result.held).count();
    let reason = match report.verdict {
        Verdict::Fail if report.aborted.is_some() => {
            report.aborted.iter().map(ToString::to_string).collect()
        }
        Verdict::Pass if report.thresholds.is_empty() => "there were no thresholds".to_owned(),
        Verdict::Pass => format!("all {} thresholds held", report.thresholds.len()),
        Verdict::Fail if report.found_nothing() => {
            "no load that was tried was handled adequately".to_owned()
        }
        Verdict::Fail => format!("{broken} of {} thresholds not held", report.thresholds.len()),
        Verdict::Invalid => report.invalid_reasons.join("; "),
    };
    let by_hand = intervention::in_words(&report.interventions, report.duration_s);
    let by_hand = by_hand.map(|words| format!("; {words}")).unwrap_or_default();
    reason + &by_hand
}

/// Microseconds, in the unit that fits the row's longest: all of a row have the same.
pub(super) fn duration(value_us: u64, longest_us: u64) -> String {
    if longest_us == 0 {
        return "-".to_owned();
    }
    let ms = value_us as f64 / 1_000.0;
    match longest_us {
        0..10_000 => format!("{value_us} µs"),
        10_000..1_000_000 => format!("{ms:.2} ms"),
        _ => format!("{ms:.0} ms"),
    }
}

/// With a comma between thousands.
pub(crate) fn grouped(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn memory(bytes: u64) -> String {
    let mib = bytes as f64 / f64::from(1 << 20);
    format!("{mib:.1} MiB")
}
