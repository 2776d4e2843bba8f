//! The ladders of captured UEs in the page: those that are in `captures/` beside it.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use super::escape::html;
use crate::recorder::{self, Direction, Event, EventKind, UeEvents};

/// The most UEs that are drawn.
const UES_MAX: usize = 16;
/// The most events of one.
const EVENTS_MAX: usize = 400;
/// The longest file that is read, in bytes.
const FILE_BYTES_MAX: u64 = 4 << 20;
/// The most bytes of all ladders together; UEs beyond are left out.
const BYTES_MAX: usize = 2 << 20;

/// The ladders as HTML; nothing where no UE was captured. What is left out is said.
#[must_use]
pub fn read(directory: &Path) -> String {
    let files = files(&directory.join("captures"));
    let mut page = String::new();
    let mut drawn = 0;
    for (ue, path) in &files {
        if drawn >= UES_MAX || page.len() > BYTES_MAX {
            break;
        }
        let Some(events) = text(path).and_then(|text| UeEvents::from_json(&text).ok()) else {
            let _ = writeln!(
                page,
                "<p class=\"note\">UE {ue}: {} can’t be read.</p>",
                html(&path.display().to_string())
            );
            continue;
        };
        let messages = text(&path.with_extension("sip")).unwrap_or_default();
        page.push_str(&flow(events, &messages, drawn == 0));
        drawn += 1;
    }
    if drawn < files.len() {
        let left_out = files.len() - drawn;
        let _ = writeln!(
            page,
            "<p class=\"note\">{left_out} more captured UEs are left out here: <code>imstorm ladder</code> draws them.</p>"
        );
    }
    page
}

/// The captured UEs, by number, and their files.
#[allow(clippy::disallowed_methods, reason = "this is one of the outermost functions")]
fn files(captures: &Path) -> Vec<(u64, PathBuf)> {
    let entries = std::fs::read_dir(captures).into_iter().flatten().flatten();
    let named = entries.filter_map(|entry| {
        let name = entry.file_name().into_string().ok()?;
        let ue = name.strip_prefix("ue-")?.strip_suffix(".json")?.parse().ok()?;
        Some((ue, entry.path()))
    });
    let mut files: Vec<_> = named.collect();
    files.sort();
    files
}

#[allow(clippy::disallowed_methods, reason = "this is one of the outermost functions")]
fn text(path: &Path) -> Option<String> {
    let length = std::fs::metadata(path).ok()?.len();
    (length <= FILE_BYTES_MAX).then(|| std::fs::read_to_string(path).ok()).flatten()
}

/// A UE: its ladder, and below it its messages.
fn flow(mut events: UeEvents, messages: &str, is_open: bool) -> String {
    let all = events.events.len();
    events.events.truncate(EVENTS_MAX);
    let UeEvents { ue, .. } = events;
    let open = if is_open { " open" } else { "" };
    let mut page = format!(
        "<details class=\"flow\" id=\"ue-{ue}\"{open}><summary><h3>UE {ue}</h3><span class=\"sums\">{}</span></summary>\n",
        html(&outline(&events))
    );
    let _ = writeln!(page, "<pre tabindex=\"0\">{}</pre>", html(&recorder::ladder(&events)));
    let texts: Vec<&str> = messages.split("\n--- ").skip(1).collect();
    // The two files have the same entries; where they do not, no text is better than another message's.
    let texts = if texts.len() == all { texts } else { Vec::new() };
    let start_ns = events.events.first().map_or(0, |event| event.at_ns);
    for (number, event) in events.events.iter().enumerate() {
        let title = title(event, start_ns);
        let Some(text) =
            texts.get(number).filter(|_| matches!(event.kind, EventKind::Datagram { .. }))
        else {
            continue;
        };
        let _ = writeln!(
            page,
            "<details class=\"message\" id=\"ue-{ue}-{number}\"><summary>{}</summary><pre tabindex=\"0\">{}</pre></details>",
            html(&title),
            html(text.trim_end())
        );
    }
    if all > EVENTS_MAX {
        let _ = writeln!(
            page,
            "<p class=\"note\">The first {EVENTS_MAX} of {all} events: <code>imstorm ladder</code> draws all.</p>"
        );
    }
    page.push_str("</details>\n");
    page
}

/// What became of a UE, in a line.
fn outline(events: &UeEvents) -> String {
    let is_datagram = |event: &&Event| matches!(event.kind, EventKind::Datagram { .. });
    let mut line = format!("{} datagrams", events.events.iter().filter(is_datagram).count());
    for event in &events.events {
        if let EventKind::Failure { procedure, cause } = &event.kind {
            let _ = write!(line, " · {procedure} failed: {cause}");
        }
    }
    line
}

fn title(event: &Event, start_ns: u64) -> String {
    let offset_ms = event.at_ns.saturating_sub(start_ns) as f64 / 1e6;
    let EventKind::Datagram { direction, bytes, message, .. } = &event.kind else {
        return String::new();
    };
    let way = match direction {
        Direction::In => "←",
        Direction::Out => "→",
    };
    match message {
        Some(message) => format!("{way} {offset_ms:.3} ms  {}", message.start_line),
        None => format!("{way} {offset_ms:.3} ms  {bytes} bytes"),
    }
}
