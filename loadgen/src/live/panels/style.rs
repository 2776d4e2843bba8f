//! How text looks. Colours only where they mean something: bad is red, good is green.

use ratatui::style::{Color, Modifier};

/// See the module.
#[derive(Debug, Clone, Copy)]
pub(in crate::live) struct Style {
    pub plain: ratatui::style::Style,
    /// What is looked for first.
    pub strong: ratatui::style::Style,
    /// What holds the rest together.
    pub quiet: ratatui::style::Style,
    pub good: ratatui::style::Style,
    pub bad: ratatui::style::Style,
}

impl Style {
    pub fn new(has_colors: bool) -> Self {
        let plain = ratatui::style::Style::new();
        let strong = plain.add_modifier(Modifier::BOLD);
        let colored = |color| if has_colors { strong.fg(color) } else { strong };
        Self {
            plain,
            strong,
            quiet: plain.add_modifier(Modifier::DIM),
            good: colored(Color::Green),
            bad: colored(Color::Red),
        }
    }
}
