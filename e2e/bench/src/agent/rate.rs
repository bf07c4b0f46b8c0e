//! (1) Many apps at once: how fast their objects come to exist, beside a bare client that applies the same objects and holds the same watches.

use std::time::{Duration, Instant};

use super::Bench;
use super::client::{Held, Witness, apply_of, send_all};
use super::stage::{PATIENCE, Stage};
use super::workload::{App, small};
use crate::stopwatch::{duration, three_digits};
use crate::table::Table;

pub(super) async fn measure(bench: &Bench) -> anyhow::Result<Table> {
    let count = if bench.quick { 100 } else { 1_000 };
    let mut stage = Stage::set(bench).await?;
    // The bare client runs before and after the agent: an API server gets slower the more it holds.
    let before = bare(&stage, "bare-before", count).await?;
    let agent = stage.agent().await?;
    stage.namespace("agent").await?;
    let apps = small("agent", count);
    let look = stage.look(&agent)?;
    let (took, index) = stage.publish_and_see("agent", &apps).await?;
    let servers = stage.servers.worked()?;
    stage.hub.applied(index, PATIENCE).await?;
    let used = stage.used_in_the_end(&agent, &look).await?;
    agent.stop().await?;
    let after = bare(&stage, "bare-after", count).await?;
    let _ = servers;

    let objects = objects(&apps);
    let rate = |took: Duration| objects as f64 / took.as_secs_f64();
    let limit = (before + after) / 2;
    let title = format!("(1) {count} apps of four objects");
    let mut table = Table::new(&title, &["what", "time", "objects/s", "of the limit", "goal", "CPU s", "API server + etcd CPU s"]);
    let cpu = |time: Duration| three_digits(time.as_secs_f64());
    table.row([
        "a bare client, before and after".to_owned(),
        format!("{}, {}", duration(before), duration(after)),
        three_digits(rate(limit)),
    ]);
    table.row([
        "capstan-agent: published → all exist".to_owned(),
        duration(took),
        three_digits(rate(took)),
        format!("{:.0} %", 100.0 * limit.as_secs_f64() / took.as_secs_f64()),
        "80 %".to_owned(),
        cpu(used.agent),
        cpu(used.servers),
    ]);
    table.note(format!(
        "The agent's requests: {}. Fetching the objects from the hub and writing them to its ledger is in its time.",
        used.requests
    ));
    Ok(table)
}

/// Applies everything by the bare client; returns how long it took until all were there.
async fn bare(stage: &Stage, namespace: &str, count: usize) -> anyhow::Result<Duration> {
    stage.namespace(namespace).await?;
    let apps = small(namespace, count);
    let applies: Vec<_> = apps.iter().flat_map(|app| &app.objects).map(|object| apply_of(object, "bare")).collect();
    let _held = Held::open(&stage.client).await?;
    let mut witness = Witness::open(&stage.client, namespace).await?;
    let started = Instant::now();
    send_all(&stage.client, &applies).await?;
    Ok(witness.all(applies.len(), PATIENCE).await? - started)
}

fn objects(apps: &[App]) -> usize {
    apps.iter().map(|app| app.objects.len()).sum()
}
