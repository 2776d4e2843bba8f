//! The page of a run while it goes: a server of its own, which nobody needs to look at.
//!
//! `/` is the page, `/data.json` its data so far, and `/metrics` what Prometheus takes ([`Metrics`]). The data are made by whoever watches the run, once a second and only while somebody asks for them, and
//! never by the generator's thread; the server's thread keeps off that one's core. It answers who reaches it: loopback, or whoever has the token.

use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use imstorm_control::{Address, Handler, Request, Response, Server};
use imstorm_engine::token::Token;
use imstorm_uring::process;

use super::data::{PageData, report_so_far};
use super::html::Frame;
use crate::log::{RunLog, Second};
use crate::metrics::Metrics;
use crate::profile::Profile;
use crate::report::Report;

/// Data are made for so long after somebody has asked for them.
const ASKED_LAST: Duration = Duration::from_secs(5);
/// At the run's end whoever looks on has so long to fetch what it came to.
const LAST_LOOK: Duration = Duration::from_secs(3);

/// Where the page is to be had.
#[derive(Debug, Clone)]
pub struct PageAddress {
    /// Where it listens.
    pub address: Address,
    /// What whoever asks must know; nothing on loopback and Unix sockets.
    pub token: Option<Token>,
}

/// A live page. Its server ends with it.
#[derive(Debug)]
pub struct LivePage {
    shared: Arc<Shared>,
    metrics: Arc<Metrics>,
    server: Server,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    fetched: Condvar,
}

#[derive(Debug, Default)]
struct State {
    asked_at: Option<Instant>,
    /// JSON; nothing before the first second.
    data: Option<Vec<u8>>,
    /// The data are those of the run's end.
    is_over: bool,
    /// Somebody has fetched them.
    is_seen: bool,
}

impl LivePage {
    /// Begins to serve a run of this profile. `avoid` is the core that the server's thread keeps off, if there are others.
    ///
    /// # Errors
    /// As [`imstorm_control::start`]; or no thread can be had.
    pub fn start(at: &PageAddress, profile: &Profile, avoid: Option<usize>) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let metrics = Arc::new(Metrics::new(profile));
        let handler = handler(Arc::clone(&shared), Arc::clone(&metrics), profile.name.clone());
        let token = at.token.as_ref().map(Token::as_str);
        // The server's thread is on the cores of the one that starts it.
        let server = std::thread::scope(|scope| {
            let starter = std::thread::Builder::new().name("page".to_owned());
            let starter = starter.spawn_scoped(scope, || {
                keep_off(avoid)?;
                imstorm_control::start(&at.address, handler, token)
            })?;
            starter.join().unwrap_or_else(|_| Err(io::Error::other("the server panicked")))
        })?;
        Ok(Self { shared, metrics, server })
    }

    /// Where the page is: with the port that it got.
    #[must_use]
    pub fn url(&self) -> String {
        self.server.address.url("/")
    }

    /// A second has gone by: new data, if anybody asks for them.
    pub fn show(&self, second: &Second, log: &RunLog) {
        self.metrics.note(second, log.steps());
        let is_wanted = self.shared.lock().asked_at.is_some_and(|at| at.elapsed() < ASKED_LAST);
        if is_wanted {
            let report = report_so_far(log);
            self.shared.put(PageData::so_far(log, &report, true).to_json(), false);
        }
    }

    /// The run is over. Whoever looks on has a moment to see what it came to.
    pub fn end(&self, log: &RunLog, report: &Report) {
        let is_wanted = self.shared.lock().asked_at.is_some_and(|at| at.elapsed() < ASKED_LAST);
        if !is_wanted {
            return;
        }
        self.shared.put(PageData::new(log, report).to_json(), true);
        let state = self.shared.lock();
        let unseen = |state: &mut State| !state.is_seen;
        drop(self.shared.fetched.wait_timeout_while(state, LAST_LOOK, unseen));
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, json: String, is_over: bool) {
        let mut state = self.lock();
        state.data = Some(json.into_bytes());
        state.is_over = is_over;
    }

    /// The data for whoever asks; that somebody does is noted.
    fn ask(&self) -> Option<Vec<u8>> {
        let mut state = self.lock();
        state.asked_at = Some(Instant::now());
        if state.is_over && !state.is_seen {
            state.is_seen = true;
            self.fetched.notify_all();
        }
        state.data.clone()
    }
}

/// Keeps the calling thread off a core, where there are others.
fn keep_off(core: Option<usize>) -> io::Result<()> {
    let Some(core) = core else { return Ok(()) };
    let others: Vec<usize> =
        process::allowed_cores()?.into_iter().filter(|it| *it != core).collect();
    if others.is_empty() { Ok(()) } else { process::pin_to_cores(&others) }
}

fn handler(shared: Arc<Shared>, metrics: Arc<Metrics>, profile: String) -> Handler {
    Arc::new(move |request: Request| {
        if request.method != "GET" {
            let refusal = Response::text(405, "the page can only be read\n");
            return Response { allow: "GET", ..refusal };
        }
        let json = || shared.ask().unwrap_or_else(|| b"null".to_vec());
        match request.path.as_str() {
            "/" => page(&profile, &json()),
            "/data.json" => Response::json(200, json()),
            "/metrics" => metrics.answer(&request.accept),
            _ => Response::text(404, "there are /, /data.json and /metrics\n"),
        }
    })
}

fn page(profile: &str, json: &[u8]) -> Response {
    let frame = Frame { profile: profile.to_owned(), live: true, ..Frame::default() };
    let page = frame.page(&String::from_utf8_lossy(json));
    let content_type = "text/html; charset=utf-8";
    Response { status: 200, content_type, allow: "", body: page.into_bytes() }
}

#[cfg(test)]
mod tests {
    use imstorm_control::{get, post};

    use super::*;

    const SOON: Duration = Duration::from_secs(10);

    fn start() -> LivePage {
        let address = Address::Tcp(([127, 0, 0, 1], 0).into());
        let profile = Profile::load("quickstart", &[("name".to_owned(), "p<1>".to_owned())]);
        LivePage::start(&PageAddress { address, token: None }, &profile.unwrap(), Some(0)).unwrap()
    }

    #[test]
    fn the_page_its_data_and_what_else_there_is() {
        let page = start();
        let ask = |path: &str| get(&format!("{}{path}", page.url()), SOON).unwrap();
        let (status, body) = ask("");
        let text = String::from_utf8(body).unwrap();
        assert!(status == 200 && text.contains("<html lang=\"en\" data-live>"), "{text}");
        assert!(text.contains("p&lt;1&gt;"));
        assert_eq!(ask("data.json"), (200, b"null".to_vec()));
        page.shared.put("{\"a\":1}".to_owned(), false);
        assert_eq!(ask("data.json").1, b"{\"a\":1}");
        let (status, metrics) = ask("metrics");
        let metrics = String::from_utf8(metrics).unwrap();
        assert!(status == 200 && metrics.contains("imstorm_ues 10000.0"), "{metrics}");
        assert_eq!(ask("else").0, 404);
        assert_eq!(post(&page.url(), b"", SOON).unwrap().0, 405);
    }

    #[test]
    fn the_end_is_kept_for_whoever_looks_on() {
        let page = start();
        let url = format!("{}data.json", page.url());
        get(&url, SOON).unwrap();
        page.shared.put("\"end\"".to_owned(), true);
        assert!(!page.shared.lock().is_seen);
        assert_eq!(get(&url, SOON).unwrap().1, b"\"end\"");
        assert!(page.shared.lock().is_seen);
    }
}
