//! Dialogs (RFC 3261 12): their strings as one blob, their route sets, requests inside them.

use crate::error::{FieldError, WriteError};
use crate::field::name_addr::NameAddr;
use crate::header::HeaderName;
use crate::message::Message;
use crate::method::Method;
use crate::room::Room;
use crate::scan::{find_outside, trim};
use crate::uri::Uri;
use crate::write::Writer;

/// A dialog's strings. Tags may be empty (RFC 2543's elements give none).
#[derive(Copy, Clone, PartialEq, Eq, Default, Debug)]
pub struct DialogParts<'a> {
    /// Call-ID.
    pub call_id: &'a [u8],
    /// Our tag.
    pub local_tag: &'a [u8],
    /// Their tag.
    pub remote_tag: &'a [u8],
    /// Our URI, without brackets.
    pub local_uri: &'a [u8],
    /// Their URI, without brackets.
    pub remote_uri: &'a [u8],
    /// Their Contact's URI, without brackets.
    pub remote_target: &'a [u8],
    /// The route set as a Route value: comma-separated, first hop first; empty if there is none.
    pub routes: &'a [u8],
}

const PARTS: usize = 7;
const LENGTHS_BYTES: usize = 2 * PARTS;

impl<'a> DialogParts<'a> {
    /// How many bytes [`encode`](Self::encode) writes.
    pub fn encoded_len(&self) -> usize {
        LENGTHS_BYTES + self.parts().iter().map(|part| part.len()).sum::<usize>()
    }

    /// Writes the strings as one blob (seven lengths of 16 bits, then the strings); returns its
    /// length.
    ///
    /// # Errors
    /// If it does not fit, or a string is longer than 65,535 bytes.
    pub fn encode(&self, out: &mut [u8]) -> Result<usize, WriteError> {
        let mut writer = Writer::new(out);
        for part in self.parts() {
            let len = u16::try_from(part.len()).map_err(|_| WriteError)?;
            writer.put(&len.to_le_bytes());
        }
        for part in self.parts() {
            writer.put(part);
        }
        writer.done()
    }

    /// Reads a blob that [`encode`](Self::encode) wrote; bytes behind it don't matter.
    ///
    /// # Panics
    /// If it didn't: a blob is ours.
    pub fn decode(blob: &'a [u8]) -> DialogParts<'a> {
        let (lengths, mut rest) = blob.split_at(LENGTHS_BYTES);
        let mut parts = [&b""[..]; PARTS];
        for (part, length) in parts.iter_mut().zip(lengths.chunks_exact(2)) {
            (*part, rest) = rest.split_at(usize::from(u16::from_le_bytes([length[0], length[1]])));
        }
        let [call_id, local_tag, remote_tag, local_uri, remote_uri, remote_target, routes] = parts;
        DialogParts { call_id, local_tag, remote_tag, local_uri, remote_uri, remote_target, routes }
    }

    /// Whether an in-dialog message that came is of this dialog: Call-ID and both tags, byte for
    /// byte (RFC 3261 12.2.2). For a request From is theirs, for a response ours.
    ///
    /// # Errors
    /// If one of the three can't be read.
    pub fn matches(&self, message: &Message<'_>) -> Result<bool, FieldError> {
        let from = message.from()?.tag().unwrap_or_default();
        let to = message.to()?.tag().unwrap_or_default();
        let (local, remote) = if message.is_request() { (to, from) } else { (from, to) };
        Ok(message.call_id()? == self.call_id
            && local == self.local_tag
            && remote == self.remote_tag)
    }

    fn parts(&self) -> [&'a [u8]; PARTS] {
        [
            self.call_id,
            self.local_tag,
            self.remote_tag,
            self.local_uri,
            self.remote_uri,
            self.remote_target,
            self.routes,
        ]
    }
}

/// Writes the route set that a message's Record-Routes make, separated by commas: reversed for the
/// UAC, which takes them from a response (RFC 3261 12.1.2), in order for the UAS, which takes them
/// from the request (12.1.1). Returns its length.
///
/// # Errors
/// If it does not fit.
pub fn route_set(message: &Message<'_>, is_uac: bool, out: &mut [u8]) -> Result<usize, WriteError> {
    let elements = || message.list(HeaderName::RecordRoute);
    let total = elements().map(|element| element.len() + 1).sum::<usize>().saturating_sub(1);
    let out = out.get_mut(..total).ok_or(WriteError)?;
    // Reversed, the first element ends at the buffer's end: two passes, and no list of elements.
    let mut at = if is_uac { total } else { 0 };
    for (number, element) in elements().enumerate() {
        if is_uac {
            if number > 0 {
                at -= 1;
                out[at] = b',';
            }
            at -= element.len();
            out[at..at + element.len()].copy_from_slice(element);
        } else {
            if number > 0 {
                out[at] = b',';
                at += 1;
            }
            out[at..at + element.len()].copy_from_slice(element);
            at += element.len();
        }
    }
    Ok(total)
}

/// Starts a request inside a dialog (RFC 3261 12.2.1.1): request line, Max-Forwards 70, Route, From,
/// To, Call-ID, CSeq. Via and Contact are the caller's.
///
/// If the first route is a strict router's (or can't be read), its URI becomes the Request-URI and
/// the remote target the last Route.
pub fn request<'a>(
    dialog: &DialogParts<'_>,
    method: Method,
    cseq: u32,
    out: impl Into<Room<'a>>,
) -> Writer<'a> {
    let mut writer = Writer::new(out);
    match strict_router(dialog.routes) {
        None => {
            writer.request(method, dialog.remote_target);
            if !dialog.routes.is_empty() {
                writer.header(HeaderName::Route).put(dialog.routes).end();
            }
        }
        Some((uri, further)) => {
            writer.request(method, without_headers(uri)).header(HeaderName::Route);
            if !further.is_empty() {
                writer.put(further).put(b",");
            }
            writer.put(b"<").put(dialog.remote_target).put(b">").end();
        }
    }
    writer.header(HeaderName::MaxForwards).put(b"70").end();
    writer.header(HeaderName::From);
    address(&mut writer, dialog.local_uri, dialog.local_tag);
    writer.header(HeaderName::To);
    address(&mut writer, dialog.remote_uri, dialog.remote_tag);
    writer.header(HeaderName::CallId).put(dialog.call_id).end();
    writer.header(HeaderName::CSeq).decimal(u64::from(cseq)).put(b" ").text(method.as_str()).end();
    writer
}

/// Where the next request of the dialog goes: the first route's URI, or the remote target.
///
/// # Errors
/// If the first route can't be read.
pub fn next_hop<'a>(dialog: &DialogParts<'a>) -> Result<&'a [u8], FieldError> {
    if dialog.routes.is_empty() {
        return Ok(dialog.remote_target);
    }
    Ok(NameAddr::parse(split_first(dialog.routes).0)?.uri_text)
}

/// The first route's URI and the further routes, if the first is a strict router's.
fn strict_router(routes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (first, further) = split_first(routes);
    let first = NameAddr::parse(first).ok()?;
    (!first.uri.is_loose_router()).then_some((first.uri_text, further))
}

fn split_first(routes: &[u8]) -> (&[u8], &[u8]) {
    let comma = find_outside(routes, b',', true);
    (trim(&routes[..comma]), trim(routes.get(comma + 1..).unwrap_or_default()))
}

/// A Request-URI has no headers (RFC 3261 19.1.1, table 1).
fn without_headers(uri: &[u8]) -> &[u8] {
    match Uri::parse(uri) {
        Ok(parsed) if !parsed.headers.is_empty() => &uri[..uri.len() - parsed.headers.len() - 1],
        _ => uri,
    }
}

fn address(writer: &mut Writer<'_>, uri: &[u8], tag: &[u8]) {
    writer.put(b"<").put(uri).put(b">");
    if !tag.is_empty() {
        writer.put(b";tag=").put(tag);
    }
    writer.end();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse::{Index, parse};

    const DIALOG: DialogParts<'static> = DialogParts {
        call_id: b"call@x",
        local_tag: b"us",
        remote_tag: b"",
        local_uri: b"sip:us@x",
        remote_uri: b"tel:+1",
        remote_target: b"sip:them@[::1]:5060",
        routes: b"<sip:p,1@x;lr>,<sip:s;lr>",
    };

    fn written(dialog: &DialogParts<'_>) -> String {
        let mut out = [0; 512];
        let len = request(dialog, Method::Notify, 9, &mut out).finish().unwrap();
        String::from_utf8(out[..len].to_vec()).unwrap()
    }

    #[test]
    fn a_blob_gives_the_strings_back() {
        let mut out = [0xff; 200];
        let len = DIALOG.encode(&mut out).unwrap();
        assert_eq!(len, DIALOG.encoded_len());
        assert_eq!(DialogParts::decode(&out), DIALOG);
        assert_eq!(DIALOG.encode(&mut out[..len - 1]), Err(WriteError));
        let long = vec![b'x'; 70_000];
        let dialog = DialogParts { routes: &long, ..DIALOG };
        assert_eq!(dialog.encode(&mut vec![0; 100_000]), Err(WriteError));
    }

    #[test]
    fn loose_routing() {
        assert_eq!(
            written(&DIALOG),
            "NOTIFY sip:them@[::1]:5060 SIP/2.0\r\nRoute: <sip:p,1@x;lr>,<sip:s;lr>\r\n\
             Max-Forwards: 70\r\nFrom: <sip:us@x>;tag=us\r\nTo: <tel:+1>\r\nCall-ID: call@x\r\n\
             CSeq: 9 NOTIFY\r\nContent-Length: 0\r\n\r\n"
        );
        assert_eq!(next_hop(&DIALOG), Ok(&b"sip:p,1@x;lr"[..]));
        let direct = DialogParts { routes: b"", ..DIALOG };
        assert!(!written(&direct).contains("Route"));
        assert_eq!(next_hop(&direct), Ok(DIALOG.remote_target));
    }

    #[test]
    fn a_strict_router_comes_first() {
        let dialog = DialogParts { routes: b"<sip:p?X=y>, <sip:s;lr>", ..DIALOG };
        assert!(
            written(&dialog).starts_with(
                "NOTIFY sip:p SIP/2.0\r\nRoute: <sip:s;lr>,<sip:them@[::1]:5060>\r\nMax"
            )
        );
        let dialog = DialogParts { routes: b"<sip:p>", ..DIALOG };
        assert!(written(&dialog).contains("\r\nRoute: <sip:them@[::1]:5060>\r\n"));
    }

    #[test]
    fn route_sets() {
        let text = b"SIP/2.0 200 OK\r\nRecord-Route: <sip:c;lr> , \"x,\" <sip:b;lr>\r\n\
            Record-Route: <sip:a;lr>\r\n\r\n";
        let mut index = Index::default();
        let message = parse(text, &mut index).unwrap();
        let mut out = [0; 64];
        let len = route_set(&message, true, &mut out).unwrap();
        assert_eq!(&out[..len], b"<sip:a;lr>,\"x,\" <sip:b;lr>,<sip:c;lr>");
        let len = route_set(&message, false, &mut out).unwrap();
        assert_eq!(&out[..len], b"<sip:c;lr>,\"x,\" <sip:b;lr>,<sip:a;lr>");
        assert_eq!(route_set(&message, true, &mut out[..len - 1]), Err(WriteError));
        let mut index = Index::default();
        let message = parse(b"SIP/2.0 200 OK\r\n\r\n", &mut index).unwrap();
        assert_eq!(route_set(&message, true, &mut out), Ok(0));
    }

    #[test]
    fn matching_looks_at_tags_from_our_side() {
        let dialog = DialogParts { remote_tag: b"them", ..DIALOG };
        let message = |line: &str, from: &str, to: &str| {
            let text = format!(
                "{line}\r\nFrom: <sip:a>;tag={from}\r\nTo: <sip:b>;tag={to}\r\nCall-ID: call@x\r\n\r\n"
            );
            let mut index = Index::default();
            let message = parse(text.as_bytes(), &mut index).unwrap();
            dialog.matches(&message).unwrap()
        };
        assert!(message("BYE sip:a SIP/2.0", "them", "us"));
        assert!(!message("BYE sip:a SIP/2.0", "us", "them"));
        assert!(message("SIP/2.0 200 OK", "us", "them"));
    }
}
