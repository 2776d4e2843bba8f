//! Authentication and key agreement.
