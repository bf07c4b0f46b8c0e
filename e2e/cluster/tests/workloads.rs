//! On one shared plane with controllers and fakelet: workloads get ready or fail as told, and the audit log tells who did what.

use std::time::{Duration, Instant};

use e2e_cluster::{AFTER_ANNOTATION, ControlPlane, FAULT_ANNOTATION, SharedControlPlane, require_control_plane};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::{Value, json};

static PLANE: SharedControlPlane = SharedControlPlane::with_pods();

/// How long anything here may take; the slowest takes 2 s on a quiet machine.
const LIMIT: &str = "--timeout=30s";

fn deployment(annotations: &Value) -> String {
    let labels = json!({"app": "web"});
    json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web"},
        "spec": {"replicas": 3, "selector": {"matchLabels": labels}, "template": {
            "metadata": {"labels": labels, "annotations": annotations},
            "spec": {"containers": [{"name": "web", "image": "registry.example.test/web:1"}]},
        }},
    })
    .to_string()
}

async fn wait_for_output(plane: &ControlPlane, arguments: &[&str], wanted: &str) -> anyhow::Result<()> {
    let started = Instant::now();
    loop {
        let output = plane.kubectl(arguments).await?;
        if output.trim() == wanted {
            return Ok(());
        }
        anyhow::ensure!(started.elapsed() < Duration::from_secs(30), "{arguments:?} gives {output}, not {wanted}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn a_deployment_becomes_available_is_rolled_over_and_goes_with_its_pods() -> anyhow::Result<()> {
    require_control_plane!(controllers);
    let plane = PLANE.get().await?;
    let namespace = plane.fresh_namespace().await?;
    let n = ["-n", namespace.as_str()];
    plane.kubectl_reading(&deployment(&json!({})), &["apply", n[0], n[1], "-f", "-"]).await?;
    plane.kubectl(&["wait", n[0], n[1], LIMIT, "--for=condition=Available", "deployment/web"]).await?;
    plane.kubectl(&["set", "image", n[0], n[1], "deployment/web", "web=registry.example.test/web:2"]).await?;
    plane.kubectl(&["rollout", "status", n[0], n[1], LIMIT, "deployment/web"]).await?;
    let addresses = plane.kubectl(&["get", "pods", n[0], n[1], "-o", "jsonpath={.items[*].status.podIP}"]).await?;
    let distinct: std::collections::BTreeSet<&str> = addresses.split_whitespace().collect();
    assert!(distinct.len() >= 3, "every pod has an address of its own: {addresses}");

    plane.kubectl(&["delete", n[0], n[1], "deployment/web", "--wait=false"]).await?;
    wait_for_output(plane, &["get", "pods,replicasets", n[0], n[1], "-o", "name"], "").await
}

#[tokio::test]
async fn a_job_completes_and_one_that_is_told_to_fail_fails() -> anyhow::Result<()> {
    require_control_plane!(controllers);
    let plane = PLANE.get().await?;
    let namespace = plane.fresh_namespace().await?;
    for (name, annotations) in [("good", json!({})), ("bad", json!({FAULT_ANNOTATION: "failed"}))] {
        let job = json!({
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": {"name": name},
            "spec": {"backoffLimit": 0, "template": {
                "metadata": {"annotations": annotations},
                "spec": {"restartPolicy": "Never", "containers": [{"name": "train", "image": "registry.example.test/train:1"}]},
            }},
        });
        plane.kubectl_reading(&job.to_string(), &["apply", "-n", &namespace, "-f", "-"]).await?;
    }
    plane.kubectl(&["wait", "-n", &namespace, LIMIT, "--for=condition=Complete", "job/good"]).await?;
    plane.kubectl(&["wait", "-n", &namespace, LIMIT, "--for=condition=Failed", "job/bad"]).await?;
    Ok(())
}

#[tokio::test]
async fn a_crash_looping_pod_recovers_when_its_fault_is_taken_away() -> anyhow::Result<()> {
    require_control_plane!(controllers);
    let plane = PLANE.get().await?;
    let namespace = plane.fresh_namespace().await?;
    let n = ["-n", namespace.as_str()];
    plane.kubectl_reading(&deployment(&json!({FAULT_ANNOTATION: "crash-loop"})), &["apply", n[0], n[1], "-f", "-"]).await?;
    let reasons = "jsonpath={.items[*].status.containerStatuses[*].state.waiting.reason}";
    let wanted = "CrashLoopBackOff CrashLoopBackOff CrashLoopBackOff";
    wait_for_output(plane, &["get", "pods", n[0], n[1], "-o", reasons], wanted).await?;
    let ready = "jsonpath={.status.readyReplicas}";
    assert_eq!(plane.kubectl(&["get", n[0], n[1], "deployment/web", "-o", ready]).await?, "");

    plane.kubectl(&["annotate", "pods", "--all", n[0], n[1], &format!("{FAULT_ANNOTATION}-")]).await?;
    plane.kubectl(&["wait", n[0], n[1], LIMIT, "--for=condition=Available", "deployment/web"]).await?;
    Ok(())
}

#[tokio::test]
async fn a_stateful_set_and_a_daemon_set_roll_out() -> anyhow::Result<()> {
    require_control_plane!(controllers);
    let plane = PLANE.get().await?;
    let namespace = plane.fresh_namespace().await?;
    for (kind, further) in [("StatefulSet", json!({"replicas": 2, "serviceName": "none"})), ("DaemonSet", json!({}))] {
        let mut set: Value = serde_json::from_str(&deployment(&json!({})))?;
        set["kind"] = json!(kind);
        let spec = set["spec"].as_object_mut().expect("an object");
        spec.remove("replicas");
        spec.extend(further.as_object().expect("an object").clone());
        plane.kubectl_reading(&set.to_string(), &["apply", "-n", &namespace, "-f", "-"]).await?;
        plane.kubectl(&["rollout", "status", "-n", &namespace, LIMIT, &format!("{kind}/web")]).await?;
    }
    Ok(())
}

#[tokio::test]
async fn each_fault_shows_as_it_does_on_a_real_node_and_a_delay_is_kept() -> anyhow::Result<()> {
    require_control_plane!(controllers);
    let plane = PLANE.get().await?;
    let namespace = plane.fresh_namespace().await?;
    // Phase, readiness, reason why it waits or has no node.
    let faults = [
        ("never-ready", "Running False "),
        ("crash-loop", "Running False CrashLoopBackOff"),
        ("image-pull", "Pending False ImagePullBackOff"),
        ("unschedulable", "Pending  Unschedulable"),
        ("succeeded", "Succeeded False "),
        ("failed", "Failed False "),
        ("no-such-fault", "Pending False FakeletRefuses"),
    ];
    let pod = |name: &str, annotations: Value| {
        json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "annotations": annotations},
            "spec": {"containers": [{"name": "c", "image": "registry.example.test/c:1"}]},
        })
    };
    let delayed = pod("delayed", json!({AFTER_ANNOTATION: "1500"}));
    let mut pods: Vec<Value> = faults.iter().map(|(fault, _)| pod(fault, json!({FAULT_ANNOTATION: fault}))).collect();
    pods.push(delayed);
    let list = json!({"apiVersion": "v1", "kind": "List", "items": pods});
    plane.kubectl_reading(&list.to_string(), &["apply", "-n", &namespace, "-f", "-"]).await?;
    for (fault, wanted) in faults {
        let shown = "jsonpath={.status.phase} {.status.conditions[?(@.type=='Ready')].status} \
                     {.status.containerStatuses[*].state.waiting.reason}{.status.conditions[?(@.type=='PodScheduled')].reason}";
        wait_for_output(plane, &["get", "pod", fault, "-n", &namespace, "-o", shown], wanted.trim()).await?;
    }
    plane.kubectl(&["wait", "-n", &namespace, LIMIT, "--for=condition=Ready", "pod/delayed"]).await?;
    let times = "jsonpath={.metadata.creationTimestamp} {.status.startTime}";
    let times = plane.kubectl(&["get", "pod", "delayed", "-n", &namespace, "-o", times]).await?;
    let (created, ready) = times.split_once(' ').expect("two times");
    assert!(created < ready, "1.5 s apart shows in whole seconds: {times}");
    Ok(())
}

#[tokio::test]
async fn the_audit_log_tells_two_users_writes_apart_and_counts_a_refusal_and_no_dry_run() -> anyhow::Result<()> {
    require_control_plane!(controllers);
    let plane = PLANE.get().await?;
    let namespace = plane.fresh_namespace().await?;
    let agent = Api::<ConfigMap>::namespaced(plane.client_for("agent-1", &["agents", "system:masters"]).await?, &namespace);
    let stranger = Api::<ConfigMap>::namespaced(plane.client_for("stranger", &[]).await?, &namespace);
    let object = Patch::Apply(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m"}}));
    agent.patch("m", &PatchParams::apply("capstan"), &object).await?;
    agent.patch("m", &PatchParams::apply("capstan").dry_run(), &object).await?;
    assert!(stranger.delete("m", &DeleteParams::default()).await.is_err(), "a user without rights");

    let events = plane.audit_events().await?;
    let mut writes: Vec<_> = events
        .iter()
        .filter(|event| event.is_write() && event.namespace.as_ref() == Some(&namespace))
        .filter(|event| event.name.as_deref() == Some("m"))
        .map(|event| (event.user.as_str(), event.verb.as_str(), event.resource.as_deref(), event.code))
        .collect();
    writes.sort_unstable();
    assert_eq!(writes, [("agent-1", "patch", Some("configmaps"), 201), ("stranger", "delete", Some("configmaps"), 403)]);
    Ok(())
}
