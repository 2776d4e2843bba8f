//! What every proxy does with a message, whatever its role (RFC 3261 clause 16).

use std::net::SocketAddr;

use imstorm_sip::header::HeaderName;
use imstorm_sip::{Message, Via, Writer};

/// The port of SIP where a Via or URI names none (RFC 3261 clause 19.1.2).
pub const DEFAULT_PORT: u16 = 5060;

/// The address that a Via's sent-by names. Between CSCFs these are literal: nothing is looked up.
#[must_use]
pub fn sent_by(via: &Via<'_>) -> Option<SocketAddr> {
    Some(SocketAddr::new(via.host.ip()?, via.port.unwrap_or(DEFAULT_PORT)))
}

/// Where a response goes on when its topmost Via, ours, is taken off.
#[must_use]
pub fn next_response_hop(response: &Message<'_>) -> Option<SocketAddr> {
    response.vias().nth(1)?.ok().as_ref().and_then(sent_by)
}

/// Writes a response of our own in the place of another's, or to a request that we sent on: `message` is either, with our Via
/// on top, which is left out.
pub fn respond_upstream(message: &Message<'_>, status: u16, out: &mut [u8]) -> Option<usize> {
    let mut writer = Writer::new(out);
    writer.status(status);
    for via in message.list(HeaderName::Via).skip(1) {
        writer.header(HeaderName::Via).put(via).end();
    }
    for name in [HeaderName::From, HeaderName::To, HeaderName::CallId, HeaderName::CSeq] {
        writer.copy(message, name);
    }
    writer.finish().ok()
}

/// Reads the 16 hex digits of a key.
#[must_use]
pub fn read_hex_u64(text: &[u8]) -> Option<u64> {
    let mut value = 0;
    (text.len() == 16).then_some(())?;
    for digit in text {
        value = value << 4 | u64::from(char::from(*digit).to_digit(16)?);
    }
    Some(value)
}
