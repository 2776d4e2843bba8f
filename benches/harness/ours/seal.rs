//! 16 packets of mixed length over 16 security associations sealed: by imstorm-esp, and by the RustCrypto crates.

use std::hint::black_box;
use std::ops::Range;

use aes::Aes128;
use aes::cipher::{Array, BlockModeEncrypt, InnerIvInit, KeyInit};
use hmac::{Hmac, Mac};
use imstorm_esp::{
    EncryptionAlgorithm, HEADROOM, IntegrityAlgorithm, Lanes, LocalPort, Mode, SaSet, SealBatch,
    SecurityParameters, Suite,
};
use sha1::Sha1;

use crate::measure;

/// Lengths of the messages in bytes, one for each association.
const MESSAGE_BYTES: [usize; 16] =
    [462, 1_391, 597, 1_017, 318, 786, 1_276, 903, 351, 1_148, 679, 534, 1_333, 408, 859, 1_082];
const PACKETS: u64 = MESSAGE_BYTES.len() as u64;
const SUITE: Suite =
    Suite { integrity: IntegrityAlgorithm::HmacSha1_96, encryption: EncryptionAlgorithm::AesCbc };
/// SPI and sequence number; IV.
const HEADER_BYTES: usize = 8 + 16;
/// Inner IPv4 and UDP header, pad length and next header.
const AROUND_BYTES: usize = 20 + 8 + 2;
const ICV_BYTES: usize = 12;
/// Room for a packet.
const SLOT_BYTES: usize = 2048;

/// Everything that sealing is: inner headers with checksums, padding, sequence number, IV, AES-CBC, HMAC-SHA-1-96.
pub fn ours(seconds: f64) -> String {
    let mut sets: Vec<SaSet> = (0..PACKETS).map(set).collect();
    let mut memory = vec![b'x'; MESSAGE_BYTES.len() * SLOT_BYTES];
    let mut batch = SealBatch::new(Lanes::detect());
    check(&mut sets, &mut memory, &mut batch);
    measure::repeat(seconds, PACKETS, || {
        black_box(seal_all(&mut sets, black_box(&mut memory), &mut batch));
    })
}

/// One packet of each association, in a slot of its own; where in its slot each is.
fn seal_all(
    sets: &mut [SaSet],
    memory: &mut [u8],
    batch: &mut SealBatch,
) -> [Range<usize>; MESSAGE_BYTES.len()] {
    let mut slots = memory.chunks_exact_mut(SLOT_BYTES).zip(sets).enumerate();
    let packets = MESSAGE_BYTES.map(|bytes| {
        let (number, (slot, set)) = slots.next().expect("a slot and a set for each");
        let payload = HEADROOM..HEADROOM + bytes;
        set.seal_later(LocalPort::Client, batch, slot, number * SLOT_BYTES, payload, 1)
            .expect("sequence numbers are left")
    });
    batch.seal_all(memory);
    packets
}

fn set(number: u64) -> SaSet {
    let spi = 0x1000_0000 + 2 * number as u32;
    let parameters = SecurityParameters {
        spi_uc: spi,
        spi_us: spi + 1,
        port_uc: 6100,
        port_us: 6101,
        spi_pc: 0x1000_0000 + spi,
        spi_ps: 0x1000_0001 + spi,
        port_pc: 5063,
        port_ps: 5064,
        ue_ip: [127, 16, 4, number as u8].into(),
        pcscf_ip: [127, 0, 0, 1].into(),
        suite: SUITE,
        mode: Mode::UdpTunnel,
    };
    SaSet::for_ue(&parameters, &key(number, 0xc0), &key(number, 0x1c))
}

fn key(number: u64, kind: u8) -> [u8; 16] {
    std::array::from_fn(|place| kind ^ (number as u8).wrapping_mul(17).wrapping_add(place as u8))
}

/// What was sealed is as RustCrypto would have it: each packet's length and ICV.
fn check(sets: &mut [SaSet], memory: &mut [u8], batch: &mut SealBatch) {
    let packets = seal_all(sets, memory, batch);
    for (number, packet) in packets.into_iter().enumerate() {
        let packet = &memory[number * SLOT_BYTES..][packet];
        assert_eq!(packet.len(), HEADER_BYTES + text_bytes(MESSAGE_BYTES[number]) + ICV_BYTES);
        let (authenticated, icv) = packet.split_at(packet.len() - ICV_BYTES);
        let mut mac = mac(number as u64);
        mac.update(authenticated);
        assert_eq!(mac.finalize().into_bytes()[..ICV_BYTES], *icv, "packet {number}");
    }
}

fn text_bytes(message_bytes: usize) -> usize {
    (message_bytes + AROUND_BYTES).next_multiple_of(16)
}

fn mac(number: u64) -> Hmac<Sha1> {
    // TS 33.203 annex I: the key of HMAC-SHA-1-96 is IK with 32 zero bits behind it.
    let mut integrity_key = [0; 20];
    integrity_key[..16].copy_from_slice(&key(number, 0x1c));
    <Hmac<Sha1> as KeyInit>::new_from_slice(&integrity_key).expect("HMAC takes any key length")
}

/// The same transforms over as many bytes, one packet after the other, keys expanded once.
pub fn rustcrypto(seconds: f64) -> String {
    let mut associations: Vec<_> =
        (0..PACKETS).map(|number| (Aes128::new(&Array(key(number, 0xc0))), mac(number))).collect();
    let mut packets =
        MESSAGE_BYTES.map(|bytes| vec![b'x'; HEADER_BYTES + text_bytes(bytes) + ICV_BYTES]);
    measure::repeat(seconds, PACKETS, || {
        for ((cipher, mac), packet) in associations.iter_mut().zip(&mut packets) {
            let packet = black_box(packet);
            let icv_start = packet.len() - ICV_BYTES;
            let (header, text) = packet[..icv_start].split_at_mut(HEADER_BYTES);
            let mut iv = [0; 16];
            iv.copy_from_slice(&header[8..]);
            let (blocks, _) = Array::slice_as_chunks_mut(text);
            cbc::Encryptor::inner_iv_init(cipher.clone(), &Array(iv)).encrypt_blocks(blocks);
            let mut mac = mac.clone();
            mac.update(&packet[..icv_start]);
            let icv = mac.finalize().into_bytes();
            packet[icv_start..].copy_from_slice(&icv[..ICV_BYTES]);
        }
    })
}
