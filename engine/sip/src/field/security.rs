//! Security-Client, Security-Server, Security-Verify (RFC 3329 2.2, TS 33.203 annex H). Engine and
//! UE share this one.

use crate::error::FieldError;
use crate::names::Names;
use crate::params::{self, Params};
use crate::scan::{Cursor, decimal_u16, decimal_u32};

/// One offered or agreed mechanism.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct SecurityMechanism<'b> {
    /// Its name, `ipsec-3gpp` in IMS.
    pub mechanism: &'b [u8],
    /// Preference in thousandths, 0 to 1000.
    pub q_millis: Option<u16>,
    /// Integrity algorithm.
    pub alg: Option<&'b [u8]>,
    /// Encryption algorithm; `null` where absent.
    pub ealg: &'b [u8],
    /// IPsec protocol; `esp` where absent.
    pub prot: &'b [u8],
    /// Mode; `trans` where absent.
    pub mode: &'b [u8],
    /// SPI of the SA towards the client port.
    pub spi_c: Option<u32>,
    /// SPI of the SA towards the server port.
    pub spi_s: Option<u32>,
    /// Protected client port.
    pub port_c: Option<u16>,
    /// Protected server port.
    pub port_s: Option<u16>,
    /// All parameters.
    pub params: Params<'b>,
}

impl<'b> SecurityMechanism<'b> {
    /// Takes one list element apart. SPIs may have 1 to 10 digits: real UEs don't pad them.
    ///
    /// # Errors
    /// If a name, a parameter, a number or `q` is out of its grammar or range.
    pub fn parse(value: &'b [u8]) -> Result<SecurityMechanism<'b>, FieldError> {
        params::whole(value, SecurityMechanism::element)
    }

    /// Takes one apart that ends at a comma or with the text, and sets `stop` to where that is.
    pub(crate) fn element(
        text: &'b [u8],
        stop: &mut usize,
    ) -> Result<SecurityMechanism<'b>, FieldError> {
        let mut cursor = Cursor::new(text);
        cursor.space();
        let mechanism = cursor.token("a mechanism name")?;
        let (mut names, mut numbers) = ([None; PLACES], [None; PLACES]);
        let mut in_range = true;
        let params = Params::each(&mut cursor, |name, value| {
            let Some(place) = KNOWN.place(name) else { return };
            let value = value.unwrap_or_default();
            if place >= ALG {
                names[place.min(MOD)] = Some(value);
                in_range &= !value.is_empty();
                return;
            }
            numbers[place] = match place {
                SPI_C | SPI_S => spi(value),
                PORT_C | PORT_S => decimal_u16(value).map(u32::from),
                _ => q_millis(value).map(u32::from),
            };
            in_range &= numbers[place].is_some();
        })?;
        if !in_range {
            return Err(cursor.error("numbers in range in q, SPIs and ports, names elsewhere"));
        }
        *stop = cursor.offset();
        let short = |place: usize| numbers[place].map(|number| number as u16);
        Ok(SecurityMechanism {
            mechanism,
            q_millis: short(Q),
            alg: names[ALG],
            ealg: names[EALG].unwrap_or(b"null"),
            prot: names[PROT].unwrap_or(b"esp"),
            mode: names[MOD].unwrap_or(b"trans"),
            spi_c: numbers[SPI_C],
            spi_s: numbers[SPI_S],
            port_c: short(PORT_C),
            port_s: short(PORT_S),
            params,
        })
    }

    /// Whether both say the same: the same mechanism with the same set of parameters, in any order;
    /// numbers by value. Defaults are not filled in: a mirrored value must be a mirror.
    pub fn same(&self, other: &SecurityMechanism<'_>) -> bool {
        self.mechanism.eq_ignore_ascii_case(other.mechanism)
            && self.params.iter().count() == other.params.iter().count()
            && contains(other.params, self.params)
            && contains(self.params, other.params)
    }
}

/// The parameters that have a meaning here, numbers first.
static KNOWN: Names<PLACES> =
    Names::new(["q", "spi-c", "spi-s", "port-c", "port-s", "alg", "ealg", "prot", "mod", "mode"]);
const PLACES: usize = 10;
const Q: usize = 0;
const SPI_C: usize = 1;
const SPI_S: usize = 2;
const PORT_C: usize = 3;
const PORT_S: usize = 4;
const ALG: usize = 5;
const EALG: usize = 6;
const PROT: usize = 7;
/// And the place behind it, another spelling.
const MOD: usize = 8;

/// Whether each parameter of `few` is in `many` with the same value.
fn contains(many: Params<'_>, few: Params<'_>) -> bool {
    few.iter().all(|(name, text)| {
        // A parameter that is there twice is some trickery, but still a mirror of itself.
        let is_twin = |(found, twin): (&[u8], Option<&[u8]>)| {
            found.eq_ignore_ascii_case(name) && same_value(text, twin)
        };
        many.iter().any(is_twin)
    })
}

fn spi(text: &[u8]) -> Option<u32> {
    if text.len() > 10 { None } else { decimal_u32(text) }
}

/// A qvalue (RFC 3261 25.1): `0`, `0.ddd`, `1`, `1.000`, in thousandths.
pub(crate) fn q_millis(text: &[u8]) -> Option<u16> {
    let (whole, fraction) = match memchr::memchr(b'.', text) {
        Some(dot) => (&text[..dot], &text[dot + 1..]),
        None => (text, &b""[..]),
    };
    if fraction.len() > 3 || !fraction.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let mut millis = decimal_u16(whole).filter(|&whole| whole <= 1)? * 1000;
    for (digit, weight) in fraction.iter().zip([100, 10, 1]) {
        millis += u16::from(digit - b'0') * weight;
    }
    (millis <= 1000).then_some(millis)
}

fn same_value(a: Option<&[u8]>, b: Option<&[u8]>) -> bool {
    match (a, b) {
        (None, None) => true,
        (Some(a), Some(b)) => match (decimal_u32(a), decimal_u32(b)) {
            (Some(a), Some(b)) => a == b,
            _ => a.eq_ignore_ascii_case(b),
        },
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mechanism_with_a_parameter_twice_is_the_same_as_itself() {
        let twice = parsed("x;tag=!;tag=INVITE");
        assert!(twice.same(&twice));
        assert!(!twice.same(&parsed("x;tag=!;tag=BYE")));
    }

    fn parsed(text: &str) -> SecurityMechanism<'_> {
        SecurityMechanism::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn an_offer() {
        let found = parsed(
            "ipsec-3gpp; alg=hmac-sha-1-96; ealg=aes-cbc; prot=esp; mod=UDP-enc-tun; spi-c=0000012345; \
             spi-s=4294967295; port-c=65535; port-s=5062; q=0.1; new",
        );
        assert_eq!(found.mechanism, b"ipsec-3gpp");
        assert_eq!((found.alg, found.ealg), (Some(&b"hmac-sha-1-96"[..]), &b"aes-cbc"[..]));
        assert_eq!((found.prot, found.mode), (&b"esp"[..], &b"UDP-enc-tun"[..]));
        assert_eq!((found.spi_c, found.spi_s), (Some(12345), Some(u32::MAX)));
        assert_eq!((found.port_c, found.port_s), (Some(65535), Some(5062)));
        assert_eq!(found.q_millis, Some(100));
        let bare = parsed("digest");
        assert_eq!((bare.ealg, bare.prot, bare.mode), (&b"null"[..], &b"esp"[..], &b"trans"[..]));
        assert_eq!((bare.alg, bare.spi_c, bare.q_millis), (None, None, None));
    }

    #[test]
    fn numbers_out_of_range() {
        for bad in [
            "x;spi-c=4294967296",
            "x;spi-c=00000000001",
            "x;spi-s=",
            "x;spi-s",
            "x;port-c=65536",
            "x;port-s=-1",
            "x;q=1.001",
            "x;q=2",
            "x;q=0.1234",
            "x;alg",
            ";alg=x",
            "",
        ] {
            assert!(SecurityMechanism::parse(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn q_values() {
        for (text, millis) in [("0", 0), ("1", 1000), ("1.000", 1000), ("0.5", 500), ("0.", 0)] {
            assert_eq!(q_millis(text.as_bytes()), Some(millis), "{text}");
        }
        for text in ["", ".5", "1.1", "0.x"] {
            assert_eq!(q_millis(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn mirrors() {
        let sent = parsed("ipsec-3gpp;q=0.1;alg=hmac-md5-96;spi-c=12");
        assert!(sent.same(&parsed("IPSEC-3GPP; SPI-C=0012; alg=HMAC-md5-96 ;q=0.1")));
        for other in [
            "ipsec-3gpp;q=0.1;alg=hmac-md5-96",
            "ipsec-3gpp;q=0.1;alg=hmac-md5-96;spi-c=13",
            "ipsec-3gpp;q=0.1;alg=hmac-md5-96;spi-c=12;prot=esp",
            "ipsec-3gpp;q=0.1;alg=hmac-md5-96;spi-s=12",
            "tls;q=0.1;alg=hmac-md5-96;spi-c=12",
        ] {
            assert!(!sent.same(&parsed(other)), "{other}");
            assert!(!parsed(other).same(&sent), "{other}");
        }
        // A doubled parameter in place of another.
        assert!(!sent.same(&parsed("ipsec-3gpp;q=0.1;alg=hmac-md5-96;alg=hmac-md5-96")));
        assert!(!parsed("x;a=1;a=1").same(&parsed("x;a=1;b=2")));
    }
}
