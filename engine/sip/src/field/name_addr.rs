//! name-addr and addr-spec with parameters: From, To, Contact, Route and their like.

use crate::error::FieldError;
use crate::params::{self, Params};
use crate::scan::{Cursor, WORDS, folded, is_space, trim_end};
use crate::uri::{Marks, Uri};

/// An address: display name, URI, parameters.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct NameAddr<'b> {
    /// The display name as spelled, quotes and escapes included; empty if there is none.
    pub display: &'b [u8],
    /// The URI.
    pub uri: Uri<'b>,
    /// The URI's text, without angle brackets.
    pub uri_text: &'b [u8],
    /// The header's parameters (not the URI's).
    pub params: Params<'b>,
}

impl<'b> NameAddr<'b> {
    /// Takes one value (one list element) apart. Without angle brackets all parameters are the
    /// header's, and the URI must have no comma or question mark (RFC 3261 20.10).
    ///
    /// # Errors
    /// If the display name, the URI or a parameter is not as RFC 3261 25.1 wants it.
    pub fn parse(value: &'b [u8]) -> Result<NameAddr<'b>, FieldError> {
        params::whole(value, NameAddr::element)
    }

    /// The `tag` in one value that [`parse`](Self::parse) takes: for those who need no more of it.
    ///
    /// # Errors
    /// As [`parse`](Self::parse).
    pub(crate) fn tag_of(value: &'b [u8]) -> Result<Option<&'b [u8]>, FieldError> {
        const TAG: u64 = folded(b"tag");
        let (mut tag, mut end) = (None, 0);
        NameAddr::each(value, &mut end, |name, value| {
            if tag.is_none() && folded(name) == TAG {
                tag = Some(value);
            }
        })?;
        params::ends(value, end).map(|()| tag.flatten())
    }

    /// Takes one apart that ends at a comma or with the text, and sets `end` to where that is.
    pub(crate) fn element(text: &'b [u8], end: &mut usize) -> Result<NameAddr<'b>, FieldError> {
        NameAddr::each(text, end, |_, _| {})
    }

    /// As [`element`](Self::element), and hands each parameter to `take`. Inlined, so that what its
    /// caller doesn't use isn't put together.
    #[inline(always)]
    fn each(
        text: &'b [u8],
        stop: &mut usize,
        take: impl FnMut(&'b [u8], Option<&'b [u8]>),
    ) -> Result<NameAddr<'b>, FieldError> {
        let mut cursor = Cursor::new(text);
        cursor.space();
        let mut display = &b""[..];
        if cursor.peek() != Some(b'<') {
            let end;
            (display, end) = display_name(cursor)?;
            cursor = Cursor::at(text, end);
            cursor.space();
        }
        let uri;
        if cursor.accept(b'<') {
            let start = cursor.offset();
            // What ends the URI is mostly the bracket; if not, which of the two is wrong must be found out.
            match Marks::new(&mut cursor) {
                Ok(marks) if cursor.accept(b'>') => uri = marks.uri(text)?,
                _ => return Err(wrong_bracketed(text, start)),
            }
        } else if display.is_empty() {
            let end;
            (uri, end) = bare(cursor)?;
            cursor = Cursor::at(text, end);
        } else {
            return Err(cursor.error("an opening angle bracket"));
        }
        let params = Params::each(&mut cursor, take)?;
        *stop = cursor.offset();
        Ok(NameAddr { display, uri, uri_text: uri.text, params })
    }

    /// The `tag` parameter.
    pub fn tag(&self) -> Option<&'b [u8]> {
        self.params.value("tag")
    }
}

/// What is wrong with the URI in brackets that starts at `start`.
#[cold]
fn wrong_bracketed(text: &[u8], start: usize) -> FieldError {
    let mut cursor = Cursor::at(text, start);
    let uri = cursor.until(b'>');
    match located(uri, start) {
        Err(error) if cursor.peek().is_some() => error,
        _ => cursor.error("a closing angle bracket"),
    }
}

/// A URI without brackets, which ends before a parameter, and where that is.
fn bare(mut cursor: Cursor<'_>) -> Result<(Uri<'_>, usize), FieldError> {
    let rest = cursor.rest();
    let ends = |&byte: &u8| is_space(byte) || b";?,".contains(&byte);
    let start = cursor.offset();
    let uri = cursor.take(rest.iter().position(ends).unwrap_or(rest.len()));
    if let Some(b'?' | b',') = cursor.peek() {
        return Err(cursor.error("angle brackets around such a URI"));
    }
    Ok((located(uri, start)?, cursor.offset()))
}

/// Takes the URI apart that starts at `start`, so that an error says where in the value it is.
fn located(uri: &[u8], start: usize) -> Result<Uri<'_>, FieldError> {
    Uri::parse(uri).map_err(|mut error| {
        error.offset = error.offset.saturating_add(start as u16);
        error
    })
}

/// A display name, a quoted string or words before an angle bracket, and where it ends.
fn display_name(mut cursor: Cursor<'_>) -> Result<(&[u8], usize), FieldError> {
    let start = cursor.offset();
    if cursor.peek() == Some(b'"') {
        cursor.quoted()?;
        return Ok((cursor.since(start), cursor.offset()));
    }
    let words = cursor.while_class(WORDS);
    match cursor.peek() {
        Some(b'<') => Ok((trim_end(words), cursor.offset())),
        // An addr-spec: its scheme is a token, and a colon follows.
        Some(b':') => Ok((b"", start)),
        _ => Err(cursor.error("an angle bracket or a URI")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(text: &str) -> (&str, &str, &str) {
        let found = NameAddr::parse(text.as_bytes()).unwrap();
        let text = |bytes| std::str::from_utf8(bytes).unwrap();
        (text(found.display), text(found.uri_text), text(found.params.0))
    }

    #[test]
    fn forms() {
        assert_eq!(parts("<sip:a;x>;tag=1"), ("", "sip:a;x", ";tag=1"));
        assert_eq!(parts("sip:a@b;tag=1"), ("", "sip:a@b", ";tag=1"));
        assert_eq!(parts("tel:+1;tag=1"), ("", "tel:+1", ";tag=1"));
        assert_eq!(parts("A B <sip:a> ; tag=1"), ("A B", "sip:a", "; tag=1"));
        assert_eq!(parts("caller<sip:a>"), ("caller", "sip:a", ""));
        assert_eq!(parts("\"<,\\\"\" <sip:a>"), ("\"<,\\\"\"", "sip:a", ""));
        assert_eq!(parts("J\u{fc}rgen <sip:a>"), ("J\u{fc}rgen", "sip:a", ""));
        assert_eq!(parts("<sip:a?b=c,d>"), ("", "sip:a?b=c,d", ""));
        let tagged = NameAddr::parse(b"<sip:a;tag=x>;TAG=y").unwrap();
        assert_eq!(tagged.tag(), Some(&b"y"[..]));
    }

    #[test]
    fn what_is_refused() {
        for bad in [
            "",
            "*",
            "<>",
            "<sip:a",
            "A <sip:a",
            "\"A <sip:a>",
            "A, B <sip:a>",
            "\"A\" sip:a",
            "< sip:a >",
            "sip:a?b=c",
            "sip:a,sip:b",
            "<sip:a>;;",
            "<sip:a> x",
            "sip:a b",
        ] {
            assert!(NameAddr::parse(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_tag_without_the_rest() {
        for value in [
            "<sip:a;tag=x>;TAG=y",
            "sip:a;x=1;tag=y;tag=z",
            "A <sip:a>;tag;tag=z",
            "<sip:a>",
            "<sip:a>;tag=\"q\"",
            "<sip:a>;tag=1,<sip:b>",
            "<sip:a>;tag=",
            "<sip:a",
        ] {
            let whole = NameAddr::parse(value.as_bytes()).map(|found| found.tag());
            assert_eq!(NameAddr::tag_of(value.as_bytes()), whole, "{value}");
        }
    }

    #[test]
    fn errors_say_where() {
        let error = NameAddr::parse(b"A <sip:a b>").unwrap_err();
        assert_eq!((error.offset, error.found), (8, Some(b' ')));
    }
}
