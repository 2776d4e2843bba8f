//! Text in URLs.

use std::fmt::Write;

/// Undoes percent-encoding (RFC 3986 2.1), for path segments and query values that are identities.
/// `None` if an escape is not two hex digits or the outcome is not UTF-8.
#[must_use]
pub fn percent_decode(text: &str) -> Option<String> {
    let mut bytes = text.bytes();
    let mut out = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let high = char::from(bytes.next()?).to_digit(16)?;
            let low = char::from(bytes.next()?).to_digit(16)?;
            out.push((high * 16 + low) as u8);
        } else {
            out.push(byte);
        }
    }
    String::from_utf8(out).ok()
}

/// Percent-encodes all but unreserved characters (RFC 3986 2.3), so that `text` is one path segment.
#[must_use]
pub fn percent_encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_undone_or_refused() {
        assert_eq!(percent_decode("sip%3Aalice%40x").as_deref(), Some("sip:alice@x"));
        assert_eq!(percent_decode("a+b%2B").as_deref(), Some("a+b+"));
        for bad in ["%", "%4", "%zz", "%ff", "%+1"] {
            assert_eq!(percent_decode(bad), None, "{bad}");
        }
    }

    #[test]
    fn what_is_encoded_is_one_segment_and_comes_back() {
        assert_eq!(percent_encode("a@b/c d"), "a%40b%2Fc%20d");
        for text in ["ue00000001@ims.example", "100%", "ü?#/:+", ""] {
            assert_eq!(percent_decode(&percent_encode(text)).as_deref(), Some(text));
        }
    }
}
