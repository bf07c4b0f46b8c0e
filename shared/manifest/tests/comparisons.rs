//! The cases of `diff.yaml` and `drift.yaml`.

use serde_json::Value;
use shared_manifest::{Change, YamlBudget, YamlMode, diff, owned_diff, parse_yaml};
use shared_model::GroupKind;

fn written(changes: &[Change]) -> Vec<String> {
    let value = |value: &Option<Value>| value.as_ref().map_or("none".to_owned(), Value::to_string);
    changes.iter().map(|change| format!("{}: {} -> {}", change.path, value(&change.before), value(&change.after))).collect()
}

fn check(file: &str, compare: impl Fn(&GroupKind, &Value) -> Vec<Change>) {
    let cases = parse_yaml(file, YamlMode::Kubernetes, YamlBudget::CONFIGURATION).unwrap();
    assert!(cases.len() > 5);
    for case in cases.iter().map(|document| &document.value) {
        let (api_version, kind) = case["kind"].as_str().unwrap().split_once(' ').unwrap();
        let found = written(&compare(&GroupKind::of(api_version, kind), case));
        let expected: Vec<&str> = case["changes"].as_array().unwrap().iter().map(|change| change.as_str().unwrap()).collect();
        assert_eq!(found, expected, "{}", case["about"]);
    }
}

#[test]
fn differences_are_shown_where_they_are() {
    check(include_str!("diff.yaml"), |kind, case| diff(kind, &case["before"], &case["after"]));
}

#[test]
fn drift_is_what_the_live_object_lacks() {
    check(include_str!("drift.yaml"), |kind, case| owned_diff(kind, &case["wanted"], &case["live"]));
}
