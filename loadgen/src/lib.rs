//! The load generator.

pub mod measure;
pub mod embedded;
pub mod generator;
pub mod population;
pub mod profile;
pub mod recorder;
pub mod report;
pub mod schedule;
pub(crate) mod ue;
pub mod sim;
