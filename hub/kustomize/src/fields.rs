//! Reading typed fields out of a parsed document the way kustomize does (names match without regard to case, null is absence), with the line of
//! every field and the nearest known name for one that is unknown.

use std::collections::BTreeMap;

use shared_manifest::{Content, Key, Node, Text, Tree};

use crate::problem::{Fault, Reason};

/// A value and the line where it stands.
#[derive(Debug, Clone)]
pub(crate) struct Spot<T> {
    pub(crate) line: u32,
    pub(crate) value: T,
}

/// How a document is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reading {
    /// A kustomization: unknown fields and numbers for text are refused.
    Strict,
    /// The configuration of a plugin: unknown fields are somebody else's, a number may stand for text.
    Lenient,
}

/// The fields of one map, taken one by one.
pub(crate) struct Fields<'a> {
    within: &'static str,
    reading: Reading,
    entries: Vec<(&'a Key, &'a Node, bool)>,
    known: Vec<&'static str>,
    pub(crate) line: u32,
}

impl<'a> Fields<'a> {
    /// The fields of `node`, which is called `within` in messages.
    pub(crate) fn of(node: &'a Node, within: &'static str, reading: Reading) -> Result<Self, Fault> {
        let entries: &[(Key, Node)] = match &node.content {
            Content::Map(entries) => entries,
            Content::Null => &[],
            _ => return Err(wrong_type(node, within, "a map")),
        };
        let entries = entries.iter().map(|(key, value)| (key, value, false)).collect();
        Ok(Self { within, reading, entries, known: Vec::new(), line: node.line })
    }

    /// The value of `name`; null counts as absent.
    pub(crate) fn take(&mut self, name: &'static str) -> Option<&'a Node> {
        self.known.push(name);
        let exact = self.entries.iter().position(|(key, _, _)| key.text == name);
        let index = exact.or_else(|| self.entries.iter().position(|(key, _, _)| key.text.eq_ignore_ascii_case(name)))?;
        let (_, node, taken) = &mut self.entries[index];
        *taken = true;
        let node: &'a Node = node;
        (node.content != Content::Null).then_some(node)
    }

    /// Text, empty if absent.
    pub(crate) fn text(&mut self, name: &'static str) -> Result<String, Fault> {
        Ok(self.optional_text(name)?.unwrap_or_default())
    }

    /// Text, if there is any.
    pub(crate) fn optional_text(&mut self, name: &'static str) -> Result<Option<String>, Fault> {
        let reading = self.reading;
        self.take(name).map(|node| text_of(node, name, reading)).transpose()
    }

    /// A boolean, false if absent.
    pub(crate) fn flag(&mut self, name: &'static str) -> Result<bool, Fault> {
        match self.take(name) {
            None => Ok(false),
            Some(Node { content: Content::Bool(flag), .. }) => Ok(*flag),
            Some(node) => Err(wrong_type(node, name, "true or false")),
        }
    }

    /// An integer, 0 if absent.
    pub(crate) fn integer(&mut self, name: &'static str) -> Result<i64, Fault> {
        let Some(node) = self.take(name) else { return Ok(0) };
        match &node.content {
            Content::Number(number) => number.as_i64().ok_or_else(|| wrong_type(node, name, "an integer")),
            _ => Err(wrong_type(node, name, "an integer")),
        }
    }

    /// The items of a list, none if absent.
    pub(crate) fn items(&mut self, name: &'static str) -> Result<&'a [Node], Fault> {
        match self.take(name) {
            None => Ok(&[]),
            Some(Node { content: Content::List(items), .. }) => Ok(items),
            Some(node) => Err(wrong_type(node, name, "a list")),
        }
    }

    /// A list of texts with their lines.
    pub(crate) fn texts(&mut self, name: &'static str) -> Result<Vec<Spot<String>>, Fault> {
        let reading = self.reading;
        let items = self.items(name)?;
        items.iter().map(|node| Ok(Spot { line: node.line, value: text_of(node, name, reading)? })).collect()
    }

    /// A list of texts.
    pub(crate) fn plain_texts(&mut self, name: &'static str) -> Result<Vec<String>, Fault> {
        Ok(self.texts(name)?.into_iter().map(|spot| spot.value).collect())
    }

    /// A map from text to text; `None` if absent.
    pub(crate) fn optional_pairs(&mut self, name: &'static str) -> Result<Option<BTreeMap<String, String>>, Fault> {
        let reading = self.reading;
        match self.take(name) {
            None => Ok(None),
            Some(Node { content: Content::Map(entries), .. }) => entries
                .iter()
                .map(|(key, node)| Ok((key.text.clone(), text_of(node, &key.text, reading)?)))
                .collect::<Result<_, _>>()
                .map(Some),
            Some(node) => Err(wrong_type(node, name, "a map of texts")),
        }
    }

    /// A map from text to text, empty if absent.
    pub(crate) fn pairs(&mut self, name: &'static str) -> Result<BTreeMap<String, String>, Fault> {
        Ok(self.optional_pairs(name)?.unwrap_or_default())
    }

    /// A nested map read by `read`.
    pub(crate) fn nested<T>(
        &mut self,
        name: &'static str,
        within: &'static str,
        read: impl FnOnce(&mut Fields<'a>) -> Result<T, Fault>,
    ) -> Result<Option<T>, Fault> {
        let reading = self.reading;
        self.take(name).map(|node| read_all(node, within, reading, read)).transpose()
    }

    /// A list of maps, each read by `read`.
    pub(crate) fn each<T>(
        &mut self,
        name: &'static str,
        within: &'static str,
        mut read: impl FnMut(&mut Fields<'a>) -> Result<T, Fault>,
    ) -> Result<Vec<T>, Fault> {
        let reading = self.reading;
        self.items(name)?.iter().map(|node| read_all(node, within, reading, &mut read)).collect()
    }

    /// Whether any field but those in `except` says something.
    pub(crate) fn says_anything_but(&self, except: &[&str]) -> bool {
        self.entries.iter().any(|(key, node, _)| !except.contains(&key.text.as_str()) && node.content != Content::Null)
    }

    /// Refuses what nobody took.
    pub(crate) fn finish(self) -> Result<(), Fault> {
        let unknown = self.entries.iter().find(|(_, _, taken)| !taken).filter(|_| self.reading == Reading::Strict);
        let Some((key, _, _)) = unknown else { return Ok(()) };
        let nearest = nearest(&key.text, &self.known);
        Err(Fault::at(key.line, Reason::UnknownField { within: self.within, field: key.text.clone(), nearest }))
    }
}

/// Reads the whole of `node` by `read` and refuses what it leaves.
pub(crate) fn read_all<'a, T>(
    node: &'a Node,
    within: &'static str,
    reading: Reading,
    read: impl FnOnce(&mut Fields<'a>) -> Result<T, Fault>,
) -> Result<T, Fault> {
    let mut fields = Fields::of(node, within, reading)?;
    let value = read(&mut fields)?;
    fields.finish()?;
    Ok(value)
}

/// A value as a document, each part of it at `line`.
pub(crate) fn node_of(value: &Tree, line: u32) -> Node {
    let content = match value {
        Tree::Null(_) => Content::Null,
        Tree::Bool(_) => Content::Bool(value.to_value() == true),
        Tree::Number(text) => value.number().map_or_else(|| Content::String(text.to_string()), Content::Number),
        Tree::Date(text) | Tree::String(text) | Tree::Quoted(text) => Content::String(text.to_string()),
        Tree::List(items) => Content::List(items.iter().map(|item| node_of(item, line)).collect()),
        Tree::Map(entries) => {
            let entry = |(key, value): (&Text, &Tree)| (Key { text: key.to_string(), line, column: 1 }, node_of(value, line));
            Content::Map(entries.iter().map(entry).collect())
        }
    };
    Node { line, column: 1, content }
}

/// The text of a scalar.
pub(crate) fn text_of(node: &Node, field: &str, reading: Reading) -> Result<String, Fault> {
    match (&node.content, reading) {
        (Content::String(text), _) => Ok(text.clone()),
        (Content::Null, _) => Ok(String::new()),
        (Content::Number(number), Reading::Lenient) => Ok(number.to_string()),
        (Content::Bool(flag), Reading::Lenient) => Ok(flag.to_string()),
        _ => Err(wrong_type(node, field, "text")),
    }
}

pub(crate) fn wrong_type(node: &Node, field: &str, wanted: &'static str) -> Fault {
    let found = match &node.content {
        Content::Null => "nothing",
        Content::Bool(_) => "true or false",
        Content::Number(_) => "a number",
        Content::String(_) => "text",
        Content::List(_) => "a list",
        Content::Map(_) => "a map",
    };
    let scalar = matches!(node.content, Content::Bool(_) | Content::Number(_));
    let hint = if wanted == "text" && scalar { "; quote it" } else { "" };
    Fault::at(node.line, Reason::WrongType { field: field.to_owned(), wanted, found, hint })
}

/// The known name that `written` most likely means: at most a third of its letters (and two at least) away.
fn nearest(written: &str, known: &[&'static str]) -> Option<&'static str> {
    let written = written.to_ascii_lowercase();
    let limit = (written.len() / 3).max(2);
    known
        .iter()
        .map(|name| (distance(&written, &name.to_ascii_lowercase()), *name))
        .filter(|(distance, _)| *distance <= limit)
        .min()
        .map(|(_, name)| name)
}

/// Levenshtein's distance in bytes.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.bytes().enumerate() {
            let substituted = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}
