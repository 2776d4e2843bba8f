//! Byte classes and the cursor that the field parsers share.

use crate::error::FieldError;

const TOKEN: u8 = 1;
const SPACE: u8 = 2;
const URI: u8 = 4;
const HOST: u8 = 8;

/// The classes of each byte.
static CLASS: [u8; 256] = {
    let mut class = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let b = byte as u8;
        if b.is_ascii_alphanumeric()
            || matches!(b, b'-' | b'.' | b'!' | b'%' | b'*' | b'_' | b'+' | b'`' | b'\'' | b'~')
        {
            class[byte] |= TOKEN;
        }
        if matches!(b, b' ' | b'\t' | b'\r' | b'\n') {
            class[byte] |= SPACE;
        }
        // Wider than RFC 3261's: real messages carry UTF-8 and brackets. What would end or split a
        // header stays out.
        if b > b' ' && b != 0x7f && !matches!(b, b'<' | b'>' | b'"' | b'\\') {
            class[byte] |= URI;
        }
        if b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_') {
            class[byte] |= HOST;
        }
        byte += 1;
    }
    class
};

/// RFC 3261 25.1 `token`.
#[inline]
pub(crate) fn is_token(byte: u8) -> bool {
    CLASS[usize::from(byte)] & TOKEN != 0
}

/// White space, of which a fold's CRLF is a part.
#[inline]
pub(crate) fn is_space(byte: u8) -> bool {
    CLASS[usize::from(byte)] & SPACE != 0
}

/// What may stand in a URI.
#[inline]
pub(crate) fn is_uri(byte: u8) -> bool {
    CLASS[usize::from(byte)] & URI != 0
}

/// What may stand in a host name (the underscore, because operators use it).
#[inline]
pub(crate) fn is_host(byte: u8) -> bool {
    CLASS[usize::from(byte)] & HOST != 0
}

/// `text` without white space (and folds) around it.
#[inline]
pub(crate) fn trim(text: &[u8]) -> &[u8] {
    trim_end(trim_start(text))
}

/// `text` without white space (and folds) before it.
#[inline]
pub(crate) fn trim_start(mut text: &[u8]) -> &[u8] {
    while let [first, rest @ ..] = text
        && is_space(*first)
    {
        text = rest;
    }
    text
}

/// `text` without white space (and folds) behind it.
#[inline]
pub(crate) fn trim_end(mut text: &[u8]) -> &[u8] {
    while let [rest @ .., last] = text
        && is_space(*last)
    {
        text = rest;
    }
    text
}

/// `text` without the quotes around it, if it has both. Escapes in it stay as they are.
#[inline]
pub(crate) fn unquote(text: &[u8]) -> &[u8] {
    match text {
        [b'"', inner @ .., b'"'] => inner,
        _ => text,
    }
}

/// A decimal number and nothing else; `None` if it is none, `u64::MAX` where it is larger.
#[inline]
pub(crate) fn decimal(text: &[u8]) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    let mut number = 0u64;
    for &byte in text {
        if !byte.is_ascii_digit() {
            return None;
        }
        number = number.saturating_mul(10).saturating_add(u64::from(byte - b'0'));
    }
    Some(number)
}

/// A decimal number that fits a u32.
#[inline]
pub(crate) fn decimal_u32(text: &[u8]) -> Option<u32> {
    decimal(text).and_then(|number| u32::try_from(number).ok())
}

/// A decimal number that fits a u16.
#[inline]
pub(crate) fn decimal_u16(text: &[u8]) -> Option<u16> {
    decimal(text).and_then(|number| u16::try_from(number).ok())
}

/// The length of the quoted string that `text` starts with, quotes included; `None` if it starts
/// with none or the string doesn't end.
#[inline]
pub(crate) fn quoted_len(text: &[u8]) -> Option<usize> {
    if text.first() != Some(&b'"') {
        return None;
    }
    let mut at = 1;
    loop {
        at += memchr::memchr2(b'"', b'\\', text.get(at..)?)?;
        if text[at] == b'"' {
            return Some(at + 1);
        }
        at += 2;
    }
}

/// The offset of the first `separator` outside quotes and (where `angles`) angle brackets, or the
/// text's length. An unterminated quoted string reaches to the end.
#[inline]
pub(crate) fn find_outside(text: &[u8], separator: u8, angles: bool) -> usize {
    // Without angles the third needle is the separator again.
    let opening = if angles { b'<' } else { separator };
    let mut at = 0;
    while let Some(found) =
        text.get(at..).and_then(|rest| memchr::memchr3(separator, b'"', opening, rest))
    {
        at += found;
        let rest = &text[at..];
        at += match rest[0] {
            byte if byte == separator => return at,
            b'"' => quoted_len(rest).unwrap_or(rest.len()),
            _ => memchr::memchr(b'>', rest).map_or(rest.len(), |closing| closing + 1),
        };
    }
    text.len()
}

/// A place in a value that is being parsed.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) struct Cursor<'b> {
    text: &'b [u8],
    at: usize,
}

impl<'b> Cursor<'b> {
    pub(crate) fn new(text: &'b [u8]) -> Cursor<'b> {
        Cursor { text, at: 0 }
    }

    /// The byte here.
    #[inline]
    pub(crate) fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    /// All that is left.
    #[inline]
    pub(crate) fn rest(&self) -> &'b [u8] {
        self.text.get(self.at..).unwrap_or_default()
    }

    /// Steps over `count` bytes (or to the end) and returns them.
    #[inline]
    pub(crate) fn take(&mut self, count: usize) -> &'b [u8] {
        let rest = self.rest();
        let taken = &rest[..count.min(rest.len())];
        self.at += taken.len();
        taken
    }

    /// Steps over white space.
    #[inline]
    pub(crate) fn space(&mut self) {
        while self.peek().is_some_and(is_space) {
            self.at += 1;
        }
    }

    /// Steps over `byte` if it is here.
    #[inline]
    pub(crate) fn accept(&mut self, byte: u8) -> bool {
        let here = self.peek() == Some(byte);
        self.at += usize::from(here);
        here
    }

    /// Steps over white space, `byte`, white space.
    #[inline]
    pub(crate) fn separator(&mut self, byte: u8, expected: &'static str) -> Result<(), FieldError> {
        self.space();
        if !self.accept(byte) {
            return Err(self.error(expected));
        }
        self.space();
        Ok(())
    }

    /// Steps over the bytes for which `class` holds and returns them, which may be none.
    #[inline]
    pub(crate) fn while_class(&mut self, class: impl Fn(u8) -> bool) -> &'b [u8] {
        let rest = self.rest();
        let count = rest.iter().position(|&byte| !class(byte)).unwrap_or(rest.len());
        self.take(count)
    }

    /// Steps over a token.
    #[inline]
    pub(crate) fn token(&mut self, expected: &'static str) -> Result<&'b [u8], FieldError> {
        let token = self.while_class(is_token);
        if token.is_empty() { Err(self.error(expected)) } else { Ok(token) }
    }

    /// Steps over a quoted string and returns it with its quotes.
    #[inline]
    pub(crate) fn quoted(&mut self) -> Result<&'b [u8], FieldError> {
        match quoted_len(self.rest()) {
            Some(len) => Ok(self.take(len)),
            None => {
                self.at = self.text.len();
                Err(self.error("a closing quote"))
            }
        }
    }

    /// Whether nothing but white space is left.
    #[inline]
    pub(crate) fn at_end(&mut self) -> bool {
        self.space();
        self.at >= self.text.len()
    }

    /// An error that says what is here.
    #[cold]
    pub(crate) fn error(&self, expected: &'static str) -> FieldError {
        FieldError {
            header: None,
            expected,
            offset: u16::try_from(self.at).unwrap_or(u16::MAX),
            found: self.peek(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn separators_in_quotes_and_brackets_do_not_count() {
        assert_eq!(find_outside(b"a,b", b',', true), 1);
        assert_eq!(find_outside(b"\"x,\\\",\"<a,b>;c,d", b',', true), 14);
        assert_eq!(find_outside(b"<a,b>,", b',', false), 2);
        assert_eq!(find_outside(b"\"a,b", b',', true), 4);
        assert_eq!(find_outside(b"<a,b", b',', true), 4);
        assert_eq!(find_outside(b"", b',', true), 0);
    }

    #[test]
    fn quoted_strings_end_at_an_unescaped_quote() {
        assert_eq!(quoted_len(b"\"\"x"), Some(2));
        assert_eq!(quoted_len(b"\"a\\\"\\\\\"x"), Some(7));
        for open in [&b""[..], b"a", b"\"", b"\"a\\", b"\"a\\\""] {
            assert_eq!(quoted_len(open), None, "{open:?}");
        }
    }

    #[test]
    fn numbers_saturate_and_never_wrap() {
        assert_eq!(decimal(b"0068"), Some(68));
        assert_eq!(decimal(b"18446744073709551616"), Some(u64::MAX));
        assert_eq!(decimal_u32(b"4294967295"), Some(u32::MAX));
        assert_eq!(decimal_u32(b"4294967296"), None);
        assert_eq!(decimal_u16(b"65536"), None);
        for bad in [&b""[..], b"-1", b"+1", b"1 ", b"0x1"] {
            assert_eq!(decimal(bad), None);
        }
    }
}
