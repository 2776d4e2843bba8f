//! A part of what happened to a UE: of some procedures, of some time.

use super::{Event, EventKind, Message, UeEvents};
use crate::measure::Procedure;
use crate::measure::Procedure as P;

/// What of a ladder is to be seen.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Selection {
    /// Messages that these are made of, their ends and failures; all, where there are none.
    pub procedures: Vec<Procedure>,
    /// From then on, in seconds from the run's start.
    pub from_s: Option<f64>,
    /// Until then, in seconds from the run's start.
    pub to_s: Option<f64>,
}

impl Selection {
    /// The events that are to be seen. A message alone does not say which procedure it was sent in: those are kept that a procedure of the
    /// kind is made of.
    #[must_use]
    pub fn of(&self, events: &UeEvents) -> UeEvents {
        let is_wanted =
            |event: &&Event| self.is_in_time(event) && self.is_of_procedures(events, event);
        let selected = events.events.iter().filter(is_wanted).cloned().collect();
        UeEvents { ue: events.ue, dropped: events.dropped, events: selected }
    }

    fn is_in_time(&self, event: &Event) -> bool {
        let at_s = event.at_ns as f64 / 1e9;
        self.from_s.is_none_or(|from_s| at_s >= from_s) && self.to_s.is_none_or(|to_s| at_s <= to_s)
    }

    fn is_of_procedures(&self, events: &UeEvents, event: &Event) -> bool {
        // A handover has steps of every kind.
        if self.procedures.is_empty() || self.procedures.contains(&Procedure::Handover) {
            return true;
        }
        match &event.kind {
            EventKind::Datagram { message: Some(message), .. } => {
                let request = events.request_of(message);
                let may_be = request.map_or_else(|| kinds_of(message.method()), procedures_of);
                may_be.iter().any(|procedure| self.procedures.contains(procedure))
            }
            EventKind::Datagram { message: None, .. } => false,
            EventKind::Event { text } => {
                let mut names = self.procedures.iter().map(|procedure| procedure.name());
                names.any(|name| text.split_whitespace().next() == Some(name))
            }
            EventKind::Failure { procedure, .. } => {
                self.procedures.iter().any(|wanted| wanted.name() == procedure)
            }
        }
    }
}

impl UeEvents {
    /// The request that a message answers, or the message itself if it is one; nothing where it is not kept.
    fn request_of<'a>(&'a self, message: &'a Message) -> Option<&'a Message> {
        if message.status().is_none() {
            return Some(message);
        }
        let messages = self.events.iter().filter_map(|event| match &event.kind {
            EventKind::Datagram { message, .. } => message.as_ref(),
            _ => None,
        });
        let mut requests =
            messages.filter(|it| it.status().is_none() && it.method() == message.method());
        requests
            .find(|it| it.call_id == message.call_id && it.header("CSeq") == message.header("CSeq"))
    }
}

/// What a request may be a part of.
fn procedures_of(request: &Message) -> &'static [Procedure] {
    let is_security = request.header("Event").starts_with("security");
    let ends = request.header("Expires") == "0"
        || request.header("Subscription-State").starts_with("terminated");
    match request.method() {
        "REGISTER" if ends => &[P::Release, P::HandoverRelease, P::FallbackReturn],
        "SUBSCRIBE" if is_security && ends => &[P::Release, P::HandoverRelease, P::FallbackReturn],
        "SUBSCRIBE" if is_security && request.is_in_dialog() => {
            &[P::Refresh, P::Reauthenticate, P::NetworkReauthenticate]
        }
        "SUBSCRIBE" if is_security => {
            &[P::Secure, P::HandoverSecure, P::Fallback, P::FallbackReturn]
        }
        "NOTIFY" if is_security && ends => {
            &[P::Release, P::NetworkRelease, P::HandoverRelease, P::FallbackReturn]
        }
        "NOTIFY" if is_security => &[
            P::Secure,
            P::HandoverSecure,
            P::FallbackReturn,
            P::Reauthenticate,
            P::NetworkReauthenticate,
            P::IdentityChange,
        ],
        "SUBSCRIBE" | "NOTIFY" => &[P::RegEvent, P::SubscriptionMove, P::HandoverSubscriptions],
        "INVITE" if request.is_in_dialog() => {
            &[P::SessionRefresh, P::Interruption, P::HandoverSessions]
        }
        "INVITE" => &[P::CallSetup, P::Interruption, P::HandoverSessions],
        method => kinds_of(method),
    }
}

/// What a request with this method may be a part of, whatever else it says.
fn kinds_of(method: &str) -> &'static [Procedure] {
    match method {
        "REGISTER" => &[
            P::Registration,
            P::Fallback,
            P::FallbackReturn,
            P::Refresh,
            P::RegisterOverConnection,
            P::HandoverBindings,
        ],
        "SUBSCRIBE" => &[P::Secure, P::Refresh, P::Reauthenticate, P::Release, P::RegEvent],
        "NOTIFY" => &[P::Secure, P::Reauthenticate, P::Release, P::NetworkRelease, P::RegEvent],
        "MESSAGE" => &[P::Message],
        "INVITE" | "ACK" | "PRACK" | "UPDATE" | "CANCEL" => {
            &[P::CallSetup, P::SessionRefresh, P::Interruption, P::HandoverSessions]
        }
        "BYE" => &[P::CallRelease],
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::recorder::Direction;

    fn event(at_s: u64, start_line: &str, headers: &[(&str, &str)]) -> Event {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let headers: BTreeMap<_, _> = headers.collect();
        let to = headers.get("To").cloned().unwrap_or_default();
        let message = Message {
            start_line: start_line.to_owned(),
            headers,
            call_id: "c".to_owned(),
            text: format!("{start_line}\nTo: {to}\n\n"),
        };
        let kind = EventKind::Datagram {
            direction: Direction::Out,
            source: "127.0.0.1:1".to_owned(),
            destination: "127.0.0.1:2".to_owned(),
            bytes: 1,
            spi: None,
            message: Some(message),
        };
        Event { at_ns: at_s * 1_000_000_000, kind }
    }

    fn events() -> UeEvents {
        let cseq = |text| ("CSeq", text);
        let completed = EventKind::Event { text: "secure completed".to_owned() };
        let failed =
            EventKind::Failure { procedure: "message".to_owned(), cause: "timeout".to_owned() };
        let events = vec![
            event(0, "SUBSCRIBE sip:a SIP/2.0", &[cseq("1 SUBSCRIBE"), ("Event", "security")]),
            event(1, "SIP/2.0 401 Unauthorized", &[cseq("1 SUBSCRIBE")]),
            Event { at_ns: 1_500_000_000, kind: completed },
            event(2, "MESSAGE sip:b SIP/2.0", &[cseq("1 MESSAGE")]),
            event(
                3,
                "SUBSCRIBE sip:a SIP/2.0",
                &[cseq("2 SUBSCRIBE"), ("Event", "security"), ("To", "<sip:a>;tag=x")],
            ),
            event(4, "SIP/2.0 200 OK", &[cseq("2 SUBSCRIBE")]),
            // Its request is not kept.
            event(5, "SIP/2.0 200 OK", &[cseq("9 BYE")]),
            Event { at_ns: 6_000_000_000, kind: failed },
        ];
        UeEvents { ue: 1, dropped: 0, events }
    }

    fn times(selection: &Selection) -> Vec<u64> {
        let selected = selection.of(&events()).events;
        selected.iter().map(|event| event.at_ns / 1_000_000_000).collect()
    }

    #[test]
    fn a_procedure_is_its_messages_their_answers_and_its_end() {
        let of = |procedures: &[Procedure]| {
            times(&Selection { procedures: procedures.to_vec(), ..Selection::default() })
        };
        assert_eq!(of(&[]), [0, 1, 1, 2, 3, 4, 5, 6]);
        assert_eq!(of(&[P::Secure]), [0, 1, 1]);
        assert_eq!(of(&[P::Refresh]), [3, 4]);
        assert_eq!(of(&[P::Message, P::CallRelease]), [2, 5, 6]);
        assert_eq!(of(&[P::Handover]), of(&[]));
        assert!(of(&[P::RegEvent]).is_empty());
    }

    #[test]
    fn a_time_is_from_the_start_of_the_run() {
        let of = |from_s, to_s| times(&Selection { from_s, to_s, ..Selection::default() });
        assert_eq!(of(Some(2.0), None), [2, 3, 4, 5, 6]);
        assert_eq!(of(None, Some(1.2)), [0, 1]);
        assert_eq!(of(Some(2.5), Some(4.0)), [3, 4]);
    }
}
