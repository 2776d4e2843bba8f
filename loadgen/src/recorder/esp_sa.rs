//! Wireshark keys.
