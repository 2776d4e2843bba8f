//! Addresses as tables keep them: in 20 bytes, where a `SocketAddr` takes 32.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::num::NonZeroU16;

/// An IP address and a port. Of an IPv6 address the flow label is not kept, which is no part of where it leads, and of the
/// scope (the number of a network interface) what fits 16 bits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct PackedAddress {
    /// In the order of the network; an IPv4 address has four bytes and zeros.
    ip: [u8; 16],
    port: u16,
    /// [`IPV4`], or the scope of an IPv6 address and two.
    kind: NonZeroU16,
}

const _: () = assert!(size_of::<PackedAddress>() == 20 && align_of::<PackedAddress>() == 2);
const _: () = assert!(size_of::<Option<PackedAddress>>() == 20);

const IPV4: NonZeroU16 = NonZeroU16::MIN;

impl PackedAddress {
    /// The address.
    #[must_use]
    pub fn get(self) -> SocketAddr {
        if self.kind == IPV4 {
            let [a, b, c, d, ..] = self.ip;
            return SocketAddr::from((Ipv4Addr::new(a, b, c, d), self.port));
        }
        let scope = u32::from(self.kind.get() - 2);
        SocketAddr::V6(SocketAddrV6::new(Ipv6Addr::from(self.ip), self.port, 0, scope))
    }
}

impl From<SocketAddr> for PackedAddress {
    fn from(address: SocketAddr) -> PackedAddress {
        let port = address.port();
        match address {
            SocketAddr::V4(address) => {
                let mut ip = [0; 16];
                ip[..4].copy_from_slice(&address.ip().octets());
                PackedAddress { ip, port, kind: IPV4 }
            }
            SocketAddr::V6(address) => {
                let scope = address.scope_id().min(u32::from(u16::MAX - 2)) as u16;
                let kind = IPV4.saturating_add(1 + scope);
                PackedAddress { ip: address.ip().octets(), port, kind }
            }
        }
    }
}

impl fmt::Debug for PackedAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.get().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_come_back() {
        for text in [
            "0.0.0.0:0",
            "127.64.3.255:65535",
            "[::]:0",
            "[::7f40:3ff]:65535",
            "[2001:db8::1]:5060",
            "[fe80::1%7]:5062",
            "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff%65533]:1",
        ] {
            let address: SocketAddr = text.parse().unwrap();
            assert_eq!(PackedAddress::from(address).get(), address);
            assert_eq!(format!("{:?}", PackedAddress::from(address)), text);
        }
    }
}
