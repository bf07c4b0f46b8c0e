//! Remote bases, the whole way: two Git servers, a hub that fetches both, and a cluster on which what one repository has arrives through the
//! kustomization of the other.

#[expect(dead_code, reason = "other tests use the rest")]
mod stage;

use e2e_cluster::{GitServer, WorkTree};
use e2e_fleet::eventually;
use hub_api::StatusView;
use hub_source::{Credentials, Reference, SourceSpec};
use stage::{Stage, app, fleet_of};

const CONFIG_MAP: &str = "deploy/map.yaml";

fn config_map(value: &str) -> String {
    format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: web}}\ndata: {{value: {value}}}\n")
}

struct Remotes {
    _fleet_server: GitServer,
    base_server: GitServer,
    fleet: WorkTree,
    base: WorkTree,
}

/// A fleet whose app `web` is the directory `deploy` of another server's repository, which wants a password.
async fn begin(reference: &str, more: &[(&str, &str)]) -> anyhow::Result<(Remotes, Stage)> {
    let (fleet_server, base_server) = (GitServer::start()?, GitServer::start_with_password("hub", "canary-password")?);
    fleet_server.create_repository("fleet.git")?;
    base_server.create_repository("base.git")?;
    let base = WorkTree::clone(&base_server.url_with_password("base.git"))?;
    base.write("deploy/kustomization.yaml", "resources: [map.yaml]\n")?;
    base.write(CONFIG_MAP, &config_map("one"))?;
    base.commit_and_push("the base")?;

    let fleet = WorkTree::clone(&fleet_server.url("fleet.git"))?;
    for (path, text) in fleet_of(&[("eu-west", "eu-1")]) {
        fleet.write(&path, &text)?;
    }
    fleet.write("apps/web/app.yaml", &app("web", "  source: {path: manifests}\n"))?;
    let url = base_server.url("base.git");
    fleet.write("apps/web/manifests/kustomization.yaml", &format!("resources:\n- {url}//deploy?ref={reference}\n"))?;
    for (path, text) in more {
        fleet.write(path, &text.replace("BASE", &url))?;
    }
    fleet.commit_and_push("the fleet")?;

    let source = SourceSpec::new("fleet".parse()?, fleet_server.url("fleet.git").parse()?, Reference::branch("main")?);
    let mut platform = SourceSpec::new("platform".parse()?, url.parse()?, Reference::branch("main")?);
    platform.credentials = Some(Credentials::basic("hub", "canary-password"));
    let mut stage = Stage::configured(tempfile::tempdir()?, source, |config| {
        config.remote_bases.insert(platform.name.clone());
        config.sources.push(platform);
    })
    .await?;
    stage.enter("eu-west", "eu-1").await?;
    Ok((Remotes { _fleet_server: fleet_server, base_server, fleet, base }, stage))
}

fn message_of(row: &StatusView) -> &str {
    row.reason.as_ref().map_or("", |reason| &reason.message)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_in_the_base_is_a_change_of_the_app() -> anyhow::Result<()> {
    let (remotes, mut stage) = begin("main", &[]).await?;
    stage.well("web", "eu-1").await?;
    assert_eq!(stage.sites["eu-1"].value("web").as_deref(), Some("one"));
    remotes.base.write(CONFIG_MAP, &config_map("two"))?;
    remotes.base.commit_and_push("a change")?;
    stage.hub.refresh().await?;
    stage.sites["eu-1"].has("web", Some("two")).await?;
    stage.well("web", "eu-1").await?;
    // A revert of the base is one of the app.
    remotes.base.git(&["revert", "--no-edit", "HEAD"])?;
    remotes.base.push()?;
    stage.hub.refresh().await?;
    stage.sites["eu-1"].has("web", Some("one")).await?;
    stage.hub.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_allowed_is_refused_with_file_line_and_remedies_and_fetched_by_nobody() -> anyhow::Result<()> {
    let project = "apiVersion: capstan.dev/v1\nkind: Project\nmetadata: {name: ml}\nspec:\n  sources: [fleet]\n  namespaces: ['*']\n  regions: ['*']\n";
    let (tenant, stranger) = (app("tenant", "  project: ml\n  source: {path: .}\n"), app("stranger", "  source: {path: .}\n"));
    let more = [
        ("projects/ml.yaml", project),
        ("apps/tenant/app.yaml", tenant.as_str()),
        ("apps/tenant/kustomization.yaml", "resources:\n- BASE//deploy?ref=main\n"),
        ("apps/stranger/app.yaml", stranger.as_str()),
        ("apps/stranger/kustomization.yaml", "resources:\n\n- https://git.invalid/a/b//c?ref=v1\n"),
    ];
    let (remotes, mut stage) = begin("v9", &more).await?;
    for (app, words) in [
        ("web", vec!["apps/web/manifests/kustomization.yaml:2", "it asks for the ref \"v9\"", "\"main\" (source platform)"]),
        ("tenant", vec!["apps/tenant/kustomization.yaml:2", "project ml does not permit the source \"platform\""]),
        (
            "stranger",
            vec![
                "apps/stranger/kustomization.yaml:3",
                "git clone https://git.invalid/a/b /tmp/b && git -C /tmp/b checkout v1",
                "remoteBase: true",
            ],
        ),
    ] {
        let refused = |row: &StatusView| words.iter().all(|word| message_of(row).contains(word));
        stage.row(app, "eu-1", &format!("{app} says {words:?}"), refused).await?;
    }
    assert_eq!(stage.sites["eu-1"].value("web"), None);
    assert!(remotes.base_server.requests().iter().all(|request| request.path.starts_with("/base.git")), "nobody asks for anything else");
    // Corrected, it runs.
    let url = remotes.base_server.url("base.git");
    remotes.fleet.write("apps/web/manifests/kustomization.yaml", &format!("resources:\n- {url}//deploy?ref=main\n"))?;
    remotes.fleet.commit_and_push("the ref that is followed")?;
    stage.hub.refresh().await?;
    stage.sites["eu-1"].has("web", Some("one")).await?;
    let problems =
        eventually("web has no problem", || stage.hub.problems(), |all| all.iter().all(|one| one.app.as_deref() != Some("web"))).await?;
    assert!(problems.0.iter().all(|problem| !problem.message.contains("canary")));
    stage.hub.stop().await
}
