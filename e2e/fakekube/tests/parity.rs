//! The same requests against a real kube-apiserver and against the one in memory: codes, reasons, messages, objects with ownership,
//! and the order of watch events must be equal.

#![recursion_limit = "256"]

mod parity_support;
mod scripts;

use std::collections::BTreeSet;

use e2e_cluster::{ControlPlane, require_control_plane};
use e2e_fakekube::{FakeKube, Options, shapes};
use kube::Client;
use parity_support::{Outcome, Script, compare, run};
use serde_json::Value;

/// Scripts that run at the same time against the real server.
const TOGETHER: usize = 6;
/// Random sequences in an ordinary run; `FAKEKUBE_SEQUENCES` asks for another number.
const SEQUENCES: u64 = 200;

struct Both {
    _plane: ControlPlane,
    real: Client,
    fake: Client,
}

async fn both() -> Both {
    let plane = ControlPlane::start(e2e_cluster::Options::default()).await.expect("a control plane");
    let real = plane.client().await.expect("a client");
    let kube = FakeKube::new(Options { collects_garbage: false, ..Options::default() });
    let fake = Client::new(kube.service(), "default");
    for c in [&real, &fake] {
        let setup = Script { name: "setup".into(), watches: Vec::new(), steps: vec![scripts::definition()] };
        let outcome = run(c, &setup, "setup").await;
        assert!(outcome[0].code < 300, "{outcome:?}");
    }
    // A definition is served some time after it is stored.
    let wait = async {
        loop {
            let listed =
                run(&real, &Script { name: "wait".into(), watches: Vec::new(), steps: vec![scripts::list_widgets()] }, "setup").await;
            if listed[0].code == 200 {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(30), wait).await.expect("the definition is served");
    Both { _plane: plane, real, fake }
}

impl Both {
    async fn differences(&self, all: Vec<Script>, prefix: &str) -> Vec<String> {
        let mut out = Vec::new();
        for (n, group) in all.chunks(TOGETHER).enumerate() {
            let runs = group.iter().enumerate().map(async |(i, s)| {
                let ns = format!("{prefix}-{n}-{i}");
                let real: Vec<Outcome> = run(&self.real, s, &ns).await;
                let fake = run(&self.fake, s, &ns).await;
                compare(s, &real, &fake)
            });
            out.extend(futures_util::future::join_all(runs).await.into_iter().flatten());
        }
        out
    }
}

/// What a server says about itself, by the requests that clients make.
async fn about(client: &Client) -> Vec<Outcome> {
    let script = Script { name: "about".into(), watches: Vec::new(), steps: scripts::about() };
    run(client, &script, "about").await
}

/// Whatever the server in memory lists, the real one must list in the same words; it may list more.
async fn discovery_differences(both: &Both) -> Vec<String> {
    let (real, fake) = (about(&both.real).await, about(&both.fake).await);
    let mut out = Vec::new();
    for (r, f) in real.iter().zip(&fake) {
        if r.code != f.code {
            out.push(format!("{}: {} | {}", r.what, r.code, f.code));
        }
        contained(&r.what, &r.body, &f.body, &mut out);
    }
    out
}

/// Entries of lists are told apart by these fields.
const NAMES: [&str; 5] = ["resource", "subresource", "name", "version", "groupVersion"];

/// What only a running server knows.
const OWN: [&str; 10] = [
    "gitCommit",
    "gitTreeState",
    "buildDate",
    "goVersion",
    "compiler",
    "platform",
    "serverAddressByClientCIDRs",
    "storageVersionHash",
    "serverRelativeURL",
    "creationTimestamp",
];

fn contained(at: &str, real: &Value, fake: &Value, out: &mut Vec<String>) {
    match (real, fake) {
        (Value::Object(r), Value::Object(f)) => {
            for (k, v) in f.iter().filter(|(k, _)| !OWN.contains(&k.as_str())) {
                contained(&format!("{at}.{k}"), r.get(k).unwrap_or(&Value::Null), v, out);
            }
        }
        (Value::Array(r), Value::Array(f)) if f.iter().any(Value::is_object) => {
            let name = |v: &Value| {
                let own = NAMES.iter().find_map(|n| v[*n].as_str()).or(v["metadata"]["name"].as_str());
                own.unwrap_or_default().to_owned()
            };
            for v in f {
                match r.iter().find(|x| name(x) == name(v)) {
                    Some(x) => contained(&format!("{at}[{}]", name(v)), x, v, out),
                    None => out.push(format!("{at}: the real server has no {}", name(v))),
                }
            }
        }
        // Lists of words: the same words.
        (Value::Array(r), Value::Array(f)) => {
            let (r, f): (BTreeSet<String>, BTreeSet<String>) =
                (r.iter().map(Value::to_string).collect(), f.iter().map(Value::to_string).collect());
            if r != f {
                out.push(format!("{at}: {r:?} | {f:?}"));
            }
        }
        (r, f) if r != f => out.push(format!("{at}: {r} | {f}")),
        _ => {}
    }
}

/// The schema table must say what the OpenAPI documents of the real server say.
async fn schema_differences(real: &Client) -> Vec<String> {
    let table: Value = serde_json::from_str(include_str!("../data/schema.json")).expect("a table");
    let mut documents = Vec::new();
    for path in scripts::open_api_documents() {
        let script = Script { name: "openapi".into(), watches: Vec::new(), steps: vec![parity_support::get(path)] };
        documents.push(run(real, &script, "about").await.remove(0).body["components"]["schemas"].take());
    }
    let mut out = Vec::new();
    for (short, t) in table["types"].as_object().expect("types") {
        let full = match short.chars().next() {
            Some('~') => format!("io.k8s.apimachinery.pkg.{}", &short[1..]),
            Some('^') => format!("io.k8s.apiextensions-apiserver.pkg.apis.{}", &short[1..]),
            _ => format!("io.k8s.api.{short}"),
        };
        let Some(real) = documents.iter().find_map(|d| d.get(&full)) else {
            out.push(format!("the real server has no type {full}"));
            continue;
        };
        let none = serde_json::Map::new();
        let ours = t["f"].as_object().unwrap_or(&none);
        let theirs = real["properties"].as_object().unwrap_or(&none);
        let (a, b): (BTreeSet<_>, BTreeSet<_>) = (theirs.keys().collect(), ours.keys().collect());
        if a != b {
            out.push(format!("fields of {full}: {a:?} | {b:?}"));
        }
        for (name, f) in ours {
            for (mine, extension) in [
                ("d", "default"),
                ("lt", "x-kubernetes-list-type"),
                ("k", "x-kubernetes-list-map-keys"),
                ("mt", "x-kubernetes-map-type"),
                ("ps", "x-kubernetes-patch-strategy"),
                ("mk", "x-kubernetes-patch-merge-key"),
            ] {
                if f.get(mine) != theirs.get(name).and_then(|p| p.get(extension)) {
                    out.push(format!("{full}.{name}: {extension}"));
                }
            }
        }
    }
    out
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_requests_give_the_same_answers() {
    require_control_plane!();
    let both = both().await;
    let all = scripts::all();
    let mut found = both.differences(all, "script").await;
    found.extend(discovery_differences(&both).await);
    found.extend(schema_differences(&both.real).await);
    assert!(found.is_empty(), "{} differences (real | fake):\n{}", found.len(), found.join("\n"));
    let seed = std::env::var("FAKEKUBE_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or(1);
    let count = std::env::var("FAKEKUBE_SEQUENCES").ok().and_then(|s| s.parse().ok()).unwrap_or(SEQUENCES);
    let random = (seed..seed + count).map(scripts::random).collect();
    let found = both.differences(random, "random").await;
    assert!(found.is_empty(), "{} differences (real | fake):\n{}", found.len(), found.join("\n"));
}

#[tokio::test]
async fn every_shape_that_is_used_has_a_script() {
    let kube = FakeKube::default();
    let client = Client::new(kube.service(), "default");
    let setup = Script { name: "setup".into(), watches: Vec::new(), steps: vec![scripts::definition()] };
    run(&client, &setup, "setup").await;
    for (i, s) in scripts::all().iter().enumerate() {
        let mut s = s.clone();
        // Shapes do not need the events themselves.
        s.watches.truncate(1);
        run(&client, &s, &format!("n{i}")).await;
    }
    about(&client).await;
    let used = shapes::parse_list(include_str!("../shapes.txt")).expect("a list of shapes");
    let covered: BTreeSet<_> = kube.shapes();
    let missing: Vec<String> = used.difference(&covered).map(ToString::to_string).collect();
    assert!(missing.is_empty(), "no parity script for:\n{}", missing.join("\n"));
}
