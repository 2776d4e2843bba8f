//! What comes from outside, made harmless in a page.

/// A text as HTML has it, in an element or in a quoted attribute.
#[must_use]
pub fn html(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            _ => out.push(c),
        }
    }
    out
}

/// JSON as a `<script>` element can hold it: nothing in it ends the element, or begins another. It remains the same JSON.
#[must_use]
pub fn json_in_script(json: &str) -> String {
    // Outside strings JSON has none of these.
    json.replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_ends_an_element_or_an_attribute() {
        assert_eq!(
            html("<b title=\"x\" id='y'>&</b>"),
            "&lt;b title=&quot;x&quot; id=&#39;y&#39;&gt;&amp;&lt;/b&gt;"
        );
    }

    #[test]
    fn json_in_a_script_is_the_same_and_ends_nothing() {
        let text = "</script><!--<script>&";
        let json = serde_json::to_string(text).unwrap();
        let escaped = json_in_script(&json);
        assert!(!escaped.contains(['<', '>', '&']), "{escaped}");
        assert_eq!(serde_json::from_str::<String>(&escaped).unwrap(), text);
    }
}
