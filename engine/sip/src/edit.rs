//! Proxying as a list of edits over a message's spans, written once. The message is not cloned;
//! what no edit touches is copied byte for byte.

use crate::error::{FieldError, WriteError};
use crate::field::auth::{self, Pair};
use crate::header::{Header, HeaderName};
use crate::message::Message;
use crate::parse::MAX_HEADERS;
use crate::room::Room;
use crate::scan::{Cursor, find_outside, trim, trim_start};
use crate::span::Span;
use crate::write::Writer;

/// Room for new text. The largest: a request gets Via, Record-Route, Path, P-Charging-Vector,
/// P-Visited-Network-ID and an Authorization (700 B), or a body of a few identities.
const ARENA_BYTES: usize = 3 * 1024;

/// New lines. A P-CSCF adds at most ten to one message.
const MAX_NEW_LINES: usize = 32;

/// A list of edits to one message.
///
/// Fixed capacity, no heap, meant to be kept and [cleared](Self::clear). What doesn't fit is told by
/// [`write`](Self::write), not by each edit. Edits that take a message must all be given the one
/// that is written; they see what earlier ones did to its lines, so that two `pop_first` remove two
/// elements. New lines are beyond the reach of later edits.
#[derive(Clone, Debug)]
pub struct Edits {
    arena: [u8; ARENA_BYTES],
    arena_len: u16,
    overflow: bool,
    request_uri: Option<Span>,
    lines: [Line; MAX_HEADERS],
    removed: NameSet,
    new_lines: [NewLine; MAX_NEW_LINES],
    new_count: u8,
    body: Option<Body>,
}

/// What becomes of one of the message's lines.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
enum Line {
    Keep,
    Removed,
    /// Its value is this text of the arena.
    Replaced(Span),
    /// Its value is this part of the message.
    Cut(Span),
}

#[derive(Copy, Clone, Debug)]
struct NewLine {
    name: HeaderName,
    value: Span,
    at_end: bool,
}

#[derive(Copy, Clone, Debug)]
struct Body {
    content_type: Span,
    text: Span,
}

impl Default for Edits {
    fn default() -> Edits {
        Edits::new()
    }
}

impl Edits {
    /// No edits.
    pub fn new() -> Edits {
        let none = NewLine { name: HeaderName::Extension, value: Span::default(), at_end: false };
        Edits {
            arena: [0; ARENA_BYTES],
            arena_len: 0,
            overflow: false,
            request_uri: None,
            lines: [Line::Keep; MAX_HEADERS],
            removed: NameSet::default(),
            new_lines: [none; MAX_NEW_LINES],
            new_count: 0,
            body: None,
        }
    }

    /// Forgets all edits.
    pub fn clear(&mut self) {
        self.arena_len = 0;
        self.overflow = false;
        self.request_uri = None;
        self.lines = [Line::Keep; MAX_HEADERS];
        self.removed = NameSet::default();
        self.new_count = 0;
        self.body = None;
    }

    /// Replaces the Request-URI. A response has none: then nothing happens.
    pub fn request_uri(&mut self, uri: &[u8]) -> &mut Self {
        self.request_uri = self.keep(|_, writer| {
            writer.put(uri);
        });
        self
    }

    /// A new line before the first of that name, or before all headers if there is none. Of several
    /// the last one given comes first. `value` writes the value only.
    pub fn insert_first(
        &mut self,
        name: HeaderName,
        value: impl FnOnce(&mut Writer<'_>),
    ) -> &mut Self {
        self.add(name, false, value)
    }

    /// A new line behind all headers, in the order given. `value` writes the value only.
    pub fn append(&mut self, name: HeaderName, value: impl FnOnce(&mut Writer<'_>)) -> &mut Self {
        self.add(name, true, value)
    }

    /// Removes all of the message's lines of that name, edited ones too; new lines stay.
    pub fn remove(&mut self, name: HeaderName) -> &mut Self {
        assert!(name != HeaderName::Extension, "remove lines of unknown names one by one");
        self.removed.insert(name);
        self
    }

    /// Replaces the value of that line, a number that [`Message::lines`] gave.
    pub fn replace(&mut self, line: usize, value: impl FnOnce(&mut Writer<'_>)) -> &mut Self {
        if let Some(value) = self.keep(|_, writer| value(writer)) {
            self.lines[line] = Line::Replaced(value);
        }
        self
    }

    /// Removes that line, a number that [`Message::lines`] gave.
    pub fn remove_line(&mut self, line: usize) -> &mut Self {
        self.lines[line] = Line::Removed;
        self
    }

    /// Removes the first element of a list (Via, Route …); a line whose only one it was goes.
    pub fn pop_first(&mut self, message: &Message<'_>, name: HeaderName) -> &mut Self {
        for (number, _) in message.lines(name) {
            let (source, base, is_arena) = match self.lines[number] {
                Line::Removed => continue,
                Line::Keep => {
                    let value = message.headers()[number].value;
                    (value.of(message.bytes()), value, false)
                }
                Line::Cut(value) => (value.of(message.bytes()), value, false),
                Line::Replaced(value) => (value.of(&self.arena), value, true),
            };
            if source.is_empty() {
                continue;
            }
            let comma = find_outside(source, b',', true);
            let after = source.get(comma + 1..).unwrap_or_default();
            let leading = after.len() - trim_start(after).len();
            let rest = trim(after);
            self.lines[number] = if rest.is_empty() {
                Line::Removed
            } else {
                let start = usize::from(base.start) + comma + 1 + leading;
                let rest = Span::new(start, start + rest.len());
                if is_arena { Line::Replaced(rest) } else { Line::Cut(rest) }
            };
            return self;
        }
        self
    }

    /// Strips option tags, in any case, from a list (Require, Proxy-Require, Supported); drops lines
    /// that get empty and leaves those alone that have none of them.
    pub fn remove_options(
        &mut self,
        message: &Message<'_>,
        name: HeaderName,
        options: &[&str],
    ) -> &mut Self {
        let goes = |element: &[u8]| {
            options.iter().any(|option| element.eq_ignore_ascii_case(option.as_bytes()))
        };
        self.rewrite(message, name, |value, writer| {
            let mut touched = false;
            for element in Elements(Some(value)) {
                if goes(element) {
                    touched = true;
                } else if !element.is_empty() {
                    let separator: &[u8] = if writer.is_empty() { b"" } else { b", " };
                    writer.put(separator).put(element);
                }
            }
            touched
        })
    }

    /// Replaces the first line's value and drops further ones; appends a line if there is none.
    pub fn set(
        &mut self,
        message: &Message<'_>,
        name: HeaderName,
        value: impl FnOnce(&mut Writer<'_>),
    ) -> &mut Self {
        let mut lines = message.lines(name);
        let Some((first, _)) = lines.next() else { return self.append(name, value) };
        for (further, _) in lines {
            self.remove_line(further);
        }
        self.replace(first, value)
    }

    /// Strips parameters (`ik`, `ck`) from credentials or challenges. It fails closed: a line that
    /// can't be read, or has no parameter left, goes as a whole.
    pub fn remove_auth_params(
        &mut self,
        message: &Message<'_>,
        name: HeaderName,
        params: &[&str],
    ) -> &mut Self {
        self.rewrite(message, name, |value, writer| {
            if copy_auth_params(value, params, writer).is_err() {
                writer.clear();
            }
            true
        })
    }

    /// Replaces the body, with its Content-Type and Content-Length.
    pub fn body(&mut self, content_type: &str, body: &[u8]) -> &mut Self {
        let content_type = self.keep(|_, writer| {
            writer.text(content_type);
        });
        let text = self.keep(|_, writer| {
            writer.put(body);
        });
        if let (Some(content_type), Some(text)) = (content_type, text) {
            self.body = Some(Body { content_type, text });
            self.remove(HeaderName::ContentType).remove(HeaderName::ContentLength);
        }
        self
    }

    /// Writes the edited message; returns its length.
    ///
    /// # Errors
    /// If the buffer, or the room for edits before it, was too small.
    pub fn write<'a>(
        &self,
        message: &Message<'_>,
        out: impl Into<Room<'a>>,
    ) -> Result<usize, WriteError> {
        if self.overflow {
            return Err(WriteError);
        }
        let mut writer = Writer::new(out);
        match self.request_uri {
            Some(uri) if message.is_request() => {
                let version = message.start_line().version.of(message.bytes());
                let uri = uri.of(&self.arena);
                writer.request_line(message.method(), message.method_text(), uri, version);
            }
            _ => {
                writer.copy_start_line(message);
            }
        }
        self.write_headers(message, &mut writer);
        writer.keep_tags(message);
        match self.body {
            None => writer.body(message.body()),
            Some(body) => {
                let text = body.text.of(&self.arena);
                writer.body_headers(body.content_type.of(&self.arena), text.len()).body(text)
            }
        };
        writer.done()
    }

    fn write_headers(&self, message: &Message<'_>, writer: &mut Writer<'_>) {
        let new_lines = &self.new_lines[..usize::from(self.new_count)];
        let mut waiting = NameSet::default();
        for line in new_lines.iter().rev().filter(|line| !line.at_end) {
            if message.header(line.name).is_some() {
                waiting.insert(line.name);
            } else {
                self.write_new_line(line, writer);
            }
        }
        let touched = waiting.union(self.removed);
        // What stays as it is since the last line that didn't, written in one piece: the lines lie one behind the other.
        let mut kept = 0;
        for (number, (header, line)) in message.headers().iter().zip(&self.lines).enumerate() {
            if *line == Line::Keep && !touched.contains(header.name) {
                continue;
            }
            writer.copy_lines(message, kept..number);
            kept = number;
            if waiting.take(header.name) {
                let wanted = |line: &&NewLine| !line.at_end && line.name == header.name;
                for line in new_lines.iter().rev().filter(wanted) {
                    self.write_new_line(line, writer);
                }
            }
            if *line != Line::Keep || self.removed.contains(header.name) {
                self.write_edited_line(message, header, *line, writer);
                kept += 1;
            }
        }
        writer.copy_lines(message, kept..message.headers().len());
        for line in new_lines.iter().filter(|line| line.at_end) {
            self.write_new_line(line, writer);
        }
    }

    fn write_edited_line(
        &self,
        message: &Message<'_>,
        header: &Header,
        line: Line,
        writer: &mut Writer<'_>,
    ) {
        if self.removed.contains(header.name) {
            return;
        }
        let value = match line {
            Line::Keep | Line::Removed => return,
            Line::Replaced(value) => value.of(&self.arena),
            Line::Cut(value) => value.of(message.bytes()),
        };
        let spelling = header.name_span.of(message.bytes());
        writer.header_as(header.name, spelling).put(value).end();
    }

    fn write_new_line(&self, line: &NewLine, writer: &mut Writer<'_>) {
        writer.header(line.name).put(line.value.of(&self.arena)).end();
    }

    /// Lets `f` write text into the arena (it may read what is there) and keeps it.
    fn keep(&mut self, f: impl FnOnce(&[u8], &mut Writer<'_>)) -> Option<Span> {
        let start = usize::from(self.arena_len);
        let (kept, free) = self.arena.split_at_mut(start);
        let mut writer = Writer::new(free);
        f(kept, &mut writer);
        match writer.done() {
            Ok(len) => {
                self.arena_len = (start + len) as u16;
                Some(Span::new(start, start + len))
            }
            Err(WriteError) => {
                self.overflow = true;
                None
            }
        }
    }

    fn add(
        &mut self,
        name: HeaderName,
        at_end: bool,
        value: impl FnOnce(&mut Writer<'_>),
    ) -> &mut Self {
        assert!(name != HeaderName::Extension, "a new line needs a name");
        if usize::from(self.new_count) == MAX_NEW_LINES {
            self.overflow = true;
        } else if let Some(value) = self.keep(|_, writer| value(writer)) {
            self.new_lines[usize::from(self.new_count)] = NewLine { name, value, at_end };
            self.new_count += 1;
        }
        self
    }

    /// Writes the value of each line of that name anew; `f` says whether it changed. A line whose
    /// value gets empty goes.
    fn rewrite(
        &mut self,
        message: &Message<'_>,
        name: HeaderName,
        f: impl Fn(&[u8], &mut Writer<'_>) -> bool,
    ) -> &mut Self {
        for (number, original) in message.lines(name) {
            let line = self.lines[number];
            let before = self.arena_len;
            let mut changed = false;
            let text = self.keep(|arena, writer| {
                changed = match line {
                    Line::Removed => false,
                    Line::Keep => f(original, writer),
                    Line::Cut(value) => f(value.of(message.bytes()), writer),
                    Line::Replaced(value) => f(value.of(arena), writer),
                };
            });
            match text {
                None => return self,
                Some(_) if !changed => self.arena_len = before,
                Some(text) if text.is_empty() => self.lines[number] = Line::Removed,
                Some(text) => self.lines[number] = Line::Replaced(text),
            }
        }
        self
    }
}

/// Writes scheme and parameters but those named.
fn copy_auth_params(
    value: &[u8],
    without: &[&str],
    writer: &mut Writer<'_>,
) -> Result<(), FieldError> {
    let mut cursor = Cursor::new(value);
    cursor.space();
    writer.put(cursor.token("an authentication scheme")?);
    let mut separator: &[u8] = b" ";
    while !cursor.at_end() {
        let Pair { name, value, is_quoted } = auth::pair(&mut cursor)?;
        if !without.iter().any(|without| name.eq_ignore_ascii_case(without.as_bytes())) {
            let quote: &[u8] = if is_quoted { b"\"" } else { b"" };
            writer.put(separator).put(name).put(b"=").put(quote).put(value).put(quote);
            separator = b", ";
        }
    }
    if separator == b" " { Err(cursor.error("a parameter that stays")) } else { Ok(()) }
}

/// The elements of one comma-separated value.
struct Elements<'a>(Option<&'a [u8]>);

impl<'a> Iterator for Elements<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let rest = self.0?;
        let end = find_outside(rest, b',', true);
        self.0 = rest.get(end + 1..);
        Some(trim(&rest[..end]))
    }
}

/// A set of header names.
#[derive(Copy, Clone, Default, Debug)]
struct NameSet(u128);

const _: () = assert!(crate::header::NAMES <= 128);

impl NameSet {
    fn insert(&mut self, name: HeaderName) {
        self.0 |= 1 << (name as u8);
    }

    fn contains(self, name: HeaderName) -> bool {
        self.0 & (1 << (name as u8)) != 0
    }

    /// The names of both.
    fn union(self, other: NameSet) -> NameSet {
        NameSet(self.0 | other.0)
    }

    /// Removes a name; says whether it was there.
    fn take(&mut self, name: HeaderName) -> bool {
        let was = self.contains(name);
        self.0 &= !(1 << (name as u8));
        was
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse::{Index, parse};

    const REQUEST: &[u8] = b"SUBSCRIBE sip:a@home SIP/2.0\r\n\
        v: SIP/2.0/UDP 1.1.1.1;branch=z9hG4bK1 ,\r\n SIP/2.0/UDP 2.2.2.2;branch=z9hG4bK2\r\n\
        Via: SIP/2.0/UDP 3.3.3.3;branch=z9hG4bK3\r\n\
        Route: <sip:p;lr>\r\nRoute: <sip:s,t;lr>,<sip:u;lr>\r\n\
        Require: sec-agree, Path\r\nProxy-Require: SEC-agree\r\nX-Odd:   kept  \r\n\
        Content-Length: 2\r\n\r\nhi";

    fn edited(input: &[u8], edit: impl FnOnce(&mut Edits, &Message<'_>)) -> String {
        let mut index = Index::default();
        let message = parse(input, &mut index).unwrap();
        let mut edits = Edits::new();
        edit(&mut edits, &message);
        let mut out = [0; 4096];
        let len = edits.write(&message, &mut out).unwrap();
        String::from_utf8(out[..len].to_vec()).unwrap()
    }

    fn without(lines: &[&str]) -> String {
        let mut text = String::from_utf8(REQUEST.to_vec()).unwrap();
        for line in lines {
            assert!(text.contains(line), "{line}");
            text = text.replacen(line, "", 1);
        }
        text
    }

    #[test]
    fn no_edit_changes_no_byte() {
        assert_eq!(edited(REQUEST, |_, _| {}).as_bytes(), REQUEST);
    }

    #[test]
    fn pops_element_by_element() {
        let via =
            "v: SIP/2.0/UDP 1.1.1.1;branch=z9hG4bK1 ,\r\n SIP/2.0/UDP 2.2.2.2;branch=z9hG4bK2\r\n";
        let once = edited(REQUEST, |edits, message| {
            edits.pop_first(message, HeaderName::Via);
        });
        let text = String::from_utf8_lossy(REQUEST);
        assert_eq!(once, text.replace(via, "v: SIP/2.0/UDP 2.2.2.2;branch=z9hG4bK2\r\n"));
        let twice = edited(REQUEST, |edits, message| {
            edits.pop_first(message, HeaderName::Via).pop_first(message, HeaderName::Via);
        });
        assert_eq!(twice, without(&[via]));
        let routes = edited(REQUEST, |edits, message| {
            for _ in 0..4 {
                edits.pop_first(message, HeaderName::Route);
            }
        });
        assert_eq!(
            routes,
            without(&["Route: <sip:p;lr>\r\n", "Route: <sip:s,t;lr>,<sip:u;lr>\r\n"])
        );
        let replaced = edited(REQUEST, |edits, message| {
            edits.set(message, HeaderName::Route, |w| {
                w.text("<sip:1>, <sip:2>,<sip:3>");
            });
            edits.pop_first(message, HeaderName::Route).pop_first(message, HeaderName::Route);
        });
        assert!(replaced.contains("\r\nRoute: <sip:3>\r\nRequire"), "{replaced}");
    }

    #[test]
    fn new_lines_go_where_they_belong() {
        let text = edited(REQUEST, |edits, _| {
            for name in [HeaderName::Via, HeaderName::RecordRoute] {
                edits.insert_first(name, |w| {
                    w.text("one");
                });
                edits.insert_first(name, |w| {
                    w.text("two");
                });
            }
            edits.append(HeaderName::Path, |w| {
                w.text("<sip:p>");
            });
            edits.request_uri(b"sip:b@other");
        });
        assert!(text.starts_with(
            "SUBSCRIBE sip:b@other SIP/2.0\r\nRecord-Route: two\r\nRecord-Route: one\r\n\
             Via: two\r\nVia: one\r\nv: SIP"
        ));
        assert!(text.ends_with("Content-Length: 2\r\nPath: <sip:p>\r\n\r\nhi"));
    }

    #[test]
    fn new_lines_take_the_place_of_removed_ones() {
        let text = edited(REQUEST, |edits, message| {
            edits.insert_first(HeaderName::Route, |w| _ = w.text("<sip:n;lr>"));
            edits.remove(HeaderName::Route);
            edits.set(message, HeaderName::Via, |w| _ = w.text("v"));
            edits.remove_line(4);
        });
        let head = "SUBSCRIBE sip:a@home SIP/2.0\r\nv: v\r\nRoute: <sip:n;lr>\r\nProxy-Require";
        assert!(text.starts_with(head), "{text}");
    }

    #[test]
    fn options_are_stripped_and_empty_lines_dropped() {
        let text = edited(REQUEST, |edits, message| {
            edits.remove_options(message, HeaderName::Require, &["sec-agree"]);
            edits.remove_options(message, HeaderName::ProxyRequire, &["sec-agree", "x"]);
            edits.remove_options(message, HeaderName::Supported, &["x"]);
        });
        assert!(
            text.contains("t;lr>,<sip:u;lr>\r\nRequire: Path\r\nX-Odd:   kept  \r\n"),
            "{text}"
        );
    }

    #[test]
    fn keys_are_taken_out_and_what_is_unreadable_goes() {
        let input = b"SIP/2.0 401 Unauthorized\r\n\
            WWW-Authenticate: Digest realm=\"a,ik=b\", IK=\"00\",nonce=\"x\\\"[\", ck=11 , qop=\"auth\"\r\n\
            WWW-Authenticate: Digest ik=\"00\r\nWWW-Authenticate: Digest ik=\"00\"\r\n\r\n";
        let text = edited(input, |edits, message| {
            edits.remove_auth_params(message, HeaderName::WwwAuthenticate, &["ik", "ck"]);
        });
        assert_eq!(
            text,
            "SIP/2.0 401 Unauthorized\r\nWWW-Authenticate: Digest realm=\"a,ik=b\", \
             nonce=\"x\\\"[\", qop=\"auth\"\r\n\r\n"
        );
    }

    #[test]
    fn a_new_body_brings_its_headers() {
        let text = edited(REQUEST, |edits, _| {
            edits.body("text/plain", b"hello");
        });
        assert!(
            text.ends_with("kept  \r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello")
        );
    }

    #[test]
    fn overflow_is_told_at_the_end_and_cleared() {
        let mut index = Index::default();
        let message = parse(REQUEST, &mut index).unwrap();
        let mut edits = Edits::new();
        edits.body("text/plain", &[b'x'; ARENA_BYTES]);
        let mut out = [0; 8192];
        assert_eq!(edits.write(&message, &mut out), Err(WriteError));
        edits.clear();
        assert_eq!(edits.write(&message, &mut out), Ok(REQUEST.len()));
        assert_eq!(edits.write(&message, &mut out[..REQUEST.len() - 1]), Err(WriteError));
        for _ in 0..=MAX_NEW_LINES {
            edits.append(HeaderName::Path, |_| {});
        }
        assert_eq!(edits.write(&message, &mut out), Err(WriteError));
    }
}
