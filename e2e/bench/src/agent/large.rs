//! (3), (4) and (6): a cluster with 10,000 objects of 2 KB. What the agent does while nothing happens, its memory, and a restart.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use kube::Client;
use serde_json::Value;

use super::Bench;
use super::processes::{Agent, Memory};
use super::requests::{LEASE, Requests};
use super::stage::{PATIENCE, Stage, Used};
use super::workload::large;
use crate::memory::mebibytes;
use crate::stopwatch::{duration, three_digits};
use crate::table::Table;

/// How long an agent without apps is left alone before its memory counts as idle.
const IDLE: Duration = Duration::from_secs(10);

/// How long after the last apply memory counts as steady.
const STEADY: Duration = Duration::from_secs(30);

/// The pause between two looks at what the controllers do.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

pub(super) async fn measure(bench: &Bench) -> anyhow::Result<Vec<Table>> {
    let (count, minutes) = (bench.objects, bench.minutes);
    let mut stage = Stage::set(bench).await?;
    let mut agent = stage.agent().await?;
    tokio::time::sleep(IDLE).await;
    let idle = agent.memory()?;
    stage.namespace("large").await?;
    let apps = large("large", count);
    let look = stage.look(&agent)?;
    let (took, index) = stage.publish_and_see("large", &apps).await?;
    drop(apps);
    stage.hub.applied(index, PATIENCE).await?;
    let cold = stage.used_in_the_end(&agent, &look).await?;
    tokio::time::sleep(STEADY).await;
    let steady = agent.memory()?;
    come_to_rest(&stage.client).await?;
    let quiet = watch_quiet(&stage, &agent, minutes).await?;
    let later = agent.memory()?;
    let (mut agent, restart, after_restart) = stage.restart(agent, index).await?;
    tokio::time::sleep(STEADY).await;
    let restarted = agent.memory()?;
    agent.stop().await?;
    Ok(vec![
        quiet_table(count, minutes, &quiet),
        memory_table(count, [idle, steady, later, restarted], (took, &cold)),
        restart_table(count, restart, &after_restart),
    ])
}

/// Waits until the controllers have said something about every Deployment: at their own pace they take longer than the agent, and each word of
/// theirs is an event.
async fn come_to_rest(client: &Client) -> anyhow::Result<()> {
    let given_up = Instant::now() + PATIENCE;
    loop {
        let list: Value = client.request(http::Request::get("/apis/apps/v1/namespaces/large/deployments").body(Vec::new())?).await?;
        let deployments = list.get("items").and_then(Value::as_array).context("a list has items")?;
        let is_done = |deployment: &Value| {
            let generation = deployment.pointer("/metadata/generation");
            generation.is_some()
                && generation == deployment.pointer("/status/observedGeneration")
                && deployment.pointer("/status/conditions").is_some()
        };
        if deployments.iter().all(is_done) {
            return Ok(());
        }
        anyhow::ensure!(Instant::now() < given_up, "the controllers did not come to rest");
        drop(list);
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

async fn watch_quiet(stage: &Stage, agent: &Agent, minutes: u32) -> anyhow::Result<Used> {
    let look = stage.look(agent)?;
    let end = Instant::now() + Duration::from_secs(60) * minutes;
    tokio::time::sleep_until(end.into()).await;
    stage.used(agent, &look).await
}

/// Thousandths of a processor.
fn millicores(used: &Used) -> f64 {
    1e3 * used.agent.as_secs_f64() / used.wall.as_secs_f64()
}

fn quiet_table(count: usize, minutes: u32, quiet: &Used) -> Table {
    let mut table = Table::new(&format!("(3) {minutes} quiet minutes with {count} objects of 2 KB"), &["what", "measured", "goal"]);
    let mut row = |what: &str, measured: String, goal: &str| table.row([what.to_owned(), measured, goal.to_owned()]);
    let requests: &Requests = &quiet.requests;
    row("writes and dry runs", requests.writes().to_string(), "0");
    row("renewals of the lease", requests.with(LEASE).to_string(), "");
    row("all requests", requests.to_string(), "");
    row("CPU, thousandths of a core", three_digits(millicores(quiet)), "3");
    row("API server + etcd, thousandths of a core", three_digits(1e3 * quiet.servers.as_secs_f64() / quiet.wall.as_secs_f64()), "");
    table
}

fn memory_table(count: usize, [idle, steady, later, restarted]: [Memory; 4], (took, cold): (Duration, &Used)) -> Table {
    let title = format!("(4) Resident memory with {count} objects of 2 KB");
    let mut table = Table::new(&title, &["what", "resident", "heap and stacks", "peak until then", "goal"]);
    let mut row = |what: &str, memory: Memory, goal: &str| {
        table.row([what.to_owned(), mebibytes(memory.resident), mebibytes(memory.anonymous), mebibytes(memory.peak), goal.to_owned()]);
    };
    row("idle: joined, no apps", idle, "20 MiB resident");
    row("steady: half a minute after the last apply", steady, "50 MiB resident, 80 MiB peak");
    row("after the quiet time", later, "50 MiB resident");
    row("half a minute after a restart", restarted, "50 MiB resident, 80 MiB peak");
    table.note(format!(
        "The {count} objects existed {} after they were published, which took {} s of the agent's CPU and {} s of API server and etcd; requests: {}. \
         What is resident and neither heap nor stack is the program itself.",
        duration(took),
        three_digits(cold.agent.as_secs_f64()),
        three_digits(cold.servers.as_secs_f64()),
        cold.requests
    ));
    table
}

fn restart_table(count: usize, took: Duration, used: &Used) -> Table {
    let mut table = Table::new(&format!("(6) A restart with {count} objects of 2 KB"), &["what", "measured", "goal"]);
    let mut row = |what: &str, measured: String, goal: &str| table.row([what.to_owned(), measured, goal.to_owned()]);
    let requests = &used.requests;
    row("started → the hub knows that all is as it wants", duration(took), "2 s");
    row("single objects read", requests.with("get").to_string(), "few: discovery and the agent's own");
    row("writes and dry runs", requests.writes().to_string(), "0");
    row("all requests", requests.to_string(), "lists and watches");
    row("CPU seconds", three_digits(used.agent.as_secs_f64()), "");
    table
}
