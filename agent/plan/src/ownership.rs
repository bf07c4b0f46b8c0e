//! Field ownership: who holds a field, read from an object's `metadata.managedFields` (the format of
//! sigs.k8s.io/structured-merge-diff `fieldpath`: `f:` a field, `k:` a list element by key, `v:` a set element, `.` the node itself).

use serde_json::{Value, json};
use shared_manifest::{FieldPath, Step, canonical_json};
use shared_model::{Digest, Timestamp};

/// A field manager that holds a field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// Its name.
    pub manager: String,
    /// The subresource that it wrote through, empty for the object itself.
    pub subresource: String,
    /// It applies (server-side) instead of updating.
    pub applies: bool,
    /// Since when its entry dates.
    pub since: Option<Timestamp>,
}

/// Who, other than `own`, holds the field at `path` of `object`. Of several the one whose entry is newest.
pub fn holder(object: &Value, path: &FieldPath, own: &str) -> Option<Holder> {
    entries(object)
        .filter(|entry| text(entry, "manager") != own)
        .filter(|entry| entry.get("fieldsV1").is_some_and(|set| holds(set, &path.0)))
        .map(|entry| Holder {
            manager: text(entry, "manager").to_owned(),
            subresource: text(entry, "subresource").to_owned(),
            applies: text(entry, "operation") == "Apply",
            since: text(entry, "time").parse().ok(),
        })
        .max_by_key(|holder| holder.since)
}

/// A mark that is equal as long as nobody can have changed what we own: the generation and every entry but those of status writers; for
/// kinds without a generation the resourceVersion. Equal marks mean that nothing has to be looked at.
pub fn fingerprint(object: &Value) -> Digest {
    let metadata = object.get("metadata").unwrap_or(&Value::Null);
    let version = match metadata.get("generation") {
        Some(generation) => generation.clone(),
        None => metadata.get("resourceVersion").cloned().unwrap_or_default(),
    };
    let entries: Vec<&Value> = entries(object).filter(|entry| text(entry, "subresource") != "status").collect();
    let deleting = metadata.get("deletionTimestamp").is_some();
    Digest::of(&canonical_json(&json!([metadata.get("uid"), version, entries, deleting])))
}

fn entries(object: &Value) -> impl Iterator<Item = &Value> {
    object.pointer("/metadata/managedFields").and_then(Value::as_array).into_iter().flatten()
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value.get(field).and_then(Value::as_str).unwrap_or_default()
}

/// Whether the field set holds the path: it names the whole path, or it ends earlier at a node that is held as one (an atomic list or map).
fn holds(set: &Value, path: &[Step]) -> bool {
    let Some(fields) = set.as_object() else { return false };
    let Some((step, rest)) = path.split_first() else { return true };
    let children = fields.keys().filter(|name| *name != ".").count();
    if children == 0 {
        return true;
    }
    fields.iter().any(|(name, child)| names(name, step) && (holds(child, rest)))
}

fn names(name: &str, step: &Step) -> bool {
    match step {
        Step::Field(field) => name.strip_prefix("f:") == Some(field),
        Step::Index(index) => name.strip_prefix("i:").and_then(|text| text.parse().ok()) == Some(*index),
        Step::Key(keys) => name.strip_prefix("k:").and_then(|text| serde_json::from_str::<Value>(text).ok()).is_some_and(|found| {
            found
                .as_object()
                .is_some_and(|found| found.len() == keys.len() && keys.iter().all(|(key, value)| found.get(key) == Some(value)))
        }),
        Step::Value(value) => name.strip_prefix("v:").and_then(|text| serde_json::from_str::<Value>(text).ok()).as_ref() == Some(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object() -> Value {
        json!({"metadata": {"uid": "u", "generation": 3, "managedFields": [
            {"manager": "capstan", "operation": "Apply", "time": "2026-01-01T00:00:00Z",
             "fieldsV1": {"f:spec": {"f:replicas": {}, "f:template": {"f:spec": {"f:containers": {"k:{\"name\":\"api\"}": {".": {}, "f:image": {}}}}}}}},
            {"manager": "kubectl-edit", "operation": "Update", "time": "2026-01-02T00:00:00Z",
             "fieldsV1": {"f:spec": {"f:template": {"f:spec": {"f:containers": {"k:{\"name\":\"api\"}": {"f:image": {}}}}}}}},
            {"manager": "kube-controller-manager", "operation": "Update", "subresource": "status", "time": "2026-01-03T00:00:00Z",
             "fieldsV1": {"f:status": {"f:replicas": {}}}},
            {"manager": "scaler", "operation": "Update", "subresource": "scale", "time": "2026-01-04T00:00:00Z",
             "fieldsV1": {"f:spec": {"f:replicas": {}}}},
            {"manager": "tolerator", "operation": "Update", "fieldsV1": {"f:spec": {"f:tolerations": {}}}}]}})
    }

    fn field(name: &str) -> Step {
        Step::Field(name.to_owned())
    }

    #[test]
    fn the_other_manager_of_a_field_is_found_at_any_depth() {
        let name = Step::Key(vec![("name".to_owned(), json!("api"))]);
        let image = [field("spec"), field("template"), field("spec"), field("containers"), name, field("image")];
        let found = |path: &[Step]| holder(&object(), &FieldPath(path.to_vec()), "capstan").map(|holder| holder.manager);
        assert_eq!(found(&image).as_deref(), Some("kubectl-edit"));
        assert_eq!(found(&[field("spec"), field("replicas")]).as_deref(), Some("scaler"));
        assert_eq!(found(&[field("spec"), field("tolerations"), Step::Index(0), field("key")]).as_deref(), Some("tolerator"));
        assert_eq!(found(&[field("spec"), field("paused")]), None);
    }

    #[test]
    fn status_writes_leave_the_mark_and_every_other_write_moves_it() {
        let before = fingerprint(&object());
        let mut status = object();
        status["metadata"]["managedFields"][2]["time"] = json!("2026-02-01T00:00:00Z");
        status["metadata"]["resourceVersion"] = json!("99");
        assert_eq!(fingerprint(&status), before);
        let mut spec = object();
        spec["metadata"]["generation"] = json!(4);
        assert_ne!(fingerprint(&spec), before);
        let mut labels = object();
        labels["metadata"]["managedFields"][1]["time"] = json!("2026-02-01T00:00:00Z");
        assert_ne!(fingerprint(&labels), before);
    }
}
