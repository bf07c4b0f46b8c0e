//! Values at rest: what a chart's files say, kept between renders and shared between threads. Templates compute with [`Value`]s, which are made
//! from these for each render, because a template may change what it is given.

use std::collections::BTreeMap;
use std::vec::Drain;

use hub_gotemplate::{List, Map, Text, Value};
use shared_manifest::FromYaml;

/// A value as it was read.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) enum Stored {
    #[default]
    Nil,
    Bool(bool),
    Int64(i64),
    Float(f64),
    Text(Text),
    List(Vec<Stored>),
    Map(Table),
}

/// A map of values.
pub(crate) type Table = BTreeMap<Text, Stored>;

impl Stored {
    /// A fresh copy for templates.
    pub(crate) fn to_value(&self) -> Value {
        match self {
            Self::Nil => Value::Nil,
            Self::Bool(value) => Value::Bool(*value),
            Self::Int64(value) => Value::Int64(*value),
            Self::Float(value) => Value::Float(*value),
            Self::Text(text) => Value::Text(text.clone()),
            Self::List(items) => Value::List(List::new(items.iter().map(Self::to_value).collect())),
            Self::Map(entries) => Value::Map(to_map(entries)),
        }
    }

    /// What `value` is, without what is no data.
    pub(crate) fn of(value: &Value) -> Self {
        match value {
            Value::Nil => Self::Nil,
            Value::Bool(value) => Self::Bool(*value),
            Value::Int(value) | Value::Int64(value) => Self::Int64(*value),
            Value::Float(value) => Self::Float(*value),
            Value::Text(text) => Self::Text(text.clone()),
            Value::List(list) => Self::List(list.items().iter().map(Self::of).collect()),
            Value::Map(map) => Self::Map(table_of(map)),
            Value::Object(object) => Self::of(&object.plain()),
        }
    }

    /// What JSON says: every number is a float, as Go reads JSON.
    pub(crate) fn of_json(value: &serde_json::Value) -> Self {
        match value {
            serde_json::Value::Null => Self::Nil,
            serde_json::Value::Bool(value) => Self::Bool(*value),
            serde_json::Value::Number(number) => Self::Float(number.as_f64().unwrap_or_default()),
            serde_json::Value::String(text) => Self::Text(text.as_str().into()),
            serde_json::Value::Array(items) => Self::List(items.iter().map(Self::of_json).collect()),
            serde_json::Value::Object(entries) => {
                Self::Map(entries.iter().map(|(key, value)| (key.as_str().into(), Self::of_json(value))).collect())
            }
        }
    }

    /// As error messages of Go's JSON name it.
    pub(crate) fn json_kind(&self) -> &'static str {
        match self {
            Self::Nil => "null",
            Self::Bool(_) => "bool",
            Self::Int64(_) | Self::Float(_) => "number",
            Self::Text(_) => "string",
            Self::List(_) => "array",
            Self::Map(_) => "object",
        }
    }
}

/// As YAML is read on its way through JSON: every number is a float.
impl FromYaml for Stored {
    type Key = Text;

    fn key(text: &str) -> Text {
        text.into()
    }

    fn null() -> Self {
        Self::Nil
    }

    fn is_null(&self) -> bool {
        *self == Self::Nil
    }

    fn bool(claim: bool) -> Self {
        Self::Bool(claim)
    }

    fn number(number: f64) -> Self {
        Self::Float(number)
    }

    fn text(text: &str) -> Self {
        Self::Text(text.into())
    }

    fn list(items: Drain<'_, Self>) -> Self {
        Self::List(items.collect())
    }

    fn map(entries: Drain<'_, (Text, Self)>) -> Option<Self> {
        let count = entries.len();
        let table: Table = entries.collect();
        (table.len() == count).then_some(Self::Map(table))
    }
}

/// A fresh copy of `entries` for templates.
pub(crate) fn to_map(entries: &Table) -> Map {
    Map::new(entries.iter().map(|(key, value)| (key.clone(), value.to_value())).collect())
}

/// What `map` holds.
pub(crate) fn table_of(map: &Map) -> Table {
    map.entries().iter().map(|(key, value)| (key.clone(), Stored::of(value))).collect()
}

/// A copy that shares no map with `value`, as where Helm copies values.
pub(crate) fn deep_copy(value: &Value) -> Value {
    match value {
        Value::List(list) => Value::List(List::of(list.kind(), list.items().iter().map(deep_copy).collect())),
        Value::Map(map) => Value::Map(deep_copy_map(map)),
        other => other.clone(),
    }
}

/// A copy that shares no map with `map`.
pub(crate) fn deep_copy_map(map: &Map) -> Map {
    // To copy the map and then what is in it is quicker than to build it anew.
    let mut entries = map.entries().clone();
    for value in entries.values_mut().filter(|value| matches!(value, Value::List(_) | Value::Map(_))) {
        *value = deep_copy(value);
    }
    Map::of(map.kind(), entries)
}
