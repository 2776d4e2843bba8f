//! A UE that does what a test tells it, written from the specification and on the protocol crates alone.

use std::net::{IpAddr, SocketAddr};

use imstorm_aka::{
    DigestInput, Freshness, Milenage, Qop, Refusal, answer, decode_nonce, encode_auts, response,
};
use imstorm_cscf::hss::derived::Derivation;
use imstorm_esp::{
    Datagram, EncryptionAlgorithm, HEADROOM, IntegrityAlgorithm, LocalPort, Mode, SaSet,
    SecurityParameters, Suite, TAILROOM, classify,
};

use crate::message::{Text, parameter};

/// The realm and home domain of the tests.
pub const DOMAIN: &str = "ims.example";
/// The lifetime that a UE asks for.
pub const EXPIRES_S: u32 = 600;

/// What Authorization says.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Credentials {
    /// Who it is, and nothing more.
    Name,
    /// The answer to the last challenge.
    Answer,
    /// The last challenge's MAC is wrong.
    MacFailure,
    /// The last challenge's SQN is out of range.
    OutOfRange([u8; 14]),
}

/// A set of four security associations, at the UE.
#[derive(Debug)]
pub struct UeSet {
    /// What was agreed on.
    pub parameters: SecurityParameters,
    /// Security-Server as it came.
    pub security_server: String,
    /// Security-Client as it was sent.
    pub security_client: String,
    /// The keys' material: CK and IK.
    pub keys: ([u8; 16], [u8; 16]),
    sa: SaSet,
}

/// A UE.
pub struct ScriptedUe {
    /// Its address.
    pub ip: IpAddr,
    /// Its unprotected port.
    pub port: u16,
    /// Its port for ESP in UDP.
    pub esp_port: u16,
    /// Its private identity.
    pub impi: String,
    /// Its default public identity.
    pub impu: String,
    /// The Call-ID of its security dialog.
    pub call_id: String,
    /// Its tag there.
    pub tag: String,
    /// The last CSeq used.
    pub cseq: u32,
    /// The notifier's tag, from the 200.
    pub to_tag: Option<String>,
    /// The notifier's Contact, from the 200.
    pub target: String,
    /// The route set, from the 200's Record-Route.
    pub routes: Vec<String>,
    /// Sets of security associations, the newest last.
    pub sets: Vec<UeSet>,
    /// What it offers.
    pub suites: Vec<Suite>,
    /// The USIM's sequence numbers.
    pub freshness: Freshness,
    /// The last challenge's nonce, and RES once it was answered.
    pub nonce: String,
    /// See `nonce`.
    pub res: [u8; 8],
    /// How often the nonce was used.
    pub nc: u32,
    /// The number of the last offer, which its SPIs follow from.
    pub offer: u32,
    /// K and OPc.
    pub keys: ([u8; 16], [u8; 16]),
    /// Its P-CSCF's unprotected address.
    pub pcscf: SocketAddr,
    /// What its Contact has in a REGISTER with credentials beside address and instance, with the semicolon in front.
    pub contact_more: String,
    /// Supported of such a REGISTER.
    pub supported: String,
    /// The UUID that is its instance.
    pub uuid: String,
    /// Each message that came to it, opened.
    pub received: Vec<Text>,
    /// Tells its branches from those of another UE of the same user.
    instance: u32,
    branches: u32,
    /// Requests over the secure connection, outside its security dialog.
    requests: u32,
    sealed: u64,
}

impl ScriptedUe {
    /// The UE of subscriber `number`, at `ip`, for the P-CSCF at `pcscf`; `instance` is another one for each UE.
    #[must_use]
    pub fn new(
        subscribers: &Derivation,
        number: u64,
        instance: u32,
        ip: IpAddr,
        pcscf: SocketAddr,
    ) -> Self {
        let keys = subscribers.keys(number);
        let impi = format!("ue{number:08}@{DOMAIN}");
        Self {
            ip,
            port: 5070,
            esp_port: 4500,
            impu: format!("sip:{impi}"),
            impi,
            call_id: format!("call-{number}-1@ue"),
            tag: format!("tag{number}"),
            cseq: 0,
            to_tag: None,
            target: String::new(),
            routes: Vec::new(),
            sets: Vec::new(),
            suites: Suite::ALL.to_vec(),
            freshness: Freshness::new(),
            nonce: String::new(),
            res: [0; 8],
            nc: 0,
            offer: 0,
            keys: (keys.k, keys.opc),
            pcscf,
            contact_more: String::new(),
            supported: "path, gruu".to_owned(),
            uuid: format!("00000000-0000-4000-8000-0000{number:08}"),
            received: Vec::new(),
            instance,
            branches: 0,
            requests: 0,
            sealed: 0,
        }
    }

    /// The second public identity.
    #[must_use]
    pub fn tel(&self) -> String {
        format!("tel:+99970{}", &self.impi[2..10])
    }

    /// An address with a port of the UE, as in a URI.
    #[must_use]
    pub fn at(&self, port: u16) -> SocketAddr {
        SocketAddr::new(self.ip, port)
    }

    /// Begins anew with another Call-ID and tag.
    pub fn new_call(&mut self) {
        self.branches += 1;
        self.call_id = format!("call-{}-again-{}@ue", &self.impi[2..10], self.branches);
        self.tag = format!("tag-{}", self.branches);
        self.cseq = 0;
        self.to_tag = None;
    }

    /// Its first SUBSCRIBE, unprotected, or the one that says why a challenge can't be answered.
    pub fn first(&mut self, credentials: Credentials) -> Text {
        self.offer += 1;
        let uri = self.impu.clone();
        let message = self.subscribe(&uri, self.port, EXPIRES_S, credentials);
        let client = self.security_client();
        message.and("Security-Client", &client).and("P-Access-Network-Info", "IEEE-802.11")
    }

    /// The answer to its challenge, for the newest set.
    pub fn answer(&mut self) -> Text {
        let uri = self.impu.clone();
        let message = self.subscribe(&uri, self.port_us(), EXPIRES_S, Credentials::Answer);
        self.mirrored(message)
    }

    /// A refresh in its dialog; with 0 the end of it.
    pub fn refresh(&mut self, expires_s: u32) -> Text {
        self.offer += 1;
        let uri = self.target.clone();
        let message = self.subscribe(&uri, self.port_us(), expires_s, Credentials::Answer);
        let server = self.sets.last().expect("a set").security_server.clone();
        let client = self.security_client();
        message.and("Security-Client", &client).and("Security-Verify", &server)
    }

    /// The answer to a challenge in its dialog, for the newest set.
    pub fn answer_in_dialog(&mut self) -> Text {
        let uri = self.target.clone();
        let message = self.subscribe(&uri, self.port_us(), EXPIRES_S, Credentials::Answer);
        self.mirrored(message)
    }

    /// A request over the secure connection, outside its security dialog: by the P-CSCF's protected port and the service route,
    /// without credentials.
    pub fn over(&mut self, method: &str, uri: &str, to: &str) -> Text {
        self.requests += 1;
        let via = self.via(self.port_us());
        let (impu, ip, number) = (self.impu.clone(), self.ip, self.requests);
        let set = self.sets.last().expect("a set");
        let server = set.security_server.clone();
        let port_ps = set.parameters.port_ps;
        let pcscf = SocketAddr::new(self.pcscf.ip(), port_ps);
        Text::request(method, uri)
            .and("Via", &via)
            .and("Max-Forwards", "70")
            .and("Route", &format!("<sip:{pcscf};lr>"))
            .and("Route", &format!("<{}>", self.target))
            .and("From", &format!("<{impu}>;tag=over-{number}"))
            .and("To", &format!("<{to}>"))
            .and("Call-ID", &format!("over-{number}-{}@{ip}", self.instance))
            .and("CSeq", &format!("1 {method}"))
            .and("Require", "sec-agree")
            .and("Proxy-Require", "sec-agree")
            .and("Security-Verify", &server)
    }

    /// The Route of whatever it begins over its connection: the P-CSCF's protected port, and the service route.
    #[must_use]
    pub fn preloaded_route(&self) -> Vec<String> {
        let port_ps = self.sets.last().expect("a set").parameters.port_ps;
        let pcscf = SocketAddr::new(self.pcscf.ip(), port_ps);
        vec![format!("<sip:{pcscf};lr>"), format!("<{}>", self.target)]
    }

    /// A request with what every protected one repeats of the agreement.
    #[must_use]
    pub fn agreed(&self, request: Text) -> Text {
        let set = self.sets.last().expect("a set");
        request
            .and("Require", "sec-agree")
            .and("Proxy-Require", "sec-agree")
            .and("Security-Verify", &set.security_server)
    }

    /// The last number of its address, which tells the tests' UEs apart.
    #[must_use]
    pub fn last_of_ip(&self) -> u8 {
        match self.ip {
            IpAddr::V4(ip) => ip.octets()[3],
            IpAddr::V6(ip) => ip.octets()[15],
        }
    }

    /// A REGISTER of one of its identities to its contact.
    pub fn register(&mut self, impu: &str, expires_s: u32) -> Text {
        let contact = self.contact();
        self.over("REGISTER", &format!("sip:{DOMAIN}"), impu)
            .with("From", &format!("<{impu}>;tag=register-{}", self.requests))
            .and("Contact", &contact)
            .and("Expires", &expires_s.to_string())
            .and("Supported", "path, gruu")
    }

    /// A SUBSCRIBE to what is bound to one of its identities.
    pub fn watch(&mut self, impu: &str, expires_s: u32) -> Text {
        let contact = format!("<sip:{}>", self.at(self.port_us()));
        self.over("SUBSCRIBE", impu, impu)
            .and("Contact", &contact)
            .and("Event", "reg")
            .and("Accept", "application/reginfo+xml")
            .and("Expires", &expires_s.to_string())
    }

    /// A SUBSCRIBE over this connection in the reg dialog that `first` began and `ok` confirmed over another one: it moves the dialog
    /// here (target refresh).
    pub fn refresh_target(&mut self, first: &Text, ok: &Text) -> Text {
        let impu = self.impu.clone();
        let mut moving = self
            .watch(&impu, 3600)
            .with("From", first.expect("From"))
            .with("To", ok.expect("To"))
            .with("Call-ID", first.expect("Call-ID"))
            .with("CSeq", &format!("{} SUBSCRIBE", first.cseq() + 1));
        moving.start = format!("SUBSCRIBE {} SIP/2.0", bare_uri(ok.expect("Contact")));
        moving
    }

    /// What names this UE's security dialog in Replaces.
    #[must_use]
    pub fn replaces(&self) -> String {
        let to_tag = self.to_tag.clone().expect("a dialog");
        format!("{};to-tag={to_tag};from-tag={}", self.call_id, self.tag)
    }

    /// A MESSAGE to somebody, in the name of one of its identities.
    pub fn message(&mut self, to: &str, preferred: Option<&str>) -> Text {
        let mut message = self.over("MESSAGE", to, to).and("Content-Type", "text/plain");
        if let Some(preferred) = preferred {
            message = message.and("P-Preferred-Identity", &format!("<{preferred}>"));
        }
        message.body = "hello".to_owned();
        message
    }

    /// Its protected contact, with its instance.
    #[must_use]
    pub fn contact(&self) -> String {
        format!("<sip:{}>;+sip.instance=\"<urn:uuid:{}>\"", self.at(self.port_us()), self.uuid())
    }

    /// The next request in the dialog that `first` began and `ok` confirmed.
    pub fn next_in_dialog(&mut self, first: &Text, ok: &Text) -> Text {
        let via = self.via(self.port_us());
        let pcscf = first.all("Route")[0].to_owned();
        let cseq = format!("{} {}", first.cseq() + 1, first.method());
        let mut next = first.clone().without("Route").with("Via", &via).and("Route", &pcscf);
        next.start = format!("{} {} SIP/2.0", first.method(), bare_uri(ok.expect("Contact")));
        next.with("To", ok.expect("To")).with("CSeq", &cseq)
    }

    /// A response to a request that came.
    #[must_use]
    pub fn respond(&self, request: &Text, status: u16) -> Text {
        let copied = ["Via", "Record-Route", "From", "To", "Call-ID", "CSeq"];
        let named = |name: &str| copied.iter().any(|copied| copied.eq_ignore_ascii_case(name));
        let headers = request.headers.iter().filter(|(name, _)| named(name)).cloned().collect();
        let start = format!("SIP/2.0 {status} {}", imstorm_sip::reason(status));
        Text { start, headers, body: String::new() }
    }

    /// Takes a 401: makes the keys and a new set of security associations.
    ///
    /// # Errors
    /// Where the USIM refuses the challenge. The nonce is kept, so that the refusal can be told.
    ///
    /// # Panics
    /// Where Security-Server offers nothing that can be used.
    pub fn challenge(&mut self, message: &Text) -> Result<(), Refusal> {
        let header = message.expect("WWW-Authenticate");
        let nonce = parameter(header, "nonce").expect("a nonce").to_owned();
        let (rand, autn) = decode_nonce(nonce.as_bytes()).expect("RAND and AUTN");
        self.nonce = nonce;
        self.nc = 0;
        let milenage = Milenage::new(&self.keys.0, &self.keys.1);
        let keys = answer(&milenage, &mut self.freshness, &rand, &autn)?;
        self.res = keys.res;
        let security_server = message.all("Security-Server").join(", ");
        let parameters = self.choose(&security_server).expect("a mechanism that the UE offered");
        parameters.validate().expect("parameters that can be used");
        let sa = SaSet::for_ue(&parameters, &keys.ck, &keys.ik);
        let security_client = self.security_client();
        let keys = (keys.ck, keys.ik);
        self.sets.push(UeSet { parameters, security_server, security_client, keys, sa });
        Ok(())
    }

    /// Takes the 200 to a SUBSCRIBE: the dialog.
    pub fn accepted(&mut self, message: &Text) {
        let to = message.expect("To");
        self.to_tag = Some(parameter(to, "tag").expect("a tag in To").to_owned());
        self.target = bare_uri(message.expect("Contact")).to_owned();
        let routes = message.all("Record-Route");
        let routes = routes.iter().flat_map(|line| line.split(',')).map(str::trim);
        self.routes = routes.map(str::to_owned).rev().collect();
    }

    /// Seals a message with the newest set.
    ///
    /// # Panics
    /// Where there is no set.
    pub fn seal(&mut self, message: &[u8]) -> Vec<u8> {
        let newest = self.sets.len() - 1;
        self.seal_with(newest, message)
    }

    /// Seals a message with the set of this number.
    ///
    /// # Panics
    /// Where there is no such set.
    pub fn seal_with(&mut self, set: usize, message: &[u8]) -> Vec<u8> {
        let mut buffer = vec![0; HEADROOM + message.len() + TAILROOM];
        buffer[HEADROOM..HEADROOM + message.len()].copy_from_slice(message);
        self.sealed += 1;
        let (seed, sa) = (self.sealed, &mut self.sets[set].sa);
        let range = sa.seal(LocalPort::Client, &mut buffer, HEADROOM, message.len(), seed);
        buffer[range.expect("a message that fits")].to_vec()
    }

    /// Opens a packet; the number of the set that it came through, and the message.
    pub fn open(&mut self, packet: &[u8]) -> Option<(usize, Vec<u8>)> {
        let Datagram::Esp(spi) = classify(packet) else { return None };
        for (number, set) in self.sets.iter_mut().enumerate().rev() {
            let Some(port) = set.sa.port_of_spi(spi) else { continue };
            let mut copy = packet.to_vec();
            let opened = set.sa.open(port, &mut copy).ok()?;
            return Some((number, copy[opened].to_vec()));
        }
        None
    }

    /// Security-Client of the present offer.
    #[must_use]
    pub fn security_client(&self) -> String {
        let (spi_c, spi_s) = self.spis();
        let (port_c, port_s) = (self.port_uc(), self.port_us());
        let offers = self.suites.iter().map(|suite| {
            format!(
                "ipsec-3gpp; alg={}; ealg={}; prot=esp; mod=UDP-enc-tun; spi-c={spi_c}; spi-s={spi_s}; \
                 port-c={port_c}; port-s={port_s}",
                suite.integrity.as_str(),
                suite.encryption.as_str()
            )
        });
        offers.collect::<Vec<_>>().join(", ")
    }

    /// Authorization for a SUBSCRIBE to `uri`.
    pub fn authorization(&mut self, uri: &str, credentials: Credentials) -> String {
        self.authorization_for("SUBSCRIBE", uri, credentials)
    }

    /// Authorization for a request with this method.
    pub fn authorization_for(
        &mut self,
        method: &str,
        uri: &str,
        credentials: Credentials,
    ) -> String {
        let name = format!("Digest username=\"{}\", realm=\"{DOMAIN}\", uri=\"{uri}\"", self.impi);
        let password: &[u8] = match credentials {
            Credentials::Name => return format!("{name}, nonce=\"\", response=\"\""),
            Credentials::MacFailure => {
                return format!("{name}, nonce=\"{}\", response=\"\"", self.nonce);
            }
            Credentials::OutOfRange(_) => b"",
            Credentials::Answer => &self.res,
        };
        self.nc += 1;
        let (nc, cnonce) = (format!("{:08x}", self.nc), format!("c{}", self.cseq));
        let digest = response(&DigestInput {
            username: self.impi.as_bytes(),
            realm: DOMAIN.as_bytes(),
            password,
            nonce: self.nonce.as_bytes(),
            uri: uri.as_bytes(),
            method: method.as_bytes(),
            qop: Some(Qop { cnonce: cnonce.as_bytes(), nc: nc.as_bytes() }),
        });
        let digest = String::from_utf8_lossy(&digest);
        let nonce = &self.nonce;
        let mut value = format!(
            "{name}, nonce=\"{nonce}\", algorithm=AKAv1-MD5, qop=auth, nc={nc}, cnonce=\"{cnonce}\", \
             response=\"{digest}\""
        );
        if let Credentials::OutOfRange(auts) = credentials {
            let auts = encode_auts(&auts);
            value.push_str(&format!(", auts=\"{}\"", String::from_utf8_lossy(&auts)));
        }
        value
    }

    /// A fresh Via with this port of the UE.
    pub fn via(&mut self, port: u16) -> String {
        self.branches += 1;
        let (at, instance) = (self.at(port), self.instance);
        format!("SIP/2.0/UDP {at};branch=z9hG4bK-{instance}-{}", self.branches)
    }

    /// The protected client port, another one for each offer.
    #[must_use]
    pub fn port_uc(&self) -> u16 {
        6100 + u16::try_from(self.offer % 100).unwrap_or(0) * 2
    }

    /// The protected server port.
    #[must_use]
    pub fn port_us(&self) -> u16 {
        6101
    }

    /// The UE's SPIs of the present offer, for its client and its server port.
    #[must_use]
    pub fn spis(&self) -> (u32, u32) {
        (0x7000_0000 + 2 * self.offer, 0x7000_0001 + 2 * self.offer)
    }

    fn subscribe(&mut self, uri: &str, port: u16, expires: u32, credentials: Credentials) -> Text {
        self.cseq += 1;
        let via = self.via(port);
        let via = if port == self.port { format!("{via};rport") } else { via };
        let (impu, at) = (self.impu.clone(), self.at(port));
        let to = match &self.to_tag {
            Some(tag) => format!("<{impu}>;tag={tag}"),
            None => format!("<{impu}>"),
        };
        let mut message =
            Text::request("SUBSCRIBE", uri).and("Via", &via).and("Max-Forwards", "70");
        if self.to_tag.is_some() {
            for route in &self.routes {
                message = message.and("Route", route);
            }
        }
        message
            .and("From", &format!("<{impu}>;tag={}", self.tag))
            .and("To", &to)
            .and("Call-ID", &self.call_id)
            .and("CSeq", &format!("{} SUBSCRIBE", self.cseq))
            .and("Contact", &format!("<sip:{at}>;+sip.instance=\"<urn:uuid:{}>\"", self.uuid()))
            .and("Event", "security")
            .and("Expires", &expires.to_string())
            .and("Accept", "application/secinfo+xml")
            .and("Require", "sec-agree, secevt")
            .and("Proxy-Require", "sec-agree, secevt")
            .and("Supported", "path")
            .and("Allow", "SUBSCRIBE, NOTIFY")
            .and("Authorization", &self.authorization(uri, credentials))
    }

    /// With the newest set's Security-Client and Security-Server repeated.
    pub(crate) fn mirrored(&self, message: Text) -> Text {
        let set = self.sets.last().expect("a set");
        message
            .and("Security-Client", &set.security_client)
            .and("Security-Verify", &set.security_server)
    }

    fn uuid(&self) -> &str {
        &self.uuid
    }

    /// The offered mechanism with the highest q.
    fn choose(&self, security_server: &str) -> Option<SecurityParameters> {
        let mut best: Option<(f32, SecurityParameters)> = None;
        for mechanism in security_server.split(',') {
            let value = |name: &str| {
                let mut parts = mechanism.split(';').map(str::trim);
                parts.find_map(|part| part.strip_prefix(name)?.strip_prefix('='))
            };
            let suite = Suite::new(
                IntegrityAlgorithm::parse(value("alg")?.as_bytes())?,
                EncryptionAlgorithm::parse(value("ealg")?.as_bytes())?,
            );
            let q: f32 = value("q")?.parse().ok()?;
            if !self.suites.contains(&suite) || best.is_some_and(|(highest, _)| highest >= q) {
                continue;
            }
            let (spi_uc, spi_us) = self.spis();
            let number = |name: &str| value(name)?.parse::<u32>().ok();
            let port = |name: &str| value(name)?.parse::<u16>().ok();
            best = Some((
                q,
                SecurityParameters {
                    spi_uc,
                    spi_us,
                    port_uc: self.port_uc(),
                    port_us: self.port_us(),
                    spi_pc: number("spi-c")?,
                    spi_ps: number("spi-s")?,
                    port_pc: port("port-c")?,
                    port_ps: port("port-s")?,
                    ue_ip: self.ip,
                    pcscf_ip: self.pcscf.ip(),
                    suite,
                    mode: Mode::UdpTunnel,
                },
            ));
        }
        best.map(|(_, parameters)| parameters)
    }
}

impl std::fmt::Debug for ScriptedUe {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ScriptedUe").field("impi", &self.impi).finish_non_exhaustive()
    }
}

/// What names the dialog that this 2xx confirmed in Replaces.
#[must_use]
pub fn replaces(ok: &Text) -> String {
    let tag = |name: &str| parameter(ok.expect(name), "tag").expect("a tag").to_owned();
    format!("{};to-tag={};from-tag={}", ok.expect("Call-ID"), tag("To"), tag("From"))
}

/// A request that replaces a dialog.
#[must_use]
pub fn replacing(request: Text, replaces: &str) -> Text {
    let require = format!("{}, replaces", request.expect("Require"));
    request.with("Require", &require).and("Replaces", replaces)
}

/// The URI of a header value `<uri>;…`.
#[must_use]
pub fn bare_uri(value: &str) -> &str {
    value.trim_start_matches('<').split('>').next().unwrap_or_default()
}
