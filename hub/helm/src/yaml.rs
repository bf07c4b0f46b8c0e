//! The YAML of a chart's own files and of values: one document as Go's `sigs.k8s.io/yaml` reads it, and files of several documents.

use std::borrow::Cow;

use crate::functions::read_yaml;
use crate::stored::{Stored, Table};

/// What the document `text` says; nothing is null.
pub(crate) fn read(text: &str) -> Result<Stored, String> {
    read_yaml(text).map_err(|error| format!("error converting YAML to JSON: {error}"))
}

/// The values of a file of one or more documents: later documents win, and maps are merged.
pub(crate) fn read_values(text: &str) -> Result<Table, String> {
    let mut values = Table::new();
    for document in documents(text)? {
        match read(&document).map_err(|message| format!("cannot unmarshal yaml document: {message}"))? {
            Stored::Nil => {}
            Stored::Map(entries) if values.is_empty() => values = entries,
            Stored::Map(entries) => merge(&mut values, entries),
            other => {
                return Err(format!(
                    "cannot unmarshal yaml document: error unmarshaling JSON: while decoding JSON: json: cannot unmarshal {} into Go value of type map[string]interface {{}}",
                    other.json_kind()
                ));
            }
        }
    }
    Ok(values)
}

/// The documents of `text`, as Kubernetes' reader splits it: at lines that begin with `---` and have a comment at most after it.
fn documents(text: &str) -> Result<Vec<Cow<'_, str>>, String> {
    // Most files are one document in whole lines.
    let bytes = text.as_bytes();
    let has_markers = bytes.starts_with(b"---") || memchr::memmem::find(bytes, b"\n---").is_some();
    if bytes.ends_with(b"\n") && !has_markers && memchr::memchr(b'\r', bytes).is_none() {
        return Ok(vec![Cow::Borrowed(text)]);
    }
    let mut documents = Vec::new();
    let mut document = String::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("---") {
            let rest = rest.trim();
            if !rest.is_empty() && !rest.starts_with('#') {
                return Err(format!("error reading yaml document: invalid Yaml document separator: {rest}"));
            }
            if !document.is_empty() {
                documents.push(Cow::Owned(std::mem::take(&mut document)));
            }
        }
        document.push_str(line);
        document.push('\n');
    }
    if !document.is_empty() {
        documents.push(Cow::Owned(document));
    }
    Ok(documents)
}

/// Lays `over` on `values`: maps are merged, everything else is replaced; null is a value like others.
pub(crate) fn merge(values: &mut Table, over: Table) {
    for (key, value) in over {
        match (values.get_mut(&key), value) {
            (Some(Stored::Map(below)), Stored::Map(above)) => merge(below, above),
            (_, value) => {
                values.insert(key, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_are_merged_in_order() {
        let values = read_values("a: {x: 1, y: 2}\nb: [1]\n--- # more\na: {y: ~}\n---\nb: 2\n").unwrap();
        let expected = read("a: {x: 1, y: null}\nb: 2").unwrap();
        assert_eq!(Stored::Map(values), expected);
        assert_eq!(read_values("").unwrap(), Table::new());
        assert!(read_values("- a").unwrap_err().contains("cannot unmarshal array into Go value"));
        assert!(read_values("a: 1\n--- b: 2\n").unwrap_err().contains("separator"));
    }
}
