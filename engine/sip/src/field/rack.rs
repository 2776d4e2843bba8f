//! RAck (RFC 3262 7.2).

use crate::error::FieldError;
use crate::field::cseq::CSeq;
use crate::scan::Cursor;

/// A RAck value: which provisional response a PRACK is for.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct RAck {
    /// Its RSeq.
    pub response: u32,
    /// Its CSeq.
    pub cseq: CSeq,
}

impl RAck {
    /// Takes a value apart.
    ///
    /// # Errors
    /// If it is not two numbers up to 2^32-1 and a token, with white space between them.
    pub fn parse(value: &[u8]) -> Result<RAck, FieldError> {
        let mut cursor = Cursor::new(value);
        cursor.space();
        let start = cursor;
        let Some(response) = cursor.number().and_then(|number| u32::try_from(number).ok()) else {
            return Err(start.error("a response number up to 4294967295"));
        };
        let rest = cursor.rest();
        cursor.space();
        if cursor.rest().len() == rest.len() {
            return Err(cursor.error("white space before the sequence number"));
        }
        Ok(RAck { response, cseq: CSeq::parse(rest)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::method::Method;

    /// RFC 3262 7.2's example.
    #[test]
    fn values() {
        let cseq = CSeq { number: 1, method: Method::Invite };
        assert_eq!(RAck::parse(b"776656 1 INVITE"), Ok(RAck { response: 776_656, cseq }));
        assert_eq!(RAck::parse(b"776656\r\n 1 \t INVITE"), Ok(RAck { response: 776_656, cseq }));
        for bad in
            [&b""[..], b"1", b"1 1", b"1 INVITE", b"4294967296 1 A", b"1 4294967296 A", b"1 1 A B"]
        {
            assert!(RAck::parse(bad).is_err(), "{}", bad.escape_ascii());
        }
    }
}
