//! The security mechanism agreement at the P-CSCF (RFC 3329, TS 33.203 clause 7): what the UE offers, what is answered, and
//! whether the UE repeats it unaltered.

use imstorm_base::hash::HashSeed;
use imstorm_esp::Mode;
use imstorm_esp::{EncryptionAlgorithm, IntegrityAlgorithm, Suite};
use imstorm_sip::Message;
use imstorm_sip::SecurityMechanism;
use imstorm_sip::header::HeaderName;
use imstorm_sip::write::Writer;

/// The only mechanism between UE and P-CSCF (TS 33.203 annex H).
const MECHANISM: &[u8] = b"ipsec-3gpp";
/// More offers than this are not looked at: every algorithm pair, in both modes, twice.
const OFFERS_MAX: usize = 64;

/// SPIs below are reserved (RFC 4303 clause 2.1).
const SPI_MIN: u32 = 256;

/// What of a Security-Client header the P-CSCF keeps.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct ClientOffer {
    /// The UE's SPI for its client port.
    pub spi_uc: u32,
    /// The UE's SPI for its server port.
    pub spi_us: u32,
    /// The UE's protected client port.
    pub port_uc: u16,
    /// The UE's protected server port.
    pub port_us: u16,
    /// The algorithms that the P-CSCF prefers among those offered. The UE comes to the same choice by itself, from `q`.
    pub suite: Suite,
    /// Of the whole header's parameters, to see whether the UE repeats it (TS 33.203 clause 7.2).
    pub fingerprint: u64,
    /// Of the header's text: a UE that repeats it to the letter, as all do, is spared the parsing.
    pub text: u64,
}

/// Why a proposal can't be taken.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Unacceptable {
    /// No mechanism with algorithms and mode that the P-CSCF has, or one without SPIs and ports.
    NoProposal,
    /// The header breaks RFC 3329's grammar.
    Malformed,
}

/// Reads Security-Client and makes the P-CSCF's choice.
///
/// # Errors
/// As [`Unacceptable`] says.
pub fn read_client(
    message: &Message<'_>,
    mode: Mode,
    hash: &HashSeed,
) -> Result<ClientOffer, Unacceptable> {
    let mut best: Option<(usize, ClientOffer)> = None;
    let mut fingerprint = Fingerprint::default();
    for mechanism in message.security(HeaderName::SecurityClient).take(OFFERS_MAX) {
        let mechanism = mechanism.map_err(|_| Unacceptable::Malformed)?;
        fingerprint.add(&mechanism, hash);
        if let Some((rank, offer)) = offer_of(&mechanism, mode)
            && best.is_none_or(|(other, _)| rank < other)
        {
            best = Some((rank, offer));
        }
    }
    let (_, offer) = best.ok_or(Unacceptable::NoProposal)?;
    let text = text_hash(message, hash);
    Ok(ClientOffer { fingerprint: fingerprint.0, text, ..offer })
}

/// Whether Security-Client is the one that `fingerprint` and `text` were taken of: to the letter, or else by its parameters.
#[must_use]
pub fn client_matches(message: &Message<'_>, hash: &HashSeed, fingerprint: u64, text: u64) -> bool {
    if text_hash(message, hash) == text {
        return true;
    }
    let mut found = Fingerprint::default();
    for mechanism in message.security(HeaderName::SecurityClient).take(OFFERS_MAX) {
        let Ok(mechanism) = mechanism else { return false };
        found.add(&mechanism, hash);
    }
    found.0 == fingerprint
}

fn text_hash(message: &Message<'_>, hash: &HashSeed) -> u64 {
    let lines = message.lines(HeaderName::SecurityClient);
    lines.fold(0, |sum, (_, line)| hash.hash2(&u64::to_be_bytes(sum), line))
}

/// Of the parameters of Security-Client: the same for the same mechanisms in the same order, however they are spaced.
#[derive(Default)]
struct Fingerprint(u64);

impl Fingerprint {
    fn add(&mut self, mechanism: &SecurityMechanism<'_>, hash: &HashSeed) {
        let mut numbers = [0; 16];
        numbers[..4].copy_from_slice(&mechanism.spi_c.unwrap_or(0).to_be_bytes());
        numbers[4..8].copy_from_slice(&mechanism.spi_s.unwrap_or(0).to_be_bytes());
        numbers[8..10].copy_from_slice(&mechanism.port_c.unwrap_or(0).to_be_bytes());
        numbers[10..12].copy_from_slice(&mechanism.port_s.unwrap_or(0).to_be_bytes());
        numbers[12..14].copy_from_slice(&mechanism.q_millis.unwrap_or(u16::MAX).to_be_bytes());
        for part in [
            mechanism.mechanism,
            mechanism.alg.unwrap_or_default(),
            mechanism.ealg,
            mechanism.prot,
            mechanism.mode,
            &numbers,
        ] {
            self.0 = hash.hash2(&self.0.to_be_bytes(), part);
        }
    }
}

/// What a mechanism offers, and its place in the P-CSCF's order of preference; `None` where it can't be used.
fn offer_of(mechanism: &SecurityMechanism<'_>, mode: Mode) -> Option<(usize, ClientOffer)> {
    let wanted = mechanism.mechanism.eq_ignore_ascii_case(MECHANISM)
        && mechanism.prot.eq_ignore_ascii_case(b"esp")
        && Mode::parse(mechanism.mode) == Some(mode);
    wanted.then_some(())?;
    let suite = Suite::new(
        IntegrityAlgorithm::parse(mechanism.alg?)?,
        EncryptionAlgorithm::parse(mechanism.ealg)?,
    );
    let rank = Suite::ALL.iter().position(|other| *other == suite)?;
    let offer = ClientOffer {
        spi_uc: mechanism.spi_c?,
        spi_us: mechanism.spi_s?,
        port_uc: mechanism.port_c?,
        port_us: mechanism.port_s?,
        suite,
        fingerprint: 0,
        text: 0,
    };
    // What TS 33.203 clauses 7.1 and 7.2 forbid is no proposal.
    let ports = [offer.port_uc, offer.port_us];
    let usable = offer.spi_uc.min(offer.spi_us) >= SPI_MIN
        && offer.spi_uc != offer.spi_us
        && offer.port_uc != offer.port_us
        && !ports.iter().any(|port| matches!(port, 0 | 5060 | 5061));
    usable.then_some((rank, offer))
}

/// The P-CSCF's side of a set, as Security-Server shows it.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct ServerSide {
    /// The P-CSCF's SPI for its client port.
    pub spi_pc: u32,
    /// The P-CSCF's SPI for its server port.
    pub spi_ps: u32,
    /// The P-CSCF's protected client port.
    pub port_pc: u16,
    /// The P-CSCF's protected server port.
    pub port_ps: u16,
}

/// Writes the value of Security-Server: every algorithm pair that the P-CSCF has, in its order of preference, with a `q` of its
/// own each. Without a set (in a 421, or a 494 to a proposal that can't be taken) there are no SPIs and ports.
pub fn write_server(mode: Mode, side: Option<&ServerSide>, out: &mut Writer<'_>) {
    // The same in each: written once.
    let mut text = [0; SIDE_BYTES_MAX];
    let mut numbers = Writer::new(&mut text);
    if let Some(side) = side {
        numbers.put(b";spi-c=").decimal(u64::from(side.spi_pc));
        numbers.put(b";spi-s=").decimal(u64::from(side.spi_ps));
        numbers.put(b";port-c=").decimal(u64::from(side.port_pc));
        numbers.put(b";port-s=").decimal(u64::from(side.port_ps));
    }
    assert!(!numbers.has_overflowed(), "two SPIs and two ports");
    for (place, suite) in Suite::ALL.iter().enumerate() {
        if place > 0 {
            out.put(b", ");
        }
        out.put(MECHANISM).put(b";q=0.").decimal(9 - place as u64);
        out.put(b";alg=").text(suite.integrity.as_str());
        out.put(b";ealg=").text(suite.encryption.as_str());
        out.put(b";prot=esp;mod=").text(mode.as_str()).put(numbers.as_written());
    }
}

/// The SPIs and ports of one mechanism.
const SIDE_BYTES_MAX: usize = ";spi-c=4294967295;spi-s=4294967295;port-c=65535;port-s=65535".len();

/// Whether Security-Verify repeats the Security-Server that was sent for this set: the same mechanisms in the same order with
/// the same parameters (RFC 3329 clause 2.3.1).
#[must_use]
pub fn verify_matches(message: &Message<'_>, mode: Mode, side: &ServerSide) -> bool {
    let mut text = [0; 1024];
    let mut expected = Writer::new(&mut text);
    write_server(mode, Some(side), &mut expected);
    let expected = expected.as_written();
    let mut lines = message.lines(HeaderName::SecurityVerify);
    if let (Some((_, only)), None) = (lines.next(), lines.next())
        && only == expected
    {
        return true;
    }
    let mut received = message.security(HeaderName::SecurityVerify);
    let mut sent = expected.split(|byte| *byte == b',').map(SecurityMechanism::parse);
    loop {
        match (sent.next(), received.next()) {
            (None, None) => return true,
            (Some(Ok(sent)), Some(Ok(received))) if sent.same(&received) => {}
            _ => return false,
        }
    }
}
