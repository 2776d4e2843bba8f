//! Where a control plane listens, and how a client names it.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

/// What a Unix socket's address begins with.
const UNIX: &str = "unix:";

/// Where a server listens.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Address {
    /// TCP.
    Tcp(SocketAddr),
    /// A Unix socket at this path, for the user that the server runs as.
    Unix(PathBuf),
}

impl Address {
    /// Whether only this machine can reach it, so that no token is needed.
    #[must_use]
    pub fn is_local(&self) -> bool {
        match self {
            Address::Tcp(address) => address.ip().is_loopback(),
            Address::Unix(_) => true,
        }
    }

    /// The URL of a path on it, which begins with a slash: `http://127.0.0.1:9060/v1/status`, or
    /// `unix:/run/imstorm.sock:/v1/status`.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        match self {
            Address::Tcp(address) => format!("http://{address}{path}"),
            Address::Unix(socket) => format!("{UNIX}{}:{path}", socket.display()),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Tcp(address) => address.fmt(f),
            Address::Unix(path) => write!(f, "{UNIX}{}", path.display()),
        }
    }
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Address {
        Address::Tcp(address)
    }
}

/// A text that is no [`Address`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AddressError {
    /// The text.
    pub got: String,
}

impl fmt::Display for AddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "expected IP:PORT or unix:/path, found {:?}", self.got)
    }
}

impl std::error::Error for AddressError {}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Address, AddressError> {
        let error = || AddressError { got: text.to_owned() };
        match text.strip_prefix(UNIX) {
            Some(path) if path.starts_with('/') => Ok(Address::Unix(path.into())),
            Some(_) => Err(error()),
            None => text.parse().map(Address::Tcp).map_err(|_| error()),
        }
    }
}

/// The socket and the path of `unix:/socket:/path`; nothing where `url` is none such.
pub(crate) fn split_unix(url: &str) -> Option<(&str, &str)> {
    let rest = url.strip_prefix(UNIX).filter(|rest| rest.starts_with('/'))?;
    match rest.rfind(":/") {
        Some(colon) => Some((&rest[..colon], &rest[colon + 1..])),
        None => Some((rest, "/")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_as_it_is_written() {
        for text in ["127.0.0.1:9060", "[::1]:80", "unix:/run/imstorm.sock"] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), text);
        }
        for text in ["", "localhost:80", "unix:", "unix:run/x", "127.0.0.1", "http://127.0.0.1:80"]
        {
            assert!(text.parse::<Address>().is_err(), "{text}");
        }
    }

    #[test]
    fn only_loopback_and_unix_sockets_are_local() {
        let is_local = |text: &str| text.parse::<Address>().unwrap().is_local();
        assert!(is_local("127.0.0.2:1") && is_local("[::1]:1") && is_local("unix:/x"));
        assert!(!is_local("0.0.0.0:1") && !is_local("192.0.2.1:1") && !is_local("[::]:1"));
    }

    #[test]
    fn a_url_of_a_unix_socket_comes_apart() {
        let address: Address = "unix:/run/a:b.sock".parse().unwrap();
        assert_eq!(split_unix(&address.url("/v1/status")), Some(("/run/a:b.sock", "/v1/status")));
        assert_eq!(split_unix("unix:/run/x"), Some(("/run/x", "/")));
        assert_eq!((split_unix("unix:x"), split_unix("http://[::1]:/x")), (None, None));
    }
}
