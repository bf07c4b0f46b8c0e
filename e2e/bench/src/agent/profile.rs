//! Where the agent's bytes are: the same large cluster under `heaptrack`, and the peak of its heap by the place in our own code that asked for it, once
//! while everything is applied for the first time and once after a restart. The line tables of a release do not name functions in full: for this
//! the agent is built with `CARGO_PROFILE_RELEASE_DEBUG=1`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail};
use tokio::process::Command;

use super::Bench;
use super::processes::Launch;
use super::stage::{PATIENCE, Stage};
use super::workload::large;
use crate::memory::mebibytes;
use crate::table::Table;

/// How long an agent is left alone before it is looked at.
const SETTLES: Duration = Duration::from_secs(30);

/// Places that are named one by one; the rest is one row.
const PLACES: usize = 20;

/// Crates whose frames count as a place of ours.
const OURS: [&str; 12] = [
    "agent_agentd::",
    "agent_cluster::",
    "agent_plan::",
    "agent_ledger::",
    "agent_link::",
    "agent_health::",
    "shared_model::",
    "shared_manifest::",
    "shared_release::",
    "shared_session::",
    "shared_proto::",
    "capstan_agent::",
];

/// What was asked for without any of ours on the way.
const LIBRARIES: &str = "libraries alone";

pub(super) async fn measure(bench: &Bench) -> anyhow::Result<Vec<Table>> {
    let count = bench.objects;
    let mut stage = Stage::set(bench).await?;
    let plain = stage.launch.clone();
    stage.launch = under_heaptrack(&plain, "first");
    let agent = stage.agent().await?;
    stage.namespace("large").await?;
    let (_, index) = stage.publish_and_see("large", &large("large", count)).await?;
    stage.hub.applied(index, PATIENCE).await?;
    tokio::time::sleep(SETTLES).await;
    agent.stop_under_profiler(&plain.program).await?;
    let first = table(&plain, "first", &format!("the heap of an agent that applied {count} objects of 2 KB"), count).await?;

    stage.hub.forget();
    stage.launch = under_heaptrack(&plain, "again");
    let agent = stage.start_agent()?;
    stage.hub.applied(index, PATIENCE).await?;
    tokio::time::sleep(SETTLES).await;
    agent.stop_under_profiler(&plain.program).await?;
    let again = table(&plain, "again", &format!("the heap of an agent that was restarted with {count} objects of 2 KB"), count).await?;
    Ok(vec![first, again])
}

/// The same program, under a profiler that writes to `record` in its directory.
fn under_heaptrack(plain: &Launch, record: &str) -> Launch {
    let record = plain.directory.join(record).display().to_string();
    Launch { under: ["heaptrack", "-o", &record].map(str::to_owned).into(), ..plain.clone() }
}

async fn table(launch: &Launch, record: &str, title: &str, count: usize) -> anyhow::Result<Table> {
    let record = record_file(&launch.directory.join(record))?;
    let stacks = launch.directory.join("stacks");
    let mut table = Table::new(&format!("Where the bytes are: {title}"), &["place", "at the peak", "bytes for each object", "at the end"]);
    let at_peak = places(&collapse(&record, &stacks, "peak").await?);
    if !at_peak.keys().any(|place| place != LIBRARIES) {
        bail!("none of the agent's functions has its full name: build it with CARGO_PROFILE_RELEASE_DEBUG=1");
    }
    let at_end = places(&collapse(&record, &stacks, "leaked").await?);
    let mut all: Vec<(&String, u64, u64)> =
        at_peak.iter().map(|(place, bytes)| (place, *bytes, at_end.get(place).copied().unwrap_or(0))).collect();
    all.extend(at_end.iter().filter(|(place, _)| !at_peak.contains_key(*place)).map(|(place, bytes)| (place, 0, *bytes)));
    all.sort_by_key(|(_, peak, end)| std::cmp::Reverse(*peak.max(end)));
    let per_object = |bytes: u64| bytes.checked_div(count as u64).unwrap_or_default().to_string();
    for (place, peak, end) in all.iter().take(PLACES) {
        table.row([(*place).clone(), mebibytes(*peak), per_object(*peak), mebibytes(*end)]);
    }
    let sum = |from: usize| all.iter().skip(from).fold((0, 0), |(peak, end), row| (peak + row.1, end + row.2));
    for (what, (peak, end)) in [("all others", sum(PLACES)), ("the whole heap", sum(0))] {
        table.row([what.to_owned(), mebibytes(peak), per_object(peak), mebibytes(end)]);
    }
    Ok(table)
}

/// heaptrack adds the ending of its compression.
fn record_file(record: &Path) -> anyhow::Result<PathBuf> {
    let endings = ["zst", "gz"].map(|ending| record.with_extension(ending));
    endings.into_iter().find(|path| path.is_file()).with_context(|| format!("heaptrack left no {}", record.display()))
}

/// The bytes of each stack, as `frame;frame;frame bytes`.
async fn collapse(record: &Path, stacks: &Path, cost: &str) -> anyhow::Result<String> {
    let output = Command::new("heaptrack_print")
        .args(["-p", "0", "-a", "0", "-T", "0", "-l", "0", "--flamegraph-cost-type", cost, "-F"])
        .arg(stacks)
        .arg(record)
        .output()
        .await
        .context("heaptrack_print cannot be run; it comes with heaptrack")?;
    if !output.status.success() {
        bail!("heaptrack_print ended with {}: {}", output.status, String::from_utf8_lossy(&output.stderr));
    }
    fs::read_to_string(stacks).context("heaptrack_print wrote nothing")
}

/// Bytes by the innermost frame of ours.
fn places(stacks: &str) -> BTreeMap<String, u64> {
    let mut places = BTreeMap::new();
    for line in stacks.lines() {
        let Some((frames, bytes)) = line.rsplit_once(' ') else { continue };
        let bytes: u64 = bytes.parse().unwrap_or(0);
        if bytes > 0 {
            *places.entry(place(frames)).or_default() += bytes;
        }
    }
    places
}

fn place(frames: &str) -> String {
    let ours = frames.split(';').rev().find(|frame| OURS.iter().any(|name| frame.trim_start_matches('<').starts_with(name)));
    let name = ours.unwrap_or(LIBRARIES);
    // What the compiler appends (closures, a hash) says nothing to a reader.
    let name = ["::{closure", "::_$u7b$", " ("].into_iter().fold(name, |name, end| name.split(end).next().unwrap_or(name));
    let is_hash = |end: &str| end.len() == 16 && end.bytes().all(|byte| byte.is_ascii_hexdigit());
    name.rsplit_once("::h").filter(|(_, end)| is_hash(end)).map_or(name, |(name, _)| name).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_belong_to_the_innermost_place_of_ours() {
        let stacks = "main;agent_agentd::run;agent_cluster::view::View::record::{closure#0};alloc::vec::push 100\nmain;tokio::run 7\nmain;agent_cluster::view::View::record::h0123456789abcdef (view.rs);alloc 1\n";
        let found = places(stacks);
        assert_eq!(found.get("agent_cluster::view::View::record"), Some(&101));
        assert_eq!(found.get("libraries alone"), Some(&7));
    }
}
