//! ESP: sealing and opening a packet, per suite and length of the message in it.

use std::hint::black_box;

use aes::Aes128;
use aes::cipher::{Array, BlockModeEncrypt, KeyInit, KeyIvInit};
use criterion::{BatchSize, Criterion, Throughput};
use hmac::{EagerHash, Hmac, Mac};
use imstorm_esp::{
    EncryptionAlgorithm, HEADROOM, IntegrityAlgorithm, LocalPort, Mode, SaSet, SecurityParameters,
    Suite, TAILROOM,
};

const CK: [u8; 16] = *b"0123456789abcdef";
const IK: [u8; 16] = *b"fedcba9876543210";
const MESSAGE_BYTES: [usize; 2] = [64, 1024];
/// A batch that stays in the second-level cache.
const BATCH: BatchSize = BatchSize::NumIterations(64);

pub fn benchmarks(criterion: &mut Criterion) {
    for suite in Suite::ALL {
        let name = format!("{} {}", suite.integrity.as_str(), suite.encryption.as_str());
        for len in MESSAGE_BYTES {
            let mut group = criterion.benchmark_group(format!("esp/{name} {len} B"));
            group.throughput(Throughput::Bytes(len as u64));
            let mut ue = SaSet::for_ue(&parameters(suite), &CK, &IK);
            let mut buffer = vec![b'x'; HEADROOM + len + TAILROOM];
            group.bench_function("seal", |bencher| {
                bencher.iter(|| {
                    ue.seal(LocalPort::Client, black_box(&mut buffer), HEADROOM, len, 1)
                        .expect("sequence numbers are left")
                });
            });
            let mut pcscf = SaSet::for_pcscf(&parameters(suite), &CK, &IK);
            group.bench_function("open", |bencher| {
                bencher.iter_batched_ref(
                    || sealed(&mut ue, len),
                    |packet| pcscf.open(LocalPort::Server, packet).expect("a good packet"),
                    BATCH,
                );
            });
            if suite.encryption == EncryptionAlgorithm::AesCbc {
                let mut text = vec![b'x'; len.next_multiple_of(16)];
                group.bench_function("RustCrypto, keys set each time", |bencher| {
                    bencher.iter(|| match suite.integrity {
                        IntegrityAlgorithm::HmacSha1_96 => by_rustcrypto::<sha1::Sha1>(&mut text),
                        IntegrityAlgorithm::HmacMd5_96 => by_rustcrypto::<md5::Md5>(&mut text),
                    });
                });
            }
            group.finish();
        }
    }
    let mut group = criterion.benchmark_group("esp/set of associations");
    for suite in [Suite::ALL[0], Suite::ALL[3]] {
        let name = format!("{} {}", suite.integrity.as_str(), suite.encryption.as_str());
        let parameters = parameters(suite);
        group.bench_function(name, |bencher| {
            bencher.iter(|| SaSet::for_pcscf(black_box(&parameters), &CK, &IK));
        });
    }
    group.finish();
}

fn parameters(suite: Suite) -> SecurityParameters {
    SecurityParameters {
        spi_uc: 0x1000_04d2,
        spi_us: 0x1000_04d3,
        port_uc: 6100,
        port_us: 6101,
        spi_pc: 0x2000_04d2,
        spi_ps: 0x2000_04d3,
        port_pc: 5063,
        port_ps: 5064,
        ue_ip: [127, 16, 4, 210].into(),
        pcscf_ip: [127, 0, 0, 1].into(),
        suite,
        mode: Mode::UdpTunnel,
    }
}

fn sealed(from: &mut SaSet, len: usize) -> Vec<u8> {
    let mut buffer = vec![b'x'; HEADROOM + len + TAILROOM];
    let packet = from.seal(LocalPort::Client, &mut buffer, HEADROOM, len, 1).expect("numbers left");
    buffer.truncate(packet.end);
    buffer.drain(..packet.start);
    buffer
}

/// The same transforms over the message alone, without inner headers, padding and sequence number,
/// by the crates' own interface.
fn by_rustcrypto<D: EagerHash>(text: &mut [u8]) -> [u8; 12] {
    let (blocks, _) = Array::slice_as_chunks_mut(text);
    cbc::Encryptor::<Aes128>::new(&Array(CK), &Array(IK)).encrypt_blocks(blocks);
    let mut mac = <Hmac<D> as KeyInit>::new_from_slice(&IK).expect("HMAC takes any key length");
    mac.update(text);
    let mut icv = [0; 12];
    icv.copy_from_slice(&mac.finalize().into_bytes()[..12]);
    icv
}
