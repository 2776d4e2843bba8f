//! Replaces (RFC 3891 6.1).

use crate::error::FieldError;
use crate::params::Params;
use crate::scan::{Cursor, is_space, trim_end};

/// A Replaces value: which dialog is to go.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Replaces<'b> {
    /// The dialog's Call-ID.
    pub call_id: &'b [u8],
    /// Its To tag: the local one of who receives this.
    pub to_tag: &'b [u8],
    /// Its From tag: the remote one of who receives this.
    pub from_tag: &'b [u8],
    /// Whether only an early dialog may be replaced.
    pub early_only: bool,
    /// All parameters.
    pub params: Params<'b>,
}

impl<'b> Replaces<'b> {
    /// Takes a value apart.
    ///
    /// # Errors
    /// If the Call-ID or one of the tags is missing.
    pub fn parse(value: &'b [u8]) -> Result<Replaces<'b>, FieldError> {
        let mut cursor = Cursor::new(value);
        cursor.space();
        let call_id = trim_end(cursor.while_class(|byte| byte != b';'));
        if call_id.is_empty() || call_id.iter().any(|&byte| is_space(byte) || byte == b',') {
            return Err(Cursor::new(value).error("a Call-ID"));
        }
        let params = Params::parse(&mut cursor)?;
        let (Some(to_tag), Some(from_tag)) = (params.value("to-tag"), params.value("from-tag"))
        else {
            return Err(cursor.error("a to-tag and a from-tag"));
        };
        Ok(Replaces { call_id, to_tag, from_tag, early_only: params.has("early-only"), params })
    }
}
