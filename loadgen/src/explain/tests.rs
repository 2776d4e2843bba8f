use serde_json::json;

use super::*;
use crate::measure::Procedure;
use crate::recorder::{Capture, Direction, Heard, Recorder};

const MS: u64 = 1_000_000;

fn request(method: &str, cseq: u32, call_id: &str) -> String {
    format!(
        "{method} sip:user7@ims.example SIP/2.0\r\nCall-ID: {call_id}\r\nCSeq: {cseq} {method}\r\nEvent: security\r\n\r\n"
    )
}

fn response(status: &str, method: &str, cseq: u32, call_id: &str) -> String {
    format!("SIP/2.0 {status}\r\nCall-ID: {call_id}\r\nCSeq: {cseq} {method}\r\n\r\n")
}

fn note(recorder: &mut Recorder, ue: u64, at_ms: u64, direction: Direction, sip: &str) {
    let (local, peer) = ("127.16.0.8:5070".parse().unwrap(), "127.0.0.1:5060".parse().unwrap());
    let heard = Heard { direction, local, peer, spi: 0, sip: sip.as_bytes() };
    recorder.note_message(ue, at_ms * MS, &heard);
}

/// UE 7 is refused with 403 while it is in a call; UE 8 gets no answer; UE 9 gets no NOTIFY.
fn captured() -> Vec<UeEvents> {
    let mut recorder = Recorder::new(Capture::Failed);
    let it = &mut recorder;
    note(it, 7, 100, Direction::Out, &request("SUBSCRIBE", 1, "setup"));
    note(it, 7, 105, Direction::Out, &request("INVITE", 1, "call"));
    note(it, 7, 110, Direction::In, &response("401 Unauthorized", "SUBSCRIBE", 1, "setup"));
    note(it, 7, 111, Direction::Out, &request("SUBSCRIBE", 2, "setup"));
    note(it, 7, 130, Direction::In, &response("100 Trying", "INVITE", 1, "call"));
    note(it, 7, 130, Direction::In, &response("403 Forbidden", "SUBSCRIBE", 2, "setup"));
    it.failed(7, 130 * MS, Procedure::Secure, Cause::Forbidden403);
    note(it, 8, 200, Direction::Out, &request("MESSAGE", 1, "text"));
    note(it, 8, 2_200, Direction::Out, &request("MESSAGE", 1, "text"));
    it.failed(8, 128_200 * MS, Procedure::Message, Cause::Timeout);
    note(it, 9, 300, Direction::Out, &request("SUBSCRIBE", 1, "setup"));
    note(it, 9, 310, Direction::In, &response("200 OK", "SUBSCRIBE", 1, "setup"));
    it.failed(9, 128_310 * MS, Procedure::Secure, Cause::NoNotify);
    recorder.captures().iter().map(UeEvents::of).collect()
}

fn explanation() -> Explanation {
    let report = json!({
        "profile": "sample",
        "failures": { "timeout": 1_234, "no_notify": 1, "forbidden_403": 17, "status_503": 2 }
    });
    Explanation::of(&report, &captured())
}

#[test]
fn causes_are_listed_with_their_examples() {
    insta::assert_snapshot!("all", of_all(&explanation(), Path::new("results")));
}

#[test]
fn a_cause_has_its_exchange_and_what_to_check() {
    let explained = explanation().cause("forbidden_403").unwrap();
    insta::assert_snapshot!("forbidden", of_cause(&explained, Path::new("results")));
    let json: serde_json::Value = serde_json::from_str(&explained.to_json()).unwrap();
    assert_eq!(json["examples"][0]["exchange"]["events"].as_array().map(Vec::len), Some(5));
}

#[test]
fn what_decided_is_what_came_or_what_nothing_came_for() {
    let explanation = explanation();
    let decided = |name: &str| {
        let example = explanation.cause(name).unwrap().examples.remove(0);
        let first = example.message.unwrap().lines().next().unwrap().to_owned();
        (example.deciding, first)
    };
    let expected = |what: &str, line: &str| (what.to_owned(), line.to_owned());
    assert_eq!(
        decided("timeout"),
        expected("the request that was not answered", "MESSAGE sip:user7@ims.example SIP/2.0")
    );
    assert_eq!(
        decided("no_notify"),
        expected("the answer that no NOTIFY followed", "SIP/2.0 200 OK")
    );
    assert_eq!(decided("403"), expected("the message that decided", "SIP/2.0 403 Forbidden"));
}

#[test]
fn a_cause_without_example_and_one_that_did_not_occur_have_advice_all_the_same() {
    let explanation = explanation();
    let text = of_cause(&explanation.cause("503").unwrap(), Path::new("results"));
    assert!(
        text.contains("No UE was captured as it failed") && text.contains("table_full"),
        "{text}"
    );
    let text = of_cause(&explanation.cause("mac_failure").unwrap(), Path::new("results"));
    assert!(text.starts_with("mac_failure: no procedure of this run failed for it"), "{text}");
    assert!(text.contains("OPc"), "{text}");
}

#[test]
fn a_name_that_is_no_cause_finds_what_was_meant() {
    let error = explanation().cause("time-out").unwrap_err().to_string();
    assert_eq!(
        error,
        "--failure time-out: there is no such cause of a failure (did you mean timeout?); this run has timeout, forbidden_403, status_503, no_notify"
    );
    let nothing = Explanation::of(&json!({ "profile": "sample", "failures": {} }), &[]);
    assert_eq!(of_all(&nothing, Path::new("results")), "sample: no procedure failed\n");
}
