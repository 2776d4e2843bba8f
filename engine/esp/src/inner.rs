//! What ESP protects: a UDP datagram, in tunnel mode with its own IP header.

use crate::lanes::Lanes;
use crate::packet::OpenError;
use crate::sa::Selectors;
use core::fmt;
use core::net::IpAddr;
use core::ops::Range;

/// IP protocol numbers: what an ESP trailer's next header can say here.
pub(crate) const PROTOCOL_IPV4: u8 = 4;
pub(crate) const PROTOCOL_UDP: u8 = 17;
pub(crate) const PROTOCOL_IPV6: u8 = 41;

pub(crate) const UDP_HEADER_LEN: usize = 8;
const IPV4_HEADER_LEN: usize = 20;
const IPV6_HEADER_LEN: usize = 40;

const TTL: u8 = 64;
const IPV4_DONT_FRAGMENT: u16 = 0x4000;
/// More-fragments and the fragment's offset.
const IPV4_FRAGMENT: u16 = 0x3fff;

/// A selector of an association that a packet does not match.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Selector {
    /// The destination address is not this side's.
    LocalIp,
    /// The source address is not the peer's.
    RemoteIp,
    /// The destination port is not the association's.
    LocalPort,
    /// The source port is not the association's.
    RemotePort,
    /// The protocol is not UDP.
    Protocol,
}

/// What is wrong with the inner IP or UDP header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InnerHeaderError {
    /// The version is not the one that the next header says, or IPv4's header length is short.
    Version {
        /// 4 or 6.
        expected: u8,
        /// The first byte.
        got: u8,
    },
    /// A length field is not the length of what is there.
    Length {
        /// The bytes that are there.
        expected: usize,
        /// What the field says, or, if the header itself doesn't fit, the bytes it needs.
        got: usize,
    },
    /// It is a fragment: a sender fragments outside (RFC 4303 3.3.4).
    Fragment,
}

impl fmt::Display for InnerHeaderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Version { expected, got } => {
                write!(f, "expected an IPv{expected} header, got first byte {got:#04x}")
            }
            Self::Length { expected, got } => {
                write!(f, "expected a length of {expected} bytes, got {got}")
            }
            Self::Fragment => f.write_str("expected a whole datagram, got a fragment"),
        }
    }
}

impl core::error::Error for InnerHeaderError {}

/// The length of the inner IP header between the selectors' addresses; nothing if they are not of
/// one family.
pub(crate) const fn ip_header_len(selectors: &Selectors) -> Option<usize> {
    match (selectors.local_ip, selectors.remote_ip) {
        (IpAddr::V4(_), IpAddr::V4(_)) => Some(IPV4_HEADER_LEN),
        (IpAddr::V6(_), IpAddr::V6(_)) => Some(IPV6_HEADER_LEN),
        _ => None,
    }
}

/// The next header that stands for the inner IP packet in tunnel mode.
pub(crate) const fn ip_protocol(selectors: &Selectors) -> u8 {
    if selectors.local_ip.is_ipv4() { PROTOCOL_IPV4 } else { PROTOCOL_IPV6 }
}

/// Fills in the UDP header in front of the payload; `datagram` is both.
pub(crate) fn write_udp(lanes: Lanes, selectors: &Selectors, datagram: &mut [u8]) {
    let len = u16::try_from(datagram.len()).expect("PAYLOAD_LEN_MAX bounds it");
    datagram[0..2].copy_from_slice(&selectors.local_port.to_be_bytes());
    datagram[2..4].copy_from_slice(&selectors.remote_port.to_be_bytes());
    datagram[4..6].copy_from_slice(&len.to_be_bytes());
    datagram[6..8].copy_from_slice(&[0; 2]);
    let sum = fold(lanes.sum(datagram) + pseudo_header(selectors, len));
    // A computed zero is sent as its other form: zero says that there is no checksum (RFC 768).
    let checksum = if sum == 0xffff { 0xffff } else { !sum };
    datagram[6..8].copy_from_slice(&checksum.to_ne_bytes());
}

/// Fills in the IP header in front of the UDP datagram; `packet` is both. DF and no identification,
/// since an atomic datagram needs none (RFC 6864).
pub(crate) fn write_ip(selectors: &Selectors, packet: &mut [u8]) {
    match (selectors.local_ip, selectors.remote_ip) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            let len = u16::try_from(packet.len()).expect("PAYLOAD_LEN_MAX bounds it");
            let header = &mut packet[..IPV4_HEADER_LEN];
            header[..2].copy_from_slice(&[0x45, 0]);
            header[2..4].copy_from_slice(&len.to_be_bytes());
            header[4..6].copy_from_slice(&[0; 2]);
            header[6..8].copy_from_slice(&IPV4_DONT_FRAGMENT.to_be_bytes());
            header[8..12].copy_from_slice(&[TTL, PROTOCOL_UDP, 0, 0]);
            header[12..16].copy_from_slice(&source.octets());
            header[16..20].copy_from_slice(&destination.octets());
            let checksum = !fold(sum_of(header));
            header[10..12].copy_from_slice(&checksum.to_ne_bytes());
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            let len = packet.len() - IPV6_HEADER_LEN;
            let len = u16::try_from(len).expect("PAYLOAD_LEN_MAX bounds it");
            let header = &mut packet[..IPV6_HEADER_LEN];
            header[..4].copy_from_slice(&[0x60, 0, 0, 0]);
            header[4..6].copy_from_slice(&len.to_be_bytes());
            header[6..8].copy_from_slice(&[PROTOCOL_UDP, TTL]);
            header[8..24].copy_from_slice(&source.octets());
            header[24..40].copy_from_slice(&destination.octets());
        }
        _ => unreachable!("ip_header_len has refused it"),
    }
}

/// Checks the inner IP header against the selectors and returns where the UDP datagram is.
pub(crate) fn check_ip(selectors: &Selectors, packet: &[u8]) -> Result<Range<usize>, OpenError> {
    if selectors.local_ip.is_ipv4() {
        check_ipv4(selectors, packet)
    } else {
        check_ipv6(selectors, packet)
    }
}

/// Checks the UDP header against the selectors, and the checksum.
pub(crate) fn check_udp(
    lanes: Lanes,
    selectors: &Selectors,
    datagram: &[u8],
) -> Result<(), OpenError> {
    let [s0, s1, d0, d1, l0, l1, checksum @ ..]: [u8; UDP_HEADER_LEN] =
        *datagram.first_chunk().ok_or_else(|| length(datagram.len(), UDP_HEADER_LEN))?;
    let len = u16::from_be_bytes([l0, l1]);
    if usize::from(len) != datagram.len() {
        return Err(length(datagram.len(), usize::from(len)));
    }
    if u16::from_be_bytes([d0, d1]) != selectors.local_port {
        return Err(OpenError::SelectorMismatch(Selector::LocalPort));
    }
    if u16::from_be_bytes([s0, s1]) != selectors.remote_port {
        return Err(OpenError::SelectorMismatch(Selector::RemotePort));
    }
    // Only IPv4 may go without one (RFC 768; RFC 8200 8.1).
    if checksum == [0; 2] && selectors.local_ip.is_ipv4() {
        return Ok(());
    }
    if fold(lanes.sum(datagram) + pseudo_header(selectors, len)) != 0xffff || checksum == [0; 2] {
        return Err(OpenError::InnerChecksum);
    }
    Ok(())
}

fn check_ipv4(selectors: &Selectors, packet: &[u8]) -> Result<Range<usize>, OpenError> {
    let fixed: [u8; IPV4_HEADER_LEN] =
        *packet.first_chunk().ok_or_else(|| length(packet.len(), IPV4_HEADER_LEN))?;
    let header_len = usize::from(fixed[0] & 15) * 4;
    if fixed[0] >> 4 != 4 || header_len < IPV4_HEADER_LEN {
        let error = InnerHeaderError::Version { expected: 4, got: fixed[0] };
        return Err(OpenError::InnerHeader(error));
    }
    let total_len = usize::from(u16::from_be_bytes([fixed[2], fixed[3]]));
    if total_len != packet.len() {
        return Err(length(packet.len(), total_len));
    }
    let header = packet.get(..header_len).ok_or_else(|| length(packet.len(), header_len))?;
    if fold(sum_of(header)) != 0xffff {
        return Err(OpenError::InnerChecksum);
    }
    if u16::from_be_bytes([fixed[6], fixed[7]]) & IPV4_FRAGMENT != 0 {
        return Err(OpenError::InnerHeader(InnerHeaderError::Fragment));
    }
    let [.., s0, s1, s2, s3, d0, d1, d2, d3] = fixed;
    check_addresses(
        selectors,
        fixed[9],
        IpAddr::from([s0, s1, s2, s3]),
        IpAddr::from([d0, d1, d2, d3]),
    )?;
    Ok(header_len..packet.len())
}

fn check_ipv6(selectors: &Selectors, packet: &[u8]) -> Result<Range<usize>, OpenError> {
    let fixed: [u8; IPV6_HEADER_LEN] =
        *packet.first_chunk().ok_or_else(|| length(packet.len(), IPV6_HEADER_LEN))?;
    if fixed[0] >> 4 != 6 {
        let error = InnerHeaderError::Version { expected: 6, got: fixed[0] };
        return Err(OpenError::InnerHeader(error));
    }
    let payload_len = usize::from(u16::from_be_bytes([fixed[4], fixed[5]]));
    if payload_len != packet.len() - IPV6_HEADER_LEN {
        return Err(length(packet.len() - IPV6_HEADER_LEN, payload_len));
    }
    let (mut source, mut destination) = ([0; 16], [0; 16]);
    source.copy_from_slice(&fixed[8..24]);
    destination.copy_from_slice(&fixed[24..]);
    check_addresses(selectors, fixed[6], IpAddr::from(source), IpAddr::from(destination))?;
    Ok(IPV6_HEADER_LEN..packet.len())
}

fn check_addresses(
    selectors: &Selectors,
    protocol: u8,
    source: IpAddr,
    destination: IpAddr,
) -> Result<(), OpenError> {
    let mismatch = if protocol != PROTOCOL_UDP {
        Selector::Protocol
    } else if source != selectors.remote_ip {
        Selector::RemoteIp
    } else if destination != selectors.local_ip {
        Selector::LocalIp
    } else {
        return Ok(());
    };
    Err(OpenError::SelectorMismatch(mismatch))
}

const fn length(expected: usize, got: usize) -> OpenError {
    OpenError::InnerHeader(InnerHeaderError::Length { expected, got })
}

/// The sum of UDP's pseudo-header (RFC 768, RFC 8200 8.1); the same in both directions.
fn pseudo_header(selectors: &Selectors, udp_len: u16) -> u64 {
    let address = |ip| match ip {
        IpAddr::V4(ip) => sum_of(&ip.octets()),
        IpAddr::V6(ip) => sum_of(&ip.octets()),
    };
    address(selectors.local_ip)
        + address(selectors.remote_ip)
        + u64::from(u16::from(PROTOCOL_UDP).to_be())
        + u64::from(udp_len.to_be())
}

/// The sum of the 16-bit words of `bytes`, an odd last byte filled up with zero, to be folded.
///
/// The words are taken in the machine's byte order: the one's complement sum is the same with its
/// bytes exchanged (RFC 1071 2B), so that the result must be stored in the machine's order, too.
/// They are summed four bytes at a time, in 64 bits: that cannot overflow below 16 GiB.
pub(crate) fn sum_of(bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<4>();
    let mut sum: u64 = words.iter().map(|word| u64::from(u32::from_ne_bytes(*word))).sum();
    let mut last = [0; 4];
    last[..rest.len()].copy_from_slice(rest);
    sum += u64::from(u32::from_ne_bytes(last));
    sum
}

/// Folds a sum into 16 bits with its carries added.
const fn fold(sum: u64) -> u16 {
    let sum = (sum >> 32) + (sum & 0xffff_ffff);
    let sum = (sum >> 32) + (sum & 0xffff_ffff);
    let sum = (sum >> 16) + (sum & 0xffff);
    let sum = (sum >> 16) + (sum & 0xffff);
    let sum = (sum >> 16) + (sum & 0xffff);
    sum as u16
}
