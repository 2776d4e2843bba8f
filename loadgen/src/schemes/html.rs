//! The comparison as a page for someone who knows IMS and not imstorm: one file, nothing from elsewhere, no script.

use std::fmt::{self, Write};

use super::comparison::Comparison;
use super::markdown::is_plain;
use super::matrix::{Cell, Row};
use crate::course::{CourseStep, SaPolicy, Scheme};
use crate::page::escape::html as escaped;

const BASE: &str = include_str!("../page/base.css");
const STYLE: &str = include_str!("style.css");

/// What each scheme is, in a line.
const fn described(scheme: Scheme) -> &'static str {
    match scheme {
        Scheme::Registration => {
            "today's IMS: REGISTER with AKA, one registration for each private identity"
        }
        Scheme::Outbound => "solution 1: flows told apart by +sip.instance and reg-id (RFC 5626)",
        Scheme::ConnectivityCheck => {
            "solution 2: the S-CSCF asks the UE by a reg NOTIFY over the earlier registration whether it is still there"
        }
        Scheme::ModifiedImpi => "solution 3: a private identity derived for each registration",
        Scheme::ModifiedImpiOutbound => "solutions 3 and 1 together",
        Scheme::ModifiedImpiConnectivityCheck => "solutions 3 and 2 together",
        Scheme::SecuritySubscription => {
            "a SUBSCRIBE to the security event package sets up each connection, and REGISTER runs over it"
        }
    }
}

/// What each procedure is, in a line.
const PROCEDURES: [(CourseStep, &str); 6] = [
    (CourseStep::Attach, "first attach: security, registration, reg event subscription"),
    (CourseStep::AddAccess, "the same over a second access while the first one stays"),
    (CourseStep::Refresh, "refresh of one of the two"),
    (CourseStep::Reauthenticate, "re-authentication of one of the two"),
    (
        CourseStep::Handover,
        "from one access to another with a call up, the old one left; for each user who moves",
    ),
    (CourseStep::Leave, "leaving"),
];

/// The page.
pub fn render(comparison: &Comparison) -> String {
    let mut page = String::new();
    // Writing into a string does not fail.
    let _ = Page(&mut page).write(comparison);
    page
}

struct Page<'a>(&'a mut String);

impl Page<'_> {
    fn write(&mut self, it: &Comparison) -> fmt::Result {
        let holding = it.conclusions.iter().filter(|conclusion| conclusion.holds).count();
        let out = &mut *self.0;
        writeln!(out, "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">")?;
        writeln!(out, "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">")?;
        writeln!(
            out,
            "<title>Simultaneous IMS registrations, compared</title>\n<style>\n{BASE}{STYLE}</style>\n</head>\n<body>\n<main>"
        )?;
        writeln!(out, "<h1>Simultaneous IMS registrations, compared</h1>")?;
        writeln!(
            out,
            "<p class=\"verdict\">{holding} of {} conclusions of the paper are what was seen.</p>",
            it.conclusions.len()
        )?;
        self.explanation(it)?;
        self.conclusions(it)?;
        self.matrix(it)?;
        self.costs(it)?;
        self.interruptions(it)?;
        self.details(it)?;
        writeln!(self.0, "</main>\n</body>\n</html>")
    }

    fn explanation(&mut self, it: &Comparison) -> fmt::Result {
        let out = &mut *self.0;
        writeln!(
            out,
            "<p>{} users, each with one private identity and two accesses (a cellular and a WLAN one, with an address each), went through the same \
             steps by each scheme: attach, add the second access, refresh one, authenticate one again, hand a call over, leave. They ran against \
             one engine (P-CSCFs, I-CSCF, S-CSCF and HSS) over real sockets with AKA and IPsec ESP. Whether a scheme works is what was <em>seen</em>: \
             security associations at both ends, and a MESSAGE to and from every user over either access.</p>",
            it.users
        )?;
        writeln!(out, "<ul class=\"facts\">")?;
        writeln!(
            out,
            "<li>Profile <code>{}</code>, seed {}, {} run{} of each row.</li>",
            escaped(&it.profile),
            it.seed,
            it.repeats,
            plural(it.repeats)
        )?;
        match it.delay_ms {
            None => writeln!(
                out,
                "<li>No link delays: <strong>latencies are the loopback's</strong>, good for comparing rows with each other only.</li>"
            )?,
            Some([one, two]) => writeln!(
                out,
                "<li>One-way delay {one} ms over the first access, {two} ms over the second.</li>"
            )?,
        }
        for deviation in &it.deviations {
            writeln!(out, "<li>Deviation: {}.</li>", escaped(deviation))?;
        }
        let doubtful = it.rows.iter().filter(|row| !row.doubts.is_empty()).count() as u32;
        if doubtful > 0 {
            writeln!(
                out,
                "<li>In {doubtful} row{} the load generator could not keep its times: latencies there are to be taken with caution.</li>",
                plural(doubtful)
            )?;
        }
        writeln!(out, "</ul>\n<h2>The schemes</h2>\n<dl>")?;
        for scheme in Scheme::ALL {
            writeln!(out, "<dt><code>{}</code></dt><dd>{}</dd>", scheme.name(), described(scheme))?;
        }
        writeln!(out, "</dl>")
    }

    fn conclusions(&mut self, it: &Comparison) -> fmt::Result {
        let out = &mut *self.0;
        writeln!(out, "<h2>The paper's conclusions</h2>\n<ul class=\"conclusions\">")?;
        for conclusion in &it.conclusions {
            let (class, mark) =
                if conclusion.holds { ("good", "holds") } else { ("bad", "does not hold") };
            writeln!(
                out,
                "<li><span class=\"{class}\">{mark}</span> {} <small>{}</small>",
                escaped(conclusion.statement),
                escaped(conclusion.judged_by)
            )?;
            if !conclusion.against.is_empty() {
                writeln!(
                    out,
                    "<small>Against it: {}.</small>",
                    escaped(&conclusion.against.join("; "))
                )?;
            }
            writeln!(out, "</li>")?;
        }
        writeln!(out, "</ul>")
    }

    /// Schemes down, P-CSCFs and handling of security associations across.
    fn matrix(&mut self, it: &Comparison) -> fmt::Result {
        let out = &mut *self.0;
        writeln!(out, "<h2>What works</h2>")?;
        writeln!(
            out,
            "<p>An end that handles sets of security associations by <code>impi</code> keeps one for each private identity, as today: a set-up from \
             another address has the earlier ones deleted. By <code>impi-contact</code> it keeps one for each registration or subscription.</p>"
        )?;
        writeln!(
            out,
            "<div class=\"scroll\"><table>\n<thead><tr><th rowspan=\"2\" scope=\"col\">UE / P-CSCF</th><th colspan=\"3\" scope=\"colgroup\">both accesses share a P-CSCF</th><th colspan=\"3\" scope=\"colgroup\">a P-CSCF for each access</th></tr>\n<tr>"
        )?;
        let columns = columns();
        for (_, ue, pcscf) in columns {
            writeln!(out, "<th scope=\"col\">{} / {}</th>", ue.name(), pcscf.name())?;
        }
        writeln!(out, "</tr></thead>\n<tbody>")?;
        for scheme in Scheme::ALL {
            writeln!(out, "<tr><th scope=\"row\"><code>{}</code></th>", scheme.name())?;
            for (pcscfs, ue, pcscf) in columns {
                let row = it.rows.iter().find(|row| {
                    row.scheme == scheme.name()
                        && row.pcscfs == pcscfs
                        && row.ue_sa_policy == ue.name()
                        && row.pcscf_sa_policy == pcscf.name()
                });
                match row {
                    Some(row) => write_outcome(row, out)?,
                    None => writeln!(out, "<td>–</td>")?,
                }
            }
            writeln!(out, "</tr>")?;
        }
        writeln!(out, "</tbody></table></div>")
    }

    fn costs(&mut self, it: &Comparison) -> fmt::Result {
        let out = &mut *self.0;
        writeln!(out, "<h2>What it costs</h2>")?;
        writeln!(
            out,
            "<p>For each user, with a P-CSCF for each access and a set for each registration at both ends. Gm is between UE and P-CSCF, Mw between the core's roles.</p>"
        )?;
        for (step, text) in PROCEDURES {
            let cells: Vec<(&Row, &Cell)> = it
                .rows
                .iter()
                .filter(|row| is_plain(row))
                .filter_map(|row| Some((row, row.procedures.get(step.name())?)))
                .collect();
            writeln!(out, "<h3>{} <small>{text}</small></h3>", title(step.name()))?;
            writeln!(
                out,
                "<div class=\"scroll\"><table>\n<thead><tr><th scope=\"col\">scheme</th><th scope=\"col\">messages Gm</th><th scope=\"col\">Mw</th><th scope=\"col\">bytes Gm</th><th scope=\"col\">Mw</th><th scope=\"col\">engine CPU</th><th scope=\"col\">p50</th><th scope=\"col\">p99</th></tr></thead>\n<tbody>"
            )?;
            let most = cells.iter().map(|(_, cell)| cell.messages_gm).fold(1.0, f64::max);
            for (row, cell) in cells {
                write_costs(row, cell, most, out)?;
            }
            writeln!(out, "</tbody></table></div>")?;
        }
        Ok(())
    }

    /// How long a call is interrupted by a handover, as bars.
    fn interruptions(&mut self, it: &Comparison) -> fmt::Result {
        let found: Vec<(&Row, f64, f64)> = it
            .rows
            .iter()
            .filter(|row| is_plain(row))
            .filter_map(|row| {
                let taken =
                    row.procedures.get(CourseStep::Handover.name())?.interruption_us.as_ref()?;
                Some((row, taken.get("p50")? / 1e3, taken.get("p99")? / 1e3))
            })
            .collect();
        let out = &mut *self.0;
        writeln!(out, "<h2>How long a handover interrupts a call</h2>")?;
        writeln!(
            out,
            "<p>From the decision to move to the ACK of the session over the new access. Today's registration loses the session, and the user calls again: the callee's ringing is in it.</p>"
        )?;
        let most = found.iter().map(|(_, _, p99)| *p99).fold(0.001, f64::max);
        let height = 28 * found.len() + 8;
        writeln!(
            out,
            "<svg viewBox=\"0 0 760 {height}\" role=\"img\" aria-label=\"Interruption of a call by a handover, for each scheme\">"
        )?;
        for (place, (row, p50, p99)) in found.iter().enumerate() {
            let y = 28 * place + 6;
            let width = |ms: f64| (ms / most * 330.0).max(1.0);
            writeln!(
                out,
                "<text x=\"250\" y=\"{}\" text-anchor=\"end\">{}</text>",
                y + 15,
                row.scheme
            )?;
            writeln!(
                out,
                "<rect class=\"p99\" x=\"260\" y=\"{y}\" width=\"{:.1}\" height=\"20\"/>",
                width(*p99)
            )?;
            writeln!(
                out,
                "<rect class=\"p50\" x=\"260\" y=\"{y}\" width=\"{:.1}\" height=\"20\"/>",
                width(*p50)
            )?;
            writeln!(
                out,
                "<text x=\"{:.1}\" y=\"{}\">p50 {p50:.1} ms, p99 {p99:.1} ms</text>",
                266.0 + width(*p99),
                y + 15
            )?;
        }
        writeln!(out, "</svg>")
    }

    fn details(&mut self, it: &Comparison) -> fmt::Result {
        let out = &mut *self.0;
        writeln!(
            out,
            "<h2>All rows</h2>\n<details><summary>{} rows, with what was lost and held</summary>",
            it.rows.len()
        )?;
        writeln!(
            out,
            "<div class=\"scroll\"><table>\n<thead><tr><th scope=\"col\">scheme</th><th scope=\"col\">P-CSCFs</th><th scope=\"col\">UE / P-CSCF</th><th scope=\"col\">works</th><th scope=\"col\">causes (users)</th><th scope=\"col\">SAs lost</th><th scope=\"col\">sessions lost</th><th scope=\"col\">SAs at P-CSCF per user</th><th scope=\"col\">bytes at P-CSCF</th><th scope=\"col\">bytes at S-CSCF</th></tr></thead>\n<tbody>"
        )?;
        for row in &it.rows {
            let causes: Vec<String> =
                row.causes.iter().map(|(cause, count)| format!("{cause} ({count})")).collect();
            let Row {
                scheme, pcscfs, ue_sa_policy, pcscf_sa_policy, sas_lost, sessions_lost, ..
            } = row;
            writeln!(
                out,
                "<tr><th scope=\"row\"><code>{scheme}</code></th><td>{pcscfs}</td><td>{ue_sa_policy} / {pcscf_sa_policy}</td>"
            )?;
            write_outcome(row, out)?;
            writeln!(
                out,
                "<td>{}</td><td>{sas_lost}</td><td>{sessions_lost}</td><td>{:.1}</td><td>{:.0}</td><td>{:.0}</td></tr>",
                escaped(&causes.join(", ")),
                row.pcscf_sas_per_ue,
                row.pcscf_bytes_per_ue,
                row.scscf_bytes_per_ue
            )?;
        }
        writeln!(
            out,
            "</tbody></table></div></details>\n<p>Every figure, with confidence intervals where there were repeats, is in <code>schemes.json</code> beside this file; a line for each row and procedure in <code>schemes.csv</code>.</p>"
        )
    }
}

/// P-CSCFs, and the handling at UE and P-CSCF.
fn columns() -> [(u32, SaPolicy, SaPolicy); 6] {
    use SaPolicy::{Impi, ImpiContact};
    [
        (1, Impi, Impi),
        (1, ImpiContact, Impi),
        (1, ImpiContact, ImpiContact),
        (2, Impi, Impi),
        (2, ImpiContact, Impi),
        (2, ImpiContact, ImpiContact),
    ]
}

fn write_outcome(row: &Row, out: &mut String) -> fmt::Result {
    match row.broken_step {
        None if row.works => writeln!(out, "<td class=\"good\">works</td>"),
        None => writeln!(out, "<td class=\"bad\">not gone through</td>"),
        Some(step) => writeln!(out, "<td class=\"bad\">breaks: {}</td>", title(step)),
    }
}

fn write_costs(row: &Row, cell: &Cell, most: f64, out: &mut String) -> fmt::Result {
    let ms = |name: &str| {
        cell.latency_us.get(name).map_or("–".to_owned(), |us| format!("{:.2} ms", us / 1e3))
    };
    let part = cell.messages_gm / most * 100.0;
    let failed = if cell.failed > 0 {
        format!(" <span class=\"bad\">{} failed</span>", cell.failed)
    } else {
        String::new()
    };
    writeln!(
        out,
        "<tr><th scope=\"row\"><code>{}</code>{failed}</th><td><span class=\"bar\" style=\"width:{part:.0}%\"></span>{:.1}</td><td>{:.1}</td><td>{:.0}</td><td>{:.0}</td><td>{:.0} µs</td><td>{}</td><td>{}</td></tr>",
        row.scheme,
        cell.messages_gm,
        cell.messages_mw,
        cell.bytes_gm,
        cell.bytes_mw,
        cell.engine_cpu_us,
        ms("p50"),
        ms("p99")
    )
}

/// A procedure's name for a reader.
fn title(name: &str) -> String {
    name.replace('_', " ")
}

const fn plural(count: u32) -> &'static str {
    if count == 1 { "" } else { "s" }
}
