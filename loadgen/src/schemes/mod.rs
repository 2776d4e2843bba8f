//! The ways to hold several registrations at once, side by side: the second paper's three solutions and their combinations, today's
//! registration, and the subscription-based security of the first paper.

mod course;
mod scheme;

pub(crate) use course::Ended;
pub use course::{Course, CourseStep, StepResult};
pub use scheme::{SaPolicy, Scheme};
