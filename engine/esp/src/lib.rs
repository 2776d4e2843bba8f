//! ESP in user space.
