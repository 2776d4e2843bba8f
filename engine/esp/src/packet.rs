//! ESP packets (RFC 4303), sealed and opened in place.

use crate::inner::{InnerHeaderError, Selector};
use crate::sa::{Inbound, Outbound};
use crate::transform::TransformState;
use core::fmt;
use core::ops::Range;

/// The bytes that the caller leaves free in front of the payload: ESP header (8), IV (16), inner
/// IPv6 header (40), UDP header (8).
pub const HEADROOM: usize = 8 + 16 + 40 + 8;

/// The bytes that the caller leaves free behind the payload: padding to an AES block (15), pad
/// length and next header (2), ICV (12).
pub const TAILROOM: usize = 15 + 2 + 12;

/// The longest payload that can be sealed, in bytes: a datagram of 65,535 bytes less an outer IPv4
/// header, an outer UDP header, and what is written around the payload. It holds in all modes.
pub const PAYLOAD_LEN_MAX: usize = 65_535 - 20 - 8 - HEADROOM - TAILROOM;

/// How the protected datagram is wrapped: RFC 3329's `mod`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Mode {
    /// `trans`: ESP is IP protocol 50 and protects the UDP datagram.
    #[default]
    Transport,
    /// `UDP-enc-tun`: ESP is in UDP port 4500 (RFC 3948) and protects an IP packet (TS 33.203
    /// annex M).
    UdpTunnel,
}

/// The one place where the modes' names stand (TS 33.203 annex H).
const MODE_NAMES: [(Mode, &str); 2] =
    [(Mode::Transport, "trans"), (Mode::UdpTunnel, "UDP-enc-tun")];

impl Mode {
    /// The name in `mod`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        crate::transform::name_of(&MODE_NAMES, self)
    }

    /// Reads `mod`, in whatever case. Nothing for a mode that this crate doesn't have.
    #[must_use]
    pub fn parse(name: &[u8]) -> Option<Self> {
        crate::transform::by_name(&MODE_NAMES, name)
    }
}

/// Seals the payload that the caller wrote at `payload_offset` of `buffer` into the next packet of
/// `sa`, in place, and returns the packet's range: SPI, sequence number, IV, ciphertext, ICV.
///
/// `iv_seed` is any number; it goes into the IV together with SPI and sequence number.
///
/// # Errors
/// [`SealError`]; no sequence number is spent then.
///
/// # Panics
/// If `buffer` has less than [`HEADROOM`] before or [`TAILROOM`] behind the payload.
pub fn seal(
    state: &TransformState,
    sa: &mut Outbound,
    mode: Mode,
    buffer: &mut [u8],
    payload_offset: usize,
    payload_len: usize,
    iv_seed: u64,
) -> Result<Range<usize>, SealError> {
    let _ = (state, sa, mode, buffer, payload_offset, payload_len, iv_seed);
    unimplemented!()
}

/// Opens `packet`, which starts with the SPI, in place, and returns the range of its payload.
///
/// In [`Mode::Transport`] the outer IP addresses are not in `packet`: the UDP checksum covers
/// them as the selectors have them, and the caller compares what its socket says with
/// [`Inbound::selectors`].
///
/// # Errors
/// [`OpenError`]: the packet is to be dropped and counted. The replay window has moved if and only
/// if the ICV was right.
pub fn open(
    state: &TransformState,
    sa: &mut Inbound,
    mode: Mode,
    packet: &mut [u8],
) -> Result<Range<usize>, OpenError> {
    let _ = (state, sa, mode, packet);
    unimplemented!()
}

/// The SPI of an ESP packet; nothing if it is too short to have one.
#[must_use]
pub fn spi(packet: &[u8]) -> Option<u32> {
    packet.first_chunk().map(|bytes| u32::from_be_bytes(*bytes))
}

/// What came to UDP port 4500 (RFC 3948 clause 2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Datagram {
    /// An ESP packet with this SPI.
    Esp(u32),
    /// A NAT keep-alive: the one byte 0xFF.
    KeepAlive,
    /// Four zero bytes: IKE, or whatever else is not ESP; or too short to be anything.
    NonEsp,
}

/// Tells what came to UDP port 4500 (RFC 3948 clause 2).
#[must_use]
pub fn classify(datagram: &[u8]) -> Datagram {
    match (datagram, spi(datagram)) {
        ([0xff], _) => Datagram::KeepAlive,
        (_, None | Some(0)) => Datagram::NonEsp,
        (_, Some(spi)) => Datagram::Esp(spi),
    }
}

/// Why a payload can't be sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SealError {
    /// The payload is longer than [`PAYLOAD_LEN_MAX`].
    TooLong {
        /// Its length in bytes.
        got_len: usize,
    },
    /// All 2³² − 1 sequence numbers are spent: the association must be replaced.
    SequenceExhausted,
    /// One address of the selectors is IPv4 and the other IPv6.
    AddressFamilies,
}

impl fmt::Display for SealError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong { got_len } => {
                write!(f, "expected a payload of at most {PAYLOAD_LEN_MAX} bytes, got {got_len}")
            }
            Self::SequenceExhausted => f.write_str("all sequence numbers are spent"),
            Self::AddressFamilies => f.write_str("the selectors mix IPv4 and IPv6"),
        }
    }
}

impl core::error::Error for SealError {}

/// Why a packet is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenError {
    /// It is shorter than the transform's headers, trailer and ICV.
    Truncated {
        /// The fewest bytes that a packet has.
        expected_min_len: usize,
        /// Its length in bytes.
        got_len: usize,
    },
    /// Its SPI is not the association's.
    UnknownTransform {
        /// The association's SPI.
        expected_spi: u32,
        /// The packet's SPI.
        got_spi: u32,
    },
    /// Its sequence number came before.
    ReplayDuplicate {
        /// The sequence number.
        got: u32,
    },
    /// Its sequence number is left of the window, or 0.
    ReplayTooOld {
        /// The highest that was received.
        highest: u32,
        /// The sequence number.
        got: u32,
    },
    /// The ICV is not the one computed: forged, damaged, or another key.
    IntegrityFailed,
    /// The ciphertext is not a whole number of cipher blocks.
    BlockLength {
        /// Its length in bytes.
        got_len: usize,
    },
    /// The padding is longer than what it is in, or is not 1, 2, 3, … (RFC 4303 2.4).
    Padding {
        /// The pad length.
        got_len: u8,
    },
    /// The next header is not UDP (transport) or the selectors' IP version (tunnel).
    NextHeader {
        /// 17, 4 or 41.
        expected: u8,
        /// The packet's.
        got: u8,
    },
    /// The inner IP or UDP header is malformed.
    InnerHeader(InnerHeaderError),
    /// The inner headers are not of this association's traffic.
    SelectorMismatch(Selector),
    /// The checksum of the inner IPv4 header, or of the UDP datagram, is wrong.
    InnerChecksum,
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated { expected_min_len, got_len } => {
                write!(f, "expected at least {expected_min_len} bytes, got {got_len}")
            }
            Self::UnknownTransform { expected_spi, got_spi } => {
                write!(f, "expected SPI {expected_spi}, got {got_spi}")
            }
            Self::ReplayDuplicate { got } => write!(f, "sequence number {got} came before"),
            Self::ReplayTooOld { highest, got } => {
                write!(f, "sequence number {got} is too old: {highest} came before")
            }
            Self::IntegrityFailed => f.write_str("the ICV is not the one computed"),
            Self::BlockLength { got_len } => {
                write!(f, "expected a ciphertext of whole blocks, got {got_len} bytes")
            }
            Self::Padding { got_len } => write!(f, "bad padding of {got_len} bytes"),
            Self::NextHeader { expected, got } => {
                write!(f, "expected next header {expected}, got {got}")
            }
            Self::InnerHeader(error) => write!(f, "inner header: {error}"),
            Self::SelectorMismatch(selector) => write!(f, "selector {selector:?} doesn't match"),
            Self::InnerChecksum => f.write_str("an inner checksum is wrong"),
        }
    }
}

impl core::error::Error for OpenError {}
