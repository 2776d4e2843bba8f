//! Which transaction a message belongs to (RFC 3261 17.1.3, 17.2.3).

use crate::error::FieldError;
use crate::field::via::{MAGIC_COOKIE, Via};
use crate::header::HeaderName;
use crate::message::Message;
use crate::method::Method;
use crate::write::Writer;
use foldhash::fast::FixedState;
use std::hash::{BuildHasher, Hasher};
use std::net::{IpAddr, SocketAddr};

/// The key of the server transaction that `request` belongs to: a hash of the topmost Via's branch
/// and sent-by, the method (an ACK's is its INVITE's), and the source address.
///
/// `seed` is the process's own, so that nobody outside can aim at a key. Where the branch is not RFC
/// 3261's, what RFC 2543 matches takes its place: Request-URI, tags, Call-ID, CSeq number and the
/// whole Via (an INVITE's and its ACK's To tags differ and are left out).
///
/// # Errors
/// If the topmost Via (or what RFC 2543 matches instead) can't be read.
pub fn server_key(request: &Message<'_>, source: SocketAddr, seed: u64) -> Result<u64, FieldError> {
    server_key_of(request, &request.via()?, source, seed)
}

/// As [`server_key`], where the topmost Via has been read already.
///
/// # Errors
/// If what RFC 2543 matches instead of the Via can't be read.
pub fn server_key_of(
    request: &Message<'_>,
    via: &Via<'_>,
    source: SocketAddr,
    seed: u64,
) -> Result<u64, FieldError> {
    key(request, via, request.method(), source, seed)
}

/// As [`server_key`], but of the transaction that a request of `method` with the same branch makes:
/// for a CANCEL, that of the INVITE it is about (RFC 3261 9.2).
///
/// # Errors
/// As [`server_key`].
pub fn server_key_as(
    request: &Message<'_>,
    method: Method,
    source: SocketAddr,
    seed: u64,
) -> Result<u64, FieldError> {
    key(request, &request.via()?, method, source, seed)
}

fn key(
    request: &Message<'_>,
    via: &Via<'_>,
    method: Method,
    source: SocketAddr,
    seed: u64,
) -> Result<u64, FieldError> {
    let mut hash = FixedState::with_seed(seed).build_hasher();
    match method {
        Method::Invite | Method::Ack => hash.write_u8(Method::Invite as u8),
        Method::Other => put(&mut hash, request.method_text()),
        method => hash.write_u8(method as u8),
    }
    match source.ip() {
        IpAddr::V4(address) => hash.write_u32(address.to_bits()),
        IpAddr::V6(address) => hash.write_u128(address.to_bits()),
    }
    hash.write_u16(source.port());
    match via.branch {
        Some(branch) if via.has_cookie() => {
            put(&mut hash, branch);
            put(&mut hash, via.sent_by);
        }
        _ => put_rfc_2543(&mut hash, request, via, method)?,
    }
    Ok(hash.finish())
}

/// Writes the branch of a client transaction: the cookie and 16 hexadecimal digits of `key`.
pub fn client_branch(writer: &mut Writer<'_>, key: u64) {
    writer.put(MAGIC_COOKIE).hex_u64(key);
}

/// The key in a branch that [`client_branch`] wrote; `None` in any other.
pub fn read_client_branch(branch: &[u8]) -> Option<u64> {
    let digits = branch.strip_prefix(MAGIC_COOKIE)?;
    if digits.len() != 16 {
        return None;
    }
    digits.iter().try_fold(0, |key, &digit| match digit {
        b'0'..=b'9' => Some(key << 4 | u64::from(digit - b'0')),
        b'a'..=b'f' => Some(key << 4 | u64::from(digit - b'a' + 10)),
        _ => None,
    })
}

fn put_rfc_2543(
    hash: &mut impl Hasher,
    request: &Message<'_>,
    via: &Via<'_>,
    method: Method,
) -> Result<(), FieldError> {
    put(hash, request.request_uri());
    put(hash, request.from()?.tag().unwrap_or_default());
    if !matches!(method, Method::Invite | Method::Ack) {
        put(hash, request.to()?.tag().unwrap_or_default());
    }
    put(hash, request.header(HeaderName::CallId).unwrap_or_default());
    hash.write_u32(request.cseq()?.number);
    put(hash, via.text);
    Ok(())
}

/// With its length, so that no two sequences of texts are the same input.
fn put(hash: &mut impl Hasher, text: &[u8]) {
    hash.write_usize(text.len());
    hash.write(text);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse::{Index, parse};

    fn key(method: &str, via: &str, source: &str, seed: u64) -> u64 {
        let text = format!(
            "{method} sip:a SIP/2.0\r\nVia: SIP/2.0/UDP {via}\r\nFrom: <sip:f>;tag=1\r\n\
             To: <sip:t>\r\nCall-ID: c\r\nCSeq: 7 {method}\r\n\r\n"
        );
        let mut index = Index::default();
        let message = parse(text.as_bytes(), &mut index).unwrap();
        server_key(&message, source.parse().unwrap(), seed).unwrap()
    }

    #[test]
    fn what_makes_a_transaction() {
        let (via, source) = ("h:5060;branch=z9hG4bKx", "[::1]:5060");
        let base = key("INVITE", via, source, 1);
        assert_eq!(key("INVITE", "h:5060;received=1.2.3.4;branch=z9hG4bKx", source, 1), base);
        assert_eq!(key("ACK", via, source, 1), base);
        assert_ne!(key("CANCEL", via, source, 1), base);
        assert_ne!(key("FOO", via, source, 1), key("BAR", via, source, 1));
        assert_ne!(key("INVITE", "g:5060;branch=z9hG4bKx", source, 1), base);
        assert_ne!(key("INVITE", "h:5060;branch=z9hG4bKy", source, 1), base);
        assert_ne!(key("INVITE", via, "[::1]:5061", 1), base);
        assert_ne!(key("INVITE", via, "[::2]:5060", 1), base);
        assert_ne!(key("INVITE", via, source, 2), base);
    }

    #[test]
    fn rfc_2543_branches_match_by_the_rest() {
        let base = key("INVITE", "h;branch=1", "1.1.1.1:5060", 1);
        assert_eq!(key("ACK", "h;branch=1", "1.1.1.1:5060", 1), base);
        assert_ne!(key("INVITE", "h", "1.1.1.1:5060", 1), base);
    }

    #[test]
    fn branches_carry_keys() {
        for number in [0, 1, 0x0123_4567_89ab_cdef, u64::MAX] {
            let mut out = [0; 32];
            let mut writer = Writer::new(&mut out);
            client_branch(&mut writer, number);
            assert_eq!(read_client_branch(writer.as_written()), Some(number));
        }
        for other in [
            &b"z9hG4bK"[..],
            b"z9hG4bK012345678",
            b"0123456789abcdef",
            b"z9hG4bK0123456789abcdeg",
            b"z9hG4bK+123456789abcdef",
            b"",
        ] {
            assert_eq!(read_client_branch(other), None);
        }
    }
}
