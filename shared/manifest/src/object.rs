//! One Kubernetes object: a value that is known to have an apiVersion, a kind and a name, and lists of such values taken apart.

use std::fmt;

use serde_json::{Map, Value};
use shared_model::{GroupKind, ObjectKey};

/// A Kubernetes object. Its `Debug` names it and shows none of its content: it may be a Secret.
#[derive(Clone, PartialEq)]
pub struct Object(Value);

/// Why a value is no Kubernetes object.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidObject {
    /// A scalar or a list.
    #[error("a Kubernetes object is a map of fields, this is {found}; check the indentation, and separate objects by \"---\"")]
    NotAMap {
        /// What it is.
        found: &'static str,
    },
    /// No `apiVersion`.
    #[error("apiVersion is missing; write it, as in \"apiVersion: v1\"")]
    NoApiVersion,
    /// No `kind`.
    #[error("kind is missing; write it, as in \"kind: ConfigMap\"")]
    NoKind,
    /// Neither `metadata.name` nor `metadata.generateName`.
    #[error("{kind}: metadata.name is missing; give the object a name")]
    NoName {
        /// Its kind.
        kind: String,
    },
    /// A field of another type than Kubernetes needs.
    #[error("{field} must be {wanted}, not {found}; quote numbers and booleans that are meant as text")]
    WrongType {
        /// The field.
        field: &'static str,
        /// The type it needs.
        wanted: &'static str,
        /// The type it has.
        found: &'static str,
    },
}

impl Object {
    /// Takes a value that has an apiVersion, a kind and `metadata.name` (or `generateName`).
    ///
    /// # Errors
    /// What is missing or has the wrong type.
    pub fn from_value(value: Value) -> Result<Self, InvalidObject> {
        let Value::Object(fields) = &value else { return Err(InvalidObject::NotAMap { found: type_of(&value) }) };
        text(fields, "apiVersion", "apiVersion")?.ok_or(InvalidObject::NoApiVersion)?;
        let kind = text(fields, "kind", "kind")?.ok_or(InvalidObject::NoKind)?;
        let no_name = || InvalidObject::NoName { kind: kind.to_owned() };
        let metadata = map(fields, "metadata", "metadata")?.ok_or_else(no_name)?;
        let name = text(metadata, "name", "metadata.name")?;
        name.or(text(metadata, "generateName", "metadata.generateName")?).ok_or_else(no_name)?;
        text(metadata, "namespace", "metadata.namespace")?;
        map(metadata, "labels", "metadata.labels")?;
        map(metadata, "annotations", "metadata.annotations")?;
        Ok(Self(value))
    }

    /// The value.
    pub fn value(&self) -> &Value {
        &self.0
    }

    /// The value, to change. Who may have changed its identity passes it through [`Object::from_value`] again.
    pub fn value_mut(&mut self) -> &mut Value {
        &mut self.0
    }

    /// The value without the wrapper.
    pub fn into_value(self) -> Value {
        self.0
    }

    /// `apiVersion`, as in `apps/v1`.
    pub fn api_version(&self) -> &str {
        self.0["apiVersion"].as_str().unwrap_or_default()
    }

    /// `kind`.
    pub fn kind(&self) -> &str {
        self.0["kind"].as_str().unwrap_or_default()
    }

    /// Group and kind.
    pub fn group_kind(&self) -> GroupKind {
        GroupKind::of(self.api_version(), self.kind())
    }

    /// Which object this is. The namespace is what the object says, not what its kind needs: [`crate::scope_of`] knows more.
    pub fn key(&self) -> ObjectKey {
        ObjectKey::new(self.group_kind(), self.namespace(), self.name())
    }

    /// `metadata.name`; for an object that lets the server choose, its `generateName`.
    pub fn name(&self) -> &str {
        let metadata = &self.0["metadata"];
        metadata["name"].as_str().filter(|name| !name.is_empty()).or(metadata["generateName"].as_str()).unwrap_or_default()
    }

    /// `metadata.namespace`; empty counts as none.
    pub fn namespace(&self) -> Option<&str> {
        self.0["metadata"]["namespace"].as_str().filter(|namespace| !namespace.is_empty())
    }

    /// Sets or removes `metadata.namespace`.
    pub fn set_namespace(&mut self, namespace: Option<&str>) {
        let Some(metadata) = self.map_at(&["metadata"]) else { return };
        match namespace {
            Some(namespace) => metadata.insert("namespace".to_owned(), namespace.into()),
            None => metadata.remove("namespace"),
        };
    }

    /// The annotation `name`.
    pub fn annotation(&self, name: &str) -> Option<&str> {
        self.0["metadata"]["annotations"][name].as_str()
    }

    /// The label `name`.
    pub fn label(&self, name: &str) -> Option<&str> {
        self.0["metadata"]["labels"][name].as_str()
    }

    /// Sets the annotation `name`.
    pub fn set_annotation(&mut self, name: &str, text: &str) {
        self.set_text(&["metadata", "annotations"], name, text);
    }

    /// Sets the label `name`.
    pub fn set_label(&mut self, name: &str, text: &str) {
        self.set_text(&["metadata", "labels"], name, text);
    }

    /// Whether this is a Secret of the core group.
    pub fn is_secret(&self) -> bool {
        self.kind() == "Secret" && !self.api_version().contains('/')
    }

    fn set_text(&mut self, path: &[&str], name: &str, text: &str) {
        if let Some(map) = self.map_at(path) {
            map.insert(name.to_owned(), text.into());
        }
    }

    /// The map at `path`; what is missing or null on the way is made. `None` only if a caller of `value_mut` put something else there.
    fn map_at(&mut self, path: &[&str]) -> Option<&mut Map<String, Value>> {
        let mut map = self.0.as_object_mut()?;
        for field in path {
            let next = map.entry(*field).or_insert(Value::Null);
            if next.is_null() {
                *next = Value::Object(Map::new());
            }
            map = next.as_object_mut()?;
        }
        Some(map)
    }
}

impl fmt::Debug for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Object({})", self.key())
    }
}

impl fmt::Display for Object {
    /// `Deployment.apps web/api`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.key().fmt(f)
    }
}

/// The items of a list (`kind: List`, or `DeploymentList` and the like with `items`), lists inside lists too; any other value alone. Items of
/// a typed list that lack apiVersion and kind, as API servers print them, get those of the list.
pub fn expand_list(value: Value) -> Vec<Value> {
    let mut out = Vec::new();
    let mut rest = vec![value];
    while let Some(mut value) = rest.pop() {
        let Some(items) = list_items(&mut value) else {
            out.push(value);
            continue;
        };
        let item_kind = value["kind"].as_str().and_then(|kind| kind.strip_suffix("List")).filter(|kind| !kind.is_empty());
        for mut item in items.into_iter().rev() {
            if let (Some(kind), Some(fields)) = (item_kind, item.as_object_mut()) {
                fields.entry("kind").or_insert_with(|| kind.into());
                fields.entry("apiVersion").or_insert_with(|| value["apiVersion"].clone());
            }
            rest.push(item);
        }
    }
    out
}

fn list_items(value: &mut Value) -> Option<Vec<Value>> {
    let kind = value.get("kind")?.as_str()?;
    if !kind.ends_with("List") {
        return None;
    }
    let plain_list = kind == "List";
    match value.get_mut("items") {
        Some(Value::Array(items)) => Some(std::mem::take(items)),
        None | Some(Value::Null) if plain_list => Some(Vec::new()),
        _ => None,
    }
}

/// A text field; absent, null and empty are `None`.
fn text<'v>(fields: &'v Map<String, Value>, name: &str, field: &'static str) -> Result<Option<&'v str>, InvalidObject> {
    match fields.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.as_str()).filter(|text| !text.is_empty())),
        Some(other) => Err(InvalidObject::WrongType { field, wanted: "text", found: type_of(other) }),
    }
}

/// A map field; absent and null are `None`.
fn map<'v>(fields: &'v Map<String, Value>, name: &str, field: &'static str) -> Result<Option<&'v Map<String, Value>>, InvalidObject> {
    match fields.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Object(map)) => Ok(Some(map)),
        Some(other) => Err(InvalidObject::WrongType { field, wanted: "a map", found: type_of(other) }),
    }
}

const fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a map",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn object(value: Value) -> Object {
        Object::from_value(value).unwrap()
    }

    #[test]
    fn an_object_says_which_it_is() {
        let api = object(json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "api", "namespace": "web"}}));
        assert_eq!(api.to_string(), "Deployment.apps web/api");
        assert_eq!(format!("{api:?}"), "Object(Deployment.apps web/api)");
        assert!(!api.is_secret());
        let job = object(json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"generateName": "train-"}}));
        assert_eq!((job.name(), job.namespace()), ("train-", None));
        assert!(object(json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}})).is_secret());
        assert!(!object(json!({"apiVersion": "x.io/v1", "kind": "Secret", "metadata": {"name": "s"}})).is_secret());
    }

    #[test]
    fn what_is_no_object_says_why() {
        let cases = [
            (json!([1]), "a Kubernetes object is a map of fields, this is a list"),
            (json!({"kind": "X"}), "apiVersion is missing"),
            (json!({"apiVersion": "v1", "kind": ""}), "kind is missing"),
            (json!({"apiVersion": "v1", "kind": "X"}), "X: metadata.name is missing"),
            (json!({"apiVersion": "v1", "kind": "X", "metadata": {"name": 12}}), "metadata.name must be text, not a number"),
            (
                json!({"apiVersion": "v1", "kind": "X", "metadata": {"name": "a", "labels": []}}),
                "metadata.labels must be a map, not a list",
            ),
            (json!({"apiVersion": 1, "kind": "X"}), "apiVersion must be text, not a number"),
        ];
        for (value, start) in cases {
            let message = Object::from_value(value).unwrap_err().to_string();
            assert!(message.starts_with(start), "{message}");
        }
    }

    #[test]
    fn metadata_is_made_where_it_is_missing() {
        let mut object = object(json!({"apiVersion": "v1", "kind": "X", "metadata": {"name": "a", "annotations": null}}));
        object.set_annotation("k", "v");
        object.set_label("l", "w");
        object.set_namespace(Some("web"));
        assert_eq!((object.annotation("k"), object.label("l"), object.namespace()), (Some("v"), Some("w"), Some("web")));
        object.set_namespace(None);
        assert_eq!(object.value()["metadata"], json!({"name": "a", "annotations": {"k": "v"}, "labels": {"l": "w"}}));
    }

    #[test]
    fn lists_are_taken_apart_in_order() {
        let item = |name: &str| json!({"apiVersion": "v1", "kind": "X", "metadata": {"name": name}});
        let nested =
            json!({"apiVersion": "v1", "kind": "List", "items": [item("a"), {"kind": "List", "items": [item("b"), item("c")]}, item("d")]});
        assert_eq!(expand_list(nested), [item("a"), item("b"), item("c"), item("d")]);
        let typed = json!({"apiVersion": "apps/v1", "kind": "DeploymentList", "items": [{"metadata": {"name": "a"}}]});
        assert_eq!(expand_list(typed), [json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "a"}})]);
        let custom = json!({"apiVersion": "x.io/v1", "kind": "AllowList", "metadata": {"name": "a"}, "spec": {"items": []}});
        assert_eq!(expand_list(custom.clone()), [custom]);
        assert_eq!(expand_list(json!({"apiVersion": "v1", "kind": "List"})), Vec::<Value>::new());
    }
}
