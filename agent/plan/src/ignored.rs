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
use shared_manifest::{FieldPath, owned_diff};
use shared_model::GroupKind;
use shared_release::Ignore;

use crate::ownership::{holder, is_held_by, whole_of};
use crate::place::{at, at_mut, follow, locate, put, remove_all};

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

/// One ignored field. Pointers and paths are read in what is wanted, as that is what their author sees: the API server and others put elements of
/// lists elsewhere.
struct Spot<'v> {
    /// Where it is in what is wanted, or where it would be.
    wanted: Vec<Key>,
    /// It is there.
    is_wanted: bool,
    /// Where it is in the live object, if anywhere, and its value.
    live: Option<(Vec<Key>, &'v Value)>,
    /// The live field.
    path: FieldPath,
    /// It is in an element of a list that is not there yet.
    is_new: bool,
}

/// All that pointers and paths point at, in either object.
fn spots<'v>(kind: &GroupKind, wanted: &'v Value, live: &'v Value, ignore: &BTreeSet<Ignore>) -> Vec<Spot<'v>> {
    let mut places: Vec<Vec<Key>> = pointers(ignore).collect();
    let mut in_live = Vec::new();
    for path in paths(ignore) {
        places.extend(path.places(wanted).unwrap_or_default());
        in_live.extend(path.places(live).unwrap_or_default());
    }
    let from_wanted = places.iter().map(|place| {
        let found = follow(kind, wanted, live, place);
        let live = found.there.map(|value| (found.place_there, value));
        let path = FieldPath(if live.is_some() { found.steps_there } else { found.steps_here });
        Spot { wanted: found.place_here, is_wanted: found.here.is_some(), live, path, is_new: found.is_new }
    });
    // What an expression finds in the live object alone. What is wanted as well was found there, or is not meant: an index counts elements of
    // what is wanted.
    let from_live = in_live.iter().filter_map(|place| {
        let found = follow(kind, live, wanted, place);
        let live = found.here.filter(|_| found.there.is_none()).map(|value| (found.place_here, value));
        live.is_some().then_some(Spot {
            wanted: found.place_there,
            is_wanted: false,
            live,
            path: FieldPath(found.steps_here),
            is_new: found.is_new,
        })
    });
    // The object itself is no field of it.
    from_wanted.chain(from_live).filter(|spot| !spot.path.0.is_empty()).collect()
}

/// `wanted` and `live` without the fields at pointers and paths.
pub(crate) fn without<'a>(
    kind: &GroupKind,
    wanted: &'a Value,
    live: &'a Value,
    ignore: &BTreeSet<Ignore>,
) -> (Cow<'a, Value>, Cow<'a, Value>) {
    let spots = spots(kind, wanted, live, ignore);
    if spots.is_empty() {
        return (Cow::Borrowed(wanted), Cow::Borrowed(live));
    }
    let (mut left_wanted, mut left_live) = (wanted.clone(), live.clone());
    let (mut of_wanted, mut of_live) = (Vec::new(), Vec::new());
    for spot in spots {
        of_wanted.extend(Some(spot.wanted).filter(|_| spot.is_wanted));
        of_live.extend(spot.live.map(|(place, _)| place));
    }
    remove_all(&mut left_wanted, of_wanted);
    remove_all(&mut left_live, of_live);
    (Cow::Owned(left_wanted), Cow::Owned(left_live))
}

/// What is sent when `wanted` is applied over `live`.
pub(crate) fn prepare(kind: &GroupKind, wanted: &Value, live: &Value, ignore: &BTreeSet<Ignore>, own: &str) -> Value {
    let mut prepared = wanted.clone();
    let mut stripped = Vec::new();
    let mut spots = spots(kind, wanted, live, ignore);
    // What is inside of another one is settled with it.
    spots.sort_by(|a, b| a.wanted.cmp(&b.wanted));
    spots.dedup_by(|inner, outer| inner.wanted.starts_with(&outer.wanted));
    for spot in spots {
        let found = spot.live.as_ref().map(|(_, value)| *value);
        match found {
            // A new element of a list is made as it is wanted, as a new object is.
            _ if spot.is_wanted && spot.is_new => {}
            _ if spot.is_wanted => settle(&mut prepared, spot.wanted, found, &spot.path, live, own, &mut stripped),
            // What is not wanted is in nobody's way, unless it would go with the value that it is a part of.
            Some(found) if goes_with_its_whole(wanted, live, &spot) && !is_governed(live, &spot.path, own) => {
                put(&mut prepared, &spot.wanted, found);
            }
            _ => {}
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
    match found.filter(|_| !is_governed(live, field, own)) {
        Some(found) => {
            if let Some(slot) = at_mut(prepared, &place) {
                *slot = found.clone();
            }
        }
        None => stripped.push(place),
    }
}

/// Whether the field is part of a value that has one owner as a whole and that is wanted, without the field.
fn goes_with_its_whole(wanted: &Value, live: &Value, spot: &Spot<'_>) -> bool {
    let whole = whole_of(live, &spot.path).and_then(|steps| spot.wanted.get(..steps));
    whole.is_some_and(|whole| whole.iter().try_fold(wanted, at).is_some())
}

/// Whether somebody else applies the field, or scales by it.
fn is_governed(live: &Value, field: &FieldPath, own: &str) -> bool {
    holder(live, field, own).is_some_and(|holder| holder.applies || holder.subresource == "scale")
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
        let gone = prepare(&live, Some(&hook(json!(null))), &ignore, "capstan");
        assert_eq!(gone["webhooks"][0]["clientConfig"], json!({"caBundle": null, "url": "u"}));
        let new = prepare(&live, Some(&json!({"webhooks": []})), &ignore, "capstan");
        assert_eq!(new["webhooks"], live["webhooks"], "what is not there yet is made as it is wanted");
    }

    /// A field of an element, as a pointer and as a path say it: an index counts what is wanted.
    const BY_INDEX: [&str; 2] = ["/spec/template/spec/containers/1/image", ".spec.template.spec.containers[1].image"];

    #[test]
    fn an_index_counts_what_is_wanted_wherever_the_element_is() {
        for rule in BY_INDEX {
            let ignore = rules(&[rule]);
            let (wanted, live) = (deployment("a:1", "info", &json!(null)), injected(deployment("a:2", "info", &json!([]))));
            assert!(compare(&wanted, &live, &ignore, "capstan").changes.is_empty(), "{rule}");
            let mut expected = wanted.clone();
            expected["spec"]["template"]["spec"]["containers"][1]["image"] = json!("a:2");
            assert_eq!(prepare(&wanted, Some(&live), &ignore, "capstan"), expected, "{rule}: of our own container, and nothing else");

            let mut reversed = live.clone();
            reversed["spec"]["template"]["spec"]["containers"].as_array_mut().expect("a list").remove(0);
            assert_eq!(compare(&wanted, &reversed, &ignore, "capstan").changes, [], "{rule}: at this index is another one of ours");
            assert_eq!(prepare(&wanted, Some(&reversed), &ignore, "capstan"), expected, "{rule}");

            // The image of our other container is drift as ever.
            let mut other = live.clone();
            other["spec"]["template"]["spec"]["containers"][2]["image"] = json!("p:2");
            let changes = compare(&wanted, &other, &ignore, "capstan").changes;
            assert_eq!(
                changes.iter().map(|change| change.path.as_str()).collect::<Vec<_>>(),
                ["spec.template.spec.containers[name=proxy].image"]
            );

            let applied = injected(deployment("a:2", "info", &held("tuner", "Apply", &json!({"f:image": {}}))));
            let sent = prepare(&wanted, Some(&applied), &ignore, "capstan");
            assert_eq!(sent["spec"]["template"]["spec"]["containers"][1].get("image"), None, "{rule}: who applies it keeps it");

            let mut renamed = wanted.clone();
            renamed["spec"]["template"]["spec"]["containers"][1]["name"] = json!("web");
            assert_eq!(prepare(&renamed, Some(&live), &ignore, "capstan"), renamed, "{rule}: a new container has the image that is wanted");
        }
    }

    #[test]
    fn elements_of_kinds_that_are_not_known_are_found_by_name_and_else_by_index() {
        let set = |jobs: Value, fields: Value| {
            json!({"apiVersion": "jobset.x-k8s.io/v1alpha2", "kind": "JobSet", "spec": {"replicatedJobs": jobs},
                "metadata": {"name": "s", "managedFields": [{"manager": "tuner", "operation": "Apply", "fieldsV1": {"f:spec": {"f:replicatedJobs": fields}}}]}})
        };
        let ignore = rules(&["/spec/replicatedJobs/0/replicas"]);
        let wanted = set(json!([{"name": "workers", "replicas": 2}]), json!({}));
        let jobs = json!([{"name": "driver", "replicas": 1}, {"name": "workers", "replicas": 5}]);
        let live = set(jobs.clone(), json!({"k:{\"name\":\"driver\"}": {"f:replicas": {}}}));
        assert_eq!(
            prepare(&wanted, Some(&live), &ignore, "capstan")["spec"]["replicatedJobs"],
            json!([{"name": "workers", "replicas": 5}])
        );
        let applied = set(jobs, json!({"k:{\"name\":\"workers\"}": {"f:replicas": {}}}));
        assert_eq!(prepare(&wanted, Some(&applied), &ignore, "capstan")["spec"]["replicatedJobs"], json!([{"name": "workers"}]));
        let unnamed = |replicas: i64| set(json!([{"replicas": replicas}, {"replicas": 9}]), json!(null));
        assert!(compare(&unnamed(1), &unnamed(3), &ignore, "capstan").changes.is_empty());
        assert_eq!(prepare(&unnamed(1), Some(&unnamed(3)), &ignore, "capstan")["spec"], unnamed(3)["spec"]);
    }

    #[test]
    fn what_only_the_live_object_has_is_ignored_and_stays_where_it_would_go_with_its_list() {
        let range = |limit: Value, manager: &str| {
            json!({"apiVersion": "v1", "kind": "LimitRange", "spec": {"limits": [limit]}, "metadata": {"name": "l", "managedFields": [
                {"manager": manager, "operation": "Update", "fieldsV1": {"f:spec": {"f:limits": {}}}}]}})
        };
        let wanted = range(json!({"type": "Container", "max": {"cpu": "1"}}), "capstan");
        let limit = json!({"type": "Container", "max": {"cpu": "1"}, "maxLimitRequestRatio": {"cpu": "4"}});
        let live = range(limit, "kubectl-edit");
        assert_eq!(compare(&wanted, &live, &BTreeSet::new(), "capstan").changes.len(), 1);
        for rule in ["/spec/limits/0/maxLimitRequestRatio", ".spec.limits[].maxLimitRequestRatio.cpu"] {
            let ignore = rules(&[rule]);
            assert_eq!(compare(&wanted, &live, &ignore, "capstan").changes, [], "{rule}");
            assert_eq!(prepare(&wanted, Some(&live), &ignore, "capstan")["spec"], live["spec"], "{rule}");
        }
        // Where each field has an owner of its own, what is not sent stays.
        let settings = |data: Value| {
            json!({"apiVersion": "v1", "kind": "ConfigMap", "data": data, "metadata": {"name": "c", "managedFields": [
            {"manager": "kubectl-edit", "operation": "Update", "fieldsV1": {"f:data": {"f:b": {}}}}]}})
        };
        let (wanted, live) = (settings(json!({"a": "1"})), settings(json!({"a": "1", "b": "2"})));
        assert_eq!(prepare(&wanted, Some(&live), &rules(&["/data/b"]), "capstan"), wanted);
    }

    #[test]
    fn what_is_ignored_with_all_that_is_in_it_is_taken_from_one_place() {
        let (wanted, live) = (deployment("a:1", "info", &json!(null)), injected(deployment("a:2", "debug", &json!([]))));
        let sent = prepare(&wanted, Some(&live), &rules(&["/spec", "/spec/template/spec/containers/0/image"]), "capstan");
        assert_eq!(sent["spec"], live["spec"]);
    }
}
