//! The conversation of real hub and agent edges, on the paths that are meant.

use std::time::Duration;

use bytes::Bytes;
use e2e_session::{Agent, Place, SiteDouble};
use hub_distribute::{AskError, LogPiece, LogReader};
use shared_model::{FieldChange, Generation, GroupKind, ObjectKey};
use shared_session::{Answer, LOGS_AT_ONCE, LogQuestion, ObjectDiff, Question, VersionOffer, VersionRange};

fn content(count: usize, size: usize) -> Vec<Bytes> {
    (0..count).map(|n| Bytes::from(vec![u8::try_from(n % 251).unwrap(); size + n])).collect()
}

fn diff_of(app: &str) -> Question {
    Question::Diff { app: app.parse().unwrap() }
}

fn log_of(app: &str, follow: bool) -> LogQuestion {
    let app = app.parse().unwrap();
    LogQuestion { app, object: None, container: None, previous: false, follow, timestamps: false, tail: None, since: None }
}

/// Asks for a log; the lane opens beside the welcome, so that it may not be there yet.
async fn open_log(place: &Place, agent: &Agent, question: LogQuestion) -> Result<LogReader, AskError> {
    loop {
        match place.hub.log(&agent.identity, question.clone(), Duration::from_secs(20)).await {
            Err(AskError::NotConnected) => tokio::task::yield_now().await,
            other => return other,
        }
    }
}

fn at(sequence: u64) -> Generation {
    Generation::new(1, sequence)
}

#[tokio::test]
async fn an_index_travels_its_objects_are_fetched_and_the_status_arrives() {
    let place = Place::start().await;
    let agent = place.agent("gpu-a").await;
    // More than one request of 256, and one object of several chunks.
    let mut objects = content(300, 100);
    objects.push(Bytes::from(vec![9; 3 * 1024 * 1024 + 5]));
    let index = place.publish(&agent.identity, at(1), &objects);
    agent.site.until_holds(&index).await;
    agent.site.report("web", 3);
    place
        .desk
        .until("the report", |state| state.apps.get(&agent.identity).is_some_and(|apps| apps.values().any(|app| app.objects == 3)))
        .await;
    let heard_all = |state: &e2e_session::DeskState| {
        state.heard.get(&agent.identity).is_some_and(|heard| {
            let held = &heard.held;
            held.index == Some(index.digest())
                && held.generation == at(1)
                && held.keys.is_some()
                && held.freshness.is_some()
                && heard.status_current
        })
    };
    place.desk.until("all that is held", heard_all).await;
    assert_eq!(agent.site.state().keys, ["key-1"]);
    assert_eq!(place.desk.state().facts[&agent.identity].kubernetes, "v1.34.1");
    assert!(agent.site.held_now().root.is_some());
}

#[tokio::test]
async fn a_change_moves_only_what_changed() {
    let place = Place::start().await;
    let agent = place.agent("gpu-a").await;
    let mut objects = content(50, 1_000);
    let first = place.publish(&agent.identity, at(1), &objects);
    agent.site.until_holds(&first).await;
    for app in ["a", "b", "c"] {
        agent.site.report(app, 1);
    }
    agent.in_sync().await;
    let (stored, reports) = (agent.site.state().stored, place.desk.state().reports.len());
    objects[7] = Bytes::from_static(b"one line changed");
    let second = place.publish(&agent.identity, at(2), &objects);
    agent.site.until_holds(&second).await;
    assert_eq!(agent.site.state().stored - stored, objects[7].len());
    agent.site.report("b", 2);
    place.desk.until("the report", |state| state.reports.len() > reports).await;
    assert_eq!(place.desk.state().reports[reports..], [1]);
}

#[tokio::test]
async fn a_reconnect_in_sync_moves_no_index_no_object_and_no_report() {
    let mut place = Place::start().await;
    let agent = place.agent("gpu-a").await;
    let index = place.publish(&agent.identity, at(1), &content(20, 100));
    agent.site.until_holds(&index).await;
    agent.site.report("web", 1);
    agent.in_sync().await;
    let settled = |state: &e2e_session::DeskState| {
        state.heard[&agent.identity].status_current && state.heard[&agent.identity].held == agent.site.held_now()
    };
    place.desk.until("a settled agent", settled).await;
    let before = place.desk.state();
    let judged = agent.site.state().judged.len();
    place.stop_hub().await;
    place.start_hub_again().await;
    let boot_heard = before.times_heard[&agent.identity];
    place.desk.until("the agent again", |state| state.times_heard[&agent.identity] > boot_heard + 2).await;
    agent.in_sync().await;
    let after = place.desk.state();
    assert_eq!(agent.site.state().judged.len(), judged, "no index came");
    assert_eq!(after.asked.len(), before.asked.len(), "no object was asked for");
    assert_eq!(after.reports.len(), before.reports.len(), "no report came");
    assert!(after.parted[&agent.identity] > before.parted.get(&agent.identity).copied().unwrap_or(0));
}

#[tokio::test]
async fn a_hub_that_lost_its_reports_gets_exactly_what_it_lacks() {
    let mut place = Place::start().await;
    let agent = place.agent("gpu-a").await;
    for app in ["a", "b", "c"] {
        agent.site.report(app, 1);
    }
    agent.in_sync().await;
    place.desk.until("three apps", |state| state.apps.get(&agent.identity).is_some_and(|apps| apps.len() == 3)).await;
    place.stop_hub().await;
    place.desk.change(|state| {
        let recorded = state.recorded.get_mut(&agent.identity).unwrap();
        recorded.apps.remove(&"b".parse().unwrap());
        recorded.apps.insert("gone".parse().unwrap(), shared_model::Digest::of(b"stale"));
        state.apps.get_mut(&agent.identity).unwrap().remove(&"b".parse().unwrap());
        state.reports.clear();
    });
    place.start_hub_again().await;
    let whole = |state: &e2e_session::DeskState| state.recorded.get(&agent.identity) == Some(agent.site.status_now().index());
    place.desk.until("the whole status", whole).await;
    assert_eq!(place.desk.state().reports, [0, 1], "one app forgotten, one told again");
}

#[tokio::test]
async fn a_status_of_a_thousand_apps_arrives_and_a_withdrawn_app_disappears() {
    let place = Place::start().await;
    let config = place.agent_config("gpu-a");
    let site = SiteDouble::new();
    for app in 0..1_000 {
        site.report(&format!("app-{app}"), app);
    }
    let agent = Agent::start(config, site);
    agent.in_sync().await;
    assert_eq!(place.desk.state().apps[&agent.identity].len(), 1_000);
    agent.site.withdraw("app-7");
    place.desk.until("the withdrawal", |state| state.apps[&agent.identity].len() == 999).await;
}

#[tokio::test]
async fn a_refused_index_is_reported_with_its_reason_and_not_sent_again() {
    let mut place = Place::start().await;
    let agent = place.agent("gpu-a").await;
    let good = place.publish(&agent.identity, at(2), &content(1, 10));
    agent.site.until_holds(&good).await;
    let older = place.publish(&agent.identity, at(1), &content(2, 10));
    let refusal = |state: &e2e_session::DeskState| {
        let refusal = state.heard.get(&agent.identity).and_then(|heard| heard.refusal.clone());
        refusal.is_some_and(|(digest, reason)| digest == older.digest() && reason.code == "OlderIndex")
    };
    place.desk.until("the refusal", refusal).await;
    let heard = place.desk.state().times_heard[&agent.identity];
    place.desk.until("more heartbeats", |state| state.times_heard[&agent.identity] > heard + 2).await;
    place.stop_hub().await;
    place.start_hub_again().await;
    let heard = place.desk.state().times_heard[&agent.identity];
    place.desk.until("the agent again", |state| state.times_heard[&agent.identity] > heard + 2).await;
    assert_eq!(agent.site.state().judged, [good.digest(), older.digest()]);
    assert_eq!(agent.site.held_now().index, Some(good.digest()), "the last good one stays");
    let newer = place.publish(&agent.identity, at(3), &content(3, 10));
    agent.site.until_holds(&newer).await;
    place.desk.until("no refusal", |state| state.heard[&agent.identity].refusal.is_none()).await;
}

#[tokio::test]
async fn an_agent_stays_with_what_it_holds_while_the_hub_is_away_and_comes_back() {
    let mut place = Place::start().await;
    let agent = place.agent("gpu-a").await;
    let index = place.publish(&agent.identity, at(1), &content(3, 10));
    agent.site.until_holds(&index).await;
    place.stop_hub().await;
    agent.away("").await;
    agent.site.report("web", 5);
    let next = place.publish(&agent.identity, at(2), &content(4, 10));
    assert_eq!(agent.site.held_now().index, Some(index.digest()));
    place.start_hub_again().await;
    agent.site.until_holds(&next).await;
    place
        .desk
        .until("the report", |state| state.apps.get(&agent.identity).is_some_and(|apps| apps.values().any(|app| app.objects == 5)))
        .await;
}

#[tokio::test]
async fn objects_that_are_not_read_do_not_hold_up_heartbeats_status_or_questions() {
    let place = Place::start().await;
    let agent = place.agent("gpu-a").await;
    agent.site.change(|state| state.full = true);
    // More than all windows together.
    let index = place.publish(&agent.identity, at(1), &content(16, 1024 * 1024));
    place.desk.until("a fetch", |state| !state.asked.is_empty()).await;
    agent.site.report("web", 3);
    place.desk.until("the report", |state| state.apps.contains_key(&agent.identity)).await;
    let heard = place.desk.state().times_heard[&agent.identity];
    place.desk.until("more heartbeats", |state| state.times_heard[&agent.identity] > heard + 3).await;
    agent.site.change(|state| state.diff = Some(vec![]));
    place.hub.ask(&agent.identity, &diff_of("web"), Duration::from_secs(20)).await.unwrap();
    assert!(agent.site.state().content.is_empty() && place.desk.state().parted.is_empty());
    agent.site.change(|state| state.full = false);
    agent.site.until_holds(&index).await;
}

#[tokio::test]
async fn a_slow_store_holds_up_reports_and_not_heartbeats() {
    let place = Place::start().await;
    let agent = place.agent("gpu-a").await;
    agent.in_sync().await;
    place.desk.change(|state| state.slow = true);
    for objects in 1..=50 {
        agent.site.report("web", objects);
    }
    let heard = place.desk.state().times_heard[&agent.identity];
    place.desk.until("more heartbeats", |state| state.times_heard[&agent.identity] > heard + 3).await;
    let reports = place.desk.state().reports.len();
    place.desk.change(|state| state.slow = false);
    let newest =
        |state: &e2e_session::DeskState| state.apps.get(&agent.identity).is_some_and(|apps| apps.values().any(|app| app.objects == 50));
    place.desk.until("the newest report", newest).await;
    assert!(place.desk.state().reports.len() - reports <= 2, "what was overtaken is never sent");
}

#[tokio::test]
async fn a_report_that_could_not_be_recorded_is_told_again() {
    let place = Place::start().await;
    let agent = place.agent("gpu-a").await;
    agent.in_sync().await;
    place.desk.change(|state| state.failing = 1);
    agent.site.report("web", 3);
    place.desk.until("the report", |state| state.apps.get(&agent.identity).is_some_and(|apps| !apps.is_empty())).await;
    assert_eq!(place.desk.state().failing, 0);
    assert_eq!(place.desk.state().parted[&agent.identity], 1, "the conversation was begun anew");
}

#[tokio::test]
async fn a_hundred_agents_return_at_once_and_are_all_in_sync_again() {
    let mut options = Place::options();
    // So few may join at once that most are told to come back.
    options.joining = 8;
    options.come_back = Duration::from_millis(200);
    let mut place = Place::start_with(options).await;
    let agents: Vec<Agent> = (0..100).map(|n| Agent::start(place.agent_config(&format!("c{n}")), SiteDouble::new())).collect();
    let objects = content(3, 1_000);
    for agent in &agents {
        place.publish(&agent.identity, at(1), &objects);
    }
    for restart in [false, true] {
        if restart {
            place.stop_hub().await;
            place.start_hub_again().await;
        }
        for agent in &agents {
            agent.in_sync().await;
        }
    }
    let index = e2e_session::index(at(1), &objects);
    for agent in &agents {
        agent.site.until_holds(&index).await;
        assert_eq!(agent.site.state().judged.len(), 1);
    }
}

#[tokio::test]
async fn an_operator_asks_a_connected_agent_for_a_diff() {
    let place = Place::start().await;
    let agent = place.agent("gpu-a").await;
    let (hub, who) = (&place.hub, &agent.identity);
    let ask = |name: &'static str| async move { hub.ask(who, &diff_of(name), Duration::from_secs(20)).await };
    // The lane opens beside the welcome: asked too early there is none yet.
    let refused = loop {
        match ask("web").await {
            Err(AskError::NotConnected) => tokio::task::yield_now().await,
            other => break other,
        }
    };
    assert!(matches!(&refused, Err(AskError::Refused(why)) if why.to_string() == "NoSuchApp: no such app here"), "{refused:?}");
    let field = FieldChange { path: "spec.replicas".into(), wanted: Some("3".into()), found: Some("5".into()), manager: None, since: None };
    let object = ObjectKey::new(GroupKind::new("apps", "Deployment"), Some("web"), "api");
    let diff = vec![ObjectDiff { object, fields: vec![field], missing: false }];
    let slow = place.hub.ask(&agent.identity, &diff_of("slow"), Duration::from_millis(50)).await;
    assert!(matches!(slow, Err(AskError::TimedOut(_))), "{slow:?}");
    agent.site.change(|state| state.diff = Some(diff.clone()));
    assert_eq!(ask("web").await, Ok(Answer::diff(diff)));
    let nobody = "spiffe://capstan/cluster/nobody/u".parse().unwrap();
    assert_eq!(place.hub.ask(&nobody, &diff_of("web"), Duration::from_secs(1)).await, Err(AskError::NotConnected));
}

#[tokio::test]
async fn a_log_arrives_in_order_and_ends_with_its_container() {
    let place = Place::start().await;
    let agent = place.agent("gpu-a").await;
    let refused = open_log(&place, &agent, log_of("web", false)).await.unwrap_err();
    assert!(matches!(&refused, AskError::Refused(why) if why.to_string() == "NoSuchPod: no such pod here"), "{refused:?}");
    // More than all windows and queues together hold.
    let pieces: Vec<Bytes> = (0..100).map(|n| Bytes::from(vec![n; 20_000])).collect();
    agent.site.change(|state| state.log = Some(pieces.clone()));
    let mut log = open_log(&place, &agent, log_of("web", false)).await.unwrap();
    for expected in pieces {
        assert_eq!(log.next().await, Some(LogPiece::Data(expected)));
    }
    assert_eq!((log.next().await, log.next().await), (None, None));
}

#[tokio::test]
async fn logs_that_nobody_reads_hold_up_no_question_and_end_when_their_readers_leave() {
    let place = Place::start().await;
    let agent = place.agent("gpu-a").await;
    let flood: Vec<Bytes> = vec![Bytes::from(vec![b'x'; 30_000]); 200];
    agent.site.change(|state| {
        state.log = Some(flood);
        state.diff = Some(Vec::new());
    });
    let mut readers = Vec::new();
    for _ in 0..LOGS_AT_ONCE {
        readers.push(open_log(&place, &agent, log_of("web", true)).await.unwrap());
    }
    assert_eq!(open_log(&place, &agent, log_of("web", true)).await.unwrap_err(), AskError::TooManyLogs);
    for _ in 0..20 {
        assert_eq!(place.hub.ask(&agent.identity, &diff_of("web"), Duration::from_secs(20)).await, Ok(Answer::diff(vec![])));
    }
    agent.site.report("web", 3);
    agent.in_sync().await;
    assert!(agent.site.state().logs_ended.is_empty(), "a log waits for its reader");
    readers.truncate(1);
    agent.site.until("the end of three logs", |state| state.logs_ended.len() == LOGS_AT_ONCE - 1).await;
    assert!(matches!(readers[0].next().await, Some(LogPiece::Data(_))), "the fourth goes on");
    open_log(&place, &agent, log_of("web", true)).await.expect("there is room again");
}

#[tokio::test]
async fn a_log_whose_agent_goes_away_says_so_instead_of_ending() {
    let place = Place::start().await;
    let agent = place.agent("gpu-a").await;
    agent.site.change(|state| state.log = Some(vec![Bytes::from_static(b"one\n")]));
    let mut log = open_log(&place, &agent, log_of("web", true)).await.unwrap();
    assert_eq!(log.next().await, Some(LogPiece::Data(Bytes::from_static(b"one\n"))));
    place.stop_hub().await;
    let last = log.next().await;
    assert!(matches!(&last, Some(LogPiece::CutShort(reason)) if reason.code == "AgentGone"), "{last:?}");
    assert_eq!(log.next().await, None);
    agent.site.until("the end of the log", |state| state.logs_ended == [1]).await;
}

#[tokio::test]
async fn hub_and_agent_two_minor_versions_apart_understand_each_other() {
    let offer = |oldest, newest| VersionOffer::new([VersionRange { major: 1, oldest, newest }]);
    let mut options = Place::options();
    options.session.versions = offer(0, 2);
    let place = Place::start_with(options).await;
    for (cluster, versions, spoken) in [("older", offer(0, 0), 0), ("newer", offer(2, 4), 2)] {
        let mut config = place.agent_config(cluster);
        config.versions = versions;
        let agent = Agent::start(config, SiteDouble::new());
        agent.connected().await;
        place.desk.until("a hello", |state| state.heard.get(&agent.identity).is_some_and(|heard| heard.version.minor == spoken)).await;
    }
    let mut config = place.agent_config("too-new");
    config.versions = offer(3, 5);
    let agent = Agent::start(config, SiteDouble::new());
    agent.away("the hub speaks protocol 1.0 to 1.2, the agent 1.3 to 1.5; upgrade the hub").await;
}
