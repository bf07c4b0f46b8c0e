//! Outages of an API server of one's own: it is killed, its store forgets its history, its store is put back to an earlier state.

use anyhow::Context as _;
use e2e_cluster::{ControlPlane, Options, require_control_plane};
use shared_model::Health;

use crate::bench::{Bench, config_map};

#[tokio::test(flavor = "multi_thread")]
async fn an_api_server_that_is_killed_compacted_or_put_back_leaves_everything_as_the_index_says() -> anyhow::Result<()> {
    require_control_plane!();
    let plane = ControlPlane::start(Options::default()).await?;
    let bench = Bench::new(&plane).await?;
    let namespace = bench.namespace.clone();
    bench.kubectl(&["create", "configmap", "bystander"]).await?;
    let agent = bench.start_agent().await?;
    let map = |name: &str, value: &str| config_map(&namespace, name, value);
    let get = |name: &'static str| ["get", "configmap", name, "--ignore-not-found", "-o", "jsonpath={.data.value}"];
    let spoil =
        async |name: &str| bench.kubectl(&["patch", "configmap", name, "--type=merge", "-p", r#"{"data":{"value":"wrong"}}"#]).await;
    agent.publish(&[("web", vec![map("a", "1"), map("b", "1")])])?;
    agent.wait_applied("web").await?;

    // Killed and started again: what was done meanwhile is seen and healed.
    plane.stop_api_server();
    plane.start_api_server().await?;
    spoil("a").await?;
    bench.wait_for(&get("a"), "1").await.context("after a restart")?;

    // The history that the watch would go on from is gone.
    let other = plane.client().await?;
    drop(other);
    spoil("b").await?;
    bench.wait_for(&get("b"), "1").await?;
    for value in 0..50 {
        bench.kubectl(&["patch", "configmap", "bystander", "--type=merge", "-p", &format!(r#"{{"data":{{"value":"{value}"}}}}"#)]).await?;
    }
    plane.compact().await?;
    plane.stop_api_server();
    plane.start_api_server().await?;
    spoil("a").await?;
    bench.wait_for(&get("a"), "1").await.context("after compaction")?;

    // A backup is put back: versions go backwards, one object is there in its old content, one is not there, one that went is there again.
    let saved = plane.save_store().await?;
    agent.wait(|apps| apps["web"].health == Health::Healthy).await?;
    agent.publish_withdrawing(&[("web", vec![map("a", "2"), map("new", "1")])], &[("web", &["b"])], false)?;
    agent.wait_applied("web").await?;
    agent.wait(|apps| apps["web"].withdrawn.len() == 1).await?;
    for value in 0..50 {
        bench.kubectl(&["patch", "configmap", "bystander", "--type=merge", "-p", &format!(r#"{{"data":{{"value":"{value}"}}}}"#)]).await?;
    }
    plane.restore_store(&saved).await?;
    bench.wait_for(&get("a"), "2").await.context("the old content is replaced")?;
    bench.wait_for(&get("new"), "1").await.context("what is not there is made again")?;
    agent.confirm()?;
    bench.wait_for(&get("b"), "").await.context("what came back and is withdrawn goes again")?;
    // And it is not only looked at once: the watch follows the new history, whose versions are lower than those seen before.
    spoil("new").await?;
    bench.wait_for(&get("new"), "1").await.context("the watch follows")?;
    bench.kubectl(&["get", "configmap", "bystander"]).await?;
    let copy = ["get", "secrets", "-n", &bench.agent_namespace, "-o", "name"];
    bench.wait_until(&copy, |names| names.contains("inventory-0")).await?;
    agent.stop().await;

    // What the agent remembers in the cluster is as new as what it knows: a pod without a disk goes on where this one was.
    let again = bench.start_agent_with_empty_disk().await?;
    spoil("a").await?;
    bench.wait_for(&get("a"), "2").await.context("the copy was brought up to date")?;
    again.wait(|apps| apps["web"].health == Health::Healthy).await.map(drop)
}
