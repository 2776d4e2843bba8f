//! Digest credentials and challenges (RFC 2617, 7616, 3310) with the parameters of TS 24.229 7.2A.

use crate::error::FieldError;
use crate::names::Names;
use crate::scan::{AUTH_VALUE, Cursor, TOKEN, folded, is_space};

/// How many parameters credentials may have; all that is specified makes 16.
const MAX_PARAMS: usize = 24;

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
        let Some(params) = AuthParams::digest(value) else { return Ok(None) };
        let [
            username,
            realm,
            nonce,
            uri,
            response,
            algorithm,
            cnonce,
            qop,
            nc,
            opaque,
            auts,
            protected,
            protection,
        ] = params.values(&CREDENTIALS)?;
        Ok(Some(Credentials {
            username: username.unwrap_or_default(),
            realm: realm.unwrap_or_default(),
            nonce: nonce.unwrap_or_default(),
            uri: uri.unwrap_or_default(),
            response: response.unwrap_or_default(),
            algorithm,
            cnonce,
            qop,
            nc,
            opaque,
            auts,
            // The right spelling wins, so that a stray one can't overrule it.
            integrity_protected: protected.or(protection),
            params,
        }))
    }

    /// The `username` of an Authorization value, empty if absent, for those who need no more of it: what lies behind is not read. `None` if
    /// the scheme is not Digest.
    ///
    /// # Errors
    /// If what lies before it is no scheme with `name=value` pairs.
    pub(crate) fn username_of(value: &'b [u8]) -> Result<Option<&'b [u8]>, FieldError> {
        const USERNAME: u64 = folded(b"username");
        let Some(params) = AuthParams::digest(value) else { return Ok(None) };
        let mut cursor = params.cursor();
        while !cursor.at_end() {
            let Pair { name, value, .. } = pair(&mut cursor)?;
            if folded(name) == USERNAME {
                return Ok(Some(value));
            }
        }
        Ok(Some(b""))
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
        let Some(params) = AuthParams::digest(value) else { return Ok(None) };
        let [realm, nonce, algorithm, qop, opaque, stale, ik, ck] = params.values(&CHALLENGE)?;
        Ok(Some(Challenge {
            realm: realm.unwrap_or_default(),
            nonce: nonce.unwrap_or_default(),
            algorithm,
            qop,
            opaque,
            stale: stale.is_some_and(|stale| stale.eq_ignore_ascii_case(b"true")),
            ik,
            ck,
            params,
        }))
    }

    /// The parameter of that name, in any case.
    pub fn get(&self, name: &str) -> Option<&'b [u8]> {
        self.params.get(name)
    }
}

/// The parameters of [`Credentials`].
static CREDENTIALS: Names<13> = Names::new([
    "username",
    "realm",
    "nonce",
    "uri",
    "response",
    "algorithm",
    "cnonce",
    "qop",
    "nc",
    "opaque",
    "auts",
    "integrity-protected",
    "integrity-protection",
]);

/// The parameters of [`Challenge`].
static CHALLENGE: Names<8> =
    Names::new(["realm", "nonce", "algorithm", "qop", "opaque", "stale", "ik", "ck"]);

/// `name=value, name="value"` behind the scheme.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
struct AuthParams<'b> {
    /// The whole value, so that errors can say where they are.
    value: &'b [u8],
    /// Behind the scheme.
    start: usize,
}

impl<'b> AuthParams<'b> {
    /// `None` if the scheme is not Digest.
    #[inline(always)]
    fn digest(value: &'b [u8]) -> Option<AuthParams<'b>> {
        const SCHEME: &[u8] = b"Digest ";
        let start = if value.starts_with(SCHEME) { SCHEME.len() } else { odd_scheme_len(value)? };
        Some(AuthParams { value, start })
    }

    #[inline(always)]
    fn cursor(self) -> Cursor<'b> {
        Cursor::at(self.value, self.start)
    }

    /// The values of `names`, without quotes. A name that comes twice is an error: its two readers might differ in which they take.
    #[inline(always)]
    fn values<const N: usize>(self, names: &Names<N>) -> Result<[Option<&'b [u8]>; N], FieldError> {
        let mut values = [None; N];
        let mut cursor = self.cursor();
        let mut count = 0;
        // A bit for the length and the ends of each other name seen: most names need no comparison.
        let mut marks = 0u64;
        while !cursor.at_end() {
            let start = cursor;
            let Pair { name, value, .. } = pair(&mut cursor)?;
            count += 1;
            let is_twin = match names.place(name) {
                Some(place) => values[place].replace(value).is_some(),
                None => {
                    let mark = 1 << mark(name);
                    let may_be = marks & mark != 0;
                    marks |= mark;
                    may_be && self.has_before(start.offset(), name)
                }
            };
            if is_twin {
                return Err(start.error("each parameter once"));
            } else if count > MAX_PARAMS {
                return Err(start.error("fewer parameters"));
            }
        }
        Ok(values)
    }

    /// Whether a parameter of that name begins before `end`.
    #[cold]
    fn has_before(self, end: usize, name: &[u8]) -> bool {
        let mut cursor = self.cursor();
        while !cursor.at_end() && cursor.offset() < end {
            match pair(&mut cursor) {
                Ok(found) if found.name.eq_ignore_ascii_case(name) => return true,
                Ok(_) => {}
                Err(_) => return false,
            }
        }
        false
    }

    fn get(self, name: &str) -> Option<&'b [u8]> {
        let mut cursor = self.cursor();
        while !cursor.at_end() {
            let found = pair(&mut cursor).ok()?;
            if found.name.eq_ignore_ascii_case(name.as_bytes()) {
                return Some(found.value);
            }
        }
        None
    }
}

/// How much the scheme Digest takes in any case and with white space before it; `None` if it is another scheme.
#[cold]
fn odd_scheme_len(value: &[u8]) -> Option<usize> {
    const DIGEST: u64 = folded(b"digest");
    let mut cursor = Cursor::new(value);
    cursor.space();
    let is_digest = folded(cursor.while_class(TOKEN)) == DIGEST;
    let is_scheme = cursor.peek().is_none_or(is_space);
    (is_digest && is_scheme).then_some(cursor.offset())
}

/// Up to 63; the same for names that differ in case only, mostly another for other names.
#[inline]
fn mark(name: &[u8]) -> u32 {
    let fold = |byte: Option<&u8>| u32::from(byte.copied().unwrap_or_default() | 0x20);
    (fold(name.first()) * 7 + fold(name.last()) + name.len() as u32) % 64
}

/// One parameter.
pub(crate) struct Pair<'b> {
    pub(crate) name: &'b [u8],
    /// Without quotes.
    pub(crate) value: &'b [u8],
    pub(crate) is_quoted: bool,
}

/// Steps over one pair and the comma behind it.
#[inline(always)]
pub(crate) fn pair<'b>(cursor: &mut Cursor<'b>) -> Result<Pair<'b>, FieldError> {
    let name = cursor.spaced_token("a parameter name")?;
    if !cursor.spaced(b'=') {
        return Err(cursor.error("an equals sign"));
    }
    let (value, is_quoted) = cursor.value(AUTH_VALUE)?;
    if !cursor.spaced(b',') && cursor.peek().is_some() {
        return Err(cursor.error("a comma"));
    }
    Ok(Pair { name, value, is_quoted })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn credentials(value: &[u8]) -> Credentials<'_> {
        Credentials::parse(value).unwrap().unwrap()
    }

    #[test]
    fn an_answer_to_an_aka_challenge() {
        let found = credentials(
            b"Digest username=\"u@h\",realm=\"h\", nonce=\"AAA[\0,=/+\" ,uri=\"sip:h\",\
            RESPONSE=\"0011\",algorithm=AKAv1-MD5, cnonce=\"c\",qop=auth,nc=00000001,opaque=\"\",\
            auts=\"xx==\",integrity-protected=yes",
        );
        assert_eq!((found.username, found.realm), (&b"u@h"[..], &b"h"[..]));
        let name = |text: &'static [u8]| Credentials::username_of(text);
        assert_eq!(
            name(b"Digest realm=\"h\", USERNAME=\"u@h\", what is behind"),
            Ok(Some(&b"u@h"[..]))
        );
        assert_eq!(name(b"Digest realm=h"), Ok(Some(&b""[..])));
        assert_eq!(name(b"Basic username=u"), Ok(None));
        assert!(name(b"Digest realm, username=u").is_err());
        assert_eq!((found.nonce, found.uri), (&b"AAA[\0,=/+"[..], &b"sip:h"[..]));
        assert_eq!((found.response, found.algorithm), (&b"0011"[..], Some(&b"AKAv1-MD5"[..])));
        assert_eq!((found.cnonce, found.qop), (Some(&b"c"[..]), Some(&b"auth"[..])));
        assert_eq!((found.nc, found.opaque), (Some(&b"00000001"[..]), Some(&b""[..])));
        assert_eq!((found.auts, found.get("AUTS")), (Some(&b"xx=="[..]), Some(&b"xx=="[..])));
        assert_eq!(found.integrity_protected, Some(&b"yes"[..]));
    }

    #[test]
    fn what_real_networks_send() {
        let found =
            credentials(b"Digest username=u@h,nonce=\"\",response=\"\",integrity-protection=no");
        assert_eq!(
            (found.username, found.nonce, found.response),
            (&b"u@h"[..], &b""[..], &b""[..])
        );
        assert_eq!(found.integrity_protected, Some(&b"no"[..]));
        assert_eq!(found.realm, b"");
        for both in [
            b"Digest integrity-protected=no,integrity-protection=yes",
            b"Digest integrity-protection=yes,integrity-protected=no",
        ] {
            assert_eq!(credentials(both).integrity_protected, Some(&b"no"[..]));
        }
        let found = credentials(b"digest\r\n nonce=dcd98b==,\r\n\trealm = \"a\\\"b\"");
        assert_eq!((found.nonce, found.realm), (&b"dcd98b=="[..], &b"a\\\"b"[..]));
    }

    #[test]
    fn a_challenge_with_keys() {
        let value = b"Digest realm=\"h\", nonce=\"n\", algorithm=AKAv1-MD5,ik=\"00\", ck=\"11\", \
            stale=TRUE, qop=\"auth,auth-int\"";
        let found = Challenge::parse(value).unwrap().unwrap();
        assert_eq!((found.realm, found.nonce), (&b"h"[..], &b"n"[..]));
        assert_eq!((found.ik, found.ck), (Some(&b"00"[..]), Some(&b"11"[..])));
        assert_eq!((found.stale, found.qop), (true, Some(&b"auth,auth-int"[..])));
        assert_eq!(found.get("opaque"), None);
    }

    #[test]
    fn other_schemes_are_no_error() {
        for value in [&b"NoOneKnowsThisScheme opaque-data=here"[..], b"Bearer abc", b"DigestX a=b"]
        {
            assert_eq!(Credentials::parse(value), Ok(None));
            assert_eq!(Challenge::parse(value), Ok(None));
        }
    }

    #[test]
    fn what_is_refused() {
        for bad in [
            &b"Digest realm"[..],
            b"Digest realm=",
            b"Digest =x",
            b"Digest realm=\"x",
            b"Digest realm=\"x\" nonce=\"y\"",
            b"Digest realm=\"x\"y",
            b"Digest nonce=a,NONCE=b",
            b"Digest ,",
        ] {
            assert!(Credentials::parse(bad).is_err(), "{}", bad.escape_ascii());
        }
        let many = (0..=MAX_PARAMS).map(|n| format!("p{n}=x")).collect::<Vec<_>>().join(",");
        assert!(Credentials::parse(format!("Digest {many}").as_bytes()).is_err());
    }
}
