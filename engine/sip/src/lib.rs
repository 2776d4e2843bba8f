//! Zero-copy SIP.
#![forbid(unsafe_code)]

pub mod body;
pub mod dialog;
pub mod edit;
pub mod error;
pub mod field;
pub mod framing;
pub mod header;
pub mod message;
pub mod method;
pub mod params;
pub mod parse;
mod scan;
pub mod span;
pub mod transaction;
pub mod uri;
pub mod write;

pub use dialog::DialogParts;
pub use edit::Edits;
pub use error::{CheckError, Expected, FieldError, ParseError, WriteError};
pub use field::auth::{Challenge, Credentials};
pub use field::cseq::CSeq;
pub use field::event::Event;
pub use field::name_addr::NameAddr;
pub use field::replaces::Replaces;
pub use field::security::SecurityMechanism;
pub use field::subscription_state::SubscriptionState;
pub use field::via::Via;
pub use framing::{Frame, FrameError, Framer};
pub use header::{Form, Header, HeaderName};
pub use message::{Lines, List, Message};
pub use method::Method;
pub use params::{Params, ParamsIter};
pub use parse::{Index, MAX_HEADERS, parse, parse_head};
pub use span::Span;
pub use uri::{Host, Scheme, Uri};
pub use write::{Writer, reason, response};
