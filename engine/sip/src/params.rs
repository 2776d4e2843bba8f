//! `;name=value` parameters.

use crate::error::FieldError;
use crate::scan::{
    Cursor, TOKEN, VALUE, find_outside, is_space, split, split_value, trim, trim_end, unquote,
};

/// Parameters as they stand behind a value: `;name;name=value;name="value"`, or nothing.
#[derive(Copy, Clone, PartialEq, Eq, Default, Debug)]
pub struct Params<'b>(pub &'b [u8]);

impl<'b> Params<'b> {
    /// The parameter of that name (in any case): `None` if absent, `Some(None)` if it has no value.
    /// A quoted value comes without its quotes, its escapes as they are.
    pub fn get(&self, name: &str) -> Option<Option<&'b [u8]>> {
        self.iter()
            .find(|(found, _)| found.eq_ignore_ascii_case(name.as_bytes()))
            .map(|(_, value)| value)
    }

    /// The value of the parameter of that name; `None` if it is absent or has no value.
    pub fn value(&self, name: &str) -> Option<&'b [u8]> {
        self.get(name).flatten()
    }

    /// Whether there is a parameter of that name.
    pub fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// All parameters in order, name and value.
    pub fn iter(&self) -> ParamsIter<'b> {
        ParamsIter { rest: self.0 }
    }

    /// All parameters in order: the name, and all of it as it is spelled, without the semicolon.
    pub fn spelled(&self) -> impl Iterator<Item = (&'b [u8], &'b [u8])> {
        let mut params = self.iter();
        std::iter::from_fn(move || {
            let before = params.rest;
            let (name, _) = params.next()?;
            let text = before.get(..before.len() - params.rest.len())?;
            let start = text.iter().position(|byte| *byte != b';')?;
            Some((name, trim(text.get(start..)?)))
        })
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }

    /// Checks RFC 3261 25.1 `generic-param`: names are tokens, values tokens, hosts or quoted
    /// strings; nothing is empty. Steps over all that is left and returns the parameters.
    #[inline(always)]
    pub(crate) fn parse(cursor: &mut Cursor<'b>) -> Result<Params<'b>, FieldError> {
        let params = Params::each(cursor, |_, _| {})?;
        if cursor.peek().is_some() { Err(cursor.error("a semicolon")) } else { Ok(params) }
    }

    /// As [`parse`](Self::parse), but a comma ends the parameters as well, and each is handed to
    /// `take` as [`iter`](Self::iter) would give it, so that no one needs to go over them again.
    #[inline(always)]
    pub(crate) fn each(
        cursor: &mut Cursor<'b>,
        mut take: impl FnMut(&'b [u8], Option<&'b [u8]>),
    ) -> Result<Params<'b>, FieldError> {
        cursor.space();
        let start = cursor.offset();
        let params = loop {
            match cursor.peek() {
                Some(b';') => cursor.step(),
                None => break cursor.since(start),
                Some(b',') => break trim_end(cursor.since(start)),
                Some(byte) if is_space(byte) => {
                    cursor.space();
                    continue;
                }
                _ => return Err(cursor.error("a semicolon")),
            }
            let name = cursor.spaced_token("a parameter name")?;
            let mut value = None;
            if cursor.spaced(b'=') {
                value = Some(cursor.value(VALUE)?.0);
            }
            take(name, value);
        };
        Ok(Params(params))
    }
}

/// What parses one element of a list has stopped at a comma or at the end of `text`: here only the end will do.
#[inline]
pub(crate) fn ends(text: &[u8], stop: usize) -> Result<(), FieldError> {
    if stop < text.len() { Err(Cursor::at(text, stop).error("a semicolon")) } else { Ok(()) }
}

/// Takes apart what has to be one element and nothing else, by what parses one element of a list. The result stays where it was made.
#[inline]
pub(crate) fn whole<'b, T>(
    text: &'b [u8],
    element: impl FnOnce(&'b [u8], &mut usize) -> Result<T, FieldError>,
) -> Result<T, FieldError> {
    let mut stop = 0;
    let found = element(text, &mut stop);
    if found.is_ok() {
        ends(text, stop)?;
    }
    found
}

/// Iterates over [`Params`].
#[derive(Clone, Debug)]
pub struct ParamsIter<'b> {
    rest: &'b [u8],
}

impl<'b> Iterator for ParamsIter<'b> {
    type Item = (&'b [u8], Option<&'b [u8]>);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        loop {
            while let [b';', rest @ ..] = self.rest {
                self.rest = rest;
            }
            if self.rest.is_empty() {
                return None;
            }
            if let Some(found) = self.plain() {
                return Some(found);
            }
            if let Some(found) = self.odd() {
                return Some(found);
            }
        }
    }
}

impl<'b> ParamsIter<'b> {
    /// Steps over a parameter without white space and of the usual form; any other is left.
    #[inline]
    fn plain(&mut self) -> Option<(&'b [u8], Option<&'b [u8]>)> {
        let (name, behind) = split(self.rest, TOKEN);
        if name.is_empty() {
            return None;
        }
        let (value, rest) = match behind {
            [] | [b';', ..] => (None, behind),
            [b'=', behind @ ..] => {
                let (value, rest) = split_value(behind, VALUE)?;
                (Some(unquote(value)), rest)
            }
            _ => return None,
        };
        if !matches!(rest, [] | [b';', ..]) {
            return None;
        }
        self.rest = rest;
        Some((name, value))
    }

    /// Steps over a parameter of any form; `None` if it has no name or one with white space in it.
    #[cold]
    fn odd(&mut self) -> Option<(&'b [u8], Option<&'b [u8]>)> {
        let (param, rest) = self.rest.split_at(find_outside(self.rest, b';', false));
        self.rest = rest;
        let equals = memchr::memchr(b'=', param);
        let name = trim(&param[..equals.unwrap_or(param.len())]);
        if name.is_empty() || name.iter().any(|&byte| is_space(byte)) {
            return None;
        }
        Some((name, equals.map(|at| unquote(trim(&param[at + 1..])))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_any_case_and_quotes_off() {
        let params = Params(b";lr ; Q=0.5;x=\"a;b\\\"c\" ;LR2 = v");
        assert_eq!(params.get("LR"), Some(None));
        assert_eq!(params.value("q"), Some(&b"0.5"[..]));
        assert_eq!(params.value("x"), Some(&b"a;b\\\"c"[..]));
        assert_eq!(params.value("lr2"), Some(&b"v"[..]));
        assert_eq!(params.get("b"), None);
        let spelled: Vec<_> = params.spelled().map(|(_, text)| text).collect();
        assert_eq!(spelled, [&b"lr"[..], b"Q=0.5", b"x=\"a;b\\\"c\"", b"LR2 = v"]);
        assert_eq!(params.iter().count(), 4);
    }

    #[test]
    fn grammar() {
        for good in [&b""[..], b";a", b" ; a = b ;c=\"\"", b";a=[::1]", b";u=sip:x@y"] {
            assert!(Params::parse(&mut Cursor::new(good)).is_ok(), "{good:?}");
        }
        for bad in [&b";"[..], b";;a", b"a", b";a=", b";a=\"x", b";a b", b";a=b c", b";=b"] {
            assert!(Params::parse(&mut Cursor::new(bad)).is_err(), "{bad:?}");
        }
    }
}
