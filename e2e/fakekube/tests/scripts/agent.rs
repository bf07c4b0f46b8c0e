//! The requests with which an agent keeps objects, for each kind that the demo has: apply, read, list, watch, delete.

use serde_json::{Value, json};

use super::{MAPS, SECRETS, WIDGETS, deployment, map, script, widget};
use crate::parity_support::{APPLY, JSON, Script, Step, get, step};

/// How an agent applies.
const APPLIED: &str = "fieldManager=capstan&force=true&fieldValidation=Strict";
/// How an agent follows a kind.
const WATCHED: &str = "watch=true&timeoutSeconds=1&allowWatchBookmarks=true&resourceVersion=0";
const RBAC: &str = "/apis/rbac.authorization.k8s.io/v1";

struct Kept {
    collection: String,
    name: &'static str,
    body: Value,
    /// Deleting takes a controller, or has a script of its own.
    goes: bool,
}

fn kept(collection: impl Into<String>, name: &'static str, body: Value) -> Kept {
    Kept { collection: collection.into(), name, body, goes: true }
}

fn workload(kind: &str, extra: Value) -> Value {
    let mut o = deployment("n:1", extra);
    o["kind"] = json!(kind);
    o
}

fn kinds() -> Vec<Kept> {
    let object = |api: &str, kind: &str, name: &str| json!({"apiVersion": api, "kind": kind, "metadata": {"name": name}});
    let with = |mut o: Value, fields: Value| {
        if let (Some(o), Some(fields)) = (o.as_object_mut(), fields.as_object()) {
            o.extend(fields.clone());
        }
        o
    };
    let namespaced = |group: &str, plural: &str| format!("/apis/{group}/namespaces/{{ns}}/{plural}");
    let core = |plural: &str| format!("/api/v1/namespaces/{{ns}}/{plural}");
    let pod = &deployment("n:1", json!({}))["spec"]["template"]["spec"]["containers"][0]["image"].clone();
    let job = json!({"template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": pod}]}}});
    vec![
        kept(MAPS, "m", map(json!({"a": "1"}))),
        kept(SECRETS, "s", with(object("v1", "Secret", "s"), json!({"data": {"a": "YQ=="}, "type": "Opaque"}))),
        kept(core("serviceaccounts"), "a", object("v1", "ServiceAccount", "a")),
        kept(
            core("resourcequotas"),
            "q",
            with(object("v1", "ResourceQuota", "q"), json!({"spec": {"hard": {"requests.nvidia.com/gpu": "32"}}})),
        ),
        kept(
            core("services"),
            "s",
            with(
                object("v1", "Service", "s"),
                json!({"spec": {"clusterIP": "None", "selector": {"app": "d"}, "ports": [{"name": "http", "port": 80, "targetPort": "http"}]}}),
            ),
        ),
        kept(namespaced("apps/v1", "deployments"), "d", workload("Deployment", json!({}))),
        kept(namespaced("apps/v1", "daemonsets"), "d", workload("DaemonSet", json!({}))),
        kept(
            namespaced("apps/v1", "statefulsets"),
            "d",
            workload("StatefulSet", json!({"serviceName": "s", "replicas": 2, "podManagementPolicy": "Parallel"})),
        ),
        kept(
            namespaced("batch/v1", "cronjobs"),
            "j",
            with(
                object("batch/v1", "CronJob", "j"),
                json!({"spec": {"schedule": "0 1 * * *", "concurrencyPolicy": "Forbid", "jobTemplate": {"spec": job}}}),
            ),
        ),
        kept(
            namespaced("autoscaling/v2", "horizontalpodautoscalers"),
            "h",
            with(
                object("autoscaling/v2", "HorizontalPodAutoscaler", "h"),
                json!({"spec": {"minReplicas": 2, "maxReplicas": 3, "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "d"},
                    "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 60}}}]}}),
            ),
        ),
        kept(
            namespaced("policy/v1", "poddisruptionbudgets"),
            "p",
            with(
                object("policy/v1", "PodDisruptionBudget", "p"),
                json!({"spec": {"maxUnavailable": 1, "selector": {"matchLabels": {"a": "b"}}}}),
            ),
        ),
        kept(WIDGETS, "w", widget(json!({"size": 1}))),
        kept(
            format!("{RBAC}/clusterroles"),
            "{ns}",
            with(
                object("rbac.authorization.k8s.io/v1", "ClusterRole", "{ns}"),
                json!({"rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]}),
            ),
        ),
        kept(
            format!("{RBAC}/clusterrolebindings"),
            "{ns}",
            with(
                object("rbac.authorization.k8s.io/v1", "ClusterRoleBinding", "{ns}"),
                json!({"roleRef": {"kind": "ClusterRole", "name": "view", "apiGroup": "rbac.authorization.k8s.io"}, "subjects": [{"kind": "ServiceAccount", "name": "a", "namespace": "{ns}"}]}),
            ),
        ),
        kept(
            "/apis/scheduling.k8s.io/v1/priorityclasses",
            "{ns}",
            with(
                object("scheduling.k8s.io/v1", "PriorityClass", "{ns}"),
                json!({"value": 10, "preemptionPolicy": "Never", "description": "x"}),
            ),
        ),
        Kept { goes: false, ..kept("/api/v1/namespaces", "{ns}-more", object("v1", "Namespace", "{ns}-more")) },
    ]
}

fn partial(step: Step) -> Step {
    Step { accept: "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1", ..step }
}

fn keeps(k: Kept) -> Script {
    let Kept { collection, name, body, goes } = k;
    let path = format!("{collection}/{name}");
    let apply = step("PATCH", format!("{path}?{APPLIED}"), APPLY, body);
    let delete = |preconditions: Value| {
        step(
            "DELETE",
            path.clone(),
            JSON,
            json!({"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background", "preconditions": preconditions}),
        )
    };
    let mut steps = vec![
        get(path.clone()),
        apply.clone(),
        apply,
        get(path.clone()),
        get(format!("{collection}?limit=500")),
        partial(get(format!("{collection}?limit=500"))),
        get(format!("{collection}?{WATCHED}")),
        Step { accept: "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1", ..get(format!("{collection}?{WATCHED}")) },
        Step { accept: "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1", ..get(path.clone()) },
    ];
    if goes {
        steps.extend([delete(json!({"uid": "wrong"})), delete(json!({})), delete(json!({}))]);
    }
    script(&format!("an agent keeps {}", collection.rsplit('/').next().unwrap_or_default()), &[], steps)
}

/// A definition is asked for before it is there: what it says afterwards depends on when the real server has seen it.
fn a_definition() -> Script {
    let collection = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
    let name = "things.{ns}.example.com";
    let definition = json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": name},
        "spec": {"group": "{ns}.example.com", "scope": "Cluster", "names": {"plural": "things", "singular": "thing", "kind": "Thing", "listKind": "ThingList"},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": {"type": "object"}}}]}});
    let steps = vec![
        get(format!("{collection}/{name}")),
        get(format!("{collection}?limit=500")),
        get(format!("{collection}?{WATCHED}")),
        step("PATCH", format!("{collection}/{name}?{APPLIED}"), APPLY, definition),
    ];
    script("an agent keeps customresourcedefinitions", &[], steps)
}

/// What an agent does for itself, and what the demo does as somebody else.
fn others() -> Script {
    let lease = "/apis/coordination.k8s.io/v1/namespaces/{ns}/leases/none";
    let steps = vec![
        get(lease),
        get(format!("{SECRETS}?limit=2&labelSelector=capstan.dev%2Fledger")),
        partial(get(format!("{SECRETS}?labelSelector=capstan.dev%2Fledger"))),
        step("POST", format!("{MAPS}?fieldManager=kubectl-create"), JSON, map(json!({"a": "1"}))),
    ];
    script("an agent and others", &[], steps)
}

/// How an agent finds out what its cluster consists of. No script makes nodes.
fn nodes() -> Script {
    let on_a_node = "spec.nodeName%3Dnobody,status.phase!%3DSucceeded,status.phase!%3DFailed";
    let steps = vec![get("/api/v1/nodes?limit=50"), get(format!("/api/v1/pods?limit=100&resourceVersion=0&fieldSelector={on_a_node}"))];
    script("an agent and its cluster's nodes", &[], steps)
}

pub(super) fn all() -> Vec<Script> {
    kinds().into_iter().map(keeps).chain([a_definition(), others(), nodes()]).collect()
}
