//! Many packets sealed or opened together, each under its own keys: see [`Lanes`].

use crate::agreement::{LocalPort, SaSet};
use crate::associations::{Associations, Traffic};
use crate::lanes::{Job, Lanes};
use crate::packet::{OpenError, SealError, check, open_checked, write_packet};
use crate::transform::{ICV_LEN, IntegrityAlgorithm, Suite};
use core::cmp::Reverse;
use core::ops::Range;
use subtle::ConstantTimeEq;

/// How many packets a batch holds at most: a few times the lanes, so that packets of about one length come together, and few enough
/// for their bytes to stay in the nearest caches.
pub const BATCH_MAX: usize = 64;

/// Packets whose headers are written, and that are yet to be encrypted and signed.
///
/// Each has a copy of its set's keys, which is wiped when it is sealed: what becomes of the set meanwhile does not matter.
#[derive(Debug)]
pub struct SealBatch {
    lanes: Lanes,
    jobs: Vec<Job>,
}

impl SealBatch {
    /// An empty one. It allocates here, and never again.
    #[must_use]
    pub fn new(lanes: Lanes) -> Self {
        Self { lanes, jobs: Vec::with_capacity(BATCH_MAX) }
    }

    /// How many packets wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.jobs.len()
    }

    /// Whether no packet waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.jobs.is_empty()
    }

    /// Whether no more packet can wait, so that those that do have to be sealed first.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.jobs.len() == BATCH_MAX
    }

    /// Seals all packets that wait, where they are in `memory`; how many that were.
    ///
    /// # Panics
    /// If a packet is not within `memory`.
    pub fn seal_all(&mut self, memory: &mut [u8]) -> usize {
        let count = self.jobs.len();
        for suite in Suite::ALL {
            let places = Places::of(&self.jobs, self.lanes, |job| job.transform.suite() == suite);
            for group in places.as_slice().chunks(self.lanes.width()) {
                self.lanes.seal(suite, &mut self.jobs, group, memory);
            }
        }
        for job in &self.jobs {
            memory[job.icv_range()].copy_from_slice(&job.icv);
        }
        self.jobs.clear();
        count
    }
}

/// Packets that came together and are to be opened, each with a copy of its set's keys.
#[derive(Debug)]
pub struct OpenBatch {
    lanes: Lanes,
    jobs: Vec<Job>,
    is_authentic: [bool; BATCH_MAX],
}

/// A packet of an [`OpenBatch`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenTicket(u8);

impl OpenBatch {
    /// An empty one. It allocates here, and never again.
    #[must_use]
    pub fn new(lanes: Lanes) -> Self {
        let jobs = Vec::with_capacity(BATCH_MAX);
        Self { lanes, jobs, is_authentic: [false; BATCH_MAX] }
    }

    /// Forgets packets that were not opened.
    pub fn clear(&mut self) {
        self.jobs.clear();
    }

    /// Computes all packets' ICVs and decrypts those whose ICV is right, where they are in `memory`. The copies of their keys are wiped;
    /// their tickets hold until the next packet is taken in.
    ///
    /// # Panics
    /// If a packet is not within `memory`.
    pub fn run(&mut self, memory: &mut [u8]) {
        for algorithm in [IntegrityAlgorithm::HmacSha1_96, IntegrityAlgorithm::HmacMd5_96] {
            let is_in = |job: &Job| job.transform.suite().integrity == algorithm;
            let places = Places::of(&self.jobs, self.lanes, is_in);
            for group in places.as_slice().chunks(self.lanes.width()) {
                self.lanes.icvs(algorithm, &mut self.jobs, group, memory);
            }
        }
        for (job, is_authentic) in self.jobs.iter().zip(&mut self.is_authentic) {
            *is_authentic = job.icv.ct_eq(&memory[job.icv_range()]).into();
            if *is_authentic && job.transform.has_encryption() {
                self.lanes.decrypt(job, memory);
            }
        }
        self.jobs.clear();
    }
}

impl SaSet {
    /// As [`SaSet::seal`], except that encryption and ICV wait for [`SealBatch::seal_all`]: what is in the buffer until then is not
    /// protected. `buffer` begins at `buffer_start` of the memory that it is given then.
    ///
    /// # Errors
    /// As [`SaSet::seal`]; nothing waits then.
    ///
    /// # Panics
    /// As [`SaSet::seal`]; and if the batch is full, or the memory is larger than 4 GiB.
    #[inline]
    pub fn seal_later(
        &mut self,
        port: LocalPort,
        batch: &mut SealBatch,
        buffer: &mut [u8],
        buffer_start: usize,
        payload: Range<usize>,
        iv_seed: u64,
    ) -> Result<Range<usize>, SealError> {
        let traffic = self.traffic(port);
        self.associations.seal_later(&traffic, batch, buffer, buffer_start, payload, iv_seed)
    }

    /// Takes a packet that came at `port` into a batch, to be opened by [`OpenBatch::run`] and [`SaSet::open_now`]. Nothing if it would
    /// be refused anyway, or if there is no room: then [`SaSet::open`] is to be asked. `packet` begins at `packet_start` of the memory
    /// that the batch is given then.
    ///
    /// # Panics
    /// If the memory is larger than 4 GiB.
    #[inline]
    pub fn open_later(
        &self,
        port: LocalPort,
        batch: &mut OpenBatch,
        packet: &[u8],
        packet_start: usize,
    ) -> Option<OpenTicket> {
        self.associations.open_later(port, batch, packet, packet_start)
    }

    /// Opens a packet of a batch after its [`OpenBatch::run`], with the same effects as [`SaSet::open`]: the packets of a batch are to be
    /// opened in the order in which they came, by the set that [`SaSet::open_later`] was asked of.
    ///
    /// # Errors
    /// As [`SaSet::open`].
    #[inline]
    pub fn open_now(
        &mut self,
        port: LocalPort,
        batch: &OpenBatch,
        ticket: OpenTicket,
        packet: &[u8],
    ) -> Result<Range<usize>, OpenError> {
        let traffic = self.traffic(port);
        self.associations.open_now(&traffic, batch, ticket, packet)
    }
}

impl Associations {
    /// As [`SaSet::seal_later`].
    ///
    /// # Errors
    /// As [`SaSet::seal`]; nothing waits then.
    ///
    /// # Panics
    /// As [`SaSet::seal_later`].
    #[inline]
    pub fn seal_later(
        &mut self,
        traffic: &Traffic,
        batch: &mut SealBatch,
        buffer: &mut [u8],
        buffer_start: usize,
        payload: Range<usize>,
        iv_seed: u64,
    ) -> Result<Range<usize>, SealError> {
        assert!(!batch.is_full(), "a batch that is full is sealed first");
        let (mode, selectors, lanes) = (traffic.mode, &traffic.selectors, batch.lanes);
        let (transform, sa) = self.outbound_mut(traffic.port);
        let written =
            write_packet(lanes, transform, sa, selectors, mode, buffer, payload, iv_seed)?;
        let at = |place: usize| u32::try_from(buffer_start + place).expect("a memory below 4 GiB");
        batch.jobs.push(Job {
            transform: transform.duplicate(),
            iv_block: written.iv_block,
            icv: [0; ICV_LEN],
            start: at(written.start),
            icv_start: at(written.icv_start),
        });
        Ok(written.start..written.icv_start + ICV_LEN)
    }

    /// As [`SaSet::open_later`].
    ///
    /// # Panics
    /// If the memory is larger than 4 GiB.
    #[inline]
    pub fn open_later(
        &self,
        port: LocalPort,
        batch: &mut OpenBatch,
        packet: &[u8],
        packet_start: usize,
    ) -> Option<OpenTicket> {
        if batch.jobs.len() == BATCH_MAX {
            return None;
        }
        let (_, text_end) = check(&self.transform, self.inbound(port), packet).ok()?;
        let at = |place: usize| u32::try_from(packet_start + place).expect("a memory below 4 GiB");
        batch.jobs.push(Job {
            transform: self.transform.duplicate(),
            iv_block: [0; _],
            icv: [0; ICV_LEN],
            start: at(0),
            icv_start: at(text_end),
        });
        Some(OpenTicket(batch.jobs.len() as u8 - 1))
    }

    /// As [`SaSet::open_now`].
    ///
    /// # Errors
    /// As [`SaSet::open`].
    #[inline]
    pub fn open_now(
        &mut self,
        traffic: &Traffic,
        batch: &OpenBatch,
        ticket: OpenTicket,
        packet: &[u8],
    ) -> Result<Range<usize>, OpenError> {
        let (transform, sa) = self.inbound_mut(traffic.port);
        // Packets before this one may have moved the window.
        let (sequence, text_end) = check(transform, sa, packet)?;
        if !batch.is_authentic[usize::from(ticket.0)] {
            return Err(OpenError::IntegrityFailed);
        }
        sa.window.update(sequence)?;
        open_checked(batch.lanes, transform, &traffic.selectors, traffic.mode, packet, text_end)
    }
}

/// Some of a batch's packets: where there are more than lanes, the longest first, so that those that share the lanes end together.
struct Places {
    places: [u8; BATCH_MAX],
    len: usize,
}

impl Places {
    fn of(jobs: &[Job], lanes: Lanes, is_in: impl Fn(&Job) -> bool) -> Self {
        let mut this = Self { places: [0; BATCH_MAX], len: 0 };
        for (place, job) in jobs.iter().enumerate() {
            this.places[this.len] = place as u8;
            this.len += usize::from(is_in(job));
        }
        if this.len > lanes.width() {
            let len = |place: &u8| jobs[usize::from(*place)].authenticated().len();
            this.places[..this.len].sort_unstable_by_key(|place| Reverse(len(place)));
        }
        this
    }

    fn as_slice(&self) -> &[u8] {
        &self.places[..self.len]
    }
}

#[cfg(test)]
mod tests;
