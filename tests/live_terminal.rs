//! What a run shows while it goes on, and what keys do to it: the program itself on a pseudo-terminal, which script(1) of util-linux makes, and without one.

use std::fs;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tests::program::{Folder, INVALID, alone, own_addresses, set, shown};

const IMSTORM: &str = env!("CARGO_BIN_EXE_imstorm-under-test");
/// The longest that anything here may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// The alternate screen on and off, as every terminal of today has it.
const ENTER: &str = "\x1b[?1049h";
const LEAVE: &str = "\x1b[?1049l";

/// `imstorm run quickstart` of a minute with an engine of its own, as words of a command line.
fn arguments(out: &Path) -> Vec<String> {
    let mut words = vec!["run".to_owned(), "quickstart".to_owned(), "--out".to_owned()];
    words.push(out.display().to_string());
    let load = [("population.size", "6000"), ("arrivals.rate_per_s", "100")];
    words.extend(set(load.map(|(key, value)| (key, value.to_owned()))));
    words.extend(own_addresses());
    words
}

/// A program on a terminal of 100 columns and 30 lines.
struct OnTerminal {
    script: Child,
    screen: Arc<Mutex<Vec<u8>>>,
}

impl OnTerminal {
    fn start(words: &[String], environment: &[(&str, &str)]) -> Self {
        let quoted: Vec<String> = words.iter().map(|word| format!("'{word}'")).collect();
        // The program gets the number of the shell that it takes the place of.
        let line = format!(
            "echo process $$; stty rows 30 cols 100; exec '{IMSTORM}' {}",
            quoted.join(" ")
        );
        let mut command = Command::new("script");
        command.args(["-qfec", &line, "/dev/null"]).env("TERM", "xterm").env_remove("NO_COLOR");
        command.envs(environment.iter().copied());
        let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut script = command.spawn().expect("script(1)");
        let mut output = script.stdout.take().expect("it is piped");
        let screen = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&screen);
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(len @ 1..) = output.read(&mut bytes) {
                seen.lock().unwrap_or_else(PoisonError::into_inner).extend(&bytes[..len]);
            }
        });
        Self { script, screen }
    }

    /// All that was written to the terminal.
    fn text(&self) -> String {
        let bytes = self.screen.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&bytes).into_owned()
    }

    fn press(&mut self, keys: &str) {
        let input = self.script.stdin.as_mut().expect("it is piped");
        input.write_all(keys.as_bytes()).expect("a terminal");
        input.flush().expect("a terminal");
    }

    fn wait_for(&mut self, what: &str, mut is_there: impl FnMut(&str) -> bool) {
        let since = Instant::now();
        while !is_there(&self.text()) {
            let (end, text) = (self.script.try_wait().expect("a process"), self.text());
            assert!(since.elapsed() < PATIENCE && end.is_none(), "no {what}:\n{}", last(&text));
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// A word: between words the cursor may be moved instead of a space being written.
    fn wait_for_text(&mut self, text: &str) {
        self.wait_for(text, |screen| screen.contains(text));
    }

    /// Sends the program a signal.
    fn signal(&self, signal: Signal) {
        let text = self.text();
        let number = text.lines().find_map(|line| line.trim().strip_prefix("process "));
        let number = number.and_then(|it| it.parse().ok()).and_then(Pid::from_raw);
        kill_process(number.expect("a process"), signal).expect("a signal");
    }

    fn end(mut self) -> (ExitStatus, String) {
        let since = Instant::now();
        loop {
            if let Some(status) = self.script.try_wait().expect("a process") {
                return (status, self.text());
            }
            assert!(since.elapsed() < PATIENCE, "no end:\n{}", last(&self.text()));
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for OnTerminal {
    fn drop(&mut self) {
        let _ = self.script.kill();
        let _ = self.script.wait();
    }
}

/// The end of what was written, for whoever reads why a test failed.
fn last(text: &str) -> String {
    let skipped = text.chars().count().saturating_sub(4_000);
    text.chars().skip(skipped).collect()
}

/// How many UEs began to be secured in each second so far.
fn started(out: &Path) -> Vec<u64> {
    let text = fs::read_to_string(out.join("intervals.jsonl")).unwrap_or_default();
    let whole = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
    let lines = whole.map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    let seconds = lines.filter(|line| line.get("end").is_none());
    seconds.map(|line| line["rows"]["secure"]["attempted"].as_u64().unwrap_or(0)).collect()
}

#[test]
fn keys_pause_a_run_step_its_rate_and_end_it() {
    let _alone = alone();
    let directory = Folder::new("keys");
    let out = directory.at("run");
    let mut terminal = OnTerminal::start(&arguments(&out), &[]);
    terminal.wait_for_text("arrive");
    terminal.press("?");
    terminal.wait_for_text("Offer");
    terminal.press("?");
    terminal.press("+");
    terminal.wait_for_text("110%");
    terminal.press(" ");
    terminal.wait_for_text("PAUSED");
    let empty = |seconds: &[u64]| seconds.iter().filter(|count| **count == 0).count();
    terminal.wait_for("three seconds in which nothing began", |_| empty(&started(&out)) >= 3);
    terminal.press(" ");
    terminal.wait_for("second in which something began again", |_| {
        started(&out).last().is_some_and(|count| *count > 0)
    });
    terminal.press("q");
    let (status, text) = terminal.end();
    let report: Value =
        serde_json::from_slice(&fs::read(out.join("report.json")).expect("a report"))
            .expect("JSON");
    assert_eq!(report["interrupted"], true, "{report:#}");
    let done = report["interventions"].as_array().expect("a list");
    let actions: Vec<_> = done.iter().map(|it| it["action"].as_str().expect("a name")).collect();
    assert_eq!(actions, ["rate", "pause", "resume"], "{done:?}");
    assert_eq!(done[0]["percent"], 110);
    let at_s = |place: usize| done[place]["at_s"].as_f64().expect("a time");
    let paused_s = at_s(2) - at_s(1);
    assert!(paused_s >= 2.0, "{done:?}");
    // What was put off was intended for later: were the pause in the latencies, whatever came behind it would have taken that long.
    let secure = &report["procedures"]["secure"];
    let p99_us = secure["latency_us"]["p99"].as_f64().expect("a number");
    assert!(p99_us < paused_s * 1e6, "{secure:#}");
    // The terminal is given back, and then comes the result, on standard output.
    let left = text.find(LEAVE).expect("the screen is left");
    assert!(text.find(ENTER).is_some_and(|entered| entered < left));
    let after = &text[left..];
    assert!(after.contains("procedure") && after.contains("by hand: paused for"), "{after}");
    assert!(!after.contains(ENTER), "{after}");
    let code = match report["verdict"].as_str() {
        Some("pass") => 0,
        Some("fail") => 1,
        _ => INVALID,
    };
    assert_eq!(status.code(), Some(code), "{}", last(&text));
}

#[test]
fn three_times_the_end_leaves_the_terminal_as_it_was() {
    let _alone = alone();
    let directory = Folder::new("ends");
    let mut terminal = OnTerminal::start(&arguments(&directory.at("run")), &[]);
    terminal.wait_for_text("arrive");
    terminal.press("qqq");
    let (status, text) = terminal.end();
    assert_eq!(status.code(), Some(130), "{}", last(&text));
    assert!(text.find(ENTER) < text.rfind(LEAVE), "{text}");
    // The cursor is there again.
    assert!(text.rfind("\x1b[?25l") < text.rfind("\x1b[?25h"), "{text}");
}

#[test]
fn a_signal_leaves_the_terminal_as_it_was() {
    let _alone = alone();
    let directory = Folder::new("signal");
    let mut terminal = OnTerminal::start(&arguments(&directory.at("run")), &[]);
    terminal.wait_for_text("arrive");
    terminal.signal(Signal::TERM);
    let (_, text) = terminal.end();
    let left = text.rfind(LEAVE).expect("the screen is left");
    assert!(text[left..].contains("interrupted"), "with a result: {}", last(&text));
}

#[test]
fn without_colours_there_are_none_and_a_dumb_terminal_takes_lines() {
    let _alone = alone();
    let directory = Folder::new("dumb");
    // Whatever its thread takes is too much: that is bad, and bad is red.
    let invalid = |out: &str| {
        let mut words = arguments(&directory.at(out));
        let rule = "validity.generator_cpu_share_max=0.000001";
        words.extend(["--set".to_owned(), rule.to_owned()]);
        words
    };
    for (no_color, is_red) in [("", true), ("1", false)] {
        let out = format!("colours-{is_red}");
        let mut terminal = OnTerminal::start(&invalid(&out), &[("NO_COLOR", no_color)]);
        terminal.wait_for_text("INVALID");
        terminal.press("qq");
        let (_, text) = terminal.end();
        let red = ["\x1b[31m", "[38;5;1m", "[38;5;1;"].iter().any(|red| text.contains(red));
        assert_eq!(red, is_red, "NO_COLOR={no_color}: {}", last(&text));
    }
    let mut terminal = OnTerminal::start(&arguments(&directory.at("lines")), &[("TERM", "dumb")]);
    terminal.wait_for_text("   2 s  started");
    // Ctrl-C is the terminal's there.
    terminal.press("\x03");
    let (_, text) = terminal.end();
    assert!(!text.contains('\x1b'), "{text}");
}

#[test]
fn without_a_terminal_a_plain_line_a_second_comes() {
    let _alone = alone();
    let directory = Folder::new("plain");
    let mut words = arguments(&directory.at("run"));
    words.extend(["--set", "limits.duration_s=2", "--set", "limits.drain_s=1"].map(str::to_owned));
    let output = Command::new(IMSTORM).args(&words).stdin(Stdio::null()).output().expect("starts");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("   1 s  started"), "{}", shown(&output));
    assert!(!said.contains('\x1b') && !said.contains('\r'), "{}", shown(&output));
}
