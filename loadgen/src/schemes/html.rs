//! The comparison as a page: one file, nothing from elsewhere.

use super::comparison::Comparison;

/// The page.
pub fn render(comparison: &Comparison) -> String {
    let _ = comparison;
    String::new()
}
