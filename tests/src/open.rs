//! UEs without security associations, where access is not protected.

use std::collections::VecDeque;
use std::net::SocketAddr;

use crate::message::Text;
use crate::ue::DOMAIN;
use crate::world::{Layout, Wire, World};

/// A UE that shows nothing but its name and its address.
#[derive(Clone, Debug)]
pub struct OpenUe {
    /// Its public identity.
    pub impu: String,
    /// Where its requests come from.
    pub source: SocketAddr,
    /// Its Contact's address.
    pub contact: SocketAddr,
    /// The Call-ID of its REGISTERs.
    pub call_id: String,
    /// The last CSeq used.
    pub cseq: u32,
    branches: u32,
}

impl OpenUe {
    /// The UE of a subscriber, at this address.
    #[must_use]
    pub fn new(number: u64, source: &str) -> Self {
        let source = source.parse().expect("an address");
        Self {
            impu: format!("sip:ue{number:08}@{DOMAIN}"),
            source,
            contact: source,
            call_id: format!("open-{number}-{source}"),
            cseq: 0,
            branches: 0,
        }
    }

    /// A request outside dialogs, with what every request has.
    pub fn request(&mut self, method: &str, uri: &str, to: &str) -> Text {
        self.cseq += 1;
        let via = self.via();
        Text::request(method, uri)
            .and("Via", &via)
            .and("Max-Forwards", "70")
            .and("From", &format!("<{}>;tag=f{}", self.impu, self.cseq))
            .and("To", &format!("<{to}>"))
            .and("Call-ID", &self.call_id)
            .and("CSeq", &format!("{} {method}", self.cseq))
    }

    /// A fresh Via.
    pub fn via(&mut self) -> String {
        self.branches += 1;
        let (user, source) = (&self.impu[4..14], self.source);
        format!(
            "SIP/2.0/UDP {source};branch=z9hG4bK-{user}-{}-{};rport",
            source.port(),
            self.branches
        )
    }

    /// Its Contact.
    #[must_use]
    pub fn contact(&self) -> String {
        let user = &self.impu[4..14];
        format!("<sip:{user}@{}>", self.contact)
    }

    /// A REGISTER.
    pub fn register(&mut self, expires_s: u32) -> Text {
        let (impu, contact) = (self.impu.clone(), self.contact());
        self.request("REGISTER", &format!("sip:{DOMAIN}"), &impu)
            .and("Contact", &contact)
            .and("Expires", &expires_s.to_string())
            .and("Supported", "path")
    }

    /// A MESSAGE to somebody.
    pub fn message(&mut self, to: &str) -> Text {
        let mut message = self.request("MESSAGE", to, to).and("Content-Type", "text/plain");
        message.body = "hello".to_owned();
        message.with("Call-ID", &format!("message-{}", self.branches))
    }

    /// An INVITE to somebody.
    pub fn invite(&mut self, to: &str) -> Text {
        let contact = self.contact();
        let mut invite = self.request("INVITE", to, to).and("Contact", &contact);
        invite = invite.and("Content-Type", "application/sdp");
        invite.body = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n".to_owned();
        invite.with("Call-ID", &format!("call-{}-{}", self.source, self.branches))
    }

    /// A response to a request that came.
    #[must_use]
    pub fn respond(&self, request: &Text, status: u16) -> Text {
        let copied = ["Via", "Record-Route", "From", "To", "Call-ID", "CSeq"];
        let named = |name: &str| copied.iter().any(|copied| copied.eq_ignore_ascii_case(name));
        let headers = request.headers.iter().filter(|(name, _)| named(name)).cloned().collect();
        let start = format!("SIP/2.0 {status} {}", imstorm_sip::reason(status));
        let mut response = Text { start, headers, body: String::new() };
        if !response.expect("To").contains(";tag=") {
            let to = format!("{};tag=callee", response.expect("To"));
            response = response.with("To", &to);
        }
        response.and("Contact", &self.contact())
    }
}

impl World {
    /// A network that protects nothing, all roles in one process, with further settings of its S-CSCF and lines.
    #[must_use]
    pub fn unprotected(scscf: &str) -> Self {
        let scscf = format!("authentication = \"none\", {scscf}");
        Self::configured(Layout::Together, "access_security = \"none\",", &scscf)
    }

    /// What came to an address and port since the last time.
    pub fn take_at(&mut self, at: SocketAddr) -> Vec<Text> {
        let (ours, others) = self.to_ues.drain(..).partition(|wire| wire.to == at);
        self.to_ues = others;
        let ours: VecDeque<Wire> = ours;
        ours.iter().map(|wire| Text::parse(&wire.bytes)).collect()
    }

    /// As [`World::take_at`], for one message.
    ///
    /// # Panics
    /// Where it is not exactly one.
    pub fn take_one_at(&mut self, at: SocketAddr) -> Text {
        let mut came = self.take_at(at);
        assert_eq!(came.len(), 1, "one message expected at {at}: {came:#?}");
        came.remove(0)
    }

    /// A UE sends a message.
    pub fn openly(&mut self, ue: &OpenUe, message: &Text) {
        let pcscf = self.pcscf;
        self.datagram(ue.source, pcscf, &message.to_bytes());
    }

    /// A UE asks, and gets one answer.
    pub fn ask_openly(&mut self, ue: &OpenUe, message: &Text) -> Text {
        self.openly(ue, message);
        self.take_one_at(ue.source)
    }

    /// The UE of a subscriber at this address, registered.
    ///
    /// # Panics
    /// Where it is refused.
    pub fn registered_openly(&mut self, number: u64, source: &str) -> OpenUe {
        let mut ue = OpenUe::new(number, source);
        let register = ue.register(600);
        let answer = self.ask_openly(&ue, &register);
        assert_eq!(answer.status(), 200, "{answer}");
        ue
    }
}
