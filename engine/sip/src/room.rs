//! Where a message is written.

use crate::parse::Index;

/// Memory for one message. Where the reader of the message stands in the same process, the message's index goes with it, is filled as
/// the message is written, and spares the reader a parse: see [`Index::message`].
#[derive(Debug)]
pub struct Room<'a> {
    pub(crate) bytes: &'a mut [u8],
    pub(crate) index: Option<&'a mut Index>,
}

impl<'a> Room<'a> {
    /// Memory, and the index of what will be written there.
    pub fn indexed(bytes: &'a mut [u8], index: &'a mut Index) -> Room<'a> {
        index.clear();
        Room { bytes, index: Some(index) }
    }

    /// The same room for a while, for who wants to look at what was written.
    pub fn lend(&mut self) -> Room<'_> {
        Room { bytes: self.bytes, index: self.index.as_deref_mut() }
    }

    /// All of its memory.
    pub fn bytes(&self) -> &[u8] {
        self.bytes
    }

    /// Copies a whole message in, without an index; its length, or `None` where it doesn't fit.
    pub fn copy(self, message: &[u8]) -> Option<usize> {
        self.bytes.get_mut(..message.len())?.copy_from_slice(message);
        Some(message.len())
    }
}

impl<'a> From<&'a mut [u8]> for Room<'a> {
    fn from(bytes: &'a mut [u8]) -> Room<'a> {
        Room { bytes, index: None }
    }
}

impl<'a, const N: usize> From<&'a mut [u8; N]> for Room<'a> {
    fn from(bytes: &'a mut [u8; N]) -> Room<'a> {
        Room { bytes, index: None }
    }
}

impl<'a> From<&'a mut Vec<u8>> for Room<'a> {
    fn from(bytes: &'a mut Vec<u8>) -> Room<'a> {
        Room { bytes, index: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::header::HeaderName;
    use crate::method::Method;
    use crate::write::Writer;

    /// Whether the index is that of what `write` writes.
    fn is_indexed(write: impl FnOnce(&mut Writer<'_>)) -> bool {
        let (mut bytes, mut index) = ([0; 256], Index::default());
        let mut writer = Writer::new(Room::indexed(&mut bytes, &mut index));
        write(&mut writer);
        let len = writer.finish().unwrap();
        index.message(&bytes[..len]).is_some()
    }

    #[test]
    fn what_is_written_as_lines_has_an_index() {
        assert!(is_indexed(|writer| {
            writer.request(Method::Options, b"sip:h").header(HeaderName::To).put(b"<sip:t>").end();
        }));
        assert!(is_indexed(|writer| {
            writer.status(200).header(HeaderName::Subject).end();
        }));
    }

    #[test]
    fn what_is_not_has_none() {
        assert!(!is_indexed(|_| ()));
        assert!(!is_indexed(|writer| {
            writer.status(200).put(b"To: <sip:t>\r\n");
        }));
        assert!(!is_indexed(|writer| {
            writer.status(200).header(HeaderName::To).put(b"<sip:t>");
        }));
        assert!(!is_indexed(|writer| {
            writer.status(200).header(HeaderName::To).put(b"<sip:t>").end().end();
        }));
        assert!(!is_indexed(|writer| {
            writer.put(b"\r\n").status(200);
        }));
    }

    #[test]
    fn an_index_is_of_all_that_was_written_last() {
        let (mut bytes, mut index) = ([0; 256], Index::default());
        let len = {
            let mut writer = Writer::new(Room::indexed(&mut bytes, &mut index));
            writer.status(404);
            writer.finish().unwrap()
        };
        assert_eq!(index.message(&bytes[..len]).unwrap().status(), 404);
        assert!(index.message(&bytes[..len - 1]).is_none());
        assert_eq!(Room::indexed(&mut bytes, &mut index).copy(b"other"), Some(5));
        assert!(index.message(&bytes[..len]).is_none());
        assert_eq!(Room::from(&mut bytes).copy(&[0; 257]), None);
    }
}
