//! `application/reginfo+xml` (RFC 3680), with the GRUUs of RFC 5628: what a NOTIFY of the `reg` event package says. Written in
//! full each time; nobody here needs to read one.

use super::secinfo::escape;
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
            ContactEvent::Expired => "expired",
            ContactEvent::Unregistered => "unregistered",
            ContactEvent::Deactivated => "deactivated",
            ContactEvent::Rejected => "rejected",
        }
    }

    /// Whether the contact is bound no more.
    pub const fn is_end(self) -> bool {
        !matches!(self, ContactEvent::Registered | ContactEvent::Refreshed)
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
}
