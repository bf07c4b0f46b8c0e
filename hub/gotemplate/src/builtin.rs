//! The functions that the language itself has. `and` and `or` are with the evaluator, which does not evaluate all their arguments.

use std::cmp::Ordering;

use crate::exec::Held;
use crate::{CallError, List, MapType, Text, Uint, Value, compare, equal, fmt, is_true, type_name};

/// A function of Go's `text/template`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Builtin {
    And,
    Call,
    Eq,
    Ge,
    Gt,
    Html,
    Index,
    Js,
    Le,
    Len,
    Lt,
    Ne,
    Not,
    Or,
    Print,
    Printf,
    Println,
    Slice,
    Urlquery,
}

/// The longest text that [`Builtin::Html`] and its like make of one byte: `%XX`, `\u00XX`, `&#34;`.
const LONGEST_ESCAPE: usize = 6;

impl Builtin {
    pub(crate) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "and" => Self::And,
            "call" => Self::Call,
            "eq" => Self::Eq,
            "ge" => Self::Ge,
            "gt" => Self::Gt,
            "html" => Self::Html,
            "index" => Self::Index,
            "js" => Self::Js,
            "le" => Self::Le,
            "len" => Self::Len,
            "lt" => Self::Lt,
            "ne" => Self::Ne,
            "not" => Self::Not,
            "or" => Self::Or,
            "print" => Self::Print,
            "printf" => Self::Printf,
            "println" => Self::Println,
            "slice" => Self::Slice,
            "urlquery" => Self::Urlquery,
            _ => return None,
        })
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::And => "and",
            Self::Call => "call",
            Self::Eq => "eq",
            Self::Ge => "ge",
            Self::Gt => "gt",
            Self::Html => "html",
            Self::Index => "index",
            Self::Js => "js",
            Self::Le => "le",
            Self::Len => "len",
            Self::Lt => "lt",
            Self::Ne => "ne",
            Self::Not => "not",
            Self::Or => "or",
            Self::Print => "print",
            Self::Printf => "printf",
            Self::Println => "println",
            Self::Slice => "slice",
            Self::Urlquery => "urlquery",
        }
    }

    /// How many arguments it must have, and whether it may have more.
    pub(crate) fn arity(self) -> (usize, bool) {
        match self {
            Self::And | Self::Call | Self::Eq | Self::Index | Self::Or | Self::Printf | Self::Slice => (1, true),
            Self::Ge | Self::Gt | Self::Le | Self::Lt | Self::Ne => (2, false),
            Self::Html | Self::Js | Self::Print | Self::Println | Self::Urlquery => (0, true),
            Self::Len | Self::Not => (1, false),
        }
    }

    /// What it gives for `arguments`, of which there are as many as it must have.
    pub(crate) fn call(self, arguments: &[Held]) -> Result<Value, CallError> {
        match (self, arguments) {
            (Self::Eq, [_]) => Err(CallError::failed("missing argument for comparison")),
            (Self::Eq, [first, others @ ..]) => {
                for other in others {
                    if equal(&first.value, &other.value)? {
                        return Ok(Value::Bool(true));
                    }
                }
                Ok(Value::Bool(false))
            }
            (Self::Ne, [left, right]) => Ok(Value::Bool(!equal(&left.value, &right.value)?)),
            (Self::Lt | Self::Le | Self::Gt | Self::Ge, [left, right]) => {
                let ordering = compare(&left.value, &right.value)?;
                // Go's `gt` is "not `le`", so that what is no number is greater than all.
                Ok(Value::Bool(match self {
                    Self::Lt => ordering == Some(Ordering::Less),
                    Self::Le => matches!(ordering, Some(Ordering::Less | Ordering::Equal)),
                    Self::Gt => !matches!(ordering, Some(Ordering::Less | Ordering::Equal)),
                    _ => ordering != Some(Ordering::Less),
                }))
            }
            (Self::Not, [value]) => Ok(Value::Bool(!is_true(&value.value))),
            (Self::Len, [item]) => length(item).map(Value::Int),
            (Self::Index, [item, indexes @ ..]) => index(&item.value, indexes),
            (Self::Slice, [item, indexes @ ..]) => slice(&item.value, indexes),
            (Self::Print, _) => Ok(Value::Text(fmt::sprint_all(&values(arguments))?)),
            (Self::Println, _) => Ok(Value::Text(fmt::sprintln(&values(arguments))?)),
            (Self::Printf, [Held { value: Value::Text(format), .. }, operands @ ..]) => {
                Ok(Value::Text(fmt::sprintf(format, &values(operands))?))
            }
            (Self::Html, _) => printed(arguments).map(|text| Value::Text(escape_html(&text))),
            (Self::Js, _) => printed(arguments).map(|text| Value::Text(escape_js(&text))),
            (Self::Urlquery, _) => printed(arguments).map(|text| Value::Text(escape_query(&text))),
            // The evaluator has seen to the others, and to the number of arguments.
            _ => Err(CallError::failed("BUG: the arguments were not checked")),
        }
    }
}

fn values(arguments: &[Held]) -> Vec<Value> {
    arguments.iter().map(|held| held.value.clone()).collect()
}

/// The arguments as text, as `html` and its like see them.
fn printed(arguments: &[Held]) -> Result<Text, CallError> {
    let text = match arguments {
        [Held { value: Value::Text(text), .. }] => text.clone(),
        _ => {
            let shown: Vec<_> = arguments
                .iter()
                .map(|held| if matches!(held.value, Value::Nil) { Value::from("<no value>") } else { held.value.clone() })
                .collect();
            fmt::sprint_all(&shown)?
        }
    };
    if text.len() > fmt::LONGEST / LONGEST_ESCAPE {
        return Err(crate::Exceeded::Output(fmt::LONGEST as u64).into());
    }
    Ok(text)
}

fn length(item: &Held) -> Result<i64, CallError> {
    let plain;
    let value = match &item.value {
        Value::Object(object) if matches!(object.kind(), "map" | "slice" | "string") => {
            plain = object.plain();
            &plain
        }
        value => value,
    };
    let length = match value {
        Value::Text(text) => text.len(),
        Value::List(list) => list.items().len(),
        Value::Map(map) => map.len(),
        Value::Nil if item.interface => return Err(CallError::failed("len of nil pointer")),
        Value::Nil => return Err(CallError::failed("reflect: call of reflect.Value.Type on zero Value")),
        other => return Err(CallError::failed(format!("len of type {}", type_name(other)))),
    };
    Ok(length as i64)
}

/// A position in something `length` long; Go lets it be just behind the end.
fn position(index: &Value, length: usize) -> Result<usize, CallError> {
    let number = match index {
        Value::Int(number) | Value::Int64(number) => *number,
        Value::Nil => return Err(CallError::failed("cannot index slice/array with nil")),
        Value::Object(object) if object.kind().contains("int") => match object.plain() {
            Value::Int(number) | Value::Int64(number) => number,
            _ => -1,
        },
        other => return Err(CallError::failed(format!("cannot index slice/array with type {}", type_name(other)))),
    };
    match usize::try_from(number) {
        Ok(position) if position <= length => Ok(position),
        _ => Err(CallError::failed(format!("index out of range: {number}"))),
    }
}

fn index(item: &Value, indexes: &[Held]) -> Result<Value, CallError> {
    if matches!(item, Value::Nil) {
        return Err(CallError::failed("index of untyped nil"));
    }
    let mut item = item.clone();
    for Held { value: index, .. } in indexes {
        if let Value::Object(object) = &item
            && matches!(object.kind(), "map" | "slice" | "string")
        {
            item = object.plain();
        }
        item = match &item {
            Value::Nil => return Err(CallError::failed("index of nil pointer")),
            Value::Text(text) => match text.get(position(index, text.len())?) {
                Some(byte) => Uint::value("uint8", u64::from(*byte)),
                None => return Err(CallError::failed("reflect: string index out of range")),
            },
            Value::List(list) => match list.items().get(position(index, list.items().len())?) {
                Some(item) => item.clone(),
                None => return Err(CallError::failed("reflect: slice index out of range")),
            },
            Value::Map(map) => match index {
                Value::Text(key) => map.get(key).unwrap_or_else(|| zero_of(map.kind())),
                Value::Nil => return Err(CallError::failed("value is nil; should be of type string")),
                other => return Err(CallError::failed(format!("value has type {}; should be string", type_name(other)))),
            },
            other => return Err(CallError::failed(format!("can't index item of type {}", type_name(other)))),
        };
    }
    Ok(item)
}

/// What a key that is not there gives.
pub(crate) fn zero_of(kind: MapType) -> Value {
    match kind {
        MapType::Any | MapType::Values => Value::Nil,
        MapType::Text => Value::Text(Text::default()),
    }
}

fn slice(item: &Value, indexes: &[Held]) -> Result<Value, CallError> {
    if matches!(item, Value::Nil) {
        return Err(CallError::failed("slice of untyped nil"));
    }
    if indexes.len() > 3 {
        return Err(CallError::failed(format!("too many slice indexes: {}", indexes.len())));
    }
    let length = match item {
        Value::Text(_) if indexes.len() == 3 => return Err(CallError::failed("cannot 3-index slice a string")),
        Value::Text(text) => text.len(),
        Value::List(list) => list.items().len(),
        other => return Err(CallError::failed(format!("can't slice item of type {}", type_name(other)))),
    };
    let mut bounds = [0, length, length];
    for (bound, index) in bounds.iter_mut().zip(indexes) {
        *bound = position(&index.value, length)?;
    }
    let [start, end, capacity] = bounds;
    for (low, high) in [(start, end), (end, capacity)] {
        if low > high {
            return Err(CallError::failed(format!("invalid slice index: {low} > {high}")));
        }
    }
    Ok(match item {
        Value::Text(text) => Value::Text(Text::new(&text[start..end])),
        Value::List(list) => Value::List(List::of(list.kind(), list.items()[start..end].to_vec())),
        _ => Value::Nil,
    })
}

fn escape_html(text: &Text) -> Text {
    let escape = |byte: u8| -> Option<&'static [u8]> {
        Some(match byte {
            0 => "\u{fffd}".as_bytes(),
            b'"' => b"&#34;",
            b'\'' => b"&#39;",
            b'&' => b"&amp;",
            b'<' => b"&lt;",
            b'>' => b"&gt;",
            _ => return None,
        })
    };
    if !text.iter().any(|byte| escape(*byte).is_some()) {
        return text.clone();
    }
    let mut out = Vec::with_capacity(text.len() + 16);
    for byte in text.iter() {
        match escape(*byte) {
            Some(escaped) => out.extend_from_slice(escaped),
            None => out.push(*byte),
        }
    }
    out.into()
}

fn escape_js(text: &Text) -> Text {
    let mut out = Vec::with_capacity(text.len() + 16);
    let mut rest = text.as_bytes();
    while let Some((char, size)) = fmt::next_char(rest) {
        match char {
            '\\' => out.extend_from_slice(b"\\\\"),
            '\'' => out.extend_from_slice(b"\\'"),
            '"' => out.extend_from_slice(b"\\\""),
            '<' | '>' | '&' | '=' | '\0'..='\x1f' => out.extend_from_slice(format!("\\u{:04X}", u32::from(char)).as_bytes()),
            _ if char.is_ascii() || fmt::is_print(char) => out.extend_from_slice(&rest[..size]),
            _ => out.extend_from_slice(format!("\\u{:04X}", u32::from(char)).as_bytes()),
        }
        rest = &rest[size..];
    }
    out.into()
}

/// As `url.QueryEscape`.
fn escape_query(text: &Text) -> Text {
    let mut out = Vec::with_capacity(text.len() + 16);
    for byte in text.iter() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(*byte),
            b' ' => out.push(b'+'),
            byte => out.extend_from_slice(format!("%{byte:02X}").as_bytes()),
        }
    }
    out.into()
}

/// What `call` says of `value`, which is written as `callee`: nothing here is a function.
pub(crate) fn not_callable(callee: &str, value: &Value) -> CallError {
    match value {
        Value::Nil => CallError::failed("call of nil"),
        value => CallError::failed(format!("non-function {callee} of type {}", type_name(value))),
    }
}
