//! What a server refuses in an object: names and metadata for every kind, the rules of the common kinds, and the schema of custom
//! ones. Shapes are refused earlier, by `codec`. Rules of rarer kinds are left out.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::registry::Resource;
use crate::status::Cause;

/// The most bytes that all annotations of an object may have: 256 KiB, as in the real server.
const ANNOTATION_BYTES: usize = 256 * 1024;
/// The most bytes of data in a ConfigMap or Secret: 1 MiB, as in the real server.
const DATA_BYTES: usize = 1024 * 1024;

const SUBDOMAIN: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const LABEL: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
const QUALIFIED: &str = "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
const LABEL_VALUE: &str = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";
const CONFIG_KEY: &str = "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')";
const IMMUTABLE: &str = "field is immutable";
const IMMUTABLE_DATA: &str = "field is immutable when `immutable` is set";

fn is_label(s: &str) -> bool {
    let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    edge(s.chars().next()) && edge(s.chars().last()) && s.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
}

fn is_name_part(s: &str) -> bool {
    let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    edge(s.chars().next()) && edge(s.chars().last()) && s.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
}

fn too_long(max: usize) -> String {
    format!("must be no more than {max} bytes")
}

/// What is wrong with a name of this kind; the real server has a rule per kind.
fn name_faults(r: &Resource, name: &str) -> Vec<String> {
    let mut out = Vec::new();
    match r.plural.as_str() {
        "namespaces" | "services" => {
            if name.len() > 63 {
                out.push(too_long(63));
            }
            if !is_label(name) {
                out.push(LABEL.to_owned());
            }
        }
        "roles" | "rolebindings" | "clusterroles" | "clusterrolebindings" => {
            if name == "." || name == ".." {
                out.push(format!("may not be '{name}'"));
            }
            out.extend(['/', '%'].iter().filter(|c| name.contains(**c)).map(|c| format!("may not contain '{c}'")));
        }
        _ => {
            if name.len() > 253 {
                out.push(too_long(253));
            }
            if !name.split('.').all(is_label) {
                out.push(SUBDOMAIN.to_owned());
            }
        }
    }
    out
}

fn qualified_faults(key: &str, what: &str) -> Vec<String> {
    let mut out = Vec::new();
    if key.matches('/').count() > 1 {
        let rule = QUALIFIED.trim_start_matches("name part");
        return vec![format!("{what}{rule} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')")];
    }
    let name = match key.split_once('/') {
        Some((prefix, name)) => {
            if prefix.is_empty() {
                out.push("prefix part must be non-empty".to_owned());
            } else if !prefix.split('.').all(is_label) {
                out.push(format!("prefix part {SUBDOMAIN}"));
            }
            name
        }
        None => key,
    };
    if name.is_empty() {
        out.push("name part must be non-empty".to_owned());
    } else if name.len() > 63 {
        out.push(format!("name part {}", too_long(63)));
    }
    if !is_name_part(name) {
        out.push(QUALIFIED.to_owned());
    }
    out
}

fn labels(at: &str, v: &Value, out: &mut Vec<Cause>) {
    for (k, value) in v.as_object().into_iter().flatten() {
        let bad = |m: &str, v: &str| Cause::invalid(at, &Value::from(v), m);
        out.extend(qualified_faults(k, "a valid label key").iter().map(|m| bad(m, k)));
        let s = value.as_str().unwrap_or_default();
        if s.len() > 63 {
            out.push(bad(&too_long(63), s));
        }
        if !s.is_empty() && !is_name_part(s) {
            out.push(bad(LABEL_VALUE, s));
        }
    }
}

/// Names, labels, annotations, owners and finalizers.
pub(crate) fn metadata(r: &Resource, o: &Value) -> Vec<Cause> {
    let m = &o["metadata"];
    let mut out = Vec::new();
    let generate = m["generateName"].as_str().unwrap_or_default();
    if !generate.is_empty() {
        let probe = format!("{}a", generate.trim_end_matches('-'));
        out.extend(name_faults(r, &probe).iter().map(|f| Cause::invalid("metadata.generateName", &m["generateName"], f)));
    }
    let name = m["name"].as_str().unwrap_or_default();
    if name.is_empty() {
        out.push(Cause::required("metadata.name", "name or generateName is required"));
    } else {
        out.extend(name_faults(r, name).iter().map(|f| Cause::invalid("metadata.name", &m["name"], f)));
    }
    labels("metadata.labels", &m["labels"], &mut out);
    let mut bytes = 0;
    for (k, v) in m["annotations"].as_object().into_iter().flatten() {
        bytes += k.len() + v.as_str().map_or(0, str::len);
        let lower = k.to_lowercase();
        out.extend(
            qualified_faults(&lower, "a qualified name")
                .iter()
                .map(|f| Cause::invalid("metadata.annotations", &Value::from(k.as_str()), f)),
        );
    }
    if bytes > ANNOTATION_BYTES {
        out.push(Cause {
            reason: "FieldValueTooLong",
            message: format!("Too long: may not be more than {ANNOTATION_BYTES} bytes"),
            field: "metadata.annotations".into(),
        });
    }
    for owner in m["ownerReferences"].as_array().into_iter().flatten() {
        for f in ["apiVersion", "kind", "name", "uid"] {
            if owner[f].as_str().is_none_or(str::is_empty) {
                out.push(Cause::invalid(format!("metadata.ownerReferences.{f}"), &Value::from(""), "must not be empty"));
            }
        }
    }
    for (i, f) in m["finalizers"].as_array().into_iter().flatten().enumerate() {
        let s = f.as_str().unwrap_or_default();
        out.extend(qualified_faults(s, "a qualified name").iter().map(|m| Cause::invalid("metadata.finalizers", f, m)));
        let standard = ["orphan", "foregroundDeletion", "kubernetes"].contains(&s);
        if !s.contains('/') && !standard {
            out.push(Cause::invalid(
                format!("metadata.finalizers[{i}]"),
                f,
                "name is neither a standard finalizer name nor is it fully qualified",
            ));
        }
    }
    out
}

/// What is wrong with a new object, beside its metadata.
pub(crate) fn content(r: &Resource, o: &Value) -> Vec<Cause> {
    let mut out = Vec::new();
    match (r.group.as_str(), r.plural.as_str()) {
        ("", "configmaps" | "secrets") => data(r, o, &mut out),
        ("apps", "deployments" | "statefulsets" | "daemonsets" | "replicasets") => workload(r, o, &mut out),
        ("batch", "jobs") => job("", o, &mut out),
        ("batch", "cronjobs") => {
            if o["spec"]["schedule"].as_str().is_none_or(str::is_empty) {
                out.push(Cause::required("spec.schedule", ""));
            }
            job("spec.jobTemplate.", &o["spec"]["jobTemplate"], &mut out);
        }
        ("", "pods") => pod_spec("spec", &o["spec"], &mut out),
        ("", "services") => service(o, &mut out),
        ("rbac.authorization.k8s.io", "rolebindings" | "clusterrolebindings") => {
            if o["roleRef"]["name"].as_str().is_none_or(str::is_empty) {
                out.push(Cause::required("roleRef.name", ""));
            }
        }
        ("apiextensions.k8s.io", _) => definition(o, &mut out),
        _ => {
            if let Some(s) = &r.custom {
                custom(s, o, "", &mut out);
            }
        }
    }
    out
}

fn data(r: &Resource, o: &Value, out: &mut Vec<Cause>) {
    let mut bytes = 0;
    for f in ["data", "binaryData"] {
        for (k, v) in o[f].as_object().into_iter().flatten() {
            let at = format!("{f}[{k}]");
            let key = Value::from(k.as_str());
            if k.len() > 253 {
                out.push(Cause::invalid(&at, &key, &too_long(253)));
            }
            if k.is_empty() || !k.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')) {
                out.push(Cause::invalid(&at, &key, CONFIG_KEY));
            }
            bytes += v.as_str().map_or(0, str::len);
        }
    }
    // Secret values are base64 here: three bytes in four.
    let bytes = if r.plural == "secrets" { bytes / 4 * 3 } else { bytes };
    if bytes > DATA_BYTES {
        out.push(Cause {
            reason: "FieldValueTooLong",
            message: format!("Too long: may not be more than {DATA_BYTES} bytes"),
            field: if r.plural == "secrets" { "data".into() } else { String::new() },
        });
    }
}

fn selects(selector: &Value, labels: &Value) -> bool {
    crate::select::Labels::from_selector(selector).is_some_and(|s| s.matches(labels))
}

fn workload(r: &Resource, o: &Value, out: &mut Vec<Cause>) {
    let spec = &o["spec"];
    if spec["replicas"].as_i64().is_some_and(|n| n < 0) {
        out.push(Cause::invalid("spec.replicas", &spec["replicas"], "must be greater than or equal to 0"));
    }
    let empty = |v: &Value| {
        v["matchLabels"].as_object().is_none_or(serde_json::Map::is_empty) && v["matchExpressions"].as_array().is_none_or(Vec::is_empty)
    };
    if spec["selector"].is_null() {
        out.push(Cause::required("spec.selector", ""));
    } else if empty(&spec["selector"]) {
        out.push(Cause::invalid(
            "spec.selector",
            &Value::Object(serde_json::Map::new()),
            &format!("empty selector is invalid for {}", singular(r)),
        ));
    }
    let template = &spec["template"];
    labels("spec.template.metadata.labels", &template["metadata"]["labels"], out);
    if !selects(&spec["selector"], &template["metadata"]["labels"]) {
        out.push(Cause::invalid(
            "spec.template.metadata.labels",
            &template["metadata"]["labels"],
            "`selector` does not match template `labels`",
        ));
    }
    let policy = &template["spec"]["restartPolicy"];
    if policy != "Always" && policy.is_string() {
        out.push(Cause::unsupported("spec.template.spec.restartPolicy", policy, &["Always"]));
    }
    if r.plural == "deployments" && spec["strategy"]["type"] == "Recreate" && !spec["strategy"]["rollingUpdate"].is_null() {
        out.push(Cause::forbidden("spec.strategy.rollingUpdate", "may not be specified when strategy `type` is 'Recreate'"));
    }
    // The real one looks into the pods of a StatefulSet only when it makes them: their volumes may come from claims.
    if r.plural != "statefulsets" {
        pod_spec("spec.template.spec", &template["spec"], out);
    }
}

fn singular(r: &Resource) -> &'static str {
    match r.plural.as_str() {
        "deployments" => "deployment",
        "statefulsets" => "statefulset",
        "daemonsets" => "daemonset",
        _ => "deployment",
    }
}

fn job(at: &str, o: &Value, out: &mut Vec<Cause>) {
    let t = &o["spec"]["template"]["spec"];
    pod_spec(&format!("{at}spec.template.spec"), t, out);
    if t["restartPolicy"] == "Always" {
        out.push(Cause {
            reason: "FieldValueRequired",
            message: "Required value: valid values: \"OnFailure\", \"Never\"".into(),
            field: format!("{at}spec.template.spec.restartPolicy"),
        });
    }
}

fn pod_spec(at: &str, spec: &Value, out: &mut Vec<Cause>) {
    let volumes: Vec<&str> = spec["volumes"].as_array().into_iter().flatten().filter_map(|v| v["name"].as_str()).collect();
    let containers = spec["containers"].as_array().map_or(&[][..], Vec::as_slice);
    if containers.is_empty() {
        out.push(Cause::required(format!("{at}.containers"), ""));
    }
    let mut names = BTreeMap::new();
    for (list, items) in [("containers", containers), ("initContainers", spec["initContainers"].as_array().map_or(&[][..], Vec::as_slice))]
    {
        for (i, c) in items.iter().enumerate() {
            let here = format!("{at}.{list}[{i}]");
            let name = c["name"].as_str().unwrap_or_default();
            if name.is_empty() {
                out.push(Cause::required(format!("{here}.name"), ""));
            } else if !is_label(name) || name.len() > 63 {
                out.push(Cause::invalid(format!("{here}.name"), &c["name"], LABEL));
            } else if names.insert(name, ()).is_some() {
                out.push(Cause::duplicate(format!("{here}.name"), &c["name"]));
            }
            if c["image"].as_str().is_none_or(str::is_empty) {
                out.push(Cause::required(format!("{here}.image"), ""));
            }
            for (p, port) in c["ports"].as_array().into_iter().flatten().enumerate() {
                if !port["containerPort"].as_i64().is_some_and(|n| (1..=65535).contains(&n)) {
                    out.push(if port["containerPort"] == 0 {
                        Cause::required(format!("{here}.ports[{p}].containerPort"), "")
                    } else {
                        Cause::invalid(
                            format!("{here}.ports[{p}].containerPort"),
                            &port["containerPort"],
                            "must be between 1 and 65535, inclusive",
                        )
                    });
                }
            }
            for (e, variable) in c["env"].as_array().into_iter().flatten().enumerate() {
                if !variable["valueFrom"].is_null() && variable["value"].as_str().is_some_and(|text| !text.is_empty()) {
                    let field = format!("{here}.env[{e}].valueFrom");
                    out.push(Cause::invalid(field, &Value::String(String::new()), "may not be specified when `value` is not empty"));
                }
            }
            for (m, mount) in c["volumeMounts"].as_array().into_iter().flatten().enumerate() {
                if mount["name"].as_str().is_some_and(|n| !volumes.contains(&n)) {
                    out.push(Cause {
                        reason: "FieldValueNotFound",
                        message: format!("Not found: {}", mount["name"]),
                        field: format!("{here}.volumeMounts[{m}].name"),
                    });
                }
            }
        }
    }
}

fn service(o: &Value, out: &mut Vec<Cause>) {
    let spec = &o["spec"];
    let ports = spec["ports"].as_array().map_or(&[][..], Vec::as_slice);
    let headless = spec["clusterIP"] == "None";
    if ports.is_empty() && spec["type"] != "ExternalName" && !headless {
        out.push(Cause::required("spec.ports", ""));
    }
    for (i, p) in ports.iter().enumerate() {
        let n = &p["port"];
        if !n.as_i64().is_some_and(|n| (1..=65535).contains(&n)) {
            out.push(Cause::invalid(format!("spec.ports[{i}].port"), n, "must be between 1 and 65535, inclusive"));
        }
        if ports.len() > 1 && p["name"].as_str().is_none_or(str::is_empty) {
            out.push(Cause::required(format!("spec.ports[{i}].name"), ""));
        } else if ports[..i].iter().any(|q| q["name"] == p["name"] && p["name"].is_string()) {
            out.push(Cause::duplicate(format!("spec.ports[{i}].name"), &p["name"]));
        }
    }
    let kinds = ["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"];
    if !spec["type"].as_str().is_some_and(|t| kinds.contains(&t)) {
        out.push(Cause::unsupported("spec.type", &spec["type"], &kinds));
    }
}

fn definition(o: &Value, out: &mut Vec<Cause>) {
    let spec = &o["spec"];
    let want = format!("{}.{}", spec["names"]["plural"].as_str().unwrap_or_default(), spec["group"].as_str().unwrap_or_default());
    if o["metadata"]["name"] != want.as_str() {
        out.push(Cause::invalid("metadata.name", &o["metadata"]["name"], "must be spec.names.plural+\".\"+spec.group"));
    }
    let storage = spec["versions"].as_array().into_iter().flatten().filter(|v| v["storage"] == true).count();
    if storage != 1 {
        out.push(Cause::invalid("spec.versions", &spec["versions"], "must have exactly one version marked as storage version"));
    }
}

/// What is allowed in a pod template and still worth a warning: variables and ports that are defined twice.
pub(crate) fn warnings(r: &Resource, o: &Value) -> Vec<String> {
    let (at, spec) = match (r.group.as_str(), r.plural.as_str()) {
        ("", "pods") => ("spec", &o["spec"]),
        ("apps", "deployments" | "statefulsets" | "daemonsets" | "replicasets") | ("batch", "jobs") => {
            ("spec.template.spec", &o["spec"]["template"]["spec"])
        }
        ("batch", "cronjobs") => ("spec.jobTemplate.spec.template.spec", &o["spec"]["jobTemplate"]["spec"]["template"]["spec"]),
        _ => return Vec::new(),
    };
    let mut out = Vec::new();
    let mut ports: Vec<(String, &Value)> = Vec::new();
    let mut duplicates = Vec::new();
    for list in ["initContainers", "containers"] {
        for (i, c) in spec[list].as_array().into_iter().flatten().enumerate() {
            let env = c["env"].as_array().map_or(&[][..], Vec::as_slice);
            for (e, v) in env.iter().enumerate() {
                let name = v["name"].as_str().unwrap_or_default();
                let reference = format!("$({name})");
                let value = v["value"].as_str().unwrap_or_default();
                let hides = v["valueFrom"].is_object() || value == reference || !value.contains(&reference);
                if hides && env[..e].iter().any(|w| w["name"] == name) {
                    out.push(format!(
                        "{at}.{list}[{i}].env[{e}]: hides previous definition of {name:?}, which may be dropped when using apply"
                    ));
                }
            }
            for (p, port) in c["ports"].as_array().into_iter().flatten().enumerate() {
                let here = format!("{at}.{list}[{i}].ports[{p}]");
                let same = |a: &Value, f: &str| a.get(f) == port.get(f);
                for (other, q) in ports.iter().filter(|(_, q)| same(q, "containerPort") && same(q, "protocol")) {
                    if same(q, "hostIP") && same(q, "hostPort") {
                        duplicates.push(format!("{here}: duplicate port definition with {other}"));
                    } else if port["hostPort"].is_null() || q["hostPort"].is_null() {
                        duplicates.push(format!("{here}: overlapping port definition with {other}"));
                    }
                }
                ports.push((here, port));
            }
        }
    }
    out.extend(duplicates);
    out
}

/// What an update may not change.
pub(crate) fn change(r: &Resource, old: &Value, new: &Value) -> Vec<Cause> {
    let mut out = Vec::new();
    let mut fixed = |path: &str, field: &str| {
        let (a, b) = (old.pointer(path).unwrap_or(&Value::Null), new.pointer(path).unwrap_or(&Value::Null));
        if a != b {
            out.push(Cause::invalid(field, b, IMMUTABLE));
        }
    };
    match (r.group.as_str(), r.plural.as_str()) {
        ("apps", "deployments" | "daemonsets" | "replicasets") => fixed("/spec/selector", "spec.selector"),
        ("batch", "jobs") => {
            fixed("/spec/selector", "spec.selector");
            fixed("/spec/completionMode", "spec.completionMode");
            // Where its pods go may change until it starts (`validationOptionsForJob` of the Job strategy): queues do that.
            let may_move = old["spec"]["suspend"] == true && old["status"]["startTime"].is_null();
            let template = |job: &Value| if may_move { unplaced(&job["spec"]["template"]) } else { job["spec"]["template"].clone() };
            if template(old) != template(new) {
                out.push(Cause::invalid("spec.template", &new["spec"]["template"], IMMUTABLE));
            }
        }
        ("", "secrets") => fixed("/type", "type"),
        ("rbac.authorization.k8s.io", "rolebindings" | "clusterrolebindings") if old["roleRef"] != new["roleRef"] => {
            out.push(Cause::invalid("roleRef", &new["roleRef"], "cannot change roleRef"));
        }
        ("storage.k8s.io", "storageclasses") => {
            for f in ["parameters", "provisioner", "reclaimPolicy", "volumeBindingMode"] {
                if old[f] != new[f] {
                    out.push(Cause::forbidden(f, "updates to provisioner are forbidden."));
                }
            }
        }
        ("", "services") => {
            let (a, b) = (&old["spec"]["clusterIP"], &new["spec"]["clusterIP"]);
            if a != b && a.is_string() && new["spec"]["type"] != "ExternalName" && old["spec"]["type"] != "ExternalName" {
                out.push(Cause::invalid("spec.clusterIPs[0]", &Value::Array(vec![b.clone()]), "may not change once set"));
            }
        }
        ("apps", "statefulsets") => stateful_set_change(old, new, &mut out),
        ("", "pods") => pod_change(old, new, &mut out),
        _ => {}
    }
    if matches!(r.plural.as_str(), "configmaps" | "secrets") && r.group.is_empty() && old["immutable"] == true {
        if new["immutable"] != true {
            out.push(Cause::forbidden("immutable", IMMUTABLE_DATA));
        }
        for f in ["data", "binaryData"] {
            if old[f] != new[f] {
                out.push(Cause::forbidden(f, IMMUTABLE_DATA));
            }
        }
    }
    out
}

/// A pod template without what says where its pods go.
fn unplaced(template: &Value) -> Value {
    let mut template = template.clone();
    for (part, fields) in
        [("metadata", &["annotations", "labels"][..]), ("spec", &["affinity", "nodeSelector", "schedulingGates", "tolerations"])]
    {
        if let Some(part) = template.get_mut(part).and_then(Value::as_object_mut) {
            part.retain(|field, _| !fields.contains(&field.as_str()));
        }
    }
    template
}

fn stateful_set_change(old: &Value, new: &Value, out: &mut Vec<Cause>) {
    const MUTABLE: [&str; 7] = [
        "replicas",
        "ordinals",
        "template",
        "updateStrategy",
        "revisionHistoryLimit",
        "persistentVolumeClaimRetentionPolicy",
        "minReadySeconds",
    ];
    let rest = |o: &Value| {
        let mut s = o["spec"].clone();
        if let Some(m) = s.as_object_mut() {
            m.retain(|k, _| !MUTABLE.contains(&k.as_str()));
        }
        s
    };
    if rest(old) != rest(new) {
        out.push(Cause::forbidden("spec", "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden"));
    }
}

fn pod_change(old: &Value, new: &Value, out: &mut Vec<Cause>) {
    let rest = |o: &Value| {
        let mut s = o["spec"].clone();
        if let Some(m) = s.as_object_mut() {
            for f in [
                "activeDeadlineSeconds",
                "tolerations",
                "terminationGracePeriodSeconds",
                "nodeName",
                "schedulingGates",
                "nodeSelector",
                "affinity",
            ] {
                m.remove(f);
            }
        }
        for list in ["containers", "initContainers"] {
            for c in s.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
                if let Some(c) = c.as_object_mut() {
                    c.remove("image");
                    c.remove("resources");
                }
            }
        }
        s
    };
    if rest(old) != rest(new) {
        out.push(Cause::forbidden("spec", "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"));
    }
}

/// The checks of a definition's schema: types, required fields, enumerations and bounds.
fn custom(s: &Value, v: &Value, at: &str, out: &mut Vec<Cause>) {
    if v.is_null() {
        if s["nullable"] != true && !at.is_empty() {
            out.push(type_fault(s, v, at));
        }
        return;
    }
    let int_or_string = s["x-kubernetes-int-or-string"] == true;
    let fits = match s["type"].as_str() {
        Some("object") => v.is_object(),
        Some("array") => v.is_array(),
        Some("string") => v.is_string(),
        Some("integer") => v.is_i64() || v.is_u64() || v.as_f64().is_some_and(|f| f.fract() == 0.0),
        Some("number") => v.is_number(),
        Some("boolean") => v.is_boolean(),
        _ => !int_or_string || v.is_string() || v.is_number(),
    };
    if !fits {
        out.push(type_fault(s, v, at));
        return;
    }
    if let Some(list) = s["enum"].as_array()
        && !list.contains(v)
    {
        let shown: Vec<&str> = list.iter().filter_map(Value::as_str).collect();
        out.push(Cause::unsupported(at, v, &shown));
    }
    let body = |detail: String| Cause::invalid(at, v, &format!("{at} in body {detail}"));
    if let (Some(n), Some(min)) = (v.as_f64(), s["minimum"].as_f64())
        && n < min
    {
        out.push(body(format!("should be greater than or equal to {min}")));
    }
    if let (Some(n), Some(max)) = (v.as_f64(), s["maximum"].as_f64())
        && n > max
    {
        out.push(body(format!("should be less than or equal to {max}")));
    }
    if let (Some(t), Some(min)) = (v.as_str(), s["minLength"].as_u64())
        && (t.chars().count() as u64) < min
    {
        out.push(body(format!("should be at least {min} chars long")));
    }
    if let (Some(t), Some(max)) = (v.as_str(), s["maxLength"].as_u64())
        && t.chars().count() as u64 > max
    {
        out.push(Cause { reason: "FieldValueTooLong", message: format!("Too long: may not be more than {max} bytes"), field: at.into() });
    }
    if let Some(items) = v.as_array() {
        if s["minItems"].as_u64().is_some_and(|m| (items.len() as u64) < m) {
            out.push(body(format!("should have at least {} items", s["minItems"])));
        }
        for (i, item) in items.iter().enumerate() {
            custom(&s["items"], item, &format!("{at}[{i}]"), out);
        }
    }
    if let Some(fields) = v.as_object() {
        for name in s["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            if !fields.contains_key(name) {
                out.push(Cause::required(join(at, name), ""));
            }
        }
        for (name, value) in fields {
            // Metadata has been checked as metadata.
            if at.is_empty() && matches!(name.as_str(), "metadata" | "apiVersion" | "kind") {
                continue;
            }
            if s["properties"][name].is_object() {
                custom(&s["properties"][name], value, &join(at, name), out);
            } else if s["additionalProperties"].is_object() {
                custom(&s["additionalProperties"], value, &join(at, name), out);
            }
        }
    }
}

fn join(at: &str, name: &str) -> String {
    if at.is_empty() { name.to_owned() } else { format!("{at}.{name}") }
}

fn type_fault(s: &Value, v: &Value, at: &str) -> Cause {
    let found = match v {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(n) if n.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    let want = s["type"].as_str().unwrap_or("integer,string");
    Cause {
        reason: "FieldValueTypeInvalid",
        message: format!("Invalid value: {found:?}: {at} in body must be of type {want}: {found:?}"),
        field: at.into(),
    }
}
