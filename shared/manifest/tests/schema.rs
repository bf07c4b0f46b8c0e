//! The schema table against what Kubernetes publishes about its kinds (`schema_1_36.txt`).

use shared_manifest::{FieldPath, ListKind, list_kind, scope_of};
use shared_model::{GroupKind, Scope};

#[test]
fn scopes_and_lists_are_those_of_kubernetes() {
    let (mut kind, mut lists) = (GroupKind::new("", ""), 0);
    for line in include_str!("schema_1_36.txt").lines().filter(|line| !line.starts_with('#')) {
        if let Some(list) = line.strip_prefix("  ") {
            let (path, expected) = list.split_once(": ").unwrap();
            let found = match list_kind(&kind, &FieldPath::of(path.split('.'))) {
                ListKind::Atomic => "atomic".to_owned(),
                ListKind::Set => "set".to_owned(),
                ListKind::Map(keys) => format!("map {}", keys.join(",")),
            };
            assert_eq!(found, expected, "{kind} {path}");
            lists += 1;
        } else {
            let (name, scope) = line.split_once(' ').unwrap();
            let (name, group) = name.split_once('.').unwrap_or((name, ""));
            kind = GroupKind::new(group, name);
            let expected = if scope == "namespaced" { Scope::Namespaced } else { Scope::Cluster };
            assert_eq!(scope_of(&kind), Some(expected), "{kind}");
        }
    }
    assert!(lists > 1000, "{lists}");
}
