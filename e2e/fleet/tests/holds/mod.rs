//! Holds, from the operator's command over the hub to an agent on a real API server: nothing of a held app is applied, healed or deleted, drift is
//! told all the same, and it goes on when the hold is ended or ends by itself.

use anyhow::Context as _;
use e2e_cluster::{AuditEvent, ControlPlane, Options, require_control_plane};
use e2e_fleet::{FleetRepository, TestAgent, TestHub, eventually, prepare};
use hub_api::{DriftWord, HoldView, StatusView, SyncWord};
use hub_cli::Exit;
use hub_client::ClientError;
use serde_json::Value;
use shared_model::Timestamp;
use tempfile::TempDir;

const FLEET: [(&str, &str); 6] = [
    ("fleet.yaml", "apiVersion: capstan.dev/v1\nkind: Fleet\nmetadata: {name: test}\nspec: {}\n"),
    ("regions/eu-west/region.yaml", "apiVersion: capstan.dev/v1\nkind: Region\nmetadata: {name: eu-west}\nspec: {}\n"),
    (
        "regions/eu-west/eu-1.yaml",
        "apiVersion: capstan.dev/v1\nkind: Cluster\nmetadata: {name: eu-1, labels: {workload: serving}}\nspec: {}\n",
    ),
    (
        "apps/settings/app.yaml",
        "apiVersion: capstan.dev/v1\nkind: App\nmetadata: {name: settings}\nspec:\n  namespace: default\n  prune: true\n  clusters: {matchLabels: {workload: serving}}\n  source: {path: manifests}\n",
    ),
    (SETTINGS, "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings}\ndata: {value: one}\n"),
    (
        MORE,
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: kept}\ndata: {value: one}\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: deleted}\ndata: {value: one}\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: dropped}\ndata: {value: one}\n",
    ),
];
const SETTINGS: &str = "apps/settings/manifests/settings.yaml";
const MORE: &str = "apps/settings/manifests/more.yaml";

/// A fleet of one cluster, which runs what Git says.
struct Place {
    hub: TestHub,
    repository: FleetRepository,
    plane: ControlPlane,
    agent: TestAgent,
    _disk: TempDir,
}

impl Place {
    async fn in_sync() -> anyhow::Result<Self> {
        prepare();
        let disk = tempfile::tempdir()?;
        let repository = FleetRepository::init(&disk.path().join("fleet.git"), &FLEET)?;
        let hub = TestHub::start(disk.path().join("hub"), repository.source()?).await?;
        let plane = ControlPlane::start(Options::default()).await?;
        let mut agent = TestAgent::new(&hub.add_cluster("eu-1", "eu-west").await?, disk.path().join("agent"))?;
        agent.start(&plane).await?;
        let place = Self { hub, repository, plane, agent, _disk: disk };
        eventually("the app is applied", || place.row(), |row| row.sync == SyncWord::Synced).await?;
        Ok(place)
    }

    async fn row(&self) -> anyhow::Result<StatusView> {
        self.hub.row("settings", "eu-1").await
    }

    /// What a command that ends well prints, with what it says to people.
    async fn capstan(&self, words: &[&str]) -> anyhow::Result<String> {
        let (exit, out, said) = self.hub.capstan_saying(words).await?;
        anyhow::ensure!(exit == Exit::Ok, "capstan {} ended with {exit:?}: {out}{said}", words.join(" "));
        Ok(out + &said)
    }

    /// Holds the app as `words` say and waits until the agent says so; when it ends.
    async fn hold(&self, words: &[&str]) -> anyhow::Result<Timestamp> {
        let table = self.capstan(&[&["hold", "settings", "--reason", "incident 7"], words].concat()).await?;
        assert!(table.contains("settings") && table.contains("bootstrap") && table.contains("incident 7"), "{table}");
        let is_held = |row: &StatusView| row.reason.as_ref().is_some_and(|reason| reason.code == "Held");
        let (row, _) = eventually("the agent says that it holds", || self.row(), is_held).await?;
        let reason = row.reason.map(|reason| reason.message).unwrap_or_default();
        let [hold] = &self.holds().await?[..] else { anyhow::bail!("there is one hold") };
        assert!(reason.contains("held by bootstrap until") && reason.contains(&hold.until) && reason.contains("incident 7"), "{reason}");
        Ok(hold.until.parse()?)
    }

    async fn holds(&self) -> anyhow::Result<Vec<HoldView>> {
        let list: Value = serde_json::from_str(&self.capstan(&["get", "holds", "-o", "json"]).await?)?;
        Ok(serde_json::from_value(list["items"].clone())?)
    }

    /// A person changes the value of one ConfigMap and deletes another; the hub hears of both, and neither is healed.
    async fn drift(&self) -> anyhow::Result<()> {
        let patch =
            ["patch", "configmap", "settings", "--type=merge", "-p", r#"{"data":{"value":"by hand"}}"#, "--field-manager=kubectl-edit"];
        self.plane.kubectl(&patch).await?;
        self.plane.kubectl(&["delete", "configmap", "deleted"]).await?;
        let told = |row: &StatusView| {
            let standing = row.drift.iter().filter(|drift| drift.healed.is_none());
            let mut standing: Vec<_> = standing.map(|drift| (drift.object.name.as_str(), drift.kind)).collect();
            standing.sort_unstable();
            standing == [("deleted", DriftWord::Deleted), ("settings", DriftWord::Changed)]
        };
        let (row, _) = eventually("the drift is told", || self.row(), told).await?;
        let fields: Vec<_> = row.drift.iter().flat_map(|drift| &drift.fields).collect();
        let [field] = fields[..] else { anyhow::bail!("one field was changed: {fields:?}") };
        assert_eq!((field.path.as_str(), field.manager.as_deref()), ("data.value", Some("kubectl-edit")));
        assert_eq!((field.wanted.as_deref(), field.found.as_deref()), (Some("\"one\""), Some("\"by hand\"")));
        Ok(())
    }

    /// The ConfigMaps of the app with their values.
    async fn values(&self) -> anyhow::Result<String> {
        let list = "jsonpath={range .items[*]}{.metadata.name}={.data.value} {end}";
        let text = self.plane.kubectl(&["get", "configmaps", "-o", list]).await?;
        Ok(text.split_whitespace().filter(|item| !item.starts_with("kube-root-ca.crt")).collect::<Vec<_>>().join(" "))
    }

    /// What the agent wrote since, but for its own Secrets and its lease.
    async fn writes_since(&self, since: Timestamp) -> anyhow::Result<Vec<AuditEvent>> {
        let events = self.plane.audit_events().await?;
        let mine = |event: &AuditEvent| event.user == self.agent.user() && event.is_write() && event.time >= since;
        Ok(events.into_iter().filter(|event| mine(event) && event.namespace.as_deref() != Some("capstan-system")).collect())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_a_held_app_is_changed_and_drift_is_told_until_it_is_resumed_also_when_the_hub_restarts() -> anyhow::Result<()> {
    require_control_plane!();
    let mut place = Place::in_sync().await?;
    let until = place.hold(&["--for", "2h"]).await?;
    let held_at = Timestamp::now();
    place.drift().await?;

    // Git goes on: one value changes, and one object is no longer there. The cluster has the index that says so.
    let less = FLEET[5].1.rsplit_once("---\n").context("three objects")?.0;
    let changed = FLEET[4].1.replace("one", "two");
    place.repository.commit(&[(SETTINGS, Some(&changed)), (MORE, Some(less))], "a change and a removal")?;
    place.hub.refresh().await?;
    let cluster = async || Ok(place.hub.client()?.cluster(&"eu-1".parse()?).await?);
    eventually("the change is wanted", || place.row(), |row| row.sync == SyncWord::OutOfSync).await?;
    eventually("the cluster has the index", cluster, |cluster| cluster.held_generation == cluster.wanted_generation).await?;

    place.hub.stop().await?;
    place.hub.resume().await?;
    let is_held = |row: &StatusView| row.reason.as_ref().is_some_and(|reason| reason.code == "Held") && row.sync == SyncWord::OutOfSync;
    eventually("the hub shows the hold again", || place.row(), is_held).await?;
    let ends: Vec<String> = place.holds().await?.into_iter().map(|hold| hold.until).collect();
    assert_eq!(ends, [until.to_string()], "the hold outlives the hub's process, and ends when it was to end");
    assert_eq!(place.values().await?, "dropped=one kept=one settings=by hand");
    assert_eq!(place.writes_since(held_at).await?, [], "the agent writes nothing of a held app");

    let said = place.capstan(&["resume", "settings"]).await?;
    assert_eq!(said, "settings is no longer held in all of its clusters; bootstrap held it: incident 7\n");
    eventually("what was held up follows", || place.values(), |values| values == "deleted=one kept=one settings=two").await?;
    let is_well =
        |row: &StatusView| row.sync == SyncWord::Synced && row.reason.is_none() && row.drift.iter().all(|drift| drift.healed.is_some());
    eventually("all is well again", || place.row(), is_well).await?;
    assert_eq!(place.capstan(&["get", "holds"]).await?, "nothing is held\n");
    let again = place.hub.client()?.resume(&"settings".parse()?, None).await;
    assert!(matches!(&again, Err(ClientError::NotFound(_))), "there is nothing left to resume: {again:?}");
    place.agent.stop().await?;
    place.hub.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hold_ends_by_itself_at_its_time_also_while_the_hub_is_away() -> anyhow::Result<()> {
    require_control_plane!();
    let mut place = Place::in_sync().await?;
    let until = place.hold(&["--for", "30s", "--cluster", "eu-1"]).await?;
    let held_at = Timestamp::now();
    place.drift().await?;
    place.hub.stop().await?;
    eventually("the drift is healed", || place.values(), |values| values == "deleted=one dropped=one kept=one settings=one").await?;
    let early: Vec<AuditEvent> = place.writes_since(held_at).await?.into_iter().filter(|event| event.time < until).collect();
    assert_eq!(early, [], "nothing is written before {until}");

    place.hub.resume().await?;
    let is_well =
        |row: &StatusView| row.sync == SyncWord::Synced && row.reason.is_none() && row.drift.iter().all(|drift| drift.healed.is_some());
    eventually("all is well again", || place.row(), is_well).await?;
    assert_eq!(place.capstan(&["get", "holds"]).await?, "nothing is held\n");
    place.agent.stop().await?;
    place.hub.stop().await
}
