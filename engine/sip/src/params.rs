//! `;name=value` parameters.

use crate::error::FieldError;
use crate::scan::{Cursor, find_outside, is_space, is_token, is_uri, trim, unquote};

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

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }

    /// Checks RFC 3261 25.1 `generic-param`: names are tokens, values tokens, hosts or quoted
    /// strings; nothing is empty. Returns the parameters.
    pub(crate) fn parse(cursor: &mut Cursor<'b>) -> Result<Params<'b>, FieldError> {
        cursor.space();
        let text = cursor.rest();
        while !cursor.at_end() {
            cursor.separator(b';', "a semicolon")?;
            cursor.token("a parameter name")?;
            cursor.space();
            if cursor.accept(b'=') {
                cursor.space();
                if cursor.peek() == Some(b'"') {
                    cursor.quoted()?;
                } else if cursor.while_class(is_value).is_empty() {
                    return Err(cursor.error("a parameter value"));
                }
            }
        }
        Ok(Params(text))
    }
}

/// What an unquoted value may hold: tokens and hosts, and, as real messages have them, URIs.
fn is_value(byte: u8) -> bool {
    is_token(byte) || (is_uri(byte) && !matches!(byte, b';' | b','))
}

/// Iterates over [`Params`].
#[derive(Clone, Debug)]
pub struct ParamsIter<'b> {
    rest: &'b [u8],
}

impl<'b> Iterator for ParamsIter<'b> {
    type Item = (&'b [u8], Option<&'b [u8]>);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            while let [b';', rest @ ..] = self.rest {
                self.rest = rest;
            }
            if self.rest.is_empty() {
                return None;
            }
            let (param, rest) = self.rest.split_at(find_outside(self.rest, b';', false));
            self.rest = rest;
            let equals = memchr::memchr(b'=', param);
            let name = trim(&param[..equals.unwrap_or(param.len())]);
            if name.is_empty() || name.iter().any(|&byte| is_space(byte)) {
                continue;
            }
            return Some((name, equals.map(|at| unquote(trim(&param[at + 1..])))));
        }
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
