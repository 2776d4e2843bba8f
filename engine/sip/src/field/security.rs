//! Security-Client, Security-Server, Security-Verify (RFC 3329 2.2, TS 33.203 annex H). Engine and
//! UE share this one.

use crate::error::FieldError;
use crate::params::{self, Params};
use crate::scan::{Cursor, decimal_u16, decimal_u32, folded};

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
        let mut stop = 0;
        let found = SecurityMechanism::element(value, &mut stop)?;
        params::ends(value, stop).map(|()| found)
    }

    /// Takes one apart that ends at a comma or with the text, and sets `stop` to where that is.
    pub(crate) fn element(
        text: &'b [u8],
        stop: &mut usize,
    ) -> Result<SecurityMechanism<'b>, FieldError> {
        let mut cursor = Cursor::new(text);
        cursor.space();
        let mechanism = cursor.token("a mechanism name")?;
        let mut found = SecurityMechanism {
            mechanism,
            q_millis: None,
            alg: None,
            ealg: b"null",
            prot: b"esp",
            mode: b"trans",
            spi_c: None,
            spi_s: None,
            port_c: None,
            port_s: None,
            params: Params(b""),
        };
        let mut in_range = true;
        found.params = Params::each(&mut cursor, |name, text| {
            in_range &= found.take(name, text.unwrap_or_default());
        })?;
        if !in_range {
            return Err(cursor.error("numbers in range in q, SPIs and ports, names elsewhere"));
        }
        *stop = cursor.offset();
        Ok(found)
    }

    /// Whether both say the same: the same mechanism with the same set of parameters, in any order;
    /// numbers by value. Defaults are not filled in: a mirrored value must be a mirror.
    pub fn same(&self, other: &SecurityMechanism<'_>) -> bool {
        self.mechanism.eq_ignore_ascii_case(other.mechanism)
            && self.params.iter().count() == other.params.iter().count()
            && contains(other.params, self.params)
            && contains(self.params, other.params)
    }

    fn take(&mut self, name: &[u8], text: &'b [u8]) -> bool {
        const Q: u64 = folded(b"q");
        const SPI_C: u64 = folded(b"spi-c");
        const SPI_S: u64 = folded(b"spi-s");
        const PORT_C: u64 = folded(b"port-c");
        const PORT_S: u64 = folded(b"port-s");
        const ALG: u64 = folded(b"alg");
        const EALG: u64 = folded(b"ealg");
        const PROT: u64 = folded(b"prot");
        const MOD: u64 = folded(b"mod");
        const MODE: u64 = folded(b"mode");
        match folded(name) {
            Q => set(&mut self.q_millis, q_millis(text)),
            SPI_C => set(&mut self.spi_c, spi(text)),
            SPI_S => set(&mut self.spi_s, spi(text)),
            PORT_C => set(&mut self.port_c, decimal_u16(text)),
            PORT_S => set(&mut self.port_s, decimal_u16(text)),
            ALG => set(&mut self.alg, Some(text)) && !text.is_empty(),
            EALG => named(&mut self.ealg, text),
            PROT => named(&mut self.prot, text),
            MOD | MODE => named(&mut self.mode, text),
            _ => true,
        }
    }
}

/// Sets a number; says whether it is one.
#[inline]
fn set<T>(place: &mut Option<T>, value: Option<T>) -> bool {
    *place = value;
    place.is_some()
}

/// Sets a name; says whether it is one.
#[inline]
fn named<'b>(place: &mut &'b [u8], text: &'b [u8]) -> bool {
    *place = text;
    !text.is_empty()
}

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
