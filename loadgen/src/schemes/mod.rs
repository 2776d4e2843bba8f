//! The ways to hold several registrations at once, side by side: the second paper's three solutions and their combinations, today's
//! registration, and the subscription-based security of the first paper.
//!
//! A [`Comparison`] runs the profile for each [`Variant`] and repeat, over real sockets. In each run all users go through a [`Course`](crate::course::Course)
//! together, step by step, and the engine is looked at between the steps, so that every count belongs to one of them. A [`Row`] is
//! what was seen of a variant: whether it works is observed, never taken from its name. The [`Conclusion`]s of the paper are
//! then held against the rows. The results go to schemes.json, .csv, .md and .html.
//!
//! What UEs do in a step is theirs (`ue/course.rs`); what the engine makes of it, the engine's.

mod comparison;
mod conclusion;
mod csv;
mod estimate;
mod html;
mod markdown;
mod matrix;
#[cfg(test)]
mod tests;

pub use comparison::{Comparison, ComparisonError, ComparisonOptions};
pub use conclusion::Conclusion;
pub use matrix::{Cell, Row, Variant};

/// The comparison as text, for a terminal too.
#[must_use]
pub fn text(comparison: &Comparison) -> String {
    markdown::render(comparison)
}
