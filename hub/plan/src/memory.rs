//! What a hub remembers about one cluster beside its index: objects that an app had there, has no longer, and that the agent has not
//! reported gone. This is its type and its stored form; what follows from it is left to `cluster`.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use shared_model::{AppName, Generation, ObjectKey, ServiceAccount};
use shared_release::Prune;

use crate::approval::Sanction;
use crate::stored::{InvalidStored, StoredKey, decode, encode, malformed};

/// The version of the stored form. A hub refuses a newer one.
pub const MEMORY_VERSION: u64 = 2;

/// The version of a memory without service accounts, so that a hub of that version may go on with it.
const WITHOUT_ACCOUNTS: u64 = 1;

const WHAT: &str = "memory of a cluster";

/// What is remembered about one cluster. It is stored together with the index that the same plan made. If it is lost, nothing is deleted
/// that should stay; objects that were kept can then no longer change hands by themselves.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Memory {
    /// Objects that an app had and no longer has, by app.
    pub leftovers: BTreeMap<AppName, BTreeMap<ObjectKey, Leftover>>,
    /// The apps here whose objects are deleted when the app is removed. All others are orphaned: the careful choice when nothing is known.
    pub cascades: BTreeSet<AppName>,
    /// Whose rights what is left over of an app is deleted with, if not the agent's own.
    pub accounts: BTreeMap<AppName, ServiceAccount>,
}

/// An object that an app had and no longer has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leftover {
    /// What the last release that had it says about its deletion.
    pub prune: Prune,
    /// The index since which the app has it no longer. A report of it as gone counts only from that index on.
    pub since: Generation,
    /// Its deletion was approved.
    pub sanction: Option<Sanction>,
}

#[derive(Serialize, Deserialize)]
struct MemoryFile {
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    cascades: BTreeSet<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    leftovers: BTreeMap<String, Vec<LeftoverFile>>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    accounts: BTreeMap<String, String>,
}

#[derive(Serialize, Deserialize)]
struct LeftoverFile {
    object: StoredKey,
    prune: PruneWord,
    epoch: u64,
    sequence: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    by: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    at: Option<String>,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum PruneWord {
    Allowed,
    Confirm,
    Never,
}

impl Memory {
    /// As it is stored.
    pub fn encode(&self) -> Vec<u8> {
        let leftovers = self.leftovers.iter().map(|(app, objects)| {
            let files = objects.iter().map(|(object, leftover)| LeftoverFile {
                object: object.into(),
                prune: match leftover.prune {
                    Prune::Allowed => PruneWord::Allowed,
                    Prune::Confirm => PruneWord::Confirm,
                    Prune::Never => PruneWord::Never,
                },
                epoch: leftover.since.epoch.0,
                sequence: leftover.since.sequence.0,
                by: leftover.sanction.as_ref().map(|sanction| sanction.by.clone()),
                at: leftover.sanction.as_ref().map(|sanction| sanction.at.to_string()),
            });
            (app.to_string(), files.collect())
        });
        let file = MemoryFile {
            cascades: self.cascades.iter().map(ToString::to_string).collect(),
            leftovers: leftovers.collect(),
            accounts: self.accounts.iter().map(|(app, account)| (app.to_string(), account.to_string())).collect(),
        };
        encode(if self.accounts.is_empty() { WITHOUT_ACCOUNTS } else { MEMORY_VERSION }, &file)
    }

    /// Reads what [`Memory::encode`] wrote.
    ///
    /// # Errors
    /// A newer version, or damage.
    pub fn decode(bytes: &[u8]) -> Result<Self, InvalidStored> {
        let file: MemoryFile = decode(WHAT, MEMORY_VERSION, bytes)?;
        let mut memory = Self::default();
        for app in file.cascades {
            memory.cascades.insert(app.parse().map_err(|error| malformed(WHAT, error))?);
        }
        for (app, account) in file.accounts {
            let account = account.parse().map_err(|error| malformed(WHAT, error))?;
            memory.accounts.insert(app.parse().map_err(|error| malformed(WHAT, error))?, account);
        }
        for (app, files) in file.leftovers {
            let mut objects = BTreeMap::new();
            for file in files {
                let sanction = match (file.by, file.at) {
                    (Some(by), Some(at)) => Some(Sanction { by, at: at.parse().map_err(|error| malformed(WHAT, error))? }),
                    (None, None) => None,
                    _ => return Err(malformed(WHAT, "an approval lacks its author or its time")),
                };
                let prune = match file.prune {
                    PruneWord::Allowed => Prune::Allowed,
                    PruneWord::Confirm => Prune::Confirm,
                    PruneWord::Never => Prune::Never,
                };
                let since = Generation::new(file.epoch, file.sequence);
                objects.insert(file.object.into(), Leftover { prune, since, sanction });
            }
            memory.leftovers.insert(app.parse().map_err(|error| malformed(WHAT, error))?, objects);
        }
        Ok(memory)
    }
}

#[cfg(test)]
mod tests {
    use shared_model::{GroupKind, Timestamp};

    use super::*;

    #[test]
    fn a_memory_reads_back_what_it_writes_and_refuses_a_newer_one() {
        let object = ObjectKey::new(GroupKind::of("apps/v1", "Deployment"), Some("web"), "api");
        let sanction = Sanction { by: "ann".to_owned(), at: Timestamp::UNIX_EPOCH };
        let app: AppName = "web".parse().expect("valid");
        for sanction in [None, Some(sanction)] {
            let leftover = Leftover { prune: Prune::Confirm, since: Generation::new(2, 7), sanction };
            let leftovers = BTreeMap::from([(app.clone(), BTreeMap::from([(object.clone(), leftover)]))]);
            let accounts = BTreeMap::from([(app.clone(), "web:deployer".parse().expect("valid"))]);
            let memory = Memory { leftovers, cascades: BTreeSet::from([app.clone()]), accounts };
            assert_eq!(Memory::decode(&memory.encode()), Ok(memory));
        }
        assert_eq!(Memory::decode(&Memory::default().encode()), Ok(Memory::default()));
        let newer = InvalidStored::Newer { what: WHAT, version: 3, supported: 2 };
        assert!(Memory::default().encode().starts_with(br#"{"version":1"#), "an older hub may read what it understands");
        assert_eq!(Memory::decode(br#"{"version":3,"more":[]}"#), Err(newer));
        assert!(matches!(Memory::decode(b"{}"), Err(InvalidStored::Malformed { .. })));
    }
}
