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
    let mut rest = text;
    // 0xE2 begins U+2028 and U+2029, and others.
    while let Some(at) = rest.bytes().position(|byte| matches!(byte, b'<' | b'>' | b'&' | 0xE2)) {
        let (before, from_here) = rest.split_at(at);
        out.push_str(before);
        let mut characters = from_here.chars();
        match characters.next() {
            Some('<') => out.push_str("\\u003c"),
            Some('>') => out.push_str("\\u003e"),
            Some('&') => out.push_str("\\u0026"),
            Some('\u{2028}') => out.push_str("\\u2028"),
            Some('\u{2029}') => out.push_str("\\u2029"),
            other => out.extend(other),
        }
        rest = characters.as_str();
    }
    out.push_str(rest);
    out
}
