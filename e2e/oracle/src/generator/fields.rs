//! Ways into a value: what can be pointed at in an object, and how the several notations write it. What is done there is left to others.

use serde_json::{Map, Value, json};

use super::pen::RAW;
use crate::Chance;

/// One step of a way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    Key(String),
    Index(usize),
}

/// By which of its fields an item of a list is known, in the order in which they are tried.
const ITEM_KEYS: [&str; 10] = ["name", "containerPort", "mountPath", "port", "devicePath", "ip", "topologyKey", "type", "uid", "id"];

/// Ways to everything in an object but what makes it the object it is.
pub(super) fn ways(object: &Value) -> Vec<Vec<Step>> {
    let mut found = Vec::new();
    walk(object, &mut Vec::new(), &mut found);
    let identity = |way: &[Step]| {
        matches!(way, [Step::Key(key)] if key == "apiVersion" || key == "kind" || key == "metadata")
            || matches!(way, [Step::Key(top), Step::Key(key)] if top == "metadata" && (key == "name" || key == "namespace"))
    };
    found.retain(|way| !identity(way));
    found
}

fn walk(value: &Value, way: &mut Vec<Step>, found: &mut Vec<Vec<Step>>) {
    let mut visit = |step: Step, inner: &Value| {
        way.push(step);
        found.push(way.clone());
        walk(inner, way, found);
        way.pop();
    };
    match value {
        Value::Object(map) => {
            map.iter().filter(|(key, _)| !key.starts_with(RAW)).for_each(|(key, inner)| visit(Step::Key(key.clone()), inner));
        }
        Value::Array(list) => list.iter().enumerate().for_each(|(index, inner)| visit(Step::Index(index), inner)),
        _ => {}
    }
}

/// What lies at the end of the way.
pub(super) fn at<'a>(object: &'a Value, way: &[Step]) -> Option<&'a Value> {
    way.iter().try_fold(object, |value, step| match step {
        Step::Key(key) => value.get(key),
        Step::Index(index) => value.get(index),
    })
}

/// Whether the value is neither a map nor a list.
pub(super) fn is_scalar(value: &Value) -> bool {
    !value.is_object() && !value.is_array()
}

/// The way as a JSON pointer (RFC 6901).
pub(super) fn pointer(way: &[Step]) -> String {
    let step = |step: &Step| match step {
        Step::Key(key) => format!("/{}", key.replace('~', "~0").replace('/', "~1")),
        Step::Index(index) => format!("/{index}"),
    };
    way.iter().map(step).collect()
}

/// The way as replacements and variables write it: dots between, items by index, by a field or all.
pub(super) fn field_path(chance: &mut Chance, object: &Value, way: &[Step]) -> String {
    let mut parts = Vec::new();
    let mut value = object;
    for step in way {
        match step {
            Step::Key(key) if key.contains('.') && chance.percent(50) => parts.push(format!("[{key}]")),
            Step::Key(key) => parts.push(key.replace('.', "\\.")),
            Step::Index(index) => {
                let item = &value[index];
                let key = item_key(item).filter(|_| chance.percent(70));
                parts.push(match key {
                    Some((name, text)) => format!("[{name}={text}]"),
                    None if chance.percent(30) => "*".to_owned(),
                    None => index.to_string(),
                });
            }
        }
        value = match step {
            Step::Key(key) => &value[key],
            Step::Index(index) => &value[index],
        };
    }
    parts.join(".")
}

/// The field by which an item is known, and its text.
pub(super) fn item_key(item: &Value) -> Option<(&'static str, String)> {
    ITEM_KEYS.iter().find_map(|name| match item.get(name)? {
        Value::String(text) if !text.starts_with(RAW) => Some((*name, text.clone())),
        Value::Number(number) => Some((*name, number.to_string())),
        _ => None,
    })
}

/// `leaf` wrapped in what leads to it; items of lists keep the field they are known by.
pub(super) fn nested(object: &Value, way: &[Step], leaf: Value) -> Value {
    let Some((step, rest)) = way.split_first() else { return leaf };
    match step {
        Step::Key(key) => {
            let inner = nested(&object[key], rest, leaf);
            Value::Object(Map::from_iter([(key.clone(), inner)]))
        }
        Step::Index(index) => {
            let item = &object[index];
            let mut inner = nested(item, rest, leaf);
            if let (Some((name, _)), Value::Object(map)) = (item_key(item), &mut inner) {
                map.entry(name).or_insert_with(|| item[name].clone());
                // A port is known by its protocol too.
                if matches!(name, "containerPort" | "port")
                    && let Some(protocol) = item.get("protocol")
                {
                    map.entry("protocol").or_insert_with(|| protocol.clone());
                }
            }
            json!([inner])
        }
    }
}

/// Adds `more` to `value`: maps field by field, lists end to end.
pub(super) fn combine(value: &mut Value, more: Value) {
    match (value, more) {
        (Value::Object(map), Value::Object(fields)) => {
            for (key, field) in fields {
                match map.get_mut(&key) {
                    Some(known) => combine(known, field),
                    None => {
                        map.insert(key, field);
                    }
                }
            }
        }
        (Value::Array(list), Value::Array(items)) => {
            for item in items {
                let known = item_key(&item).and_then(|key| list.iter_mut().find(|known| item_key(known).as_ref() == Some(&key)));
                match known {
                    Some(known) => combine(known, item),
                    None => list.push(item),
                }
            }
        }
        (value, more) => *value = more,
    }
}
