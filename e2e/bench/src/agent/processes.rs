//! The processes that are measured: the agent, which is started here, and what Linux says of its and the control plane's time and memory.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, bail};
use e2e_cluster::ControlPlane;
use serde_json::Value;
use tokio::process::{Child, Command};

use super::hub::Hub;
use crate::machine::{field, kilobytes};

/// The user by which the audit log knows the agent.
pub(super) const AGENT_USER: &str = "agent";

/// How long the agent may take to end in order: less than Kubernetes gives a pod.
const STOP_LIMIT: Duration = Duration::from_secs(25);

/// Lines of the agent's log that an error shows.
const LAST_WORDS: usize = 15;

/// How agents are started.
#[derive(Debug, Clone)]
pub(super) struct Launch {
    /// The program.
    pub(super) program: PathBuf,
    /// What runs it, if anything: a profiler with its arguments.
    pub(super) under: Vec<String>,
    /// Where its ledger and log are.
    pub(super) directory: PathBuf,
}

/// A running agent. It is killed when this is dropped.
pub(super) struct Agent {
    child: Child,
    log: PathBuf,
}

impl Agent {
    /// Starts an agent of `plane`'s cluster with this `hub`. Its ledger stays in the directory of `launch` from one start to the next.
    pub(super) fn start(launch: &Launch, plane: &ControlPlane, hub: &Hub) -> anyhow::Result<Self> {
        let kubeconfig = plane.kubeconfig_for(AGENT_USER, &["system:masters"])?;
        let log = launch.directory.join("agent.log");
        let file = File::options().create(true).append(true).open(&log)?;
        let mut words: Vec<&OsStr> = launch.under.iter().map(OsStr::new).collect();
        words.push(launch.program.as_os_str());
        let (program, arguments) = words.split_first().context("BUG: there is always a program")?;
        let mut command = Command::new(program);
        command.args(arguments).args(["--admin-listen", "none", "--token", "bench", "--ca-pin", &hub.pin().to_string()]);
        command.args(["--hub", &hub.agents.to_string(), "--enrolment", &hub.enrolment.to_string()]);
        command.arg("--kubeconfig").arg(&kubeconfig).arg("--data-dir").arg(launch.directory.join("ledger"));
        command.envs(as_deployed()?);
        command.current_dir(&launch.directory).stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file).kill_on_drop(true);
        let child = command.spawn().with_context(|| format!("{} cannot be started", launch.program.display()))?;
        Ok(Self { child, log })
    }

    /// Its id; `None` if it ended.
    fn id(&self) -> anyhow::Result<u32> {
        self.child.id().with_context(|| format!("the agent ended by itself; its last words:\n{}", self.last_words()))
    }

    /// The time that it has worked so far.
    pub(super) fn worked(&self) -> anyhow::Result<Duration> {
        worked(self.id()?)
    }

    /// Its memory.
    pub(super) fn memory(&mut self) -> anyhow::Result<Memory> {
        if let Some(status) = self.child.try_wait()? {
            bail!("the agent ended with {status}; its last words:\n{}", self.last_words());
        }
        Memory::of(self.id()?)
    }

    /// Ends it as Kubernetes does (SIGTERM) and waits until it is gone.
    pub(super) async fn stop(mut self) -> anyhow::Result<()> {
        let id = self.id()?.to_string();
        let status = Command::new("kill").args(["-TERM", &id]).status().await.context("kill cannot be run")?;
        anyhow::ensure!(status.success(), "kill -TERM {id} ended with {status}");
        match tokio::time::timeout(STOP_LIMIT, self.child.wait()).await {
            Ok(ended) => ended.map(drop).context("the agent cannot be waited for"),
            Err(_) => bail!("the agent did not end within {STOP_LIMIT:?}; its last words:\n{}", self.last_words()),
        }
    }

    /// As [`Agent::stop`] for an agent that runs under a profiler, which ends with it: the signal goes to the process of `program` that this one's
    /// child has started.
    pub(super) async fn stop_under_profiler(mut self, program: &Path) -> anyhow::Result<()> {
        let is_profiled = |process: &u32| fs::read_link(format!("/proc/{process}/exe")).is_ok_and(|found| found == program);
        let all = fs::read_dir("/proc")?.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
        let ours = |process: &u32| {
            let arguments = fs::read(format!("/proc/{process}/cmdline")).unwrap_or_default();
            self.log.parent().is_some_and(|directory| String::from_utf8_lossy(&arguments).contains(&directory.display().to_string()))
        };
        let process: u32 = all.filter(is_profiled).find(ours).context("the profiled agent was not found")?;
        Command::new("kill").args(["-TERM", &process.to_string()]).status().await.context("kill cannot be run")?;
        match tokio::time::timeout(STOP_LIMIT, self.child.wait()).await {
            Ok(ended) => ended.map(drop).context("the profiler cannot be waited for"),
            Err(_) => bail!("the profiled agent did not end within {STOP_LIMIT:?}; its last words:\n{}", self.last_words()),
        }
    }

    /// The end of its log.
    pub(super) fn last_words(&self) -> String {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(LAST_WORDS)..].join("\n")
    }
}

/// What the agent's Deployment sets for the C library's memory, so that what is measured is what is shipped.
fn as_deployed() -> anyhow::Result<Vec<(String, String)>> {
    let deployment: Value = serde_yaml::from_str(include_str!("../../../../deploy/agent/base/deployment.yaml"))?;
    let settings =
        deployment.pointer("/spec/template/spec/containers/0/env").and_then(Value::as_array).context("the Deployment sets nothing")?;
    let text = |setting: &Value, field: &str| setting.get(field).and_then(Value::as_str).map(str::to_owned);
    let pair = |setting: &Value| Some((text(setting, "name").filter(|name| name.starts_with("MALLOC_"))?, text(setting, "value")?));
    Ok(settings.iter().filter_map(pair).collect())
}

/// The memory of a process in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Memory {
    /// All that is resident now.
    pub(super) resident: u64,
    /// Of that what is not a file: heap and stacks.
    pub(super) anonymous: u64,
    /// The most that was resident.
    pub(super) peak: u64,
}

impl Memory {
    fn of(process: u32) -> anyhow::Result<Self> {
        let file = format!("/proc/{process}/status");
        let of = |name: &str| {
            let kilobytes = field(&file, name).and_then(|text| kilobytes(&text));
            kilobytes.map(|kilobytes| kilobytes << 10).with_context(|| format!("{file} does not say {name}"))
        };
        Ok(Self { resident: of("VmRSS")?, anonymous: of("RssAnon")?, peak: of("VmHWM")? })
    }
}

/// The API server and etcd of one plane.
#[derive(Debug, Clone)]
pub(super) struct Servers(Vec<u32>);

impl Servers {
    /// Finds them among all processes: those whose arguments name the plane's directory.
    pub(super) fn of(plane: &ControlPlane) -> anyhow::Result<Self> {
        let directory = plane.directory().display().to_string();
        let is_server = |process: &u32| {
            let name = fs::read_to_string(format!("/proc/{process}/comm")).unwrap_or_default();
            let arguments = fs::read(format!("/proc/{process}/cmdline")).unwrap_or_default();
            ["etcd", "kube-apiserver"].contains(&name.trim()) && String::from_utf8_lossy(&arguments).contains(&directory)
        };
        let all = fs::read_dir("/proc")?.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
        let found: Vec<u32> = all.filter(is_server).collect();
        anyhow::ensure!(found.len() == 2, "the processes of the control plane in {directory} were not found");
        Ok(Self(found))
    }

    /// The time that they have worked so far.
    pub(super) fn worked(&self) -> anyhow::Result<Duration> {
        self.0.iter().map(|process| worked(*process)).sum()
    }
}

/// `utime` and `stime`, fields 14 and 15 behind the name in parentheses, in hundredths of a second: proc_pid_stat(5).
fn worked(process: u32) -> anyhow::Result<Duration> {
    let text = fs::read_to_string(format!("/proc/{process}/stat")).with_context(|| format!("process {process} is gone"))?;
    let fields = text.rsplit_once(')').map_or("", |(_, fields)| fields).split_whitespace().skip(11);
    let ticks: u64 = fields.take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
    Ok(Duration::from_millis(10 * ticks))
}

/// Where the agent's program lies unless it is named: beside this program.
pub(super) fn beside_this_program(name: &str) -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe().context("this program does not know where it lies")?;
    let program = own.with_file_name(name);
    anyhow::ensure!(
        program.is_file(),
        "{} is missing; run `cargo build --release -p agent-agentd`, or name it with --agent",
        program.display()
    );
    Ok(program)
}

/// A directory for ledgers and logs, in memory where the system offers that: files on a slow disk would be measured instead.
pub(super) fn work_directory() -> anyhow::Result<tempfile::TempDir> {
    let in_memory = Path::new("/dev/shm");
    let parent = if in_memory.is_dir() { in_memory.to_owned() } else { std::env::temp_dir() };
    Ok(tempfile::Builder::new().prefix("capstan-bench-").tempdir_in(parent)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_measured_is_set_as_in_the_deployment() {
        let settings = as_deployed().expect("readable");
        assert!(settings.iter().any(|(name, _)| name == "MALLOC_ARENA_MAX"), "{settings:?}");
    }
}
