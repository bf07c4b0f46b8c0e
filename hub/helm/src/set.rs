//! The language of `--set` and its kin: `a.b=1,c[0].d={x,y}`. Values go straight into a map, as Helm does it, with Helm's errors.

use hub_gotemplate::{Map, Text, Value};
use serde_json::de::StrRead;

use crate::stored::Stored;

/// The largest index of a list: Helm's limit.
const INDEX_LIMIT: i64 = 65_536;

/// The deepest maps by names with dots: Helm's limit.
const NAMES_LIMIT: usize = 30;

/// The deepest lists in lists. Helm has no limit and needs none on its stack; nobody writes `a[0][0][0]`.
const LISTS_LIMIT: usize = 64;

/// How the text after `=` is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reading<'a> {
    /// Whole numbers, booleans and null are what they look like, all else is text.
    Typed,
    /// All is text.
    Text,
    /// JSON.
    Json,
    /// This, whatever stands there.
    Content(&'a [u8]),
    /// The rest of the line is text; nothing in it or in names is special but `=`, `.` and `[`.
    Literal,
}

/// Lays what `line` says into `values`.
///
/// # Errors
/// What Helm says, without the name of the flag.
pub(crate) fn set(values: &Map, line: &str, reading: Reading<'_>) -> Result<(), String> {
    let mut parser = Parser { letters: line.chars().collect(), at: 0, reading };
    loop {
        match parser.key(values, 0, 0) {
            Ok(()) => {}
            Err(Stop::End) => return Ok(()),
            Err(Stop::Failed(message)) => return Err(message),
        }
    }
}

/// The pairs of name and path of a `--set-file` line.
///
/// # Errors
/// A pair without `=`.
pub fn split_set_file(line: &str) -> Result<Vec<(String, String)>, String> {
    let mut parser = Parser { letters: line.chars().collect(), at: 0, reading: Reading::Text };
    let mut pairs = Vec::new();
    while parser.at < parser.letters.len() {
        let start = parser.at;
        let (name, end) = parser.until(&['=', ',']);
        if end != Some('=') {
            return Err(format!("key {name:?} has no value"));
        }
        let key = parser.letters[start..parser.at - 1].iter().collect();
        let (path, _) = parser.until(&[',']);
        pairs.push((key, path));
    }
    Ok(pairs)
}

/// Why the parser stopped.
enum Stop {
    /// The line is over.
    End,
    Failed(String),
}

fn failed<T>(message: impl Into<String>) -> Result<T, Stop> {
    Err(Stop::Failed(message.into()))
}

struct Parser<'a> {
    letters: Vec<char>,
    at: usize,
    reading: Reading<'a>,
}

/// What stands after `=`.
enum Found {
    Value(Value),
    /// Nothing.
    Missing,
}

impl Parser<'_> {
    fn next(&mut self) -> Option<char> {
        let letter = self.letters.get(self.at).copied();
        self.at += usize::from(letter.is_some());
        letter
    }

    /// What stands before one of `ends`, and which it was; `None` at the end of the line. A backslash makes what follows mean itself.
    fn until(&mut self, ends: &[char]) -> (String, Option<char>) {
        let mut text = String::new();
        while let Some(letter) = self.next() {
            if ends.contains(&letter) {
                return (text, Some(letter));
            }
            if letter == '\\' && self.reading != Reading::Literal {
                let Some(escaped) = self.next() else { break };
                text.push(escaped);
            } else {
                text.push(letter);
            }
        }
        (text, None)
    }

    /// One name with its value, into `data`.
    fn key(&mut self, data: &Map, names: usize, lists: usize) -> Result<(), Stop> {
        let ends: &[char] = if self.reading == Reading::Literal { &['=', '[', '.'] } else { &['=', '[', ',', '.'] };
        let (name, end) = self.until(ends);
        match end {
            None if name.is_empty() => Err(Stop::End),
            None => failed(format!("key {} has no value", quoted(&name))),
            Some('[') => {
                let index = self.index()?;
                let list = match data.get(name.as_bytes()) {
                    None => Vec::new(),
                    Some(Value::List(list)) => list.into_items(),
                    Some(other) => return failed(format!("unable to parse key: {}", mistaken(&other, "[]interface {}"))),
                };
                let (list, outcome) = self.item(list, index, names, lists + 1);
                put(data, &name, Value::list(list));
                outcome
            }
            Some('=') => {
                if self.reading == Reading::Json {
                    let value = self.json()?;
                    put(data, &name, value);
                    return Ok(());
                }
                match self.value()? {
                    Found::Value(value) => {
                        put(data, &name, value);
                        Ok(())
                    }
                    Found::Missing => {
                        put(data, &name, Value::text(""));
                        Err(Stop::End)
                    }
                }
            }
            Some(',') => {
                put(data, &name, Value::text(""));
                failed(format!("key {} has no value (cannot end with ,)", quoted(&name)))
            }
            Some(_) => {
                if names >= NAMES_LIMIT {
                    return failed(format!("value name nested level is greater than maximum supported nested level of {NAMES_LIMIT}"));
                }
                let inner = match data.get(name.as_bytes()) {
                    None => Map::default(),
                    Some(Value::Map(inner)) => inner,
                    Some(other) => return failed(format!("unable to parse key: {}", mistaken(&other, "map[string]interface {}"))),
                };
                let outcome = self.key(&inner, names + 1, lists);
                if outcome.is_ok() && inner.is_empty() {
                    return failed(format!("key map {} has no value", quoted(&name)));
                }
                if !inner.is_empty() {
                    put(data, &name, Value::Map(inner));
                }
                outcome
            }
        }
    }

    /// The number in brackets.
    fn index(&mut self) -> Result<i64, Stop> {
        let (text, end) = self.until(&[']']);
        if end.is_none() {
            return failed("error parsing index: EOF");
        }
        // As Go's `strconv.Atoi`.
        text.parse().or_else(|error: std::num::ParseIntError| {
            use std::num::IntErrorKind::{NegOverflow, PosOverflow};
            let why = if matches!(error.kind(), NegOverflow | PosOverflow) { "value out of range" } else { "invalid syntax" };
            failed(format!("error parsing index: strconv.Atoi: parsing {}: {why}", quoted(&text)))
        })
    }

    /// The value for `list[index]`, after the bracket. The list as it is then, also where something is wrong.
    fn item(&mut self, mut list: Vec<Value>, index: i64, names: usize, lists: usize) -> (Vec<Value>, Result<(), Stop>) {
        let outcome = self.item_in(&mut list, index, names, lists);
        (list, outcome)
    }

    fn item_in(&mut self, list: &mut Vec<Value>, index: i64, names: usize, lists: usize) -> Result<(), Stop> {
        if index < 0 {
            return failed(format!("negative {index} index not allowed"));
        }
        if lists > LISTS_LIMIT {
            return failed(format!("lists nested deeper than {LISTS_LIMIT}"));
        }
        let (text, end) = self.until(&['[', '.', '=']);
        if !text.is_empty() {
            // Go prints the characters one by one.
            let letters: Vec<String> = text.chars().map(hub_gotemplate::fmt::quote_char).collect();
            return failed(format!("unexpected data at end of array index: [{}]", letters.join(" ")));
        }
        let at = usize::try_from(index).unwrap_or(usize::MAX);
        let value = match end {
            None => return Err(Stop::End),
            Some('=') if self.reading == Reading::Json => self.json()?,
            Some('=') => match self.value()? {
                Found::Value(value) => value,
                Found::Missing => Value::text(""),
            },
            Some('[') => {
                let next = self.index()?;
                let below = match list.get(at) {
                    None | Some(Value::Nil) => Vec::new(),
                    Some(Value::List(below)) => below.clone().into_items(),
                    Some(other) => return failed(format!("unable to parse key: {}", mistaken(other, "[]interface {}"))),
                };
                let (below, outcome) = self.item(below, next, names, lists + 1);
                outcome?;
                Value::list(below)
            }
            Some(_) => {
                let inner = match list.get(at) {
                    Some(Value::Map(inner)) => inner.clone(),
                    Some(_) => {
                        let inner = Map::default();
                        list[at] = Value::Map(inner.clone());
                        inner
                    }
                    None => Map::default(),
                };
                self.key(&inner, names, lists)?;
                Value::Map(inner)
            }
        };
        if index > INDEX_LIMIT {
            return failed(format!("index of {index} is greater than maximum supported index of {INDEX_LIMIT}"));
        }
        if list.len() <= at {
            list.resize(at + 1, Value::Nil);
        }
        list[at] = value;
        Ok(())
    }

    /// What stands after `=`: a list in braces or a scalar.
    fn value(&mut self) -> Result<Found, Stop> {
        if self.reading == Reading::Literal {
            let (text, _) = self.until(&[]);
            return Ok(Found::Value(Value::text(text)));
        }
        match self.letters.get(self.at) {
            None => Ok(Found::Missing),
            Some('{') => {
                self.at += 1;
                let mut items = Vec::new();
                loop {
                    let (text, end) = self.until(&[',', '}']);
                    match end {
                        None => return failed("list must terminate with '}'"),
                        Some(end) => {
                            items.push(self.scalar(&text));
                            if end == '}' {
                                break;
                            }
                        }
                    }
                }
                // What follows is another pair, also without a comma.
                if self.letters.get(self.at) == Some(&',') {
                    self.at += 1;
                }
                Ok(Found::Value(Value::list(items)))
            }
            Some(_) => {
                let (text, _) = self.until(&[',']);
                Ok(Found::Value(self.scalar(&text)))
            }
        }
    }

    fn scalar(&self, text: &str) -> Value {
        match self.reading {
            Reading::Typed => typed(text),
            Reading::Content(content) => Value::Text(Text::new(content)),
            Reading::Text | Reading::Json | Reading::Literal => Value::text(text),
        }
    }

    /// A value as JSON, with the blanks and the comma after it; nothing is null.
    fn json(&mut self) -> Result<Value, Stop> {
        if self.blank() {
            return Ok(Value::Nil);
        }
        let rest: String = self.letters[self.at..].iter().collect();
        let mut stream = serde_json::StreamDeserializer::<StrRead<'_>, serde_json::Value>::new(StrRead::new(&rest));
        match stream.next() {
            Some(Ok(value)) => {
                self.at += rest[..stream.byte_offset()].chars().count();
                self.blank();
                Ok(Stored::of_json(&value).to_value())
            }
            Some(Err(error)) => failed(error.to_string()),
            None => Err(Stop::End),
        }
    }

    /// Takes blanks and one comma; whether nothing else stood there.
    fn blank(&mut self) -> bool {
        while let Some(letter) = self.letters.get(self.at) {
            match letter {
                ',' => {
                    self.at += 1;
                    return true;
                }
                letter if letter.is_whitespace() => self.at += 1,
                _ => return false,
            }
        }
        true
    }
}

/// A nameless value goes nowhere.
fn put(data: &Map, name: &str, value: Value) {
    if !name.is_empty() {
        data.set(name.into(), value);
    }
}

fn typed(text: &str) -> Value {
    if text.eq_ignore_ascii_case("true") {
        return Value::Bool(true);
    }
    if text.eq_ignore_ascii_case("false") {
        return Value::Bool(false);
    }
    if text.eq_ignore_ascii_case("null") {
        return Value::Nil;
    }
    if text == "0" {
        return Value::Int64(0);
    }
    // What begins with a zero is an account number or the like.
    match text.parse() {
        Ok(number) if !text.starts_with('0') => Value::Int64(number),
        _ => Value::text(text),
    }
}

/// The message of a panic of Go where a value has another type.
fn mistaken(value: &Value, wanted: &str) -> String {
    let found = match value {
        Value::Nil => "nil",
        Value::Bool(_) => "bool",
        Value::Int(_) => "int",
        Value::Int64(_) => "int64",
        Value::Float(_) => "float64",
        Value::Text(_) => "string",
        Value::List(_) => "[]interface {}",
        Value::Map(_) => "map[string]interface {}",
        Value::Object(object) => object.type_name(),
    };
    format!("interface conversion: interface {{}} is {found}, not {wanted}")
}

fn quoted(text: &str) -> String {
    hub_gotemplate::fmt::quote(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_file_line_is_split_into_names_and_paths() {
        let pairs =
            |line: &str| split_set_file(line).map(|pairs| pairs.into_iter().map(|(key, path)| format!("{key} {path}")).collect::<Vec<_>>());
        assert_eq!(pairs("a=x.txt,b\\.c[0]=d\\,e"), Ok(vec!["a x.txt".to_owned(), "b\\.c[0] d,e".to_owned()]));
        assert_eq!(pairs(""), Ok(Vec::new()));
        assert!(pairs("a,b=c").is_err());
    }

    #[test]
    fn the_content_of_a_file_is_not_read_as_anything_else() {
        let values = Map::default();
        set(&values, "a\\.b[1]=x", Reading::Content(b"{1,2}\xff")).unwrap();
        let Some(Value::List(list)) = values.get(b"a.b") else { panic!("no list") };
        assert!(matches!(list.items(), [Value::Nil, Value::Text(text)] if text.as_bytes() == b"{1,2}\xff"));
    }
}
