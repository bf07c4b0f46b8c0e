//! Keeps the copy of the ledger in the cluster up to date: one small write after a turn that changed something, the contents when the index
//! changed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use agent_cluster::{ClusterError, SecretParts};
use agent_ledger::{Mirror, MirrorError, MirrorFuture, Parts};
use shared_model::{Digest, Timestamp};

use crate::fault_point::FaultPoint;
use crate::shared::Shared;

/// The pause after a write that failed.
const RETRY: Duration = Duration::from_secs(15);

/// The ledger's copy as Secrets of the agent's namespace.
pub(crate) struct InSecrets(pub(crate) SecretParts);

impl Mirror for InSecrets {
    fn read(&self) -> MirrorFuture<'_, Parts> {
        Box::pin(async move { self.0.read().await.map_err(|error| failed("read", &error)) })
    }

    fn write(&self, parts: Parts) -> MirrorFuture<'_, ()> {
        Box::pin(async move { self.0.write(&parts).await.map_err(|error| failed("written", &error)) })
    }

    fn remove(&self, names: Vec<String>) -> MirrorFuture<'_, ()> {
        Box::pin(async move { self.0.remove(&names).await.map_err(|error| failed("written", &error)) })
    }
}

fn failed(action: &'static str, error: &ClusterError) -> MirrorError {
    MirrorError { action, detail: error.to_string() }
}

/// What is known of the copy.
pub(crate) struct Copy {
    mirror: Arc<dyn Mirror>,
    /// The digests of the parts as they were written last.
    written: BTreeMap<String, Digest>,
    contents: Option<BTreeSet<Digest>>,
    /// The ledger's revision that was written last.
    core: Option<(u64, u64)>,
    retry_at: Option<Timestamp>,
}

impl Copy {
    pub(crate) fn new(mirror: Arc<dyn Mirror>, found: &Parts) -> Self {
        let written = found.iter().map(|(name, bytes)| (name.clone(), Digest::of(bytes))).collect();
        Self { mirror, written, contents: None, core: None, retry_at: None }
    }

    /// What was written may not be there any more: everything is written again.
    pub(crate) fn doubt(&mut self) {
        self.written.clear();
        self.contents = None;
        self.core = None;
        self.retry_at = None;
    }

    pub(crate) fn retry_at(&self) -> Option<Timestamp> {
        self.retry_at
    }

    /// Writes whatever differs from what was written last.
    pub(crate) async fn bring_up_to_date(&mut self, shared: &Shared, contents: &BTreeSet<Digest>, now: Timestamp) {
        if self.retry_at.is_some_and(|at| now < at) {
            return;
        }
        self.retry_at = None;
        if let Err(error) = self.write(shared, contents).await {
            tracing::warn!(%error, "the ledger's copy in the cluster is out of date");
            self.retry_at = Some(now + RETRY);
        }
    }

    async fn write(&mut self, shared: &Shared, contents: &BTreeSet<Digest>) -> Result<(), MirrorError> {
        let revision = shared.ledger().core_revision();
        if self.core == Some(revision) && self.contents.as_ref() == Some(contents) {
            return Ok(());
        }
        let mut parts = shared.ledger().core_parts();
        let mut prefixes = vec!["state-", "inventory-"];
        let mut contents = Some(contents);
        if let Some(wanted) = contents.filter(|wanted| self.contents.as_ref() != Some(*wanted)) {
            let packed = shared.ledger().content_parts(wanted);
            match packed {
                Ok(Some(packed)) => parts.extend(packed),
                Ok(None) => {
                    tracing::warn!("the contents are over 8 MiB compressed: give the agent a volume to survive a lost pod without the hub");
                }
                // Another index came into force meanwhile, and its contents took the place of these. What the agent owns must not wait for
                // them: they are written after the next turn, which reads that index.
                Err(error) => {
                    tracing::debug!(%error, "the contents are not copied now");
                    contents = None;
                }
            }
            if contents.is_some() {
                prefixes.push("content-");
            }
        }
        let stale: Vec<String> = self
            .written
            .keys()
            .filter(|name| prefixes.iter().any(|prefix| name.starts_with(prefix)) && !parts.contains_key(*name))
            .cloned()
            .collect();
        let digests: BTreeMap<String, Digest> = parts.iter().map(|(name, bytes)| (name.clone(), Digest::of(bytes))).collect();
        parts.retain(|name, _| self.written.get(name) != digests.get(name));
        if !parts.is_empty() {
            shared.points.pass(FaultPoint::CopyBehind);
            self.mirror.write(parts).await?;
            shared.points.pass(FaultPoint::CopyWritten);
        }
        if !stale.is_empty() {
            self.mirror.remove(stale.clone()).await?;
        }
        for name in stale {
            self.written.remove(&name);
        }
        self.written.extend(digests);
        if let Some(contents) = contents {
            self.contents = Some(contents.clone());
        }
        self.core = Some(revision);
        Ok(())
    }
}
