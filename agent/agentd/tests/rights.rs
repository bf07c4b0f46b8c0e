//! The rights in `deploy/agent` name every kind whose health the agent judges.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde_json::Value;
use shared_manifest::{YamlBudget, YamlMode, parse_yaml};

/// Kinds of Kubernetes that only the platform's own people write.
const NOT_FOR_APPS: [&str; 1] = ["CertificateSigningRequest.certificates.k8s.io"];

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn documents(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    parse_yaml(&text, YamlMode::Kubernetes, YamlBudget::MANIFEST).expect("YAML").into_iter().map(|document| document.value).collect()
}

fn texts(list: &Value) -> Vec<String> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

/// `resource.group` of every rule with all of `verbs` in roles that are gathered for `aggregate`.
fn granted(aggregate: &str, verbs: &[&str]) -> BTreeSet<String> {
    let label = format!("capstan.dev/agent-{aggregate}");
    let (mut granted, mut names) = (BTreeSet::new(), BTreeSet::new());
    for directory in ["reads", "cluster", "platform", "operators"] {
        for file in std::fs::read_dir(repository().join("deploy/agent").join(directory)).expect("a directory") {
            for role in documents(&file.expect("a file").path()) {
                let name = role["metadata"]["name"].as_str().unwrap_or_default().to_owned();
                assert!(role["kind"] != "ClusterRole" || names.insert(name), "two roles of one name cannot be installed together: {role}");
                let is_gathered = role["metadata"]["labels"][&label] == "true";
                for rule in role["rules"].as_array().into_iter().flatten().filter(|_| is_gathered) {
                    let has = texts(&rule["verbs"]);
                    if verbs.iter().all(|verb| has.iter().any(|has| has == verb)) {
                        for group in texts(&rule["apiGroups"]) {
                            granted.extend(texts(&rule["resources"]).iter().map(|resource| format!("{resource}.{group}")));
                        }
                    }
                }
            }
        }
    }
    granted
}

/// `Policy.example.com` is served as `policies.example.com`.
fn resource(kind: &str) -> String {
    let (kind, group) = kind.split_once('.').unwrap_or((kind, ""));
    let kind = kind.to_lowercase();
    let plural = match kind.strip_suffix('y') {
        Some(stem) if !stem.ends_with(['a', 'e', 'o', 'u']) => format!("{stem}ies"),
        _ if kind.ends_with('s') => format!("{kind}es"),
        _ => format!("{kind}s"),
    };
    format!("{plural}.{group}")
}

#[test]
fn every_kind_with_a_rule_of_health_may_be_watched_and_applied_by_a_full_installation() {
    let kinds = documents(&repository().join("agent/health/tests/kinds.yaml")).remove(0);
    let kinds: Vec<&String> = kinds["kinds"].as_object().expect("a map").keys().collect();
    assert!(kinds.len() > 70, "{kinds:?}");
    let lacking =
        |granted: &BTreeSet<String>| -> Vec<&String> { kinds.iter().copied().filter(|kind| !granted.contains(&resource(kind))).collect() };
    assert_eq!(lacking(&granted("reads", &["get", "list", "watch"])), Vec::<&String>::new(), "cannot be watched");
    let mut lacks = lacking(&granted("writes", &["create", "patch", "delete"]));
    lacks.retain(|kind| !NOT_FOR_APPS.contains(&kind.as_str()));
    assert_eq!(lacks, ["Pod", "ReplicaSet.apps", "ReplicationController"], "what other kinds make is all that cannot be applied");
}
