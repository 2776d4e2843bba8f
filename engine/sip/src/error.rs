//! What peers get wrong: typed, with what was expected and what came.

use crate::header::HeaderName;
use std::fmt;

/// A message that can't be read at all.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct ParseError {
    /// Offset into the bytes behind any leading CRLFs.
    pub offset: u16,
    /// What should have been there.
    pub expected: Expected,
    /// The byte that was there; `None` at the end of the message.
    pub found: Option<u8>,
}

/// What [`parse`](fn@crate::parse) looked for in vain.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Expected {
    /// At least one byte behind leading CRLFs.
    Bytes,
    /// At most 65,535 bytes.
    ShorterMessage,
    /// A method: a token and one space.
    Method,
    /// A Request-URI without white space, and one space.
    RequestUri,
    /// `SIP/` digits `.` digits.
    Version,
    /// Three digits from 100 to 699.
    StatusCode,
    /// A reason phrase without control characters.
    ReasonPhrase,
    /// A header name: a token, and a colon.
    HeaderName,
    /// CRLF: no NUL, bare CR or bare LF in a line.
    EndOfLine,
    /// An empty line behind the headers.
    EndOfHeaders,
    /// At most [`MAX_HEADERS`](crate::MAX_HEADERS) headers.
    FewerHeaders,
    /// A decimal Content-Length, the same in each line that has one.
    ContentLength,
    /// As many bytes of body as Content-Length says.
    Body,
}

/// A header's value (or a URI) that is not what its grammar says.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct FieldError {
    /// The header, where it is known.
    pub header: Option<HeaderName>,
    /// What should have been there.
    pub expected: &'static str,
    /// Offset into the value; an absent header has offset 0 and nothing found.
    pub offset: u16,
    /// The byte that was there; `None` at the end.
    pub found: Option<u8>,
}

/// A message that can be read, but that RFC 3261 wants refused.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct CheckError {
    /// The status code to answer with: 400 or 505.
    pub status: u16,
    /// The reason phrase to answer with.
    pub reason: &'static str,
    /// The header at fault, if one is.
    pub header: Option<HeaderName>,
}

/// The output buffer (or a list of edits) was too small.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct WriteError;

impl FieldError {
    /// Nothing there at all.
    pub(crate) const fn absent(header: HeaderName, expected: &'static str) -> FieldError {
        FieldError { header: Some(header), expected, offset: 0, found: None }
    }

    /// The same error, said of `header`.
    pub(crate) fn in_header(mut self, header: HeaderName) -> FieldError {
        self.header = Some(header);
        self
    }
}

/// Says of which header an error is. In place: what was found is large, and stays where it is.
#[inline(always)]
pub(crate) fn name_header<T>(found: &mut Result<T, FieldError>, header: HeaderName) {
    if let Err(error) = found {
        error.header = Some(header);
    }
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "expected {:?} at {}, ", self.expected, self.offset)?;
        found(self.found, f)
    }
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.header.map_or("value", HeaderName::as_str);
        write!(f, "{name}: expected {} at {}, ", self.expected, self.offset)?;
        found(self.found, f)
    }
}

impl fmt::Display for CheckError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.status, self.reason)
    }
}

impl fmt::Display for WriteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the message does not fit the buffer")
    }
}

impl std::error::Error for ParseError {}
impl std::error::Error for FieldError {}
impl std::error::Error for CheckError {}
impl std::error::Error for WriteError {}

fn found(byte: Option<u8>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match byte {
        Some(byte) => write!(f, "found '{}'", byte.escape_ascii()),
        None => f.write_str("found the end"),
    }
}
