//! Several pages of rows as one JSON document, without keeping them.

use serde_json::Value;

use crate::tables::Table;

/// What is yet to be written of the document.
pub(super) struct Pages {
    /// What stands before the next row.
    before: String,
}

impl Pages {
    pub fn new(table: Table) -> Self {
        Self { before: format!("{{\"{}\":[", table.name()) }
    }

    /// A page's rows.
    pub fn rows(&mut self, rows: &[Value]) -> String {
        let mut text = String::new();
        for row in rows {
            text.push_str(&std::mem::replace(&mut self.before, ",".to_owned()));
            text.push_str(&row.to_string());
        }
        text
    }

    /// The end, behind the last page. A first page has rows, or it is the only one.
    pub fn end(&self) -> &'static str {
        "]}\n"
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn pages_are_one_document() {
        let mut pages = Pages::new(Table::Bindings);
        let mut text = pages.rows(&[json!({ "impu": "a" }), json!({ "impu": "b" })]);
        text.push_str(&pages.rows(&[]));
        text.push_str(&pages.rows(&[json!({ "impu": "c" })]));
        text.push_str(pages.end());
        let value: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(
            value,
            json!({ "bindings": [{ "impu": "a" }, { "impu": "b" }, { "impu": "c" }] })
        );
    }
}
