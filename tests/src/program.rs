//! What tests need that run the programs themselves as processes over real sockets.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Output};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// The exit code of a run that is no measurement: of a busy machine, or one that was cut off.
pub const INVALID: i32 = 3;

/// Loads are measured one at a time: a few cores carry no two of them.
pub fn alone() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    ONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A loopback address that no other test, and no other process of these tests, uses.
///
/// # Panics
/// If more than a hundred are asked for.
#[must_use]
pub fn fresh_ip() -> Ipv4Addr {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    let [_, _, high, low] = std::process::id().to_be_bytes();
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    Ipv4Addr::new(127, 128 + u8::try_from(number).expect("few tests"), high, low.max(1))
}

/// A UDP port that is free at this address now.
///
/// # Panics
/// If there is none.
#[must_use]
pub fn free_port(ip: IpAddr) -> u16 {
    let socket = UdpSocket::bind(SocketAddr::new(ip, 0)).expect("a free port");
    socket.local_addr().expect("an address").port()
}

/// A UDP port that is free at all addresses now.
#[must_use]
pub fn free_port_anywhere() -> u16 {
    free_port(IpAddr::V4(Ipv4Addr::UNSPECIFIED))
}

/// A folder that goes with the test.
#[derive(Debug)]
pub struct Folder(pub PathBuf);

impl Folder {
    /// A new one; `name` tells it from the others of this process.
    ///
    /// # Panics
    /// If it can't be made.
    #[must_use]
    pub fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("imstorm-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).expect("a folder");
        Self(path)
    }

    /// A path in it.
    #[must_use]
    pub fn at(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// A file in it with this text; its path.
    ///
    /// # Panics
    /// If it can't be written.
    pub fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.at(name);
        fs::write(&path, text).expect(name);
        path
    }

    /// The text of a file in it.
    ///
    /// # Panics
    /// If there is none.
    #[must_use]
    pub fn text(&self, file: &str) -> String {
        fs::read_to_string(self.at(file)).expect(file)
    }

    /// The report in it.
    ///
    /// # Panics
    /// If there is none.
    #[must_use]
    pub fn report(&self) -> Value {
        serde_json::from_str(&self.text("report.json")).expect("JSON")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// What a program said, for whoever reads why a test failed.
#[must_use]
pub fn shown(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    format!("{}\n{}\n{}", output.status, text(&output.stdout), text(&output.stderr))
}

/// A process that ends with the test.
#[derive(Debug)]
pub struct Running(pub Child);

impl Running {
    /// Interrupts it.
    ///
    /// # Panics
    /// If it is gone.
    pub fn interrupt(&self) {
        kill_process(Pid::from_child(&self.0), Signal::INT).expect("a signal");
    }

    /// Interrupts it and waits for its end; its exit code.
    ///
    /// # Panics
    /// If it is gone.
    pub fn interrupted(&mut self) -> Option<i32> {
        self.interrupt();
        self.0.wait().expect("it ends").code()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Words of a command line that set these keys of a profile, each with its value.
pub fn set<'a>(pairs: impl IntoIterator<Item = (&'a str, String)>) -> Vec<String> {
    let words = |(key, value)| ["--set".to_owned(), format!("{key}={value}")];
    pairs.into_iter().flat_map(words).collect()
}

/// Those that give a run with an engine of its own addresses and ports that nobody else has.
#[must_use]
pub fn own_addresses() -> Vec<String> {
    let ip = fresh_ip();
    set([
        ("topology.pcscf", format!("[\"{ip}:5060\"]")),
        ("topology.pcscf_esp_port", free_port(ip.into()).to_string()),
        ("ue.port", free_port_anywhere().to_string()),
        ("ue.esp_port", free_port_anywhere().to_string()),
    ])
}

/// What `imstorm run` needs for a run of two hundred UEs, some two seconds long, with an engine of its own at addresses that nobody else has: the words
/// behind the subcommand.
#[must_use]
pub fn small_run(out: &Path) -> Vec<String> {
    let mut words = vec!["quickstart".to_owned(), "--out".to_owned(), out.display().to_string()];
    words.extend(set([
        ("population.size", "200".to_owned()),
        ("arrivals.rate_per_s", "200".to_owned()),
        ("procedures.refresh.after_s", "0.5".to_owned()),
        ("procedures.release.after_s", "1".to_owned()),
    ]));
    words.extend(own_addresses());
    words
}
