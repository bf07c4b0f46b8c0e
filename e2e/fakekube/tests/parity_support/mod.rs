//! Runs one script of requests against two servers and makes their answers comparable: what each server makes up (uids, times,
//! versions, addresses) is named by the order in which it appears.

use std::collections::{BTreeMap, BTreeSet};

use http_body_util::BodyExt;
use kube::Client;
use serde_json::{Map, Value, json};

/// One request. `{ns}` in path and body is the script's own namespace.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    pub(crate) method: &'static str,
    pub(crate) path: String,
    pub(crate) media: &'static str,
    pub(crate) accept: &'static str,
    pub(crate) body: Value,
}

pub(crate) const APPLY: &str = "application/apply-patch+yaml";
pub(crate) const MERGE: &str = "application/merge-patch+json";
pub(crate) const JSON_PATCH: &str = "application/json-patch+json";
pub(crate) const STRATEGIC: &str = "application/strategic-merge-patch+json";
pub(crate) const JSON: &str = "application/json";

pub(crate) fn step(method: &'static str, path: impl Into<String>, media: &'static str, body: Value) -> Step {
    Step { method, path: path.into(), media, accept: JSON, body }
}

pub(crate) fn get(path: impl Into<String>) -> Step {
    step("GET", path, "", Value::Null)
}

pub(crate) fn delete(path: impl Into<String>) -> Step {
    step("DELETE", path, "", Value::Null)
}

/// A named script: requests, and collections that are watched from before the first to after the last.
#[derive(Clone, Debug)]
pub(crate) struct Script {
    pub(crate) name: String,
    pub(crate) watches: Vec<String>,
    pub(crate) steps: Vec<Step>,
}

/// What one step answered.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Outcome {
    pub(crate) what: String,
    pub(crate) code: u16,
    pub(crate) warnings: Vec<String>,
    pub(crate) body: Value,
}

async fn send(client: &Client, s: &Step, ns: &str) -> Outcome {
    let path = s.path.replace("{ns}", ns);
    let mut b = http::Request::builder().method(s.method).uri(&path).header("accept", s.accept).header("user-agent", "parity/1.0");
    if !s.media.is_empty() {
        b = b.header("content-type", s.media);
    }
    let text = if s.body.is_null() { Vec::new() } else { s.body.to_string().replace("{ns}", ns).into_bytes() };
    let request = b.body(kube::client::Body::from(text)).expect("a request");
    let response = client.send(request).await.expect("an answer");
    let code = response.status().as_u16();
    let warnings = response.headers().get_all("warning").iter().filter_map(|w| w.to_str().ok()).map(str::to_owned).collect();
    let bytes = response.into_body().collect().await.expect("a body").to_bytes();
    let first = bytes.split(|b| *b == b'\n').next().and_then(|l| serde_json::from_slice::<Value>(l).ok());
    let events = path.contains("watch=") && first.is_some_and(|v| v["type"].is_string() && v["object"].is_object());
    let body = if bytes.is_empty() {
        json!([])
    } else if events {
        let lines = bytes.split(|b| *b == b'\n').filter(|l| !l.is_empty());
        let events = lines.map(|l| serde_json::from_slice(l).expect("a JSON line"));
        // When bookmarks come is the server's own affair, but for the one that ends the initial events.
        let told = |e: &Value| e["type"] != "BOOKMARK" || e["object"]["metadata"]["annotations"].is_object();
        let own = |e: &Value| s.path.contains("{ns}") || is_own(&e["object"], ns);
        Value::Array(events.filter(|e| told(e) && own(e)).map(unversioned_bookmark).collect())
    } else {
        serde_json::from_slice(&bytes).unwrap_or_else(|_| json!(String::from_utf8_lossy(&bytes)))
    };
    let body = if s.path.contains("{ns}") { body } else { own_items(body, ns) };
    Outcome { what: format!("{} {}", s.method, s.path), code, warnings, body }
}

/// Whether an object outside all namespaces is the script's: others are there too, of other scripts and of the server itself.
fn is_own(o: &Value, ns: &str) -> bool {
    let name = o["metadata"]["name"].as_str().unwrap_or_default();
    name.split(['-', '.']).collect::<Vec<_>>().windows(ns.split('-').count()).any(|w| w.join("-") == ns)
}

fn own_items(mut list: Value, ns: &str) -> Value {
    let items = list.get_mut("items").and_then(Value::as_array_mut);
    if let Some(items) = items.filter(|i| i.iter().any(|o| o["metadata"]["name"].is_string())) {
        items.retain(|o| is_own(o, ns));
        // The newest write of whichever script.
        list["metadata"]["resourceVersion"] = json!("");
    }
    list
}

/// A bookmark's version counts writes of all scripts, and its object is an empty one: what Go writes of that means nothing.
fn unversioned_bookmark(mut e: Value) -> Value {
    if e["type"] == "BOOKMARK" {
        e["object"]["metadata"]["resourceVersion"] = json!("");
        if let Some(o) = e["object"].as_object_mut() {
            o.retain(|k, _| k != "spec" && k != "status");
        }
        if let Some(a) = e["object"].pointer_mut("/metadata/annotations").and_then(Value::as_object_mut) {
            a.remove("deprecated.daemonset.template.generation");
        }
    }
    e
}

/// Runs a script in a namespace of its own and returns comparable answers, the watched events last.
pub(crate) async fn run(client: &Client, script: &Script, ns: &str) -> Vec<Outcome> {
    send(client, &step("POST", "/api/v1/namespaces", JSON, json!({"metadata": {"name": ns}})), ns).await;
    send(client, &step("POST", "/api/v1/namespaces/{ns}/serviceaccounts", JSON, json!({"metadata": {"name": "default"}})), ns).await;
    let mut starts = Vec::new();
    for w in &script.watches {
        let list = send(client, &get(w.clone()), ns).await;
        starts.push(list.body["metadata"]["resourceVersion"].as_str().unwrap_or("0").to_owned());
    }
    let mut out = Vec::new();
    for s in &script.steps {
        out.push(send(client, s, ns).await);
    }
    for (w, from) in script.watches.iter().zip(starts) {
        let mut o = send(client, &get(format!("{w}?watch=true&timeoutSeconds=1&resourceVersion={from}")), ns).await;
        o.what = format!("watch {w}");
        out.push(o);
    }
    Names::default().rename(out, ns)
}

/// Names for what a server makes up.
#[derive(Default)]
struct Names {
    uids: BTreeMap<String, String>,
    versions: BTreeMap<u64, usize>,
}

impl Names {
    fn rename(mut self, mut outcomes: Vec<Outcome>, ns: &str) -> Vec<Outcome> {
        let mut versions = BTreeSet::new();
        for o in &outcomes {
            collect_versions(&o.body, &mut versions);
        }
        self.versions = versions.into_iter().enumerate().map(|(i, v)| (v, i)).collect();
        for o in &mut outcomes {
            o.body = self.value("", o.body.take(), ns);
            o.what = o.what.replace(ns, "NS");
            for w in &mut o.warnings {
                *w = w.replace(ns, "NS");
            }
        }
        outcomes
    }

    fn value(&mut self, key: &str, v: Value, ns: &str) -> Value {
        match v {
            Value::String(s) => Value::String(self.text(key, &s, ns)),
            Value::Array(a) => {
                let mut a: Vec<Value> = a.into_iter().map(|x| self.value(key, x, ns)).collect();
                if key == "managedFields" || key == "causes" {
                    // Entries of one second are ordered by name, so a second's turn would reorder them; causes of several managers
                    // come in random order from the real server.
                    a.sort_by_key(|e| format!("{} {} {} {} {}", e["operation"], e["manager"], e["subresource"], e["message"], e["field"]));
                }
                Value::Array(a)
            }
            Value::Object(m) => {
                let list = m.contains_key("items") || m.contains_key("rows");
                let out: Map<String, Value> = m
                    .into_iter()
                    .map(|(k, x)| {
                        let x = if list && k == "metadata" { json!("LIST") } else { self.value(&k, x, ns) };
                        (k.replace(ns, "NS"), x)
                    })
                    .collect();
                Value::Object(out)
            }
            Value::Number(_) if key == "nodePort" => json!("PORT"),
            other => other,
        }
    }

    fn text(&mut self, key: &str, s: &str, ns: &str) -> String {
        let count = self.uids.len() + 1;
        match key {
            "uid" | "controller-uid" | "batch.kubernetes.io/controller-uid" => {
                return self.uids.entry(s.to_owned()).or_insert_with(|| format!("uid-{count}")).clone();
            }
            "resourceVersion" => {
                let known = s.parse().ok().and_then(|v: u64| self.versions.get(&v));
                return known.map_or_else(|| s.to_owned(), |i| format!("version-{i}"));
            }
            "time" | "creationTimestamp" | "deletionTimestamp" | "lastTransitionTime" | "lastUpdateTime" => return "TIME".into(),
            "clusterIP" | "clusterIPs" if s != "None" => return "IP".into(),
            _ => {}
        }
        let mut s = s.replace(ns, "NS");
        // Values of server types are printed as Go structs.
        for end in [": field is immutable", ": cannot change roleRef"] {
            if let (Some(a), Some(b)) = (s.find("Invalid value: {"), s.find(end)) {
                s.replace_range(a + 15..b, "STRUCT");
            }
        }
        for (uid, name) in &self.uids {
            s = s.replace(uid.as_str(), name);
        }
        s
    }
}

fn collect_versions(v: &Value, out: &mut BTreeSet<u64>) {
    match v {
        Value::Array(a) => a.iter().for_each(|x| collect_versions(x, out)),
        Value::Object(m) => {
            let list = m.contains_key("items") || m.contains_key("rows");
            for (k, x) in m {
                match x.as_str().and_then(|s| s.parse().ok()) {
                    Some(n) if k == "resourceVersion" => {
                        out.insert(n);
                    }
                    _ if list && k == "metadata" => {}
                    _ => collect_versions(x, out),
                }
            }
        }
        _ => {}
    }
}

/// The first differences between two values, as `path: real | fake`.
fn differences(path: &str, real: &Value, fake: &Value, out: &mut Vec<String>) {
    match (real, fake) {
        (Value::Object(a), Value::Object(b)) => {
            for k in a.keys().chain(b.keys().filter(|k| !a.contains_key(*k))) {
                let sub = format!("{path}.{k}");
                match (a.get(k), b.get(k)) {
                    (Some(x), Some(y)) => differences(&sub, x, y, out),
                    (x, y) => out.push(format!(
                        "{sub}: {} | {}",
                        x.map_or("absent".into(), Value::to_string),
                        y.map_or("absent".into(), Value::to_string)
                    )),
                }
            }
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            for (i, (x, y)) in a.iter().zip(b).enumerate() {
                differences(&format!("{path}[{i}]"), x, y, out);
            }
        }
        (a, b) if a != b => out.push(format!("{path}: {a} | {b}")),
        _ => {}
    }
}

/// Where two runs of a script differ; empty when they agree.
pub(crate) fn compare(script: &Script, real: &[Outcome], fake: &[Outcome]) -> Vec<String> {
    let mut out = Vec::new();
    for (i, (r, f)) in real.iter().zip(fake).enumerate() {
        let mut d = Vec::new();
        if r.code != f.code {
            d.push(format!("code: {} | {}", r.code, f.code));
        }
        // The real server tries a patch first on what its cache holds, and keeps the warnings of a try that it then repeats.
        let repeated = !f.warnings.is_empty() && f.warnings.iter().all(|w| r.warnings.contains(w));
        if r.warnings != f.warnings && !repeated {
            d.push(format!("warnings: {:?} | {:?}", r.warnings, f.warnings));
        }
        differences("", &r.body, &f.body, &mut d);
        out.extend(d.into_iter().take(12).map(|d| format!("{} step {i} {}: {d}", script.name, r.what)));
        // What follows from a difference is no news.
        if !out.is_empty() {
            if std::env::var_os("FAKEKUBE_SHOW").is_some() {
                for (s, o) in script.steps.iter().zip(real).take(i + 1) {
                    println!("{} {} {}\n  -> {} {}", s.method, s.path, s.body, o.code, o.body);
                }
                println!("fake -> {} {}", f.code, f.body);
            }
            break;
        }
    }
    out
}
