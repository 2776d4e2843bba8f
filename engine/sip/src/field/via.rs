//! Via (RFC 3261 20.42, RFC 3581).

use crate::error::FieldError;
use crate::names::Names;
use crate::params::{self, Params};
use crate::scan::{Cursor, decimal_u16, is_space, trim_end};
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
        let mut stop = 0;
        let found = Via::element(value, &mut stop)?;
        params::ends(value, stop).map(|()| Via { text: value, ..found })
    }

    /// Takes one apart that ends at a comma or with the text, and sets `stop` to where that is.
    pub(crate) fn element(text: &'b [u8], stop: &mut usize) -> Result<Via<'b>, FieldError> {
        let mut cursor = Cursor::new(text);
        cursor.space();
        let start = cursor.offset();
        let transport = transport(&mut cursor)?;
        if !cursor.peek().is_some_and(is_space) {
            return Err(cursor.error("white space before the host"));
        }
        cursor.space();
        let before_host = cursor.offset();
        let host = uri::host(&mut cursor)?;
        let port = port(&mut cursor)?;
        let sent_by = cursor.since(before_host);
        // Of several of a name the first counts.
        let mut values = [None; 3];
        let params = Params::each(&mut cursor, |name, value| {
            if let Some(place) = KNOWN.place(name)
                && values[place]
                    .is_none_or(|first: Option<&[u8]>| first.is_none() && place == BRANCH)
            {
                values[place] = Some(value);
            }
        })?;
        let [branch, received, rport] = values;
        let received = received.map(|text| address(text, &cursor)).transpose()?;
        let rport = rport.map(|text| filled_in(text, &cursor)).transpose()?;
        *stop = cursor.offset();
        let text = trim_end(cursor.since(start));
        let branch = branch.flatten();
        Ok(Via { text, transport, sent_by, host, port, branch, received, rport, params })
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
}

/// The parameters that have a meaning here.
static KNOWN: Names<3> = Names::new(["branch", "received", "rport"]);
const BRANCH: usize = 0;

fn address(text: Option<&[u8]>, cursor: &Cursor<'_>) -> Result<IpAddr, FieldError> {
    let address = uri::address(text.unwrap_or_default());
    address.ok_or_else(|| cursor.error("an address in received"))
}

/// The value of `rport`, if it has one.
fn filled_in(text: Option<&[u8]>, cursor: &Cursor<'_>) -> Result<Option<u16>, FieldError> {
    let port =
        text.map(|text| decimal_u16(text).ok_or_else(|| cursor.error("an rport up to 65535")));
    port.transpose()
}

/// Steps over a colon and a port, if they are here. RFC 4475 3.1.1.1 has white space around the colon.
#[inline(always)]
fn port(cursor: &mut Cursor<'_>) -> Result<Option<u16>, FieldError> {
    let mut ahead = *cursor;
    ahead.space();
    if !ahead.accept(b':') {
        return Ok(None);
    }
    ahead.space();
    let at = ahead;
    let port = ahead.number().and_then(|port| u16::try_from(port).ok());
    *cursor = ahead;
    port.map(Some).ok_or_else(|| at.error("a port up to 65535"))
}

/// Steps over `SIP/2.0/` and the transport, which it returns.
#[inline(always)]
fn transport<'b>(cursor: &mut Cursor<'b>) -> Result<&'b [u8], FieldError> {
    if cursor.rest().starts_with(b"SIP/2.0/") {
        cursor.take(b"SIP/2.0/".len());
    } else {
        let version_bytes = odd_version(*cursor)?;
        cursor.take(version_bytes);
    }
    cursor.space();
    cursor.token("a transport")
}

/// The length of `SIP/2.0/` in any case and with white space.
#[cold]
fn odd_version(mut cursor: Cursor<'_>) -> Result<usize, FieldError> {
    let start = cursor;
    if !cursor.token("SIP")?.eq_ignore_ascii_case(b"SIP") {
        return Err(Cursor::at(start.text(), 0).error("SIP"));
    }
    cursor.separator(b'/', "a slash")?;
    if cursor.token("2.0")? != b"2.0" {
        return Err(cursor.error("2.0 before this"));
    }
    cursor.separator(b'/', "a slash")?;
    Ok(cursor.offset() - start.offset())
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
