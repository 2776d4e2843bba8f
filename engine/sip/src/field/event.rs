//! Event (RFC 6665 8.2.1).

use crate::error::FieldError;
use crate::params::Params;
use crate::scan::Cursor;

/// An Event value.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Event<'b> {
    /// The package with its templates, as spelled.
    pub package: &'b [u8],
    /// `id`, which tells subscriptions of one dialog apart.
    pub id: Option<&'b [u8]>,
    /// All parameters.
    pub params: Params<'b>,
}

impl<'b> Event<'b> {
    /// Takes a value apart.
    ///
    /// # Errors
    /// If it is not a token with parameters.
    pub fn parse(value: &'b [u8]) -> Result<Event<'b>, FieldError> {
        let mut cursor = Cursor::new(value);
        cursor.space();
        let package = cursor.token("an event package")?;
        let params = Params::parse(&mut cursor)?;
        Ok(Event { package, id: params.value("id"), params })
    }

    /// Whether both name the same package and id (RFC 6665 4.5.2: byte for byte).
    pub fn same(&self, other: &Event<'_>) -> bool {
        self.package == other.package && self.id == other.id
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values() {
        let event = Event::parse(b"security ; id=a1;x").unwrap();
        assert_eq!((event.package, event.id), (&b"security"[..], Some(&b"a1"[..])));
        assert!(event.same(&Event::parse(b"security;id=a1").unwrap()));
        assert!(!event.same(&Event::parse(b"security").unwrap()));
        assert!(!event.same(&Event::parse(b"Security;id=a1").unwrap()));
        assert_eq!(Event::parse(b"presence.winfo").unwrap().package, b"presence.winfo");
        for bad in [&b""[..], b";id=1", b"a b", b"a;;", b"a,b"] {
            assert!(Event::parse(bad).is_err(), "{}", bad.escape_ascii());
        }
    }
}
