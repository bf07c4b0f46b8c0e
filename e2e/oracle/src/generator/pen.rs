//! Writes values as YAML in the many ways that people and tools do: block and flow, quotes of all kinds, comments, anchors, merge keys, odd
//! indentation, CRLF. What the values are is left to others. A string that begins with [`RAW`] is written as it stands after that.

use serde_json::{Map, Value};

use crate::Chance;

/// Marks a string that is YAML already, on one line.
pub(super) const RAW: char = '\u{1}';

/// How odd a file is written.
#[derive(Debug, Clone, Copy)]
pub(super) struct Style {
    /// Spaces by which a mapping is indented.
    indent: usize,
    /// Whether lists are indented below their key.
    indented_lists: bool,
    /// Percent of values that are written in an unusual way.
    oddness: usize,
    /// Percent of repeated values that become aliases.
    aliases: usize,
    carriage_returns: bool,
    comments: usize,
    /// Percent of strings that some readers take for another type and that are quoted for it.
    quoted_doubts: usize,
}

impl Style {
    /// A style for a file.
    pub(super) fn of(chance: &mut Chance) -> Self {
        Self {
            indent: *chance.pick(&[2, 2, 2, 2, 4, 3, 1]),
            indented_lists: chance.percent(50),
            oddness: *chance.pick(&[0, 0, 2, 5, 15]),
            aliases: *chance.pick(&[0, 0, 0, 0, 30]),
            carriage_returns: chance.permille(15),
            comments: *chance.pick(&[0, 0, 0, 5, 20]),
            quoted_doubts: 50,
        }
    }

    /// The same, for a reader that takes nothing but a string for a string.
    pub(super) fn strict(self) -> Self {
        Self { quoted_doubts: 100, ..self }
    }

    /// What is sure to be read everywhere.
    pub(super) fn plain() -> Self {
        Self { indent: 2, indented_lists: false, oddness: 0, aliases: 0, carriage_returns: false, comments: 0, quoted_doubts: 99 }
    }
}

/// Writes `documents` as one file.
pub(super) fn file(chance: &mut Chance, style: Style, documents: &[Value]) -> String {
    let mut text = String::new();
    if chance.permille(4) {
        text.push('\u{feff}');
    }
    if style.comments > 0 && chance.percent(style.comments) {
        text.push_str("# a file\n\n");
    }
    for (index, value) in documents.iter().enumerate() {
        if index > 0 || chance.percent(15) {
            text.push_str(if style.oddness > 0 && chance.percent(10) { "--- # next\n" } else { "---\n" });
        }
        if style.oddness > 0 && chance.percent(5) {
            let nothing = *chance.pick(&["---\n", "# nothing\n---\n", "\n---\n"]);
            text.push_str(nothing);
        }
        let mut pen = Pen { chance, style, text: String::new(), anchors: Vec::new() };
        pen.top(value);
        text.push_str(&pen.text);
        if style.oddness > 0 && chance.percent(3) {
            text.push_str("...\n");
        }
    }
    if style.oddness > 0 && chance.percent(4) {
        text.push_str("---\n");
    }
    if style.oddness > 0 && chance.percent(8) && text.ends_with('\n') {
        text.pop();
    }
    if style.carriage_returns { text.replace('\n', "\r\n") } else { text }
}

/// Writes one value in the usual way.
pub(super) fn plainly(chance: &mut Chance, value: &Value) -> String {
    let mut pen = Pen { chance, style: Style::plain(), text: String::new(), anchors: Vec::new() };
    pen.top(value);
    pen.text
}

struct Pen<'a> {
    chance: &'a mut Chance,
    style: Style,
    text: String,
    /// What has been given a name in this document.
    anchors: Vec<(String, Value)>,
}

impl Pen<'_> {
    fn odd(&mut self) -> bool {
        self.style.oddness > 0 && self.chance.percent(self.style.oddness)
    }

    fn top(&mut self, value: &Value) {
        match value {
            Value::Object(map) if !map.is_empty() => self.map(map, 0, false),
            Value::Array(list) if !list.is_empty() => self.list(list, 0),
            other => {
                let text = self.inline(other, 0, false);
                self.text.push_str(&text);
                self.text.push('\n');
            }
        }
    }

    fn pad(&mut self, depth: usize) {
        self.text.extend(std::iter::repeat_n(' ', depth));
    }

    fn comment_before(&mut self, depth: usize) {
        if self.style.comments > 0 && self.chance.percent(self.style.comments / 2) {
            let depth = if self.chance.percent(80) { depth } else { 0 };
            self.pad(depth);
            let line = *self.chance.pick(&["# a word\n", "#\n", "# key: value\n", "# - item\n"]);
            self.text.push_str(line);
        } else if self.style.comments > 0 && self.chance.percent(3) {
            self.text.push('\n');
        }
    }

    fn end_line(&mut self) {
        if self.style.comments > 0 && self.chance.percent(self.style.comments) {
            let comment = *self.chance.pick(&[" # why", "  # it's so", " # \"x\""]);
            self.text.push_str(comment);
        } else if self.style.oddness > 0 && self.chance.percent(2) {
            self.text.push(' ');
        }
        self.text.push('\n');
    }

    /// The map's fields at `depth`; `started` says that the first one stands behind a dash.
    fn map(&mut self, map: &Map<String, Value>, depth: usize, started: bool) {
        let mut fields: Vec<(&String, &Value)> = map.iter().collect();
        if self.odd() {
            self.chance.shuffle(&mut fields);
        }
        let mut first = started;
        if let Some(name) = self.merged(map) {
            if !first {
                self.pad(depth);
            }
            first = false;
            self.text.push_str("<<: *");
            self.text.push_str(&name);
            self.text.push('\n');
            let known = self.anchors.iter().find(|(anchor, _)| *anchor == name).map(|(_, value)| value.clone());
            if let Some(Value::Object(known)) = known {
                fields.retain(|(key, value)| known.get(*key) != Some(value));
            }
        }
        let twice = (fields.len() > 1 && self.style.oddness > 0 && self.chance.permille(1) && self.chance.percent(20)).then(|| fields[0]);
        fields.extend(twice);
        for (key, value) in fields {
            if !first {
                self.comment_before(depth);
                self.pad(depth);
            }
            first = false;
            let key = self.key(key);
            self.text.push_str(&key);
            self.text.push(':');
            self.value(value, depth);
        }
    }

    /// The anchor of a smaller map that this one contains.
    fn merged(&mut self, map: &Map<String, Value>) -> Option<String> {
        if self.style.aliases == 0 || !self.chance.percent(self.style.aliases) {
            return None;
        }
        let contained = |value: &Value| {
            value.as_object().is_some_and(|known| known.len() < map.len() && known.iter().all(|(key, value)| map.get(key) == Some(value)))
        };
        self.anchors.iter().find(|(_, value)| contained(value)).map(|(name, _)| name.clone())
    }

    fn key(&mut self, key: &str) -> String {
        if let Some(raw) = key.strip_prefix(RAW) {
            return raw.to_owned();
        }
        let style = if self.odd() { self.chance.below(3) } else { 0 };
        match style {
            1 => double(key),
            2 => single(key),
            _ if plain_is_safe(key, true) => key.to_owned(),
            _ => double(key),
        }
    }

    /// What stands behind a key's colon, up to the end of its lines.
    fn value(&mut self, value: &Value, depth: usize) {
        if let Some(name) = self.alias_of(value) {
            self.text.push_str(" *");
            self.text.push_str(&name);
            self.end_line();
            return;
        }
        if let Some(name) = self.anchor_for(value) {
            self.text.push_str(" &");
            self.text.push_str(&name);
        }
        match value {
            Value::Object(map) if !map.is_empty() && !self.odd() => {
                self.end_line();
                self.map(map, depth + self.style.indent, false);
            }
            Value::Array(list) if !list.is_empty() && !self.odd() => {
                self.end_line();
                self.list(list, if self.style.indented_lists { depth + self.style.indent } else { depth });
            }
            Value::String(text) if text.contains('\n') && !text.starts_with(RAW) && self.chance.percent(85) => {
                self.text.push(' ');
                self.block(text, depth + self.style.indent);
            }
            other => {
                let text = self.inline(other, depth + self.style.indent, false);
                if !text.is_empty() {
                    self.text.push(' ');
                    self.text.push_str(&text);
                }
                self.end_line();
            }
        }
    }

    fn alias_of(&mut self, value: &Value) -> Option<String> {
        let known = self.anchors.iter().find(|(_, known)| known == value).map(|(name, _)| name.clone());
        known.filter(|_| self.chance.percent(self.style.aliases))
    }

    fn anchor_for(&mut self, value: &Value) -> Option<String> {
        let worthy = match value {
            Value::Object(map) => !map.is_empty() && map.len() < 4,
            Value::String(text) => !text.is_empty() && !text.starts_with(RAW) && !text.contains('\n'),
            Value::Array(list) => !list.is_empty(),
            Value::Number(_) => true,
            Value::Null | Value::Bool(_) => false,
        };
        if self.style.aliases == 0 || !worthy || !self.chance.percent(self.style.aliases / 2) {
            return None;
        }
        let name = format!("a{}", self.anchors.len());
        self.anchors.push((name.clone(), value.clone()));
        Some(name)
    }

    fn list(&mut self, list: &[Value], depth: usize) {
        for item in list {
            self.comment_before(depth);
            self.pad(depth);
            self.text.push('-');
            match item {
                Value::Object(map) if !map.is_empty() && !self.odd() => {
                    self.text.push(' ');
                    self.map(map, depth + 2, true);
                }
                Value::Array(inner) if !inner.is_empty() && !self.odd() => {
                    self.end_line();
                    self.list(inner, depth + 2);
                }
                Value::String(text) if text.contains('\n') && !text.starts_with(RAW) => {
                    self.text.push(' ');
                    self.block(text, depth + 2);
                }
                other => {
                    let text = self.inline(other, depth + 2, false);
                    if !text.is_empty() {
                        self.text.push(' ');
                        self.text.push_str(&text);
                    }
                    self.end_line();
                }
            }
        }
    }

    /// A text of several lines as a block scalar.
    fn block(&mut self, text: &str, depth: usize) {
        let depth = depth.max(1);
        if text.contains(['\t', '\r', '\u{85}']) || text.lines().any(|line| line.ends_with(' ')) || text.trim().is_empty() {
            let quoted = double(text);
            self.text.push_str(&quoted);
            self.text.push('\n');
            return;
        }
        let trailing = text.len() - text.trim_end_matches('\n').len();
        let folded = self.odd() && !text.contains("\n\n") && !text.contains("\n ") && !text.starts_with(' ');
        self.text.push(if folded { '>' } else { '|' });
        if text.starts_with([' ', '\n']) {
            self.text.push_str(&depth_mark(depth, self.style.indent));
        }
        self.text.push_str(match trailing {
            0 => "-",
            1 => "",
            _ => "+",
        });
        self.text.push('\n');
        let body = text.trim_end_matches('\n');
        let separator = if folded { "\n\n" } else { "\n" };
        let lines: Vec<&str> = body.split('\n').collect();
        for (index, line) in lines.iter().enumerate() {
            if !line.is_empty() {
                self.pad(if text.starts_with([' ', '\n']) { depth.max(self.style.indent) } else { depth });
                self.text.push_str(line);
            }
            self.text.push_str(if index + 1 < lines.len() { separator } else { "\n" });
        }
        for _ in 1..trailing {
            self.text.push('\n');
        }
    }

    /// A value on one line (a quoted string may take several).
    fn inline(&mut self, value: &Value, depth: usize, in_flow: bool) -> String {
        match value {
            Value::Null => (*self.chance.pick(if in_flow { &["null"][..] } else { &["null", "null", "~", ""] })).to_owned(),
            Value::Bool(flag) => flag.to_string(),
            Value::Number(number) => number.to_string(),
            Value::String(text) => self.string(text, depth, in_flow),
            Value::Array(list) => {
                let items: Vec<String> = list.iter().map(|item| self.inline(item, depth, true)).collect();
                let comma = if self.odd() && !items.is_empty() { "," } else { "" };
                format!("[{}{comma}]", items.join(", "))
            }
            Value::Object(map) => {
                let fields: Vec<String> = map
                    .iter()
                    .map(|(key, value)| {
                        let key = self.key(key);
                        format!("{key}: {}", self.inline(value, depth, true))
                    })
                    .collect();
                if self.chance.percent(50) { format!("{{{}}}", fields.join(", ")) } else { format!("{{ {} }}", fields.join(", ")) }
            }
        }
    }

    fn string(&mut self, text: &str, depth: usize, in_flow: bool) -> String {
        if let Some(raw) = text.strip_prefix(RAW) {
            let unfit = in_flow && (raw.is_empty() || raw.contains([',', '[', ']', '{', '}']) && !raw.starts_with(['"', '\'']));
            return if unfit { double(raw) } else { raw.to_owned() };
        }
        let plain = plain_is_safe(text, in_flow) && !(is_doubtful(text) && self.chance.percent(self.style.quoted_doubts));
        let style = if self.odd() { self.chance.below(5) } else { 0 };
        match style {
            1 => double(text),
            2 if !text.contains(['\n', '\r', '\t', '\u{85}', '\u{feff}']) => single(text),
            // Over several lines: the break reads as a blank.
            3 if plain && !in_flow => text.replacen(' ', &format!("\n{}", " ".repeat(depth.max(1))), 1),
            4 if text.contains(' ') && !in_flow => double(text).replacen(' ', &format!("\n{}", " ".repeat(depth.max(1))), 1),
            _ if plain => text.to_owned(),
            _ => double(text),
        }
    }
}

fn depth_mark(depth: usize, indent: usize) -> String {
    // The mark counts from the parent's indentation: at the top that is 0.
    if depth <= indent { depth.max(indent).to_string() } else { indent.to_string() }
}

/// Whether some reader takes `text` for something else than a string when it is not quoted.
pub(super) fn is_doubtful(text: &str) -> bool {
    let words = ["y", "n", "yes", "no", "on", "off", "true", "false", "null", "=", "<<"];
    text.starts_with(|letter: char| letter.is_ascii_digit() || matches!(letter, '.' | '+')) || words.contains(&text.to_lowercase().as_str())
}

/// Whether `text` may stand without quotes as far as syntax goes; it may still be read as something else than a string.
fn plain_is_safe(text: &str, in_flow: bool) -> bool {
    let mut letters = text.chars();
    let Some(first) = letters.next() else { return false };
    let starts = first.is_alphanumeric() || matches!(first, '/' | '.' | '$' | '(' | '_' | '^' | '<' | ';' | '+' | '=');
    let inner = |letter: char| letter.is_alphanumeric() || "/.$()_-+=;^<>@~!?*&|%'\" :,[]{}#".contains(letter);
    starts
        && text.chars().all(inner)
        && !text.ends_with([' ', ':'])
        && !text.contains(": ")
        && !text.contains(" #")
        && !text.contains("  ")
        && !(in_flow && text.contains([',', '[', ']', '{', '}', ':']))
}

fn single(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

fn double(text: &str) -> String {
    let mut quoted = String::from("\"");
    for letter in text.chars() {
        match letter {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            '\u{85}' => quoted.push_str("\\N"),
            '\u{feff}' => quoted.push_str("\\uFEFF"),
            control if control.is_control() => quoted.push_str(&format!("\\x{:02x}", u32::from(control))),
            other => quoted.push(other),
        }
    }
    quoted.push('"');
    quoted
}
