//! YAML inside of a text, changed as kustomize changes it: read, set, and written again with its order and quotes, lists flush with their key
//! and two columns for each level. Texts in block style whose scalars stand in one line or in a literal block are carried out; what depends on
//! more of kustomize's writer than that (comments, folded texts, anchors, brackets) is left alone and refused.

use shared_manifest::{Content, Node};

use crate::selector::regular_expression;
use crate::value::{list_item, plain};

/// The longest key that needs no `? ` before it.
const SIMPLE_KEY_BYTES: usize = 128;

/// The places of the scalars that a path leads to, as lines and columns from 0.
pub(crate) fn places(node: &Node, segments: &[String], found: &mut Vec<(usize, usize)>) -> Option<()> {
    let Some((segment, rest)) = segments.split_first() else {
        if matches!(node.content, Content::List(_) | Content::Map(_) | Content::Null) {
            return None;
        }
        found.push((usize::try_from(node.line).ok()?.checked_sub(1)?, usize::try_from(node.column).ok()?.checked_sub(1)?));
        return Some(());
    };
    match &node.content {
        Content::List(items) => {
            if let Ok(index) = segment.parse::<usize>() {
                return places(items.get(index)?, rest, found);
            }
            if segment == "*" {
                return items.iter().try_for_each(|item| places(item, rest, found));
            }
            let (field, wanted) = list_item(segment).filter(|(field, _)| !field.is_empty())?;
            let pattern = regular_expression(wanted, wanted).ok()?;
            let is_wanted = |item: &&Node| match &item.content {
                Content::Map(entries) => entries.iter().any(|(key, value)| match &value.content {
                    Content::String(text) => key.text == field && pattern.is_match(text),
                    _ => false,
                }),
                _ => false,
            };
            items.iter().filter(is_wanted).try_for_each(|item| places(item, rest, found))
        }
        Content::Map(entries) => {
            let (_, value) = entries.iter().find(|(key, _)| key.text == *segment)?;
            places(value, rest, found)
        }
        _ => None,
    }
}

/// A list or a map around a line.
struct Level {
    is_list: bool,
    /// The column where its entries stand.
    column: usize,
    /// The column where they are written.
    written: usize,
}

/// The document with `value` in the scalars at `places`; `None` if it has more than this module writes.
pub(crate) fn rewritten(document: &str, places: &[(usize, usize)], value: &str) -> Option<String> {
    let mut out = String::with_capacity(document.len() + value.len());
    let mut levels: Vec<Level> = Vec::new();
    let mut set = 0;
    let mut lines = document.lines().enumerate().peekable();
    while let Some((number, line)) = lines.next() {
        if line.trim().is_empty() || (number == 0 && line == "---") {
            continue;
        }
        let mut column = line.len() - line.trim_start_matches(' ').len();
        let (mut indent, mut dashes) = (None, String::new());
        while let Some(rest) = line[column..].strip_prefix("- ") {
            let written = enter(&mut levels, true, column)?;
            indent.get_or_insert(written);
            dashes.push_str("- ");
            column = line.len() - rest.trim_start_matches(' ').len();
        }
        let (key, start) = match key_length(&line[column..]) {
            Some(length) => {
                let written = enter(&mut levels, false, column)?;
                indent.get_or_insert(written);
                let after = &line[column + length..];
                (&line[column..column + length], line.len() - after.trim_start_matches(' ').len())
            }
            None => ("", column),
        };
        out.extend(std::iter::repeat_n(' ', indent?));
        out.push_str(&dashes);
        out.push_str(key);
        let scalar = line[start..].trim_end_matches(' ');
        if scalar.is_empty() {
            out.push('\n');
            continue;
        }
        if !key.is_empty() {
            out.push(' ');
        }
        let is_target = places.contains(&(number, start));
        set += usize::from(is_target);
        match scalar {
            "|" | "|-" if !is_target => {
                out.push_str(scalar);
                out.push('\n');
                let level = levels.last()?;
                let inside = lines
                    .peek()
                    .map(|(_, line)| line.len() - line.trim_start_matches(' ').len())
                    .filter(|inside| *inside > level.column)?;
                let mut blank = String::new();
                while let Some((_, line)) =
                    lines.next_if(|(_, line)| line.trim().is_empty() || line.get(..inside).is_some_and(|head| head.trim().is_empty()))
                {
                    if line.trim().is_empty() {
                        blank.push('\n');
                        continue;
                    }
                    out.push_str(&std::mem::take(&mut blank));
                    out.extend(std::iter::repeat_n(' ', level.written + 2));
                    out.push_str(&line[inside..]);
                    out.push('\n');
                }
                if scalar == "|" && lines.peek().is_none() && !document.ends_with('\n') {
                    return None;
                }
            }
            scalar if is_simple(scalar) => {
                out.push_str(&if is_target { in_style_of(scalar, value)? } else { scalar.to_owned() });
                out.push('\n');
            }
            _ => return None,
        }
    }
    (set == places.len()).then(|| out.trim().to_owned())
}

/// Makes the level at `column` the innermost one and says where it is written.
fn enter(levels: &mut Vec<Level>, is_list: bool, column: usize) -> Option<usize> {
    while levels.last().is_some_and(|level| level.column > column || (level.column == column && level.is_list && !is_list)) {
        levels.pop();
    }
    if let Some(level) = levels.last().filter(|level| level.column == column && level.is_list == is_list) {
        return Some(level.written);
    }
    let written = match levels.last() {
        None => 0,
        Some(around) if !around.is_list && is_list => around.written,
        Some(around) => around.written + 2,
    };
    levels.push(Level { is_list, column, written });
    Some(written)
}

/// The length of `key:` at the front of a text, if it begins with one.
fn key_length(text: &str) -> Option<usize> {
    let length = match text.as_bytes().first()? {
        quote @ (b'"' | b'\'') => 2 + text[1..].find(char::from(*quote))?,
        _ => text.char_indices().find(|(place, letter)| *letter == ':' && matches!(text.as_bytes().get(place + 1), None | Some(b' ')))?.0,
    };
    let is_key = text[length..].starts_with(':') && matches!(text.as_bytes().get(length + 1), None | Some(b' '));
    (is_key && length <= SIMPLE_KEY_BYTES && is_simple(&text[..length])).then_some(length + 1)
}

/// Whether a scalar in one line is written again as it stands.
fn is_simple(text: &str) -> bool {
    let is_plain_text = |text: &str| text.chars().all(|letter| letter == ' ' || letter.is_ascii_graphic());
    match text.as_bytes().first() {
        Some(b'"') => text.len() > 1 && is_plain_text(text) && !text.contains('\\') && text[1..].find('"') == Some(text.len() - 2),
        Some(b'\'') => {
            let inside = text.get(1..text.len().saturating_sub(1)).unwrap_or_default();
            text.len() > 1 && text.ends_with('\'') && is_plain_text(text) && !inside.replace("''", "").contains('\'')
        }
        _ => matches!(text, "{}" | "[]") || (is_plain_text(text) && may_be_plain(text)),
    }
}

/// Whether a text may stand without quotes, by a rule that is narrower than YAML's.
fn may_be_plain(text: &str) -> bool {
    text.starts_with(|first: char| {
        first.is_ascii_alphanumeric() || "/._$(+".contains(first) || (first == '-' && text.len() > 1 && !text.starts_with("- "))
    }) && !text.contains(": ")
        && !text.contains(" #")
        && !text.starts_with("---")
        && !text.starts_with("...")
        && !text.ends_with([':', ' '])
}

/// The value in the quotes of the scalar it replaces; text that would be something else gets some.
fn in_style_of(scalar: &str, value: &str) -> Option<String> {
    if !value.chars().all(|letter| letter == ' ' || letter.is_ascii_graphic()) {
        return None;
    }
    let is_text = |text: &str| plain(text).is_text();
    Some(match scalar.as_bytes().first()? {
        b'"' => format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\"")),
        b'\'' => format!("'{}'", value.replace('\'', "''")),
        _ if !is_text(scalar) => value.to_owned(),
        _ if !is_text(value) => format!("\"{value}\""),
        _ if may_be_plain(value) => value.to_owned(),
        _ => format!("'{}'", value.replace('\'', "''")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use shared_manifest::{YamlBudget, YamlMode, parse_yaml_spanned};

    fn set(document: &str, value: &str) -> Option<String> {
        let nodes = parse_yaml_spanned(document, YamlMode::Kustomize, YamlBudget::MANIFEST).expect("YAML");
        let mut found = Vec::new();
        places(&nodes[0], &["a".to_owned(), "b".to_owned()], &mut found)?;
        rewritten(document, &found, value)
    }

    #[test]
    fn documents_are_written_as_kustomize_writes_them() {
        for (document, value, written) in [
            ("a:\n  b: old\n", "new", Some("a:\n  b: new")),
            (
                "---\nz: 1\na:\n    b: old\n    c:\n      - d\n      - e: 1\n        f: 2\n",
                "new",
                Some("z: 1\na:\n  b: new\n  c:\n  - d\n  - e: 1\n    f: 2"),
            ),
            ("a:\n  b: \"old\"\n\nc: 'it''s'\n", "5", Some("a:\n  b: \"5\"\nc: 'it''s'")),
            ("a:\n  b: old\n", "5", Some("a:\n  b: \"5\"")),
            ("a:\n  b: old\n", "a: b", Some("a:\n  b: 'a: b'")),
            ("a:\n  b: 'old'\n", "it's", Some("a:\n  b: 'it''s'")),
            ("a:\n  b: old\nt: |\n    x\n     y\n\n    z\nu: end\n", "new", Some("a:\n  b: new\nt: |\n  x\n   y\n\n  z\nu: end")),
            ("a:\n  b: old # why\n", "new", None),
            ("a: {b: old}\n", "new", None),
            ("a:\n  b: |\n    old\n", "new", None),
            ("a:\n  b: >\n    old\n", "new", None),
            ("a:\n  b: old\nc: \"\\t\"\n", "new", None),
            ("a:\n  c: old\n", "new", None),
        ] {
            assert_eq!(set(document, value).as_deref(), written, "{document} {value}");
        }
    }
}
