//! Whether the generator does what it is to do.

use ratatui::text::{Line, Span};

use super::{Style, duration, grouped, memory, percent, rule};
use crate::live::view::View;

pub(super) fn lines(view: &View, width: u16, style: &Style) -> Vec<Line<'static>> {
    let generator = &view.generator;
    if !generator.reasons.is_empty() {
        let title = Line::from(Span::styled("── generator: INVALID so far ", style.bad));
        let reason = |reason: &String| Line::from(Span::styled(format!(" {reason}"), style.bad));
        return std::iter::once(title).chain(generator.reasons.iter().map(reason)).collect();
    }
    let late = match generator.late_starts {
        0 => String::new(),
        late => format!(", {} too late", grouped(late)),
    };
    vec![
        rule("generator: valid so far", width, style),
        Line::raw(format!(
            " starts late p99 {}, max {}{late}",
            duration(generator.lateness_p99_us),
            duration(generator.lateness_max_us)
        )),
        Line::raw(format!(
            " sockets: waits p99 {}, drops {}",
            duration(generator.socket_wait_p99_us),
            grouped(generator.socket_drops)
        )),
        Line::raw(format!(
            " thread busy {}, at most {}",
            percent(generator.cpu_share),
            percent(generator.cpu_share_max)
        )),
        Line::raw(format!(" memory {}", memory(generator.rss_bytes))),
    ]
}
