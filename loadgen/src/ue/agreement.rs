//! The security mechanism agreement at the UE (RFC 3329, TS 33.203 clause 7): what it offers, and what it takes of the P-CSCF's
//! answer.

use std::net::IpAddr;

use imstorm_esp::{EncryptionAlgorithm, IntegrityAlgorithm, Mode, SecurityParameters, Suite};
use imstorm_sip::header::HeaderName;
use imstorm_sip::{Message, SecurityMechanism, Writer};

/// What a UE puts into Security-Client.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct ClientSide {
    pub spi_uc: u32,
    pub spi_us: u32,
    pub port_uc: u16,
    pub port_us: u16,
}

/// Writes the value of Security-Client: an offer for each pair of algorithms, all with the same SPIs and ports.
pub fn write_client(mode: Mode, suites: &[Suite], side: &ClientSide, out: &mut Writer<'_>) {
    for (place, suite) in suites.iter().enumerate() {
        if place > 0 {
            out.put(b", ");
        }
        out.put(b"ipsec-3gpp;alg=").text(suite.integrity.as_str());
        out.put(b";ealg=").text(suite.encryption.as_str());
        out.put(b";prot=esp;mod=").text(mode.as_str());
        out.put(b";spi-c=").decimal(u64::from(side.spi_uc));
        out.put(b";spi-s=").decimal(u64::from(side.spi_us));
        out.put(b";port-c=").decimal(u64::from(side.port_uc));
        out.put(b";port-s=").decimal(u64::from(side.port_us));
    }
}

/// Chooses among what Security-Server lists the mechanism with the highest q of those that the UE offered (RFC 3329 clause
/// 2.4), and makes the four security associations' parameters of it. `None` where there is none that can be used.
pub fn choose(
    message: &Message<'_>,
    mode: Mode,
    suites: &[Suite],
    side: &ClientSide,
    ue_ip: IpAddr,
    pcscf_ip: IpAddr,
) -> Option<SecurityParameters> {
    let mut best: Option<(u16, SecurityParameters)> = None;
    for mechanism in message.security(HeaderName::SecurityServer) {
        let mechanism = mechanism.ok()?;
        let q_millis = mechanism.q_millis.unwrap_or(0);
        if best.is_some_and(|(highest, _)| highest >= q_millis) {
            continue;
        }
        if let Some(parameters) = parameters_of(&mechanism, mode, suites, side, ue_ip, pcscf_ip) {
            best = Some((q_millis, parameters));
        }
    }
    best.map(|(_, parameters)| parameters)
}

fn parameters_of(
    mechanism: &SecurityMechanism<'_>,
    mode: Mode,
    suites: &[Suite],
    side: &ClientSide,
    ue_ip: IpAddr,
    pcscf_ip: IpAddr,
) -> Option<SecurityParameters> {
    let is_ours = mechanism.mechanism.eq_ignore_ascii_case(b"ipsec-3gpp")
        && mechanism.prot.eq_ignore_ascii_case(b"esp")
        && Mode::parse(mechanism.mode) == Some(mode);
    is_ours.then_some(())?;
    let suite = Suite::new(
        IntegrityAlgorithm::parse(mechanism.alg?)?,
        EncryptionAlgorithm::parse(mechanism.ealg)?,
    );
    suites.contains(&suite).then_some(())?;
    let parameters = SecurityParameters {
        spi_uc: side.spi_uc,
        spi_us: side.spi_us,
        port_uc: side.port_uc,
        port_us: side.port_us,
        spi_pc: mechanism.spi_c?,
        spi_ps: mechanism.spi_s?,
        port_pc: mechanism.port_c?,
        port_ps: mechanism.port_s?,
        ue_ip,
        pcscf_ip,
        suite,
        mode,
    };
    parameters.validate().ok()?;
    Some(parameters)
}
