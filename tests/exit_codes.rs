//! Every code that the programs exit with, provoked, and what they say then: the text is to tell somebody who sees it for the first time what to do next.

use std::fmt::Write as _;
use std::fs;
use std::net::UdpSocket;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tests::program::{Folder, alone, fresh_ip, shown, small_run};

const IMSTORM: &str = env!("CARGO_BIN_EXE_imstorm-under-test");
const ENGINE: &str = env!("CARGO_BIN_EXE_engine-under-test");
/// The longest that anything here may take.
const PATIENCE: Duration = Duration::from_secs(60);

fn program(program: &str, directory: &Folder, words: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.current_dir(&directory.0).args(words);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn imstorm(directory: &Folder, words: &[&str]) -> Output {
    program(IMSTORM, directory, words).output().expect("it starts")
}

/// A run whose numbers count, however busy this machine is.
const LENIENT: &[&str] = &["--set", "validity.late_share_max=1", "--set", "validity.late_ms=60000"];

fn run(directory: &Folder, more: &[&str]) -> Output {
    let out = directory.at("out");
    let mut command = Command::new(IMSTORM);
    command.arg("run").args(small_run(&out)).arg("--quiet").args(LENIENT).args(more);
    command.current_dir(&directory.0).stdin(Stdio::null()).output().expect("it starts")
}

/// What was asked, the code, and what was said on standard error, without what is another one each time.
fn told(directory: &Folder, asked: &str, output: &Output) -> String {
    let said = String::from_utf8_lossy(&output.stderr);
    let said = said.replace(&directory.0.display().to_string(), "DIR");
    let lines = said.lines().filter(|line| !line.starts_with("receive buffers"));
    let code = output.status.code().map_or("none".to_owned(), |code| code.to_string());
    let mut text = format!("$ {asked}\n");
    lines.for_each(|line| writeln!(text, "{line}").expect("to memory"));
    writeln!(text, "exit {code}\n").expect("to memory");
    text
}

#[test]
fn bad_usage_and_profiles_exit_with_2() {
    let directory = Folder::new("exit-2");
    directory
        .file("wrong.toml", "name = \"p\"\n[population]\nsize = 10\n[arrivals]\nrate_per_s = -1\n");
    directory.file("no.toml", "name = \"p\n");
    let cases: &[&[&str]] = &[
        &["run"],
        &["run", "no-such-profile"],
        &["run", "no.toml"],
        &["run", "wrong.toml"],
        &["run", "quickstart", "--set", "population.size=0"],
        &["run", "quickstart", "--set", "population.sizes=5"],
        &["run", "quickstart", "--set", "thresholds.procedures.secure.failing=\"== 0\""],
        &["run", "quickstart", "--target", "127.0.0.1"],
        &["run", "identity-push", "--target", "127.0.0.1:9"],
        &["run", "capacity"],
        &["capacity", "quickstart"],
        &["report", "."],
        &["report", "a", "b"],
        &["compare", "a", "b"],
        &["ladder", ".", "--ue", "3"],
        &["init", "no-such-profile"],
        &["simulate", "quickstart", "--seeds", "9..1"],
        &["schemes", "quickstart"],
    ];
    let mut text = String::new();
    for words in cases {
        let output = imstorm(&directory, words);
        assert_eq!(output.status.code(), Some(2), "{words:?}: {}", shown(&output));
        text.push_str(&told(&directory, &format!("imstorm {}", words.join(" ")), &output));
    }
    insta::assert_snapshot!("exit_2", text);
}

#[test]
fn what_does_not_fit_what_is_missing_and_what_is_crossed_exit_with_1() {
    let _alone = alone();
    let directory = Folder::new("exit-1");
    // What needs more than a second has one.
    let output = imstorm(&directory, &["plan", "steps", "--set", "limits.duration_s=1"]);
    assert_eq!(output.status.code(), Some(1), "{}", shown(&output));
    let crossed = "thresholds.procedures.secure.failed=\">= 1\"";
    let output = run(&directory, &["--set", crossed]);
    assert_eq!(output.status.code(), Some(1), "{}", shown(&output));
    let said = String::from_utf8_lossy(&output.stdout);
    let verdict = said.lines().find(|line| line.starts_with("FAIL")).expect("a verdict");
    assert_eq!(verdict, "FAIL: 1 of 3 thresholds not held", "{}", shown(&output));
}

#[test]
fn a_run_that_holds_exits_with_0_and_one_whose_generator_is_the_limit_with_3() {
    let _alone = alone();
    let directory = Folder::new("exit-0");
    let output = run(&directory, &[]);
    assert_eq!(output.status.code(), Some(0), "{}", shown(&output));
    let output = run(&directory, &["--set", "validity.generator_cpu_share_max=0.000001"]);
    assert_eq!(output.status.code(), Some(3), "{}", shown(&output));
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("INVALID: the generator's thread ran"), "{}", shown(&output));
}

#[test]
fn a_target_that_is_not_there_exits_with_4() {
    let directory = Folder::new("exit-4");
    let ip = fresh_ip();
    let target = format!("{ip}:5060");
    let output = run(&directory, &["--target", &target]);
    assert_eq!(output.status.code(), Some(4), "{}", shown(&output));
    let admin = format!("http://{ip}:9");
    let words = ["ctl", "--admin", &admin, "stats"];
    let asked = program(ENGINE, &directory, &words).output().expect("it starts");
    assert_eq!(asked.status.code(), Some(4), "{}", shown(&asked));
    let text = told(&directory, "imstorm run quickstart --target IP:5060", &output)
        + &told(&directory, "imstorm-engine ctl --admin http://IP:9 stats", &asked);
    insta::assert_snapshot!("exit_4", text.replace(&ip.to_string(), "IP"));
}

#[test]
fn the_environment_exits_with_5() {
    let directory = Folder::new("exit-5");
    directory.file("quickstart.toml", "");
    let mut text = String::new();
    let mut asked = |asked: &str, output: Output| {
        assert_eq!(output.status.code(), Some(5), "{asked}: {}", shown(&output));
        text.push_str(&told(&directory, asked, &output));
    };
    asked("imstorm init quickstart", imstorm(&directory, &["init", "quickstart"]));
    let words = ["--junit", "nowhere/junit.xml"];
    asked("imstorm run quickstart --junit nowhere/junit.xml", run(&directory, &words));
    directory.file("out", "in the way of a directory");
    asked("imstorm run quickstart --out out", run(&directory, &[]));
    let ip = fresh_ip();
    let _taken = UdpSocket::bind((ip, 5060)).expect("a port");
    let config = format!(
        "pcscf = [{{ address = \"{ip}:5060\", esp_port = 4500, mw = \"{ip}:6060\" }}]\n\
         icscf = {{ mw = \"{ip}:6160\" }}\nscscf = {{ mw = \"{ip}:6260\" }}\n\
         subscribers = {{ size = 10 }}\nadmin = \"{ip}:0\"\nshards = 1\n"
    );
    directory.file("engine.toml", &config);
    let output = program(ENGINE, &directory, &["serve", "engine.toml"]).output().expect("starts");
    asked("imstorm-engine serve engine.toml", output);
    insta::assert_snapshot!("exit_5", text.replace(&ip.to_string(), "IP"));
}

#[test]
fn the_engine_says_what_is_wrong_with_its_configuration() {
    let directory = Folder::new("engine-2");
    directory.file("wrong.toml", "shards = -1\n");
    let mut text = String::new();
    for words in [&["serve"][..], &["check", "nowhere.toml"], &["check", "wrong.toml"]] {
        let output = program(ENGINE, &directory, words).output().expect("it starts");
        assert_eq!(output.status.code(), Some(2), "{words:?}: {}", shown(&output));
        text.push_str(&told(&directory, &format!("imstorm-engine {}", words.join(" ")), &output));
    }
    insta::assert_snapshot!("engine_exit_2", text);
}

#[test]
fn two_interrupts_exit_with_130_and_one_with_the_verdict() {
    let _alone = alone();
    let directory = Folder::new("exit-130");
    // Two of a kind that come at once may be one, so that they are of two kinds.
    for (signals, code) in [(&[Signal::INT][..], 0), (&[Signal::INT, Signal::TERM], 130)] {
        let out = directory.at(&format!("out-{code}"));
        let mut command = Command::new(IMSTORM);
        command.arg("run").args(small_run(&out)).arg("--quiet").args(LENIENT);
        // UEs that would stay for ten minutes.
        command.args(["--set", "procedures.release.after_s=600", "--set", "limits.drain_s=30"]);
        let command = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("it starts");
        let since = Instant::now();
        while fs::metadata(out.join("intervals.jsonl")).map_or(0, |file| file.len()) == 0 {
            assert!(since.elapsed() < PATIENCE, "nothing was written");
            assert!(child.try_wait().expect("a process").is_none(), "it ended");
        }
        for signal in signals {
            kill_process(Pid::from_child(&child), *signal).expect("a signal");
        }
        let output = child.wait_with_output().expect("it ends");
        assert_eq!(output.status.code(), Some(code), "{}", shown(&output));
    }
}
