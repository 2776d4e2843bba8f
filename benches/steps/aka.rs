//! Authentication and key agreement: the HSS's, the UE's and the S-CSCF's part.

use std::hint::black_box;

use criterion::{BatchSize, Criterion};
use imstorm_aka::{
    DigestInput, Freshness, Generator, Milenage, NONCE_TEXT_LEN, Qop, Sqn, answer, decode_nonce,
    encode_nonce, generate, response, verify,
};

const K: [u8; 16] = *b"0123456789abcdef";
const OPC: [u8; 16] = *b"fedcba9876543210";
const RAND: [u8; 16] = *b"a random number.";
const AMF: [u8; 2] = [0x80, 0];

pub fn benchmarks(criterion: &mut Criterion) {
    vectors(criterion);
    digests(criterion);
}

fn vectors(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("aka/MILENAGE");
    group.bench_function("set the key", |bencher| {
        bencher.iter(|| Milenage::new(black_box(&K), black_box(&OPC)));
    });
    let milenage = Milenage::new(&K, &OPC);
    let mut generator = Generator::new(Sqn::new(0));
    group.bench_function("generate", |bencher| {
        bencher.iter(|| generate(&milenage, AMF, generator.next(), black_box(RAND)));
    });
    let mut generator = Generator::new(Sqn::new(0));
    let mut freshness = Freshness::new();
    // Each SQN is good for one answer.
    group.bench_function("answer", |bencher| {
        bencher.iter_batched_ref(
            || generate(&milenage, AMF, generator.next(), RAND),
            |vector| answer(&milenage, &mut freshness, &vector.rand, &vector.autn).expect("fresh"),
            BatchSize::NumIterations(64),
        );
    });
    group.finish();
}

fn digests(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("aka/Digest");
    let mut nonce = [0; NONCE_TEXT_LEN];
    group.bench_function("write nonce", |bencher| {
        bencher.iter(|| encode_nonce(black_box(&RAND), black_box(&K), &mut nonce));
    });
    encode_nonce(&RAND, &K, &mut nonce);
    group.bench_function("read nonce", |bencher| {
        bencher.iter(|| decode_nonce(black_box(&nonce)).expect("a nonce"));
    });
    let input = DigestInput {
        username: b"user1234@ims.example",
        realm: b"ims.example",
        password: b"\x01\x02\x03\x04\x05\x06\x07\x08",
        nonce: &nonce,
        uri: b"sip:ims.example",
        method: b"SUBSCRIBE",
        qop: Some(Qop { cnonce: b"8f3a61c200000002", nc: b"00000001" }),
    };
    let received = response(&input);
    group.bench_function("response", |bencher| bencher.iter(|| response(black_box(&input))));
    group.bench_function("response and verify", |bencher| {
        bencher.iter(|| assert!(verify(&response(black_box(&input)), black_box(&received))));
    });
    group.finish();
}
