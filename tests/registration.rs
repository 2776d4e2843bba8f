//! Registration with AKA: today's way to a secure connection (TS 24.229 clause 5.1.1).
