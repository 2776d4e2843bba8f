//! What every other crate stands on: time, timers, tables, buffers, seeded randomness, the I/O boundary.
