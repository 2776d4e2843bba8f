//! Calls as they pass the P-CSCF: a UE on the one side, a scripted core on the other, and the transactions in between (RFC 3261
//! clauses 9, 16 and 17, RFC 6026). Between UE and core nothing is reliable.

use imstorm_base::seconds;
use imstorm_base::time::milliseconds;
use tests::message::parameter;
use tests::{Layout, ScriptedUe, Text, World};

const SDP: &str = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\n";

/// A UE with a live connection, and a core that does what the test says.
struct Call {
    world: World,
    ue: ScriptedUe,
    /// The P-CSCF's URI towards the core that leads to the UE's connection.
    key: String,
    branches: u32,
}

impl Call {
    fn new() -> Self {
        let mut world = World::new(Layout::Apart);
        let mut ue = world.ue(1);
        world.secure(&mut ue);
        let subscribes = world.mw_between(world.pcscf_mw, world.icscf_mw);
        let key = subscribes[0].expect("Record-Route").to_owned();
        world.mw_held = true;
        Self { world, ue, key, branches: 0 }
    }

    /// What the P-CSCF has sent to the S-CSCF since the last time.
    fn core(&mut self) -> Vec<Text> {
        let (from, to) = (self.world.pcscf_mw, self.world.scscf_mw);
        let waiting: Vec<_> = self.world.mw_waiting.drain(..).collect();
        let passed = waiting.iter().filter(|wire| wire.from == from && wire.to == to);
        passed.map(|wire| Text::parse(&wire.bytes)).collect()
    }

    fn core_one(&mut self) -> Text {
        let mut texts = self.core();
        assert_eq!(texts.len(), 1, "{texts:#?}");
        texts.remove(0)
    }

    fn core_sends(&mut self, text: &Text) {
        self.world.datagram(self.world.scscf_mw, self.world.pcscf_mw, &text.to_bytes());
    }

    /// The core answers.
    fn core_answers(&mut self, request: &Text, status: u16) -> Text {
        let mut answer = self.ue.respond(request, status);
        if status > 100 && !answer.expect("To").contains(";tag=") {
            let to = format!("{};tag=core", answer.expect("To"));
            answer = answer.with("To", &to);
        }
        let contact = format!("<sip:S0123@{}>", self.world.scscf_mw);
        let answer = answer.and("Contact", &contact);
        self.core_sends(&answer);
        answer
    }

    fn arrived(&mut self) -> Vec<Text> {
        self.world.take(&mut self.ue).into_iter().map(|arrived| arrived.message).collect()
    }

    fn arrived_one(&mut self) -> Text {
        let mut texts = self.arrived();
        assert_eq!(texts.len(), 1, "{texts:#?}");
        texts.remove(0)
    }

    fn ue_sends(&mut self, text: &Text) {
        self.world.sealed(&mut self.ue, text);
    }

    fn invite(&mut self) -> Text {
        let to = "sip:ue00000002@ims.example";
        let contact = self.ue.contact();
        let mut invite = self.ue.over("INVITE", to, to).and("Contact", &contact);
        invite = invite.and("Content-Type", "application/sdp");
        invite.body = SDP.to_owned();
        invite
    }

    /// The UE's INVITE and its 100; the INVITE as it came to the core.
    fn calls(&mut self) -> (Text, Text) {
        let invite = self.invite();
        self.ue_sends(&invite);
        assert_eq!(self.arrived_one().status(), 100);
        (invite, self.core_one())
    }

    /// A request of the UE in the session that `ok` confirmed. `to` is its Request-URI.
    fn in_session(&mut self, method: &str, invite: &Text, ok: &Text) -> Text {
        let to = format!("sip:S0123@{}", self.world.scscf_mw);
        let next = self.ue.over(method, &to, &to);
        let pcscf = next.all("Route")[0].to_owned();
        let next = next.without("Route").and("Route", &pcscf);
        let number = invite.cseq() + u32::from(method != "ACK");
        let next = next.with("CSeq", &format!("{number} {method}"));
        let next = next.with("Call-ID", invite.expect("Call-ID"));
        let next = next.with("From", invite.expect("From")).with("To", ok.expect("To"));
        match method {
            "ACK" => next.without("Security-Verify").without("Require").without("Proxy-Require"),
            _ => next,
        }
    }

    /// The ACK or CANCEL on the branch of an INVITE.
    fn on_the_branch(method: &str, invite: &Text, to: &str) -> Text {
        let text = invite.clone().with("To", to).with("CSeq", &format!("1 {method}"));
        let mut text = ["Require", "Proxy-Require", "Security-Verify", "Contact", "Content-Type"]
            .iter()
            .fold(text, |text, name| text.without(name));
        text.start = format!("{method} {} SIP/2.0", invite.uri());
        text.body.clear();
        text
    }

    /// A request of the core for the UE.
    fn for_ue(&mut self, method: &str, cseq: u32) -> Text {
        self.branches += 1;
        let uri = format!("sip:{}", self.ue.at(self.ue.port_us()));
        let mw = self.world.scscf_mw;
        let tag = if matches!(method, "INVITE" | "CANCEL") { "" } else { ";tag=ue" };
        Text::request(method, &uri)
            .and("Via", &format!("SIP/2.0/UDP {mw};branch=z9hG4bKcore{}", self.branches))
            .and("Max-Forwards", "60")
            .and("Route", &self.key)
            .and("From", "<sip:ue00000002@ims.example>;tag=far")
            .and("To", &format!("<{}>{tag}", self.ue.impu))
            .and("Call-ID", "far-call")
            .and("CSeq", &format!("{cseq} {method}"))
            .and("Contact", &format!("<sip:S4567@{mw}>"))
    }

    /// The core's INVITE, answered 100 by the P-CSCF; the INVITE as it came to the UE.
    fn is_called(&mut self) -> (Text, Text) {
        let mut invite = self.for_ue("INVITE", 1).and("Content-Type", "application/sdp");
        invite.body = SDP.to_owned();
        self.core_sends(&invite);
        assert_eq!(self.core_one().status(), 100);
        (invite, self.arrived_one())
    }

    fn ue_answers(&mut self, request: &Text, status: u16) {
        let to = match request.expect("To").contains(";tag=") {
            true => request.expect("To").to_owned(),
            false => format!("{};tag=ue", request.expect("To")),
        };
        let answer = self.ue.respond(request, status).with("To", &to);
        self.ue_sends(&answer);
    }

    /// Nothing is under way any more, and nothing kept.
    fn is_over(&mut self, strings_bytes: usize) {
        let tables = self.world.tables().pcscf;
        assert_eq!((tables.transactions, tables.strings_bytes), (0, strings_bytes));
        assert!(self.core().is_empty() && self.arrived().is_empty(), "nothing is sent again");
    }

    fn strings_bytes(&self) -> usize {
        self.world.tables().pcscf.strings_bytes
    }

    /// The times at which messages come to the core until `until_ns` from now, in milliseconds, and how often each time.
    fn times(&mut self, until_ns: u64, mut take: impl FnMut(&mut Self) -> usize) -> Vec<u64> {
        let mut times = Vec::new();
        let step_ns = milliseconds(500);
        for step in 1..=until_ns / step_ns {
            self.world.advance(step_ns);
            times.extend(std::iter::repeat_n(step * 500, take(self)));
        }
        times
    }
}

#[test]
fn a_call_of_the_ue_goes_by_the_service_route_from_begin_to_end() {
    let mut call = Call::new();
    let strings = call.strings_bytes();
    let (invite, at_core) = call.calls();
    assert_eq!(at_core.method(), "INVITE");
    assert_eq!(at_core.body, SDP);
    assert_eq!(at_core.all("Route"), [format!("<{}>", call.ue.target)]);
    assert_eq!(at_core.all("Record-Route"), [call.key.as_str()]);
    assert_eq!(at_core.all("P-Asserted-Identity"), [format!("<{}>", call.ue.impu)]);
    for name in ["Security-Verify", "Require", "Proxy-Require"] {
        assert!(at_core.header(name).is_none(), "{name} left the P-CSCF:\n{at_core}");
    }
    call.core_answers(&at_core, 100);
    assert!(call.arrived().is_empty(), "100 is for one hop");
    call.core_answers(&at_core, 180);
    let ringing = call.arrived_one();
    let pcscf = invite.all("Route")[0].to_owned();
    assert_eq!((ringing.status(), ringing.all("Record-Route")), (180, vec![pcscf.as_str()]));
    let ok = call.core_answers(&at_core, 200);
    let at_ue = call.arrived_one();
    assert_eq!((at_ue.status(), at_ue.all("Record-Route")), (200, vec![pcscf.as_str()]));
    assert_eq!(at_ue.all("Via"), invite.all("Via"));
    // Until its ACK arrives the far UE says it again.
    for _ in 0..2 {
        call.core_answers(&at_core, 200);
        assert_eq!(call.arrived_one().status(), 200);
        let ack = call.in_session("ACK", &invite, &ok);
        call.ue_sends(&ack);
        let at_core = call.core_one();
        assert_eq!(at_core.method(), "ACK");
        assert_eq!(at_core.all("Route"), [format!("<{}>", call.ue.target)]);
        assert_eq!(at_core.uri(), format!("sip:S0123@{}", call.world.scscf_mw));
    }
    for method in ["PRACK", "UPDATE", "OPTIONS", "BYE"] {
        let request = call.in_session(method, &invite, &ok);
        call.ue_sends(&request);
        let at_core = call.core_one();
        assert_eq!(at_core.method(), method);
        assert_eq!(at_core.all("Route"), [format!("<{}>", call.ue.target)]);
        assert!(at_core.header("Security-Verify").is_none(), "{at_core}");
        call.core_answers(&at_core, 200);
        assert_eq!(call.arrived_one().status(), 200);
        // Its answer was lost: it is told again, and not passed on twice.
        call.ue_sends(&request);
        assert!(call.core().is_empty(), "{method} was passed on twice");
        assert_eq!(call.arrived_one().status(), 200);
    }
    call.world.advance(seconds(129));
    call.is_over(strings);
}

#[test]
fn an_invite_that_nobody_answers_gets_408_until_it_is_acknowledged() {
    let mut call = Call::new();
    let strings = call.strings_bytes();
    let (invite, first) = call.calls();
    // Timer A of the core's timers; the UE asks again meanwhile and gets its 100 again.
    let times = call.times(seconds(31), |call| {
        let again = call.core();
        assert!(again.iter().all(|text| *text == first), "another INVITE");
        again.len()
    });
    assert_eq!(times, [500, 1500, 3500, 7500, 15500]);
    call.ue_sends(&invite);
    assert_eq!(call.arrived_one().status(), 100);
    assert!(call.core().is_empty());
    call.world.advance(seconds(1));
    assert_eq!(call.core().len(), 1, "31.5 s");
    let timed_out = call.arrived_one();
    assert_eq!((timed_out.status(), timed_out.all("Via")), (408, invite.all("Via")));
    assert!(parameter(timed_out.expect("To"), "tag").is_some(), "{timed_out}");
    // Timer G of the UE's.
    let times = call.times(seconds(40), |call| {
        let again = call.arrived();
        assert!(again.iter().all(|text| *text == timed_out), "another answer");
        again.len()
    });
    assert_eq!(times, [2000, 6000, 14000, 30000]);
    let ack = Call::on_the_branch("ACK", &invite, timed_out.expect("To"));
    call.ue_sends(&ack);
    call.world.advance(seconds(130));
    call.is_over(strings);
    assert_eq!(call.world.counter("acks_missing"), 0);
}

#[test]
fn a_failure_is_acknowledged_hop_by_hop() {
    let mut call = Call::new();
    let strings = call.strings_bytes();
    let (invite, at_core) = call.calls();
    for time in 0..2 {
        call.core_answers(&at_core, 486);
        let ack = call.core_one();
        assert_eq!((ack.method(), ack.uri()), ("ACK", at_core.uri()));
        assert_eq!(
            (ack.expect("Via"), ack.expect("Route")),
            (at_core.expect("Via"), at_core.expect("Route"))
        );
        assert_eq!(parameter(ack.expect("To"), "tag"), Some("core"));
        assert_eq!((ack.all("Via").len(), ack.expect("CSeq")), (1, "1 ACK"));
        assert_eq!(call.arrived().len(), 1 - time, "it is passed on once");
    }
    // An INVITE that comes again gets it again, and so does a UE that stays silent.
    call.ue_sends(&invite);
    assert_eq!(call.arrived_one().status(), 486);
    call.world.advance(seconds(2));
    let busy = call.arrived_one();
    assert_eq!(busy.status(), 486);
    let ack = Call::on_the_branch("ACK", &invite, busy.expect("To"));
    call.ue_sends(&ack);
    call.ue_sends(&ack);
    assert!(call.core().is_empty(), "it is acknowledged already");
    call.world.advance(seconds(60));
    call.is_over(strings);
    assert_eq!(call.world.counter("acks_astray"), 0);
}

#[test]
fn a_failure_that_is_never_acknowledged_is_given_up() {
    let mut call = Call::new();
    let strings = call.strings_bytes();
    let (_, at_core) = call.calls();
    call.core_answers(&at_core, 486);
    call.core();
    call.world.advance(seconds(129));
    // At 0, 2, 6 and 14 s, and then each 16 s.
    assert_eq!(call.arrived().len(), 11);
    call.is_over(strings);
    assert_eq!(call.world.counter("acks_missing"), 1);
}

#[test]
fn cancel_waits_for_a_provisional_response() {
    let mut call = Call::new();
    let strings = call.strings_bytes();
    let (invite, at_core) = call.calls();
    let cancel = Call::on_the_branch("CANCEL", &invite, invite.expect("To"));
    for _ in 0..2 {
        call.ue_sends(&cancel);
        let ok = call.arrived_one();
        assert_eq!((ok.status(), ok.expect("CSeq")), (200, "1 CANCEL"));
        assert!(call.core().is_empty(), "nothing to cancel yet");
    }
    call.core_answers(&at_core, 100);
    let passed = call.core_one();
    assert_eq!((passed.method(), passed.uri()), ("CANCEL", at_core.uri()));
    assert_eq!(
        (passed.expect("Via"), passed.expect("Route")),
        (at_core.expect("Via"), at_core.expect("Route"))
    );
    // It is a transaction of its own, sent again until it is answered.
    call.world.advance(milliseconds(500));
    assert_eq!(call.core_one(), passed);
    call.core_answers(&passed, 200);
    call.core_answers(&at_core, 487);
    assert_eq!(call.core_one().method(), "ACK");
    let terminated = call.arrived_one();
    assert_eq!((terminated.status(), terminated.expect("CSeq")), (487, "1 INVITE"));
    let ack = Call::on_the_branch("ACK", &invite, terminated.expect("To"));
    call.ue_sends(&ack);
    call.world.advance(seconds(60));
    call.is_over(strings);
    call.ue_sends(&cancel);
    assert_eq!(call.arrived_one().status(), 481, "there is nothing to cancel any more");
    let counted = ["invites_cancelled", "cancels_unknown", "stray_response"];
    assert_eq!(counted.map(|name| call.world.counter(name)), [1, 1, 0]);
}

#[test]
fn a_cancel_that_crosses_a_2xx_does_nothing() {
    let mut call = Call::new();
    let (invite, at_core) = call.calls();
    call.core_answers(&at_core, 200);
    assert_eq!(call.arrived_one().status(), 200);
    let cancel = Call::on_the_branch("CANCEL", &invite, invite.expect("To"));
    call.ue_sends(&cancel);
    assert_eq!(call.arrived_one().status(), 200);
    call.world.advance(seconds(40));
    assert!(call.core().is_empty() && call.arrived().is_empty());
}

#[test]
fn timer_c_cancels_what_rings_too_long() {
    for answered in [true, false] {
        let mut call = Call::new();
        let strings = call.strings_bytes();
        let (invite, at_core) = call.calls();
        call.core_answers(&at_core, 180);
        call.arrived();
        call.world.advance(seconds(100));
        call.core_answers(&at_core, 180);
        assert_eq!(call.arrived_one().status(), 180);
        call.world.advance(seconds(180));
        assert!(call.core().is_empty() && call.arrived().is_empty(), "each 180 prolongs it");
        call.world.advance(milliseconds(1200));
        let cancel = call.core_one();
        assert_eq!(cancel.method(), "CANCEL");
        call.core_answers(&cancel, 200);
        if answered {
            call.core_answers(&at_core, 487);
            assert_eq!(call.core_one().method(), "ACK");
        } else {
            assert!(call.arrived().is_empty());
            call.world.advance(seconds(32));
        }
        let timed_out = call.arrived_one();
        assert_eq!(timed_out.status(), 408, "it is not the caller who has cancelled it");
        let ack = Call::on_the_branch("ACK", &invite, timed_out.expect("To"));
        call.ue_sends(&ack);
        call.world.advance(seconds(60));
        call.is_over(strings);
    }
}

#[test]
fn a_call_for_the_ue_passes_and_lingers() {
    let mut call = Call::new();
    let strings = call.strings_bytes();
    let (invite, at_ue) = call.is_called();
    let pcscf =
        format!("<sip:{}:{};lr>", call.world.pcscf.ip(), call.ue.sets[0].parameters.port_ps);
    assert_eq!((at_ue.method(), at_ue.body.as_str()), ("INVITE", SDP));
    assert_eq!(at_ue.all("Record-Route"), [pcscf]);
    assert!(at_ue.header("Route").is_none(), "{at_ue}");
    call.ue_answers(&at_ue, 100);
    assert!(call.core().is_empty(), "100 is for one hop");
    call.ue_answers(&at_ue, 183);
    let progress = call.core_one();
    assert_eq!((progress.status(), progress.all("Record-Route")), (183, vec![call.key.as_str()]));
    // The S-CSCF asks again: it is told what it was told last.
    call.core_sends(&invite);
    assert_eq!(call.core_one(), progress);
    for time in 0..3 {
        call.ue_answers(&at_ue, 200);
        let ok = call.core_one();
        assert_eq!((ok.status(), ok.all("Via")), (200, invite.all("Via")));
        assert_eq!(ok.all("Record-Route"), [call.key.as_str()]);
        let mut ack = call.for_ue("ACK", 1);
        ack = ack.with("Via", &format!("SIP/2.0/UDP {};branch=z9hG4bKack", call.world.scscf_mw));
        call.core_sends(&ack);
        let ack = call.arrived_one();
        assert_eq!((ack.method(), ack.header("Route")), ("ACK", None), "time {time}");
        // In the end for longer than the core's timers last.
        call.world.advance(seconds(20));
    }
    // It lingers, and the connection goes on without it: the set before a re-authentication goes.
    call.world.mw_held = false;
    call.world.reauthenticate(&mut call.ue);
    assert_eq!(call.world.tables().pcscf.sets, 1, "the set before has gone");
    call.world.mw_held = true;
    call.core();
    for (method, cseq) in [("PRACK", 2), ("UPDATE", 3), ("OPTIONS", 4), ("BYE", 5)] {
        let request = call.for_ue(method, cseq);
        call.core_sends(&request);
        let at_ue = call.arrived_one();
        assert_eq!((at_ue.method(), at_ue.header("Record-Route")), (method, None));
        call.ue_answers(&at_ue, 200);
        assert_eq!(call.core_one().status(), 200);
        call.core_sends(&request);
        assert_eq!(call.core_one().status(), 200);
        assert!(call.arrived().is_empty(), "{method} was passed on twice");
    }
    call.world.advance(seconds(129));
    let lost = ["stray_response", "acks_astray", "outbox_full", "queue_full"];
    assert_eq!(lost.map(|name| call.world.counter(name)), [0; 4]);
    call.is_over(strings);
}

#[test]
fn a_ue_that_does_not_answer_a_call_makes_it_408() {
    let mut call = Call::new();
    let strings = call.strings_bytes();
    let (invite, first) = call.is_called();
    let times = call.times(seconds(127), |call| {
        let again = call.arrived();
        assert!(again.iter().all(|text| *text == first), "another INVITE");
        again.len()
    });
    assert_eq!(times, [2000, 6000, 14000, 30000, 62000, 126_000]);
    call.world.advance(seconds(1));
    let timed_out = call.core_one();
    assert_eq!((timed_out.status(), timed_out.all("Via")), (408, invite.all("Via")));
    let ack = invite.with("To", timed_out.expect("To")).with("CSeq", "1 ACK");
    let mut ack = ack.without("Content-Type");
    ack.start = ack.start.replace("INVITE", "ACK");
    ack.body.clear();
    call.core_sends(&ack);
    assert!(call.arrived().is_empty());
    call.world.advance(seconds(6));
    call.is_over(strings);
}

#[test]
fn the_core_cancels_a_call() {
    let mut call = Call::new();
    let (invite, at_ue) = call.is_called();
    call.ue_answers(&at_ue, 180);
    assert_eq!(call.core_one().status(), 180);
    let mut cancel = invite.clone().with("CSeq", "1 CANCEL").without("Content-Type");
    cancel.start = cancel.start.replace("INVITE", "CANCEL");
    cancel.body.clear();
    call.core_sends(&cancel);
    assert_eq!(call.core_one().status(), 200);
    let passed = call.arrived_one();
    assert_eq!((passed.method(), passed.expect("Via")), ("CANCEL", at_ue.all("Via")[0]));
    assert_eq!(passed.all("Via").len(), 1);
    call.ue_answers(&passed, 200);
    call.ue_answers(&at_ue, 487);
    assert_eq!(call.arrived_one().method(), "ACK");
    let terminated = call.core_one();
    assert_eq!((terminated.status(), terminated.expect("CSeq")), (487, "1 INVITE"));
    assert_eq!(call.world.counter("stray_response"), 0);
    // Somebody else's branch.
    call.core_sends(&cancel.altered("Via", "z9hG4bKcore", "z9hG4bKother"));
    assert_eq!(call.core_one().status(), 481);
}

#[test]
fn answers_of_the_ue_repeat_what_they_answer() {
    let mut call = Call::new();
    let (_, at_ue) = call.is_called();
    let before = call.world.counter("stray_response");
    let far = at_ue.all("Via")[1].to_owned();
    let mut elsewhere = call.ue.respond(&at_ue, 200).without("Via");
    elsewhere = elsewhere.and("Via", at_ue.all("Via")[0]);
    elsewhere = elsewhere.and("Via", &far.replace("127.0.0.2", "127.0.0.9"));
    call.ue_sends(&elsewhere);
    let other_call = call.ue.respond(&at_ue, 200).with("Call-ID", "another");
    call.ue_sends(&other_call);
    let other_method = call.ue.respond(&at_ue, 200).with("CSeq", "1 BYE");
    call.ue_sends(&other_method);
    assert!(call.core().is_empty());
    assert_eq!(call.world.counter("stray_response") - before, 3);
    call.ue_answers(&at_ue, 200);
    assert_eq!(call.core_one().status(), 200);
    // A 2xx that comes later is no different.
    call.ue_sends(&elsewhere);
    assert!(call.core().is_empty());
}

#[test]
fn a_call_whose_connection_goes_is_430() {
    let mut call = Call::new();
    call.world.advance(seconds(600));
    call.core();
    call.arrived();
    let (_, at_ue) = call.is_called();
    call.ue_answers(&at_ue, 180);
    assert_eq!(call.core_one().status(), 180);
    call.world.advance(seconds(31));
    assert_eq!(call.world.tables().pcscf.connections, 0, "the lifetime is over");
    call.world.advance(seconds(30));
    let failed: Vec<Text> = call.core();
    assert!(failed.iter().any(|text| text.status() == 430), "{failed:#?}");
    call.world.advance(seconds(60));
    let tables = call.world.tables().pcscf;
    assert_eq!((tables.transactions, tables.strings_bytes), (0, 0));
}

#[test]
fn a_call_of_a_ue_whose_connection_goes_is_cancelled() {
    let mut call = Call::new();
    call.world.advance(seconds(600));
    call.core();
    call.arrived();
    let (_, at_core) = call.calls();
    call.core_answers(&at_core, 180);
    call.world.advance(seconds(61));
    assert_eq!(call.world.tables().pcscf.connections, 0, "the lifetime is over");
    assert!(call.core().iter().any(|text| text.method() == "CANCEL"));
    call.world.advance(seconds(300));
    let tables = call.world.tables().pcscf;
    assert_eq!((tables.transactions, tables.strings_bytes), (0, 0));
}

#[test]
fn requests_in_a_session_go_to_the_connections_scscf() {
    let mut call = Call::new();
    let (invite, at_core) = call.calls();
    let ok = call.core_answers(&at_core, 200);
    call.arrived();
    let elsewhere = |text: &Text| {
        let mut text = text.clone();
        text.start = text.start.replace("127.0.0.2", "127.0.0.9");
        text
    };
    let bye = call.in_session("BYE", &invite, &ok);
    call.ue_sends(&elsewhere(&bye));
    assert_eq!(call.arrived_one().status(), 403);
    let ack = call.in_session("ACK", &invite, &ok);
    call.ue_sends(&elsewhere(&ack));
    assert_eq!(call.arrived().len(), 0, "nobody answers an ACK");
    let foreign = bye.clone().and("Route", "<sip:127.0.0.2:6260;sess=1;lr>");
    let foreign = foreign.altered("Via", "z9hG4bK", "z9hG4bKa");
    call.ue_sends(&foreign);
    assert_eq!(call.arrived_one().status(), 403);
    let unsigned = bye.clone().without("Security-Verify").altered("Via", "z9hG4bK", "z9hG4bKb");
    call.ue_sends(&unsigned);
    assert_eq!(call.arrived_one().status(), 494);
    assert!(call.core().is_empty());
    assert_eq!(["wrong_route", "acks_astray"].map(|name| call.world.counter(name)), [2, 1]);
    // A session that moves here from another connection names that one's S-CSCF, and this one's service route.
    let route = format!("<{}>", call.ue.target);
    let moves = elsewhere(&bye).and("Route", &route).altered("Via", "z9hG4bK", "z9hG4bKc");
    call.ue_sends(&moves);
    let at_core = call.core_one();
    assert_eq!(
        (at_core.all("Route"), at_core.uri()),
        (vec![route.as_str()], "sip:S0123@127.0.0.9:6260")
    );
}

#[test]
fn a_registration_subscription_moves_by_the_service_route() {
    let mut call = Call::new();
    let impu = call.ue.impu.clone();
    let watch = call.ue.watch(&impu, 3600);
    let mut moves = watch.clone().with("To", &format!("<{impu}>;tag=old"));
    moves.start = "SUBSCRIBE sip:127.0.0.2:6260;sess=old SIP/2.0".to_owned();
    call.ue_sends(&moves);
    let at_core = call.core_one();
    assert_eq!(at_core.all("Route"), [format!("<{}>", call.ue.target)]);
    assert_eq!(at_core.uri(), "sip:127.0.0.2:6260;sess=old");
}

#[test]
fn an_invite_that_does_not_fit_is_513() {
    let mut call = Call::new();
    let mut invite = call.for_ue("INVITE", 1).and("Content-Type", "application/sdp");
    let length = invite.to_bytes().len();
    invite.body = "a".repeat(4050 - length);
    call.core_sends(&invite);
    assert_eq!(call.core_one().status(), 513);
    assert_eq!(call.world.tables().pcscf.transactions, 0);
    assert!(call.arrived().is_empty());
    // What fits passes as it is.
    let mut invite = call.for_ue("INVITE", 2).and("Content-Type", "application/sdp");
    invite.body = "a".repeat(3700 - length);
    call.core_sends(&invite);
    assert_eq!(call.arrived_one().body, invite.body);
}

/// An INVITE waits for the identities as others do, but has had its 100.
#[test]
fn an_invite_that_waits_is_answered_by_a_transaction() {
    for cancelled in [true, false] {
        let mut world = World::new(Layout::Apart);
        let mut ue = world.ue(1);
        world.begin(&mut ue);
        world.mw_held = true;
        let answer = ue.answer();
        world.sealed(&mut ue, &answer);
        // Until the P-CSCF's own SUBSCRIBE waits, which is lost.
        let is_own = |text: &Text| {
            text.method() == "SUBSCRIBE"
                && text.status() == 0
                && text.header("Authorization").is_none()
        };
        while !world.mw_waiting.front().is_some_and(|wire| is_own(&Text::parse(&wire.bytes))) {
            world.pass_held(0);
        }
        for arrived in world.take(&mut ue) {
            match arrived.message.status() {
                0 => world.accept(&mut ue, &arrived.message),
                _ => ue.accepted(&arrived.message),
            }
        }
        let mut call = Call { world, ue, key: String::new(), branches: 0 };
        let invite = call.invite();
        for _ in 0..2 {
            call.ue_sends(&invite);
            assert_eq!(call.arrived_one().status(), 100);
        }
        let transactions = call.world.tables().pcscf.transactions;
        if cancelled {
            let cancel = Call::on_the_branch("CANCEL", &invite, invite.expect("To"));
            call.ue_sends(&cancel);
            let answers: Vec<_> = call
                .arrived()
                .iter()
                .map(|text| (text.status(), text.method().to_owned()))
                .collect();
            assert_eq!(answers, [(200, "CANCEL".to_owned()), (487, "INVITE".to_owned())]);
        } else {
            call.world.advance(seconds(4));
            assert_eq!(call.arrived_one().status(), 503);
        }
        assert_eq!(call.world.tables().pcscf.transactions, transactions + 1);
        call.world.advance(seconds(2));
        let again = call.arrived_one();
        assert_eq!(again.status(), if cancelled { 487 } else { 503 });
        let ack = Call::on_the_branch("ACK", &invite, again.expect("To"));
        call.ue_sends(&ack);
        call.world.advance(seconds(17));
        assert!(call.core().iter().all(|text| text.method() != "INVITE"));
        assert_eq!(call.world.counter("acks_astray"), 0);
        let left = call.world.tables().pcscf.transactions;
        assert_eq!(left, transactions, "only the P-CSCF's own SUBSCRIBE");
    }
}

#[test]
fn privacy_holds_in_answers_too() {
    let mut call = Call::new();
    let (_, at_core) = call.calls();
    for (privacy, shown) in [("none", true), ("id", false)] {
        let mut answer = call.ue.respond(&at_core, 183).and("Privacy", privacy);
        answer = answer.and("P-Asserted-Identity", "<sip:ue00000002@ims.example>");
        call.core_sends(&answer);
        assert_eq!(call.arrived_one().header("P-Asserted-Identity").is_some(), shown, "{privacy}");
    }
}

/// In memory, too, a refused call leaves nothing: nobody is registered.
#[test]
fn over_memory_a_refused_call_leaves_nothing() {
    let mut world = World::new(Layout::Together);
    let mut ue = world.ue(1);
    world.secure(&mut ue);
    let mut call = Call { world, ue, key: String::new(), branches: 0 };
    let strings = call.strings_bytes();
    let invite = call.invite();
    call.ue_sends(&invite);
    let answers = call.arrived();
    assert_eq!((answers.len(), answers[0].status()), (2, 100), "{answers:#?}");
    assert!(answers[1].status() >= 400, "{}", answers[1]);
    let ack = Call::on_the_branch("ACK", &invite, answers[1].expect("To"));
    call.ue_sends(&ack);
    call.world.advance(seconds(17));
    call.is_over(strings);
}

/// The I-CSCF keeps nothing, and all that is on an INVITE's branch takes the INVITE's way (RFC 3261 clause 16.11).
#[test]
fn the_icscf_leads_invite_cancel_and_ack_one_way() {
    let mut world = World::new(Layout::Each);
    world.mw_held = true;
    let (caller, icscf, scscf) = (world.scscf_mw, world.icscf_mw, world.scscf_mw);
    let send = |world: &mut World, text: &Text| {
        world.datagram(caller, icscf, &text.to_bytes());
        let waiting: Vec<_> = world.mw_waiting.drain(..).collect();
        assert!(waiting.iter().all(|wire| (wire.from, wire.to) == (icscf, scscf)));
        waiting.iter().map(|wire| Text::parse(&wire.bytes)).collect::<Vec<_>>()
    };
    let request = |method: &str, uri: &str| {
        Text::request(method, uri)
            .and("Via", &format!("SIP/2.0/UDP {caller};branch=z9hG4bKfar"))
            .and("Max-Forwards", "60")
            .and("Route", &format!("<sip:{icscf};lr>"))
            .and("From", "<sip:ue00000002@ims.example>;tag=far")
            .and("To", &format!("<{uri}>"))
            .and("Call-ID", "far-call")
            .and("CSeq", &format!("1 {method}"))
    };
    let known = "sip:ue00000001@ims.example";
    let mut vias = Vec::new();
    for method in ["INVITE", "INVITE", "CANCEL", "ACK", "OPTIONS"] {
        let passed = send(&mut world, &request(method, known));
        assert_eq!((passed.len(), passed[0].method()), (1, method));
        assert!(passed[0].header("Route").is_none(), "{}", passed[0]);
        vias.push(passed[0].all("Via")[0].to_owned());
    }
    assert!(vias[1..4].iter().all(|via| *via == vias[0]), "{vias:#?}");
    assert_ne!(vias[4], vias[0]);
    let unknown = "sip:nobody@ims.example";
    assert_eq!(send(&mut world, &request("INVITE", unknown))[0].status(), 404);
    assert!(send(&mut world, &request("ACK", unknown)).is_empty(), "nobody answers an ACK");
    assert!(send(&mut world, &request("ACK", known).with("Max-Forwards", "0")).is_empty());
    assert_eq!(world.counter("acks_astray"), 2);
}
