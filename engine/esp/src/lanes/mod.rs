//! Many packets at once, each with keys of its own: HMAC and AES-CBC in the lanes of wide registers.
//!
//! One packet of a kilobyte is a long chain of dependent steps, in which most of the processor waits. Packets of different
//! associations depend on each other in nothing, so that as many as there are lanes take little longer than one.
//!
//! This is the crate's only module with `unsafe`: for intrinsics that need a processor's features, which a [`Lanes`] proves, and
//! for reading and writing through the lanes' pointers.

// A lane's number finds it in several arrays.
#![allow(clippy::needless_range_loop)]

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "x86_64")]
mod cbc;
#[cfg(target_arch = "x86_64")]
mod fused;
#[cfg(target_arch = "x86_64")]
mod hmac;
mod prefetch;
#[cfg(target_arch = "x86_64")]
mod rounds;
#[cfg(test)]
mod tests;

use crate::inner::sum_of;
use crate::packet::HEADER_LEN;
use crate::transform::{
    BLOCK_LEN, EncryptionAlgorithm, ICV_LEN, IntegrityAlgorithm, Suite, TransformState,
};
use core::fmt;
use core::ops::Range;
#[cfg(target_arch = "x86_64")]
use hmac::Hash;

pub use prefetch::prefetch;

/// What computes many packets at once on this processor. A value of this type proves that the processor can.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Lanes(Kind);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// AVX-512 and VAES.
    #[cfg(target_arch = "x86_64")]
    Avx512,
    /// AVX2 and AES-NI.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// One packet after the other, by the crates `aes`, `sha1` and `md-5`.
    Portable,
}

impl Lanes {
    /// The widest that this processor has.
    #[must_use]
    pub fn detect() -> Self {
        Self::available().next().unwrap_or(Self::PORTABLE)
    }

    /// All that this processor has, the widest first.
    pub fn available() -> impl Iterator<Item = Self> {
        #[cfg(target_arch = "x86_64")]
        let wide = [
            avx512::is_available().then_some(Self(Kind::Avx512)),
            avx2::is_available().then_some(Self(Kind::Avx2)),
        ];
        #[cfg(not(target_arch = "x86_64"))]
        let wide = [None];
        wide.into_iter().flatten().chain([Self::PORTABLE])
    }

    /// What every processor has: one packet after the other.
    pub const PORTABLE: Self = Self(Kind::Portable);

    /// Its name, for logs and benches.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512 => "avx512",
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2 => "avx2",
            Kind::Portable => "portable",
        }
    }

    /// How many packets it takes at once.
    pub(crate) const fn width(self) -> usize {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512 => 16,
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2 => 8,
            Kind::Portable => usize::MAX,
        }
    }

    /// Encrypts the jobs in `places`, no more than there are lanes and all of one suite, and computes their ICVs.
    pub(crate) fn seal(self, suite: Suite, jobs: &mut [Job], places: &[u8], memory: &mut [u8]) {
        #[cfg(target_arch = "x86_64")]
        if self.0 == Kind::Avx512
            && suite.integrity == IntegrityAlgorithm::HmacSha1_96
            && suite.encryption == EncryptionAlgorithm::AesCbc
            && places.len() > avx512::Sha1::FEW
        {
            // SAFETY: this value proves the features.
            return unsafe { fused::seal::<avx512::Sha1, 5, 16>(jobs, places, memory) };
        }
        if suite.encryption == EncryptionAlgorithm::AesCbc {
            self.encrypt(jobs, places, memory);
        }
        self.icvs(suite.integrity, jobs, places, memory);
    }

    /// Writes the IVs of the jobs in `places`, no more than there are lanes, and encrypts behind them.
    pub(crate) fn encrypt(self, jobs: &[Job], places: &[u8], memory: &mut [u8]) {
        match self.0 {
            // SAFETY: this value proves the features.
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512 if places.len() > 1 => unsafe {
                cbc::encrypt::<avx512::Aes, 16>(jobs, places, memory);
            },
            // SAFETY: this value proves the features.
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2 if places.len() > 1 => unsafe {
                cbc::encrypt::<avx2::Aes, 8>(jobs, places, memory);
            },
            _ => {
                for place in places {
                    let job = &jobs[usize::from(*place)];
                    job.transform.encrypt(job.iv_block, &mut memory[job.text()]);
                }
            }
        }
    }

    /// Computes the ICVs of the jobs in `places`, no more than there are lanes and all of one algorithm.
    pub(crate) fn icvs(
        self,
        algorithm: IntegrityAlgorithm,
        jobs: &mut [Job],
        places: &[u8],
        memory: &[u8],
    ) {
        use IntegrityAlgorithm::{HmacMd5_96, HmacSha1_96};
        #[cfg(target_arch = "x86_64")]
        match (self.0, algorithm) {
            (Kind::Avx512, HmacSha1_96) if places.len() > avx512::Sha1::FEW => {
                // SAFETY: this value proves the features.
                return unsafe { hmac::icvs::<avx512::Sha1, 5, 16>(jobs, places, memory) };
            }
            (Kind::Avx512, HmacMd5_96) if places.len() > avx512::Md5::FEW => {
                // SAFETY: this value proves the features.
                return unsafe { hmac::icvs::<avx512::Md5, 4, 16>(jobs, places, memory) };
            }
            (Kind::Avx2, HmacSha1_96) if places.len() > avx2::Sha1::FEW => {
                // SAFETY: this value proves the features.
                return unsafe { hmac::icvs::<avx2::Sha1, 5, 8>(jobs, places, memory) };
            }
            (Kind::Avx2, HmacMd5_96) if places.len() > avx2::Md5::FEW => {
                // SAFETY: this value proves the features.
                return unsafe { hmac::icvs::<avx2::Md5, 4, 8>(jobs, places, memory) };
            }
            _ => {}
        }
        for place in places {
            let job = &mut jobs[usize::from(*place)];
            job.icv = job.transform.icv(&memory[job.authenticated()]);
        }
    }

    /// The sum of the 16-bit words of a datagram's bytes, as [`sum_of`] has it.
    #[inline]
    pub(crate) fn sum(self, bytes: &[u8]) -> u64 {
        match self.0 {
            // SAFETY: this value proves the features.
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512 => unsafe { avx512::sum(bytes, sum_of) },
            // SAFETY: this value proves the features.
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2 => unsafe { avx2::sum(bytes, sum_of) },
            Kind::Portable => sum_of(bytes),
        }
    }

    /// Decrypts a job's text in place.
    pub(crate) fn decrypt(self, job: &Job, memory: &mut [u8]) {
        let text = &mut memory[job.text()];
        #[cfg(target_arch = "x86_64")]
        if self.0 == Kind::Avx512 {
            let (blocks, rest) = text.as_chunks_mut::<BLOCK_LEN>();
            assert!(rest.is_empty());
            // SAFETY: this value proves the features.
            return unsafe { avx512::decrypt_cbc(job.transform.encryption_key(), blocks) };
        }
        job.transform.decrypt(text);
    }
}

impl fmt::Debug for Lanes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One packet to be sealed or opened, with a copy of its set's keys: the set may be gone before its turn comes. The copy is wiped
/// on drop.
#[derive(Debug)]
pub(crate) struct Job {
    pub transform: TransformState,
    /// What the IV is the encryption of, where there is one to be made.
    pub iv_block: [u8; BLOCK_LEN],
    /// The ICV as computed.
    pub icv: [u8; ICV_LEN],
    /// Where in the memory the packet starts, and where its ICV does.
    pub start: u32,
    pub icv_start: u32,
}

impl Job {
    /// All of the packet in front of the ICV (RFC 4303 2.8).
    pub fn authenticated(&self) -> Range<usize> {
        self.start as usize..self.icv_start as usize
    }

    /// IV and ciphertext.
    pub fn text(&self) -> Range<usize> {
        self.start as usize + HEADER_LEN..self.icv_start as usize
    }

    /// Where the ICV belongs.
    pub fn icv_range(&self) -> Range<usize> {
        let start = self.icv_start as usize;
        start..start + ICV_LEN
    }
}
