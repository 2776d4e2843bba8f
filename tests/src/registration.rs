//! Registration with AKA: what a UE of today sends (TS 24.229 clause 5.1.1), and the good flows.

use crate::message::Text;
use crate::ue::{Credentials, DOMAIN, EXPIRES_S, ScriptedUe, bare_uri};
use crate::world::World;

impl ScriptedUe {
    /// Its first REGISTER, unprotected, or the one that says why a challenge can't be answered.
    pub fn register_first(&mut self, credentials: Credentials) -> Text {
        self.offer += 1;
        let register = self.register_text(self.port, EXPIRES_S, credentials);
        let client = self.security_client();
        register.and("Security-Client", &client)
    }

    /// The answer to its challenge, for the newest set.
    pub fn register_answer(&mut self) -> Text {
        let register = self.register_text(self.port_us(), EXPIRES_S, Credentials::Answer);
        self.mirrored(register)
    }

    /// A REGISTER over its connection, which prolongs it; with 0 the end of it.
    pub fn register_again(&mut self, expires_s: u32) -> Text {
        self.offer += 1;
        let register = self.register_text(self.port_us(), expires_s, Credentials::Answer);
        let server = self.sets.last().expect("a set").security_server.clone();
        let client = self.security_client();
        register.and("Security-Client", &client).and("Security-Verify", &server)
    }

    /// Takes the 200 to a REGISTER: the service route.
    pub fn registered(&mut self, ok: &Text) {
        self.target = bare_uri(ok.expect("Service-Route")).to_owned();
    }

    fn register_text(&mut self, port: u16, expires_s: u32, credentials: Credentials) -> Text {
        self.cseq += 1;
        let via = self.via(port);
        let via = if port == self.port { format!("{via};rport") } else { via };
        let (impu, at, home) = (self.impu.clone(), self.at(port), format!("sip:{DOMAIN}"));
        let instance = self.contact().split_once('>').expect("a contact").1.to_owned();
        let (more, supported) = (self.contact_more.clone(), self.supported.clone());
        let authorization = self.authorization_for("REGISTER", &home, credentials);
        Text::request("REGISTER", &home)
            .and("Via", &via)
            .and("Max-Forwards", "70")
            .and("From", &format!("<{impu}>;tag={}", self.tag))
            .and("To", &format!("<{impu}>"))
            .and("Call-ID", &self.call_id)
            .and("CSeq", &format!("{} REGISTER", self.cseq))
            .and("Contact", &format!("<sip:{at}>{instance}{more}"))
            .and("Expires", &expires_s.to_string())
            .and("Require", "sec-agree")
            .and("Proxy-Require", "sec-agree")
            .and("Supported", &supported)
            .and("Authorization", &authorization)
    }
}

impl World {
    /// The first REGISTER and its challenge: the UE has a temporary set.
    ///
    /// # Panics
    /// Where anything but a 401 that the UE can answer comes.
    pub fn begin_registration(&mut self, ue: &mut ScriptedUe) -> Text {
        let first = ue.register_first(Credentials::Name);
        let challenge = self.ask_plain(ue, &first);
        assert_eq!(challenge.status(), 401, "{challenge}");
        ue.challenge(&challenge).expect("a challenge that the USIM accepts");
        challenge
    }

    /// The whole registration. The 200.
    ///
    /// # Panics
    /// Where anything else comes.
    pub fn register(&mut self, ue: &mut ScriptedUe) -> Text {
        self.begin_registration(ue);
        let answer = ue.register_answer();
        let ok = self.ask(ue, &answer);
        assert_eq!(ok.status(), 200, "{ok}");
        ue.registered(&ok);
        ok
    }

    /// A further access of a user, from this address through the P-CSCF with this place, registered.
    ///
    /// # Panics
    /// Where it is not registered.
    pub fn register_from(
        &mut self,
        ue: &ScriptedUe,
        ip: std::net::IpAddr,
        pcscf: usize,
    ) -> ScriptedUe {
        let mut second = self.access_of(ue, ip, pcscf);
        self.register(&mut second);
        second
    }

    /// A further access of a user, from this address through the P-CSCF with this place: the same USIM, as it is now.
    ///
    /// # Panics
    /// Where the UE's private identity is none that has a number.
    #[must_use]
    pub fn access_of(&self, ue: &ScriptedUe, ip: std::net::IpAddr, pcscf: usize) -> ScriptedUe {
        let number = ue.impi[2..10].parse().expect("a number");
        let mut second = self.ue_through(number, ip, pcscf);
        second.new_call();
        second.call_id = format!("{ip}-{pcscf}-{}", second.call_id);
        // One USIM: the other access goes on with its numbers.
        second.freshness = ue.freshness.clone();
        second
    }
}
