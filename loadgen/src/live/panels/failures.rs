//! Why procedures have failed.

use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use super::{Style, grouped};
use crate::live::view::{CauseRow, View};
use crate::live::window::RECENT_S;

const COLUMN: usize = 9;

pub(super) fn lines(view: &View, area: Rect, style: &Style) -> Vec<Line<'static>> {
    let name = usize::from(area.width).saturating_sub(2 * COLUMN + 1).max(12);
    let mut lines = vec![title(name, area.width, style)];
    if view.causes.is_empty() {
        lines.push(Line::raw(" none"));
        return lines;
    }
    let room = usize::from(area.height).saturating_sub(1);
    let left_out = view.causes.len().saturating_sub(room);
    let shown = if left_out > 0 { room.saturating_sub(1) } else { room };
    lines.extend(view.causes.iter().take(shown).map(|row| line(row, name, style)));
    if left_out > 0 {
        let rest: u64 = view.causes.iter().skip(shown).map(|row| row.total).sum();
        let more = format!(" {} of {} more causes", grouped(rest), view.causes.len() - shown);
        lines.push(Line::from(Span::styled(more, style.bad)));
    }
    lines
}

fn title(name: usize, width: u16, style: &Style) -> Line<'static> {
    let first = "── failed ";
    let recent = format!(" {RECENT_S} s ");
    let text = format!("{first:─<name$}{recent:─>COLUMN$}{:─>COLUMN$}", " in all ");
    let rest = usize::from(width).saturating_sub(text.chars().count());
    Line::from(Span::styled(format!("{text}{}", "─".repeat(rest)), style.quiet))
}

fn line(row: &CauseRow, name: usize, style: &Style) -> Line<'static> {
    let recent = format!("{:>COLUMN$}", format!("{} ", grouped(row.recent)));
    let total = format!("{:>COLUMN$}", format!("{} ", grouped(row.total)));
    Line::from(vec![
        Span::raw(format!(" {:<width$.width$}", row.name, width = name - 1)),
        Span::styled(recent, if row.recent > 0 { style.bad } else { style.plain }),
        Span::styled(total, style.bad),
    ])
}
