//! Fields that are left to others: where they are in what is wanted and in what is there, and what is sent in their place.
//!
//! Flux's way: once an object exists, an ignored field is *stripped* from what is applied if another manager applies it, so that we do not come
//! to own it, and *adopted* with its live value if not, so that dropping it does not delete it.
//!
//! An expression that costs more than its budget on an object points at nothing there.

use std::borrow::Cow;
use std::collections::BTreeSet;

use serde_json::Value;
use shared_expression::jq::{JqPath, Key};
use shared_manifest::{FieldPath, ListKind, Step, list_kind, owned_diff};
use shared_model::GroupKind;
use shared_release::Ignore;

use crate::governed::path_of;
use crate::ownership::{holder, is_held_by};

/// The managers whose fields are ignored.
pub(crate) fn managers(ignore: &BTreeSet<Ignore>) -> BTreeSet<&str> {
    let names = ignore.iter().filter_map(|ignore| match ignore {
        Ignore::Manager(manager) => Some(manager.as_str()),
        _ => None,
    });
    names.collect()
}

fn paths(ignore: &BTreeSet<Ignore>) -> impl Iterator<Item = &JqPath> {
    ignore.iter().filter_map(|ignore| match ignore {
        Ignore::Path(path) => Some(path),
        _ => None,
    })
}

fn pointers(ignore: &BTreeSet<Ignore>) -> impl Iterator<Item = Vec<Key>> {
    ignore.iter().filter_map(|ignore| match ignore {
        Ignore::Pointer(pointer) => Some(keys_of(pointer)),
        _ => None,
    })
}

/// A pointer's steps; a number may be an index or the name of a field, which only the object tells.
fn keys_of(pointer: &str) -> Vec<Key> {
    pointer.split('/').skip(1).map(|segment| Key::Field(segment.replace("~1", "/").replace("~0", "~"))).collect()
}

/// `object` without the fields at pointers and paths.
pub(crate) fn without<'a>(object: &'a Value, ignore: &BTreeSet<Ignore>) -> Cow<'a, Value> {
    let mut places: Vec<Vec<Key>> = pointers(ignore).collect();
    for path in paths(ignore) {
        places.extend(path.places(object).unwrap_or_default());
    }
    if places.is_empty() {
        return Cow::Borrowed(object);
    }
    let mut left = object.clone();
    remove_all(&mut left, places);
    Cow::Owned(left)
}

/// What is sent when `wanted` is applied over `live`.
pub(crate) fn prepare(kind: &GroupKind, wanted: &Value, live: &Value, ignore: &BTreeSet<Ignore>, own: &str) -> Value {
    let mut prepared = wanted.clone();
    let mut stripped = Vec::new();
    for ignore in ignore {
        if let Ignore::Pointer(pointer) = ignore {
            let keys = keys_of(pointer);
            settle(&mut prepared, keys, live.pointer(pointer), &path_of(pointer), live, own, &mut stripped);
        }
    }
    for path in paths(ignore) {
        for place in path.places(wanted).unwrap_or_default() {
            let (found, field) = counterpart(kind, wanted, live, &place);
            settle(&mut prepared, place, found, &field, live, own, &mut stripped);
        }
    }
    let managers = managers(ignore);
    if !managers.is_empty() {
        for change in owned_diff(kind, &prepared, live) {
            if is_held_by(live, &change.path, &managers)
                && let Some(place) = locate(&prepared, &change.path)
            {
                settle(&mut prepared, place, change.before.as_ref(), &change.path, live, own, &mut stripped);
            }
        }
    }
    remove_all(&mut prepared, stripped);
    prepared
}

/// Adopts the live value at `place`, or notes that the place is to be stripped.
fn settle(
    prepared: &mut Value,
    place: Vec<Key>,
    found: Option<&Value>,
    field: &FieldPath,
    live: &Value,
    own: &str,
    stripped: &mut Vec<Vec<Key>>,
) {
    let governed = holder(live, field, own).is_some_and(|holder| holder.applies || holder.subresource == "scale");
    match found.filter(|_| !governed) {
        Some(found) => {
            if let Some(slot) = at_mut(prepared, &place) {
                *slot = found.clone();
            }
        }
        None => stripped.push(place),
    }
}

/// The live value that belongs to a place in what is wanted, and its field: elements of lists are found by what makes them the same.
fn counterpart<'a>(kind: &GroupKind, wanted: &Value, live: &'a Value, place: &[Key]) -> (Option<&'a Value>, FieldPath) {
    let mut path: Vec<Step> = Vec::with_capacity(place.len());
    let (mut wanted, mut live) = (Some(wanted), Some(live));
    for key in place {
        match key {
            Key::Field(name) => {
                wanted = wanted.and_then(|wanted| wanted.get(name));
                live = live.and_then(|live| live.get(name));
                path.push(Step::Field(name.clone()));
            }
            Key::Index(index) => {
                let element = wanted.and_then(|wanted| wanted.get(index));
                let step = element.map_or(Step::Index(*index), |element| step_of(list_kind(kind, &path), element, *index));
                live = live
                    .and_then(|live| find(live, &step))
                    .or_else(|| same_name(live?, element?).filter(|_| matches!(step, Step::Index(_))));
                wanted = element;
                path.push(step);
            }
        }
    }
    (live, FieldPath(path))
}

/// How an element of a list is pointed at.
fn step_of(list: ListKind, element: &Value, index: usize) -> Step {
    match list {
        ListKind::Map(keys) => {
            let pairs: Vec<_> = keys.iter().filter_map(|key| Some(((*key).to_owned(), element.get(key)?.clone()))).collect();
            if pairs.is_empty() { Step::Index(index) } else { Step::Key(pairs) }
        }
        ListKind::Set => Step::Value(element.clone()),
        ListKind::Atomic => Step::Index(index),
    }
}

/// The element of a list that a step points at.
fn find<'a>(list: &'a Value, step: &Step) -> Option<&'a Value> {
    position(list, step).and_then(|position| list.get(position))
}

fn position(list: &Value, step: &Step) -> Option<usize> {
    let list = list.as_array()?;
    match step {
        Step::Index(index) => (*index < list.len()).then_some(*index),
        Step::Value(value) => list.iter().position(|element| element == value),
        // A key that the API server has filled in may be missing in what is wanted.
        Step::Key(pairs) => {
            list.iter().position(|element| pairs.iter().all(|(key, value)| element.get(key).is_none_or(|found| found == value)))
        }
        Step::Field(_) => None,
    }
}

/// In a list of unknown kind: the element of the same name.
fn same_name<'a>(list: &'a Value, element: &Value) -> Option<&'a Value> {
    let name = element.get("name")?;
    list.as_array()?.iter().find(|other| other.get("name") == Some(name))
}

/// Where the field `path` is in `object`.
fn locate(object: &Value, path: &FieldPath) -> Option<Vec<Key>> {
    let mut value = object;
    let mut place = Vec::with_capacity(path.0.len());
    for step in &path.0 {
        let key = match step {
            Step::Field(name) => Key::Field(name.clone()),
            step => Key::Index(position(value, step)?),
        };
        value = at(value, &key)?;
        place.push(key);
    }
    Some(place)
}

fn at<'a>(value: &'a Value, key: &Key) -> Option<&'a Value> {
    match (value, key) {
        (Value::Object(map), Key::Field(name)) => map.get(name),
        (Value::Array(list), Key::Field(name)) => list.get(name.parse::<usize>().ok()?),
        (Value::Array(list), Key::Index(index)) => list.get(*index),
        _ => None,
    }
}

fn at_mut<'a>(value: &'a mut Value, place: &[Key]) -> Option<&'a mut Value> {
    place.iter().try_fold(value, |value, key| match (value, key) {
        (Value::Object(map), Key::Field(name)) => map.get_mut(name),
        (Value::Array(list), Key::Field(name)) => list.get_mut(name.parse::<usize>().ok()?),
        (Value::Array(list), Key::Index(index)) => list.get_mut(*index),
        _ => None,
    })
}

/// Takes places away, the last first, so that those before stay where they are. The object itself is none of them.
fn remove_all(object: &mut Value, mut places: Vec<Vec<Key>>) {
    places.retain(|place| !place.is_empty());
    places.sort();
    places.dedup();
    for place in places.iter().rev() {
        let Some((last, parents)) = place.split_last() else { continue };
        match (at_mut(object, parents), last) {
            (Some(Value::Object(map)), Key::Field(name)) => {
                map.remove(name);
            }
            (Some(Value::Array(list)), key) => {
                let index = match key {
                    Key::Index(index) => Some(*index),
                    Key::Field(name) => name.parse().ok(),
                };
                if let Some(index) = index.filter(|index| *index < list.len()) {
                    list.remove(index);
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{compare, prepare};

    /// Rules, the live fields' holder, and: the changed fields, the image and the level that are sent (none: left out).
    type Case<'a> = (&'a [&'a str], Value, &'a [&'a str], Option<&'a str>, Option<&'a str>);

    fn deployment(image: &str, level: &str, managed: &Value) -> Value {
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "api", "managedFields": managed}, "spec": {"template": {"spec": {"containers": [
            {"name": "proxy", "image": "p"}, {"name": "api", "image": image, "env": [{"name": "LEVEL", "value": level}, {"name": "X", "value": "1"}]}]}}}})
    }

    /// The API server's order of containers, with one that somebody put in.
    fn injected(mut live: Value) -> Value {
        let containers = live["spec"]["template"]["spec"]["containers"].as_array_mut().expect("a list");
        containers.reverse();
        containers.insert(0, json!({"name": "sidecar", "image": "s"}));
        live
    }

    fn held(manager: &str, operation: &str, fields: &Value) -> Value {
        json!([{"manager": manager, "operation": operation, "time": "2026-01-01T00:00:00Z", "fieldsV1": {"f:spec": {"f:template": {"f:spec": {"f:containers": {"k:{\"name\":\"api\"}": fields}}}}}}])
    }

    fn rules(texts: &[&str]) -> BTreeSet<Ignore> {
        texts.iter().map(|text| text.parse().expect("a rule")).collect()
    }

    #[test]
    fn what_is_ignored_is_no_drift_and_keeps_its_live_value_whatever_the_order_of_lists() {
        let image = json!({"f:image": {}});
        let env = json!({"f:env": {"k:{\"name\":\"LEVEL\"}": {"f:value": {}}}});
        let cases: [Case; 9] = [
            (&[], json!([]), &["image", "LEVEL"], Some("a:1"), Some("info")),
            (&[".spec.template.spec.containers[] | select(.name == \"api\") | .image"], json!([]), &["LEVEL"], Some("a:2"), Some("info")),
            (&[".spec.template.spec.containers[].image"], held("tuner", "Apply", &image), &["LEVEL"], None, Some("info")),
            (
                &[".spec.template.spec.containers[].env[]? | select(.name == \"LEVEL\").value"],
                json!([]),
                &["image"],
                Some("a:1"),
                Some("debug"),
            ),
            (&["manager:tuner"], held("tuner", "Update", &env), &["image"], Some("a:1"), Some("debug")),
            (&["manager:tuner"], held("tuner", "Apply", &env), &["image"], Some("a:1"), None),
            (&["manager:somebody"], held("tuner", "Update", &env), &["image", "LEVEL"], Some("a:1"), Some("info")),
            (&["manager:tuner", ".spec.template.spec.containers[].env"], held("tuner", "Update", &image), &[], Some("a:2"), Some("debug")),
            (&[".."], json!([]), &[], Some("a:2"), Some("debug")),
        ];
        for (texts, managed, changed, image, level) in cases {
            let (wanted, live) = (deployment("a:1", "info", &json!(null)), injected(deployment("a:2", "debug", &managed)));
            let ignore = rules(texts);
            let changes = compare(&wanted, &live, &ignore, "capstan").changes;
            let found: Vec<bool> = ["image", "LEVEL"].iter().map(|name| changes.iter().any(|change| change.path.contains(name))).collect();
            assert_eq!(found, ["image", "LEVEL"].map(|name| changed.contains(&name)), "{texts:?}: {changes:?}");
            let sent = prepare(&wanted, Some(&live), &ignore, "capstan");
            let api = sent["spec"]["template"]["spec"]["containers"]
                .as_array()
                .and_then(|list| list.iter().find(|c| c["name"] == "api").cloned());
            let api = api.unwrap_or_default();
            let sent_level =
                api["env"].as_array().and_then(|env| env.iter().find(|variable| variable["name"] == "LEVEL")?.get("value")?.as_str());
            assert_eq!((api["image"].as_str(), sent_level), (image, level), "{texts:?}");
            assert_eq!(prepare(&wanted, None, &ignore, "capstan"), wanted, "it is made as it is wanted");
        }
    }

    #[test]
    fn what_is_ignored_as_a_whole_is_left_out_and_its_neighbours_stay() {
        let hook = |bundle: Value| {
            json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingWebhookConfiguration", "metadata": {"name": "h"}, "webhooks": [
            {"name": "a", "clientConfig": {"caBundle": bundle, "url": "u"}}, {"name": "b", "clientConfig": {"url": "v"}}]})
        };
        let ignore = rules(&[".webhooks[]?.clientConfig.caBundle"]);
        let (wanted, live) = (hook(json!("")), hook(json!("Y2E=")));
        assert!(compare(&wanted, &live, &ignore, "capstan").changes.is_empty());
        assert_eq!(prepare(&wanted, Some(&live), &ignore, "capstan")["webhooks"][0]["clientConfig"]["caBundle"], "Y2E=");
        let gone = prepare(&live, Some(&json!({"webhooks": []})), &ignore, "capstan");
        assert_eq!(gone["webhooks"][0]["clientConfig"], json!({"url": "u"}));
    }
}
