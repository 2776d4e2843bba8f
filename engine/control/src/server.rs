//! The admin server: HTTP/1.1, one handler, small limits.

use crate::address::Address;
use crate::listener::{Bound, Listener, SocketFile, Stream};
use crate::runtime::{self, Runtime};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{
    ACCEPT, ALLOW, AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue, WWW_AUTHENTICATE,
};
use hyper::{Method, StatusCode, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
use subtle::ConstantTimeEq;
use tokio::sync::{Semaphore, oneshot};

/// The longest request body, in bytes: a subscriber list of thousands, no more.
pub const BODY_BYTES_MAX: usize = 1 << 20;
/// The shortest token, in bytes.
pub const TOKEN_BYTES_MIN: usize = 16;
/// The user that Basic authentication asks for.
pub const BASIC_USER: &str = "imstorm";
/// Connections at a time; one more gets 503.
pub const CONNECTIONS_MAX: usize = 64;
/// How long a client may take over a request's header.
pub const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a client may take over a request's body.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// A request, read whole.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Request {
    /// `GET`, `POST`, ….
    pub method: String,
    /// The path, from its slash on, still percent-encoded.
    pub path: String,
    /// What follows the question mark, or empty.
    pub query: String,
    /// The media types that the client takes (Accept, RFC 9110 section 12.5.1), or empty.
    pub accept: String,
    /// The body.
    pub body: Vec<u8>,
}

/// A handler's answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Response {
    /// The status code, 200 to 599 (else 500 is sent).
    pub status: u16,
    /// The media type.
    pub content_type: &'static str,
    /// The methods that the resource has, for Allow (RFC 9110 section 15.5.6); empty leaves it out.
    pub allow: &'static str,
    /// The body.
    pub body: Vec<u8>,
}

impl Response {
    /// An answer in JSON.
    #[must_use]
    pub fn json(status: u16, body: impl Into<Vec<u8>>) -> Response {
        Response { status, content_type: "application/json", allow: "", body: body.into() }
    }

    /// An answer in plain text.
    #[must_use]
    pub fn text(status: u16, body: impl Into<Vec<u8>>) -> Response {
        let content_type = "text/plain; charset=utf-8";
        Response { status, content_type, allow: "", body: body.into() }
    }

    /// A refusal of the server's own, in the form `{"error":"…"}`. `problem` needs no escapes.
    fn refusal(status: u16, problem: &str) -> Response {
        assert!(!problem.contains(['"', '\\', '\n']), "a refusal's text needs no escapes");
        Response::json(status, format!("{{\"error\":\"{problem}\"}}"))
    }
}

/// Answers requests. Called on the control thread, one request at a time: it should take
/// milliseconds.
pub type Handler = Arc<dyn Fn(Request) -> Response + Send + Sync>;

/// Why an address was refused: anyone who reaches it could end subscriptions. `start` gives it
/// inside an `io::Error` of kind `PermissionDenied`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NotLoopback {
    /// The address.
    pub address: Address,
}

impl std::fmt::Display for NotLoopback {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "admin HTTP on {}: off loopback it needs a token", self.address)
    }
}

impl std::error::Error for NotLoopback {}

/// A running server; dropping it stops it.
#[derive(Debug)]
#[must_use = "a server that is dropped stops"]
pub struct Server {
    /// Where it listens, with the port that it got.
    pub address: Address,
    /// What it runs on.
    pub runtime: Runtime,
    /// A Unix socket's file, which goes when the server has ended.
    _file: Option<SocketFile>,
    stop: Option<oneshot::Sender<Infallible>>,
    thread: Option<JoinHandle<()>>,
}

/// Starts a server on a thread of its own. With a token, clients must send it in `Authorization:
/// Bearer`, or for GET and HEAD, as browsers do, as the password of [`BASIC_USER`]; without one, the address must be loopback or a Unix socket. It is HTTP without TLS: for
/// networks of one's own.
///
/// A Unix socket is its owner's alone (mode 0600). One that nobody listens at any more is replaced,
/// and its file goes with the server.
///
/// Errors: the address can't be bound, or needs a token (`NotLoopback`), or the token has less than
/// [`TOKEN_BYTES_MIN`] bytes or what no header can carry (`InvalidInput`).
pub fn start(address: &Address, handler: Handler, token: Option<&str>) -> io::Result<Server> {
    match token {
        None if !address.is_local() => {
            let refused = NotLoopback { address: address.clone() };
            Err(io::Error::new(io::ErrorKind::PermissionDenied, refused))
        }
        Some(token) if token.len() < TOKEN_BYTES_MIN => {
            let problem = format!("expected a token of at least {TOKEN_BYTES_MIN} bytes");
            Err(io::Error::new(io::ErrorKind::InvalidInput, problem))
        }
        Some(token) if HeaderValue::from_str(token).is_err() => {
            let problem = "expected a token without control characters";
            Err(io::Error::new(io::ErrorKind::InvalidInput, problem))
        }
        _ => start_thread(address, handler, token.map(Credentials::of)),
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Dropping the sender ends the thread's main future, and with it all connections.
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn start_thread(
    address: &Address,
    handler: Handler,
    credentials: Option<Credentials>,
) -> io::Result<Server> {
    // Bound here, so that the caller has the error.
    let (bound, address, file) = Bound::new(address)?;
    let (stop, stopped) = oneshot::channel();
    let (started, starts) = std::sync::mpsc::channel();
    let service = Service { handler, credentials };
    let thread = std::thread::Builder::new().name("control".into()).spawn(move || {
        let failed = started.clone();
        let result = runtime::run(|runtime| async move {
            match bound.listen() {
                Ok(listener) => {
                    let _ = started.send(Ok(runtime));
                    tokio::task::spawn_local(accept(listener, Rc::new(service)));
                    // Ends when the sender is dropped.
                    let _ = stopped.await;
                }
                Err(error) => drop(started.send(Err(error))),
            }
        });
        if let Err(error) = result {
            let _ = failed.send(Err(error));
        }
    })?;
    let runtime = starts.recv().map_err(|_| io::Error::other("the control thread ended"))??;
    Ok(Server { address, runtime, _file: file, stop: Some(stop), thread: Some(thread) })
}

struct Service {
    handler: Handler,
    /// What clients must have.
    credentials: Option<Credentials>,
}

/// The whole values of the Authorization header by which a client shows that it has the token.
struct Credentials {
    bearer: Vec<u8>,
    /// As a browser sends it that has asked its user: the token is the password.
    basic: Vec<u8>,
}

impl Credentials {
    fn of(token: &str) -> Credentials {
        let basic = BASE64.encode(format!("{BASIC_USER}:{token}"));
        Credentials {
            bearer: format!("Bearer {token}").into(),
            basic: format!("Basic {basic}").into(),
        }
    }

    /// Basic is for looking only: a browser adds it by itself to whatever a page of somebody else has it ask.
    fn admit(&self, method: &Method, got: &[u8]) -> bool {
        let is_bearer = self.bearer.ct_eq(got);
        let is_basic = self.basic.ct_eq(got);
        bool::from(is_bearer) || (method.is_safe() && bool::from(is_basic))
    }
}

async fn accept(listener: Listener, service: Rc<Service>) {
    let permits = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok(stream) = listener.accept().await else {
            // Out of descriptors, mostly: others will be closed.
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let Ok(permit) = Arc::clone(&permits).try_acquire_owned() else {
            refuse(&stream);
            continue;
        };
        let service = Rc::clone(&service);
        tokio::task::spawn_local(async move {
            serve(stream, service).await;
            drop(permit);
        });
    }
}

/// Best effort: a new connection's send buffer has room for this.
fn refuse(stream: &Stream) {
    let _ = stream.try_write(
        b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 0\r\n\
          Connection: close\r\n\r\n",
    );
}

async fn serve(stream: Stream, service: Rc<Service>) {
    let answer = service_fn(move |request| {
        let service = Rc::clone(&service);
        async move { Ok::<_, Infallible>(render(service.answer(request).await)) }
    });
    // Its errors are the client's: broken requests and connections.
    let _ = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .serve_connection(TokioIo::new(stream.into_io()), answer)
        .await;
}

impl Service {
    async fn answer(&self, request: hyper::Request<Incoming>) -> Response {
        if let Err(refusal) = self.admit(&request) {
            return refusal;
        }
        let (head, body) = request.into_parts();
        let body = Limited::new(body, BODY_BYTES_MAX).collect();
        let body = match tokio::time::timeout(BODY_TIMEOUT, body).await {
            Ok(Ok(body)) => body.to_bytes().to_vec(),
            Ok(Err(error)) if error.is::<LengthLimitError>() => {
                return Response::refusal(413, &format!("body above {BODY_BYTES_MAX} bytes"));
            }
            Ok(Err(_)) => return Response::refusal(400, "broken body"),
            Err(_) => return Response::refusal(408, "the body took too long"),
        };
        (self.handler)(Request {
            method: head.method.as_str().to_owned(),
            path: head.uri.path().to_owned(),
            query: head.uri.query().unwrap_or("").to_owned(),
            accept: head
                .headers
                .get(ACCEPT)
                .and_then(|it| it.to_str().ok())
                .unwrap_or("")
                .to_owned(),
            body,
        })
    }

    /// With a token: who has it. Without: who named us by a loopback address, since a web page that
    /// had its own name resolve to 127.0.0.1 could otherwise command us through a browser here.
    fn admit(&self, request: &hyper::Request<Incoming>) -> Result<(), Response> {
        let headers = request.headers();
        if let Some(credentials) = &self.credentials {
            let got = headers.get(AUTHORIZATION).map_or(&b""[..], |value| value.as_bytes());
            return if credentials.admit(request.method(), got) {
                Ok(())
            } else {
                Err(Response::refusal(401, "expected `Authorization: Bearer` and the token"))
            };
        }
        let host = headers.get(HOST).and_then(|value| value.to_str().ok()).unwrap_or("");
        let is_cross_site = headers.get("origin").is_some_and(|origin| {
            origin.to_str().ok().and_then(|origin| origin.strip_prefix("http://")) != Some(host)
        });
        if is_loopback_host(host) && !is_cross_site {
            Ok(())
        } else {
            Err(Response::refusal(403, "expected a loopback address in Host, and no other Origin"))
        }
    }
}

/// Whether a Host header names this machine: `127.0.0.1:8080`, `[::1]`, `localhost`.
fn is_loopback_host(host: &str) -> bool {
    if let Ok(address) = host.parse::<SocketAddr>() {
        return address.ip().is_loopback();
    }
    let name = host.split_once(':').map_or(host, |(name, _)| name);
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost")
        || bare.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

fn render(response: Response) -> hyper::Response<Full<Bytes>> {
    let status = StatusCode::from_u16(response.status)
        .ok()
        .filter(|status| (200..600).contains(&status.as_u16()))
        .unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut out = hyper::Response::new(Full::new(Bytes::from(response.body)));
    *out.status_mut() = status;
    if let Ok(value) = response.content_type.parse() {
        out.headers_mut().insert(CONTENT_TYPE, value);
    }
    if status == StatusCode::UNAUTHORIZED {
        let challenges = ["Bearer", "Basic realm=\"imstorm\", charset=\"UTF-8\""];
        for challenge in challenges.map(HeaderValue::from_static) {
            out.headers_mut().append(WWW_AUTHENTICATE, challenge);
        }
    }
    if !response.allow.is_empty() {
        out.headers_mut().insert(ALLOW, HeaderValue::from_static(response.allow));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{get, post, request};
    use std::io::{Read, Write};

    const SOON: Duration = Duration::from_secs(10);

    fn echo() -> Handler {
        Arc::new(|request: Request| {
            let line = format!("{} {} {}|", request.method, request.path, request.query);
            let status = if request.path == "/none" { 404 } else { 200 };
            Response::text(status, [line.into_bytes(), request.body].concat())
        })
    }

    fn loopback() -> Address {
        Address::Tcp(([127, 0, 0, 1], 0).into())
    }

    fn tcp(server: &Server) -> SocketAddr {
        let Address::Tcp(address) = server.address else { panic!("a TCP server") };
        address
    }

    fn raw(server: &Server, bytes: &[u8]) -> String {
        let mut stream = std::net::TcpStream::connect(tcp(server)).unwrap();
        stream.set_read_timeout(Some(SOON)).unwrap();
        stream.write_all(bytes).unwrap();
        let mut answer = [0; 512];
        let n = stream.read(&mut answer).unwrap();
        String::from_utf8_lossy(&answer[..n]).into_owned()
    }

    #[test]
    fn requests_reach_the_handler_and_answers_the_client() {
        let server = start(&loopback(), echo(), None).unwrap();
        let url = format!("http://{}", server.address);
        let (status, body) = get(&format!("{url}/v1/status?a=b"), SOON).unwrap();
        assert_eq!((status, &body[..]), (200, &b"GET /v1/status a=b|"[..]));
        assert_eq!(get(&format!("{url}/none"), SOON).unwrap().0, 404);
        let (_, body) = post(&format!("{url}/x"), b"{}", SOON).unwrap();
        assert_eq!(body, b"POST /x |{}");
        let (_, body) = request("DELETE", &url, None, b"", SOON).unwrap();
        assert_eq!(body, b"DELETE / |");
    }

    #[test]
    fn it_stops_when_dropped_and_its_port_is_free() {
        let server = start(&loopback(), echo(), None).unwrap();
        let address = tcp(&server);
        let _open = std::net::TcpStream::connect(address).unwrap();
        drop(server);
        assert!(get(&format!("http://{address}/"), SOON).is_err());
        drop(start(&address.into(), echo(), None).unwrap());
    }

    #[test]
    fn bodies_are_limited() {
        let server = start(&loopback(), echo(), None).unwrap();
        let url = format!("http://{}/", server.address);
        let most = vec![b'x'; BODY_BYTES_MAX];
        assert_eq!(post(&url, &most, SOON).unwrap().0, 200);
        // What is too long is refused, by an answer or by the connection's end.
        let more = vec![b'x'; BODY_BYTES_MAX + 1];
        assert!(post(&url, &more, SOON).map_or(true, |(status, _)| status == 413));
    }

    #[test]
    fn off_loopback_a_token_is_asked_for() {
        let everywhere = Address::Tcp(([0, 0, 0, 0], 0).into());
        let error = start(&everywhere, echo(), None).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
        assert!(error.get_ref().unwrap().is::<NotLoopback>());
        for bad in ["short", "0123456789\nabcdef"] {
            let error = start(&everywhere, echo(), Some(bad)).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{bad}");
        }
        let token = "0123456789abcdef";
        let server = start(&loopback(), echo(), Some(token)).unwrap();
        let url = format!("http://{}/", server.address);
        assert_eq!(get(&url, SOON).unwrap().0, 401);
        assert_eq!(request("GET", &url, Some("0123456789abcdeX"), b"", SOON).unwrap().0, 401);
        assert_eq!(request("GET", &url, Some(token), b"", SOON).unwrap().0, 200);
    }

    #[test]
    fn a_browser_with_the_token_may_look_and_not_command() {
        let server = start(&loopback(), echo(), Some("0123456789abcdef")).unwrap();
        let ask = |method: &str, credentials: &str| {
            let request = format!(
                "{method} / HTTP/1.1\r\nHost: localhost\r\nAuthorization: Basic {credentials}\r\n\r\n"
            );
            raw(&server, request.as_bytes())
        };
        let right = BASE64.encode("imstorm:0123456789abcdef");
        assert!(ask("GET", &right).starts_with("HTTP/1.1 200"));
        for method in ["POST", "DELETE", "PUT"] {
            assert!(ask(method, &right).starts_with("HTTP/1.1 401"), "{method}");
        }
        let wrong = ask("GET", &BASE64.encode("imstorm:0123456789abcdeX"));
        assert!(wrong.starts_with("HTTP/1.1 401"), "{wrong}");
        let wrong = wrong.to_ascii_lowercase();
        assert!(wrong.contains("www-authenticate: bearer\r\n"), "{wrong}");
        assert!(wrong.contains("www-authenticate: basic realm=\"imstorm\""), "{wrong}");
    }

    #[test]
    fn a_browser_can_not_be_made_to_command_us() {
        let server = start(&loopback(), echo(), None).unwrap();
        let ask =
            |headers: &str| raw(&server, format!("GET / HTTP/1.1\r\n{headers}\r\n").as_bytes());
        assert!(ask("Host: localhost:80\r\n").starts_with("HTTP/1.1 200"));
        assert!(ask("Host: [::1]\r\n").starts_with("HTTP/1.1 200"));
        assert!(ask("Host: evil.example\r\n").starts_with("HTTP/1.1 403"));
        assert!(ask("Host: localhost.evil.example\r\n").starts_with("HTTP/1.1 403"));
        let foreign = "Host: 127.0.0.1\r\nOrigin: http://evil.example\r\n";
        assert!(ask(foreign).starts_with("HTTP/1.1 403"));
        assert!(ask("Host: 127.0.0.1\r\nOrigin: http://127.0.0.1\r\n").starts_with("HTTP/1.1 200"));
        assert!(raw(&server, b"nonsense\r\n\r\n").starts_with("HTTP/1.1 400"));
    }

    #[test]
    fn connections_are_limited() {
        let server = start(&loopback(), echo(), None).unwrap();
        let open: Vec<_> = (0..CONNECTIONS_MAX)
            .map(|_| {
                let mut stream = std::net::TcpStream::connect(tcp(&server)).unwrap();
                stream.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
                let mut byte = [0; 1];
                stream.read_exact(&mut byte).unwrap();
                stream
            })
            .collect();
        let url = format!("http://{}/", server.address);
        // 503, or a reset if that arrived before our request was sent.
        assert!(get(&url, SOON).map_or(true, |(status, _)| status == 503));
        drop(open);
        let came_back = (0..1_000).any(|_| get(&url, SOON).is_ok_and(|(status, _)| status == 200));
        assert!(came_back);
    }

    #[test]
    fn plain_tokio_serves_too() {
        let (bound, address, _) = Bound::new(&loopback()).unwrap();
        let client = std::thread::spawn(move || get(&address.url("/"), SOON));
        let service = Service { handler: echo(), credentials: None };
        let served = runtime::run_on_tokio(async {
            let stream = bound.listen().unwrap().accept().await.unwrap();
            serve(stream, Rc::new(service)).await;
        });
        served.unwrap();
        assert_eq!(client.join().unwrap().unwrap().0, 200);
    }

    #[test]
    fn a_resource_says_which_methods_it_has() {
        let handler: Handler =
            Arc::new(|_| Response { allow: "GET, POST", ..Response::json(405, "{}") });
        let server = start(&loopback(), handler, None).unwrap();
        let answer = raw(&server, b"PUT / HTTP/1.1\r\nHost: localhost\r\n\r\n");
        assert!(answer.starts_with("HTTP/1.1 405"), "{answer}");
        assert!(answer.contains("allow: GET, POST\r\n"), "{answer}");
    }

    /// A path for a socket, in a directory of this test's own.
    fn socket(name: &str) -> std::path::PathBuf {
        let directory = format!("imstorm-control-{}-{name}", std::process::id());
        let directory = std::env::temp_dir().join(directory);
        std::fs::create_dir_all(&directory).unwrap();
        directory.join("admin.sock")
    }

    #[test]
    fn a_unix_socket_serves_its_owner_alone_and_goes_with_the_server() {
        use std::os::unix::fs::PermissionsExt;
        let path = socket("serve");
        let address = Address::Unix(path.clone());
        let server = start(&address, echo(), None).unwrap();
        assert_eq!(server.address, address);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let (status, body) = get(&address.url("/v1/status?a=b"), SOON).unwrap();
        assert_eq!((status, &body[..]), (200, &b"GET /v1/status a=b|"[..]));
        let error = start(&address, echo(), None).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        assert_eq!(get(&address.url("/"), SOON).unwrap().0, 200, "the first one serves on");
        drop(server);
        assert!(!path.exists());
        assert!(matches!(get(&address.url("/"), SOON), Err(crate::Error::Connect(_))));
        std::fs::remove_dir_all(path.parent().unwrap()).unwrap();
    }

    #[test]
    fn a_stale_unix_socket_is_replaced_and_other_files_are_not() {
        let path = socket("stale");
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        assert!(path.exists(), "it was left behind");
        let server = start(&Address::Unix(path.clone()), echo(), None).unwrap();
        assert_eq!(get(&server.address.url("/"), SOON).unwrap().0, 200);
        // What somebody else has put there meanwhile stays.
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, "mine").unwrap();
        drop(server);
        let error = start(&Address::Unix(path.clone()), echo(), None).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(std::fs::read(&path).unwrap(), b"mine");
        std::fs::remove_dir_all(path.parent().unwrap()).unwrap();
    }

    #[test]
    fn a_token_guards_a_unix_socket_too() {
        let path = socket("token");
        let token = "0123456789abcdef";
        let server = start(&Address::Unix(path.clone()), echo(), Some(token)).unwrap();
        let url = server.address.url("/");
        assert_eq!(get(&url, SOON).unwrap().0, 401);
        assert_eq!(request("GET", &url, Some(token), b"", SOON).unwrap().0, 200);
        drop(server);
        std::fs::remove_dir_all(path.parent().unwrap()).unwrap();
    }
}
