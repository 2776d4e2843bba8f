//! What every proxy does with a message, whatever its role (RFC 3261 clause 16).

use std::net::{IpAddr, SocketAddr};

use imstorm_sip::header::HeaderName;
use imstorm_sip::{Message, Room, Via, Writer};

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
    let via = Via::parse(response.list(HeaderName::Via).nth(1)?).ok()?;
    sent_by(&via)
}

/// Writes a response of our own in the place of another's, or to a request that we sent on: `message` is either, with our Via
/// on top, which is left out.
pub fn respond_upstream(message: &Message<'_>, status: u16, out: Room<'_>) -> Option<usize> {
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

/// Writes the value of the topmost Via of a request that came from `source`: with `received` where sent-by is another address, and
/// `rport` filled in where the sender asks for it (RFC 3261 clause 18.2.1, RFC 3581 clause 4). What the sender itself says of
/// `received` is dropped.
pub fn write_via_with_source(value: &[u8], source: SocketAddr, out: &mut Writer<'_>) {
    let via = Via::parse(value).ok();
    let asks = via.as_ref().is_some_and(|via| via.rport.is_some());
    let differs = via.as_ref().and_then(sent_by).is_none_or(|named| named.ip() != source.ip());
    let mut parts = value.split(|byte| *byte == b';');
    out.put(parts.next().unwrap_or_default());
    for part in parts {
        let name = part.split(|byte| *byte == b'=').next().unwrap_or_default().trim_ascii();
        if !name.eq_ignore_ascii_case(b"rport") && !name.eq_ignore_ascii_case(b"received") {
            out.put(b";").put(part);
        }
    }
    if asks {
        out.put(b";rport=").decimal(u64::from(source.port()));
    }
    if asks || differs {
        // Without brackets (RFC 3261 clause 25.1: via-received).
        match source.ip() {
            address @ IpAddr::V4(_) => out.put(b";received=").ip(address),
            IpAddr::V6(address) => out.put(b";received=").text(&address.to_string()),
        };
    }
}

/// Starts a response of our own to a request without protection, whose Via says where it came from.
pub fn response_to_source<'a>(
    request: &Message<'_>,
    status: u16,
    tag: Option<&[u8]>,
    source: SocketAddr,
    out: impl Into<Room<'a>>,
) -> Writer<'a> {
    let mut writer = Writer::new(out);
    writer.status(status);
    for (place, (_, via)) in request.lines(HeaderName::Via).enumerate() {
        writer.header(HeaderName::Via);
        match place {
            0 => write_via_with_source(via, source, &mut writer),
            _ => {
                writer.put(via);
            }
        }
        writer.end();
    }
    writer.copy(request, HeaderName::From);
    let has_tag = matches!(request.tag(HeaderName::To), Ok(Some(_)));
    writer.header(HeaderName::To).put(request.header(HeaderName::To).unwrap_or_default());
    if let (false, Some(tag)) = (has_tag, tag) {
        writer.put(b";tag=").put(tag);
    }
    writer.end();
    writer.copy(request, HeaderName::CallId).copy(request, HeaderName::CSeq);
    writer
}

/// The first option tag of a header that is none of `known` (RFC 3261 clauses 8.2.2.3 and 16.3).
pub fn unknown_option<'b>(
    message: &Message<'b>,
    header: HeaderName,
    known: &[&str],
) -> Option<&'b [u8]> {
    message.list(header).find(|option| {
        !option.is_empty() && !known.iter().any(|name| option.eq_ignore_ascii_case(name.as_bytes()))
    })
}

/// Reads the 16 hex digits of a key.
#[must_use]
pub fn read_hex_u64(text: &[u8]) -> Option<u64> {
    let digits = <&[u8; 16]>::try_from(text).ok()?;
    let mut value = 0;
    let mut all = 0;
    for digit in digits {
        let digit = HEX_VALUE[usize::from(*digit)];
        value = value << 4 | u64::from(digit);
        all |= digit;
    }
    (all <= 15).then_some(value)
}

/// What each byte is worth as a hex digit; 255 where it is none.
static HEX_VALUE: [u8; 256] = {
    let mut values = [u8::MAX; 256];
    let mut value = 0;
    while value < 16 {
        values[b"0123456789abcdef"[value] as usize] = value as u8;
        values[b"0123456789ABCDEF"[value] as usize] = value as u8;
        value += 1;
    }
    values
};
