//! What a user asked of the API server, from its audit log.

use std::collections::BTreeMap;
use std::fmt;

use e2e_cluster::{AuditEvent, ControlPlane};
use jiff::Timestamp;

/// How often each verb was asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Requests(BTreeMap<String, usize>);

impl Requests {
    /// Everything that `user` asked for from `since` on, but what renews its lease.
    pub(super) async fn of(plane: &ControlPlane, user: &str, since: Timestamp) -> anyhow::Result<Self> {
        Ok(Self::count(&plane.audit_events().await?, user, since))
    }

    fn count(events: &[AuditEvent], user: &str, since: Timestamp) -> Self {
        let mut verbs = BTreeMap::new();
        for event in events.iter().filter(|event| event.user == user && event.time >= since) {
            *verbs.entry(verb(event)).or_default() += 1;
        }
        Self(verbs)
    }

    /// Requests in all, the lease's left out.
    pub(super) fn total(&self) -> usize {
        self.0.iter().filter(|(verb, _)| *verb != LEASE).map(|(_, count)| count).sum()
    }

    /// Those with this verb.
    pub(super) fn with(&self, verb: &str) -> usize {
        self.0.get(verb).copied().unwrap_or(0)
    }

    /// Those that changed something or tried to, dry runs as well; the lease's left out.
    pub(super) fn writes(&self) -> usize {
        ["create", "update", "patch", "delete", "deletecollection", DRY_RUN].into_iter().map(|verb| self.with(verb)).sum()
    }
}

/// What stands for a dry run of any verb.
pub(super) const DRY_RUN: &str = "dry run";
/// What stands for a request that takes or renews the agent's lease.
pub(super) const LEASE: &str = "lease";

fn verb(event: &AuditEvent) -> String {
    if event.resource.as_deref() == Some("leases") {
        LEASE.to_owned()
    } else if event.uri.contains("dryRun=All") {
        DRY_RUN.to_owned()
    } else {
        event.verb.clone()
    }
}

impl fmt::Display for Requests {
    /// `patch 1000, list 8, watch 4`: the most frequent first.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut verbs: Vec<_> = self.0.iter().collect();
        verbs.sort_by_key(|(verb, count)| (std::cmp::Reverse(**count), verb.as_str()));
        let words: Vec<String> = verbs.into_iter().map(|(verb, count)| format!("{verb} {count}")).collect();
        f.write_str(&if words.is_empty() { "none".to_owned() } else { words.join(", ") })
    }
}
