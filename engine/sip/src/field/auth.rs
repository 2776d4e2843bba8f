//! Digest credentials and challenges (RFC 2617, 7616, 3310) with the parameters of TS 24.229 7.2A.

use crate::error::FieldError;
use crate::scan::{Cursor, is_space, unquote};

/// Authorization of scheme Digest. Values come without their quotes, escapes as they are; they may
/// hold any byte but a quote.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Credentials<'b> {
    /// `username`; empty if absent.
    pub username: &'b [u8],
    /// `realm`; empty if absent.
    pub realm: &'b [u8],
    /// `nonce`; empty if absent.
    pub nonce: &'b [u8],
    /// `uri`; empty if absent.
    pub uri: &'b [u8],
    /// `response`; empty if absent.
    pub response: &'b [u8],
    /// `algorithm`; MD5 where absent (RFC 2617 3.2.1).
    pub algorithm: Option<&'b [u8]>,
    /// `cnonce`
    pub cnonce: Option<&'b [u8]>,
    /// `qop`
    pub qop: Option<&'b [u8]>,
    /// `nc`, as spelled.
    pub nc: Option<&'b [u8]>,
    /// `opaque`
    pub opaque: Option<&'b [u8]>,
    /// `auts` (RFC 3310 3.4), base64.
    pub auts: Option<&'b [u8]>,
    /// `integrity-protected`, also where it is misspelled `integrity-protection`.
    pub integrity_protected: Option<&'b [u8]>,
    params: AuthParams<'b>,
}

/// WWW-Authenticate of scheme Digest. Values as in [`Credentials`].
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Challenge<'b> {
    /// `realm`; empty if absent.
    pub realm: &'b [u8],
    /// `nonce`; empty if absent.
    pub nonce: &'b [u8],
    /// `algorithm`; MD5 where absent.
    pub algorithm: Option<&'b [u8]>,
    /// `qop`: a comma-separated list.
    pub qop: Option<&'b [u8]>,
    /// `opaque`
    pub opaque: Option<&'b [u8]>,
    /// Whether `stale` is `true`.
    pub stale: bool,
    /// `ik`: hexadecimal digits.
    pub ik: Option<&'b [u8]>,
    /// `ck`: hexadecimal digits.
    pub ck: Option<&'b [u8]>,
    params: AuthParams<'b>,
}

impl<'b> Credentials<'b> {
    /// Takes an Authorization value apart; `None` if its scheme is not Digest, which RFC 4475 3.3.7
    /// wants ignored.
    ///
    /// # Errors
    /// If it is no scheme with `name=value` pairs.
    pub fn parse(value: &'b [u8]) -> Result<Option<Credentials<'b>>, FieldError> {
        let Some(params) = AuthParams::digest(value)? else { return Ok(None) };
        let text = |name| params.get(name).unwrap_or_default();
        Ok(Some(Credentials {
            username: text("username"),
            realm: text("realm"),
            nonce: text("nonce"),
            uri: text("uri"),
            response: text("response"),
            algorithm: params.get("algorithm"),
            cnonce: params.get("cnonce"),
            qop: params.get("qop"),
            nc: params.get("nc"),
            opaque: params.get("opaque"),
            auts: params.get("auts"),
            integrity_protected: params
                .get("integrity-protected")
                .or_else(|| params.get("integrity-protection")),
            params,
        }))
    }

    /// The parameter of that name, in any case.
    pub fn get(&self, name: &str) -> Option<&'b [u8]> {
        self.params.get(name)
    }
}

impl<'b> Challenge<'b> {
    /// Takes a WWW-Authenticate value apart; `None` if its scheme is not Digest.
    ///
    /// # Errors
    /// If it is no scheme with `name=value` pairs.
    pub fn parse(value: &'b [u8]) -> Result<Option<Challenge<'b>>, FieldError> {
        let Some(params) = AuthParams::digest(value)? else { return Ok(None) };
        Ok(Some(Challenge {
            realm: params.get("realm").unwrap_or_default(),
            nonce: params.get("nonce").unwrap_or_default(),
            algorithm: params.get("algorithm"),
            qop: params.get("qop"),
            opaque: params.get("opaque"),
            stale: params.get("stale").is_some_and(|text| text.eq_ignore_ascii_case(b"true")),
            ik: params.get("ik"),
            ck: params.get("ck"),
            params,
        }))
    }

    /// The parameter of that name, in any case.
    pub fn get(&self, name: &str) -> Option<&'b [u8]> {
        self.params.get(name)
    }
}

/// `name=value, name="value"` behind a scheme; checked, so that iterating can't fail.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
struct AuthParams<'b>(&'b [u8]);

impl<'b> AuthParams<'b> {
    fn digest(value: &'b [u8]) -> Result<Option<AuthParams<'b>>, FieldError> {
        let mut cursor = Cursor::new(value);
        cursor.space();
        if !cursor.token("an authentication scheme")?.eq_ignore_ascii_case(b"Digest") {
            return Ok(None);
        }
        if !cursor.peek().is_some_and(is_space) {
            return Err(cursor.error("white space behind the scheme"));
        }
        let params = cursor.rest();
        while !cursor.at_end() {
            pair(&mut cursor)?;
        }
        Ok(Some(AuthParams(params)))
    }

    fn get(self, name: &str) -> Option<&'b [u8]> {
        let mut cursor = Cursor::new(self.0);
        while !cursor.at_end() {
            let (found, value) = pair(&mut cursor).ok()?;
            if found.eq_ignore_ascii_case(name.as_bytes()) {
                return Some(unquote(value));
            }
        }
        None
    }
}

/// Steps over one pair, name and value with quotes, and the comma behind it.
pub(crate) fn pair<'b>(cursor: &mut Cursor<'b>) -> Result<(&'b [u8], &'b [u8]), FieldError> {
    cursor.space();
    let name = cursor.token("a parameter name")?;
    cursor.separator(b'=', "an equals sign")?;
    let value = match cursor.peek() {
        Some(b'"') => cursor.quoted()?,
        // Bare values are tokens by the grammar; base64 and URIs are met as well.
        _ => cursor.while_class(|byte| !is_space(byte) && byte != b',' && byte != b'"'),
    };
    if value.is_empty() {
        return Err(cursor.error("a parameter value"));
    }
    if !cursor.at_end() && !cursor.accept(b',') {
        return Err(cursor.error("a comma"));
    }
    Ok((name, value))
}
