//! A rate over time, and the walk along it that finds when so many starts have come.

/// A part of a [`RateCurve`]: from one rate to another in a straight line.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Piece {
    /// The rate at its start, in starts a second, from 0.
    pub from_per_s: f64,
    /// The rate at its end.
    pub to_per_s: f64,
    /// How long it lasts, in seconds.
    pub for_s: f64,
}

/// A rate over time: pieces one behind the other, and a constant rate behind the last one.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct RateCurve {
    pieces: Vec<Piece>,
    then_per_s: f64,
}

/// How far along a curve its starts are.
#[derive(Clone, Debug)]
pub struct RateWalk {
    curve: RateCurve,
    /// The present piece, or as many as there are: behind the last one.
    piece: usize,
    /// When it began, in nanoseconds from the curve's start.
    began_ns: f64,
    /// How far it is gone, in seconds.
    gone_s: f64,
    /// As [`RateWalk::gone_s`], of the constant rate behind the pieces in nanoseconds: kept so that a constant rate stays one.
    behind_ns: f64,
}

impl RateCurve {
    /// One rate for ever.
    #[must_use]
    pub const fn constant(rate_per_s: f64) -> Self {
        Self { pieces: Vec::new(), then_per_s: rate_per_s }
    }

    /// These pieces, and behind them a constant rate; 0: nothing more.
    #[must_use]
    pub const fn new(pieces: Vec<Piece>, then_per_s: f64) -> Self {
        Self { pieces, then_per_s }
    }

    /// How many starts its pieces have on average.
    #[must_use]
    pub fn starts(&self) -> f64 {
        self.pieces.iter().map(Piece::area).sum()
    }

    /// How many starts have come on average after so many seconds.
    #[must_use]
    pub fn starts_by(&self, after_s: f64) -> f64 {
        let (mut left_s, mut starts) = (after_s.max(0.0), 0.0);
        for piece in &self.pieces {
            let gone_s = left_s.min(piece.for_s);
            starts += (piece.from_per_s + piece.at(gone_s).0) / 2.0 * gone_s;
            left_s -= gone_s;
        }
        starts + left_s * self.then_per_s
    }
}

impl Piece {
    /// How many starts it has on average.
    #[must_use]
    pub fn area(&self) -> f64 {
        (self.from_per_s + self.to_per_s) / 2.0 * self.for_s
    }

    /// The rate after so many seconds, and how it changes each second.
    fn at(&self, gone_s: f64) -> (f64, f64) {
        let slope = (self.to_per_s - self.from_per_s) / self.for_s;
        (self.from_per_s + slope * gone_s, slope)
    }

    /// How many seconds behind `gone_s` `starts` more have come; `None` if the piece ends before.
    fn until(&self, gone_s: f64, starts: f64) -> Option<f64> {
        let (rate, slope) = self.at(gone_s);
        // starts = rate * x + slope / 2 * x^2, solved so that nothing cancels where the slope is small.
        let square = rate * rate + 2.0 * slope * starts;
        let divisor = rate + square.max(0.0).sqrt();
        let more_s = 2.0 * starts / divisor;
        (square >= 0.0 && divisor > 0.0 && gone_s + more_s <= self.for_s).then_some(more_s)
    }
}

impl RateWalk {
    /// At the curve's start.
    #[must_use]
    pub const fn new(curve: RateCurve) -> Self {
        Self { curve, piece: 0, began_ns: 0.0, gone_s: 0.0, behind_ns: 0.0 }
    }

    /// When, on average, `starts` more have come, in nanoseconds from the curve's start; `None` where there are not so many any more.
    pub fn after(&mut self, mut starts: f64) -> Option<f64> {
        while let Some(piece) = self.curve.pieces.get(self.piece) {
            if let Some(more_s) = piece.until(self.gone_s, starts) {
                self.gone_s += more_s;
                return Some(self.began_ns + self.gone_s * 1e9);
            }
            let (rate, _) = piece.at(self.gone_s);
            starts -= (rate + piece.to_per_s) / 2.0 * (piece.for_s - self.gone_s);
            self.began_ns += piece.for_s * 1e9;
            self.gone_s = 0.0;
            self.piece += 1;
        }
        if self.curve.then_per_s <= 0.0 {
            return None;
        }
        self.behind_ns += starts.max(0.0) * 1e9 / self.curve.then_per_s;
        Some(self.began_ns + self.behind_ns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(curve: RateCurve, starts: usize) -> Vec<f64> {
        let mut walk = RateWalk::new(curve);
        std::iter::from_fn(|| walk.after(1.0)).take(starts).map(|ns| ns / 1e9).collect()
    }

    #[test]
    fn a_ramp_has_as_many_starts_by_each_time_as_the_area_under_it() {
        let ramp = Piece { from_per_s: 0.0, to_per_s: 200.0, for_s: 10.0 };
        let times = times(RateCurve::new(vec![ramp], 200.0), 1_200);
        for (place, at) in times.iter().enumerate().take(1_000) {
            // rate(t) = 20 t, so that t starts of them are there at sqrt(t / 10).
            let expected = ((place + 1) as f64 / 10.0).sqrt();
            assert!((at - expected).abs() < 1e-6, "start {place} at {at}, expected {expected}");
        }
        assert!((times[1_199] - 11.0).abs() < 1e-6, "200 a second behind it");
    }

    #[test]
    fn starts_that_have_come_are_those_that_a_walk_finds() {
        let pieces = vec![
            Piece { from_per_s: 0.0, to_per_s: 100.0, for_s: 10.0 },
            Piece { from_per_s: 30.0, to_per_s: 30.0, for_s: 5.0 },
        ];
        let curve = RateCurve::new(pieces, 10.0);
        for (place, at_s) in (1..).zip(times(curve.clone(), 800)) {
            assert!((curve.starts_by(at_s) - f64::from(place)).abs() < 1e-6, "start {place}");
        }
        assert!((curve.starts_by(-1.0), curve.starts_by(20.0)) == (0.0, 700.0));
    }

    #[test]
    fn steps_and_falling_ramps_join_without_a_gap_and_end() {
        let pieces = vec![
            Piece { from_per_s: 10.0, to_per_s: 10.0, for_s: 1.05 },
            Piece { from_per_s: 100.0, to_per_s: 0.0, for_s: 2.0 },
        ];
        let curve = RateCurve::new(pieces, 0.0);
        assert!((curve.starts() - 110.5).abs() < 1e-9);
        let times = times(curve, 1_000);
        assert_eq!(times.len(), 110, "the half start that is left is none");
        // Half a start is left of the first step when the second one begins.
        assert!((times[9] - 1.0).abs() < 1e-9 && times[10] > 1.05 && times[10] < 1.056);
        assert!(times.windows(2).all(|pair| pair[0] < pair[1]) && times[109] < 3.05);
    }
}
