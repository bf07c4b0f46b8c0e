//! Broken extensions of an API server: a webhook that is down or hangs, a conversion that fails, an API service without a backend, a version
//! that is not served any more. Each holds up its own kind alone.

use anyhow::Context as _;
use e2e_cluster::require_control_plane;
use serde_json::{Value, json};
use shared_model::Health;
use tokio::net::TcpListener;

use super::network::service;
use crate::PLANE;
use crate::bench::{Bench, TestAgent, config_map};

async fn value_is(bench: &Bench<'_>, name: &str, value: &str) -> anyhow::Result<()> {
    bench.wait_for(&["get", "configmap", name, "--ignore-not-found", "-o", "jsonpath={.data.value}"], value).await
}

/// The other app is applied and healed, whatever goes on.
async fn others_are_well(bench: &Bench<'_>, agent: &TestAgent) -> anyhow::Result<()> {
    agent.wait_applied("well").await.context("the other app is applied")?;
    bench.kubectl(&["patch", "configmap", "well", "--type=merge", "-p", r#"{"data":{"value":"wrong"}}"#]).await?;
    value_is(bench, "well", "1").await.context("the other app is healed")
}

/// A webhook that is asked about every write of a Service in the namespace.
fn webhook(namespace: &str, url: &str) -> Value {
    json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration", "metadata": {"name": namespace},
        "webhooks": [{
            "name": "services.example.com", "clientConfig": {"url": url}, "admissionReviewVersions": ["v1"], "sideEffects": "None",
            "failurePolicy": "Fail", "timeoutSeconds": 20, "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
            "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["*"], "resources": ["services"], "scope": "*"}],
        }],
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_that_is_down_stops_its_own_kind_and_is_named() -> anyhow::Result<()> {
    require_control_plane!(controllers);
    let bench = Bench::new(PLANE.get().await?).await?;
    let namespace = bench.namespace.clone();
    bench.apply(&webhook(&namespace, "https://127.0.0.1:1/validate")).await?;
    let agent = bench.start_agent().await?;
    agent.publish(&[
        ("ill", vec![service(&namespace, "ill"), config_map(&namespace, "in-one-app", "1")]),
        ("well", vec![config_map(&namespace, "well", "1")]),
    ])?;
    others_are_well(&bench, &agent).await?;
    value_is(&bench, "in-one-app", "1").await?;
    let state = agent
        .wait(|apps| apps["ill"].unhealthy.iter().any(|object| object.object.name == "ill" && object.health == Health::Degraded))
        .await?;
    let reason = state["ill"].unhealthy[0].reason.as_ref().context("a reason")?;
    assert!(reason.message.contains("services.example.com"), "{reason}");
    bench.kubectl(&["delete", "validatingwebhookconfiguration", &namespace]).await?;
    agent.wait(|apps| apps["ill"].health == Health::Healthy && apps["ill"].applied == apps["ill"].wanted).await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_that_hangs_holds_up_nobody_else() -> anyhow::Result<()> {
    require_control_plane!(controllers);
    // Takes connections and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("https://{}/validate", silent.local_addr()?);
    let bench = Bench::new(PLANE.get().await?).await?;
    let namespace = bench.namespace.clone();
    bench.apply(&webhook(&namespace, &url)).await?;
    let agent = bench.start_agent().await?;
    let ill = (0..20).map(|n| service(&namespace, &format!("ill-{n}"))).collect();
    let begun = std::time::Instant::now();
    agent.publish(&[("ill", ill), ("well", vec![config_map(&namespace, "well", "1")])])?;
    others_are_well(&bench, &agent).await?;
    // One attempt takes the 20 seconds of the webhook's timeout; with eight at once all of them would take a minute.
    anyhow::ensure!(begun.elapsed().as_secs() < 19, "the other app waited for {:?}", begun.elapsed());
    bench.kubectl(&["delete", "validatingwebhookconfiguration", &namespace]).await?;
    agent.stop().await;
    Ok(())
}

/// A definition whose objects are stored in v1 and served in both versions, v2 first.
fn definition(group: &str, serves_v2: bool, conversion: &Value) -> Value {
    let schema = json!({"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}});
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": format!("widgets.{group}")},
        "spec": {
            "group": group, "scope": "Namespaced", "names": {"kind": "Widget", "plural": "widgets"}, "conversion": conversion,
            "versions": [
                {"name": "v2", "served": serves_v2, "storage": false, "schema": schema},
                {"name": "v1", "served": true, "storage": true, "schema": schema},
            ],
        },
    })
}

fn widget(group: &str, namespace: &str, version: &str) -> Value {
    json!({"apiVersion": format!("{group}/{version}"), "kind": "Widget", "metadata": {"name": "w", "namespace": namespace}, "spec": {"size": 3}})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conversion_that_fails_makes_its_own_kind_unknown_and_nothing_else() -> anyhow::Result<()> {
    require_control_plane!(controllers);
    let bench = Bench::new(PLANE.get().await?).await?;
    let namespace = bench.namespace.clone();
    let group = format!("{namespace}.example.com");
    let none = json!({"strategy": "None"});
    let webhook = json!({"strategy": "Webhook", "webhook": {"conversionReviewVersions": ["v1"], "clientConfig": {"url": "https://127.0.0.1:1/convert"}}});
    bench.apply(&definition(&group, true, &none)).await?;
    let agent = bench.start_agent().await?;
    let apps = [("ill", vec![widget(&group, &namespace, "v2")]), ("well", vec![config_map(&namespace, "well", "1")])];
    agent.publish(&apps)?;
    agent.wait(|apps| apps["ill"].health == Health::Healthy && apps["ill"].applied == apps["ill"].wanted).await?;
    bench.apply(&definition(&group, true, &webhook)).await?;
    // Watches end when the definition changes, and neither list nor watch works any more.
    let state = agent.wait(|apps| apps["ill"].health == Health::Unknown).await?;
    assert_eq!(state["well"].health, Health::Healthy);
    others_are_well(&bench, &agent).await?;
    bench.apply(&definition(&group, true, &none)).await?;
    agent.wait(|apps| apps["ill"].health == Health::Healthy).await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_is_dropped_is_watched_in_another_one() -> anyhow::Result<()> {
    require_control_plane!(controllers);
    let bench = Bench::new(PLANE.get().await?).await?;
    let namespace = bench.namespace.clone();
    let group = format!("{namespace}.example.com");
    let none = json!({"strategy": "None"});
    bench.apply(&definition(&group, true, &none)).await?;
    let agent = bench.start_agent().await?;
    agent.publish(&[("web", vec![widget(&group, &namespace, "v1")])])?;
    agent.wait(|apps| apps["web"].health == Health::Healthy && apps["web"].applied == apps["web"].wanted).await?;
    let resource = format!("widgets.v1.{group}");
    let uid = ["get", resource.as_str(), "w", "-o", "jsonpath={.metadata.uid}"];
    let before = bench.kubectl(&uid).await?;
    bench.apply(&definition(&group, false, &none)).await?;
    bench.kubectl(&["patch", &resource, "w", "--type=merge", "-p", r#"{"spec":{"size":4}}"#]).await?;
    bench.wait_for(&["get", &resource, "w", "-o", "jsonpath={.spec.size}"], "3").await?;
    agent.wait(|apps| apps["web"].health == Health::Healthy).await?;
    assert_eq!(bench.kubectl(&uid).await?, before, "it is the same object");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_service_without_a_backend_makes_its_own_group_unknown_and_nothing_else() -> anyhow::Result<()> {
    require_control_plane!(controllers);
    let bench = Bench::new(PLANE.get().await?).await?;
    let namespace = bench.namespace.clone();
    let group = format!("{namespace}.example.com");
    let service = json!({
        "apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService", "metadata": {"name": format!("v1.{group}")},
        "spec": {"group": group, "version": "v1", "groupPriorityMinimum": 1000, "versionPriority": 10, "insecureSkipTLSVerify": true,
                 "service": {"name": "nobody", "namespace": namespace}},
    });
    bench.apply(&service).await?;
    let agent = bench.start_agent().await?;
    agent.publish(&[("ill", vec![widget(&group, &namespace, "v1")]), ("well", vec![config_map(&namespace, "well", "1")])])?;
    others_are_well(&bench, &agent).await?;
    let state = agent.wait(|apps| apps.get("ill").is_some_and(|app| app.reason.is_some() || !app.unhealthy.is_empty())).await?;
    assert_eq!((state["ill"].health, state["ill"].objects), (Health::Unknown, 0), "{:?}", state["ill"]);
    bench.kubectl(&["delete", "apiservice", &format!("v1.{group}")]).await?;
    bench.apply(&definition(&group, true, &json!({"strategy": "None"}))).await?;
    agent.wait(|apps| apps["ill"].health == Health::Healthy && apps["ill"].objects == 1).await.map(drop)
}
