//! MILENAGE, the example algorithm set of TS 35.206 that most operators use.

use aes::cipher::{Array, BlockCipherEncrypt, KeyInit};
use aes::{Aes128Enc, Block};
use core::fmt;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// One subscriber's f1, f1*, f2, f3, f4, f5 and f5* (TS 35.206 clause 4.1): the AES key schedule
/// of K, and OPc.
///
/// It is larger than the 32 bytes of K and OPc, since it holds the round keys. A store of many
/// subscribers keeps K and OPc and makes one of these for the time of one challenge.
#[derive(Clone)]
pub struct Milenage {
    cipher: Aes128Enc,
    opc: [u8; 16],
}

impl Milenage {
    /// Makes the functions of the subscriber with the key `k` and the operator variant `opc`.
    #[must_use]
    pub fn new(k: &[u8; 16], opc: &[u8; 16]) -> Self {
        Self { cipher: Aes128Enc::new(&Array(*k)), opc: *opc }
    }

    /// f1: the network authentication code MAC-A over RAND, SQN and AMF (TS 35.206 clause 4.1).
    #[must_use]
    pub fn f1(&self, rand: &[u8; 16], sqn: [u8; 6], amf: [u8; 2]) -> [u8; 8] {
        self.mac_pair(&self.temp(rand), sqn, amf).0
    }

    /// f1*: the resynchronisation code MAC-S over RAND, SQN and AMF* (TS 35.206 clause 4.1).
    #[must_use]
    pub fn f1_star(&self, rand: &[u8; 16], sqn: [u8; 6], amf: [u8; 2]) -> [u8; 8] {
        self.mac_pair(&self.temp(rand), sqn, amf).1
    }

    /// f2, f3, f4 and f5: RES, CK, IK and AK of RAND (TS 35.206 clause 4.1).
    #[must_use]
    pub fn f2345(&self, rand: &[u8; 16]) -> Response {
        self.f2345_of(&self.temp(rand))
    }

    /// f5*: the anonymity key that hides SQN in AUTS (TS 35.206 clause 4.1).
    #[must_use]
    pub fn f5_star(&self, rand: &[u8; 16]) -> [u8; 6] {
        self.f5_star_of(&self.temp(rand))
    }

    /// TEMP = E_K(RAND ⊕ OPc), which all functions of one challenge share.
    pub(crate) fn temp(&self, rand: &[u8; 16]) -> Temp {
        let mut block: Block = Array(xor(rand, &self.opc));
        self.cipher.encrypt_block(&mut block);
        Temp(block.0)
    }

    /// OUT1 = f1 ‖ f1* for one challenge.
    pub(crate) fn mac_pair(&self, temp: &Temp, sqn: [u8; 6], amf: [u8; 2]) -> ([u8; 8], [u8; 8]) {
        // IN1 = SQN ‖ AMF ‖ SQN ‖ AMF; r1 = 64 bits, c1 = 0.
        let mut in1 = [0; 16];
        for half in in1.chunks_exact_mut(8) {
            half[..6].copy_from_slice(&sqn);
            half[6..].copy_from_slice(&amf);
        }
        let mut block: Block = Array(xor(&temp.0, &rotate::<8>(&xor(&in1, &self.opc))));
        self.cipher.encrypt_block(&mut block);
        let mut out = xor(&block.0, &self.opc);
        let (mut mac_a, mut mac_s) = ([0; 8], [0; 8]);
        mac_a.copy_from_slice(&out[..8]);
        mac_s.copy_from_slice(&out[8..]);
        out.zeroize();
        (mac_a, mac_s)
    }

    /// f2 to f5 for one challenge. The three blocks go through the cipher together, so that their
    /// rounds overlap.
    pub(crate) fn f2345_of(&self, temp: &Temp) -> Response {
        // r2 = 0, c2 = 1; r3 = 32 bits, c3 = 2; r4 = 64 bits, c4 = 4.
        let base = xor(&temp.0, &self.opc);
        let mut blocks: [Block; 3] =
            [Array(base), Array(rotate::<4>(&base)), Array(rotate::<8>(&base))];
        blocks[0].0[15] ^= 1;
        blocks[1].0[15] ^= 2;
        blocks[2].0[15] ^= 4;
        self.cipher.encrypt_blocks(&mut blocks);
        let mut out2 = xor(&blocks[0].0, &self.opc);
        let mut response = Response {
            res: [0; 8],
            ck: xor(&blocks[1].0, &self.opc),
            ik: xor(&blocks[2].0, &self.opc),
            ak: [0; 6],
        };
        response.res.copy_from_slice(&out2[8..]);
        response.ak.copy_from_slice(&out2[..6]);
        out2.zeroize();
        response
    }

    /// f5* for one challenge.
    pub(crate) fn f5_star_of(&self, temp: &Temp) -> [u8; 6] {
        // r5 = 96 bits, c5 = 8.
        let mut block: Block = Array(rotate::<12>(&xor(&temp.0, &self.opc)));
        block.0[15] ^= 8;
        self.cipher.encrypt_block(&mut block);
        let out5 = xor(&block.0, &self.opc);
        let mut ak = [0; 6];
        ak.copy_from_slice(&out5[..6]);
        ak
    }
}

impl Drop for Milenage {
    fn drop(&mut self) {
        self.opc.zeroize();
    }
}

// The cipher wipes its own round keys.
impl ZeroizeOnDrop for Milenage {}

impl fmt::Debug for Milenage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Milenage { .. }")
    }
}

/// What f2 to f5 give for one RAND. It is wiped on drop.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct Response {
    /// RES, the answer to the challenge: 64 bits, as IMS AKA uses it.
    pub res: [u8; 8],
    /// CK, the confidentiality key.
    pub ck: [u8; 16],
    /// IK, the integrity key.
    pub ik: [u8; 16],
    /// AK, the anonymity key that hides SQN in AUTN.
    pub ak: [u8; 6],
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Response { .. }")
    }
}

/// OPc = OP ⊕ E_K(OP) (TS 35.206 clause 4.1), for subscribers provisioned with OP.
#[must_use]
pub fn opc_from_op(k: &[u8; 16], op: &[u8; 16]) -> [u8; 16] {
    let mut block: Block = Array(*op);
    Aes128Enc::new(&Array(*k)).encrypt_block(&mut block);
    xor(&block.0, op)
}

/// TEMP of one challenge (TS 35.206 clause 4.1). It is wiped on drop.
#[derive(Zeroize, ZeroizeOnDrop)]
pub(crate) struct Temp([u8; 16]);

fn xor(a: &[u8; 16], b: &[u8; 16]) -> [u8; 16] {
    (u128::from_ne_bytes(*a) ^ u128::from_ne_bytes(*b)).to_ne_bytes()
}

/// Rotates towards the most significant bit by `BYTES`: all of r1 to r5 are whole bytes.
fn rotate<const BYTES: u32>(block: &[u8; 16]) -> [u8; 16] {
    u128::from_be_bytes(*block).rotate_left(8 * BYTES).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_data::milenage_sets;

    #[test]
    fn the_functions_are_those_of_ts_35_207_and_208() {
        for set in milenage_sets() {
            let milenage = Milenage::new(&set.k, &set.opc);
            assert_eq!(opc_from_op(&set.k, &set.op), set.opc);
            assert_eq!(milenage.f1(&set.rand, set.sqn, set.amf), set.mac_a);
            assert_eq!(milenage.f1_star(&set.rand, set.sqn, set.amf), set.mac_s);
            assert_eq!(milenage.f5_star(&set.rand), set.ak_star);
            let response = milenage.f2345(&set.rand);
            assert_eq!(response, Response { res: set.res, ck: set.ck, ik: set.ik, ak: set.ak });
        }
    }

    #[test]
    fn secrets_are_wiped_on_drop() {
        // The cipher does so only with its feature `zeroize`: this fails to compile without.
        const fn wipes<T: ZeroizeOnDrop>() {}
        wipes::<Aes128Enc>();
        wipes::<Milenage>();
    }

    #[test]
    fn debug_shows_no_secret() {
        let milenage = Milenage::new(&[0xaa; 16], &[0xbb; 16]);
        assert_eq!(format!("{milenage:?}"), "Milenage { .. }");
        assert_eq!(format!("{:?}", milenage.f2345(&[1; 16])), "Response { .. }");
    }
}
