//! A ladder as SVG: for a file of its own, or within a page.

use std::fmt::Write as _;

use super::participants::Participants;
use super::{Direction, Event, EventKind, Message, UeEvents};

/// How a ladder is drawn.
#[derive(Debug, Clone, Copy)]
pub struct Drawing<'a> {
    /// What the ids of its elements begin with: an XML name that no other drawing of the same page has, such as `ue-7`.
    pub id: &'a str,
    /// It has its styles, its ground and its namespace with it, as a file needs them. Without, the page has [`STYLE`] once.
    pub alone: bool,
    /// Each message is a link to the element with the id [`text_id`], which the page has.
    pub links: bool,
}

/// The styles of all ladders in a page. Colours follow the reader's scheme, and none of them is all that tells one thing from another.
pub const STYLE: &str = "\
.ladder{--ground:#fff;--ink:#1f2328;--muted:#57606a;--rail:#afb8c1;--out:#0a4f9e;--in:#1a6334;--bad:#b3261e;--bad-ground:#fdecea;\
font:13px ui-monospace,SFMono-Regular,Menlo,Consolas,\"DejaVu Sans Mono\",monospace}
@media (prefers-color-scheme:dark){.ladder{--ground:#0d1117;--ink:#e6edf3;--muted:#9ea7b3;--rail:#57606a;--out:#79b8ff;--in:#6fdd8b;\
--bad:#ff9a92;--bad-ground:#3a1513}}
.ladder text{fill:var(--ink);white-space:pre}
.ladder .ground{fill:var(--ground)}
.ladder .rail{stroke:var(--rail);stroke-width:1}
.ladder .who{font-weight:bold}
.ladder .time,.ladder .below,.ladder .esp,.ladder .gap{fill:var(--muted);font-size:11px}
.ladder .out line{stroke:var(--out)}.ladder .out path,.ladder .out .start{fill:var(--out)}
.ladder .in line{stroke:var(--in)}.ladder .in path,.ladder .in .start{fill:var(--in)}
.ladder .message line{stroke-width:1.5}
.ladder .message.esp-on line{stroke-width:2.5}
.ladder .refusal .start,.ladder .failure text{fill:var(--bad);font-weight:bold}
.ladder .failure rect{fill:var(--bad-ground);stroke:var(--bad)}
.ladder a{text-decoration:none}
.ladder a:hover .start,.ladder .message:focus .start,.ladder a:focus .start{text-decoration:underline}
.ladder .message:focus,.ladder a:focus{outline:2px solid var(--out);outline-offset:1px}
";

/// Left of the first lifeline: the times.
const LEFT: usize = 110;
/// From the first lifeline to the last.
const SPAN: usize = 680;
const RIGHT: usize = 70;
const HEAD: usize = 46;
const ROW: usize = 42;
const NOTE_ROW: usize = 26;
const GAP_ROW: usize = 20;
/// A pause of so long is told.
const GAP_NS: u64 = 1_000_000_000;
/// What a character takes at 13 and at 11 pixels.
const CHAR: f64 = 7.9;
const SMALL_CHAR: f64 = 6.7;

/// The id of the `number`th message of a drawing, from 1.
#[must_use]
pub fn message_id(id: &str, number: usize) -> String {
    format!("{id}-m{number}")
}

/// The id of the element that a message links to where [`Drawing::links`] is set: the message as text.
#[must_use]
pub fn text_id(id: &str, number: usize) -> String {
    format!("{id}-m{number}-text")
}

/// Draws what happened to a UE: a lifeline for each of its addresses and each P-CSCF's, an arrow for each message with its start line and
/// what matters of its headers, thicker where it was inside ESP. Each message is a group with an id ([`message_id`]) and a `<title>`,
/// and can be reached by keyboard; all text can be selected.
#[must_use]
pub fn svg(events: &UeEvents, drawing: &Drawing<'_>) -> String {
    let participants = Participants::of(events);
    let mut rows =
        Rows { drawing, participants: &participants, text: String::new(), y: HEAD, messages: 0 };
    let start_ns = events.start_ns();
    let mut before_ns = start_ns;
    if events.dropped > 0 {
        rows.note(None, &format!("{} earlier events were not kept", events.dropped));
    }
    for event in &events.events {
        if event.at_ns.saturating_sub(before_ns) >= GAP_NS {
            rows.gap(event.at_ns - before_ns);
        }
        before_ns = event.at_ns;
        rows.event(event, event.at_ns.saturating_sub(start_ns));
    }
    let Rows { text: body, y, messages, .. } = rows;
    let (width, height) = (LEFT + SPAN + RIGHT, y + 14);
    let id = escape(drawing.id);
    let name = if drawing.alone { " xmlns=\"http://www.w3.org/2000/svg\"" } else { "" };
    let mut text = format!(
        "<svg{name} class=\"ladder\" id=\"{id}\" role=\"group\" aria-labelledby=\"{id}-title\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\">\n"
    );
    let _ =
        writeln!(text, "<title id=\"{id}-title\">UE {}: {messages} messages</title>", events.ue);
    if drawing.alone {
        let _ = writeln!(text, "<style>\n{STYLE}</style>");
        let _ = writeln!(text, "<rect class=\"ground\" width=\"{width}\" height=\"{height}\"/>");
    }
    let _ = writeln!(
        text,
        "<text class=\"time\" x=\"{}\" y=\"42\" text-anchor=\"end\">ms</text>",
        LEFT - 28
    );
    for (place, (who, address)) in participants.names(events.ue).iter().enumerate() {
        let x = x_of(place, &participants);
        let _ = writeln!(
            text,
            "<line class=\"rail\" x1=\"{x}\" y1=\"{}\" x2=\"{x}\" y2=\"{}\"/>\n\
             <text class=\"who\" x=\"{x}\" y=\"16\" text-anchor=\"middle\">{}</text>\n\
             <text class=\"below\" x=\"{x}\" y=\"30\" text-anchor=\"middle\">{}</text>",
            HEAD - 10,
            height - 8,
            escape(who),
            escape(address)
        );
    }
    text.push_str(&body);
    text.push_str("</svg>\n");
    text
}

/// The rows as they are written.
struct Rows<'a> {
    drawing: &'a Drawing<'a>,
    participants: &'a Participants,
    text: String,
    /// Where the next one begins.
    y: usize,
    messages: usize,
}

impl Rows<'_> {
    fn event(&mut self, event: &Event, offset_ns: u64) {
        match &event.kind {
            EventKind::Datagram { .. } => self.message(event, offset_ns),
            EventKind::Event { text } => self.note(Some(offset_ns), text),
            EventKind::Failure { procedure, cause } => self.failure(offset_ns, procedure, cause),
        }
    }

    fn message(&mut self, event: &Event, offset_ns: u64) {
        let EventKind::Datagram { direction, source, destination, bytes, spi, message } =
            &event.kind
        else {
            return;
        };
        self.messages += 1;
        let (start, below) = match message {
            Some(message) => (message.start_line.as_str(), message.summary()),
            None if spi.is_some() => ("not opened", String::new()),
            None => ("no SIP", format!("{bytes} bytes")),
        };
        let esp = spi.as_ref().map(|spi| format!("ESP {spi}"));
        let (way, preposition) = match direction {
            Direction::Out => ("out", "sent to"),
            Direction::In => ("in", "received from"),
        };
        let peer = if *direction == Direction::Out { destination } else { source };
        let (from, to) = self.participants.places(event);
        let (from, to) = (x_of(from, self.participants), x_of(to, self.participants));
        let (left, right, line) = (from.min(to), from.max(to), self.y + 20);
        let protection = if esp.is_some() { " esp-on" } else { "" };
        let refusal =
            if message.as_ref().is_some_and(Message::is_refusal) { " refusal" } else { "" };
        let id = escape(self.drawing.id);
        let _ = writeln!(
            self.text,
            "<g class=\"message {way}{protection}{refusal}\" id=\"{id}-m{number}\"{focus}>\n\
             <title>{title}</title>",
            number = self.messages,
            focus = if self.drawing.links { "" } else { " tabindex=\"0\"" },
            title = escape(&format!(
                "{} ms, {preposition} {peer}, {}: {start}",
                milliseconds(offset_ns),
                esp.as_deref().unwrap_or("unprotected")
            )),
        );
        if self.drawing.links {
            let _ = writeln!(self.text, "<a href=\"#{id}-m{}-text\">", self.messages);
        }
        self.time(offset_ns, line + 4);
        let head = match direction {
            Direction::Out => format!("M{to} {line}l-9 -4.5v9z"),
            Direction::In => format!("M{to} {line}l9 -4.5v9z"),
        };
        let esp_width = esp.as_ref().map_or(0.0, |esp| (esp.len() + 1) as f64 * SMALL_CHAR);
        let room = (right - left) as f64 - 28.0;
        let start = cut(start.strip_suffix(" SIP/2.0").unwrap_or(start), (room - esp_width) / CHAR);
        let _ = writeln!(
            self.text,
            "<line x1=\"{from}\" y1=\"{line}\" x2=\"{to}\" y2=\"{line}\"/><path d=\"{head}\"/>\n\
             <text class=\"start\" x=\"{}\" y=\"{}\">{}</text>",
            left + 14,
            line - 6,
            escape(&start)
        );
        if let Some(esp) = &esp {
            let (x, y) = (right - 14, line - 6);
            let esp = escape(esp);
            let _ = writeln!(
                self.text,
                "<text class=\"esp\" x=\"{x}\" y=\"{y}\" text-anchor=\"end\">{esp}</text>"
            );
        }
        if !below.is_empty() {
            let below = escape(&cut(&below, room / SMALL_CHAR));
            let (x, y) = (left + 14, line + 14);
            let _ = writeln!(self.text, "<text class=\"below\" x=\"{x}\" y=\"{y}\">{below}</text>");
        }
        self.text.push_str(if self.drawing.links { "</a></g>\n" } else { "</g>\n" });
        self.y += ROW;
    }

    fn note(&mut self, offset_ns: Option<u64>, note: &str) {
        let y = self.y + 16;
        if let Some(offset_ns) = offset_ns {
            self.time(offset_ns, y);
        }
        let note = escape(&cut(note, SPAN as f64 / CHAR));
        let _ = writeln!(self.text, "<text x=\"{}\" y=\"{y}\">{note}</text>", LEFT + 14);
        self.y += NOTE_ROW;
    }

    fn failure(&mut self, offset_ns: u64, procedure: &str, cause: &str) {
        let y = self.y + 17;
        let _ = writeln!(
            self.text,
            "<g class=\"failure\"><rect x=\"{}\" y=\"{}\" width=\"{SPAN}\" height=\"24\" rx=\"3\"/>",
            LEFT, self.y
        );
        self.time(offset_ns, y);
        let text = escape(&cut(&format!("✗ {procedure} failed: {cause}"), SPAN as f64 / CHAR));
        let _ = writeln!(self.text, "<text x=\"{}\" y=\"{y}\">{text}</text></g>", LEFT + 14);
        self.y += NOTE_ROW + 6;
    }

    fn gap(&mut self, length_ns: u64) {
        let y = self.y + 12;
        let seconds = length_ns as f64 / 1e9;
        let _ = writeln!(
            self.text,
            "<text class=\"gap\" x=\"{}\" y=\"{y}\" text-anchor=\"middle\">{seconds:.1} s later</text>",
            LEFT + SPAN / 2
        );
        self.y += GAP_ROW;
    }

    fn time(&mut self, offset_ns: u64, y: usize) {
        let time = milliseconds(offset_ns);
        let x = LEFT - 28;
        let _ = writeln!(
            self.text,
            "<text class=\"time\" x=\"{x}\" y=\"{y}\" text-anchor=\"end\">{time}</text>"
        );
    }
}

/// Where a participant's lifeline is.
fn x_of(place: usize, participants: &Participants) -> usize {
    LEFT + place * SPAN / (participants.len() - 1).max(1)
}

/// Milliseconds with microseconds behind the point.
pub(super) fn milliseconds(offset_ns: u64) -> String {
    let offset_us = offset_ns / 1_000;
    format!("{}.{:03}", offset_us / 1_000, offset_us % 1_000)
}

/// The text, or as much of it as `room` characters hold.
fn cut(text: &str, room: f64) -> String {
    let room = room.max(2.0) as usize;
    if text.chars().count() <= room {
        return text.to_owned();
    }
    text.chars().take(room - 1).chain(['…']).collect()
}

/// The text as XML can hold it, in an attribute too: what stands for markup is escaped, and what no document may have is `?`.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\u{fffe}' | '\u{ffff}' => escaped.push('?'),
            c if c.is_control() => escaped.push('?'),
            c => escaped.push(c),
        }
    }
    escaped
}
