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
// There are millions of both: one generator per subscriber, and one array per emulated UE, which is kept shorter (`Usims`).
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

    pub(crate) const fn from_parts(highest: Sqn, below: [u16; IND_COUNT]) -> Self {
        Self { highest, below }
    }

    pub(crate) const fn below(&self) -> &[u16; IND_COUNT] {
        &self.below
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_number_is_seq_and_ind() {
        let sqn = Sqn::from_bytes([0xff, 0x9b, 0xb4, 0xd0, 0xb6, 0x07]);
        assert_eq!(sqn.value(), 0xff9b_b4d0_b607);
        assert_eq!((sqn.seq(), sqn.ind()), (0xff9b_b4d0_b607 >> 5, 7));
        assert_eq!(Sqn::from_parts(sqn.seq(), 7), sqn);
        assert_eq!(sqn.to_bytes(), [0xff, 0x9b, 0xb4, 0xd0, 0xb6, 0x07]);
        assert_eq!(Sqn::new(u64::MAX).value(), (1 << 48) - 1);
    }

    #[test]
    fn vectors_of_concurrent_challenges_may_be_used_in_any_order_once() {
        let (mut generator, mut freshness) = (Generator::default(), Freshness::new());
        let mut numbers: Vec<_> = (0..IND_COUNT).map(|_| generator.next()).collect();
        numbers.reverse();
        for &sqn in &numbers {
            assert_eq!(freshness.accept(sqn), Ok(()), "{sqn:?}");
        }
        let highest = numbers[0];
        for &sqn in &numbers {
            assert_eq!(freshness.accept(sqn), Err(SqnMs(highest)), "{sqn:?}");
        }
    }

    #[test]
    fn zero_and_what_is_too_old_or_too_far_is_refused() {
        let mut freshness = Freshness::new();
        assert_eq!(freshness.accept(Sqn::new(0)), Err(SqnMs(Sqn::new(0))));
        let far = Sqn::from_parts(JUMP_LIMIT, 1);
        assert!(freshness.accept(Sqn::from_parts(JUMP_LIMIT + 1, 1)).is_err());
        assert_eq!(freshness.accept(far), Ok(()));
        assert!(freshness.accept(Sqn::from_parts(JUMP_LIMIT - AGE_LIMIT, 2)).is_err());
        assert_eq!(freshness.accept(Sqn::from_parts(JUMP_LIMIT - AGE_LIMIT + 1, 2)), Ok(()));
        assert_eq!(freshness.sqn_ms(), far);
    }

    #[test]
    fn resynchronisation_goes_up_and_down_and_only_when_needed() {
        let at = |seq| Generator::new(Sqn::from_parts(seq, 9));
        // (SEQ of the HSS, SEQ_MS, SEQ of the next vector)
        for (seq, seq_ms, expected) in [
            (100, 100, 101),
            (100, 500, 501),
            (99, 100, 101),
            (500, 100, 501),
            (JUMP_LIMIT + 99, 100, JUMP_LIMIT + 100),
            (JUMP_LIMIT + 100, 100, 101),
            (100, SEQ_MASK, 0),
        ] {
            let mut generator = at(seq);
            generator.resynchronise(Sqn::from_parts(seq_ms, 30));
            assert_eq!(generator.next(), Sqn::from_parts(expected, 10), "{seq} {seq_ms}");
        }
    }

    /// TS 33.102 C.2.2 as it is written, with SEQ_MS in full.
    fn accept_as_written(seq_ms: &mut [u64; IND_COUNT], sqn: Sqn) -> bool {
        let highest = *seq_ms.iter().max().unwrap();
        let fresh = sqn.seq() > seq_ms[sqn.ind()]
            && sqn.seq() <= highest + JUMP_LIMIT
            && sqn.seq() + AGE_LIMIT > highest;
        if fresh {
            seq_ms[sqn.ind()] = sqn.seq();
        }
        fresh
    }

    proptest! {
        #[test]
        fn the_compact_array_is_the_whole_one(
            steps in proptest::collection::vec((-1100i64..1100, 0u8..32, 0u8..20), 1..200),
        ) {
            let (mut freshness, mut seq_ms) = (Freshness::new(), [0; IND_COUNT]);
            for (distance, ind, scale) in steps {
                let distance = if scale < 17 { distance } else { distance << 18 };
                let seq = freshness.sqn_ms().seq().saturating_add_signed(distance);
                let sqn = Sqn::from_parts(seq, ind);
                let expected = accept_as_written(&mut seq_ms, sqn);
                prop_assert_eq!(freshness.accept(sqn).is_ok(), expected, "{:?}", sqn);
                prop_assert_eq!(freshness.sqn_ms().seq(), *seq_ms.iter().max().unwrap());
            }
        }

        #[test]
        fn one_resynchronisation_is_enough(hss in any::<u64>(), ue in 0u64..1 << 47, ind in 0u8..32) {
            let mut generator = Generator::new(Sqn::new(hss));
            let mut freshness = Freshness::after(Sqn::from_parts(ue >> 5, ind));
            if let Err(SqnMs(sqn_ms)) = freshness.accept(generator.next()) {
                generator.resynchronise(sqn_ms);
                prop_assert_eq!(freshness.accept(generator.next()), Ok(()));
            }
        }
    }
}
