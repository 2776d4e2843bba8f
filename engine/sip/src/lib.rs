//! Zero-copy SIP.
