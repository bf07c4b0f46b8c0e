//! Each kind of bad input: a clear message with its remedy at the place where the operator looks, and no effect on anything else.
//!
//! Shown elsewhere, with the parts alone: a certificate of another authority, or in another's name, in `e2e/session/tests/hostile.rs`; an index
//! with an older sequence or a broken signature in `agent/plan/src/accept.rs`; a full disk in `hub/store/tests/faults.rs`.

mod stage;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use e2e_cluster::{GitServer, WorkTree};
use e2e_fleet::{FleetRepository, eventually, eventually_within};
use hub_api::{AcceptRequest, ClusterState, HealthWord, ProblemView, SeverityWord, StatusView, SyncWord};
use hub_source::{Reference, SourceSpec};
use hub_store::{PAGE_LIMIT, Prefix, SledConfig, SledStore, Store as _};
use shared_daemon::Shutdown;
use shared_session::Secret;
use stage::{Site, Stage, app, fleet_of};

const ONE: [(&str, &str); 1] = [("eu-west", "eu-1")];
const WEB: &str = "apps/web/app.yaml";
const WEB_MAP: &str = "apps/web/manifests/web.yaml";
const GOOD_MAP: &str = "apps/good/manifests/good.yaml";
const PATH: &str = "  source: {path: manifests}\n";

fn config_map(name: &str, value: &str) -> String {
    format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\ndata: {{value: {value}}}\n")
}

/// A fleet whose apps `good` and `web` run one config map each, which has the value `one`.
async fn begin(clusters: &[(&str, &'static str)], more: &[(&str, &str)]) -> anyhow::Result<(Stage, FleetRepository)> {
    let (good, web, good_map, web_map) = (app("good", PATH), app("web", PATH), config_map("good", "one"), config_map("web", "one"));
    let mut files: Vec<(&str, &str)> = vec![("apps/good/app.yaml", &good), (WEB, &web), (GOOD_MAP, &good_map), (WEB_MAP, &web_map)];
    files.retain(|(path, _)| !more.iter().any(|(other, _)| path == other));
    files.extend(more);
    let (stage, repository) = Stage::set(clusters, &files).await?;
    for (_, cluster) in clusters {
        stage.well("good", cluster).await?;
        stage.well("web", cluster).await?;
    }
    Ok((stage, repository))
}

/// Commits something bad, and in the same commit a change of app `good`, which arrives all the same.
async fn spoil(stage: &Stage, repository: &FleetRepository, changes: &[(&str, Option<&str>)]) -> anyhow::Result<()> {
    let good = config_map("good", "two");
    let all: Vec<(&str, Option<&str>)> = changes.iter().copied().chain([(GOOD_MAP, Some(good.as_str()))]).collect();
    stage.commit(repository, &all).await?;
    stage.sites["eu-1"].has("good", Some("two")).await?;
    stage.well("good", "eu-1").await.map(drop)
}

/// Waits until app `web` runs on `eu-1` with this value and everything is well again.
async fn recovers(mut stage: Stage, value: &str) -> anyhow::Result<()> {
    stage.sites["eu-1"].has("web", Some(value)).await?;
    stage.well("web", "eu-1").await?;
    let no_errors = |problems: &Vec<ProblemView>| problems.iter().all(|problem| problem.severity != SeverityWord::Error);
    eventually("no problem is left", || stage.hub.problems(), no_errors).await?;
    stage.hub.stop().await
}

/// Waits for a problem with this code; `capstan get problems` shows it with these words.
async fn problem(stage: &Stage, code: &str, words: &[&str]) -> anyhow::Result<ProblemView> {
    let (all, _) = eventually(&format!("problem {code}"), || stage.hub.problems(), |all| all.iter().any(|one| one.code == code)).await?;
    let found = all.into_iter().find(|problem| problem.code == code).expect("it was there");
    let table = stage.hub.capstan(&["get", "problems"]).await?.1;
    for word in [code].iter().chain(words) {
        assert!(table.contains(word), "{word:?} is missing in:\n{table}");
    }
    Ok(found)
}

/// Waits until the row of app `web` on `eu-1` gives this reason; `capstan status` shows it with these words. Nothing happened to the app.
async fn web_says(stage: &Stage, code: &str, words: &[&str]) -> anyhow::Result<StatusView> {
    let found = stage.row("web", "eu-1", &format!("web says {code}"), |row| code_of(row) == code).await?;
    let table = stage.hub.capstan(&["status", "web"]).await?.1;
    for word in words {
        assert!(table.contains(word), "{word:?} is missing in:\n{table}");
    }
    assert_eq!(stage.sites["eu-1"].value("web").as_deref(), Some("one"), "what runs keeps running");
    Ok(found)
}

fn code_of(row: &StatusView) -> &str {
    row.reason.as_ref().map_or("", |reason| &reason.code)
}

fn message_of(row: &StatusView) -> &str {
    row.reason.as_ref().map_or("", |reason| &reason.message)
}

fn blocks(problem: &ProblemView, what: &str) -> bool {
    problem.blocks.iter().any(|blocked| blocked.contains(what))
}

// Sources.

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_is_no_repository_is_named_with_its_remedy() -> anyhow::Result<()> {
    let disk = tempfile::tempdir()?;
    let path = disk.path().join("fleet.git");
    std::fs::create_dir(&path)?;
    let source = SourceSpec::new("fleet".parse()?, path.display().to_string().parse()?, Reference::branch("main")?);
    let mut stage = Stage::of_source(disk, source).await?;
    let found = problem(&stage, "FetchFailed", &["is no Git repository"]).await?;
    assert!(found.message.contains("check the URL") && found.message.contains("nothing was ever fetched"), "{}", found.message);
    // Mended, it is taken without a restart.
    let files = fleet_of(&ONE);
    let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
    FleetRepository::init(&path, &files)?;
    stage.hub.refresh().await?;
    eventually("the problem is gone", || stage.hub.problems(), Vec::is_empty).await?;
    let clusters = || async { Ok(stage.hub.client()?.clusters().await?) };
    eventually("the fleet is read", clusters, |clusters| clusters.iter().any(|cluster| cluster.name == "eu-1")).await?;
    stage.hub.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reference_that_is_not_there_is_named_with_those_that_are_near() -> anyhow::Result<()> {
    let disk = tempfile::tempdir()?;
    let repository = FleetRepository::init(
        &disk.path().join("fleet.git"),
        &[("fleet.yaml", "apiVersion: capstan.dev/v1\nkind: Fleet\nmetadata: {name: test}\n")],
    )?;
    let source = SourceSpec { reference: Reference::branch("mian")?, ..repository.source()? };
    let mut stage = Stage::of_source(disk, source).await?;
    let found = problem(&stage, "FetchFailed", &["has no branch mian"]).await?;
    assert!(found.message.contains("did you mean") && found.message.contains("main"), "{}", found.message);
    assert!(found.message.contains("correct the source's reference"), "{}", found.message);
    stage.hub.stop().await
}

/// The fleet on a Git server, with one cluster.
async fn over_the_wire() -> anyhow::Result<(GitServer, WorkTree, Stage)> {
    let git = GitServer::start()?;
    git.create_repository("fleet.git")?;
    let tree = WorkTree::clone(&git.url("fleet.git"))?;
    for (path, text) in fleet_of(&ONE) {
        tree.write(&path, &text)?;
    }
    tree.write(WEB, &app("web", PATH))?;
    tree.write(WEB_MAP, &config_map("web", "one"))?;
    tree.commit_and_push("the fleet")?;
    let source = SourceSpec::new("fleet".parse()?, git.url("fleet.git").parse()?, Reference::branch("main")?);
    let mut stage = Stage::of_source(tempfile::tempdir()?, source).await?;
    stage.enter("eu-west", "eu-1").await?;
    stage.well("web", "eu-1").await?;
    Ok((git, tree, stage))
}

#[tokio::test(flavor = "multi_thread")]
async fn while_a_remote_is_away_its_last_good_revision_stays_in_force_with_its_age() -> anyhow::Result<()> {
    let (git, tree, mut stage) = over_the_wire().await?;
    let good = tree.head()?;
    drop(git);
    stage.hub.refresh().await?;
    // Less than what agents forgive a hub whose clock is wrong.
    stage.clock.pass(240);
    let found = problem(&stage, "FetchFailed", &["cannot be reached"]).await?;
    assert!(found.message.contains(&good[..12]) && found.message.contains("stays in force"), "{}", found.message);
    assert!(found.age_seconds.is_some_and(|age| age >= 240), "{found:?}");
    let source = stage.hub.client()?.sources().await?.remove(0);
    assert!(source.age_seconds.is_some_and(|age| age >= 240) && source.published_commit.as_deref() == Some(&good), "{source:?}");
    assert!(source.failure.is_some_and(|failure| failure.message.contains("cannot be reached")));
    stage.well("web", "eu-1").await?;
    // Also for a hub that starts while it is away, and a cluster that lost something meanwhile.
    stage.hub.stop().await?;
    stage.hub.resume().await?;
    problem(&stage, "FetchFailed", &["cannot be reached"]).await?;
    stage.well("web", "eu-1").await?;
    assert_eq!(stage.sites["eu-1"].value("web").as_deref(), Some("one"));
    stage.hub.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_history_that_was_rewritten_is_followed_and_audited_once() -> anyhow::Result<()> {
    let (_git, tree, mut stage) = over_the_wire().await?;
    let lost = tree.head()?;
    for (round, value) in ["two", "three"].into_iter().enumerate() {
        tree.write(WEB_MAP, &config_map("web", value))?;
        tree.git(&["add", "-A"])?;
        tree.git(&["commit", "--amend", "-m", &format!("another past {round}")])?;
        tree.force_push()?;
        stage.hub.refresh().await?;
        stage.sites["eu-1"].has("web", Some(value)).await?;
        // What was said before a restart is not said again after it.
        stage.hub.stop().await?;
        stage.hub.resume().await?;
        stage.well("web", "eu-1").await?;
    }
    stage.hub.stop().await?;
    let store = SledStore::open(stage.hub.data_dir().join("store"), SledConfig::default())?;
    let audit = store.range(&Prefix::tree("audit")?, None, PAGE_LIMIT).await?;
    let entries = audit.entries.iter().map(|(_, entry)| String::from_utf8_lossy(&entry.value).into_owned());
    let rewritten: Vec<String> = entries.filter(|entry| entry.contains("HistoryRewritten")).collect();
    assert_eq!(rewritten.len(), 2, "{rewritten:#?}");
    assert!(rewritten[0].contains(&lost) && rewritten[1].contains(&tree.head()?[..12]), "{rewritten:#?}");
    Ok(())
}

// Files of the fleet.

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_no_yaml_stops_only_what_it_defines() -> anyhow::Result<()> {
    let (stage, repository) = begin(&ONE, &[]).await?;
    let broken = app("web", "  vars: {a: \"1\n");
    spoil(&stage, &repository, &[(WEB, Some(&broken))]).await?;
    let found = problem(&stage, "InvalidYaml", &["apps/web/app.yaml", "not valid YAML"]).await?;
    assert_eq!((found.file.as_deref(), found.line.is_some()), (Some(WEB), true));
    assert!(blocks(&found, WEB), "{found:?}");
    web_says(&stage, "AppUndetermined", &["apps/web/app.yaml"]).await?;
    stage.commit(&repository, &[(WEB, Some(&app("web", PATH))), (WEB_MAP, Some(&config_map("web", "two")))]).await?;
    recovers(stage, "two").await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_field_stops_its_app_and_the_nearest_name_is_shown() -> anyhow::Result<()> {
    let (stage, repository) = begin(&ONE, &[]).await?;
    let wrong = app("web", "  source: {path: manifests}\n  prunee: true\n");
    spoil(&stage, &repository, &[(WEB, Some(&wrong)), (WEB_MAP, Some(&config_map("web", "two")))]).await?;
    let found = problem(&stage, "UnknownField", &["\"prunee\" is no field of App.spec"]).await?;
    assert_eq!(found.hint.as_deref(), Some("did you mean \"prune\"?"));
    assert_eq!((found.file.as_deref(), found.line, found.column), (Some(WEB), Some(9), Some(3)));
    assert!(blocks(&found, "app web"), "{found:?}");
    web_says(&stage, "AppBlocked", &["apps/web/app.yaml:9:3"]).await?;
    stage.commit(&repository, &[(WEB, Some(&app("web", PATH)))]).await?;
    recovers(stage, "two").await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_kind_stops_what_its_file_defines_and_the_nearest_kind_is_shown() -> anyhow::Result<()> {
    let (stage, repository) = begin(&ONE, &[]).await?;
    let wrong = app("web", PATH).replace("kind: App", "kind: Ap");
    spoil(&stage, &repository, &[(WEB, Some(&wrong))]).await?;
    let found = problem(&stage, "UnknownKind", &["\"Ap\" is no kind of capstan.dev/v1"]).await?;
    assert_eq!((found.hint.as_deref(), found.line), (Some("did you mean \"App\"?"), Some(2)));
    web_says(&stage, "AppUndetermined", &["apps/web/app.yaml"]).await?;
    stage.commit(&repository, &[(WEB, Some(&app("web", PATH))), (WEB_MAP, Some(&config_map("web", "two")))]).await?;
    recovers(stage, "two").await
}

#[tokio::test(flavor = "multi_thread")]
async fn two_apps_of_one_name_both_stand_still_and_each_is_shown_where_the_other_is() -> anyhow::Result<()> {
    let (stage, repository) = begin(&ONE, &[]).await?;
    let twin = [("apps/twin/app.yaml", Some(app("web", PATH))), ("apps/twin/manifests/web.yaml", Some(config_map("web", "twin")))];
    let twin: Vec<(&str, Option<&str>)> = twin.iter().map(|(path, text)| (*path, text.as_deref())).collect();
    spoil(&stage, &repository, &twin).await?;
    let first = problem(&stage, "DuplicateName", &["apps/twin/app.yaml", WEB]).await?;
    assert!(first.hint.as_deref().is_some_and(|hint| hint.contains("rename or remove")), "{first:?}");
    let files: Vec<String> =
        stage.hub.problems().await?.into_iter().filter(|one| one.code == "DuplicateName").filter_map(|one| one.file).collect();
    assert_eq!(files, ["apps/twin/app.yaml", WEB]);
    web_says(&stage, "AppBlocked", &[]).await?;
    let back = [("apps/twin/app.yaml", None), ("apps/twin/manifests/web.yaml", None), (WEB_MAP, Some(config_map("web", "two")))];
    stage.commit(&repository, &back.iter().map(|(path, text)| (*path, text.as_deref())).collect::<Vec<_>>()).await?;
    recovers(stage, "two").await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_that_no_cluster_matches_says_why_none_does() -> anyhow::Result<()> {
    let (stage, repository) = begin(&ONE, &[]).await?;
    let lost = app("lost", PATH).replace("serving", "servng");
    let map = config_map("lost", "one");
    spoil(&stage, &repository, &[("apps/lost/app.yaml", Some(&lost)), ("apps/lost/manifests/lost.yaml", Some(&map))]).await?;
    let found = problem(&stage, "NoClusterMatches", &["app lost matches no cluster"]).await?;
    assert!(found.hint.as_deref().is_some_and(|hint| hint.contains("servng") && hint.contains("serving")), "{found:?}");
    assert_eq!(stage.sites["eu-1"].value("lost"), None);
    recovers(stage, "one").await
}

// Objects.

#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_the_api_server_refuses_is_named_with_the_servers_words() -> anyhow::Result<()> {
    let (stage, repository) = begin(&ONE, &[]).await?;
    stage.sites["eu-1"].kube.on_admission(|_, object| match object.pointer("/data/value").and_then(serde_json::Value::as_str) {
        Some("forbidden") => Err("policy x: this value is not allowed here".to_owned()),
        _ => Ok(()),
    });
    spoil(&stage, &repository, &[(WEB_MAP, Some(&config_map("web", "forbidden")))]).await?;
    let row = web_says(&stage, "AdmissionDenied", &["policy x: this value is not allowed here", "ConfigMap default/web"]).await?;
    assert_eq!((row.sync, row.judged.health()), (SyncWord::OutOfSync, HealthWord::Degraded));
    assert!(message_of(&row).contains("satisfy the policy of that webhook"), "{}", message_of(&row));
    assert_eq!(row.unhealthy.iter().map(|object| object.object.to_string()).collect::<Vec<_>>(), ["ConfigMap default/web"]);
    stage.commit(&repository, &[(WEB_MAP, Some(&config_map("web", "allowed")))]).await?;
    recovers(stage, "allowed").await
}

#[tokio::test(flavor = "multi_thread")]
async fn two_apps_that_render_one_object_are_both_named_and_the_running_one_keeps_running() -> anyhow::Result<()> {
    let (stage, repository) = begin(&ONE, &[]).await?;
    let (taker, map) = (app("taker", PATH), config_map("web", "taken"));
    spoil(&stage, &repository, &[("apps/taker/app.yaml", Some(&taker)), ("apps/taker/manifests/web.yaml", Some(&map))]).await?;
    web_says(&stage, "SharedObject", &["app taker has ConfigMap default/web too"]).await?;
    let told = |row: &StatusView| code_of(row) == "SharedObject" && message_of(row).contains("app web has ConfigMap default/web too");
    stage.row("taker", "eu-1", "the other is named too", told).await?;
    stage
        .commit(
            &repository,
            &[("apps/taker/manifests/web.yaml", Some(&config_map("other", "one"))), (WEB_MAP, Some(&config_map("web", "two")))],
        )
        .await?;
    stage.sites["eu-1"].has("other", Some("one")).await?;
    recovers(stage, "two").await
}

// Absence.

/// Approves what is held of app `web` on `eu-1`: only exactly that counts.
async fn approve(stage: &Stage, row: &StatusView) -> anyhow::Result<()> {
    let mut wrong = row.clone();
    for held in &mut wrong.held_changes {
        held.digest = Some(shared_model::Digest::of(b"other").to_string());
    }
    let refused = stage.hub.approve(&wrong).await.expect_err("nothing has this digest").to_string();
    assert!(refused.contains("no held change has this digest"), "{refused}");
    stage.hub.approve(row).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_whose_file_disappears_is_held_until_exactly_its_removal_is_approved() -> anyhow::Result<()> {
    let (mut stage, repository) = begin(&ONE, &[]).await?;
    spoil(&stage, &repository, &[(WEB, None)]).await?;
    let found = problem(&stage, "AppDisappeared", &["app web is gone", WEB]).await?;
    assert!(found.hint.as_deref().is_some_and(|hint| hint.contains("capstan approve web")), "{found:?}");
    let row = web_says(&stage, "AppDisappeared", &["capstan approve"]).await?;
    let deletes: Vec<String> = row.held_changes.iter().flat_map(|held| &held.deletes).map(ToString::to_string).collect();
    assert_eq!(deletes, ["ConfigMap default/web"]);
    // It is held also by a hub that was away meanwhile.
    stage.hub.stop().await?;
    stage.hub.resume().await?;
    let row = web_says(&stage, "AppDisappeared", &[]).await?;
    approve(&stage, &row).await?;
    stage.sites["eu-1"].has("web", None).await?;
    let left = |rows: &Vec<StatusView>| rows.iter().all(|row| row.app == "good");
    eventually("the app has left", || stage.hub.status(), left).await?;
    eventually("and is not missed any more", || stage.hub.problems(), Vec::is_empty).await?;
    assert_eq!(stage.sites["eu-1"].value("good").as_deref(), Some("two"));
    stage.hub.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_whose_selector_or_directory_turns_empty_is_held_until_it_is_put_back() -> anyhow::Result<()> {
    let (stage, repository) = begin(&ONE, &[]).await?;
    spoil(&stage, &repository, &[(WEB, Some(&app("web", PATH).replace("serving", "servng")))]).await?;
    problem(&stage, "MatchesNothing", &["app web matches no cluster any more"]).await?;
    let row = web_says(&stage, "MatchesNothing", &[]).await?;
    assert_eq!(row.held_changes.len(), 1);
    stage.commit(&repository, &[(WEB, Some(&app("web", PATH))), (WEB_MAP, Some("# nothing\n"))]).await?;
    problem(&stage, "TurnedEmpty", &["nothing comes of apps/web/manifests"]).await?;
    let row = web_says(&stage, "TurnedEmpty", &[]).await?;
    assert_eq!(row.held_changes.len(), 1);
    stage.commit(&repository, &[(WEB_MAP, Some(&config_map("web", "two")))]).await?;
    recovers(stage, "two").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_choice_of_paths_that_moves_to_a_later_one_is_held_until_it_is_approved() -> anyhow::Result<()> {
    let web = app("web", "  source: {path: {firstOf: [\"overlays/${cluster}\", base]}}\n");
    let (special, base) = (config_map("web", "one"), config_map("web", "base"));
    let files = [(WEB, web.as_str()), ("apps/web/overlays/eu-1/web.yaml", &special), ("apps/web/base/web.yaml", &base)];
    let (stage, repository) = begin(&ONE, &files).await?;
    spoil(&stage, &repository, &[("apps/web/overlays/eu-1/web.yaml", None)]).await?;
    problem(&stage, "PathMovedLater", &["apps/web/base", "apps/web/overlays/eu-1"]).await?;
    let row = web_says(&stage, "PathMovedLater", &["apps/web/base"]).await?;
    approve(&stage, &row).await?;
    recovers(stage, "base").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_whose_file_disappears_keeps_what_it_runs() -> anyhow::Result<()> {
    let (stage, repository) = begin(&[("eu-west", "eu-1"), ("us-east", "us-1")], &[]).await?;
    spoil(&stage, &repository, &[("regions/us-east/us-1.yaml", None), (WEB_MAP, Some(&config_map("web", "two")))]).await?;
    stage.sites["eu-1"].has("web", Some("two")).await?;
    problem(&stage, "ClusterDisappeared", &["cluster us-1 is gone", "what runs there stays"]).await?;
    stage.row("web", "us-1", "its apps say so", |row| code_of(row) == "ClusterDisappeared").await?;
    assert_eq!(stage.sites["us-1"].value("web").as_deref(), Some("one"));
    assert_eq!(stage.sites["us-1"].value("good").as_deref(), Some("one"));
    let files = fleet_of(&[("us-east", "us-1")]);
    let (path, text) = files.last().expect("the cluster's file");
    stage.commit(&repository, &[(path, Some(text))]).await?;
    stage.sites["us-1"].has("web", Some("two")).await?;
    stage.well("web", "us-1").await?;
    recovers(stage, "two").await
}

// Agents.

/// The error with which an agent ends that may not join.
async fn refused(site: &Site, config: agent_agentd::AgentConfig) -> anyhow::Result<String> {
    let (_trigger, shutdown) = Shutdown::manual(Duration::from_secs(5));
    let ended = tokio::time::timeout(e2e_fleet::PATIENCE, site.run(config, shutdown)).await?;
    let error = ended.expect_err("it may not join");
    assert!(error.downcast_ref::<agent_agentd::JoinError>().is_some(), "{error:#}");
    Ok(format!("{error:#}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_used_or_expired_token_is_refused_in_these_words_and_nobody_else_notices() -> anyhow::Result<()> {
    let (stage, repository) = begin(&ONE, &[]).await?;
    let command = stage.hub.add_cluster("eu-2", "eu-west").await?;
    let stranger = Site::new(&command, stage.disk().join("stranger"))?;
    let wrong = agent_agentd::AgentConfig {
        token: Some(agent_agentd::Token::Text(Secret::new(b"0123456789abcdef".to_vec()))),
        ..stranger.config().clone()
    };
    let message = refused(&stranger, wrong).await?;
    assert!(message.contains("token") && message.contains("capstan cluster add"), "{message}");

    let mut second = Site::new(&command, stage.disk().join("eu-2"))?;
    second.start();
    let state = || async { Ok(stage.hub.client()?.cluster(&"eu-2".parse()?).await?) };
    eventually("the first to come joins", state, |view| view.state == ClusterState::Accepted && view.held_generation.is_some()).await?;
    let message = refused(&stranger, stranger.config().clone()).await?;
    assert!(message.contains("used") && message.contains("capstan cluster add"), "{message}");

    let command = stage.hub.add_cluster("eu-3", "eu-west").await?;
    let late = Site::new(&command, stage.disk().join("eu-3"))?;
    stage.clock.pass(15 * 60);
    let message = refused(&late, late.config().clone()).await?;
    assert!(message.contains("expired") && message.contains("capstan cluster add"), "{message}");

    second.stop().await?;
    spoil(&stage, &repository, &[]).await?;
    recovers(stage, "one").await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_is_started_twice_writes_once_and_the_hub_says_so() -> anyhow::Result<()> {
    let (stage, repository) = begin(&ONE, &[]).await?;
    let site = &stage.sites["eu-1"];
    let writes = Arc::new(AtomicUsize::new(0));
    let counted = writes.clone();
    site.kube.on_admission(move |admission, object| {
        let good = object.pointer("/metadata/name").and_then(serde_json::Value::as_str) == Some("good");
        if good && admission.plural == "configmaps" && !admission.dry_run {
            counted.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    });
    let admin = {
        let free = std::net::TcpListener::bind(("127.0.0.1", 0))?;
        free.local_addr()?
    };
    let again = agent_agentd::AgentConfig { data_dir: stage.disk().join("again"), admin_listen: Some(admin), ..site.config().clone() };
    let (trigger, shutdown) = Shutdown::manual(Duration::from_secs(5));
    tokio::try_join!(site.run(again, shutdown), async {
        let ready = || e2e_fleet::get(admin, "/readyz?verbose", None);
        eventually("the second one only reads", ready, |text| text.contains("holds the lease, this agent only reads")).await?;
        let state = || async { Ok(stage.hub.client()?.cluster(&"eu-1".parse()?).await?) };
        let named = |view: &hub_api::ClusterView| view.reason.as_ref().is_some_and(|reason| reason.code == "CloneSuspected");
        let (view, time) = eventually_within(Duration::from_secs(120), "the hub notices", state, named).await?;
        println!("noticed in {time:?}");
        assert!(view.reason.is_some_and(|reason| reason.message.contains("is it started twice?")));
        spoil(&stage, &repository, &[]).await?;
        assert_eq!(writes.load(Ordering::Relaxed), 1, "one of them wrote the one change once");
        trigger.begin();
        Ok(())
    })?;
    recovers(stage, "one").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_that_was_created_anew_is_held_until_it_is_accepted() -> anyhow::Result<()> {
    let (mut stage, repository) = begin(&[("eu-west", "eu-1"), ("us-east", "us-1")], &[]).await?;
    let busy = stage.hub.add_cluster("us-1", "us-east").await.expect_err("its agent is there").to_string();
    assert!(busy.contains("cluster us-1 is enrolled and its agent is connected"), "{busy}");
    stage.sites.get_mut("us-1").expect("it joined").stop().await?;
    stage.clock.pass(91);
    let mut anew = Site::new(&stage.hub.add_cluster("us-1", "us-east").await?, stage.disk().join("anew"))?;
    anew.start();
    let state = || async { Ok(stage.hub.client()?.cluster(&"us-1".parse()?).await?) };
    let (view, _) = eventually("it is held", state, |view| view.state == ClusterState::Held).await?;
    let reason = view.reason.expect("it says why");
    assert!(reason.code == "AcceptanceNeeded" && reason.message.contains("capstan cluster accept us-1"), "{reason:?}");
    assert_eq!(anew.value("web"), None, "it was told nothing");
    spoil(&stage, &repository, &[]).await?;
    let asking = anew.uid()?;
    assert!(reason.message.contains(&asking), "{asking} is not the one that asks: {}", reason.message);
    let other = AcceptRequest { uid: "some-other-uid".to_owned() };
    let refused = stage.hub.client()?.accept_cluster(&"us-1".parse()?, &other).await.expect_err("nobody has this uid").to_string();
    assert!(refused.contains("no cluster with uid some-other-uid asks to be us-1"), "{refused}");
    let shown = stage.hub.client()?.cluster(&"us-1".parse()?).await?.uid;
    assert_eq!(shown.as_ref(), Some(&asking), "the operator is shown who asks");
    stage.hub.client()?.accept_cluster(&"us-1".parse()?, &AcceptRequest { uid: asking }).await?;
    anew.has("web", Some("one")).await?;
    anew.has("good", Some("two")).await?;
    stage.well("web", "us-1").await?;
    anew.stop().await?;
    recovers(stage, "one").await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_outside_its_apps_project_stops_the_app_and_names_the_limit() -> anyhow::Result<()> {
    let project = "apiVersion: capstan.dev/v1\nkind: Project\nmetadata: {name: tenants}\nspec:\n  sources: ['*']\n  namespaces: [default]\n  regions: ['*']\n";
    let web = app("web", &format!("  project: tenants\n{PATH}"));
    let (stage, repository) = begin(&[("eu-west", "eu-1")], &[("projects/tenants.yaml", project), (WEB, &web)]).await?;
    let elsewhere = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: web, namespace: kube-system}\ndata: {value: two}\n";
    spoil(&stage, &repository, &[(WEB_MAP, Some(elsewhere))]).await?;
    problem(&stage, "NotPermitted", &["ConfigMap kube-system/web", "tenants"]).await?;
    assert_eq!(stage.sites["eu-1"].value("web").as_deref(), Some("one"), "what runs keeps running");
    let cluster_wide = "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {name: web}\nrules: []\n";
    stage.commit(&repository, &[(WEB_MAP, Some(cluster_wide))]).await?;
    let named =
        |all: &Vec<ProblemView>| all.iter().any(|one| one.message.contains("ClusterRole.rbac.authorization.k8s.io web: project tenants"));
    eventually("the cluster-wide object is refused", || stage.hub.problems(), named).await?;
    stage.commit(&repository, &[(WEB_MAP, Some(&config_map("web", "three")))]).await?;
    recovers(stage, "three").await
}
