//! A user's public identities (IMPUs) as one packed list, the form in which the HSS hands them out and the CSCFs keep them.
//!
//! Each entry is a flag byte, a length of two bytes, and the URI's text. The list is one byte string, so that it lives in the
//! shard's string pool beside the dialog's strings and costs no allocation of its own.

use imstorm_sip::uri::Uri;
use imstorm_sip::write::Writer;

const DEFAULT: u8 = 1;
const BARRED: u8 = 2;

/// The longest public identity, in bytes. TS 23.003 clause 13.4 has them as `user@domain`, far below it.
pub const IDENTITY_BYTES_MAX: usize = 512;

/// What a public identity is indexed by: the same text for all spellings of one identity, parameters left out. `None` where it is
/// no URI or too long to be one of ours.
pub fn identity_key<'a>(uri: &[u8], out: &'a mut [u8; IDENTITY_BYTES_MAX]) -> Option<&'a [u8]> {
    let mut key = Writer::new(&mut *out);
    Uri::parse(uri).ok()?.write_identity(&mut key);
    let len = key.len();
    (!key.has_overflowed()).then(|| &out[..len])
}

/// One public identity of a user (TS 23.228 clause 4.3.3.2).
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Identity<'a> {
    /// The URI as provisioned: `sip:…` or `tel:…`.
    pub uri: &'a [u8],
    /// The one that the network asserts when the user names none (the first that is not barred).
    pub is_default: bool,
    /// Barred from any use but the set-up of security (TS 23.228 clause 4.3.3.2).
    pub barred: bool,
}

/// Why a list can't be built.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum IdentityError {
    /// The list would be larger than the caller's buffer.
    TooLong,
}

/// Builds a packed list in the caller's memory.
#[derive(Debug)]
pub struct IdentityListWriter<'a> {
    out: &'a mut [u8],
    len: usize,
}

impl<'a> IdentityListWriter<'a> {
    /// Starts an empty list in `out`.
    pub fn new(out: &'a mut [u8]) -> Self {
        Self { out, len: 0 }
    }

    /// Adds one identity.
    ///
    /// # Errors
    /// [`IdentityError::TooLong`] where the buffer has no room for it; nothing is added then.
    pub fn push(&mut self, identity: Identity<'_>) -> Result<(), IdentityError> {
        let len = u16::try_from(identity.uri.len()).map_err(|_| IdentityError::TooLong)?;
        let end = self.len + 3 + identity.uri.len();
        let entry = self.out.get_mut(self.len..end).ok_or(IdentityError::TooLong)?;
        entry[0] = if identity.is_default { DEFAULT } else { 0 }
            | if identity.barred { BARRED } else { 0 };
        entry[1..3].copy_from_slice(&len.to_be_bytes());
        entry[3..].copy_from_slice(identity.uri);
        self.len = end;
        Ok(())
    }

    /// The packed list.
    #[must_use]
    pub fn finish(self) -> &'a [u8] {
        &self.out[..self.len]
    }
}

/// A packed list, read.
#[derive(Copy, Clone, Debug, Default)]
pub struct IdentityList<'a>(&'a [u8]);

impl<'a> IdentityList<'a> {
    /// Reads a list that [`IdentityListWriter`] made.
    #[must_use]
    pub fn new(packed: &'a [u8]) -> Self {
        Self(packed)
    }

    /// The identities, in the order in which they were provisioned.
    pub fn iter(self) -> impl Iterator<Item = Identity<'a>> {
        let mut rest = self.0;
        std::iter::from_fn(move || {
            let [flags, high, low, tail @ ..] = rest else { return None };
            let len = usize::from(u16::from_be_bytes([*high, *low]));
            let (uri, next) = tail.split_at_checked(len)?;
            rest = next;
            Some(Identity { uri, is_default: flags & DEFAULT != 0, barred: flags & BARRED != 0 })
        })
    }

    /// The default identity, if there is one that is not barred.
    #[must_use]
    pub fn default_identity(self) -> Option<&'a [u8]> {
        self.iter().find(|identity| identity.is_default).map(|identity| identity.uri)
    }

    /// The entry for this URI, compared as an address of record.
    #[must_use]
    pub fn find(self, uri: &[u8]) -> Option<Identity<'a>> {
        if let Some(exact) = self.iter().find(|identity| identity.uri == uri) {
            return Some(exact);
        }
        let wanted = Uri::parse(uri).ok()?;
        self.iter().find(|identity| {
            Uri::parse(identity.uri).is_ok_and(|candidate| candidate.same_identity(&wanted))
        })
    }

    /// Whether no identity is listed.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_gives_back_what_was_put_in() {
        let mut buffer = [0; 128];
        let mut writer = IdentityListWriter::new(&mut buffer);
        let first = Identity { uri: b"sip:a@ims.example", is_default: true, barred: false };
        let second = Identity { uri: b"tel:+15551", is_default: false, barred: true };
        writer.push(first).unwrap();
        writer.push(second).unwrap();
        let list = IdentityList::new(writer.finish());
        assert_eq!(list.iter().collect::<Vec<_>>(), [first, second]);
        assert_eq!(list.default_identity(), Some(&b"sip:a@ims.example"[..]));
        assert_eq!(list.find(b"sip:a@IMS.example"), Some(first));
        assert_eq!(list.find(b"sip:b@ims.example"), None);
    }

    #[test]
    fn a_list_that_does_not_fit_says_so_and_keeps_what_it_had() {
        let mut buffer = [0; 16];
        let mut writer = IdentityListWriter::new(&mut buffer);
        let short = Identity { uri: b"tel:+1", is_default: true, barred: false };
        writer.push(short).unwrap();
        let long = Identity { uri: b"sip:a@ims.example", is_default: false, barred: false };
        assert_eq!(writer.push(long), Err(IdentityError::TooLong));
        assert_eq!(IdentityList::new(writer.finish()).iter().count(), 1);
    }
}
