//! What the loop and the link share: the ledger, the newest status, what does not work, and when the hub last confirmed the index.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use agent_cluster::{Role, View};
use agent_ledger::{Contents, Ledger, LedgerError};
use agent_plan::{TRACKING_ANNOTATION, Tracking};
use serde_json::Value;
use shared_model::{AppName, AppState, Digest, ObjectKey, Reason, Severity, Timestamp};
use shared_release::{Entry, decode_object};
use shared_session::Nodes;
use tokio::sync::{Notify, watch};

use crate::agent::FRESH_FOR;
use crate::fault_point::FaultPoints;
use crate::reach::Reach;

/// What the agent knows about itself and its apps.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Status {
    /// The apps. What is not another state is not another value, so that telling of one app does not copy a thousand.
    pub apps: BTreeMap<AppName, Arc<AppState>>,
    /// The accepted index.
    pub held: Option<Digest>,
    /// The index, if all that it asks for is done.
    pub applied: Option<Digest>,
    /// Whether this agent writes; `None` before the lease was asked.
    pub role: Option<Role>,
    /// The API server's version; empty until it was asked.
    pub kubernetes: String,
    /// The API versions that it serves.
    pub api_versions: Arc<BTreeSet<String>>,
    /// How many objects were healed since the agent's start.
    pub healed: u64,
}

/// What may not work, apart from single apps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// The ledger's disk.
    Ledger,
    /// The API server.
    ApiServer,
    /// A root document that is not accepted.
    Root,
}

/// What does not work, and why.
pub type Problems = BTreeMap<Part, String>;

/// The hub's last word that it still wants an index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Confirmed {
    pub(crate) index: Digest,
    /// When it came, by the agent's clock.
    pub(crate) received: Timestamp,
    /// When it was said, by the hub's clock.
    pub(crate) said: Timestamp,
}

pub(crate) struct Shared {
    pub(crate) view: Arc<View>,
    /// Who stands at the fault points.
    pub(crate) points: FaultPoints,
    ledger: Mutex<Ledger>,
    contents: Contents,
    storing: Mutex<Reach>,
    /// A content turned out not to be here although it should.
    lost: AtomicBool,
    status: watch::Sender<Status>,
    problems: watch::Sender<Problems>,
    nodes: watch::Sender<Arc<Nodes>>,
    freshness: Mutex<Option<Confirmed>>,
    nudge: Notify,
}

impl Shared {
    pub(crate) fn new(ledger: Ledger, points: FaultPoints) -> Self {
        Self {
            view: Arc::default(),
            points,
            contents: ledger.contents().clone(),
            ledger: Mutex::new(ledger),
            storing: Mutex::default(),
            lost: AtomicBool::default(),
            status: watch::Sender::default(),
            problems: watch::Sender::default(),
            nodes: watch::Sender::default(),
            freshness: Mutex::default(),
            nudge: Notify::new(),
        }
    }

    /// The ledger. Held for single reads and writes only, never across an await.
    pub(crate) fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Releases and objects, which are read without holding the ledger.
    pub(crate) fn contents(&self) -> &Contents {
        &self.contents
    }

    /// The right to store and remove contents. Held by one at a time, never while the ledger is held, and for long: ask for it on a thread
    /// that may block.
    pub(crate) fn storing(&self) -> MutexGuard<'_, Reach> {
        let mut reach = self.storing.lock().unwrap_or_else(PoisonError::into_inner);
        if self.lost.swap(false, Ordering::Relaxed) {
            reach.doubt();
        }
        reach
    }

    /// The content that `entry` of `app` wants, with the tracking annotation if the app claims it.
    pub(crate) fn ledger_object(&self, app: &AppName, entry: &Entry) -> Result<Value, Reason> {
        let unusable = |text: String| Reason::new(Severity::Error, "ContentUnusable", text);
        let blob = self.contents.read(&entry.digest).map_err(|error| {
            if matches!(error, LedgerError::NoBlob { .. }) {
                self.contents.discard(&entry.digest);
                self.lost.store(true, Ordering::Relaxed);
            }
            unusable(error.to_string())
        })?;
        let key = match &entry.sealed {
            None => None,
            Some(id) => Some(
                self.ledger()
                    .keys()
                    .get(app)
                    .cloned()
                    .ok_or_else(|| unusable(format!("{} is sealed with key {id}, which the hub has not sent yet", entry.object)))?,
            ),
        };
        let mut object = decode_object(&entry.object, &entry.digest, &blob, key.as_ref()).map_err(|error| unusable(error.to_string()))?;
        if entry.is_claimed() {
            let tracking = Tracking { app: app.clone(), object: ObjectKey::clone(&entry.object) };
            object.set_annotation(TRACKING_ANNOTATION, &tracking.to_string());
        }
        Ok(object.into_value())
    }

    /// Makes the loop look again.
    pub(crate) fn nudge(&self) {
        self.nudge.notify_one();
    }

    pub(crate) async fn nudged(&self) {
        self.nudge.notified().await;
    }

    pub(crate) fn report(&self, status: Status) {
        self.status.send_if_modified(|current| {
            let changed = *current != status;
            *current = status;
            changed
        });
    }

    pub(crate) fn status(&self) -> watch::Receiver<Status> {
        self.status.subscribe()
    }

    /// The hub confirmed that it still wants an index. Says whether that was believed: a word older than the last one is not.
    pub(crate) fn confirm(&self, confirmed: Confirmed) -> bool {
        let mut freshness = self.freshness.lock().unwrap_or_else(PoisonError::into_inner);
        if freshness.is_some_and(|before| before.said > confirmed.said) {
            return false;
        }
        let before = freshness.replace(confirmed);
        drop(freshness);
        // After a silence deletions were held, which may go on now.
        let after_silence = |before: &Confirmed| {
            Duration::try_from(confirmed.received.duration_since(before.received)).is_ok_and(|silence| silence >= FRESH_FOR)
        };
        if before.is_none_or(|before| before.index != confirmed.index || after_silence(&before)) {
            self.nudge();
        }
        true
    }

    pub(crate) fn freshness(&self) -> Option<Confirmed> {
        *self.freshness.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that a part does not work, or that it works again.
    pub(crate) fn set_problem(&self, part: Part, problem: Option<String>) {
        self.problems.send_if_modified(|problems| {
            let changed = problems.get(&part) != problem.as_ref();
            match problem {
                Some(problem) => problems.insert(part, problem),
                None => problems.remove(&part),
            };
            changed
        });
    }

    /// Takes in what the nodes are. That they could not be asked once does not undo what was seen of them; that the agent may not ask does.
    pub(crate) fn set_nodes(&self, nodes: Nodes) {
        self.nodes.send_if_modified(|current| {
            let is_outage = matches!(&nodes, Nodes::Unknown(reason) if reason.code != "Forbidden");
            let changed = **current != nodes && !(is_outage && matches!(**current, Nodes::Seen(_)));
            if changed {
                *current = Arc::new(nodes);
            }
            changed
        });
    }

    /// The cluster's nodes, and when they change.
    pub(crate) fn nodes(&self) -> watch::Receiver<Arc<Nodes>> {
        self.nodes.subscribe()
    }

    /// What does not work now, and when that changes.
    pub(crate) fn problems(&self) -> watch::Receiver<Problems> {
        self.problems.subscribe()
    }
}
