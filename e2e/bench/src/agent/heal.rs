//! (2) One field, edited by hand: how long until it is right again, beside a bare client that watches and applies.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use futures_util::StreamExt as _;
use kube::Client;

use super::Bench;
use super::client::{apply_of, edit, follow, send};
use super::processes::Agent;
use super::stage::{PATIENCE, Stage};
use super::workload::{App, changed, small};
use crate::stopwatch::duration;
use crate::table::Table;

/// Apps on which edits are made: the peers' workload.
const APPS: usize = 250;

/// The pause between two edits, so that each finds the agent at rest.
const PAUSE: Duration = Duration::from_millis(60);

pub(super) async fn measure(bench: &Bench) -> anyhow::Result<Table> {
    let edits = if bench.quick { 40 } else { 200 };
    let mut stage = Stage::set(bench).await?;
    stage.namespace("bare").await?;
    let bare_apps = small("bare", APPS);
    for app in &bare_apps {
        send(&stage.client, &apply_of(&app.objects[0], "bare")).await?;
    }
    let bare = bare(&stage, edits).await?;
    let agent = stage.agent().await?;
    stage.namespace("agent").await?;
    let (_, index) = stage.publish_and_see("agent", &small("agent", APPS)).await?;
    stage.hub.applied(index, PATIENCE).await?;
    let look = stage.look(&agent)?;
    let ours = healed(&stage.client, "agent", edits).await?;
    let used = stage.used_in_the_end(&agent, &look).await?;
    agent.stop().await?;

    let title = format!("(2) One field healed, {edits} edits in {} objects", 4 * APPS);
    let mut table = Table::new(&title, &["what", "p50", "p99", "longest", "goal p50", "goal p99"]);
    table.row(row("a bare client: watch, apply", &bare));
    let mut cells = row("capstan-agent", &ours);
    cells.extend(["25 ms".to_owned(), "150 ms".to_owned()]);
    table.row(cells);
    table.note(format!(
        "From the answer to the edit until a watch tells of the right value. The agent took {} of CPU for each edit; its requests: {}.",
        duration(used.agent / u32::try_from(edits).unwrap_or(u32::MAX)),
        used.requests
    ));
    Ok(table)
}

/// Edits one object after the other and measures each until it is right again.
pub(super) async fn healed(client: &Client, namespace: &str, edits: usize) -> anyhow::Result<Vec<Duration>> {
    let mut told = follow(client, namespace).await?;
    let mut times = Vec::with_capacity(edits);
    for number in 0..edits {
        let (name, wrong) = (format!("app-{:04}", number % APPS), format!("by hand {number}"));
        edit(client, namespace, &name, &wrong).await?;
        let started = Instant::now();
        let right = async {
            let mut seen = false;
            while let Some((of, value, at)) = told.next().await {
                seen |= of == name && value == wrong;
                if seen && of == name && value == "1" {
                    return Some(at);
                }
            }
            None
        };
        let at = tokio::time::timeout(PATIENCE, right).await.context("an edit was not healed")?.context("the watch ended")?;
        times.push(at.saturating_duration_since(started));
        tokio::time::sleep(PAUSE).await;
    }
    times.sort_unstable();
    Ok(times)
}

async fn bare(stage: &Stage, edits: usize) -> anyhow::Result<Vec<Duration>> {
    let mut told = follow(&stage.client, "bare").await?;
    let client = stage.plane.client_for("bare", &["system:masters"]).await?;
    let healer = tokio::spawn(async move {
        while let Some((name, value, _)) = told.next().await {
            if value != "1" {
                // What cannot be set right is not healed, and the measurement says so.
                let _ = send(&client, &apply_of(&changed("bare", &name, "1"), "bare")).await;
            }
        }
    });
    let times = healed(&stage.client, "bare", edits).await;
    healer.abort();
    times
}

fn row(what: &str, times: &[Duration]) -> Vec<String> {
    let at = |percent: usize| times.get((times.len() * percent / 100).min(times.len().saturating_sub(1))).copied().unwrap_or_default();
    vec![what.to_owned(), duration(at(50)), duration(at(99)), duration(at(100))]
}

/// Publishes one changed app after the other and measures each until a watch tells of it.
pub(super) async fn changes(stage: &mut Stage, agent: &Agent, namespace: &str, count: usize) -> anyhow::Result<Vec<Duration>> {
    let mut told = follow(&stage.client, namespace).await?;
    let mut times = Vec::with_capacity(count);
    for number in 0..count {
        let (name, value) = (format!("app-{number:04}"), format!("change {number}"));
        let mut app = small(namespace, number + 1).pop().context("BUG: there is one app at least")?;
        app.objects[0] = changed(namespace, &name, &value);
        let started = Instant::now();
        stage.hub.publish(&[App { name: name.clone(), objects: app.objects }])?;
        let arrived = async {
            while let Some((of, found, at)) = told.next().await {
                if of == name && found == value {
                    return Some(at);
                }
            }
            None
        };
        let at = tokio::time::timeout(PATIENCE, arrived).await;
        let at = at.ok().flatten().with_context(|| format!("a change was not applied; the agent says:\n{}", agent.last_words()))?;
        times.push(at.saturating_duration_since(started));
        tokio::time::sleep(PAUSE).await;
    }
    times.sort_unstable();
    Ok(times)
}
