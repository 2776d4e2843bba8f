//! Writing messages into memory that the caller owns. Overflow is sticky and told at the end, so
//! that a message is written without a check at each piece.

use crate::error::WriteError;
use crate::header::HeaderName;
use crate::message::Message;
use crate::method::Method;
use crate::parse::StartLine;
use crate::room::Room;
use crate::span::Span;
use crate::trace::Trace;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::Range;

/// The version that we speak.
const VERSION: &[u8] = b"SIP/2.0";

/// Writes text into a buffer. What doesn't fit is left out and makes the end fail.
#[derive(Debug)]
pub struct Writer<'a> {
    out: &'a mut [u8],
    len: usize,
    overflow: bool,
    trace: Option<Trace<'a>>,
}

impl<'a> Writer<'a> {
    /// A writer that starts at the first byte of `out`. Where that comes with an index, a message whose lines are all written by
    /// [`request`](Self::request) or [`status`](Self::status), [`header`](Self::header) with [`end`](Self::end), and
    /// [`copy`](Self::copy) has its index at the end.
    pub fn new(out: impl Into<Room<'a>>) -> Writer<'a> {
        let Room { bytes, index } = out.into();
        let spans_reach = bytes.len() <= usize::from(u16::MAX);
        let trace = index.filter(|_| spans_reach).map(Trace::new);
        Writer { out: bytes, len: 0, overflow: false, trace }
    }

    /// How many bytes are written.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing is written yet.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether something did not fit.
    pub fn has_overflowed(&self) -> bool {
        self.overflow
    }

    /// What is written.
    pub fn as_written(&self) -> &[u8] {
        &self.out[..self.len]
    }

    /// Writes bytes as they are.
    #[inline]
    pub fn put(&mut self, bytes: &[u8]) -> &mut Self {
        match self.out.get_mut(self.len..self.len + bytes.len()) {
            Some(room) if !self.overflow => {
                room.copy_from_slice(bytes);
                self.len += bytes.len();
            }
            _ => self.overflow = true,
        }
        self
    }

    /// Writes text as it is.
    #[inline]
    pub fn text(&mut self, text: &str) -> &mut Self {
        self.put(text.as_bytes())
    }

    /// Writes a decimal number without leading zeros.
    #[inline]
    pub fn decimal(&mut self, number: u64) -> &mut Self {
        let mut digits = [0; 20];
        let mut at = digits.len();
        let mut rest = number;
        loop {
            at -= 1;
            digits[at] = b'0' + (rest % 10) as u8;
            rest /= 10;
            if rest == 0 {
                break;
            }
        }
        self.put(&digits[at..])
    }

    /// Writes each byte as two lower-case hexadecimal digits.
    #[inline]
    pub fn hex(&mut self, bytes: &[u8]) -> &mut Self {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        // Eight bytes at a time, so that a number is one piece.
        for block in bytes.chunks(8) {
            let mut digits = [[0; 2]; 8];
            for (digits, byte) in digits.iter_mut().zip(block) {
                *digits = [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]];
            }
            self.put(digits.as_flattened().get(..block.len() * 2).unwrap_or_default());
        }
        self
    }

    /// Writes 8 lower-case hexadecimal digits, the form of an RFC 2617 nonce count.
    #[inline]
    pub fn hex_u32(&mut self, number: u32) -> &mut Self {
        self.hex(&number.to_be_bytes())
    }

    /// Writes 16 lower-case hexadecimal digits.
    #[inline]
    pub fn hex_u64(&mut self, number: u64) -> &mut Self {
        self.hex(&number.to_be_bytes())
    }

    /// Writes base64 with padding (RFC 4648 4).
    pub fn base64(&mut self, bytes: &[u8]) -> &mut Self {
        let room = self.out.get_mut(self.len..).unwrap_or_default();
        match STANDARD.encode_slice(bytes, room) {
            Ok(len) if !self.overflow => self.len += len,
            _ => self.overflow = true,
        }
        self
    }

    /// Writes an address; IPv6 in brackets.
    pub fn ip(&mut self, address: IpAddr) -> &mut Self {
        match address {
            IpAddr::V4(address) => self.ipv4(address),
            IpAddr::V6(address) => {
                use std::io::Write;
                self.put(b"[");
                let room = self.out.get_mut(self.len..).unwrap_or_default();
                let before = room.len();
                let mut rest = room;
                if write!(rest, "{address}").is_err() {
                    self.overflow = true;
                } else if !self.overflow {
                    self.len += before - rest.len();
                }
                self.put(b"]")
            }
        }
    }

    /// Writes four numbers and three dots, in one piece.
    fn ipv4(&mut self, address: Ipv4Addr) -> &mut Self {
        // Each number with a dot behind it.
        let mut text = [0; 16];
        let mut len = 0;
        for octet in address.octets() {
            let digits = [b'0' + octet / 100, b'0' + octet / 10 % 10, b'0' + octet % 10];
            let leading_zeros = usize::from(octet < 100) + usize::from(octet < 10);
            for digit in &digits[leading_zeros..] {
                text[len] = *digit;
                len += 1;
            }
            text[len] = b'.';
            len += 1;
        }
        self.put(&text[..len - 1])
    }

    /// Writes address, colon, port; IPv6 in brackets.
    pub fn socket(&mut self, address: SocketAddr) -> &mut Self {
        self.ip(address.ip()).put(b":").decimal(u64::from(address.port()))
    }

    /// Writes a request line with its CRLF.
    pub fn request(&mut self, method: Method, uri: &[u8]) -> &mut Self {
        assert!(method != Method::Other, "a request needs a method with a name");
        self.request_line(method, method.as_str().as_bytes(), uri, VERSION)
    }

    /// Writes a request line from its parts, with its CRLF.
    pub(crate) fn request_line(
        &mut self,
        method: Method,
        method_text: &[u8],
        uri: &[u8],
        version: &[u8],
    ) -> &mut Self {
        let at = self.len;
        self.put(method_text).put(b" ").put(uri).put(b" ").put(version).put(b"\r\n");
        if let Some(trace) = &mut self.trace
            && !self.overflow
        {
            let uri_start = method_text.len() + 1;
            let version_end = self.len - 2;
            trace.start_line(
                at,
                StartLine {
                    status: 0,
                    method,
                    method_text: Span::new(0, method_text.len()),
                    text: Span::new(uri_start, uri_start + uri.len()),
                    version: Span::new(version_end - version.len(), version_end),
                    line: Span::new(0, self.len),
                },
            );
        }
        self
    }

    /// Writes a status line, with the status' usual reason phrase, and its CRLF.
    pub fn status(&mut self, status: u16) -> &mut Self {
        assert!((100..=699).contains(&status), "{status} is no status code");
        let at = self.len;
        self.put(VERSION).put(b" ").decimal(u64::from(status)).put(b" ");
        self.text(reason(status)).put(b"\r\n");
        if let Some(trace) = &mut self.trace
            && !self.overflow
        {
            let reason_start = VERSION.len() + " 000 ".len();
            trace.start_line(
                at,
                StartLine {
                    status,
                    method: Method::Other,
                    method_text: Span::default(),
                    text: Span::new(reason_start, self.len - 2),
                    version: Span::new(0, VERSION.len()),
                    line: Span::new(0, self.len),
                },
            );
        }
        self
    }

    /// Writes the start line of another message.
    pub(crate) fn copy_start_line(&mut self, message: &Message<'_>) -> &mut Self {
        let (at, start) = (self.len, message.start_line());
        self.put(start.line.of(message.bytes()));
        if let Some(trace) = &mut self.trace {
            trace.start_line(at, *start);
        }
        self
    }

    /// Writes a header's name, colon and space.
    #[inline]
    pub fn header(&mut self, name: HeaderName) -> &mut Self {
        self.begin_line(name, name.lead().len() - 2).text(name.lead())
    }

    /// As [`header`](Self::header), the name as it is spelled there.
    pub(crate) fn header_as(&mut self, name: HeaderName, spelling: &[u8]) -> &mut Self {
        self.begin_line(name, spelling.len()).put(spelling).put(b": ")
    }

    #[inline]
    fn begin_line(&mut self, name: HeaderName, name_len: usize) -> &mut Self {
        if let Some(trace) = &mut self.trace
            && self.len + name_len < self.out.len()
        {
            trace.header(name, self.len, name_len);
        }
        self
    }

    /// Writes CRLF.
    #[inline]
    pub fn end(&mut self) -> &mut Self {
        self.put(b"\r\n");
        if let Some(trace) = &mut self.trace
            && !self.overflow
        {
            trace.end(&self.out[..self.len]);
        }
        self
    }

    /// Writes all lines of that name, byte for byte.
    pub fn copy(&mut self, message: &Message<'_>, name: HeaderName) -> &mut Self {
        for (line, _) in message.lines(name) {
            self.copy_lines(message, line..line + 1);
        }
        self
    }

    /// Writes header lines of another message, byte for byte.
    #[inline]
    pub(crate) fn copy_lines(&mut self, message: &Message<'_>, lines: Range<usize>) -> &mut Self {
        let lines = &message.headers()[lines];
        let ([first, ..], [.., last]) = (lines, lines) else { return self };
        if let Some(trace) = &mut self.trace {
            trace.keep(lines, self.len);
        }
        self.put(Span { start: first.line.start, end: last.line.end }.of(message.bytes()))
    }

    /// What is known of the tags of `source` is known of what is written as well, where From and To are the same.
    pub(crate) fn keep_tags(&mut self, source: &Message<'_>) {
        if let Some(trace) = &mut self.trace {
            trace.keep_tags(source, &self.out[..self.len]);
        }
    }

    /// Ends the message without a body: Content-Length 0 and the empty line. Returns its length.
    ///
    /// # Errors
    /// If something did not fit.
    pub fn finish(mut self) -> Result<usize, WriteError> {
        self.header(HeaderName::ContentLength).put(b"0").end().body(b"").done()
    }

    /// Ends the message with a body: Content-Type, Content-Length, the empty line, the body.
    /// Returns its length.
    ///
    /// # Errors
    /// If something did not fit.
    pub fn finish_with_body(
        mut self,
        content_type: &str,
        body: &[u8],
    ) -> Result<usize, WriteError> {
        self.body_headers(content_type.as_bytes(), body.len()).body(body).done()
    }

    /// Ends what is no whole message: adds nothing, returns the length.
    ///
    /// # Errors
    /// If something did not fit.
    pub fn done(&self) -> Result<usize, WriteError> {
        if self.overflow { Err(WriteError) } else { Ok(self.len) }
    }

    /// Writes the empty line and the body.
    pub(crate) fn body(&mut self, body: &[u8]) -> &mut Self {
        self.put(b"\r\n").put(body);
        if let Some(trace) = &mut self.trace
            && !self.overflow
        {
            trace.body(self.len - body.len(), self.len);
        }
        self
    }

    /// Takes back all that is written, but not that something did not fit.
    pub(crate) fn clear(&mut self) {
        self.len = 0;
    }

    pub(crate) fn body_headers(&mut self, content_type: &[u8], length: usize) -> &mut Self {
        self.header(HeaderName::ContentType).put(content_type).end();
        self.header(HeaderName::ContentLength).decimal(length as u64).end()
    }
}

/// Starts the response to `request` (RFC 3261 8.2.6.2): status line, Vias, From, To (with `to_tag`,
/// if it has no tag yet), Call-ID, CSeq. Record-Route is not copied: see [`Writer::copy`].
pub fn response<'a>(
    request: &Message<'_>,
    status: u16,
    to_tag: Option<&[u8]>,
    out: impl Into<Room<'a>>,
) -> Writer<'a> {
    let mut writer = Writer::new(out);
    writer.status(status).copy(request, HeaderName::Via).copy(request, HeaderName::From);
    let has_tag = request.tag(HeaderName::To).is_ok_and(|tag| tag.is_some());
    match (to_tag, request.header(HeaderName::To)) {
        (Some(tag), Some(to)) if !has_tag => {
            writer.header(HeaderName::To).put(to).put(b";tag=").put(tag).end();
        }
        _ => {
            writer.copy(request, HeaderName::To);
        }
    }
    writer.keep_tags(request);
    writer.copy(request, HeaderName::CallId).copy(request, HeaderName::CSeq);
    writer
}

/// The usual reason phrase of a status code; its class's where there is none.
pub fn reason(status: u16) -> &'static str {
    match REASONS.binary_search_by_key(&status, |row| row.0) {
        Ok(row) => REASONS[row].1,
        Err(_) => match status / 100 {
            1 => "Session Progress",
            2 => "OK",
            3 => "Multiple Choices",
            4 => "Bad Request",
            5 => "Server Internal Error",
            _ => "Decline",
        },
    }
}

/// RFC 3261 21 and the registry behind it, in order.
static REASONS: &[(u16, &str)] = &[
    (100, "Trying"),
    (180, "Ringing"),
    (181, "Call Is Being Forwarded"),
    (182, "Queued"),
    (183, "Session Progress"),
    (199, "Early Dialog Terminated"),
    (200, "OK"),
    (202, "Accepted"),
    (204, "No Notification"),
    (300, "Multiple Choices"),
    (301, "Moved Permanently"),
    (302, "Moved Temporarily"),
    (305, "Use Proxy"),
    (380, "Alternative Service"),
    (400, "Bad Request"),
    (401, "Unauthorized"),
    (402, "Payment Required"),
    (403, "Forbidden"),
    (404, "Not Found"),
    (405, "Method Not Allowed"),
    (406, "Not Acceptable"),
    (407, "Proxy Authentication Required"),
    (408, "Request Timeout"),
    (410, "Gone"),
    (412, "Conditional Request Failed"),
    (413, "Request Entity Too Large"),
    (414, "Request-URI Too Long"),
    (415, "Unsupported Media Type"),
    (416, "Unsupported URI Scheme"),
    (417, "Unknown Resource-Priority"),
    (420, "Bad Extension"),
    (421, "Extension Required"),
    (422, "Session Interval Too Small"),
    (423, "Interval Too Brief"),
    (424, "Bad Location Information"),
    (428, "Use Identity Header"),
    (429, "Provide Referrer Identity"),
    (430, "Flow Failed"),
    (433, "Anonymity Disallowed"),
    (439, "First Hop Lacks Outbound Support"),
    (440, "Max-Breadth Exceeded"),
    (469, "Bad Info Package"),
    (470, "Consent Needed"),
    (480, "Temporarily Unavailable"),
    (481, "Call/Transaction Does Not Exist"),
    (482, "Loop Detected"),
    (483, "Too Many Hops"),
    (484, "Address Incomplete"),
    (485, "Ambiguous"),
    (486, "Busy Here"),
    (487, "Request Terminated"),
    (488, "Not Acceptable Here"),
    (489, "Bad Event"),
    (491, "Request Pending"),
    (493, "Undecipherable"),
    (494, "Security Agreement Required"),
    (500, "Server Internal Error"),
    (501, "Not Implemented"),
    (502, "Bad Gateway"),
    (503, "Service Unavailable"),
    (504, "Server Time-out"),
    (505, "Version Not Supported"),
    (513, "Message Too Large"),
    (555, "Push Notification Service Not Supported"),
    (580, "Precondition Failure"),
    (600, "Busy Everywhere"),
    (603, "Decline"),
    (604, "Does Not Exist Anywhere"),
    (606, "Not Acceptable"),
    (607, "Unwanted"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse::{Index, parse};

    fn written(f: impl FnOnce(&mut Writer<'_>)) -> String {
        let mut out = [0; 400];
        let mut writer = Writer::new(&mut out);
        f(&mut writer);
        assert!(!writer.has_overflowed());
        String::from_utf8(writer.as_written().to_vec()).unwrap()
    }

    #[test]
    fn ipv4_has_no_leading_zeros() {
        for address in ["0.0.0.0", "1.10.100.9", "99.101.110.19", "255.255.255.255"] {
            let mut out = [0; 16];
            let mut writer = Writer::new(&mut out);
            writer.ip(address.parse().unwrap());
            assert_eq!(writer.as_written(), address.as_bytes());
        }
    }

    #[test]
    fn pieces() {
        let text = written(|w| {
            w.decimal(0).put(b" ").decimal(u64::MAX).put(b" ").hex(&[0, 0xab]).put(b" ").hex_u32(1);
        });
        assert_eq!(text, "0 18446744073709551615 00ab 00000001");
        let text = written(|w| {
            w.hex_u64(0xfe).put(b" ").base64(b"any carnal pleas").put(b" ").base64(b"");
        });
        assert_eq!(text, "00000000000000fe YW55IGNhcm5hbCBwbGVhcw== ");
        for address in ["1.20.255.0:5060", "[2001:db8::1]:0", "[::ffff:1.2.3.4]:65535"] {
            let parsed: SocketAddr = address.parse().unwrap();
            assert_eq!(written(|w| _ = w.socket(parsed)), address);
        }
        assert_eq!(written(|w| _ = w.status(494)), "SIP/2.0 494 Security Agreement Required\r\n");
        assert_eq!(written(|w| _ = w.status(699)), "SIP/2.0 699 Decline\r\n");
    }

    #[test]
    fn reasons_are_in_order() {
        assert!(REASONS.is_sorted_by(|a, b| a.0 < b.0));
    }

    #[test]
    fn overflow_is_sticky_wherever_it_happens() {
        let pieces: [fn(&mut Writer<'_>); 6] = [
            |w| _ = w.put(b"abcd"),
            |w| _ = w.decimal(1234),
            |w| _ = w.hex(&[1, 2]),
            |w| _ = w.base64(&[1]),
            |w| _ = w.ip([1, 2, 3, 4].into()),
            |w| _ = w.ip([1u16, 2, 3, 4, 5, 6, 7, 8].into()),
        ];
        for piece in pieces {
            let mut out = [0; 5];
            let mut writer = Writer::new(&mut out);
            writer.text("ab");
            piece(&mut writer);
            assert!(writer.has_overflowed());
            writer.text("c").base64(b"").ip([0; 4].into());
            assert!(writer.as_written().starts_with(b"ab") && writer.len() <= 5);
            assert_eq!(writer.done(), Err(WriteError));
        }
        let mut out = [0; 20];
        assert_eq!(Writer::new(&mut out).finish(), Err(WriteError));
        let mut out = [0; 21];
        assert_eq!(Writer::new(&mut out).finish(), Ok(21));
    }

    #[test]
    fn responses_mirror_the_request() {
        let request =
            b"MESSAGE sip:a SIP/2.0\r\nv: 1\r\nCSeq: 1 MESSAGE\r\nVia: 2\r\nf: <sip:f>\r\n\
            t:   <sip:t>  \r\ni: c\r\nRecord-Route: <sip:r>\r\n\r\n";
        let mut index = Index::default();
        let message = parse(request, &mut index).unwrap();
        let mut out = [0; 400];
        let len = response(&message, 200, Some(b"x"), &mut out).finish().unwrap();
        assert_eq!(
            std::str::from_utf8(&out[..len]).unwrap(),
            "SIP/2.0 200 OK\r\nv: 1\r\nVia: 2\r\nf: <sip:f>\r\nTo: <sip:t>;tag=x\r\ni: c\r\n\
             CSeq: 1 MESSAGE\r\nContent-Length: 0\r\n\r\n"
        );
        let len = response(&message, 100, None, &mut out).finish_with_body("a/b", b"c").unwrap();
        let text = std::str::from_utf8(&out[..len]).unwrap();
        assert!(text.contains("\r\nt:   <sip:t>  \r\n"));
        assert!(text.ends_with("Content-Type: a/b\r\nContent-Length: 1\r\n\r\nc"));
        let tagged = b"MESSAGE sip:a SIP/2.0\r\nTo: <sip:t>;tag=y\r\n\r\n";
        let mut index = Index::default();
        let message = parse(tagged, &mut index).unwrap();
        let writer = response(&message, 200, Some(b"x"), &mut out);
        assert!(writer.as_written().ends_with(b"To: <sip:t>;tag=y\r\n"));
    }
}
