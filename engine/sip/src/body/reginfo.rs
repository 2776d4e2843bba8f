//! `application/reginfo+xml` (RFC 3680), with the GRUUs of RFC 5628: what a NOTIFY of the `reg` event package says. Written in
//! full each time.
//!
//! A P-CSCF reads of it which contacts are bound, and for how long. It takes any registrar's: with name space prefixes, and with elements
//! that it doesn't know, but without a document type definition, so that no entity can grow.

use super::secinfo::{Xml, XmlError, escape};
use crate::scan::{decimal_u32, trim};
use crate::write::Writer;

/// The body's MIME type.
pub const CONTENT_TYPE: &str = "application/reginfo+xml";

/// What happened to a contact (RFC 3680 clause 5.2).
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum ContactEvent {
    /// It is bound.
    Registered,
    /// Its binding was prolonged.
    Refreshed,
    /// The network has lowered its lifetime, to authenticate the user again.
    Shortened,
    /// Its binding ran out.
    Expired,
    /// Its user removed it.
    Unregistered,
    /// The network removed it; the user may register again.
    Deactivated,
    /// The network removed it; the user may not register again.
    Rejected,
}

impl ContactEvent {
    /// The value of `event`.
    pub const fn as_str(self) -> &'static str {
        match self {
            ContactEvent::Registered => "registered",
            ContactEvent::Refreshed => "refreshed",
            ContactEvent::Shortened => "shortened",
            ContactEvent::Expired => "expired",
            ContactEvent::Unregistered => "unregistered",
            ContactEvent::Deactivated => "deactivated",
            ContactEvent::Rejected => "rejected",
        }
    }

    /// Whether the contact is bound no more.
    pub const fn is_end(self) -> bool {
        !matches!(
            self,
            ContactEvent::Registered | ContactEvent::Refreshed | ContactEvent::Shortened
        )
    }
}

/// A contact of the registration.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Contact<'a> {
    /// Its identifier within the registration.
    pub id: u64,
    /// What happened to it last.
    pub event: ContactEvent,
    /// Seconds that the binding lasts from now.
    pub expires_s: u64,
    /// Its URI.
    pub uri: &'a [u8],
    /// Its public GRUU (RFC 5628 clause 5), empty where it has none.
    pub pub_gruu: &'a [u8],
}

/// Writes a full body about one address of record.
pub fn write<'a>(
    writer: &mut Writer<'_>,
    version: u32,
    aor: &[u8],
    id: u64,
    contacts: impl Iterator<Item = Contact<'a>> + Clone,
) {
    let state = match contacts.clone().any(|contact| !contact.event.is_end()) {
        true => "active",
        false if contacts.clone().next().is_some() => "terminated",
        false => "init",
    };
    writer.text("<?xml version=\"1.0\"?>\r\n<reginfo xmlns=\"urn:ietf:params:xml:ns:reginfo\"");
    writer.text(" xmlns:gr=\"urn:ietf:params:xml:ns:gruuinfo\" version=\"");
    writer.decimal(u64::from(version)).text("\" state=\"full\"><registration aor=\"");
    escape(aor, writer);
    writer.text("\" id=\"r").hex_u64(id).text("\" state=\"").text(state).text("\">");
    for contact in contacts {
        writer.text("<contact id=\"c").hex_u64(contact.id).text("\" state=\"");
        writer.text(if contact.event.is_end() { "terminated" } else { "active" });
        writer.text("\" event=\"").text(contact.event.as_str()).text("\"");
        if !contact.event.is_end() {
            writer.text(" expires=\"").decimal(contact.expires_s).text("\"");
        }
        writer.text("><uri>");
        escape(contact.uri, writer);
        writer.text("</uri>");
        if !contact.pub_gruu.is_empty() {
            writer.text("<gr:pub-gruu uri=\"");
            escape(contact.pub_gruu, writer);
            writer.text("\"/>");
        }
        writer.text("</contact>");
    }
    writer.text("</registration></reginfo>");
}

/// What a body that was read says of a contact.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Bound<'b> {
    /// Whether it is bound.
    pub is_active: bool,
    /// Seconds that the binding lasts from now, where that is said.
    pub expires_s: Option<u32>,
    /// Its URI, as it is spelled there: see [`unescape`](super::secinfo::unescape).
    pub uri: &'b [u8],
}

/// A body that was read.
#[derive(Copy, Clone, Debug)]
pub struct Reginfo<'b>(&'b [u8]);

impl<'b> Reginfo<'b> {
    /// Reads a body. All of it is checked, so that the iterator can't fail.
    ///
    /// # Errors
    /// The first thing that is not as expected.
    pub fn parse(body: &'b [u8]) -> Result<Reginfo<'b>, XmlError> {
        let mut xml = Xml { text: body, at: 0 };
        let (mut begins, mut ends) = (false, false);
        while let Some(tag) = next_tag(&mut xml)? {
            begins |= tag.name == b"reginfo" && !tag.is_end;
            ends = tag.name == b"reginfo" && (tag.is_end || tag.is_empty);
        }
        match begins && ends {
            true => Ok(Reginfo(body)),
            false => Err(xml.error("the element reginfo")),
        }
    }

    /// The contacts of all registrations, in order.
    pub fn contacts(&self) -> impl Iterator<Item = Bound<'b>> + use<'b> {
        let mut xml = Xml { text: self.0, at: 0 };
        std::iter::from_fn(move || next_contact(&mut xml))
    }
}

/// An element's beginning or end; its name without a prefix.
struct Tag<'b> {
    name: &'b [u8],
    is_end: bool,
    is_empty: bool,
    bound: Bound<'b>,
}

/// Steps past the next tag, and what is before it; `None` at the end.
fn next_tag<'b>(xml: &mut Xml<'b>) -> Result<Option<Tag<'b>>, XmlError> {
    loop {
        let text = xml.run(|byte| byte != b'<');
        xml.check_references(text)?;
        if xml.rest().is_empty() {
            return Ok(None);
        }
        if xml.accept(b"<?") {
            xml.skip_past(b"?>")?;
        } else if xml.accept(b"<!--") {
            xml.skip_past(b"-->")?;
        } else {
            break;
        }
    }
    xml.expect(b"<", "a tag")?;
    let is_end = xml.accept(b"/");
    let name = xml.run(|byte| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte));
    let name = name.rsplit(|byte| *byte == b':').next().unwrap_or_default();
    if name.is_empty() {
        return Err(xml.error("an element's name"));
    }
    let mut bound = Bound { is_active: false, expires_s: None, uri: b"" };
    while let Some((name, value)) = xml.attribute()? {
        match name {
            b"state" => bound.is_active = value == b"active",
            b"expires" => bound.expires_s = decimal_u32(value),
            _ => {}
        }
    }
    let is_empty = xml.accept(b"/");
    xml.expect(b">", "a closing bracket")?;
    Ok(Some(Tag { name, is_end, is_empty, bound }))
}

/// Steps past the next contact.
fn next_contact<'b>(xml: &mut Xml<'b>) -> Option<Bound<'b>> {
    let mut contact = None;
    loop {
        let tag = next_tag(xml).ok()??;
        match (tag.name, tag.is_end) {
            (b"contact", false) => contact = Some(tag.bound),
            (b"contact", true) => return contact,
            (b"uri", false) => {
                let text = xml.run(|byte| byte != b'<');
                if let Some(contact) = &mut contact {
                    contact.uri = trim(text);
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(contacts: &[Contact<'_>]) -> String {
        let mut out = [0; 1024];
        let mut writer = Writer::new(&mut out);
        write(&mut writer, 3, b"sip:a@b", 7, contacts.iter().copied());
        String::from_utf8(writer.as_written().to_vec()).unwrap()
    }

    const BOUND: Contact<'static> = Contact {
        id: 1,
        event: ContactEvent::Registered,
        expires_s: 60,
        uri: b"sip:[::1]:5?a=1&b=2",
        pub_gruu: b"",
    };

    #[test]
    fn the_registrations_state_follows_from_its_contacts() {
        assert!(written(&[]).contains("state=\"init\"></registration>"));
        let ended = Contact { event: ContactEvent::Expired, ..BOUND };
        assert!(written(&[ended]).contains("id=\"r0000000000000007\" state=\"terminated\">"));
        assert!(written(&[ended, BOUND]).contains("id=\"r0000000000000007\" state=\"active\">"));
    }

    #[test]
    fn a_contact_is_written_with_what_it_has() {
        let text = written(&[Contact { pub_gruu: b"sip:a@b;gr=urn:uuid:1", ..BOUND }]);
        let contact = "<contact id=\"c0000000000000001\" state=\"active\" event=\"registered\" expires=\"60\">\
            <uri>sip:[::1]:5?a=1&amp;b=2</uri><gr:pub-gruu uri=\"sip:a@b;gr=urn:uuid:1\"/></contact>";
        assert!(text.contains(contact), "{text}");
        let ended = written(&[Contact { event: ContactEvent::Rejected, ..BOUND }]);
        assert!(ended.contains("state=\"terminated\" event=\"rejected\"><uri>"), "{ended}");
    }

    fn read(body: &str) -> Vec<(bool, Option<u32>, String)> {
        let reginfo = Reginfo::parse(body.as_bytes()).unwrap();
        let text = |uri: &[u8]| String::from_utf8(uri.to_vec()).unwrap();
        reginfo.contacts().map(|it| (it.is_active, it.expires_s, text(it.uri))).collect()
    }

    #[test]
    fn what_is_written_is_read() {
        let ended = Contact { event: ContactEvent::Expired, uri: b"sip:x@y", ..BOUND };
        let text = written(&[BOUND, ended]);
        let bound = "sip:[::1]:5?a=1&amp;b=2".to_owned();
        assert_eq!(read(&text), [(true, Some(60), bound), (false, None, "sip:x@y".to_owned())]);
        for cut in 0..text.len() {
            assert!(Reginfo::parse(&text.as_bytes()[..cut]).is_err(), "cut at {cut}");
        }
    }

    #[test]
    fn another_registrars_form_is_read() {
        let text = "<?xml version='1.0'?><!-- x --><r:reginfo xmlns:r='urn:ietf:params:xml:ns:reginfo' version='0' state='full'>\
            <r:registration aor='sip:a@b' id='1' state='active'><r:contact id='2' state='active' event='shortened' expires='30'>\
            <r:uri> sip:1.2.3.4:5 </r:uri><r:unknown-param name='q'>0.5</r:unknown-param></r:contact></r:registration></r:reginfo>";
        assert_eq!(read(text), [(true, Some(30), "sip:1.2.3.4:5".to_owned())]);
    }

    #[test]
    fn what_is_no_such_body_is_refused() {
        for text in [
            "",
            "hello",
            "<a/>",
            "<!DOCTYPE x><reginfo/>",
            "<reginfo",
            "<reginfo>&x;</reginfo>",
            "<info></reginfo>",
        ] {
            assert!(Reginfo::parse(text.as_bytes()).is_err(), "{text}");
        }
    }
}
