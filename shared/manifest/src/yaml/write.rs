//! YAML for people, laid out as kustomize does: block style, sorted keys, lists not indented under their key. Any string that one of the
//! readings would take for something else is quoted, so that the text means the same to kubectl, kustomize and this crate.

use serde_json::{Map, Value};

use super::YamlMode;
use super::scalar::{self, Plain};

/// `value` as one YAML document, ending in a line break.
pub fn to_yaml(value: &Value) -> String {
    let mut out = String::new();
    write_document(&mut out, value);
    out
}

/// All `values` as documents with `---` between them.
pub fn to_yaml_documents<'a>(values: impl IntoIterator<Item = &'a Value>) -> String {
    let mut out = String::new();
    for (position, value) in values.into_iter().enumerate() {
        if position > 0 {
            out.push_str("---\n");
        }
        write_document(&mut out, value);
    }
    out
}

fn write_document(out: &mut String, value: &Value) {
    match value {
        Value::Object(map) if !map.is_empty() => write_map(out, map, 0),
        Value::Array(items) if !items.is_empty() => write_list(out, items, 0),
        _ => {
            write_leaf(out, value, 0);
            out.push('\n');
        }
    }
}

/// Each entry from column `indent`; the first line is already indented.
fn write_map(out: &mut String, map: &Map<String, Value>, indent: usize) {
    for (position, (key, value)) in map.iter().enumerate() {
        if position > 0 {
            pad(out, indent);
        }
        if key.len() > SIMPLE_KEY_BYTES {
            out.push_str("? ");
            write_text(out, key);
            out.push('\n');
            pad(out, indent);
        } else {
            write_text(out, key);
        }
        out.push(':');
        match value {
            Value::Object(inner) if !inner.is_empty() => {
                out.push('\n');
                pad(out, indent + 2);
                write_map(out, inner, indent + 2);
            }
            Value::Array(items) if !items.is_empty() => {
                out.push('\n');
                pad(out, indent);
                write_list(out, items, indent);
            }
            _ => {
                out.push(' ');
                write_leaf(out, value, indent);
                out.push('\n');
            }
        }
    }
}

/// Each item from column `indent`; the first line is already indented.
fn write_list(out: &mut String, items: &[Value], indent: usize) {
    for (position, item) in items.iter().enumerate() {
        if position > 0 {
            pad(out, indent);
        }
        out.push_str("- ");
        match item {
            Value::Object(map) if !map.is_empty() => write_map(out, map, indent + 2),
            Value::Array(inner) if !inner.is_empty() => write_list(out, inner, indent + 2),
            _ => {
                write_leaf(out, item, indent);
                out.push('\n');
            }
        }
    }
}

/// YAML allows 1,024 characters for a key that needs no `?`; Go's writer stops at 128 bytes already.
const SIMPLE_KEY_BYTES: usize = 128;

fn pad(out: &mut String, columns: usize) {
    out.extend(std::iter::repeat_n(' ', columns));
}

/// A scalar or an empty collection, inside something at column `indent`.
fn write_leaf(out: &mut String, value: &Value, indent: usize) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(claim) => out.push_str(if *claim { "true" } else { "false" }),
        Value::Number(number) => out.push_str(&number.to_string()),
        Value::String(text) if fits_block(text) => write_block(out, text, indent + 2),
        Value::String(text) => write_text(out, text),
        Value::Array(_) => out.push_str("[]"),
        Value::Object(_) => out.push_str("{}"),
    }
}

/// Whether a text of several lines can stand in a literal block and be read back exactly.
fn fits_block(text: &str) -> bool {
    text.contains('\n')
        && !text.starts_with([' ', '\n', '\t'])
        && !text.contains(" \n")
        && !text.ends_with(' ')
        && text.chars().all(|c| c == '\n' || c == '\t' || is_printable(c))
        && !text.contains("\n\t")
}

fn write_block(out: &mut String, text: &str, indent: usize) {
    let body = text.trim_end_matches('\n');
    out.push_str(match text.len() - body.len() {
        0 => "|-",
        1 => "|",
        _ => "|+",
    });
    for line in body.split('\n') {
        out.push('\n');
        if !line.is_empty() {
            pad(out, indent);
            out.push_str(line);
        }
    }
    // The caller ends the last line; what `|+` keeps beyond that are empty lines.
    out.extend(std::iter::repeat_n('\n', (text.len() - body.len()).saturating_sub(1)));
}

/// A string in one line: plain, single-quoted or double-quoted.
fn write_text(out: &mut String, text: &str) {
    if !text.chars().all(is_printable) {
        write_escaped(out, text);
    } else if is_plain(text) {
        if means_itself(text) {
            out.push_str(text);
        } else {
            out.push('"');
            out.push_str(text);
            out.push('"');
        }
    } else {
        out.push('\'');
        out.push_str(&text.replace('\'', "''"));
        out.push('\'');
    }
}

fn means_itself(text: &str) -> bool {
    [YamlMode::Kubernetes, YamlMode::Kustomize].into_iter().all(|mode| scalar::resolve(text, mode) == Plain::Text)
        // Words and numbers of other readers (YAML 1.1 base 60, hexadecimal floats) stay out of their reach.
        && !looks_numeric(text)
}

/// Digits with the separators of any notation for numbers: no reader shall have a choice.
fn looks_numeric(text: &str) -> bool {
    text.bytes().any(|c| c.is_ascii_digit())
        && text.bytes().all(|c| c.is_ascii_digit() || matches!(c, b'+' | b'-' | b'.' | b'_' | b':' | b'e' | b'E' | b'x' | b'o'))
        && !text.contains("..")
        && text.bytes().filter(|&c| c == b'.').count() <= 1
}

/// Whether a text may stand without quotes as far as syntax goes: no indicator in front, no `: ` and no ` #` inside.
fn is_plain(text: &str) -> bool {
    let Some(first) = text.chars().next() else { return true };
    let indicator = matches!(
        first,
        '-' | '?' | ':' | ',' | '[' | ']' | '{' | '}' | '#' | '&' | '*' | '!' | '|' | '>' | '\'' | '"' | '%' | '@' | '`' | '=' | '<'
    );
    let inside_word =
        matches!(first, '-' | ':' | '?' | '<' | '=') && text.chars().nth(1).is_some_and(|c| c.is_ascii_alphanumeric() || c == '-');
    (!indicator || inside_word)
        && !text.starts_with(' ')
        && !text.ends_with([' ', ':'])
        && !text.contains(": ")
        && !text.contains(" #")
        && !text.starts_with("---")
        && !text.starts_with("...")
        && !text.contains('"')
}

/// Characters that need no escape in any style.
fn is_printable(c: char) -> bool {
    !c.is_control()
        && !matches!(c, '\u{85}' | '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}')
        && !matches!(c as u32, 0xFDD0..=0xFDEF)
}

fn write_escaped(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            c if is_printable(c) => out.push(c),
            c if (c as u32) < 0x100 => out.push_str(&format!("\\x{:02x}", c as u32)),
            c if (c as u32) < 0x1_0000 => out.push_str(&format!("\\u{:04x}", c as u32)),
            c => out.push_str(&format!("\\U{:08x}", c as u32)),
        }
    }
    out.push('"');
}
