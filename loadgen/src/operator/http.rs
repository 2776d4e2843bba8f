//! The operator's hand over HTTP: a thread that makes the calls one after the other on one connection, so that hundreds a second
//! cost the core little.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::time::Duration;

use imstorm_cscf::scscf::Reason;
use imstorm_engine::switch::Switched;

use super::{CALLS_MAX, OperatorCall, OperatorKind, extra_identity};

/// How long an answer may take: a shard that does not answer is given up by the core before.
const PATIENCE: Duration = Duration::from_secs(5);
/// The longest answer to a call, in bytes; and the longest of its lines.
const ANSWER_BYTES_MAX: u64 = 64 << 10;

/// A thread that makes operators' calls. It ends when this is dropped.
#[derive(Debug)]
pub struct HttpOperator {
    calls: SyncSender<(OperatorCall, Vec<u8>)>,
    over: Receiver<(OperatorCall, bool)>,
    stopped: Arc<AtomicBool>,
}

impl HttpOperator {
    /// Starts it, for a control plane at `http://host:port`.
    ///
    /// # Errors
    /// Where that is no such URL, or there is no thread to be had.
    pub fn start(admin: &str) -> io::Result<Self> {
        let mut connection = Connection::to(admin)?;
        let (calls, queue) = sync_channel::<(OperatorCall, Vec<u8>)>(CALLS_MAX);
        let (tell, over): (Sender<(OperatorCall, bool)>, _) = channel();
        let stopped = Arc::new(AtomicBool::new(false));
        let is_stopped = Arc::clone(&stopped);
        let make_calls = move || {
            while let Ok((call, impi)) = queue.recv()
                && !is_stopped.load(Ordering::Acquire)
            {
                let (method, path, body) = written(call.kind, &impi);
                let done = connection.call(method, &path, &body);
                let is_switch = matches!(call.kind, OperatorKind::Switch(_));
                let is_done = done.is_ok_and(|(status, body)| match call.kind {
                    OperatorKind::Switch(_) => status == 200,
                    _ => has_reached(status, &body),
                });
                // A UE sees by its NOTIFY that its call was followed. Where nobody listens for it any more the run is over.
                if (is_switch || !is_done) && tell.send((call, is_done)).is_err() {
                    return;
                }
            }
        };
        std::thread::Builder::new().name("operator".to_owned()).spawn(make_calls)?;
        Ok(Self { calls, over, stopped })
    }

    /// Has a call made; false where too many wait.
    #[must_use]
    pub fn make(&self, call: OperatorCall, impi: Vec<u8>) -> bool {
        self.calls.try_send((call, impi)).is_ok()
    }

    /// The next call that was refused or not answered, or switch that was thrown; whether it was.
    #[must_use]
    pub fn next_over(&self) -> Option<(OperatorCall, bool)> {
        self.over.try_recv().ok()
    }
}

impl Drop for HttpOperator {
    fn drop(&mut self) {
        // What still waits is not made any more.
        self.stopped.store(true, Ordering::Release);
    }
}

/// A call that meets no connection has come too late: it brings the UE nothing.
fn has_reached(status: u16, body: &[u8]) -> bool {
    let answer: Option<serde_json::Value> = serde_json::from_slice(body).ok();
    let connections = answer.as_ref().and_then(|it| it.get("connections")?.as_u64());
    status == 200 && connections.is_some_and(|count| count > 0)
}

/// Method, path and body of a call.
fn written(kind: OperatorKind, impi: &[u8]) -> (&'static str, String, String) {
    let user = percent_encode(impi);
    let identity = || {
        let impu = String::from_utf8_lossy(&extra_identity(impi)).into_owned();
        serde_json::json!({ "impu": impu }).to_string()
    };
    match kind {
        OperatorKind::Shorten { expires_s } => {
            let body = format!("{{\"expires_s\":{expires_s}}}");
            ("POST", format!("/v1/subscriptions/{user}/shorten"), body)
        }
        OperatorKind::Terminate { reason } => {
            let word = if reason == Reason::Rejected { "rejected" } else { "deactivated" };
            let body = format!("{{\"reason\":\"{word}\"}}");
            ("POST", format!("/v1/subscriptions/{user}/terminate"), body)
        }
        OperatorKind::AddIdentity => {
            ("POST", format!("/v1/subscribers/{user}/identities"), identity())
        }
        OperatorKind::RemoveIdentity => {
            ("DELETE", format!("/v1/subscribers/{user}/identities"), identity())
        }
        OperatorKind::Switch(switch) => {
            let path = match switch.role {
                Switched::Scscf => "/v1/scscf/security_event".to_owned(),
                Switched::Pcscfs => "/v1/pcscf/security_event".to_owned(),
                Switched::Pcscf(address) => {
                    let address = percent_encode(address.to_string().as_bytes());
                    format!("/v1/pcscf/{address}/security_event")
                }
            };
            ("POST", path, serde_json::json!({ "enabled": switch.is_on }).to_string())
        }
    }
}

/// Percent-encoding of a path segment (RFC 3986 clause 2.1): all but the unreserved characters.
fn percent_encode(text: &[u8]) -> String {
    let mut out = String::with_capacity(text.len() + 8);
    for byte in text {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(byte) {
            out.push(char::from(*byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// A connection to a control plane, made anew when it was closed.
struct Connection {
    authority: String,
    stream: Option<BufReader<TcpStream>>,
}

impl Connection {
    fn to(admin: &str) -> io::Result<Self> {
        let authority = admin.strip_prefix("http://").map(|rest| rest.trim_end_matches('/'));
        let authority = authority.filter(|it| !it.is_empty() && !it.contains('/'));
        let authority = authority.ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("expected http://host:port, got {admin}"),
            )
        })?;
        Ok(Self { authority: authority.to_owned(), stream: None })
    }

    /// Status and body. A connection that was kept may have been closed meanwhile: then it is tried once more on a new one.
    fn call(&mut self, method: &str, path: &str, body: &str) -> io::Result<(u16, Vec<u8>)> {
        let was_kept = self.stream.is_some();
        match self.exchange(method, path, body) {
            Err(error) if was_kept && is_closed(&error) => {
                self.stream = None;
                self.exchange(method, path, body)
            }
            answered => answered,
        }
        .inspect_err(|_| self.stream = None)
    }

    fn exchange(&mut self, method: &str, path: &str, body: &str) -> io::Result<(u16, Vec<u8>)> {
        let stream = match &mut self.stream {
            Some(stream) => stream,
            none => none.insert(BufReader::new(connect(&self.authority)?)),
        };
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n{body}",
            self.authority,
            body.len()
        );
        stream.get_mut().write_all(request.as_bytes())?;
        let (answer, is_kept) = read_answer(stream)?;
        if !is_kept {
            self.stream = None;
        }
        Ok(answer)
    }
}

fn connect(authority: &str) -> io::Result<TcpStream> {
    let address = authority.to_socket_addrs()?.next();
    let address = address.ok_or_else(|| io::Error::from(io::ErrorKind::AddrNotAvailable))?;
    let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream)
}

fn is_closed(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    matches!(error.kind(), BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof)
}

/// An answer with a Content-Length, and whether more may be asked on the connection.
fn read_answer(stream: &mut impl BufRead) -> io::Result<((u16, Vec<u8>), bool)> {
    let invalid = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
    let status_line = read_line(stream)?;
    let status = status_line.strip_prefix("HTTP/1.").and_then(|rest| rest.split(' ').nth(1));
    let status = status.and_then(|text| text.parse().ok());
    let status = status.ok_or_else(|| invalid("no HTTP status line"))?;
    let (mut length, mut is_kept) = (None, true);
    loop {
        let line = read_line(stream)?;
        let Some((name, value)) = line.split_once(':') else {
            if line.is_empty() {
                break;
            }
            return Err(invalid("no HTTP header"));
        };
        let value = value.trim();
        if name.eq_ignore_ascii_case("content-length") {
            length = value.parse::<u64>().ok();
        } else if name.eq_ignore_ascii_case("connection") {
            is_kept = !value.eq_ignore_ascii_case("close");
        }
    }
    let length = length.filter(|length| *length <= ANSWER_BYTES_MAX);
    let length = length.ok_or_else(|| invalid("no Content-Length that can be taken"))?;
    let mut body = Vec::new();
    stream.take(length).read_to_end(&mut body)?;
    if (body.len() as u64) < length {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(((status, body), is_kept))
}

fn read_line(stream: &mut impl BufRead) -> io::Result<String> {
    let mut line = String::new();
    stream.take(ANSWER_BYTES_MAX).read_line(&mut line)?;
    match line.strip_suffix('\n') {
        Some(line) => Ok(line.trim_end_matches('\r').to_owned()),
        None => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use imstorm_engine::switch::Switch;

    use super::*;

    const CALL: OperatorCall =
        OperatorCall { ue: 7, number: 1, kind: OperatorKind::Shorten { expires_s: 60 } };

    #[test]
    fn calls_are_written_as_the_control_plane_takes_them() {
        let impi = b"ue00000001@ims.example";
        let (method, path, body) = written(OperatorKind::RemoveIdentity, impi);
        assert_eq!(method, "DELETE");
        assert_eq!(path, "/v1/subscribers/ue00000001%40ims.example/identities");
        assert_eq!(body, r#"{"impu":"sip:ue00000001-x@ims.example"}"#);
        let (_, path, body) = written(OperatorKind::Terminate { reason: Reason::Rejected }, impi);
        assert_eq!(path, "/v1/subscriptions/ue00000001%40ims.example/terminate");
        assert_eq!(body, r#"{"reason":"rejected"}"#);
        assert_eq!(written(CALL.kind, impi).2, r#"{"expires_s":60}"#);
        let switch = |role| OperatorKind::Switch(Switch { role, is_on: true });
        let (method, path, body) = written(switch(Switched::Scscf), b"");
        assert_eq!((method, path.as_str()), ("POST", "/v1/scscf/security_event"));
        assert_eq!(body, r#"{"enabled":true}"#);
        assert_eq!(written(switch(Switched::Pcscfs), b"").1, "/v1/pcscf/security_event");
        let one = switch(Switched::Pcscf("127.0.0.2:5060".parse().unwrap()));
        assert_eq!(written(one, b"").1, "/v1/pcscf/127.0.0.2%3A5060/security_event");
    }

    /// Answers as many requests as there are answers, on one connection, and returns their first lines.
    fn serve(listener: &TcpListener, answers: &[&str]) -> Vec<String> {
        let (stream, _) = listener.accept().unwrap();
        let mut stream = BufReader::new(stream);
        answers
            .iter()
            .map(|answer| {
                let first = read_line(&mut stream).unwrap();
                let mut length = 0;
                loop {
                    let line = read_line(&mut stream).unwrap();
                    if line.is_empty() {
                        break;
                    }
                    if let Some(value) = line.strip_prefix("Content-Length: ") {
                        length = value.parse().unwrap();
                    }
                }
                io::copy(&mut stream.by_ref().take(length), &mut io::sink()).unwrap();
                stream.get_mut().write_all(answer.as_bytes()).unwrap();
                first
            })
            .collect()
    }

    const DONE: &str = "HTTP/1.1 200 OK\r\ncontent-length: 17\r\n\r\n{\"connections\":1}";
    const NOBODY: &str = "HTTP/1.1 200 OK\r\ncontent-length: 17\r\n\r\n{\"connections\":0}";
    const UNKNOWN: &str = "HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\n{}";

    #[test]
    fn calls_share_a_connection_until_it_is_closed() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut connection =
            Connection::to(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
        let server = std::thread::spawn(move || {
            let first = serve(&listener, &[DONE, UNKNOWN]);
            (first, serve(&listener, &[DONE]))
        });
        let statuses = [(); 3].map(|()| connection.call("POST", "/x", "{}").unwrap().0);
        assert_eq!(statuses, [200, 404, 200]);
        let (first, second) = server.join().unwrap();
        assert_eq!((first.len(), second.len()), (2, 1));
        assert_eq!(first[0], "POST /x HTTP/1.1");
    }

    #[test]
    fn a_call_that_brings_nothing_has_failed() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let operator =
            HttpOperator::start(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
        for number in 1..=3 {
            assert!(operator.make(OperatorCall { number, ..CALL }, b"a@b".to_vec()));
        }
        serve(&listener, &[NOBODY, DONE, UNKNOWN]);
        let over = [(); 2].map(|()| operator.over.recv_timeout(PATIENCE).unwrap());
        assert_eq!(over.map(|(call, is_done)| (call.number, is_done)), [(1, false), (3, false)]);
    }

    #[test]
    fn a_switch_is_told_either_way() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let operator =
            HttpOperator::start(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
        let kind = OperatorKind::Switch(Switch { role: Switched::Scscf, is_on: true });
        for number in 0..2 {
            assert!(operator.make(OperatorCall { ue: 0, number, kind }, Vec::new()));
        }
        serve(&listener, &[DONE, UNKNOWN]);
        let over = [(); 2].map(|()| operator.over.recv_timeout(PATIENCE).unwrap());
        assert_eq!(over.map(|(call, is_done)| (call.number, is_done)), [(0, true), (1, false)]);
    }

    #[test]
    fn nobody_there_is_a_failure() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let admin = format!("http://{}", listener.local_addr().unwrap());
        drop(listener);
        let operator = HttpOperator::start(&admin).unwrap();
        assert!(operator.make(CALL, b"a@b".to_vec()));
        assert_eq!(operator.over.recv_timeout(PATIENCE), Ok((CALL, false)));
        for bad in ["", "127.0.0.1:1", "https://x", "http://", "http://x/y"] {
            assert!(HttpOperator::start(bad).is_err(), "{bad}");
        }
    }
}
