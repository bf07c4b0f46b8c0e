//! A fleet with one enrolled cluster, and what operators do to it: push, look, approve, look into the cluster.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;
use std::process::Stdio;

use anyhow::{Context as _, ensure};
use e2e_cluster::{AuditEvent, ControlPlane, GitServer, Options, WorkTree};
use e2e_fleet::{TestAgent, TestHub, eventually, prepare};
use hub_api::{HealthWord, StatusView, SyncWord};
use hub_cli::Exit;
use hub_source::{Reference, SourceSpec};
use shared_model::Timestamp;
use tempfile::TempDir;

pub(crate) const CLUSTER: &str = "eu-1";
/// What `kubectl get --raw` asks for to leave a mark in the audit log.
const MOMENT: &str = "/version?moment=";

/// The fleet's own file and its clusters. The second one has no agent: it is there so that an app can leave the first one and stay in the fleet.
const FLEET: [(&str, &str); 5] = [
    ("fleet.yaml", "apiVersion: capstan.dev/v1\nkind: Fleet\nmetadata: {name: test}\nspec: {}\n"),
    ("regions/eu-west/region.yaml", "apiVersion: capstan.dev/v1\nkind: Region\nmetadata: {name: eu-west}\nspec: {}\n"),
    (
        "regions/eu-west/eu-1.yaml",
        "apiVersion: capstan.dev/v1\nkind: Cluster\nmetadata: {name: eu-1, labels: {serving: \"yes\"}}\nspec: {}\n",
    ),
    ("regions/us-east/region.yaml", "apiVersion: capstan.dev/v1\nkind: Region\nmetadata: {name: us-east}\nspec: {}\n"),
    (
        "regions/us-east/us-1.yaml",
        "apiVersion: capstan.dev/v1\nkind: Cluster\nmetadata: {name: us-1, labels: {serving: \"yes\", spare: \"yes\"}}\nspec: {}\n",
    ),
];

pub(crate) struct Scene {
    pub(crate) hub: TestHub,
    pub(crate) plane: ControlPlane,
    pub(crate) tree: WorkTree,
    pub(crate) agent: TestAgent,
    pub(crate) disk: TempDir,
    _git: GitServer,
}

impl Scene {
    /// Sets it up with these files beside those of the fleet. The agent is enrolled and not started.
    pub(crate) async fn set(files: &[(&str, &str)]) -> anyhow::Result<Self> {
        prepare();
        let disk = tempfile::tempdir()?;
        let git = GitServer::start()?;
        git.create_repository("fleet.git")?;
        let tree = WorkTree::clone(&git.url("fleet.git"))?;
        for (path, text) in FLEET.iter().chain(files) {
            tree.write(path, text)?;
        }
        tree.commit_and_push("the fleet")?;
        let source = SourceSpec::new("fleet".parse()?, git.url("fleet.git").parse()?, Reference::branch("main")?);
        let hub = TestHub::start(disk.path().join("hub"), source).await?;
        let plane = ControlPlane::start(Options { controllers: true, ..Options::default() }).await?;
        let agent = TestAgent::new(&hub.add_cluster(CLUSTER, "eu-west").await?, disk.path().join("agent"))?;
        Ok(Self { hub, plane, tree, agent, disk, _git: git })
    }

    /// Pushes what the tree holds and makes the hub look.
    pub(crate) async fn push(&self, message: &str) -> anyhow::Result<()> {
        self.tree.commit_and_push(message)?;
        self.hub.refresh().await
    }

    /// Waits for the row of an app in the cluster.
    pub(crate) async fn row(&self, app: &str, what: &str, good: impl Fn(&StatusView) -> bool) -> anyhow::Result<StatusView> {
        Ok(eventually(&format!("{app}: {what}"), || self.hub.row(app, CLUSTER), good).await?.0)
    }

    /// Waits until an app is as wanted and healthy.
    pub(crate) async fn well(&self, app: &str) -> anyhow::Result<StatusView> {
        let well = |row: &StatusView| row.sync == SyncWord::Synced && row.judged.health() == HealthWord::Healthy && row.reason.is_none();
        self.row(app, "is well", well).await
    }

    /// Runs `capstan` and expects that it does what it is asked: what it prints and says.
    pub(crate) async fn capstan(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let (exit, out, err) = self.hub.capstan_saying(arguments).await?;
        ensure!(exit == Exit::Ok, "capstan {} ended with {exit:?}: {out}{err}", arguments.join(" "));
        Ok(out + &err)
    }

    /// Leaves a mark in the audit log: what comes after this call is later there.
    pub(crate) async fn moment(&self, name: &str) -> anyhow::Result<()> {
        self.plane.kubectl(&["get", "--raw", &format!("{MOMENT}{name}")]).await.map(drop)
    }

    /// The audit log so far.
    pub(crate) async fn log(&self) -> anyhow::Result<Log> {
        Ok(Log { events: self.plane.audit_events().await? })
    }

    /// Runs `capstan-agent` to its end on an empty disk, as the Job of `deploy/agent/leave` does: whether it succeeded, and what it said.
    pub(crate) async fn capstan_agent(
        &self,
        kubeconfig: &Path,
        arguments: &[&str],
        environment: BTreeMap<String, String>,
    ) -> anyhow::Result<(bool, String)> {
        let empty = tempfile::tempdir_in(self.disk.path())?;
        let mut words: Vec<OsString> = arguments.iter().map(Into::into).collect();
        words.extend(["--kubeconfig".into(), kubeconfig.into(), "--data-dir".into(), empty.path().into()]);
        let output = tokio::process::Command::new(env!("CARGO_BIN_EXE_fleet-capstan-agent"))
            .args(words)
            .envs(environment)
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output();
        let output = tokio::time::timeout(e2e_fleet::PATIENCE, output).await.context("capstan-agent did not end")??;
        Ok((output.status.success(), String::from_utf8(output.stdout)? + &String::from_utf8(output.stderr)?))
    }
}

/// The API server's audit log. Times are those at which requests came in: what one request made another one do came in later.
pub(crate) struct Log {
    pub(crate) events: Vec<AuditEvent>,
}

impl Log {
    /// When the moment was.
    pub(crate) fn moment(&self, name: &str) -> anyhow::Result<Timestamp> {
        let uri = format!("{MOMENT}{name}");
        Ok(self.events.iter().find(|event| event.uri == uri).with_context(|| format!("the audit log has no {uri}"))?.time)
    }

    /// What `user` changed in `namespace` by `verb`, and when; only what was done.
    pub(crate) fn done<'l>(&'l self, user: &'l str, verb: &'l str, namespace: &'l str) -> impl Iterator<Item = (Timestamp, String)> + 'l {
        let of = move |event: &&AuditEvent| {
            event.user == user
                && event.verb == verb
                && event.namespace.as_deref() == Some(namespace)
                && event.is_write()
                && event.code < 300
        };
        self.events.iter().filter(of).map(|event| {
            let part = |part: &Option<String>| part.clone().unwrap_or_default();
            (event.time, format!("{}/{}", part(&event.resource), part(&event.name)))
        })
    }
}
