//! What goes beside a datagram through `recvmsg` and `sendmsg`: socket addresses and control
//! messages, read and written as bytes, so that no pointer arithmetic is needed.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

/// Bytes reserved for a socket address: a `sockaddr_in6` has 28.
pub(crate) const NAME_BYTES: usize = 32;
/// Bytes reserved for control messages: IPV6_PKTINFO takes 40, a timestamp 32, and 8 to spare.
pub(crate) const CONTROL_BYTES: usize = 80;

const SOCKADDR_IN_BYTES: usize = size_of::<libc::sockaddr_in>();
const SOCKADDR_IN6_BYTES: usize = size_of::<libc::sockaddr_in6>();
const CMSGHDR_BYTES: usize = size_of::<libc::cmsghdr>();
const WORD: usize = size_of::<usize>();
const _: () = assert!(SOCKADDR_IN_BYTES == 16 && SOCKADDR_IN6_BYTES <= NAME_BYTES);
const _: () = assert!(CMSGHDR_BYTES == WORD + 8 && WORD == 8);
/// What is sent has a source and the length of segments.
const _: () =
    assert!(2 * CMSGHDR_BYTES + size_of::<libc::in6_pktinfo>() + 4 + WORD <= CONTROL_BYTES);
const _: () = assert!(
    2 * CMSGHDR_BYTES + size_of::<libc::in6_pktinfo>() + 4 + size_of::<libc::timespec>()
        <= CONTROL_BYTES
);

/// What the control messages of a received datagram said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Control {
    /// The datagram's destination.
    pub(crate) local: Option<IpAddr>,
    /// When the kernel had it: CLOCK_REALTIME, nanoseconds.
    pub(crate) wall_ns: Option<u64>,
}

/// Writes `address` as a `sockaddr_in` or `sockaddr_in6`; gives its length.
pub(crate) fn write_name(address: SocketAddr, name: &mut [u8; NAME_BYTES]) -> usize {
    match address {
        SocketAddr::V4(v4) => {
            name[..2].copy_from_slice(&(libc::AF_INET as u16).to_ne_bytes());
            name[2..4].copy_from_slice(&v4.port().to_be_bytes());
            name[4..8].copy_from_slice(&v4.ip().octets());
            name[8..16].fill(0);
            SOCKADDR_IN_BYTES
        }
        SocketAddr::V6(v6) => {
            name[..2].copy_from_slice(&(libc::AF_INET6 as u16).to_ne_bytes());
            name[2..4].copy_from_slice(&v6.port().to_be_bytes());
            name[4..8].copy_from_slice(&v6.flowinfo().to_be_bytes());
            name[8..24].copy_from_slice(&v6.ip().octets());
            name[24..28].copy_from_slice(&v6.scope_id().to_ne_bytes());
            SOCKADDR_IN6_BYTES
        }
    }
}

/// Reads what the kernel wrote as a peer's address; `None` for any other family.
pub(crate) fn read_name(name: &[u8]) -> Option<SocketAddr> {
    let family = i32::from(u16::from_ne_bytes(array(name, 0)?));
    let port = u16::from_be_bytes(array(name, 2)?);
    match family {
        libc::AF_INET => {
            let ip = Ipv4Addr::from(array::<4>(name, 4)?);
            Some(SocketAddr::V4(SocketAddrV4::new(ip, port)))
        }
        libc::AF_INET6 => {
            let flow = u32::from_be_bytes(array(name, 4)?);
            let ip = Ipv6Addr::from(array::<16>(name, 8)?);
            let scope = u32::from_ne_bytes(array(name, 24)?);
            Some(SocketAddr::V6(SocketAddrV6::new(ip, port, flow, scope)))
        }
        _ => None,
    }
}

/// Writes the control message that sets a datagram's source address; gives its length.
pub(crate) fn write_source(source: IpAddr, control: &mut [u8; CONTROL_BYTES]) -> usize {
    let (level, kind, bytes) = match source {
        IpAddr::V4(v4) => {
            // struct in_pktinfo: interface, ipi_spec_dst (the source on output), ipi_addr.
            control[CMSGHDR_BYTES..][..4].fill(0);
            control[CMSGHDR_BYTES + 4..][..4].copy_from_slice(&v4.octets());
            control[CMSGHDR_BYTES + 8..][..4].fill(0);
            (libc::IPPROTO_IP, libc::IP_PKTINFO, size_of::<libc::in_pktinfo>())
        }
        IpAddr::V6(v6) => {
            // struct in6_pktinfo: address, interface.
            control[CMSGHDR_BYTES..][..16].copy_from_slice(&v6.octets());
            control[CMSGHDR_BYTES + 16..][..4].fill(0);
            (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, size_of::<libc::in6_pktinfo>())
        }
    };
    control[..WORD].copy_from_slice(&(CMSGHDR_BYTES + bytes).to_ne_bytes());
    control[WORD..WORD + 4].copy_from_slice(&level.to_ne_bytes());
    control[WORD + 4..WORD + 8].copy_from_slice(&kind.to_ne_bytes());
    (CMSGHDR_BYTES + bytes).next_multiple_of(WORD)
}

/// Writes the control message that has a datagram leave as several, all but the last of this length; gives its own length.
pub(crate) fn write_segment(bytes: usize, control: &mut [u8]) -> usize {
    let len = CMSGHDR_BYTES + size_of::<u16>();
    control[..WORD].copy_from_slice(&len.to_ne_bytes());
    control[WORD..WORD + 4].copy_from_slice(&libc::SOL_UDP.to_ne_bytes());
    control[WORD + 4..WORD + 8].copy_from_slice(&libc::UDP_SEGMENT.to_ne_bytes());
    let bytes = u16::try_from(bytes).unwrap_or(u16::MAX);
    control[CMSGHDR_BYTES..len].copy_from_slice(&bytes.to_ne_bytes());
    len.next_multiple_of(WORD)
}

/// Reads the control messages of a received datagram; what isn't known or is cut off is skipped.
pub(crate) fn read_control(mut control: &[u8]) -> Control {
    let mut out = Control::default();
    while let (Some(len), Some(level), Some(kind)) = (
        array(control, 0).map(usize::from_ne_bytes),
        array(control, WORD).map(i32::from_ne_bytes),
        array(control, WORD + 4).map(i32::from_ne_bytes),
    ) {
        let Some(data) = control.get(CMSGHDR_BYTES..len) else { break };
        match (level, kind) {
            // ipi_addr: the destination in the datagram's header.
            (libc::IPPROTO_IP, libc::IP_PKTINFO) => {
                out.local = array::<4>(data, 8).map(|ip| IpAddr::V4(ip.into())).or(out.local);
            }
            (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => {
                out.local = array::<16>(data, 0).map(|ip| IpAddr::V6(ip.into())).or(out.local);
            }
            (libc::SOL_SOCKET, libc::SCM_TIMESTAMPNS) => {
                if let (Some(seconds), Some(rest)) = (array(data, 0), array(data, 8)) {
                    let seconds = u64::from_ne_bytes(seconds);
                    let rest = u64::from_ne_bytes(rest);
                    out.wall_ns = Some(seconds.wrapping_mul(1_000_000_000).wrapping_add(rest));
                }
            }
            _ => {}
        }
        control = control.get(len.next_multiple_of(WORD)..).unwrap_or(&[]);
    }
    out
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk().copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_round_trip() {
        for text in ["127.0.0.1:5060", "[::1]:4500", "255.255.255.255:65535", "[fe80::1%7]:1"] {
            let address: SocketAddr = text.parse().unwrap();
            let mut name = [0xaa; NAME_BYTES];
            let len = write_name(address, &mut name);
            assert_eq!(read_name(&name[..len]), Some(address));
            assert_eq!(read_name(&name[..7]), None, "{text} cut off");
        }
        assert_eq!(read_name(&[]), None);
        assert_eq!(read_name(&[0xff; NAME_BYTES]), None);
    }

    #[test]
    fn sources_are_written_as_the_kernel_reads_them() {
        let mut control = [0xaa; CONTROL_BYTES];
        let len = write_source("::1".parse().unwrap(), &mut control);
        assert_eq!(len, 40);
        assert_eq!(read_control(&control[..len]).local, Some("::1".parse().unwrap()));
        let len = write_source("127.9.8.7".parse().unwrap(), &mut control);
        assert_eq!((len, &control[20..24]), (32, &[127, 9, 8, 7][..]));
    }

    #[test]
    fn control_of_ones_says_nothing() {
        assert_eq!(read_control(&[0xff; CONTROL_BYTES]), Control::default());
    }

    proptest! {
        #[test]
        fn any_address_round_trips(ip: IpAddr, port: u16) {
            let mut name = [0xaa; NAME_BYTES];
            let len = write_name(SocketAddr::new(ip, port), &mut name);
            prop_assert_eq!(read_name(&name[..len]), Some(SocketAddr::new(ip, port)));
        }

        /// Small numbers, since they make lengths and kinds that are nearly right.
        #[test]
        fn any_bytes_are_read_without_panic(
            words in proptest::collection::vec(0u64..64, 0..12),
            kinds in proptest::collection::vec(0usize..12, 0..4),
            cut in 0usize..96,
        ) {
            let mut bytes: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
            for at in kinds.into_iter().filter(|at| at * 8 + 8 <= words.len() * 8) {
                let kind = [libc::IPPROTO_IP.to_ne_bytes(), libc::IP_PKTINFO.to_ne_bytes()];
                bytes[at * 8..at * 8 + 8].copy_from_slice(kind.as_flattened());
            }
            bytes.truncate(cut);
            let control = read_control(&bytes);
            prop_assert!(control.wall_ns.is_none() || bytes.len() >= 32);
            prop_assert!(control.local.is_none() || bytes.len() >= 28);
            let _ = read_name(&bytes);
        }
    }
}
