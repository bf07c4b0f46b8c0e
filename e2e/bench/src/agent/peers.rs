//! (7) The workload that Flux and Argo CD were measured with on a machine like this one, and Capstan's figures beside theirs.

use std::time::Duration;

use super::Bench;
use super::heal::{changes, healed};
use super::requests::Requests;
use super::stage::{PATIENCE, Stage, Used};
use super::workload::small;
use crate::memory::mebibytes;
use crate::stopwatch::{duration, three_digits};
use crate::table::Table;

/// 250 apps of four objects in one namespace.
const APPS: usize = 250;

/// What was measured of the peers: two cores, Kubernetes 1.36.3 and etcd 3.6.14 on the same machine, no nodes, replicas 0; source-controller 1.9.1
/// with kustomize-controller 1.9.4, and Argo CD 3.5.1 (application-controller, repo-server, redis), as plain processes with administrator's rights
/// and without leader election; times by API watch, CPU from /proc, requests from the audit log, work directories in memory.
const PEERS: [(&str, &str, &str); 15] = [
    ("cold: 1,000 objects exist after", "39.7 s", "107 s"),
    ("cold: its CPU s", "43.4", "145"),
    ("cold: API server + etcd CPU s", "30.5", "60"),
    ("cold: requests", "5,830", "10,720"),
    ("peak memory", "169 + 92 MiB", "460 + 116 + 14 MiB"),
    ("one change applied after (p50, longest)", "18 s, 32 s", "0.64 s, 0.70 s (that one app refreshed by name; else 257 s)"),
    ("one change: its CPU s / API server + etcd", "44.4 / 22.4", "0.8 / 0.3"),
    ("one change: requests", "4,260", "28"),
    ("hand edit healed after (median, longest)", "35–55 s (interval 1 m)", "0.33 s, 0.63 s"),
    ("quiet minute: its CPU s", "45 (interval 1 m; 10 m: a round of 36 s each)", "2.9"),
    ("quiet minute: API server + etcd CPU s", "24", "2.7"),
    ("quiet minute: requests", "4,050", "79"),
    ("memory in quiet", "100–152 + 81–88 MiB", "252 + 104 MiB"),
    ("restart: all in sync after", "36 s (43.5 CPU s)", "150 s"),
    ("restart: requests", "4,270", "416"),
];

pub(super) async fn measure(bench: &Bench) -> anyhow::Result<Table> {
    let samples = if bench.quick { 5 } else { 20 };
    let samples_of_cpu = u32::try_from(samples).unwrap_or(u32::MAX);
    let mut stage = Stage::set(bench).await?;
    let mut agent = stage.agent().await?;
    stage.namespace("peers").await?;
    let look = stage.look(&agent)?;
    let (cold, index) = stage.publish_and_see("peers", &small("peers", APPS)).await?;
    stage.hub.applied(index, PATIENCE).await?;
    let cold_used = stage.used_in_the_end(&agent, &look).await?;
    let peak = agent.memory()?.peak;

    let look = stage.look(&agent)?;
    let healed = healed(&stage.client, "peers", samples).await?;
    let heal_used = stage.used_in_the_end(&agent, &look).await?;
    let look = stage.look(&agent)?;
    let changed = changes(&mut stage, &agent, "peers", samples).await?;
    let change_used = stage.used_in_the_end(&agent, &look).await?;
    let index = stage.hub.publish(&[])?;
    stage.hub.applied(index, PATIENCE).await?;

    let look = stage.look(&agent)?;
    tokio::time::sleep(Duration::from_secs(60)).await;
    let quiet = stage.used(&agent, &look).await?;
    let memory = agent.memory()?;
    let (mut agent, restart, restarted) = stage.restart(agent, index).await?;
    let peak = peak.max(agent.memory()?.peak);
    agent.stop().await?;

    let cpu = |time: Duration| three_digits(time.as_secs_f64());
    let longest = |times: &[Duration]| duration(times.last().copied().unwrap_or_default());
    let median = |times: &[Duration]| duration(times.get(times.len() / 2).copied().unwrap_or_default());
    let each = |used: &Used| (cpu(used.agent / samples_of_cpu), cpu(used.servers / samples_of_cpu));
    let (change_agent, change_servers) = each(&change_used);
    let ours = [
        duration(cold),
        cpu(cold_used.agent),
        cpu(cold_used.servers),
        counted(&cold_used.requests, 1),
        mebibytes(peak),
        format!("{}, {} (from the index on)", median(&changed), longest(&changed)),
        format!("{change_agent} / {change_servers}"),
        counted(&change_used.requests, samples),
        format!("{}, {}", median(&healed), longest(&healed)),
        cpu(quiet.agent),
        cpu(quiet.servers),
        counted(&quiet.requests, 1),
        mebibytes(memory.resident),
        format!("{} ({} CPU s)", duration(restart), cpu(restarted.agent)),
        counted(&restarted.requests, 1),
    ];
    let mut table = Table::new("(7) 250 apps of four objects, beside Flux and Argo CD", &["what", "Capstan's agent", "Flux", "Argo CD"]);
    for ((what, flux, argo), ours) in PEERS.into_iter().zip(ours) {
        table.row([what.to_owned(), ours, flux.to_owned(), argo.to_owned()]);
    }
    table.note(format!(
        "Of the peers' time a part is reading Git and rendering, which Capstan's hub does once for all clusters. Healing asked for: {}.",
        counted(&heal_used.requests, samples)
    ));
    table.note("Flux and Argo CD: measured once, on a quiet machine of the same size; source-controller 1.9.1, kustomize-controller 1.9.4, Argo CD 3.5.1.");
    Ok(table)
}

/// Requests for each of `samples` events, the lease's left out, with their verbs in all.
fn counted(requests: &Requests, samples: usize) -> String {
    let total = requests.total();
    match samples {
        1 => format!("{total} ({requests})"),
        _ => format!("{:.1} ({requests}, for {samples})", total as f64 / samples as f64),
    }
}
