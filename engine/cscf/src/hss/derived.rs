//! The rule that derives millions of subscribers from a seed, so that engine and generator agree on them without a file.
//!
//! Subscriber `n` (from 1) has the private identity `ueNNNNNNNN@domain`, the default public identity `sip:ueNNNNNNNN@domain`,
//! and keys that are a function of seed and `n`. These keys protect nothing but a test network: whoever knows the seed knows them all.
//!
//! The other public identities are its user's: `tel:+99970MMMMMMMM`, then `sip:ueMMMMMMMM.3@domain`, `.4` and so on. A user with one device is
//! one subscriber, `m` being `n`. One with several has a subscriber for each, as each has a USIM of its own, and they share the user's
//! identities: of `u` users the first has the subscribers 1, `u + 1`, `2u + 1` …, and the number 1.

use imstorm_base::random::mix;
use imstorm_sip::write::Writer;

use super::SubscriberKeys;
use super::directory::{BODY_BYTES_MAX, identity_body_bytes};
use crate::identity::{Identity, IdentityError, IdentityListWriter};

/// Digits of a subscriber's number in its identities.
const DIGITS: usize = 8;
/// The largest population that the digits can name.
pub const POPULATION_MAX: u64 = 99_999_999;
/// The most public identities that a derived subscriber may have.
pub const IDENTITIES_MAX: u32 = 16;
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
    /// How many public identities each has, from 1 to [`IDENTITIES_MAX`]: the first is its own, the others are its user's.
    pub identities: u32,
    /// How many subscribers a user has, one for each device: at least 1, and a divisor of `size`.
    pub devices: u32,
}

impl Derivation {
    /// Subscribers with two identities, and as many users.
    #[must_use]
    pub fn new(seed: u64, size: u64, domain: &str) -> Self {
        Self { seed, size, domain: domain.to_owned(), identities: 2, devices: 1 }
    }

    /// Checks the numbers of identities and devices.
    ///
    /// # Errors
    /// `identities` or `devices`, and what was expected of it.
    pub fn check(&self) -> Result<(), (&'static str, String)> {
        if !(1..=IDENTITIES_MAX).contains(&self.identities) {
            return Err(("identities", format!("1 to {IDENTITIES_MAX}")));
        }
        let longest = "sip:.16@".len() + "ue".len() + DIGITS + self.domain.len();
        let body = |identities| identity_body_bytes(0) + identities * identity_body_bytes(longest);
        if body(self.identities as usize) > BODY_BYTES_MAX {
            let most = (1..=self.identities as usize).rfind(|many| body(*many) <= BODY_BYTES_MAX);
            let most = most.unwrap_or_default();
            let problem = format!("at most {most}, which with this domain fit a NOTIFY");
            return Err(("identities", problem));
        }
        if self.devices == 0 || !self.size.is_multiple_of(u64::from(self.devices)) {
            return Err(("devices", format!("a divisor of the size, {}", self.size)));
        }
        Ok(())
    }

    fn users(&self) -> u64 {
        if self.devices == 1 { self.size } else { self.size / u64::from(self.devices) }
    }

    /// The number of a subscriber's user, from 1.
    #[must_use]
    pub fn user(&self, number: u64) -> u64 {
        if self.devices == 1 { number } else { (number - 1) % self.users() + 1 }
    }

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

    /// All public identities of subscriber `number`, the default one first.
    ///
    /// # Errors
    /// [`IdentityError::TooLong`] where there is no room for them.
    pub fn list(
        &self,
        number: u64,
        list: &mut IdentityListWriter<'_>,
    ) -> Result<(), IdentityError> {
        for place in 1..=self.identities {
            let mut text = [0; 300];
            let mut writer = Writer::new(&mut text);
            match place {
                1 => self.write_impu(number, &mut writer),
                _ => self.write_shared(self.user(number), place, &mut writer),
            }
            let uri = writer.as_written();
            list.push(Identity { uri, is_default: place == 1, barred: false })?;
        }
        Ok(())
    }

    /// Writes the public identity at `place`, from 2, of the user `user`.
    fn write_shared(&self, user: u64, place: u32, out: &mut Writer<'_>) {
        if place == 2 {
            out.put(b"tel:+99970");
            return write_digits(user, out);
        }
        out.put(b"sip:");
        write_name(user, out);
        out.put(b".").decimal(place.into()).put(b"@").text(&self.domain);
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

    /// The numbers of the subscribers with this public identity: none, one, or as many as a user has devices.
    #[inline]
    pub fn holders(&self, impu: &[u8]) -> impl Iterator<Item = u64> + use<> {
        let (first, count) = match self.holder(impu) {
            Some((number, is_shared)) => (number, if is_shared { self.devices } else { 1 }),
            None => (0, 0),
        };
        let users = self.users();
        (0..u64::from(count)).map(move |device| first + device * users)
    }

    /// The first subscriber with this public identity, and whether it is one that a user's subscribers share.
    fn holder(&self, impu: &[u8]) -> Option<(u64, bool)> {
        let Some(name) = impu.strip_prefix(b"sip:") else {
            let user = self.read_digits(impu.strip_prefix(b"tel:+99970")?)?;
            return (self.identities > 1 && user <= self.users()).then_some((user, true));
        };
        // Parameters don't count, `gr` of a public GRUU among them.
        let name = name.split(|byte| *byte == b';').next().unwrap_or_default();
        match self.number(name) {
            Some(number) => Some((number, false)),
            None => self.further(name).map(|user| (user, true)),
        }
    }

    /// The user with the identity `ueMMMMMMMM.K@domain`.
    fn further(&self, name: &[u8]) -> Option<u64> {
        let (digits, rest) = name.strip_prefix(b"ue")?.split_at_checked(DIGITS)?;
        let at = rest.iter().position(|byte| *byte == b'@')?;
        let place = std::str::from_utf8(rest[..at].strip_prefix(b".")?).ok()?;
        if !rest[at + 1..].eq_ignore_ascii_case(self.domain.as_bytes())
            || place.starts_with(['0', '+'])
        {
            return None;
        }
        let is_there = (3..=self.identities).contains(&place.parse().ok()?);
        self.read_digits(digits).filter(|user| is_there && *user <= self.users())
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
    use crate::identity::IdentityList;

    fn population() -> Derivation {
        Derivation::new(7, 1000, "ims.example")
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
    fn a_users_devices_share_all_identities_but_their_own() {
        let population = Derivation { identities: 4, devices: 2, ..population() };
        let list_of = |number| {
            let mut packed = [0; 512];
            let mut list = IdentityListWriter::new(&mut packed);
            population.list(number, &mut list).unwrap();
            let list = IdentityList::new(list.finish());
            list.iter().map(|it| String::from_utf8_lossy(it.uri).into_owned()).collect::<Vec<_>>()
        };
        let (first, second) = (list_of(17), list_of(517));
        assert_eq!((population.user(17), population.user(517)), (17, 17));
        assert_eq!(first[0], "sip:ue00000017@ims.example");
        assert_eq!(second[0], "sip:ue00000517@ims.example");
        let shared =
            ["tel:+9997000000017", "sip:ue00000017.3@ims.example", "sip:ue00000017.4@ims.example"];
        assert_eq!((&first[1..], &second[1..]), (&shared.map(str::to_owned)[..], &first[1..]));
        let holders = |impu: &str| population.holders(impu.as_bytes()).collect::<Vec<_>>();
        assert_eq!(holders(&first[0]), [17]);
        assert_eq!(holders(&second[0]), [517]);
        for impu in shared {
            assert_eq!(holders(impu), [17, 517], "{impu}");
        }
        for impu in [
            "tel:+9997000000517",
            "sip:ue00000517.3@ims.example",
            "sip:ue00000017.2@ims.example",
            "sip:ue00000017.5@ims.example",
            "sip:ue00000017.03@ims.example",
            "sip:ue00000017.3@elsewhere.example",
            "sip:ue00000017.@ims.example",
        ] {
            assert!(holders(impu).is_empty(), "{impu}");
        }
    }

    #[test]
    fn numbers_that_are_none_are_refused() {
        let field = |identities, devices, domain: &str| {
            let population = Derivation { identities, devices, ..Derivation::new(1, 10, domain) };
            population.check().err().map(|(field, _)| field)
        };
        assert_eq!(field(1, 1, "ims.example"), None);
        assert_eq!(field(16, 5, "ims.example"), None);
        assert_eq!(field(0, 1, "ims.example"), Some("identities"));
        assert_eq!(field(17, 1, "ims.example"), Some("identities"));
        assert_eq!(field(16, 1, &"a".repeat(200)), Some("identities"));
        assert_eq!(field(2, 0, "ims.example"), Some("devices"));
        assert_eq!(field(2, 3, "ims.example"), Some("devices"));
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
