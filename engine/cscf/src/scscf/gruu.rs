//! Temporary GRUUs (RFC 5627 clause 3.1.2): `sip:tgruu.SHARD.TEXT@domain;gr`. The text is the binding's place, its epoch and a
//! count, encrypted as one block, so that it tells nobody whose it is, no two look related, and nothing has to be kept for each.

use aes::cipher::{Array, BlockCipherDecrypt, BlockCipherEncrypt, KeyInit};
use aes::{Aes128, Block};
use imstorm_base::slab::Key;
use imstorm_sip::Writer;

use crate::proxy::read_hex_u64;

/// The start of the user part of every temporary GRUU.
const PREFIX: &[u8] = b"tgruu.";

/// Makes and reads temporary GRUUs.
pub struct GruuCipher(Aes128);

impl std::fmt::Debug for GruuCipher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("GruuCipher")
    }
}

/// What a temporary GRUU means.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct TemporaryGruu {
    /// The binding.
    pub binding: Key,
    /// The binding's epoch: another one voids it.
    pub epoch: u32,
    /// Tells those of one epoch apart.
    pub count: u32,
}

impl GruuCipher {
    /// With this key.
    pub fn new(key: [u8; 16]) -> Self {
        Self(Aes128::new(&Array(key)))
    }

    /// Writes a GRUU.
    pub fn write(&self, gruu: TemporaryGruu, shard: u32, realm: &str, out: &mut Writer<'_>) {
        let mut block = Block::default();
        block[..8].copy_from_slice(&gruu.binding.to_u64().to_be_bytes());
        block[8..12].copy_from_slice(&gruu.epoch.to_be_bytes());
        block[12..].copy_from_slice(&gruu.count.to_be_bytes());
        self.0.encrypt_block(&mut block);
        out.put(b"sip:").put(PREFIX).decimal(u64::from(shard)).put(b".").hex(&block);
        out.put(b"@").text(realm).put(b";gr");
    }

    /// Reads the user part of a GRUU that was made here.
    pub fn read(&self, user: &[u8]) -> Option<TemporaryGruu> {
        let (_, text) = split(user)?;
        let (high, low) = text.split_at_checked(16)?;
        let mut block = Block::default();
        block[..8].copy_from_slice(&read_hex_u64(high)?.to_be_bytes());
        block[8..].copy_from_slice(&read_hex_u64(low)?.to_be_bytes());
        self.0.decrypt_block(&mut block);
        let word = |at: usize| u32::from_be_bytes([0, 1, 2, 3].map(|byte| block[at + byte]));
        let binding = u64::from(word(0)) << 32 | u64::from(word(4));
        Some(TemporaryGruu { binding: Key::from_u64(binding), epoch: word(8), count: word(12) })
    }
}

/// The shard that made the temporary GRUU with this user part, if it is one.
#[must_use]
pub fn shard_of(user: &[u8]) -> Option<usize> {
    let (shard, _) = split(user)?;
    std::str::from_utf8(shard).ok()?.parse().ok()
}

fn split(user: &[u8]) -> Option<(&[u8], &[u8])> {
    let rest = user.strip_prefix(PREFIX)?;
    let dot = rest.iter().position(|byte| *byte == b'.')?;
    Some((&rest[..dot], &rest[dot + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(gruu: &str) -> &[u8] {
        gruu.strip_prefix("sip:").unwrap().split('@').next().unwrap().as_bytes()
    }

    fn write(cipher: &GruuCipher, gruu: TemporaryGruu) -> String {
        let mut out = [0; 128];
        let mut writer = Writer::new(&mut out);
        cipher.write(gruu, 3, "ims.example", &mut writer);
        String::from_utf8(writer.as_written().to_vec()).unwrap()
    }

    #[test]
    fn it_leads_back_and_two_of_a_binding_look_unrelated() {
        let cipher = GruuCipher::new([7; 16]);
        let gruu = TemporaryGruu { binding: Key::from_u64(5 << 32 | 9), epoch: 1, count: 0 };
        let (first, second) =
            (write(&cipher, gruu), write(&cipher, TemporaryGruu { count: 1, ..gruu }));
        assert!(first.starts_with("sip:tgruu.3.") && first.ends_with("@ims.example;gr"), "{first}");
        assert_eq!(cipher.read(user(&first)), Some(gruu));
        assert_eq!(shard_of(user(&first)), Some(3));
        let same = first.bytes().zip(second.bytes()).filter(|(one, other)| one == other).count();
        assert!(same < 40, "{first} {second}");
    }

    #[test]
    fn what_is_none_reads_as_none() {
        let cipher = GruuCipher::new([7; 16]);
        for user in ["ue00000001", "tgruu.", "tgruu.1", "tgruu.1.00", "tgruu.x.zz"] {
            assert_eq!(cipher.read(user.as_bytes()), None, "{user}");
        }
        assert_eq!(shard_of(b"ue00000001"), None);
    }
}
