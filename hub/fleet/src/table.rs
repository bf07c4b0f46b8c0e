//! Field tables: what a document may hold, said once. The reader below checks YAML against them and `schema` prints them as JSON Schema, so
//! that the two cannot disagree. What the fields of each kind are is in `kinds`; what they mean in `document`.

use std::collections::BTreeMap;
use std::time::Duration;

use shared_manifest::{Content, Node};
use shared_model::Severity;

use crate::amount::{Share, parse_duration};
use crate::helm::Values;
use crate::near::nearest;
use crate::problem::ProblemCode;
use crate::rule::Rule;
use crate::template::Template;

/// The most findings that one document lists; a file of 1 MiB could hold 100,000, and nobody reads more than a screen.
const FINDING_LIMIT: usize = 20;

/// What a field takes.
#[derive(Debug)]
pub(crate) enum Type {
    /// Text under a rule.
    Text(Rule),
    /// `true` or `false`.
    Flag,
    /// A whole number from the first to the second.
    Count(u32, u32),
    /// Any number.
    Number,
    /// A whole number, or a percentage.
    Share,
    /// A Go duration.
    Duration,
    /// One of these words.
    Word(&'static [Word]),
    /// Several fields.
    Record(&'static Record),
    /// Text, or several fields.
    TextOr(Rule, &'static Record),
    /// A list; `true` if it must not be empty.
    List(&'static Type, bool),
    /// Names under the first rule, each with text under the second.
    Map(Rule, Rule),
    /// A mapping of whatever YAML has, whose texts have variables.
    Values,
}

/// One word of an enum.
#[derive(Debug)]
pub(crate) struct Word {
    pub(crate) word: &'static str,
    pub(crate) doc: &'static str,
}

/// Whether this version carries a field out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Support {
    Honoured,
    /// Known and refused; says what is missing.
    NotYet(&'static str),
}

/// One field.
#[derive(Debug)]
pub(crate) struct Field {
    pub(crate) name: &'static str,
    pub(crate) of: Type,
    pub(crate) required: bool,
    pub(crate) doc: &'static str,
    pub(crate) support: Support,
}

/// Several fields.
#[derive(Debug)]
pub(crate) struct Record {
    /// As messages call it: `App.spec.source`.
    pub(crate) name: &'static str,
    pub(crate) doc: &'static str,
    pub(crate) fields: &'static [Field],
    pub(crate) rule: Choose,
}

/// A rule over the fields of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Choose {
    Any,
    /// At least one of these is there.
    AtLeastOne(&'static [&'static str]),
    /// Exactly one of these is there.
    ExactlyOne(&'static [&'static str]),
}

/// A value and where it stands in its file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct At<T> {
    pub(crate) value: T,
    pub(crate) line: u32,
    pub(crate) column: u32,
}

impl<T> At<T> {
    pub(crate) fn map<U>(self, to: impl FnOnce(T) -> U) -> At<U> {
        At { value: to(self.value), line: self.line, column: self.column }
    }

    pub(crate) fn mark(&self) -> Mark {
        Mark { line: self.line, column: self.column }
    }
}

/// A place in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Mark {
    pub(crate) line: u32,
    pub(crate) column: u32,
}

impl Mark {
    pub(crate) fn of(node: &Node) -> Self {
        Self { line: node.line, column: node.column }
    }

    pub(crate) fn at<T>(self, value: T) -> At<T> {
        At { value, line: self.line, column: self.column }
    }
}

/// A checked value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Item {
    Text(String),
    Flag(bool),
    Count(u32),
    Number(f64),
    Share(Share),
    Duration(Duration),
    Word(&'static str),
    Record(Fields),
    List(Vec<At<Item>>),
    Map(BTreeMap<String, At<String>>),
    Values(Values<At<Template>>),
}

/// The checked fields of a record, to be taken one by one.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Fields(BTreeMap<&'static str, At<Item>>);

macro_rules! take {
    ($name:ident, $variant:ident, $type:ty) => {
        pub(crate) fn $name(&mut self, name: &str) -> Option<At<$type>> {
            let mark = self.0.get(name)?.mark();
            match self.0.remove(name)?.value {
                Item::$variant(value) => Some(mark.at(value)),
                _ => None,
            }
        }
    };
}

impl Fields {
    take!(text, Text, String);
    take!(flag, Flag, bool);
    take!(count, Count, u32);
    take!(number, Number, f64);
    take!(share, Share, Share);
    take!(duration, Duration, Duration);
    take!(word, Word, &'static str);
    take!(record, Record, Self);
    take!(list, List, Vec<At<Item>>);
    take!(map, Map, BTreeMap<String, At<String>>);
    take!(values, Values, Values<At<Template>>);

    pub(crate) fn texts(&mut self, name: &str) -> Option<At<Vec<At<String>>>> {
        let list = self.list(name)?;
        let texts = |items: Vec<At<Item>>| items.into_iter().filter_map(At::into_text).collect();
        Some(list.map(texts))
    }

    pub(crate) fn records(&mut self, name: &str) -> Vec<At<Self>> {
        let items = self.list(name).map(|list| list.value).unwrap_or_default();
        items.into_iter().filter_map(At::into_record).collect()
    }

    pub(crate) fn holds_text(&self, name: &str) -> bool {
        matches!(self.0.get(name), Some(At { value: Item::Text(_), .. }))
    }
}

impl At<Item> {
    fn into_text(self) -> Option<At<String>> {
        let mark = self.mark();
        if let Item::Text(text) = self.value { Some(mark.at(text)) } else { None }
    }

    fn into_record(self) -> Option<At<Fields>> {
        let mark = self.mark();
        if let Item::Record(fields) = self.value { Some(mark.at(fields)) } else { None }
    }
}

/// Something wrong in a text whose file is not known here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Finding {
    pub(crate) mark: Mark,
    pub(crate) severity: Severity,
    pub(crate) code: ProblemCode,
    pub(crate) message: String,
    pub(crate) hint: Option<String>,
}

/// The findings of one document, bounded.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    list: Vec<Finding>,
    more: usize,
}

impl Findings {
    pub(crate) fn error(&mut self, mark: Mark, code: ProblemCode, message: String, hint: Option<String>) {
        if self.list.len() < FINDING_LIMIT {
            self.list.push(Finding { mark, severity: Severity::Error, code, message, hint });
        } else {
            self.more += 1;
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    pub(crate) fn into_list(mut self) -> Vec<Finding> {
        if let Some(last) = self.list.last()
            && self.more > 0
        {
            let message = format!("{} more problems in this document are not listed", self.more);
            self.list.push(Finding { code: ProblemCode::TooManyProblems, message, hint: None, ..last.clone() });
        }
        self.list
    }
}

/// Checks `node` against `record`. Fields that are wrong are left out and found; all others are checked all the same.
pub(crate) fn read_record(node: &Node, record: &'static Record, findings: &mut Findings) -> Option<Fields> {
    let Content::Map(entries) = &node.content else {
        wrong_type(node, record.name, "a mapping of fields", findings);
        return None;
    };
    let mut fields = BTreeMap::new();
    let mut present = Vec::new();
    for (key, value) in entries {
        let mark = Mark { line: key.line, column: key.column };
        let Some(field) = record.fields.iter().find(|field| field.name == key.text) else {
            unknown_field(mark, &key.text, record, findings);
            continue;
        };
        present.push(field.name);
        if let Support::NotYet(missing) = field.support {
            findings.error(
                mark,
                ProblemCode::NotHonoured,
                format!("\"{}\" of {} is not honoured yet: {missing}", field.name, record.name),
                None,
            );
        }
        let place = format!("\"{}\" of {}", field.name, record.name);
        if let Some(item) = read(value, &field.of, &place, findings) {
            fields.insert(field.name, mark.at(item));
        }
    }
    for field in record.fields.iter().filter(|field| field.required && !present.contains(&field.name)) {
        findings.error(
            Mark::of(node),
            ProblemCode::MissingField,
            format!("{} has no \"{}\": {}", record.name, field.name, field.doc),
            None,
        );
    }
    choose(node, record, &present, findings);
    Some(Fields(fields))
}

fn choose(node: &Node, record: &Record, present: &[&str], findings: &mut Findings) {
    let (names, exactly) = match record.rule {
        Choose::Any => return,
        Choose::AtLeastOne(names) => (names, false),
        Choose::ExactlyOne(names) => (names, true),
    };
    let there: Vec<&str> = names.iter().copied().filter(|name| present.contains(name)).collect();
    let all = names.iter().map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(", ");
    if there.is_empty() {
        findings.error(Mark::of(node), ProblemCode::MissingField, format!("{} needs one of {all}", record.name), None);
    } else if exactly && there.len() > 1 {
        let message = format!("{} takes one of {all}, and {} are given", record.name, there.len());
        findings.error(Mark::of(node), ProblemCode::FieldConflict, message, None);
    }
}

fn unknown_field(mark: Mark, name: &str, record: &Record, findings: &mut Findings) {
    let names = || record.fields.iter().map(|field| field.name);
    let hint = match nearest(name, names()) {
        Some(near) => format!("did you mean \"{near}\"?"),
        None => format!("its fields are {}", names().collect::<Vec<_>>().join(", ")),
    };
    findings.error(mark, ProblemCode::UnknownField, format!("\"{name}\" is no field of {}", record.name), Some(hint));
}

fn read(node: &Node, of: &'static Type, place: &str, findings: &mut Findings) -> Option<Item> {
    match (of, &node.content) {
        (Type::Text(rule) | Type::TextOr(rule, _), Content::String(text)) => read_text(node, text, *rule, place, findings).map(Item::Text),
        (Type::TextOr(_, record) | Type::Record(record), Content::Map(_)) => read_record(node, record, findings).map(Item::Record),
        (Type::Flag, Content::Bool(flag)) => Some(Item::Flag(*flag)),
        (Type::Count(from, to), Content::Number(_)) => read_count(node, *from, *to, place, findings).map(Item::Count),
        (Type::Share, Content::Number(_)) => read_count(node, 0, u32::MAX, place, findings).map(|count| Item::Share(Share::Count(count))),
        (Type::Number, Content::Number(_)) => node.to_value().as_f64().map(Item::Number),
        (Type::Share, Content::String(text)) => {
            let share = Share::parse_percent(text).ok_or_else(|| format!("{place} takes a whole number, or 0% to 100%, and is \"{text}\""));
            ruled(node, share, findings).map(Item::Share)
        }
        (Type::Duration, Content::String(text)) => {
            ruled(node, parse_duration(text).map_err(|error| format!("{place}: {error}")), findings).map(Item::Duration)
        }
        (Type::Word(words), Content::String(text)) => read_word(node, text, words, place, findings).map(Item::Word),
        (Type::List(item, filled), Content::List(nodes)) => {
            if *filled && nodes.is_empty() {
                let message = format!("{place} is an empty list; give at least one");
                findings.error(Mark::of(node), ProblemCode::InvalidValue, message, None);
            }
            let place = format!("an item of {place}");
            let items = nodes.iter().filter_map(|node| Some(Mark::of(node).at(read(node, item, &place, findings)?)));
            Some(Item::List(items.collect()))
        }
        (Type::Map(keys, values), Content::Map(entries)) => {
            let mut map = BTreeMap::new();
            for (key, value) in entries {
                let mark = Mark { line: key.line, column: key.column };
                if let Err(message) = keys.check(&key.text) {
                    findings.error(mark, ProblemCode::InvalidValue, format!("{place}: {message}"), None);
                    continue;
                }
                let place = format!("\"{}\" in {place}", key.text);
                let Content::String(text) = &value.content else {
                    wrong_type(value, &place, "text", findings);
                    continue;
                };
                if let Some(text) = read_text(value, text, *values, &place, findings) {
                    map.insert(key.text.clone(), Mark::of(value).at(text));
                }
            }
            Some(Item::Map(map))
        }
        (Type::Values, Content::Map(_)) => Some(Item::Values(read_values(node, place, findings))),
        _ => {
            wrong_type(node, place, of.in_words(), findings);
            None
        }
    }
}

/// Values of any shape. A text that is no template is found and left out.
fn read_values(node: &Node, place: &str, findings: &mut Findings) -> Values<At<Template>> {
    match &node.content {
        Content::String(text) => match Template::parse(text) {
            Ok(template) => Values::Text(Mark::of(node).at(template)),
            Err(message) => {
                findings.error(Mark::of(node), ProblemCode::InvalidValue, format!("{place}: {message}"), None);
                Values::Plain(serde_json::Value::Null)
            }
        },
        Content::List(items) => Values::List(items.iter().map(|item| read_values(item, place, findings)).collect()),
        Content::Map(entries) => {
            let entries = entries.iter().map(|(key, value)| {
                let place = format!("\"{}\" in {place}", key.text);
                (key.text.clone(), read_values(value, &place, findings))
            });
            Values::Map(entries.collect())
        }
        Content::Null | Content::Bool(_) | Content::Number(_) => Values::Plain(node.to_value()),
    }
}

fn read_text(node: &Node, text: &str, rule: Rule, place: &str, findings: &mut Findings) -> Option<String> {
    let checked = rule.check(text).map(|()| text.to_owned()).map_err(|message| format!("{place}: {message}"));
    ruled(node, checked, findings)
}

fn ruled<T>(node: &Node, checked: Result<T, String>, findings: &mut Findings) -> Option<T> {
    match checked {
        Ok(value) => Some(value),
        Err(message) => {
            findings.error(Mark::of(node), ProblemCode::InvalidValue, message, None);
            None
        }
    }
}

fn read_count(node: &Node, from: u32, to: u32, place: &str, findings: &mut Findings) -> Option<u32> {
    let value = node.to_value();
    let count = value.as_u64().and_then(|count| u32::try_from(count).ok()).filter(|count| (from..=to).contains(count));
    let range = if to == u32::MAX { format!("from {from}") } else { format!("from {from} to {to}") };
    ruled(node, count.ok_or_else(|| format!("{place} takes a whole number {range}, and is {value}")), findings)
}

fn read_word(node: &Node, text: &str, words: &'static [Word], place: &str, findings: &mut Findings) -> Option<&'static str> {
    let Some(word) = words.iter().find(|word| word.word == text) else {
        let hint = nearest(text, words.iter().map(|word| word.word)).map(|near| format!("did you mean \"{near}\"?"));
        let known = words.iter().map(|word| word.word).collect::<Vec<_>>().join(", ");
        findings.error(Mark::of(node), ProblemCode::UnknownValue, format!("{place} is one of {known}, and not \"{text}\""), hint);
        return None;
    };
    Some(word.word)
}

fn wrong_type(node: &Node, place: &str, wanted: &str, findings: &mut Findings) {
    let (found, hint) = match &node.content {
        Content::Null => ("empty", Some("give a value, or leave the field out".to_owned())),
        // The value is not repeated: how it was spelt is not known here (1.10 is 1.1).
        Content::Bool(_) if wanted == "text" => ("true or false", Some("write it in quotes".to_owned())),
        Content::Number(_) if wanted == "text" => ("a number", Some("write it in quotes".to_owned())),
        Content::Bool(_) => ("true or false", None),
        Content::Number(_) => ("a number", None),
        Content::String(_) => ("text", None),
        Content::List(_) => ("a list", None),
        Content::Map(_) => ("a mapping", None),
    };
    findings.error(Mark::of(node), ProblemCode::WrongType, format!("{place} takes {wanted}, and is {found}"), hint);
}

impl Type {
    fn in_words(&self) -> &'static str {
        match self {
            Self::Text(_) => "text",
            Self::Flag => "true or false",
            Self::Count(..) => "a whole number",
            Self::Number => "a number",
            Self::Share => "a whole number or a percentage",
            Self::Duration => "text that is a duration, such as 15m",
            Self::Word(_) => "text that is one of its words",
            Self::Record(_) => "a mapping of fields",
            Self::TextOr(..) => "text or a mapping of fields",
            Self::List(..) => "a list",
            Self::Map(..) => "a mapping of names to text",
            Self::Values => "a mapping of values",
        }
    }
}
