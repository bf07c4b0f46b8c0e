//! Every fixture in `cases/` gets the verdict that its first line says: the health, and the code of its reason; a second line may say a part of
//! the message. Its first document is the object; Pods and Events after it are what was found beside it. `kinds.yaml` names every kind with a
//! rule, and each of these has a fixture for each state, or a reason why it has none.
#![expect(clippy::disallowed_methods, reason = "the cases are files; the crate itself reads none")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use agent_health::{EVENT_LIMIT, Evidence, POD_LIMIT, Verdict, explain};
use shared_manifest::{Value, YamlBudget, YamlMode, parse_yaml};
use shared_model::{GroupKind, Health};

/// The states that a kind may be in; Missing and Unknown are not its own.
const STATES: [Health; 5] = [Health::Healthy, Health::Progressing, Health::Waiting, Health::Suspended, Health::Degraded];

struct Case {
    name: String,
    text: String,
    kind: GroupKind,
    documents: Vec<Value>,
}

impl Case {
    fn verdict(&self) -> Verdict {
        let (object, beside) = self.documents.split_first().expect("there is an object");
        let of_kind = |kind: &str| beside.iter().filter(|found| found["kind"] == kind).cloned().collect();
        let evidence = Evidence { pods: of_kind("Pod"), events: of_kind("Event"), last_line: None };
        explain(object, agent_health::assess(object), &evidence)
    }

    fn line(&self, number: usize, start: &str) -> Option<&str> {
        self.text.lines().nth(number)?.strip_prefix(start)
    }
}

fn tests() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests")
}

fn cases() -> Vec<Case> {
    let mut paths: Vec<_> =
        std::fs::read_dir(tests().join("cases")).expect("the cases are there").map(|entry| entry.expect("readable").path()).collect();
    paths.sort();
    let read = |path: &PathBuf| {
        let text = std::fs::read_to_string(path).expect("readable");
        let documents =
            parse_yaml(&text, YamlMode::Kubernetes, YamlBudget::MANIFEST).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let documents: Vec<Value> = documents.into_iter().map(|document| document.value).collect();
        let said = |field: &str| documents[0][field].as_str().expect("says what it is");
        let kind = GroupKind::of(said("apiVersion"), said("kind"));
        Case { name: path.file_stem().expect("a name").to_string_lossy().into_owned(), text, kind, documents }
    };
    paths.iter().map(read).collect()
}

#[test]
fn every_fixture_gets_the_verdict_that_its_first_line_says() {
    let mut wrong = Vec::new();
    let cases = cases();
    for case in &cases {
        let expected = case.line(0, "# ").expect("the first line is the verdict");
        let verdict = case.verdict();
        let (found, message) = match &verdict.reason {
            Some(reason) => (format!("{} {}", verdict.health, reason.code), reason.message.as_str()),
            None => (verdict.health.to_string(), ""),
        };
        if found != expected {
            wrong.push(format!("{}: expected {expected}, found {found}: {message}", case.name));
        }
        if let Some(part) = case.line(1, "# says: ").filter(|part| !message.contains(part)) {
            wrong.push(format!("{}: does not say {part:?} but {message:?}", case.name));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(cases.len() >= 430, "only {} cases were found", cases.len());
}

#[test]
fn every_kind_has_a_fixture_for_each_state_or_a_reason_why_the_state_does_not_exist() {
    let text = std::fs::read_to_string(tests().join("kinds.yaml")).expect("readable");
    let table = parse_yaml(&text, YamlMode::Kubernetes, YamlBudget::MANIFEST).expect("valid").remove(0).value;
    let mut shown: BTreeMap<String, BTreeSet<Health>> = BTreeMap::new();
    let cases = cases();
    for case in &cases {
        shown.entry(case.kind.to_string()).or_default().insert(case.verdict().health);
    }
    let mut wrong = Vec::new();
    let kinds = table["kinds"].as_object().expect("a map");
    for (kind, absent) in kinds {
        let shown = shown.get(kind).cloned().unwrap_or_default();
        for state in STATES {
            match (shown.contains(&state), absent[state.as_str()].as_str()) {
                (true, None) | (false, Some(_)) => {}
                (true, Some(reason)) => wrong.push(format!("{kind} has a fixture that is {state}, and yet: {reason}")),
                (false, None) => wrong.push(format!("{kind} has no fixture that is {state}")),
            }
        }
    }
    let names: BTreeSet<&str> = cases.iter().map(|case| case.name.as_str()).collect();
    for (trap, fixture) in table["traps"].as_object().expect("a map") {
        if fixture.as_str().is_none_or(|fixture| !names.contains(fixture)) {
            wrong.push(format!("the trap \"{trap}\" has no fixture {fixture}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(kinds.len() >= 70, "only {} kinds are listed", kinds.len());
}

#[test]
fn what_surrounds_a_workload_is_bounded_and_nothing_in_it_is_trusted() {
    let object: Value = serde_json::json!({"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "x", "namespace": "n"}, "spec": {"replicas": 1}});
    let before = agent_health::assess(&object);
    let odd = [
        Value::Null,
        serde_json::json!([]),
        serde_json::json!({"metadata": 1, "status": {"containerStatuses": [1, {"state": {"waiting": []}}]}}),
    ];
    let odd = Evidence {
        pods: odd.iter().cycle().take(POD_LIMIT * 3).cloned().collect(),
        events: odd.iter().cycle().take(EVENT_LIMIT * 3).cloned().collect(),
        last_line: Some("x".repeat(100_000)),
    };
    assert_eq!(explain(&object, before.clone(), &odd), before);
    let long = "é".repeat(100_000);
    let pods = vec![serde_json::json!({"metadata": {"name": "x-0"}, "status": {"containerStatuses": [
        {"name": "main", "image": long, "state": {"waiting": {"reason": "ImagePullBackOff", "message": long}}}]}})];
    let told = explain(&object, before, &Evidence { pods, ..Evidence::default() });
    assert!(told.reason.is_some_and(|reason| reason.message.len() < 1000));
}

#[test]
fn the_pods_of_a_workload_are_found_by_its_selector_or_by_the_label_of_its_operator() {
    let object = |api: &str, kind: &str, rest: Value| {
        let mut object = serde_json::json!({"apiVersion": api, "kind": kind, "metadata": {"name": "x", "namespace": "n"}});
        object.as_object_mut().expect("a map").extend(rest.as_object().expect("a map").clone());
        agent_health::search(&object).and_then(|search| search.selector)
    };
    let selector = serde_json::json!({"spec": {"selector": {"matchLabels": {"a": "b"}, "matchExpressions": [
        {"key": "c", "operator": "In", "values": ["d", "e"]}, {"key": "f", "operator": "DoesNotExist"}]}}});
    assert_eq!(object("apps/v1", "Deployment", selector).as_deref(), Some("a=b,c in (d,e),!f"));
    assert_eq!(
        object("ray.io/v1", "RayJob", serde_json::json!({"status": {"rayClusterName": "x-7"}})).as_deref(),
        Some("ray.io/cluster=x-7")
    );
    assert_eq!(object("ray.io/v1", "RayJob", serde_json::json!({})), None);
    assert_eq!(object("kubeflow.org/v1", "TFJob", serde_json::json!({})).as_deref(), Some("training.kubeflow.org/job-name=x"));
    assert_eq!(object("v1", "ConfigMap", serde_json::json!({})), None);
    // A workload that selects everything selects nobody's pods in particular.
    assert_eq!(object("apps/v1", "Deployment", serde_json::json!({"spec": {"selector": {}}})), None);
}
