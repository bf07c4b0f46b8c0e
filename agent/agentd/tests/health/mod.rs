//! Health on a real API server: causes that only pods and events tell, and kinds that an app judges itself.

use e2e_cluster::require_control_plane;
use serde_json::{Value, json};
use shared_expression::HealthExpressions;
use shared_expression::cel::Expression;
use shared_model::{AppState, Health};
use shared_release::HealthRule;

use crate::PLANE;
use crate::bench::{Bench, config_map};

fn workload(kind: &str, namespace: &str, name: &str, fault: &str) -> Value {
    let (api, labels) = (if kind == "Job" { "batch/v1" } else { "apps/v1" }, json!({"app": name}));
    let gpus = json!({"limits": {"nvidia.com/gpu": "8"}});
    let mut template = json!({"metadata": {"labels": labels, "annotations": {"fakelet.capstan.dev/fault": fault}},
        "spec": {"containers": [{"name": "main", "image": "registry.example/main:1", "resources": gpus}]}});
    let mut spec = json!({"template": null});
    if kind == "Job" {
        template["spec"]["restartPolicy"] = json!("Never");
    } else {
        spec = json!({"selector": {"matchLabels": labels}});
    }
    spec["template"] = template;
    json!({"apiVersion": api, "kind": kind, "metadata": {"name": name, "namespace": namespace}, "spec": spec})
}

/// `Progressing ImageNotPulled` of an object, and its message.
fn told(app: &AppState, name: &str) -> (String, String) {
    let found = app.unhealthy.iter().find(|object| object.object.name == name);
    found.map_or_else(Default::default, |object| {
        let (code, message) = object.reason.as_ref().map_or(("", ""), |reason| (reason.code.as_str(), reason.message.as_str()));
        (format!("{} {code}", object.health), message.to_owned())
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn the_cause_is_told_from_pods_events_and_quotas() -> anyhow::Result<()> {
    require_control_plane!(controllers);
    let bench = Bench::new(PLANE.get().await?).await?;
    let full = Bench::new(PLANE.get().await?).await?;
    let quota = json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "gpus", "namespace": full.namespace}, "spec": {"hard": {"requests.nvidia.com/gpu": "4"}}});
    full.apply(&quota).await?;
    full.wait_for(&["get", "resourcequota", "gpus", "-o", r"jsonpath={.status.hard.requests\.nvidia\.com/gpu}"], "4").await?;
    let agent = bench.start_agent().await?;
    let of = |kind: &str, name: &str, fault: &str| workload(kind, &bench.namespace, name, fault);
    agent.publish(&[(
        "models",
        vec![
            of("Deployment", "no-image", "image-pull"),
            of("StatefulSet", "no-image-either", "image-pull"),
            of("Deployment", "no-node", "unschedulable"),
            of("DaemonSet", "crashing", "crash-loop"),
            workload("Deployment", &full.namespace, "no-quota", ""),
            workload("Job", &full.namespace, "no-quota-for-the-job", ""),
        ],
    )])?;
    let expected = [
        ("no-image", "Progressing ImageNotPulled", "cannot pull image"),
        ("no-image-either", "Degraded ImageNotPulled", "cannot pull image"),
        ("no-node", "Waiting Unschedulable", "pod no-node-"),
        ("crashing", "Progressing Crashed", "crashed after 3 restarts"),
        ("no-quota", "Waiting QuotaExceeded", "waits for quota gpus: 8 requests.nvidia.com/gpu asked for, 0 of 4 used"),
        ("no-quota-for-the-job", "Waiting QuotaExceeded", "waits for quota gpus: 8 requests.nvidia.com/gpu asked for, 0 of 4 used"),
    ];
    let apps = agent
        .wait(|apps| expected.iter().all(|(name, verdict, _)| apps.get("models").is_some_and(|app| told(app, name).0 == *verdict)))
        .await;
    let apps = apps.inspect_err(|_| {
        for (name, ..) in expected {
            eprintln!("{name}: {:?}", told(&agent.states()["models"], name));
        }
    })?;
    for (name, _, message) in expected {
        let (_, said) = told(&apps["models"], name);
        assert!(said.contains(message), "{name}: {said}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_judges_kinds_itself_and_takes_its_word_back() -> anyhow::Result<()> {
    require_control_plane!(controllers);
    let bench = Bench::new(PLANE.get().await?).await?;
    let read = |text: &str| Expression::parse(text).expect("an expression");
    let rule = |current: &str, failed: &str| HealthRule {
        group: String::new(),
        kind: Some("ConfigMap".to_owned()),
        expressions: HealthExpressions { current: read(current), in_progress: None, failed: Some(read(failed)) },
    };
    let objects = vec![config_map(&bench.namespace, "settings", "new")];
    let mut agent = bench.start_agent().await?;
    // A kind that is watched by its metadata alone until somebody judges it by its data.
    agent.publish(&[("web", objects.clone())])?;
    agent.wait(|apps| apps["web"].health == Health::Healthy).await?;
    agent.judged = vec![rule("data.value == 'right'", "data.value == 'wrong'")];
    agent.publish(&[("web", objects.clone())])?;
    agent.wait(|apps| told(&apps["web"], "settings").0 == "Progressing NotCurrent").await?;
    for (value, verdict) in [("wrong", "Degraded ExpressionFailed"), ("right", "")] {
        agent.publish(&[("web", vec![config_map(&bench.namespace, "settings", value)])])?;
        agent.wait(|apps| apps["web"].applied == apps["web"].wanted && told(&apps["web"], "settings").0 == verdict).await?;
    }
    agent.judged = vec![rule("data.missing == 'x'", "false")];
    agent.publish(&[("web", objects.clone())])?;
    let apps = agent.wait(|apps| told(&apps["web"], "settings").0 == "Unknown ExpressionHasNoAnswer").await?;
    assert!(told(&apps["web"], "settings").1.ends_with("no such key: missing"));
    agent.judged = Vec::new();
    agent.publish(&[("web", objects)])?;
    agent.wait(|apps| apps["web"].health == Health::Healthy && apps["web"].applied == apps["web"].wanted).await?;
    Ok(())
}
