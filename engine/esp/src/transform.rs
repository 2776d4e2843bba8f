//! The algorithms of ipsec-3gpp, their keys and their state (TS 33.203 annexes H and I).

use core::fmt;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// An integrity algorithm: RFC 3329's `alg`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum IntegrityAlgorithm {
    /// HMAC-MD5-96 (RFC 2403).
    HmacMd5_96,
    /// HMAC-SHA-1-96 (RFC 2404).
    HmacSha1_96,
}

/// An encryption algorithm: RFC 3329's `ealg`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum EncryptionAlgorithm {
    /// No encryption (RFC 2410); also what an absent `ealg` means.
    #[default]
    Null,
    /// AES-CBC with a key of 128 bits (RFC 3602).
    AesCbc,
}

/// The one place where the algorithms' names stand (RFC 3329 2.2, TS 33.203 annex H).
const INTEGRITY_NAMES: [(IntegrityAlgorithm, &str); 2] = [
    (IntegrityAlgorithm::HmacMd5_96, "hmac-md5-96"),
    (IntegrityAlgorithm::HmacSha1_96, "hmac-sha-1-96"),
];
const ENCRYPTION_NAMES: [(EncryptionAlgorithm, &str); 2] =
    [(EncryptionAlgorithm::Null, "null"), (EncryptionAlgorithm::AesCbc, "aes-cbc")];

impl IntegrityAlgorithm {
    /// The name in `alg`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        name_of(&INTEGRITY_NAMES, self)
    }

    /// Reads `alg`, in whatever case. Nothing for an algorithm that this crate doesn't have.
    #[must_use]
    pub fn parse(name: &[u8]) -> Option<Self> {
        by_name(&INTEGRITY_NAMES, name)
    }
}

impl EncryptionAlgorithm {
    /// The name in `ealg`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        name_of(&ENCRYPTION_NAMES, self)
    }

    /// Reads `ealg`, in whatever case. Nothing for an algorithm that this crate doesn't have.
    #[must_use]
    pub fn parse(name: &[u8]) -> Option<Self> {
        by_name(&ENCRYPTION_NAMES, name)
    }
}

/// What protects a set of associations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Suite {
    /// `alg`.
    pub integrity: IntegrityAlgorithm,
    /// `ealg`.
    pub encryption: EncryptionAlgorithm,
}

impl Suite {
    /// All that there are, the strongest first.
    pub const ALL: [Self; 4] = [
        Self::new(IntegrityAlgorithm::HmacSha1_96, EncryptionAlgorithm::AesCbc),
        Self::new(IntegrityAlgorithm::HmacMd5_96, EncryptionAlgorithm::AesCbc),
        Self::new(IntegrityAlgorithm::HmacSha1_96, EncryptionAlgorithm::Null),
        Self::new(IntegrityAlgorithm::HmacMd5_96, EncryptionAlgorithm::Null),
    ];

    /// The pair of both.
    #[must_use]
    pub const fn new(integrity: IntegrityAlgorithm, encryption: EncryptionAlgorithm) -> Self {
        Self { integrity, encryption }
    }
}

/// IK_ESP and CK_ESP of a set of associations. They are wiped on drop.
#[derive(Clone)]
pub struct Keys {
    integrity: [u8; 20],
    encryption: [u8; 16],
    suite: Suite,
}

impl Keys {
    /// Expands CK and IK for the algorithms (TS 33.203 annex I): IK for MD5, IK with 32 zero bits
    /// behind it for SHA-1, CK for AES-CBC.
    #[must_use]
    pub fn expand(
        ck: &[u8; 16],
        ik: &[u8; 16],
        integrity: IntegrityAlgorithm,
        encryption: EncryptionAlgorithm,
    ) -> Self {
        let mut padded_ik = [0; 20];
        padded_ik[..16].copy_from_slice(ik);
        let ck = match encryption {
            EncryptionAlgorithm::Null => [0; 16],
            EncryptionAlgorithm::AesCbc => *ck,
        };
        Self { integrity: padded_ik, encryption: ck, suite: Suite::new(integrity, encryption) }
    }

    /// IK_ESP: 16 bytes for MD5, 20 for SHA-1.
    #[must_use]
    pub fn integrity(&self) -> &[u8] {
        match self.suite.integrity {
            IntegrityAlgorithm::HmacMd5_96 => &self.integrity[..16],
            IntegrityAlgorithm::HmacSha1_96 => &self.integrity,
        }
    }

    /// CK_ESP: 16 bytes for AES-CBC, none for null.
    #[must_use]
    pub fn encryption(&self) -> &[u8] {
        match self.suite.encryption {
            EncryptionAlgorithm::Null => &[],
            EncryptionAlgorithm::AesCbc => &self.encryption,
        }
    }

    /// The algorithms that they are for.
    #[must_use]
    pub const fn suite(&self) -> Suite {
        self.suite
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        self.integrity.zeroize();
        self.encryption.zeroize();
    }
}

impl ZeroizeOnDrop for Keys {}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys").field("suite", &self.suite).finish_non_exhaustive()
    }
}

#[derive(Debug)]
/// What the four associations of a set share: the keys, made ready for use.
pub struct TransformState {
    suite: Suite,
}

impl TransformState {
    /// Makes `keys` ready for use.
    #[must_use]
    pub fn new(keys: &Keys) -> Self {
        Self { suite: keys.suite }
    }

    /// The algorithms.
    #[must_use]
    pub const fn suite(&self) -> Suite {
        self.suite
    }
}

pub(crate) fn name_of<A: PartialEq>(names: &[(A, &'static str)], algorithm: A) -> &'static str {
    let row = names.iter().find(|row| row.0 == algorithm);
    row.expect("each algorithm has its row").1
}

pub(crate) fn by_name<A: Copy>(names: &[(A, &str)], name: &[u8]) -> Option<A> {
    names.iter().find(|row| row.1.as_bytes().eq_ignore_ascii_case(name)).map(|row| row.0)
}
