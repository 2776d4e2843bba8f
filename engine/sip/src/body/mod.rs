//! Bodies.

pub mod secinfo;
