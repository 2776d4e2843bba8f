//! Whether two sides differ in a number by more than noise.
//!
//! - **Three or more repeats of each**: noise is what repeats show of it. A side is better or worse where all of its repeats are on one side
//!   of all of the other's, and the medians differ by more than what anybody cares about. The range is taken and not Welch's test since
//!   high quantiles are far from normally distributed, and so few repeats can't tell; of three repeats of the same on each side it errs
//!   in one of twenty cases either way, of five in one of 252.
//! - **Fewer**: what single runs may differ by is a tolerance for each kind of number.
//! - **Failures** are counts: their shares, of all repeats together, may differ by three standard errors, repeats or not.
//!
//! A tolerance that the user names takes the place of these limits; with repeats the ranges have to be apart all the same.

use super::Quantity;
use super::rules::{Better, FAILURES_ERRORS, REPEATS_MIN, Unit};

/// What was found of a number.
#[derive(Debug, Clone)]
pub struct Finding {
    /// The number.
    pub quantity: Quantity,
    /// The median of each side's runs; of failures the mean, which no run without any can hide.
    pub medians: [f64; 2],
    /// What is noise, in the number's own unit: by how much the two may differ, or with repeats what those of a side differ by if it is more.
    pub noise: f64,
    /// What is said of it.
    pub judged: Judged,
}

impl Finding {
    /// It as words: what it is, both sides, the change, what is noise, and what is said of it.
    #[must_use]
    pub fn cells(&self) -> [String; 6] {
        super::table::row(self)
    }
}

/// What is said of the second side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Judged {
    /// It is better.
    Better,
    /// It is worse.
    Worse,
    /// The difference is no more than noise.
    Same,
    /// Nothing: too few values, or none.
    Nothing,
}

/// Judges a number. `own` is the tolerance that the user named for it; latencies that are not the target's are not judged.
pub(super) fn judge(quantity: Quantity, own: Option<f64>, latency_counts: bool) -> Finding {
    let middle = if quantity.rule.unit == Unit::Share { mean } else { median };
    let medians = quantity.values.each_ref().map(|values| middle(values));
    let repeats = quantity.values.iter().map(Vec::len).min().unwrap_or(0);
    let has_repeats = repeats >= REPEATS_MIN;
    // Of the smaller one, so that it is the same whichever side is first.
    let smaller = medians[0].min(medians[1]);
    let limit = limit(&quantity, smaller, own, has_repeats);
    let is_latency = quantity.rule.unit == Unit::Us;
    let has_enough = has_repeats
        || own.is_some()
        || quantity.counts.iter().all(|count| *count >= quantity.rule.completed_min);
    let is_measured = !is_latency || medians.iter().all(|median| *median > 0.0);
    let judged = match limit {
        Some(limit) if is_measured && has_enough && (latency_counts || !is_latency) => {
            found(&quantity, medians, limit, has_repeats)
        }
        _ => Judged::Nothing,
    };
    let spread = quantity.values.iter().map(|values| range(values)).fold(0.0, f64::max);
    let seen = if has_repeats { spread } else { 0.0 };
    Finding { medians, noise: limit.unwrap_or(0.0).max(seen), judged, quantity }
}

/// By how much the two may differ; nothing where single runs are not judged by this.
fn limit(quantity: &Quantity, smaller: f64, own: Option<f64>, has_repeats: bool) -> Option<f64> {
    let rule = quantity.rule;
    if rule.unit == Unit::Share {
        return Some(own.unwrap_or_else(|| FAILURES_ERRORS * standard_error(quantity)));
    }
    if let Some(own) = own {
        return Some(own * smaller);
    }
    let share = if has_repeats { rule.least } else { rule.tolerance? };
    Some((share * smaller).max(rule.floor))
}

/// The standard error of the difference of two shares of failures, were they the same.
fn standard_error(quantity: &Quantity) -> f64 {
    let counts = quantity.counts.map(|count| count.max(1) as f64);
    let means = quantity.values.each_ref().map(|values| mean(values));
    let failed = means[0] * counts[0] + means[1] * counts[1];
    let share = failed / (counts[0] + counts[1]);
    (share * (1.0 - share) * (1.0 / counts[0] + 1.0 / counts[1])).sqrt()
}

fn found(quantity: &Quantity, medians: [f64; 2], limit: f64, has_repeats: bool) -> Judged {
    let gain = match quantity.rule.better {
        Better::More => medians[1] - medians[0],
        Better::Less => medians[0] - medians[1],
    };
    let is_count = quantity.rule.unit == Unit::Share;
    if gain.abs() <= limit || (has_repeats && !is_count && !are_apart(&quantity.values)) {
        Judged::Same
    } else if gain > 0.0 {
        Judged::Better
    } else {
        Judged::Worse
    }
}

fn least(values: &[f64]) -> f64 {
    values.iter().copied().fold(f64::INFINITY, f64::min)
}

fn most(values: &[f64]) -> f64 {
    values.iter().copied().fold(f64::NEG_INFINITY, f64::max)
}

/// By how much repeats differ.
fn range(values: &[f64]) -> f64 {
    (most(values) - least(values)).max(0.0)
}

/// Whether all values of one side are beyond all of the other's.
fn are_apart([one, other]: &[Vec<f64>; 2]) -> bool {
    most(one) < least(other) || most(other) < least(one)
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => 0.0,
        count if count % 2 == 1 => sorted[count / 2],
        count => (sorted[count / 2 - 1] + sorted[count / 2]) / 2.0,
    }
}
