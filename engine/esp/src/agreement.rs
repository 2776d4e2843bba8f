//! Which algorithms, and which four associations (TS 33.203 clause 7).
//!
//! | SA | direction and ports             | SPI      |
//! |----|---------------------------------|----------|
//! | 1a | UE port_uc → P-CSCF port_ps     | spi_ps   |
//! | 1b | P-CSCF port_ps → UE port_uc     | spi_uc   |
//! | 2a | P-CSCF port_pc → UE port_us     | spi_us   |
//! | 2b | UE port_us → P-CSCF port_pc     | spi_pc   |

use crate::associations::{Associations, Traffic};
use crate::packet::{Mode, OpenError, SealError};
use crate::sa::{Inbound, Outbound, Selectors};
use crate::transform::{EncryptionAlgorithm, IntegrityAlgorithm, Suite};
use core::fmt;
use core::net::IpAddr;
use core::ops::Range;

/// SPIs below are reserved (RFC 4303 2.1).
const SPI_MIN: u32 = 256;

/// What both sides have agreed on (TS 33.203 7.1), as plain values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SecurityParameters {
    /// The UE's SPI for its client port.
    pub spi_uc: u32,
    /// The UE's SPI for its server port.
    pub spi_us: u32,
    /// The UE's protected client port.
    pub port_uc: u16,
    /// The UE's protected server port.
    pub port_us: u16,
    /// The P-CSCF's SPI for its client port.
    pub spi_pc: u32,
    /// The P-CSCF's SPI for its server port.
    pub spi_ps: u32,
    /// The P-CSCF's protected client port.
    pub port_pc: u16,
    /// The P-CSCF's protected server port.
    pub port_ps: u16,
    /// The UE's address: in [`Mode::UdpTunnel`] the inner one.
    pub ue_ip: IpAddr,
    /// The P-CSCF's address: in [`Mode::UdpTunnel`] the inner one.
    pub pcscf_ip: IpAddr,
    /// The algorithms.
    pub suite: Suite,
    /// The encapsulation.
    pub mode: Mode,
}

impl SecurityParameters {
    /// Whether the values that the peer has chosen can be used with ours.
    ///
    /// # Errors
    /// [`AgreementError`]: the proposal is to be refused.
    pub fn validate(&self) -> Result<(), AgreementError> {
        let spis = [self.spi_uc, self.spi_us, self.spi_pc, self.spi_ps];
        for (i, &spi) in spis.iter().enumerate() {
            if spi < SPI_MIN {
                return Err(AgreementError::ReservedSpi { got: spi });
            }
            // TS 33.203 7.2. All four go into IVs under one key, too.
            if spis[..i].contains(&spi) {
                return Err(AgreementError::SameSpi { got: spi });
            }
        }
        for port in [self.port_uc, self.port_us, self.port_pc, self.port_ps] {
            // TS 33.203 7.1: the ports of unprotected SIP are never protected ones.
            if matches!(port, 0 | 5060 | 5061) {
                return Err(AgreementError::Port { got: port });
            }
        }
        for (client, server) in [(self.port_uc, self.port_us), (self.port_pc, self.port_ps)] {
            if client == server {
                return Err(AgreementError::SamePort { got: client });
            }
        }
        if self.ue_ip.is_ipv4() != self.pcscf_ip.is_ipv4() {
            return Err(AgreementError::AddressFamilies);
        }
        Ok(())
    }
}

/// Why a set of parameters can't be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AgreementError {
    /// An SPI is below 256.
    ReservedSpi {
        /// The SPI.
        got: u32,
    },
    /// Two of the four SPIs are the same.
    SameSpi {
        /// The SPI.
        got: u32,
    },
    /// A protected port is 0, 5060 or 5061.
    Port {
        /// The port.
        got: u16,
    },
    /// One side's two ports are the same.
    SamePort {
        /// The port.
        got: u16,
    },
    /// One address is IPv4 and the other IPv6.
    AddressFamilies,
}

impl fmt::Display for AgreementError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ReservedSpi { got } => write!(f, "expected an SPI from {SPI_MIN}, got {got}"),
            Self::SameSpi { got } => write!(f, "expected four different SPIs, got {got} twice"),
            Self::Port { got } => write!(f, "port {got} can't be protected"),
            Self::SamePort { got } => write!(f, "expected two different ports, got {got} twice"),
            Self::AddressFamilies => f.write_str("the addresses mix IPv4 and IPv6"),
        }
    }
}

impl core::error::Error for AgreementError {}

// A P-CSCF has one for each UE, and two while a UE authenticates anew: the associations 124, two addresses of 17, four ports, the mode.
const _: () = assert!(size_of::<SaSet>() <= 168);

/// One of a side's own two protected ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LocalPort {
    /// The client port: port_uc or port_pc. Over UDP a side sends everything from it, to the
    /// peer's server port.
    Client,
    /// The server port: port_us or port_ps. Over UDP a side receives everything at it, from the
    /// peer's client port.
    Server,
}

/// The four associations that one AKA run makes, as one side has them, with the traffic that they carry.
#[derive(Debug)]
pub struct SaSet {
    /// Keys, SPIs and sequence numbers.
    pub associations: Associations,
    /// The encapsulation of all four.
    pub mode: Mode,
    local_ip: IpAddr,
    remote_ip: IpAddr,
    /// Of each of the side's own ports: itself, and the peer's that both of its associations lead to.
    ports: [(u16, u16); 2],
}

impl SaSet {
    /// The P-CSCF's set. `parameters` have been validated.
    #[must_use]
    pub fn for_pcscf(parameters: &SecurityParameters, ck: &[u8; 16], ik: &[u8; 16]) -> Self {
        let p = parameters;
        Self {
            associations: Associations::for_pcscf(p, ck, ik),
            mode: p.mode,
            local_ip: p.pcscf_ip,
            remote_ip: p.ue_ip,
            ports: [(p.port_pc, p.port_us), (p.port_ps, p.port_uc)],
        }
    }

    /// The UE's set. `parameters` have been validated.
    #[must_use]
    pub fn for_ue(parameters: &SecurityParameters, ck: &[u8; 16], ik: &[u8; 16]) -> Self {
        let p = parameters;
        Self {
            associations: Associations::for_ue(p, ck, ik),
            mode: p.mode,
            local_ip: p.ue_ip,
            remote_ip: p.pcscf_ip,
            ports: [(p.port_uc, p.port_ps), (p.port_us, p.port_pc)],
        }
    }

    /// The algorithms of all four.
    #[must_use]
    pub const fn suite(&self) -> Suite {
        self.associations.suite()
    }

    /// The association that receives at `port`.
    #[must_use]
    pub const fn inbound(&self, port: LocalPort) -> &Inbound {
        self.associations.inbound(port)
    }

    /// The association that sends from `port`.
    #[must_use]
    pub const fn outbound(&self, port: LocalPort) -> &Outbound {
        self.associations.outbound(port)
    }

    /// What traffic the two associations of `port` carry, the one in, the other out.
    #[must_use]
    pub const fn selectors(&self, port: LocalPort) -> Selectors {
        let (local_port, remote_port) = self.ports[port as usize];
        let (local_ip, remote_ip) = (self.local_ip, self.remote_ip);
        Selectors { local_ip, remote_ip, local_port, remote_port }
    }

    /// The own port of the association that receives packets with `spi`, if it is of this set.
    #[must_use]
    pub fn port_of_spi(&self, spi: u32) -> Option<LocalPort> {
        self.associations.port_of_spi(spi)
    }

    pub(crate) const fn traffic(&self, port: LocalPort) -> Traffic {
        Traffic { port, selectors: self.selectors(port), mode: self.mode }
    }

    /// Seals a payload into a packet from `port`, as [`seal`](crate::seal) does. Over UDP: always
    /// [`LocalPort::Client`].
    ///
    /// # Errors
    /// As [`seal`](crate::seal).
    ///
    /// # Panics
    /// As [`seal`](crate::seal).
    pub fn seal(
        &mut self,
        port: LocalPort,
        buffer: &mut [u8],
        payload_offset: usize,
        payload_len: usize,
        iv_seed: u64,
    ) -> Result<Range<usize>, SealError> {
        let payload = payload_offset..payload_offset.saturating_add(payload_len);
        let traffic = self.traffic(port);
        self.associations.seal(&traffic, buffer, payload, iv_seed)
    }

    /// Opens a packet that came at `port`, as [`open`](crate::open) does.
    ///
    /// # Errors
    /// As [`open`](crate::open).
    pub fn open(&mut self, port: LocalPort, packet: &mut [u8]) -> Result<Range<usize>, OpenError> {
        let traffic = self.traffic(port);
        self.associations.open(&traffic, packet)
    }
}

/// One mechanism of Security-Client that this crate has algorithms for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offer {
    /// `alg`.
    pub integrity: IntegrityAlgorithm,
    /// `ealg`.
    pub encryption: EncryptionAlgorithm,
    /// `mod`.
    pub mode: Mode,
}

/// The suite that both sides take: the first of `supported`, in the server's preference order,
/// that a peer who uses `mode` has offered. Nothing if there is none.
///
/// Both sides compute it: the server's preference is in its Security-Server as q (TS 33.203 7.2).
pub fn choose(
    offers: impl IntoIterator<Item = Offer>,
    supported: &[Suite],
    mode: Mode,
) -> Option<Suite> {
    let rank = |offer: Offer| {
        let suite = Suite::new(offer.integrity, offer.encryption);
        supported.iter().position(|s| *s == suite).filter(|_| offer.mode == mode)
    };
    let best = offers.into_iter().filter_map(rank).min()?;
    supported.get(best).copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use EncryptionAlgorithm::{AesCbc, Null};
    use IntegrityAlgorithm::{HmacMd5_96, HmacSha1_96};

    fn parameters() -> SecurityParameters {
        SecurityParameters {
            spi_uc: 256,
            spi_us: u32::MAX,
            port_uc: 5062,
            port_us: 5063,
            spi_pc: 257,
            spi_ps: 258,
            // The peer's ports may be like our own: they are at another address.
            port_pc: 5062,
            port_ps: 5063,
            ue_ip: "10.0.0.1".parse().unwrap(),
            pcscf_ip: "10.0.0.2".parse().unwrap(),
            suite: Suite::ALL[0],
            mode: Mode::Transport,
        }
    }

    #[test]
    fn what_cannot_be_used_is_refused() {
        assert_eq!(parameters().validate(), Ok(()));
        let refused = |edit: fn(&mut SecurityParameters)| {
            let mut parameters = parameters();
            edit(&mut parameters);
            parameters.validate().unwrap_err()
        };
        assert_eq!(refused(|p| p.spi_us = 255), AgreementError::ReservedSpi { got: 255 });
        assert_eq!(refused(|p| p.spi_ps = 0), AgreementError::ReservedSpi { got: 0 });
        assert_eq!(refused(|p| p.spi_us = 256), AgreementError::SameSpi { got: 256 });
        assert_eq!(refused(|p| p.spi_uc = 258), AgreementError::SameSpi { got: 258 });
        assert_eq!(refused(|p| p.port_us = 5060), AgreementError::Port { got: 5060 });
        assert_eq!(refused(|p| p.port_uc = 0), AgreementError::Port { got: 0 });
        assert_eq!(refused(|p| p.port_us = 5062), AgreementError::SamePort { got: 5062 });
        assert_eq!(refused(|p| p.port_ps = 5062), AgreementError::SamePort { got: 5062 });
        let families = refused(|p| p.ue_ip = "::1".parse().unwrap());
        assert_eq!(families, AgreementError::AddressFamilies);
    }

    #[test]
    fn the_servers_preference_decides_among_what_is_offered() {
        let offer = |integrity, encryption, mode| Offer { integrity, encryption, mode };
        let trans = |integrity, encryption| offer(integrity, encryption, Mode::Transport);
        let choose = |offers: &[Offer], supported: &[Suite]| {
            choose(offers.iter().copied(), supported, Mode::Transport)
        };
        let weak_first = [trans(HmacMd5_96, Null), trans(HmacMd5_96, AesCbc)];
        assert_eq!(choose(&weak_first, &Suite::ALL), Some(Suite::new(HmacMd5_96, AesCbc)));
        let only_null = [Suite::new(HmacMd5_96, Null), Suite::new(HmacMd5_96, AesCbc)];
        assert_eq!(choose(&weak_first, &only_null), Some(Suite::new(HmacMd5_96, Null)));
        assert_eq!(choose(&weak_first, &Suite::ALL[..1]), None);
        assert_eq!(choose(&[], &Suite::ALL), None);
        let tunnel = [offer(HmacSha1_96, AesCbc, Mode::UdpTunnel)];
        assert_eq!(choose(&tunnel, &Suite::ALL), None);
        let both = [tunnel[0], trans(HmacSha1_96, Null)];
        assert_eq!(choose(&both, &Suite::ALL), Some(Suite::new(HmacSha1_96, Null)));
    }

    #[test]
    fn the_modes_have_their_names() {
        for mode in [Mode::Transport, Mode::UdpTunnel] {
            assert_eq!(Mode::parse(mode.as_str().as_bytes()), Some(mode));
        }
        assert_eq!(Mode::parse(b"udp-enc-tun"), Some(Mode::UdpTunnel));
        assert_eq!(Mode::parse(b"tun"), None);
    }
}
