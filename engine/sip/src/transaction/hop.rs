//! The two requests that follow an INVITE on its own branch, hop by hop: the ACK to a failure, and CANCEL.

use crate::error::WriteError;
use crate::header::HeaderName;
use crate::message::Message;
use crate::method::Method;
use crate::room::Room;
use crate::write::Writer;

/// Writes the ACK to `failure`, a 300 to 699 to `invite` as it was sent (RFC 3261 17.1.1.3): its Request-URI, topmost
/// Via, From, Call-ID, CSeq number and Route, and the failure's To. Returns its length.
///
/// # Errors
/// If it does not fit, or `invite` has no CSeq that can be read.
pub fn ack_to_failure<'a>(
    invite: &Message<'_>,
    failure: &Message<'_>,
    out: impl Into<Room<'a>>,
) -> Result<usize, WriteError> {
    on_the_branch(Method::Ack, invite, failure, out)
}

/// Writes the CANCEL of `invite` as it was sent (RFC 3261 9.1): all of the former, and its To. Returns its length.
///
/// # Errors
/// As [`ack_to_failure`].
pub fn cancel<'a>(invite: &Message<'_>, out: impl Into<Room<'a>>) -> Result<usize, WriteError> {
    on_the_branch(Method::Cancel, invite, invite, out)
}

fn on_the_branch<'a>(
    method: Method,
    invite: &Message<'_>,
    has_to: &Message<'_>,
    out: impl Into<Room<'a>>,
) -> Result<usize, WriteError> {
    let cseq = invite.cseq().map_err(|_| WriteError)?;
    let via = invite.list(HeaderName::Via).next().ok_or(WriteError)?;
    let mut writer = Writer::new(out);
    writer.request(method, invite.request_uri());
    writer.header(HeaderName::Via).put(via).end();
    writer.copy(invite, HeaderName::Route);
    writer.header(HeaderName::MaxForwards).decimal(70).end();
    writer.copy(invite, HeaderName::From).copy(has_to, HeaderName::To);
    writer.copy(invite, HeaderName::CallId);
    writer.header(HeaderName::CSeq).decimal(u64::from(cseq.number)).put(b" ");
    writer.text(method.as_str()).end();
    writer.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse::{Index, parse};

    /// The example of RFC 3261 17.1.1.3, with a Route and a second Via.
    const INVITE: &[u8] = b"INVITE sip:bob@biloxi.com SIP/2.0\r\n\
        Via: SIP/2.0/UDP pc33.atlanta.com;branch=z9hG4bKkjshdyff, SIP/2.0/UDP h;branch=z9hG4bK1\r\n\
        Route: <sip:p1;lr>, <sip:p2;lr>\r\n\
        To: Bob <sip:bob@biloxi.com>\r\nFrom: Alice <sip:alice@atlanta.com>;tag=88sja8x\r\n\
        Max-Forwards: 9\r\nCall-ID: 987asjd97y7atg\r\nCSeq: 986759 INVITE\r\n\
        Content-Type: a/b\r\nContent-Length: 3\r\n\r\nsdp";
    const FAILURE: &[u8] = b"SIP/2.0 486 Busy Here\r\n\
        Via: SIP/2.0/UDP pc33.atlanta.com;branch=z9hG4bKkjshdyff;received=1.2.3.4\r\n\
        To: Bob <sip:bob@biloxi.com>;tag=7\r\nFrom: x\r\nCall-ID: 987asjd97y7atg\r\n\
        CSeq: 986759 INVITE\r\n\r\n";

    fn written(method: &str, to: &str) -> String {
        format!(
            "{method} sip:bob@biloxi.com SIP/2.0\r\n\
             Via: SIP/2.0/UDP pc33.atlanta.com;branch=z9hG4bKkjshdyff\r\n\
             Route: <sip:p1;lr>, <sip:p2;lr>\r\nMax-Forwards: 70\r\n\
             From: Alice <sip:alice@atlanta.com>;tag=88sja8x\r\nTo: {to}\r\n\
             Call-ID: 987asjd97y7atg\r\nCSeq: 986759 {method}\r\nContent-Length: 0\r\n\r\n"
        )
    }

    #[test]
    fn both_are_on_the_branch_of_the_invite() {
        let (mut index, mut other, mut out) = (Index::default(), Index::default(), [0; 512]);
        let invite = parse(INVITE, &mut index).unwrap();
        let failure = parse(FAILURE, &mut other).unwrap();
        let len = ack_to_failure(&invite, &failure, &mut out).unwrap();
        let expected = written("ACK", "Bob <sip:bob@biloxi.com>;tag=7");
        assert_eq!(std::str::from_utf8(&out[..len]).unwrap(), expected);
        let len = cancel(&invite, &mut out).unwrap();
        let expected = written("CANCEL", "Bob <sip:bob@biloxi.com>");
        assert_eq!(std::str::from_utf8(&out[..len]).unwrap(), expected);
        assert_eq!(cancel(&invite, &mut out[..len - 1]), Err(WriteError));
    }
}
