//! What an operator changes of the subscribers while the engine runs. The directory itself is shared and read-only; a shard
//! keeps what differs from it, for its own users, and which identities were added, for all.

use imstorm_sip::Uri;

use super::directory::{BODY_BYTES_MAX, identity_body_bytes};
use super::{Hss, IDENTITIES_BYTES_MAX, UserId};
use crate::identity::{Identity, IdentityError, IdentityList, IdentityListWriter};
use crate::operator::Refusal;

impl Hss {
    /// The public identities of a subscriber as they are now, as a packed list.
    ///
    /// # Errors
    /// [`IdentityError::TooLong`] where `out` is too small.
    pub fn identities<'a>(
        &self,
        user: UserId,
        out: &'a mut [u8],
    ) -> Result<&'a [u8], IdentityError> {
        match self.changed.get(&user).filter(|_| !self.changed.is_empty()) {
            Some(packed) => {
                let out = out.get_mut(..packed.len()).ok_or(IdentityError::TooLong)?;
                out.copy_from_slice(packed);
                Ok(out)
            }
            None => self.directory.identities(user, out),
        }
    }

    /// Whether a public identity is one of a subscriber's now, barred or not.
    #[must_use]
    pub fn has_identity(&self, user: UserId, impu: &[u8]) -> bool {
        match self.changed.get(&user).filter(|_| !self.changed.is_empty()) {
            Some(packed) => IdentityList::new(packed).find(impu).is_some(),
            None => self.directory.has_identity(user, impu),
        }
    }

    /// Gives a subscriber one more public identity. The packed list as it is then.
    ///
    /// # Errors
    /// As [`Refusal`] says; nothing changes then.
    pub fn add_identity(
        &mut self,
        user: UserId,
        impu: &[u8],
        barred: bool,
    ) -> Result<&[u8], Refusal> {
        let is_well_formed = Uri::parse(impu).is_ok()
            && !impu.iter().any(|byte| matches!(byte, b'<' | b'>' | b'"') || *byte <= b' ');
        if !is_well_formed {
            return Err(Refusal::IdentityMalformed);
        }
        if self.has_identity(user, impu) || self.owner_of(impu).is_some() {
            return Err(Refusal::IdentityTaken);
        }
        let mut packed = [0; IDENTITIES_BYTES_MAX];
        let before = IdentityList::new(self.packed(user, &mut packed)?);
        let mut is_default = !barred && before.default_identity().is_none();
        let added = Identity { uri: impu, is_default: std::mem::take(&mut is_default), barred };
        self.keep(user, before.iter().chain([added]))?;
        self.added.insert(impu.into(), user);
        Ok(&self.changed[&user])
    }

    /// Takes a public identity from a subscriber. The packed list as it is then.
    ///
    /// # Errors
    /// As [`Refusal`] says; nothing changes then.
    pub fn remove_identity(&mut self, user: UserId, impu: &[u8]) -> Result<&[u8], Refusal> {
        let mut packed = [0; IDENTITIES_BYTES_MAX];
        let before = IdentityList::new(self.packed(user, &mut packed)?);
        let Some(removed) = before.find(impu) else { return Err(Refusal::IdentityUnknown) };
        let left = || before.iter().filter(|identity| identity.uri != removed.uri);
        // The first of those that are left takes the place of a default identity that goes.
        let default = match removed.is_default {
            true => left().find(|identity| !identity.barred).map(|identity| identity.uri),
            false => before.default_identity(),
        };
        self.keep(
            user,
            left()
                .map(|identity| Identity { is_default: default == Some(identity.uri), ..identity }),
        )?;
        self.forget_identity(impu);
        Ok(&self.changed[&user])
    }

    /// Another shard's user has a new public identity.
    pub fn learn_identity(&mut self, user: UserId, impu: &[u8]) {
        self.added.insert(impu.into(), user);
    }

    /// A public identity that was added is gone again.
    pub fn forget_identity(&mut self, impu: &[u8]) {
        self.added.retain(|other, _| !is_same(other, impu));
    }

    /// Who has an identity that was added.
    pub(super) fn added_identity(&self, impu: &[u8]) -> Option<UserId> {
        let exact = self.added.get(impu).copied();
        exact.or_else(|| {
            self.added.iter().find(|(other, _)| is_same(other, impu)).map(|(_, user)| *user)
        })
    }

    /// Whose an identity is, barred or not.
    fn owner_of(&self, impu: &[u8]) -> Option<UserId> {
        let provisioned = self.directory.find_impu(impu);
        self.added_identity(impu)
            .or_else(|| provisioned.filter(|user| self.has_identity(*user, impu)))
    }

    fn packed<'a>(&self, user: UserId, out: &'a mut [u8]) -> Result<&'a [u8], Refusal> {
        self.identities(user, out).map_err(|_| Refusal::TooManyIdentities)
    }

    fn keep<'a>(
        &mut self,
        user: UserId,
        identities: impl Iterator<Item = Identity<'a>>,
    ) -> Result<(), Refusal> {
        let mut packed = [0; IDENTITIES_BYTES_MAX];
        let mut list = IdentityListWriter::new(&mut packed);
        let mut body_bytes = identity_body_bytes(0);
        for identity in identities {
            body_bytes += identity_body_bytes(identity.uri.len());
            list.push(identity).map_err(|_| Refusal::TooManyIdentities)?;
        }
        if body_bytes > BODY_BYTES_MAX {
            return Err(Refusal::TooManyIdentities);
        }
        self.changed.insert(user, list.finish().into());
        Ok(())
    }
}

/// Whether two URIs name one identity.
fn is_same(one: &[u8], other: &[u8]) -> bool {
    let parsed = (Uri::parse(one), Uri::parse(other));
    one == other || matches!(parsed, (Ok(one), Ok(other)) if one.same_identity(&other))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::derived::Derivation;
    use super::super::{CxError, Directory};
    use super::*;

    fn hss() -> (Hss, UserId) {
        let derivation = Derivation { seed: 1, size: 3, domain: "ims.example".to_owned() };
        let hss = Hss::new(Arc::new(Directory::derived(derivation)));
        let user = hss.directory().find(b"ue00000001@ims.example").unwrap();
        (hss, user)
    }

    fn list(hss: &Hss, user: UserId) -> Vec<String> {
        let mut packed = [0; IDENTITIES_BYTES_MAX];
        let packed = hss.identities(user, &mut packed).unwrap();
        let text = |identity: Identity<'_>| {
            let star = if identity.is_default { "*" } else { "" };
            format!("{star}{}", String::from_utf8_lossy(identity.uri))
        };
        IdentityList::new(packed).iter().map(text).collect()
    }

    const IMPI: &[u8] = b"ue00000001@ims.example";

    #[test]
    fn an_added_identity_is_the_users_and_nobody_elses() {
        let (mut hss, user) = hss();
        hss.add_identity(user, b"sip:alice@ims.example", false).unwrap();
        assert_eq!(hss.user_authorization(IMPI, b"sip:alice@IMS.example"), Ok(user));
        assert_eq!(hss.location_info(b"sip:alice@ims.example"), Some(user));
        let other = hss.directory().find(b"ue00000002@ims.example").unwrap();
        let taken = Err(Refusal::IdentityTaken);
        assert_eq!(hss.add_identity(other, b"sip:alice@ims.example", false).map(|_| ()), taken);
        assert_eq!(
            hss.add_identity(other, b"sip:ue00000001@ims.example", false).map(|_| ()),
            taken
        );
        let malformed = hss.add_identity(other, b"alice", false).map(|_| ());
        assert_eq!(malformed, Err(Refusal::IdentityMalformed));
    }

    #[test]
    fn a_removed_identity_is_nobodys_and_the_default_moves_on() {
        let (mut hss, user) = hss();
        assert_eq!(list(&hss, user), ["*sip:ue00000001@ims.example", "tel:+9997000000001"]);
        hss.remove_identity(user, b"sip:ue00000001@ims.example").unwrap();
        assert_eq!(list(&hss, user), ["*tel:+9997000000001"]);
        let refused = hss.user_authorization(IMPI, b"sip:ue00000001@ims.example");
        assert_eq!(refused, Err(CxError::IdentitiesDontMatch));
        assert_eq!(hss.location_info(b"sip:ue00000001@ims.example"), None);
        let unknown = hss.remove_identity(user, b"sip:ue00000001@ims.example").map(|_| ());
        assert_eq!(unknown, Err(Refusal::IdentityUnknown));
        assert_eq!(hss.remove_identity(user, b"tel:+9997000000001"), Ok(&b""[..]));
    }

    #[test]
    fn what_would_not_fit_a_notification_is_refused() {
        let (mut hss, user) = hss();
        let added = (0..200).take_while(|number| {
            hss.add_identity(user, format!("sip:number-{number}@ims.example").as_bytes(), false)
                .is_ok()
        });
        let added = added.count();
        assert!((10..199).contains(&added), "{added} identities were taken");
        assert_eq!(list(&hss, user).len(), 2 + added);
    }
}
