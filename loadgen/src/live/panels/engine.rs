//! What the engine holds and takes.

use ratatui::text::Line;

use super::{Style, grouped, memory, percent, rule};
use crate::live::view::EngineView;

pub(super) fn lines(engine: &EngineView, width: u16, style: &Style) -> Vec<Line<'static>> {
    let mut used = vec![format!("memory {}", memory(engine.rss_bytes))];
    if let Some(share) = engine.cpu_share {
        let shards: Vec<String> = engine.shard_shares.iter().map(|it| percent(*it)).collect();
        let of_shards = match shards.len() {
            0 => String::new(),
            1 => ", one shard".to_owned(),
            _ => format!(" (shards {})", shards.join(" ")),
        };
        used.insert(0, format!("CPU {} of a core{of_shards}", percent(share)));
    }
    if engine.shard_shares.len() != 1 {
        used.push(format!("{} hops between shards", grouped(engine.shard_hops)));
    }
    if engine.esp_rejected > 0 {
        used.push(format!("{} ESP packets refused", grouped(engine.esp_rejected)));
    }
    vec![
        rule("engine", width, style),
        Line::raw(format!(
            " {} subscriptions, {} security associations, {} registrations, {} sessions",
            grouped(engine.subscriptions),
            grouped(engine.security_associations),
            grouped(engine.registrations),
            grouped(engine.sessions)
        )),
        Line::raw(format!(" {}", used.join(", "))),
    ]
}
