//! The generator without security, as a process over real sockets, against a plain SIP server that the test itself is.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{SocketAddr, UdpSocket};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use imstorm_sip::header::HeaderName;
use imstorm_sip::{Index, Message, Method, parse};
use serde_json::Value;
use tests::program::{Folder, INVALID, free_port_anywhere};

const IMSTORM: &str = env!("CARGO_BIN_EXE_imstorm-under-test");

/// What the server answers: statuses, each with header lines.
type Answers = Vec<(u16, String)>;

/// A request as the server had it: the user's number, its method, its text.
type Request = (u32, Method, String);

/// A SIP server over a socket, on a thread of its own.
struct Server {
    address: SocketAddr,
    ends: Arc<AtomicBool>,
    thread: JoinHandle<Vec<Request>>,
}

impl Server {
    /// Answers each request as `answer` says, given the user, the request and how often that very one has come before.
    fn start(
        mut answer: impl FnMut(SocketAddr, u32, &Message<'_>, usize) -> Answers + Send + 'static,
    ) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
        socket.set_read_timeout(Some(Duration::from_millis(50))).expect("a time");
        let address = socket.local_addr().expect("an address");
        let ends = Arc::new(AtomicBool::new(false));
        let ended = Arc::clone(&ends);
        let thread = std::thread::spawn(move || {
            let (mut took, mut counts) = (Vec::new(), BTreeMap::<Vec<u8>, usize>::new());
            let mut datagram = [0; 4_096];
            while !ended.load(Ordering::Acquire) {
                let Ok((len, peer)) = socket.recv_from(&mut datagram) else { continue };
                let mut index = Index::default();
                let message = parse(&datagram[..len], &mut index).expect("SIP");
                let user = user_of(&message);
                let count = counts.entry(datagram[..len].to_vec()).or_default();
                for (status, more) in answer(address, user, &message, *count) {
                    let mut out = [0; 4_096];
                    let writer = imstorm_sip::response(&message, status, Some(b"t"), &mut out[..]);
                    let len = writer.finish().expect("there is room");
                    let text = String::from_utf8_lossy(&out[..len]);
                    let text = text.replace("\r\n\r\n", &format!("\r\n{more}\r\n"));
                    socket.send_to(text.as_bytes(), peer).expect("it is sent");
                }
                *count += 1;
                if message.method() != Method::Options {
                    let text = String::from_utf8_lossy(&datagram[..len]).into_owned();
                    took.push((user, message.method(), text));
                }
            }
            took
        });
        Self { address, ends, thread }
    }

    fn end(self) -> Vec<Request> {
        self.ends.store(true, Ordering::Release);
        self.thread.join().expect("the server has not panicked")
    }
}

/// The number in `sip:ue00000001@…` of From; 0 for whoever is none of them.
fn user_of(message: &Message<'_>) -> u32 {
    let from = message.from().expect("From").uri_text;
    let text = String::from_utf8_lossy(from).into_owned();
    text.get(6..14).and_then(|digits| digits.parse().ok()).unwrap_or(0)
}

fn contact_of(message: &Message<'_>) -> String {
    let contact = message.header(HeaderName::Contact).expect("Contact");
    format!("Contact: {}\r\n", String::from_utf8_lossy(contact))
}

/// Runs a profile against a server; its exit code, its report, and what the server has taken.
fn run(profile: &str, set: &[(&str, String)], server: Server) -> (i32, Value, Vec<Request>) {
    let (output, report) = run_once(profile, set, server.address);
    let took = server.end();
    let code = output.status.code().expect("it ends by itself");
    (code, report.unwrap_or_else(|| panic!("{output:?}")), took)
}

fn run_once(profile: &str, set: &[(&str, String)], target: SocketAddr) -> (Output, Option<Value>) {
    let out = Folder::new(&format!("plain-{}", target.port()));
    let port = free_port_anywhere();
    let mut command = Command::new(IMSTORM);
    command.args(["run", profile, "--quiet", "--target", &target.to_string(), "--out"]);
    command.arg(&out.0).args(["--set", &format!("ue.port={port}")]);
    for (key, value) in set {
        command.args(["--set", &format!("{key}={value}")]);
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let output = command.output().expect("it starts");
    let text = std::fs::read_to_string(out.0.join("report.json")).ok();
    (output, text.and_then(|text| serde_json::from_str(&text).ok()))
}

fn small(users: u32) -> Vec<(&'static str, String)> {
    vec![
        ("population.size", users.to_string()),
        ("arrivals.rate_per_s", "500".to_owned()),
        ("ue.t1_ms", "100".to_owned()),
    ]
}

#[test]
fn registrations_have_nothing_of_security_and_are_sent_again_when_lost() {
    const USERS: u32 = 100;
    let mut set = small(USERS);
    set.push(("procedures.refresh.count", "1".to_owned()));
    set.push(("procedures.refresh.after_s", "0.3".to_owned()));
    set.push(("procedures.release", "{ after_s = 1 }".to_owned()));
    // The first transmission of every tenth user's first REGISTER is lost.
    let server = Server::start(|_, user, request, count| {
        let first = request.cseq().is_ok_and(|cseq| cseq.number == 1);
        let is_lost = request.method() == Method::Register && user % 10 == 0 && first;
        let lists = request.method() == Method::Register;
        match is_lost && count == 0 {
            true => Vec::new(),
            false => vec![(200, if lists { contact_of(request) } else { String::new() })],
        }
    });
    let (code, report, took) = run("register-plain", &set, server);
    assert!(code == 0 || code == INVALID, "{report:#}");
    for procedure in ["registration", "refresh", "release"] {
        assert_eq!(report["procedures"][procedure]["completed"], USERS, "{procedure}");
        assert_eq!(report["procedures"][procedure]["failed"], 0, "{procedure}");
    }
    assert_eq!(report["ues"]["secured"], USERS);
    assert!(report["generator"]["cpu_s"].as_f64().is_some_and(|cpu_s| cpu_s > 0.0));
    let mut users = BTreeSet::new();
    let mut again = BTreeMap::<String, usize>::new();
    for (user, method, text) in &took {
        assert_eq!(*method, Method::Register);
        for name in ["Security-", "Authorization", "Require", "sec-agree", "Digest"] {
            assert!(!text.contains(name), "{text}");
        }
        users.insert(*user);
        *again.entry(text.clone()).or_default() += 1;
    }
    assert_eq!(users, (1..=USERS).collect());
    assert_eq!(again.len(), 3 * USERS as usize, "register, refresh, release");
    assert!(again.values().filter(|count| **count > 1).count() >= USERS as usize / 10);
}

#[test]
fn refused_registrations_fail_by_their_causes() {
    let mut set = small(60);
    set.push(("limits.drain_s", "30".to_owned()));
    let server = Server::start(|_, user, request, _| {
        let challenge = "WWW-Authenticate: Digest realm=\"r\",nonce=\"n\"\r\n";
        match (request.method(), user % 6) {
            (Method::Options, _) => vec![(200, String::new())],
            (_, 0) => vec![(401, challenge.to_owned())],
            (_, 1) => vec![(403, String::new())],
            (_, 2) => vec![(500, String::new())],
            (_, 3) => Vec::new(),
            (_, 4) => vec![(200, String::new())],
            _ => vec![(100, String::new()), (200, contact_of(request))],
        }
    });
    let (code, report, took) = run("register-plain", &set, server);
    assert_ne!(code, 0, "a threshold is crossed: {report:#}");
    for cause in ["credentials_wanted", "forbidden_403", "status_500", "timeout", "not_bound"] {
        assert_eq!(report["failures"][cause], 10, "{cause}: {}", report["failures"]);
    }
    let row = &report["procedures"]["registration"];
    assert_eq!((&row["completed"], &row["failed"]), (&10.into(), &50.into()));
    assert!(took.iter().all(|(.., text)| !text.contains("Authorization")));
    let of = |rest: u32| took.iter().filter(move |(user, ..)| user % 6 == rest);
    let challenged: BTreeSet<&String> = of(0).map(|(.., text)| text).collect();
    assert_eq!(challenged.len(), 10, "a challenge has no answer");
    assert!(of(3).count() > 50, "what is not answered is sent again and again");
}

#[test]
fn calls_of_a_target_go_in_order_without_registration() {
    const CALLS: u32 = 200;
    let server = Server::start(|own, user, request, count| {
        let contact = format!("Contact: <sip:uas@{own}>\r\n");
        match request.method() {
            // Nothing answers the first transmission of some.
            Method::Invite if user % 20 == 0 && count == 0 => Vec::new(),
            Method::Invite if user % 20 == 1 => vec![(486, String::new())],
            Method::Invite => {
                vec![(100, String::new()), (180, contact.clone()), (200, contact)]
            }
            Method::Ack => Vec::new(),
            _ => vec![(200, String::new())],
        }
    });
    let mut set = small(CALLS);
    set.push(("procedures.call.target", "sip:service@127.0.0.1".to_owned()));
    let (code, report, took) = run("call-plain", &set, server);
    assert_ne!(code, 0, "the refused ones cross a threshold: {report:#}");
    let (refused, up) = (CALLS / 20, CALLS - CALLS / 20);
    assert_eq!(report["failures"]["busy"], refused);
    assert_eq!(report["procedures"]["call_setup"]["completed"], up);
    assert_eq!(report["procedures"]["call_release"]["completed"], up);
    assert_eq!(report["sessions"]["established"], up);
    assert_eq!(report["sessions"]["released"], up);
    assert_eq!(report["procedures"]["registration"]["attempted"], 0);
    let mut calls = BTreeMap::<u32, Vec<Method>>::new();
    for (user, method, text) in took {
        assert!(!text.contains("Security-") && !text.contains("sec-agree"), "{text}");
        let methods = calls.entry(user).or_default();
        // What came again does not count.
        if !methods.contains(&method) {
            methods.push(method);
        }
    }
    assert_eq!(calls.len(), CALLS as usize);
    for (user, methods) in calls {
        let expected: &[Method] = match user % 20 {
            1 => &[Method::Invite, Method::Ack],
            _ => &[Method::Invite, Method::Ack, Method::Bye],
        };
        assert_eq!(methods, expected, "user {user}");
    }
}
