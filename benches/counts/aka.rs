//! Authentication and key agreement.

use std::hint::black_box;

use gungraun::{library_benchmark, library_benchmark_group};
use imstorm_aka::{
    DigestInput, Freshness, Generator, Milenage, NONCE_TEXT_LEN, Qop, Sqn, answer, encode_nonce,
    generate, response, verify,
};

const K: [u8; 16] = *b"0123456789abcdef";
const OPC: [u8; 16] = *b"fedcba9876543210";
const RAND: [u8; 16] = *b"a random number.";
const AMF: [u8; 2] = [0x80, 0];

// A vector made by the HSS, and answered by the UE.
#[library_benchmark]
fn milenage() -> [u8; 16] {
    let milenage = Milenage::new(black_box(&K), black_box(&OPC));
    let vector = generate(&milenage, AMF, Generator::new(Sqn::new(0)).next(), black_box(RAND));
    let answered = answer(&milenage, &mut Freshness::new(), &vector.rand, &vector.autn);
    answered.expect("fresh").ck
}

#[library_benchmark]
fn digest() -> bool {
    let mut nonce = [0; NONCE_TEXT_LEN];
    encode_nonce(black_box(&RAND), black_box(&K), &mut nonce);
    let input = DigestInput {
        username: b"user1234@ims.example",
        realm: b"ims.example",
        password: b"\x01\x02\x03\x04\x05\x06\x07\x08",
        nonce: &nonce,
        uri: b"sip:ims.example",
        method: b"SUBSCRIBE",
        qop: Some(Qop { cnonce: b"8f3a61c200000002", nc: b"00000001" }),
    };
    let received = response(black_box(&input));
    verify(&response(black_box(&input)), black_box(&received))
}

library_benchmark_group!(name = aka, benchmarks = [milenage, digest]);
