//! pcapng (draft-ietf-opsawg-pcapng): IP packets, as a capture at the UE would have them.

use std::net::{IpAddr, SocketAddr};

use super::Direction;

/// IP packets without a link layer.
const LINKTYPE_RAW: u16 = 101;
const PROTOCOL_UDP: u8 = 17;
const IPV4_HEADER_LEN: usize = 20;
const UDP_HEADER_LEN: usize = 8;
const HOP_LIMIT: u8 = 64;

const SECTION_HEADER: u32 = 0x0A0D_0D0A;
const INTERFACE_DESCRIPTION: u32 = 1;
const ENHANCED_PACKET: u32 = 6;
const BYTE_ORDER_MAGIC: u32 = 0x1A2B_3C4D;

const OPTION_COMMENT: u16 = 1;
const OPTION_USER_APPLICATION: u16 = 4;
const OPTION_INTERFACE_NAME: u16 = 2;
const OPTION_TIME_RESOLUTION: u16 = 9;
const OPTION_PACKET_FLAGS: u16 = 2;

/// A capture file in the making.
pub(super) struct Pcapng {
    bytes: Vec<u8>,
}

impl Pcapng {
    /// A file with its section header and one interface, whose times are nanoseconds.
    pub(super) fn new(interface: &str) -> Self {
        let mut file = Self { bytes: Vec::new() };
        let mut body = Vec::new();
        body.extend(BYTE_ORDER_MAGIC.to_le_bytes());
        body.extend(1_u16.to_le_bytes());
        body.extend(0_u16.to_le_bytes());
        body.extend((-1_i64).to_le_bytes());
        option(&mut body, OPTION_USER_APPLICATION, b"imstorm");
        option(&mut body, 0, &[]);
        file.block(SECTION_HEADER, &body);

        let mut body = Vec::new();
        body.extend(LINKTYPE_RAW.to_le_bytes());
        body.extend(0_u16.to_le_bytes());
        body.extend(0_u32.to_le_bytes());
        option(&mut body, OPTION_INTERFACE_NAME, interface.as_bytes());
        option(&mut body, OPTION_TIME_RESOLUTION, &[9]);
        option(&mut body, 0, &[]);
        file.block(INTERFACE_DESCRIPTION, &body);
        file
    }

    /// Adds a UDP datagram, `time_ns` nanoseconds after 1970, with the IP and UDP headers that it
    /// had on the wire. `comment` is shown with it if it is not empty.
    pub(super) fn datagram(
        &mut self,
        time_ns: u64,
        direction: Direction,
        (source, destination): (SocketAddr, SocketAddr),
        payload: &[u8],
        comment: &str,
    ) {
        let packet = packet(source, destination, payload);
        let len = u32::try_from(packet.len()).expect("a packet is shorter than 64 KiB and a bit");
        let mut body = Vec::with_capacity(packet.len() + 48);
        body.extend(0_u32.to_le_bytes());
        body.extend(((time_ns >> 32) as u32).to_le_bytes());
        body.extend((time_ns as u32).to_le_bytes());
        body.extend(len.to_le_bytes());
        body.extend(len.to_le_bytes());
        body.extend(&packet);
        pad(&mut body);
        if !comment.is_empty() {
            option(&mut body, OPTION_COMMENT, comment.as_bytes());
        }
        let flags: u32 = match direction {
            Direction::In => 1,
            Direction::Out => 2,
        };
        option(&mut body, OPTION_PACKET_FLAGS, &flags.to_le_bytes());
        option(&mut body, 0, &[]);
        self.block(ENHANCED_PACKET, &body);
    }

    /// The file.
    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    fn block(&mut self, kind: u32, body: &[u8]) {
        assert!(body.len().is_multiple_of(4), "a block's body is padded: {}", body.len());
        let len = u32::try_from(body.len() + 12).expect("a block holds one packet");
        self.bytes.extend(kind.to_le_bytes());
        self.bytes.extend(len.to_le_bytes());
        self.bytes.extend(body);
        self.bytes.extend(len.to_le_bytes());
    }
}

fn option(body: &mut Vec<u8>, code: u16, value: &[u8]) {
    let value = &value[..value.len().min(usize::from(u16::MAX))];
    body.extend(code.to_le_bytes());
    body.extend((value.len() as u16).to_le_bytes());
    body.extend(value);
    pad(body);
}

fn pad(body: &mut Vec<u8>) {
    body.resize(body.len().next_multiple_of(4), 0);
}

/// The IP packet of a UDP datagram. What IP can't carry (no socket gave it) is cut.
fn packet(source: SocketAddr, destination: SocketAddr, payload: &[u8]) -> Vec<u8> {
    let longest = usize::from(u16::MAX) - IPV4_HEADER_LEN - UDP_HEADER_LEN;
    let payload = &payload[..payload.len().min(longest)];
    let udp_len = (UDP_HEADER_LEN + payload.len()) as u16;

    let mut udp = Vec::with_capacity(usize::from(udp_len));
    udp.extend(source.port().to_be_bytes());
    udp.extend(destination.port().to_be_bytes());
    udp.extend(udp_len.to_be_bytes());
    udp.extend([0, 0]);
    udp.extend(payload);

    let mut packet = Vec::with_capacity(40 + udp.len());
    let addresses = match (source.ip().to_canonical(), destination.ip().to_canonical()) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            packet.extend([0x45, 0]);
            packet.extend((udp_len + IPV4_HEADER_LEN as u16).to_be_bytes());
            // No identification, since with Don't Fragment it means nothing (RFC 6864).
            packet.extend([0, 0, 0x40, 0, HOP_LIMIT, PROTOCOL_UDP, 0, 0]);
            packet.extend(source.octets());
            packet.extend(destination.octets());
            let header = checksum(&[&packet]);
            packet[10..12].copy_from_slice(&header.to_be_bytes());
            packet[12..20].to_vec()
        }
        (source, destination) => {
            packet.extend([0x60, 0, 0, 0]);
            packet.extend(udp_len.to_be_bytes());
            packet.extend([PROTOCOL_UDP, HOP_LIMIT]);
            packet.extend(ipv6(source));
            packet.extend(ipv6(destination));
            packet[8..40].to_vec()
        }
    };
    let pseudo = [[0, PROTOCOL_UDP], udp_len.to_be_bytes()].concat();
    // A computed 0 is sent as all ones, since 0 means that there is none (RFC 768).
    let sum = match checksum(&[&addresses, &pseudo, &udp]) {
        0 => 0xFFFF,
        sum => sum,
    };
    udp[6..8].copy_from_slice(&sum.to_be_bytes());
    packet.extend(&udp);
    packet
}

fn ipv6(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
        IpAddr::V6(address) => address.octets(),
    }
}

/// The Internet checksum (RFC 1071) over parts of which all but the last have an even length.
fn checksum(parts: &[&[u8]]) -> u16 {
    let words = parts.iter().flat_map(|part| part.chunks(2));
    let sum: u64 = words
        .map(|word| u64::from(word[0]) << 8 | word.get(1).map_or(0, |byte| u64::from(*byte)))
        .sum();
    let mut sum = sum;
    while sum > 0xFFFF {
        sum = (sum & 0xFFFF) + (sum >> 16);
    }
    !(sum as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The blocks of a file: kind and body, with both lengths checked.
    fn blocks(bytes: &[u8]) -> Vec<(u32, &[u8])> {
        let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
        let mut blocks = Vec::new();
        let mut at = 0;
        while at < bytes.len() {
            let len = word(at + 4) as usize;
            assert_eq!(word(at + len - 4) as usize, len);
            blocks.push((word(at), &bytes[at + 8..at + len - 4]));
            at += len;
        }
        blocks
    }

    fn one(source: &str, destination: &str, payload: &[u8]) -> Vec<u8> {
        let addresses = (source.parse().unwrap(), destination.parse().unwrap());
        let mut file = Pcapng::new("ue-7");
        file.datagram(0x0123_4567_89AB_CDEF, Direction::Out, addresses, payload, "why");
        file.into_bytes()
    }

    #[test]
    fn a_file_is_read_back() {
        let file = one("127.16.0.1:5070", "127.0.0.1:5060", b"hello");
        let blocks = blocks(&file);
        let kinds: Vec<_> = blocks.iter().map(|(kind, _)| *kind).collect();
        assert_eq!(kinds, [SECTION_HEADER, INTERFACE_DESCRIPTION, ENHANCED_PACKET]);
        assert_eq!(blocks[0].1[..4], 0x1A2B_3C4D_u32.to_le_bytes());
        assert_eq!(blocks[1].1[..2], 101_u16.to_le_bytes());
        let packet = blocks[2].1;
        assert_eq!(packet[4..8], 0x0123_4567_u32.to_le_bytes(), "the upper half of the time");
        assert_eq!(packet[8..12], 0x89AB_CDEF_u32.to_le_bytes(), "the lower half");
        assert_eq!(packet[12..16], 33_u32.to_le_bytes(), "20 and 8 of headers, 5 of payload");
        let ip = &packet[20..53];
        assert_eq!((ip[0], ip[9]), (0x45, PROTOCOL_UDP));
        assert_eq!(ip[12..20], [127, 16, 0, 1, 127, 0, 0, 1]);
        assert_eq!(ip[20..24], [5070_u16.to_be_bytes(), 5060_u16.to_be_bytes()].concat());
        assert_eq!(&ip[28..], b"hello");
        assert_eq!(packet[53..56], [0; 3], "padding");
        assert_eq!(packet[56..64], *b"\x01\0\x03\0why\0");
        assert_eq!(packet[64..72], *b"\x02\0\x04\0\x02\0\0\0", "outbound");
    }

    #[test]
    fn checksums_add_up() {
        // Summed with its checksum, what is right gives 0.
        for payload in [&b""[..], b"x", b"xy", b"\xff\xff\xff", &[0xAB; 65_507]] {
            let v4 = packet("10.1.2.3:1".parse().unwrap(), "10.3.2.1:2".parse().unwrap(), payload);
            assert_eq!(v4.len(), 28 + payload.len());
            assert_eq!(checksum(&[&v4[..20]]), 0);
            let len = (v4.len() - 20) as u16;
            let pseudo = [&v4[12..20], &[0, 17], &len.to_be_bytes()].concat();
            assert_eq!(checksum(&[&pseudo, &v4[20..]]), 0, "IPv4, {} bytes", payload.len());

            let source = "[fd00::1]:1".parse().unwrap();
            let v6 = packet(source, "[fd00::2]:2".parse().unwrap(), payload);
            let len = (v6.len() - 40) as u16;
            assert_eq!(v6[4..6], len.to_be_bytes());
            let pseudo = [&v6[8..40], &[0, 17], &len.to_be_bytes()].concat();
            assert_eq!(checksum(&[&pseudo, &v6[40..]]), 0, "IPv6, {} bytes", payload.len());
        }
        // RFC 1071's example.
        assert_eq!(checksum(&[&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]]), !0xddf2);
    }

    #[test]
    fn a_checksum_of_zero_is_sent_as_ones() {
        let (source, destination) = ("0.0.0.0:0".parse().unwrap(), "0.0.0.0:0".parse().unwrap());
        let sum_without = 17 + 10 + 10;
        let payload: u16 = !sum_without;
        let packet = packet(source, destination, &payload.to_be_bytes());
        assert_eq!(packet[26..28], [0xFF, 0xFF]);
    }
}
