//! Which agents are connected: one connection each, the newest counts.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use shared_identity::AgentIdentity;
use shared_session::{BootId, CloneSuspicion, CloneWatch, Goodbye, GoodbyeReason};

use crate::connection::Connection;
use crate::limits::GOODBYE_GRACE;

/// How long a replaced agent should stay away: if it is a second process of one identity, this is how often the two change places.
const REPLACED_RETRY: Duration = Duration::from_secs(30);

/// The live connections and the boots seen under each identity.
#[derive(Default)]
pub(crate) struct Registry {
    live: Mutex<BTreeMap<AgentIdentity, Arc<Connection>>>,
    /// At most one small record per admitted identity.
    boots: Mutex<BTreeMap<AgentIdentity, CloneWatch>>,
}

impl Registry {
    /// Makes `connection` the one of its identity. An older one is told goodbye, and gone when this returns.
    pub(crate) async fn enter(&self, connection: &Arc<Connection>) {
        let older = self.live().insert(connection.peer.identity.clone(), Arc::clone(connection));
        if let Some(older) = older {
            older.leave.send_replace(Some(Goodbye {
                reason: GoodbyeReason::Replaced,
                message: "another connection with this cluster's certificate took over; is the agent running twice?".into(),
                retry_after: Some(REPLACED_RETRY),
            }));
            if tokio::time::timeout(GOODBYE_GRACE * 2, older.over.cancelled()).await.is_err() {
                older.cut.cancel();
                older.over.cancelled().await;
            }
        }
    }

    /// Forgets `connection` if it is still the one of its identity.
    pub(crate) fn leave(&self, connection: &Arc<Connection>) {
        let mut live = self.live();
        if live.get(&connection.peer.identity).is_some_and(|current| Arc::ptr_eq(current, connection)) {
            live.remove(&connection.peer.identity);
        }
    }

    /// The connection of an agent.
    pub(crate) fn of(&self, who: &AgentIdentity) -> Option<Arc<Connection>> {
        self.live().get(who).cloned()
    }

    /// All connections.
    pub(crate) fn all(&self) -> Vec<Arc<Connection>> {
        self.live().values().cloned().collect()
    }

    /// Takes note of a hello and says whether it shows two agents.
    pub(crate) fn said_hello(&self, who: &AgentIdentity, boot: BootId, uptime: Duration) -> Option<CloneSuspicion> {
        let mut boots = self.boots.lock().unwrap_or_else(PoisonError::into_inner);
        boots.entry(who.clone()).or_default().connected(boot, uptime)
    }

    fn live(&self) -> MutexGuard<'_, BTreeMap<AgentIdentity, Arc<Connection>>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
