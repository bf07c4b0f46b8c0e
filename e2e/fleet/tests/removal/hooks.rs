//! An app leaves: nothing is deleted before somebody approved it and the hooks before the removal succeeded, the hooks after it run when all is gone,
//! and then nobody knows the app any more. A hook that fails stops this, says how to go on, and both ways of going on lead to the end.

use std::collections::BTreeSet;

use anyhow::ensure;
use e2e_cluster::{FAULT_ANNOTATION, Fakelet, require_control_plane};
use e2e_fleet::{Process, eventually};
use hub_api::StatusView;
use hub_cli::Exit;
use shared_model::Timestamp;

use crate::scene::{CLUSTER, Log, Scene};

/// What each app has beside its hooks, in the order in which it goes: the highest wave first.
const OBJECTS: [&str; 4] = ["configmaps/late", "configmaps/settings", "deployments/api", "serviceaccounts/api"];

const MANIFESTS: &str = r#"apiVersion: v1
kind: ServiceAccount
metadata: {name: api}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: settings}
data: {value: "1"}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: late, annotations: {argocd.argoproj.io/sync-wave: "1"}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: api}
spec:
  replicas: 1
  selector: {matchLabels: {app: api}}
  template:
    metadata: {labels: {app: api}}
    spec: {serviceAccountName: api, containers: [{name: api, image: "example.test/api:1"}]}
"#;

fn app(name: &str, label: &str) -> String {
    format!(
        "apiVersion: capstan.dev/v1\nkind: App\nmetadata: {{name: {name}}}\nspec:\n  namespace: {name}\n  prune: true\n  \
         clusters: {{matchLabels: {{{label}: \"yes\"}}}}\n  source: {{path: manifests}}\n"
    )
}

/// A Job that is a hook and runs until the test ends it.
fn hook(name: &str, annotations: &str) -> String {
    format!(
        "apiVersion: batch/v1\nkind: Job\nmetadata: {{name: {name}, annotations: {{{annotations}}}}}\nspec:\n  backoffLimit: 0\n  template:\n    \
         metadata: {{annotations: {{{FAULT_ANNOTATION}: never-ready}}}}\n    \
         spec: {{restartPolicy: Never, containers: [{{name: run, image: \"example.test/run:1\"}}]}}\n"
    )
}

/// An app in a cluster, and the user that its agent is.
struct Leaver<'a> {
    scene: &'a Scene,
    app: &'static str,
}

impl Leaver<'_> {
    async fn kubectl(&self, arguments: &[&str]) -> anyhow::Result<String> {
        self.scene.plane.kubectl(&[&["-n", self.app], arguments].concat()).await
    }

    /// Which of the app's objects are there, by name and uid.
    async fn objects(&self) -> anyhow::Result<BTreeSet<String>> {
        let show = "jsonpath={range .items[*]}{.kind}/{.metadata.name} {.metadata.uid}{\"\\n\"}{end}";
        let list = self.kubectl(&["get", "configmaps,deployments,serviceaccounts", "-o", show]).await?;
        let made_by_kubernetes = ["ConfigMap/kube-root-ca.crt", "ServiceAccount/default"];
        let own = list.lines().filter(|line| !made_by_kubernetes.iter().any(|foreign| line.starts_with(foreign)));
        Ok(own.map(str::to_owned).collect())
    }

    async fn jobs(&self) -> anyhow::Result<String> {
        self.kubectl(&["get", "jobs", "-o", "jsonpath={.items[*].metadata.name}"]).await
    }

    /// Approves with the command what waits for the reason `code`, and expects that it shows all of the app's objects. From the moment
    /// `NAME-approved` on it is allowed.
    async fn approve(&self, code: &str) -> anyhow::Result<()> {
        let waits = |row: &StatusView| {
            let held = row.awaiting_approval.as_ref().or(row.held_changes.first());
            held.is_some_and(|held| held.digest.is_some() && held.reason.code == code)
        };
        self.scene.row(self.app, "waits for an approval", waits).await?;
        let (exit, _, said) = self.scene.hub.capstan_saying(&["approve", self.app, "--yes"]).await?;
        let command = format!("capstan approve {} --cluster {CLUSTER}", self.app);
        ensure!(exit == Exit::NotFound && said.contains(&command), "{exit:?} {said}");
        self.scene.moment(&format!("{}-approved", self.app)).await?;
        let shown = self.scene.capstan(&["approve", self.app, "--cluster", CLUSTER, "--yes"]).await?;
        for object in OBJECTS {
            let name = object.split('/').next_back().unwrap_or_default();
            ensure!(shown.contains(&format!("{}/{name}", self.app)), "{object} is not among what is approved: {shown}");
        }
        Ok(())
    }

    /// Waits until a hook's pod runs and lets it end after the moment `NAME-MOMENT`.
    async fn end_hook(&self, job: &str, outcome: &str, moment: &str) -> anyhow::Result<()> {
        let label = format!("job-name={job}");
        let running = ["get", "pods", "-l", &label, "--field-selector=status.phase=Running", "-o", "jsonpath={.items[*].metadata.name}"];
        let (pod, _) = eventually(&format!("{job} runs"), || self.kubectl(&running), |pods| !pods.is_empty()).await?;
        self.scene.moment(&format!("{}-{moment}", self.app)).await?;
        self.kubectl(&["annotate", "--overwrite", "pod", &pod, &format!("{FAULT_ANNOTATION}={outcome}")]).await.map(drop)
    }

    /// Waits until the hub does not list the app in the cluster and the agent owns nothing of it.
    async fn is_forgotten(&self) -> anyhow::Result<()> {
        let rows =
            async || Ok(self.scene.hub.status().await?.into_iter().filter(|row| row.app == self.app && row.cluster == CLUSTER).collect());
        eventually(&format!("{} is not listed any more", self.app), rows, Vec::is_empty).await?;
        let owned = || self.owned();
        eventually(&format!("nothing of {} is owned any more", self.app), owned, Vec::is_empty).await.map(drop)
    }

    /// What the agent says that it owns of the app, by its copy in the cluster.
    async fn owned(&self) -> anyhow::Result<Vec<String>> {
        let unasked = ["HUB", "ENROLMENT"].map(|door| (format!("CAPSTAN_AGENT_{door}"), "hub.example.com:7443".to_owned()));
        let (done, said) = self.scene.capstan_agent(&self.scene.plane.kubeconfig(), &["leave"], unasked.into()).await?;
        ensure!(done, "{said}");
        Ok(said.lines().filter(|line| line.starts_with(&format!("{}: ", self.app))).map(str::to_owned).collect())
    }

    /// What the agent deleted, in its order.
    fn deleted(&self, log: &Log) -> Vec<(Timestamp, String)> {
        log.done(self.scene.agent.user(), "delete", self.app).collect()
    }

    /// When the agent made a hook's Job.
    fn made(&self, log: &Log, job: &str) -> Vec<Timestamp> {
        let uri = format!("/apis/batch/v1/namespaces/{}/jobs/{job}", self.app);
        let made = |event: &&e2e_cluster::AuditEvent| event.user == self.scene.agent.user() && event.is_write() && event.code == 201;
        log.events.iter().filter(made).filter(|event| event.uri.starts_with(&uri)).map(|event| event.time).collect()
    }
}

fn names(deleted: &[(Timestamp, String)]) -> BTreeSet<&str> {
    deleted.iter().map(|(_, object)| object.as_str()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_leaves_with_its_hooks_around_it_and_a_hook_that_fails_stops_it() -> anyhow::Result<()> {
    require_control_plane!(controllers);
    let drain = hook("drain", "argocd.argoproj.io/hook: PreDelete");
    let farewell = hook("farewell", "helm.sh/hook: post-delete, helm.sh/hook-delete-policy: hook-succeeded");
    let backup = hook("backup", "helm.sh/hook: pre-delete");
    let report = hook("report", "argocd.argoproj.io/hook: PostDelete");
    let apps = [("shop", [drain, farewell].join("---\n")), ("bank", [&*backup, &*report].join("---\n")), ("mill", backup)];
    let files: Vec<(String, String)> = apps
        .iter()
        .flat_map(|(name, hooks)| {
            let at = |file: &str| format!("apps/{name}/{file}");
            [
                (at("app.yaml"), app(name, "serving")),
                (at("manifests/objects.yaml"), MANIFESTS.to_owned()),
                (at("manifests/hooks.yaml"), hooks.clone()),
            ]
        })
        .collect();
    let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
    let mut scene = Scene::set(&files).await?;
    let _pods = Fakelet::start(&scene.plane).await?;
    for (name, _) in &apps {
        scene.plane.kubectl(&["create", "namespace", name]).await?;
    }
    let log = scene.disk.path().join("agent.log");
    let mut agent = Process::start(env!("CARGO_BIN_EXE_fleet-process"), &scene.agent.flags(&scene.plane)?, &log)?;
    for (app, _) in &apps {
        scene.well(app).await?;
        let leaver = Leaver { scene: &scene, app };
        ensure!(leaver.objects().await?.len() == OBJECTS.len() && leaver.jobs().await?.is_empty(), "{:?}", leaver.objects().await?);
        let owned = || leaver.owned();
        eventually(&format!("what is owned of {app} is in the copy"), owned, |owned| owned.len() == OBJECTS.len()).await?;
    }
    its_hooks_run_around_the_deletions(&Leaver { scene: &scene, app: "shop" }).await?;
    a_failed_hook_that_is_deleted_runs_again(&Leaver { scene: &scene, app: "bank" }).await?;
    an_app_that_is_put_back_without_the_hook_can_be_removed_again(&Leaver { scene: &scene, app: "mill" }).await?;
    agent.check_runs()?;
    scene.hub.stop().await
}

/// Its file goes. The hub holds that, and one approval of it is one of the deletions.
async fn its_hooks_run_around_the_deletions(shop: &Leaver<'_>) -> anyhow::Result<()> {
    let scene = shop.scene;
    scene.tree.remove("apps/shop")?;
    scene.push("shop goes").await?;
    shop.approve("AppDisappeared").await?;
    shop.end_hook("drain", "succeeded", "drain-ends").await?;
    shop.end_hook("farewell", "succeeded", "farewell-ends").await?;
    shop.is_forgotten().await?;
    let apps = scene.capstan(&["get", "apps"]).await?;
    ensure!(!apps.contains("shop") && apps.contains("bank"), "{apps}");

    let log = scene.log().await?;
    let deleted = shop.deleted(&log);
    let objects: Vec<&str> = deleted.iter().map(|(_, object)| object.as_str()).collect();
    assert_eq!(objects.first(), Some(&OBJECTS[0]), "the highest wave goes first: {objects:?}");
    assert_eq!(objects.last(), Some(&"jobs/farewell"), "a hook goes when it ended and its policy says so: {objects:?}");
    assert_eq!(names(&deleted), OBJECTS.into_iter().chain(["jobs/farewell"]).collect());
    assert_eq!(objects.len(), OBJECTS.len() + 1, "each went once: {objects:?}");
    let (drain, farewell) = (shop.made(&log, "drain"), shop.made(&log, "farewell"));
    assert_eq!((drain.len(), farewell.len()), (1, 1));
    assert!(log.moment("shop-approved")? < drain[0], "no hook runs before the deletions are approved");
    let (drained, (objects, hooks)) = (log.moment("shop-drain-ends")?, deleted.split_at(OBJECTS.len()));
    assert!(objects.iter().all(|(at, _)| drained < *at), "nothing is deleted while the hook before it runs: {deleted:?}");
    assert!(objects.iter().all(|(at, _)| *at < farewell[0]), "the hook after it runs when all is gone: {deleted:?}");
    assert!(log.moment("shop-farewell-ends")? < hooks[0].0);
    assert!(shop.objects().await?.is_empty());
    assert_eq!(shop.jobs().await?, "drain", "what no policy takes stays");
    Ok(())
}

/// It is not meant for the cluster any more. The agent holds the deletions, the hook fails, and when its object is deleted it runs again.
async fn a_failed_hook_that_is_deleted_runs_again(bank: &Leaver<'_>) -> anyhow::Result<()> {
    let scene = bank.scene;
    let before = bank.objects().await?;
    scene.tree.write("apps/bank/app.yaml", &app("bank", "spare"))?;
    scene.push("bank moves").await?;
    bank.approve("ApprovalNeeded").await?;
    bank.end_hook("backup", "failed", "backup-fails").await?;
    let failed = |row: &StatusView| row.reason.as_ref().is_some_and(|reason| reason.code == "HookFailed");
    scene.row("bank", "says that its hook failed", failed).await?;
    let said = scene.capstan(&["status", "bank", "--cluster", CLUSTER]).await?;
    for part in ["bank/backup failed in PreDelete", "delete it to run it again", "put the app back without this hook"] {
        ensure!(said.contains(part), "{part} is not in {said}");
    }
    assert_eq!(bank.objects().await?, before, "nothing goes");
    bank.kubectl(&["delete", "job", "backup"]).await?;
    bank.end_hook("backup", "succeeded", "backup-ends").await?;
    bank.end_hook("report", "succeeded", "report-ends").await?;
    bank.is_forgotten().await?;

    let log = scene.log().await?;
    let (deleted, backup, report) = (bank.deleted(&log), bank.made(&log, "backup"), bank.made(&log, "report"));
    assert_eq!(names(&deleted), OBJECTS.into_iter().collect());
    assert_eq!((backup.len(), report.len()), (2, 1), "it ran once more, and no more");
    assert!(log.moment("bank-approved")? < backup[0] && log.moment("bank-backup-fails")? < backup[1]);
    let ends = log.moment("bank-backup-ends")?;
    assert!(deleted.iter().all(|(at, _)| *at > ends && *at < report[0]), "{deleted:?}");
    assert!(bank.objects().await?.is_empty());
    Ok(())
}

/// The hook cannot succeed. The app is put back without it, runs on as it was, and leaves without a hook.
async fn an_app_that_is_put_back_without_the_hook_can_be_removed_again(mill: &Leaver<'_>) -> anyhow::Result<()> {
    let scene = mill.scene;
    let before = mill.objects().await?;
    scene.tree.remove("apps/mill")?;
    scene.push("mill goes").await?;
    mill.approve("AppDisappeared").await?;
    mill.end_hook("backup", "failed", "backup-fails").await?;
    let failed = |row: &StatusView| row.reason.as_ref().is_some_and(|reason| reason.code == "HookFailed");
    scene.row("mill", "says that its hook failed", failed).await?;
    scene.tree.write("apps/mill/app.yaml", &app("mill", "serving"))?;
    scene.tree.write("apps/mill/manifests/objects.yaml", MANIFESTS)?;
    scene.push("mill is back").await?;
    scene.well("mill").await?;
    assert_eq!(mill.objects().await?, before, "they are the same objects");
    scene.moment("mill-back").await?;
    scene.tree.remove("apps/mill")?;
    scene.push("mill goes without its hook").await?;
    mill.approve("AppDisappeared").await?;
    let deleted = async || Ok(names(&mill.deleted(&scene.log().await?)).len());
    eventually("all of mill goes", deleted, |deleted| *deleted == OBJECTS.len()).await?;

    let log = scene.log().await?;
    let deleted = mill.deleted(&log);
    assert_eq!(mill.made(&log, "backup").len(), 1, "what failed did not run again");
    let back = log.moment("mill-back")?;
    assert!(deleted.iter().all(|(at, _)| *at > back), "{deleted:?}");
    assert_eq!(names(&deleted), OBJECTS.into_iter().collect());
    assert!(mill.objects().await?.is_empty());
    mill.is_forgotten().await
}
