//! Packets between the two sides of a set, whole, damaged and forged.

use crate::test_data::{esp_vectors, hex};
use crate::*;
use core::net::IpAddr;
use core::ops::Range;
use proptest::prelude::*;

const CK: [u8; 16] = *b"0123456789abcdef";
const IK: [u8; 16] = *b"fedcba9876543210";
const MODES: [Mode; 2] = [Mode::Transport, Mode::UdpTunnel];
/// A UDP checksum lies within the payload's headers; these are here to be odd and even, short and
/// of many blocks.
const PAYLOAD_LENS: [usize; 6] = [0, 1, 15, 16, 457, 1400];

fn parameters(suite: Suite, mode: Mode, ipv6: bool) -> SecurityParameters {
    let ip = |v4: &str, v6: &str| -> IpAddr { if ipv6 { v6 } else { v4 }.parse().unwrap() };
    SecurityParameters {
        spi_uc: 0x1001,
        spi_us: 0x1002,
        port_uc: 30_001,
        port_us: 30_002,
        spi_pc: 0x2001,
        spi_ps: 0x2002,
        port_pc: 5063,
        port_ps: 5064,
        ue_ip: ip("127.0.0.9", "2001:db8::9"),
        pcscf_ip: ip("127.0.0.1", "2001:db8::1"),
        suite,
        mode,
    }
}

/// The UE's and the P-CSCF's set.
fn pair(suite: Suite, mode: Mode, ipv6: bool) -> (SaSet, SaSet) {
    pair_of(suite, mode, ipv6, &CK, &IK)
}

/// As [`pair`], with other keys.
pub(crate) fn pair_of(
    suite: Suite,
    mode: Mode,
    ipv6: bool,
    ck: &[u8; 16],
    ik: &[u8; 16],
) -> (SaSet, SaSet) {
    let parameters = parameters(suite, mode, ipv6);
    assert_eq!(parameters.validate(), Ok(()));
    (SaSet::for_ue(&parameters, ck, ik), SaSet::for_pcscf(&parameters, ck, ik))
}

fn each_pair(mut check: impl FnMut(SaSet, SaSet)) {
    for suite in Suite::ALL {
        for mode in MODES {
            for ipv6 in [false, true] {
                let (ue, pcscf) = pair(suite, mode, ipv6);
                check(ue, pcscf);
            }
        }
    }
}

fn sealed(from: &mut SaSet, port: LocalPort, payload: &[u8]) -> Vec<u8> {
    let mut buffer = vec![0xee; HEADROOM + payload.len() + TAILROOM];
    buffer[HEADROOM..HEADROOM + payload.len()].copy_from_slice(payload);
    let range = from.seal(port, &mut buffer, HEADROOM, payload.len(), 0).unwrap();
    buffer[range].to_vec()
}

fn payload(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i * 31 + len) as u8).collect()
}

/// Seals a text of the test's own making, with right ICV and next free sequence number.
fn forged(from: &SaSet, to: &SaSet, text: &[u8]) -> Vec<u8> {
    let (spi, sequence) = (to.inbound(LocalPort::Server).spi(), 1);
    let iv_len = from.associations.transform.iv_len();
    let mut packet =
        [&spi.to_be_bytes()[..], &[0, 0, 0, sequence], &vec![0; iv_len], text].concat();
    let iv_block = crate::transform::iv_block(spi, sequence.into(), 0);
    from.associations.transform.encrypt(iv_block, &mut packet[8..]);
    let icv = from.associations.transform.icv(&packet);
    [&packet[..], &icv].concat()
}

#[test]
fn a_message_goes_through_each_association_of_each_suite_and_mode() {
    each_pair(|mut ue, mut pcscf| {
        for len in PAYLOAD_LENS {
            let message = payload(len);
            for (from, to) in
                [(LocalPort::Client, LocalPort::Server), (LocalPort::Server, LocalPort::Client)]
            {
                let mut packet = sealed(&mut ue, from, &message);
                assert_eq!(pcscf.port_of_spi(spi(&packet).unwrap()), Some(to));
                let range = pcscf.open(to, &mut packet).unwrap();
                assert_eq!(packet[range], message);

                let mut packet = sealed(&mut pcscf, from, &message);
                assert_eq!(classify(&packet), Datagram::Esp(ue.inbound(to).spi()));
                let range = ue.open(to, &mut packet).unwrap();
                assert_eq!(packet[range], message);
            }
        }
        let sent = PAYLOAD_LENS.len() as u32;
        assert_eq!(ue.outbound(LocalPort::Client).sequence(), sent);
        assert_eq!(pcscf.inbound(LocalPort::Server).highest_sequence(), sent);
    });
}

#[test]
fn spis_and_ports_are_those_of_ts_33_203() {
    let (ue, pcscf) = pair(Suite::ALL[0], Mode::Transport, false);
    let sa = |spi, selectors: Selectors| (spi, selectors.local_port, selectors.remote_port);
    let inbound = |set: &SaSet, port| sa(set.inbound(port).spi(), set.selectors(port));
    let outbound = |set: &SaSet, port| sa(set.outbound(port).spi(), set.selectors(port));
    // 1a, 1b, 2a, 2b, at the sender and at the receiver.
    assert_eq!(outbound(&ue, LocalPort::Client), (0x2002, 30_001, 5064));
    assert_eq!(inbound(&pcscf, LocalPort::Server), (0x2002, 5064, 30_001));
    assert_eq!(outbound(&pcscf, LocalPort::Server), (0x1001, 5064, 30_001));
    assert_eq!(inbound(&ue, LocalPort::Client), (0x1001, 30_001, 5064));
    assert_eq!(outbound(&pcscf, LocalPort::Client), (0x1002, 5063, 30_002));
    assert_eq!(inbound(&ue, LocalPort::Server), (0x1002, 30_002, 5063));
    assert_eq!(outbound(&ue, LocalPort::Server), (0x2001, 30_002, 5063));
    assert_eq!(inbound(&pcscf, LocalPort::Client), (0x2001, 5063, 30_002));
}

#[test]
fn the_packets_of_another_implementation_open() {
    let vectors = esp_vectors();
    let keys = &vectors["keyexp"];
    let mut opened = 0;
    for v in vectors["ipsec3gpp_packets"].as_array().unwrap() {
        let parsed = (
            IntegrityAlgorithm::parse(v["alg"].as_str().unwrap().as_bytes()),
            EncryptionAlgorithm::parse(v["ealg"].as_str().unwrap().as_bytes()),
        );
        let (Some(integrity), Some(encryption)) = parsed else { continue };
        let ck = hex(&keys["CK"]).try_into().unwrap();
        let ik = hex(&keys["IK"]).try_into().unwrap();
        let state = TransformState::new(&Keys::expand(&ck, &ik, integrity, encryption));
        let number = |name: &str| v[name].as_u64().unwrap();
        let selectors = Selectors {
            local_ip: v["dst"].as_str().unwrap().parse().unwrap(),
            remote_ip: v["src"].as_str().unwrap().parse().unwrap(),
            local_port: number("dport") as u16,
            remote_port: number("sport") as u16,
        };
        let mut sa = Inbound::new(number("spi") as u32);
        let mut packet = hex(&v["esp"]);
        let range = open(&state, &mut sa, &selectors, Mode::Transport, &mut packet).unwrap();
        assert_eq!(packet[range], hex(&v["udp"])[8..]);
        opened += 1;
    }
    assert_eq!(opened, 4, "the suites of this crate; the others are 3DES, GCM and GMAC");
}

#[test]
fn each_flipped_bit_is_found_and_named() {
    each_pair(|mut ue, mut pcscf| {
        let good = sealed(&mut ue, LocalPort::Client, &payload(40));
        let expected_spi = pcscf.inbound(LocalPort::Server).spi();
        for bit in 0..good.len() * 8 {
            let mut packet = good.clone();
            packet[bit / 8] ^= 0x80 >> (bit % 8);
            let error = pcscf.open(LocalPort::Server, &mut packet).unwrap_err();
            let expected = match bit {
                0..32 => {
                    OpenError::UnknownTransform { expected_spi, got_spi: spi(&packet).unwrap() }
                }
                // Sequence number 1 becomes 0 by its last bit.
                63 => OpenError::ReplayTooOld { highest: 0, got: 0 },
                _ => OpenError::IntegrityFailed,
            };
            assert_eq!(error, expected, "bit {bit}");
        }
        assert_eq!(pcscf.inbound(LocalPort::Server).highest_sequence(), 0);
        pcscf.open(LocalPort::Server, &mut good.clone()).expect("the window hasn't moved");
    });
}

#[test]
fn each_shortened_packet_is_refused() {
    each_pair(|mut ue, mut pcscf| {
        let good = sealed(&mut ue, LocalPort::Client, &payload(40));
        let shortest = if pcscf.suite().encryption == EncryptionAlgorithm::AesCbc {
            8 + 16 + 16 + 12
        } else {
            8 + 4 + 12
        };
        for len in 0..good.len() {
            let error = pcscf.open(LocalPort::Server, &mut good[..len].to_vec()).unwrap_err();
            if len < shortest {
                let expected = OpenError::Truncated { expected_min_len: shortest, got_len: len };
                assert_eq!(error, expected);
            } else if let OpenError::BlockLength { got_len } = error {
                assert_eq!(got_len, len - 8 - 16 - 12);
                assert_ne!(got_len % 16, 0);
            } else {
                assert_eq!(error, OpenError::IntegrityFailed);
            }
        }
    });
}

#[test]
fn packets_may_be_reordered_but_not_replayed() {
    let (mut ue, mut pcscf) = pair(Suite::ALL[0], Mode::Transport, false);
    let packets: Vec<_> =
        (0..200).map(|i| sealed(&mut ue, LocalPort::Client, &payload(i))).collect();
    let mut open = |i: usize| {
        let mut packet = packets[i].clone();
        pcscf.open(LocalPort::Server, &mut packet).map(|range| packet[range].len())
    };
    assert_eq!(open(3), Ok(3));
    assert_eq!(open(0), Ok(0));
    assert_eq!(open(3), Err(OpenError::ReplayDuplicate { got: 4 }));
    assert_eq!(open(199), Ok(199));
    assert_eq!(open(72), Ok(72), "127 back");
    assert_eq!(open(71), Err(OpenError::ReplayTooOld { highest: 200, got: 72 }));
    assert_eq!(open(72), Err(OpenError::ReplayDuplicate { got: 73 }));
}

#[test]
fn other_keys_open_nothing() {
    let p = parameters(Suite::ALL[0], Mode::Transport, false);
    let mut ue = SaSet::for_ue(&p, &CK, &IK);
    let mut pcscf = SaSet::for_pcscf(&p, &CK, b"another IK of 16");
    let mut packet = sealed(&mut ue, LocalPort::Client, b"SUBSCRIBE");
    let opened = pcscf.open(LocalPort::Server, &mut packet);
    assert_eq!(opened, Err(OpenError::IntegrityFailed));
}

/// The text of a good tunnel packet with one byte changed by `edit`, under a right ICV.
fn open_edited(
    mode: Mode,
    ipv6: bool,
    edit: impl Fn(&mut Vec<u8>),
) -> Result<Range<usize>, OpenError> {
    let suite = Suite::new(IntegrityAlgorithm::HmacSha1_96, EncryptionAlgorithm::Null);
    let (mut ue, mut pcscf) = pair(suite, mode, ipv6);
    let good = sealed(&mut ue, LocalPort::Client, b"REGISTER");
    let mut text = good[8..good.len() - 12].to_vec();
    edit(&mut text);
    let mut packet = forged(&ue, &pcscf, &text);
    pcscf.open(LocalPort::Server, &mut packet)
}

#[test]
fn an_authentic_peer_must_keep_to_its_selectors() {
    use OpenError::SelectorMismatch as Mismatch;
    use Selector::{LocalIp, LocalPort, Protocol, RemoteIp, RemotePort};
    assert!(open_edited(Mode::Transport, false, |_| ()).is_ok());
    for (ipv6, mode, at, expected) in [
        (false, Mode::Transport, 0, Mismatch(RemotePort)),
        (false, Mode::Transport, 3, Mismatch(LocalPort)),
        (false, Mode::Transport, 7, OpenError::InnerChecksum),
        (false, Mode::Transport, 9, OpenError::InnerChecksum),
        (true, Mode::UdpTunnel, 6, Mismatch(Protocol)),
        (true, Mode::UdpTunnel, 8, Mismatch(RemoteIp)),
        (true, Mode::UdpTunnel, 39, Mismatch(LocalIp)),
        (true, Mode::UdpTunnel, 41, Mismatch(RemotePort)),
        (true, Mode::UdpTunnel, 42, Mismatch(LocalPort)),
        (true, Mode::UdpTunnel, 50, OpenError::InnerChecksum),
    ] {
        let opened = open_edited(mode, ipv6, |text| text[at] ^= 1);
        assert_eq!(opened, Err(expected), "{mode:?}, IPv6 {ipv6}, byte {at}");
    }
    // IPv4's header has a checksum of its own: keep it right, so that the selector is what fails.
    for (at, checksum_at, expected) in
        [(9, 11, Mismatch(Protocol)), (15, 11, Mismatch(RemoteIp)), (19, 11, Mismatch(LocalIp))]
    {
        let opened = open_edited(Mode::UdpTunnel, false, |text| {
            text[at] += 1;
            text[checksum_at] -= 1;
        });
        assert_eq!(opened, Err(expected), "byte {at}");
    }
}

#[test]
fn malformed_inner_headers_are_refused() {
    use InnerHeaderError::{Fragment, Length, Version};
    let tunnel = |edit: fn(&mut Vec<u8>)| match open_edited(Mode::UdpTunnel, false, edit) {
        Err(OpenError::InnerHeader(error)) => error,
        other => panic!("{other:?}"),
    };
    assert_eq!(tunnel(|t| t[0] = 0x65), Version { expected: 4, got: 0x65 });
    assert_eq!(tunnel(|t| t[0] = 0x44), Version { expected: 4, got: 0x44 });
    assert_eq!(tunnel(|t| t[0] = 0x4f), Length { expected: 36, got: 60 });
    assert_eq!(tunnel(|t| t[3] += 1), Length { expected: 36, got: 37 });
    assert_eq!(
        tunnel(|t| {
            t[6] |= 0x20;
            t[10] -= 0x20;
        }),
        Fragment
    );
    assert_eq!(
        open_edited(Mode::UdpTunnel, false, |t| t[8] -= 1),
        Err(OpenError::InnerChecksum),
        "the IPv4 header's own"
    );
    assert_eq!(
        open_edited(Mode::UdpTunnel, true, |t| t[5] += 1),
        Err(OpenError::InnerHeader(Length { expected: 16, got: 17 }))
    );
    assert_eq!(
        open_edited(Mode::UdpTunnel, true, |t| t[0] = 0x45),
        Err(OpenError::InnerHeader(Version { expected: 6, got: 0x45 }))
    );
    let udp = |edit: fn(&mut Vec<u8>)| open_edited(Mode::Transport, false, edit);
    assert_eq!(udp(|t| t[5] -= 1), Err(OpenError::InnerHeader(Length { expected: 16, got: 15 })));
    assert_eq!(
        udp(|t| {
            t.clear();
            t.extend([1, 2, 3, 4, 0, 0, 0, 17]);
        }),
        Err(OpenError::InnerHeader(Length { expected: 6, got: 8 }))
    );
    // No checksum: IPv4 may, IPv6 may not.
    assert!(udp(|t| t[6..8].fill(0)).is_ok());
    let ipv6 = open_edited(Mode::Transport, true, |t| t[6..8].fill(0));
    assert_eq!(ipv6, Err(OpenError::InnerChecksum));
}

#[test]
fn a_checksum_that_comes_out_as_zero_is_sent_as_ones() {
    let suite = Suite::new(IntegrityAlgorithm::HmacMd5_96, EncryptionAlgorithm::Null);
    let (mut ue, mut pcscf) = pair(suite, Mode::Transport, false);
    let mut ones = 0;
    // Among all payloads of two bytes, the sum takes each value.
    for payload in 0..=u16::MAX {
        let mut packet = sealed(&mut ue, LocalPort::Client, &payload.to_be_bytes());
        let checksum = [packet[8 + 6], packet[8 + 7]];
        assert_ne!(checksum, [0; 2], "payload {payload}");
        ones += u32::from(checksum == [0xff; 2]);
        pcscf.open(LocalPort::Server, &mut packet).unwrap();
    }
    assert!(ones > 0);
}

#[test]
fn the_trailer_is_checked() {
    let edit_end = |back: usize, value: u8| {
        open_edited(Mode::Transport, false, |text| {
            let at = text.len() - back;
            text[at] = value;
        })
    };
    // UDP 16 bytes, padding 1, 2, pad length, next header.
    assert_eq!(edit_end(1, 4), Err(OpenError::NextHeader { expected: 17, got: 4 }));
    assert_eq!(edit_end(1, 59), Err(OpenError::NextHeader { expected: 17, got: 59 }));
    assert_eq!(edit_end(2, 255), Err(OpenError::Padding { got_len: 255 }));
    assert_eq!(edit_end(2, 19), Err(OpenError::Padding { got_len: 19 }));
    assert_eq!(edit_end(3, 3), Err(OpenError::Padding { got_len: 2 }));
    // The longest padding that there is.
    let padded = open_edited(Mode::Transport, false, |text| {
        text.truncate(16);
        text.extend(1..=255);
        text.extend([255, 17]);
    });
    assert_eq!(padded, Ok(16..24));
}

#[test]
fn what_cannot_be_sealed_spends_no_sequence_number() {
    let (mut ue, _) = pair(Suite::ALL[0], Mode::UdpTunnel, true);
    let mut buffer = vec![0; 70_000];
    let too_long = ue.seal(LocalPort::Client, &mut buffer, HEADROOM, PAYLOAD_LEN_MAX + 1, 0);
    assert_eq!(too_long, Err(SealError::TooLong { got_len: PAYLOAD_LEN_MAX + 1 }));
    assert_eq!(ue.outbound(LocalPort::Client).sequence(), 0);
    let longest = ue.seal(LocalPort::Client, &mut buffer, HEADROOM, PAYLOAD_LEN_MAX, 0).unwrap();
    assert!(longest.len() <= 65_535 - 20 - 8);

    let mut p = parameters(Suite::ALL[0], Mode::Transport, false);
    p.pcscf_ip = "2001:db8::1".parse().unwrap();
    let mixed = SaSet::for_ue(&p, &CK, &IK).seal(LocalPort::Client, &mut buffer, HEADROOM, 5, 0);
    assert_eq!(mixed, Err(SealError::AddressFamilies));
}

#[test]
fn what_came_to_port_4500_is_told_apart() {
    assert_eq!(classify(&[0xff]), Datagram::KeepAlive);
    assert_eq!(classify(&[0, 0, 0, 0, 1, 2, 3]), Datagram::NonEsp);
    assert_eq!(classify(&[]), Datagram::NonEsp);
    assert_eq!(classify(&[0xff, 0xff]), Datagram::NonEsp);
    assert_eq!(classify(&[0xff, 0, 0, 1]), Datagram::Esp(0xff00_0001));
    assert_eq!(spi(&[1, 2, 3]), None);
}

proptest! {
    #[test]
    fn whatever_comes_opening_never_panics(
        mut packet in proptest::collection::vec(any::<u8>(), 0..200),
        suite in 0..4usize,
        tunnel: bool,
        ipv6: bool,
    ) {
        let (_, mut pcscf) = pair(Suite::ALL[suite], MODES[usize::from(tunnel)], ipv6);
        prop_assert!(pcscf.open(LocalPort::Server, &mut packet).is_err());
        prop_assert_ne!(classify(&packet), Datagram::Esp(0));
    }

    #[test]
    fn whatever_an_authentic_peer_sends_opening_never_panics(
        mut text in proptest::collection::vec(any::<u8>(), 2..200),
        next_header in prop::sample::select(vec![17u8, 4, 41, 59]),
        pad_len in 0u8..4,
        suite in 0..4usize,
        tunnel: bool,
        ipv6: bool,
    ) {
        let (ue, mut pcscf) = pair(Suite::ALL[suite], MODES[usize::from(tunnel)], ipv6);
        let end = text.len().next_multiple_of(16);
        text.resize(end, 0);
        text[end - 2 - usize::from(pad_len)..].copy_from_slice(&[1, 2, 3, 4, 5][..2 + usize::from(pad_len)]);
        text[end - 2] = pad_len;
        text[end - 1] = next_header;
        let first = text[0];
        text[0] = if first & 1 == 0 { 0x45 } else { 0x60 };
        let mut packet = forged(&ue, &pcscf, &text);
        prop_assert!(pcscf.open(LocalPort::Server, &mut packet).is_err());
        prop_assert_eq!(pcscf.inbound(LocalPort::Server).highest_sequence(), 1);
    }

    #[test]
    fn any_payload_comes_back(
        payload in proptest::collection::vec(any::<u8>(), 0..2000),
        suite in 0..4usize,
        tunnel: bool,
        ipv6: bool,
    ) {
        let (mut ue, mut pcscf) = pair(Suite::ALL[suite], MODES[usize::from(tunnel)], ipv6);
        let mut packet = sealed(&mut ue, LocalPort::Client, &payload);
        let range = pcscf.open(LocalPort::Server, &mut packet).unwrap();
        prop_assert_eq!(&packet[range], payload);
    }
}
