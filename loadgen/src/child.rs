//! The engine as a child process: its memory and CPU are its own, it can be killed, and it talks over real sockets.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};

/// The hidden subcommand that makes this program the engine.
pub const SUBCOMMAND: &str = "embedded-engine";

/// A running engine. Dropping it ends it.
#[derive(Debug)]
pub struct EngineChild {
    child: Child,
    /// Closing it ends the engine.
    input: Option<ChildStdin>,
    /// Where its control plane listens.
    pub admin: SocketAddr,
    /// The back end that it uses.
    pub io: String,
}

/// Why the engine did not start.
#[derive(Debug)]
pub enum ChildError {
    /// The process can't be started or spoken to.
    Process(io::Error),
    /// It ended; what was wrong it has said on standard error.
    Ended(ExitStatus),
    /// What it said is not understood.
    Answer(String),
}

impl std::fmt::Display for ChildError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Process(error) => write!(f, "the embedded engine can't be started: {error}"),
            Self::Ended(status) => write!(
                f,
                "the embedded engine did not start ({status}): what was wrong it has said above"
            ),
            Self::Answer(line) => write!(f, "the embedded engine said {line:?}"),
        }
    }
}

impl std::error::Error for ChildError {}

impl EngineChild {
    /// Starts the engine with this configuration, and waits until it serves. The lines of its log go to `log`, or to standard error.
    ///
    /// # Errors
    /// As [`ChildError`] says.
    pub fn start(config: &str, log: Option<fn(&str)>) -> Result<Self, ChildError> {
        let program = std::env::current_exe().map_err(ChildError::Process)?;
        let mut child = Command::new(program)
            .arg(SUBCOMMAND)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(if log.is_some() { Stdio::piped() } else { Stdio::inherit() })
            .env("RUST_LOG", std::env::var("RUST_LOG").unwrap_or_else(|_| "warn".to_owned()))
            .spawn()
            .map_err(ChildError::Process)?;
        let mut input = child.stdin.take().expect("it is piped");
        let output = child.stdout.take().expect("it is piped");
        if let (Some(log), Some(lines)) = (log, child.stderr.take()) {
            let lines = BufReader::new(lines).lines();
            std::thread::Builder::new()
                .name("engine-log".to_owned())
                .spawn(move || lines.map_while(Result::ok).for_each(|line| log(&line)))
                .map_err(ChildError::Process)?;
        }
        write!(input, "{}\n{config}", config.len()).map_err(ChildError::Process)?;
        input.flush().map_err(ChildError::Process)?;
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line).map_err(ChildError::Process)?;
        if line.is_empty() {
            return Err(ChildError::Ended(child.wait().map_err(ChildError::Process)?));
        }
        let ready: Option<serde_json::Value> = serde_json::from_str(&line).ok();
        let field = |name: &str| Some(ready.as_ref()?.get(name)?.as_str()?.to_owned());
        let admin = field("admin").and_then(|address| address.parse().ok());
        let (Some(admin), Some(io)) = (admin, field("io")) else {
            return Err(ChildError::Answer(line));
        };
        Ok(Self { child, input: Some(input), admin, io })
    }

    /// Ends the engine and waits for it.
    pub fn stop(&mut self) {
        self.input = None;
        // Whether it ended well matters to nobody any more.
        let _ = self.child.wait();
    }
}

impl Drop for EngineChild {
    fn drop(&mut self) {
        self.stop();
    }
}

/// The child's side: reads its configuration from standard input.
///
/// # Errors
/// Where there is none.
pub fn read_config() -> io::Result<String> {
    // Unbuffered beyond the configuration: what follows is only the end of input.
    let mut input = io::stdin().lock();
    let mut length = String::new();
    input.read_line(&mut length)?;
    let length: u64 = length.trim().parse().map_err(io::Error::other)?;
    let mut config = String::new();
    Read::take(&mut input, length).read_to_string(&mut config)?;
    Ok(config)
}
