//! The HSS (TS 29.228): who a user is, which identities belong together, and fresh authentication vectors.
//!
//! The Cx procedures are plain calls here, since I-CSCF and S-CSCF of a user always stand on the shard that owns the user;
//! each has the name of the Cx command that it stands for.

pub mod derived;
pub mod directory;
mod provisioning;

use std::collections::HashMap;
use std::sync::Arc;

use imstorm_aka::Generator;
use imstorm_aka::Milenage;
use imstorm_aka::Sqn;
use imstorm_aka::{AuthenticationVector, MacSFailure};
use zeroize::Zeroize;

use crate::identity::{IdentityError, IdentityList};
pub use directory::{Directory, DirectoryError, UserId};

/// The long-term keys of a subscriber. Zeroed when dropped, and never shown.
#[derive(Clone)]
pub struct SubscriberKeys {
    /// The subscriber key K.
    pub k: [u8; 16],
    /// The operator variant configuration OPc (TS 35.206).
    pub opc: [u8; 16],
    /// The authentication management field (not secret).
    pub amf: [u8; 2],
}

impl std::fmt::Debug for SubscriberKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SubscriberKeys").field("amf", &self.amf).finish_non_exhaustive()
    }
}

impl Drop for SubscriberKeys {
    fn drop(&mut self) {
        self.k.zeroize();
        self.opc.zeroize();
    }
}

/// Why a Cx procedure was refused (TS 29.229 clause 6.2).
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum CxError {
    /// `DIAMETER_ERROR_USER_UNKNOWN`: no subscriber has this private identity.
    UserUnknown,
    /// `DIAMETER_ERROR_IDENTITIES_DONT_MATCH`: the public identity is not one of this private identity.
    IdentitiesDontMatch,
}

/// The longest packed identity list of one subscriber, in bytes: about thirty identities, and what the strings' pool and a NOTIFY's body take.
pub const IDENTITIES_BYTES_MAX: usize = directory::BODY_BYTES_MAX;

/// Room for the packed identities of one subscriber: little for nearly all, and as much as there can be for those who have many.
#[derive(Debug)]
pub struct IdentitiesRoom {
    few: [u8; 256],
    many: Option<[u8; IDENTITIES_BYTES_MAX]>,
}

impl Default for IdentitiesRoom {
    fn default() -> Self {
        Self { few: [0; 256], many: None }
    }
}

impl IdentitiesRoom {
    /// Room for so many bytes, up to [`IDENTITIES_BYTES_MAX`].
    pub fn of(&mut self, bytes: usize) -> &mut [u8] {
        match bytes <= self.few.len() {
            true => &mut self.few,
            false => self.many.insert([0; IDENTITIES_BYTES_MAX]),
        }
    }

    /// What `pack` packs, into little room where that is enough.
    pub fn pack<'a>(
        &'a mut self,
        pack: impl for<'o> Fn(&'o mut [u8]) -> Result<&'o [u8], IdentityError>,
    ) -> &'a [u8] {
        if let Ok(packed) = pack(&mut self.few) {
            return packed;
        }
        pack(self.many.insert([0; IDENTITIES_BYTES_MAX])).unwrap_or_default()
    }
}

/// Marks a sequence number of a user who has had one, since it may be 0. Sequence numbers have 48 bits.
const USED: u64 = 1 << 63;

/// One shard's HSS: the shared directory, and the sequence numbers of the users that this shard owns.
#[derive(Debug)]
pub struct Hss {
    directory: Arc<Directory>,
    /// By [`UserId`]; 0 until the user's first vector, then the last number with [`USED`]. Memory that no user of this shard touches is never
    /// written.
    sequences: Vec<u64>,
    /// Packed lists of the users whose identities an operator has changed; all shards know all of them.
    changed: HashMap<UserId, Box<[u8]>>,
    /// Who has the public identities that an operator has added, by their [`identity_key`](crate::identity::identity_key).
    added: HashMap<Box<[u8]>, UserId>,
}

impl Hss {
    /// An HSS over this directory.
    #[must_use]
    pub fn new(directory: Arc<Directory>) -> Self {
        let users = usize::try_from(directory.len()).unwrap_or(usize::MAX);
        Self {
            directory,
            sequences: vec![0; users],
            changed: HashMap::new(),
            added: HashMap::new(),
        }
    }

    /// The subscribers.
    #[must_use]
    pub fn directory(&self) -> &Directory {
        &self.directory
    }

    /// Bytes that the users' sequence numbers take.
    #[must_use]
    pub fn reserved_bytes(&self) -> usize {
        size_of_val(self.sequences.as_slice())
    }

    /// UAR (TS 29.228 clause 6.1.1): may this private identity use this public one?
    ///
    /// # Errors
    /// As [`CxError`] says.
    pub fn user_authorization(&self, impi: &[u8], impu: &[u8]) -> Result<UserId, CxError> {
        let user = self.directory.find(impi).ok_or(CxError::UserUnknown)?;
        if self.has_identity(user, impu) { Ok(user) } else { Err(CxError::IdentitiesDontMatch) }
    }

    /// MAR (TS 29.228 clause 6.3.1): a fresh vector for the user. `rand` is the caller's random challenge.
    pub fn multimedia_auth(&mut self, user: UserId, rand: [u8; 16]) -> AuthenticationVector {
        let keys = self.directory.keys(user);
        let mut sequence = self.sequence(user);
        let sqn = sequence.next();
        self.sequences[user.0 as usize] = sqn.value() | USED;
        imstorm_aka::generate(&Milenage::new(&keys.k, &keys.opc), keys.amf, sqn, rand)
    }

    /// MAR with SIP-Authorization (TS 33.102 clause 6.3.5): the user's USIM asked for resynchronisation. The next vector
    /// continues from the USIM's own number.
    ///
    /// # Errors
    /// [`MacSFailure`] where AUTS was not made with the user's key over this RAND; nothing changes then.
    pub fn resynchronise(
        &mut self,
        user: UserId,
        rand: &[u8; 16],
        auts: &[u8; 14],
    ) -> Result<(), MacSFailure> {
        let keys = self.directory.keys(user);
        let sqn = imstorm_aka::resynchronise(&Milenage::new(&keys.k, &keys.opc), rand, auts)?;
        let mut sequence = self.sequence(user);
        sequence.resynchronise(sqn);
        self.sequences[user.0 as usize] = sequence.last().value() | USED;
        Ok(())
    }

    /// SAR (TS 29.228 clause 6.1.2): the user's identities as a packed list, for the S-CSCF that now serves the user.
    #[must_use]
    pub fn server_assignment<'a>(&self, user: UserId, out: &'a mut [u8]) -> IdentityList<'a> {
        IdentityList::new(self.identities(user, out).unwrap_or_default())
    }

    /// LIR (TS 29.228 clause 6.1.4): whose is this public identity? A barred one is nobody's; of several that share one, which all have
    /// one owner shard, it is any who may be called by it.
    #[must_use]
    pub fn location_info(&self, impu: &[u8]) -> Option<UserId> {
        let provisioned = self.directory.holders(impu);
        self.added_identity(impu).into_iter().chain(provisioned).find(|user| {
            if self.changed.is_empty() && self.directory.is_derived_default(*user, impu) {
                return true;
            }
            let mut room = IdentitiesRoom::default();
            let list = IdentityList::new(room.pack(|out| self.identities(*user, out)));
            list.find(impu).is_some_and(|identity| !identity.barred)
        })
    }

    /// Whose a public identity is that registers without credentials: of several who share one, the first. It may be barred (TS 23.228 clause
    /// 4.3.3.2).
    #[must_use]
    pub fn registrant(&self, impu: &[u8]) -> Option<UserId> {
        let mut provisioned = self.directory.holders(impu);
        if self.changed.is_empty() {
            return provisioned.next();
        }
        let mut all = self.added_identity(impu).into_iter().chain(provisioned);
        all.find(|user| self.has_identity(*user, impu))
    }

    fn sequence(&self, user: UserId) -> Generator {
        Generator::new(match self.sequences[user.0 as usize] {
            0 => self.directory.last_sqn(user),
            last => Sqn::new(last & !USED),
        })
    }
}
