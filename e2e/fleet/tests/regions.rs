//! One commit reaches three real clusters of three regions, and stays: over smart HTTP, real TLS, real API servers. What is held is left alone.

mod holds;
mod webhook;

use std::time::{Duration, Instant};

use e2e_cluster::{ControlPlane, Fakelet, GitServer, Options, WorkTree, require_control_plane};
use e2e_fleet::{TestAgent, TestHub, eventually, prepare};
use hub_api::{HealthWord, StatusView, SyncWord};
use hub_source::{Reference, SourceSpec};
use webhook::Webhook;

const REGIONS: [(&str, &str); 3] = [("eu-west", "eu-1"), ("us-east", "us-1"), ("ap-south", "ap-1")];

struct Cluster {
    region: &'static str,
    name: &'static str,
    plane: ControlPlane,
    _pods: Fakelet,
    agent: TestAgent,
}

impl Cluster {
    async fn get(&self, args: &[&str]) -> anyhow::Result<String> {
        let mut all = vec!["-n", "web", "get"];
        all.extend(args);
        self.plane.kubectl(&all).await
    }

    async fn value(&self) -> anyhow::Result<String> {
        self.get(&["configmap", "settings", "-o", "jsonpath={.data.value}"]).await
    }

    /// What the agent wrote so far, without its own Secrets and Lease.
    async fn writes(&self) -> anyhow::Result<Vec<String>> {
        let events = self.plane.audit_events().await?;
        let mine = events.iter().filter(|event| event.user == self.agent.user() && event.is_write());
        let foreign = mine.filter(|event| event.namespace.as_deref() != Some("capstan-system"));
        Ok(foreign.map(|event| format!("{} {}", event.verb, event.uri)).collect())
    }
}

/// The fleet repository: one app with an overlay per region, one app of many small objects.
fn write_fleet(tree: &WorkTree) -> anyhow::Result<()> {
    tree.write("fleet.yaml", "apiVersion: capstan.dev/v1\nkind: Fleet\nmetadata: {name: test}\nspec: {}\n")?;
    for (region, cluster) in REGIONS {
        tree.write(
            &format!("regions/{region}/region.yaml"),
            &format!("apiVersion: capstan.dev/v1\nkind: Region\nmetadata: {{name: {region}}}\nspec: {{}}\n"),
        )?;
        tree.write(
            &format!("regions/{region}/{cluster}.yaml"),
            &format!(
                "apiVersion: capstan.dev/v1\nkind: Cluster\nmetadata: {{name: {cluster}, labels: {{workload: serving}}}}\nspec: {{}}\n"
            ),
        )?;
        tree.write(
            &format!("apps/web/overlays/{region}/kustomization.yaml"),
            "resources: [../../base]\npatches:\n- path: settings.yaml\n",
        )?;
        tree.write(
            &format!("apps/web/overlays/{region}/settings.yaml"),
            &format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: settings}}\ndata: {{value: {region}-0}}\n"),
        )?;
    }
    let app = |name: &str, path: &str| {
        format!(
            "apiVersion: capstan.dev/v1\nkind: App\nmetadata: {{name: {name}}}\nspec:\n  namespace: web\n  createNamespace: true\n  prune: true\n  clusters: {{matchLabels: {{workload: serving}}}}\n  source: {{path: \"{path}\"}}\n"
        )
    };
    tree.write("apps/web/app.yaml", &app("web", "overlays/${region}"))?;
    tree.write("apps/web/base/kustomization.yaml", "namespace: web\nresources: [api.yaml, settings.yaml]\n")?;
    tree.write(
        "apps/web/base/api.yaml",
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: api}\nspec:\n  replicas: 2\n  selector: {matchLabels: {app: api}}\n  template:\n    metadata: {labels: {app: api}}\n    spec: {containers: [{name: api, image: \"example.test/api:1\"}]}\n---\napiVersion: v1\nkind: Service\nmetadata: {name: api}\nspec: {selector: {app: api}, ports: [{port: 80}]}\n",
    )?;
    tree.write("apps/web/base/settings.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings}\ndata: {value: base}\n")?;
    tree.write("apps/parts/app.yaml", &app("parts", "manifests"))?;
    for n in 0..10 {
        tree.write(&part(n), &format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: part-{n}}}\ndata: {{number: \"{n}\"}}\n"))?;
    }
    Ok(())
}

fn part(n: usize) -> String {
    format!("apps/parts/manifests/part-{n}.yaml")
}

fn in_sync(rows: &[StatusView]) -> bool {
    rows.len() == 6 && rows.iter().all(|row| row.sync == SyncWord::Synced && row.judged.health() == HealthWord::Healthy)
}

async fn start_cluster(hub: &TestHub, region: &'static str, name: &'static str, disk: &std::path::Path) -> anyhow::Result<Cluster> {
    let plane = ControlPlane::start(Options { controllers: true, ..Options::default() }).await?;
    let pods = Fakelet::start(&plane).await?;
    let mut agent = TestAgent::new(&hub.add_cluster(name, region).await?, disk.join(name))?;
    agent.start(&plane).await?;
    Ok(Cluster { region, name, plane, _pods: pods, agent })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_reaches_three_clusters_and_what_it_says_stays_so() -> anyhow::Result<()> {
    require_control_plane!(controllers);
    prepare();
    let disk = tempfile::tempdir()?;
    let git = GitServer::start()?;
    git.create_repository("fleet.git")?;
    let tree = WorkTree::clone(&git.url("fleet.git"))?;
    write_fleet(&tree)?;
    tree.commit_and_push("the fleet")?;
    let source = SourceSpec::new("fleet".parse()?, git.url("fleet.git").parse()?, Reference::branch("main")?);
    let mut hub = TestHub::start(disk.path().join("hub"), source).await?;
    let (eu, us, ap) = tokio::try_join!(
        start_cluster(&hub, REGIONS[0].0, REGIONS[0].1, disk.path()),
        start_cluster(&hub, REGIONS[1].0, REGIONS[1].1, disk.path()),
        start_cluster(&hub, REGIONS[2].0, REGIONS[2].1, disk.path()),
    )?;
    let mut clusters = [eu, us, ap];
    eventually("everything is in sync", || hub.status(), |rows| in_sync(rows)).await?;
    for cluster in &clusters {
        assert_eq!(cluster.value().await?, format!("{}-0", cluster.region), "{} runs the overlay of its own region", cluster.name);
    }

    refresh_reaches_every_cluster(&hub, &tree, &clusters).await?;
    an_edited_field_is_healed(&hub, &clusters[0]).await?;
    a_webhook_that_changes_an_owned_value_is_noticed(&hub, &clusters[1]).await?;
    a_removed_object_is_pruned_and_a_foreign_one_stays(&hub, &tree, &clusters).await?;
    removing_half_of_an_app_waits_for_its_approval(&hub, &tree, &clusters).await?;

    // The hub is gone: healing goes on, also after the agents' own restart, also with an empty disk.
    hub.stop().await?;
    heals(&clusters[0]).await?;
    clusters[1].agent.stop().await?;
    restart(&mut clusters[1], None).await?;
    heals(&clusters[1]).await?;
    clusters[2].agent.stop().await?;
    restart(&mut clusters[2], Some(&disk.path().join("empty"))).await?;
    heals(&clusters[2]).await?;

    // The hub is back: nothing is written again.
    let mut before = Vec::new();
    for cluster in &clusters {
        before.push(cluster.writes().await?);
    }
    hub.resume().await?;
    eventually("the fleet is in sync with the returned hub", || hub.status(), |rows| in_sync(rows)).await?;
    for (cluster, before) in clusters.iter().zip(before) {
        let after = cluster.writes().await?;
        assert_eq!(after[before.len()..], [] as [String; 0], "{} wrote again when the hub came back", cluster.name);
    }
    for cluster in &mut clusters {
        cluster.agent.stop().await?;
    }
    hub.stop().await
}

async fn restart(cluster: &mut Cluster, disk: Option<&std::path::Path>) -> anyhow::Result<()> {
    if let Some(disk) = disk {
        cluster.agent.move_to(disk);
    }
    cluster.agent.start(&cluster.plane).await
}

/// Refresh asked → applied, a few commits over, with the table that people want to see.
async fn refresh_reaches_every_cluster(hub: &TestHub, tree: &WorkTree, clusters: &[Cluster; 3]) -> anyhow::Result<()> {
    println!("refresh asked -> applied (ms)\n{:>8} {}", "commit", REGIONS.map(|(region, _)| format!("{region:>10}")).join(" "));
    for round in 1..=8 {
        for (region, _) in REGIONS {
            let text = format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: settings}}\ndata: {{value: {region}-{round}}}\n");
            tree.write(&format!("apps/web/overlays/{region}/settings.yaml"), &text)?;
        }
        tree.commit_and_push(&format!("round {round}"))?;
        let start = Instant::now();
        hub.refresh().await?;
        let applied = clusters.iter().map(|cluster| async move {
            let wanted = format!("{}-{round}", cluster.region);
            eventually("the commit is applied", || cluster.value(), |value| *value == wanted).await?;
            anyhow::Ok(start.elapsed())
        });
        let mut times: Vec<Duration> = Vec::new();
        for applied in applied {
            times.push(applied.await?);
        }
        println!("{round:>8} {}", times.iter().map(|time| format!("{:>10}", time.as_millis())).collect::<Vec<_>>().join(" "));
    }
    Ok(())
}

async fn an_edited_field_is_healed(hub: &TestHub, cluster: &Cluster) -> anyhow::Result<()> {
    let patch = r#"{"spec":{"template":{"spec":{"containers":[{"name":"api","image":"example.test/hacked:1"}]}}}}"#;
    cluster.plane.kubectl(&["-n", "web", "patch", "deployment", "api", "-p", patch, "--field-manager=kubectl-edit"]).await?;
    let image = ["deployment", "api", "-o", "jsonpath={.spec.template.spec.containers[0].image}"];
    eventually("the image is healed", || cluster.get(&image), |image| image == "example.test/api:1").await?;
    let reported = |row: &StatusView| row.drift.iter().any(|drift| drift.healed.is_some() && drift.object.name == "api");
    let (row, _) = eventually("the drift is reported", || hub.row("web", cluster.name), reported).await?;
    let drift = row.drift.iter().find(|drift| drift.object.name == "api").expect("reported");
    let field = &drift.fields[0];
    assert_eq!(field.path, "spec.template.spec.containers[name=api].image");
    assert_eq!((field.wanted.as_deref(), field.found.as_deref()), (Some("\"example.test/api:1\""), Some("\"example.test/hacked:1\"")));
    assert_eq!(field.manager.as_deref(), Some("kubectl-edit"));
    assert!(field.since.is_some() && !drift.seen.is_empty());
    println!(
        "drift: {} {} was {} by {} since {}",
        drift.object,
        field.path,
        field.found.as_deref().unwrap_or("gone"),
        field.manager.as_deref().unwrap_or("?"),
        field.since.as_deref().unwrap_or("?")
    );
    Ok(())
}

async fn a_webhook_that_changes_an_owned_value_is_noticed(hub: &TestHub, cluster: &Cluster) -> anyhow::Result<()> {
    let webhook = Webhook::start(&cluster.plane, "part-3").await?;
    cluster.plane.kubectl(&["-n", "web", "delete", "configmap", "part-3"]).await?;
    let noticed = |row: &StatusView| {
        let fields = row.drift.iter().filter(|drift| drift.object.name == "part-3").flat_map(|drift| &drift.fields);
        fields.into_iter().any(|field| field.path == "data.number" && field.found.as_deref() == Some("\"mutated\""))
    };
    eventually("the webhook's change is noticed", || hub.row("parts", cluster.name), noticed).await?;
    webhook.remove(&cluster.plane).await?;
    let value = ["configmap", "part-3", "-o", "jsonpath={.data.number}"];
    eventually("without the webhook the value is right again", || cluster.get(&value), |value| value == "3").await?;
    eventually("everything is in sync again", || hub.status(), |rows| in_sync(rows)).await?;
    Ok(())
}

async fn a_removed_object_is_pruned_and_a_foreign_one_stays(hub: &TestHub, tree: &WorkTree, clusters: &[Cluster; 3]) -> anyhow::Result<()> {
    clusters[0].plane.kubectl(&["-n", "web", "create", "configmap", "foreign"]).await?;
    tree.remove(&part(9))?;
    tree.commit_and_push("one part less")?;
    hub.refresh().await?;
    for cluster in clusters {
        let name = ["configmap", "part-9", "--ignore-not-found", "-o", "name"];
        eventually("the removed object is pruned", || cluster.get(&name), |name| name.is_empty()).await?;
    }
    assert_eq!(clusters[0].get(&["configmap", "foreign", "-o", "name"]).await?.trim(), "configmap/foreign");
    Ok(())
}

async fn removing_half_of_an_app_waits_for_its_approval(hub: &TestHub, tree: &WorkTree, clusters: &[Cluster; 3]) -> anyhow::Result<()> {
    for n in 4..9 {
        tree.remove(&part(n))?;
    }
    tree.commit_and_push("half of the parts")?;
    hub.refresh().await?;
    for cluster in clusters {
        let waits = |row: &StatusView| row.awaiting_approval.as_ref().is_some_and(|pending| pending.deletes.len() == 5);
        let (row, _) = eventually("the deletions wait", || hub.row("parts", cluster.name), waits).await?;
        assert_eq!(row.reason.as_ref().map(|reason| reason.code.as_str()), Some("ApprovalNeeded"));
        for n in 4..9 {
            cluster.get(&["configmap", &format!("part-{n}"), "-o", "name"]).await?;
        }
        hub.approve(&row).await?;
        let left = ["configmaps", "-o", "jsonpath={range .items[*]}{.metadata.name} {end}"];
        let gone = |left: &String| !(4..9).any(|n| left.contains(&format!("part-{n}")));
        let (left, _) = eventually("what was approved goes", || cluster.get(&left), gone).await?;
        assert!((0..4).all(|n| left.contains(&format!("part-{n}"))), "{left}");
    }
    assert_eq!(clusters[0].get(&["configmap", "foreign", "-o", "name"]).await?.trim(), "configmap/foreign");
    eventually("everything is in sync again", || hub.status(), |rows| in_sync(rows)).await?;
    Ok(())
}

async fn heals(cluster: &Cluster) -> anyhow::Result<()> {
    let wanted = cluster.value().await?;
    let patch = r#"{"data":{"value":"drifted"}}"#;
    cluster.plane.kubectl(&["-n", "web", "patch", "configmap", "settings", "--type=merge", "-p", patch]).await?;
    let (_, time) = eventually("drift is healed without the hub", || cluster.value(), |value| *value == wanted).await?;
    println!("healed without the hub in {}: {} ms", cluster.name, time.as_millis());
    Ok(())
}
