//! `--once`: the five things that the demo offers to try, tried by the program itself. Each line that is printed was seen to be so; the first
//! thing that is not so ends it with an error.

use std::ffi::OsString;
use std::io::Write;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use hub_api::{FreshnessWord, HealthWord, PendingApproval, StatusView, SyncWord};
use hub_cli::{Console, Exit};
use serde_json::{Value, json};

use crate::cluster::{DemoCluster, Place};
use crate::fleet::ROWS;
use crate::wait::until;
use crate::world::World;

const GATEWAY: Place<'_> = ("apps", "deployments", "gateway", "llm-gateway");
const GATEWAY_PATH: &str = "/apis/apps/v1/namespaces/gateway/deployments/llm-gateway";
const MODEL_SERVER: Place<'_> = ("apps", "statefulsets", "inference", "model-server");
const RULES: Place<'_> = ("", "configmaps", "monitoring", "alert-rules");
const IMAGE: &str = "/spec/template/spec/containers/0/image";
const LOG_LEVEL: &str = "/spec/template/spec/containers/0/env/0/value";
const STRATEGIC: &str = "application/strategic-merge-patch+json";

/// Where drift is made.
const EDITED: &str = "eu-west-gpu-a";
/// Which cluster is lost.
const LOST: &str = "us-east-gpu-a";
/// Where training runs.
const TRAINING: &str = "us-east-train-b";
/// The name that the other manager writes as.
const OTHER_MANAGER: &str = "kubectl-edit";

/// A little more than makes a silent cluster Stale.
const TO_STALE: Duration = Duration::from_secs(31);
/// What makes it Offline after that, with a little more.
const TO_OFFLINE: Duration = Duration::from_secs(60);

/// Half of what the app `training` has, as lines or blocks of its kustomization, and the objects that they stand for.
const HALF: [(&str, Place<'_>); 5] = [
    ("- quota.yaml\n", ("", "resourcequotas", "training", "gpus")),
    ("- weekly-pretrain.yaml\n", ("batch", "cronjobs", "training", "weekly-pretrain")),
    ("- evaluation.yaml\n", ("batch", "cronjobs", "training", "evaluation")),
    ("- checkpoint-cleanup.yaml\n", ("batch", "cronjobs", "training", "checkpoint-cleanup")),
    (
        "- name: datasets\n  literals:\n  - FINETUNE=s3://datasets/support-2026-10\n  - EVALUATION=s3://datasets/mmlu-pro\n",
        ("", "configmaps", "training", "datasets"),
    ),
];
const KEPT: [Place<'_>; 3] = [
    ("batch", "cronjobs", "training", "nightly-finetune"),
    ("", "configmaps", "training", "hyperparameters"),
    ("", "secrets", "training", "checkpoint-store"),
];
/// An object that somebody else made in the namespace.
const NOT_OURS: Place<'_> = ("", "configmaps", "training", "notes-of-ada");

/// Tries everything.
pub(crate) async fn run(world: &mut World) -> anyhow::Result<()> {
    let start = Instant::now();
    println!("0  The fleet comes up");
    settled(world).await.context("the fleet did not come up")?;
    said(start, "6 clusters enrolled, 5 apps synced and healthy where they belong");
    commit(world).await.context("1, a commit")?;
    drift(world).await.context("2, a drift")?;
    broken_manifest(world).await.context("3, a broken manifest")?;
    lost_cluster(world).await.context("4, a lost cluster")?;
    lost_hub(world).await.context("4, a lost hub")?;
    deletes_too_much(world).await.context("5, a change that deletes too much")?;
    println!("All is as it should be, after {:.1} s.", start.elapsed().as_secs_f64());
    Ok(())
}

async fn commit(world: &mut World) -> anyhow::Result<()> {
    println!("1  A commit: the image of llm-gateway in ap-south");
    forget_writes(world);
    world.repository.replace("apps/llm-gateway/overlays/ap-south/kustomization.yaml", "1.8.0", "1.8.1")?;
    let start = Instant::now();
    let commit = world.commit("llm-gateway 1.8.1 for ap-south").await?.context("BUG: nothing to commit")?;
    let wanted = json!("ghcr.io/example/llm-gateway:1.8.1");
    for name in world.clusters.iter().filter(|cluster| cluster.region == "ap-south").map(|cluster| cluster.name) {
        until("the new image", async || is(world.cluster(name), GATEWAY, IMAGE, &wanted)).await.context(name)?;
        said(start, &format!("{name} runs 1.8.1"));
    }
    settled_at(world, &commit.id).await?;
    world.clusters.iter().try_for_each(|cluster| rolled_out(cluster, "llm-gateway", "gateway"))?;
    said(start, "everything is synced and healthy again");
    for cluster in world.clusters.iter().filter(|cluster| cluster.region != "ap-south") {
        nothing_written(cluster)?;
        is(Ok(cluster), GATEWAY, IMAGE, &json!("ghcr.io/example/llm-gateway:1.8.0")).map_err(anyhow::Error::msg)?;
    }
    said(start, "the four clusters of the other regions were not written to");
    Ok(())
}

/// Sets the log level of the gateway as somebody with kubectl would.
async fn edit(cluster: &DemoCluster) -> anyhow::Result<()> {
    let containers = json!([{"name": "gateway", "env": [{"name": "LOG_LEVEL", "value": "debug"}]}]);
    let patch = json!({"spec": {"template": {"spec": {"containers": containers}}}});
    let path = format!("{GATEWAY_PATH}?fieldManager={OTHER_MANAGER}");
    let after = cluster.ask("PATCH", &path, STRATEGIC, &patch).await?;
    ensure!(after.pointer(LOG_LEVEL) == Some(&json!("debug")), "the edit was not taken");
    Ok(())
}

async fn drift(world: &mut World) -> anyhow::Result<()> {
    println!("2  A drift: somebody sets LOG_LEVEL=debug in {EDITED}");
    let start = Instant::now();
    edit(world.cluster(EDITED)?).await?;
    until("the healed value", async || is(world.cluster(EDITED), GATEWAY, LOG_LEVEL, &json!("info"))).await?;
    said(start, "healed");
    let (path, manager) = until("the report of the drift", async || {
        let row = row(world, "llm-gateway", EDITED).await?;
        let healed = row.drift.iter().filter(|drift| drift.healed.is_some()).flat_map(|drift| &drift.fields);
        let field = healed.into_iter().find(|field| field.path.contains("env") && field.manager.as_deref() == Some(OTHER_MANAGER));
        let field = field.ok_or_else(|| format!("the row says {:?}", row.drift))?;
        Ok((field.path.clone(), field.manager.clone().unwrap_or_default()))
    })
    .await?;
    said(start, &format!("reported: by {manager}, the field\n        {path}"));
    settled(world).await
}

async fn broken_manifest(world: &mut World) -> anyhow::Result<()> {
    const FILE: &str = "apps/model-server/base/service.yaml";
    println!("3  A broken manifest of model-server, and a good change of monitoring with it");
    let before = rows_of(world, "model-server").await?;
    forget_writes(world);
    world.repository.replace(FILE, "  clusterIP: None\n", "  clusterIP: [None\n")?;
    world.repository.replace("apps/monitoring/base/rules.yaml", "latency-limit-seconds: \"2.5\"", "latency-limit-seconds: \"3.0\"")?;
    let start = Instant::now();
    let commit = world.commit("A mistake, and a higher limit").await?.context("BUG: nothing to commit")?;
    for name in world.clusters.iter().map(|cluster| cluster.name) {
        let limit = "/data/latency-limit-seconds";
        until("the new limit", async || is(world.cluster(name), RULES, limit, &json!("3.0"))).await.context(name)?;
    }
    said(start, "the change of monitoring is in all six clusters");
    let place = until("the problem with its place", async || {
        let problems = world.client.problems().await.map_err(text)?;
        let problem = problems.iter().find(|problem| problem.file.as_deref() == Some(FILE) && problem.line.is_some());
        problem.map(hub_api::ProblemView::place).ok_or_else(|| format!("the problems are {problems:?}"))
    })
    .await?;
    said(start, &format!("the problem is shown at\n        {place}"));
    published(world, &commit.id).await?;
    for (row, was) in rows_of(world, "model-server").await?.iter().zip(&before) {
        let seen = (&row.applied, row.judged.health(), row.objects);
        ensure!(seen == (&was.applied, HealthWord::Healthy, was.objects), "model-server changed in {}: {row:?}", row.cluster);
        let cluster = world.cluster(&row.cluster)?;
        let written: Vec<String> = cluster.take_writes().into_iter().filter(|write| write.contains("/inference/")).collect();
        ensure!(written.is_empty() && cluster.field(MODEL_SERVER, "/spec").is_some(), "in {}: {written:?}", row.cluster);
    }
    said(start, "model-server runs on as before in its clusters");
    world.repository.replace(FILE, "[None", "None")?;
    let start = Instant::now();
    let commit = world.commit("The mistake mended").await?.context("BUG: nothing to commit")?;
    settled_at(world, &commit.id).await?;
    until("no problem", async || {
        let problems = world.client.problems().await.map_err(text)?;
        if problems.is_empty() { Ok(()) } else { Err(format!("the problems are {problems:?}")) }
    })
    .await?;
    said(start, "mended: no problem is left");
    Ok(())
}

async fn lost_cluster(world: &mut World) -> anyhow::Result<()> {
    println!("4  A lost cluster: the agent of {LOST} stops\n             (the hub's clock is moved forward, so that nobody waits 90 s)");
    forget_writes(world);
    let start = Instant::now();
    world.cluster_mut(LOST)?.stop_agent().await?;
    world.clock.forward(TO_STALE);
    fresh_but_for_the_lost(world, FreshnessWord::Stale).await?;
    said(start, "31 s later it is Stale and Unknown, the others are Fresh");
    world.clock.forward(TO_OFFLINE);
    fresh_but_for_the_lost(world, FreshnessWord::Offline).await?;
    said(start, "91 s later it is Offline");
    let start = Instant::now();
    world.cluster_mut(LOST)?.start_agent()?;
    settled(world).await?;
    said(start, "its agent is back, and all is in sync");
    // What it writes later is looked at when it has healed a drift, below.
    world.clusters.iter().try_for_each(nothing_written)
}

async fn lost_hub(world: &mut World) -> anyhow::Result<()> {
    println!("   A lost hub, and a drift meanwhile in {LOST}");
    let start = Instant::now();
    world.stop_hub().await?;
    said(start, "the hub has stopped");
    let start = Instant::now();
    edit(world.cluster(LOST)?).await?;
    until("the healed value", async || is(world.cluster(LOST), GATEWAY, LOG_LEVEL, &json!("info"))).await?;
    said(start, "the drift is healed without it");
    // This also shows that the agent which came back has looked at everything since, and that healing touched nothing else.
    for cluster in &world.clusters {
        let expected =
            if cluster.name == LOST { [format!("patch {GATEWAY_PATH}"), format!("apply {GATEWAY_PATH}")].to_vec() } else { Vec::new() };
        let writes = cluster.take_writes();
        ensure!(writes == expected, "{} was written to: {writes:?}", cluster.name);
    }
    said(start, "nothing else was written, also not when the agent came back");
    let start = Instant::now();
    world.resume_hub().await?;
    settled(world).await?;
    said(start, "the hub is back on the same data, and all is in sync");
    // What is written later is looked at after the next change, below.
    world.clusters.iter().try_for_each(nothing_written)
}

async fn deletes_too_much(world: &mut World) -> anyhow::Result<()> {
    println!("5  A change that deletes too much: half of training");
    let (_, _, namespace, name) = NOT_OURS;
    let note = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"note": "not Capstan's"}});
    let path = format!("/api/v1/namespaces/{namespace}/configmaps?fieldManager=kubectl-create");
    world.cluster(TRAINING)?.ask("POST", &path, "application/json", &note).await?;
    world.cluster(TRAINING)?.take_writes();
    for (block, _) in HALF {
        world.repository.replace("apps/training/base/kustomization.yaml", block, "")?;
    }
    let start = Instant::now();
    let commit = world.commit("Less training").await?.context("BUG: nothing to commit")?;
    let pending = until("the deletion that waits for an approval", async || {
        let row = row(world, "training", TRAINING).await?;
        let waits: Option<PendingApproval> = row.awaiting_approval.clone().filter(|pending| pending.digest.is_some());
        waits.ok_or_else(|| format!("the row is {row:?}"))
    })
    .await?;
    published(world, &commit.id).await?;
    ensure!(pending.deletes.len() == HALF.len(), "{} deletions wait: {:?}", pending.deletes.len(), pending.deletes);
    let cluster = world.cluster(TRAINING)?;
    let deleted: Vec<String> = cluster.take_writes().into_iter().filter(|write| write.starts_with("delete")).collect();
    ensure!(deleted.is_empty() && HALF.iter().all(|(_, place)| cluster.field(*place, "/metadata").is_some()), "gone: {deleted:?}");
    said(start, &format!("{} deletions wait for an approval, nothing is deleted", pending.deletes.len()));
    let start = Instant::now();
    approve(world).await?;
    until("the end of the objects", async || {
        let there: Vec<&str> =
            HALF.iter().filter(|(_, place)| cluster.field(*place, "/metadata").is_some()).map(|(_, place)| place.3).collect();
        if there.is_empty() { Ok(()) } else { Err(format!("still there: {there:?}")) }
    })
    .await?;
    said(start, "approved with `capstan approve`, and they are gone");
    settled_at(world, &commit.id).await?;
    let cluster = world.cluster(TRAINING)?;
    for place in KEPT.into_iter().chain([NOT_OURS]) {
        ensure!(cluster.field(place, "/metadata").is_some(), "{} is gone too", place.3);
    }
    said(start, "the rest is there, and so is what somebody else had made");
    world.clusters.iter().filter(|cluster| cluster.name != TRAINING).try_for_each(nothing_written)?;
    said(start, "elsewhere nothing was written since the hub came back");
    Ok(())
}

/// `capstan approve`, as an operator runs it.
async fn approve(world: &World) -> anyhow::Result<()> {
    let (hub, token) = (world.api(), world.token_file().display().to_string());
    let words = ["capstan", "--hub", &hub, "--token-file", &token, "approve", "training", "--cluster", TRAINING, "--yes"];
    let (mut input, mut out, mut err) = (std::io::empty(), Vec::new(), Vec::new());
    let mut console = Console { input: &mut input, out: &mut out, err: &mut err, interactive: false };
    let exit = hub_cli::run(words.map(OsString::from), &mut console).await;
    ensure!(exit == Exit::Ok, "`capstan approve` ended with {exit:?}: {}", String::from_utf8_lossy(&err));
    Ok(())
}

/// Prints what was found to be so.
fn said(since: Instant, what: &str) {
    println!("   {:>5} ms  {what}", since.elapsed().as_millis());
    // Whoever watches wants to see it now.
    let _ = std::io::stdout().flush();
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

/// Whether a field of an object has this value.
fn is(cluster: anyhow::Result<&DemoCluster>, place: Place<'_>, pointer: &str, wanted: &Value) -> Result<(), String> {
    let cluster = cluster.map_err(text)?;
    match cluster.field(place, pointer) {
        Some(found) if found == *wanted => Ok(()),
        found => Err(format!("{pointer} of {} in {} is {found:?}", place.3, cluster.name)),
    }
}

async fn row(world: &World, app: &str, cluster: &str) -> Result<StatusView, String> {
    let rows = world.status().await.map_err(text)?;
    rows.into_iter().find(|row| row.app == app && row.cluster == cluster).ok_or_else(|| format!("there is no row {app}@{cluster}"))
}

async fn rows_of(world: &World, app: &str) -> anyhow::Result<Vec<StatusView>> {
    Ok(world.status().await?.into_iter().filter(|row| row.app == app).collect())
}

/// Everything is synced, healthy and heard just now, and each cluster holds the index that it should.
async fn settled(world: &mut World) -> anyhow::Result<()> {
    world.check().await?;
    until("all apps synced and healthy", async || {
        let rows = world.status().await.map_err(text)?;
        let good = |row: &StatusView| {
            (row.sync, row.judged.health(), row.judged.freshness()) == (SyncWord::Synced, HealthWord::Healthy, FreshnessWord::Fresh)
        };
        if let Some(row) = rows.iter().find(|row| !good(row)) {
            let reason = row.reason.as_ref().map(|reason| reason.message.as_str()).unwrap_or_default();
            let judged = &row.judged;
            let unhealthy = row.unhealthy.iter().map(|object| format!("{}: {:?}", object.object, object.reason)).collect::<Vec<_>>();
            return Err(format!(
                "{}@{} is {}, {}, {}: {reason} {unhealthy:?}",
                row.app,
                row.cluster,
                row.sync,
                judged.health(),
                judged.freshness()
            ));
        }
        if rows.len() != ROWS {
            return Err(format!("there are {} of {ROWS} apps on clusters", rows.len()));
        }
        let clusters = world.client.clusters().await.map_err(text)?;
        match clusters.iter().find(|cluster| cluster.wanted_generation.is_none() || cluster.wanted_generation != cluster.held_generation) {
            Some(cluster) => Err(format!("{} holds {:?} and not {:?}", cluster.name, cluster.held_generation, cluster.wanted_generation)),
            None => Ok(()),
        }
    })
    .await?;
    world.check().await
}

/// The commit was rendered, planned and published to all clusters.
async fn published(world: &World, commit: &str) -> anyhow::Result<()> {
    until("the commit published", async || {
        let sources = world.client.sources().await.map_err(text)?;
        let published = sources.first().and_then(|source| source.published_commit.clone());
        if published.as_deref() == Some(commit) { Ok(()) } else { Err(format!("{published:?} is, and not {commit}")) }
    })
    .await
}

async fn settled_at(world: &mut World, commit: &str) -> anyhow::Result<()> {
    published(world, commit).await?;
    settled(world).await
}

/// The lost cluster is as silent as this in all that speaks of its health, and no other is.
async fn fresh_but_for_the_lost(world: &World, silence: FreshnessWord) -> anyhow::Result<()> {
    until("one cluster silent and all others fresh", async || {
        for row in world.status().await.map_err(text)? {
            let seen = (row.judged.freshness(), row.judged.health(), row.sync);
            let wanted = match row.cluster.as_str() {
                LOST => (silence, HealthWord::Unknown, SyncWord::Unknown),
                _ => (FreshnessWord::Fresh, HealthWord::Healthy, SyncWord::Synced),
            };
            if seen != wanted {
                return Err(format!("{}@{} is {seen:?}", row.app, row.cluster));
            }
        }
        let clusters = world.client.clusters().await.map_err(text)?;
        let lost = clusters.iter().find(|cluster| cluster.name == LOST).ok_or("the cluster is not listed")?;
        match (lost.judged.freshness(), lost.judged.health()) {
            seen if seen == (silence, HealthWord::Unknown) => Ok(()),
            seen => Err(format!("the list of clusters says {seen:?}")),
        }
    })
    .await
}

/// What the hub calls healthy is so.
fn rolled_out(cluster: &DemoCluster, name: &str, namespace: &str) -> anyhow::Result<()> {
    let number = |pointer: &str| cluster.field(("apps", "deployments", namespace, name), pointer).unwrap_or_default();
    let wanted = number("/spec/replicas");
    let counts = ["replicas", "updatedReplicas", "availableReplicas"].map(|field| number(&format!("/status/{field}")));
    let observed = number("/status/observedGeneration") == number("/metadata/generation");
    ensure!(
        observed && counts.iter().all(|count| *count == wanted),
        "{name} in {} is called healthy with {counts:?} of {wanted} replicas",
        cluster.name
    );
    Ok(())
}

fn forget_writes(world: &World) {
    for cluster in &world.clusters {
        cluster.take_writes();
    }
}

fn nothing_written(cluster: &DemoCluster) -> anyhow::Result<()> {
    let writes = cluster.take_writes();
    ensure!(writes.is_empty(), "{} was written to: {writes:?}", cluster.name);
    Ok(())
}
