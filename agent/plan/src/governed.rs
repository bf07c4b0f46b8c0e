//! Fields that somebody else governs by right although the source gives them a value: autoscalers and progressive delivery the replicas, queues
//! the start of a job, injectors the caBundle. They are no drift and are left to their governor. What a person writes is never governed.

use serde_json::Value;
use shared_expression::jq::Key;
use shared_manifest::{Change, FieldPath, Step};
use shared_model::GroupKind;

use crate::ownership::holder;
use crate::place::locate;
use crate::queued::is_queued;

/// Writers of the scale subresource that govern replicas for good: the HorizontalPodAutoscaler's controller, KEDA, the VerticalPodAutoscaler's
/// updater, the cluster's proportional autoscaler. A person's `kubectl scale` is not among them: that is drift.
const AUTOSCALERS: [&str; 5] = ["cluster-proportional-autoscaler", "kube-controller-manager", "keda", "keda-operator", "vpa-updater"];

/// Writers of replicas themselves: Flagger and Argo Rollouts scale the workload that they take over.
const ROLLOUTS: [&str; 2] = ["flagger", "rollouts-controller"];

/// The field that autoscalers govern.
pub(crate) const REPLICAS: &str = "/spec/replicas";

/// The list that OpenShift adds a secret to.
const PULL_SECRETS: &str = "/imagePullSecrets";

/// The fields by which Kueue holds back and starts what it queues, over all kinds that it knows. Setting them right would stop a running
/// training.
pub(crate) const QUEUED: [&str; 3] = ["/spec/suspend", "/spec/runPolicy/suspend", "/spec/parallelism"];

/// Annotations that ask for a caBundle: cert-manager's cainjector and OpenShift's service CA.
const INJECTED: [&str; 4] = [
    "cert-manager.io/inject-apiserver-ca",
    "cert-manager.io/inject-ca-from",
    "cert-manager.io/inject-ca-from-secret",
    "service.beta.openshift.io/inject-cabundle",
];

/// The kinds whose caBundle is injected.
const WITH_CA: [(&str, &str); 4] = [
    ("admissionregistration.k8s.io", "MutatingWebhookConfiguration"),
    ("admissionregistration.k8s.io", "ValidatingWebhookConfiguration"),
    ("apiextensions.k8s.io", "CustomResourceDefinition"),
    ("apiregistration.k8s.io", "APIService"),
];

/// What charts write where an operator is to put its own certificate: nothing, or a line end in base64.
const PLACEHOLDERS: [&str; 3] = ["", "Cg==", "Cg"];

/// The JSON pointer to the changed field in what is wanted, if somebody governs it. `own` is our field manager.
pub(crate) fn governed(kind: &GroupKind, change: &Change, wanted: &Value, live: &Value, own: &str) -> Option<String> {
    if change.path == path_of(REPLICAS) {
        let holder = holder(live, &change.path, own)?;
        let scales = holder.subresource == "scale" && AUTOSCALERS.contains(&holder.manager.as_str());
        return (scales || ROLLOUTS.contains(&holder.manager.as_str())).then(|| REPLICAS.to_owned());
    }
    if is_ca_bundle(kind, change, live) {
        return pointer_to(&change.path, wanted);
    }
    QUEUED.into_iter().find(|pointer| is_queued(live) && change.path == path_of(pointer)).map(str::to_owned)
}

/// Whether nobody has done anything about it: the API server, or what admits objects on their way in, filled in what an element of a list leaves
/// open, or added elements (the tolerations of a pod). Such a list has one owner as a whole; whoever else changes it comes to hold all of it.
pub(crate) fn is_filled_in(change: &Change, live: &Value, own: &str) -> bool {
    let only_more = match (&change.after, &change.before) {
        (None, _) => true,
        (Some(Value::Array(wanted)), Some(Value::Array(found))) => wanted.iter().all(|item| found.contains(item)),
        _ => false,
    };
    only_more && holder(live, &change.path, own).is_none()
}

/// Whether a controller only added to the pull secrets of a ServiceAccount, as OpenShift's does: that list has one owner as a whole, and taking it
/// back would have another secret made each time. What a person adds is drift.
pub(crate) fn is_added_to(kind: &GroupKind, change: &Change, live: &Value, own: &str) -> bool {
    let is_list = kind.group.is_empty() && kind.kind == "ServiceAccount" && change.path == path_of(PULL_SECRETS);
    let (Some(Value::Array(wanted)), Some(Value::Array(found))) = (&change.after, &change.before) else { return false };
    let by_controller = || holder(live, &change.path, own).is_some_and(|holder| !holder.manager.starts_with("kubectl"));
    is_list && wanted.iter().all(|secret| found.contains(secret)) && by_controller()
}

fn is_ca_bundle(kind: &GroupKind, change: &Change, live: &Value) -> bool {
    let is_field = change.path.0.last() == Some(&Step::Field("caBundle".to_owned())) && change.before.is_some();
    let asks = || INJECTED.iter().any(|name| live.pointer("/metadata/annotations").is_some_and(|map| map.get(name).is_some()));
    let wanted = change.after.as_ref().and_then(Value::as_str);
    let is_kind = WITH_CA.contains(&(kind.group.as_str(), kind.kind.as_str()));
    is_kind && is_field && (asks() || wanted.is_some_and(|wanted| PLACEHOLDERS.contains(&wanted)))
}

/// The path as a JSON pointer into `object`.
fn pointer_to(path: &FieldPath, object: &Value) -> Option<String> {
    let segment = |key| match key {
        Key::Field(name) => format!("/{}", name.replace('~', "~0").replace('/', "~1")),
        Key::Index(index) => format!("/{index}"),
    };
    Some(locate(object, path)?.into_iter().map(segment).collect())
}

pub(crate) fn path_of(pointer: &str) -> FieldPath {
    let step = |segment: &str| Step::Field(segment.replace("~1", "/").replace("~0", "~"));
    FieldPath(pointer.split('/').skip(1).map(step).collect())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::json;

    use crate::compare;

    fn found(wanted: &serde_json::Value, live: &serde_json::Value) -> (usize, Vec<String>) {
        let comparison = compare(wanted, live, &BTreeSet::new(), "capstan");
        (comparison.changes.len(), comparison.yields.into_iter().collect())
    }

    #[test]
    fn replicas_are_left_to_who_governs_them_and_not_to_a_person() {
        let deployment = |replicas: i64, manager: &str, subresource: &str| {
            json!({"apiVersion": "apps/v1", "kind": "Deployment", "spec": {"replicas": replicas}, "metadata": {"name": "api", "managedFields": [
                {"manager": manager, "operation": "Update", "subresource": subresource, "fieldsV1": {"f:spec": {"f:replicas": {}}}}]}})
        };
        let wanted = deployment(2, "capstan", "");
        let left = (0, vec!["/spec/replicas".to_owned()]);
        for (manager, subresource) in
            [("kube-controller-manager", "scale"), ("keda", "scale"), ("flagger", ""), ("rollouts-controller", "")]
        {
            assert_eq!(found(&wanted, &deployment(5, manager, subresource)), left, "{manager}");
        }
        for (manager, subresource) in [("kubectl", "scale"), ("kubectl-edit", ""), ("kube-controller-manager", ""), ("keda", "")] {
            assert_eq!(found(&wanted, &deployment(5, manager, subresource)), (1, vec![]), "{manager}");
        }
    }

    #[test]
    fn what_was_filled_in_within_a_list_of_one_owner_is_no_drift_and_what_somebody_wrote_there_is() {
        let limits = |memory: Option<&str>, manager: &str| {
            let request = memory.map_or(json!({"cpu": "1"}), |memory| json!({"cpu": "1", "memory": memory}));
            json!({"apiVersion": "v1", "kind": "LimitRange", "metadata": {"name": "l", "managedFields": [
                {"manager": manager, "operation": "Update", "fieldsV1": {"f:spec": {"f:limits": {}}}}]},
                "spec": {"limits": [{"type": "Container", "default": {"memory": "1Gi"}, "defaultRequest": request}]}})
        };
        let wanted = limits(None, "capstan");
        assert_eq!(found(&wanted, &limits(Some("1Gi"), "capstan")), (0, vec![]));
        assert_eq!(found(&wanted, &limits(Some("2Gi"), "kubectl-edit")), (1, vec![]));
        let pod = |keys: &[&str], manager: &str| {
            let tolerations: Vec<_> = keys.iter().map(|key| json!({"key": key, "operator": "Exists"})).collect();
            json!({"apiVersion": "v1", "kind": "Pod", "spec": {"tolerations": tolerations}, "metadata": {"name": "p", "managedFields": [
                {"manager": manager, "operation": "Apply", "fieldsV1": {"f:spec": {"f:tolerations": {}}}}]}})
        };
        let wanted = pod(&["gpu"], "capstan");
        assert_eq!(found(&wanted, &pod(&["gpu", "node.kubernetes.io/not-ready"], "capstan")), (0, vec![]));
        assert_eq!(found(&wanted, &pod(&["gpu", "other"], "kubectl-edit")), (1, vec![]));
        assert_eq!(found(&wanted, &pod(&["other", "third"], "capstan")), (1, vec![]));
    }

    #[test]
    fn pull_secrets_that_a_controller_adds_are_no_drift_and_one_that_it_takes_away_is() {
        let account = |secrets: &[&str], manager: &str| {
            let secrets: Vec<_> = secrets.iter().map(|name| json!({"name": name})).collect();
            json!({"apiVersion": "v1", "kind": "ServiceAccount", "imagePullSecrets": secrets, "metadata": {"name": "a", "managedFields": [
                {"manager": manager, "operation": "Update", "fieldsV1": {"f:imagePullSecrets": {}}}]}})
        };
        let wanted = account(&["registry"], "capstan");
        assert_eq!(found(&wanted, &account(&["registry", "added"], "openshift-controller-manager")), (0, vec![]));
        assert_eq!(found(&wanted, &account(&["registry", "added"], "kubectl-edit")), (1, vec![]));
        assert_eq!(found(&wanted, &account(&["added", "other"], "openshift-controller-manager")), (1, vec![]));
    }

    #[test]
    fn an_injected_ca_bundle_is_left_where_it_was_asked_for_or_held_a_place() {
        let hooks = |annotations: serde_json::Value, bundles: [&str; 2]| {
            let webhooks = bundles.iter().enumerate().map(|(n, ca)| json!({"name": format!("h{n}"), "clientConfig": {"caBundle": ca}}));
            json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration",
                "metadata": {"name": "h", "annotations": annotations}, "webhooks": webhooks.collect::<Vec<_>>()})
        };
        let pointer = |n: usize| format!("/webhooks/{n}/clientConfig/caBundle");
        let plain = json!({});
        assert_eq!(found(&hooks(plain.clone(), ["QQ==", "Cg=="]), &hooks(plain.clone(), ["QQ==", "Qg=="])), (0, vec![pointer(1)]));
        assert_eq!(found(&hooks(plain.clone(), ["QQ==", "QQ=="]), &hooks(plain, ["Qg==", "QQ=="])), (1, vec![]));
        let asks = json!({"cert-manager.io/inject-ca-from": "web/cert"});
        assert_eq!(found(&hooks(asks.clone(), ["QQ==", "QQ=="]), &hooks(asks, ["Qg==", "QQ=="])), (0, vec![pointer(0)]));
    }
}
