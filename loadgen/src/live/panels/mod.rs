//! What is drawn where: panels one below the other, each a few lines of text. It fits 80 columns and 24 lines, and shows more rows where there is more room.

mod engine;
mod failures;
mod foot;
mod generator;
mod header;
mod help;
mod latencies;
mod rates;
mod steps;
mod style;

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Paragraph, Wrap};

use super::view::View;
pub(in crate::live) use style::Style;

/// What is on the screen.
#[derive(Debug, Clone)]
pub(in crate::live) struct Shown<'a> {
    pub view: &'a View,
    pub has_help: bool,
    /// The run was asked to end.
    pub is_ending: bool,
    /// The answer to the last key.
    pub said: Option<String>,
    /// The last warning, and how many there were.
    pub note: Option<(String, usize)>,
}

/// Lines of the rates.
const RATE_LINES: u16 = 4;
/// The fewest lines of latencies, and of failures beside what is said of the generator.
const ROW_LINES_MIN: u16 = 4;
/// The most that failures get while there are latencies that find no room.
const FAILURE_LINES_MAX: u16 = 6;
/// From so many lines below the rates on the engine has a place.
const ENGINE_HEIGHT_MIN: u16 = 12;
/// From this width on steps have a place beside the rates.
const STEPS_WIDTH_MIN: u16 = 76;
const STEPS_WIDTH: u16 = 40;

/// Draws all of it.
pub(in crate::live) fn draw(frame: &mut Frame<'_>, shown: &Shown<'_>, style: &Style) {
    let area = frame.area();
    let view = shown.view;
    let foot_lines = 1 + u16::from(shown.note.is_some());
    let mut below = Below { left: area };
    let foot_area = below.take_last(foot_lines);
    draw_lines(frame, below.take(3), header::lines(view, shown.is_ending, area.width, style));
    draw_rates(frame, &mut below, view, style);
    // On a small terminal how long things take is more than what the engine holds.
    let has_room = below.left.height >= ENGINE_HEIGHT_MIN;
    let engine_lines = if view.engine.is_some() && has_room { 3 } else { 0 };
    let engine_area = below.take_last(engine_lines);
    // What is left: two titles, latencies and failures.
    let room = below.left.height.saturating_sub(2);
    let wanted = rows(view.procedures.len());
    let is_invalid = !view.generator.reasons.is_empty();
    let failure_lines = if is_invalid { FAILURE_LINES_MAX } else { rows(view.causes.len()) };
    let latency_lines = wanted.min(room.saturating_sub(failure_lines.min(FAILURE_LINES_MAX)));
    draw_lines(frame, below.take(1), vec![latencies::title(area.width, style)]);
    let latency_area = below.take(latency_lines);
    draw_lines(frame, latency_area, latencies::lines(view, latency_area, style));
    draw_causes_and_generator(frame, &mut below, view, style);
    if let Some(engine) = &view.engine {
        draw_lines(frame, engine_area, engine::lines(engine, area.width, style));
    }
    draw_lines(frame, foot_area, foot::lines(shown, style));
    if shown.has_help {
        help::draw(frame, area, view, style);
    }
}

/// Lines for so many rows.
fn rows(count: usize) -> u16 {
    u16::try_from(count).unwrap_or(u16::MAX).max(ROW_LINES_MIN)
}

fn draw_rates(frame: &mut Frame<'_>, below: &mut Below, view: &View, style: &Style) {
    let area = below.take(1 + RATE_LINES);
    let has_steps = !view.steps.is_empty() && area.width >= STEPS_WIDTH_MIN;
    let (left, right) =
        if has_steps { halves(area, area.width - STEPS_WIDTH) } else { (area, area) };
    draw_lines(frame, left, rates::lines(view, left.width, style));
    if has_steps {
        draw_lines(frame, right, steps::lines(view, right, style));
    }
}

fn draw_causes_and_generator(frame: &mut Frame<'_>, below: &mut Below, view: &View, style: &Style) {
    let area = below.take(below.left.height);
    let (left, right) = halves(area, area.width / 2);
    draw_lines(frame, left, failures::lines(view, left, style));
    // Reasons are whole sentences.
    let lines = Paragraph::new(generator::lines(view, right.width, style));
    frame.render_widget(lines.wrap(Wrap { trim: false }), right);
}

fn draw_lines(frame: &mut Frame<'_>, area: Rect, lines: Vec<Line<'static>>) {
    frame.render_widget(Paragraph::new(lines), area);
}

/// What of the screen nothing stands on yet.
struct Below {
    left: Rect,
}

impl Below {
    /// Its first lines.
    fn take(&mut self, lines: u16) -> Rect {
        let height = lines.min(self.left.height);
        let taken = Rect { height, ..self.left };
        self.left =
            Rect { y: self.left.y + height, height: self.left.height - height, ..self.left };
        taken
    }

    /// Its last ones.
    fn take_last(&mut self, lines: u16) -> Rect {
        let height = lines.min(self.left.height);
        self.left.height -= height;
        Rect { y: self.left.y + self.left.height, height, ..self.left }
    }
}

/// What is left of a column, and the rest.
fn halves(area: Rect, width: u16) -> (Rect, Rect) {
    let width = width.min(area.width);
    let right = Rect { x: area.x + width, width: area.width - width, ..area };
    (Rect { width, ..area }, right)
}

/// A line with a title, as wide as its panel.
fn rule(title: &str, width: u16, style: &Style) -> Line<'static> {
    let title = format!("── {title} ");
    let rest = usize::from(width).saturating_sub(title.chars().count());
    Line::from(Span::styled(format!("{title}{}", "─".repeat(rest)), style.quiet))
}

/// Words at both ends of a line.
fn both_ends(left: Vec<Span<'static>>, right: Vec<Span<'static>>, width: u16) -> Line<'static> {
    let length = |spans: &[Span<'_>]| spans.iter().map(Span::width).sum::<usize>();
    let gap = usize::from(width).saturating_sub(length(&left) + length(&right)).max(1);
    let mut spans = left;
    spans.push(Span::raw(" ".repeat(gap)));
    spans.extend(right);
    Line::from(spans)
}

/// With a comma between thousands.
fn grouped(value: u64) -> String {
    crate::report::grouped(value)
}

/// Microseconds as three digits with a unit.
fn duration(us: u64) -> String {
    let ms = us as f64 / 1_000.0;
    match us {
        0..1_000 => format!("{us} µs"),
        1_000..10_000 => format!("{ms:.2} ms"),
        10_000..100_000 => format!("{ms:.1} ms"),
        100_000..1_000_000 => format!("{ms:.0} ms"),
        1_000_000..10_000_000 => format!("{:.2} s", ms / 1_000.0),
        _ => format!("{:.1} s", ms / 1_000.0),
    }
}

fn percent(share: f64) -> String {
    format!("{:.0}%", 100.0 * share)
}

fn memory(bytes: u64) -> String {
    let mib = bytes as f64 / f64::from(1 << 20);
    if mib < 10_240.0 { format!("{mib:.0} MiB") } else { format!("{:.1} GiB", mib / 1_024.0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_three_digits_and_a_unit() {
        let times = [0, 999, 1_234, 12_345, 123_456, 1_234_567, 600_000_000].map(duration);
        assert_eq!(times, ["0 µs", "999 µs", "1.23 ms", "12.3 ms", "123 ms", "1.23 s", "600.0 s"]);
    }

    #[test]
    fn areas_are_taken_from_both_ends_and_never_more_than_there_is() {
        let mut below = Below { left: Rect::new(0, 0, 80, 5) };
        assert_eq!(below.take_last(2), Rect::new(0, 3, 80, 2));
        assert_eq!(below.take(1), Rect::new(0, 0, 80, 1));
        assert_eq!(below.take(9), Rect::new(0, 1, 80, 2));
        assert_eq!(below.take(1).height, 0);
        assert_eq!(
            halves(Rect::new(0, 0, 30, 1), 40),
            (Rect::new(0, 0, 30, 1), Rect::new(30, 0, 0, 1))
        );
    }
}
