//! `application/secinfo+xml`: what a `security` subscription's NOTIFY says.
#![allow(clippy::todo, unused_variables)]
use crate::write::Writer;

/// The body's MIME type.
pub const CONTENT_TYPE: &str = "application/secinfo+xml";

/// The body's XML name space.
pub const NAME_SPACE: &str = "urn:imstorm:params:xml:ns:secinfo";

/// An identity of the subscription.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Identity<'a> {
    /// The URI. In a read body it is as spelled there: see [`unescape`].
    pub uri: &'a [u8],
    /// Whether it is the default identity.
    pub is_default: bool,
    /// Whether it is barred.
    pub is_barred: bool,
}

/// What stands before the identities.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Head<'a> {
    /// Number of the NOTIFY within its subscription, from 0.
    pub version: u32,
    /// An identifier to show; it is not the token.
    pub session: &'a [u8],
    /// Seconds that the subscription lasts from now.
    pub lifetime_s: u32,
}

/// A body that was read.
#[derive(Copy, Clone, Debug)]
pub struct Secinfo<'b> {
    /// What stands before the identities.
    pub head: Head<'b>,
    /// `full` in all bodies of this version.
    pub state: &'b [u8],
    identities: &'b [u8],
}

/// Why a body can't be read.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct XmlError {
    /// Offset into the body.
    pub offset: usize,
    /// What should have been there.
    pub expected: &'static str,
}

/// Writes a full body.
pub fn write<'a>(
    writer: &mut Writer<'_>,
    head: &Head<'_>,
    identities: impl IntoIterator<Item = Identity<'a>>,
) {
    todo!()
}

impl<'b> Secinfo<'b> {
    /// Reads a body. All of it is checked, so that the iterator can't fail.
    ///
    /// # Errors
    /// The first thing that is not as expected.
    pub fn parse(body: &'b [u8]) -> Result<Secinfo<'b>, XmlError> {
        todo!()
    }

    /// The identities in order.
    #[allow(unreachable_code)]
    pub fn identities(&self) -> impl Iterator<Item = Identity<'b>> + use<'b> {
        todo!();
        std::iter::empty()
    }
}

/// Writes `text` with its entities and character references replaced.
pub fn unescape(text: &[u8], writer: &mut Writer<'_>) {
    todo!()
}
