//! The keys, and what there is to say.

use ratatui::text::{Line, Span};

use super::{Shown, Style};
use crate::controls::Steerable;

pub(super) fn lines(shown: &Shown<'_>, style: &Style) -> Vec<Line<'static>> {
    let mut lines = Vec::new();
    if let Some((note, count)) = &shown.note {
        // All of them are said at the end.
        let count = if *count > 1 { format!("[{count}] ") } else { String::new() };
        lines.push(Line::from(Span::styled(format!(" {count}{note}"), style.bad)));
    }
    if let Some(said) = &shown.said {
        lines.push(Line::from(Span::styled(format!(" {said}"), style.strong)));
        return lines;
    }
    let pause = if shown.view.wanted.paused { "go on" } else { "pause" };
    let end = if shown.is_ending { "stop at once" } else { "end" };
    let keys: &[(&str, &str)] = match shown.view.steerable {
        Steerable::Rate => &[("space", pause), ("+ -", "rate"), ("q", end), ("?", "help")],
        Steerable::Pause => &[("space", pause), ("q", end), ("?", "help")],
        Steerable::Nothing => &[("q", end), ("?", "help")],
    };
    let each = |(key, what): &(&str, &str)| {
        [Span::styled(format!(" {key}"), style.strong), Span::raw(format!(" {what}  "))]
    };
    lines.push(Line::from(keys.iter().flat_map(each).collect::<Vec<_>>()));
    lines
}
