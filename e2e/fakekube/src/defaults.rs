//! Defaults that follow from other fields, per kind: what a server adds before it merges, validates and stores. Declared defaults
//! are read by `codec`; addresses and ports of Services are allotted by `write`.

use serde_json::{Map, Value, json};

use crate::codec::base64;

/// Adds the defaults of a built-in kind. `kind` is the object's; others are left as they are.
pub(crate) fn apply(group: &str, kind: &str, o: &mut Value) {
    match (group, kind) {
        ("apps", "Deployment") => deployment(o),
        ("apps", "StatefulSet") => stateful_set(o),
        ("apps", "DaemonSet") => daemon_set(o),
        ("apps", "ReplicaSet") => {
            replicas(o);
            template(&mut o["spec"]["template"]);
        }
        ("", "ReplicationController") => {
            replicas(o);
            if o["spec"]["template"].is_object() {
                let labels = o["spec"]["template"]["metadata"]["labels"].clone();
                if labels.is_object() {
                    absent(o, &["spec", "selector"], &labels);
                    absent(o, &["metadata", "labels"], &labels);
                }
                template(&mut o["spec"]["template"]);
            }
        }
        ("batch", "Job") => job(o),
        ("batch", "CronJob") => {
            absent(o, &["spec", "concurrencyPolicy"], &json!("Allow"));
            absent(o, &["spec", "suspend"], &json!(false));
            absent(o, &["spec", "successfulJobsHistoryLimit"], &json!(3));
            absent(o, &["spec", "failedJobsHistoryLimit"], &json!(1));
            template(&mut o["spec"]["jobTemplate"]["spec"]["template"]);
        }
        ("", "Pod") => {
            pod_spec(&mut o["spec"]);
            pod(o);
        }
        ("", "Service") => service(o),
        ("", "Secret") => secret(o),
        ("", "Namespace") => namespace(o),
        ("", "PersistentVolume") => {
            absent(o, &["status", "phase"], &json!("Pending"));
            absent(o, &["spec", "persistentVolumeReclaimPolicy"], &json!("Retain"));
            absent(o, &["spec", "volumeMode"], &json!("Filesystem"));
        }
        ("", "PersistentVolumeClaim") => claim(o),
        ("networking.k8s.io", "NetworkPolicy") => network_policy(o),
        ("rbac.authorization.k8s.io", "RoleBinding" | "ClusterRoleBinding") => binding(o),
        ("autoscaling", "HorizontalPodAutoscaler") => autoscaler(o),
        ("storage.k8s.io", "StorageClass") => {
            absent(o, &["reclaimPolicy"], &json!("Delete"));
            absent(o, &["volumeBindingMode"], &json!("Immediate"));
        }
        ("scheduling.k8s.io", "PriorityClass") => absent(o, &["preemptionPolicy"], &json!("PreemptLowerPriority")),
        ("admissionregistration.k8s.io", _) => webhooks(kind, o),
        ("apiextensions.k8s.io", "CustomResourceDefinition") => definition(o),
        ("", "LimitRange") => limit_range(o),
        ("", "Node") => {
            let capacity = o["status"]["capacity"].clone();
            if capacity.is_object() {
                absent(o, &["status", "allocatable"], &capacity);
            }
        }
        _ => {}
    }
}

/// Sets a path that is absent; the parents are made.
fn absent(o: &mut Value, path: &[&str], v: &Value) {
    let mut at = o;
    for step in path {
        if !at.is_object() {
            *at = Value::Object(Map::new());
        }
        at = &mut at[*step];
    }
    if at.is_null() {
        *at = v.clone();
    }
}

fn each<'v>(list: &'v mut Value, name: &str) -> impl Iterator<Item = &'v mut Value> {
    list.get_mut(name).and_then(Value::as_array_mut).into_iter().flatten()
}

fn replicas(o: &mut Value) {
    absent(o, &["spec", "replicas"], &json!(1));
}

fn deployment(o: &mut Value) {
    replicas(o);
    absent(o, &["spec", "strategy", "type"], &json!("RollingUpdate"));
    if o["spec"]["strategy"]["type"] == "RollingUpdate" {
        absent(o, &["spec", "strategy", "rollingUpdate", "maxUnavailable"], &json!("25%"));
        absent(o, &["spec", "strategy", "rollingUpdate", "maxSurge"], &json!("25%"));
    }
    absent(o, &["spec", "revisionHistoryLimit"], &json!(10));
    absent(o, &["spec", "progressDeadlineSeconds"], &json!(600));
    template(&mut o["spec"]["template"]);
}

fn daemon_set(o: &mut Value) {
    absent(o, &["spec", "updateStrategy", "type"], &json!("RollingUpdate"));
    if o["spec"]["updateStrategy"]["type"] == "RollingUpdate" {
        absent(o, &["spec", "updateStrategy", "rollingUpdate", "maxUnavailable"], &json!(1));
        absent(o, &["spec", "updateStrategy", "rollingUpdate", "maxSurge"], &json!(0));
    }
    absent(o, &["spec", "revisionHistoryLimit"], &json!(10));
    template(&mut o["spec"]["template"]);
}

fn stateful_set(o: &mut Value) {
    absent(o, &["spec", "podManagementPolicy"], &json!("OrderedReady"));
    let untyped = o["spec"]["updateStrategy"]["type"].is_null();
    absent(o, &["spec", "updateStrategy", "type"], &json!("RollingUpdate"));
    let rolling = o["spec"]["updateStrategy"]["type"] == "RollingUpdate";
    if untyped || (rolling && o["spec"]["updateStrategy"]["rollingUpdate"].is_object()) {
        absent(o, &["spec", "updateStrategy", "rollingUpdate", "partition"], &json!(0));
    }
    absent(o, &["spec", "persistentVolumeClaimRetentionPolicy", "whenDeleted"], &json!("Retain"));
    absent(o, &["spec", "persistentVolumeClaimRetentionPolicy", "whenScaled"], &json!("Retain"));
    replicas(o);
    absent(o, &["spec", "revisionHistoryLimit"], &json!(10));
    for c in each(&mut o["spec"], "volumeClaimTemplates") {
        absent(c, &["apiVersion"], &json!("v1"));
        absent(c, &["kind"], &json!("PersistentVolumeClaim"));
        claim(c);
    }
    template(&mut o["spec"]["template"]);
}

fn job(o: &mut Value) {
    let spec = &o["spec"];
    if spec["completions"].is_null() && spec["parallelism"].is_null() {
        absent(o, &["spec", "completions"], &json!(1));
    }
    absent(o, &["spec", "parallelism"], &json!(1));
    let limit = if o["spec"]["backoffLimitPerIndex"].is_null() { 6 } else { i32::MAX };
    absent(o, &["spec", "backoffLimit"], &json!(limit));
    let labels = o["spec"]["template"]["metadata"]["labels"].clone();
    if labels.is_object() {
        absent(o, &["metadata", "labels"], &labels);
    }
    absent(o, &["spec", "completionMode"], &json!("NonIndexed"));
    absent(o, &["spec", "suspend"], &json!(false));
    let replacement = if o["spec"]["podFailurePolicy"].is_null() { "TerminatingOrFailed" } else { "Failed" };
    absent(o, &["spec", "podReplacementPolicy"], &json!(replacement));
    absent(o, &["spec", "manualSelector"], &json!(false));
    template(&mut o["spec"]["template"]);
}

fn template(t: &mut Value) {
    if t.is_object() {
        pod_spec(&mut t["spec"]);
    }
}

fn pod_spec(s: &mut Value) {
    if !s.is_object() {
        return;
    }
    absent(s, &["dnsPolicy"], &json!("ClusterFirst"));
    absent(s, &["restartPolicy"], &json!("Always"));
    absent(s, &["securityContext"], &json!({}));
    absent(s, &["terminationGracePeriodSeconds"], &json!(30));
    absent(s, &["schedulerName"], &json!("default-scheduler"));
    // The two names of the service account follow each other.
    if let Some(name) = s["serviceAccountName"].as_str().or(s["serviceAccount"].as_str()).map(str::to_owned) {
        s["serviceAccountName"] = json!(name);
        s["serviceAccount"] = json!(name);
    }
    for list in ["containers", "initContainers", "ephemeralContainers"] {
        each(s, list).for_each(container);
    }
    for v in each(s, "volumes") {
        volume(v);
    }
}

fn container(c: &mut Value) {
    let image = c["image"].as_str().unwrap_or_default();
    let policy = if image_tag(image) == Some("latest") { "Always" } else { "IfNotPresent" };
    absent(c, &["imagePullPolicy"], &json!(policy));
    absent(c, &["terminationMessagePath"], &json!("/dev/termination-log"));
    absent(c, &["terminationMessagePolicy"], &json!("File"));
    for p in each(c, "ports") {
        absent(p, &["protocol"], &json!("TCP"));
    }
    for probe in ["livenessProbe", "readinessProbe", "startupProbe"] {
        let Some(p) = c.get_mut(probe).filter(|p| p.is_object()) else { continue };
        absent(p, &["timeoutSeconds"], &json!(1));
        absent(p, &["periodSeconds"], &json!(10));
        absent(p, &["successThreshold"], &json!(1));
        absent(p, &["failureThreshold"], &json!(3));
        handler(p);
    }
    for hook in ["postStart", "preStop"] {
        if let Some(h) = c.get_mut("lifecycle").and_then(|l| l.get_mut(hook)) {
            handler(h);
        }
    }
    for e in each(c, "env") {
        if e["valueFrom"]["fieldRef"].is_object() {
            absent(e, &["valueFrom", "fieldRef", "apiVersion"], &json!("v1"));
        }
    }
}

/// The tag of an image; `latest` when it has neither tag nor digest.
fn image_tag(image: &str) -> Option<&str> {
    let (name, digest) = image.split_once('@').map_or((image, None), |(n, d)| (n, Some(d)));
    let last = name.rsplit('/').next().unwrap_or(name);
    match (last.split_once(':'), digest) {
        (Some((_, tag)), _) => Some(tag),
        (None, None) if !image.is_empty() => Some("latest"),
        _ => None,
    }
}

fn handler(h: &mut Value) {
    if h["httpGet"].is_object() {
        absent(h, &["httpGet", "path"], &json!("/"));
        absent(h, &["httpGet", "scheme"], &json!("HTTP"));
    }
    if h["grpc"].is_object() {
        absent(h, &["grpc", "service"], &json!(""));
    }
}

fn volume(v: &mut Value) {
    if v.as_object().is_some_and(|m| m.keys().all(|k| k == "name")) {
        v["emptyDir"] = json!({});
    }
    for source in ["secret", "configMap", "downwardAPI", "projected"] {
        if v[source].is_object() {
            absent(v, &[source, "defaultMode"], &json!(420));
        }
    }
    if v["hostPath"].is_object() {
        absent(v, &["hostPath", "type"], &json!(""));
    }
    if v["ephemeral"]["volumeClaimTemplate"]["spec"].is_object() {
        absent(v, &["ephemeral", "volumeClaimTemplate", "spec", "volumeMode"], &json!("Filesystem"));
    }
    let items = |holder: &mut Value| {
        for i in each(holder, "items") {
            if i["fieldRef"].is_object() {
                absent(i, &["fieldRef", "apiVersion"], &json!("v1"));
            }
        }
    };
    items(&mut v["downwardAPI"]);
    for s in each(&mut v["projected"], "sources") {
        if s["serviceAccountToken"].is_object() {
            absent(s, &["serviceAccountToken", "expirationSeconds"], &json!(3600));
        }
        items(&mut s["downwardAPI"]);
        tidy(s, "downwardAPI");
    }
    tidy(v, "downwardAPI");
    tidy(v, "projected");
}

/// Indexing for writing leaves `null` behind where there was nothing.
fn tidy(o: &mut Value, name: &str) {
    if let Some(m) = o.as_object_mut()
        && m.get(name).is_some_and(Value::is_null)
    {
        m.remove(name);
    }
}

fn pod(o: &mut Value) {
    for list in ["containers", "initContainers"] {
        for c in each(&mut o["spec"], list) {
            let limits = c["resources"]["limits"].clone();
            for (name, v) in limits.as_object().into_iter().flatten() {
                absent(c, &["resources", "requests", name], v);
            }
        }
    }
    absent(o, &["spec", "enableServiceLinks"], &json!(true));
    if o["spec"]["hostNetwork"] == true {
        for list in ["containers", "initContainers"] {
            for p in each(&mut o["spec"], list).flat_map(|c| each(c, "ports")) {
                let port = p["containerPort"].clone();
                absent(p, &["hostPort"], &port);
            }
        }
    }
}

fn service(o: &mut Value) {
    absent(o, &["spec", "sessionAffinity"], &json!("None"));
    if o["spec"]["sessionAffinity"] == "ClientIP" {
        absent(o, &["spec", "sessionAffinityConfig", "clientIP", "timeoutSeconds"], &json!(10800));
    } else if let Some(s) = o["spec"].as_object_mut() {
        s.remove("sessionAffinityConfig");
    }
    absent(o, &["spec", "type"], &json!("ClusterIP"));
    for p in each(&mut o["spec"], "ports") {
        absent(p, &["protocol"], &json!("TCP"));
        let target = &p["targetPort"];
        if target.is_null() || target == 0 || target == "" {
            p["targetPort"] = p["port"].clone();
        }
    }
    let external = matches!(o["spec"]["type"].as_str(), Some("NodePort" | "LoadBalancer"));
    if external {
        absent(o, &["spec", "externalTrafficPolicy"], &json!("Cluster"));
    }
    if external || o["spec"]["type"] == "ClusterIP" {
        absent(o, &["spec", "internalTrafficPolicy"], &json!("Cluster"));
    }
    if o["spec"]["type"] == "LoadBalancer" {
        absent(o, &["spec", "allocateLoadBalancerNodePorts"], &json!(true));
        for i in each(&mut o["status"]["loadBalancer"], "ingress") {
            if i["ip"].is_string() {
                absent(i, &["ipMode"], &json!("VIP"));
            }
        }
    }
}

fn secret(o: &mut Value) {
    absent(o, &["type"], &json!("Opaque"));
    if let Some(plain) = o.as_object_mut().and_then(|m| m.remove("stringData")) {
        for (k, v) in plain.as_object().into_iter().flatten() {
            absent(o, &["data"], &json!({}));
            o["data"][k] = json!(base64(v.as_str().unwrap_or_default().as_bytes()));
        }
    }
}

fn namespace(o: &mut Value) {
    if let Some(name) = o["metadata"]["name"].as_str().map(str::to_owned) {
        absent(o, &["metadata", "labels"], &json!({}));
        o["metadata"]["labels"]["kubernetes.io/metadata.name"] = json!(name);
    }
    absent(o, &["status", "phase"], &json!("Active"));
}

fn claim(o: &mut Value) {
    absent(o, &["status", "phase"], &json!("Pending"));
    absent(o, &["spec", "volumeMode"], &json!("Filesystem"));
}

fn network_policy(o: &mut Value) {
    if o["spec"]["policyTypes"].as_array().is_none_or(Vec::is_empty) {
        let egress = o["spec"]["egress"].as_array().is_some_and(|e| !e.is_empty());
        o["spec"]["policyTypes"] = if egress { json!(["Ingress", "Egress"]) } else { json!(["Ingress"]) };
    }
    for side in ["ingress", "egress"] {
        for rule in each(&mut o["spec"], side) {
            for p in each(rule, "ports") {
                absent(p, &["protocol"], &json!("TCP"));
            }
        }
    }
}

fn binding(o: &mut Value) {
    absent(o, &["roleRef", "apiGroup"], &json!("rbac.authorization.k8s.io"));
    if o["roleRef"]["apiGroup"] == "" {
        o["roleRef"]["apiGroup"] = json!("rbac.authorization.k8s.io");
    }
    for s in each(o, "subjects") {
        if matches!(s["kind"].as_str(), Some("User" | "Group")) {
            absent(s, &["apiGroup"], &json!("rbac.authorization.k8s.io"));
        }
    }
}

fn autoscaler(o: &mut Value) {
    absent(o, &["spec", "minReplicas"], &json!(1));
    if o["spec"]["metrics"].as_array().is_none_or(Vec::is_empty) {
        o["spec"]["metrics"] = json!([{"type": "Resource",
            "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}}}]);
    }
    if let Some(b) = o["spec"].get_mut("behavior").filter(|b| b.is_object()) {
        let rule = |b: &mut Value, side: &str, window: Option<i64>, policies: Value| {
            absent(b, &[side, "selectPolicy"], &json!("Max"));
            if let Some(w) = window {
                absent(b, &[side, "stabilizationWindowSeconds"], &json!(w));
            }
            absent(b, &[side, "policies"], &policies);
        };
        let up = json!([{"type": "Pods", "value": 4, "periodSeconds": 15}, {"type": "Percent", "value": 100, "periodSeconds": 15}]);
        rule(b, "scaleUp", Some(0), up);
        rule(b, "scaleDown", None, json!([{"type": "Percent", "value": 100, "periodSeconds": 15}]));
    }
}

fn webhooks(kind: &str, o: &mut Value) {
    for w in each(o, "webhooks") {
        absent(w, &["failurePolicy"], &json!("Fail"));
        absent(w, &["matchPolicy"], &json!("Equivalent"));
        absent(w, &["namespaceSelector"], &json!({}));
        absent(w, &["objectSelector"], &json!({}));
        absent(w, &["timeoutSeconds"], &json!(10));
        if kind.starts_with("Mutating") {
            absent(w, &["reinvocationPolicy"], &json!("Never"));
        }
        if w["clientConfig"]["service"].is_object() {
            absent(w, &["clientConfig", "service", "port"], &json!(443));
        }
        for r in each(w, "rules") {
            absent(r, &["scope"], &json!("*"));
        }
    }
}

fn definition(o: &mut Value) {
    if o["spec"]["scope"].is_null() {
        o["spec"]["scope"] = json!("Namespaced");
    }
    if let Some(kind) = o["spec"]["names"]["kind"].as_str().map(str::to_owned) {
        absent(o, &["spec", "names", "singular"], &json!(kind.to_lowercase()));
        if o["spec"]["names"]["singular"] == "" {
            o["spec"]["names"]["singular"] = json!(kind.to_lowercase());
        }
        absent(o, &["spec", "names", "listKind"], &json!(format!("{kind}List")));
    }
    absent(o, &["spec", "conversion", "strategy"], &json!("None"));
}

fn limit_range(o: &mut Value) {
    for l in each(&mut o["spec"], "limits") {
        if l["type"] != "Container" {
            continue;
        }
        for (from, to) in [("max", "default"), ("default", "defaultRequest"), ("min", "defaultRequest")] {
            let source = l[from].clone();
            for (k, v) in source.as_object().into_iter().flatten() {
                absent(l, &[to, k], v);
            }
            tidy(l, from);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tag_decides_the_pull_policy() {
        assert_eq!(image_tag("nginx"), Some("latest"));
        assert_eq!(image_tag("r:5000/nginx"), Some("latest"));
        assert_eq!(image_tag("r:5000/nginx:1.2"), Some("1.2"));
        assert_eq!(image_tag("nginx@sha256:aa"), None);
    }
}
