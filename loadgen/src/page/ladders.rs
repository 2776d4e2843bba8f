//! The ladders of captured UEs in the page: those that are in `captures/` beside it.

use std::fmt::Write as _;
use std::path::Path;

use super::escape::html;
use crate::recorder::{
    self, CaptureFolder, CaptureSummary, Direction, Drawing, EventKind, UeEvents,
};

/// The most UEs that are drawn.
const UES_MAX: usize = 16;
/// The most events of one.
const EVENTS_MAX: usize = 400;
/// The most bytes of all ladders together, as far as a UE may begin: those behind it are left out.
const BYTES_MAX: usize = 2 << 20;

/// The ladders as HTML; nothing where no UE was captured. What is left out is said.
#[must_use]
pub fn read(directory: &Path) -> String {
    let folder = match CaptureFolder::open(directory) {
        Ok(folder) => folder,
        Err(error) => return format!("<p class=\"note\">{}</p>\n", html(&error.to_string())),
    };
    let mut page = String::new();
    let mut seen = 0;
    for ue in folder.ues().iter().take(UES_MAX) {
        if page.len() > BYTES_MAX {
            break;
        }
        seen += 1;
        match folder.read(*ue) {
            Ok(events) => page.push_str(&flow(events, seen == 1)),
            Err(error) => {
                let _ = writeln!(page, "<p class=\"note\">{}</p>", html(&error.to_string()));
            }
        }
    }
    let left_out = folder.ues().len() - seen;
    if left_out > 0 {
        let _ = writeln!(
            page,
            "<p class=\"note\">{left_out} more captured UEs are left out here: <code>imstorm ladder DIR --ue N</code> draws each.</p>"
        );
    }
    page
}

/// A UE: its ladder, and below it its messages.
fn flow(mut events: UeEvents, is_open: bool) -> String {
    let ue = events.ue;
    let summary = CaptureSummary::of(&events);
    let all = events.events.len();
    events.events.truncate(EVENTS_MAX);
    let id = format!("ue-{ue}");
    let drawing = Drawing { id: &format!("{id}-ladder"), alone: false, links: true };
    let open = if is_open { " open" } else { "" };
    let mut page = format!(
        "<details class=\"flow\" id=\"{id}\"{open}><summary><h3>UE {ue}</h3> <span class=\"sums\">{} messages from {:.3} to {:.3} s: {}</span></summary>\n\
         <div class=\"ladder-box\" tabindex=\"0\" role=\"region\" aria-label=\"Messages of UE {ue} as a ladder\">{}</div>\n",
        summary.messages,
        summary.from_s,
        summary.to_s,
        html(&summary.outcome()),
        recorder::svg(&events, &drawing)
    );
    if all > EVENTS_MAX {
        let _ = writeln!(
            page,
            "<p class=\"note\">The first {EVENTS_MAX} of {all} events: <code>imstorm ladder DIR --ue {ue}</code> draws all.</p>"
        );
    }
    texts(&mut page, &events, drawing.id);
    page.push_str("</details>\n");
    page
}

/// The messages, to each of which its arrow leads.
fn texts(page: &mut String, events: &UeEvents, id: &str) {
    let start_ns = events.start_ns();
    let mut number = 0;
    for event in &events.events {
        let EventKind::Datagram { direction, message, bytes, source, destination, spi } =
            &event.kind
        else {
            continue;
        };
        number += 1;
        let offset_us = event.at_ns.saturating_sub(start_ns) / 1_000;
        let offset = format!("{}.{:03} ms", offset_us / 1_000, offset_us % 1_000);
        let way = if *direction == Direction::Out { "→" } else { "←" };
        let title = message.as_ref().map_or("no SIP, or not opened", |it| &it.start_line);
        let esp = spi.as_ref().map_or("unprotected".to_owned(), |spi| format!("ESP spi {spi}"));
        let text = message.as_ref().map_or("", |it| it.text.trim_end());
        let text = if text.is_empty() { "its text was not kept" } else { text };
        let _ = writeln!(
            page,
            "<details class=\"message\" id=\"{}\"><summary>{way} <span class=\"sums\">{offset}</span> {}</summary>\n\
             <p class=\"note\">{} to {}, {bytes} bytes, {}</p><pre tabindex=\"0\">{}</pre></details>",
            recorder::text_id(id, number),
            html(title),
            html(source),
            html(destination),
            html(&esp),
            html(text)
        );
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::recorder::{Event, Message};

    fn events(count: u64) -> UeEvents {
        let event = |number: u64| Event {
            at_ns: number * 1_000_000,
            kind: EventKind::Datagram {
                direction: Direction::Out,
                source: "127.16.0.1:5070".to_owned(),
                destination: "127.0.0.1:5060".to_owned(),
                bytes: 900,
                spi: None,
                message: Some(Message {
                    start_line: "MESSAGE sip:<b>@ims.example SIP/2.0".to_owned(),
                    headers: BTreeMap::new(),
                    call_id: String::new(),
                    text: "MESSAGE sip:<b>@ims.example SIP/2.0\nSubject: <script>\n".to_owned(),
                }),
            },
        };
        UeEvents { ue: 7, dropped: 0, events: (0..count).map(event).collect() }
    }

    #[test]
    fn each_arrow_leads_to_its_message() {
        let page = flow(events(3), false);
        for (at, _) in page.match_indices("href=\"#") {
            let target = page[at + 7..].split('"').next().unwrap();
            assert!(page.contains(&format!(" id=\"{target}\"")), "{target}");
        }
        assert_eq!(page.matches("href=\"#").count(), 3);
        assert!(!page.contains("<b>") && !page.contains("<script>"), "{page}");
        assert!(page.contains("Subject: &lt;script&gt;"));
    }

    #[test]
    fn a_long_one_is_cut_and_says_so() {
        let page = flow(events(EVENTS_MAX as u64 + 5), true);
        assert_eq!(page.matches("<details class=\"message\"").count(), EVENTS_MAX);
        assert!(page.contains(&format!("The first {EVENTS_MAX} of {} events", EVENTS_MAX + 5)));
    }
}
