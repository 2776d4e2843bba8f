//! ESP: sealing and opening a packet, per suite and length of the message in it.

use std::hint::black_box;
use std::ops::Range;
use std::time::{Duration, Instant};

use aes::Aes128;
use aes::cipher::{Array, BlockModeEncrypt, KeyInit, KeyIvInit};
use criterion::{BatchSize, Criterion, Throughput};
use hmac::{EagerHash, Hmac, Mac};
use imstorm_esp::{
    EncryptionAlgorithm, HEADROOM, IntegrityAlgorithm, Lanes, LocalPort, Mode, OpenBatch,
    OpenTicket, SaSet, SealBatch, SecurityParameters, Suite, TAILROOM,
};

const CK: [u8; 16] = *b"0123456789abcdef";
const IK: [u8; 16] = *b"fedcba9876543210";
const MESSAGE_BYTES: [usize; 2] = [64, 1024];
/// Messages of sixteen UEs that are sealed together, in bytes.
const MIXED_BYTES: [usize; 16] =
    [420, 610, 1280, 890, 540, 1033, 760, 1400, 333, 980, 1150, 670, 1210, 450, 845, 1100];
/// A slot of an outbox: no multiple of 4 KiB, as the engine's are not.
const SLOT_BYTES: usize = 2048 + 192;
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
    side_by_side(criterion);
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

/// Packets of as many associations sealed and opened together, by each of the processor's lanes, and by the crates' own interface one
/// after the other.
fn side_by_side(criterion: &mut Criterion) {
    for (name, lens) in [("1024 B", [1024; 16]), ("mixed", MIXED_BYTES)] {
        for count in [1, 4, 8, 16] {
            let lens = &lens[..count];
            let mut group = criterion.benchmark_group(format!("esp/{count} packets {name}"));
            group.throughput(Throughput::Elements(count as u64));
            let mut memory = vec![b'x'; SLOT_BYTES * count];
            group.bench_function("RustCrypto, one after the other", |bencher| {
                bencher.iter(|| {
                    for (slot, len) in memory.chunks_exact_mut(SLOT_BYTES).zip(lens) {
                        let text = &mut slot[HEADROOM..HEADROOM + len.next_multiple_of(16)];
                        black_box(by_rustcrypto::<sha1::Sha1>(text));
                    }
                });
            });
            for lanes in Lanes::available() {
                let mut pairs = pairs(count);
                let mut seals = SealBatch::new(lanes);
                group.bench_function(format!("seal, {}", lanes.as_str()), |bencher| {
                    bencher.iter(|| {
                        write_all(&mut pairs, &mut seals, &mut memory, lens);
                        seals.seal_all(black_box(&mut memory))
                    });
                });
                let mut opens = OpenBatch::new(lanes);
                group.bench_function(format!("open, {}", lanes.as_str()), |bencher| {
                    bencher.iter_custom(|rounds| {
                        let mut took = Duration::ZERO;
                        for _ in 0..rounds {
                            let ranges = write_all(&mut pairs, &mut seals, &mut memory, lens);
                            seals.seal_all(&mut memory);
                            let start = Instant::now();
                            open_all(&mut pairs, &mut opens, &mut memory, &ranges);
                            took += start.elapsed();
                        }
                        took
                    });
                });
            }
            group.finish();
        }
    }
}

/// UEs and their P-CSCF's sets, each with keys of its own.
fn pairs(count: usize) -> Vec<(SaSet, SaSet)> {
    let parameters = parameters(Suite::ALL[0]);
    let pair = |number: usize| {
        let key = [number as u8; 16];
        (SaSet::for_ue(&parameters, &key, &key), SaSet::for_pcscf(&parameters, &key, &key))
    };
    (0..count).map(pair).collect()
}

fn write_all(
    pairs: &mut [(SaSet, SaSet)],
    seals: &mut SealBatch,
    memory: &mut [u8],
    lens: &[usize],
) -> Vec<Range<usize>> {
    let mut ranges = Vec::with_capacity(lens.len());
    for (place, (ue, _)) in pairs.iter_mut().enumerate() {
        let start = place * SLOT_BYTES;
        let slot = &mut memory[start..start + SLOT_BYTES];
        let payload = HEADROOM..HEADROOM + lens[place];
        let range = ue.seal_later(LocalPort::Client, seals, slot, start, payload, 1);
        let range = range.expect("sequence numbers are left");
        ranges.push(start + range.start..start + range.end);
    }
    ranges
}

fn open_all(
    pairs: &mut [(SaSet, SaSet)],
    opens: &mut OpenBatch,
    memory: &mut [u8],
    ranges: &[Range<usize>],
) {
    opens.clear();
    let ticket = |((_, pcscf), range): (&(SaSet, SaSet), &Range<usize>)| {
        let packet = &memory[range.clone()];
        pcscf.open_later(LocalPort::Server, opens, packet, range.start).expect("a good packet")
    };
    let tickets: Vec<OpenTicket> = pairs.iter().zip(ranges).map(ticket).collect();
    opens.run(memory);
    for (((_, pcscf), range), ticket) in pairs.iter_mut().zip(ranges).zip(tickets) {
        let packet = &memory[range.clone()];
        let payload = pcscf.open_now(LocalPort::Server, opens, ticket, packet);
        black_box(payload.expect("a good packet"));
    }
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
