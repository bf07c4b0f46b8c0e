//! The agent's core as its link to the hub sees it: what is held, the status as it is reported, and the door for what comes in.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use agent_cluster::{Cluster, Role};
use agent_ledger::{Certified, Identity, Ledger};
use agent_link::{Later, LogSource, Site};
use agent_plan::Guardrail;
use bytes::Bytes;
use shared_identity::AgentCertificate;
use shared_model::{AppName, AppState, Clock, Digest, Reason, Severity};
use shared_release::{AppKey, SignedFreshness, SignedIndex, SignedRoot};
use shared_session::{
    Answer, ClusterFacts, FreshnessDocument, Held, IndexDocument, KeySet, LogQuestion, Nodes, Question, RootDocument, Secret, Verdict,
};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::facts::keep_nodes;
use crate::intake::{Accepted, Intake};
use crate::live::LiveView;
use crate::shared::{Part, Problems, Shared, Status};

/// What the link talks to.
pub(crate) struct AgentSite {
    clock: Clock,
    intake: Intake,
    live: LiveView,
    shared: Arc<Shared>,
    shown: Arc<Shown>,
    tasks: [JoinHandle<()>; 2],
}

/// What is shown to the hub.
struct Shown {
    shared: Arc<Shared>,
    held: watch::Sender<Held>,
    status: watch::Sender<shared_session::Status>,
    freshness: Mutex<Option<Digest>>,
    durable: Mutex<Option<(u64, Durable)>>,
}

/// What follows from the ledger's state alone.
#[derive(Clone, Default)]
struct Durable {
    held: Held,
    /// The index in force: its own digest, and that of its document.
    in_force: Option<(Digest, Digest)>,
}

impl AgentSite {
    /// A site that shows the newest status from now on.
    pub(crate) fn start(cluster: Cluster, guardrail: Guardrail, clock: Clock, intake: Intake, shared: Arc<Shared>) -> Arc<Self> {
        let status = shared_session::Status::new(ClusterFacts::default(), []);
        let shown = Arc::new(Shown {
            shared: shared.clone(),
            held: watch::Sender::default(),
            status: watch::Sender::new(status),
            freshness: Mutex::default(),
            durable: Mutex::default(),
        });
        shown.refresh_held();
        let tasks = [tokio::spawn(follow(shown.clone())), tokio::spawn(keep_nodes(cluster.clone(), shared.clone()))];
        let live = LiveView { cluster, guardrail, shared: shared.clone() };
        Arc::new(Self { clock, intake, live, shared, shown, tasks })
    }

    /// Runs `work` on a thread that may block; what is held is up to date afterwards.
    async fn blocking<T: Send + 'static>(&self, work: impl FnOnce(&Intake) -> T + Send + 'static) -> T {
        let (intake, shown) = (self.intake.clone(), self.shown.clone());
        let task = tokio::task::spawn_blocking(move || {
            let outcome = work(&intake);
            shown.refresh_held();
            outcome
        });
        match task.await {
            Ok(outcome) => outcome,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                // The process ends.
                Err(_) => std::future::pending().await,
            },
        }
    }
}

impl Drop for AgentSite {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

/// What the hub is told of.
#[derive(Clone, Default)]
struct Sight {
    status: Status,
    problems: Problems,
    nodes: Arc<Nodes>,
}

/// Translates each new status for as long as the agent lives. Work is proportional to the apps that changed.
async fn follow(shown: Arc<Shown>) {
    let (mut status, mut problems, mut nodes) = (shown.shared.status(), shown.shared.problems(), shown.shared.nodes());
    let mut before = Sight::default();
    loop {
        let now = Sight {
            status: status.borrow_and_update().clone(),
            problems: problems.borrow_and_update().clone(),
            nodes: nodes.borrow_and_update().clone(),
        };
        shown.refresh_held();
        let next = translate(&before, &now, &shown.status.borrow());
        shown.status.send_if_modified(|current| {
            let changed = *current != next;
            *current = next;
            changed
        });
        before = now;
        let alive = tokio::select! {
            changed = status.changed() => changed.is_ok(),
            changed = problems.changed() => changed.is_ok(),
            changed = nodes.changed() => changed.is_ok(),
        };
        if !alive {
            return;
        }
    }
}

/// The status in the session's words.
fn translate(before: &Sight, now: &Sight, shown: &shared_session::Status) -> shared_session::Status {
    let facts = facts(now);
    let mut next = if facts == self::facts(before) { shown.clone() } else { shown.clone().with_facts(facts) };
    for name in before.status.apps.keys().filter(|name| !now.status.apps.contains_key(*name)) {
        next = next.with(name.clone(), None);
    }
    for (name, state) in now.status.apps.iter().filter(|(name, state)| before.status.apps.get(*name) != Some(*state)) {
        next = next.with(name.clone(), Some(AppState::clone(state)));
    }
    next
}

/// The cluster's facts; what does not work in the agent itself stands among them as labels, so that it reaches the operator.
fn facts(Sight { status, problems, nodes }: &Sight) -> ClusterFacts {
    let mut labels = BTreeMap::new();
    if let Some(Role::Reader { holder }) = &status.role {
        labels.insert("agent.role".to_owned(), format!("reader: the lease is held by {holder}"));
    }
    for (part, problem) in problems {
        let name = match part {
            Part::Ledger => "agent.ledger",
            Part::Root => "agent.root",
            // Without it every app's health is Unknown already.
            Part::ApiServer => continue,
        };
        let mut text = problem.clone();
        // A longer one would be left out of the facts as a whole.
        text.truncate(text.floor_char_boundary(shared_session::OBJECT_NAME_LIMIT));
        labels.insert(name.to_owned(), text);
    }
    ClusterFacts {
        kubernetes: status.kubernetes.clone(),
        api_versions: BTreeSet::clone(&status.api_versions),
        labels,
        nodes: Nodes::clone(nodes),
    }
}

impl Shown {
    fn refresh_held(&self) {
        let Durable { held, in_force } = self.durable();
        let applied = self.shared.status().borrow().applied;
        let held = Held {
            applied: in_force.filter(|(digest, _)| Some(*digest) == applied).map(|(_, document)| document),
            freshness: *self.freshness.lock().unwrap_or_else(PoisonError::into_inner),
            ..held
        };
        self.held.send_if_modified(|current| {
            let changed = *current != held;
            *current = held;
            changed
        });
    }

    fn durable(&self) -> Durable {
        let mut known = self.durable.lock().unwrap_or_else(PoisonError::into_inner);
        let ledger = self.shared.ledger();
        match &*known {
            Some((revision, durable)) if *revision == ledger.revision() => durable.clone(),
            _ => {
                let durable = Durable::of(&ledger);
                *known = Some((ledger.revision(), durable.clone()));
                durable
            }
        }
    }
}

impl Durable {
    fn of(ledger: &Ledger) -> Self {
        let document = |signed: &SignedIndex| IndexDocument::new(signed.to_bytes()).digest();
        let keys = ledger
            .keys()
            .iter()
            .map(|(app, key)| shared_session::AppKey { id: app.to_string(), secret: Secret::new(key.as_bytes().to_vec()) });
        let newest = ledger.newest();
        Self {
            held: Held {
                generation: newest.and_then(|signed| signed.read_own().ok()).map(|index| index.generation).unwrap_or_default(),
                index: newest.map(document),
                root: ledger.root().map(|root| RootDocument::new(root.to_bytes()).digest()),
                keys: KeySet::new(keys).ok().map(|set| set.digest()),
                ..Held::default()
            },
            in_force: ledger.index().map(|signed| (signed.digest(), document(signed))),
        }
    }
}

impl Site for AgentSite {
    fn held(&self) -> watch::Receiver<Held> {
        self.shown.held.subscribe()
    }

    fn status(&self) -> watch::Receiver<shared_session::Status> {
        self.shown.status.subscribe()
    }

    fn take_root(&self, root: RootDocument) -> Later<'_, ()> {
        Box::pin(async move {
            let outcome = self.blocking(move |intake| match SignedRoot::from_bytes(root.bytes()) {
                Ok(root) => intake.offer_root(&root),
                Err(error) => Err(Reason::new(Severity::Error, "RootNotTrusted", error.to_string())),
            });
            let refusal = outcome.await.err();
            if let Some(reason) = &refusal {
                tracing::error!(%reason, "root document refused");
            }
            self.shared.set_problem(Part::Root, refusal.map(|reason| reason.to_string()));
        })
    }

    fn take_keys(&self, keys: Arc<KeySet>) -> Later<'_, ()> {
        Box::pin(async move {
            if let Err(reason) = self.blocking(move |intake| intake.set_keys(app_keys(&keys))).await {
                tracing::error!(%reason, "keys could not be stored");
            }
        })
    }

    fn take_freshness(&self, freshness: FreshnessDocument) -> Later<'_, ()> {
        let taken = SignedFreshness::from_bytes(freshness.bytes())
            .map_err(|error| Reason::new(Severity::Error, "FreshnessNotTrusted", error.to_string()))
            .and_then(|statement| self.intake.confirm(&statement, self.clock.now()));
        match taken {
            Ok(()) => {
                *self.shown.freshness.lock().unwrap_or_else(PoisonError::into_inner) = Some(freshness.digest());
                self.shown.refresh_held();
            }
            Err(reason) => tracing::warn!(%reason, "freshness statement refused"),
        }
        Box::pin(std::future::ready(()))
    }

    fn judge(&self, index: IndexDocument) -> Later<'_, Verdict> {
        Box::pin(async move {
            let judged = self.blocking(move |intake| match SignedIndex::from_bytes(index.bytes()) {
                Ok(signed) => intake.offer_index(&signed),
                Err(error) => Err(Reason::new(Severity::Error, "IndexNotTrusted", error.to_string())),
            });
            match judged.await {
                Ok(Accepted { generation, .. }) => Verdict::Accepted(generation),
                Err(reason) => Verdict::Refused(reason),
            }
        })
    }

    fn missing(&self, limit: usize) -> Later<'_, Vec<Digest>> {
        Box::pin(self.blocking(move |intake| intake.missing(limit)))
    }

    fn store(&self, content: Vec<(Digest, Bytes)>) -> Later<'_, Result<(), Reason>> {
        Box::pin(self.blocking(move |intake| intake.store(&content)))
    }

    fn unobtainable(&self, digests: Vec<Digest>) {
        let first = digests.first().map(Digest::short).unwrap_or_default();
        tracing::warn!(count = digests.len(), first, "the hub does not have contents that are needed here; they are asked for again");
    }

    fn answer(&self, question: Question) -> Later<'_, Result<Answer, Reason>> {
        Box::pin(self.live.answer(question))
    }

    fn read_log(&self, question: LogQuestion) -> Later<'_, Result<LogSource, Reason>> {
        Box::pin(self.live.read_log(question))
    }

    fn certified<'a>(&'a self, certificate: &'a AgentCertificate) -> Later<'a, Result<(), Reason>> {
        Box::pin(async move {
            let chain_pem = certificate.chain.to_pem();
            let shared = self.shared.clone();
            self.blocking(move |_| {
                let not_stored = |text: String| Reason::new(Severity::Error, "LedgerNotWritable", text);
                let mut ledger = shared.ledger();
                let Some(Identity { key_pem, certified: Some(before) }) = ledger.identity().cloned() else {
                    return Err(not_stored("BUG: a certificate was renewed that the ledger does not hold".to_owned()));
                };
                let certified = Some(Certified { chain_pem, ..before });
                ledger.set_identity(Identity { key_pem, certified }).map_err(|error| not_stored(error.to_string()))
            })
            .await?;
            // The loop copies the ledger into the cluster.
            self.shared.nudge();
            Ok(())
        })
    }
}

/// The keys as the ledger holds them. One that is no app's, or not 32 bytes, is left out; the hub then sees another digest than it expects.
fn app_keys(keys: &KeySet) -> BTreeMap<AppName, AppKey> {
    let mut taken = BTreeMap::new();
    for (id, secret) in keys.iter() {
        match (id.parse::<AppName>(), <[u8; 32]>::try_from(secret.expose())) {
            (Ok(app), Ok(bytes)) => {
                taken.insert(app.clone(), AppKey::from_bytes(app, bytes));
            }
            _ => {
                tracing::warn!(id, "the hub sent a key that is not of the form this agent knows; upgrade the agent if objects stay sealed");
            }
        }
    }
    taken
}
