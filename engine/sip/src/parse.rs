//! The index of a message: start line, headers, body, as spans. Nothing is copied or unescaped.

use crate::error::{Expected, ParseError};
use crate::header::{Form, Header, HeaderName, NAMES};
use crate::lines::{BLOCK_BYTES, Controls};
use crate::message::Message;
use crate::method::Method;
use crate::scan::{TOKEN, decimal, is_token, skip, trim_end, trim_start};
use crate::span::Span;
use std::cell::Cell;
use std::ops::Range;

/// How many header lines a message may have. The longest IMS requests have 40 to 60; RFC 4475's
/// longest has 50.
pub const MAX_HEADERS: usize = 96;

/// Longest message: spans are 16 bits wide, and no datagram is longer.
const MAX_BYTES: usize = u16::MAX as usize;

const NO_LINE: u8 = u8::MAX;
/// There are more lines of the same name.
const REPEATED: u8 = 0x80;
const _: () = assert!(MAX_HEADERS < (NO_LINE & !REPEATED) as usize);

/// Where a message's parts lie. Owned by the caller and used again for each message; no heap.
#[derive(Clone, Debug)]
pub struct Index {
    pub(crate) headers: [Header; MAX_HEADERS],
    pub(crate) count: u8,
    /// The first line of each name, with a mark where there are more.
    first: [u8; NAMES],
    /// Whether a name that may be there once is there more than once.
    pub(crate) repeats_once: bool,
    pub(crate) start: StartLine,
    pub(crate) body: Span,
    /// Whether it is the index of a whole message, and not of what was refused or is being written.
    pub(crate) is_whole: bool,
    /// The tags of From and To, once they have been asked for: who handles a message asks several times.
    pub(crate) from_tag: Cell<KnownTag>,
    pub(crate) to_tag: Cell<KnownTag>,
}

/// What is known of a header's tag.
#[derive(Copy, Clone, Default, Debug)]
pub(crate) enum KnownTag {
    /// Nothing yet.
    #[default]
    Unread,
    /// The header can be read and has none.
    Absent,
    /// The header can be read, and this is it.
    At(Span),
}

/// A request line or a status line.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) struct StartLine {
    /// 0 for a request.
    pub(crate) status: u16,
    pub(crate) method: Method,
    pub(crate) method_text: Span,
    /// The Request-URI, or the reason phrase.
    pub(crate) text: Span,
    pub(crate) version: Span,
    /// With its CRLF.
    pub(crate) line: Span,
}

impl Default for Index {
    fn default() -> Index {
        let none = Span { start: 0, end: 0 };
        let header =
            Header { name: HeaderName::Extension, name_span: none, value: none, line: none };
        let start = StartLine {
            status: 0,
            method: Method::Other,
            method_text: none,
            text: none,
            version: none,
            line: none,
        };
        Index {
            headers: [header; MAX_HEADERS],
            count: 0,
            first: [NO_LINE; NAMES],
            repeats_once: false,
            start,
            body: none,
            is_whole: false,
            from_tag: Cell::default(),
            to_tag: Cell::default(),
        }
    }
}

impl Index {
    /// The number of the first line of that name.
    #[inline]
    pub(crate) fn first_line(&self, name: HeaderName) -> Option<usize> {
        match self.first[name as usize] {
            NO_LINE => None,
            line => Some(usize::from(line & !REPEATED)),
        }
    }

    /// The numbers of the first line of that name, and of the one behind the last that may be of that name.
    #[inline]
    pub(crate) fn line_range(&self, name: HeaderName) -> (usize, usize) {
        match self.first[name as usize] {
            NO_LINE => (0, 0),
            line if line & REPEATED == 0 => (usize::from(line), usize::from(line) + 1),
            line => (usize::from(line & !REPEATED), usize::from(self.count)),
        }
    }

    /// Forgets a message: no lines, none of them repeated, nothing known of tags.
    pub(crate) fn clear(&mut self) {
        self.count = 0;
        self.first = [NO_LINE; NAMES];
        self.repeats_once = false;
        self.is_whole = false;
        self.from_tag.set(KnownTag::Unread);
        self.to_tag.set(KnownTag::Unread);
    }

    /// Adds a line, for which there is room.
    #[inline]
    pub(crate) fn push(&mut self, header: Header) {
        let first = &mut self.first[header.name as usize];
        if *first == NO_LINE {
            *first = self.count;
        } else {
            *first |= REPEATED;
            self.repeats_once |= header.name.form() == Form::Once;
        }
        self.headers[usize::from(self.count)] = header;
        self.count += 1;
    }

    /// The message that was written into a [`Room`](crate::Room) with this index, and is all of `bytes`; `None` where the writer has
    /// left no index, and the bytes have to be parsed.
    #[must_use]
    pub fn message<'b>(&'b self, bytes: &'b [u8]) -> Option<Message<'b>> {
        if !self.is_whole || usize::from(self.body.end) != bytes.len() {
            return None;
        }
        debug_assert!(self.is_of(bytes), "not its index: {}", bytes.escape_ascii());
        Some(Message::new(bytes, self))
    }

    /// Whether a parse of `bytes` would say the same.
    fn is_of(&self, bytes: &[u8]) -> bool {
        let mut parsed = Index::default();
        parse(bytes, &mut parsed).is_ok_and(|message| message.bytes().len() == bytes.len())
            && parsed.start == self.start
            && parsed.headers[..usize::from(parsed.count)]
                == self.headers[..usize::from(self.count)]
            && (parsed.first, parsed.repeats_once, parsed.body)
                == (self.first, self.repeats_once, self.body)
    }

    /// What is known of the tag of From, or else of To.
    pub(crate) fn known_tag(&self, name: HeaderName) -> &Cell<KnownTag> {
        if name == HeaderName::From { &self.from_tag } else { &self.to_tag }
    }
}

/// Indexes the message in `bytes`, a datagram's content or what [`Framer`](crate::Framer) cut out
/// of a stream.
///
/// CRLFs before the message are skipped; what follows the Content-Length-th byte of the body is
/// left out (RFC 3261 18.3), and without Content-Length the body reaches to the end.
///
/// # Errors
/// The first thing that is not as RFC 3261 25.1 wants it: see [`Expected`].
pub fn parse<'b>(bytes: &'b [u8], index: &'b mut Index) -> Result<Message<'b>, ParseError> {
    let (bytes, body_start) = head(bytes, index)?;
    let body_end = match content_length(bytes, index)? {
        None => bytes.len(),
        Some(length) => match body_start.checked_add(length) {
            Some(end) if end <= bytes.len() => end,
            _ => return Err(error(bytes, bytes.len(), Expected::Body)),
        },
    };
    index.body = Span::new(body_start, body_end);
    index.is_whole = true;
    Ok(Message::new(&bytes[..body_end], index))
}

/// Indexes start line and headers only: whatever Content-Length says, the message has no body. For
/// the 400 to a request that [`parse`](fn@crate::parse) refused because of its [`Expected::ContentLength`] or
/// [`Expected::Body`] (RFC 3261 18.3).
///
/// # Errors
/// As [`parse`](fn@crate::parse).
pub fn parse_head<'b>(bytes: &'b [u8], index: &'b mut Index) -> Result<Message<'b>, ParseError> {
    let (bytes, end) = head(bytes, index)?;
    index.body = Span::new(end, end);
    Ok(Message::new(&bytes[..end], index))
}

/// Fills in all but the body; returns the bytes behind leading CRLFs and the offset of the body.
fn head<'b>(bytes: &'b [u8], index: &mut Index) -> Result<(&'b [u8], usize), ParseError> {
    let mut bytes = bytes;
    while let [b'\r', b'\n', rest @ ..] = bytes {
        bytes = rest;
    }
    if bytes.is_empty() {
        return Err(error(bytes, 0, Expected::Bytes));
    }
    if bytes.len() > MAX_BYTES {
        return Err(error(bytes, MAX_BYTES, Expected::ShorterMessage));
    }
    index.clear();
    let body_start = lines(bytes, index)?;
    Ok((bytes, body_start))
}

/// Fills in start line and headers; returns the offset of the body. One look at each byte finds the control characters, of which most are
/// in the CRLF that ends a line.
fn lines(bytes: &[u8], index: &mut Index) -> Result<usize, ParseError> {
    // The line that is being looked at, the start line at first.
    let mut start = 0;
    for (block, mut controls) in Controls::new(bytes).enumerate() {
        while controls != 0 {
            let at = block * BLOCK_BYTES + controls.trailing_zeros() as usize;
            controls &= controls - 1;
            if at < start {
                // The LF of the line before.
                continue;
            }
            match bytes.get(at..) {
                Some([b'\r', b'\n', ..]) if at == start => return Ok(at + 2),
                Some([b'\r', b'\n', behind @ ..]) if start == 0 || !starts_folded(behind) => {
                    // With the LF, unless that is in the next block.
                    controls &= controls.wrapping_sub(1);
                    let end = at + 2;
                    if start == 0 {
                        index.start = start_line(bytes, end)?;
                    } else {
                        push_header(bytes, start, end, index)?;
                    }
                    start = end;
                }
                _ => check_control(bytes, start, at, index)?,
            }
        }
    }
    Err(line_error(bytes, start, bytes.len(), index))
}

#[inline(always)]
fn starts_folded(line: &[u8]) -> bool {
    matches!(line, [b' ' | b'\t', ..])
}

/// Whether the control character `at` that ends no line may stand where it does: CR and LF only in a fold, NUL only as RFC 3261 25.1's
/// `quoted-pair`, behind a backslash (RFC 4475 3.1.1.2).
#[cold]
fn check_control(bytes: &[u8], start: usize, at: usize, index: &Index) -> Result<(), ParseError> {
    let (before, behind) = bytes.split_at(at);
    let is_allowed = match behind {
        [b'\r', ..] => behind.starts_with(b"\r\n"),
        [b'\n', ..] => before.ends_with(b"\r"),
        [0, ..] => before.ends_with(b"\\"),
        _ => true,
    };
    if is_allowed { Ok(()) } else { Err(line_error(bytes, start, at, index)) }
}

/// The line that begins at `start` doesn't end as it should, because of what is `at` this place.
#[cold]
fn line_error(bytes: &[u8], start: usize, at: usize, index: &Index) -> ParseError {
    if start == bytes.len() {
        error(bytes, start, Expected::EndOfHeaders)
    } else if usize::from(index.count) == MAX_HEADERS {
        error(bytes, start, Expected::FewerHeaders)
    } else {
        error(bytes, at, Expected::EndOfLine)
    }
}

fn start_line(bytes: &[u8], end: usize) -> Result<StartLine, ParseError> {
    let line = &bytes[..end - 2];
    if line.len() > 4 && line[..4].eq_ignore_ascii_case(b"SIP/") {
        return status_line(bytes, end);
    }
    let method_end = line.iter().position(|&byte| !is_token(byte)).unwrap_or(line.len());
    if method_end == 0 || line.get(method_end) != Some(&b' ') {
        return Err(error(line, method_end, Expected::Method));
    }
    let uri_start = method_end + 1;
    let uri_len = memchr::memchr2(b' ', b'\t', &line[uri_start..]).unwrap_or(0);
    let uri_end = uri_start + uri_len;
    if uri_len == 0 || line[uri_end] != b' ' {
        return Err(error(line, uri_end, Expected::RequestUri));
    }
    let version = &line[uri_end + 1..];
    if !is_version(version) {
        return Err(error(line, uri_end + 1, Expected::Version));
    }
    Ok(StartLine {
        status: 0,
        method: Method::parse(&line[..method_end]),
        method_text: Span::new(0, method_end),
        text: Span::new(uri_start, uri_end),
        version: Span::new(uri_end + 1, line.len()),
        line: Span::new(0, end),
    })
}

fn status_line(bytes: &[u8], end: usize) -> Result<StartLine, ParseError> {
    let line = &bytes[..end - 2];
    let version_end = memchr::memchr(b' ', line).unwrap_or(line.len());
    if !is_version(&line[..version_end]) {
        return Err(error(line, 0, Expected::Version));
    }
    let code_start = (version_end + 1).min(line.len());
    let code = &line[code_start..];
    let code_len = memchr::memchr(b' ', code).unwrap_or(code.len());
    let status = match decimal(&code[..code_len]) {
        Some(status @ 100..=699) if code_len == 3 => status as u16,
        _ => return Err(error(line, code_start, Expected::StatusCode)),
    };
    let reason_start = (code_start + code_len + 1).min(line.len());
    let reason = &line[reason_start..];
    if let Some(at) = reason.iter().position(|&byte| byte < b' ' && byte != b'\t') {
        return Err(error(line, reason_start + at, Expected::ReasonPhrase));
    }
    Ok(StartLine {
        status,
        method: Method::Other,
        method_text: Span::new(0, 0),
        text: Span::new(reason_start, line.len()),
        version: Span::new(0, version_end),
        line: Span::new(0, end),
    })
}

/// `SIP/` digits `.` digits; whether it is 2.0 is for [`Message::check`] to say, with a 505.
fn is_version(text: &[u8]) -> bool {
    text == b"SIP/2.0" || is_other_version(text)
}

fn is_other_version(text: &[u8]) -> bool {
    let Some((name, number)) = text.split_at_checked(4) else { return false };
    let Some(dot) = memchr::memchr(b'.', number) else { return false };
    name.eq_ignore_ascii_case(b"SIP/")
        && decimal(&number[..dot]).is_some()
        && decimal(&number[dot + 1..]).is_some()
}

/// Adds the header whose line or lines are `start..end`, CRLF included.
#[inline(always)]
fn push_header(
    bytes: &[u8],
    start: usize,
    end: usize,
    index: &mut Index,
) -> Result<(), ParseError> {
    if usize::from(index.count) == MAX_HEADERS {
        return Err(error(bytes, start, Expected::FewerHeaders));
    }
    // A name of the table is a token: only others need a look at each byte. A colon behind the line's end makes none of the table,
    // since no name has an LF.
    match HeaderName::leading(&bytes[start..]) {
        Some((name, len)) => index.push(header(bytes, name, start..end, len)),
        None => push_odd(bytes, start, end, index)?,
    }
    Ok(())
}

#[inline(always)]
fn header(bytes: &[u8], name: HeaderName, line: Range<usize>, name_len: usize) -> Header {
    let start = line.start;
    let line = &bytes[line];
    let (value_start, value_end) = value_of(line, name_len);
    Header {
        name,
        name_span: Span::new(start, start + name_len),
        value: Span::new(start + value_start, start + value_end),
        line: Span::new(start, start + line.len()),
    }
}

/// Where in `line`, CRLF included, the value without white space around it is: it lies behind the colon that is at `colon`.
#[inline(always)]
pub(crate) fn value_of(line: &[u8], colon: usize) -> (usize, usize) {
    // Nearly always one space is before it, and none behind it.
    if let Some(behind @ [b':', b' ', first, ..]) = line.get(colon..)
        && let [.., last, _, _] = behind
        && *first > b' '
        && *last > b' '
    {
        return (colon + 2, line.len() - 2);
    }
    odd_value_of(line, colon)
}

/// As [`value_of`], whatever white space there is.
#[cold]
fn odd_value_of(line: &[u8], colon: usize) -> (usize, usize) {
    let value = trim_end(line.get(colon + 1..line.len() - 2).unwrap_or_default());
    let end = colon + 1 + value.len();
    (end - trim_start(value).len(), end)
}

/// Adds the header whose line or lines are `start..end`, where white space is behind its name, or the table doesn't have it.
#[cold]
fn push_odd(bytes: &[u8], start: usize, end: usize, index: &mut Index) -> Result<(), ParseError> {
    let name_end = skip(bytes, start, TOKEN);
    let spaces = bytes[name_end..].iter().take_while(|byte| b" \t".contains(byte)).count();
    let colon = name_end + spaces;
    if name_end == start || bytes.get(colon) != Some(&b':') {
        return Err(error(bytes, colon, Expected::HeaderName));
    }
    let name = HeaderName::lookup(&bytes[start..name_end]);
    let mut header = header(bytes, name, start..end, colon - start);
    header.name_span = Span::new(start, name_end);
    index.push(header);
    Ok(())
}

/// What the Content-Length lines say; they must agree (RFC 4475 3.3.9).
fn content_length(bytes: &[u8], index: &Index) -> Result<Option<usize>, ParseError> {
    let Some(first) = index.first_line(HeaderName::ContentLength) else { return Ok(None) };
    let mut length = None;
    for header in &index.headers[first..usize::from(index.count)] {
        if header.name != HeaderName::ContentLength {
            continue;
        }
        let stated = decimal(header.value.of(bytes))
            .map(|length| usize::try_from(length).unwrap_or(usize::MAX));
        if stated.is_none() || length.is_some_and(|length| Some(length) != stated) {
            let at = usize::from(header.value.start);
            return Err(error(bytes, at, Expected::ContentLength));
        }
        length = stated;
    }
    Ok(length)
}

#[cold]
fn error(bytes: &[u8], offset: usize, expected: Expected) -> ParseError {
    ParseError {
        offset: u16::try_from(offset).unwrap_or(u16::MAX),
        expected,
        found: bytes.get(offset).copied(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &[u8]) -> (Expected, u16) {
        let error = parse(text, &mut Index::default()).unwrap_err();
        (error.expected, error.offset)
    }

    #[test]
    fn a_request_and_its_parts() {
        let text = b"\r\n\r\nFOO sip:a SIP/2.0\r\nv : 1\r\nX-y:\r\nVIA:\r\n\t 2\r\n 3 \r\n\
            l: 2\r\n\r\nhi!";
        let mut index = Index::default();
        let message = parse(text, &mut index).unwrap();
        assert!(message.is_request());
        assert_eq!((message.method(), message.method_text()), (Method::Other, &b"FOO"[..]));
        assert_eq!((message.request_uri(), message.status()), (&b"sip:a"[..], 0));
        assert_eq!((message.body(), message.reason()), (&b"hi"[..], &b""[..]));
        assert_eq!(message.bytes(), &text[4..text.len() - 1]);
        let lines: Vec<_> = message.lines(HeaderName::Via).collect();
        assert_eq!(lines, [(0, &b"1"[..]), (2, &b"2\r\n 3"[..])]);
        assert_eq!(message.headers()[1].name_span.of(message.bytes()), b"X-y");
        assert_eq!(message.headers()[2].line.of(message.bytes()), b"VIA:\r\n\t 2\r\n 3 \r\n");
        assert_eq!(message.header(HeaderName::Route), None);
    }

    #[test]
    fn an_empty_line_ends_the_headers_whatever_is_behind_it() {
        for body in [&b" x"[..], b"\t", b"\r\n", b"\0", b"\n\r"] {
            for pad in 0..70 {
                let mut text = format!("A sip:a SIP/2.0\r\nB:{}\r\n c\r\n\r\n", "x".repeat(pad));
                let head_bytes = text.len();
                text.push_str(&String::from_utf8_lossy(body));
                let mut index = Index::default();
                let message = parse(text.as_bytes(), &mut index).unwrap();
                assert_eq!((message.body(), message.headers().len()), (body, 1));
                assert_eq!(&message.bytes()[head_bytes..], body);
            }
        }
    }

    #[test]
    fn an_index_forgets_the_last_message() {
        let mut index = Index::default();
        parse(b"A sip:a SIP/2.0\r\nRoute: x\r\n\r\n", &mut index).unwrap();
        let message = parse(b"SIP/2.0 200\r\nVia: x\r\n\r\nabc", &mut index).unwrap();
        assert_eq!(message.header(HeaderName::Route), None);
        assert_eq!((message.status(), message.reason()), (200, &b""[..]));
        assert_eq!((message.body(), message.headers().len()), (&b"abc"[..], 1));
    }

    #[test]
    fn what_is_refused_and_where() {
        assert_eq!(refused(b""), (Expected::Bytes, 0));
        assert_eq!(refused(b"\r\n\r\n"), (Expected::Bytes, 0));
        assert_eq!(refused(&[b'x'; 65_536]), (Expected::ShorterMessage, u16::MAX));
        assert_eq!(refused(b"A"), (Expected::EndOfLine, 1));
        assert_eq!(refused(b"@ sip:a SIP/2.0\r\n\r\n"), (Expected::Method, 0));
        assert_eq!(refused(b"A\tsip:a SIP/2.0\r\n\r\n"), (Expected::Method, 1));
        assert_eq!(refused(b"A  SIP/2.0\r\n\r\n"), (Expected::RequestUri, 2));
        assert_eq!(refused(b"A sip:a SIP/2\r\n\r\n"), (Expected::Version, 8));
        assert_eq!(refused(b"A sip:a SIP/2.0 \r\n\r\n"), (Expected::Version, 8));
        assert_eq!(refused(b"SIP/2.0 99 x\r\n\r\n"), (Expected::StatusCode, 8));
        assert_eq!(refused(b"SIP/2.0 700 x\r\n\r\n"), (Expected::StatusCode, 8));
        assert_eq!(refused(b"SIP/2.0 0200 x\r\n\r\n"), (Expected::StatusCode, 8));
        assert_eq!(refused(b"SIP/2.0 200 \x07\r\n\r\n"), (Expected::ReasonPhrase, 12));
        let headers = |text: &str| refused(format!("A sip:a SIP/2.0\r\n{text}").as_bytes());
        assert_eq!(headers(""), (Expected::EndOfHeaders, 17));
        assert_eq!(headers("A: b\r\n"), (Expected::EndOfHeaders, 23));
        assert_eq!(headers("A: b\n\r\n"), (Expected::EndOfLine, 21));
        assert_eq!(headers("A: \rb\r\n\r\n"), (Expected::EndOfLine, 20));
        assert_eq!(headers("A: \0b\r\n\r\n"), (Expected::EndOfLine, 20));
        assert_eq!(headers(": b\r\n\r\n"), (Expected::HeaderName, 17));
        assert_eq!(headers("A b: c\r\n\r\n"), (Expected::HeaderName, 19));
        assert_eq!(headers("A\r\n : c\r\n\r\n"), (Expected::HeaderName, 18));
        assert_eq!(headers(" A: c\r\n\r\n"), (Expected::HeaderName, 18));
        assert_eq!(headers("l: 1\r\n\r\n"), (Expected::Body, 25));
        assert_eq!(headers("l: 99999999999999999999\r\n\r\n").0, Expected::Body);
        assert_eq!(headers("l: \r\n\r\n"), (Expected::ContentLength, 19));
        assert_eq!(headers("l: +0\r\n\r\n").0, Expected::ContentLength);
        assert_eq!(headers(&"A: b\r\n".repeat(97)), (Expected::FewerHeaders, 17 + 96 * 6));
    }

    #[test]
    fn a_head_without_its_body() {
        let text = b"A sip:a SIP/2.0\r\nl: 99\r\n\r\nhi";
        let mut index = Index::default();
        let message = parse_head(text, &mut index).unwrap();
        assert_eq!((message.body(), message.headers().len()), (&b""[..], 1));
    }

    #[test]
    fn as_many_headers_as_fit() {
        let text = format!("A sip:a SIP/2.0\r\n{}\r\n", "W: y\r\n".repeat(MAX_HEADERS));
        let mut index = Index::default();
        let message = parse(text.as_bytes(), &mut index).unwrap();
        assert_eq!(message.lines(HeaderName::Extension).count(), MAX_HEADERS);
    }
}
