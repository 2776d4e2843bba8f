//! Via (RFC 3261 20.42, RFC 3581).

use crate::error::FieldError;
use crate::params::{self, Params};
use crate::scan::{Cursor, DIGIT, decimal_u16, folded, trim_end};
use crate::uri::{self, Host};
use std::net::{IpAddr, SocketAddr};

/// What a branch of RFC 3261 starts with (8.1.1.7).
pub const MAGIC_COOKIE: &[u8] = b"z9hG4bK";

/// One hop's Via.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Via<'b> {
    /// All of it.
    pub text: &'b [u8],
    /// The transport's name as spelled.
    pub transport: &'b [u8],
    /// Host and port as spelled.
    pub sent_by: &'b [u8],
    /// The host of sent-by.
    pub host: Host<'b>,
    /// The port of sent-by.
    pub port: Option<u16>,
    /// The branch; RFC 2543's elements send none.
    pub branch: Option<&'b [u8]>,
    /// Where the request really came from.
    pub received: Option<IpAddr>,
    /// `Some(None)`: the port is asked for; `Some(Some(port))`: it is filled in (RFC 3581).
    pub rport: Option<Option<u16>>,
    /// All parameters.
    pub params: Params<'b>,
}

impl<'b> Via<'b> {
    /// Takes one Via (one list element) apart.
    ///
    /// # Errors
    /// If it is not `SIP/2.0/transport host:port;params`.
    pub fn parse(value: &'b [u8]) -> Result<Via<'b>, FieldError> {
        let mut cursor = Cursor::new(value);
        let found = Via::element(&mut cursor)?;
        params::ends(&cursor).map(|()| Via { text: value, ..found })
    }

    /// Steps over one, up to a comma or the end.
    pub(crate) fn element(cursor: &mut Cursor<'b>) -> Result<Via<'b>, FieldError> {
        cursor.space();
        let first = cursor.offset();
        let transport = transport(cursor)?;
        let before = cursor.offset();
        cursor.space();
        if cursor.offset() == before {
            return Err(cursor.error("white space before the host"));
        }
        let start = cursor.offset();
        let host = uri::host(cursor)?;
        // RFC 4475 3.1.1.1 has white space around the colon.
        let mut ahead = *cursor;
        ahead.space();
        let mut port = None;
        if ahead.accept(b':') {
            ahead.space();
            let at = ahead;
            port = decimal_u16(ahead.while_class(DIGIT));
            if port.is_none() {
                return Err(at.error("a port up to 65535"));
            }
            *cursor = ahead;
        }
        let text = cursor.text();
        let mut via = Via {
            text,
            transport,
            sent_by: text.get(start..cursor.offset()).unwrap_or_default(),
            host,
            port,
            branch: None,
            received: None,
            rport: None,
            params: Params(b""),
        };
        let mut outcome = Ok(());
        via.params = Params::each(cursor, |name, text| {
            if outcome.is_ok() {
                outcome = via.take(name, text);
            }
        })?;
        outcome.map_err(|expected| cursor.error(expected))?;
        via.text = trim_end(text.get(first..cursor.offset()).unwrap_or_default());
        Ok(via)
    }

    /// Where a response goes over an unreliable transport (RFC 3261 18.2.2, RFC 3581 4): the
    /// `received` address or else the host, if it is an address; the `rport` or else the port or
    /// else `default_port`. `maddr` is not followed: multicast has no place in IMS.
    pub fn response_addr(&self, default_port: u16) -> Option<SocketAddr> {
        let address = self.received.or(self.host.ip())?;
        let port = self.rport.flatten().or(self.port).unwrap_or(default_port);
        Some(SocketAddr::new(address, port))
    }

    /// Whether the branch is RFC 3261's: starts with the magic cookie and names something.
    pub fn has_cookie(&self) -> bool {
        self.branch.is_some_and(|branch| {
            branch.len() > MAGIC_COOKIE.len()
                && branch[..MAGIC_COOKIE.len()].eq_ignore_ascii_case(MAGIC_COOKIE)
        })
    }

    /// Takes in one parameter; of several of a name the first counts.
    fn take(&mut self, name: &[u8], text: Option<&'b [u8]>) -> Result<(), &'static str> {
        const BRANCH: u64 = folded(b"branch");
        const RPORT: u64 = folded(b"rport");
        const RECEIVED: u64 = folded(b"received");
        match folded(name) {
            BRANCH => self.branch = self.branch.or(text),
            RPORT if self.rport.is_none() => {
                let port = text.map(|text| decimal_u16(text).ok_or("an rport up to 65535"));
                self.rport = Some(port.transpose()?);
            }
            RECEIVED if self.received.is_none() => {
                let address = uri::address(text.unwrap_or_default());
                self.received = Some(address.ok_or("an address in received")?);
            }
            _ => {}
        }
        Ok(())
    }
}

/// Steps over `SIP/2.0/` and the transport, which it returns.
#[inline]
fn transport<'b>(cursor: &mut Cursor<'b>) -> Result<&'b [u8], FieldError> {
    if cursor.rest().starts_with(b"SIP/2.0/") {
        cursor.go(cursor.offset() + 8);
    } else {
        if !cursor.token("SIP")?.eq_ignore_ascii_case(b"SIP") {
            return Err(Cursor::new(cursor.text()).error("SIP"));
        }
        cursor.separator(b'/', "a slash")?;
        if cursor.token("2.0")? != b"2.0" {
            return Err(cursor.error("2.0 before this"));
        }
        cursor.separator(b'/', "a slash")?;
    }
    cursor.space();
    cursor.token("a transport")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response_addr(via: &str) -> Option<String> {
        let via = Via::parse(via.as_bytes()).unwrap();
        via.response_addr(5060).map(|address| address.to_string())
    }

    #[test]
    fn parts() {
        let text = b"SIP / 2.0/UDP  [2001:db8::1] : 5062 ;branch=z9hG4bK-*9*80;Role=3;rport";
        let via = Via::parse(text).unwrap();
        assert_eq!((via.transport, via.sent_by), (&b"UDP"[..], &b"[2001:db8::1] : 5062"[..]));
        assert_eq!((via.host, via.port), (Host::V6("2001:db8::1".parse().unwrap()), Some(5062)));
        assert_eq!((via.branch, via.rport), (Some(&b"z9hG4bK-*9*80"[..]), Some(None)));
        assert_eq!(via.params.value("role"), Some(&b"3"[..]));
        assert!(via.has_cookie());
        assert!(!Via::parse(b"SIP/2.0/UDP a;branch=z9hG4bK").unwrap().has_cookie());
        assert!(!Via::parse(b"SIP/2.0/UDP a").unwrap().has_cookie());
    }

    #[test]
    fn where_responses_go() {
        let address = |text: &str| Some(text.to_string());
        assert_eq!(response_addr("SIP/2.0/UDP 1.2.3.4"), address("1.2.3.4:5060"));
        assert_eq!(response_addr("SIP/2.0/UDP 1.2.3.4:1"), address("1.2.3.4:1"));
        assert_eq!(response_addr("SIP/2.0/UDP h:1;received=1.2.3.4"), address("1.2.3.4:1"));
        assert_eq!(response_addr("SIP/2.0/UDP h:1;received=::1;rport=7"), address("[::1]:7"));
        assert_eq!(response_addr("SIP/2.0/UDP h;received=[::1];rport"), address("[::1]:5060"));
        assert_eq!(response_addr("SIP/2.0/UDP h"), None);
    }

    #[test]
    fn what_is_refused() {
        for bad in [
            "",
            "SIP/2.0/UDP",
            "SIP/2.0/UDPhost",
            "SIP/3.0/UDP h",
            "HTTP/2.0/UDP h",
            "SIP/2.0/UDP h:",
            "SIP/2.0/UDP h:65536",
            "SIP/2.0/UDP h;;branch=1",
            "SIP/2.0/UDP h;rport=x",
            "SIP/2.0/UDP h;received=x",
            "SIP/2.0/UDP h;received",
            "SIP/2.0/UDP [::1",
            "SIP/2.0/UDP [1.2.3.4]",
            "SIP/2.0/UDP h x",
        ] {
            assert!(Via::parse(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
