//! What Kueue adds to the pod templates of what it lets run: the tolerations and the node selector of a ResourceFlavor, scheduling gates, labels and
//! annotations (`pkg/podset` there: `Merge` at the start, `RestorePodSpec` at the stop). Taking it back would be refused, or send pods to other nodes
//! than the quota is for. It is no drift at any time, as Kueue itself takes it back, which for a Job is more than one write; and it is sent with new
//! content as long as the object runs.
//!
//! The tolerations and the node selector have one owner as a whole, which is Kueue from then on: which of them the source gave shows nowhere any
//! more. A toleration that the source drops while the object runs therefore stays until the next new content after Kueue has stopped it.

use std::borrow::Cow;

use serde_json::{Map, Value};
use shared_manifest::{FieldPath, Step, list_kind};
use shared_model::GroupKind;

use crate::governed::QUEUED;
use crate::ownership::holder;
use crate::place::{step_of, twin};

/// The label that hands an object to Kueue.
const QUEUE_LABEL: &str = "kueue.x-k8s.io/queue-name";

/// The field manager of Kueue's controllers (the beginning of their user agent).
const KUEUE: &str = "kueue";

/// The gate that holds back a pod of its own until Kueue admits it; such a pod cannot be suspended.
const ADMISSION_GATE: &str = "kueue.x-k8s.io/admission";

/// The gates of a pod.
const GATES: &str = "/spec/schedulingGates";

/// The lists of a pod template that Kueue adds elements to.
const LISTS: [[&str; 2]; 2] = [["spec", "tolerations"], ["spec", "schedulingGates"]];

/// The maps of a pod template that Kueue adds fields to.
const MAPS: [[&str; 2]; 3] = [["spec", "nodeSelector"], ["metadata", "labels"], ["metadata", "annotations"]];

/// Whether Kueue decides when the object runs.
pub(crate) fn is_queued(live: &Value) -> bool {
    live.pointer("/metadata/labels").is_some_and(|labels| labels.get(QUEUE_LABEL).is_some())
}

/// The JSON pointer to the field by which Kueue starts the object: of a pod, the gates that it takes away.
pub(crate) fn starts_by(live: &Value) -> String {
    QUEUED.into_iter().find(|pointer| live.pointer(pointer).is_some()).unwrap_or(GATES).to_owned()
}

/// `wanted` with all that Kueue added to the live object.
pub(crate) fn with_additions<'a>(kind: &GroupKind, wanted: &'a Value, live: &Value, own: &str) -> Cow<'a, Value> {
    if !is_queued(live) {
        return Cow::Borrowed(wanted);
    }
    let mut added = wanted.clone();
    let mut search = Search { kind, live, own, path: Vec::new(), found: false };
    search.go(&mut added, live);
    if search.found { Cow::Owned(added) } else { Cow::Borrowed(wanted) }
}

/// Whether Kueue lets the object run, or has not yet done all that stopping it takes: the template of a Job that has started cannot be changed.
pub(crate) fn runs(live: &Value) -> bool {
    let is_suspended = QUEUED.iter().any(|pointer| live.pointer(pointer) == Some(&Value::Bool(true)));
    let has_started = live.pointer("/status/startTime").is_some_and(Value::is_string);
    let gates = live.pointer(GATES).and_then(Value::as_array);
    let is_gated = gates.is_some_and(|gates| gates.iter().any(|gate| gate.get("name").is_some_and(|name| name == ADMISSION_GATE)));
    (!is_suspended || has_started) && !is_gated
}

/// The search for pod templates, which each kind has elsewhere.
struct Search<'v> {
    kind: &'v GroupKind,
    live: &'v Value,
    own: &'v str,
    path: Vec<Step>,
    found: bool,
}

impl Search<'_> {
    fn go(&mut self, wanted: &mut Value, live: &Value) {
        if is_template(wanted) && is_template(live) {
            return self.complete(wanted, live);
        }
        match (wanted, live) {
            (Value::Object(wanted), Value::Object(live)) => {
                for (name, value) in wanted {
                    if let Some(found) = live.get(name) {
                        self.at(Step::Field(name.clone()), |inner| inner.go(value, found));
                    }
                }
            }
            (Value::Array(wanted), Value::Array(live)) => {
                let list = list_kind(self.kind, &self.path);
                let twins: Vec<Option<usize>> = (0..wanted.len()).map(|index| twin(list, wanted, index, live)).collect();
                for (value, index) in wanted.iter_mut().zip(twins) {
                    if let Some((index, found)) = index.and_then(|index| Some((index, live.get(index)?))) {
                        self.at(step_of(list, found, index), |inner| inner.go(value, found));
                    }
                }
            }
            _ => {}
        }
    }

    /// Completes one pod template.
    fn complete(&mut self, wanted: &mut Value, live: &Value) {
        for [parent, name] in LISTS {
            let Some(found) = live.get(parent).and_then(|parent| parent.get(name)).and_then(Value::as_array) else { continue };
            let given = wanted.get(parent).and_then(|parent| parent.get(name)).and_then(Value::as_array).cloned().unwrap_or_default();
            let more: Vec<&Value> = found.iter().filter(|element| !given.contains(element)).collect();
            if !more.is_empty() && self.is_kueues(&[parent, name]) {
                let is_all_there = given.iter().all(|element| found.contains(element));
                let all = if is_all_there { found.clone() } else { given.iter().chain(more).cloned().collect() };
                self.put(wanted, [parent, name], Value::Array(all));
            }
        }
        for [parent, name] in MAPS {
            let Some(found) = live.get(parent).and_then(|parent| parent.get(name)).and_then(Value::as_object) else { continue };
            let mut all = wanted.get(parent).and_then(|parent| parent.get(name)).and_then(Value::as_object).cloned().unwrap_or_default();
            let given = all.len();
            for (key, value) in found {
                if !all.contains_key(key) && self.is_kueues(&[parent, name, key]) {
                    all.insert(key.clone(), value.clone());
                }
            }
            if all.len() > given {
                self.put(wanted, [parent, name], Value::Object(all));
            }
        }
    }

    fn put(&mut self, template: &mut Value, [parent, name]: [&str; 2], value: Value) {
        let Some(template) = template.as_object_mut() else { return };
        if let Some(parent) = template.entry(parent).or_insert_with(|| Value::Object(Map::new())).as_object_mut() {
            parent.insert(name.to_owned(), value);
            self.found = true;
        }
    }

    /// Whether Kueue holds a field of the template at hand.
    fn is_kueues(&self, names: &[&str]) -> bool {
        let steps = self.path.iter().cloned().chain(names.iter().map(|name| Step::Field((*name).to_owned())));
        holder(self.live, &FieldPath(steps.collect()), self.own).is_some_and(|holder| holder.manager == KUEUE)
    }

    fn at(&mut self, step: Step, work: impl FnOnce(&mut Self)) {
        self.path.push(step);
        work(self);
        self.path.pop();
    }
}

fn is_template(value: &Value) -> bool {
    value.pointer("/spec/containers").is_some_and(Value::is_array)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::json;

    use crate::{compare, prepare};

    use super::*;

    /// A pod template with these tolerations, and with a flavor's node selector and label if it was admitted.
    fn template(tolerations: &[&str], is_admitted: bool) -> Value {
        let tolerations: Vec<_> = tolerations.iter().map(|key| json!({"key": key, "operator": "Exists"})).collect();
        let mut template = json!({"metadata": {"labels": {"app": "t"}}, "spec": {
            "containers": [{"name": "run", "image": "i"}], "nodeSelector": {"disk": "ssd"}, "tolerations": tolerations}});
        if is_admitted {
            template["spec"]["nodeSelector"]["flavor"] = json!("spot");
            template["metadata"]["labels"]["podset"] = json!("main");
        }
        template
    }

    /// The part of a field set that says what Kueue's start of a job takes.
    fn taken() -> Value {
        json!({"f:metadata": {"f:labels": {"f:podset": {}}}, "f:spec": {"f:nodeSelector": {}, "f:tolerations": {}}})
    }

    /// An object with its templates, as `manager` left it.
    fn object(api_version: &str, kind: &str, spec: &Value, manager: &str, fields: &Value) -> Value {
        json!({"apiVersion": api_version, "kind": kind, "spec": spec,
            "metadata": {"name": "t", "labels": {QUEUE_LABEL: "gpu"}, "managedFields": [{"manager": manager, "operation": "Update", "fieldsV1": {"f:spec": fields}}]}})
    }

    /// A kind with templates: how its spec is made of one, whether it runs, and the field set that says what Kueue took.
    type Kind<'a> = (&'a str, &'a str, fn(Value, bool) -> Value, Value);

    fn kinds() -> [Kind<'static>; 5] {
        [
            ("batch/v1", "Job", |template, runs| json!({"suspend": !runs, "template": template}), json!({"f:template": taken()})),
            (
                "jobset.x-k8s.io/v1alpha2",
                "JobSet",
                |template, runs| json!({"suspend": !runs, "replicatedJobs": [{"name": "workers", "template": {"spec": {"template": template}}}]}),
                json!({"f:replicatedJobs": {"k:{\"name\":\"workers\"}": {"f:template": {"f:spec": {"f:template": taken()}}}}}),
            ),
            (
                "kubeflow.org/v1",
                "PyTorchJob",
                |template, runs| json!({"runPolicy": {"suspend": !runs}, "pytorchReplicaSpecs": {"Worker": {"replicas": 2, "template": template}}}),
                json!({"f:pytorchReplicaSpecs": {"f:Worker": {"f:template": taken()}}}),
            ),
            (
                "ray.io/v1",
                "RayCluster",
                |template, runs| json!({"suspend": !runs, "headGroupSpec": {"template": template}}),
                json!({"f:headGroupSpec": {"f:template": taken()}}),
            ),
            (
                "ray.io/v1",
                "RayJob",
                |template, runs| json!({"suspend": !runs, "rayClusterSpec": {"workerGroupSpecs": [{"groupName": "gpu", "template": template}]}}),
                json!({"f:rayClusterSpec": {"f:workerGroupSpecs": {}}}),
            ),
        ]
    }

    #[test]
    fn what_kueue_added_to_what_runs_is_no_drift_and_is_sent_with_every_apply() {
        for (api_version, kind, spec, fields) in kinds() {
            let wanted = object(api_version, kind, &spec(template(&["gpu"], false), false), "capstan", &json!({}));
            let live = object(api_version, kind, &spec(template(&["gpu", "spot"], true), true), KUEUE, &fields);
            let found = compare(&wanted, &live, &BTreeSet::new(), "capstan");
            assert_eq!(found.changes, [], "{kind}");
            assert!(found.yields.iter().any(|pointer| pointer.ends_with("/suspend")), "{kind}: {found:?}");
            let sent = prepare(&wanted, Some(&live), &BTreeSet::new(), "capstan");
            assert_eq!(sent["spec"], spec(template(&["gpu", "spot"], true), false), "{kind}");

            // It is being stopped: Kueue itself takes back what it had added. Then the source has its say.
            let mut stopped = object(api_version, kind, &spec(template(&["gpu", "spot"], true), false), KUEUE, &fields);
            assert_eq!(compare(&wanted, &stopped, &BTreeSet::new(), "capstan").changes, [], "{kind}");
            assert_eq!(prepare(&wanted, Some(&stopped), &BTreeSet::new(), "capstan"), wanted, "{kind}");
            stopped["status"] = json!({"startTime": "2026-01-01T00:00:00Z"});
            assert_eq!(prepare(&wanted, Some(&stopped), &BTreeSet::new(), "capstan")["spec"], stopped["spec"], "{kind}");
        }
    }

    #[test]
    fn what_a_person_writes_there_is_drift_and_kueues_additions_survive_its_healing() {
        for (api_version, kind, spec, fields) in kinds() {
            let wanted = object(api_version, kind, &spec(template(&["gpu"], false), false), "capstan", &json!({}));
            let edited = object(api_version, kind, &spec(template(&["gpu", "mine"], true), true), "kubectl-edit", &fields);
            let found = compare(&wanted, &edited, &BTreeSet::new(), "capstan").changes;
            assert_eq!(found.len(), 1, "{kind}: {found:?}");
            assert!(found[0].path.ends_with("tolerations"), "{kind}: {found:?}");
            assert_eq!(prepare(&wanted, Some(&edited), &BTreeSet::new(), "capstan"), wanted, "{kind}");

            // Without the label nothing is Kueue's.
            let mut unqueued = object(api_version, kind, &spec(template(&["gpu", "spot"], true), true), KUEUE, &fields);
            unqueued["metadata"]["labels"] = json!({});
            let found = compare(&wanted, &unqueued, &BTreeSet::new(), "capstan").changes;
            assert!(found.iter().any(|change| change.path.ends_with("tolerations")), "{kind}: {found:?}");
            assert_eq!(prepare(&wanted, Some(&unqueued), &BTreeSet::new(), "capstan"), wanted, "{kind}");
        }
        let job = |spec: Value, manager| object("batch/v1", "Job", &spec, manager, &json!({"f:template": taken()}));
        let (wanted, live) = (
            job(json!({"suspend": true, "template": template(&["gpu"], false)}), "capstan"),
            job(json!({"suspend": false, "template": template(&["spot"], true)}), KUEUE),
        );
        let found = compare(&wanted, &live, &BTreeSet::new(), "capstan").changes;
        assert_eq!(found.iter().map(|change| change.path.as_str()).collect::<Vec<_>>(), ["spec.template.spec.tolerations"]);
        let sent = prepare(&wanted, Some(&live), &BTreeSet::new(), "capstan");
        assert_eq!(sent["spec"]["template"]["spec"]["tolerations"], template(&["gpu", "spot"], true)["spec"]["tolerations"]);
    }

    #[test]
    fn a_pod_of_its_own_is_kueues_once_its_gate_is_gone() {
        let pod = |tolerations: &[&str], gates: Value, manager: &str| {
            let mut pod = template(tolerations, manager == KUEUE);
            pod["apiVersion"] = json!("v1");
            pod["kind"] = json!("Pod");
            pod["spec"]["schedulingGates"] = gates;
            pod["metadata"] = json!({"name": "p", "labels": {QUEUE_LABEL: "gpu"}, "managedFields": [
                {"manager": manager, "operation": "Update", "fieldsV1": {"f:spec": {"f:tolerations": {}, "f:nodeSelector": {}}}}]});
            pod
        };
        let wanted = pod(&["gpu"], json!(null), "capstan");
        let mut live = pod(&["gpu", "spot"], json!(null), KUEUE);
        live["spec"].as_object_mut().expect("a map").remove("schedulingGates");
        let found = compare(&wanted, &live, &BTreeSet::new(), "capstan");
        assert_eq!((found.changes, found.yields), (vec![], BTreeSet::from([GATES.to_owned()])));
        assert_eq!(
            prepare(&wanted, Some(&live), &BTreeSet::new(), "capstan")["spec"]["nodeSelector"],
            json!({"disk": "ssd", "flavor": "spot"})
        );
        let gated = pod(&["gpu", "spot"], json!([{"name": ADMISSION_GATE}]), KUEUE);
        assert_eq!(prepare(&wanted, Some(&gated), &BTreeSet::new(), "capstan"), wanted);
    }
}
