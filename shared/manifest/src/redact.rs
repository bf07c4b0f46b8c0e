//! Secrets made fit to be shown: values become `+` signs, equal ones alike and different ones different, so that a difference can be seen
//! without its content. Sealing for storage is left to `shared-release`.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use shared_model::{FieldChange, GroupKind};

use crate::diff::{Change, is_secret};
use crate::path::{FieldPath, Step};

/// The object with the values of `data` and `stringData` masked, also inside the annotation that `kubectl apply` leaves, if it is a Secret or
/// a list with Secrets. Other objects are returned as they are. To compare two objects by eye, mask both with one [`Redaction`].
pub fn redact(object: &Value) -> Value {
    Redaction::default().redact(object)
}

/// The changes with secret values masked, if `kind` is Secret.
pub fn redact_changes(kind: &GroupKind, changes: Vec<Change>) -> Vec<Change> {
    Redaction::default().redact_changes(kind, changes)
}

/// Remembers which values it has masked, so that equal values look equal across several objects. It has no `Debug`: it holds secrets.
#[derive(Default)]
pub struct Redaction {
    /// Position of each distinct value in order of appearance.
    seen: BTreeMap<Vec<u8>, usize>,
}

/// What `kubectl apply` writes into the objects it applies: the object, secrets included.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

impl Redaction {
    /// As [`redact`].
    pub fn redact(&mut self, object: &Value) -> Value {
        let text = |field: &str| object.get(field).and_then(Value::as_str).unwrap_or_default();
        if is_secret(&GroupKind::of(text("apiVersion"), text("kind"))) {
            return self.secret(&[], object);
        }
        let mut object = object.clone();
        if let Some(Value::Array(items)) = object.get_mut("items") {
            for item in items {
                *item = self.redact(item);
            }
        }
        object
    }

    /// As [`redact_changes`].
    pub fn redact_changes(&mut self, kind: &GroupKind, changes: Vec<Change>) -> Vec<Change> {
        if !is_secret(kind) {
            return changes;
        }
        let mut mask = |Change { path, before, after }| {
            let fields = fields(&path);
            let before = before.map(|value| self.secret(&fields, &value));
            let after = after.map(|value| self.secret(&fields, &value));
            Change { before, after, path: path.clone() }
        };
        changes.into_iter().map(&mut mask).collect()
    }

    /// As [`redact_changes`], for a change as it was reported: its path is text, and its values are compact JSON that somebody else has masked, or
    /// has not. What is masked already looks the same afterwards, if all changes of an object are masked with one [`Redaction`] in their order.
    pub fn redact_reported(&mut self, kind: &GroupKind, change: FieldChange) -> FieldChange {
        if !is_secret(kind) {
            return change;
        }
        let mut mask = |text: String| match serde_json::from_str::<Value>(&text) {
            Ok(value) => self.secret_at(&change.path, &value).to_string(),
            Err(_) => self.mask(text.into_bytes()).to_string(),
        };
        let found = change.found.map(&mut mask);
        let wanted = change.wanted.map(&mut mask);
        FieldChange { found, wanted, ..change }
    }

    /// Masks what stands at a path that people wrote. What a Secret is known to have beside its content is shown, and nothing else.
    fn secret_at(&mut self, path: &str, value: &Value) -> Value {
        let (top, rest) = path.split_at(path.find(['.', '[']).unwrap_or(path.len()));
        match (top, rest) {
            ("apiVersion" | "kind" | "type" | "immutable", "") => value.clone(),
            ("", "") => self.secret(&[], value),
            ("metadata", _) if path.contains(LAST_APPLIED) => self.last_applied(value),
            ("metadata", "") => self.secret(&["metadata"], value),
            ("metadata", ".annotations") => self.secret(&["metadata", "annotations"], value),
            ("metadata", _) => value.clone(),
            _ => self.mask_all(value, false),
        }
    }

    /// Masks what stands at `path` of a Secret.
    fn secret(&mut self, path: &[&str], value: &Value) -> Value {
        match (path, value) {
            (["data", ..], _) => self.mask_all(value, true),
            (["stringData", ..], _) => self.mask_all(value, false),
            (["metadata", "annotations", LAST_APPLIED], _) => self.last_applied(value),
            ([] | ["metadata"] | ["metadata", "annotations"], Value::Object(fields)) => {
                let inner = |(name, value): (&String, &Value)| (name.clone(), self.secret(&[path, &[name.as_str()]].concat(), value));
                Value::Object(fields.iter().map(inner).collect())
            }
            _ => value.clone(),
        }
    }

    fn last_applied(&mut self, value: &Value) -> Value {
        let applied = value.as_str().and_then(|text| serde_json::from_str::<Value>(text).ok()).filter(Value::is_object);
        match applied {
            Some(applied) => Value::String(self.secret(&[], &applied).to_string()),
            None => self.mask_all(value, false),
        }
    }

    /// Masks every scalar; names of keys stay. A value is known by what it means: base64 of `data` is decoded first.
    fn mask_all(&mut self, value: &Value, encoded: bool) -> Value {
        match value {
            Value::Null => Value::Null,
            Value::Object(fields) => {
                Value::Object(fields.iter().map(|(name, value)| (name.clone(), self.mask_all(value, encoded))).collect())
            }
            Value::Array(items) => Value::Array(items.iter().map(|item| self.mask_all(item, encoded)).collect()),
            Value::String(text) => {
                let compact = || text.chars().filter(|c| !c.is_ascii_whitespace()).collect::<String>();
                let decoded = if encoded { STANDARD.decode(compact()).ok() } else { None };
                self.mask(decoded.unwrap_or_else(|| text.as_bytes().to_vec()))
            }
            _ => self.mask(value.to_string().into_bytes()),
        }
    }

    fn mask(&mut self, secret: Vec<u8>) -> Value {
        let next = self.seen.len();
        let position = *self.seen.entry(secret).or_insert(next);
        let signs = "+".repeat(8 + 4 * position.min(COUNTED_BY_LENGTH));
        Value::String(if position <= COUNTED_BY_LENGTH { signs } else { format!("{signs}#{position}") })
    }
}

/// The first values differ by four signs each, as in Argo CD; from here on a number tells them apart, so that 1,000 values are 1,000 short lines.
const COUNTED_BY_LENGTH: usize = 16;

fn fields(path: &FieldPath) -> Vec<&str> {
    path.iter().filter_map(|step| if let Step::Field(name) = step { Some(name.as_str()) } else { None }).collect()
}
