//! A ladder of what one UE and its P-CSCF said to each other.

use std::fmt::Write as _;

use super::participants::{Participants, host};
use super::svg::milliseconds;
use super::{Direction, Event, EventKind, UeEvents};

/// The characters between the two lifelines.
const WIDTH: usize = 80;
/// The characters of the time's column.
const TIME_WIDTH: usize = 12;

/// Draws what happened to a UE: time from the first event in milliseconds, an arrow for each
/// datagram, its start line, and below it what matters of its headers. Where the UE or its P-CSCFs have several addresses, a line before
/// what goes another way than the datagram before says which.
///
/// ```text
///        0.000  |-- SUBSCRIBE sip:ims.example SIP/2.0 ------------------>|
///               |   CSeq: 1 SUBSCRIBE; Event: security; Expires: 600     |
/// ```
#[must_use]
pub fn ladder(events: &UeEvents) -> String {
    let mut text = String::new();
    let start_ns = events.start_ns();
    let participants = Participants::of(events);
    let mut way = None;
    let head = format!("UE {}", events.ue);
    let _ = writeln!(text, "{:>TIME_WIDTH$}  {head:<WIDTH$}P-CSCF", "ms");
    if events.dropped > 0 {
        let note = format!("({} earlier events were not kept)", events.dropped);
        line(&mut text, "", &format!("   {note}"));
    }
    for Event { at_ns, kind } in &events.events {
        let time = milliseconds(at_ns.saturating_sub(start_ns));
        match kind {
            EventKind::Datagram { direction, bytes, spi, message, source, destination } => {
                let ends = match direction {
                    Direction::Out => (source, destination),
                    Direction::In => (destination, source),
                };
                let ends = (host(ends.0), host(ends.1));
                if participants.are_several() && way.replace(ends) != Some(ends) {
                    let (ue, pcscf) = ends;
                    line(&mut text, "", &format!("{ue:<0$}{pcscf}", WIDTH - pcscf.len()));
                }
                let esp = spi.as_ref().map(|spi| format!("ESP spi {spi}"));
                let (label, below) = match message {
                    Some(message) => (message.start_line.clone(), message.summary()),
                    None if esp.is_some() => (String::new(), "not opened".to_owned()),
                    None => (format!("{bytes} bytes, no SIP"), String::new()),
                };
                line(&mut text, &time, &arrow(*direction, &label, esp.as_deref()));
                if !below.is_empty() {
                    line(&mut text, "", &format!("   {below}"));
                }
            }
            EventKind::Event { text: event } => line(&mut text, &time, &format!(" * {event}")),
            EventKind::Failure { procedure, cause } => {
                line(&mut text, &time, &format!("!! {procedure} FAILED: {cause}"));
            }
        }
    }
    text
}

/// What happened to a UE, its messages whole.
#[must_use]
pub fn full(events: &UeEvents) -> String {
    let start_ns = events.start_ns();
    let mut text = format!("UE {}\n", events.ue);
    if events.dropped > 0 {
        let _ = writeln!(text, "({} earlier events were not kept)", events.dropped);
    }
    for event in &events.events {
        let time = milliseconds(event.at_ns.saturating_sub(start_ns));
        let _ = write!(text, "\n--- {time} ms ");
        match &event.kind {
            EventKind::Event { text: event } => {
                let _ = writeln!(text, "{event}");
            }
            EventKind::Failure { procedure, cause } => {
                let _ = writeln!(text, "{procedure} FAILED: {cause}");
            }
            EventKind::Datagram { direction, source, destination, bytes, spi, message } => {
                let way = match direction {
                    Direction::In => "received",
                    Direction::Out => "sent",
                };
                let spi =
                    spi.as_ref().map_or("unprotected".to_owned(), |spi| format!("ESP spi {spi}"));
                let _ = writeln!(text, "{way}, {source} to {destination}, {spi}, {bytes} bytes");
                text.push_str(&match message {
                    Some(message) if message.text.is_empty() => {
                        format!(
                            "\n{}\n(the rest is in ue-{}.sip)\n",
                            printable(&message.start_line),
                            events.ue
                        )
                    }
                    Some(message) => format!("\n{}\n", printable(message.text.trim_end())),
                    None => "(no SIP message, or not opened)\n".to_owned(),
                });
            }
        }
    }
    text
}

/// The text as a terminal may have it: what a message can hold must not command it.
pub(crate) fn printable(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() && !matches!(c, '\n' | '\t') { '?' } else { c })
        .collect()
}

/// Between the lifelines: `-- label ---- esp -->` or `<-- label ---- esp --`.
fn arrow(direction: Direction, label: &str, esp: Option<&str>) -> String {
    let (head, tail) = match direction {
        Direction::Out => ("--", "->"),
        Direction::In => ("<-", "--"),
    };
    let esp = esp.map_or(String::new(), |esp| format!(" {esp} "));
    let room = WIDTH - 8 - esp.chars().count();
    let label = if label.is_empty() { String::new() } else { format!(" {} ", cut(label, room)) };
    let filled = head.len() + tail.len() + label.chars().count() + esp.chars().count();
    let dashes = "-".repeat(WIDTH.saturating_sub(filled));
    format!("{head}{label}{dashes}{esp}{tail}")
}

fn line(text: &mut String, time: &str, between: &str) {
    let between = cut(between, WIDTH);
    let _ = writeln!(text, "{time:>TIME_WIDTH$}  |{between:<WIDTH$}|");
}

/// The text, with its end replaced by `…` if it is too long, and without control characters.
fn cut(text: &str, width: usize) -> String {
    let clean = |c: char| if c.is_control() { '?' } else { c };
    if text.chars().count() <= width {
        return text.chars().map(clean).collect();
    }
    text.chars().take(width.saturating_sub(1)).map(clean).chain(['…']).collect()
}
