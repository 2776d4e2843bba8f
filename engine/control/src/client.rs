//! A small blocking client, for `ctl`, for the generator and for tests.

use crate::address::split_unix;
use crate::listener::Stream;
use crate::runtime;
use http_body_util::{BodyExt, Full, Limited};
use hyper::Uri;
use hyper::body::Bytes;
use hyper::header::{AUTHORIZATION, CONNECTION, CONTENT_TYPE, HOST};
use hyper_util::rt::TokioIo;
use std::time::Duration;
use tokio::net::{TcpStream, UnixStream};

/// The longest answer, in bytes: a list of all subscriptions of a big engine.
const ANSWER_BYTES_MAX: usize = 256 << 20;

/// Why there is no answer.
#[derive(Debug)]
pub enum Error {
    /// Not of the form `http://host:port/path` or `unix:/socket:/path`, or a method or token that can't be sent.
    BadRequest(String),
    /// No connection.
    Connect(std::io::Error),
    /// The connection ended, or what came is no HTTP.
    Exchange(String),
    /// It took longer than allowed.
    Timeout(Duration),
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Error::BadRequest(what) => {
                write!(f, "expected http://host:port/path or unix:/socket:/path, got {what}")
            }
            Error::Connect(error) => write!(f, "connect: {error}"),
            Error::Exchange(what) => write!(f, "no answer: {what}"),
            Error::Timeout(limit) => write!(f, "no answer within {limit:?}"),
        }
    }
}

impl std::error::Error for Error {}

/// GET: the status and the body, within `timeout` altogether. Any status is an answer.
pub fn get(url: &str, timeout: Duration) -> Result<(u16, Vec<u8>), Error> {
    request("GET", url, None, b"", timeout)
}

/// POST of a JSON body; otherwise as `get`.
pub fn post(url: &str, body: &[u8], timeout: Duration) -> Result<(u16, Vec<u8>), Error> {
    request("POST", url, None, body, timeout)
}

/// Any request, with the server's `token` if it has one; otherwise as `get`. Blocks; may be called
/// from anywhere, since it works on a thread of its own.
pub fn request(
    method: &str,
    url: &str,
    token: Option<&str>,
    body: &[u8],
    timeout: Duration,
) -> Result<(u16, Vec<u8>), Error> {
    let exchange = || {
        let within = async { tokio::time::timeout(timeout, ask(method, url, token, body)).await };
        match runtime::run_on_tokio(within) {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(Error::Timeout(timeout)),
            Err(error) => Err(Error::Connect(error)),
        }
    };
    // A runtime can't be started on a thread that is inside of one.
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("client".into());
        let thread = thread.spawn_scoped(scope, exchange).map_err(Error::Connect)?;
        thread.join().unwrap_or_else(|_| Err(Error::Exchange("the client panicked".into())))
    })
}

async fn ask(
    method: &str,
    url: &str,
    token: Option<&str>,
    body: &[u8],
) -> Result<(u16, Vec<u8>), Error> {
    let (stream, host, path) = connect(url).await?;
    let mut request = hyper::Request::builder()
        .method(method)
        .uri(path)
        .header(HOST, host)
        .header(CONNECTION, "close");
    if !body.is_empty() {
        request = request.header(CONTENT_TYPE, "application/json");
    }
    if let Some(token) = token {
        request = request.header(AUTHORIZATION, format!("Bearer {token}"));
    }
    let request = request
        .body(Full::new(Bytes::copy_from_slice(body)))
        .map_err(|error| Error::BadRequest(format!("{method} {url}: {error}")))?;
    let failed = |error: hyper::Error| Error::Exchange(error.to_string());
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream.into_io()))
            .await
            .map_err(failed)?;
    // Its error shows in the exchange as well.
    tokio::task::spawn_local(async move { drop(connection.await) });
    let response = sender.send_request(request).await.map_err(failed)?;
    let status = response.status().as_u16();
    let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await;
    let body = body.map_err(|error| Error::Exchange(error.to_string()))?;
    Ok((status, body.to_bytes().to_vec()))
}

/// A connection, what its Host header says, and the path that is asked for.
async fn connect(url: &str) -> Result<(Stream, String, String), Error> {
    if let Some((socket, path)) = split_unix(url) {
        let stream = UnixStream::connect(socket).await.map_err(Error::Connect)?;
        return Ok((Stream::Unix(stream), "localhost".to_owned(), path.to_owned()));
    }
    let uri: Uri = url.parse().map_err(|_| Error::BadRequest(url.into()))?;
    let (Some("http"), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
        return Err(Error::BadRequest(url.into()));
    };
    let host = authority.host().trim_start_matches('[').trim_end_matches(']');
    let stream = TcpStream::connect((host, authority.port_u16().unwrap_or(80)))
        .await
        .map_err(Error::Connect)?;
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    Ok((Stream::Tcp(stream), authority.as_str().to_owned(), path.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_urls_and_silent_servers_are_errors() {
        let soon = Duration::from_millis(50);
        for url in ["", "127.0.0.1:80", "https://127.0.0.1/", "/x", "http://", "unix:x"] {
            assert!(matches!(get(url, soon), Err(Error::BadRequest(_))), "{url}");
        }
        let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/", silent.local_addr().unwrap());
        assert!(matches!(get(&url, soon), Err(Error::Timeout(_))));
        drop(silent);
        assert!(matches!(get(&url, Duration::from_secs(5)), Err(Error::Connect(_))));
    }
}
