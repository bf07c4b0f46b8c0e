//! The API as a client without a socket and kubectl see it. Agreement with a real server is shown in `parity`.

use std::time::Duration;

use e2e_fakekube::{FakeKube, Fault, Options, Workloads};
use futures_util::{StreamExt, TryStreamExt};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use kube::api::{Api, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams, WatchEvent, WatchParams};
use kube::discovery::Discovery;
use kube::{Client, ResourceExt};
use serde_json::{Value, json};

/// A predicate that does not hold after this long never will: everything here is in memory.
const PATIENCE: Duration = Duration::from_secs(10);

fn client(kube: &FakeKube) -> Client {
    Client::new(kube.service(), "default")
}

fn driven(options: Options) -> (FakeKube, tokio::task::JoinHandle<()>) {
    let kube = FakeKube::new(options);
    let task = tokio::spawn(kube.clone().drive());
    (kube, task)
}

async fn until<T>(what: &str, mut probe: impl AsyncFnMut() -> Option<T>) -> T {
    let wait = async {
        loop {
            if let Some(t) = probe().await {
                return t;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("{what} did not come"))
}

fn deployment(name: &str, image: &str) -> Value {
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name, "labels": {"app": name}},
        "spec": {"replicas": 2, "selector": {"matchLabels": {"app": name}},
            "template": {"metadata": {"labels": {"app": name}}, "spec": {"containers": [{"name": "c", "image": image}]}}}})
}

#[tokio::test]
async fn aggregated_discovery_finds_every_kind_in_two_requests() {
    let kube = FakeKube::default();
    let discovery = Discovery::new(client(&kube)).run_aggregated().await.expect("discovery");
    assert_eq!(kube.requests(), 2);
    let gvk = kube::core::GroupVersionKind::gvk("apps", "v1", "Deployment");
    let (resource, capabilities) = discovery.resolve_gvk(&gvk).expect("deployments");
    assert_eq!(resource.plural, "deployments");
    assert_eq!(capabilities.scope, kube::discovery::Scope::Namespaced);
}

#[tokio::test]
async fn an_apply_is_defaulted_owned_and_repeated_without_a_new_version() {
    let kube = FakeKube::default();
    let api: Api<Deployment> = Api::namespaced(client(&kube), "default");
    let apply = |o: Value| {
        let api = api.clone();
        async move { api.patch("web", &PatchParams::apply("capstan"), &Patch::Apply(&o)).await.expect("an apply") }
    };
    let one = apply(deployment("web", "nginx:1")).await;
    let spec = one.spec.as_ref().expect("a spec");
    assert_eq!(spec.revision_history_limit, Some(10));
    assert_eq!(one.metadata.generation, Some(1));
    let owned = serde_json::to_value(&one.managed_fields()[0]).expect("an entry");
    assert_eq!(owned["manager"], "capstan");
    assert_eq!(
        owned["fieldsV1"]["f:spec"]["f:template"]["f:spec"]["f:containers"],
        json!({"k:{\"name\":\"c\"}": {".": {}, "f:image": {}, "f:name": {}}})
    );
    let two = apply(deployment("web", "nginx:1")).await;
    assert_eq!(one.resource_version(), two.resource_version());
    let three = apply(deployment("web", "nginx:2")).await;
    assert_eq!(three.metadata.generation, Some(2));
}

#[tokio::test]
async fn another_manager_s_field_conflicts_until_forced() {
    let kube = FakeKube::default();
    let api: Api<ConfigMap> = Api::namespaced(client(&kube), "default");
    let map = |v: &str| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m"}, "data": {"a": v}});
    api.patch("m", &PatchParams::apply("one"), &Patch::Apply(&map("1"))).await.expect("the first apply");
    let refused = api.patch("m", &PatchParams::apply("two"), &Patch::Apply(&map("2"))).await;
    let Err(kube::Error::Api(status)) = refused else { panic!("a conflict, not {refused:?}") };
    assert_eq!(status.message, "Apply failed with 1 conflict: conflict with \"one\": .data.a");
    assert_eq!(status.details.as_ref().expect("details").causes[0].reason, "FieldManagerConflict");
    let forced = api.patch("m", &PatchParams::apply("two").force(), &Patch::Apply(&map("2"))).await.expect("a forced apply");
    assert_eq!(forced.managed_fields().len(), 1);
}

#[tokio::test]
async fn a_watch_tells_what_enters_changes_and_leaves_a_selection() {
    let kube = FakeKube::default();
    let api: Api<ConfigMap> = Api::namespaced(client(&kube), "default");
    let version = api.list(&ListParams::default()).await.expect("a list").metadata.resource_version.expect("a version");
    let events = api.watch(&WatchParams::default().labels("on=yes").timeout(60), &version).await.expect("a watch");
    let label = |v: &str| json!({"metadata": {"labels": {"on": v}}});
    let body = |n: &str| serde_json::from_value(json!({"metadata": {"name": n}})).expect("a config map");
    api.create(&PostParams::default(), &body("a")).await.expect("a create");
    for v in ["yes", "no", "yes"] {
        api.patch("a", &PatchParams::default(), &Patch::Merge(label(v))).await.expect("a patch");
    }
    api.delete("a", &DeleteParams::default()).await.expect("a delete");
    let kinds: Vec<&str> = events
        .take(4)
        .map(|e| match e.expect("an event") {
            WatchEvent::Added(_) => "added",
            WatchEvent::Modified(_) => "modified",
            WatchEvent::Deleted(_) => "deleted",
            _ => "other",
        })
        .collect()
        .await;
    assert_eq!(kinds, ["added", "deleted", "added", "deleted"]);
}

#[tokio::test]
async fn a_watch_from_a_forgotten_version_is_gone() {
    let kube = FakeKube::default();
    let api: Api<ConfigMap> = Api::namespaced(client(&kube), "default");
    let body = |n: usize| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m"}, "data": {"n": n.to_string()}});
    for n in 0..1_010 {
        api.patch("m", &PatchParams::apply("x"), &Patch::Apply(body(n))).await.expect("an apply");
    }
    let gone = api.watch(&WatchParams::default(), "3").await;
    let first = match gone {
        Ok(stream) => stream.boxed().try_next().await.map(|e| format!("{e:?}")).unwrap_or_else(|e| e.to_string()),
        Err(e) => e.to_string(),
    };
    assert!(first.contains("too old resource version"), "{first}");
}

#[tokio::test]
async fn a_definition_is_served_and_its_objects_are_pruned_and_validated() {
    let kube = FakeKube::default();
    let crds: Api<DynamicObject> = Api::all_with(
        client(&kube),
        &kube::discovery::ApiResource::erase::<k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition>(
            &(),
        ),
    );
    let crd = json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": "widgets.example.com"},
        "spec": {"group": "example.com", "scope": "Namespaced", "names": {"plural": "widgets", "kind": "Widget"},
            "versions": [{"name": "v1", "served": true, "storage": true, "subresources": {"status": {}},
                "schema": {"openAPIV3Schema": {"type": "object", "properties": {
                    "spec": {"type": "object", "properties": {"size": {"type": "integer", "minimum": 1}}}, "status": {"type": "object"}}}}}]}});
    crds.patch("widgets.example.com", &PatchParams::apply("t"), &Patch::Apply(&crd)).await.expect("a definition");
    let ar = kube::discovery::ApiResource::from_gvk(&kube::core::GroupVersionKind::gvk("example.com", "v1", "Widget"));
    let widgets: Api<DynamicObject> = Api::default_namespaced_with(client(&kube), &ar);
    let widget = |size: i64| json!({"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "w"}, "spec": {"size": size}});
    let refused = widgets.patch("w", &PatchParams::apply("t"), &Patch::Apply(widget(0))).await.expect_err("too small");
    assert!(refused.to_string().contains("should be greater than or equal to 1"), "{refused}");
    let one = widgets.patch("w", &PatchParams::apply("t"), &Patch::Apply(widget(1))).await.expect("a widget");
    assert_eq!(one.metadata.generation, Some(1));
    crds.delete("widgets.example.com", &DeleteParams::default()).await.expect("a delete");
    assert!(widgets.get("w").await.is_err());
}

#[tokio::test]
async fn a_deleted_namespace_takes_its_content_and_refuses_new() {
    let (kube, task) = driven(Options { namespace_delay: Duration::from_secs(1), ..Options::default() });
    let spaces: Api<Namespace> = Api::all(client(&kube));
    let maps: Api<ConfigMap> = Api::namespaced(client(&kube), "gone");
    let named = |n: &str| json!({"metadata": {"name": n}});
    spaces.create(&PostParams::default(), &serde_json::from_value(named("gone")).expect("a namespace")).await.expect("a create");
    maps.create(&PostParams::default(), &serde_json::from_value(named("m")).expect("a map")).await.expect("a create");
    spaces.delete("gone", &DeleteParams::default()).await.expect("a delete");
    let refused = maps.create(&PostParams::default(), &serde_json::from_value(named("n")).expect("a map")).await.expect_err("it ends");
    assert!(refused.to_string().contains("because it is being terminated"), "{refused}");
    until("the end of the namespace", async || spaces.get_opt("gone").await.expect("an answer").is_none().then_some(())).await;
    assert!(kube.object("", "configmaps", "gone", "m").is_none());
    task.abort();
}

#[tokio::test]
async fn faults_admission_and_broken_groups_reach_the_client() {
    let kube = FakeKube::default();
    let maps: Api<ConfigMap> = Api::namespaced(client(&kube), "default");
    kube.on_request(|r| (r.verb == "list").then(|| Fault::Status(503, "later".into())));
    kube.on_admission(|a, o| {
        if a.plural == "configmaps" {
            o["data"]["added"] = json!("yes");
        }
        Ok(())
    });
    assert!(maps.list(&ListParams::default()).await.is_err());
    let body = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m"}, "data": {"a": "1"}});
    let m = maps.patch("m", &PatchParams::apply("x"), &Patch::Apply(&body)).await.expect("an apply");
    assert_eq!(m.data.expect("data").len(), 2);
    kube.break_group("apps");
    let apps: Api<Deployment> = Api::namespaced(client(&kube), "default");
    assert!(matches!(apps.get("x").await, Err(kube::Error::Api(s)) if s.code == 503));
    kube.stop();
    assert!(maps.get("m").await.is_err());
    kube.start();
    assert!(maps.get("m").await.is_ok());
}

#[tokio::test]
async fn a_deployment_becomes_ready_and_a_bad_image_does_not() {
    let (kube, task) = driven(Options { workloads: Workloads::Full, ..Options::default() });
    let api: Api<Deployment> = Api::namespaced(client(&kube), "default");
    let pp = PatchParams::apply("x");
    api.patch("web", &pp, &Patch::Apply(deployment("web", "nginx:1"))).await.expect("an apply");
    let available = async |n: &str| api.get(n).await.expect("it exists").status.and_then(|s| s.available_replicas);
    until("readiness", async || (available("web").await == Some(2)).then_some(())).await;
    assert_eq!(kube.objects("", "pods").len(), 2);
    api.patch("web", &pp, &Patch::Apply(deployment("web", "missing:1"))).await.expect("an apply");
    until("a failed rollout", async || {
        let d = api.get("web").await.expect("it exists");
        let conditions = d.status.and_then(|s| s.conditions).unwrap_or_default();
        conditions.iter().any(|c| c.reason.as_deref() == Some("ProgressDeadlineExceeded")).then_some(())
    })
    .await;
    api.delete("web", &DeleteParams::default()).await.expect("a delete");
    until("the end of the pods", async || kube.objects("", "pods").is_empty().then_some(())).await;
    task.abort();
}

#[tokio::test]
async fn every_shape_is_recorded_once() {
    let kube = FakeKube::default();
    let maps: Api<ConfigMap> = Api::namespaced(client(&kube), "default");
    for _ in 0..2 {
        let _ = maps.get_opt("m").await.expect("an answer");
    }
    let shapes: Vec<String> = kube.shapes().iter().map(ToString::to_string).collect();
    assert_eq!(shapes, ["get core configmaps - - -"]);
}

#[tokio::test]
async fn a_new_template_surges_until_its_pod_is_ready_and_an_autoscaler_scales_into_its_range() {
    let (kube, task) = driven(Options { ready_delay: Duration::from_millis(50), ..Options::default() });
    let api: Api<Deployment> = Api::namespaced(client(&kube), "default");
    let seen = |name: &str| kube.object("apps", "deployments", "default", name).map(|o| o["status"].clone()).unwrap_or_default();
    let counts = |s: &Value| [&s["replicas"], &s["updatedReplicas"], &s["readyReplicas"]].map(|n| n.as_i64().unwrap_or(0));
    let apply = async |image: &str| {
        let wanted = deployment("web", image);
        api.patch("web", &PatchParams::apply("capstan"), &Patch::Apply(&wanted)).await.expect("an apply");
    };
    apply("nginx:1").await;
    until("two ready pods", async || (counts(&seen("web")) == [2, 2, 2]).then_some(())).await;
    apply("nginx:2").await;
    until("a surge", async || (counts(&seen("web")) == [3, 1, 2]).then_some(())).await;
    until("the end of the rollout", async || (counts(&seen("web")) == [2, 2, 2]).then_some(())).await;
    let autoscalers = kube::discovery::ApiResource::erase::<k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler>(&());
    let autoscalers: Api<DynamicObject> = Api::namespaced_with(client(&kube), "default", &autoscalers);
    let autoscaler = json!({"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "web"},
        "spec": {"minReplicas": 4, "maxReplicas": 8, "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}}});
    autoscalers.patch("web", &PatchParams::apply("capstan"), &Patch::Apply(&autoscaler)).await.expect("an apply");
    until("four ready pods", async || (counts(&seen("web")) == [4, 4, 4]).then_some(())).await;
    let web = kube.object("apps", "deployments", "default", "web").expect("a deployment");
    let entries = web["metadata"]["managedFields"].as_array().expect("entries");
    let scaled = entries.iter().find(|e| e["subresource"] == "scale").expect("an entry for the scale");
    assert_eq!(scaled["manager"], "kube-controller-manager");
    assert_eq!(scaled["fieldsV1"], json!({"f:spec": {"f:replicas": {}}}));
    task.abort();
}
