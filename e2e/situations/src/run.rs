//! Runs one situation: its namespace, its agent, its steps. What must follow from a step is waited for; what must not happen is believed
//! once the agent has answered to later news.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use agent_agentd::{Guardrail, Running, Seat, Status, start};
use agent_cluster::Cluster;
use anyhow::Context as _;
use kube::Client;
use serde_json::{Value, json};
use shared_model::{AppName, Clock, ClusterUid, Timestamp};

use crate::act::{self, Act};
use crate::api::Api;
use crate::expect::{Expectation, Mismatch, Mismatches};
use crate::hub::{CLUSTER, Publication, PublishedApp, PublishedObject, TestHub};
use crate::requests::Requests;
use crate::situation::{Action, BEAT, Situation, Step};

/// Long enough for a busy machine; a situation that goes well never waits for it.
const PATIENCE: Duration = Duration::from_secs(40);

/// Pause between two looks at what must follow: a situation with ten steps loses at most a quarter of a second.
const LOOK_AGAIN: Duration = Duration::from_millis(25);

/// Who makes what is there before.
const SOMEBODY: &str = "somebody";

/// After how many beats the agent would have done what it wanted to do: one beat may overtake an event of another kind, three of them in a
/// row take longer than any event that was not lost.
const BEATS: usize = 3;

/// Why a situation failed.
#[derive(Debug)]
pub struct Failure {
    /// Which.
    pub situation: String,
    /// What it should show.
    pub shows: String,
    /// On which API server.
    pub on: &'static str,
    /// In which step, from 1; 0 is before the first.
    pub step: usize,
    /// What was not as expected.
    pub mismatches: Vec<Mismatch>,
    /// What broke.
    pub error: Option<anyhow::Error>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} on {}, step {}: {}", self.situation, self.on, self.step, self.shows)?;
        for mismatch in &self.mismatches {
            writeln!(f, "    {mismatch}")?;
        }
        if let Some(error) = &self.error {
            writeln!(f, "    {error:#}")?;
        }
        Ok(())
    }
}

/// Runs `situation` on `api`.
///
/// # Errors
/// The first step that went otherwise than expected.
pub async fn run(api: &Api, situation: &Situation) -> Result<(), Box<Failure>> {
    let failure = |step, mismatches, error| {
        let (name, shows) = (situation.name.clone(), situation.shows.clone());
        Box::new(Failure { situation: name, shows, on: api.name(), step, mismatches, error })
    };
    let set = tokio::time::timeout(PATIENCE, Stage::set(api, situation)).await;
    let set = set.unwrap_or_else(|_| Err(anyhow::anyhow!("what should be there before was not there in time")));
    let mut stage = set.map_err(|error| failure(0, Vec::new(), Some(error)))?;
    for (number, step) in situation.steps.iter().enumerate() {
        match stage.play(step).await {
            Ok(mismatches) if mismatches.is_empty() => {}
            Ok(mismatches) => return Err(failure(number + 1, mismatches, None)),
            Err(error) => return Err(failure(number + 1, Vec::new(), Some(error))),
        }
    }
    stage.stop().await;
    Ok(())
}

/// What one situation runs on.
struct Stage<'a> {
    api: &'a Api,
    situation: &'a Situation,
    client: Client,
    seat: TestSeat,
    /// Always one, but while it starts again.
    agent: Option<Running>,
    hub: TestHub,
    published: Publication,
    beat: u64,
}

/// Where the agent of a situation sits.
struct TestSeat {
    client: Client,
    requests: Requests,
    uid: ClusterUid,
    namespace: String,
    disk: tempfile::TempDir,
    starts: u32,
}

/// What was so before a step.
struct Before {
    /// Uids by path.
    uids: BTreeMap<String, String>,
    /// Requests of the agent.
    requests: usize,
}

impl<'a> Stage<'a> {
    async fn set(api: &'a Api, situation: &'a Situation) -> anyhow::Result<Self> {
        let client = api.client()?;
        let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": situation.namespace}});
        give(&client, situation, namespace).await?;
        if !situation.injections.is_empty() {
            api.inject(&situation.namespace, &situation.injections).await?;
        }
        for manifest in &situation.given {
            give(&client, situation, manifest.clone()).await?;
        }
        let (agent_client, requests) = api.counted_client()?;
        let uid = Cluster::with_client(client.clone()).uid().await?;
        let hub = TestHub::new(uid.clone());
        let namespace = format!("{}-agent", situation.namespace);
        let mut seat = TestSeat { client: agent_client, requests, uid, namespace, disk: tempfile::tempdir()?, starts: 0 };
        let agent = seat.start(false).await?;
        hub.introduce_to(&agent.intake)?;
        Ok(Self { api, situation, client, seat, agent: Some(agent), hub, published: Publication::new(), beat: 0 })
    }

    async fn stop(&mut self) {
        if let Some(agent) = self.agent.take() {
            agent.stop().await;
        }
    }

    /// Does what the step says and returns what did not follow.
    async fn play(&mut self, step: &Step) -> anyhow::Result<Vec<Mismatch>> {
        let expectation = &step.expectation;
        let mut before = Before { uids: BTreeMap::new(), requests: self.seat.requests.count() };
        for object in expectation.objects.iter().filter(|object| object.uid_same.is_some()) {
            let path = &object.subject.path;
            let live = act::look(&self.client, path).await?;
            let uid = live.as_ref().and_then(|live| live.pointer("/metadata/uid")).and_then(Value::as_str);
            before.uids.extend(uid.map(|uid| (path.clone(), uid.to_owned())));
        }
        tokio::time::timeout(PATIENCE, self.happen(&step.action)).await.context("it took too long")??;
        let patient = async {
            while !self.mismatches(expectation, &before).await?.is_empty() {
                tokio::time::sleep(LOOK_AGAIN).await;
            }
            anyhow::Ok(())
        };
        match tokio::time::timeout(PATIENCE, patient).await {
            Ok(outcome) => outcome?,
            Err(_) => return self.mismatches(expectation, &before).await,
        }
        if expectation.stays || !expectation.writes.is_empty() {
            for _ in 0..BEATS {
                self.beat().await?;
            }
            let mut mismatches = Mismatches(self.mismatches(expectation, &before).await?);
            let since = self.seat.requests.after(before.requests);
            for (subject, count) in &expectation.writes {
                let writes: Vec<_> = since.iter().filter(|sent| sent.is_write() && sent.is_about(&subject.path)).collect();
                mismatches.check(
                    writes.len() == *count,
                    format!("writes to {}", subject.key),
                    count,
                    format!("{} {writes:?}", writes.len()),
                );
            }
            return Ok(mismatches.0);
        }
        Ok(Vec::new())
    }

    async fn happen(&mut self, action: &Action) -> anyhow::Result<()> {
        match action {
            Action::Wait => Ok(()),
            Action::Publish(apps) => {
                self.published.clone_from(apps);
                self.publish()
            }
            Action::Change(changes) => {
                for (name, change) in changes {
                    if change.unnamed {
                        self.published.remove(name);
                        continue;
                    }
                    let app = self.published.entry(name.clone()).or_default();
                    change.apply_to(app, &self.situation.kinds).map_err(anyhow::Error::msg)?;
                }
                self.publish()
            }
            Action::Act { act: Act::EndJob(job, well), .. } => self.api.end_job(&self.client, job, *well).await,
            Action::Act { by, act } => act::act(&self.client, by, act).await,
            Action::RestartAgent => self.start_again(false).await,
            Action::ReplaceAgent => self.start_again(true).await,
        }
    }

    async fn start_again(&mut self, with_empty_disk: bool) -> anyhow::Result<()> {
        self.stop().await;
        let agent = self.seat.start(with_empty_disk).await?;
        self.hub.introduce_to(&agent.intake)?;
        self.agent = Some(agent);
        self.hub.confirm(&self.agent()?.intake)
    }

    fn agent(&self) -> anyhow::Result<&Running> {
        self.agent.as_ref().context("the agent does not run")
    }

    /// Publishes, always with one app more: a change of it shows that the agent has taken note of all before it.
    fn publish(&self) -> anyhow::Result<()> {
        let mut apps = self.published.clone();
        let count = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": BEAT, "namespace": self.situation.namespace},
            "data": {"beat": self.beat.to_string()}});
        let app = PublishedApp { objects: Some(vec![PublishedObject::plain(count)]), ..PublishedApp::default() };
        apps.insert(BEAT.parse()?, app);
        self.hub.publish(&self.agent()?.intake, &apps)
    }

    /// Waits until the agent has answered to something that happens now, and so has thought about all that happened before.
    async fn beat(&mut self) -> anyhow::Result<()> {
        self.beat += 1;
        self.publish()?;
        let agent = self.agent()?;
        let held = agent.intake.held();
        let app: AppName = BEAT.parse()?;
        let mut status = agent.status.clone();
        let good = |status: &Status| {
            let beat = status.apps.get(&app);
            status.held == held && beat.is_some_and(|beat| beat.wanted.is_some() && beat.applied == beat.wanted)
        };
        let last = tokio::time::timeout(PATIENCE, status.wait_for(good)).await;
        last.with_context(|| format!("the agent does not answer any more: {:?}", agent.status.borrow().apps))??;
        Ok(())
    }

    async fn mismatches(&self, expectation: &Expectation, before: &Before) -> anyhow::Result<Vec<Mismatch>> {
        let mut mismatches = Mismatches::default();
        let apps = self.agent()?.status.borrow().apps.clone();
        for (name, app) in &expectation.apps {
            app.compare(name, apps.get(name).map(std::sync::Arc::as_ref), &mut mismatches);
        }
        let looks = expectation.objects.iter().map(|object| act::look(&self.client, &object.subject.path));
        for (object, live) in expectation.objects.iter().zip(futures_util::future::try_join_all(looks).await?) {
            let uid = before.uids.get(&object.subject.path).map(String::as_str);
            object.compare(live.as_ref(), uid, &mut mismatches);
        }
        let since = self.seat.requests.after(before.requests);
        for subject in &expectation.looked_at {
            let looked = since.iter().any(|sent| sent.method == http::Method::GET && sent.path == subject.path);
            mismatches.check(looked, subject.key.to_string(), "a look at it", "none");
        }
        let places = expectation
            .written_in_order
            .iter()
            .map(|subject| since.iter().position(|sent| sent.is_write() && sent.is_about(&subject.path)));
        let places: Option<Vec<usize>> = places.collect();
        let expected = || expectation.written_in_order.iter().map(|subject| subject.key.to_string()).collect::<Vec<_>>().join(", ");
        let written = || since.iter().filter(|sent| sent.is_write()).map(|sent| sent.path.clone()).collect::<Vec<_>>().join(", ");
        if places.is_none_or(|places| !places.is_sorted()) {
            mismatches.check(false, "order of writes", expected(), written());
        }
        Ok(mismatches.0)
    }
}

impl TestSeat {
    async fn start(&mut self, with_empty_disk: bool) -> anyhow::Result<Running> {
        self.starts += 1;
        let ledger = if with_empty_disk { format!("ledger-{}", self.starts) } else { "ledger".to_owned() };
        let seat = Seat {
            cluster: Cluster::with_client(self.client.clone()),
            name: CLUSTER.parse()?,
            uid: self.uid.clone(),
            ledger: &self.disk.path().join(ledger),
            namespace: &self.namespace,
            instance: format!("{}-{}", self.namespace, self.starts),
            guardrail: Guardrail::open(self.namespace.clone()),
        };
        start(seat, Clock::new(Timestamp::now)).await
    }
}

/// Creates what is there before; what is not accepted yet, because its definition is not served or its namespace has no account, is tried
/// again.
async fn give(client: &Client, situation: &Situation, manifest: Value) -> anyhow::Result<()> {
    let subject = situation.kinds.subject_of(&manifest).map_err(anyhow::Error::msg)?;
    let create = Act::Create(subject, manifest);
    let mut last = anyhow::anyhow!("nothing was tried");
    let trying = async {
        while let Err(error) = act::act(client, SOMEBODY, &create).await {
            last = error;
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    };
    let outcome = tokio::time::timeout(PATIENCE, trying).await;
    outcome.map_err(|_| last.context("what should be there before cannot be made"))
}
