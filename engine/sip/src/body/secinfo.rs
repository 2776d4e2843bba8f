//! `application/secinfo+xml`: what a `security` subscription's NOTIFY says.
//!
//! ```xml
//! <secinfo xmlns="urn:imstorm:params:xml:ns:secinfo" version="0" state="full" session="ID"
//!  lifetime="N"><identity default="true">sip:…</identity>
//!  <identity barred="true">sip:…</identity></secinfo>
//! ```
//!
//! The reader takes what this document type needs of XML and no more: no document type definition,
//! so that no entity can grow, no name space prefixes, no elements that it doesn't know. Attributes
//! that it doesn't know are passed over.

use crate::scan::{decimal_u32, is_space, trim};
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
    writer.text("<secinfo xmlns=\"").text(NAME_SPACE);
    writer.text("\" version=\"").decimal(u64::from(head.version));
    writer.text("\" state=\"full\" session=\"");
    escape(head.session, writer);
    writer.text("\" lifetime=\"").decimal(u64::from(head.lifetime_s)).text("\">");
    for identity in identities {
        writer.text("<identity");
        if identity.is_default {
            writer.text(" default=\"true\"");
        }
        if identity.is_barred {
            writer.text(" barred=\"true\"");
        }
        writer.text(">");
        escape(identity.uri, writer);
        writer.text("</identity>");
    }
    writer.text("</secinfo>");
}

impl<'b> Secinfo<'b> {
    /// Reads a body. All of it is checked, so that the iterator can't fail.
    ///
    /// # Errors
    /// The first thing that is not as expected.
    pub fn parse(body: &'b [u8]) -> Result<Secinfo<'b>, XmlError> {
        let mut xml = Xml { text: body, at: 0 };
        if xml.accept(b"<?xml") {
            xml.skip_past(b"?>")?;
        }
        xml.skip()?;
        xml.expect(b"<secinfo", "the element secinfo")?;
        let mut found = Secinfo {
            head: Head { version: 0, session: b"", lifetime_s: 0 },
            state: b"",
            identities: b"",
        };
        let (mut space, mut version, mut lifetime_s) = (false, None, None);
        let start = xml;
        while let Some((name, value)) = xml.attribute()? {
            match name {
                b"xmlns" => space = value == NAME_SPACE.as_bytes(),
                b"version" => version = decimal_u32(value),
                b"lifetime" => lifetime_s = decimal_u32(value),
                b"state" => found.state = value,
                b"session" => found.head.session = value,
                _ => {}
            }
        }
        let (true, Some(version), Some(lifetime_s)) = (space, version, lifetime_s) else {
            return Err(start.error("its name space, and a version and a lifetime up to 2^32-1"));
        };
        found.head.version = version;
        found.head.lifetime_s = lifetime_s;
        if xml.accept(b"/>") {
            return xml.end().map(|()| found);
        }
        xml.expect(b">", "a closing bracket")?;
        let start = xml.at;
        while xml.identity()?.is_some() {}
        found.identities = &body[start..xml.at];
        xml.expect(b"</secinfo", "the end of secinfo")?;
        xml.space();
        xml.expect(b">", "a closing bracket")?;
        xml.end().map(|()| found)
    }

    /// The identities in order.
    pub fn identities(&self) -> impl Iterator<Item = Identity<'b>> + use<'b> {
        let mut xml = Xml { text: self.identities, at: 0 };
        std::iter::from_fn(move || xml.identity().ok().flatten())
    }
}

/// Writes `text` with its entities and character references replaced. What is none stays as it is.
pub fn unescape(text: &[u8], writer: &mut Writer<'_>) {
    let mut rest = text;
    while let Some(at) = memchr::memchr(b'&', rest) {
        writer.put(&rest[..at]);
        rest = &rest[at..];
        let mut utf8 = [0; 4];
        match reference(rest) {
            Some((character, len)) => {
                writer.text(character.encode_utf8(&mut utf8));
                rest = &rest[len..];
            }
            None => {
                writer.put(b"&");
                rest = &rest[1..];
            }
        }
    }
    writer.put(rest);
}

/// Writes `text` so that it may stand in an element or an attribute.
pub(crate) fn escape(text: &[u8], writer: &mut Writer<'_>) {
    let mut rest = text;
    while let Some(at) = rest.iter().position(|byte| b"&<>\"'".contains(byte)) {
        writer.put(&rest[..at]);
        writer.text(match rest[at] {
            b'&' => "&amp;",
            b'<' => "&lt;",
            b'>' => "&gt;",
            b'"' => "&quot;",
            _ => "&apos;",
        });
        rest = &rest[at + 1..];
    }
    writer.put(rest);
}

/// The character that the reference at the start of `text` stands for, and the reference's length.
fn reference(text: &[u8]) -> Option<(char, usize)> {
    // The longest: `&#x0010FFFF;`.
    let end = memchr::memchr(b';', &text[..text.len().min(12)])?;
    let name = text.get(1..end)?;
    let code = match name {
        b"amp" => return Some(('&', end + 1)),
        b"lt" => return Some(('<', end + 1)),
        b"gt" => return Some(('>', end + 1)),
        b"quot" => return Some(('"', end + 1)),
        b"apos" => return Some(('\'', end + 1)),
        [b'#', b'x', digits @ ..] => {
            if !digits.iter().all(u8::is_ascii_hexdigit) {
                return None;
            }
            u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?
        }
        [b'#', digits @ ..] => decimal_u32(digits)?,
        _ => return None,
    };
    char::from_u32(code).filter(|&c| c >= ' ').map(|character| (character, end + 1))
}

/// Name and value, its references as they are.
type Attribute<'b> = (&'b [u8], &'b [u8]);

/// A place in an XML text.
#[derive(Copy, Clone)]
pub(crate) struct Xml<'b> {
    pub(crate) text: &'b [u8],
    pub(crate) at: usize,
}

impl<'b> Xml<'b> {
    pub(crate) fn rest(&self) -> &'b [u8] {
        self.text.get(self.at..).unwrap_or_default()
    }

    pub(crate) fn accept(&mut self, wanted: &[u8]) -> bool {
        let here = self.rest().starts_with(wanted);
        self.at += if here { wanted.len() } else { 0 };
        here
    }

    pub(crate) fn expect(&mut self, wanted: &[u8], expected: &'static str) -> Result<(), XmlError> {
        if self.accept(wanted) { Ok(()) } else { Err(self.error(expected)) }
    }

    pub(crate) fn skip_past(&mut self, wanted: &'static [u8]) -> Result<(), XmlError> {
        match memchr::memmem::find(self.rest(), wanted) {
            Some(at) => {
                self.at += at + wanted.len();
                Ok(())
            }
            None => Err(self.error("the end of what is open")),
        }
    }

    /// Steps over white space; says whether there was some.
    pub(crate) fn space(&mut self) -> bool {
        let before = self.at;
        while self.rest().first().is_some_and(|&byte| is_space(byte)) {
            self.at += 1;
        }
        self.at > before
    }

    /// Steps over white space and comments.
    fn skip(&mut self) -> Result<(), XmlError> {
        loop {
            self.space();
            if !self.accept(b"<!--") {
                return Ok(());
            }
            self.skip_past(b"-->")?;
        }
    }

    fn end(mut self) -> Result<(), XmlError> {
        self.skip()?;
        if self.rest().is_empty() { Ok(()) } else { Err(self.error("the end")) }
    }

    /// Steps over one attribute and the white space before it; `None` if there is none.
    pub(crate) fn attribute(&mut self) -> Result<Option<Attribute<'b>>, XmlError> {
        let spaced = self.space();
        let name = self.run(|byte| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte));
        if name.is_empty() {
            return Ok(None);
        }
        if !spaced {
            return Err(self.error("white space before an attribute"));
        }
        self.space();
        self.expect(b"=", "an equals sign")?;
        self.space();
        let Some(&quote @ (b'"' | b'\'')) = self.rest().first() else {
            return Err(self.error("a quote"));
        };
        self.at += 1;
        let value = self.run(|byte| byte != quote && byte != b'<' && byte >= b' ');
        self.check_references(value)?;
        self.expect(&[quote], "a closing quote")?;
        Ok(Some((name, value)))
    }

    /// Steps over one identity element and what is before it; `None` if there is none.
    fn identity(&mut self) -> Result<Option<Identity<'b>>, XmlError> {
        self.skip()?;
        if !self.accept(b"<identity") {
            return Ok(None);
        }
        let mut identity = Identity { uri: b"", is_default: false, is_barred: false };
        while let Some((name, value)) = self.attribute()? {
            let is_true = matches!(value, b"true" | b"1");
            match name {
                b"default" => identity.is_default = is_true,
                b"barred" => identity.is_barred = is_true,
                _ => {}
            }
        }
        self.expect(b">", "a closing bracket")?;
        let text = self.run(|byte| byte != b'<' && byte != b'>');
        self.check_references(text)?;
        identity.uri = trim(text);
        // White space in it would let a header that it is written into end early.
        if identity.uri.is_empty() || identity.uri.iter().any(|&byte| is_space(byte)) {
            return Err(self.error("a URI without white space before this"));
        }
        self.expect(b"</identity", "the end of identity")?;
        self.space();
        self.expect(b">", "a closing bracket")?;
        Ok(Some(identity))
    }

    pub(crate) fn run(&mut self, class: impl Fn(u8) -> bool) -> &'b [u8] {
        let rest = self.rest();
        let len = rest.iter().position(|&byte| !class(byte)).unwrap_or(rest.len());
        self.at += len;
        &rest[..len]
    }

    /// `text` was just stepped over: each ampersand in it must start a reference.
    pub(crate) fn check_references(&self, text: &[u8]) -> Result<(), XmlError> {
        match memchr::memchr_iter(b'&', text).find(|&at| reference(&text[at..]).is_none()) {
            None => Ok(()),
            Some(at) => Err(XmlError {
                offset: self.at - text.len() + at,
                expected: "an entity of XML or a character reference",
            }),
        }
    }

    #[cold]
    pub(crate) fn error(&self, expected: &'static str) -> XmlError {
        XmlError { offset: self.at, expected }
    }
}

impl std::fmt::Display for XmlError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "expected {} at {}", self.expected, self.offset)
    }
}

impl std::error::Error for XmlError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn unescaped(text: &[u8]) -> Vec<u8> {
        let mut out = [0; 100];
        let mut writer = Writer::new(&mut out);
        unescape(text, &mut writer);
        writer.as_written().to_vec()
    }

    #[test]
    fn what_is_written_is_read() {
        let mut out = [0; 1000];
        let mut writer = Writer::new(&mut out);
        let identities = [
            Identity { uri: b"sip:a&b<\">'@x", is_default: true, is_barred: false },
            Identity { uri: b"tel:+1", is_default: false, is_barred: true },
        ];
        let head = Head { version: 3, session: b"s&1", lifetime_s: 600_000 };
        write(&mut writer, &head, identities);
        let len = writer.done().unwrap();
        let read = Secinfo::parse(&out[..len]).unwrap();
        assert_eq!((read.head.version, read.head.lifetime_s), (3, 600_000));
        assert_eq!((read.state, unescaped(read.head.session)), (&b"full"[..], b"s&1".to_vec()));
        let found: Vec<_> = read.identities().collect();
        assert_eq!(unescaped(found[0].uri), identities[0].uri);
        assert!(found[0].is_default && !found[0].is_barred);
        assert_eq!(found[1], identities[1]);
        assert_eq!(found.len(), 2);
        for cut in 0..len {
            assert!(Secinfo::parse(&out[..cut]).is_err(), "cut at {cut}");
        }
    }

    #[test]
    fn the_published_form() {
        let mut out = [0; 300];
        let mut writer = Writer::new(&mut out);
        let head = Head { version: 0, session: b"ID", lifetime_s: 7 };
        let identity = |uri, is_default, is_barred| Identity { uri, is_default, is_barred };
        write(
            &mut writer,
            &head,
            [identity(b"sip:a", true, false), identity(b"sip:b", false, true)],
        );
        assert_eq!(
            std::str::from_utf8(writer.as_written()).unwrap(),
            "<secinfo xmlns=\"urn:imstorm:params:xml:ns:secinfo\" version=\"0\" state=\"full\" \
             session=\"ID\" lifetime=\"7\"><identity default=\"true\">sip:a</identity>\
             <identity barred=\"true\">sip:b</identity></secinfo>"
        );
    }

    #[test]
    fn liberties_of_xml() {
        let text = "<?xml version='1.0'?><!-- x -->\n<secinfo lifetime = '1'\n version='2' new='' \
            xmlns='urn:imstorm:params:xml:ns:secinfo' ><!---->\n <identity barred='1' >\n sip:a\n\
            </identity ></secinfo >\n";
        let read = Secinfo::parse(text.as_bytes()).unwrap();
        let identity = Identity { uri: b"sip:a", is_default: false, is_barred: true };
        assert_eq!(read.identities().collect::<Vec<_>>(), [identity]);
        let empty = "<secinfo xmlns='urn:imstorm:params:xml:ns:secinfo' version='0' lifetime='0'/>";
        assert_eq!(Secinfo::parse(empty.as_bytes()).unwrap().identities().count(), 0);
    }

    #[test]
    fn what_is_refused() {
        let with = |inner: &str| {
            format!("<secinfo xmlns='{NAME_SPACE}' version='0' lifetime='0'>{inner}</secinfo>")
        };
        assert!(Secinfo::parse(with("<identity>a</identity>").as_bytes()).is_ok());
        for inner in [
            "<identity></identity>",
            "<identity>a\r\nRoute: b</identity>",
            "<identity x='\n'>a</identity>",
            "<identity>a&b</identity>",
            "<identity>&e;</identity>",
            "<identity>&#0;</identity>",
            "<identity>&#x+41;</identity>",
            "<identity>&#xD800;</identity>",
            "<identity><b/></identity>",
            "<identity x=1>a</identity>",
            "<identity x='1'y='1'>a</identity>",
            "<other>a</other>",
            "text",
        ] {
            assert!(Secinfo::parse(with(inner).as_bytes()).is_err(), "{inner}");
        }
        let doctype = format!("<!DOCTYPE a [<!ENTITY e 'x'>]>{}", with(""));
        assert!(Secinfo::parse(doctype.as_bytes()).is_err());
        let space = with("").replace("urn:imstorm", "urn:other");
        assert!(Secinfo::parse(space.as_bytes()).is_err());
        assert!(Secinfo::parse(with("").replace("'0'", "'4294967296'").as_bytes()).is_err());
    }

    #[test]
    fn references() {
        assert_eq!(unescaped(b"&amp;&#65;&#x42;&lt;&e;&"), b"&AB<&e;&");
        assert_eq!(unescaped("&#x20AC;".as_bytes()), "\u{20ac}".as_bytes());
    }
}
