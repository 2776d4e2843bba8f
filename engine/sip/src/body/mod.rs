//! Bodies.

pub mod reginfo;
pub mod secinfo;
