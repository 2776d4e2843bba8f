//! The operator's plane: HTTP and `imstorm-engine ctl`, at a running engine over real sockets on 127.0.0.0/8.

use std::io::{BufRead, BufReader};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use imstorm_cscf::hss::Directory;
use imstorm_cscf::hss::derived::Derivation;
use imstorm_engine::tables::Table;
use serde_json::{Value, json};
use tests::program::{Folder, Running, free_port, fresh_ip, shown};
use tests::{Credentials, Layout, World};

const IMSTORM: &str = env!("CARGO_BIN_EXE_imstorm-under-test");
const ENGINE: &str = env!("CARGO_BIN_EXE_engine-under-test");
/// The longest that anything here may take.
const PATIENCE: Duration = Duration::from_secs(30);
const SUBSCRIBERS: u64 = 1000;
const UES: usize = 6;

/// An engine that serves.
struct Engine {
    process: Running,
    pcscf: SocketAddr,
    esp_port: u16,
    /// As `ctl` takes it.
    admin: String,
}

/// A configuration with two shards at addresses of its own.
fn config(pcscf: SocketAddr, esp_port: u16, more: &str) -> String {
    let ip = pcscf.ip();
    format!(
        "pcscf = [{{ address = \"{pcscf}\", esp_port = {esp_port}, mw = \"{ip}:6060\" }}]\n\
         icscf = {{ mw = \"{ip}:6160\" }}\nscscf = {{ mw = \"{ip}:6260\" }}\n\
         subscribers = {{ size = {SUBSCRIBERS} }}\nshards = 2\n{more}\n"
    )
}

impl Engine {
    /// Starts one; `more` says at least where its control plane is.
    fn serve(folder: &Folder, more: &str) -> Self {
        let ip = IpAddr::V4(fresh_ip());
        let pcscf = SocketAddr::new(ip, free_port(ip));
        let esp_port = free_port(ip);
        let path = folder.file("engine.toml", &config(pcscf, esp_port, more));
        let mut child = Command::new(ENGINE)
            .arg("serve")
            .arg(&path)
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("it starts");
        let mut lines = BufReader::new(child.stderr.take().expect("it is piped"));
        let process = Running(child);
        let mut said = String::new();
        let admin = loop {
            let from = said.len();
            let count = lines.read_line(&mut said).expect("its standard error");
            assert!(count > 0, "it ended: {said}");
            if let Some((_, url)) = said[from..].split_once("admin ") {
                let url = url.trim().trim_end_matches("/v1/status");
                break url.trim_end_matches(':').to_owned();
            }
        };
        Self { process, pcscf, esp_port, admin }
    }

    /// UEs that are secured here and stay for ten minutes.
    fn ues(&self, out: &Folder) -> Running {
        let any = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        let mut command = Command::new(IMSTORM);
        command.args(["run", "quickstart", "--quiet", "--capture", "1", "--out"]).arg(&out.0);
        for (key, value) in [
            ("population.size", UES.to_string()),
            ("arrivals.rate_per_s", "100".to_owned()),
            ("procedures.refresh.after_s", "600".to_owned()),
            ("procedures.release.after_s", "600".to_owned()),
            ("ue.port", free_port(any).to_string()),
            ("ue.esp_port", free_port(any).to_string()),
            ("topology.pcscf_esp_port", self.esp_port.to_string()),
        ] {
            command.args(["--set", &format!("{key}={value}")]);
        }
        command.args(["--target", &self.pcscf.to_string(), "--admin", &self.admin]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Running(command.spawn().expect("it starts"))
    }

    fn ctl(&self, args: &[&str]) -> Output {
        ctl(&[&["--admin", &self.admin], args].concat())
    }

    /// What a command that is followed prints.
    fn done(&self, args: &[&str]) -> String {
        let output = self.ctl(args);
        assert_eq!(output.status.code(), Some(0), "{args:?}: {}", shown(&output));
        String::from_utf8(output.stdout).expect("UTF-8")
    }

    /// What a command that is refused says.
    fn refused(&self, args: &[&str]) -> String {
        let output = self.ctl(args);
        assert_eq!(output.status.code(), Some(1), "{args:?}: {}", shown(&output));
        String::from_utf8(output.stderr).expect("UTF-8")
    }

    fn rows(&self, table: &str, look: &[&str]) -> Vec<Value> {
        let text = self.done(&[&["--json", table], look].concat());
        let answer: Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(answer["next"], Value::Null, "all of them fit one answer");
        answer[table].as_array().expect("rows").clone()
    }

    fn counter(&self, name: &str) -> u64 {
        let text = self.done(&["stats", "--json"]);
        let status: Value = serde_json::from_str(&text).expect("JSON");
        status["counters"][name].as_u64().expect("a counter")
    }

    /// Waits until something holds.
    fn until(&self, what: &str, holds: impl Fn(&Self) -> bool) {
        let since = Instant::now();
        while !holds(self) {
            assert!(since.elapsed() < PATIENCE, "{what}");
        }
    }

    fn http(&self, method: &str, path: &str, body: &str) -> (u16, Value) {
        let url = format!("{}{path}", self.admin);
        let answer = imstorm_control::request(method, &url, None, body.as_bytes(), PATIENCE);
        let (status, body) = answer.expect("an answer");
        (status, serde_json::from_slice(&body).expect("JSON"))
    }
}

fn ctl(args: &[&str]) -> Output {
    Command::new(ENGINE).arg("ctl").args(args).output().expect("it starts")
}

fn impi(number: usize) -> String {
    format!("ue{number:08}@ims.example")
}

const LOOPBACK: &str = "admin = \"127.0.0.1:0\"";

#[test]
fn an_operator_sees_live_connections_and_commands_them() {
    let folder = Folder::new("ops-live");
    let mut engine = Engine::serve(&folder, LOOPBACK);
    let mut ues = engine.ues(&folder);
    engine.until("all are secured", |engine| {
        let rows = engine.rows("associations", &["list"]);
        rows.len() == UES && rows.iter().all(|row| row["set"] == "live")
    });

    let rows = engine.rows("subscriptions", &["list"]);
    assert_eq!(rows.len(), UES, "{rows:#?}");
    for row in &rows {
        let expires_s = row["expires_s"].as_u64().expect("a number");
        assert!((500..=600).contains(&expires_s), "{row}");
        assert_eq!(row["session"].as_str().map(str::len), Some(16), "{row}");
        assert_eq!(row["identities"].as_array().map(Vec::len), Some(2), "{row}");
        assert!(
            row["contact"].as_str().is_some_and(|contact| contact.starts_with("127.")),
            "{row}"
        );
    }
    let table = engine.done(&["subscriptions", "list"]);
    assert_eq!(table.lines().count(), 1 + UES, "{table}");
    assert!(table.starts_with("IMPI "), "{table}");

    let mut spis = Vec::new();
    for row in engine.rows("associations", &["list"]) {
        assert_eq!((&row["alg"], &row["ealg"]), (&json!("hmac-sha-1-96"), &json!("aes-cbc")));
        spis.extend([row["spi_pc"].as_u64(), row["spi_ps"].as_u64()]);
    }
    spis.sort_unstable();
    spis.dedup();
    assert_eq!(spis.len(), 2 * UES, "each set has SPIs of its own");
    assert_eq!(engine.rows("associations", &["show", &impi(2)]).len(), 1);

    let shown = |engine: &Engine, number| engine.rows("subscriptions", &["show", &impi(number)]);
    let version = |engine: &Engine| shown(engine, 1)[0]["version"].as_u64();
    let before = version(&engine);
    let added = ["identity", "add", &impi(1), "sip:alice@ims.example", "--barred"];
    assert_eq!(engine.done(&added), "done, at 1 connection\n");
    engine.until("the UE is told", |engine| version(engine) > before);
    let identities = &shown(&engine, 1)[0]["identities"];
    let alice = json!({ "impu": "sip:alice@ims.example", "default": false, "barred": true });
    assert_eq!(identities[2], alice, "{identities}");
    assert_eq!(engine.rows("subscribers", &["show", &impi(1)])[0]["impus"], *identities);

    assert_eq!(engine.done(&["shorten", &impi(2), "--expires", "100"]), "done, at 1 connection\n");
    // Counters are published some milliseconds later.
    engine.until("it is counted", |engine| engine.counter("lifetimes_lowered") == 1);

    let session = shown(&engine, 3)[0]["session"].clone();
    let end = ["terminate", &impi(3), "--reason", "rejected"];
    assert_eq!(engine.done(&end), "done, at 1 connection\n");
    engine.until("the connection is gone", |engine| {
        shown(engine, 3).iter().all(|row| row["session"] != session)
    });
    engine.until("it is counted", |engine| engine.counter("subscriptions_ended") == 1);

    let mut seen = engine.done(&["stats", "--json"]);
    for table in ["subscribers", "subscriptions", "associations", "bindings", "sessions"] {
        seen.push_str(&engine.done(&["--json", table, "list"]));
        seen.push_str(&engine.done(&[table, "list"]));
    }
    ues.interrupted();
    let keys = secrets(&folder);
    assert!(keys.len() >= 2 * UES + 2, "{} keys", keys.len());
    for key in keys {
        assert!(!seen.to_lowercase().contains(&key), "a key was shown: {key}");
    }
    assert_eq!(engine.process.interrupted(), Some(0));
}

/// What users of both shards get for their first SUBSCRIBE, asked without protection.
fn first_answers(engine: &Engine) -> Vec<u16> {
    let world = World::new(Layout::Together);
    let answers = (1..=8).map(|number| {
        let mut ue = world.ue(number);
        // Another call each time: what came before is no retransmission.
        ue.call_id = format!("{}-{}", next_number(), ue.call_id);
        let socket = UdpSocket::bind(SocketAddr::new(ue.ip, 0)).expect("a socket");
        socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        ue.port = socket.local_addr().expect("an address").port();
        let first = ue.first(Credentials::Name);
        socket.send_to(first.to_string().as_bytes(), engine.pcscf).expect("it leaves");
        let mut datagram = [0; 4096];
        let len = socket.recv(&mut datagram).expect("an answer");
        let text = String::from_utf8_lossy(&datagram[..len]).into_owned();
        text.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status")
    });
    answers.collect()
}

fn next_number() -> u32 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

#[test]
fn the_extension_is_switched_at_all_shards_of_a_running_engine() {
    let folder = Folder::new("ops-switch");
    let mut engine = Engine::serve(&folder, LOOPBACK);
    let pcscf = engine.pcscf.to_string();
    let shown = |engine: &Engine| engine.http("GET", "/v1/status", "").1["security_event"].clone();
    assert_eq!(shown(&engine), json!({ "scscf": true, "pcscf": { pcscf.as_str(): true } }));
    assert_eq!(first_answers(&engine), [401; 8]);
    let off = ["security-event", "off", "pcscf", &pcscf];
    assert_eq!(engine.done(&off), format!("off at pcscf {pcscf}\n"));
    assert_eq!(first_answers(&engine), [420; 8], "at both shards");
    assert_eq!(shown(&engine)["pcscf"][pcscf.as_str()], false);
    assert_eq!(engine.done(&["security-event", "on", "pcscf"]), format!("on at pcscf {pcscf}\n"));
    assert_eq!(engine.done(&["security-event", "off", "scscf"]), "off at scscf\n");
    assert_eq!(first_answers(&engine), [420; 8]);
    assert_eq!(shown(&engine), json!({ "scscf": false, "pcscf": { pcscf.as_str(): true } }));
    let answer = engine.http("POST", "/v1/scscf/security_event", r#"{"enabled":true}"#);
    assert_eq!(answer, (200, json!({ "security_event": true, "roles": ["scscf"] })));
    assert_eq!(first_answers(&engine), [401; 8]);
    let nobody = ["security-event", "off", "pcscf", "127.0.0.9:5060"];
    assert!(engine.refused(&nobody).contains("no such role"));
    let usage = engine.ctl(&["security-event", "off", "scscf", &pcscf]);
    assert_eq!(usage.status.code(), Some(2));
    assert_eq!(engine.process.interrupted(), Some(0));
}

/// K and OPc of the subscribers, and CK and IK of a captured UE, in hex.
fn secrets(folder: &Folder) -> Vec<String> {
    let hex = |key: &[u8]| key.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let subscribers = Directory::derived(Derivation::new(1, SUBSCRIBERS, "ims.example"));
    let mut secrets = Vec::new();
    for number in 1..=UES {
        let user = subscribers.find(impi(number).as_bytes()).expect("a subscriber");
        let keys = subscribers.keys(user);
        secrets.extend([hex(&keys.k), hex(&keys.opc)]);
    }
    let associations = std::fs::read_to_string(folder.0.join("captures/esp_sa")).expect("the keys");
    let keys = associations.split('"').filter_map(|cell| cell.strip_prefix("0x"));
    // SPIs are shorter; the integrity key is IK with four zero bytes behind it.
    secrets.extend(keys.filter(|key| key.len() >= 32).map(|key| key[..32].to_owned()));
    secrets
}

#[test]
fn a_binding_is_shown_while_it_lasts() {
    let mut world = World::new(Layout::Together);
    let mut ues = [world.ue(1), world.ue(2)];
    for ue in &mut ues {
        world.secure(ue);
        let register = ue.register(&ue.impu.clone(), 3600);
        assert_eq!(world.ask(ue, &register).status(), 200);
    }
    let bindings = world.show(Table::Bindings, None);
    assert_eq!(bindings.len(), 2, "{bindings:#?}");
    let (impi, impu) = (ues[0].impi.clone(), ues[0].impu.clone());
    let mine = world.show(Table::Bindings, Some(&impi));
    assert_eq!(mine.len(), 1, "{mine:#?}");
    assert_eq!((&mine[0]["impi"], &mine[0]["impu"]), (&json!(impi), &json!(impu)));
    assert_eq!(mine[0]["expires_s"], 3600);
    assert!(mine[0]["pub_gruu"].as_str().is_some_and(|gruu| gruu.starts_with(&impu)), "{mine:#?}");
    let connection = &world.show(Table::Subscriptions, Some(&impi))[0];
    assert_eq!(mine[0]["session"], connection["session"]);
    let contact = connection["contact"].as_str().expect("an address");
    assert!(mine[0]["contact"].as_str().is_some_and(|uri| uri.contains(contact)), "{mine:#?}");
    let gauge: Value = serde_json::from_str(&world.status()).expect("JSON");
    assert_eq!(gauge["registrations"], 2);
    world.release(&mut ues[0]);
    assert_eq!(world.show(Table::Bindings, Some(&impi)), Vec::<Value>::new());
    assert_eq!(world.show(Table::Bindings, None), bindings[1..]);
}

#[test]
fn http_says_what_is_wrong() {
    let folder = Folder::new("ops-http");
    let engine = Engine::serve(&folder, LOOPBACK);
    let identities = format!("/v1/subscribers/{}/identities", impi(1));
    let shorten = format!("/v1/subscriptions/{}/shorten", impi(1));
    let terminate = format!("/v1/subscriptions/{}/terminate", impi(1));
    let long = format!(r#"{{"impu":"sip:{}@ims.example"}}"#, "x".repeat(4000));
    for (method, path, body, status, says) in [
        ("GET", "/v1/nothing", "", 404, "no such resource"),
        ("GET", "/v1/bindings/nobody%40ims.example", "", 404, "no subscriber"),
        ("POST", "/v1/bindings", "", 405, "GET"),
        ("GET", &shorten, "", 405, "POST"),
        ("POST", &shorten, "{", 400, "JSON"),
        ("POST", &shorten, r#"{"expires_s":0}"#, 400, "expires_s"),
        ("POST", &terminate, r#"{"reason":"timeout"}"#, 400, "reason"),
        ("POST", "/v1/subscriptions/nobody/shorten", r#"{"expires_s":9}"#, 404, "no subscriber"),
        ("POST", &identities, r#"{"impu":"alice"}"#, 422, "sip:"),
        ("POST", &identities, &long, 422, "fit"),
        ("POST", &identities, r#"{"impu":"sip:ue00000002@ims.example"}"#, 409, "in use"),
        ("DELETE", &identities, r#"{"impu":"sip:ue00000002@ims.example"}"#, 404, "none of this"),
    ] {
        let (got, answer) = engine.http(method, path, body);
        let error = answer["error"].as_str().unwrap_or("");
        assert!((got, error.contains(says)) == (status, true), "{method} {path}: {got} {answer}");
    }
    let none = json!({ "connections": 0 });
    assert_eq!(engine.http("POST", &shorten, r#"{"expires_s":60}"#), (200, none.clone()));
    let added = r#"{"impu":"sip:alice@ims.example"}"#;
    assert_eq!(engine.http("POST", &identities, added), (200, none.clone()));
    // Whichever shard owns the next user, it knows whose the identity is.
    for number in 2..6 {
        let path = format!("/v1/subscribers/{}/identities", impi(number));
        assert_eq!(engine.http("POST", &path, added).0, 409, "{path}");
    }
    assert_eq!(engine.http("DELETE", &identities, added), (200, none));
    assert_eq!(engine.http("GET", "/v1/sessions", ""), (200, json!({ "sessions": [] })));
    let (status, all) = engine.http("GET", "/v1/subscribers", "");
    let mut names: Vec<&str> = all["subscribers"]
        .as_array()
        .map(|rows| rows.iter().filter_map(|row| row["impi"].as_str()).collect())
        .expect("rows");
    names.sort_unstable();
    names.dedup();
    assert_eq!((status, names.len() as u64), (200, SUBSCRIBERS), "each one is one shard's");
    let (_, rest) = engine.http("GET", "/v1/subscribers?from=1-512", "");
    let rest = rest["subscribers"].as_array().expect("rows");
    let is_late = |row: &Value| row["impi"].as_str() > Some("ue00000512");
    assert!((100..489).contains(&rest.len()) && rest.iter().all(is_late), "{} rows", rest.len());
    assert_eq!(engine.http("GET", "/v1/status", "").1["registrations"], 0);
}

#[test]
fn ctl_says_how_it_went_by_its_exit_code() {
    let folder = Folder::new("ops-exit");
    let mut engine = Engine::serve(&folder, LOOPBACK);
    assert_eq!(engine.done(&["bindings", "list"]), "no bindings\n");
    assert_eq!(engine.done(&["subscriptions", "show", &impi(1)]), "no subscriptions\n");
    let table = engine.done(&["subscribers", "show", &impi(1)]);
    assert!(table.contains("*sip:ue00000001@ims.example"), "{table}");
    assert!(engine.done(&["stats"]).contains("uptime_s"));
    assert!(engine.refused(&["subscribers", "show", "nobody"]).contains("no subscriber"));
    let taken = ["identity", "add", &impi(1), "sip:ue00000002@ims.example"];
    assert!(engine.refused(&taken).contains("in use"));
    let zero = ["shorten", &impi(1), "--expires", "0"];
    assert!(engine.refused(&zero).contains("expires_s"));
    for usage in [
        &["shorten", "a"][..],
        &["terminate", "a", "--reason", "timeout"],
        &["keys", "list"],
        &["--token-file", "/no/such/file", "stats"],
        &["--admin", "ftp://x", "stats"],
    ] {
        let output = ctl(usage);
        assert_eq!(output.status.code(), Some(2), "{usage:?}: {}", shown(&output));
    }
    assert_eq!(engine.process.interrupted(), Some(0));
    let output = engine.ctl(&["stats"]);
    assert_eq!(output.status.code(), Some(4), "{}", shown(&output));
    assert!(shown(&output).contains(&engine.admin), "{}", shown(&output));
}

#[test]
fn a_unix_socket_is_the_owners_and_goes_with_the_engine() {
    let folder = Folder::new("ops-unix");
    let path = folder.0.join("admin.sock");
    let admin = format!("admin = \"unix:{}\"", path.display());
    // What an engine left behind that was killed.
    drop(std::os::unix::net::UnixListener::bind(&path).expect("a socket"));
    let mut engine = Engine::serve(&folder, &admin);
    assert_eq!(engine.admin, format!("unix:{}", path.display()));
    let mode = std::fs::metadata(&path).expect("the socket").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(engine.rows("subscribers", &["show", &impi(7)]).len(), 1);
    let ip = IpAddr::V4(fresh_ip());
    let second = config(SocketAddr::new(ip, free_port(ip)), free_port(ip), &admin);
    let output = serve(&folder, &second);
    assert_eq!(output.status.code(), Some(5), "{}", shown(&output));
    assert!(shown(&output).contains("somebody listens"), "{}", shown(&output));
    assert_eq!(engine.process.interrupted(), Some(0));
    assert!(!path.exists());
}

#[test]
fn a_token_is_asked_for() {
    let folder = Folder::new("ops-token");
    let token = folder.file("token", "0123456789abcdef\n");
    let wrong = folder.file("wrong", "0123456789abcdeX");
    let engine = Engine::serve(&folder, &format!("{LOOPBACK}\nadmin_token_file = \"token\""));
    assert!(engine.refused(&["stats"]).contains("Bearer"));
    assert!(
        engine.refused(&["stats", "--token-file", &wrong.to_string_lossy()]).contains("Bearer")
    );
    let known = ["bindings", "list", "--token-file", &token.to_string_lossy()];
    assert_eq!(engine.done(&known), "no bindings\n");
    assert_eq!(engine.http("GET", "/v1/status", "").0, 401);
}

/// An engine that is not expected to serve.
fn serve(folder: &Folder, config: &str) -> Output {
    let path = folder.file("refused.toml", config);
    let command = Command::new(ENGINE).arg("serve").arg(path).stdin(Stdio::null()).output();
    command.expect("it starts")
}

#[test]
fn without_a_token_only_this_machine_is_served() {
    let folder = Folder::new("ops-refused");
    folder.file("short", "0123456789abcde\n");
    let everywhere = "admin = \"0.0.0.0:0\"";
    for (more, code, says) in [
        (everywhere.to_owned(), 2, "admin_token_file"),
        (format!("{everywhere}\nadmin_token_file = \"short\""), 2, "at least 16"),
        (format!("{everywhere}\nadmin_token_file = \"missing\""), 5, "missing"),
    ] {
        let ip = IpAddr::V4(fresh_ip());
        let output =
            serve(&folder, &config(SocketAddr::new(ip, free_port(ip)), free_port(ip), &more));
        assert_eq!(output.status.code(), Some(code), "{more}: {}", shown(&output));
        assert!(shown(&output).contains(says), "{more}: {}", shown(&output));
    }
}
