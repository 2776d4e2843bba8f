//! What the programs say when somebody makes a mistake: each text names what was wrong and where, and what to do next. The programs themselves;
//! what differs from run to run, as paths and ports, stands as a name in angle brackets.

use std::fmt::Write as _;
use std::net::{TcpListener, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use tests::program::{Folder, alone, free_port, free_port_anywhere, fresh_ip};

const IMSTORM: &str = env!("CARGO_BIN_EXE_imstorm-under-test");
const ENGINE: &str = env!("CARGO_BIN_EXE_engine-under-test");

/// How lines begin that a run says at its start, or this machine has it say.
const START: [&str; 2] = ["receive buffers", "warning: below"];

/// What was said to mistakes, one after the other.
#[derive(Default)]
struct Said {
    text: String,
    /// What stands in place of what differs.
    names: Vec<(String, &'static str)>,
}

impl Said {
    fn name(&mut self, what: &impl ToString, name: &'static str) {
        self.names.push((what.to_string(), name));
    }

    /// Runs a program, and notes under which mistake it was, its exit code and its last words.
    fn note(&mut self, mistake: &str, program: &str, args: &[&str]) {
        let mut command = Command::new(program);
        command.args(args).stdin(Stdio::null()).env("RUST_LOG", "off");
        self.note_output(mistake, &command.output().expect("it starts"));
    }

    fn note_output(&mut self, mistake: &str, output: &Output) {
        let code = output.status.code().map_or("none".to_owned(), |code| code.to_string());
        let mut words = String::from_utf8_lossy(&output.stderr).into_owned();
        for (what, name) in &self.names {
            words = words.replace(what, name);
        }
        // What is said at the start of a run is no part of the mistake.
        let words: Vec<_> =
            words.lines().filter(|line| !START.iter().any(|said| line.starts_with(said))).collect();
        let _ = writeln!(self.text, "{mistake} (exit {code})");
        for line in words {
            let _ = writeln!(self.text, "{}", format!("    {line}").trim_end());
        }
        self.text.push('\n');
    }
}

/// The path as an argument.
fn arg(path: &Path) -> &str {
    path.to_str().expect("a path of ours")
}

#[test]
fn mistakes_with_profiles() {
    let folder = Folder::new("mistakes-profiles");
    let mut said = Said::default();
    said.name(&folder.0.display(), "<folder>");
    let plan = |args: &[&'static str]| [&["plan"][..], args].concat();
    said.note("a name with a slip", IMSTORM, &plan(&["quikstart"]));
    said.note("a name that is none", IMSTORM, &plan(&["my-load.toml"]));
    said.note("no profile at all", IMSTORM, &["plan"]);
    said.note("a directory for a profile", IMSTORM, &["plan", arg(&folder.0)]);
    said.note("a key with a slip", IMSTORM, &plan(&["quickstart", "--set", "population.sise=3"]));
    said.note("a table with a slip", IMSTORM, &plan(&["quickstart", "--set", "poplation.size=3"]));
    said.note(
        "a value of the wrong kind",
        IMSTORM,
        &plan(&["quickstart", "--set", "population.size=many"]),
    );
    said.note(
        "a value that can't be",
        IMSTORM,
        &plan(&["quickstart", "--set", "population.size=0"]),
    );
    said.note("--set without a value", IMSTORM, &plan(&["quickstart", "--set", "population.size"]));
    let broken = folder.file("broken.toml", "name = \"x\"\n[population\nsize = 3\n");
    said.note("a file that is no TOML", IMSTORM, &["plan", arg(&broken)]);
    let threshold = "thresholds.procedures.secure.faild=\"== 0\"";
    said.note(
        "a condition on what is not there",
        IMSTORM,
        &["plan", "quickstart", "--set", threshold],
    );
    let file = "population.subscribers=\"nowhere.csv\"";
    said.note(
        "a file of subscribers that is not there",
        IMSTORM,
        &["plan", "quickstart", "--set", file],
    );
    said.note("a built-in profile that is none", IMSTORM, &["init", "busyhour"]);
    said.note("capacity of a profile without a load", IMSTORM, &["capacity", "quickstart"]);
    said.note("run of a profile without steps", IMSTORM, &["run", "capacity"]);
    said.note("a part that can't be", IMSTORM, &["run", "quickstart", "--part", "3/2"]);
    said.note("a time that is none", IMSTORM, &["run", "quickstart", "--start-at", "soon"]);
    said.note("a UE that is no number", IMSTORM, &["run", "quickstart", "--capture", "first"]);
    said.note("a command with a slip", IMSTORM, &["rnu", "quickstart"]);
    insta::assert_snapshot!("profiles", said.text);
}

#[test]
fn mistakes_with_results() {
    let folder = Folder::new("mistakes-results");
    let mut said = Said::default();
    said.name(&folder.0.display(), "<folder>");
    let empty = arg(&folder.0);
    let nowhere = folder.at("nowhere");
    let nowhere = arg(&nowhere);
    said.note("report of a directory without results", IMSTORM, &["report", empty]);
    said.note("report of several without --out", IMSTORM, &["report", empty, nowhere]);
    said.note("ladder of no results", IMSTORM, &["ladder", empty, "--ue", "1"]);
    said.note("explain of no results", IMSTORM, &["explain", nowhere]);
    said.note("compare with what is not there", IMSTORM, &["compare", nowhere, empty]);
    folder.file("run.json", "{}");
    said.note("report of what is no log", IMSTORM, &["report", empty]);
    said.note("a UE of a run without captures", IMSTORM, &["ladder", empty, "--ue", "1"]);
    said.note("explain of a run that was killed", IMSTORM, &["explain", empty]);
    said.note("compare with a run that was killed", IMSTORM, &["compare", empty, empty]);
    folder.file("report.json", "{\"profile\":\"quickstart\",\"failures\":{\"timeout\":3}}");
    let failure = ["explain", empty, "--failure", "timout"];
    said.note("a cause with a slip", IMSTORM, &failure);
    let procedure = ["ladder", empty, "--ue", "1", "--procedure", "call_set_up"];
    said.note("a procedure with a slip", IMSTORM, &procedure);
    said.note("a drawing of no UE", IMSTORM, &["ladder", empty, "--svg", "x.svg"]);
    insta::assert_snapshot!("results", said.text);
}

#[test]
fn mistakes_with_the_environment() {
    let _alone = alone();
    let folder = Folder::new("mistakes-environment");
    let mut said = Said::default();
    said.name(&folder.0.display(), "<folder>");
    let file = folder.file("a-file", "");
    let (port, esp_port) = (free_port_anywhere(), free_port_anywhere());
    said.name(&port, "<port>");
    let ue_ports = [format!("ue.port={port}"), format!("ue.esp_port={esp_port}")];
    let run = |out: &Path, more: &[&str]| {
        let mut command = Command::new(IMSTORM);
        command.args(["run", "quickstart", "--set", "population.size=2", "--out"]).arg(out);
        ue_ports.iter().for_each(|set| {
            command.args(["--set", set]);
        });
        command.args(more).stdin(Stdio::null()).env("RUST_LOG", "off");
        command.output().expect("it starts")
    };
    let ip = fresh_ip();
    let free = free_port(ip.into());
    let silent = format!("{ip}:{free}");
    said.name(&silent, "<target>");
    let pcscf = format!("topology.pcscf=[\"{silent}\"]");
    let own = ["--set", pcscf.as_str()];
    said.note_output("results where a file is", &run(&file, &own));
    let out = folder.at("out");
    said.note_output("a target that is silent", &run(&out, &["--target", &silent]));
    said.note_output("a target without a port", &run(&out, &["--target", "127.0.0.1"]));
    let taken = UdpSocket::bind(("0.0.0.0", port)).expect("a free port");
    said.note_output("a port of the UEs that is taken", &run(&out, &["--target", &silent]));
    drop(taken);
    let operator = ["run", "identity-push", "--target", &silent];
    said.note("an operator without a control plane", IMSTORM, &operator);
    let addresses = ["--set", "topology.pcscf=[\"192.0.2.1:5060\"]"];
    said.note_output("an engine at an address of others", &run(&out, &addresses));
    insta::assert_snapshot!("environment", said.text);
}

const ENGINE_TOML: &str = "pcscf = [{ address = \"127.0.0.1:5060\", mw = \"127.0.0.1:6060\" }]\n\
    icscf = { mw = \"127.0.0.1:6070\" }\nscscf = { mw = \"127.0.0.1:6080\" }\n\
    subscribers = { size = 10 }\n";

#[test]
fn mistakes_with_the_engine() {
    let folder = Folder::new("mistakes-engine");
    let mut said = Said::default();
    said.name(&folder.0.display(), "<folder>");
    let nowhere = folder.at("nowhere.toml");
    said.note("a configuration that is not there", ENGINE, &["check", arg(&nowhere)]);
    for (mistake, text) in [
        ("a key with a slip", format!("{ENGINE_TOML}shard = 2\n")),
        (
            "a role that lacks another",
            ENGINE_TOML.replace("icscf = { mw = \"127.0.0.1:6070\" }\n", ""),
        ),
        ("no subscribers", ENGINE_TOML.replace("subscribers = { size = 10 }\n", "")),
        ("subscribers that are not there", ENGINE_TOML.replace("size = 10", "file = \"s.csv\"")),
        (
            "a control plane for all without a token",
            format!("{ENGINE_TOML}admin = \"0.0.0.0:9060\"\n"),
        ),
        (
            "a token that is not there",
            format!("{ENGINE_TOML}admin = \"0.0.0.0:9060\"\nadmin_token_file = \"token\"\n"),
        ),
        ("too many shards", format!("{ENGINE_TOML}shards = 99\n")),
    ] {
        let file = folder.file("engine.toml", &text);
        said.note(mistake, ENGINE, &["check", arg(&file)]);
    }
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let admin = taken.local_addr().expect("an address");
    said.name(&admin, "<admin>");
    let ip = fresh_ip();
    said.name(&ip, "<ip>");
    let text = ENGINE_TOML.replace("127.0.0.1", &ip.to_string());
    let file = folder.file("engine.toml", &format!("{text}admin = \"{admin}\"\nshards = 1\n"));
    said.note("a control plane whose port is taken", ENGINE, &["serve", arg(&file)]);
    drop(taken);
    let socket = UdpSocket::bind((ip, 5060)).expect("an address of ours");
    said.note("a P-CSCF whose port is taken", ENGINE, &["serve", arg(&file)]);
    drop(socket);
    let admin = format!("http://{admin}");
    said.note("a command to no engine", ENGINE, &["ctl", "stats", "--admin", &admin]);
    said.note(
        "a command to what is no URL",
        ENGINE,
        &["ctl", "stats", "--admin", "localhost:9060"],
    );
    said.note("a command with a slip", ENGINE, &["ctl", "subscriber", "list"]);
    insta::assert_snapshot!("engine", said.text);
}

#[test]
fn mistakes_with_permissions() {
    let folder = Folder::new("mistakes-permissions");
    let locked = folder.at("locked");
    std::fs::create_dir_all(&locked).expect("a folder");
    std::fs::set_permissions(&locked, PermissionsExt::from_mode(0o500)).expect("ours");
    if std::fs::write(locked.join("x"), "").is_ok() {
        eprintln!("who runs this test may write anywhere: nothing to see");
        return;
    }
    let mut said = Said::default();
    said.name(&folder.0.display(), "<folder>");
    let out = locked.join("run");
    said.note(
        "results where nothing may be written",
        IMSTORM,
        &["run", "quickstart", "--out", arg(&out)],
    );
    insta::assert_snapshot!("permissions", said.text);
}
