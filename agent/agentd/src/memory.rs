//! The agent's memory at its start: the ledger on disk, and what its copy in the cluster has that the disk has not.

use std::path::Path;
use std::sync::Arc;

use agent_cluster::{Cluster, SecretParts};
use agent_ledger::{Copied, Ledger, LedgerError, Mirror as _, MirrorError};

use crate::copy::InSecrets;

/// An opened ledger with its copy.
pub(crate) struct Memory {
    pub(crate) ledger: Ledger,
    pub(crate) mirror: Arc<InSecrets>,
    /// What the copy holds.
    pub(crate) copied: Copied,
}

/// Why an agent does not know what it must not forget.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MemoryError {
    /// The disk cannot be used.
    #[error("the ledger cannot be opened: {0}")]
    Disk(#[from] LedgerError),
    /// The disk is empty and the copy cannot be read now.
    #[error("the disk is empty and the copy cannot be read, and without both the agent would forget what it owns: {0}")]
    NoCopy(#[source] MirrorError),
    /// The disk is empty and the copy is damaged.
    #[error(
        "the disk is empty and the copy in the Secrets of namespace {namespace} is damaged: {damage}. Restore the Secrets from a backup; \
         or delete those with the label capstan.dev/ledger and enrol again: objects are then found by their tracking annotation"
    )]
    DamagedCopy {
        /// Where the copy is.
        namespace: String,
        /// What is damaged.
        damage: LedgerError,
    },
}

impl Memory {
    /// Opens the ledger in `directory` and fills it from the copy in `namespace`.
    pub(crate) async fn open(cluster: &Cluster, namespace: &str, directory: &Path) -> Result<Self, MemoryError> {
        let opened = Ledger::open(directory)?;
        let mut ledger = opened.ledger;
        for damage in &opened.damaged {
            tracing::error!(%damage, "a part of the ledger was damaged");
        }
        let depends_on_copy = ledger.is_blank() || !opened.damaged.is_empty();
        let mirror = InSecrets(SecretParts::new(cluster.clone(), namespace));
        let known = ledger.copied();
        // What this disk wrote last, and nobody else since, has nothing to tell: the copy is at least as old as the disk.
        if !depends_on_copy && known.core.is_some() && mirror.marks().await.is_ok_and(|marks| known.still_holds(&marks)) {
            return Ok(Self { ledger, mirror: Arc::new(mirror), copied: known });
        }
        let (found, marks) = match mirror.read().await {
            Ok(found) => found,
            // With a ledger on disk the agent can do without; without one it must not guess.
            Err(error) if depends_on_copy => return Err(MemoryError::NoCopy(error)),
            Err(error) => {
                tracing::warn!(%error, "the ledger's copy cannot be read; going on with the disk");
                return Ok(Self { ledger, mirror: Arc::new(mirror), copied: Copied::default() });
            }
        };
        let restored = ledger.restore(&found)?;
        let copied = Copied { contents: restored.contents, ..Copied::read_from(&found, &marks) };
        for damage in restored.damaged {
            // Contents are fetched again; who the agent is and what it owns is known from nowhere else.
            let vital = !matches!(damage, LedgerError::Damaged { what: "content", .. });
            if depends_on_copy && vital {
                return Err(MemoryError::DamagedCopy { namespace: namespace.to_owned(), damage });
            }
            tracing::error!(%damage, "a part of the ledger's copy is damaged; it is written anew");
        }
        if restored.taken {
            tracing::info!("the ledger was filled from its copy in the cluster");
        }
        Ok(Self { ledger, mirror: Arc::new(mirror), copied })
    }
}
