//! JSON as Go's `encoding/json` writes it, for texts that kustomize makes of values: the hash of a content, JSON inside of a text.

use serde_json::Value;

/// Compact, keys sorted, and the characters escaped that HTML and JavaScript trip over. Outside of strings they do not occur.
pub(crate) fn compact(value: &Value) -> String {
    escaped(&value.to_string())
}

/// As [`compact`], with a line for each entry, indented by two.
pub(crate) fn indented(value: &Value) -> String {
    escaped(&format!("{value:#}"))
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '<' => out.push_str("\\u003c"),
            '>' => out.push_str("\\u003e"),
            '&' => out.push_str("\\u0026"),
            '\u{2028}' => out.push_str("\\u2028"),
            '\u{2029}' => out.push_str("\\u2029"),
            other => out.push(other),
        }
    }
    out
}
