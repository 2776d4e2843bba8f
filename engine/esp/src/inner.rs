//! What ESP protects: a UDP datagram, in tunnel mode with its own IP header.

use core::fmt;

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
