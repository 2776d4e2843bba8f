//! Header values, one noun a file. Each is parsed on demand, from one line or list element.

pub mod auth;
pub mod contact_preference;
pub mod cseq;
pub mod event;
pub mod feature;
pub mod name_addr;
pub mod rack;
pub mod replaces;
pub mod security;
pub mod session_expires;
pub mod subscription_state;
pub mod via;
