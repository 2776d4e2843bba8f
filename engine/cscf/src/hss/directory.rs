//! Who the subscribers are: those of a file, then those that are derived from a seed. Read-only after start, shared by all
//! shards.

use std::collections::HashMap;

use imstorm_aka::Sqn;
use imstorm_aka::opc_from_op;
use imstorm_base::hash::HashSeed;
use imstorm_sip::uri::Uri;
use imstorm_sip::write::Writer;
use smallvec::SmallVec;

use super::SubscriberKeys;
use super::derived::Derivation;
use crate::identity::{
    IDENTITY_BYTES_MAX, Identity, IdentityError, IdentityList, IdentityListWriter, identity_key,
};

/// A subscriber's place in the directory: the rows of the file first, the derived ones after them.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub struct UserId(pub u32);

/// A subscriber of the file.
#[derive(Clone, Debug)]
struct Row {
    impi: String,
    /// (URI, barred), in the order of the file.
    impus: Vec<(String, bool)>,
    keys: SubscriberKeys,
    sqn: Sqn,
    /// The smallest row with which this one shares a public identity, itself if none: all of a group have one owner shard.
    group: u32,
}

/// The rows that share a public identity. Mostly it is one.
type Holders = SmallVec<[u32; 2]>;

/// What is wrong with a subscriber file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirectoryError {
    /// Line in the file, from 1; the header is line 1.
    pub line: u64,
    /// The column's name in the header, or `line` where the whole line is meant.
    pub field: &'static str,
    /// What was expected and what came. Never repeats a key.
    pub problem: String,
}

impl std::fmt::Display for DirectoryError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "line {}, field {}: {}", self.line, self.field, self.problem)
    }
}

impl std::error::Error for DirectoryError {}

/// All subscribers.
#[derive(Clone, Debug, Default)]
pub struct Directory {
    rows: Vec<Row>,
    by_impi: HashMap<String, u32>,
    /// All rows with a public identity, by its [`identity_key`], in the order of the file.
    by_impu: HashMap<Box<[u8]>, Holders>,
    derived: Option<Derivation>,
    /// Whether a private identity may be modified: `user+SUFFIX@realm` is `user@realm`.
    takes_modified: bool,
}

/// The longest private identity that may be modified, in bytes.
const IMPI_BYTES_MAX: usize = 256;

/// The longest suffix of a modified private identity, in bytes: whoever sends a first request chooses it, and it is kept.
const SUFFIX_BYTES_MAX: usize = 32;
/// The longest modified private identity, in bytes.
pub const MODIFIED_IMPI_BYTES_MAX: usize = IMPI_BYTES_MAX + 1 + SUFFIX_BYTES_MAX;

/// The private identity that another one is derived from: `user@realm` for `user+SUFFIX@realm`, the suffix being up to 32 letters and digits.
fn base_of<'a>(impi: &[u8], out: &'a mut [u8; IMPI_BYTES_MAX]) -> Option<&'a [u8]> {
    let (name, realm) = impi.split_at(impi.iter().rposition(|byte| *byte == b'@')?);
    let (base, suffix) = name.split_at(name.iter().rposition(|byte| *byte == b'+')?);
    let suffix = &suffix[1..];
    let is_suffix = (1..=SUFFIX_BYTES_MAX).contains(&suffix.len())
        && suffix.iter().all(u8::is_ascii_alphanumeric);
    if !is_suffix || base.is_empty() {
        return None;
    }
    let out = out.get_mut(..base.len() + realm.len())?;
    out[..base.len()].copy_from_slice(base);
    out[base.len()..].copy_from_slice(realm);
    Some(out)
}

/// The longest `application/secinfo+xml` body, in bytes: what fits a message on Mw beside its headers.
pub const BODY_BYTES_MAX: usize = 3072;
/// What the body has beside the identities, and beside each identity's text.
const BODY_FRAME_BYTES: usize = 256;
const BODY_IDENTITY_BYTES: usize = 40;

/// Bytes of a body that an identity with a text of this length takes; those of the frame for none.
#[must_use]
pub fn identity_body_bytes(uri_bytes: usize) -> usize {
    if uri_bytes == 0 { BODY_FRAME_BYTES } else { uri_bytes + BODY_IDENTITY_BYTES }
}

/// The columns of a subscriber file, in order.
const COLUMNS: [&str; 7] = ["impi", "impus", "k", "opc", "op", "amf", "sqn"];

impl Directory {
    /// Only derived subscribers.
    #[must_use]
    pub fn derived(derivation: Derivation) -> Self {
        Self { derived: Some(derivation), ..Self::default() }
    }

    /// Reads a subscriber file's text: CSV with the header `impi,impus,k,opc,op,amf,sqn`; exactly one of `opc` and `op` is
    /// filled; keys in hex; `impus` separated by `;`, the first is the default, `!` before one marks it barred; `sqn` is the
    /// last sequence number that was used.
    ///
    /// # Errors
    /// The first line that is wrong, with its field.
    pub fn from_csv(text: &str, derivation: Option<Derivation>) -> Result<Self, DirectoryError> {
        let mut directory = Self { derived: derivation, ..Self::default() };
        let mut reader = csv::ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .trim(csv::Trim::All)
            .comment(Some(b'#'))
            .from_reader(text.as_bytes());
        let mut header_seen = false;
        for record in reader.records() {
            let record = record.map_err(|error| DirectoryError {
                line: error.position().map_or(0, csv::Position::line),
                field: "line",
                problem: format!("not CSV in UTF-8: {error}"),
            })?;
            let line = record.position().map_or(0, csv::Position::line);
            if !header_seen {
                if record.iter().ne(COLUMNS) {
                    return Err(DirectoryError {
                        line,
                        field: "line",
                        problem: format!("expected the header {}", COLUMNS.join(",")),
                    });
                }
                header_seen = true;
                continue;
            }
            directory.add(line, &record)?;
        }
        if header_seen {
            Ok(directory)
        } else {
            Err(DirectoryError {
                line: 1,
                field: "line",
                problem: format!("the file is empty; expected the header {}", COLUMNS.join(",")),
            })
        }
    }

    fn add(&mut self, line: u64, record: &csv::StringRecord) -> Result<(), DirectoryError> {
        let fail = |field, problem| Err(DirectoryError { line, field, problem });
        if record.len() != COLUMNS.len() {
            let problem = format!("expected {} fields, found {}", COLUMNS.len(), record.len());
            return fail("line", problem);
        }
        let impi = &record[0];
        if !impi.contains('@') || impi.bytes().any(|b| b <= b' ' || b == b'"') {
            return fail("impi", format!("expected user@realm, found {impi:?}"));
        }
        if self.by_impi.contains_key(impi) {
            return fail("impi", format!("{impi} stands on an earlier line already"));
        }
        let impus = read_impus(&record[1]).map_err(|problem| DirectoryError {
            line,
            field: "impus",
            problem,
        })?;
        let body: usize = impus.iter().map(|(uri, _)| uri.len() + BODY_IDENTITY_BYTES).sum();
        if body + BODY_FRAME_BYTES > BODY_BYTES_MAX {
            let problem =
                format!("{} identities don't fit a NOTIFY of {BODY_BYTES_MAX} bytes", impus.len());
            return fail("impus", problem);
        }
        let k = hex::<16>(line, "k", &record[2])?;
        let opc = match (&record[3], &record[4]) {
            (opc, "") => hex::<16>(line, "opc", opc)?,
            ("", op) => opc_from_op(&k, &hex::<16>(line, "op", op)?),
            _ => return fail("op", "expected exactly one of opc and op, found both".to_owned()),
        };
        let amf = hex::<2>(line, "amf", &record[5])?;
        let sqn = Sqn::from_bytes(hex::<6>(line, "sqn", &record[6])?);

        let number = u32::try_from(self.rows.len()).unwrap_or(u32::MAX);
        let mut group = number;
        for (uri, _) in &impus {
            group = group.min(self.hold(uri, number));
        }
        self.by_impi.insert(impi.to_owned(), number);
        self.rows.push(Row {
            impi: impi.to_owned(),
            impus,
            keys: SubscriberKeys { k, opc, amf },
            sqn,
            group,
        });
        self.join_groups(number);
        Ok(())
    }

    /// Notes that the row `number`, which comes next, has an identity. The group of those that have it.
    fn hold(&mut self, uri: &str, number: u32) -> u32 {
        let mut key = [0; IDENTITY_BYTES_MAX];
        let Some(key) = identity_key(uri.as_bytes(), &mut key) else { return number };
        let holders = self.by_impu.entry(key.into()).or_default();
        let first = holders.first().and_then(|first| self.rows.get(*first as usize));
        let group = first.map_or(number, |row| row.group);
        if holders.last() != Some(&number) {
            holders.push(number);
        }
        group
    }

    /// A row that shares identities with several groups makes one of them.
    fn join_groups(&mut self, number: u32) {
        let Some(row) = self.rows.get(number as usize) else { return };
        let group = row.group;
        let mut key = [0; IDENTITY_BYTES_MAX];
        let others: SmallVec<[u32; 4]> = row
            .impus
            .iter()
            .filter_map(|(uri, _)| {
                let holders = self.by_impu.get(identity_key(uri.as_bytes(), &mut key)?)?;
                holders.first().and_then(|first| self.rows.get(*first as usize))
            })
            .map(|row| row.group)
            .filter(|other| *other != group)
            .collect();
        if !others.is_empty() {
            for row in self.rows.iter_mut().filter(|row| others.contains(&row.group)) {
                row.group = group;
            }
        }
    }

    /// How many subscribers there are.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.rows.len() as u64 + self.derived.as_ref().map_or(0, |derived| derived.size)
    }

    /// Whether there is no subscriber at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether all subscribers are derived, none from a file.
    #[must_use]
    pub fn is_derived(&self) -> bool {
        self.rows.is_empty()
    }

    /// The derived part of the population, if there is one.
    #[must_use]
    pub fn derivation(&self) -> Option<&Derivation> {
        self.derived.as_ref()
    }

    /// The same, taking modified private identities or not.
    #[must_use]
    pub fn taking_modified(self, takes_modified: bool) -> Self {
        Self { takes_modified, ..self }
    }

    /// The subscriber with this private identity: one that is provisioned so, or else, where that is allowed, the one from which it is derived.
    #[must_use]
    pub fn find(&self, impi: &[u8]) -> Option<UserId> {
        self.find_exact(impi).or_else(|| self.find_base(impi))
    }

    /// Whether a private identity is derived from that of a subscriber, and is none itself.
    #[must_use]
    pub fn is_modified(&self, impi: &[u8]) -> bool {
        self.takes_modified && self.find_exact(impi).is_none() && self.find_base(impi).is_some()
    }

    fn find_base(&self, impi: &[u8]) -> Option<UserId> {
        let mut base = [0; IMPI_BYTES_MAX];
        let base = self.takes_modified.then(|| base_of(impi, &mut base)).flatten();
        base.and_then(|base| self.find_exact(base))
    }

    fn find_exact(&self, impi: &[u8]) -> Option<UserId> {
        if let Some(derived) = &self.derived
            && let Some(number) = derived.number(impi)
        {
            let place = self.rows.len() as u64 + number - 1;
            return u32::try_from(place).ok().map(UserId);
        }
        let impi = std::str::from_utf8(impi).ok()?;
        self.by_impi.get(impi).copied().map(UserId)
    }

    /// All subscribers with this public identity as it was provisioned, barred or not.
    pub fn holders(&self, impu: &[u8]) -> impl Iterator<Item = UserId> {
        let derived = |impu: &[u8]| self.derived.as_ref().map(|derived| derived.holders(impu));
        let exact = derived(impu).filter(|it| it.size_hint().0 > 0);
        let mut key = [0; IDENTITY_BYTES_MAX];
        // Nearly always all are derived, and spelled as the rule spells them.
        let key = match exact.is_some() && self.by_impu.is_empty() {
            true => None,
            false => identity_key(impu, &mut key),
        };
        let derived = exact.or_else(|| derived(key?)).into_iter().flatten();
        let place = |number: u64| u32::try_from(self.rows.len() as u64 + number - 1).ok();
        let rows = key.and_then(|key| self.by_impu.get(key)).map_or(&[][..], Holders::as_slice);
        derived.filter_map(place).chain(rows.iter().copied()).map(UserId)
    }

    /// The shard that owns the user with this private identity: IMPIs that share an IMPU share it, and an unknown one is put
    /// somewhere by its text, so that its refusal is spread as well.
    #[must_use]
    pub fn owner(&self, impi: &[u8], shards: usize) -> usize {
        match self.find(impi) {
            Some(user) => self.owner_of(user, shards),
            None => shard_of(HashSeed::new(0).hash(impi), shards),
        }
    }

    /// The shard that owns a subscriber.
    #[must_use]
    pub fn owner_of(&self, user: UserId, shards: usize) -> usize {
        let key = match self.rows.get(user.0 as usize) {
            Some(row) => row.group,
            None => {
                let (derived, number) = self.derivation_of(user);
                user.0 - (number - derived.user(number)) as u32
            }
        };
        shard_of(u64::from(key), shards)
    }

    /// The keys of a subscriber.
    ///
    /// # Panics
    /// Where `user` is not of this directory.
    #[must_use]
    pub fn keys(&self, user: UserId) -> SubscriberKeys {
        match self.rows.get(user.0 as usize) {
            Some(row) => row.keys.clone(),
            None => self.derivation_of(user).0.keys(self.derivation_of(user).1),
        }
    }

    /// The last sequence number that was used before this engine started.
    #[must_use]
    pub fn last_sqn(&self, user: UserId) -> Sqn {
        self.rows.get(user.0 as usize).map_or_else(Sqn::default, |row| row.sqn)
    }

    /// The private identity of a subscriber, written out.
    pub fn write_impi(&self, user: UserId, out: &mut Writer<'_>) {
        match self.rows.get(user.0 as usize) {
            Some(row) => {
                out.text(&row.impi);
            }
            None => {
                let (derived, number) = self.derivation_of(user);
                derived.write_impi(number, out);
            }
        }
    }

    /// The public identities of a subscriber as a packed list.
    ///
    /// # Errors
    /// [`IdentityError::TooLong`] where `out` is too small.
    pub fn identities<'a>(
        &self,
        user: UserId,
        out: &'a mut [u8],
    ) -> Result<&'a [u8], IdentityError> {
        let mut list = IdentityListWriter::new(out);
        match self.rows.get(user.0 as usize) {
            Some(row) => {
                let default = row.impus.iter().position(|(_, barred)| !barred);
                for (place, (uri, barred)) in row.impus.iter().enumerate() {
                    list.push(Identity {
                        uri: uri.as_bytes(),
                        is_default: Some(place) == default,
                        barred: *barred,
                    })?;
                }
            }
            None => {
                let (derived, number) = self.derivation_of(user);
                derived.list(number, &mut list)?;
            }
        }
        Ok(list.finish())
    }

    /// Whether a public identity is one of a subscriber's, barred or not.
    #[must_use]
    pub fn has_identity(&self, user: UserId, impu: &[u8]) -> bool {
        // Nearly always it is.
        if self.is_derived_default(user, impu) {
            return true;
        }
        let mut buffer = [0; super::IDENTITIES_BYTES_MAX];
        self.identities(user, &mut buffer)
            .is_ok_and(|packed| IdentityList::new(packed).find(impu).is_some())
    }

    /// Whether a subscriber is a derived one, and this is the default public identity, spelled as it was derived. It is never barred.
    #[must_use]
    pub fn is_derived_default(&self, user: UserId, impu: &[u8]) -> bool {
        if self.rows.get(user.0 as usize).is_some() {
            return false;
        }
        let (derived, number) = self.derivation_of(user);
        let mut text = [0; 128];
        let mut writer = Writer::new(&mut text);
        derived.write_impu(number, &mut writer);
        !writer.has_overflowed() && writer.as_written() == impu
    }

    fn derivation_of(&self, user: UserId) -> (&Derivation, u64) {
        let derived = self.derived.as_ref().expect("a place past the file's rows is a derived one");
        let number = u64::from(user.0) - self.rows.len() as u64 + 1;
        assert!(number <= derived.size, "subscriber {number} of {}", derived.size);
        (derived, number)
    }
}

fn shard_of(key: u64, shards: usize) -> usize {
    usize::try_from(key % shards.max(1) as u64).unwrap_or(0)
}

fn read_impus(text: &str) -> Result<Vec<(String, bool)>, String> {
    let mut impus: Vec<(String, bool)> = Vec::new();
    for part in text.split(';') {
        let part = part.trim();
        let (uri, barred) = match part.strip_prefix('!') {
            Some(uri) => (uri, true),
            None => (part, false),
        };
        if Uri::parse(uri.as_bytes()).is_err() || uri.contains(['<', '>', '"', ' ']) {
            return Err(format!("expected sip: or tel: URIs separated by ';', found {part:?}"));
        }
        if identity_key(uri.as_bytes(), &mut [0; IDENTITY_BYTES_MAX]).is_none() {
            return Err(format!("expected at most {IDENTITY_BYTES_MAX} bytes, found {part:?}"));
        }
        if impus.iter().any(|(other, _)| other == uri) {
            return Err(format!("{uri} is listed twice"));
        }
        impus.push((uri.to_owned(), barred));
    }
    if impus.iter().all(|(_, barred)| *barred) {
        return Err("expected at least one identity that is not barred".to_owned());
    }
    Ok(impus)
}

fn hex<const N: usize>(
    line: u64,
    field: &'static str,
    text: &str,
) -> Result<[u8; N], DirectoryError> {
    let wrong = |found: String| DirectoryError {
        line,
        field,
        problem: format!("expected {} hex digits, found {found}", 2 * N),
    };
    let digits = text.as_bytes();
    if digits.len() != 2 * N {
        return Err(wrong(format!("{} characters", digits.len())));
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        let nibble = |digit: u8| char::from(digit).to_digit(16);
        let (Some(high), Some(low)) = (nibble(pair[0]), nibble(pair[1])) else {
            return Err(wrong("another character".to_owned()));
        };
        *byte = u8::try_from(high * 16 + low).unwrap_or(0);
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = "impi,impus,k,opc,op,amf,sqn\n";
    const ALICE: &str = "alice@ims.example,sip:alice@ims.example;!tel:+15551,465b5ce8b199b49faa5f0a2ee238a6bc,cd63cb71954a9f4e48a5994e37a02baf,,b9b9,000000000000\n";
    const BOB: &str = "bob@ims.example,sip:bob@ims.example,465b5ce8b199b49faa5f0a2ee238a6bc,,cdc202d5123e20f62b6d676ac72cb318,b9b9,00000000001f\n";

    #[test]
    fn a_modified_private_identity_leads_to_its_base_unless_it_is_provisioned() {
        let provisioned =
            ALICE.replace("alice@ims.example,sip:alice", "bob+1@ims.example,sip:bob1");
        let text = format!("{HEADER}{ALICE}{BOB}{provisioned}");
        let derivation = Derivation::new(1, 10, "ims.example");
        let directory = Directory::from_csv(&text, Some(derivation)).unwrap();
        assert_eq!(directory.find(b"alice+1@ims.example"), None);
        assert!(!directory.is_modified(b"alice+1@ims.example"));
        let directory = directory.taking_modified(true);
        for (impi, user, is_modified) in [
            ("alice@ims.example", Some(0), false),
            ("alice+1@ims.example", Some(0), true),
            ("alice+wlan2@ims.example", Some(0), true),
            ("bob+1@ims.example", Some(2), false),
            ("bob+2@ims.example", Some(1), true),
            ("bob+1+2@ims.example", Some(2), true),
            ("ue00000001+7@ims.example", Some(3), true),
            ("alice+@ims.example", None, false),
            ("alice+1-2@ims.example", None, false),
            ("alice+1+2@ims.example", None, false),
            ("+1@ims.example", None, false),
            ("carol+1@ims.example", None, false),
            ("alice+1@elsewhere.example", None, false),
            ("alice+1", None, false),
        ] {
            let found = directory.find(impi.as_bytes()).map(|user| user.0);
            assert_eq!(
                (found, directory.is_modified(impi.as_bytes())),
                (user, is_modified),
                "{impi}"
            );
        }
        let (base, modified) = (b"alice@ims.example", b"alice+1@ims.example");
        assert_eq!(directory.owner(base, 7), directory.owner(modified, 7));
        let long = format!("{}+1@ims.example", "a".repeat(300));
        assert_eq!(directory.find(long.as_bytes()), None);
    }

    #[test]
    fn a_file_gives_its_subscribers() {
        let directory = Directory::from_csv(&format!("{HEADER}{ALICE}{BOB}"), None).unwrap();
        assert_eq!(directory.len(), 2);
        let alice = directory.find(b"alice@ims.example").unwrap();
        let bob = directory.find(b"bob@ims.example").unwrap();
        // TS 35.207 set 1: this OP gives this OPc.
        assert_eq!(directory.keys(alice).opc, directory.keys(bob).opc);
        assert_eq!(directory.last_sqn(bob), Sqn::from_bytes([0, 0, 0, 0, 0, 0x1f]));
        let mut buffer = [0; 256];
        let list = IdentityList::new(directory.identities(alice, &mut buffer).unwrap());
        assert_eq!(list.default_identity(), Some(&b"sip:alice@ims.example"[..]));
        assert!(list.find(b"tel:+15551").unwrap().barred);
        assert_eq!(directory.find(b"carol@ims.example"), None);
    }

    #[test]
    fn subscribers_that_share_an_identity_share_the_owner() {
        let second = ALICE.replace("alice@ims.example,", "tablet@ims.example,");
        let directory =
            Directory::from_csv(&format!("{HEADER}{BOB}{ALICE}{second}"), None).unwrap();
        for shards in 1..9 {
            assert_eq!(
                directory.owner(b"alice@ims.example", shards),
                directory.owner(b"tablet@ims.example", shards)
            );
        }
    }

    #[test]
    fn a_subscriber_that_shares_with_two_brings_them_together() {
        let third = ALICE
            .replace("alice@ims.example,sip:alice@ims.example", "c@x,sip:bob@ims.example")
            .replace("!tel:+15551", "sip:alice@IMS.example");
        let directory = Directory::from_csv(&format!("{HEADER}{ALICE}{BOB}{third}"), None).unwrap();
        let owners = |impi: &[u8]| directory.owner(impi, 1000);
        assert_eq!(owners(b"alice@ims.example"), owners(b"c@x"));
        assert_eq!(owners(b"bob@ims.example"), owners(b"c@x"));
        assert_eq!(directory.holders(b"sip:bob@ims.example;x").count(), 2);
    }

    #[test]
    fn a_bad_line_names_line_and_field() {
        let cases = [
            (format!("{HEADER}alice,sip:a@b,00,,,,\n"), 2, "impi"),
            (format!("{HEADER}{ALICE}{ALICE}"), 3, "impi"),
            (format!("{HEADER}{}", ALICE.replace("465b", "465")), 2, "k"),
            (format!("{HEADER}{}", ALICE.replace("465b", "465x")), 2, "k"),
            (format!("{HEADER}{}", ALICE.replace("baf,,", "baf,00,")), 2, "op"),
            (format!("{HEADER}{}", ALICE.replace("sip:alice@ims.example;", "!")), 2, "impus"),
            (format!("{HEADER}{}", ALICE.replace("b9b9", "b9")), 2, "amf"),
            (format!("{HEADER}{}", ALICE.replace(",000000000000", ",")), 2, "sqn"),
            (format!("{HEADER}alice@ims.example\n"), 2, "line"),
            ("impi,k\n".to_owned(), 1, "line"),
            (String::new(), 1, "line"),
        ];
        for (text, line, field) in cases {
            let error = Directory::from_csv(&text, None).unwrap_err();
            assert_eq!((error.line, error.field), (line, field), "{text}: {error}");
            assert!(!error.problem.contains("465b5ce8"), "a key is repeated: {error}");
        }
    }
}
