//! A part of a run: what one of several generators takes of a population and of its arrivals, so that they share nothing and need not talk.

use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use imstorm_base::random::mix;
use serde::{Deserialize, Serialize};

/// The most parts that a run may have.
const PARTS_MAX: u32 = 4_096;

/// The part `number` of `of` parts. [`Part::WHOLE`] is all of it.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// From 1 to `of`.
    pub number: u32,
    /// How many there are, from 1 to 4,096.
    pub of: u32,
}

/// Why a text is no part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartError(String);

impl Part {
    /// All of a run.
    pub const WHOLE: Self = Self { number: 1, of: 1 };

    /// Whether there are no others.
    #[must_use]
    pub const fn is_whole(self) -> bool {
        self.of == 1
    }

    /// Its users of so many, by number from 0. Users whose numbers differ in the last bit alone call each other, so that a part
    /// begins at an even one: there may be a pair more in one part than in another, and none where there are fewer pairs than parts.
    #[must_use]
    pub fn users(self, size: u64) -> Range<u64> {
        let pairs = u128::from(size.div_ceil(2));
        let border = |number: u32| {
            let pair = pairs * u128::from(number) / u128::from(self.of);
            u64::try_from(2 * pair).map_or(size, |user| user.min(size))
        };
        border(self.number - 1)..border(self.number)
    }

    /// Its share of what comes at this rate, in the same unit.
    #[must_use]
    pub fn share_of_rate(self, rate: f64) -> f64 {
        rate / f64::from(self.of)
    }

    /// Where its first start lies in its own first gap, above 0 and up to 1, if starts come at a constant rate: all parts' starts together
    /// are then the whole run's, each part having every `of`-th.
    #[must_use]
    pub fn phase(self) -> f64 {
        f64::from(self.number) / f64::from(self.of)
    }

    /// The seed of what it draws by itself: its own, and the run's where there are no other parts.
    #[must_use]
    pub fn seed(self, seed: u64) -> u64 {
        if self.is_whole() { seed } else { mix(seed, u64::from(self.number)) }
    }

    /// What makes its Call-IDs and branches its own: the nearest number below `drawn` that no other part can have.
    #[must_use]
    pub fn run_number(self, drawn: u32) -> u32 {
        let most = u32::MAX - self.of;
        let drawn = drawn.min(most);
        drawn - drawn % self.of + self.number - 1
    }
}

impl Default for Part {
    fn default() -> Self {
        Self::WHOLE
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.number, self.of)
    }
}

impl fmt::Display for PartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "expected K/N such as 3/16, K from 1 to N and N up to {PARTS_MAX}, got {}",
            self.0
        )
    }
}

impl std::error::Error for PartError {}

impl FromStr for Part {
    type Err = PartError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || PartError(text.to_owned());
        let (number, of) = text.split_once('/').ok_or_else(error)?;
        let number = number.parse().map_err(|_| error())?;
        let of = of.parse().map_err(|_| error())?;
        let is_possible = (1..=PARTS_MAX).contains(&of) && (1..=of).contains(&number);
        if is_possible { Ok(Self { number, of }) } else { Err(error()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parts(of: u32) -> impl Iterator<Item = Part> {
        (1..=of).map(move |number| Part { number, of })
    }

    proptest! {
        #[test]
        fn parts_have_all_users_once_and_partners_together(size in 0_u64..5_000, of in 1_u32..40) {
            let mut next = 0;
            for part in parts(of) {
                let users = part.users(size);
                prop_assert_eq!(users.start, next);
                prop_assert!(users.start == size || users.start % 2 == 0, "{part}: {users:?}");
                let share = size as f64 / f64::from(of);
                prop_assert!((users.end - users.start) as f64 <= share + 3.0);
                next = users.end;
            }
            prop_assert_eq!(next, size);
        }

        #[test]
        fn no_two_parts_have_the_same_run_number(drawn in any::<u32>(), other in any::<u32>(), of in 2_u32..40) {
            for (one, two) in parts(of).zip(parts(of).skip(1)) {
                prop_assert_ne!(one.run_number(drawn), two.run_number(other));
            }
        }
    }

    #[test]
    fn the_whole_is_as_without_parts() {
        assert_eq!(Part::WHOLE.users(7), 0..7);
        assert_eq!(Part::WHOLE.seed(11), 11);
        assert!((Part::WHOLE.share_of_rate(3.0) - 3.0).abs() < f64::EPSILON);
        assert!((Part::WHOLE.phase() - 1.0).abs() < f64::EPSILON);
        assert_eq!(Part::WHOLE.run_number(99), 99);
    }

    #[test]
    fn parts_draw_by_themselves() {
        let seeds: std::collections::BTreeSet<u64> = parts(16).map(|part| part.seed(1)).collect();
        assert_eq!(seeds.len(), 16);
    }

    #[test]
    fn a_text_is_a_part_or_an_error_that_says_what_is_expected() {
        assert_eq!("3/16".parse(), Ok(Part { number: 3, of: 16 }));
        for bad in ["", "3", "0/3", "4/3", "1/0", "a/b", "1/5000", "-1/3", "1/3/5"] {
            let error = bad.parse::<Part>().unwrap_err();
            assert!(error.to_string().contains("K/N"), "{bad}: {error}");
        }
    }
}
