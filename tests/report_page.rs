//! The page of a run, as a person sees it: the programs themselves over real sockets, and a headless Chromium that opens what they made. Where there is
//! none, nothing is tested unless `CI` is set.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use imstorm::generator::GeneratorState;
use imstorm::health::Health;
use imstorm::log::{End, LogWriter, RunInfo, Second};
use imstorm::measure::{Cause, Measurements, Procedure, Start};
use imstorm::profile::Profile;
use imstorm::report::{Engine, Outcome};
use serde_json::Value;
use tests::browser::Browser;
use tests::program::{Folder, INVALID, Running, alone, own_addresses, shown};

const IMSTORM: &str = env!("CARGO_BIN_EXE_imstorm-under-test");
/// The most bytes that a page of ten minutes has.
const PAGE_BYTES_MAX: usize = 5 << 20;

/// A profile, small and short, with an engine of its own at addresses of its own.
fn run(profile: &str, out: &Path, set: &[&str]) -> Command {
    let mut command = Command::new(IMSTORM);
    command.args(["run", profile, "--out"]).arg(out).args(own_addresses());
    for set in set {
        command.args(["--set", set]);
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

const SMALL: [&str; 4] = [
    "population.size=200",
    "arrivals.rate_per_s=200",
    "procedures.refresh.after_s=0.5",
    "procedures.release.after_s=1",
];

fn report(directory: &Path) -> Output {
    let mut command = Command::new(IMSTORM);
    command.args(["report", "--quiet"]).arg(directory).stdin(Stdio::null());
    command.output().expect("it starts")
}

fn url(directory: &Path) -> String {
    format!("file://{}", directory.join("report.html").display())
}

/// The value at a path of report.json.
fn at<'a>(report: &'a Value, path: &str) -> &'a Value {
    path.split('.').fold(report, |value, key| match key.parse::<usize>() {
        Ok(place) if value.is_array() => &value[place],
        _ => &value[key],
    })
}

/// Asserts that every figure in the page that is said to be one of the report is; how many there are.
fn compare_figures(browser: &mut Browser, report: &Value) -> usize {
    let figures = browser.eval(
        "[...document.querySelectorAll('[data-path]')].map((it) => [it.dataset.path, it.dataset.value, it.textContent])",
    );
    let figures = figures.as_array().expect("a list");
    for figure in figures {
        let path = figure[0].as_str().expect("a path");
        let (value, shown) = (at(report, path), figure[1].as_str().expect("a value"));
        let same = match value.as_f64() {
            Some(number) => shown.parse::<f64>().is_ok_and(|it| it == number),
            None => value.is_null() && shown == "null",
        };
        assert!(same, "{path}: {shown} in the page, {value} in report.json");
        assert!(!figure[2].as_str().expect("a text").is_empty(), "{path}");
    }
    figures.len()
}

/// Texts whose colour is too close to what is behind them, and how close: WCAG 2.1 clause 1.4.3 wants 4.5.
const FAINT_TEXTS: &str = r"(() => {
  const parse = (text) => text.match(/[\d.]+/g)?.map(Number) ?? [0, 0, 0, 0];
  const light = ([r, g, b]) => {
    const part = (c) => ((c /= 255) <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
    return 0.2126 * part(r) + 0.7152 * part(g) + 0.0722 * part(b);
  };
  const behind = (node) => {
    for (let it = node; it; it = it.parentElement) {
      const colour = parse(getComputedStyle(it).backgroundColor);
      if (colour.length < 4 || colour[3] > 0) return colour;
    }
    return [255, 255, 255];
  };
  const faint = [];
  for (const node of document.querySelectorAll('body *')) {
    const text = [...node.childNodes].some((it) => it.nodeType === 3 && it.textContent.trim());
    if (!text || !node.getClientRects().length || ['SCRIPT', 'STYLE', 'title', 'desc'].includes(node.nodeName)) continue;
    const style = getComputedStyle(node);
    const [a, b] = [light(parse(node instanceof SVGElement ? style.fill : style.color)), light(behind(node))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) faint.push(`${node.nodeName}.${node.className.baseVal ?? node.className} ${ratio.toFixed(2)}`);
  }
  return faint;
})()";

/// What has no name for those who do not see it, and headings out of order.
const UNNAMED: &str = r"(() => {
  const found = [];
  for (const svg of document.querySelectorAll('.plot svg')) {
    const named = svg.getAttribute('aria-labelledby').split(' ').every((id) => document.getElementById(id)?.textContent.trim());
    if (!named || svg.getAttribute('role') !== 'img') found.push('a chart');
  }
  for (const box of document.querySelectorAll('.scroll')) if (!box.getAttribute('aria-label')) found.push('a table');
  let level = 0;
  for (const heading of document.querySelectorAll('h1, h2, h3, h4')) {
    const own = Number(heading.nodeName[1]);
    if (own > level + 1) found.push(`${heading.nodeName} ${heading.textContent} behind h${level}`);
    level = own;
  }
  if (document.documentElement.lang !== 'en') found.push('no language');
  const ids = [...document.querySelectorAll('[id]')].map((it) => it.id);
  if (new Set(ids).size !== ids.length) found.push('an id twice');
  return found;
})()";

#[test]
fn the_page_shows_the_figures_of_the_report() {
    let _alone = alone();
    let directory = Folder::new("page");
    let out = directory.at("run");
    let output =
        run("quickstart", &out, &SMALL).args(["--capture", "3"]).output().expect("it starts");
    assert!(matches!(output.status.code(), Some(0 | INVALID)), "{}", shown(&output));
    let report: Value =
        serde_json::from_slice(&fs::read(out.join("report.json")).expect("a report"))
            .expect("JSON");
    let page = fs::read_to_string(out.join("report.html")).expect("a page");
    assert!(page.len() < PAGE_BYTES_MAX, "{} bytes", page.len());
    for attribute in ["src=\"", "href=\"", "src='", "href='"] {
        for (place, _) in page.match_indices(attribute) {
            let target = &page[place + attribute.len()..];
            assert!(
                target.starts_with(['#', '$']) || target.starts_with("data:,"),
                "{}",
                &target[..40]
            );
        }
    }

    let Some(mut browser) = Browser::start("figures") else { return };
    browser.resize(1280, 900);
    browser.open(&url(&out));
    assert_eq!(browser.problems(), Vec::<String>::new());
    let verdict = report["verdict"].as_str().expect("a verdict").to_uppercase();
    assert_eq!(browser.eval("document.getElementById('verdict-name').textContent"), verdict);
    assert!(compare_figures(&mut browser, &report) > 80);
    // Written for a person: the p99 of the set-up in its table.
    let p99 = report["procedures"]["secure"]["latency_us"]["p99"].as_u64().expect("a number");
    let text = browser.eval(
        "document.querySelector('td [data-path=\"procedures.secure.latency_us.p99\"]').textContent",
    );
    let (number, unit) = text.as_str().expect("a text").split_once(' ').expect("a unit");
    let factor = match unit {
        "µs" => 1.0,
        "ms" => 1e3,
        "s" => 1e6,
        _ => panic!("{unit}"),
    };
    let shown: f64 = number.replace(',', "").parse::<f64>().expect("a number") * factor;
    assert!((shown / p99 as f64 - 1.0).abs() < 0.01, "{text} for {p99} µs");
    // Each procedure has its curve, its heat map and its rates.
    for procedure in ["secure", "refresh", "release"] {
        let marks = browser.eval(&format!(
            "(() => {{ const of = (s) => document.querySelectorAll(`#procedure-{procedure} svg[role=img] ${{s}}`).length; return [of('.line'), of('.cell')]; }})()"
        ));
        assert!(
            marks[0].as_u64() >= Some(3) && marks[1].as_u64() >= Some(1),
            "{procedure}: {marks}"
        );
    }
    for section in [
        "thresholds",
        "latency",
        "rates",
        "failures",
        "engine",
        "generator",
        "plan",
        "flows",
        "environment",
    ] {
        assert_eq!(
            browser.eval(&format!("document.getElementById('{section}').hidden")),
            false,
            "{section}"
        );
    }
    assert!(browser.eval("document.querySelectorAll('#engine .line').length").as_u64() >= Some(4));
    let environment = browser.eval("document.getElementById('environment').textContent");
    for part in ["rustc ", "--capture 3", "quickstart"] {
        assert!(environment.as_str().expect("a text").contains(part), "{part}: {environment}");
    }
    // The keys read a chart, and its values are there as a table.
    let chart = "document.querySelector('#rates figure')";
    browser.eval(&format!("{chart}.querySelector('svg[role=img]').dispatchEvent(new KeyboardEvent('keydown', {{ key: 'ArrowRight' }}))"));
    let read = browser.eval(&format!("{chart}.querySelector('output').textContent"));
    assert!(read.as_str().expect("a text").contains("completed"), "{read}");
    browser.eval(&format!("{chart}.querySelector('details').open = true"));
    browser.wait_for(&format!("{chart}.querySelectorAll('tbody tr').length > 1"));
    // A link opens what it leads to.
    browser.eval("document.getElementById('ue-3').open = false; location.hash = '#ue-3'");
    browser.wait_for("document.getElementById('ue-3').open");
    assert_eq!(browser.problems(), Vec::<String>::new());
}

#[test]
fn it_can_be_read_on_a_phone_in_the_dark_and_without_seeing_it() {
    let _alone = alone();
    let directory = Folder::new("phone");
    let out = directory.at("run");
    let output =
        run("quickstart", &out, &SMALL).args(["--capture", "3"]).output().expect("it starts");
    assert!(matches!(output.status.code(), Some(0 | INVALID)), "{}", shown(&output));
    let Some(mut browser) = Browser::start("phone") else { return };
    let mut grounds = Vec::new();
    for scheme in ["light", "dark"] {
        browser.prefer(scheme);
        for width in [360, 1280] {
            browser.resize(width, 800);
            browser.open(&url(&out));
            browser
                .eval("document.querySelectorAll('details').forEach((it) => { it.open = true; })");
            browser.resize(width, 800);
            assert_eq!(browser.eval("document.documentElement.scrollWidth"), width, "{scheme}");
            assert_eq!(browser.eval("innerWidth"), width, "{scheme}");
            assert!(
                browser.eval("document.querySelectorAll('.plot svg').length").as_u64() > Some(9)
            );
            assert_eq!(browser.eval(FAINT_TEXTS), Value::Array(Vec::new()), "{scheme}, {width}");
            assert_eq!(browser.eval(UNNAMED), Value::Array(Vec::new()), "{scheme}, {width}");
            assert_eq!(browser.problems(), Vec::<String>::new());
        }
        grounds.push(browser.eval("getComputedStyle(document.body).backgroundColor"));
    }
    assert_ne!(grounds[0], grounds[1]);
}

#[test]
fn what_comes_from_outside_does_nothing_in_it() {
    let directory = Folder::new("evil");
    let evil = "</script><script>window.evil = 1</script><img src=x onerror='window.evil = 2'>";
    let set = [("name".to_owned(), format!("'''{evil}'''"))];
    let Ok(profile) = Profile::load("quickstart", &set) else { panic!("a profile has any name") };
    let captures = directory.at("captures");
    fs::create_dir_all(&captures).expect("a folder");
    let event = serde_json::json!({
        "ue": 1, "dropped": 0, "events": [
            { "at_ns": 1, "kind": "datagram", "direction": "out", "source": evil, "destination": evil, "bytes": 5, "spi": null,
              "message": { "start_line": format!("SUBSCRIBE {evil} SIP/2.0"), "headers": { "CSeq": evil }, "call_id": evil, "text": evil } },
            { "at_ns": 2, "kind": "event", "text": evil },
            { "at_ns": 3, "kind": "failure", "procedure": evil, "cause": evil },
        ],
    });
    fs::write(captures.join("ue-1.json"), event.to_string()).expect("a file");
    write_run(&directory.0, &profile, 3, &[Procedure::Secure]);
    let output = report(&directory.0);
    assert!(output.status.code().is_some_and(|code| code <= 3), "{}", shown(&output));
    let Some(mut browser) = Browser::start("evil") else { return };
    browser.open(&url(&directory.0));
    assert_eq!(browser.eval("window.evil ?? null"), Value::Null);
    assert_eq!(
        browser.eval("document.querySelectorAll('img, script:not([type])').length"),
        1,
        "the page's own script"
    );
    assert_eq!(browser.eval("document.getElementById('profile').textContent"), evil);
    assert!(
        browser
            .eval("document.getElementById('flows').textContent")
            .as_str()
            .expect("a text")
            .contains(evil)
    );
    assert_eq!(browser.problems(), Vec::<String>::new());
}

#[test]
fn the_page_of_ten_minutes_with_all_procedures_is_small() {
    let directory = Folder::new("long");
    let profile = Profile::load("lifecycle", &[]).expect("built in");
    write_run(&directory.0, &profile, 600, Procedure::ALL);
    let output = report(&directory.0);
    assert!(output.status.code().is_some_and(|code| code <= 3), "{}", shown(&output));
    let page = fs::read(directory.at("report.html")).expect("a page");
    assert!(page.len() < PAGE_BYTES_MAX, "{} bytes", page.len());
    let Some(mut browser) = Browser::start("long") else { return };
    browser.resize(1280, 900);
    let took = browser.open(&url(&directory.0));
    println!("{} bytes, opened in {took:?}", page.len());
    compare_figures(&mut browser, &directory.report());
    assert_eq!(browser.problems(), Vec::<String>::new());
}

#[test]
fn the_live_page_moves_with_the_run_and_shows_its_end() {
    let _alone = alone();
    let directory = Folder::new("live");
    let out = directory.at("run");
    let Some(mut browser) = Browser::start("live") else { return };
    let set = [
        "population.size=300",
        "arrivals.rate_per_s=50",
        "procedures.release.after_s=3",
        "procedures.refresh.after_s=1",
    ];
    let mut command = run("quickstart", &out, &set);
    let mut running =
        Running(command.args(["--ui-http", "127.0.0.1:0"]).spawn().expect("it starts"));
    let mut lines = BufReader::new(running.0.stderr.take().expect("a pipe")).lines();
    let url = lines.find_map(|line| Some(line.ok()?.strip_prefix("live page: ")?.to_owned()));
    // It goes on telling, and nobody has to listen but this.
    let listener = std::thread::spawn(move || lines.for_each(drop));
    browser.open(&url.expect("the page's address"));
    let seen = "Number(document.documentElement.dataset.seconds ?? 0)";
    browser.wait_for(&format!(
        "{seen} > 0 && document.getElementById('verdict-name').textContent === 'RUNNING'"
    ));
    let completed = "Number(document.querySelector('td [data-path=\"procedures.secure.completed\"]')?.dataset.value ?? 0)";
    browser.wait_for(&format!("{completed} > 0"));
    browser.eval("document.querySelector('#procedure-secure').open = false");
    let (seconds, before) = (browser.eval(seen), browser.eval(completed));
    browser.wait_for(&format!("{seen} > {seconds} && {completed} > {before}"));
    assert_eq!(
        browser.eval("document.querySelector('#procedure-secure').open"),
        false,
        "as its reader left it"
    );
    browser.wait_for(
        "['PASS', 'FAIL', 'INVALID'].includes(document.getElementById('verdict-name').textContent)",
    );
    let report: Value =
        serde_json::from_slice(&fs::read(out.join("report.json")).expect("a report"))
            .expect("JSON");
    assert_eq!(
        browser.eval("document.getElementById('verdict-name').textContent"),
        report["verdict"].as_str().expect("text").to_uppercase()
    );
    assert!(compare_figures(&mut browser, &report) > 60);
    assert_eq!(browser.problems(), Vec::<String>::new());
    let status = running.0.wait().expect("it ends");
    assert!(matches!(status.code(), Some(0 | INVALID)), "{status}");
    listener.join().expect("it ends with the program");
}

#[test]
fn from_elsewhere_the_live_page_needs_a_token() {
    let mut command = Command::new(IMSTORM);
    command.args(["run", "quickstart", "--ui-http", "0.0.0.0:0"]).stdin(Stdio::null());
    let output = command.output().expect("it starts");
    assert_eq!(output.status.code(), Some(2), "{}", shown(&output));
    assert!(shown(&output).contains("--ui-token-file"), "{}", shown(&output));
}

/// The logs of a run that never was: in each second a hundred of each procedure, some of which fail.
fn write_run(directory: &Path, profile: &Profile, seconds: u64, procedures: &[Procedure]) {
    let captures = usize::from(directory.join("captures").exists());
    const S: u64 = 1_000_000_000;
    let info = RunInfo::new(profile, 1, None, 1_795_000_000 * S);
    let mut writer = LogWriter::create(directory, &info).expect("a directory");
    let mut measurements = Measurements::new();
    let mut drawn = 88_172_645_463_325_252_u64;
    for second in 0..seconds {
        for (place, procedure) in (1..).zip(procedures) {
            for number in 0..100_u64 {
                drawn ^= drawn << 13;
                drawn ^= drawn >> 7;
                drawn ^= drawn << 17;
                let intended = second * S + number * S / 100;
                let start = Start { intended, began: intended + drawn % 50_000 };
                measurements.attempted(*procedure, start);
                // Over some powers of ten, as latencies are.
                let took_ns = 100_000 * place * (1 << (drawn >> 32 & 7)) + drawn % 900_000;
                match number {
                    0 => measurements.failed(*procedure, start, Cause::Timeout),
                    1 => measurements.failed(
                        *procedure,
                        start,
                        Cause::StatusOther(500 + (drawn % 80) as u16),
                    ),
                    _ => measurements.completed(*procedure, start, intended + took_ns),
                }
            }
        }
        let engine = Engine {
            subscriptions: second,
            security_associations: 4 * second,
            messages_in: 1_000 * second,
            messages_out: 1_100 * second,
            shard_hops: 7 * second,
            cpu_s: second as f64 / 4.0,
            rss_bytes: (100 << 20) + (second << 16),
            ..Engine::default()
        };
        let second = Second {
            from_ns: second * S,
            until_ns: (second + 1) * S,
            interval: measurements.interval(),
            steps: Vec::new(),
            state: GeneratorState {
                under_way: second % 50,
                secured: second,
                ..GeneratorState::default()
            },
            health: Health::default(),
            cpu_ns: second * S / 3,
            rss_bytes: 90 << 20,
            engine: Some(engine),
            interventions: Vec::new(),
        };
        writer.write(&second).expect("a second");
    }
    let outcome = Outcome { duration_s: seconds as f64, ..Outcome::default() };
    writer.end(&End { outcome, drained: true, captures }).expect("the end");
}
