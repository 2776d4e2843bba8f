//! Header values, one noun a file. Each is parsed on demand, from one line or list element.

pub mod auth;
pub mod cseq;
pub mod event;
pub mod name_addr;
pub mod replaces;
pub mod security;
pub mod subscription_state;
pub mod via;
