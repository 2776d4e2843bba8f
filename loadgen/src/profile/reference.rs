//! All fields of a profile for a reader, from the same schema that editors have.

use std::fmt::Write as _;

use schemars::schema_for;
use serde_json::Value;

use super::Profile;

/// The reference as Markdown: a section for each table, a line for each field.
#[must_use]
pub fn markdown() -> String {
    let root = serde_json::to_value(schema_for!(Profile)).expect("it is JSON");
    let mut text = String::from(
        "# The fields of a profile\n\nAll of them, table by table. `imstorm schema` prints the JSON Schema for editors \
         (`profile.schema.json`), `imstorm schema --markdown` this page; `imstorm init NAME` writes a profile to start from.\n",
    );
    let mut left = vec![(String::new(), root.clone())];
    while !left.is_empty() {
        let (path, table) = left.remove(0);
        let mut inner = Vec::new();
        section(&mut text, &root, &path, &table, &mut inner);
        inner.append(&mut left);
        left = inner;
    }
    text
}

/// A table's fields; those that are tables themselves come behind it.
fn section(
    text: &mut String,
    root: &Value,
    path: &str,
    table: &Value,
    inner: &mut Vec<(String, Value)>,
) {
    let title = if path.is_empty() { "At the top" } else { path };
    let description = table["description"].as_str().unwrap_or_default();
    let _ = writeln!(text, "\n## {title}\n\n{}\n", in_a_line(description));
    text.push_str("| Field | Values | Default | |\n|---|---|---|---|\n");
    let required = table["required"].as_array().cloned().unwrap_or_default();
    for (name, field) in table["properties"].as_object().into_iter().flatten() {
        let is_required = required.iter().any(|it| it == name);
        let (target, is_list) = resolved(root, field);
        let default = match &field["default"] {
            _ if is_required => "has to be there".to_owned(),
            Value::Null => String::new(),
            Value::Object(_) => String::new(),
            value => format!("`{value}`"),
        };
        let description = field["description"].as_str().unwrap_or_default();
        let _ = writeln!(
            text,
            "| `{name}` | {} | {default} | {} |",
            kind(target, is_list),
            in_a_line(description)
        );
        if target["properties"].is_object() {
            let dot = if path.is_empty() { "" } else { "." };
            let list = if is_list { "[]" } else { "" };
            let mut target = target.clone();
            target["description"] = field["description"].clone();
            inner.push((format!("{path}{dot}{name}{list}"), target));
        } else if let Some(each) = target["additionalProperties"].as_object() {
            let each = Value::Object(each.clone());
            let (each, _) = resolved(root, &each);
            if each["properties"].is_object() {
                let dot = if path.is_empty() { "" } else { "." };
                inner.push((format!("{path}{dot}{name}.NAME"), each.clone()));
            }
        }
    }
}

/// What a field refers to, and whether it is a list of that.
fn resolved<'a>(root: &'a Value, field: &'a Value) -> (&'a Value, bool) {
    let any = || field["anyOf"].as_array()?.iter().find_map(|it| it["$ref"].as_str());
    if let Some(found) = field["$ref"].as_str().or_else(any) {
        let target = found.strip_prefix('#').and_then(|it| root.pointer(it));
        return (target.unwrap_or(field), false);
    }
    match field["items"].is_object() {
        true => (resolved(root, &field["items"]).0, true),
        false => (field, false),
    }
}

/// The values that a field takes.
fn kind(field: &Value, is_list: bool) -> String {
    let of_variants = |variants: &Value| {
        let names = variants.as_array()?.iter().filter_map(|it| it["const"].as_str());
        let names: Vec<_> = names.map(|name| format!("`\"{name}\"`")).collect();
        (!names.is_empty()).then(|| names.join(", "))
    };
    let of_names = |names: &Value| {
        let names = names.as_array()?.iter().filter_map(Value::as_str);
        Some(names.map(|name| format!("`\"{name}\"`")).collect::<Vec<_>>().join(", "))
    };
    let one =
        of_variants(&field["oneOf"]).or_else(|| of_names(&field["enum"])).unwrap_or_else(|| {
            let types = match &field["type"] {
                Value::Array(types) => {
                    types.iter().find_map(|it| it.as_str().filter(|it| *it != "null"))
                }
                other => other.as_str(),
            };
            match types {
                Some("integer") => "whole number",
                Some("boolean") => "true or false",
                Some("string") => "text",
                Some("object") => "table",
                Some(other) => other,
                None => "",
            }
            .to_owned()
        });
    if is_list { format!("list: {one}") } else { one }
}

fn in_a_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[allow(clippy::disallowed_methods, reason = "the file is in the repository")]
    fn the_page_is_this_one() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../profiles/REFERENCE.md");
        let there = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            there == markdown(),
            "write it anew: imstorm schema --markdown > profiles/REFERENCE.md"
        );
    }

    #[test]
    fn tables_in_tables_have_sections_of_their_own() {
        let page = markdown();
        for title in [
            "## population",
            "## procedures.call",
            "## traffic.mix.NAME",
            "## traffic.steps[]",
            "## traffic.capacity",
        ] {
            assert!(page.contains(&format!("\n{title}\n")), "{title}");
        }
        assert!(page.contains("| `size` | whole number | has to be there | The number of UEs"));
    }
}
