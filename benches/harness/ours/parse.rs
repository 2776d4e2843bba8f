//! A SUBSCRIBE read: indexed, typed, and by httparse.

use std::hint::black_box;
use std::net::SocketAddr;

use imstorm_sip::transaction::key::{server_key, server_key_of};
use imstorm_sip::{FieldError, HeaderName, Index, Message, Uri, parse};

use crate::measure;

/// More header lines than the message has.
const HEADERS_MAX: usize = 64;

/// Every header line found, named and checked (tokens, folding, bare CR, NUL, lengths), and what says where the message
/// belongs: the server transaction's key, from branch, sent-by, method and source, and the private identity, whose shard it is.
pub fn index(bytes: &[u8], seconds: f64) -> Result<String, String> {
    let mut index = Index::default();
    let mut once = |bytes: &[u8]| -> Result<(u64, usize), String> {
        let message = parse(bytes, &mut index).map_err(|error| error.to_string())?;
        routing_keys(&message).map_err(|error| error.to_string())
    };
    once(bytes)?;
    Ok(measure::repeat(seconds, 1, || {
        let _ = black_box(once(black_box(bytes)));
    }))
}

fn routing_keys(message: &Message<'_>) -> Result<(u64, usize), FieldError> {
    Ok((server_key(message, source(), black_box(1))?, user(message)?))
}

fn source() -> SocketAddr {
    SocketAddr::from(([10, 20, 30, 40], 40_001))
}

fn user(message: &Message<'_>) -> Result<usize, FieldError> {
    Ok(message.username()?.map_or(0, <[u8]>::len))
}

/// The same, and nine headers taken apart.
pub fn typed(bytes: &[u8], seconds: f64) -> Result<String, String> {
    read(bytes, seconds, fields)
}

/// The same, and every other header that sofia-sip takes apart.
pub fn full(bytes: &[u8], seconds: f64) -> Result<String, String> {
    read(bytes, seconds, |message| {
        fields(message)?;
        other_fields(message)
    })
}

fn read(
    bytes: &[u8],
    seconds: f64,
    fields: impl Fn(&Message<'_>) -> Result<(), FieldError>,
) -> Result<String, String> {
    let mut index = Index::default();
    let mut once = |bytes: &[u8]| -> Result<(), String> {
        let message = parse(bytes, &mut index).map_err(|error| error.to_string())?;
        fields(&message).map_err(|error| error.to_string())
    };
    once(bytes)?;
    Ok(measure::repeat(seconds, 1, || {
        let _ = black_box(once(black_box(bytes)));
    }))
}

/// The nine headers, and the same routing keys: as the engine does it, the key of the transaction is made of the Via that was read.
fn fields(message: &Message<'_>) -> Result<(), FieldError> {
    let via = message.via();
    let via = seen(&via)?;
    black_box((server_key_of(message, via, source(), black_box(1))?, user(message)?));
    seen(&message.from())?;
    seen(&message.to())?;
    seen(&message.cseq())?;
    let mut is_whole = seen(&message.contact())?.is_some();
    let mut routes = 0;
    for route in message.routes() {
        seen(&route)?;
        routes += 1;
    }
    is_whole &= seen(&message.event())?.is_some();
    is_whole &= seen(&message.authorization())?.is_some();
    let security = message.security(HeaderName::SecurityClient).next();
    is_whole &= security.as_ref().map(seen).transpose()?.is_some();
    assert!(is_whole && routes == 2, "the message has what is measured");
    Ok(())
}

/// What was found, seen where it is: a copy would be measured as well.
fn seen<T>(found: &Result<T, FieldError>) -> Result<&T, FieldError> {
    black_box(found).as_ref().map_err(|error| *error)
}

fn other_fields(message: &Message<'_>) -> Result<(), FieldError> {
    black_box(Uri::parse(message.request_uri()).is_ok());
    black_box(message.max_forwards()?);
    black_box(message.call_id()?);
    for path in message.paths() {
        seen(&path)?;
    }
    for accepted in message.list(HeaderName::Accept) {
        black_box(accepted);
    }
    black_box(message.expires()?);
    Ok(())
}

/// httparse over the same headers: it finds names and values and checks their characters, but doesn't tell which they are.
pub fn httparse(bytes: &[u8], seconds: f64) -> Result<String, String> {
    let mut found = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let headers = benches::header_block(bytes);
    let whole = httparse::parse_headers(headers, &mut found).map_err(|error| error.to_string())?;
    if !whole.is_complete() {
        return Err("httparse misses the end of the headers".to_owned());
    }
    Ok(measure::repeat(seconds, 1, || {
        let done = httparse::parse_headers(black_box(headers), &mut found);
        let _ = black_box(done.is_ok_and(|status| status.is_complete()));
    }))
}
