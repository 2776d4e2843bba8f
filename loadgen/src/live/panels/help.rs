//! What the keys do and the words mean.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::Line;
use ratatui::widgets::{Block, Clear, Paragraph};

use super::Style;
use crate::controls::Steerable;
use crate::live::view::View;

const WIDTH: u16 = 78;

/// Draws it in front of all else.
pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, view: &View, style: &Style) {
    let lines = lines(view.steerable);
    let width = WIDTH.min(area.width);
    let height = (lines.len() as u16 + 2).min(area.height);
    let place = Rect {
        x: area.x + (area.width - width) / 2,
        y: area.y + (area.height - height) / 2,
        width,
        height,
    };
    let block = Block::bordered().title(" help: ? or Esc closes it ").border_style(style.quiet);
    frame.render_widget(Clear, place);
    frame.render_widget(Paragraph::new(lines).block(block), place);
}

fn lines(steerable: Steerable) -> Vec<Line<'static>> {
    let mut text = Vec::new();
    match steerable {
        Steerable::Nothing => text.push("This run sets its own load: it can only be ended."),
        _ => text.extend([
            "space   Offer nothing more, and go on. All that was to come is put off, so",
            "        no latency has the pause in it; UEs still refresh what they have.",
        ]),
    }
    if steerable == Steerable::Rate {
        text.push("+ -     Offer 10% of the profile's rates more, or less, from now on.");
    }
    text.extend([
        "        The report says what was done by hand, and when.",
        "q       End: nothing more begins, and what is under way may end.",
        "q q     Stop at once. q q q: without a report. Ctrl-C is the same as q.",
        "",
        "offered    what the profile wanted to begin; what finds no free UE waits",
        "started    what began      completed  what ended well",
        "took       from when it was wanted to its end: half took at most p50, 99 of",
        "           100 at most p99",
        "INVALID    the generator was the limit: the numbers are not the core's",
        "inadequate failed, was never begun, or took longer than its limit",
    ]);
    if steerable == Steerable::Nothing {
        text.retain(|line| !line.contains("by hand"));
    }
    text.into_iter().map(|line| Line::raw(format!(" {line}"))).collect()
}
