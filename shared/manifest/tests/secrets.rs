//! What redaction shows: that values are equal or differ, and nothing else.

use serde_json::{Value, json};
use shared_manifest::{Object, Redaction, diff, owned_diff, redact, redact_changes};
use shared_model::{FieldChange, GroupKind};

const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";
const MASK: &str = "++++++++";

fn kind() -> GroupKind {
    GroupKind::of("v1", "Secret")
}

#[test]
fn equal_values_look_equal_and_others_differ() {
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s", "labels": {"app": "x"}}, "type": "Opaque",
        "data": {"a": "aHVudGVy", "b": "b3RoZXI=", "c": "aHVu\ndGVy", "n": null},
        "stringData": {"d": "hunter", "e": "third", "f": 5},
    });
    let shown = redact(&secret);
    assert_eq!(shown["data"], json!({"a": MASK, "b": "++++++++++++", "c": MASK, "n": null}));
    assert_eq!(shown["stringData"], json!({"d": MASK, "e": "++++++++++++++++", "f": "++++++++++++++++++++"}));
    assert_eq!((&shown["metadata"], &shown["type"]), (&secret["metadata"], &secret["type"]));
}

#[test]
fn many_values_stay_short_and_distinct() {
    let data: serde_json::Map<String, Value> = (0..1000).map(|i| (format!("k{i}"), format!("v{i}").into())).collect();
    let shown = redact(&json!({"apiVersion": "v1", "kind": "Secret", "stringData": data}));
    let masks: std::collections::BTreeSet<&str> =
        shown["stringData"].as_object().unwrap().values().map(|mask| mask.as_str().unwrap()).collect();
    assert_eq!(masks.len(), 1000);
    assert!(masks.iter().all(|mask| mask.len() < 80));
}

#[test]
fn what_kubectl_left_behind_is_masked_alike() {
    let applied = json!({"apiVersion": "v1", "kind": "Secret", "data": {"a": "aHVudGVy"}}).to_string();
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret",
        "metadata": {"name": "s", "annotations": {"note": "kept", LAST_APPLIED: applied}}, "data": {"a": "aHVudGVy"},
    });
    let annotations = &redact(&secret)["metadata"]["annotations"];
    assert_eq!(annotations["note"], "kept");
    assert_eq!(annotations[LAST_APPLIED], format!("{{\"apiVersion\":\"v1\",\"data\":{{\"a\":\"{MASK}\"}},\"kind\":\"Secret\"}}"));
    let unreadable = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"annotations": {LAST_APPLIED: "{\"data\": hunter"}}});
    assert_eq!(redact(&unreadable)["metadata"]["annotations"][LAST_APPLIED], MASK);
}

#[test]
fn only_secrets_are_masked_also_in_lists() {
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"a": "b"}});
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "data": {"a": "b"}});
    let foreign = json!({"apiVersion": "x.io/v1", "kind": "Secret", "data": {"a": "b"}});
    let list = json!({"apiVersion": "v1", "kind": "List", "items": [map, secret, foreign]});
    let shown = redact(&list);
    assert_eq!((&shown["items"][0], &shown["items"][2]), (&map, &foreign));
    assert_eq!(shown["items"][1]["data"]["a"], MASK);
}

#[test]
fn one_redaction_compares_objects() {
    let secret = |value: &str| json!({"apiVersion": "v1", "kind": "Secret", "stringData": {"a": value}});
    let mut redaction = Redaction::default();
    let (first, second, third) = (redaction.redact(&secret("x")), redaction.redact(&secret("z")), redaction.redact(&secret("x")));
    assert_eq!(first, third);
    assert_ne!(first, second);
}

#[test]
fn changes_are_masked_wherever_they_stand() {
    let before = json!({"metadata": {"labels": {"l": "1"}}, "data": {"a": "aHVudGVy", "b": "aHVudGVy"}});
    let applied = json!({"stringData": {"a": "hunter2"}}).to_string();
    let after = json!({"metadata": {"labels": {"l": "2"}, "annotations": {LAST_APPLIED: applied}}, "data": {"a": "aHVudGVyMg=="}, "stringData": {"z": "canary"}});
    let changes = redact_changes(&kind(), diff(&kind(), &before, &after));
    let shown: Vec<String> = changes
        .iter()
        .map(|change| format!("{} {} {}", change.path, change.before.clone().unwrap_or_default(), change.after.clone().unwrap_or_default()))
        .collect();
    assert_eq!(
        shown,
        [
            format!("data.a \"{MASK}\" \"{MASK}++++\""),
            format!("data.b \"{MASK}\" null"),
            format!("metadata.annotations null {}", json!({LAST_APPLIED: format!("{{\"stringData\":{{\"a\":\"{MASK}++++\"}}}}")})),
            "metadata.labels.l \"1\" \"2\"".to_owned(),
            format!("stringData null {}", json!({"z": format!("{MASK}++++++++")})),
        ]
    );
    let whole = redact_changes(&kind(), diff(&kind(), &Value::Null, &json!({"data": {"a": "aHVudGVy"}})));
    assert_eq!(whole[0].after, Some(json!({"data": {"a": MASK}})));
    let drift = redact_changes(&kind(), owned_diff(&kind(), &json!({"stringData": {"a": "hunter"}}), &json!({"data": {"a": "b2xk"}})));
    assert_eq!((drift[0].before.as_ref().unwrap(), drift[0].after.as_ref().unwrap()), (&json!(MASK), &json!("++++++++++++")));
}

#[test]
fn debug_shows_no_values() {
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "stringData": {"a": "canary"}});
    let changes = diff(&kind(), &Value::Null, &secret);
    assert_eq!(format!("{changes:?}"), "[Change(~ )]");
    assert_eq!(format!("{:?}", Object::from_value(secret).unwrap()), "Object(Secret s)");
}

#[test]
fn a_change_of_a_secret_that_somebody_reported_shows_nothing_that_was_not_masked() {
    let change = |path: &str, found: &str, wanted: &str| FieldChange {
        path: path.to_owned(),
        wanted: Some(wanted.to_owned()),
        found: Some(found.to_owned()),
        manager: None,
        since: None,
    };
    let applied = json!(json!({"apiVersion": "v1", "kind": "Secret", "data": {"a": "aHVudGVy"}}).to_string()).to_string();
    let annotation = format!("metadata.annotations[\"{LAST_APPLIED}\"]");
    let masked = format!("\"{MASK}\"");
    // What is shown of both values; `None` if they are shown as they are.
    for (path, found, wanted, shown) in [
        ("data.a", "\"aHVudGVy\"", "\"b3RoZXI=\"", Some((masked.clone(), "\"++++++++++++\"".to_owned()))),
        ("data.a", &masked, "\"++++++++++++\"", None),
        (
            "data",
            "{\"a\":\"aHVudGVy\"}",
            "{\"a\":\"++++++++\"}",
            Some((format!("{{\"a\":{masked}}}"), "{\"a\":\"++++++++++++\"}".to_owned())),
        ),
        ("stringData[\"a.b\"]", "hunter", "5", Some((masked.clone(), "\"++++++++++++\"".to_owned()))),
        ("unheardOf.field", "\"hunter\"", "\"hunter\"", Some((masked.clone(), masked.clone()))),
        ("metadata.labels.tier", "\"gold\"", "\"silver\"", None),
        ("type", "\"Opaque\"", "\"kubernetes.io/tls\"", None),
    ] {
        let reported = Redaction::default().redact_reported(&kind(), change(path, found, wanted));
        let (found, wanted) = shown.unwrap_or_else(|| (found.to_owned(), wanted.to_owned()));
        assert_eq!(reported, change(path, &found, &wanted), "{path}");
    }
    for path in [annotation.as_str(), "metadata", "metadata.annotations", ""] {
        let value = match path {
            "metadata" => json!({"annotations": {LAST_APPLIED: serde_json::from_str::<Value>(&applied).unwrap()}}).to_string(),
            "metadata.annotations" => json!({LAST_APPLIED: serde_json::from_str::<Value>(&applied).unwrap()}).to_string(),
            "" => json!({"data": {"a": "aHVudGVy"}}).to_string(),
            _ => applied.clone(),
        };
        let reported = Redaction::default().redact_reported(&kind(), change(path, &value, &value));
        assert!(!reported.found.unwrap().contains("aHVudGVy") && !reported.wanted.unwrap().contains("aHVudGVy"), "{path}");
    }
    let map = GroupKind::of("v1", "ConfigMap");
    assert_eq!(Redaction::default().redact_reported(&map, change("data.a", "\"b\"", "\"c\"")), change("data.a", "\"b\"", "\"c\""));
}
