//! How long procedures took in the last seconds.

use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use super::{Style, duration};
use crate::live::view::{ProcedureRow, View};
use crate::live::window::RECENT_S;

/// The widths of the columns behind the name.
const COLUMN: usize = 10;
const COLUMNS: [&str; 5] = ["a second", "p50", "p90", "p99", "p99.9"];

/// The title, whose words stand above the columns.
pub(super) fn title(width: u16, style: &Style) -> Line<'static> {
    let name = name_width(width);
    let first = format!("── took, last {RECENT_S} s ");
    let mut text = format!("{first:─<name$}");
    for column in COLUMNS {
        text.push_str(&format!("{:─>COLUMN$}", format!(" {column} ")));
    }
    let rest = usize::from(width).saturating_sub(text.chars().count());
    text.push_str(&"─".repeat(rest));
    Line::from(Span::styled(text, style.quiet))
}

pub(super) fn lines(view: &View, area: Rect, style: &Style) -> Vec<Line<'static>> {
    let (name, room) = (name_width(area.width), usize::from(area.height));
    if view.procedures.is_empty() {
        return vec![Line::raw(" nothing yet")];
    }
    let left_out = view.procedures.len().saturating_sub(room);
    let shown = if left_out > 0 { room.saturating_sub(1) } else { room };
    let mut lines: Vec<_> =
        view.procedures.iter().take(shown).map(|row| line(row, name, style)).collect();
    if left_out > 0 {
        let more = view.procedures.len() - shown;
        lines.push(Line::from(Span::styled(format!(" and {more} more"), style.quiet)));
    }
    lines
}

fn line(row: &ProcedureRow, name: usize, style: &Style) -> Line<'static> {
    let mut text = String::new();
    match &row.latency {
        None => COLUMNS[1..].iter().for_each(|_| text.push_str(&format!("{:>COLUMN$}", "- "))),
        Some(latency) => {
            for us in [latency.p50, latency.p90, latency.p99, latency.p999] {
                text.push_str(&format!("{:>COLUMN$}", format!("{} ", duration(us))));
            }
        }
    }
    let per_s = format!("{:>COLUMN$}", format!("{:.1} ", row.per_s));
    Line::from(vec![
        Span::raw(format!(" {:<width$}", row.name, width = name - 1)),
        Span::raw(per_s),
        Span::styled(text, style.strong),
    ])
}

/// What the columns leave to the name, up to what names need.
fn name_width(width: u16) -> usize {
    usize::from(width).saturating_sub(COLUMN * COLUMNS.len()).clamp(12, 30)
}
