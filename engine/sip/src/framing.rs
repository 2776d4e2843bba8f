//! Messages out of a stream (RFC 3261 18.3), without I/O.
#![allow(clippy::todo, unused_variables)]

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

/// Cuts a stream into messages.
#[derive(Clone, Debug)]
pub struct Framer {
    max_bytes: usize,
    scanned: usize,
}

impl Framer {
    /// A framer that takes messages of up to `max_bytes`, at most 65,535.
    pub fn new(max_bytes: usize) -> Framer {
        Framer { max_bytes, scanned: 0 }
    }

    /// Looks at what has arrived and is not consumed yet.
    ///
    /// # Errors
    /// If the stream is broken and must be closed.
    pub fn frame(&mut self, buffered: &[u8]) -> Result<Frame, FrameError> {
        todo!()
    }
}
