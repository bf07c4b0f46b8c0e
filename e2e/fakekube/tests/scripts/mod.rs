//! The request scripts, and random sequences of several managers.

#![expect(clippy::needless_pass_by_value, reason = "the scripts read better without a reference before each literal")]

mod agent;

use serde_json::{Value, json};

use crate::parity_support::{APPLY, JSON, JSON_PATCH, MERGE, STRATEGIC, Script, Step, delete, get, step};

const MAPS: &str = "/api/v1/namespaces/{ns}/configmaps";
const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/{ns}/deployments";
const SERVICES: &str = "/api/v1/namespaces/{ns}/services";
const SECRETS: &str = "/api/v1/namespaces/{ns}/secrets";
const PODS: &str = "/api/v1/namespaces/{ns}/pods";
const WIDGETS: &str = "/apis/parity.example.com/v1/namespaces/{ns}/widgets";

/// A custom kind with lists of each sort, a status and a scale.
pub(crate) fn definition() -> Step {
    let list = |kind: &str| json!({"type": "array", "x-kubernetes-list-type": kind, "items": {"type": "string"}});
    step(
        "POST",
        "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
        JSON,
        json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": "widgets.parity.example.com"},
        "spec": {"group": "parity.example.com", "scope": "Namespaced", "names": {"plural": "widgets", "singular": "widget", "kind": "Widget", "listKind": "WidgetList"},
            "versions": [{"name": "v1", "served": true, "storage": true,
                "subresources": {"status": {}, "scale": {"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas"}},
                "schema": {"openAPIV3Schema": {"type": "object", "properties": {
                    "spec": {"type": "object", "required": ["size"], "properties": {
                        "size": {"type": "integer", "minimum": 1}, "replicas": {"type": "integer"},
                        "mode": {"type": "string", "enum": ["a", "b"], "default": "a"},
                        "tags": list("set"), "words": list("atomic"),
                        "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
                        "labels": {"type": "object", "additionalProperties": {"type": "string"}},
                        "parts": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"],
                            "items": {"type": "object", "required": ["name"], "properties": {"name": {"type": "string"}, "n": {"type": "integer"}}}}}},
                    "status": {"type": "object", "properties": {"replicas": {"type": "integer"}, "phase": {"type": "string"}}}}}}}]}}),
    )
}

pub(crate) fn list_widgets() -> Step {
    get(WIDGETS)
}

fn apply(path: &str, name: &str, manager: &str, force: bool, body: Value) -> Step {
    let force = if force { "&force=true" } else { "" };
    step("PATCH", format!("{path}/{name}?fieldManager={manager}{force}"), APPLY, body)
}

fn patch(path: &str, name: &str, media: &'static str, manager: &str, body: Value) -> Step {
    step("PATCH", format!("{path}/{name}?fieldManager={manager}"), media, body)
}

fn map(data: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m"}, "data": data})
}

/// A Deployment with a variable.
fn with_token(source: &Value) -> Value {
    let mut variable = json!({"name": "TOKEN"});
    variable.as_object_mut().into_iter().for_each(|fields| fields.extend(source.as_object().cloned().unwrap_or_default()));
    let mut object = deployment("i:1", json!({}));
    object["spec"]["template"]["spec"]["containers"][0]["env"] = json!([variable]);
    object
}

fn deployment(image: &str, extra: Value) -> Value {
    let mut d = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d", "labels": {"app": "d"}},
        "spec": {"selector": {"matchLabels": {"app": "d"}}, "template": {"metadata": {"labels": {"app": "d"}},
            "spec": {"containers": [{"name": "c", "image": image, "ports": [{"containerPort": 80}, {"containerPort": 81, "name": "x"}],
                "env": [{"name": "A", "value": "1"}, {"name": "N", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}],
                "resources": {"requests": {"cpu": "0.5", "memory": "1024Mi"}, "limits": {"cpu": "1000m"}},
                "readinessProbe": {"httpGet": {"port": 80}}, "volumeMounts": [{"name": "v", "mountPath": "/v"}, {"name": "s", "mountPath": "/s"}]}],
                "volumes": [{"name": "v"}, {"name": "s", "secret": {"secretName": "s"}}], "tolerations": [{"key": "gpu", "operator": "Exists"}]}}}});
    if let (Some(spec), Some(extra)) = (d["spec"].as_object_mut(), extra.as_object()) {
        spec.extend(extra.clone());
    }
    d
}

fn widget(spec: Value) -> Value {
    json!({"apiVersion": "parity.example.com/v1", "kind": "Widget", "metadata": {"name": "w"}, "spec": spec})
}

fn script(name: &str, watches: &[&str], steps: Vec<Step>) -> Script {
    Script { name: name.into(), watches: watches.iter().map(|w| (*w).to_owned()).collect(), steps }
}

/// What clients ask about a server.
pub(crate) fn about() -> Vec<Step> {
    let aggregated = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json";
    let mut out: Vec<Step> =
        ["/version", "/api", "/apis", "/api/v1", "/apis/apps", "/apis/apps/v1", "/apis/batch/v1", "/openapi/v3"].map(get).into();
    out.extend(["/api", "/apis"].map(|p| Step { accept: aggregated, ..get(p) }));
    out.push(step(
        "POST",
        "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
        JSON,
        json!({"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview", "spec": {"resourceAttributes": {"verb": "get", "resource": "pods"}}}),
    ));
    out
}

/// The OpenAPI documents in which the kinds of the schema table are.
pub(crate) fn open_api_documents() -> Vec<String> {
    let groups = [
        "apps/v1",
        "batch/v1",
        "networking.k8s.io/v1",
        "rbac.authorization.k8s.io/v1",
        "policy/v1",
        "autoscaling/v2",
        "scheduling.k8s.io/v1",
        "storage.k8s.io/v1",
        "coordination.k8s.io/v1",
        "admissionregistration.k8s.io/v1",
        "apiextensions.k8s.io/v1",
        "discovery.k8s.io/v1",
        "authorization.k8s.io/v1",
    ];
    let mut out: Vec<String> = groups.iter().map(|g| format!("/openapi/v3/apis/{g}")).collect();
    out.push("/openapi/v3/api/v1".into());
    out
}

/// All scripts.
pub(crate) fn all() -> Vec<Script> {
    let mut out = vec![
        script(
            "create read list delete",
            &[MAPS],
            vec![
                step("POST", MAPS, JSON, map(json!({"a": "1"}))),
                step("POST", MAPS, JSON, map(json!({"a": "1"}))),
                get(format!("{MAPS}/m")),
                get(format!("{MAPS}/none")),
                get(format!("{MAPS}?limit=1")),
                get(format!("{MAPS}?labelSelector=a%3Db")),
                get(format!("{MAPS}?fieldSelector=metadata.name%3Dm")),
                get(format!("{MAPS}?fieldSelector=data%3Dm")),
                step("DELETE", format!("{MAPS}/m"), JSON, json!({"preconditions": {"uid": "wrong"}})),
                delete(format!("{MAPS}/m")),
                delete(format!("{MAPS}/m")),
            ],
        ),
        script(
            "partial metadata and dry runs",
            &[MAPS],
            vec![
                step("POST", format!("{MAPS}?dryRun=All"), JSON, map(json!({"a": "1"}))),
                get(format!("{MAPS}/m")),
                step("POST", format!("{MAPS}?dryRun=Some"), JSON, map(json!({"a": "1"}))),
                step("POST", MAPS, JSON, map(json!({"a": "1"}))),
                Step { accept: "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1", ..get(format!("{MAPS}/m")) },
                Step { accept: "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1", ..get(format!("{MAPS}?limit=500")) },
                step("PATCH", format!("{MAPS}/m?fieldManager=x&dryRun=All&force=true"), APPLY, map(json!({"a": "2"}))),
                step("DELETE", format!("{MAPS}/m?dryRun=All"), "", Value::Null),
                get(format!("{MAPS}/m")),
            ],
        ),
        script(
            "put with and without a version",
            &[MAPS],
            vec![
                step("POST", MAPS, JSON, map(json!({"a": "1"}))),
                step("PUT", format!("{MAPS}/m?fieldManager=put"), JSON, map(json!({"a": "2"}))),
                step(
                    "PUT",
                    format!("{MAPS}/m"),
                    JSON,
                    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m", "resourceVersion": "1"}}),
                ),
                step("PUT", format!("{MAPS}/m"), JSON, json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "other"}})),
                step("PUT", format!("{MAPS}/none"), JSON, json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "none"}})),
                step(
                    "PUT",
                    format!("{MAPS}/m"),
                    JSON,
                    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m", "uid": "wrong"}}),
                ),
                step("PUT", format!("{MAPS}/m"), JSON, json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "m"}})),
                step("PUT", format!("{MAPS}/m?fieldManager=put"), JSON, map(json!({"a": "2"}))),
            ],
        ),
        script(
            "apply on a map",
            &[MAPS],
            vec![
                apply(MAPS, "m", "one", false, map(json!({"a": "1", "b": "1"}))),
                apply(MAPS, "m", "one", false, map(json!({"a": "1", "b": "1"}))),
                apply(MAPS, "m", "two", false, map(json!({"a": "2"}))),
                apply(MAPS, "m", "two", false, map(json!({"a": "2", "b": "2"}))),
                apply(MAPS, "m", "two", false, map(json!({"a": "1", "c": "1"}))),
                apply(MAPS, "m", "one", false, map(json!({"b": "1"}))),
                apply(MAPS, "m", "two", false, map(json!({}))),
                apply(MAPS, "m", "two", true, map(json!({"b": "9"}))),
                patch(MAPS, "m", MERGE, "merge", json!({"data": {"b": null, "z": "1"}, "metadata": {"labels": {"l": "1"}}})),
                patch(MAPS, "m", JSON_PATCH, "jp", json!([{"op": "add", "path": "/data/j", "value": "1"}])),
                patch(MAPS, "m", JSON_PATCH, "jp", json!([{"op": "test", "path": "/data/j", "value": "2"}])),
                patch(MAPS, "m", JSON_PATCH, "jp", json!([{"op": "remove", "path": "/data/none"}])),
                patch(MAPS, "m", STRATEGIC, "smp", json!({"data": {"s": "1"}, "metadata": {"finalizers": ["a.b/c"]}})),
                apply(MAPS, "m", "one", false, map(json!({"z": "3"}))),
                patch(MAPS, "m", MERGE, "merge", json!({"metadata": {"finalizers": null}})),
            ],
        ),
        script(
            "apply refused",
            &[],
            vec![
                step("PATCH", format!("{MAPS}/m"), APPLY, map(json!({}))),
                apply(MAPS, "m", "x", false, json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "other"}})),
                apply(MAPS, "m", "x", false, json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {}})),
                apply(MAPS, "m", "x", false, json!({"apiVersion": "v2", "kind": "ConfigMap", "metadata": {"name": "m"}})),
                apply(MAPS, "m", "x", false, json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m"}, "data": {"a": 1}})),
                apply(MAPS, "m", "x", false, json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m"}, "nope": {"a": 1}})),
                apply(MAPS, "m", "x", false, json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m", "uid": "u"}})),
                apply(
                    MAPS,
                    "m",
                    "x",
                    false,
                    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m", "managedFields": []}}),
                ),
                apply(
                    DEPLOYMENTS,
                    "d",
                    "x",
                    false,
                    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"}, "spec": {"replicas": "2"}}),
                ),
                patch("/api/v1/namespaces/{ns}-none/configmaps", "m", APPLY, "x", map(json!({}))),
                patch(MAPS, "m", MERGE, "x", json!({"data": {}})),
                step("PATCH", format!("{MAPS}/m?fieldManager=x&force=true"), MERGE, json!({})),
                step("PATCH", format!("{MAPS}/m?fieldManager=x"), "text/plain", json!({})),
                apply(
                    MAPS,
                    "Bad_Name",
                    "x",
                    false,
                    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "Bad_Name", "labels": {"a/b/c": "x"}}}),
                ),
            ],
        ),
        script(
            "field validation",
            &[],
            vec![
                step("POST", format!("{MAPS}?fieldValidation=Strict"), JSON, json!({"metadata": {"name": "m"}, "nope": 1})),
                step("POST", format!("{MAPS}?fieldValidation=Warn"), JSON, json!({"metadata": {"name": "m", "no": 1}, "nope": 1})),
                step("POST", format!("{DEPLOYMENTS}?fieldValidation=Strict"), JSON, {
                    let mut d = deployment("n:1", json!({"zip": 1}));
                    d["spec"]["template"]["spec"]["containers"][0]["zap"] = json!(1);
                    d
                }),
                step("POST", DEPLOYMENTS, JSON, deployment("n:1", json!({"replicas": "2"}))),
                step("POST", format!("{WIDGETS}?fieldValidation=Strict"), JSON, widget(json!({"size": 1, "nope": 1}))),
                step("POST", WIDGETS, JSON, widget(json!({"size": 1, "nope": 1}))),
            ],
        ),
        script(
            "a deployment",
            &[DEPLOYMENTS],
            vec![
                apply(DEPLOYMENTS, "d", "one", false, deployment("n", json!({}))),
                apply(DEPLOYMENTS, "d", "one", false, deployment("n", json!({}))),
                apply(DEPLOYMENTS, "d", "one", false, deployment("n:1", json!({"replicas": 3}))),
                patch(
                    DEPLOYMENTS,
                    "d",
                    STRATEGIC,
                    "smp",
                    json!({"spec": {"template": {"spec": {"containers": [{"name": "c", "image": "n:2"}, {"name": "side", "image": "s:1"}]}}}}),
                ),
                apply(DEPLOYMENTS, "d", "one", false, deployment("n:3", json!({"replicas": 3}))),
                apply(DEPLOYMENTS, "d", "one", true, deployment("n:3", json!({"replicas": 3}))),
                get(format!("{DEPLOYMENTS}/d/scale")),
                patch(DEPLOYMENTS, "d/scale", MERGE, "hpa", json!({"spec": {"replicas": 5}})),
                apply(DEPLOYMENTS, "d", "one", false, deployment("n:3", json!({"replicas": 3}))),
                patch(
                    DEPLOYMENTS,
                    "d/status",
                    MERGE,
                    "ctl",
                    json!({"status": {"replicas": 5, "observedGeneration": 1, "conditions": [{"type": "Available", "status": "True", "reason": "R", "message": "m"}]}, "metadata": {"labels": {"x": "y"}, "annotations": {"s": "1"}}, "spec": {"replicas": 9}}),
                ),
                get(format!("{DEPLOYMENTS}/d")),
                patch(DEPLOYMENTS, "d", MERGE, "m", json!({"metadata": {"annotations": {"a": "b"}}})),
                patch(DEPLOYMENTS, "d", MERGE, "m", json!({"spec": {"selector": {"matchLabels": {"other": "x"}}}})),
                patch(DEPLOYMENTS, "d", MERGE, "m", json!({"spec": {"strategy": {"type": "Recreate", "rollingUpdate": null}}})),
                apply(
                    DEPLOYMENTS,
                    "d",
                    "two",
                    false,
                    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"}, "spec": {"template": {"spec": {"containers": [{"name": "c", "env": [{"name": "B", "value": "2"}]}]}}}}),
                ),
                apply(DEPLOYMENTS, "d", "two", false, json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"}})),
                step("DELETE", format!("{DEPLOYMENTS}/d"), JSON, json!({"propagationPolicy": "Foreground"})),
                step("DELETE", format!("{DEPLOYMENTS}/d"), JSON, json!({"propagationPolicy": "Background"})),
            ],
        ),
        script(
            "deployments refused",
            &[],
            vec![
                step("POST", DEPLOYMENTS, JSON, json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"}})),
                step("POST", DEPLOYMENTS, JSON, deployment("", json!({}))),
                step("POST", DEPLOYMENTS, JSON, deployment("n", json!({"replicas": -1}))),
                step("POST", DEPLOYMENTS, JSON, deployment("n", json!({"selector": {"matchLabels": {"a": "b"}}}))),
            ],
        ),
        script(
            "a service",
            &[SERVICES],
            vec![
                apply(
                    SERVICES,
                    "s",
                    "one",
                    false,
                    json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"}, "spec": {"selector": {"a": "b"}, "ports": [{"port": 80}, {"port": 81, "name": "x"}]}}),
                ),
                apply(
                    SERVICES,
                    "s",
                    "one",
                    false,
                    json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"}, "spec": {"selector": {"a": "b"}, "ports": [{"port": 80, "name": "w"}, {"port": 81, "name": "x", "targetPort": "http"}]}}),
                ),
                apply(
                    SERVICES,
                    "s",
                    "one",
                    false,
                    json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"}, "spec": {"type": "NodePort", "selector": {"a": "b"}, "ports": [{"port": 80, "name": "w"}]}}),
                ),
                apply(
                    SERVICES,
                    "s",
                    "one",
                    false,
                    json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"}, "spec": {"selector": {"a": "c"}, "ports": [{"port": 80, "name": "w"}]}}),
                ),
                patch(SERVICES, "s", STRATEGIC, "smp", json!({"spec": {"ports": [{"port": 82, "name": "y", "protocol": "UDP"}]}})),
                apply(
                    SERVICES,
                    "h",
                    "one",
                    false,
                    json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "h"}, "spec": {"clusterIP": "None", "selector": {"a": "b"}}}),
                ),
                apply(
                    SERVICES,
                    "1bad",
                    "one",
                    false,
                    json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "1bad"}, "spec": {}}),
                ),
                delete(format!("{SERVICES}/s")),
            ],
        ),
        script(
            "secrets and immutability",
            &[SECRETS],
            vec![
                step(
                    "POST",
                    SECRETS,
                    JSON,
                    json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "stringData": {"a": "x"}, "data": {"b": "eQ=="}}),
                ),
                apply(
                    SECRETS,
                    "t",
                    "one",
                    false,
                    json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "t"}, "data": {"b": "eQ=="}, "immutable": true}),
                ),
                apply(
                    SECRETS,
                    "t",
                    "one",
                    false,
                    json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "t"}, "data": {"b": "eg=="}, "immutable": true}),
                ),
                apply(
                    SECRETS,
                    "t",
                    "one",
                    false,
                    json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "t"}, "data": {"b": "eQ=="}}),
                ),
                patch(SECRETS, "s", MERGE, "m", json!({"type": "other"})),
                step(
                    "POST",
                    MAPS,
                    JSON,
                    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m"}, "data": {"bad key": "x"}}),
                ),
            ],
        ),
        script(
            "a custom kind",
            &[WIDGETS],
            vec![
                apply(
                    WIDGETS,
                    "w",
                    "one",
                    false,
                    widget(
                        json!({"size": 1, "tags": ["a", "b"], "words": ["x"], "parts": [{"name": "p", "n": 1}], "free": {"k": [1]}, "labels": {"l": "1"}}),
                    ),
                ),
                apply(
                    WIDGETS,
                    "w",
                    "one",
                    false,
                    widget(
                        json!({"size": 1, "tags": ["a", "b"], "words": ["x"], "parts": [{"name": "p", "n": 1}], "free": {"k": [1]}, "labels": {"l": "1"}}),
                    ),
                ),
                apply(WIDGETS, "w", "two", false, widget(json!({"size": 1, "tags": ["c"], "parts": [{"name": "q"}], "free": {"j": 1}}))),
                apply(WIDGETS, "w", "two", false, widget(json!({"size": 2, "words": ["y"], "parts": [{"name": "p", "n": 2}]}))),
                apply(WIDGETS, "w", "one", false, widget(json!({"size": 1, "tags": ["b"]}))),
                apply(WIDGETS, "w", "one", false, widget(json!({"size": 0, "mode": "z"}))),
                apply(WIDGETS, "w", "one", false, widget(json!({}))),
                apply(WIDGETS, "w", "one", false, widget(json!({"size": "x"}))),
                patch(WIDGETS, "w", MERGE, "m", json!({"spec": {"size": "x"}})),
                patch(WIDGETS, "w", MERGE, "m", json!({"spec": {"mode": "b", "unknown": 1}, "status": {"phase": "no"}})),
                patch(
                    WIDGETS,
                    "w/status",
                    MERGE,
                    "ctl",
                    json!({"status": {"phase": "yes"}, "spec": {"size": 9}, "metadata": {"labels": {"a": "b"}}}),
                ),
                patch(WIDGETS, "w/scale", MERGE, "hpa", json!({"spec": {"replicas": 2}})),
                get(format!("{WIDGETS}/w")),
                get(WIDGETS),
                patch(WIDGETS, "w", STRATEGIC, "m", json!({})),
                step("PUT", format!("{WIDGETS}/w"), JSON, widget(json!({"size": 1}))),
                delete(format!("{WIDGETS}/w")),
            ],
        ),
        script(
            "finalizers and owners",
            &[MAPS],
            vec![
                step(
                    "POST",
                    MAPS,
                    JSON,
                    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m", "finalizers": ["x.y/z"]}}),
                ),
                delete(format!("{MAPS}/m")),
                delete(format!("{MAPS}/m")),
                patch(MAPS, "m", MERGE, "m", json!({"metadata": {"finalizers": ["x.y/z", "x.y/w"]}})),
                apply(MAPS, "m", "one", false, map(json!({"still": "here"}))),
                patch(MAPS, "m", MERGE, "m", json!({"metadata": {"finalizers": null}})),
                get(format!("{MAPS}/m")),
                step(
                    "POST",
                    MAPS,
                    JSON,
                    json!({"metadata": {"name": "o", "ownerReferences": [{"apiVersion": "v1", "kind": "ConfigMap", "name": ""}]}}),
                ),
                step("POST", MAPS, JSON, json!({"metadata": {"name": "f", "finalizers": ["plain"]}})),
                step("POST", MAPS, JSON, json!({"metadata": {}})),
            ],
        ),
        script(
            "namespaces",
            &[],
            vec![
                step("POST", "/api/v1/namespaces", JSON, json!({"metadata": {"name": "{ns}-x"}})),
                apply(
                    "/api/v1/namespaces",
                    "{ns}-y",
                    "one",
                    false,
                    json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "{ns}-y", "labels": {"a": "b"}}}),
                ),
                delete("/api/v1/namespaces/{ns}-x"),
                step("POST", "/api/v1/namespaces/{ns}-x/configmaps", JSON, map(json!({}))),
                apply("/api/v1/namespaces/{ns}-x/configmaps", "m", "one", false, map(json!({}))),
                step("POST", "/api/v1/namespaces/{ns}-none/configmaps", JSON, map(json!({}))),
                delete("/api/v1/namespaces/default"),
                apply(
                    "/api/v1/namespaces",
                    "Bad",
                    "one",
                    false,
                    json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "Bad"}}),
                ),
            ],
        ),
        script(
            "fields that exclude each other",
            &[],
            vec![
                apply(DEPLOYMENTS, "d", "one", true, deployment("i:1", json!({}))),
                apply(DEPLOYMENTS, "d", "one", true, deployment("i:1", json!({"strategy": {"type": "Recreate"}}))),
                apply(DEPLOYMENTS, "d", "one", true, deployment("i:1", json!({"strategy": {"type": "Recreate", "rollingUpdate": null}}))),
                apply(DEPLOYMENTS, "d", "one", true, deployment("i:1", json!({"strategy": {"type": "RollingUpdate"}}))),
                delete(format!("{DEPLOYMENTS}/d")),
                step("POST", format!("{DEPLOYMENTS}?fieldManager=kubectl-client-side-apply"), JSON, with_token(&json!({"value": "plain"}))),
                apply(DEPLOYMENTS, "d", "one", true, with_token(&json!({"valueFrom": {"secretKeyRef": {"name": "s", "key": "a"}}}))),
                apply(
                    "/apis/apps/v1/namespaces/{ns}/statefulsets",
                    "mounts",
                    "one",
                    false,
                    json!({"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "mounts"}, "spec": {"serviceName": "s", "selector": {"matchLabels": {"a": "b"}}, "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i", "volumeMounts": [{"name": "v", "mountPath": "/v"}]}]}},
                "volumeClaimTemplates": [{"metadata": {"name": "v"}, "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}}]}}),
                ),
            ],
        ),
        script(
            "other workloads",
            &[],
            vec![
                apply(
                    "/apis/apps/v1/namespaces/{ns}/statefulsets",
                    "s",
                    "one",
                    false,
                    json!({"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "s"}, "spec": {"serviceName": "s", "selector": {"matchLabels": {"a": "b"}}, "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}},
                "volumeClaimTemplates": [{"metadata": {"name": "v"}, "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}}]}}),
                ),
                patch("/apis/apps/v1/namespaces/{ns}/statefulsets", "s", MERGE, "m", json!({"spec": {"serviceName": "other"}})),
                apply(
                    "/apis/apps/v1/namespaces/{ns}/daemonsets",
                    "s",
                    "one",
                    false,
                    json!({"apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"name": "s"}, "spec": {"selector": {"matchLabels": {"a": "b"}}, "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"hostNetwork": true, "containers": [{"name": "c", "image": "i", "ports": [{"containerPort": 9}]}]}}}}),
                ),
                apply(
                    "/apis/batch/v1/namespaces/{ns}/jobs",
                    "j",
                    "one",
                    false,
                    json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "j"}, "spec": {"template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}}}}),
                ),
                apply(
                    "/apis/batch/v1/namespaces/{ns}/jobs",
                    "j",
                    "one",
                    false,
                    json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "j"}, "spec": {"template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "other"}]}}}}),
                ),
                apply(
                    "/apis/batch/v1/namespaces/{ns}/jobs",
                    "k",
                    "one",
                    false,
                    json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "k"}, "spec": {"template": {"spec": {"containers": [{"name": "c", "image": "i"}]}}}}),
                ),
                apply(
                    "/apis/batch/v1/namespaces/{ns}/cronjobs",
                    "c",
                    "one",
                    false,
                    json!({"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "c"}, "spec": {"schedule": "0 3 * * *", "jobTemplate": {"spec": {"template": {"spec": {"restartPolicy": "OnFailure", "containers": [{"name": "c", "image": "i"}]}}}}}}),
                ),
                apply(
                    PODS,
                    "p",
                    "one",
                    false,
                    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": {"automountServiceAccountToken": false, "containers": [{"name": "c", "image": "i", "resources": {"limits": {"cpu": "1"}}}]}}),
                ),
                delete("/apis/batch/v1/namespaces/{ns}/jobs/j"),
                delete(format!("{PODS}/p")),
            ],
        ),
        script(
            "configuration kinds",
            &[],
            vec![
                apply(
                    "/apis/rbac.authorization.k8s.io/v1/namespaces/{ns}/roles",
                    "r",
                    "one",
                    false,
                    json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "r"}, "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]}),
                ),
                apply(
                    "/apis/rbac.authorization.k8s.io/v1/namespaces/{ns}/rolebindings",
                    "r",
                    "one",
                    false,
                    json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": "r"}, "roleRef": {"kind": "Role", "name": "r", "apiGroup": "rbac.authorization.k8s.io"}, "subjects": [{"kind": "ServiceAccount", "name": "x", "namespace": "{ns}"}]}),
                ),
                patch(
                    "/apis/rbac.authorization.k8s.io/v1/namespaces/{ns}/rolebindings",
                    "r",
                    MERGE,
                    "m",
                    json!({"roleRef": {"name": "z"}}),
                ),
                apply(
                    "/apis/networking.k8s.io/v1/namespaces/{ns}/ingresses",
                    "i",
                    "one",
                    false,
                    json!({"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": {"name": "i"}, "spec": {"rules": [{"host": "a.b", "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": {"service": {"name": "s", "port": {"number": 80}}}}]}}]}}),
                ),
                apply(
                    "/apis/networking.k8s.io/v1/namespaces/{ns}/networkpolicies",
                    "n",
                    "one",
                    false,
                    json!({"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": "n"}, "spec": {"podSelector": {}, "ingress": [{"ports": [{"port": 80}]}]}}),
                ),
                apply(
                    "/apis/policy/v1/namespaces/{ns}/poddisruptionbudgets",
                    "p",
                    "one",
                    false,
                    json!({"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "p"}, "spec": {"minAvailable": 1, "selector": {"matchLabels": {"a": "b"}}}}),
                ),
                apply(
                    "/apis/autoscaling/v2/namespaces/{ns}/horizontalpodautoscalers",
                    "h",
                    "one",
                    false,
                    json!({"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "h"}, "spec": {"maxReplicas": 3, "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "d"}}}),
                ),
                apply(
                    "/api/v1/namespaces/{ns}/persistentvolumeclaims",
                    "p",
                    "one",
                    false,
                    json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "p"}, "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}}),
                ),
                apply(
                    "/api/v1/namespaces/{ns}/serviceaccounts",
                    "a",
                    "one",
                    false,
                    json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "a"}}),
                ),
                apply(
                    "/api/v1/namespaces/{ns}/resourcequotas",
                    "q",
                    "one",
                    false,
                    json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "q"}, "spec": {"hard": {"pods": 100}}}),
                ),
                apply(
                    "/api/v1/namespaces/{ns}/limitranges",
                    "l",
                    "one",
                    false,
                    json!({"apiVersion": "v1", "kind": "LimitRange", "metadata": {"name": "l"}, "spec": {"limits": [{"type": "Container", "default": {"cpu": "100m"}}]}}),
                ),
                apply(
                    "/apis/coordination.k8s.io/v1/namespaces/{ns}/leases",
                    "l",
                    "one",
                    false,
                    json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "l"}, "spec": {"holderIdentity": "me", "leaseDurationSeconds": 15}}),
                ),
                step(
                    "PUT",
                    "/apis/coordination.k8s.io/v1/namespaces/{ns}/leases/l",
                    JSON,
                    json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "l"}, "spec": {"holderIdentity": "you"}}),
                ),
                step(
                    "POST",
                    "/apis/coordination.k8s.io/v1/namespaces/{ns}/leases",
                    JSON,
                    json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "n"}, "spec": {"holderIdentity": "you"}}),
                ),
                apply(
                    "/apis/scheduling.k8s.io/v1/priorityclasses",
                    "{ns}",
                    "one",
                    false,
                    json!({"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": "{ns}"}, "value": 10}),
                ),
                apply(
                    "/apis/storage.k8s.io/v1/storageclasses",
                    "{ns}",
                    "one",
                    false,
                    json!({"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": "{ns}"}, "provisioner": "x"}),
                ),
                delete("/apis/storage.k8s.io/v1/storageclasses/{ns}"),
                delete("/apis/scheduling.k8s.io/v1/priorityclasses/{ns}"),
            ],
        ),
        script(
            "kubectl moves to server-side apply",
            &[MAPS],
            vec![
                step(
                    "POST",
                    format!("{MAPS}?fieldManager=kubectl-client-side-apply&fieldValidation=Strict"),
                    JSON,
                    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m", "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "{\"apiVersion\":\"v1\",\"data\":{\"a\":\"1\"},\"kind\":\"ConfigMap\",\"metadata\":{\"annotations\":{},\"name\":\"m\"}}\n"}}, "data": {"a": "1"}}),
                ),
                apply(MAPS, "m", "kubectl", false, map(json!({"a": "2"}))),
                apply(MAPS, "m", "kubectl", false, map(json!({"a": "3"}))),
            ],
        ),
        script(
            "lists and watches as agents ask for them",
            &[],
            vec![
                step("POST", MAPS, JSON, json!({"metadata": {"name": "a", "labels": {"x": "1"}}})),
                step("POST", MAPS, JSON, json!({"metadata": {"name": "b", "labels": {"x": "2"}}})),
                get(format!("{MAPS}?limit=500&resourceVersion=0&resourceVersionMatch=NotOlderThan")),
                get(format!("{MAPS}?limit=500&resourceVersion=0")),
                get(format!("{MAPS}?watch=true&timeoutSeconds=1&allowWatchBookmarks=true&resourceVersion=0")),
                get(format!("{MAPS}?watch=true&timeoutSeconds=1&labelSelector=x%3D1&allowWatchBookmarks=true")),
                get(format!("{MAPS}?watch=true&timeoutSeconds=1&fieldSelector=metadata.name%3Db")),
                get(format!(
                    "{MAPS}?watch=true&timeoutSeconds=1&allowWatchBookmarks=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan"
                )),
                get(format!("{MAPS}?watch=true&timeoutSeconds=1&sendInitialEvents=true")),
                Step {
                    accept: "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1",
                    ..get(format!("{MAPS}?watch=true&timeoutSeconds=1&allowWatchBookmarks=true&resourceVersion=0"))
                },
                get(format!("{MAPS}/a?watch=true&timeoutSeconds=1")),
                get(format!("{MAPS}?watch=true&timeoutSeconds=1&resourceVersion=x")),
            ],
        ),
        script(
            "paths that are not",
            &[],
            vec![
                get("/apis/none/v1/things"),
                get("/api/v1/namespaces/{ns}/nothings"),
                get("/apis/none"),
                step("POST", format!("{MAPS}/m"), JSON, json!({})),
                step("PUT", MAPS, JSON, json!({})),
            ],
        ),
        script(
            "collections",
            &[MAPS],
            vec![
                step("POST", MAPS, JSON, json!({"metadata": {"name": "a", "labels": {"x": "1"}}})),
                step("POST", MAPS, JSON, json!({"metadata": {"name": "b", "labels": {"x": "2"}}})),
                step("POST", MAPS, JSON, json!({"metadata": {"name": "c", "labels": {"x": "1"}}})),
                get(format!("{MAPS}?labelSelector=x+in+(1,3)")),
                delete(format!("{MAPS}?labelSelector=x%3D1")),
                get(MAPS),
            ],
        ),
    ];
    out.push(script("ten updaters and one more", &[], {
        // The first name is the lowest too: entries of one second are folded by name, and seconds end where they like.
        let mut s = vec![step("POST", format!("{MAPS}?fieldManager=a"), JSON, map(json!({"a": "0"})))];
        s.extend((0..12).map(|i| patch(MAPS, "m", MERGE, &format!("m{i:02}"), json!({"data": {(format!("k{i}")): "1"}}))));
        s
    }));
    out.extend(agent::all());
    out
}

/// splitmix64, so that a seed names a sequence for ever.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % n
    }

    fn chance(&mut self) -> bool {
        self.roll(2) == 0
    }
}

/// A sequence of several managers on one object of each of four kinds.
pub(crate) fn random(seed: u64) -> Script {
    let mut d = Dice(seed);
    let kind = d.roll(4);
    let (path, name) = [(MAPS, "m"), (DEPLOYMENTS, "d"), (SERVICES, "s"), (WIDGETS, "w")][kind as usize];
    let count = 6 + d.roll(8);
    let mut steps = Vec::new();
    for _ in 0..count {
        let manager = ["one", "two", "three"][d.roll(3) as usize];
        let body = any_object(&mut d, kind);
        steps.push(match d.roll(10) {
            0..=3 => apply(path, name, manager, false, body),
            4 | 5 => apply(path, name, manager, true, body),
            6 if kind != 3 => step("PUT", format!("{path}/{name}?fieldManager={manager}"), JSON, body),
            6 | 7 => patch(
                path,
                name,
                MERGE,
                manager,
                json!({"metadata": {"labels": body["metadata"]["labels"]}, "data": body["data"], "spec": body["spec"]}),
            ),
            8 => patch(path, name, MERGE, manager, json!({"metadata": {"annotations": {"n": d.roll(3).to_string()}}})),
            _ => delete(format!("{path}/{name}")),
        });
    }
    Script { name: format!("seed {seed}"), watches: if seed.is_multiple_of(10) { vec![path.to_owned()] } else { Vec::new() }, steps }
}

fn any_object(d: &mut Dice, kind: u64) -> Value {
    let mut labels = json!({});
    for l in ["a", "b"] {
        if d.chance() {
            labels[l] = json!(d.roll(2).to_string());
        }
    }
    match kind {
        0 => {
            let mut data = json!({});
            for k in ["x", "y", "z"] {
                if d.chance() {
                    data[k] = json!(d.roll(3).to_string());
                }
            }
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m", "labels": labels}, "data": data})
        }
        1 => {
            let mut containers = Vec::new();
            for n in ["c", "side", "last"] {
                if n == "c" || d.chance() {
                    let mut c = json!({"name": n, "image": format!("i:{}", d.roll(2))});
                    if d.chance() {
                        c["env"] =
                            json!([{"name": "A", "value": d.roll(2).to_string()}, {"name": format!("B{}", d.roll(2)), "value": "1"}]);
                    }
                    if d.chance() {
                        c["args"] = json!([d.roll(2).to_string()]);
                    }
                    if d.chance() {
                        c["ports"] = json!([{"containerPort": 80 + d.roll(2)}]);
                    }
                    containers.push(c);
                }
            }
            if d.chance() {
                containers.reverse();
            }
            let mut spec = json!({"selector": {"matchLabels": {"app": "d"}}, "template": {"metadata": {"labels": {"app": "d"}}, "spec": {"containers": containers}}});
            if d.chance() {
                spec["replicas"] = json!(d.roll(3));
            }
            if d.chance() {
                spec["template"]["spec"]["nodeSelector"] = json!({"k": d.roll(2).to_string()});
            }
            json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d", "labels": labels}, "spec": spec})
        }
        2 => {
            let mut ports = vec![json!({"name": "w", "port": 80})];
            if d.chance() {
                ports.push(json!({"name": "x", "port": 81 + d.roll(2), "protocol": if d.chance() { "UDP" } else { "TCP" }}));
            }
            let mut spec = json!({"selector": {"app": d.roll(2).to_string()}, "ports": ports});
            if d.chance() {
                spec["sessionAffinity"] = json!("ClientIP");
            }
            json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s", "labels": labels}, "spec": spec})
        }
        _ => {
            let mut spec = json!({"size": 1 + d.roll(2)});
            if d.chance() {
                spec["tags"] = json!(if d.chance() { vec!["a", "b"] } else { vec!["c", "a"] });
            }
            if d.chance() {
                spec["parts"] = json!([{"name": "p", "n": d.roll(2)}, {"name": format!("q{}", d.roll(2))}]);
            }
            if d.chance() {
                spec["words"] = json!([d.roll(2).to_string()]);
            }
            if d.chance() {
                spec["free"] = json!({"k": d.roll(2), "l": {"m": [d.roll(2)]}});
            }
            if d.chance() {
                spec["labels"] = json!({"u": d.roll(2).to_string()});
            }
            json!({"apiVersion": "parity.example.com/v1", "kind": "Widget", "metadata": {"name": "w", "labels": labels}, "spec": spec})
        }
    }
}
