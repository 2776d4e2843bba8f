//! Sequence numbers and their freshness (TS 33.102 annex C).
//!
//! SQN = SEQ (43 bits) ‖ IND (5 bits). IND picks one of 32 places of an array at the UE, so that
//! vectors of concurrent challenges may be used out of order without mutual resynchronisation.

/// How many values IND has: the length of the UE's array (TS 33.102 C.1.1.1).
pub const IND_COUNT: usize = 1 << IND_BITS;

/// Δ of TS 33.102 C.2.1: SEQ may exceed the highest accepted one by this much. A larger jump would
/// bring the counter nearer to its end than a life of use does.
pub const JUMP_LIMIT: u64 = 1 << 28;

/// L of TS 33.102 C.2.2: how far SEQ may lie below the highest accepted one. It bounds how long a
/// vector that was made and never used stays good. It is far above the 32 vectors that can be
/// outstanding at once, and below `u16::MAX`, which the compact array relies on.
pub const AGE_LIMIT: u64 = 1024;

const IND_BITS: u32 = 5;
const SQN_MASK: u64 = (1 << 48) - 1;
const SEQ_MASK: u64 = SQN_MASK >> IND_BITS;

const _: () = assert!(AGE_LIMIT < u16::MAX as u64);
const _: () = assert!(AGE_LIMIT > IND_COUNT as u64);
// One generator per subscriber and one array per emulated UE: there are millions of both.
const _: () = assert!(size_of::<Generator>() == 8);
const _: () = assert!(size_of::<Freshness>() <= 80);

/// A sequence number of 48 bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sqn(u64);

impl Sqn {
    /// The number of the lower 48 bits of `value`; the upper 16 are ignored.
    #[must_use]
    pub const fn new(value: u64) -> Self {
        Self(value & SQN_MASK)
    }

    /// SEQ ‖ IND, of the lower 43 bits of `seq` and the lower 5 of `ind`.
    #[must_use]
    pub const fn from_parts(seq: u64, ind: u8) -> Self {
        Self(((seq & SEQ_MASK) << IND_BITS) | (ind as u64 & (IND_COUNT as u64 - 1)))
    }

    /// Reads the number as AUTN and AUTS carry it, most significant byte first.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 6]) -> Self {
        let [a, b, c, d, e, f] = bytes;
        Self(u64::from_be_bytes([0, 0, a, b, c, d, e, f]))
    }

    /// The number as AUTN and AUTS carry it, most significant byte first.
    #[must_use]
    pub const fn to_bytes(self) -> [u8; 6] {
        let [_, _, a, b, c, d, e, f] = self.0.to_be_bytes();
        [a, b, c, d, e, f]
    }

    /// The number, below 2⁴⁸.
    #[must_use]
    pub const fn value(self) -> u64 {
        self.0
    }

    /// SEQ, below 2⁴³.
    #[must_use]
    pub const fn seq(self) -> u64 {
        self.0 >> IND_BITS
    }

    /// IND, below [`IND_COUNT`].
    #[must_use]
    pub const fn ind(self) -> usize {
        (self.0 & (IND_COUNT as u64 - 1)) as usize
    }
}

/// The HSS's side: SEQ rises by one and IND goes round, with each vector (TS 33.102 C.1.1.1 and the
/// profile of C.3.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Generator {
    last: Sqn,
}

impl Generator {
    /// Goes on after `last`, the last number that was used.
    #[must_use]
    pub const fn new(last: Sqn) -> Self {
        Self { last }
    }

    /// The number of the next vector.
    ///
    /// After the highest SEQ it starts again at zero. No use reaches that; a UE that claims it in
    /// AUTS shuts out itself, nobody else, and must not stop the HSS.
    #[expect(clippy::should_implement_trait, reason = "it never ends, and is no iterator")]
    pub const fn next(&mut self) -> Sqn {
        let ind = (self.last.ind() + 1) % IND_COUNT;
        self.last = Sqn::from_parts(self.last.seq().wrapping_add(1), ind as u8);
        self.last
    }

    /// The last number used: what a store writes down.
    #[must_use]
    pub const fn last(&self) -> Sqn {
        self.last
    }

    /// Takes note of SQN_MS from a verified AUTS (TS 33.102 6.3.5): if the UE would take the next
    /// number anyway, nothing changes; else SEQ goes on after that of the UE, upwards or, after too
    /// wide a jump, downwards. IND goes its round in either case.
    pub const fn resynchronise(&mut self, sqn_ms: Sqn) {
        let ahead = (self.last.seq() + 1).checked_sub(sqn_ms.seq());
        let fresh = matches!(ahead, Some(1..=JUMP_LIMIT));
        if !fresh {
            self.last = Sqn::from_parts(sqn_ms.seq(), self.last.ind() as u8);
        }
    }
}

/// SQN_MS: the highest number that the UE has accepted, sent back concealed in AUTS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SqnMs(pub Sqn);

/// The UE's side: for each IND the highest SEQ accepted (TS 33.102 C.2.2).
///
/// Kept as distances below the highest of all, in 16 bits each. A distance that does not fit is
/// beyond [`AGE_LIMIT`], where its value no longer matters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Freshness {
    highest: Sqn,
    below: [u16; IND_COUNT],
}

impl Freshness {
    /// A new USIM: nothing accepted yet, SQN_MS is 0.
    #[must_use]
    pub const fn new() -> Self {
        Self::after(Sqn(0))
    }

    /// A USIM that has accepted `sqn_ms`, and takes nothing older for any IND.
    #[must_use]
    pub const fn after(sqn_ms: Sqn) -> Self {
        Self { highest: sqn_ms, below: [0; IND_COUNT] }
    }

    /// Accepts `sqn` and remembers it, if its SEQ is above the one of its IND, not above the
    /// highest by more than [`JUMP_LIMIT`], nor below it by [`AGE_LIMIT`] (TS 33.102 C.2.2).
    ///
    /// # Errors
    /// [`SqnMs`] if it isn't fresh; nothing is remembered then (a synchronisation failure).
    pub fn accept(&mut self, sqn: Sqn) -> Result<(), SqnMs> {
        let highest = self.highest.seq();
        let of_ind = &mut self.below[sqn.ind()];
        if sqn.seq() > highest {
            let jump = sqn.seq() - highest;
            if jump > JUMP_LIMIT {
                return Err(SqnMs(self.highest));
            }
            let jump = u16::try_from(jump).unwrap_or(u16::MAX);
            for below in &mut self.below {
                *below = below.saturating_add(jump);
            }
            self.below[sqn.ind()] = 0;
            self.highest = sqn;
            return Ok(());
        }
        let age = highest - sqn.seq();
        if age >= AGE_LIMIT || age >= u64::from(*of_ind) {
            return Err(SqnMs(self.highest));
        }
        *of_ind = age as u16;
        Ok(())
    }

    /// SQN_MS: the highest number accepted.
    #[must_use]
    pub const fn sqn_ms(&self) -> Sqn {
        self.highest
    }
}

impl Default for Freshness {
    fn default() -> Self {
        Self::new()
    }
}
