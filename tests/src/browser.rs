//! A headless Chromium, driven over its debugging pipe: what a page shows to a person, and what it complains of.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::program::Folder;

/// Where it may be.
const PROGRAMS: [&str; 3] =
    ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];
/// The longest that it may take for anything.
const PATIENCE: Duration = Duration::from_secs(60);

/// The longest that it may take to end.
const GOODBYE: Duration = Duration::from_secs(5);

/// A browser with one page.
pub struct Browser {
    child: Child,
    requests: ChildStdin,
    answers: Receiver<Value>,
    /// The page.
    session: Value,
    number: u64,
    /// What the page has complained of since it was opened.
    problems: Vec<String>,
    /// Its settings go with it.
    _folder: Folder,
}

impl Browser {
    /// A new one; nothing where none is installed.
    ///
    /// # Panics
    /// If it does not start; or if there is none and `CI` is set, where there has to be one.
    #[must_use]
    pub fn start(name: &str) -> Option<Self> {
        let Some(program) = PROGRAMS.into_iter().find(|it| Path::new(it).exists()) else {
            assert!(std::env::var_os("CI").is_none(), "no Chromium among {PROGRAMS:?}");
            eprintln!("there is no Chromium here: nothing is tested");
            return None;
        };
        let folder = Folder::new(&format!("browser-{name}"));
        // It wants its pipe at descriptors 3 and 4.
        let mut child = Command::new("sh")
            .args([
                "-c",
                "exec \"$0\" \"$@\" 3<&0 4>&1 0</dev/null 1>/dev/null 2>/dev/null",
                program,
            ])
            .args([
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-quic",
                "--no-first-run",
            ])
            .args([
                "--disable-background-networking",
                "--disable-component-update",
                "--disable-sync",
            ])
            .args(["--disable-dev-shm-usage", "--hide-scrollbars", "--remote-debugging-pipe"])
            .arg(format!("--user-data-dir={}", folder.at("settings").display()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a shell");
        let requests = child.stdin.take().expect("a pipe");
        let answers = listen(child.stdout.take().expect("a pipe"));
        let problems = Vec::new();
        let mut browser = Self {
            child,
            requests,
            answers,
            session: Value::Null,
            number: 0,
            problems,
            _folder: folder,
        };
        let page = browser.call("Target.createTarget", &json!({ "url": "about:blank" }));
        let page = json!({ "targetId": page["targetId"], "flatten": true });
        browser.session = browser.call("Target.attachToTarget", &page)["sessionId"].clone();
        for domain in ["Page", "Runtime", "Log"] {
            browser.call(&format!("{domain}.enable"), &json!({}));
        }
        Some(browser)
    }

    /// Goes to a URL, and waits until all of it is there. How long that took.
    ///
    /// # Panics
    /// If it can't be loaded.
    pub fn open(&mut self, url: &str) -> Duration {
        self.problems.clear();
        let since = Instant::now();
        let gone = self.call("Page.navigate", &json!({ "url": url }));
        assert!(gone["errorText"].is_null(), "{url}: {gone}");
        while self.eval("document.readyState") != "complete" {
            assert!(since.elapsed() < PATIENCE, "{url} is not loaded");
        }
        since.elapsed()
    }

    /// What an expression in the page comes to; a promise, what it promises.
    ///
    /// # Panics
    /// If it throws.
    pub fn eval(&mut self, expression: &str) -> Value {
        let parameters =
            json!({ "expression": expression, "returnByValue": true, "awaitPromise": true });
        let answer = self.call("Runtime.evaluate", &parameters);
        assert!(answer["exceptionDetails"].is_null(), "{expression}: {answer:#}");
        answer["result"]["value"].clone()
    }

    /// Waits until an expression in the page is true.
    ///
    /// # Panics
    /// If that does not come.
    pub fn wait_for(&mut self, expression: &str) {
        let since = Instant::now();
        // The page's next frame comes by itself: nothing here waits for a time.
        let next =
            format!("new Promise((done) => setTimeout(() => done(Boolean({expression})), 20))");
        while self.eval(&next) != true {
            let text = self.eval("document.body.innerText.slice(0, 500)");
            assert!(since.elapsed() < PATIENCE, "{expression} never came true: {text}");
        }
    }

    /// Gives the page a window of so many pixels.
    pub fn resize(&mut self, width: u32, height: u32) {
        let is_mobile = width < 500;
        let parameters = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": is_mobile });
        self.call("Emulation.setDeviceMetricsOverride", &parameters);
        // Charts follow the window in a frame of their own.
        self.eval("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(1))))");
    }

    /// Has the user like `light` or `dark` pages.
    pub fn prefer(&mut self, scheme: &str) {
        let features = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
        self.call("Emulation.setEmulatedMedia", &json!({ "features": features }));
    }

    /// A picture of the window, or of the whole page, as PNG in base64.
    pub fn picture(&mut self, whole: bool) -> String {
        let parameters = json!({ "format": "png", "captureBeyondViewport": whole });
        let answer = self.call("Page.captureScreenshot", &parameters);
        answer["data"].as_str().unwrap_or_default().to_owned()
    }

    /// What the page has complained of since it was opened: errors on its console, and what it threw and did not catch.
    pub fn problems(&mut self) -> Vec<String> {
        // What is on its way is here behind an answer.
        self.eval("1");
        self.problems.clone()
    }

    fn call(&mut self, method: &str, parameters: &Value) -> Value {
        self.number += 1;
        let mut request = json!({ "id": self.number, "method": method, "params": parameters });
        if !self.session.is_null() {
            request["sessionId"] = self.session.clone();
        }
        let mut bytes = request.to_string().into_bytes();
        bytes.push(0);
        self.requests.write_all(&bytes).expect("a browser that listens");
        loop {
            let message = self.answers.recv_timeout(PATIENCE);
            let message = message.unwrap_or_else(|error| panic!("{method}: {error}"));
            if message["id"] == self.number {
                assert!(message["error"].is_null(), "{method}: {message}");
                return message["result"].clone();
            }
            self.note(&message);
        }
    }

    fn note(&mut self, message: &Value) {
        let parameters = &message["params"];
        let is_problem = match message["method"].as_str() {
            Some("Runtime.exceptionThrown") => true,
            Some("Runtime.consoleAPICalled") => {
                matches!(parameters["type"].as_str(), Some("error" | "warning" | "assert"))
            }
            Some("Log.entryAdded") => {
                matches!(parameters["entry"]["level"].as_str(), Some("error" | "warning"))
            }
            _ => false,
        };
        if is_problem {
            self.problems.push(parameters.to_string());
        }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // What it starts ends with it if it is asked to; then its settings can go.
        let _ = self.requests.write_all(b"{\"id\":0,\"method\":\"Browser.close\"}\0");
        while self.answers.recv_timeout(GOODBYE).is_ok() {}
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Its answers and events, each of which ends with a zero.
fn listen(pipe: ChildStdout) -> Receiver<Value> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        let mut pipe = BufReader::new(pipe);
        let mut message = Vec::new();
        while matches!(pipe.read_until(0, &mut message), Ok(count) if count > 0) {
            message.pop();
            let Ok(value) = serde_json::from_slice(&message) else { return };
            if sender.send(value).is_err() {
                return;
            }
            message.clear();
        }
    });
    receiver
}
