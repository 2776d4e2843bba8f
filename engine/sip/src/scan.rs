//! Byte classes and the cursor that the field parsers share.

use crate::error::FieldError;
use crate::marks::marks;

/// RFC 3261 25.1 `token`.
pub(crate) const TOKEN: u16 = 1;
/// White space, of which a fold's CRLF is a part.
pub(crate) const SPACE: u16 = 2;
/// What may stand in a URI.
pub(crate) const URI: u16 = 4;
/// What may stand in a host name (the underscore, because operators use it).
pub(crate) const HOST: u16 = 8;
/// What may stand in a URI and doesn't divide it: neither `@` nor `:` nor `?`.
pub(crate) const URI_PART: u16 = 16;
/// What a parameter's unquoted value may hold: tokens and hosts, and, as real messages have them,
/// URIs.
pub(crate) const VALUE: u16 = 32;
/// What may stand in a URI's scheme.
pub(crate) const SCHEME: u16 = 64;
/// Decimal digits.
pub(crate) const DIGIT: u16 = 128;
/// What an authentication parameter's unquoted value may hold: tokens by the grammar; base64 and
/// URIs are met as well.
pub(crate) const AUTH_VALUE: u16 = 256;
/// Words of a display name, and the white space between them.
pub(crate) const WORDS: u16 = 512;
/// Classes that have all that is plain.
const PLAIN: u16 = TOKEN | URI | HOST | URI_PART | VALUE | AUTH_VALUE | WORDS;

/// The classes of each byte.
static CLASS: [u16; 256] = {
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
        if class[byte] & URI != 0 && !matches!(b, b'@' | b':' | b'?') {
            class[byte] |= URI_PART;
        }
        if class[byte] & (TOKEN | URI) != 0 && !matches!(b, b';' | b',') {
            class[byte] |= VALUE;
        }
        if b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.') {
            class[byte] |= SCHEME;
        }
        if b.is_ascii_digit() {
            class[byte] |= DIGIT;
        }
        if class[byte] & SPACE == 0 && !matches!(b, b',' | b'"') {
            class[byte] |= AUTH_VALUE;
        }
        if class[byte] & (TOKEN | SPACE) != 0 || b >= 0x80 {
            class[byte] |= WORDS;
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

/// The offset, `at` or behind it, of the first byte that is not of `class`, or the text's length.
#[inline]
pub(crate) fn skip(text: &[u8], mut at: usize, class: u16) -> usize {
    while let Some(&byte) = text.get(at)
        && CLASS[usize::from(byte)] & class != 0
    {
        at += 1;
    }
    at
}

/// How much white space (and folds) `text` starts with.
#[cold]
fn spaces(text: &[u8]) -> usize {
    skip(text, 0, SPACE)
}

/// `text` before and from its first byte that is not of `class`.
#[inline]
pub(crate) fn split(text: &[u8], class: u16) -> (&[u8], &[u8]) {
    text.split_at_checked(skip(text, 0, class)).unwrap_or((text, b""))
}

/// As [`split`], but a quoted string goes whole; `None` if it doesn't end.
#[inline]
pub(crate) fn split_value(text: &[u8], class: u16) -> Option<(&[u8], &[u8])> {
    match text {
        [b'"', ..] => text.split_at_checked(quoted_len(text)?),
        _ => Some(split(text, class)),
    }
}

/// How long a token may be that is compared as one number.
pub(crate) const WORD_BYTES: usize = 8;

/// A token of up to eight bytes as one number in which letters have no case; 0 for a longer one.
/// Exact where it is compared with a name of letters, digits and hyphens: no other byte of a token
/// folds to one of these.
#[inline]
pub(crate) const fn folded(token: &[u8]) -> u64 {
    const CASE: u64 = 0x2020_2020_2020_2020;
    let len = token.len();
    if len > WORD_BYTES {
        return 0;
    }
    let word =
        if let (Some(first), Some(last)) = (token.first_chunk::<4>(), token.last_chunk::<4>()) {
            // Where the two overlap they agree.
            let last = u32::from_le_bytes(*last) as u64;
            u32::from_le_bytes(*first) as u64 | last << ((len - 4) * 8)
        } else {
            match token {
                [a, b, c] => *a as u64 | (*b as u64) << 8 | (*c as u64) << 16,
                [a, b] => *a as u64 | (*b as u64) << 8,
                [a] => *a as u64,
                _ => return 0,
            }
        };
    word | CASE >> ((8 - len) * 8)
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

/// How many digits always fit a u64.
const DIGITS_MAX: usize = 19;

/// A decimal number and nothing else; `None` if it is none, `u64::MAX` where it is larger.
#[inline]
pub(crate) fn decimal(text: &[u8]) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    // Longer ones, with leading zeros or too large, are rare.
    let saturates = text.len() > DIGITS_MAX;
    let mut number = 0u64;
    for &byte in text {
        let digit = u64::from(byte.wrapping_sub(b'0'));
        if digit > 9 {
            return None;
        }
        number = if saturates {
            number.saturating_mul(10).saturating_add(digit)
        } else {
            number * 10 + digit
        };
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
///
/// Most bytes of a value are [plain](crate::marks): they are of every class that a value's parts have. So it looks at the others only,
/// which it finds 64 bytes at a time.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Cursor<'b> {
    text: &'b [u8],
    /// Up to the text's length.
    at: usize,
    /// Which of the bytes from here on may not be plain, a bit for each, those behind the end included. Where none is set nothing is
    /// known.
    marks: u64,
}

impl<'b> Cursor<'b> {
    #[inline(always)]
    pub(crate) fn new(text: &'b [u8]) -> Cursor<'b> {
        Cursor { text, at: 0, marks: 0 }
    }

    /// At an offset that may be anywhere up to the text's length.
    #[inline(always)]
    pub(crate) fn at(text: &'b [u8], at: usize) -> Cursor<'b> {
        debug_assert!(at <= text.len());
        Cursor { text, at, marks: 0 }
    }

    /// The text from its start.
    #[inline(always)]
    pub(crate) fn text(&self) -> &'b [u8] {
        self.text
    }

    /// The text from `start`, an offset that it has been at, up to here.
    #[inline(always)]
    pub(crate) fn since(&self, start: usize) -> &'b [u8] {
        &self.text[start..self.at]
    }

    /// How many bytes lie before this place.
    #[inline(always)]
    pub(crate) fn offset(&self) -> usize {
        self.at
    }

    /// The byte here.
    #[inline(always)]
    pub(crate) fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    /// All that is left.
    #[inline(always)]
    pub(crate) fn rest(&self) -> &'b [u8] {
        &self.text[self.at..]
    }

    /// Steps over so many bytes, which are there, and returns them.
    #[inline(always)]
    pub(crate) fn take(&mut self, count: usize) -> &'b [u8] {
        let start = self.at;
        self.at += count;
        self.marks = self.marks.unbounded_shr(count as u32);
        self.since(start)
    }

    /// Steps over one byte, which is there.
    #[inline(always)]
    pub(crate) fn step(&mut self) {
        self.at += 1;
        self.marks >>= 1;
    }

    /// Steps over white space.
    #[inline(always)]
    pub(crate) fn space(&mut self) {
        if self.peek().is_some_and(|byte| byte <= b' ') {
            self.take(spaces(self.rest()));
        }
    }

    /// Steps over `byte` if it is here.
    #[inline(always)]
    pub(crate) fn accept(&mut self, byte: u8) -> bool {
        let is_here = self.peek() == Some(byte);
        if is_here {
            self.step();
        }
        is_here
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

    /// Steps over the bytes of `class`, which has all that is plain, and returns them, which may be none.
    #[inline(always)]
    pub(crate) fn while_class(&mut self, class: u16) -> &'b [u8] {
        debug_assert!(class & PLAIN != 0);
        let start = self.at;
        self.plain();
        while let Some(byte) = self.peek()
            && CLASS[usize::from(byte)] & class != 0
        {
            self.step();
            self.plain();
        }
        self.since(start)
    }

    /// Steps over plain bytes, mostly over all that are here.
    #[inline(always)]
    fn plain(&mut self) {
        if self.marks == 0 {
            self.marks = marks(self.text, self.at);
        }
        let count = self.marks.trailing_zeros();
        self.at += count as usize;
        self.marks >>= count;
    }

    /// Steps over decimal digits; the number, `u64::MAX` where it is larger, or `None` if there are none.
    #[inline(always)]
    pub(crate) fn number(&mut self) -> Option<u64> {
        let (mut number, mut count) = (0u64, 0);
        for byte in self.rest() {
            let digit = byte.wrapping_sub(b'0');
            if digit > 9 {
                break;
            }
            number = number.wrapping_mul(10).wrapping_add(u64::from(digit));
            count += 1;
        }
        let digits = self.take(count);
        if count > DIGITS_MAX { decimal(digits) } else { (count > 0).then_some(number) }
    }

    /// Steps over a token.
    #[inline(always)]
    pub(crate) fn token(&mut self, expected: &'static str) -> Result<&'b [u8], FieldError> {
        let token = self.while_class(TOKEN);
        if token.is_empty() { Err(self.error(expected)) } else { Ok(token) }
    }

    /// Steps over white space, which is mostly not there, and a token.
    #[inline(always)]
    pub(crate) fn spaced_token(&mut self, expected: &'static str) -> Result<&'b [u8], FieldError> {
        let token = self.while_class(TOKEN);
        if !token.is_empty() {
            return Ok(token);
        }
        self.space();
        self.token(expected)
    }

    /// Steps over white space, which is mostly not there, and `byte` if it is behind that.
    #[inline(always)]
    pub(crate) fn spaced(&mut self, byte: u8) -> bool {
        self.accept(byte) || {
            self.space();
            self.accept(byte)
        }
    }

    /// Steps over the bytes before `end`, or over all that are left.
    #[inline]
    pub(crate) fn until(&mut self, end: u8) -> &'b [u8] {
        let rest = self.rest();
        self.take(memchr::memchr(end, rest).unwrap_or(rest.len()))
    }

    /// Steps over the quoted string that begins here and returns it without its quotes.
    #[inline(always)]
    pub(crate) fn quoted(&mut self) -> Result<&'b [u8], FieldError> {
        let start = self.at + 1;
        loop {
            self.step();
            self.plain();
            match self.peek() {
                Some(b'"') => {
                    let inner = self.since(start);
                    self.step();
                    return Ok(inner);
                }
                Some(b'\\') if self.at + 1 < self.text.len() => self.step(),
                Some(b'\\') => break,
                Some(_) => {}
                None => break,
            }
        }
        self.at = self.text.len();
        Err(self.error("a closing quote"))
    }

    /// Steps over white space, which is mostly not there, and a value of `class` or a quoted string; returns it without quotes, and
    /// whether it had them.
    #[inline(always)]
    pub(crate) fn value(&mut self, class: u16) -> Result<(&'b [u8], bool), FieldError> {
        loop {
            if self.peek() == Some(b'"') {
                return Ok((self.quoted()?, true));
            }
            let value = self.while_class(class);
            if !value.is_empty() {
                return Ok((value, false));
            }
            if !self.peek().is_some_and(is_space) {
                return Err(self.error("a parameter value"));
            }
            self.space();
        }
    }

    /// Whether nothing but white space is left.
    #[inline(always)]
    pub(crate) fn at_end(&mut self) -> bool {
        self.space();
        self.at >= self.text.len()
    }

    /// An error that says what is here.
    #[cold]
    pub(crate) fn error(self, expected: &'static str) -> FieldError {
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
    fn tokens_fold_to_numbers() {
        const NAMES: [&[u8]; 9] =
            [b"q", b"lr", b"alg", b"ealg", b"spi-c", b"spi-s", b"port-c", b"nc", b"username"];
        for name in NAMES {
            assert_eq!(folded(name), folded(&name.to_ascii_uppercase()));
            for other in NAMES {
                assert_eq!(folded(name) == folded(other), name == other);
            }
            // No other token is taken for the name, whichever of its bytes differs.
            for at in 0..name.len() {
                for byte in (0..=255).filter(|&byte| is_token(byte)) {
                    let mut other = name.to_vec();
                    other[at] = byte;
                    let same = other.eq_ignore_ascii_case(name);
                    assert_eq!(folded(&other) == folded(name), same, "{}", other.escape_ascii());
                }
            }
        }
        assert_eq!((folded(b""), folded(b"ninechars")), (0, 0));
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
