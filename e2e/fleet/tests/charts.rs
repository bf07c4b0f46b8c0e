//! Charts, the whole way: an HTTP repository with a password, a real registry, a Git server, a hub, and a real API server on which what the charts
//! give arrives, is upgraded within its range, changed by a commit, and rolled back by its revert.

use std::time::Duration;

use e2e_cluster::{
    ChartRepository, ControlPlane, GitServer, OciRegistry, Options, WorkTree, pack_chart, require_control_plane, require_registry,
};
use e2e_fleet::{TestAgent, TestHub, eventually, prepare};
use hub_api::{HealthWord, ProblemView, StatusView, SyncWord, TestWord};
use hub_cli::Exit;
use hub_source::{CertificateAuthorities, ChartRepositorySpec, Credentials, NamedBy, Reference, SourceSpec};
use shared_model::{Clock, Timestamp};

const TEMPLATE: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: {{ .Release.Name }}}\ndata:\n  value: {{ .Chart.Version }} {{ .Values.greeting }}\n  \
                        password: {{ randAlphaNum 16 }}\n";

/// A test that is over when it is there, and goes.
const TEST: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {{ .Release.Name }}-test\n  annotations: {helm.sh/hook: test, \
                    helm.sh/hook-delete-policy: hook-succeeded}\ndata:\n  value: {{ .Chart.Version }}\n";

/// The archive of a version of the chart `web`.
fn archive(version: &str) -> anyhow::Result<Vec<u8>> {
    let chart = format!("apiVersion: v2\nname: web\nversion: {version}\n");
    pack_chart(
        "web",
        &[
            ("Chart.yaml", &chart),
            ("values.yaml", "greeting: nobody\n"),
            ("templates/cm.yaml", TEMPLATE),
            ("templates/tests/test.yaml", TEST),
        ],
    )
}

fn app(name: &str, repo: &str, version: &str) -> String {
    format!(
        "apiVersion: capstan.dev/v1\nkind: App\nmetadata: {{name: {name}}}\nspec:\n  namespace: {name}\n  createNamespace: true\n  prune: true\n  \
         regions: [eu-west]\n  source:\n    helm:\n      repo: {repo}\n      chart: web\n      version: '{version}'\n      valuesFiles: [values.yaml]\n      \
         values: {{greeting: 'hello ${{cluster}}'}}\n"
    )
}

struct Stage {
    hub: TestHub,
    plane: ControlPlane,
    fleet: WorkTree,
    agent: TestAgent,
    _git: GitServer,
}

impl Stage {
    async fn data(&self, app: &str, key: &str) -> anyhow::Result<String> {
        let path = format!("jsonpath={{.data.{key}}}");
        // A namespace that is not there yet is no failure.
        Ok(self.plane.kubectl(&["-n", app, "get", "configmap", app, "-o", &path]).await.unwrap_or_default())
    }

    async fn runs(&self, app: &str, version: &str) -> anyhow::Result<()> {
        let value = format!("{version} hello eu-1");
        eventually(&format!("{app} runs {version}"), || self.data(app, "value"), |found| *found == value).await?;
        let well = |row: &StatusView| row.sync == SyncWord::Synced && row.judged.health() == HealthWord::Healthy && row.reason.is_none();
        eventually(&format!("{app} is well"), || self.hub.row(app, "eu-1"), well).await.map(drop)
    }

    async fn commit(&self, files: &[(&str, &str)]) -> anyhow::Result<()> {
        for (path, text) in files {
            self.fleet.write(path, text)?;
        }
        self.fleet.commit_and_push("a change")?;
        self.hub.refresh().await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn charts_are_deployed_upgraded_by_their_range_and_rolled_back_by_a_revert() -> anyhow::Result<()> {
    require_control_plane!();
    require_registry!();
    prepare();
    let disk = tempfile::tempdir()?;
    let (repository, registry) = (ChartRepository::start_with_password("hub", "canary-password")?, OciRegistry::start()?);
    let publish = |version: &str| -> anyhow::Result<()> {
        repository.publish("web", version, &archive(version)?);
        registry.publish("team/charts/web", "web", version, &archive(version)?).map(drop)
    };
    publish("1.0.0")?;
    let git = GitServer::start()?;
    git.create_repository("fleet.git")?;
    let fleet = WorkTree::clone(&git.url("fleet.git"))?;
    let in_registry = format!("oci://{}/team/charts", registry.authority());
    let (http, oci) = (app("http", &repository.url(), "^1"), app("oci", &in_registry, "1.x"));
    for (path, text) in [
        ("fleet.yaml", "apiVersion: capstan.dev/v1\nkind: Fleet\nmetadata: {name: test}\n"),
        ("regions/eu-west/region.yaml", "apiVersion: capstan.dev/v1\nkind: Region\nmetadata: {name: eu-west}\n"),
        ("regions/eu-west/eu-1.yaml", "apiVersion: capstan.dev/v1\nkind: Cluster\nmetadata: {name: eu-1}\n"),
        ("apps/http/app.yaml", http.as_str()),
        ("apps/http/values.yaml", "greeting: overridden\n"),
        ("apps/oci/app.yaml", oci.as_str()),
        ("apps/oci/values.yaml", "greeting: overridden\n"),
        ("apps/stranger/app.yaml", &app("stranger", "https://charts.invalid", "^1").replace("      valuesFiles: [values.yaml]\n", "")),
    ] {
        fleet.write(path, text)?;
    }
    fleet.commit_and_push("the fleet")?;

    let source = SourceSpec::new("fleet".parse()?, git.url("fleet.git").parse()?, Reference::branch("main")?);
    let mut places = vec![
        ChartRepositorySpec::new("stable".parse()?, repository.url().parse()?, NamedBy::Operator),
        // What is below a path of a registry is allowed with it.
        ChartRepositorySpec::new("team".parse()?, format!("oci://{}/team", registry.authority()).parse()?, NamedBy::Operator),
    ];
    places[0].credentials = Some(Credentials::basic("hub", "canary-password"));
    places[0].ca = Some(CertificateAuthorities::from_pem(repository.ca_pem().as_bytes())?);
    places[1].plain_http = true;
    let hub =
        TestHub::start_configured(disk.path().join("hub"), source, Clock::new(Timestamp::now), |config| config.chart_repositories = places)
            .await?;
    let plane = ControlPlane::start(Options::default()).await?;
    let mut agent = TestAgent::new(&hub.add_cluster("eu-1", "eu-west").await?, disk.path().join("eu-1"))?;
    agent.start(&plane).await?;
    let mut stage = Stage { hub, plane, fleet, agent, _git: git };

    stage.runs("http", "1.0.0").await?;
    stage.runs("oci", "1.0.0").await?;
    let password = stage.data("http", "password").await?;
    assert_eq!(password.len(), 16);
    assert_ne!(password, stage.data("oci", "password").await?);

    // Its tests run when somebody asks for them, and only then.
    assert_eq!(stage.hub.row("http", "eu-1").await?.test, None);
    let (exit, told) = stage.hub.capstan(&["test", "http", "--timeout", "60s"]).await?;
    assert!(exit == Exit::Ok && told.contains("ConfigMap http/http-test") && told.contains("Succeeded"), "{exit:?} {told}");
    let gone = || stage.plane.kubectl(&["-n", "http", "get", "configmap", "http-test", "--ignore-not-found", "-o", "name"]);
    eventually("the test's object goes, as its policy says", gone, |found| found.is_empty()).await?;
    let tested = |row: &StatusView| row.test.as_ref().is_some_and(|test| test.outcome == TestWord::Succeeded && test.by.is_none());
    eventually("the hub knows the end", || stage.hub.row("http", "eu-1"), tested).await?;
    assert_eq!(stage.hub.row("oci", "eu-1").await?.test, None);
    let refused = stage.hub.capstan(&["test", "stranger"]).await.expect_err("what does not run is not tested").to_string();
    assert!(refused.contains("Refused") && refused.contains("NotPublished"), "{refused}");

    // A repository that the operator does not know is refused, and the others are not touched by it.
    let refused = |row: &StatusView| row.reason.as_ref().is_some_and(|reason| reason.message.contains("chartRepositories"));
    eventually("the stranger is refused", || stage.hub.row("stranger", "eu-1"), refused).await?;

    // Newer versions in the range are taken, others are not.
    publish("1.1.0")?;
    publish("2.0.0")?;
    publish("1.2.0-rc.1")?;
    stage.hub.refresh().await?;
    stage.runs("http", "1.1.0").await?;
    stage.runs("oci", "1.1.0").await?;
    assert_eq!(stage.data("http", "password").await?, password, "an upgrade rolls no dice");
    let sources = stage.hub.client()?.sources().await?;
    let names: Vec<(&str, Option<&str>)> =
        sources.iter().map(|source| (source.name.as_str(), source.revision.as_ref().map(|revision| revision.reference.as_str()))).collect();
    assert_eq!(names, [("fleet", Some("main")), ("stable/web ^1", Some("1.1.0")), ("team/web 1.x", Some("1.1.0"))]);

    // A commit asks for more, and its revert takes it back.
    stage.commit(&[("apps/http/app.yaml", &http.replace("'^1'", "'^2'")), ("apps/oci/app.yaml", &oci.replace("'1.x'", "2.0.0"))]).await?;
    stage.runs("http", "2.0.0").await?;
    stage.runs("oci", "2.0.0").await?;
    stage.fleet.git(&["revert", "--no-edit", "HEAD"])?;
    stage.fleet.push()?;
    stage.hub.refresh().await?;
    stage.runs("http", "1.1.0").await?;
    stage.runs("oci", "1.1.0").await?;

    // While the repositories are away and the hub starts again, what runs stays, and is said to be old.
    drop((repository, registry));
    stage.hub.stop().await?;
    stage.hub.resume().await?;
    stage.runs("http", "1.1.0").await?;
    stage.runs("oci", "1.1.0").await?;
    let away = |problems: &Vec<ProblemView>| problems.iter().filter(|problem| problem.code == "FetchFailed").count() == 2;
    let (problems, _) = eventually("both repositories are away", || stage.hub.problems(), away).await?;
    let text = format!("{problems:?}");
    assert!(text.contains("chart web ^1: ") && text.contains("stays in force") && !text.contains("canary"), "{text}");
    tokio::time::timeout(Duration::from_secs(20), stage.agent.stop()).await??;
    stage.hub.stop().await
}
