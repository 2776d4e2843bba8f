//! Messages out of a stream (RFC 3261 18.3), without I/O.

use crate::header::HeaderName;
use crate::scan::{decimal, trim, trim_end};

/// What the bytes at the start of a stream's buffer are.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Frame {
    /// CRLF CRLF: a keep-alive to be answered with CRLF (RFC 5626 4.4.1); drop `consumed` bytes.
    Ping {
        /// How many bytes it is.
        consumed: usize,
    },
    /// CRLF: an answer to a keep-alive, or padding; drop `consumed` bytes.
    Pong {
        /// How many bytes it is.
        consumed: usize,
    },
    /// The first `len` bytes are a message.
    Message {
        /// How many bytes it is.
        len: usize,
    },
    /// More bytes are needed.
    Incomplete,
}

/// Why a stream can't be followed any further: close it.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum FrameError {
    /// The message is longer than allowed.
    TooLong,
    /// No Content-Length, which RFC 3261 20.14 demands on streams.
    NoContentLength,
    /// Content-Length lines that are no number or disagree.
    BadContentLength,
}

/// Cuts a stream into messages. It remembers how far it has looked, so that a message that comes
/// byte by byte is not scanned from its start each time.
#[derive(Clone, Debug)]
pub struct Framer {
    max_bytes: usize,
    /// How many buffered bytes are known not to end the headers.
    scanned: usize,
    /// The message's length, once its headers are complete; 0 before.
    total: usize,
    /// The last thing consumed was a lone CRLF, which may be the first half of a ping.
    half_ping: bool,
}

impl Framer {
    /// A framer that takes messages of up to `max_bytes`, at most 65,535.
    pub fn new(max_bytes: usize) -> Framer {
        assert!(max_bytes <= usize::from(u16::MAX), "no message is longer than spans reach");
        Framer { max_bytes, scanned: 0, total: 0, half_ping: false }
    }

    /// Looks at what has arrived and is not consumed yet: `buffered` starts where the last frame
    /// ended, and only grows while the answer is [`Frame::Incomplete`].
    ///
    /// # Errors
    /// If the stream is broken and must be closed.
    pub fn frame(&mut self, buffered: &[u8]) -> Result<Frame, FrameError> {
        match buffered {
            [] | [b'\r'] => return Ok(Frame::Incomplete),
            [b'\r', b'\n', b'\r', b'\n', ..] => {
                self.half_ping = false;
                return Ok(Frame::Ping { consumed: 4 });
            }
            [b'\r', b'\n', ..] if self.half_ping => {
                self.half_ping = false;
                return Ok(Frame::Ping { consumed: 2 });
            }
            [b'\r', b'\n', ..] => {
                self.half_ping = true;
                return Ok(Frame::Pong { consumed: 2 });
            }
            _ => self.half_ping = false,
        }
        if self.total == 0 {
            let from = self.scanned.saturating_sub(3).min(buffered.len());
            let Some(at) = memchr::memmem::find(&buffered[from..], b"\r\n\r\n") else {
                self.scanned = buffered.len();
                let too_long = buffered.len() >= self.max_bytes;
                return if too_long { Err(FrameError::TooLong) } else { Ok(Frame::Incomplete) };
            };
            let head = from + at + 4;
            self.total = head.saturating_add(content_length(&buffered[..head])?);
        }
        if self.total > self.max_bytes {
            return Err(FrameError::TooLong);
        }
        if buffered.len() < self.total {
            return Ok(Frame::Incomplete);
        }
        let len = self.total;
        (self.scanned, self.total) = (0, 0);
        Ok(Frame::Message { len })
    }
}

/// What the Content-Length lines in `head` say.
fn content_length(head: &[u8]) -> Result<usize, FrameError> {
    let mut length = None;
    let mut rest = head;
    while !rest.is_empty() {
        let (line, after) = rest.split_at(line_len(rest));
        rest = after;
        let Some(colon) = memchr::memchr(b':', line) else { continue };
        if HeaderName::lookup(trim_end(&line[..colon])) != HeaderName::ContentLength {
            continue;
        }
        let stated = decimal(trim(&line[colon + 1..])).ok_or(FrameError::BadContentLength)?;
        if length.is_some_and(|length| length != stated) {
            return Err(FrameError::BadContentLength);
        }
        length = Some(stated);
    }
    let length = length.ok_or(FrameError::NoContentLength)?;
    usize::try_from(length).map_err(|_| FrameError::TooLong)
}

/// The length of the first line with what is folded into it.
fn line_len(text: &[u8]) -> usize {
    let mut end = 0;
    loop {
        match memchr::memchr(b'\n', &text[end..]) {
            Some(at) => end += at + 1,
            None => return text.len(),
        }
        if !matches!(text.get(end), Some(b' ' | b'\t')) {
            return end;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "OPTIONS sip:a SIP/2.0\r\nX: y\r\n";

    /// All frames of a stream that arrives in pieces of `step` bytes.
    fn frames(stream: &[u8], step: usize) -> Result<Vec<Frame>, FrameError> {
        let mut framer = Framer::new(1000);
        let (mut start, mut end) = (0, 0);
        let mut found = Vec::new();
        while start < stream.len() {
            end = (end + step).min(stream.len());
            loop {
                let frame = framer.frame(&stream[start..end])?;
                start += match frame {
                    Frame::Ping { consumed } | Frame::Pong { consumed } => consumed,
                    Frame::Message { len } => len,
                    Frame::Incomplete => break,
                };
                found.push(frame);
            }
            if end == stream.len() {
                break;
            }
        }
        Ok(found)
    }

    #[test]
    fn messages_come_out_whole_however_they_arrive() {
        let one = format!("{HEAD}Content-Length: 4\r\n\r\nab\r\n");
        let two = format!("{HEAD}l :\r\n 0\r\n\r\n");
        let stream = format!("{one}{two}{one}");
        let expected: Vec<_> =
            [&one, &two, &one].map(|message| Frame::Message { len: message.len() }).into();
        for step in [1, 2, 3, 7, 50, 1000] {
            assert_eq!(frames(stream.as_bytes(), step).unwrap(), expected, "step {step}");
        }
    }

    #[test]
    fn keep_alives() {
        let message = format!("{HEAD}l: 0\r\n\r\n");
        let ping = Frame::Ping { consumed: 4 };
        let stream = format!("\r\n\r\n{message}\r\n{message}");
        let len = message.len();
        let (pong, message) = (Frame::Pong { consumed: 2 }, Frame::Message { len });
        assert_eq!(frames(stream.as_bytes(), 1000).unwrap(), [ping, message, pong, message]);
        // In two pieces a ping is a pong and then a ping.
        let half = Frame::Ping { consumed: 2 };
        assert_eq!(frames(b"\r\n\r\n", 2).unwrap(), [pong, half]);
        assert_eq!(frames(b"\r", 1).unwrap(), []);
    }

    #[test]
    fn broken_streams() {
        let error = |lines: &str| frames(format!("{HEAD}{lines}\r\n").as_bytes(), 9).unwrap_err();
        assert_eq!(error(""), FrameError::NoContentLength);
        assert_eq!(error("l: -1\r\n"), FrameError::BadContentLength);
        assert_eq!(error("l: 1\r\nl: 2\r\n"), FrameError::BadContentLength);
        assert_eq!(error("l: 99999999999999999999999\r\n"), FrameError::TooLong);
        assert_eq!(error("l: 990\r\n"), FrameError::TooLong);
        assert_eq!(frames(&[b'x'; 2000], 100).unwrap_err(), FrameError::TooLong);
    }
}
