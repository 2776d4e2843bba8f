//! The load generator.

pub mod measure;
pub mod profile;
pub mod recorder;
pub mod report;
