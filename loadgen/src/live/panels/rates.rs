//! How many a second, now and in the last minute.

use ratatui::text::{Line, Span};

use super::{Style, grouped, rule};
use crate::live::view::{Rate, View};
use crate::live::window::HISTORY_S;

/// Heights of a bar, from nothing to the most.
const BARS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
/// What stands before the bars.
const WORDS_WIDTH: usize = 21;

pub(super) fn lines(view: &View, width: u16, style: &Style) -> Vec<Line<'static>> {
    let room = usize::from(width).saturating_sub(WORDS_WIDTH + 1);
    // What is offered, started and completed is compared by eye: all have the same scale.
    let most = view.rates.iter().flat_map(|rate| &rate.history).max().copied().unwrap_or(0);
    let shown_s = room.min(HISTORY_S);
    let title = format!("a second, now and in the last {shown_s} s");
    let mut lines = vec![rule(&title, width, style)];
    lines.extend(view.rates.iter().map(|rate| line(rate, room, most, style)));
    lines
}

fn line(rate: &Rate, room: usize, most: u64, style: &Style) -> Line<'static> {
    let now = rate.history.last().copied().unwrap_or(0);
    let is_bad = rate.is_bad && rate.history.iter().any(|count| *count > 0);
    let (value, bars) = if is_bad { (style.bad, style.bad) } else { (style.strong, style.plain) };
    Line::from(vec![
        Span::raw(format!(" {:<9}", rate.name)),
        Span::styled(format!("{:>9}  ", grouped(now)), if now > 0 { value } else { style.plain }),
        Span::styled(sparkline(&rate.history, room, most), bars),
    ])
}

/// A bar for each second, as many as there is room for. What is more than nothing is to be seen.
fn sparkline(history: &[u64], room: usize, most: u64) -> String {
    let first = history.len().saturating_sub(room);
    let bar = |count: &u64| BARS[(count * 8).div_ceil(most.max(1)).min(8) as usize];
    history[first..].iter().map(bar).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_are_as_high_as_what_they_stand_for() {
        assert_eq!(sparkline(&[0, 1, 4, 5, 8], 9, 8), " ▁▄▅█");
        assert_eq!(sparkline(&[0, 1, 4, 5, 8], 2, 8), "▅█", "the latest ones");
        assert_eq!(sparkline(&[1], 9, 10_000), "▁", "a little is to be seen");
        assert_eq!(sparkline(&[0, 0], 9, 0), "  ");
    }
}
