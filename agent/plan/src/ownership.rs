//! Field ownership: who holds a field, read from an object's `metadata.managedFields` (the format of
//! sigs.k8s.io/structured-merge-diff `fieldpath`: `f:` a field, `k:` a list element by key, `v:` a set element, `.` the node itself).

use std::collections::{BTreeMap, BTreeSet};

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
        .filter(|entry| entry.get("fieldsV1").is_some_and(|set| holds(set, &path.0, Some(object))))
        .map(|entry| Holder {
            manager: text(entry, "manager").to_owned(),
            subresource: text(entry, "subresource").to_owned(),
            applies: text(entry, "operation") == "Apply",
            since: text(entry, "time").parse().ok(),
        })
        .max_by_key(|holder| holder.since)
}

/// Whether one of these managers holds the field at `path` of `object`, alone or with others.
pub(crate) fn is_held_by(object: &Value, path: &FieldPath, managers: &BTreeSet<&str>) -> bool {
    let theirs = entries(object).filter(|entry| managers.contains(text(entry, "manager")));
    theirs.filter_map(|entry| entry.get("fieldsV1")).any(|set| holds(set, &path.0, Some(object)))
}

/// How many steps of `path` lead to the value in `object` that has one owner as a whole and that the field is a part of: who sets that value without
/// the field removes it.
pub(crate) fn whole_of(object: &Value, path: &FieldPath) -> Option<usize> {
    entries(object).filter_map(|entry| entry.get("fieldsV1")).find_map(|set| ends_above(set, &path.0, Some(object)))
}

/// Tools that wrote whole manifests before Capstan did, as they call themselves in managedFields: kubectl, Helm, Argo CD, Flux, Rancher's Fleet.
/// What a person does by `kubectl edit` or `scale` is not theirs.
const APPLIERS: [&str; 10] = [
    "argocd-application-controller",
    "argocd-controller",
    "before-first-apply",
    "flux",
    "fleetagent",
    "helm",
    "helm-controller",
    "kubectl",
    "kubectl-client-side-apply",
    "kustomize-controller",
];

/// The `managedFields` under which everything that such a tool holds of `live` is `own`'s, so that the next apply removes what is not wanted
/// any more (Flux and Argo CD take over from kubectl likewise, client-go calls it `csaupgrade`). `None` if there is nothing to take over.
/// An entry in another version of the API is left alone: its fields may have other names.
pub fn take_over(live: &Value, own: &str) -> Option<Value> {
    let is_whole = |entry: &Value| text(entry, "subresource").is_empty();
    let is_own = |entry: &Value| is_own_entry(entry, own);
    let is_theirs = |entry: &Value| is_whole(entry) && APPLIERS.contains(&text(entry, "manager"));
    let ours = entries(live).find(|entry| is_own(entry)).cloned().or_else(|| {
        // Nothing of it was applied by us yet: what the first of them holds is the beginning.
        let mut first = entries(live).find(|entry| is_theirs(entry))?.clone();
        first["manager"] = json!(own);
        first["operation"] = json!("Apply");
        Some(first)
    })?;
    let taken = |entry: &Value| is_theirs(entry) && text(entry, "apiVersion") == text(&ours, "apiVersion");
    let mut merged = ours.clone();
    let mut count = 0;
    for entry in entries(live).filter(|entry| taken(entry)) {
        merge(merged.get_mut("fieldsV1")?, entry.get("fieldsV1")?);
        count += 1;
    }
    let rest = entries(live).filter(|entry| !is_own(entry) && !taken(entry)).cloned();
    (count > 0).then(|| std::iter::once(merged).chain(rest).collect())
}

/// The `managedFields` of `live` without what `own` holds, so that nobody holds it; `None` if it holds nothing. Where no other entry is left
/// they are one that is empty, as an empty list would change nothing (Kubernetes' documentation of server-side apply, "clearing managedFields").
pub fn given_up(live: &Value, own: &str) -> Option<Value> {
    let is_ours = |entry: &&Value| text(entry, "manager") == own;
    entries(live).find(is_ours)?;
    let rest: Vec<Value> = entries(live).filter(|entry| !is_ours(entry)).cloned().collect();
    Some(if rest.is_empty() { json!([{}]) } else { Value::Array(rest) })
}

/// Whether the entry is of what `own` applies to the object itself.
pub(crate) fn is_own_entry(entry: &Value, own: &str) -> bool {
    text(entry, "subresource").is_empty() && text(entry, "manager") == own && text(entry, "operation") == "Apply"
}

/// The union of two field sets.
fn merge(into: &mut Value, from: &Value) {
    let (Some(into), Some(from)) = (into.as_object_mut(), from.as_object()) else { return };
    for (name, child) in from {
        merge(into.entry(name.clone()).or_insert_with(|| json!({})), child);
    }
}

/// The most fields of one object that are remembered as kept: more would not be read.
const KEPT_LIMIT: usize = 20;

/// The fields that `own` held of the object `before` an apply and does not hold `after` it, and that are there all the same because another
/// manager holds them: each as its steps in managedFields, with that manager.
pub fn kept(before: &Value, after: &Value, own: &str) -> BTreeMap<Vec<String>, String> {
    let applied = |object: &Value| -> BTreeSet<Vec<String>> {
        let mut leaves = BTreeSet::new();
        for entry in entries(object).filter(|entry| text(entry, "manager") == own && text(entry, "operation") == "Apply") {
            collect_leaves(entry.get("fieldsV1").unwrap_or(&Value::Null), &mut Vec::new(), &mut leaves);
        }
        leaves
    };
    let still = applied(after);
    let dropped = applied(before).into_iter().filter(|path| !still.contains(path));
    dropped.filter_map(|path| kept_by(after, &path, own).map(|manager| (path, manager))).take(KEPT_LIMIT).collect()
}

/// Who, other than `own`, keeps the field at these steps of managedFields there; `None` if it is gone, or nobody holds it.
pub fn kept_by(live: &Value, path: &[String], own: &str) -> Option<String> {
    let steps = steps(path)?;
    holder(live, &FieldPath(steps), own).map(|holder| holder.manager)
}

/// The field in words.
pub fn field_name(path: &[String]) -> String {
    steps(path).map_or_else(|| path.join("."), |steps| FieldPath(steps).to_string())
}

fn steps(path: &[String]) -> Option<Vec<Step>> {
    let step = |name: &String| {
        let (kind, text) = name.split_once(':')?;
        Some(match kind {
            "f" => Step::Field(text.to_owned()),
            "i" => Step::Index(text.parse().ok()?),
            "v" => Step::Value(serde_json::from_str(text).ok()?),
            "k" => Step::Key(serde_json::from_str::<serde_json::Map<_, _>>(text).ok()?.into_iter().collect()),
            _ => return None,
        })
    };
    path.iter().map(step).collect()
}

fn collect_leaves(set: &Value, path: &mut Vec<String>, leaves: &mut BTreeSet<Vec<String>>) {
    let children = set.as_object().into_iter().flatten().filter(|(name, _)| *name != ".");
    let mut is_leaf = true;
    for (name, child) in children {
        is_leaf = false;
        path.push(name.clone());
        collect_leaves(child, path, leaves);
        path.pop();
    }
    if is_leaf && !path.is_empty() {
        leaves.insert(path.clone());
    }
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
/// `value` is what is there, where that is known.
fn holds(set: &Value, path: &[Step], value: Option<&Value>) -> bool {
    let Some(fields) = set.as_object() else { return false };
    let Some((step, rest)) = path.split_first() else { return true };
    let children = fields.keys().filter(|name| *name != ".").count();
    if children == 0 {
        return true;
    }
    fields.iter().any(|(name, child)| names(name, step, value) && holds(child, rest, inner(value, step)))
}

/// After how many steps the field set ends, if it does before the path does, at a node that is held as one.
fn ends_above(set: &Value, path: &[Step], value: Option<&Value>) -> Option<usize> {
    let (fields, (step, rest)) = (set.as_object()?, path.split_first()?);
    if fields.is_empty() {
        return Some(0);
    }
    let children = fields.iter().filter(|(name, _)| names(name, step, value));
    children.filter_map(|(_, child)| ends_above(child, rest, inner(value, step))).next().map(|steps| steps + 1)
}

/// What a step leads to.
fn inner<'v>(value: Option<&'v Value>, step: &Step) -> Option<&'v Value> {
    let value = value?;
    match step {
        Step::Field(name) => value.get(name),
        Step::Index(index) => value.get(index),
        Step::Key(keys) => value.as_array()?.iter().find(|element| keys.iter().all(|(key, value)| element.get(key) == Some(value))),
        Step::Value(wanted) => value.as_array()?.iter().find(|element| *element == wanted),
    }
}

/// Whether a node of a field set is what the step leads to. Which lists of a kind that is not known have keys only the field set tells: an index is
/// then the element that has them.
fn names(name: &str, step: &Step, value: Option<&Value>) -> bool {
    let Some((tag, text)) = name.split_once(':') else { return false };
    let told = || serde_json::from_str::<Value>(text).ok();
    match (tag, step) {
        ("f", Step::Field(field)) => text == field,
        ("i", Step::Index(index)) => text.parse().ok() == Some(*index),
        ("k", Step::Index(index)) => told().is_some_and(|told| {
            let element = value.and_then(|list| list.get(index));
            element
                .is_some_and(|element| told.as_object().is_some_and(|keys| keys.iter().all(|(key, value)| element.get(key) == Some(value))))
        }),
        ("v", Step::Index(index)) => value.and_then(|list| list.get(index)).is_some_and(|element| told().as_ref() == Some(element)),
        ("k", Step::Key(keys)) => told().is_some_and(|told| {
            told.as_object().is_some_and(|told| told.len() == keys.len() && keys.iter().all(|(key, value)| told.get(key) == Some(value)))
        }),
        ("v", Step::Value(value)) => told().as_ref() == Some(value),
        _ => false,
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
    fn what_a_tool_held_is_taken_over_and_what_a_person_or_a_controller_holds_is_not() {
        let mut live = object();
        let list = live["metadata"]["managedFields"].as_array_mut().expect("a list");
        list[0]["apiVersion"] = json!("apps/v1");
        for (version, field) in [("apps/v1", "f:paused"), ("apps/v1beta1", "f:rollbackTo")] {
            list.push(json!({"manager": "kubectl-client-side-apply", "operation": "Update", "apiVersion": version, "fieldsV1": {"f:spec": {field: {}}}}));
        }
        let taken = take_over(&live, "capstan").expect("there is something");
        let managers: Vec<&str> = taken.as_array().expect("a list").iter().map(|entry| text(entry, "manager")).collect();
        let others = ["kubectl-edit", "kube-controller-manager", "scaler", "tolerator", "kubectl-client-side-apply"];
        assert_eq!(managers, [&["capstan"][..], &others].concat());
        assert!(taken[0]["fieldsV1"]["f:spec"].get("f:paused").is_some() && taken[0]["fieldsV1"]["f:spec"].get("f:replicas").is_some());
        assert_eq!(take_over(&object(), "capstan"), None);

        let entries = json!([
            {"manager": "helm", "operation": "Update", "apiVersion": "v1", "fieldsV1": {"f:data": {"f:a": {}}}},
            {"manager": "someone", "operation": "Update", "apiVersion": "v1", "fieldsV1": {"f:data": {"f:b": {}}}}]);
        let taken =
            take_over(&json!({"metadata": {"managedFields": entries}}), "capstan").expect("there is something, and nothing of ours yet");
        let first = json!({"manager": "capstan", "operation": "Apply", "apiVersion": "v1", "fieldsV1": {"f:data": {"f:a": {}}}});
        assert_eq!(taken, json!([first, entries[1]]));
    }

    #[test]
    fn a_dropped_field_that_another_manager_holds_is_kept_by_it() {
        let before = object();
        let mut after = object();
        let own = &mut after["metadata"]["managedFields"][0]["fieldsV1"]["f:spec"];
        *own = json!({});
        let kept = kept(&before, &after, "capstan");
        let told: Vec<(String, &str)> = kept.iter().map(|(path, manager)| (field_name(path), manager.as_str())).collect();
        let expected = [("spec.replicas", "scaler"), ("spec.template.spec.containers[name=api].image", "kubectl-edit")];
        assert_eq!(told, expected.map(|(field, manager)| (field.to_owned(), manager)));
        after["metadata"]["managedFields"] = json!([]);
        assert!(kept.keys().all(|path| kept_by(&after, path, "capstan").is_none()));
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
