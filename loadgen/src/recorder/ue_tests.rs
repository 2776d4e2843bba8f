//! What is kept of UEs that fail, through the generator itself, in virtual time.

use std::sync::Arc;

use imstorm_base::io::{Io, MemoryIo};
use imstorm_base::time::{NS_PER_S, Time};

use super::{Capture, Direction, EventKind, UeEvents};
use crate::generator::{Generator, RunSeed};
use crate::population;
use crate::profile::Profile;

const START: Time = 1_000 * NS_PER_S;

/// What is kept of UEs whose core says nothing at all.
fn captured(ue: &str, capture: Capture) -> Vec<UeEvents> {
    let text = format!(
        "name = \"p\"\n[population]\nsize = 5\n[arrivals]\nprocess = \"constant\"\nrate_per_s = 1\n[ue]\n{ue}\n"
    );
    let profile = Profile::parse("p.toml", &text, &[]).unwrap_or_else(|error| panic!("{error}"));
    let directory = Arc::new(population::directory(&profile).unwrap());
    let mut generator = Generator::new(&profile, directory, RunSeed { seed: 1, run: 7 }, capture);
    let mut io = MemoryIo::new(64, 4_096);
    let mut now = START;
    while !generator.is_done() {
        generator.tick(now, &mut io);
        io.turn(0).unwrap();
        io.departures.clear();
        let Some(at) = generator.next_deadline() else { break };
        now = at.max(now);
    }
    generator.recorder().captures().iter().map(UeEvents::of).collect()
}

/// When the messages of a UE were, in seconds from the first one; and what it failed of.
fn messages(events: &UeEvents) -> (Vec<u64>, Vec<String>) {
    let mut times = Vec::new();
    let mut failures = Vec::new();
    for event in &events.events {
        match &event.kind {
            EventKind::Datagram { direction, message, .. } => {
                assert_eq!(*direction, Direction::Out);
                assert!(message.as_ref().is_some_and(|it| !it.text.is_empty()));
                times.push((event.at_ns - events.start_ns()) / NS_PER_S);
            }
            EventKind::Failure { procedure, cause } => {
                failures.push(format!("{procedure}: {cause}"));
            }
            EventKind::Event { text } => panic!("{text}"),
        }
    }
    (times, failures)
}

#[test]
fn a_ue_without_an_answer_is_kept_with_all_that_it_sent() {
    let captured = captured("", Capture::Failed);
    let ues: Vec<_> = captured.iter().map(|events| events.ue).collect();
    assert_eq!(ues, [0, 1], "two for the cause, the first ones");
    for events in &captured {
        let (times, failures) = messages(events);
        // Timer E is 2 s, doubles up to 16 s, and F ends it after 128 s (TS 24.229 table 7.8).
        assert_eq!(times, [0, 2, 6, 14, 30, 46, 62, 78, 94, 110, 126]);
        assert_eq!(failures, ["secure: timeout"]);
    }
    // From the run's start: a UE a second, the first one after one.
    assert_eq!(captured.iter().map(|it| it.start_ns() / NS_PER_S).collect::<Vec<_>>(), [1, 2]);
}

#[test]
fn so_is_one_of_those_that_share_an_address() {
    let plain =
        "access = \"registration\"\naccess_security = \"none\"\nshared_address = true\nt1_ms = 500";
    let captured = captured(plain, Capture::Failed);
    assert_eq!(captured.len(), 2);
    let (times, failures) = messages(&captured[0]);
    assert_eq!(times.len(), 11, "RFC 3261 clause 17.1.2.2: {times:?}");
    assert_eq!(failures, ["registration: timeout"]);
}

#[test]
fn none_is_where_none_is_wanted() {
    assert!(captured("", Capture::None).is_empty());
    let chosen = captured("", Capture::Ues(vec![4]));
    let ues: Vec<_> = chosen.iter().map(|events| events.ue).collect();
    assert_eq!(ues, [0, 1, 4]);
}
