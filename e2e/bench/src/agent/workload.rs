//! What is applied: apps of four objects in the sizes that Flux and Argo CD were measured with, and apps of many objects of 2 KB.

use serde_json::{Value, json};

/// Bytes of the four objects of an app as compact JSON: those of the peers' measurement.
pub(super) const SIZES: [(&str, usize); 4] = [("ConfigMap", 509), ("Deployment", 2_058), ("Service", 249), ("ServiceAccount", 144)];

/// Bytes of one object of the large workload.
pub(super) const LARGE_BYTES: usize = 2_048;

/// Objects of one app of the large workload: eight ConfigMaps and two Deployments.
pub(super) const LARGE_APP: usize = 10;

/// An app and its objects.
#[derive(Debug, Clone)]
pub(super) struct App {
    pub(super) name: String,
    pub(super) objects: Vec<Value>,
}

/// `count` apps of four objects in `namespace`.
pub(super) fn small(namespace: &str, count: usize) -> Vec<App> {
    let app = |number: usize| {
        let name = format!("app-{number:04}");
        let objects = SIZES.map(|(kind, bytes)| object(namespace, &name, kind, bytes, "1"));
        App { name, objects: objects.into() }
    };
    (0..count).map(app).collect()
}

/// Apps that hold `count` objects of 2 KB together.
pub(super) fn large(namespace: &str, count: usize) -> Vec<App> {
    let app = |number: usize| {
        let name = format!("app-{number:04}");
        let object = |n: usize| {
            let kind = if n < LARGE_APP - 2 { "ConfigMap" } else { "Deployment" };
            self::object(namespace, &format!("{name}-{n}"), kind, LARGE_BYTES, "1")
        };
        App { objects: (0..LARGE_APP).map(object).collect(), name }
    };
    (0..count / LARGE_APP).map(app).collect()
}

/// The ConfigMap of a small app with another value.
pub(super) fn changed(namespace: &str, app: &str, value: &str) -> Value {
    object(namespace, app, "ConfigMap", SIZES[0].1, value)
}

/// One object of this kind, filled up to `bytes` bytes as compact JSON.
fn object(namespace: &str, name: &str, kind: &str, bytes: usize, value: &str) -> Value {
    let metadata = json!({"name": name, "namespace": namespace});
    let mut object = match kind {
        "ConfigMap" => json!({"apiVersion": "v1", "kind": kind, "metadata": metadata, "data": {"value": value}}),
        "Service" => json!({"apiVersion": "v1", "kind": kind, "metadata": metadata,
            "spec": {"selector": {"app": name}, "ports": [{"name": "http", "port": 80, "targetPort": 8080}]}}),
        "ServiceAccount" => {
            json!({"apiVersion": "v1", "kind": kind, "metadata": metadata, "automountServiceAccountToken": false})
        }
        _ => deployment(name, &metadata),
    };
    let room = bytes.saturating_sub(object.to_string().len());
    match kind {
        "ConfigMap" => fill(&mut object["data"], name, "text", room),
        "Deployment" => fill(&mut object["spec"]["template"]["spec"]["containers"][0]["env"][0], name, "value", room),
        _ => fill(&mut object["metadata"], name, "labels", room),
    }
    object
}

fn deployment(name: &str, metadata: &Value) -> Value {
    let probe = |path: &str| json!({"httpGet": {"path": path, "port": "http"}, "periodSeconds": 10, "timeoutSeconds": 2});
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": {
    "replicas": 0,
    "selector": {"matchLabels": {"app": name}},
    "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
    "template": {"metadata": {"labels": {"app": name}}, "spec": {
        "serviceAccountName": "default",
        "containers": [{
            "name": "main", "image": format!("example.test/{name}:1"), "args": ["serve", "--port=8080"],
            "ports": [{"name": "http", "containerPort": 8080}],
            "env": [{"name": "TEXT"}, {"name": "LEVEL", "value": "info"}],
            "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"memory": "256Mi"}},
            "readinessProbe": probe("/readyz"), "livenessProbe": probe("/livez"),
        }],
    }}}})
}

/// Puts text of about `room` bytes under `field`; as a label where the field is `labels`.
fn fill(place: &mut Value, seed: &str, field: &str, room: usize) {
    // `,"field":""`, and for a label its own name and braces.
    let frame = field.len() + 6;
    let text = |room: usize| words(seed, room.saturating_sub(frame));
    if room > frame {
        place[field] = if field == "labels" { json!({"fill": text(room - 9)}) } else { Value::String(text(room)) };
    }
}

/// So many letters of words, different for each `seed`: they shrink to about a quarter, as manifests do.
fn words(seed: &str, length: usize) -> String {
    const WORDS: [&str; 16] = [
        "replica", "cache", "timeout", "endpoint", "model", "tensor", "gateway", "queue", "limit", "batch", "token", "region", "worker",
        "trace", "shard", "index",
    ];
    let mut state = seed.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |state, byte| (state ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    let mut text = String::with_capacity(length + 16);
    while text.len() < length {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        text.push_str(WORDS[(state >> 60) as usize]);
        text.push_str(&(state >> 40 & 0xff).to_string());
    }
    text.truncate(length);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_have_the_sizes_that_the_peers_were_measured_with() {
        // The smallest label that can fill a ServiceAccount is a few bytes longer than its room.
        for app in small("bench", 2) {
            for (object, (kind, bytes)) in app.objects.iter().zip(SIZES) {
                let found = object.to_string().len();
                assert!(found.abs_diff(bytes) <= 8, "{kind}: {found} instead of {bytes} bytes");
            }
        }
        let apps = large("bench", 100);
        assert_eq!(apps.iter().map(|app| app.objects.len()).sum::<usize>(), 100);
        assert!(apps.iter().flat_map(|app| &app.objects).all(|object| object.to_string().len().abs_diff(LARGE_BYTES) <= 2));
    }
}
