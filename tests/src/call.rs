//! Calls of scripted UEs: one party's dialog, and the good flows of a call.

use crate::message::{Text, parameter};
use crate::ue::{ScriptedUe, bare_uri};
use crate::world::World;

/// What a caller offers, as a VoLTE UE does.
pub const OFFER: &str = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n\
    m=audio 49152 RTP/AVP 96 97\r\na=rtpmap:96 AMR-WB/16000\r\na=rtpmap:97 AMR/8000\r\na=ptime:20\r\na=sendrecv\r\n";
/// What the called party answers.
pub const ANSWER: &str = "v=0\r\no=- 2 2 IN IP4 192.0.2.2\r\ns=-\r\nc=IN IP4 192.0.2.2\r\nt=0 0\r\n\
    m=audio 49152 RTP/AVP 96\r\na=rtpmap:96 AMR-WB/16000\r\na=ptime:20\r\na=sendrecv\r\n";

/// One party's dialog of a session.
#[derive(Clone, Debug)]
pub struct Call {
    /// Its Call-ID.
    pub call_id: String,
    /// From or To as this party writes itself, with its tag.
    pub local: String,
    /// The other party, with its tag.
    pub remote: String,
    /// The other party's Contact.
    pub target: String,
    /// The route set.
    pub routes: Vec<String>,
    /// CSeq of this party's last request.
    pub cseq: u32,
    /// CSeq of this party's last INVITE.
    pub invite: u32,
}

impl Call {
    /// The caller's, from its INVITE and a response that makes a dialog.
    #[must_use]
    pub fn of_answer(invite: &Text, answer: &Text) -> Self {
        let mut routes = route_set(answer);
        routes.reverse();
        Self {
            call_id: invite.expect("Call-ID").to_owned(),
            local: invite.expect("From").to_owned(),
            remote: answer.expect("To").to_owned(),
            target: bare_uri(answer.expect("Contact")).to_owned(),
            routes,
            cseq: invite.cseq(),
            invite: invite.cseq(),
        }
    }

    /// The called party's, from the INVITE that came and its own response.
    #[must_use]
    pub fn of_invite(invite: &Text, answer: &Text) -> Self {
        Self {
            call_id: invite.expect("Call-ID").to_owned(),
            local: answer.expect("To").to_owned(),
            remote: invite.expect("From").to_owned(),
            target: bare_uri(invite.expect("Contact")).to_owned(),
            routes: route_set(invite),
            cseq: 100,
            invite: 0,
        }
    }

    /// The next request of this party in the dialog; ACK has the CSeq of its INVITE.
    pub fn request(&mut self, ue: &mut ScriptedUe, method: &str) -> Text {
        let cseq = match method {
            "ACK" => self.invite,
            _ => {
                self.cseq += 1;
                self.cseq
            }
        };
        if method == "INVITE" {
            self.invite = cseq;
        }
        let via = ue.via(ue.port_us());
        let mut text =
            Text::request(method, &self.target).and("Via", &via).and("Max-Forwards", "70");
        for route in &self.routes {
            text = text.and("Route", route);
        }
        text = text
            .and("From", &self.local)
            .and("To", &self.remote)
            .and("Call-ID", &self.call_id)
            .and("CSeq", &format!("{cseq} {method}"));
        if matches!(method, "INVITE" | "UPDATE") {
            let contact = ue.contact();
            text = text.and("Contact", &contact);
        }
        if method == "ACK" { text } else { ue.agreed(text) }
    }

    /// The same over another connection of the user: by its P-CSCF and its service route.
    pub fn request_over(&mut self, ue: &mut ScriptedUe, method: &str) -> Text {
        let routes = std::mem::replace(&mut self.routes, ue.preloaded_route());
        let request = self.request(ue, method);
        self.routes = routes;
        request
    }

    /// What Replaces says of this dialog: the tags as whoever receives it has them (RFC 3891 clause 3).
    #[must_use]
    pub fn replaces(&self) -> String {
        let tag = |party: &str| parameter(party, "tag").expect("a tag").to_owned();
        format!("{};to-tag={};from-tag={}", self.call_id, tag(&self.remote), tag(&self.local))
    }
}

fn route_set(message: &Text) -> Vec<String> {
    let lines = message.all("Record-Route");
    lines.iter().flat_map(|line| line.split(',')).map(|route| route.trim().to_owned()).collect()
}

impl ScriptedUe {
    /// An INVITE over the secure connection, with an offer.
    pub fn invite(&mut self, to: &str) -> Text {
        let contact = self.contact();
        let mut invite = self
            .over("INVITE", to, to)
            .and("Contact", &contact)
            .and("Supported", "100rel, timer, replaces")
            .and("Allow", "INVITE, ACK, CANCEL, BYE, PRACK, UPDATE, OPTIONS, NOTIFY, MESSAGE")
            .and("Content-Type", "application/sdp");
        invite.body = OFFER.to_owned();
        invite
    }

    /// An INVITE over this connection that takes the place of a dialog over another one.
    pub fn invite_replacing(&mut self, call: &Call) -> Text {
        let target = call.target.clone();
        let to = bare_uri(&call.remote).to_owned();
        let invite = self.invite(&target).with("To", &format!("<{to}>"));
        invite.with("Require", "sec-agree, replaces").and("Replaces", &call.replaces())
    }

    /// The CANCEL of an INVITE.
    #[must_use]
    pub fn cancel(&self, invite: &Text) -> Text {
        let mut cancel = Text::request("CANCEL", invite.uri());
        for name in ["Via", "Max-Forwards", "Route", "From", "To", "Call-ID"] {
            for value in invite.all(name) {
                cancel = cancel.and(name, value);
            }
        }
        cancel.and("CSeq", &format!("{} CANCEL", invite.cseq()))
    }

    /// The ACK of a refused INVITE (RFC 3261 clause 17.1.1.3).
    #[must_use]
    pub fn ack_refusal(&self, invite: &Text, refusal: &Text) -> Text {
        let mut ack = self.cancel(invite).with("To", refusal.expect("To"));
        ack.start = ack.start.replacen("CANCEL", "ACK", 1);
        ack.with("CSeq", &format!("{} ACK", invite.cseq()))
    }

    /// A response to an INVITE that came, with this UE's tag and Contact; a 183 or 200 has the answer.
    #[must_use]
    pub fn answer_invite(&self, invite: &Text, status: u16) -> Text {
        let to = invite.expect("To");
        let to = match parameter(to, "tag") {
            Some(_) => to.to_owned(),
            None => format!("{to};tag=called-{}", self.port_uc() + u16::from(self.last_of_ip())),
        };
        let mut answer =
            self.respond(invite, status).with("To", &to).and("Contact", &self.contact());
        if matches!(status, 183 | 200) {
            answer = answer.and("Content-Type", "application/sdp");
            answer.body = ANSWER.to_owned();
        }
        answer
    }
}

impl World {
    /// A whole call is set up. Both dialogs, the caller's first.
    ///
    /// # Panics
    /// Where it is not.
    pub fn call(&mut self, caller: &mut ScriptedUe, called: &mut ScriptedUe) -> (Call, Call) {
        let to = called.impu.clone();
        let invite = caller.invite(&to);
        self.call_by(caller, called, &invite)
    }

    /// A call is set up by this INVITE.
    ///
    /// # Panics
    /// Where it is not.
    pub fn call_by(
        &mut self,
        caller: &mut ScriptedUe,
        called: &mut ScriptedUe,
        invite: &Text,
    ) -> (Call, Call) {
        self.sealed(caller, invite);
        let came = self.take_one(called).message;
        assert_eq!(came.method(), "INVITE", "{came}");
        let ringing = called.answer_invite(&came, 180);
        self.sealed(called, &ringing);
        let ok = called.answer_invite(&came, 200);
        self.sealed(called, &ok);
        let answers: Vec<Text> = self.messages(caller);
        let statuses: Vec<u16> = answers.iter().map(Text::status).collect();
        assert_eq!(statuses, [100, 180, 200], "{answers:#?}");
        let mut mine = Call::of_answer(invite, &answers[2]);
        let theirs = Call::of_invite(&came, &ok);
        let ack = mine.request(caller, "ACK");
        self.sealed(caller, &ack);
        let ack = self.take_one(called).message;
        assert_eq!(ack.method(), "ACK", "{ack}");
        (mine, theirs)
    }

    /// What came to a UE, as texts.
    pub fn messages(&mut self, ue: &mut ScriptedUe) -> Vec<Text> {
        self.take(ue).into_iter().map(|arrived| arrived.message).collect()
    }

    /// A request in a session arrives at the other party, whose 200 arrives at this one. What arrived, and the 200.
    ///
    /// # Panics
    /// Where it does not.
    pub fn exchange(
        &mut self,
        from: &mut ScriptedUe,
        to: &mut ScriptedUe,
        request: &Text,
    ) -> (Text, Text) {
        self.sealed(from, request);
        let came = self.take_one(to).message;
        assert_eq!(came.method(), request.method(), "{came}");
        let ok = to.answer_invite(&came, 200);
        self.sealed(to, &ok);
        let answer = self.messages(from).pop().expect("an answer");
        assert_eq!(answer.status(), 200, "{answer}");
        (came, answer)
    }

    /// One party hangs up, and the other agrees.
    ///
    /// # Panics
    /// Where anything else happens.
    pub fn hang_up(&mut self, call: &mut Call, from: &mut ScriptedUe, to: &mut ScriptedUe) {
        let bye = call.request(from, "BYE");
        self.sealed(from, &bye);
        let came = self.take_one(to).message;
        assert_eq!(came.method(), "BYE", "{came}");
        self.accept(to, &came);
        assert_eq!(self.take_one(from).message.status(), 200);
    }
}
