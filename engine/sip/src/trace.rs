//! The index of a message that is being written, filled line by line.

use crate::header::{Header, HeaderName};
use crate::message::Message;
use crate::parse::{Index, KnownTag, MAX_HEADERS, StartLine, value_of};
use crate::span::Span;

/// Fills an index as lines are written. It follows only what is written as lines, one right behind the other; whatever else is in
/// between leaves the index without a message, and its reader has to parse.
#[derive(Debug)]
pub(crate) struct Trace<'a> {
    index: &'a mut Index,
    /// Where the next line has to start; nowhere before there is a start line.
    next: Option<usize>,
    /// The header line that is being written.
    open: Option<Header>,
    is_lost: bool,
}

impl<'a> Trace<'a> {
    pub(crate) fn new(index: &'a mut Index) -> Trace<'a> {
        index.clear();
        Trace { index, next: None, open: None, is_lost: false }
    }

    /// The start line is written, `at` this place.
    pub(crate) fn start_line(&mut self, at: usize, start: StartLine) {
        self.is_lost |= at != 0 || self.next.is_some() || self.open.is_some();
        self.next = Some(usize::from(start.line.end));
        self.index.start = start;
    }

    /// At `start` begins a header line with a name of so many bytes and a colon.
    #[inline]
    pub(crate) fn header(&mut self, name: HeaderName, start: usize, name_len: usize) {
        self.is_lost |= self.next != Some(start) || self.open.is_some();
        let name_span = Span::new(start, start + name_len);
        let value = Span { start: name_span.end + 1, end: name_span.end + 1 };
        self.open = Some(Header { name, name_span, value, line: name_span });
    }

    /// A line ends where what is `written` ends.
    #[inline]
    pub(crate) fn end(&mut self, written: &[u8]) {
        let Some(mut header) = self.open.take() else { return };
        let start = usize::from(header.line.start);
        let line = written.get(start..).unwrap_or_default();
        let (value_start, value_end) = value_of(line, header.name_span.len());
        header.value = Span::new(start + value_start, start + value_end);
        header.line = Span::new(start, written.len());
        self.push(header);
    }

    /// Lines of another message, one behind the other there, are written at `start` as they are.
    #[inline]
    pub(crate) fn keep(&mut self, lines: &[Header], start: usize) {
        let Some(first) = lines.first() else { return };
        self.is_lost |= self.next != Some(start) || self.open.is_some();
        let by = (start as u16).wrapping_sub(first.line.start);
        for line in lines {
            self.push(Header {
                name: line.name,
                name_span: line.name_span.moved(by),
                value: line.value.moved(by),
                line: line.line.moved(by),
            });
        }
    }

    /// The empty line and the body are written; the body takes the rest from `start`.
    pub(crate) fn body(&mut self, start: usize, end: usize) {
        self.is_lost |= self.next != start.checked_sub(2) || self.open.is_some();
        self.index.body = Span::new(start, end);
        self.index.is_whole = !self.is_lost;
    }

    /// What is known of the tags of `source` holds here as well, where the same values were written.
    pub(crate) fn keep_tags(&mut self, source: &Message<'_>, written: &[u8]) {
        for name in [HeaderName::From, HeaderName::To] {
            let known = source.known_tag(name).get();
            let (Some(before), Some(line)) = (source.header(name), self.index.first_line(name))
            else {
                continue;
            };
            let value = self.index.headers[line].value;
            if value.of(written) != before {
                continue;
            }
            self.index.known_tag(name).set(match known {
                KnownTag::At(tag) => {
                    let there = Span::of_part(source.bytes(), before);
                    KnownTag::At(tag.moved(value.start.wrapping_sub(there.start)))
                }
                other => other,
            });
        }
    }

    #[inline]
    fn push(&mut self, header: Header) {
        self.next = Some(usize::from(header.line.end));
        if usize::from(self.index.count) == MAX_HEADERS {
            self.is_lost = true;
        } else {
            self.index.push(header);
        }
    }
}
