//! What the hub knows of each agent right now, by its own clock: levels in memory, made anew from what agents say after a restart. Only when a
//! cluster was last heard is also written down, so that a restarted hub does not call a dead cluster new.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use shared_identity::AgentIdentity;
use shared_manifest::Redaction;
use shared_model::{AppName, AppState, ClusterName, Digest, Drift, Timestamp};
use shared_release::Index;
use shared_session::{ClusterFacts, Heard, StatusChange, StatusIndex, Target};
use tokio::sync::{Notify, watch};

/// One cluster.
pub(crate) struct LiveCluster {
    /// The agent's newest word.
    pub(crate) heard: Option<Heard>,
    /// When it was heard last; from the store until it is heard again.
    pub(crate) last_heard: Option<Timestamp>,
    /// It has a connection.
    pub(crate) connected: bool,
    pub(crate) apps: BTreeMap<AppName, Arc<AppState>>,
    pub(crate) facts: Option<Arc<ClusterFacts>>,
    /// When two processes were last seen to use its identity.
    pub(crate) suspicion: Option<Timestamp>,
    /// The index that is in force, and what it reaches.
    pub(crate) index: Option<Arc<Index>>,
    pub(crate) reachable: Arc<BTreeSet<Digest>>,
    status: StatusIndex,
    target: watch::Sender<Option<Arc<Target>>>,
}

impl Default for LiveCluster {
    fn default() -> Self {
        Self {
            heard: None,
            last_heard: None,
            connected: false,
            apps: BTreeMap::new(),
            facts: None,
            suspicion: None,
            index: None,
            reachable: Arc::default(),
            status: StatusIndex::empty(),
            target: watch::Sender::new(None),
        }
    }
}

/// All clusters.
#[derive(Default)]
pub(crate) struct Live {
    clusters: RwLock<BTreeMap<ClusterName, LiveCluster>>,
    /// Something was reported that planning may have to look at.
    pub(crate) reported: Notify,
}

impl Live {
    /// A look at everything.
    pub(crate) fn read(&self) -> RwLockReadGuard<'_, BTreeMap<ClusterName, LiveCluster>> {
        self.clusters.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn with<T>(&self, name: &ClusterName, change: impl FnOnce(&mut LiveCluster) -> T) -> T {
        change(self.clusters.write().unwrap_or_else(PoisonError::into_inner).entry(name.clone()).or_default())
    }

    /// Forgets a cluster.
    pub(crate) fn forget(&self, name: &ClusterName) {
        self.clusters.write().unwrap_or_else(PoisonError::into_inner).remove(name);
    }

    /// The agent spoke.
    pub(crate) fn heard(&self, who: &AgentIdentity, heard: Heard) {
        let news = self.with(&who.cluster, |cluster| {
            let news = cluster.heard.as_ref().is_none_or(|before| before.held.index != heard.held.index || before.boot != heard.boot);
            cluster.last_heard = Some(heard.at);
            cluster.connected = true;
            cluster.heard = Some(heard);
            news
        });
        if news {
            self.reported.notify_one();
        }
    }

    pub(crate) fn parted(&self, who: &AgentIdentity) {
        self.with(&who.cluster, |cluster| cluster.connected = false);
    }

    /// Takes in a change of an agent's status as a whole.
    pub(crate) fn report(&self, who: &AgentIdentity, change: StatusChange) {
        self.with(&who.cluster, |cluster| {
            cluster.facts = change.facts.or(cluster.facts.take());
            for (app, report) in change.apps {
                cluster.apps.insert(app, as_shown(report.state));
            }
            for app in change.removed {
                cluster.apps.remove(&app);
            }
            cluster.status = change.index;
        });
        self.reported.notify_one();
    }

    pub(crate) fn recorded(&self, name: &ClusterName) -> StatusIndex {
        self.read().get(name).map_or_else(StatusIndex::empty, |cluster| cluster.status.clone())
    }

    pub(crate) fn suspect(&self, name: &ClusterName, at: Timestamp) {
        self.with(name, |cluster| cluster.suspicion = Some(at));
    }

    pub(crate) fn target(&self, name: &ClusterName) -> watch::Receiver<Option<Arc<Target>>> {
        self.with(name, |cluster| cluster.target.subscribe())
    }

    /// Puts a target in force. Live sessions send it on.
    pub(crate) fn set_target(&self, name: &ClusterName, index: Arc<Index>, reachable: BTreeSet<Digest>, target: Target) {
        self.with(name, |cluster| {
            cluster.index = Some(index);
            cluster.reachable = Arc::new(reachable);
            cluster.target.send_replace(Some(Arc::new(target)));
        });
    }

    /// Renews what is said about the freshness of each target of a connected cluster.
    pub(crate) fn refresh_targets(&self, renew: impl Fn(&AgentTarget<'_>) -> Target) {
        for (name, cluster) in self.read().iter().filter(|(_, cluster)| cluster.connected) {
            let (Some(index), Some(current)) = (&cluster.index, cluster.target.borrow().clone()) else { continue };
            cluster.target.send_replace(Some(Arc::new(renew(&AgentTarget { name, index, current: &current }))));
        }
    }
}

/// What an agent says of an app, fit to be shown: agents redact what differs in Secrets, and that is not left to an agent alone.
fn as_shown(mut state: Arc<AppState>) -> Arc<AppState> {
    let is_secret = |drift: &Drift| drift.object.kind.group.is_empty() && drift.object.kind.kind == "Secret";
    if state.drift.iter().any(is_secret) {
        for drift in &mut Arc::make_mut(&mut state).drift {
            let mut redaction = Redaction::default();
            let fields = std::mem::take(&mut drift.fields);
            drift.fields = fields.into_iter().map(|change| redaction.redact_reported(&drift.object.kind, change)).collect();
        }
    }
    state
}

/// A target whose freshness is due.
pub(crate) struct AgentTarget<'a> {
    pub(crate) name: &'a ClusterName,
    pub(crate) index: &'a Index,
    pub(crate) current: &'a Target,
}

#[cfg(test)]
mod tests {
    use shared_model::{DriftKind, FieldChange, GroupKind, Health, ObjectKey};

    use super::*;

    #[test]
    fn drift_of_a_secret_that_an_agent_sends_in_plain_text_is_not_kept_so() {
        let drift = |kind: &str| Drift {
            object: ObjectKey::new(GroupKind::new("", kind), Some("web"), "s"),
            kind: DriftKind::Changed,
            fields: vec![FieldChange {
                path: "data[\"tls.key\"]".to_owned(),
                wanted: Some("\"Y2FuYXJ5LTcxMQ==\"".to_owned()),
                found: Some("not even JSON: canary".to_owned()),
                manager: None,
                since: None,
            }],
            seen: Timestamp::UNIX_EPOCH,
            healed: None,
        };
        let state = AppState {
            wanted: None,
            applied: None,
            health: Health::Healthy,
            reason: None,
            objects: 2,
            unhealthy: Vec::new(),
            drift: vec![drift("Secret"), drift("ConfigMap")],
            awaiting_approval: Vec::new(),
            withdrawn: Vec::new(),
            removed: false,
            taken_over: Vec::new(),
            test: None,
        };
        let shown = as_shown(Arc::new(state.clone()));
        let values =
            |drift: &Drift| [drift.fields[0].found.clone().unwrap_or_default(), drift.fields[0].wanted.clone().unwrap_or_default()];
        assert_eq!(values(&shown.drift[0]), ["\"++++++++\"", "\"++++++++++++\""]);
        assert_eq!(shown.drift[1], state.drift[1], "what is no Secret is shown as it was said");
    }
}
