use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::style::{Color, Modifier};

use super::panels::{self, Shown, Style};
use super::view::{
    CauseRow, EngineView, GeneratorView, ProcedureRow, Rate, StepRow, StepState, Ues, View,
};
use crate::controls::{Steerable, Wanted};
use crate::measure::{Latency, Procedure};

fn rates(histories: [Vec<u64>; 4]) -> Vec<Rate> {
    let names = ["offered", "started", "completed", "failed"];
    let rate = |(name, history)| Rate { name, history, is_bad: name == "failed" };
    names.into_iter().zip(histories).map(rate).collect()
}

fn latency(p50: u64) -> Option<Latency> {
    let (p90, p99, p999, max) = (2 * p50, 5 * p50, 20 * p50, 40 * p50);
    Some(Latency { p50, p90, p99, p999, max, mean: p50 as f64 })
}

fn bring_up() -> View {
    View {
        profile: "steps".to_owned(),
        target: "an engine of its own".to_owned(),
        elapsed_s: 3,
        limit_s: None,
        stage: "the UEs are brought up".to_owned(),
        wanted: Wanted::default(),
        steerable: Steerable::Rate,
        ues: Ues { all: 10_000, started: 1_500, secured: 1_498, ..Ues::default() },
        rates: rates([
            vec![490, 510, 500],
            vec![490, 510, 500],
            vec![489, 509, 500],
            vec![0, 0, 0],
        ]),
        procedures: vec![ProcedureRow { name: "secure", per_s: 499.3, latency: latency(840) }],
        causes: Vec::new(),
        steps: Vec::new(),
        engine: Some(EngineView {
            subscriptions: 1_498,
            security_associations: 5_992,
            registrations: 0,
            sessions: 0,
            shard_hops: 740,
            esp_rejected: 0,
            rss_bytes: 210 << 20,
            cpu_share: Some(0.43),
            shard_shares: vec![0.21, 0.22],
        }),
        generator: GeneratorView {
            lateness_p99_us: 61,
            lateness_max_us: 1_210,
            socket_wait_p99_us: 44,
            cpu_share: 0.34,
            cpu_share_max: 0.41,
            rss_bytes: 96 << 20,
            ..GeneratorView::default()
        },
    }
}

fn steady() -> View {
    let wave = |most: u64| (0..60).map(|second| most * second / 59).collect::<Vec<u64>>();
    let names =
        ["secure", "refresh", "release", "register_over_connection", "message", "call_setup"];
    let row = |(place, name): (u32, _)| ProcedureRow {
        name,
        per_s: 100.0 * f64::from(place),
        latency: if place == 2 { None } else { latency(900 * u64::from(place)) },
    };
    View {
        elapsed_s: 92,
        limit_s: Some(120),
        stage: "step 2 of 5, load 1.5".to_owned(),
        wanted: Wanted { paused: false, rate_percent: 110 },
        ues: Ues {
            all: 10_000,
            started: 10_000,
            secured: 9_998,
            gone: 2,
            sessions: 120,
            waiting: 7,
        },
        rates: rates([wave(700), wave(690), wave(685), vec![0; 60]]),
        procedures: (1..).zip(names).map(row).collect(),
        steps: vec![
            step(1, (1.0, 1.0), 12_000, 0, StepState::Over),
            step(2, (1.0, 1.5), 3_400, 2, StepState::Running),
        ],
        ..bring_up()
    }
}

fn step(
    number: usize,
    load: (f64, f64),
    attempts: u64,
    inadequate: u64,
    state: StepState,
) -> StepRow {
    StepRow { number, load, attempts, inadequate, state }
}

fn failing() -> View {
    let cause = |name: &str, recent, total| CauseRow { name: name.to_owned(), recent, total };
    let steady = steady();
    View {
        wanted: Wanted { paused: true, rate_percent: 100 },
        causes: vec![
            cause("timeout", 31, 1_240),
            cause("status_503", 4, 4),
            cause("bad_security_server", 0, 12),
        ],
        rates: rates([vec![700; 30], vec![690; 30], vec![650; 30], vec![40; 30]]),
        generator: GeneratorView {
            late_starts: 420,
            reasons: vec![
                "420 of 21000 starts came more than 10 ms late, where 0.1% may, the latest by 310 ms: the generator was the limit".to_owned(),
                "the kernel dropped 3 datagrams at the generator's own sockets (net.core.rmem_max)".to_owned(),
            ],
            ..steady.generator.clone()
        },
        ..steady
    }
}

fn search() -> View {
    let states = [
        (1.0, 0, StepState::Good),
        (2.0, 1, StepState::Good),
        (3.0, 410, StepState::Bad),
        (3.0, 380, StepState::Bad),
        (2.25, 0, StepState::Good),
        (2.5, 5, StepState::Unknown),
        (2.5, 0, StepState::Running),
    ];
    let row =
        |(number, (load, inadequate, state))| step(number, (load, load), 3_000, inadequate, state);
    View {
        stage: "step 7 of the search, load 2.5".to_owned(),
        steerable: Steerable::Nothing,
        wanted: Wanted::default(),
        limit_s: None,
        steps: (1..).zip(states).map(row).collect(),
        ..steady()
    }
}

fn shown(view: &View) -> Shown<'_> {
    Shown { view, has_help: false, is_ending: false, said: None, note: None }
}

fn drawn(width: u16, height: u16, shown: &Shown<'_>, has_colors: bool) -> Terminal<TestBackend> {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| panels::draw(frame, shown, &Style::new(has_colors))).unwrap();
    terminal
}

fn text(width: u16, height: u16, shown: &Shown<'_>) -> String {
    drawn(width, height, shown, true).backend().to_string()
}

#[test]
fn at_bring_up() {
    insta::assert_snapshot!(text(80, 24, &shown(&bring_up())));
}

#[test]
fn steady_on_a_small_terminal() {
    insta::assert_snapshot!(text(80, 24, &shown(&steady())));
}

#[test]
fn steady_on_a_large_one() {
    insta::assert_snapshot!(text(120, 36, &shown(&steady())));
}

#[test]
fn failures_and_a_generator_that_is_the_limit() {
    let view = failing();
    let note =
        Some(("warning: the log could not be written any more: No space left".to_owned(), 2));
    insta::assert_snapshot!(text(80, 24, &Shown { note, ..shown(&view) }));
}

#[test]
fn a_search_for_the_capacity() {
    let view = search();
    let said = Some("this run sets its own load: it can only be ended".to_owned());
    insta::assert_snapshot!(text(80, 24, &Shown { said, ..shown(&view) }));
}

#[test]
fn the_help() {
    let view = steady();
    insta::assert_snapshot!(text(
        80,
        24,
        &Shown { has_help: true, is_ending: true, ..shown(&view) }
    ));
}

#[test]
fn colours_mean_good_or_bad_and_can_be_turned_off() {
    let colors = |view: &View, has_colors: bool| {
        let terminal = drawn(80, 24, &shown(view), has_colors);
        let cells = terminal.backend().buffer().content().iter();
        let mut colors: Vec<Color> = cells.map(|cell| cell.fg).collect();
        colors.sort_by_key(|color| format!("{color:?}"));
        colors.dedup();
        colors
    };
    assert_eq!(colors(&bring_up(), true), [Color::Reset], "nothing is good or bad yet");
    assert_eq!(colors(&failing(), true), [Color::Red, Color::Reset]);
    assert_eq!(colors(&search(), true), [Color::Green, Color::Red, Color::Reset]);
    assert_eq!(colors(&failing(), false), [Color::Reset]);
    assert_eq!(colors(&search(), false), [Color::Reset]);
    // What is bad stands out all the same.
    let view = failing();
    let terminal = drawn(80, 24, &shown(&view), false);
    let cells = terminal.backend().buffer().content().iter();
    assert!(cells.filter(|cell| cell.modifier.contains(Modifier::BOLD)).count() > 40);
}

#[test]
fn any_size_can_be_drawn_on() {
    let views = [bring_up(), steady(), failing(), search()];
    for view in &views {
        for (width, height) in [(1, 1), (5, 40), (300, 2), (20, 10), (40, 12), (79, 23), (400, 100)]
        {
            let note = Some(("warning".to_owned(), 1));
            let _ = text(width, height, &Shown { note, has_help: true, ..shown(view) });
        }
    }
}

#[test]
fn a_small_terminal_leaves_nothing_out_that_matters() {
    let view = failing();
    let text = text(80, 24, &shown(&view));
    for word in ["offered", "p99.9", "timeout", "INVALID", "subscriptions", "memory", "rate"] {
        assert!(text.contains(word), "{word}:\n{text}");
    }
    // All procedures have a line, or it is said how many have not.
    let rows = view.procedures.iter().filter(|row| text.contains(row.name)).count();
    assert!(rows == view.procedures.len() || text.contains("more"), "{text}");
    assert!(view.procedures.iter().all(|row| Procedure::from_name(row.name).is_some()));
}
