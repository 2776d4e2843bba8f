//! HTTP Digest: with AKA's RES as the password (RFC 3310, RFC 4169) or a plain one (RFC 2617).
//!
//! Everything is bytes: RES is binary, and what came from the wire is hashed as it came.

use base64::Engine as _;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use core::fmt;
use hmac::{Hmac, KeyInit, Mac};
use md5::{Digest as _, Md5};
use subtle::ConstantTimeEq;
use zeroize::Zeroize;

/// Length of a nonce of RAND ‖ AUTN in base64.
pub const NONCE_TEXT_LEN: usize = 44;

/// Length of AUTS in base64.
pub const AUTS_TEXT_LEN: usize = 20;

/// RAND ‖ AUTN ‖ the server's own data: a nonce is refused beyond this many bytes.
const NONCE_LEN_MAX: usize = 256;
const NONCE_TEXT_LEN_MAX: usize = NONCE_LEN_MAX.div_ceil(3) * 4;

/// Padding may be missing: some peers drop it, and it says nothing.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// What a digest is computed from; all texts without their quotes.
#[derive(Clone, Copy)]
pub struct DigestInput<'a> {
    /// `username`: the IMPI as the UE wrote it.
    pub username: &'a [u8],
    /// `realm`.
    pub realm: &'a [u8],
    /// AKAv1: the binary RES; empty in an answer with `auts` (RFC 3310 3.4). Else the password.
    pub password: &'a [u8],
    /// `nonce`, the text as on the wire.
    pub nonce: &'a [u8],
    /// `uri`.
    pub uri: &'a [u8],
    /// The method of the request, for example `SUBSCRIBE`.
    pub method: &'a [u8],
    /// `qop=auth` with its parameters, or nothing: then the digest is the one of RFC 2069.
    pub qop: Option<Qop<'a>>,
}

/// The parameters of `qop=auth` (RFC 2617 3.2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Qop<'a> {
    /// `cnonce`, without its quotes.
    pub cnonce: &'a [u8],
    /// `nc`: 8 hexadecimal digits, as on the wire.
    pub nc: &'a [u8],
}

/// The request-digest in lower-case hexadecimal (RFC 2617 3.2.2.1), as in `response`.
#[must_use]
pub fn response(input: &DigestInput<'_>) -> [u8; 32] {
    let mut ha1 = hex(hash(&[input.username, input.realm, input.password]));
    let ha2 = hex(hash(&[input.method, input.uri]));
    let digest = match input.qop {
        Some(qop) => hash(&[&ha1, input.nonce, qop.nc, qop.cnonce, b"auth", &ha2]),
        None => hash(&[&ha1, input.nonce, &ha2]),
    };
    ha1.zeroize();
    hex(digest)
}

/// Whether `received` is `expected`, in a time that does not tell where they differ.
#[must_use]
pub fn verify(expected: &[u8; 32], received: &[u8]) -> bool {
    expected.as_slice().ct_eq(received).into()
}

/// The password of AKAv2-MD5: base64 of HMAC-MD5 under RES ‖ IK ‖ CK (RFC 4169 clause 3).
#[must_use]
pub fn akav2_md5_password(res: &[u8; 8], ik: &[u8; 16], ck: &[u8; 16]) -> [u8; 24] {
    let mut key = [0; 40];
    key[..8].copy_from_slice(res);
    key[8..24].copy_from_slice(ik);
    key[24..].copy_from_slice(ck);
    let mut mac = <Hmac<Md5> as KeyInit>::new_from_slice(&key).expect("HMAC takes any key length");
    key.zeroize();
    mac.update(b"http-digest-akav2-password");
    let mut text = [0; 24];
    encode(&mac.finalize().into_bytes(), &mut text);
    text
}

/// Writes the nonce of a challenge: base64 of RAND ‖ AUTN (RFC 3310 3.2).
pub fn encode_nonce(rand: &[u8; 16], autn: &[u8; 16], out: &mut [u8; NONCE_TEXT_LEN]) {
    let mut bytes = [0; 32];
    bytes[..16].copy_from_slice(rand);
    bytes[16..].copy_from_slice(autn);
    encode(&bytes, out);
}

/// Reads RAND and AUTN from a nonce (RFC 3310 3.2). Bytes of the server's own may follow.
///
/// # Errors
/// [`NonceError`] if the nonce is too long, no base64, or shorter than RAND ‖ AUTN.
pub fn decode_nonce(nonce: &[u8]) -> Result<([u8; 16], [u8; 16]), NonceError> {
    if nonce.len() > NONCE_TEXT_LEN_MAX {
        return Err(NonceError::TooLong { got_len: nonce.len() });
    }
    let mut bytes = [0; NONCE_LEN_MAX + 2];
    let len = BASE64.decode_slice(nonce, &mut bytes).map_err(|_| NonceError::NotBase64)?;
    if len < 32 {
        return Err(NonceError::TooShort { got_len: len });
    }
    let (mut rand, mut autn) = ([0; 16], [0; 16]);
    rand.copy_from_slice(&bytes[..16]);
    autn.copy_from_slice(&bytes[16..32]);
    Ok((rand, autn))
}

/// Why a nonce holds no challenge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NonceError {
    /// It is not base64.
    NotBase64,
    /// It has fewer than the 32 bytes of RAND ‖ AUTN.
    TooShort {
        /// The bytes that it has.
        got_len: usize,
    },
    /// Its text is longer than any that is read.
    TooLong {
        /// The length of its text.
        got_len: usize,
    },
}

impl fmt::Display for NonceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotBase64 => f.write_str("nonce: expected base64"),
            Self::TooShort { got_len } => {
                write!(f, "nonce: expected at least 32 bytes of RAND and AUTN, got {got_len}")
            }
            Self::TooLong { got_len } => {
                write!(f, "nonce: expected at most {NONCE_TEXT_LEN_MAX} characters, got {got_len}")
            }
        }
    }
}

impl core::error::Error for NonceError {}

/// Writes AUTS as the `auts` parameter carries it (RFC 3310 3.4).
#[must_use]
pub fn encode_auts(auts: &[u8; 14]) -> [u8; AUTS_TEXT_LEN] {
    let mut text = [0; AUTS_TEXT_LEN];
    encode(auts, &mut text);
    text
}

/// Reads the `auts` parameter (RFC 3310 3.4), without its quotes.
///
/// # Errors
/// [`AutsError`] if it is not the base64 of 14 bytes.
pub fn decode_auts(text: &[u8]) -> Result<[u8; 14], AutsError> {
    let error = AutsError { got_len: text.len() };
    if text.len() > AUTS_TEXT_LEN {
        return Err(error);
    }
    let mut bytes = [0; AUTS_TEXT_LEN];
    let len = BASE64.decode_slice(text, &mut bytes).map_err(|_| error)?;
    bytes[..len].try_into().map_err(|_| error)
}

/// `auts` is not the base64 of 14 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AutsError {
    /// The length of its text.
    pub got_len: usize,
}

impl fmt::Display for AutsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "auts: expected base64 of 14 bytes, got a text of {} characters", self.got_len)
    }
}

impl core::error::Error for AutsError {}

/// MD5 of the parts with a colon between each two.
fn hash(parts: &[&[u8]]) -> [u8; 16] {
    let mut md5 = Md5::new();
    for (i, part) in parts.iter().enumerate() {
        if i > 0 {
            md5.update(b":");
        }
        md5.update(part);
    }
    md5.finalize().into()
}

fn hex(digest: [u8; 16]) -> [u8; 32] {
    let mut text = [0; 32];
    for (pair, byte) in text.chunks_exact_mut(2).zip(digest) {
        pair[0] = b"0123456789abcdef"[usize::from(byte >> 4)];
        pair[1] = b"0123456789abcdef"[usize::from(byte & 15)];
    }
    text
}

/// Encodes into `out`, which has exactly the length of the text.
fn encode(bytes: &[u8], out: &mut [u8]) {
    let len = BASE64.encode_slice(bytes, out).expect("the caller's array has the text's length");
    assert_eq!(len, out.len());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_data::{digest_vectors, hex as from_hex};
    use proptest::prelude::*;
    use serde_json::Value;

    fn text(value: &Value) -> &[u8] {
        value.as_str().unwrap().as_bytes()
    }

    fn input<'a>(v: &'a Value, password: &'a [u8], qop: Option<&'a Value>) -> DigestInput<'a> {
        DigestInput {
            username: text(&v["username"]),
            realm: text(&v["realm"]),
            password,
            nonce: text(&v["nonce"]),
            uri: text(&v["uri"]),
            method: text(&v["method"]),
            qop: qop.map(|q| Qop { cnonce: text(&q["cnonce"]), nc: text(&q["nc"]) }),
        }
    }

    #[test]
    fn passwords_give_the_digests_of_rfc_2617_and_7616() {
        let mut tested = 0;
        for v in digest_vectors() {
            // MD5 has 32 digits; RFC 7616's other example is SHA-256.
            let Some(expected) = v["expected"].as_str().filter(|text| text.len() == 32) else {
                continue;
            };
            let p = &v["params"];
            let got = response(&input(p, text(&p["password"]), Some(p)));
            assert_eq!(got, *expected.as_bytes(), "{}", v["src"]);
            tested += 1;
        }
        assert_eq!(tested, 2);
    }

    #[test]
    fn aka_gives_the_digests_of_the_vectors() {
        let vectors = digest_vectors();
        let akas = vectors.iter().filter(|v| v["RES"].is_string());
        let mut tested = 0;
        for v in akas {
            let res: [u8; 8] = from_hex(v["RES"].as_str().unwrap());
            let qop = &v["qop_auth"];
            assert_eq!(response(&input(v, &res, None)), text(&v["response_no_qop"]));
            assert_eq!(response(&input(v, &res, Some(qop))), text(&qop["response"]));

            let sync = &v["sync_failure"];
            let empty = response(&input(v, b"", Some(qop)));
            assert_eq!(empty, text(&sync["response_empty_pw_qop_auth"]));
            let auts = decode_auts(text(&sync["auts"])).unwrap();
            assert_eq!(encode_auts(&auts), text(&sync["auts"]));

            let v2 = &v["AKAv2-MD5"];
            let (ik, ck) = (v["IK"].as_str().unwrap(), v["CK"].as_str().unwrap());
            let password = akav2_md5_password(&res, &from_hex(ik), &from_hex(ck));
            assert_eq!(password, text(&v2["password"]));
            let got = response(&input(v, &password, Some(qop)));
            assert_eq!(got, text(&v2["response_qop_auth"]));

            let (rand, autn) = decode_nonce(text(&v["nonce"])).unwrap();
            assert_eq!(autn, from_hex(v["AUTN"].as_str().unwrap()));
            let mut nonce = [0; NONCE_TEXT_LEN];
            encode_nonce(&rand, &autn, &mut nonce);
            assert_eq!(nonce, text(&v["nonce"]));
            tested += 1;
        }
        assert_eq!(tested, 12);
    }

    #[test]
    fn res_and_nonce_are_bytes_and_no_text() {
        let rand = *b"\0[]\"\\\r\n\0\xff\x80%\0:[\0\x01";
        let autn = *b"[\0[\0[\0[\0[\0[\0[\0[\0";
        let mut nonce = [0; NONCE_TEXT_LEN];
        encode_nonce(&rand, &autn, &mut nonce);
        assert_eq!(&nonce, b"AFtdIlwNCgD/gCUAOlsAAVsAWwBbAFsAWwBbAFsAWwA=");
        assert_eq!(decode_nonce(&nonce), Ok((rand, autn)));
        let got = response(&DigestInput {
            username: b"a@b",
            realm: b"b",
            password: b"\0[]\"\r\n:\xff",
            nonce: &nonce,
            uri: b"sip:a@b",
            method: b"SUBSCRIBE",
            qop: Some(Qop { cnonce: b"c", nc: b"00000001" }),
        });
        // Computed with Python's hashlib.
        assert_eq!(&got, b"79299c149c4447fce6113ebec46d7344");
    }

    #[test]
    fn a_digest_is_verified_in_full() {
        let expected = *b"8ca523f5e9506fed4657c9700eebdbec";
        assert!(verify(&expected, &expected));
        assert!(!verify(&expected, &expected[..31]));
        assert!(!verify(&expected, b""));
        for i in 0..32 {
            let mut other = expected;
            other[i] ^= 1;
            assert!(!verify(&expected, &other));
        }
    }

    #[test]
    fn a_nonce_may_carry_more_and_lack_padding_and_not_less() {
        let mut nonce = [0; NONCE_TEXT_LEN];
        encode_nonce(&[1; 16], &[2; 16], &mut nonce);
        let expected = Ok(([1; 16], [2; 16]));
        assert_eq!(decode_nonce(&nonce[..43]), expected);
        let more = BASE64.encode([[1; 16], [2; 16], [3; 16]].concat());
        assert_eq!(decode_nonce(more.as_bytes()), expected);
        assert_eq!(decode_nonce(&nonce[..40]), Err(NonceError::TooShort { got_len: 30 }));
        assert_eq!(decode_nonce(b""), Err(NonceError::TooShort { got_len: 0 }));
        assert_eq!(decode_nonce(&[b'!'; 44]), Err(NonceError::NotBase64));
        assert!(decode_nonce(&[b'A'; NONCE_TEXT_LEN_MAX]).is_ok());
        let too_long = NONCE_TEXT_LEN_MAX + 1;
        let refused = Err(NonceError::TooLong { got_len: too_long });
        assert_eq!(decode_nonce(&vec![b'A'; too_long]), refused);
        assert_eq!(decode_auts(b"uoU/PBI8z0TpNZbjVcb="), Err(AutsError { got_len: 20 }));
        assert_eq!(decode_auts(b"uoU/PBI8z0TpNZbj"), Err(AutsError { got_len: 16 }));
    }

    proptest! {
        #[test]
        fn nonces_and_auts_come_back(rand: [u8; 16], autn: [u8; 16], auts: [u8; 14]) {
            let mut nonce = [0; NONCE_TEXT_LEN];
            encode_nonce(&rand, &autn, &mut nonce);
            prop_assert_eq!(decode_nonce(&nonce), Ok((rand, autn)));
            prop_assert_eq!(decode_auts(&encode_auts(&auts)), Ok(auts));
        }

        #[test]
        fn whatever_comes_reading_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..500)) {
            // Base64 needs 43 characters for 32 bytes.
            prop_assert!(decode_nonce(&bytes).is_err() || bytes.len() >= 43);
            prop_assert!(decode_auts(&bytes).is_err() || bytes.len() >= 19);
        }

        #[test]
        fn whatever_base64_comes_reading_never_panics(text in "[A-Za-z0-9+/]{0,400}={0,3}") {
            prop_assert!(decode_nonce(text.as_bytes()).is_err() || text.len() >= 43);
            prop_assert!(decode_auts(text.as_bytes()).is_err() || text.len() >= 19);
        }
    }
}
