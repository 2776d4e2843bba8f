//! The keys in the format of Wireshark's table of ESP associations (`esp_sa` in its configuration
//! folder), by which it decrypts.

use std::fmt::Write as _;

use imstorm_esp::{EncryptionAlgorithm, IntegrityAlgorithm};

use super::AssociationKeys;

/// A line of the table.
///
/// The addresses are the outer ones: Wireshark looks at what carries the ESP packet.
pub(super) fn line(association: &AssociationKeys) -> String {
    let family = if association.source.is_ipv4() { "IPv4" } else { "IPv6" };
    let encryption = match association.suite.encryption {
        EncryptionAlgorithm::Null => "NULL",
        EncryptionAlgorithm::AesCbc => "AES-CBC [RFC3602]",
    };
    let integrity = match association.suite.integrity {
        IntegrityAlgorithm::HmacMd5_96 => "HMAC-MD5-96 [RFC2403]",
        IntegrityAlgorithm::HmacSha1_96 => "HMAC-SHA-1-96 [RFC2404]",
    };
    format!(
        "\"{family}\",\"{}\",\"{}\",\"0x{:08x}\",\"{encryption}\",\"{}\",\"{integrity}\",\"{}\"\n",
        association.source,
        association.destination,
        association.spi,
        hex(&association.encryption_key),
        hex(&association.integrity_key),
    )
}

/// `0x` and the digits; nothing for no key.
fn hex(key: &[u8]) -> String {
    let prefix = if key.is_empty() { "" } else { "0x" };
    key.iter().fold(prefix.to_owned(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
