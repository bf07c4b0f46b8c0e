//! What all tasks of the hub share.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock, PoisonError, RwLock, Weak};

use hub_distribute::Handle;
use hub_source::{Mirror, SourceState};
use hub_store::Store;
use shared_model::{Clock, SourceName, Timestamp};
use tokio::sync::{Notify, watch};

use crate::audit::Audit;
use crate::charts::Charts;
use crate::keys::HubKeys;
use crate::live::Live;
use crate::mounts::RemoteBase;
use crate::picture::Picture;

/// One source with its poller.
pub(crate) struct Source {
    pub(crate) mirror: Arc<Mirror>,
    pub(crate) state: watch::Receiver<SourceState>,
    pub(crate) refresh: Arc<Notify>,
}

/// The hub.
pub(crate) struct Core {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) keys: Arc<HubKeys>,
    pub(crate) audit: Audit,
    pub(crate) live: Live,
    /// The sessions with all agents, once their door is open. They hold the core, and not the other way round.
    pub(crate) sessions: OnceLock<Weak<Handle>>,
    pub(crate) sources: BTreeMap<SourceName, Source>,
    /// Which source holds the fleet repository.
    pub(crate) fleet_source: SourceName,
    /// What kustomizations may name as remote bases.
    pub(crate) remote_bases: Arc<Vec<RemoteBase>>,
    pub(crate) charts: Charts,
    pub(crate) admissions: watch::Sender<u64>,
    /// An operator must accept each new cluster.
    pub(crate) accept_needed: bool,
    /// How agents reach the session and the enrolment door, for the command that `cluster add` prints.
    pub(crate) doors: RwLock<Doors>,
    pub(crate) clock: Clock,
    /// What came of the newest planning.
    pub(crate) picture: watch::Sender<Arc<Picture>>,
    wake: Notify,
}

/// Addresses as agents use them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Doors {
    pub(crate) agents: String,
    pub(crate) enrolment: String,
}

/// What a core is made of.
pub(crate) struct Parts {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) keys: Arc<HubKeys>,
    pub(crate) audit: Audit,
    pub(crate) sources: BTreeMap<SourceName, Source>,
    pub(crate) fleet_source: SourceName,
    pub(crate) remote_bases: Vec<RemoteBase>,
    pub(crate) charts: Charts,
    pub(crate) accept_needed: bool,
    pub(crate) clock: Clock,
}

impl Core {
    pub(crate) fn new(parts: Parts) -> Self {
        Self {
            store: parts.store,
            keys: parts.keys,
            audit: parts.audit,
            live: Live::default(),
            sessions: OnceLock::new(),
            sources: parts.sources,
            fleet_source: parts.fleet_source,
            remote_bases: Arc::new(parts.remote_bases),
            charts: parts.charts,
            admissions: watch::Sender::new(0),
            accept_needed: parts.accept_needed,
            doors: RwLock::default(),
            clock: parts.clock,
            picture: watch::Sender::default(),
            wake: Notify::new(),
        }
    }

    /// The time by the hub's clock.
    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Makes the planning look at everything again.
    pub(crate) fn replan(&self) {
        self.wake.notify_one();
    }

    pub(crate) async fn replan_asked(&self) {
        self.wake.notified().await;
    }

    /// Somebody's admission may have changed: live agents are asked about again.
    pub(crate) fn admissions_changed(&self) {
        self.admissions.send_modify(|count| *count += 1);
    }

    pub(crate) fn doors(&self) -> Doors {
        self.doors.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
