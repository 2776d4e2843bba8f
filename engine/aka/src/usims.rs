//! What many USIMs keep of sequence numbers, each in 16 bytes as long as its network numbers its vectors one after the other.

use crate::sqn::{Freshness, IND_COUNT, Sqn, SqnMs};

/// How far back numbers are known by a bit: two rounds of IND.
const STEPS: usize = 2 * IND_COUNT;
const _: () = assert!(STEPS == u64::BITS as usize);

const SQN_BITS: u32 = 48;
/// In the second word: the array stands elsewhere.
const IS_WHOLE: u64 = 1;
/// The bit of the highest number, which need not be said.
const HIGHEST: u64 = 1;

/// [`Freshness`] of each of a number of users, exactly as it was put in.
///
/// A network that lets SEQ and IND rise by one with each vector (TS 33.102 C.1.1.1, and the profile of C.3.2) leaves an array in which
/// the place that is n before the highest number's holds the number that is n before it, or n + 32, or nothing since the beginning:
/// a bit for each such number, and one value for all places that none of the bits is of. An array that has come about otherwise is
/// kept as it is, for good.
#[derive(Debug)]
pub struct Usims {
    /// By user: the highest number (48 bits) and how far below it the other places are (16 bits); then a bit for each number that was
    /// accepted, which bit 0 of the highest itself need not be, or the array's place and [`IS_WHOLE`]. All zero is a new USIM.
    short: Vec<[u64; 2]>,
    whole: Vec<[u16; IND_COUNT]>,
}

impl Usims {
    /// New USIMs, so many. Their memory is reserved at once, and touched as they are used.
    #[must_use]
    pub fn new(count: usize) -> Self {
        Self { short: vec![[0; 2]; count], whole: Vec::with_capacity(count) }
    }

    /// Bytes that they take.
    #[must_use]
    pub fn bytes(&self) -> usize {
        size_of_val(&self.short[..]) + size_of_val(&self.whole[..])
    }

    /// [`Freshness::accept`] of a user's USIM.
    ///
    /// # Errors
    /// As [`Freshness::accept`].
    ///
    /// # Panics
    /// If there is no such user.
    pub fn accept(&mut self, user: usize, sqn: Sqn) -> Result<(), SqnMs> {
        let [first, second] = &mut self.short[user];
        let highest = Sqn::new(*first);
        let is_next =
            sqn.seq() == highest.seq() + 1 && sqn.ind() == (highest.ind() + 1) % IND_COUNT;
        if is_next && *second & IS_WHOLE == 0 {
            // All others are one further below it. What is two rounds before it was in its place.
            let others = (*first >> SQN_BITS) as u16;
            *first = sqn.value() | u64::from(others.saturating_add(1)) << SQN_BITS;
            *second = (*second | HIGHEST) << 1;
            return Ok(());
        }
        let mut freshness = self.get(user);
        freshness.accept(sqn)?;
        self.set(user, &freshness);
        Ok(())
    }

    /// What a user's USIM keeps.
    ///
    /// # Panics
    /// If there is no such user.
    #[must_use]
    pub fn get(&self, user: usize) -> Freshness {
        let [first, second] = self.short[user];
        let highest = Sqn::new(first);
        if second & IS_WHOLE != 0 {
            return Freshness::from_parts(highest, self.whole[(second >> 1) as usize]);
        }
        let mut below = [(first >> SQN_BITS) as u16; IND_COUNT];
        for (distance, place) in places(highest) {
            let is_seen = |distance: usize| second >> distance & 1 != 0;
            if distance == 0 || is_seen(distance) {
                below[place] = distance as u16;
            } else if is_seen(distance + IND_COUNT) {
                below[place] = (distance + IND_COUNT) as u16;
            }
        }
        Freshness::from_parts(highest, below)
    }

    /// Keeps what a user's USIM keeps from now on.
    ///
    /// # Panics
    /// If there is no such user.
    pub fn set(&mut self, user: usize, freshness: &Freshness) {
        let highest = freshness.sqn_ms();
        let kept = &mut self.short[user];
        if kept[1] & IS_WHOLE != 0 {
            kept[0] = highest.value();
            self.whole[(kept[1] >> 1) as usize] = *freshness.below();
        } else if let Some(short) = shorten(highest, freshness.below()) {
            *kept = short;
        } else {
            *kept = [highest.value(), (self.whole.len() as u64) << 1 | IS_WHOLE];
            self.whole.push(*freshness.below());
        }
    }
}

/// The places of the array, from that of the highest number backwards, each with its distance.
fn places(highest: Sqn) -> impl Iterator<Item = (usize, usize)> {
    (0..IND_COUNT)
        .map(move |distance| (distance, (highest.ind() + IND_COUNT - distance) % IND_COUNT))
}

/// The two words of an array; nothing for one that they can't say.
fn shorten(highest: Sqn, below: &[u16; IND_COUNT]) -> Option<[u64; 2]> {
    let (mut others, mut seen) = (None, 0);
    for (distance, place) in places(highest) {
        let value = below[place];
        if usize::from(value) == distance {
            seen |= 1_u64 << distance;
        } else if usize::from(value) == distance + IND_COUNT {
            seen |= 1 << (distance + IND_COUNT);
        } else if distance == 0 || *others.get_or_insert(value) != value {
            return None;
        }
    }
    let others = u64::from(others.unwrap_or(0));
    // The highest number itself needs no bit.
    Some([highest.value() | others << SQN_BITS, seen & !HIGHEST])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sqn::Generator;
    use proptest::prelude::*;

    #[test]
    fn vectors_in_order_take_sixteen_bytes_for_ever() {
        let (mut usims, mut hss) = (Usims::new(2), Generator::default());
        assert_eq!(usims.get(1), Freshness::new());
        let mut expected = Freshness::new();
        for round in 0..500 {
            // Some never reach the UE, one comes twice.
            let sqn = hss.next();
            if round % 7 == 3 {
                continue;
            }
            assert_eq!(usims.accept(1, sqn), expected.accept(sqn));
            assert!(usims.accept(1, sqn).is_err());
            assert_eq!(usims.get(1), expected, "{round}");
        }
        assert_eq!(usims.get(0), Freshness::new());
        assert!(usims.whole.is_empty());
    }

    #[test]
    fn a_usim_of_another_network_is_kept_as_it_is() {
        let mut usims = Usims::new(1);
        let mut expected = Freshness::after(Sqn::from_parts(5_000, 3));
        usims.set(0, &expected);
        for (seq, ind) in [(6_000, 3), (6_500, 9), (6_400, 1), (6_501, 9), (9_000, 2)] {
            assert_eq!(usims.accept(0, Sqn::from_parts(seq, ind)), Ok(()));
            assert_eq!(expected.accept(Sqn::from_parts(seq, ind)), Ok(()));
            assert_eq!(usims.get(0), expected);
        }
        assert_eq!(usims.whole.len(), 1, "one array for the user, however often it changes");
    }

    proptest! {
        #[test]
        fn what_is_put_in_comes_out(
            steps in proptest::collection::vec(
                (prop_oneof![Just(1), 1i64..4, -70i64..70], 0u8..32, 0u8..200), 1..300),
        ) {
            let (mut usims, mut expected) = (Usims::new(1), Freshness::new());
            for (distance, ind, kind) in steps {
                let highest = expected.sqn_ms();
                // As a network numbers them, most of them.
                let in_step = (highest.ind() as i64 + distance).rem_euclid(32) as u8;
                let ind = if kind < 198 { in_step } else { ind };
                let sqn = Sqn::from_parts(highest.seq().saturating_add_signed(distance), ind);
                prop_assert_eq!(usims.accept(0, sqn), expected.accept(sqn));
                prop_assert_eq!(usims.get(0), expected.clone());
            }
        }
    }
}
