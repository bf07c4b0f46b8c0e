//! Requests and watches that are refused, lost, cut, or met with silence, by a proxy between the agent and a real API server.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use agent_cluster::{Cluster, ClusterConfig, Limits};
use anyhow::{Context as _, ensure};
use e2e_cluster::{FaultProxy, Passed, ProxiedRequest, ProxyFault, require_control_plane};
use serde_json::{Value, json};
use shared_model::Health;

use crate::PLANE;
use crate::bench::{Bench, TestAgent, config_map, until};

/// Shorter than in earnest, so that what must be waited for comes soon, and long enough for a busy machine.
pub(super) const LIMITS: Limits = Limits {
    read: Duration::from_secs(4),
    write: Duration::from_secs(8),
    wait: Duration::from_secs(20),
    silence: Duration::from_secs(2),
    view: Duration::from_secs(3),
};

/// A kind that nothing else here uses.
pub(super) fn service(namespace: &str, name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": namespace},
           "spec": {"ports": [{"port": 80}], "selector": {"app": name}}})
}

struct Scene<'a> {
    bench: Bench<'a>,
    proxy: FaultProxy,
    agent: TestAgent,
}

impl Scene<'_> {
    async fn new() -> anyhow::Result<Scene<'static>> {
        let bench = Bench::new(PLANE.get().await?).await?;
        let proxy = FaultProxy::start(bench.plane(), bench.user(), &["system:masters"]).await?;
        let cluster = Cluster::connect_with(&ClusterConfig { kubeconfig: Some(proxy.kubeconfig()) }, LIMITS).await?;
        let agent = bench.start_agent_through(cluster).await?;
        Ok(Scene { bench, proxy, agent })
    }

    fn map(&self, name: &str, value: &str) -> Value {
        config_map(&self.bench.namespace, name, value)
    }

    async fn value_is(&self, name: &str, value: &str) -> anyhow::Result<()> {
        self.bench.wait_for(&["get", "configmap", name, "--ignore-not-found", "-o", "jsonpath={.data.value}"], value).await
    }

    async fn spoil(&self, name: &str) -> anyhow::Result<()> {
        self.bench.kubectl(&["patch", "configmap", name, "--type=merge", "-p", r#"{"data":{"value":"wrong"}}"#]).await.map(drop)
    }

    /// How often each object of the namespace was made, and deleted, by the agent.
    async fn counts(&self) -> anyhow::Result<(BTreeMap<String, u64>, BTreeMap<String, u64>)> {
        let (mut made, mut deleted) = (BTreeMap::new(), BTreeMap::new());
        for event in self.bench.plane().audit_events().await? {
            if event.user != self.bench.user() || event.namespace.as_deref() != Some(&self.bench.namespace) || event.code >= 300 {
                continue;
            }
            let name = event.name.unwrap_or_default();
            match (event.verb.as_str(), event.code) {
                ("delete" | "deletecollection", _) => *deleted.entry(name).or_default() += 1,
                (_, 201) => *made.entry(name).or_default() += 1,
                _ => {}
            }
        }
        Ok((made, deleted))
    }
}

fn times(pairs: &[(&str, u64)]) -> BTreeMap<String, u64> {
    pairs.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
}

/// Lets each request suffer `fault` the first time that it comes.
fn once_each(
    fault: impl Fn(&ProxiedRequest) -> Option<ProxyFault> + Send + Sync + 'static,
) -> impl Fn(&ProxiedRequest) -> Option<ProxyFault> {
    let seen = Mutex::new(BTreeSet::new());
    move |request| {
        let first = seen.lock().unwrap_or_else(PoisonError::into_inner).insert(format!("{} {}", request.verb, request.uri));
        first.then(|| fault(request)).flatten()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_are_lost_or_cut_make_and_delete_nothing_twice() -> anyhow::Result<()> {
    require_control_plane!(controllers);
    let scene = Scene::new().await?;
    scene.bench.kubectl(&["create", "configmap", "bystander"]).await?;
    scene.proxy.set_faults(once_each(|request| match request.verb {
        "apply" | "patch" | "create" | "delete" => Some(ProxyFault::LoseAnswer),
        "list" => Some(ProxyFault::Truncate),
        "get" => Some(ProxyFault::Drop),
        _ => None,
    }));
    let all: Vec<Value> = (0..5).map(|n| scene.map(&format!("c{n}"), "1")).collect();
    scene.agent.publish(&[("web", all.clone())])?;
    scene.agent.wait_applied("web").await?;
    scene.agent.publish_withdrawing(&[("web", all[..4].to_vec())], &[("web", &["c4"])], false)?;
    scene.agent.wait(|apps| apps["web"].withdrawn.len() == 1).await?;
    let (made, deleted) = scene.counts().await?;
    assert_eq!(made, times(&[("c0", 1), ("c1", 1), ("c2", 1), ("c3", 1), ("c4", 1)]));
    assert_eq!(deleted, times(&[("c4", 1)]));
    scene.bench.kubectl(&["get", "configmap", "bystander"]).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_goes_while_the_answer_about_it_is_on_its_way_comes_back() -> anyhow::Result<()> {
    require_control_plane!(controllers);
    let scene = Scene::new().await?;
    scene.agent.publish(&[("web", vec![scene.map("settings", "1")])])?;
    scene.agent.wait(|apps| apps.get("web").is_some_and(|web| web.health == Health::Healthy && web.applied == web.wanted)).await?;
    let is_look = |request: &ProxiedRequest| request.verb == "get" && request.name == "settings";
    let late = ProxyFault::DelayAnswer(Duration::from_secs(2));
    let fault = late.clone();
    scene.proxy.set_faults(once_each(move |request| is_look(request).then(|| fault.clone())));
    // Nothing of ours, but something to look at.
    scene.bench.kubectl(&["label", "configmap", "settings", "touched=yes"]).await?;
    let asked = async || {
        tokio::time::sleep(Duration::from_millis(20)).await;
        Ok(scene.proxy.passed().iter().any(|passed| passed.fault.as_ref() == Some(&late)).to_string())
    };
    until("the agent looks at what was touched", asked, |asked| asked == "true").await?;
    scene.bench.kubectl(&["delete", "configmap", "settings"]).await?;
    scene.value_is("settings", "1").await?;
    scene.agent.wait(|apps| apps["web"].health == Health::Healthy).await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_server_that_sheds_load_is_left_alone_for_as_long_as_it_says_and_nothing_is_called_broken() -> anyhow::Result<()> {
    require_control_plane!(controllers);
    let scene = Scene::new().await?;
    scene.agent.publish(&[("web", vec![scene.map("before", "1")])])?;
    // Applied it may be before its kind's watch has begun, and is Unknown until then.
    scene.agent.wait(|apps| apps.get("web").is_some_and(|web| web.health == Health::Healthy && web.applied == web.wanted)).await?;
    let shed = AtomicU64::new(0);
    scene.proxy.set_faults(move |request| {
        let sheds = request.resource == "configmaps" && request.verb != "watch" && shed.fetch_add(1, Ordering::SeqCst) < 4;
        sheds.then_some(ProxyFault::ShedLoad(2))
    });
    let all: Vec<Value> = (0..20).map(|n| scene.map(&format!("c{n}"), "1")).collect();
    scene.agent.publish(&[("web", all)])?;
    let blamed = Arc::new(Mutex::new(None));
    let seen = blamed.clone();
    let watched = scene.agent.wait(move |apps| {
        let web = &apps["web"];
        if !matches!(web.health, Health::Healthy | Health::Progressing | Health::Waiting) {
            *seen.lock().unwrap_or_else(PoisonError::into_inner) = Some(format!("{web:?}"));
        }
        web.applied == web.wanted && web.objects >= 20
    });
    watched.await?;
    let blamed = blamed.lock().unwrap_or_else(PoisonError::into_inner).clone();
    ensure!(blamed.is_none(), "load was called something else: {blamed:?}");
    let passed = scene.proxy.passed();
    let sheds: Vec<&Passed> = passed.iter().filter(|passed| passed.fault == Some(ProxyFault::ShedLoad(2))).collect();
    ensure!(!sheds.is_empty(), "nothing was shed");
    // What was on its way already comes in a moment later; nothing is sent in the rest of the two seconds, but for the lease.
    let (moment, rest) = (Duration::from_millis(700), Duration::from_millis(1_900));
    for shed in &sheds {
        let early = passed.iter().find(|passed| {
            let after = passed.at.saturating_duration_since(shed.at);
            passed.request.resource != "leases" && passed.fault.is_none() && after > moment && after < rest
        });
        ensure!(early.is_none(), "{early:?} came {:?} after it was asked to wait", early.map(|early| early.at - shed.at));
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_one_kind_suffers_others_are_applied_and_healed_and_it_catches_up() -> anyhow::Result<()> {
    require_control_plane!(controllers);
    let faults = [
        ProxyFault::Status(409, "Conflict", "the object has been modified; please apply your changes to the latest version"),
        ProxyFault::Status(500, "InternalError", "etcdserver: request timed out"),
        ProxyFault::Status(503, "ServiceUnavailable", "the server is currently unable to handle the request"),
        ProxyFault::Status(429, "TooManyRequests", "storage is (re)initializing"),
        ProxyFault::Status(410, "Expired", "too old resource version"),
        ProxyFault::Delay(Duration::from_secs(1)),
        ProxyFault::LoseAnswer,
        ProxyFault::Drop,
        ProxyFault::Truncate,
        ProxyFault::Silence,
    ];
    let trials = faults.into_iter().map(|fault| async move {
        let name = format!("{fault:?}");
        one_kind_suffers(fault).await.with_context(|| name)
    });
    // A few at a time: each has its own agent and namespace.
    let trials: Vec<_> =
        futures_util::StreamExt::collect(futures_util::StreamExt::buffer_unordered(futures_util::stream::iter(trials), 5)).await;
    trials.into_iter().collect()
}

async fn one_kind_suffers(fault: ProxyFault) -> anyhow::Result<()> {
    let scene = Scene::new().await?;
    scene.proxy.set_faults(move |request| (request.resource == "services").then(|| fault.clone()));
    let ill = service(&scene.bench.namespace, "ill");
    scene.agent.publish(&[("ill", vec![ill, scene.map("in-one-app", "1")]), ("well", vec![scene.map("well", "1")])])?;
    scene.agent.wait_applied("well").await.context("the other app is applied")?;
    scene.value_is("in-one-app", "1").await.context("the same app's other object is applied")?;
    scene.spoil("well").await?;
    scene.value_is("well", "1").await.context("the other app is healed")?;
    scene.proxy.heal();
    scene.agent.wait(|apps| apps["ill"].applied.is_some() && apps["ill"].health == Health::Healthy).await.context("it catches up")?;
    scene.bench.kubectl(&["get", "service", "ill"]).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_that_is_only_half_open_is_noticed_and_what_it_missed_is_healed() -> anyhow::Result<()> {
    require_control_plane!(controllers);
    let scene = Scene::new().await?;
    scene.agent.publish(&[("web", vec![scene.map("settings", "1")])])?;
    scene.agent.wait_applied("web").await?;
    scene.proxy.freeze_streams();
    scene.spoil("settings").await?;
    scene.value_is("settings", "1").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_whose_history_is_gone_is_listed_again_without_a_storm() -> anyhow::Result<()> {
    require_control_plane!(controllers);
    let scene = Scene::new().await?;
    scene.agent.publish(&[("web", vec![scene.map("settings", "1")])])?;
    scene.agent.wait_applied("web").await?;
    let begun = Instant::now();
    scene.proxy.set_faults(|request| (request.verb == "watch" && request.resource == "configmaps").then_some(ProxyFault::GoneEvent));
    scene.proxy.freeze_streams();
    for round in 0..3 {
        scene.spoil("settings").await?;
        scene.value_is("settings", "1").await.with_context(|| format!("round {round}"))?;
    }
    let lists = scene.proxy.passed().into_iter().filter(|passed| passed.at > begun && passed.request.verb == "list").count();
    ensure!(lists >= 3, "it was not listed again");
    let allowed = 8 + begun.elapsed().as_secs() as usize;
    ensure!(lists <= allowed, "{lists} lists in {:?}", begun.elapsed());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kind_that_nobody_serves_is_looked_for_at_intervals_however_busy_the_agent_is() -> anyhow::Result<()> {
    require_control_plane!(controllers);
    let scene = Scene::new().await?;
    let namespace = &scene.bench.namespace;
    let unknown = json!({"apiVersion": "nobody.example.com/v1", "kind": "Widget", "metadata": {"name": "w", "namespace": namespace}});
    scene.agent.publish(&[("web", vec![scene.map("settings", "1")]), ("widgets", vec![unknown])])?;
    scene.agent.wait(|apps| apps.get("widgets").is_some_and(|app| app.unhealthy.len() == 1)).await?;
    let begun = Instant::now();
    let mut woken = 0;
    while begun.elapsed() < Duration::from_secs(7) {
        scene.spoil("settings").await?;
        scene.value_is("settings", "1").await?;
        woken += 1;
    }
    // Two seconds after it was found missing, then four, then eight: also a slow machine has no more than one look for each two seconds.
    let looks = scene.proxy.passed().into_iter().filter(|passed| passed.at > begun && passed.request.uri == "/apis").count();
    ensure!(looks >= 1, "it was not looked for again");
    ensure!(looks <= 1 + begun.elapsed().as_secs() as usize / 2, "{looks} looks while it was woken {woken} times in {:?}", begun.elapsed());
    ensure!(woken > 2 * looks, "{looks} looks, and woken only {woken} times: that shows nothing");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_view_that_is_too_old_says_unknown_and_not_healthy() -> anyhow::Result<()> {
    require_control_plane!(controllers);
    let scene = Scene::new().await?;
    let healthy = |apps: &BTreeMap<String, shared_model::AppState>| apps["web"].health == Health::Healthy && apps["web"].reason.is_none();
    scene.agent.publish(&[("web", vec![scene.map("settings", "1")])])?;
    scene.agent.wait(healthy).await?;

    // Nothing comes through, and nothing is refused either.
    scene.proxy.set_faults(|_| Some(ProxyFault::Silence));
    scene.proxy.freeze_streams();
    let state = scene.agent.wait(|apps| apps["web"].health == Health::Unknown).await.context("silence")?;
    let unhealthy = &state["web"].unhealthy;
    ensure!(unhealthy.iter().all(|object| object.reason.is_some()), "{unhealthy:?} has no reason");
    scene.spoil("settings").await?;
    scene.proxy.heal();
    scene.value_is("settings", "1").await?;
    scene.agent.wait(healthy).await?;

    // The API server is away and says so.
    scene.proxy.refuse();
    scene.agent.wait(|apps| apps["web"].health == Health::Unknown).await.context("refused connections")?;
    scene.spoil("settings").await?;
    scene.proxy.accept().await?;
    scene.value_is("settings", "1").await?;
    scene.agent.wait(healthy).await.map(drop)
}
