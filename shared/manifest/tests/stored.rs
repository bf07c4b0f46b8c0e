//! What a real API server makes of an object right after it was applied is no drift: `stored_wanted.yaml` against `stored_live.jsonl`, which
//! was recorded from kube-apiserver 1.36.3.

use serde_json::{Value, json};
use shared_manifest::{Object, YamlBudget, YamlMode, owned_diff, parse_yaml};

fn pairs() -> Vec<(Object, Value)> {
    let wanted = parse_yaml(include_str!("stored_wanted.yaml"), YamlMode::Kubernetes, YamlBudget::MANIFEST).unwrap();
    let live = include_str!("stored_live.jsonl").lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let pairs: Vec<_> = wanted.into_iter().map(|document| Object::from_value(document.value).unwrap()).zip(live).collect();
    assert!(pairs.len() > 30, "{}", pairs.len());
    pairs
}

#[test]
fn what_the_server_stored_is_no_drift() {
    let mut false_drift = Vec::new();
    for (wanted, live) in pairs() {
        assert_eq!(wanted.key(), Object::from_value(live.clone()).unwrap().key(), "both files have the same order");
        for change in owned_diff(&wanted.group_kind(), wanted.value(), &live) {
            false_drift.push(format!("{wanted} {}: {:?} -> {:?}", change.path, change.before, change.after));
        }
    }
    assert!(false_drift.is_empty(), "{}", false_drift.join("\n"));
}

/// Every scalar that the server stored as it was wanted is changed and removed in turn; each must be seen.
#[test]
fn each_changed_or_removed_value_is_drift() {
    let mut seen = 0;
    for (wanted, live) in pairs() {
        for pointer in shared_scalars(wanted.value(), &live) {
            let mut changed = live.clone();
            *changed.pointer_mut(&pointer).unwrap() = json!("changed by someone");
            assert!(!owned_diff(&wanted.group_kind(), wanted.value(), &changed).is_empty(), "{wanted} {pointer}");
            let mut removed = live.clone();
            let (parent, last) = pointer.rsplit_once('/').unwrap();
            let nothing = [json!(""), json!(false), json!(0)].contains(removed.pointer(&pointer).unwrap());
            if let (false, Some(Value::Object(fields))) = (nothing, removed.pointer_mut(parent)) {
                fields.remove(&last.replace("~1", "/").replace("~0", "~")).unwrap();
                assert!(!owned_diff(&wanted.group_kind(), wanted.value(), &removed).is_empty(), "{wanted} without {pointer}");
            }
            seen += 1;
        }
    }
    assert!(seen > 250, "{seen}");
}

/// JSON pointers of the scalars that both have at the same place, below `spec` and its like.
fn shared_scalars(wanted: &Value, live: &Value) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = vec![(String::new(), wanted, live)];
    while let Some((path, wanted, live)) = rest.pop() {
        let below = |name: &str| format!("{path}/{}", name.replace('~', "~0").replace('/', "~1"));
        match (wanted, live) {
            (Value::Object(a), Value::Object(b)) => {
                let identity = ["apiVersion", "kind", "metadata", "status"];
                let names = a.keys().filter(|name| !path.is_empty() || !identity.contains(&name.as_str()));
                rest.extend(names.filter_map(|name| Some((below(name), &a[name], b.get(name)?))));
            }
            (Value::Array(a), Value::Array(b)) => {
                rest.extend(a.iter().zip(b).enumerate().map(|(index, (a, b))| (below(&index.to_string()), a, b)));
            }
            _ if wanted == live && !wanted.is_null() => found.push(path),
            _ => {}
        }
    }
    found
}
