//! Replaces (RFC 3891 6.1).

use crate::error::FieldError;
use crate::params::Params;
use crate::scan::{Cursor, is_space, trim_end};

/// A Replaces value: which dialog is to go.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Replaces<'b> {
    /// The dialog's Call-ID.
    pub call_id: &'b [u8],
    /// Its To tag: the local one of who receives this.
    pub to_tag: &'b [u8],
    /// Its From tag: the remote one of who receives this.
    pub from_tag: &'b [u8],
    /// Whether only an early dialog may be replaced.
    pub early_only: bool,
    /// All parameters.
    pub params: Params<'b>,
}

impl<'b> Replaces<'b> {
    /// Takes a value apart.
    ///
    /// # Errors
    /// If the Call-ID or one of the tags is missing.
    pub fn parse(value: &'b [u8]) -> Result<Replaces<'b>, FieldError> {
        let mut cursor = Cursor::new(value);
        cursor.space();
        let call_id = trim_end(cursor.until(b';'));
        if call_id.is_empty() || call_id.iter().any(|&byte| is_space(byte) || byte == b',') {
            return Err(Cursor::new(value).error("a Call-ID"));
        }
        let params = Params::parse(&mut cursor)?;
        let (Some(to_tag), Some(from_tag)) = (params.value("to-tag"), params.value("from-tag"))
        else {
            return Err(cursor.error("a to-tag and a from-tag"));
        };
        Ok(Replaces { call_id, to_tag, from_tag, early_only: params.has("early-only"), params })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 3891 6.1's examples.
    #[test]
    fn values() {
        let found =
            Replaces::parse(b"98732@sip.example.com\r\n ;from-tag=r33th4x0r\r\n ;to-tag=ff87ff");
        let found = found.unwrap();
        assert_eq!(found.call_id, b"98732@sip.example.com");
        assert_eq!((found.from_tag, found.to_tag), (&b"r33th4x0r"[..], &b"ff87ff"[..]));
        assert!(!found.early_only);
        let found = Replaces::parse(b"87134@171.161.34.23;to-tag=24796;from-tag=0;early-only");
        assert!(found.unwrap().early_only);
        for bad in [
            &b""[..],
            b";to-tag=1;from-tag=2",
            b"a;to-tag=1",
            b"a;from-tag=1",
            b"a;to-tag;from-tag=1",
            b"a b;to-tag=1;from-tag=2",
            b"a;to-tag=1;from-tag=2,b;to-tag=1;from-tag=2",
        ] {
            assert!(Replaces::parse(bad).is_err(), "{}", bad.escape_ascii());
        }
    }
}
