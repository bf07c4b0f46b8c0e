//! Reads YAML as goyaml.v2 does on its way to JSON: the first document only, YAML 1.1 words for booleans, the last of two equal keys, merge keys in
//! the order of the text. What a plain scalar means is asked of `shared/manifest`, which also reads all ordinary texts at once.

use std::collections::BTreeMap;
use std::vec::Drain;

use granit_parser::{Event, Parser, ScalarStyle, ScanError, Tag};
use hub_gotemplate::{Map, Text, Value};
use shared_manifest::{FromYaml, YamlBudget, YamlMode, YamlProblem, parse_yaml_as};

use super::json_read::Refused;
use crate::stored::Stored;

/// One text that a template makes or a file of a chart: 5 MiB (Helm's limit for a file), 500,000 values with aliases expanded (10 bytes each),
/// 64 MiB of scalars.
const BUDGET: YamlBudget =
    YamlBudget { bytes: 5 << 20, nodes: 500_000, depth: YamlBudget::DEPTH_CEILING, scalar_bytes: 64 << 20, documents: 1 };

/// The value of the first document of `text`, nil if there is none. All numbers are `float64`.
pub(super) fn read(text: &[u8]) -> Result<Value, Refused> {
    read_as(text, Given, Given(Value::Nil)).map(|Given(value)| value)
}

/// The same to be kept.
pub(super) fn read_stored(text: &[u8]) -> Result<Stored, Refused> {
    read_as(text, |value| Stored::of(&value), Stored::Nil)
}

/// The first document of `text`; `nothing` if there is none. What only a lenient reader takes is a value before it is a `T`.
fn read_as<T: FromYaml>(text: &[u8], of_value: fn(Value) -> T, nothing: T) -> Result<T, Refused> {
    let Ok(text) = std::str::from_utf8(text) else {
        return Err(Refused("yaml: invalid leading UTF-8 octet".to_owned()));
    };
    match parse_yaml_as(text, YamlMode::Kubernetes, BUDGET) {
        Ok(mut documents) => Ok(documents.pop().unwrap_or(nothing)),
        // What is an error to others is none to goyaml.v2, or it stands where it does not look.
        Err(error) => leniently(text).map(of_value).map_err(|refused| match error.problem {
            YamlProblem::NotFinite | YamlProblem::DuplicateKey { .. } | YamlProblem::TooManyDocuments { .. } => refused,
            YamlProblem::Syntax { message } if message.contains("unknown anchor") => {
                let line = text.lines().nth((error.line as usize).saturating_sub(1)).unwrap_or_default();
                let name = line.rsplit_once('*').map_or("", |(_, rest)| rest.split([' ', ',', ']', '}']).next().unwrap_or_default());
                Refused(format!("yaml: unknown anchor '{name}' referenced"))
            }
            YamlProblem::Syntax { message } => Refused(go_message(&message, error.line, text)),
            problem => Refused(format!("yaml: line {}: {problem}", error.line)),
        }),
    }
}

/// What the parser says in the words of goyaml.v2, where it has words for the same. Go tells no line for an error of its scanner in the first.
fn go_message(message: &str, line: u32, text: &str) -> String {
    const SCANNER: [(&str, &str); 5] = [
        ("mapping values are not allowed", "mapping values are not allowed in this context"),
        ("tabs disallowed", "found character that cannot start any token"),
        ("unexpected character", "found character that cannot start any token"),
        ("unclosed quote", "found unexpected end of stream"),
        // What else is not deep enough was mended.
        ("invalid indentation in multiline quoted scalar", "found unexpected document indicator"),
    ];
    if let Some((_, words)) = SCANNER.iter().find(|(ours, _)| message.contains(ours)) {
        return if line > 1 { format!("yaml: line {line}: {words}") } else { format!("yaml: {words}") };
    }
    let words = if let Some(open) = ['{', '['].into_iter().find(|open| message.contains(&format!("unclosed bracket '{open}'"))) {
        let close = if open == '{' { '}' } else { ']' };
        if text.trim_end().ends_with([open, ',', ':']) {
            "did not find expected node content".to_owned()
        } else {
            format!("did not find expected ',' or '{close}'")
        }
    } else if message.contains("did not find expected key") {
        // Go counts the lines before it.
        return format!("yaml: line {}: did not find expected key", line.saturating_sub(1).max(1));
    } else {
        message.to_owned()
    };
    format!("yaml: line {line}: {words}")
}

/// A value for a template.
struct Given(Value);

impl FromYaml for Given {
    type Key = Text;

    fn key(text: &str) -> Text {
        text.into()
    }

    fn null() -> Self {
        Self(Value::Nil)
    }

    fn is_null(&self) -> bool {
        matches!(self.0, Value::Nil)
    }

    fn bool(claim: bool) -> Self {
        Self(Value::Bool(claim))
    }

    fn number(number: f64) -> Self {
        Self(Value::Float(number))
    }

    fn text(text: &str) -> Self {
        Self(Value::text(text))
    }

    fn list(items: Drain<'_, Self>) -> Self {
        Self(Value::list(items.map(|Self(item)| item).collect()))
    }

    fn map(entries: Drain<'_, (Text, Self)>) -> Option<Self> {
        let count = entries.len();
        let map: BTreeMap<Text, Value> = entries.map(|(key, Self(value))| (key, value)).collect();
        (map.len() == count).then(|| Self(Value::Map(Map::new(map))))
    }
}

fn leniently(text: &str) -> Result<Value, Refused> {
    if text.len() > BUDGET.bytes {
        return Err(Refused(format!("yaml: the text has {} bytes, more than {}", text.len(), BUDGET.bytes)));
    }
    let options = granit_parser::options! {
        emit_comments: false,
        flow_nesting_limit: YamlBudget::DEPTH_CEILING + 1,
        block_nesting_limit: YamlBudget::DEPTH_CEILING + 1,
    };
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut builder = Builder::default();
    for event in Parser::new_from_str_with_options(text, options) {
        let (event, span) = event.map_err(|error| syntax(&error))?;
        let line = span.start.line();
        let taken = builder.take(event, span.is_empty());
        let refused = |message| if message == NOT_FINITE { Refused(message) } else { Refused(format!("yaml: line {line}: {message}")) };
        if let Some(document) = taken.map_err(refused)? {
            return Ok(document);
        }
    }
    Ok(Value::Nil)
}

/// What the way through JSON says of the first value that it does not have.
const NOT_FINITE: &str = "json: unsupported value: +Inf";

fn syntax(error: &ScanError) -> Refused {
    Refused(format!("yaml: line {}: {}", error.marker().line(), error.info()))
}

/// A list or map that is still open.
struct Open {
    anchor: usize,
    content: Content,
}

enum Content {
    List(Vec<Value>),
    Map { entries: BTreeMap<Text, Value>, key: Option<Key> },
}

enum Key {
    Named(Text),
    Merge,
}

#[derive(Default)]
struct Builder {
    open: Vec<Open>,
    /// What complete anchors name.
    anchors: BTreeMap<usize, Value>,
    /// Values made, those of aliases counted anew.
    nodes: usize,
    /// Bytes of all texts, those of aliases counted anew.
    bytes: usize,
}

impl Builder {
    /// The document, once it is complete.
    fn take(&mut self, event: Event<'_>, nothing_written: bool) -> Result<Option<Value>, String> {
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let plain = style == ScalarStyle::Plain;
                let text = if plain && nothing_written { "" } else { &text };
                self.count(text.len())?;
                if plain && tag.is_none() && text == "<<" && self.expects_key() {
                    self.set_key(Key::Merge);
                    return Ok(None);
                }
                let value = scalar(text, plain, tag.as_deref())?;
                self.complete(anchor, value)
            }
            Event::SequenceStart(_, anchor, _) => self.begin(anchor, Content::List(Vec::new())),
            Event::MappingStart(_, anchor, _) => self.begin(anchor, Content::Map { entries: BTreeMap::new(), key: None }),
            Event::SequenceEnd | Event::MappingEnd => match self.open.pop() {
                Some(Open { anchor, content: Content::List(items) }) => self.complete(anchor, Value::list(items)),
                Some(Open { anchor, content: Content::Map { entries, .. } }) => self.complete(anchor, Value::Map(Map::new(entries))),
                None => Ok(None),
            },
            Event::Alias(anchor) => {
                let target = self.anchors.get(&anchor).cloned().ok_or("anchor value contains itself")?;
                let copy = self.copy(&target)?;
                self.complete(0, copy)
            }
            _ => Ok(None),
        }
    }

    fn begin(&mut self, anchor: usize, content: Content) -> Result<Option<Value>, String> {
        if self.expects_key() {
            return Err("invalid map key: a list or a map".to_owned());
        }
        if self.open.len() >= BUDGET.depth {
            return Err(format!("nested deeper than {} lists and maps", BUDGET.depth));
        }
        self.open.push(Open { anchor, content });
        Ok(None)
    }

    /// Puts a value where it belongs; the document if it belongs nowhere.
    fn complete(&mut self, anchor: usize, value: Value) -> Result<Option<Value>, String> {
        // The parser counts anchors from 1; 0 is none.
        if anchor != 0 {
            self.anchors.insert(anchor, value.clone());
        }
        match self.open.last_mut().map(|open| &mut open.content) {
            None => return Ok(Some(value)),
            Some(Content::List(items)) => items.push(value),
            Some(Content::Map { entries, key }) => match key.take() {
                None => *key = Some(Key::Named(key_text(&value)?)),
                Some(Key::Named(name)) => {
                    entries.insert(name, value);
                }
                Some(Key::Merge) => merge(entries, &value)?,
            },
        }
        Ok(None)
    }

    fn expects_key(&self) -> bool {
        matches!(self.open.last(), Some(Open { content: Content::Map { key: None, .. }, .. }))
    }

    fn set_key(&mut self, new: Key) {
        if let Some(Open { content: Content::Map { key, .. }, .. }) = self.open.last_mut() {
            *key = Some(new);
        }
    }

    /// A value of its own for an alias: what is set in it later is not seen at the anchor.
    fn copy(&mut self, value: &Value) -> Result<Value, String> {
        match value {
            Value::List(list) => {
                self.count(0)?;
                Ok(Value::list(list.items().iter().map(|item| self.copy(item)).collect::<Result<_, _>>()?))
            }
            Value::Map(map) => {
                self.count(0)?;
                let mut entries = BTreeMap::new();
                for (key, value) in map.entries().iter() {
                    self.count(key.len())?;
                    entries.insert(key.clone(), self.copy(value)?);
                }
                Ok(Value::Map(Map::new(entries)))
            }
            scalar => {
                self.count(if let Value::Text(text) = scalar { text.len() } else { 0 })?;
                Ok(scalar.clone())
            }
        }
    }

    fn count(&mut self, bytes: usize) -> Result<(), String> {
        self.nodes += 1;
        self.bytes += bytes;
        if self.nodes > BUDGET.nodes || self.bytes > BUDGET.scalar_bytes {
            return Err("document contains excessive aliasing".to_owned());
        }
        Ok(())
    }
}

/// What `<<` brings: it overrides what stands before it, and of several maps the first wins.
fn merge(entries: &mut BTreeMap<Text, Value>, value: &Value) -> Result<(), String> {
    const RULE: &str = "map merge requires map or sequence of maps as the value";
    let maps: Vec<&Map> = match value {
        Value::Map(map) => vec![map],
        Value::List(list) => {
            list.items().iter().rev().map(|item| if let Value::Map(map) = item { Ok(map) } else { Err(RULE) }).collect::<Result<_, _>>()?
        }
        _ => return Err(RULE.to_owned()),
    };
    for map in maps {
        entries.extend(map.entries().iter().map(|(key, value)| (key.clone(), value.clone())));
    }
    Ok(())
}

/// A scalar as a key of JSON.
fn key_text(value: &Value) -> Result<Text, String> {
    match value {
        Value::Text(text) => Ok(text.clone()),
        Value::Bool(claim) => Ok(Text::from(claim.to_string())),
        Value::Float(number) => Ok(Text::from(number.to_string())),
        _ => Err("unsupported map key of type: null".to_owned()),
    }
}

/// What a scalar means. `shared/manifest` is asked with the scalar alone, so that there is one place that knows.
fn scalar(text: &str, plain: bool, tag: Option<&Tag>) -> Result<Value, String> {
    let quoted = || serde_json::Value::from(text).to_string();
    let written = match tag {
        None if !plain => return Ok(Value::text(text)),
        None if text.is_empty() => return Ok(Value::Nil),
        None => text.to_owned(),
        Some(tag) => match tag.suffix_in_namespace("tag:yaml.org,2002:") {
            Some(name) if plain => format!("!!{name} {text}"),
            Some(name) => format!("!!{name} {}", quoted()),
            None => return Ok(Value::text(text)),
        },
    };
    match parse_yaml_as(&written, YamlMode::Kubernetes, BUDGET) {
        Ok(mut documents) => Ok(documents.pop().map_or(Value::Nil, |Given(value)| value)),
        Err(error) if error.problem == YamlProblem::NotFinite => Err(NOT_FINITE.to_owned()),
        Err(error) => Err(error.problem.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_read_as_goyaml_reads_it() {
        for (text, value) in [
            ("", "nil"),
            ("# nothing\n", "nil"),
            (
                "a: 1\nb: [x, 0x10, 1e3]\nc: {d: yes, e: ~}\n",
                "{\"a\": 1.0, \"b\": [\"x\", 16.0, 1000.0], \"c\": {\"d\": true, \"e\": nil}}",
            ),
            ("1: a\ntrue: b\n2.50: c\n", "{\"1\": \"a\", \"2.5\": \"c\", \"true\": \"b\"}"),
            ("a: 1\nb: 2\na: 3\n", "{\"a\": 3.0, \"b\": 2.0}"),
            ("a: 1\n---\nb: 2\n", "{\"a\": 1.0}"),
            ("---\na: 1\n...\nb: [\n", "{\"a\": 1.0}"),
            ("---\n---\nb: 2\n", "nil"),
            ("a: &x {b: 1, c: 2}\nd: {b: 0, <<: *x, c: 3}\na: *x\n", "{\"a\": {\"b\": 1.0, \"c\": 2.0}, \"d\": {\"b\": 1.0, \"c\": 3.0}}"),
            (
                "a: &x {b: 1}\nc: &y {b: 2, d: 3}\ne:\n  <<: [*x, *y]\na: !!str 1\n",
                "{\"a\": \"1\", \"c\": {\"b\": 2.0, \"d\": 3.0}, \"e\": {\"b\": 1.0, \"d\": 3.0}}",
            ),
            ("a: 2001-01-01\na: !!int \"7\"\nb: \"yes\"\n", "{\"a\": 7.0, \"b\": \"yes\"}"),
            ("a: |\n  x\n  y\na: >-\n  x\n  y\n", "{\"a\": \"x y\"}"),
            ("text", "\"text\""),
        ] {
            assert_eq!(read(text.as_bytes()).map(|value| format!("{value:?}")), Ok(value.to_owned()), "{text:?}");
        }
    }

    #[test]
    fn what_is_set_in_an_alias_is_not_seen_at_its_anchor() {
        let Ok(Value::Map(map)) = read(b"a: &x {b: 1}\nc: *x\nc: *x\n") else { panic!("a map") };
        let (Some(Value::Map(anchor)), Some(Value::Map(alias))) = (map.get(b"a"), map.get(b"c")) else { panic!("two maps") };
        alias.set(Text::from("b"), Value::Nil);
        assert_eq!(format!("{anchor:?}", anchor = Value::Map(anchor)), "{\"b\": 1.0}");
    }

    #[test]
    fn what_goyaml_refuses_is_refused() {
        for text in [
            &b"a: b: c\n"[..],
            b"a: [1, 2\n",
            b"a:\n\t- b\n",
            b"a: .inf\n",
            b"{[1]: 2}\n",
            b"a: 1\na: 2\n<<: 3\n",
            b"a: 1\na: 2\n? [x]\n: 3\n",
            b"\xff",
            b"a: &x [*x]\n",
            b"a: 1\na: 2\nnull: 1\n",
        ] {
            assert!(read(text).is_err(), "{}", String::from_utf8_lossy(text));
        }
        let laughs = "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\n\
                      d: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: &f [*e,*e,*e,*e,*e,*e,*e,*e,*e]\n\
                      a: 1\ng: [*f,*f,*f]\n";
        assert_eq!(
            read(laughs.as_bytes()).map(|_| ()).map_err(|Refused(message)| message).err().as_deref(),
            Some("yaml: line 6: document contains excessive aliasing")
        );
        assert!(read("[".repeat(1000).as_bytes()).is_err());
    }
}
