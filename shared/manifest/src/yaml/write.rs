//! Writes YAML, laid out and quoted byte for byte as `kustomize build` prints it: block style, keys in natural order, lists not indented under
//! their key, long texts folded. The rules are those of the emitter of goyaml.v2 with its defaults, which kustomize and kubectl print with.
//!
//! This file has the layout. What a text looks like is left to `text`, the order of keys to `order`, and numbers to `number`.

mod number;
mod order;
mod text;

use std::sync::Arc;

use serde_json::Value;

use crate::tree::{Tree, TreeMap};
use text::Start;

/// Appends `tree` as one document to `out`, exactly as `kustomize build` prints a resource of this content. It ends in a line break, if it is no
/// text that ends in U+2028 or U+2029.
///
/// Three things do not read back as they were, being printed as kustomize prints them: a key `<<` stands without quotes, U+2028 and U+2029 stand as
/// line breaks, which they are in YAML 1.1 only, and U+0085 is lost. [`to_yaml`] keeps them.
///
/// Kustomize refuses what its own reader cannot take on the way: keys of more than 1,024 bytes or with U+0085 in them, and the control characters
/// U+007F to U+009F, U+FFFE and U+FFFF. They are written here in the style of the same emitter.
pub fn write_yaml(tree: &Tree, out: &mut String) {
    write_document(tree, out, Audience::Kustomize, false);
}

/// Appends all `trees` to `out` as documents with `---` between them, as `kustomize build` prints its resources.
pub fn write_yaml_documents<'a>(trees: impl IntoIterator<Item = &'a Tree>, out: &mut String) {
    for (position, tree) in trees.into_iter().enumerate() {
        if position > 0 {
            out.push_str("---\n");
        }
        write_yaml(tree, out);
    }
}

/// As [`write_yaml_documents`], and keeps the text of each map that other trees share and that is printed for the second time, with the map:
/// whoever prints one of those trees copies that text. It is for trees of which parts are kept and printed again.
pub fn write_yaml_documents_and_keep<'a>(trees: impl IntoIterator<Item = &'a Tree>, out: &mut String) {
    for (position, tree) in trees.into_iter().enumerate() {
        if position > 0 {
            out.push_str("---\n");
        }
        write_document(tree, out, Audience::Kustomize, true);
    }
}

/// `value` as one YAML document for people, ending in a line break. It looks as [`write_yaml`] writes it, but every text that some reader would
/// take for something else is quoted, so that it means the same to kubectl, kustomize and this crate.
pub fn to_yaml(value: &Value) -> String {
    let mut out = String::new();
    write_document(&Tree::from(value), &mut out, Audience::Everyone, false);
    out
}

/// All `values` as documents for people with `---` between them.
pub fn to_yaml_documents<'a>(values: impl IntoIterator<Item = &'a Value>) -> String {
    let mut out = String::new();
    for (position, value) in values.into_iter().enumerate() {
        if position > 0 {
            out.push_str("---\n");
        }
        write_document(&Tree::from(value), &mut out, Audience::Everyone, false);
    }
    out
}

fn write_document(tree: &Tree, out: &mut String, audience: Audience, keeps: bool) {
    let mut writer = Writer { out, scratch: String::new(), audience, keeps };
    match tree {
        Tree::Map(map) if !map.is_empty() => writer.shared_map(map, 0),
        Tree::List(items) if !items.is_empty() => writer.list(items, 0),
        _ => writer.leaf(tree, Start { column: 0, indent: INDENT }),
    }
}

/// Whom a text is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Audience {
    /// Those who compare it with what kustomize prints.
    Kustomize,
    /// Every reader: `<<` and `=` are quoted too, U+2028 and U+2029 (line breaks in YAML 1.1, characters in 1.2) are escaped, and floats that are
    /// integers have all their digits.
    Everyone,
}

/// Columns by which something stands to the right of what it is in.
const INDENT: usize = 2;

/// A key of more bytes gets a line of its own after `? `. YAML allows 1,024 characters; Go's emitter stops here.
const SIMPLE_KEY_BYTES: usize = 128;

/// The shortest text that is kept: shorter ones are printed again in the time that keeping them takes.
const KEPT_BYTES: usize = 32;

/// Every map, list and scalar is written from where it starts, its first line being indented already, up to and including its last line break.
struct Writer<'o> {
    out: &'o mut String,
    /// Room for a text with its escapes.
    scratch: String,
    audience: Audience,
    /// Whether texts of shared maps are kept: not inside of one of which the text is.
    keeps: bool,
}

impl Writer<'_> {
    /// As [`Writer::map`], which is not run where the text is kept.
    fn shared_map(&mut self, map: &Arc<TreeMap>, indent: usize) {
        if Arc::strong_count(map) < 2 {
            return self.map(map, indent);
        }
        if self.audience == Audience::Kustomize
            && let Some(text) = map.learned().text(indent)
        {
            return self.out.push_str(text);
        }
        if !self.keeps {
            return self.map(map, indent);
        }
        let start = self.out.len();
        self.keeps = false;
        self.map(map, indent);
        self.keeps = true;
        let text = &self.out[start..];
        if text.len() >= KEPT_BYTES {
            map.learned().keep_text(indent, text);
        }
    }

    /// Each entry from column `indent`.
    fn map(&mut self, map: &TreeMap, indent: usize) {
        if order::is_natural(map.keys()) {
            for (position, (key, value)) in map.iter().enumerate() {
                self.entry(position, key, value, indent);
            }
        } else {
            for (position, (key, value)) in order::natural(map.iter().collect()).into_iter().enumerate() {
                self.entry(position, key, value, indent);
            }
        }
    }

    #[inline]
    fn entry(&mut self, position: usize, key: &str, value: &Tree, indent: usize) {
        if position > 0 {
            pad(self.out, indent);
        }
        let look = text::look(key, self.audience);
        if key.len() > SIMPLE_KEY_BYTES || look.has_breaks(key) {
            self.entry_of_long_key(key, look, value, indent);
            return;
        }
        let start = self.out.len();
        text::write_key(self.out, &mut self.scratch, key, look);
        self.out.push(':');
        match value {
            Tree::Map(inner) if !inner.is_empty() => {
                line_break(self.out, indent + INDENT);
                self.shared_map(inner, indent + INDENT);
            }
            Tree::List(items) if !items.is_empty() => {
                line_break(self.out, indent);
                self.list(items, indent);
            }
            _ => {
                self.out.push(' ');
                let columns = if look.is_ascii { self.out.len() - start } else { self.out[start..].chars().count() };
                self.leaf(value, Start { column: indent + columns, indent: indent + INDENT });
            }
        }
    }

    #[cold]
    fn entry_of_long_key(&mut self, key: &str, look: text::Look, value: &Tree, indent: usize) {
        self.out.push_str("? ");
        self.text(key, look, Start { column: indent + INDENT, indent: indent + INDENT });
        pad(self.out, indent);
        self.out.push_str(": ");
        self.node(value, indent + INDENT);
    }

    /// Each item from column `indent`.
    fn list(&mut self, items: &[Tree], indent: usize) {
        for (position, item) in items.iter().enumerate() {
            if position > 0 {
                pad(self.out, indent);
            }
            self.out.push_str("- ");
            self.node(item, indent + INDENT);
        }
    }

    /// What follows `- ` or `: ` in the same line, at column `indent`.
    fn node(&mut self, tree: &Tree, indent: usize) {
        match tree {
            Tree::Map(map) if !map.is_empty() => self.shared_map(map, indent),
            Tree::List(items) if !items.is_empty() => self.list(items, indent),
            _ => self.leaf(tree, Start { column: indent, indent }),
        }
    }

    /// A scalar or an empty collection.
    #[inline]
    fn leaf(&mut self, tree: &Tree, start: Start) {
        match tree {
            Tree::String(text) | Tree::Quoted(text) => {
                let look = text::look(text, self.audience);
                return match text::without_next_lines(text, look, self.audience) {
                    None => self.text(text, look, start),
                    Some(text) => self.text(&text, text::look(&text, self.audience), start),
                };
            }
            Tree::Date(text) => {
                let text = super::timestamp_of(text);
                return self.text(&text, text::look(&text, self.audience), start);
            }
            Tree::Null(_) => self.out.push_str("null"),
            Tree::Bool(text) => self.out.push_str(if text.starts_with(['t', 'T']) { "true" } else { "false" }),
            Tree::Number(text) => number::write(self.out, text, self.audience),
            Tree::List(_) => self.out.push_str("[]"),
            Tree::Map(_) => self.out.push_str("{}"),
        }
        self.out.push('\n');
    }

    #[inline]
    fn text(&mut self, text: &str, look: text::Look, start: Start) {
        if !text::write_value(self.out, &mut self.scratch, text, look, start) {
            self.out.push('\n');
        }
    }
}

/// A line break and the `columns` in front of the next line.
const LINE_START: &str = "\n                                                                ";

fn line_break(out: &mut String, columns: usize) {
    match LINE_START.get(..=columns) {
        Some(start) => out.push_str(start),
        None => {
            out.push('\n');
            out.extend(std::iter::repeat_n(' ', columns));
        }
    }
}

fn pad(out: &mut String, columns: usize) {
    match LINE_START.get(1..=columns) {
        Some(spaces) => out.push_str(spaces),
        None => out.extend(std::iter::repeat_n(' ', columns)),
    }
}
