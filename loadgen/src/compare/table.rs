//! A comparison as a table.

use std::fmt::Write as _;

use super::rules::Unit;
use super::{Compared, Finding, Judged};

const HEAD: [&str; 6] = ["", "A", "B", "change", "noise", ""];

/// For a terminal.
pub(super) fn text(compared: &Compared) -> String {
    let rows: Vec<[String; 6]> = compared.findings.iter().map(row).collect();
    let head = HEAD.map(str::to_owned);
    let width = |column: usize| {
        let all = std::iter::once(&head).chain(&rows);
        all.map(|row| row[column].chars().count()).max().unwrap_or(0)
    };
    let widths: [usize; 6] = std::array::from_fn(width);
    let mut text = names(compared);
    for row in std::iter::once(&head).chain(&rows) {
        let mut line = format!("{:<width$}", row[0], width = widths[0]);
        for column in 1..5 {
            let _ = write!(line, "  {:>width$}", row[column], width = widths[column]);
        }
        let _ = writeln!(text, "{}", format!("{line}  {}", row[5]).trim_end());
    }
    text.push('\n');
    end(&mut text, compared);
    text
}

/// As Markdown.
pub(super) fn markdown(compared: &Compared) -> String {
    let mut text = names(compared);
    let _ = writeln!(text, "| what | A | B | change | noise | B is |\n|---|--:|--:|--:|--:|---|");
    for finding in &compared.findings {
        let row = row(finding).map(|cell| cell.replace('|', "\\|"));
        let _ = writeln!(text, "| {} |", row.join(" | "));
    }
    text.push('\n');
    end(&mut text, compared);
    text
}

fn names(compared: &Compared) -> String {
    let runs = |count: usize| if count == 1 { String::new() } else { format!(" ({count} runs)") };
    let [a, b] = &compared.names;
    let [runs_a, runs_b] = compared.runs;
    format!("A: {a}{}\nB: {b}{}\n\n", runs(runs_a), runs(runs_b))
}

fn end(text: &mut String, compared: &Compared) {
    for remark in &compared.remarks {
        let _ = writeln!(text, "{remark}");
    }
    let _ = writeln!(text, "{}", compared.conclusion());
}

/// A number's line: what it is, both sides, the change, what is noise, and what is said of it.
pub(super) fn row(finding: &Finding) -> [String; 6] {
    let quantity = &finding.quantity;
    let [a, b] = finding.medians;
    let unit = quantity.rule.unit;
    let change = match unit {
        // A share of a share says nothing.
        Unit::Share => format!("{:+.3} pp", 100.0 * (b - a)),
        _ if a > 0.0 => format!("{:+.1}%", 100.0 * (b - a) / a),
        _ => "-".to_owned(),
    };
    let noise = match finding.judged {
        Judged::Nothing => "-".to_owned(),
        _ if unit == Unit::Share => format!("{:.3} pp", 100.0 * finding.noise),
        _ if a > 0.0 => format!("{:.1}%", 100.0 * finding.noise / a),
        _ => shown(finding.noise, unit),
    };
    let judged = match finding.judged {
        Judged::Better => "better",
        Judged::Worse => "WORSE",
        Judged::Same => "same",
        Judged::Nothing => "not judged",
    };
    let what = format!("{} {}", quantity.of, quantity.rule.name);
    [what, shown(a, unit), shown(b, unit), change, noise, judged.to_owned()]
}

fn shown(value: f64, unit: Unit) -> String {
    match unit {
        Unit::PerSecond => format!("{value:.1}/s"),
        Unit::Share => format!("{:.3}%", 100.0 * value),
        Unit::Us if value == 0.0 => "-".to_owned(),
        Unit::Us if value >= 10_000.0 => format!("{:.2} ms", value / 1_000.0),
        Unit::Us => format!("{value:.0} µs"),
        Unit::Seconds => format!("{value:.2} s"),
        Unit::Bytes => format!("{:.1} MiB", value / f64::from(1 << 20)),
    }
}
