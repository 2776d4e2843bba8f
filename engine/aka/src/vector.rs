//! Authentication vectors: made by the HSS, answered by the UE (TS 33.102 clause 6.3).

use crate::milenage::Milenage;
use crate::sqn::{Freshness, Sqn, SqnMs};
use core::fmt;
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// AMF* of AUTS: all zero, so that it need not be sent (TS 33.102 6.3.3).
const AMF_STAR: [u8; 2] = [0; 2];

/// What the HSS gives to the S-CSCF for one challenge. It is wiped on drop.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct AuthenticationVector {
    /// RAND, the challenge.
    pub rand: [u8; 16],
    /// AUTN = (SQN ⊕ AK) ‖ AMF ‖ MAC-A, by which the UE knows the network.
    pub autn: [u8; 16],
    /// XRES, the answer expected.
    pub xres: [u8; 8],
    /// CK, the confidentiality key.
    pub ck: [u8; 16],
    /// IK, the integrity key.
    pub ik: [u8; 16],
}

impl fmt::Debug for AuthenticationVector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AuthenticationVector { .. }")
    }
}

/// What the UE has after it accepted a challenge. It is wiped on drop.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct UeResponse {
    /// RES, the password of the digest.
    pub res: [u8; 8],
    /// CK, the confidentiality key.
    pub ck: [u8; 16],
    /// IK, the integrity key.
    pub ik: [u8; 16],
}

impl fmt::Debug for UeResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("UeResponse { .. }")
    }
}

/// Why the UE refuses a challenge (TS 33.102 6.3.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// MAC-A is wrong: the network does not know K. The UE answers without `auts`.
    MacFailure,
    /// The network knows K, but SQN is not fresh.
    SqnOutOfRange {
        /// AUTS = (SQN_MS ⊕ AK*) ‖ MAC-S, for the network.
        auts: [u8; 14],
    },
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::MacFailure => "AUTN's MAC-A is not the one computed from K",
            Self::SqnOutOfRange { .. } => "AUTN's SQN is not fresh",
        })
    }
}

impl core::error::Error for Refusal {}

/// AUTS was not made with the subscriber's K for this RAND.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MacSFailure;

impl fmt::Display for MacSFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MAC-S in AUTS is not the one computed from K and RAND")
    }
}

impl core::error::Error for MacSFailure {}

/// HSS: makes the vector of `rand` and `sqn` (TS 33.102 6.3.2). `rand` must be unpredictable.
#[must_use]
pub fn generate(
    milenage: &Milenage,
    amf: [u8; 2],
    sqn: Sqn,
    rand: [u8; 16],
) -> AuthenticationVector {
    let temp = milenage.temp(&rand);
    let response = milenage.f2345_of(&temp);
    let (mac_a, _) = milenage.mac_pair(&temp, sqn.to_bytes(), amf);
    let mut autn = [0; 16];
    autn[..6].copy_from_slice(&xor(sqn.to_bytes(), response.ak));
    autn[6..8].copy_from_slice(&amf);
    autn[8..].copy_from_slice(&mac_a);
    AuthenticationVector { rand, autn, xres: response.res, ck: response.ck, ik: response.ik }
}

/// UE: checks the network's AUTN, then the freshness of its SQN, and answers (TS 33.102 6.3.3).
///
/// `freshness` remembers the SQN if it is accepted, and is left alone otherwise.
///
/// # Errors
/// [`Refusal::MacFailure`] if AUTN was not made from this K; [`Refusal::SqnOutOfRange`] with AUTS if
/// it was, but is not fresh.
pub fn answer(
    milenage: &Milenage,
    freshness: &mut Freshness,
    rand: &[u8; 16],
    autn: &[u8; 16],
) -> Result<UeResponse, Refusal> {
    answer_with(milenage, |sqn| freshness.accept(sqn), rand, autn)
}

/// As [`answer`], for a USIM that is kept otherwise: `accept` is what [`Freshness::accept`] is.
///
/// # Errors
/// As [`answer`].
pub fn answer_with(
    milenage: &Milenage,
    accept: impl FnOnce(Sqn) -> Result<(), SqnMs>,
    rand: &[u8; 16],
    autn: &[u8; 16],
) -> Result<UeResponse, Refusal> {
    let temp = milenage.temp(rand);
    let response = milenage.f2345_of(&temp);
    let [a, b, c, d, e, f, amf @ .., _, _, _, _, _, _, _, _] = *autn;
    let sqn = xor([a, b, c, d, e, f], response.ak);
    let (mac_a, _) = milenage.mac_pair(&temp, sqn, amf);
    if !bool::from(mac_a.ct_eq(&autn[8..])) {
        return Err(Refusal::MacFailure);
    }
    if let Err(sqn_ms) = accept(Sqn::from_bytes(sqn)) {
        let sqn_ms = sqn_ms.0.to_bytes();
        let (_, mac_s) = milenage.mac_pair(&temp, sqn_ms, AMF_STAR);
        let mut auts = [0; 14];
        auts[..6].copy_from_slice(&xor(sqn_ms, milenage.f5_star_of(&temp)));
        auts[6..].copy_from_slice(&mac_s);
        return Err(Refusal::SqnOutOfRange { auts });
    }
    Ok(UeResponse { res: response.res, ck: response.ck, ik: response.ik })
}

/// HSS: checks AUTS against the RAND that was sent, and reveals SQN_MS (TS 33.102 6.3.5), for
/// [`crate::Generator::resynchronise`].
///
/// # Errors
/// [`MacSFailure`] if AUTS is not from this K and RAND: SQN_MS must not be believed then.
pub fn resynchronise(
    milenage: &Milenage,
    rand: &[u8; 16],
    auts: &[u8; 14],
) -> Result<Sqn, MacSFailure> {
    let temp = milenage.temp(rand);
    let [a, b, c, d, e, f, mac_s @ ..] = *auts;
    let sqn_ms = xor([a, b, c, d, e, f], milenage.f5_star_of(&temp));
    let (_, expected) = milenage.mac_pair(&temp, sqn_ms, AMF_STAR);
    if !bool::from(expected.ct_eq(&mac_s)) {
        return Err(MacSFailure);
    }
    Ok(Sqn::from_bytes(sqn_ms))
}

fn xor(a: [u8; 6], b: [u8; 6]) -> [u8; 6] {
    core::array::from_fn(|i| a[i] ^ b[i])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sqn::Generator;
    use crate::test_data::milenage_sets;

    #[test]
    fn vectors_are_those_of_the_sets() {
        for set in milenage_sets() {
            let milenage = Milenage::new(&set.k, &set.opc);
            let sqn = Sqn::from_bytes(set.sqn);
            let vector = generate(&milenage, set.amf, sqn, set.rand);
            assert_eq!(vector.autn, set.autn);
            assert_eq!((vector.xres, vector.ck, vector.ik), (set.res, set.ck, set.ik));

            let before = Sqn::from_parts(sqn.seq() - 1, 0);
            let mut freshness = Freshness::after(before);
            let response = answer(&milenage, &mut freshness, &set.rand, &set.autn).unwrap();
            assert_eq!(response, UeResponse { res: set.res, ck: set.ck, ik: set.ik });
            assert_eq!(freshness.sqn_ms(), sqn);

            // The same once more: SQN_MS is this SQN now.
            let again = answer(&milenage, &mut freshness, &set.rand, &set.autn);
            assert_eq!(again, Err(Refusal::SqnOutOfRange { auts: set.auts }));
            assert_eq!(resynchronise(&milenage, &set.rand, &set.auts), Ok(sqn));
        }
    }

    #[test]
    fn each_flipped_bit_of_autn_and_auts_is_found() {
        let set = &milenage_sets()[0];
        let milenage = Milenage::new(&set.k, &set.opc);
        let mut freshness = Freshness::new();
        for bit in 0..128 {
            let mut autn = set.autn;
            autn[bit / 8] ^= 1 << (bit % 8);
            let refused = answer(&milenage, &mut freshness, &set.rand, &autn);
            assert_eq!(refused, Err(Refusal::MacFailure), "bit {bit}");
        }
        assert_eq!(freshness, Freshness::new(), "a forgery is not remembered");
        for bit in 0..112 {
            let mut auts = set.auts;
            auts[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(resynchronise(&milenage, &set.rand, &auts), Err(MacSFailure));
        }
        let other_rand = [0; 16];
        assert_eq!(resynchronise(&milenage, &other_rand, &set.auts), Err(MacSFailure));
    }

    #[test]
    fn a_hss_that_lost_its_numbers_catches_up() {
        let milenage = Milenage::new(&[1; 16], &[2; 16]);
        let mut freshness = Freshness::after(Sqn::from_parts(1000, 3));
        let mut hss = Generator::new(Sqn::new(0));
        let stale = generate(&milenage, [0x80, 0], hss.next(), [3; 16]);
        let refusal = answer(&milenage, &mut freshness, &stale.rand, &stale.autn);
        let Err(Refusal::SqnOutOfRange { auts }) = refusal else { panic!("{refusal:?}") };
        hss.resynchronise(resynchronise(&milenage, &stale.rand, &auts).unwrap());
        let fresh = generate(&milenage, [0x80, 0], hss.next(), [4; 16]);
        let response = answer(&milenage, &mut freshness, &fresh.rand, &fresh.autn).unwrap();
        assert_eq!(response.res, fresh.xres);
        assert_eq!((response.ck, response.ik), (fresh.ck, fresh.ik));
    }
}
