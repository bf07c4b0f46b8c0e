//! The Go type and kind of values, and which are true.

use std::borrow::Cow;
use std::rc::Rc;

use crate::{CallError, List, ListType, Map, MapType, Object, Text, Value};

/// The Go type of `value` as `printf "%T"` prints it, such as `map[string]interface {}`.
pub fn type_name(value: &Value) -> Cow<'_, str> {
    match value {
        Value::Nil => "<nil>".into(),
        Value::Bool(_) => "bool".into(),
        Value::Int(_) => "int".into(),
        Value::Int64(_) => "int64".into(),
        Value::Float(_) => "float64".into(),
        Value::Text(_) => "string".into(),
        Value::List(list) => list.type_name().into(),
        Value::Map(map) => map.type_name().into(),
        Value::Object(object) => object.type_name().into(),
    }
}

/// The Go kind of `value`, such as `map`; `invalid` for nil.
pub fn kind_name(value: &Value) -> &'static str {
    match value {
        Value::Nil => "invalid",
        Value::Bool(_) => "bool",
        Value::Int(_) => "int",
        Value::Int64(_) => "int64",
        Value::Float(_) => "float64",
        Value::Text(_) => "string",
        Value::List(_) => "slice",
        Value::Map(_) => "map",
        Value::Object(object) => object.kind(),
    }
}

/// Whether `if` takes it for true: all but nil, false, zero, and what has no elements.
#[inline]
pub fn is_true(value: &Value) -> bool {
    match value {
        Value::Nil => false,
        Value::Bool(truth) => *truth,
        Value::Int(number) | Value::Int64(number) => *number != 0,
        Value::Float(number) => *number != 0.0,
        Value::Text(text) => !text.is_empty(),
        Value::List(list) => !list.items().is_empty(),
        Value::Map(map) => !map.is_empty(),
        Value::Object(object) => object.is_true(),
    }
}

impl List {
    /// Its Go type.
    pub fn type_name(&self) -> &'static str {
        match self.kind() {
            ListType::Any => "[]interface {}",
            ListType::Text => "[]string",
            ListType::Int => "[]int",
            ListType::List => "[][]interface {}",
            ListType::Map => "[]map[string]interface {}",
        }
    }
}

impl Map {
    /// Its Go type.
    pub fn type_name(&self) -> &'static str {
        match self.kind() {
            MapType::Any => "map[string]interface {}",
            MapType::Text => "map[string]string",
            MapType::Values => "common.Values",
        }
    }
}

/// An unsigned number, such as a byte of a string (`uint8`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Uint {
    /// Its Go type and kind.
    pub kind: &'static str,
    /// The number.
    pub number: u64,
}

impl Uint {
    /// The number as a value.
    pub fn value(kind: &'static str, number: u64) -> Value {
        Value::Object(Rc::new(Self { kind, number }))
    }
}

impl Object for Uint {
    fn type_name(&self) -> &str {
        self.kind
    }

    fn kind(&self) -> &'static str {
        self.kind
    }

    fn field(&self, _: &str) -> Option<Result<Value, CallError>> {
        None
    }

    fn method(&self, _: &str, _: &[Value]) -> Option<Result<Value, CallError>> {
        None
    }

    /// Its 64 bits, of which the first is the sign for those who do not look at the kind.
    fn plain(&self) -> Value {
        Value::Int64(self.number as i64)
    }

    fn print(&self) -> Text {
        Text::from(self.number.to_string())
    }

    fn is_true(&self) -> bool {
        self.number != 0
    }

    fn as_any(&self) -> &dyn std::any::Any {
        self
    }
}
