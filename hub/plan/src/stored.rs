//! How what is remembered between two plans is written and read: JSON with a version, and a newer one is refused. What is remembered is left
//! to the modules that own it.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use shared_model::{GroupKind, ObjectKey};

/// Why a stored value cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidStored {
    /// A newer hub wrote it.
    #[error(
        "the stored {what} has version {version}, and this hub reads up to {supported}: start the newer hub again, or restore a backup"
    )]
    Newer {
        /// What is stored.
        what: &'static str,
        /// Its version.
        version: u64,
        /// The newest version that is understood.
        supported: u64,
    },
    /// Damaged, or something else.
    #[error("the stored {what} cannot be read: {detail}; restore it from a backup")]
    Malformed {
        /// What is stored.
        what: &'static str,
        /// What is wrong.
        detail: String,
    },
}

#[derive(Serialize, Deserialize)]
struct Versioned<T> {
    version: u64,
    #[serde(flatten)]
    body: T,
}

pub(crate) fn encode(version: u64, body: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(&Versioned { version, body }).unwrap_or_else(|error| unreachable!("BUG: what is stored has only text keys: {error}"))
}

pub(crate) fn decode<T: DeserializeOwned>(what: &'static str, supported: u64, bytes: &[u8]) -> Result<T, InvalidStored> {
    #[derive(Deserialize)]
    struct Version {
        version: u64,
    }
    let Version { version } = serde_json::from_slice(bytes).map_err(|error| malformed(what, error))?;
    if version > supported {
        return Err(InvalidStored::Newer { what, version, supported });
    }
    serde_json::from_slice(bytes).map_err(|error| malformed(what, error))
}

pub(crate) fn malformed(what: &'static str, error: impl std::fmt::Display) -> InvalidStored {
    InvalidStored::Malformed { what, detail: error.to_string() }
}

/// An object's key as it is stored.
#[derive(Serialize, Deserialize)]
pub(crate) struct StoredKey {
    #[serde(default, skip_serializing_if = "String::is_empty")]
    group: String,
    kind: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    namespace: Option<String>,
    name: String,
}

impl From<&ObjectKey> for StoredKey {
    fn from(key: &ObjectKey) -> Self {
        let GroupKind { group, kind } = key.kind.clone();
        Self { group, kind, namespace: key.namespace.clone(), name: key.name.clone() }
    }
}

impl From<StoredKey> for ObjectKey {
    fn from(stored: StoredKey) -> Self {
        Self::new(GroupKind::new(stored.group, stored.kind), stored.namespace.as_deref(), stored.name)
    }
}
