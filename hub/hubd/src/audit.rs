//! The audit log: who did what, each record chained to the one before it by digest.

use hub_store::{Commit, CommitOutcome, Store};
use serde::{Deserialize, Serialize};
use shared_model::{Digest, Timestamp};
use tokio::sync::Mutex;

use crate::record::{self, Record, RecordError};

/// One accepted change.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct AuditRecord {
    /// When, by the hub's clock.
    pub(crate) at: String,
    /// Who: an operator's token, a cluster's agent, or `hub`.
    pub(crate) actor: String,
    /// What: `ClusterAdded`, `Approved`, `IndexPublished`, `HistoryRewritten`.
    pub(crate) action: String,
    /// The facts in one sentence.
    pub(crate) message: String,
    /// The digest of the record before this one.
    pub(crate) previous: Option<String>,
}

impl Record for AuditRecord {
    const TREE: &'static str = "audit";
}

/// The end of the log.
pub(crate) struct Audit {
    last: Mutex<(u64, Option<Digest>)>,
}

impl Audit {
    /// Finds the end of the log and checks the chain on the way.
    pub(crate) async fn open(store: &dyn Store) -> Result<Self, RecordError> {
        let mut last = (0, None);
        for (name, entry) in record::read_all::<AuditRecord>(store).await? {
            let found: Option<String> = last.1.map(|digest: Digest| digest.to_string());
            if entry.previous != found {
                tracing::error!(record = name, "the audit log's chain is broken here: a record was changed or taken away");
            }
            last = (name.parse().unwrap_or(last.0) + 1, Some(Digest::of(&record::encode(&entry))));
        }
        Ok(Self { last: Mutex::new(last) })
    }

    /// Appends a record; it is on disk when this returns.
    pub(crate) async fn append(
        &self,
        store: &dyn Store,
        at: Timestamp,
        actor: &str,
        action: &str,
        message: String,
    ) -> Result<(), RecordError> {
        let nothing_else = Commit { fence: None, conditions: Vec::new(), operations: Vec::new() };
        record::won(self.append_with(store, at, actor, action, message, nothing_else).await?).map(|_| ())
    }

    /// Carries out `change` and appends the record of it in one commit, so that a hub that is killed leaves both or neither. Nothing is
    /// appended if somebody was before the change.
    pub(crate) async fn append_with(
        &self,
        store: &dyn Store,
        at: Timestamp,
        actor: &str,
        action: &str,
        message: String,
        change: Commit,
    ) -> Result<CommitOutcome, RecordError> {
        let mut last = self.last.lock().await;
        loop {
            let entry = AuditRecord {
                at: at.to_string(),
                actor: actor.to_owned(),
                action: action.to_owned(),
                message: message.clone(),
                previous: last.1.map(|digest| digest.to_string()),
            };
            let name = format!("{:020}", last.0);
            let appended = record::commit(&name, &entry, None);
            let mut both = change.clone();
            both.conditions.extend(appended.conditions);
            both.operations.extend(appended.operations);
            match store.commit(both).await? {
                CommitOutcome::Conflict { key, .. } if key.tree() == AuditRecord::TREE => {
                    // An append whose asker went away before its answer was carried out all the same: go on after it.
                    let (found, _) = record::read::<AuditRecord>(store, &name).await?.ok_or(RecordError::Lost { key })?;
                    *last = (last.0 + 1, Some(Digest::of(&record::encode(&found))));
                }
                outcome @ CommitOutcome::Conflict { .. } => return Ok(outcome),
                outcome @ CommitOutcome::Committed(_) => {
                    tracing::info!(actor, action, facts = message, "audit");
                    *last = (last.0 + 1, Some(Digest::of(&record::encode(&entry))));
                    return Ok(outcome);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use hub_store::MemoryStore;

    use super::*;

    async fn append(audit: &Audit, store: &MemoryStore, action: &str) -> Result<(), RecordError> {
        audit.append(store, Timestamp::UNIX_EPOCH, "hub", action, String::new()).await
    }

    async fn actions(store: &MemoryStore) -> Result<Vec<String>, RecordError> {
        let all = record::read_all::<AuditRecord>(store).await?;
        Ok(all.into_iter().map(|(_, entry)| format!("{} after {}", entry.action, entry.previous.map_or(0, |_| 1))).collect())
    }

    #[tokio::test]
    async fn an_append_whose_asker_went_away_stays_and_the_next_one_follows_it() -> Result<(), RecordError> {
        let store = MemoryStore::default();
        let audit = Audit::open(&store).await?;
        // What a dropped append leaves: its record is there, and nobody was told.
        append(&Audit::open(&store).await?, &store, "First").await?;
        append(&audit, &store, "Second").await?;
        assert_eq!(actions(&store).await?, ["First after 0", "Second after 1"]);
        Ok(())
    }

    #[tokio::test]
    async fn a_change_that_somebody_was_before_is_not_recorded() -> Result<(), RecordError> {
        let store = MemoryStore::default();
        let audit = Audit::open(&store).await?;
        append(&audit, &store, "First").await?;
        let change = record::commit("x", &Elsewhere {}, None);
        record::won(store.commit(change.clone()).await?)?;
        let outcome = audit.append_with(&store, Timestamp::UNIX_EPOCH, "hub", "Second", String::new(), change).await?;
        assert!(matches!(outcome, CommitOutcome::Conflict { .. }));
        assert_eq!(actions(&store).await?, ["First after 0"]);
        Ok(())
    }

    #[derive(Debug, Serialize, Deserialize)]
    struct Elsewhere {}

    impl Record for Elsewhere {
        const TREE: &'static str = "elsewhere";
    }
}
