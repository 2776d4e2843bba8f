//! Known answers for each number of lanes and each back end, and all back ends against each other.

use super::{Job, Lanes};
use crate::integrity::tests::key_of;
use crate::test_data::{esp_vectors, hex};
use crate::transform::{BLOCK_LEN, ICV_LEN, IV_KEY_LABEL};
use crate::*;
use aes::cipher::{Array, BlockCipherDecrypt, BlockCipherEncrypt, KeyInit};
use aes::{Aes128Dec, Aes128Enc};
use proptest::prelude::*;

/// More than the widest back end takes at once, whole groups and not.
const COUNTS: [usize; 12] = [1, 2, 3, 4, 5, 8, 9, 16, 17, 31, 33, 64];

fn job(transform: TransformState, memory: &mut Vec<u8>, packet: &[u8]) -> Job {
    // The first packets begin at odd places.
    memory.extend(std::iter::repeat_n(0xee, memory.len() % 7));
    let start = memory.len() as u32;
    memory.extend(packet);
    memory.extend([0; ICV_LEN]);
    let icv_start = start + packet.len() as u32;
    Job { transform, iv_block: [0; BLOCK_LEN], icv: [0; ICV_LEN], start, icv_start }
}

/// The places of `count` jobs, no more at once than the back end takes.
fn groups(lanes: Lanes, count: usize) -> Vec<Vec<u8>> {
    let places: Vec<u8> = (0..count as u8).collect();
    places.chunks(lanes.width()).map(<[u8]>::to_vec).collect()
}

fn transform(suite: Suite, ck: [u8; 16], ik: [u8; 16]) -> TransformState {
    TransformState::new(&Keys::expand(&ck, &ik, suite.integrity, suite.encryption))
}

#[test]
fn hmac_is_that_of_rfc_2202_in_each_lane() {
    let vectors = esp_vectors();
    for (name, algorithm) in
        [("md5", IntegrityAlgorithm::HmacMd5_96), ("sha1", IntegrityAlgorithm::HmacSha1_96)]
    {
        let of_algorithm = |v: &&serde_json::Value| v["alg"] == name;
        let vectors: Vec<_> =
            vectors["hmac"].as_array().unwrap().iter().filter(of_algorithm).collect();
        assert!(vectors.len() >= 7, "RFC 2202 has seven cases for each");
        for lanes in Lanes::available() {
            for count in COUNTS {
                let (mut jobs, mut memory) = (Vec::new(), Vec::new());
                for v in vectors.iter().cycle().take(count) {
                    let suite = Suite::new(algorithm, EncryptionAlgorithm::Null);
                    let mut transform = transform(suite, [0; 16], [0; 16]);
                    transform.set_integrity(key_of(algorithm, &hex(&v["key"])));
                    jobs.push(job(transform, &mut memory, &hex(&v["data"])));
                }
                for group in groups(lanes, count) {
                    lanes.icvs(algorithm, &mut jobs, &group, &memory);
                }
                for (job, v) in jobs.iter().zip(vectors.iter().cycle()) {
                    assert_eq!(job.icv, *hex(&v["digest96"]), "{} {lanes:?}, {count}", v["src"]);
                }
            }
        }
    }
}

#[test]
fn aes_cbc_is_that_of_rfc_3602_in_each_lane() {
    let vectors = esp_vectors();
    let vectors = vectors["rfc3602"].as_array().unwrap();
    let vectors: Vec<_> = vectors.iter().filter(|v| v["ct"].is_string()).collect();
    assert_eq!(vectors.len(), 4);
    for lanes in Lanes::available() {
        for count in COUNTS {
            let (mut jobs, mut memory) = (Vec::new(), Vec::new());
            for v in vectors.iter().cycle().take(count) {
                let key: [u8; 16] = hex(&v["key"]).try_into().unwrap();
                let plain = [vec![0; 8 + 16], hex(&v["pt"])].concat();
                let transform = transform(Suite::ALL[0], key, [0; 16]);
                let mut job = job(transform, &mut memory, &plain);
                job.iv_block = block_of_iv(key, &hex(&v["iv"]));
                jobs.push(job);
            }
            let plain = memory.clone();
            for group in groups(lanes, count) {
                lanes.encrypt(&jobs, &group, &mut memory);
            }
            for (job, v) in jobs.iter().zip(vectors.iter().cycle()) {
                let expected = [hex(&v["iv"]), hex(&v["ct"])].concat();
                assert_eq!(memory[job.text()], expected, "{lanes:?}, {count}");
                lanes.decrypt(job, &mut memory);
                memory[job.text()][..BLOCK_LEN].fill(0);
            }
            assert_eq!(memory, plain, "{lanes:?}, {count}");
        }
    }
}

/// The block that a published IV is the encryption of.
fn block_of_iv(key: [u8; 16], iv: &[u8]) -> [u8; BLOCK_LEN] {
    let mut iv_key = Array(IV_KEY_LABEL);
    Aes128Enc::new(&Array(key)).encrypt_block(&mut iv_key);
    let mut block = Array(<[u8; BLOCK_LEN]>::try_from(iv).unwrap());
    Aes128Dec::new(&iv_key).decrypt_block(&mut block);
    block.0
}

/// A job's keys, suite and text, in whole blocks.
fn any_job() -> impl Strategy<Value = ([u8; 16], [u8; 16], usize, Vec<u8>)> {
    let text = proptest::collection::vec(any::<u8>(), 0..2000);
    // The first suite is the one that has lanes of both together.
    (any::<[u8; 16]>(), any::<[u8; 16]>(), prop_oneof![Just(0), 0..4usize], text)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn all_back_ends_give_the_same(of in proptest::collection::vec(any_job(), 0..=64)) {
        let make = || {
            let (mut jobs, mut memory) = (Vec::new(), Vec::new());
            for (ck, ik, suite, text) in &of {
                let len = (text.len() + 1).next_multiple_of(BLOCK_LEN);
                let mut packet = [&[1; 8 + 16], &text[..]].concat();
                packet.resize(8 + 16 + len, 0);
                let mut job = job(transform(Suite::ALL[*suite], *ck, *ik), &mut memory, &packet);
                job.iv_block = *ik;
                jobs.push(job);
            }
            (jobs, memory)
        };
        let (mut expected_jobs, mut expected) = make();
        for job in &mut expected_jobs {
            job.transform.encrypt(job.iv_block, &mut expected[job.text()]);
            job.icv = job.transform.icv(&expected[job.authenticated()]);
        }
        for lanes in Lanes::available() {
            let (mut jobs, mut memory) = make();
            let plain = memory.clone();
            for suite in Suite::ALL {
                let is_in = |place: &u8| Suite::ALL[of[usize::from(*place)].2] == suite;
                let places: Vec<u8> = (0..of.len() as u8).filter(is_in).collect();
                for group in places.chunks(lanes.width()) {
                    lanes.seal(suite, &mut jobs, group, &mut memory);
                }
            }
            prop_assert!(memory == expected, "{:?}", lanes);
            for (job, expected) in jobs.iter().zip(&expected_jobs) {
                prop_assert_eq!(job.icv, expected.icv, "{:?}", lanes);
            }
            for job in jobs.iter().filter(|job| job.transform.has_encryption()) {
                lanes.decrypt(job, &mut memory);
                let text = job.text();
                let start = text.start + BLOCK_LEN;
                prop_assert!(memory[start..text.end] == plain[start..text.end], "{:?}", lanes);
            }
        }
    }
}
