//! CSeq (RFC 3261 20.16).

use crate::error::FieldError;
use crate::method::Method;
use crate::scan::Cursor;

/// A CSeq value.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct CSeq {
    /// The sequence number. RFC 3261 8.1.1.5 wants it below 2^31; up to 2^32-1 is read.
    pub number: u32,
    /// The method.
    pub method: Method,
}

impl CSeq {
    /// Takes a value apart.
    ///
    /// # Errors
    /// If it is not a number up to 2^32-1, white space and a token.
    pub fn parse(value: &[u8]) -> Result<CSeq, FieldError> {
        let (number, method) = parts(value)?;
        Ok(CSeq { number, method: Method::parse(method) })
    }
}

/// The number and the method's text.
pub(crate) fn parts(value: &[u8]) -> Result<(u32, &[u8]), FieldError> {
    let mut cursor = Cursor::new(value);
    cursor.space();
    let start = cursor;
    let Some(number) = cursor.number().and_then(|number| u32::try_from(number).ok()) else {
        return Err(start.error("a sequence number up to 4294967295"));
    };
    let before = cursor.offset();
    cursor.space();
    if cursor.offset() == before {
        return Err(cursor.error("white space before the method"));
    }
    let method = cursor.token("a method")?;
    if cursor.at_end() { Ok((number, method)) } else { Err(cursor.error("the end")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values() {
        let invite = CSeq { number: 9, method: Method::Invite };
        assert_eq!(CSeq::parse(b"0009\r\n  INVITE"), Ok(invite));
        assert_eq!(CSeq::parse(b"4294967295 X").unwrap().number, u32::MAX);
        for bad in [&b""[..], b"1", b"INVITE", b"4294967296 A", b"-1 A", b"1A", b"1 A B", b"1 @"] {
            assert!(CSeq::parse(bad).is_err(), "{}", bad.escape_ascii());
        }
    }
}
