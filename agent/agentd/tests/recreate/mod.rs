//! Objects that cannot be changed as their release wants, and are to be made anew: only where that is asked for, where it helps, and within every
//! limit that deletions have.

use e2e_cluster::require_control_plane;
use serde_json::{Value, json};
use shared_model::{AppState, Health};

use crate::PLANE;
use crate::bench::{Bench, config_map, manifest};

fn recreated(mut object: Value) -> Value {
    object["metadata"]["annotations"]["test/recreate"] = json!("yes");
    object
}

/// An immutable ConfigMap that is recreated.
fn sealed(bench: &Bench<'_>, name: &str, value: &str) -> Value {
    let mut object = config_map(&bench.namespace, name, value);
    object["immutable"] = json!(true);
    recreated(object)
}

async fn uid(bench: &Bench<'_>, what: &str) -> anyhow::Result<String> {
    bench.kubectl(&["get", what, "-o", "jsonpath={.metadata.uid}"]).await
}

fn says(app: &AppState, object: &str, code: &str) -> bool {
    app.unhealthy.iter().any(|state| state.object.name == object && state.reason.as_ref().is_some_and(|reason| reason.code == code))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_refuses_a_change_in_whatever_words_is_made_anew_if_it_could_be_made_at_all() -> anyhow::Result<()> {
    require_control_plane!(controllers);
    let bench = Bench::new(PLANE.get().await?).await?;
    let namespace = bench.namespace.clone();
    let group = format!("{namespace}.example.com");
    // A rule that says in words of its own, none of which means "immutable", that a field stays as it is.
    let definition = manifest(&format!(
        "
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {{name: widgets.{group}}}
spec:
  group: {group}
  names: {{kind: Widget, plural: widgets}}
  scope: Namespaced
  versions:
  - name: v1
    served: true
    storage: true
    schema:
      openAPIV3Schema:
        type: object
        properties:
          spec:
            type: object
            properties: {{size: {{type: integer, minimum: 1}}}}
            x-kubernetes-validations: [{{rule: self.size == oldSelf.size, message: a widget keeps its size}}]
"
    ));
    let widget = |name: &str, size: i64| json!({"apiVersion": format!("{group}/v1"), "kind": "Widget", "metadata": {"name": name, "namespace": namespace}, "spec": {"size": size}});
    let binding = |role: &str| {
        json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": "readers", "namespace": namespace},
               "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": role}})
    };
    let agent = bench.start_agent().await?;
    let objects = |size: i64, invalid: i64, role: &str| {
        vec![
            definition.clone(),
            recreated(widget("renewed", size)),
            recreated(widget("mistyped", invalid)),
            widget("kept", size),
            recreated(binding(role)),
        ]
    };
    agent.publish(&[("web", objects(3, 3, "some"))])?;
    agent.wait_applied("web").await?;
    let resources = ["renewed", "mistyped", "kept"].map(|name| format!("widgets.{group}/{name}"));
    let before = [uid(&bench, &resources[0]).await?, uid(&bench, &resources[1]).await?, uid(&bench, "rolebinding/readers").await?];

    agent.publish(&[("web", objects(4, 0, "others"))])?;
    bench.wait_for(&["get", &resources[0], "-o", "jsonpath={.spec.size}"], "4").await?;
    bench.wait_for(&["get", "rolebinding/readers", "-o", "jsonpath={.roleRef.name}"], "others").await?;
    let apps = agent.wait(|apps| says(&apps["web"], "mistyped", "Invalid") && says(&apps["web"], "kept", "Invalid")).await?;
    assert_eq!(apps["web"].health, Health::Degraded);
    assert_ne!(uid(&bench, &resources[0]).await?, before[0]);
    assert_ne!(uid(&bench, "rolebinding/readers").await?, before[2]);
    assert_eq!(uid(&bench, &resources[1]).await?, before[1], "what could not be made again is not deleted");
    assert_eq!(bench.kubectl(&["get", &resources[2], "-o", "jsonpath={.spec.size}"]).await?, "3", "nobody asked for that");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn making_anew_keeps_to_the_limits_of_deleting() -> anyhow::Result<()> {
    require_control_plane!(controllers);
    let mut bench = Bench::new(PLANE.get().await?).await?;
    bench.guardrail.deletions_per_hour = Some(1);
    let namespace = bench.namespace.clone();
    let claim = |size: &str| {
        recreated(json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "weights", "namespace": namespace},
            "spec": {"accessModes": ["ReadWriteOnce"], "storageClassName": "none", "resources": {"requests": {"storage": size}}}}))
    };
    let agent = bench.start_agent().await?;
    let objects = |value: &str, size: &str| vec![sealed(&bench, "first", value), sealed(&bench, "second", value), claim(size)];
    agent.publish(&[("web", objects("a", "2Gi"))])?;
    agent.wait_applied("web").await?;
    let claimed = uid(&bench, "pvc/weights").await?;
    let both = ["get", "configmap", "first", "second", "-o", "jsonpath={.items[*].data.value}"];

    agent.publish_unconfirmed(&[("web", objects("b", "1Gi"))], &[])?;
    agent.wait(|apps| says(&apps["web"], "first", "HubAway") && says(&apps["web"], "second", "HubAway")).await?;
    assert_eq!(bench.kubectl(&both).await?, "a a", "the hub may want something else by now");

    agent.confirm()?;
    let is_told = |app: &AppState| says(app, "first", "HourlyBudget") || says(app, "second", "HourlyBudget");
    let apps = agent.wait(|apps| is_told(&apps["web"]) && says(&apps["web"], "weights", "ImmutableField")).await?;
    bench.wait_until(&both, |found| found == "a b" || found == "b a").await?;
    let told = format!("{:?}", apps["web"].unhealthy);
    assert!(told.contains("what is in it would go with it"), "{told}");
    assert_eq!(uid(&bench, "pvc/weights").await?, claimed);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_somebody_else_put_in_its_place_is_not_deleted() -> anyhow::Result<()> {
    require_control_plane!(controllers);
    let bench = Bench::new(PLANE.get().await?).await?;
    let agent = bench.start_agent().await?;
    agent.publish(&[("web", vec![sealed(&bench, "settings", "ours"), config_map(&bench.namespace, "other", "1")])])?;
    agent.wait_applied("web").await?;
    agent.stop().await;
    let mut theirs = config_map(&bench.namespace, "settings", "theirs");
    theirs["immutable"] = json!(true);
    bench.kubectl(&["delete", "configmap", "settings"]).await?;
    bench.apply(&theirs).await?;
    let agent = bench.start_agent().await?;
    agent.wait(|apps| says(&apps["web"], "settings", "ImmutableField")).await?;
    assert_eq!(bench.kubectl(&["get", "configmap", "settings", "-o", "jsonpath={.data.value}"]).await?, "theirs");
    Ok(())
}
