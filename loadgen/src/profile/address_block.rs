//! A block of addresses, one for each UE.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use serde::Deserialize;

/// A block of addresses: an IPv4 or IPv6 prefix. The first address and the last are left out where
/// the block has more than two, since they may be the network's own and its broadcast.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct AddressBlock {
    /// The first address; its host bits are 0.
    pub network: IpAddr,
    /// The prefix length in bits, up to 32 or 128.
    pub prefix_len: u8,
}

impl AddressBlock {
    /// How many UEs find an address in the block.
    #[must_use]
    pub const fn capacity(&self) -> u64 {
        let host_bits = self.host_bits();
        if host_bits >= 64 {
            u64::MAX
        } else if host_bits >= 2 {
            (1 << host_bits) - 2
        } else {
            1 << host_bits
        }
    }

    /// The address of a UE, counted from 0; nothing beyond [`AddressBlock::capacity`].
    #[must_use]
    pub fn address(&self, ue: u64) -> Option<IpAddr> {
        if ue >= self.capacity() {
            return None;
        }
        let offset = u128::from(ue) + self.first_offset();
        Some(match self.network {
            IpAddr::V4(network) => {
                let offset = u32::try_from(offset).expect("the capacity of an IPv4 block is less");
                Ipv4Addr::from_bits(network.to_bits() + offset).into()
            }
            IpAddr::V6(network) => Ipv6Addr::from_bits(network.to_bits() + offset).into(),
        })
    }

    /// The UE that has an address: the inverse of [`AddressBlock::address`].
    #[must_use]
    pub fn ue(&self, address: IpAddr) -> Option<u64> {
        let offset = match (self.network, address) {
            (IpAddr::V4(network), IpAddr::V4(address)) => {
                u128::from(address.to_bits().checked_sub(network.to_bits())?)
            }
            (IpAddr::V6(network), IpAddr::V6(address)) => {
                address.to_bits().checked_sub(network.to_bits())?
            }
            _ => return None,
        };
        let ue = u64::try_from(offset.checked_sub(self.first_offset())?).ok()?;
        (ue < self.capacity()).then_some(ue)
    }

    const fn host_bits(&self) -> u32 {
        let bits = if self.network.is_ipv4() { 32 } else { 128 };
        bits - self.prefix_len as u32
    }

    fn first_offset(&self) -> u128 {
        u128::from(self.host_bits() >= 2)
    }
}

impl Default for AddressBlock {
    /// A sixteenth of the loopback network, away from 127.0.0.1: a million UEs.
    fn default() -> Self {
        Self { network: Ipv4Addr::new(127, 16, 0, 0).into(), prefix_len: 12 }
    }
}

impl fmt::Display for AddressBlock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.network, self.prefix_len)
    }
}

/// Why a text is no block of addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AddressBlockError {
    /// It is not `ADDRESS/LENGTH`.
    Syntax(String),
    /// The prefix is longer than the address.
    PrefixLen {
        /// The longest: 32 or 128.
        longest: u8,
        /// What was given.
        got: u8,
    },
    /// Bits behind the prefix are set.
    HostBits {
        /// The block that was perhaps meant.
        network: AddressBlock,
        /// What was given.
        got: String,
    },
}

impl fmt::Display for AddressBlockError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Syntax(got) => {
                write!(f, "expected a prefix such as `127.16.0.0/12` or `fd00::/64`, got `{got}`")
            }
            Self::PrefixLen { longest, got } => {
                write!(f, "expected a prefix length up to {longest}, got {got}")
            }
            Self::HostBits { network, got } => {
                write!(f, "expected zeros behind the prefix, as in `{network}`, got `{got}`")
            }
        }
    }
}

impl std::error::Error for AddressBlockError {}

impl FromStr for AddressBlock {
    type Err = AddressBlockError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let syntax = || AddressBlockError::Syntax(text.to_owned());
        let (address, prefix_len) = text.split_once('/').ok_or_else(syntax)?;
        let address: IpAddr = address.parse().map_err(|_| syntax())?;
        let prefix_len: u8 = prefix_len.parse().map_err(|_| syntax())?;
        let longest = if address.is_ipv4() { 32 } else { 128 };
        if prefix_len > longest {
            return Err(AddressBlockError::PrefixLen { longest, got: prefix_len });
        }
        let host_bits = u32::from(longest - prefix_len);
        let network = match address {
            IpAddr::V4(address) => {
                let mask = u32::MAX.checked_shl(host_bits).unwrap_or(0);
                IpAddr::from(Ipv4Addr::from_bits(address.to_bits() & mask))
            }
            IpAddr::V6(address) => {
                let mask = u128::MAX.checked_shl(host_bits).unwrap_or(0);
                IpAddr::from(Ipv6Addr::from_bits(address.to_bits() & mask))
            }
        };
        let block = Self { network, prefix_len };
        if network != address {
            return Err(AddressBlockError::HostBits { network: block, got: text.to_owned() });
        }
        Ok(block)
    }
}

impl TryFrom<String> for AddressBlock {
    type Error = AddressBlockError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}
