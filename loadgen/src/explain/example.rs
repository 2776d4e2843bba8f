//! One exchange that failed.

use serde::Serialize;

use crate::recorder::{Direction, Event, EventKind, Message, UeEvents};

/// So many events of an exchange are shown; the last ones.
const EVENTS_MAX: usize = 40;

/// How a UE came to a failure.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Example {
    /// The UE's number.
    pub ue: u64,
    /// The procedure that failed.
    pub procedure: String,
    /// When it failed, in seconds from the run's start.
    pub at_s: f64,
    /// What the message that decided is to the failure; empty where there is none.
    pub deciding: String,
    /// The message that decided, whole: the answer that ended it, or what was not answered.
    pub message: Option<String>,
    /// The exchange: what has the same Call-ID, until the failure.
    pub exchange: UeEvents,
}

impl Example {
    /// The first failure of a UE for this cause, if it has one.
    pub(super) fn find(events: &UeEvents, cause: &str) -> Option<Self> {
        let is_failure = |event: &Event| matches!(&event.kind, EventKind::Failure { cause: its, .. } if its == cause);
        let place = events.events.iter().position(is_failure)?;
        let failure = &events.events[place];
        let EventKind::Failure { procedure, .. } = &failure.kind else { return None };
        let before = &events.events[..place];
        let found = deciding(before, failure.at_ns, cause);
        let call_id = found.map_or("", |(_, message)| message.call_id.as_str());
        let is_of_exchange = |event: &&Event| match &event.kind {
            EventKind::Datagram { message: Some(message), .. } => {
                call_id.is_empty() || message.call_id == call_id
            }
            EventKind::Datagram { message: None, .. } | EventKind::Event { .. } => true,
            EventKind::Failure { .. } => false,
        };
        let mut exchange: Vec<_> = before.iter().filter(is_of_exchange).cloned().collect();
        let dropped = exchange.len().saturating_sub(EVENTS_MAX);
        exchange.drain(..dropped);
        exchange.push(failure.clone());
        Some(Self {
            ue: events.ue,
            procedure: procedure.clone(),
            at_s: (failure.at_ns / 1_000) as f64 / 1e6,
            deciding: found.map_or(String::new(), |(what, _)| what.to_owned()),
            message: found.map(|(_, message)| message.text.clone()).filter(|text| !text.is_empty()),
            exchange: UeEvents {
                ue: events.ue,
                dropped: if dropped > 0 { dropped as u64 } else { events.dropped },
                events: exchange,
            },
        })
    }
}

/// The message that decided, and what it is to the failure: what came in the moment of the failure, or what nothing came for.
fn deciding<'a>(
    before: &'a [Event],
    failed_at_ns: u64,
    cause: &str,
) -> Option<(&'static str, &'a Message)> {
    let messages = || {
        before.iter().rev().filter_map(|event| match &event.kind {
            EventKind::Datagram { direction, message: Some(message), .. } => {
                Some((event.at_ns, *direction, message))
            }
            _ => None,
        })
    };
    let is_request = |message: &Message| message.status().is_none() && message.method() != "ACK";
    let received = |message: &'a Message| ("the message that decided", message);
    if cause == "no_notify" {
        let accepted = messages().find(|(_, _, it)| it.status().is_some_and(|status| status < 300));
        return accepted.map(|(_, _, it)| ("the answer that no NOTIFY followed", it));
    }
    if let Some((_, _, last)) = messages()
        .find(|(at_ns, direction, _)| *at_ns == failed_at_ns && *direction == Direction::In)
    {
        return Some(received(last));
    }
    let asked =
        messages().find(|(_, direction, it)| *direction == Direction::Out && is_request(it));
    match asked {
        Some((_, _, request)) if cause == "timeout" => {
            Some(("the request that was not answered", request))
        }
        Some((_, _, request)) => Some(("the last request before it", request)),
        None => messages().next().map(|(_, _, last)| received(last)),
    }
}
