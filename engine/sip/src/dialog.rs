//! Dialogs (RFC 3261 12): their strings as one blob, their route sets, requests inside them.
#![allow(clippy::todo, unused_variables)]
use crate::error::{FieldError, WriteError};
use crate::message::Message;
use crate::method::Method;
use crate::write::Writer;

/// A dialog's strings. Tags may be empty (RFC 2543's elements give none).
#[derive(Copy, Clone, PartialEq, Eq, Default, Debug)]
pub struct DialogParts<'a> {
    /// Call-ID.
    pub call_id: &'a [u8],
    /// Our tag.
    pub local_tag: &'a [u8],
    /// Their tag.
    pub remote_tag: &'a [u8],
    /// Our URI, without brackets.
    pub local_uri: &'a [u8],
    /// Their URI, without brackets.
    pub remote_uri: &'a [u8],
    /// Their Contact's URI, without brackets.
    pub remote_target: &'a [u8],
    /// The route set as a Route value: comma-separated, first hop first; empty if there is none.
    pub routes: &'a [u8],
}

impl<'a> DialogParts<'a> {
    /// How many bytes [`encode`](Self::encode) writes.
    pub fn encoded_len(&self) -> usize {
        todo!()
    }

    /// Writes the strings as one blob; returns its length.
    ///
    /// # Errors
    /// If it does not fit, or a string is longer than 65,535 bytes.
    pub fn encode(&self, out: &mut [u8]) -> Result<usize, WriteError> {
        todo!()
    }

    /// Reads a blob that [`encode`](Self::encode) wrote.
    ///
    /// # Panics
    /// If it didn't: a blob is ours.
    pub fn decode(blob: &'a [u8]) -> DialogParts<'a> {
        todo!()
    }
}

/// Writes the route set that a response's (or, at the UAS, a request's) Record-Routes make:
/// reversed for the UAC (RFC 3261 12.1.2), in order for the UAS (12.1.1). Returns its length.
///
/// # Errors
/// If it does not fit.
pub fn route_set(message: &Message<'_>, is_uac: bool, out: &mut [u8]) -> Result<usize, WriteError> {
    todo!()
}

/// Starts a request inside a dialog (RFC 3261 12.2.1.1): request line, Max-Forwards 70, Route, From,
/// To, Call-ID, CSeq. Via and Contact are the caller's.
pub fn request<'a>(
    dialog: &DialogParts<'_>,
    method: Method,
    cseq: u32,
    out: &'a mut [u8],
) -> Writer<'a> {
    todo!()
}

/// Where the next request of the dialog goes: the first route's URI, or the remote target.
///
/// # Errors
/// If the first route can't be read.
pub fn next_hop<'a>(dialog: &DialogParts<'a>) -> Result<&'a [u8], FieldError> {
    todo!()
}
