//! Authentication and key agreement: what the USIM, the HSS and the S-CSCF compute.
//!
//! It holds MILENAGE (TS 35.206), the sequence numbers of TS 33.102 annex C, authentication
//! vectors (TS 33.102 clause 6.3) and HTTP Digest with AKA (RFC 3310, RFC 4169) or a password
//! (RFC 2617). It is no subscriber store, knows no SIP header, and draws no randomness: RAND is an
//! argument.
//!
//! A challenge passes through it so: the HSS takes [`Generator::next`] and calls [`generate`]; the
//! S-CSCF writes RAND and AUTN with [`encode_nonce`]; the UE reads them with [`decode_nonce`],
//! calls [`answer`] and writes [`response`]; the S-CSCF computes the same [`response`] from XRES
//! and compares with [`verify`]. If the UE refuses the SQN instead, the HSS reads AUTS with
//! [`decode_auts`], checks it with [`resynchronise`], and tells its [`Generator`].
#![forbid(unsafe_code)]

mod digest;
mod milenage;
mod sqn;
#[cfg(test)]
mod test_data;
mod usims;
mod vector;

pub use digest::{
    AUTS_TEXT_LEN, AutsError, DigestInput, NONCE_TEXT_LEN, NonceError, Qop, akav2_md5_password,
    decode_auts, decode_nonce, encode_auts, encode_nonce, response, verify,
};
pub use milenage::{Milenage, Response, opc_from_op};
pub use sqn::{AGE_LIMIT, Freshness, Generator, IND_COUNT, JUMP_LIMIT, Sqn, SqnMs};
pub use usims::Usims;
pub use vector::{
    AuthenticationVector, MacSFailure, Refusal, UeResponse, answer, answer_with, generate,
    resynchronise,
};
