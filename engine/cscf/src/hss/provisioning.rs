//! What an operator changes of the subscribers while the engine runs. The directory itself is shared and read-only; a shard
//! keeps what differs from it. The shard that owns a user decides; all others are told, since each may be asked whose an identity is.

use super::directory::{BODY_BYTES_MAX, identity_body_bytes};
use super::{Hss, IDENTITIES_BYTES_MAX, UserId};
use crate::identity::{
    IDENTITY_BYTES_MAX, Identity, IdentityError, IdentityList, IdentityListWriter, identity_key,
};
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
        if impu.len() > IDENTITY_BYTES_MAX {
            return Err(Refusal::TooManyIdentities);
        }
        let is_well_formed = identity_key(impu, &mut [0; IDENTITY_BYTES_MAX]).is_some()
            && !impu.iter().any(|byte| matches!(byte, b'<' | b'>' | b'"') || *byte <= b' ');
        if !is_well_formed {
            return Err(Refusal::IdentityMalformed);
        }
        let mut packed = [0; IDENTITIES_BYTES_MAX];
        if let Some(held) = IdentityList::new(self.packed(user, &mut packed)?).find(impu) {
            let is_so = held.barred == barred;
            return Err(if is_so { Refusal::IdentityHeld } else { Refusal::IdentityTaken });
        }
        if let Some(holder) = self.holder(impu) {
            // What was shared by the file may be shared again.
            if ![user, holder].iter().all(|it| self.directory.has_identity(*it, impu)) {
                return Err(Refusal::IdentityTaken);
            }
        }
        self.give(user, impu, barred)?;
        Ok(&self.changed[&user])
    }

    fn give(&mut self, user: UserId, impu: &[u8], barred: bool) -> Result<(), Refusal> {
        let mut key = [0; IDENTITY_BYTES_MAX];
        let key = identity_key(impu, &mut key).ok_or(Refusal::IdentityMalformed)?;
        let mut packed = [0; IDENTITIES_BYTES_MAX];
        let before = IdentityList::new(self.packed(user, &mut packed)?);
        let is_default = !barred && before.default_identity().is_none();
        let added = Identity { uri: impu, is_default, barred };
        self.keep(user, before.iter().chain([added]))?;
        self.added.insert(key.into(), user);
        Ok(())
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
        let mut key = [0; IDENTITY_BYTES_MAX];
        if self.added_identity(impu) == Some(user)
            && let Some(key) = identity_key(impu, &mut key)
        {
            self.added.remove(key);
        }
        Ok(&self.changed[&user])
    }

    /// Another shard's user has a new public identity. What is known already changes nothing.
    ///
    /// # Errors
    /// As [`Refusal`] says; nothing changes then.
    pub fn learn_added(&mut self, user: UserId, impu: &[u8], barred: bool) -> Result<(), Refusal> {
        if self.has_identity(user, impu) { Ok(()) } else { self.give(user, impu, barred) }
    }

    /// Another shard's user has lost a public identity. What is known already changes nothing.
    ///
    /// # Errors
    /// As [`Refusal`] says; nothing changes then.
    pub fn learn_removed(&mut self, user: UserId, impu: &[u8]) -> Result<(), Refusal> {
        if self.has_identity(user, impu) {
            self.remove_identity(user, impu).map(|_| ())
        } else {
            Ok(())
        }
    }

    /// Who has an identity that was added.
    pub(super) fn added_identity(&self, impu: &[u8]) -> Option<UserId> {
        if self.added.is_empty() {
            return None;
        }
        let mut key = [0; IDENTITY_BYTES_MAX];
        self.added.get(identity_key(impu, &mut key)?).copied()
    }

    /// Whose an identity is now, barred or not: of those that share it, the first.
    fn holder(&self, impu: &[u8]) -> Option<UserId> {
        let provisioned = self.directory.holders(impu);
        let mut all = self.added_identity(impu).into_iter().chain(provisioned);
        all.find(|user| self.has_identity(*user, impu))
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::derived::Derivation;
    use super::super::{CxError, Directory};
    use super::*;

    fn hss() -> (Hss, UserId) {
        let derivation = Derivation::new(1, 3, "ims.example");
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
        let held = hss.add_identity(user, b"sip:alice@ims.example", false).map(|_| ());
        assert_eq!(held, Err(Refusal::IdentityHeld));
        assert_eq!(hss.add_identity(user, b"sip:alice@ims.example", true).map(|_| ()), taken);
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

    const KEY: &str =
        "465b5ce8b199b49faa5f0a2ee238a6bc,cd63cb71954a9f4e48a5994e37a02baf,,b9b9,000000000000";
    const FAMILY: &[u8] = b"sip:family@ims.example";

    /// Two subscribers who share an identity, and a third.
    fn family() -> (Arc<Directory>, [UserId; 3]) {
        let text = format!(
            "impi,impus,k,opc,op,amf,sqn\n\
             a@ims.example,sip:a@ims.example;sip:family@ims.example,{KEY}\n\
             b@ims.example,sip:b@ims.example;sip:family@ims.example,{KEY}\n\
             c@ims.example,sip:c@ims.example,{KEY}\n"
        );
        let directory = Directory::from_csv(&text, None).unwrap();
        let users = [&b"a@ims.example"[..], b"b@ims.example", b"c@ims.example"];
        let users = users.map(|impi| directory.find(impi).unwrap());
        (Arc::new(directory), users)
    }

    #[test]
    fn a_shared_identity_stays_with_those_who_keep_it() {
        let (directory, [a, b, c]) = family();
        let mut hss = Hss::new(directory);
        hss.remove_identity(a, FAMILY).unwrap();
        assert!(hss.has_identity(b, FAMILY) && !hss.has_identity(a, FAMILY));
        assert_eq!(hss.location_info(FAMILY), Some(b));
        let to_stranger = hss.add_identity(c, FAMILY, false).map(|_| ());
        assert_eq!(to_stranger, Err(Refusal::IdentityTaken));
        hss.add_identity(a, FAMILY, false).unwrap();
        hss.remove_identity(a, FAMILY).unwrap();
        assert_eq!(hss.location_info(FAMILY), Some(b));
        hss.remove_identity(b, FAMILY).unwrap();
        assert_eq!(hss.location_info(FAMILY), None);
        hss.add_identity(c, FAMILY, false).unwrap();
        assert_eq!(hss.location_info(b"sip:family@IMS.example;user=phone"), Some(c));
    }

    #[test]
    fn a_removed_identity_can_be_given_to_a_user_of_another_shard() {
        let (directory, [a, _, c]) = family();
        let (mut owner, mut elsewhere) = (Hss::new(directory.clone()), Hss::new(directory));
        let impu = b"sip:a@ims.example";
        owner.remove_identity(a, impu).unwrap();
        let early = elsewhere.add_identity(c, impu, false).map(|_| ());
        assert_eq!(early, Err(Refusal::IdentityTaken));
        for _ in 0..2 {
            elsewhere.learn_removed(a, impu).unwrap();
        }
        elsewhere.add_identity(c, impu, false).unwrap();
        for _ in 0..2 {
            owner.learn_added(c, impu, false).unwrap();
        }
        assert_eq!(owner.location_info(impu), Some(c));
        assert_eq!(elsewhere.location_info(impu), Some(c));
        assert_eq!(list(&owner, c), list(&elsewhere, c));
    }
}
