//! TOML in and out: written as BurntSushi/toml 1.6.0 writes it, with tables indented under their parents; read by the `toml` crate.

use std::collections::BTreeMap;

use hub_gotemplate::{Args, Call, CallError, Function, List, ListType, Map, Text, Type, Value};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::json::Unwritable;
use super::json_read::replaced;
use super::time::Time;
use super::yaml_pretty;
use super::{DEEPEST, function, panics, time_layout};
use crate::objects;

/// Writing and reading of TOML.
pub(super) const FUNCTIONS: &[Function] = &[
    function("toToml", &[Type::Any], |call, args| to_toml(call, args, false)),
    function("mustToToml", &[Type::Any], |call, args| to_toml(call, args, true)),
    function("fromToml", &[Type::Text], from_toml),
];

/// What cannot be written becomes its message, or fails the call.
fn to_toml(call: &mut Call<'_>, args: Args<'_>, must: bool) -> Result<Value, CallError> {
    let value = args.any(0);
    if matches!(value, Value::Nil) {
        return Err(CallError::failed("reflect: call of reflect.Value.Type on zero Value"));
    }
    let mut writer = Writer { call, out: String::new(), spent: 0 };
    match writer.entry(&mut Vec::new(), value) {
        Ok(()) => {
            let written = writer.out.len() - writer.spent;
            writer.call.spend(written)?;
            Ok(Value::text(writer.out))
        }
        Err(Unwritable::Exceeded(error)) => Err(error),
        Err(Unwritable::Unsupported(message)) if must => Err(CallError::failed(message)),
        Err(Unwritable::Unsupported(message)) => Ok(Value::text(message)),
    }
}

struct Writer<'c, 'h> {
    call: &'c mut Call<'h>,
    out: String,
    /// Bytes of `out` that are taken from the budget already.
    spent: usize,
}

/// What TOML takes a value for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Nothing,
    Scalar,
    List,
    Table,
    Tables,
}

/// A value that is an object, as what it is to encoders. Times and versions are texts of their own, a `[]byte` is a list of numbers.
fn plain(value: &Value) -> Value {
    match value {
        Value::Object(object) => yaml_pretty::plain(&**object),
        other => other.clone(),
    }
}

/// The entries of a table in the order in which they are written.
fn entries_of(table: &Value) -> Vec<(Text, Value)> {
    if let Value::Object(object) = table
        && let Some(fields) = objects::fields(&**object)
    {
        return fields.into_iter().map(|field| (field.name.into(), field.value)).collect();
    }
    match plain(table) {
        Value::Map(map) => map.entries().iter().map(|(name, value)| (name.clone(), value.clone())).collect(),
        _ => Vec::new(),
    }
}

fn kind(value: &Value, depth: u32) -> Result<Kind, Unwritable> {
    if depth >= DEEPEST {
        return Err(panics::too_deep().into());
    }
    Ok(match value {
        Value::Nil => Kind::Nothing,
        Value::Map(_) => Kind::Table,
        Value::Object(_) => match plain(value) {
            Value::Map(_) => Kind::Table,
            Value::List(_) => Kind::List,
            _ => Kind::Scalar,
        },
        Value::List(list) => {
            let mut all_tables = !list.items().is_empty();
            for item in list.items() {
                match kind(item, depth + 1)? {
                    Kind::Nothing => return Err(Unwritable::Unsupported("toml: cannot encode array with nil element".to_owned())),
                    Kind::Table => {}
                    _ => all_tables = false,
                }
            }
            if all_tables { Kind::Tables } else { Kind::List }
        }
        _ => Kind::Scalar,
    })
}

impl Writer<'_, '_> {
    /// The value of `key`, in lines of its own.
    fn entry(&mut self, key: &mut Vec<Text>, value: &Value) -> Result<(), Unwritable> {
        self.spend()?;
        let depth = u32::try_from(key.len()).unwrap_or(DEEPEST);
        match (kind(value, depth)?, plain(value)) {
            (Kind::Nothing, _) => Ok(()),
            (Kind::Table, _) => {
                if key.len() == 1 {
                    self.line_break();
                }
                if !key.is_empty() {
                    self.heading(key, "[", "]");
                }
                self.entries(key, value)
            }
            (Kind::Tables, Value::List(list)) => {
                if key.is_empty() {
                    return Err(Unwritable::Unsupported("toml: top-level values must be Go maps or structs".to_owned()));
                }
                for item in list.items() {
                    self.line_break();
                    self.heading(key, "[[", "]]");
                    self.entries(key, item)?;
                }
                Ok(())
            }
            _ => {
                let Some(name) = key.last() else { return self.element(value, depth) };
                let name = bare_or_quoted(name);
                self.indent(key);
                self.out.push_str(&name);
                self.out.push_str(" = ");
                self.element(value, depth)?;
                self.line_break();
                Ok(())
            }
        }
    }

    /// The entries of a table: scalars and lists, then tables.
    fn entries(&mut self, key: &mut Vec<Text>, table: &Value) -> Result<(), Unwritable> {
        for (name, value) in split(table, u32::try_from(key.len()).unwrap_or(DEEPEST))?.concat() {
            key.push(name);
            self.entry(key, &value)?;
            key.pop();
        }
        Ok(())
    }

    /// A value within a line.
    fn element(&mut self, value: &Value, depth: u32) -> Result<(), Unwritable> {
        self.spend()?;
        if depth >= DEEPEST {
            return Err(panics::too_deep().into());
        }
        match value {
            Value::Nil => return Err(Unwritable::Exceeded(CallError::failed("reflect: call of reflect.Value.Interface on zero Value"))),
            Value::Bool(value) => self.out.push_str(if *value { "true" } else { "false" }),
            Value::Int(value) | Value::Int64(value) => self.out.push_str(&value.to_string()),
            Value::Float(value) => self.out.push_str(&float(*value)),
            Value::Text(text) => push_quoted(&mut self.out, text),
            Value::List(list) => {
                self.out.push('[');
                for (place, item) in list.items().iter().enumerate() {
                    self.out.push_str(if place > 0 { ", " } else { "" });
                    self.element(item, depth + 1)?;
                }
                self.out.push(']');
            }
            Value::Map(_) => self.inline_table(value, depth)?,
            Value::Object(object) => match Time::of(value) {
                Some(time) => self.out.push_str(&time_layout::format(&time.civil(), "2006-01-02T15:04:05.999999999Z07:00")),
                None if object.type_name() == "time.Duration" => push_quoted(&mut self.out, &object.print()),
                None if objects::fields(&**object).is_some() => self.inline_table(value, depth)?,
                None => self.element(&plain(value), depth + 1)?,
            },
        }
        Ok(())
    }

    fn inline_table(&mut self, table: &Value, depth: u32) -> Result<(), Unwritable> {
        self.out.push('{');
        let [direct, tables] = split(table, depth)?;
        let last_direct = direct.len();
        for (place, (name, value)) in direct.iter().enumerate() {
            self.inline_entry(name, value, place + 1 < last_direct || !tables.is_empty(), depth)?;
        }
        for (place, (name, value)) in tables.iter().enumerate() {
            self.inline_entry(name, value, place + 1 < tables.len(), depth)?;
        }
        self.out.push('}');
        Ok(())
    }

    fn inline_entry(&mut self, name: &Text, value: &Value, comma: bool, depth: u32) -> Result<(), Unwritable> {
        if matches!(value, Value::Nil) {
            return Ok(());
        }
        let name = bare_or_quoted(name);
        self.out.push_str(&name);
        self.out.push_str(" = ");
        self.element(value, depth + 1)?;
        self.out.push_str(if comma { ", " } else { "" });
        Ok(())
    }

    fn heading(&mut self, key: &[Text], open: &str, close: &str) {
        self.indent(key);
        let path: Vec<String> = key.iter().map(bare_or_quoted).collect();
        self.out.push_str(open);
        self.out.push_str(&path.join("."));
        self.out.push_str(close);
        self.line_break();
    }

    fn indent(&mut self, key: &[Text]) {
        self.out.extend(std::iter::repeat_n("  ", key.len() - 1));
    }

    /// Nothing comes before the first line.
    fn line_break(&mut self) {
        if !self.out.is_empty() {
            self.out.push('\n');
        }
    }

    fn spend(&mut self) -> Result<(), Unwritable> {
        let written = self.out.len() - self.spent;
        self.spent = self.out.len();
        self.call.spend(1 + written)?;
        Ok(())
    }
}

/// The entries that are no tables, and those that are.
fn split(table: &Value, depth: u32) -> Result<[Vec<(Text, Value)>; 2], Unwritable> {
    let (mut direct, mut tables) = (Vec::new(), Vec::new());
    for (name, value) in entries_of(table) {
        let is_table = matches!(kind(&value, depth + 1)?, Kind::Table | Kind::Tables);
        if is_table { &mut tables } else { &mut direct }.push((name, value));
    }
    Ok([direct, tables])
}

fn float(value: f64) -> String {
    let sign = if value.is_sign_negative() { "-" } else { "" };
    if value.is_nan() {
        return format!("{sign}nan");
    }
    if value.is_infinite() {
        return format!("{sign}inf");
    }
    let text = yaml_pretty::float(value);
    if text.contains(['e', '.']) { text } else { format!("{text}.0") }
}

fn bare_or_quoted(name: &Text) -> String {
    if !name.is_empty() && name.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-')) {
        return name.to_str().into_owned();
    }
    let mut quoted = String::new();
    push_quoted(&mut quoted, name);
    quoted
}

fn push_quoted(out: &mut String, text: &[u8]) {
    out.push('"');
    for c in replaced(text).chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{8}' => out.push_str("\\b"),
            '\t' => out.push_str("\\t"),
            '\n' => out.push_str("\\n"),
            '\u{c}' => out.push_str("\\f"),
            '\r' => out.push_str("\\r"),
            c if c.is_ascii_control() => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
}

/// The table that a text is; with the message at `Error` if it is none.
fn from_toml(call: &mut Call<'_>, args: Args<'_>) -> Result<Value, CallError> {
    call.spend(args.text(0).len())?;
    let text = args.text(0).to_str();
    Ok(match DeTable::parse(&text) {
        Ok(table) => table_of(table.get_ref(), &text),
        Err(error) => {
            let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
            let line = 1 + before.matches('\n').count();
            Value::Map(Map::new(BTreeMap::from([(Text::from("Error"), Value::text(format!("toml: line {line}: {}", error.message())))])))
        }
    })
}

fn table_of(table: &DeTable<'_>, text: &str) -> Value {
    let entries = table.iter().map(|(key, value)| (Text::from(key.get_ref().as_ref()), value_of(value.get_ref(), text)));
    Value::Map(Map::new(entries.collect()))
}

/// The value in `text`. The parser bounds the depth.
fn value_of(value: &DeValue<'_>, text: &str) -> Value {
    match value {
        DeValue::String(text) => Value::text(text.as_ref()),
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix()).map_or(Value::Nil, Value::Int64),
        DeValue::Float(number) => match number.as_str().trim_start_matches(['+', '-']) {
            "nan" => Value::Float(f64::NAN),
            _ => number.as_str().parse().map_or(Value::Nil, Value::Float),
        },
        DeValue::Boolean(value) => Value::Bool(*value),
        DeValue::Datetime(written) => time_of(&written.to_string()),
        DeValue::Array(items) => {
            let is_headed = |item: &Spanned<DeValue<'_>>| item.get_ref().is_table() && !text[item.span().start..].starts_with('{');
            let kind = if items.iter().next().is_some_and(is_headed) { ListType::Map } else { ListType::Any };
            Value::List(List::of(kind, items.iter().map(|item| value_of(item.get_ref(), text)).collect()))
        }
        DeValue::Table(table) => table_of(table, text),
    }
}

/// A date, a time of day or both, with or without a zone.
fn time_of(written: &str) -> Value {
    const LAYOUTS: [&str; 4] = ["2006-01-02T15:04:05Z07:00", "2006-01-02T15:04:05", "2006-01-02", "15:04:05"];
    LAYOUTS
        .iter()
        .find_map(|layout| time_layout::parse(layout.as_bytes(), written.as_bytes()).ok())
        .map_or_else(|| Value::text(written), Time::value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_have_a_point_or_an_exponent() {
        for (value, text) in [(1.0, "1.0"), (-0.5, "-0.5"), (1e6, "1e+06"), (1e21, "1e+21"), (f64::INFINITY, "inf"), (f64::NAN, "nan")] {
            assert_eq!(float(value), text);
        }
    }
}
