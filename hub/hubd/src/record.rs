//! How the hub's own records stand in the store: JSON with a format name and version, one commit a change. An older hub refuses a newer record.

use hub_store::{Commit, CommitOutcome, Condition, Entry, Key, Store, StoreError, Version};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// The version of every record that this build writes, and the newest that it reads.
const VERSION: u64 = 1;

/// Why a record cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RecordError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the record {key} has format version {version}, and this hub reads up to {VERSION}: start the newer hub again")]
    Newer { key: Key, version: u64 },
    #[error("the record {key} cannot be read: {detail}; restore the hub's data from a backup")]
    Malformed { key: Key, detail: String },
    #[error("the record {key} was changed by somebody else meanwhile; try again")]
    Lost { key: Key },
}

/// A kind of record: the tree that it stands in.
pub(crate) trait Record: Serialize + DeserializeOwned {
    /// The tree, and the name of the format.
    const TREE: &'static str;
}

/// The key of the record `name`.
pub(crate) fn key<R: Record>(name: &str) -> Key {
    Key::new(R::TREE, name).unwrap_or_else(|error| unreachable!("BUG: names of records are checked before: {error}"))
}

/// The bytes of a record.
pub(crate) fn encode<R: Record>(record: &R) -> Vec<u8> {
    let body = serde_json::to_value(record).unwrap_or_else(|error| unreachable!("BUG: a record has only text keys: {error}"));
    serde_json::json!({"format": R::TREE, "version": VERSION, "body": body}).to_string().into_bytes()
}

pub(crate) fn decode<R: Record>(key: &Key, bytes: &[u8]) -> Result<R, RecordError> {
    let malformed = |detail: String| RecordError::Malformed { key: key.clone(), detail };
    let mut value: Value = serde_json::from_slice(bytes).map_err(|error| malformed(error.to_string()))?;
    match value.get("version").and_then(Value::as_u64) {
        Some(version) if version > VERSION => return Err(RecordError::Newer { key: key.clone(), version }),
        Some(_) if value.get("format").and_then(Value::as_str) == Some(R::TREE) => {}
        _ => return Err(malformed("it does not say its format".to_owned())),
    }
    serde_json::from_value(value["body"].take()).map_err(|error| malformed(error.to_string()))
}

/// Reads the record `name` with its version.
pub(crate) async fn read<R: Record>(store: &dyn Store, name: &str) -> Result<Option<(R, Version)>, RecordError> {
    let key = key::<R>(name);
    match store.get(&key).await? {
        Some(Entry { value, version }) => Ok(Some((decode(&key, &value)?, version))),
        None => Ok(None),
    }
}

/// Reads all records of a kind, by name.
pub(crate) async fn read_all<R: Record>(store: &dyn Store) -> Result<Vec<(String, R)>, RecordError> {
    let mut records = Vec::new();
    for_each(store, |name, record| records.push((name, record))).await?;
    Ok(records)
}

/// Reads all records of a kind, by name, and keeps none: for a kind of which there are many.
pub(crate) async fn for_each<R: Record>(store: &dyn Store, mut take: impl FnMut(String, R)) -> Result<(), RecordError> {
    let tree = hub_store::Prefix::tree(R::TREE).unwrap_or_else(|error| unreachable!("BUG: trees are constants: {error}"));
    let mut after: Option<Key> = None;
    loop {
        let page = store.range(&tree, after.as_ref(), hub_store::PAGE_LIMIT).await?;
        for (key, entry) in &page.entries {
            take(key.name().to_owned(), decode(key, &entry.value)?);
        }
        match page.next {
            Some(next) => after = Some(next),
            None => return Ok(()),
        }
    }
}

/// The commit that writes the record `name` if it is still as it was read: at `expected`, or absent.
pub(crate) fn commit<R: Record>(name: &str, record: &R, expected: Option<Version>) -> Commit {
    let key = key::<R>(name);
    let condition = expected.map_or_else(|| Condition::Absent(key.clone()), |version| Condition::Version(key.clone(), version));
    Commit::put(condition, key, encode(record))
}

/// Writes the record `name` if it is still as it was read: at `expected`, or absent.
pub(crate) async fn write<R: Record>(store: &dyn Store, name: &str, record: &R, expected: Option<Version>) -> Result<Version, RecordError> {
    won(store.commit(commit(name, record, expected)).await?)
}

/// The version of a commit that nobody came before.
pub(crate) fn won(outcome: CommitOutcome) -> Result<Version, RecordError> {
    match outcome {
        CommitOutcome::Committed(version) => Ok(version),
        CommitOutcome::Conflict { key, .. } => Err(RecordError::Lost { key }),
    }
}
