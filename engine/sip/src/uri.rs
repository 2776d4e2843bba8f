//! URIs: `sip:` and `sips:` in full, `tel:` as far as IMS identities need, others as text.

use crate::error::FieldError;
use crate::params::Params;
use crate::scan::{Cursor, HOST, SCHEME, URI_PART, folded, skip};
use crate::write::Writer;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// A URI's scheme.
#[derive(Copy, Clone, PartialEq, Eq, Hash, Debug)]
pub enum Scheme {
    /// `sip`
    Sip,
    /// `sips`
    Sips,
    /// `tel` (RFC 3966)
    Tel,
    /// Any other: the URI is only text.
    Other,
}

/// A host: a name or an address.
#[derive(Copy, Clone, PartialEq, Eq, Hash, Debug)]
pub enum Host<'b> {
    /// A domain name as spelled; empty for a URI that has no host.
    Name(&'b [u8]),
    /// An IPv4 address.
    V4(Ipv4Addr),
    /// An IPv6 reference, without its brackets.
    V6(Ipv6Addr),
}

/// A URI, taken apart.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Uri<'b> {
    /// All of it.
    pub text: &'b [u8],
    /// Its scheme.
    pub scheme: Scheme,
    /// The user part as spelled (escapes as they are), without a password; a `tel:` URI's number.
    pub user: Option<&'b [u8]>,
    /// The password as spelled.
    pub password: Option<&'b [u8]>,
    /// The host; an empty name for `tel:` and other schemes.
    pub host: Host<'b>,
    /// The port, if one is given.
    pub port: Option<u16>,
    /// URI parameters.
    pub params: Params<'b>,
    /// What follows the question mark, without it.
    pub headers: &'b [u8],
}

impl<'b> Host<'b> {
    /// The host (and port) that `text` is.
    ///
    /// # Errors
    /// If it is neither a name nor an address, or the port no number up to 65,535.
    pub fn parse_with_port(text: &'b [u8]) -> Result<(Host<'b>, Option<u16>), FieldError> {
        let mut cursor = Cursor::new(text);
        let host = host(&mut cursor)?;
        let port = port(&mut cursor)?;
        if cursor.peek().is_some() { Err(cursor.error("the end")) } else { Ok((host, port)) }
    }

    /// The address, if it is one.
    pub fn ip(&self) -> Option<IpAddr> {
        match *self {
            Host::Name(_) => None,
            Host::V4(address) => Some(address.into()),
            Host::V6(address) => Some(address.into()),
        }
    }

    /// Whether both are the same host: names in any case, addresses by value.
    pub fn same(&self, other: &Host<'_>) -> bool {
        match (self, other) {
            (Host::Name(a), Host::Name(b)) => a.eq_ignore_ascii_case(b),
            (Host::V4(a), Host::V4(b)) => a == b,
            (Host::V6(a), Host::V6(b)) => a == b,
            _ => false,
        }
    }
}

impl<'b> Uri<'b> {
    /// Takes `text` apart.
    ///
    /// # Errors
    /// If it has no scheme, white space or angle brackets in it, or is a SIP URI without a host.
    pub fn parse(text: &'b [u8]) -> Result<Uri<'b>, FieldError> {
        let mut cursor = Cursor::new(text);
        let marks = Marks::new(&mut cursor)?;
        if cursor.peek().is_some() {
            return Err(cursor.error("a URI without white space, quotes or brackets"));
        }
        marks.uri(text)
    }

    /// Whether it is a loose router's: has the parameter `lr` (RFC 3261 19.1.1), escaped or not.
    pub fn is_loose_router(&self) -> bool {
        self.params.iter().any(|(name, _)| same_text(name, b"lr", true))
    }

    /// Host and port, if the host is an address.
    pub fn socket_addr(&self, default_port: u16) -> Option<SocketAddr> {
        self.host.ip().map(|ip| SocketAddr::new(ip, self.port.unwrap_or(default_port)))
    }

    /// The URI parameter of that name (in any case): `Some(None)` if it has no value.
    pub fn param(&self, name: &str) -> Option<Option<&'b [u8]>> {
        self.params.get(name)
    }

    /// Whether both name the same identity (address of record, RFC 3261 10.2): scheme, unescaped
    /// user, host in any case, port; parameters and headers don't count. `tel:` numbers are
    /// compared without visual separators, local ones with their phone-context (RFC 3966 4).
    pub fn same_identity(&self, other: &Uri<'_>) -> bool {
        if self.scheme != other.scheme {
            return false;
        }
        match self.scheme {
            Scheme::Sip | Scheme::Sips => {
                same_option(self.user, other.user, false)
                    && self.host.same(&other.host)
                    && self.port == other.port
            }
            Scheme::Tel => {
                let global = self.user.is_some_and(|number| number.starts_with(b"+"));
                let context = |uri: &Uri<'b>| uri.params.value("phone-context");
                same_number(self.user.unwrap_or_default(), other.user.unwrap_or_default())
                    && (global
                        || same_option(context(self), other.params.value("phone-context"), true))
            }
            Scheme::Other => self.text == other.text,
        }
    }

    /// Writes a text that is the same for two URIs where [`Uri::same_identity`] holds, and for no
    /// others: what an index of identities is keyed by.
    pub fn write_identity(&self, out: &mut Writer<'_>) {
        match self.scheme {
            Scheme::Sip | Scheme::Sips => {
                out.put(if self.scheme == Scheme::Sip { b"sip:" } else { b"sips:" });
                if let Some(user) = self.user {
                    write_unescaped(user, false, out);
                    out.put(b"@");
                }
                match self.host {
                    Host::Name(name) => name.iter().for_each(|byte| {
                        out.put(&[byte.to_ascii_lowercase()]);
                    }),
                    Host::V4(address) => {
                        out.ip(address.into());
                    }
                    Host::V6(address) => {
                        out.ip(address.into());
                    }
                }
                if let Some(port) = self.port {
                    out.put(b":").decimal(u64::from(port));
                }
            }
            Scheme::Tel => {
                let number = self.user.unwrap_or_default();
                out.put(b"tel:");
                digits(number).for_each(|digit| {
                    out.put(&[digit]);
                });
                let context = self.params.value("phone-context");
                if let Some(context) = context.filter(|_| !number.starts_with(b"+")) {
                    out.put(b";phone-context=");
                    write_unescaped(context, true, out);
                }
            }
            Scheme::Other => {
                out.put(self.text);
            }
        }
    }

    /// Whether both are equal by RFC 3261 19.1.4 (`tel:` by RFC 3966 4, others byte for byte).
    pub fn same(&self, other: &Uri<'_>) -> bool {
        match self.scheme {
            Scheme::Other => self.text == other.text,
            Scheme::Tel => self.same_identity(other) && same_params(self.params, other.params, &[]),
            Scheme::Sip | Scheme::Sips => {
                self.same_identity(other)
                    && same_option(self.password, other.password, false)
                    && same_params(self.params, other.params, SIGNIFICANT)
                    && same_headers(self.headers, other.headers)
            }
        }
    }
}

/// Where a URI's parts are divided: what one look at each of its bytes gives.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Marks<'b> {
    scheme: Scheme,
    /// Where it starts.
    start: usize,
    /// Behind the scheme's colon.
    body: usize,
    /// The first `:` of the body, if that comes before `at`.
    colon: Option<usize>,
    /// The first `@` of the body.
    at: Option<usize>,
    /// The first `?` behind `at`, or in the body if there is no `@`.
    question: Option<usize>,
    /// The first byte that no URI may have, or the text's end.
    end: usize,
    /// Where a SIP URI's host is.
    host: Cursor<'b>,
}

impl<'b> Marks<'b> {
    /// Steps over the URI that starts at `cursor` and reaches as far as a URI may.
    ///
    /// # Errors
    /// If no scheme and colon are there.
    #[inline(always)]
    pub(crate) fn new(cursor: &mut Cursor<'b>) -> Result<Marks<'b>, FieldError> {
        let start = cursor.offset();
        let scheme = scheme(cursor)?;
        let body = cursor.offset();
        let mut host = *cursor;
        let (mut colon, mut at, mut question) = (None, None, None);
        loop {
            cursor.while_class(URI_PART);
            let end = cursor.offset();
            match cursor.peek() {
                Some(b'@') if at.is_none() => {
                    (at, question) = (Some(end), None);
                    cursor.step();
                    host = *cursor;
                    continue;
                }
                Some(b':') if colon.is_none() && at.is_none() => colon = Some(end),
                Some(b'?') if question.is_none() => question = Some(end),
                Some(b':' | b'@' | b'?') => {}
                _ => return Ok(Marks { scheme, start, body, colon, at, question, end, host }),
            }
            cursor.step();
        }
    }

    /// Takes the URI in `text` apart. Inlined, so that a caller who wants to know no more than whether it is one puts nothing together.
    #[inline(always)]
    pub(crate) fn uri(&self, text: &'b [u8]) -> Result<Uri<'b>, FieldError> {
        let mut uri = Uri {
            text: &text[self.start..self.end],
            scheme: self.scheme,
            user: None,
            password: None,
            host: Host::Name(b""),
            port: None,
            params: Params(b""),
            headers: b"",
        };
        match self.scheme {
            Scheme::Sip | Scheme::Sips => self.sip(text, &mut uri)?,
            Scheme::Tel => self.tel(text, &mut uri)?,
            Scheme::Other if self.body == self.end => {
                return Err(Cursor::at(text, self.end).error("something behind it"));
            }
            Scheme::Other => {}
        }
        Ok(uri)
    }

    #[inline(always)]
    fn sip(&self, text: &'b [u8], uri: &mut Uri<'b>) -> Result<(), FieldError> {
        let mut cursor = self.host;
        if let Some(at) = self.at {
            let colon = self.colon.unwrap_or(at);
            if colon == self.body {
                return Err(Cursor::at(text, self.body).error("a user before the @"));
            }
            uri.user = Some(&text[self.body..colon]);
            uri.password = self.colon.map(|colon| &text[colon + 1..at]);
        }
        uri.host = host(&mut cursor)?;
        uri.port = port(&mut cursor)?;
        let behind = cursor.offset();
        if behind != self.end && !matches!(cursor.peek(), Some(b';' | b'?')) {
            return Err(cursor.error("a parameter, a header or the end"));
        }
        uri.params = Params(&text[behind..self.question.unwrap_or(self.end)]);
        uri.headers = self.question.map_or(b"", |question| &text[question + 1..self.end]);
        Ok(())
    }

    fn tel(&self, text: &'b [u8], uri: &mut Uri<'b>) -> Result<(), FieldError> {
        let body = &text[self.body..self.end];
        let (number, params) = body.split_at(memchr::memchr(b';', body).unwrap_or(body.len()));
        if number.is_empty() {
            return Err(Cursor::at(text, self.body).error("a telephone number"));
        }
        uri.user = Some(number);
        uri.params = Params(params);
        Ok(())
    }
}

/// Parameters that must be in both URIs or in neither (RFC 3261 19.1.4).
const SIGNIFICANT: &[&str] = &["transport", "user", "ttl", "method", "maddr"];

/// Steps over a scheme and its colon.
#[inline(always)]
fn scheme(cursor: &mut Cursor<'_>) -> Result<Scheme, FieldError> {
    if cursor.rest().starts_with(b"sip:") {
        cursor.take(b"sip:".len());
        return Ok(Scheme::Sip);
    }
    other_scheme(cursor)
}

fn other_scheme(cursor: &mut Cursor<'_>) -> Result<Scheme, FieldError> {
    const SIP: u64 = folded(b"sip");
    const SIPS: u64 = folded(b"sips");
    const TEL: u64 = folded(b"tel");
    let scheme = cursor.take(skip(cursor.rest(), 0, SCHEME));
    if !scheme.first().is_some_and(u8::is_ascii_alphabetic) || !cursor.accept(b':') {
        return Err(cursor.error("a URI scheme and a colon"));
    }
    Ok(match folded(scheme) {
        SIP => Scheme::Sip,
        SIPS => Scheme::Sips,
        TEL => Scheme::Tel,
        _ => Scheme::Other,
    })
}

/// Steps over a host.
#[inline(always)]
pub(crate) fn host<'b>(cursor: &mut Cursor<'b>) -> Result<Host<'b>, FieldError> {
    let name = cursor.while_class(HOST);
    match name.first() {
        None => {
            let (address, len) = ipv6_reference(*cursor)?;
            cursor.take(len);
            Ok(Host::V6(address))
        }
        Some(b'0'..=b'9') => Ok(ipv4(name).map_or(Host::Name(name), Host::V4)),
        Some(_) => Ok(Host::Name(name)),
    }
}

/// The address in brackets here, and its length with them.
fn ipv6_reference(cursor: Cursor<'_>) -> Result<(Ipv6Addr, usize), FieldError> {
    let [b'[', inner @ ..] = cursor.rest() else { return Err(cursor.error("a host")) };
    let len = memchr::memchr(b']', inner);
    let text = len.and_then(|len| std::str::from_utf8(inner.get(..len)?).ok());
    match text.and_then(|text| Some((text.parse().ok()?, text.len() + 2))) {
        Some(found) => Ok(found),
        None => Err(cursor.error("an IPv6 address in brackets")),
    }
}

/// Steps over a colon and a port, if they are here.
#[inline]
pub(crate) fn port(cursor: &mut Cursor<'_>) -> Result<Option<u16>, FieldError> {
    if !cursor.accept(b':') {
        return Ok(None);
    }
    let start = *cursor;
    match cursor.number().and_then(|port| u16::try_from(port).ok()) {
        Some(port) => Ok(Some(port)),
        None => Err(start.error("a port up to 65535")),
    }
}

/// An address that may stand in a parameter: IPv4, or IPv6 with or without brackets.
pub(crate) fn address(text: &[u8]) -> Option<IpAddr> {
    let text = match text {
        [b'[', inner @ .., b']'] => inner,
        _ => text,
    };
    if let Some(address) = ipv4(text) {
        return Some(address.into());
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// The IPv4 address that `text` is, in numbers without leading zeros.
fn ipv4(text: &[u8]) -> Option<Ipv4Addr> {
    let (first, rest) = octet(text)?;
    let (second, rest) = octet(rest.strip_prefix(b".")?)?;
    let (third, rest) = octet(rest.strip_prefix(b".")?)?;
    let (fourth, rest) = octet(rest.strip_prefix(b".")?)?;
    rest.is_empty().then(|| Ipv4Addr::new(first, second, third, fourth))
}

/// The octet that `text` starts with, and what is behind it, which may be a digit.
#[inline(always)]
fn octet(text: &[u8]) -> Option<(u8, &[u8])> {
    let digit = |place: usize| {
        text.get(place).map(|byte| byte.wrapping_sub(b'0')).filter(|digit| *digit <= 9)
    };
    let first = digit(0)?;
    let Some(second) = digit(1).filter(|_| first > 0) else { return Some((first, &text[1..])) };
    let two = first * 10 + second;
    let Some(third) = digit(2) else { return Some((two, &text[2..])) };
    let three = u8::try_from(u16::from(two) * 10 + u16::from(third)).ok()?;
    Some((three, &text[3..]))
}

fn same_option(a: Option<&[u8]>, b: Option<&[u8]>, any_case: bool) -> bool {
    match (a, b) {
        (None, None) => true,
        (Some(a), Some(b)) => same_text(a, b, any_case),
        _ => false,
    }
}

/// Whether two texts are the same after unescaping. An escaped reserved character differs from the
/// plain one (RFC 3261 19.1.4).
fn same_text(a: &[u8], b: &[u8], any_case: bool) -> bool {
    let fold = |unit: u16| match u8::try_from(unit) {
        Ok(byte) if any_case => u16::from(byte.to_ascii_lowercase()),
        _ => unit,
    };
    Unescaped(a).map(fold).eq(Unescaped(b).map(fold))
}

/// Writes a text so that two are the same after it where [`same_text`] holds.
fn write_unescaped(text: &[u8], any_case: bool, out: &mut Writer<'_>) {
    for unit in Unescaped(text) {
        match u8::try_from(unit) {
            Ok(b'%') => out.put(b"%25"),
            Ok(byte) if any_case => out.put(&[byte.to_ascii_lowercase()]),
            Ok(byte) => out.put(&[byte]),
            Err(_) => out.put(b"%").hex(&[unit.to_be_bytes()[1]]),
        };
    }
}

/// The characters of an escaped text; an escaped reserved one is marked by 0x100.
struct Unescaped<'b>(&'b [u8]);

impl Iterator for Unescaped<'_> {
    type Item = u16;

    fn next(&mut self) -> Option<u16> {
        if let [b'%', high, low, rest @ ..] = self.0
            && let (Some(high), Some(low)) = (hex_digit(*high), hex_digit(*low))
        {
            self.0 = rest;
            let byte = high * 16 + low;
            let reserved = b";/?:@&=+$,".iter().any(|&reserved| u16::from(reserved) == byte);
            return Some(if reserved { byte | 0x100 } else { byte });
        }
        let (&first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(u16::from(first))
    }
}

fn same_number(a: &[u8], b: &[u8]) -> bool {
    digits(a).eq(digits(b))
}

/// A number's characters without visual separators (RFC 3966 5.1.1).
fn digits(number: &[u8]) -> impl Iterator<Item = u8> {
    number.iter().filter(|byte| !b"-.()".contains(byte)).map(u8::to_ascii_lowercase)
}

fn same_params(a: Params<'_>, b: Params<'_>, significant: &[&str]) -> bool {
    let agrees = |name: &[u8], value: Option<&[u8]>, other: Params<'_>| match other
        .iter()
        .find(|(found, _)| same_text(found, name, true))
    {
        Some((_, found)) => same_option(found, value, true),
        None => !significant.iter().any(|s| same_text(s.as_bytes(), name, true)),
    };
    a.iter().all(|(name, value)| agrees(name, value, b))
        && b.iter().all(|(name, value)| agrees(name, value, a))
}

/// Header components are the same in any order, and none may be missing.
fn same_headers(a: &[u8], b: &[u8]) -> bool {
    let has =
        |of: &[u8], wanted: &[u8]| of.split(|&b| b == b'&').any(|h| same_text(h, wanted, true));
    let count = |of: &[u8]| of.split(|&b| b == b'&').count();
    count(a) == count(b)
        && a.split(|&b| b == b'&').all(|header| has(b, header))
        && b.split(|&b| b == b'&').all(|header| has(a, header))
}

fn hex_digit(byte: u8) -> Option<u16> {
    (byte as char).to_digit(16).map(|digit| digit as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uri(text: &str) -> Uri<'_> {
        Uri::parse(text.as_bytes()).unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn parts() {
        let found = uri("sips:u;v=1:pw@[2001:db8::1]:5061;LR;maddr=1.2.3.4?a=b&c=d");
        assert_eq!(found.scheme, Scheme::Sips);
        assert_eq!((found.user, found.password), (Some(&b"u;v=1"[..]), Some(&b"pw"[..])));
        assert_eq!(found.socket_addr(1), Some("[2001:db8::1]:5061".parse().unwrap()));
        assert_eq!(found.param("maddr"), Some(Some(&b"1.2.3.4"[..])));
        assert_eq!((found.param("x"), found.headers), (None, &b"a=b&c=d"[..]));
        assert!(found.is_loose_router());
        assert_eq!(uri("sip:1.2.3.4").socket_addr(5060), Some("1.2.3.4:5060".parse().unwrap()));
        assert_eq!(uri("sip:h").socket_addr(5060), None);
        assert_eq!(uri("sip:1.2.3.400").host, Host::Name(b"1.2.3.400"));
        let found = uri("tel:+49-30;phone-context=x");
        assert_eq!((found.scheme, found.user), (Scheme::Tel, Some(&b"+49-30"[..])));
        assert_eq!(found.param("Phone-Context"), Some(Some(&b"x"[..])));
        assert_eq!(uri("urn:service:sos").scheme, Scheme::Other);
    }

    #[test]
    fn what_is_refused() {
        for bad in [
            "",
            "sip",
            ":a",
            "sip:",
            "sip:@h",
            "sip:u@",
            "sip:h:",
            "sip:h:65536",
            "sip:h:1x",
            "sip:h/x",
            "sip:[::1",
            "sip:[::g]",
            "sip:h h",
            "<sip:h>",
            "sip:\"h",
            "tel:",
            "tel:;x",
            "urn:",
            "1sip:h",
        ] {
            assert!(Uri::parse(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn ipv4_addresses_are_those_of_the_library() {
        for text in [
            "1.2.3.4",
            "0.0.0.0",
            "255.255.255.255",
            "127.16.4.210",
            "256.1.1.1",
            "1.2.3",
            "1",
            "1.2.3.4.5",
            "01.2.3.4",
            "1.2.3.00",
            "1..2.3",
            ".1.2.3",
            "1.2.3.",
            "1.2.3.4444",
            "a.2.3.4",
            "1.2.3.-4",
            "1.2.3_4",
            "1.2.3/4",
            "1.2.3:4",
            "100.200.300.40",
        ] {
            assert_eq!(ipv4(text.as_bytes()), text.parse().ok(), "{text}");
        }
        // An address is the host only if nothing of a name is behind it.
        for name in ["1.2.3.4.example", "1.2.3.4-a", "1.2.3.4.", "1.2.3.4_", "1.2.3.04"] {
            let found = Host::parse_with_port(name.as_bytes());
            assert_eq!(found, Ok((Host::Name(name.as_bytes()), None)));
        }
        let found = Host::parse_with_port(b"1.2.3.4:5").unwrap();
        assert_eq!(found, (Host::V4([1, 2, 3, 4].into()), Some(5)));
    }

    fn identity(text: &str) -> Vec<u8> {
        let mut buffer = [0; 128];
        let mut out = Writer::new(&mut buffer);
        uri(text).write_identity(&mut out);
        assert!(!out.has_overflowed(), "{text}");
        out.as_written().to_vec()
    }

    #[test]
    fn identities() {
        for (a, b) in [
            ("sip:alice@home.net", "sip:%61lice@HOME.NET;user=phone"),
            ("sip:a@[::1]", "sip:a@[0:0::1]"),
            ("tel:+1-(202)", "TEL:+1202;isub=3"),
            ("tel:12;phone-context=a", "tel:1-2;phone-context=A"),
            ("urn:x", "urn:x"),
        ] {
            assert!(uri(a).same_identity(&uri(b)) && uri(b).same_identity(&uri(a)), "{a} {b}");
            assert_eq!(identity(a), identity(b));
        }
        for (a, b) in [
            ("sip:alice@home.net", "sip:Alice@home.net"),
            ("sip:alice@home.net", "sips:alice@home.net"),
            ("sip:alice@home.net", "sip:alice@home.net:5060"),
            ("sip:alice@home.net", "sip:home.net"),
            ("sip:a%3Bb@h", "sip:a;b@h"),
            ("tel:12;phone-context=a", "tel:12;phone-context=b"),
            ("tel:+12", "sip:+12@h"),
            ("sip:a%253B@h", "sip:a%3B@h"),
            ("tel:12", "tel:12;phone-context=a"),
        ] {
            assert!(!uri(a).same_identity(&uri(b)), "{a} {b}");
            assert_ne!(identity(a), identity(b));
        }
    }

    /// RFC 3261 19.1.4's examples.
    #[test]
    fn equality() {
        for (a, b) in [
            ("sip:%61lice@atlanta.com;transport=TCP", "sip:alice@AtlanTa.CoM;Transport=tcp"),
            ("sip:carol@chicago.com", "sip:carol@chicago.com;newparam=5"),
            ("sip:carol@chicago.com;security=on", "sip:carol@chicago.com;newparam=5"),
            (
                "sip:biloxi.com;transport=tcp;method=REGISTER?to=sip:bob%40biloxi.com",
                "sip:biloxi.com;method=REGISTER;transport=tcp?to=sip:bob%40biloxi.com",
            ),
            (
                "sip:alice@atlanta.com?subject=project%20x&priority=urgent",
                "sip:alice@atlanta.com?priority=urgent&subject=project%20x",
            ),
        ] {
            assert!(uri(a).same(&uri(b)) && uri(b).same(&uri(a)), "{a} {b}");
        }
        for (a, b) in [
            ("SIP:ALICE@AtLanTa.CoM;Transport=udp", "sip:alice@AtLanTa.CoM;Transport=UDP"),
            ("sip:bob@biloxi.com", "sip:bob@biloxi.com:5060"),
            ("sip:bob@biloxi.com", "sip:bob@biloxi.com;transport=udp"),
            ("sip:bob@biloxi.com", "sip:bob@biloxi.com:6000;transport=tcp"),
            ("sip:carol@chicago.com", "sip:carol@chicago.com?Subject=next%20meeting"),
            ("sip:bob@phone21.boxesbybob.com", "sip:bob@192.0.2.4"),
            ("sip:carol@chicago.com;security=on", "sip:carol@chicago.com;security=off"),
        ] {
            assert!(!uri(a).same(&uri(b)) && !uri(b).same(&uri(a)), "{a} {b}");
        }
    }
}
