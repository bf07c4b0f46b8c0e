//! Two comparisons of objects: `diff` is structural and shows people every difference; `owned_diff` answers whether a live object still has
//! what is wanted of it, in the eyes of an API server that rewrites what it stores. Who changed a field is left to the caller.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use shared_model::GroupKind;

use crate::canonical::{canonical_json, canonical_number};
use crate::path::{FieldPath, Step};
use crate::quantity::same_quantity;
use crate::schema::{self, ListKind, list_kind};

/// One difference. Its `Debug` shows the place and no values: they may be secrets.
#[derive(Clone, PartialEq)]
pub struct Change {
    /// The field.
    pub path: FieldPath,
    /// The value before; `None` if the field is added.
    pub before: Option<Value>,
    /// The value after; `None` if the field is removed.
    pub after: Option<Value>,
}

impl fmt::Debug for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = match (&self.before, &self.after) {
            (None, _) => '+',
            (_, None) => '-',
            _ => '~',
        };
        write!(f, "Change({sign} {})", self.path)
    }
}

/// Every difference between two objects of `kind`, in order of fields. Elements of lists are matched by their merge keys or as sets where the
/// kind has such lists, else by index; a missing subtree is one change.
pub fn diff(kind: &GroupKind, before: &Value, after: &Value) -> Vec<Change> {
    let mut comparison = Comparison::new(kind);
    comparison.compare(before, after);
    comparison.changes
}

/// What of `wanted` the `live` object lacks; `before` is the live value and `after` the wanted one. Fields and elements that only `live` has are
/// ignored, except inside atomic lists of built-in kinds. `status`, `apiVersion`, `kind` and metadata that identifies the object or is set by the
/// server are never compared. Of a built-in kind, spellings that the API server normalises are equal: quantities, `stringData`, line breaks in
/// base64, empty and left out fields, defaults of merge keys.
pub fn owned_diff(kind: &GroupKind, wanted: &Value, live: &Value) -> Vec<Change> {
    let mut comparison = Comparison::new(kind);
    let wanted = stored(kind, wanted);
    let (Some(wanted), Some(live)) = (wanted.as_object(), live.as_object()) else {
        comparison.owned(&wanted, Some(live));
        return comparison.changes;
    };
    for (field, wanted_field) in wanted {
        let aggregated = field == "rules" && wanted.get("aggregationRule").is_some_and(|rule| !rule.is_null());
        if aggregated || matches!(field.as_str(), "apiVersion" | "kind" | "status") {
            continue;
        }
        match (field.as_str(), wanted_field) {
            ("metadata", Value::Object(metadata)) => {
                for (name, value) in metadata.iter().filter(|(name, _)| !SERVER_METADATA.contains(&name.as_str())) {
                    let found = live.get("metadata").and_then(|metadata| metadata.get(name));
                    comparison.at(Step::Field("metadata".to_owned()), |inner| {
                        inner.at(Step::Field(name.clone()), |inner| inner.owned(value, found));
                    });
                }
            }
            _ => comparison.at(Step::Field(field.clone()), |inner| inner.owned(wanted_field, live.get(field))),
        }
    }
    comparison.changes
}

/// Metadata that says which object it is, or that only the server sets.
const SERVER_METADATA: &[&str] = &[
    "name",
    "namespace",
    "generateName",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "generation",
    "managedFields",
    "resourceVersion",
    "selfLink",
    "uid",
];

/// Whether the kind is the core Secret.
pub(crate) fn is_secret(kind: &GroupKind) -> bool {
    kind.group.is_empty() && kind.kind == "Secret"
}

/// A Secret whose `stringData` is written into `data`, as the API server stores it; anything else is as it is. Nobody owns what was applied as
/// `stringData`: a key that leaves it stays.
pub fn stored<'a>(kind: &GroupKind, object: &'a Value) -> Cow<'a, Value> {
    match (is_secret(kind), object.get("stringData")) {
        (true, Some(_)) => Cow::Owned(without_string_data(object)),
        _ => Cow::Borrowed(object),
    }
}

fn without_string_data(secret: &Value) -> Value {
    let mut secret = secret.clone();
    if let Some(fields) = secret.as_object_mut()
        && let Some(Value::Object(texts)) = fields.remove("stringData")
        && !texts.is_empty()
    {
        let data = fields.entry("data").or_insert(Value::Null);
        if data.is_null() {
            *data = Value::Object(serde_json::Map::new());
        }
        if let Some(data) = data.as_object_mut() {
            for (name, text) in texts {
                let encoded = text.as_str().map(|text| Value::String(STANDARD.encode(text)));
                data.insert(name, encoded.unwrap_or(text));
            }
        }
    }
    secret
}

struct Comparison<'k> {
    kind: &'k GroupKind,
    /// Whether the kind is built in, so that its schema is known.
    known: bool,
    /// Inside an atomic list of a built-in kind: what only `live` has counts too.
    strict: bool,
    path: Vec<Step>,
    changes: Vec<Change>,
}

impl<'k> Comparison<'k> {
    fn new(kind: &'k GroupKind) -> Self {
        Self { kind, known: schema::scope_of(kind).is_some(), strict: false, path: Vec::new(), changes: Vec::new() }
    }

    fn at(&mut self, step: Step, work: impl FnOnce(&mut Self)) {
        self.path.push(step);
        work(self);
        self.path.pop();
    }

    fn change(&mut self, before: Option<&Value>, after: Option<&Value>) {
        self.changes.push(Change { path: FieldPath(self.path.clone()), before: before.cloned(), after: after.cloned() });
    }

    /// The structural comparison.
    fn compare(&mut self, before: &Value, after: &Value) {
        match (before, after) {
            (Value::Object(old), Value::Object(new)) => {
                for name in sorted_union(old.keys(), new.keys()) {
                    self.at(Step::Field(name.clone()), |inner| inner.compare_present(old.get(name), new.get(name)));
                }
            }
            (Value::Array(old), Value::Array(new)) => self.compare_lists(old, new),
            _ if same_scalar(before, after) => {}
            _ => self.change(Some(before), Some(after)),
        }
    }

    fn compare_present(&mut self, before: Option<&Value>, after: Option<&Value>) {
        match (before, after) {
            (Some(before), Some(after)) => self.compare(before, after),
            (None, None) => {}
            _ => self.change(before, after),
        }
    }

    fn compare_lists(&mut self, old: &[Value], new: &[Value]) {
        if let Some((old, new)) = self.matched(old, new) {
            for (id, (step, before)) in &old {
                self.at(step.clone(), |inner| inner.compare_present(Some(before), new.get(id).map(|(_, after)| *after)));
            }
            for (id, (step, after)) in &new {
                if !old.contains_key(id) {
                    self.at(step.clone(), |inner| inner.change(None, Some(after)));
                }
            }
        } else {
            for index in 0..old.len().max(new.len()) {
                self.at(Step::Index(index), |inner| inner.compare_present(old.get(index), new.get(index)));
            }
        }
    }

    /// The drift comparison: `wanted` against what is live at the same place.
    fn owned(&mut self, wanted: &Value, live: Option<&Value>) {
        match (wanted, live) {
            (Value::Null, _) => {}
            (_, None | Some(Value::Null)) => {
                if !self.may_be_absent(wanted) {
                    self.change(live, Some(wanted));
                }
            }
            (Value::Object(fields), Some(Value::Object(found))) => {
                for (name, value) in fields {
                    self.at(Step::Field(name.clone()), |inner| inner.owned(value, found.get(name)));
                }
                if self.strict {
                    for (name, value) in found.iter().filter(|(name, _)| fields.get(*name).is_none_or(Value::is_null)) {
                        self.at(Step::Field(name.clone()), |inner| inner.refuse_extra(value));
                    }
                }
            }
            (Value::Array(items), Some(Value::Array(found))) => self.owned_list(wanted, items, found),
            (_, Some(found)) => {
                if !self.same_to_the_server(wanted, found) {
                    self.change(Some(found), Some(wanted));
                }
            }
        }
    }

    fn owned_list(&mut self, wanted: &Value, items: &[Value], found: &[Value]) {
        // Nothing inside an atomic list has an owner of its own.
        let matched = if self.strict { None } else { self.matched(items, found) };
        if let Some((items, found)) = matched {
            for (id, (step, item)) in items {
                self.at(step, |inner| match found.get(&id) {
                    Some((_, live)) => inner.owned(item, Some(live)),
                    None => inner.change(None, Some(item)),
                });
            }
        } else if items.len() != found.len() {
            self.change(Some(&Value::Array(found.to_vec())), Some(wanted));
        } else {
            let outer = std::mem::replace(&mut self.strict, self.known);
            for (index, (item, live)) in items.iter().zip(found).enumerate() {
                self.at(Step::Index(index), |inner| inner.owned(item, Some(live)));
            }
            self.strict = outer;
        }
    }

    fn refuse_extra(&mut self, live: &Value) {
        if !schema::is_server_default(self.kind, &self.path, live) {
            self.change(Some(live), None);
        }
    }

    /// The elements of both lists by their identity, if the list is a set or a map and each element has one of its own.
    fn matched<'v>(&self, a: &'v [Value], b: &'v [Value]) -> Option<(Elements<'v>, Elements<'v>)> {
        let list = list_kind(self.kind, &self.path);
        Some((elements(list, a)?, elements(list, b)?))
    }

    /// Whether the API server stores `wanted` by leaving it out.
    fn may_be_absent(&mut self, wanted: &Value) -> bool {
        if let Value::Object(fields) = wanted
            && !fields.is_empty()
        {
            return fields.iter().all(|(name, value)| {
                self.path.push(Step::Field(name.clone()));
                let absent = self.may_be_absent(value);
                self.path.pop();
                absent
            });
        }
        let metadata = matches!(self.path.first(), Some(Step::Field(name)) if name == "metadata");
        wanted.is_null() || (self.known || metadata) && schema::stored_as_absent(&self.path, wanted)
    }

    fn same_to_the_server(&self, wanted: &Value, live: &Value) -> bool {
        same_scalar(wanted, live)
            || self.known && schema::leaves_choice(&self.path, wanted)
            || self.known && schema::is_quantity(self.kind, &self.path) && same_quantity(wanted, live)
            || is_secret(self.kind) && matches!(self.path.first(), Some(Step::Field(name)) if name == "data") && same_base64(wanted, live)
    }
}

/// Elements by identity, with the step that names each.
type Elements<'v> = BTreeMap<Vec<u8>, (Step, &'v Value)>;

/// `None` if the list is atomic, or an element has no identity or shares one.
fn elements(list: ListKind, items: &[Value]) -> Option<Elements<'_>> {
    let mut elements = BTreeMap::new();
    for item in items {
        let (id, step) = match list {
            ListKind::Atomic => return None,
            ListKind::Set if item.is_object() || item.is_array() => return None,
            ListKind::Set => (canonical_json(item), Step::Value(item.clone())),
            ListKind::Map(keys) => {
                let keys = keys.iter().map(|key| {
                    let value = item.get(key).filter(|value| !value.is_null()).cloned().or_else(|| schema::default_of_key(key))?;
                    Some(((*key).to_owned(), value))
                });
                let keys = keys.collect::<Option<Vec<_>>>()?;
                let id = keys.iter().flat_map(|(_, value)| canonical_json(value).into_iter().chain([0])).collect();
                (id, Step::Key(keys))
            }
        };
        if elements.insert(id, (step, item)).is_some() {
            return None;
        }
    }
    Some(elements)
}

fn sorted_union<'k>(a: impl Iterator<Item = &'k String>, b: impl Iterator<Item = &'k String>) -> Vec<&'k String> {
    let mut names: Vec<_> = a.chain(b).collect();
    names.sort_unstable();
    names.dedup();
    names
}

fn same_scalar(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => canonical_number(a) == canonical_number(b),
        _ => a == b,
    }
}

/// The same bytes in base64, with or without line breaks.
fn same_base64(a: &Value, b: &Value) -> bool {
    let bytes = |value: &Value| {
        let compact: String = value.as_str()?.chars().filter(|c| !matches!(c, '\n' | '\r')).collect();
        STANDARD.decode(compact).ok()
    };
    matches!((bytes(a), bytes(b)), (Some(a), Some(b)) if a == b)
}
