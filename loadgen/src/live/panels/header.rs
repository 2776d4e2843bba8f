//! What runs, since when, and how far it is.

use ratatui::text::{Line, Span};

use super::{Style, both_ends, grouped};
use crate::live::view::View;

pub(super) fn lines(view: &View, is_ending: bool, width: u16, style: &Style) -> Vec<Line<'static>> {
    vec![title(view, width, style), stage(view, is_ending, width, style), ues(view)]
}

fn title(view: &View, width: u16, style: &Style) -> Line<'static> {
    let what = vec![
        Span::styled(format!(" imstorm {}", view.profile), style.strong),
        Span::raw(format!(" against {}", view.target)),
    ];
    let limit = view.limit_s.map(|limit_s| format!(" of {}", clock(limit_s))).unwrap_or_default();
    let when = format!("{}{limit} ", clock(view.elapsed_s));
    both_ends(what, vec![Span::styled(when, style.strong)], width)
}

fn stage(view: &View, is_ending: bool, width: u16, style: &Style) -> Line<'static> {
    let mut steered = Vec::new();
    if is_ending {
        steered.push(Span::styled("ENDING ", style.strong));
    } else if view.wanted.paused {
        steered.push(Span::styled("PAUSED ", style.strong));
    }
    if view.wanted.rate_percent != 100 {
        let rate = format!("rate {}% ", view.wanted.rate_percent);
        steered.push(Span::styled(rate, style.strong));
    }
    both_ends(vec![Span::raw(format!(" {}", view.stage))], steered, width)
}

fn ues(view: &View) -> Line<'static> {
    let ues = &view.ues;
    let mut text = format!(
        " UEs {} of {} started, {} secured, {} gone",
        grouped(ues.started),
        grouped(ues.all),
        grouped(ues.secured),
        grouped(ues.gone)
    );
    if ues.sessions > 0 {
        text.push_str(&format!("; sessions {}", grouped(ues.sessions)));
    }
    if ues.waiting > 0 {
        text.push_str(&format!("; waiting {}", grouped(ues.waiting)));
    }
    Line::raw(text)
}

/// As a clock has it.
fn clock(seconds: u64) -> String {
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match hours {
        0 => format!("{minutes}:{seconds:02}"),
        _ => format!("{hours}:{minutes:02}:{seconds:02}"),
    }
}
