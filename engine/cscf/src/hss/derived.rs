//! The rule that derives millions of subscribers from a seed, so that engine and generator agree on them without a file.
//!
//! Subscriber `n` (from 1) has the private identity `ueNNNNNNNN@domain`, the default public identity `sip:ueNNNNNNNN@domain`,
//! a second one `tel:+99970NNNNNNNN`, and keys that are a function of seed and `n`. These keys protect nothing but a test
//! network: whoever knows the seed knows them all.

use imstorm_base::random::mix;
use imstorm_sip::write::Writer;

use super::SubscriberKeys;

/// Digits of a subscriber's number in its identities.
const DIGITS: usize = 8;
/// The largest population that the digits can name.
pub const POPULATION_MAX: u64 = 99_999_999;
/// The authentication management field of derived subscribers: the separation bit (TS 33.102 annex H) and nothing else.
const AMF: [u8; 2] = [0x80, 0x00];

/// A population that is derived from a seed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Derivation {
    /// The subscribers' seed. Engine and generator must have the same one.
    pub seed: u64,
    /// How many subscribers there are, numbered from 1; at most [`POPULATION_MAX`].
    pub size: u64,
    /// The home domain, which is also the authentication realm.
    pub domain: String,
}

impl Derivation {
    /// Writes the private identity of subscriber `number`.
    pub fn write_impi(&self, number: u64, out: &mut Writer<'_>) {
        write_name(number, out);
        out.put(b"@").text(&self.domain);
    }

    /// Writes the default public identity of subscriber `number`.
    pub fn write_impu(&self, number: u64, out: &mut Writer<'_>) {
        out.put(b"sip:");
        self.write_impi(number, out);
    }

    /// Writes the second public identity of subscriber `number`.
    pub fn write_tel(number: u64, out: &mut Writer<'_>) {
        out.put(b"tel:+99970");
        write_digits(number, out);
    }

    /// The number of the subscriber with this private identity, if the rule makes such a one.
    #[must_use]
    pub fn number(&self, impi: &[u8]) -> Option<u64> {
        let rest = impi.strip_prefix(b"ue")?;
        let (digits, domain) = rest.split_at_checked(DIGITS)?;
        let domain = domain.strip_prefix(b"@")?;
        if !domain.eq_ignore_ascii_case(self.domain.as_bytes()) {
            return None;
        }
        self.read_digits(digits)
    }

    /// The number of the subscriber with this public identity, if the rule makes such a one.
    #[must_use]
    pub fn number_of_impu(&self, impu: &[u8]) -> Option<u64> {
        if let Some(name) = impu.strip_prefix(b"sip:") {
            // Parameters don't count, `gr` of a public GRUU among them.
            return self.number(name.split(|byte| *byte == b';').next().unwrap_or_default());
        }
        self.read_digits(impu.strip_prefix(b"tel:+99970")?)
    }

    fn read_digits(&self, digits: &[u8]) -> Option<u64> {
        let mut number = 0;
        (digits.len() == DIGITS).then_some(())?;
        for digit in digits {
            if !digit.is_ascii_digit() {
                return None;
            }
            number = number * 10 + u64::from(digit - b'0');
        }
        (1..=self.size).contains(&number).then_some(number)
    }

    /// The keys of subscriber `number`.
    #[must_use]
    pub fn keys(&self, number: u64) -> SubscriberKeys {
        let word = |stream: u64| mix(self.seed.wrapping_add(stream << 56), number).to_be_bytes();
        let block = |stream: u64| {
            let mut block = [0; 16];
            block[..8].copy_from_slice(&word(stream));
            block[8..].copy_from_slice(&word(stream + 1));
            block
        };
        SubscriberKeys { k: block(1), opc: block(3), amf: AMF }
    }
}

fn write_name(number: u64, out: &mut Writer<'_>) {
    out.put(b"ue");
    write_digits(number, out);
}

fn write_digits(number: u64, out: &mut Writer<'_>) {
    let mut digits = [b'0'; DIGITS];
    let mut rest = number;
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + u8::try_from(rest % 10).unwrap_or(0);
        rest /= 10;
    }
    assert!(rest == 0, "a derived subscriber's number has at most {DIGITS} digits");
    out.put(&digits);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn population() -> Derivation {
        Derivation { seed: 7, size: 1000, domain: "ims.example".to_owned() }
    }

    #[test]
    fn an_identity_leads_back_to_its_number() {
        let population = population();
        for number in [1, 42, 1000] {
            let mut buffer = [0; 64];
            let mut writer = Writer::new(&mut buffer);
            population.write_impi(number, &mut writer);
            assert_eq!(population.number(writer.as_written()), Some(number));
        }
    }

    #[test]
    fn other_identities_lead_nowhere() {
        let population = population();
        for impi in [
            &b"ue00000000@ims.example"[..],
            b"ue00001001@ims.example",
            b"ue0000001@ims.example",
            b"ue00000001@ims.example.org",
            b"ue00000001",
            b"alice@ims.example",
            b"",
        ] {
            assert_eq!(population.number(impi), None, "{}", String::from_utf8_lossy(impi));
        }
    }

    #[test]
    fn keys_differ_between_subscribers_and_seeds() {
        let population = population();
        let other = Derivation { seed: 8, ..population.clone() };
        assert_ne!(population.keys(1).k, population.keys(2).k);
        assert_ne!(population.keys(1).k, population.keys(1).opc);
        assert_ne!(population.keys(1).k, other.keys(1).k);
    }
}
