//! Which socket of a reuseport group gets a datagram: classic BPF programs that the kernel runs on
//! each.
//!
//! A program's result is an index into the group in the order of binding. Closing a member moves
//! the last one into its place, so a group is replaced whole. A result out of range, or a datagram
//! too short for the program, falls to the kernel's hash or to index 0 respectively.

use crate::udp::BoundSocket;
use std::io;
use std::net::IpAddr;
use std::os::fd::AsFd;
use std::os::fd::AsRawFd;

/// A program for `attach`.
#[derive(Clone, Debug)]
pub struct Program {
    instructions: Vec<libc::sock_filter>,
}

/// By the SPI of an ESP datagram (RFC 3948: the payload's first 32-bit word), modulo `shards`
/// (above 0, asserted). Datagrams of less than four bytes, such as NAT keep-alives, go to shard 0.
#[must_use]
pub fn by_spi(shards: u32) -> Program {
    assert!(shards > 0, "nobody to steer to");
    // In a reuseport program offset 0 is the UDP payload; a load beyond its end ends with 0.
    Program { instructions: vec![load_word(0), modulo(shards), RETURN_A] }
}

/// By the last 32 bits of the destination address, modulo `shards` (above 0, asserted).
#[must_use]
pub fn by_destination_address(shards: u32) -> Program {
    assert!(shards > 0, "nobody to steer to");
    let instructions = vec![
        statement(libc::BPF_LD | libc::BPF_B | libc::BPF_ABS, NETWORK_OFFSET),
        statement(libc::BPF_ALU | libc::BPF_RSH | libc::BPF_K, 4),
        jump_unless_equal(4, 3),
        load_word(NETWORK_OFFSET + IPV4_DESTINATION),
        modulo(shards),
        RETURN_A,
        load_word(NETWORK_OFFSET + IPV6_DESTINATION_LAST_WORD),
        modulo(shards),
        RETURN_A,
    ];
    Program { instructions }
}

/// The shard to which `by_spi(shards)` steers.
#[must_use]
pub fn shard_of_spi(spi: u32, shards: u32) -> u32 {
    spi % shards
}

/// The shard to which `by_destination_address(shards)` steers.
#[must_use]
pub fn shard_of_address(address: IpAddr, shards: u32) -> u32 {
    let word = match address {
        IpAddr::V4(v4) => v4.to_bits(),
        IpAddr::V6(v6) => v6.to_bits() as u32,
    };
    word % shards
}

/// Makes `program` steer the reuseport group that `member` belongs to, at once and for all members.
pub fn attach(member: &BoundSocket, program: &Program) -> io::Result<()> {
    let filter = libc::sock_fprog {
        len: program.instructions.len() as u16,
        filter: program.instructions.as_ptr().cast_mut(),
    };
    // SAFETY: `filter` points at `len` instructions, which the kernel copies (it writes nothing)
    // before the call returns; both outlive the call.
    let result = unsafe {
        libc::setsockopt(
            member.as_fd().as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_ATTACH_REUSEPORT_CBPF,
            (&raw const filter).cast(),
            size_of::<libc::sock_fprog>() as libc::socklen_t,
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// SKF_NET_OFF: loads from here on are of the IP header.
const NETWORK_OFFSET: u32 = -0x10_0000_i32 as u32;
const IPV4_DESTINATION: u32 = 16;
const IPV6_DESTINATION_LAST_WORD: u32 = 24 + 12;
const RETURN_A: libc::sock_filter = statement(libc::BPF_RET | libc::BPF_A, 0);

const fn load_word(offset: u32) -> libc::sock_filter {
    statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, offset)
}

const fn modulo(n: u32) -> libc::sock_filter {
    statement(libc::BPF_ALU | libc::BPF_MOD | libc::BPF_K, n)
}

const fn jump_unless_equal(value: u32, ahead: u8) -> libc::sock_filter {
    let code = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
    libc::sock_filter { code, jt: 0, jf: ahead, k: value }
}

const fn statement(code: u32, k: u32) -> libc::sock_filter {
    libc::sock_filter { code: code as u16, jt: 0, jf: 0, k }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::udp::{SocketSpec, open};
    use imstorm_base::SocketId;
    use std::net::{SocketAddr, UdpSocket};

    const SHARDS: u32 = 3;

    fn group(ip: &str) -> Vec<BoundSocket> {
        let spec = |shard: u32, port| SocketSpec {
            id: SocketId(shard as u8),
            bind: SocketAddr::new(ip.parse().unwrap(), port),
            reuse_port: true,
            receive_buffer_bytes: 0,
            packet_info: false,
        };
        // The first takes a free port, and the others join it.
        let mut group = open(&[spec(0, 0)]).unwrap();
        let port = group[0].local().port();
        group
            .extend(open(&(1..SHARDS).map(|shard| spec(shard, port)).collect::<Vec<_>>()).unwrap());
        group
    }

    /// Which member has a datagram; loopback delivers within the send.
    fn receiver(group: &[BoundSocket]) -> u32 {
        let mut buffer = [0u8; 64];
        let got: Vec<u32> = (0..SHARDS)
            .filter(|&shard| rustix::io::read(&group[shard as usize], &mut buffer).is_ok())
            .collect();
        assert_eq!(got.len(), 1, "{got:?}");
        got[0]
    }

    #[test]
    fn spis_reach_their_shard() {
        let group = group("127.0.0.1");
        attach(&group[0], &by_spi(SHARDS)).unwrap();
        let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
        for spi in [256u32, 257, 258, 0x8000_0001, u32::MAX, 5, 4] {
            let mut datagram = spi.to_be_bytes().to_vec();
            datagram.extend([7; 40]);
            sender.send_to(&datagram, group[0].local()).unwrap();
            assert_eq!(receiver(&group), shard_of_spi(spi, SHARDS), "SPI {spi}");
        }
        for short in [&[0xffu8][..], &[1, 2, 3], &[]] {
            sender.send_to(short, group[0].local()).unwrap();
            assert_eq!(receiver(&group), 0);
        }
    }

    #[test]
    fn destinations_reach_their_shard() {
        let group = group("0.0.0.0");
        attach(&group[0], &by_destination_address(SHARDS)).unwrap();
        let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
        for last in 1..=9u8 {
            let to: SocketAddr = ([127, 4, 5, last], group[0].local().port()).into();
            sender.send_to(b"x", to).unwrap();
            assert_eq!(receiver(&group), shard_of_address(to.ip(), SHARDS), "{to}");
        }
    }

    #[test]
    fn ipv6_destinations_reach_their_shard() {
        let group = group("::1");
        attach(&group[0], &by_destination_address(SHARDS)).unwrap();
        let sender = UdpSocket::bind("[::1]:0").unwrap();
        sender.send_to(b"x", group[0].local()).unwrap();
        assert_eq!(receiver(&group), shard_of_address(group[0].local().ip(), SHARDS));
    }
}
