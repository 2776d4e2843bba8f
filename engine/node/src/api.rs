//! The operator over HTTP: what each path means, and what is answered. Bodies are JSON; an error's is `{"error":"…"}`.
//!
//! ```text
//! GET            /metrics
//! GET            /v1/status
//! GET            /v1/{subscribers,subscriptions,associations,bindings,sessions}[/IMPI][?from=NEXT]
//! POST           /v1/subscriptions/IMPI/shorten       {"expires_s":N}
//! POST           /v1/subscriptions/IMPI/terminate     {"reason":"deactivated|rejected"}
//! POST, DELETE   /v1/subscribers/IMPI/identities      {"impu":"…"[,"barred":true]}
//! POST           /v1/scscf/security_event             {"enabled":true|false}
//! POST           /v1/pcscf[/IP:PORT]/security_event   {"enabled":true|false}
//! ```

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use imstorm_control::{Request, Response, exposition, percent_decode};
use imstorm_cscf::operator::{Command, Refusal};
use imstorm_cscf::scscf::Reason;
use imstorm_uring::Backend;
use prometheus_client::registry::Registry;
use serde_json::{Map, Value, json};

use crate::inquiry::{Desk, NoAnswer};
use crate::status::{Published, status};
use crate::switch::{SecurityEvent, Switch, Switched};
use crate::tables::{Query, Table};
use crate::topology::Topology;

/// Rows of one answer, or a page more; the rest is asked for with `from`.
pub const ROWS_MAX: usize = 100_000;
/// An answer that has taken so long ends with the rows that it has.
const LIST_TIME_MAX: Duration = Duration::from_secs(2);

/// The control plane's view of a running engine.
#[derive(Debug)]
pub struct Api {
    /// The way to the shards.
    pub desk: Desk,
    /// Who owns whom.
    pub topology: Arc<Topology>,
    /// The shards' numbers.
    pub published: Arc<Vec<Published>>,
    /// What Prometheus is told of them.
    pub metrics: Registry,
    /// When the engine was started.
    pub started: Instant,
    /// The back end that is in use.
    pub io: Backend,
    /// What is configured other than the specifications have it.
    pub deviation: Option<String>,
    /// Which roles know the extension. Only the control plane's own thread asks for it.
    pub security_event: Mutex<SecurityEvent>,
    /// The longest lifetime that the S-CSCF grants, in seconds; nothing where none runs here.
    pub expires_max_s: Option<u32>,
}

/// What a path names.
enum Resource<'a> {
    Metrics,
    Status,
    List(Table),
    Of(Table, &'a str),
    Shorten(&'a str),
    Terminate(&'a str),
    Identities(&'a str),
    ScscfSwitch,
    PcscfSwitch(Option<&'a str>),
}

impl<'a> Resource<'a> {
    fn parse(path: &'a str) -> Option<Self> {
        let mut parts = [""; 5];
        let mut count = 0;
        for part in path.strip_prefix('/')?.split('/') {
            *parts.get_mut(count)? = part;
            count += 1;
        }
        Some(match parts[..count] {
            ["metrics"] => Self::Metrics,
            ["v1", "status"] => Self::Status,
            ["v1", "subscriptions", impi, "shorten"] => Self::Shorten(impi),
            ["v1", "subscriptions", impi, "terminate"] => Self::Terminate(impi),
            ["v1", "subscribers", impi, "identities"] => Self::Identities(impi),
            ["v1", "scscf", "security_event"] => Self::ScscfSwitch,
            ["v1", "pcscf", "security_event"] => Self::PcscfSwitch(None),
            ["v1", "pcscf", address, "security_event"] => Self::PcscfSwitch(Some(address)),
            ["v1", table] => Self::List(Table::parse(table)?),
            ["v1", table, impi] => Self::Of(Table::parse(table)?, impi),
            _ => return None,
        })
    }

    /// Its methods, as Allow has them.
    fn methods(&self) -> &'static str {
        match self {
            Self::Metrics | Self::Status | Self::List(_) | Self::Of(..) => "GET",
            Self::Shorten(_) | Self::Terminate(_) | Self::ScscfSwitch | Self::PcscfSwitch(_) => {
                "POST"
            }
            Self::Identities(_) => "POST, DELETE",
        }
    }
}

/// Why something is refused.
#[derive(Debug)]
struct Problem {
    status: u16,
    text: String,
}

impl Problem {
    fn new(status: u16, text: impl Into<String>) -> Self {
        Self { status, text: text.into() }
    }

    /// A field of the body that is not as it should be.
    fn field(name: &str, expected: &str, found: Option<&Value>) -> Self {
        let found = found.map_or_else(|| "nothing".to_owned(), Value::to_string);
        Self::new(400, format!("{name}: expected {expected}, found {found}"))
    }
}

impl From<NoAnswer> for Problem {
    fn from(silent: NoAnswer) -> Self {
        Self::new(504, format!("{silent}; a command may still be followed"))
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let status = match refusal {
            Refusal::UserUnknown | Refusal::IdentityUnknown => 404,
            Refusal::IdentityHeld | Refusal::IdentityTaken | Refusal::NoAuthentication => 409,
            Refusal::IdentityMalformed | Refusal::TooManyIdentities => 422,
        };
        Self::new(status, refusal.to_string())
    }
}

impl Api {
    /// The answer to a request.
    #[must_use]
    pub fn answer(&self, request: &Request) -> Response {
        let Some(resource) = Resource::parse(&request.path) else {
            return error(404, &format!("no such resource: {}", request.path));
        };
        let methods = resource.methods();
        if !methods.split(", ").any(|method| method == request.method) {
            let problem = format!("{} is none of its methods: {methods}", request.method);
            return Response { allow: methods, ..error(405, &problem) };
        }
        self.serve(&resource, request)
            .unwrap_or_else(|problem| error(problem.status, &problem.text))
    }

    fn serve(&self, resource: &Resource<'_>, request: &Request) -> Result<Response, Problem> {
        let body = match *resource {
            Resource::Metrics => return Ok(exposition(&self.metrics, &request.accept)),
            Resource::Status => {
                let deviation = self.deviation.as_deref();
                let mut status = status(&self.published, self.started, self.io, deviation);
                status["security_event"] = self.switches().to_json();
                Ok(status.to_string().into())
            }
            Resource::List(table) => self.list(table, &request.query),
            Resource::Of(table, impi) => self.list_of(table, decoded(impi)?, &request.query),
            Resource::Shorten(impi) => self.shorten(decoded(impi)?, &request.body),
            Resource::Terminate(impi) => self.terminate(decoded(impi)?, &request.body),
            Resource::Identities(impi) if request.method == "POST" => {
                self.add_identity(decoded(impi)?, &request.body)
            }
            Resource::Identities(impi) => self.remove_identity(decoded(impi)?, &request.body),
            Resource::ScscfSwitch => self.switch(Switched::Scscf, &request.body),
            Resource::PcscfSwitch(None) => self.switch(Switched::Pcscfs, &request.body),
            Resource::PcscfSwitch(Some(address)) => {
                self.switch(Switched::Pcscf(pcscf(address)?), &request.body)
            }
        };
        body.map(|body| Response::json(200, body))
    }

    fn shorten(&self, impi: Vec<u8>, body: &[u8]) -> Result<Vec<u8>, Problem> {
        let expires_max_s = self.expires_max_s()?;
        let body = fields(body, &["expires_s"])?;
        let found = body.get("expires_s");
        let expires_s = found.and_then(Value::as_u64).and_then(|value| u32::try_from(value).ok());
        match expires_s.filter(|value| (1..=expires_max_s).contains(value)) {
            Some(expires_s) => self.operate(&Command::Shorten { impi, expires_s }),
            None => {
                let expected = format!("a number from 1 to {expires_max_s}");
                Err(Problem::field("expires_s", &expected, found))
            }
        }
    }

    fn terminate(&self, impi: Vec<u8>, body: &[u8]) -> Result<Vec<u8>, Problem> {
        let body = fields(body, &["reason"])?;
        let found = body.get("reason");
        let reasons = [Reason::Deactivated, Reason::Rejected];
        let named = |reason: &Reason| found.and_then(Value::as_str) == Some(reason.as_str());
        match reasons.into_iter().find(named) {
            Some(reason) => self.operate(&Command::Terminate { impi, reason }),
            None => Err(Problem::field("reason", r#""deactivated" or "rejected""#, found)),
        }
    }

    fn add_identity(&self, impi: Vec<u8>, body: &[u8]) -> Result<Vec<u8>, Problem> {
        let body = fields(body, &["impu", "barred"])?;
        let impu = impu(&body)?;
        let barred = match body.get("barred") {
            None => false,
            Some(Value::Bool(barred)) => *barred,
            found => return Err(Problem::field("barred", "true or false", found)),
        };
        self.operate(&Command::AddIdentity { impi, impu, barred })
    }

    fn remove_identity(&self, impi: Vec<u8>, body: &[u8]) -> Result<Vec<u8>, Problem> {
        let impu = impu(&fields(body, &["impu"])?)?;
        self.operate(&Command::RemoveIdentity { impi, impu })
    }

    fn switch(&self, role: Switched, body: &[u8]) -> Result<Vec<u8>, Problem> {
        let body = fields(body, &["enabled"])?;
        let is_on = match body.get("enabled") {
            Some(Value::Bool(is_on)) => *is_on,
            found => return Err(Problem::field("enabled", "true or false", found)),
        };
        let switch = Switch { role, is_on };
        let names = self.switches().names(&switch);
        if names.is_empty() {
            return Err(Problem::new(404, "no such role runs in this process"));
        }
        let thrown = self.desk.switch(switch);
        self.switches().note(&switch, thrown.is_ok().then_some(is_on));
        thrown?;
        Ok(json!({ "security_event": is_on, "roles": names }).to_string().into())
    }

    fn switches(&self) -> std::sync::MutexGuard<'_, SecurityEvent> {
        self.security_event.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn operate(&self, command: &Command) -> Result<Vec<u8>, Problem> {
        self.expires_max_s()?;
        let owner = self.topology.owner(command.impi());
        let done = self.desk.operate(owner, command)??;
        Ok(json!({ "connections": done.connections }).to_string().into())
    }

    /// The S-CSCF's longest lifetime. Only where an S-CSCF runs can anything be commanded.
    fn expires_max_s(&self) -> Result<u32, Problem> {
        self.expires_max_s.ok_or_else(|| Problem::new(404, "no S-CSCF runs in this process"))
    }

    /// All rows of a table, shard by shard, as many as fit an answer.
    fn list(&self, table: Table, query: &str) -> Result<Vec<u8>, Problem> {
        let shards = self.desk.shards();
        self.collect(table, None, Place::parse(query, 0..shards)?, shards)
    }

    /// The rows of one user, all of which are its owner's.
    fn list_of(&self, table: Table, impi: Vec<u8>, query: &str) -> Result<Vec<u8>, Problem> {
        let is_unknown = |all: &Arc<imstorm_cscf::Directory>| all.find(&impi).is_none();
        if self.topology.directory.as_ref().is_some_and(is_unknown) {
            return Err(Refusal::UserUnknown.into());
        }
        let owner = self.topology.owner(&impi);
        let from = Place::parse(query, owner..owner + 1)?;
        self.collect(table, Some(impi), from, owner + 1)
    }

    fn collect(
        &self,
        table: Table,
        impi: Option<Vec<u8>>,
        from: Place,
        shards_end: usize,
    ) -> Result<Vec<u8>, Problem> {
        let since = Instant::now();
        let mut body = format!("{{\"{}\":[", table.name()).into_bytes();
        let mut count = 0;
        let mut query = Query { table, impi, from: from.place };
        let mut shard = from.shard;
        while shard < shards_end && count < ROWS_MAX && since.elapsed() < LIST_TIME_MAX {
            let shown = self.desk.show(shard, &query)?;
            for row in shown.rows.to_json() {
                if count > 0 {
                    body.push(b',');
                }
                body.extend_from_slice(row.to_string().as_bytes());
                count += 1;
            }
            query.from = shown.next.unwrap_or(0);
            shard += usize::from(shown.next.is_none());
        }
        body.push(b']');
        if shard < shards_end {
            body.extend_from_slice(format!(",\"next\":\"{shard}-{}\"", query.from).as_bytes());
        }
        body.push(b'}');
        Ok(body)
    }
}

/// Where a list goes on.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
struct Place {
    shard: usize,
    place: u64,
}

impl Place {
    /// `from=SHARD-PLACE`, as `next` of the answer before has it; without it, the first shard's beginning.
    fn parse(query: &str, shards: std::ops::Range<usize>) -> Result<Self, Problem> {
        if query.is_empty() {
            return Ok(Self { shard: shards.start, place: 0 });
        }
        let read = |text: &str| {
            let (shard, place) = text.strip_prefix("from=")?.split_once('-')?;
            Some(Self { shard: shard.parse().ok()?, place: place.parse().ok()? })
        };
        read(query).filter(|from| shards.contains(&from.shard)).ok_or_else(|| {
            let expected = "the query is at most from=NEXT, with NEXT from the answer before";
            Problem::new(400, format!("{expected}; found {query}"))
        })
    }
}

fn error(status: u16, text: &str) -> Response {
    Response::json(status, json!({ "error": text }).to_string())
}

fn decoded(impi: &str) -> Result<Vec<u8>, Problem> {
    let decoded = percent_decode(impi).map(String::into_bytes);
    decoded.ok_or_else(|| Problem::new(400, format!("no percent-encoded UTF-8: {impi}")))
}

/// A P-CSCF's name: its unprotected address.
fn pcscf(address: &str) -> Result<SocketAddr, Problem> {
    let decoded = percent_decode(address);
    decoded.and_then(|text| text.parse().ok()).ok_or_else(|| {
        Problem::new(400, format!("expected a P-CSCF's address, IP:PORT, found {address}"))
    })
}

/// The body's fields, of which there are none but `known`.
fn fields(body: &[u8], known: &[&str]) -> Result<Map<String, Value>, Problem> {
    let fields = match serde_json::from_slice(body) {
        Ok(Value::Object(fields)) => fields,
        Ok(_) => return Err(Problem::new(400, "the body is no JSON object")),
        Err(error) => return Err(Problem::new(400, format!("the body is no JSON: {error}"))),
    };
    match fields.keys().find(|name| !known.contains(&name.as_str())) {
        Some(name) => {
            let problem = format!("{name}: no such field; there is {}", known.join(", "));
            Err(Problem::new(400, problem))
        }
        None => Ok(fields),
    }
}

fn impu(fields: &Map<String, Value>) -> Result<Vec<u8>, Problem> {
    match fields.get("impu") {
        Some(Value::String(impu)) => Ok(impu.clone().into_bytes()),
        found => Err(Problem::field("impu", "a URI", found)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::EngineConfig;
    use imstorm_cscf::hss::Directory;

    const CONFIG: &str = "pcscf = [{ address = \"127.0.0.1:5060\", mw = \"127.0.0.1:6060\" }]\n\
        icscf = { mw = \"127.0.0.1:6070\" }\nscscf = { mw = \"127.0.0.1:6080\" }\n\
        subscribers = { size = 10 }\n";

    /// An engine without shards: only what needs none is answered.
    fn api() -> Api {
        let config = EngineConfig::parse("test", CONFIG).unwrap();
        let derivation = config.subscribers.as_ref().unwrap().derivation().unwrap();
        let directory = Some(Arc::new(Directory::derived(derivation)));
        Api {
            desk: Desk::new(Vec::new()),
            topology: Arc::new(Topology::new(&config, 1, directory)),
            published: Arc::new(Vec::new()),
            metrics: Registry::default(),
            started: Instant::now(),
            io: Backend::Mmsg,
            deviation: None,
            security_event: Mutex::new(SecurityEvent::new(&config)),
            expires_max_s: config.scscf.map(|scscf| scscf.expires_max_s),
        }
    }

    fn ask(method: &str, path: &str, body: &str) -> (u16, String, &'static str) {
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let request = Request {
            method: method.to_owned(),
            path: path.to_owned(),
            query: query.to_owned(),
            accept: String::new(),
            body: body.as_bytes().to_vec(),
        };
        let response = api().answer(&request);
        let body: Value = serde_json::from_slice(&response.body).unwrap();
        (response.status, body["error"].as_str().unwrap_or("").to_owned(), response.allow)
    }

    #[test]
    fn what_is_not_there_is_404_and_what_it_can_not_do_405() {
        for path in ["/", "/v1", "/v2/status", "/v1/keys", "/v1/subscribers/a/b", "/v1/a/b/c/d/e"] {
            assert_eq!(ask("GET", path, "").0, 404, "{path}");
        }
        for (method, path, allow) in [
            ("POST", "/v1/status", "GET"),
            ("PUT", "/metrics", "GET"),
            ("DELETE", "/v1/subscriptions", "GET"),
            ("GET", "/v1/subscriptions/a/shorten", "POST"),
            ("PUT", "/v1/subscribers/a/identities", "POST, DELETE"),
            ("GET", "/v1/scscf/security_event", "POST"),
            ("DELETE", "/v1/pcscf/security_event", "POST"),
        ] {
            let (status, error, allowed) = ask(method, path, "");
            assert_eq!((status, allowed), (405, allow), "{method} {path}");
            assert!(error.contains(allow), "{error}");
        }
    }

    #[test]
    fn a_wrong_body_names_its_field() {
        let shorten = "/v1/subscriptions/a/shorten";
        let terminate = "/v1/subscriptions/a/terminate";
        let identities = "/v1/subscribers/a/identities";
        for (path, body, named) in [
            (shorten, "", "no JSON"),
            (shorten, "[]", "no JSON object"),
            (shorten, "{}", "expires_s: "),
            (shorten, r#"{"expires_s":0}"#, "expires_s: "),
            (shorten, r#"{"expires_s":-1}"#, "expires_s: "),
            (shorten, r#"{"expires_s":600001}"#, "expires_s: "),
            (shorten, r#"{"expires_s":"60"}"#, "expires_s: "),
            (shorten, r#"{"expires_s":60,"reason":"x"}"#, "reason: "),
            (terminate, "{}", "reason: "),
            (terminate, r#"{"reason":"timeout"}"#, "reason: "),
            (identities, "{}", "impu: "),
            (identities, r#"{"impu":7}"#, "impu: "),
            (identities, r#"{"impu":"sip:a@b","barred":1}"#, "barred: "),
        ] {
            let (status, error, _) = ask("POST", path, body);
            assert_eq!(status, 400, "{path} {body}");
            assert!(error.contains(named), "{named} in {error}");
        }
        let (status, error, _) = ask("DELETE", identities, r#"{"impu":"sip:a@b","barred":true}"#);
        assert_eq!(status, 400);
        assert!(error.starts_with("barred: "), "{error}");
    }

    #[test]
    fn a_switch_names_a_role_that_runs_here_and_says_on_or_off() {
        let on = r#"{"enabled":true}"#;
        for (path, body, expected) in [
            ("/v1/scscf/security_event", on, 200),
            ("/v1/pcscf/security_event", r#"{"enabled":false}"#, 200),
            ("/v1/pcscf/127.0.0.1:5060/security_event", on, 200),
            ("/v1/pcscf/127.0.0.1%3A5060/security_event", on, 200),
            ("/v1/pcscf/127.0.0.9:5060/security_event", on, 404),
            ("/v1/icscf/security_event", on, 404),
            ("/v1/pcscf/first/security_event", on, 400),
            ("/v1/scscf/security_event", "{}", 400),
            ("/v1/scscf/security_event", r#"{"enabled":"on"}"#, 400),
            ("/v1/scscf/security_event", r#"{"enabled":true,"impi":"x"}"#, 400),
        ] {
            let (status, error, _) = ask("POST", path, body);
            assert_eq!(status, expected, "{path} {body}: {error}");
            assert_eq!(error.is_empty(), expected == 200, "{error}");
        }
    }

    #[test]
    fn paths_and_queries_are_read_or_refused() {
        assert_eq!(ask("GET", "/v1/subscriptions/%zz", "").0, 400);
        assert_eq!(ask("GET", "/v1/subscriptions/nobody%40ims.example", "").0, 404);
        assert_eq!(ask("GET", "/v1/subscriptions/", "").0, 404);
        for query in ["from=", "from=0", "from=1-0", "from=x-0", "limit=1"] {
            let path = format!("/v1/subscriptions/ue00000001%40ims.example?{query}");
            assert_eq!(ask("GET", &path, "").0, 400, "{query}");
        }
        let place = Place { shard: 1, place: 1 << 32 };
        assert_eq!(Place::parse("from=1-4294967296", 0..2).unwrap(), place);
    }

    #[test]
    fn each_refusal_has_its_status() {
        for (refusal, status) in [
            (Refusal::UserUnknown, 404),
            (Refusal::IdentityUnknown, 404),
            (Refusal::IdentityHeld, 409),
            (Refusal::IdentityTaken, 409),
            (Refusal::IdentityMalformed, 422),
            (Refusal::TooManyIdentities, 422),
            (Refusal::NoAuthentication, 409),
        ] {
            assert_eq!(Problem::from(refusal).status, status);
        }
        assert_eq!(Problem::from(NoAnswer { shard: 0 }).status, 504);
    }
}
