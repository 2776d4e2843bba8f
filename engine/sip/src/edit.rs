//! Proxying as a list of edits over a message's spans, written once.
#![allow(clippy::todo, unused_variables)]
use crate::error::WriteError;
use crate::header::HeaderName;
use crate::message::Message;
use crate::write::Writer;

/// A list of edits. Fixed capacity, no heap; overflow is sticky and told by [`write`](Self::write).
#[derive(Debug, Default)]
pub struct Edits {}

impl Edits {
    /// No edits.
    pub fn new() -> Edits {
        Edits::default()
    }
    /// Forgets all edits.
    pub fn clear(&mut self) {
        todo!()
    }
    /// Replaces the Request-URI.
    pub fn request_uri(&mut self, uri: &[u8]) -> &mut Self {
        todo!()
    }
    /// A new line before the first of that name, or before all headers if there is none.
    pub fn insert_first(
        &mut self,
        name: HeaderName,
        value: impl FnOnce(&mut Writer<'_>),
    ) -> &mut Self {
        todo!()
    }
    /// A new line behind all headers.
    pub fn append(&mut self, name: HeaderName, value: impl FnOnce(&mut Writer<'_>)) -> &mut Self {
        todo!()
    }
    /// Removes all lines of that name.
    pub fn remove(&mut self, name: HeaderName) -> &mut Self {
        todo!()
    }
    /// Replaces the value of that line.
    pub fn replace(&mut self, line: usize, value: impl FnOnce(&mut Writer<'_>)) -> &mut Self {
        todo!()
    }
    /// Removes that line.
    pub fn remove_line(&mut self, line: usize) -> &mut Self {
        todo!()
    }
    /// Removes the first element of a list.
    pub fn pop_first(&mut self, message: &Message<'_>, name: HeaderName) -> &mut Self {
        todo!()
    }
    /// Strips option tags; drops lines that get empty.
    pub fn remove_options(
        &mut self,
        message: &Message<'_>,
        name: HeaderName,
        options: &[&str],
    ) -> &mut Self {
        todo!()
    }
    /// Replaces the first line's value and drops further ones; appends a line if there is none.
    pub fn set(
        &mut self,
        message: &Message<'_>,
        name: HeaderName,
        value: impl FnOnce(&mut Writer<'_>),
    ) -> &mut Self {
        todo!()
    }
    /// Strips parameters of credentials or challenges.
    pub fn remove_auth_params(
        &mut self,
        message: &Message<'_>,
        name: HeaderName,
        params: &[&str],
    ) -> &mut Self {
        todo!()
    }
    /// Replaces the body.
    pub fn body(&mut self, content_type: &str, body: &[u8]) -> &mut Self {
        todo!()
    }
    /// Writes the edited message.
    ///
    /// # Errors
    /// If the buffer or the list of edits was too small.
    pub fn write(&self, message: &Message<'_>, out: &mut [u8]) -> Result<usize, WriteError> {
        todo!()
    }
}
