//! Zero-copy SIP for an IMS core: RFC 3261 and what TS 24.229 needs of its extensions.
//!
//! **What it is.** A parser that indexes a message as spans and copies nothing; typed views of
//! headers, made on demand; a writer into the caller's memory; edits that turn a received message
//! into the one to forward; RFC 3261's transactions (with RFC 6026's corrections) as pure machines; dialogs' strings;
//! framing for streams; and the body of the `security` event package.
//!
//! **What it is not.** It does no I/O, reads no clock, holds no state between calls beyond what the
//! caller keeps, and allocates nothing. It computes no digest and no key, resolves no name, and knows
//! no role: what a P-CSCF does with a header is for the crate of the roles.
//!
//! **How a datagram passes through.**
//!
//! 1. [`parse`](fn@crate::parse) fills an [`Index`] that the caller uses again and again, and lends a [`Message`].
//!    From a stream, [`Framer`] says first where the message ends.
//! 2. [`Message::check`] refuses what RFC 3261 wants refused, with a status to answer.
//! 3. [`transaction::server_key`] finds the transaction; [`Message::header`], [`Message::via`] and
//!    their like read what the role asks for, when it asks.
//! 4. An answer is written by [`response`], a request by [`Writer::request`] or
//!    [`dialog::request`]; a forwarded message is a list of [`Edits`], written once.
//!
//! Values are slices of the message. Quoted ones come without their quotes but with their escapes;
//! URIs with their `%` escapes, which only comparisons look through. A value may contain folds (CRLF
//! and white space), which the field parsers take for white space.
//!
//! Errors of peers are typed ([`ParseError`], [`FieldError`], [`CheckError`]) and say what was
//! expected and what came; nothing that comes from outside panics.
#![forbid(unsafe_code)]

pub mod body;
pub mod dialog;
pub mod edit;
pub mod error;
pub mod field;
pub mod framing;
pub mod header;
mod lines;
mod marks;
pub mod message;
pub mod method;
mod names;
pub mod params;
pub mod parse;
pub mod room;
mod scan;
pub mod span;
mod trace;
pub mod transaction;
pub mod uri;
pub mod write;

pub use dialog::DialogParts;
pub use edit::Edits;
pub use error::{CheckError, Expected, FieldError, ParseError, WriteError};
pub use field::auth::{Challenge, Credentials};
pub use field::contact_preference::ContactPreference;
pub use field::cseq::CSeq;
pub use field::event::Event;
pub use field::feature::{Feature, FeatureTag};
pub use field::name_addr::NameAddr;
pub use field::rack::RAck;
pub use field::replaces::Replaces;
pub use field::security::SecurityMechanism;
pub use field::session_expires::{Refresher, SessionExpires};
pub use field::subscription_state::SubscriptionState;
pub use field::via::Via;
pub use framing::{Frame, FrameError, Framer};
pub use header::{Form, Header, HeaderName};
pub use message::{Lines, List, Message};
pub use method::Method;
pub use params::{Params, ParamsIter};
pub use parse::{Index, MAX_HEADERS, parse, parse_head};
pub use room::Room;
pub use span::Span;
pub use uri::{Host, Scheme, Uri};
pub use write::{Writer, reason, response};
