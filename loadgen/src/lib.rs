//! The load generator.

pub mod child;
pub mod cli;
pub mod embedded;
pub mod generator;
pub mod live;
pub mod measure;
pub mod population;
pub mod profile;
pub mod recorder;
pub mod report;
pub mod run;
pub mod schedule;
pub mod sim;
pub mod target;
pub(crate) mod ue;
