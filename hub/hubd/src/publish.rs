//! What each cluster was told last, durably: its signed index with what the planning remembers of it, replaced by one compare-and-set.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use anyhow::{Context as _, bail};
use bytes::Bytes;
use hub_plan::{Approved, ClusterPlan, Memory};
use hub_store::{Commit, CommitOutcome, Condition, Operation, Version};
use serde::{Deserialize, Serialize};
use shared_model::{AppName, ClusterName, Digest};
use shared_release::{Format, Freshness, Index, Release, SUPPORTED_FEATURES, SignedIndex};
use shared_session::{AppKey, FreshnessDocument, IndexDocument, KeySet, RootDocument, Secret, Target};

use crate::api::{ApprovalRecord, approval_name};
use crate::audit::Action;
use crate::core::Core;
use crate::record::{self, Record};

/// The record of what a cluster was told: the contents by digest, as they may be larger than a record.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct TargetRecord {
    index: String,
    memory: String,
}

impl Record for TargetRecord {
    const TREE: &'static str = "targets";
}

impl TargetRecord {
    /// The contents that it names.
    pub(crate) fn contents(&self) -> anyhow::Result<[Digest; 2]> {
        Ok([self.index.parse()?, self.memory.parse()?])
    }
}

/// What a cluster was told.
#[derive(Clone)]
pub(crate) struct Told {
    pub(crate) signed: SignedIndex,
    pub(crate) index: Arc<Index>,
    pub(crate) memory: Memory,
    version: Version,
}

impl Core {
    /// Reads what a cluster was told last.
    pub(crate) async fn told(&self, name: &ClusterName) -> anyhow::Result<Option<Told>> {
        let Some((target, version)) = record::read::<TargetRecord>(&*self.store, name.as_str()).await? else { return Ok(None) };
        let signed = SignedIndex::from_bytes(&self.content(&target.index).await?)?;
        let memory = Memory::decode(&self.content(&target.memory).await?)?;
        let index = Arc::new(signed.read_own()?);
        Ok(Some(Told { signed, index, memory, version }))
    }

    async fn content(&self, digest: &str) -> anyhow::Result<Bytes> {
        let digest: Digest = digest.parse()?;
        self.store.get_blob(digest).await?.with_context(|| format!("the content {digest} is not in the store"))
    }

    /// Reads a release; one that is not there or not readable is `None`.
    pub(crate) async fn release(&self, digest: Digest) -> anyhow::Result<Option<Arc<Release>>> {
        let Some(bytes) = self.store.get_blob(digest).await? else { return Ok(None) };
        Ok(Release::decode(&bytes, SUPPORTED_FEATURES).ok().map(Arc::new))
    }

    /// Signs and stores a plan that changes something, together with the end of the approvals that it used and with its record in the audit
    /// log. On disk when this returns.
    pub(crate) async fn publish(&self, name: &ClusterName, before: Option<&Told>, plan: &ClusterPlan) -> anyhow::Result<Told> {
        let signed = match before.filter(|_| !plan.changed) {
            Some(told) => told.signed.clone(),
            None => plan.index.sign(&self.keys.signing),
        };
        let (index_bytes, memory_bytes) = (signed.to_bytes(), plan.memory.encode());
        if let Some(told) = before.filter(|_| index_bytes.len() > Format::INDEX.limit) {
            let (bytes, limit) = (index_bytes.len(), Format::INDEX.limit);
            tracing::error!(cluster = %name, bytes, limit, "the index is larger than an agent reads: the cluster keeps what it has; remove apps or end holds");
            return Ok(told.clone());
        }
        let digests = self.store.put_blobs(vec![index_bytes.into(), memory_bytes.into()]).await?;
        let [index, memory] = digests[..] else { bail!("BUG: the store took two contents and named {}", digests.len()) };
        let target = TargetRecord { index: index.to_string(), memory: memory.to_string() };
        let key = record::key::<TargetRecord>(name.as_str());
        let condition = match before {
            Some(told) => Condition::Version(key.clone(), told.version),
            None => Condition::Absent(key.clone()),
        };
        let mut operations = vec![Operation::Put(key, record::encode(&target).into())];
        operations.extend(plan.used.iter().map(|approved| Operation::Delete(approval_key(name, approved))));
        let commit = Commit { fence: None, conditions: vec![condition], operations };
        let outcome = if plan.changed {
            let message = format!("cluster {name} is told index {} ({})", plan.index.generation, signed.digest().short());
            self.audit.append_with(&*self.store, self.now(), "hub", Action::IndexPublished, message, commit).await?
        } else {
            self.store.commit(commit).await?
        };
        match outcome {
            CommitOutcome::Committed(version) => {
                Ok(Told { signed, index: Arc::new(plan.index.clone()), memory: plan.memory.clone(), version })
            }
            CommitOutcome::Conflict { key, .. } => bail!("{key} was changed by somebody else; it is planned again"),
        }
    }

    /// What a cluster's agent should hold.
    pub(crate) fn target(&self, told: &Told) -> anyhow::Result<Target> {
        Ok(Target {
            root: RootDocument::new(self.keys.root.to_bytes()),
            index: IndexDocument::new(told.signed.to_bytes()),
            freshness: Some(self.freshness(&told.index, told.signed.digest())),
            keys: Arc::new(self.app_keys(told.index.apps.keys())?),
        })
    }

    /// Says that an index is still what the hub wants.
    pub(crate) fn freshness(&self, index: &Index, digest: Digest) -> FreshnessDocument {
        let statement = Freshness { uid: index.uid.clone(), index: digest, at: self.now() };
        FreshnessDocument::new(statement.sign(&self.keys.signing).to_bytes())
    }

    fn app_keys<'a>(&self, apps: impl Iterator<Item = &'a AppName>) -> anyhow::Result<KeySet> {
        let key = |app: &AppName| AppKey { id: app.to_string(), secret: Secret::new(self.keys.data.app_key(app).as_bytes().to_vec()) };
        Ok(KeySet::new(apps.map(key))?)
    }
}

/// Everything that an agent may fetch: the releases of its index and their objects.
pub(crate) fn reachable(index: &Index, releases: &BTreeMap<Digest, Arc<Release>>) -> BTreeSet<Digest> {
    let mut reachable = BTreeSet::new();
    for digest in index.apps.values().filter_map(shared_release::IndexApp::content) {
        reachable.insert(digest);
        reachable.extend(releases.get(&digest).into_iter().flat_map(|release| release.entries.values()).map(|entry| entry.digest));
    }
    reachable
}

/// The key of the approval that a plan used.
fn approval_key(cluster: &ClusterName, approved: &Approved) -> hub_store::Key {
    let record =
        ApprovalRecord { app: Some(approved.app.to_string()), cluster: Some(cluster.to_string()), by: String::new(), at: String::new() };
    record::key::<ApprovalRecord>(&approval_name(&record, &approved.digest))
}
