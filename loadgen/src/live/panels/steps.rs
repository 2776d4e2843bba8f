//! The steps of the load, and what came of them.

use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use super::{Style, grouped};
use crate::live::view::{StepRow, StepState, View};
use crate::live::window::load;

pub(super) fn lines(view: &View, area: Rect, style: &Style) -> Vec<Line<'static>> {
    let title =
        format!("{:─<6}{:─>8}{:─>10}{:─>14}──", "─ step ", " load ", " of ", " inadequate ");
    let mut lines = vec![Line::from(Span::styled(title, style.quiet))];
    let room = usize::from(area.height).saturating_sub(1);
    let first = view.steps.len().saturating_sub(room);
    lines.extend(view.steps[first..].iter().map(|step| line(step, style)));
    lines
}

fn line(step: &StepRow, style: &Style) -> Line<'static> {
    let (word, look) = match step.state {
        StepState::Running => ("runs", style.strong),
        StepState::Over => ("over", style.plain),
        StepState::Good => ("good", style.good),
        StepState::Bad => ("bad", style.bad),
        StepState::Unknown => ("unclear", style.strong),
    };
    let inadequate = if step.inadequate > 0 { style.bad } else { style.plain };
    Line::from(vec![
        Span::raw(format!(
            " {:>4} {:>8} {:>9}",
            step.number,
            load(step.load),
            grouped(step.attempts)
        )),
        Span::styled(format!(" {:>6}", grouped(step.inadequate)), inadequate),
        Span::raw("  "),
        Span::styled(word, look),
    ])
}
