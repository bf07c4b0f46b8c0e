//! A change reaches the clusters stage by stage, and each stage only after the one before it is healthy at exactly that change.

#[expect(dead_code, reason = "tests of bad input also play on agents and on single objects")]
mod stage;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use e2e_fakekube::FakeKube;
use e2e_fleet::{FleetRepository, eventually};
use hub_api::{ApprovalRequest, HealthWord, StatusView, SyncWord};
use serde_json::Value;
use stage::{Stage, app};

const CLUSTERS: [(&str, &str); 3] = [("canary", "canary-1"), ("world", "world-1"), ("world", "world-2")];
const MANIFEST: &str = "apps/api/manifests/api.yaml";

fn rollout(top: &str, canary: &str, world: &str) -> String {
    format!(
        "apiVersion: capstan.dev/v1\nkind: Rollout\nmetadata: {{name: staged}}\nspec:\n{top}  stages:\n  - {{name: canary, regions: [canary]{canary}}}\n  \
         - {{name: world, regions: [\"*\"]{world}}}\n"
    )
}

fn deployment(image: &str) -> String {
    format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: api}}\nspec:\n  replicas: 2\n  selector: {{matchLabels: {{app: api}}}}\n  template:\n    \
         metadata: {{labels: {{app: api}}}}\n    spec: {{containers: [{{name: api, image: \"example.test/{image}\"}}]}}\n"
    )
}

/// Three clusters that run `api:1` as `rollout` says.
async fn fleet(rollout: &str) -> anyhow::Result<(Stage, FleetRepository)> {
    let app = app("api", "  source: {path: manifests}\n  rollout: staged\n");
    let files = [("rollouts/staged.yaml", rollout), ("apps/api/app.yaml", &app), (MANIFEST, &deployment("api:1"))];
    let (stage, repository) = Stage::set(&CLUSTERS, &files).await?;
    for (_, cluster) in CLUSTERS {
        stage.well("api", cluster).await?;
        assert_eq!(image(&stage.sites[cluster].kube).as_deref(), Some("api:1"));
    }
    Ok((stage, repository))
}

fn image_of(deployment: &Value) -> Option<String> {
    let image = deployment.pointer("/spec/template/spec/containers/0/image")?.as_str()?;
    image.strip_prefix("example.test/").map(str::to_owned)
}

fn image(kube: &FakeKube) -> Option<String> {
    image_of(&*kube.object("apps", "deployments", "default", "api")?)
}

/// The image with which the deployment is ready as a whole.
fn ready_image(kube: &FakeKube) -> Option<String> {
    let deployment = kube.object("apps", "deployments", "default", "api")?;
    let number = |pointer: &str| deployment.pointer(pointer).and_then(Value::as_u64).unwrap_or_default();
    let whole = number("/status/readyReplicas") == 2 && number("/status/updatedReplicas") == 2;
    (whole && number("/status/observedGeneration") == number("/metadata/generation")).then(|| image_of(&deployment)).flatten()
}

/// Looks at the clusters of the world from inside: each new image that comes to one is written down, with what the canary ran well then.
#[derive(Default)]
struct Witness {
    seen: Mutex<Vec<(String, Option<String>)>>,
}

impl Witness {
    fn of(stage: &Stage) -> Arc<Self> {
        let witness = Arc::new(Self::default());
        for cluster in ["world-1", "world-2"] {
            let (witness, canary) = (witness.clone(), stage.sites["canary-1"].kube.clone());
            stage.sites[cluster].kube.on_admission(move |admission, object| {
                let new = image_of(object).filter(|_| admission.plural == "deployments" && admission.subresource.is_empty());
                if let Some(new) = new.filter(|new| admission.old.and_then(image_of).as_ref() != Some(new)) {
                    witness.seen.lock().unwrap_or_else(PoisonError::into_inner).push((new, ready_image(&canary)));
                }
                Ok(())
            });
        }
        witness
    }

    fn take(&self) -> Vec<(String, Option<String>)> {
        std::mem::take(&mut self.seen.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

async fn runs(stage: &Stage, cluster: &str, wanted: &str) -> anyhow::Result<()> {
    let kube = &stage.sites[cluster].kube;
    eventually(&format!("{cluster} runs {wanted}"), || async { Ok(image(kube)) }, |found| found.as_deref() == Some(wanted)).await.map(drop)
}

fn says(row: &StatusView, code: &str, parts: &[&str]) -> bool {
    row.reason.as_ref().is_some_and(|reason| reason.code == code && parts.iter().all(|part| reason.message.contains(part)))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_good_commit_reaches_the_world_only_after_the_canary_is_healthy_at_exactly_it() -> anyhow::Result<()> {
    let (mut stage, repository) = fleet(&rollout("", "", "")).await?;
    let witness = Witness::of(&stage);
    stage.commit(&repository, &[(MANIFEST, Some(&deployment("api:2")))]).await?;
    for (_, cluster) in CLUSTERS {
        runs(&stage, cluster, "api:2").await?;
        stage.well("api", cluster).await?;
    }
    let after_canary = || ("api:2".to_owned(), Some("api:2".to_owned()));
    let seen: Vec<_> = witness.take().into_iter().collect();
    assert!(seen.len() >= 2 && seen.iter().all(|found| *found == after_canary()), "{seen:?}");
    stage.hub.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_commit_stops_at_the_canary_and_its_fix_goes_through() -> anyhow::Result<()> {
    // A fix need not wait for the end of what it mends.
    let (mut stage, repository) = fleet(&rollout("  supersede: replace\n", "", "")).await?;
    let witness = Witness::of(&stage);
    stage.commit(&repository, &[(MANIFEST, Some(&deployment("crash:1")))]).await?;
    runs(&stage, "canary-1", "crash:1").await?;
    let sick = |row: &StatusView| row.sync == SyncWord::Synced && row.judged.health() != HealthWord::Healthy;
    let canary = stage.row("api", "canary-1", "the canary has it and is not healthy", sick).await?;
    let mut rows = Vec::new();
    for cluster in ["world-1", "world-2"] {
        let waits = |row: &StatusView| says(row, "StageWaits", &["stage world waits for stage canary", "canary-1", "Deployment", "api"]);
        let row = stage.row("api", cluster, "the world says which cluster it waits for", waits).await?;
        assert_eq!(row.sync, SyncWord::OutOfSync, "what is wanted is not there");
        assert_ne!(row.applied, canary.applied);
        rows.push(row);
    }
    println!("{}", rows[0].reason.as_ref().map_or("", |reason| &reason.message));
    // Also a restarted hub knows how far the rollout was.
    stage.hub.stop().await?;
    stage.hub.resume().await?;
    for before in &rows {
        let waits = |row: &StatusView| says(row, "StageWaits", &["canary-1", "Deployment"]) && row.applied == before.applied;
        stage.row("api", &before.cluster, "the world still waits after a restart of the hub", waits).await?;
        assert_eq!(image(&stage.sites[before.cluster.as_str()].kube).as_deref(), Some("api:1"));
    }
    assert_eq!(witness.take(), [], "the bad image never came to the world");

    stage.commit(&repository, &[(MANIFEST, Some(&deployment("api:3")))]).await?;
    for (_, cluster) in CLUSTERS {
        runs(&stage, cluster, "api:3").await?;
        stage.well("api", cluster).await?;
    }
    let seen = witness.take();
    assert!(seen.iter().all(|(new, canary)| new == "api:3" && canary.as_deref() == Some("api:3")), "{seen:?}");
    stage.hub.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_fails_its_deadline_is_taken_back_and_the_next_one_goes_through() -> anyhow::Result<()> {
    let strict = ", deadline: 20s, onFailure: rollback";
    let (mut stage, repository) = fleet(&rollout("", strict, "")).await?;
    let witness = Witness::of(&stage);
    stage.commit(&repository, &[(MANIFEST, Some(&deployment("missing:1")))]).await?;
    runs(&stage, "canary-1", "missing:1").await?;
    let sick = |row: &StatusView| row.sync == SyncWord::Synced && row.judged.health() != HealthWord::Healthy;
    stage.row("api", "canary-1", "the canary has it and is not healthy", sick).await?;
    stage.clock.pass(21);
    stage.hub.refresh().await?;
    runs(&stage, "canary-1", "api:1").await?;
    for (_, cluster) in CLUSTERS {
        let told = |row: &StatusView| says(row, "RolledBack", &["canary-1", "commit another"]);
        stage.row("api", cluster, "each cluster says that the change was taken back, and why", told).await?;
    }
    assert_eq!(witness.take(), []);
    stage.commit(&repository, &[(MANIFEST, Some(&deployment("api:4")))]).await?;
    for (_, cluster) in CLUSTERS {
        runs(&stage, cluster, "api:4").await?;
        stage.well("api", cluster).await?;
    }
    stage.hub.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stage_waits_out_its_soak_and_then_for_the_approval_of_exactly_what_would_go() -> anyhow::Result<()> {
    let (mut stage, repository) = fleet(&rollout("", "", "")).await?;
    let witness = Witness::of(&stage);
    let careful = rollout("", ", soak: 20s", ", approval: {group: sre, count: 1, expires: 1h}");
    stage.commit(&repository, &[("rollouts/staged.yaml", Some(&careful)), (MANIFEST, Some(&deployment("api:5")))]).await?;
    runs(&stage, "canary-1", "api:5").await?;
    let soaks = |row: &StatusView| says(row, "StageWaits", &["canary-1", "watched until"]);
    stage.row("api", "world-1", "the world waits while the canary is watched", soaks).await?;
    stage.clock.pass(21);
    stage.hub.refresh().await?;
    let asks = |row: &StatusView| says(row, "StageApprovalNeeded", &["stage world", "1 of group sre"]);
    stage.row("api", "world-1", "the world waits for an approval", asks).await?;
    let shown = stage.hub.client()?.app(&"api".parse()?).await?.held_changes;
    let digest = shown.iter().find_map(|held| held.digest.clone()).expect("what to approve is shown with the app");
    assert_eq!(witness.take(), [], "nothing came to the world before its approval");
    let approval = |digest: String| ApprovalRequest { app: Some("api".to_owned()), cluster: None, digest };
    let other = shared_model::Digest::of(b"other").to_string();
    let refused = stage.hub.client()?.approve(&approval(other)).await.expect_err("nothing has this digest").to_string();
    assert!(refused.contains("no held change has this digest"), "{refused}");
    stage.hub.client()?.approve(&approval(digest)).await?;
    for (_, cluster) in CLUSTERS {
        runs(&stage, cluster, "api:5").await?;
        stage.well("api", cluster).await?;
    }
    stage.hub.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn only_as_many_clusters_of_a_stage_change_at_once_as_it_says() -> anyhow::Result<()> {
    let (mut stage, repository) = fleet(&rollout("  defaults: {maxConcurrency: 1}\n", "", "")).await?;
    // While a cluster of the world has a new image and is not ready with it, the other one must have its old one.
    let (first, second) = (stage.sites["world-1"].kube.clone(), stage.sites["world-2"].kube.clone());
    let overlaps = Arc::new(AtomicUsize::new(0));
    for (mine, other) in [(first.clone(), second.clone()), (second, first)] {
        let overlaps = overlaps.clone();
        mine.on_admission(move |admission, object| {
            let comes =
                admission.plural == "deployments" && admission.subresource.is_empty() && image_of(object).as_deref() == Some("api:6");
            if comes && image(&other).as_deref() == Some("api:6") && ready_image(&other).is_none() {
                overlaps.fetch_add(1, Ordering::Relaxed);
            }
            Ok(())
        });
    }
    stage.commit(&repository, &[(MANIFEST, Some(&deployment("api:6")))]).await?;
    for (_, cluster) in CLUSTERS {
        runs(&stage, cluster, "api:6").await?;
        stage.well("api", cluster).await?;
    }
    assert_eq!(overlaps.load(Ordering::Relaxed), 0);
    stage.hub.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_canary_that_cannot_be_told_what_to_run_holds_up_the_world() -> anyhow::Result<()> {
    let staged = rollout("", "", "");
    let app = app("api", "  source: {path: \"overlays/${region}\"}\n  rollout: staged\n");
    let (canary, world) = ("apps/api/overlays/canary/api.yaml", "apps/api/overlays/world/api.yaml");
    let (one, two, three) = (deployment("api:1"), deployment("api:2"), deployment("api:3"));
    let files = [("rollouts/staged.yaml", staged.as_str()), ("apps/api/app.yaml", &app), (canary, &one), (world, &one)];
    let (mut stage, repository) = Stage::set(&CLUSTERS, &files).await?;
    for (_, cluster) in CLUSTERS {
        stage.well("api", cluster).await?;
    }
    let witness = Witness::of(&stage);

    // Its render fails.
    stage.commit(&repository, &[(canary, Some("kind: [\n")), (world, Some(&two))]).await?;
    for cluster in ["world-1", "world-2"] {
        let waits = |row: &StatusView| says(row, "StageWaits", &["stage canary", "canary-1", canary]);
        stage.row("api", cluster, "the world waits for the canary that cannot be rendered", waits).await?;
    }
    assert_eq!(witness.take(), []);
    stage.commit(&repository, &[(canary, Some(&two))]).await?;
    for (_, cluster) in CLUSTERS {
        runs(&stage, cluster, "api:2").await?;
        stage.well("api", cluster).await?;
    }
    let seen = witness.take();
    assert!(seen.iter().all(|(_, canary)| canary.as_deref() == Some("api:2")), "{seen:?}");

    // Its own file is broken.
    let file = "regions/canary/canary-1.yaml";
    let cluster = "apiVersion: capstan.dev/v1\nkind: Cluster\nmetadata: {name: canary-1, labels: {workload: serving}}\n";
    let broken = format!("{cluster}specs: {{}}\n");
    stage.commit(&repository, &[(file, Some(&broken)), (canary, Some(&three)), (world, Some(&three))]).await?;
    for cluster in ["world-1", "world-2"] {
        let waits = |row: &StatusView| says(row, "ClusterBlocked", &["canary-1", file]);
        stage.row("api", cluster, "the world waits for the canary whose file is broken", waits).await?;
        // Planning again does not change that.
        let commit = repository.commit(&[("README.md", Some(cluster))], "another look")?;
        stage.hub.refresh().await?;
        let planned = || async { Ok(stage.hub.client()?.sources().await?.remove(0).published_commit) };
        eventually("it was planned again", planned, |planned| planned.as_deref() == Some(commit.as_str())).await?;
        assert!(waits(&stage.hub.row("api", cluster).await?), "{cluster}");
    }
    assert_eq!(witness.take(), []);
    stage.commit(&repository, &[(file, Some(cluster))]).await?;
    for (_, cluster) in CLUSTERS {
        runs(&stage, cluster, "api:3").await?;
        stage.well("api", cluster).await?;
    }
    stage.hub.stop().await
}
