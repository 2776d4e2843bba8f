//! ESP packets (RFC 4303), sealed and opened in place.

use crate::inner::{self, InnerHeaderError, PROTOCOL_UDP, Selector, UDP_HEADER_LEN};
use crate::lanes::Lanes;
use crate::replay::ReplayError;
use crate::sa::{Inbound, Outbound, Selectors};
use crate::transform::{BLOCK_LEN, ICV_LEN, TransformState, iv_block};
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

/// SPI and sequence number.
pub(crate) const HEADER_LEN: usize = 8;
/// Pad length and next header.
const TRAILER_LEN: usize = 2;
/// The monotonic padding of RFC 4303 2.4.
const PADDING: [u8; 15] = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];

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

/// Seals the payload that the caller wrote at `payload` of `buffer` into the next packet of
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
    selectors: &Selectors,
    mode: Mode,
    buffer: &mut [u8],
    payload: Range<usize>,
    iv_seed: u64,
) -> Result<Range<usize>, SealError> {
    let written =
        write_packet(Lanes::PORTABLE, state, sa, selectors, mode, buffer, payload, iv_seed)?;
    let (start, icv_start) = (written.start, written.icv_start);
    state.encrypt(written.iv_block, &mut buffer[start + HEADER_LEN..icv_start]);
    let icv = state.icv(&buffer[start..icv_start]);
    let end = icv_start + ICV_LEN;
    buffer[icv_start..end].copy_from_slice(&icv);
    Ok(start..end)
}

/// A packet that is written, and yet to be encrypted and signed.
pub(crate) struct Written {
    /// Where in the buffer it starts.
    pub start: usize,
    /// Where its ICV belongs.
    pub icv_start: usize,
    /// What its IV is the encryption of.
    pub iv_block: [u8; BLOCK_LEN],
}

/// Writes all of the next packet of `sa` around the payload except IV and ICV. As [`seal`].
pub(crate) fn write_packet(
    lanes: Lanes,
    state: &TransformState,
    sa: &mut Outbound,
    selectors: &Selectors,
    mode: Mode,
    buffer: &mut [u8],
    payload: Range<usize>,
    iv_seed: u64,
) -> Result<Written, SealError> {
    let (payload_offset, payload_end, payload_len) = (payload.start, payload.end, payload.len());
    assert!(payload_offset >= HEADROOM, "headroom: {payload_offset} bytes");
    assert!(buffer.len().saturating_sub(payload_end) >= TAILROOM, "no tailroom");
    if payload_len > PAYLOAD_LEN_MAX {
        return Err(SealError::TooLong { got_len: payload_len });
    }
    let ip_header_len = inner::ip_header_len(selectors).ok_or(SealError::AddressFamilies)?;
    let sequence = sa.next_sequence().ok_or(SealError::SequenceExhausted)?;

    let udp_start = payload_offset - UDP_HEADER_LEN;
    inner::write_udp(lanes, selectors, &mut buffer[udp_start..payload_end]);
    let (inner_start, next_header) = match mode {
        Mode::Transport => (udp_start, PROTOCOL_UDP),
        Mode::UdpTunnel => {
            let ip_start = udp_start - ip_header_len;
            inner::write_ip(selectors, &mut buffer[ip_start..payload_end]);
            (ip_start, inner::ip_protocol(selectors))
        }
    };

    let unpadded_len = payload_end - inner_start + TRAILER_LEN;
    let pad_len = unpadded_len.next_multiple_of(state.alignment()) - unpadded_len;
    let icv_start = payload_end + pad_len + TRAILER_LEN;
    let trailer = &mut buffer[payload_end..icv_start];
    trailer[..pad_len].copy_from_slice(&PADDING[..pad_len]);
    trailer[pad_len] = pad_len as u8;
    trailer[pad_len + 1] = next_header;

    let text_start = inner_start - state.iv_len();
    let start = text_start - HEADER_LEN;
    buffer[start..start + 4].copy_from_slice(&sa.spi().to_be_bytes());
    buffer[start + 4..text_start].copy_from_slice(&sequence.to_be_bytes());
    Ok(Written { start, icv_start, iv_block: iv_block(sa.spi(), sequence, iv_seed) })
}

/// Opens `packet`, which starts with the SPI, in place, and returns the range of its payload.
///
/// In [`Mode::Transport`] the outer IP addresses are not in `packet`: the UDP checksum covers
/// them as the selectors have them, and the caller compares what its socket says with
/// them.
///
/// # Errors
/// [`OpenError`]: the packet is to be dropped and counted. The replay window has moved if and only
/// if the ICV was right.
pub fn open(
    state: &TransformState,
    sa: &mut Inbound,
    selectors: &Selectors,
    mode: Mode,
    packet: &mut [u8],
) -> Result<Range<usize>, OpenError> {
    let (sequence, text_end) = check(state, sa, packet)?;
    let (authenticated, icv) = packet.split_at(text_end);
    if !state.verify(authenticated, icv) {
        return Err(OpenError::IntegrityFailed);
    }
    sa.window.update(sequence)?;
    state.decrypt(&mut packet[HEADER_LEN..text_end]);
    open_checked(Lanes::PORTABLE, state, selectors, mode, packet, text_end)
}

/// Checks lengths, SPI and sequence number, and returns the latter and where the ICV is.
pub(crate) fn check(
    state: &TransformState,
    sa: &Inbound,
    packet: &[u8],
) -> Result<(u32, usize), OpenError> {
    let text_start = HEADER_LEN + state.iv_len();
    let expected_min_len = text_start + TRAILER_LEN.next_multiple_of(state.alignment()) + ICV_LEN;
    let got_len = packet.len();
    let [i0, i1, i2, i3, s0, s1, s2, s3] = match packet.first_chunk::<HEADER_LEN>() {
        Some(header) if got_len >= expected_min_len => *header,
        _ => {
            return Err(OpenError::Truncated { expected_min_len, got_len });
        }
    };
    let text_end = got_len - ICV_LEN;
    // Null encryption aligns, too, but nothing here depends on it: let the peer be sloppy.
    if state.has_encryption() && !(text_end - text_start).is_multiple_of(BLOCK_LEN) {
        return Err(OpenError::BlockLength { got_len: text_end - text_start });
    }
    let got_spi = u32::from_be_bytes([i0, i1, i2, i3]);
    if got_spi != sa.spi() {
        return Err(OpenError::UnknownTransform { expected_spi: sa.spi(), got_spi });
    }
    let sequence = u32::from_be_bytes([s0, s1, s2, s3]);
    sa.window.check(sequence)?;
    Ok((sequence, text_end))
}

/// What is left of opening an authentic packet that is decrypted: trailer and inner headers.
pub(crate) fn open_checked(
    lanes: Lanes,
    state: &TransformState,
    selectors: &Selectors,
    mode: Mode,
    packet: &[u8],
    text_end: usize,
) -> Result<Range<usize>, OpenError> {
    let inner_start = HEADER_LEN + state.iv_len();
    let text = &packet[inner_start..text_end];
    let (text, next_header) = remove_trailer(text)?;
    let expected = match mode {
        Mode::Transport => PROTOCOL_UDP,
        Mode::UdpTunnel => inner::ip_protocol(selectors),
    };
    if next_header != expected {
        return Err(OpenError::NextHeader { expected, got: next_header });
    }
    // Bytes behind the datagram (RFC 4303 2.7) are refused: nobody negotiates them here.
    let udp = match mode {
        Mode::Transport => 0..text.len(),
        Mode::UdpTunnel => inner::check_ip(selectors, text)?,
    };
    inner::check_udp(lanes, selectors, &text[udp.clone()])?;
    Ok(inner_start + udp.start + UDP_HEADER_LEN..inner_start + udp.end)
}

/// Takes padding, pad length and next header off a decrypted text.
fn remove_trailer(text: &[u8]) -> Result<(&[u8], u8), OpenError> {
    let Some((padded, &[pad_len, next_header])) = text.split_last_chunk::<TRAILER_LEN>() else {
        unreachable!("the length was checked");
    };
    let error = OpenError::Padding { got_len: pad_len };
    let padding_start = padded.len().checked_sub(usize::from(pad_len)).ok_or(error)?;
    let (text, padding) = padded.split_at(padding_start);
    if padding.iter().zip(1..=u8::MAX).any(|(got, expected)| *got != expected) {
        return Err(error);
    }
    Ok((text, next_header))
}

impl From<ReplayError> for OpenError {
    fn from(error: ReplayError) -> Self {
        match error {
            ReplayError::Duplicate { got } => Self::ReplayDuplicate { got },
            ReplayError::TooOld { highest, got } => Self::ReplayTooOld { highest, got },
        }
    }
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
