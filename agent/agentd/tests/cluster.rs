//! The agent against a real API server: applying, healing, pruning, and remembering. The hub is played by the test, which signs indexes
//! with a key of its own and hands them to the agent's door.

mod bench;
mod faults;
mod health;
mod recreate;

use agent_agentd::{LeaveError, Parting};
use agent_plan::Pattern;
use bench::{Bench, config_map, manifest};
use e2e_cluster::{FAULT_ANNOTATION, SharedControlPlane, require_control_plane};
use serde_json::json;
use shared_model::{DriftKind, Health, TestOutcome};

pub(crate) static PLANE: SharedControlPlane = SharedControlPlane::with_pods();

#[tokio::test(flavor = "multi_thread")]
async fn objects_are_applied_wave_by_wave_and_their_health_is_told() -> anyhow::Result<()> {
    require_control_plane!(controllers);
    let bench = Bench::new(PLANE.get().await?).await?;
    let namespace = bench.namespace.clone();
    let deployment = manifest(&format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: api, namespace: {namespace}}}\nspec:\n  replicas: 1\n  selector: {{matchLabels: {{app: api}}}}\n  template:\n    metadata: {{labels: {{app: api}}}}\n    spec: {{containers: [{{name: api, image: example.test/api:1}}]}}\n"
    ));
    let mut late = config_map(&namespace, "late", "1");
    late["metadata"]["annotations"] = json!({"test/wave": "1"});
    let agent = bench.start_agent().await?;
    agent.publish(&[("web", vec![config_map(&namespace, "early", "1"), deployment, late])])?;
    let state = agent.wait(|apps| apps["web"].health == Health::Healthy && apps["web"].applied == apps["web"].wanted).await?;
    assert_eq!(state["web"].objects, 3);
    let created = |kind: &str, name: &str| {
        let (kind, name) = (kind.to_owned(), name.to_owned());
        let bench = &bench;
        async move { bench.kubectl(&["get", &kind, &name, "-o", "jsonpath={.metadata.creationTimestamp}"]).await }
    };
    assert!(created("configmap", "early").await? <= created("configmap", "late").await?);
    let tracking = bench.kubectl(&["get", "configmap", "early", "-o", "jsonpath={.metadata.annotations}"]).await?;
    assert!(tracking.contains(&format!("web:/ConfigMap:{namespace}/early")), "{tracking}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edited_field_is_healed_and_the_report_names_field_manager_and_time() -> anyhow::Result<()> {
    require_control_plane!(controllers);
    let bench = Bench::new(PLANE.get().await?).await?;
    let agent = bench.start_agent().await?;
    agent.publish(&[("web", vec![config_map(&bench.namespace, "settings", "right")])])?;
    agent.wait_applied("web").await?;
    let patch = r#"{"data":{"value":"wrong"}}"#;
    bench.kubectl(&["patch", "configmap", "settings", "--type=merge", "-p", patch, "--field-manager=kubectl-edit"]).await?;
    bench.wait_for(&["get", "configmap", "settings", "-o", "jsonpath={.data.value}"], "right").await?;
    let apps = agent.wait(|apps| apps["web"].drift.iter().any(|drift| drift.healed.is_some())).await?;
    let drift = &apps["web"].drift[0];
    assert_eq!((drift.kind, drift.object.name.as_str()), (DriftKind::Changed, "settings"));
    let field = &drift.fields[0];
    assert_eq!(
        (field.path.as_str(), field.wanted.as_deref(), field.found.as_deref()),
        ("data.value", Some("\"right\""), Some("\"wrong\""))
    );
    assert_eq!(field.manager.as_deref(), Some("kubectl-edit"));
    assert!(field.since.is_some(), "the API server tells since when");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_object_comes_back() -> anyhow::Result<()> {
    require_control_plane!(controllers);
    let bench = Bench::new(PLANE.get().await?).await?;
    let agent = bench.start_agent().await?;
    agent.publish(&[("web", vec![config_map(&bench.namespace, "settings", "1")])])?;
    agent.wait_applied("web").await?;
    let uid = bench.kubectl(&["get", "configmap", "settings", "-o", "jsonpath={.metadata.uid}"]).await?;
    bench.kubectl(&["delete", "configmap", "settings"]).await?;
    bench
        .wait_until(&["get", "configmap", "settings", "--ignore-not-found", "-o", "jsonpath={.metadata.uid}"], |now| {
            !now.is_empty() && now != uid
        })
        .await?;
    let apps = agent.wait(|apps| apps["web"].drift.iter().any(|drift| drift.kind == DriftKind::Deleted)).await?;
    assert_eq!(apps["web"].drift[0].object.name, "settings");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_leaves_changes_nothing_but_its_marks_and_another_tool_takes_over() -> anyhow::Result<()> {
    require_control_plane!(controllers);
    let bench = Bench::new(PLANE.get().await?).await?;
    let namespace = bench.namespace.clone();
    let agent = bench.start_agent().await?;
    agent.publish(&[("web", vec![config_map(&namespace, "a", "1"), config_map(&namespace, "b", "1")])])?;
    agent.wait_applied("web").await?;
    let show = "jsonpath={.metadata.uid} {.data} {.metadata.ownerReferences}{.metadata.finalizers}";
    let before = bench.kubectl(&["get", "configmap", "a", "-o", show]).await?;
    assert!(before.ends_with("} "), "nothing of ours keeps it or takes it along: {before}");

    let refused = bench.leave(&[], true).await.expect_err("the agent is at work");
    assert!(matches!(refused.downcast_ref(), Some(LeaveError::AgentAtWork { .. })), "{refused}");
    agent.stop().await;
    let refused = bench.leave(&["web"], true).await.expect_err("the index names it");
    assert!(matches!(refused.downcast_ref(), Some(LeaveError::StillRuns(_))), "{refused}");
    let refused = bench.leave(&["api"], true).await.expect_err("there is none");
    assert!(refused.to_string().contains("web"), "{refused}");

    let marks = "jsonpath={.metadata.annotations}{.metadata.managedFields[*].manager}";
    let told = bench.leave(&[], false).await?;
    assert_eq!(told.iter().map(|parted| &parted.outcome).collect::<Vec<_>>(), [&Parting::WouldBeLetGo; 2]);
    assert!(bench.kubectl(&["get", "configmap", "a", "-o", marks]).await?.contains("capstan"), "nothing was changed");

    let done = bench.leave(&[], true).await?;
    assert_eq!(done.iter().map(|parted| &parted.outcome).collect::<Vec<_>>(), [&Parting::LetGo; 2]);
    assert_eq!(bench.kubectl(&["get", "configmap", "a", "-o", show]).await?, before);
    assert!(!bench.kubectl(&["get", "configmap", "a", "b", "-o", "yaml", "--show-managed-fields"]).await?.contains("capstan.dev"));
    let own = bench.kubectl(&["-n", &bench.agent_namespace, "get", "secrets,leases", "-o", "name"]).await?;
    assert!(!own.contains("capstan"), "{own}");

    // Other tools take over: one that applies the same, and one that applies other values as Flux and Argo CD do.
    let same = config_map(&namespace, "b", "1").to_string();
    bench.plane().kubectl_reading(&same, &["apply", "--server-side", "--field-manager=another", "-f", "-"]).await?;
    bench.apply_as("flux", &config_map(&namespace, "a", "2")).await?;
    assert_eq!(bench.kubectl(&["get", "configmap", "a", "-o", "jsonpath={.data.value}"]).await?, "2");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_orphaned_app_can_be_let_go_and_the_agent_goes_on_without_it() -> anyhow::Result<()> {
    require_control_plane!(controllers);
    let bench = Bench::new(PLANE.get().await?).await?;
    let namespace = bench.namespace.clone();
    let agent = bench.start_agent().await?;
    agent.publish(&[("web", vec![config_map(&namespace, "a", "1")]), ("api", vec![config_map(&namespace, "b", "1")])])?;
    agent.wait_applied("web").await?;
    agent.wait_applied("api").await?;
    agent.publish(&[("api", vec![config_map(&namespace, "b", "1")])])?;
    agent.wait(|apps| apps["web"].reason.as_ref().is_some_and(|reason| reason.code == "NotInIndex")).await?;
    agent.stop().await;
    let done = bench.leave(&["web"], true).await?;
    assert_eq!(done.iter().map(|parted| (parted.object.name.as_str(), &parted.outcome)).collect::<Vec<_>>(), [("a", &Parting::LetGo)]);

    // Also where only the copy is left, the app is nobody's now; what the agent still runs it keeps.
    let agent = bench.start_agent_with_empty_disk().await?;
    agent.confirm()?;
    let apps = agent.wait(|apps| apps.contains_key("api") && apps["api"].applied == apps["api"].wanted).await?;
    assert!(!apps.contains_key("web"), "{apps:?}");
    assert_eq!(bench.kubectl(&["get", "configmap", "a", "-o", "jsonpath={.data.value}{.metadata.annotations}"]).await?, "1");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_is_withdrawn_and_owned_is_deleted() -> anyhow::Result<()> {
    require_control_plane!(controllers);
    let bench = Bench::new(PLANE.get().await?).await?;
    let namespace = bench.namespace.clone();
    let agent = bench.start_agent().await?;
    let all: Vec<_> = (0..5).map(|n| config_map(&namespace, &format!("c{n}"), "1")).collect();
    agent.publish(&[("web", all.clone())])?;
    agent.wait_applied("web").await?;
    bench.kubectl(&["create", "configmap", "foreign"]).await?;

    // Missing from the release and not withdrawn: kept, and reported.
    agent.publish(&[("web", all[..4].to_vec())])?;
    let apps = agent.wait(|apps| apps["web"].reason.as_ref().is_some_and(|reason| reason.code == "Unaccounted")).await?;
    assert_eq!(apps["web"].objects, 5);

    // Withdrawn, one owned and one foreign: only the owned one goes.
    agent.publish_withdrawing(&[("web", all[..4].to_vec())], &[("web", &["c4", "foreign"])], false)?;
    let apps = agent.wait(|apps| apps["web"].withdrawn.len() == 2).await?;
    assert_eq!(apps["web"].objects, 4);
    assert_eq!(bench.kubectl(&["get", "configmap", "c4", "--ignore-not-found", "-o", "name"]).await?, "");
    assert_eq!(bench.kubectl(&["get", "configmap", "foreign", "-o", "name"]).await?.trim(), "configmap/foreign");

    // It comes back with our mark, as from a backup: it is withdrawn still.
    let mut again = config_map(&namespace, "c4", "1");
    again["metadata"]["annotations"] = json!({"capstan.dev/tracking-id": format!("web:/ConfigMap:{namespace}/c4")});
    bench.apply(&again).await?;
    bench.wait_for(&["get", "configmap", "c4", "--ignore-not-found", "-o", "name"], "").await
}

#[tokio::test(flavor = "multi_thread")]
async fn deletions_over_the_budget_wait_for_an_approval_of_exactly_them() -> anyhow::Result<()> {
    require_control_plane!(controllers);
    let bench = Bench::new(PLANE.get().await?).await?;
    let namespace = bench.namespace.clone();
    let agent = bench.start_agent().await?;
    let all: Vec<_> = (0..6).map(|n| config_map(&namespace, &format!("c{n}"), "1")).collect();
    agent.publish(&[("web", all.clone())])?;
    agent.wait_applied("web").await?;
    agent.publish_withdrawing(&[("web", all[..3].to_vec())], &[("web", &["c3", "c4", "c5"])], false)?;
    let apps = agent.wait(|apps| apps["web"].awaiting_approval.len() == 3).await?;
    assert_eq!(apps["web"].reason.as_ref().map(|reason| reason.code.as_str()), Some("ApprovalNeeded"));
    assert_eq!(bench.kubectl(&["get", "configmap", "c3", "-o", "name"]).await?.trim(), "configmap/c3");
    agent.publish_withdrawing(&[("web", all[..3].to_vec())], &[("web", &["c3", "c4", "c5"])], true)?;
    agent.wait(|apps| apps["web"].withdrawn.len() == 3 && apps["web"].awaiting_approval.is_empty()).await?;
    assert_eq!(bench.kubectl(&["get", "configmap", "c3", "c4", "c5", "--ignore-not-found", "-o", "name"]).await?, "");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_deleted_while_the_hub_does_not_confirm_its_index() -> anyhow::Result<()> {
    require_control_plane!(controllers);
    let bench = Bench::new(PLANE.get().await?).await?;
    let namespace = bench.namespace.clone();
    let agent = bench.start_agent().await?;
    let all: Vec<_> = (0..2).map(|n| config_map(&namespace, &format!("c{n}"), "1")).collect();
    agent.publish(&[("web", all.clone())])?;
    agent.wait_applied("web").await?;
    agent.publish_unconfirmed(&[("web", all[..1].to_vec())], &[("web", &["c1"])])?;
    agent.wait(|apps| apps["web"].reason.as_ref().is_some_and(|reason| reason.code == "HubAway")).await?;
    agent.confirm()?;
    agent.wait(|apps| apps["web"].withdrawn.len() == 1).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_definition_and_its_objects_live_in_one_app() -> anyhow::Result<()> {
    require_control_plane!(controllers);
    let bench = Bench::new(PLANE.get().await?).await?;
    let namespace = bench.namespace.clone();
    let group = format!("{namespace}.example.com");
    let definition = manifest(&format!(
        "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {{name: widgets.{group}}}\nspec:\n  group: {group}\n  names: {{kind: Widget, plural: widgets}}\n  scope: Namespaced\n  versions:\n  - name: v1\n    served: true\n    storage: true\n    schema: {{openAPIV3Schema: {{type: object, properties: {{spec: {{type: object, properties: {{size: {{type: integer}}}}}}}}}}}}\n"
    ));
    let widget =
        manifest(&format!("apiVersion: {group}/v1\nkind: Widget\nmetadata: {{name: w, namespace: {namespace}}}\nspec: {{size: 3}}\n"));
    let agent = bench.start_agent().await?;
    agent.publish(&[("widgets", vec![widget, definition])])?;
    agent.wait_applied("widgets").await?;
    let resource = format!("widgets.{group}");
    assert_eq!(bench.kubectl(&["get", &resource, "w", "-o", "jsonpath={.spec.size}"]).await?, "3");
    bench.kubectl(&["patch", &resource, "w", "--type=merge", "-p", r#"{"spec":{"size":4}}"#]).await?;
    bench.wait_for(&["get", &resource, "w", "-o", "jsonpath={.spec.size}"], "3").await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_in_two_apps_stays_with_the_one_that_runs_it_until_it_is_handed_over() -> anyhow::Result<()> {
    require_control_plane!(controllers);
    let bench = Bench::new(PLANE.get().await?).await?;
    let namespace = bench.namespace.clone();
    let agent = bench.start_agent().await?;
    let (theirs, mine) = (config_map(&namespace, "shared", "a"), config_map(&namespace, "shared", "b"));
    agent.publish(&[("first", vec![theirs.clone()])])?;
    agent.wait_applied("first").await?;
    agent.publish(&[("first", vec![theirs]), ("second", vec![mine.clone(), config_map(&namespace, "other", "1")])])?;
    let apps = agent
        .wait(|apps| {
            apps.get("second").is_some_and(|app| app.reason.as_ref().is_some_and(|r| r.code == "OwnedByOtherApp") && app.objects == 1)
        })
        .await?;
    assert_eq!(apps["first"].health, Health::Healthy, "the app that runs it is not disturbed");
    assert_eq!(bench.kubectl(&["get", "configmap", "shared", "-o", "jsonpath={.data.value}"]).await?, "a");
    let uid = bench.kubectl(&["get", "configmap", "shared", "-o", "jsonpath={.metadata.uid}"]).await?;

    agent.publish_handing_over(
        &[("first", vec![config_map(&namespace, "rest", "1")]), ("second", vec![mine])],
        "first",
        "shared",
        "second",
    )?;
    agent.wait_applied("second").await?;
    let after = bench.kubectl(&["get", "configmap", "shared", "-o", "jsonpath={.metadata.uid} {.data.value}"]).await?;
    assert_eq!(after, format!("{uid} b"), "it changed hands and was not deleted in between");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_agent_with_an_empty_disk_heals_without_the_hub() -> anyhow::Result<()> {
    require_control_plane!(controllers);
    let bench = Bench::new(PLANE.get().await?).await?;
    let agent = bench.start_agent().await?;
    let mut secret = manifest(&format!("apiVersion: v1\nkind: Secret\nmetadata: {{name: token, namespace: {}}}\n", bench.namespace));
    secret["stringData"] = json!({"token": "canary-4711"});
    agent.publish(&[("web", vec![config_map(&bench.namespace, "settings", "1"), secret])])?;
    agent.wait_applied("web").await?;
    bench.wait_until(&["get", "secrets", "-n", &bench.agent_namespace, "-o", "name"], |names| names.contains("content-0")).await?;
    let mirror = bench.kubectl(&["get", "secrets", "-n", &bench.agent_namespace, "-o", "json"]).await?;
    assert!(!mirror.contains("canary-4711"));
    agent.stop().await;

    bench.kubectl(&["delete", "configmap", "settings"]).await?;
    bench.kubectl(&["patch", "secret", "token", "--type=merge", "-p", r#"{"stringData":{"token":"changed"}}"#]).await?;
    let again = bench.start_agent_with_empty_disk().await?;
    bench.wait_for(&["get", "configmap", "settings", "--ignore-not-found", "-o", "jsonpath={.data.value}"], "1").await?;
    bench.wait_for(&["get", "secret", "token", "-o", "jsonpath={.data.token}"], "Y2FuYXJ5LTQ3MTE=").await?;
    let apps = again.wait(|apps| !apps["web"].drift.is_empty()).await?;
    assert!(!format!("{apps:?}").contains("canary-4711"), "no secret value is reported");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_whose_content_never_came_leaves_the_one_before_it_in_force_over_restarts() -> anyhow::Result<()> {
    require_control_plane!(controllers);
    let bench = Bench::new(PLANE.get().await?).await?;
    let get = ["get", "configmap", "settings", "--ignore-not-found", "-o", "jsonpath={.data.value}"];
    let agent = bench.start_agent().await?;
    agent.publish(&[("web", vec![config_map(&bench.namespace, "settings", "old")])])?;
    agent.wait_applied("web").await?;
    let part = format!("jsonpath={{.items[?(@.metadata.name==\"{}\")].data.part}}", "capstan-ledger-state-0");
    let copy = ["get", "secrets", "-n", &bench.agent_namespace, "-o", &part];
    bench.wait_until(&["get", "secrets", "-n", &bench.agent_namespace, "-o", "name"], |names| names.contains("content-0")).await?;
    let copied = bench.kubectl(&copy).await?;
    let before = agent.held();
    agent.publish_without_content(&[("web", vec![config_map(&bench.namespace, "settings", "new")])])?;
    assert_ne!(agent.held(), before, "it is accepted");

    bench.kubectl(&["delete", "configmap", "settings"]).await?;
    bench.wait_for(&get, "old").await?;
    // The copy knows of it too, before the pod is lost.
    bench.wait_until(&copy, |now| now != copied).await?;
    let pending = agent.held();
    agent.stop().await;

    for empty_disk in [false, true] {
        bench.kubectl(&["delete", "configmap", "settings"]).await?;
        let again = if empty_disk { bench.start_agent_with_empty_disk().await? } else { bench.start_agent().await? };
        assert_eq!(again.held(), pending, "an accepted index is not forgotten");
        bench.wait_for(&get, "old").await?;
        let older = again.publish_at_sequence(1, &[("web", vec![config_map(&bench.namespace, "settings", "older")])]);
        assert!(older.is_err_and(|refusal| refusal.to_string().starts_with("IndexOlder")), "its number counts");
        again.stop().await;
    }
    let last = bench.start_agent().await?;
    last.publish(&[("web", vec![config_map(&bench.namespace, "settings", "newest")])])?;
    bench.wait_for(&get, "newest").await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_tool_applied_is_taken_over_and_what_git_drops_is_gone_or_its_keeper_named() -> anyhow::Result<()> {
    require_control_plane!(controllers);
    let bench = Bench::new(PLANE.get().await?).await?;
    let mut old = config_map(&bench.namespace, "settings", "1");
    old["data"]["stale"] = json!("from kubectl");
    bench.apply(&old).await?;
    let agent = bench.start_agent().await?;
    let mut wanted = config_map(&bench.namespace, "settings", "2");
    wanted["data"]["extra"] = json!("x");
    agent.publish(&[("web", vec![wanted])])?;
    agent.wait_applied("web").await?;
    let data = ["get", "configmap", "settings", "-o", "jsonpath={.data}"];
    assert_eq!(serde_json::from_str::<serde_json::Value>(&bench.kubectl(&data).await?)?, json!({"value": "2", "extra": "x"}));

    // Somebody else comes to hold a field with us; when the source drops it, it stays, and the report says why.
    let co_owner = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings", "namespace": bench.namespace}, "data": {"extra": "x"}});
    bench.apply_as("configurator", &co_owner).await?;
    agent.publish(&[("web", vec![config_map(&bench.namespace, "settings", "2")])])?;
    let apps = agent.wait(|apps| apps["web"].reason.as_ref().is_some_and(|reason| reason.code == "FieldKept")).await?;
    let message = &apps["web"].reason.as_ref().expect("just seen").message;
    assert!(message.contains("data.extra") && message.contains("configurator"), "{message}");
    let without = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings", "namespace": bench.namespace}});
    bench.apply_as("configurator", &without).await?;
    agent.wait(|apps| apps["web"].reason.is_none()).await?;
    assert_eq!(serde_json::from_str::<serde_json::Value>(&bench.kubectl(&data).await?)?, json!({"value": "2"}));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_the_guardrail_forbids_is_ever_asked_of_the_api_server() -> anyhow::Result<()> {
    require_control_plane!(controllers);
    let plane = PLANE.get().await?;
    let mut bench = Bench::new(plane).await?;
    bench.guardrail.deny = vec!["Secret".parse()?, "*.rbac.authorization.k8s.io".parse()?];
    bench.guardrail.namespaces = Some(vec![Pattern::new(bench.namespace.as_str())]);
    let object = |kind: &str, version: &str, namespace: Option<&str>| json!({"apiVersion": version, "kind": kind, "metadata": {"name": "forbidden", "namespace": namespace}});
    let namespace = bench.namespace.clone();
    let forbidden = vec![
        config_map(&namespace, "permitted", "1"),
        object("Secret", "v1", Some(&namespace)),
        object("Role", "rbac.authorization.k8s.io/v1", Some(&namespace)),
        object("ConfigMap", "v1", Some("kube-system")),
        object("ClusterRole", "rbac.authorization.k8s.io/v1", None),
        object("Namespace", "v1", None),
    ];
    let agent = bench.start_agent().await?;
    agent.publish(&[("web", forbidden)])?;
    let refused = |apps: &std::collections::BTreeMap<String, shared_model::AppState>| {
        let codes = apps["web"].unhealthy.iter().filter_map(|object| Some(object.reason.as_ref()?.code.as_str()));
        codes.filter(|code| *code == "GuardrailRefused").count()
    };
    agent.wait(|apps| refused(apps) == 5 && apps["web"].objects == 1).await?;
    let writes = bench.agent_writes(plane).await?;
    assert_eq!(writes, [format!("patch configmaps {namespace}/permitted")], "only what is permitted was asked");
    Ok(())
}

/// A Job that is a hook, as `phase+policy`.
/// A Job that runs until the test ends it.
fn hook_job(namespace: &str, name: &str, hook: &str) -> serde_json::Value {
    manifest(&format!(
        "apiVersion: batch/v1\nkind: Job\nmetadata: {{name: {name}, namespace: {namespace}, annotations: {{test/hook: {hook}}}}}\nspec:\n  backoffLimit: 0\n  template:\n    metadata: {{annotations: {{{FAULT_ANNOTATION}: never-ready}}}}\n    spec: {{restartPolicy: Never, containers: [{{name: run, image: example.test/run:1}}]}}\n"
    ))
}

#[tokio::test(flavor = "multi_thread")]
async fn hooks_run_to_their_end_around_a_release_and_again_for_the_next() -> anyhow::Result<()> {
    require_control_plane!(controllers);
    let bench = Bench::new(PLANE.get().await?).await?;
    let namespace = bench.namespace.clone();
    let release = |value: &str| {
        let migrate = hook_job(&namespace, "migrate", "PreSync+BeforeHookCreation");
        vec![migrate, config_map(&namespace, "settings", value), hook_job(&namespace, "smoke", "PostSync+HookSucceeded")]
    };
    let there = ["get", "configmap", "settings", "--ignore-not-found", "-o", "name"];
    let job_uid = |name: &'static str| {
        let bench = &bench;
        async move { bench.kubectl(&["get", "job", name, "--ignore-not-found", "-o", "jsonpath={.metadata.uid}"]).await }
    };
    let agent = bench.start_agent().await?;
    agent.publish(&[("web", release("1"))])?;
    agent.wait(|apps| apps["web"].unhealthy.iter().any(|object| object.object.name == "migrate")).await?;
    bench.wait_for(&["get", "job", "migrate", "-o", "jsonpath={.status.active}"], "1").await?;
    assert_eq!(bench.kubectl(&there).await?, "", "nothing is applied while a hook runs before it");
    let first = job_uid("migrate").await?;
    bench.end_job("migrate", "Succeeded").await?;
    bench.wait_for(&["get", "job", "smoke", "-o", "jsonpath={.status.active}"], "1").await?;
    assert_eq!(bench.kubectl(&there).await?.trim(), "configmap/settings");
    bench.end_job("smoke", "Succeeded").await?;
    agent.wait(|apps| apps["web"].health == Health::Healthy && apps["web"].applied == apps["web"].wanted).await?;
    bench.wait_for(&["get", "job", "smoke", "--ignore-not-found", "-o", "name"], "").await?;

    // What ran has run: neither its object's end nor another agent with an empty disk runs it again.
    bench.kubectl(&["delete", "job", "migrate"]).await?;
    agent.stop().await;
    let agent = bench.start_agent_with_empty_disk().await?;
    agent.wait(|apps| apps["web"].health == Health::Healthy && apps["web"].applied == apps["web"].wanted).await?;
    assert_eq!(job_uid("migrate").await?, "");

    // The next release runs them anew; one that fails stops it and stays to be looked at.
    agent.publish(&[("web", release("2"))])?;
    bench.wait_for(&["get", "job", "migrate", "-o", "jsonpath={.status.active}"], "1").await?;
    assert_ne!(job_uid("migrate").await?, first);
    bench.end_job("migrate", "Failed").await?;
    let apps = agent.wait(|apps| apps["web"].reason.as_ref().is_some_and(|reason| reason.code == "HookFailed")).await?;
    assert_eq!(apps["web"].health, Health::Degraded);
    assert_eq!(bench.kubectl(&["get", "configmap", "settings", "-o", "jsonpath={.data.value}"]).await?, "1");

    // A person deletes it: it runs again.
    bench.kubectl(&["delete", "job", "migrate"]).await?;
    bench.wait_for(&["get", "job", "migrate", "-o", "jsonpath={.status.active}"], "1").await?;
    bench.end_job("migrate", "Succeeded").await?;
    bench.wait_for(&["get", "configmap", "settings", "-o", "jsonpath={.data.value}"], "2").await?;
    Ok(())
}

/// A Pod that is a test, in its turn. It runs until it is told how it ends.
fn test_pod(namespace: &str, name: &str, turn: i32) -> serde_json::Value {
    let annotations = json!({"test/hook": "Test+BeforeHookCreation", "test/wave": turn.to_string(), FAULT_ANNOTATION: "never-ready"});
    manifest(&format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, namespace: {namespace}, annotations: {annotations}}}\nspec: {{restartPolicy: Never, containers: [{{name: run, image: example.test/run:1}}]}}\n"
    ))
}

/// The pod comes to its end: `succeeded` or `failed`.
async fn end_pod(bench: &Bench<'_>, name: &str, fate: &str) -> anyhow::Result<()> {
    bench.kubectl(&["annotate", "pod", name, "--overwrite", &format!("{FAULT_ANNOTATION}={fate}")]).await.map(|_| ())
}

#[tokio::test(flavor = "multi_thread")]
async fn tests_run_when_they_are_asked_for_one_by_one_and_never_twice() -> anyhow::Result<()> {
    require_control_plane!(controllers);
    let bench = Bench::new(PLANE.get().await?).await?;
    let namespace = bench.namespace.clone();
    let release = |value: &str| {
        let tests = [test_pod(&namespace, "probe", -1), test_pod(&namespace, "smoke", 0)];
        [config_map(&namespace, "settings", value)].into_iter().chain(tests).collect::<Vec<_>>()
    };
    let pods = ["get", "pods", "-o", "jsonpath={.items[*].metadata.name}"];
    let uid = ["get", "pod", "probe", "--ignore-not-found", "-o", "jsonpath={.metadata.uid}"];
    let outcome = |apps: &std::collections::BTreeMap<String, shared_model::AppState>, request: &str| {
        apps["web"].test.as_ref().filter(|test| test.request.as_str() == request).map(|test| test.outcome)
    };
    let agent = bench.start_agent().await?;
    agent.publish(&[("web", release("1"))])?;
    agent.wait(|apps| apps["web"].health == Health::Healthy && apps["web"].applied == apps["web"].wanted).await?;
    assert_eq!(bench.kubectl(&pods).await?, "", "a deployment runs no tests");

    // The first by weight runs alone, then the next; the app is as healthy as before, whatever they come to.
    agent.publish_testing(&[("web", release("1"))], Some("r1"))?;
    bench.wait_for(&pods, "probe").await?;
    let first = bench.kubectl(&uid).await?;
    agent.wait(|apps| outcome(apps, "r1") == Some(TestOutcome::Running)).await?;
    end_pod(&bench, "probe", "succeeded").await?;
    bench.wait_for(&pods, "probe smoke").await?;
    end_pod(&bench, "smoke", "failed").await?;
    let apps = agent.wait(|apps| outcome(apps, "r1") == Some(TestOutcome::Failed)).await?;
    let test = apps["web"].test.as_ref().expect("told");
    let results: Vec<_> = test.results.iter().map(|result| (result.object.name.as_str(), result.outcome)).collect();
    assert_eq!(results, [("probe", TestOutcome::Succeeded), ("smoke", TestOutcome::Failed)]);
    assert!(test.results[1].message.is_some(), "{test:?}");
    assert!(test.results.iter().all(|result| result.began.is_some() && result.ended.is_some()), "{test:?}");
    assert_eq!(apps["web"].health, Health::Healthy);

    // What was run is not run again: not by another agent with an empty disk, and not although its pods are gone.
    bench.kubectl(&["delete", "pod", "probe", "smoke", "--grace-period=0", "--force"]).await?;
    agent.stop().await;
    let agent = bench.start_agent_with_empty_disk().await?;
    let apps = agent.wait(|apps| apps["web"].health == Health::Healthy && outcome(apps, "r1") == Some(TestOutcome::Failed)).await?;
    assert_eq!(apps["web"].test.as_ref().map(|told| &told.results), Some(&test.results));
    assert_eq!(bench.kubectl(&pods).await?, "");

    // A newer request runs them anew; another release ends it, and what runs is left to run.
    agent.publish_testing(&[("web", release("1"))], Some("r2"))?;
    bench.wait_for(&pods, "probe").await?;
    let second = bench.kubectl(&uid).await?;
    assert_ne!(first, second);
    agent.publish_testing(&[("web", release("1"))], Some("r3"))?;
    bench.wait_until(&uid, |found| !found.is_empty() && found != second).await?;
    agent.publish_testing(&[("web", release("2"))], None)?;
    agent.wait(|apps| outcome(apps, "r3") == Some(TestOutcome::Cancelled)).await?;
    assert_eq!(bench.kubectl(&pods).await?, "probe");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_agent_of_the_same_cluster_only_reads() -> anyhow::Result<()> {
    require_control_plane!(controllers);
    let bench = Bench::new(PLANE.get().await?).await?;
    let first = bench.start_agent().await?;
    first.publish(&[("web", vec![config_map(&bench.namespace, "settings", "1")])])?;
    first.wait_applied("web").await?;
    let second = bench.start_agent_with_empty_disk().await?;
    second.wait_status(|status| matches!(status.role, Some(agent_cluster::Role::Reader { .. }))).await?;
    second.publish(&[("web", vec![config_map(&bench.namespace, "settings", "2")])])?;
    second.wait_status(|status| status.apps.get(&"web".parse().expect("valid")).is_some_and(|app| app.wanted.is_some())).await?;
    assert_eq!(bench.kubectl(&["get", "configmap", "settings", "-o", "jsonpath={.data.value}"]).await?, "1");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_the_api_server_refuses_is_named_and_holds_up_no_neighbour() -> anyhow::Result<()> {
    require_control_plane!(controllers);
    let bench = Bench::new(PLANE.get().await?).await?;
    let agent = bench.start_agent().await?;
    let mut bad = config_map(&bench.namespace, "bad", "1");
    bad["date"] = json!({"a": "b"});
    agent.publish(&[
        ("web", vec![bad, config_map(&bench.namespace, "good", "1")]),
        ("other", vec![config_map(&bench.namespace, "else", "1")]),
    ])?;
    let apps = agent.wait(|apps| apps["web"].objects >= 1 && apps["web"].unhealthy.iter().any(|o| o.health == Health::Degraded)).await?;
    let reason = apps["web"].unhealthy[0].reason.clone().expect("a reason");
    assert_eq!(reason.code, "Invalid");
    assert!(reason.message.contains(".date: field not declared in schema"), "{reason}");
    bench.wait_for(&["get", "configmap", "good", "--ignore-not-found", "-o", "jsonpath={.data.value}"], "1").await?;
    agent.wait_applied("other").await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_group_that_answers_errors_is_unknown_and_nothing_else_is_held_up() -> anyhow::Result<()> {
    require_control_plane!(controllers);
    let bench = Bench::new(PLANE.get().await?).await?;
    let group = format!("{}.broken.example.com", bench.namespace);
    let service = json!({
        "apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService", "metadata": {"name": format!("v1.{group}")},
        "spec": {"group": group, "version": "v1", "groupPriorityMinimum": 1000, "versionPriority": 10, "insecureSkipTLSVerify": true,
                 "service": {"namespace": "default", "name": "nobody"}},
    });
    bench.apply(&service).await?;
    bench.wait_for(&["get", "apiservice", &format!("v1.{group}"), "-o", "jsonpath={.status.conditions[0].status}"], "False").await?;
    let gadget = json!({"apiVersion": format!("{group}/v1"), "kind": "Gadget", "metadata": {"name": "g", "namespace": bench.namespace}});
    let agent = bench.start_agent().await?;
    agent.publish(&[("gadgets", vec![gadget, config_map(&bench.namespace, "beside", "1")])])?;
    let apps = agent.wait(|apps| apps["gadgets"].health == Health::Unknown && apps["gadgets"].objects == 1).await?;
    let reason = apps["gadgets"].unhealthy.iter().find(|o| o.object.name == "g").and_then(|o| o.reason.clone()).expect("a reason");
    assert_eq!(reason.code, "GroupUnavailable");
    bench.kubectl(&["delete", "apiservice", &format!("v1.{group}")]).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_that_is_being_deleted_is_waited_for_and_filled_again() -> anyhow::Result<()> {
    require_control_plane!(controllers);
    let plane = PLANE.get().await?;
    let bench = Bench::new(plane).await?;
    let namespace = format!("{}-app", bench.namespace);
    let own = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}});
    let agent = bench.start_agent().await?;
    agent.publish(&[("web", vec![own, config_map(&namespace, "settings", "1")])])?;
    agent.wait_applied("web").await?;
    let uid = bench.kubectl(&["get", "namespace", &namespace, "-o", "jsonpath={.metadata.uid}"]).await?;
    bench.kubectl(&["delete", "namespace", &namespace, "--wait=false"]).await?;
    agent.wait(|apps| apps["web"].health != Health::Healthy).await?;
    bench
        .wait_until(&["get", "namespace", &namespace, "--ignore-not-found", "-o", "jsonpath={.metadata.uid}"], |now| {
            !now.is_empty() && now != uid
        })
        .await?;
    let get = ["get", "configmap", "settings", "-n", &namespace, "--ignore-not-found", "-o", "jsonpath={.data.value}"];
    bench.wait_for(&get, "1").await?;
    agent.wait(|apps| apps["web"].health == Health::Healthy).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_untouched_cluster_is_not_written_to() -> anyhow::Result<()> {
    require_control_plane!(controllers);
    let plane = PLANE.get().await?;
    let bench = Bench::new(plane).await?;
    let agent = bench.start_agent().await?;
    let objects: Vec<_> = (0..20).map(|n| config_map(&bench.namespace, &format!("c{n}"), "1")).collect();
    agent.publish(&[("web", objects)])?;
    agent.wait_applied("web").await?;
    agent.stop().await;
    let before = bench.agent_writes(plane).await?;
    let again = bench.start_agent().await?;
    again.wait(|apps| apps["web"].health == Health::Healthy).await?;
    // Whatever the restarted agent would do it does before it answers to an event that comes after its start.
    bench.kubectl(&["delete", "configmap", "c7"]).await?;
    bench.wait_for(&["get", "configmap", "c7", "--ignore-not-found", "-o", "jsonpath={.data.value}"], "1").await?;
    let writes: Vec<String> = bench.agent_writes(plane).await?.split_off(before.len());
    assert_eq!(writes, [format!("patch configmaps {}/c7", bench.namespace)]);
    Ok(())
}
