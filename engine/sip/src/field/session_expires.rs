//! Session-Expires and Min-SE (RFC 4028 4 and 5).

use crate::error::FieldError;
use crate::params::Params;
use crate::scan::Cursor;

/// Who refreshes a session.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Refresher {
    /// Who sent the request that this stands in, or that it answers.
    Uac,
    /// Who answers that request.
    Uas,
}

/// A Session-Expires value.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct SessionExpires<'b> {
    /// The session interval in seconds; `u32::MAX` where it is larger.
    pub interval_s: u32,
    /// Who refreshes, where that is said.
    pub refresher: Option<Refresher>,
    /// All parameters.
    pub params: Params<'b>,
}

impl<'b> SessionExpires<'b> {
    /// Takes a value apart.
    ///
    /// # Errors
    /// If it is no decimal number with parameters, or the refresher is neither `uac` nor `uas`.
    pub fn parse(value: &'b [u8]) -> Result<SessionExpires<'b>, FieldError> {
        let (interval_s, params) = interval(value)?;
        let refresher = match params.get("refresher") {
            None => None,
            Some(Some(text)) if text.eq_ignore_ascii_case(b"uac") => Some(Refresher::Uac),
            Some(Some(text)) if text.eq_ignore_ascii_case(b"uas") => Some(Refresher::Uas),
            Some(_) => return Err(Cursor::new(value).error("uac or uas in refresher")),
        };
        Ok(SessionExpires { interval_s, refresher, params })
    }
}

/// Decimal seconds, `u32::MAX` where they are more, and parameters: also the form of Min-SE.
pub(crate) fn interval(value: &[u8]) -> Result<(u32, Params<'_>), FieldError> {
    let mut cursor = Cursor::new(value);
    cursor.space();
    let start = cursor;
    let Some(seconds) = cursor.number() else {
        return Err(start.error("decimal seconds"));
    };
    let params = Params::parse(&mut cursor)?;
    Ok((u32::try_from(seconds).unwrap_or(u32::MAX), params))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 4028 13's examples.
    #[test]
    fn values() {
        let parsed = |text: &'static str| {
            let found = SessionExpires::parse(text.as_bytes()).unwrap();
            (found.interval_s, found.refresher)
        };
        assert_eq!(parsed("50"), (50, None));
        assert_eq!(parsed("4000;refresher=uac"), (4000, Some(Refresher::Uac)));
        assert_eq!(parsed(" 99999999999 ; x ; Refresher=UAS"), (u32::MAX, Some(Refresher::Uas)));
        for bad in ["", "x", "-1", "1 2", "60;refresher", "60;refresher=me", "60;", "60,60"] {
            assert!(SessionExpires::parse(bad.as_bytes()).is_err(), "{bad}");
        }
        assert_eq!(interval(b"3600").unwrap().0, 3600);
    }
}
