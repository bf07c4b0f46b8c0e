//! Small questions to a value that several transformers ask: its text, its type, its path.

use shared_manifest::{Map, Value};

/// The text of a scalar as YAML would show it; lists and maps have none.
pub(crate) fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Bool(flag) => flag.to_string(),
        Value::Number(number) => number.to_string(),
        Value::Null | Value::Array(_) | Value::Object(_) => String::new(),
    }
}

/// Whether `value` is a scalar whose text is `wanted`, without making that text.
pub(crate) fn has_text(value: &Value, wanted: &str) -> bool {
    match value {
        Value::String(text) => text == wanted,
        Value::Bool(_) | Value::Number(_) => text(value) == wanted,
        Value::Null | Value::Array(_) | Value::Object(_) => wanted.is_empty(),
    }
}

/// What a value is, for messages.
pub(crate) fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a map",
    }
}

/// Whether it is null, an empty list or an empty map.
pub(crate) fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

/// About how many bytes it is as JSON: enough to keep a budget by.
pub(crate) fn size(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => 8,
        Value::String(text) => text.len() + 3,
        Value::Array(items) => 2 + items.iter().map(size).sum::<usize>(),
        Value::Object(fields) => 2 + fields.iter().map(|(key, value)| key.len() + 4 + size(value)).sum::<usize>(),
    }
}

/// Splits a path, where a delimiter after a backslash belongs to its segment. A leading delimiter counts for nothing.
pub(crate) fn split_path(path: &str, delimiter: char) -> Vec<String> {
    let path = path.strip_prefix(delimiter).filter(|_| path.len() > 1).unwrap_or(path);
    let mut segments: Vec<String> = Vec::new();
    let mut joined = false;
    for part in path.split(delimiter) {
        match segments.last_mut().filter(|_| joined) {
            Some(last) => last.push_str(part),
            None => segments.push(part.to_owned()),
        }
        let Some(last) = segments.last_mut() else { continue };
        joined = last.ends_with('\\');
        if joined {
            last.pop();
            last.push(delimiter);
        }
    }
    if joined && let Some(last) = segments.last_mut() {
        last.pop();
        last.push('\\');
    }
    segments
}

/// Splits a dotted path in which `[name=a.b]` selects a list item and `[a.b]` is one segment.
pub(crate) fn split_dotted(path: &str) -> Vec<String> {
    let mut segments = Vec::new();
    let mut parts = split_path(path, '.').into_iter();
    while let Some(part) = parts.next() {
        if !part.starts_with('[') || part.ends_with(']') {
            segments.push(part);
            continue;
        }
        let mut bracketed = part;
        for more in parts.by_ref() {
            let ends = more.ends_with(']');
            bracketed.push('.');
            bracketed.push_str(&more);
            if ends {
                break;
            }
        }
        segments.push(if bracketed.contains('=') { bracketed } else { bracketed.trim_matches(['[', ']']).to_owned() });
    }
    segments
}

/// `[name=value]` taken apart.
pub(crate) fn list_item(segment: &str) -> Option<(&str, &str)> {
    segment.strip_prefix('[')?.strip_suffix(']')?.split_once('=')
}

/// What a dotted path leads to, without wildcards: kustomize's `Lookup`. Null ends the way like absence.
pub(crate) fn lookup<'a>(value: &'a Value, path: &[String]) -> Option<&'a Value> {
    let mut here = value;
    for segment in path.iter().filter(|segment| !segment.trim().is_empty()) {
        here = step(here, segment.trim())?;
    }
    (!here.is_null()).then_some(here)
}

fn step<'a>(value: &'a Value, segment: &str) -> Option<&'a Value> {
    if let Ok(index) = segment.parse::<usize>() {
        return value.as_array()?.get(index);
    }
    if segment == "-" {
        return value.as_array()?.last();
    }
    if let Some((field, wanted)) = list_item(segment) {
        return value.as_array()?.iter().find(|item| is_item(item, field, wanted));
    }
    value.as_object()?.get(segment)
}

/// Whether a list item is the one with this text in this field; the empty field is the item itself.
pub(crate) fn is_item(item: &Value, field: &str, wanted: &str) -> bool {
    if field.is_empty() { has_text(item, wanted) } else { item.get(field).is_some_and(|value| !value.is_null() && has_text(value, wanted)) }
}

/// The map in `value`, which becomes an empty one if it is null.
pub(crate) fn map_in(value: &mut Value) -> Option<&mut Map<String, Value>> {
    if value.is_null() {
        *value = Value::Object(Map::new());
    }
    value.as_object_mut()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_keep_what_is_escaped_or_bracketed() {
        assert_eq!(split_path("metadata/annotations/a.io\\/b", '/'), ["metadata", "annotations", "a.io/b"]);
        assert_eq!(split_path("/a/b", '/'), ["a", "b"]);
        assert_eq!(split_dotted("spec.containers.[name=a.b].image"), ["spec", "containers", "[name=a.b]", "image"]);
        assert_eq!(split_dotted("metadata.annotations.[a.b/c]"), ["metadata", "annotations", "a.b/c"]);
    }
}
