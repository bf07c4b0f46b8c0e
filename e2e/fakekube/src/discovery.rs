//! What a server says about itself: version, groups, resources, and OpenAPI documents as far as kubectl needs them. The resources
//! themselves are in `registry`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use serde_json::{Map, Value, json};

use crate::registry::{self, Resource};
use crate::schema;
use crate::state::State;

const VERBS: [&str; 8] = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];
const SUB_VERBS: [&str; 3] = ["get", "patch", "update"];

/// Namespaces are deleted one by one.
fn verbs(r: &Resource) -> Vec<&'static str> {
    VERBS.into_iter().filter(|v| *v != "deletecollection" || r.plural != "namespaces").collect()
}

/// `/version`.
pub(crate) fn version() -> Value {
    json!({"major": "1", "minor": "36", "gitVersion": "v1.36.3", "gitCommit": "", "gitTreeState": "", "buildDate": "",
        "goVersion": "", "compiler": "fakekube", "platform": "memory", "emulationMajor": "1", "emulationMinor": "36",
        "minCompatibilityMajor": "1", "minCompatibilityMinor": "35"})
}

/// The versions of a group, newest stability first.
fn groups(state: &State) -> BTreeMap<String, Vec<String>> {
    let mut out: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for r in state.resources() {
        let versions = out.entry(r.group.clone()).or_default();
        if !versions.contains(&r.version) {
            versions.push(r.version.clone());
        }
    }
    out.entry("authorization.k8s.io".into()).or_insert_with(|| vec!["v1".into()]);
    for v in out.values_mut() {
        v.sort_by_key(|v| std::cmp::Reverse(rank(v)));
    }
    out
}

/// v2 before v1 before v1beta2 before v1alpha1.
fn rank(v: &str) -> (u8, u32, u32) {
    let rest = v.trim_start_matches('v');
    let (stage, split) = match (rest.find("alpha"), rest.find("beta")) {
        (Some(i), _) => (0, Some((i, i + 5))),
        (_, Some(i)) => (1, Some((i, i + 4))),
        _ => (2, None),
    };
    let (major, minor) = split.map_or((rest, ""), |(a, b)| (&rest[..a], &rest[b..]));
    (stage, major.parse().unwrap_or(0), minor.parse().unwrap_or(0))
}

/// `/api`.
pub(crate) fn core_versions() -> Value {
    json!({"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []})
}

fn group(name: &str, versions: &[String]) -> Value {
    let list: Vec<Value> = versions.iter().map(|v| json!({"groupVersion": format!("{name}/{v}"), "version": v})).collect();
    json!({"name": name, "versions": list, "preferredVersion": list[0]})
}

/// `/apis`.
pub(crate) fn group_list(state: &State) -> Value {
    let list: Vec<Value> = groups(state).iter().filter(|(g, _)| !g.is_empty()).map(|(g, v)| group(g, v)).collect();
    json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": list})
}

/// `/apis/G`; `None` for an unknown group.
pub(crate) fn one_group(state: &State, name: &str) -> Option<Value> {
    let versions = groups(state).remove(name)?;
    let mut g = group(name, &versions);
    g["kind"] = json!("APIGroup");
    g["apiVersion"] = json!("v1");
    Some(g)
}

/// `/api/v1` and `/apis/G/V`; `None` for an unknown version.
pub(crate) fn resource_list(state: &State, group: &str, version: &str) -> Option<Value> {
    let mut list = Vec::new();
    for r in state.resources().filter(|r| r.group == group && r.version == version) {
        let mut e = json!({"name": r.plural, "singularName": r.singular, "namespaced": r.namespaced, "kind": r.kind, "verbs": verbs(r)});
        if !r.short_names.is_empty() {
            e["shortNames"] = json!(r.short_names);
        }
        if !r.categories.is_empty() {
            e["categories"] = json!(r.categories);
        }
        list.push(e);
        let sub = |name: &str, kind: &str| json!({"name": format!("{}/{name}", r.plural), "singularName": "", "namespaced": r.namespaced, "kind": kind, "verbs": SUB_VERBS});
        if r.scale.is_some() {
            let mut s = sub("scale", "Scale");
            s["group"] = json!("autoscaling");
            s["version"] = json!("v1");
            list.push(s);
        }
        if r.status {
            list.push(sub("status", &r.kind));
        }
    }
    if group == "authorization.k8s.io" && version == "v1" {
        list.push(json!({"name": "selfsubjectaccessreviews", "singularName": "selfsubjectaccessreview", "namespaced": false,
            "kind": "SelfSubjectAccessReview", "verbs": ["create"]}));
    }
    if list.is_empty() {
        return None;
    }
    let gv = if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
    let mut out = json!({"kind": "APIResourceList", "groupVersion": gv, "resources": list});
    // The core group's list is older than the convention.
    if !group.is_empty() {
        out["apiVersion"] = json!("v1");
    }
    Some(out)
}

/// Aggregated discovery of `/api` or `/apis`.
pub(crate) fn aggregated(state: &State, core: bool) -> Value {
    let items: Vec<Value> = groups(state)
        .iter()
        .filter(|(g, _)| g.is_empty() == core)
        .map(|(g, versions)| {
            let versions: Vec<Value> = versions
                .iter()
                .map(|v| json!({"version": v, "freshness": "Current", "resources": aggregated_resources(state, g, v)}))
                .collect();
            let mut meta = json!({"creationTimestamp": null});
            if !g.is_empty() {
                meta["name"] = json!(g);
            }
            json!({"metadata": meta, "versions": versions})
        })
        .collect();
    json!({"kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {}, "items": items})
}

fn aggregated_resources(state: &State, group: &str, version: &str) -> Vec<Value> {
    let kind = |g: &str, v: &str, k: &str| json!({"group": g, "version": v, "kind": k});
    let mut out: Vec<Value> = state
        .resources()
        .filter(|r| r.group == group && r.version == version)
        .map(|r| {
            // Built-in kinds leave out what they share with the list around them.
            let own = if r.is_custom() { kind(group, version, &r.kind) } else { kind("", "", &r.kind) };
            let mut e = json!({"resource": r.plural, "responseKind": own,
                "scope": if r.namespaced { "Namespaced" } else { "Cluster" }, "singularResource": r.singular, "verbs": verbs(r)});
            let mut subs = Vec::new();
            if r.scale.is_some() {
                subs.push(json!({"subresource": "scale", "responseKind": kind("autoscaling", "v1", "Scale"), "verbs": SUB_VERBS}));
            }
            if r.status {
                subs.push(json!({"subresource": "status", "responseKind": own, "verbs": SUB_VERBS}));
            }
            for (f, list) in [("shortNames", json!(r.short_names)), ("categories", json!(r.categories)), ("subresources", json!(subs))] {
                if list.as_array().is_some_and(|l| !l.is_empty()) {
                    e[f] = list;
                }
            }
            e
        })
        .collect();
    if group == "authorization.k8s.io" {
        out.push(json!({"resource": "selfsubjectaccessreviews", "responseKind": kind("", "", "SelfSubjectAccessReview"),
            "scope": "Cluster", "singularResource": "selfsubjectaccessreview", "verbs": ["create"]}));
    }
    out
}

/// `/openapi/v3`: which documents there are.
pub(crate) fn open_api_index(state: &State) -> Value {
    let mut paths = Map::new();
    for (g, versions) in groups(state) {
        for v in versions {
            let path = if g.is_empty() { format!("api/{v}") } else { format!("apis/{g}/{v}") };
            paths.insert(path.clone(), json!({"serverRelativeURL": format!("/openapi/v3/{path}?hash=1")}));
        }
    }
    json!({"paths": paths})
}

/// `/openapi/v3/...`: paths with what kubectl looks for before it asks the server to validate, and the schemas of the kinds.
pub(crate) fn open_api(state: &State, group: &str, version: &str) -> Option<Value> {
    let mut paths = Map::new();
    let mut schemas = Map::new();
    let mut wanted = BTreeSet::new();
    let base = if group.is_empty() { format!("/api/{version}") } else { format!("/apis/{group}/{version}") };
    for r in state.resources().filter(|r| r.group == group && r.version == version) {
        let gvk = json!({"group": group, "version": version, "kind": r.kind});
        let scope = if r.namespaced { "/namespaces/{namespace}" } else { "" };
        let parameter = |name: &str| json!({"name": name, "in": "query", "schema": {"type": "string", "uniqueItems": true}});
        let parameters = ["dryRun", "fieldManager", "fieldValidation", "force"].map(parameter);
        let operation = |action: &str| {
            json!({"x-kubernetes-action": action, "x-kubernetes-group-version-kind": gvk,
                "parameters": parameters,
                "responses": {"200": {"description": "OK"}}})
        };
        paths.insert(format!("{base}{scope}/{}", r.plural), json!({"get": operation("list"), "post": operation("post")}));
        paths.insert(
            format!("{base}{scope}/{}/{{name}}", r.plural),
            json!({"get": operation("get"), "put": operation("put"), "patch": operation("patch"), "delete": operation("delete")}),
        );
        let (name, mut s) = root_schema(r, &mut wanted);
        s["x-kubernetes-group-version-kind"] = json!([gvk]);
        schemas.insert(name, s);
    }
    if paths.is_empty() {
        return None;
    }
    let types = schema::table()["types"].as_object()?;
    let mut todo: Vec<String> = wanted.into_iter().collect();
    while let Some(name) = todo.pop() {
        let full = full_name(&name);
        if schemas.contains_key(&full) {
            continue;
        }
        let mut more = BTreeSet::new();
        let s = described(&types[&name], &mut more);
        schemas.insert(full, s);
        todo.extend(more);
    }
    Some(json!({"openapi": "3.0.0", "info": {"title": "Kubernetes", "version": "v1.36.3"}, "paths": paths,
        "components": {"schemas": schemas}}))
}

fn full_name(short: &str) -> String {
    match short.chars().next() {
        Some('~') => format!("io.k8s.apimachinery.pkg.{}", &short[1..]),
        Some('^') => format!("io.k8s.apiextensions-apiserver.pkg.apis.{}", &short[1..]),
        _ => format!("io.k8s.api.{short}"),
    }
}

fn root_schema(r: &Resource, wanted: &mut BTreeSet<String>) -> (String, Value) {
    if let Some(s) = &r.custom {
        let reversed = r.group.split('.').rev().collect::<Vec<_>>().join(".");
        let mut s = (**s).clone();
        if !s.is_object() {
            s = json!({"type": "object"});
        }
        wanted.insert("~apis.meta.v1.ObjectMeta".into());
        s["properties"]["apiVersion"] = json!({"type": "string"});
        s["properties"]["kind"] = json!({"type": "string"});
        s["properties"]["metadata"] = json!({"$ref": format!("#/components/schemas/{}", full_name("~apis.meta.v1.ObjectMeta"))});
        return (format!("{reversed}.{}.{}", r.version, r.kind), s);
    }
    let name = schema::table()["kinds"][format!("{}/{}/{}", r.group, r.version, r.kind)].as_str().unwrap_or_default().to_owned();
    (full_name(&name), described(&schema::table()["types"][&name], wanted))
}

/// A row of the table as an OpenAPI schema.
fn described(t: &Value, wanted: &mut BTreeSet<String>) -> Value {
    let mut s = match (t["r"].as_str(), t.get("f")) {
        (Some(r), _) => {
            wanted.insert(r.to_owned());
            json!({"allOf": [{"$ref": format!("#/components/schemas/{}", full_name(r))}]})
        }
        (None, Some(fields)) => {
            let properties: Map<String, Value> =
                fields.as_object().into_iter().flatten().map(|(k, f)| (k.clone(), described(f, wanted))).collect();
            let mut s = json!({"type": "object", "properties": properties});
            if t["req"].is_array() {
                s["required"] = t["req"].clone();
            }
            s
        }
        (None, None) => match t["t"].as_str().unwrap_or("x") {
            "a" => json!({"type": "array", "items": described(&t["e"], wanted)}),
            "m" if t["e"].is_object() => json!({"type": "object", "additionalProperties": described(&t["e"], wanted)}),
            "m" | "x" => json!({"type": "object"}),
            "i32" => json!({"type": "integer", "format": "int32"}),
            "i64" => json!({"type": "integer", "format": "int64"}),
            "num" => json!({"type": "number", "format": "double"}),
            "b" => json!({"type": "boolean"}),
            "byte" => json!({"type": "string", "format": "byte"}),
            "time" => json!({"type": "string", "format": "date-time"}),
            "ios" => json!({"format": "int-or-string", "oneOf": [{"type": "integer"}, {"type": "string"}]}),
            "qty" => json!({"oneOf": [{"type": "string"}, {"type": "number"}]}),
            _ => json!({"type": "string"}),
        },
    };
    for (short, long) in [
        ("d", "default"),
        ("lt", "x-kubernetes-list-type"),
        ("k", "x-kubernetes-list-map-keys"),
        ("mt", "x-kubernetes-map-type"),
        ("ps", "x-kubernetes-patch-strategy"),
        ("mk", "x-kubernetes-patch-merge-key"),
    ] {
        if let Some(v) = t.get(short) {
            s[long] = v.clone();
        }
    }
    s
}

/// The documents of the built-in groups, made once for all instances of a process.
pub(crate) fn builtin_open_api(group: &str, version: &str) -> Option<&'static Value> {
    static DOCUMENTS: LazyLock<BTreeMap<(String, String), Value>> = LazyLock::new(|| {
        let empty = State::new(0);
        let all: BTreeSet<(String, String)> = registry::builtin().iter().map(|r| (r.group.clone(), r.version.clone())).collect();
        all.into_iter().filter_map(|(g, v)| Some(((g.clone(), v.clone()), open_api(&empty, &g, &v)?))).collect()
    });
    DOCUMENTS.get(&(group.to_owned(), version.to_owned()))
}
