//! `imstorm-engine ctl`: the operator's commands, over the control plane of a running engine.

mod pages;
mod table;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use imstorm_control::{Error, percent_encode};
use serde_json::{Value, json};

use crate::tables::Table;

/// How long the engine may take for an answer; a shard has two seconds of it.
const PATIENCE: Duration = Duration::from_secs(30);

const EXIT_CODES: &str = "\
Exit codes:
    0  done
    1  refused by the engine
    2  bad usage
    4  the engine does not answer";

/// What `ctl` is told.
#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub struct CtlArgs {
    /// The engine's control plane: http://IP:PORT or unix:/path.
    #[arg(long, global = true, value_name = "URL", default_value = "http://127.0.0.1:9060")]
    admin: String,
    /// A file with the token that the control plane asks for.
    #[arg(long, global = true, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Print the engine's answer as it is, in JSON.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: CtlCommand,
}

#[derive(Debug, Subcommand)]
enum CtlCommand {
    /// The subscribers and their public identities.
    #[command(subcommand)]
    Subscribers(Look),
    /// The secure connections, as the S-CSCF sees them.
    #[command(subcommand)]
    Subscriptions(Look),
    /// The sets of security associations at the P-CSCFs.
    #[command(subcommand)]
    Associations(Look),
    /// The registered contacts.
    #[command(subcommand)]
    Bindings(Look),
    /// The calls.
    #[command(subcommand)]
    Sessions(Look),
    /// Change a subscriber's public identities.
    #[command(subcommand)]
    Identity(Identity),
    /// Lower the lifetime of a user's connections, so that the UE authenticates again.
    Shorten {
        /// The private identity.
        impi: String,
        /// The lifetime that is left, in seconds.
        #[arg(long, value_name = "SECONDS")]
        expires: u32,
    },
    /// End a user's connections.
    Terminate {
        /// The private identity.
        impi: String,
        /// Whether the UE may come back at once (deactivated) or not (rejected).
        #[arg(long, value_enum, default_value = "deactivated")]
        reason: TerminateReason,
    },
    /// Switch the extension (the `security` event package) on or off, at the S-CSCF or at P-CSCFs. Connections that live go on.
    SecurityEvent {
        /// What it is to be.
        #[arg(value_enum)]
        state: SwitchState,
        /// Where.
        #[arg(value_enum)]
        role: SwitchRole,
        /// The one P-CSCF that is meant; all, if it is left out.
        #[arg(value_name = "IP:PORT")]
        address: Option<std::net::SocketAddr>,
    },
    /// The counters that are not 0, and what the engine holds.
    Stats,
}

#[derive(Debug, Subcommand)]
enum Look {
    /// All of them.
    List,
    /// Those of one user.
    Show {
        /// The private identity.
        impi: String,
    },
}

#[derive(Debug, Subcommand)]
enum Identity {
    /// Give a subscriber one more public identity.
    Add {
        /// The private identity.
        impi: String,
        /// The public identity, a sip: or tel: URI.
        impu: String,
        /// It may be called, and not be used for calling.
        #[arg(long)]
        barred: bool,
    },
    /// Take a public identity from a subscriber.
    Remove {
        /// The private identity.
        impi: String,
        /// The public identity.
        impu: String,
    },
}

#[derive(Copy, Clone, Debug, ValueEnum)]
enum TerminateReason {
    Deactivated,
    Rejected,
}

impl TerminateReason {
    fn as_str(self) -> &'static str {
        match self {
            Self::Deactivated => "deactivated",
            Self::Rejected => "rejected",
        }
    }
}

#[derive(Copy, Clone, Debug, PartialEq, Eq, ValueEnum)]
enum SwitchState {
    On,
    Off,
}

#[derive(Copy, Clone, Debug, PartialEq, Eq, ValueEnum)]
enum SwitchRole {
    Scscf,
    Pcscf,
}

/// Why nothing, or not all, was done.
#[derive(Debug)]
enum Failure {
    /// The engine said so.
    Refused(String),
    /// What was asked can't be sent.
    Usage(String),
    /// There is no answer that makes sense.
    Silent(String),
}

impl Failure {
    fn exit_code(&self) -> u8 {
        match self {
            Self::Refused(_) => 1,
            Self::Usage(_) => 2,
            Self::Silent(_) => 4,
        }
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (Self::Refused(text) | Self::Usage(text) | Self::Silent(text)) = self;
        f.write_str(text)
    }
}

/// Follows the command line; the exit code.
#[must_use]
pub fn main(args: &CtlArgs) -> ExitCode {
    let done = Engine::new(args).and_then(|engine| args.command.run(&engine, args.json));
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("imstorm-engine ctl: {}", table::printable(&failure.to_string()));
            ExitCode::from(failure.exit_code())
        }
    }
}

impl CtlCommand {
    fn run(&self, engine: &Engine, as_json: bool) -> Result<(), Failure> {
        match self {
            Self::Subscribers(look) => look.run(engine, Table::Subscribers, as_json),
            Self::Subscriptions(look) => look.run(engine, Table::Subscriptions, as_json),
            Self::Associations(look) => look.run(engine, Table::Associations, as_json),
            Self::Bindings(look) => look.run(engine, Table::Bindings, as_json),
            Self::Sessions(look) => look.run(engine, Table::Sessions, as_json),
            Self::Identity(Identity::Add { impi, impu, barred }) => {
                let path = path_of(Table::Subscribers, impi, "/identities");
                let body = json!({ "impu": impu, "barred": barred });
                command(engine, "POST", &path, &body, as_json)
            }
            Self::Identity(Identity::Remove { impi, impu }) => {
                let path = path_of(Table::Subscribers, impi, "/identities");
                command(engine, "DELETE", &path, &json!({ "impu": impu }), as_json)
            }
            Self::Shorten { impi, expires } => {
                let path = path_of(Table::Subscriptions, impi, "/shorten");
                command(engine, "POST", &path, &json!({ "expires_s": expires }), as_json)
            }
            Self::Terminate { impi, reason } => {
                let path = path_of(Table::Subscriptions, impi, "/terminate");
                command(engine, "POST", &path, &json!({ "reason": reason.as_str() }), as_json)
            }
            Self::SecurityEvent { state, role, address } => {
                let path = match (role, address) {
                    (SwitchRole::Scscf, None) => "/v1/scscf/security_event".to_owned(),
                    (SwitchRole::Scscf, Some(_)) => {
                        return Err(Failure::Usage("an address names a P-CSCF".to_owned()));
                    }
                    (SwitchRole::Pcscf, None) => "/v1/pcscf/security_event".to_owned(),
                    (SwitchRole::Pcscf, Some(address)) => {
                        let address = percent_encode(&address.to_string());
                        format!("/v1/pcscf/{address}/security_event")
                    }
                };
                switch(engine, &path, *state == SwitchState::On, as_json)
            }
            Self::Stats => stats(engine, as_json),
        }
    }
}

impl Look {
    fn run(&self, engine: &Engine, table: Table, as_json: bool) -> Result<(), Failure> {
        let path = match self {
            Self::List => format!("/v1/{}", table.name()),
            Self::Show { impi } => path_of(table, impi, ""),
        };
        let mut printer = table::Printer::new(table);
        let mut pages = pages::Pages::new(table);
        let mut query = String::new();
        loop {
            let (body, answer) = engine.ask("GET", &format!("{path}{query}"), b"")?;
            let next = answer["next"].as_str();
            // An answer that is all there is goes on as it is; pages become one document.
            if as_json && query.is_empty() && next.is_none() {
                return print(&format!("{body}\n"));
            }
            let rows = answer[table.name()].as_array().map_or(&[][..], Vec::as_slice);
            print(&if as_json { pages.rows(rows) } else { printer.rows(rows) })?;
            match next {
                Some(next) => query = format!("?from={next}"),
                None if as_json => return print(pages.end()),
                None => return print(&printer.end()),
            }
        }
    }
}

fn path_of(table: Table, impi: &str, what: &str) -> String {
    format!("/v1/{}/{}{what}", table.name(), percent_encode(impi))
}

fn command(
    engine: &Engine,
    method: &str,
    path: &str,
    body: &Value,
    as_json: bool,
) -> Result<(), Failure> {
    let (text, answer) = engine.ask(method, path, body.to_string().as_bytes())?;
    match answer["connections"].as_u64() {
        _ if as_json => print(&format!("{text}\n")),
        Some(1) => print("done, at 1 connection\n"),
        Some(connections) => print(&format!("done, at {connections} connections\n")),
        None => Err(Failure::Silent(format!("no answer of this engine's: {text}"))),
    }
}

fn switch(engine: &Engine, path: &str, is_on: bool, as_json: bool) -> Result<(), Failure> {
    let body = json!({ "enabled": is_on }).to_string();
    let (text, answer) = engine.ask("POST", path, body.as_bytes())?;
    let Some(roles) = answer["roles"].as_array().filter(|_| answer["security_event"] == is_on)
    else {
        return Err(Failure::Silent(format!("no answer of this engine's: {text}")));
    };
    if as_json {
        return print(&format!("{text}\n"));
    }
    let state = if is_on { "on" } else { "off" };
    let line = |role: &Value| format!("{state} at {}\n", role.as_str().unwrap_or_default());
    print(&roles.iter().map(line).collect::<String>())
}

fn stats(engine: &Engine, as_json: bool) -> Result<(), Failure> {
    let (text, status) = engine.ask("GET", "/v1/status", b"")?;
    if as_json { print(&format!("{text}\n")) } else { print(&table::stats(&status)) }
}

/// Writes to standard output. Whoever reads it may have seen enough: then there is nobody to tell.
fn print(text: &str) -> Result<(), Failure> {
    use std::io::Write as _;
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Failure::Usage(format!("standard output: {error}")))
        }
        _ => Ok(()),
    }
}

/// The engine that is commanded.
struct Engine {
    admin: String,
    token: Option<String>,
}

impl Engine {
    fn new(args: &CtlArgs) -> Result<Self, Failure> {
        let admin = match args.admin.strip_prefix("unix:") {
            Some(_) => format!("{}:", args.admin),
            None => args.admin.trim_end_matches('/').to_owned(),
        };
        let token = args.token_file.as_deref().map(read_token).transpose()?;
        Ok(Self { admin, token })
    }

    /// The text of the answer, and what it says.
    fn ask(&self, method: &str, path: &str, body: &[u8]) -> Result<(String, Value), Failure> {
        let url = format!("{}{path}", self.admin);
        let answer = imstorm_control::request(method, &url, self.token.as_deref(), body, PATIENCE);
        let (status, body) = answer.map_err(|error| match error {
            Error::BadRequest(what) if what == url => Failure::Usage(format!(
                "--admin {}: expected http://HOST:PORT, such as http://127.0.0.1:9060, or unix:/path",
                self.admin.trim_end_matches(':')
            )),
            Error::BadRequest(_) => Failure::Usage(error.to_string()),
            _ => {
                let admin = self.admin.trim_end_matches(':');
                Failure::Silent(format!("{admin}: {error}{}", hint(&error)))
            }
        })?;
        let text = String::from_utf8_lossy(&body).into_owned();
        let value = serde_json::from_slice::<Value>(&body).unwrap_or_default();
        match status {
            200 if value.is_object() => Ok((text, value)),
            200 => Err(Failure::Silent(format!("{}: no answer of an engine", self.admin))),
            _ => {
                let mut said = value["error"].as_str().unwrap_or(text.trim()).to_owned();
                if said.is_empty() {
                    let _ = write!(said, "HTTP status {status}");
                }
                if status == 401 {
                    said.push_str(": name with --token-file the file that is admin_token_file in the engine's configuration");
                }
                // 504: the control plane is there, but not the shard that matters.
                let failure = if status == 504 { Failure::Silent } else { Failure::Refused };
                Err(failure(said))
            }
        }
    }
}

/// What to look at where the engine does not answer.
fn hint(error: &Error) -> &'static str {
    match error {
        Error::Connect(_) => {
            " (is the engine running there? `imstorm-engine serve` says at its start where its control plane is; name that with --admin)"
        }
        Error::Exchange(_) | Error::Timeout(_) => " (is it an engine that listens there?)",
        Error::BadRequest(_) => "",
    }
}

fn read_token(path: &Path) -> Result<String, Failure> {
    let text = std::fs::read_to_string(path);
    let text = text.map_err(|error| Failure::Usage(format!("{}: {error}", path.display())))?;
    Ok(text.trim().to_owned())
}
