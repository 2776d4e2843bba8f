//! Where a piece of text lies in a message.

/// A range of bytes of a message's buffer, `start..end`.
///
/// Two bytes each, so that an index of spans stays in a few cache lines and survives when the buffer
/// it points into is moved or copied.
#[derive(Copy, Clone, Default, PartialEq, Eq, Debug)]
pub struct Span {
    /// Offset of the first byte.
    pub start: u16,
    /// Offset behind the last byte; never below `start`.
    pub end: u16,
}

impl Span {
    /// A span over `start..end`. Offsets come from a buffer of at most 65,535 bytes.
    #[inline]
    pub(crate) fn new(start: usize, end: usize) -> Span {
        debug_assert!(start <= end && end <= usize::from(u16::MAX));
        Span { start: start as u16, end: end as u16 }
    }

    /// Where `part`, a piece of `bytes`, lies in it.
    #[inline]
    pub(crate) fn of_part(bytes: &[u8], part: &[u8]) -> Span {
        let start = part.as_ptr().addr() - bytes.as_ptr().addr();
        Span::new(start, start + part.len())
    }

    /// The same piece of text in a buffer in which it lies `by` bytes further on, modulo 2^16.
    #[inline]
    pub(crate) fn moved(self, by: u16) -> Span {
        Span { start: self.start.wrapping_add(by), end: self.end.wrapping_add(by) }
    }

    /// The bytes it covers in `bytes`, which must be the buffer (or a copy of it) it was made for.
    #[inline]
    pub fn of(self, bytes: &[u8]) -> &[u8] {
        &bytes[usize::from(self.start)..usize::from(self.end)]
    }

    /// How many bytes it covers.
    #[inline]
    pub fn len(self) -> usize {
        usize::from(self.end).saturating_sub(usize::from(self.start))
    }

    /// Whether it covers none.
    #[inline]
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }
}
