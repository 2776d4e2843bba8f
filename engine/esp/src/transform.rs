//! The algorithms of ipsec-3gpp, their keys and their state (TS 33.203 annexes H and I).

use crate::integrity::HmacKey;
use aes::cipher::consts::U16;
use aes::cipher::{
    Array, BlockCipherEncrypt, BlockModeDecrypt, BlockModeEncrypt, InnerIvInit, KeyInit, KeyIvInit,
};
use aes::{Aes128Dec, Aes128Enc, Block};
use core::fmt;
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// The length of the ICV of both integrity algorithms: 96 bits.
pub(crate) const ICV_LEN: usize = 12;

/// The length of an AES block, and of AES-CBC's IV.
pub(crate) const BLOCK_LEN: usize = 16;

/// What the IVs' key is the encryption of. It is never a CBC input: those are random.
pub(crate) const IV_KEY_LABEL: [u8; BLOCK_LEN] = *b"imstorm-esp-iv-1";

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

/// What the four associations of a set share: the keys, made ready for use.
///
/// The integrity key is kept as HMAC's two states after their first block, so that no packet pays
/// for them again. The encryption key is kept as it is: AES's round keys are three times larger than
/// all else here, and made in a few tens of nanoseconds. All are wiped on drop.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct TransformState {
    /// It wipes itself.
    #[zeroize(skip)]
    integrity: HmacKey,
    /// Zero where nothing is encrypted.
    encryption: [u8; BLOCK_LEN],
    #[zeroize(skip)]
    suite: Suite,
}

impl TransformState {
    /// Makes `keys` ready for use.
    #[must_use]
    pub fn new(keys: &Keys) -> Self {
        let suite = keys.suite;
        let integrity = HmacKey::new(suite.integrity, keys.integrity());
        Self { integrity, encryption: keys.encryption, suite }
    }

    /// A copy of the keys, for a packet that outlives its set.
    pub(crate) fn duplicate(&self) -> Self {
        Self { integrity: self.integrity.clone(), ..*self }
    }

    /// The algorithms.
    #[must_use]
    pub const fn suite(&self) -> Suite {
        self.suite
    }

    pub(crate) const fn integrity(&self) -> &HmacKey {
        &self.integrity
    }

    #[cfg(test)]
    pub(crate) fn set_integrity(&mut self, integrity: HmacKey) {
        self.integrity = integrity;
    }

    pub(crate) const fn encryption_key(&self) -> &[u8; BLOCK_LEN] {
        &self.encryption
    }

    pub(crate) const fn has_encryption(&self) -> bool {
        matches!(self.suite.encryption, EncryptionAlgorithm::AesCbc)
    }

    /// The length of the IV in front of the ciphertext.
    pub(crate) const fn iv_len(&self) -> usize {
        if self.has_encryption() { BLOCK_LEN } else { 0 }
    }

    /// What the length of the text from behind the IV to the next header is a multiple of
    /// (RFC 4303 2.4).
    pub(crate) const fn alignment(&self) -> usize {
        if self.has_encryption() { BLOCK_LEN } else { 4 }
    }

    /// The ICV over `authenticated`: all of the packet in front of the ICV (RFC 4303 2.8).
    pub(crate) fn icv(&self, authenticated: &[u8]) -> [u8; ICV_LEN] {
        self.integrity.icv(self.suite.integrity, authenticated)
    }

    /// Whether `icv` is right, in a time that does not tell where it is wrong.
    pub(crate) fn verify(&self, authenticated: &[u8], icv: &[u8]) -> bool {
        self.icv(authenticated).ct_eq(icv).into()
    }

    /// Writes the IV, made of `iv_block`, into the first bytes of `text` and encrypts the rest, which is whole blocks.
    ///
    /// The IV is the encryption, under a key of its own, of a block that never comes again under
    /// this set's keys ([`iv_block`]). So it is as unpredictable as AES is a good permutation, without
    /// any randomness (NIST SP 800-38A appendix C, first method). Both sides of a set may have the same
    /// key, since they use different SPIs.
    pub(crate) fn encrypt(&self, iv_block: [u8; BLOCK_LEN], text: &mut [u8]) {
        if !self.has_encryption() {
            return;
        }
        let cipher = Aes128Enc::new(&Array(self.encryption));
        let mut iv_key: Block = Array(IV_KEY_LABEL);
        cipher.encrypt_block(&mut iv_key);
        let mut iv: Block = Array(iv_block);
        Aes128Enc::new(&iv_key).encrypt_block(&mut iv);
        iv_key.0.zeroize();
        let (front, plaintext) = text.split_at_mut(BLOCK_LEN);
        front.copy_from_slice(&iv);
        let (blocks, rest) = Array::<u8, U16>::slice_as_chunks_mut(plaintext);
        assert!(rest.is_empty());
        cbc::Encryptor::inner_iv_init(&cipher, &iv).encrypt_blocks(blocks);
    }

    /// Decrypts what is behind the IV in `text`, whole blocks.
    pub(crate) fn decrypt(&self, text: &mut [u8]) {
        if !self.has_encryption() {
            return;
        }
        let (front, ciphertext) = text.split_at_mut(BLOCK_LEN);
        let mut iv = Block::default();
        iv.copy_from_slice(front);
        let (blocks, rest) = Array::<u8, U16>::slice_as_chunks_mut(ciphertext);
        assert!(rest.is_empty());
        cbc::Decryptor::<Aes128Dec>::new(&Array(self.encryption), &iv).decrypt_blocks(blocks);
    }
}

impl fmt::Debug for TransformState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TransformState").field("suite", &self.suite()).finish_non_exhaustive()
    }
}

/// What a packet's IV is the encryption of: it comes once under the keys of a set, whose four SPIs differ and whose sequence
/// numbers do not cycle. `seed` is any number.
pub(crate) fn iv_block(spi: u32, sequence: u32, seed: u64) -> [u8; BLOCK_LEN] {
    let mut block = [0; BLOCK_LEN];
    block[..4].copy_from_slice(&spi.to_be_bytes());
    block[4..8].copy_from_slice(&sequence.to_be_bytes());
    block[8..].copy_from_slice(&seed.to_be_bytes());
    block
}

pub(crate) fn name_of<A: Copy + PartialEq>(
    names: &[(A, &'static str)],
    algorithm: A,
) -> &'static str {
    let row = names.iter().find(|row| row.0 == algorithm);
    row.expect("each algorithm has its row").1
}

pub(crate) fn by_name<A: Copy>(names: &[(A, &str)], name: &[u8]) -> Option<A> {
    names.iter().find(|row| row.1.as_bytes().eq_ignore_ascii_case(name)).map(|row| row.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_data::{esp_vectors, hex};
    use std::collections::HashSet;

    const SUITE: Suite = Suite::new(IntegrityAlgorithm::HmacSha1_96, EncryptionAlgorithm::AesCbc);

    fn state(ck: &[u8; 16]) -> TransformState {
        TransformState::new(&Keys::expand(ck, &[7; 16], SUITE.integrity, SUITE.encryption))
    }

    #[test]
    fn names_are_those_of_rfc_3329_in_any_case() {
        for suite in Suite::ALL {
            let (alg, ealg) = (suite.integrity.as_str(), suite.encryption.as_str());
            assert_eq!(IntegrityAlgorithm::parse(alg.as_bytes()), Some(suite.integrity));
            let upper = ealg.to_ascii_uppercase();
            assert_eq!(EncryptionAlgorithm::parse(upper.as_bytes()), Some(suite.encryption));
        }
        assert_eq!(SUITE.integrity.as_str(), "hmac-sha-1-96");
        assert_eq!(IntegrityAlgorithm::parse(b"aes-gmac"), None);
        assert_eq!(EncryptionAlgorithm::parse(b"des-ede3-cbc"), None);
    }

    #[test]
    fn keys_expand_as_in_the_vector() {
        let vectors = esp_vectors();
        let v = &vectors["keyexp"];
        let ck = hex(&v["CK"]).try_into().unwrap();
        let ik = hex(&v["IK"]).try_into().unwrap();
        let [sha1_aes, md5_aes, sha1_null, _] =
            Suite::ALL.map(|s| Keys::expand(&ck, &ik, s.integrity, s.encryption));
        assert_eq!(md5_aes.integrity(), hex(&v["ik_esp_hmac_md5_96"]));
        assert_eq!(sha1_aes.integrity(), hex(&v["ik_esp_hmac_sha1_96"]));
        assert_eq!(sha1_aes.encryption(), hex(&v["ck_esp_aes_cbc"]));
        assert!(sha1_null.encryption().is_empty());
    }

    #[test]
    fn aes_cbc_is_that_of_rfc_3602() {
        let vectors = esp_vectors();
        let (mut plain, mut packets) = (0, 0);
        for v in vectors["rfc3602"].as_array().unwrap() {
            let state = state(&hex(&v["key"]).try_into().unwrap());
            if v["ct"].is_string() {
                let mut text = [hex(&v["iv"]), hex(&v["ct"])].concat();
                state.decrypt(&mut text);
                assert_eq!(text[16..], hex(&v["pt"]));
                plain += 1;
            } else {
                let mut text = hex(&v["esp"]);
                state.decrypt(&mut text[8..]);
                let inner = if v["mode"] == "tunnel" { hex(&v["inner_ip"]) } else { Vec::new() };
                let inner = [inner, hex(&v["data"])].concat();
                assert_eq!(text[24..24 + inner.len()], inner);
                assert_eq!(text.last().copied().map(u64::from), v["next_header"].as_u64());
                packets += 1;
            }
        }
        assert_eq!((plain, packets), (4, 4));
    }

    #[test]
    fn encryption_is_undone_and_its_ivs_differ() {
        let state = state(&[3; 16]);
        let mut ivs = HashSet::new();
        for (spi, sequence, iv_seed) in [(256, 1, 0), (256, 2, 0), (257, 1, 0), (256, 1, 1)] {
            let mut text = [9; 16 * 12];
            state.encrypt(iv_block(spi, sequence, iv_seed), &mut text);
            assert!(ivs.insert(text[..16].to_vec()), "an IV came twice");
            assert_ne!(text[16..], [9; 16 * 11]);
            state.decrypt(&mut text);
            assert_eq!(text[16..], [9; 16 * 11]);
        }
    }

    #[test]
    fn secrets_are_wiped_on_drop() {
        // The algorithms do so only with their feature `zeroize`: this fails to compile without.
        const fn wipes<T: ZeroizeOnDrop>() {}
        wipes::<Aes128Enc>();
        wipes::<Aes128Dec>();
        wipes::<HmacKey>();
        wipes::<TransformState>();
    }

    #[test]
    fn debug_shows_no_key() {
        let keys = Keys::expand(&[0xaa; 16], &[0xbb; 16], SUITE.integrity, SUITE.encryption);
        let shown = format!("{keys:?} {:?}", TransformState::new(&keys)).to_lowercase();
        for byte in ["170", "187", "aa", "bb"] {
            assert!(!shown.contains(byte), "{shown}");
        }
    }
}
